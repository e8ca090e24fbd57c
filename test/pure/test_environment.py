"""The variables of every component: what is emitted, what is required, what a user may add."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexts import BUFFERED, CONTEXTS, NO_FRONTEND, STREAMING, context
from dify_cdk.dify.components import BACKEND_COMPONENTS, Component
from dify_cdk.dify.environment import (
    TABLE,
    Argument,
    Context,
    Default,
    Purpose,
    Row,
    SecretField,
    plain_variables,
    require_free,
    secret_variables,
)
from dify_defaults import dropped_names, known_names
from dify_facts import COMPONENTS

every_context = pytest.mark.parametrize("where", CONTEXTS.values(), ids=CONTEXTS)
every_component = pytest.mark.parametrize("component", Component)

# Set when the frontend is known, so the migration, which runs before, cannot have them.
OF_THE_FRONTEND = {
    *("CONSOLE_API_URL", "CONSOLE_WEB_URL", "SERVICE_API_URL", "APP_WEB_URL", "TRIGGER_URL", "FILES_URL"),
    *("ENDPOINT_URL_TEMPLATE", "PLUGIN_DAEMON_TIMEOUT"),
}
BACKEND = {
    *("MODE", "DEPLOYMENT_EDITION", "MIGRATION_ENABLED", "SECRET_KEY", "INTERNAL_FILES_URL"),
    *("DB_TYPE", "DB_HOST", "DB_PORT", "DB_DATABASE", "DB_USERNAME", "DB_PASSWORD"),
    *("SQLALCHEMY_POOL_PRE_PING", "VECTOR_STORE"),
    *("PGVECTOR_HOST", "PGVECTOR_PORT", "PGVECTOR_USER", "PGVECTOR_PASSWORD", "PGVECTOR_DATABASE"),
    *("REDIS_HOST", "REDIS_PORT", "REDIS_USERNAME", "REDIS_PASSWORD", "REDIS_DB"),
    *("REDIS_USE_SSL", "REDIS_SSL_CERT_REQS", "CELERY_BROKER_URL"),
    *("STORAGE_TYPE", "S3_USE_AWS_MANAGED_IAM", "S3_BUCKET_NAME", "S3_REGION"),
    *("CODE_EXECUTION_ENDPOINT", "CODE_EXECUTION_API_KEY"),
    *("PLUGIN_DAEMON_URL", "PLUGIN_DAEMON_KEY", "INNER_API_KEY_FOR_PLUGIN"),
}
REQUIRED: Mapping[Component, set[str]] = {
    Component.API: BACKEND | OF_THE_FRONTEND,
    Component.API_WEBSOCKET: BACKEND | OF_THE_FRONTEND,
    Component.WORKER: BACKEND | OF_THE_FRONTEND,
    Component.BEAT: BACKEND | OF_THE_FRONTEND,
    Component.MIGRATION: BACKEND,
    Component.WEB: {
        *("HOSTNAME", "PORT", "CONSOLE_API_URL", "APP_API_URL", "SERVER_CONSOLE_API_URL"),
        *("NEXT_PUBLIC_ENABLE_AGENT_V2", "DEPLOYMENT_EDITION", "KEEP_ALIVE_TIMEOUT"),
    },
    Component.PLUGIN_DAEMON: {
        *("SERVER_KEY", "DIFY_INNER_API_URL", "DIFY_INNER_API_KEY"),
        *("DB_HOST", "DB_PORT", "DB_USERNAME", "DB_PASSWORD", "DB_DATABASE", "DB_SSL_MODE"),
        *("REDIS_HOST", "REDIS_PORT", "REDIS_USERNAME", "REDIS_PASSWORD", "REDIS_DB", "REDIS_USE_SSL"),
        "REDIS_KEY_PREFIX",
        *("PLUGIN_STORAGE_TYPE", "PLUGIN_STORAGE_OSS_BUCKET", "AWS_REGION"),
        *("S3_USE_AWS", "S3_USE_AWS_MANAGED_IAM", "S3_USE_PATH_STYLE", "PLUGIN_WORKING_PATH"),
        *("PLUGIN_INSTALLED_PATH", "PLUGIN_PACKAGE_CACHE_PATH", "PLUGIN_MEDIA_CACHE_PATH"),
        *("PERSISTENCE_STORAGE_PATH", "PLUGIN_REMOTE_INSTALLING_ENABLED"),
        *("PLUGIN_REMOTE_INSTALLING_HOST", "PLUGIN_REMOTE_INSTALLING_PORT"),
        *("PLUGIN_MAX_EXECUTION_TIMEOUT", "FORCE_VERIFYING_SIGNATURE", "PLATFORM"),
    },
    Component.SANDBOX: {"API_KEY", "SANDBOX_PORT", "ENABLE_NETWORK", "HTTP_PROXY", "HTTPS_PROXY", "GIN_MODE"},
    Component.SSRF_PROXY: set(),  # its configuration is written by squid.py
}

NOT_FOR_ALL = {"PLUGIN_DAEMON_KEY", "INNER_API_KEY_FOR_PLUGIN", "CODE_EXECUTION_API_KEY"}
OF_THE_SERVER = {  # what gunicorn takes from the environment
    *("GUNICORN_TIMEOUT", "GUNICORN_CMD_ARGS", "FORWARDED_ALLOW_IPS", "DEBUG"),
    *("SERVER_WORKER_CLASS", "SERVER_WORKER_CONNECTIONS"),
}

READ_TIMEOUT = "CODE_EXECUTION_READ_TIMEOUT"

URLS = {
    *("CONSOLE_API_URL", "CONSOLE_WEB_URL", "SERVICE_API_URL", "APP_WEB_URL", "APP_API_URL", "TRIGGER_URL"),
    *("FILES_URL", "CONSOLE_CORS_ALLOW_ORIGINS", "WEB_API_CORS_ALLOW_ORIGINS"),
}


def all_names(component: Component, where: Context) -> set[str]:
    return {*plain_variables(component, where), *secret_variables(component)}


class TestNames:
    @every_context
    @every_component
    def test_every_name_is_one_that_the_component_reads(self, component: Component, where: Context) -> None:
        assert all_names(component, where) <= known_names(component)

    @every_component
    def test_names_that_nothing_reads_any_more_are_never_emitted(self, component: Component) -> None:
        dropped = dropped_names(component)
        assert len(dropped) > 30
        assert not (all_names(component, STREAMING) | all_names(component, BUFFERED)) & dropped

    @every_component
    def test_every_required_name_is_present(self, component: Component) -> None:
        where = NO_FRONTEND if component is Component.MIGRATION else STREAMING
        required = REQUIRED.get(component) or {*COMPONENTS[component].get("required", ())}
        assert required - all_names(component, where) == set()

    def test_the_plugin_daemon_gets_no_demand_for_a_ca_file(self) -> None:
        """It verifies against the system's authorities when unset, and stops at CERT_REQUIRED alone."""
        assert "REDIS_SSL_CERT_REQS" not in all_names(Component.PLUGIN_DAEMON, STREAMING)

    @every_component
    def test_a_component_and_a_name_stand_in_one_row_only(self, component: Component) -> None:
        names = [row.name for row in TABLE if component in row.components]
        assert sorted(names) == sorted(set(names))

    @every_context
    @every_component
    def test_no_name_is_plain_and_secret_at_once(self, component: Component, where: Context) -> None:
        assert not plain_variables(component, where).keys() & secret_variables(component).keys()

    @every_context
    @every_component
    def test_names_that_sound_secret_are_never_plain(self, component: Component, where: Context) -> None:
        secret = re.compile("PASSWORD|KEY(?!_PREFIX)|TOKEN|SECRET|BROKER_URL")
        plain = plain_variables(component, where).items()
        assert [name for name, value in plain if secret.search(name) and value] == []


