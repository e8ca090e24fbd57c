"""Amazon Cognito before pages and scripts, and never before what programs call."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_cognito as cognito

from dify_cdk import (
    CloudFrontEdge,
    DifyAlbFrontend,
    DifyData,
    DifyNetwork,
    DifyRelease,
    DifyWorkers,
    Domain,
    Egress,
    Login,
)
from dify_cdk.dify.routes import ROUTES, RouteClass
from support import Template
from synth.installation import HOST, OFFICE, domain_in, with_login

RULE = "AWS::ElasticLoadBalancingV2::ListenerRule"


def _workers(stack: cdk.Stack, egress: Egress = Egress.NAT_INSTANCE) -> DifyWorkers:
    network = DifyNetwork(stack, "Network", egress=egress)
    registry = "registry.example.com" if egress is Egress.ISOLATED else None
    data = DifyData(stack, "Data", vpc=network.vpc)
    return DifyWorkers(stack, "Workers", data=data, release=DifyRelease(registry=registry))


def _actions(template: Template) -> dict[str, list[dict[str, Any]]]:
    """Path pattern to actions; ``*`` for the rest."""
    found = {}
    for rule in template.properties(RULE).values():
        for pattern in rule["Conditions"][0]["PathPatternConfig"].get("Values", ()):
            found[pattern] = rule["Actions"]
    (default,) = [
        listener["DefaultActions"]
        for listener in template.properties("AWS::ElasticLoadBalancingV2::Listener").values()
        if listener["Port"] == 443
    ]
    return {**found, "*": default}


@pytest.fixture(scope="module", params=[None, CloudFrontEdge()], ids=["public", "edge"])
def template(new_stack: Callable[[], cdk.Stack], request: pytest.FixtureRequest) -> Template:
    return with_login(new_stack(), edge=request.param)


def test_classes_of_the_route_table_decide(template: Template) -> None:
    actions = _actions(template)
    for route in ROUTES:
        for pattern in route.patterns:
            if pattern not in actions:  # web's own: the default
                continue
            types = [action["Type"] for action in sorted(actions[pattern], key=_order)]
            expected = (
                ["forward"] if route.route_class is RouteClass.OPEN else ["authenticate-cognito", "forward"]
            )
            assert types == expected, pattern


@pytest.mark.parametrize("path", ["/v1", "/v1/*", "/files/*", "/mcp/*", "/triggers/*", "/e/*", "/openapi/*"])
def test_programs_and_signed_links_are_never_sent_to_a_login(template: Template, path: str) -> None:
    assert [action["Type"] for action in _actions(template)[path]] == ["forward"]


@pytest.mark.parametrize("path", ["/console/api/*", "/api/*"])
def test_scripts_get_401_without_a_session(template: Template, path: str) -> None:
    login = min(_actions(template)[path], key=_order)
    assert login["AuthenticateCognitoConfig"]["OnUnauthenticatedRequest"] == "deny"


def test_pages_lead_to_the_login(template: Template) -> None:
    login = min(_actions(template)["*"], key=_order)
    assert login["AuthenticateCognitoConfig"]["OnUnauthenticatedRequest"] == "authenticate"
    assert login["AuthenticateCognitoConfig"]["SessionTimeout"] == str(12 * 3600)


def test_cached_files_are_open_so_that_no_redirect_is_cached(template: Template) -> None:
    assert [action["Type"] for action in _actions(template)["/_next/static/*"]] == ["forward"]


def test_no_header_of_a_client_reaches_api_that_moves_its_request_past_the_login(template: Template) -> None:
    """``/v1`` is open and ``/console/api`` is not; with a ``SCRIPT_NAME`` of ``/v1`` one request is both.

    gunicorn takes the path from this header of whoever it trusts, and the load balancer drops header names
    with an underscore. Each of the two is enough.
    """
    actions = _actions(template)
    assert [action["Type"] for action in actions["/v1/*"]] == ["forward"]
    assert [action["Type"] for action in actions["/console/api/*"]] == ["authenticate-cognito", "forward"]
    assert actions["/v1/*"][-1]["TargetGroupArn"] == actions["/console/api/*"][-1]["TargetGroupArn"]
    (alb,) = template.properties("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
    attributes = {row["Key"]: row["Value"] for row in alb["LoadBalancerAttributes"]}
    assert attributes["routing.http.drop_invalid_header_fields.enabled"] == "true"
    assert template.environment("api")["FORWARDED_ALLOW_IPS"] == ","


def test_browsers_come_back_to_the_own_host_name(template: Template) -> None:
    (client,) = template.properties("AWS::Cognito::UserPoolClient").values()
    assert client["CallbackURLs"] == [f"https://{HOST}/oauth2/idpresponse"]
    assert client["GenerateSecret"] is True
    assert client["AllowedOAuthFlows"] == ["code"]


def test_nobody_signs_up_alone_and_the_pool_is_kept(template: Template) -> None:
    (pool,) = template.of_type("AWS::Cognito::UserPool").values()
    assert pool["Properties"]["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] is True
    assert (pool["DeletionPolicy"], pool["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_no_secret_of_the_client_is_in_thewith_login(template: Template) -> None:
    assert "ClientSecret" not in json.dumps(template.body)


def test_load_balancer_can_call_cognito(template: Template) -> None:
    (group,) = [
        properties
        for id, properties in template.properties("AWS::EC2::SecurityGroup").items()
        if "AlbSecurityGroup" in id
    ]
    out = {(rule.get("FromPort"), rule.get("CidrIp")) for rule in group["SecurityGroupEgress"]}
    assert (443, "0.0.0.0/0") in out


def test_domain_prefix_is_unique_in_its_region(template: Template) -> None:
    (domain,) = template.properties("AWS::Cognito::UserPoolDomain").values()
    assert "AWS::StackId" in json.dumps(domain["Domain"])


def test_existing_pool_and_its_domain_are_used(stack: cdk.Stack) -> None:
    pool = cognito.UserPool.from_user_pool_id(stack, "Pool", "us-east-1_example")
    domain = cognito.UserPoolDomain.from_domain_name(stack, "PoolDomain", "example-login")
    template = with_login(stack, login=Login(user_pool=pool, user_pool_domain=domain, session_hours=1))
    assert not template.of_type("AWS::Cognito::UserPool", "AWS::Cognito::UserPoolDomain")
    config = min(_actions(template)["*"], key=_order)["AuthenticateCognitoConfig"]
    assert config["UserPoolDomain"] == "example-login"
    assert config["SessionTimeout"] == "3600"
    (client,) = template.properties("AWS::Cognito::UserPoolClient").values()
    assert client["SupportedIdentityProviders"] == ["COGNITO"]


def test_fails_when_there_is_no_domain(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match="login= needs domain=: Cognito sends browsers back to a host name"):
        with_login(stack, domain=None)


def test_fails_when_the_load_balancer_cannot_reach_cognito(stack: cdk.Stack) -> None:
    workers = _workers(stack, Egress.ISOLATED)
    with pytest.raises(ValueError, match="login= needs egress to Cognito for the load balancer"):
        DifyAlbFrontend(
            stack, "Frontend", workers=workers, access=OFFICE, domain=domain_in(stack), login=Login()
        )


def test_fails_when_cloudfront_has_a_certificate_and_the_load_balancer_none(app: cdk.App) -> None:
    stack = cdk.Stack(app, "Dify", env=cdk.Environment(region="eu-west-1"))
    given = domain_in(stack)
    domain = Domain(host_name=HOST, edge_certificate=given.certificate)
    with pytest.raises(ValueError, match=r"needs zone= or certificate= for this frontend's region"):
        _template_with(stack, domain)


def _template_with(stack: cdk.Stack, domain: Domain) -> None:
    DifyAlbFrontend(
        stack,
        "Frontend",
        workers=_workers(stack),
        access=OFFICE,
        domain=domain,
        edge=CloudFrontEdge(),
        login=Login(),
    )


@pytest.mark.parametrize("hours", [0, 169])
def test_fails_when_a_session_lasts_too_long(hours: int) -> None:
    with pytest.raises(ValueError, match=rf"Login.session_hours must be between 1 and 168, got {hours}"):
        Login(session_hours=hours)


def test_fails_when_a_domain_comes_without_its_pool(stack: cdk.Stack) -> None:
    domain = cognito.UserPoolDomain.from_domain_name(stack, "PoolDomain", "example-login")
    with pytest.raises(ValueError, match=r"Login.user_pool_domain needs the pool it belongs to"):
        Login(user_pool_domain=domain)


def _order(action: dict[str, Any]) -> int:
    return int(action.get("Order", 0))
