"""v3 deployed, updated and destroyed by the real CDK command line, on an emulator of AWS.

Beside what ``test_v1`` and ``test_v2`` list: two stacks in two regions, the second with the function at the
edge, and the custom resource that carries its ARN over; CloudFront's behaviors pick the origin, and for every
request its function's code really runs, the code of the function at the edge where a signed origin follows,
and the authorizer's code before the HTTP API that takes uploads.

What stands for something else:

- Docker: ``docker`` keeps the folder that an image would be built from. What Dify's images hold, and whether
  they can be built, nobody asks.
- The image functions: ``image_function`` runs the image's own entry script, which fetches secrets and public
  URL with the permissions of the function's role, and ``env`` where the script would become Dify. Lambda Web
  Adapter's part is played as well; the answer is what Dify would have been asked and told.
- What lies between CloudFront and its origins: ``edge_repairs`` runs the function at the edge, asks a
  function URL only if the function's policy lets this distribution in and the hash of the body is right, and
  leads to the emulator's HTTP API.

What a success does not prove:

- That CloudFront's own signature and its rules for headers and bodies are as ``edge_repairs`` has them;
  streaming, cold starts, timeouts and caching are not modelled.
- That the functions reach database and cache: they are in no network here.
- On AWS a function at the edge can be deleted only hours after its last distribution; here it goes at once.

The stages build on one another: each fixture takes the deployment one step further and keeps what it saw.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from deployed.discovery import start_tasks
from deployed.docker import IMAGE_FILE, folder_of
from deployed.emulator import EDGE_REGION, REGION
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
from deployed.targets import MEBIBYTE, PRETENDED, TLS, Answer, ask
from deployed.world import World
from dify_cdk.dify.components import Component
from dify_cdk.dify.environment import secret_variables
from dockerfiles import DOCKER
from paths import CARRIES_FILES, LEADS_TO, NEVER_AT_API_OR_DAEMON

pytestmark = pytest.mark.slow

VARIANT = "v3"
REGIONS = (REGION, EDGE_REGION)
OTHER_TAG = "1.17.0"
API, WEB = "langgenius/dify-api:1.17.1", "langgenius/dify-web:1.17.1"
"""What answers in a function: the image that Dify would be in."""

PLATFORMS = {"arm64": "linux/arm64", "x86_64": "linux/amd64"}
DISCOVERY_NAMES = {"api-lambda": Component.API, "daemon-http": Component.PLUGIN_DAEMON}
LOOPBACK_LIST = "127.0.0.1/32"
EMULATORS_OWN_PATH = "/health"  # answered by the emulator itself, whatever the host
ONE_OF_EACH = ("/", "/console/api/setup", "/console/api/files/upload", "/e/hook")

Frontend = Callable[..., Answer]


def request(world: World, path: str, headers: Mapping[str, str] = TLS, body: bytes | None = None) -> Answer:
    """Ask the URL that the stack tells its owner."""
    host = world.cdk.outputs()["Url"].removeprefix("https://")
    return ask(world.emulator.port, host, path, headers, body)


def origin_header(world: World) -> str:
    """The value with which CloudFront proves itself."""
    manager = world.client("secretsmanager")
    (arn,) = [
        row["ARN"] for row in manager.list_secrets()["SecretList"] if "CloudFront" in row["Description"]
    ]
    return str(manager.get_secret_value(SecretId=arn)["SecretString"])


def knock(world: World, headers: Mapping[str, str]) -> tuple[Answer, list[dict[str, Any]]]:
    """Ask the HTTP API behind CloudFront directly; what came back, and what its authorizer was asked."""
    seen = len(world.emulator.journal("authorizer"))
    (api,) = world.client("apigatewayv2").get_apis()["Items"]
    host = f"{api['ApiId']}.execute-api.{REGION}.amazonaws.com"
    answer = ask(world.emulator.port, host, "/files/upload/for-plugin", headers)
    return answer, world.emulator.journal("authorizer")[seen:]


def functions(world: World) -> dict[str, dict[str, Any]]:
    """Configuration of each image function, by its image's name."""
    found = {}
    for row in world.client("lambda").list_functions()["Functions"]:
        if row["PackageType"] == "Image":
            code = world.client("lambda").get_function(FunctionName=row["FunctionName"])["Code"]
            built = folder_of(world.emulator.images, code["ImageUri"]) / IMAGE_FILE
            found[json.loads(built.read_text(encoding="utf-8"))["arguments"]["IMAGE"]] = {**row, **code}
    return found