class TestBackend:
    """One settings class reads the variables of api, websocket, worker and beat: they must not drift."""

    def test_worker_and_beat_differ_from_api_in_what_they_start_only(self) -> None:
        found = {
            component: plain_variables(component, STREAMING)
            for component in (Component.API, Component.WORKER, Component.BEAT)
        }
        names = set().union(*found.values())
        different = {name for name in names if len({values.get(name) for values in found.values()}) > 1}
        assert different == {"MODE", "CELERY_WORKER_AMOUNT"} | OF_THE_SERVER | NOT_FOR_ALL
        assert {component: values["MODE"] for component, values in found.items()} == {
            Component.API: "api",
            Component.WORKER: "worker",
            Component.BEAT: "beat",
        }
        for name in OF_THE_SERVER:
            assert [component for component, values in found.items() if name in values] == [Component.API]
        assert [component for component, values in found.items() if "CELERY_WORKER_AMOUNT" in values] == [
            Component.WORKER
        ]

    def test_the_websocket_server_is_an_api_with_another_worker_class(self) -> None:
        api, websocket = (
            plain_variables(component, STREAMING) for component in (Component.API, Component.API_WEBSOCKET)
        )
        assert websocket == {
            **api,
            **dict.fromkeys(NOT_FOR_ALL, ""),
            "SERVER_WORKER_CLASS": "geventwebsocket.gunicorn.workers.GeventWebSocketWorker",
            "SERVER_WORKER_AMOUNT": "1",
            "SERVER_WORKER_CONNECTIONS": "1000",
        }

    def test_the_migration_is_an_api_that_migrates(self) -> None:
        api, migration = (
            plain_variables(component, NO_FRONTEND) for component in (Component.API, Component.MIGRATION)
        )
        others = {name: value for name, value in api.items() if name not in OF_THE_SERVER}
        empty = dict.fromkeys(NOT_FOR_ALL - {"PLUGIN_DAEMON_KEY"}, "")
        assert migration == {**others, **empty, "MODE": "migration", "MIGRATION_ENABLED": "true"}
        assert api["MIGRATION_ENABLED"] == "false"

    def test_all_read_the_same_secrets_but_for_keys_that_one_has_no_use_for(self) -> None:
        api = secret_variables(Component.API)
        for component in BACKEND_COMPONENTS:
            found = secret_variables(component)
            assert found.items() <= api.items()
            missing = api.keys() - found.keys() - {"INIT_PASSWORD"}
            where = NO_FRONTEND if component is Component.MIGRATION else STREAMING
            # Not Dify's own values, which everybody can read in its source.
            assert {name: plain_variables(component, where)[name] for name in missing} == dict.fromkeys(
                missing, ""
            )

    def test_nothing_of_the_migration_depends_on_the_frontend(self) -> None:
        """A URL in it would be a cycle: the frontend stands behind the migration."""
        of_frontend = {"dify.example.com", "600"}
        assert not of_frontend & set(plain_variables(Component.MIGRATION, NO_FRONTEND).values())
        assert not OF_THE_FRONTEND & plain_variables(Component.MIGRATION, NO_FRONTEND).keys()


