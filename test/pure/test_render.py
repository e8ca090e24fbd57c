from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest

from dify_cdk.report.cost.pricing import MonthlyCost
from dify_cdk.report.inventory import Inventory, Message, read
from dify_cdk.report.output import compare_json as document
from dify_cdk.report.output.compare_json import to_json
from dify_cdk.report.output.resources import differing_types, only_in
from dify_cdk.report.output.words import short_image
from dify_cdk.report.traffic.containers import ContainerRow
from dify_cdk.report.traffic.routes import Destination, Listener, Route
from reports import to_table
from template_parts import comparison, load

ESCAPE = "\x1b"


def of(name: str, *types: str) -> Inventory:
    return read({"Resources": {str(number): {"Type": type} for number, type in enumerate(types)}}, name)


def task(number: int, *names: str, **properties: object) -> Mapping[str, object]:
    containers = [{"Name": name, "Image": f"{name}:1"} for name in names]
    size = {"Cpu": "256", "Memory": "512"}
    body = {"Type": "AWS::ECS::TaskDefinition", "Properties": {"ContainerDefinitions": containers, **size}}
    service = {"TaskDefinition": {"Ref": f"T{number}"}, **properties}
    return {f"T{number}": body, f"S{number}": {"Type": "AWS::ECS::Service", "Properties": service}}


def table(*inventories: Inventory, width: int = 100, colour: bool = False) -> str:
    return to_table(comparison(*inventories), width=width, colour=colour, details=True)


def as_json(*inventories: Inventory) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(to_json(comparison(*inventories)))
    return found


SHOP, MAILBOX, ODD = (load(name) for name in ("shop.template.json", "mailbox.template.json", "odd.json"))
WARNING = Message(
    level="warning", path="Shop/Alb", text="a warning " + "that goes on " * 12 + "[ack: Some:Id]"
)


class TestJson:
    def test_the_schema_is_what_the_module_documents(self) -> None:
        found = as_json(SHOP)
        assert list(found) == [
            *("schema", "usage", "prices_as_of", "subjects", "differences", "break_even"),
        ]
        assert found["schema"] == "dify-cdk/compare/3"
        (subject,) = found["subjects"]
        contents = ["name", "parts", "resources", "containers", "listeners", "other_entry_points", "messages"]
        assert list(subject) == [*contents, "limits", "cost"]
        assert list(subject["parts"][0]) == ["name", "region", "source"]
        assert list(subject["resources"]) == ["total", "conditional", "types"]
        assert set(subject["containers"][0]) == {field.name for field in fields(ContainerRow)}
        assert set(subject["listeners"][0]) == {field.name for field in fields(Listener)}
        assert set(subject["listeners"][0]["routes"][0]) == {
            field.name for field in fields(Route) if field.compare
        }
        ends = subject["listeners"][1]["routes"][0]["destinations"]
        assert set(ends[0]) == {field.name for field in fields(Destination) if field.compare}
        assert set(subject["cost"]) == {*(field.name for field in fields(MonthlyCost)), "floor"}
        names = re.findall(r'^ +"(\w+)":', inspect.cleandoc(document.__doc__ or ""), re.MULTILINE)
        assert {*found, *subject, *subject["cost"]} <= set(names)

    def test_every_resource_is_counted(self) -> None:
        (subject,) = as_json(ODD)["subjects"]
        assert subject["resources"]["total"] == 20
        assert sum(entry["count"] for entry in subject["resources"]["types"]) == 20

    def test_unknown_numbers_are_null(self) -> None:
        (subject,) = as_json(ODD)["subjects"]
        assert subject["containers"][0]["vcpu"] is None
        assert subject["containers"][0]["memory_mib"] == 2048

    def test_differences_name_the_types_that_are_not_equally_frequent(self) -> None:
        one = of("one", "AWS::SQS::Queue", "AWS::SQS::Queue", "AWS::S3::Bucket")
        two = of("two", "AWS::SQS::Queue", "AWS::S3::Bucket", "AWS::SNS::Topic")
        assert as_json(one, two)["differences"] == [
            {"type": "AWS::SNS::Topic", "counts": {"one": 0, "two": 1}},
            {"type": "AWS::SQS::Queue", "counts": {"one": 2, "two": 1}},
        ]
        assert differing_types([one, one]) == []
        assert as_json(one)["differences"] == []

    def test_messages_keep_level_and_path(self) -> None:
        (subject,) = as_json(replace(SHOP, messages=(WARNING,)))["subjects"]
        assert subject["messages"] == [{"level": "warning", "path": "Shop/Alb", "text": WARNING.text}]


