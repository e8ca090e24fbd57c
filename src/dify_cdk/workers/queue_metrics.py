"""What the job queue looks like, as metrics: a small function in the network looks at it every minute."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from dify_cdk.cdk_helpers.assets import handler_dir
from dify_cdk.cdk_helpers.custom_resources import log_group
from dify_cdk.cdk_helpers.nag import acknowledge, acknowledge_vpc_execution
from dify_cdk.data.data import DifyData
from dify_cdk.dify.cache_users import DIFY
from dify_cdk.dify.environment import BROKER_DATABASE, CACHE_PORT, Purpose
from dify_cdk.network.network import Tiers

NAMESPACE = "Dify"
DIMENSION = "ReplicationGroupId"
WAITING_JOBS = "WaitingJobs"
CONNECTED_WORKERS = "ConnectedWorkers"
WAITING_JOBS_PER_WORKER = "WaitingJobsPerWorker"

_TIMEOUT_SECONDS = 25  # two tries to read the password, and the look: before the next one begins
_HTTPS = 443


class QueueMetrics(Construct):
    """How many jobs wait and how many workers are connected, as metrics of CloudWatch, once a minute.

    Defines a function in the subnets of the tasks, its security group, and a rule that starts it. It asks the
    cache for the lengths of all queues and writes three metrics in the namespace ``Dify`` into its log, from
    which CloudWatch takes them; their dimension is the id of the cache, so that several installations in one
    account do not mix. When it cannot look there is no data point, and an error in its log.

    Of the waiting jobs one may be missing for each worker whose places are all taken, and a job that is put
    off counts as waiting. How long a job has waited cannot be seen.

    It reads the password for the cache from Secrets Manager, so that it needs internet egress, or the
    endpoint that a closed network has. Lambda delivers its log itself. The metrics are paid for as custom
    metrics, which ``dify-cdk compare`` does not know, and the function costs some cents.

    Args:
        data: The cache, the password and the network.
        tiers: Where the function stands.

    See https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Lambda.html
    """

    def __init__(self, scope: Construct, id: str, *, data: DifyData, tiers: Tiers) -> None:
        super().__init__(scope, id)
        self._cache_id = data.cache.group_id
        self._function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            handler="queue_metrics.on_schedule",
            code=lambda_.Code.from_asset(str(handler_dir("queue_metrics")), exclude=["__pycache__", "*.pyc"]),
            description="Dify: measures the job queue",
            timeout=cdk.Duration.seconds(_TIMEOUT_SECONDS),
            memory_size=128,
            # A look that failed, or came late, is of no use any more: the next one comes within a minute.
            retry_attempts=0,
            max_event_age=cdk.Duration.minutes(1),
            vpc=data.vpc,
            vpc_subnets=ec2.SubnetSelection(subnets=tiers.app),
            security_groups=[self._define_group(data, tiers)],
            environment=self._environment(data),
            log_group=log_group(self, "Logs"),
            initial_policy=[
                iam.PolicyStatement(
                    actions=["secretsmanager:GetSecretValue"],
                    resources=[data.secret(Purpose.CACHE).secret_arn],
                )
            ],
        )
        acknowledge(
            self._function, {"AwsSolutions-L1": "the runtime is pinned to what the handler is tested with"}
        )
        acknowledge_vpc_execution(self._function)
        self._function.node.add_dependency(data.cache)  # which knows a new password before it is read
        events.Rule(
            self,
            "EveryMinute",
            description="Dify: looks at the job queue",
            schedule=events.Schedule.rate(cdk.Duration.minutes(1)),
            targets=[targets.LambdaFunction(self._function)],
        )

    @property
    def function(self) -> lambda_.Function:
        """The function."""
        return self._function

    def metric_waiting_jobs(
        self, *, statistic: str = "Average", period: cdk.Duration | None = None
    ) -> cloudwatch.Metric:
        """Jobs that wait for a place at a worker. Default period: one minute."""
        return self._metric(WAITING_JOBS, statistic, period)

    def metric_connected_workers(
        self, *, statistic: str = "Average", period: cdk.Duration | None = None
    ) -> cloudwatch.Metric:
        """Workers that fetch jobs. Default period: one minute."""
        return self._metric(CONNECTED_WORKERS, statistic, period)

    def metric_waiting_jobs_per_worker(
        self, *, statistic: str = "Average", period: cdk.Duration | None = None
    ) -> cloudwatch.Metric:
        """The one divided by the other; no data point where no worker is. Default period: one minute."""
        return self._metric(WAITING_JOBS_PER_WORKER, statistic, period)

    def _metric(self, name: str, statistic: str, period: cdk.Duration | None) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=name,
            dimensions_map={DIMENSION: self._cache_id},
            statistic=statistic,
            period=period or cdk.Duration.minutes(1),
        )

    def _environment(self, data: DifyData) -> dict[str, str]:
        return {
            "CACHE_HOST": data.cache.endpoint,
            "CACHE_PORT": str(CACHE_PORT),
            "BROKER_DATABASE": str(BROKER_DATABASE),
            "CACHE_USER": DIFY.name,
            "CACHE_PASSWORD_ARN": data.secret(Purpose.CACHE).secret_arn,
            "NAMESPACE": NAMESPACE,
            "DIMENSION": DIMENSION,
            "DIMENSION_VALUE": self._cache_id,
            "WAITING": WAITING_JOBS,
            "WORKERS": CONNECTED_WORKERS,
            "WAITING_PER_WORKER": WAITING_JOBS_PER_WORKER,
        }

    def _define_group(self, data: DifyData, tiers: Tiers) -> ec2.SecurityGroup:
        """Out to the cache and to Secrets Manager, and nobody in."""
        group = ec2.SecurityGroup(
            self,
            "SecurityGroup",
            vpc=data.vpc,
            allow_all_outbound=False,
            description="Dify: measures the job queue",
        )
        inside = ec2.Peer.ipv4(data.vpc.vpc_cidr_block)
        group.add_egress_rule(inside, ec2.Port.tcp(CACHE_PORT), "The cache")
        secrets = inside if tiers.closed else ec2.Peer.any_ipv4()
        group.add_egress_rule(secrets, ec2.Port.tcp(_HTTPS), "AWS: Secrets Manager")
        ec2.CfnSecurityGroupIngress(  # on this side, so that data may live in another stack
            self,
            "ToCache",
            group_id=data.cache.connections.security_groups[0].security_group_id,
            source_security_group_id=group.security_group_id,
            ip_protocol="tcp",
            from_port=CACHE_PORT,
            to_port=CACHE_PORT,
            description="Dify: measures the job queue",
        )
        return group
