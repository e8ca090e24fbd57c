"""What a synthesized template contains: resources, containers, and the routes it really serves.

Everything is computed from the template alone, never from the name of a variant, so that a stranger's
template is read like ours. What is not understood is counted and named, not dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from dify_cdk.report.templates.template import Template
from dify_cdk.report.traffic.api_gateway import is_followed
from dify_cdk.report.traffic.containers import ContainerRow, read_containers
from dify_cdk.report.traffic.entry_points import UNREAD, read_routes
from dify_cdk.report.traffic.routes import Listener

OTHER_ENTRY_POINTS = (
    "AWS::ApiGateway::RestApi",
    "AWS::ApiGatewayV2::Api",
    "AWS::AppSync::GraphQLApi",
    "AWS::ElasticLoadBalancing::LoadBalancer",
    "AWS::GlobalAccelerator::Accelerator",
    "AWS::Lambda::Url",
    *UNREAD,
)
"""Public entry points whose routes are not followed; a report names them, so that none stays hidden."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TypeCount:
    """How many resources of one type there are.

    Attributes:
        service: Service part of the type, for example ``ECS``; ``Custom`` for custom resources.
        name: The rest of the type, for example ``TaskDefinition``.
        type: The type as it stands in the template, empty where an entry has none.
        count: Number of resources.
    """

    service: str
    name: str
    type: str
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """Something the CDK recorded while it synthesized.

    Attributes:
        level: ``warning`` or ``error``.
        path: Construct path.
        text: The message in one line.
    """

    level: str
    path: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """What one template contains.

    Attributes:
        name: What reports call the template.
        source: File it was read from; None if it was synthesized here.
        region: Region it was synthesized for; None if unknown or left open.
        types: Resources by service and type.
        conditional: How many of them exist only if a condition of the template holds.
        containers: Containers.
        listeners: Load balancer listeners, HTTP APIs and distributions with their routes.
        other_entry_points: Types of public entry points whose routes are not followed.
        messages: What the CDK had to say; empty for a template read from a file.
    """

    name: str
    source: str | None = None
    region: str | None = None
    types: tuple[TypeCount, ...]
    conditional: int
    containers: tuple[ContainerRow, ...]
    listeners: tuple[Listener, ...]
    other_entry_points: tuple[str, ...]
    messages: tuple[Message, ...] = ()

    @property
    def total(self) -> int:
        """Number of resources."""
        return sum(entry.count for entry in self.types)


def read(template: Mapping[str, object], name: str) -> Inventory:
    """Read a template. Never raises: what is odd is shown as it stands, what is missing counts as empty."""
    return read_view(Template(template), name)


def read_view(view: Template, name: str) -> Inventory:
    """Read a template through a view of it, for example one of several templates together."""
    present = {resource.type for resource in view.resources if not is_followed(view, resource)}
    return Inventory(
        name=name,
        types=_types(view),
        conditional=sum(resource.conditional for resource in view.resources),
        containers=read_containers(view),
        listeners=read_routes(view),
        other_entry_points=tuple(type for type in OTHER_ENTRY_POINTS if type in present),
    )


def _types(view: Template) -> tuple[TypeCount, ...]:
    counts = Counter(resource.type for resource in view.resources)
    entries = [
        TypeCount(service=service, name=name, type=type, count=count)
        for type, count in counts.items()
        for service, name in [_split_type(type)]
    ]
    return tuple(sorted(entries, key=lambda entry: (entry.service.lower(), entry.name.lower(), entry.type)))


def _split_type(type: str) -> tuple[str, str]:
    """Service and name of a type; partners of AWS keep their own name before the service."""
    match type.split("::"):
        case [""]:
            return "Unknown", "(no type)"
        case ["AWS", "CloudFormation", "CustomResource"]:
            return "Custom", "CustomResource"
        case ["AWS", service, *rest]:
            return service, "::".join(rest) or service
        case ["Custom", *rest]:
            return "Custom", "::".join(rest) or "Custom"
        case [vendor, service, *rest]:
            return f"{vendor} {service}", "::".join(rest) or service
        case _:
            return "Unknown", type
