"""Lives by seed in which jobs are stopped, folders move, gateways answer, accounts fail, or wires are cut."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.desk import Row, order
from tests.exactly_once.batches import FAR, cancel
from tests.exactly_once.command import Command, ShiftedTime
from tests.exactly_once.life import LATE_S, LEASE_S, Life
from tests.exactly_once.stores import EMBEDDED, SERVERS
from tests.exactly_once.trouble import OF_GATEWAYS, OF_ORDERS, TROUBLE
from tests.exactly_once.wire import TROUBLES

if TYPE_CHECKING:
    from tests.exactly_once.stage import Stage

LIMIT = 8
_SYMBOLS = ("SPY", "QQQ", "IWM")
_POINTS = {
    **dict.fromkeys(("request", "connected", "answered"), 30),
    **dict.fromkeys(("request POST", "answered POST"), 4),
    "connected POST": 8,
}
"""Points at which jobs are stopped, and among how many of them: the first ones, which most jobs come to."""


def batch(chance: Random, name: str, most: int = 9) -> list[Row]:
    """Return orders in few symbols, so that the limit stands in the way of some; one in three rests.

    A symbol is mostly bought or mostly sold: the broker refuses orders that could fill each other.
    """
    rows: list[Row] = []
    for number in range(chance.randint(3, most)):
        symbol = chance.choice(_SYMBOLS)
        side = ("sell" if symbol == "IWM" else "buy") if chance.random() < 0.85 else "sell"
        row: Row = {"symbol": symbol, "side": side, "qty": chance.choice((1, 2, 3))}
        if chance.random() < 1 / 3:
            row |= {"order_type": "limit", "limit_price": FAR if side == "buy" else 500.0}
        rows.append(order(client_intent_id=f"{name}-{number}", **row))
    if chance.random() < 0.3:
        rows.append(cancel(f"{name}-{chance.randrange(len(rows))}"))
    return rows


# --- stops


def stopped(chance: Random, stage: Stage, name: str) -> Life:
    """Stop a job at a request, let something happen meanwhile, and continue it late.

    Where there are no servers, no other folder trades: it would hold a lease of its own.
    """
    can_share = _servers(stage) == SERVERS
    others = (_another_trades, _another_trades) if can_share else ()
    meanwhile = chance.choice((_halt, _switch_on, *others, _another_of_this_folder))
    life = stage.life(name, _servers(stage), limit=LIMIT)
    life.shift = ShiftedTime(life.passed, wall_only=chance.random() < 0.5)
    if chance.random() < 0.5:
        life.settings["EXEC_RISK_FAIL_OPEN"] = "1"
    life.put("first.json", batch(chance, "first"))
    other = life.folder / "data-2"
    if can_share:
        life.put("second.json", batch(chance, "second"), folder=other)
    point = chance.choice([*_POINTS])
    job = life.start(dies_at=chance.randint(1, _POINTS[point]), dies_of=signal.SIGSTOP, only=point)
    was_stopped = job.stopped_itself()
    if was_stopped:
        life.notes.append(f"stopped at {point}, {meanwhile.__name__.strip('_')}")
        life.look_at_limits("while a job is stopped")
        meanwhile(life, job, other)
    else:
        life.end_of(job)
    life.switch("0")
    if meanwhile is _halt:
        life.do("recover")
    folders = [life.place, other] if chance.random() < 0.5 else [other, life.place]
    life.finish(*(folder for folder in folders if can_share or folder == life.place))
    return life


def _continued(life: Life, job: Command, *, may_send: bool) -> None:
    sent = life.posted()
    os.kill(job.process, signal.SIGCONT)
    life.end_of(job)
    more = life.posted()[len(sent) :]
    if more and not may_send:
        life.wrong.append(f"doubled: {more} left a job that was stopped at {job.passed()[-1]}, too late")


def _halt(life: Life, job: Command, _: Path) -> None:
    life.do("halt", "--why", "a test")
    life.passes(LATE_S)
    _continued(life, job, may_send=False)


def _switch_on(life: Life, job: Command, _: Path) -> None:
    life.switch("1")
    life.passes(LATE_S)
    _continued(life, job, may_send=False)


def _another_trades(life: Life, job: Command, other: Path) -> None:
    is_sending = bool(life.posted()) or "POST" in job.passed()[-1]
    life.passes(LEASE_S)
    life.do(folder=other)
    _continued(life, job, may_send=not is_sending)


def _another_of_this_folder(life: Life, job: Command, _: Path) -> None:
    before = life.posted()
    second = life.do()
    if second.code != 1 or life.posted() != before:
        life.wrong.append(f"doubled: a job of a folder in use ended with {second.code}: {second.text()}")
    _continued(life, job, may_send=True)


# --- folders that move


def moved(chance: Random, stage: Stage, name: str) -> Life:
    """Move the data folder between jobs that die, or lose it; the orders stay where they are."""
    life = stage.life(name, _servers(stage), limit=LIMIT)
    for number in range(chance.randint(2, 4)):
        for _ in range(chance.randint(1, 2)):
            life.put(f"batch-{len(life.jobs)}.json", batch(chance, f"b{len(life.jobs)}", most=6))
            move = chance.choice(_MOVES[: None if life.kind == SERVERS else -1])
            life.notes.append(move.__name__.strip("_"))
            shown, mounts = move(life, number)
            if life.jobs and life.jobs[-1].was_killed:
                life.passes(LEASE_S)  # on another disk the folder is another holder, who waits for that
            if chance.random() < 0.4:
                life.market.arm(*chance.choice(_FAULTS))
            dies_at = chance.randint(1, 150) if chance.random() < 0.6 else None
            life.do(folder=shown, mounts=mounts, dies_at=dies_at, at_once=chance.choice((1, 4)))
    life.finish()
    return life


Shown = tuple[Path, Callable[[], None] | None]


def _renamed(life: Life, _: int) -> Shown:
    new = life.folder / f"data-{len(life.jobs)}"
    life.place.rename(new)
    _moved_to(life, new)
    return life.place, None


def _spelt_otherwise(life: Life, _: int) -> Shown:
    beside = life.place.parent / "x"
    beside.mkdir(exist_ok=True)
    return beside / ".." / life.place.name, None


def _linked(life: Life, _: int) -> Shown:
    link = life.folder / f"link-{len(life.jobs)}"
    link.symlink_to(life.place)
    return link, None


def _copied(life: Life, _: int) -> Shown:
    """Put the folder on another disk: the same files with other inodes."""
    new = life.folder / f"disk-{len(life.jobs)}" / "data"
    shutil.copytree(life.place, new, symlinks=True)
    shutil.rmtree(life.place)
    _moved_to(life, new)
    return new, None


def _mounted(life: Life, _: int) -> Shown:
    """Mount the folder elsewhere, for one job alone; a link where that takes rights that we lack."""
    if os.geteuid() != 0:
        return _linked(life, 0)
    new = life.folder / f"mount-{len(life.jobs)}"
    new.mkdir()
    return new, partial(_bind, life.place, new)


def _lost(life: Life, _: int) -> Shown:
    """Lose the folder with all that lies in it; a new one takes its place."""
    shutil.rmtree(life.place)
    life.lost |= {key for key, place in life.intents.items() if place == life.place}
    new = life.folder / f"new-{len(life.jobs)}"
    life.place = new
    rows = [order(client_intent_id=f"after-{len(life.jobs)}", symbol="SPY")]
    life.put("after.json", rows)
    return new, None


def _moved_to(life: Life, new: Path) -> None:
    life.intents.update({key: new for key, place in life.intents.items() if place == life.place})
    life.place = new


def _bind(source: Path, target: Path) -> None:
    """Mount a folder at another one, in a namespace of this process; raises ``OSError``."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_namespace, bind, private, recursive = 0x20000, 0x1000, 1 << 18, 0x4000
    failed = (
        libc.unshare(new_namespace)
        or libc.mount(b"none", b"/", None, private | recursive, None)
        or libc.mount(os.fsencode(source), os.fsencode(target), None, bind, None)
    )
    if failed:
        raise OSError(ctypes.get_errno(), "a folder can't be mounted")


