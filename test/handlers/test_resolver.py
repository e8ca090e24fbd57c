"""The resolver: with Cloud Map in memory, against the API's own model, and over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import boto3
import pytest
import resolver
from botocore.exceptions import EndpointConnectionError, ParamValidationError
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st
from resolver import Wanted, handle, pick
from shared import DeployError, Retry

from handlers.refusals import refusal

NAMESPACE = "ns-e4anhexample0004"
ACCOUNT = "arn:aws:servicediscovery:ap-northeast-1:111122223333"
NAME = "api-httpapi"
PROPERTIES = {
    "ServiceToken": "arn:token",
    "NamespaceId": NAMESPACE,
    "DiscoveryName": NAME,
    "Service": "arn:aws:ecs:ap-northeast-1:111122223333:service/dify/Dify-HttpApi-Service1",
}
REPLACED = {**PROPERTIES, "Service": f"{PROPERTIES['Service']}-New"}
FILTERS = [{"Name": "NAMESPACE_ID", "Values": [NAMESPACE], "Condition": "EQ"}]


def service(name: str, number: int = 1) -> dict[str, Any]:
    """A service as ListServices shows it."""
    identity = f"srv-{number:016d}"
    return {"Id": identity, "Arn": f"{ACCOUNT}:service/{identity}", "Name": name, "Type": "HTTP"}


OTHERS = [service("api", 90), service("web", 91), service("Api-HttpApi", 92), service("api-httpapi2", 93)]
OURS = service(NAME)


@dataclass
class FakeCloudMap:
    """boto3's ``servicediscovery`` client.

    Attributes:
        looks: What each listing finds: pages of services, or an exception after the first page.
        asked: Filters of each listing.
    """

    looks: list[Sequence[Sequence[dict[str, Any]]] | Exception]
    asked: list[object] = field(default_factory=list)

    def get_paginator(self, name: str) -> FakeCloudMap:
        assert name == "list_services"
        return self

    def paginate(self, *, Filters: object) -> Iterator[Mapping[str, Any]]:
        self.asked.append(Filters)
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(look, Exception):
            yield {"Services": [OTHERS[0]], "NextToken": "1"}
            raise look
        for page in look:
            yield {"Services": list(page)}


class Lambda:
    """A function that runs for ten minutes, most of which it sleeps."""

    def __init__(self) -> None:
        self.left = 600.0
        self.naps = 0

    def get_remaining_time_in_millis(self) -> int:
        return int(self.left * 1000)

    def sleep(self, seconds: float) -> None:
        self.left -= seconds
        self.naps += 1


@pytest.fixture
def function() -> Lambda:
    return Lambda()


def run(
    function: Lambda,
    *looks: Sequence[Sequence[dict[str, Any]]] | Exception,
    properties: Mapping[str, Any] = PROPERTIES,
    **event: Any,
) -> dict[str, Any]:
    """One request to a Cloud Map where each listing finds the next of ``looks``."""
    return handle(
        {"RequestType": "Create", "ResourceProperties": properties, **event},
        client=FakeCloudMap(list(looks)),  # type: ignore[arg-type]
        retry=Retry(function.get_remaining_time_in_millis, sleep=function.sleep),
    )


# ---- what it finds


def test_finds_the_service_on_any_page(function: Lambda) -> None:
    # GIVEN pages of which some are empty, as Cloud Map filters after reading
    answer = run(function, [[], OTHERS[:2], [], [*OTHERS[2:], OURS], []])
    # THEN the ARN is the resource's attribute, at once
    assert answer["Data"] == {"ServiceArn": OURS["Arn"]}
    assert function.naps == 0


def test_asks_for_the_one_namespace() -> None:
    cloud_map = FakeCloudMap([[[OURS]]])
    for namespace in (NAMESPACE, f"{ACCOUNT}:namespace/{NAMESPACE}"):
        event = {
            "RequestType": "Create",
            "ResourceProperties": {**PROPERTIES, "NamespaceId": namespace},
        }
        handle(event, client=cloud_map, retry=Retry(lambda: 0))  # type: ignore[arg-type]
    assert cloud_map.asked == [FILTERS, FILTERS]


@given(st.lists(st.sampled_from(["api", "API", "ap", "apis", "web", ""]), max_size=8))
def test_only_the_exact_name_counts(names: list[str]) -> None:
    services: list[Any] = [service(name, number) for number, name in enumerate(names)]
    wanted = Wanted(namespace=NAMESPACE, name="api", ecs_service="x")
    if names.count("api") > 1:
        with pytest.raises(DeployError, match=f"has {names.count('api')} services 'api'"):
            pick(services, wanted)
    else:
        expected = services[names.index("api")]["Arn"] if "api" in names else None
        assert pick(services, wanted) == expected


def test_fails_when_the_name_is_there_twice(function: Lambda) -> None:
    with pytest.raises(DeployError) as failure:
        run(function, [[OURS], [service(NAME, 2)]])
    assert OURS["Arn"] in str(failure.value)
    assert function.naps == 0


# ---- while ECS registers


def test_waits_until_ecs_has_registered_it(function: Lambda) -> None:
    answer = run(function, [[]], [OTHERS], [OTHERS, [OURS]])
    assert answer["Data"]["ServiceArn"] == OURS["Arn"]
    assert function.naps == 2


def test_fails_when_it_never_appears(function: Lambda) -> None:
    # GIVEN a namespace where only others are registered
    with pytest.raises(DeployError) as failure:
        run(function, [OTHERS])
    # THEN the reason says what was looked for, where, for whom, and what is there instead
    text = str(failure.value)
    assert text.startswith("gave up after")
    assert f"namespace {NAMESPACE} has no service '{NAME}'" in text
    assert PROPERTIES["Service"] in text
    assert "it has: Api-HttpApi, api, api-httpapi2, web" in text
    # AND it was tried for most of the time, with enough left to answer
    assert function.naps > 10
    assert Retry.RESERVE <= function.left < Retry.RESERVE + Retry.LONGEST


def test_fails_when_the_namespace_is_empty(function: Lambda) -> None:
    with pytest.raises(DeployError, match=r"it has: none$"):
        run(function, [[]])


@pytest.mark.parametrize(
    "passing",
    [
        refusal("ThrottlingException", "Rate exceeded"),
        refusal("RequestLimitExceeded"),
        refusal("InternalFailure", status=500),
        EndpointConnectionError(endpoint_url="https://servicediscovery"),
    ],
    ids=lambda error: getattr(error, "response", {}).get("Error", {}).get("Code", "connection"),
)
def test_asks_again_after_an_answer_that_passes(function: Lambda, passing: Exception) -> None:
    answer = run(function, passing, passing, [[OURS]])
    assert answer["Data"]["ServiceArn"] == OURS["Arn"]
    assert function.naps == 2


def test_fails_when_it_is_throttled_all_the_time(function: Lambda) -> None:
    with pytest.raises(DeployError, match=f"gave up after .*{NAMESPACE}.*{NAME}.*Rate exceeded"):
        run(function, refusal("ThrottlingException", "Rate exceeded"))


@pytest.mark.parametrize("code", ["InvalidInput", "UnrecognizedClientException"])
def test_fails_at_once_when_another_try_would_end_the_same_way(function: Lambda, code: str) -> None:
    with pytest.raises(DeployError, match=f"{NAMESPACE} to find '{NAME}': {code}: no"):
        run(function, refusal(code, "no"), [[OURS]])
    assert function.naps == 0


def test_a_policy_that_has_not_spread_yet_is_waited_for(function: Lambda) -> None:
    answer = run(function, refusal("AccessDeniedException", "no"), [[OURS]])
    assert answer["Data"]["ServiceArn"] == OURS["Arn"]
    assert function.naps == 1


def test_fails_when_the_policy_is_missing_for_good(function: Lambda) -> None:
    with pytest.raises(DeployError, match=f"{NAMESPACE} to find '{NAME}': AccessDeniedException: no"):
        run(function, refusal("AccessDeniedException", "no"))


def test_a_mistake_of_ours_is_not_retried(function: Lambda) -> None:
    with pytest.raises(ParamValidationError):
        run(function, ParamValidationError(report="x"), [[OURS]])
    assert function.naps == 0


@pytest.mark.parametrize("name", ["NamespaceId", "DiscoveryName", "Service"])
def test_fails_when_a_property_is_missing(function: Lambda, name: str) -> None:
    with pytest.raises(DeployError, match=f"lacks the properties {name}"):
        run(function, [[OURS]], properties={**PROPERTIES, name: ""})


# ---- the resource's life


def test_a_replaced_ecs_service_is_resolved_again(function: Lambda) -> None:
    # GIVEN a resource
    first = run(function, [[OURS]])
    # WHEN its ECS service is replaced, and ECS registers the new one under the same name
    new = service(NAME, 2)
    event = {"RequestType": "Update", "PhysicalResourceId": first["PhysicalResourceId"]}
    second = run(function, [OTHERS], [[new]], properties=REPLACED, **event)
    # THEN the attribute changes, and the resource stays the same one: no Delete follows
    assert second["Data"]["ServiceArn"] == new["Arn"] != first["Data"]["ServiceArn"]
    assert second["PhysicalResourceId"] == first["PhysicalResourceId"]


@pytest.mark.parametrize(("name", "value"), [("DiscoveryName", "web-httpapi"), ("NamespaceId", "ns-other")])
def test_another_place_is_another_resource(function: Lambda, name: str, value: str) -> None:
    both = [[OURS, service("web-httpapi", 2)]]
    one = run(function, both)
    other = run(function, both, properties={**PROPERTIES, name: value})
    assert one["PhysicalResourceId"] != other["PhysicalResourceId"]


def test_delete_does_nothing(function: Lambda) -> None:
    # GIVEN properties that nothing could be done with, and an API that refuses
    event = {"RequestType": "Delete", "PhysicalResourceId": "AWSCDK::CREATE_FAILED"}
    answer = run(function, refusal("AccessDeniedException"), properties={}, **event)
    # THEN CloudFormation may go on
    assert answer == {"PhysicalResourceId": "AWSCDK::CREATE_FAILED"}


# ---- the API


def test_the_calls_and_answers_fit_the_api_model(function: Lambda) -> None:
    client: Any = boto3.client(
        "servicediscovery", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    with Stubber(client) as stub:
        pages: list[dict[str, Any]] = [{"Services": OTHERS, "NextToken": "2"}, {"Services": [OURS]}]
        stub.add_response("list_services", pages[0], {"Filters": FILTERS})
        stub.add_response("list_services", pages[1], {"Filters": FILTERS, "NextToken": "2"})
        answer = handle(
            {"RequestType": "Create", "ResourceProperties": PROPERTIES},
            client=client,
            retry=Retry(function.get_remaining_time_in_millis, sleep=function.sleep),
        )
        stub.assert_no_pending_responses()
    assert answer["Data"]["ServiceArn"] == OURS["Arn"]


class CloudMapOverHttp(BaseHTTPRequestHandler):
    """The API's wire form: one service on the second page."""

    requests: list[tuple[str, dict[str, Any]]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.append((self.headers["X-Amz-Target"], body))
        first = "NextToken" not in body
        answer = {"Services": OTHERS, "NextToken": "2"} if first else {"Services": [OURS]}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Cloud Map on this machine as the SDK finds it; the requests it gets."""
    CloudMapOverHttp.requests = []
    with HTTPServer(("127.0.0.1", 0), CloudMapOverHttp) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_SERVICEDISCOVERY", url)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(name, "eu-west-1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        try:
            yield CloudMapOverHttp.requests
        finally:
            server.shutdown()
            thread.join()


def test_the_function_as_lambda_calls_it(
    endpoint: list[tuple[str, dict[str, Any]]], function: Lambda
) -> None:
    event = {"RequestType": "Create", "RequestId": "r", "ResourceProperties": PROPERTIES}
    answer = resolver.on_event(event, function)
    assert answer == {
        "PhysicalResourceId": f"dify-resolver/{NAMESPACE}/{NAME}",
        "Data": {"ServiceArn": OURS["Arn"]},
    }
    target = "Route53AutoNaming_v20170314.ListServices"
    assert endpoint == [(target, {"Filters": FILTERS}), (target, {"Filters": FILTERS, "NextToken": "2"})]
