"""Values known only at deployment pass every check, or are refused with the word ``literal``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_route53 as route53

from dify_cdk import (
    Access,
    CacheSize,
    Component,
    ComponentSize,
    DatabaseCapacity,
    DifyAlbFrontend,
    DifyData,
    DifyNetwork,
    DifyRelease,
    DifyWorkers,
    Domain,
    Scaling,
    Spot,
)
from dify_cdk._checks import is_token, require_between, require_cidrs, require_match, require_one_of
from support import REGION, Template, strings
from synth.installation import synthesized, workers_in


@dataclass(frozen=True)
class Unknown:
    """The same kinds of tokens from one source."""

    text: str
    number: float
    list: list[str]


def parameters(stack: cdk.Stack) -> Unknown:
    return Unknown(
        text=cdk.CfnParameter(stack, "Text").value_as_string,
        number=cdk.CfnParameter(stack, "Number", type="Number").value_as_number,
        list=cdk.CfnParameter(stack, "List", type="CommaDelimitedList").value_as_list,
    )


def references(_: cdk.Stack) -> Unknown:
    reference = {"Ref": "Else"}
    return Unknown(
        text=cdk.Fn.ref("Else"),
        number=cdk.Token.as_number(reference),
        list=cdk.Token.as_list(reference),
    )


def functions(_: cdk.Stack) -> Unknown:
    return Unknown(
        text=cdk.Fn.select(0, cdk.Fn.split(",", cdk.Fn.ref("Else"))),
        number=cdk.Token.as_number(cdk.Fn.import_value("Else")),
        list=cdk.Fn.split(",", cdk.Fn.import_value("Else")),
    )


def attributes(_: cdk.Stack) -> Unknown:
    return Unknown(
        text=cdk.Token.as_string(cdk.Fn.get_att("Else", "Name")),
        number=cdk.Token.as_number(cdk.Fn.get_att("Else", "Count")),
        list=cdk.Fn.get_azs(),
    )


SOURCES: list[Callable[[cdk.Stack], Unknown]] = [parameters, references, functions, attributes]


@pytest.fixture(params=SOURCES, ids=lambda source: source.__name__)
def unknown(request: pytest.FixtureRequest, app: cdk.App) -> Unknown:
    found: Unknown = request.param(cdk.Stack(app, "Unknown"))
    return found


class TestIsToken:
    """Our test without jsii against the CDK's own."""

    def test_agrees_about_tokens(self, unknown: Unknown) -> None:
        values = [unknown.text, f"api.{unknown.text}", f"{unknown.text}/32", unknown.number, unknown.list]
        assert [is_token(value) for value in values] == [True] * 5
        assert [cdk.Token.is_unresolved(value) for value in values] == [True] * 5

    @pytest.mark.parametrize(
        "value",
        [
            *("", "a", "${AWS::Region}", "$Token[x]", "10.0.0.0/16", "Token[TOKEN.1]", "{{resolve:ssm:x}}"),
            *(0, 1, -1, 0.5, 2**40, -(2**40), 1e300, -1e200, True, False),
            *([], ["a"], ["a", "b"]),
        ],
        ids=repr,
    )
    def test_agrees_about_plain_values(self, value: object) -> None:
        assert is_token(value) is cdk.Token.is_unresolved(value) is False

    def test_agrees_about_pseudo_parameters(self) -> None:
        for value in (cdk.Aws.REGION, cdk.Aws.ACCOUNT_ID, cdk.Aws.PARTITION, cdk.Aws.URL_SUFFIX):
            assert is_token(value) is cdk.Token.is_unresolved(value) is True

    def test_also_sees_a_list_with_a_token_in_it(self, unknown: Unknown) -> None:
        """The CDK calls only the list unresolved that is a token as a whole."""
        assert is_token(["a", unknown.text])
        assert is_token((unknown.text,))
        assert not cdk.Token.is_unresolved(["a", unknown.text])

    def test_every_number_token_is_one(self) -> None:
        """They differ in the last bits of the number only, so that a thousand are as good as all."""
        numbers = [cdk.Token.as_number({"Ref": f"N{n}"}) for n in range(1000)]
        assert all(is_token(number) for number in numbers)
        assert max(numbers) < -1e289


