"""Effective limits of whole templates: who may enter, TLS, what stands by, and facts with their sources."""

from __future__ import annotations

import ast
import copy
import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dify_cdk
from dify_cdk.dify.components import Component
from dify_cdk.dify.routes import ROUTES
from dify_cdk.report.limits.limits import CLASSES
from dify_cdk.report.limits.verdict import UNKNOWN
from dify_cdk.report.traffic.facts import Fact, fact, facts
from dify_cdk.report.traffic.routes import matches
from paths import route_of
from support import TEMPLATES
from template_parts import (
    ARN,
    BEHIND_ALB,
    REF,
    URL_ORIGIN,
    Resources,
    balancer,
    distribution,
    function,
    http_api,
    limits,
    resource,
    service,
    url,
    values,
)

REPORT = Path(dify_cdk.__file__).parent / "report"


class TestFilters:
    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("if (event.viewer.ip !== '203.0.113.7') return { statusCode: 403 };", "CloudFront Function"),
            ("log(event.viewer.ip);", "none"),
            ("var ANYONE = true; if (!ANYONE && event.viewer.ip) return { statusCode: 403 };", "none"),
        ],
    )
    def test_edge_function_filters_if_it_looks_and_refuses(self, code: str, kind: str) -> None:
        association = {"EventType": "viewer-request", "FunctionARN": {"Fn::GetAtt": ["Edge", "FunctionARN"]}}
        template = {
            **function(),
            **url(),
            **distribution(URL_ORIGIN, default={"FunctionAssociations": [association]}),
            "Edge": resource("CloudFront::Function", FunctionCode=code),
        }
        assert limits(template)["IP filter", ""].value == kind
        half = {"PathPattern": "/open/*"}
        template |= distribution(URL_ORIGIN, half, default={"FunctionAssociations": [association]})
        assert limits(template)["IP filter", ""].value == ("unknown" if kind != "none" else "none")

    def test_code_that_the_template_does_not_show_may_filter(self) -> None:
        association = {"EventType": "viewer-request", "LambdaFunctionARN": "arn:aws:lambda:x"}
        template = {
            **function(),
            **url(),
            **distribution(URL_ORIGIN, default={"LambdaFunctionAssociations": [association]}),
        }
        assert limits(template)["IP filter", ""].value == "unknown"

    @pytest.mark.parametrize(
        ("rules", "kind"),
        [
            ([{"CidrIp": "203.0.113.0/24", "FromPort": 80, "ToPort": 80}], "security group"),
            ([{"CidrIp": "0.0.0.0/0", "FromPort": 80, "ToPort": 80}], "none"),
            ([{"CidrIpv6": "::/0", "IpProtocol": "-1"}], "none"),
            ([{"CidrIp": "0.0.0.0/0", "FromPort": 22, "ToPort": 22}], "security group"),
        ],
    )
    def test_security_group_filters_unless_it_is_open_at_a_port_of_a_listener(
        self, rules: list[Resources], kind: str
    ) -> None:
        groups = [{"Fn::GetAtt": ["Group", "GroupId"]}]
        template = {
            **service(**BEHIND_ALB),
            **balancer(SecurityGroups=groups),
            "Group": resource("EC2::SecurityGroup"),
        }
        inline = copy.deepcopy(template)
        inline["Group"]["Properties"]["SecurityGroupIngress"] = rules
        assert limits(inline)["IP filter", ""].value == kind
        for number, rule in enumerate(rules):
            template[f"In{number}"] = resource("EC2::SecurityGroupIngress", GroupId=groups[0], **rule)
        assert limits(template)["IP filter", ""].value == kind

    def test_security_group_of_somewhere_else_is_unknown(self) -> None:
        template = {**service(**BEHIND_ALB), **balancer(SecurityGroups=["sg-1"])}
        assert limits(template)["IP filter", ""].value == "unknown"

    @pytest.mark.parametrize(
        ("sources", "networks", "kind"),
        [
            (["$context.identity.sourceIp"], "", "authorizer"),
            ([], "203.0.113.0/24,198.51.100.0/24", "authorizer"),
            (["$request.header.Authorization"], "", "unknown"),
        ],
    )
    def test_authorizer_filters_if_it_asks_by_address(
        self, sources: list[str], networks: str, kind: str
    ) -> None:
        template = {**function(Environment={"Variables": {"LIST": networks}}), **http_api("$default")}
        template["Guard"] = resource(
            "ApiGatewayV2::Authorizer", IdentitySource=sources, AuthorizerUri=ARN["Function"]
        )
        template["Route0"]["Properties"]["AuthorizerId"] = {"Ref": "Guard"}
        assert limits(template)["IP filter", ""].value == kind