class TestTable:
    @pytest.mark.parametrize("width", [60, 100, 180])
    def test_fits_the_terminal(self, width: int) -> None:
        text = table(SHOP, MAILBOX, replace(ODD, messages=(WARNING,)), width=width)
        assert max(map(len, text.splitlines())) <= width
        assert "Shop/Alb" in text

    def test_is_not_coloured_unless_asked(self) -> None:
        assert ESCAPE not in table(SHOP, ODD)
        assert ESCAPE in table(SHOP, ODD, colour=True)

    def test_says_the_same_with_and_without_colour(self) -> None:
        coloured = re.sub(r"\x1b\[[0-9;]*m", "", table(SHOP, colour=True))
        assert [line.rstrip() for line in coloured.splitlines()] == table(SHOP).splitlines()

    def test_control_characters_of_a_template_never_reach_the_terminal(self) -> None:
        assert "\x1b[31m" in ODD.containers[2].name
        assert "\x1b[31mnested" not in table(ODD, colour=True)
        assert "nested [31m" in table(ODD)

    def test_square_brackets_are_text_and_no_markup(self) -> None:
        text = table(replace(SHOP, name="[bold]shop[/bold]", messages=(WARNING,)), width=200)
        assert text.startswith("[bold]shop[/bold]: architecture")
        assert "[ack: Some:Id]" in text

    def test_lines_do_not_end_with_spaces(self) -> None:
        text = table(SHOP, ODD)
        assert [line for line in text.split("\n") if line != line.rstrip()] == []
        assert text.endswith("\n")
        assert not text.endswith("\n\n")

    def test_a_container_has_its_line(self) -> None:
        line = next(line for line in table(SHOP).splitlines() if line.startswith("shop  "))
        assert line.split() == ["shop", "nginx:1.27", "0.5", "1", "8080", "shop", "2-6"]

    def test_what_all_containers_share_is_said_once(self) -> None:
        text = table(SHOP)
        assert "At least 5 tasks: 2.5 vCPU, 5 GB\n" in text
        assert "Private names end in .shop.internal\n" in text
        assert "Processor: ARM64; X86_64: admin\n" in text
        assert "Capacity: FARGATE; FARGATE + FARGATE_SPOT: shop\n" in text
        assert "Without a service, started when needed: seed\n" in text

    def test_containers_of_one_task_share_its_size_and_count(self) -> None:
        text = table(read({"Resources": task(1, "web", "sidecar")}, "x"))
        assert re.search(r"^web +web:1 +0.25 +0.5 +1$", text, re.MULTILINE)
        assert re.search(r"^sidecar +sidecar:1$", text, re.MULTILINE)
        assert "At least 1 task: 0.25 vCPU, 0.5 GB\n" in text

    def test_a_service_of_unknown_size_is_not_summed_as_nothing(self) -> None:
        resources = {**task(1, "web", DesiredCount=2), **task(2, "job", DesiredCount={"Ref": "Count"})}
        text = table(read({"Resources": resources}, "x"))
        assert "At least 2 tasks: 0.5 vCPU, 1 GB; 1 service of unknown size not counted\n" in text

    def test_private_names_in_several_namespaces_are_written_out(self) -> None:
        role = SHOP.containers[0]
        two = replace(SHOP, containers=(role, replace(role, name="b", private_names=("b.other.internal",))))
        text = table(two, width=120)
        assert "shop.shop.internal" in text
        assert "b.other.internal" in text
        assert "Private names end in" not in text

    def test_routes_lead_to_containers(self) -> None:
        text = table(SHOP)
        assert "HTTPS 443 on the internet-facing application load balancer Alb16C2F182\n" in text
        assert re.search(r"^ +20  /shop, /shop/\* +shop:8080$", text, re.MULTILINE)
        assert re.search(
            r"^ +3  /admin/\* if host admin.example.com +Cognito login, then admin:9000$", text, re.M
        )
        assert re.search(r"^default  everything else +answer 404$", text, re.MULTILINE)
        assert re.search(
            r"^default  everything +redirect 301 to https, same host and path$", text, re.MULTILINE
        )

    def test_a_destination_that_is_not_there_is_no_target_group(self) -> None:
        config: dict[str, object] = {"DistributionConfig": {}}
        resources = {"Cdn": {"Type": "AWS::CloudFront::Distribution", "Properties": config}}
        text = table(read({"Resources": resources}, "x"))
        assert re.search(r"^default +everything +a place that the template does not show$", text, re.M)

    def test_what_cannot_be_shown_is_said(self) -> None:
        text = table(MAILBOX)
        assert "No ECS task definition in this template.\n" in text
        assert "No load balancer, HTTP API or distribution in this template.\n" in text
        assert "Also public, routes not followed: AWS::Lambda::Url\n" in text
        assert "routes not followed" not in table(SHOP)

    def test_an_empty_template_is_no_error(self) -> None:
        assert re.search(r"^Resources +0\nContainers +0\nRoutes +0$", table(of("empty")), re.MULTILINE)

    def test_warnings_come_with_their_construct_path(self) -> None:
        messages = (WARNING, Message(level="error", path="Shop", text="no good"))
        text = table(replace(SHOP, messages=messages), width=300)
        assert "\nerror: Shop: no good\n" in text
        assert f"warning: Shop/Alb: {WARNING.text}\n" in text
        assert text.index("error: ") < text.index("warning: ")
        assert "\nNone were recorded." in table(SHOP)

    def test_the_region_is_said_when_known(self) -> None:
        assert re.search(r"^Regions +eu-west-1$", table(replace(SHOP, region="eu-west-1")), re.MULTILINE)
        assert "Regions" not in table(replace(SHOP, region=None))


