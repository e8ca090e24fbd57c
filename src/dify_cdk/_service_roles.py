"""Service-linked roles of AWS that an account without them has to get before the first deployment goes on.

Amazon ECS and Amazon RDS make theirs themselves when an account first uses them, and need it in the same
second, when IAM does not know it everywhere yet. Application Auto Scaling does not always make its own:

- ECS: cluster, capacity providers or services fail with "Unable to assume the service linked role", see
  https://github.com/aws/containers-roadmap/issues/2614 (open).
- RDS: the cluster fails with "Unable to create the resource. Verify that you have permission to create
  service linked role. Otherwise wait and try again later", see
  https://github.com/aws-samples/aws-fault-injection-simulator-workshop-v2/pull/195 and, for subnet groups,
  https://github.com/terraform-aws-modules/terraform-aws-rds/issues/364
- Application Auto Scaling: the CDK's L2 names the role, and a target that names a role which is missing fails
  with "Unable to assume IAM role", see https://github.com/aws/aws-cdk/issues/4108 (open) and
  https://github.com/aws-samples/amazon-bedrock-samples/issues/253

The others of a first deployment make theirs themselves, and no report of such a race was found:

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
from aws_cdk import custom_resources as cr
from constructs import Construct

from dify_cdk._deploy import DeployFunction, define_provider

_TIMEOUT_SECONDS = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkedService:
    """A service that needs its role.

    Attributes:
        id: Construct id of what makes sure of it.
        principal: The service as IAM knows it.
        role: Name of the role, which AWS decides.
    """

    id: str
    principal: str
    role: str


ECS = LinkedService(id="Ecs", principal="ecs.amazonaws.com", role="AWSServiceRoleForECS")
RDS = LinkedService(id="Rds", principal="rds.amazonaws.com", role="AWSServiceRoleForRDS")
SCALING = LinkedService(
    id="Scaling",
    principal="ecs.application-autoscaling.amazonaws.com",
    role="AWSServiceRoleForApplicationAutoScaling_ECSService",
)


class ServiceRoles(Construct):
    """Makes sure that service-linked roles exist, with one function for all; defines nothing until asked.

    A role that exists is left alone, one that may not be created is assumed to exist, and deleting the
    resource deletes no role. See ``handlers/deploy/service_role.py``.
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        self._function: tuple[DeployFunction, cr.Provider] | None = None
        self._ensured: dict[LinkedService, cdk.CustomResource] = {}

    def ensure(self, service: LinkedService) -> cdk.CustomResource:
        """What to depend on before using a service.

        Args:
            service: The service whose role has to exist.
        """
        if service not in self._ensured:
            self._ensured[service] = self._define(service)
        return self._ensured[service]

    def _define(self, service: LinkedService) -> cdk.CustomResource:
        if self._function is None:
            self._function = self._define_function()
        handler, provider = self._function
        for statement in self._statements(service):
            handler.function.add_to_role_policy(statement)
        return cdk.CustomResource(
            self,
            service.id,
            service_token=provider.service_token,
            resource_type="Custom::DifyServiceRole",
            service_timeout=cdk.Duration.seconds(_TIMEOUT_SECONDS + 60),
            properties={"Service": service.principal, "Role": service.role},
        )

    def _define_function(self) -> tuple[DeployFunction, cr.Provider]:
        handler = DeployFunction(
            self,
            "Handler",
            handler="service_role.on_event",
            description="Dify: makes sure that service-linked roles of AWS exist",
            timeout=cdk.Duration.seconds(_TIMEOUT_SECONDS),
            statements=[],
        )
        return handler, define_provider(self, handler)

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
