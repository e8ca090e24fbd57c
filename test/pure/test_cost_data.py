"""What data and operations cost, each computed by hand from unit prices of us-east-1.

Unit prices stand in ``prices.json``; the arithmetic here uses the figures themselves, so that a wrong key, a
wrong unit or a wrong quantity shows.
"""

from __future__ import annotations

import pytest

from bills import LATER, cost, database, one, priced
from dify_cdk.report.cost.usage import Usage


class TestData:
    @pytest.mark.parametrize(("wanted", "units"), [(0, 0.5), (0.3, 0.5), (2, 2), (9, 4)])
    def test_capacity_stays_between_its_limits(self, wanted: float, units: float) -> None:
        found = priced(database(), Usage(database_acu=wanted))
        assert found == {"capacity": pytest.approx(units * 730 * 0.12)}

    def test_readers_stay_at_the_smallest_size(self) -> None:
        lines = cost(database("Reader"), Usage(database_acu=3)).lines
        amounts = {line.logical_id: line.amount for line in lines if line.what == "capacity"}
        assert amounts == {"Writer": pytest.approx(3 * 730 * 0.12), "Reader": pytest.approx(0.5 * 730 * 0.12)}

    def test_storage_and_its_requests(self) -> None:
        found = priced(database(), Usage(database_gb=20, database_io=5_000_000))
        assert found["storage"] == pytest.approx(20 * 0.1)
        assert found["reads and writes"] == pytest.approx(5 * 0.2)

    def test_io_optimized_pays_more_for_capacity_and_no_requests(self) -> None:
        usage = Usage(database_io=5_000_000, database_acu=1)
        found = priced(database(StorageType="aurora-iopt1"), usage)
        assert found == {"capacity": pytest.approx(1 * 730 * 0.16)}

    def test_io_optimized_storage_has_a_price_of_its_own(self) -> None:
        found = priced(database(StorageType="aurora-iopt1"), Usage(database_gb=1))
        assert found["storage"] is None

    @pytest.mark.parametrize(
        "scaling", [None, LATER, {"MinCapacity": LATER, "MaxCapacity": 4}, {"MinCapacity": 0.5}]
    )
    def test_limits_that_are_not_there_are_unknown(self, scaling: object) -> None:
        assert priced(database(ServerlessV2ScalingConfiguration=scaling))["capacity"] is None

    def test_an_instance_of_a_fixed_size_has_no_price_here(self) -> None:
        found = one(
            "AWS::RDS::DBInstance", DBInstanceClass="db.t4g.micro", Engine="postgres", AllocatedStorage="20"
        )
        assert found == {"instance db.t4g.micro": None, "storage": None}

    @pytest.mark.parametrize(
        ("properties", "nodes"),
        [
            ({"NumCacheClusters": 1}, 1),
            ({"NumCacheClusters": "3"}, 3),
            ({"NumNodeGroups": 1, "ReplicasPerNodeGroup": 1}, 2),
            ({"NumNodeGroups": 2, "ReplicasPerNodeGroup": 2}, 6),
            ({}, 1),
        ],
    )
    def test_every_cache_node_is_paid(self, properties: dict[str, object], nodes: int) -> None:
        node = {"Engine": "valkey", "CacheNodeType": "cache.t4g.micro"}
        assert one("AWS::ElastiCache::ReplicationGroup", **node, **properties) == {
            "valkey cache.t4g.micro": pytest.approx(nodes * 730 * 0.0128)
        }

    def test_redis_is_dearer_than_valkey_and_other_nodes_are_unknown(self) -> None:
        group = "AWS::ElastiCache::ReplicationGroup"
        assert one(group, CacheNodeType="cache.t4g.micro") == {
            "redis cache.t4g.micro": pytest.approx(730 * 0.016)
        }
        assert one(group, CacheNodeType="cache.r7g.large") == {"redis cache.r7g.large": None}
        assert one(group, CacheNodeType="cache.t4g.micro", NumNodeGroups=LATER) == {
            "redis cache.t4g.micro": None
        }
        assert one("AWS::ElastiCache::CacheCluster", CacheNodeType="cache.t4g.micro", NumCacheNodes=2) == {
            "redis cache.t4g.micro": pytest.approx(2 * 730 * 0.016)
        }

    def test_a_serverless_cache_is_paid_for_its_smallest_size(self) -> None:
        cache = "AWS::ElastiCache::ServerlessCache"
        assert one(cache, Engine="valkey") == {"serverless cache": pytest.approx(0.1 * 730 * 0.084)}
        larger = {"DataStorage": {"Minimum": 2, "Unit": "GB"}}
        assert one(cache, Engine="valkey", CacheUsageLimits=larger) == {
            "serverless cache": pytest.approx(2 * 730 * 0.084)
        }
        assert one(cache, Engine="memcached") == {"serverless cache": None}

    def test_buckets_share_what_is_stored(self) -> None:
        usage = Usage(files_gb=100, uploads=10_000)
        bill = cost({"A": {"Type": "AWS::S3::Bucket"}, "B": {"Type": "AWS::S3::Bucket"}}, usage)
        assert {line.what: line.amount for line in bill.lines} == {
            "storage": pytest.approx(2.3),
            "writes": pytest.approx(0.05),
            "reads": pytest.approx(0.004),
        }
        assert {line.logical_id for line in bill.lines} == {""}

    def test_secrets_keys_and_parameters(self) -> None:
        assert one("AWS::SecretsManager::Secret") == {"secret": 0.4}
        assert one("AWS::KMS::Key") == {"key": 1.0}
        assert one("AWS::SSM::Parameter", Type="String") == {}
        assert one("AWS::SSM::Parameter", Tier="Advanced") == {"advanced parameter": None}


