"""The same where network and data have a stack of their own.

The stacks refer to one another as the examples' flags have it, without exports: while the other stack uses
the old secrets, CloudFormation removes no export of them, which the emulator does not know.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from deployed.rotating import (
    Generation,
    assert_nobody_is_refused_by_the_cache,
    assert_the_broker_s_url_is_dify_s,
    assert_the_database_has_the_newest_passwords,
    rotate,
)
from deployed.world import World

pytestmark = pytest.mark.slow

VARIANT = "v1"


@pytest.fixture(scope="module")
def generations(world: World, tmp_path_factory: pytest.TempPathFactory) -> list[Generation]:
    return rotate(world, tmp_path_factory.mktemp("assemblies"), data_apart=True)


def test_nobody_is_refused_by_the_cache(generations: list[Generation], tmp_path: Path) -> None:
    assert_nobody_is_refused_by_the_cache(generations, tmp_path)


def test_the_broker_s_url_is_dify_s(generations: list[Generation]) -> None:
    assert_the_broker_s_url_is_dify_s(generations)


def test_the_database_has_the_newest_passwords(world: World, generations: list[Generation]) -> None:
    assert_the_database_has_the_newest_passwords(world, generations)


def test_no_role_ever_lacked_a_permission(world: World, generations: list[Generation]) -> None:
    assert world.emulator.journal("refusal") == []
