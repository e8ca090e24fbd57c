"""Dify on AWS: constructs that compose into several architectures. Names are loaded when first used."""

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
    from dify_cdk.dify.environment import PublicEndpoint, Purpose
    from dify_cdk.dify.limits import Limits
    from dify_cdk.dify.release import DifyRelease
    from dify_cdk.dify.routes import Route, RouteClass, routes_to
    from dify_cdk.frontends.alb import AlbScheme, CloudFrontEdge, DifyAlbFrontend
    from dify_cdk.frontends.cloudfront_lambda import DifyCloudFrontLambdaFrontend
    from dify_cdk.frontends.http_api import DifyHttpApiFrontend
    from dify_cdk.frontends.parts.lambda_images import CloudBuild, LocalBuild, ReadyImages
    from dify_cdk.frontends.parts.uploads import Uploads
    from dify_cdk.frontends.protocol import DifyFrontend
    from dify_cdk.monitoring import DifyMonitoring
    from dify_cdk.network.network import DifyNetwork, Egress
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
    from dify_cdk.options.windows import MaintenanceWindows
    from dify_cdk.workers.component_service import ComponentService, Environment
    from dify_cdk.workers.workers import DifyWorkers

    RoleSize = ComponentSize
    __version__: str

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
    "ComponentService": "workers.component_service",
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
    "DifyNetwork": "network.network",
    "DifyRelease": "dify.release",
    "DifyWorkers": "workers.workers",
    "Domain": "options.domain",
    "Egress": "network.network",
    "Environment": "workers.component_service",
    "FunctionSize": "options.function_size",
    "Limits": "dify.limits",
    "LocalBuild": "frontends.parts.lambda_images",
    "Login": "options.login",
    "MailSecurity": "options.mail",
    "MaintenanceWindows": "options.windows",
    "Plugins": "options.plugins",
    "PublicEndpoint": "dify.environment",
    "Purpose": "dify.environment",
    "ReadyImages": "frontends.parts.lambda_images",
    "Route": "dify.routes",
    "RouteClass": "dify.routes",
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
    "routes_to": "dify.routes",
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
    "ComponentService",
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
    "Environment",
    "FunctionSize",
    "Limits",
    "LocalBuild",
    "Login",
    "MailSecurity",
    "MaintenanceWindows",
    "Plugins",
    "PublicEndpoint",
    "Purpose",
    "ReadyImages",
    "Route",
    "RouteClass",
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
    "routes_to",
]

_OLD_NAMES = {"RoleSize": "ComponentSize"}  # until 1.0


if not TYPE_CHECKING:  # a type checker would take every name for one of them

    def __getattr__(name: str) -> object:
        """Import a public name when it is used: ``import dify_cdk`` alone starts no Node."""
        if name == "__version__":
            return import_module("importlib.metadata").version("dify-cdk")
        name = _OLD_NAMES.get(name, name)
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
