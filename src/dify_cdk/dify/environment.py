"""The environment of every component, from one table.

Each row names the variable, the components that read it, its value and, for the error message of a clash,
the argument that changes it or the reason why none does. A value is text, a function of the :class:`Context`,
or a :class:`SecretField` or :class:`SecretOption`, which never appear in a template.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import NoReturn

from dify_cdk._arguments import checked
from dify_cdk.dify import cache_users
from dify_cdk.dify.components import BACKEND_COMPONENTS, Component, Settings, private_url
from dify_cdk.dify.connections import DEFAULT_POOLS, Pools
from dify_cdk.dify.limits import FRONTEND_LIMITS, Limits


class Purpose(StrEnum):
    """What a secret is for. Every purpose has a secret of its own."""

    SECRET_KEY = "SecretKey"
    INIT_PASSWORD = "InitPassword"
    DATABASE = "DatabaseUser"
    PLUGIN_DATABASE = "PluginDatabaseUser"
    CACHE = "CacheUser"
    PLUGIN_CACHE = "PluginCacheUser"
    BROKER_URL = "BrokerUrl"
    SANDBOX_KEY = "SandboxKey"
    PLUGIN_DAEMON_KEY = "PluginDaemonKey"
    INNER_API_KEY = "InnerApiKey"


@dataclass(frozen=True, slots=True)
class SecretField:
    """A secret, or one field of a JSON secret."""

    purpose: Purpose
    field: str | None = None


@dataclass(frozen=True, slots=True)
class SecretOption:
    """A secret that a caller chose through an argument; without the argument there is no variable."""


@dataclass(frozen=True, slots=True)
class Default:
    """What a variable holds unless an argument or the user's own variables say something else.

    For what is a size or a habit and not architecture: whoever knows better may set it.

    Attributes:
        value: Text, or what makes it of the :class:`Context`; None leaves it to the component's own default.
        joins: Whether a user's text comes after it and not in its place: arguments, of which the last one
            counts.
    """

    value: str | Callable[[Context], str | None]
    joins: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DataEndpoints:
    """Where the stateful parts are; the strings may be tokens."""

    database_host: str
    cache_host: str
    bucket_name: str
    region: str


@checked
@dataclass(frozen=True, kw_only=True, slots=True)
class PublicEndpoint:
    """Where users reach Dify, and what the way there supports: what a frontend tells Dify about itself.

    Attributes:
        scheme: ``http`` or ``https``, as the browser sees it.
        host: Host name without port, may be a token.
        limits: What the frontend supports.
        idle_timeout_seconds: How long the hop before the containers keeps a connection that is not in use. A
            container that closes first answers the request that is just on its way with a reset.
        internal: Whether the host has private addresses only.
        plugin_host: Host name of endpoints of plugins; None for ``host``.
        collaboration: Whether ``api_websocket`` runs behind it.
    """

    scheme: str
    host: str
    limits: Limits
    idle_timeout_seconds: int
    internal: bool = False
    plugin_host: str | None = None
    collaboration: bool = False

    @property
    def url(self) -> str:
        """The public URL without a trailing slash."""
        return f"{self.scheme}://{self.host}"

    @property
    def hosts(self) -> list[str]:
        """All its host names."""
        return [self.host, *([self.plugin_host] if self.plugin_host else [])]


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What the values are made of.

    Attributes:
        data: Where the stateful parts are.
        namespace: Name of the private DNS namespace.
        endpoint: Where users reach Dify; None for the migration, which runs before there is one.
        pools: How many connections to the database each process may open, and jobs run at once.
        options: Values of variables that a caller chose through an argument, by variable name.
        secret_options: Names of the variables whose secrets a caller chose through an argument.
    """

    data: DataEndpoints
    namespace: str
    endpoint: PublicEndpoint | None
    pools: Pools = DEFAULT_POOLS
    options: Mapping[str, str] = field(default_factory=dict)
    secret_options: Collection[str] = ()


_NOTHING: Mapping[str, object] = MappingProxyType({})

Value = str | SecretField | SecretOption | Default | Callable[[Context], str | None]

DATABASE_PORT = 5432
CACHE_PORT = 6379
MAIN_DATABASE = "main"
VECTOR_DATABASE = "pgvector"
PLUGIN_DATABASE = "dify_plugin"
CACHE_DATABASE = 0
BROKER_DATABASE = 1

_MB = 1_000_000
_MIB = 1 << 20  # Dify's own limits are multiples of it
_DIFY_UPLOAD_MB = {  # Dify's own defaults, lowered where a frontend takes smaller bodies
    "UPLOAD_FILE_SIZE_LIMIT": 15,
    "UPLOAD_IMAGE_FILE_SIZE_LIMIT": 10,
    "UPLOAD_AUDIO_FILE_SIZE_LIMIT": 50,
    "UPLOAD_VIDEO_FILE_SIZE_LIMIT": 100,
    "UPLOAD_SKILL_FILE_SIZE_LIMIT": 50,
    "ANNOTATION_IMPORT_FILE_SIZE_LIMIT": 2,
}
_PLUGIN_PACKAGE_BYTES = "52428800"  # what Dify's own Compose files allow; api's code allows less
_PLUGIN_TIMEOUT_SECONDS = 600  # Dify's default; an inner hop must never give up before the outermost one
_GUNICORN_TIMEOUT_SECONDS = 360
_KEEP_ALIVE_MARGIN_SECONDS = 5
_GRACEFUL_SECONDS = 110  # what is left of the two minutes between SIGTERM and SIGKILL goes to the way there


