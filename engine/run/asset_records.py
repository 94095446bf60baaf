"""The source of ``assets``: the brokers' records of a batch's symbols, read once a session at each host.

A few symbols are asked for one by one, more by the list of all active assets. What is read is kept for the
later runs of the session (``engine.record.kept_assets``). Where accounts of several hosts trade, an asset is
what all of their brokers allow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from engine.brokers.assets import Asset
from engine.errors import DataUnavailable, EngineError, RunStopped
from engine.record.kept_assets import KeptAssets, hosts_kept
from engine.run.reading import Reading
from engine.waiting.deadline import Deadline

if TYPE_CHECKING:  # a dry run has no broker, and is short
    from engine.accounts.connection import Connections
    from engine.brokers.trading import TradingBroker

ONE_BY_ONE = 10
"""The most symbols of a host that one run asks for one by one: three seconds of Alpaca's rate limit, which
the run's orders share. The list takes one request and some 10 MB."""

_AT_ONCE = 8
_NAMED = 5
_FLAGS = ("tradable", "fractionable", "shortable")


def assets(reading: Reading) -> pd.DataFrame:
    """Return ``symbol, tradable, fractionable, shortable``; a symbol without a record has no row.

    Raises ``DataUnavailable`` in a dry run, and where no broker answers.
    """
    if reading.mode != "live":
        raise DataUnavailable("asset records are the broker's, and a dry run has no connection to one")
    connections = reading.context.connections
    if connections is None:
        return _frame(_kept_alone(reading), reading.symbols)
    deadline = Deadline.after(reading.context.risk_data_timeout_s)
    hosts = _by_host(reading.accounts, connections)
    if not hosts:
        raise DataUnavailable("none of the batch's accounts can be reached at its broker")
    return _frame(
        [_of_host(broker, reading, deadline) for _, broker in sorted(hosts.items())], reading.symbols
    )


def _kept_alone(reading: Reading) -> Sequence[Mapping[str, Asset]]:
    """Return what earlier runs of the session have read, for a rehearsal, which asks no broker."""
    objects = reading.context.objects
    found = [
        KeptAssets(objects, reading.trading_date, host).read().by_symbol
        for host in hosts_kept(objects, reading.trading_date)
    ]
    if not found:
        raise DataUnavailable(
            "asset records are the broker's, which was not asked, and no run of this session has read any"
        )
    return found


def _by_host(accounts: Sequence[str], connections: Connections) -> dict[str, TradingBroker]:
    """Return the hosts of the accounts' brokers, each with the broker of its first account."""
    brokers = [own.broker for name in accounts if (own := connections.by_account.get(name))]
    return {broker.trading_host: broker for broker in reversed(brokers)}


def _of_host(broker: TradingBroker, reading: Reading, deadline: Deadline) -> Mapping[str, Asset]:
    """Return the records at a broker's host, by symbol: kept ones, and those of the batch's other symbols."""
    kept = KeptAssets(reading.context.objects, reading.trading_date, broker.trading_host)
    known = kept.read()
    missing = [symbol for symbol in reading.symbols if symbol not in known.by_symbol]
    if not missing:
        return known.by_symbol
    asked = _Asked(broker.waiting_together().reading_until(deadline), missing)
    is_listed = not known.is_listed and len(missing) > ONE_BY_ONE and asked.list_all()
    asked.each([symbol for symbol in missing if symbol not in asked.found][:ONE_BY_ONE])
    if asked.found:
        kept.keep(list(asked.found.values()), is_listed=is_listed)
    records = {**known.by_symbol, **asked.found}
    _report_missing([symbol for symbol in missing if symbol not in records], asked, reading)
    return records


def _report_missing(symbols: Sequence[str], asked: _Asked, reading: Reading) -> None:
    """Log which records are unknown. Raises ``DataUnavailable`` where those of the whole batch are."""
    if not symbols:
        return
    why = asked.why(reading.context.risk_data_timeout_s)
    if len(symbols) == len(reading.symbols):
        raise DataUnavailable(why)
    named = ", ".join(symbols[:_NAMED]) + (", …" if len(symbols) > _NAMED else "")
    reading.context.log.event(
        "risk_data_unavailable",
        f"The asset records of {len(symbols)} symbols are unavailable ({named}): {why}",
        severity="ERROR",
        source="assets",
    )


@dataclass
class _Asked:
    """What a broker said of some symbols."""

    broker: TradingBroker
    symbols: Collection[str]
    found: dict[str, Asset] = field(default_factory=dict)
    errors: dict[str, EngineError] = field(default_factory=dict)

    def list_all(self) -> bool:
        """Read the whole list; return whether that was possible."""
        try:
            self.found |= {one.symbol: one for one in self.broker.active_assets(asked_for=self.symbols)}
        except EngineError as error:
            self.errors["list"] = error
            return False
        return True

    def each(self, symbols: Collection[str]) -> None:
        """Read the records of some symbols, several at a time."""
        if not symbols:
            return
        with ThreadPoolExecutor(min(_AT_ONCE, len(symbols)), thread_name_prefix="assets") as threads:
            for symbol, answer in zip(symbols, threads.map(self._one, symbols), strict=True):
                if isinstance(answer, EngineError):
                    self.errors[symbol] = answer
                else:
                    self.found[symbol] = answer

    def _one(self, symbol: str) -> Asset | EngineError:
        try:
            return self.broker.asset(symbol) or Asset.unknown_to_broker(symbol)
        except EngineError as error:
            return error

    def why(self, timeout_s: float) -> str:
        """Return why records are missing."""
        errors = [error for error in self.errors.values() if not isinstance(error, RunStopped)]
        if errors:
            return str(errors[0])
        if self.errors:
            return (
                f"{self.broker.trading_host} did not answer within {timeout_s:g} s. See that it can be "
                f"reached; where it is only slow, raise EXEC_RISK_DATA_TIMEOUT_S"
            )
        return (
            f"they are not among the active assets of {self.broker.trading_host}, and a run asks for at most "
            f"{ONE_BY_ONE} symbols one by one. The next run asks for the next ones"
        )


def _frame(hosts: Iterable[Mapping[str, Asset]], symbols: Sequence[str]) -> pd.DataFrame:
    """Return a row for each symbol that every host has a record of."""
    found = list(hosts)
    rows = [
        (symbol, *(_everywhere([getattr(records[symbol], flag) for records in found]) for flag in _FLAGS))
        for symbol in symbols
        if all(symbol in records for records in found)
    ]
    return pd.DataFrame(rows, columns=["symbol", *_FLAGS]).astype("object")


def _everywhere(flags: Sequence[bool | None]) -> bool | None:
    """Return False where any flag is False, True where all are True, else None."""
    if False in flags:
        return False
    return None if None in flags else True
