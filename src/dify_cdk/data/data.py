"""Everything of Dify that must survive: database, cache, bucket and secrets."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from dify_cdk._arguments import checked
from dify_cdk._checks import require_match
from dify_cdk.cdk_helpers.service_role import RDS, ServiceRole
from dify_cdk.data.cache import Cache, CacheSize
from dify_cdk.data.database import (
    ENGINE_VERSION,
    MASTER_USER,
    Database,
    DatabaseCapacity,
    require_engine_version,
)
from dify_cdk.data.database_init import LAYOUT_REVISION, MAIN_ROLE, PLUGIN_ROLE, DatabaseInit, DatabaseRole
from dify_cdk.data.secrets import KEY_LENGTH, define_secret, rotated
from dify_cdk.data.storage import Storage
from dify_cdk.dify.components import Component, Objects
from dify_cdk.dify.environment import STORAGE_PREFIXES, DataEndpoints, Purpose
from dify_cdk.dify.rotation import Renewal, renewal_of, require_count
from dify_cdk.network.network import Subnets, require_two_zones, tiers_of
from dify_cdk.options.windows import MaintenanceWindows

DEFAULT_CAPACITY = DatabaseCapacity()
DEFAULT_CACHE_SIZE = CacheSize()

_INIT_PASSWORD_LENGTH = 30  # Dify accepts no longer one

_GENERATED = {  # purpose to what the console shows
    Purpose.SECRET_KEY: "Dify: SECRET_KEY, signs sessions and links to files",
    Purpose.INIT_PASSWORD: "Dify: asked once by /install",
    Purpose.SANDBOX_KEY: "Dify: key between api and sandbox",
    Purpose.PLUGIN_DAEMON_KEY: "Dify: key between api and plugin daemon",
    Purpose.INNER_API_KEY: "Dify: key between plugin daemon and api",
}


@checked
class DifyData(Construct):
    """The stateful part of Dify, the same for every frontend.

    Defines an Aurora PostgreSQL Serverless v2 cluster with pgvector, a Valkey cache, a versioned bucket, one
    secret per purpose, and a custom resource that creates database roles, databases and extensions.

    By default no data is lost: the cluster is protected from deletion and leaves a snapshot, everything else
    is retained when the stack is deleted or a resource replaced.

    Args:
        vpc: VPC for database and cache: of a ``DifyNetwork``, or any other with private subnets in two zones.
        subnets: Subnets for database and cache, none of them public: a list, an ``ec2.SubnetSelection`` or
            the result of ``vpc.select_subnets``. Default: the isolated subnets, else the private ones.
        capacity: How far the database scales. Default: 0.5 to 4 ACU, one writer.
        cache_size: Node type and replicas of the cache. Default: two small nodes in two zones.
        secret_key: Existing secret with Dify's ``SECRET_KEY`` as plain text, for an installation that is
            moved or restored: visitors of its published web apps keep their conversations, and OAuth clients
            that were entered for the whole installation stay valid. The keys of other stored credentials are
            in the bucket. Default: one is generated.
        snapshot_identifier: Name or ARN of the cluster snapshot to start from. Keep it: removing or changing
            it later replaces the cluster. What the snapshot's master user owns in the databases ``main``,
            ``pgvector`` and ``dify_plugin`` is handed to the database roles that Dify logs in as; what other
            users own stays theirs. Default: an empty cluster.
        master_user: Name of the master user: with a snapshot, the name of the snapshot's. Changing it later
            replaces the cluster.
        engine_version: Version of Aurora PostgreSQL, 15 to 17. AWS installs no newer minor version by itself:
            name it here, or take it with a release of this library, and the deployment upgrades. Where a
            cluster or a snapshot is already newer than the default, name its version, as CloudFormation
            refuses to go back. Default: ``17.9``.
        windows: When AWS may back up and maintain database and cache. Default: when AWS likes.
        rotation: How often passwords and keys have been renewed. Raise it by one and deploy to give new
            values to the passwords of the database roles, the master user and the users of the cache, the
            keys between components, and the credentials for Amazon SES. Every task and function that reads
            one is replaced; in the minutes in between, requests and jobs of the old tasks may fail. The cache
            takes the newest passwords and those before, until the next time. The old secrets stay, so that a
            failed deployment can roll back to them: delete those that are no longer in the stack afterwards.
            ``SECRET_KEY`` and ``INIT_PASSWORD`` keep their values, unless you put new ones into their secrets
            first: see :data:`dify_cdk.dify.rotation.RENEWALS`.
        removal_policy: What happens to all stateful resources when the stack is deleted: ``RETAIN`` or
            ``DESTROY``, which also turns the cluster's deletion protection off. Default: the cluster leaves a
            snapshot, and everything else is retained.

    Raises:
        ValueError: If the VPC has no private subnets, the subnets are in one zone or one of them is public,
            ``master_user`` is malformed or the name of one of Dify's own roles, Dify does not run on
            ``engine_version``, ``rotation`` is not a whole number from 0 on, or ``removal_policy`` is another
            one than those named.

    Examples:
        >>> data = DifyData(stack, "Data", vpc=network.vpc)
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        subnets: Subnets | None = None,
        capacity: DatabaseCapacity = DEFAULT_CAPACITY,
        cache_size: CacheSize = DEFAULT_CACHE_SIZE,
        secret_key: secretsmanager.ISecret | None = None,
        snapshot_identifier: str | None = None,
        master_user: str = MASTER_USER,
        engine_version: str = ENGINE_VERSION,
        windows: MaintenanceWindows | None = None,
        rotation: int = 0,
        removal_policy: cdk.RemovalPolicy | None = None,
    ) -> None:
        super().__init__(scope, id)
        _check(removal_policy, master_user, rotation, engine_version)
        data_subnets = tiers_of(vpc, data=subnets).data
        require_two_zones("DifyData", data_subnets)
        self._vpc = vpc
        self._rotation = rotation
        self._replicas: set[str] = set()
        kept = removal_policy or cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
        self._database = Database(
            self,
            "Database",
            vpc=vpc,
            subnets=data_subnets,
            capacity=capacity,
            removal_policy=removal_policy or cdk.RemovalPolicy.SNAPSHOT,
            snapshot_identifier=snapshot_identifier,
            master_user=master_user,
            rotation=rotation,
            engine_version=engine_version,
            windows=windows,
        )
        self._database.cluster.node.add_dependency(ServiceRole(self, "ServiceRole", service=RDS).resource)
        self._cache = Cache(
            self,
            "Cache",
            vpc=vpc,
            subnets=data_subnets,
            size=cache_size,
            removal_policy=kept,
            rotation=rotation,
            windows=windows,
        )
        self._storage = Storage(self, "Storage", removal_policy=kept)
        self._secrets = self._define_secrets(kept, secret_key)
        self._init = DatabaseInit(
            self,
            "DatabaseInit",
            database=self._database,
            roles=[
                DatabaseRole(name=MAIN_ROLE, secret=self._secrets[Purpose.DATABASE]),
                DatabaseRole(name=PLUGIN_ROLE, secret=self._secrets[Purpose.PLUGIN_DATABASE]),
            ],
        )

    @property
    def vpc(self) -> ec2.IVpc:
        """The network."""
        return self._vpc

    @property
    def database(self) -> Database:
        """The Aurora cluster."""
        return self._database

    @property
    def cache(self) -> Cache:
        """The Valkey cache."""
        return self._cache

    @property
    def storage(self) -> Storage:
        """The bucket."""
        return self._storage

    @property
    def rotation(self) -> int:
        """How often passwords and keys have been renewed."""
        return self._rotation

    @property
    def initialization(self) -> Construct:
        """What to depend on before using the database: roles, databases and extensions exist then."""
        return self._init.resource

    @property
    def database_identity(self) -> str:
        """Identity of the databases.

        It changes when they are replaced, which triggers the migration again.
        """
        return f"{self._database.cluster.cluster_identifier}/{LAYOUT_REVISION}"

    @property
    def endpoints(self) -> DataEndpoints:
        """Host names, bucket and region that the containers are told."""
        return DataEndpoints(
            database_host=self._database.endpoint,
            cache_host=self._cache.endpoint,
            bucket_name=self._storage.bucket.bucket_name,
            region=cdk.Stack.of(self).region,
        )

    @property
    def read_init_password_command(self) -> str:
        """The shell command that prints the password for ``/install``."""
        arn = self.secret(Purpose.INIT_PASSWORD).secret_arn
        return f"aws secretsmanager get-secret-value --query SecretString --output text --secret-id {arn}"

    def secret(self, purpose: Purpose) -> secretsmanager.ISecret:
        """The secret of one purpose."""
        return self._secrets[purpose]

    def replicate_secret_key(self, region: str) -> bool:
        """Replicate the secret with ``SECRET_KEY`` to another region, for a copy of the data there.

        Args:
            region: Name of the other region.

        Returns:
            Whether it is replicated: False for a secret that was passed in as ``secret_key``.
        """
        secret = self._secrets[Purpose.SECRET_KEY]
        if not isinstance(secret, secretsmanager.Secret):
            return False
        if region not in self._replicas:  # one that is named twice is refused at deployment
            self._replicas.add(region)
            secret.add_replica_region(region)
        return True

    def grant_access(self, grantee: iam.IGrantable, component: Component) -> iam.Grant:
        """Grant what a component does with the bucket, which for most is nothing.

        Args:
            grantee: Usually the task role.
            component: Any component; its row says which objects are its business.
        """
        objects = component.spec.objects
        if objects is Objects.NONE:
            return iam.Grant.drop(grantee, "the bucket")
        prefixes = STORAGE_PREFIXES if objects is Objects.OF_PLUGINS else ()
        return self._storage.grant_objects(grantee, *prefixes)

    def _define_secrets(
        self, removal_policy: cdk.RemovalPolicy, secret_key: secretsmanager.ISecret | None
    ) -> dict[Purpose, secretsmanager.ISecret]:
        secrets: dict[Purpose, secretsmanager.ISecret] = {
            Purpose.CACHE: self._cache.password,
            Purpose.PLUGIN_CACHE: self._cache.plugin_password,
            Purpose.BROKER_URL: self._cache.broker_url,
        }
        for purpose, user in ((Purpose.DATABASE, MAIN_ROLE), (Purpose.PLUGIN_DATABASE, PLUGIN_ROLE)):
            secrets[purpose] = define_secret(
                self,
                self._secret_id(purpose),
                f"Dify: database role {user}",
                removal_policy,
                username=user,
            )
        for purpose, description in _GENERATED.items():
            if purpose is Purpose.SECRET_KEY and secret_key is not None:
                secrets[purpose] = secret_key
                continue
            length = _INIT_PASSWORD_LENGTH if purpose is Purpose.INIT_PASSWORD else KEY_LENGTH
            id = self._secret_id(purpose)
            secrets[purpose] = define_secret(self, id, description, removal_policy, length=length)
        return secrets

    def _secret_id(self, purpose: Purpose) -> str:
        return rotated(purpose, self._rotation if renewal_of(purpose) is Renewal.BY_DEPLOYING else 0)


def _check(
    removal_policy: cdk.RemovalPolicy | None, master_user: str, rotation: int, engine_version: str
) -> None:
    if removal_policy not in (None, cdk.RemovalPolicy.RETAIN, cdk.RemovalPolicy.DESTROY):
        raise ValueError(f"DifyData.removal_policy must be RETAIN, DESTROY or left out, got {removal_policy}")
    if master_user in (MAIN_ROLE, PLUGIN_ROLE):
        raise ValueError(
            f"DifyData.master_user must not be {master_user}, which is a role that Dify logs in as"
        )
    meaning = "1 to 63 letters, digits and underscores, the first one a letter"
    require_match("DifyData.master_user", master_user, "[A-Za-z][A-Za-z0-9_]{0,62}", meaning)
    require_count("DifyData.rotation", rotation)
    require_engine_version("DifyData.engine_version", engine_version)
