"""Names, logs, alarms, images, sign-in, and what runs by a schedule."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from dify_cdk.report.cost.charge import (
    Charge,
    Rule,
    SharedRule,
    Site,
    counted,
    number,
    setting,
    shown,
    word_or,
)
from dify_cdk.report.templates.template import Resource, items, references

_DAYS_PER_MONTH = 730 / 24


def hosted_zone(_: Resource, site: Site) -> Iterator[Charge]:
    """A DNS zone; a DNS namespace of Cloud Map defines one, while the tasks in it are registered free."""
    yield Charge("route53.zone_month", 1, "1 zone")


def log_groups(resources: tuple[Resource, ...], site: Site) -> Iterator[Charge]:
    """What all groups take in, and what they keep for as long as the longest retention says."""
    gb = site.usage.log_gb
    yield Charge("cloudwatch.log_gb", gb, f"{shown(gb)} GB in {counted(len(resources), 'group')}")
    days = [number(setting(resource, "RetentionInDays")) for resource in resources]
    known = [count for count in days if count is not None]
    longest = max(known) if len(known) == len(days) else None
    kept = 0.0 if gb == 0 else None if longest is None else gb * longest / _DAYS_PER_MONTH
    words = f"{shown(gb)} GB a month kept for {counted(longest, 'day')} at most, uncompressed"
    yield Charge("cloudwatch.log_gb_month", kept, words)


def alarm(resource: Resource, _: Site) -> Iterator[Charge]:
    """One price for every metric that an alarm looks at."""
    queries = [entry for entry in items(setting(resource, "Metrics")) if isinstance(entry, Mapping)]
    metrics = max(sum("MetricStat" in entry for entry in queries), 1)
    yield Charge("cloudwatch.alarm_month", metrics, counted(metrics, "metric"))


def dashboard(_: Resource, site: Site) -> Iterator[Charge]:
    """One price a month."""
    yield Charge("cloudwatch.dashboard_month", 1, "1 dashboard")


def user_pool(resource: Resource, site: Site) -> Iterator[Charge]:
    """The people who sign in, by the tier of the pool."""
    tier = word_or(setting(resource, "UserPoolTier"), "ESSENTIALS").lower()
    users = site.usage.users
    yield Charge(
        "cognito.users",
        users,
        f"{shown(users)} people who sign in",
        variant=tier,
        what=f"active users, {tier}",
    )


def mail(_: Resource, site: Site) -> Iterator[Charge]:
    """Invitations, codes and notifications, whose number the usage does not tell."""
    users = site.usage.users
    yield Charge("ses.mails", None if users else 0, f"invitations and codes for {shown(users)} people")


def repository(_: Resource, site: Site) -> Iterator[Charge]:
    """Images; a template does not say how many are kept and how large they are."""
    yield Charge("ecr.gb_month", None, "size of the images that are kept")


def state_machine(resource: Resource, site: Site) -> Iterator[Charge]:
    """Transitions, unless it runs only during deployments."""
    if resource.id not in site.deployment_only:
        yield Charge("step_functions.transitions", None, "number of executions and of their steps")


def build_project(resource: Resource, site: Site) -> Iterator[Charge]:
    """Build minutes, unless a custom resource starts it, which happens only during deployments."""
    custom = (other for other in site.view.resources if other.type.startswith("Custom::"))
    if not any(resource.id in references(other.properties) for other in custom):
        yield Charge("codebuild.minutes", None, "number and duration of the builds")


def schedule(resource: Resource, _: Site) -> Iterator[Charge]:
    """Free by itself; a task that it starts runs for as long as no template says."""
    targets = items(setting(resource, "Targets")) or items(setting(resource, "Target"))
    if any(isinstance(target, Mapping) and "EcsParameters" in target for target in targets):
        words = "number and duration of the tasks that it starts"
        yield Charge("fargate.vcpu_hour", None, words, variant="x86_64", what="scheduled tasks")


def sdk_call(resource: Resource, site: Site) -> Iterator[Charge]:
    """Calls of AWS's API during deployments: a look-up is free, another call may make anything."""
    for name in ("Create", "Update"):
        call = site.view.text(setting(resource, name))
        if call and not _LOOK_UP.search(call):
            yield Charge("any", None, f"{name}: a call that is no look-up")


_LOOK_UP = re.compile(r"\"action\":\s*\"(describe|get|list)", re.IGNORECASE)

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "AWS::CloudWatch::Alarm": alarm,
        "AWS::CloudWatch::Dashboard": dashboard,
        "AWS::CodeBuild::Project": build_project,
        "AWS::Cognito::UserPool": user_pool,
        "AWS::ECR::Repository": repository,
        "AWS::Events::Rule": schedule,
        "AWS::Route53::HostedZone": hosted_zone,
        "AWS::SES::EmailIdentity": mail,
        "AWS::Scheduler::Schedule": schedule,
        "AWS::ServiceDiscovery::PrivateDnsNamespace": hosted_zone,
        "AWS::ServiceDiscovery::PublicDnsNamespace": hosted_zone,
        "AWS::StepFunctions::StateMachine": state_machine,
        "Custom::AWS": sdk_call,
    }
)
SHARED: Mapping[str, SharedRule] = MappingProxyType({"AWS::Logs::LogGroup": log_groups})
