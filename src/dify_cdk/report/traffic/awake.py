"""Whether a serverless database can pause while nobody uses an installation, and how small it is awake."""

from __future__ import annotations

from collections.abc import Iterable

from dify_cdk.report.templates.template import Resource, Template, mapping
from dify_cdk.report.traffic.containers import ContainerRow, read_containers

SMALLEST_AWAKE_ACU = 0.5
"""Capacity of an instance that does not pause: the smallest one above 0, since they come in halves.

See https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ServerlessV2ScalingConfiguration.html
"""

_ASK_ALWAYS = ("plugin_daemon", "beat")  # containers of ours
_DAEMON_IMAGE = "dify-plugin-daemon"  # whatever its container is called


def can_pause(cluster: Resource, views: Iterable[Template]) -> bool:
    """Whether the smallest capacity is 0, and no task runs that asks the database all the time.

    The plugin daemon looks for installations that hang, and beat for schedules, each of them every minute
    whether anybody uses Dify or not, while a pause takes five minutes without a connection. Read in
    ``internal/tasks/recycle.go`` of dify-plugin-daemon 0.6.10 and ``api/extensions/ext_celery.py`` of dify at
    ad96501e0.

    Args:
        cluster: A cluster.
        views: The templates in which its callers may be.
    """
    scaling = mapping(cluster.properties.get("ServerlessV2ScalingConfiguration"))
    if "MinCapacity" not in scaling or scaling["MinCapacity"] not in (0, "0", 0.0):
        return False
    return not any(_asks_always(row) for view in views for row in read_containers(view))


def _asks_always(row: ContainerRow) -> bool:
    """Whether tasks of the container run by themselves and ask; how many there are may be decided later."""
    is_asking = row.name in _ASK_ALWAYS or _DAEMON_IMAGE in row.image
    return is_asking and row.service is not None and row.min_tasks != 0