def pushed(world: World) -> int:
    """How many images there are in the registry."""
    ecr = world.client("ecr")
    names = [row["repositoryName"] for row in ecr.describe_repositories()["repositories"]]
    return sum(len(ecr.describe_images(repositoryName=name)["imageDetails"]) for name in names)


# ---- stages


@pytest.fixture(scope="module")
def deployed(world: World) -> World:
    world.cdk.must(world.cdk.deploy())
    leave_traces(world)
    return world


@pytest.fixture(scope="module")
def denied(deployed: World) -> list[Answer]:
    """Requests with the example's list, in pretence of an address on it."""
    return [request(deployed, path, PRETENDED) for path in ONE_OF_EACH]


@pytest.fixture(scope="module")
def repeated(deployed: World, denied: list[Answer]) -> Stage:
    return succeed(deployed)


@pytest.fixture(scope="module")
def widened(deployed: World, repeated: Stage) -> Stage:
    """The same with the address that the tests come from on the list."""
    return succeed(deployed, allowed=LOOPBACK_LIST)


@pytest.fixture(scope="module")
def frontend(deployed: World, widened: Stage) -> Iterator[Frontend]:
    """Asks CloudFront, with a test server registered for what is behind the HTTP API."""
    with start_tasks(deployed, DISCOVERY_NAMES):
        yield lambda *arguments: request(deployed, *arguments)


@pytest.fixture(scope="module")
def upgraded(deployed: World, frontend: Frontend) -> Stage:
    """Other images."""
    return succeed(deployed, allowed=LOOPBACK_LIST, image_tag=OTHER_TAG)


@pytest.fixture(scope="module")
def destroyed(deployed: World, upgraded: Stage) -> State:
    """What was there before everything was destroyed."""
    unprotect(deployed, upgraded.after.ids[CLUSTER])
    deployed.cdk.must(deployed.cdk.destroy())
    return upgraded.after


# ---- the first deployment


def test_every_custom_resource_was_invoked_and_answered(deployed: World) -> None:
    assert_custom_resources_answered(deployed)


def test_the_function_at_the_edge_is_in_the_region_of_the_edge(deployed: World) -> None:
    (signer,) = deployed.client("lambda", EDGE_REGION).list_functions()["Functions"]
    assert signer["Description"] == "Dify: hashes bodies for signed requests"
    here = deployed.client("lambda").list_functions()["Functions"]
    assert signer["Description"] not in {row["Description"] for row in here}


def test_the_distribution_has_the_version_that_the_other_stack_published(deployed: World) -> None:
    ssm = deployed.client("ssm", EDGE_REGION)
    (row,) = ssm.get_parameters_by_path(Path="/cdk/EdgeFunctionArn", Recursive=True)["Parameters"]
    (reader,) = [
        each["data"]
        for each in deployed.emulator.journal("custom_resource")
        if each["type"] == "Custom::CrossRegionStringParameterReader"
    ]
    assert reader == {"FunctionArn": row["Value"]}
    cloudfront = deployed.client("cloudfront")
    (distribution,) = cloudfront.list_distributions()["DistributionList"]["Items"]
    config = cloudfront.get_distribution_config(Id=distribution["Id"])["DistributionConfig"]
    behaviors = [config["DefaultCacheBehavior"], *config["CacheBehaviors"]["Items"]]
    found = [one for each in behaviors for one in each.get("LambdaFunctionAssociations", {}).get("Items", ())]
    assert {(one["LambdaFunctionARN"], one["EventType"], one["IncludeBody"]) for one in found} == {
        (row["Value"], "origin-request", True)
    }


