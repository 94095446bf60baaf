"""Kills the job at every step it takes on the disk, runs it again, looks whether a row was lost or doubled.

Run as ``python -m tests.crash_job PLAN FOLDER [FIRST [PART]]``; prints one JSON object: how many ways of
dying were tried, and what was wrong after each. FIRST is the work that dies first, ``job`` or ``collect``;
PART, as 2/3, is every third death of the plan from the second on. Imports are paid once: every job is a fork
of this process.

A job dies by SIGKILL just before its nth *effect*. Effects are what the interpreter announces before it does
it (audit events: a file opened for writing, a link, a renaming, a removal, a new folder) and the flushing of
a file, before which half of the file is cut off. Dying before an effect is dying after the one before it, so
these are all the states that a killed job can leave.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from engine.api.dropping import drop_intents
from engine.record.formats import file_hash
from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from engine.run.stages import finish
from engine.run.starting import start
from engine.stores.inbox.inbox import hash_of
from tests.desk import Desk, Row, order

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
EFFECTS = {"os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.move"}
LARGE = b" " * 2001
"""A file above the limit, which is moved unread: its name carries no hash of its content."""
LIMITS = {"EXEC_INBOX_MAX_FILE_BYTES": "2000"}

Deaths = tuple[int, ...]
"""Before which effect each of several jobs in a row dies."""


def job(desk: Desk) -> None:
    """Do what ``execution-engine run`` does: finish what is unfinished, then a run of its own."""
    context = desk.context()
    for folder in context.runs.unfinished():
        finish(folder, context)
    settings = desk.settings(
        EXEC_DECISION_MAX_AGE_S=str(900 + os.getpid()), **LIMITS
    )  # no run.json like another
    folder = start(settings, RiskConfig(max_daily_trades=6), context, slot="test")
    finish(folder, context)


def collect(desk: Desk) -> None:
    """Do what ``execution-engine collect`` does."""
    context = desk.context()
    finish(
        start(desk.settings(**LIMITS), RiskConfig(), context, slot="test"), context, until="intents.parquet"
    )


def die_before(effect: int) -> None:
    """Arm this process to kill itself before its nth effect from now on, counted from 1."""
    left = [effect]

    def step(fd: Any = None) -> None:
        left[0] -= 1
        if left[0] == 0:
            if fd is not None:
                with suppress(OSError):  # of a folder nothing can be cut off
                    os.ftruncate(fd, os.fstat(fd).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    before_each_effect(step)


def before_each_effect(step: Callable[..., None]) -> None:
    """Have ``step`` called before each effect of this process, with the file that is flushed where one is."""

    def hook(event: str, said: tuple[Any, ...]) -> None:
        if event in EFFECTS or (event == "open" and isinstance(said[2], int) and said[2] & WRITING):
            step()

    sys.addaudithook(hook)
    os.fsync = step


def flushes_nothing(fd: Any) -> None:
    """Stand in for ``os.fsync`` where nobody dies: it takes long and matters to power cuts only."""


def dies(work: Callable[[Desk], None], desk: Desk, effect: int) -> bool:
    """Let a fork do the work and die; tell whether it died, or came to its end before."""
    process = os.fork()
    if process == 0:
        die_before(effect)
        try:
            work(desk)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(process, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
        raise AssertionError("a job failed instead of dying")
    return os.WIFSIGNALED(status)


# --- the data folder that every job starts from, and what must have become of it


def prepare(data: Path) -> None:
    """Make a day with one finished run, and an inbox that has a bit of everything."""
    desk = Desk(data)
    desk.hold(SPY=50, QQQ=-90)
    desk.trade("1")
    desk.drop("early.json", order(symbol="DIA"), order(client_intent_id="used"))
    job(desk)
    desk.drop("momentum.csv", order(), order(), order(qty=80), order(qty=0), age_s=50)
    desk.drop("again.json", order(symbol="DIA"), order(), order(client_intent_id="used", qty=2), age_s=40)
    desk.drop("desk/us/torn.jsonl", content=b'{"strategy_id": "m"}\n{"strat', age_s=30)
    desk.drop("empty.csv", content=b"", age_s=20)
    desk.drop("large.json", content=LARGE, age_s=20)
    rows: list[Row] = [order(symbol="QQQ", side="sell", qty=10), order(symbol="QQQ", side="sell", qty=1)]
    drop_intents(rows, desk.inbox, name="hedges")


def became(desk: Desk) -> Counter[str]:
    """Say of every row of every run what became of it, in words that name its place."""
    told: Counter[str] = Counter()
    for run in desk.context().runs.all():
        collected = run.json("collected.json")
        told.update(f"{r['file']}:{r['row']} quarantined: {r['message']}" for r in collected["refused"])
        told.update(f"{d['file']}:{d['row']} duplicate: {d['message']}" for d in collected["duplicates"])
        batch = run.table("intents.parquet").to_pandas()
        results = run.table("results.parquet").to_pandas()
        rows = zip(
            batch["source_file"], batch["source_row"], batch["client_intent_id"], results["status"],
            results["reason"], results["client_intent_id"], strict=True,
        )  # fmt: skip
        told.update(f"{file}:{row} {a} {status} {why} {b}" for file, row, a, status, why, b in rows)
    return told


def wrong(desk: Desk, expected: Counter[str], contents: dict[str, bytes]) -> Iterator[str]:
    """Say what is not as it must be once a job has come to its end."""
    if desk.left():
        yield f"left in the inbox: {desk.left()}"
    kept = shown({**desk.kept("archive"), **desk.kept("quarantine")})
    for name, content in contents.items():
        copies = [place for place, found in kept.items() if found == content]
        copies = [place for place in copies if content == LARGE or hash_of(content) in place]
        if len(copies) != 1:
            yield f"{name} is kept as {copies}"
    for run in desk.context().runs.all():
        yield from _wrong_run(run)
    found = became(desk)
    if found != expected:
        yield f"too many: {sorted(found - expected)}, missing: {sorted(expected - found)}"
    reasons = {
        line
        for name, content in shown(desk.kept("quarantine")).items()
        if ".reasons." in name
        for line in content.splitlines()
    }
    if len(reasons) != sum(" quarantined: " in row for row in expected.elements()):
        yield f"{len(reasons)} reasons are kept"


def shown(kept: dict[str, bytes]) -> dict[str, bytes]:
    """Leave out the hidden drafts of files that a killed job was writing."""
    return {name: content for name, content in kept.items() if not Path(name).name.startswith(".")}


def _wrong_run(run: RunFolder) -> Iterator[str]:
    if "manifest.json" not in run.names():
        yield f"{run.run_id} has no manifest"
        return
    manifest = run.json("manifest.json")
    if manifest["exit_code"] != 0 or not all(identity["holds"] for identity in manifest["identities"]):
        yield f"{run.run_id} does not add up: {manifest['identities']}"
    names = run.names() - {"manifest.json"}
    now = {name: file_hash(name, run.objects.read(run.key + name)) for name in names}
    if now != manifest["content"]:
        yield f"{run.run_id} was changed after it was sealed"


# --- plans: which deaths to die


def once(effects: int) -> Iterable[Deaths]:
    """Die once, everywhere."""
    return ((effect,) for effect in range(1, effects + 1))


def here_and_there(effects: int) -> Iterable[Deaths]:
    """Die once, at every third effect."""
    return ((effect,) for effect in range(1, effects + 1, 3))


def twice(effects: int) -> Iterable[Deaths]:
    """Die, and again at some other effect of the job that resumes."""
    return ((effect, 1 + effect * 37 % effects) for effect in range(1, effects + 1, 2))


def soon_again(effects: int) -> Iterable[Deaths]:
    """Die, and then three times at the first effects of the job that resumes."""
    return ((effect, *((1 + effect % 7,) * 3)) for effect in range(2, effects + 1, 4))


def five_times(effects: int) -> Iterable[Deaths]:
    """Die five times in a row, each time elsewhere."""
    return (tuple(1 + (effect + time * 43) % effects for time in range(5)) for effect in range(0, effects, 6))


PLANS = {plan.__name__: plan for plan in (once, here_and_there, twice, soon_again, five_times)}


def in_a_fork(work: Callable[[], Any]) -> Any:
    """Return what the work gives, done by a fork: this process starts no threads, so that forks stay safe."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        try:
            said = {"gave": work()}
        except BaseException:
            said = {"failed": traceback.format_exc()}
        with os.fdopen(writing, "w") as pipe:
            json.dump(said, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = json.load(pipe)
    os.waitpid(process, 0)
    if "failed" in answer:
        raise AssertionError(answer["failed"])
    return answer["gave"]


def main(plan: str, folder: Path, first: str = "job", part: str = "1/1") -> None:
    """Carry a part of a plan out and print what went wrong. ``first``: the work that dies first."""
    os.fsync = flushes_nothing
    begun = {"job": job, "collect": collect}[first]
    template = folder / "template"
    in_a_fork(lambda: prepare(template))
    contents = {name: (template / "inbox" / name).read_bytes() for name in Desk(template).left()}

    def fresh(name: str) -> Desk:
        shutil.copytree(template, folder / name)
        return Desk(folder / name)

    def undisturbed() -> tuple[dict[str, int], list[str]]:
        desk = fresh("undisturbed")
        job(desk)
        return became(desk), sorted(sys.modules)

    def effects() -> int:
        passed: list[Any] = []
        desk = fresh("counting")
        before_each_effect(lambda fd=None: passed.append(fd))
        begun(desk)
        return len(passed)

    rows, modules = in_a_fork(undisturbed)
    expected = Counter(rows)
    for name in modules:  # what a job imports on its way is imported once, here
        with suppress(ImportError):
            import_module(name)
    gc.freeze()
    count = in_a_fork(effects)

    def after(deaths: Deaths) -> tuple[int, list[str]]:
        desk = fresh("-".join(map(str, deaths)))
        died = [dies(begun if nth == 0 else job, desk, effect) for nth, effect in enumerate(deaths)]
        try:
            job(desk)
            problems = list(wrong(desk, expected, contents))
        except Exception:
            problems = [traceback.format_exc()]
        shutil.rmtree(desk.data)
        return sum(died), problems

    tried, died, found = 0, 0, {}
    nth, parts = map(int, part.split("/"))
    for deaths in list(PLANS[plan](count))[nth - 1 :: parts]:
        killed, problems = in_a_fork(partial(after, deaths))
        tried, died = tried + 1, died + killed
        if problems:
            found[str(deaths)] = problems
    print(json.dumps({"effects": count, "tried": tried, "died": died, "problems": found}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
