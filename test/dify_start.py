"""The command lines that Dify's api image starts its servers with, from a container's environment.

The rules were read from ``api/docker/entrypoint.sh`` of langgenius/dify at commit ad96501e0 (1.14.2). What is
not repeated here, because no template asks for it, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

Environment = Mapping[str, str]

QUEUES = (
    *("api_token", "dataset", "dataset_summary", "priority_dataset", "priority_pipeline", "pipeline"),
    *("mail", "ops_trace", "app_deletion", "plugin", "workflow_storage", "conversation", "workflow"),
    *("schedule_poller", "schedule_executor", "triggered_workflow_dispatcher", "trigger_refresh_publisher"),
    *("trigger_refresh_executor", "retention", "workflow_based_app_execution"),
)
"""What the worker of a self-hosted Dify listens to."""

WEBSOCKET_CLASS = "geventwebsocket.gunicorn.workers.GeventWebSocketWorker"

_NOT_REPEATED = {
    "MIGRATION_ENABLED": "true",
    "DEBUG": "true",
    "CELERY_AUTO_SCALE": "true",
    "EDITION": "CLOUD",
}


def command_line(environment: Environment) -> list[str]:
    """What the entry point becomes: api, worker or beat.

    Args:
        environment: The container's variables.

    Raises:
        ValueError: If the variables ask for something else, such as a migration.
    """
    mode = environment.get("MODE", "")
    unknown = [name for name, value in _NOT_REPEATED.items() if environment.get(name) == value]
    if mode in ("migration", "job") or unknown:
        raise ValueError(f"only api, worker and beat are repeated here, got {['MODE', *unknown]} of {mode!r}")
    return {"worker": _worker, "beat": _beat}.get(mode, _api)(environment)


def _api(environment: Environment) -> list[str]:
    address = _first(environment, "DIFY_BIND_ADDRESS", default="0.0.0.0")
    port = _first(environment, "DIFY_PORT", default="5001")
    return [
        *("gunicorn", "--bind", f"{address}:{port}"),
        *("--workers", *_words(environment, "SERVER_WORKER_AMOUNT", default="1")),
        *("--worker-class", *_words(environment, "SERVER_WORKER_CLASS", default=WEBSOCKET_CLASS)),
        *("--worker-connections", *_words(environment, "SERVER_WORKER_CONNECTIONS", default="10")),
        *("--timeout", *_words(environment, "GUNICORN_TIMEOUT", default="200")),
        "app:socketio_app",
    ]


def _worker(environment: Environment) -> list[str]:
    jobs = _words(environment, "CELERY_WORKER_CONCURRENCY", "CELERY_WORKER_AMOUNT", default="1")
    queues = _words(environment, "CELERY_WORKER_QUEUES", "CELERY_QUEUES", default=",".join(QUEUES))
    prefetched = _first(environment, "CELERY_PREFETCH_MULTIPLIER", default="1")
    return [
        *("celery", "-A", "celery_entrypoint.celery", "worker"),
        *("-P", *_words(environment, "CELERY_WORKER_POOL", "CELERY_WORKER_CLASS", default="gevent")),
        *("-c", *jobs),
        *("--max-tasks-per-child", *_words(environment, "MAX_TASKS_PER_CHILD", default="50")),
        *("--loglevel", *_words(environment, "LOG_LEVEL", default="INFO")),
        *("-Q", *queues),
        *f"--prefetch-multiplier={prefetched}".split(),
    ]


def _beat(environment: Environment) -> list[str]:
    level = _words(environment, "LOG_LEVEL", default="INFO")
    return ["celery", "-A", "app.celery", "beat", "--loglevel", *level]


def _first(environment: Environment, *names: str, default: str) -> str:
    """The first variable that is set; an empty one is not."""
    return next((environment[name] for name in names if environment.get(name)), default)


def _words(environment: Environment, *names: str, default: str) -> list[str]:
    """The same, taken apart at blanks, since the shell does so where nothing is quoted."""
    return _first(environment, *names, default=default).split()