class TestChecks:
    def test_require_between_passes(self, unknown: Unknown) -> None:
        require_between("n", unknown.number, 1, 2)

    def test_require_one_of_passes(self, unknown: Unknown) -> None:
        require_one_of("n", unknown.number, [1, 2])
        require_one_of("n", unknown.text, ["a"])

    def test_require_match_passes(self, unknown: Unknown) -> None:
        require_match("n", unknown.text, "a", "an a")
        require_match("n", f"b{unknown.text}", "a", "an a")

    @pytest.mark.parametrize("version", [4, 6])
    def test_require_cidrs_passes(self, unknown: Unknown, version: int) -> None:
        good = {4: "203.0.113.0/24", 6: "2001:db8::/32"}[version]
        require_cidrs("n", [unknown.text, good, f"{unknown.text}/8"], version)

    @pytest.mark.parametrize("version", [4, 6])
    def test_fails_when_the_plain_entry_beside_a_token_is_bad(self, unknown: Unknown, version: int) -> None:
        with pytest.raises(ValueError, match="without a prefix length"):
            require_cidrs("n", [unknown.text, "office"], version)


class TestValueObjects:
    def test_component_size(self, unknown: Unknown) -> None:
        number: Any = unknown.number
        assert ComponentSize(cpu_units=number, memory_mib=number, tasks=number).tasks == number
        assert ComponentSize(cpu_units=256, memory_mib=number).memory_mib == number
        assert ComponentSize(cpu_units=256, memory_mib=512, tasks=number, spot=Spot()).tasks == number

    def test_scaling(self, unknown: Unknown) -> None:
        number: Any = unknown.number
        assert Scaling(min_tasks=number, max_tasks=number, cpu_percent=number).max_tasks == number
        size = ComponentSize(cpu_units=256, memory_mib=512, tasks=Scaling(max_tasks=number), spot=Spot())
        assert size.most_tasks == number

    def test_fails_when_the_base_of_spot_is_known_only_at_deployment(self, unknown: Unknown) -> None:
        with pytest.raises(ValueError, match=r"^Spot\.on_demand_base must be literal: "):
            Spot(on_demand_base=int(unknown.number))

    def test_cache_size(self, unknown: Unknown) -> None:
        assert CacheSize(node_type=unknown.text).node_type == unknown.text

    def test_database_capacity(self, unknown: Unknown) -> None:
        number: Any = unknown.number
        assert not DatabaseCapacity(min_acu=number, max_acu=number).pauses
        assert DatabaseCapacity(min_acu=number, max_acu=1).max_acu == 1

    def test_access(self, unknown: Unknown) -> None:
        text = unknown.text
        access = Access(ipv4=[text, "203.0.113.0/24"], ipv6=[text], also=[text], countries=[text])
        assert access.all_ipv4 == (text, "203.0.113.0/24", f"{text}/32")

    def test_domain(self, unknown: Unknown, stack: cdk.Stack) -> None:
        certificate = acm.Certificate.from_certificate_arn(stack, "Certificate", unknown.text)
        zone = route53.HostedZone.from_hosted_zone_attributes(
            stack, "Zone", hosted_zone_id=unknown.text, zone_name=unknown.text
        )
        assert Domain(host_name=unknown.text, certificate=certificate).host_name == unknown.text
        assert Domain(host_name="dify.example.com", zone=zone).zone is zone
        assert Domain(host_name=f"dify.{unknown.text}", zone=zone).zone is zone

    def test_release(self, unknown: Unknown) -> None:
        text = unknown.text
        release = DifyRelease(
            version=text, sandbox=text, plugin_daemon=text, ssrf_proxy=text, registry=f"{text}/mirror"
        )
        assert release.image_name(Component.SANDBOX) == f"{text}/mirror/langgenius/dify-sandbox:{text}"
        assert not release.is_tested


