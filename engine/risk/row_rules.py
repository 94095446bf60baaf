"""The rules that judge a row by itself, or with the rows of its file, at every level of their limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from engine.model.money import to_usd
from engine.model.quantity import Floats, Mask, to_shares
from engine.risk.batch import Batch
from engine.risk.in_force import Held, InForce
from engine.risk.levels import STRATEGY
from engine.risk.reducing import ACCOUNTS_BOOK, OWN_BOOK
from engine.risk.rule import USD, Limit, Part, Reducing, Rule
from engine.risk.valuing import Valuation
from engine.risk.verdicts import FAIL, OFF, PASS, UNAVAILABLE, Verdicts, at_most, worse

Source = npt.NDArray[np.int16]
Kind = tuple[Reducing, int]


@dataclass(frozen=True)
class JudgedPart:
    """Verdicts of one part of a rule, of rows that may pass by reducing a position in ``book``."""

    verdicts: Verdicts
    reducing: Reducing
    book: int

    @property
    def kind(self) -> Kind:
        """How a reducing order passes, and the book that it must reduce."""
        return self.reducing, self.book


@dataclass(frozen=True)
class Failing:
    """The rows that one level of a limit fails, before it is known which of them reduce a position."""

    limit: Limit | None
    held: Held
    rows: Mask
    kind: Kind


@dataclass(frozen=True)
class Judged:
    """What a rule says of each row, before it is known which orders reduce a position.

    ``source``: the place of the first failing level among ``levels``, -1 for none; ``fails_at``: the rows
    that each of them fails, and the kind of part that it is of.
    """

    rule: Rule
    parts: tuple[JudgedPart, ...]
    source: Source | None = None
    levels: tuple[Held, ...] = ()
    figures: Mapping[str, Floats] = field(default_factory=dict)
    fails_at: tuple[tuple[Mask, Kind], ...] = ()


def judge_rows(rule: Rule, valuation: Valuation, in_force: InForce, passing: Mask) -> Judged:
    """Return what a rule that is not sequential says. ``passing``: orders that other row rules let through.

    Raises whatever the rule raises, and ``ValueError`` where it returns anything but a verdict per row.
    """
    batch = valuation.batch
    parts: list[JudgedPart] = []
    failing: list[Failing] = []
    for part in rule.parts:
        units = part.units if part.has_amount else None
        levels = in_force.of(part.limit, units, part.kinds)
        unset = _where_unset(part, levels, batch)
        if unset is not None:
            verdicts = _checked(_unset(part, valuation), batch)
            verdicts = verdicts if unset.all() else np.where(unset, verdicts, OFF).astype(np.int8)
            parts.append(JudgedPart(_faced(rule, verdicts, batch), part.reducing, ACCOUNTS_BOOK))
        for held in levels:
            verdicts = _faced(rule, _at_level(part, valuation, held, passing), batch)
            fails = verdicts == FAIL
            own = part.own_book and held.level.kind >= STRATEGY
            judged = JudgedPart(verdicts, part.reducing, OWN_BOOK if own else ACCOUNTS_BOOK)
            parts.append(judged)
            if fails.any():
                failing.append(Failing(part.limit, held, fails, judged.kind))
    failing.sort(key=lambda one: one.held.level.kind)
    return Judged(
        rule,
        _merged(parts),
        first_of([one.rows for one in failing], batch.rows),
        tuple(one.held for one in failing),
        _figures(rule, valuation, in_force, failing),
        tuple((one.rows, one.kind) for one in failing),
    )


def _figures(
    rule: Rule, valuation: Valuation, in_force: InForce, failing: Sequence[Failing]
) -> dict[str, Floats]:
    """Return the figures of a rule, none where no level of it judges the batch.

    A limit is that of the level that refused the order, or else the smallest that holds for it.
    """
    limits = {part.limit.key: part for part in rule.parts if part.limit is not None}
    if not rule.figures or not any(in_force.of(part.limit, None, part.kinds) for part in limits.values()):
        return {}
    batch, inputs = valuation.batch, valuation.inputs
    numbers = dict(rule.facts(batch, inputs)) if rule.facts is not None else {}
    first = rule.parts[0]
    if first.has_amount:
        amounts = first.amounts(valuation)
        in_numbers = to_usd if first.limit is not None and first.limit.unit == USD else to_shares
        numbers["total"] = np.where(amounts.known, in_numbers(amounts.units), np.nan)
    found = {}
    for figure in rule.figures:
        if figure.of == "limit":
            part = limits[figure.key] if figure.key else rule.parts[0]
            found[figure.name] = _limit_of_rows(part, batch, in_force, failing)
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


def _unset(part: Part, valuation: Valuation) -> Verdicts:
    """Return the verdicts of a part where no level sets its limit."""
    if part.priced_judge is not None:
        return part.priced_judge(valuation, None)
    assert part.judge is not None
    return part.judge(valuation.batch, valuation.inputs, None)


def _where_unset(part: Part, levels: tuple[Held, ...], batch: Batch) -> Mask | None:
    """Return the rows that a part judges without a level, None for none."""
    if part.limit is None:
        return np.ones(batch.rows, dtype=bool)
    if not part.judges_unset or any(held.buckets is None for held in levels):
        return None
    set_in = np.zeros(batch.buckets.count, dtype=bool)
    for held in levels:
        set_in |= held.buckets
    return ~set_in[batch.buckets.of_row]


def _at_level(part: Part, valuation: Valuation, held: Held, passing: Mask) -> Verdicts:
    """Return the verdicts of a part by the value of one level, off for rows that the level doesn't judge."""
    batch, inputs = valuation.batch, valuation.inputs
    rows = None if held.buckets is None else held.buckets[batch.buckets.of_row]
    if part.is_of_files:
        judged = passing if rows is None else passing & rows
        if part.priced_file is not None:
            verdicts = part.priced_file(valuation, held.level.value, judged)
        else:
            assert part.whole_file is not None
            verdicts = part.whole_file(batch, inputs, held.level.value, judged)
        verdicts = _checked(verdicts, batch)
        if rows is None:
            return verdicts
        judges_file = np.bincount(batch.files, weights=rows & batch.is_order) > 0
        return np.where(judges_file[batch.files], verdicts, OFF).astype(np.int8)
    if part.has_amount:
        verdicts = at_most(part.amounts(valuation), held.units)
    elif part.priced_judge is not None:
        verdicts = _checked(part.priced_judge(valuation, held.level.value), batch)
    else:
        assert part.judge is not None
        verdicts = _checked(part.judge(batch, inputs, held.level.value), batch)
    return verdicts if rows is None else np.where(rows, verdicts, OFF).astype(np.int8)


