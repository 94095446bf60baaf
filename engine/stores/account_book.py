"""An account's book, checked before a store writes any of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime

import pandas as pd

from engine.errors import EngineError
from engine.model.symbols import canonical_symbol

NUMBERS = ("qty", "avg_price", "market_value")


def checked_book(book: pd.DataFrame, *, account: str, place: str) -> pd.DataFrame:
    """Return a book's ``symbol`` (str) and ``qty, avg_price, market_value`` (float64), one row per symbol.

    Raises ``EngineError`` for a row without a symbol or a quantity, and for a symbol that has two rows.
    ``place`` is the store's, for the message.
    """
    symbols = book["symbol"].tolist()
    columns = {name: book[name].to_numpy(dtype="float64", na_value=math.nan) for name in NUMBERS}
    seen: set[str] = set()
    for symbol, qty in zip(symbols, columns["qty"].tolist(), strict=True):
        if not isinstance(symbol, str) or not symbol.strip():
            raise _not_kept(place, f"a position of {account} has the symbol {symbol!r}; expected text")
        if canonical_symbol(symbol) in seen:
            raise _not_kept(place, f"the book of {account} names {symbol} twice; expected one row per symbol")
        if not math.isfinite(qty):
            what = f"the position of {account} in {symbol} has the qty {qty}; expected a number of shares"
            raise _not_kept(place, what)
        seen.add(canonical_symbol(symbol))
    return pd.DataFrame({"symbol": pd.Series(symbols, dtype="str"), **columns})


def check_each_once(frame: pd.DataFrame) -> None:
    """Refuse positions with two rows for one account and symbol, in any form of the symbol."""
    keys = frame[["broker_account_id", "symbol"]].assign(symbol=frame["symbol"].map(canonical_symbol))
    repeated = keys.duplicated()
    if repeated.any():
        account, symbol = keys.loc[repeated].iloc[0]
        raise EngineError(
            f"positions of {account} name {symbol} twice; expected one row per account and symbol. "
            f"Nothing was written; drop one of the two."
        )


def other_forms(kept: Iterable[str | None], book: Iterable[str]) -> list[str]:
    """Return the symbols of ``kept`` that are another form of one in ``book``, whose row replaces theirs."""
    canonical = {canonical_symbol(symbol) for symbol in book}
    return [symbol for symbol in kept if symbol is not None and canonical_symbol(symbol) in canonical]


def why_older(account: str, synced_at: datetime, kept: datetime) -> str:
    """Return the reason to refuse a book: a newer one is already kept."""
    return (
        f"the book of {account} was read at {synced_at.isoformat()}, and one that is newer is kept, of "
        f"{kept.isoformat()}"
    )


OLDER_REMEDY = (
    "another sync was faster: use its book, or sync again; see that the machines' clocks agree, and where "
    "one was wrong, delete the account's row in broker_position_syncs."
)


def _not_kept(place: str, why: str) -> EngineError:
    return EngineError(
        f"{place}: can't be written ({why}). Nothing of this write was kept; look at the position on the "
        f"broker's dashboard, and sync again."
    )
