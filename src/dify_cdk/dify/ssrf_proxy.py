"""The SSRF proxy: a complete squid configuration and the command that starts squid with it.

The configuration is passed in the start command, so that the stock image serves as it is: no image to
build, no file to mount.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from dify_cdk._checks import is_token, require_between, require_cidrs, require_match

_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_Ranges: TypeAlias = Sequence[tuple[str, str]]

DEFAULT_PORT = 3128

CONFIGURATION_PATH = "/etc/squid/squid.conf"
SQUID_PATH = "/usr/sbin/squid"

_SPECIAL_RANGES: _Ranges = (
    ("0.0.0.0/8", "this host"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local: instance metadata, credentials and metadata of ECS tasks"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "6to4 relays"),
    ("198.18.0.0/15", "benchmarks"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved and broadcast"),
    # squid turns ::ffff:a.b.c.d into a.b.c.d before it looks, so IPv4-mapped addresses need no row
    ("::/96", "unspecified, loopback, IPv4-compatible"),
    ("::ffff:0:0:0/96", "IPv4-translated"),
    ("64:ff9b:1::/48", "local NAT64"),
    ("100::/64", "discard"),
    ("2001::/23", "protocol assignments, Teredo"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4, which carries IPv4 addresses"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "segment routing"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)

_PRIVATE_RANGES: _Ranges = (
    ("10.0.0.0/8", "private"),
    ("172.16.0.0/12", "private"),
    ("192.168.0.0/16", "private"),
    ("100.64.0.0/10", "shared address space"),
    ("fc00::/7", "private; instance metadata at fd00:ec2::254"),
)

# DNS64 writes public IPv4 addresses below this prefix, so it cannot be refused as a whole.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_LOOPBACK: _Ranges = (("127.0.0.0/8", "loopback"), ("::1/128", "loopback"))

_DESTINATIONS = (
    ("deny", "special"),
    ("allow", "allowed_hosts"),
    ("allow", "allowed_networks"),
    ("deny", "private"),
    ("deny", "own_network"),
)
"""Rules about where a request goes, in order."""

_SAFE_PORTS = "80 21 443 70 210 280 488 591 777 1025-65535"

# The last label is no number, or the name would be an address.
_HOST = (
    r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*(?![0-9]+$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
)
_HOST_MEANING = (
    "host names such as dify.example.com without scheme, port or wildcard (addresses go into allowed_private)"
)
# Whatever ends a value, starts a comment or names a file in squid.conf.
_UNSAFE = re.compile(r"[\s\"'`#\\]")

_END = "END_OF_SQUID_CONFIGURATION"

# Reply headers: Dify takes a 401 or 403 for a refusal by the proxy when Server or Via speaks of squid.
# An answer of the other side must not look like one, so Via goes; squid's own error pages say Server.
# `via off` would do the same with a warning at each start.
_SETTINGS = """\
visible_hostname ssrf-proxy
httpd_suppress_version_string on
cache_effective_user proxy
pid_filename none
coredump_dir none
shutdown_lifetime 10 seconds

# nothing is kept
cache deny all
cache_mem 0 MB
cache_store_log none
netdb_filename none
pinger_enable off

# Bodies wait here while the name of a plain HTTP host is looked up; more than 1 MB would break off.
client_request_buffer_max_size 100 MB

# nothing is told about who asks
forwarded_for delete
request_header_access Via deny all
reply_header_access Via deny all

# Host and port only: paths and queries carry secrets. Health checks send no request and leave no line.
strip_query_terms on
logformat destination %ts.%03tu %6tr %>a %Ss/%03>Hs %<st %>rm %>rd:%>rP %<a
acl request has request
access_log stdio:/dev/stdout logformat=destination request
cache_log /dev/null
logfile_rotate 0
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class _List:
    """A named list of squid (an ``acl``): its kind, and values with the reason for each."""

    name: str
    kind: str
    rows: _Ranges


_Lists: TypeAlias = Mapping[str, _List]