def test_docker_was_asked_for_both_images_from_the_folders_of_the_package(deployed: World) -> None:
    for name, folder in ((API, "api_lambda"), (WEB, "web_lambda")):
        built = folder_of(deployed.emulator.images, functions(deployed)[name]["ImageUri"])
        asked = json.loads((built / IMAGE_FILE).read_text(encoding="utf-8"))
        (architecture,) = functions(deployed)[name]["Architectures"]
        assert asked == {"platform": PLATFORMS[architecture], "arguments": {"IMAGE": name}}
        shipped = {file.name: file.read_bytes() for file in (DOCKER / folder).iterdir() if file.is_file()}
        assert {
            file.name: file.read_bytes() for file in built.iterdir() if file.name != IMAGE_FILE
        } == shipped
    assert pushed(deployed) == 2


def test_no_function_has_a_secret_in_its_configuration(deployed: World) -> None:
    manager = deployed.client("secretsmanager")
    secrets = {
        manager.get_secret_value(SecretId=row["ARN"])["SecretString"]
        for row in manager.list_secrets(MaxResults=100)["SecretList"]
    }
    values = {value for text in secrets for value in _values(text)}
    assert len(values) > 8
    for row in deployed.client("lambda").list_functions()["Functions"]:
        shown = json.dumps(row)
        assert not [value for value in values if value in shown], row["FunctionName"]


def _values(secret: str) -> list[str]:
    """What of a secret nobody may see."""
    try:
        fields = json.loads(secret)
    except ValueError:
        return [secret]
    return [fields[name] for name in fields if "pass" in name] if isinstance(fields, dict) else [secret]


# ---- who may enter


def test_who_is_not_on_the_list_is_denied(deployed: World, denied: list[Answer]) -> None:
    assert [(answer.status, answer.body.get("code")) for answer in denied] == [(403, "forbidden")] * 4
    assert deployed.emulator.journal("edge_function") == deployed.emulator.journal("authorizer") == []


def test_another_list_changes_nothing_but_the_viewer_function(widened: Stage) -> None:
    assert widened.changed == ["AWS::CloudFront::Function"]
    assert widened.after == widened.before
    assert (widened.migrations, widened.answers) == ([], [])


@pytest.mark.parametrize("path", ONE_OF_EACH)
def test_nobody_enters_without_tls(frontend: Frontend, path: str) -> None:
    answer = frontend(path, {})
    assert (answer.status, answer.own["location"].split(".", 1)[1]) == (301, f"cloudfront.net{path}")


@pytest.mark.parametrize("name", [API, WEB])
def test_a_function_url_answers_nobody_but_cloudfront(deployed: World, frontend: Frontend, name: str) -> None:
    client = deployed.client("lambda")
    config = client.get_function_url_config(FunctionName=functions(deployed)[name]["FunctionName"])
    assert (config["AuthType"], config["InvokeMode"]) == ("AWS_IAM", "RESPONSE_STREAM")
    host = config["FunctionUrl"].removeprefix("https://").strip("/")
    assert ask(deployed.emulator.port, host, "/console/api/setup", TLS).status == 403


def test_the_http_api_does_not_ask_for_callers_without_the_header(
    deployed: World, frontend: Frontend
) -> None:
    answer, calls = knock(deployed, {})
    assert (answer.status, calls) == (401, [])


def test_the_http_api_refuses_a_wrong_header(deployed: World, frontend: Frontend) -> None:
    answer, (call,) = knock(deployed, {"x-dify-origin": "no such value"})
    assert (answer.status, call["answer"]) == (403, {"isAuthorized": False})


def test_the_http_api_lets_the_right_header_in(deployed: World, frontend: Frontend) -> None:
    value = origin_header(deployed)
    answer, _ = knock(deployed, {"x-dify-origin": value})
    assert (answer.status, answer.role) == (200, Component.API)
    verdicts = {
        row["event"]["identitySource"][0]: row["answer"] for row in deployed.emulator.journal("authorizer")
    }
    assert verdicts[value] == {"isAuthorized": True}


