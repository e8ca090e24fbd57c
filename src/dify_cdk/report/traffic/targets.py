"""The last hop: containers and Lambda functions, and what their settings say about requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dify_cdk.report.templates.template import Resource, Template, integer, items, mapping
from dify_cdk.report.traffic.facts import fact
from dify_cdk.report.traffic.hops import (
    UNLIMITED,
    Claim,
    End,
    Ends,
    Kind,
    Way,
    after,
    by_id,
    claim,
    known,
    to_unknown,
)
from dify_cdk.report.traffic.listeners import Receiver

FUNCTION = "AWS::Lambda::Function"
FUNCTION_URL = "AWS::Lambda::Url"
_ALIAS = "AWS::Lambda::Alias"
_VERSION = "AWS::Lambda::Version"
_SERVICE = "AWS::ECS::Service"
_TASK_DEFINITION = "AWS::ECS::TaskDefinition"
_INSTANCES = ("AWS::AutoScaling::AutoScalingGroup", "AWS::EC2::Instance")
_WORKER_CLASS, _WORKER_TIMEOUT = "SERVER_WORKER_CLASS", "GUNICORN_TIMEOUT"


def function_url(view: Template, url: Resource) -> Iterator[Way]:
    """The way through a function URL."""
    streams = view.text(url.properties.get("InvokeMode")) == "RESPONSE_STREAM"
    mode = "RESPONSE_STREAM" if streams else "BUFFERED"
    claims = (
        claim(Kind.STREAMING, streams, f"invoke mode {mode} of function URL {url.id}", "lambda.streaming"),
        known(Kind.LARGEST, "lambda.payload", f"payload of a call through function URL {url.id}"),
        known(Kind.WEBSOCKET, "lambda.websocket", f"function URL {url.id}"),
    )
    reference = url.properties.get("TargetFunctionArn")
    qualifier = url.properties.get("Qualifier")
    alias = None if qualifier is None else _alias(view, reference, view.text(qualifier))
    return after(claims, function(view, {"Ref": alias.id} if alias else reference))


def _alias(view: Template, reference: object, name: str) -> Resource | None:
    """The alias of this name that a function has."""
    owner = view.find(reference, FUNCTION)
    named = (alias for alias in view.of_type(_ALIAS) if view.text(alias.properties.get("Name")) == name)
    owned = (alias for alias in named if view.find(alias.properties.get("FunctionName"), FUNCTION) is owner)
    return None if owner is None else next(owned, None)


def function(view: Template, reference: object) -> Iterator[Way]:
    """The way into a function, which may be referred to by an alias or a version."""
    found = view.find(reference, FUNCTION, _ALIAS, _VERSION)
    alias = found if found is not None and found.type == _ALIAS else None
    if found is not None and found.type != FUNCTION:
        found = view.find(found.properties.get("FunctionName"), FUNCTION)
    if found is None:
        yield to_unknown(view.text(reference))
        return
    given = found.properties.get("Timeout")
    seconds = fact("lambda.timeout").number if given is None else integer(given)
    hop = f"timeout of function {found.id}"
    variables = mapping(mapping(found.properties.get("Environment")).get("Variables"))
    yield Way(
        claims=(
            claim(Kind.TIMEOUT, seconds, hop, "lambda.timeout_most", total=True),
            *_worker_claims(view, variables, found.id),
        ),
        end=End(kind=Ends.FUNCTION, name=found.id, resource=found, variables=variables, alias=alias),
    )


def receiver(view: Template, found: Receiver) -> Iterator[Way]:
    """The way into what receives the requests of a target group or of a Cloud Map service."""
    resource = by_id(view, found.resource) if found.resource else None
    if resource is None:
        yield to_unknown(found.name or "")
    elif resource.type == _SERVICE:
        yield container(view, resource, found)
    elif resource.type in (FUNCTION, _ALIAS, _VERSION):
        yield from function(view, {"Ref": resource.id})
    elif resource.type in _INSTANCES:
        yield Way(claims=(), end=End(kind=Ends.INSTANCES, name=resource.id, resource=resource))
    else:
        yield to_unknown(resource.id)


def container(view: Template, service: Resource, found: Receiver) -> Way:
    """The way into a container of an ECS service."""
    task = view.find(service.properties.get("TaskDefinition"), _TASK_DEFINITION)
    definitions = map(mapping, items(task.properties.get("ContainerDefinitions")) if task else ())
    definition = next((one for one in definitions if view.text(one.get("Name")) == found.name), {})
    name = found.name or service.id
    variables = _variables_of(view, definition)
    return Way(
        claims=tuple(_worker_claims(view, variables, name)),
        end=End(kind=Ends.CONTAINER, name=name, resource=service, variables=variables),
    )


def proxy_claims(service: Resource, port_name: str) -> Iterator[Claim]:
    """What the proxy of ECS Service Connect says, for a way that goes through it."""
    connect = mapping(service.properties.get("ServiceConnectConfiguration"))
    for entry in map(mapping, items(connect.get("Services"))):
        if entry.get("PortName") != port_name:
            continue
        given = mapping(entry.get("Timeout")).get("PerRequestTimeoutSeconds")
        default = fact("service_connect.request_timeout").number
        seconds = default if given is None else integer(given)
        hop = f"request timeout of Service Connect in service {service.id}"
        value = UNLIMITED if seconds == 0 else seconds
        yield claim(Kind.TIMEOUT, value, hop, "service_connect.request_timeout", total=True)


def _variables_of(view: Template, definition: Mapping[str, object]) -> Mapping[str, object]:
    rows = map(mapping, items(definition.get("Environment")))
    return {view.text(row.get("Name")): row.get("Value") for row in rows}


def _worker_claims(view: Template, variables: Mapping[str, object], name: str) -> Iterator[Claim]:
    """Gunicorn's timeout, which ends requests with synchronous workers only."""
    if view.text(variables.get(_WORKER_CLASS)) == "sync" and _WORKER_TIMEOUT in variables:
        seconds = integer(variables[_WORKER_TIMEOUT])
        value = UNLIMITED if seconds == 0 else seconds
        hop = f"{_WORKER_TIMEOUT} of {name}, whose workers are sync"
        yield claim(Kind.TIMEOUT, value, hop, "gunicorn.timeout", total=True)
