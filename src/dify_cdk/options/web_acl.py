"""A web ACL of AWS WAF before CloudFront: which rules it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from dify_cdk._checks import is_token, require_between, require_list, require_match

_ARN = r"arn:[a-z-]+:wafv2:us-east-1:[0-9]{12}:global/webacl/[\w-]+/[\w-]+"
_GROUP = r"AWSManagedRules[A-Za-z0-9]+"

BODY_RULES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "AWSManagedRulesAmazonIpReputationList": (),
        "AWSManagedRulesCommonRuleSet": (
            "SizeRestrictions_BODY",
            "EC2MetaDataSSRF_BODY",
            "GenericLFI_BODY",
            "GenericRFI_BODY",
            "CrossSiteScripting_BODY",
        ),
        "AWSManagedRulesKnownBadInputsRuleSet": (
            "JavaDeserializationRCE_BODY",
            "Log4JRCE_BODY",
            "ReactJSRCE_BODY",
        ),
    }
)
"""The rule groups that :meth:`WebAcl.managed` takes, and which of their rules read request bodies.

Those only count: a prompt is free text and may hold anything, and an upload is larger than 8 KB.

See https://docs.aws.amazon.com/waf/latest/developerguide/aws-managed-rule-groups-baseline.html
"""


@dataclass(frozen=True, kw_only=True)
class WebAcl:
    """What AWS WAF checks before a request enters CloudFront.

    Make one with :meth:`managed`, :meth:`addresses` or :meth:`from_arn`.

    AWS WAF costs 5 USD a month for a web ACL, 1 USD for each of its rules, and 0.60 USD for a million
    requests. Without one, a CloudFront Function filters addresses at no fixed price.

    See https://aws.amazon.com/waf/pricing/

    Attributes:
        arn: An existing web ACL; None if one is defined.
        groups: Names of AWS managed rule groups, in the order of evaluation.
        rate: Requests of one address within five minutes above which it is blocked; None for no limit.
        filters_addresses: Whether the web ACL itself allows only the networks of ``access``.
    """

    arn: str | None = None
    groups: Sequence[str] = ()
    rate: int | None = None
    filters_addresses: bool = False

    @classmethod
    def from_arn(cls, arn: str) -> WebAcl:
        """A web ACL of yours with scope ``CLOUDFRONT``, which is in us-east-1.

        Addresses are filtered by the CloudFront Function as without a web ACL.

        Raises:
            ValueError: If it is not the ARN of such a web ACL.
        """
        require_match("WebAcl.from_arn", arn, _ARN, "the ARN of a web ACL with scope CLOUDFRONT in us-east-1")
        return cls(arn=arn)

    @classmethod
    def managed(cls, *groups: str, rate: int | None = None) -> WebAcl:
        """A web ACL with AWS managed rules.

        Addresses are filtered by the CloudFront Function as without a web ACL.

        Args:
            groups: Names of managed rule groups. Default: IP reputation list, core rule set and known bad
                inputs. Of these three, rules that read bodies only count; the others block, for example
                programs that send no ``User-Agent`` header.
            rate: Requests of one address within five minutes above which it is blocked, 10 to
                2,000,000,000. Default: no limit.

        Raises:
            ValueError: If a name does not begin with ``AWSManagedRules``, or the rate is out of range.
        """
        for group in groups:
            require_match("WebAcl.managed", group, _GROUP, "a name such as AWSManagedRulesCommonRuleSet")
        return cls(groups=groups or tuple(BODY_RULES), rate=_checked_rate(rate))

    @classmethod
    def addresses(cls, *, rate: int | None = None) -> WebAcl:
        """A web ACL that allows only the networks of ``access``.

        They must be known at synthesis, or the frontend raises an error: use it without the tokens of
        ``network.public_addresses``. It holds 10,000 networks of each IP version, a CloudFront Function some
        hundred.

        Args:
            rate: Requests of one address within five minutes above which it is blocked, 10 to
                2,000,000,000. Default: no limit.

        Raises:
            ValueError: If the rate is out of range.
        """
        return cls(filters_addresses=True, rate=_checked_rate(rate))


def _checked_rate(rate: int | None) -> int | None:
    if rate is not None:
        require_between("WebAcl rate", rate, 10, 2_000_000_000)
    return rate


def literal_networks(name: str, networks: Sequence[str]) -> tuple[str, ...]:
    """Networks that a web ACL can hold.

    Raises:
        ValueError: If one is known at deployment only.
    """
    require_list(name, networks, "networks")
    if any(is_token(network) for network in networks):
        raise ValueError(
            f"{name} holds an address that is known at deployment only, which a web ACL in us-east-1 cannot "
            "have: use WebAcl.managed(), which leaves addresses to CloudFront"
        )
    return tuple(networks)
