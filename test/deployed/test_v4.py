"""v4 deployed, updated, given a login and destroyed by the real CDK command line, on an emulator of AWS.

Beside what ``test_v1`` lists: requests go the whole way, CloudFront's behaviors, the code of its function for
every request, VPC origin, listener, rules, and a test server in the place of each role's tasks. Then the same
stack gets an own host name and a login, and loses both again: Amazon Cognito's user pool, its pages and its
tokens are MiniStack's, and somebody really signs in.

What stands for something else (``vpc_origin_repairs``):

- The VPC origin is MiniStack's own, with all that its API refuses. A request passes only if the distribution
  names it, the load balancer listens on its port with its protocol, the certificate is for the host name that
  was asked for, and a rule of the security group lets CloudFront in. There is no TLS and no network.
- The group's quota of 60 rules is counted when a rule is added, with CloudFront's list as 55.
- The load balancer's login is the emulator's OpenID Connect with the pool's endpoints, and its session cookie
  is not encrypted.
- The viewer's address is the one that the test connects from, on loopback; NAT gateways and scaling of
  services are checked records, see ``stubs.SHAPES``.

What a success does not prove: that caching, AWS WAF, countries, WebSocket, streaming and timeouts do what
they should, how long CloudFront takes for a change, and that AWS takes its own security group away with the
last VPC origin, before which the network cannot be deleted.

The stages build on one another: each fixture takes the deployment one step further and keeps what it saw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import pytest

from deployed.browser import Browser, Page
from deployed.cdk import Outcome
from deployed.emulator import REGION
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
from deployed.targets import MEBIBYTE, PRETENDED, TLS, Answer, ask, start_targets
from deployed.world import World
from dify_cdk.dify.components import Component
from dify_cdk.dify.routes import STATIC_PATTERN, RouteClass, routes_to
from paths import LEADS_TO, NEVER_AT_API_OR_DAEMON, route_of
from support import Template

pytestmark = pytest.mark.slow

VARIANT = "v4"
HOST = "dify.example.com"
INSIDE, OUTSIDE = "127.0.0.1", "127.0.0.2"
ONLY_INSIDE = f"{INSIDE}/32"
EMULATORS_OWN_PATH = "/health"  # answered by the emulator itself, whatever the host
BEHIND_THE_FRONTEND = {Component.API, Component.API_WEBSOCKET, Component.WEB, Component.PLUGIN_DAEMON}
PATHS = {
    **LEADS_TO,
    "/socket.io/?EIO=4&transport=polling": Component.API_WEBSOCKET,
    STATIC_PATTERN.replace("*", "chunks/1.js"): Component.WEB,
}
STATIC_PATH = next(path for path in PATHS if path.startswith(STATIC_PATTERN.removesuffix("*")))
ONE_OF_EACH = ("/", "/console/api/setup", "/e/hook", STATIC_PATH)
PERSON, PASSWORD = "someone@example.com", "Correct-Horse-9"
COOKIE = "AWSELBAuthSessionCookie-0"

Frontend = Callable[..., Answer]


def request(
    world: World, path: str, headers: Mapping[str, str] = TLS, body: bytes | None = None, **more: str
) -> Answer:
    """Ask the URL that the stack tells its owner."""
    host = more.pop("host", world.cdk.outputs()["Url"].removeprefix("https://"))
    return ask(world.emulator.port, host, path, headers, body, **more)


def own_name(world: World) -> str:
    """The distribution's name under which CloudFront made it."""
    (row,) = world.client("cloudfront").list_distributions()["DistributionList"]["Items"]
    return str(row["DomainName"])


def vpc_origins(world: World) -> dict[str, str]:
    """ARN of the load balancer to protocol of each VPC origin."""
    client = world.client("cloudfront")
    rows = client.list_vpc_origins()["VpcOriginList"].get("Items", [])
    configs = [client.get_vpc_origin(Id=row["Id"])["VpcOrigin"]["VpcOriginEndpointConfig"] for row in rows]
    return {config["Arn"]: config["OriginProtocolPolicy"] for config in configs}


def listeners(world: World) -> dict[int, str]:
    """Port to protocol of what the load balancer listens on."""
    client = world.client("elbv2")
    (balancer,) = client.describe_load_balancers()["LoadBalancers"]
    rows = client.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    return {row["Port"]: row["Protocol"] for row in rows}


