"""The inputs of the decision function besides the intents: a snapshot, taken once and handed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    import pyarrow as pa


def _no_breaks() -> pd.DataFrame:
    return pd.DataFrame(columns=["broker_account_id", "symbol"])


@dataclass(frozen=True, kw_only=True)
class RiskInputs:
    """The state of the accounts when a batch is judged.

    ``as_of``: timezone-aware timestamp of the decision (the only clock of the rules).
    ``trading_date``: the session that ``as_of`` belongs to.
    ``positions``: ``broker_account_id, symbol, qty`` (float64, signed shares); no row means flat.
    ``daily_trades``: ``broker_account_id, trades`` (of today, in the ledger); no row means none.
    ``working_orders``: ``broker_account_id, symbol, side, remaining_qty``; one row per open order.
    ``kill_switch``: True refuses every row that is not a cancel.
    ``read_at``: when the rest was read, where that is later than ``as_of`` (the run was resumed), else None.
    ``unreconciled``: ``broker_account_id, symbol``; a row is an open break between broker and ledger; one
    without a symbol concerns its whole account, one without an account could concern any account. Where there
    is a column ``compared``, a row that isn't true in it means that the books of its account were not
    compared, which makes the account unavailable except for its breaks.

    ``allowed_ids``: accounts and client intent ids that were allowed before this batch, and are not allowed
    again; a batch needs none, since rows that earlier runs allowed are removed from it.

    A frame that is None is *unavailable*, which refuses the rows whose rules need it. A NaN, or a second
    position row for the same key, makes that key unavailable; a position row without a symbol its whole
    account; one without an account every account.
    """

    as_of: pd.Timestamp
    trading_date: date
    positions: pd.DataFrame | None
    daily_trades: pd.DataFrame | None
    working_orders: pd.DataFrame | None
    kill_switch: bool = False
    read_at: pd.Timestamp | None = None
    unreconciled: pd.DataFrame | None = field(default_factory=_no_breaks)
    allowed_ids: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of_record(
        cls,
        tables: Mapping[str, pa.Table | None],
        *,
        as_of: pd.Timestamp,
        trading_date: date,
        kill_switch: bool,
        read_at: pd.Timestamp | None,
    ) -> RiskInputs:
        """Return the recorded inputs. ``tables``: by the name of the frame, None for unavailable.

        A frame that the record lacks, since an earlier version wrote it, has its default.
        """
        frames: dict[str, Any] = {
            name: None if table is None else table.to_pandas() for name, table in tables.items()
        }
        return cls(as_of=as_of, trading_date=trading_date, kill_switch=kill_switch, read_at=read_at, **frames)
