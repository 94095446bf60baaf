"""The rules that judge a row by itself, at every level of their limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.model.quantity import Mask
from engine.risk.batch import Batch
from engine.risk.in_force import Held, InForce
from engine.risk.inputs import RiskInputs
from engine.risk.levels import STRATEGY
from engine.risk.reducing import ACCOUNTS_BOOK, OWN_BOOK
from engine.risk.rule import Rule
from engine.risk.verdicts import FAIL, OFF, PASS, UNAVAILABLE, Verdicts, at_most, everywhere, worse


@dataclass(frozen=True)
class Judged:
    """Verdicts of a rule. ``source``: the place of the first failing level among ``levels``, -1 for none.

    ``by_book``: the verdicts by the book whose position a reducing order must reduce. ``rule``: whose they
    are.
    """

    rule: Rule

    verdicts: Verdicts
    source: npt.NDArray[np.int16] | None = None
    levels: tuple[Held, ...] = ()
    by_book: tuple[tuple[int, Verdicts], ...] = ()


def judge_rows(rule: Rule, batch: Batch, inputs: RiskInputs, in_force: InForce, passing: Mask) -> Judged:
    """Return the verdicts of a rule that is not sequential.

    ``passing``: rows that other row rules let through. Raises whatever the rule raises, and ``ValueError``
    where it returns anything but a verdict per row.
    """
    levels = in_force.of(rule)
    if rule.limit is not None and not levels and not rule.judges_unset:
        return Judged(rule, everywhere(OFF, batch.rows))
    by_book: dict[int, Verdicts] = {}
    source: npt.NDArray[np.int16] | None = None
    if rule.limit is None or (rule.judges_unset and not _covered(levels)):
        by_book[ACCOUNTS_BOOK] = _checked(_one(rule, batch, inputs, None, passing), batch)
        if levels:
            judged = np.zeros(batch.buckets.count, dtype=bool)
            for held in levels:
                judged |= held.buckets if held.buckets is not None else True
            by_book[ACCOUNTS_BOOK][judged[batch.buckets.of_row]] = OFF
    for place, held in enumerate(levels):
        verdicts = _checked(_one(rule, batch, inputs, held, passing), batch)
        if held.buckets is not None:
            verdicts = np.where(held.buckets[batch.buckets.of_row], verdicts, OFF).astype(np.int8)
        fails = verdicts == FAIL
        if fails.any():
            source = np.full(batch.rows, -1, dtype=np.int16) if source is None else source
            source[fails & (source < 0)] = place
        book = OWN_BOOK if rule.own_book and held.level.kind >= STRATEGY else ACCOUNTS_BOOK
        by_book[book] = worse(by_book[book], verdicts) if book in by_book else verdicts
    if not rule.faces_cancels and batch.is_cancel.any():
        by_book = {
            book: np.where(batch.is_cancel, OFF, verdicts).astype(np.int8)
            for book, verdicts in by_book.items()
        }
    books = tuple(by_book.items())
    verdicts = books[0][1]
    for _, more in books[1:]:
        verdicts = worse(verdicts, more)
    return Judged(rule, verdicts, source, levels, books)


def _one(rule: Rule, batch: Batch, inputs: RiskInputs, held: Held | None, passing: Mask) -> Verdicts:
    """Return the verdicts of a rule by one value of its limit."""
    value = None if held is None else held.level.value
    if rule.judge is not None:
        return rule.judge(batch, inputs, value)
    if rule.whole_file is not None:
        return rule.whole_file(batch, inputs, value, passing)
    assert rule.amount is not None
    assert held is not None
    return at_most(rule.amount(batch, inputs), held.units)


def _covered(levels: tuple[Held, ...]) -> bool:
    return any(held.buckets is None for held in levels)


def _checked(verdicts: Verdicts, batch: Batch) -> Verdicts:
    if verdicts.shape != (batch.rows,) or not ((verdicts >= PASS) & (verdicts <= UNAVAILABLE)).all():
        raise ValueError(
            f"a rule returned {verdicts.shape} verdicts for {batch.rows} rows, or an invalid one"
        )
    return verdicts
