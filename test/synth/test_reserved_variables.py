"""Who is refused a variable is told an argument that exists and changes it, or why none does."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import assertions

import dify_cdk
from contexts import BUFFERED, STREAMING, context
from dify_cdk import (
    Component,
    ComponentSize,
    DifyAlbFrontend,
    DifyCloudFrontLambdaFrontend,
    DifyData,
    DifyWorkers,
    Plugins,
    Sandbox,
)
from dify_cdk.dify.environment import (
    TABLE,
    Argument,
    Context,
    Row,
    SecretField,
    SecretOption,
    plain_variables,
)
from synth.installation import OFFICE, workers_in

FIXED = [row for row in TABLE if isinstance(row.instead, str)]
CHANGEABLE = [row for row in TABLE if isinstance(row.instead, Argument)]

_SHORT = context(timeout=29, streaming=False)
_HERE = replace(_SHORT.endpoint, host="other.example.com") if _SHORT.endpoint else None


def _with(options: Mapping[str, str]) -> Context:
    return replace(STREAMING, options=options)


_MAIL = ("MAIL_TYPE", "MAIL_DEFAULT_SEND_FROM", "SMTP_SERVER", "SMTP_PORT", "SMTP_USE_TLS")

CHANGES: Mapping[str, tuple[Context, Context]] = {
    "domain": (STREAMING, replace(STREAMING, endpoint=_HERE)),
    # Longer than Dify's own timeouts, which are not made shorter.
    "request_timeout": (_SHORT, context(timeout=900, streaming=False)),
    "collaboration": (STREAMING, context(collaboration=True)),
    "uploads": (BUFFERED, STREAMING),
    "sandbox": (
        _with(Sandbox().environment()),
        _with(
            Sandbox(
                timeout_seconds=90, allowed_syscalls=[1], pip_mirror_url="https://pip.example.com"
            ).environment()
        ),
    ),
    "plugins": (
        STREAMING,
        _with(Plugins(pip_mirror_url="https://pip.example.com").environment(closed=True)),
    ),
    "mail": (STREAMING, _with(dict.fromkeys((*_MAIL, "SMTP_OPPORTUNISTIC_TLS"), "x"))),
}
"""By argument, an installation without it and one with it; its other arguments are the same."""


def named(row: Row) -> str:
    return f"{row.name}-{row.components[0]}"


@pytest.mark.parametrize("row", CHANGEABLE, ids=named)
def test_the_classes_named_have_the_argument(row: Row) -> None:
    assert isinstance(row.instead, Argument)
    for owner in row.instead.of:
        assert row.instead.name in inspect.signature(getattr(dify_cdk, owner).__init__).parameters
    for value_object in re.findall(r"([A-Z]\w+)[(.]", row.instead.given):
        assert value_object in dify_cdk.__all__


@pytest.mark.parametrize("row", CHANGEABLE, ids=named)
def test_the_argument_changes_the_variable(row: Row) -> None:
    """A secret is another one with ``secret_key=`` and ``mail=``, which their own tests show."""
    assert isinstance(row.instead, Argument)
    if isinstance(row.value, SecretField | SecretOption):
        assert row.instead.name in ("secret_key", "mail")
        return
    before, after = CHANGES[row.instead.name]
    for component in row.components:
        found = [plain_variables(component, where).get(row.name) for where in (before, after)]
        assert found[0] != found[1], component


def test_reasons_name_no_argument_that_does_not_exist() -> None:
    """Also in passing, such as ``rotation=``."""
    known = {
        *inspect.signature(DifyData.__init__).parameters,
        *inspect.signature(DifyWorkers.__init__).parameters,
        *inspect.signature(Sandbox).parameters,
    }
    reasons = {row.instead for row in FIXED}
    mentioned = {name for reason in reasons for name in re.findall(r"(\w+)=", str(reason))}
    assert len(reasons) > 20
    assert {"rotation", "namespace", "sandbox"} <= mentioned <= known


SMALL = ComponentSize(cpu_units=512, memory_mib=2048)
ID = "DifyWorkersUnread"


def frontend(kind: str, stack: cdk.Stack, workers: DifyWorkers) -> None:
    match kind:
        case "alb":
            DifyAlbFrontend(stack, "Frontend", workers=workers, access=OFFICE)
        case "collaboration":
            DifyAlbFrontend(stack, "Frontend", workers=workers, access=OFFICE, collaboration=True)
        case "functions":
            DifyCloudFrontLambdaFrontend(stack, "Frontend", workers=workers, access=OFFICE)


def warnings(stack: cdk.Stack) -> list[str]:
    found = assertions.Annotations.from_stack(stack).find_warning("*", assertions.Match.any_value())
    texts = [str(one.entry.data) for one in found]
    return [text for text in texts if ID in text]


class TestNobodyReadsThem:
    """What is given for a component that nothing runs."""

    @pytest.mark.parametrize(
        ("kind", "options", "told"),
        [
            ("alb", {"sizes": {Component.API_WEBSOCKET: SMALL}}, "sizes= holds api_websocket"),
            (
                "alb",
                {"environment": {Component.API_WEBSOCKET: {"LOG_LEVEL": "DEBUG"}}},
                "environment= holds api_websocket",
            ),
            ("alb", {"exec_components": [Component.API_WEBSOCKET]}, "exec_components= holds api_websocket"),
            ("functions", {"sizes": {Component.WEB: SMALL}}, "sizes= holds web"),
            ("functions", {"exec_components": [Component.WEB]}, "exec_components= holds web"),
            ("functions", {"environment": {Component.WEB: {"ALLOW_EMBED": "true"}}}, None),
            ("functions", {"sizes": {Component.API: SMALL}}, None),
            ("collaboration", {"sizes": {Component.API_WEBSOCKET: SMALL}}, None),
            ("alb", {"sizes": dict.fromkeys((Component.WEB, Component.MIGRATION), SMALL)}, None),
            ("alb", {"environment": {Component.API_WEBSOCKET: {}}}, None),
        ],
    )
    def test_a_warning_says_so(
        self, stack: cdk.Stack, kind: str, options: dict[str, Any], told: str | None
    ) -> None:
        frontend(kind, stack, workers_in(stack, **options))
        found = warnings(stack)
        assert [told in text for text in found if told] == [True] * len(found)
        assert bool(found) is (told is not None)

    def test_fails_when_no_scheduler_runs(self, stack: cdk.Stack) -> None:
        with pytest.raises(
            ValueError, match=r"^environment of beat: scheduler=None of DifyWorkers runs none"
        ):
            workers_in(stack, scheduler=None, environment={Component.BEAT: {"LOG_LEVEL": "DEBUG"}})
        with pytest.raises(ValueError, match=r"^environment of ssrf_proxy: nobody reads HTTP_PORT"):
            workers_in(cdk.Stack(cdk.App(), "Other"), environment={Component.SSRF_PROXY: {"HTTP_PORT": "1"}})
