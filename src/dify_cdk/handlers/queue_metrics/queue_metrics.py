"""Looks at Dify's job queue, which is in the cache, and writes what it finds as metrics into its log.

CloudWatch takes the metrics out of the log (embedded metric format). Lambda delivers the log itself and not
through the function's network, so that this works in a closed network as well and needs no permission.

A look that fails writes no metric, for a zero would look like health: it ends with an error in the log.

What Celery keeps in the cache, measured with celery 5.6.3, kombu 5.6.2 and 5.7.0, and redis 7.0:

- A queue is a list, and every list of the database is counted. The sets ``_kombu.binding.*`` name the
  queues too, but in a cache that was emptied they are missing until a worker connects, while api queues on.
- What a worker has fetched and not confirmed yet is in the hash ``unacked``. A worker of Dify (gevent) with
  all places taken holds one job that waits for a place, and often one that runs and is confirmed later: one
  for each connected worker does not count. What a dead worker held stays there until another one takes it.
- Each worker has one connection that fetches jobs, with ``BRPOP`` as its last command, also while all of its
  places are taken. Those who only queue jobs, beat among them, have none.

So of the waiting jobs one may be missing for each worker that is full. One that is put off, such as a retry
in a minute, counts as waiting.

Environment::

    CACHE_HOST, CACHE_PORT      the cache, with TLS
    BROKER_DATABASE             number of the database that holds the queue
    CACHE_USER                  who logs in
    CACHE_PASSWORD_ARN          secret with the user's password as plain text
    NAMESPACE                   of the metrics
    DIMENSION, DIMENSION_VALUE  of the metrics: tells installations apart
    WAITING, WORKERS, WAITING_PER_WORKER    names of the metrics
"""

from __future__ import annotations

import functools
import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

SECONDS = 3.0
"""Longest wait for the network, each time; Lambda ends the whole look."""

_PAGE = 1000  # keys that one SCAN looks at

Connect = Callable[[str, int], socket.socket]


class BrokerError(Exception):
    """The cache refuses, or does not speak its protocol."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What was found.

    Attributes:
        waiting: Jobs that wait for a place.
        workers: Workers that are connected.
    """

    waiting: int
    workers: int


def on_schedule(event: object, context: object) -> None:
    """Look once."""
    try:
        password = _password(os.environ["CACHE_PASSWORD_ARN"])
        found = look_at_cache(os.environ, password=password, connect=open_tls)
    except Exception:
        _password.cache_clear()  # it may have been rotated: the next look reads it again
        raise
    # Not by a logger: CloudWatch finds metrics only in a line that is JSON as a whole.
    print(json.dumps(document(found, os.environ, millis=int(time.time() * 1000))), flush=True)


def document(found: Look, environment: Mapping[str, str], *, millis: int) -> dict[str, Any]:
    """The metrics in the embedded metric format; jobs per worker only where there is a worker.

    See https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    values: dict[str, float] = {
        environment["WAITING"]: found.waiting,
        environment["WORKERS"]: found.workers,
    }
    if found.workers:
        values[environment["WAITING_PER_WORKER"]] = found.waiting / found.workers
    directive = {
        "Namespace": environment["NAMESPACE"],
        "Dimensions": [[environment["DIMENSION"]]],
        "Metrics": [{"Name": name, "Unit": "Count"} for name in values],
    }
    return {
        "_aws": {"Timestamp": millis, "CloudWatchMetrics": [directive]},
        environment["DIMENSION"]: environment["DIMENSION_VALUE"],
        **values,
    }


def open_tls(host: str, port: int) -> socket.socket:
    """A connection to a server whose certificate is verified."""
    plain = socket.create_connection((host, port), timeout=SECONDS)
    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def look_at_cache(environment: Mapping[str, str], *, password: str, connect: Connect) -> Look:
    """Log in and look.

    Args:
        environment: Where the cache is.
        password: The password of the user.
        connect: Opens a connection.

    Raises:
        OSError: If the cache cannot be reached or does not answer in time.
        BrokerError: If it refuses.
    """
    with (
        connect(environment["CACHE_HOST"], int(environment["CACHE_PORT"])) as connection,
        connection.makefile("rb") as answers,
    ):
        connection.settimeout(SECONDS)
        broker = Broker(connection.sendall, answers)
        broker.ask("AUTH", environment["CACHE_USER"], password)
        broker.ask("SELECT", environment["BROKER_DATABASE"])
        return look(broker, database=environment["BROKER_DATABASE"])


def look(broker: Broker, *, database: str) -> Look:
    """Count jobs and workers in a database."""
    queued = sum(broker.ask("LLEN", name) for name in _keys(broker, "list"))
    # By its end: Dify can be told to begin all names with a prefix.
    fetched = sum(broker.ask("HLEN", name) for name in _keys(broker, "hash", "*unacked"))
    workers = count_workers(broker.ask("CLIENT", "LIST").decode(), database)
    return Look(waiting=queued + max(0, fetched - workers), workers=workers)


def count_workers(clients: str, database: str) -> int:
    """How many of the clients fetch jobs from a database, one client a line with words like ``db=1``."""
    wanted = {f"db={database}", "cmd=brpop"}
    return sum(wanted <= set(line.split()) for line in clients.splitlines())


def _keys(broker: Broker, kind: str, pattern: str = "*") -> set[bytes]:
    found: set[bytes] = set()
    cursor = b"0"
    while True:
        cursor, page = broker.ask("SCAN", cursor, "MATCH", pattern, "COUNT", str(_PAGE), "TYPE", kind)
        found.update(page)
        if cursor == b"0":
            return found


class Broker:
    """One question after the other to a server that speaks Redis's protocol, version 2.

    Args:
        send: Sends all of the bytes.
        answers: What the server sends.

    See https://redis.io/docs/latest/develop/reference/protocol-spec/
    """

    def __init__(self, send: Callable[[bytes], object], answers: IO[bytes]) -> None:
        self._send = send
        self._answers = answers

    def ask(self, *words: str | bytes) -> Any:
        """The answer to a command: a number, bytes, None, or a list of these.

        Raises:
            BrokerError: If it is refused; the text holds the command's name and no argument.
        """
        encoded = [word.encode() if isinstance(word, str) else word for word in words]
        parts = [b"*%d\r\n" % len(encoded), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)]
        self._send(b"".join(parts))
        try:
            return self._answer()
        except BrokerError as error:
            raise BrokerError(f"{encoded[0].decode()}: {error}") from None

    def _answer(self) -> Any:
        line = self._answers.readline()
        kind, rest = line[:1], line[1:-2]
        if not line.endswith(b"\r\n"):
            raise BrokerError("the cache has closed the connection")
        if kind == b"-":
            raise BrokerError(rest.decode(errors="replace"))
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return self._text(int(rest))
        if kind == b"*":
            return [self._answer() for _ in range(int(rest))]
        raise BrokerError("the answer is not Redis's protocol")

    def _text(self, length: int) -> bytes | None:
        if length < 0:
            return None
        text = self._answers.read(length + len(b"\r\n"))
        if len(text) < length + len(b"\r\n"):
            raise BrokerError("the cache has closed the connection")
        return text[:length]


@functools.cache
def _password(arn: str) -> str:
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=SECONDS, read_timeout=SECONDS, retries={"mode": "standard", "total_max_attempts": 2}
    )
    answer = boto3.client("secretsmanager", config=config).get_secret_value(SecretId=arn)
    return answer["SecretString"]
