"""The way through a CloudFront distribution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from dify_cdk.report.templates.template import Resource, Template, integer, items, mapping
from dify_cdk.report.traffic.api_gateway import HTTP_API, REST_API, through_http_api, through_rest_api
from dify_cdk.report.traffic.facts import fact
from dify_cdk.report.traffic.hops import (
    Claim,
    End,
    Ends,
    Kind,
    Request,
    Way,
    after,
    claim,
    known,
    matches,
    to_unknown,
)
from dify_cdk.report.traffic.load_balancers import LOAD_BALANCER, through_balancer
from dify_cdk.report.traffic.targets import FUNCTION_URL, function_url
from dify_cdk.report.traffic.waf import body_claims

DISTRIBUTION = "AWS::CloudFront::Distribution"
_VPC_ORIGIN = "AWS::CloudFront::VpcOrigin"
_ACCESS_CONTROL = "AWS::CloudFront::OriginAccessControl"
_REQUEST_POLICY = "AWS::CloudFront::OriginRequestPolicy"
_BUCKET = "AWS::S3::Bucket"
_STAGES = ("AWS::ApiGatewayV2::Stage", "AWS::ApiGateway::Stage")
_HTTP_PORT, _HTTPS_PORT = 80, 443

FORWARD_EVERYTHING = frozenset(
    {
        "216adef6-5c7f-47e4-b989-5492eafa07d3",  # AllViewer
        "33f36d7e-f396-46d9-90e0-52428a34d9dc",  # AllViewerAndCloudFrontHeaders-2022-06
        "b689b0a8-53d0-40ab-baf2-68738e2966ac",  # AllViewerExceptHostHeader
    }
)
"""AWS's origin request policies that pass on every header of the viewer.

