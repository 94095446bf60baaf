"""Which jobs die where, with which faults: every point, points by twos, and schedules of chance."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random

from tests.desk import Row
from tests.exactly_once import batches
from tests.exactly_once.case import Case
from tests.exactly_once.hazards import HAZARDS
from tests.exactly_once.judgement import Judgement
from tests.exactly_once.life import Life
from tests.exactly_once.limits import breaches
from tests.exactly_once.market import Market
from tests.exactly_once.stage import Lived, Stage
from tests.exactly_once.stores import EMBEDDED, SERVERS, Places
from tests.exactly_once.trouble import TROUBLE

NEVER = 100_000
TIGHT_LIMIT = 8


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """One life of the fixed batch: at which points its jobs die, and what else goes wrong."""

    kind: str
    dies_at: tuple[int, ...] = ()
    trouble: str = ""
    at_once: int = 1

    def __str__(self) -> str:
        return f"{self.kind}: dies at {self.dies_at}, {self.trouble or 'no faults'}, {self.at_once} at once"


def live(schedule: Schedule, stage: Stage, name: str) -> Lived:
    """Let a case with the batch of every kind live, and judge it."""
    case = stage.case(name, schedule.kind, manner={"at_once": schedule.at_once})
    case.drop(batches.earlier())
    case.run_to_the_end()
    case.drop(batches.of_every_kind())
    case.market.arm(*TROUBLE.get(schedule.trouble, ()))
    died = sum(case.run(point).was_killed for point in schedule.dies_at)
    case.run_to_the_end()
    case.close()
    return judged(case, died)


def judged(case: Case, died: int) -> Lived:
    judgement = Judgement(case)
    ends = [" ".join(job.passed()[-1].split(" ")[:2]) for job in case.jobs if job.was_killed]
    return Lived(
        judgement.wrong(),
        judgement.became(),
        died,
        ends,
        points=max(len(job.passed()) for job in case.jobs),
        jobs=len(case.jobs),
        orders=len(judgement.entries),
        modules=sorted({name for job in case.jobs for name in job.modules()}),
    )


def by_seed(seed: int, places: Places) -> Callable[[Stage, str], Lived]:
    """Return a life of chance: batches, deaths, faults and what happens at the market, all by the seed.

    Of six seeds in a row one is a life whose jobs die in any trouble, the others are one of each hazard.
    """
    chance = Random(seed)
    hazard = [None, *HAZARDS.values()][seed % (1 + len(HAZARDS))]
    if hazard is not None:
        return lambda stage, name: lived(hazard(chance, stage, name))
    kind = chance.choice((EMBEDDED, EMBEDDED, SERVERS))
    is_tight = chance.random() < 1 / 3
    kind = kind if kind in places.kinds else EMBEDDED
    return lambda stage, name: _by_chance(chance, kind, stage, name, is_tight=is_tight)


def lived(life: Life) -> Lived:
    """Return what came of a life with hazards."""
    orders = sum(len(account.orders) for account in life.accounts())
    killed = [job for job in life.jobs if job.was_killed]
    ends = [" ".join(job.passed()[-1].split(" ")[:2]) for job in killed if job.passed()]
    return Lived(
        life.wrong, died=len(killed), ends=ends, jobs=len(life.jobs), orders=orders, notes=life.notes
    )


def _by_chance(chance: Random, kind: str, stage: Stage, name: str, *, is_tight: bool) -> Lived:
    limit = TIGHT_LIMIT if is_tight else 100
    case = stage.case(name, kind, settings={"EXEC_MAX_POSITION_QTY": str(limit)})
    drawn = batches.tight if is_tight else batches.at_random
    died, wrong = 0, []
    for number in range(chance.randint(2, 5) if is_tight else chance.randint(1, 3)):
        count = chance.choice((1, 4, 8, 16, 30))
        case.drop({f"batch-{number}.json": drawn(chance, f"b{number}", count)})
        for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3))):
            if chance.random() < 0.6:
                trouble = chance.sample(sorted(TROUBLE), chance.choice((1, 1, 2)))
                case.market.arm(*(fault for one in trouble for fault in TROUBLE[one]))
            only, share = chance.choice(_SORTS)
            dies_at = chance.randint(1, max(3, round(share * (60 + 14 * count))))
            dies_of = chance.choice((signal.SIGKILL,) * 9 + (signal.SIGTERM,))
            job = case.run(dies_at, only=only, dies_of=dies_of, at_once=chance.choice((1, 4, 16)))
            died += job.was_killed
            case.market.control("DELETE", "faults")
            wrong += breaches(case.market.state(), limit)
            meddle(chance, case.market)
        if chance.random() < 0.5:
            case.run_to_the_end()
            wrong += breaches(case.market.state(), limit)
            meddle(chance, case.market)
    case.run_to_the_end()
    wrong += breaches(case.market.state(), limit)
    case.close()
    lived = judged(case, died)
    return replace(lived, wrong=[*wrong, *lived.wrong])


_SORTS = (("", 1.0), ("", 1.0), ("request", 0.1), ("answered", 0.1), ("kept", 0.1), ("request POST", 0.04),
          ("answered POST", 0.04), ("before", 0.02), ("after", 0.02))  # fmt: skip
"""Points that a job may die at, and how many of all points they are."""


def meddle(chance: Random, market: Market) -> None:
    """Let things happen at the market while no job looks: fills, whole or in part, cancels, and time."""
    if chance.random() < 0.3:
        market.control("POST", "clock", {"advance_s": chance.choice((0.5, 5, 60))})
    open_orders: list[Row] = market.by_hand("GET", "/v2/orders?status=open&limit=500")
    for order in chance.sample(open_orders, min(len(open_orders), chance.choice((0, 0, 1, 2)))):
        if order["order_type"] == "limit" and order["status"] in {"new", "partially_filled"}:
            part = "0.1" if order["qty"] is None else "1"
            whole = float(order["qty"] or 1) - float(order["filled_qty"])
            some = {} if chance.random() < 0.5 or whole <= float(part) else {"qty": part}
            market.perhaps("POST", "/simulator/fill", {"order_id": order["id"], **some})
    if chance.random() < 0.2 and open_orders:
        market.perhaps("DELETE", f"/v2/orders/{chance.choice(open_orders)['id']}")


# --- plans of the fixed batch, by how many points its job has


def every_point(points: int, kind: str) -> Iterator[Schedule]:
    """Die once, everywhere."""
    return (Schedule(kind=kind, dies_at=(point,)) for point in range(1, points + 1))


def every_point_of_many_at_once(points: int, kind: str) -> Iterator[Schedule]:
    """Die once, everywhere, while several orders are on their way."""
    return (Schedule(kind=kind, dies_at=(point,), at_once=8) for point in range(1, points + 1))


def twice(points: int, kind: str) -> Iterator[Schedule]:
    """Die, and again at some other point of the job that resumes."""
    for point in range(1, points + 1, 2):
        yield Schedule(kind=kind, dies_at=(point, 1 + point * 37 % points), at_once=1 + point % 8)


def five_times(points: int, kind: str) -> Iterator[Schedule]:
    """Die five times in a row, each time elsewhere."""
    for point in range(1, points + 1, 6):
        yield Schedule(kind=kind, dies_at=tuple(1 + (point + time * 43) % points for time in range(5)))


def in_trouble(points: int, kind: str) -> Iterator[Schedule]:
    """Die where a fault is on, each fault at many points."""
    for number, trouble in enumerate(sorted(TROUBLE)):
        yield Schedule(kind=kind, dies_at=(NEVER,), trouble=trouble, at_once=4)
        for point in range(1 + number, points + 1, 11):
            yield Schedule(kind=kind, dies_at=(point,), trouble=trouble, at_once=4)


PLANS = {
    plan.__name__: plan for plan in (every_point, every_point_of_many_at_once, twice, five_times, in_trouble)
}
