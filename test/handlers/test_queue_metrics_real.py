"""What the look at the queue finds while Dify's Celery runs on a real Redis: Debian 12's is 7.0."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import queue_metrics
from queue_metrics import BrokerError, Look, look_at_cache, open_tls

from dify_cdk.dify.cache_users import DIFY, NOBODY
from dify_cdk.dify.environment import BROKER_DATABASE
from dify_servers import Broker, api, celery
from handlers.lambda_entry import KEY, SECRET_KEY, FakeAws, serve
from handlers.lambda_entry import TOKEN as SESSION
from servers import Server, free_port, require_program

pytestmark = pytest.mark.slow

ARN = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:Token-AbCdEf"
PASSWORD = "p" * 43
USERS = {DIFY: [PASSWORD], NOBODY: [PASSWORD]}
WRONG = "w" * 43
PLACES = 3
_PATIENCE = 60


def until(happened: Callable[[], bool], found: Callable[[], object]) -> None:
    """Wait for something, at most a minute; what is found instead is the error."""
    deadline = time.monotonic() + _PATIENCE
    while not happened():
        assert time.monotonic() < deadline, found()
        time.sleep(0.1)


@dataclass(kw_only=True)
class Dify:
    """An api that queues jobs, and workers that come and go.

    Attributes:
        broker: Where the jobs are.
        port: Where api listens.
        stack: Ends all processes.
        prefix: What all names in the cache begin with, by Dify's REDIS_KEY_PREFIX. Default: nothing.
        workers: Those that run.
        rounds: How often jobs were told to end.
    """

    broker: Broker
    port: int
    stack: contextlib.ExitStack
    prefix: str = ""
    workers: list[Server] = field(default_factory=list)
    rounds: int = 0

    def start_api(self) -> None:
        """It stays connected to the broker."""
        variables = {"MODE": "api", "REDIS_KEY_PREFIX": self.prefix}
        server = api(variables, port=self.port, folder=self.broker.folder, broker=self.broker)
        self.stack.enter_context(server)
        until(self._answers, lambda: "api does not answer")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            self._ask("/")
            return True
        return False

    def _ask(self, path: str) -> None:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, _PATIENCE)) as connection:
            connection.request("GET", path)
            assert connection.getresponse().status == http.HTTPStatus.OK

    def queue(self, number: int) -> None:
        """Queue so many jobs, each of which lasts until the round ends."""
        self._ask(f"/queue?jobs={number}&until={self._end}")

    @property
    def _end(self) -> Path:
        return self.broker.folder / f"end-{self.prefix}{self.rounds}"

    def start_worker(self) -> None:
        """One more."""
        variables = {"MODE": "worker", "CELERY_WORKER_AMOUNT": str(PLACES), "REDIS_KEY_PREFIX": self.prefix}
        host = f"{self.prefix}{len(self.workers)}-{self.rounds}"
        server = celery(variables, broker=self.broker, folder=self.broker.folder, host=host)
        self.workers.append(self.stack.enter_context(server))

    def kill_worker(self) -> None:
        """End one as AWS does after two minutes."""
        self.workers.pop().kill()

    def finish_jobs(self) -> None:
        """Let all jobs of this round end, and begin another."""
        self._end.touch()
        self.rounds += 1


@contextlib.contextmanager
def dify(broker: Broker, prefix: str = "") -> Iterator[Dify]:
    with contextlib.ExitStack() as stack:
        found = Dify(broker=broker, port=free_port(), stack=stack, prefix=prefix)
        found.start_api()
        yield found


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    for name in ("redis-server", "openssl"):
        require_program(name, name)
    found = Broker(port=free_port(), folder=tmp_path_factory.mktemp("broker"), users=USERS)
    with found.server():
        yield found


@pytest.fixture(scope="module")
def running(broker: Broker) -> Iterator[Dify]:
    with dify(broker) as found:
        yield found


@pytest.fixture
def queue(running: Dify) -> Callable[[int], None]:
    """Queues so many jobs, each of which lasts until the round ends."""
    return running.queue


@pytest.fixture
def environment(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The function's environment, in which the server's certificate is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(broker.certificate))
    return {
        "CACHE_HOST": "localhost",
        "CACHE_PORT": str(broker.port),
        "BROKER_DATABASE": str(BROKER_DATABASE),
        "CACHE_USER": DIFY.name,
    }


@pytest.fixture
def look(environment: dict[str, str]) -> Callable[[], Look]:
    return lambda: look_at_cache(environment, password=PASSWORD, connect=open_tls)


def settles(look: Callable[[], Look], *, waiting: int, workers: int, more: int = 0) -> None:
    """It comes to be so, and stays: exactly without workers, up to one job too low for each of them."""

    def as_expected() -> bool:
        found = look()
        lowest = max(0, waiting - workers)
        return found.workers == workers and lowest <= found.waiting <= waiting + more

    until(as_expected, look)
    time.sleep(1.5)
    assert as_expected(), look()


@pytest.fixture
def working(running: Dify, broker: Broker) -> Iterator[Callable[[int], None]]:
    """Has so many workers running, without any job when the test begins and when it is over."""

    def have(number: int) -> None:
        while len(running.workers) > number:
            running.kill_worker()
        while len(running.workers) < number:
            running.start_worker()

    yield have
    running.finish_jobs()
    if running.workers:
        until(lambda: [broker.command(*words) for words in BUSY] == ["0", "0"], lambda: "jobs do not end")
    else:
        broker.command("FLUSHDB")


BUSY = (("LLEN", "workflow_based_app_execution"), ("HLEN", "unacked"))


def test_jobs_are_counted_that_no_worker_ever_asked_for(
    broker: Broker, queue: Callable[[int], None], look: Callable[[], Look]
) -> None:
    """Who queues declares a queue once: when the cache was replaced, nothing but the lists names them."""
    queue(1)
    broker.command("FLUSHDB")
    assert look() == Look(waiting=0, workers=0)
    queue(7)
    assert broker.command("KEYS", "_kombu.binding.*") == ""
    assert look() == Look(waiting=7, workers=0)
    broker.command("FLUSHDB")


@pytest.mark.parametrize("waiting", [0, 5, 100])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_counts_what_waits_and_who_works(
    queue: Callable[[int], None],
    working: Callable[[int], None],
    look: Callable[[], Look],
    workers: int,
    waiting: int,
) -> None:
    working(workers)
    queue(workers * PLACES + waiting)
    settles(look, waiting=waiting, workers=workers)


def test_beat_and_those_who_queue_are_no_workers(
    broker: Broker, queue: Callable[[int], None], working: Callable[[int], None], look: Callable[[], Look]
) -> None:
    working(1)
    queue(PLACES)  # so that what beat queues has to wait
    with celery({"MODE": "beat"}, broker=broker, folder=broker.folder, tick_seconds=1):
        until(lambda: look().waiting > 3, look)
        assert look().workers == 1


def test_what_a_killed_worker_held_waits_and_nobody_is_counted_for_it(
    running: Dify, queue: Callable[[int], None], working: Callable[[int], None], look: Callable[[], Look]
) -> None:
    working(2)
    queue(2 * PLACES + 5)
    settles(look, waiting=5, workers=2)
    running.kill_worker()
    # Of the jobs that a worker ran when it was killed, one may not be confirmed: that one waits again.
    settles(look, waiting=5, workers=1, more=1)
    running.kill_worker()
    settles(look, waiting=5, workers=0, more=2)


def test_names_may_begin_with_a_prefix_of_the_user_s(broker: Broker, look: Callable[[], Look]) -> None:
    with dify(broker, prefix="mine") as prefixed:
        prefixed.start_worker()
        prefixed.queue(PLACES + 5)
        settles(look, waiting=5, workers=1)
        assert broker.command("LLEN", BUSY[0][1]) == broker.command("HLEN", "unacked") == "0"
        prefixed.kill_worker()
        settles(look, waiting=5, workers=0, more=1)
    broker.command("FLUSHDB")


class TestTheFunction:
    """As Lambda calls it, with Secrets Manager on this machine."""

    @pytest.fixture
    def aws(self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
        own = {
            "CACHE_PASSWORD_ARN": ARN,
            "NAMESPACE": "Dify",
            "DIMENSION": "Cache",
            "DIMENSION_VALUE": "one",
            "WAITING": "Waiting",
            "WORKERS": "Workers",
            "WAITING_PER_WORKER": "PerWorker",
        }
        account = {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_SESSION_TOKEN": SESSION,
            "AWS_DEFAULT_REGION": "eu-west-1",
            "NO_PROXY": "127.0.0.1",
        }
        queue_metrics._password.cache_clear()
        with serve(FakeAws(secrets={ARN: PASSWORD})) as running:
            account["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = running.url
            for name, value in {**environment, **own, **account}.items():
                monkeypatch.setenv(name, value)
            yield running
        queue_metrics._password.cache_clear()

    def test_one_line_holds_the_metrics(
        self, aws: FakeAws, queue: Callable[[int], None], working: Callable[[int], None],
        look: Callable[[], Look], capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        working(2)
        queue(2 * PLACES + 5)
        settles(look, waiting=5, workers=2)
        before = time.time()
        queue_metrics.on_schedule({}, None)
        (line,) = capsys.readouterr().out.splitlines()
        found = json.loads(line)
        assert (found["Workers"], found["PerWorker"]) == (2, found["Waiting"] / 2)
        assert 3 <= found["Waiting"] <= 5
        assert before - 1 <= found["_aws"]["Timestamp"] / 1000 <= time.time() + 1
        assert PASSWORD not in line

    def test_the_password_is_read_once(self, aws: FakeAws) -> None:
        for _ in range(3):
            queue_metrics.on_schedule({}, None)
        assert aws.subjects == [ARN]

    def test_fails_when_the_password_is_wrong_and_reads_it_again(
        self, aws: FakeAws, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """As after a rotation: one look is lost."""
        aws.secrets = {ARN: WRONG}
        with pytest.raises(BrokerError, match=r"^AUTH: WRONGPASS") as failure:
            queue_metrics.on_schedule({}, None)
        assert WRONG not in str(failure.value)
        assert capsys.readouterr().out == ""
        aws.secrets = {ARN: PASSWORD}
        queue_metrics.on_schedule({}, None)
        assert "Waiting" in json.loads(capsys.readouterr().out)

    def test_fails_when_nobody_vouches_for_the_certificate(
        self,
        aws: FakeAws,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
    ) -> None:
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            queue_metrics.on_schedule({}, None)
        assert capsys.readouterr().out == ""

    def test_fails_when_the_certificate_is_another_host_s(
        self, aws: FakeAws, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CACHE_HOST", "127.0.0.1")
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            queue_metrics.on_schedule({}, None)
