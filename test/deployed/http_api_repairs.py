"""What an HTTP API before ECS services meets in MiniStack and not on AWS: see ``repairs``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from deployed.repairs import Journal, Settings, handlers_of, module, read_json

_DISCOVERED_PAGE = 2


def apply(settings: Settings, journal: Journal) -> None:
    """Repair everything, before the server starts."""
    service_connect_registers()
    discovered_services_are_listed_by_page()
    http_apis_are_known_by_their_names(settings)
    private_integrations_reach_registered_tasks()
    mapped_values_are_known()
    authorizers_are_recorded(journal)
    authorizer_caches_can_be_reset()


def service_connect_registers() -> None:
    """ECS registers no Cloud Map service for Service Connect, and so takes none away with its own service."""
    cloud_map, handlers = module("services.servicediscovery"), handlers_of("AWS::ECS::Service")
    create, update, delete = handlers["create"], handlers["update"], handlers["delete"]
    registered: dict[str, list[str]] = {}

    def register(arn: str, properties: Mapping[str, Any]) -> None:
        for namespace, name in _discovered(properties):
            if any(
                each["NamespaceId"] == namespace and each["Name"].lower() == name.lower()
                for each in cloud_map._services.values()
            ):
                raise ValueError(f"Namespace {namespace} already has a service {name}")
            answer = cloud_map._create_service({"NamespaceId": namespace, "Name": name})
            registered.setdefault(arn, []).append(read_json(answer[2])["Service"]["Id"])

    def deregister(arn: str) -> None:
        for service_id in registered.pop(arn, ()):
            cloud_map._delete_service({"Id": service_id})

    def create_and_register(logical_id: str, properties: Mapping[str, Any], stack_name: str) -> Any:
        created = create(logical_id, properties, stack_name)
        register(created[0], properties)
        return created

    def update_and_register(arn: str, old: Mapping[str, Any], new: Mapping[str, Any], *rest: str) -> Any:
        updated = update(arn, old, new, *rest)
        # As on AWS, an absent property changes nothing.
        if "ServiceConnectConfiguration" in new and _discovered(old) != _discovered(new):
            deregister(arn)
            register(arn, new)
        return updated

    def delete_and_deregister(arn: str, properties: Mapping[str, Any]) -> None:
        delete(arn, properties)
        deregister(arn)

    handlers.update(create=create_and_register, update=update_and_register, delete=delete_and_deregister)


def _discovered(properties: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Namespace and discovery name of each port of an ECS service that others are to find."""
    connect = properties.get("ServiceConnectConfiguration", {})
    if str(connect.get("Enabled")).lower() != "true":
        return []
    namespace = connect["Namespace"].rsplit("/", 1)[-1]
    return [(namespace, row.get("DiscoveryName", row["PortName"])) for row in connect.get("Services", ())]


def discovered_services_are_listed_by_page() -> None:
    """ListServices knows no filter and no page. Cloud Map filters a page that it has read: some are empty."""
    cloud_map, responses = module("services.servicediscovery"), module("core.responses")

    def list_services(request: Mapping[str, Any]) -> Any:
        services, start = list(cloud_map._services.values()), int(request.get("NextToken", 0))
        end = start + _DISCOVERED_PAGE
        (condition,) = request["Filters"]
        assert (condition["Name"], condition["Condition"]) == ("NAMESPACE_ID", "EQ")
        page = [each for each in services[start:end] if [each["NamespaceId"]] == condition["Values"]]
        more = {"NextToken": str(end)} if end < len(services) else {}
        return responses.json_response({"Services": page, **more})

    cloud_map._list_services = list_services


def http_apis_are_known_by_their_names(settings: Settings) -> None:
    """An HTTP API answers to a name of the emulator's only, and not to the one that users are given."""
    host = rf"execute-api\.{re.escape(settings.region)}\.amazonaws\.com"
    module("app")._EXECUTE_API_RE = re.compile(rf"^([a-f0-9]{{8}})\.{host}$")


def private_integrations_reach_registered_tasks() -> None:
    """No VPC link leads anywhere: go straight to the first address that Cloud Map has of the service."""
    apigateway, cloud_map = module("services.apigateway"), module("services.servicediscovery")
    original = apigateway._invoke_http_proxy

    async def invoke(integration: Mapping[str, Any], *request: Any) -> Any:
        (service,) = [
            each for each in cloud_map._services.values() if each["Arn"] == integration["integrationUri"]
        ]
        for instance in cloud_map._instances.get(service["Id"], {}).values():
            place = instance["Attributes"]
            uri = f"http://{place['AWS_INSTANCE_IPV4']}:{place['AWS_INSTANCE_PORT']}"
            return await original({**integration, "integrationUri": uri}, *request)
        return 503, {"Content-Type": "application/json"}, b'{"message": "Service Unavailable"}'

    apigateway._invoke_http_proxy = invoke


def mapped_values_are_known() -> None:
    """Parameter mappings know neither the caller's address nor the name and path that were asked for."""
    apigateway = module("services.apigateway")
    original = apigateway._apply_request_parameter_mappings

    def apply(integration: Any, *, context_vars: Mapping[str, Any], **request: Any) -> Any:
        known = {
            "identity.sourceIp": "127.0.0.1",
            "domainName": request["request_headers"]["host"],
            "request.path": request["request_path"],
        }
        return original(integration, context_vars={**context_vars, **known}, **request)

    apigateway._apply_request_parameter_mappings = apply


def authorizers_are_recorded(journal: Journal) -> None:
    """Not a defect: write down what an authorizer was asked and what it answered."""
    apigateway = module("services.apigateway")
    original = apigateway._invoke_request_authorizer_lambda

    async def invoke(authorizer: Any, event: Any, *scope: str) -> Any:
        answer = await original(authorizer, event, *scope)
        journal.write("authorizer", event=event, answer=answer)
        return answer

    apigateway._invoke_request_authorizer_lambda = invoke


def authorizer_caches_can_be_reset() -> None:
    """ResetAuthorizersCache is taken for DeleteStage."""
    apigateway = module("services.apigateway")
    original, cache = apigateway.handle_request, apigateway._authorizer_cache

    async def handle(method: str, path: str, *rest: Any) -> Any:
        if not path.endswith("/cache/authorizers"):
            return await original(method, path, *rest)
        api = path.split("/")[3]
        for key in [key for key in cache if key[2] == api]:
            del cache[key]
        return 204, {}, b""

    apigateway.handle_request = handle
