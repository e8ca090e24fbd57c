"""Set up this checkout and run one of its commands; needs Python 3.11 or newer and nothing else.

Usage: python3 dev.py COMMAND [ARGUMENTS]

  compare, synth, init ...   the dify-cdk command line
  test [PYTEST ARGUMENTS]    the fast tests; slow: the others
  check                      format, lint and types; fix: repair what can be repaired
  docs                       write API.md from the docstrings, computed parts of pages, and the list of parts
  defaults TREE [OPTIONS]    what a release of Dify changes in the table of its defaults
  digests [--write]          look up digests of images that releases.json lacks, and tags that were moved
  bench                      time and memory of the main steps
  projen                     write the project files from .projenrc.py
  lock [--upgrade]           pin the packages that pyproject.toml asks for
  ci                         all that has to pass before a change lands

The first run makes .venv beside this file and installs the locked packages; later runs start at once.
"""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

OLDEST = (3, 11)
NEWER = ("python3.14", "python3.13", "python3.12", "python3.11")


def succeeds(*argv: str) -> bool:
    """Whether a program can be run and ends well."""
    return subprocess.call(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def restart_on_newer_python() -> int:
    """Run this file again with a new enough Python from PATH and return its exit code."""
    for path in filter(None, map(shutil.which, NEWER)):
        # Version managers put programs on PATH that only say that the version is not installed.
        if succeeds(path, "-c", f"import sys; sys.exit(sys.version_info < {OLDEST})"):
            return subprocess.call([path, *sys.argv])
    found = ".".join(map(str, sys.version_info[:2]))
    print(f"dev.py: Python {found} is too old, 3.11 or newer is needed and is not on PATH", file=sys.stderr)
    return 1


# Before anything that only newer Pythons understand when they run it, such as the annotations below.
if sys.version_info < OLDEST:
    sys.exit(restart_on_newer_python())

ROOT = Path(__file__).resolve().parent
# In this order: some packages of the second come as sources, which the first can build without the network.
LOCKS = (ROOT / "requirements" / "build.txt", ROOT / "requirements" / "dev.txt")
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
LOG = VENV / "setup.log"
# Holds UNFINISHED while packages are installed, afterwards what they were installed from.
STATE = VENV / "dify-cdk-setup"
UNFINISHED = "unfinished"
SECONDS_BETWEEN_SIGNS = 5
PIP = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "PIP_PROGRESS_BAR": "off",
    "PIP_USER": "0",
}

REASONS = (
    (
        r"connection broken by|NewConnectionError|ConnectTimeout|NameResolution|ProxyError|ReadTimeout",
        "the package index cannot be reached: is the network down, or a proxy needed?",
    ),
    (
        r"ensurepip|No module named '?venv",
        "this Python cannot make virtual environments (on Debian and Ubuntu: apt install python3-venv)",
    ),
    (r"No space left on device|Errno 28", "the disk is full"),
    (r"Permission denied|Read-only file system|Errno 13", "the folder cannot be written"),
    (r"DO NOT MATCH THE HASHES", "a downloaded package is not the locked one"),
    (r"No matching distribution", "the package index does not have a locked package for this Python"),
)


class ProblemError(Exception):
    """Something the caller can repair; the message says how, in one line."""


def say(text: str) -> None:
    """Print progress where it does not mix with a command's output."""
    print(f"dev.py: {text}", file=sys.stderr, flush=True)


def reason_for(output: str) -> str:
    """Why a set-up step failed, from what it printed."""
    return next((text for pattern, text in REASONS if re.search(pattern, output)), "a set-up step failed")


def program(name: str) -> str:
    """Path of a program of the virtual environment."""
    return str(BIN / (name + ".exe" if os.name == "nt" else name))


def child_environment() -> dict[str, str]:
    """Environment of every command: programs of ``.venv`` first, Node included, and jsii's cache on."""
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONHOME"}
    path = os.pathsep.join([str(BIN), *filter(None, [inherited.get("PATH")])])
    own = {"JSII_RUNTIME_PACKAGE_CACHE": "enabled"}
    if not os.access(inherited.get("HOME", ""), os.W_OK):  # where jsii would put the cache
        own["JSII_RUNTIME_PACKAGE_CACHE_ROOT"] = str(VENV / "jsii-cache")
    return {**own, **inherited, "PATH": path, "VIRTUAL_ENV": str(VENV)}


