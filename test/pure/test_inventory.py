from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dify_cdk.report.inventory import OTHER_ENTRY_POINTS, Inventory, read
from dify_cdk.report.output.compare_json import to_json
from dify_cdk.report.templates import template
from dify_cdk.report.templates.template import Template
from dify_cdk.report.traffic import containers, load_balancers
from dify_cdk.report.traffic.api_gateway import HTTP_API, KINDS
from dify_cdk.report.traffic.cloudfront import KIND
from dify_cdk.report.traffic.containers import ContainerRow
from dify_cdk.report.traffic.routes import Destination, Route
from reports import to_markdown, to_table
from support import TEMPLATES
from template_parts import comparison, load


def of(resources: Mapping[str, object]) -> Inventory:
    return read({"Resources": resources}, "test")


def counts(inventory: Inventory) -> dict[str, int]:
    return {f"{entry.service} {entry.name}": entry.count for entry in inventory.types}


class TestResources:
    @pytest.mark.parametrize(
        ("type", "shown"),
        [
            ("AWS::ECS::Service", "ECS Service"),
            ("Custom::S3AutoDelete", "Custom S3AutoDelete"),
            ("AWS::CloudFormation::CustomResource", "Custom CustomResource"),
            ("MongoDB::Atlas::Cluster", "MongoDB Atlas Cluster"),
            ("Company::Shop::Bucket::MODULE", "Company Shop Bucket::MODULE"),
            ("AWS::Odd", "Odd Odd"),
            ("nonsense", "Unknown nonsense"),
            ("", "Unknown (no type)"),
        ],
    )
    def test_a_type_is_counted_below_its_service(self, type: str, shown: str) -> None:
        assert counts(of({"A": {"Type": type}, "B": {"Type": type}})) == {shown: 2}

    def test_entries_that_are_no_resources_are_counted_too(self) -> None:
        inventory = of({"Fn::ForEach::Topics": ["T", []], "A": None, "B": {"Type": 7}})
        assert counts(inventory) == {"Unknown (no type)": 3}
        assert inventory.total == 3

    def test_conditional_resources_are_told(self) -> None:
        assert load("odd.json").conditional == 1
        assert load("shop.template.json").conditional == 0

    def test_types_are_ordered_by_service_then_name(self) -> None:
        inventory = of({str(n): {"Type": t} for n, t in enumerate(["AWS::SQS::Queue", "AWS::ECS::Service"])})
        assert list(counts(inventory)) == ["ECS Service", "SQS Queue"]

    def test_an_app_without_containers_gives_its_resources_alone(self) -> None:
        inventory = load("mailbox.template.json")
        assert counts(inventory)["SQS Queue"] == 1
        assert counts(inventory)["Lambda Function"] == 3
        assert (inventory.containers, inventory.listeners) == ((), ())

    @pytest.mark.parametrize("type", OTHER_ENTRY_POINTS)
    def test_ways_in_that_are_not_followed_are_named(self, type: str) -> None:
        assert of({"Cdn": {"Type": type}, "Again": {"Type": type}}).other_entry_points == (type,)


