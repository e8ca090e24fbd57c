"""The order of events of a change, and what stays behind."""

from __future__ import annotations

from typing import Any

import pytest

from dify_cdk.report.plan.plan import Action, Plan, Step
from plans import Resources, between, between_apps, one, stack
from template_parts import att, ref

DISTRIBUTION = "AWS::CloudFront::Distribution"
SERVICE = "AWS::ECS::Service"

ALB: Resources = {
    "Alb": one("AWS::ElasticLoadBalancingV2::LoadBalancer"),
    "Http": one("AWS::ElasticLoadBalancingV2::Listener", LoadBalancerArn=ref("Alb"), Port=80),
}
API: Resources = {"Api": one("AWS::ApiGatewayV2::Api", ProtocolType="HTTP")}


def distribution(origin: str) -> Resources:
    """A distribution before a load balancer, whose id it is given."""
    origins = [{"Id": "o", "DomainName": att(origin, "DNSName"), "CustomOriginConfig": {}}]
    return {"Cdn": one(DISTRIBUTION, DistributionConfig={"Origins": origins})}


def texts(steps: tuple[Step, ...]) -> list[str]:
    return [step.text for step in steps]


def app(entry: Resources, url: Any, image: str = "a", **service: Any) -> Any:
    """An entry point, a service behind it that knows its address, and an output."""
    resources = {
        "Db": one("AWS::RDS::DBCluster"),
        "Task": one("AWS::ECS::TaskDefinition", ContainerDefinitions=[{"Image": image}]),
        "Worker": one(SERVICE, TaskDefinition=ref("Task"), **service),
        **entry,
    }
    return stack(resources, Outputs={"Url": {"Value": url}, "Other": {"Value": "same"}})


class TestInPlace:
    def test_add_then_change_then_remove(self) -> None:
        before = app(ALB, att("Alb", "DNSName"), LoadBalancers=[{"TargetGroupArn": "t"}])
        after = app(API, att("Api", "ApiEndpoint"), "b", LoadBalancers=[])
        steps = between(before, after).in_place
        assert texts(steps) == [
            "deploy",
            "adds 1 resource, the new entry point Api among them; the old one still serves",
            "changes what stays: 1 updated, 1 replaced",
            "starts new tasks, then stops the old ones, of: Worker",
            "moves to other load balancers, so that the old ones no longer reach: Worker",
            "use the new values of the outputs: Url",
            "removes 2 resources and old copies of what it replaced; "
            "from here on the old entry point Alb is gone",
        ]
        assert [step.who for step in steps] == ["you", *["CloudFormation"] * 4, "you", "CloudFormation"]

    def test_only_what_happens_is_told(self) -> None:
        before, after = app({}, "u"), app({"Queue": one("AWS::SQS::Queue")}, "u")
        assert texts(between(before, after).in_place) == ["deploy", "adds 1 resource"]

    def test_new_stacks_are_named(self) -> None:
        edge = stack({"F": one("AWS::Lambda::Function")}, "Edge", "us-east-1")
        steps = between_apps([stack({})], [stack({}), edge]).in_place
        assert steps[0].text == "deploy all stacks (cdk deploy --all); new: Edge in us-east-1"


class TestSideBySide:
    def test_the_old_one_goes_last(self) -> None:
        result = between(app(ALB, "a"), app(API, "b"))
        steps = texts(result.side_by_side)
        assert "announce=False" in steps[0]
        assert "(what is Api in the template after), nothing is removed" in steps[1]
        assert "a host name can belong to one entry point only" in steps[3]
        assert steps[-1].endswith("the old one is gone (Alb)")
        assert {step.who for step in result.side_by_side} == {"you"}

    @pytest.mark.parametrize(
        ("old", "new"), [(ALB, ALB), ({}, ALB), (ALB, {})], ids=["the same", "none before", "none after"]
    )
    def test_without_another_entry_point_there_is_nothing_to_tell(
        self, old: Resources, new: Resources
    ) -> None:
        assert between(app(old, "a"), app(new, "b")).side_by_side == ()

    def test_what_stands_behind_an_entry_point_is_none(self) -> None:
        steps = texts(between(app({**ALB, **distribution("Alb")}, "a"), app(API, "b")).side_by_side)
        assert steps[-1].endswith("(Cdn)")

    def test_a_replaced_entry_point_is_another_one(self) -> None:
        balancer = "AWS::ElasticLoadBalancingV2::LoadBalancer"
        old, new = (dict(ALB) | {"Alb": one(balancer, Type=kind)} for kind in ("application", "network"))
        assert "(what is Alb in" in texts(between(app(old, "a"), app(new, "b")).side_by_side)[1]

    def test_an_entry_point_that_stays_before_something_else(self) -> None:
        other = {
            "Other": one("AWS::ElasticLoadBalancingV2::LoadBalancer"),
            "Https": one("AWS::ElasticLoadBalancingV2::Listener", LoadBalancerArn=ref("Other"), Port=443),
        }
        before, after = app({**ALB, **distribution("Alb")}, "a"), app({**other, **distribution("Other")}, "a")
        result = between(before, after)
        assert "updates the entry point Cdn in place, which keeps its address" in texts(result.in_place)
        assert result.side_by_side[-1].text.endswith("(Cdn)")

    def test_an_entry_point_that_only_changes_itself_is_no_other_one(self) -> None:
        before, after = (
            app(dict(API) | {"Api": one("AWS::ApiGatewayV2::Api", ProtocolType="HTTP", Name=name)}, "a")
            for name in "ab"
        )
        result = between(before, after)
        assert "updates the entry point Api in place, which keeps its address" in texts(result.in_place)
        assert result.side_by_side == ()


