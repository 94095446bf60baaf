"""Bounds on the size and depth of a YAML text with its aliases expanded, checked before it is composed.

An alias costs a few bytes and may name other aliases: nine lines of nine aliases each expand to a thousand
million values. Deep nesting crashes the process when libyaml composes it. Both are counted from the text's
events, in linear time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

DEEPEST = 100


def why_unbounded(events: Iterable[Any], *, largest: int) -> str | None:
    """Return which bound a YAML text's events exceed; None where it is within all.

    ``largest``: the most characters and values that it may have with every alias expanded.
    """
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str, int]] = []
    total = 0
    for event in events:
        kind, anchor = type(event).__name__, getattr(event, "anchor", None) or ""
        if kind in ("SequenceStartEvent", "MappingStartEvent"):
            open_nodes.append((anchor, total))
            total += 1
            if len(open_nodes) > DEEPEST:
                return f"more than {DEEPEST} lists and mappings within each other"
        elif kind in ("SequenceEndEvent", "MappingEndEvent"):
            name, before = open_nodes.pop()
            if name:
                sizes[name] = total - before
        elif kind == "ScalarEvent":
            size = len(event.value) + 1
            total += size
            if anchor:
                sizes[anchor] = size
        elif kind == "AliasEvent":
            if any(name == anchor for name, _ in open_nodes):
                return f"the alias *{anchor} refers to a node that contains it"
            total += sizes.get(anchor, 0) + 1
        if total > largest:
            return f"more than {largest} characters with its aliases expanded"
    return None