See https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-origin-request-policies.html
"""
_UPGRADE_HEADERS = {"sec-websocket-key", "sec-websocket-version"}


def through_distribution(view: Template, distribution: Resource, request: Request) -> Iterator[Way]:
    """The way that the first matching behavior takes."""
    config = config_of(distribution)
    behavior = next(
        (
            one
            for one in map(mapping, items(config.get("CacheBehaviors")))
            if matches(view.text(one.get("PathPattern")), request.path)
        ),
        mapping(config.get("DefaultCacheBehavior")),
    )
    origin = _origin(view, config, view.text(behavior.get("TargetOriginId")))
    if origin is None:
        yield to_unknown(f"origin {view.text(behavior.get('TargetOriginId'))}")
        return
    name = f"distribution {distribution.id}"
    acl = config.get("WebACLId")
    claims = (
        *(body_claims(view, acl) if acl else ()),
        *_behavior_claims(view, behavior, name, request),
        *_origin_claims(origin, name),
    )
    end = target(view, origin)
    if end is not None and end.type == FUNCTION_URL:
        claims = (*claims, *_signing_claims(view, origin, behavior, end, name))
    yield from after(claims, _beyond(view, origin, end, request))


def config_of(distribution: Resource) -> Mapping[str, object]:
    """The configuration of a distribution."""
    return mapping(distribution.properties.get("DistributionConfig"))


def target(view: Template, origin: Mapping[str, object]) -> Resource | None:
    """What an origin is: a function URL, an API, a load balancer or a bucket of the template."""
    vpc_origin = view.find(mapping(origin.get("VpcOriginConfig")).get("VpcOriginId"), _VPC_ORIGIN)
    if vpc_origin is not None:
        return view.find(mapping(vpc_origin.properties.get("VpcOriginEndpointConfig")).get("Arn"))
    return view.find(origin.get("DomainName"), FUNCTION_URL, HTTP_API, REST_API, LOAD_BALANCER, _BUCKET)


def _origin(view: Template, config: Mapping[str, object], id: str) -> Mapping[str, object] | None:
    """An origin, or the first one of a group: the others only answer when it fails."""
    for group in map(mapping, items(mapping(config.get("OriginGroups")).get("Items"))):
        if view.text(group.get("Id")) == id:
            members = items(mapping(group.get("Members")).get("Items"))
            id = view.text(mapping(members[0] if members else None).get("OriginId"))
    origins = map(mapping, items(config.get("Origins")))
    return next((one for one in origins if view.text(one.get("Id")) == id), None)


def _behavior_claims(
    view: Template, behavior: Mapping[str, object], name: str, request: Request
) -> Iterator[Claim]:
    methods = [view.text(method) for method in items(behavior.get("AllowedMethods"))] or ["GET", "HEAD"]
    if request.method in methods:
        yield known(Kind.LARGEST, "cloudfront.body", f"request body of {name}")
    else:
        hop = f"methods of a behavior of {name}: {', '.join(methods)}"
        yield claim(Kind.LARGEST, 0.0, hop, "cloudfront.methods")
    hop = f"headers that {name} passes on"
    yield claim(Kind.WEBSOCKET, _passes_upgrades(view, behavior), hop, "cloudfront.websocket")


def _passes_upgrades(view: Template, behavior: Mapping[str, object]) -> bool | None:
    """Whether the headers of a WebSocket handshake go on; None for a policy outside the template."""
    legacy = items(mapping(mapping(behavior.get("ForwardedValues"))).get("Headers"))
    if legacy:
        return "*" in legacy or {view.text(header).lower() for header in legacy} >= _UPGRADE_HEADERS
    given = behavior.get("OriginRequestPolicyId")
    if given is None:
        return False
    if view.text(given) in FORWARD_EVERYTHING:
        return True
    policy = view.find(given, _REQUEST_POLICY)
    return None if policy is None else _policy_passes_upgrades(view, policy)


def _policy_passes_upgrades(view: Template, policy: Resource) -> bool:
    headers = mapping(mapping(policy.properties.get("OriginRequestPolicyConfig")).get("HeadersConfig"))
    listed = {view.text(header).lower() for header in items(headers.get("Headers"))}
    match view.text(headers.get("HeaderBehavior")):
        case "allViewer" | "allViewerAndWhitelistCloudFront":
            return True
        case "allExcept":
            return not listed & _UPGRADE_HEADERS
        case "whitelist":
            return listed >= _UPGRADE_HEADERS
        case _:
            return False


def _origin_claims(origin: Mapping[str, object], name: str) -> Iterator[Claim]:
    settings = next(
        (
            mapping(origin[key])
            for key in ("VpcOriginConfig", "CustomOriginConfig", "S3OriginConfig")
            if mapping(origin.get(key))
        ),
        {},
    )
    given = settings.get("OriginReadTimeout")
    seconds = fact("cloudfront.read_timeout").number if given is None else integer(given)
    hop = f"origin read timeout of {name}"
    yield claim(Kind.TIMEOUT, seconds, hop, "cloudfront.read_timeout")
    completion = origin.get("ResponseCompletionTimeout")
    if completion is not None:
        hop = f"response completion timeout of {name}"
        yield claim(Kind.TIMEOUT, integer(completion), hop, "cloudfront.completion_timeout", total=True)
    if "S3OriginConfig" in origin:
        yield known(Kind.WEBSOCKET, "cloudfront.s3_websocket", f"bucket origin of {name}")


def _signing_claims(
    view: Template,
    origin: Mapping[str, object],
    behavior: Mapping[str, object],
    url: Resource,
    name: str,
) -> Iterator[Claim]:
    """A signed function URL takes only bodies whose hash an edge function or the client computed."""
    control = view.find(origin.get("OriginAccessControlId"), _ACCESS_CONTROL)
    if control is None or view.text(url.properties.get("AuthType")) != "AWS_IAM":
        return
    sees = {"origin-request": "edge.body_origin", "viewer-request": "edge.body_viewer"}
    signers = [
        event
        for entry in map(mapping, items(behavior.get("LambdaFunctionAssociations")))
        if entry.get("IncludeBody") in (True, "true") and (event := view.text(entry.get("EventType"))) in sees
    ]
    for event in signers:
        hop = f"body that Lambda@Edge at {event} of {name} sees to sign it"
        yield known(Kind.LARGEST, sees[event], hop)
    if not signers:
        hop = f"function URL {url.id}, if the client sends the hash of the body"
        yield claim(Kind.LARGEST, fact("lambda.payload").value, hop, "edge.signing")


def _beyond(
    view: Template, origin: Mapping[str, object], end: Resource | None, request: Request
) -> Iterator[Way]:
    if end is None:
        yield to_unknown(view.text(origin.get("DomainName")))
        return
    prefix = view.text(origin.get("OriginPath")).rstrip("/")
    if end.type in (HTTP_API, REST_API) and prefix.lstrip("/") in _stages(view, end):
        prefix = ""  # it chooses the stage and is no part of a route
    request = replace(request, path=f"{prefix}{request.path}")
    if end.type == FUNCTION_URL:
        yield from function_url(view, end)
    elif end.type == LOAD_BALANCER:
        yield from through_balancer(view, end, request, port=_port(view, origin))
    elif end.type == HTTP_API:
        yield from through_http_api(view, end, request)
    elif end.type == REST_API:
        yield from through_rest_api(view, end, request)
    elif end.type == _BUCKET:
        yield Way(claims=(), end=End(kind=Ends.BUCKET, name=end.id, resource=end))
    else:
        yield to_unknown(end.id)


def _stages(view: Template, api: Resource) -> set[str]:
    """The names of an API's stages."""
    found = set()
    for stage in view.of_type(*_STAGES):
        owner = stage.properties.get("ApiId", stage.properties.get("RestApiId"))
        if view.find(owner) is api:
            found.add(view.text(stage.properties.get("StageName")))
    return found


def _port(view: Template, origin: Mapping[str, object]) -> int | None:
    """The port of the load balancer that CloudFront calls."""
    vpc_origin = view.find(mapping(origin.get("VpcOriginConfig")).get("VpcOriginId"), _VPC_ORIGIN)
    settings = mapping(origin.get("CustomOriginConfig"))
    if vpc_origin is not None:
        settings = mapping(vpc_origin.properties.get("VpcOriginEndpointConfig"))
    plain = view.text(settings.get("OriginProtocolPolicy")) == "http-only"
    key, usual = ("HTTPPort", _HTTP_PORT) if plain else ("HTTPSPort", _HTTPS_PORT)
    given = settings.get(key)
    return usual if given is None else integer(given)
