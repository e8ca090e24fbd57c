"""What the sandbox gets beyond its image: extra Python packages and another list of syscalls."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from dify_cdk._checks import is_token, require_index_url, require_literal, require_whole

T = TypeVar("T")

REQUIREMENTS_PATH = "/dependencies/python-requirements.txt"
ENTRYPOINT_PATH = "/entrypoint.sh"

_HIGHEST_SYSCALL = 999
_LONGEST_RUN_SECONDS = 600
_SHORTEST_WAIT_SECONDS = 60  # Dify's own default of CODE_EXECUTION_READ_TIMEOUT
_RUNS_AT_ONCE = 4  # MAX_WORKERS in conf/config.yaml of dify-sandbox 0.2.15; the fifth run waits

_VERSION = r"(===|==|~=|!=|<=|>=|<|>) *[A-Za-z0-9][A-Za-z0-9.*+!_-]*"
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)"
    r" *(\[ *[A-Za-z0-9._-]+( *, *[A-Za-z0-9._-]+)* *\])?"
    rf" *({_VERSION}( *, *{_VERSION})*)?"
    r" *(?P<marker>; *(?=.*([<>=]| in ))[A-Za-z0-9_.,<>=!~()'\" +*-]+)?"
)

_END = "#END"  # never a requirement


@dataclass(frozen=True, kw_only=True, slots=True)
class Sandbox:
    """Extra Python packages and syscalls for code that runs in workflows, without an image of your own.

    The sandbox installs the packages with pip each time a task starts, and already passes its health check
    meanwhile: code that needs one fails until pip is done. If pip fails, the task stops and ECS starts
    another. A requirement without a version installs the newest one each time. Packages that take long to
    install, or must stay the same for months, belong in an image of your own.

    Attributes:
        python_packages: Requirements as in a ``requirements.txt``: a name, optionally with extras, versions
            and an environment marker, such as ``numpy==2.1.3``. Each name once, no options, no URLs. They
            replace the image's own list. Default: the image's list.
        allowed_syscalls: Numbers of all syscalls that Python code may use, on x86-64. The list
            **replaces** the image's own, network calls included: it is not added to it. Default: the
            image's list.
        pip_mirror_url: Package index for pip instead of the public one, which cannot be reached in a
            network without internet egress. pip calls it through the SSRF proxy, which lets this one host
            through even if its address is private, and does not check its certificate. Default: the public
            index.
        timeout_seconds: Longest run of one piece of code, 1 to 600 seconds. A task runs four at once and
            queues others, so that Dify waits four times as long for an answer, and at least 60 seconds.

    Raises:
        ValueError: If a requirement is malformed or named twice, a syscall number is out of range or
            repeated, ``timeout_seconds`` is out of range, or the URL is malformed or contains credentials.

    Examples:
        >>> sandbox = Sandbox(python_packages=["numpy==2.1.3", "pydantic[email]>=2,<3"])
    """

    python_packages: Sequence[str] = ()
    allowed_syscalls: Sequence[int] | None = None
    pip_mirror_url: str | None = None
    timeout_seconds: int = 15

    def __post_init__(self) -> None:
        """Check every value."""
        require_literal("Sandbox.timeout_seconds", self.timeout_seconds, "Dify's own wait follows from it")
        require_whole("Sandbox.timeout_seconds", self.timeout_seconds, 1, _LONGEST_RUN_SECONDS)
        _check_packages(self.python_packages)
        if self.allowed_syscalls is not None:
            _check_syscalls(self.allowed_syscalls)
        if self.pip_mirror_url is not None:
            require_index_url("Sandbox.pip_mirror_url", self.pip_mirror_url)

    def entry_point(self) -> list[str] | None:
        """Entry point of the container; ``None`` keeps the image's."""
        return ["/bin/sh", "-c"] if self.python_packages else None

    def command(self) -> list[str] | None:
        """Command that writes the requirements and goes on with the image's own start; ``None`` keeps it."""
        if not self.python_packages:
            return None
        script = (
            "set -eu",
            f"cat >{REQUIREMENTS_PATH} <<'{_END}'",
            *self.python_packages,
            _END,
            f"exec {ENTRYPOINT_PATH}",
        )
        return ["\n".join(script)]

    def environment(self) -> dict[str, str]:
        """Variables of the container."""
        variables = {"WORKER_TIMEOUT": str(self.timeout_seconds)}
        if self.allowed_syscalls is not None:
            # The sandbox stops at a space in the list.
            variables["ALLOWED_SYSCALLS"] = ",".join(str(number) for number in self.allowed_syscalls)
        if self.pip_mirror_url is not None:
            variables["PIP_MIRROR_URL"] = self.pip_mirror_url
        return variables

    def environment_of_callers(self) -> dict[str, str]:
        """Variables of the components that call it."""
        wait = max(_SHORTEST_WAIT_SECONDS, _RUNS_AT_ONCE * self.timeout_seconds)
        return {"CODE_EXECUTION_READ_TIMEOUT": str(wait)}

    def pip_mirror_host(self) -> str | None:
        """Host of the package index, which the proxy has to let through; None without one or for a token."""
        if self.pip_mirror_url is None or is_token(self.pip_mirror_url):
            return None
        return urlsplit(self.pip_mirror_url).hostname


def _check_packages(packages: Sequence[str]) -> None:
    if isinstance(packages, str):
        raise ValueError(
            f"Sandbox.python_packages must be a list, got the text {packages!r}; write [{packages!r}]"
        )
    names = []
    for package in packages:
        found = _REQUIREMENT.fullmatch(package)
        if found is None:
            raise ValueError(
                "Sandbox.python_packages must hold requirements such as 'numpy==2.1.3' or 'pydantic[email]', "
                f"without options or URLs, got {package!r}; build an image of your own for anything else"
            )
        if found["marker"] is None:
            names.append(re.sub(r"[-_.]+", "-", found["name"]).lower())
    for name in _repeated(names):
        raise ValueError(f"Sandbox.python_packages must name each package once, got {name!r} several times")


def _check_syscalls(numbers: Sequence[int]) -> None:
    if not numbers:
        raise ValueError(
            "Sandbox.allowed_syscalls must not be empty: it replaces the image's list; None keeps that"
        )
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= _HIGHEST_SYSCALL:
            raise ValueError(
                f"Sandbox.allowed_syscalls must hold syscall numbers between 0 and {_HIGHEST_SYSCALL}, got "
                f"{number!r}; it replaces the image's list, so name every syscall that code needs"
            )
    for number in _repeated(numbers):
        raise ValueError(f"Sandbox.allowed_syscalls must name each syscall once, got {number} several times")


def _repeated(values: Iterable[T]) -> list[T]:
    return [value for value, count in Counter(values).items() if count > 1]
