"""What each rule answers once it is known which rows are allowed: verdicts, failing levels and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt

from engine.model.money import to_usd
from engine.model.quantity import Floats, Ints, Mask, to_shares
from engine.risk.batch import Batch
from engine.risk.counted import Counted
from engine.risk.groups import Groups
from engine.risk.in_force import NO_LIMIT, Held
from engine.risk.outcomes import Outcome, outcome
from engine.risk.row_rules import Judged, first_of
from engine.risk.rule import Figure, Rule
from engine.risk.self_trade import Crossing
from engine.risk.sequence import Prepared, Question
from engine.risk.verdicts import FAIL, OFF, PASS, UNAVAILABLE, Verdicts, everywhere, worse

Source = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Found:
    """The verdicts of a rule, the place of the first failing level in ``levels``, and its figures by name."""

    verdicts: Verdicts
    source: Source | None = None
    levels: tuple[Held, ...] = ()
    figures: Mapping[str, Floats] = field(default_factory=dict)


def row_answer(judged: Judged, batch: Batch, question: Question, allowed: Mask) -> Found:
    """Return what a row rule answers; where reducing orders pass it, which of them do."""
    waived = question.waived_failures(judged.rule)
    verdicts: Verdicts | None = None
    by_kind = {}
    for part in judged.parts:
        found = turned = part.overridden(waived)
        asks = found == FAIL
        if part.reducing == "pass":
            asks |= found == UNAVAILABLE
        if part.reducing != "judged" and asks.any():
            turned = found.copy()
            turned[asks] = _reduced(part.book, batch, question, allowed, asks, found)
        by_kind[part.kind] = turned
        verdicts = turned if verdicts is None else worse(verdicts, turned, waived)
    if verdicts is None:
        verdicts = everywhere(OFF, batch.rows)
    source = judged.source
    if len(by_kind) > 1:  # a level that an order passes by reducing its book did not refuse it
        still = [rows[by_kind[kind][rows] == FAIL] for rows, kind in judged.fails_at]
        source = first_of(still, batch.rows)
    return Found(verdicts, source, judged.levels, judged.figures)


def _reduced(
    book: int, batch: Batch, question: Question, allowed: Mask, asks: Mask, found: Verdicts
) -> Verdicts:
    """Return the verdicts of rows that pass if they reduce a position."""
    reducible = question.books.get(book)
    if reducible is None:  # no row of this book was open for it to matter
        return everywhere(UNAVAILABLE, int(asks.sum()))
    at = reducible.cells.of_bucket
    wanted = np.zeros(reducible.cells.count + 1, dtype=bool)
    wanted[at[batch.buckets.of_row[asks]]] = True
    wanted[-1] = False
    rows = np.flatnonzero(np.append(wanted[:-1], False)[at[batch.buckets.of_row]] | asks)
    answer = np.full(batch.rows, UNAVAILABLE, dtype=np.int8)
    answer[rows] = reducible.verdicts(batch, rows, allowed)
    kept = found[asks]
    return np.where((answer[asks] == FAIL) & (kept == UNAVAILABLE), UNAVAILABLE, answer[asks]).astype(np.int8)


def crossing_answer(crossing: Crossing, batch: Batch, crosses: Verdicts) -> Found:
    """Return what the rule on self-trades answers."""
    verdicts = crossing.verdicts(batch, crosses)
    source: Source = np.full(batch.rows, -1, dtype=np.int16)
    for place in range(len(crossing.levels) - 1, -1, -1):
        at = verdicts == FAIL
        buckets = crossing.levels[place].buckets
        if buckets is not None:
            at &= buckets[batch.buckets.of_row]
        source[at] = place
    return Found(verdicts, source, crossing.levels)


def group_answer(groups: Groups | None, refused: Mask | None, batch: Batch) -> Found:
    """Return what the rule on orders that are refused together answers."""
    verdicts = everywhere(OFF, batch.rows)
    if groups is None:
        return Found(verdicts)
    verdicts[groups.group >= 0] = PASS
    if refused is not None:
        verdicts[refused] = FAIL
    return Found(verdicts, groups.source, groups.levels)


def counter_answer(rule: Rule, sequence: Prepared, batch: Batch, question: Question, allowed: Mask) -> Found:
    """Return what a counting rule answers: at every kind of cells, the heaviest verdict holds."""
    counters, volume = sequence.counters[rule.name], sequence.volume
    waived = question.waived_failures(rule)
    if not counters:
        return Found(everywhere(OFF, batch.rows))

    @cache
    def reduces(book: int) -> Verdicts:
        return question.books[book].verdicts(batch, np.arange(batch.rows), allowed)

    shown = _first_that_judges(counters, batch)
    shows = any(figure.of in {"used", "total"} for figure in rule.figures)
    with_figures = set(np.unique(shown).tolist()) if shows else set()
    outcomes = [
        outcome(one, batch, allowed, one.may_refuse(batch, volume), reduces, figures=number in with_figures)
        for number, one in enumerate(counters)
    ]
    levels = tuple(held for one in counters for held in one.levels)
    order = sorted(range(len(levels)), key=lambda place: levels[place].level.kind)
    rank = np.empty(len(levels), dtype=np.int16)
    rank[order] = np.arange(len(levels))
    verdicts, first = outcomes[0].verdicts, None
    start = 0
    for number, (one, found) in enumerate(zip(counters, outcomes, strict=True)):
        if number:
            verdicts = worse(verdicts, found.verdicts, waived)
        failing = np.flatnonzero(found.source >= 0) if one.levels else ()
        if len(failing):
            ranks = rank[found.source[failing] + start]
            first = np.full(batch.rows, len(levels), dtype=np.int16) if first is None else first
            earlier = ranks < first[failing]
            first[failing[earlier]] = ranks[earlier]
            if not one.is_share:
                shown[failing[earlier]] = number
        start += len(one.levels)
    in_order = tuple(levels[place] for place in order)
    source = None if first is None else np.where(first < len(levels), first, -1).astype(np.int16)
    figures = {
        figure.name: _figure(figure, rule, counters, outcomes, batch, shown, source, in_order)
        for figure in rule.figures
    }
    return Found(verdicts, source, in_order, figures)


def _first_that_judges(counters: Sequence[Counted], batch: Batch) -> npt.NDArray[np.int8]:
    """Return the first counter that has a limit for each row, 0 where none has."""
    shown = np.zeros(batch.rows, dtype=np.int8)
    for number in range(len(counters) - 1, -1, -1):
        if len(counters) > 1 and not counters[number].is_share:
            has_limit = np.broadcast_to(counters[number].limits(batch), batch.rows) < NO_LIMIT
            shown[has_limit] = number
    return shown


def _figure(
    figure: Figure,
    rule: Rule,
    counters: Sequence[Counted],
    outcomes: Sequence[Outcome],
    batch: Batch,
    shown: npt.NDArray[np.int8],
    source: Source | None,
    levels: tuple[Held, ...],
) -> Floats:
    """Return a figure of the counter that failed first, or of the first that judges the row."""
    numbers = _number(figure, counters[0], outcomes[0], batch)
    for place in range(1, len(counters)):
        at = np.flatnonzero(shown == place)
        if len(at):
            numbers[at] = _number(figure, counters[place], outcomes[place], batch)[at]
    if figure.of == "limit" and source is not None:
        for place, held in enumerate(levels):
            at = np.flatnonzero(source == place)
            limits = np.zeros(len(at), dtype=np.int64) + held.at(batch.buckets.of_row[at])
            numbers[at] = _scaled(limits, counters[0])
    return numbers


def _number(figure: Figure, one: Counted, found: Outcome, batch: Batch) -> Floats:
    bucket = batch.buckets.of_row
    if figure.of == "limit":
        is_set = one.limit != NO_LIMIT
        if one.counter.money is not None and one.counter.money.limit is not None:  # of the broker's figure
            is_set = is_set & np.append(one.used.known, False)[one.cell_of]
        limit = np.where(is_set, _scaled(np.where(is_set, one.limit, 0), one), np.nan)
        return np.asarray(limit[bucket])
    if figure.of == "held":
        assert one.used.held is not None
        assert one.used.held_known is not None
        per_cell = np.where(one.used.held_known, _scaled(one.used.held, one), np.nan)
        assert one.held_at is not None
        return np.append(per_cell, np.nan)[one.held_at][bucket]
    units = found.before if figure.of == "used" else found.before + found.amount
    if figure.of == "total" and not one.counter.signed and one.is_of_qty:
        units = units * batch.side
    known = found.known & batch.is_order if batch.has_cancels else found.known
    if known.all():
        return _scaled(units, one)
    return np.where(known, _scaled(np.where(known, units, 0), one), np.nan)


def _scaled(units: Ints, one: Counted) -> Floats:
    """Return units of what a counter counts as numbers: USD, shares, or a count."""
    if one.money is not None:
        return to_usd(units)
    return to_shares(units) if one.is_of_qty else units.astype(np.float64)
