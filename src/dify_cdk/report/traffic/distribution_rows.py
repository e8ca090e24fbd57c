"""The behaviors of a template's CloudFront distributions, and the origins they lead to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby

from dify_cdk.report.templates.template import Resource, Template, items, mapping
from dify_cdk.report.traffic.listeners import Destination, Listener, RouteRow

DISTRIBUTION = "CloudFront distribution"
"""The ``kind`` of a listener that is a distribution."""

_DISTRIBUTION = "AWS::CloudFront::Distribution"
_URL = "AWS::Lambda::Url"
_VPC_ORIGIN = "AWS::CloudFront::VpcOrigin"


def read_distributions(view: Template) -> tuple[Listener, ...]:
    """Every distribution as a listener; behaviors that are the same but for the path are one row."""
    return tuple(_listener(view, distribution) for distribution in view.of_type(_DISTRIBUTION))


def _listener(view: Template, distribution: Resource) -> Listener:
    config = mapping(distribution.properties.get("DistributionConfig"))
    origins = {view.text(o.get("Id")): o for o in map(mapping, items(config.get("Origins")))}
    rows = [
        _row(view, origins, behavior, default=False)
        for behavior in map(mapping, items(config.get("CacheBehaviors")))
    ]
    default = _row(view, origins, mapping(config.get("DefaultCacheBehavior")), default=True)
    return Listener(
        id=distribution.id,
        protocol="HTTPS",
        port=443,
        load_balancer=distribution.id,
        kind=DISTRIBUTION,
        scheme="internet-facing",
        routes=(*_merged(rows), default),
    )


def _merged(rows: list[RouteRow]) -> Iterator[RouteRow]:
    """Neighbours that lead to the same end in the same way, which keeps their order."""
    for _, group in groupby(rows, key=lambda row: (row.actions, row.destinations)):
        first, *others = group
        paths = (*first.paths, *(path for row in others for path in row.paths))
        yield RouteRow(
            priority=None,
            default=False,
            paths=paths,
            conditions=(),
            actions=first.actions,
            destinations=first.destinations,
        )


def _row(
    view: Template,
    origins: Mapping[str, Mapping[str, object]],
    behavior: Mapping[str, object],
    *,
    default: bool,
) -> RouteRow:
    origin = origins.get(view.text(behavior.get("TargetOriginId")), {})
    return RouteRow(
        priority=None,
        default=default,
        paths=() if default else (view.text(behavior.get("PathPattern")),),
        conditions=(),
        actions=tuple(_actions(view, behavior)),
        destinations=(_destination(view, origin),),
    )


def _actions(view: Template, behavior: Mapping[str, object]) -> Iterator[str]:
    """What runs on the way."""
    for entry in map(mapping, items(behavior.get("FunctionAssociations"))):
        yield f"CloudFront Function at {view.text(entry.get('EventType'))}"
    for entry in map(mapping, items(behavior.get("LambdaFunctionAssociations"))):
        yield f"Lambda@Edge at {view.text(entry.get('EventType'))}"


def origin_end(view: Template, origin: Mapping[str, object]) -> Resource | None:
    """What answers behind an origin: a load balancer, an API, a function URL, a bucket; None if unknown."""
    vpc_origin = view.find(mapping(origin.get("VpcOriginConfig")).get("VpcOriginId"), _VPC_ORIGIN)
    if vpc_origin is None:
        return view.find(origin.get("DomainName"))
    endpoint = mapping(vpc_origin.properties.get("VpcOriginEndpointConfig"))
    return view.find(endpoint.get("Arn")) or vpc_origin


def _destination(view: Template, origin: Mapping[str, object]) -> Destination:
    domain = origin.get("DomainName")
    end = origin_end(view, origin)
    if end is not None and end.type == _URL:
        end = view.find(end.properties.get("TargetFunctionArn")) or end
    name = end.id if end else view.text(domain)
    return Destination(role=name or None, port=None, target_group=view.text(domain), weight=None)