class TestSideBySide:
    ONE = of("one", "AWS::SQS::Queue", "AWS::SQS::Queue", "AWS::S3::Bucket")
    TWO = of("two", "AWS::SQS::Queue", "AWS::SNS::Topic", "Custom::Thing")

    def test_one_column_per_template(self) -> None:
        lines = [line.split() for line in table(self.ONE, self.TWO).splitlines()]
        assert ["type", "one", "two"] in lines
        assert ["Queue", "2", "1"] in lines
        assert ["Bucket", "1", "-"] in lines
        assert ["Topic", "-", "1"] in lines
        assert ["all", "3", "3"] in lines

    def test_what_only_one_of_them_has(self) -> None:
        text = table(self.ONE, self.TWO)
        assert "only in one: S3 (Bucket)\n" in text
        assert "only in two: Custom (Thing), SNS (Topic)\n" in text
        assert only_in(self.ONE, [self.ONE, self.TWO, of("three", "AWS::S3::Bucket")]) == []

    def test_equal_templates_have_nothing_of_their_own(self) -> None:
        assert "only in again: nothing\n" in table(self.ONE, replace(self.ONE, name="again"))

    def test_differing_types_stand_out(self) -> None:
        text = table(self.ONE, replace(self.TWO, types=self.ONE.types[:1]), colour=True)
        bucket, queue = (
            next(line for line in text.splitlines() if f"  {name}" in line) for name in ("Bucket", "Queue")
        )
        assert "\x1b[33m" not in bucket
        assert "\x1b[33m" in queue

    def test_services_are_enough_unless_details_are_asked_for(self) -> None:
        lines = [line.split() for line in to_table(comparison(self.ONE, self.TWO)).splitlines()]
        assert ["service", "one", "two"] in lines
        assert ["SQS", "2", "1"] in lines
        assert ["all", "3", "3"] in lines
        assert not [line for line in lines if line[:1] == ["Queue"]]

    def test_differing_services_stand_out(self) -> None:
        text = to_table(comparison(self.ONE, replace(self.TWO, types=self.ONE.types[:1])), colour=True)
        s3, sqs = (next(line for line in text.splitlines() if name in line) for name in ("S3 ", "SQS "))
        assert "\x1b[33m" not in s3
        assert "\x1b[33m" in sqs

    def test_a_single_template_has_one_line_per_service(self) -> None:
        text = table(SHOP)
        assert "side by side" not in text
        assert re.search(r"^ServiceDiscovery +3  Service 2, PrivateDnsNamespace$", text, re.MULTILINE)


DIGEST = "0123456789ab" + "f" * 52


@pytest.mark.parametrize(
    ("image", "short"),
    [
        ("nginx:1.27", "nginx:1.27"),
        ("registry.example.com/team/app:2", "registry.example.com/team/app:2"),
        (f"app@sha256:{DIGEST}", "app@sha256:0123456789ab"),
        ("111122223333.dkr.ecr.eu-west-1.amazonaws.com/team/app:2", "ECR team/app:2"),
        ("AWS::AccountId.dkr.ecr.AWS::Region.AWS::URLSuffix/team/app:2", "ECR team/app:2"),
        (
            f"1.dkr.ecr.eu-west-1.amazonaws.com/cdk-abc-container-assets-1-eu-west-1:{DIGEST}",
            "CDK asset 0123456789ab",
        ),
        ("", ""),
    ],
)
def test_an_image_is_shortened_to_what_tells_it_apart(image: str, short: str) -> None:
    assert short_image(image) == short
