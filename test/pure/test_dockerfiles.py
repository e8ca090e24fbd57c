"""What the Dockerfiles say; ``test/handlers/test_lambda_image.py`` carries it out."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest
from hatchling.builders.wheel import WheelBuilder

from dify_cdk.cdk_helpers.assets import node_binary
from dify_cdk.dify.components import Component
from dify_cdk.dify.environment import TABLE, SecretField
from dify_defaults import known_names
from dockerfiles import DOCKER, IMAGES, Dockerfile, instructions_in, read

ROOT = Path(__file__).parents[2]
ROLES = {"api_lambda": Component.API, "web_lambda": Component.WEB}
SECRET = re.compile(r"SECRET|PASSWORD|TOKEN|(?<!TELEMETRY_)KEY(?!_?ALIVE)", re.IGNORECASE)

# Variables that something else than Dify reads, and what that is.
OTHERS = {
    "GUNICORN_CMD_ARGS": "gunicorn",
    "HF_HOME": "huggingface_hub",
    "HOME": "everything",
    "MPLCONFIGDIR": "matplotlib",
    "NUMBA_CACHE_DIR": "numba",
    "PYTHONDONTWRITEBYTECODE": "Python",
    "RUST_LOG": "the adapter",
    "XDG_CACHE_HOME": "many libraries",
    "DIFY_CDK_NEXT_CACHE": "start.sh",
}
ADAPTER = {  # of version 0.9.1, with what may be set
    "AWS_LWA_ASYNC_INIT": r"true|false",  # anything else means false
    "AWS_LWA_AUTHORIZATION_SOURCE": r"x-dify-[a-z-]+",
    "AWS_LWA_INVOKE_MODE": r"response_stream",
    "AWS_LWA_PORT": r"\d+",
    "AWS_LWA_READINESS_CHECK_PATH": r"/health",
    "AWS_LWA_READINESS_CHECK_PROTOCOL": r"tcp",
}


@pytest.fixture(scope="module", params=IMAGES)
def dockerfile(request: pytest.FixtureRequest) -> Dockerfile:
    return read(request.param)


@pytest.fixture(scope="module")
def api() -> Dockerfile:
    return read("api_lambda")


@pytest.fixture(scope="module")
def web() -> Dockerfile:
    return read("web_lambda")


class TestTheReader:
    """It finds what the rules below are about."""

    def test_it_joins_lines_and_leaves_comments_out(self) -> None:
        lines = ["# a", "FROM x AS y", "RUN a && \\", "    # why", "    b; \\", "  c", ""]
        lines += ["env A=1 \\", "  B='2 3'", 'CMD ["d", "e"]']
        one, two, three, four = instructions_in("\n".join(lines))
        assert (one.name, one.words) == ("FROM", ["x", "AS", "y"])
        assert (two.name, two.text) == ("RUN", "a && b; c")
        assert (three.name, three.pairs) == ("ENV", {"A": "1", "B": "2 3"})
        assert (four.words, four.is_exec_form, two.is_exec_form) == (["d", "e"], True, False)

    def test_it_reads_every_image(self) -> None:
        assert set(IMAGES) == set(ROLES)


class TestFiles:
    def test_what_is_copied_is_there_and_nothing_else(self, dockerfile: Dockerfile) -> None:
        copied = {source for source, _ in dockerfile.image.copied}
        there = {path.name for path in dockerfile.folder.iterdir() if path.name != "__pycache__"}
        assert there == copied | {"Dockerfile", ".dockerignore"}

    def test_nothing_else_enters_the_build(self, dockerfile: Dockerfile) -> None:
        """So that a stray file neither ends in the image nor makes another image of it.

        Docker itself would find a Dockerfile that is ignored; a build in AWS would not be sent it.
        """
        copied = ["Dockerfile", *sorted(source for source, _ in dockerfile.image.copied)]
        lines = (dockerfile.folder / ".dockerignore").read_text(encoding="utf-8").splitlines()
        assert lines == ["*", *(f"!{source}" for source in copied)]

    def test_all_of_it_is_in_the_wheel(self, dockerfile: Dockerfile) -> None:
        included = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
        wanted = {"Dockerfile", ".dockerignore"} | {source for source, _ in dockerfile.image.copied}
        assert {f"dify_cdk/docker/{dockerfile.folder.name}/{name}" for name in wanted} <= included

    def test_files_are_plain_text_with_unix_lines(self, dockerfile: Dockerfile) -> None:
        for path in dockerfile.folder.iterdir():
            if path.is_file():
                assert b"\r" not in path.read_bytes()
                path.read_text(encoding="ascii")

    def test_what_is_copied_can_be_read_by_everybody(self, dockerfile: Dockerfile) -> None:
        """The last change of the files' modes comes after the last copy of them."""
        names = [
            "chmod" if "/opt/dify-cdk" in one.text and one.text.startswith("chmod") else one.name
            for one in dockerfile.image.instructions
        ]
        assert names.index("chmod") > max(index for index, name in enumerate(names) if name == "COPY")


