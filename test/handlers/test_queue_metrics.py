"""The look at the queue: what it asks, what it makes of the answers, and that a failure is never a zero."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import time
from fnmatch import fnmatchcase
from typing import Any

import pytest
import queue_metrics
from hypothesis import given
from hypothesis import strategies as st
from queue_metrics import Broker, BrokerError, Look, count_workers, document, look, look_at_cache

ENVIRONMENT = {
    "CACHE_HOST": "master.cache.example",
    "CACHE_PORT": "6379",
    "BROKER_DATABASE": "1",
    "CACHE_USER": "dify",
    "CACHE_PASSWORD_ARN": "arn:password",
    "NAMESPACE": "Dify",
    "DIMENSION": "Cache",
    "DIMENSION_VALUE": "one",
    "WAITING": "Waiting",
    "WORKERS": "Workers",
    "WAITING_PER_WORKER": "PerWorker",
}
WORKER = "id=3 addr=10.0.1.5:50108 name= age=8 flags=b db=1 sub=0 cmd=brpop user=default lib-name=redis-py"
FULL = WORKER.replace("flags=b", "flags=N")
OTHERS = [
    WORKER.replace("db=1", "db=0"),
    WORKER.replace("db=1", "db=11"),
    WORKER.replace("cmd=brpop", "cmd=psubscribe"),
    WORKER.replace("cmd=brpop", "cmd=publish"),
    WORKER.replace("cmd=brpop", "cmd=client|list"),
]


def told(*answers: bytes) -> Broker:
    """A broker that gives these answers, whatever it is asked."""
    return Broker(lambda data: None, io.BytesIO(b"".join(answers)))


def written(value: Any) -> bytes:
    """An answer as the server writes it."""
    if isinstance(value, list):
        return b"*%d\r\n" % len(value) + b"".join(map(written, value))
    if isinstance(value, int):
        return b":%d\r\n" % value
    return b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)


class Keys:
    """A server with lists and hashes, which shows its keys on several pages, some of them twice."""

    def __init__(self, lists: dict[str, int], hashes: dict[str, int], clients: list[str]) -> None:
        self.lists, self.hashes, self.clients = lists, hashes, clients
        self.answers = io.BytesIO()

    def receive(self, data: bytes) -> None:
        words = [part.decode() for part in data.split(b"\r\n")[2::2]]
        self.answers = io.BytesIO(written(self.answer(*words)))

    def readline(self) -> bytes:
        return self.answers.readline()

    def read(self, count: int) -> bytes:
        return self.answers.read(count)

    def answer(self, command: str, *arguments: str) -> Any:
        if command == "SCAN":
            return self.page(int(arguments[0]), arguments[2], arguments[-1])
        if command == "CLIENT":
            return "".join(f"{client}\n" for client in self.clients).encode()
        return {"LLEN": self.lists, "HLEN": self.hashes}[command][arguments[0]]

    def page(self, cursor: int, pattern: str, kind: str) -> list[Any]:
        names = self.lists if kind == "list" else self.hashes
        matching = [name.encode() for name in names if fnmatchcase(name, pattern)]
        following = cursor + 1 if cursor < len(matching) else 0
        return [str(following).encode(), matching[max(0, cursor - 1) : cursor + 1]]


def looked(lists: dict[str, int], hashes: dict[str, int], clients: list[str]) -> Look:
    server: Any = Keys(lists, hashes, clients)
    return look(Broker(server.receive, server), database="1")


# ---- what is counted


def test_all_lists_are_queues() -> None:
    lists = {"dataset": 2, "mail": 1, "workflow_based_app_execution": 40, "plugin\x06\x163": 1}
    assert looked(lists, {}, []) == Look(waiting=44, workers=0)


def test_an_empty_database_has_nothing_that_waits() -> None:
    assert looked({}, {}, [WORKER]) == Look(waiting=0, workers=1)


@pytest.mark.parametrize(
    ("fetched", "workers", "waiting"),
    [
        (2, 1, 11),  # full: one waits for a place, one runs
        (4, 2, 12),
        (1, 1, 10),
        (0, 2, 10),
        (4, 0, 14),  # of dead workers
        (16, 1, 25),
    ],
)
def test_of_what_is_fetched_one_for_each_worker_runs(fetched: int, workers: int, waiting: int) -> None:
    found = looked({"a": 10}, {"unacked": fetched}, [FULL] * workers)
    assert found == Look(waiting=waiting, workers=workers)


def test_names_may_begin_with_a_prefix_of_the_user_s() -> None:
    """Dify's REDIS_KEY_PREFIX."""
    found = looked({"mine:mail": 3}, {"mine:unacked": 2, "mine:unacked_of_others": 9}, [])
    assert found == Look(waiting=5, workers=0)


