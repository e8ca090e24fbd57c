"""What is known about Dify's variables: which names exist, what they hold by default, what the library says.

Two files of ``test/data``: the names that each component reads, and the table of defaults. Tests, the pages
and ``tools/renew_defaults.py`` read both by this module only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from dify_cdk.dify.components import BACKEND_COMPONENTS, Component

DATA = Path(__file__).parents[1] / "test" / "data"
NAMES_FILE = DATA / "dify-env.json"
DEFAULTS_FILE = DATA / "dify-defaults.json"

_BACKEND = "backend"  # stands for all components of the api image, which read one settings class


class Verdict(StrEnum):
    """What the library does about a default. A test checks each.

    ``own default`` is what a component holds without the library: that of its image, else of its code.
    """

    SAME = "same"
    """The own default is Compose's too, or Compose says nothing, and it stays."""
    LOST = "lost"
    """Compose says something else, which only the library's own value brings to AWS."""
    OURS = "ours-on-purpose"
    """The library says something that is neither the own default nor Compose's."""
    LEFT = "left"
    """Compose says something else, and the own default stays all the same."""
    CONDITIONAL = "conditional"
    """Said where an argument asks for it or a frontend supports less; else the own default stays."""
    GIVEN = "given"
    """A place, a name or a secret of the installation, which no default could be."""


class Topic(StrEnum):
    """Why a default matters."""

    LOAD = "load"
    TIME = "time"
    SIZE = "size"
    SECURITY = "security"
    TELEMETRY = "telemetry"
    OTHER = "other"


class Mark(StrEnum):
    """How it is known."""

    READ = "R"
    MEASURED = "M"
    UNPROVED = "U"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One variable of some components.

    Attributes:
        variable: Its name; of the proxy, the name of a directive of squid.
        components: Who reads it.
        verdict: What the library does about it.
        topic: Why it matters; None for what is given.
        code: Default of the component's code, or of the library that reads it.
        image: Default of the image: its entry script, its Dockerfile.
        compose: What a stock installation with Docker Compose holds.
        ours: What the library sets, or how it comes about, in words; None if it never sets it.
        why: The reason for the verdict.
        mark: How that is known.
        source: Where ``code``, ``image`` and ``compose`` stand: a path in the source tree, of the version in
            the head of the file. Anything with a blank in it is no path: such a column is kept by hand. Under
            ``why``, where the reason was read or with what it was measured.
        since: First release of Dify that has the variable, if that is later than the version in the head.
    """

    variable: str
    components: tuple[Component, ...]
    verdict: Verdict
    topic: Topic | None = None
    code: str | None = None
    image: str | None = None
    compose: str | None = None
    ours: str | None = None
    why: str = ""
    mark: Mark = Mark.READ
    source: Mapping[str, str] = field(default_factory=dict)
    since: str | None = None

    @property
    def own(self) -> str | None:
        """What the component holds when nobody says anything."""
        return self.code if self.image is None else self.image

    def is_by_hand(self, column: str) -> bool:
        """Whether a column is none of those that a source tree says."""
        return " " in self.source.get(column, "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ignored:
    """Variables that need no row: those of parts that the library never uses.

    Attributes:
        pattern: A regular expression that their whole names match.
        why: Why they do not matter.
    """

    pattern: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """The table of defaults.

    Attributes:
        versions: What was read, by source tree.
        rows: One for each variable and group of components that share it.
        ignored: What has no row.
    """

    versions: Mapping[str, str]
    rows: Sequence[Row]
    ignored: Sequence[Ignored]

    def find(self, component: Component, variable: str) -> Row | None:
        """The row of a variable of a component."""
        found = (row for row in self.rows if row.variable == variable and component in row.components)
        return next(found, None)

    def ignores(self, variable: str) -> bool:
        """Whether a variable needs no row."""
        return any(re.fullmatch(one.pattern, variable) for one in self.ignored)


def canonical(value: object) -> str | None:
    """A value as it is compared: one spelling of truth and of whole numbers; nothing for what is empty."""
    text = "" if value is None else str(value).strip()
    if text.lower() in ("", "null"):
        return None
    if text.lower() in ("true", "false"):
        return text.lower()
    return re.sub(r"^(-?\d+)\.0+$", r"\1", text)


def alike(one: str | None, other: str | None) -> bool:
    """Whether two values mean the same to a component; a switch that nobody mentions is off."""
    return (canonical(one) or "false") == (canonical(other) or "false")


# --- names ----------------------------------------------------------------------------------------------


def read_names() -> dict[str, Any]:
    """The list of names, read off Dify's sources and documentation."""
    names: dict[str, Any] = json.loads(NAMES_FILE.read_text(encoding="utf-8"))
    return names


