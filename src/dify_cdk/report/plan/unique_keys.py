"""What only one resource at a time can have: one row for each kind of name, port, address or place.

CloudFormation adds before it removes. A new resource that needs what an old one still holds makes the whole
deployment fail and roll back, however right the template is when it stands alone.

Beside these rows the identifier of any type counts: where a template writes it out, making a second one with
the same fails, says the contract of resource types.
"""

from __future__ import annotations

from dataclasses import dataclass

from dify_cdk.report.plan import keys
from dify_cdk.report.plan.keys import Keys, by
from dify_cdk.report.plan.replacements import rules_of


@dataclass(frozen=True, kw_only=True, slots=True)
class UniqueKey:
    """One kind of thing that only one resource can have.

    Attributes:
        what: What it is; rows with the same words share one space of names.
        types: CloudFormation types that need it.
        keys: Reads it.
        call: The API call that is refused, service and operation as botocore names them.
        error: What it answers; empty if it does not refuse, but both become one thing.
        source: Where that is written.
        all_regions: Whether it counts in all regions of an account, or everywhere, and not in each region.
    """

    what: str
    types: tuple[str, ...]
    keys: Keys
    call: str
    error: str
    source: str
    all_regions: bool = False


_EC2_ERRORS = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"
_ELB = "https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference"
_CLOUDFRONT = "https://docs.aws.amazon.com/cloudfront/latest/APIReference"
_LAMBDA = "https://docs.aws.amazon.com/lambda/latest/api"
_HTTP_APIS = "https://docs.aws.amazon.com/apigatewayv2/latest/api-reference"
_CLOUD_MAP = "https://docs.aws.amazon.com/cloud-map/latest/api"

