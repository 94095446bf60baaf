"""What is measured, against what, and what was asked for."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from engine.context import RunContext
from engine.model.schema import DECISION_FIELDS, inputs_schemas
from engine.record.formats import table_bytes
from engine.record.run_folder import BATCH, DECISIONS, INPUTS, UTILISATION, RunFolder
from engine.risk import evaluate
from engine.run.decide import decide
from engine.run.starting import start
from tests.benchmarks import (
    collecting,
    data,
    growth,
    ledger,
    prices,
    replay,
    routing,
    rule_book,
    simulator,
    stores,
)
from tests.benchmarks.folders import context_of, drop, settings_of
from tests.benchmarks.timing import Figure, Timing, best_of, quietly, rate_of, ratio_of

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
        run, context = _decided_run(Path(folder), MILLION)
        batch_file, decisions_file = (Path(folder) / run.key / name for name in (BATCH, DECISIONS))
        like_decisions = pq.read_table(decisions_file)

        def again() -> None:
            run.remove(DECISIONS)
            run.remove(UTILISATION)
            decide(run, context)

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


def dry_run_of_100() -> Iterator[Figure]:
    """A whole dry run, process start to exit, against the bare import of pandas and pyarrow.parquet."""
    command = Path(sys.executable).with_name("execution-engine")
    content = data.intent_file("jsonl", 100, bad=False)
    spans, bare = [], []
    for _ in range(7):
        with tempfile.TemporaryDirectory() as folder:
            drop(Path(folder), "intents.jsonl", content)
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
    "rule book": rule_book.figures,
    "decide": batch_to_decisions,
    "collect": collecting.collect_a_million,
    "processor": collecting.processor_of_a_million,
    "small files": collecting.collect_small_files,
    "start": dry_run_of_100,
    "scale": cost_per_intent,
    "postgres": stores.positions_from_postgres,
    "firestore": stores.documents_to_firestore,
    "servers": stores.dry_run_of_100_on_servers,
    "simulator": simulator.orders_over_a_socket,
    "routing": routing.figures,
    "prices": prices.figures,
    "replay": replay.figures,
    "growth": growth.figures,
    "ledger": ledger.figures,
}


def _frame(rows: int) -> pd.DataFrame:
    content = table_bytes(data.batch(rows))
    return pq.read_table(pa.BufferReader(content), columns=list(DECISION_FIELDS)).to_pandas()


def _decided_run(folder: Path, rows: int) -> tuple[RunFolder, RunContext]:
    context = context_of(folder)
    run = start(settings_of(folder), data.limits(rows), context)
    run.write(BATCH, data.batch(rows))
    inputs = data.inputs()
    for name, schema in inputs_schemas().items():
        frame = getattr(inputs, name)
        if frame is None:
            continue
        frame = frame.reindex(columns=schema.names)
        table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
        run.write(f"{name}.parquet", table.replace_schema_metadata(None))
    now = datetime.now(UTC).isoformat()
    run.write(INPUTS, {"read_at": now, "kill_switch": False, "kill_switch_why": "", "unavailable": {}})
    decide(run, context)
    return run, context


def _decide_in_child(folder: str, trading_date: Any, run_id: str) -> None:
    context = context_of(Path(folder))
    run = RunFolder(context.objects, trading_date, run_id)
    run.remove(DECISIONS)
    run.remove(UTILISATION)
    decide(run, context)


def _peak_mib(work: Callable[..., None], *arguments: Any) -> int:
    """Return the peak memory of a fresh process that does some work."""
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
