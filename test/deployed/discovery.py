"""What ECS Service Connect registers in Cloud Map, and test servers in the place of the tasks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from deployed.targets import start_targets
from deployed.world import World
from support import Template


def discovered(world: World, names: Mapping[str, str]) -> dict[str, str]:
    """Discovery name to ARN of what is registered in the stack's own namespace.

    Args:
        world: Where.
        names: Discovery name to role; others are left out.
    """
    cloud_map, ids = world.client("servicediscovery"), world.cdk.physical_ids()
    (namespace,) = Template(world.cdk.template()).of_type("AWS::ServiceDiscovery::PrivateDnsNamespace")
    filters = [{"Name": "NAMESPACE_ID", "Values": [ids[namespace]], "Condition": "EQ"}]
    pages = cloud_map.get_paginator("list_services").paginate(Filters=filters)
    services = [service for page in pages for service in page["Services"]]
    return {row["Name"]: row["Arn"] for row in services if row["Name"] in names}


@contextlib.contextmanager
def start_tasks(world: World, names: Mapping[str, str]) -> Iterator[None]:
    """A test server for every role, registered as its task.

    Args:
        world: Where.
        names: Discovery name to role.
    """
    cloud_map, services = world.client("servicediscovery"), discovered(world, names)
    with start_targets(names.values()) as ports:
        for name, role in names.items():
            cloud_map.register_instance(
                ServiceId=services[name].rsplit("/", 1)[-1],
                InstanceId=role,
                Attributes={"AWS_INSTANCE_IPV4": "127.0.0.1", "AWS_INSTANCE_PORT": str(ports[role])},
            )
        yield