def class_of(path: str) -> RouteClass:
    """How a login treats a path; hashed files are open, for they are cached."""
    if path == STATIC_PATH:
        return RouteClass.OPEN
    return route_of(path, BEHIND_THE_FRONTEND).route_class


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A step that leads CloudFront another way.

    Attributes:
        stage: The step.
        ways: What was in the old way, and what the load balancer did with a page there, right before
            CloudFront left it.
    """

    stage: Stage
    ways: list[tuple[str, list[str]]]


def change(world: World, **changes: str) -> Change:
    """Deploy, and keep how it was until CloudFront changed."""
    seen = len(world.emulator.journal("way"))
    stage = succeed(world, allowed=ONLY_INSIDE, **changes)
    ways = [(row["obstacle"], row["actions"]) for row in world.emulator.journal("way")[seen:]]
    return Change(stage=stage, ways=ways)


def sign_in(world: World, password: str) -> tuple[Browser, list[Page]]:
    """Open a page, sign in, and follow every redirect; the browser, and what it showed."""
    browser = Browser(port=world.emulator.port)
    first = browser.get(f"https://{HOST}/apps?page=2")
    form = browser.get(first.location)
    pages = urlsplit(first.location)
    secret = {**form.fields, "username": PERSON, "password": password}
    seen = [first, form, browser.post(f"https://{pages.netloc}/login", secret)]
    while seen[-1].location:
        seen.append(browser.get(seen[-1].location))
    return browser, seen


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
    """The same with one of the addresses that the tests come from on the list."""
    return succeed(deployed, allowed=ONLY_INSIDE)


@pytest.fixture(scope="module")
def frontend(deployed: World, widened: Stage) -> Iterator[Frontend]:
    """Asks CloudFront, with a test server registered for every role behind the load balancer."""
    template, ids = Template(deployed.cdk.template()), deployed.cdk.physical_ids()
    groups = {
        balancer["ContainerName"]: ids[balancer["TargetGroupArn"]["Ref"]]
        for service in template.services().values()
        for balancer in service.get("LoadBalancers", ())
    }
    assert set(groups) == BEHIND_THE_FRONTEND
    with start_targets(groups) as ports:
        for role, group in groups.items():
            targets = [{"Id": "127.0.0.1", "Port": ports[role]}]
            deployed.client("elbv2").register_targets(TargetGroupArn=group, Targets=targets)
        yield lambda *arguments, **more: request(deployed, *arguments, **more)


@pytest.fixture(scope="module")
def guarded(deployed: World, frontend: Frontend) -> Change:
    """The same with an own host name and a login."""
    zone = deployed.client("route53").create_hosted_zone(Name="example.com", CallerReference="1")
    zone_id = zone["HostedZone"]["Id"].rsplit("/", 1)[-1]
    return change(deployed, login_host=HOST, login_zone=zone_id)


@pytest.fixture(scope="module")
def pool(deployed: World, guarded: Change) -> str:
    """Id of the user pool, with a person in it."""
    client = deployed.client("cognito-idp")
    (row,) = client.list_user_pools(MaxResults=10)["UserPools"]
    id = str(row["Id"])
    client.admin_create_user(UserPoolId=id, Username=PERSON)
    client.admin_set_user_password(UserPoolId=id, Username=PERSON, Password=PASSWORD, Permanent=True)
    return id


@pytest.fixture(scope="module")
def signed_in(deployed: World, pool: str) -> tuple[Browser, list[Page]]:
    """That person's browser."""
    return sign_in(deployed, PASSWORD)


@pytest.fixture(scope="module")
def opened(deployed: World, signed_in: tuple[Browser, list[Page]]) -> Change:
    """Without host name and login again."""
    return change(deployed)


@pytest.fixture(scope="module")
def ended(deployed: World, opened: Change) -> Outcome:
    """Everything is destroyed."""
    unprotect(deployed, opened.stage.after.ids[CLUSTER])
    return deployed.cdk.must(deployed.cdk.destroy())


@pytest.fixture(scope="module")
def destroyed(opened: Change, ended: Outcome) -> State:
    """What was there before."""
    return opened.stage.after


# ---- the first deployment


def test_every_custom_resource_was_invoked_and_answered(deployed: World) -> None:
    assert_custom_resources_answered(deployed)


def test_cloudfront_leads_to_the_internal_load_balancer(deployed: World) -> None:
    (balancer,) = deployed.client("elbv2").describe_load_balancers()["LoadBalancers"]
    assert balancer["Scheme"] == "internal"
    assert vpc_origins(deployed) == {balancer["LoadBalancerArn"]: "http-only"}
    assert listeners(deployed) == {80: "HTTP"}


def test_services_are_told_the_url_that_its_owner_is_told(deployed: World) -> None:
    url, found = deployed.cdk.outputs()["Url"], containers(deployed)
    assert url == f"https://{own_name(deployed)}"
    for role in (Component.API, Component.WORKER):
        environment = {row["name"]: row["value"] for row in found[role]["environment"]}
        assert {environment["CONSOLE_WEB_URL"], environment["APP_WEB_URL"]} == {url}, role


# ---- who may enter


def test_who_is_not_on_the_list_is_denied(denied: list[Answer]) -> None:
    assert [(answer.status, answer.body.get("code")) for answer in denied] == [(403, "forbidden")] * 4


