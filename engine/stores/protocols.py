"""What a run asks of the stores of risk data; each is one query for all accounts of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Protocol

import pandas as pd


class PositionStore(Protocol):
    """Where the positions of the accounts are kept."""

    def positions(
        self, accounts: Sequence[str], *, as_of: pd.Timestamp, max_age_s: float | None = None
    ) -> pd.DataFrame:
        """Give ``broker_account_id, symbol, qty`` of these accounts; a stale one has qty NaN.

        Raises ``DataUnavailable``.
        """
        ...


class LedgerStore(Protocol):
    """Where the trades of the accounts are kept."""

    def trade_counts(self, accounts: Sequence[str], trading_date: date) -> pd.DataFrame:
        """Give ``broker_account_id, trades`` of a session, for accounts that have some.

        Raises ``DataUnavailable``.
        """
        ...
