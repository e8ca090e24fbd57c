"""Before any test imports the CDK."""

from __future__ import annotations

import gc
import os
import pickle

import hypothesis
import pytest

from dify_cdk.cdk_helpers.assets import use_wheel_node
from dify_cdk.cli.synth_example import SynthesizedStack, synthesize
from support import REGION, Example

# Validation is a test of its own (synth/test_validation.py), not a cost of every synthesis.
os.environ["CDK_VALIDATION"] = "false"
use_wheel_node()

# How long an example takes says nothing on a machine that does other things as well.
hypothesis.settings.register_profile("dify-cdk", deadline=None)
hypothesis.settings.load_profile("dify-cdk")


def pytest_collection_finish() -> None:
    """Leave what has been imported and collected out of every later search for garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    """Synthesizes an example as the command line does: once for the whole run, in whichever process."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def get(variant: str, region: str = REGION) -> tuple[SynthesizedStack, ...]:
        kept = shared / f"{variant}.{region}.pickle"
        if not kept.exists():
            folder = tmp_path_factory.mktemp(variant)
            written = folder / kept.name
            written.write_bytes(pickle.dumps(synthesize(variant, folder / "out", region=region)))
            written.replace(kept)  # at once: another process never reads half of it
        stacks: tuple[SynthesizedStack, ...] = pickle.loads(kept.read_bytes())
        return stacks

    return get
