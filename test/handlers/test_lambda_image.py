"""The Lambda images made by hand: their Dockerfiles carried out on a copy of this machine, and then started.

An overlay over the machine's own files stands in for Dify's image, with just the files of it that matter. In
it the COPY and RUN instructions are carried out, it is made read-only except for /tmp, and the image's start
command is run by a user that owns nothing, as Lambda does. Needs root on Linux, like the Docker it replaces.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import struct
import subprocess
import sys
import sysconfig
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from dify_cdk.cdk_helpers.assets import node_binary
from dockerfiles import DOCKER, Dockerfile, Instruction, read
from handlers.lambda_entry import (
    KEY,
    MARK,
    PRINTED,
    REGION,
    SECRET_KEY,
    TOKEN,
    FakeAws,
    serve,
    url_request,
    whole_api,
)

STRANGER = "993:990"  # Lambda's user is not in any image
PROGRAMS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
# What Alpine has instead of the programs of Debian.
ALPINE = ("sh", "chmod", "env", "find", "ln", "mkdir", "rm")
BUSYBOX = shutil.which("busybox")


def can_make_images() -> bool:
    """Whether this process may mount an overlay."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    script = "mkdir -p /tmp && mount -t tmpfs t /tmp && mkdir /tmp/u /tmp/w /tmp/m && " + overlay("/tmp")
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, check=False)
    return done.returncode == 0


def overlay(folder: str) -> str:
    """The command that lays a writable copy of the machine over itself."""
    return f"mount -t overlay o -o lowerdir=/,upperdir={folder}/u,workdir={folder}/w {folder}/m"


@dataclass(frozen=True, kw_only=True)
class Base:
    """What stands in for an image of Dify.

    Attributes:
        files: Path to text or, where bytes, a program.
        environment: Its ENV.
        directory: Its WORKDIR.
        commands: Shell commands that are run in it before anything else.
    """

    files: Mapping[str, str | bytes]
    environment: Mapping[str, str]
    directory: str
    commands: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Started:
    """What a start command did."""

    code: int
    output: str
    log: str

    @property
    def said(self) -> dict[str, object]:
        """What the program that stands in for Dify printed."""
        (line,) = (line for line in self.output.splitlines() if line.startswith(PRINTED))
        found: dict[str, object] = json.loads(line)
        return found


@dataclass(frozen=True, kw_only=True)
class Image:
    """A Dockerfile and what it is based on, carried out in one mount namespace."""

    dockerfile: Dockerfile
    base: Base
    folder: Path
    script: list[str] = field(default_factory=list)

    def inside(self, words: Sequence[str], environment: Mapping[str, str], user: str = "0:0") -> str:
        """A command in the image."""
        given = [f"{name}={value}" for name, value in environment.items()]
        changed = ["env", "-i", "-C", self.base.directory, *given, *words]
        return shlex.join(["chroot", f"--userspec={user}", "m", *changed])

    def lay(self, path: str, content: str | bytes) -> None:
        """Put a file into the image."""
        staged = self.folder / f"staged{len(self.script)}"
        staged.write_bytes(content.encode() if isinstance(content, str) else content)
        self.script.append(f"mkdir -p m{Path(path).parent}")
        self.script.append(
            f"cp {staged} m{path} && chmod {755 if isinstance(content, bytes) else 644} m{path}"
        )

    def carry_out(self, one: Instruction, environment: Mapping[str, str]) -> None:
        """One instruction of the last stage."""
        if one.name == "COPY":
            *sources, target = (word for word in one.words if not word.startswith("--"))
            if "from" in one.options:
                self.lay(target, b"the adapter")
            else:
                self.script.append(f"mkdir -p m{target}")
                # As a careful umask would have installed the package.
                for source in sources:
                    file = f"m{target}{source}"
                    self.script.append(f"cp {self.dockerfile.folder / source} {file} && chmod 600 {file}")
        elif one.name == "RUN":
            words = one.words if one.is_exec_form else ["/bin/sh", "-c", one.text]
            self.script.append(self.inside(words, environment))

    def start(self, settings: Mapping[str, str]) -> Started:
        """Build it, and start it the way Lambda does."""
        environment = dict(self.base.environment)
        self.script.extend(
            [
                "set -eu",
                f"cd {self.folder}",
                "mount -t tmpfs t t",
                "cd t",
                "mkdir u w m",
                overlay("."),
            ]
        )
        self.script.extend(["mount --rbind /proc m/proc", "mount --rbind /dev m/dev"])
        for path, content in self.base.files.items():
            self.lay(path, content)
        self.script.extend([self.inside(["/bin/sh", "-c", text], environment) for text in self.base.commands])
        for one in self.dockerfile.image.instructions:
            if one.name == "ENV":
                environment |= one.pairs
            self.carry_out(one, environment)
        self.script.extend(["mount -o remount,ro m", "mount -t tmpfs -o mode=1777 t m/tmp"])
        command = [word for name in ("ENTRYPOINT", "CMD") for word in self.dockerfile.image.last(name).words]
        self.script.append("echo BUILT")
        self.script.append(self.inside(command, {**environment, **settings}, STRANGER))
        self.script.append("find m/tmp -mindepth 1 -maxdepth 1 -printf 'WRITTEN %f\\n'")
        self.script.append(f"! grep -r {MARK} m/tmp")
        (self.folder / "t").mkdir()
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", "\n".join(self.script)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert "BUILT" in done.stdout, done.stdout + done.stderr
        return Started(code=done.returncode, output=done.stdout, log=done.stderr)


