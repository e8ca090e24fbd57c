"""Bring ``prices.json`` up to date from AWS's public price list.

``python tools/refresh_prices.py [REGION ...]``; regions that are named are added to those that the list has.
It needs the internet and no account, and takes a while: the file of EC2 alone has some hundred MB for each
region, so files are read line by line. A price that is not found, or found twice with different values, is
left as it is and named; so are prices that are not in the price list at all (Fargate Spot, what is free).

See https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/reading-service-price-list-file-for-services.html
"""

from __future__ import annotations

import copy
import csv
import io
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any
from urllib.request import urlopen

from dify_cdk.report.cost.prices import EVERYWHERE, PRICES_FILE, UNITS, parse_prices

BASE = "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws"
HOME = "us-east-1"  # where what is the same everywhere is looked up

# The part of the world that CloudFront's price list names instead of the region.
EDGES = {"ap-northeast-1": "JP", "us-east-1": "US", "us-west-2": "US"}

# Regional usage types begin with a short code (USE1-, APN1-), KMS's with the region, and some with nothing.
_PREFIX = r"(?:[A-Z]{2,4}\d?-|[a-z]{2}-[a-z]+-\d-)?"


@dataclass(frozen=True, kw_only=True, slots=True)
class Selector:
    """Where a price stands in the price list.

    Attributes:
        key: Its key in ``prices.json``.
        offer: Code of the service's file.
        usage: Usage type without the region's code; ``{edge}`` stands for CloudFront's part of the world.
        where: Further columns and their values.
        regional: Whether the service has a file for each region, or one for all.
    """

    key: str
    offer: str
    usage: str
    where: Mapping[str, str] = field(default_factory=dict)
    regional: bool = True

    def matches(self, row: Mapping[str, str], region: str) -> bool:
        """Whether a line of the price list is about this price."""
        usage = self.usage.format(edge=EDGES.get(region, ""))
        prefix = _PREFIX if self.regional else ""
        if not re.fullmatch(prefix + re.escape(usage), row.get("usageType", "")):
            return False
        return all(row.get(column) == value for column, value in self.where.items())


def _of(
    offer: str,
    usages: Mapping[str, str],
    where: Mapping[str, str] = MappingProxyType({}),
    *,
    regional: bool = True,
) -> list[Selector]:
    """The selectors of one file, from usage type by key."""
    return [
        Selector(key=key, offer=offer, usage=usage, where=where, regional=regional)
        for key, usage in usages.items()
    ]


_LAMBDA = {
    "lambda.requests": "Request",
    "lambda.gb_second.x86_64": "Lambda-GB-Second",
    "lambda.gb_second.arm64": "Lambda-GB-Second-ARM",
    "lambda.ephemeral_gb_second": "Lambda-Storage-GB-Second",
    "lambda.provisioned_gb_second.x86_64": "Lambda-Provisioned-Concurrency",
    "lambda.provisioned_gb_second.arm64": "Lambda-Provisioned-Concurrency-ARM",
    "lambda.provisioned_duration_gb_second.x86_64": "Lambda-Provisioned-GB-Second",
    "lambda.provisioned_duration_gb_second.arm64": "Lambda-Provisioned-GB-Second-ARM",
    "lambda_edge.requests": "Lambda-Edge-Request",
    "lambda_edge.gb_second": "Lambda-Edge-GB-Second",
}
_FARGATE = {
    "fargate.vcpu_hour.x86_64": "Fargate-vCPU-Hours:perCPU",
    "fargate.gb_hour.x86_64": "Fargate-GB-Hours",
    "fargate.vcpu_hour.arm64": "Fargate-ARM-vCPU-Hours:perCPU",
    "fargate.gb_hour.arm64": "Fargate-ARM-GB-Hours",
    "fargate.ephemeral_gb_hour": "Fargate-EphemeralStorage-GB-Hours",
}
_AURORA = {
    "aurora.acu_hour": "Aurora:ServerlessV2Usage",
    "aurora.acu_hour.io_optimized": "Aurora:ServerlessV2IOOptimizedUsage",
    "aurora.gb_month": "Aurora:StorageUsage",
    "aurora.io_requests": "Aurora:StorageIOUsage",
}
_EDGE = {
    "cloudfront.out_gb": "{edge}-DataTransfer-Out-Bytes",
    "cloudfront.requests": "{edge}-Requests-Tier2-HTTPS",
    "cloudfront.to_origin_gb": "{edge}-DataTransfer-Out-OBytes",
    "cloudfront.function_calls": "Executions-CloudFrontFunctions",
}
_BALANCER = {"alb.hour": "LoadBalancerUsage", "alb.lcu_hour": "LCUUsage"}
_API = {
    "api_gateway.http_requests": "ApiGatewayHttpRequest",
    "api_gateway.rest_requests": "ApiGatewayRequest",
}
_LOGS = {
    "cloudwatch.log_gb": "DataProcessing-Bytes",
    "cloudwatch.log_gb_month": "TimedStorage-ByteHrs",
    "cloudwatch.alarm_month": "CW:AlarmMonitorUsage",
}
_EC2 = {
    "ebs.gb_month.gp2": "EBS:VolumeUsage.gp2",
    "ebs.gb_month.gp3": "EBS:VolumeUsage.gp3",
    "vpc.nat_gateway_gb": "NatGateway-Bytes",
    "vpc.nat_gateway_hour": "NatGateway-Hours",
}
_VPC = {
    "vpc.public_ipv4_hour": "PublicIPv4:InUseAddress",
    "vpc.interface_endpoint_hour": "VpcEndpoint-Hours",
    "vpc.interface_endpoint_gb": "VpcEndpoint-Bytes",
}
_FIREWALL = {"waf.web_acl_month": "WebACLV2", "waf.rule_month": "RuleV2", "waf.requests": "RequestV2-Tier1"}
_BUCKET = {"s3.puts": "Requests-Tier1", "s3.gets": "Requests-Tier2"}
_NODE = "NodeUsage:cache.t4g.micro"

