"""Aurora PostgreSQL Serverless v2 with pgvector: the database of Dify, its vectors and its plugins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
import jsii
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from dify_cdk._checks import is_token, require_between, require_literal, require_whole
from dify_cdk.cdk_helpers.nag import acknowledge
from dify_cdk.data.secrets import SECRET_REASONS, define_secret, rotated
from dify_cdk.dify.connections import max_connections
from dify_cdk.dify.environment import DATABASE_PORT

MASTER_USER = "dify_master"

_MAX_ACU = 256
_MAX_READERS = 15
_MIN_PAUSE_MINUTES = 5
_MAX_PAUSE_MINUTES = 1440
_BACKUP_DAYS = 7
_IDLE_SESSION_MILLISECONDS = "60000"


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseCapacity:
    """How far Aurora Serverless v2 scales, in Aurora capacity units (ACU, about 2 GiB of memory each).

    Attributes:
        min_acu: Lower bound, 0 to 256 in steps of 0.5. 0 saves nothing together with ``DifyWorkers``, which
            raises a warning: the cluster pauses only when nothing is connected for some minutes, but the
            plugin daemon queries it every minute, whether anybody uses Dify or not, and so does beat. Awake
            it has 0.5 or more. It can pause only while you keep the tasks of both stopped; the next
            connection then waits about 15 seconds, and after a day of pause 30 or more. With 0, database
            sessions that are idle for a minute are ended, except those to the vectors, which wait for models.
        max_acu: Upper bound, 1 to 256 in steps of 0.5, at least ``min_acu``.
        readers: Aurora replicas in other zones, 0 to 15, to fail over to; Dify does not read from them. With
            one or more a failover takes less than a minute, without one up to ten minutes.
        pause_after_minutes: Minutes without a connection before a pause, 5 to 1440. Only with ``min_acu=0``.
            Default: 5.

    Raises:
        ValueError: If a value is out of range or not a multiple of 0.5, ``min_acu`` is more than ``max_acu``,
            or ``pause_after_minutes`` is given although ``min_acu`` is not 0.

    See https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2-auto-pause.html and
    https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Concepts.AuroraHighAvailability.html
    """

    min_acu: float = 0.5
    max_acu: float = 4
    readers: int = 0
    pause_after_minutes: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges that CloudFormation would only refuse at deployment."""
        require_between("DatabaseCapacity.min_acu", self.min_acu, 0, _MAX_ACU)
        require_between("DatabaseCapacity.max_acu", self.max_acu, 1, _MAX_ACU)
        require_literal("DatabaseCapacity.readers", self.readers, "each one is a resource")
        require_literal(
            "DatabaseCapacity.pause_after_minutes", self.pause_after_minutes, "it is converted to seconds"
        )
        require_whole("DatabaseCapacity.readers", self.readers, 0, _MAX_READERS)
        for name, value in (("min_acu", self.min_acu), ("max_acu", self.max_acu)):
            if not is_token(value) and value * 2 != int(value * 2):
                raise ValueError(f"DatabaseCapacity.{name} must be a multiple of 0.5, got {value!r}")
        if not is_token(self.min_acu) and not is_token(self.max_acu) and self.min_acu > self.max_acu:
            raise ValueError(
                f"DatabaseCapacity.min_acu {self.min_acu:g} must not exceed max_acu {self.max_acu:g}"
            )
        if self.pause_after_minutes is not None:
            require_whole(
                "DatabaseCapacity.pause_after_minutes",
                self.pause_after_minutes,
                _MIN_PAUSE_MINUTES,
                _MAX_PAUSE_MINUTES,
            )
            if self.min_acu != 0 and not is_token(self.min_acu):
                raise ValueError(
                    "DatabaseCapacity.pause_after_minutes needs min_acu=0, else the cluster never pauses"
                )

    @property
    def pauses(self) -> bool:
        """Whether the cluster would pause if nothing was connected."""
        return self.min_acu == 0