class TestTls:
    @pytest.mark.parametrize(
        ("policy", "version"),
        [
            (None, "1.0"),
            ("ELBSecurityPolicy-2016-08", "1.0"),
            ("ELBSecurityPolicy-TLS-1-1-2017-01", "1.1"),
            ("ELBSecurityPolicy-FS-1-2-Res-2020-10", "1.2"),
            ("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09", "1.2"),
            ("ELBSecurityPolicy-TLS13-1-3-2021-06", "1.3"),
        ],
    )
    def test_policy_of_a_listener_names_the_lowest_version(self, policy: str | None, version: str) -> None:
        template = {**service(**BEHIND_ALB), **balancer()}
        template["Listener"]["Properties"] |= {"Protocol": "HTTPS", "Port": 443, "SslPolicy": policy}
        text = limits(template)["TLS", ""].text
        assert text == f"load balancer, TLS {version} or newer, custom domain"

    def test_plain_listener_beside_tls_is_told(self) -> None:
        template = {**service(**BEHIND_ALB), **balancer()}
        template["Secure"] = copy.deepcopy(template["Listener"])
        template["Secure"]["Properties"] |= {"Protocol": "HTTPS", "Port": 443}
        assert limits(template)["TLS", ""].text.endswith("custom domain, plain HTTP too")
        template["Listener"]["Properties"]["DefaultActions"] = [{"Type": "redirect"}]
        assert limits(template)["TLS", ""].text.endswith("custom domain")

    def test_distribution_tells_its_names(self) -> None:
        certificate = {"MinimumProtocolVersion": "TLSv1.2_2021"}
        template = {
            **function(),
            **url(),
            **distribution(URL_ORIGIN, Aliases=["dify.example.com"], ViewerCertificate=certificate),
        }
        assert limits(template)["TLS", ""].text == "CloudFront, TLS 1.2 or newer, dify.example.com"
        template |= distribution(URL_ORIGIN, default={"ViewerProtocolPolicy": "allow-all"})
        assert (
            limits(template)["TLS", ""].text == "CloudFront, TLS 1.0 or newer, AWS's domain, plain HTTP too"
        )


