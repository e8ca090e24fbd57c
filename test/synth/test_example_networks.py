"""An example that nobody changed lets nobody in, and every frontend says so."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest

import dify_cdk
from dify_cdk import Access, DifyWorkers
from synth.installation import warnings_of

FRONTENDS = [
    getattr(dify_cdk, name)
    for name in dify_cdk.__all__
    if inspect.isclass(getattr(dify_cdk, name))
    and "access" in inspect.signature(getattr(dify_cdk, name).__init__).parameters
]


@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize(
    ("access", "named"),
    [
        (Access(ipv4=["198.18.7.0/24", "203.0.113.0/24"]), ["203.0.113.0/24"]),
        (Access(ipv4=["192.0.2.7/32", "198.51.100.128/25"]), ["192.0.2.7/32", "198.51.100.128/25"]),
        (Access(ipv4=["198.18.7.0/24"], also=["198.51.100.7"]), ["198.51.100.7"]),
        (Access(ipv4=["198.18.7.0/24", "203.0.112.0/22"], also=[cdk.Aws.STACK_NAME]), []),
        (Access.anyone(), []),
    ],
)
def test_every_frontend_warns_of_networks_for_documentation(
    stack: cdk.Stack, workers: DifyWorkers, frontend: Callable[..., Any], access: Access, named: list[str]
) -> None:
    built = frontend(stack, "Frontend", workers=workers, access=access)
    found = [text for text in warnings_of(built) if "DifyAccessExample" in text]
    assert bool(found) is bool(named)
    for text in found:
        assert text.startswith(f"Access lists {', '.join(named)}, which is for documentation: ")


@pytest.mark.parametrize("network", ["2001:db8::/32", "2001:db8:7::/48", "3fff:1::/32"])
def test_networks_of_ipv6_are_known_too(network: str) -> None:
    assert Access(ipv6=[network, "2600:1f18::/32"]).nobodys == (network,)


def test_there_are_three_frontends() -> None:
    assert len(FRONTENDS) == 3
