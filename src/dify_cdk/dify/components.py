"""The components of a Dify installation, one row each: what runs, where it listens, and who calls whom."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Component(StrEnum):
    """A component of Dify 1.17: one kind of container, which has its own image, size and variables."""

    API = "api"
    """Answers the console, published apps and the API. Runs in the frontend."""
    API_WEBSOCKET = "api_websocket"
    """Connects people who edit a workflow together. Runs in a frontend with ``collaboration``."""
    WEB = "web"
    """Serves the pages. Runs in the frontend."""
    WORKER = "worker"
    """Runs jobs: documents, triggers, and streamed answers of workflows and chatflows."""
    BEAT = "beat"
    """Starts scheduled jobs."""
    PLUGIN_DAEMON = "plugin_daemon"
    """Installs and runs plugins, which call models and tools."""
    SANDBOX = "sandbox"
    """Runs the code of workflows."""
    SSRF_PROXY = "ssrf_proxy"
    """Passes HTTP requests of workflows and code on, but not to private addresses."""
    MIGRATION = "migration"
    """Brings the database schema up to date before a release runs."""

    @property
    def spec(self) -> ComponentSpec:
        """The row of the table that describes it."""
        return SPECS[self]

    @property
    def port(self) -> int:
        """The TCP port it listens on.

        Raises:
            ValueError: If it only calls others.
        """
        if self.spec.port is None:
            raise ValueError(f"component {self} listens on no port")
        return self.spec.port

    @property
    def construct_id(self) -> str:
        """The construct id of this component's parts, for example ``PluginDaemon``."""
        return "".join(part.capitalize() for part in self.value.split("_"))

    @property
    def dns_label(self) -> str:
        """The component's name in the private DNS namespace: no underscore, which host names may not have."""
        return self.value.replace("_", "-")


class ReleaseTag(StrEnum):
    """The field of ``DifyRelease`` that holds the tag of a component's image."""

    VERSION = "version"
    SANDBOX = "sandbox"
    PLUGIN_DAEMON = "plugin_daemon"
    SSRF_PROXY = "ssrf_proxy"


class Settings(StrEnum):
    """Which program reads a component's variables: components with the same one share a base of them."""

    BACKEND = "Dify's api image"
    WEB = "Next.js"
    PLUGIN_DAEMON = "the plugin daemon"
    SANDBOX = "the sandbox"
    PROXY = "squid"


class Host(StrEnum):
    """Which construct runs a component."""

    WORKERS = "DifyWorkers"
    FRONTEND = "the frontend"
    MIGRATION = "the migration of DifyWorkers"


class Replicas(StrEnum):
    """How many tasks of a component may run."""

    SCALABLE = "as many as its load asks for"
    FIXED = "a fixed number: its CPU says little about its load"
    ONE = "one, beside its successor during a deployment"
    NEVER_TWO = "one, which ends before its successor starts"


class EgressRule(StrEnum):
    """Where a component may open connections to, beside those who let it in; in a closed network only inside.

    Port 443 is open to all: Fargate fetches image, secrets and logs through the task's own interface.
    """

    ANYWHERE = "any port, for models and tools of the user's choice"
    NETWORK = "the VPC, and port 443"
    PROXY = "the SSRF proxy, and port 443"


class Objects(StrEnum):
    """Which objects of the bucket a component reads, writes, deletes and lists.

    Dify's S3 storage asks for the bucket when it starts, in every component that runs its code, and goes on
    if that is forbidden (``extensions/storage/aws_s3_storage.py`` of dify 1.14.2, commit ad96501e0).
    """

    ALL = "all of them"
    OF_PLUGINS = "those below the prefixes of the plugin daemon"
    NONE = "none"


class HealthClient(StrEnum):
    """What a container asks itself with."""

    CURL = "curl"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class HttpHealth:
    """A path that the component answers with 200 by itself, asking nobody else.

    Attributes:
        path: Path on the component's port; load balancers ask for it as well.
        client: A program in the image that can ask.
    """

    path: str
    client: HealthClient