def test_another_list_changes_nothing_but_the_viewer_function(widened: Stage) -> None:
    assert widened.changed == ["AWS::CloudFront::Function"]
    assert widened.after == widened.before
    assert (widened.migrations, widened.answers) == ([], [])


@pytest.mark.parametrize("path", ONE_OF_EACH)
def test_somebody_elses_address_is_still_denied(frontend: Frontend, path: str) -> None:
    assert (
        frontend(path, {**TLS, "X-Forwarded-For": INSIDE, "CF-Connecting-IP": INSIDE}, source=OUTSIDE).status
        == 403
    )


@pytest.mark.parametrize("path", ONE_OF_EACH)
def test_nobody_enters_without_tls(frontend: Frontend, path: str) -> None:
    answer = frontend(path, {})
    assert (answer.status, answer.own["location"].split(".", 1)[1]) == (301, f"cloudfront.net{path}")


# ---- where a request goes


@pytest.mark.parametrize(("path", "role"), PATHS.items())
def test_a_request_reaches_its_role(frontend: Frontend, path: str, role: str) -> None:
    answer = frontend(path)
    assert (answer.status, answer.role, answer.path) == (200, role, path)


def test_requests_cover_every_prefix_of_the_route_table() -> None:
    prefixes = {route.prefix for route in routes_to(BEHIND_THE_FRONTEND)}
    assert {route_of(path, BEHIND_THE_FRONTEND).prefix for path in PATHS} == prefixes


@pytest.mark.parametrize("path", [path for path in NEVER_AT_API_OR_DAEMON if path != EMULATORS_OWN_PATH])
def test_a_private_path_reaches_web_only(frontend: Frontend, path: str) -> None:
    assert frontend(path).role == Component.WEB


@pytest.mark.parametrize("path", ["/?a=1&b=2", "/files/1/file-preview?nonce=a%2Fb&sign=c%3D", "/e/hook?x=1"])
def test_the_query_arrives(frontend: Frontend, path: str) -> None:
    assert frontend(path).path == path


@pytest.mark.parametrize("path", ONE_OF_EACH)
def test_dify_learns_the_address_that_a_request_really_came_from(frontend: Frontend, path: str) -> None:
    assert frontend(path, PRETENDED).headers["cf-connecting-ip"] == INSIDE


def test_dify_sees_the_host_name_that_was_asked_for(deployed: World, frontend: Frontend) -> None:
    assert frontend("/console/api/setup").headers["host"] == own_name(deployed)


def test_the_plugin_daemon_learns_the_url_of_a_hook(deployed: World, frontend: Frontend) -> None:
    url = deployed.cdk.outputs()["Url"]
    assert frontend("/e/hook/any?x=1", PRETENDED).headers["dify-hook-url"] == f"{url}/e/hook/any?x=1"
    assert "dify-hook-url" not in frontend("/console/api/setup", PRETENDED).headers


@pytest.mark.parametrize("path", ["/", "/console/api/files/upload", "/e/hook"])
def test_a_large_body_arrives_whole(frontend: Frontend, path: str) -> None:
    content = MEBIBYTE * 3
    answer = frontend(path, TLS, content)
    assert (answer.status, answer.body["sha256"]) == (200, hashlib.sha256(content).hexdigest())


def test_hashed_files_are_only_read(frontend: Frontend) -> None:
    assert frontend(STATIC_PATH, TLS, b"1").status == 403


# ---- an own host name and a login


def test_a_login_changes_nothing_that_must_stay(guarded: Change) -> None:
    assert guarded.stage.after == guarded.stage.before
    assert (guarded.stage.migrations, guarded.stage.after.rows) == ([], ROWS)


def test_until_cloudfront_changes_users_get_pages_as_before(guarded: Change) -> None:
    assert guarded.ways == [("", ["forward"])]


@pytest.mark.parametrize("path", ["/apps", "/v1/chat-messages"])
def test_cloudfronts_own_name_leads_nowhere_then(deployed: World, guarded: Change, path: str) -> None:
    """The load balancer has no certificate for it, so that nobody passes by the login there."""
    assert request(deployed, path, host=own_name(deployed)).status == 502


def test_the_way_to_the_load_balancer_has_tls_then_and_no_other(deployed: World, guarded: Change) -> None:
    assert list(vpc_origins(deployed).values()) == ["https-only"]
    assert listeners(deployed) == {443: "HTTPS"}


def test_the_host_name_leads_to_the_distribution(deployed: World, guarded: Change) -> None:
    client = deployed.client("route53")
    (zone,) = client.list_hosted_zones_by_name(DNSName="example.com", MaxItems="1")["HostedZones"]
    rows = client.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
    ends = {row["Type"]: row["AliasTarget"]["DNSName"] for row in rows if row["Name"] == f"{HOST}."}
    assert {type: name.rstrip(".") for type, name in ends.items()} == dict.fromkeys(
        ["A", "AAAA"], own_name(deployed)
    )


