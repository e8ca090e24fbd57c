"""Resource types that cost nothing by themselves, each with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Reason(StrEnum):
    """Why a type is free."""

    SETTING = "a setting or a permission, which AWS does not charge"
    ELSEWHERE = "charged with the resource that it belongs to"
    DEPLOYMENTS = "runs only while something is deployed"
    ALLOWANCE = "its first million requests a month are free, and notifications are far fewer"


_BY_REASON: Mapping[Reason, tuple[str, ...]] = {
    Reason.SETTING: (
        "AWS::ApiGatewayV2::ApiMapping",
        "AWS::ApiGatewayV2::Authorizer",
        "AWS::ApiGatewayV2::DomainName",
        "AWS::ApiGatewayV2::Integration",
        "AWS::ApiGatewayV2::Route",
        "AWS::ApiGatewayV2::Stage",
        "AWS::ApiGatewayV2::VpcLink",
        "AWS::ApiGateway::Account",
        "AWS::ApiGateway::Deployment",
        "AWS::ApiGateway::Method",
        "AWS::ApiGateway::Resource",
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        "AWS::Backup::BackupPlan",
        "AWS::Backup::BackupSelection",
        "AWS::CDK::Metadata",
        "AWS::CertificateManager::Certificate",
        "AWS::CloudFormation::WaitCondition",
        "AWS::CloudFormation::WaitConditionHandle",
        "AWS::CloudFront::CachePolicy",
        "AWS::CloudFront::CloudFrontOriginAccessIdentity",
        "AWS::CloudFront::OriginAccessControl",
        "AWS::CloudFront::OriginRequestPolicy",
        "AWS::CloudFront::ResponseHeadersPolicy",
        "AWS::CloudFront::VpcOrigin",
        "AWS::Cognito::UserPoolClient",
        "AWS::Cognito::UserPoolDomain",
        "AWS::Cognito::UserPoolGroup",
        "AWS::Cognito::UserPoolIdentityProvider",
        "AWS::Cognito::UserPoolResourceServer",
        "AWS::Cognito::UserPoolUser",
        "AWS::EC2::DHCPOptions",
        "AWS::EC2::EIPAssociation",
        "AWS::EC2::EgressOnlyInternetGateway",
        "AWS::EC2::LaunchTemplate",
        "AWS::EC2::NetworkAcl",
        "AWS::EC2::NetworkAclEntry",
        "AWS::EC2::NetworkInterface",
        "AWS::EC2::PrefixList",
        "AWS::EC2::Route",
        "AWS::EC2::RouteTable",
        "AWS::EC2::SecurityGroup",
        "AWS::EC2::SecurityGroupEgress",
        "AWS::EC2::SecurityGroupIngress",
        "AWS::EC2::Subnet",
        "AWS::EC2::SubnetNetworkAclAssociation",
        "AWS::EC2::SubnetRouteTableAssociation",
        "AWS::EC2::VPC",
        "AWS::EC2::VPCCidrBlock",
        "AWS::EC2::VPCDHCPOptionsAssociation",
        "AWS::EC2::VPCGatewayAttachment",
        "AWS::ECS::ClusterCapacityProviderAssociations",
        "AWS::ElastiCache::ParameterGroup",
        "AWS::ElastiCache::SubnetGroup",
        "AWS::ElastiCache::User",
        "AWS::ElastiCache::UserGroup",
        "AWS::ElasticLoadBalancingV2::Listener",
        "AWS::ElasticLoadBalancingV2::ListenerCertificate",
        "AWS::ElasticLoadBalancingV2::ListenerRule",
        "AWS::ElasticLoadBalancingV2::TargetGroup",
        "AWS::IAM::AccessKey",
        "AWS::IAM::InstanceProfile",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Policy",
        "AWS::IAM::Role",
        "AWS::IAM::ServiceLinkedRole",
        "AWS::IAM::User",
        "AWS::KMS::Alias",
        "AWS::Lambda::EventInvokeConfig",
        "AWS::Lambda::Permission",
        "AWS::Lambda::Url",
        "AWS::Logs::LogStream",
        "AWS::Logs::ResourcePolicy",
        "AWS::RDS::DBClusterParameterGroup",
        "AWS::RDS::DBParameterGroup",
        "AWS::RDS::DBSubnetGroup",
        "AWS::S3::BucketPolicy",
        "AWS::SNS::Subscription",
        "AWS::SNS::TopicPolicy",
        "AWS::SQS::QueuePolicy",
        "AWS::SecretsManager::ResourcePolicy",
        "AWS::SecretsManager::SecretTargetAttachment",
        "AWS::ServiceDiscovery::HttpNamespace",
        "AWS::WAFv2::IPSet",
        "AWS::WAFv2::RegexPatternSet",
        "AWS::WAFv2::WebACLAssociation",
    ),
    Reason.ELSEWHERE: (
        "AWS::ApiGateway::Stage",
        "AWS::ECS::TaskDefinition",
        "AWS::Lambda::EventSourceMapping",
        "AWS::Lambda::LayerVersion",
        "AWS::Route53::RecordSet",
        "AWS::Route53::RecordSetGroup",
        "AWS::ServiceDiscovery::Instance",
        "AWS::ServiceDiscovery::Service",
    ),
    Reason.DEPLOYMENTS: (
        "Custom::AWSCDKOpenIdConnectProvider",
        "Custom::CDKBucketDeployment",
        "Custom::CDKContainerImageBuild",
        "Custom::CDKECRDeployment",
        "Custom::CrossRegionExportReader",
        "Custom::CrossRegionExportWriter",
        "Custom::CrossRegionStringParameterReader",
        "Custom::DescribeCognitoUserPoolClient",
        "Custom::DifyDatabaseInit",
        "Custom::DifyMigration",
        "Custom::DifyServiceDiscovery",
        "Custom::DifyServiceRole",
        "Custom::DifySmtpCredentials",
        "Custom::LogRetention",
        "Custom::S3AutoDeleteObjects",
        "Custom::S3BucketNotifications",
        "Custom::UserPoolCloudFrontDomainName",
        "Custom::VpcRestrictDefaultSG",
    ),
    Reason.ALLOWANCE: ("AWS::SNS::Topic",),
}

FREE_TYPES: Mapping[str, Reason] = MappingProxyType(
    {type: reason for reason, types in _BY_REASON.items() for type in types}
)
"""Every type known to be free. A type that is neither here nor in a rule makes a total a lower bound."""