@dataclass(frozen=True, slots=True)
class BrokerHealth:
    """Whether the container is connected to Celery's broker.

    Attributes:
        unless: Variables with which it may not be for long, although it is well.
    """

    unless: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ComponentSpec:
    """All that is known of one component; nothing has a default, so that a new one cannot be half described.

    Attributes:
        repository: Image on Docker Hub, without a tag.
        tag: Where its tag is.
        settings: What reads its variables.
        port: TCP port it listens on; None if it only calls others.
        health: How its container, and a load balancer, know that it is well; None for no check.
        private_name: Whether it has a name in private DNS.
        called_by: Who may open a connection to it inside the network; nobody else can.
        uses_data: Whether it talks to database and cache.
        objects: Which objects of the bucket are its own business.
        egress: Where it may open connections to.
        host: Who runs it.
        option: The argument of its host without which it does not run; None if it always does.
        starts_after: What a new revision waits for: a component whose new revision has to be there; None if
            it may be there before all others.
        replicas: How many tasks may run.
        cpu_units: CPU units of a task by default, enough for a handful of users.
        memory_mib: Its memory in MiB, likewise.
        x86_only: Whether it runs on x86-64 whatever ``architecture`` says.
        init_process: Whether the container needs an init process, as where its own process 1 ignores signals.
        no_exec: Why ECS Exec must not open its containers; None if it may.
        without_tasks: What users notice while no task runs; None if work is only done later.
    """

    repository: str
    tag: ReleaseTag
    settings: Settings
    port: int | None
    health: HttpHealth | BrokerHealth | None
    private_name: bool
    called_by: tuple[Component, ...]
    uses_data: bool
    objects: Objects
    egress: EgressRule
    host: Host
    option: str | None
    starts_after: Component | None
    replicas: Replicas
    cpu_units: int
    memory_mib: int
    x86_only: bool
    init_process: bool
    no_exec: str | None
    without_tasks: str | None


_API_HEALTH = HttpHealth("/health", HealthClient.CURL)
"""Reads neither database nor cache (``extensions/ext_app_metrics.py`` of dify 1.14.2, commit ad96501e0)."""

_BEAT_HABITS = (
    *("ENABLE_WORKFLOW_SCHEDULE_POLLER_TASK", "WORKFLOW_SCHEDULE_POLLER_INTERVAL"),
    *("ENABLE_HUMAN_INPUT_TIMEOUT_TASK", "HUMAN_INPUT_TIMEOUT_TASK_INTERVAL"),
    *("ENABLE_TRIGGER_PROVIDER_REFRESH_TASK", "TRIGGER_PROVIDER_REFRESH_INTERVAL"),
)
"""What makes beat call the broker every minute; without, it may not be connected for a day."""