class TestBases:
    def test_the_image_of_dify_is_always_chosen_by_the_caller(self, dockerfile: Dockerfile) -> None:
        assert dockerfile.image.base == "${IMAGE}"
        assert dockerfile.arguments["IMAGE"] == ""

    def test_the_adapter_is_pinned(self, dockerfile: Dockerfile) -> None:
        (adapter,) = dockerfile.stages[:-1]
        name, _, tag = dockerfile.resolved(adapter.base).rpartition(":")
        assert name == "public.ecr.aws/awsguru/aws-lambda-adapter"
        assert re.fullmatch(r"\d+\.\d+\.\d+", tag)
        assert dockerfile.arguments["LWA_VERSION"] == tag

    def test_all_images_have_the_same_adapter(self) -> None:
        assert len({read(name).arguments["LWA_VERSION"] for name in IMAGES}) == 1

    def test_the_adapter_is_where_lambda_looks_for_extensions(self, dockerfile: Dockerfile) -> None:
        (copy,) = (one for one in dockerfile.image.all("COPY") if "from" in one.options)
        assert copy.options == {"from": str(dockerfile.stages[0].name)}
        assert copy.words[1:] == ["/lambda-adapter", "/opt/extensions/lambda-adapter"]

    def test_nothing_floats(self, dockerfile: Dockerfile) -> None:
        assert "latest" not in (dockerfile.folder / "Dockerfile").read_text(encoding="utf-8")


class TestUsers:
    def test_it_is_built_as_root_and_runs_as_somebody_else(self, dockerfile: Dockerfile) -> None:
        users = [one.text for one in dockerfile.image.all("USER")]
        assert users == ["0", "1001"]
        names = [one.name for one in dockerfile.image.instructions]
        assert names.index("USER") < names.index("RUN")

    def test_only_the_large_layer_comes_before_what_changes(self, api: Dockerfile) -> None:
        """A change of the entry script or of a variable must not compile Dify again."""
        names = [(one.name, one.text.split()[0]) for one in api.image.instructions]
        assert names[:3] == [("USER", "0"), ("COPY", "prepare.py"), ("RUN", '["python",')]


class TestStart:
    def test_it_starts_the_script_without_a_shell_between(self, dockerfile: Dockerfile) -> None:
        entrypoint, command = (dockerfile.image.last(name) for name in ("ENTRYPOINT", "CMD"))
        assert entrypoint.is_exec_form
        assert command.is_exec_form
        assert PurePosixPath(entrypoint.words[0]).is_absolute()
        assert entrypoint.words[-1] in {target for _, target in dockerfile.image.copied}

    def test_dify_is_started_as_its_own_images_start_it(self, api: Dockerfile, web: Dockerfile) -> None:
        assert api.image.last("CMD").words == ["/bin/bash", "/entrypoint.sh"]
        assert web.image.last("CMD").words == ["/bin/sh", "./entrypoint.sh"]

    def test_python_sees_neither_the_environment_nor_packages(self, api: Dockerfile) -> None:
        assert {"-I", "-S"} <= set(api.image.last("ENTRYPOINT").words)

    def test_the_working_directory_is_the_one_of_the_image(self, dockerfile: Dockerfile) -> None:
        assert dockerfile.image.all("WORKDIR") == []


