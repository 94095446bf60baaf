"""Figures of recorded and replayed days for reports.

Each function takes a frame and returns a ``matplotlib`` figure; nothing is read, shown or saved. They need
matplotlib, from the extra ``notebooks``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from engine.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 9.0, 4.2
_COLUMNS = 3
_LABELS_OF_A_PANEL, _LABELS_OF_A_FIGURE, _UPRIGHT = 4, 20, 6
_INK, _FAINT = "#333333", "#d9d9d9"
_COLORS = ("#3366aa", "#dd7733", "#44996b", "#aa4477", "#886633", "#7788aa", "#bb9911", "#555555")
_ALLOWED, _REFUSED, _LIMIT = "#44996b", "#c0504d", "#c0504d"
_DIRECTIONS = {"newly_allowed": ("allowed now", _ALLOWED), "newly_refused": ("refused now", _REFUSED)}
_NEW_YORK = "America/New_York"


def position_paths(positions: pd.DataFrame) -> Figure:
    """Draw the position in each symbol against its limits, from ``replay.frames.positions``."""
    symbols = sorted(positions["symbol"].unique())
    if not symbols:
        return _nothing("Positions against their limits")
    figure, panels = _panels(len(symbols), "Positions against their limits")
    timestamps = positions["moment"].dt.tz_convert(_NEW_YORK)
    for axes, symbol in zip(panels, symbols, strict=False):
        own = positions["symbol"] == symbol
        paths = list(positions[own].groupby("broker_account_id"))
        for color, (_, path) in zip(_repeated(_COLORS, len(paths)), paths, strict=True):
            ordinal = _sessions_side_by_side(timestamps[path.index])
            axes.step(ordinal, path["qty"], where="post", color=color, linewidth=1.4)
        limit_qty = float(positions.loc[own, "limit_qty"].max())
        for limit in (limit_qty, -limit_qty):
            axes.axhline(limit, color=_LIMIT, linewidth=1, linestyle=(0, (4, 3)))
        axes.axhline(0, color=_FAINT, linewidth=0.8, zorder=0)
        axes.set_ylim(-1.15 * limit_qty, 1.15 * limit_qty)
        axes.set_title(symbol, loc="left", fontsize=10, color=_INK)
        _label_sessions(axes, timestamps)
    for axes in panels[:: min(_COLUMNS, len(panels))]:
        axes.set_ylabel("shares", fontsize=9)
    return figure


def decisions_by_rule(decisions: pd.DataFrame) -> Figure:
    """Draw the number of intents per session, allowed and refused by rule, from ``Comparison.decisions``."""
    if not len(decisions):
        return _nothing("Decisions by rule")
    reasons = decisions["reason"].astype(str)
    counted = pd.crosstab(_days(decisions), reasons)
    order = ["ok", *counted.drop(columns="ok", errors="ignore").sum().sort_values(ascending=False).index]
    counted = counted.reindex(columns=order, fill_value=0)
    figure, axes = _one("Decisions by rule")
    colors = [_ALLOWED, *(color for color in _COLORS if color != _ALLOWED)]
    _stacked(axes, counted.rename(columns={"ok": "allowed"}), colors)
    axes.set_ylabel("intents")
    return figure


def flips_by_symbol_and_time(flips: pd.DataFrame) -> Figure:
    """Draw the number of flips by symbol and session, from ``Comparison.flips``."""
    if not len(flips):
        return _nothing("Intents decided otherwise")
    rows = flips["symbol"].nunique()
    figure, axes = _one("Intents decided otherwise", height=max(_HEIGHT, 1.6 + 0.42 * rows))
    symbols, days = sorted(flips["symbol"].unique()), sorted(_days(flips).unique())
    width, largest = 0.38, 320.0 if len(days) <= _UPRIGHT else 180.0
    for at, (direction, (label, color)) in enumerate(_DIRECTIONS.items()):
        own = flips[flips["direction"] == direction]
        counted = pd.crosstab(own["symbol"], _days(own)).reindex(index=symbols, columns=days, fill_value=0)
        for row, symbol in enumerate(symbols):
            sizes = counted.loc[symbol].to_numpy(dtype=float)
            some = sizes > 0
            x, y = np.arange(len(days))[some], np.full(some.sum(), row) + (at - 0.5) * width
            axes.scatter(
                x, y, s=np.minimum(60 + 30 * sizes[some], largest), color=color, alpha=0.85, linewidths=0
            )
            for left, bottom, size in zip(x, y, sizes[some], strict=True):
                axes.annotate(
                    f"{size:g}", (left, bottom), ha="center", va="center", color="white", fontsize=8
                )
        axes.scatter([], [], s=60, color=color, label=f"{label}: {len(own)}")
    axes.set_yticks(range(len(symbols)), symbols)
    _label_days(axes, days)
    axes.set_xlim(-0.6, len(days) - 0.4)
    axes.set_ylim(len(symbols) - 0.4, -0.6)
    _legend(axes)
    return figure


def slippage(fills: pd.DataFrame) -> Figure:
    """Draw the slippage of executions against reference prices, from ``replay.frames.fills``."""
    known = fills.dropna(subset=["slippage_bps"])
    if not len(known):
        return _nothing("Slippage against the reference price")
    figure, axes = _one("Slippage against the reference price")
    groups = [
        (name, own["slippage_bps"].to_numpy()) for name, own in known.groupby("strategy_id", observed=True)
    ]
    for row, ((_, bps), color) in enumerate(zip(groups, _repeated(_COLORS, len(groups)), strict=True)):
        spread = np.linspace(-0.16, 0.16, len(bps)) if len(bps) > 1 else np.zeros(1)
        axes.scatter(bps, row + spread, s=16, color=color, alpha=0.6, linewidths=0)
        axes.plot([np.median(bps)] * 2, [row - 0.32, row + 0.32], color=color, linewidth=2.2)
    axes.axvline(0, color=_INK, linewidth=0.8)
    names = [f"{name} ({len(bps)})" for name, bps in groups]
    axes.set_yticks(range(len(groups)), names)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_xlabel("basis points; right of 0 it cost, the bar is the median")
    return figure


def _stacked(axes: Axes, counted: pd.DataFrame, colors: Sequence[str]) -> None:
    bottom = np.zeros(len(counted))
    for column, color in zip(counted.columns, _repeated(colors, len(counted.columns)), strict=True):
        heights = counted[column].to_numpy(dtype=float)
        label = f"{column}: {heights.sum():,.0f}"
        axes.bar(np.arange(len(counted)), heights, bottom=bottom, color=color, width=0.65, label=label)
        bottom += heights
    axes.set_ylim(0, max(1.0, bottom.max()) * 1.05)
    _label_days(axes, list(counted.index))
    _legend(axes)


def _days(frame: pd.DataFrame) -> pd.Series:
    return pd.to_datetime(frame["trading_date"]).dt.strftime("%Y-%m-%d").rename("session")


def _sessions_side_by_side(timestamps: pd.Series) -> list[float]:
    """Return positions on an axis without nights and weekends: session number plus part of the day."""
    days = {day: number for number, day in enumerate(sorted(timestamps.dt.date.unique()))}
    return [days[timestamp.date()] + _part_of_day(timestamp) for timestamp in timestamps]


def _part_of_day(timestamp: pd.Timestamp) -> float:
    opened_s, lasts_s = 9.5 * 3600, 6.5 * 3600
    second = float(timestamp.hour * 3600 + timestamp.minute * 60 + timestamp.second)
    return min(1.0, max(0.0, (second - opened_s) / lasts_s))


def _label_sessions(axes: Axes, timestamps: pd.Series) -> None:
    days = sorted(timestamps.dt.date.unique())
    shown = _spread(len(days), at_most=_LABELS_OF_A_PANEL)
    axes.set_xticks(shown, [f"{days[at]:%b %d}" for at in shown], fontsize=8)


def _label_days(axes: Axes, days: Sequence[str]) -> None:
    """Label the sessions along the axis of a whole figure; slanted where there are many."""
    shown = _spread(len(days), at_most=_LABELS_OF_A_FIGURE)
    slanted: dict[str, Any] = (
        {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if len(days) > _UPRIGHT else {}
    )
    axes.set_xticks(shown, [days[at] for at in shown], **slanted)
    axes.set_xlabel("session")


def _spread(count: int, *, at_most: int) -> list[int]:
    """Return at most ``at_most`` of ``count`` positions, evenly spaced, beginning with the first."""
    return list(range(0, count, max(1, -(-count // at_most))))


def _panels(count: int, title: str) -> tuple[Figure, list[Axes]]:
    plt = _pyplot()
    columns = min(_COLUMNS, max(1, count))
    rows = -(-max(1, count) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(_WIDTH, 1.2 + 1.7 * rows), layout="constrained", squeeze=False
    )
    plt.close(figure)  # the caller shows it, once
    panels: list[Axes] = list(grid.flat)
    for axes in panels:
        _plain(axes)
    for axes in panels[count:]:
        axes.set_axis_off()
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=_INK)
    return figure, panels[:count]


def _one(title: str, *, height: float = _HEIGHT) -> tuple[Figure, Axes]:
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(_WIDTH, height), layout="constrained")
    plt.close(figure)
    _plain(axes)
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=_INK)
    return figure, axes


def _nothing(title: str) -> Figure:
    """Return an empty figure labelled "none"."""
    figure, axes = _one(title)
    axes.text(0.5, 0.5, "none", ha="center", va="center", transform=axes.transAxes, color=_INK)
    axes.set_axis_off()
    return figure


def _plain(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=9)
    axes.grid(visible=True, axis="y", color="#eeeeee", linewidth=0.8)
    axes.set_axisbelow(True)


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _repeated(colors: Sequence[str], count: int) -> list[str]:
    return [colors[at % len(colors)] for at in range(count)]


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ConfigurationError(
            "Figures need matplotlib, which is not installed. Run make notebooks in the clone of this "
            "project, which installs it."
        ) from error
    return plt
