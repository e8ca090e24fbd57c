"""Scaling and Spot: what ECS is told, that every frontend still works, nothing is replaced for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ecs as ecs
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]

from dify_cdk import (
    CacheSize,
    Component,
    ComponentSize,
    DatabaseCapacity,
    DifyAlbFrontend,
    DifyCloudFrontLambdaFrontend,
    DifyHttpApiFrontend,
    DifyWorkers,
    Scaling,
    Spot,
)
from dify_cdk.options.sizes import DEFAULT_SIZES, SCALABLE_COMPONENTS
from support import REGION, Template
from synth.installation import OFFICE, data_in, synthesized

FRONTENDS: dict[str, Callable[..., Any]] = {
    "alb": DifyAlbFrontend,
    "http_api": DifyHttpApiFrontend,
    "cloudfront_lambda": DifyCloudFrontLambdaFrontend,
}
HOSTED = {  # the components that a frontend runs on Fargate
    "alb": [Component.API, Component.WEB],
    "http_api": [Component.API, Component.WEB],
    "cloudfront_lambda": [Component.API],
}
ON_FARGATE = [
    pytest.param(frontend, component, id=f"{component}-{frontend}")
    for frontend, hosted in HOSTED.items()
    for component in (*hosted, Component.WORKER)
]
SCALED = Scaling(min_tasks=2, max_tasks=6, cpu_percent=45)


def sized(component: Component, **options: Any) -> ComponentSize:
    """The default size of a component with other numbers of tasks."""
    size = DEFAULT_SIZES[component]
    return ComponentSize(cpu_units=size.cpu_units, memory_mib=size.memory_mib, **options)


@pytest.fixture(scope="module")
def dify(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Template]:
    """Builds an installation behind a frontend, with arguments of data (``data=``) and of the workers."""

    def build(frontend: str = "alb", data: dict[str, Any] | None = None, **workers: Any) -> Template:
        app = cdk.App(outdir=str(tmp_path_factory.mktemp("scaling")), analytics_reporting=False)
        stack = cdk.Stack(app, "Dify", env=cdk.Environment(region=REGION))
        held = data_in(stack, **(data or {}))
        if workers.pop("own_cluster", False):
            workers["cluster"] = ecs.Cluster(
                stack, "Own", vpc=held.vpc, enable_fargate_capacity_providers=True
            )
        background = DifyWorkers(stack, "Workers", data=held, **workers)
        FRONTENDS[frontend](stack, "Frontend", workers=background, access=OFFICE)
        return synthesized(stack)

    return build


@pytest.fixture(scope="module")
def plain(dify: Callable[..., Template]) -> Callable[[str], Template]:
    """An installation without any option, synthesized once for each frontend."""
    return cache(dify)


@pytest.fixture(scope="module")
def scaled(dify: Callable[..., Template]) -> Callable[[str, Component], Template]:
    """An installation of which one component scales, synthesized once for each frontend and component."""
    return cache(
        lambda frontend, component: dify(frontend, sizes={component: sized(component, tasks=SCALED)})
    )


def service_id(template: Template, component: Component) -> str:
    (id,) = (
        id
        for id, properties in template.properties("AWS::ECS::Service").items()
        if properties is template.services()[component]
    )
    return id


def target_of(template: Template, component: Component) -> tuple[str, dict[str, Any]]:
    """Logical id and properties of the scalable target that names a component's service."""
    service = {"Fn::GetAtt": [service_id(template, component), "Name"]}
    (found,) = (
        (id, properties)
        for id, properties in template.properties("AWS::ApplicationAutoScaling::ScalableTarget").items()
        if service in properties["ResourceId"]["Fn::Join"][1]
    )
    return found