_MOVES = (_renamed, _spelt_otherwise, _linked, _copied, _mounted, _lost)
_FAULTS = tuple(TROUBLE[name] for name in ("drop", "gateway", "half a reply", "down for questions"))


# --- gateways


def behind_gateways(chance: Random, stage: Stage, name: str) -> Life:
    """Let proxies in front of the broker answer in its place, wrongly, with jobs that die or don't."""
    life = stage.life(name, chance.choice((EMBEDDED, _servers(stage))), limit=LIMIT)
    for number in range(chance.randint(2, 4)):
        life.put(f"batch-{number}.json", batch(chance, f"b{number}"))
        for one in [chance.choice(OF_ORDERS), *chance.sample(sorted(OF_GATEWAYS), chance.randint(0, 2))]:
            life.notes.append(one)
            life.market.arm(*OF_GATEWAYS[one])
        dies_at = chance.randint(100, 300) if chance.random() < 0.2 else None
        life.do(dies_at=dies_at, at_once=chance.choice((1, 4)))
    life.finish()
    return life


# --- a second account


def two_accounts(chance: Random, stage: Stage, name: str) -> Life:
    """Trade two accounts in one batch, one of them faulty, or refused, or both now and then."""
    life = stage.life(name, chance.choice((EMBEDDED, _servers(stage))), limit=LIMIT, with_second=True)
    names = [*life.markets]
    for number in range(chance.randint(2, 3)):
        rows = [
            {**row, "broker_account_id": account, "client_intent_id": f"{account}-{row['client_intent_id']}"}
            for account in names
            for row in batch(chance, f"b{number}", most=5)
            if row.get("action") != "cancel"
        ]
        chance.shuffle(rows)
        life.put(f"batch-{number}.json", rows)
        faulty = life.markets[chance.choice(names)]
        for one in chance.sample(sorted(_OF_AN_ACCOUNT), chance.choice((0, 1, 1, 2))):
            life.notes.append(one)
            faulty.arm(*_OF_AN_ACCOUNT[one])
        dies_at = chance.randint(50, 350) if chance.random() < 0.3 else None
        life.do(dies_at=dies_at, at_once=chance.choice((1, 4)))
    life.finish()
    return life