SELECTORS: Sequence[Selector] = (
    *_of("AmazonECS", _FARGATE),
    *_of("AWSLambda", _LAMBDA),
    *_of("AmazonRDS", _AURORA),
    *_of("AmazonCloudFront", _EDGE, regional=False),
    *_of("AWSELB", _BALANCER, {"Product Family": "Load Balancer-Application"}),
    *_of("AmazonApiGateway", _API),
    *_of("AmazonCloudWatch", _LOGS),
    *_of("AmazonEC2", _EC2),
    # Instances without further software on shared hardware; reserved capacity has a usage type of its own.
    *_of("AmazonEC2", {"ec2.hour.t4g.nano": "BoxUsage:t4g.nano"}, {"operation": "RunInstances"}),
    *_of("AmazonECR", {"ecr.gb_month": "TimedStorage-ByteHrs"}),
    *_of("AmazonElastiCache", {"elasticache.hour.redis.cache.t4g.micro": _NODE}, {"Cache Engine": "Redis"}),
    *_of("AmazonElastiCache", {"elasticache.hour.valkey.cache.t4g.micro": _NODE}, {"Cache Engine": "Valkey"}),
    *_of("AmazonRoute53", {"route53.zone_month": "HostedZone"}, regional=False),
    *_of("AmazonS3", {"s3.gb_month": "TimedStorage-ByteHrs"}, {"Volume Type": "Standard"}),
    *_of("AmazonS3", _BUCKET),
    *_of("AmazonVPC", _VPC),
    *_of("AWSCloudMap", {"cloud_map.discover_calls": "Cloud-Map-API-Calls"}),
    *_of("AWSDataTransfer", {"data_transfer.out_gb": "DataTransfer-Out-Bytes"}),
    *_of("AWSSecretsManager", {"secrets_manager.secret_month": "AWSSecretsManager-Secrets"}),
    *_of("awskms", {"kms.key_month": "KMS-Keys"}),
    *_of("awswaf", _FIREWALL),
)
"""Usage types as they stand in bills; a selector that fits nothing only leaves a price as it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a file says of one price.

    Attributes:
        values: Different prices of single things; more than one if the selector is not exact enough.
        source: Address of the file.
        seen: Day on which it was published.
    """

    values: tuple[float, ...]
    source: str
    seen: str


def address(offer: str, region: str | None) -> str:
    """The address of a service's current file, for one region or for all."""
    return "/".join(filter(None, (BASE, offer, "current", region, "index.csv")))