def known_names(component: Component) -> set[str]:
    """Variables that a component reads, by itself or by a library in its image."""
    names = read_names()
    program = "api" if component is Component.MIGRATION else component.value
    library = "api" if component in (Component.MIGRATION, Component.API_WEBSOCKET) else component.value
    return {*names["components"][program], *names["library_level"].get(library, ())}


def dropped_names(component: Component | None = None) -> set[str]:
    """Names that nothing reads in the release that the library is written for.

    Args:
        component: Adds those that Compose translates for this component, and only Compose reads.
    """
    never = read_names()["never_emit"]
    dropped = {*never["computed_not_read"], *never["replaced_in_1_17"]}
    if component is not None:
        aliases = (alias.partition("@") for alias in never["compose_aliases_not_container_names"])
        dropped |= {name for name, _, only in aliases if only in ("", component)}
    return dropped


# --- defaults -------------------------------------------------------------------------------------------


def read_table(path: Path = DEFAULTS_FILE) -> Table:
    """The table of defaults.

    Raises:
        ValueError: If a verdict, topic, mark or component is none.
        TypeError: If a row has a key that is none.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    return Table(
        versions=content["versions"],
        rows=tuple(_row(row) for row in content["rows"]),
        ignored=tuple(Ignored(**one) for one in content["ignored"]),
    )


def _row(given: Mapping[str, Any]) -> Row:
    components = [
        component
        for name in given["components"]
        for component in (BACKEND_COMPONENTS if name == _BACKEND else (Component(name),))
    ]
    topic = given.get("topic")
    converted = {
        "components": tuple(components),
        "verdict": Verdict(given["verdict"]),
        "topic": None if topic is None else Topic(topic),
        "mark": Mark(given.get("mark", Mark.READ)),
    }
    return Row(**{**given, **converted})


_LINES = (
    ("variable", "components", "verdict", "topic", "since"),
    ("code", "image", "compose", "ours"),
    ("why", "mark"),
    ("source",),
)
"""What stands together on a line, so that a difference shows what moved."""


def written(table: Table) -> str:
    """The text of the file."""
    head = f'{{"versions": {json.dumps(table.versions)},\n"ignored": [\n'
    ignored = ",\n".join(
        json.dumps({"pattern": one.pattern, "why": one.why}, ensure_ascii=False) for one in table.ignored
    )
    rows = ",\n".join(map(_written, table.rows))
    return f'{head}{ignored}\n],\n"rows": [\n{rows}\n]}}\n'


def _written(row: Row) -> str:
    values = {one.name: getattr(row, one.name) for one in fields(row)}
    values |= {"components": _names(row.components), "why": row.why or None}
    if row.verdict is Verdict.GIVEN:
        values["mark"] = None
    said = {key: json.dumps(value, ensure_ascii=False) for key, value in values.items() if _says(value)}
    lines = ([f'"{key}": {said[key]}' for key in keys if key in said] for keys in _LINES)
    return "{" + ",\n ".join(", ".join(line) for line in lines if line) + "}"


def _says(value: object) -> bool:
    """Whether a value has to be written: an empty text, which the library may set, does."""
    return value not in (None, {})


def _names(components: Iterable[Component]) -> list[str]:
    rest = list(components)
    if set(BACKEND_COMPONENTS) <= set(rest):
        return [_BACKEND, *(component for component in rest if component not in BACKEND_COMPONENTS)]
    return [component.value for component in rest]