UNIQUE_KEYS = (
    # names in the VPC
    UniqueKey(
        what="name in the Cloud Map namespace",
        types=("AWS::ServiceDiscovery::Service",),
        keys=keys.cloud_map_names,
        call="servicediscovery:CreateService",
        error="ServiceAlreadyExists",
        source=f"{_CLOUD_MAP}/API_CreateService.html",
    ),
    UniqueKey(
        what="name in the Cloud Map namespace",
        types=("AWS::ECS::Service",),
        keys=keys.discovery_names,
        call="ecs:CreateService",
        error="InvalidParameterException",
        source="https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceConnectService.html",
    ),
    UniqueKey(
        what="namespace of the VPC",
        types=("AWS::ServiceDiscovery::PrivateDnsNamespace",),
        keys=by("Vpc", "Name"),
        call="servicediscovery:CreatePrivateDnsNamespace",
        error="NamespaceAlreadyExists",
        source=f"{_CLOUD_MAP}/API_CreatePrivateDnsNamespace.html",
    ),
    UniqueKey(
        what="HTTP namespace",
        types=("AWS::ServiceDiscovery::HttpNamespace",),
        keys=by("Name"),
        call="servicediscovery:CreateHttpNamespace",
        error="NamespaceAlreadyExists",
        source=f"{_CLOUD_MAP}/API_CreateHttpNamespace.html",
    ),
    UniqueKey(
        what="service name in the ECS cluster",
        types=("AWS::ECS::Service",),
        keys=by("Cluster?", "ServiceName"),
        call="ecs:CreateService",
        error="InvalidParameterException",
        source="https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateService.html",
    ),
    # names in the world
    UniqueKey(
        what="DNS record",
        types=("AWS::Route53::RecordSet", "AWS::Route53::RecordSetGroup"),
        keys=keys.records,
        call="route53:ChangeResourceRecordSets",
        error="InvalidChangeBatch",
        source="https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html",
        all_regions=True,
    ),
    UniqueKey(
        what="alias of a CloudFront distribution",
        types=("AWS::CloudFront::Distribution",),
        keys=keys.any_of("DistributionConfig/Aliases"),
        call="cloudfront:CreateDistribution",
        error="CNAMEAlreadyExists",
        source=f"{_CLOUDFRONT}/API_CreateDistribution.html",
        all_regions=True,
    ),
    UniqueKey(
        what="domain name in API Gateway",
        types=("AWS::ApiGatewayV2::DomainName", "AWS::ApiGateway::DomainName"),
        keys=keys.any_of("DomainName"),
        call="apigatewayv2:CreateDomainName",
        error="ConflictException",
        source=f"{_HTTP_APIS}/domainnames.html",
    ),
    UniqueKey(
        what="path of the domain name in API Gateway",
        types=("AWS::ApiGatewayV2::ApiMapping",),
        keys=by("DomainName", "ApiMappingKey?"),
        call="apigatewayv2:CreateApiMapping",
        error="ConflictException",
        source=f"{_HTTP_APIS}/domainnames-domainname-apimappings.html",
    ),
    UniqueKey(
        what="route of the API",
        types=("AWS::ApiGatewayV2::Route",),
        keys=by("ApiId", "RouteKey"),
        call="apigatewayv2:CreateRoute",
        error="ConflictException",
        source=f"{_HTTP_APIS}/apis-apiid-routes.html",
    ),
    UniqueKey(
        what="Cognito domain",
        types=("AWS::Cognito::UserPoolDomain",),
        keys=keys.any_of("Domain"),
        call="cognito-idp:CreateUserPoolDomain",
        error="InvalidParameterException",
        source="https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/"
        "API_CreateUserPoolDomain.html",
    ),
    # load balancers
    UniqueKey(
        what="port of the load balancer",
        types=("AWS::ElasticLoadBalancingV2::Listener",),
        keys=by("LoadBalancerArn", "Port"),
        call="elbv2:CreateListener",
        error="DuplicateListenerException",
        source=f"{_ELB}/API_CreateListener.html",
    ),
    UniqueKey(
        what="priority of the listener",
        types=("AWS::ElasticLoadBalancingV2::ListenerRule",),
        keys=by("ListenerArn", "Priority"),
        call="elbv2:CreateRule",
        error="PriorityInUseException",
        source=f"{_ELB}/API_CreateRule.html",
    ),
    UniqueKey(
        what="name of a load balancer",
        types=("AWS::ElasticLoadBalancingV2::LoadBalancer",),
        keys=by("Name"),
        call="elbv2:CreateLoadBalancer",
        error="DuplicateLoadBalancerNameException",
        source=f"{_ELB}/API_CreateLoadBalancer.html",
    ),
    UniqueKey(
        what="name of a target group",
        types=("AWS::ElasticLoadBalancingV2::TargetGroup",),
        keys=by("Name"),
        call="elbv2:CreateTargetGroup",
        error="DuplicateTargetGroupNameException",
        source=f"{_ELB}/API_CreateTargetGroup.html",
    ),
    # the network
    UniqueKey(
        what="Elastic IP",
        types=("AWS::EC2::EIPAssociation", "AWS::EC2::NatGateway", "AWS::EC2::EIP"),
        keys=keys.addresses,
        call="ec2:AssociateAddress",
        error="AlreadyExists",
        source="https://github.com/aws/aws-cdk/issues/26423",
    ),
    UniqueKey(
        what="destination in the route table",
        types=("AWS::EC2::Route",),
        keys=keys.routes,
        call="ec2:CreateRoute",
        error="RouteAlreadyExists",
        source=_EC2_ERRORS,
    ),
    UniqueKey(
        what="service in the route table",
        types=("AWS::EC2::VPCEndpoint",),
        keys=keys.gateway_routes,
        call="ec2:CreateVpcEndpoint",
        error="RouteAlreadyExists",
        source=_EC2_ERRORS,
    ),
    UniqueKey(
        what="private DNS name of the service in the VPC",
        types=("AWS::EC2::VPCEndpoint",),
        keys=keys.private_dns,
        call="ec2:CreateVpcEndpoint",
        error="InvalidParameter",
        source="https://github.com/hashicorp/terraform-provider-aws/issues/17535",
    ),
    UniqueKey(
        what="route table of the subnet",
        types=("AWS::EC2::SubnetRouteTableAssociation",),
        keys=by("SubnetId"),
        call="ec2:AssociateRouteTable",
        error="Resource.AlreadyAssociated",
        source=_EC2_ERRORS,
    ),
    UniqueKey(
        what="internet gateway of the VPC",
        types=("AWS::EC2::VPCGatewayAttachment",),
        keys=keys.internet_gateways,
        call="ec2:AttachInternetGateway",
        error="Resource.AlreadyAssociated",
        source=_EC2_ERRORS,
    ),
    UniqueKey(
        what="ingress rule of the security group",
        types=("AWS::EC2::SecurityGroupIngress", "AWS::EC2::SecurityGroup"),
        keys=keys.group_rules("Ingress", "Source"),
        call="ec2:AuthorizeSecurityGroupIngress",
        error="InvalidPermission.Duplicate",
        source=_EC2_ERRORS,
    ),
    UniqueKey(
        what="egress rule of the security group",
        types=("AWS::EC2::SecurityGroupEgress", "AWS::EC2::SecurityGroup"),
        keys=keys.group_rules("Egress", "Destination"),
        call="ec2:AuthorizeSecurityGroupEgress",
        error="InvalidPermission.Duplicate",
        source=_EC2_ERRORS,
    ),
    UniqueKey(
        what="name of a security group in the VPC",
        types=("AWS::EC2::SecurityGroup",),
        keys=by("VpcId?", "GroupName"),
        call="ec2:CreateSecurityGroup",
        error="InvalidGroup.Duplicate",
        source=_EC2_ERRORS,
    ),
    UniqueKey(
        what="name of a launch template",
        types=("AWS::EC2::LaunchTemplate",),
        keys=by("LaunchTemplateName"),
        call="ec2:CreateLaunchTemplate",
        error="InvalidLaunchTemplateName.AlreadyExistsException",
        source=_EC2_ERRORS,
    ),
    UniqueKey(
        what="mount target of the file system in the subnet",
        types=("AWS::EFS::MountTarget",),
        keys=by("FileSystemId", "SubnetId"),
        call="efs:CreateMountTarget",
        error="MountTargetConflict",
        source="https://docs.aws.amazon.com/efs/latest/ug/API_CreateMountTarget.html",
    ),
    # names in the account
    UniqueKey(
        what="name of a secret",
        types=("AWS::SecretsManager::Secret",),
        keys=by("Name"),
        call="secretsmanager:CreateSecret",
        error="ResourceExistsException",
        source="https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html",
    ),
    UniqueKey(
        what="name of an IAM policy",
        types=("AWS::IAM::ManagedPolicy",),
        keys=by("ManagedPolicyName"),
        call="iam:CreatePolicy",
        error="EntityAlreadyExistsException",
        source="https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreatePolicy.html",
        all_regions=True,
    ),
    UniqueKey(
        what="inline policy of the role",
        types=("AWS::IAM::Policy",),
        keys=keys.each("Roles", "PolicyName"),
        call="iam:PutRolePolicy",
        error="",
        source="https://github.com/aws/aws-cdk/issues/22478",
        all_regions=True,
    ),
    UniqueKey(
        what="function URL of the Lambda function",
        types=("AWS::Lambda::Url",),
        keys=by("TargetFunctionArn", "Qualifier?"),
        call="lambda:CreateFunctionUrlConfig",
        error="ResourceConflictException",
        source=f"{_LAMBDA}/API_CreateFunctionUrlConfig.html",
    ),
    UniqueKey(
        what="alias of the Lambda function",
        types=("AWS::Lambda::Alias",),
        keys=by("FunctionName", "Name"),
        call="lambda:CreateAlias",
        error="ResourceConflictException",
        source=f"{_LAMBDA}/API_CreateAlias.html",
    ),
    UniqueKey(
        what="event source of the Lambda function",
        types=("AWS::Lambda::EventSourceMapping",),
        keys=by("FunctionName", "EventSourceArn"),
        call="lambda:CreateEventSourceMapping",
        error="ResourceConflictException",
        source=f"{_LAMBDA}/API_CreateEventSourceMapping.html",
    ),
    *(
        UniqueKey(
            what=f"name of a CloudFront {words}",
            types=(f"AWS::CloudFront::{type}",),
            keys=by(path),
            call=f"cloudfront:Create{type}",
            error=error,
            source=f"{_CLOUDFRONT}/API_Create{type}.html",
            all_regions=True,
        )
        for type, words, path, error in (
            ("Function", "Function", "Name", "FunctionAlreadyExists"),
            (
                "OriginAccessControl",
                "origin access control",
                "OriginAccessControlConfig/Name",
                "OriginAccessControlAlreadyExists",
            ),
            ("CachePolicy", "cache policy", "CachePolicyConfig/Name", "CachePolicyAlreadyExists"),
            (
                "OriginRequestPolicy",
                "origin request policy",
                "OriginRequestPolicyConfig/Name",
                "OriginRequestPolicyAlreadyExists",
            ),
            (
                "ResponseHeadersPolicy",
                "response headers policy",
                "ResponseHeadersPolicyConfig/Name",
                "ResponseHeadersPolicyAlreadyExists",
            ),
        )
    ),
    *(
        UniqueKey(
            what=f"name of a WAF {words}",
            types=(f"AWS::WAFv2::{type}",),
            keys=by("Scope", "Name"),
            call=f"wafv2:Create{type}",
            error="WAFDuplicateItemException",
            source=f"https://docs.aws.amazon.com/waf/latest/APIReference/API_Create{type}.html",
        )
        for type, words in (
            ("WebACL", "web ACL"),
            ("IPSet", "IP set"),
            ("RuleGroup", "rule group"),
            ("RegexPatternSet", "regex pattern set"),
        )
    ),
    UniqueKey(
        what="name of a queue",
        types=("AWS::SQS::Queue",),
        keys=by("QueueName"),
        call="sqs:CreateQueue",
        error="QueueNameExists",
        source="https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html",
    ),
    UniqueKey(
        what="name of a state machine",
        types=("AWS::StepFunctions::StateMachine",),
        keys=by("StateMachineName"),
        call="stepfunctions:CreateStateMachine",
        error="StateMachineAlreadyExists",
        source="https://docs.aws.amazon.com/step-functions/latest/apireference/API_CreateStateMachine.html",
    ),
    UniqueKey(
        what="name of a build project",
        types=("AWS::CodeBuild::Project",),
        keys=by("Name"),
        call="codebuild:CreateProject",
        error="ResourceAlreadyExistsException",
        source="https://docs.aws.amazon.com/codebuild/latest/APIReference/API_CreateProject.html",
    ),
)
"""Every row but the one for identifiers, which would need as many types."""