def test_workers_are_the_clients_that_fetch_jobs_from_the_database() -> None:
    clients = "".join(f"{client}\n" for client in [WORKER, *OTHERS, FULL])
    assert count_workers(clients, "1") == 2
    assert count_workers("", "1") == 0


# ---- what is written


def test_the_metrics_are_in_the_embedded_format() -> None:
    found = document(Look(waiting=9, workers=2), ENVIRONMENT, millis=1750000000000)
    assert found == {
        "_aws": {
            "Timestamp": 1750000000000,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Dify",
                    "Dimensions": [["Cache"]],
                    "Metrics": [
                        {"Name": "Waiting", "Unit": "Count"},
                        {"Name": "Workers", "Unit": "Count"},
                        {"Name": "PerWorker", "Unit": "Count"},
                    ],
                }
            ],
        },
        "Cache": "one",
        "Waiting": 9,
        "Workers": 2,
        "PerWorker": 4.5,
    }


def test_without_a_worker_nothing_is_said_about_each() -> None:
    found = document(Look(waiting=9, workers=0), ENVIRONMENT, millis=0)
    assert (found["Waiting"], found["Workers"]) == (9, 0)
    assert "PerWorker" not in json.dumps(found)


# ---- failures


class Password:
    """What reads the password, and can forget it."""

    def __init__(self) -> None:
        self.forgotten = 0

    def __call__(self, arn: str) -> str:
        assert arn == ENVIRONMENT["CACHE_PASSWORD_ARN"]
        return "secret"

    def cache_clear(self) -> None:
        self.forgotten += 1


class Peer:
    """A server that sends this and nothing more, and closes the connection unless it stays silent."""

    def __init__(self, answers: bytes | None, *, stays: bool = False) -> None:
        self.answers, self.stays = answers, stays
        self.held: list[socket.socket] = []

    def connect(self, host: str, port: int) -> socket.socket:
        assert (host, port) == ("master.cache.example", 6379)
        if self.answers is None:
            raise ConnectionRefusedError(host)
        ours, theirs = socket.socketpair()
        self.held.append(theirs)
        theirs.sendall(self.answers)
        if not self.stays:
            theirs.shutdown(socket.SHUT_WR)
        return ours

    def close(self) -> None:
        for connection in self.held:
            connection.close()


FAILURES: dict[str, tuple[bytes | None, type[Exception], str]] = {
    "nobody listens": (None, OSError, "master.cache.example"),
    "closed at once": (b"", BrokerError, "AUTH: the cache has closed the connection"),
    "closed in a line": (b"+OK\r\n+O", BrokerError, "SELECT: .*closed"),
    "closed in a text": (b"+OK\r\n+OK\r\n*2\r\n$1\r\n0\r\n*1\r\n$9\r\nmai", BrokerError, "SCAN: .*closed"),
    "wrong password": (b"-WRONGPASS invalid\r\n", BrokerError, "^AUTH: WRONGPASS invalid$"),
    "a failover": (b"+OK\r\n+OK\r\n-LOADING soon\r\n", BrokerError, "^SCAN: LOADING soon$"),
    "another protocol": (b"HTTP/1.1 400 Bad Request\r\n", BrokerError, "not Redis's protocol"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_fails_when_it_cannot_look_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answers, kind, text = FAILURES[name]
    password = Password()
    for variable, value in ENVIRONMENT.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(queue_metrics, "_password", password)
    with contextlib.closing(Peer(answers)) as peer:
        monkeypatch.setattr(queue_metrics, "open_tls", peer.connect)
        with pytest.raises(kind, match=text) as failure:
            queue_metrics.on_schedule({}, None)
    assert "secret" not in str(failure.value)
    assert capsys.readouterr().out == ""
    assert password.forgotten == 1


def test_fails_when_the_cache_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_metrics, "SECONDS", 0.2)
    begun = time.monotonic()
    with contextlib.closing(Peer(b"+OK\r\n", stays=True)) as peer, pytest.raises(TimeoutError):
        look_at_cache(ENVIRONMENT, password="x", connect=peer.connect)
    assert time.monotonic() - begun < 5


# ---- the protocol


@given(st.recursive(st.integers() | st.binary() | st.none(), lambda inner: st.lists(inner, max_size=4)))
def test_every_answer_is_read_as_it_was_written(value: Any) -> None:
    assert told(written(value)).ask("ANY") == value


def test_a_command_is_sent_as_the_protocol_says() -> None:
    sent: list[bytes] = []
    broker = Broker(sent.append, io.BytesIO(b"+OK\r\n:3\r\n"))
    assert broker.ask("SELECT", "1") == b"OK"
    assert broker.ask("LLEN", b"a\r\nb") == 3
    assert b"".join(sent) == b"*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n*2\r\n$4\r\nLLEN\r\n$4\r\na\r\nb\r\n"
