"""How large the container of a role is, and how many run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from dify_cdk._checks import is_token, require_between, require_literal, require_one_of
from dify_cdk.roles import Role, require_roles

_FARGATE_MEMORY_MIB: Mapping[int, tuple[int, ...]] = MappingProxyType(
    {
        256: (512, 1024, 2048),
        512: tuple(range(1024, 4096 + 1, 1024)),
        1024: tuple(range(2048, 8192 + 1, 1024)),
        2048: tuple(range(4096, 16384 + 1, 1024)),
        4096: tuple(range(8192, 30720 + 1, 1024)),
        8192: tuple(range(16384, 61440 + 1, 4096)),
        16384: tuple(range(32768, 122880 + 1, 8192)),
    }
)

_MAX_TASKS = 5000  # tasks of one service


class Architecture(StrEnum):
    """Processor of the tasks; the sandbox always runs on x86-64, where its syscall list is complete."""

    X86_64 = "x86_64"
    ARM64 = "arm64"


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleSize:
    """Size and number of the tasks of one role.

    Attributes:
        cpu_units: 1024 are one vCPU; a size that Fargate offers: 256, 512, 1024, 2048, 4096, 8192, 16384.
        memory_mib: Memory in MiB, one of the values that Fargate pairs with ``cpu_units``.
        tasks: Number of tasks, 1 to 5000.

    Raises:
        ValueError: If Fargate does not offer the size, or ``tasks`` is out of range.

    See https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ecs-taskdefinition.html
    """

    cpu_units: int
    memory_mib: int
    tasks: int = 1

    def __post_init__(self) -> None:
        """Check the pair against Fargate's table."""
        require_one_of("RoleSize.cpu_units", self.cpu_units, _FARGATE_MEMORY_MIB.keys())
        require_between("RoleSize.tasks", self.tasks, 1, _MAX_TASKS)
        if is_token(self.cpu_units) or is_token(self.memory_mib):
            return
        allowed = _FARGATE_MEMORY_MIB[self.cpu_units]
        if self.memory_mib not in allowed:
            raise ValueError(
                f"RoleSize.memory_mib must be one of {', '.join(map(str, allowed))} "
                f"with cpu_units={self.cpu_units}, got {self.memory_mib}"
            )


DEFAULT_SIZES: Mapping[Role, RoleSize] = MappingProxyType(
    {
        Role.API: RoleSize(cpu_units=512, memory_mib=2048),
        Role.API_WEBSOCKET: RoleSize(cpu_units=256, memory_mib=1024),
        Role.WEB: RoleSize(cpu_units=256, memory_mib=1024),
        Role.WORKER: RoleSize(cpu_units=1024, memory_mib=2048),
        Role.BEAT: RoleSize(cpu_units=256, memory_mib=1024),
        Role.PLUGIN_DAEMON: RoleSize(cpu_units=512, memory_mib=2048),
        Role.SANDBOX: RoleSize(cpu_units=256, memory_mib=512),
        Role.SSRF_PROXY: RoleSize(cpu_units=256, memory_mib=512),
        Role.MIGRATION: RoleSize(cpu_units=512, memory_mib=2048),
    }
)
"""Floors that hold with a handful of users; every installed plugin is one more process of the daemon."""

SINGLETON_ROLES = (Role.BEAT, Role.PLUGIN_DAEMON, Role.MIGRATION)
"""Roles of which exactly one task may run: two schedulers run every job twice."""


_PROXY_CPU_UNITS = 256
"""What the proxy of ECS Service Connect takes from a task, beside 64 MiB of memory.

See https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-connect-concepts-deploy.html
"""


def with_room_for_proxy(role: Role, size: RoleSize) -> RoleSize:
    """The size of a role whose tasks also run the proxy of ECS Service Connect.

    A default size grows by what is missing; an own size has to be large enough.

    Raises:
        ValueError: If an own size leaves no processor time for Dify beside the proxy.
    """
    floor = DEFAULT_SIZES[role]
    if is_token(size.cpu_units) or size.cpu_units > _PROXY_CPU_UNITS:
        return size
    if (size.cpu_units, size.memory_mib) != (floor.cpu_units, floor.memory_mib):
        raise ValueError(
            f"sizes of role {role}: cpu_units must be 512 or more, since the proxy of Service Connect takes "
            f"{_PROXY_CPU_UNITS}, got {size.cpu_units}"
        )
    return RoleSize(cpu_units=2 * _PROXY_CPU_UNITS, memory_mib=max(1024, floor.memory_mib), tasks=size.tasks)


def sizes_with(own: Mapping[Role, RoleSize]) -> dict[Role, RoleSize]:
    """The default sizes with the user's own in their place.

    Raises:
        ValueError: If more than one task of a singleton role is asked for.
    """
    require_roles("sizes", own)
    for role, size in own.items():
        if role not in SINGLETON_ROLES:
            continue
        require_literal(f"sizes of role {role}: tasks", size.tasks, "exactly one task can run")
        if size.tasks != 1:
            raise ValueError(f"sizes of role {role}: exactly one task can run, got tasks={size.tasks}")
    return {**DEFAULT_SIZES, **own}
