"""The source of ``account_figures``: the brokers' figures of the batch's accounts, and the session's peak.

The peak of an account's equity is the highest that this run and earlier live runs of the session have read.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from engine.errors import DataUnavailable, EngineError, RunStopped
from engine.run.earlier_runs import earlier_runs
from engine.run.reading import Reading
from engine.waiting.deadline import Deadline

if TYPE_CHECKING:  # a dry run has no broker, and is short
    from engine.brokers.account import BrokerAccount
    from engine.brokers.trading import TradingBroker

NAME = "account_figures"
CURRENCIES = frozenset({"", "USD"})
"""The currencies of accounts whose figures are in USD; "": the broker names none."""
_AT_ONCE = 8


@dataclass(frozen=True)
class _Figures:
    """Figures of one account in USD, NaN where unknown."""

    buying_power: float = math.nan
    cash: float = math.nan
    equity: float = math.nan
    start_equity: float = math.nan


def account_figures(reading: Reading) -> pd.DataFrame:
    """Return the figures of the batch's accounts (``engine.risk.inputs``), NaN where one is unknown.

    Raises ``DataUnavailable`` in a dry run, where the broker was not asked, and where none answers.
    """
    if reading.mode != "live":
        raise DataUnavailable("the figures are the broker's, and a dry run has no connection to one")
    if reading.context.connections is None:
        raise DataUnavailable("the figures are the broker's, which was not asked")
    reading.check_synced()
    by_account = reading.context.connections.by_account
    deadline = Deadline.after(reading.context.risk_data_timeout_s)
    brokers = {
        account: by_account[account].broker.waiting_together().reading_until(deadline)
        for account in reading.known
        if account in by_account
    }
    if not brokers:
        raise DataUnavailable("none of the batch's accounts can be reached at its broker")
    figures = _asked(reading, brokers)
    peaks = _peaks(reading, reading.accounts)
    rows = []
    for account in reading.accounts:
        own = figures.get(account, _Figures())
        known = [equity for equity in (own.equity, peaks.get(account, math.nan)) if not math.isnan(equity)]
        peak = max(known, default=math.nan)
        rows.append((account, own.buying_power, own.cash, own.equity, own.start_equity, peak))
    names = ["buying_power", "cash", "equity", "start_equity", "peak_equity"]
    frame = pd.DataFrame(rows, columns=["broker_account_id", *names])
    return frame.astype({"broker_account_id": "str", **dict.fromkeys(names, "float64")})


def _asked(reading: Reading, brokers: Mapping[str, TradingBroker]) -> dict[str, _Figures]:
    """Return the figures of the accounts whose broker answers. Raises the first error where none does."""

    def one(broker: TradingBroker) -> _Figures | EngineError:
        try:
            return _figures(broker.get_account())
        except EngineError as error:
            return error

    with ThreadPoolExecutor(min(_AT_ONCE, len(brokers)), thread_name_prefix=NAME) as threads:
        answers = dict(zip(brokers, threads.map(one, brokers.values()), strict=True))
    failed = {account: answer for account, answer in answers.items() if isinstance(answer, EngineError)}
    whys = {account: _why(reading, brokers[account], error) for account, error in failed.items()}
    if failed and len(failed) == len(answers):
        raise DataUnavailable(next(iter(whys.values())))
    for account, why in whys.items():
        text = f"{NAME} is unavailable: of account {account}: {why}"
        reading.context.log.event("risk_data_unavailable", text, severity="ERROR", source=NAME)
    return {account: answer for account, answer in answers.items() if isinstance(answer, _Figures)}


def _why(reading: Reading, broker: TradingBroker, error: EngineError) -> str:
    if not isinstance(error, RunStopped):
        return str(error)
    return (
        f"{broker.trading_host} did not answer within {reading.context.risk_data_timeout_s:g} s. See that it "
        f"can be reached; where it is only slow, raise EXEC_RISK_DATA_TIMEOUT_S"
    )


def _figures(account: BrokerAccount) -> _Figures:
    if account.currency not in CURRENCIES:
        return _Figures()
    named = {
        "buying_power": account.buying_power,
        "cash": account.cash,
        "equity": account.equity,
        "start_equity": account.last_equity,
    }
    return _Figures(**{name: math.nan if value is None else value for name, value in named.items()})


def _peaks(reading: Reading, accounts: Collection[str]) -> dict[str, float]:
    """Return the highest equity of each account that earlier runs of the session have recorded."""
    peaks: dict[str, float] = {}
    for folder in earlier_runs(reading, since=reading.trading_date):
        if not folder.objects.has(f"{folder.key}{NAME}.parquet"):
            continue
        table = folder.table(f"{NAME}.parquet", ["broker_account_id", "peak_equity"])
        for account, peak in zip(*(column.to_pylist() for column in table.columns), strict=True):
            if account in accounts and peak is not None and not math.isnan(peak):
                peaks[account] = max(peak, peaks.get(account, peak))
    return peaks
