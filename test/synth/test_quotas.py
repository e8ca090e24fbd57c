"""What our examples take from the quotas of an account, worked out by hand from the sizes of their tasks."""

from __future__ import annotations

from collections.abc import Callable

from dify_cdk.report.quotas import Demand, Processors, demand
from dify_cdk.report.templates.template import Template as View
from support import Template


def _demand(template: Template) -> Demand:
    return demand(View(template.body))


def _on_demand(vcpu: float) -> Processors:
    return Processors(on_demand=vcpu)


def test_v1_by_hand(templates: Callable[[str], Template]) -> None:
    """One task each of api 0.5, web 0.25, worker 1, beat 0.25, plugin daemon 1, sandbox 0.25, proxy 0.25.

    Two schedulers would start every job twice, so that beat is stopped before the new one starts; all others
    double. The migration has the size of api.
    """
    found = _demand(templates("v1"))
    assert found.steady == found.scaled_out == _on_demand(3.5)
    assert found.rollout == found.scaled_out_rollout == _on_demand(2 * 3.25 + 0.25 + 0.5)
    assert (found.elastic_ips, found.vpcs) == (1, 1)
    assert (found.executions, found.functions) == (0, ())


def test_v4_by_hand(templates: Callable[[str], Template]) -> None:
    """As v1, with 0.25 for WebSocket, and 2 to 6 tasks of api and 2 to 4 of web."""
    found = _demand(templates("v4"))
    assert found.steady == _on_demand(4.5)
    assert found.rollout == _on_demand(2 * 4.25 + 0.25 + 0.5)
    assert found.scaled_out == _on_demand(4.5 + 4 * 0.5 + 2 * 0.25)
    assert found.scaled_out_rollout == _on_demand(2 * 6.75 + 0.25 + 0.5)
    assert found.elastic_ips == 2  # one NAT gateway in each of two zones


def test_what_runs_on_spot_by_hand(templates: Callable[[str], Template]) -> None:
    """On Spot: worker 1, beat, sandbox and proxy 0.25 each; on demand: api 0.5, web 0.25, plugin daemon 1."""
    found = _demand(templates("v4_low_cost"))
    assert found.steady == Processors(on_demand=1.75, spot=1.75)
    assert found.rollout == Processors(on_demand=4, spot=3.25)


def test_only_where_functions_answer_they_take_executions(templates: Callable[[str], Template]) -> None:
    by_variant = {name: len(_demand(templates(name)).functions) for name in ("v1", "v2", "v3", "v4")}
    # v2: the authorizer; v3: api and web, the authorizer of uploads, and what signs bodies
    assert by_variant == {"v1": 0, "v2": 1, "v3": 4, "v4": 0}