_BY_TYPE: dict[str, list[UniqueKey]] = {}
for _row in UNIQUE_KEYS:
    for _type in _row.types:
        _BY_TYPE.setdefault(_type, []).append(_row)

# --- identifiers ----------------------------------------------------------------------------------------

_CONTRACT = "https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/contract-tests.html"
_IN_ALL_REGIONS = ("AWS::IAM::", "AWS::CloudFront::", "AWS::Route53::", "AWS::S3::Bucket")
_READ_BY_A_ROW = (
    "AWS::Route53::RecordSet",
    "AWS::ApiGatewayV2::DomainName",
    "AWS::ApiGateway::DomainName",
)


def rows_for(type: str) -> list[UniqueKey]:
    """The rows of a type, and one for its identifier if a template can write it out."""
    rows = _BY_TYPE.get(type, [])
    rules = rules_of(type)
    if not rules or not rules.identity or type in _READ_BY_A_ROW:
        return rows
    identifier = UniqueKey(
        what=f"{' and '.join(rules.identity)} of {type}",
        types=(type,),
        keys=by(*rules.identity),
        call="cloudformation:CreateStack",
        error="AlreadyExists",
        source=_CONTRACT,
        all_regions=type.startswith(_IN_ALL_REGIONS),
    )
    return [*rows, identifier]
