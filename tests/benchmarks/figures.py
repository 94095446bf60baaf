"""What is measured, against what, and what was asked for."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from engine.collecting import collect
from engine.config import RunSettings
from engine.deciding import decide
from engine.log import EventLog
from engine.putting_away import put_away
from engine.record import json_line, table_bytes
from engine.risk import evaluate
from engine.run import start
from engine.schema import DECISION_FIELDS, inputs_schemas
from engine.stores.embedded import EmbeddedStore
from engine.stores.inbox import Inbox
from engine.stores.kill_switch import KillSwitch
from engine.stores.objects import LocalObjects
from engine.stores.runs import BATCH, DECISIONS, INPUTS, RunFolder
from engine.world import World
from tests.benchmarks import data, replay, routing, simulator, stores
from tests.benchmarks.timing import Figure, Timing, best_of, quietly, rate_of, ratio_of
from tests.desk import order

MILLION = 1_000_000


def evaluate_a_million() -> Iterator[Figure]:
    """Decide on a million intents, the frame as read from the sealed batch, all columns."""
    frame = _frame(MILLION)
    inputs, config = data.inputs(), data.limits(MILLION)
    decisions = evaluate(frame, inputs, config)
    refused = decisions["reason"].value_counts(normalize=True).drop("ok")
    shares = {reason: round(float(share), 4) for reason, share in refused.items() if share}
    timing = best_of(7, lambda: evaluate(frame, inputs, config))
    cumsum = best_of(5, lambda: frame["qty"].groupby(frame["symbol"], observed=True).cumsum())
    more = {"grouped_cumsum_seconds": round(cumsum.seconds, 4), "refused": shares}
    yield rate_of("evaluate", MILLION, timing, at_least=5e6, **more)


def batch_to_decisions() -> Iterator[Figure]:
    """Sealed batch file to decisions file, and pyarrow reading the one and writing the like of the other."""
    with tempfile.TemporaryDirectory() as folder:
        run, world = _decided_run(Path(folder), MILLION)
        batch_file, decisions_file = (Path(folder) / run.key / name for name in (BATCH, DECISIONS))
        like_decisions = pq.read_table(decisions_file)

        def again() -> None:
            run.remove(DECISIONS)
            decide(run, world)

        def pyarrow_alone() -> None:
            pq.read_table(batch_file)
            with (Path(folder) / "like.parquet").open("wb") as file:
                file.write(table_bytes(like_decisions))
                os.fsync(file.fileno())

        timing, yardstick = best_of(4, again), best_of(4, pyarrow_alone)
        peak = _peak_mib(_decide_in_child, folder, run.trading_date, run.run_id)
        against = "pyarrow reads the batch and writes the like of the decisions"
        name = "batch file to decisions file"
        yield ratio_of(name, MILLION, timing, yardstick, at_most=2.0, against=against)
        yield {
            "name": "batch file to decisions file, peak memory", "n": MILLION, "mib": peak, "asked": 1024,
            "met": peak <= 1024,
        }  # fmt: skip


def collect_a_million() -> Iterator[Figure]:
    """Inbox to sealed batch: reading, checking every row, deriving ids, archiving, sealing."""
    for kind, asked in (("parquet", 800e3), ("csv", 500e3), ("jsonl", 300e3)):
        for bad in (False, True):
            content = data.intent_file(kind, MILLION, bad=bad)
            spans = []
            for _ in range(3):
                with tempfile.TemporaryDirectory() as folder:
                    world = _world(Path(folder))
                    run = start(_settings(folder), data.limits(MILLION), world)
                    _drop(Path(folder), f"intents.{kind}", content)
                    spans.append(best_of(1, partial(collect, run, world)).seconds)
            name = f"collect {kind}" + (", 1 % bad rows" if bad else "")
            yield rate_of(name, MILLION, Timing(min(spans)), at_least=asked, megabytes=len(content) >> 20)


def collect_small_files() -> Iterator[Figure]:
    """Collect 2,000 files of one row and put them away: what a file costs beyond waiting for its ``fsync``.

    Against opening, reading, writing anew and unlinking the same files, with an ``fsync`` each.
    """
    files, spans, bare, beyond_ms, busy_ms = 2_000, [], [], [], []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder, _flushing() as flushed:
            inbox = Path(folder) / "inbox"
            _drop_small(Path(folder), files)
            bare.append(best_of(1, partial(_copied_and_unlinked, inbox, Path(folder) / "copies")).seconds)
            _drop_small(Path(folder), files)
            world = _world(Path(folder))
            run = start(_settings(folder), data.limits(files), world)
            flushed.clear()
            busy = time.process_time()
            spans.append(best_of(1, partial(_collected_and_put_away, run, world)).seconds)
            busy_ms.append((time.process_time() - busy) / files * 1e3)
            beyond_ms.append((spans[-1] - sum(flushed)) / files * 1e3)
    yield {
        "name": "collect 2,000 files of one row", "n": files, "seconds": round(min(spans), 4),
        "rate": round(files / min(spans)), "ratio": round(min(spans) / min(bare), 3),
        "against": "open, read, write, fsync, unlink of the same files",
        "milliseconds_each_beyond_fsync": round(min(beyond_ms), 3),
        "processor_milliseconds_each": round(min(busy_ms), 3), "asked": 2.0, "met": min(busy_ms) <= 2.0,
    }  # fmt: skip


def dry_run_of_100() -> Iterator[Figure]:
    """A whole dry run, process start to exit, against the bare import of pandas and pyarrow.parquet."""
    command = Path(sys.executable).with_name("execution-engine")
    content = data.intent_file("jsonl", 100, bad=False)
    spans, bare = [], []
    for _ in range(7):
        with tempfile.TemporaryDirectory() as folder:
            _drop(Path(folder), "intents.jsonl", content)
            env = {**os.environ, "EXEC_DATA_DIR": folder, "EXEC_INBOX_SETTLE_S": "0"}
            spans.append(best_of(1, partial(quietly, [str(command), "run"], env)).seconds)
        imports = [sys.executable, "-c", "import pandas, pyarrow.parquet"]
        bare.append(best_of(1, partial(quietly, imports)).seconds)
    against = "python -c 'import pandas, pyarrow.parquet'"
    name = "dry run of 100 intents"
    yield ratio_of(name, 100, Timing(min(spans)), Timing(min(bare)), at_most=1.6, against=against)


def cost_per_intent() -> Iterator[Figure]:
    """Decide on batches from a hundred to ten million intents."""
    before: float | None = None
    for rows in (100, 1_000, 10_000, 100_000, MILLION, 10 * MILLION):
        frame, inputs, config = _frame(rows), data.inputs(), data.limits(rows)
        evaluate(frame, inputs, config)
        timing = best_of(5 if rows <= MILLION else 2, partial(evaluate, frame, inputs, config))
        each_us = timing.seconds / rows * 1e6
        bend = None if before is None else round(each_us / before, 3)
        yield {
            "name": "cost per intent", "n": rows, "seconds": round(timing.seconds, 5),
            "rate": round(rows / timing.seconds), "microseconds_each": round(each_us, 4),
            "ratio": bend, "asked": "no bend upward", "met": bend is None or bend <= 1.25,
        }  # fmt: skip
        before = each_us


BENCHMARKS: dict[str, Callable[[], Iterator[Figure]]] = {
    "evaluate": evaluate_a_million,
    "decide": batch_to_decisions,
    "collect": collect_a_million,
    "small files": collect_small_files,
    "start": dry_run_of_100,
    "scale": cost_per_intent,
    "postgres": stores.positions_from_postgres,
    "firestore": stores.documents_to_firestore,
    "servers": stores.dry_run_of_100_on_servers,
    "simulator": simulator.orders_over_a_socket,
    "routing": routing.figures,
    "replay": replay.figures,
}


def _frame(rows: int) -> pd.DataFrame:
    content = table_bytes(data.batch(rows))
    return pq.read_table(pa.BufferReader(content), columns=list(DECISION_FIELDS)).to_pandas()


def _settings(folder: str) -> RunSettings:
    settings = RunSettings.from_env({"EXEC_DATA_DIR": folder})
    return replace(settings, inbox_settle_s=0.0)


def _world(folder: Path) -> World:
    store = EmbeddedStore(folder / "engine.db")
    return World(
        objects=LocalObjects(folder),
        inbox=Inbox(folder / "inbox"),
        positions=store,
        ledger=store,
        kill_switch=KillSwitch.from_env({}).read,
        log=EventLog(stream=_Silence()),
        clock=lambda: datetime.now(UTC),
    )


def _drop_small(folder: Path, files: int) -> None:
    for number in range(files):
        _drop(folder, f"{number}.json", b"[%s]" % json_line(order(qty=number + 1)))


def _collected_and_put_away(run: RunFolder, world: World) -> None:
    collect(run, world)
    put_away(run, world)


def _copied_and_unlinked(inbox: Path, copies: Path) -> None:
    copies.mkdir()
    for path in inbox.iterdir():
        content = path.read_bytes()
        with (copies / path.name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        path.unlink()


@contextmanager
def _flushing() -> Iterator[list[float]]:
    """Hand out a list to which each ``os.fsync`` adds the seconds that it took."""
    fsync, seconds = os.fsync, []

    def timed(fd: Any) -> None:
        begin = time.perf_counter()
        fsync(fd)
        seconds.append(time.perf_counter() - begin)

    os.fsync = timed
    try:
        yield seconds
    finally:
        os.fsync = fsync


class _Silence(StringIO):
    """A terminal that shows nothing, so that events below a warning cost nothing."""

    def isatty(self) -> bool:
        return True


def _drop(folder: Path, name: str, content: bytes) -> None:
    (folder / "inbox").mkdir(exist_ok=True)
    (folder / "inbox" / name).write_bytes(content)


def _decided_run(folder: Path, rows: int) -> tuple[RunFolder, World]:
    world = _world(folder)
    run = start(_settings(str(folder)), data.limits(rows), world)
    run.write(BATCH, data.batch(rows))
    inputs = data.inputs()
    for name, schema in inputs_schemas().items():
        table = pa.Table.from_pandas(getattr(inputs, name), schema=schema, preserve_index=False)
        run.write(f"{name}.parquet", table.replace_schema_metadata(None))
    now = datetime.now(UTC).isoformat()
    run.write(INPUTS, {"read_at": now, "kill_switch": False, "kill_switch_why": "", "unavailable": {}})
    decide(run, world)
    return run, world


def _decide_in_child(folder: str, trading_date: Any, run_id: str) -> None:
    world = _world(Path(folder))
    run = RunFolder(world.objects, trading_date, run_id)
    run.remove(DECISIONS)
    decide(run, world)


def _peak_mib(work: Callable[..., None], *arguments: Any) -> int:
    """Give the peak memory of a fresh process that does some work."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_measured, args=(send, work, arguments))
    child.start()
    peak: int = receive.recv()
    child.join()
    return peak


def _measured(send: Any, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    work(*arguments)
    # Not getrusage: its maximum is inherited from the process that started this one.
    status = Path("/proc/self/status").read_text()
    peak_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    send.send(peak_kib >> 10)
