"""A closed network: nothing leads out, and everything that is needed is inside."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk.assertions import Annotations, Match

from dify_cdk import (
    Access,
    AlbScheme,
    Bedrock,
    Component,
    DifyAlbFrontend,
    DifyData,
    DifyNetwork,
    DifyRelease,
    DifyWorkers,
    Egress,
    Plugins,
    SmtpMail,
)
from dify_cdk.cli.mirror_script import mirror_script
from dify_cdk.dify.components import BACKEND_COMPONENTS
from iam import ACCOUNT, allows, statements_of, text
from support import REGION, Template, strings
from synth.installation import synthesized

ENDPOINTS = {
    *("bedrock", "bedrock-runtime", "bedrock-agent-runtime"),
    *("ecr.api", "ecr.dkr", "logs", "secretsmanager", "ssm", "ssmmessages"),
}
WAYS_OUT = (
    *("AWS::EC2::InternetGateway", "AWS::EC2::VPCGatewayAttachment", "AWS::EC2::EgressOnlyInternetGateway"),
    *("AWS::EC2::NatGateway", "AWS::EC2::EIP", "AWS::EC2::EIPAssociation", "AWS::EC2::Instance"),
    *("AWS::EC2::TransitGatewayAttachment", "AWS::EC2::VPCPeeringConnection", "AWS::EC2::VPNGateway"),
)
MIRROR = "http://pypi.example.internal:8080/simple"


@pytest.fixture(scope="module")
def closed(templates: Callable[[str], Template]) -> Template:
    return templates("v4_closed_network")


def imported(stack: cdk.Stack) -> ec2.IVpc:
    """Somebody else's VPC without a way out."""
    return ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-1",
        vpc_cidr_block="10.1.0.0/16",
        availability_zones=["us-east-1a", "us-east-1b"],
        isolated_subnet_ids=["subnet-1", "subnet-2"],
        isolated_subnet_route_table_ids=["rtb-1", "rtb-2"],
    )


def workers_in(stack: cdk.Stack, vpc: ec2.IVpc, **arguments: Any) -> DifyWorkers:
    release = DifyRelease(registry="registry.example.internal/dify")
    data = DifyData(stack, "Data", vpc=vpc)
    workers = DifyWorkers(stack, "Workers", data=data, release=release, **arguments)
    access = Access(ipv4=["10.0.0.0/8"])
    DifyAlbFrontend(stack, "Frontend", workers=workers, access=access, scheme=AlbScheme.INTERNAL)
    return workers


def warnings_of(workers: DifyWorkers) -> list[str]:
    return [str(entry.data) for entry in workers.node.metadata if entry.type == "aws:cdk:warning"]


def leads_out(template: Template) -> list[str]:
    """Resources that are a way out, and rules and routes that name the whole world as a destination."""
    found = list(template.of_type(*WAYS_OUT))
    for type in ("AWS::EC2::Route", "AWS::EC2::SecurityGroupEgress"):
        found += [id for id, route in template.properties(type).items() if names_world(route)]
    for id, group in template.properties("AWS::EC2::SecurityGroup").items():
        if any(names_world(rule) for rule in group.get("SecurityGroupEgress", ())):
            found.append(id)
    return found


def names_world(rule: dict[str, Any]) -> bool:
    keys = ("CidrIp", "CidrIpv6", "DestinationCidrBlock", "DestinationIpv6CidrBlock")
    return any(rule.get(key) in ("0.0.0.0/0", "::/0") for key in keys)