def settings_for(aws: FakeAws, request: Mapping[str, str | None]) -> dict[str, str]:
    credentials = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_SESSION_TOKEN": TOKEN}
    found = {**credentials, "AWS_REGION": REGION, "AWS_ENDPOINT_URL": aws.url, **request}
    return {name: value for name, value in found.items() if value is not None}


made_by_hand = pytest.mark.skipif(not can_make_images(), reason="needs root and an overlay file system")

DIFY = """\
import importlib.util, json, os, sys
import colorsys, app
refused = []
for path in ("/app/x", "/app/api/x", "/opt/x", "/var/x", "/dev/shm/../x", os.environ["HOME"] + "/x"):
    try:
        open(path, "w").close()
    except OSError:
        refused.append(path)
files = [os.path.join(folder, name) for folder, _, names in os.walk("/app") for name in names]
print(json.dumps({
    "arguments": sys.argv[1:],
    "environment": dict(os.environ),
    "uid": os.getuid(),
    "refused": refused,
    "compiled": [os.path.isfile(module.__cached__) for module in (colorsys, app)],
    "flags": [open(module.__cached__, "rb").read(8)[4] for module in (colorsys, app)],
    "unreadable": [path for path in files if not os.access(path, os.R_OK)],
}))
"""
TIKTOKEN = """\
import os
def get_encoding(name):
    os.umask(0o077)
    with open(os.path.join(os.environ["TIKTOKEN_CACHE_DIR"], name), "w") as file:
        file.write("ranks")
"""


def api_base() -> Base:
    """Dify's api, as far as it is needed: virtual environment, module, package and start script."""
    python = Path(sys.executable).resolve()
    library = sysconfig.get_path("stdlib")
    packages = f"/app/api/.venv/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    hidden = [str(path) for path in python.parents[1:] if path != Path("/")]
    return Base(
        files={
            "/app/api/app.py": "value = 1\n",
            "/app/api/dify.py": DIFY,
            "/app/api/broken_template.py": "def {{ name }}():\n",
            f"{packages}/tiktoken.py": TIKTOKEN,
            "/app/api/.venv/pyvenv.cfg": f"home = {python.parent}\n",
            "/entrypoint.sh": 'set -e\nexec python /app/api/dify.py "$MODE"\n',
        },
        environment={
            "PATH": ":".join(["/app/api/.venv/bin", *PROGRAMS]),
            "VIRTUAL_ENV": "/app/api/.venv",
            "LANG": "C.UTF-8",
            "TIKTOKEN_CACHE_DIR": "/app/api/.tiktoken_cache",
        },
        directory="/app/api",
        commands=[
            "mkdir -p /app/api/.venv/bin",
            f"cd /app/api/.venv/bin && ln -s {python} python && ln -s python python3",
            "mkdir -m 700 /app/api/.tiktoken_cache",
            "chmod 600 /app/api/app.py /entrypoint.sh",
            # This machine's Python may be in a home folder; the one of Dify's image is not.
            f"chmod a+x {shlex.join(hidden)}",
            # Python's own images have neither tests nor bytecode.
            f"cd {library} && rm -rf test idlelib lib2to3 ensurepip site-packages __pycache__ */__pycache__",
        ],
    )


