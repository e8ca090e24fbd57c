"""What leads out of a network without internet egress: endpoints with their policies, and DNS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_route53resolver as route53resolver
from constructs import Construct

from dify_cdk.cdk_helpers.nag import acknowledge

_PLATFORM_ENDPOINTS = {
    "EcrApi": "ecr.api",
    "EcrDocker": "ecr.dkr",
    "Logs": "logs",
    "SecretsManager": "secretsmanager",
    "Ssm": "ssm",
    "SsmMessages": "ssmmessages",
}
_MODEL_ENDPOINTS = {
    "Bedrock": "bedrock",
    "BedrockRuntime": "bedrock-runtime",
    "BedrockAgentRuntime": "bedrock-agent-runtime",
}
ENDPOINT_SERVICES = (*_PLATFORM_ENDPOINTS.values(), *_MODEL_ENDPOINTS.values())
"""Services of the interface endpoints in a network without internet egress; S3 has a gateway endpoint."""

# Base models and the channels of ECS Exec are no account's, so that only the caller's account can be asked.
_WITHOUT_OWNER = (*_MODEL_ENDPOINTS.values(), "ssmmessages")

OWN_RANGE_REASON = {"AwsSolutions-EC23": "only the VPC's own address space is let in"}


def open_s3(endpoint: ec2.GatewayVpcEndpoint, accounts: Sequence[str]) -> None:
    """Let through what stays in these accounts, and the layers of images.

    Args:
        endpoint: The endpoint, without a policy so far.
        accounts: Ids of the accounts.
    """
    stack = cdk.Stack.of(endpoint)
    endpoint.add_to_policy(_within(accounts, has_owner=True))
    # Amazon ECR signs for its own bucket, see
    # https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html#ecr-setting-up-s3-gateway
    layers = f"arn:{stack.partition}:s3:::prod-{stack.region}-starport-layer-bucket/*"
    endpoint.add_to_policy(
        iam.PolicyStatement(
            principals=[iam.AnyPrincipal()], actions=["s3:GetObject"], resources=[layers], sid="ImageLayers"
        )
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoints:
    """Interface endpoints in two groups, because what reaches a model must not be open to the sandbox.

    Attributes:
        models: Security group of those of Amazon Bedrock, which lets nobody in so far; None without them.
        all: Those of both groups.
    """

    models: ec2.SecurityGroup | None
    all: Sequence[ec2.InterfaceVpcEndpoint]


def define_endpoints(
    scope: Construct,
    *,
    vpc: ec2.Vpc,
    subnets: ec2.SubnetSelection,
    accounts: Sequence[str],
    with_models: bool,
) -> Endpoints:
    """Endpoints of what tasks and models need.

    Each passes on only what callers of these accounts ask for, and, where what they ask for has an owner,
    only what is these accounts' own.

    Args:
        scope: Parent of the security groups; the endpoints are children of the VPC.
        vpc: The VPC.
        subnets: Where the endpoints get addresses.
        accounts: Ids of the accounts.
        with_models: Whether Amazon Bedrock is among them.
    """
    platform = ec2.SecurityGroup(
        scope,
        "PlatformEndpoints",
        vpc=vpc,
        allow_all_outbound=False,
        description="What every task needs to start",
    )
    platform.add_ingress_rule(ec2.Peer.ipv4(vpc.vpc_cidr_block), ec2.Port.HTTPS, "Every task")
    acknowledge(platform, OWN_RANGE_REASON)
    groups = [(platform, _PLATFORM_ENDPOINTS)]
    models = None
    if with_models:
        models = ec2.SecurityGroup(
            scope, "ModelEndpoints", vpc=vpc, allow_all_outbound=False, description="Amazon Bedrock"
        )
        groups.append((models, _MODEL_ENDPOINTS))
    found = []
    for group, services in groups:
        for name, service in services.items():
            endpoint = vpc.add_interface_endpoint(
                name,
                service=ec2.InterfaceVpcEndpointAwsService(service),
                security_groups=[group],
                open=False,
                subnets=subnets,
            )
            endpoint.add_to_policy(_within(accounts, has_owner=service not in _WITHOUT_OWNER))
            found.append(endpoint)
    return Endpoints(models=models, all=found)


def _within(accounts: Sequence[str], *, has_owner: bool) -> iam.PolicyStatement:
    keys = ("aws:PrincipalAccount", "aws:ResourceAccount") if has_owner else ("aws:PrincipalAccount",)
    conditions: dict[str, Any] = {"StringEquals": {key: list(accounts) for key in keys}}
    return iam.PolicyStatement(
        sid="OwnAccounts",
        principals=[iam.AnyPrincipal()],
        actions=["*"],
        resources=["*"],
        conditions=conditions,
    )


class DnsFirewall(Construct):
    """Answers of the VPC's DNS for names of AWS, of the VPC and of a list; any other name does not exist.

    Args:
        vpc_id: Id of the VPC.
        domains: Further domains, such as ``example.internal`` or ``*.example.internal``.
    """

    def __init__(self, scope: Construct, id: str, *, vpc_id: str, domains: Sequence[str]) -> None:
        super().__init__(scope, id)
        # Not in-addr.arpa: who owns a public range answers for its reverse names too.
        own = (f"*.{cdk.Aws.URL_SUFFIX}", "*.compute.internal", "*.ec2.internal")
        self._allowed = route53resolver.CfnFirewallDomainList(self, "Allowed", domains=[*own, *domains])
        everything = route53resolver.CfnFirewallDomainList(self, "Everything", domains=["*"])
        rule = route53resolver.CfnFirewallRuleGroup.FirewallRuleProperty
        group = route53resolver.CfnFirewallRuleGroup(
            self,
            "Rules",
            firewall_rules=[
                rule(action="ALLOW", priority=1, firewall_domain_list_id=self._allowed.attr_id),
                rule(
                    action="BLOCK",
                    block_response="NXDOMAIN",
                    priority=2,
                    firewall_domain_list_id=everything.attr_id,
                ),
            ],
        )
        route53resolver.CfnFirewallRuleGroupAssociation(
            self, "Association", firewall_rule_group_id=group.attr_id, priority=101, vpc_id=vpc_id
        )

    def allow(self, domain: str) -> None:
        """Let another domain be answered."""
        domains = self._allowed.domains or []
        if domain not in domains:
            self._allowed.domains = [*domains, domain]
