"""Database, cache, buckets, secrets, parameters and keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from dify_cdk.report.cost.charge import (
    Charge,
    Rule,
    SharedRule,
    Site,
    counted,
    number,
    number_or,
    setting,
    shown,
    times,
    word_or,
)
from dify_cdk.report.templates.template import Resource, Template
from dify_cdk.report.traffic.awake import SMALLEST_AWAKE_ACU, can_pause

_CLUSTER = "AWS::RDS::DBCluster"
_INSTANCE = "AWS::RDS::DBInstance"
_AURORA = "Amazon Aurora"
_CACHE = "Amazon ElastiCache"
_OPTIMIZED = "aurora-iopt1"
_SMALLEST_SERVERLESS_GB = 0.1
"""GB that a serverless Valkey cache is charged for at least; see https://aws.amazon.com/elasticache/pricing/"""


def database_instance(resource: Resource, site: Site) -> Iterator[Charge]:
    """Capacity of a serverless instance, else hours of a class.

    The first instance of a cluster takes the load between its smallest and largest capacity; each further
    one is taken to stay at the smallest. With 0 units as the smallest they sleep while nobody uses them,
    unless a task of Dify's keeps the cluster awake, which then has half a unit at least.
    """
    size = word_or(setting(resource, "DBInstanceClass"), "")
    cluster = site.view.find(setting(resource, "DBClusterIdentifier"), _CLUSTER)
    if size == "db.serverless" and cluster is not None:
        yield _capacity(resource, cluster, site)
        return
    engine = word_or(setting(resource, "Engine"), "")
    yield Charge(
        price=f"rds.hour.{engine}.{size}",
        service=_AURORA if cluster else "Amazon RDS",
        what=f"instance {size}".rstrip(),
        quantity=None if size == "db.serverless" else site.hours,
        unit="hour",
        formula=f"{shown(site.hours)} h",
    )
    if cluster is None and setting(resource, "DBClusterIdentifier") is None:
        gb = number(setting(resource, "AllocatedStorage"))
        kind = word_or(setting(resource, "StorageType"), "gp2")
        yield _stored(f"rds.gb_month.{kind}", "Amazon RDS", gb, "GB")


def database_cluster(resource: Resource, site: Site) -> Iterator[Charge]:
    """What is stored, and its reads and writes; an I/O-Optimized cluster pays no reads and writes."""
    kind = word_or(setting(resource, "StorageType"), "aurora")
    suffix = {"aurora": "", _OPTIMIZED: ".io_optimized"}.get(kind, f".{kind}")
    share = 1 / max(len(site.view.of_type(_CLUSTER)), 1)
    gb, requests = site.usage.database_gb * share, site.usage.database_io * share
    yield _stored(f"aurora.gb_month{suffix}", _AURORA, gb, "GB in the database")
    if kind != _OPTIMIZED:
        yield Charge(
            price=f"aurora.io_requests{suffix}",
            service=_AURORA,
            what="reads and writes",
            quantity=requests,
            unit="1M requests",
            formula=f"{shown(requests)} requests",
        )


def _capacity(resource: Resource, cluster: Resource, site: Site) -> Charge:
    limits = ("ServerlessV2ScalingConfiguration",)
    fewest = number(setting(cluster, *limits, "MinCapacity"))
    bounds = "allowed"
    if fewest == 0 and not can_pause(cluster, site.views):
        fewest, bounds = SMALLEST_AWAKE_ACU, "allowed while a task keeps it awake"
    most = number(setting(cluster, *limits, "MaxCapacity"))
    is_first = _instances(site.view, cluster)[0] is resource
    wanted = site.usage.database_acu if is_first else 0
    units = None if fewest is None or most is None else max(fewest, min(wanted, most))
    optimized = word_or(setting(cluster, "StorageType"), "aurora") == _OPTIMIZED
    return Charge(
        price="aurora.acu_hour.io_optimized" if optimized else "aurora.acu_hour",
        service=_AURORA,
        what="capacity",
        quantity=times(units, site.hours),
        unit="ACU-hour",
        formula=f"{shown(wanted)} ACU wanted, {shown(fewest)} to {shown(most)} {bounds}: "
        f"{shown(units)} x {shown(site.hours)} h",
    )


def _instances(view: Template, cluster: Resource) -> Sequence[Resource]:
    return view.naming(cluster, "DBClusterIdentifier", _INSTANCE)


def _stored(price: str, service: str, gb: float | None, words: str) -> Charge:
    return Charge(
        price=price,
        service=service,
        what="storage",
        quantity=gb,
        unit="GB-month",
        formula=f"{shown(gb)} {words}",
    )


