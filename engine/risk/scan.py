"""The sequential rules, in one function: the definition of what the rule book allows.

Intents are judged one after the other, each against the state left by the *allowed* intents before it; a
refused one changes nothing. Rules that depend on one row only were judged before and come in as ``open_row``.
The function runs as plain Python over lists and, unchanged, compiled by numba over numpy arrays; so it calls
no other function and uses only features that behave the same in both. What no row of a batch needs is None.
"""

from __future__ import annotations

from typing import Any, NamedTuple

NO_CELL, UNKNOWN_CELL = -2, -1
"""Codes of a row that a counter does not concern, and of one whose cell is unknown."""

ENOUGH = 4 * 10**18
"""What is used of a cell stops here on both sides of zero, far above any limit and below the end of int64."""

BEST_BUY_OF_NONE, BEST_SELL_OF_NONE = -1, ENOUGH
"""Prices of a side without orders: no buy reaches the one, no sell the other."""


class Rows(NamedTuple):
    """Per row to scan: whether no other rule refuses it, its bucket, its quantity in units, its sign.

    A row that is open has a known cell and quantity for every counter that doesn't skip unknown ones.
    """

    open_row: Any
    bucket: Any
    qty: Any
    sign: Any


class Counters(NamedTuple):
    """Per counter ``c``: ``cells[c][row]``: the row's place in ``used``, ``NO_CELL`` if it does not count.

    Its limit is ``uniform[c]`` or, where ``limit_at[c]`` is not -1, ``limits[limit_at[c] + bucket]``.
    ``counts_qty``: adds the row's quantity instead of 1.
    """

    cells: Any
    used: Any
    uniform: Any
    limit_at: Any
    limits: Any
    counts_qty: Any


class Skipping(NamedTuple):
    """Counters of which unknown numbers pass: ``skips[c]``; ``known`` per place, ``qty_known`` per row."""

    skips: Any
    known: Any
    qty_known: Any


class Once(NamedTuple):
    """Counters that count a cell once: ``places[c][row]`` in ``entered``, -1 where each row counts."""

    places: Any
    entered: Any


class Reducing(NamedTuple):
    """What rows must reduce, per book ``b``.

    ``must[b][row]``: 1 where the row passes only if it reduces the position, 2 where it passes as well if
    that is unknown, else 0. ``cells[b][row]``: its place in ``held`` (what its side can reduce),
    ``working`` (orders of its side) and ``known``; -1 for none. ``found[b]``: whether the row being judged
    reduces: 1, 0, or 2 for unknown.
    """

    must: Any
    cells: Any
    held: Any
    working: Any
    known: Any
    qty_known: Any
    found: Any


class Money(NamedTuple):
    """Counters in money; ``of[c]``: a counter's place ``m`` among them, -1 for one that counts otherwise.

    ``amounts[m][row]`` and ``amount_known[m][row]``: what the row is worth. ``known``: whether what is used
    is, per place in ``used``. ``book[m]``: the book in which a row that reduces the position passes;
    ``only_opening[m]``: such a row adds nothing. ``worst[m][row]``: the row's place in ``long`` and
    ``short``, of which the worse counts; -1 where the whole amount does.
    """

    of: Any
    amounts: Any
    amount_known: Any
    known: Any
    book: Any
    only_opening: Any
    worst: Any
    long: Any
    short: Any


class SelfTrade(NamedTuple):
    """Per row its place in ``best_buy`` and ``best_sell`` (negative: none), and its worst price.

    ``may_cross``: no level blocks its self-trades, or an override waives that.
    """

    cells: Any
    price: Any
    best_buy: Any
    best_sell: Any
    may_cross: Any