@made_by_hand
@pytest.mark.slow
def test_the_api_starts_where_nothing_can_be_written(tmp_path: Path) -> None:
    image = Image(dockerfile=read("api_lambda"), base=api_base(), folder=tmp_path)
    aws, request = whole_api()
    with serve(aws):
        started = image.start({**settings_for(aws, request), "MODE": "api"})
    assert started.code == 0, started.output + started.log
    said = started.said
    # It is Dify's own start command, with the image's environment and what was fetched.
    environment = said["environment"]
    assert isinstance(environment, dict)
    assert environment["SECRET_KEY"].startswith(MARK)
    assert environment["SERVER_WORKER_AMOUNT"] == "1"
    assert environment["HOME"] == "/tmp"
    # Nobody but the stranger ran it, and it could read all and write to one place only.
    assert said["uid"] == 993
    assert said["refused"] == ["/app/x", "/app/api/x", "/opt/x", "/var/x", "/dev/shm/../x"]
    assert said["unreadable"] == []
    assert started.output.count("WRITTEN ") == 2, "the cache folder and the probe of the test"
    # Bytecode is there for Dify and for the standard library, and is believed without a look at the source.
    assert said["compiled"] == [True, True]
    assert said["flags"] == [0b01, 0b01]
    assert "/app: " in started.output
    assert " source files compiled, 1 cannot be" in started.output
    assert "dify-cdk: 13 variables fetched in" in started.log


SERVER = """\
const fs = require("node:fs");
fs.writeFileSync(__dirname + "/.next/cache/page", "rendered");
let refused = 0;
for (const path of ["/app/x", "/opt/x", __dirname + "/x"]) {
  try { fs.writeFileSync(path, ""); } catch { refused += 1; }
}
console.log(JSON.stringify({ arguments: [], environment: process.env, uid: process.getuid(), refused }));
"""


def web_base(server: str, entrypoint: str, start: str, alpine: bool) -> Base:
    """Dify's web, as far as it is needed: a server with a cache, and its start script."""
    node = node_binary()
    assert node is not None
    hidden = [str(path) for path in node.resolve().parents if path != Path("/")]
    applets = [f"cp {BUSYBOX} /alpine/busybox", "ln -sf /alpine/busybox /bin/sh"]
    applets += [f"ln -s busybox /alpine/{name}" for name in ALPINE]
    return Base(
        files={
            f"{server}/server.js": SERVER,
            f"{server}/.next/BUILD_ID": "1",
            f"{server}/.next/cache/old": "a page from the build",
            entrypoint: f"set -e\nexport NEXT_PUBLIC_API_PREFIX=${{CONSOLE_API_URL}}/console/api\n{start}\n",
        },
        environment={"PATH": ":".join(["/alpine", str(node.parent), *PROGRAMS]), "NODE_ENV": "production"},
        directory=str(Path(entrypoint).parent),
        commands=[
            f"chmod 700 {server} && chmod 600 {server}/server.js {entrypoint}",
            f"chmod a+x {shlex.join(hidden)}",
            "mkdir -p /alpine",
            *(applets if alpine else []),
        ],
    )


@made_by_hand
@pytest.mark.parametrize(
    "alpine",
    [
        False,
        pytest.param(True, marks=pytest.mark.skipif(BUSYBOX is None, reason="needs busybox, as in Alpine")),
    ],
    ids=["dash", "busybox"],
)
@pytest.mark.parametrize(
    ("server", "entrypoint", "start"),
    [
        ("/app/targets/next/web", "/app/entrypoint.sh", "exec node /app/targets/next/web/server.js"),
        (
            "/app/web",
            "/app/web/entrypoint.sh",
            "pm2 start /app/web/server.js --name dify-web --cwd /app/web -i ${PM2_INSTANCES:-2} --no-daemon",
        ),
    ],
    ids=["1.17", "1.12"],
)
def test_web_starts_where_nothing_can_be_written(
    tmp_path: Path, server: str, entrypoint: str, start: str, *, alpine: bool
) -> None:
    base = web_base(server, entrypoint, start, alpine)
    image = Image(dockerfile=read("web_lambda"), base=base, folder=tmp_path)
    with serve(FakeAws(parameters={"/dify/url": "https://dify.example.com"})) as aws:
        started = image.start(settings_for(aws, url_request({"CONSOLE_API_URL": "{url}"})))
    assert started.code == 0, started.output + started.log
    said = started.said
    environment = said["environment"]
    assert isinstance(environment, dict)
    assert environment["NEXT_PUBLIC_API_PREFIX"] == "https://dify.example.com/console/api"
    assert environment["PORT"] == "3000"
    assert (said["uid"], said["refused"]) == (993, 3)
    assert started.output.endswith("WRITTEN next-cache\n")


