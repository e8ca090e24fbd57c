"""Which resources the requests of users pass through, read from behaviors, routes and integrations.

Three kinds of requests are followed, each by one path that stands for it. What passes through a resource is
a share of them; several doors that stand side by side share the users evenly.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

from dify_cdk.report.cost.charge import Load
from dify_cdk.report.cost.usage import Usage
from dify_cdk.report.templates.template import Resource, Template, items, mapping
from dify_cdk.report.traffic.distribution_rows import origin_end

FUNCTION = "AWS::Lambda::Function"
VERSION = "AWS::Lambda::Version"
ALIAS = "AWS::Lambda::Alias"
LOAD_BALANCER = "AWS::ElasticLoadBalancingV2::LoadBalancer"
DISTRIBUTION = "AWS::CloudFront::Distribution"
HTTP_API = "AWS::ApiGatewayV2::Api"
REST_API = "AWS::ApiGateway::RestApi"
_URL = "AWS::Lambda::Url"
_DOORS = (DISTRIBUTION, LOAD_BALANCER, HTTP_API, REST_API, _URL)

HELPER_SECONDS = 0.01
"""How long code that only inspects a request is taken to run: authorizers, Lambda@Edge."""

_MAX_HOPS = 8  # no design of ours has more than four; a circle in a template must end
_VARIABLE = re.compile(r"\\\{[^}]*?(\\\+)?\\\}")  # of an escaped pattern; a greedy one ends with a plus


class Kind(Enum):
    """A kind of request; the value is the path that stands for it."""

    APP = "/api/chat-messages"
    PAGES = "/apps"
    UPLOADS = "/api/files/upload"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A resource that requests of one kind pass.

    Attributes:
        view: Index of its template.
        id: Its logical id.
        kind: The kind of request.
        share: Share of these requests, 0 to 1.
        helper: Whether it only inspects the request.
    """

    view: int
    id: str
    kind: Kind
    share: float
    helper: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Paths:
    """The ways of all requests through the templates of a subject, whatever their number.

    Attributes:
        steps: Every resource on a way.
        entries: Where the ways begin: index of the template and logical id.
    """

    steps: tuple[Step, ...]
    entries: frozenset[tuple[int, str]]

    def loads(self, view: int, usage: Usage) -> Mapping[str, Load]:
        """What passes through the resources of one template in a month."""
        whole = _whole(usage)
        loads: defaultdict[str, Load] = defaultdict(Load)
        for step in self.steps:
            if step.view == view:
                load = whole[step.kind]
                loads[step.id] += (_inspected(load) if step.helper else load) * step.share
        return dict(loads)


def _whole(usage: Usage) -> dict[Kind, Load]:
    app = Load(
        requests=usage.app_requests,
        seconds=usage.app_requests * usage.app_seconds,
        out_gb=usage.download_gb,
    )
    pages = Load(requests=usage.page_requests, seconds=usage.page_requests * usage.page_seconds)
    uploads = Load(requests=usage.uploads, seconds=usage.uploads * usage.app_seconds, in_gb=usage.upload_gb)
    return {Kind.APP: app, Kind.PAGES: pages, Kind.UPLOADS: uploads}


def _inspected(load: Load) -> Load:
    return Load(requests=load.requests, seconds=load.requests * HELPER_SECONDS)


def find_paths(views: Sequence[Template]) -> Paths:
    """Follow every kind of request from the doors on."""
    network = _Network(views)
    doors = [(index, door) for index, view in enumerate(views) for door in view.of_type(*_DOORS)]
    behind = {(index, hop.id) for index, door in doors for hop in network.all_behind(index, door)}
    entries = [(index, door) for index, door in doors if (index, door.id) not in behind]
    steps = [
        step
        for kind in Kind
        for index, door in entries
        for step in network.walk(index, door, kind, 1 / len(entries))
    ]
    return Paths(steps=tuple(steps), entries=frozenset((index, door.id) for index, door in entries))


@dataclass(frozen=True, slots=True)
class _Hop:
    """The next resource of a way, in the template of that index."""

    view: int
    resource: Resource
    helper: bool = False