def _faced(rule: Rule, verdicts: Verdicts, batch: Batch) -> Verdicts:
    """Return the verdicts, off for cancels that don't face the rule."""
    if rule.faces_cancels or not batch.is_cancel.any():
        return verdicts
    return np.where(batch.is_cancel, OFF, verdicts).astype(np.int8)


def _merged(parts: Sequence[JudgedPart]) -> tuple[JudgedPart, ...]:
    """Return the parts with those merged that reducing orders pass in the same way."""
    merged: dict[Kind, Verdicts] = {}
    for part in parts:
        key = part.kind
        merged[key] = worse(merged[key], part.verdicts) if key in merged else part.verdicts
    return tuple(JudgedPart(verdicts, *key) for key, verdicts in merged.items())


def first_of(failing: Sequence[Mask], rows: int) -> Source | None:
    """Return the place of the first mask that has each row, -1 for none; None where there is no mask."""
    if not failing:
        return None
    source = np.full(rows, -1, dtype=np.int16)
    for place in range(len(failing) - 1, -1, -1):
        source[failing[place]] = place
    return source


def _are_verdicts(verdicts: Verdicts) -> bool:
    return bool(verdicts.min(initial=PASS) >= PASS and verdicts.max(initial=PASS) <= UNAVAILABLE)


def _checked(verdicts: Verdicts, batch: Batch) -> Verdicts:
    if verdicts.shape != (batch.rows,) or not _are_verdicts(verdicts):
        raise ValueError(
            f"a rule returned {verdicts.shape} verdicts for {batch.rows} rows, or an invalid one"
        )
    return verdicts