def configuration(
    *,
    port: int = DEFAULT_PORT,
    allowed_private: Sequence[str] = (),
    allowed_hosts: Sequence[str] = (),
    network: Sequence[str] = (),
    https_ports: Sequence[int] = (443,),
) -> str:
    """A complete ``squid.conf`` that lets requests out to public addresses and to nothing else.

    It refuses destinations by address, after names were resolved: private, loopback, link-local (with the
    metadata and credentials of EC2 and ECS), carrier-grade NAT, multicast, reserved and documentation
    ranges, in IPv4 and IPv6, and the forms in which IPv6 carries such IPv4 addresses. One such address
    among several of a name is enough; a name that does not resolve is refused too (503). Answers stay in
    squid's cache for a minute or longer, and the connection takes the address from there: a name that
    changes its answer between check and connection has to hit the moment in which that entry expires.

    Ports are those of Dify's own proxy: ``http://`` on 80, 21, 70, 210, 280, 443, 488, 591, 777 and
    everything from 1025, ``https://`` (and any other tunnel) on ``https_ports`` only. Other schemes, FTP
    among them, are refused. Clients need a private address. Nothing is cached; the log on standard output
    names host and port of a request, never its path or query.

    Args:
        port: Port to listen on.
        allowed_private: Networks that may be called although they lie in a refused range. Literal ones
            are cut out of the refused ranges. One that is a token cannot be: it is let through before the
            private ranges are refused, after loopback and link-local are, and a name with one address in
            it may have others elsewhere in the private ranges. Default: none.
        allowed_hosts: Exact host names that may be called although they resolve to private addresses,
            such as the name of an internal load balancer; never to loopback or link-local. May be tokens.
            Default: none.
        network: Ranges of the own network, needed if they are not private ones: they may use the proxy,
            and are refused as destinations like private ranges. May be tokens. Default: none.
        https_ports: Ports that ``https://`` may use.

    Raises:
        ValueError: If a network, a host name or a port is malformed.

    See https://www.iana.org/assignments/iana-ipv4-special-registry and
    https://www.iana.org/assignments/iana-ipv6-special-registry
    """
    require_between("port", port, 1, 65535)
    for https_port in https_ports:
        require_between("https_ports", https_port, 1, 65535)
    if not https_ports:
        raise ValueError("https_ports must name a port, such as 443")
    lists = _lists(allowed_private, _hosts(allowed_hosts), network)
    ports = " ".join(str(https_port) for https_port in https_ports)
    lines = (f"http_port {port}", _SETTINGS, *_acls(lists, ports), "", *_rules(lists))
    return "\n".join(lines) + "\n"


def command(configuration: str) -> tuple[list[str], list[str]]:
    """Entry point and command of a container that runs squid with this configuration.

    The configuration reaches squid literally, with dollar signs, quotes and backslashes. squid starts as
    root, drops to the user ``proxy``, and is process 1 of the container, so that it gets the signal to
    stop; its log and its messages come out on standard output and error.

    Args:
        configuration: Text of ``squid.conf``; may hold tokens.

    Returns:
        What belongs into ``entryPoint`` and ``command`` of the container.

    Raises:
        ValueError: If the configuration holds the line that marks its end in the command, or anything but
            ASCII, of which dash 0.5.12 loses bytes in such a place.
    """
    if not configuration.isascii():
        raise ValueError("configuration must be ASCII")
    if _END in configuration.splitlines():
        raise ValueError(f"configuration must not hold a line {_END}")
    script = "\n".join(
        (
            "set -eu",
            f"cat >{CONFIGURATION_PATH} <<'{_END}'",
            configuration.removesuffix("\n"),
            _END,
            # The log is opened by the user proxy, and the container's standard output belongs to root.
            "chmod a+w /dev/stdout",
            f"exec {SQUID_PATH} -f {CONFIGURATION_PATH} -NYCd 1",
        )
    )
    return ["/bin/sh", "-c"], [script]


def _lists(allowed_private: Sequence[str], hosts: Sequence[str], network: Sequence[str]) -> _Lists:
    """Every list of addresses and names that has an entry."""
    exceptions = _networks("allowed_private", allowed_private)
    own = [(str(item), "own network") for item in _networks("network", network)]
    own_tokens = [(value, "own network") for value in network if is_token(value)]
    lists = (
        _List(name="clients", kind="src", rows=(*_PRIVATE_RANGES, *_LOOPBACK)),
        _List(name="own_clients", kind="src", rows=(*own, *own_tokens)),
        _List(name="special", kind="dst", rows=tuple(_refused(_SPECIAL_RANGES, exceptions))),
        _List(name="private", kind="dst", rows=tuple(_refused(_PRIVATE_RANGES, exceptions))),
        _List(name="own_network", kind="dst", rows=(*_refused(own, exceptions), *own_tokens)),
        _List(
            name="allowed_networks",
            kind="dst",
            rows=tuple((v, "exception") for v in allowed_private if is_token(v)),
        ),
        # -n: no look-up of the name of an address, which is whatever its owner says
        _List(name="allowed_hosts", kind="dstdomain -n", rows=tuple((host, "exception") for host in hosts)),
    )
    return {item.name: item for item in lists if item.rows}