class TestEnvironment:
    def test_every_name_is_one_that_something_reads(self, dockerfile: Dockerfile) -> None:
        known = known_names(ROLES[dockerfile.folder.name]) | OTHERS.keys() | ADAPTER.keys()
        assert dockerfile.image.environment.keys() - known == set()

    def test_the_adapter_understands_every_value(self, dockerfile: Dockerfile) -> None:
        for name, value in dockerfile.image.environment.items():
            if name.startswith("AWS_LWA_"):
                assert re.fullmatch(ADAPTER[name], value), name

    def test_there_is_no_secret(self, dockerfile: Dockerfile) -> None:
        secrets = {row.name for row in TABLE if isinstance(row.value, SecretField)}
        names = {*dockerfile.image.environment, *dockerfile.arguments}
        names |= {name for stage in dockerfile.stages for one in stage.all("ARG") for name in one.pairs}
        assert names & secrets == set()
        assert [name for name in names if SECRET.search(name)] == []

    def test_the_port_is_the_same_for_all(self, api: Dockerfile, web: Dockerfile) -> None:
        found = api.image.environment
        assert found["AWS_LWA_PORT"] == found["DIFY_PORT"] == str(Component.API.port)
        found = web.image.environment
        assert found["AWS_LWA_PORT"] == found["PORT"] == str(Component.WEB.port)

    def test_the_table_says_nothing_else(self, dockerfile: Dockerfile) -> None:
        """The function's environment wins; where both set a variable, they agree."""
        component = ROLES[dockerfile.folder.name]
        table = {
            row.name: row.value for row in TABLE if component in row.components and isinstance(row.value, str)
        }
        both = table.keys() & dockerfile.image.environment.keys()
        assert {name: table[name] for name in both} == {
            name: dockerfile.image.environment[name] for name in both
        }

    def test_how_long_connections_are_kept_is_said_by_the_function_and_not_twice(
        self, dockerfile: Dockerfile
    ) -> None:
        assert not dockerfile.image.environment.keys() & {"GUNICORN_CMD_ARGS", "KEEP_ALIVE_TIMEOUT"}

    def test_what_is_written_is_written_to_the_only_place(self, dockerfile: Dockerfile) -> None:
        folders = {
            name: value for name, value in dockerfile.image.environment.items() if value.startswith("/")
        }
        paths = {name: PurePosixPath(value) for name, value in folders.items() if name in OTHERS}
        assert "HOME" in paths
        assert all(path.is_relative_to("/tmp") for path in paths.values())

    def test_every_folder_is_made_at_the_start(self, api: Dockerfile, web: Dockerfile) -> None:
        source = (DOCKER / "api_lambda" / "start.py").read_text(encoding="utf-8")
        (made,) = (
            ast.literal_eval(node.value)
            for node in ast.parse(source).body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FOLDERS"
        )
        found = {name for name, value in api.image.environment.items() if value.startswith("/tmp")}
        assert set(made) == found
        script = (DOCKER / "web_lambda" / "start.sh").read_text(encoding="utf-8")
        (line,) = (line for line in script.splitlines() if line.startswith("mkdir -p "))
        found = {name for name, value in web.image.environment.items() if value.startswith("/tmp")}
        assert set(re.findall(r"\$(\w+)", line)) == found

    def test_our_own_names_are_not_dify_s(self) -> None:
        files = [path for name in IMAGES for path in (DOCKER / name).iterdir() if path.is_file()]
        ours = {name for path in files for name in re.findall(r"\bDIFY_CDK_\w+", path.read_text())}
        assert {"DIFY_CDK_SECRETS", "DIFY_CDK_URL_PARAMETER", "DIFY_CDK_URL_TEMPLATES"} <= ours
        assert ours & {name for component in Component for name in known_names(component)} == set()


class TestSyntax:
    @pytest.mark.skipif(sys.platform == "win32", reason="hadolint has no wheel for Windows")
    @pytest.mark.parametrize("name", IMAGES)
    def test_hadolint_has_nothing_to_say(self, name: str) -> None:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        hadolint = shutil.which("hadolint", path=path)
        assert hadolint is not None, "hadolint is one of the locked packages: python3 dev.py installs it"
        command = [hadolint, "--no-color", "--failure-threshold", "style", str(DOCKER / name / "Dockerfile")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "")

    @pytest.mark.parametrize("name", ["start.sh", "pm2"])
    def test_the_shell_scripts_are_well_formed(self, name: str) -> None:
        path = DOCKER / "web_lambda" / name
        assert path.read_text(encoding="utf-8").startswith("#!/bin/sh\n"), "Alpine has no bash"
        done = subprocess.run(["/bin/sh", "-n", path], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    def test_the_javascript_is_well_formed(self) -> None:
        node = node_binary()
        assert node is not None
        path = DOCKER / "web_lambda" / "public_url.mjs"
        done = subprocess.run([node, "--check", path], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.parametrize("name", ["start.py", "prepare.py"])
    @pytest.mark.parametrize("version", [(3, 11), (3, 12)])
    def test_the_python_is_not_newer_than_dify_s(self, name: str, version: tuple[int, int]) -> None:
        source = (DOCKER / "api_lambda" / name).read_text(encoding="utf-8")
        ast.parse(source, feature_version=version)
