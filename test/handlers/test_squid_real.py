"""The configuration in a real squid: Debian 12's is 5.7, the pinned image has a 6.x.

Everything happens in a network namespace of its own, whose only interface is a loopback: addresses that
are public elsewhere are local there, and nothing can leave the machine.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import ipaddress
import json
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import TypeVar

import pytest

from dify_cdk.dify import ssrf_proxy as squid

pytestmark = pytest.mark.slow

T = TypeVar("T")

PUBLIC = "8.8.8.8"
PUBLIC6 = "2600:1f18::8"
PUBLIC_BY_NAT64 = "64:ff9b::808:808"
STRANGER = "9.9.9.9"
PRIVATE = "10.1.0.9"
NEIGHBOUR = "10.2.0.9"
OWN_NETWORK = "11.0.0.9"
METADATA = "169.254.170.2"
LOOPBACK = "127.0.0.9"
LOCAL_ADDRESSES = (
    PUBLIC,
    PUBLIC6,
    STRANGER,
    PRIVATE,
    NEIGHBOUR,
    OWN_NETWORK,
    METADATA,
    "169.254.169.254",
    "172.16.5.5",
    "192.168.1.1",
    "100.64.0.7",
    "192.0.2.1",
    "198.18.0.1",
    "fd00:ec2::254",
    "2002:a01:9::1",
    "64:ff9b::a9fe:aa02",
    PUBLIC_BY_NAT64,
)
PUBLIC_ADDRESSES = (PUBLIC, PUBLIC6, PUBLIC_BY_NAT64, STRANGER, OWN_NETWORK)
SERVED_ADDRESSES = (*LOCAL_ADDRESSES, LOOPBACK, "127.0.0.1", "::1")
SERVED_PORTS = (22, 80, 443, 8080, 8443)
HOSTS = {
    "public.example.org": (PUBLIC,),
    "private.example.org": (PRIVATE,),
    "metadata.example.org": (METADATA,),
    "mixed.example.org": (PUBLIC, PRIVATE),
    "private-name.example.org": (PRIVATE,),
    "two-names.example.org": (PRIVATE, NEIGHBOUR),
}
NAMESERVER = "127.0.0.53"
TIMEOUT = 20
CLONE_NEWNET = 0x40000000


def unavailable() -> str | None:
    """Why these tests cannot run here."""
    if os.geteuid() != 0:
        return "needs root, to make a network namespace"
    for program in (squid.SQUID_PATH, "ip"):
        if shutil.which(program) is None:
            return f"{program} is missing: apt-get install squid iproute2"
    name = f"squid-probe-{os.getpid()}"
    attempt = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if attempt.returncode:
        return f"no network namespaces here: {attempt.stderr.strip()}"
    subprocess.run(["ip", "netns", "delete", name], check=True)
    return None


class Namespace:
    """A network without a way out; a socket made inside stays inside, whoever uses it."""

    def __init__(self, name: str) -> None:
        self.name = name
        subprocess.run(["ip", "netns", "add", name], check=True)
        try:
            self._set_up()
        except BaseException:
            self.delete()
            raise

    def _set_up(self) -> None:
        inside = ["ip", "-n", self.name]
        subprocess.run([*inside, "link", "set", "lo", "up"], check=True)
        for address in LOCAL_ADDRESSES:
            length = ipaddress.ip_address(address).max_prefixlen
            subprocess.run([*inside, "addr", "add", f"{address}/{length}", "dev", "lo"], check=True)

    def delete(self) -> None:
        subprocess.run(["ip", "netns", "delete", self.name], check=True)

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in a thread that lives inside."""
        results: list[T] = []
        errors: list[BaseException] = []

        def enter() -> None:
            try:
                with Path(f"/run/netns/{self.name}").open() as handle:
                    if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                results.append(function())
            except BaseException as error:  # handed to the caller
                errors.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def connect(self, address: str, port: int, source: str | None = None) -> socket.socket:
        origin = (source, 0) if source else None
        return self.call(
            lambda: socket.create_connection((address, port), timeout=TIMEOUT, source_address=origin)
        )


