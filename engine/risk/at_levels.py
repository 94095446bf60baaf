"""What one part of a rule says of each row at all levels of its limit.

A part is asked once for each value that levels set, not once for each level, and the rows of a level are
looked at only where something fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.model.quantity import Ints, Mask
from engine.risk.batch import Batch
from engine.risk.in_force import Held, InForce
from engine.risk.levels import STRATEGY
from engine.risk.reducing import ACCOUNTS_BOOK, OWN_BOOK
from engine.risk.rule import Part, Reducing
from engine.risk.valuing import Valuation
from engine.risk.verdicts import FAIL, OFF, PASS, UNAVAILABLE, Verdicts, any_refusing, at_most

Kind = tuple[Reducing, int]
"""How a reducing order passes, and the book that it must reduce."""

_NO_ROWS: Ints = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Said:
    """The verdicts of some levels, OFF where none judges; ``failing``: rows, by the place of the level."""

    kind: Kind
    verdicts: Verdicts
    failing: Mapping[int, Ints] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """What a part judges. ``passing``: orders that other row rules let through."""

    valuation: Valuation
    in_force: InForce
    passing: Mask
    faces_cancels: bool

    @property
    def batch(self) -> Batch:
        """The batch."""
        return self.valuation.batch

    def settled(self, verdicts: Verdicts, rows: Mask | None) -> Verdicts:
        """Return verdicts, off outside ``rows`` (None: all rows) and for cancels that don't face the rule.

        Raises ``ValueError`` where they are anything but a verdict per row.
        """
        if verdicts.shape != (self.batch.rows,) or not _are_verdicts(verdicts):
            raise ValueError(
                f"a rule returned {verdicts.shape} verdicts for {self.batch.rows} rows, or an invalid one"
            )
        if rows is not None:
            verdicts = np.where(rows, verdicts, np.int8(OFF))
        if self.batch.has_cancels and not self.faces_cancels:
            verdicts = np.where(self.batch.is_cancel, np.int8(OFF), verdicts)
        return verdicts


def said_by(part: Part, levels: Sequence[Held], asked: Asked) -> Iterator[Said]:
    """Yield what a part says where no level sets its limit, then by levels of one kind and value."""
    if part.where_priced:
        priced = asked.in_force.needing("prices")
        if priced.any():
            yield _without_limit(part, priced[asked.batch.buckets.of_row], asked)
    elif part.limit is None or (part.judges_unset and all(held.buckets is not None for held in levels)):
        yield _without_limit(part, _where_unset(levels, asked), asked)
    for kind, places in _by_kind(part, levels).items():
        if part.has_amount:
            yield _by_amount(part, kind, places, levels, asked)
            continue
        for value, alike in _by_value(places, levels).items():
            if part.is_of_files:
                yield from _by_file(part, kind, alike, levels, asked)
            else:
                rows = asked.in_force.rows([levels[place] for place in alike])
                verdicts = asked.settled(part.verdicts(asked.valuation, value), rows)
                yield Said(kind, verdicts, _failing(verdicts, alike, levels, asked))


def _by_kind(part: Part, levels: Sequence[Held]) -> dict[Kind, list[int]]:
    found: dict[Kind, list[int]] = {}
    for place, held in enumerate(levels):
        own = part.own_book and held.level.kind >= STRATEGY
        found.setdefault((part.reducing, OWN_BOOK if own else ACCOUNTS_BOOK), []).append(place)
    return found


def _by_value(places: Sequence[int], levels: Sequence[Held]) -> dict[Any, list[int]]:
    found: dict[Any, list[int]] = {}
    for place in places:
        found.setdefault(levels[place].level.value, []).append(place)
    return found


def _where_unset(levels: Sequence[Held], asked: Asked) -> Mask | None:
    """Return the rows that no level judges, None for all."""
    if not levels:
        return None
    is_set = asked.in_force.rows(levels)
    assert is_set is not None
    return ~is_set


def _without_limit(part: Part, rows: Mask | None, asked: Asked) -> Said:
    verdicts = asked.settled(part.verdicts(asked.valuation, None), rows)
    return Said((part.reducing, ACCOUNTS_BOOK), verdicts)


def _by_amount(part: Part, kind: Kind, places: list[int], levels: Sequence[Held], asked: Asked) -> Said:
    """Return what the smallest limit of each row says of its amount."""
    amounts = part.amounts(asked.valuation)
    held = [levels[place] for place in places]
    limit: Ints | int = min(one.units for one in held)
    if amounts.units.max(initial=0) > limit:
        limit = asked.in_force.tightest(held)[asked.batch.buckets.of_row]
    verdicts = asked.settled(at_most(amounts, limit), asked.in_force.rows(held))
    failing = _failing(verdicts, places, levels, asked)
    exceeded = {place: rows[amounts.units[rows] > levels[place].units] for place, rows in failing.items()}
    return Said(kind, verdicts, {place: rows for place, rows in exceeded.items() if len(rows)})


def _by_file(
    part: Part, kind: Kind, places: list[int], levels: Sequence[Held], asked: Asked
) -> Iterator[Said]:
    """Yield what levels with one value say of files: together, and each for itself where that refuses.

    What all their orders together don't exceed, those of one level don't exceed either.
    """
    batch, held = asked.batch, [levels[place] for place in places]
    rows = asked.in_force.rows(held)
    judged = asked.passing if rows is None else asked.passing & rows
    found = part.verdicts_of_files(asked.valuation, held[0].level.value, judged)
    if len(places) > 1 and any_refusing(found):
        for place in places:
            yield from _by_file(part, kind, [place], levels, asked)
        return
    if rows is not None:
        concerned = np.zeros(int(batch.files.max(initial=-1)) + 1, dtype=bool)
        concerned[batch.files[rows & batch.is_order]] = True
        rows = concerned[batch.files]
    verdicts = asked.settled(found, rows)
    fails = np.flatnonzero(verdicts == FAIL)
    yield Said(kind, verdicts, {places[0]: fails} if len(fails) else {})


def _failing(
    verdicts: Verdicts, places: Sequence[int], levels: Sequence[Held], asked: Asked
) -> dict[int, Ints]:
    """Return the failing rows that each level judges, without levels that have none."""
    fails = np.flatnonzero(verdicts == FAIL) if any_refusing(verdicts) else _NO_ROWS
    if not len(fails):
        return {}
    bucket = asked.batch.buckets.of_row[fails]
    found = {}
    for place in places:
        buckets = levels[place].buckets
        rows = fails if buckets is None else fails[buckets[bucket]]
        if len(rows):
            found[place] = rows
    return found


def _are_verdicts(verdicts: Verdicts) -> bool:
    return bool(verdicts.min(initial=PASS) >= PASS and verdicts.max(initial=PASS) <= UNAVAILABLE)
