"""Orders and fills of a session on a line for each strategy: the figures that a template draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pandas as pd
import pyarrow as pa

from engine.errors import ConfigurationError
from engine.model.calendar import NEW_YORK, regular_hours
from engine.record.run_folder import BATCH, RunFolder
from jobs.queued import sent_at
from jobs.report_page.record import Record

WIDTH, _LEFT, _RIGHT = 960, 150, 940
_TOP, _LANE = 46, 30
_MOST_LANES = 20
_TICKS = 8
_OTHERS = "other strategies"


@dataclass(frozen=True)
class Lane:
    """A strategy's line: ``sent`` and ``filled`` are paths of strokes above and below it."""

    name: str
    y: int
    sent: str
    filled: str
    orders: int
    fills: int


@dataclass(frozen=True)
class Timeline:
    """A session's picture: lanes, hours on the axis, the open and the close (None outside the picture)."""

    session: date
    height: int
    lanes: list[Lane]
    hours: list[tuple[float, str]]
    opens: float | None
    closes: float | None
    said: str


def timelines(record: Record) -> list[Timeline]:
    """Return a picture for each session in which orders were sent or filled."""
    found = []
    for session, runs in record.chosen.sessions:
        sent = [pair for run in runs if run.start["mode"] == "live" for pair in _sent(run)]
        own = record.blotter[record.blotter["trading_date"] == session.isoformat()]
        filled = list(
            zip(own["strategy_id"].tolist(), pd.to_datetime(own["filled_at"]).tolist(), strict=True)
        )
        if sent or filled:
            found.append(_timeline(session, sent, filled, record.calendar))
    return found


def _sent(run: RunFolder) -> list[tuple[str, datetime]]:
    """Return strategy and time of each order that was about to be sent."""
    times = sent_at(run)
    if not times:
        return []
    strategies = run.table(BATCH, ["strategy_id"])["strategy_id"].cast(pa.string()).to_pylist()
    return [(strategies[row], datetime.fromisoformat(at)) for row, at in times.items()]


def _timeline(
    session: date, sent: list[tuple[str, datetime]], filled: list[tuple[str, datetime]], calendar: str
) -> Timeline:
    times = [at.astimezone(NEW_YORK) for _, at in (*sent, *filled)]
    first, last = min(times), max(times)
    opens, closes = _regular_hours(session, calendar)
    begin, end = min(first, opens or first), max(last, closes or last)
    span = max((end - begin).total_seconds(), 60.0)

    def x(at: datetime) -> float:
        return round(_LEFT + (at - begin).total_seconds() / span * (_RIGHT - _LEFT), 1)

    counts = Counter(name for name, _ in (*sent, *filled))
    named = [name for name, _ in counts.most_common(_MOST_LANES)]
    names = [*sorted(named), *([_OTHERS] if len(counts) > len(named) else [])]
    lanes = []
    for number, name in enumerate(names):
        own = [
            [at for strategy, at in events if (strategy if strategy in named else _OTHERS) == name]
            for events in (sent, filled)
        ]
        y = _TOP + number * _LANE + _LANE // 2
        paths = [
            _strokes(sorted({x(at) for at in ats}), y, step) for ats, step in zip(own, (-9, 9), strict=True)
        ]
        lanes.append(Lane(name, y, paths[0], paths[1], len(own[0]), len(own[1])))
    said = (
        f"{len(sent):,} orders sent and {len(filled):,} executions on {session}, "
        f"from {first:%H:%M:%S} to {last:%H:%M:%S} New York time."
    )
    edges = [None if at is None else x(at) for at in (opens, closes)]
    height = _TOP + len(names) * _LANE + 8
    return Timeline(session, height, lanes, _hours(begin, span, x), edges[0], edges[1], said)


def _regular_hours(session: date, calendar: str) -> tuple[datetime | None, datetime | None]:
    try:
        return regular_hours(session, calendar)
    except ConfigurationError:  # the calendar ends before it
        return None, None


def _strokes(places: list[float], y: int, step: int) -> str:
    """Return a path with a stroke at each place."""
    return "".join(f"M{place:g} {y}v{step}" for place in places)


def _hours(begin: datetime, span: float, x: Callable[[datetime], float]) -> list[tuple[float, str]]:
    """Return places and texts of at most ``_TICKS`` round times on the axis."""
    steps = (10, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 43200, 86400)
    step = next((one for one in steps if span / one <= _TICKS), steps[-1])
    shown = "%H:%M:%S" if step < 60 else "%H:%M"
    midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    at = midnight + timedelta(seconds=((begin - midnight).total_seconds() // step + 1) * step)
    found: list[tuple[float, str]] = []
    while (at - begin).total_seconds() < span and len(found) < _TICKS * 2:
        found.append((x(at), f"{at:{shown}}"))
        at += timedelta(seconds=step)
    return found
