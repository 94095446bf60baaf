"""What accounts have lost: since the day's start, and from the session's peak, unrealised losses included.

An account's equity is its cash, its long positions at the bid and its short ones at the ask. It is unknown
where a position is, where one has no valid quote, and where the broker's figures are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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
    quotes = Quotes.of(inputs)
    worth: dict[str, int | None] = dict.fromkeys(accounts, 0)
    seen: set[tuple[str, str]] = set()
    for account, symbol, qty in _positions(frame):
        if account not in worth:
            continue
        value = None if (account, symbol) in seen else _worth(qty, account, symbol, quotes, levels)
        seen.add((account, symbol))
        before = worth[account]
        worth[account] = None if before is None or value is None else before + value
    return worth


def _positions(frame: pd.DataFrame) -> Iterator[tuple[str, str, int]]:
    if not len(frame):
        return iter(())
    symbols = (canonical_symbol(text) for text in _texts(frame, "symbol"))
    units = round_to_units(number_column(frame["qty"]).numbers).tolist()
    return zip(_texts(frame, "broker_account_id"), symbols, units, strict=True)


def _worth(qty: int, account: str, symbol: str, quotes: Quotes, levels: QuoteLevels) -> int | None:
    """Return a position's worth in products of units; None where quantity, symbol or quote is unknown."""
    if qty == NOT_A_QUANTITY or not names_something(symbol):
        return None
    if not qty:
        return 0
    place = quotes.places([symbol])
    max_age_us, max_spread = (np.array([most]) for most in levels.at(scope_of(account, symbol)))
    if quotes.of_intents[place][0] or quotes.verdicts(place, max_age_us, max_spread)[0] != OK:
        return None
    return qty * int((quotes.bid if qty > 0 else quotes.ask)[place][0])


def _texts(frame: pd.DataFrame, name: str) -> Iterator[str]:
    """Yield a column's texts, trimmed, ``""`` where one is missing."""
    column = text_column(frame[name])
    texts = [trimmed(str(value)) for value in column.values]
    return (texts[code] if code >= 0 else "" for code in column.codes.tolist())