def replication_group(resource: Resource, site: Site) -> Iterator[Charge]:
    """Every node of every shard, replicas included."""
    nodes = number_or(setting(resource, "NumCacheClusters"), 1)
    if setting(resource, "NumCacheClusters") is None:
        shards = number_or(setting(resource, "NumNodeGroups"), 1)
        replicas = number_or(setting(resource, "ReplicasPerNodeGroup"), 0)
        nodes = None if replicas is None else times(shards, 1 + replicas)
    yield _nodes(resource, nodes, site.hours)


def cache_cluster(resource: Resource, site: Site) -> Iterator[Charge]:
    """Its nodes."""
    yield _nodes(resource, number_or(setting(resource, "NumCacheNodes"), 1), site.hours)


def serverless_cache(resource: Resource, site: Site) -> Iterator[Charge]:
    """The smallest size that is charged; commands are not counted."""
    engine = word_or(setting(resource, "Engine"), "")
    smallest = _SMALLEST_SERVERLESS_GB if engine == "valkey" else None
    gb = number_or(setting(resource, "CacheUsageLimits", "DataStorage", "Minimum"), smallest or 0)
    size = None if gb is None or smallest is None else max(gb, smallest)
    yield Charge(
        price=f"elasticache.serverless_gb_hour.{engine}",
        service=_CACHE,
        what="serverless cache",
        quantity=times(size, site.hours),
        unit="GB-hour",
        formula=f"{shown(size)} GB x {shown(site.hours)} h",
    )


def _nodes(resource: Resource, nodes: float | None, hours: float) -> Charge:
    engine = word_or(setting(resource, "Engine"), "redis")
    size = word_or(setting(resource, "CacheNodeType"), "")
    return Charge(
        price=f"elasticache.hour.{engine}.{size}",
        service=_CACHE,
        what=f"{engine} {size}".strip() or "node",
        quantity=times(nodes, hours),
        unit="hour",
        formula=f"{counted(nodes, 'node')} x {shown(hours)} h",
    )


def buckets(_: tuple[Resource, ...], site: Site) -> Iterator[Charge]:
    """What is stored in all buckets; each uploaded file is written once and read once."""
    usage = site.usage
    yield _stored("s3.gb_month", "Amazon S3", usage.files_gb, "GB of files")
    for price, what in (("s3.puts", "writes"), ("s3.gets", "reads")):
        yield Charge(
            price=price,
            service="Amazon S3",
            what=what,
            quantity=usage.uploads,
            unit="1,000 requests",
            formula=f"{shown(usage.uploads)} uploaded files",
        )


def backup_vault(_: Resource, site: Site) -> Iterator[Charge]:
    """Copies of what is stored; how many are kept, and how much of them is new, no template says."""
    stored = site.usage.database_gb + site.usage.files_gb
    yield Charge(
        price="backup.gb_month",
        service="AWS Backup",
        what="backups",
        quantity=None if stored else 0,
        unit="GB-month",
        formula=f"copies of {shown(stored)} GB, as many and as different as they are",
    )


def secret(_: Resource, site: Site) -> Iterator[Charge]:
    """One price a month, whatever is in it; reading it at the start of tasks is next to nothing."""
    yield _monthly("secrets_manager.secret_month", "AWS Secrets Manager", "secret")


def key(_: Resource, site: Site) -> Iterator[Charge]:
    """One price a month; its calls are not counted."""
    yield _monthly("kms.key_month", "AWS KMS", "key")


def parameter(resource: Resource, _: Site) -> Iterator[Charge]:
    """Standard parameters are free, advanced ones are not."""
    tier = word_or(setting(resource, "Tier"), "Standard")
    if tier != "Standard":
        yield _monthly("ssm.advanced_parameter_month", "AWS Systems Manager", "advanced parameter")


def _monthly(price: str, service: str, what: str) -> Charge:
    return Charge(price=price, service=service, what=what, quantity=1, unit="month", formula=f"1 {what}")


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        _CLUSTER: database_cluster,
        _INSTANCE: database_instance,
        "AWS::Backup::BackupVault": backup_vault,
        "AWS::ElastiCache::CacheCluster": cache_cluster,
        "AWS::ElastiCache::ReplicationGroup": replication_group,
        "AWS::ElastiCache::ServerlessCache": serverless_cache,
        "AWS::KMS::Key": key,
        "AWS::SSM::Parameter": parameter,
        "AWS::SecretsManager::Secret": secret,
    }
)
SHARED: Mapping[str, SharedRule] = MappingProxyType({"AWS::S3::Bucket": buckets})
