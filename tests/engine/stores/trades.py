"""Ledger documents to keep, and what a ledger counts of them."""

from __future__ import annotations

from datetime import date
from typing import Any

from engine.stores.protocols import LedgerStore

SESSION = date(2026, 3, 2)


def trade(
    order: str, *, account: str = "paper", day: str = "2026-03-02", filled: float = 1
) -> dict[str, Any]:
    """Return the document of a filled order."""
    return {
        "broker_order_id": order,
        "broker_account_id": account,
        "trading_date": day,
        "filled_qty": filled,
        "raw_fill": {"price": "500.10"},
    }


def bought(order: str, symbol: str, qty: float, *, account: str = "paper", **said: Any) -> dict[str, Any]:
    """Return the document of a filled order for so many shares, sold where they are below 0."""
    side = "sell" if qty < 0 else "buy"
    return trade(order, account=account, filled=abs(qty)) | {"symbol": symbol, "side": side} | said


def counted(store: LedgerStore, *accounts: str, day: date = SESSION) -> dict[str, int]:
    """Return the trades that a ledger counts, by account."""
    frame = store.trade_counts(accounts, day)
    return dict(zip(frame["broker_account_id"], frame["trades"], strict=True))