@dataclass
class Origins:
    """HTTP servers on every served address; they say what they were asked, and remember who was called."""

    namespace: Namespace
    calls: list[tuple[str, int]] = field(default_factory=list)
    _sockets: list[socket.socket] = field(default_factory=list)

    def start(self) -> None:
        for address in SERVED_ADDRESSES:
            for port in SERVED_PORTS:
                self._listen(address, port)

    def _listen(self, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = self.namespace.call(lambda: socket.create_server((address, port), family=family))
        self._sockets.append(listener)
        threading.Thread(target=self._accept, args=(listener, address, port), daemon=True).start()

    def _accept(self, listener: socket.socket, address: str, port: int) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed by stop()
                return
            self.calls.append((address, port))
            with connection, contextlib.suppress(OSError):
                self._answer(connection, f"{address} {port}")

    def _answer(self, connection: socket.socket, name: str) -> None:
        connection.settimeout(TIMEOUT)
        request = b""
        while b"\r\n\r\n" not in request:
            received = connection.recv(4096)
            if not received:
                return
            request += received
        status = b"403 Forbidden" if b"/forbidden" in request else b"200 OK"
        body = json.dumps({"server": name, "request": request.decode("latin-1")}).encode()
        head = b"HTTP/1.1 %b\r\nServer: origin\r\nContent-Length: %d\r\nConnection: close\r\n"
        head += b"Date: %b\r\nCache-Control: public, max-age=600\r\n\r\n" % formatdate(usegmt=True).encode()
        connection.sendall(head % (status, len(body)) + body)

    def stop(self) -> None:
        for listener in self._sockets:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


Answer = Callable[[int], Sequence[str] | None]
"""Addresses for the n-th question after a name, none for "no such name", ``None`` for silence."""


@dataclass
class Nameserver:
    """Answers questions after A records; there are no AAAA records, and nothing may be kept."""

    namespace: Namespace
    answers: dict[str, Answer] = field(default_factory=dict)
    questions: Counter[str] = field(default_factory=Counter)
    _socket: socket.socket | None = None

    def start(self) -> None:
        self._socket = self.namespace.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._socket.bind((NAMESERVER, 53))
        self._thread = threading.Thread(target=self._serve, args=(self._socket,), daemon=True)
        self._thread.start()

    def _serve(self, server: socket.socket) -> None:
        while True:
            question, sender = server.recvfrom(512)
            if not question:  # stop() shut it down
                return
            reply = self._reply(question)
            if reply:
                server.sendto(reply, sender)

    def _reply(self, question: bytes) -> bytes | None:
        labels, end = [], 12
        while length := question[end]:
            labels.append(question[end + 1 : end + 1 + length].decode())
            end += 1 + length
        name, (kind,) = ".".join(labels), struct.unpack(">H", question[end + 1 : end + 3])
        is_a = kind == 1
        if is_a:
            self.questions[name] += 1
        answer = self.answers.get(name)
        found = answer(self.questions[name]) if answer else ()
        if found is None:
            return None
        addresses = found if is_a else ()
        status = 0x8180 if found else 0x8183
        head = question[:2] + struct.pack(">5H", status, 1, len(addresses), 0, 0) + question[12 : end + 5]
        records = (struct.pack(">3HIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(a) for a in addresses)
        return head + b"".join(records)

    def stop(self) -> None:
        if self._socket:
            with contextlib.suppress(OSError):  # not connected, says Linux, and wakes the reader all the same
                self._socket.shutdown(socket.SHUT_RDWR)
            self._thread.join(TIMEOUT)
            self._socket.close()


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a client got."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def server(self) -> str:
        """The address and port that answered."""
        return str(json.loads(self.body)["server"])

    @property
    def request(self) -> str:
        """What the other side was asked."""
        return str(json.loads(self.body)["request"])

    @property
    def is_refusal(self) -> bool:
        """Whether Dify takes the answer for a refusal by the proxy."""
        words = f"{self.headers['Server']} {self.headers['Via']}".lower()
        return self.status in (401, 403) and "squid" in words


def read_reply(connection: socket.socket, method: str) -> Reply:
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    return Reply(status=response.status, headers=response.headers, body=response.read())


@dataclass
class Proxy:
    """A running squid."""

    namespace: Namespace
    port: int
    folder: Path
    process: subprocess.Popen[bytes]
    lines: list[str]

    def connect(self, source: str | None = None) -> socket.socket:
        return self.namespace.connect(source or "127.0.0.1", self.port, source)

    def get(self, target: str, *, method: str = "GET", source: str | None = None) -> Reply:
        """Ask the proxy for a target that is sent as it is written here."""
        with self.connect(source) as connection:
            connection.sendall(f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            return read_reply(connection, method)

    def tunnel(self, target: str) -> Reply:
        """CONNECT, and if that is granted, ask through the tunnel."""
        with self.connect() as connection:
            connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
            granted = b"HTTP/1.1 200 "
            if connection.recv(len(granted), socket.MSG_PEEK) != granted:
                return read_reply(connection, "CONNECT-REFUSED")
            while connection.recv(1) != b"\n" or connection.recv(2, socket.MSG_PEEK) != b"\r\n":
                pass
            connection.recv(2)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return read_reply(connection, "GET")

    def wait_for_line(self, part: str) -> str:
        """The first line of the log that has the part."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            for line in self.lines:
                if part in line:
                    return line
            time.sleep(0.05)
        raise AssertionError(f"no line with {part!r} in {self.lines}")


@dataclass
class World:
    """The namespace with everything that listens in it."""

    namespace: Namespace
    origins: Origins
    nameserver: Nameserver
    folder: Path
    _started: int = 0

    @contextlib.contextmanager
    def squid(self, configuration: str, port: int) -> Iterator[Proxy]:
        """Run squid with the project's own start command; only paths, names and waits differ."""
        self._started += 1
        folder = self.folder / str(self._started)
        folder.mkdir()
        path = folder / "squid.conf"
        # Later lines win. The waits are shortened for the tests.
        additions = (
            f"hosts_file {self.folder}/hosts",
            f"dns_nameservers {NAMESERVER}",
            "dns_timeout 2 seconds",
            "dns_retransmit_interval 1 second",
            "shutdown_lifetime 1 second",
        )
        entry_point, (script,) = squid.command(configuration + "\n".join(additions))
        # The name keeps shared memory apart from that of other squids on this machine.
        script = script.replace(f"{squid.SQUID_PATH} ", f"{squid.SQUID_PATH} -n test{os.getpid()}x{port} ")
        script = script.replace(squid.CONFIGURATION_PATH, str(path))
        with (folder / "messages").open("wb") as messages:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace.name, *entry_point, script],
                stdout=subprocess.PIPE,
                stderr=messages,
                cwd="/",
                start_new_session=True,
            )
        proxy = Proxy(self.namespace, port, folder, process, [])
        reader = threading.Thread(target=self._read, args=(proxy,))
        reader.start()
        try:
            self._wait_until_ready(proxy)
            yield proxy
        finally:
            process.terminate()
            try:
                process.wait(TIMEOUT)
            finally:
                with contextlib.suppress(ProcessLookupError):  # the whole group is gone, as it should be
                    os.killpg(process.pid, signal.SIGKILL)
                reader.join()

    @staticmethod
    def _read(proxy: Proxy) -> None:
        assert proxy.process.stdout
        with proxy.process.stdout as output:
            for line in output:
                proxy.lines.append(line.decode().rstrip("\n"))

    @staticmethod
    def _wait_until_ready(proxy: Proxy) -> None:
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                proxy.connect().close()
            except OSError:
                if proxy.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError((proxy.folder / "messages").read_text()) from None
                time.sleep(0.1)
            else:
                return


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    reason = unavailable()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    # Not pytest's folder: squid reads as the user proxy, who may not enter that one.
    with tempfile.TemporaryDirectory(prefix="squid-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        lines = (f"{address} {host}\n" for host, addresses in HOSTS.items() for address in addresses)
        (folder / "hosts").write_text("127.0.0.1 localhost\n" + "".join(lines))
        namespace = Namespace(f"squid-test-{os.getpid()}")
        stack.callback(namespace.delete)
        origins, nameserver = Origins(namespace), Nameserver(namespace)
        stack.callback(origins.stop)
        origins.start()
        stack.callback(nameserver.stop)
        nameserver.start()
        yield World(namespace, origins, nameserver, folder)


@pytest.fixture(scope="module")
def proxy(world: World) -> Iterator[Proxy]:
    """As it is without options."""
    with world.squid(squid.configuration(), squid.DEFAULT_PORT) as running:
        yield running


@pytest.fixture(scope="module")
def open_proxy(world: World) -> Iterator[Proxy]:
    """With every option, on another port."""
    configuration = squid.configuration(
        port=13128,
        allowed_private=["10.1.0.0/16", "fd00:ec2::254/128"],
        allowed_hosts=["Private-Name.Example.org", "metadata.example.org"],
        network=["11.0.0.0/16"],
        https_ports=[443, 8443],
    )
    with world.squid(configuration, 13128) as running:
        yield running


def assert_refused(world: World, ask: Callable[[], Reply]) -> None:
    """The proxy refuses in the way that Dify understands, and calls nobody."""
    before = list(world.origins.calls)
    reply = ask()
    assert reply.status == 403
    assert reply.is_refusal
    time.sleep(0.05)
    assert world.origins.calls == before


def url_host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@pytest.mark.parametrize("address", SERVED_ADDRESSES)
def test_without_the_proxy_every_server_answers(world: World, address: str) -> None:
    # The control of what follows: a refused server is there and would have answered.
    for port in SERVED_PORTS:
        with world.namespace.connect(address, port) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert read_reply(connection, "GET").server == f"{address} {port}"
    assert (address, 22) in world.origins.calls


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "allowed_private": ["10.1.0.0/16", "169.254.171.0/24", "fd12:3456::/64"],
            "allowed_hosts": ["private-name.example.org", "PRIVATE-NAME.example.org", "other.example.org"],
            "network": ["10.1.0.0/16", "11.0.0.0/16"],
            "https_ports": [443, 8443],
        },
    ],
    ids=["no option", "every option"],
)
def test_squid_has_nothing_to_complain_of(
    world: World, tmp_path: Path, options: dict[str, list[str]]
) -> None:
    assert world
    path = tmp_path / "squid.conf"
    path.write_text(squid.configuration(**options))  # type: ignore[arg-type]
    command = [squid.SQUID_PATH, "-k", "parse", "-f", str(path)]
    parsed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT)
    messages = [line.split("| ", 1)[1] for line in parsed.stderr.splitlines()]
    assert any(message.startswith("Processing: http_access allow all") for message in messages)
    known = ("Processing", "Startup: ", "Initializing https:// proxy context")
    assert [message for message in messages if not message.startswith(known)] == []