class TestSecrets:
    @pytest.mark.parametrize(
        ("here", "there"),
        [
            ((Component.API, "PLUGIN_DAEMON_KEY"), (Component.PLUGIN_DAEMON, "SERVER_KEY")),
            ((Component.API, "INNER_API_KEY_FOR_PLUGIN"), (Component.PLUGIN_DAEMON, "DIFY_INNER_API_KEY")),
            ((Component.WORKER, "CODE_EXECUTION_API_KEY"), (Component.SANDBOX, "API_KEY")),
            ((Component.API, "DB_PASSWORD"), (Component.API, "PGVECTOR_PASSWORD")),
        ],
        ids=lambda side: side[1],
    )
    def test_both_sides_of_a_pair_read_the_same_secret(
        self, here: tuple[Component, str], there: tuple[Component, str]
    ) -> None:
        assert secret_variables(here[0])[here[1]] == secret_variables(there[0])[there[1]]

    def test_each_component_reads_only_what_it_is_for(self) -> None:
        """Plugins inherit the daemon's environment, and the sandbox runs other people's code."""
        found = {
            component: {f.purpose for f in secret_variables(component).values()} for component in Component
        }
        assert found[Component.SANDBOX] == {Purpose.SANDBOX_KEY}
        assert found[Component.WEB] == found[Component.SSRF_PROXY] == set()
        assert found[Component.PLUGIN_DAEMON] == {
            *(Purpose.PLUGIN_DATABASE, Purpose.PLUGIN_CACHE, Purpose.PLUGIN_DAEMON_KEY, Purpose.INNER_API_KEY)
        }
        assert found[Component.API] == set(Purpose) - {Purpose.PLUGIN_DATABASE, Purpose.PLUGIN_CACHE}
        # Every process of Dify's api image starts with these.
        start = {*(Purpose.SECRET_KEY, Purpose.DATABASE, Purpose.CACHE, Purpose.BROKER_URL)}
        assert found[Component.API_WEBSOCKET] == found[Component.BEAT] == start
        assert found[Component.MIGRATION] == start | {Purpose.PLUGIN_DAEMON_KEY}
        assert found[Component.WORKER] == start | {Purpose.PLUGIN_DAEMON_KEY, Purpose.SANDBOX_KEY}

    def test_every_purpose_is_read_by_somebody(self) -> None:
        read = {field.purpose for component in Component for field in secret_variables(component).values()}
        assert read == set(Purpose)

    def test_database_users_are_fields_and_all_else_is_plain_text(self) -> None:
        json_purposes = {Purpose.DATABASE, Purpose.PLUGIN_DATABASE}
        for component in Component:
            for name, source in secret_variables(component).items():
                field = "username" if name.endswith(("USER", "USERNAME")) else "password"
                expected = field if source.purpose in json_purposes else None
                assert source == SecretField(source.purpose, expected), name


