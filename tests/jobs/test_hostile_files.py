"""Files made to exhaust a run: each is quarantined whole, and the good file beside them is traded."""

from __future__ import annotations

import gzip
import io
import json
import resource
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.engine.intents.files import HEADER, order

MOST_BYTES = 4_000_000 << 10
"""As ``ulimit -v 4000000`` has it."""
ROW = "momentum,paper,SPY,buy,1"
ROWS = 1_000_000


def parquet(**columns: pa.Array) -> bytes:
    """Return a Parquet file of a million rows that say one thing, with other columns."""
    plain = {name: one_for_all(value) for name, value in order().items()}
    sink = io.BytesIO()
    pq.write_table(pa.table({**plain, **columns}), sink)
    return sink.getvalue()


def one_for_all(value: object) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * ROWS, pa.int32()), pa.array([value]))


def hostile_files() -> dict[str, bytes]:
    one_order = json.dumps(order())
    return {
        "bomb.csv.gz": gzip.compress(b"\0" * (600 << 20), 1),
        "members.csv.gz": gzip.compress(b"") * 200_000,
        "lists.json": b"[" + b"[]," * (20 << 20) + b"[]]",
        "deep.json": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        "keys.json": json.dumps({f"k{i}": i for i in range(500_000)}).encode(),
        "digits.json": b'[{"qty":' + b"1" * 5_000_000 + b"}]",
        "blank.jsonl": one_order.encode() + b"\n" * 50_000_000,
        "line.jsonl": b'{"a":"' + b"x" * 100_000_000 + b'"}',
        "columns.csv": (",".join(f"c{i}" for i in range(40_000)) + ",qty\n").encode(),
        "cells.csv": f"{HEADER}\n".encode() + b"," * 100_000_000,
        "cell.csv": f"{HEADER},note\n{ROW},".encode() + b"x" * 100_000_000 + b"\n",
        "ragged.csv": f"{HEADER}\n".encode() + b"1,2\n" * 2_000_000,
        "quote.csv": f'{HEADER}\n{ROW}\nmomentum,paper,"SPY,buy,1\n'.encode() + f"{ROW}\n".encode() * 500_000,
        "bad.parquet": parquet(qty=one_for_all(-1.0)),
        "text.parquet": parquet(note=one_for_all("x" * 1_000_000)),
        "symbol.parquet": parquet(symbol=one_for_all("x" * 1_000_000)),
    }


def test_a_run_trades_the_good_file_beside_files_that_would_take_all_time_and_memory(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    hostile = hostile_files()
    for name, content in hostile.items():
        (inbox / name).write_bytes(content)
    (inbox / "good.csv").write_text(f"{HEADER}\n{ROW}\n")

    done = subprocess.run(
        [str(Path(sys.executable).with_name("execution-engine")), "run", "--json"],
        env={"EXEC_DATA_DIR": str(tmp_path), "EXEC_INBOX_SETTLE_S": "0"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2_000:]
    said = json.loads(done.stdout)
    assert said["rows"] == {
        "dropped": len(hostile) + 1, "batched": 1, "quarantined": len(hostile), "duplicate": 0
    }  # fmt: skip
    (collected,) = tmp_path.glob("runs/*/*/collected.json")
    unreadable = {
        entry["name"] for entry in json.loads(collected.read_text())["files"] if entry["unreadable"]
    }
    assert unreadable == set(hostile) - {"digits.json"}
    assert len(done.stderr) < 50_000