SPECS: Mapping[Component, ComponentSpec] = MappingProxyType(
    {
        Component.API: ComponentSpec(
            repository="langgenius/dify-api",
            tag=ReleaseTag.VERSION,
            settings=Settings.BACKEND,
            port=5001,
            health=_API_HEALTH,
            private_name=True,
            # web renders pages on the server, the plugin daemon uses /inner/api, and file links inside the
            # network (INTERNAL_FILES_URL) are read by the worker and by api itself.
            called_by=(Component.WEB, Component.PLUGIN_DAEMON, Component.WORKER, Component.API),
            uses_data=True,
            objects=Objects.ALL,
            egress=EgressRule.ANYWHERE,
            host=Host.FRONTEND,
            option=None,
            starts_after=Component.MIGRATION,
            replicas=Replicas.SCALABLE,
            cpu_units=512,
            memory_mib=2048,
            x86_only=False,
            init_process=False,
            no_exec=None,
            without_tasks="nobody can use Dify",
        ),
        Component.API_WEBSOCKET: ComponentSpec(
            repository="langgenius/dify-api",
            tag=ReleaseTag.VERSION,
            settings=Settings.BACKEND,
            port=5001,
            health=_API_HEALTH,
            # Reached through a frontend only.
            private_name=False,
            called_by=(),
            uses_data=True,
            # It relays what editors say to one another; pictures of people are links that api answers.
            objects=Objects.NONE,
            egress=EgressRule.NETWORK,
            host=Host.FRONTEND,
            option="collaboration",
            starts_after=Component.MIGRATION,
            replicas=Replicas.FIXED,
            cpu_units=256,
            memory_mib=1024,
            x86_only=False,
            init_process=False,
            no_exec=None,
            without_tasks=None,
        ),
        Component.WEB: ComponentSpec(
            repository="langgenius/dify-web",
            tag=ReleaseTag.VERSION,
            settings=Settings.WEB,
            port=3000,
            # Not a page: the layout of pages is rendered with an answer of api.
            health=HttpHealth("/favicon.ico", HealthClient.NODE),
            private_name=True,
            called_by=(),
            uses_data=False,
            objects=Objects.NONE,
            egress=EgressRule.NETWORK,
            host=Host.FRONTEND,
            option=None,
            # Its pages ask api for what comes with them.
            starts_after=Component.API,
            replicas=Replicas.SCALABLE,
            cpu_units=256,
            memory_mib=1024,
            x86_only=False,
            init_process=False,
            no_exec=None,
            without_tasks="nobody can open Dify",
        ),
        Component.WORKER: ComponentSpec(
            repository="langgenius/dify-api",
            tag=ReleaseTag.VERSION,
            settings=Settings.BACKEND,
            port=None,
            health=BrokerHealth(),
            private_name=False,
            called_by=(),
            uses_data=True,
            objects=Objects.ALL,
            egress=EgressRule.ANYWHERE,
            host=Host.WORKERS,
            option=None,
            starts_after=Component.MIGRATION,
            replicas=Replicas.SCALABLE,
            cpu_units=1024,
            memory_mib=2048,
            x86_only=False,
            init_process=False,
            no_exec=None,
            without_tasks=None,
        ),
        Component.BEAT: ComponentSpec(
            repository="langgenius/dify-api",
            tag=ReleaseTag.VERSION,
            settings=Settings.BACKEND,
            port=None,
            health=BrokerHealth(unless=_BEAT_HABITS),
            private_name=False,
            called_by=(),
            uses_data=True,
            # It only queues what the worker does.
            objects=Objects.NONE,
            egress=EgressRule.NETWORK,
            host=Host.WORKERS,
            option="scheduler",
            starts_after=Component.MIGRATION,
            replicas=Replicas.NEVER_TWO,
            cpu_units=256,
            memory_mib=1024,
            x86_only=False,
            init_process=False,
            no_exec=None,
            without_tasks=None,
        ),
        Component.PLUGIN_DAEMON: ComponentSpec(
            repository="langgenius/dify-plugin-daemon",
            tag=ReleaseTag.PLUGIN_DAEMON,
            settings=Settings.PLUGIN_DAEMON,
            port=5002,
            health=HttpHealth("/health/check", HealthClient.CURL),
            private_name=True,
            # One of Dify's one-off commands after an upgrade asks for the installed plugins.
            called_by=(Component.API, Component.WORKER, Component.MIGRATION),
            uses_data=True,
            objects=Objects.OF_PLUGINS,
            egress=EgressRule.ANYWHERE,
            host=Host.WORKERS,
            option=None,
            # The migration's one-off commands ask it for the installed plugins.
            starts_after=None,
            replicas=Replicas.ONE,
            # Installs two plugins at a time, each with its Python packages, against a clock.
            cpu_units=1024,
            memory_mib=2048,
            x86_only=False,
            init_process=False,
            no_exec=None,
            without_tasks="no model and no tool answers until another task has installed every plugin",
        ),
        Component.SANDBOX: ComponentSpec(
            repository="langgenius/dify-sandbox",
            tag=ReleaseTag.SANDBOX,
            settings=Settings.SANDBOX,
            port=8194,
            # Outside its limit of concurrent runs (``internal/middleware`` of dify-sandbox 0.2.15).
            health=HttpHealth("/health", HealthClient.CURL),
            private_name=True,
            called_by=(Component.API, Component.WORKER),
            uses_data=False,
            objects=Objects.NONE,
            egress=EgressRule.PROXY,
            host=Host.WORKERS,
            option=None,
            starts_after=Component.MIGRATION,
            replicas=Replicas.FIXED,
            cpu_units=256,
            memory_mib=512,
            # Where its list of syscalls is complete.
            x86_only=True,
            # Its start script is a shell that stays process 1 and ignores the signal to stop.
            init_process=True,
            no_exec="it runs other people's code and must have no permissions",
            without_tasks=None,
        ),
        Component.SSRF_PROXY: ComponentSpec(
            repository="ubuntu/squid",
            tag=ReleaseTag.SSRF_PROXY,
            settings=Settings.PROXY,
            port=3128,
            health=None,
            private_name=True,
            called_by=(Component.API, Component.WORKER, Component.SANDBOX),
            uses_data=False,
            objects=Objects.NONE,
            egress=EgressRule.ANYWHERE,
            host=Host.WORKERS,
            option=None,
            starts_after=None,
            replicas=Replicas.FIXED,
            cpu_units=256,
            memory_mib=512,
            x86_only=False,
            init_process=False,
            no_exec="it guards the network and must have no permissions",
            without_tasks=None,
        ),
        Component.MIGRATION: ComponentSpec(
            repository="langgenius/dify-api",
            tag=ReleaseTag.VERSION,
            settings=Settings.BACKEND,
            port=None,
            health=None,
            private_name=False,
            called_by=(),
            uses_data=True,
            # Schema and one-off commands encrypt with keys of the database, and decrypt nothing.
            objects=Objects.NONE,
            egress=EgressRule.NETWORK,
            host=Host.MIGRATION,
            option=None,
            starts_after=None,
            replicas=Replicas.ONE,
            cpu_units=512,
            memory_mib=2048,
            x86_only=False,
            init_process=False,
            no_exec="it is over before anybody could look at it",
            without_tasks=None,
        ),
    }
)
"""The one row of every component."""


