"""The tool that begins a release of Dify, on small made-up source trees."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

import dify_sources as sources
import renew_defaults
from dify_cdk.dify.components import BACKEND_COMPONENTS, Component
from dify_defaults import Ignored, Row, Table, Topic, Verdict, read_table, written

DIFY = {
    "api/pyproject.toml": """
        [project]
        name = "dify-api"
        version = "9.1.0"
        """,
    "api/configs/feature/__init__.py": """
        class Limits(BaseSettings):
            SIZE_LIMIT: PositiveInt = Field(description="of a file", default=15)
            LOG_FORMAT: str = Field("text")
        """,
    "api/docker/entrypoint.sh": """
        exec server --class ${SERVER_CLASS:-slow} --timeout ${TIMEOUT:-200}
        """,
    "api/Dockerfile": """
        FROM python AS base
        ENV CONSOLE_URL=http://127.0.0.1:5001
        """,
    "docker/.env.example": """
        SERVER_CLASS=quick
        TIMEOUT=200
        """,
    "docker/envs/core-services/shared.env.example": "SIZE_LIMIT=15\n",
    "docker/docker-compose.yaml": """
        x-shared: &shared
          env_file:
            - path: ./envs/core-services/shared.env
              required: false
            - ./.env
        services:
          api: {<<: *shared, environment: {MODE: api}}
          api_websocket: {<<: *shared}
          worker: {<<: *shared}
          worker_beat: {<<: *shared}
          web: {environment: {DEPTH: "${DEPTH:-50}"}}
          plugin_daemon: {environment: {PACKAGE_SIZE: "${PLUGIN_PACKAGE_SIZE:-500}"}}
          sandbox: {environment: {WORKER_TIMEOUT: "${SANDBOX_WORKER_TIMEOUT:-5}"}}
        """,
    "docker/volumes/sandbox/conf/config.yaml": "worker_timeout: 5\n",
    "docker/ssrf_proxy/squid.conf.template": "read_timeout 2 minutes\n",
    "web/env.ts": """
        const clientSchema = {
          NEXT_PUBLIC_DEPTH: coercedNumber.default(50),
        }
        """,
    "web/docker/entrypoint.sh": "export NEXT_PUBLIC_DEPTH=${DEPTH}\n",
    "web/Dockerfile": "FROM node\nENV PORT=3000\n",
}
DAEMON = {
    "internal/types/app/config.go": """
        type Config struct {
            PackageSize int64 `envconfig:"PACKAGE_SIZE" validate:"required"`
        }
        """,
    "internal/types/app/default.go": "setDefaultInt(&config.PackageSize, 5*100)\n",
    "docker/local.dockerfile": "FROM ubuntu\n",
}
SANDBOX = {
    "conf/config.yaml": "worker_timeout: 5\n",
    "internal/static/config.go": """
        timeout := os.Getenv("WORKER_TIMEOUT")
        if timeout != "" {
            difySandboxGlobalConfigurations.WorkerTimeout, _ = strconv.Atoi(timeout)
        }
        """,
}

TABLE = Table(
    versions={"dify": "9.0.0", "plugin_daemon": "0.1", "sandbox": "0.2"},
    rows=(
        Row(
            variable="SERVER_CLASS",
            components=(Component.API,),
            verdict=Verdict.LOST,
            topic=Topic.LOAD,
            image="slow",
            compose="quick",
            ours="quick",
            why="quick is better",
            source={"image": "api/docker/entrypoint.sh", "compose": "docker/.env.example"},
        ),
        Row(
            variable="SIZE_LIMIT",
            components=BACKEND_COMPONENTS,
            verdict=Verdict.SAME,
            topic=Topic.SIZE,
            code="15",
            compose="15",
            source={
                "code": "api/configs/feature/__init__.py",
                "compose": "docker/envs/core-services/shared.env.example",
            },
        ),
        Row(variable="MODE", components=(Component.API,), verdict=Verdict.GIVEN, ours="api"),
        Row(
            variable="PACKAGE_SIZE",
            components=(Component.PLUGIN_DAEMON,),
            verdict=Verdict.SAME,
            topic=Topic.SIZE,
            code="500",
            compose="500",
            source={"code": "internal/types/app/default.go", "compose": "docker/docker-compose.yaml"},
        ),
        Row(
            variable="WORKER_TIMEOUT",
            components=(Component.SANDBOX,),
            verdict=Verdict.SAME,
            topic=Topic.TIME,
            code="5",
            compose="5",
            source={"code": "conf/config.yaml", "compose": "docker/docker-compose.yaml"},
        ),
    ),
    ignored=(Ignored(pattern=r"MILVUS_\w+", why="another store"),),
)


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return root


@pytest.fixture
def dify(tmp_path: Path) -> Path:
    return plant(tmp_path / "dify", DIFY)


@pytest.fixture
def daemon(tmp_path: Path) -> Path:
    return plant(tmp_path / "daemon", DAEMON)


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    return plant(tmp_path / "sandbox", SANDBOX)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "table.json"
    path.write_text(written(TABLE), encoding="utf-8")
    return path


@pytest.fixture
def run(
    dify: Path, daemon: Path, sandbox: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, list[str]]]:
    """The tool with all three trees: its exit code and what it says."""

    def call(*more: str) -> tuple[int, list[str]]:
        arguments = [str(dify), "--daemon", str(daemon), "--sandbox", str(sandbox), *more]
        code = renew_defaults.main(arguments, file)
        return code, capsys.readouterr().out.splitlines()

    return call


Run = Callable[..., tuple[int, list[str]]]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def with_rows(file: Path, *rows: Row) -> None:
    file.write_text(written(replace(TABLE, rows=(*TABLE.rows, *rows))), encoding="utf-8")


class TestSources:
    """One test for each format."""

    def test_settings_classes(self) -> None:
        found = sources.settings(
            dedent(
                '''
                class A(BaseSettings):
                    """Text with KEY: str = "no" in it."""
                    KEYWORD: PositiveInt = Field(description="x", default=5)
                    POSITIONAL: str = Field("text", description="x")
                    PLAIN: bool = False
                    FLOAT: float = Field(default=600.0)
                    PRODUCT: int = Field(default=50 * 1024 * 1024)
                    CALL: HttpUrl = Field(default=HttpUrl("http://sandbox:8194"))
                    EXPRESSION: int = Field(default=os.cpu_count() or 1)
                    NOTHING: str | None = Field(default=None)
                    REQUIRED: str = Field(...)
                    inner_ORIGINS: str = Field(validation_alias=AliasChoices("ORIGINS", "PLAIN"), default="*")
                    helper: int = 1
                '''
            ),
            "a.py",
        )
        assert {name: one.value for name, one in found.items()} == {
            "KEYWORD": "5",
            "POSITIONAL": "text",
            "PLAIN": "false",
            "FLOAT": "600",
            "PRODUCT": "52428800",
            "CALL": "http://sandbox:8194",
            "EXPRESSION": "os.cpu_count() or 1",
            "NOTHING": None,
            "REQUIRED": None,
            "ORIGINS": "*",
        }
        assert {one.file for one in found.values()} == {"a.py"}

    def test_what_modules_ask_the_system_for(self, tmp_path: Path) -> None:
        files = {
            "api/core/tool.py": 'A = int(getenv("TOOL_TIMEOUT", "10"))\nB = os.environ.get("TOOL_KEY")\n',
            "api/tests/test_tool.py": 'os.getenv("ONLY_IN_TESTS", "1")\n',
            "api/configs/feature.py": "class A:\n    TOOL_KEY: str = Field(default='settings win')\n",
        }
        found = sources.api_code(plant(tmp_path, files))
        assert {name: one.value for name, one in found.items()} == {
            "TOOL_TIMEOUT": "10",
            "TOOL_KEY": "settings win",
        }

    def test_entry_scripts(self) -> None:
        text = dedent(
            """
            # not ${COMMENTED:-1}
            export LANG=${LANG:-C.UTF-8}
            if [[ "${MODE}" == "worker" ]]; then
              POOL="${POOL_NAME:-${POOL_CLASS:-gevent}}"
              run --amount ${AMOUNT:-1} ${lower:-2} --language ${LANG}
            """
        )
        found = sources.entry_script(text, "entrypoint.sh")
        assert {name: one.value for name, one in found.items()} == {
            "LANG": "C.UTF-8",
            "MODE": None,
            "POOL_NAME": None,
            "POOL_CLASS": "gevent",
            "AMOUNT": "1",
        }

    def test_dockerfiles(self) -> None:
        text = dedent(
            """
            FROM golang AS builder
            ENV ONLY_IN_THE_BUILD=1
            FROM ubuntu
            ARG PLATFORM=local
            ENV PLATFORM=$PLATFORM
            ENV OLD_FORM value
            ENV URL="http://127.0.0.1:5001"
            """
        )
        found = sources.dockerfile(text, "Dockerfile")
        assert {name: one.value for name, one in found.items()} == {
            "PLATFORM": "local",
            "OLD_FORM": "value",
            "URL": "http://127.0.0.1:5001",
        }

    def test_docker_compose(self, tmp_path: Path) -> None:
        """The service's own environment, then .env, then templates of which the later one wins."""
        files = {
            "docker/.env.example": f"IN_ENV=env\nGIVEN=of env\nEMPTY=\n# COMMENTED=1\nKEY={'aB3/' * 9}\n",
            "docker/envs/first.env.example": "IN_ENV=template\nIN_BOTH=first\nIN_ONE=first\n",
            "docker/envs/second.env.example": "IN_BOTH=second\n",
            "docker/docker-compose.yaml": """
                services:
                  api:
                    env_file:
                      - path: ./envs/first.env
                        required: false
                      - path: ./envs/second.env
                        required: false
                      - path: ./envs/missing.env
                        required: false
                      - ./.env
                    environment:
                      LITERAL: 1
                      FROM_ENV: ${GIVEN:-default}
                      FROM_DEFAULT: ${NOT_GIVEN:-http://localhost/e/{hook_id}}
                      FROM_EMPTY: ${EMPTY:-default}
                      NOTHING: ${NOT_GIVEN:-}
                  web: {}
                """,
        }
        compose = sources.Compose.read(plant(tmp_path, files))
        env, file = "docker/.env.example", "docker/docker-compose.yaml"
        assert compose.of("api") == {
            "IN_ENV": sources.Found("env", env),
            "GIVEN": sources.Found("of env", env),
            "EMPTY": sources.Found(None, env),
            "KEY": sources.Found("a published key", env),
            "IN_BOTH": sources.Found("second", "docker/envs/second.env.example"),
            "IN_ONE": sources.Found("first", "docker/envs/first.env.example"),
            "LITERAL": sources.Found("1", file),
            "FROM_ENV": sources.Found("of env", env),
            "FROM_DEFAULT": sources.Found("http://localhost/e/{hook_id}", file),
            "FROM_EMPTY": sources.Found("default", file),
            "NOTHING": sources.Found(None, file),
        }
        assert compose.of("web") == {}

    def test_web(self, tmp_path: Path) -> None:
        files = {
            "web/env.ts": """
                const clientSchema = {
                  NEXT_PUBLIC_ALLOW_EMBED: coercedBoolean.default(false),
                  NEXT_PUBLIC_BASE: z.string().regex(/x/).or(z.literal('')).default('a'),
                  NEXT_PUBLIC_DSN: z.string().optional(),
                }
                export const env = createEnv({
                  server: {
                    PORT: coercedNumber.default(3000),
                  },
                  experimental__runtimeEnv: {
                    NEXT_PUBLIC_ALLOW_EMBED: isServer ? process.env.NEXT_PUBLIC_ALLOW_EMBED : get('x'),
                  },
                })
                """,
            "web/docker/entrypoint.sh": """
                export NEXT_PUBLIC_ALLOW_EMBED=${NEXT_PUBLIC_ALLOW_EMBED:-${ALLOW_EMBED}}
                export NEXT_PUBLIC_DSN=${SENTRY_DSN}
                export NEXT_PUBLIC_PREFIX=${CONSOLE_URL}/console/api
                """,
        }
        found = sources.web_code(plant(tmp_path, files))
        assert {name: one.value for name, one in found.items()} == {
            "NEXT_PUBLIC_ALLOW_EMBED": "false",
            "ALLOW_EMBED": "false",
            "NEXT_PUBLIC_BASE": "a",
            "NEXT_PUBLIC_DSN": None,
            "SENTRY_DSN": None,
            "PORT": "3000",
        }

    def test_plugin_daemon(self, tmp_path: Path) -> None:
        files = {
            "internal/types/app/config.go": """
                type Config struct {
                    Port     uint16   `envconfig:"PORT" validate:"required"`
                    Iam      bool     `envconfig:"IAM" default:"false"`
                    Pprof    bool     `envconfig:"PPROF"`
                    Timeout  int      `envconfig:"TIMEOUT"  validate:"required" default:"120"`
                    Size     int64    `envconfig:"SIZE" validate:"required"`
                    Url      *string  `envconfig:"URL"`
                    Keys     []string `envconfig:"KEYS"  default:""`
                    Kind     string   `envconfig:"KIND" validate:"required"`
                    Platform OwnType  `envconfig:"PLATFORM" validate:"required"`
                    Level    string   `envconfig:"LEVEL" default:"INFO"`
                    NotRead  string
                }
                """,
            "internal/types/app/default.go": """
                setDefaultInt(&config.Port, 5002)
                setDefaultInt(&config.Timeout, 60)
                setDefaultInt(&config.Size, 50*1024*1024)
                setDefaultString(&config.Kind, oss.LOCAL)
                setDefaultString(&config.Level, "DEBUG")
                """,
        }
        found = sources.daemon_code(plant(tmp_path, files))
        assert {name: one.value for name, one in found.items()} == {
            "PORT": "5002",
            "IAM": "false",
            "PPROF": "false",
            "TIMEOUT": "120",
            "SIZE": "52428800",
            "URL": None,
            "KEYS": None,
            "KIND": "oss.LOCAL",
            "PLATFORM": None,
            "LEVEL": "INFO",
        }
        assert found["PORT"].file == "internal/types/app/default.go"
        assert found["TIMEOUT"].file == "internal/types/app/config.go"

    def test_sandbox(self) -> None:
        overrides = dedent(
            """
            debug, err := strconv.ParseBool(os.Getenv("DEBUG"))
            if err == nil {
                difySandboxGlobalConfigurations.App.Debug = debug
            }
            workers := os.Getenv("MAX_WORKERS")
            if workers != "" {
                difySandboxGlobalConfigurations.MaxWorkers, _ = strconv.Atoi(workers)
            }
            interval := os.Getenv("INTERVAL")
            if interval != "" {
                difySandboxGlobalConfigurations.DepsInterval = interval
            }
            if difySandboxGlobalConfigurations.DepsInterval == "" {
                difySandboxGlobalConfigurations.DepsInterval = "30m"
            }
            proxy := os.Getenv("HTTP_PROXY")
            if proxy != "" {
                difySandboxGlobalConfigurations.Proxy.Http = proxy
            }
            """
        )
        config = "app:\n  debug: True\nmax_workers: 4\nproxy:\n  http: ''\n"
        found = sources.sandbox_config(overrides, config, "conf/config.yaml")
        assert {name: one.value for name, one in found.items()} == {
            "DEBUG": "true",
            "MAX_WORKERS": "4",
            "INTERVAL": "30m",
            "HTTP_PROXY": None,
        }

    def test_proxy(self) -> None:
        text = "acl all src all\nhttp_access deny all\n# read_timeout 1 hour\nread_timeout 2 minutes # why\n"
        found = sources.squid_directives(text, "squid.conf")
        assert found == {"read_timeout": sources.Found("2 minutes", "squid.conf")}


