"""Valkey: Dify's cache, its Celery broker and its event channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
import jsii
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticache as elasticache
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from dify_cdk._checks import require_literal, require_match, require_whole
from dify_cdk.cdk_helpers.nag import acknowledge
from dify_cdk.data.secrets import define_secret
from dify_cdk.dify.environment import BROKER_DATABASE, CACHE_PORT

_ENGINE_VERSION = "8.2"
_MAX_REPLICAS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheSize:
    """Node type and replica count of the cache.

    Attributes:
        node_type: ElastiCache node type.
        replicas: Read replicas beside the primary, 0 to 5. With one or more, a failed primary fails over to
            another zone. With 0, which raises a warning, Dify stops until a failed node is replaced, and the
            new one is empty: waiting jobs are lost, and users sign in again. Changing the number updates the
            cache in place.

    Raises:
        ValueError: If ``replicas`` is out of range or a token, or ``node_type`` is not a name such as
            ``cache.t4g.micro``.

    See https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/quota-limits.html
    """

    node_type: str = "cache.t4g.micro"
    replicas: int = 1

    def __post_init__(self) -> None:
        """Check both."""
        require_literal("CacheSize.replicas", self.replicas, "failover is switched on by it")
        require_whole("CacheSize.replicas", self.replicas, 0, _MAX_REPLICAS)
        meaning = "a node type such as cache.t4g.micro"
        require_match("CacheSize.node_type", self.node_type, r"cache\.[a-z0-9-]+\.[a-z0-9]+", meaning)


@jsii.implements(ec2.IConnectable)
class Cache(Construct):
    """A Valkey replication group with TLS, a token, and cluster mode disabled.

    Dify keeps its cache in database 0 and its job queue in database 1; ElastiCache Serverless and cluster
    mode have database 0 only.

    Args:
        vpc: VPC for the nodes.
        subnets: Subnets for the nodes.
        size: Node type and replicas.
        removal_policy: What happens to the data and the secrets when the stack is deleted.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        subnets: Sequence[ec2.ISubnet],
        size: CacheSize,
        removal_policy: cdk.RemovalPolicy,
    ) -> None:
        super().__init__(scope, id)
        self._node_count = 1 + size.replicas
        self._token = define_secret(self, "Token", "Dify: cache token", removal_policy)
        security_group = ec2.SecurityGroup(
            self, "SecurityGroup", vpc=vpc, allow_all_outbound=False, description="Dify cache"
        )
        self._connections = ec2.Connections(
            security_groups=[security_group], default_port=ec2.Port.tcp(CACHE_PORT)
        )
        subnet_group = elasticache.CfnSubnetGroup(
            self, "Subnets", description="Dify cache", subnet_ids=[subnet.subnet_id for subnet in subnets]
        )
        self._resource = elasticache.CfnReplicationGroup(
            self,
            "Resource",
            replication_group_description="Dify cache and job queue",
            engine="valkey",
            engine_version=_ENGINE_VERSION,
            cache_node_type=size.node_type,
            num_node_groups=1,
            replicas_per_node_group=size.replicas,
            automatic_failover_enabled=size.replicas > 0,
            multi_az_enabled=size.replicas > 0,
            port=CACHE_PORT,
            transit_encryption_enabled=True,
            transit_encryption_mode="required",
            at_rest_encryption_enabled=True,
            auth_token=self._token.secret_value.unsafe_unwrap(),  # a dynamic reference, not the value
            cache_subnet_group_name=subnet_group.ref,
            security_group_ids=[security_group.security_group_id],
        )
        self._resource.apply_removal_policy(removal_policy)
        if not size.replicas:
            self._warn_about_single_node()
        acknowledge(
            self._resource,
            {"AwsSolutions-AEC5": "the standard port is what Dify documents; the security group guards it"},
        )
        self._broker_url = self._define_broker_url(removal_policy)

    @property
    def connections(self) -> ec2.Connections:
        """Security group and port."""
        return self._connections

    @property
    def endpoint(self) -> str:
        """Host name of the primary node (a token)."""
        return self._resource.attr_primary_end_point_address

    @property
    def group_id(self) -> str:
        """Id of the replication group, which no other in the account and region has (a token)."""
        return self._resource.ref

    @property
    def node_ids(self) -> list[str]:
        """Ids of the nodes in metrics (tokens): ElastiCache numbers the nodes of a replication group."""
        return [f"{self.group_id}-{number:03d}" for number in range(1, self._node_count + 1)]

    @property
    def token(self) -> secretsmanager.ISecret:
        """Secret with the token as plain text."""
        return self._token

    @property
    def broker_url(self) -> secretsmanager.ISecret:
        """Secret with Celery's broker URL, which contains the token."""
        return self._broker_url

    def _warn_about_single_node(self) -> None:
        cdk.Validations.of(self).add_warning(
            "DifyCacheSingleNode",
            "CacheSize.replicas=0: when the only node fails, Dify stands still until another one runs, which "
            "starts empty: waiting jobs are lost, and users sign in again",
        )
        acknowledge(self._resource, {"AwsSolutions-AEC4": "one node is the caller's choice, who is warned"})

    def _define_broker_url(self, removal_policy: cdk.RemovalPolicy) -> secretsmanager.Secret:
        token = self._token.secret_value.unsafe_unwrap()
        # Celery stops without ssl_cert_reqs in the URL; the certificate is signed by a public authority.
        url = f"rediss://:{token}@{self.endpoint}:{CACHE_PORT}/{BROKER_DATABASE}?ssl_cert_reqs=required"
        secret = secretsmanager.Secret(
            self,
            "BrokerUrl",
            description="Dify: Celery broker URL",
            removal_policy=removal_policy,
            secret_string_value=cdk.SecretValue.unsafe_plain_text(url),  # holds a dynamic reference only
        )
        acknowledge(secret, {"AwsSolutions-SMG4": "follows the cache token"})
        return secret