@pytest.mark.parametrize(
    ("url", "server"),
    [
        (f"http://{PUBLIC}/", f"{PUBLIC} 80"),
        (f"http://{PUBLIC}:8080/", f"{PUBLIC} 8080"),
        ("http://public.example.org/", f"{PUBLIC} 80"),
        (f"http://[{PUBLIC6}]/", f"{PUBLIC6} 80"),
        (f"http://[::ffff:{PUBLIC}]/", f"{PUBLIC} 80"),
        (f"http://[{PUBLIC_BY_NAT64}]/", f"{PUBLIC_BY_NAT64} 80"),
    ],
)
def test_public_addresses_are_allowed(proxy: Proxy, url: str, server: str) -> None:
    reply = proxy.get(url)
    assert reply.status == 200
    assert reply.server == server


@pytest.mark.parametrize(
    "host",
    [
        *(url_host(address) for address in SERVED_ADDRESSES if address not in PUBLIC_ADDRESSES),
        "localhost",
        "0.0.0.0",
        "[::]",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0",
        "[::ffff:127.0.0.9]",
        "[::ffff:a9fe:aa02]",
        "[::ffff:0:10.1.0.9]",
        "[::10.1.0.9]",
        "[fe80::9]",
        "255.255.255.255",
        "224.0.0.1",
        "private.example.org",
        "PRIVATE.example.org.",
        "metadata.example.org",
        "mixed.example.org",
        "x@10.1.0.9",
        "8.8.8.8@10.1.0.9",
    ],
)
def test_other_addresses_are_refused_in_every_notation(world: World, proxy: Proxy, host: str) -> None:
    assert_refused(world, lambda: proxy.get(f"http://{host}/"))
    assert_refused(world, lambda: proxy.get(f"http://{host}:8080/latest/meta-data"))


