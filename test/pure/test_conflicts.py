"""Why a deployment would fail: every rule with a pair of templates that it stops, and one that passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import botocore.session
import pytest

from dify_cdk.report.plan.plan import Action
from dify_cdk.report.plan.unique_keys import UNIQUE_KEYS, rows_for
from plans import Resources, action, between, between_apps, kinds, one, stack, the_conflict
from template_parts import att, ref

ELB = "AWS::ElasticLoadBalancingV2"
ALB, LISTENER, RULE, GROUP = (
    f"{ELB}::{name}" for name in ("LoadBalancer", "Listener", "ListenerRule", "TargetGroup")
)
NAMESPACE, CLOUD_MAP = "AWS::ServiceDiscovery::PrivateDnsNamespace", "AWS::ServiceDiscovery::Service"
SERVICE = "AWS::ECS::Service"

SHARED: Resources = {
    "Vpc": one("AWS::EC2::VPC", CidrBlock="10.0.0.0/16"),
    "Vpc2": one("AWS::EC2::VPC", CidrBlock="10.1.0.0/16"),
    "Subnet": one("AWS::EC2::Subnet", VpcId=ref("Vpc"), CidrBlock="10.0.1.0/24"),
    "Subnet2": one("AWS::EC2::Subnet", VpcId=ref("Vpc"), CidrBlock="10.0.2.0/24"),
    "Table": one("AWS::EC2::RouteTable", VpcId=ref("Vpc")),
    "Table2": one("AWS::EC2::RouteTable", VpcId=ref("Vpc")),
    "Space": one(NAMESPACE, Name="dify.internal", Vpc=ref("Vpc")),
    "Space2": one(NAMESPACE, Name="other.internal", Vpc=ref("Vpc")),
    "Cluster": one("AWS::ECS::Cluster", ServiceConnectDefaults={"Namespace": "dify.internal"}),
    "Alb": one(ALB),
    "Alb2": one(ALB),
    "Http": one(LISTENER, LoadBalancerArn=ref("Alb"), Port=80),
    "Http2": one(LISTENER, LoadBalancerArn=ref("Alb2"), Port=80),
    "Api": one("AWS::ApiGatewayV2::Api", Name="api"),
    "Api2": one("AWS::ApiGatewayV2::Api", Name="api"),
    "Zone": one("AWS::Route53::HostedZone", Name="example.com"),
    "Group": one("AWS::EC2::SecurityGroup", VpcId=ref("Vpc"), GroupDescription="a"),
    "Group2": one("AWS::EC2::SecurityGroup", VpcId=ref("Vpc"), GroupDescription="b"),
    "Address": one("AWS::EC2::EIP"),
    "Address2": one("AWS::EC2::EIP"),
    "Function": one("AWS::Lambda::Function"),
    "Function2": one("AWS::Lambda::Function"),
    "Role": one("AWS::IAM::Role"),
    "Role2": one("AWS::IAM::Role"),
    "Files": one("AWS::EFS::FileSystem"),
    "Pool": one("AWS::Cognito::UserPool"),
    "Pool2": one("AWS::Cognito::UserPool"),
}


def connect(*names: str, **options: Any) -> dict[str, Any]:
    """Properties of an ECS service that joins Service Connect under these names."""
    services = [{"PortName": "http", "DiscoveryName": name} for name in names]
    return {"ServiceConnectConfiguration": {"Enabled": True, "Services": services, **options}}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A resource that an old one with ``same`` or ``other`` properties stands against."""

    type: str
    old: Mapping[str, Any]
    clash: Mapping[str, Any]
    no_clash: Mapping[str, Any]
    old_type: str = ""
    shared: Resources = field(default_factory=lambda: SHARED)

    def before(self) -> Resources:
        return {**self.shared, "Old": one(self.old_type or self.type, **self.old)}

    def after(self, properties: Mapping[str, Any]) -> Resources:
        return {**self.shared, "New": one(self.type, **properties)}


def named(type: str, name: str = "Name", **more: Any) -> Case:
    return Case(type=type, old={name: "a", **more}, clash={name: "a", **more}, no_clash={name: "b", **more})


def inner(type: str, config: str) -> Case:
    return Case(
        type=type,
        old={config: {"Name": "a"}},
        clash={config: {"Name": "a", "Comment": "x"}},
        no_clash={config: {"Name": "b"}},
    )


