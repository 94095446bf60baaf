"""What a question, a run, a sync and a replay take in a data folder of 250 sessions, against one of 10.

A session is recorded, by the job's own stages, and copied until there are enough; the oldest one is of its
own, so that there is something to be found in it alone. In a live folder orders rest that were sent in its
first session, one for each cancel. Commands are timed as a user waits for them; what runs in this process by
its processor time, the two folders taking turns, so that what else the machine does matters little.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from typing import TypeVar

import replay
from engine.record.run_folder import RunFolder
from engine.run.stages import in_doubt, to_finish
from tests.benchmarks.timing import Figure, best_of, quietly, ratio_of
from tests.desk import Desk, order
from tests.engine.routing.trading import TradingDesk

_FEW, _MANY, _RUNS = 10, 250, 3
_AT_MOST = 1.2
_OLDEST = "oldest.jsonl"
_TURNS = 15
_REPLAYS = 3
_A_DAY_S = 86_400
_SATURDAY = 5
_RESTING = {"order_type": "limit", "limit_price": 50, "time_in_force": "gtc"}
_CANCEL = {"strategy_id": "momentum", "broker_account_id": "paper", "action": "cancel"}
_NUMBERS = count()
_D = TypeVar("_D", bound=Desk)


def figures() -> Iterator[Figure]:
    """Yield all figures of growth."""
    with tempfile.TemporaryDirectory() as name:
        few, many = (_recorded(Path(name) / str(sessions), sessions) for sessions in (_FEW, _MANY))
        yield from _compared("explain of a row of the oldest session", few, many, _explained, times=7)
        yield from _compared("explain of an id that no run has", few, many, _not_found, times=7)
        yield _in_turns("a dry run of 10 intents, with all that it looks for", few, many, _run)
    with tempfile.TemporaryDirectory() as name:
        live, long_live = (_traded(Path(name) / str(sessions), sessions) for sessions in (_FEW, _MANY))
        yield _in_turns("a live run of an empty inbox, which syncs", live, long_live, _synced)
        yield _in_turns("a live run of 10 intents", live, long_live, _live_run)
        yield _in_turns("a live run that cancels an order of an old session", live, long_live, _cancelled)
    with tempfile.TemporaryDirectory() as name:
        yield _chained(Path(name))


def _compared(
    name: str, few: Desk, many: Desk, work: Callable[[Desk], object], *, times: int
) -> Iterator[Figure]:
    for desk in (few, many):
        work(desk)  # what is derived from the record is made once
    spans = [[best_of(1, partial(work, desk)) for desk in (few, many)] for _ in range(times)]
    small, large = (min(side, key=lambda one: one.seconds) for side in zip(*spans, strict=True))
    against = f"the same in {_FEW} sessions"
    yield ratio_of(f"{name}, {_MANY} sessions", _MANY, large, small, at_most=_AT_MOST, against=against)


def _in_turns(name: str, few: _D, many: _D, work: Callable[[_D], object]) -> Figure:
    """Return the ratio of the two folders' processor times, the median of turns after one that warms up."""
    turns = [[_processor_s(partial(work, desk)) for desk in (few, many)] for _ in range(1 + _TURNS)][1:]
    return _figure(name, [many / few for few, many in turns], *map(median, zip(*turns, strict=True)))


def _figure(name: str, ratios: list[float], few_s: float, many_s: float) -> Figure:
    ratio = median(ratios)
    quarter = len(ratios) // 4
    spread = sorted(ratios)[quarter : len(ratios) - quarter]
    return {
        "name": f"{name}, {_MANY} sessions", "n": _MANY, "processor_seconds": round(many_s, 4),
        "rate": round(1 / many_s), "ratio": round(ratio, 3),
        "middle_half": [round(min(spread), 3), round(max(spread), 3)],
        "against": f"the same in {_FEW} sessions", "against_seconds": round(few_s, 4),
        "asked": _AT_MOST, "met": ratio <= _AT_MOST,
    }  # fmt: skip


def _processor_s(work: Callable[[], object]) -> float:
    gc.collect()
    begin = time.process_time()
    work()
    return time.process_time() - begin


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
    assert in_doubt(context.runs) == []


def _synced(desk: TradingDesk) -> None:
    desk.live()


def _live_run(desk: TradingDesk) -> None:
    desk.drop("new.jsonl", *[order(client_intent_id=f"new-{next(_NUMBERS)}", qty=1) for _ in range(10)])
    assert len(desk.live().table("results.parquet")) == 10


def _cancelled(desk: TradingDesk) -> None:
    """Cancel the next of the orders that rest since the first session."""
    target = f"old-{sum(row['status'] == 'canceled' for row in desk.orders())}"
    desk.drop("cancel.json", {**_CANCEL, "client_intent_id": f"no-{target}", "target_intent_id": target})
    assert desk.live().table("results.parquet", ["status"])["status"].to_pylist() == ["canceled"]


def _chained(folder: Path) -> Figure:
    """Replay the first sessions of a folder, and all of them, the later ones by what the earlier would be."""
    desk = TradingDesk(folder)
    runs = 0
    while runs < _MANY:
        if desk.now.weekday() < _SATURDAY:
            desk.drop("a.json", *[order(client_intent_id=f"{runs}-{n}", qty=1) for n in range(2)])
            desk.live()
            runs += 1
        desk.tick(_A_DAY_S)
    days = replay.days(folder)  # a few fewer: a run on a holiday is of the next session

    def each_s(sessions: int) -> float:
        work = partial(replay.replay, days[:sessions], {"EXEC_MAX_DAILY_TRADES": 1}, chained=True)
        return _processor_s(work) / len(days[:sessions])

    turns = [(each_s(_FEW), each_s(_MANY)) for _ in range(1 + _REPLAYS)][1:]
    return _figure(
        "a session of a chained replay",
        [many / few for few, many in turns], *map(median, zip(*turns, strict=True)),
    )  # fmt: skip


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
    _copied(data, usual, first, sessions)
    assert (data / oldest.key).is_dir()
    return desk


def _traded(data: Path, sessions: int) -> TradingDesk:
    """Record a live session in which orders are left resting, copy it, and go on five days later."""
    desk = TradingDesk(data)
    first = desk.now.date() - timedelta(days=sessions)
    resting = [order(client_intent_id=f"old-{n}", qty=1, **_RESTING) for n in range(_TURNS + 1)]
    desk.drop("old.jsonl", *resting, *[order(client_intent_id=f"filled-{n}", qty=1) for n in range(5)])
    _copied(data, [desk.live()], first, sessions)
    desk.tick(5 * _A_DAY_S)
    return desk


def _copied(data: Path, usual: list[RunFolder], first: date, sessions: int) -> None:
    for number in range(1, sessions - 1):
        session: date = first + timedelta(days=number)
        for run in usual:
            shutil.copytree(data / run.key, data / "runs" / session.isoformat() / run.run_id)


def _one_run(desk: Desk, name: str, *, first_qty: int) -> RunFolder:
    desk.drop(name, *[order(qty=qty) for qty in range(first_qty, first_qty + 20)])
    return desk.run()
