"""Which resources hold something that cannot be made again from a template.

One table, with what would be lost. The policies that the template writes decide whether it is: a log group or
a generated secret that says ``DeletionPolicy: Delete`` is meant to go with what it belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from dify_cdk.report.plan.sides import Entry


class Weight(Enum):
    """How serious the loss is."""

    ALWAYS = "always"
    """Whatever the template says: nobody wants to lose it by surprise."""

    UNLESS_DELETE = "unless Delete"
    """Not if the template writes ``Delete``: what it holds was generated and is of no use on its own."""

    MINOR = "minor"
    """Worth a line, not a warning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Holding:
    """What a resource holds.

    Attributes:
        what: In words.
        counts: Whether losing it is a finding.
    """

    what: str
    counts: bool


_RELATIONAL = "the database"
_FILES = "the files"
_ALWAYS, _UNLESS, _MINOR = Weight.ALWAYS, Weight.UNLESS_DELETE, Weight.MINOR

HOLDS: dict[str, tuple[str, Weight]] = {
    "AWS::RDS::DBCluster": (_RELATIONAL, _ALWAYS),
    "AWS::RDS::DBInstance": (_RELATIONAL, _ALWAYS),
    "AWS::RDS::GlobalCluster": (_RELATIONAL, _ALWAYS),
    "AWS::DSQL::Cluster": (_RELATIONAL, _ALWAYS),
    "AWS::DocDB::DBCluster": (_RELATIONAL, _ALWAYS),
    "AWS::Neptune::DBCluster": (_RELATIONAL, _ALWAYS),
    "AWS::Redshift::Cluster": (_RELATIONAL, _ALWAYS),
    "AWS::RedshiftServerless::Namespace": (_RELATIONAL, _ALWAYS),
    "AWS::DynamoDB::Table": ("the items", _ALWAYS),
    "AWS::DynamoDB::GlobalTable": ("the items", _ALWAYS),
    "AWS::Cassandra::Table": ("the rows", _ALWAYS),
    "AWS::Timestream::Table": ("the records", _ALWAYS),
    "AWS::ElastiCache::ReplicationGroup": ("queued work and sessions", _ALWAYS),
    "AWS::ElastiCache::CacheCluster": ("queued work and sessions", _ALWAYS),
    "AWS::ElastiCache::ServerlessCache": ("queued work and sessions", _ALWAYS),
    "AWS::MemoryDB::Cluster": ("the data in memory", _ALWAYS),
    "AWS::S3::Bucket": ("the objects", _ALWAYS),
    "AWS::S3Express::DirectoryBucket": ("the objects", _ALWAYS),
    "AWS::S3Tables::TableBucket": ("the tables", _ALWAYS),
    "AWS::S3Vectors::VectorBucket": ("the vectors", _ALWAYS),
    "AWS::EFS::FileSystem": (_FILES, _ALWAYS),
    "AWS::FSx::FileSystem": (_FILES, _ALWAYS),
    "AWS::FSx::Volume": (_FILES, _ALWAYS),
    "AWS::EC2::Volume": (_FILES, _ALWAYS),
    "AWS::OpenSearchService::Domain": ("the indices", _ALWAYS),
    "AWS::Elasticsearch::Domain": ("the indices", _ALWAYS),
    "AWS::OpenSearchServerless::Collection": ("the indices", _ALWAYS),
    "AWS::Cognito::UserPool": ("the users", _ALWAYS),
    "AWS::KMS::Key": ("the only way to decrypt what it encrypted", _ALWAYS),
    "AWS::MSK::Cluster": ("the topics", _ALWAYS),
    "AWS::AmazonMQ::Broker": ("queued messages", _ALWAYS),
    "AWS::Backup::BackupVault": ("the backups", _ALWAYS),
    "AWS::CodeCommit::Repository": ("the commits", _ALWAYS),
    "AWS::SecretsManager::Secret": ("a value that others use", _UNLESS),
    "AWS::ECR::Repository": ("the images", _UNLESS),
    "AWS::Logs::LogGroup": ("logs", _MINOR),
    "AWS::SQS::Queue": ("waiting messages", _MINOR),
    "AWS::Kinesis::Stream": ("records of the last days", _MINOR),
}
"""CloudFormation type to what it holds and how serious losing it is."""


def holding(entry: Entry, policy: str) -> Holding | None:
    """What would be lost with a resource; None if nothing.

    Args:
        entry: The resource.
        policy: The policy that the template writes for this way of losing it, empty if none.
    """
    if entry.type not in HOLDS:
        return None
    if entry.type == "AWS::RDS::DBInstance" and "DBClusterIdentifier" in entry.properties:
        return None  # the cluster holds the data, its instances are how to reach them
    what, weight = HOLDS[entry.type]
    return Holding(what=what, counts=weight is _ALWAYS or (weight is _UNLESS and policy != "Delete"))
