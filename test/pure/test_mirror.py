"""The script that copies images: run by a shell with programs that only write down what they are told."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from dify_cdk import cli
from dify_cdk.cli import _mirror
from dify_cdk.cli.mirror_script import TOOLS, images, mirror_script
from dify_cdk.dify.components import Component
from dify_cdk.dify.release import DifyRelease, ecr_registry
from dockerfiles import DOCKER

ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
DIGEST = f"sha256:{'1' * 64}"
OTHER = f"sha256:{'2' * 64}"
ADAPTER = "awsguru/aws-lambda-adapter:0.9.1"


@pytest.fixture(autouse=True)
def nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the library knows today."""
    for module in (
        "dify_cdk.cli.mirror_script",
        "dify_cdk.dify.release",
    ):
        monkeypatch.setattr(f"{module}.KNOWN_DIGESTS", {})


# Writes down its name, arguments and the password it is given. A repository is there if its file is. An image
# has the digest that was copied to it, or a file says.
PROGRAM = """#!/bin/sh
name=$(basename "$0")
case "$*" in *--password-stdin*) input=" < $(cat)" ;; *) input="" ;; esac
echo "$name $*$input" >> "$LOG"
for last in "$@"; do :; done
file="$HAVE/digest_$(echo "${last#docker://}" | tr /: __)"
case "$*" in
  *inspect*|"digest "*) if test -e "$file"; then cat "$file"; else echo "$DIGEST"; fi ;;
  *get-login-password*) echo secret ;;
  *describe-repositories*) test -e "$HAVE/$(echo "$*" | tr / _ | sed 's/.* //')" ;;
esac
"""


class Shell:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.have = folder / "have"
        self.have.mkdir()
        for name in ("aws", *TOOLS):
            program = folder / name
            program.write_text(PROGRAM)
            program.chmod(0o755)

    def run(self, script: str, **variables: str) -> list[str]:
        environment = {
            "PATH": f"{self.folder}:/usr/bin:/bin",
            "LOG": str(self.log),
            "HAVE": str(self.have),
            "DIGEST": DIGEST,
            **variables,
        }
        result = subprocess.run(
            ["sh"], input=script, text=True, check=True, env=environment, capture_output=True
        )
        self.printed = result.stdout.splitlines()
        return self.log.read_text().splitlines()

    def copies(self, script: str, **variables: str) -> list[str]:
        """The commands without those that ask for digests."""
        commands = self.run(script, **variables)
        return [one for one in commands if not re.search(r" (inspect|digest) ", one)]

    def say(self, image: str, digest: str) -> None:
        """Let an image have another digest."""
        (self.have / f"digest_{re.sub('[/:]', '_', image)}").write_text(digest + "\n")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def script(registry: str | None = "registry.example.com/dify", *versions: str, tool: str = "docker") -> str:
    return mirror_script(registry=registry, versions=versions or ("1.17.1",), tool=tool)


class TestImages:
    def test_every_component_has_its_image_at_the_name_that_the_release_will_ask_for(self) -> None:
        names = {image.name: image.source for image in images(["1.17.1"])}
        for component in Component:
            name = DifyRelease(registry="r.io/x").image_name(component).removeprefix("r.io/x/")
            assert names[name] == DifyRelease().image_name(component)
        assert len(names) == len({component.spec.repository for component in Component}) + 1

    def test_the_adapter_is_the_one_of_both_dockerfiles(self) -> None:
        assert images(["1.17.1"])[-1].source == f"public.ecr.aws/{ADAPTER}"
        folders = [path.parent.name for path in DOCKER.glob("*/Dockerfile")]
        assert sorted(folders) == ["api_lambda", "web_lambda"]

    def test_what_releases_share_is_copied_once(self) -> None:
        names = [image.name for image in images(["1.17.0", "1.17.1"])]
        assert len(names) == len(set(names)) == len(images(["1.17.1"])) + 2
        assert "langgenius/dify-api:1.17.0" in names