class TestContainers:
    def test_a_service_with_autoscaling_spot_and_a_private_name(self) -> None:
        assert load("shop.template.json").containers[0] == ContainerRow(
            name="shop",
            image="nginx:1.27",
            vcpu=0.5,
            memory_mib=1024,
            architecture="ARM64",
            ports=(8080,),
            private_names=("shop.shop.internal",),
            min_tasks=2,
            max_tasks=6,
            capacity=("FARGATE", "FARGATE_SPOT"),
            service="ShopService3AD7A0C4",
            task_definition="ShopTask71FB9CEC",
            task_containers=1,
        )

    def test_every_container_is_listed_and_tasks_without_a_service_come_last(self) -> None:
        roles = load("shop.template.json").containers
        assert [role.name for role in roles] == ["shop", "admin", "mailer", "seed"]
        assert [(role.min_tasks, role.max_tasks) for role in roles] == [(2, 6), (2, 2), (1, 1), (None, None)]
        assert [role.service is None for role in roles] == [False, False, False, True]
        assert roles[2].ports == ()
        assert roles[2].private_names == ()

    def test_an_image_built_by_the_cdk_is_readable(self) -> None:
        image = load("shop.template.json").containers[1].image
        assert image.startswith(
            "AWS::AccountId.dkr.ecr.eu-west-1.AWS::URLSuffix/cdk-hnb659fds-container-assets-"
        )

    def test_conditions_lists_in_lists_and_values_known_at_deploy_time(self) -> None:
        nginx, cache, nested, _ = load("odd.json").containers
        assert nginx.image == "?Registry/nginx:1"
        assert (nginx.vcpu, nginx.memory_mib) == (None, 2048)
        assert nginx.ports == (80,)
        assert (nginx.min_tasks, nginx.max_tasks) == (None, None)
        assert nginx.capacity == ("EC2",)
        assert cache.image == "valkey:${Tag}"
        assert nested.image == "big:1 or small:1"
        assert {nginx.task_containers, cache.task_containers} == {3}

    def test_a_name_for_one_container_is_not_given_to_the_others_of_the_task(self) -> None:
        nginx, cache, *_ = load("odd.json").containers
        assert nginx.private_names == ("web.?MissingNamespace",)
        assert cache.private_names == ()

    def test_a_service_whose_task_definition_is_elsewhere_is_listed(self) -> None:
        imported = load("odd.json").containers[3]
        assert imported.name == "Imported"
        assert imported.task_definition == "arn:aws:ecs:eu-west-1:111122223333:task-definition/old:3"
        assert (imported.min_tasks, imported.max_tasks) == (None, None)

    @pytest.mark.parametrize(
        ("cpu", "memory", "size"),
        [
            ("256", "512", (0.25, 512)),
            (1024, 2048, (1.0, 2048)),
            (".5 vCPU", "1GB", (0.5, 1024)),
            ("1 vcpu", "0.5 GB", (1.0, 512)),
            ("much", {"Ref": "Memory"}, (None, None)),
            (True, -1, (None, None)),
        ],
    )
    def test_sizes_in_every_notation_of_ecs(
        self, cpu: object, memory: object, size: tuple[float | None, int | None]
    ) -> None:
        properties = {"Cpu": cpu, "Memory": memory, "ContainerDefinitions": [{"Name": "a"}]}
        (role,) = of({"T": {"Type": "AWS::ECS::TaskDefinition", "Properties": properties}}).containers
        assert (role.vcpu, role.memory_mib) == size

    @pytest.mark.parametrize(
        ("second", "size"),
        [({"Cpu": 256, "MemoryReservation": 256}, (0.5, 768)), ({}, (None, None))],
        ids=["both say it", "one is silent"],
    )
    def test_a_task_without_a_size_is_as_large_as_its_containers(
        self, second: dict[str, object], size: tuple[float | None, int | None]
    ) -> None:
        containers = [
            {"Name": "a", "Cpu": 256, "Memory": 512, "MemoryReservation": 9},
            {"Name": "b", **second},
        ]
        task = {"Type": "AWS::ECS::TaskDefinition", "Properties": {"ContainerDefinitions": containers}}
        assert {(role.vcpu, role.memory_mib) for role in of({"T": task}).containers} == {size}