def left(of: Plan) -> list[tuple[str, str, str]]:
    return [(found.stack, found.logical_id, found.type) for found in of.left_behind]


class TestLeftBehind:
    def test_what_policies_keep(self) -> None:
        cluster = "AWS::RDS::DBCluster"
        policies = {"DeletionPolicy": "Snapshot", "UpdateReplacePolicy": "Retain"}
        before = {
            "Bucket": one("AWS::S3::Bucket") | {"DeletionPolicy": "RetainExceptOnCreate"},
            "Db": one(cluster, StorageEncrypted=False) | policies,
            "Old": one(cluster) | policies,
            "Gone": one("AWS::S3::Bucket") | {"DeletionPolicy": "Delete"},
        }
        result = between(before, {"Db": one(cluster, StorageEncrypted=True) | policies})
        assert {found.logical_id: found.why for found in result.left_behind} == {
            "Bucket": "DeletionPolicy keeps the old one",
            "Db": "UpdateReplacePolicy keeps the old one",
            "Old": "DeletionPolicy keeps a last snapshot of it",
        }

    @staticmethod
    def edge(principal: str = "edgelambda.amazonaws.com") -> Resources:
        trust = {"Statement": [{"Principal": {"Service": ["lambda.amazonaws.com", principal]}}]}
        return {
            "Signer": one("AWS::Lambda::Function", Role=att("Role")),
            "Version": one("AWS::Lambda::Version", FunctionName=ref("Signer")),
            "Role": one("AWS::IAM::Role", AssumeRolePolicyDocument=trust),
        }

    def test_a_function_at_the_edge_that_its_distribution_names(self) -> None:
        association = {"EventType": "origin-request", "LambdaFunctionARN": ref("Version")}
        behavior = {"LambdaFunctionAssociations": [association]}
        for config in ({"DefaultCacheBehavior": behavior}, {"CacheBehaviors": [{}, behavior]}):
            cdn = {"Cdn": one(DISTRIBUTION, DistributionConfig=config)}
            result = between({**self.edge("x"), **cdn}, {})
            assert left(result) == [("Main", "Signer", "AWS::Lambda::Function")]
            assert "replicas some hours after" in result.left_behind[0].why

    def test_a_function_at_the_edge_in_a_stack_of_its_own(self) -> None:
        edge = stack(self.edge(), "Edge", "us-east-1")
        result = between_apps([stack({}), edge], [stack({})])
        assert left(result) == [("Edge", "", "Stack"), ("Edge", "Signer", "AWS::Lambda::Function")]

    def test_other_functions_go_at_once(self) -> None:
        assert left(between(self.edge("events.amazonaws.com"), {})) == []

    def test_a_function_at_the_edge_that_stays_is_no_matter(self) -> None:
        assert left(between(self.edge(), self.edge())) == []

    def test_resources_of_a_stack_that_stays_are_not_told_one_by_one(self) -> None:
        bucket = {"B": one("AWS::S3::Bucket") | {"DeletionPolicy": "Retain"}}
        result = between_apps([stack({}), stack(bucket, "Extra")], [stack({})])
        assert left(result) == [("Extra", "", "Stack")]
        assert result.actions("Extra") == {"B": Action.LEFT_BEHIND}
