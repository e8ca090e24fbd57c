"""HTTP APIs in the inventory: routes, authorizers, and the containers behind private integrations."""

from __future__ import annotations

from typing import Any

from dify_cdk.report.inventory import Inventory, read
from dify_cdk.report.traffic.api_gateway import HTTP_API, KINDS
from dify_cdk.report.traffic.routes import Destination, Route


def _ref(id: str) -> dict[str, str]:
    return {"Ref": id}


def _route(key: str, target: object, **more: object) -> dict[str, Any]:
    return {
        "Type": "AWS::ApiGatewayV2::Route",
        "Properties": {"ApiId": _ref("Api"), "RouteKey": key, "Target": target, **more},
    }


def _read(**resources: object) -> Inventory:
    api = {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"ProtocolType": "HTTP", "Name": "shop"}}
    return read({"Resources": {"Api": api, **resources}}, "test")


def _integration(uri: object) -> dict[str, Any]:
    return {
        "Type": "AWS::ApiGatewayV2::Integration",
        "Properties": {"ApiId": _ref("Api"), "IntegrationUri": uri},
    }


TARGET = {"Fn::Join": ["", ["integrations/", _ref("Integration")]]}
TASK = {
    "Type": "AWS::ECS::TaskDefinition",
    "Properties": {
        "ContainerDefinitions": [{"Name": "shop", "PortMappings": [{"Name": "http", "ContainerPort": 8080}]}]
    },
}


def _service(**properties: object) -> dict[str, Any]:
    return {"Type": "AWS::ECS::Service", "Properties": {"TaskDefinition": _ref("Task"), **properties}}


def test_prefix_and_its_greedy_route_are_one_row_that_leads_to_the_container() -> None:
    connect = {"Enabled": True, "Services": [{"PortName": "http", "DiscoveryName": "shop-api"}]}
    inventory = _read(
        Lookup={"Type": "Custom::Lookup", "Properties": {"DiscoveryName": "shop-api"}},
        Integration=_integration({"Fn::GetAtt": ["Lookup", "ServiceArn"]}),
        Task=TASK,
        Service=_service(ServiceConnectConfiguration=connect),
        A=_route("ANY /shop", TARGET),
        B=_route("ANY /shop/{proxy+}", TARGET),
    )
    (listener,) = inventory.listeners
    assert (listener.kind, listener.protocol, listener.port) == (KINDS[HTTP_API], "HTTPS", 443)
    (row,) = listener.routes
    assert row == Route(
        priority=None,
        default=False,
        paths=("/shop", "/shop/{proxy+}"),
        conditions=(),
        actions=(),
        destinations=(
            Destination(container="shop", port=8080, target_group="Lookup.ServiceArn", weight=None),
        ),
    )


def test_cloud_map_service_of_an_ecs_service_leads_to_its_container() -> None:
    registry = {
        "RegistryArn": {"Fn::GetAtt": ["Registry", "Arn"]},
        "ContainerName": "shop",
        "ContainerPort": 8080,
    }
    inventory = _read(
        Registry={"Type": "AWS::ServiceDiscovery::Service", "Properties": {"Name": "shop"}},
        Integration=_integration({"Fn::GetAtt": ["Registry", "Arn"]}),
        Task=TASK,
        Service=_service(ServiceRegistries=[registry]),
        Default=_route("$default", TARGET),
    )
    (row,) = inventory.listeners[0].routes
    assert row.default
    assert [(end.container, end.port) for end in row.destinations] == [("shop", 8080)]


def test_methods_and_authorizers_are_named_and_the_default_comes_last() -> None:
    authorizer = {"Type": "AWS::ApiGatewayV2::Authorizer", "Properties": {"Name": "Office"}}
    inventory = _read(
        Office=authorizer,
        Function={"Type": "AWS::Lambda::Function", "Properties": {}},
        Integration=_integration({"Fn::GetAtt": ["Function", "Arn"]}),
        Rest=_route("ANY /{proxy+}", TARGET),
        Root=_route("ANY /", TARGET),
        Post=_route("POST /orders", TARGET, AuthorizationType="CUSTOM", AuthorizerId=_ref("Office")),
        Token=_route("GET /me", TARGET, AuthorizationType="JWT"),
    )
    rows = inventory.listeners[0].routes
    assert [row.default for row in rows] == [False, False, True]
    assert (rows[0].conditions, rows[0].actions) == (("method POST",), ("authorizer Office",))
    assert rows[1].actions == ("JWT authorization",)
    assert rows[0].destinations[0].container == "Function"


def test_websocket_api_is_named_and_not_followed() -> None:
    api = {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"ProtocolType": "WEBSOCKET"}}
    inventory = read({"Resources": {"Api": api}}, "test")
    assert inventory.listeners == ()
    assert inventory.other_entry_points == ("AWS::ApiGatewayV2::Api",)


def test_missing_integration_is_shown_as_it_stands() -> None:
    inventory = _read(Lost=_route("ANY /lost", "integrations/abc"))
    (end,) = inventory.listeners[0].routes[0].destinations
    assert (end.container, end.target_group) == (None, "integrations/abc")
