"""The real gunicorn with what the templates give api, and Node.js with what they give web, under load.

Each mechanism has a control: the same server with the environment of yesterday, which fails.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from callers import Callers
from dify_cdk import Component
from dify_servers import YESTERDAY, api, web, without
from servers import free_port, require_program
from support import VARIANTS, Template
from synth.running import (
    ApiServers,
    Running,
    environment_of,
    environment_of_function,
    idle_seconds_before,
    passes,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the servers run on Linux, as in the images")

Templates = Callable[[str], Template]

STARTS = {
    **{variant: (variant, Component.API, environment_of) for variant in VARIANTS},
    "v3 function": ("v3", Component.API, environment_of_function),
    "v4 websocket": ("v4", Component.API_WEBSOCKET, environment_of),
}
WEB_STARTS = {
    **{variant: (variant, Component.WEB, environment_of) for variant in VARIANTS if variant != "v3"},
    "v3 function": ("v3", Component.WEB, environment_of_function),
}
ADAPTER_IDLE_SECONDS = 4
"""Of AWS Lambda Web Adapter's client (``src/lib.rs`` of awslabs/aws-lambda-web-adapter)."""
DAEMON_IDLE_SECONDS = 120
"""Of the plugin daemon's calls of api (``calldify/http_client.go`` of dify-plugin-daemon 0.6.10)."""

PATIENCE = 20
"""Seconds for answers that come in milliseconds on a machine that is not busy."""

every_start = pytest.mark.parametrize("start", STARTS)


Serve = Callable[..., Running]
"""From the name of a start, and variables that are changed or unset, to the server."""


