"""Effective limits: what each kind of hop says about requests."""

from __future__ import annotations

import pytest

from dify_cdk.dify.routes import DOT_SEGMENT
from dify_cdk.report.limits.limits import CLASSES
from dify_cdk.report.limits.verdict import NOT_SERVED, UNKNOWN
from template_parts import (
    ALL_VIEWER,
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
    rest_api,
    service,
    url,
    values,
)


class TestDistribution:
    def test_default_and_given_read_timeouts(self) -> None:
        rest = {**function(Timeout=900), **url(InvokeMode="RESPONSE_STREAM")}
        assert values({**rest, **distribution(URL_ORIGIN)}) == (30, True, 6)
        origin = {**URL_ORIGIN, "CustomOriginConfig": {"OriginReadTimeout": "120"}}
        assert values({**rest, **distribution(origin)}) == (120, True, 6)

    def test_whole_answer_is_mentioned_beside_the_silence_and_wins_if_it_is_less(self) -> None:
        origin = {**URL_ORIGIN, "CustomOriginConfig": {"OriginReadTimeout": 100}}
        rest = {**function(Timeout=900), **url()}
        limit = limits({**rest, **distribution(origin)})["request timeout", "app"]
        assert (limit.value, limit.text) == (100, "100 s idle, 900 s total")
        assert limit.hop == "origin read timeout of distribution Cdn; timeout of function Function"
        ended = {**origin, "ResponseCompletionTimeout": 40}
        limit = limits({**rest, **distribution(ended)})["request timeout", "app"]
        assert (limit.value, limit.text) == (40, "40 s total")
        assert limit.hop == "response completion timeout of distribution Cdn"

    def test_origin_outside_the_templates_is_unknown_and_never_a_guess(self) -> None:
        found = limits(distribution({"Id": "end", "DomainName": "dify.example.com"}))
        timeout = found["request timeout", "app"]
        assert (timeout.value, timeout.text) == (UNKNOWN, "unknown, at most 30 s idle")
        assert timeout.hop.startswith("leads to dify.example.com, which the template does not show; origin")
        assert found["streaming", "app"].value == UNKNOWN
        assert found["largest request", "app"].text == "unknown, at most 64 GB"
        assert found["WebSocket", ""].value == UNKNOWN
        assert found["cold start", "app"].value == "unknown"

    def test_first_matching_behavior_counts_and_the_worst_path_of_a_class(self) -> None:
        rest = {**function(Timeout=900), **url()}
        strange = {"PathPattern": "/v1/*", "TargetOriginId": "elsewhere"}
        assert values({**rest, **distribution(URL_ORIGIN, strange)})[0] == UNKNOWN
        assert values({**rest, **distribution(URL_ORIGIN, strange)}, scope="web")[0] == 30
        covered = {"PathPattern": "v1/*"}  # without a slash it means the same
        assert values({**rest, **distribution(URL_ORIGIN, covered, strange)})[0] == 30

    def test_behavior_that_takes_no_post_takes_no_body(self) -> None:
        template = {**function(), **url(), **distribution(URL_ORIGIN, default={"AllowedMethods": None})}
        limit = limits(template)["largest request", "uploads"]
        assert (limit.value, limit.text) == (0, "no body")
        assert limit.hop == "methods of a behavior of distribution Cdn: GET, HEAD"
        assert limits(template)["largest request", "web"].value == 6

    @pytest.mark.parametrize(
        ("event", "signed", "megabytes"),
        [
            ("origin-request", True, 1.048576),
            ("viewer-request", True, 0.04096),
            ("origin-request", False, 6),
            ("origin-response", True, 6),
        ],
    )
    def test_edge_function_limits_bodies_only_where_they_must_be_signed(
        self, event: str, signed: bool, megabytes: float
    ) -> None:
        code = {"EventType": event, "IncludeBody": True}
        origin = {**URL_ORIGIN, **({"OriginAccessControlId": {"Ref": "Control"}} if signed else {})}
        template = {
            **function(),
            **url(AuthType="AWS_IAM"),
            **distribution(origin, default={"LambdaFunctionAssociations": [code]}),
            "Control": resource("CloudFront::OriginAccessControl"),
        }
        assert limits(template)["largest request", "app"].value == megabytes

    def test_signed_url_without_an_edge_function_leaves_the_hash_to_the_client(self) -> None:
        template = {
            **function(),
            **url(AuthType="AWS_IAM"),
            **distribution({**URL_ORIGIN, "OriginAccessControlId": {"Ref": "Control"}}),
            "Control": resource("CloudFront::OriginAccessControl"),
        }
        limit = limits(template)["largest request", "app"]
        assert limit.value == 6
        assert limit.hop == "function URL Url, if the client sends the hash of the body"

    def test_origin_group_counts_as_its_first_member(self) -> None:
        groups = {
            "Items": [{"Id": "pair", "Members": {"Items": [{"OriginId": "end"}, {"OriginId": "elsewhere"}]}}]
        }
        template = {
            **function(),
            **url(),
            **distribution(URL_ORIGIN, default={"TargetOriginId": "pair"}, OriginGroups=groups),
        }
        assert values(template)[0] == 3

    @pytest.mark.parametrize(
        ("policy", "headers", "passes"),
        [
            (None, None, False),
            (ALL_VIEWER, None, True),
            ("00000000-0000-0000-0000-000000000000", None, UNKNOWN),
            (REF["Policy"], {"HeaderBehavior": "allViewer"}, True),
            (REF["Policy"], {"HeaderBehavior": "none"}, False),
            (REF["Policy"], {"HeaderBehavior": "whitelist", "Headers": ["Sec-WebSocket-Key"]}, False),
            (
                REF["Policy"],
                {"HeaderBehavior": "whitelist", "Headers": ["Sec-WebSocket-Key", "Sec-WebSocket-Version"]},
                True,
            ),
            (REF["Policy"], {"HeaderBehavior": "allExcept", "Headers": ["Host"]}, True),
        ],
    )
    def test_sockets_pass_where_the_headers_of_the_handshake_do(
        self, policy: object, headers: object, passes: object
    ) -> None:
        origin = {
            "Id": "end",
            "DomainName": {"Fn::GetAtt": ["Alb", "DNSName"]},
            "CustomOriginConfig": {"OriginProtocolPolicy": "http-only"},
        }
        template = {
            **service(**BEHIND_ALB),
            **balancer(),
            **distribution(origin, default={"OriginRequestPolicyId": policy}),
            "Policy": resource(
                "CloudFront::OriginRequestPolicy", OriginRequestPolicyConfig={"HeadersConfig": headers}
            ),
        }
        assert limits(template)["WebSocket", ""].value == passes

    def test_load_balancer_is_reached_by_the_port_that_the_origin_names(self) -> None:
        template = {
            **service(**BEHIND_ALB),
            **balancer(idle="20"),
            "VpcOrigin": resource(
                "CloudFront::VpcOrigin",
                VpcOriginEndpointConfig={"Arn": REF["Alb"], "OriginProtocolPolicy": "http-only"},
            ),
        }
        origin = {"Id": "end", "DomainName": "x", "VpcOriginConfig": {"VpcOriginId": {"Ref": "VpcOrigin"}}}
        assert values({**template, **distribution(origin)}) == (20, True, 64000)
        template["VpcOrigin"]["Properties"]["VpcOriginEndpointConfig"]["OriginProtocolPolicy"] = "https-only"
        limit = limits({**template, **distribution(origin)})["request timeout", "app"]
        assert limit.value == UNKNOWN
        assert "a listener on port 443 of load balancer Alb" in limit.hop

    def test_stage_in_the_origin_path_is_no_part_of_the_route(self) -> None:
        origin = {
            "Id": "end",
            "DomainName": {"Fn::Join": ["", [REF["Api"], ".execute-api.amazonaws.com"]]},
            "OriginPath": "/prod",
        }
        template = {
            **function(Timeout=5),
            **rest_api("/{proxy+}"),
            **distribution(origin),
            "Stage": resource("ApiGateway::Stage", RestApiId=REF["Api"], StageName="prod"),
        }
        assert values(template) == (5, False, 6)

    def test_bucket_answers_pages_and_carries_no_sockets(self) -> None:
        origin = {
            "Id": "end",
            "DomainName": {"Fn::GetAtt": ["Files", "RegionalDomainName"]},
            "S3OriginConfig": {"OriginReadTimeout": 10},
        }
        found = limits({"Files": resource("S3::Bucket"), **distribution(origin)})
        assert found["request timeout", "web"].value == 10
        assert found["WebSocket", ""].value is False
        assert found["cold start", "web"].value == "none"