def rule(kind: str, peer: str) -> list[Case]:
    base = {"GroupId": att("Group", "GroupId"), "IpProtocol": "tcp", "FromPort": 80, "ToPort": 80}
    listed = [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "CidrIp": "10.0.0.0/8"}]
    everything = {"GroupId": ref("Group"), "IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}
    type = f"AWS::EC2::SecurityGroup{kind}"
    return [
        Case(
            type=type,
            old={**base, f"{peer}SecurityGroupId": att("Group2", "GroupId")},
            clash={**base, f"{peer}SecurityGroupId": att("Group2", "GroupId"), "Description": "again"},
            no_clash={**base, f"{peer}SecurityGroupId": att("Group", "GroupId")},
        ),
        Case(
            type=type,
            old=everything,
            clash={**everything, "FromPort": -1, "ToPort": -1},
            no_clash={**everything, "CidrIp": "10.0.0.0/8"},
        ),
        Case(  # from a list in the group, which is kept, to a resource
            type=type,
            old={},
            clash={**base, "CidrIp": "10.0.0.0/8"},
            no_clash={**base, "CidrIp": "10.0.0.0/9"},
            old_type="AWS::SNS::Topic",
            shared={
                **SHARED,
                "Group": one("AWS::EC2::SecurityGroup", **{f"SecurityGroup{kind}": listed}),
            },
        ),
    ]


RECORD = {"HostedZoneId": ref("Zone"), "Name": "dify.example.com.", "Type": "A"}
EIP_USE = {"AllocationId": att("Address", "AllocationId")}
ENDPOINT = {"VpcId": ref("Vpc"), "ServiceName": "com.amazonaws.eu-west-1.s3"}
DOMAIN = "AWS::ApiGatewayV2::DomainName"

CASES: dict[str, list[Case]] = {
    "name in the Cloud Map namespace": [
        Case(
            type=CLOUD_MAP,
            old={"Name": "api", "NamespaceId": ref("Space")},
            clash={"Name": "API", "DnsConfig": {"NamespaceId": att("Space", "Id")}},
            no_clash={"Name": "api", "NamespaceId": ref("Space2")},
        ),
        Case(
            type=SERVICE,
            old={"Cluster": ref("Cluster"), **connect("api", Namespace=att("Space"))},
            clash={"Cluster": ref("Cluster"), **connect("web", "api")},
            no_clash={"Cluster": ref("Cluster"), **connect("api-lambda", Namespace=att("Space"))},
        ),
        Case(
            type=SERVICE,
            old={"Name": "api", "NamespaceId": ref("Space")},
            clash=connect("api", Namespace="dify.internal"),
            no_clash={"ServiceConnectConfiguration": {"Enabled": False}},
            old_type=CLOUD_MAP,
        ),
        Case(
            type=SERVICE,
            old=connect("http", Namespace=att("Space")),
            clash={
                "ServiceConnectConfiguration": {
                    "Enabled": "true",
                    "Namespace": att("Space"),
                    "Services": [{"PortName": "http"}],
                }
            },
            no_clash=connect("http", Namespace=att("Space2")),
        ),
    ],
    "namespace of the VPC": [
        Case(
            type=NAMESPACE,
            old={"Name": "x.internal", "Vpc": ref("Vpc")},
            clash={"Name": "x.internal", "Vpc": ref("Vpc")},
            no_clash={"Name": "x.internal", "Vpc": ref("Vpc2")},
        )
    ],
    "HTTP namespace": [named("AWS::ServiceDiscovery::HttpNamespace")],
    "service name in the ECS cluster": [
        Case(
            type=SERVICE,
            old={"Cluster": ref("Cluster"), "ServiceName": "api"},
            clash={"Cluster": att("Cluster"), "ServiceName": "api"},
            no_clash={"Cluster": ref("Cluster")},
        )
    ],
    "DNS record": [
        Case(
            type="AWS::Route53::RecordSet",
            old=RECORD,
            clash={**RECORD, "Name": "Dify.example.com", "TTL": "60"},
            no_clash={**RECORD, "Type": "AAAA"},
        ),
        Case(
            type="AWS::Route53::RecordSetGroup",
            old=RECORD,
            clash={"HostedZoneId": ref("Zone"), "RecordSets": [{"Name": "dify.example.com", "Type": "A"}]},
            no_clash={"HostedZoneId": ref("Zone"), "RecordSets": [{"Name": "x.example.com", "Type": "A"}]},
            old_type="AWS::Route53::RecordSet",
        ),
        Case(
            type="AWS::Route53::RecordSet",
            old={
                "HostedZoneName": "example.com.",
                "Name": "a.example.com",
                "Type": "A",
                "SetIdentifier": "1",
            },
            clash={
                "HostedZoneName": "example.com",
                "Name": "a.example.com",
                "Type": "A",
                "SetIdentifier": "1",
            },
            no_clash={
                "HostedZoneName": "example.com",
                "Name": "a.example.com",
                "Type": "A",
                "SetIdentifier": "2",
            },
        ),
    ],
    "alias of a CloudFront distribution": [
        Case(
            type="AWS::CloudFront::Distribution",
            old={"DistributionConfig": {"Aliases": ["dify.example.com"]}},
            clash={"DistributionConfig": {"Aliases": ["a.example.com", "Dify.example.com"]}},
            no_clash={"DistributionConfig": {"Aliases": ["a.example.com"]}},
        )
    ],
    "domain name in API Gateway": [
        named(DOMAIN, "DomainName"),
        Case(
            type="AWS::ApiGateway::DomainName",
            old={"DomainName": "a.example.com"},
            clash={"DomainName": "A.example.com"},
            no_clash={"DomainName": "b.example.com"},
            old_type=DOMAIN,
        ),
    ],
    "path of the domain name in API Gateway": [
        Case(
            type="AWS::ApiGatewayV2::ApiMapping",
            old={"DomainName": "a.example.com", "ApiId": ref("Api")},
            clash={"DomainName": "a.example.com", "ApiId": ref("Api2")},
            no_clash={"DomainName": "a.example.com", "ApiId": ref("Api2"), "ApiMappingKey": "v2"},
        )
    ],
    "route of the API": [
        Case(
            type="AWS::ApiGatewayV2::Route",
            old={"ApiId": ref("Api"), "RouteKey": "ANY /{proxy+}"},
            clash={"ApiId": ref("Api"), "RouteKey": "ANY /{proxy+}"},
            no_clash={"ApiId": ref("Api2"), "RouteKey": "ANY /{proxy+}"},
        )
    ],
    "Cognito domain": [
        Case(
            type="AWS::Cognito::UserPoolDomain",
            old={"Domain": "dify", "UserPoolId": ref("Pool")},
            clash={"Domain": "dify", "UserPoolId": ref("Pool2")},
            no_clash={"Domain": "dify2", "UserPoolId": ref("Pool2")},
        )
    ],
    "port of the load balancer": [
        Case(
            type=LISTENER,
            old={"LoadBalancerArn": ref("Alb"), "Port": 443},
            clash={"LoadBalancerArn": ref("Alb"), "Port": "443"},
            no_clash={"LoadBalancerArn": ref("Alb2"), "Port": 443},
        )
    ],
    "priority of the listener": [
        Case(
            type=RULE,
            old={"ListenerArn": ref("Http"), "Priority": 10},
            clash={"ListenerArn": ref("Http"), "Priority": 10},
            no_clash={"ListenerArn": ref("Http2"), "Priority": 10},
        )
    ],
    "name of a load balancer": [named(ALB)],
    "name of a target group": [named(GROUP)],
    "Elastic IP": [
        Case(
            type="AWS::EC2::EIPAssociation",
            old={**EIP_USE, "InstanceId": "i-1"},
            clash={"EIP": ref("Address"), "InstanceId": "i-2"},
            no_clash={"EIP": ref("Address2"), "InstanceId": "i-2"},
        ),
        Case(
            type="AWS::EC2::NatGateway",
            old={**EIP_USE, "InstanceId": "i-1"},
            clash={**EIP_USE, "SubnetId": ref("Subnet")},
            no_clash={"ConnectivityType": "private", "SubnetId": ref("Subnet")},
            old_type="AWS::EC2::EIPAssociation",
        ),
        Case(
            type="AWS::EC2::EIPAssociation",
            old={},
            clash=EIP_USE,
            no_clash={"AllocationId": att("Address2", "AllocationId")},
            old_type="AWS::SNS::Topic",
            shared={**SHARED, "Address": one("AWS::EC2::EIP", InstanceId="i-1")},
        ),
    ],
    "destination in the route table": [
        Case(
            type="AWS::EC2::Route",
            old={"RouteTableId": ref("Table"), "DestinationCidrBlock": "0.0.0.0/0", "InstanceId": "i-1"},
            clash={"RouteTableId": ref("Table"), "DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "n-1"},
            no_clash={"RouteTableId": ref("Table"), "DestinationIpv6CidrBlock": "::/0"},
        )
    ],
    "service in the route table": [
        Case(
            type="AWS::EC2::VPCEndpoint",
            old={**ENDPOINT, "RouteTableIds": [ref("Table")]},
            clash={**ENDPOINT, "RouteTableIds": [ref("Table2"), ref("Table")], "VpcEndpointType": "Gateway"},
            no_clash={**ENDPOINT, "RouteTableIds": [ref("Table2")]},
        )
    ],
    "private DNS name of the service in the VPC": [
        Case(
            type="AWS::EC2::VPCEndpoint",
            old={**ENDPOINT, "VpcEndpointType": "Interface", "PrivateDnsEnabled": True},
            clash={**ENDPOINT, "VpcEndpointType": "Interface", "PrivateDnsEnabled": True},
            no_clash={**ENDPOINT, "VpcEndpointType": "Interface", "PrivateDnsEnabled": False},
        )
    ],
    "route table of the subnet": [
        Case(
            type="AWS::EC2::SubnetRouteTableAssociation",
            old={"SubnetId": ref("Subnet"), "RouteTableId": ref("Table")},
            clash={"SubnetId": ref("Subnet"), "RouteTableId": ref("Table2")},
            no_clash={"SubnetId": ref("Subnet2"), "RouteTableId": ref("Table")},
        )
    ],
    "internet gateway of the VPC": [
        Case(
            type="AWS::EC2::VPCGatewayAttachment",
            old={"VpcId": ref("Vpc"), "InternetGatewayId": "igw-1"},
            clash={"VpcId": ref("Vpc"), "InternetGatewayId": "igw-2"},
            no_clash={"VpcId": ref("Vpc"), "VpnGatewayId": "vgw-1"},
        )
    ],
    "ingress rule of the security group": rule("Ingress", "Source"),
    "egress rule of the security group": rule("Egress", "Destination"),
    "name of a security group in the VPC": [
        Case(
            type="AWS::EC2::SecurityGroup",
            old={"GroupName": "a", "VpcId": ref("Vpc")},
            clash={"GroupName": "a", "VpcId": att("Vpc", "VpcId")},
            no_clash={"GroupName": "a", "VpcId": ref("Vpc2")},
        )
    ],
    "name of a launch template": [named("AWS::EC2::LaunchTemplate", "LaunchTemplateName")],
    "mount target of the file system in the subnet": [
        Case(
            type="AWS::EFS::MountTarget",
            old={"FileSystemId": ref("Files"), "SubnetId": ref("Subnet")},
            clash={"FileSystemId": ref("Files"), "SubnetId": ref("Subnet")},
            no_clash={"FileSystemId": ref("Files"), "SubnetId": ref("Subnet2")},
        )
    ],
    "name of a secret": [named("AWS::SecretsManager::Secret")],
    "name of an IAM policy": [named("AWS::IAM::ManagedPolicy", "ManagedPolicyName")],
    "inline policy of the role": [
        Case(
            type="AWS::IAM::Policy",
            old={"PolicyName": "a", "Roles": [ref("Role"), ref("Role2")]},
            clash={"PolicyName": "a", "Roles": [ref("Role2")]},
            no_clash={"PolicyName": "b", "Roles": [ref("Role2")]},
        )
    ],
    "function URL of the Lambda function": [
        Case(
            type="AWS::Lambda::Url",
            old={"TargetFunctionArn": att("Function")},
            clash={"TargetFunctionArn": ref("Function")},
            no_clash={"TargetFunctionArn": att("Function"), "Qualifier": "live"},
        )
    ],
    "alias of the Lambda function": [
        Case(
            type="AWS::Lambda::Alias",
            old={"FunctionName": ref("Function"), "Name": "live"},
            clash={"FunctionName": att("Function"), "Name": "live"},
            no_clash={"FunctionName": ref("Function2"), "Name": "live"},
        )
    ],
    "event source of the Lambda function": [
        Case(
            type="AWS::Lambda::EventSourceMapping",
            old={"FunctionName": ref("Function"), "EventSourceArn": "arn:q"},
            clash={"FunctionName": ref("Function"), "EventSourceArn": "arn:q"},
            no_clash={"FunctionName": ref("Function"), "EventSourceArn": "arn:r"},
        )
    ],
    "name of a CloudFront Function": [named("AWS::CloudFront::Function")],
    "name of a CloudFront origin access control": [
        inner("AWS::CloudFront::OriginAccessControl", "OriginAccessControlConfig")
    ],
    "name of a CloudFront cache policy": [inner("AWS::CloudFront::CachePolicy", "CachePolicyConfig")],
    "name of a CloudFront origin request policy": [
        inner("AWS::CloudFront::OriginRequestPolicy", "OriginRequestPolicyConfig")
    ],
    "name of a CloudFront response headers policy": [
        inner("AWS::CloudFront::ResponseHeadersPolicy", "ResponseHeadersPolicyConfig")
    ],
    "name of a WAF web ACL": [named("AWS::WAFv2::WebACL", Scope="REGIONAL")],
    "name of a WAF IP set": [named("AWS::WAFv2::IPSet", Scope="REGIONAL")],
    "name of a WAF rule group": [named("AWS::WAFv2::RuleGroup", Scope="REGIONAL")],
    "name of a WAF regex pattern set": [named("AWS::WAFv2::RegexPatternSet", Scope="REGIONAL")],
    "name of a queue": [named("AWS::SQS::Queue", "QueueName")],
    "name of a state machine": [named("AWS::StepFunctions::StateMachine", "StateMachineName")],
    "name of a build project": [named("AWS::CodeBuild::Project")],
    # identifiers of types, a few of very many
    "BucketName of AWS::S3::Bucket": [named("AWS::S3::Bucket", "BucketName")],
    "LogGroupName of AWS::Logs::LogGroup": [named("AWS::Logs::LogGroup", "LogGroupName")],
    "Name of AWS::SSM::Parameter": [named("AWS::SSM::Parameter")],
    "RoleName of AWS::IAM::Role": [named("AWS::IAM::Role", "RoleName")],
    "FunctionName of AWS::Lambda::Function": [named("AWS::Lambda::Function", "FunctionName")],
    "DBClusterIdentifier of AWS::RDS::DBCluster": [named("AWS::RDS::DBCluster", "DBClusterIdentifier")],
    "Bucket of AWS::S3::BucketPolicy": [named("AWS::S3::BucketPolicy", "Bucket")],
}
PAIRS = [
    pytest.param(what, case, id=f"{what} {number}")
    for what, cases in CASES.items()
    for number, case in enumerate(cases)
]


class TestEveryRow:
    @pytest.mark.parametrize(("what", "case"), PAIRS)
    def test_fails_when_a_new_resource_needs_what_an_old_one_has(self, what: str, case: Case) -> None:
        result = between(case.before(), case.after(case.clash))
        found = the_conflict(result)
        assert (found.what, found.newcomer.logical_id, found.newcomer.action) == (what, "New", Action.ADDED)
        assert found.holder.logical_id in {"Old", "Group", "Address"}
        assert found.text.startswith("New (added) needs the ")
        assert result.is_finding

    @pytest.mark.parametrize(("what", "case"), PAIRS)
    def test_no_conflict_about_another_one(self, what: str, case: Case) -> None:
        assert kinds(between(case.before(), case.after(case.no_clash))) == []

    @pytest.mark.parametrize(("what", "case"), PAIRS)
    def test_no_conflict_if_nothing_changes_or_all_goes(self, what: str, case: Case) -> None:
        assert kinds(between(case.before(), case.before())) == []
        assert kinds(between(case.before(), {})) == []
        assert kinds(between({}, case.before())) == []

    def test_every_row_and_type_has_such_a_pair(self) -> None:
        tested = {(what, case.type) for what, cases in CASES.items() for case in cases}
        tested |= {(what, case.old_type) for what, cases in CASES.items() for case in cases}
        inline = {
            (f"{kind} rule of the security group", "AWS::EC2::SecurityGroup")
            for kind in ("ingress", "egress")
        }
        rows = {(row.what, type) for row in UNIQUE_KEYS for type in row.types}
        assert rows - inline - {("Elastic IP", "AWS::EC2::EIP")} <= tested

    @pytest.mark.parametrize("row", UNIQUE_KEYS, ids=lambda row: f"{row.what} {row.call}")
    def test_the_api_can_answer_what_the_row_says(self, row: Any) -> None:
        """EC2's models declare no errors; they are on the page that those rows name."""
        service, _, operation = row.call.partition(":")
        model = botocore.session.get_session().get_service_model(service).operation_model(operation)
        declared = {shape.name for shape in model.error_shapes}
        assert row.error in declared or service == "ec2" or row.error == ""
        assert row.source.startswith(("https://docs.aws.amazon.com/", "https://github.com/"))

    def test_what_has_no_name_is_not_unique(self) -> None:
        for type in ("AWS::S3::Bucket", "AWS::SecretsManager::Secret", "AWS::IAM::Role", GROUP):
            assert kinds(between({"Old": one(type)}, {"New": one(type)})) == []

    def test_no_type_has_two_rows_for_the_same(self) -> None:
        for row in UNIQUE_KEYS:
            for type in row.types:
                found = [other.what for other in rows_for(type)]
                assert len(found) == len(set(found))


class TestWhoHoldsIt:
    @staticmethod
    def rules(**priorities: int) -> Resources:
        return {id: one(RULE, ListenerArn="l", Priority=number) for id, number in priorities.items()}

    def test_fails_when_two_rules_swap_their_priorities(self) -> None:
        result = between(self.rules(A=1, B=2), self.rules(A=2, B=1))
        assert [found.newcomer.logical_id for found in result.conflicts] == ["A", "B"]
        assert result.conflicts[0].remedy == "deploy the change of B first, on its own"

    def test_fails_when_a_kept_rule_has_it(self) -> None:
        found = the_conflict(between(self.rules(A=1), self.rules(A=1, B=1)))
        assert (found.holder.logical_id, found.holder.action) == ("A", Action.KEPT)
        assert found.remedy == "give B another one, or remove A"

    def test_a_free_priority_is_no_conflict(self) -> None:
        assert kinds(between(self.rules(A=1, B=2), self.rules(A=3, B=2))) == []

    def test_who_is_updated_first_makes_room(self) -> None:
        old = self.rules(A=1)
        freed = {**self.rules(A=2), "B": {**self.rules(B=1)["B"], "DependsOn": ["A"]}}
        assert kinds(between(old, freed)) == []
        assert kinds(between(old, {**self.rules(A=2), **self.rules(B=1)})) == ["priority of the listener"]

    def test_fails_when_who_is_updated_first_keeps_it(self) -> None:
        old = self.rules(A=1)
        updated = {"A": one(RULE, ListenerArn="l", Priority=1, Actions=[{"Type": "fixed-response"}])}
        after = {**updated, "B": {**self.rules(B=1)["B"], "DependsOn": ["A"]}}
        assert kinds(between(old, after)) == ["priority of the listener"]

    def test_what_a_policy_leaves_behind_still_has_its_name(self) -> None:
        bucket = one("AWS::S3::Bucket", BucketName="a") | {"DeletionPolicy": "Retain"}
        found = the_conflict(between({"Old": bucket}, {"New": bucket}))
        assert found.remedy.startswith("import the existing Old as New")

    @pytest.mark.parametrize(
        ("type", "name", "immutable"),
        [
            (GROUP, "Name", "Port"),
            ("AWS::DynamoDB::Table", "TableName", "ImportSourceSpecification"),
            ("AWS::ElastiCache::ReplicationGroup", "ReplicationGroupId", "Port"),
        ],
    )
    def test_fails_when_something_with_a_name_is_replaced(self, type: str, name: str, immutable: str) -> None:
        """CloudFormation cannot update a stack when a custom-named resource requires replacing."""
        before, after = (one(type, **{name: "mine", immutable: value}) for value in (1, 2))
        found = the_conflict(between({"X": before}, {"X": after}))
        assert found.newcomer == found.holder
        assert found.text.startswith("X (replaced) is made anew while the old one still has")
        renamed = one(type, **{name: "other", immutable: 2})
        assert kinds(between({"X": before}, {"X": renamed})) == []
        unnamed = one(type, **{immutable: 2})
        assert kinds(between({"X": before}, {"X": unnamed})) == []

    def test_fails_when_a_service_connect_service_is_replaced(self) -> None:
        """Discovery names are unique, also for the new copy of a service in another cluster."""

        def app(cluster: str, name: str) -> Resources:
            space = one(NAMESPACE, Name="n", Vpc="v")
            service = one(SERVICE, Cluster=cluster, **connect(name, Namespace=att("Space")))
            return {"Space": space, "Service": service}

        assert kinds(between(app("a", "api"), app("b", "api"))) == ["name in the Cloud Map namespace"]
        assert kinds(between(app("a", "api"), app("b", "api-2"))) == []
        assert kinds(between(app("a", "api"), app("a", "api-2"))) == []

    def test_what_deletes_first_is_not_in_its_own_way(self) -> None:
        def app(instance: str) -> Resources:
            return {"Ip": one("AWS::EC2::EIPAssociation", AllocationId="e", InstanceId=instance)}

        result = between(app("a"), app("b"))
        assert (action(result, "Ip"), kinds(result)) == (Action.REPLACED, [])

    def test_fails_when_a_gateway_moves_with_its_address(self) -> None:
        """A NAT gateway in another subnet is a new one, and its Elastic IP is still at the old one."""

        def app(subnet: str) -> Resources:
            return {"Nat": one("AWS::EC2::NatGateway", AllocationId="eipalloc-1", SubnetId=subnet)}

        found = the_conflict(between(app("a"), app("b")))
        assert (found.what, found.value) == ("Elastic IP", "eipalloc-1")
        assert found.remedy.startswith("give Nat another one in the same deployment")

    def test_a_name_below_something_new_is_free(self) -> None:
        """The listener is replaced with its load balancer: its port is on another one."""

        def app(scheme: str) -> Resources:
            listener = one(LISTENER, LoadBalancerArn=ref("Alb"), Port=80)
            return {"Alb": one(ALB, Scheme=scheme), "Http": listener}

        result = between(app("internal"), app("internet-facing"))
        assert (action(result, "Http"), kinds(result)) == (Action.REPLACED, [])


class TestWhere:
    def test_names_of_two_regions_do_not_meet(self) -> None:
        parameter = {"P": one("AWS::SSM::Parameter", Name="/a")}
        there = stack(parameter, "Edge", "us-east-1")
        here = stack({"Q": one("AWS::SSM::Parameter", Name="/a")}, "Main", "eu-west-1")
        empty = stack({}, "Main", "eu-west-1")
        assert kinds(between_apps([empty, there], [here, there])) == []
        unknown = stack({"Q": one("AWS::SSM::Parameter", Name="/a")}, "Main")
        assert len(between_apps([stack({}), there], [unknown, there]).conflicts) == 1

    def test_names_of_roles_meet_everywhere(self) -> None:
        role = one("AWS::IAM::Role", RoleName="a")
        there = stack({"R": role}, "Edge", "us-east-1")
        before = [stack({}, "Main", "eu-west-1"), there]
        after = [stack({"S": role}, "Main", "eu-west-1"), stack({}, "Edge", "us-east-1")]
        found = the_conflict(between_apps(before, after))
        assert found.remedy == "let stack Edge give it up before stack Main is deployed"

    def test_a_reference_is_the_same_through_an_import(self) -> None:
        outputs = {"L": {"Value": ref("Http"), "Export": {"Name": "listener"}}}
        net = stack({"Http": one(LISTENER, LoadBalancerArn="a", Port=1)}, "Net", Outputs=outputs)
        imported: Any = {"Fn::ImportValue": "listener"}
        old = stack({"Old": one(RULE, ListenerArn=imported, Priority=1)})
        new = stack({"New": one(RULE, ListenerArn=imported, Priority=1)})
        assert kinds(between_apps([old, net], [new, net])) == ["priority of the listener"]


class TestTargetGroups:
    @staticmethod
    def app(
        balancer: str, *, scheme: str = "internal", group: str = "Group", weighted: bool = False
    ) -> Resources:
        target: dict[str, Any] = {"TargetGroupArn": ref(group)}
        forward = {"ForwardConfig": {"TargetGroups": [target]}} if weighted else target
        actions = [{"Type": "forward", **forward}]
        listener = one(
            LISTENER, LoadBalancerArn=ref(balancer), Port=80, DefaultActions=[{"Type": "fixed-response"}]
        )
        return {
            balancer: one(ALB, Scheme=scheme),
            f"{balancer}Http": listener,
            f"{balancer}Rule": one(RULE, ListenerArn=ref(f"{balancer}Http"), Priority=1, Actions=actions),
            group: one(GROUP, Port=80),
        }

    @pytest.mark.parametrize("weighted", [False, True])
    def test_fails_when_a_kept_group_gets_another_load_balancer(self, weighted: bool) -> None:
        result = between(self.app("A", weighted=weighted), self.app("B", weighted=weighted))
        found = the_conflict(result)
        assert (found.what, found.value) == ("load balancer of the target group", "Group")
        assert (
            "BRule (added) ties target group Group to the new B while ARule (removed) ties it to A"
            in found.text
        )

    def test_fails_when_the_load_balancer_is_replaced(self) -> None:
        result = between(self.app("A"), self.app("A", scheme="internet-facing"))
        assert action(result, "A") is Action.REPLACED
        assert "to the new A while" in the_conflict(result).text

    def test_a_group_that_stays_where_it_is_is_no_conflict(self) -> None:
        assert kinds(between(self.app("A"), self.app("A", weighted=True))) == []

    def test_a_group_of_its_own_is_no_conflict(self) -> None:
        assert kinds(between(self.app("A"), self.app("B", group="Group2"))) == []

    def test_a_group_that_is_replaced_too_is_no_conflict(self) -> None:
        before, after = dict(self.app("A")), dict(self.app("B"))
        after["Group"] = one(GROUP, Port=81)
        assert kinds(between(before, after)) == []

    def test_a_group_without_a_load_balancer_may_get_one(self) -> None:
        assert kinds(between({"Group": one(GROUP, Port=80)}, self.app("B"))) == []


class TestSubnets:
    @staticmethod
    def subnets(vpc: str = "Vpc", **networks: str) -> Resources:
        vpcs = {id: one("AWS::EC2::VPC", CidrBlock="10.0.0.0/16") for id in ("Vpc", "Vpc2")}
        return {
            **vpcs,
            **{id: one("AWS::EC2::Subnet", VpcId=ref(vpc), CidrBlock=net) for id, net in networks.items()},
        }

    def test_fails_when_a_new_subnet_overlaps_an_old_one(self) -> None:
        result = between(self.subnets(A="10.0.0.0/24"), self.subnets(B="10.0.0.0/20"))
        assert the_conflict(result).what == "addresses in the VPC"
        assert "New" not in the_conflict(result).text
        assert "B (added) needs 10.0.0.0/20 while A (removed) has 10.0.0.0/24" in the_conflict(result).text

    def test_fails_when_a_subnet_is_replaced_at_the_same_addresses(self) -> None:
        before, after = dict(self.subnets(A="10.0.0.0/24")), dict(self.subnets(A="10.0.0.0/24"))
        after["A"] = one("AWS::EC2::Subnet", VpcId=ref("Vpc"), CidrBlock="10.0.0.0/24", AvailabilityZone="b")
        assert the_conflict(between(before, after)).remedy == "give A other addresses"

    @pytest.mark.parametrize(
        "after",
        [{"B": "10.0.1.0/24"}, {"B": "10.0.0.0/24", "vpc": "Vpc2"}, {"B": "known later"}],
        ids=["beside it", "in another VPC", "unknown"],
    )
    def test_no_conflict(self, after: dict[str, str]) -> None:
        assert kinds(between(self.subnets(A="10.0.0.0/24"), self.subnets(**after))) == []


class TestRefusals:
    def test_fails_when_a_logical_id_gets_another_type(self) -> None:
        result = between({"X": one("AWS::SNS::Topic")}, {"X": one("AWS::SQS::Queue")})
        found = the_conflict(result)
        assert (found.what, action(result, "X")) == ("type of a resource", Action.REPLACED)
        assert found.text.startswith("X was AWS::SNS::Topic and would be AWS::SQS::Queue")
        assert kinds(between({"X": one("AWS::SNS::Topic")}, {"Y": one("AWS::SQS::Queue")})) == []

    def test_fails_when_another_function_answers_for_a_custom_resource(self) -> None:
        def app(name: str, id: str = "Lookup") -> Resources:
            function = one("AWS::Lambda::Function", FunctionName=name)
            return {"F": function, id: one("Custom::Lookup", ServiceToken=att("F"), A=name)}

        found = the_conflict(between(app("a"), app("b")))
        assert found.what == "service token of a custom resource"
        assert "the function behind Lookup is another one (F is replaced)" in found.text
        assert kinds(between(app("a"), app("b", "Lookup2"))) == []

    def test_a_custom_resource_may_change_otherwise(self) -> None:
        def app(value: str) -> Resources:
            return {"C": one("Custom::Lookup", ServiceToken="t", Value=value)}

        assert kinds(between(app("a"), app("b"))) == []


class TestExports:
    @staticmethod
    def net(value: Any, name: str = "vpc", stack_name: str = "Net") -> Any:
        outputs = {"Out": {"Value": value, "Export": {"Name": name}}}
        return stack({"Vpc": one("AWS::EC2::VPC", CidrBlock="10.0.0.0/16")}, stack_name, Outputs=outputs)

    user = stack({"G": one("AWS::SQS::Queue", V={"Fn::ImportValue": "vpc"})})
    free = stack({"G": one("AWS::SQS::Queue", V="vpc-1")})

    def test_fails_when_an_export_goes_that_is_in_use(self) -> None:
        """The exporting stack is deployed first, and the other one still imports."""
        found = the_conflict(between_apps([self.user, self.net("a")], [self.free, stack({}, "Net")]))
        assert found.what == "export in use"
        assert "stack Net no longer exports vpc while the deployed stack Main imports it" in found.text
        assert found.remedy == "deploy stack Main first: cdk deploy --exclusively Main"

    @pytest.mark.parametrize(
        ("reads", "first"),
        [
            ({"Fn::ImportValue": "vpc2"}, False),
            ({"Fn::ImportValue": "other"}, True),
            ({"Fn::GetStackOutput": {"StackName": "Net", "OutputName": "New"}}, False),
            ({"Fn::GetStackOutput": {"StackName": "Net", "OutputName": "Other"}}, True),
        ],
    )
    def test_who_imports_goes_first_only_where_what_it_asks_for_is_there(
        self, reads: Any, first: bool
    ) -> None:
        """As with a secret of another name, which the other stack has yet to make."""
        before, after = self.net("a"), self.net("b", name="vpc2")
        for side in (before, after):
            side.template["Outputs"]["Other"] = {"Value": "o", "Export": {"Name": "other"}}
        after.template["Outputs"]["New"] = {"Value": "n"}
        user = stack({"G": one("AWS::SQS::Queue", V=reads)})
        found = the_conflict(between_apps([self.user, before], [user, after]))
        told = (
            "deploy stack Main first: cdk deploy --exclusively Main"
            if first
            else "keep the export for one deployment, by export_value() of stack Net, "
            "and drop it with the next"
        )
        assert found.remedy == told

    def test_fails_when_an_export_changes_that_is_in_use(self) -> None:
        found = the_conflict(between_apps([self.user, self.net("a")], [self.user, self.net("b")]))
        assert "exports another value as vpc" in found.text

    def test_fails_when_what_is_exported_is_replaced(self) -> None:
        before, after = self.net(ref("Vpc")), self.net(ref("Vpc"))
        after.template["Resources"]["Vpc"] = one("AWS::EC2::VPC", CidrBlock="10.1.0.0/16")
        assert kinds(between_apps([self.user, before], [self.user, after])) == ["export in use"]

    def test_fails_when_two_stacks_export_the_same_name(self) -> None:
        result = between_apps([self.free, self.net("a")], [self.free, self.net("a", stack_name="Net2")])
        assert kinds(result) == ["name of an export"]

    def test_no_conflict_about_an_export_that_nobody_uses_or_that_stays(self) -> None:
        assert kinds(between_apps([self.free, self.net("a")], [self.free, stack({}, "Net")])) == []
        assert kinds(between_apps([self.free, self.net("a")], [self.free, self.net("b")])) == []
        assert kinds(between_apps([self.user, self.net("a")], [self.free, self.net("a")])) == []
        assert kinds(between_apps([self.user, self.net("a")], [self.free])) == []  # it stays as it is
        moved = self.net("a")
        moved.template["Outputs"]["Renamed"] = moved.template["Outputs"].pop("Out")
        assert kinds(between_apps([self.user, self.net("a")], [self.user, moved])) == []
