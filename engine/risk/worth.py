"""What positions and working orders are worth by cell, in exact money.

A position is valued at the ask, a working order like an order of the batch. What has no valid price, no known
quantity or no known side makes its cell unknown, and so does a second row for one position; nothing is worth
nothing for want of a price.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.model.columns import TextColumn, number_column, text_column
from engine.model.money import LARGEST_AMOUNT, NOT_AN_AMOUNT, in_money, sums_of, value_below, value_of
from engine.model.quantity import NOT_A_QUANTITY, Ints, Mask, round_to_units
from engine.model.symbols import canonical_symbol
from engine.risk.cells import Cells
from engine.risk.held import with_strategy
from engine.risk.quotes import OK, Codes, scope_of
from engine.risk.rule import Sides, Used
from engine.risk.valuing import Terms, Valuation, prices_of


@dataclass(frozen=True)
class Worth:
    """Per cell without side, in units of money: positions and working orders.

    ``long``: the position, short ones negative, rounded up; ``short``: the same with the other sign, rounded
    up. ``worst``: the sum over symbols of the worse of all that could be long and all that could be short.
    """

    long: Ints
    short: Ints
    buys: Ints
    sells: Ints
    worst: Ints
    known: Mask


def worth(cells: Cells, valuation: Valuation) -> Worth:
    """Return what positions and working orders are worth: of the account, or of a strategy's own book."""
    inputs, own = valuation.inputs, cells.basis.strategy
    positions = inputs.strategy_positions if own else inputs.positions
    orders = with_strategy(inputs.working_order_terms) if own else inputs.working_order_terms
    held = None if positions is None else _positions(cells, positions, valuation)
    working = None if orders is None else _working(cells, orders, valuation)
    count = cells.undirected
    if held is None or working is None:
        nothing = np.zeros(count, dtype=np.int64)
        return Worth(nothing, nothing, nothing, nothing, nothing, np.zeros(count, dtype=bool))
    known = np.ones(count, dtype=bool)
    known[held.cell[~held.known]] = False
    known[working.cell[~working.known]] = False
    known[cells.of_accounts(held.doubtful)] = False
    columns = []
    for cell, amounts in (
        *((held.cell, held.long), (held.cell, held.short)),
        *((working.cell, working.long), (working.cell, working.short)),
    ):
        sums, fits = sums_of(cell, amounts, count)
        columns.append(sums)
        known &= fits
    worst, fits = _worst(held, working, count)
    long, short, buys, sells = columns
    return Worth(long, short, buys, sells, worst, known & fits)


def worst_of_side(cells: Cells, valuation: Valuation) -> Used:
    """Return, per cell with its side, what is held if all that makes it larger on that side should fill."""
    found = worth(cells, valuation)
    long, short = (
        cells.directed(_capped(held + orders))
        for held, orders in ((found.long, found.buys), (found.short, found.sells))
    )
    return Used(np.where(cells.sign > 0, long, short), cells.directed(found.known))


def sides(cells: Cells, valuation: Valuation) -> Sides:
    """Return what is held of each side if all should fill; meaningless where it is not known."""
    found = worth(cells, valuation)
    return Sides(_capped(found.long + found.buys), _capped(found.short + found.sells))


def worst_by_symbol(cells: Cells, valuation: Valuation) -> Used:
    """Return the sum over symbols of the worse of all that could be long, and all that could be short."""
    found = worth(cells, valuation)
    return Used(found.worst, found.known)


def _capped(units: Ints) -> Ints:
    return np.clip(units, -LARGEST_AMOUNT, LARGEST_AMOUNT)


def working_notional(cells: Cells, valuation: Valuation) -> tuple[Ints, Mask]:
    """Return what the working orders of both sides are worth per cell, and whether it is known."""
    orders = valuation.inputs.working_order_terms
    if cells.basis.strategy:
        orders = with_strategy(orders)
    working = None if orders is None else _working(cells, orders, valuation)
    if working is None:
        return np.zeros(cells.undirected, dtype=np.int64), np.zeros(cells.undirected, dtype=bool)
    sums, known = sums_of(working.cell, working.long + working.short, cells.undirected)
    known[working.cell[~working.known]] = False
    return sums, known


@dataclass(frozen=True)
class _Rows:
    """Rows of a frame that belong to a cell: what each is worth long and short, 0 where unknown.

    ``symbol``: a code. ``doubtful``: accounts of which a row names no symbol.
    """

    cell: Ints
    symbol: Ints
    long: Ints
    short: Ints
    known: Mask
    doubtful: Ints


def _positions(cells: Cells, frame: pd.DataFrame, valuation: Valuation) -> _Rows | None:
    doubtful, frame = cells.accounts_in_doubt(frame)
    codes = cells.codes(frame)
    if codes is None or doubtful is None:
        return None
    frame, codes = frame[codes >= 0], codes[codes >= 0]
    qty = round_to_units(number_column(frame["qty"]).numbers)
    symbol, place, verdicts = _quotes_of(frame, cells, valuation)
    priced = (verdicts == OK) & ~valuation.quotes.of_intents[place]
    ask = np.where(priced, valuation.quotes.ask[place], NOT_AN_AMOUNT)
    size = np.where(qty == NOT_A_QUANTITY, NOT_A_QUANTITY, np.abs(qty))
    up, down = value_of(size, ask), value_below(size, ask)
    is_long = qty > 0
    known = ((up != NOT_AN_AMOUNT) | (qty == 0)) & (qty != NOT_A_QUANTITY) & ~_repeated(codes, symbol)
    counts = known & (qty != 0)
    long = np.where(counts, np.where(is_long, up, -down), 0)
    short = np.where(counts, np.where(is_long, -down, up), 0)
    return _Rows(codes, symbol, long, short, known, doubtful)


