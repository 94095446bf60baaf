"""The rules that judge a row by itself, or with the rows of its file, at every level of their limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import numpy.typing as npt

from engine.model.money import to_usd
from engine.model.quantity import Floats, Ints, Mask, to_shares
from engine.risk.at_levels import Asked, Kind, said_by
from engine.risk.batch import Batch
from engine.risk.in_force import Held, InForce
from engine.risk.rule import USD, Limit, Part, Reducing, Rule
from engine.risk.valuing import Valuation
from engine.risk.verdicts import UNAVAILABLE, Verdicts, any_refusing, worse

Source = npt.NDArray[np.int16]


@dataclass(frozen=True)
class JudgedPart:
    """Verdicts of one part of a rule, of rows that may pass by reducing a position in ``book``.

    ``unknown``: rows that some level can't judge, also where another one fails them; None where the verdict
    says it all.
    """

    verdicts: Verdicts
    reducing: Reducing
    book: int
    unknown: Mask | None = None

    @classmethod
    def of(cls, found: Sequence[Verdicts], kind: Kind) -> JudgedPart:
        """Return the heaviest of some verdicts that reducing orders pass in the same way."""
        refusing = [verdicts for verdicts in found if any_refusing(verdicts)]
        unknown = None
        if len(refusing) > 1:
            unknown = np.asarray(np.logical_or.reduce([verdicts == UNAVAILABLE for verdicts in refusing]))
        return cls(reduce(worse, found), *kind, unknown)

    def overridden(self, waived: Mask | None) -> Verdicts:
        """Return the verdicts where an override waives what fails: never a level that can't judge."""
        if waived is None or self.unknown is None:
            return self.verdicts
        return np.where(waived & self.unknown, np.int8(UNAVAILABLE), self.verdicts)

    @property
    def kind(self) -> Kind:
        """How a reducing order passes, and the book that it must reduce."""
        return self.reducing, self.book


@dataclass(frozen=True)
class Failing:
    """The rows that one level of a limit fails, by place, before it is known which reduce a position."""

    limit: Limit | None
    held: Held
    rows: Ints
    kind: Kind


@dataclass(frozen=True)
class Judged:
    """What a rule says of each row, before it is known which orders reduce a position.

    ``source``: the place of the first failing level among ``levels``, -1 for none; ``fails_at``: the rows
    that fail each of them, by their places, and the kind of part that it is of. ``words``: those of
    ``Rule.words``, where it judges any row.
    """

    rule: Rule
    parts: tuple[JudgedPart, ...]
    source: Source | None = None
    levels: tuple[Held, ...] = ()
    figures: Mapping[str, Floats] = field(default_factory=dict)
    fails_at: tuple[tuple[Ints, Kind], ...] = ()
    words: tuple[Ints, Sequence[str]] | None = None


def judge_rows(rule: Rule, valuation: Valuation, in_force: InForce, passing: Mask) -> Judged:
    """Return what a rule that is not sequential says. ``passing``: orders that other row rules let through.

    Raises whatever the rule raises, and ``ValueError`` where it returns anything but a verdict per row.
    """
    asked = Asked(valuation, in_force, passing, rule.faces_cancels)
    found: dict[Kind, list[Verdicts]] = {}
    failing: list[Failing] = []
    for part in rule.parts:
        levels = in_force.of(part.limit, part.units if part.has_amount else None, part.kinds)
        fails: dict[int, Failing] = {}
        for said in said_by(part, levels, asked):
            found.setdefault(said.kind, []).append(said.verdicts)
            for place, rows in said.failing.items():
                fails[place] = Failing(part.limit, levels[place], rows, said.kind)
        failing += [fails[place] for place in sorted(fails)]
    failing.sort(key=lambda one: one.held.level.kind)
    return Judged(
        rule,
        tuple(JudgedPart.of(verdicts, kind) for kind, verdicts in found.items()),
        first_of([one.rows for one in failing], valuation.batch.rows),
        tuple(one.held for one in failing),
        _figures(rule, valuation, in_force, failing, passing),
        tuple((one.rows, one.kind) for one in failing),
        rule.words(valuation) if rule.words is not None and found else None,
    )


def _figures(
    rule: Rule, valuation: Valuation, in_force: InForce, failing: Sequence[Failing], passing: Mask
) -> dict[str, Floats]:
    """Return the figures of a rule, none where no level of it judges the batch.

    A limit is that of the level that refused the order, or else the smallest that holds for it.
    """
    limits = {part.limit.key: part for part in rule.parts if part.limit is not None}
    if not rule.figures or not any(in_force.of(part.limit, None, part.kinds) for part in limits.values()):
        return {}
    numbers = dict(rule.facts(valuation, passing)) if rule.facts is not None else {}
    first = rule.parts[0]
    if first.has_amount:
        amounts = first.amounts(valuation)
        in_numbers = to_usd if first.limit is not None and first.limit.unit == USD else to_shares
        numbers["total"] = np.where(amounts.known, in_numbers(amounts.units), np.nan)
    found = {}
    for figure in rule.figures:
        if figure.of == "limit":
            part = limits[figure.key] if figure.key else rule.parts[0]
            found[figure.name] = _limit_of_rows(part, valuation.batch, in_force, failing)
        else:
            found[figure.name] = numbers[figure.name if figure.of == "fact" else figure.of]
    return found


def _limit_of_rows(part: Part, batch: Batch, in_force: InForce, failing: Sequence[Failing]) -> Floats:
    """Return a limit for each row: the first value that refused it, else the smallest; NaN for none."""
    smallest = np.full(batch.buckets.count, np.inf)
    for held in in_force.of(part.limit, None, part.kinds):
        at = slice(None) if held.buckets is None else held.buckets
        smallest[at] = np.minimum(smallest[at], held.level.value)
    limit = smallest[batch.buckets.of_row]
    for one in reversed(failing):
        if one.limit is part.limit:
            limit[one.rows] = one.held.level.value
    return np.where(np.isinf(limit), np.nan, limit)


def first_of(failing: Sequence[Ints], rows: int) -> Source | None:
    """Return the place of the first list that has each row, -1 for none; None where there is no list."""
    if not failing:
        return None
    source = np.full(rows, -1, dtype=np.int16)
    for place in range(len(failing) - 1, -1, -1):
        source[failing[place]] = place
    return source
