from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path

import botocore.session
import pytest

from dify_cdk import cli
from dify_cdk.cli import _compare, _shared
from dify_cdk.cli import init_app as _init
from dify_cdk.cli import synth_example as _synth
from dify_cdk.cli.synth_example import SynthError, SynthesizedStack
from dify_cdk.report.cost import prices
from dify_cdk.report.cost.usage import USAGES
from dify_cdk.report.inventory import Message
from dify_cdk.report.regions import REGIONS

TEMPLATES = Path(__file__).parents[1] / "data" / "templates"
SHOP, MAILBOX, ODD = (
    TEMPLATES / name for name in ("shop.template.json", "mailbox.template.json", "odd.json")
)
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
QUEUE: Mapping[str, object] = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}


@pytest.fixture(autouse=True)
def two_variants(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """Variants v1 and v2 that need no CDK; v2 has a second stack. Returns what was synthesized."""
    asked: list[tuple[str, str | None]] = []

    def synthesize(variant: str, outdir: Path, *, region: str | None = None) -> tuple[SynthesizedStack, ...]:
        asked.append((variant, region))
        edge = (stack("Edge", main=False, region="us-east-1"),) if variant == "v2" else ()
        return (stack("Dify", region=region), *edge)

    monkeypatch.setattr(_init, "variants", lambda: ["v1", "v2"])
    monkeypatch.setattr(_synth, "synthesize", synthesize)
    return asked


def stack(
    name: str, *, main: bool = True, region: str | None = None, level: str = "warning"
) -> SynthesizedStack:
    return SynthesizedStack(
        name=name,
        main=main,
        template=QUEUE,
        file=f"{name}.template.json",
        region=region,
        messages=(Message(level=level, path=f"{name}/Queue", text="look at this"),),
    )


def names(output: str) -> list[str]:
    return [subject["name"] for subject in json.loads(output)["subjects"]]


class TestCompare:
    def test_without_arguments_every_architecture_is_compared(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(_init, "variants", lambda: ["v1", "v2", "v2_low_cost"])
        assert cli.main(["compare", "--format", "json"]) == 0
        assert names(capsys.readouterr().out) == ["v1", "v2"]

    def test_only_what_is_asked_for(
        self, capsys: pytest.CaptureFixture[str], two_variants: list[tuple[str, str | None]]
    ) -> None:
        assert cli.main(["compare", "--format", "json", "--template", str(SHOP), str(ODD)]) == 0
        assert names(capsys.readouterr().out) == ["shop", "odd"]
        assert two_variants == []

    def test_variants_come_before_files_and_once_each(self, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = [
            "compare",
            "v1",
            "v1",
            "--template",
            str(SHOP),
            "--template",
            str(ODD),
            "--format",
            "json",
        ]
        assert cli.main(arguments) == 0
        assert names(capsys.readouterr().out) == ["v1", "shop", "odd"]

    def test_the_region_reaches_the_synthesis(
        self, capsys: pytest.CaptureFixture[str], two_variants: list[tuple[str, str | None]]
    ) -> None:
        assert cli.main(["compare", "v2", "--region", "ap-northeast-1"]) == 0
        assert two_variants == [("v2", "ap-northeast-1")]
        text = " ".join(capsys.readouterr().out.split())
        assert "Regions ap-northeast-1, us-east-1 Stacks 2 Resources 2 " in text

    def test_all_stacks_of_a_variant_are_one_subject(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["compare", "v2", "--format", "json"]) == 0
        (subject,) = json.loads(capsys.readouterr().out)["subjects"]
        assert subject["parts"] == [
            {"name": "Dify", "region": None, "source": None},
            {"name": "Edge", "region": "us-east-1", "source": None},
        ]
        assert subject["resources"]["total"] == 2

    def test_a_cdk_out_folder_is_one_subject_with_all_of_its_templates(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        texts = {
            "A.template.json": json.dumps(QUEUE),
            "assembly-Prod/B.template.json": json.dumps(QUEUE),
            "asset.1/C.template.json": "an asset, whatever its name",
            "manifest.json": "{}",
        }
        for name, text in texts.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        assert cli.main(["compare", "--template", str(tmp_path), "--format", "json"]) == 0
        (subject,) = json.loads(capsys.readouterr().out)["subjects"]
        assert subject["name"] == tmp_path.name
        assert [part["name"] for part in subject["parts"]] == ["A", "B"]
        assert subject["parts"][1]["source"] == str(tmp_path / "assembly-Prod/B.template.json")

    def test_templates_of_one_name_are_told_apart(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        files = [tmp_path / folder / "Dify.template.json" for folder in ("old", "new")]
        for file in files:
            file.parent.mkdir()
            file.write_text(json.dumps(QUEUE))
        assert (
            cli.main(["compare", "--format", "json", "--template", *map(str, [*files, files[0], SHOP])]) == 0
        )
        old, new = "old/Dify", "new/Dify"
        assert names(capsys.readouterr().out) == [old, new, f"{old} (2)", "shop"]

    def test_details_of_several_are_shown_when_asked_and_warnings_always(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["compare", "v1", "--template", str(SHOP)]) == 0
        short = capsys.readouterr().out
        assert "\nContainers\n" not in short
        assert "--details" in short
        assert "warning in v1: Dify/Queue: look at this\n" in short
        assert cli.main(["compare", "v1", "--template", str(SHOP), "--details"]) == 0
        long = capsys.readouterr().out
        assert "\nContainers\n" in long
        assert "\nRoutes\n" in long
        assert "warning in v1: Dify/Queue: look at this\n" in long

    @pytest.mark.parametrize(
        ("name", "start"),
        [("a.md", "### "), ("a.JSON", "{"), ("a.html", "<!doctype html>"), ("a.txt", "shop: architecture")],
    )
    def test_the_ending_of_the_file_decides_the_format(self, name: str, start: str, tmp_path: Path) -> None:
        out = tmp_path / name
        assert cli.main(["compare", "--template", str(SHOP), "--out", str(out)]) == 0
        assert out.read_text(encoding="utf-8").startswith(start)
        assert cli.main(["compare", "--template", str(SHOP), "--out", str(out), "--format", "json"]) == 0
        assert out.read_text(encoding="utf-8").startswith("{")

    def test_warnings_are_shown_for_variants_and_do_not_change_the_status(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["compare", "v1"]) == 0
        assert "warning: Dify/Queue: look at this\n" in capsys.readouterr().out

    @pytest.mark.parametrize("command", [["compare", "v1"], ["synth", "v1", "--out", "{out}"]])
    def test_an_error_of_the_cdk_is_a_finding(
        self, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_synth, "synthesize", lambda *_, **__: (stack("Dify", level="error"),))
        assert cli.main([part.replace("{out}", str(tmp_path)) for part in command]) == 1

    def test_the_output_goes_to_a_file_without_colour(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "report.txt"
        assert cli.main(["compare", "--template", str(SHOP), "--out", str(out)]) == 0
        assert capsys.readouterr().out == f"wrote {out}\n"
        assert out.read_text(encoding="utf-8").startswith("shop: architecture, cost and limits ─")

    def test_json_needs_no_rich(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setitem(sys.modules, "rich", None)
        monkeypatch.setattr(_shared, "find_spec", lambda name: None)
        assert cli.main(["compare", "--template", str(SHOP), "--format", "json"]) == 0
        assert names(capsys.readouterr().out) == ["shop"]

    def test_an_assembly_tells_names_and_regions_of_its_stacks(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        large = {"Resources": {"A": {"Type": "AWS::SQS::Queue"}, "B": {"Type": "AWS::SNS::Topic"}}}
        artifacts = {
            "Small": ("Small.template.json", "aws://unknown-account/us-east-1", {}),
            "Main": ("Main.template.json", "aws://1/eu-west-1", {"stackName": "prod-main"}),
            "Open": ("Open.template.json", "aws://unknown-account/unknown-region", {}),
        }
        manifest = {
            name: {
                "type": "aws:cloudformation:stack",
                "environment": environment,
                "properties": {"templateFile": file, **properties},
            }
            for name, (file, environment, properties) in artifacts.items()
        }
        (tmp_path / "manifest.json").write_text(json.dumps({"artifacts": {**manifest, "Tree": None}}))
        for name in artifacts:
            document = large if name == "Main" else QUEUE
            (tmp_path / f"{name}.template.json").write_text(json.dumps(document))
        assert cli.main(["compare", "--template", str(tmp_path), "--format", "json"]) == 0
        (subject,) = json.loads(capsys.readouterr().out)["subjects"]
        found = [(part["name"], part["region"]) for part in subject["parts"]]
        assert found == [("prod-main", "eu-west-1"), ("Open", None), ("Small", "us-east-1")]

    @pytest.mark.parametrize("manifest", ["no json", "[]", '{"artifacts": [1]}', "[" * 100_000])
    def test_an_assembly_with_an_odd_manifest_is_read_all_the_same(
        self, manifest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "manifest.json").write_text(manifest)
        (tmp_path / "A.template.json").write_text(json.dumps(QUEUE))
        assert cli.main(["compare", "--template", str(tmp_path), "--format", "json"]) == 0
        assert names(capsys.readouterr().out) == ["A"]

    @pytest.mark.parametrize(
        ("options", "usage", "users"),
        [([], "team", 50), (["--usage", "small"], "small", 5), (["--usage", "company"], "company", 1000)],
    )
    def test_the_usage_decides_what_it_costs(
        self, options: list[str], usage: str, users: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["compare", "v1", "--format", "json", *options]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["usage"] == usage
        assert document["subjects"][0]["cost"]["usage"]["users"] == users

    def test_an_own_usage_is_named_by_its_file(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "usage.json"
        file.write_text('{"users": 7}')
        assert cli.main(["compare", "v1", "--format", "json", "--usage-file", str(file)]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["usage"] == str(file)
        assert document["subjects"][0]["cost"]["usage"]["users"] == 7

    def test_the_region_of_a_file_is_given_by_the_option(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["compare", "--template", str(SHOP)]) == 0
        assert "The region is unknown: --region tells whose prices count.\n" in capsys.readouterr().out
        assert cli.main(["compare", "--template", str(SHOP), "--region", "us-east-1"]) == 0
        shown = capsys.readouterr()
        assert shown.err == ""
        assert re.search(r"^Elastic Load Balancing +[1-9][0-9.]*$", shown.out, re.MULTILINE)
        assert re.search(r"^nobody uses it +(≥ )?[1-9][0-9.]*$", shown.out, re.MULTILINE)

    def test_a_region_without_prices_is_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["compare", "--template", str(SHOP), "--region", "eu-south-2"]) == 0
        assert capsys.readouterr().err.startswith(
            "warning: no prices of eu-south-2, only of ap-northeast-1, "
        )

    @pytest.mark.parametrize(("days", "warned"), [(180, False), (181, True)])
    def test_old_prices_are_told_on_stderr(
        self, days: int, warned: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        real = prices.load_prices()
        dated = replace(real, as_of=date.today() - timedelta(days=days))
        monkeypatch.setattr(prices, "load_prices", lambda: dated)
        assert cli.main(["compare", "v1", "--format", "json"]) == 0
        error = capsys.readouterr().err
        assert error.startswith(f"warning: the prices are of {dated.as_of}, older than 180 days") is warned

    def test_markdown_needs_no_rich_and_goes_where_it_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "rich", None)
        monkeypatch.setattr(_shared, "find_spec", lambda name: None)
        out = tmp_path / "comparison.md"
        command = ["compare", "v1", "v2", "--format", "markdown", "--out", str(out)]
        assert cli.main(command) == 0
        assert out.read_text(encoding="utf-8").startswith("### v1 and v2: architecture")

    def test_a_page_needs_no_rich(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setitem(sys.modules, "rich", None)
        monkeypatch.setattr(_shared, "find_spec", lambda name: None)
        assert cli.main(["compare", "v1", "v2", "--format", "html"]) == 0
        assert capsys.readouterr().out.lower().startswith("<!doctype html>")

    def test_the_profiles_are_those_of_the_package(self) -> None:
        assert set(_compare.PROFILES) == set(USAGES)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestTerminal:
    def shown(self, monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
        """What a terminal of 72 columns receives."""
        for name in ("NO_COLOR", "TERM"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {"COLUMNS": "72", **environment}.items():
            monkeypatch.setenv(name, value)
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        assert cli.main(["compare", "--template", str(SHOP)]) == 0
        return terminal.getvalue()

    def test_is_coloured_and_as_wide_as_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        text = self.shown(monkeypatch)
        assert "\x1b[" in text
        assert "─" * 60 in text
        assert "─" * 73 not in text

    @pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
    def test_is_not_coloured_if_it_must_not(
        self, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = self.shown(monkeypatch, **{variable: value})
        assert "─" * 60 in text
        assert "\x1b" not in text

    def test_without_unicode_the_lines_are_plain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
        assert cli.main(["compare", "--template", str(SHOP)]) == 0
        assert raw.getvalue().startswith(b"shop: architecture, cost and limits -----")
        assert b"?" not in raw.getvalue()


class TestProgress:
    def test_a_quick_step_says_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["compare", "v1"]) == 0
        assert capsys.readouterr().err == ""

    def test_a_slow_step_says_what_it_does(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_shared, "_SLOW_SECONDS", 0.01)
        synthesize = _synth.synthesize

        def take_long(
            variant: str, outdir: Path, *, region: str | None = None
        ) -> tuple[SynthesizedStack, ...]:
            time.sleep(0.5)
            return synthesize(variant, outdir, region=region)

        monkeypatch.setattr(_synth, "synthesize", take_long)
        assert cli.main(["compare", "v1"]) == 0
        assert capsys.readouterr().err == "synthesizing v1 ...\n"

    def test_a_terminal_is_told_at_once_and_left_clean(self, monkeypatch: pytest.MonkeyPatch) -> None:
        errors = Terminal()
        monkeypatch.setattr(sys, "stderr", errors)
        assert cli.main(["compare", "v1", "--format", "json"]) == 0
        assert errors.getvalue() == "synthesizing v1 ...\r\x1b[K"


class TestSynth:
    def test_says_what_was_written(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out = tmp_path / "deep" / "out"
        assert cli.main(["synth", "v1", "--out", str(out), "--region", "eu-west-1"]) == 0
        shown = capsys.readouterr()
        assert shown.out == f"wrote Dify.template.json to {out}\n"
        assert shown.err == "warning: Dify/Queue: look at this\n"

    def test_an_older_assembly_may_be_written_over(self, tmp_path: Path) -> None:
        (tmp_path / "cdk.out").write_text('{"version": "1.0.0"}')
        (tmp_path / "Old.template.json").write_text("{}")
        assert cli.main(["synth", "v1", "--out", str(tmp_path)]) == 0


class TestInit:
    def test_prints_the_next_two_commands(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = tmp_path / "my app"
        monkeypatch.setattr(
            _init, "write_app", lambda variant, path: [path / f"{variant}.py", path / "cdk.json"]
        )
        assert cli.main(["init", "v1", str(folder)]) == 0
        written, _, _, first, second, *_ = capsys.readouterr().out.splitlines()
        assert written == f"wrote v1.py, cdk.json to {folder}"
        assert first == f"  cd '{folder}' && pip install -r requirements.txt"
        assert second == "  cdk synth"


def write(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


BAD_FILES = [
    (
        "broken.json",
        b'{"Resources": {\n  "A" 1}}',
        "is not JSON: Expecting ':' delimiter in line 2, column 7",
    ),
    ("empty.json", b"", "is empty"),
    ("list.json", b"[]", "is not a CloudFormation template: it has no Resources"),
    ("package.json", b'{"name": "x"}', "is not a CloudFormation template: it has no Resources"),
    ("resources.json", b'{"Resources": []}', "is not a CloudFormation template: it has no Resources"),
    (
        "stack.yaml",
        b"Resources:\n  A:\n",
        "is YAML; give the JSON that cdk synth writes to cdk.out/*.template.json",
    ),
    ("stack.template", b"# x\nResources:\n", "is YAML; give the JSON that cdk synth writes to cdk.out"),
    ("picture.json", b"\xff\xd8\xff\xe0", "is not a text file in UTF-8"),
    ("deep.json", b"[" * 200_000, "is not a template: it is nested too deeply"),
    ("number.json", b"9" * 10_000, "is not a template: "),
]


Fails = Callable[..., str]


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Fails:
    """Runs a command that must fail with one line on stderr and status 2, and returns that line."""

    def run_it(*arguments: object) -> str:
        assert cli.main([str(argument) for argument in arguments]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith("dify-cdk: error: ")
        assert shown.err.endswith("\n")
        assert shown.err.count("\n") == 1
        return shown.err.removeprefix("dify-cdk: error: ").removesuffix("\n")

    return run_it


class TestErrors:
    @pytest.mark.parametrize(("name", "content", "problem"), BAD_FILES, ids=[name for name, *_ in BAD_FILES])
    def test_a_file_that_is_no_template(
        self, name: str, content: bytes, problem: str, tmp_path: Path, fails: Fails
    ) -> None:
        path = write(tmp_path, name, content)
        assert fails("compare", "--template", path).startswith(f"{path} {problem}")

    def test_a_file_that_is_not_there(self, fails: Fails) -> None:
        assert fails("compare", "--template", "/nowhere/x.json") == "no such file: /nowhere/x.json"

    def test_a_variant_after_template_is_taken_for_a_file(self, fails: Fails) -> None:
        message = fails("compare", "--template", SHOP, "v1")
        assert message == "no such file: v1; v1 is a variant: write it before --template"

    def test_a_folder_without_templates(self, tmp_path: Path, fails: Fails) -> None:
        message = fails("compare", "--template", tmp_path)
        assert message == f"no *.template.json in folder {tmp_path}; is it the output of cdk synth?"

    def test_a_file_that_may_not_be_read(self, monkeypatch: pytest.MonkeyPatch, fails: Fails) -> None:
        def refuse(*_: object, **__: object) -> str:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "read_text", refuse)
        assert fails("compare", "--template", SHOP) == f"cannot read {SHOP}: Permission denied"

    @pytest.mark.parametrize("command", ["compare", "synth"])
    def test_an_unknown_variant(self, command: str, fails: Fails) -> None:
        assert fails(command, "v9") == "unknown variant 'v9', there are: v1, v2"

    def test_a_file_given_as_variant(self, fails: Fails) -> None:
        message = fails("compare", SHOP)
        assert message == f"unknown variant '{SHOP}', there are: v1, v2; for a file use --template {SHOP}"

    @pytest.mark.parametrize("command", [["compare"], ["synth", "v1"], ["compare", "--template", str(SHOP)]])
    def test_an_unknown_region(self, command: list[str], fails: Fails) -> None:
        assert fails(*command, "--region", "ap-nrtheast-1").startswith(
            "unknown region 'ap-nrtheast-1', did you mean ap-northeast-1"
        )

    def test_a_region_like_no_other(self, fails: Fails) -> None:
        assert fails("compare", "--region", "x") == "unknown region 'x', an example of one is eu-west-1"

    def test_a_table_without_rich(self, monkeypatch: pytest.MonkeyPatch, fails: Fails) -> None:
        monkeypatch.setattr(_shared, "find_spec", lambda name: None)
        message = fails("compare", "--template", SHOP)
        assert message == "tables need rich: pip install 'dify-cdk[cli]', or use --format markdown"

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (None, "cannot be read: No such file or directory"),
            ("users: 5", "not JSON in UTF-8: Expecting value: line 1 column 1 (char 0)"),
            ('{"people": 5}', "unknown: people; known: users, "),
            ('{"users": -1}', "usage: users must be between 0 and 1e+15, got -1"),
        ],
    )
    def test_a_usage_that_is_none(
        self, content: str | None, problem: str, tmp_path: Path, fails: Fails
    ) -> None:
        file = tmp_path / "usage.json"
        if content is not None:
            file.write_text(content)
        assert fails("compare", "--usage-file", file).startswith(f"{file}: {problem}")

    def test_an_output_that_cannot_be_written(self, tmp_path: Path, fails: Fails) -> None:
        message = fails("compare", "--template", SHOP, "--out", tmp_path)
        assert message == f"cannot write {tmp_path}: Is a directory"
        missing = tmp_path / "missing" / "report.txt"
        message = fails("compare", "--template", SHOP, "--out", missing)
        assert message == f"cannot write {missing}: No such file or directory"

    def test_an_example_that_fails(self, monkeypatch: pytest.MonkeyPatch, fails: Fails) -> None:
        def fail(*_: object, **__: object) -> None:
            raise SynthError("v1 cannot be synthesized: first line\nsecond line")

        monkeypatch.setattr(_synth, "synthesize", fail)
        assert fails("compare", "v1") == "v1 cannot be synthesized: first line second line"

    def test_a_full_disk(self, monkeypatch: pytest.MonkeyPatch, fails: Fails) -> None:
        def fail(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(_synth, "synthesize", fail)
        assert fails("compare", "v1") == "[Errno 28] No space left on device"

    def test_a_folder_that_belongs_to_something_else(self, tmp_path: Path, fails: Fails) -> None:
        (tmp_path / "thesis.txt").write_text("")
        message = fails("synth", "v1", "--out", tmp_path)
        assert (
            message == f"{tmp_path} holds files that are not a cloud assembly, name another folder with --out"
        )

    def test_an_output_folder_that_is_a_file(self, fails: Fails) -> None:
        assert fails("synth", "v1", "--out", SHOP) == f"cannot write to {SHOP}: File exists"

    def test_what_init_refuses(self, tmp_path: Path, fails: Fails) -> None:
        assert fails("init", "v9", tmp_path) == "unknown variant 'v9', there are: v1, v2"
        (tmp_path / "file").write_text("")
        assert fails("init", "v1", tmp_path) == f"{tmp_path} is not empty, name a new or an empty folder"

    def test_init_where_nothing_can_be_written(self, fails: Fails) -> None:
        assert fails("init", "v1", SHOP / "app") == f"cannot write {SHOP / 'app'}: Not a directory"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "the following arguments are required: COMMAND (see dify-cdk --help)"),
            (["synth"], "the following arguments are required: VARIANT (see dify-cdk synth --help)"),
            (["init", "v1"], "the following arguments are required: DIR (see dify-cdk init --help)"),
            (["compare", "--nonsense"], "unrecognized arguments: --nonsense (see dify-cdk --help)"),
        ],
    )
    def test_bad_arguments_point_to_the_help(self, arguments: list[str], message: str, fails: Fails) -> None:
        assert fails(*arguments) == message

    @pytest.mark.parametrize(
        "arguments",
        [
            ["deploy"],
            ["compare", "--format", "pdf"],
            ["compare", "--template"],
            ["compare", "--usage", "huge"],
        ],
    )
    def test_other_bad_arguments(self, arguments: list[str], fails: Fails) -> None:
        assert "--help)" in fails(*arguments)


class TestProgram:
    def test_help_has_examples_everywhere(self, capsys: pytest.CaptureFixture[str]) -> None:
        for command in ([], ["compare"], ["plan"], ["synth"], ["init"], ["mirror"]):
            assert cli.main([*command, "--help"]) == 0
            text = capsys.readouterr().out
            assert " ".join(["examples:\n ", "dify-cdk", *command]) in text
            assert "exit status: 0 fine, 1 a finding, 2 bad usage" in text

    @pytest.mark.parametrize("columns", [60, 80])
    def test_descriptions_fit_the_terminal(
        self, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("COLUMNS", str(columns))
        for command in ("compare", "plan", "synth", "init", "mirror"):
            assert cli.main([command, "--help"]) == 0
            _, _, text = capsys.readouterr().out.partition("examples:")[0].partition("\n\n")
            assert max(map(len, text.splitlines())) <= columns

    def test_the_version_is_that_of_the_package(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["--version"]) == 0
        assert capsys.readouterr().out == f"dify-cdk {version('dify-cdk')}\n"

    def test_nothing_heavy_is_loaded_for_the_help(self) -> None:
        code = "import sys; from dify_cdk.cli import main; main(['--help']); print('LOADED', *sys.modules)"
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENV
        )
        loaded = result.stdout.partition("LOADED")[2].split()
        assert "argparse" in loaded
        assert {"aws_cdk", "jsii", "rich"}.isdisjoint(loaded)
        assert not [name for name in loaded if name.startswith("dify_cdk.report")]

    def test_tables_of_files_start_no_cdk(self) -> None:
        code = f"import sys; from dify_cdk.cli import main; main(['compare', '--template', {str(SHOP)!r}])"
        check = "; sys.exit(any(name in sys.modules for name in ('aws_cdk', 'jsii')))"
        result = subprocess.run(
            [sys.executable, "-c", code + check], capture_output=True, check=False, env=ENV
        )
        assert result.returncode == 0

    def test_a_pipe_that_is_closed_early_is_no_error(self) -> None:
        command = [sys.executable, "-m", "dify_cdk", "compare", "--template", str(SHOP), "--format", "json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait() == 0

    @pytest.mark.parametrize("stream", ["stdout", "stderr"])
    def test_a_closed_stream_is_no_traceback(
        self, stream: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, stream, None)
        assert cli.main(["compare", "v1"]) == (2 if stream == "stdout" else 0)
        shown = capsys.readouterr()
        if stream == "stdout":
            message = "the output is closed: name a file to write to, or open it"
            assert shown.err == f"dify-cdk: error: {message}\n"

    def test_python_m_is_the_same_program(self) -> None:
        command = [sys.executable, "-m", "dify_cdk", "compare", "v0"]
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=ENV)
        assert result.returncode == 2
        assert result.stdout == ""
        assert result.stderr.startswith("dify-cdk: error: unknown variant 'v0'")

    def test_ctrl_c_ends_without_a_traceback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(_synth, "synthesize", interrupt)
        assert cli.main(["compare", "v1"]) == 130


def test_the_regions_are_those_that_botocore_knows() -> None:
    session = botocore.session.get_session()
    partitions = [name for name in session.get_available_partitions() if not name.startswith("aws-iso")]
    known = {
        region for name in partitions for region in session.get_available_regions("ecs", partition_name=name)
    }
    assert known == REGIONS