class TestOperations:
    @pytest.mark.parametrize(
        "type",
        [
            "AWS::Route53::HostedZone",
            "AWS::ServiceDiscovery::PrivateDnsNamespace",
            "AWS::ServiceDiscovery::PublicDnsNamespace",
        ],
    )
    def test_a_dns_namespace_is_a_zone(self, type: str) -> None:
        assert one(type) == {"hosted zone": 0.5}

    def test_logs_are_paid_when_they_come_and_while_they_stay(self) -> None:
        groups = {
            "A": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 30}},
            "B": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 7}},
        }
        assert priced(groups, Usage(log_gb=10)) == {
            "log ingestion": pytest.approx(10 * 0.5),
            # the longest retention: 30 of 30.417 days a month
            "log storage": pytest.approx(10 * 30 / (730 / 24) * 0.03),
        }

    @pytest.mark.parametrize("days", [{}, {"RetentionInDays": LATER}])
    def test_logs_that_nothing_ends_grow_without_limit(self, days: dict[str, object]) -> None:
        assert one("AWS::Logs::LogGroup", Usage(log_gb=1), **days)["log storage"] is None
        assert one("AWS::Logs::LogGroup", **days) == {}

    def test_alarms_are_paid_by_metric(self) -> None:
        assert one("AWS::CloudWatch::Alarm", MetricName="Errors") == {"alarm": pytest.approx(0.1)}
        queries = [{"MetricStat": {}}, {"MetricStat": {}}, {"Expression": "m1/m2"}]
        assert one("AWS::CloudWatch::Alarm", Metrics=queries) == {"alarm": pytest.approx(0.2)}

    def test_a_dashboard(self) -> None:
        assert one("AWS::CloudWatch::Dashboard") == {"dashboard": 3}

    def test_the_first_ten_thousand_people_sign_in_for_free(self) -> None:
        pool = {"Pool": {"Type": "AWS::Cognito::UserPool", "Properties": {}}}
        assert cost(pool, Usage(users=10_000)).total == pytest.approx(0)
        assert cost(pool, Usage(users=12_000)).total == pytest.approx(2000 * 0.015)
        plus = {"Pool": {"Type": "AWS::Cognito::UserPool", "Properties": {"UserPoolTier": "PLUS"}}}
        assert cost(plus, Usage(users=100)).total == pytest.approx(2)

    @pytest.mark.parametrize(
        ("type", "properties"),
        [
            ("AWS::CodeBuild::Project", {}),
            ("AWS::ECR::Repository", {}),
            ("AWS::StepFunctions::StateMachine", {}),
            ("AWS::Events::Rule", {"Targets": [{"EcsParameters": {"TaskCount": 1}}]}),
            ("AWS::Scheduler::Schedule", {"Target": {"EcsParameters": {}}}),
            ("Custom::AWS", {"Create": '{"service":"EC2","action":"runInstances"}'}),
        ],
    )
    def test_what_a_template_does_not_say_is_unknown(self, type: str, properties: dict[str, object]) -> None:
        assert list(one(type, **properties).values()) == [None]

    @pytest.mark.parametrize(
        ("type", "usage"),
        [
            ("AWS::Backup::BackupVault", Usage(database_gb=1)),
            ("AWS::Backup::BackupVault", Usage(files_gb=1)),
            ("AWS::SES::EmailIdentity", Usage(users=1)),
        ],
    )
    def test_what_grows_with_the_use_is_nothing_at_first_and_then_unknown(
        self, type: str, usage: Usage
    ) -> None:
        assert one(type) == {}
        assert list(one(type, usage).values()) == [None]

    @pytest.mark.parametrize(
        ("type", "properties"),
        [
            ("AWS::Events::Rule", {"Targets": [{"Arn": "arn"}]}),
            ("Custom::AWS", {"Create": '{"action": "describeManagedPrefixLists","service":"EC2"}'}),
            ("Custom::AWS", {"Create": {"Fn::Join": ["", ['{"action":"getParameter","x":"', LATER, '"}']]}}),
        ],
    )
    def test_what_starts_nothing_is_free(self, type: str, properties: dict[str, object]) -> None:
        assert one(type, **properties) == {}

    def test_a_build_that_a_deployment_starts_costs_nothing_in_a_month(self) -> None:
        resources = {
            "It": {"Type": "AWS::CodeBuild::Project"},
            "Image": {"Type": "Custom::CDKContainerImageBuild", "Properties": {"Project": {"Ref": "It"}}},
        }
        assert cost(resources).lines == ()