_OF_AN_ACCOUNT = {
    **TROUBLE,
    **OF_GATEWAYS,
    "dead": ({"fault": "error_before", "status": 503, "times": None},),
    "dead after a while": ({"fault": "error_before", "status": 503, "times": None, "path": "/v2/orders"},),
    "keys refused": ({"fault": "error_before", "status": 401, "times": None},),
    "keys refused for orders": (
        {"fault": "error_before", "status": 401, "times": None, "method": "POST", "path": "/v2/orders"},
    ),
}


# --- wires


def wired(chance: Random, stage: Stage, name: str) -> Life:
    """Let the wire to the broker, to PostgreSQL or to Firestore do harm at one message of each job."""
    life = stage.life(name, _servers(stage), limit=LIMIT)
    life.manner["reply_within_s"] = 1.0
    life.settings["EXEC_RISK_DATA_TIMEOUT_S"] = "3"
    wires = stage.wires_of(life.kind)
    life.env_of_jobs.update(stage.environment_by_wire(life.kind))
    for number in range(chance.randint(2, 3)):
        life.put(f"batch-{number}.json", batch(chance, f"b{number}"))
        server = chance.choice(sorted(wires))
        wire, trouble = wires[server], chance.choice(TROUBLES)
        at = chance.randint(1, _MESSAGES[server])
        wire.trouble(trouble, at)
        dies_at = chance.randint(50, 300) if chance.random() < 0.15 else None
        life.do(dies_at=dies_at, at_once=chance.choice((1, 4)))
        if wire.mend() >= at:
            life.notes.append(f"{server} {trouble}")
        if chance.random() < 0.3:
            life.do()
    life.finish()
    return life


_MESSAGES = {"broker": 50, "postgresql": 30, "firestore": 100}


def _servers(stage: Stage) -> str:
    return stage.places.kinds[-1]


HAZARDS: dict[str, Callable[[Random, Stage, str], Life]] = {
    hazard.__name__: hazard for hazard in (stopped, moved, behind_gateways, two_accounts, wired)
}