@pytest.mark.parametrize("target", [f"{PUBLIC}:443", "public.example.org:443", f"[{PUBLIC6}]:443"])
def test_tunnels_lead_to_public_addresses(proxy: Proxy, target: str) -> None:
    assert proxy.tunnel(target).status == 200


@pytest.mark.parametrize(
    "target",
    [
        f"{PRIVATE}:443",
        f"{METADATA}:443",
        "localhost:443",
        "private.example.org:443",
        "mixed.example.org:443",
        f"[::ffff:{PRIVATE}]:443",
        "[::1]:443",
        f"{PUBLIC}:22",
        f"{PUBLIC}:80",
        f"{PUBLIC}:8443",
    ],
)
def test_tunnels_lead_nowhere_else(world: World, proxy: Proxy, target: str) -> None:
    assert_refused(world, lambda: proxy.tunnel(target))


@pytest.mark.parametrize(
    "target",
    [
        f"http://{PUBLIC}:22/",
        f"ftp://{PUBLIC}:8080/",
        f"whois://{PUBLIC}:8080/x",
        f"cache_object://{PUBLIC}/info",
        f"http://{PUBLIC}/squid-internal-mgr/info",
        "http://ssrf-proxy:3128/squid-internal-mgr/menu",
    ],
)
def test_other_ports_and_schemes_are_refused(world: World, proxy: Proxy, target: str) -> None:
    assert_refused(world, lambda: proxy.get(target))


