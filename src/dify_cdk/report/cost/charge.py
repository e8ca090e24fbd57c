"""What a price rule answers, what it may ask, and how quantities are written out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from dify_cdk.report.cost.usage import Usage
from dify_cdk.report.templates.template import Resource, Template
from dify_cdk.report.traffic.containers import ContainerRow

_SMALL = 0.01  # below it, digits after the point say nothing

_MOST = 1e12  # beyond any real quantity; keeps sums finite, whatever a template says


@dataclass(frozen=True, slots=True)
class Charge:
    """One reason to pay, not yet priced.

    Attributes:
        product: What is paid for, a key of :data:`dify_cdk.report.cost.products.PRODUCTS`.
        quantity: Single things in a month (requests, hours, GB); None if the template does not say.
        formula: How the quantity came about, in words.
        variant: Which of the product's prices counts, for example an instance class; empty if the template
            does not say. Default: the product has one price.
        what: What is paid for, in words. Default: what the product says.
    """

    product: str
    quantity: float | None
    formula: str
    variant: str | None = field(default=None, kw_only=True)
    what: str = field(default="", kw_only=True)

    @property
    def price(self) -> str:
        """Key of the unit price."""
        return self.product if self.variant is None else f"{self.product}.{self.variant}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What passes through an entry point, a function or a load balancer in a month.

    Attributes:
        requests: Number of requests.
        seconds: How long they last together.
        in_gb: GB that clients send.
        out_gb: GB that clients receive.
    """

    requests: float = 0
    seconds: float = 0
    in_gb: float = 0
    out_gb: float = 0

    def __add__(self, other: Load) -> Load:
        return Load(
            requests=self.requests + other.requests,
            seconds=self.seconds + other.seconds,
            in_gb=self.in_gb + other.in_gb,
            out_gb=self.out_gb + other.out_gb,
        )

    def __mul__(self, share: float) -> Load:
        return Load(
            requests=self.requests * share,
            seconds=self.seconds * share,
            in_gb=self.in_gb * share,
            out_gb=self.out_gb * share,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Where a rule looks: one template among those of the subject, and the usage.

    Attributes:
        view: The template that the resource is in.
        views: All templates of the subject.
        containers: The containers of ``view``.
        usage: What happens in a month.
        hours: Hours of a month.
        loads: What passes through the resources of ``view``, by logical id; a resource on no path is missing.
        entries: Logical ids in ``view`` of what clients reach directly.
        deployment_only: Logical ids in ``view`` of what runs only while something is deployed.
    """

    view: Template
    views: tuple[Template, ...]
    containers: tuple[ContainerRow, ...]
    usage: Usage
    hours: float
    loads: Mapping[str, Load]
    entries: frozenset[str]
    deployment_only: frozenset[str]


Rule = Callable[[Resource, Site], Iterable[Charge]]
"""What one resource costs. It never raises: what it cannot read is a charge with an unknown quantity."""

SharedRule = Callable[[tuple[Resource, ...], Site], Iterable[Charge]]
"""What all resources of a type cost together, where the usage does not say which of them it concerns."""


def number(value: object) -> float | None:
    """A number of 0 or more, which templates also write as text; None if it is unknown or makes no sense."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if not isinstance(value, int | float) or not 0 <= value <= _MOST:  # false for NaN, too
        return None
    return float(value)


def times(*factors: float | None) -> float | None:
    """The product; None if a factor is unknown."""
    known = [factor for factor in factors if factor is not None]
    return math.prod(known) if len(known) == len(factors) else None


def shown(value: float | None) -> str:
    """A number as a reader writes it: ``0.5``, ``22,000``; a question mark if it is unknown."""
    if value is None:
        return "?"
    if 0 < abs(value) < _SMALL:
        return f"{value:.2g}"
    return f"{value:,.3f}".rstrip("0").rstrip(".")


def counted(value: float | None, one: str) -> str:
    """A number with its noun: ``1 task``, ``2 tasks``, ``? tasks``."""
    return f"{shown(value)} {one if value == 1 else one + 's'}"


def is_decided_later(value: object) -> bool:
    """Whether a value is an intrinsic function, whose result the template does not show."""
    return isinstance(value, Mapping) and any(
        key == "Ref" or key.startswith("Fn::") for key in map(str, value)
    )


def setting(resource: Resource, *path: str) -> object:
    """A property deep inside mappings; None if it is missing, the function if one decides later."""
    value: object = resource.properties
    for key in path:
        if is_decided_later(value):
            break
        value = value.get(key) if isinstance(value, Mapping) else None
    return None if value == {"Ref": "AWS::NoValue"} else value


def number_or(value: object, default: float) -> float | None:
    """A number, the default where the property is missing, None if it is not known."""
    return default if value is None else number(value)


def word_or(value: object, default: str) -> str:
    """A plain word, the default where the property is missing, empty if it is not known."""
    if value is None:
        return default
    return value if isinstance(value, str) else ""


def length(value: object) -> float | None:
    """How many elements a list property has; None if that is decided later."""
    if value is None:
        return 0
    if not isinstance(value, list):
        return None if isinstance(value, Mapping) else 1  # a single value counts as a list of one
    unclear = any(isinstance(item, list) or (is_decided_later(item) and "Fn::If" in item) for item in value)
    return None if unclear else float(len(value))