class TestRoutes:
    def test_from_the_listener_to_the_container(self) -> None:
        redirect, https = load("shop.template.json").listeners
        assert (redirect.protocol, redirect.port, redirect.scheme) == ("HTTP", 80, "internet-facing")
        assert [route.actions for route in redirect.routes] == [
            ("redirect 301 to https, same host and path",)
        ]
        assert (https.protocol, https.port, https.kind) == ("HTTPS", 443, "application")
        assert https.load_balancer == redirect.load_balancer == "Alb16C2F182"
        assert https.routes[1] == Route(
            priority=20,
            default=False,
            paths=("/shop", "/shop/*"),
            conditions=(),
            actions=(),
            destinations=(
                Destination(
                    container="shop", port=8080, target_group="AlbHttpsShopGroupB63D2FD2", weight=None
                ),
            ),
        )

    def test_rules_come_by_priority_whatever_their_order_and_the_default_last(self) -> None:
        _, https = load("shop.template.json").listeners
        assert [route.priority for route in https.routes] == [3, 20, 100, None]
        assert [route.default for route in https.routes] == [False, False, False, True]
        assert https.routes[-1].actions == ("answer 404",)

    def test_a_login_before_the_container(self) -> None:
        _, https = load("shop.template.json").listeners
        login = https.routes[0]
        assert login.conditions == ("host admin.example.com",)
        assert login.actions == ("Cognito login",)
        assert [(end.container, end.port) for end in login.destinations] == [("admin", 9000)]

    def test_several_weighted_destinations_and_a_target_group_that_nobody_joins(self) -> None:
        _, https = load("shop.template.json").listeners
        weighted = https.routes[2]
        assert weighted.paths == ()
        assert weighted.conditions == ("header x-beta 1", "query beta=yes", "source 203.0.113.0/24")
        assert [(end.container, end.weight) for end in weighted.destinations] == [("admin", 1), (None, 9)]

    def test_a_priority_known_at_deploy_time_comes_after_the_known_ones(self) -> None:
        listener = load("odd.json").listeners[0]
        assert [route.priority for route in listener.routes] == [7, None, None]
        assert listener.routes[1].paths == ("/a/*",)
        assert listener.routes[1].conditions == ("path ^/a/b",)

    def test_unknown_actions_and_conditions_are_shown_in_their_order(self) -> None:
        route = load("odd.json").listeners[0].routes[0]
        assert route.conditions == ("moon-phase", "unknown condition")
        assert route.actions == ("validate-signature",)
        assert [(end.container, end.port) for end in route.destinations] == [("Scaling", 8080)]

    def test_rules_of_a_listener_that_is_not_in_the_template_are_kept(self) -> None:
        orphan = load("odd.json").listeners[1]
        assert (orphan.id, orphan.port, orphan.scheme) == ("?MissingListener", None, "")
        assert [end.container for end in orphan.routes[0].destinations] == ["Function", None]
        assert orphan.routes[0].destinations[1].target_group == "?MissingGroup"

    @pytest.mark.parametrize(
        ("action", "shown"),
        [
            ({"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "403"}}, "answer 403"),
            ({"Type": "fixed-response"}, "answer"),
            ({"Type": "authenticate-oidc"}, "OpenID Connect login"),
            (
                {"Type": "authenticate-oidc", "AuthenticateOidcConfig": {"OnUnauthenticatedRequest": "deny"}},
                "OpenID Connect login or 401",
            ),
            (
                {
                    "Type": "authenticate-cognito",
                    "AuthenticateCognitoConfig": {"OnUnauthenticatedRequest": "allow"},
                },
                "Cognito login if wanted",
            ),
            (
                {
                    "Type": "redirect",
                    "RedirectConfig": {
                        "Protocol": "HTTPS",
                        "Port": "443",
                        "Host": "new.example.com",
                        "StatusCode": "HTTP_302",
                    },
                },
                "redirect 302 to https://new.example.com/#{path}?#{query}",
            ),
            (
                {"Type": "redirect", "RedirectConfig": {"Path": "/new", "StatusCode": "HTTP_301"}},
                "redirect 301 to #{protocol}://#{host}:#{port}/new?#{query}",
            ),
            ({}, "unknown action"),
        ],
    )
    def test_what_a_listener_does_itself(self, action: dict[str, object], shown: str) -> None:
        properties = {"DefaultActions": [action]}
        inventory = of({"L": {"Type": "AWS::ElasticLoadBalancingV2::Listener", "Properties": properties}})
        assert inventory.listeners[0].routes[0].actions == (shown,)

    def test_a_network_load_balancer_is_no_application_load_balancer(self) -> None:
        inventory = of(
            {
                "Balancer": {
                    "Type": "AWS::ElasticLoadBalancingV2::LoadBalancer",
                    "Properties": {"Type": "network", "Scheme": "internal"},
                },
                "Listener": {
                    "Type": "AWS::ElasticLoadBalancingV2::Listener",
                    "Properties": {"LoadBalancerArn": {"Ref": "Balancer"}, "Port": "53", "Protocol": "UDP"},
                },
            }
        )
        (listener,) = inventory.listeners
        assert (listener.kind, listener.scheme, listener.port) == ("network", "internal", 53)


class TestText:
    VIEW = Template({"Resources": {"Known": {"Type": "AWS::S3::Bucket"}}, "Parameters": {"Size": {}}})

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("plain", "plain"),
            (None, ""),
            (True, "true"),
            (1.5, "1.5"),
            ([1, "two"], "1, two"),
            ({"Ref": "Known"}, "Known"),
            ({"Ref": "Size"}, "Size"),
            ({"Ref": "Gone"}, "?Gone"),
            ({"Ref": "AWS::Region"}, "AWS::Region"),
            ({"Ref": "AWS::NoValue"}, ""),
            ({"Fn::GetAtt": ["Known", "Arn"]}, "Known.Arn"),
            ({"Fn::GetAtt": "Known.Arn"}, "Known.Arn"),
            ({"Fn::GetAtt": ["Gone", "Arn"]}, "?Gone.Arn"),
            ({"Fn::Join": ["-", ["a", {"Ref": "Known"}]]}, "a-Known"),
            ({"Fn::Sub": "${AWS::Region}/${Known.Arn}/${!Kept}"}, "AWS::Region/Known.Arn/${Kept}"),
            ({"Fn::Sub": ["${a}${b}", {"a": {"Ref": "Known"}}]}, "Known?b"),
            ({"Fn::If": ["C", "yes", {"Ref": "AWS::NoValue"}]}, "yes"),
            ({"Fn::If": ["C", "yes", "no"]}, "yes or no"),
            ({"Fn::ImportValue": {"Fn::Sub": "${AWS::StackName}-x"}}, "AWS::StackName-x"),
            ({"Fn::GetStackOutput": {"StackName": "Other", "OutputName": "Arn"}}, "Other.Arn"),
            ({"Fn::Select": [0, {"Fn::GetAZs": ""}]}, "Select(0, GetAZs())"),
            ({"Fn::Join": "broken"}, "Join(broken)"),
            ({"a": 1, "b": {"Ref": "Known"}}, "{a: 1, b: Known}"),
        ],
    )
    def test_intrinsic_functions_become_readable(self, value: object, text: str) -> None:
        assert self.VIEW.text(value) == text

    def test_endless_nesting_does_not_exhaust_the_stack(self) -> None:
        value: object = "core"
        for _ in range(500):
            value = {"Fn::Join": ["", [value]]}
        assert self.VIEW.text(value) == "..."
        assert self.VIEW.find(value) is None