def _working(cells: Cells, frame: pd.DataFrame, valuation: Valuation) -> _Rows | None:
    codes = cells.codes(frame)
    if codes is None:
        return None
    frame, codes = frame[codes >= 0], codes[codes >= 0]
    side = text_column(frame["side"])
    is_buy, is_sell = side.where("buy".__eq__), side.where("sell".__eq__)
    symbol, place, verdicts = _quotes_of(frame, cells, valuation)
    quotes = valuation.quotes
    by_reference = (verdicts == OK) & quotes.of_intents[place]
    priced = (verdicts == OK) & ~by_reference
    terms = _terms(frame, np.where(is_buy, 1, np.where(is_sell, -1, 0)))
    price = prices_of(terms, np.where(priced, quotes.ask[place], 0), priced, by_reference)
    qty, notional = _units(frame, "remaining_qty"), _units(frame, "remaining_notional")
    worth = np.where(qty >= 0, value_of(qty, price), NOT_AN_AMOUNT)
    by_notional = (qty == NOT_A_QUANTITY) & (notional >= 0) & (price != NOT_AN_AMOUNT)
    worth = np.where(by_notional, in_money(np.maximum(notional, 0)), worth)
    worth = np.where((qty == 0) & (is_buy | is_sell), 0, worth)
    known = worth != NOT_AN_AMOUNT
    amounts = np.where(known, worth, 0)
    doubtful = np.zeros(0, dtype=np.int64)
    return _Rows(codes, symbol, np.where(is_buy, amounts, 0), np.where(is_buy, 0, amounts), known, doubtful)


def _worst(held: _Rows, working: _Rows, count: int) -> tuple[Ints, Mask]:
    """Return per cell the sum over its symbols of the worse of long and short, and whether it fits."""
    cell = np.concatenate([held.cell, working.cell])
    key = np.stack([cell, np.concatenate([held.symbol, working.symbol])])
    groups, group = np.unique(key, axis=1, return_inverse=True)
    sides, fits = [], np.ones(groups.shape[1], dtype=bool)
    for of_positions, of_orders in ((held.long, working.long), (held.short, working.short)):
        sums, fit = sums_of(group.reshape(-1), np.concatenate([of_positions, of_orders]), groups.shape[1])
        sides.append(sums)
        fits &= fit
    total, known = sums_of(groups[0], np.maximum(np.maximum(*sides), 0), count)
    known[groups[0][~fits]] = False
    return total, known


def _quotes_of(frame: pd.DataFrame, cells: Cells, valuation: Valuation) -> tuple[Ints, Ints, Codes]:
    """Return each row's symbol as a code, the place of its quote, and what is wrong with that."""
    quotes = valuation.quotes
    symbols = text_column(frame["symbol"])
    names = [canonical_symbol(value) if isinstance(value, str) else None for value in symbols.values]
    code_of: dict[str | None, int] = {None: 0}
    codes = np.array([*(code_of.setdefault(name, len(code_of)) for name in names), 0])[symbols.codes]
    places = quotes.places(list(code_of))[codes]
    ages, spreads = _limits(frame, symbols, cells, valuation)
    return codes, places, quotes.verdicts(places, ages, spreads)


def _limits(
    frame: pd.DataFrame, symbols: TextColumn, cells: Cells, valuation: Valuation
) -> tuple[Ints, Ints]:
    """Return the oldest age and the widest spread of each row's quote."""
    levels = valuation.levels
    if levels.are_everywhere:
        age, spread = levels.at(scope_of(None, None))
        return np.full(len(frame), age), np.full(len(frame), spread)
    columns = [text_column(frame["broker_account_id"]), symbols]
    if cells.basis.strategy:
        columns.append(text_column(frame["strategy_id"]))
    found: dict[tuple[str | None, ...], tuple[int, int]] = {}
    rows = []
    for row in range(len(frame)):
        names = tuple(column.text(row) for column in columns)
        if names not in found:
            found[names] = levels.at(scope_of(*names))
        rows.append(found[names])
    ages, spreads = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    return ages, spreads


def _terms(frame: pd.DataFrame, side: Ints) -> Terms:
    return Terms(
        side=side,
        order_type=text_column(frame["order_type"]),
        limit=_units(frame, "limit_price"),
        stop=_units(frame, "stop_price"),
        trail_price=_units(frame, "trail_price"),
        trail_percent=_units(frame, "trail_percent"),
        reference=np.zeros(len(frame), dtype=np.int64),
    )


def _units(frame: pd.DataFrame, name: str) -> Ints:
    """Return a column in units, ``NOT_A_QUANTITY`` where it is missing, or not in the record."""
    if name not in frame.columns or not len(frame):
        return np.full(len(frame), NOT_A_QUANTITY, dtype=np.int64)
    return round_to_units(number_column(frame[name]).numbers)


def _repeated(cell: Ints, symbol: Ints) -> Mask:
    """Return the rows of which there is a second one for the same cell and symbol."""
    return np.asarray(pd.DataFrame({"cell": cell, "symbol": symbol}).duplicated(keep=False))