@pytest.mark.parametrize("path", [path for path in PATHS if class_of(path) is RouteClass.PAGE])
def test_a_page_leads_to_the_login(deployed: World, pool: str, path: str) -> None:
    answer = request(deployed, path)
    place = urlsplit(answer.own["location"])
    domain = deployed.client("cognito-idp").describe_user_pool(UserPoolId=pool)["UserPool"]["Domain"]
    assert (answer.status, place.netloc) == (302, f"{domain}.auth.{REGION}.amazoncognito.com")
    assert parse_qs(place.query)["redirect_uri"] == [f"https://{HOST}/oauth2/idpresponse"]


@pytest.mark.parametrize("path", [path for path in PATHS if class_of(path) is RouteClass.API])
def test_a_script_is_refused(deployed: World, guarded: Change, path: str) -> None:
    assert request(deployed, path).status == 401


@pytest.mark.parametrize("path", [path for path in PATHS if class_of(path) is RouteClass.OPEN])
def test_programs_and_signed_links_pass_by_the_login(deployed: World, guarded: Change, path: str) -> None:
    answer = request(deployed, path)
    assert (answer.status, answer.role) == (200, PATHS[path])


@pytest.mark.parametrize("path", [path for path in NEVER_AT_API_OR_DAEMON if path != EMULATORS_OWN_PATH])
def test_a_private_path_is_behind_the_login(deployed: World, guarded: Change, path: str) -> None:
    assert request(deployed, path).status == 302


def test_somebody_signs_in_and_comes_back_to_where_it_began(signed_in: tuple[Browser, list[Page]]) -> None:
    _, seen = signed_in
    assert [page.status for page in seen] == [302, 200, 302, 302, 200]
    assert seen[2].location.startswith(f"https://{HOST}/oauth2/idpresponse?")
    assert seen[3].location == f"https://{HOST}/apps?page=2"


@pytest.mark.parametrize(("path", "role"), PATHS.items())
def test_who_signed_in_reaches_everything(
    deployed: World, signed_in: tuple[Browser, list[Page]], path: str, role: str
) -> None:
    browser, _ = signed_in
    answer = request(deployed, path, browser.headers(HOST))
    assert (answer.status, answer.role) == (200, role)


def test_a_wrong_password_leads_nowhere(deployed: World, signed_in: tuple[Browser, list[Page]]) -> None:
    browser, seen = sign_in(deployed, PASSWORD[::-1])
    assert ([page.status for page in seen], seen[-1].location) == ([302, 200, 200], "")
    assert COOKIE not in browser.cookies[HOST]


def test_a_session_does_not_replace_the_list_of_addresses(
    deployed: World, signed_in: tuple[Browser, list[Page]]
) -> None:
    browser, _ = signed_in
    assert request(deployed, "/apps", browser.headers(HOST), source=OUTSIDE).status == 403


# ---- and without them again


def test_without_the_login_all_is_as_it_was(deployed: World, guarded: Change, opened: Change) -> None:
    assert opened.stage.after == opened.stage.before
    assert sorted(opened.stage.changed) == sorted(guarded.stage.changed)
    assert list(vpc_origins(deployed).values()) == ["http-only"]
    assert listeners(deployed) == {80: "HTTP"}
    assert [request(deployed, path).role for path in PATHS] == list(PATHS.values())


def test_until_cloudfront_changes_the_login_stays(opened: Change) -> None:
    assert opened.ways == [("", ["authenticate-cognito", "forward"])]


def test_the_people_of_the_pool_are_kept(deployed: World, pool: str, opened: Change) -> None:
    client = deployed.client("cognito-idp")
    (person,) = client.list_users(UserPoolId=pool)["Users"]
    assert {row["Name"]: row["Value"] for row in person["Attributes"]}["email"] == PERSON
    assert client.list_user_pool_clients(UserPoolId=pool)["UserPoolClients"] == []


def test_a_second_deployment_changes_nothing(repeated: Stage) -> None:
    assert_nothing_changed(repeated)


# ---- the end


def test_destroy_deletes_all_but_what_must_stay(deployed: World, ended: Outcome) -> None:
    assert_only_what_must_stay_was_skipped(deployed, buckets=3, since=ended.since)


def test_what_must_stay_is_there(deployed: World, destroyed: State) -> None:
    assert_data_stayed(deployed, destroyed)


def test_what_costs_money_is_gone(deployed: World, destroyed: State) -> None:
    assert_what_costs_money_is_gone(deployed)
    assert vpc_origins(deployed) == {}


def test_no_role_ever_lacked_a_permission(deployed: World, destroyed: State) -> None:
    assert deployed.emulator.journal("refusal") == []