def test_nothing_in_the_example_leads_out(closed: Template) -> None:
    assert leads_out(closed) == []
    assert [path for path, value in strings(closed.resources) if value in ("0.0.0.0/0", "::/0")] == []
    (balancer,) = closed.properties("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
    assert balancer["Scheme"] == "internal"
    assert closed.of_type("AWS::CloudFront::Distribution") == {}


def test_a_network_with_a_way_out_would_be_found(templates: Callable[[str], Template]) -> None:
    found = leads_out(templates("v1"))
    types = {templates("v1").resources[id]["Type"] for id in found}
    assert types >= {
        "AWS::EC2::InternetGateway",
        "AWS::EC2::EIP",
        "AWS::EC2::Route",
        "AWS::EC2::SecurityGroup",
    }


def test_an_imported_network_is_closed_as_well(stack: cdk.Stack) -> None:
    workers_in(stack, imported(stack))
    assert leads_out(synthesized(stack)) == []


def test_the_example_has_every_endpoint(closed: Template) -> None:
    endpoints = list(closed.properties("AWS::EC2::VPCEndpoint").values())
    interfaces = {
        text(one["ServiceName"]).removeprefix(f"com.amazonaws.{REGION}.")
        for one in endpoints
        if one["VpcEndpointType"] == "Interface"
    }
    assert interfaces == ENDPOINTS
    gateways = [text(one["ServiceName"]) for one in endpoints if one["VpcEndpointType"] == "Gateway"]
    assert gateways == [f"com.amazonaws.{REGION}.s3"]
    assert all(one["PrivateDnsEnabled"] for one in endpoints if one["VpcEndpointType"] == "Interface")


def test_every_endpoint_stands_in_every_subnet_of_the_tasks(closed: Template) -> None:
    worker = closed.services()[Component.WORKER]["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"]
    for id, endpoint in closed.properties("AWS::EC2::VPCEndpoint").items():
        if endpoint["VpcEndpointType"] == "Interface":
            assert endpoint["SubnetIds"] == worker, id
    assert len(worker) == 2


def test_all_images_come_from_the_registry_inside(closed: Template) -> None:
    for component, container in closed.containers().items():
        image = text(container["Image"])
        assert image.startswith(f"123456789012.dkr.ecr.{REGION}.amazonaws.com/dify/"), component
        execution = closed.task_of(component)["ExecutionRoleArn"]["Fn::GetAtt"][0]
        repository = re.split("[:@]", image.partition("/")[2])[0]
        arn = f"arn:aws:ecr:{REGION}:123456789012:repository/{repository}"
        assert allows(statements_of(closed, execution), "ecr:BatchGetImage", arn), component


def test_the_mirror_command_copies_to_where_the_example_looks(closed: Template) -> None:
    registry = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/dify"
    script = mirror_script(registry=registry, versions=[DifyRelease().version], tool="crane")
    lines = [line.split() for line in script.splitlines() if line.startswith("mirror ")]
    copied = {target for _, _, target, *_ in lines}
    pinned = {f"{target.rpartition(':')[0]}@{digest[0]}" for _, _, target, *digest in lines if digest}
    assert {text(container["Image"]) for container in closed.containers().values()} <= copied | pinned
    assert f"{registry}/langgenius/dify-api:{DifyRelease().version}" in copied


def test_nothing_of_the_internet_is_asked_for(closed: Template) -> None:
    for component in closed.containers():
        variables = closed.environment(component)
        if component in BACKEND_COMPONENTS:
            assert variables["MARKETPLACE_ENABLED"] == "false", component
            assert variables["ENABLE_CHECK_UPGRADABLE_PLUGIN_TASK"] == "false", component
            assert variables["HOSTED_FETCH_APP_TEMPLATES_MODE"] == "builtin", component
            assert variables["CHECK_UPDATE_URL"] == "", component
    daemon = closed.environment(Component.PLUGIN_DAEMON)
    assert daemon["PIP_MIRROR_URL"] == MIRROR
    assert daemon["PIP_MIRROR_AUTO_DETECT"] == "false"
    assert daemon["PLUGIN_IGNORE_UV_LOCK"] == "true"
    assert "PIP_MIRROR_URL" not in closed.environment(Component.SANDBOX)


def test_the_frontend_of_the_example_speaks_tls_by_a_name_inside(closed: Template) -> None:
    listeners = closed.properties("AWS::ElasticLoadBalancingV2::Listener").values()
    assert {one["Protocol"] for one in listeners} == {"HTTP", "HTTPS"}
    (plain,) = [one for one in listeners if one["Protocol"] == "HTTP"]
    assert plain["DefaultActions"][0]["Type"] == "redirect"
    (zone,) = closed.properties("AWS::Route53::HostedZone").values()
    assert zone["VPCs"]
    assert closed.environment(Component.WORKER)["CONSOLE_WEB_URL"] == "https://dify.example.internal"


def test_models_are_reached_by_the_plugin_daemon(closed: Template) -> None:
    component = closed.task_of(Component.PLUGIN_DAEMON)["TaskRoleArn"]["Fn::GetAtt"][0]
    model = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.nova-pro-v1:0"
    assert allows(statements_of(closed, component), "bedrock:InvokeModel", model)


def test_with_a_way_out_the_marketplace_stays_on(templates: Callable[[str], Template]) -> None:
    assert "MARKETPLACE_ENABLED" not in templates("v1").environment(Component.API)
    assert "PIP_MIRROR_URL" not in templates("v1").environment(Component.PLUGIN_DAEMON)


def test_a_mirror_works_with_a_way_out_too(stack: cdk.Stack) -> None:
    vpc = DifyNetwork(stack, "Network").vpc
    workers_in(stack, vpc, plugins=Plugins(pip_mirror_url=MIRROR, marketplace=False))
    template = synthesized(stack)
    assert template.environment(Component.PLUGIN_DAEMON)["PIP_MIRROR_URL"] == MIRROR
    assert template.environment(Component.BEAT)["MARKETPLACE_ENABLED"] == "false"
    assert "HOSTED_FETCH_APP_TEMPLATES_MODE" not in template.environment(Component.API)


def test_a_closed_network_is_told_what_is_missing(stack: cdk.Stack) -> None:
    workers = workers_in(stack, DifyNetwork(stack, "Network", egress=Egress.ISOLATED).vpc)
    (warning,) = warnings_of(workers)
    assert "plugins=Plugins(pip_mirror_url=...)" in warning


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (Bedrock(), []),
        (Bedrock(regions=["us-west-2", REGION]), []),
        (Bedrock(regions=["us-west-2", "us-east-2"]), [f"own region {REGION}: add it to Bedrock.regions"]),
        (Bedrock(assume_roles=["arn:aws:iam::111122223333:role/pays"]), ["interface endpoint for sts"]),
    ],
)
def test_models_that_cannot_be_reached_are_told(
    stack: cdk.Stack, models: Bedrock, expected: list[str]
) -> None:
    vpc = DifyNetwork(stack, "Network", egress=Egress.ISOLATED).vpc
    found = warnings_of(workers_in(stack, vpc, plugins=Plugins(pip_mirror_url=MIRROR), models=models))
    assert len(found) == len(expected)
    assert all(part in warning for part, warning in zip(expected, found, strict=True))


