"""What can be wrong with a schedule, by the word that each sentence about it begins with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KINDS = ("doubled", "lost", "doubtful", "limit", "exit code", "books", "another")
"""``another`` is what begins with no such word: a job that was stuck, or that broke."""
_PLAYED = ("tried", "jobs", "orders")


def counted(problems: Mapping[str, list[str]]) -> dict[str, int]:
    """Return how many schedules had something of each kind wrong."""
    found = dict.fromkeys(KINDS, 0)
    for wrong in problems.values():
        for kind in {_kind(one) for one in wrong}:
            found[kind] += 1
    return found


def counts_of(report: Mapping[str, Any]) -> dict[str, int]:
    """Return the counts of a report that a summary adds up."""
    return {**{name: report[name] for name in _PLAYED}, **report["wrong"]}


def said_of(total: Mapping[str, int]) -> str:
    """Return sums of such counts as a sentence."""
    played = f"{total['tried']} schedules of {total['jobs']} jobs with {total['orders']} orders"
    return f"exactly once: {played}; wrong: {', '.join(f'{total[kind]} {kind}' for kind in KINDS)}"


def _kind(wrong: str) -> str:
    return next((kind for kind in KINDS if wrong.startswith(f"{kind}: ")), "another")