def test_cloudfront_replaces_a_header_that_a_viewer_made_up(deployed: World, frontend: Frontend) -> None:
    answer = frontend("/files/upload/for-plugin", {**TLS, "x-dify-origin": "made up"})
    assert (answer.status, answer.headers["x-dify-origin"]) == (200, origin_header(deployed))


# ---- where a request goes


@pytest.mark.parametrize(("path", "role"), LEADS_TO.items())
def test_a_request_reaches_its_role(frontend: Frontend, path: str, role: str) -> None:
    answer = frontend(path)
    expected = (
        role if path in CARRIES_FILES or role == Component.PLUGIN_DAEMON else {"api": API, "web": WEB}[role]
    )
    assert (answer.status, answer.role, answer.path) == (200, expected, path)


@pytest.mark.parametrize("path", CARRIES_FILES)
def test_files_and_hooks_pass_by_the_functions(frontend: Frontend, path: str) -> None:
    assert frontend(path).role == (Component.PLUGIN_DAEMON if path.startswith("/e/") else Component.API)


@pytest.mark.parametrize("path", [path for path in NEVER_AT_API_OR_DAEMON if path != EMULATORS_OWN_PATH])
def test_a_private_path_reaches_web_only(frontend: Frontend, path: str) -> None:
    assert frontend(path).role == WEB


@pytest.mark.parametrize("path", ["/?a=1&b=2", "/console/api/apps?page=1", "/e/hook?x=1"])
def test_the_query_arrives(frontend: Frontend, path: str) -> None:
    assert frontend(path).path == path


@pytest.mark.parametrize("path", ONE_OF_EACH)
def test_dify_learns_the_address_that_a_request_really_came_from(frontend: Frontend, path: str) -> None:
    assert frontend(path, PRETENDED).headers["cf-connecting-ip"] == "127.0.0.1"


def test_the_plugin_daemon_learns_the_url_of_a_hook(deployed: World, frontend: Frontend) -> None:
    url = deployed.cdk.outputs()["Url"]
    assert frontend("/e/hook/any?x=1", PRETENDED).headers["dify-hook-url"] == f"{url}/e/hook/any?x=1"
    assert "dify-hook-url" not in frontend("/console/api/setup", PRETENDED).headers


def test_hashed_files_come_without_the_function_at_the_edge(deployed: World, frontend: Frontend) -> None:
    seen = len(deployed.emulator.journal("edge_function"))
    assert frontend("/_next/static/chunks/1.js").role == WEB
    assert len(deployed.emulator.journal("edge_function")) == seen
    assert frontend("/_next/static/chunks/1.js", TLS, b"1").status == 403  # only read


# ---- bodies


@pytest.mark.parametrize("path", ONE_OF_EACH)
def test_a_body_arrives_whole(frontend: Frontend, path: str) -> None:
    answer = frontend(path, TLS, MEBIBYTE)
    assert (answer.status, answer.body["sha256"]) == (200, hashlib.sha256(MEBIBYTE).hexdigest())