NAMES = st.sampled_from(["A", "B", "C", "Gone", "AWS::Region", "AWS::NoValue"])
# Every property name that the readers ask for, so that random templates reach all of their code.
READERS = "".join(
    Path(module.__file__ or "").read_text() for module in (containers, load_balancers, template)
)
PROPERTIES = st.sampled_from(sorted(set(re.findall(r'"([A-Z][A-Za-z]+)"', READERS))))
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | NAMES
    | st.builds(str, st.integers(0, 9))
)


def nested(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return (
        st.lists(inner, max_size=3)
        | st.dictionaries(PROPERTIES | st.text(max_size=3), inner, max_size=4)
        | st.builds(lambda name: {"Ref": name}, NAMES)
        | st.builds(lambda name: {"Fn::GetAtt": [name, "Arn"]}, NAMES)
        | st.builds(
            lambda key, value: {key: value}, st.sampled_from(["Ref", "Fn::If", "Fn::Sub", "Fn::Join"]), inner
        )
        | st.builds(lambda yes, no: {"Fn::If": ["Condition", yes, no]}, inner, inner)
    )


VALUES = st.recursive(LEAVES, nested, max_leaves=12)
KNOWN_TYPES = st.sampled_from(
    [
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "AWS::AutoScaling::AutoScalingGroup",
        "AWS::ECS::Service",
        "AWS::ECS::TaskDefinition",
        "AWS::ElasticLoadBalancingV2::Listener",
        "AWS::ElasticLoadBalancingV2::ListenerRule",
        "AWS::ElasticLoadBalancingV2::LoadBalancer",
        "AWS::ElasticLoadBalancingV2::TargetGroup",
        "AWS::ServiceDiscovery::PrivateDnsNamespace",
        "AWS::ServiceDiscovery::Service",
    ]
)
RESOURCES = VALUES | st.fixed_dictionaries(
    {"Type": KNOWN_TYPES | VALUES, "Properties": st.dictionaries(PROPERTIES, VALUES, max_size=8) | VALUES}
)
DOCUMENTS = st.fixed_dictionaries(
    {"Resources": st.dictionaries(NAMES | st.text(max_size=3), RESOURCES, max_size=6)},
    optional={"Parameters": VALUES, "Conditions": VALUES},
)


FIXTURES = [json.loads(path.read_text()) for path in sorted(TEMPLATES.glob("*.json"))]


def places(value: object) -> Iterator[tuple[dict[object, object] | list[object], object]]:
    """Every (container, key) inside a JSON value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield cast("dict[object, object]", value), key
        yield from places(item)


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, dict[str, object]]:
    """A real template with a few values replaced, or moved into a list or a condition."""
    document: dict[str, dict[str, object]] = copy.deepcopy(draw(st.sampled_from(FIXTURES)))
    for _ in range(draw(st.integers(1, 8))):
        spots = list(places(document["Resources"]))
        container, key = spots[draw(st.integers(0, len(spots) - 1))]
        old = cast("dict[object, object]", container)[key]
        new = VALUES | st.sampled_from(
            [[old], [[old, None]], {"Fn::If": ["C", old, None]}, {"Fn::If": [old]}]
        )
        cast("dict[object, object]", container)[key] = draw(new)
    return document


class TestAnyTemplate:
    @settings(max_examples=300, deadline=None)
    @given(DOCUMENTS | damaged())
    @example({"Resources": {}})
    def test_is_read_and_rendered_and_nothing_is_dropped(
        self, document: dict[str, dict[str, object]]
    ) -> None:
        inventory = read(document, "any")
        assert inventory.total == sum(entry.count for entry in inventory.types) == len(document["Resources"])
        found = comparison(inventory, inventory)
        assert json.loads(to_json(found))["subjects"][0]["resources"]["total"] == inventory.total
        assert to_table(found, width=100)
        assert to_markdown(found)

    @given(VALUES)
    def test_even_without_resources(self, value: object) -> None:
        assert read({"Resources": value}, "any").name == "any"
        assert read({}, "any").total == 0

    @pytest.mark.parametrize("name", sorted(path.name for path in TEMPLATES.glob("*.json")))
    def test_every_rule_of_every_fixture_appears_once(self, name: str) -> None:
        resources = json.loads((TEMPLATES / name).read_text())["Resources"]
        types = [body.get("Type") for body in resources.values() if isinstance(body, dict)]
        inventory = load(name)
        balancers = [one for one in inventory.listeners if one.kind not in (KIND, KINDS[HTTP_API])]
        rows = [route for listener in balancers for route in listener.routes]
        assert sum(not row.default for row in rows) == types.count(
            "AWS::ElasticLoadBalancingV2::ListenerRule"
        )
        assert sum(row.default for row in rows) == types.count("AWS::ElasticLoadBalancingV2::Listener")
