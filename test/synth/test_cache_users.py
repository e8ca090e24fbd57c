"""The cache's users on a real server: access strings of the templates, and what Dify and plugins do."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError
from redis.retry import Retry

from dify_cdk import Component
from dify_cdk.dify.cache_users import CacheUser
from dify_cdk.dify.environment import BROKER_DATABASE
from dify_servers import Broker, celery, results_of_jobs
from servers import free_port, require_program
from support import Template
from synth.running import environment_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the server runs on Linux, as in ElastiCache")

Client = Any  # redis.Redis is typed as if it might be asynchronous

DIFY, DAEMON, NOBODY = "dify", "plugin-daemon", "default"
PASSWORDS = {DIFY: "d" * 43, DAEMON: "p" * 43}
OLD = "o" * 43
OWN, FOREIGN = "plugin_daemon:x", "refresh_token:abc"
"""A key of the daemon, and one that renews a session: its name has the token, and it holds the account."""


def users_of(template: Template) -> dict[str, CacheUser]:
    """The users that a template defines, by name."""
    properties = template.properties("AWS::ElastiCache::User").values()
    found = [CacheUser(name=user["UserName"], access=user["AccessString"]) for user in properties]
    return {user.name: user for user in found}


@pytest.fixture(scope="module")
def broker(
    templates: Callable[[str], Template], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Broker]:
    """A server with the users of a template, after a rotation: everybody has an old password, too."""
    for name in ("redis-server", "openssl"):
        require_program(name, name)
    users = users_of(templates("v1"))
    passwords = {
        users[DIFY]: [PASSWORDS[DIFY], OLD],
        users[DAEMON]: [PASSWORDS[DAEMON], OLD],
        users[NOBODY]: [PASSWORDS[DIFY]],
    }
    found = Broker(port=free_port(), folder=tmp_path_factory.mktemp("cache"), users=passwords)
    with found.server():
        yield found


@pytest.fixture(scope="module")
def log_in(broker: Broker) -> Iterator[Callable[..., Client]]:
    """Connects as a user; by default with the newest password, to database 0."""
    opened: list[Client] = []

    def connect(user: str | None, password: str | None = None, database: int = 0) -> Client:
        client: Client = redis.Redis(
            host="localhost",
            port=broker.port,
            db=database,
            username=user,
            password=password or PASSWORDS.get(user or ""),
            protocol=3,
            retry=Retry(NoBackoff(), 0),
            ssl=True,
            ssl_ca_certs=str(broker.certificate),
            decode_responses=True,
        )
        opened.append(client)
        return client

    yield connect
    for client in opened:
        client.close()


@pytest.fixture
def dify(log_in: Callable[..., Client]) -> Client:
    client = log_in(DIFY)
    client.setex(FOREIGN, 100, "owner-0001")
    return client


@pytest.fixture
def daemon(log_in: Callable[..., Client]) -> Iterator[Client]:
    client = log_in(DAEMON)
    client.delete(OWN)
    yield client
    client.delete(OWN)


# ---- what templates say


def test_every_template_has_the_same_users(template: Template, templates: Callable[[str], Template]) -> None:
    assert users_of(template) == users_of(templates("v1"))
    (group,) = template.properties("AWS::ElastiCache::UserGroup").values()
    assert {one["Ref"] for one in group["UserIds"]} == set(template.of_type("AWS::ElastiCache::User"))
    assert users_of(template).keys() == {DIFY, DAEMON, NOBODY}


def test_components_log_in_as_their_users(template: Template) -> None:
    users = {
        component: template.environment(component)["REDIS_USERNAME"]
        for component in template.containers()
        if "REDIS_PASSWORD" in template.secrets(component)
    }
    assert users.pop(Component.PLUGIN_DAEMON) == DAEMON
    assert set(users.values()) == {DIFY}
    assert template.environment(Component.PLUGIN_DAEMON)["REDIS_KEY_PREFIX"] == OWN.partition(":")[0]


def test_ids_in_the_account_are_as_elasticache_takes_them_and_of_one_stack_only(template: Template) -> None:
    """Forty characters, of which the part of the stack's id has eight."""
    types = {"AWS::ElastiCache::User": "UserId", "AWS::ElastiCache::UserGroup": "UserGroupId"}
    ids = [p[name] for type, name in types.items() for p in template.properties(type).values()]
    assert len({json.dumps(id) for id in ids}) == len(ids) == 4
    for id in ids:
        assert "AWS::StackId" in json.dumps(id)
        before, _, after = id["Fn::Join"][1]
        assert re.fullmatch(r"[a-z][a-z0-9-]+-0123abcd-[a-z][a-z-]*[a-z]", f"{before}0123abcd{after}")
        assert len(f"{before}0123abcd{after}") <= 40