class TestUrls:
    @every_component
    def test_public_urls_are_the_frontend_s_own_without_a_path_or_trailing_slash(
        self, component: Component
    ) -> None:
        plain = plain_variables(component, STREAMING)
        assert {plain[name] for name in URLS & plain.keys()} <= {"https://dify.example.com"}
        assert not [name for name, value in plain.items() if "://" in value and value.endswith("/")]

    @pytest.mark.parametrize(("scheme", "socket"), [("https", "wss"), ("http", "ws")])
    def test_schemes_follow_the_frontend(self, scheme: str, socket: str) -> None:
        where = context(scheme=scheme, collaboration=True)
        web = plain_variables(Component.WEB, where)
        assert web["CONSOLE_API_URL"] == web["APP_API_URL"] == f"{scheme}://dify.example.com"
        assert web["NEXT_PUBLIC_SOCKET_URL"] == f"{socket}://dify.example.com"

    def test_the_hook_of_plugin_endpoints_is_left_for_dify_to_fill_in(self) -> None:
        hook = plain_variables(Component.WORKER, STREAMING)["ENDPOINT_URL_TEMPLATE"]
        assert hook == "https://dify.example.com/e/{hook_id}"

    @pytest.mark.parametrize(
        ("component", "name", "url"),
        [
            (Component.WORKER, "INTERNAL_FILES_URL", "http://api.test.internal:5001"),
            (Component.WORKER, "PLUGIN_DAEMON_URL", "http://plugin-daemon.test.internal:5002"),
            (Component.WORKER, "CODE_EXECUTION_ENDPOINT", "http://sandbox.test.internal:8194"),
            (Component.WORKER, "SSRF_PROXY_HTTP_URL", "http://ssrf-proxy.test.internal:3128"),
            (Component.WORKER, "SSRF_PROXY_HTTPS_URL", "http://ssrf-proxy.test.internal:3128"),
            (Component.PLUGIN_DAEMON, "DIFY_INNER_API_URL", "http://api.test.internal:5001"),
            (Component.WEB, "SERVER_CONSOLE_API_URL", "http://api.test.internal:5001"),
            (Component.SANDBOX, "HTTP_PROXY", "http://ssrf-proxy.test.internal:3128"),
        ],
    )
    @every_context
    def test_components_call_each_other_by_full_private_name(
        self, where: Context, component: Component, name: str, url: str
    ) -> None:
        assert plain_variables(component, where)[name] == url


class TestValues:
    @pytest.mark.parametrize(
        ("component", "expected"),
        [
            (
                Component.WORKER,
                {
                    "DEPLOYMENT_EDITION": "COMMUNITY",
                    "LOG_FILE": "",
                    "DB_TYPE": "postgresql",
                    "DB_HOST": "database.example",
                    "DB_PORT": "5432",
                    "DB_DATABASE": "main",
                    "DB_EXTRAS": "sslmode=require",
                    "PGSSLMODE": "require",
                    "SQLALCHEMY_POOL_PRE_PING": "true",
                    "VECTOR_STORE": "pgvector",
                    "PGVECTOR_HOST": "database.example",
                    "PGVECTOR_DATABASE": "pgvector",
                    "REDIS_HOST": "cache.example",
                    "REDIS_PORT": "6379",
                    "REDIS_USERNAME": "dify",
                    "REDIS_DB": "0",
                    "REDIS_USE_SSL": "true",
                    "REDIS_SSL_CERT_REQS": "CERT_REQUIRED",
                    "STORAGE_TYPE": "s3",
                    "S3_USE_AWS_MANAGED_IAM": "true",
                    "S3_BUCKET_NAME": "dify-files",
                    "S3_REGION": "eu-west-1",
                },
            ),
            (
                Component.PLUGIN_DAEMON,
                {
                    "DB_HOST": "database.example",
                    "DB_DATABASE": "dify_plugin",
                    "DB_SSL_MODE": "require",
                    "REDIS_USERNAME": "plugin-daemon",
                    "REDIS_KEY_PREFIX": "plugin_daemon",
                    "PLUGIN_STORAGE_TYPE": "aws_s3",
                    "PLUGIN_STORAGE_OSS_BUCKET": "dify-files",
                    "AWS_REGION": "eu-west-1",
                    "S3_USE_AWS": "true",
                    "S3_USE_AWS_MANAGED_IAM": "true",
                    "S3_USE_PATH_STYLE": "false",
                    "PLUGIN_WORKING_PATH": "/app/storage/cwd",
                    # Key prefixes in the bucket: a change loses every installed plugin.
                    "PLUGIN_INSTALLED_PATH": "plugin",
                    "PLUGIN_PACKAGE_CACHE_PATH": "plugin_packages",
                    "PLUGIN_MEDIA_CACHE_PATH": "assets",
                    "PERSISTENCE_STORAGE_PATH": "persistence",
                    "PLUGIN_REMOTE_INSTALLING_HOST": "127.0.0.1",
                    "PLUGIN_REMOTE_INSTALLING_PORT": "5003",
                    "FORCE_VERIFYING_SIGNATURE": "true",
                },
            ),
            (Component.WEB, {"HOSTNAME": "0.0.0.0", "PORT": "3000", "NEXT_PUBLIC_ENABLE_AGENT_V2": "false"}),
            (Component.SANDBOX, {"SANDBOX_PORT": "8194", "ENABLE_NETWORK": "true", "GIN_MODE": "release"}),
        ],
        ids=["worker", "plugin_daemon", "web", "sandbox"],
    )
    def test_values_are_what_the_component_needs_on_aws(
        self, component: Component, expected: dict[str, str]
    ) -> None:
        plain = plain_variables(component, STREAMING)
        assert {name: plain.get(name) for name in expected} == expected

    def test_the_list_of_queues_stays_dify_s_own(self) -> None:
        """A frozen list starves queues that a later release adds."""
        assert "CELERY_QUEUES" not in all_names(Component.WORKER, STREAMING)


