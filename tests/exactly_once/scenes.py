"""Two jobs at once, a job that is half dead, a lease that runs out, clocks that jump: a scene each.

A scene gives what was wrong. Time that passes for a lease is told to both sides by one file, since nobody
wants to wait for a minute; ``half_dead_for_a_minute`` waits.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from engine.accounts.connection import account_key
from engine.brokers.alpaca.broker import AlpacaBroker
from engine.log import wall_clock
from jobs.setup import read_setup
from tests.crash_job import in_a_fork
from tests.desk import Row, order
from tests.exactly_once.case import Case
from tests.exactly_once.judgement import Judgement
from tests.exactly_once.market import KEY, SECRET
from tests.exactly_once.stage import Lived, Stage
from tests.exactly_once.stores import SERVERS

_LEASE_RUNS_OUT_S = 75.0
_LATE_S = 2.1
"""Longer than a look at switch, state and lease is fresh, by clocks that nobody moves."""
_TRADES_BESIDE_A_DOUBT = {"EXEC_RISK_FAIL_OPEN": "1"}
"""While another folder's run is unfinished nothing is compared, and only a job that fails open trades."""
_STOPPED = 4
"""How many orders a job has that is stopped before one of them."""
_SYMBOLS = ("SPY", "QQQ", "AAPL", "MSFT", "IWM", "DIA", "GLD", "XLF", "TLT", "EEM")


def named(name: str, count: int) -> dict[str, list[Row]]:
    """Return a file of orders, each of a symbol of its own."""
    rows = [order(client_intent_id=f"{name}-{n}", symbol=_SYMBOLS[n % len(_SYMBOLS)]) for n in range(count)]
    return {f"{name}.json": rows}


def two_jobs_of_one_folder(stage: Stage, name: str) -> Iterator[str]:
    """The second refuses while the first is in the middle of sending, and the first is not disturbed."""
    case = stage.case(name, stage.places.kinds[-1])
    case.drop(named("first", 8))
    first = case.begin(4, dies_of=signal.SIGSTOP, only="request POST", at_once=1)
    assert first.stopped_itself()
    seen = len(case.market.state()["requests"])
    second = case.run()
    if second.status == 0 or "is in use by" not in second.told():
        yield f"the second job did its work: {second.status} {second.told()}"
    if _posted(case) != 3 or _asked_for_more_than_the_account(case, seen):
        yield f"the second job asked the broker: {case.market.state()['requests'][seen:]}"
    os.kill(first.process, signal.SIGCONT)
    if not first.ended():
        yield f"the first job failed: {first.told()}"
    yield from _over(case)


def two_folders_of_one_account(stage: Stage, name: str) -> Iterator[str]:
    """One sends at a time: the other waits until the lease is free, and none of their orders is doubled."""
    case = stage.case(name, SERVERS)
    other = case.folder / "data-2"
    case.drop(named("first", 10))
    case.drop(named("second", 10), folder=other)
    first = case.begin(5, dies_of=signal.SIGSTOP, only="request POST", at_once=4)
    assert first.stopped_itself()
    second = case.begin(folder=other)
    _until(lambda: '"lease_waiting"' in second.log.read_text())
    os.kill(first.process, signal.SIGCONT)
    yield from (f"a job failed: {job.told()}" for job in (first, second) if not job.ended())
    senders = [id_.partition("-")[0] for id_ in _ids(case)]
    if [sender for sender, _ in itertools.groupby(senders)] != ["first", "second"]:
        yield f"they sent at the same time: {senders}"
    yield from _over(case, other)


def half_dead(stage: Stage, name: str) -> Iterator[str]:
    """A job that stands still while it holds the lease sends nothing more once another one has sent."""
    yield from _half_dead(stage, name, _time_that_is_told)


def half_dead_for_a_minute(stage: Stage, name: str) -> Iterator[str]:
    """The same by the real clocks."""
    yield from _half_dead(stage, name, lambda _: (wall_clock, lambda: time.sleep(0)))


