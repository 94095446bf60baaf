"""The runs before a batch in the same data folder, newest first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

from engine.record.run_folder import START, RunFolder
from engine.run.reading import Reading


def earlier_runs(
    reading: Reading, *, mode: str = "", sessions: int | None = None, since: date = date.min
) -> Iterator[RunFolder]:
    """Yield the runs that began before ``reading.as_of``, whether they are finished or not, newest first.

    Of ``mode``, or else of the reading's own. Of at most so many ``sessions`` that have runs, and of none
    older than ``since``; the others aren't listed.
    """
    found = 0
    for runs in reading.context.runs.by_session(reading.trading_date):
        session = runs[0].trading_date
        if session > reading.trading_date:
            continue
        if session < since or found == sessions:
            return
        found += 1
        for folder in reversed(runs):
            if folder.run_id != reading.run_id and _is_earlier(folder, reading, mode or reading.mode):
                yield folder


def _is_earlier(folder: RunFolder, reading: Reading, mode: str) -> bool:
    start = folder.json(START)
    began_at = datetime.fromisoformat(str(start["as_of"]))
    return bool(start["mode"] == mode) and began_at <= reading.as_of