def run(name: str, *arguments: str, cwd: Path | None = None) -> int:
    """Run a program of the virtual environment and return its exit code."""
    return subprocess.call([program(name), *arguments], env=child_environment(), cwd=cwd)


# ---- set-up


def fingerprint() -> str:
    """What the virtual environment has to be made from: locked packages, project file, Python, place."""
    digest = hashlib.sha256(f"{ROOT} {os.path.realpath(program('python'))}".encode())
    for path in (*LOCKS, ROOT / "pyproject.toml", VENV / "pyvenv.cfg"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def state() -> str:
    """The content of the state file, empty if there is none."""
    return STATE.read_text() if STATE.is_file() else ""


def is_ready() -> bool:
    """Whether an earlier set-up finished and nothing it used has changed."""
    try:
        return os.access(program("python"), os.X_OK) and state() == fingerprint()
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Wait until no other process sets up this checkout, and keep others out."""
    with (ROOT / ".venv.lock").open("a") as handle:
        # A package installer that outlives us keeps the lock until it ends.
        os.set_inheritable(handle.fileno(), True)
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("waiting for another set-up of this folder to finish")
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def progress(output: str) -> str:
    """How far pip is, from what it printed so far."""
    found = re.findall(r"^(?:Collecting|Processing) (?:\S*/)?(\S+)", output, re.MULTILINE)
    if "\nInstalling collected packages" in output:
        return f"unpacking {len(found)} packages"
    return f"{len(found)} packages found, now {found[-1]}" if found else ""


def step(doing: str, *argv: str) -> None:
    """Run a set-up step with its output in the log, and say every few seconds how far it is."""
    say(doing)
    start = time.monotonic()
    with LOG.open("w") as log:
        # Open files go to the child, because the lock file has to: see only_one.
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**child_environment(), **PIP},
            close_fds=False,
        )
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=SECONDS_BETWEEN_SIGNS)
                break
            say(f"  {time.monotonic() - start:.0f} s  {progress(LOG.read_text(errors='replace'))}")
    if process.returncode != 0:
        raise ProblemError(f"{doing}: {reason_for(LOG.read_text(errors='replace'))} (details: {LOG})")


def is_usable() -> bool:
    """Whether the environment there works, was made for this place and was never left half-installed."""
    python, pip = program("python"), Path(program("pip"))
    if not os.access(python, os.X_OK) or not pip.is_file() or state() == UNFINISHED:
        return False
    # Its programs name their Python by path: in a copied or moved folder that is another one, or gone.
    made_here = str(BIN).encode() in pip.read_bytes()
    return made_here and succeeds(python, "-c", f"import sys, pip; sys.exit(sys.version_info < {OLDEST})")


def make_venv() -> None:
    """Make ``.venv``, or keep the one there."""
    if is_usable():
        STATE.write_text(UNFINISHED)
        return
    if VENV.exists():
        shutil.rmtree(VENV)
    VENV.mkdir()
    STATE.write_text(UNFINISHED)
    # Not sys.executable: that may be the Python inside the folder just removed.
    step("making .venv", getattr(sys, "_base_executable", sys.executable), "-m", "venv", str(VENV))


def set_up() -> None:
    """Make sure that ``.venv`` holds exactly what the lock file names, and the package itself."""
    if is_ready():
        return
    with only_one():
        if is_ready():
            return
        start = time.monotonic()
        make_venv()
        install = (program("python"), "-m", "pip", "install", "--no-build-isolation")
        for path in LOCKS:
            name = path.relative_to(ROOT)
            step(f"installing the packages of {name}", *install, "--require-hashes", "-r", str(path))
        step("installing dify-cdk from this folder", *install, "--no-deps", "--editable", str(ROOT))
        finished = STATE.with_suffix(".new")
        finished.write_text(fingerprint())
        finished.replace(STATE)
        say(f"ready after {time.monotonic() - start:.0f} s")


# ---- commands


PIN = (
    *("uv", "pip", "compile", "--universal", "--python-version", "3.11", "--quiet"),
    *("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-header"),
)
EXTRAS = ("--extra", "cli", "--extra", "cloud-build", "--extra", "monitoring")
# By file: what a module shares is made once. More processes would mostly start the CDK more often.
BY_FILE = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
# What each command runs, in the checkout, until one fails; the caller's arguments go to each.
COMMANDS = {
    "test": (("pytest", "-m", "not slow", *BY_FILE),),
    "slow": (("pytest", "-m", "slow", *BY_FILE),),
    "check": (("ruff", "format", "--check"), ("ruff", "check"), ("mypy",)),
    "fix": (("ruff", "check", "--fix"), ("ruff", "format")),
    "docs": (
        ("python", "tools/api_reference.py"),
        ("python", "tools/docs_pages.py"),
        ("python", "tools/sbom.py"),
    ),
    "defaults": (("python", "tools/renew_defaults.py"),),
    "digests": (("python", "tools/refresh_digests.py"),),
    "bench": (("python", "test/benchmark.py"),),
    "projen": (("python", ".projenrc.py"),),
    "lock": (
        (*PIN, "-o", "requirements/build.txt", "--group", "build"),
        (
            *PIN,
            "-o",
            "requirements/dev.txt",
            "--group",
            "dev",
            *EXTRAS,
            "pyproject.toml",
        ),
        # What a user's environment gets of it: the list of parts that the package ships is made from this.
        (*PIN, "-c", "requirements/dev.txt", "-o", "requirements/runtime.txt", *EXTRAS, "pyproject.toml"),
    ),
}


def in_caller_folder(argument: str) -> str:
    """An argument with a path of the caller's folder made absolute, for a program run in the checkout."""
    path, separator, test = argument.partition("::")
    looks_like_path = not path.startswith("-") and ("." in path or os.sep in path) and Path(path).exists()
    return f"{Path(path).resolve()}{separator}{test}" if looks_like_path else argument


def run_all(name: str, *arguments: str) -> int:
    """Run the programs of a command and return the first exit code that is not zero."""
    for command in COMMANDS[name]:
        say(" ".join([*command, *arguments]))
        code = run(*command, *map(in_caller_folder, arguments), cwd=ROOT)
        if code != 0:
            return code
    return 0


def generated() -> dict[str, bytes]:
    """Content of every file that a command writes and git keeps, by name."""
    listing = ROOT / ".projen" / "files.json"
    listed = re.findall(r'^    "(.+?)",?$', listing.read_text(), re.MULTILINE) if listing.is_file() else []
    pages = [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*")]
    names = ["API.md", "README.md", "README.ja.md", "requirements/dify-cdk.cdx.json", *pages, *listed]
    return {name: (ROOT / name).read_bytes() for name in names if (ROOT / name).is_file()}


def fresh() -> int:
    """Write all generated files again; one that differs now was stale or not committed."""
    before = generated()
    code = run_all("projen") or run_all("docs")
    after = generated()
    stale = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if stale:
        say(f"not up to date, commit what was written now: {', '.join(stale)}")
    return code or bool(stale)


def ci() -> int:
    """Everything, cheapest first, until something fails."""
    for name in ("check", "fresh", "test", "slow"):
        start = time.monotonic()
        code = fresh() if name == "fresh" else run_all(name)
        result = "passed" if code == 0 else "FAILED"
        say(f"ci: {name} {result} after {time.monotonic() - start:.0f} s")
        if code != 0:
            return code
    return 0


def main(name: str = "--help", *arguments: str) -> int:
    """Set up, then run one command in the caller's words."""
    if name in ("-h", "--help", "help"):
        print(__doc__)
        return 0
    try:
        set_up()
        if name == "ci":
            return ci()
        return run_all(name, *arguments) if name in COMMANDS else run("dify-cdk", name, *arguments)
    except ProblemError as problem:
        say(str(problem))
    except OSError as error:
        say(f"cannot use {error.filename or ROOT}: {error.strerror}")
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        say("interrupted; the same command goes on from here")
        sys.exit(130)
