"""Valkey: Dify's cache, its Celery broker and its event channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aws_cdk as cdk
import jsii
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticache as elasticache
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from dify_cdk._arguments import checked
from dify_cdk._checks import require_literal, require_match, require_whole
from dify_cdk.cdk_helpers.nag import acknowledge
from dify_cdk.cdk_helpers.names import guid_part
from dify_cdk.cdk_helpers.references import may_go
from dify_cdk.data.secrets import define_secret, rotated
from dify_cdk.dify.cache_users import DIFY, NOBODY, PLUGIN_DAEMON, CacheUser
from dify_cdk.dify.environment import BROKER_DATABASE, CACHE_PORT
from dify_cdk.options.windows import MaintenanceWindows

_ENGINE = "valkey"
_ENGINE_VERSION = "8.2"
_MAX_REPLICAS = 5
_REASONS = {
    "AwsSolutions-AEC5": "the standard port is what Dify documents; the security group guards it",
    "AwsSolutions-AEC6": "its users have passwords: nobody logs in with a token",
}


@checked
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


@checked
@jsii.implements(ec2.IConnectable)
class Cache(Construct):
    """A Valkey replication group with TLS, two users, and cluster mode disabled.

    Dify keeps its cache in database 0 and its job queue in database 1; ElastiCache Serverless and cluster
    mode have database 0 only. Dify's own components log in as a user who may do everything, and the plugin
    daemon as one who may use its own keys and channels only. Nobody logs in without a name.

    Args:
        vpc: VPC for the nodes.
        subnets: Subnets for the nodes.
        size: Node type and replicas.
        removal_policy: What happens to the data, the users and the secrets when the stack is deleted.
        rotation: How often the passwords have been renewed. Each user has the newest one and the one before.
        windows: When AWS may maintain it. Default: when AWS likes.
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
        rotation: int = 0,
        windows: MaintenanceWindows | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._node_count = 1 + size.replicas
        self._removal_policy = removal_policy
        self._rotation = rotation
        passwords = {
            DIFY: self._define_passwords("Token", DIFY),  # from when there was one for all: ids stay
            PLUGIN_DAEMON: self._define_passwords("PluginToken", PLUGIN_DAEMON),
        }
        self._password, self._plugin_password = (newest for newest, *_ in passwords.values())
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
            engine=_ENGINE,
            engine_version=_ENGINE_VERSION,
            auto_minor_version_upgrade=False,  # as with the database: what runs is what the template says
            preferred_maintenance_window=windows.maintenance if windows else None,
            cache_node_type=size.node_type,
            num_node_groups=1,
            replicas_per_node_group=size.replicas,
            automatic_failover_enabled=size.replicas > 0,
            multi_az_enabled=size.replicas > 0,
            port=CACHE_PORT,
            transit_encryption_enabled=True,
            transit_encryption_mode="required",
            at_rest_encryption_enabled=True,
            user_group_ids=[self._define_users(passwords).ref],
            cache_subnet_group_name=subnet_group.ref,
            security_group_ids=[security_group.security_group_id],
        )
        self._resource.apply_removal_policy(removal_policy)
        acknowledge(self._resource, _REASONS)
        if not size.replicas:
            self._warn_about_single_node()
        self._broker_url = self._define_broker_url()

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
    def password(self) -> secretsmanager.ISecret:
        """Secret with the password of Dify's own components as plain text."""
        return self._password

    @property
    def plugin_password(self) -> secretsmanager.ISecret:
        """Secret with the password of the plugin daemon as plain text."""
        return self._plugin_password

    @property
    def broker_url(self) -> secretsmanager.ISecret:
        """Secret with Celery's broker URL, which contains the password of Dify's own components."""
        return self._broker_url

    def _warn_about_single_node(self) -> None:
        cdk.Validations.of(self).add_warning(
            "DifyCacheSingleNode",
            "CacheSize.replicas=0: when the only node fails, Dify stands still until another one runs, which "
            "starts empty: waiting jobs are lost, and users sign in again",
        )
        acknowledge(self._resource, {"AwsSolutions-AEC4": "one node is the caller's choice, who is warned"})

    def _define_passwords(self, id: str, user: CacheUser) -> list[secretsmanager.Secret]:
        """The newest first. Tasks that run while a new one is deployed still have the one before."""
        return [
            define_secret(self, rotated(id, number), f"Dify: cache user {user.name}", self._removal_policy)
            for number in (self._rotation, self._rotation - 1)
            if number >= 0
        ]

    def _define_users(
        self, passwords: Mapping[CacheUser, Sequence[secretsmanager.Secret]]
    ) -> elasticache.CfnUserGroup:
        """The users, and the group of them that a cache is given. They stay with a cache that stays."""
        # A group for Valkey takes nobody without a password, who could not use it: he may not log in.
        owners = {**passwords, NOBODY: passwords[DIFY][:1]}
        users = []
        for user, secrets in owners.items():
            resource = elasticache.CfnUser(
                self,
                f"{_construct_id(user)}User",
                engine=_ENGINE,
                user_id=self._name(user.name),
                user_name=user.name,
                access_string=user.access,
                passwords=[one.secret_value.unsafe_unwrap() for one in secrets],  # dynamic references
            )
            resource.apply_removal_policy(self._removal_policy)
            users.append(resource)
        group = elasticache.CfnUserGroup(
            self,
            "Users",
            engine=_ENGINE,
            user_group_id=self._name("users"),
            user_ids=[user.ref for user in users],
        )
        group.apply_removal_policy(self._removal_policy)
        return group

    def _name(self, what: str) -> str:
        """An id that no other stack has, nor this one once it was deleted and its users stayed behind."""
        return f"dify-{self.node.addr[-8:]}-{guid_part(self, 0)}-{what}"

    def _define_broker_url(self) -> secretsmanager.Secret:
        login = f"{DIFY.name}:{self._password.secret_value.unsafe_unwrap()}"
        # Celery stops without ssl_cert_reqs in the URL; the certificate is signed by a public authority.
        url = f"rediss://{login}@{self.endpoint}:{CACHE_PORT}/{BROKER_DATABASE}?ssl_cert_reqs=required"
        secret = secretsmanager.Secret(
            self,
            rotated("BrokerUrl", self._rotation),
            description="Dify: Celery broker URL",
            removal_policy=self._removal_policy,
            secret_string_value=cdk.SecretValue.unsafe_plain_text(url),  # holds a dynamic reference only
        )
        acknowledge(secret, {"AwsSolutions-SMG4": "follows the password in it"})
        may_go(secret)
        return secret


def _construct_id(user: CacheUser) -> str:
    return "".join(part.capitalize() for part in user.name.split("-"))
