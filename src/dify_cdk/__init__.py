"""Dify on AWS: constructs that compose into four architectures. Names are loaded when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dify_cdk.access import Access
    from dify_cdk.alarms import AlarmThresholds
    from dify_cdk.backup import DifyBackup
    from dify_cdk.bedrock import Bedrock
    from dify_cdk.cache import Cache, CacheSize
    from dify_cdk.data import DifyData
    from dify_cdk.database import Database, DatabaseCapacity
    from dify_cdk.domain import Domain
    from dify_cdk.environment import Purpose
    from dify_cdk.frontends._images import CloudBuild, LocalBuild, ReadyImages
    from dify_cdk.frontends._uploads import Uploads
    from dify_cdk.frontends.alb import AlbScheme, CloudFrontEdge, DifyAlbFrontend
    from dify_cdk.frontends.cloudfront_lambda import DifyCloudFrontLambdaFrontend
    from dify_cdk.frontends.http_api import DifyHttpApiFrontend, Throttle
    from dify_cdk.frontends.protocol import DifyFrontend
    from dify_cdk.functions import FunctionSize
    from dify_cdk.limits import Limits
    from dify_cdk.login import Login
    from dify_cdk.mail import MailSecurity, SesMail, SmtpMail
    from dify_cdk.monitoring import DifyMonitoring
    from dify_cdk.network import DifyNetwork, Egress
    from dify_cdk.plugins import Plugins
    from dify_cdk.release import DifyRelease
    from dify_cdk.roles import Role
    from dify_cdk.sandbox import Sandbox
    from dify_cdk.sizes import Architecture, RoleSize, Scaling, Spot
    from dify_cdk.storage import Storage
    from dify_cdk.web_acl import WebAcl
    from dify_cdk.workers import DifyWorkers

_MODULES = {
    "Access": "access",
    "AlarmThresholds": "alarms",
    "AlbScheme": "frontends.alb",
    "Architecture": "sizes",
    "Bedrock": "bedrock",
    "Cache": "cache",
    "CacheSize": "cache",
    "CloudBuild": "frontends._images",
    "CloudFrontEdge": "frontends.alb",
    "Database": "database",
    "DatabaseCapacity": "database",
    "DifyAlbFrontend": "frontends.alb",
    "DifyBackup": "backup",
    "DifyCloudFrontLambdaFrontend": "frontends.cloudfront_lambda",
    "DifyData": "data",
    "DifyFrontend": "frontends.protocol",
    "DifyHttpApiFrontend": "frontends.http_api",
    "DifyMonitoring": "monitoring",
    "DifyNetwork": "network",
    "DifyRelease": "release",
    "DifyWorkers": "workers",
    "Domain": "domain",
    "Egress": "network",
    "FunctionSize": "functions",
    "Limits": "limits",
    "LocalBuild": "frontends._images",
    "Login": "login",
    "MailSecurity": "mail",
    "Plugins": "plugins",
    "Purpose": "environment",
    "ReadyImages": "frontends._images",
    "Role": "roles",
    "RoleSize": "sizes",
    "Sandbox": "sandbox",
    "Scaling": "sizes",
    "SesMail": "mail",
    "SmtpMail": "mail",
    "Spot": "sizes",
    "Storage": "storage",
    "Throttle": "frontends.http_api",
    "Uploads": "frontends._uploads",
    "WebAcl": "web_acl",
}

__all__ = [
    "Access",
    "AlarmThresholds",
    "AlbScheme",
    "Architecture",
    "Bedrock",
    "Cache",
    "CacheSize",
    "CloudBuild",
    "CloudFrontEdge",
    "Database",
    "DatabaseCapacity",
    "DifyAlbFrontend",
    "DifyBackup",
    "DifyCloudFrontLambdaFrontend",
    "DifyData",
    "DifyFrontend",
    "DifyHttpApiFrontend",
    "DifyMonitoring",
    "DifyNetwork",
    "DifyRelease",
    "DifyWorkers",
    "Domain",
    "Egress",
    "FunctionSize",
    "Limits",
    "LocalBuild",
    "Login",
    "MailSecurity",
    "Plugins",
    "Purpose",
    "ReadyImages",
    "Role",
    "RoleSize",
    "Sandbox",
    "Scaling",
    "SesMail",
    "SmtpMail",
    "Spot",
    "Storage",
    "Throttle",
    "Uploads",
    "WebAcl",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is used: ``import dify_cdk`` alone starts no Node."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
