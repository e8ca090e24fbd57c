"""Comparisons as JSON, schema ``dify-cdk/compare/3``.

Fields may be added within a version; a removed or changed one makes a new version. Numbers that are only
known when CloudFormation deploys, and amounts without a known price, are ``null``::

    {
      "schema": "dify-cdk/compare/3",
      "usage": "team",                           profile, or file that the usage was read from
      "prices_as_of": "2026-11-22",
      "subjects": [
        {
          "name": "v3",                          unique
          "parts": [                             its templates, the main one first
            {"name": "Dify",
             "region": "ap-northeast-1",         null where it is left open or unknown
             "source": null}                     file that the template was read from
          ],
          "resources": {
            "total": 2,
            "conditional": 0,                    how many exist only if a condition of the template holds
            "types": [{"service": "ECS", "name": "Service", "type": "AWS::ECS::Service", "count": 2}]
          },
          "containers": [...],                   one per container, see ``ContainerRow``
          "listeners": [{..., "routes": [...]}], see ``Listener``, ``Route`` and ``Destination``
          "other_entry_points": [...],           types of public entry points whose routes are not followed
          "messages": [...],                     what the CDK recorded, see ``Message``
          "limits": [...],                       what it supports, see ``Limit``
          "cost": {                              of a month, in USD, see ``MonthlyCost``
            "region": "ap-northeast-1",
            "usage": {"users": 50, ...},         see ``Usage``
            "lines": [...],                      see ``CostLine``
            "total": 195.93,
            "is_lower_bound": true,
            "unpriced": ["Custom::AWS"],
            "floor": 181.97                      if nobody uses it, likewise a lower bound
          }
        }
      ],
      "differences": [                           types that the subjects do not have equally often
        {"type": "AWS::WAFv2::WebACL", "counts": {"v1": 0, "v3": 1}}
      ],
      "break_even": [                            each two of them; usage null where one is always cheaper
        {"subjects": ["v1", "v3"], "usage": {"users": 599.5, ...}}
      ]
    }

Routes stand in the order in which they are tried. Version 2 had ``roles`` instead of ``containers``, ``role``
instead of the ``container`` of a destination, and ``other_doors`` instead of ``other_entry_points``.
Version 1 had ``templates`` instead of ``subjects``, one for each template, and no limits and costs.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields

from dify_cdk.report.comparison import BreakEven, Compared, Comparison
from dify_cdk.report.output.resources import count, differing_types
from dify_cdk.report.traffic.routes import Destination, Listener, Route

SCHEMA = "dify-cdk/compare/3"


def to_json(comparison: Comparison) -> str:
    """The comparison in the JSON schema that this module documents."""
    inventories = [one.whole for one in comparison.compared]
    document = {
        "schema": SCHEMA,
        "usage": comparison.usage,
        "prices_as_of": comparison.prices_as_of.isoformat(),
        "subjects": [_subject(one) for one in comparison.compared],
        "differences": [
            {"type": type, "counts": {inventory.name: count(inventory, type) for inventory in inventories}}
            for type in differing_types(inventories)
        ],
        "break_even": [_crossing(one) for one in comparison.break_evens],
    }
    return json.dumps(document, indent=2) + "\n"


def _subject(one: Compared) -> dict[str, object]:
    whole = one.whole
    return {
        "name": one.name,
        "parts": [
            {"name": part.name, "region": part.region, "source": part.source} for part in one.inventories
        ],
        "resources": {
            "total": whole.total,
            "conditional": whole.conditional,
            "types": [asdict(entry) for entry in whole.types],
        },
        "containers": [asdict(row) for row in whole.containers],
        "listeners": [_listener(listener) for listener in whole.listeners],
        "other_entry_points": whole.other_entry_points,
        "messages": [asdict(message) for message in whole.messages],
        "limits": [asdict(limit) for limit in one.limits],
        "cost": {**asdict(one.cost), "floor": one.floor.total},
    }


def _listener(listener: Listener) -> dict[str, object]:
    return {**_shown(listener), "routes": [_route(route) for route in listener.routes]}


def _route(route: Route) -> dict[str, object]:
    return {**_shown(route), "destinations": [_shown(one) for one in route.destinations]}


def _shown(row: Listener | Route | Destination) -> dict[str, object]:
    """The fields that tell rows apart; the others are for following requests only."""
    return {field.name: getattr(row, field.name) for field in fields(row) if field.compare}


def _crossing(crossing: BreakEven) -> dict[str, object]:
    usage = None if crossing.usage is None else asdict(crossing.usage)
    return {"subjects": [crossing.first, crossing.second], "usage": usage}
