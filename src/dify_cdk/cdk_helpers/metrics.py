"""Metrics as alarms and dashboards look at them: in steps of one length, and put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from dify_cdk.options.alarms import PERIOD_MINUTES

Graph = cloudwatch.Metric | cloudwatch.MathExpression
"""What an alarm can look at."""


def period(minutes: int = PERIOD_MINUTES) -> cdk.Duration:
    """The step in which a metric is looked at."""
    return cdk.Duration.minutes(minutes)


def metric(
    namespace: str, name: str, dimensions: Mapping[str, str], statistic: str, minutes: int = PERIOD_MINUTES
) -> cloudwatch.Metric:
    """A metric that an AWS service tells."""
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=dict(dimensions),
        statistic=statistic,
        period=period(minutes),
    )


def expression(
    text: str, metrics: Mapping[str, Graph], label: str, minutes: int = PERIOD_MINUTES
) -> cloudwatch.MathExpression:
    """Metric math over metrics by the names that the text has for them."""
    return cloudwatch.MathExpression(
        expression=text, using_metrics=dict(metrics), label=label, period=period(minutes)
    )


def combined(function: str, metrics: Sequence[Graph], label: str) -> cloudwatch.MathExpression:
    """The sum or the highest of several metrics; one that has no data point counts as zero."""
    names = {f"m{number}": one for number, one in enumerate(metrics)}
    parts = ", ".join(f"FILL({name}, 0)" for name in names)
    return expression(f"{function}([{parts}])", names, label)


def seconds(milliseconds: Graph) -> cloudwatch.MathExpression:
    """A latency that is told in milliseconds."""
    return expression("milliseconds / 1000", {"milliseconds": milliseconds}, "Latency, seconds")