def scan(
    rows: Rows,
    counters: Counters,
    signed: Any,
    waived: Any,
    skipping: Any,
    once: Any,
    reducing: Any,
    money: Any,
    trades: Any,
    allowed: Any,
    crosses: Any,
) -> None:
    """Judge rows one after the other; fill ``allowed`` and ``crosses`` (1: a self-trade).

    ``signed[c]``: sells subtract, and the limit holds on both sides of zero. ``waived[c][row]``: the row may
    exceed the limit. What is used, known, entered and working, and the best prices, are changed in place.
    """
    cells = counters.cells
    for row in range(len(rows.open_row)):
        passes = rows.open_row[row]
        if reducing is not None:
            for book in range(len(reducing.must)):
                cell = reducing.cells[book][row]
                reduces = 2
                if cell >= 0 and reducing.known[cell] and reducing.qty_known[row]:
                    reduces = 1 if reducing.working[cell] + rows.qty[row] <= reducing.held[cell] else 0
                reducing.found[book] = reduces
                need = reducing.must[book][row]
                passes = passes and (need == 0 or reduces == 1 or (reduces == 2 and need == 2))
        if trades is not None:
            cell = trades.cells[row]
            if cell >= 0:
                if rows.sign[row] > 0:
                    crossing = trades.price[row] >= trades.best_sell[cell]
                else:
                    crossing = trades.price[row] <= trades.best_buy[cell]
                crosses[row] = 1 if crossing else 0
                passes = passes and (trades.may_cross[row] or not crossing)
        if passes:
            for c in range(len(cells)):
                cell = cells[c][row]
                if cell == NO_CELL:
                    continue
                limit_at = counters.limit_at[c]
                limit = counters.uniform[c] if limit_at < 0 else counters.limits[limit_at + rows.bucket[row]]
                if limit > ENOUGH:  # no level limits this row
                    continue
                if money is not None:
                    m = money.of[c]
                    if m >= 0:
                        reduces = reducing.found[money.book[m]]
                        if reduces == 1:
                            continue
                        if cell < 0 or not money.known[cell] or not money.amount_known[m][row]:
                            passes = False
                            break
                        amount = money.amounts[m][row]
                        inner = money.worst[m][row]
                        if inner >= 0:
                            long = money.long[inner]
                            short = money.short[inner]
                            before = max(long, short, 0)
                            if rows.sign[row] > 0:
                                long = min(long + amount, ENOUGH)
                            else:
                                short = min(short + amount, ENOUGH)
                            amount = max(long, short, 0) - before
                        if counters.used[cell] + amount > limit:
                            passes = False
                            if waived is not None:
                                passes = waived[c][row] and reduces == 0
                            if not passes:
                                break
                        continue
                if skipping is not None:
                    unknown = cell < 0 or not skipping.known[cell]
                    if unknown or (counters.counts_qty[c] and not skipping.qty_known[row]):
                        passes = passes and skipping.skips[c]
                        continue
                if once is not None:
                    place = once.places[c][row]
                    if place >= 0 and once.entered[place]:
                        continue
                amount = rows.qty[row] if counters.counts_qty[c] else 1
                now = counters.used[cell]
                within = now + amount <= limit
                if signed is not None and signed[c]:
                    sign = rows.sign[row]
                    projected = now + sign * amount
                    shrinks = (sign < 0 and now >= amount) or (sign > 0 and -now >= amount)
                    within = shrinks or (projected <= limit and projected >= -limit)
                if not within:
                    passes = False
                    if waived is not None:
                        passes = waived[c][row]
                if not passes:
                    break
        allowed[row] = passes
        if not passes:
            continue
        for c in range(len(cells)):
            cell = cells[c][row]
            if cell < 0:
                continue
            if money is not None:
                m = money.of[c]
                if m >= 0:
                    if money.only_opening[m] and reducing.found[money.book[m]] == 1:
                        continue
                    if not money.amount_known[m][row]:
                        money.known[cell] = False
                        continue
                    amount = money.amounts[m][row]
                    inner = money.worst[m][row]
                    if inner >= 0:
                        before = max(money.long[inner], money.short[inner], 0)
                        if rows.sign[row] > 0:
                            money.long[inner] = min(money.long[inner] + amount, ENOUGH)
                        else:
                            money.short[inner] = min(money.short[inner] + amount, ENOUGH)
                        amount = max(money.long[inner], money.short[inner], 0) - before
                    total = counters.used[cell] + amount
                    counters.used[cell] = min(max(total, -ENOUGH), ENOUGH)
                    continue
            if skipping is not None and counters.counts_qty[c] and not skipping.qty_known[row]:
                skipping.known[cell] = False
                continue
            if once is not None:
                place = once.places[c][row]
                if place >= 0:
                    if once.entered[place]:
                        continue
                    once.entered[place] = True
            amount = rows.qty[row] if counters.counts_qty[c] else 1
            if signed is not None and signed[c]:
                amount = rows.sign[row] * amount
            total = counters.used[cell] + amount
            counters.used[cell] = min(max(total, -ENOUGH), ENOUGH)
        if reducing is not None:
            for book in range(len(reducing.must)):
                cell = reducing.cells[book][row]
                if cell >= 0:
                    total = reducing.working[cell] + rows.qty[row]
                    if total >= ENOUGH or not reducing.qty_known[row]:
                        total = ENOUGH
                    reducing.working[cell] = total
        if trades is not None:
            cell = trades.cells[row]
            if cell >= 0:
                price = trades.price[row]
                if rows.sign[row] > 0 and price > trades.best_buy[cell]:
                    trades.best_buy[cell] = price
                if rows.sign[row] < 0 and price < trades.best_sell[cell]:
                    trades.best_sell[cell] = price
