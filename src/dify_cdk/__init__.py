"""Dify on AWS: constructs that compose into four architectures. Names are loaded when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dify_cdk.data.backup import DifyBackup, VaultLock
    from dify_cdk.data.cache import Cache, CacheSize
    from dify_cdk.data.data import DifyData
    from dify_cdk.data.database import Database, DatabaseCapacity
    from dify_cdk.data.storage import Storage
    from dify_cdk.dify.components import Component
    from dify_cdk.dify.environment import Purpose
    from dify_cdk.dify.limits import Limits
    from dify_cdk.dify.release import DifyRelease
    from dify_cdk.frontends.alb import AlbScheme, CloudFrontEdge, DifyAlbFrontend
    from dify_cdk.frontends.cloudfront_lambda import DifyCloudFrontLambdaFrontend
    from dify_cdk.frontends.http_api import DifyHttpApiFrontend
    from dify_cdk.frontends.parts.lambda_images import CloudBuild, LocalBuild, ReadyImages
    from dify_cdk.frontends.parts.uploads import Uploads
    from dify_cdk.frontends.protocol import DifyFrontend
    from dify_cdk.monitoring import DifyMonitoring
    from dify_cdk.network import DifyNetwork, Egress
    from dify_cdk.options.access import Access
    from dify_cdk.options.alarms import AlarmThresholds
    from dify_cdk.options.bedrock import Bedrock
    from dify_cdk.options.domain import Domain
    from dify_cdk.options.function_size import FunctionSize
    from dify_cdk.options.login import Login
    from dify_cdk.options.mail import MailSecurity, SesMail, SmtpMail
    from dify_cdk.options.plugins import Plugins
    from dify_cdk.options.sandbox import Sandbox
    from dify_cdk.options.sizes import Architecture, ComponentSize, Scaling, Spot
    from dify_cdk.options.throttle import Throttle
    from dify_cdk.options.web_acl import WebAcl
    from dify_cdk.workers.workers import DifyWorkers

_MODULES = {
    "Access": "options.access",
    "AlarmThresholds": "options.alarms",
    "AlbScheme": "frontends.alb",
    "Architecture": "options.sizes",
    "Bedrock": "options.bedrock",
    "Cache": "data.cache",
    "CacheSize": "data.cache",
    "CloudBuild": "frontends.parts.lambda_images",
    "CloudFrontEdge": "frontends.alb",
    "Component": "dify.components",
    "ComponentSize": "options.sizes",
    "Database": "data.database",
    "DatabaseCapacity": "data.database",
    "DifyAlbFrontend": "frontends.alb",
    "DifyBackup": "data.backup",
    "DifyCloudFrontLambdaFrontend": "frontends.cloudfront_lambda",
    "DifyData": "data.data",
    "DifyFrontend": "frontends.protocol",
    "DifyHttpApiFrontend": "frontends.http_api",
    "DifyMonitoring": "monitoring",
    "DifyNetwork": "network",
    "DifyRelease": "dify.release",
    "DifyWorkers": "workers.workers",
    "Domain": "options.domain",
    "Egress": "network",
    "FunctionSize": "options.function_size",
    "Limits": "dify.limits",
    "LocalBuild": "frontends.parts.lambda_images",
    "Login": "options.login",
    "MailSecurity": "options.mail",
    "Plugins": "options.plugins",
    "Purpose": "dify.environment",
    "ReadyImages": "frontends.parts.lambda_images",
    "Sandbox": "options.sandbox",
    "Scaling": "options.sizes",
    "SesMail": "options.mail",
    "SmtpMail": "options.mail",
    "Spot": "options.sizes",
    "Storage": "data.storage",
    "Throttle": "options.throttle",
    "Uploads": "frontends.parts.uploads",
    "VaultLock": "data.backup",
    "WebAcl": "options.web_acl",
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
    "Component",
    "ComponentSize",
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
    "Sandbox",
    "Scaling",
    "SesMail",
    "SmtpMail",
    "Spot",
    "Storage",
    "Throttle",
    "Uploads",
    "VaultLock",
    "WebAcl",
]

_OLD_NAMES = {"RoleSize": "ComponentSize"}  # until 1.0


def __getattr__(name: str) -> object:
    """Import a public name when it is used: ``import dify_cdk`` alone starts no Node."""
    name = _OLD_NAMES.get(name, name)
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