class TestLiterals:
    """Where the shape of the template follows from a value, it has to be known, and the message says so."""

    def test_fails_when_the_cidr_is_unknown(self, stack: cdk.Stack) -> None:
        message = r"^DifyNetwork\.cidr must be literal: the subnets are laid out at synthesis$"
        with pytest.raises(ValueError, match=message):
            DifyNetwork(stack, "Network", cidr=parameters(stack).text)

    def test_fails_when_the_list_of_zones_is_unknown(self, stack: cdk.Stack) -> None:
        with pytest.raises(ValueError, match=r"^DifyNetwork\.zones must .*literal"):
            DifyNetwork(stack, "Network", zones=parameters(stack).list)

    def test_fails_when_the_number_of_replicas_is_unknown(self, stack: cdk.Stack) -> None:
        """Failover is switched on by it."""
        with pytest.raises(ValueError, match=r"^CacheSize\.replicas must be .*literal"):
            CacheSize(replicas=parameters(stack).number)  # type: ignore[arg-type]

    def test_fails_when_the_number_of_readers_is_unknown(self, stack: cdk.Stack) -> None:
        """Each one is a resource."""
        with pytest.raises(ValueError, match=r"^DatabaseCapacity\.readers must be .*literal"):
            DatabaseCapacity(readers=parameters(stack).number)  # type: ignore[arg-type]

    def test_fails_when_the_minutes_before_a_pause_are_unknown(self, stack: cdk.Stack) -> None:
        """They become seconds, which the CDK cannot compute from a token."""
        minutes: Any = parameters(stack).number
        with pytest.raises(ValueError, match=r"^DatabaseCapacity\.pause_after_minutes must be .*literal"):
            DatabaseCapacity(min_acu=0, pause_after_minutes=minutes)

    def test_fails_when_a_list_of_networks_is_unknown(self, stack: cdk.Stack) -> None:
        with pytest.raises(ValueError, match=r"^Access\.ipv4 must be .*literal"):
            Access(ipv4=parameters(stack).list)

    def test_fails_when_the_request_timeout_is_unknown(self, stack: cdk.Stack) -> None:
        """Dify is told it in seconds and in milliseconds, and inner timeouts are compared with it."""
        workers = workers_in(stack)
        timeout = cdk.Duration.seconds(parameters(stack).number)
        with pytest.raises(ValueError, match=r"^DifyAlbFrontend\.request_timeout .*literal"):
            DifyAlbFrontend(
                stack, "Frontend", workers=workers, access=Access.anyone(), request_timeout=timeout
            )


