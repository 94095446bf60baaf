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


def _all_active() -> pd.DataFrame:
    return pd.DataFrame(columns=["scope", "name", "state", "since", "set_by", "why"])


def _no_overrides() -> pd.DataFrame:
    names = ["rule", "client_intent_id", "strategy_id", "symbol", "approved_by", "why", "expires_on", "file"]
    return pd.DataFrame(columns=names)


@dataclass(frozen=True, kw_only=True)
class RiskInputs:
    """The state of the accounts when a batch is judged.

    ``as_of``: timezone-aware timestamp of the decision (the only clock of the rules).
    ``trading_date``: the session that ``as_of`` belongs to.
    ``positions``: ``broker_account_id, symbol, qty`` (float64, signed shares); no row means flat.
    ``daily_trades``: ``broker_account_id, trades`` (of today, in the ledger); no row means none.
    ``working_orders``: ``broker_account_id, symbol, side, remaining_qty, remaining_notional``; one row per
    open order. Of one by notional the shares that may still fill are unknown (NaN), and
    ``remaining_notional`` (USD) is what may still be traded; of any other it is NaN. A frame without that
    column, such as an earlier version's, knows none.
    ``kill_switch``: True refuses every row that is not a cancel.
    ``read_at``: when the rest was read, where that is later than ``as_of`` (the run was resumed), else None.
    ``unreconciled``: ``broker_account_id, symbol``; a row is an open break between broker and ledger; one
    without a symbol concerns its whole account, one without an account could concern any account. Where there
    is a column ``compared``, a row that isn't true in it means that the books of its account were not
    compared, which makes the account unavailable except for its breaks.

    ``allowed_ids``: accounts and client intent ids that were allowed before this batch, and are not allowed
    again; a batch needs none, since rows that earlier runs allowed are removed from it.

    The frames from here on are read only by rules that a limit switches on; None makes those unavailable.

    ``strategy_positions``: ``strategy_id, broker_account_id, symbol, qty``: what the own fills of each
    strategy of the batch add up to (signed shares); no row means flat. What has no strategy (opening
    balances, adjustments) is the account's alone. A row without a symbol: nothing is known of the strategies
    of its account. ``strategy_trades``: ``strategy_id, broker_account_id, symbol, trades``: the trades of
    ``daily_trades`` by strategy and symbol, of all strategies; ``strategy_id`` is missing for trades of none.
    ``working_order_terms``: the working orders with ``strategy_id`` (missing for one that is of no strategy
    so far as any record goes, empty for one that could be any's), ``order_type``, ``limit_price``,
    ``stop_price``, ``trail_price`` (USD), ``trail_percent`` and ``remaining_notional`` (what an order by
    notional may still cost in USD; missing for one by quantity); a group of orders is one row.
    ``assets``: ``symbol, tradable, fractionable, shortable``: the broker's records; a symbol without a
    row, or a missing flag, is unknown; one that the broker does not know is not tradable.
    ``session_hours``: one row for ``trading_date``: when the regular and the extended session open and
    close.
    ``earlier_orders``: orders sent before this run, with their terms and ``sent_at``.
    ``earlier_batches``: ``strategy_id, run_id, orders, notional``: how many orders a strategy asked for in
    earlier runs, and their value in USD by the prices of then.
    ``latches``: ``strategy_id, rule, since, why, broker_account_id``: strategies and accounts that a rule
    stopped until an operator enables them; a row names one of the two.
    ``trading_states``: ``scope`` (all, account, symbol or strategy), ``name`` (empty for all), ``state``
    (HALTED or REDUCING), ``since, set_by, why``; a scope without a row is ACTIVE.
    ``overrides``: ``rule``, one of ``client_intent_id, strategy_id, symbol``, ``approved_by, why,
    expires_on`` (ISO date: its only session), ``file``.
    ``reconciled``: ``broker_account_id, reconciled_at``: the latest comparison of an account's books with
    the broker's that was complete; no row means never.
    ``prices``: ``symbol, bid, ask, last`` (USD per share), ``quote_at``, ``source`` (alpaca, file or
    intents), ``feed``, ``verdict``: ``ok``, or why the source has no usable quote (absent, halted, …); a
    symbol without a row is absent. Whether a quote is too old or too wide is judged by the limits in force.
    ``account_figures``: ``broker_account_id, buying_power, cash, equity, start_equity, peak_equity`` (USD):
    the broker's figures, its equity at the end of the session before, and the highest equity that a run of
    this session has seen.
    ``traded_notional``: ``strategy_id, broker_account_id, symbol, notional``: what today's fills cost (USD,
    both sides added), of all strategies; ``strategy_id`` is missing for fills of none.
    ``usual_quantities``: ``strategy_id, symbol, qty``: the median quantity (shares) of the orders that a
    strategy asked for in a symbol in earlier runs.
    ``average_volumes``: ``symbol, shares, measured_on`` (ISO date): average daily volume.

    A record of an earlier version lacks columns that came later: what they would hold is unknown.
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
    strategy_positions: pd.DataFrame | None = None
    strategy_trades: pd.DataFrame | None = None
    working_order_terms: pd.DataFrame | None = None
    assets: pd.DataFrame | None = None
    session_hours: pd.DataFrame | None = None
    earlier_orders: pd.DataFrame | None = None
    earlier_batches: pd.DataFrame | None = None
    latches: pd.DataFrame | None = None
    trading_states: pd.DataFrame | None = field(default_factory=_all_active)
    overrides: pd.DataFrame | None = field(default_factory=_no_overrides)
    reconciled: pd.DataFrame | None = None
    prices: pd.DataFrame | None = None
    account_figures: pd.DataFrame | None = None
    traded_notional: pd.DataFrame | None = None
    usual_quantities: pd.DataFrame | None = None
    average_volumes: pd.DataFrame | None = None

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