class _Network:
    """Where a request goes next."""

    def __init__(self, views: Sequence[Template]) -> None:
        self._views = views
        self._edge = next(
            (
                _Hop(index, function, helper=True)
                for index, view in enumerate(views)
                for function in view.of_type(FUNCTION)
                if runs_at_the_edge(view, function)
            ),
            None,
        )

    def walk(self, view: int, start: Resource, kind: Kind, share: float) -> Iterator[Step]:
        """The door and everything behind it that requests of a kind pass, each resource once."""
        todo, seen = [_Hop(view, start)], set()
        for _ in range(_MAX_HOPS):
            behind = []
            for hop in todo:
                if (hop.view, hop.resource.id) not in seen:
                    seen.add((hop.view, hop.resource.id))
                    yield Step(view=hop.view, id=hop.resource.id, kind=kind, share=share, helper=hop.helper)
                    behind += [] if hop.helper else self._next(hop, kind)
            todo = behind

    def all_behind(self, view: int, door: Resource) -> Iterator[Resource]:
        """What a door leads to by any of its routes, in its own template."""
        own = self._views[view]
        if door.type == DISTRIBUTION:
            for origin in items(mapping(door.properties.get("DistributionConfig")).get("Origins")):
                end = origin_end(own, mapping(origin))
                if end is not None:
                    yield end
        if door.type == HTTP_API:
            for route in _routes(own, door):
                end = _integrated(own, route)
                if end is not None:
                    yield end

    def _next(self, hop: _Hop, kind: Kind) -> list[_Hop]:
        view = self._views[hop.view]
        match hop.resource.type:
            case "AWS::CloudFront::Distribution":
                return list(self._behind_distribution(hop.view, hop.resource, kind))
            case "AWS::ApiGatewayV2::Api":
                return list(_behind_api(hop.view, view, hop.resource, kind))
            case "AWS::Lambda::Url":
                function = function_of(view, hop.resource.properties.get("TargetFunctionArn"))
                return [_Hop(hop.view, function)] if function else []
            case _:
                return []

    def _behind_distribution(self, index: int, distribution: Resource, kind: Kind) -> Iterator[_Hop]:
        view = self._views[index]
        config = mapping(distribution.properties.get("DistributionConfig"))
        behavior = _behavior(view, config, kind.value)
        for entry in map(mapping, items(behavior.get("FunctionAssociations"))):
            function = view.find(entry.get("FunctionARN"), "AWS::CloudFront::Function")
            if function is not None:
                yield _Hop(index, function, helper=True)
        for entry in map(mapping, items(behavior.get("LambdaFunctionAssociations"))):
            function = function_of(view, entry.get("LambdaFunctionARN"))
            # In another region it is in another template, and the reference leads nowhere in this one.
            found = _Hop(index, function, helper=True) if function else self._edge
            if found is not None:
                yield found
        origins = {
            view.text(origin.get("Id")): origin for origin in map(mapping, items(config.get("Origins")))
        }
        end = origin_end(view, origins.get(view.text(behavior.get("TargetOriginId")), {}))
        if end is not None:
            yield _Hop(index, end)


def _behavior(view: Template, config: Mapping[str, object], path: str) -> Mapping[str, object]:
    """The first behavior whose pattern matches, else the default one; both know ``*`` and ``?`` only."""
    for behavior in map(mapping, items(config.get("CacheBehaviors"))):
        pattern = view.text(behavior.get("PathPattern")).replace("[", "[[]")
        if fnmatchcase(path, pattern if pattern.startswith("/") else f"/{pattern}"):
            return behavior
    return mapping(config.get("DefaultCacheBehavior"))


def _behind_api(index: int, view: Template, api: Resource, kind: Kind) -> Iterator[_Hop]:
    route = _route(view, api, kind.value)
    if route is None:
        return
    authorizer = view.find(route.properties.get("AuthorizerId"), "AWS::ApiGatewayV2::Authorizer")
    asked = function_of(view, authorizer.properties.get("AuthorizerUri")) if authorizer else None
    if asked is not None:
        yield _Hop(index, asked, helper=True)
    end = _integrated(view, route)
    if end is not None:
        yield _Hop(index, end)


def _routes(view: Template, api: Resource) -> list[Resource]:
    routes = view.of_type("AWS::ApiGatewayV2::Route")
    return [route for route in routes if view.find(route.properties.get("ApiId"), HTTP_API) is api]


def _route(view: Template, api: Resource, path: str) -> Resource | None:
    """The most specific route that matches; the ``$default`` route matches everything."""
    matching: dict[int, Resource] = {}
    for route in _routes(view, api):
        key = view.text(route.properties.get("RouteKey"))
        pattern = "/{proxy+}" if key == "$default" else key.rpartition(" ")[2]
        if re.fullmatch(_expression(pattern), path):
            matching.setdefault(len(pattern.partition("{")[0]), route)
    return matching[max(matching)] if matching else None


def _expression(pattern: str) -> str:
    return _VARIABLE.sub(lambda match: ".+" if match[1] else "[^/]+", re.escape(pattern))


def _integrated(view: Template, route: Resource) -> Resource | None:
    """What an integration leads to: a function, a load balancer, or what else its address refers to."""
    integration = view.find(route.properties.get("Target"), "AWS::ApiGatewayV2::Integration")
    if integration is None:
        return None
    uri = integration.properties.get("IntegrationUri")
    end = function_of(view, uri) or view.find(uri)
    if end is not None and end.type == "AWS::ElasticLoadBalancingV2::Listener":
        return view.find(end.properties.get("LoadBalancerArn"), LOAD_BALANCER)
    return end


def function_of(view: Template, value: object) -> Resource | None:
    """The function that a value refers to, also by one of its versions or aliases."""
    found = view.find(value, FUNCTION, VERSION, ALIAS)
    for _ in range(2):
        if found is None or found.type == FUNCTION:
            return found
        name = "FunctionVersion" if found.type == ALIAS else "FunctionName"
        found = view.find(found.properties.get(name), FUNCTION, VERSION)
    return found if found is not None and found.type == FUNCTION else None


def runs_at_the_edge(view: Template, function: Resource) -> bool:
    """Whether a function is Lambda@Edge: its role says so by whom it trusts."""
    role = view.find(function.properties.get("Role"), "AWS::IAM::Role")
    trust = role.properties.get("AssumeRolePolicyDocument") if role else None
    return "edgelambda.amazonaws.com" in view.text(trust)
