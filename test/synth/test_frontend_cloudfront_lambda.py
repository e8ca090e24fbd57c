"""The frontend with functions: where paths lead, what is signed, cached, filtered; where no secret is."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ecr as ecr

from dify_cdk import (
    Access,
    Architecture,
    CloudBuild,
    DatabaseCapacity,
    DifyCloudFrontLambdaFrontend,
    DifyFrontend,
    DifyWorkers,
    Domain,
    FunctionSize,
    ReadyImages,
    Throttle,
    Uploads,
)
from dify_cdk.dify.components import Component
from dify_cdk.dify.connections import connections_of
from dify_cdk.dify.environment import secret_variables
from dify_defaults import known_names
from paths import CARRIES_FILES, LEADS_TO, NEVER_AT_API_OR_DAEMON
from support import Template, strings
from synth.installation import (
    OFFICE,
    certificate_in,
    data_in,
    function_of,
    joined,
    synthesized,
    workers_in,
    zone_in,
)
from synth.running import idle_seconds_before

SHAPE: type[DifyFrontend] = DifyCloudFrontLambdaFrontend  # for the type checker

API_URL, WEB_URL, UPLOADS = "api function", "web function", "uploads"


class Routing:
    """The behaviors of a distribution as a function from path to origin."""

    def __init__(self, template: Template) -> None:
        (distribution,) = template.properties("AWS::CloudFront::Distribution").values()
        self.config: Mapping[str, Any] = distribution["DistributionConfig"]
        self.origins = {origin["Id"]: _kind(origin) for origin in self.config["Origins"]}
        self.behaviors: list[Mapping[str, Any]] = list(self.config["CacheBehaviors"])
        self.default: Mapping[str, Any] = self.config["DefaultCacheBehavior"]

    def behavior(self, path: str) -> Mapping[str, Any]:
        """The first behavior whose pattern matches."""
        for behavior in self.behaviors:
            if fnmatch.fnmatchcase(path, behavior["PathPattern"]):
                return behavior
        return self.default

    def origin(self, path: str) -> str:
        """Where a path ends."""
        return self.origins[self.behavior(path)["TargetOriginId"]]


def _kind(origin: Mapping[str, Any]) -> str:
    domain = json.dumps(origin["DomainName"])
    if "execute-api" in domain or "VpcOriginConfig" in origin:
        return UPLOADS
    return API_URL if "ApiFunction" in domain else WEB_URL


@pytest.fixture(scope="module")
def v3(templates: Callable[[str], Template]) -> Template:
    return templates("v3")


@pytest.mark.parametrize(("path", "component"), LEADS_TO.items())
def test_path_leads_to_its_component(v3: Template, path: str, component: str) -> None:
    ends = {"api": API_URL, "web": WEB_URL, "plugin_daemon": UPLOADS}
    expected = UPLOADS if path in CARRIES_FILES else ends[component]
    assert Routing(v3).origin(path) == expected


@pytest.mark.parametrize("path", CARRIES_FILES)
def test_files_and_hooks_go_where_large_bodies_can(v3: Template, path: str) -> None:
    assert Routing(v3).origin(path) == UPLOADS


@pytest.mark.parametrize("path", NEVER_AT_API_OR_DAEMON)
def test_private_paths_reach_neither_api_nor_plugin_daemon(v3: Template, path: str) -> None:
    assert Routing(v3).origin(path) == WEB_URL


def test_uploads_origin_knows_the_prefixes_of_uploads_and_the_hooks_end_at_the_daemon(v3: Template) -> None:
    routes = {p["RouteKey"]: p for p in v3.properties("AWS::ApiGatewayV2::Route").values()}
    files = {"/console/api", "/api", "/v1", "/files", "/triggers"}
    of_api = {f"ANY {path}" for prefix in files for path in (prefix, f"{prefix}/{{proxy+}}")}
    assert len(v3.of_type("AWS::ApiGatewayV2::Integration")) == 2
    names = {}
    for key, properties in routes.items():
        integration = v3.resources[properties["Target"]["Fn::Join"][1][1]["Ref"]]["Properties"]
        discovery = v3.resources[integration["IntegrationUri"]["Fn::GetAtt"][0]]["Properties"]
        names[key] = discovery["DiscoveryName"]
        assert not integration.get("RequestParameters")  # CloudFront's function set both headers already
    assert names == {"ANY /e/{proxy+}": "daemon-http", **dict.fromkeys(of_api, "api-lambda")}


def test_whoever_knows_the_uploads_origin_cannot_use_up_the_account_s_functions(v3: Template) -> None:
    (stage,) = v3.properties("AWS::ApiGatewayV2::Stage").values()
    settings = stage["DefaultRouteSettings"]
    assert (settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]) == (50, 50)
    # A new account has 10, of which none can be reserved: the deployment would fail.
    reserved = [id for id, p in v3.properties("AWS::Lambda::Function").items() if "Reserved" in str(p.keys())]
    assert reserved == []


def test_only_the_distribution_gets_through_the_uploads_origin(v3: Template) -> None:
    (authorizer,) = v3.properties("AWS::ApiGatewayV2::Authorizer").values()
    assert authorizer["IdentitySource"] == ["$request.header.x-dify-origin"]
    assert authorizer["AuthorizerResultTtlInSeconds"] == 300
    for route in v3.properties("AWS::ApiGatewayV2::Route").values():
        assert route["AuthorizationType"] == "CUSTOM"
    (function,) = [p for id, p in v3.properties("AWS::Lambda::Function").items() if "UploadsAuthorizer" in id]
    assert set(function["Environment"]["Variables"]) == {"SECRET_ARN"}


def test_secret_of_the_origin_header_is_stateless_and_only_cloudfront_has_it(v3: Template) -> None:
    secrets = {id: r for id, r in v3.of_type("AWS::SecretsManager::Secret").items() if "OriginHeader" in id}
    ((id, secret),) = secrets.items()
    assert secret["DeletionPolicy"] == "Delete"
    found = [path for path, text in strings(v3.resources) if "{{resolve:" in text and "DataC" not in path]
    assert [path.split("/Properties/")[0] for path in found if "DataDatabase" not in path] == [
        "/" + next(iter(v3.of_type("AWS::CloudFront::Distribution")))
    ]
    assert id in json.dumps(v3.resources[next(iter(v3.of_type("AWS::CloudFront::Distribution")))])


def test_functions_are_called_by_this_distribution_only(v3: Template) -> None:
    (distribution,) = v3.of_type("AWS::CloudFront::Distribution")
    permissions = [
        p
        for p in v3.properties("AWS::Lambda::Permission").values()
        if p["Principal"] == "cloudfront.amazonaws.com"
    ]
    actions = sorted((p["Action"], bool(p.get("InvokedViaFunctionUrl"))) for p in permissions)
    assert actions == sorted(
        [("lambda:InvokeFunctionUrl", False)] * 2 + [("lambda:InvokeFunction", True)] * 2
    )
    assert all(distribution in json.dumps(p["SourceArn"]) for p in permissions)
    for url in v3.properties("AWS::Lambda::Url").values():
        assert url["AuthType"] == "AWS_IAM"
        assert url["InvokeMode"] == "RESPONSE_STREAM"


def test_signed_origins_are_built_once(v3: Template) -> None:
    assert len(Routing(v3).config["Origins"]) == 3
    assert len(v3.of_type("AWS::CloudFront::OriginAccessControl")) == 2


def test_the_same_stack_fits_into_two_regions_of_an_account() -> None:
    """Names of access controls count for the whole account, and what is at the edge is in us-east-1."""
    names: list[set[str]] = []
    for region in ("eu-west-1", "ap-southeast-2"):
        app = cdk.App(analytics_reporting=False)
        stack = cdk.Stack(app, "Dify", env=cdk.Environment(region=region))
        workers = workers_in(stack)
        DifyCloudFrontLambdaFrontend(stack, "Frontend", workers=workers, access=OFFICE)
        controls = synthesized(stack).properties("AWS::CloudFront::OriginAccessControl").values()
        found = {control["OriginAccessControlConfig"]["Name"] for control in controls}
        assert all(len(name) <= 64 for name in found)
        names.append(found | {child.node.id for child in app.node.children if child is not stack} - {"Tree"})
    assert all(len(found) == 3 for found in names)
    assert names[0].isdisjoint(names[1])


def test_bodies_are_hashed_wherever_a_request_is_signed(v3: Template) -> None:
    routing = Routing(v3)
    for behavior in (*routing.behaviors, routing.default):
        signed = routing.origins[behavior["TargetOriginId"]] != UPLOADS
        edge = behavior.get("LambdaFunctionAssociations", [])
        writes = "POST" in behavior["AllowedMethods"]
        assert bool(edge) == (signed and writes), behavior.get("PathPattern")
        assert all(e["EventType"] == "origin-request" and e["IncludeBody"] for e in edge)


def test_only_hashed_files_are_cached_and_errors_never(v3: Template) -> None:
    routing = Routing(v3)
    disabled = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"  # AWS's policy CachingDisabled
    cached = [b["PathPattern"] for b in routing.behaviors if b["CachePolicyId"] != disabled]
    assert cached == ["/_next/static/*"]
    assert routing.default["CachePolicyId"] == disabled
    errors = {row["ErrorCode"]: row["ErrorCachingMinTTL"] for row in routing.config["CustomErrorResponses"]}
    assert {404, 403, 500, 502, 503, 504} <= set(errors)
    assert set(errors.values()) == {0}


def test_every_behavior_has_tls_and_the_viewer_function(v3: Template) -> None:
    routing = Routing(v3)
    (function,) = v3.of_type("AWS::CloudFront::Function")
    for behavior in (*routing.behaviors, routing.default):
        assert behavior["ViewerProtocolPolicy"] == "redirect-to-https"
        (association,) = behavior["FunctionAssociations"]
        assert association["EventType"] == "viewer-request"
        assert association["FunctionARN"]["Fn::GetAtt"][0] == function


def test_behaviors_fit_the_quota(v3: Template) -> None:
    assert len(Routing(v3).behaviors) + 1 <= 75


def test_origins_wait_as_long_as_cloudfront_can(v3: Template) -> None:
    timeouts = {_kind(o): o["CustomOriginConfig"]["OriginReadTimeout"] for o in Routing(v3).config["Origins"]}
    assert timeouts == {API_URL: 120, WEB_URL: 120, UPLOADS: 60}


@pytest.mark.parametrize("component", [Component.API, Component.WEB])
def test_function_knows_where_its_secrets_are_and_none_of_them(v3: Template, component: Component) -> None:
    variables = function_of(v3, component)[1]["Environment"]["Variables"]
    assert not any("{{resolve:" in text for _, text in strings(variables))
    assert not set(secret_variables(component)) & set(variables)
    own = {name for name in variables if name.startswith(("DIFY_CDK_", "AWS_LWA_"))}
    assert set(variables) - own <= known_names(component)
    if component is Component.API:
        listed = variables["DIFY_CDK_SECRETS"]
        fields = {name: field for entry in json.loads(joined(listed)) for name, field in entry["env"].items()}
        assert fields == {name: source.field for name, source in secret_variables(component).items()}
    else:
        assert "DIFY_CDK_SECRETS" not in variables


def test_function_reads_its_url_because_it_cannot_know_it(v3: Template) -> None:
    (parameter,) = v3.properties("AWS::SSM::Parameter").values()
    for component in (Component.API, Component.WEB):
        variables = function_of(v3, component)[1]["Environment"]["Variables"]
        assert variables["DIFY_CDK_URL_PARAMETER"] == parameter["Name"]
        templates = json.loads(variables["DIFY_CDK_URL_TEMPLATES"])
        assert templates["CONSOLE_API_URL"] == "{url}"
        assert not set(templates) & set(variables)
    api = json.loads(function_of(v3, Component.API)[1]["Environment"]["Variables"]["DIFY_CDK_URL_TEMPLATES"])
    assert api["ENDPOINT_URL_TEMPLATE"] == "{url}/e/{hook_id}"


def test_functions_keep_connections_longer_than_the_adapter_and_open_few_to_the_database(
    v3: Template,
) -> None:
    """The adapter keeps idle ones for 4 seconds, and nobody counts them while an environment is frozen."""
    api, web = (
        function_of(v3, component)[1]["Environment"]["Variables"]
        for component in (Component.API, Component.WEB)
    )
    assert api["GUNICORN_CMD_ARGS"].startswith("--keep-alive=75 ")
    assert web["KEEP_ALIVE_TIMEOUT"] == "75000"
    assert connections_of(Component.API, api) == 6
    assert v3.environment("api")["SQLALCHEMY_POOL_SIZE"] == "30"


class TestConnections:
    """Every environment of api has connections of its own, which the database has to take."""

    def build(self, stack: cdk.Stack, max_acu: float, api: FunctionSize) -> list[str]:
        data = data_in(stack, capacity=DatabaseCapacity(max_acu=max_acu))
        workers = DifyWorkers(stack, "Workers", data=data)
        DifyCloudFrontLambdaFrontend(stack, "Frontend", workers=workers, access=OFFICE, api=api)
        synthesized(stack)
        found = [str(entry.data) for entry in workers.node.metadata if entry.type == "aws:cdk:warning"]
        return [text for text in found if "DifyDatabaseConnections" in text]

    @pytest.mark.parametrize(("max_acu", "most"), [(1, 5), (2, 12), (4, 71), (8, 212)])
    def test_as_many_fit_as_the_page_says(self, max_acu: float, most: int) -> None:
        environment = cdk.Environment(region="us-east-1")
        found = [
            self.build(
                cdk.Stack(env=environment),
                max_acu,
                FunctionSize(memory_mib=2048, reserved_concurrency=count),
            )
            for count in (most, most + 1)
        ]
        assert found[0] == []
        (warning,) = found[1]
        assert f"api_function {most + 1} x 6 + " in warning
        page = (Path(__file__).parents[2] / "docs" / "v3.md").read_text(encoding="utf-8")
        assert re.search(rf"^ *\| {max_acu}\b[^|]* \| {most} \|$", page, re.MULTILINE)

    def test_nothing_is_said_where_the_account_s_limit_holds(self, stack: cdk.Stack) -> None:
        assert self.build(stack, 1, FunctionSize(memory_mib=2048)) == []

    def test_a_number_that_is_known_at_deployment_is_not_counted(self, stack: cdk.Stack) -> None:
        most = cdk.CfnParameter(stack, "Most", type="Number").value_as_number
        size = FunctionSize(memory_mib=2048, reserved_concurrency=most)  # type: ignore[arg-type]
        assert self.build(stack, 1, size) == []


def test_function_may_read_its_secrets_its_url_and_its_objects_only(v3: Template) -> None:
    role = function_of(v3, Component.API)[1]["Role"]["Fn::GetAtt"][0]
    policies = [p for p in v3.properties("AWS::IAM::Policy").values() if {"Ref": role} in p["Roles"]]
    statements = [s for policy in policies for s in policy["PolicyDocument"]["Statement"]]
    actions = {
        a for s in statements for a in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])
    }
    objects = {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"}
    assert actions == objects | {"secretsmanager:GetSecretValue", "ssm:GetParameter"}


def test_function_of_api_waits_for_the_migration(v3: Template) -> None:
    (migration,) = v3.of_type("Custom::DifyMigration")
    functions = v3.of_type("AWS::Lambda::Function").items()
    (function,) = [resource for id, resource in functions if "LambdaApiFunction" in id]
    assert migration in function["DependsOn"]


def test_functions_live_in_the_network_with_their_components_groups(v3: Template) -> None:
    for component in (Component.API, Component.WEB):
        vpc = function_of(v3, component)[1]["VpcConfig"]
        assert len(vpc["SubnetIds"]) == 2
        (group,) = vpc["SecurityGroupIds"]
        assert group["Fn::GetAtt"][0].startswith(f"WorkersMesh{component.construct_id}")


def test_one_small_api_answers_inside_the_network(v3: Template) -> None:
    assert "api" in v3.services()
    assert "web" not in v3.services()
    assert v3.services()["api"]["ServiceRegistries"]
    assert v3.environment("web") if "web" in v3.containers() else True


def test_without_a_second_origin_bodies_end_at_one_megabyte(stack: cdk.Stack, workers: DifyWorkers) -> None:
    frontend = DifyCloudFrontLambdaFrontend(
        stack, "Frontend", workers=workers, access=OFFICE, uploads=Uploads.EDGE_SIGNED
    )
    template = synthesized(stack)
    assert template.of_type("AWS::ApiGatewayV2::Api", "AWS::CloudFront::VpcOrigin") == {}
    routing = Routing(template)
    assert routing.origin("/v1/files/upload") == API_URL
    assert routing.origin("/e/hook") == WEB_URL
    assert frontend.limits.max_body_mb is not None
    assert frontend.limits.max_body_mb < 2
    assert template.environment("worker")["UPLOAD_FILE_SIZE_LIMIT"] == "1"


def test_vpc_origin_has_no_wall_and_lets_only_cloudfront_in(stack: cdk.Stack, workers: DifyWorkers) -> None:
    frontend = DifyCloudFrontLambdaFrontend(
        stack, "Frontend", workers=workers, access=OFFICE, uploads=Uploads.VPC_ORIGIN
    )
    template = synthesized(stack)
    assert frontend.limits.max_body_mb is None
    (alb,) = template.properties("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
    assert alb["Scheme"] == "internal"
    (group,) = [id for id in template.of_type("AWS::EC2::SecurityGroup") if "InternalAlb" in id]
    assert "SecurityGroupIngress" not in template.resources[group]["Properties"]
    rules = template.properties("AWS::EC2::SecurityGroupIngress").values()
    into = [rule for rule in rules if rule["GroupId"]["Fn::GetAtt"][0] == group]
    assert [(rule["FromPort"], "SourcePrefixListId" in rule) for rule in into] == [(80, True)]
    routing = Routing(template)
    assert routing.origin("/v1/files/upload") == UPLOADS
    assert routing.origin("/e/hook") == UPLOADS
    assert template.services()["plugin_daemon"]["LoadBalancers"]
    listener = next(iter(template.properties("AWS::ElasticLoadBalancingV2::Listener").values()))
    assert listener["DefaultActions"][0]["FixedResponseConfig"]["StatusCode"] == "404"


def test_api_behind_a_vpc_origin_keeps_connections_longer_than_the_load_balancer(
    stack: cdk.Stack, workers: DifyWorkers
) -> None:
    DifyCloudFrontLambdaFrontend(
        stack, "Frontend", workers=workers, access=OFFICE, uploads=Uploads.VPC_ORIGIN
    )
    template = synthesized(stack)
    (seconds,) = idle_seconds_before(template, Component.API)
    assert f"--keep-alive={seconds + 5} " in template.environment("api")["GUNICORN_CMD_ARGS"]


def test_domain_needs_no_parameter_and_allows_provisioned_concurrency(
    stack: cdk.Stack, workers: DifyWorkers
) -> None:
    zone = zone_in(stack)
    domain = Domain(host_name="dify.example.com", zone=zone)
    api = FunctionSize(memory_mib=3008, provisioned_concurrency=2, reserved_concurrency=20)
    DifyCloudFrontLambdaFrontend(stack, "Frontend", workers=workers, access=OFFICE, domain=domain, api=api)
    template = synthesized(stack)
    assert template.of_type("AWS::SSM::Parameter") == {}
    function = function_of(template, Component.API)[1]
    variables = function["Environment"]["Variables"]
    assert variables["CONSOLE_API_URL"] == "https://dify.example.com"
    assert variables["AWS_LWA_ASYNC_INIT"] == "false"
    assert function["ReservedConcurrentExecutions"] == 20
    (alias,) = template.properties("AWS::Lambda::Alias").values()
    assert alias["ProvisionedConcurrencyConfig"] == {"ProvisionedConcurrentExecutions": 2}
    routing = Routing(template)
    assert routing.config["Aliases"] == ["dify.example.com"]
    assert routing.config["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"


def test_countries_are_filtered_by_cloudfront(stack: cdk.Stack, workers: DifyWorkers) -> None:
    DifyCloudFrontLambdaFrontend(stack, "Frontend", workers=workers, access=Access(countries=["JP", "US"]))
    restrictions = Routing(synthesized(stack)).config["Restrictions"]["GeoRestriction"]
    assert restrictions == {"Locations": ["JP", "US"], "RestrictionType": "whitelist"}


def test_ready_images_are_used_as_they_are(stack: cdk.Stack, workers: DifyWorkers) -> None:
    repositories = {
        name: ecr.Repository.from_repository_name(stack, f"{name}-repository", f"dify-{name}")
        for name in ("api", "web")
    }
    images = ReadyImages(**repositories, tag_or_digest="7")
    DifyCloudFrontLambdaFrontend(stack, "Frontend", workers=workers, access=OFFICE, images=images)
    template = synthesized(stack)
    assert "dify-api:7" in json.dumps(function_of(template, Component.API)[1]["Code"])
    assert "dify-web:7" in json.dumps(function_of(template, Component.WEB)[1]["Code"])


def test_images_can_be_built_in_aws(stack: cdk.Stack, workers: DifyWorkers) -> None:
    DifyCloudFrontLambdaFrontend(stack, "Frontend", workers=workers, access=OFFICE, images=CloudBuild())
    template = synthesized(stack)
    assert template.of_type("AWS::CodeBuild::Project")
    assert len(template.of_type("AWS::ECR::Repository")) >= 1


def test_architecture_of_functions_and_images_agree(stack: cdk.Stack) -> None:
    workers = workers_in(stack, architecture=Architecture.ARM64)
    DifyCloudFrontLambdaFrontend(stack, "Frontend", workers=workers, access=OFFICE)
    template = synthesized(stack)
    assert function_of(template, Component.API)[1]["Architectures"] == ["arm64"]


BAD: Mapping[str, tuple[dict[str, Any], str]] = {
    "provisioned_concurrency_without_a_domain": (
        {"api": FunctionSize(memory_mib=2048, provisioned_concurrency=1)},
        r"provisioned_concurrency needs domain=",
    ),
    "throttle_without_an_api": (
        {"uploads": Uploads.VPC_ORIGIN, "upload_throttle": Throttle(requests_per_second=5, burst=5)},
        r"^DifyCloudFrontLambdaFrontend\.upload_throttle is of the HTTP API .*Uploads\.VPC_ORIGIN does not",
    ),
    "more_networks_than_a_function_holds": (
        {
            "access": Access(
                ipv4=[
                    f"{a}.{b}.{c}.0/24" for a in (11, 12) for b in range(0, 256, 7) for c in range(0, 256, 5)
                ]
            )
        },
        "10,?240|CloudFront Function|merge",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_fails_when_a_distribution_is_asked_for(stack: cdk.Stack, workers: DifyWorkers, case: str) -> None:
    arguments, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        DifyCloudFrontLambdaFrontend(stack, "Frontend", **{"workers": workers, "access": OFFICE, **arguments})


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"memory_mib": 127}, "memory_mib must be between 128 and 10240"),
        ({"memory_mib": 20_000}, "memory_mib must be between 128 and 10240"),
        ({"memory_mib": 2048, "timeout_seconds": 901}, "timeout_seconds must be between 1 and 900"),
        ({"memory_mib": 2048, "timeout_seconds": 0}, "timeout_seconds must be between 1 and 900"),
        ({"memory_mib": 2048, "reserved_concurrency": 0}, "reserved_concurrency must be between 1"),
        ({"memory_mib": 2048, "provisioned_concurrency": -1}, "provisioned_concurrency must be between 0"),
    ],
)
def test_fails_when_a_function_cannot_be(size: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FunctionSize(**size)


def test_fails_when_the_certificate_is_elsewhere(app: cdk.App) -> None:
    stack = cdk.Stack(app, "Tokyo", env=cdk.Environment(region="ap-northeast-1"))
    workers = workers_in(stack)
    certificate = certificate_in(stack, "ap-northeast-1")
    wrong = Domain(host_name="dify.example.com", edge_certificate=certificate)
    with pytest.raises(ValueError, match=r"edge_certificate must be in us-east-1, got one in ap-northeast-1"):
        DifyCloudFrontLambdaFrontend(stack, "Wrong", workers=workers, access=OFFICE, domain=wrong)
    none = Domain(host_name="none.example.com", certificate=certificate)
    with pytest.raises(ValueError, match=r"Domain.edge_certificate is needed"):
        DifyCloudFrontLambdaFrontend(stack, "None", workers=workers, access=OFFICE, domain=none)
