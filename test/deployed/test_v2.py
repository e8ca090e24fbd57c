"""v2 deployed, updated and destroyed by the real CDK command line, on an emulator of AWS.

Beside what ``test_v1`` lists: the resolver really runs and finds what ECS registers, page by page and with
the permissions of its role; the HTTP API picks the routes; and the authorizer's code really runs for requests
from 127.0.0.1, which are denied (403) with the example's list and come through once the list holds that
address. Its payload format 2.0 and its simple response go through MiniStack as they are.

What a success does not prove:

- The VPC link is a checked record, see ``stubs.SHAPES``, and no private network lies behind it: a request
  that was let in goes straight from the emulator to the address that Cloud Map has of the service. The tests
  register their own servers there, for ECS runs nothing and registers no task; before that it is a 503.
- That ECS registers a Cloud Map service for each discovery name, and that it takes it away with its own
  service, is what ``http_api_repairs.service_connect_registers`` does.
- MiniStack does not run the authorizer's Python version, but its own.
- Quotas, throttling, access logs, timeouts, TLS and the size of bodies are not modelled.

The stages build on one another: each fixture takes the deployment one step further and keeps what it saw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from deployed.discovery import discovered, start_tasks
from deployed.stages import (
    CLUSTER,
    ROWS,
    Stage,
    State,
    assert_custom_resources_answered,
    assert_data_stayed,
    assert_nothing_changed,
    assert_only_what_must_stay_was_skipped,
    assert_what_costs_money_is_gone,
    containers,
    leave_traces,
    succeed,
    unprotect,
)
from deployed.targets import Answer, ask
from deployed.world import World
from dify_cdk.dify.components import Component
from paths import LEADS_TO, NEVER_AT_API_OR_DAEMON
from support import Template

pytestmark = pytest.mark.slow

VARIANT = "v2"
DISCOVERY_NAMES = {
    "api-httpapi": Component.API,
    "web-httpapi": Component.WEB,
    "daemon-http": Component.PLUGIN_DAEMON,
}
EXAMPLE_LIST, LOOPBACK_LIST = "203.0.113.0/24", "127.0.0.1/32"
EMULATORS_OWN_PATH = "/health"  # answered by the emulator itself, whatever the host
PRETENDED = {"CF-Connecting-IP": "203.0.113.9", "X-Forwarded-For": "203.0.113.9"}
LINK_FIELDS = ("ConnectionType", "ConnectionId", "TimeoutInMillis")


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdicts:
    """What requests got, and what the authorizer was asked for them.

    Attributes:
        answers: The answers, in order.
        calls: Event and answer of each run of the authorizer.
    """

    answers: list[Answer]
    calls: list[dict[str, Any]]


def request(world: World, path: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Get a path of the URL that the stack tells its owner."""
    host = world.cdk.outputs()["Url"].removeprefix("https://")
    return ask(world.emulator.port, host, path, headers)


def judge(world: World, *headers: Mapping[str, str]) -> Verdicts:
    """Ask for the console once with each of the headers."""
    seen = len(world.emulator.journal("authorizer"))
    answers = [request(world, "/console/api/setup", each) for each in headers]
    return Verdicts(answers=answers, calls=world.emulator.journal("authorizer")[seen:])


def api_of(world: World) -> str:
    """Id of the HTTP API."""
    (api,) = world.client("apigatewayv2").get_apis()["Items"]
    return str(api["ApiId"])


def add_namesakes(world: World) -> None:
    """Another namespace of the account, where the same names are taken."""
    cloud_map = world.client("servicediscovery")
    cloud_map.create_http_namespace(Name="other")
    (namespace,) = cloud_map.list_namespaces()["Namespaces"]
    for name in DISCOVERY_NAMES:
        cloud_map.create_service(Name=name, NamespaceId=namespace["Id"])


# ---- stages


@pytest.fixture(scope="module")
def deployed(world: World) -> World:
    add_namesakes(world)
    world.cdk.must(world.cdk.deploy())
    leave_traces(world)
    return world


