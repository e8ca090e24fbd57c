"""What connects to what, in templates small enough to see it; ``test/synth`` has the examples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dify_cdk.report.diagram.model import VIEWER, Edge, Flow, Graph, Node, Tier
from dify_cdk.report.diagram.reader import read_graph
from dify_cdk.report.templates.subject import Part, Subject
from support import TEMPLATES
from template_parts import att, ref, resource

Resources = Mapping[str, object]


def graph(*stacks: Resources) -> Graph:
    parts = [Part(name=f"S{n}", template={"Resources": resources}) for n, resources in enumerate(stacks)]
    return read_graph(Subject(name="x", parts=tuple(parts)))


def from_file(name: str) -> Graph:
    template = json.loads((TEMPLATES / name).read_text())
    return read_graph(Subject(name=name, parts=(Part(name=name, template=template),)))


def edges(found: Graph, flow: Flow | None = None) -> set[tuple[str, str]]:
    return {(edge.source, edge.target) for edge in found.edges if flow in (None, edge.flow)}


def node(found: Graph, id: str) -> Node:
    return next(one for one in found.nodes if one.id == id)


def edge(found: Graph, source: str, target: str) -> Edge:
    return next(one for one in found.edges if (one.source, one.target) == (source, target))


def service(name: str, *ports: int, group: str | None = None, **properties: object) -> Resources:
    """An ECS service ``Name`` with its task definition and, unless another is named, its security group."""
    mappings = [{"ContainerPort": port, "Name": f"{name}-{port}"} for port in ports]
    containers = [{"Name": name, "Image": "x", "PortMappings": mappings}]
    groups = [att(group or f"{name}Group", "GroupId")]
    network = {"AwsvpcConfiguration": {"SecurityGroups": groups}}
    role = {"TaskRoleArn": att(f"{name}Role")}
    return {
        f"{name}Task": resource("ECS::TaskDefinition", ContainerDefinitions=containers, Cpu="256", **role),
        name: resource(
            "ECS::Service", TaskDefinition=ref(f"{name}Task"), NetworkConfiguration=network, **properties
        ),
        f"{name}Group": resource("EC2::SecurityGroup"),
    }


def rule(
    caller: str, callee: str, low: object, high: object | None = None, protocol: str = "tcp"
) -> Resources:
    return resource(
        "EC2::SecurityGroupIngress",
        GroupId=att(callee, "GroupId"),
        SourceSecurityGroupId=att(caller, "GroupId"),
        FromPort=low,
        ToPort=low if high is None else high,
        IpProtocol=protocol,
    )


DATABASE = {
    "Database": resource(
        "RDS::DBInstance", Engine="postgres", VPCSecurityGroups=[att("DatabaseGroup", "GroupId")]
    ),
    "DatabaseGroup": resource("EC2::SecurityGroup"),
}


class TestLoadBalancers:
    RESOURCES: ClassVar[Resources] = {
        "Alb": resource("ElasticLoadBalancingV2::LoadBalancer", Scheme="internet-facing"),
        "Http": resource(
            "ElasticLoadBalancingV2::Listener",
            LoadBalancerArn=ref("Alb"),
            Port=80,
            Protocol="HTTP",
            DefaultActions=[{"Type": "forward", "TargetGroupArn": ref("WebTargets")}],
        ),
        "Rule": resource(
            "ElasticLoadBalancingV2::ListenerRule",
            ListenerArn=ref("Http"),
            Priority=1,
            Conditions=[{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/api", "/api/*"]}}],
            Actions=[{"Type": "forward", "TargetGroupArn": ref("ApiTargets")}],
        ),
        "WebTargets": resource("ElasticLoadBalancingV2::TargetGroup"),
        "ApiTargets": resource("ElasticLoadBalancingV2::TargetGroup"),
        **service("web", 3000, LoadBalancers=[{"ContainerName": "web", "TargetGroupArn": ref("WebTargets")}]),
        **service("api", 5001, LoadBalancers=[{"ContainerName": "api", "TargetGroupArn": ref("ApiTargets")}]),
    }

    def test_rules_lead_over_target_groups_to_services(self) -> None:
        found = graph(self.RESOURCES)
        assert edges(found) == {(VIEWER, "Alb"), ("Alb", "web"), ("Alb", "api")}
        assert edge(found, "Alb", "api").paths == ("/api", "/api/*")
        assert edge(found, "Alb", "web").default

    def test_the_entry_point_says_how_it_is_entered(self) -> None:
        alb = node(graph(self.RESOURCES), "Alb")
        assert (alb.tier, alb.title) == (Tier.ENTRY_POINT, "Application Load Balancer")
        assert (alb.service, alb.details) == ("internet-facing", ("HTTP 80",))

    def test_an_internal_one_is_not_reached_from_outside(self) -> None:
        internal = {
            **self.RESOURCES,
            "Alb": resource("ElasticLoadBalancingV2::LoadBalancer", Scheme="internal"),
        }
        assert edges(graph(internal)) == {("Alb", "web"), ("Alb", "api")}
        assert VIEWER not in [one.id for one in graph(internal).nodes]

    def test_a_target_group_may_name_a_function_by_an_alias(self) -> None:
        resources = {
            **self.RESOURCES,
            "ApiTargets": resource("ElasticLoadBalancingV2::TargetGroup", Targets=[{"Id": ref("Live")}]),
            "Live": resource("Lambda::Alias", FunctionName=ref("Fn")),
            "Fn": resource("Lambda::Function", MemorySize=512),
        }
        assert ("Alb", "Fn") in edges(graph(resources))

    def test_a_target_group_that_nobody_registers_into_is_shown_as_it_stands(self) -> None:
        resources = {id: body for id, body in self.RESOURCES.items() if not id.startswith(("web", "api"))}
        found = graph(resources)
        assert ("Alb", "ApiTargets") in edges(found)
        assert node(found, "ApiTargets").service == "ElasticLoadBalancingV2 TargetGroup"

    def test_the_load_balancer_of_another_template_is_an_entry_point_all_the_same(self) -> None:
        resources = {id: body for id, body in self.RESOURCES.items() if id not in ("Alb", "Http")}
        resources["Rule"] = {
            **resources["Rule"],  # type: ignore[dict-item]
            "Properties": {
                **resources["Rule"]["Properties"],  # type: ignore[index]
                "ListenerArn": "arn:of:a:listener",
            },
        }
        found = graph(resources)
        assert ("arn:of:a:listener", "api") in edges(found)
        assert node(found, "arn:of:a:listener").service == "not in this template"

    def test_a_login_is_a_guard(self) -> None:
        actions = [
            {"Type": "authenticate-cognito", "Order": 1},
            {"Type": "forward", "Order": 2, "TargetGroupArn": ref("WebTargets")},
        ]
        listener = resource(
            "ElasticLoadBalancingV2::Listener", LoadBalancerArn=ref("Alb"), DefaultActions=actions
        )
        (guard,) = graph({**self.RESOURCES, "Http": listener}).guards("Alb")
        assert (guard.title, guard.service) == ("Login", "Cognito")


class TestHttpApis:
    @staticmethod
    def route(key: str, integration: str, **properties: object) -> Resources:
        return resource(
            "ApiGatewayV2::Route",
            ApiId=ref("Api"),
            RouteKey=key,
            Target={"Fn::Sub": f"integrations/${{{integration}}}"},
            **properties,
        )

    API: ClassVar[Resources] = {
        "Api": resource("ApiGatewayV2::Api", ProtocolType="HTTP"),
        "Link": resource("ApiGatewayV2::VpcLink"),
        "ToService": resource(
            "ApiGatewayV2::Integration",
            ApiId=ref("Api"),
            ConnectionId=ref("Link"),
            IntegrationUri=att("Name"),
        ),
        "Name": resource("ServiceDiscovery::Service", Name="api"),
        **service("api", 5001, ServiceRegistries=[{"RegistryArn": att("Name")}]),
        "ToFunction": resource("ApiGatewayV2::Integration", ApiId=ref("Api"), IntegrationUri=att("Fn")),
        "Fn": resource("Lambda::Function"),
        "One": route("ANY /v1/{proxy+}", "ToService"),
        "Rest": route("$default", "ToFunction"),
    }

    def test_routes_lead_over_the_vpc_link_to_services_and_directly_to_functions(self) -> None:
        found = graph(self.API)
        assert edges(found) == {(VIEWER, "Api"), ("Api", "Link"), ("Link", "api"), ("Api", "Fn")}
        assert edge(found, "Link", "api").paths == ("/v1/{proxy+}",)
        assert edge(found, "Api", "Fn").default

    def test_an_integration_may_lead_to_a_listener(self) -> None:
        resources = {
            **self.API,
            "ToService": resource(
                "ApiGatewayV2::Integration", ConnectionId=ref("Link"), IntegrationUri=ref("Http")
            ),
            "Http": resource("ElasticLoadBalancingV2::Listener", LoadBalancerArn=ref("Alb")),
            "Alb": resource("ElasticLoadBalancingV2::LoadBalancer", Scheme="internal"),
        }
        assert {("Api", "Link"), ("Link", "Alb")} <= edges(graph(resources))

    def test_an_integration_may_lead_outside(self) -> None:
        outside = resource("ApiGatewayV2::Integration", IntegrationUri="https://example.com")
        found = graph({**self.API, "ToService": outside})
        assert ("Api", "https://example.com") in edges(found)
        assert node(found, "https://example.com").service == "not in this template"

    def test_an_authorizer_is_a_guard_and_its_function_is_no_part_of_its_own(self) -> None:
        uri = {"Fn::Join": ["", ["arn:x/", att("Check"), "/invocations"]]}
        found = graph(
            {
                **self.API,
                "Authorizer": resource(
                    "ApiGatewayV2::Authorizer", ApiId=ref("Api"), AuthorizerUri=uri, AuthorizerType="REQUEST"
                ),
                "Check": resource("Lambda::Function", Description="looks at addresses"),
            }
        )
        (guard,) = found.guards("Api")
        assert (guard.title, guard.service) == ("Authorizer", "Lambda")
        assert guard.details == ("looks at addresses",)
        assert "Check" not in [one.id for one in found.nodes]

    def test_an_authorizer_of_tokens_is_a_guard_too(self) -> None:
        authorizer = resource("ApiGatewayV2::Authorizer", ApiId=ref("Api"), AuthorizerType="JWT")
        (guard,) = graph({**self.API, "Authorizer": authorizer}).guards("Api")
        assert (guard.title, guard.service) == ("Authorizer", "JWT")

    def test_without_its_own_address_it_is_not_reached_directly(self) -> None:
        closed = resource("ApiGatewayV2::Api", ProtocolType="HTTP", DisableExecuteApiEndpoint=True)
        assert VIEWER not in {source for source, _ in edges(graph({**self.API, "Api": closed}))}

    def test_a_websocket_api_is_shown_without_what_lies_behind_it(self) -> None:
        found = graph({"Api": resource("ApiGatewayV2::Api", ProtocolType="WEBSOCKET")})
        assert node(found, "Api").title == "Websocket API"
        assert node(found, "Api").details == ("routes not followed",)
        assert edges(found) == {(VIEWER, "Api")}


class TestDistributions:
    @staticmethod
    def distribution(*behaviors: object, default: str = "fn", **config: object) -> Resources:
        origins = [
            {"Id": "fn", "DomainName": {"Fn::Select": [2, {"Fn::Split": ["/", att("Url", "FunctionUrl")]}]}},
            {"Id": "bucket", "DomainName": att("Files", "RegionalDomainName")},
            {"Id": "other", "DomainName": "example.com"},
            {"Id": "vpc", "DomainName": "x", "VpcOriginConfig": {"VpcOriginId": att("Origin", "Id")}},
        ]
        found = {
            "Origins": origins,
            "CacheBehaviors": list(behaviors),
            "DefaultCacheBehavior": {"TargetOriginId": default},
            **config,
        }
        return resource("CloudFront::Distribution", DistributionConfig=found)

    ORIGINS: ClassVar[Resources] = {
        "Url": resource(
            "Lambda::Url", TargetFunctionArn=att("Fn"), AuthType="AWS_IAM", InvokeMode="RESPONSE_STREAM"
        ),
        "Fn": resource("Lambda::Function", MemorySize=1024),
        "Files": resource("S3::Bucket"),
        "Logs": resource("S3::Bucket"),
        "Origin": resource("CloudFront::VpcOrigin", VpcOriginEndpointConfig={"Arn": ref("Alb")}),
        "Alb": resource("ElasticLoadBalancingV2::LoadBalancer", Scheme="internal"),
    }

    def test_behaviors_lead_to_origins_of_every_kind(self) -> None:
        behaviors = [
            {"PathPattern": "/static/*", "TargetOriginId": "bucket"},
            {"PathPattern": "/other/*", "TargetOriginId": "other"},
            {"PathPattern": "/alb/*", "TargetOriginId": "vpc"},
            {"PathPattern": "/more/*", "TargetOriginId": "bucket"},
        ]
        found = graph({**self.ORIGINS, "Cdn": self.distribution(*behaviors)})
        assert edges(found) == {
            (VIEWER, "Cdn"),
            ("Cdn", "Fn"),
            ("Cdn", "Files"),
            ("Cdn", "example.com"),
            ("Cdn", "Alb"),
        }
        assert edge(found, "Cdn", "Files").paths == ("/static/*", "/more/*")
        assert edge(found, "Cdn", "Fn").default
        assert node(found, "Fn").details == ("1024 MB", "streaming URL")

    def test_a_bucket_that_nothing_reaches_is_not_shown(self) -> None:
        assert "Logs" not in [one.id for one in graph({**self.ORIGINS, "Cdn": self.distribution()}).nodes]

    def test_edge_functions_and_a_web_acl_are_guards(self) -> None:
        behavior = {
            "PathPattern": "/a",
            "TargetOriginId": "fn",
            "FunctionAssociations": [
                {"EventType": "viewer-request", "FunctionARN": att("Small", "FunctionARN")}
            ],
            "LambdaFunctionAssociations": [
                {"EventType": "origin-request", "LambdaFunctionARN": ref("Version")}
            ],
        }
        found = graph(
            {
                **self.ORIGINS,
                "Cdn": self.distribution(behavior, WebACLId="arn:aws:wafv2:x"),
                "Small": resource("CloudFront::Function"),
                "Version": resource("Lambda::Version", FunctionName=ref("Big")),
                "Big": resource("Lambda::Function"),
            }
        )
        guards = found.guards("Cdn")
        assert [(one.title, one.service, one.details) for one in guards] == [
            ("Web ACL", "WAF", ()),
            ("CloudFront Function", "viewer-request", ("1 of 2 behaviors",)),
            ("Lambda@Edge", "origin-request", ("1 of 2 behaviors",)),
        ]
        assert "Big" not in [one.id for one in found.nodes]

    def test_a_web_acl_may_be_associated(self) -> None:
        resources = {
            "Alb": resource("ElasticLoadBalancingV2::LoadBalancer"),
            "Acl": resource("WAFv2::WebACL"),
            "Both": resource("WAFv2::WebACLAssociation", ResourceArn=ref("Alb"), WebACLArn=att("Acl")),
        }
        assert [one.title for one in graph(resources).guards("Alb")] == ["Web ACL"]

    def test_an_edge_function_of_another_region_is_found_by_its_parameter(self) -> None:
        behavior = {
            "PathPattern": "/a",
            "TargetOriginId": "fn",
            "LambdaFunctionAssociations": [
                {"EventType": "origin-request", "LambdaFunctionARN": att("Reader", "FunctionArn")}
            ],
        }
        reader = {"Type": "Custom::Reader", "Properties": {"ParameterName": "/edge/arn", "ServiceToken": "x"}}
        elsewhere = {
            "Parameter": resource("SSM::Parameter", Name="/edge/arn", Value=ref("Version")),
            "Version": resource("Lambda::Version", FunctionName=ref("Signer")),
            "Signer": resource("Lambda::Function"),
        }
        found = graph({**self.ORIGINS, "Cdn": self.distribution(behavior), "Reader": reader}, elsewhere)
        assert [one.id for one in found.guards("Cdn")] == ["Cdn/Signer"]
        assert "Signer" not in [one.id for one in found.nodes]

    def test_an_entry_point_behind_it_that_is_public_as_well_says_so(self) -> None:
        public = {**self.ORIGINS, "Alb": resource("ElasticLoadBalancingV2::LoadBalancer")}
        found = graph({**public, "Cdn": self.distribution(default="vpc")})
        assert "own public address" in node(found, "Alb").details
        assert (VIEWER, "Alb") not in edges(found)

    def test_a_function_url_that_only_the_distribution_may_call_is_not_public(self) -> None:
        found = graph({**self.ORIGINS, "Cdn": self.distribution()})
        assert "own public address" not in node(found, "Fn").details

    def test_a_function_url_for_everybody_is_a_way_in(self) -> None:
        open_url = resource("Lambda::Url", TargetFunctionArn=att("Fn"), AuthType="NONE")
        assert edges(graph({**self.ORIGINS, "Url": open_url})) == {(VIEWER, "Fn")}


class TestCalls:
    def test_a_rule_connects_the_members_of_two_groups(self) -> None:
        resources = {**service("web"), **service("api", 5001), "R": rule("webGroup", "apiGroup", 5001)}
        assert edges(graph(resources)) == {("web", "api")}

    def test_a_rule_for_another_port_connects_nothing(self) -> None:
        resources = {**service("web"), **service("api", 5001), "R": rule("webGroup", "apiGroup", 5002)}
        assert edges(graph(resources)) == set()

    @pytest.mark.parametrize(
        "opened", [rule("webGroup", "apiGroup", 0, 65535), rule("webGroup", "apiGroup", 1, protocol="-1")]
    )
    def test_a_rule_for_all_ports_connects(self, opened: Resources) -> None:
        assert edges(graph({**service("web"), **service("api", 5001), "R": opened})) == {("web", "api")}

    def test_a_port_known_at_deploy_time_connects(self) -> None:
        resources = {**service("web"), **service("api", 5001), "R": rule("webGroup", "apiGroup", ref("P"))}
        assert edges(graph(resources)) == {("web", "api")}

    def test_a_rule_inside_the_group_counts_as_well(self) -> None:
        inline = {
            "IpProtocol": "tcp",
            "FromPort": 5001,
            "ToPort": 5001,
            "SourceSecurityGroupId": att("webGroup", "GroupId"),
        }
        resources = {
            **service("web"),
            **service("api", 5001),
            "apiGroup": resource("EC2::SecurityGroup", SecurityGroupIngress=[inline]),
        }
        assert edges(graph(resources)) == {("web", "api")}

    def test_who_listens_on_nothing_is_not_called(self) -> None:
        resources = {**service("web"), **service("worker"), "R": rule("webGroup", "workerGroup", 80)}
        assert edges(graph(resources)) == set()

    def test_a_function_calls_and_is_not_called(self) -> None:
        """The interface of a function takes no connections, whatever its security group says."""
        function = resource("Lambda::Function", VpcConfig={"SecurityGroupIds": [att("apiGroup", "GroupId")]})
        resources = {**service("api", 5001), "Fn": function, "R": rule("apiGroup", "apiGroup", 5001)}
        assert edges(graph(resources)) == {("Fn", "api")}

    def test_a_load_balancers_way_to_its_targets_is_no_call(self) -> None:
        assert edges(graph(TestLoadBalancers.RESOURCES), Flow.CALL) == set()

    def test_a_rule_of_another_stack_counts_as_well(self) -> None:
        exported = {"Fn::ImportValue": "Api:Group"}
        opened = resource(
            "EC2::SecurityGroupIngress",
            GroupId=exported,
            SourceSecurityGroupId=att("webGroup", "GroupId"),
            FromPort=5001,
            ToPort=5001,
        )
        outputs = {"Group": {"Value": att("apiGroup", "GroupId"), "Export": {"Name": "Api:Group"}}}
        subject = Subject(
            name="x",
            parts=(
                Part(name="Api", template={"Resources": service("api", 5001), "Outputs": outputs}),
                Part(name="Web", template={"Resources": {**service("web"), "R": opened}}),
            ),
        )
        assert edges(read_graph(subject)) == {("web", "api")}


class TestData:
    BUCKET: ClassVar[Resources] = {"Files": resource("S3::Bucket"), "apiRole": resource("IAM::Role")}

    @staticmethod
    def policy(target: object, effect: str = "Allow") -> Resources:
        statement = {"Effect": effect, "Action": "s3:*", "Resource": target}
        return resource("IAM::Policy", PolicyDocument={"Statement": [statement]}, Roles=[ref("apiRole")])

    def test_a_database_is_reached_by_rule(self) -> None:
        resources = {**DATABASE, **service("api", 1), "R": rule("apiGroup", "DatabaseGroup", 5432)}
        assert edges(graph(resources), Flow.DATA) == {("api", "Database")}

    def test_a_task_without_a_service_has_the_groups_of_what_starts_it(self) -> None:
        starter = {
            "Type": "Custom::Starter",
            "Properties": {"Task": ref("jobTask"), "Groups": [att("jobGroup", "GroupId")]},
        }
        job = {id: body for id, body in service("job").items() if id != "job"}
        resources = {**DATABASE, **job, "Start": starter, "R": rule("jobGroup", "DatabaseGroup", 5432)}
        found = graph(resources)
        assert edges(found) == {("jobTask", "Database")}
        assert not node(found, "jobTask").steady
        assert "started when needed" in node(found, "jobTask").details

    def test_a_bucket_is_reached_by_policy(self) -> None:
        policy = self.policy([{"Fn::Join": ["", [att("Files"), "/*"]]}])
        assert edges(graph({**self.BUCKET, **service("api", 1), "P": policy})) == {("api", "Files")}

    def test_a_policy_inside_the_role_counts_as_well(self) -> None:
        statement = {"Effect": "Allow", "Action": "s3:*", "Resource": att("Files")}
        role = resource("IAM::Role", Policies=[{"PolicyDocument": {"Statement": statement}}])
        assert edges(graph({**self.BUCKET, **service("api", 1), "apiRole": role})) == {("api", "Files")}

    def test_a_denial_is_no_connection(self) -> None:
        policy = self.policy([att("Files")], effect="Deny")
        assert edges(graph({**self.BUCKET, **service("api", 1), "P": policy})) == set()

    def test_the_role_that_starts_a_task_does_not_use_what_it_may(self) -> None:
        task = resource(
            "ECS::TaskDefinition",
            ContainerDefinitions=[{"Name": "api", "Image": "x"}],
            ExecutionRoleArn=att("apiRole"),
        )
        policy = self.policy([att("Files")])
        assert edges(graph({**self.BUCKET, **service("api", 1), "apiTask": task, "P": policy})) == set()

    def test_an_address_in_the_environment_counts_where_no_rule_speaks(self) -> None:
        table = {"Table": resource("DynamoDB::Table")}
        task = resource(
            "ECS::TaskDefinition",
            ContainerDefinitions=[{"Name": "api", "Environment": [{"Name": "TABLE", "Value": ref("Table")}]}],
        )
        resources = {**table, **service("api"), "apiTask": task}
        assert edges(graph(resources)) == {("api", "Table")}
        allowed = {
            **resources,
            **service("other"),
            "otherRole": resource(
                "IAM::Role",
                Policies=[{"PolicyDocument": {"Statement": [{"Effect": "Allow", "Resource": att("Table")}]}}],
            ),
        }
        assert edges(graph(allowed)) == {("other", "Table")}

    def test_facts_of_databases_and_caches(self) -> None:
        found = graph(
            {
                "Cluster": resource(
                    "RDS::DBCluster",
                    Engine="aurora-postgresql",
                    ServerlessV2ScalingConfiguration={"MinCapacity": 0.5, "MaxCapacity": 4},
                ),
                "Writer": resource("RDS::DBInstance", DBClusterIdentifier=ref("Cluster")),
                "Cache": resource(
                    "ElastiCache::ReplicationGroup",
                    Engine="valkey",
                    CacheNodeType="cache.t4g.micro",
                    ReplicasPerNodeGroup=1,
                ),
                "Old": resource("RDS::DBInstance", Engine="db2-se", DBInstanceClass="db.m5.large"),
            }
        )
        assert [(one.id, one.title, one.service, one.details) for one in found.nodes] == [
            ("Cluster", "Aurora PostgreSQL", "RDS", ("0.5-4 ACU", "1 instance")),
            ("Cache", "Valkey", "ElastiCache", ("2 x cache.t4g.micro",)),
            ("Old", "db2-se", "RDS", ("db.m5.large",)),
        ]


class TestFunctions:
    def test_what_only_deployment_starts_is_left_out_and_counted(self) -> None:
        found = graph(
            {
                "Thing": {"Type": "Custom::Thing", "Properties": {"ServiceToken": att("Framework")}},
                "Framework": resource(
                    "Lambda::Function", Environment={"Variables": {"ON_EVENT": att("Handler")}}
                ),
                "Handler": resource("Lambda::Function"),
                "Worker": resource("Lambda::Function", FunctionName="worker"),
            }
        )
        assert [one.title for one in found.nodes] == ["worker"]
        assert found.notes == ("2 Lambda functions for deployment only",)

    def test_a_function_that_deployment_starts_and_everybody_may_call_is_shown(self) -> None:
        found = graph(
            {
                "Thing": {"Type": "Custom::Thing", "Properties": {"ServiceToken": att("Both")}},
                "Both": resource("Lambda::Function"),
                "Url": resource("Lambda::Url", TargetFunctionArn=att("Both"), AuthType="NONE"),
            }
        )
        assert edges(found) == {(VIEWER, "Both")}
        assert found.notes == ()

    def test_a_long_description_is_no_title(self) -> None:
        found = graph({"HandlerAB12CD34": resource("Lambda::Function", Description="x" * 60)})
        assert [one.title for one in found.nodes] == ["Handler"]


class TestTheWhole:
    def test_the_shop(self) -> None:
        found = from_file("shop.template.json")
        assert {one.tier for one in found.nodes} >= {Tier.VIEWER, Tier.ENTRY_POINT, Tier.COMPUTE}
        assert "shop" in [one.title for one in found.of(Tier.COMPUTE)]

    def test_ways_out_are_noted(self) -> None:
        resources = {
            "Gateway": resource("EC2::NatGateway"),
            "Instance": resource("EC2::Instance"),
            "Other": resource("EC2::Instance"),
            "A": resource("EC2::Route", NatGatewayId=ref("Gateway")),
            "B": resource("EC2::Route", NatGatewayId=ref("Gateway")),
            "C": resource("EC2::Route", InstanceId=ref("Instance")),
        }
        assert graph(resources).notes == (
            "1 NAT gateway as the way out to the internet",
            "1 NAT instance as the way out to the internet",
        )

    def test_of_very_many_parts_only_the_connected_ones_are_shown(self) -> None:
        many = {f"F{number}": resource("Lambda::Function") for number in range(40)}
        connected = {**service("web"), **service("api", 1), "R": rule("webGroup", "apiGroup", 1)}
        found = graph({**many, **connected})
        assert [one.id for one in found.nodes] == ["web", "api"]
        assert found.notes == ("40 parts that nothing connects",)
        assert len(graph(dict(list(many.items())[:30])).nodes) == 30

    def test_both_ends_of_an_edge_are_nodes(self) -> None:
        for name in ("shop.template.json", "mailbox.template.json", "odd.json"):
            found = from_file(name)
            ids = [one.id for one in found.nodes]
            assert len(ids) == len(set(ids))
            assert {end for pair in edges(found) for end in pair} <= set(ids)

    def test_nothing_at_all(self) -> None:
        assert graph({}) == Graph(nodes=(), edges=())
        assert read_graph(Subject(name="x", parts=())) == Graph(nodes=(), edges=())


TYPES = [
    *("ApiGatewayV2::Api", "ApiGatewayV2::Authorizer", "ApiGatewayV2::Integration", "ApiGatewayV2::Route"),
    *("ApiGatewayV2::VpcLink", "CloudFront::Distribution", "CloudFront::VpcOrigin", "DynamoDB::Table"),
    *("EC2::Route", "EC2::SecurityGroup", "EC2::SecurityGroupIngress", "ECS::Service", "ECS::TaskDefinition"),
    *("ElastiCache::ReplicationGroup", "ElasticLoadBalancingV2::Listener", "IAM::Policy", "IAM::Role"),
    *("ElasticLoadBalancingV2::ListenerRule", "ElasticLoadBalancingV2::LoadBalancer"),
    *("ElasticLoadBalancingV2::TargetGroup", "Lambda::Alias", "Lambda::Function", "Lambda::Url"),
    *("Lambda::Version", "RDS::DBCluster", "RDS::DBInstance", "S3::Bucket", "SSM::Parameter"),
    *("ServiceDiscovery::Service", "WAFv2::WebACLAssociation", "Quantum::Teleporter"),
]
IDS = ["A", "B", "C", "D", "E"]
KEYS = [
    *("Actions", "ApiId", "AuthorizerUri", "CacheBehaviors", "ConnectionId", "ContainerDefinitions"),
    *(
        "DefaultActions",
        "DefaultCacheBehavior",
        "DistributionConfig",
        "DomainName",
        "Environment",
        "FromPort",
    ),
    *("FunctionAssociations", "FunctionName", "GroupId", "Id", "IntegrationUri", "ListenerArn"),
    *("LoadBalancerArn", "LoadBalancers", "NatGatewayId", "Origins", "ParameterName", "PolicyDocument"),
    *(
        "PortMappings",
        "ProtocolType",
        "ResourceArn",
        "Roles",
        "RouteKey",
        "SecurityGroupIngress",
        "ServiceToken",
    ),
    *("SourceSecurityGroupId", "Statement", "Target", "TargetFunctionArn", "TargetGroupArn", "Targets"),
    *("TargetOriginId", "TaskDefinition", "Type", "VpcOriginConfig", "WebACLArn", "WebACLId"),
]
REFERENCES = st.sampled_from([*map(ref, IDS), *map(att, IDS)])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["forward", "HTTP", "Allow", "A"])
    | REFERENCES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=15,
)
TEMPLATE = st.dictionaries(
    st.sampled_from(IDS),
    st.fixed_dictionaries(
        {"Type": st.sampled_from(TYPES).map("AWS::{}".format)},
        optional={"Properties": st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6) | VALUES},
    )
    | VALUES,
)


@given(st.lists(TEMPLATE, max_size=2))
@settings(max_examples=300)
def test_any_template_has_a_graph(stacks: list[Resources]) -> None:
    found = graph(*stacks)
    ids = [one.id for one in found.nodes]
    assert len(ids) == len(set(ids))
    assert {end for pair in edges(found) for end in pair} <= set(ids)
    assert {one.host for one in found.nodes if one.host is not None} <= set(ids)
