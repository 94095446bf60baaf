"""The refused rows of a file with their problems; a file with too many is refused whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.intents.column_names import shown_name
from engine.intents.excerpts import cells_for_each, room_for_each
from engine.intents.limits import beyond
from engine.intents.naming import NamedColumns
from engine.intents.number_spellings import digits_of
from engine.intents.problems import MOST_PROBLEMS, Problem, RefusedRow, Said
from engine.intents.raw_table import RawTable
from engine.model.contract import AS_DIGITS, Violation
from engine.model.keeping import Unkeepable
from engine.model.quantity import Mask
from engine.settings.variables import IntakeLimits


@dataclass(frozen=True)
class Findings:
    """What is wrong with the rows of a file: broken rules, and by row what the ledger can't keep."""

    name: str
    raw: RawTable
    named: NamedColumns
    violations: Sequence[Violation]
    unkeepable: Mapping[int, Unkeepable]

    def bad(self) -> Mask:
        """Return the rows with a problem."""
        bad: Mask = np.logical_or.reduce([violation.rows for violation in self.violations])
        bad[list(self.unkeepable)] = True
        return bad

    def of(self, row: int) -> Findings:
        """Return the problems of one row."""
        only = np.arange(self.raw.rows) == row
        violations = [replace(violation, rows=violation.rows & only) for violation in self.violations]
        unkeepable = {place: part for place, part in self.unkeepable.items() if place == row}
        return replace(self, violations=violations, unkeepable=unkeepable)


def refused_rows(findings: Findings, bad: Mask, limits: IntakeLimits) -> list[RefusedRow]:
    """Return the ``bad`` rows of a file and those without columns, in its order.

    Raises ``UnreadableFile`` where they are more than ``limits.max_refused_rows``, naming the first.
    """
    count = int(np.count_nonzero(bad))
    if count + len(findings.raw.refused) > limits.max_refused_rows:
        (first,) = _refused(findings.of(int(np.argmax(bad)))) if count else findings.raw.refused[:1]
        said = first.shortened(0).first.message.removeprefix(f"{findings.name}:")
        raise beyond(findings.name, limits, "max_refused_rows", f"(the first: row {said.rstrip('.')})")
    refused = [*findings.raw.refused, *_refused(findings)] if count else findings.raw.refused
    room = room_for_each(len(refused))
    return sorted((row.shortened(room) for row in refused), key=lambda row: row.first.row)


def _refused(findings: Findings) -> Iterator[RefusedRow]:
    """Yield each bad row with its first problems and its values."""
    raw, named = findings.raw, findings.named
    times = np.zeros(raw.rows, dtype=np.int64)
    noted: list[tuple[Violation, list[int]]] = []
    for violation in findings.violations:
        kept = np.flatnonzero(violation.rows & (times < MOST_PROBLEMS))
        if len(kept):
            noted.append((violation, kept.tolist()))
        times += violation.rows
    times[list(findings.unkeepable)] += 1
    bad = np.flatnonzero(times).tolist()
    spelt = [name for violation, _ in noted for name in named.names.get(violation.field, [violation.field])]
    columns = {*list(raw.columns)[: cells_for_each(len(bad))], *spelt}
    held = dict(zip(bad, raw.raw(bad, columns), strict=True))
    problems: dict[int, list[Problem]] = {row: [] for row in bad}
    for violation, rows in noted:
        field = shown_name(violation.field)
        for row in rows:
            value, number = named.value(held[row], violation.field), int(raw.row_numbers[row])
            problems[row].append(
                Problem(findings.name, number, field, value, violation.rule, _remedy(violation, value))
            )
    for row, part in findings.unkeepable.items():
        number, field = int(raw.row_numbers[row]), shown_name(part.path)
        problems[row].append(Problem(findings.name, number, field, Said(part.value), part.rule, part.remedy))
    for row in bad:
        yield RefusedRow(tuple(problems[row]), held[row], int(times[row]) - len(problems[row]))


def _remedy(violation: Violation, value: object) -> str:
    """Return the remedy, with the number that a text most likely means."""
    digits = digits_of(value) if violation.remedy == AS_DIGITS and isinstance(value, str) else None
    if digits is None or (digits.startswith("-") and "positive" in violation.rule):
        return violation.remedy
    return f"Write {digits}, and send the row again."