class TestWhatMoved:
    def test_nothing_moves_where_the_table_says_what_the_trees_say(self, run: Run) -> None:
        assert run() == (0, [])

    @pytest.mark.parametrize(
        ("path", "change", "line"),
        [
            (
                "dify/api/configs/feature/__init__.py",
                ("default=15", "default=20"),
                "SIZE_LIMIT of api, api_websocket, worker, beat, migration: code '15' is now '20'",
            ),
            (
                "dify/api/docker/entrypoint.sh",
                (":-slow", ":-slower"),
                "SERVER_CLASS of api: image 'slow' is now 'slower'",
            ),
            (
                "dify/docker/.env.example",
                ("SERVER_CLASS=quick\n", ""),
                "SERVER_CLASS of api: compose 'quick' is now nothing",
            ),
            (
                "daemon/internal/types/app/default.go",
                ("5*100", "5*200"),
                "PACKAGE_SIZE of plugin_daemon: code '500' is now '1000'",
            ),
            (
                "sandbox/conf/config.yaml",
                ("5", "6"),
                "WORKER_TIMEOUT of sandbox: code '5' is now '6'",
            ),
        ],
        ids=["code", "image", "compose", "daemon", "sandbox"],
    )
    def test_a_default_that_changed_is_told_and_ends_with_1(
        self, tmp_path: Path, run: Run, path: str, change: tuple[str, str], line: str
    ) -> None:
        edit(tmp_path / path, *change)
        _, _, name = path.partition("/")
        assert run() == (1, [f"changed   {line} ({name})"])

    def test_a_variable_that_compose_sets_otherwise_is_new(self, dify: Path, run: Run) -> None:
        edit(dify / "docker" / ".env.example", "TIMEOUT=200", "TIMEOUT=360\nNOBODY_READS_THIS=1")
        line = "new       TIMEOUT of api: '200', in Compose '360' (docker/.env.example); add a row"
        assert run() == (1, [line])

    def test_a_variable_that_a_service_alone_gets_is_new(self, dify: Path, run: Run) -> None:
        edit(
            dify / "docker" / "docker-compose.yaml", "environment: {DEPTH", "environment: {GIN_MODE: x, DEPTH"
        )
        line = "new       GIN_MODE of web: nothing, in Compose 'x' (docker/docker-compose.yaml); add a row"
        assert run() == (1, [line])

    def test_what_is_ignored_is_not_new(self, dify: Path, run: Run) -> None:
        edit(dify / "docker" / ".env.example", "TIMEOUT=200", "TIMEOUT=200\nMILVUS_URI=http://milvus")
        edit(
            dify / "api" / "configs" / "feature" / "__init__.py",
            "    LOG_FORMAT",
            '    MILVUS_URI: str = ""\n    LOG_FORMAT',
        )
        assert run() == (0, [])

    def test_a_shell_takes_what_compose_empties_for_unset_and_code_does_not(
        self, dify: Path, run: Run
    ) -> None:
        edit(dify / "docker" / ".env.example", "TIMEOUT=200", "TIMEOUT=\nLOG_FORMAT=\nCONSOLE_URL=")
        code, lines = run()
        assert code == 1
        assert [line.split()[1] for line in lines] == ["CONSOLE_URL", "LOG_FORMAT"]

    def test_a_variable_that_nobody_reads_any_more_is_gone(self, dify: Path, run: Run) -> None:
        edit(dify / "docker" / "docker-compose.yaml", ", environment: {MODE: api}", "")
        assert run() == (1, ["gone      MODE of api: nobody reads it; delete the row"])

    def test_a_variable_of_a_later_release_is_not_missed(self, file: Path, run: Run) -> None:
        later = Row(
            variable="NEW", components=(Component.API,), verdict=Verdict.GIVEN, ours="x", since="10.0.0"
        )
        with_rows(file, later)
        assert run() == (0, [])
        with_rows(file, replace(later, since="9.1.0"))
        assert run() == (1, ["gone      NEW of api: nobody reads it; delete the row"])

    def test_what_a_library_reads_is_kept_by_hand(self, file: Path, run: Run) -> None:
        source = {"code": "gunicorn 26.0.0"}
        row = Row(
            variable="ARGS",
            components=(Component.API,),
            verdict=Verdict.OURS,
            code="--keep-alive=2",
            source=source,
        )
        with_rows(file, row)
        assert run("--write") == (0, [])
        assert read_table(file).rows[-1] == row

    def test_what_is_kept_by_hand_is_taken_from_the_tree_that_says_it(self, file: Path, run: Run) -> None:
        source = {"code": "a template of a later release"}
        row = Row(
            variable="LOG_FORMAT",
            components=(Component.API,),
            verdict=Verdict.LEFT,
            code="json",
            source=source,
        )
        with_rows(file, row)
        line = "changed   LOG_FORMAT of api: code 'json' is now 'text' (api/configs/feature/__init__.py)"
        assert run("--write") == (1, [line])
        assert read_table(file).rows[-1].source == {"code": "api/configs/feature/__init__.py"}

    def test_components_that_do_not_hold_the_same_need_rows_of_their_own(
        self, dify: Path, file: Path, run: Run
    ) -> None:
        edit(
            dify / "docker" / "docker-compose.yaml",
            "worker: {<<: *shared}",
            "worker: {environment: {TIMEOUT: 9}}",
        )
        files = {"image": "api/docker/entrypoint.sh", "compose": "docker/.env.example"}
        components = (Component.API, Component.WORKER)
        row = Row(
            variable="TIMEOUT",
            components=components,
            verdict=Verdict.SAME,
            image="200",
            compose="200",
            source=files,
        )
        with_rows(file, row)
        line = (
            "split     TIMEOUT of api, worker: compose is '200' for api, '9' for worker; make a row for each"
        )
        assert run() == (1, [line])

    def test_rows_whose_tree_is_not_given_stay(self, dify: Path, file: Path) -> None:
        assert renew_defaults.main([str(dify), "--write"], file) == 0
        assert read_table(file).rows == TABLE.rows


