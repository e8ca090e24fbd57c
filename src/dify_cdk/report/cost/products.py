"""What AWS sells: one row for each kind of thing that a template can make somebody pay for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Product(NamedTuple):
    """Something with a price.

    Attributes:
        service: The service as AWS bills it.
        what: What is paid for.
        unit: The unit in which it is sold, a key of :data:`dify_cdk.report.cost.prices.UNITS`.
    """

    service: str
    what: str
    unit: str


PRODUCTS: Mapping[str, Product] = MappingProxyType(
    {
        "alb.hour": Product("Elastic Load Balancing", "application load balancer", "hour"),
        "alb.lcu_hour": Product("Elastic Load Balancing", "capacity units", "LCU-hour"),
        "any": Product("AWS", "what a call of the API makes", "month"),
        "api_gateway.http_requests": Product("Amazon API Gateway", "requests", "1M requests"),
        "api_gateway.rest_requests": Product("Amazon API Gateway", "requests", "1M requests"),
        "api_gateway.websocket_messages": Product("Amazon API Gateway", "requests", "1M requests"),
        "aurora.acu_hour": Product("Amazon Aurora", "capacity", "ACU-hour"),
        "aurora.gb_month": Product("Amazon Aurora", "storage", "GB-month"),
        "aurora.instance_hour": Product("Amazon Aurora", "instance", "hour"),
        "aurora.io_requests": Product("Amazon Aurora", "reads and writes", "1M requests"),
        "backup.gb_month": Product("AWS Backup", "backups", "GB-month"),
        "cloud_map.discover_calls": Product("AWS Cloud Map", "look-ups of containers", "1M calls"),
        "cloudfront.function_calls": Product("Amazon CloudFront", "CloudFront Function", "1M calls"),
        "cloudfront.out_gb": Product("Amazon CloudFront", "data to browsers and clients", "GB"),
        "cloudfront.requests": Product("Amazon CloudFront", "requests", "10,000 requests"),
        "cloudfront.to_origin_gb": Product("Amazon CloudFront", "data to the origin", "GB"),
        "cloudwatch.alarm_month": Product("Amazon CloudWatch", "alarm", "alarm-month"),
        "cloudwatch.container_metric_month": Product(
            "Amazon CloudWatch", "Container Insights", "metric-month"
        ),
        "cloudwatch.dashboard_month": Product("Amazon CloudWatch", "dashboard", "month"),
        "cloudwatch.log_gb": Product("Amazon CloudWatch", "log ingestion", "GB"),
        "cloudwatch.log_gb_month": Product("Amazon CloudWatch", "log storage", "GB-month"),
        "codebuild.minutes": Product("AWS CodeBuild", "builds", "hour"),
        "cognito.users": Product("Amazon Cognito", "active users", "user-month"),
        "data_transfer.out_gb": Product("AWS Data Transfer", "to the internet", "GB"),
        "ebs.gb_month": Product("Amazon EBS", "volume", "GB-month"),
        "ec2.hour": Product("Amazon EC2", "instance", "hour"),
        "ecr.gb_month": Product("Amazon ECR", "images", "GB-month"),
        "elasticache.hour": Product("Amazon ElastiCache", "node", "hour"),
        "elasticache.serverless_gb_hour": Product("Amazon ElastiCache", "serverless cache", "GB-hour"),
        "elb.hour": Product("Elastic Load Balancing", "load balancer", "hour"),
        "elb.lcu_hour": Product("Elastic Load Balancing", "capacity units", "LCU-hour"),
        "fargate.ephemeral_gb_hour": Product("AWS Fargate", "task storage", "GB-hour"),
        "fargate.gb_hour": Product("AWS Fargate", "memory, on demand", "GB-hour"),
        "fargate.spot_gb_hour": Product("AWS Fargate", "memory, Spot", "GB-hour"),
        "fargate.spot_vcpu_hour": Product("AWS Fargate", "vCPU, Spot", "vCPU-hour"),
        "fargate.vcpu_hour": Product("AWS Fargate", "vCPU, on demand", "vCPU-hour"),
        "kms.key_month": Product("AWS KMS", "key", "month"),
        "lambda.ephemeral_gb_second": Product("AWS Lambda", "temporary storage", "GB-second"),
        "lambda.gb_second": Product("AWS Lambda", "duration", "GB-second"),
        "lambda.provisioned_duration_gb_second": Product("AWS Lambda", "duration", "GB-second"),
        "lambda.provisioned_gb_second": Product("AWS Lambda", "provisioned concurrency", "GB-second"),
        "lambda.requests": Product("AWS Lambda", "calls", "1M requests"),
        "lambda_edge.gb_second": Product("AWS Lambda@Edge", "duration", "GB-second"),
        "lambda_edge.requests": Product("AWS Lambda@Edge", "calls", "1M requests"),
        "rds.gb_month": Product("Amazon RDS", "storage", "GB-month"),
        "rds.hour": Product("Amazon RDS", "instance", "hour"),
        "route53.zone_month": Product("Amazon Route 53", "hosted zone", "zone-month"),
        "s3.gb_month": Product("Amazon S3", "storage", "GB-month"),
        "s3.gets": Product("Amazon S3", "reads", "1,000 requests"),
        "s3.puts": Product("Amazon S3", "writes", "1,000 requests"),
        "secrets_manager.secret_month": Product("AWS Secrets Manager", "secret", "month"),
        "ses.mails": Product("Amazon SES", "mails", "1,000 requests"),
        "ssm.advanced_parameter_month": Product("AWS Systems Manager", "advanced parameter", "month"),
        "step_functions.transitions": Product("AWS Step Functions", "state transitions", "1,000 requests"),
        "vpc.interface_endpoint_gb": Product("Amazon VPC", "traffic through interface endpoints", "GB"),
        "vpc.interface_endpoint_hour": Product("Amazon VPC", "interface endpoint", "zone-hour"),
        "vpc.nat_gateway_gb": Product("Amazon VPC", "traffic through NAT gateways", "GB"),
        "vpc.nat_gateway_hour": Product("Amazon VPC", "NAT gateway", "hour"),
        "vpc.public_ipv4_hour": Product("Amazon VPC", "public IPv4", "address-hour"),
        "waf.requests": Product("AWS WAF", "requests", "1M requests"),
        "waf.rule_month": Product("AWS WAF", "rules", "rule-month"),
        "waf.web_acl_month": Product("AWS WAF", "web ACL", "month"),
    }
)
"""By the key of its prices, to which some of them add a variant, such as ``ec2.hour.t4g.nano``."""