Time = Callable[[Case], tuple[Callable[[], datetime], Callable[[], None]]]


def _half_dead(stage: Stage, name: str, time_of: Time) -> Iterator[str]:
    case = stage.case(name, SERVERS, settings=_TRADES_BESIDE_A_DOUBT)
    lease_clock, passes = time_of(case)
    other = case.folder / "data-2"
    case.drop(named("first", 10))
    case.drop(named("second", 10), folder=other)
    first = case.begin(4, dies_of=signal.SIGSTOP, only="kept POST", at_once=1, lease_clock=lease_clock)
    assert first.stopped_itself()
    passes()
    second = case.begin(
        4, dies_of=signal.SIGSTOP, only="kept POST", folder=other, at_once=1, lease_clock=lease_clock
    )
    assert second.stopped_itself()
    os.kill(first.process, signal.SIGCONT)
    if first.ended() or "LeaseLost" not in first.told():
        yield f"the first job went on: {first.status} {first.told()}"
    if (sent := _ids(case)) != [f"{who}-{n}" for who in ("first", "second") for n in range(4)]:
        yield f"sent were {sent}"
    os.kill(second.process, signal.SIGCONT)
    if not second.ended():
        yield f"the second job failed: {second.told()}"
    yield from _over(case, other, may_expire=True, lease_clock=lease_clock)
    judgement = Judgement(case)
    left = [
        row["status"] for run in judgement.runs for row in judgement.rows(run) if row["status"] == "expired"
    ]
    if len(left) != 6:
        yield f"{len(left)} orders expired after another folder had traded; 6 were not sent"


def stopped_before_an_order_leaves(stage: Stage, name: str) -> Iterator[str]:
    """A job that stands still between its check and its order, while another one trades, sends nothing."""
    yield from _stopped_while_another_trades(stage, name, "request POST", 2)
    yield from _stopped_while_another_trades(stage, f"{name}-body", "connected POST", 4)


def stopped_before_any_order_leaves(stage: Stage, name: str) -> Iterator[str]:
    """The same before each of its orders, before the headers of each, and before the body."""
    for nth in range(1, _STOPPED + 1):
        yield from _stopped_while_another_trades(stage, f"{name}-{nth}", "request POST", nth)
    for nth in range(1, 2 * _STOPPED + 1):
        yield from _stopped_while_another_trades(stage, f"{name}-c{nth}", "connected POST", nth)


def halted_before_an_order_leaves(stage: Stage, name: str) -> Iterator[str]:
    """A job that stands still between its check and its order, and is halted meanwhile, sends nothing."""
    yield from _stopped_while_halted(stage, name, "request POST", 2, _halt)
    yield from _stopped_while_halted(stage, f"{name}-switch", "connected POST", 2, _switch_on)


def halted_before_any_order_leaves(stage: Stage, name: str) -> Iterator[str]:
    """The same before each of its orders, before the headers of each, and before the body."""
    for nth, (of, halts) in itertools.product(
        range(1, _STOPPED + 1), itertools.product(("request POST", "connected POST"), (_halt, _switch_on))
    ):
        yield from _stopped_while_halted(stage, f"{name}-{nth}-{of[0]}{halts.__name__}", of, nth, halts)


def _stopped_while_another_trades(stage: Stage, name: str, only: str, nth: int) -> Iterator[str]:
    case = stage.case(name, SERVERS, settings=_TRADES_BESIDE_A_DOUBT)
    lease_clock, passes = _time_that_is_told(case)
    other = case.folder / "data-2"
    case.drop(named("first", _STOPPED))
    case.drop(named("second", 3), folder=other)
    stopped: dict[str, Any] = {
        "dies_of": signal.SIGSTOP,
        "only": only,
        "at_once": 1,
        "lease_clock": lease_clock,
    }
    first = case.begin(nth, **stopped)
    assert first.stopped_itself()
    sent = _ids(case)
    passes()
    second = case.run(folder=other, at_once=1, lease_clock=lease_clock)
    if second.status != 0:
        yield f"the second job failed: {second.told()}"
    time.sleep(_LATE_S)
    os.kill(first.process, signal.SIGCONT)
    if first.ended() or "LeaseLost" not in first.told():
        yield f"the first job went on: {first.status} {first.told()}"
    if (now := _ids(case)) != [*sent, *(f"second-{n}" for n in range(3))]:
        yield f"stopped at {only} {nth}, sent were {now}"
    yield from _over(case, other, may_expire=True, lease_clock=lease_clock)


