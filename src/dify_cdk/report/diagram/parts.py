"""Containers, functions and data of a template as parts of a graph."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from types import MappingProxyType

from dify_cdk.report.diagram.model import Node, Tier
from dify_cdk.report.phrases import plural
from dify_cdk.report.templates.template import Resource, Template, integer, items, mapping
from dify_cdk.report.traffic.containers import ContainerRow, read_containers
from dify_cdk.report.traffic.targets import FUNCTION_URL

BUCKET = "AWS::S3::Bucket"
_POLICIES = ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")
_ROLE = "AWS::IAM::Role"

_LONGEST_TITLE = 28
_HASH = re.compile(r"[0-9A-F]{8}$")  # what the CDK puts behind the construct path

_CAPACITY = MappingProxyType(
    {
        ("FARGATE",): "Fargate",
        ("FARGATE_SPOT",): "Fargate Spot",
        ("FARGATE", "FARGATE_SPOT"): "Fargate and Spot",
        ("FARGATE_SPOT", "FARGATE"): "Fargate and Spot",
        ("EC2",): "ECS on EC2",
        ("EXTERNAL",): "ECS Anywhere",
    }
)

_ENGINES = MappingProxyType(
    {
        "aurora-mysql": "Aurora MySQL",
        "aurora-postgresql": "Aurora PostgreSQL",
        "mariadb": "MariaDB",
        "memcached": "Memcached",
        "mysql": "MySQL",
        "postgres": "PostgreSQL",
        "redis": "Redis OSS",
        "valkey": "Valkey",
    }
)


def plain_id(id: str) -> str:
    """A logical id without the hash that the CDK appends."""
    return _HASH.sub("", id) or id


# --- containers and functions ---------------------------------------------------------------------------


def services(view: Template) -> Iterator[Node]:
    """One node per ECS service, then one per task that something starts when needed."""
    tasks: dict[str, list[ContainerRow]] = {}
    for row in read_containers(view):
        tasks.setdefault(row.service or row.task_definition, []).append(row)
    for id, rows in tasks.items():
        yield Node(
            id=id,
            tier=Tier.COMPUTE,
            title=" + ".join(row.name for row in rows) or plain_id(id),
            service=_CAPACITY.get(rows[0].capacity, "ECS"),
            details=tuple(filter(None, (_size(rows[0]), _tasks(rows[0])))),
            steady=rows[0].service is not None,
        )


def _size(row: ContainerRow) -> str:
    vcpu = "" if row.vcpu is None else f"{row.vcpu:g} vCPU"
    memory = "" if row.memory_mib is None else f"{row.memory_mib / 1024:.3g} GB"
    return ", ".join(filter(None, (vcpu, memory)))


def _tasks(row: ContainerRow) -> str:
    if row.service is None:
        return "started when needed"
    if row.min_tasks is None or row.max_tasks is None:
        return ""
    span = str(row.min_tasks) if row.min_tasks == row.max_tasks else f"{row.min_tasks}-{row.max_tasks}"
    return f"{span} task{'' if span == '1' else 's'}"


def function(view: Template, resource: Resource) -> Node:
    """A Lambda function, with what its function URL does if it has one."""
    memory = integer(resource.properties.get("MemorySize", 128))
    url = function_url(view, resource)
    streams = url is not None and url.properties.get("InvokeMode") == "RESPONSE_STREAM"
    way = "" if url is None else "streaming URL" if streams else "function URL"
    return Node(
        id=resource.id,
        tier=Tier.COMPUTE,
        title=function_title(view, resource),
        service="Lambda",
        details=tuple(filter(None, (f"{memory} MB" if memory else "", way))),
    )


def function_title(view: Template, resource: Resource) -> str:
    """What a function is called: its description if that is short, else its name, else its logical id."""
    candidates = (view.text(resource.properties.get(key)) for key in ("Description", "FunctionName"))
    return next((text for text in candidates if 0 < len(text) <= _LONGEST_TITLE), plain_id(resource.id))


def function_url(view: Template, resource: Resource) -> Resource | None:
    """The URL that calls a function."""
    return next(iter(view.naming(resource, "TargetFunctionArn", FUNCTION_URL)), None)


def allowed_resources(view: Template, actor: Resource) -> Iterator[object]:
    """What the role of a function, a state machine or a task definition may use, as policies write it."""
    keys = ("Role", "RoleArn", "TaskRoleArn")  # one of them; never the execution role, which starts tasks
    role = view.find([actor.properties.get(key) for key in keys], _ROLE)
    if role is None:
        return
    inline = [mapping(entry).get("PolicyDocument") for entry in items(role.properties.get("Policies"))]
    attached = [
        policy.properties.get("PolicyDocument")
        for policy in view.of_type(*_POLICIES)
        if any(view.find(name, _ROLE) is role for name in items(policy.properties.get("Roles")))
    ]
    for document in (*inline, *attached):
        for statement in map(mapping, items(mapping(document).get("Statement"))):
            if statement.get("Effect") == "Allow":
                yield statement.get("Resource")


# --- data -----------------------------------------------------------------------------------------------


def data(view: Template) -> Iterator[Node]:
    """Databases, caches, buckets and queues, in the template's order."""
    for resource in view.resources:
        describe = _DATA.get(resource.type)
        # An instance of a cluster is the cluster's; its own entry would show the same data twice.
        if describe is not None and "DBClusterIdentifier" not in resource.properties:
            title, service, *details = describe(view, resource)
            yield Node(
                id=resource.id,
                tier=Tier.DATA,
                title=title,
                service=service,
                details=tuple(filter(None, details)),
            )