@pytest.fixture(scope="module")
def denied(deployed: World) -> Verdicts:
    """Requests with the example's list; two of them pretend to come from an address on it."""
    return judge(deployed, PRETENDED, {}, PRETENDED)


@pytest.fixture(scope="module")
def repeated(deployed: World, denied: Verdicts) -> Stage:
    return succeed(deployed)


@pytest.fixture(scope="module")
def widened(deployed: World, repeated: Stage) -> Stage:
    """The same with the address that the tests come from on the list."""
    return succeed(deployed, allowed=LOOPBACK_LIST)


@pytest.fixture(scope="module")
def remembered(deployed: World, widened: Stage) -> Verdicts:
    """Requests whose verdict is cached from before."""
    return judge(deployed, {})


@pytest.fixture(scope="module")
def admitted(deployed: World, remembered: Verdicts) -> Verdicts:
    """Requests after the cache of verdicts was emptied."""
    deployed.client("apigatewayv2").reset_authorizers_cache(ApiId=api_of(deployed), StageName="$default")
    return judge(deployed, {}, {})


@pytest.fixture(scope="module")
def frontend(deployed: World, admitted: Verdicts) -> Iterator[Callable[[str], Answer]]:
    """Asks the HTTP API for a path, with a test server registered for every role behind it."""
    with start_tasks(deployed, DISCOVERY_NAMES):
        yield lambda path: request(deployed, path, PRETENDED)


@pytest.fixture(scope="module")
def destroyed(deployed: World, widened: Stage, admitted: Verdicts) -> State:
    """What was there before everything was destroyed."""
    unprotect(deployed, widened.after.ids[CLUSTER])
    deployed.cdk.must(deployed.cdk.destroy())
    return widened.after


# ---- the first deployment


def test_every_custom_resource_was_invoked_and_answered(deployed: World) -> None:
    assert_custom_resources_answered(deployed)


def test_the_resolver_found_what_ecs_registered(deployed: World) -> None:
    template, found = Template(deployed.cdk.template()), discovered(deployed, DISCOVERY_NAMES)
    names = {
        id: row["DiscoveryName"] for id, row in template.properties("Custom::DifyServiceDiscovery").items()
    }
    assert sorted(names.values()) == sorted(found) == sorted(DISCOVERY_NAMES)
    answers = {
        row["logical_id"]: row["data"]
        for row in deployed.emulator.journal("custom_resource")
        if row["type"] == "Custom::DifyServiceDiscovery"
    }
    assert answers == {id: {"ServiceArn": found[name]} for id, name in names.items()}


def test_the_integrations_end_where_the_resolver_says(deployed: World) -> None:
    client = deployed.client("apigatewayv2")
    integrations = client.get_integrations(ApiId=api_of(deployed))["Items"]
    uris = [row["IntegrationUri"] for row in integrations]
    assert sorted(uris) == sorted(discovered(deployed, DISCOVERY_NAMES).values())
    (link,) = Template(deployed.cdk.template()).of_type("AWS::ApiGatewayV2::VpcLink")
    expected = ("VPC_LINK", deployed.cdk.physical_ids()[link], 30_000)
    assert {tuple(row[field] for field in LINK_FIELDS) for row in integrations} == {expected}


def test_dify_is_told_the_url_that_its_owner_is_told(deployed: World) -> None:
    url = deployed.cdk.outputs()["Url"]
    assert url == f"https://{api_of(deployed)}.execute-api.ap-northeast-1.amazonaws.com"
    found = containers(deployed)
    for role in (Component.API, Component.WORKER):
        environment = {row["name"]: row["value"] for row in found[role]["environment"]}
        assert {environment["CONSOLE_WEB_URL"], environment["APP_WEB_URL"]} == {url}, role


# ---- who may enter


def test_who_is_not_on_the_list_is_denied(denied: Verdicts) -> None:
    assert [answer.status for answer in denied.answers] == [403, 403, 403]