def test_a_request_for_the_proxy_itself_is_no_way_in(world: World, proxy: Proxy) -> None:
    before = list(world.origins.calls)
    for target in ("/", "urn:169.254.170.2:x", f"gopher://{PUBLIC}:8080/x"):
        assert proxy.get(target).status >= 400
    assert world.origins.calls == before


def test_a_client_with_a_public_address_is_refused(world: World, proxy: Proxy) -> None:
    assert_refused(world, lambda: proxy.get(f"http://{PUBLIC}/", source=STRANGER))
    assert proxy.get(f"http://{PUBLIC}/", source=NEIGHBOUR).status == 200


class TestNamesFromDns:
    def test_public(self, world: World, proxy: Proxy) -> None:
        world.nameserver.answers["site.test"] = lambda _: [PUBLIC]
        assert proxy.get("http://site.test/").server == f"{PUBLIC} 80"

    @pytest.mark.parametrize("addresses", [[PRIVATE], [METADATA], [PUBLIC, PRIVATE], [PRIVATE, PUBLIC]])
    def test_private(self, world: World, proxy: Proxy, addresses: list[str]) -> None:
        name = f"inside{'-'.join(addresses).replace('.', '-')}.test"
        world.nameserver.answers[name] = lambda _: addresses
        assert_refused(world, lambda: proxy.get(f"http://{name}/"))

    def test_a_name_that_changes_its_answer_each_time(self, world: World, proxy: Proxy) -> None:
        world.nameserver.answers["flip.test"] = lambda count: [PUBLIC] if count % 2 else [METADATA]
        servers = {proxy.get("http://flip.test/").server for _ in range(50)}
        assert servers == {f"{PUBLIC} 80"}
        assert world.nameserver.questions["flip.test"] == 1

    @pytest.mark.parametrize(("silent", "status"), [(1, 403), (2, 503), (3, 503)])
    def test_a_name_that_resolves_late(self, world: World, proxy: Proxy, silent: int, status: int) -> None:
        # squid asks twice; what comes after that would be an answer that nothing is checked against.
        name = f"late-{silent}.test"
        world.nameserver.answers[name] = lambda count: None if count <= silent else [PRIVATE]
        before = list(world.origins.calls)
        assert {proxy.get(f"http://{name}/").status for _ in range(3)} == {status}
        assert world.origins.calls == before

    def test_a_name_that_does_not_exist_is_no_refusal(self, proxy: Proxy) -> None:
        reply = proxy.get("http://nowhere.test/")
        assert reply.status == 503
        assert b"Unable to determine IP address from host name" in reply.body
        assert not reply.is_refusal


