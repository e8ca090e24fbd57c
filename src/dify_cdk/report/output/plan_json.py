"""Plans as JSON, schema ``dify-cdk/plan/2``.

Fields may be added within a version; a removed or changed one makes a new version::

    {
      "schema": "dify-cdk/plan/2",
      "before": "v1",
      "after": "v3",
      "finding": false,                    data is lost or a conflict exists: the exit status is 1
      "stacks": [                          the main one first, see ``StackChange``
        {"name": "Dify", "region": "ap-northeast-1", "action": "kept"}
      ],
      "resources": [                       what holds data first, see ``ResourceChange``
        {
          "stack": "Dify",
          "logical_id": "DataDatabaseCluster9D84B022",
          "type": "AWS::RDS::DBCluster",
          "action": "kept",                one of the values of ``Action``
          "reasons": [                     empty for what is kept, added or removed
            {"property": "Port", "effect": "replaced", "because": ""}
          ],
          "holds": "the database",         empty if it holds nothing
          "is_stateful": true,             losing it is a finding
          "is_lost": false,
          "keeps": ""                      what stays of it outside the stack: resource, snapshot or nothing
        }
      ],
      "conflicts": [                       why the deployment would fail, see ``Conflict``
        {
          "what": "priority of the listener",
          "value": "Http 10",
          "newcomer": {"stack": "Dify", "logical_id": "New", "type": "...", "action": "added"},
          "holder": {"stack": "Dify", "logical_id": "Old", "type": "...", "action": "removed"},
          "text": "...", "remedy": "...", "source": "https://..."
        }
      ],
      "in_place": [{"who": "you", "text": "deploy"}],
      "side_by_side": [...],               likewise; empty if no entry point changes
      "left_behind": [                     see ``LeftBehind``; logical_id is empty for a whole stack
        {"stack": "Dify", "logical_id": "...", "type": "...", "why": "...", "how": "..."}
      ],
      "notes": ["..."]
    }

Version 1 had ``two_doors`` instead of ``side_by_side``.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import Enum

from dify_cdk.report.plan.plan import Plan

SCHEMA = "dify-cdk/plan/2"


def to_json(plan: Plan) -> str:
    """The plan in the JSON schema that this module documents."""
    document = asdict(plan)
    resources = [{**asdict(one), "is_lost": one.is_lost} for one in plan.resources]
    head = {"schema": SCHEMA, "before": plan.before, "after": plan.after, "finding": plan.is_finding}
    return json.dumps({**head, **document, "resources": resources}, indent=2, default=_plain) + "\n"


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{value!r} has no form in JSON")