@jsii.implements(ec2.IConnectable)
class Database(Construct):
    """An Aurora PostgreSQL cluster with the Data API, encrypted, backed up for seven days.

    Defines the cluster, its writer and readers, subnet and parameter group, a security group and the master
    user's secret. Connections without TLS are refused. Only the initialisation uses the master user.

    Args:
        vpc: VPC for the cluster.
        subnets: Subnets in two or more zones.
        capacity: How far it scales.
        removal_policy: What happens to the cluster when the stack is deleted. All but ``DESTROY`` turn
            deletion protection on.
        snapshot_identifier: Name or ARN of a snapshot to start from. Removing or changing it later makes
            CloudFormation replace the cluster.
        master_user: Name of the master user: with a snapshot, the name of the snapshot's.
        rotation: How often the master user's password has been renewed.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        subnets: Sequence[ec2.ISubnet],
        capacity: DatabaseCapacity,
        removal_policy: cdk.RemovalPolicy,
        snapshot_identifier: str | None = None,
        master_user: str = MASTER_USER,
        rotation: int = 0,
    ) -> None:
        super().__init__(scope, id)
        self._capacity = capacity
        kept = removal_policy is not cdk.RemovalPolicy.DESTROY
        secret_policy = cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if kept else removal_policy
        self._master_secret = define_secret(
            self,
            rotated("MasterUser", rotation),
            "Dify: database master user",
            secret_policy,
            username=master_user,
        )
        self._security_group = ec2.SecurityGroup(
            self, "SecurityGroup", vpc=vpc, allow_all_outbound=False, description="Dify database"
        )
        self._connections = ec2.Connections(
            security_groups=[self._security_group], default_port=ec2.Port.tcp(DATABASE_PORT)
        )
        self._cluster = self._define_cluster(
            vpc=vpc,
            subnets=subnets,
            capacity=capacity,
            removal_policy=removal_policy,
            snapshot_identifier=snapshot_identifier,
            master_user=master_user,
        )
        acknowledge(
            self._cluster,
            {
                "AwsSolutions-RDS6": "Dify and its plugin daemon log in with passwords only",
                "AwsSolutions-RDS10": "deletion protection is on unless the caller asks for removal",
                "AwsSolutions-SMG4": SECRET_REASONS["AwsSolutions-SMG4"],
            },
        )

    @property
    def connections(self) -> ec2.Connections:
        """Security group and port."""
        return self._connections

    @property
    def cluster(self) -> rds.IDatabaseCluster:
        """The Aurora cluster."""
        return self._cluster

    @property
    def pauses(self) -> bool:
        """Whether it would pause if nothing was connected; a running plugin daemon always is."""
        return self._capacity.pauses

    @property
    def max_connections(self) -> int | None:
        """How many connections it accepts; None if that is known at deployment only."""
        bounds = self._capacity.min_acu, self._capacity.max_acu
        return None if is_token(bounds) else max_connections(min_acu=bounds[0], max_acu=bounds[1])

    @property
    def endpoint(self) -> str:
        """Host name of the writer (a token)."""
        return self._cluster.cluster_endpoint.hostname

    @property
    def master_secret(self) -> secretsmanager.ISecret:
        """Secret with ``username`` and ``password`` of the master user."""
        return self._master_secret

    def _define_cluster(
        self,
        *,
        vpc: ec2.IVpc,
        subnets: Sequence[ec2.ISubnet],
        capacity: DatabaseCapacity,
        removal_policy: cdk.RemovalPolicy,
        snapshot_identifier: str | None,
        master_user: str,
    ) -> rds.DatabaseCluster:
        parameters = {"rds.force_ssl": "1"}
        if capacity.pauses:  # idle pooled connections would keep it awake when the other tasks are stopped
            parameters["idle_session_timeout"] = _IDLE_SESSION_MILLISECONDS
        # Not 18, which has a uuidv7() and a uuidv7(interval) beside the function that Dify's migration makes:
        # its "COMMENT ON FUNCTION uuidv7" then fails, function name "uuidv7" is not unique. See Dify at
        # ad96501e0: api/migrations/versions/2025_07_02_2332-1c9ba48be8e4_add_uuidv7_function_in_sql.py
        engine = rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_17_9)
        readers = [
            rds.ClusterInstance.serverless_v2(f"Reader{number}", scale_with_writer=True)
            for number in range(1, capacity.readers + 1)
        ]
        pause = capacity.pause_after_minutes
        cluster = rds.DatabaseCluster(
            self,
            "Cluster",
            credentials=rds.Credentials.from_secret(self._master_secret, master_user),
            engine=engine,
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnets=list(subnets)),
            writer=rds.ClusterInstance.serverless_v2("Writer"),
            readers=readers,
            security_groups=[self._security_group],
            serverless_v2_min_capacity=capacity.min_acu,
            serverless_v2_max_capacity=capacity.max_acu,
            serverless_v2_auto_pause_duration=None if pause is None else cdk.Duration.minutes(pause),
            port=DATABASE_PORT,
            enable_data_api=True,
            storage_encrypted=True,
            copy_tags_to_snapshot=True,
            backup=rds.BackupProps(retention=cdk.Duration.days(_BACKUP_DAYS)),
            parameters=parameters,
            deletion_protection=removal_policy is not cdk.RemovalPolicy.DESTROY,
            removal_policy=removal_policy,
        )
        if snapshot_identifier is not None:
            # The L2 for snapshots defines a second, unused secret, unless a feature flag is on.
            resource = cluster.node.default_child
            assert isinstance(resource, rds.CfnDBCluster)
            resource.snapshot_identifier = snapshot_identifier
            resource.master_username = None
            acknowledge(
                cluster, {"CloudFormation-Validate::F3021": "a snapshot brings the master user's name"}
            )
        return cluster
