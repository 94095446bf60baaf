"""The sources of ``prices`` and ``average_volumes``: Alpaca's quotes, files, or the intents' own prices.

Prices are asked for all symbols of the batch, of positions and of working orders. What a source does not
answer is unpriced, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from engine.brokers.quotes import OK, Quote, Snapshots, frame_of, prices_frame
from engine.errors import ConfigurationError, DataUnavailable, EngineError, RunStopped
from engine.model.symbols import canonical_symbol
from engine.run.market_files.price_file import read_price_file
from engine.run.market_files.volume_file import read_volume_file
from engine.run.reading import Reading
from engine.settings.values import ALPACA, INTENTS
from engine.waiting.deadline import Deadline

if TYPE_CHECKING:
    from engine.run.market_files.table_files import Fault

FILE = "file"
"""The source of prices from a file, whatever its path."""
_FAULTS_LOGGED = 20
_NAMED = 5


def prices(reading: Reading) -> pd.DataFrame:
    """Return the input frame ``prices`` (``engine.risk.inputs``), one row for each symbol that was asked.

    With ``EXEC_PRICES=intents`` it has the symbols of the batch, without numbers. Raises ``DataUnavailable``.
    """
    source = reading.prices.source
    if source is None:
        raise DataUnavailable("no prices are configured. Set EXEC_PRICES to alpaca, intents or a file")
    if source == INTENTS:
        return frame_of((Quote(symbol, verdict=OK) for symbol in reading.symbols), source=INTENTS)
    deadline = Deadline.after(reading.context.risk_data_timeout_s)
    symbols = sorted(_symbols(reading, deadline))
    if source == ALPACA:
        return _of_alpaca(reading, symbols, deadline)
    read = read_price_file(source, symbols)
    _log_faults(reading, "prices", read.faults)
    return prices_frame(symbols, Snapshots(read.quotes), source=FILE)


def average_volumes(reading: Reading) -> pd.DataFrame:
    """Return ``symbol, shares, measured_on`` of the batch's symbols; one without a row has no volume.

    Raises ``DataUnavailable``.
    """
    path = reading.prices.volumes
    if path is None:
        raise DataUnavailable("no file of average daily volumes is configured. Set EXEC_ADV to its path")
    read = read_volume_file(path, reading.symbols, today=reading.trading_date)
    _log_faults(reading, "average_volumes", read.faults)
    return read.frame


def _symbols(reading: Reading, deadline: Deadline) -> set[str]:
    """Return the symbols of the batch, of positions and of working orders, canonical.

    Where the positions can't be read, it is without theirs; what needs them is unavailable.
    """
    symbols = {*reading.symbols, *reading.working_symbols}
    for book in reading.synced.values():
        if not isinstance(book, EngineError):
            symbols |= set(book.working_order_terms["symbol"].dropna())
    if reading.positions is not None:
        try:
            held = reading.positions.result(within_s=deadline.left_s() / 2)
            symbols |= set(held["symbol"].dropna())
        except Exception as error:  # of a store; the positions' own source reports it too
            _log(reading, "prices", f"of symbols that are only held: {error}")
    return {canonical_symbol(symbol) for symbol in symbols}


def _of_alpaca(reading: Reading, symbols: Sequence[str], deadline: Deadline) -> pd.DataFrame:
    settings = reading.prices
    if reading.context.market_data is None:
        raise DataUnavailable("prices are Alpaca's, which was not asked")
    try:
        data = reading.context.market_data.at(settings.data_host, settings.feed)
    except ConfigurationError as error:
        raise DataUnavailable(f"prices are Alpaca's: {error}") from error
    try:
        found = data.snapshots(symbols, deadline=deadline)
    except RunStopped as error:
        raise DataUnavailable(_too_late(reading)) from error
    except EngineError as error:
        raise DataUnavailable(str(error)) from error
    _log_failed(reading, found.failed)
    return prices_frame(symbols, found, source=ALPACA, feed=settings.feed)


def _too_late(reading: Reading) -> str:
    return (
        f"{reading.prices.data_host} did not answer within {reading.context.risk_data_timeout_s:g} s. See "
        f"that it can be reached; where it is only slow, raise EXEC_RISK_DATA_TIMEOUT_S"
    )


def _log_failed(reading: Reading, failed: Mapping[str, EngineError]) -> None:
    """Log the symbols that were not answered for, together where the reason is the same."""
    reasons: dict[str, list[str]] = {}
    for symbol, error in sorted(failed.items()):
        why = _too_late(reading) if isinstance(error, RunStopped) else str(error)
        reasons.setdefault(why, []).append(symbol)
    for why, symbols in reasons.items():
        _log(reading, "prices", f"of {_listed(symbols)}: {why}")


def _log_faults(reading: Reading, name: str, faults: Sequence[Fault]) -> None:
    for fault in faults[:_FAULTS_LOGGED]:
        _log(reading, name, f"of {fault.symbol}: {fault.message}")
    if len(faults) > _FAULTS_LOGGED:
        _log(reading, name, f"of {len(faults) - _FAULTS_LOGGED} further symbols, for faults in their rows")


def _listed(symbols: Iterable[str]) -> str:
    names = list(symbols)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _log(reading: Reading, name: str, why: str) -> None:
    text = f"{name} are unavailable {why}"
    reading.context.log.event("risk_data_unavailable", text, severity="ERROR", source=name)