@made_by_hand
def test_fails_when_the_image_has_no_next_server(tmp_path: Path) -> None:
    base = web_base("/srv/web", "/srv/web/entrypoint.sh", "exec node /srv/web/server.js", alpine=False)
    image = Image(dockerfile=read("web_lambda"), base=base, folder=tmp_path)
    with pytest.raises(AssertionError, match=r"no Next\.js server below /app"):
        image.start({})


class TestPrepare:
    """What is done to the api image when it is built, on a small tree."""

    @pytest.fixture
    def prepare(self, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        path = DOCKER / "api_lambda" / "prepare.py"
        spec = importlib.util.spec_from_file_location("lambda_prepare", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    @pytest.fixture
    def loaded(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Encodings that were asked for."""
        names: list[str] = []
        tiktoken = types.ModuleType("tiktoken")
        monkeypatch.setattr(tiktoken, "get_encoding", names.append, raising=False)
        monkeypatch.setitem(sys.modules, "tiktoken", tiktoken)
        return names

    @pytest.fixture
    def tree(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        library = tmp_path / "library"
        library.mkdir()
        (library / "string.py").write_text("a = 1\n")
        monkeypatch.setattr(sysconfig, "get_path", lambda name: str(library))
        app = tmp_path / "app"
        app.mkdir()
        (app / "app.py").write_text("b = 2\n")
        (app / "template.py").write_text("def {{ name }}():\n")
        return app

    def test_everything_is_compiled_and_never_checked_again(
        self, prepare: types.ModuleType, loaded: list[str], tree: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        source = tree / "app.py"
        subprocess.run([sys.executable, "-m", "compileall", "-q", source], check=True)  # by time, as pip does
        assert prepare.main([str(tree)]) == 0
        for path in (source, tree.parent / "library" / "string.py"):
            (flags,) = struct.unpack("<I", Path(cache_from_source(str(path))).read_bytes()[4:8])
            assert flags == 0b01, "by hash, unchecked"
        assert f"{tree}: 1 source files compiled, 1 cannot be" in capsys.readouterr().out
        # Not even another source is noticed.
        source.write_text("b = 3\n")
        command = [sys.executable, "-B", "-c", "import app; print(app.b)"]
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True)
        assert done.stdout == "2\n"

    def test_the_encodings_are_loaded(self, prepare: types.ModuleType, loaded: list[str], tree: Path) -> None:
        prepare.main([str(tree)])
        assert {"gpt2", "cl100k_base", "o200k_base", "p50k_base", "r50k_base"} == set(loaded)

    def test_fails_when_nothing_can_be_compiled(
        self, prepare: types.ModuleType, loaded: list[str], tree: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tree / "app.py").write_text("def {{ name }}():\n")
        assert prepare.main([str(tree)]) == 1
        assert f"nothing below {tree} was compiled" in capsys.readouterr().err

    def test_only_what_nobody_could_read_is_changed(self, prepare: types.ModuleType, tmp_path: Path) -> None:
        # GIVEN files of every kind, and a link that leads away
        outside = tmp_path / "outside"
        outside.write_text("x")
        outside.chmod(0o600)
        tree = tmp_path / "tree"
        (tree / "closed").mkdir(parents=True)
        modes = {"open": 0o644, "own": 0o600, "program": 0o700, "closed/below": 0o640, "odd": 0o4755}
        for name, mode in modes.items():
            (tree / name).write_text("x")
            (tree / name).chmod(mode)
        (tree / "closed").chmod(0o700)
        (tree / "link").symlink_to(outside)
        before = {name: (tree / name).stat().st_ctime_ns for name in ("open", "odd")}
        # WHEN they are made readable THEN every user may read them, and the others were not touched
        assert prepare.make_readable([tree]) == 4
        found = {name: (tree / name).stat().st_mode & 0o7777 for name in (*modes, "closed")}
        assert found == {
            **{"open": 0o644, "own": 0o644, "program": 0o755, "closed/below": 0o644, "odd": 0o4755},
            "closed": 0o755,
        }
        assert {name: (tree / name).stat().st_ctime_ns for name in before} == before
        assert outside.stat().st_mode & 0o777 == 0o600
        assert prepare.make_readable([tree]) == 0
        assert prepare.make_readable([tree / "own"]) == 0
