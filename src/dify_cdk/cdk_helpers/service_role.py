"""Service-linked roles of AWS that an account without them has to get before the first deployment goes on.

Amazon ECS and Amazon RDS make theirs themselves when an account first uses them, and need it in the same
second, when IAM does not know it everywhere yet:

- ECS: cluster, capacity providers or services fail with "Unable to assume the service linked role", see
  https://github.com/aws/containers-roadmap/issues/2614 (open).
- RDS: the cluster fails with "Unable to create the resource. Verify that you have permission to create
  service linked role. Otherwise wait and try again later", see
  https://github.com/aws-samples/aws-fault-injection-simulator-workshop-v2/pull/195 and, for subnet groups,
  https://github.com/terraform-aws-modules/terraform-aws-rds/issues/364

The others of a first deployment make theirs themselves, and no report of such a race was found:

- Application Auto Scaling, with the first target that names no role, see ``ComponentService``:
  https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-service-linked-roles.html
- Elastic Load Balancing, with the first load balancer or target group:
  https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/elb-service-linked-roles.html
- ElastiCache, with the first cache: it fails only for a caller without ``iam:CreateServiceLinkedRole``, see
  https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/using-service-linked-roles.html
- API Gateway, with the first VPC link or domain name:
  https://docs.aws.amazon.com/apigateway/latest/developerguide/using-service-linked-roles.html
- CloudFront, with the first VPC origin:
  https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-service-linked-roles.html
- Lambda@Edge, with the first association:
  https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-edge-permissions.html

Cloud Map has none: ECS registers tasks with its own, see
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using-service-linked-roles.html
"""

from __future__ import annotations

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from dify_cdk.cdk_helpers.custom_resources import DeployFunction, define_provider

_TIMEOUT_SECONDS = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkedService:
    """A service that needs its role.

    Attributes:
        principal: The service as IAM knows it.
        role: Name of the role, which AWS decides.
    """

    principal: str
    role: str


ECS = LinkedService(principal="ecs.amazonaws.com", role="AWSServiceRoleForECS")
RDS = LinkedService(principal="rds.amazonaws.com", role="AWSServiceRoleForRDS")


class ServiceRole(Construct):
    """Makes sure that a service-linked role exists; depend on ``resource`` before using the service.

    A role that exists is left alone, one that may not be created is assumed to exist, and deleting the
    resource deletes no role. See ``handlers/deploy/service_role.py``.

    Args:
        service: The service whose role has to exist.
    """

    def __init__(self, scope: Construct, id: str, *, service: LinkedService) -> None:
        super().__init__(scope, id)
        handler = DeployFunction(
            self,
            "Handler",
            handler="service_role.on_event",
            description=f"Dify: makes sure that {service.role} exists",
            timeout=cdk.Duration.seconds(_TIMEOUT_SECONDS),
            statements=self._statements(service),
        )
        self._resource = cdk.CustomResource(
            self,
            "Resource",
            service_token=define_provider(self, handler).service_token,
            resource_type="Custom::DifyServiceRole",
            service_timeout=cdk.Duration.seconds(_TIMEOUT_SECONDS + 60),
            properties={"Service": service.principal, "Role": service.role},
        )

    @property
    def resource(self) -> cdk.CustomResource:
        """Depend on it before using the service."""
        return self._resource

    def _statements(self, service: LinkedService) -> list[iam.PolicyStatement]:
        role = cdk.Stack.of(self).format_arn(
            service="iam",
            region="",
            resource="role",
            resource_name=f"aws-service-role/{service.principal}/{service.role}",
        )
        only = {"StringEquals": {"iam:AWSServiceName": service.principal}}
        return [
            iam.PolicyStatement(actions=["iam:GetRole"], resources=[role]),
            iam.PolicyStatement(actions=["iam:CreateServiceLinkedRole"], resources=[role], conditions=only),
        ]
