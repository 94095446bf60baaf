"""What collecting costs: a million rows in one file, and a row each in many files."""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.context import RunContext
from engine.record.formats import table_bytes
from engine.record.run_folder import BATCH, RunFolder
from engine.run.collect import collect
from engine.run.put_away import put_away
from engine.run.starting import start
from tests.benchmarks import data
from tests.benchmarks.folders import context_of, drop, settings_of
from tests.benchmarks.timing import Figure, Timing, best_of, rate_of
from tests.desk import content_of, order

MILLION, ROUNDS = 1_000_000, 7
FEW_MILLISECONDS, FILES = 2.0, 2_000
CPU_AT_MOST = 2.0


def collect_a_million() -> Iterator[Figure]:
    """Inbox to sealed batch: reading, checking every row, deriving ids, archiving, sealing."""
    for kind, asked in (("parquet", 800e3), ("csv", 500e3), ("jsonl", 300e3)):
        for bad in (False, True):
            content = data.intent_file(kind, MILLION, bad=bad)
            spans = []
            for _ in range(3):
                with tempfile.TemporaryDirectory() as folder:
                    run, context = _waiting(Path(folder), f"intents.{kind}", content)
                    spans.append(best_of(1, partial(collect, run, context)).seconds)
            name = f"collect {kind}" + (", 1 % bad rows" if bad else "")
            yield rate_of(name, MILLION, Timing(min(spans)), at_least=asked, megabytes=len(content) >> 20)


def processor_of_a_million() -> Iterator[Figure]:
    """Processor time of ``collect``, all threads, against bare pyarrow with the same bytes and batch.

    Bare pyarrow parses the file's bytes, which are in memory, with its own reader's defaults, and writes the
    batch that ``collect`` has sealed, with the same columns, encodings and compression, to a file of the
    same disk, flushed. Both take turns; a round's ratio is of its own two figures, and the median counts.
    """
    for kind, read in _READERS.items():
        content = data.intent_file(kind, MILLION, bad=False)
        busy, bare, ratios, by_defaults = [], [], [], []
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as folder:
                run, context = _waiting(Path(folder), f"intents.{kind}", content)
                busy.append(_processor_seconds(partial(collect, run, context)))
                sealed = pq.read_table(pa.BufferReader((Path(folder) / run.key / BATCH).read_bytes()))
                parsing = _processor_seconds(partial(read, pa.BufferReader(content)))
                like, by_default = Path(folder) / "like.parquet", Path(folder) / "by_default.parquet"
                bare.append(parsing + _processor_seconds(partial(_write_alike, sealed, like)))
                defaults = parsing + _processor_seconds(partial(pq.write_table, sealed, by_default))
                ratios.append(busy[-1] / bare[-1])
                by_defaults.append(busy[-1] / defaults)
        yield {
            "name": f"processor time to collect {kind}", "n": MILLION, "seconds": round(median(busy), 3),
            "rate": round(MILLION / median(busy)), "ratio": round(median(ratios), 3),
            "ratios": [round(min(ratios), 3), round(max(ratios), 3)],
            "against": "pyarrow parsing the same bytes and writing the sealed batch",
            "against_seconds": round(median(bare), 3),
            "ratio_to_default_settings_of_the_writer": round(median(by_defaults), 3),
            "asked": CPU_AT_MOST, "met": median(ratios) <= CPU_AT_MOST,
        }  # fmt: skip


def collect_small_files() -> Iterator[Figure]:
    """Collect 2,000 files of one row and put them away: what a file costs beyond waiting for its ``fsync``.

    Against opening, reading, writing anew and unlinking the same files, with an ``fsync`` each.
    """
    for kind in ("json", "jsonl", "csv", "parquet"):
        yield _small_files(kind)


def _small_files(kind: str) -> Figure:
    contents = [_one_row(kind, number + 1) for number in range(FILES)]
    spans, bare, beyond_ms, busy_ms = [], [], [], []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder, _flushing() as flushed:
            inbox = Path(folder) / "inbox"
            _drop_small(Path(folder), kind, contents)
            bare.append(best_of(1, partial(_copied_and_unlinked, inbox, Path(folder) / "copies")).seconds)
            _drop_small(Path(folder), kind, contents)
            context = context_of(Path(folder))
            run = start(settings_of(Path(folder)), data.limits(FILES), context)
            flushed.clear()
            busy = time.process_time()
            spans.append(best_of(1, partial(_collected_and_put_away, run, context)).seconds)
            busy_ms.append((time.process_time() - busy) / FILES * 1e3)
            beyond_ms.append((spans[-1] - sum(flushed)) / FILES * 1e3)
    return {
        "name": f"collect 2,000 {kind} files of one row", "n": FILES, "seconds": round(median(spans), 4),
        "rate": round(FILES / median(spans)), "ratio": round(median(spans) / median(bare), 3),
        "against": "open, read, write, fsync, unlink of the same files",
        "milliseconds_each_beyond_fsync": round(median(beyond_ms), 3),
        "range": [round(min(beyond_ms), 3), round(max(beyond_ms), 3)],
        "processor_milliseconds_each": round(median(busy_ms), 3),
        "asked": FEW_MILLISECONDS, "met": median(beyond_ms) <= FEW_MILLISECONDS,
    }  # fmt: skip


def _parse_parquet(content: pa.BufferReader) -> pa.Table:
    return pq.read_table(content)


def _parse_csv(content: pa.BufferReader) -> pa.Table:
    from pyarrow import csv

    return csv.read_csv(content)


def _parse_json_lines(content: pa.BufferReader) -> pa.Table:
    from pyarrow import json

    return json.read_json(content)


_READERS: dict[str, Callable[[pa.BufferReader], pa.Table]] = {
    "parquet": _parse_parquet,
    "csv": _parse_csv,
    "jsonl": _parse_json_lines,
}


def _write_alike(table: pa.Table, path: Path) -> None:
    with path.open("wb") as file:
        file.write(table_bytes(table))
        file.flush()
        os.fsync(file.fileno())


def _processor_seconds(work: Callable[[], object]) -> float:
    """Return the processor time of some work, in the system and of all threads included."""
    gc.collect()
    begin = time.process_time()
    work()
    return time.process_time() - begin


def _waiting(folder: Path, name: str, content: bytes) -> tuple[RunFolder, RunContext]:
    context = context_of(folder)
    run = start(settings_of(folder), data.limits(MILLION), context)
    drop(folder, name, content)
    return run, context


def _one_row(kind: str, qty: int) -> bytes:
    if kind == "parquet":
        return bytes(table_bytes(pa.Table.from_pylist([order(qty=qty)])))
    return content_of(f"one.{kind}", [order(qty=qty)])


def _drop_small(folder: Path, kind: str, contents: list[bytes]) -> None:
    for number, content in enumerate(contents):
        drop(folder, f"{number}.{kind}", content)


def _collected_and_put_away(run: RunFolder, context: RunContext) -> None:
    collect(run, context)
    put_away(run, context)


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
