"""CloudFront distributions: their behaviors, and the origins that these lead to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby

from dify_cdk.report.templates.template import Resource, Template, integer, items, mapping, remembered
from dify_cdk.report.traffic.api_gateway import HTTP_API, REST_API
from dify_cdk.report.traffic.facts import fact
from dify_cdk.report.traffic.hops import Claim, Kind, claim, known
from dify_cdk.report.traffic.load_balancers import LOAD_BALANCER
from dify_cdk.report.traffic.routes import Destination, Listener, Route, public_listener, together, unknown
from dify_cdk.report.traffic.targets import FUNCTION_URL, VPC_ORIGIN, end_of
from dify_cdk.report.traffic.waf import body_claims

DISTRIBUTION = "AWS::CloudFront::Distribution"
KIND = "CloudFront distribution"
"""The ``kind`` of a listener that is a distribution."""

EDGE_FUNCTION = "AWS::CloudFront::Function"
LAMBDA_EDGE = "Lambda@Edge"
"""The kind of an association; the other one is a CloudFront Function."""

_ACCESS_CONTROL = "AWS::CloudFront::OriginAccessControl"
_REQUEST_POLICY = "AWS::CloudFront::OriginRequestPolicy"
_BUCKET = "AWS::S3::Bucket"
_STAGES = (("AWS::ApiGatewayV2::Stage", "ApiId"), ("AWS::ApiGateway::Stage", "RestApiId"))
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


def read_distributions(view: Template) -> Iterator[Listener]:
    """Every distribution as a listener; behaviors that are the same but for the path are one route."""
    for distribution in view.of_type(DISTRIBUTION):
        *routes, default = behaviors(view, distribution)
        # Only neighbours are put together, which keeps their order.
        groups = groupby(routes, key=lambda route: (route.actions, route.destinations))
        merged = (together(group) for _, group in groups)
        yield public_listener(distribution.id, KIND, (*merged, default))


def config_of(distribution: Resource) -> Mapping[str, object]:
    """The configuration of a distribution."""
    return mapping(distribution.properties.get("DistributionConfig"))


def all_behaviors(config: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The behaviors of a configuration as they stand in the template, the default one last."""
    return [
        mapping(one) for one in (*items(config.get("CacheBehaviors")), config.get("DefaultCacheBehavior"))
    ]


@remembered
def behaviors(view: Template, distribution: Resource) -> tuple[Route, ...]:
    """The behaviors in order of trial, the default one last."""
    config = config_of(distribution)
    found = [
        _behavior(view, distribution, behavior, (view.text(behavior.get("PathPattern")),))
        for behavior in map(mapping, items(config.get("CacheBehaviors")))
    ]
    return (*found, _behavior(view, distribution, mapping(config.get("DefaultCacheBehavior")), ()))


def _behavior(
    view: Template, distribution: Resource, behavior: Mapping[str, object], paths: tuple[str, ...]
) -> Route:
    id = view.text(behavior.get("TargetOriginId"))
    origin = _origin(view, config_of(distribution), id)
    route = Route(
        default=not paths,
        paths=paths,
        actions=tuple(f"{kind} at {event}" for kind, event, _ in associations(view, behavior)),
        destinations=(unknown(f"origin {id}"),),
        edge_functions=tuple(_edge_functions(view, behavior)),
    )
    if origin is None:
        return route
    return replace(
        route,
        destinations=(_destination(view, distribution, behavior, origin),),
        claims=tuple(_behavior_claims(view, distribution, behavior)),
        methods=tuple(view.text(one) for one in items(behavior.get("AllowedMethods"))) or ("GET", "HEAD"),
    )


def _behavior_claims(
    view: Template, distribution: Resource, behavior: Mapping[str, object]
) -> Iterator[Claim]:
    name = f"distribution {distribution.id}"
    acl = config_of(distribution).get("WebACLId")
    yield from body_claims(view, acl) if acl else ()
    yield known(Kind.LARGEST, "cloudfront.body", f"request body of {name}")
    hop = f"headers that {name} passes on"
    yield claim(Kind.WEBSOCKET, _passes_upgrades(view, behavior), hop, "cloudfront.websocket")


