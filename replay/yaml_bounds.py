"""How large and how deep a YAML text is once its aliases are laid out, before anything is made of it.

An alias costs a few bytes and stands for whatever it names, aliases included: nine lines of nine aliases each
are a thousand million values. Nesting ends the process where libyaml composes it. Both are counted here by
the events of the text, in the time that it is long.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

DEEPEST = 100


def why_unbounded(events: Iterable[Any], *, largest: int) -> str | None:
    """Return what is wrong with a YAML text, by its events; None where it is bounded.

    ``largest``: the characters and values that it may have with every alias laid out.
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
                return f"the alias *{anchor} stands within what it names"
            total += sizes.get(anchor, 0) + 1
        if total > largest:
            return f"more than {largest} characters with its aliases laid out"
    return None
