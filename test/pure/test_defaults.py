"""The table of Dify's defaults against all that uses it: every row has a verdict, and each is checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from contexts import BUFFERED, STREAMING, context
from dify_cdk.dify import connections, environment
from dify_cdk.dify import ssrf_proxy as squid
from dify_cdk.dify.components import Component
from dify_cdk.dify.connections import FUNCTION_POOLS, pools_for
from dify_cdk.dify.environment import (
    TABLE,
    Context,
    Default,
    SecretField,
    SecretOption,
    plain_variables,
    secret_variables,
)
from dify_cdk.dify.release import DifyRelease
from dify_cdk.options import sandbox
from dify_cdk.options.sandbox import Sandbox
from dify_defaults import (
    DEFAULTS_FILE,
    Mark,
    Row,
    Table,
    Topic,
    Verdict,
    alike,
    canonical,
    dropped_names,
    known_names,
    read_table,
    written,
)
from dockerfiles import read

DEFAULTS = read_table()
SECRET = "<secret>"
OPTIONS = {
    **Sandbox().environment(),
    **Sandbox().environment_of_callers(),
}  # DifyWorkers always has a Sandbox

FRONTENDS = {
    name: replace(where, options=OPTIONS)
    for name, where in {
        "streaming": STREAMING,
        "buffered": BUFFERED,
        "wide": context(max_body_mb=1000),
        "collaboration": context(timeout=4000, collaboration=True),
        "small database": replace(
            STREAMING,
            pools=pools_for(189, {Component.API: 1, Component.API_WEBSOCKET: 1, Component.WORKER: 1}),
        ),
        "function": replace(STREAMING, pools=FUNCTION_POOLS),
    }.items()
}
"""Installations without any argument that brings variables, behind all kinds of frontends."""

EVERYTHING = replace(
    BUFFERED,
    options=dict.fromkeys([*(row.name for row in TABLE), "PLUGIN_PIP_MIRROR_URL"], "x"),
    secret_options=[row.name for row in TABLE],
)
"""Where every argument is given that brings variables."""

IMAGES = {Component.API: "api_lambda", Component.WEB: "web_lambda"}


def said(component: Component, where: Context) -> dict[str, str]:
    """What the library tells a component: variables, or directives of the proxy."""
    if component is Component.SSRF_PROXY:
        return dict(re.findall(r"^([a-z_]+) +(.+)$", squid.configuration(), re.MULTILINE))
    secrets = {name: SECRET for name in secret_variables(component)}
    secrets |= {name: SECRET for name in where.secret_options if name in _options(component)}
    return {**plain_variables(component, where), **secrets}


def _options(component: Component) -> set[str]:
    return {row.name for row in TABLE if component in row.components and isinstance(row.value, SecretOption)}


def in_image(component: Component) -> dict[str, str]:
    """What the image for AWS Lambda tells a component, of the variables that Dify reads."""
    found = read(IMAGES[component]).image.environment if component in IMAGES else {}
    return {name: value for name, value in found.items() if name in known_names(component)}


BEHIND_FRONTENDS = {
    component: [said(component, where) for where in FRONTENDS.values()] for component in Component
}
WITH_ARGUMENTS = {
    component: {**said(component, EVERYTHING), **in_image(component)} for component in Component
}


def rows(*verdicts: Verdict) -> list[pytest.param]:  # type: ignore[valid-type]
    return [
        pytest.param(component, row, id=f"{row.variable}-{component}")
        for row in DEFAULTS.rows
        if row.verdict in verdicts
        for component in row.components
    ]


def values(component: Component, row: Row) -> list[str | None]:
    """What a component is told behind each frontend, without arguments."""
    return [found.get(row.variable) for found in BEHIND_FRONTENDS[component]]


def is_said(component: Component, row: Row) -> bool:
    """Whether a component is told anywhere."""
    return any(row.variable in found for found in (*BEHIND_FRONTENDS[component], WITH_ARGUMENTS[component]))


def constant(component: Component, row: Row) -> str | None:
    """What the library says in every installation of a component; None where that depends on something."""
    if component is Component.SSRF_PROXY:
        return said(component, STREAMING)[row.variable]
    for one in TABLE:
        if one.name == row.variable and component in one.components:
            value = one.value.value if isinstance(one.value, Default) else one.value
            return value if isinstance(value, str) else None
    return in_image(component)[row.variable]


class TestVerdicts:
    @pytest.mark.parametrize(("component", "row"), rows(Verdict.LOST))
    def test_what_only_compose_says_is_said_by_the_library(self, component: Component, row: Row) -> None:
        assert not alike(row.own, row.compose), "the component holds that by itself"
        assert {canonical(value) for value in values(component, row)} == {row.compose}

    @pytest.mark.parametrize(("component", "row"), rows(Verdict.OURS))
    def test_what_is_ours_is_said_always_and_is_nobody_else_s(self, component: Component, row: Row) -> None:
        found = values(component, row)
        assert None not in found
        assert [value for value in found if not alike(value, row.own)]
        assert row.compose is None or set(found) != {row.compose}, "this is Compose's: lost"

    @pytest.mark.parametrize(("component", "row"), rows(Verdict.SAME))
    def test_what_is_the_same_is_not_said_or_not_said_otherwise(self, component: Component, row: Row) -> None:
        assert row.compose is None or alike(row.own, row.compose)
        said_here = [*values(component, row), in_image(component).get(row.variable)]
        assert [value for value in said_here if value is not None and not alike(value, row.own)] == []

    @pytest.mark.parametrize(("component", "row"), rows(Verdict.LEFT))
    def test_what_is_left_differs_from_compose_and_stays_what_it_is(
        self, component: Component, row: Row
    ) -> None:
        assert not alike(row.own, row.compose)
        found = [*values(component, row), WITH_ARGUMENTS[component].get(row.variable)]
        assert [value for value in found if value is not None and not alike(value, row.own)] == []

    @pytest.mark.parametrize(("component", "row"), rows(Verdict.CONDITIONAL))
    def test_what_is_conditional_is_not_said_where_nobody_asks_and_the_frontend_carries_all(
        self, component: Component, row: Row
    ) -> None:
        assert row.variable not in said(component, FRONTENDS["streaming"])

    @pytest.mark.parametrize(("component", "row"), rows(Verdict.CONDITIONAL))
    def test_what_is_conditional_is_said_somewhere(self, component: Component, row: Row) -> None:
        assert is_said(component, row)

    @pytest.mark.parametrize(("component", "row"), rows(Verdict.GIVEN))
    def test_what_is_given_is_said_always(self, component: Component, row: Row) -> None:
        assert None not in values(component, row)

    def test_every_verdict_is_one_of_these(self) -> None:
        assert {row.verdict for row in DEFAULTS.rows} == set(Verdict)


class TestNames:
    @pytest.mark.parametrize(
        "component", [component for component in Component if component is not Component.SSRF_PROXY]
    )
    def test_every_variable_that_the_library_sets_has_a_row(self, component: Component) -> None:
        found = {name for one in (*BEHIND_FRONTENDS[component], WITH_ARGUMENTS[component]) for name in one}
        assert found
        assert [name for name in sorted(found) if DEFAULTS.find(component, name) is None] == []

    @pytest.mark.parametrize(
        "component", [component for component in Component if component is not Component.SSRF_PROXY]
    )
    def test_no_row_names_a_variable_that_its_component_does_not_read(self, component: Component) -> None:
        names = {row.variable for row in DEFAULTS.rows if component in row.components}
        assert names
        assert names - known_names(component) == set()
        assert names & dropped_names(component) == set()

    def test_rows_of_the_proxy_are_directives(self) -> None:
        names = [row.variable for row in DEFAULTS.rows if Component.SSRF_PROXY in row.components]
        assert names
        assert all(name.islower() for name in names)

    @pytest.mark.parametrize("component", Component)
    def test_a_variable_of_a_component_has_one_row(self, component: Component) -> None:
        names = [row.variable for row in DEFAULTS.rows if component in row.components]
        assert sorted(names) == sorted(set(names))

    def test_nothing_is_ignored_that_has_a_row(self) -> None:
        assert [row.variable for row in DEFAULTS.rows if DEFAULTS.ignores(row.variable)] == []


class TestColumns:
    def test_the_file_is_as_the_tool_writes_it(self) -> None:
        assert DEFAULTS_FILE.read_text(encoding="utf-8") == written(DEFAULTS)

    @pytest.mark.parametrize("row", DEFAULTS.rows, ids=lambda row: row.variable)
    def test_the_library_s_column_has_the_value_or_says_how_it_comes_about(self, row: Row) -> None:
        """A constant as it is; words where it depends on something; nothing where nothing is ever said."""
        constants = {constant(component, row) for component in row.components if is_said(component, row)}
        if not constants:
            assert row.ours is None
        elif len(constants) == 1 and None not in constants and row.verdict is not Verdict.CONDITIONAL:
            assert {row.ours} == constants
        else:
            assert row.ours is not None
            assert " " in row.ours or "(" in row.ours

    @pytest.mark.parametrize("row", DEFAULTS.rows, ids=lambda row: row.variable)
    def test_every_default_has_its_source_and_every_decision_its_reason(self, row: Row) -> None:
        columns = {"code": row.code, "image": row.image, "compose": row.compose}
        assert [name for name, value in columns.items() if value is not None and name not in row.source] == []
        assert row.source.keys() <= {*columns, "why"}
        assert all(value == canonical(value) for value in columns.values())
        if row.verdict is Verdict.GIVEN:
            assert (row.topic, row.why) == (None, "")
        else:
            assert row.topic is not None
            assert row.source
        if row.verdict in (Verdict.LOST, Verdict.OURS, Verdict.LEFT):
            assert row.why
        if row.mark is Mark.MEASURED:
            assert row.source["why"].startswith("measured with ")

    def test_what_is_unproved_says_what_was_read_instead(self) -> None:
        unproved = [row for row in DEFAULTS.rows if row.mark is Mark.UNPROVED]
        assert unproved
        assert [row.variable for row in unproved if not (row.why or row.since)] == []

    def test_keys_are_never_topics_of_another_kind_than_security(self) -> None:
        keys = {row.name for row in TABLE if isinstance(row.value, SecretField)}
        found = [row for row in DEFAULTS.rows if row.variable in keys and row.verdict is Verdict.OURS]
        assert {row.topic for row in found} == {Topic.SECURITY}


class TestUsers:
    """Numbers in the library that are Dify's own."""

    def test_limits_of_uploads_are_lowered_from_dify_s_own(self) -> None:
        """Behind a frontend that supports more than Dify takes, they are exactly those."""
        found = said(Component.API, FRONTENDS["wide"])
        own = {
            row.variable: row.own
            for row in DEFAULTS.rows
            if row.variable in environment._DIFY_UPLOAD_MB and Component.API in row.components
        }
        assert own.keys() == environment._DIFY_UPLOAD_MB.keys()
        assert {name: found[name] for name in own} == own

    @pytest.mark.parametrize(
        ("component", "variable", "number"),
        [
            (Component.API, "PLUGIN_DAEMON_TIMEOUT", environment._PLUGIN_TIMEOUT_SECONDS),
            (Component.PLUGIN_DAEMON, "PLUGIN_MAX_EXECUTION_TIMEOUT", environment._PLUGIN_TIMEOUT_SECONDS),
            (Component.WORKER, "CODE_EXECUTION_READ_TIMEOUT", sandbox._SHORTEST_WAIT_SECONDS),
            (Component.SANDBOX, "MAX_WORKERS", sandbox._RUNS_AT_ONCE),
            (Component.API, "SQLALCHEMY_POOL_SIZE", connections.DEFAULT_POOLS.size),
            (Component.API, "SQLALCHEMY_MAX_OVERFLOW", connections.DEFAULT_POOLS.overflow),
            (Component.API, "PGVECTOR_MIN_CONNECTION", connections._OPENED_BY_A_VECTOR),
            (Component.PLUGIN_DAEMON, "DB_MAX_OPEN_CONNS", connections.DEFAULT_POOLS.plugins),
        ],
        ids=str,
    )
    def test_numbers_that_are_called_dify_s_own_are(
        self, component: Component, variable: str, number: int
    ) -> None:
        row = DEFAULTS.find(component, variable)
        assert row is not None
        assert row.own == str(number)

    @pytest.mark.parametrize(
        ("variable", "number"),
        [
            ("GUNICORN_TIMEOUT", environment._GUNICORN_TIMEOUT_SECONDS),
            ("PLUGIN_MAX_PACKAGE_SIZE", environment._PLUGIN_PACKAGE_BYTES),
        ],
    )
    def test_numbers_that_are_compose_s_are(self, variable: str, number: object) -> None:
        row = DEFAULTS.find(Component.API, variable)
        assert row is not None
        assert row.compose == str(number)

    @pytest.mark.parametrize("component", IMAGES)
    def test_images_for_aws_lambda_say_what_the_table_says(self, component: Component) -> None:
        found = in_image(component)
        assert found
        for name, value in found.items():
            row = DEFAULTS.find(component, name)
            assert row is not None, name
            assert row.ours is not None, name
            assert value == row.ours or row.ours.startswith(f"{value} "), name

    def test_what_was_read_is_what_the_library_runs(self) -> None:
        """A new release of the plugin daemon or the sandbox begins with its defaults."""
        release = DifyRelease()
        tags = {"plugin_daemon": release.plugin_daemon.removesuffix("-local"), "sandbox": release.sandbox}
        assert {name: DEFAULTS.versions[name] for name in tags} == tags


class TestComparison:
    @pytest.mark.parametrize(
        ("one", "other"),
        [("600.0", "600"), ("True", "true"), ("", None), (None, "false"), ("null", ""), (" 5 ", "5")],
    )
    def test_what_means_the_same_is_alike(self, one: str | None, other: str | None) -> None:
        assert alike(one, other)

    @pytest.mark.parametrize(("one", "other"), [("1", "true"), ("0.1", "1"), (None, "true"), ("5", "50")])
    def test_what_does_not_is_not(self, one: str | None, other: str | None) -> None:
        assert not alike(one, other)
        assert not alike(other, one)


def some_rows() -> Iterator[Row]:
    yield DEFAULTS.rows[0]
    yield replace(DEFAULTS.rows[1], ours="", since="1.2.3")


def test_a_table_is_read_as_it_was_written(tmp_path) -> None:  # type: ignore[no-untyped-def]
    table = Table(versions={"dify": "1"}, rows=tuple(some_rows()), ignored=())
    path = tmp_path / "table.json"
    path.write_text(written(table), encoding="utf-8")
    assert read_table(path) == table
