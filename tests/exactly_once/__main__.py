"""Lets jobs die and judges what came of it; prints one JSON object.

::

    python -m tests.exactly_once 17                    the schedule of seed 17, as often as it takes
    python -m tests.exactly_once 17 18 19
    python -m tests.exactly_once --plan every_point --part 3/16 --store servers
    python -m tests.exactly_once --scene half_dead --scene two_jobs_of_one_folder
    python -m tests.exactly_once 17 --fresh 1          with a new interpreter for each job; 0: forks alone
    python -m tests.exactly_once --weeks 5 --loss all_restored

``fresh`` counts the jobs of new interpreters, ``cpu_s`` is the CPU time of schedules and jobs.
PostgreSQL and the Firestore emulator are started where they are needed, unless ``--database`` and
``--emulator`` say where they are.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

from tests.crash_job import in_a_fork
from tests.exactly_once.command import LOADED
from tests.exactly_once.kinds import counted
from tests.exactly_once.market import Market, market
from tests.exactly_once.plans import PLANS, Schedule, by_seed, live
from tests.exactly_once.scenes import SCENES, played
from tests.exactly_once.stage import BROKER, Lived, Stage
from tests.exactly_once.starts import ONE_IN_TWENTY, Starts, prepare
from tests.exactly_once.stores import EMBEDDED, SERVERS, Places, prepared, started
from tests.exactly_once.wire import Wire, wire_to
from tests.store_loss import weeks
from tests.store_loss.losses import FOLDER_LOSSES

_WORDS = 4000
_COUNTED = ("tried", "died", "jobs", "fresh", "orders")


def main(arguments: list[str]) -> int:
    """Do what was asked and say what was wrong; gives the exit code."""
    asked = _parser().parse_args(arguments)
    given = Places(asked.database, asked.emulator)
    if asked.store == EMBEDDED:
        report = _report(asked, Places())
    elif SERVERS in given.kinds:
        report = _report(asked, prepared(given))
    else:
        with started() as places:
            report = _report(asked, places)
    print(json.dumps(report, indent=1))
    return 1 if report["problems"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.exactly_once")
    parser.add_argument("seeds", type=int, nargs="*", help="schedules of chance")
    parser.add_argument("--seeds", dest="seed_range", help="many of them: FIRST:LAST, without the last")
    parser.add_argument("--plan", choices=PLANS, help="a plan of deaths")
    parser.add_argument("--scene", choices=SCENES, action="append", default=[], help="a scene with two jobs")
    parser.add_argument("--weeks", action="store_true", help="seeds are of weeks in which stores are lost")
    parser.add_argument(
        "--loss", choices=FOLDER_LOSSES, action="append", default=[], help="the only losses of weeks"
    )
    parser.add_argument("--part", default="1/1", help="of the plan: the first of 16 is 1/16")
    parser.add_argument("--store", choices=(EMBEDDED, SERVERS), help="of a plan; embedded: no servers at all")
    parser.add_argument(
        "--fresh", type=float, default=ONE_IN_TWENTY, help="the share of jobs that begin as new interpreters"
    )
    parser.add_argument("--database", default="", help="the address of an empty database")
    parser.add_argument("--emulator", default="", help="the address of a Firestore emulator")
    parser.add_argument("--keep", action="store_true", help="keep the folders of what went wrong")
    return parser


def _report(asked: argparse.Namespace, places: Places) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="exactly-once-"))
    began = time.monotonic()
    try:
        with market() as served, market(seed=1) as second, _wires(served, places) as wires:
            stage = Stage(folder, served, second, places, wires)
            player = _Player(stage, keeps=asked.keep, fresh=asked.fresh)
            if asked.scene:
                player.play_scenes(asked.scene)
            elif asked.weeks:
                player.play_weeks(_seeds(asked), asked.store or EMBEDDED, asked.loss)
            elif asked.plan:
                player.play_plan(asked.plan, asked.store or EMBEDDED, *map(int, asked.part.split("/")))
            else:
                player.play_seeds(_seeds(asked))
    finally:
        if not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return {**player.report(), "took_s": round(time.monotonic() - began, 1)}


@contextmanager
def _wires(served: Market, places: Places) -> Iterator[dict[str, Wire]]:
    """Put a wire before each server."""
    broker = urlsplit(served.host)
    servers = {BROKER: (broker.hostname or "", broker.port or 0), **places.servers()}
    with ExitStack() as opened:
        yield {name: opened.enter_context(wire_to(*address)) for name, address in servers.items()}


def _seeds(asked: argparse.Namespace) -> list[int]:
    if asked.seed_range:
        first, last = map(int, asked.seed_range.split(":"))
        return list(range(first, last))
    return list(asked.seeds)


class _Player:
    """Plays cases one after the other, each in a fork of a process that has imported what a job does."""

    def __init__(self, stage: Stage, *, keeps: bool, fresh: float = 0.0) -> None:
        self.stage, self.keeps, self.fresh = stage, keeps, fresh
        self.points = 0
        self.counts: Counter[str] = Counter(dict.fromkeys(_COUNTED, 0))
        self.names: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.problems: dict[str, list[str]] = {}

    def report(self) -> dict[str, Any]:
        return {
            "points": self.points,
            **self.counts,
            "cpu_s": round(_cpu_of_children_s() - self.cpu_before_s, 1),
            "wrong": counted(self.problems),
            "died_at": dict(sorted(self.names.items())),
            "happened": dict(sorted(self.notes.items())),
            "problems": self.problems,
        }

    def play_plan(self, plan: str, kind: str, part: int, parts: int) -> None:
        warm = self._undisturbed(kind)
        expected = Counter(warm["became"])
        self.points = warm["points"]
        for schedule in list(PLANS[plan](self.points, kind))[part - 1 :: parts]:
            self._play(str(schedule), _life(schedule), expected)

    def play_seeds(self, seeds: list[int]) -> None:
        self._undisturbed(self.stage.places.kinds[-1])
        for seed in seeds:
            self._play(f"seed {seed}", by_seed(seed, self.stage.places), None)

    def play_weeks(self, seeds: list[int], kind: str, only: list[str]) -> None:
        self._undisturbed(kind)
        for seed in seeds:
            self._play(f"week {seed}", weeks.played(seed, kind, only), None)

    def play_scenes(self, scenes: list[str]) -> None:
        self._undisturbed(self.stage.places.kinds[-1])
        self.fresh = 0.0  # scenes hand functions of their own to their jobs, which can't be pickled
        for scene in scenes:
            self._play(scene, played(scene), None)

    def _undisturbed(self, kind: str) -> dict[str, Any]:
        """Let a case live undisturbed; what it and its jobs import on their way is imported once, here."""

        def play() -> dict[str, Any]:
            lived = live(Schedule(kind=kind), self.stage, self._name())
            assert not lived.wrong, lived.wrong
            modules = sorted({*sys.modules, *lived.modules})
            return {"became": lived.became, "points": lived.points, "modules": modules}

        found: dict[str, Any] = in_a_fork(play)
        prepare((*found["modules"], *LOADED), self._markets())
        gc.freeze()
        self.cpu_before_s = _cpu_of_children_s()
        return found

    def _markets(self) -> Iterator[tuple[str, Market]]:
        yield self.stage.market.host, self.stage.market
        yield self.stage.second.host, self.stage.second
        yield f"http://{self.stage.wires[BROKER].address}", self.stage.market

    def _play(self, title: str, life: Callable[[Stage, str], Lived], expected: Counter[str] | None) -> None:
        assert threading.active_count() == 1, "this process forks, and must have no threads"
        name = self._name()
        stage = replace(self.stage, starts=Starts(self.fresh, Random(title)))

        def play() -> dict[str, Any]:
            try:
                lived = life(stage, name)
            finally:
                stage.clear()
            wrong = list(lived.wrong)
            if expected is not None and lived.became != expected:
                more, less = lived.became - expected, expected - lived.became
                wrong.append(f"too many: {sorted(more)}, missing: {sorted(less)}")
            counts = {"died": lived.died, "jobs": lived.jobs, "orders": lived.orders}
            counts["fresh"] = stage.starts.fresh
            return {"wrong": wrong, "ends": lived.ends, "notes": lived.notes, "counts": counts}

        try:
            found = in_a_fork(play)
        except AssertionError as error:
            found = {"wrong": [str(error)[-_WORDS:]], "ends": [], "notes": [], "counts": {}}
        self.counts.update({"tried": 1, **found["counts"]})
        self.notes.update(found["notes"])
        self.names.update(found["ends"])
        if found["wrong"]:
            self.problems[title] = found["wrong"]
            print(f"{title} [{name}]:", *found["wrong"], sep="\n  ", file=sys.stderr, flush=True)
        if not self.keeps:
            shutil.rmtree(self.stage.folder / name, ignore_errors=True)

    def _name(self) -> str:
        self.named = getattr(self, "named", 0) + 1
        return f"{os.getpid()}-{self.named}"


def _cpu_of_children_s() -> float:
    """Return the CPU time of the processes that ended: of schedules and their jobs, not of servers."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _life(schedule: Schedule) -> Callable[[Stage, str], Lived]:
    return lambda stage, name: live(schedule, stage, name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