def test_with_a_way_out_every_model_can_be_reached(stack: cdk.Stack) -> None:
    models = Bedrock(regions=["us-west-2"], assume_roles=["arn:aws:iam::111122223333:role/pays"])
    assert warnings_of(workers_in(stack, DifyNetwork(stack, "Network").vpc, models=models)) == []


def test_an_imported_network_is_told_which_endpoints_it_needs(stack: cdk.Stack) -> None:
    workers = workers_in(stack, imported(stack), plugins=Plugins(pip_mirror_url=MIRROR))
    (warning,) = warnings_of(workers)
    assert all(service in warning for service in ENDPOINTS)


def test_complete_networks_are_told_nothing(stack: cdk.Stack) -> None:
    vpc = DifyNetwork(stack, "Network", egress=Egress.ISOLATED).vpc
    assert warnings_of(workers_in(stack, vpc, plugins=Plugins(pip_mirror_url=MIRROR))) == []


def warnings_for_registry(app: cdk.App, registry: str, accounts: tuple[str, ...] = ()) -> str:
    stack = cdk.Stack(app, "Own", env=cdk.Environment(account=ACCOUNT, region=REGION))
    network = DifyNetwork(stack, "Network", egress=Egress.ISOLATED, trusted_accounts=accounts)
    data = DifyData(stack, "Data", vpc=network.vpc)
    workers = DifyWorkers(stack, "Workers", data=data, release=DifyRelease(registry=registry))
    access = Access(ipv4=["10.8.0.0/16"])
    DifyAlbFrontend(stack, "Frontend", workers=workers, access=access, scheme=AlbScheme.INTERNAL)
    found = Annotations.from_stack(stack).find_warning("*", Match.any_value())
    return " ".join(str(one.entry.data) for one in found)


def test_warns_of_a_registry_that_the_endpoints_do_not_lead_to(app: cdk.App) -> None:
    found = warnings_for_registry(app, "999988887777.dkr.ecr.eu-west-1.amazonaws.com/dify")
    assert "DifyNetwork(trusted_accounts=['999988887777'])" in found
    assert "lead to Amazon ECR in us-east-1 only, but the images are in eu-west-1" in found


@pytest.mark.parametrize(("account", "trusted"), [(ACCOUNT, ()), ("444455556666", ("444455556666",))])
def test_a_registry_of_this_region_that_is_trusted_gives_no_warning(
    app: cdk.App, account: str, trusted: tuple[str, ...]
) -> None:
    found = warnings_for_registry(app, f"{account}.dkr.ecr.{REGION}.amazonaws.com/dify", trusted)
    assert "Amazon ECR" not in found
    assert "trusted_accounts" not in found


# --- endpoints: who may use them, and for what ----------------------------------------------------------

