"""The sequential rules, in one function: the definition of what the rule book allows.

Intents are judged one after the other, each against the state left by the *allowed* intents before it; a
refused one changes nothing. Rules that depend on one row only were judged before and come in as ``open_row``.
The function runs as plain Python over lists and, unchanged, compiled by numba over numpy arrays; so it calls
no other function and uses only features that behave the same in both.
"""

from __future__ import annotations

from typing import Any, NamedTuple

NO_CELL, UNKNOWN_CELL = -2, -1
"""Codes of a row that a counter does not concern, and of one whose cell is unknown."""

ENOUGH = 4 * 10**18
"""What is used of a cell stops growing here, far above any limit and below the end of int64."""

BEST_BUY_OF_NONE, BEST_SELL_OF_NONE = -1, ENOUGH
"""Prices of a side without orders: no buy reaches the one, no sell the other."""


class Rows(NamedTuple):
    """Per row of the batch. ``groups[0]`` is the row's bucket, further ones number rows in other ways.

    ``open_row``: no other rule refuses it. ``is_order``: False for a cancel. ``qty``: units, and whether
    they are known. ``must_reduce[b]``: 1 where the row passes only if it reduces the position in book
    ``b`` (0 the account's, 1 the strategy's own), 2 where it passes as well if that is unknown, else 0.
    ``price``: what the row would pay or take at the worst, units; -1 unknown.
    """

    open_row: Any
    is_order: Any
    groups: Any
    qty: Any
    qty_known: Any
    sign: Any
    must_reduce: Any
    price: Any


class Counters(NamedTuple):
    """Per counter: where its part of ``cell`` and ``limit`` begins, and how it counts.

    ``cell[cell_at + groups[group, row]]`` is the row's cell in ``used`` and ``known``; ``limit[limit_at +
    bucket]`` its limit. ``counts_qty``: adds the row's quantity instead of 1. ``signed``: sells subtract,
    and the limit holds on both sides of zero. ``once_at``: where its part of ``once`` begins, -1 for none:
    by bucket, the place in ``entered`` that says whether an amount was added already. ``skip``: an unknown
    number passes. ``for_cancels``: it counts cancels too. ``waived[counter, row]``: the row may exceed its
    limit (no rows: none may).
    """

    group: Any
    cell_at: Any
    cell: Any
    limit_at: Any
    limit: Any
    counts_qty: Any
    signed: Any
    once_at: Any
    once: Any
    skip: Any
    for_cancels: Any
    waived: Any


class Books(NamedTuple):
    """Positions for the question whether an order reduces one: per book, by bucket, its cell for its side.

    ``cell[book, bucket]``: the place in ``working``, ``held`` and ``known``: orders of that side, and the
    position that they would reduce (0 where it is on the other side of zero).
    """

    cell: Any
    held: Any
    known: Any


class SelfTrade(NamedTuple):
    """Per bucket the cell of account and symbol where a level blocks self-trades, else -1."""

    cell: Any
    known: Any
    waived: Any


class State(NamedTuple):
    """What the scan changes: what is used and known, the working orders, the best prices."""

    used: Any
    known: Any
    entered: Any
    working: Any
    best_buy: Any
    best_sell: Any


def scan(
    order: Any,
    rows: Rows,
    counters: Counters,
    books: Books,
    trades: SelfTrade,
    state: State,
    allowed: Any,
    crosses: Any,
) -> None:
    """Judge the rows named in ``order``, one after the other; fill ``allowed`` and ``crosses``.

    The state is changed in place. ``crosses``: 1 for a self-trade, filled for rows that other rules refuse
    too.
    """
    for row in order:
        bucket = rows.groups[0][row]
        passes = rows.open_row[row]
        known_qty = rows.qty_known[row]
        for book in range(len(rows.must_reduce)):
            need = rows.must_reduce[book][row]
            if need > 0:
                cell = books.cell[book][bucket]
                if cell < 0 or not known_qty or not books.known[cell]:
                    passes = passes and need == 2
                else:
                    passes = passes and state.working[cell] + rows.qty[row] <= books.held[cell]

        if len(trades.cell) > 0 and rows.is_order[row]:
            cell = trades.cell[bucket]
            price = rows.price[row]
            if cell >= 0 and price >= 0 and trades.known[cell]:
                if rows.sign[row] > 0:
                    crossing = price >= state.best_sell[cell]
                else:
                    crossing = price <= state.best_buy[cell]
                crosses[row] = 1 if crossing else 0
                waived = len(trades.waived) > 0 and trades.waived[row]
                passes = passes and (waived or not crossing)

        for c in range(len(counters.group)):
            if not passes:
                break
            if not rows.is_order[row] and not counters.for_cancels[c]:
                continue
            cell = counters.cell[counters.cell_at[c] + rows.groups[counters.group[c]][row]]
            if cell == NO_CELL:
                continue
            if cell < 0 or not state.known[cell] or (counters.counts_qty[c] and not known_qty):
                passes = counters.skip[c]
                continue
            amount = rows.qty[row] if counters.counts_qty[c] else 1
            if counters.once_at[c] >= 0:
                once = counters.once[counters.once_at[c] + bucket]
                if once >= 0 and state.entered[once]:
                    continue
            limit = counters.limit[counters.limit_at[c] + bucket]
            if counters.signed[c]:
                now = state.used[cell]
                sign = rows.sign[row]
                projected = now + sign * amount
                shrinks = (sign < 0 and now >= amount) or (sign > 0 and -now >= amount)
                within = shrinks or (projected <= limit and projected >= -limit)
            else:
                within = state.used[cell] + amount <= limit
            if not within:
                passes = len(counters.waived) > 0 and counters.waived[c][row]

        allowed[row] = passes
        if not passes:
            continue
        for c in range(len(counters.group)):
            if not rows.is_order[row] and not counters.for_cancels[c]:
                continue
            cell = counters.cell[counters.cell_at[c] + rows.groups[counters.group[c]][row]]
            if cell < 0:
                continue
            if counters.counts_qty[c] and not known_qty:
                state.known[cell] = False
                continue
            if counters.once_at[c] >= 0:
                once = counters.once[counters.once_at[c] + bucket]
                if once >= 0:
                    if state.entered[once]:
                        continue
                    state.entered[once] = True
            amount = rows.qty[row] if counters.counts_qty[c] else 1
            if counters.signed[c]:
                amount = rows.sign[row] * amount
            total = state.used[cell] + amount
            state.used[cell] = total if total < ENOUGH else ENOUGH
        if rows.is_order[row]:
            for book in range(len(rows.must_reduce)):
                cell = books.cell[book][bucket]
                if cell >= 0 and known_qty:
                    total = state.working[cell] + rows.qty[row]
                    state.working[cell] = total if total < ENOUGH else ENOUGH
                elif cell >= 0:
                    state.working[cell] = ENOUGH
            if len(trades.cell) > 0:
                cell = trades.cell[bucket]
                price = rows.price[row]
                if cell >= 0 and price >= 0:
                    if rows.sign[row] > 0 and price > state.best_buy[cell]:
                        state.best_buy[cell] = price
                    if rows.sign[row] < 0 and price < state.best_sell[cell]:
                        state.best_sell[cell] = price