def test_users_stay_with_the_cache_they_are_of(template: Template) -> None:
    """A group that a cache uses cannot be deleted, and the stack's deletion would fail."""
    types = ("ReplicationGroup", "UserGroup", "User")
    rows = template.of_type(*(f"AWS::ElastiCache::{type}" for type in types)).values()
    assert len({(row["DeletionPolicy"], row["UpdateReplacePolicy"]) for row in rows}) == 1


# ---- the daemon at home


def test_the_daemon_stores_counts_and_maps(daemon: Client) -> None:
    assert daemon.ping()
    assert daemon.set(OWN, "1", ex=10)
    assert daemon.get(OWN) == "1"
    assert daemon.exists(OWN) == 1
    assert daemon.expire(OWN, 20)
    assert daemon.delete(OWN) == 1
    assert (daemon.incr(OWN), daemon.decr(OWN)) == (1, 0)
    daemon.delete(OWN)
    daemon.hset(OWN, mapping={"a": "1", "b": "2"})
    assert daemon.execute_command("HMSET", OWN, "c", "3")
    assert daemon.hget(OWN, "a") == "1"
    assert daemon.hdel(OWN, "b") == 1
    assert daemon.hgetall(OWN) == dict(daemon.hscan_iter(OWN)) == {"a": "1", "c": "3"}


def test_the_daemon_locks_and_unlocks_by_script(daemon: Client) -> None:
    assert daemon.set(OWN, "me", nx=True, px=10_000)
    assert daemon.set(OWN, "you", nx=True, px=10_000) is None
    mine = "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end return "
    with pytest.raises(ResponseError, match="No matching script"):
        daemon.evalsha("0" * 40, 1, OWN)
    assert daemon.eval(f"{mine} redis.call('pexpire', KEYS[1], ARGV[2])", 1, OWN, "me", "5000") == 1
    assert daemon.eval(f"{mine} redis.call('del', KEYS[1])", 1, OWN, "you") == 0
    assert daemon.eval(f"{mine} redis.call('del', KEYS[1])", 1, OWN, "me") == 1


def test_the_daemon_watches_what_it_changes_in_a_transaction(daemon: Client) -> None:
    with daemon.pipeline(transaction=True) as pipeline:
        pipeline.watch(OWN)
        pipeline.multi()
        pipeline.set(OWN, "1", nx=True, ex=10)
        pipeline.expire(OWN, 20)
        assert pipeline.execute() == [True, True]
        pipeline.watch(OWN)
        pipeline.unwatch()


def test_the_daemon_tells_its_other_nodes(daemon: Client) -> None:
    with closing(daemon.pubsub()) as listening:
        listening.subscribe(OWN)
        assert listening.get_message(timeout=5)["type"] == "subscribe"
        daemon.publish(OWN, "news")
        assert listening.get_message(timeout=5)["data"] == "news"
        listening.unsubscribe(OWN)


def test_the_daemon_s_client_is_refused_its_introduction_and_goes_on(daemon: Client) -> None:
    """go-redis logs in with HELLO, says what it is, and ignores that it may not."""
    connection = daemon.connection_pool.get_connection()
    for words in (
        ("CLIENT", "SETINFO", "LIB-NAME", "go-redis"),
        ("CLIENT", "MAINT_NOTIFICATIONS", "ON"),
    ):
        connection.send_command(*words)
        with pytest.raises(ResponseError):
            connection.read_response()
    connection.send_command("HELLO", "3", "AUTH", DAEMON, PASSWORDS[DAEMON])
    assert connection.read_response()["proto"] == 3
    daemon.connection_pool.release(connection)


# ---- the daemon elsewhere

