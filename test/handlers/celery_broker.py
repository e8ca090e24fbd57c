"""A real Redis with TLS and a token, and what Dify runs on it: Celery workers, beat, and who queues jobs."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dify_cdk.dify.environment import BROKER_DATABASE

TOKEN = "t" * 43
QUEUES = ("dataset", "mail", "schedule_poller", "workflow_based_app_execution")
PLACES = 3
_PATIENCE = 60
_APP = Path(__file__).with_name("celery_app.py")


def missing_program() -> str | None:
    """Which program this machine lacks; None if it has all."""
    lacking = [name for name in ("redis-server", "openssl") if shutil.which(name) is None]
    return f"needs {' and '.join(lacking)}" if lacking else None


def until(happened: Callable[[], bool], found: Callable[[], object]) -> None:
    """Wait for something, at most a minute; what is found instead is the error."""
    deadline = time.monotonic() + _PATIENCE
    while not happened():
        assert time.monotonic() < deadline, found()
        time.sleep(0.1)


@dataclass(kw_only=True)
class Broker:
    """The server and the processes on it.

    Attributes:
        folder: Holds certificate, logs, and the files that end jobs.
        port: Where it listens, with TLS only.
        stack: Ends all processes.
        workers: The running workers by name.
    """

    folder: Path
    port: int
    stack: contextlib.ExitStack
    workers: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    rounds: int = 0

    @property
    def certificate(self) -> Path:
        """Which authorities to trust: the server signs itself."""
        return self.folder / "crt"

    @property
    def url(self) -> str:
        """The broker as Celery takes it."""
        options = f"ssl_cert_reqs=required&ssl_ca_certs={self.certificate}"
        return f"rediss://:{TOKEN}@localhost:{self.port}/{BROKER_DATABASE}?{options}"

    @property
    def end(self) -> Path:
        """The file that ends the jobs of this round."""
        return self.folder / f"end-{self.rounds}"

    def run(self, *command: str, log: str) -> subprocess.Popen[str]:
        """A process that ends with the tests."""
        output = self.stack.enter_context((self.folder / log).open("w"))
        process = subprocess.Popen(
            command,
            env={"PATH": "/usr/bin:/bin", "BROKER_URL": self.url, "PYTHONPATH": str(_APP.parent)},
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if log == "producer" else output,
            stderr=output,
            text=True,
        )
        self.stack.callback(_end, process)
        return process

    def start_worker(self, name: str) -> None:
        """A worker with the options of Dify's image, except for the number of places."""
        options = f"-P gevent -c {PLACES} --max-tasks-per-child 50 --loglevel INFO --prefetch-multiplier=1"
        celery = (sys.executable, "-m", "celery", "-A", "celery_app:APP", "worker")
        self.workers[name] = self.run(
            *celery, *options.split(), "-Q", ",".join(QUEUES), "-n", f"{name}@test", log=name
        )
        log = self.folder / name
        until(lambda: f"{name}@test ready" in log.read_text(), log.read_text)

    def kill_worker(self, name: str) -> None:
        """End one as AWS does after two minutes."""
        process = self.workers.pop(name)
        process.kill()
        process.wait()

    @contextlib.contextmanager
    def beat(self) -> Iterator[None]:
        """The scheduler, which has queued something when this begins."""
        celery = (sys.executable, "-m", "celery", "-A", "celery_app:APP", "beat", "--loglevel", "INFO")
        process = self.run(*celery, log="beat")
        log = self.folder / "beat"
        until(lambda: "Sending due task" in log.read_text(), log.read_text)
        yield
        process.kill()
        process.wait()

    def start_producer(self) -> Callable[[int], None]:
        """A process that stays connected, like api; returns what makes it queue jobs."""
        process = self.run(sys.executable, str(_APP), log="producer")
        assert process.stdin is not None
        assert process.stdout is not None
        into, out = process.stdin, process.stdout

        def queue(number: int) -> None:
            into.write(f"{number} {QUEUES[-1]} {self.end}\n")
            into.flush()
            assert out.readline() == "queued\n", (self.folder / "producer").read_text()

        return queue

    def finish_jobs(self) -> None:
        """Let all jobs of this round end, and begin another."""
        self.end.touch()
        self.rounds += 1

    def command(self, *words: str, database: int = BROKER_DATABASE) -> str:
        """What the command line tool says."""
        tls = ("--tls", "--cacert", str(self.certificate), "--no-auth-warning", "-a", TOKEN)
        command = ["redis-cli", "-h", "localhost", "-p", str(self.port), *tls, "-n", str(database), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@contextlib.contextmanager
def start_broker(folder: Path) -> Iterator[Broker]:
    """Redis on a free port of this machine."""
    _sign(folder)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    options = f"--port 0 --tls-port {port} --bind 127.0.0.1 --tls-auth-clients no --requirepass {TOKEN}"
    files = ("--tls-cert-file", str(folder / "crt"), "--tls-key-file", str(folder / "key"), "--save", "")
    with contextlib.ExitStack() as stack:
        broker = Broker(folder=folder, port=port, stack=stack)
        broker.run("redis-server", *options.split(), *files, log="redis")
        until(lambda: _listens(broker), (folder / "redis").read_text)
        yield broker


def _sign(folder: Path) -> None:
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test"
    files = ("-keyout", str(folder / "key"), "-out", str(folder / "crt"))
    command = ["openssl", *options.split(), "-addext", "subjectAltName=DNS:localhost", *files]
    subprocess.run(command, check=True, capture_output=True)


def _listens(broker: Broker) -> bool:
    context = ssl.create_default_context(cafile=str(broker.certificate))
    try:
        with socket.create_connection(("localhost", broker.port)) as plain:
            context.wrap_socket(plain, server_hostname="localhost").close()
    except OSError:
        return False
    return True


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