@pytest.fixture(scope="module")
def open_template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The template of a stack that leaves to its parameters whatever may be left."""
    app = cdk.App(outdir=str(tmp_path_factory.mktemp("template")), analytics_reporting=False)
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region=REGION))

    def number(name: str) -> Any:
        return cdk.CfnParameter(stack, name, type="Number").value_as_number

    def text(name: str) -> str:
        return cdk.CfnParameter(stack, name).value_as_string

    network = DifyNetwork(stack, "Network", zones=[text("Zone1"), text("Zone2")])
    data = DifyData(
        stack,
        "Data",
        vpc=network.vpc,
        capacity=DatabaseCapacity(min_acu=number("MinAcu"), max_acu=number("MaxAcu")),
        cache_size=CacheSize(node_type=text("NodeType")),
    )
    size = ComponentSize(cpu_units=number("Cpu"), memory_mib=number("Memory"), tasks=number("Tasks"))
    workers = DifyWorkers(
        stack,
        "Workers",
        data=data,
        namespace=text("Namespace"),
        release=DifyRelease(version=text("Tag"), registry=text("Registry")),
        sizes={Component.WORKER: size},
        environment={Component.WORKER: {"MAIL_TYPE": text("MailType")}},
    )
    certificate = acm.Certificate.from_certificate_arn(stack, "Certificate", text("CertificateArn"))
    DifyAlbFrontend(
        stack,
        "Frontend",
        workers=workers,
        access=Access(ipv4=[text("Office")], also=[text("Address")]),
        domain=Domain(host_name=text("Host"), certificate=certificate),
    )
    return synthesized(stack)


def joined(before: str, parameter: str, after: str = "") -> dict[str, Any]:
    parts = [part for part in (before, {"Ref": parameter}, after) if part]
    return {"Fn::Join": ["", parts]}


def numbers(value: object) -> Iterator[float]:
    if isinstance(value, dict):
        for item in value.values():
            yield from numbers(item)
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, int | float):
        yield value


class TestTemplate:
    """What passes the checks arrives in the template as the reference it was."""

    def test_zones(self, open_template: Template) -> None:
        subnets = open_template.properties("AWS::EC2::Subnet").values()
        zones = [subnet["AvailabilityZone"]["Ref"] for subnet in subnets]
        assert sorted(zones) == ["Zone1"] * 3 + ["Zone2"] * 3

    def test_capacity_of_the_database(self, open_template: Template) -> None:
        (cluster,) = open_template.properties("AWS::RDS::DBCluster").values()
        scaling = cluster["ServerlessV2ScalingConfiguration"]
        assert scaling == {"MinCapacity": {"Ref": "MinAcu"}, "MaxCapacity": {"Ref": "MaxAcu"}}

    def test_node_type_of_the_cache(self, open_template: Template) -> None:
        (cache,) = open_template.properties("AWS::ElastiCache::ReplicationGroup").values()
        assert cache["CacheNodeType"] == {"Ref": "NodeType"}

    def test_size_and_number_of_tasks(self, open_template: Template) -> None:
        task = open_template.task_of("worker")
        assert (task["Cpu"], task["Memory"]) == ({"Ref": "Cpu"}, {"Ref": "Memory"})
        assert open_template.services()["worker"]["DesiredCount"] == {"Ref": "Tasks"}

    def test_names(self, open_template: Template) -> None:
        (namespace,) = open_template.properties("AWS::ServiceDiscovery::PrivateDnsNamespace").values()
        assert namespace["Name"] == {"Ref": "Namespace"}
        worker = open_template.environment("worker")
        assert worker["INTERNAL_FILES_URL"] == joined("http://api.", "Namespace", ":5001")
        assert worker["CONSOLE_API_URL"] == joined("https://", "Host")
        assert worker["MAIL_TYPE"] == {"Ref": "MailType"}
        assert open_template.environment("web")["APP_API_URL"] == joined("https://", "Host")

    def test_image(self, open_template: Template) -> None:
        parts = [{"Ref": "Registry"}, "/langgenius/dify-api:", {"Ref": "Tag"}]
        assert open_template.containers()["api"]["Image"] == {"Fn::Join": ["", parts]}

    def test_networks(self, open_template: Template) -> None:
        groups = open_template.properties("AWS::EC2::SecurityGroup")
        (ingress,) = [p["SecurityGroupIngress"] for id, p in groups.items() if "PublicAlb" in id]
        sources = [rule["CidrIp"] for rule in ingress if rule["FromPort"] == 443]
        assert sources == [{"Ref": "Office"}, joined("", "Address", "/32")]

    def test_no_token_is_left_over(self, open_template: Template) -> None:
        """Neither a number nor a text that was computed with instead of passed on."""
        body = open_template.body
        assert [value for _, value in strings(body) if "Token[" in value or "188815458970" in value] == []
        assert [number for number in numbers(body) if is_token(number) or not math.isfinite(number)] == []
