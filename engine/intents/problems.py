"""Problems of a row or a file: place, value, rule, remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.intents.excerpts import excerpt
from engine.text.printable import shown

WHOLE_FILE = 0
MOST_PROBLEMS = 20
"""Problems of one row that are kept; a file with a thousand wrong columns has them in every row."""
_VALUE_ROOM = 1_000
_LONG = (str, bytes, dict, list, tuple)


@dataclass(frozen=True)
class Problem:
    """One broken rule. ``row`` is 1-based as the file's reader counts, 0 for the file as a whole.

    ``rule`` ends the sentence "expected …"; ``value`` is None where the field is missing.
    """

    file: str
    row: int
    field: str
    value: object
    rule: str
    remedy: str

    @property
    def message(self) -> str:
        """Return the problem as text: ``intents.csv:17: qty is '1,5'; expected a positive decimal …``."""
        if self.row == WHOLE_FILE:
            return f"{self.file}: {self.rule}. {self.remedy}"
        said = "is missing" if self.value is None else f"is {shown(self.value)}"
        return f"{self.file}:{self.row}: {self.field} {said}; expected {self.rule}. {self.remedy}"


@dataclass(frozen=True)
class RefusedRow:
    """A quarantined row, with its problems and its values.

    ``more``: problems beyond those that are kept.
    """

    problems: tuple[Problem, ...]
    raw: Mapping[str, Any] = field(default_factory=dict)
    more: int = 0

    @property
    def first(self) -> Problem:
        """Return the problem to show where there is room for one."""
        return self.problems[0]

    def record(self) -> dict[str, Any]:
        """Return the record of the row for the quarantine."""
        first = self.first
        record = {
            "file": first.file,
            "row": first.row,
            "field": first.field,
            "value": None if first.value is None else str(first.value),
            "rule": first.rule,
            "remedy": first.remedy,
            "message": first.message,
            "raw": dict(self.raw),
        }
        also = [problem.message for problem in self.problems[1:]]
        also += [f"and {self.more} more"] if self.more else []
        return {**record, "also": also} if also else record

    def shortened(self, room: int) -> RefusedRow:
        """Return the row with its values, and each value, shortened to this many characters."""
        problems = tuple(
            replace(problem, value=excerpt(problem.value, _VALUE_ROOM))
            if isinstance(problem.value, _LONG)
            else problem
            for problem in self.problems[:MOST_PROBLEMS]
        )
        more = self.more + len(self.problems) - len(problems)
        return RefusedRow(problems, excerpt(dict(self.raw), room), more)


@dataclass(frozen=True)
class Said:
    """A value that is a description already, shown without quotes."""

    text: str

    def __str__(self) -> str:
        return self.text