class TestFrontend:
    @pytest.mark.parametrize(
        ("seconds", "gunicorn", "plugins"), [(60, 360, 600), (600, 600, 600), (3600, 3600, 3600)]
    )
    def test_where_answers_stream_no_inner_hop_gives_up_before_the_frontend_or_earlier_than_dify(
        self, seconds: int, gunicorn: int, plugins: int
    ) -> None:
        where = context(timeout=seconds)
        api = plain_variables(Component.API, where)
        daemon = plain_variables(Component.PLUGIN_DAEMON, where)
        web = plain_variables(Component.WEB, where)
        assert api["GUNICORN_TIMEOUT"] == str(gunicorn)
        assert api["PLUGIN_DAEMON_TIMEOUT"] == daemon["PLUGIN_MAX_EXECUTION_TIMEOUT"] == str(plugins)
        assert web["TEXT_GENERATION_TIMEOUT_MS"] == web["WORKFLOW_GENERATION_TIMEOUT_MS"] == f"{seconds}000"
        assert "APP_MAX_EXECUTION_TIME" not in api

    def test_where_nothing_streams_requests_stop_with_the_frontend_and_jobs_go_on(self) -> None:
        api = plain_variables(Component.API, BUFFERED)
        daemon = plain_variables(Component.PLUGIN_DAEMON, BUFFERED)
        web = plain_variables(Component.WEB, BUFFERED)
        worker = plain_variables(Component.WORKER, BUFFERED)
        assert api["PLUGIN_DAEMON_TIMEOUT"] == api["APP_MAX_EXECUTION_TIME"] == "29"
        assert api["GUNICORN_TIMEOUT"] == "360"  # of a stuck process, not of a request
        # Jobs run without anybody waiting at the frontend.
        assert worker["PLUGIN_DAEMON_TIMEOUT"] == daemon["PLUGIN_MAX_EXECUTION_TIMEOUT"] == "600"
        assert web["TEXT_GENERATION_TIMEOUT_MS"] == "29000"

    @pytest.mark.parametrize("component", [Component.API, Component.WORKER, Component.PLUGIN_DAEMON])
    def test_a_frontend_without_a_body_limit_leaves_dify_s_own_limits(self, component: Component) -> None:
        names = plain_variables(component, STREAMING)
        assert not [name for name in names if "FILE_SIZE_LIMIT" in name]

    @settings(deadline=None)
    @given(st.floats(min_value=3, max_value=1000))
    def test_what_dify_accepts_fits_through_the_frontend(self, max_body_mb: float) -> None:
        """Dify counts in MiB, frontends in MB of 10**6 bytes."""
        where = context(max_body_mb=max_body_mb)
        frontend_bytes = max_body_mb * 10**6
        limits = {
            name: int(value)
            for name, value in plain_variables(Component.API, where).items()
            if name.endswith("FILE_SIZE_LIMIT")
        }
        assert len(limits) == 6
        assert {name: value for name, value in limits.items() if value * 2**20 > frontend_bytes} == {}
        assert min(limits.values()) >= 1

    @pytest.mark.parametrize("component", BACKEND_COMPONENTS)
    @every_context
    def test_a_frontend_s_body_limit_does_not_stop_downloads_of_plugins(
        self, where: Context, component: Component
    ) -> None:
        assert plain_variables(component, where)["PLUGIN_MAX_PACKAGE_SIZE"] == "52428800"

    def test_a_wide_frontend_does_not_raise_dify_s_own_limits(self) -> None:
        plain = plain_variables(Component.API, context(max_body_mb=1000))
        limits = {name: value for name, value in plain.items() if name.endswith("FILE_SIZE_LIMIT")}
        assert limits == {
            "UPLOAD_FILE_SIZE_LIMIT": "15",
            "UPLOAD_IMAGE_FILE_SIZE_LIMIT": "10",
            "UPLOAD_AUDIO_FILE_SIZE_LIMIT": "50",
            "UPLOAD_VIDEO_FILE_SIZE_LIMIT": "100",
            "UPLOAD_SKILL_FILE_SIZE_LIMIT": "50",
            "ANNOTATION_IMPORT_FILE_SIZE_LIMIT": "2",
        }

    @pytest.mark.parametrize(
        "component", [Component.API, Component.API_WEBSOCKET, Component.WORKER, Component.BEAT]
    )
    def test_where_nothing_serves_websockets_the_editor_does_not_wait_for_them(
        self, component: Component
    ) -> None:
        """Dify's code has it on, and its fallback knows the built-in address only: both have to go."""
        alone, together = context(), context(collaboration=True)
        assert plain_variables(component, alone)["ENABLE_COLLABORATION_MODE"] == "false"
        assert plain_variables(component, together)["ENABLE_COLLABORATION_MODE"] == "true"
        assert "NEXT_PUBLIC_SOCKET_URL" not in plain_variables(Component.WEB, alone)
        assert plain_variables(Component.WEB, together)["NEXT_PUBLIC_SOCKET_URL"] == "wss://dify.example.com"

    @settings(deadline=None)
    @given(st.integers(1, 4000))
    def test_containers_keep_connections_longer_than_the_hop_before_them(self, seconds: int) -> None:
        where = context(timeout=seconds)
        (kept,) = re.findall(
            r"--keep-alive=(\d+) ", plain_variables(Component.API, where)["GUNICORN_CMD_ARGS"]
        )
        assert int(kept) > seconds
        assert int(plain_variables(Component.WEB, where)["KEEP_ALIVE_TIMEOUT"]) > seconds * 1000

    def test_streams_may_end_in_almost_all_of_the_time_between_the_two_signals(self) -> None:
        arguments = plain_variables(Component.API, STREAMING)["GUNICORN_CMD_ARGS"]
        (seconds,) = re.findall(r"--graceful-timeout=(\d+)$", arguments)
        assert 100 <= int(seconds) < 120

    def test_inner_calls_of_a_plugin_may_take_as_long_as_the_plugin(self) -> None:
        daemon = plain_variables(Component.PLUGIN_DAEMON, context(timeout=3600))
        assert daemon["DIFY_BACKWARDS_INVOCATION_READ_TIMEOUT"] == "3600000"
        assert daemon["PLUGIN_MAX_EXECUTION_TIMEOUT"] == "3600"

    def test_runs_that_cannot_be_answered_any_more_end_in_the_worker_too_unless_somebody_has_others(
        self,
    ) -> None:
        assert plain_variables(Component.WORKER, BUFFERED)["APP_MAX_EXECUTION_TIME"] == "29"
        require_free(Component.WORKER, {"APP_MAX_EXECUTION_TIME": "1200"}, BUFFERED)


