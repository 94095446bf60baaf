"""The trades of a session in the embedded store, and the search for documents that a count would miss."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date

import pandas as pd

from engine.ledger.documents import ADJUSTMENT, COUNTS_AS_TRADE
from engine.ledger.keys import MOST_IN_DOUBT, DocumentKeys, check_countable, ranges_without_sessions
from engine.stores.embedded.file import EmbeddedFile
from engine.stores.strategy_trades import Filled, Trades, notional_frame, trades_frame

OF_SESSION = f"trading_date = ? AND json_type(document, '$.{COUNTS_AS_TRADE}') IS NOT 'false'"
"""The condition for a document that is a trade of a session."""

_OTHERS_OF_SESSION = """
SELECT min(broker_order_id), broker_account_id, trading_date FROM ledger_trades
WHERE trading_date = ? AND broker_account_id NOT IN (SELECT value FROM json_each(?))
GROUP BY broker_account_id
"""
_BY_STRATEGY = f"""
SELECT broker_account_id, min(broker_order_id), json_extract(document, '$.strategy_id', '$.symbol') AS named,
    count(*)
FROM ledger_trades WHERE {OF_SESSION} AND broker_account_id IN (SELECT value FROM json_each(?))
GROUP BY broker_account_id, named
"""

_FILLED = f"""
SELECT broker_account_id, broker_order_id, json_extract(document, '$.strategy_id', '$.symbol', '$.filled_qty',
    '$.filled_avg_price', '$.{ADJUSTMENT}')
FROM ledger_trades WHERE trading_date = ? AND broker_account_id IN (SELECT value FROM json_each(?))
"""


def check_session(file: EmbeddedFile, accounts: Sequence[str], session: date) -> None:
    """Search for documents that a count of a session would miss. Raises ``AccountsInDoubt``."""
    queries, values = [_OTHERS_OF_SESSION], [session.isoformat(), json.dumps(list(accounts))]
    for first, end in ranges_without_sessions(session):
        bounds = [("trading_date >= ?", first), ("trading_date < ?", end)]
        given = [(condition, bound) for condition, bound in bounds if bound is not None]
        where = " AND ".join(condition for condition, _ in given)
        queries.append(
            "SELECT * FROM (SELECT broker_order_id, broker_account_id, trading_date FROM ledger_trades "
            f"WHERE {where} LIMIT {MOST_IN_DOUBT})"
        )
        values += [bound for _, bound in given]
    found = file.read(" UNION ALL ".join(queries), tuple(values)) if accounts else []
    check_countable((DocumentKeys(*row) for row in found), accounts, str(file.path))


def trades_by_strategy(file: EmbeddedFile, accounts: Sequence[str], session: date) -> pd.DataFrame:
    """Return a session's trades: ``strategy_id, broker_account_id, symbol, trades`` (int64).

    Raises ``DataUnavailable``, and ``AccountsInDoubt`` as ``check_session`` does and for a document without a
    symbol.
    """
    check_session(file, accounts, session)
    rows = file.read(_BY_STRATEGY, (session.isoformat(), json.dumps(list(accounts))))
    found = [
        Trades(account, order_id, strategy_id, symbol, number)
        for account, order_id, named, number in rows
        for strategy_id, symbol in [json.loads(named)]
    ]
    return trades_frame(found, session.isoformat(), str(file.path))


def notional_by_strategy(file: EmbeddedFile, accounts: Sequence[str], session: date) -> pd.DataFrame:
    """Return what a session's fills cost: ``strategy_id, broker_account_id, symbol, notional`` (USD).

    Raises as ``trades_by_strategy``.
    """
    check_session(file, accounts, session)
    rows = file.read(_FILLED, (session.isoformat(), json.dumps(list(accounts))))
    found = [Filled(account, order_id, *json.loads(values)) for account, order_id, values in rows]
    return notional_frame(found, session.isoformat(), str(file.path))