class TestStandby:
    def test_what_stops_and_what_keeps_running(self) -> None:
        template = {
            **service(**BEHIND_ALB, DesiredCount=0),
            **balancer(),
            "Data": resource("RDS::DBCluster", ServerlessV2ScalingConfiguration={"MinCapacity": 0}),
            "Writer": resource("RDS::DBInstance", DBInstanceClass="db.serverless"),
        }
        limit = limits(template)["scales to zero", ""]
        assert limit.value == "1 service, 1 database"
        assert limit.hop == "stops: service Service, database Data; keeps running: load balancer Alb"
        assert limits(template)["cold start", "app"].value == "task"
        template["Data"]["Properties"]["ServerlessV2ScalingConfiguration"]["MinCapacity"] = 0.5
        template["Service"]["Properties"]["DesiredCount"] = {"Ref": "Count"}
        limit = limits(template)["scales to zero", ""]
        assert limit.value == "nothing"
        assert limit.hop == "keeps running: database Data, load balancer Alb; unknown: service Service"
        assert limits(template)["cold start", "app"].value == "unknown"

    def test_a_database_keeps_running_beside_a_task_that_asks_it_every_minute(self) -> None:
        daemon = [{"Name": "plugin_daemon", "Image": "langgenius/dify-plugin-daemon:1"}]
        template = {
            **service(**BEHIND_ALB),
            **balancer(),
            "Data": resource("RDS::DBCluster", ServerlessV2ScalingConfiguration={"MinCapacity": 0}),
            "DaemonTask": resource("ECS::TaskDefinition", ContainerDefinitions=daemon),
            "Daemon": resource("ECS::Service", TaskDefinition={"Ref": "DaemonTask"}, DesiredCount=1),
        }
        limit = limits(template)["scales to zero", ""]
        assert (limit.value, "database Data" in limit.hop.partition("keeps running")[2]) == ("nothing", True)
        template["Daemon"]["Properties"]["DesiredCount"] = 0
        assert limits(template)["scales to zero", ""].value == "1 service, 1 database"

    @pytest.mark.parametrize(("package", "kind"), [("Zip", "function"), ("Image", "image")])
    def test_functions_start_cold_unless_the_alias_of_the_url_is_provisioned(
        self, package: str, kind: str
    ) -> None:
        template = {**function(PackageType=package), **url(Qualifier="live")}
        template["Live"] = resource(
            "Lambda::Alias",
            FunctionName={"Ref": "Function"},
            Name="live",
            ProvisionedConcurrencyConfig={"ProvisionedConcurrentExecutions": 1},
        )
        found = limits(template)
        assert found["cold start", "app"].value == "none"
        assert found["scales to zero", ""].hop == "keeps running: function Function"
        del template["Live"]["Properties"]["ProvisionedConcurrencyConfig"]
        assert limits(template)["cold start", "app"].value == kind


class TestSubjects:
    def test_nothing_public_has_no_limits(self) -> None:
        assert limits({"Queue": resource("SQS::Queue")}) == {}

    def test_ways_cross_stacks(self) -> None:
        compute = {
            "Resources": {**function(Timeout=8), **url(InvokeMode="RESPONSE_STREAM")},
            "Outputs": {"Out": {"Value": {"Fn::GetAtt": ["Url", "FunctionUrl"]}, "Export": {"Name": "url"}}},
        }
        domain = {"Fn::Select": [2, {"Fn::Split": ["/", {"Fn::ImportValue": "url"}]}]}
        edge = distribution({"Id": "end", "DomainName": domain})
        assert values(edge, compute) == (8, True, 6)
        assert values(edge)[0] == UNKNOWN

    def test_entry_points_side_by_side_are_told_apart(self) -> None:
        found = limits({**function(Timeout=9), **url(), **http_api("$default", TimeoutInMillis=2000)})
        assert found["request timeout", "app at Url"].value == 9
        assert found["request timeout", "app at Api"].value == 2
        assert ("TLS", "at Api") in found
        assert ("scales to zero", "") in found


ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 99999) | st.sampled_from(["x", "Alb", "/*", "**", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Ref", "Fn::GetAtt", "Fn::If", "Fn::Sub", "Id", "Value", "Type"]), inner
        )
    ),
    max_leaves=8,
)
BASE = {
    **service({"UPLOAD_FILE_SIZE_LIMIT": "1"}, **BEHIND_ALB),
    **balancer({"Conditions": [], "Actions": []}, SecurityGroups=[{"Fn::GetAtt": ["Group", "GroupId"]}]),
    "Group": resource("EC2::SecurityGroup", SecurityGroupIngress=[{"CidrIp": "10.0.0.0/8"}]),
    **{f"{id}2": one for id, one in http_api("$default").items()},
    **function(Environment={"Variables": {"A": "1"}}),
    **url(),
    **distribution(URL_ORIGIN, {"PathPattern": "/v1/*"}, WebACLId=REF["Acl"]),
    "Acl": resource("WAFv2::WebACL", Rules=[{"Statement": {}}]),
}


