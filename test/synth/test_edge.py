"""v4: CloudFront before a load balancer that nobody else reaches, and what runs beside it."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2

from dify_cdk import (
    Access,
    AlbScheme,
    CloudFrontEdge,
    Component,
    DifyAlbFrontend,
    DifyCloudFrontLambdaFrontend,
    DifyData,
    DifyNetwork,
    DifyWorkers,
    Domain,
    Egress,
    Limits,
    Uploads,
    WebAcl,
)
from paths import LEADS_TO, NEVER_AT_API_OR_DAEMON, Routing
from support import Template
from synth.installation import OFFICE, certificate_in, synthesized, workers_in, zone_in

EDGE = CloudFrontEdge()


@pytest.fixture(scope="module")
def v4(templates: Callable[[str], Template]) -> Template:
    return templates("v4")


def _frontend(workers: DifyWorkers, **options: Any) -> Template:
    stack = cdk.Stack.of(workers)
    settings = {"access": OFFICE, "edge": EDGE, **options}
    DifyAlbFrontend(stack, "Frontend", workers=workers, **settings)
    return synthesized(stack)


def _config(template: Template) -> dict[str, Any]:
    (distribution,) = template.properties("AWS::CloudFront::Distribution").values()
    config: dict[str, Any] = distribution["DistributionConfig"]
    return config


def _frontend_in(region: str, *, with_domain: bool = False) -> Template:
    stack = cdk.Stack(cdk.App(analytics_reporting=False), "Dify", env=cdk.Environment(region=region))
    domain = Domain(host_name="dify.example.com", zone=zone_in(stack)) if with_domain else None
    return _frontend(workers_in(stack), domain=domain)


def _rules_with_prefix_list(template: Template) -> dict[str, Any]:
    rules = template.properties("AWS::EC2::SecurityGroupIngress").items()
    return {id: rule for id, rule in rules if "SourcePrefixListId" in rule}


class TestWayIn:
    def test_everything_goes_through_the_vpc_origin_to_the_internal_load_balancer(self, v4: Template) -> None:
        config = _config(v4)
        (origin,) = config["Origins"]
        (vpc_origin,) = v4.properties("AWS::CloudFront::VpcOrigin").values()
        (balancer_id,) = v4.of_type("AWS::ElasticLoadBalancingV2::LoadBalancer")
        assert vpc_origin["VpcOriginEndpointConfig"]["Arn"] == {"Ref": balancer_id}
        (origin_id,) = v4.of_type("AWS::CloudFront::VpcOrigin")
        assert origin["VpcOriginConfig"]["VpcOriginId"] == {"Fn::GetAtt": [origin_id, "Id"]}
        behaviors = [config["DefaultCacheBehavior"], *config["CacheBehaviors"]]
        assert {behavior["TargetOriginId"] for behavior in behaviors} == {origin["Id"]}
        balancer = v4.resources[balancer_id]["Properties"]
        assert balancer["Scheme"] == "internal"

    @pytest.mark.parametrize(("path", "component"), [*LEADS_TO.items(), ("/socket.io/", "api_websocket")])
    def test_path_leads_to_its_component(self, v4: Template, path: str, component: str) -> None:
        assert Routing(v4).container(path) == component

    @pytest.mark.parametrize("path", NEVER_AT_API_OR_DAEMON)
    def test_private_paths_reach_neither_api_nor_plugin_daemon(self, v4: Template, path: str) -> None:
        assert Routing(v4).container(path) == "web"

    def test_only_cloudfront_reaches_the_load_balancer_by_one_rule(self, v4: Template) -> None:
        """Its list of addresses counts as 55 of the 60 rules that a security group holds."""
        (group,) = [id for id in v4.of_type("AWS::EC2::SecurityGroup") if "InternalAlb" in id]
        assert "SecurityGroupIngress" not in v4.resources[group]["Properties"]
        rules = v4.properties("AWS::EC2::SecurityGroupIngress").values()
        (rule,) = [rule for rule in rules if rule["GroupId"] == {"Fn::GetAtt": [group, "GroupId"]}]
        assert "PrefixLists.0.PrefixListId" in json.dumps(rule["SourcePrefixListId"])
        assert (rule["FromPort"], rule["ToPort"]) == (80, 443)
        assert [row["Port"] for row in v4.properties(LISTENER).values()] == [80]

    def test_prefix_list_is_looked_up_when_deployed(self, v4: Template) -> None:
        (lookup,) = v4.properties("Custom::AWS").values()
        assert "com.amazonaws.global.cloudfront.origin-facing" in json.dumps(lookup["Create"])

    def test_vpc_origin_waits_for_the_internet_gateway(self, v4: Template) -> None:
        (origin,) = v4.of_type("AWS::CloudFront::VpcOrigin").values()
        waits_for = {v4.resources[id]["Type"]: v4.resources[id] for id in origin["DependsOn"]}
        attachment = waits_for["AWS::EC2::Route"]["DependsOn"]
        assert {v4.resources[id]["Type"] for id in attachment} == {"AWS::EC2::VPCGatewayAttachment"}

    def test_services_leave_another_frontend_only_when_this_one_is_there(self, v4: Template) -> None:
        (distribution,) = v4.of_type("AWS::CloudFront::Distribution")
        services = {
            id: row for id, row in v4.of_type("AWS::ECS::Service").items() if id.startswith("Frontend")
        }
        assert len(services) == 3
        assert all(distribution in row["DependsOn"] for row in services.values())

    def test_users_get_tls_and_one_url(self, v4: Template) -> None:
        (distribution,) = v4.of_type("AWS::CloudFront::Distribution")
        url = v4.environment(Component.API)["CONSOLE_WEB_URL"]
        assert url == {"Fn::Join": ["", ["https://", {"Fn::GetAtt": [distribution, "DomainName"]}]]}
        assert v4.environment(Component.WORKER)["FILES_URL"] == url

    def test_only_hashed_files_are_cached(self, v4: Template) -> None:
        config = _config(v4)
        disabled, optimized = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad", "658327ea-f89d-4fab-a63d-7e88639e58f6"
        assert config["DefaultCacheBehavior"]["CachePolicyId"] == disabled
        cached = {row["PathPattern"]: row["CachePolicyId"] for row in config["CacheBehaviors"]}
        assert cached == {"/_next/static/*": optimized}
        assert {row["ErrorCachingMinTTL"] for row in config["CustomErrorResponses"]} == {0}

    def test_load_balancer_sees_what_the_viewer_sent(self, v4: Template) -> None:
        """WebSocket's headers included, and the host name that a login sends browsers back to."""
        all_viewer = "216adef6-5c7f-47e4-b989-5492eafa07d3"
        assert _config(v4)["DefaultCacheBehavior"]["OriginRequestPolicyId"] == all_viewer

    def test_viewer_function_filters_addresses(self, v4: Template) -> None:
        (function,) = v4.properties("AWS::CloudFront::Function").values()
        assert "var ANYONE = false;" in json.dumps(function["FunctionCode"])

    def test_countries_are_filtered_by_cloudfront(self, workers: DifyWorkers) -> None:
        template = _frontend(workers, access=Access(ipv4=["203.0.113.0/24"], countries=["JP"]))
        restriction = _config(template)["Restrictions"]["GeoRestriction"]
        assert restriction == {"Locations": ["JP"], "RestrictionType": "whitelist"}

    def test_web_acl_stands_before_it(self, workers: DifyWorkers) -> None:
        template = _frontend(workers, edge=CloudFrontEdge(web_acl=WebAcl.managed()))
        (acl,) = template.of_type("AWS::WAFv2::WebACL")
        assert _config(template)["WebACLId"] == {"Fn::GetAtt": [acl, "Arn"]}

    def test_no_warning_about_plain_http(self, app: cdk.App, workers: DifyWorkers) -> None:
        _frontend(workers)
        messages = app.synth().get_stack_by_name("Dify").messages
        assert not [message for message in messages if "plain HTTP" in str(message.entry.data)]


