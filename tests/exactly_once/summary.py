"""The last word of `make soak` on schedules: how many were played, and how many had what wrong with them."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.exactly_once.kinds import KINDS, said_of

PROPERTY = "exactly once"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the sums of all counts that tests have recorded as a property."""
    total: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, counts in getattr(report, "user_properties", []):
                total.update(counts if name == PROPERTY else {})
    if total:
        terminalreporter.write_line(said_of(total), bold=True, red=any(total[kind] for kind in KINDS))
