"""The rules of Dify's entry point; whoever changes them compares with that file, see ``dify_start``."""

from __future__ import annotations

import pytest

from dify_start import QUEUES, WEBSOCKET_CLASS, command_line

API = [
    *("gunicorn", "--bind", "0.0.0.0:5001", "--workers", "1", "--worker-class", WEBSOCKET_CLASS),
    *("--worker-connections", "10", "--timeout", "200", "app:socketio_app"),
]
WORKER = [
    *("celery", "-A", "celery_entrypoint.celery", "worker", "-P", "gevent", "-c", "1"),
    *("--max-tasks-per-child", "50", "--loglevel", "INFO", "-Q", ",".join(QUEUES), "--prefetch-multiplier=1"),
]
BEAT = ["celery", "-A", "app.celery", "beat", "--loglevel", "INFO"]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, API), ({"MODE": "api"}, API), ({"MODE": "worker"}, WORKER), ({"MODE": "beat"}, BEAT)],
    ids=["nothing", "api", "worker", "beat"],
)
@pytest.mark.parametrize("empty", [False, True], ids=["unset", "empty"])
def test_without_variables_it_is_the_image_s_own(
    environment: dict[str, str], expected: list[str], empty: bool
) -> None:
    names = ("SERVER_WORKER_CLASS", "SERVER_WORKER_CONNECTIONS", "DIFY_PORT", "CELERY_WORKER_AMOUNT")
    others = dict.fromkeys(names, "") if empty else {}
    assert command_line({**environment, **others}) == expected


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("SERVER_WORKER_AMOUNT", "--workers"),
        ("SERVER_WORKER_CLASS", "--worker-class"),
        ("SERVER_WORKER_CONNECTIONS", "--worker-connections"),
        ("GUNICORN_TIMEOUT", "--timeout"),
    ],
)
def test_each_variable_of_api_is_one_option(name: str, option: str) -> None:
    found = command_line({"MODE": "api", name: "7"})
    assert found[found.index(option) + 1] == "7"
    assert len(found) == len(API)


def test_where_api_listens() -> None:
    found = command_line({"MODE": "api", "DIFY_BIND_ADDRESS": "127.0.0.1", "DIFY_PORT": "80"})
    assert found[1:3] == ["--bind", "127.0.0.1:80"]


@pytest.mark.parametrize(
    ("older", "newer", "option"),
    [
        ("CELERY_WORKER_AMOUNT", "CELERY_WORKER_CONCURRENCY", "-c"),
        ("CELERY_WORKER_CLASS", "CELERY_WORKER_POOL", "-P"),
        ("CELERY_QUEUES", "CELERY_WORKER_QUEUES", "-Q"),
    ],
)
def test_newer_names_of_the_worker_s_variables_win(older: str, newer: str, option: str) -> None:
    def value(**variables: str) -> str:
        found = command_line({"MODE": "worker", **variables})
        return found[found.index(option) + 1]

    assert value(**{older: "3"}) == "3"
    assert value(**{older: "3", newer: "4"}) == "4"
    assert value(**{older: "3", newer: ""}) == "3"


def test_what_is_not_quoted_falls_apart() -> None:
    assert command_line({"SERVER_WORKER_AMOUNT": "1 --preload"})[3:6] == ["--workers", "1", "--preload"]


@pytest.mark.parametrize(
    "environment",
    [{"MODE": "migration"}, {"MODE": "job"}, {"DEBUG": "true"}, {"CELERY_AUTO_SCALE": "true"}],
)
def test_fails_when_it_is_something_else(environment: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="only api, worker and beat are repeated here"):
        command_line(environment)