class TestScript:
    @pytest.mark.parametrize(
        ("tool", "first"),
        [
            ("docker", "docker buildx imagetools create --prefer-index=false --tag {target} {source}"),
            ("crane", "crane copy {source} {target}"),
            ("skopeo", "skopeo copy --all --preserve-digests docker://{source} docker://{target}"),
        ],
    )
    def test_each_tool_copies_every_image_with_all_platforms(
        self, tool: str, first: str, shell: Shell
    ) -> None:
        commands = shell.copies(script(tool=tool))
        expected = [
            first.format(
                source=f"{image.source.rpartition(':')[0]}@{DIGEST}",
                target=f"registry.example.com/dify/{image.name}",
            )
            for image in images(["1.17.1"])
        ]
        assert commands == expected
        assert shell.printed == [
            f"registry.example.com/dify/{one.name}@{DIGEST}" for one in images(["1.17.1"])
        ]

    @pytest.mark.parametrize("tool", TOOLS)
    def test_a_copy_that_is_something_else_ends_the_script(self, tool: str, shell: Shell) -> None:
        shell.say("registry.example.com/dify/langgenius/dify-web:1.17.1", OTHER)
        with pytest.raises(subprocess.CalledProcessError) as failure:
            shell.run(script(tool=tool))
        assert failure.value.stderr == (
            f"registry.example.com/dify/langgenius/dify-web:1.17.1 is {OTHER}, but "
            f"langgenius/dify-web:1.17.1 is {DIGEST}: do not use it\n"
        )
        assert "squid" not in shell.log.read_text()  # nothing after it

    def test_a_known_digest_is_copied_whatever_the_tag_stands_for_today(
        self, shell: Shell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in ("dify_cdk.cli.mirror_script", "dify_cdk.dify.release"):
            known = {f"public.ecr.aws/{ADAPTER}": DIGEST, "ubuntu/squid:6.6-24.04_beta": DIGEST}
            monkeypatch.setattr(f"{module}.KNOWN_DIGESTS", known)
        shell.say("ubuntu/squid:6.6-24.04_beta", OTHER)
        shell.say(f"public.ecr.aws/{ADAPTER}", OTHER)
        commands = shell.run(script(tool="crane"))
        assert (
            f"crane copy ubuntu/squid@{DIGEST} registry.example.com/dify/ubuntu/squid:6.6-24.04_beta"
            in commands
        )
        assert "crane digest ubuntu/squid:6.6-24.04_beta" not in commands
        adapter = ADAPTER.rpartition(":")[0]
        assert f"crane copy public.ecr.aws/{adapter}@{DIGEST} registry.example.com/dify/{ADAPTER}" in commands

    def test_without_a_prefix_the_shell_gives_it(self, shell: Shell) -> None:
        commands = shell.copies(script(None), REGISTRY="registry.example.com/a b")
        assert commands[0] == (
            "docker buildx imagetools create --prefer-index=false --tag "
            f"registry.example.com/a b/langgenius/dify-api:1.17.1 langgenius/dify-api@{DIGEST}"
        )
        with pytest.raises(subprocess.CalledProcessError) as failure:
            shell.run(script(None))
        assert "REGISTRY: set it to a prefix" in failure.value.stderr

    def test_repositories_of_ecr_are_made_unless_they_are_there_and_then_logged_into(
        self, shell: Shell
    ) -> None:
        (shell.have / "team_langgenius_dify-web").touch()
        commands = shell.run(script(f"{ECR}/team"))
        made = [words[-1] for words in map(shlex.split, commands) if "create-repository" in words]
        assert made == [
            "team/langgenius/dify-api",
            "team/langgenius/dify-plugin-daemon",
            "team/langgenius/dify-sandbox",
            "team/ubuntu/squid",
            "team/awsguru/aws-lambda-adapter",
        ]
        assert all("--region eu-west-1" in command for command in commands if command.startswith("aws"))
        logins = [command for command in commands if command.startswith("docker login")]
        assert logins == [f"docker login --username AWS --password-stdin {ECR} < secret"]
        copies = [command for command in commands if "imagetools create" in command]
        assert commands.index(logins[0]) < commands.index(copies[0])
        assert copies[0].startswith(
            f"docker buildx imagetools create --prefer-index=false --tag {ECR}/team/langgenius/dify-api:"
        )

    @pytest.mark.parametrize("tool", TOOLS)
    def test_every_tool_logs_in_by_itself(self, tool: str, shell: Shell) -> None:
        commands = shell.run(script(ECR, tool=tool))
        (login,) = [command for command in commands if "--password-stdin" in command]
        assert login.startswith(f"{tool} ")
        assert login.endswith(f"{ECR} < secret")

    def test_it_stops_at_the_first_copy_that_fails(self, shell: Shell) -> None:
        (shell.folder / "docker").write_text('#!/bin/sh\necho "$*" >> "$LOG"\nexit 3\n')
        with pytest.raises(subprocess.CalledProcessError):
            shell.run(script())
        assert len(shell.log.read_text().splitlines()) == 1

    def test_other_registries_need_no_aws(self) -> None:
        assert "aws" not in script().replace("public.ecr.aws", "").replace("awsguru/aws-", "")

    def test_it_says_how_to_use_the_copies(self) -> None:
        assert script().splitlines()[-2:] == [
            "# Then, in the app: release=DifyRelease(registry=...) with the same prefix.",
            "# Images for AWS Lambda are built with: LocalBuild(adapter=...), registry.example.com/dify/"
            + ADAPTER,
        ]


class TestEcr:
    def test_a_prefix_is_taken_apart(self) -> None:
        place = ecr_registry("1.dkr.ecr.cn-north-1.amazonaws.com.cn/a/b")
        assert place is not None
        assert (place.host, place.partition) == ("1.dkr.ecr.cn-north-1.amazonaws.com.cn", "aws-cn")
        assert (place.account, place.region, place.prefix) == ("1", "cn-north-1", "a/b")
        assert ecr_registry("registry.example.com") is None
        assert ecr_registry(None) is None


class TestCommand:
    def test_prints_the_script_and_runs_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["mirror", "--registry", "r.example.com", "--tool", "crane"]) == 0
        shown = capsys.readouterr()
        assert shown.out == script("r.example.com", tool="crane")
        assert shown.err == ""

    def test_a_release_that_nobody_tested_is_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["mirror", "--release", "1.16.0", "1.17.1"]) == 0
        shown = capsys.readouterr()
        assert shown.err == "warning: Dify 1.16.0 is not tested with this version of dify-cdk\n"
        assert "langgenius/dify-web:1.16.0" in shown.out

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                ["--registry", "https://r.example.com/"],
                "--registry must be a registry and optional path without scheme or trailing slash, "
                "got 'https://r.example.com/'",
            ),
            (["--release", "1.17.1;rm"], "--release must be an image tag such as 1.17.1, got '1.17.1;rm'"),
        ],
    )
    def test_fails_when_a_name_is_malformed(
        self, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["mirror", *arguments]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err == f"dify-cdk: error: {message}\n"

    def test_it_starts_no_cdk(self) -> None:
        code = "import sys; from dify_cdk.cli import main; main(['mirror', '--registry', 'r.example.com'])"
        check = "; sys.exit(any(name in sys.modules for name in ('aws_cdk', 'jsii')))"
        run = subprocess.run([sys.executable, "-c", code + check], capture_output=True, check=False)
        assert run.returncode == 0

    def test_its_tools_are_those_of_the_script(self) -> None:
        assert tuple(TOOLS) == _mirror.TOOLS