def free_rows(component: Component) -> list[Row]:
    return [row for row in TABLE if component in row.components and isinstance(row.value, Default)]


class TestDefaults:
    """What is a size or a habit, and free."""

    @pytest.mark.parametrize(
        ("component", "expected"),
        [
            (
                Component.API,
                {
                    "SERVER_WORKER_CLASS": "gevent",
                    "SERVER_WORKER_CONNECTIONS": "500",
                    "GUNICORN_CMD_ARGS": "--keep-alive=605 --graceful-timeout=110",
                    "SWAGGER_UI_ENABLED": "false",
                    "SCARF_NO_ANALYTICS": "true",
                    "ENABLE_OAUTH_BEARER": "false",
                    "SQLALCHEMY_POOL_SIZE": "30",
                    "SQLALCHEMY_MAX_OVERFLOW": "10",
                },
            ),
            (Component.WORKER, {"CELERY_WORKER_AMOUNT": "16", "SCARF_NO_ANALYTICS": "true"}),
            (
                Component.PLUGIN_DAEMON,
                {
                    "PYTHON_ENV_INIT_TIMEOUT": "600",
                    "HEALTH_API_LOG_ENABLED": "false",
                    "DB_MAX_OPEN_CONNS": "30",
                },
            ),
            (Component.WEB, {"KEEP_ALIVE_TIMEOUT": "605000"}),
        ],
        ids=["api", "worker", "plugin_daemon", "web"],
    )
    def test_the_values(self, component: Component, expected: dict[str, str]) -> None:
        plain = plain_variables(component, STREAMING)
        assert {name: plain.get(name) for name in expected} == expected

    @every_component
    def test_a_user_s_own_value_takes_their_place(self, component: Component) -> None:
        for row in free_rows(component):
            own = {row.name: "700"}
            require_free(component, own, STREAMING)
            assert isinstance(row.value, Default)
            joined = (
                f"{row.value.value(STREAMING)} 700"
                if row.value.joins and callable(row.value.value)
                else "700"
            )
            assert plain_variables(component, STREAMING, own)[row.name] == joined

    @every_component
    def test_a_secret_takes_their_place_too(self, component: Component) -> None:
        for row in free_rows(component):
            assert row.name not in plain_variables(component, STREAMING, {row.name: object()})

    @every_component
    def test_fails_when_a_name_is_one_of_ours_but_for_its_case(self, component: Component) -> None:
        """The start script would not read it, and the default would be gone."""
        for name in [row.name for row in free_rows(component)]:
            with pytest.raises(
                ValueError, match=f"^environment of {component}: write {name}, got '{name.lower()}'$"
            ):
                require_free(component, {name.lower(): "700"}, STREAMING)

    @pytest.mark.parametrize(
        "value",
        [
            *("--forwarded-allow-ips=*", "--keep-alive=9 --forwarder-headers x", "--forwarded-allow *"),
            *(
                "--f=*",
                "--forward='*'",
                "-c /tmp/gunicorn.py",
                "-c/tmp/gunicorn.py",
                "--config=x",
                "--conf x",
            ),
        ],
    )
    def test_fails_when_arguments_of_gunicorn_make_it_believe_a_client(self, value: str) -> None:
        with pytest.raises(
            ValueError, match="GUNICORN_CMD_ARGS must hold none of --forwarded-allow-ips, --f"
        ):
            require_free(Component.API, {"GUNICORN_CMD_ARGS": value}, STREAMING)

    @pytest.mark.parametrize(
        "value", ["--max-requests=1000", "--capture-output", "--keep-alive 9 --log-level debug"]
    )
    def test_other_arguments_of_gunicorn_come_after_ours(self, value: str) -> None:
        require_free(Component.API, {"GUNICORN_CMD_ARGS": value}, STREAMING)
        found = plain_variables(Component.API, STREAMING, {"GUNICORN_CMD_ARGS": value})["GUNICORN_CMD_ARGS"]
        assert found == f"--keep-alive=605 --graceful-timeout=110 {value}"

    @pytest.mark.parametrize("component", [Component.API, Component.API_WEBSOCKET])
    def test_nobody_is_believed_about_the_path_of_a_request(self, component: Component) -> None:
        assert plain_variables(component, STREAMING)["FORWARDED_ALLOW_IPS"] == ","
        with pytest.raises(ValueError, match=r"FORWARDED_ALLOW_IPS is .* cannot be changed: a client could"):
            require_free(component, {"FORWARDED_ALLOW_IPS": "*"}, STREAMING)

    @pytest.mark.parametrize("component", [Component.API, Component.API_WEBSOCKET])
    def test_fails_when_api_would_start_its_development_server(self, component: Component) -> None:
        assert plain_variables(component, STREAMING)["DEBUG"] == "false"
        with pytest.raises(
            ValueError, match=r"cannot be changed: it would replace api's server .*; LOG_LEVEL is free"
        ):
            require_free(component, {"debug": "true"}, STREAMING)
        require_free(Component.WORKER, {"DEBUG": "true"}, STREAMING)

    def test_fails_when_dify_would_wait_shorter_for_code_than_code_may_run(self) -> None:
        where = replace(STREAMING, options={"WORKER_TIMEOUT": "90"})
        require_free(Component.WORKER, {READ_TIMEOUT: "91"}, where)
        with pytest.raises(ValueError, match=r"must be more than the 90 seconds of Sandbox.timeout_seconds"):
            require_free(Component.WORKER, {READ_TIMEOUT: "90"}, where)