@pytest.mark.parametrize("path", ["/", "/console/api/setup"])
def test_a_body_that_the_edge_cannot_hash_is_refused(frontend: Frontend, path: str) -> None:
    answer = frontend(path, TLS, MEBIBYTE + b"1")
    assert (answer.status, answer.body["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize("path", ["/console/api/files/upload", "/e/hook"])
def test_larger_bodies_arrive_where_files_go(frontend: Frontend, path: str) -> None:
    content = MEBIBYTE * 3
    answer = frontend(path, TLS, content)
    assert (answer.status, answer.body["sha256"]) == (200, hashlib.sha256(content).hexdigest())


def test_a_clients_own_credentials_survive_the_signature(frontend: Frontend) -> None:
    answer = frontend("/v1/chat-messages", {**TLS, "Authorization": "Bearer key"}, b"{}")
    assert answer.headers["authorization"] == "Bearer key"
    assert "x-dify-authorization" not in answer.headers


# ---- what the functions start with


def test_the_api_function_starts_with_the_secrets_that_it_is_told_of(
    deployed: World, frontend: Frontend
) -> None:
    started = frontend("/console/api/setup").body["environment"]
    configured = functions(deployed)[API]["Environment"]["Variables"]
    expected = secret_variables(Component.API)
    assert started.keys() >= expected.keys()
    assert not expected.keys() & configured.keys()
    manager = deployed.client("secretsmanager")
    (arn,) = [arn for arn in _secret_arns(configured) if "SecretKey" in arn]
    assert started["SECRET_KEY"] == manager.get_secret_value(SecretId=arn)["SecretString"]


def _secret_arns(variables: Mapping[str, str]) -> list[str]:
    return [row["arn"] for row in json.loads(variables["DIFY_CDK_SECRETS"])]


@pytest.mark.parametrize(
    ("path", "variables"),
    [
        ("/console/api/setup", ("CONSOLE_API_URL", "CONSOLE_WEB_URL", "APP_WEB_URL", "FILES_URL")),
        ("/", ("CONSOLE_API_URL", "APP_API_URL")),
    ],
)
def test_the_functions_learn_the_url_when_they_start(
    deployed: World, frontend: Frontend, path: str, variables: tuple[str, ...]
) -> None:
    started = frontend(path).body["environment"]
    assert {started[name] for name in variables} == {deployed.cdk.outputs()["Url"]}
    assert not [name for name in started if name.startswith("DIFY_CDK")]


def test_services_are_told_the_url_that_its_owner_is_told(deployed: World) -> None:
    url, found = deployed.cdk.outputs()["Url"], containers(deployed)
    for role in (Component.API, Component.WORKER):
        environment = {row["name"]: row["value"] for row in found[role]["environment"]}
        assert {environment["CONSOLE_WEB_URL"], environment["APP_WEB_URL"]} == {url}, role


# ---- updates and the end


def test_a_second_deployment_changes_nothing(repeated: Stage) -> None:
    assert_nothing_changed(repeated)
    assert repeated.outcome.output.count("(no changes)") == len(REGIONS)
    assert repeated.after.rows == ROWS


def test_another_image_is_pushed_and_runs_in_place(deployed: World, upgraded: Stage) -> None:
    assert pushed(deployed) == 4
    assert upgraded.after == upgraded.before
    assert len(upgraded.migrations) == 1
    api, web = (name.replace("1.17.1", OTHER_TAG) for name in (API, WEB))
    assert [request(deployed, path).role for path in ("/console/api/setup", "/")] == [api, web]
    assert upgraded.images[Component.API] == api


def test_another_image_leaves_the_frontend_as_it_is(upgraded: Stage) -> None:
    assert set(upgraded.changed) == {
        "AWS::ECS::TaskDefinition",
        "AWS::Lambda::Function",
        "Custom::DifyMigration",
    }


def test_destroy_deletes_all_but_what_must_stay(deployed: World, destroyed: State) -> None:
    assert_only_what_must_stay_was_skipped(deployed, buckets=2)


def test_what_must_stay_is_there(deployed: World, destroyed: State) -> None:
    assert_data_stayed(deployed, destroyed)


def test_what_costs_money_is_gone(deployed: World, destroyed: State) -> None:
    assert_what_costs_money_is_gone(deployed)


def test_nothing_is_left_at_the_edge(deployed: World, destroyed: State) -> None:
    names = [
        row["StackName"] for row in deployed.client("cloudformation", EDGE_REGION).describe_stacks()["Stacks"]
    ]
    assert names == ["CDKToolkit"]
    assert deployed.client("lambda", EDGE_REGION).list_functions()["Functions"] == []
    assert deployed.client("cloudfront").list_functions()["FunctionList"].get("Items", []) == []


def test_no_role_ever_lacked_a_permission(deployed: World, destroyed: State) -> None:
    assert deployed.emulator.journal("refusal") == []
