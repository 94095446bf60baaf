"""Trades by strategy and symbol, as the stores of the ledger count them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

from engine.ledger.keys import DocumentKeys, check_symbols
from engine.ledger.strategies import strategy_of
from engine.model.symbols import canonical_symbol


class Trades(NamedTuple):
    """Documents of an account and session that name one strategy and symbol, each of any type.

    ``order_id`` is the id of one of them, ``number`` how many they are.
    """

    account: str
    order_id: str
    strategy_id: Any
    symbol: Any
    number: int = 1


def trades_frame(trades: Iterable[Trades], session: str, place: str) -> pd.DataFrame:
    """Return ``strategy_id, broker_account_id, symbol, trades`` (int64), sorted, one row per key.

    Raises ``AccountsInDoubt`` for a document without a symbol; ``place``, the store's, begins the message.
    """
    rows = list(trades)
    check_symbols(((DocumentKeys(one.order_id, one.account, session), one.symbol) for one in rows), place)
    counts: Counter[tuple[str, str, str]] = Counter()
    for one in rows:
        counts[strategy_of(one.strategy_id), one.account, canonical_symbol(one.symbol)] += one.number
    names = ("strategy_id", "broker_account_id", "symbol")
    keys = sorted(counts)
    columns: dict[str, Any] = {
        name: pd.Series([key[at] for key in keys], dtype="str") for at, name in enumerate(names)
    }
    return pd.DataFrame(columns | {"trades": pd.Series([counts[key] for key in keys], dtype="int64")})