def require_rows(components: Iterable[Component], specs: Mapping[Component, ComponentSpec]) -> None:
    """Check that every component is described.

    Raises:
        TypeError: If one has no row.
    """
    for component in components:
        if component not in specs:
            raise TypeError(
                f"Component.{component.name} has no row in SPECS: describe it with a ComponentSpec"
            )


require_rows(Component, SPECS)

BACKEND_COMPONENTS = tuple(one for one in Component if one.spec.settings is Settings.BACKEND)
"""The components that run Dify's api image and read one settings class: they share one environment base."""

NAMED_COMPONENTS = tuple(one for one in Component if one.spec.private_name)
"""Components with a name in private DNS."""


def components_with(*replicas: Replicas) -> tuple[Component, ...]:
    """The components of which as many tasks may run."""
    return tuple(one for one in Component if one.spec.replicas in replicas)


def hosted_by(host: Host, options: Collection[str] = ()) -> tuple[Component, ...]:
    """The components that a construct runs.

    Args:
        host: Which construct.
        options: Names of its arguments that ask for a component.
    """
    return tuple(
        one
        for one in Component
        if one.spec.host is host and (one.spec.option is None or one.spec.option in options)
    )


def private_host(component: Component, namespace: str) -> str:
    """The full private name of a component: bare names do not resolve on Fargate.

    Args:
        component: A component of ``NAMED_COMPONENTS``.
        namespace: Name of the private DNS namespace, may be a token.

    Raises:
        ValueError: If the component has no private name.
    """
    if component not in NAMED_COMPONENTS:
        raise ValueError(
            f"component {component} has no private name, only {', '.join(NAMED_COMPONENTS)} have one"
        )
    return f"{component.dns_label}.{namespace}"


def private_url(component: Component, namespace: str) -> str:
    """``http://`` URL of a component inside the network, without a trailing slash."""
    return f"http://{private_host(component, namespace)}:{component.port}"
