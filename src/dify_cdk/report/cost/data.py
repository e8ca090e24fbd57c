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
        "aurora.instance_hour" if cluster else "rds.hour",
        None if size == "db.serverless" else site.hours,
        f"{shown(site.hours)} h",
        variant=f"{engine}.{size}",
        what=f"instance {size}".rstrip(),
    )
    if cluster is None and setting(resource, "DBClusterIdentifier") is None:
        gb = number(setting(resource, "AllocatedStorage"))
        kind = word_or(setting(resource, "StorageType"), "gp2")
        yield Charge("rds.gb_month", gb, f"{shown(gb)} GB", variant=kind)


def database_cluster(resource: Resource, site: Site) -> Iterator[Charge]:
    """What is stored, and its reads and writes; an I/O-Optimized cluster pays no reads and writes."""
    kind = word_or(setting(resource, "StorageType"), "aurora")
    variant = {"aurora": None, _OPTIMIZED: "io_optimized"}.get(kind, kind)
    share = 1 / max(len(site.view.of_type(_CLUSTER)), 1)
    gb, requests = site.usage.database_gb * share, site.usage.database_io * share
    yield Charge("aurora.gb_month", gb, f"{shown(gb)} GB in the database", variant=variant)
    if kind != _OPTIMIZED:
        yield Charge("aurora.io_requests", requests, f"{shown(requests)} requests", variant=variant)


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
        "aurora.acu_hour",
        times(units, site.hours),
        f"{shown(wanted)} ACU wanted, {shown(fewest)} to {shown(most)} {bounds}: "
        f"{shown(units)} x {shown(site.hours)} h",
        variant="io_optimized" if optimized else None,
    )


def _instances(view: Template, cluster: Resource) -> Sequence[Resource]:
    return view.naming(cluster, "DBClusterIdentifier", _INSTANCE)


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
        "elasticache.serverless_gb_hour",
        times(size, site.hours),
        f"{shown(size)} GB x {shown(site.hours)} h",
        variant=engine,
    )


def _nodes(resource: Resource, nodes: float | None, hours: float) -> Charge:
    engine = word_or(setting(resource, "Engine"), "redis")
    size = word_or(setting(resource, "CacheNodeType"), "")
    return Charge(
        "elasticache.hour",
        times(nodes, hours),
        f"{counted(nodes, 'node')} x {shown(hours)} h",
        variant=f"{engine}.{size}",
        what=f"{engine} {size}".strip(),
    )


def buckets(_: tuple[Resource, ...], site: Site) -> Iterator[Charge]:
    """What is stored in all buckets; each uploaded file is written once and read once."""
    usage = site.usage
    yield Charge("s3.gb_month", usage.files_gb, f"{shown(usage.files_gb)} GB of files")
    for product in ("s3.puts", "s3.gets"):
        yield Charge(product, usage.uploads, f"{shown(usage.uploads)} uploaded files")


def backup_vault(_: Resource, site: Site) -> Iterator[Charge]:
    """Copies of what is stored; how many are kept, and how much of them is new, no template says."""
    stored = site.usage.database_gb + site.usage.files_gb
    yield Charge(
        "backup.gb_month",
        None if stored else 0,
        f"copies of {shown(stored)} GB, as many and as different as they are",
    )


def secret(_: Resource, site: Site) -> Iterator[Charge]:
    """One price a month, whatever is in it; reading it at the start of tasks is next to nothing."""
    yield Charge("secrets_manager.secret_month", 1, "1 secret")


def key(_: Resource, site: Site) -> Iterator[Charge]:
    """One price a month; its calls are not counted."""
    yield Charge("kms.key_month", 1, "1 key")


def parameter(resource: Resource, _: Site) -> Iterator[Charge]:
    """Standard parameters are free, advanced ones are not."""
    tier = word_or(setting(resource, "Tier"), "Standard")
    if tier != "Standard":
        yield Charge("ssm.advanced_parameter_month", 1, "1 advanced parameter")


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
