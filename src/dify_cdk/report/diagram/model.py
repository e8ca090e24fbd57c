"""What a diagram of an architecture shows: its parts, and what connects them. Nothing here is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

VIEWER = "viewer"
"""Id of the node for everybody who calls from outside; no logical id, which has no lower-case first letter
in a CDK template."""


class Tier(StrEnum):
    """Where a part stands between the outside and the data; in this order, from the outside in."""

    VIEWER = "viewer"
    ENTRY_POINT = "entry-point"
    COMPUTE = "compute"
    DATA = "data"


class Flow(StrEnum):
    """What goes along a connection."""

    REQUEST = "request"
    """From outside, chosen by path."""
    CALL = "call"
    """From one container or function to another, inside the network."""
    DATA = "data"
    """To a database, a cache, a bucket."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One part of an architecture.

    Attributes:
        id: Logical id, ``VIEWER``, or the address of something outside the templates.
        tier: Where it stands.
        title: Its name for people, for example the container's name or the database engine.
        service: The AWS service, in AWS's words; for what is outside, a note that it is.
        details: Facts worth knowing, short.
        host: Id of the entry point that runs it; None for a part of its own. A guard, for example an
            authorizer or an edge function, sees the requests of its entry point before they are forwarded.
        steady: Whether it runs all the time or waits for requests; a task that something starts once does
            not.
    """

    id: str
    tier: Tier
    title: str
    service: str
    details: tuple[str, ...] = ()
    host: str | None = None
    steady: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """One connection.

    Attributes:
        source: Id of the node that calls.
        target: Id of the node that is called.
        flow: What goes along it.
        paths: Path patterns of requests, in order of precedence, each with methods in front where only those
            are meant (``POST /v1/*``); empty where the path does not matter.
        default: Whether requests that nothing else takes go along it.
    """

    source: str
    target: str
    flow: Flow
    paths: tuple[str, ...] = ()
    default: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Graph:
    """Parts and connections of one subject.

    Attributes:
        nodes: From the outside in.
        edges: Without duplicates; both ends are nodes.
        notes: What the picture leaves out, as phrases.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    notes: tuple[str, ...] = ()

    def of(self, tier: Tier) -> tuple[Node, ...]:
        """The nodes of a tier that are parts of their own."""
        return tuple(node for node in self.nodes if node.tier is tier and node.host is None)

    def guards(self, host: str) -> tuple[Node, ...]:
        """What runs on an entry point."""
        return tuple(node for node in self.nodes if node.host == host)
