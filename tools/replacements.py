"""Write what the provider schemas say about replacements to ``report/data/replacements.json``.

CloudFormation publishes a schema for every type; cfn-lint contains them all, but weighs far more than a
command line should. Run it after a new cfn-lint was locked: ``.venv/bin/python tools/replacements.py``. A
test compares for the types that the variants use.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cfnlint  # type: ignore[import-untyped]
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]

TARGET = Path(__file__).parents[1] / "src" / "dify_cdk" / "report" / "data" / "replacements.json"
REGION = "us-east-1"  # the region with the most types; properties are the same everywhere
DELETES_FIRST = "delete_then_create"


def types() -> list[str]:
    """Every type that the schemas describe."""
    return sorted(PROVIDER_SCHEMA_MANAGER.get_resource_types(REGION))


def extract(type: str) -> dict[str, Any]:
    """What decides about replacements of one type; what is not so is left out.

    ``replaced_by`` and ``perhaps_by`` are properties, nested ones as paths, ``*`` any; ``identity`` are those
    that name the resource, where a template can give them all; ``deletes_first`` says that the old one is
    deleted before the new one is made.
    """
    schema: dict[str, Any] = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, type).schema
    handlers = schema.get("handlers", {})
    cannot_be_updated = "create" in handlers and "update" not in handlers
    found: dict[str, Any] = {
        "replaced_by": ["*"] if cannot_be_updated else _properties(schema, "createOnlyProperties"),
        "perhaps_by": [] if cannot_be_updated else _properties(schema, "conditionalCreateOnlyProperties"),
        "identity": _identity(schema),
        "deletes_first": schema.get("replacementStrategy") == DELETES_FIRST,
    }
    return {key: value for key, value in found.items() if value}


def _properties(schema: dict[str, Any], key: str) -> list[str]:
    return sorted(
        {path.removeprefix("/properties/").replace("/items/", "/*/") for path in schema.get(key, ())}
    )


def _identity(schema: dict[str, Any]) -> list[str]:
    """The primary identifier, unless a part of it is only known when the resource exists."""
    given = _properties(schema, "primaryIdentifier")
    known_later = {path.split("/", 1)[0] for path in _properties(schema, "readOnlyProperties")}
    return [] if known_later & {path.split("/", 1)[0] for path in given} else given


def document() -> dict[str, Any]:
    """The whole table with its source."""
    data = Path(cfnlint.__file__).parent / "data" / "schemas" / "version.json"
    published = json.loads(data.read_text(encoding="utf-8"))["schema_date"]
    source = {
        "source": "CloudFormation provider schemas",
        "published": published,
        "cfn_lint": version("cfn-lint"),
    }
    return {**source, "types": {type: extract(type) for type in types()}}


def text(table: dict[str, Any]) -> str:
    """One line for each type, so that a difference shows which ones changed."""
    head = {key: value for key, value in table.items() if key != "types"}
    lines = [f'"{type}":{json.dumps(entry, separators=(",", ":"))}' for type, entry in table["types"].items()]
    return json.dumps(head)[:-1] + ',\n"types": {\n' + ",\n".join(lines) + "\n}}\n"


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text(document()), encoding="utf-8")