def _acls(lists: _Lists, https_ports: str) -> Iterator[str]:
    """The lists, one line a value: squid limits the length of a line."""
    for item in lists.values():
        for value, reason in item.rows:
            yield f"acl {item.name} {item.kind} {value} # {reason}"
    yield "acl web url_regex -i ^http://"
    yield "acl CONNECT method CONNECT"
    yield f"acl safe_ports port {_SAFE_PORTS}"
    yield f"acl https_ports port {https_ports}"
    yield "acl resolved dst all"


def _rules(lists: _Lists) -> Iterator[str]:
    """What is allowed; the first rule that matches decides."""
    strangers = " ".join(f"!{name}" for name in ("clients", "own_clients") if name in lists)
    yield f"http_access deny {strangers}"
    yield "http_access deny manager"
    yield "http_access deny !CONNECT !web"
    yield "http_access deny !CONNECT !safe_ports"
    yield "http_access deny CONNECT !https_ports"
    # A name without an address is in no range and would pass for a public one, and for the connection it
    # is looked up again. 503, because Dify would report a 403 as a refused address.
    yield "http_access deny !resolved"
    yield "deny_info 503:ERR_DNS_FAIL resolved"
    for action, name in _DESTINATIONS:
        if name in lists:
            yield f"http_access {action} {name}"
    yield "http_access allow all"


def _refused(ranges: _Ranges, exceptions: Sequence[_Network]) -> Iterator[tuple[str, str]]:
    """The ranges without the exceptions, IPv4 ones also in the form that NAT64 gives them."""
    for cidr, reason in ranges:
        for network in _without(ipaddress.ip_network(cidr), exceptions):
            yield str(network), reason
            if isinstance(network, ipaddress.IPv4Network):
                yield f"{_NAT64[int(network.network_address)]}/{96 + network.prefixlen}", f"{reason}, NAT64"


def _without(network: _Network, exceptions: Sequence[_Network]) -> list[_Network]:
    """What remains of a network when the exceptions are cut out."""
    remaining = [network]
    for exception in exceptions:
        remaining = [part for whole in remaining for part in _cut(whole, exception)]
    return remaining


def _cut(network: _Network, exception: Any) -> Iterable[_Network]:  # both of one IP version, untold to mypy
    if network.version != exception.version or not network.overlaps(exception):
        return [network]
    return [] if network.subnet_of(exception) else network.address_exclude(exception)


def _networks(name: str, values: Sequence[str]) -> list[_Network]:
    """The values that are networks already, merged where they touch; raises for those that never will be."""
    _require_list(name, values)
    for value in values:
        _require_safe(name, value)
        require_cidrs(name, [value], 6 if ":" in value else 4)
    networks = [ipaddress.ip_network(value) for value in values if not is_token(value)]
    if any(network.prefixlen == 0 for network in networks):
        raise ValueError(
            f"{name} must not hold every address, got {values!r}: the proxy would protect nothing"
        )
    of_version_4 = (network for network in networks if isinstance(network, ipaddress.IPv4Network))
    of_version_6 = (network for network in networks if isinstance(network, ipaddress.IPv6Network))
    return [*ipaddress.collapse_addresses(of_version_4), *ipaddress.collapse_addresses(of_version_6)]


def _hosts(values: Sequence[str]) -> list[str]:
    """The host names in lower case, each once: squid warns of a second one."""
    _require_list("allowed_hosts", values)
    for value in values:
        _require_safe("allowed_hosts", value)
        require_match("allowed_hosts", value if is_token(value) else value.lower(), _HOST, _HOST_MEANING)
    return list(dict.fromkeys(value if is_token(value) else value.lower() for value in values))


def _require_list(name: str, values: Sequence[str]) -> None:
    if isinstance(values, str):
        raise ValueError(f"{name} must be a list, got the text {values!r}; write [{values!r}]")


def _require_safe(name: str, value: str) -> None:
    if not value or _UNSAFE.search(value):
        raise ValueError(f"{name} must not hold spaces, line breaks, quotes, # or backslashes, got {value!r}")