class TestExceptions:
    @pytest.mark.parametrize(
        "host",
        [
            PRIVATE,
            "private.example.org",
            "[fd00:ec2::254]",
            "private-name.example.org",
            "PRIVATE-NAME.example.org",
        ],
    )
    def test_are_allowed(self, open_proxy: Proxy, host: str) -> None:
        assert open_proxy.get(f"http://{host}/").status == 200
        assert open_proxy.tunnel(f"{host}:443").status == 200

    def test_allow_nothing_beside_them(self, world: World, open_proxy: Proxy) -> None:
        for host in (
            NEIGHBOUR,
            METADATA,
            LOOPBACK,
            "192.168.1.1",
            "two-names.example.org",
            "x.private-name.example.org",
        ):
            world.nameserver.answers["x.private-name.example.org"] = lambda _: [NEIGHBOUR]
            assert_refused(world, lambda host=host: open_proxy.get(f"http://{host}/"))  # type: ignore[misc]

    def test_an_allowed_host_still_cannot_be_the_task_metadata(self, world: World, open_proxy: Proxy) -> None:
        assert_refused(world, lambda: open_proxy.get("http://metadata.example.org/"))

    def test_an_allowed_host_by_name_is_not_allowed_by_address(self, world: World) -> None:
        configuration = squid.configuration(port=13129, allowed_hosts=["private-name.example.org"])
        with world.squid(configuration, 13129) as proxy:
            assert proxy.get("http://private-name.example.org/").server == f"{PRIVATE} 80"
            assert_refused(world, lambda: proxy.get(f"http://{PRIVATE}/"))
            assert_refused(world, lambda: proxy.get("http://private.example.org/"))

    def test_a_network_known_only_at_deploy_time(self, world: World) -> None:
        token = "${Token[Vpc.CidrBlock.12]}"
        configuration = squid.configuration(port=13130, allowed_private=[token]).replace(token, "10.1.0.0/16")
        with world.squid(configuration, 13130) as proxy:
            assert proxy.get(f"http://{PRIVATE}/").status == 200
            assert_refused(world, lambda: proxy.get(f"http://{NEIGHBOUR}/"))
            assert_refused(world, lambda: proxy.get(f"http://{METADATA}/"))

    def test_the_own_network_may_ask_but_not_be_asked(
        self, world: World, proxy: Proxy, open_proxy: Proxy
    ) -> None:
        assert open_proxy.get(f"http://{PUBLIC}/", source=OWN_NETWORK).status == 200
        assert_refused(world, lambda: open_proxy.get(f"http://{OWN_NETWORK}/"))
        assert_refused(world, lambda: proxy.get(f"http://{PUBLIC}/", source=OWN_NETWORK))
        assert proxy.get(f"http://{OWN_NETWORK}/").status == 200

    def test_another_port_for_https(self, world: World, open_proxy: Proxy) -> None:
        assert open_proxy.tunnel(f"{PUBLIC}:8443").server == f"{PUBLIC} 8443"
        assert_refused(world, lambda: open_proxy.tunnel(f"{PUBLIC}:22"))
        assert_refused(world, lambda: open_proxy.tunnel(f"{NEIGHBOUR}:8443"))


def test_the_other_side_learns_nothing_about_who_asks(proxy: Proxy) -> None:
    head = proxy.get(f"http://{PUBLIC}/", source=PRIVATE).request.lower()
    assert "host: 8.8.8.8" in head
    for secret in ("via", "forwarded", "squid", "ssrf", PRIVATE):
        assert secret not in head


def test_a_403_of_the_other_side_is_not_taken_for_a_refusal(proxy: Proxy) -> None:
    reply = proxy.get(f"http://{PUBLIC}/forbidden")
    assert reply.status == 403
    assert reply.server == f"{PUBLIC} 80"
    assert not reply.is_refusal


def test_nothing_is_kept(world: World, proxy: Proxy) -> None:
    before = world.origins.calls.count((PUBLIC, 8080))
    for _ in range(3):
        proxy.get(f"http://{PUBLIC}:8080/same")
    assert world.origins.calls.count((PUBLIC, 8080)) == before + 3


def test_the_log_names_hosts_but_no_secrets(proxy: Proxy) -> None:
    proxy.get(f"http://user:password1@{PUBLIC}:8080/hooks/token2?key=value3")
    proxy.get("http://private.example.org:8443/hooks/token2?key=value3")
    assert "TCP_MISS/200" in proxy.wait_for_line(f"GET {PUBLIC}:8080")
    assert "TCP_DENIED/403" in proxy.wait_for_line("GET private.example.org:8443 -")
    messages = (proxy.folder / "messages").read_text()
    for secret in ("password1", "token2", "value3", "key="):
        assert secret not in "\n".join(proxy.lines)
        assert secret not in messages


def test_squid_is_the_first_process_and_gives_up_its_rights(proxy: Proxy) -> None:
    status = Path(f"/proc/{proxy.process.pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Name"] == "squid"
    assert int(fields["Uid"].split()[1]) == pwd.getpwnam("proxy").pw_uid


def test_the_stop_signal_ends_it_in_order(world: World) -> None:
    with world.squid(squid.configuration(port=13131), 13131) as proxy:
        assert proxy.get(f"http://{PUBLIC}/").status == 200
    assert proxy.process.returncode == 0
    assert "Exiting normally" in (proxy.folder / "messages").read_text()