def _stopped_while_halted(
    stage: Stage, name: str, only: str, nth: int, halts: Callable[[Case], Callable[[], None]]
) -> Iterator[str]:
    case = stage.case(name, stage.places.kinds[-1])
    case.settings["EXECUTION_HALTED_FILE"] = str(case.folder / "switch")
    (case.folder / "switch").write_text("0")
    case.drop(named("first", _STOPPED))
    job = case.begin(nth, dies_of=signal.SIGSTOP, only=only, at_once=1)
    assert job.stopped_itself()
    sent = _ids(case)
    ends_it = halts(case)
    time.sleep(_LATE_S)
    os.kill(job.process, signal.SIGCONT)
    if not job.ended():
        yield f"the job failed: {job.told()}"
    if _ids(case) != sent:
        yield f"stopped at {only} {nth} and halted, sent were {_ids(case)[len(sent) :]}"
    judgement = Judgement(case)
    became = Counter(row["status"] for run in judgement.runs for row in judgement.rows(run))
    if became != Counter(placed=len(sent), halted=_STOPPED - len(sent)) - Counter():
        yield f"{len(sent)} were sent, and the record says {became}"
    ends_it()


def _halt(case: Case) -> Callable[[], None]:
    in_a_fork(lambda: read_setup(case.env).agent().halt(why="a test") and None)
    return lambda: in_a_fork(lambda: read_setup(case.env).agent().recover(why="a test") and None)


def _switch_on(case: Case) -> Callable[[], None]:
    switch = case.folder / "switch"
    switch.write_text("1")
    return lambda: None


def lease_that_runs_out(stage: Stage, name: str) -> Iterator[str]:
    """Nobody else wanted it: the job renews its lease in mid-flight and goes on."""
    case = stage.case(name, stage.places.kinds[-1])
    lease_clock, passes = _time_that_is_told(case)
    case.drop(named("first", 10))
    job = case.begin(4, dies_of=signal.SIGSTOP, only="kept POST", at_once=1, lease_clock=lease_clock)
    assert job.stopped_itself()
    passes()
    os.kill(job.process, signal.SIGCONT)
    if not job.ended():
        yield f"the job failed: {job.told()}"
    if len(_ids(case)) != 10:
        yield f"sent were {_ids(case)}"
    yield from _over(case, lease_clock=lease_clock)


def lease_that_is_taken(stage: Stage, name: str) -> Iterator[str]:
    """Somebody else takes the lease in mid-flight: at most what was on its way still leaves."""
    case = stage.case(name, stage.places.kinds[-1])
    lease_clock, passes = _time_that_is_told(case)
    case.drop(named("first", 10))
    job = case.begin(5, dies_of=signal.SIGSTOP, only="kept POST", at_once=4, lease_clock=lease_clock)
    assert job.stopped_itself()
    sent = len(_ids(case))
    passes()
    _takes_it_over(case, lease_clock())
    os.kill(job.process, signal.SIGCONT)
    if job.ended() or "LeaseLost" not in job.told():
        yield f"the job went on: {job.status} {job.told()}"
    if len(_ids(case)) > sent + 3:
        yield f"sent were {_ids(case)[sent:]} after the lease was lost"
    passes()
    yield from _over(case, may_expire=True, lease_clock=lease_clock)


