"""``dify-cdk plan``: what it reads, how it ends, and what it prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dify_cdk import cli
from dify_cdk.cli import _shared
from dify_cdk.cli import init_app as _init
from dify_cdk.cli import synth_example as _synth
from dify_cdk.cli.synth_example import SynthesizedStack
from dify_cdk.report.output.plan_json import SCHEMA, to_json
from dify_cdk.report.plan.plan import Action, Plan
from plans import Resources, between, between_apps, one, stack
from reports import to_markdown, to_table
from template_parts import att, ref

RULE = "AWS::ElasticLoadBalancingV2::ListenerRule"
QUEUE: Resources = {"Queue": one("AWS::SQS::Queue")}
TOPIC: Resources = {"Topic": one("AWS::SNS::Topic")}


def loss() -> Plan:
    """A database that is replaced, a conflict, an unknown type, and something left behind."""
    edge = stack({"F": one("AWS::Lambda::Function")}, "Edge", "us-east-1")

    def app(rule: str, *, encrypted: bool) -> Resources:
        policies = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Snapshot"}
        return {
            "DataCluster0A1B2C3D": one("AWS::RDS::DBCluster", StorageEncrypted=encrypted) | policies,
            "Writer": one("AWS::RDS::DBInstance", DBClusterIdentifier=ref("DataCluster0A1B2C3D")),
            "Logs": one("AWS::Logs::LogGroup", RetentionInDays=encrypted + 1),
            "Odd|Type": one("Acme::Odd::Type", Value=encrypted),
            "User": one("AWS::SSM::Parameter", Value=att("DataCluster0A1B2C3D", "Endpoint.Address")),
            rule: one(RULE, ListenerArn="arn:aws:listener_1", Priority=10),
        }

    return between_apps([stack(app("Old", encrypted=False)), edge], [stack(app("New", encrypted=True))])


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def write(name: str, resources: Resources) -> str:
        path = tmp_path / name
        path.write_text(json.dumps({"Resources": resources}))
        return str(path)

    return write


@pytest.fixture
def synthesized(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """Variants that need no CDK; v2 has a second stack. Returns what was synthesized."""
    asked: list[tuple[str, str | None]] = []

    def made(name: str, resources: Resources, region: str | None, *, main: bool = True) -> SynthesizedStack:
        template: dict[str, Any] = {"Resources": resources}
        file = f"{name}.template.json"
        return SynthesizedStack(
            name=name, main=main, template=template, file=file, region=region, messages=()
        )

    def synthesize(variant: str, outdir: Path, *, region: str | None = None) -> tuple[SynthesizedStack, ...]:
        asked.append((variant, region))
        if variant == "v1":
            return (made("Dify", QUEUE, region),)
        return made("Dify", QUEUE, region), made("Edge", TOPIC, "us-east-1", main=False)

    monkeypatch.setattr(_init, "variants", lambda: ["v1", "v2"])
    monkeypatch.setattr(_synth, "synthesize", synthesize)
    return asked


class TestCommand:
    def test_nothing_speaks_against_it(
        self, write: Callable[..., str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["plan", write("a.json", QUEUE), write("b.json", {**QUEUE, **TOPIC})]) == 0
        assert "Fine: nothing that holds data is lost" in capsys.readouterr().out

    def test_lost_data_is_a_finding(
        self, write: Callable[..., str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        table = {"Table": one("AWS::DynamoDB::Table") | {"DeletionPolicy": "Delete"}}
        assert cli.main(["plan", write("a.json", table), write("b.json", TOPIC)]) == 1
        assert "Do not deploy this as it is: 1 resource with data" in capsys.readouterr().out

    def test_a_conflict_is_a_finding(self, write: Callable[..., str]) -> None:
        old, new = ({id: one(RULE, ListenerArn="l", Priority=1)} for id in ("A", "B"))
        assert cli.main(["plan", write("a.json", old), write("b.json", new)]) == 1

    def test_two_variants(
        self, synthesized: list[tuple[str, str | None]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["plan", "v2", "v1", "--region", "eu-west-1", "--format", "json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert synthesized == [("v2", "eu-west-1"), ("v1", "eu-west-1")]
        assert document["stacks"] == [
            {"name": "Dify", "region": "eu-west-1", "action": "kept"},
            {"name": "Edge", "region": "us-east-1", "action": "left behind"},
        ]

    def test_a_variant_and_itself_is_synthesized_once(
        self, synthesized: list[tuple[str, str | None]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["plan", "v1", "v1"]) == 0
        assert synthesized == [("v1", None)]
        assert "Fine: everything is kept" in capsys.readouterr().out

    def test_a_variant_and_an_app(
        self,
        synthesized: list[tuple[str, str | None]],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """All stacks of a cdk.out folder, matched by name."""
        for name, resources in (("Dify", QUEUE), ("Edge", TOPIC)):
            (tmp_path / f"{name}.template.json").write_text(json.dumps({"Resources": resources}))
        assert cli.main(["plan", str(tmp_path), "v2", "--format", "json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert {found["name"]: found["action"] for found in document["stacks"]} == {
            "Dify": "kept",
            "Edge": "kept",
        }
        assert {found["action"] for found in document["resources"]} == {"kept"}

    def test_files_of_one_name_are_told_apart(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        files = [tmp_path / folder / "Dify.template.json" for folder in ("old", "new")]
        for file in files:
            file.parent.mkdir()
            file.write_text(json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}))
        assert cli.main(["plan", *map(str, files)]) == 0
        assert capsys.readouterr().out.startswith("old/Dify to new/Dify ─")
        assert cli.main(["plan", str(files[0]), str(files[0])]) == 0
        assert capsys.readouterr().out.startswith("Dify to Dify ─")

    def test_it_goes_into_a_file(
        self, write: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "plan.md"
        arguments = ["plan", write("a.json", QUEUE), write("b.json", TOPIC), "--format", "markdown"]
        assert cli.main([*arguments, "--out", str(out)]) == 0
        assert out.read_text().startswith("### a to b\n")
        assert capsys.readouterr().out == f"wrote {out}\n"

    def test_it_is_a_page_where_the_file_is_called_so(
        self, write: Callable[..., str], tmp_path: Path
    ) -> None:
        out = tmp_path / "plan.html"
        assert cli.main(["plan", write("a.json", QUEUE), write("b.json", TOPIC), "--out", str(out)]) == 0
        page = out.read_text(encoding="utf-8")
        assert page.startswith("<!doctype html>\n")
        assert "<h1>a to b</h1>" in page

    @pytest.mark.parametrize("format", ["markdown", "json", "html"])
    def test_only_tables_need_rich(
        self, write: Callable[..., str], monkeypatch: pytest.MonkeyPatch, format: str
    ) -> None:
        monkeypatch.setitem(sys.modules, "rich", None)
        assert cli.main(["plan", write("a.json", QUEUE), write("b.json", TOPIC), "--format", format]) == 0


class TestBadUsage:
    @staticmethod
    def message(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
        assert cli.main(["plan", *arguments]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err.removeprefix("dify-cdk: error: ").strip()

    def test_fails_when_a_name_is_nothing(
        self, synthesized: list[tuple[str, str | None]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        message = self.message(capsys, "v1", "v9")
        assert message == "'v9' is no file, no folder and no variant; variants are: v1, v2"
        assert synthesized == []

    def test_fails_when_a_file_is_no_template(
        self, synthesized: list[tuple[str, str | None]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Before seconds of synthesis."""
        path = tmp_path / "a.json"
        path.write_text("{}")
        message = self.message(capsys, "v1", str(path))
        assert message == f"{path} is not a CloudFormation template: it has no Resources"
        assert synthesized == []

    def test_fails_when_one_of_two_is_missing(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "the following arguments are required: TO" in self.message(capsys, "v1")

    def test_fails_when_the_region_is_none(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "unknown region 'eu-west-9'" in self.message(capsys, "v1", "v2", "--region", "eu-west-9")

    def test_fails_when_a_table_has_no_rich(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(_shared, "find_spec", lambda _: None)
        message = self.message(capsys, "v1", "v2")
        assert message == "tables need rich: pip install 'dify-cdk[cli]', or use --format markdown"


class TestTable:
    def test_what_holds_data_comes_first_and_then_the_conflicts(self) -> None:
        text = to_table(loss())
        heads = ["What holds data", "Conflicts", "What changes", "In place", "Left behind", "Good to know"]
        places = [text.index(f"\n{head}") for head in heads]
        assert places == sorted(places)
        assert text.startswith("before to after ")
        assert "1 resource with data replaced or lost, 1 conflict" in text

    def test_a_loss_says_what_is_lost_and_why(self) -> None:
        (row,) = (line for line in to_table(loss(), width=200).splitlines() if "lost: " in line)
        assert row.split("  ", 1)[0] == "replaced"
        assert "RDS DBCluster" in row
        assert row.endswith("lost: the database; StorageEncrypted; the last snapshot stays outside the stack")

    def test_a_conflict_has_its_remedy_and_its_page(self) -> None:
        text = " ".join(to_table(loss(), width=400).split())
        assert "1. New (added) needs the priority of the listener, arn:aws:listener_1 10, while Old" in text
        assert "Remedy: keep the logical id Old" in text
        assert (
            "(https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateRule.html)"
            in text
        )

    def test_what_stays_and_changes_is_listed_and_the_rest_counted(self) -> None:
        text = to_table(loss(), width=150)
        assert "may be replaced" in text
        assert "Value (DataCluster is replaced)" in text
        assert "added 1: ElasticLoadBalancingV2 ListenerRule" in text
        assert "not counted logs, and what its policy calls disposable: 1 updated" in text

    @pytest.mark.parametrize("width", [60, 100, 140])
    def test_it_fits(self, width: int) -> None:
        assert max(map(len, to_table(loss(), width=width).splitlines())) <= width

    def test_what_does_not_happen_is_not_mentioned(self) -> None:
        text = to_table(between(QUEUE, QUEUE))
        assert text.splitlines()[1:] == ["Fine: everything is kept, and nothing is in the way"]

    def test_templates_cannot_write_to_the_terminal(self) -> None:
        odd = {"A\x1b[31m": one("Acme::\x1b[2J::Type", Value="\x07")}
        assert "\x1b" not in to_table(between(odd, {}))


class TestMarkdown:
    def test_sections_and_lists(self) -> None:
        text = to_markdown(loss())
        assert "**Do not deploy this as it is: 1 resource with data replaced or lost, 1 conflict**" in text
        assert "| what happens | type | resource | why |" in text
        assert "\n1. New (added) needs" in text
        assert "([page](https://docs.aws.amazon.com/" in text
        assert "\n- **added** 1: " in text
        assert "\n1. you deploy\n2. CloudFormation adds 1 resource\n" in text

    def test_a_name_is_no_markup(self) -> None:
        assert "Odd\\|Type" in to_markdown(loss())


class TestDocument:
    def test_it_says_everything(self) -> None:
        plan = loss()
        document = json.loads(to_json(plan))
        assert (document["schema"], document["before"], document["after"]) == (SCHEMA, "before", "after")
        assert document["finding"] is True
        assert [found["logical_id"] for found in document["resources"]] == [
            found.logical_id for found in plan.resources
        ]
        (conflict,) = document["conflicts"]
        assert (conflict["newcomer"]["action"], conflict["holder"]["action"]) == ("added", "removed")
        assert {found["action"] for found in document["resources"]} <= {action.value for action in Action}

    def test_the_fields_of_version_1(self) -> None:
        """Fields may be added; a removed or renamed one makes a new version."""
        document = json.loads(to_json(loss()))
        parts = {
            "": document,
            "stacks": document["stacks"][0],
            "resources": document["resources"][0],
            "reasons": document["resources"][0]["reasons"][0],
            "conflicts": document["conflicts"][0],
            "newcomer": document["conflicts"][0]["newcomer"],
            "in_place": document["in_place"][0],
            "left_behind": document["left_behind"][0],
        }
        assert SCHEMA == "dify-cdk/plan/2"
        assert {part: " ".join(sorted(fields)) for part, fields in parts.items()} == {
            "": "after before conflicts finding in_place left_behind notes resources schema side_by_side "
            "stacks",
            "stacks": "action name region",
            "resources": "action holds is_lost is_stateful keeps logical_id reasons stack type",
            "reasons": "because effect property",
            "conflicts": "holder newcomer remedy source text value what",
            "newcomer": "action logical_id stack type",
            "in_place": "text who",
            "left_behind": "how logical_id stack type why",
        }
