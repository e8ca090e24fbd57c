"""The command line with the real CDK: v1 from end to end, and examples that somebody else has written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dify_cdk import cli
from dify_cdk.cli import init_app as _init
from dify_cdk.cli import synth_example as _synth
from dify_cdk.dify.components import NAMED_COMPONENTS, Component
from dify_cdk.dify.release import DifyRelease
from dify_cdk.dify.routes import DOT_SEGMENT, DOT_SEGMENT_PRIORITY, alb_rules
from dify_cdk.report.output.words import short_image
from paths import NEVER_PUBLIC

REGION = "ap-northeast-1"


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``dify-cdk synth v1`` writes."""
    folder = tmp_path_factory.mktemp("cli") / "v1"
    assert cli.main(["synth", "v1", "--out", str(folder), "--region", REGION]) == 0
    return folder


@pytest.fixture(scope="module")
def v1(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``dify-cdk compare v1 --format json`` says about the variant."""
    out = tmp_path_factory.mktemp("cli") / "v1.json"
    arguments = ["compare", "v1", "--region", REGION, "--format", "json", "--out", str(out)]
    assert cli.main(arguments) == 0
    subject: dict[str, Any] = json.loads(out.read_text())["subjects"][0]
    return subject


class TestV1:
    def test_its_region_is_the_one_asked_for(self, v1: dict[str, Any]) -> None:
        assert v1["name"] == "v1"
        assert v1["parts"] == [{"name": "Dify", "region": REGION, "source": None}]
        assert v1["cost"]["region"] == REGION

    def test_every_component_has_the_pinned_image_and_a_size(self, v1: dict[str, Any]) -> None:
        rows = {Component(row["name"]): row for row in v1["containers"]}
        assert len(rows) == len(v1["containers"])
        assert {
            Component.API,
            Component.WEB,
            Component.WORKER,
            Component.PLUGIN_DAEMON,
            Component.MIGRATION,
        } <= set(rows)
        for component, row in rows.items():
            assert row["image"] == DifyRelease().reference(component)
            assert row["vcpu"] > 0
            assert row["memory_mib"] >= 512

    def test_every_component_listens_and_is_named_as_the_table_of_components_says(
        self, v1: dict[str, Any]
    ) -> None:
        for row in v1["containers"]:
            component = Component(row["name"])
            assert row["ports"] == ([component.port] if component.spec.port else [])
            labels = [name.partition(".")[0] for name in row["private_names"]]
            assert labels == ([component.dns_label] if component in NAMED_COMPONENTS else [])
            assert all(name.endswith(".internal") for name in row["private_names"])

    def test_only_the_migration_runs_without_a_service(self, v1: dict[str, Any]) -> None:
        assert [row["name"] for row in v1["containers"] if row["service"] is None] == [Component.MIGRATION]
        assert all(row["min_tasks"] >= 1 for row in v1["containers"] if row["service"] is not None)

    def test_its_load_balancer_serves_the_route_table(self, v1: dict[str, Any]) -> None:
        (listener,) = v1["listeners"]
        deployed = {Component(row["name"]) for row in v1["containers"]}
        refused, *routes = listener["routes"]
        assert (refused["priority"], refused["expressions"]) == (DOT_SEGMENT_PRIORITY, [DOT_SEGMENT])
        assert (refused["actions"], refused["destinations"]) == (["answer 400"], [])
        served = [
            (route["priority"], tuple(route["paths"]), route["destinations"][0]["container"])
            for route in routes
            if not route["default"]
        ]
        assert served == [
            (rule.priority, rule.patterns, rule.route.component) for rule in alb_rules(deployed)
        ]
        assert all(len(route["destinations"]) == 1 for route in routes)
        (end,) = listener["routes"][-1]["destinations"]
        assert (end["container"], end["port"]) == (Component.WEB, Component.WEB.port)
        assert listener["scheme"] == "internet-facing"

    def test_no_rule_leads_to_what_is_never_public(self, v1: dict[str, Any]) -> None:
        (listener,) = v1["listeners"]
        patterns = [path for route in listener["routes"] for path in route["paths"]]
        for pattern in patterns:
            matches = re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."))
            assert not [path for path in NEVER_PUBLIC if matches.fullmatch(path)], pattern

    def test_the_warning_about_plain_http_is_shown_with_its_construct(self, v1: dict[str, Any]) -> None:
        found = [message for message in v1["messages"] if "DifyAlbWithoutTls" in message["text"]]
        assert [(message["level"], message["path"]) for message in found] == [("warning", "Dify/Frontend")]

    def test_the_written_template_has_the_same_inventory(
        self, v1: dict[str, Any], assembly: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["compare", "--template", str(assembly), "--format", "json"]) == 0
        (read,) = json.loads(capsys.readouterr().out)["subjects"]
        part = {"name": "Dify", "region": REGION, "source": str(assembly / "Dify.template.json")}
        assert read == {**v1, "name": "Dify", "parts": [part], "messages": []}
        resources = json.loads((assembly / "Dify.template.json").read_text())["Resources"]
        assert read["resources"]["total"] == len(resources)

    def test_the_written_assembly_is_one_that_the_cdk_can_deploy(self, assembly: Path) -> None:
        artifacts = json.loads((assembly / "manifest.json").read_text())["artifacts"]
        assert artifacts["Dify"]["environment"] == f"aws://unknown-account/{REGION}"

    def test_the_table_fits_a_hundred_columns(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["compare", "v1"]) == 0
        shown = capsys.readouterr().out
        assert max(map(len, shown.splitlines())) <= 100
        line = next(line for line in shown.splitlines() if line.startswith("plugin_daemon"))
        assert short_image(DifyRelease().reference(Component.PLUGIN_DAEMON))[:42] in line
        assert re.search(r"^ +9000  /e/\* +plugin_daemon:5002$", shown, re.MULTILINE)


QUEUE = """
import aws_cdk as cdk
from aws_cdk import aws_sqs as sqs

def build(app):
    stack = cdk.Stack(app, "Own", env=cdk.Environment(region=app.node.try_get_context("region")))
    queue = sqs.Queue(stack, "Queue")
    {line}
    return stack
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of examples that are not ours; ``v1.py`` is to be written."""
    folder = tmp_path / "examples"
    folder.mkdir()
    (folder / "cdk.json").write_text('{"app": "python3 app.py", "context": {"greeting": "hello"}}')
    for module in (_synth, _init):
        monkeypatch.setattr(module, "examples_dir", lambda: folder)
    return folder


class TestOwnExamples:
    def compare(
        self, own: Path, line: str, capsys: pytest.CaptureFixture[str], *more: str
    ) -> list[dict[str, Any]]:
        (own / "v1.py").write_text(QUEUE.format(line=line))
        cli.main(["compare", "--format", "json", *more])
        subjects: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["subjects"]
        return subjects

    def test_flags_and_region_come_from_the_context(
        self, own: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        line = "assert app.node.try_get_context('greeting') == 'hello'"
        (subject,) = self.compare(own, line, capsys, "--region", "eu-west-1")
        assert subject["parts"][0]["region"] == "eu-west-1"
        assert subject["resources"]["types"][0]["type"] == "AWS::SQS::Queue"

    def test_a_stack_without_a_region_has_none(self, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (subject,) = self.compare(own, "pass", capsys)
        assert subject["parts"][0]["region"] is None

    def test_a_second_stack_is_part_of_the_same_subject(
        self, own: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        line = "sqs.Queue(cdk.Stack(app, 'Another'), 'Queue')"
        (subject,) = self.compare(own, line, capsys)
        assert [part["name"] for part in subject["parts"]] == ["Own", "Another"]
        assert subject["resources"]["total"] == 2

    def test_warnings_and_errors_of_constructs_are_kept(
        self, own: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        line = "cdk.Annotations.of(queue).add_warning_v2('Own:Slow', 'a slow\\n    queue')"
        (subject,) = self.compare(own, line, capsys)
        text = "a slow queue [ack: Own:Slow]"
        assert subject["messages"] == [{"level": "warning", "path": "Own/Queue", "text": text}]

    def test_a_recorded_error_is_a_finding(self, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (own / "v1.py").write_text(QUEUE.format(line="cdk.Annotations.of(queue).add_error('no good')"))
        assert cli.main(["compare"]) == 1
        shown = capsys.readouterr()
        assert "error: Own/Queue: no good\n" in shown.out
        assert "Traceback" not in shown.err

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                QUEUE.format(line="raise ValueError('the cache is\\n too small')"),
                r"\(v1.py, line 8\): the cache is too small$",
            ),
            (QUEUE.format(line="sqs.Queue(stack, 'Queue')"), r"\(v1.py, line 8\): .*already.*Queue"),
            (QUEUE.format(line="queue.no_such_thing()"), r"\(v1.py, line 8\): .*no_such_thing"),
            ("def build(app)\n", r": .*expected ':'"),
            (
                "import a_module_that_nobody_has\n",
                r"\(v1.py, line 1\): No module named 'a_module_that_nobody_has'$",
            ),
            ("raise SystemExit('not today')\n", r"\(v1.py, line 1\): not today$"),
            ("", r": .*has no attribute 'build'$"),
            ("def build(app):\n    pass\n", r": 'NoneType' object has no attribute 'artifact_id'$"),
        ],
        ids=[
            "own check",
            "cdk check",
            "wrong name",
            "syntax",
            "missing module",
            "exit",
            "no build",
            "no stack",
        ],
    )
    def test_whatever_fails_is_one_line(
        self, text: str, message: str, own: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (own / "v1.py").write_text(text)
        assert cli.main(["compare"]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.count("\n") == 1
        assert re.search(rf"^dify-cdk: error: v1 cannot be synthesized ?{message}", shown.err.rstrip("\n"))
