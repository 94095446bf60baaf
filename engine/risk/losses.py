"""What accounts have lost: since the day's start, and from the session's peak, unrealised losses included.

An account's equity is its cash, its long positions at the bid and its short ones at the ask. It is unknown
where a position is, where one has no valid quote, and where the broker's figures are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from engine.model.columns import number_column, text_column
from engine.model.money import MONEY_UNITS, NOT_AN_AMOUNT, to_money
from engine.model.quantity import NOT_A_QUANTITY, UNITS, round_to_units
from engine.model.symbols import canonical_symbol
from engine.risk.cells import names_every, names_something
from engine.risk.inputs import RiskInputs
from engine.risk.quotes import OK, QuoteLevels, Quotes, scope_of
from engine.text.plain_text import trimmed

_PRODUCT = UNITS * UNITS // MONEY_UNITS
"""A quantity times a price, both in units, is so many units of money."""


@dataclass(frozen=True)
class Loss:
    """The loss of an account in units of 1e-6 USD, rounded up; negative for a gain, None where unknown."""

    since_start: int | None
    from_peak: int | None


def losses(inputs: RiskInputs, levels: QuoteLevels) -> Mapping[str, Loss]:
    """Return the loss of each account of which the broker's figures are known.

    ``levels``: how old and how wide the quotes of positions may be.
    """
    figures = inputs.account_figures
    if figures is None or not names_every(figures, "broker_account_id"):
        return {}
    accounts = list(_texts(figures, "broker_account_id"))
    columns = [
        to_money(number_column(figures[name]).numbers).tolist() if len(figures) else []
        for name in ("cash", "start_equity", "peak_equity")
    ]
    worth = _worth_of_positions(inputs, levels, set(accounts))
    found = {}
    for account, cash, start, peak in zip(accounts, *columns, strict=True):
        held = worth.get(account)
        is_known = held is not None and cash != NOT_AN_AMOUNT and accounts.count(account) == 1
        equity = cash + held // _PRODUCT if is_known and held is not None else None
        found[account] = Loss(_less(start, equity), _less(peak, equity))
    return found


def _less(before: int, equity: int | None) -> int | None:
    return None if equity is None or before == NOT_AN_AMOUNT else before - equity


def _worth_of_positions(
    inputs: RiskInputs, levels: QuoteLevels, accounts: set[str]
) -> Mapping[str, int | None]:
    """Return what the positions of each account are worth, None where that is unknown."""
    frame = inputs.positions
    if frame is None or not names_every(frame, "broker_account_id"):
        return dict.fromkeys(accounts)
    positions = list(_positions(frame))
    worth: dict[str, int | None] = dict.fromkeys(accounts, 0)
    seen: set[tuple[str, str]] = set()
    for (account, symbol, held), price in zip(positions, _prices(positions, inputs, levels), strict=True):
        if account not in worth:
            continue
        is_known = (account, symbol) not in seen and held != NOT_A_QUANTITY and names_something(symbol)
        seen.add((account, symbol))
        before = worth[account]
        if before is None or not is_known or (price is None and held):
            worth[account] = None
        elif price is not None:
            worth[account] = before + held * price
    return worth


def _prices(
    positions: Sequence[tuple[str, str, int]], inputs: RiskInputs, levels: QuoteLevels
) -> list[int | None]:
    """Return the price of each position, in units; None where its quote is not valid."""
    quotes = Quotes.of(inputs)
    places = quotes.places([symbol for _, symbol, _ in positions])
    limits = np.array(_limits(positions, levels), dtype=np.int64).reshape(-1, 2)
    valid = quotes.verdicts(places, limits[:, 0], limits[:, 1]) == OK
    valid &= ~quotes.of_intents[places]
    is_long = np.array([qty > 0 for _, _, qty in positions], dtype=bool)
    prices = np.where(is_long, quotes.bid[places], quotes.ask[places])
    return [price if ok else None for price, ok in zip(prices.tolist(), valid.tolist(), strict=True)]


def _limits(positions: Sequence[tuple[str, str, int]], levels: QuoteLevels) -> list[tuple[int, int]]:
    """Return the limits on each position's quote, worked out once for each scope that a level names."""
    scopes = [scope for level in (*levels.ages, *levels.spreads) for scope in (level.scope, *level.except_in)]
    accounts, symbols = {scope.account for scope in scopes}, {scope.symbol for scope in scopes}
    at = cache(lambda account, symbol: levels.at(scope_of(account, symbol)))
    return [
        at(account if trimmed(account) in accounts else None, symbol if symbol in symbols else None)
        for account, symbol, _ in positions
    ]


def _positions(frame: pd.DataFrame) -> Iterator[tuple[str, str, int]]:
    if not len(frame):
        return iter(())
    symbols = (canonical_symbol(text) for text in _texts(frame, "symbol"))
    units = round_to_units(number_column(frame["qty"]).numbers).tolist()
    return zip(_texts(frame, "broker_account_id"), symbols, units, strict=True)


def _texts(frame: pd.DataFrame, name: str) -> Iterator[str]:
    """Yield a column's texts, trimmed, ``""`` where one is missing."""
    column = text_column(frame[name])
    texts = [trimmed(str(value)) for value in column.values]
    return (texts[code] if code >= 0 else "" for code in column.codes.tolist())