_FRONTENDS = tuple(FRONTEND_LIMITS)


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of public classes that changes what a variable holds.

    Attributes:
        name: Its name.
        of: The classes that have it.
        given: What is written behind the name, such as a value object.
        otherwise: What does as well, in words.
    """

    name: str
    of: tuple[str, ...]
    given: str = ""
    otherwise: str = ""

    def __str__(self) -> str:
        """As it is written, and where."""
        of = "the frontend" if self.of == _FRONTENDS else " or ".join(self.of)
        return f"{self.name}={self.given} of {of}{self.otherwise and f', or {self.otherwise}'}"


@dataclass(frozen=True, slots=True)
class Row:
    """One variable.

    Attributes:
        name: Its name.
        components: Who reads it.
        value: What it holds; None leaves it to the component's own default. A user may set what a
            :class:`Default` holds.
        instead: The argument that changes it, or why nothing does. Only a :class:`Default` needs none.
        free_when_unset: Whether a user may set it where ``value`` gives None, as for limits that the frontend
            does not impose.
    """

    name: str
    components: tuple[Component, ...]
    value: Value
    instead: Argument | str | None = None
    free_when_unset: bool = False

    def __post_init__(self) -> None:
        """Nobody may be refused without being told what to do.

        Raises:
            TypeError: If a row that a user cannot set says neither what changes it nor why nothing does.
        """
        if self.instead is None and not isinstance(self.value, Default):
            raise TypeError(f"row {self.name}: say which argument changes it, or why none does")


def _url(context: Context) -> str | None:
    return context.endpoint.url if context.endpoint else None


def _socket_url(context: Context) -> str | None:
    """Only where something answers: the editor works alone when its built-in address fails, no other."""
    if context.endpoint is None or not context.endpoint.collaboration:
        return None
    return f"{'wss' if context.endpoint.scheme == 'https' else 'ws'}://{context.endpoint.host}"


def _collaboration(context: Context) -> str | None:
    """Dify's code has it on, and the editor then waits for a server."""
    if context.endpoint is None:
        return None
    return "true" if context.endpoint.collaboration else "false"


def _keep_alive(template: str) -> Callable[[Context], str | None]:
    """A little longer than the hop before the container keeps a connection that is not in use."""

    def text(context: Context) -> str | None:
        if context.endpoint is None:
            return None
        return template.format(seconds=context.endpoint.idle_timeout_seconds + _KEEP_ALIVE_MARGIN_SECONDS)

    return text


def _endpoint_template(context: Context) -> str | None:
    endpoint = context.endpoint
    if endpoint is None:
        return None
    return f"{endpoint.scheme}://{endpoint.plugin_host or endpoint.host}/e/{{hook_id}}"


def _at_least(seconds: int) -> Callable[[Context], str | None]:
    """An inner timeout: never under the frontend's, and never under Dify's own."""

    def timeout(context: Context) -> str | None:
        return (
            str(max(seconds, context.endpoint.limits.request_timeout_seconds)) if context.endpoint else None
        )

    return timeout


def _answer_timeout(context: Context) -> str | None:
    """How long api waits for a plugin: where nothing streams, no longer than a client waits for api."""
    if context.endpoint is None or context.endpoint.limits.streaming:
        return _plugin_timeout(context)
    return str(context.endpoint.limits.request_timeout_seconds)


_gunicorn_timeout = _at_least(_GUNICORN_TIMEOUT_SECONDS)  # a stuck process, not a long request
_plugin_timeout = _at_least(_PLUGIN_TIMEOUT_SECONDS)  # background jobs run plugins for nobody who waits


def _execution_limit(context: Context) -> str | None:
    """Only where nothing streams: there a longer run could not be answered any more."""
    if context.endpoint is None or context.endpoint.limits.streaming:
        return None
    return str(context.endpoint.limits.request_timeout_seconds)


def _inner_call_timeout(context: Context) -> str | None:
    """How long a plugin may use api: as long as it may run, though the daemon's default is four minutes."""
    seconds = _plugin_timeout(context)
    return None if seconds is None else f"{seconds}000"


def _browser_timeout(context: Context) -> str | None:
    return str(context.endpoint.limits.request_timeout_seconds * 1000) if context.endpoint else None


