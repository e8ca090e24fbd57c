"""What keeps a database awake that could pause: tasks of Dify's that ask it every minute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bills import LATER, priced, service
from dify_cdk.report.cost.usage import Usage
from dify_cdk.report.templates.template import Resource, Template
from dify_cdk.report.traffic.awake import can_pause

CLUSTER = {"Type": "AWS::RDS::DBCluster", "Properties": {}}
DAEMON = "111122223333.dkr.ecr.us-east-1.amazonaws.com/hub/langgenius/dify-plugin-daemon:0.6.10-local"


def sleepy(minimum: object = 0) -> dict[str, Any]:
    """A cluster that scales from this minimum, with a writer."""
    scaling = {"MinCapacity": minimum, "MaxCapacity": 2}
    return {
        "Cluster": {**CLUSTER, "Properties": {"ServerlessV2ScalingConfiguration": scaling}},
        "Writer": {
            "Type": "AWS::RDS::DBInstance",
            "Properties": {"DBClusterIdentifier": {"Ref": "Cluster"}, "DBInstanceClass": "db.serverless"},
        },
    }


def container(
    name: str, image: str = "langgenius/dify-api:1.17.1", **properties: object
) -> dict[str, object]:
    return service({"ContainerDefinitions": [{"Name": name, "Image": image}]}, **properties)


def pauses(*templates: dict[str, object]) -> bool:
    views = [Template({"Resources": resources}) for resources in templates]
    return can_pause(next(clusters(views)), views)


def clusters(views: list[Template]) -> Iterator[Resource]:
    return (cluster for view in views for cluster in view.of_type("AWS::RDS::DBCluster"))


AWAKE = [
    container("plugin_daemon"),
    container("beat"),
    container("PluginDaemon", DAEMON),  # of somebody else's template, known by its image
    container("plugin_daemon", DesiredCount=LATER),  # decided later, and most likely not 0
]
ASLEEP: list[dict[str, object]] = [
    {},
    container("plugin_daemon", DAEMON, DesiredCount=0),
    container("beat", DesiredCount="0"),
    container("api"),  # asks when it is asked
    {"Task": container("plugin_daemon", DAEMON)["Task"]},  # no service runs it
]


@pytest.mark.parametrize("tasks", AWAKE)
def test_a_task_that_asks_every_minute_keeps_the_database_awake(tasks: dict[str, object]) -> None:
    assert not pauses({**sleepy(), **tasks})
    assert not pauses(sleepy(), tasks)  # in another stack


@pytest.mark.parametrize("tasks", ASLEEP)
def test_without_such_a_task_it_pauses(tasks: dict[str, object]) -> None:
    assert pauses({**sleepy(), **tasks})
    assert pauses({**sleepy("0"), **tasks})


@pytest.mark.parametrize("minimum", [0.5, "0.5", LATER, None])
def test_a_cluster_with_another_minimum_never_pauses(minimum: object) -> None:
    assert not pauses(sleepy(minimum))


@pytest.mark.parametrize("scaling", [None, LATER, {}, {"MaxCapacity": 4}])
def test_a_cluster_without_a_minimum_never_pauses(scaling: object) -> None:
    assert not pauses({"Cluster": {**CLUSTER, "Properties": {"ServerlessV2ScalingConfiguration": scaling}}})


@pytest.mark.parametrize(("wanted", "units"), [(0, 0.5), (0.2, 0.5), (1.5, 1.5), (9, 2)])
@pytest.mark.parametrize("tasks", AWAKE)
def test_what_stays_awake_is_paid_for_half_a_unit_at_least(
    tasks: dict[str, object], wanted: float, units: float
) -> None:
    found = priced({**sleepy(), **tasks}, Usage(database_acu=wanted))
    assert found["capacity"] == pytest.approx(units * 730 * 0.12)


@pytest.mark.parametrize("tasks", ASLEEP)
def test_what_sleeps_is_paid_for_its_use_only(tasks: dict[str, object]) -> None:
    assert "capacity" not in priced({**sleepy(), **tasks})
    assert priced({**sleepy(), **tasks}, Usage(database_acu=0.2))["capacity"] == pytest.approx(
        0.2 * 730 * 0.12
    )