class TestWriting:
    def test_defaults_are_written_and_verdicts_are_not(self, dify: Path, file: Path, run: Run) -> None:
        edit(dify / "api" / "docker" / "entrypoint.sh", ":-slow", ":-slower")
        edit(dify / "docker" / ".env.example", "SERVER_CLASS=quick\n", "")
        assert run()[0] == 1
        assert read_table(file).rows == TABLE.rows, "written without being asked"
        assert run("--write")[0] == 1
        first, *others = read_table(file).rows
        assert first == replace(
            TABLE.rows[0], image="slower", compose=None, source={"image": "api/docker/entrypoint.sh"}
        )
        assert others == list(TABLE.rows[1:])
        assert run() == (0, [])

    def test_what_is_gone_or_new_is_left_to_people(self, dify: Path, file: Path, run: Run) -> None:
        edit(dify / "docker" / "docker-compose.yaml", ", environment: {MODE: api}", "")
        edit(dify / "docker" / ".env.example", "TIMEOUT=200", "TIMEOUT=360")
        assert run("--write")[0] == run("--write")[0] == 1
        assert [row.variable for row in read_table(file).rows] == [row.variable for row in TABLE.rows]

    def test_the_head_says_what_was_read(self, dify: Path, sandbox: Path, file: Path, run: Run) -> None:
        for tree in (dify, sandbox):
            git = ["git", "-C", str(tree), "-c", "user.name=a", "-c", "user.email=a@example.com"]
            for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "a"], ["tag", "1.0"]):
                subprocess.run([*git, *command], check=True, capture_output=True)
        run("--write")
        assert read_table(file).versions == {"dify": "9.1.0 (1.0)", "plugin_daemon": "0.1", "sandbox": "1.0"}


def test_fails_when_the_tree_is_no_dify(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        renew_defaults.main([str(tmp_path)], file)
    assert caught.value.code == 2
    assert re.search(r"api/pyproject\.toml is missing: give checkouts", capsys.readouterr().err)


def test_fails_when_the_tree_names_no_version(dify: Path, file: Path) -> None:
    edit(dify / "api" / "pyproject.toml", 'version = "9.1.0"', "")
    with pytest.raises(ValueError, match=r"api/pyproject\.toml names no version"):
        renew_defaults.main([str(dify)], file)