class TestNeverFails:
    @pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.json")), ids=lambda path: path.name)
    def test_templates_of_strangers_are_read(self, path: Path) -> None:
        template = json.loads(path.read_text(encoding="utf-8"))
        for limit in limits(template).values():
            assert limit.text

    @settings(max_examples=300, deadline=None)
    @given(st.data())
    def test_odd_values_anywhere_are_no_error(self, data: st.DataObject) -> None:
        template = copy.deepcopy(BASE)
        for _ in range(3):
            id = data.draw(st.sampled_from(sorted(template)))
            properties = template[id]["Properties"]
            if not isinstance(properties, dict) or not properties:
                template[id]["Properties"] = data.draw(ODD)
                continue
            key = data.draw(st.sampled_from(sorted(properties)))
            if isinstance(properties[key], dict) and properties[key] and data.draw(st.booleans()):
                properties, key = properties[key], data.draw(st.sampled_from(sorted(properties[key])))
            properties[key] = data.draw(ODD)
        for limit in limits(template).values():
            assert limit.name
            assert isinstance(limit.text, str)

    def test_circles_end(self) -> None:
        template = balancer()
        template["Targets"]["Properties"]["Targets"] = [{"Id": {"Ref": "Inner"}, "Port": 80}]
        for id in ("Alb", "Listener", "Targets"):
            text = json.dumps(template[id]).replace('"Inner"', '"Other"')
            for name in ("Alb", "Listener", "Targets", "Other"):
                text = text.replace(f'"Ref": "{name}"', f'"Ref": "Inner{name}"')
            template[f"Inner{id}"] = json.loads(text)
        template["Targets"]["Properties"]["Targets"] = [{"Id": {"Ref": "InnerAlb"}, "Port": 80}]
        template["InnerTargets"]["Properties"]["Targets"] = [{"Id": {"Ref": "InnerAlb"}, "Port": 80}]
        limit = limits(template)["request timeout", "app"]
        assert limit.value == UNKNOWN
        assert limit.hop.startswith("leads to InnerAlb")


class TestClasses:
    """The paths that stand for a class are those of the route table."""

    ROLES = frozenset({Component.API, Component.WEB, Component.PLUGIN_DAEMON})

    def test_paths_lead_to_the_component_of_their_class(self) -> None:
        components = {
            "app": Component.API,
            "web": Component.WEB,
            "uploads": Component.API,
            "plugin endpoints": Component.PLUGIN_DAEMON,
        }
        for name, paths in CLASSES.items():
            assert {route_of(path, self.ROLES).component for path in paths} == {components[name]}

    def test_every_route_with_long_requests_has_a_path(self) -> None:
        wanted = {
            route.prefix for route in ROUTES if route.component is Component.API and route.long_requests
        }
        assert {route_of(path, self.ROLES).prefix for path in CLASSES["app"]} == wanted

    def test_every_pattern_for_files_has_a_path_and_no_app_path_is_one(self) -> None:
        patterns = [
            pattern for route in ROUTES if route.component is Component.API for pattern in route.uploads
        ]
        for pattern in patterns:
            assert any(matches(pattern, path) for path in CLASSES["uploads"]), pattern
        assert not [path for path in CLASSES["app"] for one in patterns if matches(one, path)]


class TestFacts:
    def test_every_fact_has_a_page_and_a_date(self) -> None:
        for name, one in facts().items():
            assert one.source.startswith("https://"), name
            assert date.fromisoformat(one.date) <= date.today(), name
            assert one.unit in ("", "s", "MB", "ACU", "vCPU"), name
            assert one.note.endswith("."), name

    def test_every_fact_is_used_and_every_name_is_known(self) -> None:
        texts = {
            node.value
            for path in REPORT.rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        # What only the constructs' own limits are compared with.
        compared = {"cloudfront.read_timeout_quota", "alb.idle_timeout_most"}
        assert set(facts()) - texts == compared

    def test_fails_when_a_page_is_taken_for_a_number(self) -> None:
        with pytest.raises(TypeError, match=r"is no number: The security policy of the HTTPS"):
            assert fact("alb.tls").number
        yes = Fact(value=True, unit="", source="", date="", note="n")
        with pytest.raises(TypeError, match="is no number: n"):
            assert yes.number