class TestTimeout:
    def test_one_option_sets_every_hop(self, workers: DifyWorkers) -> None:
        template = _frontend(workers, request_timeout=cdk.Duration.seconds(75))
        (origin,) = _config(template)["Origins"]
        assert origin["VpcOriginConfig"]["OriginReadTimeout"] == 75
        assert _idle_timeout(template) == "75"
        assert template.environment(Component.WEB)["TEXT_GENERATION_TIMEOUT_MS"] == "75000"

    def test_default_is_the_most_that_cloudfront_carries(self, v4: Template) -> None:
        (origin,) = _config(v4)["Origins"]
        assert origin["VpcOriginConfig"]["OriginReadTimeout"] == 120
        assert _idle_timeout(v4) == "120"

    @pytest.mark.parametrize("seconds", [0, 121, 600])
    def test_fails_when_cloudfront_would_give_up_earlier(self, workers: DifyWorkers, seconds: int) -> None:
        message = f"request_timeout in seconds behind CloudFront must be between 1 and 120, got {seconds}"
        with pytest.raises(ValueError, match=message):
            _frontend(workers, request_timeout=cdk.Duration.seconds(seconds))

    def test_fails_when_more_must_be_carried(self, workers: DifyWorkers) -> None:
        wanted = Limits(request_timeout_seconds=300, streaming=True, websocket=True, max_body_mb=None)
        with pytest.raises(
            ValueError,
            match="does not support requests of 300 seconds, only of 120: use other options of Dify",
        ):
            _frontend(workers, must_support=wanted)