@pytest.mark.parametrize(("frontend", "component"), ON_FARGATE)
def test_scaled_component_has_bounds_and_a_target_and_no_number(
    scaled: Callable[[str, Component], Template], frontend: str, component: Component
) -> None:
    """The target follows the service it names, because it reads the name from it."""
    template = scaled(frontend, component)
    assert "DesiredCount" not in template.services()[component]
    id, target = target_of(template, component)
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 6)
    assert target["ScalableDimension"] == "ecs:service:DesiredCount"
    assert target["ResourceId"]["Fn::Join"][1][:2] == ["service/", template.services()[component]["Cluster"]]
    policies = template.properties("AWS::ApplicationAutoScaling::ScalingPolicy").items()
    (policy,) = [properties for id, properties in policies if "TargetCpu" in id]
    assert policy["PolicyType"] == "TargetTrackingScaling"
    assert policy["ScalingTargetId"] == {"Ref": id}
    tracking = policy["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["TargetValue"] == 45
    assert tracking["PredefinedMetricSpecification"] == {
        "PredefinedMetricType": "ECSServiceAverageCPUUtilization"
    }


@pytest.mark.parametrize(("frontend", "component"), ON_FARGATE)
def test_frontend_reaches_a_scaled_component_as_before(
    scaled: Callable[[str, Component], Template],
    plain: Callable[[str], Template],
    frontend: str,
    component: Component,
) -> None:
    """Targets, private names and Service Connect: scaling takes away the number, and changes nothing else."""
    old, new = plain(frontend), scaled(frontend, component)
    before, after = (template.resources[service_id(template, component)] for template in (old, new))
    assert after["DependsOn"] == before["DependsOn"]
    assert {**after["Properties"], "DesiredCount": 1} == before["Properties"]
    more = new.resources.keys() - old.resources.keys()
    measured = {id for id in more if id.startswith("WorkersQueueMetrics")}
    assert bool(measured) == (component is Component.WORKER)
    assert {new.resources[id]["Type"] for id in more - measured} == {
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "AWS::ApplicationAutoScaling::ScalingPolicy",
    }
    assert old.resources.keys() <= new.resources.keys()


def test_all_scalable_components_scale_beside_each_other(dify: Callable[..., Template]) -> None:
    bounds = {Component.API: 3, Component.WEB: 4, Component.WORKER: 5}
    assert set(bounds) == set(SCALABLE_COMPONENTS)
    sizes = {component: sized(component, tasks=Scaling(max_tasks=most)) for component, most in bounds.items()}
    template = dify(sizes=sizes)
    for component, most in bounds.items():
        assert target_of(template, component)[1]["MaxCapacity"] == most
    assert {
        component for component, service in template.services().items() if "DesiredCount" not in service
    } == set(bounds)


@pytest.mark.parametrize("variant", ["v1", "v2", "v3"])
def test_nothing_scales_unless_it_is_asked_for(templates: Callable[[str], Template], variant: str) -> None:
    template = templates(variant)
    assert not template.of_type("AWS::ApplicationAutoScaling::ScalableTarget")
    assert {service["DesiredCount"] for service in template.services().values()} == {1}


def test_room_for_the_proxy_keeps_scaling_and_spot(dify: Callable[..., Template]) -> None:
    """The default size of web grows in v2, where a proxy runs beside it."""
    spot = Spot(on_demand_base=2)
    template = dify("http_api", sizes={Component.WEB: sized(Component.WEB, tasks=SCALED, spot=spot)})
    assert template.task_of("web")["Cpu"] == "512"
    assert target_of(template, Component.WEB)[1]["MaxCapacity"] == 6
    assert template.services()["web"]["CapacityProviderStrategy"][0]["Base"] == 2


ON_DEMAND = [{"CapacityProvider": "FARGATE", "Weight": 1}]
SPARE = {"CapacityProvider": "FARGATE_SPOT", "Weight": 1}


def on_demand_base(tasks: int) -> dict[str, Any]:
    return {"CapacityProvider": "FARGATE", "Base": tasks, "Weight": 0}


@pytest.mark.parametrize(
    ("options", "strategy"),
    [
        pytest.param({"tasks": 3}, ON_DEMAND, id="no-spot"),
        pytest.param({"tasks": 3, "spot": Spot()}, [on_demand_base(1), SPARE], id="default-base"),
        pytest.param({"tasks": 3, "spot": Spot(on_demand_base=2)}, [on_demand_base(2), SPARE], id="own-base"),
        pytest.param({"tasks": SCALED, "spot": Spot()}, [on_demand_base(1), SPARE], id="scaled"),
        pytest.param({"spot": Spot(on_demand_base=0)}, [SPARE], id="no-base"),
    ],
)
def test_capacity_follows_from_spot(
    dify: Callable[..., Template], options: dict[str, Any], strategy: list[dict[str, Any]]
) -> None:
    template = dify(sizes={component: sized(component, **options) for component in SCALABLE_COMPONENTS})
    for component, service in template.services().items():
        expected = strategy if component in SCALABLE_COMPONENTS else ON_DEMAND
        assert service["CapacityProviderStrategy"] == expected, component


def test_background_components_run_on_spot_where_asked(dify: Callable[..., Template]) -> None:
    """Also the scheduler, of which ECS may still start no second one while the first has its two minutes."""
    spot, components = (
        Spot(on_demand_base=0),
        (Component.PLUGIN_DAEMON, Component.SANDBOX, Component.SSRF_PROXY),
    )
    sizes = {component: sized(component, spot=spot) for component in components}
    services = dify(sizes=sizes, scheduler=sized(Component.BEAT, spot=spot)).services()
    for component in (*components, Component.BEAT):
        assert services[component]["CapacityProviderStrategy"] == [SPARE], component
    beat = services[Component.BEAT]
    assert beat["DesiredCount"] == 1
    assert beat["DeploymentConfiguration"]["MaximumPercent"] == 100


def test_interrupted_tasks_have_the_whole_warning_to_stop(template: Template) -> None:
    """Two minutes: with less, the task would be killed earlier; and targets drain within them."""
    for component, container in template.containers().items():
        assert container["StopTimeout"] == 120, component
    for id, group in template.properties("AWS::ElasticLoadBalancingV2::TargetGroup").items():
        delay = {row["Key"]: row["Value"] for row in group["TargetGroupAttributes"]}
        assert int(delay["deregistration_delay.timeout_seconds"]) < 120, id


def test_own_cluster_of_the_library_knows_both_capacity_providers(template: Template) -> None:
    (association,) = template.properties("AWS::ECS::ClusterCapacityProviderAssociations").values()
    assert set(association["CapacityProviders"]) == {"FARGATE", "FARGATE_SPOT"}
    for component, service in template.services().items():
        assert service["CapacityProviderStrategy"], component
        assert "LaunchType" not in service, component


def create_only(type: str) -> list[str]:
    """Properties whose change replaces a resource of the type, by CloudFormation's own schema."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, type).schema
    listed = {*schema["createOnlyProperties"], *schema.get("conditionalCreateOnlyProperties", ())}
    return sorted(pointer.removeprefix("/properties/").partition("/")[0] for pointer in listed)


LASTING = [  # what must not be replaced: services keep running, data is kept
    "AWS::ECS::Service",
    "AWS::ECS::Cluster",
    "AWS::ElastiCache::ReplicationGroup",
    "AWS::RDS::DBCluster",
    "AWS::RDS::DBInstance",
]


def replaced(before: Template, after: Template) -> Iterator[str]:
    """What is lost between two templates, as ``logical id`` or ``logical id: property``."""
    for id, resource in before.of_type(*LASTING).items():
        if id not in after.resources:
            yield id
            continue
        old, new = resource.get("Properties", {}), after.resources[id].get("Properties", {})
        yield from (
            f"{id}: {name}" for name in create_only(resource["Type"]) if old.get(name) != new.get(name)
        )


EVERYTHING = {
    "sizes": {
        Component.API: sized(Component.API, tasks=SCALED, spot=Spot()),
        Component.WEB: sized(Component.WEB, tasks=SCALED, spot=Spot()),
        Component.WORKER: sized(Component.WORKER, tasks=SCALED, spot=Spot(on_demand_base=0)),
        Component.PLUGIN_DAEMON: sized(Component.PLUGIN_DAEMON, spot=Spot(on_demand_base=0)),
        Component.SANDBOX: sized(Component.SANDBOX, tasks=2, spot=Spot()),
        Component.SSRF_PROXY: sized(Component.SSRF_PROXY, tasks=2, spot=Spot()),
    },
    "scheduler": sized(Component.BEAT, spot=Spot(on_demand_base=0)),
    "exec_components": [
        Component.API,
        Component.WEB,
        Component.WORKER,
        Component.BEAT,
        Component.PLUGIN_DAEMON,
    ],
    "data": {"capacity": DatabaseCapacity(min_acu=0), "cache_size": CacheSize(replicas=0)},
}


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_every_option_is_an_update_in_place(
    dify: Callable[..., Template], plain: Callable[[str], Template], frontend: str
) -> None:
    before, after = plain(frontend), dify(frontend, **EVERYTHING)
    assert list(replaced(before, after)) == []
    assert list(replaced(after, before)) == []
    for component, service in after.services().items():
        assert service != before.services()[component], component  # else the test would say nothing


def test_fails_when_a_service_or_the_database_would_be_replaced(
    dify: Callable[..., Template], plain: Callable[[str], Template]
) -> None:
    """The check above can fail: with another cluster for the services, and a snapshot for the database."""
    before = plain("alb")
    after = dify(own_cluster=True, data={"snapshot_identifier": "old"})
    lost = set(replaced(before, after))
    assert {f"{id}: Cluster" for id in before.of_type("AWS::ECS::Service")} < lost
    (database,) = before.of_type("AWS::RDS::DBCluster")
    assert f"{database}: SnapshotIdentifier" in lost


class TestConnections:
    """All tasks open connections to one database, which takes only so many."""

    def build(self, stack: cdk.Stack, max_acu: float, most: int, **options: Any) -> list[str]:
        size = sized(Component.API, tasks=most if most == 1 else Scaling(min_tasks=1, max_tasks=most))
        data = data_in(stack, capacity=DatabaseCapacity(max_acu=max_acu))
        workers = DifyWorkers(stack, "Workers", data=data, sizes={Component.API: size}, **options)
        DifyAlbFrontend(stack, "Frontend", workers=workers, access=OFFICE, collaboration=True)
        self.template = synthesized(stack)
        found = [str(entry.data) for entry in workers.node.metadata if entry.type == "aws:cdk:warning"]
        return [text for text in found if "connections" in text]

    @pytest.mark.parametrize(("max_acu", "most"), [(2, 5), (4, 14), (8, 33)])
    def test_pools_shrink_so_that_all_tasks_fit(self, stack: cdk.Stack, max_acu: float, most: int) -> None:
        assert self.build(stack, max_acu, most) == []

    @pytest.mark.parametrize(("max_acu", "most"), [(1, 2), (2, 6), (4, 15), (8, 34)])
    def test_warns_with_the_sum_where_even_the_smallest_do_not(
        self, stack: cdk.Stack, max_acu: float, most: int
    ) -> None:
        (warning,) = self.build(stack, max_acu, most)
        summands = re.findall(r"(\w+) (\d+) x (\d+)( x 2)?", warning)
        counted = {
            component: int(tasks) * int(each) * (2 if twice else 1)
            for component, tasks, each, twice in summands
        }
        total, available = re.findall(r"= (\d+);", warning), re.findall(r"than the (\d+) that", warning)
        assert counted.keys() == {"worker", "beat", "plugin_daemon", "api", "api_websocket"}
        assert int(total[0]) == sum(counted.values()) + 15 > int(available[0])
        assert warning.endswith(
            "raise max_acu, or let less run at once [ack: Annotation::DifyDatabaseConnections]"
        )

    def test_a_user_s_own_pool_counts(self, stack: cdk.Stack) -> None:
        own = {
            component: {"SQLALCHEMY_POOL_SIZE": "200"}
            for component in (Component.API, Component.WORKER, Component.BEAT)
        }
        (warning,) = self.build(stack, 4, 3, environment=own)
        assert "api 3 x 315 x 2" in warning
        assert self.template.environment(Component.API)["SQLALCHEMY_POOL_SIZE"] == "200"

    def test_jobs_of_a_worker_follow_from_its_pool(self, stack: cdk.Stack) -> None:
        self.build(stack, 1, 2)
        worker = self.template.environment(Component.WORKER)
        pool = int(worker["SQLALCHEMY_POOL_SIZE"]) + int(worker["SQLALCHEMY_MAX_OVERFLOW"])
        assert 4 <= int(worker["CELERY_WORKER_AMOUNT"]) <= pool / 2.5 < 16
