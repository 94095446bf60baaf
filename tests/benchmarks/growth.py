"""What a question and a run take in a data folder of 250 sessions, against one of 10.

One session is recorded, by the job's own stages, and copied until there are enough; the oldest one is of its
own, so that there is something to be found in it alone.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial
from pathlib import Path

from engine.record.run_folder import RunFolder
from engine.run.stages import in_doubt, to_finish
from tests.benchmarks.timing import Figure, best_of, quietly, ratio_of
from tests.desk import Desk, order

_FEW, _MANY, _RUNS = 10, 250, 3
_AT_MOST = 1.2
_OLDEST = "oldest.jsonl"


def figures() -> Iterator[Figure]:
    """Give all figures of growth."""
    with tempfile.TemporaryDirectory() as name:
        few, many = (_recorded(Path(name) / str(sessions), sessions) for sessions in (_FEW, _MANY))
        yield from _compared("explain of a row of the oldest session", few, many, _explained, times=7)
        yield from _compared("explain of an id that no run has", few, many, _not_found, times=7)
        yield from _compared("a dry run of 10 intents, with all that it looks for", few, many, _run, times=15)


def _compared(
    name: str, few: Desk, many: Desk, work: Callable[[Desk], object], *, times: int
) -> Iterator[Figure]:
    for desk in (few, many):
        work(desk)  # what is derived from the record is made once
    spans = [[best_of(1, partial(work, desk)) for desk in (few, many)] for _ in range(times)]
    small, large = (min(side, key=lambda one: one.seconds) for side in zip(*spans, strict=True))
    against = f"the same in {_FEW} sessions"
    yield ratio_of(f"{name}, {_MANY} sessions", _MANY, large, small, at_most=_AT_MOST, against=against)


def _explained(desk: Desk) -> None:
    _command(desk, "explain", f"{_OLDEST}:2")


def _not_found(desk: Desk) -> None:
    _command(desk, "explain", "no-such-intent")


def _run(desk: Desk) -> None:
    desk.later(days=1)
    desk.drop("new.jsonl", *[order(qty=qty) for qty in range(1, 11)])
    context = desk.context()
    assert to_finish(context) == []
    desk.run(context=context)
    assert in_doubt(context) == []


def _command(desk: Desk, *words: str) -> None:
    command = [str(Path(sys.executable).with_name("execution-engine")), *words]
    quietly(command, {**os.environ, "EXEC_DATA_DIR": str(desk.data)}, check=words[-1].startswith(_OLDEST))


def _recorded(data: Path, sessions: int) -> Desk:
    """Record the oldest session and a usual one, and copy the latter."""
    desk = Desk(data)
    first = desk.now.date() - timedelta(days=sessions)
    usual = [_one_run(desk, f"file-{number}.jsonl", first_qty=1 + 20 * number) for number in range(_RUNS)]
    desk.now -= timedelta(days=365)
    oldest = _one_run(desk, _OLDEST, first_qty=1000)
    desk.now += timedelta(days=366)
    runs = data / "runs"
    for number in range(1, sessions - 1):
        session: date = first + timedelta(days=number)
        for run in usual:
            shutil.copytree(data / run.key, runs / session.isoformat() / run.run_id)
    assert (data / oldest.key).is_dir()
    return desk


def _one_run(desk: Desk, name: str, *, first_qty: int) -> RunFolder:
    desk.drop(name, *[order(qty=qty) for qty in range(first_qty, first_qty + 20)])
    return desk.run()
