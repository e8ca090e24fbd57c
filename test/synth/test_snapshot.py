"""One normalised snapshot per variant: it says that something changed, nothing more."""

from __future__ import annotations

from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from support import Template, normalise


def test_template_is_unchanged(template: Template, snapshot: SnapshotAssertion) -> None:
    assert normalise(template.body) == snapshot.use_extension(JSONSnapshotExtension)
