"""API Gateway: requests, and the look-ups by which it finds containers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from dify_cdk.report.cost.charge import Charge, Load, Rule, Site, setting, shown
from dify_cdk.report.cost.network import internet_out
from dify_cdk.report.templates.template import Resource, Template, remembered
from dify_cdk.report.traffic.api_gateway import HTTP_API, INTEGRATION, REST_API
from dify_cdk.report.traffic.load_balancers import LOAD_BALANCER
from dify_cdk.report.traffic.targets import LISTENER

_PIECES_PER_GB = 1024 * 1024 / 512  # HTTP APIs meter payloads in pieces of 512 KB


def http_api(resource: Resource, site: Site) -> Iterator[Charge]:
    """Requests, where each further 512 KB of an upload count as one more."""
    if setting(resource, "ProtocolType") != "HTTP":
        yield Charge("api_gateway.websocket_messages", None, "messages of a WebSocket API")
        return
    load = site.loads.get(resource.id, Load())
    words = f"{shown(load.requests)} requests and {shown(load.in_gb)} GB of uploads in pieces of 512 KB"
    yield Charge("api_gateway.http_requests", load.requests + load.in_gb * _PIECES_PER_GB, words)
    if _looks_up_containers(site.view, resource):
        yield _look_ups(load)
    if resource.id in site.entries:
        yield internet_out(load.out_gb, "to browsers and clients")


def rest_api(resource: Resource, site: Site) -> Iterator[Charge]:
    """Requests; what a stage may add (a cache) is not read."""
    load = site.loads.get(resource.id, Load())
    yield Charge("api_gateway.rest_requests", load.requests, f"{shown(load.requests)} requests")
    if resource.id in site.entries:
        yield internet_out(load.out_gb, "to browsers and clients")


@remembered
def _looks_up_containers(view: Template, api: Resource) -> bool:
    """Whether an integration goes through a VPC link to Cloud Map and not to a load balancer."""
    for integration in view.naming(api, "ApiId", INTEGRATION):
        uri = integration.properties.get("IntegrationUri")
        balancer = view.find(uri, LISTENER, LOAD_BALANCER)
        if integration.properties.get("ConnectionType") == "VPC_LINK" and balancer is None:
            return True
    return False


def _look_ups(load: Load) -> Charge:
    """API Gateway calls DiscoverInstances; how often, and who pays for it, AWS does not say."""
    return Charge(
        "cloud_map.discover_calls",
        None if load.requests else 0,
        "at most one a request; AWS does not say whether they are charged",
    )


RULES: Mapping[str, Rule] = MappingProxyType({HTTP_API: http_api, REST_API: rest_api})