def _upload_limit(megabytes: int) -> Callable[[Context], str | None]:
    def limit(context: Context) -> str | None:
        if context.endpoint is None or context.endpoint.limits.max_body_mb is None:
            return None  # the frontend sets no limit: Dify's own default holds
        return str(min(megabytes, int(context.endpoint.limits.max_body_mb * _MB) // _MIB))

    return limit


def _pool(name: str) -> Callable[[Context], str]:
    return lambda context: str(getattr(context.pools, name))


def _option(name: str) -> Callable[[Context], str | None]:
    return lambda context: context.options.get(name)


def _inner(component: Component) -> Callable[[Context], str]:
    return lambda context: private_url(component, context.namespace)


def _database_host(context: Context) -> str:
    return context.data.database_host


def _cache_host(context: Context) -> str:
    return context.data.cache_host


def _bucket(context: Context) -> str:
    return context.data.bucket_name


def _region(context: Context) -> str:
    return context.data.region


_API = (Component.API, Component.API_WEBSOCKET)
_WORKER = (Component.WORKER,)
_BACKEND = BACKEND_COMPONENTS
_JOBS = tuple(component for component in BACKEND_COMPONENTS if component not in _API)
_WEBSOCKET = (Component.API_WEBSOCKET,)
_DAEMON = (Component.PLUGIN_DAEMON,)
_WEB = (Component.WEB,)
_SANDBOX = (Component.SANDBOX,)
_CALLS_PLUGINS = tuple(one for one in BACKEND_COMPONENTS if one in Component.PLUGIN_DAEMON.spec.called_by)
_RUNS_CODE = tuple(one for one in BACKEND_COMPONENTS if one in Component.SANDBOX.spec.called_by)
_SERVES_PLUGINS = (Component.API,)
_DOMAIN_OPTION = Argument("domain", _FRONTENDS)
_TIMEOUT_OPTION = Argument("request_timeout", ("DifyAlbFrontend", "DifyHttpApiFrontend"))
_COLLABORATION_OPTION = Argument("collaboration", ("DifyAlbFrontend", "DifyCloudFrontLambdaFrontend"))
_SANDBOX_OPTION = Argument("sandbox", ("DifyWorkers",), "Sandbox(...)")
_PLUGIN_OPTION = Argument("plugins", ("DifyWorkers",), "Plugins(...)")
_MAIL_OPTION = Argument("mail", ("DifyWorkers",), "SesMail(...) or SmtpMail(...)")
_MAILERS = (Component.API, Component.WORKER)  # beat only queues what the worker sends
_UPLOAD_OPTION = Argument(
    "uploads",
    ("DifyCloudFrontLambdaFrontend",),
    "Uploads.VPC_ORIGIN",
    otherwise="a DifyAlbFrontend, which takes bodies of any size",
)

# Why nothing changes them.
_IS_WHAT_IT_DOES = "it says which part of Dify the container is"
_DATABASE_IS_OURS = "the database is the cluster of DifyData"
_USER_IS_OURS = "DifyData makes the users of the database, and rotation= renews their passwords"
_ONLY_TLS = "the database takes connections by TLS only"
_CACHE_IS_OURS = "the cache is that of DifyData"
_CACHE_TLS = "the cache takes connections by TLS only, with a certificate of Amazon's"
_BUCKET_IS_OURS = "objects are in the bucket of DifyData, which tasks may use by their roles"
_KEY_IS_OURS = "DifyData makes the key, which both sides have to know, and rotation= renews it"
_INSIDE = "it leads to the component itself, whose name in the network follows from namespace= of DifyWorkers"
_PASSES_THE_PROXY = "requests that users ask for pass the SSRF proxy, which knows no private addresses"
_PREFIX_IS_KEPT = "plugins are kept below this prefix, which the daemon's permissions name"
_PORT_IS_KNOWN = "health checks, security groups and load balancers know the port"
_NO_SERVER_TO_DEBUG = "the port for debugging plugins is open inside the container only"

_START = (
    Row("MODE", (Component.API, Component.API_WEBSOCKET), "api", _IS_WHAT_IT_DOES),
    Row("MODE", (Component.WORKER,), "worker", _IS_WHAT_IT_DOES),
    Row("MODE", (Component.BEAT,), "beat", _IS_WHAT_IT_DOES),
    Row("MODE", (Component.MIGRATION,), "migration", _IS_WHAT_IT_DOES),
    # The image's own class never closes an idle connection: ten of them, without any user, and nothing else
    # is answered any more, /health included.
    Row("SERVER_WORKER_CLASS", (Component.API,), Default("gevent")),
    # A stream holds one, each inner call of a plugin another, and so does every idle one of the hop before.
    Row("SERVER_WORKER_CONNECTIONS", (Component.API,), Default("500")),
    Row(
        "GUNICORN_CMD_ARGS",
        _API,
        Default(_keep_alive(f"--keep-alive={{seconds}} --graceful-timeout={_GRACEFUL_SECONDS}"), joins=True),
    ),
    # gunicorn takes SCRIPT_NAME from a header of whoever is listed, and every sidecar is loopback, its
    # default: the header would move a request to another path, past the routes of the frontend. A comma is
    # gunicorn's empty list; a variable without a value could be lost on its way into the container.
    Row("FORWARDED_ALLOW_IPS", _API, ",", "a client could call any path of api with it"),
    # The image would start Flask's development server instead of gunicorn and its limits.
    Row("DEBUG", _API, "false", "it would replace api's server by one for development; LOG_LEVEL is free"),
    Row(
        "SERVER_WORKER_CLASS",
        _WEBSOCKET,
        "geventwebsocket.gunicorn.workers.GeventWebSocketWorker",
        "WebSocket connections need it",
    ),
    Row("SERVER_WORKER_AMOUNT", _WEBSOCKET, "1", "a session belongs to one process"),
    Row("SERVER_WORKER_CONNECTIONS", _WEBSOCKET, Default("1000")),
    Row(
        "MIGRATION_ENABLED",
        (Component.API, Component.API_WEBSOCKET, Component.WORKER, Component.BEAT),
        "false",
        "the migration runs once, before everything else",
    ),
    Row("MIGRATION_ENABLED", (Component.MIGRATION,), "true", "a migration is what the task is for"),
    Row(
        "DEPLOYMENT_EDITION",
        (*_BACKEND, Component.WEB),
        "COMMUNITY",
        "Dify's other editions have services that are not run here",
    ),
    Row(
        "LOG_OUTPUT_FORMAT",
        (*_BACKEND, Component.PLUGIN_DAEMON),
        "json",
        "Amazon CloudWatch would take each line of a traceback for a record of its own",
    ),
    Row(
        "LOG_FILE", _BACKEND, "", "logs go to Amazon CloudWatch, and a file would be lost with its container"
    ),
    Row(
        "CHECK_UPDATE_URL",
        _BACKEND,
        "",
        "the version is that of release= of DifyWorkers, and a deployment changes it",
    ),
    Row("SCARF_NO_ANALYTICS", _BACKEND, Default("true")),
    Row("SWAGGER_UI_ENABLED", _BACKEND, Default("false")),  # served without a log-in
    Row("ENABLE_OAUTH_BEARER", _BACKEND, Default("false")),
    # Green threads of one process. Every streamed workflow is one of its jobs, and may wait for another.
    Row("CELERY_WORKER_AMOUNT", _WORKER, Default(_pool("jobs"))),
)

_PUBLIC = (
    Row("CONSOLE_API_URL", (*_BACKEND, Component.WEB), _url, _DOMAIN_OPTION),
    Row("CONSOLE_WEB_URL", _BACKEND, _url, _DOMAIN_OPTION),
    Row("SERVICE_API_URL", _BACKEND, _url, _DOMAIN_OPTION),
    Row("APP_WEB_URL", _BACKEND, _url, _DOMAIN_OPTION),
    Row("APP_API_URL", _WEB, _url, _DOMAIN_OPTION),
    Row("TRIGGER_URL", _BACKEND, _url, _DOMAIN_OPTION),
    Row("FILES_URL", _BACKEND, _url, _DOMAIN_OPTION),
    Row("ENDPOINT_URL_TEMPLATE", _BACKEND, _endpoint_template, _DOMAIN_OPTION),
    Row("CONSOLE_CORS_ALLOW_ORIGINS", _BACKEND, _url, _DOMAIN_OPTION),
    Row("WEB_API_CORS_ALLOW_ORIGINS", _BACKEND, _url, _DOMAIN_OPTION),
    Row("NEXT_PUBLIC_SOCKET_URL", _WEB, _socket_url, _COLLABORATION_OPTION),
    Row("ENABLE_COLLABORATION_MODE", _BACKEND, _collaboration, _COLLABORATION_OPTION),
    Row("GUNICORN_TIMEOUT", _API, _gunicorn_timeout, _TIMEOUT_OPTION),
    Row("PLUGIN_DAEMON_TIMEOUT", _API, _answer_timeout, _TIMEOUT_OPTION),
    Row("PLUGIN_DAEMON_TIMEOUT", _JOBS, _plugin_timeout, _TIMEOUT_OPTION),
    Row("PLUGIN_MAX_EXECUTION_TIMEOUT", _DAEMON, _plugin_timeout, _TIMEOUT_OPTION),
    Row("DIFY_BACKWARDS_INVOCATION_READ_TIMEOUT", _DAEMON, Default(_inner_call_timeout), _TIMEOUT_OPTION),
    Row("APP_MAX_EXECUTION_TIME", _API, _execution_limit, _TIMEOUT_OPTION, free_when_unset=True),
    # Streamed runs are the worker's, but so are those that nobody waits for: whoever has them sets another.
    Row("APP_MAX_EXECUTION_TIME", _JOBS, Default(_execution_limit), _TIMEOUT_OPTION),
    Row("KEEP_ALIVE_TIMEOUT", _WEB, Default(_keep_alive("{seconds}000"))),
    Row("TEXT_GENERATION_TIMEOUT_MS", _WEB, _browser_timeout, _TIMEOUT_OPTION),
    Row("WORKFLOW_GENERATION_TIMEOUT_MS", _WEB, _browser_timeout, _TIMEOUT_OPTION),
    *(
        Row(name, _BACKEND, _upload_limit(size), _UPLOAD_OPTION, free_when_unset=True)
        for name, size in _DIFY_UPLOAD_MB.items()
    ),
    # Also for what api downloads itself, which passes no frontend.
    Row("PLUGIN_MAX_PACKAGE_SIZE", _BACKEND, Default(_PLUGIN_PACKAGE_BYTES)),
)

_DATABASE = (
    Row("DB_TYPE", (*_BACKEND, Component.PLUGIN_DAEMON), "postgresql", _DATABASE_IS_OURS),
    Row("DB_HOST", (*_BACKEND, Component.PLUGIN_DAEMON), _database_host, _DATABASE_IS_OURS),
    Row("DB_PORT", (*_BACKEND, Component.PLUGIN_DAEMON), str(DATABASE_PORT), _DATABASE_IS_OURS),
    Row("DB_DATABASE", _BACKEND, MAIN_DATABASE, _DATABASE_IS_OURS),
    Row("DB_DATABASE", _DAEMON, PLUGIN_DATABASE, _DATABASE_IS_OURS),
    Row("DB_USERNAME", _BACKEND, SecretField(Purpose.DATABASE, "username"), _USER_IS_OURS),
    Row("DB_PASSWORD", _BACKEND, SecretField(Purpose.DATABASE, "password"), _USER_IS_OURS),
    Row("DB_USERNAME", _DAEMON, SecretField(Purpose.PLUGIN_DATABASE, "username"), _USER_IS_OURS),
    Row("DB_PASSWORD", _DAEMON, SecretField(Purpose.PLUGIN_DATABASE, "password"), _USER_IS_OURS),
    Row("DB_SSL_MODE", _DAEMON, "require", _ONLY_TLS),
    Row("DB_EXTRAS", _BACKEND, "sslmode=require", _ONLY_TLS),
    Row("PGSSLMODE", _BACKEND, "require", _ONLY_TLS),  # libpq reads it: covers pgvector's own pool
    Row(
        "SQLALCHEMY_POOL_PRE_PING", _BACKEND, "true", "connections die when the database fails over or pauses"
    ),
    Row("SQLALCHEMY_POOL_SIZE", _BACKEND, Default(_pool("size"))),
    Row("SQLALCHEMY_MAX_OVERFLOW", _BACKEND, Default(_pool("overflow"))),
    Row("DB_MAX_OPEN_CONNS", _DAEMON, Default(_pool("plugins"))),
    Row("VECTOR_STORE", _BACKEND, "pgvector", _DATABASE_IS_OURS),
    Row("PGVECTOR_HOST", _BACKEND, _database_host, _DATABASE_IS_OURS),
    Row("PGVECTOR_PORT", _BACKEND, str(DATABASE_PORT), _DATABASE_IS_OURS),
    Row("PGVECTOR_USER", _BACKEND, SecretField(Purpose.DATABASE, "username"), _USER_IS_OURS),
    Row("PGVECTOR_PASSWORD", _BACKEND, SecretField(Purpose.DATABASE, "password"), _USER_IS_OURS),
    Row("PGVECTOR_DATABASE", _BACKEND, VECTOR_DATABASE, _DATABASE_IS_OURS),
)

_CACHE = (
    Row("REDIS_HOST", (*_BACKEND, Component.PLUGIN_DAEMON), _cache_host, _CACHE_IS_OURS),
    Row("REDIS_PORT", (*_BACKEND, Component.PLUGIN_DAEMON), str(CACHE_PORT), _CACHE_IS_OURS),
    Row("REDIS_USERNAME", _BACKEND, cache_users.DIFY.name, _CACHE_IS_OURS),
    Row("REDIS_PASSWORD", _BACKEND, SecretField(Purpose.CACHE), _CACHE_IS_OURS),
    Row("REDIS_USERNAME", _DAEMON, cache_users.PLUGIN_DAEMON.name, _CACHE_IS_OURS),
    Row("REDIS_PASSWORD", _DAEMON, SecretField(Purpose.PLUGIN_CACHE), _CACHE_IS_OURS),
    Row("REDIS_KEY_PREFIX", _DAEMON, cache_users.PLUGIN_PREFIX, "its user of the cache has no other names"),
    Row("REDIS_DB", (*_BACKEND, Component.PLUGIN_DAEMON), str(CACHE_DATABASE), _CACHE_IS_OURS),
    Row("REDIS_USE_SSL", (*_BACKEND, Component.PLUGIN_DAEMON), "true", _CACHE_TLS),
    # The plugin daemon refuses to start with CERT_REQUIRED and no CA file; unset it verifies as well.
    Row("REDIS_SSL_CERT_REQS", _BACKEND, "CERT_REQUIRED", _CACHE_TLS),
    Row("CELERY_BROKER_URL", _BACKEND, SecretField(Purpose.BROKER_URL), _CACHE_IS_OURS),
    Row("CELERY_BACKEND", _BACKEND, "redis", _CACHE_IS_OURS),
    # It takes the password out of the broker's URL and not the name: nobody may log in without one
    # (schedule/queue_monitor_task.py of dify 1.14.2, commit ad96501e0).
    Row(
        "ENABLE_DATASETS_QUEUE_MONITOR",
        _BACKEND,
        "false",
        "it logs in to the cache without a name, which nobody may; DifyMonitoring has alarms for the queue",
    ),
)

_STORAGE = (
    Row("STORAGE_TYPE", _BACKEND, "s3", _BUCKET_IS_OURS),
    Row("S3_USE_AWS_MANAGED_IAM", (*_BACKEND, Component.PLUGIN_DAEMON), "true", _BUCKET_IS_OURS),
    Row("S3_BUCKET_NAME", _BACKEND, _bucket, _BUCKET_IS_OURS),
    Row("S3_REGION", _BACKEND, _region, _BUCKET_IS_OURS),
    Row("PLUGIN_STORAGE_TYPE", _DAEMON, "aws_s3", _BUCKET_IS_OURS),
    Row("PLUGIN_STORAGE_OSS_BUCKET", _DAEMON, _bucket, _BUCKET_IS_OURS),
    Row("AWS_REGION", _DAEMON, _region, _BUCKET_IS_OURS),
    Row("S3_USE_AWS", _DAEMON, "true", _BUCKET_IS_OURS),
    Row("S3_USE_PATH_STYLE", _DAEMON, "false", _BUCKET_IS_OURS),
)

STORAGE_PREFIXES = ("plugin", "plugin_packages", "assets", "persistence")
"""Prefixes below which the plugin daemon keeps its objects; changing one loses the plugins."""


def _without(name: str, readers: tuple[Component, ...]) -> Row:
    """Nothing for those that run the same code and have no use for a key: Dify's own value is published.

    ``/inner/api`` answers 404 where there is no key (``controllers/inner_api/wraps.py`` of dify 1.14.2).
    """
    return Row(
        name, tuple(one for one in _BACKEND if one not in readers), "", "the component has no use for the key"
    )


_PLUGINS = (
    Row("PLUGIN_DAEMON_URL", _BACKEND, _inner(Component.PLUGIN_DAEMON), _INSIDE),
    Row("PLUGIN_DAEMON_KEY", _CALLS_PLUGINS, SecretField(Purpose.PLUGIN_DAEMON_KEY), _KEY_IS_OURS),
    _without("PLUGIN_DAEMON_KEY", _CALLS_PLUGINS),
    Row("SERVER_KEY", _DAEMON, SecretField(Purpose.PLUGIN_DAEMON_KEY), _KEY_IS_OURS),
    Row("INNER_API_KEY_FOR_PLUGIN", _SERVES_PLUGINS, SecretField(Purpose.INNER_API_KEY), _KEY_IS_OURS),
    _without("INNER_API_KEY_FOR_PLUGIN", _SERVES_PLUGINS),
    Row("DIFY_INNER_API_KEY", _DAEMON, SecretField(Purpose.INNER_API_KEY), _KEY_IS_OURS),
    Row("DIFY_INNER_API_URL", _DAEMON, _inner(Component.API), _INSIDE),
    Row("INTERNAL_FILES_URL", _BACKEND, _inner(Component.API), _INSIDE),
    Row(
        "PLUGIN_WORKING_PATH",
        _DAEMON,
        "/app/storage/cwd",
        "it is the directory of the image that plugins run in",
    ),
    Row("PLUGIN_INSTALLED_PATH", _DAEMON, STORAGE_PREFIXES[0], _PREFIX_IS_KEPT),
    Row("PLUGIN_PACKAGE_CACHE_PATH", _DAEMON, STORAGE_PREFIXES[1], _PREFIX_IS_KEPT),
    Row("PLUGIN_MEDIA_CACHE_PATH", _DAEMON, STORAGE_PREFIXES[2], _PREFIX_IS_KEPT),
    Row("PERSISTENCE_STORAGE_PATH", _DAEMON, STORAGE_PREFIXES[3], _PREFIX_IS_KEPT),
    # Off, the console's debugging page fails.
    Row("PLUGIN_REMOTE_INSTALLING_ENABLED", _DAEMON, "true", _NO_SERVER_TO_DEBUG),
    Row("PLUGIN_REMOTE_INSTALLING_HOST", _DAEMON, "127.0.0.1", _NO_SERVER_TO_DEBUG),
    Row("PLUGIN_REMOTE_INSTALLING_PORT", _DAEMON, "5003", _NO_SERVER_TO_DEBUG),
    Row(
        "FORCE_VERIFYING_SIGNATURE",
        _DAEMON,
        "true",
        "a plugin runs with the permissions of the daemon, so that somebody has to have signed it",
    ),
    Row("SERVER_PORT", _DAEMON, str(Component.PLUGIN_DAEMON.port), _PORT_IS_KNOWN),
    Row("PLATFORM", _DAEMON, "local", "plugins run in the daemon's own container"),
    # Seconds to install the packages of one plugin. A whole installation counts as failed a minute later,
    # however many plugins it brings.
    Row("PYTHON_ENV_INIT_TIMEOUT", _DAEMON, Default("600")),
    Row("HEALTH_API_LOG_ENABLED", _DAEMON, Default("false")),
)

_CODE = (
    Row("CODE_EXECUTION_ENDPOINT", _BACKEND, _inner(Component.SANDBOX), _INSIDE),
    Row("CODE_EXECUTION_API_KEY", _RUNS_CODE, SecretField(Purpose.SANDBOX_KEY), _KEY_IS_OURS),
    _without("CODE_EXECUTION_API_KEY", _RUNS_CODE),
    Row("API_KEY", _SANDBOX, SecretField(Purpose.SANDBOX_KEY), _KEY_IS_OURS),
    Row("SANDBOX_PORT", _SANDBOX, str(Component.SANDBOX.port), _PORT_IS_KNOWN),
    Row("WORKER_TIMEOUT", _SANDBOX, _option("WORKER_TIMEOUT"), _SANDBOX_OPTION),
    Row("CODE_EXECUTION_READ_TIMEOUT", _BACKEND, Default(_option("CODE_EXECUTION_READ_TIMEOUT"))),
    Row(
        "ENABLE_NETWORK",
        _SANDBOX,
        "true",
        "without it no code runs; sandbox=Sandbox(network=False) of DifyWorkers closes the network to code",
    ),
    Row(
        "HTTP_PROXY",
        _SANDBOX,
        _inner(Component.SSRF_PROXY),
        _PASSES_THE_PROXY,
    ),
    Row(
        "HTTPS_PROXY",
        _SANDBOX,
        _inner(Component.SSRF_PROXY),
        _PASSES_THE_PROXY,
    ),
    Row("ALLOWED_SYSCALLS", _SANDBOX, _option("ALLOWED_SYSCALLS"), _SANDBOX_OPTION),
    Row("PIP_MIRROR_URL", _SANDBOX, _option("PIP_MIRROR_URL"), _SANDBOX_OPTION),
    Row(
        "GIN_MODE",
        (Component.SANDBOX, Component.PLUGIN_DAEMON),
        "release",
        "the other modes are for those who develop it",
    ),
    Row(
        "SSRF_PROXY_HTTP_URL",
        _BACKEND,
        _inner(Component.SSRF_PROXY),
        _PASSES_THE_PROXY,
    ),
    Row(
        "SSRF_PROXY_HTTPS_URL",
        _BACKEND,
        _inner(Component.SSRF_PROXY),
        _PASSES_THE_PROXY,
    ),
)

_PAGES = (
    Row(
        "HOSTNAME", _WEB, "0.0.0.0", "the server has to listen on all its addresses"
    ),  # Next.js binds to what this names; Fargate sets its own otherwise
    Row("PORT", _WEB, str(Component.WEB.port), _PORT_IS_KNOWN),
    Row("SERVER_CONSOLE_API_URL", _WEB, _inner(Component.API), _INSIDE),
    Row(
        "NEXT_PUBLIC_ENABLE_AGENT_V2",
        _WEB,
        "false",
        "its pages need the agent backend, which is not deployed",
    ),  # needs the agent backend, which is not deployed
    Row("NEXT_TELEMETRY_DISABLED", _WEB, "1", "Next.js would report to its makers"),
)

_KEYS = (
    Row("SECRET_KEY", _BACKEND, SecretField(Purpose.SECRET_KEY), Argument("secret_key", ("DifyData",))),
    Row(
        "INIT_PASSWORD",
        (Component.API,),
        SecretField(Purpose.INIT_PASSWORD),
        "DifyData makes it, and /install asks for it once",
    ),
)

_OFFLINE = (
    *(
        Row(name, _BACKEND, _option(name), _PLUGIN_OPTION, free_when_unset=True)
        for name in (
            "MARKETPLACE_ENABLED",
            "ENABLE_CHECK_UPGRADABLE_PLUGIN_TASK",
            "CREATORS_PLATFORM_FEATURES_ENABLED",
            "HOSTED_FETCH_APP_TEMPLATES_MODE",
            "HOSTED_FETCH_PIPELINE_TEMPLATES_MODE",
        )
    ),
    # The sandbox has a variable of the same name for an index of its own.
    Row("PIP_MIRROR_URL", _DAEMON, _option("PLUGIN_PIP_MIRROR_URL"), _PLUGIN_OPTION, free_when_unset=True),
    *(
        Row(name, _DAEMON, _option(name), _PLUGIN_OPTION, free_when_unset=True)
        for name in ("PIP_MIRROR_AUTO_DETECT", "PLUGIN_IGNORE_UV_LOCK")
    ),
)

_MAIL = (
    *(
        Row(name, _MAILERS, _option(name), _MAIL_OPTION, free_when_unset=True)
        for name in (
            "MAIL_TYPE",
            "MAIL_DEFAULT_SEND_FROM",
            "SMTP_SERVER",
            "SMTP_PORT",
            "SMTP_USE_TLS",
            "SMTP_OPPORTUNISTIC_TLS",
        )
    ),
    Row("SMTP_USERNAME", _MAILERS, SecretOption(), _MAIL_OPTION, free_when_unset=True),
    Row("SMTP_PASSWORD", _MAILERS, SecretOption(), _MAIL_OPTION, free_when_unset=True),
)

TABLE: tuple[Row, ...] = (
    *_START,
    *_PUBLIC,
    *_DATABASE,
    *_CACHE,
    *_STORAGE,
    *_PLUGINS,
    *_CODE,
    *_PAGES,
    *_KEYS,
    *_OFFLINE,
    *_MAIL,
)
"""Every variable of every component."""


def plain_variables(
    component: Component, context: Context, extras: Mapping[str, object] = _NOTHING
) -> dict[str, str]:
    """The variables of a component whose values may be read by everybody.

    Args:
        component: Who reads them.
        context: What their values are made of.
        extras: The variables that a user sets, of which texts are among the result: they take the place of a
            :class:`Default`, or come after it.
    """
    texts = {name: value for name, value in extras.items() if isinstance(value, str)}
    found = {}
    for row in TABLE:
        value = _plain(row.value, context) if component in row.components else None
        if value is None:
            continue
        if row.name not in extras:
            found[row.name] = value
        elif isinstance(row.value, Default) and row.value.joins and row.name in texts:
            texts[row.name] = f"{value} {texts[row.name]}"
    return {**found, **texts}


def _plain(value: Value, context: Context) -> str | None:
    if isinstance(value, SecretField | SecretOption):
        return None
    if isinstance(value, Default):
        value = value.value
    return value if isinstance(value, str) else value(context)


def secret_variables(component: Component) -> dict[str, SecretField]:
    """The variables of a component that are filled from secrets when the container starts."""
    return {
        row.name: row.value
        for row in TABLE
        if component in row.components and isinstance(row.value, SecretField)
    }


def secret_options(component: Component) -> tuple[str, ...]:
    """The variables of a component that are filled from secrets of the caller's, if the caller gives some."""
    return tuple(
        row.name for row in TABLE if component in row.components and isinstance(row.value, SecretOption)
    )


def _is_free(row: Row, context: Context) -> bool:
    """Whether a user may set the variable of a row."""
    if isinstance(row.value, Default):
        return True
    if isinstance(row.value, SecretOption):
        unset = row.name not in context.secret_options
    else:
        unset = _plain(row.value, context) is None
    return row.free_when_unset and unset


_READ_BY_LIBRARIES = ("TZ",)
"""What also a program reads whose configuration is the library's own."""


def _require_reader(component: Component, name: str) -> None:
    if component.spec.settings is not Settings.PROXY or name in _READ_BY_LIBRARIES:
        return
    raise ValueError(
        f"environment of {component}: nobody reads {name}, since {component.spec.settings} has no variables "
        f"and dify_cdk writes its configuration; only {', '.join(_READ_BY_LIBRARIES)} can be set"
    )


_GUNICORN_TRUST = ("--forwarded-allow-ips", "--forwarder-headers")
_GUNICORN_FILE = "--config"  # may set the same


def require_free(component: Component, extras: Mapping[str, object], context: Context) -> None:
    """Check the variables a user adds.

    Sizes and habits are free. Variables for limits that the frontend does not impose may be set as well:
    Dify's defaults apply otherwise.

    Raises:
        ValueError: If a name is one the library sets, is not a variable name, or is read by nobody; the
            message names the argument to use instead, or says why there is none. Or if a value would open
            what another one closes.
    """
    reserved = {row.name: row for row in TABLE if component in row.components}
    for name, value in extras.items():
        if not name or "=" in name or any(c.isspace() for c in name):
            raise ValueError(f"environment of {component}: {name!r} is not a variable name")
        _require_reader(component, name)
        row = reserved.get(name.upper())
        if row is not None and not _is_free(row, context):
            _refuse(component, name, row)
        if row is not None and name != row.name:
            raise ValueError(f"environment of {component}: write {row.name}, got {name!r}")
        _require_safe(component, name, value, context)


def _refuse(component: Component, name: str, row: Row) -> NoReturn:
    if isinstance(row.instead, Argument):
        raise ValueError(f"environment of {component}: {name} is set by dify_cdk, use {row.instead}")
    raise ValueError(
        f"environment of {component}: {name} is set by dify_cdk and cannot be changed: {row.instead}"
    )


def _is_trust(argument: str) -> bool:
    """Whether gunicorn may read one of those flags: ``argparse`` takes every abbreviation that is unique."""
    flag = argument.partition("=")[0]
    if argument.startswith("-c"):
        return True
    return len(flag) > len("--") and any(one.startswith(flag) for one in (*_GUNICORN_TRUST, _GUNICORN_FILE))


def _require_safe(component: Component, name: str, value: object, context: Context) -> None:
    """Values that depend on others."""
    if not isinstance(value, str):
        return
    if name == "GUNICORN_CMD_ARGS" and any(map(_is_trust, shlex.split(value))):
        flags = ", ".join((*_GUNICORN_TRUST, _GUNICORN_FILE))
        raise ValueError(
            f"environment of {component}: GUNICORN_CMD_ARGS must hold none of {flags}: a client could call "
            f"any path of api by a header, got {value!r}"
        )
    prefix = f"{cache_users.PLUGIN_PREFIX}:"
    if name == "REDIS_KEY_PREFIX" and f"{value.strip()}:".startswith(prefix):
        raise ValueError(
            f"environment of {component}: {name} must not begin with {prefix[:-1]}: plugins may read and "
            f"write all keys that do, got {value!r}"
        )
    timeout = context.options.get("WORKER_TIMEOUT")
    if name == "CODE_EXECUTION_READ_TIMEOUT" and timeout and value.isdecimal() and int(value) <= int(timeout):
        raise ValueError(
            f"environment of {component}: {name} must be more than the {timeout} seconds of "
            f"Sandbox.timeout_seconds, got {value!r}"
        )
