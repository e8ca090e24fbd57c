"""A rotation deployed over an installation, and what every one promises, in one stack or in two.

Real here: the passwords of PostgreSQL, and a server with the users of the cache as CloudFormation left them,
where tasks log in with what their secrets say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry

from deployed.cdk import STACK
from deployed.emulator import REGION
from deployed.stages import containers
from deployed.switching import Build, assemble
from deployed.world import World
from dify_cdk import Access, DifyAlbFrontend, DifyData, DifyNetwork, DifyWorkers, Egress
from dify_cdk.dify.cache_users import CacheUser
from dify_cdk.dify.components import Component
from dify_cdk.dify.environment import BROKER_DATABASE
from dify_servers import Broker
from servers import free_port, require_program

DATA_STACK = "DifyData"
ROTATIONS = (0, 1, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """What there is after a deployment.

    Attributes:
        variables: What the tasks of each component read, secrets and all.
        users: Who may use the cache, with which passwords; Dify is the first.
    """

    variables: Mapping[Component, Mapping[str, str]]
    users: Mapping[CacheUser, Sequence[str]]

    def readers(self, name: str) -> dict[Component, Mapping[str, str]]:
        """The components that read a variable."""
        return {component: own for component, own in self.variables.items() if name in own}


def rotate(world: World, folder: Path, *, data_apart: bool) -> list[Generation]:
    """Deploy each rotation over the one before.

    Args:
        world: Where.
        folder: Where the cloud assemblies go.
        data_apart: Whether network and data have a stack of their own.
    """
    found = []
    for rotation in ROTATIONS:
        assembly = assemble(str(rotation), _installation(rotation, data_apart), folder / str(rotation))
        world.cdk.must(world.cdk.deploy_assembly(assembly.folder))
        found.append(_observe(world))
    return found


class RotationTests:
    """What every rotation promises; a module with a world of its own derives from it.

    It has the fixture ``generations``, which deploys them.
    """

    def test_nobody_is_refused_by_the_cache(self, generations: list[Generation], tmp_path: Path) -> None:
        """After each deployment, new tasks log in and those from before it, but not those before these."""
        for name in ("redis-server", "openssl"):
            require_program(name, name)
        for number, now in enumerate(generations):
            broker = Broker(port=free_port(), folder=tmp_path / str(number), users=now.users)
            broker.folder.mkdir()
            with broker.server():
                for age, then in enumerate(reversed(generations[: number + 1])):
                    readers = then.readers("REDIS_PASSWORD")
                    assert len(readers) >= 4
                    for variables in readers.values():
                        assert _logs_in(broker, variables) is (age < 2)

    def test_the_broker_s_url_is_dify_s(self, generations: list[Generation]) -> None:
        """What tasks read as the broker's URL has the password that they read."""
        for now in generations:
            for variables in now.readers("CELERY_BROKER_URL").values():
                login = f"rediss://{variables['REDIS_USERNAME']}:{variables['REDIS_PASSWORD']}@"
                assert variables["CELERY_BROKER_URL"].startswith(login)
                assert f":6379/{BROKER_DATABASE}?" in variables["CELERY_BROKER_URL"]

    def test_the_database_has_the_newest_passwords(self, world: World, generations: list[Generation]) -> None:
        """The initialisation logged in as the new master user, and gave the roles their passwords."""
        *_, before, now = generations
        for component, variables in now.readers("DB_PASSWORD").items():
            login = (variables["DB_USERNAME"], variables["DB_PASSWORD"], variables["DB_DATABASE"])
            assert world.postgres.query(*login, "SELECT 1") == [(1,)]
            assert variables["DB_PASSWORD"] != before.variables[component]["DB_PASSWORD"]

    def test_no_role_ever_lacked_a_permission(self, world: World, generations: list[Generation]) -> None:
        assert world.emulator.journal("refusal") == []


def _installation(rotation: int, data_apart: bool) -> Build:
    def build(app: cdk.App) -> None:
        environment = cdk.Environment(region=REGION)
        stack = cdk.Stack(app, STACK, env=environment)
        below = cdk.Stack(app, DATA_STACK, env=environment) if data_apart else stack
        network = DifyNetwork(below, "Network", egress=Egress.NAT_INSTANCE)
        data = DifyData(below, "Data", vpc=network.vpc, rotation=rotation)
        workers = DifyWorkers(stack, "Workers", data=data)
        DifyAlbFrontend(stack, "Frontend", workers=workers, access=Access(ipv4=["203.0.113.0/24"]))

    return build


def _observe(world: World) -> Generation:
    manager = world.client("secretsmanager")

    def read(source: str) -> str:
        parts = source.split(":")  # of the ARN seven, and then field, stage and version
        text: str = manager.get_secret_value(SecretId=":".join(parts[:7]))["SecretString"]
        return str(json.loads(text)[parts[7]]) if parts[7:8] and parts[7] else text

    variables = {}
    for name, container in containers(world).items():
        plain = {row["name"]: row["value"] for row in container.get("environment", ())}
        secret = {row["name"]: read(row["valueFrom"]) for row in container.get("secrets", ())}
        variables[Component(name)] = {**plain, **secret}
    rows = {row["name"]: row for row in world.emulator.journal("cache_user")}
    return Generation(
        variables=variables,
        users={
            CacheUser(name=name, access=rows[name]["access"]): rows[name]["passwords"]
            for name in sorted(rows, key=lambda name: name != "dify")
        },
    )


def _logs_in(broker: Broker, variables: Mapping[str, str]) -> bool:
    client: Any = redis.Redis(
        host="localhost",
        port=broker.port,
        username=variables["REDIS_USERNAME"],
        password=variables["REDIS_PASSWORD"],
        retry=Retry(NoBackoff(), 0),
        ssl=True,
        ssl_ca_certs=str(broker.certificate),
    )
    with closing(client):
        try:
            return bool(client.ping())
        except AuthenticationError:
            return False
