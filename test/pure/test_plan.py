"""What happens to each resource, by CloudFormation's rules; conflicts and steps have files of their own."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dify_cdk.report.output.plan_json import to_json
from dify_cdk.report.plan.plan import Action, Plan, plan
from dify_cdk.report.templates.subject import Part, Subject
from plans import Resources, action, between, between_apps, change, one, stack
from reports import to_markdown
from template_parts import att, ref

KEPT, UPDATED, REPLACED = Action.KEPT, Action.UPDATED, Action.REPLACED
MAY, ADDED, REMOVED, LEFT = Action.MAY_BE_REPLACED, Action.ADDED, Action.REMOVED, Action.LEFT_BEHIND

GROUP = "AWS::ElasticLoadBalancingV2::TargetGroup"
SERVICE = "AWS::ECS::Service"
TASK = "AWS::ECS::TaskDefinition"


class TestProperties:
    def test_nothing_changes(self) -> None:
        queue = one("AWS::SQS::Queue", DelaySeconds=1)
        result = between({"Queue": queue}, {"Queue": queue})
        assert result.actions() == {"Queue": KEPT}
        assert (result.conflicts, result.in_place, result.is_finding) == ((), (), False)

    def test_a_property_changes_in_place(self) -> None:
        before, after = one("AWS::SQS::Queue", DelaySeconds=1), one("AWS::SQS::Queue", DelaySeconds=2)
        found = change(between({"Queue": before}, {"Queue": after}), "Queue")
        assert (found.action, [reason.property for reason in found.reasons]) == (UPDATED, ["DelaySeconds"])

    def test_a_property_cannot_change_in_place(self) -> None:
        before, after = one(GROUP, Port=80, VpcId="vpc-1"), one(GROUP, Port=81, VpcId="vpc-1")
        found = change(between({"Group": before}, {"Group": after}), "Group")
        assert (found.action, [reason.property for reason in found.reasons]) == (REPLACED, ["Port"])

    @pytest.mark.parametrize(
        ("before", "after"),
        [({}, {"SnapshotIdentifier": "s"}), ({"SnapshotIdentifier": "s"}, {})],
        ids=["added", "dropped"],
    )
    def test_one_that_appears_or_disappears_counts_like_a_change(
        self, before: dict[str, str], after: dict[str, str]
    ) -> None:
        """Dropping SnapshotIdentifier gives an empty cluster and deletes the other."""
        type = "AWS::RDS::DBCluster"
        assert action(between({"Db": one(type, **before)}, {"Db": one(type, **after)}), "Db") is REPLACED

    def test_a_nested_property_decides_alone(self) -> None:
        def endpoint(**options: str) -> Resources:
            return {"E": one("AWS::EC2::VPCEndpoint", ServiceName="s", DnsOptions=options)}

        before = endpoint(DnsRecordIpType="ipv4", PrivateDnsPreference="ALL_DOMAINS")
        in_place = endpoint(DnsRecordIpType="dualstack", PrivateDnsPreference="ALL_DOMAINS")
        anew = endpoint(DnsRecordIpType="ipv4", PrivateDnsPreference="VERIFIED_DOMAINS_ONLY")
        assert action(between(before, in_place), "E") is UPDATED
        found = change(between(before, anew), "E")
        assert found.action is REPLACED
        assert found.reasons[0].property == "DnsOptions/PrivateDnsPreference"

    def test_what_depends_on_more_may_be_replaced(self) -> None:
        type = "AWS::EC2::Instance"
        before, after = one(type, InstanceType="t4g.nano"), one(type, InstanceType="t4g.micro")
        assert action(between({"I": before}, {"I": after}), "I") is MAY

    def test_a_type_without_an_update_is_replaced(self) -> None:
        type = "AWS::Lambda::Permission"
        before, after = one(type, Principal="a", X=1), one(type, Principal="a", X=2)
        assert action(between({"P": before}, {"P": after}), "P") is REPLACED

    @pytest.mark.parametrize("type", ["Acme::Shop::Basket", "AWS::No::Such", ""])
    def test_an_unknown_type_is_never_silently_kept(self, type: str) -> None:
        result = between({"X": one(type, A=1)}, {"X": one(type, A=2)})
        assert action(result, "X") is MAY
        assert any("do not know" in note for note in result.notes)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (["X", ["a"], {"Topic${X}": {}}], ["X", ["a", "b"], {"Topic${X}": {}}]),
            (
                {"Name": "AWS::Include", "Parameters": {"L": "a"}},
                {"Name": "AWS::Include", "Parameters": {"L": "b"}},
            ),
            ({"Type": "AWS::SQS::Queue", "Properties": [1]}, {"Type": "AWS::SQS::Queue", "Properties": [2]}),
        ],
        ids=["a loop", "a macro", "no properties at all"],
    )
    def test_nor_is_what_is_no_usual_resource(self, before: Any, after: Any) -> None:
        found = change(between({"Fn::X": before}, {"Fn::X": after}), "Fn::X")
        assert (found.action, found.reasons[0].because) == (MAY, "it is written otherwise")
        assert action(between({"Fn::X": before}, {"Fn::X": before}), "Fn::X") is KEPT

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ({"Ref": "Bucket"}, {"Fn::Sub": "${Bucket}"}),
            ({"Fn::GetAtt": "Bucket.Arn"}, {"Fn::GetAtt": ["Bucket", "Arn"]}),
            ({"Fn::GetAtt": ["Bucket", "Arn"]}, {"Fn::Sub": "${Bucket.Arn}"}),
            ({"Fn::Join": ["", ["a/", {"Ref": "Bucket"}, "/b"]]}, {"Fn::Sub": "a/${Bucket}/b"}),
            ({"Fn::Join": [",", ["a", {"Fn::Join": ["", ["b", "c"]]}]]}, "a,bc"),
            ({"Fn::Sub": ["${X}!", {"X": {"Ref": "Bucket"}}]}, {"Fn::Join": ["", [{"Ref": "Bucket"}, "!"]]}),
            ({"Fn::Select": ["1", ["a", "b"]]}, "b"),
            ({"Fn::FindInMap": ["Map", "k", "v"]}, "found"),
            ({"Fn::If": ["Yes", "same", "same"]}, "same"),
            ({"Fn::Sub": "${!Literal}"}, "${Literal}"),
            (80, "80"),
            (True, "true"),
            (2.0, 2),
            ({"Ref": "AWS::NoValue"}, None),
        ],
    )
    def test_the_same_value_written_otherwise_is_no_change(self, before: Any, after: Any) -> None:
        sections: dict[str, Any] = {
            "Mappings": {"Map": {"k": {"v": "found"}}},
            "Conditions": {"Yes": {"Fn::Equals": [{"Ref": "AWS::Region"}, "x"]}},
        }
        bucket = one("AWS::S3::Bucket")
        old, new = ({"Bucket": bucket, "Q": one("AWS::SQS::Queue", V=value)} for value in (before, after))
        assert action(between(stack(old, **sections), stack(new, **sections)), "Q") is KEPT
        other = {"Bucket": bucket, "Q": one("AWS::SQS::Queue", V="something else")}
        assert action(between(stack(old, **sections), stack(other, **sections)), "Q") is UPDATED

    @pytest.mark.parametrize(
        "attributes",
        [
            {"Metadata": {"aws:cdk:path": "b"}},
            {"DependsOn": "Other"},
            {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"},
            {"UpdatePolicy": {"UseOnlineResharding": True}},
        ],
        ids=["metadata", "order", "policies", "update policy"],
    )
    def test_what_is_no_property_changes_nothing(self, attributes: dict[str, Any]) -> None:
        before, after = one("AWS::SQS::Queue", A=1), one("AWS::SQS::Queue", A=1) | attributes
        assert action(between({"Q": before}, {"Q": after}), "Q") is KEPT


class TestPropagation:
    def test_a_replaced_resource_is_another_value_for_its_users(self) -> None:
        def app(image: str) -> Resources:
            return {
                "Service": one(SERVICE, TaskDefinition=ref("Task"), Cluster="c"),
                "Task": one(TASK, ContainerDefinitions=[{"Image": image}]),
                "Bystander": one(SERVICE, Cluster="c"),
            }

        result = between(app("a"), app("b"))
        assert result.actions() == {"Task": REPLACED, "Service": UPDATED, "Bystander": KEPT}
        (reason,) = change(result, "Service").reasons
        assert (reason.property, reason.because) == ("TaskDefinition", "Task is replaced")

    def test_it_replaces_users_that_cannot_change(self) -> None:
        """From the load balancer to the rules, through the listener."""

        def app(scheme: str) -> Resources:
            balancer, listener = "AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::ElasticLoadBalancingV2"
            return {
                "Rule": one(f"{listener}::ListenerRule", ListenerArn=ref("Listener"), Priority=1),
                "Listener": one(f"{listener}::Listener", LoadBalancerArn=ref("Alb"), Port=80),
                "Alb": one(balancer, Scheme=scheme),
                "Url": one("AWS::SSM::Parameter", Value={"Fn::Sub": "http://${Alb.DNSName}/"}),
            }

        result = between(app("internal"), app("internet-facing"))
        expected = {"Alb": REPLACED, "Listener": REPLACED, "Rule": REPLACED, "Url": UPDATED}
        assert result.actions() == expected

    def test_an_update_in_place_is_no_new_value(self) -> None:
        def app(delay: int) -> Resources:
            queue = one("AWS::SQS::Queue", DelaySeconds=delay)
            return {"Queue": queue, "User": one("AWS::SSM::Parameter", Value=att("Queue"))}

        assert between(app(1), app(2)).actions() == {"Queue": UPDATED, "User": KEPT}

    def test_what_may_be_replaced_makes_its_users_uncertain(self) -> None:
        def app(type: str) -> Resources:
            association = one("AWS::EC2::EIPAssociation", InstanceId=ref("Nat"), AllocationId="eipalloc-1")
            route = one("AWS::EC2::Route", RouteTableId="r", InstanceId=ref("Nat"))
            return {"Nat": one("AWS::EC2::Instance", InstanceType=type), "Ip": association, "Route": route}

        assert between(app("a"), app("b")).actions() == {"Nat": MAY, "Ip": MAY, "Route": UPDATED}

    @pytest.mark.parametrize(
        ("type", "attribute"),
        [
            ("Custom::Lookup", "Arn"),
            ("AWS::CloudFormation::Stack", "Outputs.Url"),
            ("AWS::EC2::LaunchTemplate", "LatestVersionNumber"),
            ("AWS::SSM::Parameter", "Value"),
        ],
    )
    def test_some_attributes_change_with_an_update(self, type: str, attribute: str) -> None:
        def app(value: str) -> Resources:
            user = one("AWS::SQS::Queue", A=att("Source", attribute))
            return {"Source": one(type, Input=value), "User": user}

        assert between(app("a"), app("b")).actions() == {"Source": UPDATED, "User": UPDATED}

    def test_a_custom_resource_is_updated_and_may_have_a_new_id(self) -> None:
        def app(value: str) -> Resources:
            group = one(GROUP, VpcId=ref("Source"))
            return {"Source": one("Custom::Lookup", ServiceToken="t", Input=value), "Group": group}

        assert between(app("a"), app("b")).actions() == {"Source": UPDATED, "Group": MAY}

    def test_it_passes_through_other_stacks(self) -> None:
        def app(cidr: str) -> list[Part]:
            vpc = {"Vpc": one("AWS::EC2::VPC", CidrBlock=cidr)}
            outputs = {"Id": {"Value": ref("Vpc"), "Export": {"Name": "vpc"}}}
            strong = {"Group": one(GROUP, VpcId={"Fn::ImportValue": "vpc"})}
            weak = {
                "Weak": one(GROUP, VpcId={"Fn::GetStackOutput": {"StackName": "Net", "OutputName": "Id"}})
            }
            return [stack({**strong, **weak}), stack(vpc, "Net", Outputs=outputs)]

        result = between_apps(app("10.0.0.0/16"), app("10.1.0.0/16"))
        assert result.actions("Net") == {"Vpc": REPLACED}
        assert result.actions() == {"Group": REPLACED, "Weak": REPLACED}

    def test_a_long_chain_of_users(self) -> None:
        """Every one is replaced, in less time than a look at all for each would take."""

        def app(first: str) -> Resources:
            groups = {f"G{n}": one("AWS::EC2::RouteTable", VpcId=ref(f"G{n - 1}")) for n in range(1, 800)}
            return {**dict(reversed(groups.items())), "G0": one("AWS::EC2::VPC", CidrBlock=first)}

        assert set(between(app("10.0.0.0/16"), app("10.1.0.0/16")).actions().values()) == {REPLACED}


class TestDeclarations:
    def test_another_default_of_a_parameter_is_another_value(self) -> None:
        def app(default: str, description: str = "") -> Part:
            parameters = {"Size": {"Type": "String", "Default": default, "Description": description}}
            return stack({"Q": one("AWS::SQS::Queue", A=ref("Size"))}, Parameters=parameters)

        found = change(between(app("1"), app("2")), "Q")
        assert (found.action, found.reasons[0].because) == (UPDATED, "parameter Size changes")
        assert action(between(app("1"), app("1", "in words")), "Q") is KEPT

    def test_another_condition_is_another_choice(self) -> None:
        def app(region: str) -> Part:
            conditions = {
                "Here": {"Fn::Equals": [ref("AWS::Region"), region]},
                "Away": {"Fn::Not": [{"Condition": "Here"}]},
                "Other": {"Fn::Equals": ["a", "b"]},
            }
            resources = {
                "Chosen": one("AWS::SQS::Queue", A={"Fn::If": ["Away", 1, 2]}),
                "Same": one("AWS::SQS::Queue", A={"Fn::If": ["Other", 1, 2]}),
                "There": one("AWS::SQS::Queue") | {"Condition": "Here"},
            }
            return stack(resources, Conditions=conditions)

        assert between(app("a"), app("b")).actions() == {"Chosen": UPDATED, "Same": KEPT, "There": MAY}

    def test_another_mapping_is_another_value(self) -> None:
        def app(value: str) -> Part:
            mappings = {"Map": {"eu-west-1": {"Ami": value}}}
            find = {"Fn::FindInMap": ["Map", ref("AWS::Region"), "Ami"]}
            return stack({"I": one("AWS::EC2::Instance", ImageId=find)}, Mappings=mappings)

        assert action(between(app("a"), app("b")), "I") is REPLACED

    def test_a_parameter_that_is_looked_up_may_replace_at_any_time(self) -> None:
        parameters = {"Ami": {"Type": "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>", "Default": "/ami"}}
        same = stack({"I": one("AWS::EC2::Instance", ImageId=ref("Ami"))}, Parameters=parameters)
        result = between(same, same)
        assert result.actions() == {"I": KEPT}
        assert result.notes == ("every deployment reads /ami again; a new value there replaces I",)
        harmless = stack({"I": one("AWS::EC2::Instance", UserData=ref("Ami"))}, Parameters=parameters)
        assert between(harmless, harmless).notes == ()


CLUSTER = "AWS::RDS::DBCluster"


class TestWhatHoldsData:
    @pytest.mark.parametrize(
        ("policy", "expected", "keeps", "lost"),
        [
            ("Delete", REMOVED, "", True),
            (None, REMOVED, "", True),
            ("Retain", LEFT, "resource", False),
            ("RetainExceptOnCreate", LEFT, "resource", False),
            ("Snapshot", REMOVED, "snapshot", True),
        ],
    )
    def test_removed(self, policy: str | None, expected: Action, keeps: str, lost: bool) -> None:
        body = {"DeletionPolicy": policy} if policy else {}
        result = between({"Db": one("AWS::ElastiCache::ReplicationGroup") | body}, {})
        found = change(result, "Db")
        assert (found.action, found.keeps, found.is_lost) == (expected, keeps, lost)
        assert result.is_finding is lost

    def test_a_database_without_a_policy_leaves_a_snapshot(self) -> None:
        assert change(between({"Db": one(CLUSTER)}, {}), "Db").keeps == "snapshot"
        alone, member = one("AWS::RDS::DBInstance"), one("AWS::RDS::DBInstance", DBClusterIdentifier="c")
        assert change(between({"Db": alone}, {}), "Db").keeps == "snapshot"
        assert change(between({"Db": member}, {}), "Db").keeps == ""

    @pytest.mark.parametrize("policy", ["Retain", "Delete", "Snapshot"])
    def test_replaced_is_lost_whatever_happens_to_the_old_one(self, policy: str) -> None:
        body = {"UpdateReplacePolicy": policy, "DeletionPolicy": "Retain"}
        before, after = (one(CLUSTER, StorageEncrypted=value) | body for value in (False, True))
        found = change(between({"Db": before}, {"Db": after}), "Db")
        assert (found.action, found.is_lost) == (REPLACED, True)
        assert found.keeps == {"Retain": "resource", "Delete": "", "Snapshot": "snapshot"}[policy]

    def test_what_may_be_replaced_is_a_finding(self) -> None:
        before, after = one(CLUSTER, MasterUsername="a"), one(CLUSTER, MasterUsername="b")
        assert between({"Db": before}, {"Db": after}).is_finding

    def test_an_update_is_none(self) -> None:
        before, after = one(CLUSTER, BackupRetentionPeriod=1), one(CLUSTER, BackupRetentionPeriod=7)
        assert not between({"Db": before}, {"Db": after}).is_finding

    @pytest.mark.parametrize(("policy", "lost"), [("Delete", False), (None, True), ("Snapshot", True)])
    def test_the_policy_says_whether_a_secret_is_disposable(self, policy: str | None, lost: bool) -> None:
        """Not its name: a generated secret of a frontend goes with the frontend."""
        body = {"DeletionPolicy": policy} if policy else {}
        result = between({"S": one("AWS::SecretsManager::Secret") | body}, {})
        assert result.is_finding is lost
        assert change(result, "S").holds

    def test_the_policy_does_not_make_a_database_disposable(self) -> None:
        assert between({"Db": one(CLUSTER) | {"DeletionPolicy": "Delete"}}, {}).is_finding

    def test_logs_are_named_and_not_counted(self) -> None:
        result = between({"Logs": one("AWS::Logs::LogGroup")}, {})
        assert (change(result, "Logs").holds, result.is_finding) == ("logs", False)

    def test_an_instance_of_a_cluster_holds_nothing_itself(self) -> None:
        result = between({"Writer": one("AWS::RDS::DBInstance", DBClusterIdentifier=ref("Db"))}, {})
        assert (change(result, "Writer").holds, result.is_finding) == ("", False)

    def test_it_comes_first_and_losses_before_all(self) -> None:
        before = {
            "A": one("AWS::SNS::Topic"),
            "B": one("AWS::S3::Bucket"),
            "C": one("AWS::Logs::LogGroup"),
            "Z": one(CLUSTER),
        }
        after = {id: entry for id, entry in before.items() if id != "Z"}
        assert [found.logical_id for found in between(before, after).resources] == ["Z", "B", "C", "A"]


class TestStacks:
    def test_stacks_are_matched_by_name(self) -> None:
        queue, topic = {"Q": one("AWS::SQS::Queue")}, {"T": one("AWS::SNS::Topic")}
        result = between_apps([stack(queue), stack(topic, "Edge")], [stack(topic, "Edge"), stack(queue)])
        assert {found.name: found.action for found in result.stacks} == {"Main": KEPT, "Edge": KEPT}
        assert set(result.actions("Main").values()) | set(result.actions("Edge").values()) == {KEPT}

    def test_the_main_ones_belong_together_whatever_they_are_called(self) -> None:
        queue = {"Q": one("AWS::SQS::Queue")}
        result = between_apps([stack(queue, "old")], [stack(queue, "new"), stack({}, "Edge")])
        assert [(found.name, found.action) for found in result.stacks] == [("new", KEPT), ("Edge", ADDED)]
        assert result.actions() == {"Q": KEPT}
        assert "old and new are taken for the same stack" in result.notes[0]

    def test_a_stack_that_is_not_there_any_more_is_left_alone(self) -> None:
        edge = stack({"F": one(CLUSTER) | {"DeletionPolicy": "Delete"}}, "Edge", "us-east-1")
        result = between_apps([stack({}), edge], [stack({})])
        assert result.actions("Edge") == {"F": LEFT}
        assert not result.is_finding
        (left,) = result.left_behind
        assert (left.stack, left.type) == ("Edge", "Stack")
        assert left.how == "aws cloudformation delete-stack --stack-name Edge --region us-east-1"

    def test_a_new_stack_is_added(self) -> None:
        result = between_apps([stack({})], [stack({}), stack({"Q": one("AWS::SQS::Queue")}, "Edge")])
        assert result.actions("Edge") == {"Q": ADDED}

    def test_stacks_of_the_same_name_are_told_apart(self) -> None:
        parts = [stack({"A": one("AWS::SQS::Queue")}, "X"), stack({"B": one("AWS::SQS::Queue")}, "X")]
        assert set(between_apps(parts, parts).actions("X").values()) == {KEPT}

    def test_a_stack_does_not_move_to_another_region(self) -> None:
        here, there = (stack({}, region=region) for region in ("eu-west-1", "us-east-1"))
        (note,) = between(here, there).notes
        assert "eu-west-1 before and in us-east-1 after" in note


# --- properties -----------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5) | st.floats(allow_nan=False)
IDS = st.sampled_from(["A", "B", "C", "AWS::Region", "AWS::NoValue", "X.Y", "", "P"])
FUNCTIONS = st.sampled_from(
    [
        *("Ref", "Fn::GetAtt", "Fn::Sub", "Fn::Join", "Fn::If", "Fn::Select", "Fn::FindInMap", "Condition"),
        *("Fn::ImportValue", "Fn::GetStackOutput", "Fn::Transform", "Fn::ForEach::X", "Fn::Cidr"),
    ]
)
VALUES = st.recursive(
    SCALARS | IDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(IDS, inner, max_size=3)
        | st.dictionaries(FUNCTIONS, inner | st.lists(inner, max_size=3), min_size=1, max_size=1)
    ),
    max_leaves=12,
)
TYPES = st.sampled_from(
    [
        "AWS::ECS::Service",
        "AWS::EC2::Subnet",
        "AWS::EC2::SecurityGroup",
        "AWS::EC2::EIPAssociation",
        "AWS::ElasticLoadBalancingV2::Listener",
        "AWS::ElasticLoadBalancingV2::ListenerRule",
        "AWS::Route53::RecordSetGroup",
        "AWS::Lambda::Function",
        "AWS::CloudFront::Distribution",
        "AWS::ServiceDiscovery::Service",
        "AWS::RDS::DBInstance",
        "AWS::S3::Bucket",
        "Custom::Thing",
        "Acme::Odd::Type",
        "",
    ]
)
NAMES = st.sampled_from(
    [
        *("Name", "Port", "LoadBalancerArn", "ListenerArn", "Priority", "CidrBlock", "VpcId", "RecordSets"),
        *("HostedZoneId", "DistributionConfig", "ServiceConnectConfiguration", "Cluster", "AllocationId"),
        *("SecurityGroupIngress", "Actions", "DefaultActions", "DnsConfig", "BucketName", "FunctionName"),
    ]
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "Type": TYPES | SCALARS,
        "Properties": st.dictionaries(NAMES, VALUES, max_size=4) | VALUES,
        "DependsOn": VALUES,
        "Condition": VALUES,
        "DeletionPolicy": st.sampled_from(["Retain", "Delete", "Snapshot", "Odd"]) | VALUES,
    },
)
SECTIONS = st.dictionaries(IDS, VALUES, max_size=3) | VALUES
TEMPLATES = st.fixed_dictionaries(
    {"Resources": st.dictionaries(st.sampled_from("ABC"), ENTRIES | VALUES, max_size=3) | VALUES},
    optional={
        "Parameters": SECTIONS,
        "Mappings": SECTIONS,
        "Conditions": SECTIONS,
        "Outputs": st.dictionaries(
            IDS, st.fixed_dictionaries({"Value": VALUES, "Export": VALUES}), max_size=2
        )
        | VALUES,
    },
)
PARTS = st.builds(
    Part, name=st.sampled_from("XYZ"), template=TEMPLATES, region=st.sampled_from([None, "us-east-1"])
)
SUBJECTS = st.builds(Subject, name=st.just("s"), parts=st.lists(PARTS, max_size=2).map(tuple))


def doubling(depth: int) -> Subject:
    """Substitutions in substitutions, and an export that imports itself twice."""
    value: Any = "x"
    for _ in range(depth):
        value = {"Fn::Sub": ["${A}${A}", {"A": value}]}
    again = {"Fn::Join": ["", [{"Fn::ImportValue": "me"}, {"Fn::ImportValue": "me"}]]}
    resources = {"A": {"Type": "AWS::SQS::Queue", "Properties": {"V": value, "W": again}}}
    outputs = {"O": {"Value": again, "Export": {"Name": "me"}}}
    return Subject(name="s", parts=(stack(resources, Outputs=outputs),))


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [{"Fn::Join": ["", value]}]
    return value


def deep(levels: int) -> Subject:
    """Values deeper than any template has, wherever one may stand."""
    value = nested(levels)
    queue = {**one("AWS::SQS::Queue", V=value), "Condition": value, "DependsOn": value}
    rule = {**one("AWS::ElasticLoadBalancingV2::ListenerRule", Priority=value), "DeletionPolicy": value}
    sections: dict[str, Any] = {
        name: {"X": value} for name in ("Parameters", "Mappings", "Conditions", "Outputs")
    }
    return Subject(name="s", parts=(stack({"A": queue, "B": rule, "C": value}, **sections),))


class TestAnything:
    @given(SUBJECTS)
    @settings(deadline=None)
    @example(doubling(30))
    @example(deep(60))
    def test_a_plan_to_the_same_keeps_everything(self, subject: Subject) -> None:
        result = plan(subject, copy.deepcopy(subject))
        assert {found.action for found in result.resources} <= {KEPT}
        assert (result.conflicts, result.left_behind, result.in_place) == ((), (), ())
        assert not result.is_finding

    @given(SUBJECTS, SUBJECTS)
    @settings(deadline=None)
    @example(doubling(30), deep(60))
    @example(Subject(name="s", parts=()), doubling(2))
    def test_no_two_templates_are_too_odd(self, before: Subject, after: Subject) -> None:
        result = plan(before, after)
        assert isinstance(result, Plan)
        assert json.loads(to_json(result))["finding"] is result.is_finding
        assert to_markdown(result).startswith("### s to s\n")
        for found in result.resources:
            assert found.action in (KEPT, ADDED, REMOVED, LEFT) or found.reasons

    def test_a_value_may_be_deeper_than_python_counts(self) -> None:
        result = between(deep(3000).parts[0], deep(60).parts[0])
        assert result.actions() == {"A": MAY, "B": UPDATED, "C": MAY}
