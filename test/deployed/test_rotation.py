"""A rotation deployed over an installation in one stack, on an emulator of AWS, see ``test_v1``."""

from __future__ import annotations

import pytest

from deployed.rotating import Generation, RotationTests, rotate
from deployed.world import World

pytestmark = pytest.mark.slow

VARIANT = "v1"


@pytest.fixture(scope="module")
def generations(world: World, tmp_path_factory: pytest.TempPathFactory) -> list[Generation]:
    return rotate(world, tmp_path_factory.mktemp("assemblies"), data_apart=False)


class TestRotation(RotationTests):
    """In a world of its own."""