def clock_that_jumps(stage: Stage, name: str) -> Iterator[str]:
    """The wall clock jumps by an hour in mid-flight, back and forth: what was sent is not lost or doubled."""
    case = stage.case(name, stage.places.kinds[-1])
    for number, by_s in enumerate((3600.0, -3600.0, 86_400.0)):
        case.drop(named(f"batch{number}", 8))
        case.run(clock=_jumps(case.clock, by_s, after=30), lease_clock=_jumps(wall_clock, by_s, after=20))
        case.run(5, only="answered POST", clock=_jumps(case.clock, -by_s, after=20))
    yield from _over(case, may_expire=True)


SCENES = {
    scene.__name__: scene
    for scene in (
        two_jobs_of_one_folder,
        two_folders_of_one_account,
        half_dead,
        half_dead_for_a_minute,
        stopped_before_an_order_leaves,
        stopped_before_any_order_leaves,
        halted_before_an_order_leaves,
        halted_before_any_order_leaves,
        lease_that_runs_out,
        lease_that_is_taken,
        clock_that_jumps,
    )
}


# --- what they share


def _over(case: Case, *others: Path, may_expire: bool = False, **manner: Any) -> Iterator[str]:
    """End everything in each folder, and judge it."""
    for folder in (case.data, *others):
        case.run_to_the_end(folder=folder, **manner)
    case.market.by_hand("DELETE", "/v2/orders")
    case.later()
    for folder in (case.data, *others):
        case.run_to_the_end(folder=folder, **manner)
    yield from Judgement(case, may_expire=may_expire).wrong()


def _ids(case: Case) -> list[str]:
    """Return the client ids of the orders that were sent, in their order."""
    posts = [row for row in case.market.state()["requests"] if row["method"] == "POST"]
    return [row["body"]["client_order_id"] for row in posts]


def _posted(case: Case) -> int:
    return len(_ids(case))


def _asked_for_more_than_the_account(case: Case, seen: int) -> bool:
    asked = case.market.state()["requests"][seen:]
    return any(row["path"] not in {"/v2/account", "/v2/clock"} for row in asked)


def _until(holds: Callable[[], bool], at_most_s: float = 300.0) -> None:
    until = time.monotonic() + at_most_s
    while not holds():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.01)


def _time_that_is_told(case: Case) -> tuple[Callable[[], datetime], Callable[[], None]]:
    """Return a clock for leases, and what lets the time of a lease pass by it."""
    told = case.folder / "passed"

    def clock() -> datetime:
        passed = float(told.read_text()) if told.exists() else 0.0
        return wall_clock() + timedelta(seconds=passed)

    def passes() -> None:
        before = float(told.read_text()) if told.exists() else 0.0
        told.write_text(str(before + _LEASE_RUNS_OUT_S))

    return clock, passes


def _jumps(clock: Callable[[], datetime], by_s: float, *, after: int) -> Callable[[], datetime]:
    """Return a clock that jumps once it was asked so often."""
    asked = itertools.count()
    return lambda: clock() + timedelta(seconds=by_s if next(asked) >= after else 0.0)


def _takes_it_over(case: Case, now: datetime) -> None:
    """Write another holder into the lease, in a process of its own: stores have threads."""

    def take() -> None:
        broker = AlpacaBroker(api_key=KEY, secret_key=SECRET, trading_host=case.market.host)
        lease = f"lease-{account_key(case.market.host, broker.get_account())}"
        documents = read_setup(case.env).stores.agent
        kept = documents.agent_document(lease)
        new = {**(kept or {}), "holder": "another", "identity": "", "nonce": "1", "tenure": "2"}
        new["expires_at"] = (now + timedelta(seconds=60)).isoformat()
        assert documents.replace_agent_document(lease, new, replacing=kept)

    in_a_fork(take)


def played(scene: str) -> Callable[[Stage, str], Lived]:
    """Return a scene by its name."""
    return lambda stage, name: Lived(list(SCENES[scene](stage, name)))
