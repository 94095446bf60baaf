"""How much of each limit a batch used: per rule, level and cell, from the judged batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from engine.model.money import MONEY_UNITS
from engine.model.quantity import UNITS, Ints, Mask
from engine.risk.counted import Counted
from engine.risk.evaluation import Evaluation
from engine.risk.in_force import NO_LIMIT, Held
from engine.risk.rule import USD, Part, Rule

MOST_CELLS = 1_000
"""Cells of a rule and level that are kept: those that used most of it."""

COLUMNS = (
    "rule",
    "level",
    "broker_account_id",
    "strategy_id",
    "symbol",
    "side",
    "unit",
    "used",
    "limit",
    "utilisation",
    "nearest_miss",
    "refused",
)


def utilisation(judged: Evaluation, decisions: pd.DataFrame) -> pd.DataFrame:
    """Return a row per rule, level and cell with orders in the batch.

    ``used`` and ``limit`` in the rule's ``unit`` (shares, orders, …; float64): what is used after the
    allowed orders, NaN where it is unknown. ``utilisation``: their ratio, 0 where less than nothing is
    used (a sell of what is held), infinite where the limit is 0 and something is used. ``nearest_miss``:
    what the allowed orders left of the limit. ``refused``: the orders that this level refused. Of each
    rule and level the ``MOST_CELLS`` cells that used most of it.
    """
    parts = []
    allowed = decisions["allowed"].to_numpy(dtype=bool)
    for rule in judged.rule_book:
        refused_by = _refused(rule, decisions)
        for one in judged.sequence.counters.get(rule.name, ()):
            if not one.is_by_row and not one.is_share and rule.limit is not None:
                parts += [_of_counter(one, held, judged, allowed, refused_by) for held in one.levels]
        if rule.name not in judged.raised:
            parts += [
                _of_amount(rule, part, held, judged, allowed, refused_by)
                for part, held in _amounts(rule, judged)
            ]
    frames = [part for part in parts if len(part)]
    if not frames:
        return pd.DataFrame({name: pd.Series(dtype=_DTYPES.get(name, "str")) for name in COLUMNS})
    return pd.concat(frames, ignore_index=True)[list(COLUMNS)]


_DTYPES = {
    **dict.fromkeys(("used", "limit", "utilisation", "nearest_miss"), "float64"),
    "refused": "int64",
}


def _refused(rule: Rule, decisions: pd.DataFrame) -> pd.Series:
    """Return the level by which a rule refused each row, missing where it did not."""
    return decisions["limit_source"].where((decisions["reason"] == rule.name).to_numpy())


def _of_counter(
    one: Counted, held: Held, judged: Evaluation, allowed: Mask, refused_by: pd.Series
) -> pd.DataFrame:
    batch = judged.batch
    bucket = batch.buckets.of_row
    cells = one.cells_of_orders(batch)
    at_level = cells >= 0
    if held.buckets is not None:
        at_level &= held.buckets[bucket]
    rows = np.flatnonzero(at_level)
    if not len(rows) or (held.by_bucket is None and held.units == NO_LIMIT):
        return pd.DataFrame()
    wanted, first = np.unique(cells[rows], return_index=True)
    counts = (cells >= 0) & allowed
    amount, is_known = _added(one, judged, counts, allowed)
    if one.counter.signed:
        amount = amount * batch.side
    if one.once is not None and one.entered is not None:
        once = one.once[bucket]
        _, firsts = np.unique(np.where(counts & (once >= 0), once, -1), return_index=True)
        is_first = np.zeros(batch.rows, dtype=bool)
        is_first[firsts] = True
        amount = np.where(is_first & ~np.append(one.entered, True)[once], amount, 0)
    used = one.used.units.copy()
    np.add.at(used, cells[counts], amount[counts])
    used = np.abs(used[wanted]) if one.counter.signed else used[wanted]
    known = one.used.known.copy()
    known[cells[counts & ~is_known]] = False
    known = known[wanted]
    refused = np.bincount(
        np.searchsorted(wanted, cells[rows])[(refused_by == held.level.source).to_numpy()[rows]],
        minlength=len(wanted),
    )
    names = _names(one, judged, rows[first])
    limit = np.zeros(len(wanted), dtype=np.int64) + held.at(bucket[rows[first]])
    return _frame(one.rule, held, names, used, known, refused, limit=limit, scale=one.scale)


def _added(one: Counted, judged: Evaluation, counts: Mask, allowed: Mask) -> tuple[Ints, Mask]:
    """Return what each row adds to its cell, and whether that is known."""
    batch = judged.batch
    amounts = one.amounts(batch)
    if amounts is None:
        return np.ones(batch.rows, dtype=np.int64), np.ones(batch.rows, dtype=bool)
    if one.money is None:
        return amounts.units, np.ones(batch.rows, dtype=bool)
    reduces = judged.question.books[one.money.book].verdicts(batch, np.arange(batch.rows), allowed)
    return one.money.added(batch, slice(None), counts, reduces)


def _names(one: Counted, judged: Evaluation, rows: Ints) -> dict[str, list[str]]:
    """Return what a cell is about, from one row of each."""
    batch = judged.batch
    columns = ["broker_account_id"]
    columns += ["strategy_id"] if one.basis.strategy else []
    columns += ["symbol"] if one.basis.symbol else []
    columns += ["side"] if one.basis.side else []
    names = {name: ["" if (text := batch.text(name).text(row)) is None else text for row in rows.tolist()]
             for name in columns}  # fmt: skip
    return {
        name: names.get(name, [""] * len(rows))
        for name in ("broker_account_id", "strategy_id", "symbol", "side")
    }


def _amounts(rule: Rule, judged: Evaluation) -> Iterator[tuple[Part, Held]]:
    for part in rule.parts:
        if part.has_amount:
            for held in judged.in_force.of(part.limit, part.units, part.kinds):
                yield part, held


def _of_amount(
    rule: Rule, part: Part, held: Held, judged: Evaluation, allowed: Mask, refused_by: pd.Series
) -> pd.DataFrame:
    """Return the largest amount of an allowed order, of a limit on single orders."""
    batch = judged.batch
    amounts = part.amounts(judged.valuation)
    at_level = batch.is_order & (held.buckets[batch.buckets.of_row] if held.buckets is not None else True)
    if not at_level.any():
        return pd.DataFrame()
    largest = amounts.units[at_level & allowed & amounts.known].max(initial=0)
    refused = int(((refused_by == held.level.source).to_numpy() & at_level).sum())
    scope = held.level.scope
    names = {
        "broker_account_id": [scope.account or ""],
        "strategy_id": [scope.strategy or ""],
        "symbol": [scope.symbol or ""],
        "side": [""],
    }
    used, known = np.array([largest], dtype=np.int64), np.ones(1, dtype=bool)
    scale = MONEY_UNITS if part.limit is not None and part.limit.unit == USD else UNITS
    limit = np.array([held.units])
    return _frame(rule, held, names, used, known, np.array([refused]), limit=limit, scale=scale)


def _frame(
    rule: Rule,
    held: Held,
    names: dict[str, list[str]],
    used: Ints,
    known: Mask,
    refused: Any,
    *,
    limit: Ints,
    scale: int,
) -> pd.DataFrame:
    most = limit / scale
    amounts = np.where(known, used / scale, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(amounts <= 0, 0.0, amounts / most)
    assert rule.limit is not None
    frame = pd.DataFrame(
        {
            "rule": rule.name,
            "level": held.level.source,
            **names,
            "unit": USD if scale == MONEY_UNITS else rule.limit.unit,
            "used": amounts,
            "limit": most,
            "utilisation": ratio,
            "nearest_miss": most - amounts,
            "refused": np.asarray(refused, dtype=np.int64),
        }
    )
    return frame.sort_values(["utilisation", "refused"], ascending=False, kind="stable").head(MOST_CELLS)