REFUSED = f"""
    KEYS *; SCAN 0; RANDOMKEY; DBSIZE; CLIENT TRACKING ON BCAST; PUBSUB CHANNELS; PUBSUB NUMPAT

    GET {FOREIGN}; SET {FOREIGN} x; SETEX refresh_token:evil 100 owner-0001; DEL {FOREIGN}; EXISTS {FOREIGN}
    TTL {FOREIGN}; TYPE {FOREIGN}; EXPIRE {FOREIGN} 1; MGET {OWN} {FOREIGN}; MSET {OWN} x {FOREIGN} x
    RENAME {OWN} {FOREIGN}; RENAME {FOREIGN} {OWN}; COPY {FOREIGN} {OWN}; LCS {OWN} {FOREIGN}; DUMP {FOREIGN}
    RESTORE {FOREIGN} 0 x; OBJECT FREQ {FOREIGN}; MEMORY USAGE {FOREIGN}; HGETALL {FOREIGN}; WATCH {FOREIGN}
    HSCAN {FOREIGN} 0; SUNIONSTORE {OWN} {FOREIGN}; LMOVE {FOREIGN} {OWN} LEFT LEFT; SMOVE {FOREIGN} {OWN} x
    ZUNIONSTORE {OWN} 1 {FOREIGN}; XREAD STREAMS {FOREIGN} 0; SORT {OWN} BY nosort GET refresh_token:*
    GET plugin_daemon; GET plugin_daemonx:y

    SELECT 1; MOVE {OWN} 1; COPY {OWN} {OWN} DB 1; SWAPDB 0 1; LPUSH workflow x; BRPOP workflow 1

    PSUBSCRIBE *; PSUBSCRIBE p*; SUBSCRIBE other; PUBLISH other x; SSUBSCRIBE other; SPUBLISH other x
    SUBSCRIBE __keyspace@0__:x; PSUBSCRIBE __key*

    CONFIG GET *; FLUSHALL; FLUSHDB; MONITOR; CLIENT LIST; CLIENT KILL TYPE normal; CLIENT PAUSE 1; INFO
    SCRIPT FLUSH; SCRIPT KILL; FUNCTION LIST; FUNCTION FLUSH; FCALL f 0; SLOWLOG GET; ACL LIST; ACL WHOAMI
    ACL SETUSER plugin-daemon ~*; ACL GETUSER dify; SAVE; ROLE; COMMAND; LATENCY LATEST
    MODULE LIST; SHUTDOWN; REPLICAOF NO ONE; WAIT 0 0
"""
"""Names; sessions and credentials; the job queue; events; the server."""


@pytest.mark.parametrize("command", [one.strip() for one in re.split("[;\n]", REFUSED) if one.strip()])
def test_the_daemon_is_refused(command: str, daemon: Client, dify: Client) -> None:
    words = command.split()
    with pytest.raises(NoPermissionError):
        daemon.execute_command(*words)
    assert dify.execute_command("ACL", "DRYRUN", DIFY, *words) == "OK", "it is a command, and Dify may use it"
    assert dify.get(FOREIGN) == "owner-0001"


@pytest.mark.parametrize(
    ("call", "keys"),
    [
        (f"'get', '{FOREIGN}'", ()),
        ("'get', KEYS[1]", (FOREIGN,)),
        ("'setex', 'refresh_token:evil', 100, 'owner-0001'", ()),
        ("'scan', 0", ()),
        ("'keys', '*'", ()),
        ("'randomkey'", ()),
        ("'select', 1", ()),
        ("'publish', 'other', 'x'", ()),
    ],
)
def test_a_script_of_the_daemon_is_refused(
    call: str, keys: tuple[str, ...], daemon: Client, dify: Client
) -> None:
    with pytest.raises(ResponseError, match=r"^(The|this) user (executing|has no permissions)"):
        daemon.eval(f"return redis.call({call})", len(keys), *keys)
    assert dify.exists("refresh_token:evil") == 0


def test_a_transaction_of_the_daemon_is_refused(daemon: Client) -> None:
    with daemon.pipeline(transaction=True) as pipeline:
        pipeline.set(OWN, "1")
        pipeline.get(FOREIGN)
        with pytest.raises(NoPermissionError):
            pipeline.execute()
    assert daemon.get(OWN) is None, "nothing of it was done"


