"""Every argument of every public name is what its annotation says, or is refused by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import aws_cdk as cdk
import pytest
from aws_cdk import assertions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import IDependable

import dify_cdk
from dify_cdk import (
    Access,
    AlbScheme,
    CloudFrontEdge,
    Component,
    DifyAlbFrontend,
    DifyData,
    DifyFrontend,
    DifyNetwork,
    DifyWorkers,
    Egress,
)
from dify_cdk._arguments import annotation_of, checked
from support import REGION

public: Any = dify_cdk
"""The same names, to which a type checker lets anything be passed."""

OFFICE = ["198.51.100.0/24"]


STAND_INS = {"grantee": iam.ServicePrincipal("ecs.amazonaws.com")}
"""For arguments that stand before those of any number."""


class Nonsense:
    """What no argument of anything is."""


@dataclass(frozen=True)
class Argument:
    """One argument of a public callable."""

    name: str
    call: Callable[..., Any]
    parameter: inspect.Parameter
    kind: Any

    def give(self, value: object) -> object:
        """Call with this argument alone: it is looked at before others are missed."""
        if self.parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            names = [*inspect.signature(self.call).parameters]
            return self.call(*(STAND_INS[name] for name in names[: names.index(self.parameter.name)]), value)
        return self.call(**{self.parameter.name: value})


def public_classes() -> Iterator[type]:
    for name in dify_cdk.__all__:
        kind = getattr(dify_cdk, name)
        if inspect.isclass(kind) and kind is not DifyFrontend and not issubclass(kind, Enum):
            yield kind


def callables(kind: type) -> Iterator[tuple[str, Callable[..., Any], Callable[..., Any]]]:
    """Name, something to call with the arguments alone, and the function that has their annotations."""
    yield kind.__name__, kind, vars(kind)["__init__"]
    for name, member in vars(kind).items():
        if not name.startswith("_") and isinstance(member, (classmethod, staticmethod)):
            yield f"{kind.__name__}.{name}", getattr(kind, name), member.__func__
        elif not name.startswith("_") and inspect.isfunction(member):
            yield f"{kind.__name__}.{name}", partial(member, object.__new__(kind)), member


ANYTHING = (object, IDependable)  # the interface has no members


def arguments() -> Iterator[Argument]:
    for kind in public_classes():
        for name, call, function in callables(kind):
            for parameter in inspect.signature(function).parameters.values():
                annotation = annotation_of(function, parameter.name)
                if parameter.name in ("self", "cls", "scope", "id") or annotation in ANYTHING:
                    continue
                yield Argument(f"{name}-{parameter.name}", call, parameter, annotation)


ARGUMENTS = list(arguments())


def kinds_of(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def enum_of(argument: Argument) -> type[Enum] | None:
    kinds = [kind for kind in kinds_of(argument.kind) if isinstance(kind, type) and issubclass(kind, Enum)]
    return kinds[0] if kinds else None


of_an_enum = pytest.mark.parametrize(
    "argument", [one for one in ARGUMENTS if enum_of(one)], ids=lambda one: one.name
)


def test_there_are_arguments_of_every_sort() -> None:
    """The walk over the signatures finds what a user sees, methods and value objects included."""
    names = {argument.name for argument in ARGUMENTS}
    assert {
        *("DifyWorkers-data", "DifyAlbFrontend-scheme", "DifyNetwork-egress", "Access-ipv4"),
        *("DifyData.grant_access-component", "WebAcl.managed-groups", "DifyMonitoring-thresholds"),
    } <= names
    assert len(names) > 120


@pytest.mark.parametrize("argument", ARGUMENTS, ids=lambda one: one.name)
def test_a_value_of_another_type_is_refused_by_the_argument_s_name(argument: Argument) -> None:
    with pytest.raises(TypeError) as caught:
        argument.give(Nonsense())
    text = str(caught.value)
    assert argument.parameter.name in text
    assert " must be " in text
    assert "a Nonsense" in text
    assert " object at 0x" not in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "argument",
    [one for one in ARGUMENTS if NoneType not in kinds_of(one.kind)],
    ids=lambda one: one.name,
)
def test_nothing_is_refused_where_it_has_no_meaning(argument: Argument) -> None:
    with pytest.raises(TypeError, match=rf"{argument.parameter.name}.* must be .*, got None"):
        argument.give(None)


@of_an_enum
def test_text_that_is_no_member_is_refused_with_the_members(argument: Argument) -> None:
    kind = enum_of(argument)
    assert kind is not None
    with pytest.raises(ValueError, match="got 'nonsense'") as caught:
        argument.give("nonsense")
    assert all(f"{kind.__name__}.{member.name}" in str(caught.value) for member in kind)


@of_an_enum
def test_text_that_is_a_member_s_value_stands_for_it(argument: Argument) -> None:
    """As a key of the context and a file have it, where no type checker looks."""
    kind = enum_of(argument)
    assert kind is not None

    @checked
    class Probe:
        def __init__(self, value: kind) -> None:  # type: ignore[valid-type]
            self.value = value

    Probe.__init__.__wrapped__.__annotations__["value"] = kind  # type: ignore[attr-defined]
    for member in kind:
        assert Probe(member.value).value is member


class TestTextOfAnEnumEndToEnd:
    """What text gave before it was checked: an internet-facing load balancer, NAT instances, x86."""

    def test_the_scheme_of_a_load_balancer(self, site: Site) -> None:
        DifyAlbFrontend(
            site.stack, "F", workers=site.workers, access=Access(ipv4=OFFICE), scheme=site.key("scheme")
        )
        (balancer,) = site.template("AWS::ElasticLoadBalancingV2::LoadBalancer")
        assert balancer["Scheme"] == AlbScheme.INTERNAL.value

    def test_the_way_out_of_a_network(self, site: Site) -> None:
        network = DifyNetwork(site.stack, "Other", egress=site.key("egress"))
        assert network.egress is Egress.NAT_GATEWAYS


@dataclass
class Site:
    """A stack with network, data and workers."""

    stack: cdk.Stack
    network: DifyNetwork
    data: Any
    workers: DifyWorkers

    def key(self, name: str) -> Any:
        """What a key of the context holds: anything, to a type checker."""
        return self.stack.node.try_get_context(name)

    def template(self, type: str) -> list[Mapping[str, Any]]:
        found = assertions.Template.from_stack(self.stack).find_resources(type)
        return [resource["Properties"] for resource in found.values()]


@pytest.fixture
def site(tmp_path: Any) -> Site:
    context = {"scheme": "internal", "egress": "nat_gateways"}
    stack = cdk.Stack(cdk.App(outdir=str(tmp_path), context=context), "S", env=cdk.Environment(region=REGION))
    network = DifyNetwork(stack, "Network")
    data = DifyData(stack, "Data", vpc=network.vpc)
    return Site(stack, network, data, DifyWorkers(stack, "Workers", data=data))


Make = Callable[[Site], Any]


def frontend(site: Site, **options: Any) -> DifyAlbFrontend:
    return DifyAlbFrontend(
        site.stack, "F", **{"workers": site.workers, "access": Access(ipv4=OFFICE), **options}
    )


def workers(site: Site, **options: Any) -> DifyWorkers:
    return DifyWorkers(site.stack, "W", **{"data": site.data, **options})


def data(site: Site, **options: Any) -> DifyData:
    return DifyData(site.stack, "D", **{"vpc": site.network.vpc, **options})


def secret(site: Site) -> secretsmanager.ISecret:
    return secretsmanager.Secret.from_secret_name_v2(site.stack, "Own", "dify/own")


TOLD: dict[str, tuple[Make, str]] = {
    "a_network_for_its_vpc": (
        lambda s: data(s, vpc=s.network),
        "DifyData.vpc must be an ec2.IVpc, got a DifyNetwork: write .vpc of it",
    ),
    "the_id_of_a_vpc": (
        lambda s: data(s, vpc="vpc-1234"),
        "DifyData.vpc must be an ec2.IVpc, got 'vpc-1234': write ec2.Vpc.from_lookup(scope, id, vpc_id=...)",
    ),
    "a_secret_value_for_a_secret": (
        lambda s: data(s, secret_key="sk-1234"),
        "DifyData.secret_key must be a secretsmanager.ISecret, got text: write "
        "secretsmanager.Secret.from_secret_name_v2(scope, id, name)",
    ),
    "a_number_for_a_capacity": (
        lambda s: data(s, capacity=4),
        "DifyData.capacity must be a DatabaseCapacity, got 4: write DatabaseCapacity(min_acu=4)",
    ),
    "a_date_for_a_count": (
        lambda s: data(s, rotation="2026-11"),
        "DifyData.rotation must be a number, got '2026-11'",
    ),
    "a_version_for_a_release": (
        lambda s: workers(s, release="1.17.1"),
        "DifyWorkers.release must be a DifyRelease, got '1.17.1': write DifyRelease(version='1.17.1')",
    ),
    "a_pair_for_a_size": (
        lambda s: workers(s, sizes={Component.API: (512, 1024)}),
        "DifyWorkers.sizes[Component.API] must be a ComponentSize, got (512, 1024): write "
        "ComponentSize(cpu_units=..., memory_mib=...)",
    ),
    "a_misspelled_component": (
        lambda s: workers(s, environment={"wrker": {}}),
        "a key of DifyWorkers.environment must be Component.API, ",
    ),
    "an_address_for_a_mail_service": (
        lambda s: workers(s, mail="dify@example.com"),
        "DifyWorkers.mail must be a SesMail or a SmtpMail, got 'dify@example.com': write "
        "SesMail(sender='dify@example.com')",
    ),
    "a_number_for_a_variable": (
        lambda s: workers(s, environment={Component.API: {"LOG_TZ": 1}}),
        "DifyWorkers.environment[Component.API]['LOG_TZ'] must be text or an ecs.Secret, got 1: write '1'",
    ),
    "a_secret_of_another_module_for_a_variable": (
        lambda s: workers(s, environment={Component.API: {"KEY": secret(s)}}),
        "DifyWorkers.environment[Component.API]['KEY'] must be text or an ecs.Secret, got a "
        "secretsmanager.ISecret: write ecs.Secret.from_secrets_manager(...) with it",
    ),
    "one_component_for_a_list": (
        lambda s: workers(s, exec_components=Component.API),
        "DifyWorkers.exec_components must be a list, got the text Component.API: write [Component.API]",
    ),
    "a_list_for_access": (
        lambda s: frontend(s, access=OFFICE),
        "DifyAlbFrontend.access must be an Access, got ['198.51.100.0/24']: write "
        "Access(ipv4=['198.51.100.0/24'])",
    ),
    "a_name_for_a_domain": (
        lambda s: frontend(s, domain="dify.example.com"),
        "DifyAlbFrontend.domain must be a Domain, got 'dify.example.com': write "
        "Domain(host_name='dify.example.com')",
    ),
    "true_for_an_edge": (
        lambda s: frontend(s, edge=True),
        "DifyAlbFrontend.edge must be a CloudFrontEdge, got True: write CloudFrontEdge()",
    ),
    "the_class_for_an_edge": (
        lambda s: frontend(s, edge=CloudFrontEdge),
        "DifyAlbFrontend.edge must be a CloudFrontEdge, got the class CloudFrontEdge: write "
        "CloudFrontEdge(...)",
    ),
    "seconds_for_a_duration": (
        lambda s: frontend(s, request_timeout=300),
        "DifyAlbFrontend.request_timeout must be a cdk.Duration, got 300: write cdk.Duration.seconds(300)",
    ),
    "text_for_a_flag": (
        lambda s: frontend(s, collaboration="false"),
        "DifyAlbFrontend.collaboration must be True or False, got 'false': write value == 'true', since "
        "what a key of the context holds is text",
    ),
    "the_stack_for_workers": (
        lambda s: frontend(s, workers=s.stack),
        "DifyAlbFrontend.workers must be a DifyWorkers, got a cdk.Stack",
    ),
    "an_arn_for_a_certificate": (
        lambda _: public.Domain(
            host_name="dify.example.com", certificate="arn:aws:acm:us-east-1:1:certificate/1"
        ),
        "Domain.certificate must be an acm.ICertificate, got 'arn:aws:acm:us-east-1:1:certificate/1': write "
        "acm.Certificate.from_certificate_arn(scope, id, arn)",
    ),
    "text_for_a_number": (
        lambda _: public.ComponentSize(cpu_units=512, memory_mib="1024"),
        "ComponentSize.memory_mib must be a number, got '1024': write 1024",
    ),
    "one_network_for_a_list": (
        lambda _: public.Access(ipv4="198.51.100.0/24"),
        "Access.ipv4 must be a list, got the text '198.51.100.0/24': write ['198.51.100.0/24']",
    ),
    "one_model_for_a_list": (
        lambda _: public.Bedrock(models="amazon.nova-*"),
        "Bedrock.models must be a list, got the text 'amazon.nova-*': write ['amazon.nova-*']",
    ),
    "one_package_for_a_list": (
        lambda _: public.Sandbox(python_packages="numpy"),
        "Sandbox.python_packages must be a list, got the text 'numpy': write ['numpy']",
    ),
    "a_misspelled_component_of_a_grant": (
        lambda s: s.data.grant_access(iam.ServicePrincipal("ecs.amazonaws.com"), "plugin_deamon"),
        "DifyData.grant_access(component=) must be Component.API, ",
    ),
    "a_rule_group_for_a_rate": (
        lambda _: public.WebAcl.managed("AWSManagedRulesCommonRuleSet", rate="1000"),
        "WebAcl.managed(rate=) must be a number, got '1000': write 1000",
    ),
    "an_image_for_all_components": (
        lambda _: public.DifyRelease(images="fork:1"),
        "DifyRelease.images must be a mapping such as {...: ...}, got 'fork:1'",
    ),
    "text_in_the_place_of_an_image": (
        lambda _: public.DifyRelease(images={Component.API: "fork:1"}),
        "DifyRelease.images[Component.API] must be an ecs.ContainerImage, got 'fork:1': write "
        "ecs.ContainerImage.from_registry(name)",
    ),
}


@pytest.mark.parametrize(("make", "message"), TOLD.values(), ids=TOLD)
def test_one_line_says_what_was_given_and_what_to_write(site: Site, make: Make, message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        make(site)
    text = str(caught.value)
    assert text.startswith(message) if message.endswith(", ") else text == message


class TestLists:
    def test_what_can_be_read_once_is_read_once(self) -> None:
        assert public.Access(ipv4=iter(OFFICE)).ipv4 == tuple(OFFICE)
        assert public.Access(ipv4=(network for network in OFFICE)).all_ipv4 == tuple(OFFICE)

    def test_a_set_has_one_order(self) -> None:
        networks = {f"198.51.{number}.0/24" for number in range(20)}
        assert public.Access(ipv4=networks).ipv4 == tuple(sorted(networks))

    def test_what_is_changed_afterwards_changes_nothing(self) -> None:
        networks = [*OFFICE]
        access = public.Access(ipv4=networks)
        networks.clear()
        assert access.ipv4 == tuple(OFFICE)
