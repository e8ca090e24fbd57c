"""What several test modules share: reading templates as the questions are asked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from dify_cdk.cdk_helpers.assets import examples_dir
from dify_cdk.cli.synth_example import SynthesizedStack
from dify_cdk.report.templates.template import references

REGION = "us-east-1"
EXAMPLES = sorted(path.stem for path in examples_dir().glob("v*.py"))
VARIANTS = [name for name in EXAMPLES if re.fullmatch(r"v\d+", name)]
"""The architectures; the other examples are set-ups of one of them."""
Example = Callable[..., tuple[SynthesizedStack, ...]]
"""The fixture ``example``: the stacks of an example, by its name and region."""
DATA = Path(__file__).parent / "data"
TEMPLATES = DATA / "templates"

T = TypeVar("T")


def around_stand_ins(kind: type[T], **arguments: Any) -> T:
    """A value object around objects that stand for constructs, which its checks of types would refuse."""
    value = object.__new__(kind)
    kind.__init__.__wrapped__(value, **arguments)  # type: ignore[attr-defined]
    return value


_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")


def recommended_flags() -> dict[str, Any]:
    """The context of the examples' cdk.json, which pytest would not read."""
    context: dict[str, Any] = json.loads((examples_dir() / "cdk.json").read_text(encoding="utf-8"))["context"]
    return context


@dataclass(frozen=True)
class Template:
    """A synthesized template with the questions that tests ask of it."""

    body: Mapping[str, Any] = field(repr=False)

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        """Logical id to resource."""
        return dict(self.body["Resources"])

    def of_type(self, *types: str) -> dict[str, dict[str, Any]]:
        """Resources of some types."""
        return {id: resource for id, resource in self.resources.items() if resource["Type"] in types}

    def properties(self, *types: str) -> dict[str, dict[str, Any]]:
        """Logical id to properties of the resources of some types."""
        return {id: resource.get("Properties", {}) for id, resource in self.of_type(*types).items()}

    def containers(self) -> dict[str, dict[str, Any]]:
        """Container name, which is the role, to container definition."""
        found = {}
        for properties in self.properties("AWS::ECS::TaskDefinition").values():
            (container,) = properties["ContainerDefinitions"]
            found[container["Name"]] = container
        return found

    def task_of(self, role: str) -> dict[str, Any]:
        """Properties of the task definition of a role."""
        for properties in self.properties("AWS::ECS::TaskDefinition").values():
            if properties["ContainerDefinitions"][0]["Name"] == role:
                return properties
        raise KeyError(role)

    def services(self) -> dict[str, dict[str, Any]]:
        """Role to properties of its ECS service."""
        names = {
            id: properties["ContainerDefinitions"][0]["Name"]
            for id, properties in self.properties("AWS::ECS::TaskDefinition").items()
        }
        services = self.properties("AWS::ECS::Service").values()
        return {names[service["TaskDefinition"]["Ref"]]: service for service in services}

    def before(self, id: str) -> set[str]:
        """Ids of all that CloudFormation has finished when it begins with a resource."""
        found: set[str] = set()
        waiting = [id]
        while waiting:
            resource = self.resources[waiting.pop()]
            depends = resource.get("DependsOn", [])
            named = {
                *([depends] if isinstance(depends, str) else depends),
                *references(resource.get("Properties", {})),
            }
            new = named & self.resources.keys() - found
            found |= new
            waiting += new
        return found

    def environment(self, role: str) -> dict[str, Any]:
        """Plain variables of a role."""
        return {row["Name"]: row["Value"] for row in self.containers()[role].get("Environment", ())}

    def secrets(self, role: str) -> dict[str, Any]:
        """Secret variables of a role: name to what they are read from."""
        return {row["Name"]: row["ValueFrom"] for row in self.containers()[role].get("Secrets", ())}


def strings(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Every string of a JSON value with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from strings(item, f"{path}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from strings(item, f"{path}/{index}")


def normalise(template: Mapping[str, Any]) -> dict[str, Any]:
    """A template without what differs from one CDK or handler version to the next: digests and bootstrap."""
    copy: dict[str, Any] = json.loads(_DIGEST.sub("<asset>", json.dumps(template)))
    copy.pop("Rules", None)
    copy.get("Parameters", {}).pop("BootstrapVersion", None)
    copy.get("Resources", {}).pop("CDKMetadata", None)
    return copy