@pytest.fixture(scope="module")
def plain() -> Template:
    """Without a domain."""
    return _frontend_in("us-east-1")


@pytest.fixture(scope="module")
def secure() -> Template:
    """The same with one, and so with TLS to the load balancer."""
    return _frontend_in("us-east-1", with_domain=True)


class TestDomain:
    def test_with_a_regional_certificate_the_way_has_tls_to_the_end(self, workers: DifyWorkers) -> None:
        stack = cdk.Stack.of(workers)
        domain = Domain(
            host_name="dify.example.com",
            certificate=certificate_in(stack),
            zone=zone_in(stack),
        )
        template = _frontend(workers, domain=domain)
        (vpc_origin,) = template.properties("AWS::CloudFront::VpcOrigin").values()
        assert vpc_origin["VpcOriginEndpointConfig"]["OriginProtocolPolicy"] == "https-only"
        assert [row["Port"] for row in template.properties(LISTENER).values()] == [443]
        assert _config(template)["Aliases"] == ["dify.example.com"]
        records = template.properties("AWS::Route53::RecordSet").values()
        assert {record["Type"] for record in records} == {"A", "AAAA"}
        (distribution,) = template.of_type("AWS::CloudFront::Distribution")
        assert all(distribution in json.dumps(record["AliasTarget"]) for record in records)

    def test_cloudfronts_certificate_alone_is_enough(self, app: cdk.App) -> None:
        stack = cdk.Stack(app, "Dify", env=cdk.Environment(region="eu-west-1"))
        domain = Domain(host_name="dify.example.com", edge_certificate=certificate_in(stack))
        template = _frontend(workers_in(stack), domain=domain)
        (vpc_origin,) = template.properties("AWS::CloudFront::VpcOrigin").values()
        assert vpc_origin["VpcOriginEndpointConfig"]["OriginProtocolPolicy"] == "http-only"
        assert "443" not in {str(p["Port"]) for p in template.properties(LISTENER).values()}

    def test_another_protocol_is_another_origin(self, plain: Template, secure: Template) -> None:
        """A VPC origin that a distribution uses can only be replaced."""
        ids = [next(iter(template.of_type("AWS::CloudFront::VpcOrigin"))) for template in (plain, secure)]
        assert ids[0] != ids[1]

    def test_nothing_is_in_the_way_when_tls_comes_or_goes(self, plain: Template, secure: Template) -> None:
        """A second rule with CloudFront's list would be one too many while both are there."""
        (rule,) = _rules_with_prefix_list(plain).items()
        assert _rules_with_prefix_list(secure) == dict([rule])

    def test_the_way_there_is_answers_until_the_other_one_is_in_use(
        self, plain: Template, secure: Template
    ) -> None:
        """A listener that stays would redirect users to where they come from."""
        before, after = (template.properties(LISTENER) for template in (plain, secure))
        assert ([row["Port"] for row in before.values()], [row["Port"] for row in after.values()]) == (
            [80],
            [443],
        )
        assert before.keys().isdisjoint(after)


