"""What subjects carry and contain, side by side: limits, types of resources, warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from dify_cdk.report.comparison import Compared
from dify_cdk.report.limits.limits import Limit
from dify_cdk.report.output.html_text import Content, Html, el, fitting, link, table
from dify_cdk.report.phrases import plural

# --- limits ---------------------------------------------------------------------------------------------


def limits(compared: Sequence[Compared]) -> Html:
    """One line per limit; each cell says for which paths which value holds, what sets it, and the proof."""
    names = dict.fromkeys(limit.name for one in compared for limit in one.limits)
    if not names:
        return el("p", "These templates have no public entry point.")
    return table(
        "What a request may do, end to end, and the hop that decides it",
        ["Limit", *(one.name for one in compared)],
        ([name[:1].upper() + name[1:], *(_values(one.limits, name) for one in compared)] for name in names),
        class_="limits stack",
    )


def _values(limits: Sequence[Limit], name: str) -> Content:
    """The values of one limit; classes of paths with the same one for the same reason stand together."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for limit in limits:
        if limit.name == name:
            groups.setdefault((limit.text, limit.hop, limit.source), []).append(limit.scope)
    if not groups:
        return el("span", "no such way in", class_="soft")
    alone = len(groups) == 1
    return [_value(*key, scopes="" if alone else ", ".join(scopes)) for key, scopes in groups.items()]


def _value(text: str, hop: str, source: str, *, scopes: str) -> Html:
    proof = [", " if hop else "", link("source", source)] if source else None
    label = [el("small", f"{scopes}: ")] if scopes else None
    return el("div", label, el("strong", text), " ", el("small", hop, proof, class_="hop"), class_="value")


# --- resources ------------------------------------------------------------------------------------------


def resources(compared: Sequence[Compared]) -> Iterator[Html]:
    """How many of each type; with several subjects only the types that they do not have equally often."""
    counts = [_counts(one) for one in compared]
    types = sorted({entry for own in counts for entry in own}, key=lambda entry: tuple(map(str.lower, entry)))
    shown = [one for one in types if len({own[one] for own in counts}) > 1] if len(compared) > 1 else types
    same = len(types) - len(shown)
    if same:
        yield el("p", f"{plural(same, 'type')} of resources are in all of them equally often.")
    yield table(
        "Types that differ" if len(compared) > 1 else "Types of resources",
        ["Type", *(one.name for one in compared)],
        [
            *(
                [f"{service} {name}", *(_count(own[service, name]) for own in counts)]
                for service, name in shown
            ),
            [el("strong", "All resources"), *(el("strong", f"{own.total():,}") for own in counts)],
        ],
        class_=f"numbers counts {fitting([one.name for one in compared], ())}",
    )


def _counts(one: Compared) -> Counter[tuple[str, str]]:
    return Counter({(entry.service, entry.name): entry.count for entry in one.whole.types})


def _count(count: int) -> Content:
    return f"{count:,}" if count else el("span", "0", class_="soft")


# --- warnings -------------------------------------------------------------------------------------------


def warnings(compared: Sequence[Compared]) -> Html:
    """What the CDK had to say, each once with the subjects it is about."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for one in compared:
        for message in one.whole.messages:
            names = found.setdefault((message.level, message.path, message.text), [])
            names.extend([one.name] if one.name not in names else [])
    if not found:
        return el("p", "None were recorded. Templates that are read from files carry none.")
    ordered = sorted(found.items(), key=lambda item: item[0][0] != "error")
    return el(
        "ul",
        (
            el(
                "li",
                el("strong", f"{level} in {', '.join(names)}"),
                " ",
                el("code", path),
                el("br"),
                text,
                class_=f"message {'error' if level == 'error' else 'warning'}",
            )
            for (level, path, text), names in ordered
        ),
        class_="messages",
    )