TRUSTED, FOREIGN = "444455556666", "999988887777"
OWNED = ("s3", "ecr.api", "ecr.dkr", "logs", "secretsmanager", "ssm")
REQUESTS = {
    "s3": ("s3:PutObject", "arn:aws:s3:::some-bucket/key"),
    "ecr.api": ("ecr:BatchGetImage", f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/dify"),
    "ecr.dkr": ("ecr:BatchGetImage", f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/dify"),
    "logs": ("logs:PutLogEvents", "arn:aws:logs:us-east-1:1:log-group:x"),
    "secretsmanager": ("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:us-east-1:1:secret:x"),
    "ssm": ("ssm:PutParameter", "arn:aws:ssm:us-east-1:1:parameter/x"),
    "ssmmessages": ("ssmmessages:OpenDataChannel", "*"),
    "bedrock": ("bedrock:ListFoundationModels", "*"),
    "bedrock-runtime": ("bedrock:InvokeModel", "arn:aws:bedrock:us-east-1::foundation-model/x"),
    "bedrock-agent-runtime": ("bedrock:Retrieve", "arn:aws:bedrock:us-east-1:1:knowledge-base/x"),
}


def policies(template: Template) -> dict[str, list[Any]]:
    """The statements of every endpoint of a template, by service."""
    found = {}
    for properties in template.properties("AWS::EC2::VPCEndpoint").values():
        service = text(properties["ServiceName"]).removeprefix(f"com.amazonaws.{REGION}.")
        statements = properties["PolicyDocument"]["Statement"]
        assert all(
            one["Principal"] == {"AWS": "*"} and "Condition" in one
            for one in statements
            if one["Sid"] != "ImageLayers"
        )
        found[service] = statements
    return found


def passes(statements: list[Any], service: str, caller: str, owner: str) -> bool:
    """Whether an endpoint passes on a request by a principal of one account for what another owns."""
    action, resource = REQUESTS[service]
    context = {"aws:PrincipalAccount": caller, "aws:ResourceAccount": owner}
    return allows(statements, action, resource, context)


def test_every_endpoint_serves_its_own_account_only(closed: Template) -> None:
    found = policies(closed)
    assert set(found) == {*ENDPOINTS, "s3"} == set(REQUESTS)
    for service, statements in found.items():
        assert passes(statements, service, ACCOUNT, ACCOUNT), service
        assert not passes(statements, service, FOREIGN, FOREIGN), service
        assert not passes(statements, service, FOREIGN, ACCOUNT), service
        assert passes(statements, service, ACCOUNT, FOREIGN) is (service not in OWNED), service
        action, resource = REQUESTS[service]
        assert not allows(statements, action, resource, {}), service  # nobody, such as an anonymous request


def test_s3_gives_the_layers_of_images_and_takes_nothing(closed: Template) -> None:
    layer = f"arn:aws:s3:::prod-{REGION}-starport-layer-bucket/layer"
    signed_by_ecr = {"aws:PrincipalAccount": FOREIGN, "aws:ResourceAccount": FOREIGN}
    statements = policies(closed)["s3"]
    assert allows(statements, "s3:GetObject", layer, signed_by_ecr)
    assert not allows(statements, "s3:PutObject", layer, signed_by_ecr)
    assert not allows(statements, "s3:GetObject", "arn:aws:s3:::some-bucket/key", signed_by_ecr)


def test_trusted_accounts_are_served_too(stack: cdk.Stack) -> None:
    DifyNetwork(stack, "Network", egress=Egress.ISOLATED, trusted_accounts=[TRUSTED])
    for service, statements in policies(synthesized(stack)).items():
        assert passes(statements, service, ACCOUNT, TRUSTED), service
        assert passes(statements, service, TRUSTED, TRUSTED), service
        assert not passes(statements, service, FOREIGN, TRUSTED), service


def test_nothing_that_answers_cloudformation_stands_in_the_closed_network(closed: Template) -> None:
    """It would have to reach a bucket of AWS by a URL that AWS signed, which the endpoint refuses."""
    functions = closed.properties("AWS::Lambda::Function")
    inside = {id for id, function in functions.items() if "VpcConfig" in function}
    tokens = [
        resource["Properties"]["ServiceToken"]
        for resource in closed.resources.values()
        if "ServiceToken" in resource.get("Properties", {})
    ]
    assert tokens
    assert [token for token in tokens if token.get("Fn::GetAtt", [""])[0] in inside] == []


# --- names ----------------------------------------------------------------------------------------------


def answers(template: Template) -> Callable[[str], bool]:
    """Whether the DNS of the network answers for a name."""
    lists = template.properties("AWS::Route53Resolver::FirewallDomainList")
    (group,) = template.properties("AWS::Route53Resolver::FirewallRuleGroup").values()
    rules = sorted(group["FirewallRules"], key=lambda rule: rule["Priority"])

    def answered(name: str) -> bool:
        for rule in rules:
            patterns = map(text, lists[rule["FirewallDomainListId"]["Fn::GetAtt"][0]]["Domains"])
            if any(pattern in ("*", name) or fits(pattern, name) for pattern in patterns):
                return bool(rule["Action"] == "ALLOW")
        raise AssertionError(name)

    def fits(pattern: str, name: str) -> bool:
        return pattern.startswith("*.") and name.endswith(pattern[1:])

    return answered


def test_names_are_answered_by_default(closed: Template) -> None:
    assert closed.of_type("AWS::Route53Resolver::FirewallRuleGroup") == {}


def test_dns_answers_for_what_tasks_use_and_nothing_else(stack: cdk.Stack) -> None:
    network = DifyNetwork(stack, "Network", egress=Egress.ISOLATED, dns_domains=["idp.example.internal"])
    workers = DifyWorkers(
        stack,
        "Workers",
        data=DifyData(stack, "Data", vpc=network.vpc),
        namespace="dify.internal",
        plugins=Plugins(pip_mirror_url=MIRROR),
        mail=SmtpMail(host="smtp.example.internal", sender="dify@example.com"),
    )
    access = Access(ipv4=["10.8.0.0/16"])
    DifyAlbFrontend(stack, "Frontend", workers=workers, access=access, scheme=AlbScheme.INTERNAL)
    template = synthesized(stack)
    answered = answers(template)
    names = ["db.cluster-x.us-east-1.rds.amazonaws.com", "ip-10-0-0-1.us-west-2.compute.internal"]
    names += ["idp.example.internal", "pypi.example.internal", "smtp.example.internal", "api.dify.internal"]
    assert [name for name in names if not answered(name)] == []
    foreign = ["example.com", "secret.attacker.example", "4.3.2.1.in-addr.arpa", "amazonaws.com.example"]
    assert [name for name in foreign if answered(name)] == []
    (association,) = template.properties("AWS::Route53Resolver::FirewallRuleGroupAssociation").values()
    assert association["VpcId"] == {"Ref": next(iter(template.of_type("AWS::EC2::VPC")))}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trusted_accounts": [TRUSTED]}, "trusted_accounts has no effect on a network that has a way"),
        ({"dns_domains": []}, "dns_domains has no effect on a network that has a way"),
        ({"trusted_accounts": ["1234"], "egress": Egress.ISOLATED}, "of 12 digits, got '1234'"),
        ({"dns_domains": ["https://x"], "egress": Egress.ISOLATED}, "must be domains such as"),
        ({"dns_domains": ["*"], "egress": Egress.ISOLATED}, "must be domains such as"),
    ],
)
def test_fails_when_what_closes_the_network_is_malformed(
    stack: cdk.Stack, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        DifyNetwork(stack, "Network", **arguments)


@pytest.mark.parametrize(
    ("region", "asked", "there"),
    [
        ("eu-west-1", None, True),
        ("eu-west-1", False, False),
        ("cn-north-1", None, False),
        ("cn-north-1", True, True),
    ],
)
def test_models_have_endpoints_where_they_are_wanted_and_exist(
    new_stack: Callable[..., cdk.Stack], region: str, asked: bool | None, there: bool
) -> None:
    stack = new_stack(region)
    network = DifyNetwork(stack, "Network", egress=Egress.ISOLATED, model_endpoints=asked)
    data = DifyData(stack, "Data", vpc=network.vpc)
    workers = DifyWorkers(stack, "Workers", data=data, release=DifyRelease(registry="registry.example.com"))
    DifyAlbFrontend(stack, "F", workers=workers, access=Access.anyone(), scheme=AlbScheme.INTERNAL)
    endpoints = synthesized(stack).properties("AWS::EC2::VPCEndpoint").values()
    assert sum("bedrock" in str(one["ServiceName"]) for one in endpoints) == (3 if there else 0)
    if not there:
        with pytest.raises(
            ValueError, match=r"^DifyWorkers\.models needs a way to Amazon Bedrock, and Dify/Net"
        ):
            DifyWorkers(stack, "Others", data=data, models=Bedrock())


def test_fails_when_an_open_network_shall_have_endpoints_of_models(stack: cdk.Stack) -> None:
    with pytest.raises(
        ValueError, match=r"^DifyNetwork\.model_endpoints has no effect on a network that has"
    ):
        DifyNetwork(stack, "Network", model_endpoints=True)