class TestAccountAndTags:
    def test_the_same_stack_fits_into_two_regions_of_an_account(self) -> None:
        names = set()
        for region in ("us-east-1", "ap-southeast-2"):
            template = _frontend_in(region)
            (origin,) = template.properties("AWS::CloudFront::VpcOrigin").values()
            names.add(origin["VpcOriginEndpointConfig"]["Name"])
        assert len(names) == 2
        assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in names)

    def test_a_tag_that_is_added_later_does_not_change_the_vpc_origin(
        self, app: cdk.App, workers: DifyWorkers
    ) -> None:
        cdk.Tags.of(app).add("team", "any")
        template = _frontend(workers)
        (origin,) = template.properties("AWS::CloudFront::VpcOrigin").values()
        assert "Tags" not in origin
        (distribution,) = template.properties("AWS::CloudFront::Distribution").values()
        assert {"Key": "team", "Value": "any"} in distribution["Tags"]


class TestImportedNetwork:
    def test_it_works_without_knowing_the_gateway(self, stack: cdk.Stack) -> None:
        vpc = ec2.Vpc.from_vpc_attributes(
            stack,
            "Vpc",
            vpc_id="vpc-1",
            vpc_cidr_block="10.0.0.0/16",
            availability_zones=["us-east-1a", "us-east-1b"],
            private_subnet_ids=["subnet-1", "subnet-2"],
            private_subnet_route_table_ids=["rtb-1", "rtb-2"],
            isolated_subnet_ids=["subnet-3", "subnet-4"],
            isolated_subnet_route_table_ids=["rtb-3", "rtb-4"],
        )
        workers = DifyWorkers(stack, "Workers", data=DifyData(stack, "Data", vpc=vpc))
        (origin,) = _frontend(workers).of_type("AWS::CloudFront::VpcOrigin").values()
        assert "Properties" in origin

    def test_fails_when_our_network_has_no_internet_gateway(self, stack: cdk.Stack) -> None:
        network = DifyNetwork(stack, "Network", egress=Egress.ISOLATED)
        workers = DifyWorkers(stack, "Workers", data=DifyData(stack, "Data", vpc=network.vpc))
        with pytest.raises(
            ValueError, match="in a VPC with an internet gateway only, and Dify/Network/Vpc has"
        ):
            _frontend(workers)