def test_the_authorizer_answers_once_per_address(denied: Verdicts) -> None:
    (call,) = denied.calls
    assert call["answer"] == {"isAuthorized": False}
    event = call["event"]
    assert (event["version"], event["type"]) == ("2.0", "REQUEST")
    assert event["identitySource"] == [event["requestContext"]["http"]["sourceIp"]] == ["127.0.0.1"]


def test_the_authorizer_knows_the_list_and_the_networks_own_address(deployed: World) -> None:
    template, ids = Template(deployed.cdk.template()), deployed.cdk.physical_ids()
    (address,) = template.of_type("AWS::EC2::EIP")
    functions = deployed.client("lambda").list_functions()["Functions"]
    variables = [row.get("Environment", {}).get("Variables", {}) for row in functions]
    (own,) = [each for each in variables if "ALLOWED_IPV4" in each]
    assert own["ALLOWED_IPV4"] == f"{EXAMPLE_LIST},{ids[address]}/32"


def test_another_list_changes_nothing_but_the_authorizer(widened: Stage) -> None:
    assert widened.changed == ["AWS::Lambda::Function"]
    assert widened.after == widened.before
    assert (widened.migrations, widened.answers) == ([], [])


def test_a_verdict_is_kept_for_a_while(remembered: Verdicts) -> None:
    assert ([answer.status for answer in remembered.answers], remembered.calls) == ([403], [])


def test_who_is_on_the_list_is_let_in(admitted: Verdicts) -> None:
    (call,) = admitted.calls
    assert call["answer"] == {"isAuthorized": True}
    # Nothing is registered as a task yet: the integration was asked and has nowhere to go.
    assert [answer.status for answer in admitted.answers] == [503, 503]


# ---- where a request goes


@pytest.mark.parametrize(("path", "role"), LEADS_TO.items())
def test_a_request_reaches_its_role(frontend: Callable[[str], Answer], path: str, role: str) -> None:
    answer = frontend(path)
    assert (answer.status, answer.role, answer.path) == (200, role, path)


@pytest.mark.parametrize("path", [path for path in NEVER_AT_API_OR_DAEMON if path != EMULATORS_OWN_PATH])
def test_a_private_path_reaches_web_only(frontend: Callable[[str], Answer], path: str) -> None:
    assert frontend(path).role == Component.WEB


@pytest.mark.parametrize("path", ["/", "/v1/chat-messages", "/e/hook"])
def test_dify_learns_the_address_that_a_request_really_came_from(
    frontend: Callable[[str], Answer], path: str
) -> None:
    assert frontend(path).headers["cf-connecting-ip"] == "127.0.0.1"


def test_the_plugin_daemon_learns_the_url_of_a_hook(
    deployed: World, frontend: Callable[[str], Answer]
) -> None:
    url = deployed.cdk.outputs()["Url"]
    assert frontend("/e/hook/any").headers["dify-hook-url"] == f"{url}/e/hook/any"
    assert "dify-hook-url" not in frontend("/v1/chat-messages").headers


# ---- updates and the end


def test_a_second_deployment_changes_nothing(repeated: Stage) -> None:
    assert_nothing_changed(repeated)
    assert repeated.after.rows == ROWS


def test_destroy_deletes_all_but_what_must_stay(deployed: World, destroyed: State) -> None:
    assert_only_what_must_stay_was_skipped(deployed, buckets=1)


def test_what_must_stay_is_there(deployed: World, destroyed: State) -> None:
    assert_data_stayed(deployed, destroyed)


def test_what_costs_money_is_gone(deployed: World, destroyed: State) -> None:
    assert_what_costs_money_is_gone(deployed)


def test_nothing_is_left_in_cloud_map_but_the_namesakes(deployed: World, destroyed: State) -> None:
    cloud_map = deployed.client("servicediscovery")
    (namespace,) = cloud_map.list_namespaces()["Namespaces"]
    assert namespace["Name"] == "other"


def test_no_role_ever_lacked_a_permission(deployed: World, destroyed: State) -> None:
    assert deployed.emulator.journal("refusal") == []
