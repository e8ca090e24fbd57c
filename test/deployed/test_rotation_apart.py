"""The same where network and data have a stack of their own.

The stacks refer to one another as the examples' flags have it, without exports: while the other stack uses
the old secrets, CloudFormation removes no export of them, which the emulator does not know.
"""

from __future__ import annotations

import pytest

from deployed.rotating import Generation, RotationTests, rotate
from deployed.world import World

pytestmark = pytest.mark.slow

VARIANT = "v1"


@pytest.fixture(scope="module")
def generations(world: World, tmp_path_factory: pytest.TempPathFactory) -> list[Generation]:
    return rotate(world, tmp_path_factory.mktemp("assemblies"), data_apart=True)


class TestRotation(RotationTests):
    """In a world of its own."""