class TestScheme:
    def test_fails_when_it_shall_be_public_as_well(self, workers: DifyWorkers) -> None:
        with pytest.raises(ValueError, match=r"INTERNET_FACING cannot be used with edge=: only CloudFront"):
            _frontend(workers, scheme=AlbScheme.INTERNET_FACING)

    def test_internal_says_the_same(self, workers: DifyWorkers) -> None:
        template = _frontend(workers, scheme=AlbScheme.INTERNAL)
        (balancer,) = template.properties("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
        assert balancer["Scheme"] == "internal"


class TestCollaboration:
    def test_it_has_a_service_of_its_own_with_sticky_sessions(self, v4: Template) -> None:
        assert Component.API_WEBSOCKET in v4.services()
        assert v4.environment(Component.API_WEBSOCKET)["SERVER_WORKER_AMOUNT"] == "1"
        (group,) = [
            properties
            for id, properties in v4.properties("AWS::ElasticLoadBalancingV2::TargetGroup").items()
            if "ApiWebsocket" in id
        ]
        attributes = {row["Key"]: row["Value"] for row in group["TargetGroupAttributes"]}
        assert attributes["stickiness.enabled"] == "true"
        assert attributes["stickiness.type"] == "lb_cookie"

    def test_other_components_know_about_it(self, v4: Template) -> None:
        assert v4.environment(Component.API)["ENABLE_COLLABORATION_MODE"] == "true"
        assert v4.environment(Component.API_WEBSOCKET)["ENABLE_COLLABORATION_MODE"] == "true"
        socket_url = json.dumps(v4.environment(Component.WEB)["NEXT_PUBLIC_SOCKET_URL"])
        assert "wss://" in socket_url

    def test_only_the_load_balancer_reaches_it(self, v4: Template) -> None:
        rules = v4.properties("AWS::EC2::SecurityGroupIngress").values()
        to_it = [rule for rule in rules if "ApiWebsocket" in json.dumps(rule["GroupId"])]
        assert ["InternalAlb" in json.dumps(rule["SourceSecurityGroupId"]) for rule in to_it] == [True]

    def test_there_is_none_by_default(self, workers: DifyWorkers) -> None:
        template = _frontend(workers)
        assert Component.API_WEBSOCKET not in template.services()
        assert template.environment(Component.API)["ENABLE_COLLABORATION_MODE"] == "false"
        assert "NEXT_PUBLIC_SOCKET_URL" not in template.environment(Component.WEB)
        assert Routing(template).container("/socket.io/") == "web"

    def test_v3_carries_it_through_its_load_balancer(self, workers: DifyWorkers) -> None:
        stack = cdk.Stack.of(workers)
        frontend = DifyCloudFrontLambdaFrontend(
            stack,
            "Frontend",
            workers=workers,
            access=OFFICE,
            uploads=Uploads.VPC_ORIGIN,
            collaboration=True,
        )
        template = synthesized(stack)
        assert frontend.limits.websocket
        config = _config(template)
        (behavior,) = [
            row for row in config["CacheBehaviors"] if fnmatch.fnmatchcase("/socket.io/", row["PathPattern"])
        ]
        (origin,) = [row for row in config["Origins"] if row["Id"] == behavior["TargetOriginId"]]
        assert "VpcOriginConfig" in origin
        (function,) = [
            properties
            for id, properties in template.properties("AWS::Lambda::Function").items()
            if "LambdaApiFunction" in id
        ]
        assert function["Environment"]["Variables"]["ENABLE_COLLABORATION_MODE"] == "true"

    @pytest.mark.parametrize("uploads", [Uploads.HTTP_API, Uploads.EDGE_SIGNED])
    def test_fails_when_v3_has_nothing_that_carries_it(self, workers: DifyWorkers, uploads: Uploads) -> None:
        with pytest.raises(ValueError, match=r"collaboration=True needs uploads=Uploads.VPC_ORIGIN"):
            DifyCloudFrontLambdaFrontend(
                cdk.Stack.of(workers),
                "Frontend",
                workers=workers,
                access=OFFICE,
                uploads=uploads,
                collaboration=True,
            )


LISTENER = "AWS::ElasticLoadBalancingV2::Listener"


def _idle_timeout(template: Template) -> str:
    (balancer,) = template.properties("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
    rows = {row["Key"]: row["Value"] for row in balancer["LoadBalancerAttributes"]}
    return str(rows["idle_timeout.timeout_seconds"])
