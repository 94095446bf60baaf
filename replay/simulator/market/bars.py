"""Bars as paths of prices: validation of a CSV or Parquet file, and the path within each bar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.errors import ConfigurationError, UnreadableFile
from engine.model.calendar import NEW_YORK
from replay.simulator.market.paths import MICRO, Path
from replay.simulator.market.sessions import session
from replay.simulator.timestamps import SECOND

PRICES = ("open", "high", "low", "close")
COLUMNS = ("symbol", "timestamp", *PRICES)

_LOWEST, _HIGHEST = 0.0001, 1e9
_MILLISECOND = SECOND // 1000
_MINUTE = 60 * SECOND
_DAY_FROM = 23 * 3600 * SECOND  # from midnight to midnight, on the day when clocks go forward
_ZONE = r"[T ]\d{2}.*(?:Z|[+-]\d{2}(?::?\d{2})?)$"


def read_bars(file: FilePath) -> pd.DataFrame:
    """Return the columns of a CSV or Parquet file unchanged; raises UnreadableFile."""
    try:
        if file.suffix.lower() in (".parquet", ".pq"):
            return pd.read_parquet(file)
        return pd.read_csv(file, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (OSError, ValueError) as error:  # pandas' and pyarrow's own errors are ValueErrors
        reason = " ".join(str(error).split())
        raise UnreadableFile(
            f"{file} can't be read: {reason}", remedy="Give a CSV file with a header line, or a Parquet file."
        ) from error


def bar_paths(frame: pd.DataFrame, source: str) -> Mapping[str, Path]:
    """Return each symbol's path; raises UnreadableFile, with ``source`` and row, for invalid bars.

    ``frame``: ``symbol``, ``timestamp`` (text with a zone, or a column that has one), ``open``, ``high``,
    ``low``, ``close`` (numbers or text); further columns are ignored.
    """
    rows = _Rows(frame, source)
    bars = _checked(rows)
    length_ns = _length_ns(bars, rows)
    paths: dict[str, Path] = {}
    for symbol, of_symbol in bars.groupby("symbol", sort=True):
        begins_ns = of_symbol["t_ns"].to_numpy()
        ends_ns = begins_ns + length_ns
        if length_ns >= _DAY_FROM:
            begins_ns, ends_ns = _session_hours(of_symbol, rows)
        prices = np.rint(of_symbol[list(PRICES)].to_numpy() * MICRO).astype(np.int64)
        paths[str(symbol)] = _path(begins_ns, ends_ns, prices)
    return paths


def _path(begins_ns: NDArray[np.int64], ends_ns: NDArray[np.int64], prices: NDArray[np.int64]) -> Path:
    """Return a path with four knots per bar, and one more where its close holds until the next begins."""
    opens, highs, lows, closes = prices.T
    rises = closes >= opens
    third_ns = (ends_ns - begins_ns) // 3
    last_ns = ends_ns - 1
    held_ns = np.append(begins_ns[1:] - 1, last_ns[-1])
    times = np.stack([begins_ns, begins_ns + third_ns, begins_ns + 2 * third_ns, last_ns, held_ns], axis=1)
    turns = np.where(rises, lows, highs), np.where(rises, highs, lows)
    values = np.stack([opens, *turns, closes, closes], axis=1)
    keep = np.ones_like(times, dtype=np.bool_)
    keep[:, -1] = held_ns > last_ns
    start_ns = int(begins_ns[0])
    return Path(start_ns, times[keep] - start_ns, values[keep])


@dataclass(frozen=True, slots=True)
class _Rows:
    """The unchanged rows of a file, and the errors that name one."""

    frame: pd.DataFrame
    source: str

    def refuse(self, bad: Any, name: str, rule: str, remedy: str) -> None:
        """Raise UnreadableFile for the first bad row, if there is one."""
        where = np.flatnonzero(np.asarray(bad, dtype=np.bool_))
        if where.size:
            at = int(where[0])
            value = str(self.frame[name].iloc[at])
            raise UnreadableFile(f"{self.place(at)}: {name} is {value!r}; expected {rule}", remedy=remedy)

    def place(self, at: int) -> str:
        """Return the place of a row: in a CSV file its line, counting the header."""
        return f"{self.source}:{at + (2 if self.source.lower().endswith('.csv') else 1)}"


def _checked(rows: _Rows) -> pd.DataFrame:
    """Return symbol, t_ns (int64), float64 prices and ``at``, the row number; sorted by the first two."""
    frame, source = rows.frame, rows.source
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise UnreadableFile(
            f"{source}: the columns are {', '.join(map(str, frame.columns))}; expected {', '.join(COLUMNS)}",
            remedy=f"Add {', '.join(missing)}.",
        )
    if frame.empty:
        raise UnreadableFile(f"{source}: it has no bars; expected one or more", remedy="Add bars.")
    symbols = frame["symbol"].fillna("").astype("str").str.strip().to_numpy()
    rows.refuse(symbols == "", "symbol", "a symbol", "Name it, or drop the row.")
    bars = pd.DataFrame({"symbol": symbols, "t_ns": _timestamps_ns(rows), "at": np.arange(len(frame))})
    for name in PRICES:
        bars[name] = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        bad = ~bars[name].between(_LOWEST, _HIGHEST)
        rows.refuse(bad, name, "a price from 0.0001 to 1000000000", "Write it like 101.25.")
    others = bars[["open", "low", "close"]]
    rows.refuse(bars["high"] < others.max(axis=1), "high", "the bar's highest price", "Correct the bar.")
    others = bars[["open", "high", "close"]]
    rows.refuse(bars["low"] > others.min(axis=1), "low", "the bar's lowest price", "Correct the bar.")
    twice = bars.duplicated(["symbol", "t_ns"])
    rows.refuse(twice, "timestamp", "one bar of a symbol at a time", "Drop one of the two.")
    return bars.sort_values(["symbol", "t_ns"], kind="stable")


def _timestamps_ns(rows: _Rows) -> NDArray[np.int64]:
    column = rows.frame["timestamp"]
    remedy = "Write it like 2026-03-02T09:30:00-05:00."
    if not pd.api.types.is_datetime64_any_dtype(column):
        text = column.fillna("").astype("str").str.strip()
        rows.refuse(~text.str.contains(_ZONE, regex=True), "timestamp", "a time with its zone", remedy)
        column = pd.to_datetime(text, utc=True, format="ISO8601", errors="coerce")
    elif column.dt.tz is None:
        remedy = "Give the column one, such as tz_localize('America/New_York')."
        rows.refuse(np.ones(len(column)), "timestamp", "a time with its zone", remedy)
    rows.refuse(column.isna(), "timestamp", "a time", remedy)
    t_ns: NDArray[np.int64] = column.dt.tz_convert("UTC").dt.as_unit("ns").astype("int64").to_numpy()
    return t_ns


def _length_ns(bars: pd.DataFrame, rows: _Rows) -> int:
    symbols = bars["symbol"].to_numpy()
    following = np.flatnonzero(symbols[1:] == symbols[:-1])  # pandas' diff would convert to floats
    if not following.size:
        return _MINUTE
    gaps_ns = np.diff(bars["t_ns"].to_numpy())[following]
    shortest = int(gaps_ns.min())
    if shortest < _MILLISECOND:
        place = rows.place(int(bars["at"].iloc[following[gaps_ns.argmin()] + 1]))
        raise UnreadableFile(
            f"{place}: timestamp is {shortest} ns after the bar before; expected a millisecond or more",
            remedy="Give bars, not trades.",
        )
    return shortest


def _session_hours(of_symbol: pd.DataFrame, rows: _Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return open and close of the sessions of daily bars, stamped midnight in New York or UTC."""
    starts = pd.to_datetime(of_symbol["t_ns"], utc=True)
    midnight_utc = (starts == starts.dt.normalize()).to_numpy()
    in_utc, in_new_york = starts.dt.date.to_numpy(), starts.dt.tz_convert(NEW_YORK).dt.date.to_numpy()
    hours: list[tuple[int, int]] = []
    for day, at in zip(np.where(midnight_utc, in_utc, in_new_york), of_symbol["at"], strict=True):
        try:
            trading = session(day)
        except ConfigurationError as error:
            raise UnreadableFile(
                f"{rows.place(at)}: timestamp is of {day}; expected a day with a session",
                remedy="Drop the row.",
            ) from error
        if hours and hours[-1][0] >= trading.open_ns:
            raise UnreadableFile(
                f"{rows.place(at)}: timestamp is of {day} again; expected one bar a day",
                remedy="Stamp bars of a day with its midnight in New York.",
            )
        hours.append((trading.open_ns, trading.close_ns))
    opens_ns, closes_ns = np.array(hours, dtype=np.int64).T
    return opens_ns, closes_ns