def read_offer(
    lines: Iterable[str], selectors: Iterable[Selector], region: str, source: str
) -> dict[str, Found]:
    """Find prices in a file of the price list.

    Of a price that changes with the quantity the first step counts that is not free.

    Args:
        lines: The CSV file: metadata, a line of column names that begins with ``SKU``, then prices.
        selectors: What to look for.
        region: Region to look for, where the file has several.
        source: Where the file is from.

    Returns:
        What was found, by key; a price that is not in the file is missing.

    Raises:
        ValueError: If the file has no line of column names.
    """
    rows = csv.reader(lines)
    about: dict[str, str] = {}
    for columns in rows:
        if columns[:1] == ["SKU"]:
            break
        about |= dict([columns[:2]]) if len(columns) > 1 else {}
    else:
        raise ValueError(f"{source}: no line of column names that begins with SKU")
    steps: defaultdict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    wanted = list(selectors)
    for row in (dict(zip(columns, cells, strict=False)) for cells in rows):
        if row.get("TermType") == "OnDemand" and row.get("Currency") == "USD":
            for selector in wanted:
                if selector.matches(row, region):
                    step = (float(row["StartingRange"] or 0), float(row["PricePerUnit"]))
                    steps[selector.key, row["SKU"]].append(step)
    values: defaultdict[str, set[float]] = defaultdict(set)
    for (key, _), prices in steps.items():
        values[key].update([price for _, price in sorted(prices) if price > 0][:1])
    seen = about.get("Publication Date", "")[:10]
    return {
        key: Found(values=tuple(sorted(prices)), source=source, seen=seen)
        for key, prices in values.items()
        if prices
    }


def renewed(
    document: Mapping[str, Any], found: Mapping[tuple[str, str], Found], today: date
) -> tuple[dict[str, Any], list[str]]:
    """A price list with what was found in the place of what it had, and what changed or did not, in lines.

    Args:
        document: The content of ``prices.json``.
        found: Findings by key and region.
        today: Its new date.
    """
    new: dict[str, Any] = copy.deepcopy(dict(document))
    new["as_of"] = today.isoformat()
    lines = []
    for key, entry in new["prices"].items():
        for region, old in entry["regions"].items():
            before = old["value"] if old else None
            finding = found.get((key, region))
            if finding is None or len(finding.values) != 1:
                lines.append(_kept(key, region, before, finding))
                continue
            value = float(f"{finding.values[0] * UNITS[entry['unit']]:.9g}")
            entry["regions"][region] = {"value": value, "source": finding.source, "seen": finding.seen}
            if value != before:
                lines.append(f"{key} in {region}: {before} is now {value}")
    parse_prices(new)
    return new, lines


def _kept(key: str, region: str, before: float | None, finding: Found | None) -> str:
    why = f"several values {finding.values}" if finding else "not found"
    return f"{key} in {region}: {why}, stays {before}"


@contextmanager
def download(url: str) -> Iterator[Iterable[str]]:
    """The lines of a file on the internet, one after the other."""
    with urlopen(url, timeout=60) as answer:
        yield io.TextIOWrapper(answer, encoding="utf-8", newline="")


Opener = Callable[[str], AbstractContextManager[Iterable[str]]]


def look_up(document: Mapping[str, Any], opened: Opener) -> dict[tuple[str, str], Found]:
    """Find every price of a price list in every region that it names for it.

    Args:
        document: The content of ``prices.json``.
        opened: Opens a file by its address.
    """
    found: dict[tuple[str, str], Found] = {}
    for region in sorted({region for entry in document["prices"].values() for region in entry["regions"]}):
        # What is the same everywhere is looked up in one region.
        place = HOME if region == EVERYWHERE else region
        wanted = [one for one in SELECTORS if region in document["prices"][one.key]["regions"]]
        for offer, regional in dict.fromkeys((one.offer, one.regional) for one in wanted):
            selectors = [one for one in wanted if (one.offer, one.regional) == (offer, regional)]
            url = address(offer, place if regional else None)
            print(f"reading {url} ...", file=sys.stderr)
            with opened(url) as lines:
                prices = read_offer(lines, selectors, place, url)
            found |= {(key, region): finding for key, finding in prices.items()}
    return found


def with_regions(document: Mapping[str, Any], regions: Iterable[str]) -> dict[str, Any]:
    """A price list with further regions, whose prices are unknown as long as nobody looks them up."""
    new: dict[str, Any] = copy.deepcopy(dict(document))
    for entry in new["prices"].values():
        if EVERYWHERE not in entry["regions"]:
            entry["regions"] = {**dict.fromkeys(regions), **entry["regions"]}
    return new


def main(regions: Sequence[str]) -> None:
    """Write the new price list and say what changed."""
    document = with_regions(json.loads(PRICES_FILE.read_text(encoding="utf-8")), regions)
    new, lines = renewed(document, look_up(document, download), date.today())
    PRICES_FILE.write_text(json.dumps(new, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(*lines, sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