def _engine(view: Template, resource: Resource, otherwise: str) -> str:
    engine = view.text(resource.properties.get("Engine"))
    return _ENGINES.get(engine.lower(), engine) or otherwise


def _cluster(view: Template, cluster: Resource) -> tuple[str, ...]:
    scaling = mapping(cluster.properties.get("ServerlessV2ScalingConfiguration"))
    low, high = (view.text(scaling.get(key)) for key in ("MinCapacity", "MaxCapacity"))
    count = len(view.naming(cluster, "DBClusterIdentifier", "AWS::RDS::DBInstance"))
    capacity = f"{low}-{high} ACU" if low and high else ""
    instances = plural(count, "instance") if count else ""
    return _engine(view, cluster, "Database"), "RDS", capacity, instances


def _instance(view: Template, instance: Resource) -> tuple[str, ...]:
    size = view.text(instance.properties.get("DBInstanceClass"))
    return _engine(view, instance, "Database"), "RDS", size


def _replication_group(view: Template, group: Resource) -> tuple[str, ...]:
    size = view.text(group.properties.get("CacheNodeType"))
    shards = integer(group.properties.get("NumNodeGroups", 1))
    replicas = integer(group.properties.get("ReplicasPerNodeGroup", 0))
    nodes = integer(group.properties.get("NumCacheClusters"))
    if nodes is None and shards is not None and replicas is not None:
        nodes = shards * (1 + replicas)
    count = f"{nodes} x " if nodes and size else ""
    return _engine(view, group, "Cache"), "ElastiCache", f"{count}{size}"


def _cache(view: Template, cluster: Resource) -> tuple[str, ...]:
    size = view.text(cluster.properties.get("CacheNodeType"))
    return _engine(view, cluster, "Cache"), "ElastiCache", size


def _named(service: str) -> Callable[[Template, Resource], tuple[str, ...]]:
    def describe(_: Template, resource: Resource) -> tuple[str, ...]:
        return plain_id(resource.id), service

    return describe


_DATA: MappingProxyType[str, Callable[[Template, Resource], tuple[str, ...]]] = MappingProxyType(
    {
        "AWS::DocDB::DBCluster": _named("DocumentDB"),
        "AWS::DynamoDB::GlobalTable": _named("DynamoDB"),
        "AWS::DynamoDB::Table": _named("DynamoDB"),
        "AWS::EFS::FileSystem": _named("EFS"),
        "AWS::ElastiCache::CacheCluster": _cache,
        "AWS::ElastiCache::ReplicationGroup": _replication_group,
        "AWS::ElastiCache::ServerlessCache": _cache,
        "AWS::Neptune::DBCluster": _named("Neptune"),
        "AWS::OpenSearchService::Domain": _named("OpenSearch Service"),
        "AWS::RDS::DBCluster": _cluster,
        "AWS::RDS::DBInstance": _instance,
        BUCKET: _named("S3 bucket"),
        "AWS::SQS::Queue": _named("SQS queue"),
    }
)
"""How each type of data is shown: title, service, and facts."""