class TestLoadBalancer:
    def test_default_and_given_idle_timeouts(self) -> None:
        assert values({**service(**BEHIND_ALB), **balancer()}) == (60, True, None)
        assert values({**service(**BEHIND_ALB), **balancer(idle="900")}) == (900, True, None)
        waits = {**service(**BEHIND_ALB), **balancer(idle={"Ref": "Parameter"})}
        assert values(waits)[0] == UNKNOWN

    def test_lambda_target_takes_one_megabyte_and_does_not_stream(self) -> None:
        template = {**function(Timeout=20), **balancer()}
        template["Targets"] = resource(
            "ElasticLoadBalancingV2::TargetGroup", TargetType="lambda", Targets=[{"Id": ARN["Function"]}]
        )
        assert values(template) == (20, False, 1)
        assert limits(template)["WebSocket", ""].value is False

    def test_rules_about_the_path_decide_and_others_count_as_met(self) -> None:
        answer = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "403"}}]
        office = {"Field": "source-ip", "SourceIpConfig": {"Values": ["203.0.113.0/24"]}}
        everything = {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/*"]}}
        forward = [{"Type": "forward", "TargetGroupArn": REF["Targets"]}]
        guarded = balancer({"Conditions": [everything, office], "Actions": forward})
        guarded["Listener"]["Properties"]["DefaultActions"] = answer
        assert values({**service(**BEHIND_ALB), **guarded})[0] == 60
        only_get = {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["GET"]}}
        guarded["Rule0"]["Properties"]["Conditions"] = [everything, only_get]
        assert values({**service(**BEHIND_ALB), **guarded})[0] == NOT_SERVED
        assert values({**service(**BEHIND_ALB), **guarded}, scope="web")[0] == 60

    @pytest.mark.parametrize(
        ("expression", "expected"),
        [
            (DOT_SEGMENT, 60),
            ("^/(api|console|v1|openapi|mcp)/", NOT_SERVED),
            ("^/shop", 60),
            ("(?<broken", 60),
        ],
    )
    def test_regular_expressions_about_the_path_decide_as_patterns_do(
        self, expression: str, expected: object
    ) -> None:
        answer = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "400"}}]
        about = {"Field": "path-pattern", "PathPatternConfig": {"RegexValues": [expression]}}
        template = {**service(**BEHIND_ALB), **balancer({"Conditions": [about], "Actions": answer})}
        assert values(template)[0] == expected

    def test_an_entry_point_without_any_path_of_dify_is_followed_along_its_own_routes(self) -> None:
        shop = {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/shop/*"]}}
        forward = [{"Type": "forward", "TargetGroupArn": REF["Targets"]}]
        template = {**service(**BEHIND_ALB), **balancer({"Conditions": [shop], "Actions": forward})}
        answer = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
        template["Listener"]["Properties"]["DefaultActions"] = answer
        assert values(template, scope="") == (60, True, None)
        assert limits(template)["WebSocket", ""].value is True

    def test_network_load_balancer_passes_bytes_to_the_next_one(self) -> None:
        template = {**service(**BEHIND_ALB), **balancer(idle="500")}
        template["Outer"] = resource("ElasticLoadBalancingV2::LoadBalancer", Type="network")
        template["OuterTargets"] = resource(
            "ElasticLoadBalancingV2::TargetGroup", Targets=[{"Id": REF["Alb"], "Port": 80}]
        )
        template["OuterListener"] = resource(
            "ElasticLoadBalancingV2::Listener",
            LoadBalancerArn={"Ref": "Outer"},
            Protocol="TCP",
            Port=443,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": {"Ref": "OuterTargets"}}],
        )
        assert values(template) == (350, True, None)
        slow = [{"Key": "tcp.idle_timeout.seconds", "Value": "6000"}]
        template["OuterListener"]["Properties"]["ListenerAttributes"] = slow
        assert values(template)[0] == 500

    def test_gunicorn_ends_requests_only_with_synchronous_workers(self) -> None:
        def timeout(**environment: str) -> object:
            return values({**service(environment, **BEHIND_ALB), **balancer(idle="900")})[0]

        assert timeout(GUNICORN_TIMEOUT="200") == 900
        assert timeout(GUNICORN_TIMEOUT="200", SERVER_WORKER_CLASS="gevent") == 900
        assert timeout(GUNICORN_TIMEOUT="200", SERVER_WORKER_CLASS="sync") == 200
        assert timeout(GUNICORN_TIMEOUT="0", SERVER_WORKER_CLASS="sync") == 900

    def test_limits_of_files_are_told_beside_the_limit_of_requests(self) -> None:
        environment = {"UPLOAD_FILE_SIZE_LIMIT": "15", "UPLOAD_VIDEO_FILE_SIZE_LIMIT": "100"}
        found = limits({**service(environment, **BEHIND_ALB), **balancer()})
        assert found["largest request", "uploads"].value is None
        assert found["largest request", "uploads"].text == "no limit, files 100 MiB"
        assert found["largest request", "app"].text == "no limit"


class TestHttpApi:
    def test_function_has_the_smaller_payload_and_the_api_no_stream(self) -> None:
        template = {**function(Timeout=900), **http_api("$default")}
        assert values(template) == (30, False, 6)
        assert limits(template)["WebSocket", ""].value is False

    def test_given_timeout_counts_up_to_what_the_service_allows(self) -> None:
        rest = function(Timeout=900)
        assert values({**rest, **http_api("$default", TimeoutInMillis=5000)})[0] == 5
        assert values({**rest, **http_api("$default", TimeoutInMillis=60_000)})[0] == 30

    def test_service_connect_ends_requests_after_fifteen_seconds_unless_told_otherwise(self) -> None:
        def timeout(entry: Resources) -> object:
            connect = {"Enabled": True, "Services": [{"PortName": "http", "DiscoveryName": "api", **entry}]}
            template = {
                **service(ServiceConnectConfiguration=connect),
                **http_api("$default", uri=ARN["Name"], IntegrationType="HTTP_PROXY"),
                "Name": {"Type": "Custom::Discovery", "Properties": {"DiscoveryName": "api"}},
            }
            return values(template)[0]

        assert timeout({}) == 15
        assert timeout({"Timeout": {"PerRequestTimeoutSeconds": 20}}) == 20
        assert timeout({"Timeout": {"PerRequestTimeoutSeconds": 0}}) == 30

    def test_most_specific_route_counts(self) -> None:
        slow = {**function(Timeout=900), **http_api("ANY /{proxy+}", "ANY /v1/{proxy+}")}
        slow["Fast"] = http_api(TimeoutInMillis=1000)["Integration"]
        slow["Route1"]["Properties"]["Target"] = {"Fn::Join": ["", ["integrations/", {"Ref": "Fast"}]]}
        assert values(slow)[0] == 1
        assert values(slow, scope="plugin endpoints")[0] == 30

    def test_class_without_a_route_is_not_served(self) -> None:
        template = {**function(), **http_api("ANY /", "ANY /{page}", "ANY /explore/{proxy+}")}
        assert values(template)[0] == NOT_SERVED
        assert values(template, scope="web")[0] == 3

    def test_private_integration_goes_on_through_the_load_balancer(self) -> None:
        template = {
            **service(**BEHIND_ALB),
            **balancer(idle="10"),
            **http_api("$default", uri=REF["Listener"], IntegrationType="HTTP_PROXY"),
        }
        assert values(template) == (10, False, 10)
        assert {scope for _, scope in limits(template)} == {"", *CLASSES}  # one entry point, not two


class TestRestApi:
    def test_buffered_answers_take_29_seconds_and_streams_15_minutes(self) -> None:
        rest = function(Timeout=900)
        assert values({**rest, **rest_api("/{proxy+}")}) == (29, False, 6)
        streams = {**rest, **rest_api("/{proxy+}", ResponseTransferMode="STREAM")}
        limit = limits(streams)["request timeout", "app"]
        assert (limit.value, limit.text) == (300, "300 s idle, 900 s total")
        assert values(streams)[1:] == (True, 6)
        streams["Api"]["Properties"]["EndpointConfiguration"] = {"Types": ["EDGE"]}
        assert values(streams)[0] == 30

    def test_paths_are_put_together_from_resources(self) -> None:
        template = {**function(Timeout=7), **rest_api("/v1/workflows/{proxy+}")}
        limit = limits(template)["request timeout", "app"]
        assert limit.value == 7
        assert limits(template)["request timeout", "web"].value == NOT_SERVED

    def test_api_from_a_document_is_unknown(self) -> None:
        template = {"Api": resource("ApiGateway::RestApi", Body={"openapi": "3.0.1"})}
        assert values(template)[0] == UNKNOWN

    def test_policy_with_addresses_filters(self) -> None:
        template = {**function(), **rest_api("/{proxy+}")}
        assert limits(template)["IP filter", ""].value == "none"
        condition = {"NotIpAddress": {"aws:SourceIp": ["203.0.113.0/24"]}}
        template["Api"]["Properties"]["Policy"] = {"Statement": [{"Effect": "Deny", "Condition": condition}]}
        assert limits(template)["IP filter", ""].value == "resource policy"


class TestFirewall:
    def rules(self, **changes: object) -> Resources:
        group = {"VendorName": "AWS", "Name": "AWSManagedRulesCommonRuleSet", **changes}
        return {"Acl": resource("WAFv2::WebACL", Rules=[{"Statement": {"ManagedRuleGroupStatement": group}}])}

    def template(self, **changes: object) -> Resources:
        acl = {"Fn::GetAtt": ["Acl", "Arn"]}
        return {**function(), **url(), **distribution(URL_ORIGIN, WebACLId=acl), **self.rules(**changes)}

    def test_common_rules_refuse_bodies_over_8_kilobytes(self) -> None:
        limit = limits(self.template())["largest request", "uploads"]
        assert (limit.value, limit.text) == (0.008192, "0.00819 MB")
        assert limit.hop == "SizeRestrictions_BODY in web ACL Acl"

    @pytest.mark.parametrize(
        "changes",
        [
            {"ExcludedRules": [{"Name": "SizeRestrictions_BODY"}]},
            {"RuleActionOverrides": [{"Name": "SizeRestrictions_BODY", "ActionToUse": {"Count": {}}}]},
            {"Name": "AWSManagedRulesAmazonIpReputationList"},
        ],
    )
    def test_unless_they_only_count_them(self, changes: Resources) -> None:
        assert limits(self.template(**changes))["largest request", "uploads"].value == 6

    def test_rules_that_are_narrowed_or_elsewhere_are_unknown(self) -> None:
        narrowed = self.template(ScopeDownStatement={"ByteMatchStatement": {}})
        assert limits(narrowed)["largest request", "uploads"].value == UNKNOWN
        elsewhere = {**function(), **url(), **distribution(URL_ORIGIN, WebACLId="arn:aws:wafv2:x")}
        assert limits(elsewhere)["largest request", "uploads"].value == UNKNOWN
        assert limits(elsewhere)["IP filter", ""].value == "WAF"

    def test_web_acl_of_a_load_balancer_is_found_by_its_association(self) -> None:
        template = {**service(**BEHIND_ALB), **balancer(), **self.rules()}
        template["Link"] = resource(
            "WAFv2::WebACLAssociation", ResourceArn=REF["Alb"], WebACLArn={"Fn::GetAtt": ["Acl", "Arn"]}
        )
        assert limits(template)["largest request", "app"].value == 0.008192
