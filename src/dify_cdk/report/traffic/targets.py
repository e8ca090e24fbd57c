"""The last hop: containers and Lambda functions, and what their settings say about requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from dify_cdk.report.templates.template import Resource, Template, integer, items, mapping
from dify_cdk.report.traffic.containers import SERVICE, container_definitions, task_definition_of
from dify_cdk.report.traffic.facts import fact
from dify_cdk.report.traffic.hops import (
    UNLIMITED,
    Claim,
    End,
    Ends,
    Kind,
    Way,
    after,
    claim,
    known,
    to_unknown,
)

FUNCTION = "AWS::Lambda::Function"
FUNCTION_URL = "AWS::Lambda::Url"
ALIAS = "AWS::Lambda::Alias"
VERSION = "AWS::Lambda::Version"
INVOCABLE = (FUNCTION, ALIAS, VERSION)
LISTENER = "AWS::ElasticLoadBalancingV2::Listener"
VPC_ORIGIN = "AWS::CloudFront::VpcOrigin"
_BUCKET = "AWS::S3::Bucket"
_PARAMETER = "AWS::SSM::Parameter"
_INSTANCES = ("AWS::AutoScaling::AutoScalingGroup", "AWS::EC2::Instance")
_WORKER_CLASS, _WORKER_TIMEOUT = "SERVER_WORKER_CLASS", "GUNICORN_TIMEOUT"

_REFERS_ON = MappingProxyType(
    {
        VPC_ORIGIN: ("VpcOriginEndpointConfig",),
        LISTENER: ("LoadBalancerArn",),
        ALIAS: ("FunctionName", "FunctionVersion"),
        FUNCTION_URL: ("TargetFunctionArn",),
        VERSION: ("FunctionName",),
        _PARAMETER: ("Value",),
    }
)
"""Types that only stand for another resource, and the properties that may name it."""
_MAX_REFERENCES = 5  # a version of an alias of ...: a circle must end


def end_of(view: Template, value: object, *types: str) -> Resource | None:
    """The resource that a value leads to, through versions, aliases, URLs, listeners and parameters.

    Args:
        view: The template.
        value: The value.
        types: Types of what the value itself may refer to; default: any.
    """
    found = view.find(value, *types)
    for _ in range(_MAX_REFERENCES):
        following = _referred(view, found) if found else None
        if following is None or following is found:
            break
        found = following
    return found


def _referred(view: Template, resource: Resource) -> Resource | None:
    if "ParameterName" in resource.properties:  # how a stack reads an edge function of another region
        name = view.text(resource.properties["ParameterName"])
        parameters = view.of_type(_PARAMETER)
        return next((one for one in parameters if view.text(one.properties.get("Name")) == name), None)
    keys = _REFERS_ON.get(resource.type, ())
    return next(filter(None, (view.find(resource.properties.get(key)) for key in keys)), None)


def function_of(view: Template, value: object) -> Resource | None:
    """The function that a value refers to, also by one of its versions or aliases."""
    found = end_of(view, value, *INVOCABLE)
    return found if found is not None and found.type == FUNCTION else None


def arrive(view: Template, resource: Resource, name: str | None) -> Iterator[Way]:
    """The way into a resource that is no entry point of its own.

    Args:
        view: The template.
        resource: What receives the request.
        name: The container, if it is a service.
    """
    if resource.type == FUNCTION_URL:
        yield from _function_url(view, resource)
    elif resource.type in INVOCABLE:
        yield from _function(view, resource)
    elif resource.type == SERVICE:
        yield _container(view, resource, name or resource.id)
    elif resource.type in (*_INSTANCES, _BUCKET):
        kind = Ends.BUCKET if resource.type == _BUCKET else Ends.INSTANCES
        end = End(kind=kind, name=resource.id, resource=resource)
        yield Way(claims=(), end=end, passed=(resource,))
    else:
        yield to_unknown(resource.id)


def _function_url(view: Template, url: Resource) -> Iterator[Way]:
    streams = view.text(url.properties.get("InvokeMode")) == "RESPONSE_STREAM"
    mode = "RESPONSE_STREAM" if streams else "BUFFERED"
    claims = (
        claim(Kind.STREAMING, streams, f"invoke mode {mode} of function URL {url.id}", "lambda.streaming"),
        known(Kind.LARGEST, "lambda.payload", f"payload of a call through function URL {url.id}"),
        known(Kind.WEBSOCKET, "lambda.websocket", f"function URL {url.id}"),
    )
    reference = url.properties.get("TargetFunctionArn")
    qualifier = url.properties.get("Qualifier")
    found = None if qualifier is None else _alias(view, reference, view.text(qualifier))
    found = found or view.find(reference, *INVOCABLE)
    ways = (to_unknown(view.text(reference)),) if found is None else _function(view, found)
    return after(ways, claims=claims, passed=(url,))


def _alias(view: Template, reference: object, name: str) -> Resource | None:
    """The alias of this name that a function has."""
    owner = view.find(reference, FUNCTION)
    owned = view.naming(owner, "FunctionName", ALIAS) if owner else ()
    return next((alias for alias in owned if view.text(alias.properties.get("Name")) == name), None)


def _function(view: Template, found: Resource) -> Iterator[Way]:
    """The way into a function, by itself, an alias or a version."""
    function = function_of(view, {"Ref": found.id})
    if function is None:
        yield to_unknown(found.id)
        return
    given = function.properties.get("Timeout")
    seconds = fact("lambda.timeout").number if given is None else integer(given)
    hop = f"timeout of function {function.id}"
    variables = mapping(mapping(function.properties.get("Environment")).get("Variables"))
    alias = found if found.type == ALIAS else None
    yield Way(
        claims=(
            claim(Kind.TIMEOUT, seconds, hop, "lambda.timeout_most", total=True),
            *_worker_claims(view, variables, function.id),
        ),
        end=End(kind=Ends.FUNCTION, name=function.id, resource=function, variables=variables, alias=alias),
        passed=(function,),
    )


def _container(view: Template, service: Resource, name: str) -> Way:
    definitions = container_definitions(task_definition_of(view, service))
    definition = next((one for one in definitions if view.text(one.get("Name")) == name), {})
    variables = _variables_of(view, definition)
    return Way(
        claims=tuple(_worker_claims(view, variables, name)),
        end=End(kind=Ends.CONTAINER, name=name, resource=service, variables=variables),
        passed=(service,),
    )


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