@pytest.fixture(scope="module")
def serve(templates: Templates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Start api as a template does, for the whole module; what is started in the same way runs once."""
    require_program("curl", "curl")
    with ApiServers(tmp_path_factory) as servers:

        def get(start: str, **changed: str | None) -> Running:
            variant, component, environment = STARTS[start]
            template = templates(variant)
            changes = {name: value for name, value in changed.items() if value is not None}
            variables = {**without(environment(template, component), changed), **changes}
            return servers.start(variables, template.containers()[component])

        yield get


@pytest.fixture
def yesterday(serve: Serve) -> Running:
    """Api without what makes it carry load."""
    return serve("v1", **dict.fromkeys(YESTERDAY))


class TestStreams:
    @every_start
    def test_fifty_are_served_and_the_health_check_passes(self, serve: Serve, start: str) -> None:
        running = serve(start)
        with Callers(running.port, 50) as callers:
            assert callers.listen("/stream", seconds=PATIENCE) == [b"event: ping\n"] * 50
            assert running.is_healthy
            assert running.is_healthy

    @pytest.mark.slow
    def test_ten_were_too_many_yesterday(self, yesterday: Running) -> None:
        with Callers(yesterday.port, 10) as callers:
            assert len(callers.listen("/stream", seconds=PATIENCE)) == 10
            assert not yesterday.is_healthy
        assert yesterday.is_healthy


class TestIdleConnections:
    @every_start
    def test_a_dozen_are_in_nobody_s_way(self, serve: Serve, start: str) -> None:
        running = serve(start)
        with Callers(running.port, 12) as callers:
            assert len(callers.ask("/", seconds=PATIENCE)) == 12
            assert running.is_healthy
            assert running.is_healthy

    @pytest.mark.slow
    def test_ten_were_too_many_yesterday(self, yesterday: Running) -> None:
        with Callers(yesterday.port, 10) as callers:
            assert len(callers.ask("/", seconds=PATIENCE)) == 10
            assert not yesterday.is_healthy
        assert yesterday.is_healthy


class TestInnerCalls:
    """Requests that cannot be answered before the same server has answered another one."""

    @every_start
    def test_fifty_at_once_are_answered(self, serve: Serve, start: str) -> None:
        with Callers(serve(start).port, 50) as callers:
            assert len(callers.ask("/", seconds=PATIENCE)) == 50  # all connections stand
            assert len(callers.ask(f"/agent?seconds={PATIENCE}", seconds=PATIENCE)) == 50

    @pytest.mark.slow
    def test_ten_waited_for_one_another_yesterday(self, yesterday: Running) -> None:
        with Callers(yesterday.port, 10) as callers:
            assert len(callers.ask("/", seconds=PATIENCE)) == 10
            assert callers.ask("/agent?seconds=3", seconds=PATIENCE) == []


def _flag(environment: Mapping[str, str], name: str) -> int:
    """The value of an option in the additional arguments of gunicorn."""
    (value,) = re.findall(rf"--{name}=(\d+)\b", environment["GUNICORN_CMD_ARGS"])
    return int(value)


def _outlives(longer: int, shorter: int) -> bool:
    """Whether an idle connection to one server is still good when the other one has closed its own.

    What is asked on the other one is lost, and whoever is behind a load balancer sees a 502.
    """
    with Callers(longer) as ours, Callers(shorter) as others:
        for callers in (ours, others):
            assert callers.ask("/favicon.ico", seconds=PATIENCE)
        assert others.seconds_until_closed(PATIENCE) < PATIENCE
        assert others.ask("/favicon.ico", seconds=PATIENCE) == []
        return bool(ours.ask("/favicon.ico", seconds=PATIENCE))


class TestKeepAlive:
    """A server that closes first loses the request that is just on its way, and the hop answers 502."""

    @pytest.mark.parametrize("start", [name for name in STARTS if name != "v3 function"])
    def test_api_keeps_connections_longer_than_whoever_calls_it(
        self, templates: Templates, start: str
    ) -> None:
        variant, component, environment = STARTS[start]
        template = templates(variant)
        hops = idle_seconds_before(template, component)
        assert len(hops) == 1
        assert _flag(environment(template, component), "keep-alive") > max(*hops, DAEMON_IDLE_SECONDS)

    @pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "v3"])
    def test_web_keeps_connections_longer_than_whoever_calls_it(
        self, templates: Templates, variant: str
    ) -> None:
        template = templates(variant)
        kept = int(environment_of(template, Component.WEB)["KEEP_ALIVE_TIMEOUT"])
        assert kept > 1000 * max(idle_seconds_before(template, Component.WEB))

    def test_functions_keep_connections_longer_than_the_adapter(self, templates: Templates) -> None:
        served, rendered = (
            environment_of_function(templates("v3"), component)
            for component in (Component.API, Component.WEB)
        )
        assert _flag(served, "keep-alive") > ADAPTER_IDLE_SECONDS
        assert int(rendered["KEEP_ALIVE_TIMEOUT"]) > 1000 * ADAPTER_IDLE_SECONDS

    @pytest.mark.slow
    def test_the_option_of_gunicorn_decides(self, serve: Serve) -> None:
        ours, yesterday = (serve("v1", GUNICORN_CMD_ARGS=one) for one in ("--keep-alive=12", None))
        assert _outlives(ours.port, yesterday.port)

    @pytest.mark.slow
    def test_the_variable_of_web_decides(self, templates: Templates, tmp_path: Path) -> None:
        variables = environment_of(templates("v1"), Component.WEB)
        ours, yesterday = free_port(), free_port()
        with (
            web({**variables, "KEEP_ALIVE_TIMEOUT": "12000"}, port=ours, folder=tmp_path),
            web(without(variables), port=yesterday, folder=tmp_path),
        ):
            assert _outlives(ours, yesterday)


class TestStop:
    """SIGTERM comes first; streams that are open then may end by themselves."""

    @pytest.mark.parametrize("variant", VARIANTS)
    def test_streams_have_almost_all_of_the_time_until_the_task_is_killed(
        self, templates: Templates, variant: str
    ) -> None:
        container = templates(variant).containers()[Component.API]
        graceful = _flag(environment_of(templates(variant), Component.API), "graceful-timeout")
        assert 100 <= graceful < container["StopTimeout"]

    @pytest.mark.slow
    def test_the_option_of_gunicorn_decides(self, templates: Templates, tmp_path: Path) -> None:
        variables = environment_of(templates("v1"), Component.API)

        def lasts(seconds: int) -> float:
            """How long a stream goes on that never ends by itself."""
            arguments = {"GUNICORN_CMD_ARGS": f"--keep-alive=30 --graceful-timeout={seconds}"}
            port = free_port()
            with api({**variables, **arguments}, port=port, folder=tmp_path) as server:
                with Callers(port) as callers:
                    assert callers.listen("/stream", seconds=PATIENCE)
                    begin = time.monotonic()
                    server.terminate()
                    assert callers.seconds_until_closed(PATIENCE) < PATIENCE
                    found = time.monotonic() - begin
                assert server.wait() == 0
            return found

        assert 2 <= lasts(2) < 7 <= lasts(7)


class TestHeadersOfClients:
    """Frontends publish ``/v1`` and not ``/inner/api``: no header may turn one into the other."""

    PATH = "/v1/inner/api/invoke/llm"

    def arrived(self, running: Running, name: str, value: str) -> tuple[str, str]:
        """Path and scheme that Dify is told of."""
        with Callers(running.port) as callers:
            (body,) = callers.ask(self.PATH, seconds=PATIENCE, headers={name: value})
        said = json.loads(body)
        return said["path"], said["scheme"]

    @every_start
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("SCRIPT_NAME", "/v1"),
            ("Script_Name", "/v1"),
            ("script-name", "/v1"),
            ("PATH_INFO", "/inner/api/invoke/llm"),
            ("X-Script-Name", "/v1"),
            ("X-Forwarded-Prefix", "/v1"),
            ("X-Original-URL", "/inner/api/invoke/llm"),
            ("X-Rewrite-URL", "/inner/api/invoke/llm"),
            ("X-Forwarded-Proto", "https"),
        ],
    )
    def test_none_is_believed(self, serve: Serve, start: str, name: str, value: str) -> None:
        assert self.arrived(serve(start), name, value) == (self.PATH, "http")

    def test_arguments_of_a_user_s_own_do_not_change_that(self, serve: Serve) -> None:
        running = serve("v1", GUNICORN_CMD_ARGS="--keep-alive=9")
        assert self.arrived(running, "SCRIPT_NAME", "/v1") == (self.PATH, "http")

    @every_start
    def test_what_dify_itself_reads_of_the_hop_before_still_arrives(self, serve: Serve, start: str) -> None:
        """The client's address for its limits, and all that ``RESPECT_XFORWARD_HEADERS_ENABLED`` looks at."""
        sent = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "443"}
        with Callers(serve(start).port) as callers:
            (body,) = callers.ask("/", seconds=PATIENCE, headers=sent)
        assert json.loads(body)["forwarded"] == sent

    @every_start
    def test_the_variable_has_a_value(self, templates: Templates, start: str) -> None:
        """Amazon ECS leaves out empty ones: https://github.com/hashicorp/terraform-provider-aws/issues/39533."""
        variant, component, environment = STARTS[start]
        assert environment(templates(variant), component)["FORWARDED_ALLOW_IPS"] == ","

    def test_by_default_gunicorn_believes_whoever_is_on_the_same_machine(self, serve: Serve) -> None:
        trusting = serve("v1", FORWARDED_ALLOW_IPS=None)
        for name in ("SCRIPT_NAME", "Script_Name"):
            assert self.arrived(trusting, name, "/v1") == ("/inner/api/invoke/llm", "http")
        assert self.arrived(trusting, "X-Forwarded-Proto", "https") == (self.PATH, "https")


class TestWebHealth:
    """The check asks a file and not a page, for which Dify's web waits for an answer of api.

    What answers is a stand-in, which treats that file as Dify's web does: this proves the check's command
    only, not that Dify's web answers it while api is silent.
    """

    @pytest.fixture
    def silent_api(self) -> Iterator[str]:
        """URL of a server that takes requests and never answers."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"

    @pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "v3"])
    def test_the_check_passes_while_api_does_not_answer(
        self, templates: Templates, tmp_path: Path, silent_api: str, variant: str
    ) -> None:
        template, port = templates(variant), free_port()
        variables = {**environment_of(template, Component.WEB), "SERVER_CONSOLE_API_URL": silent_api}
        with web(variables, port=port, folder=tmp_path):
            assert passes(template.containers()[Component.WEB], ":3000", f":{port}")
            with Callers(port) as callers:
                assert callers.ask("/", seconds=1) == []

    def test_the_check_fails_without_web(self, templates: Templates) -> None:
        assert not passes(templates("v1").containers()[Component.WEB], ":3000", f":{free_port()}")