def refusal(distribution: Resource, behavior: Route) -> Claim:
    """What a behavior says about the body of a request whose method it does not allow."""
    hop = f"methods of a behavior of distribution {distribution.id}: {', '.join(behavior.methods)}"
    return claim(Kind.LARGEST, 0.0, hop, "cloudfront.methods")


def associations(view: Template, behavior: Mapping[str, object]) -> Iterator[tuple[str, str, object]]:
    """What a behavior runs, CloudFront Functions first: kind, event, and the reference to the function."""
    for kind, list_name, arn_name in (
        ("CloudFront Function", "FunctionAssociations", "FunctionARN"),
        (LAMBDA_EDGE, "LambdaFunctionAssociations", "LambdaFunctionARN"),
    ):
        for entry in map(mapping, items(behavior.get(list_name))):
            yield kind, view.text(entry.get("EventType")), entry.get(arn_name)


def _edge_functions(view: Template, behavior: Mapping[str, object]) -> Iterator[Resource]:
    for kind, _, reference in associations(view, behavior):
        is_lambda = kind == LAMBDA_EDGE
        found = end_of(view, reference) if is_lambda else view.find(reference, EDGE_FUNCTION)
        if found is not None:
            yield found


# --- origins --------------------------------------------------------------------------------------------


def _destination(
    view: Template, distribution: Resource, behavior: Mapping[str, object], origin: Mapping[str, object]
) -> Destination:
    domain = view.text(origin.get("DomainName"))
    end = target(view, origin)
    name = f"distribution {distribution.id}"
    claims = tuple(_origin_claims(origin, name))
    if end is not None and end.type == FUNCTION_URL:
        claims = (*claims, *_signing_claims(view, origin, behavior, end, name))
    return Destination(
        container=_shown(view, origin, end) or domain or None,
        target_group=domain,
        resource=end,
        elsewhere=domain,
        claims=claims,
        prefix=_prefix(view, origin, end),
        listener_port=_port(view, origin),
    )


def _shown(view: Template, origin: Mapping[str, object], end: Resource | None) -> str | None:
    if end is not None and end.type == FUNCTION_URL:
        end = view.find(end.properties.get("TargetFunctionArn")) or end
    found = end or _vpc_origin(view, origin) or view.find(origin.get("DomainName"))
    return found.id if found else None


def _vpc_origin(view: Template, origin: Mapping[str, object]) -> Resource | None:
    return view.find(mapping(origin.get("VpcOriginConfig")).get("VpcOriginId"), VPC_ORIGIN)


def target(view: Template, origin: Mapping[str, object]) -> Resource | None:
    """What an origin is: a function URL, an API, a load balancer or a bucket of the template."""
    vpc_origin = _vpc_origin(view, origin)
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


def _passes_upgrades(view: Template, behavior: Mapping[str, object]) -> bool | None:
    """Whether the headers of a WebSocket handshake are forwarded; None for a policy outside the template."""
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


def _prefix(view: Template, origin: Mapping[str, object], end: Resource | None) -> str:
    """What the origin puts before the path; one that chooses the stage of an API is no part of a route."""
    prefix = view.text(origin.get("OriginPath")).rstrip("/")
    stages = (stage for type, key in _STAGES for stage in (view.naming(end, key, type) if end else ()))
    names = {view.text(stage.properties.get("StageName")) for stage in stages}
    return "" if prefix.lstrip("/") in names else prefix


def _port(view: Template, origin: Mapping[str, object]) -> int | None:
    """The port of the load balancer that CloudFront calls."""
    vpc_origin = _vpc_origin(view, origin)
    settings = mapping(origin.get("CustomOriginConfig"))
    if vpc_origin is not None:
        settings = mapping(vpc_origin.properties.get("VpcOriginEndpointConfig"))
    plain = view.text(settings.get("OriginProtocolPolicy")) == "http-only"
    key, usual = ("HTTPPort", _HTTP_PORT) if plain else ("HTTPSPort", _HTTPS_PORT)
    given = settings.get(key)
    return usual if given is None else integer(given)
