"""What runs only while something is deployed, and so costs next to nothing in a month."""

from __future__ import annotations

from dify_cdk.report.templates.template import Resource, Template, mapping, references, remembered

_RUNNERS = ("AWS::Lambda::Function", "AWS::StepFunctions::StateMachine")


@remembered
def deployment_only(view: Template) -> frozenset[str]:
    """Functions and state machines that custom resources start, and those that these start in turn."""
    runners = {resource.id: resource for resource in view.of_type(*_RUNNERS)}
    tokens = [resource.properties.get("ServiceToken") for resource in view.resources if _is_custom(resource)]
    found: set[str] = set()
    todo = [id for token in tokens for id in references(token)]
    while todo:
        id = todo.pop()
        if id in runners and id not in found:
            found.add(id)
            todo += references(_started_by(runners[id]))
    return frozenset(found)


def _is_custom(resource: Resource) -> bool:
    return resource.type.startswith("Custom::") or resource.type == "AWS::CloudFormation::CustomResource"


def _started_by(runner: Resource) -> object:
    """The properties that name what a runner starts."""
    return [
        mapping(runner.properties.get("Environment")).get("Variables"),
        runner.properties.get("DefinitionString"),
        runner.properties.get("Definition"),
        runner.properties.get("DefinitionSubstitutions"),
    ]
