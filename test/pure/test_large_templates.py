"""Reading large templates takes work in proportion to their size, and each of them is read once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from big_stacks import stack
from dify_cdk.report.comparison import compare, inventories
from dify_cdk.report.cost.prices import load_prices
from dify_cdk.report.cost.usage import USAGES
from dify_cdk.report.templates import joined, template
from dify_cdk.report.templates.subject import Part, Subject
from dify_cdk.report.templates.template import Template, remembered


def subject(resources: int, stacks: int = 1) -> Subject:
    parts = (
        Part(name=f"Stack{number}", template={"Resources": stack(number, resources)}, region="us-east-1")
        for number in range(stacks)
    )
    return Subject(name="app", parts=tuple(parts))


def work(monkeypatch: pytest.MonkeyPatch, resources: int, stacks: int = 1) -> Counter[str]:
    """How often values were looked through for references, and views were made, in one comparison."""
    counts: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            counts[name] += 1
            return function(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(template, "references", counted("references", template.references))
        patch.setattr(joined, "Template", counted("views", Template))
        one = subject(resources, stacks)
        compare(
            [(one, inventories(one))],
            region=None,
            usage=USAGES["team"],
            usage_name="team",
            prices=load_prices(),
        )
    return counts


def test_four_times_the_resources_are_at_most_six_times_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = (work(monkeypatch, resources)["references"] for resources in (100, 400))
    assert small > 100
    assert large < 6 * small


def test_each_template_is_made_a_view_once_and_all_together_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert work(monkeypatch, 40, stacks=3)["views"] == 4
    assert work(monkeypatch, 40)["views"] == 1


def test_a_reader_is_asked_once_for_the_same() -> None:
    asked = []

    @remembered
    def read(view: Template, what: str, *, loud: bool = False) -> str:
        asked.append(what)
        return what.upper() if loud else what

    one, other = Template({}), Template({})
    assert [read(one, "a"), read(one, "a"), read(other, "a")] == ["a"] * 3
    assert read(one, "a", loud=True) == "A"
    assert asked == ["a"] * 3