class TestExtras:
    # Where every argument is given that brings variables.
    EVERYTHING = replace(
        BUFFERED,
        options=dict.fromkeys([*(row.name for row in TABLE), "PLUGIN_PIP_MIRROR_URL"], "x"),
        secret_options=[row.name for row in TABLE],
    )

    @every_component
    def test_fails_when_a_name_is_taken_and_says_what_changes_it_or_why_nothing_does(
        self, component: Component
    ) -> None:
        for row in (row for row in TABLE if component in row.components):
            if isinstance(row.value, Default):
                continue
            for name in (row.name, row.name.lower()):
                with pytest.raises(ValueError, match=" is set by dify_cdk") as caught:
                    require_free(component, {name: "x"}, self.EVERYTHING)
                told = ", use" if isinstance(row.instead, Argument) else " and cannot be changed:"
                where = f"environment of {component}: {name}"
                assert str(caught.value) == f"{where} is set by dify_cdk{told} {row.instead}"

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("SECRET_KEY", "use secret_key= of DifyData"),
            ("CONSOLE_API_URL", "use domain= of the frontend"),
            ("FILES_URL", "use domain= of the frontend"),
            ("GUNICORN_TIMEOUT", "use request_timeout= of DifyAlbFrontend or DifyHttpApiFrontend"),
        ],
    )
    def test_the_argument_that_changes_it_is_named(self, name: str, told: str) -> None:
        with pytest.raises(ValueError, match=f"{name} is set by dify_cdk, {re.escape(told)}$"):
            require_free(Component.API, {name: "x"}, STREAMING)

    @pytest.mark.parametrize("value", ["plugin_daemon", " plugin_daemon ", "plugin_daemon:a"])
    def test_fails_when_plugins_could_read_all_keys(self, value: str) -> None:
        with pytest.raises(ValueError, match="REDIS_KEY_PREFIX must not begin with plugin_daemon: plugins"):
            require_free(Component.WORKER, {"REDIS_KEY_PREFIX": value}, STREAMING)

    @pytest.mark.parametrize("value", ["", "mine", "plugin_daemons", "my:plugin_daemon"])
    def test_other_prefixes_are_free_but_not_the_daemon_s(self, value: str) -> None:
        require_free(Component.WORKER, {"REDIS_KEY_PREFIX": value}, STREAMING)
        with pytest.raises(ValueError, match=r"REDIS_KEY_PREFIX is set by .* changed: its user"):
            require_free(Component.PLUGIN_DAEMON, {"REDIS_KEY_PREFIX": value}, STREAMING)

    def test_fails_when_dify_s_own_look_at_the_queue_is_switched_on(self) -> None:
        with pytest.raises(ValueError, match=r"ENABLE_DATASETS_QUEUE_MONITOR is set .* DifyMonitoring has"):
            require_free(Component.BEAT, {"ENABLE_DATASETS_QUEUE_MONITOR": "true"}, STREAMING)

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("DB_HOST", "the database is the cluster of DifyData"),
            ("VECTOR_STORE", "the database is the cluster of DifyData"),
            ("REDIS_PASSWORD", "the cache is that of DifyData"),
        ],
    )
    def test_the_reason_is_given_where_no_argument_changes_it(self, name: str, reason: str) -> None:
        with pytest.raises(ValueError, match=f"{name} is set by dify_cdk and cannot be changed: {reason}$"):
            require_free(Component.API, {name: "x"}, STREAMING)

    def test_fails_when_a_row_says_neither(self) -> None:
        with pytest.raises(TypeError, match="row MODE: say which argument changes it, or why none does"):
            Row("MODE", (Component.API,), "api")

    @pytest.mark.parametrize("name", ["SSRF_PROXY_ALLOW_PRIVATE_IPS", "HTTP_PORT", "VISIBLE_HOSTNAME"])
    def test_fails_when_squid_is_given_a_variable(self, name: str) -> None:
        message = f"^environment of ssrf_proxy: nobody reads {name}, since squid has no variables"
        with pytest.raises(ValueError, match=message):
            require_free(Component.SSRF_PROXY, {name: "x"}, STREAMING)
        require_free(Component.SSRF_PROXY, {"TZ": "Asia/Tokyo"}, STREAMING)

    @pytest.mark.parametrize("name", ["", "A=B", "A B", "A\n", " A"])
    def test_fails_when_a_name_is_none(self, name: str) -> None:
        with pytest.raises(ValueError, match=r"environment of worker: .* is not a variable name$"):
            require_free(Component.WORKER, {name: "x"}, STREAMING)

    @pytest.mark.parametrize(
        ("component", "name"),
        [
            (Component.WORKER, "CELERY_WORKER_AMOUNT"),
            (Component.API, "MAIL_TYPE"),
            (Component.API, "SQLALCHEMY_POOL_SIZE"),
            (Component.PLUGIN_DAEMON, "PIP_MIRROR_URL"),
            (Component.SANDBOX, "MAX_WORKERS"),
            (Component.WEB, "ALLOW_EMBED"),
            (Component.WEB, "API_KEY"),  # taken in the sandbox only
        ],
    )
    def test_what_is_free_passes(self, component: Component, name: str) -> None:
        require_free(component, {name: "x", f"{name}_2": "y"}, BUFFERED)

    @settings(deadline=None)
    @given(
        component=st.sampled_from([one for one in Component if one is not Component.SSRF_PROXY]),
        names=st.lists(st.text(string.ascii_letters + string.digits + "_", min_size=1), max_size=4),
    )
    def test_names_outside_the_table_always_pass(self, component: Component, names: list[str]) -> None:
        taken = {row.name for row in TABLE if component in row.components}
        free = dict.fromkeys([name for name in names if name.upper() not in taken], "x")
        require_free(component, free, BUFFERED)

    @pytest.mark.parametrize("name", ["MAIL_TYPE", "SMTP_PASSWORD"])
    def test_variables_of_mail_are_free_without_the_argument(self, name: str) -> None:
        require_free(Component.WORKER, {name: "x"}, STREAMING)
        taken = r"is set by dify_cdk, use mail=SesMail\(\.\.\.\) or SmtpMail\(\.\.\.\) of DifyWorkers$"
        with pytest.raises(ValueError, match=taken):
            require_free(Component.WORKER, {name: "x"}, self.EVERYTHING)

    @pytest.mark.parametrize(
        "name", ["UPLOAD_FILE_SIZE_LIMIT", "UPLOAD_VIDEO_FILE_SIZE_LIMIT", "APP_MAX_EXECUTION_TIME"]
    )
    def test_limits_are_free_where_the_frontend_imposes_none(self, name: str) -> None:
        require_free(Component.API, {name: "1"}, STREAMING)
        with pytest.raises(ValueError, match="is set by dify_cdk"):
            require_free(Component.API, {name: "1"}, BUFFERED)
