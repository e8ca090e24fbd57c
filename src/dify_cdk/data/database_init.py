"""The custom resource that fills an empty Aurora cluster: roles, databases, extensions, settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from dify_cdk.cdk_helpers.custom_resources import DeployFunction, define_provider
from dify_cdk.data.database import Database
from dify_cdk.dify.environment import MAIN_DATABASE, PLUGIN_DATABASE, VECTOR_DATABASE

MAIN_ROLE = "dify"
PLUGIN_ROLE = "dify_plugin"

LAYOUT: dict[str, dict[str, tuple[str, ...]]] = {
    MAIN_ROLE: {MAIN_DATABASE: ("uuid-ossp",), VECTOR_DATABASE: ("uuid-ossp", "vector")},
    PLUGIN_ROLE: {PLUGIN_DATABASE: ("uuid-ossp",)},
}
"""Role to the databases it owns to their extensions. Plugins see the daemon's role, so it owns no more."""

SETTINGS: dict[str, dict[str, str]] = {VECTOR_DATABASE: {"idle_session_timeout": "0"}}
"""Database to what it sets otherwise than the cluster, whose parameters can change later without a new run.

Dify opens a connection to its vectors before it asks a model to embed up to 1,000 chunks, and stores through
it afterwards without a look whether it is still there: a cluster that ends idle sessions would fail the
first store. Each job opens connections of its own, which keep nothing awake when it is done. Read in Dify at
ad96501e0: ``api/core/rag/datasource/vdb/vector_factory.py``, ``api/providers/vdb/vdb-pgvector``.
"""

LAYOUT_REVISION = "1"
"""Raise it when clusters that exist already need another run of the handler and another migration although
layout and settings, which are properties of the resource, have stayed the same."""
_TIMEOUT = 900  # seconds, Lambda's maximum: a paused or new cluster answers late


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseRole:
    """A log-in role and the secret with its ``username`` and ``password``."""

    name: str
    secret: secretsmanager.ISecret


class DatabaseInit(Construct):
    """Creates what is missing in the cluster, as its master user, through the Data API.

    Args:
        database: The cluster.
        roles: The roles of :data:`LAYOUT` with their secrets.
    """

    def __init__(
        self, scope: Construct, id: str, *, database: Database, roles: Sequence[DatabaseRole]
    ) -> None:
        super().__init__(scope, id)
        arn = database.cluster.cluster_arn
        secrets = [database.master_secret, *(role.secret for role in roles)]
        handler = DeployFunction(
            self,
            "Handler",
            handler="init_database.on_event",
            description="Dify: creates database roles, databases and extensions that are missing",
            timeout=cdk.Duration.seconds(_TIMEOUT),
            statements=[
                iam.PolicyStatement(actions=["rds-data:ExecuteStatement"], resources=[arn]),
                iam.PolicyStatement(
                    actions=["secretsmanager:GetSecretValue"],
                    resources=[secret.secret_arn for secret in secrets],
                ),
            ],
        )
        self._resource = cdk.CustomResource(
            self,
            "Resource",
            service_token=define_provider(self, handler).service_token,
            resource_type="Custom::DifyDatabaseInit",
            service_timeout=cdk.Duration.seconds(_TIMEOUT + 60),
            properties={
                "ClusterArn": arn,
                "MasterSecretArn": database.master_secret.secret_arn,
                "Roles": [_properties(role) for role in roles],
                "Revision": LAYOUT_REVISION,
            },
        )
        self._resource.node.add_dependency(database)  # the writer instance too, not only the cluster

    @property
    def resource(self) -> cdk.CustomResource:
        """Depend on it before using the database."""
        return self._resource


def _properties(role: DatabaseRole) -> dict[str, object]:
    databases = [
        {"Name": name, "Extensions": list(extensions), **_settings(name)}
        for name, extensions in LAYOUT[role.name].items()
    ]
    return {"Name": role.name, "SecretArn": role.secret.secret_arn, "Databases": databases}


def _settings(database: str) -> dict[str, object]:
    found = SETTINGS.get(database)
    return {"Settings": dict(found)} if found else {}
