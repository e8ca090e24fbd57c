"""The table of create-only properties: as fresh as the installed schemas, and read as it is meant."""

from __future__ import annotations

import importlib.util
import json
from datetime import date
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from dify_cdk.report.plan.replacements import TypeRules, published, rules_of

ROOT = Path(__file__).parents[2]
SNAPSHOTS = ROOT / "test" / "synth" / "__snapshots__"


@cache
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("replacements", ROOT / "tools" / "replacements.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def types_of_the_variants() -> list[str]:
    templates = [json.loads(path.read_text(encoding="utf-8")) for path in SNAPSHOTS.rglob("*.json")]
    found = {body["Type"] for template in templates for body in template["Resources"].values()}
    return sorted(type for type in found if type.startswith("AWS::"))


class TestFreshness:
    @pytest.mark.parametrize("type", types_of_the_variants())
    def test_the_types_of_the_variants_are_as_the_installed_schemas_say(self, type: str) -> None:
        """If it fails after an upgrade of cfn-lint: run tools/replacements.py."""
        committed = json.loads(tool().TARGET.read_text(encoding="utf-8"))["types"]
        assert committed[type] == tool().extract(type)

    def test_the_variants_use_many_types(self) -> None:
        assert len(types_of_the_variants()) >= 40

    def test_the_file_is_what_the_tool_writes(self) -> None:
        committed = tool().TARGET.read_text(encoding="utf-8")
        assert tool().text(json.loads(committed)) == committed

    def test_it_knows_all_types_and_stays_small(self) -> None:
        table = json.loads(tool().TARGET.read_text(encoding="utf-8"))
        assert len(table["types"]) > 1500
        assert tool().TARGET.stat().st_size < 250_000
        assert date.fromisoformat(published()) > date(2026, 1, 1)


class TestRules:
    def test_a_property_that_cannot_change_in_place(self) -> None:
        rules = rules_of("AWS::RDS::DBCluster")
        assert rules is not None
        assert {"DBSubnetGroupName", "StorageEncrypted", "SnapshotIdentifier"} <= set(rules.replaced_by)
        assert "MasterUsername" in rules.perhaps_by
        assert rules.identity == ("DBClusterIdentifier",)
        assert not rules.deletes_first

    def test_a_nested_property_is_a_path(self) -> None:
        rules = rules_of("AWS::EC2::VPCEndpoint")
        assert rules is not None
        assert "DnsOptions/PrivateDnsPreference" in rules.replaced_by

    def test_a_type_without_an_update_is_replaced_by_any_change(self) -> None:
        association = rules_of("AWS::EC2::EIPAssociation")
        assert association == TypeRules(replaced_by=("*",), deletes_first=True)

    def test_a_name_that_is_given_later_is_no_identity(self) -> None:
        rules = rules_of("AWS::SecretsManager::Secret")
        assert rules is not None
        assert rules.identity == ()

    @pytest.mark.parametrize("type", ["Custom::Anything", "AWS::CloudFormation::CustomResource"])
    def test_custom_resources_are_updated(self, type: str) -> None:
        assert rules_of(type) == TypeRules()

    @pytest.mark.parametrize("type", ["AWS::No::Such", "Acme::Thing::Box", ""])
    def test_other_types_are_unknown(self, type: str) -> None:
        assert rules_of(type) is None