def test_nothing_that_the_daemon_may_run_leaves_out_a_key_but_these(dify: Client) -> None:
    """A command without a key is not held back by the pattern of keys."""
    harmless = {"auth", "hello", "ping", "quit", "reset"} | {"multi", "exec", "discard", "unwatch"}
    texts = {"xgroup|help", "xinfo|help"}
    channels = {"publish", "subscribe", "unsubscribe", "psubscribe", "punsubscribe"}
    allowed = set()
    for name, arity, first_key, movable in commands_of(dify):
        arguments = [OWN] * max(abs(arity) - len(name.split("|")), 0)
        said = dify.execute_command("ACL", "DRYRUN", DAEMON, *name.split("|"), *arguments)
        if "permissions to run" not in said and first_key == 0 and not movable:
            allowed.add(name)
    assert allowed == harmless | texts | channels


def commands_of(client: Client) -> Iterator[tuple[str, int, int, bool]]:
    """Name, number of words, place of the first key, and whether keys are found otherwise."""
    connection = client.connection_pool.get_connection()
    connection.send_command("COMMAND")
    rows = connection.read_response()
    client.connection_pool.release(connection)
    for row in rows:
        for one in row[9] or [row]:
            yield one[0], one[1], one[3], "movablekeys" in one[2]


def test_one_who_is_the_daemon_cannot_become_dify(daemon: Client) -> None:
    for words in (
        ("AUTH", DIFY, PASSWORDS[DAEMON]),
        ("AUTH", NOBODY, PASSWORDS[DAEMON]),
        ("AUTH", PASSWORDS[DAEMON]),
    ):
        with pytest.raises((AuthenticationError, ResponseError), match=r"WRONGPASS|invalid username"):
            daemon.execute_command(*words)


def test_nobody_logs_in_without_a_name(log_in: Callable[..., Client]) -> None:
    for user, password in ((None, None), (None, PASSWORDS[DIFY]), (NOBODY, PASSWORDS[DIFY])):
        with pytest.raises(
            (AuthenticationError, ResponseError), match=r"WRONGPASS|invalid|already authenticated"
        ):
            log_in(user, password).ping()


# ---- Dify


def test_dify_does_everything(dify: Client, log_in: Callable[..., Client]) -> None:
    assert FOREIGN in dify.scan_iter("refresh_token:*")
    with dify.lock("lock", timeout=5):
        assert dify.ttl("lock") > 0
    dify.zadd("limits", {"a": 1})
    assert dify.zremrangebyscore("limits", 0, 2) == 1
    assert "workers" in dify.xadd("events", {"a": "workers"}) or dify.xlen("events") == 1
    dify.delete("events")
    with closing(dify.pubsub()) as listening:
        listening.psubscribe("*")
        assert listening.get_message(timeout=5)["type"] == "psubscribe"
        dify.publish("topic", "news")
        assert listening.get_message(timeout=5)["data"] == "news"
    queue = log_in(DIFY, database=BROKER_DATABASE)
    queue.lpush("queue", "job")
    assert queue.brpop(["queue"], timeout=1) == ["queue", "job"]
    assert any(client["user"] == DIFY for client in queue.client_list())


def test_celery_runs_a_job_by_the_broker_s_url(
    broker: Broker, templates: Callable[[str], Template], tmp_path: Path, log_in: Callable[..., Client]
) -> None:
    environment = environment_of(templates("v1"), Component.WORKER)
    with celery(environment, broker=broker, folder=tmp_path):
        (result,) = results_of_jobs("work", 1, 0, broker=broker, seconds=30)
        users = {client["user"] for client in log_in(DIFY).client_list() if client["db"] == "1"}
    assert result is not None
    assert users == {DIFY}
    assert f"/{BROKER_DATABASE}?" in broker.url


# ---- rotation


def test_old_tasks_and_new_ones_log_in_and_older_ones_do_not(log_in: Callable[..., Client]) -> None:
    for user, newest in PASSWORDS.items():
        assert log_in(user, newest).ping()
        assert log_in(user, OLD).ping()
        with pytest.raises(AuthenticationError):
            log_in(user, "before the one before").ping()
