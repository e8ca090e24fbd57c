"""One process, one Node and one synthesis per variant for the whole run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import aws_cdk as cdk
import pytest

from dify_cdk import DifyData, DifyWorkers
from support import EXAMPLES, REGION, Example, Template
from synth.installation import data_in


@pytest.fixture(scope="session")
def templates(example: Example) -> Callable[[str], Template]:
    """Synthesized template of a variant; each variant is synthesized once."""
    return cache(lambda variant: Template(example(variant)[0].template))


@pytest.fixture(scope="session", params=EXAMPLES)
def template(request: pytest.FixtureRequest, templates: Callable[[str], Template]) -> Template:
    """Every variant in turn, for what must hold for all of them."""
    return templates(request.param)


@pytest.fixture(scope="session")
def new_stack(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., cdk.Stack]:
    """Makes a stack in an app of its own, for a tree that several tests read."""

    def make(region: str = REGION) -> cdk.Stack:
        app = cdk.App(outdir=str(tmp_path_factory.mktemp("app")), analytics_reporting=False)
        return cdk.Stack(app, "Dify", env=cdk.Environment(region=region))

    return make


@pytest.fixture
def app(tmp_path_factory: pytest.TempPathFactory) -> cdk.App:
    """An empty app, for one tree per test."""
    return cdk.App(outdir=str(tmp_path_factory.mktemp("app")), analytics_reporting=False)


@pytest.fixture
def stack(app: cdk.App) -> cdk.Stack:
    """A stack with a region and no account."""
    return cdk.Stack(app, "Dify", env=cdk.Environment(region=REGION))


@pytest.fixture
def data(stack: cdk.Stack) -> DifyData:
    """The data of that stack, in a network of its own."""
    return data_in(stack)


@pytest.fixture
def workers(stack: cdk.Stack, data: DifyData) -> DifyWorkers:
    """The workers of that stack."""
    return DifyWorkers(stack, "Workers", data=data)
