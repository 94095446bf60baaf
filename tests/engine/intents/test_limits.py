"""A file beyond a limit of intake is refused whole, with the limit and its setting named."""

from __future__ import annotations

import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.intents import reading
from engine.intents.excerpts import room_for_each
from engine.intents.reading import IntentFile, read_intent_file
from engine.settings.variables import DEFAULT_INTAKE, IntakeLimits
from tests.engine.intents.files import (
    HEADER,
    SESSION,
    messages,
    order,
    orders_with,
    read,
    read_rows,
    values,
    written,
)

ROW = "a strategy with a long name,paper,SPY,buy,1"
CSV = f"{HEADER}\n{ROW}\n".encode()


def refused_whole(file: IntentFile) -> str:
    """Return why a file was refused as a whole."""
    (message,) = messages(file)
    assert (file.rows, file.table.num_rows, file.unreadable) == (1, 0, True)
    return message


# 1. Gzip


def test_a_gzip_file_is_unpacked_up_to_the_limit_and_no_further() -> None:
    packed = gzip.compress(CSV)
    assert values(read("a.csv.gz", packed, limits=IntakeLimits(max_unpacked_bytes=len(CSV))), "qty") == [1.0]
    assert refused_whole(read("a.csv.gz", packed, limits=IntakeLimits(max_unpacked_bytes=len(CSV) - 1))) == (
        f"a.csv.gz: more than {len(CSV) - 1} bytes when unpacked. Split it into smaller files, or raise "
        f"EXEC_INBOX_MAX_UNPACKED_BYTES."
    )


def test_all_members_of_a_gzip_file_are_one_file_and_count_together() -> None:
    packed = gzip.compress(CSV) + gzip.compress(b"") + b"\0" * 512 + gzip.compress(f"{ROW}\n".encode())
    assert values(read("a.csv.gz", packed), "source_row") == [2, 3]
    limits = IntakeLimits(max_unpacked_bytes=len(CSV) + len(ROW))
    assert "when unpacked" in refused_whole(read("a.csv.gz", packed, limits=limits))


def test_zeros_behind_a_gzip_file_are_no_part_of_it() -> None:
    assert values(read("a.csv.gz", gzip.compress(CSV) + b"\0" * 40_000), "source_row") == [2]


@pytest.mark.parametrize("behind", [b"x", b"\x1f\x8b", b"\0x"])
def test_anything_else_behind_a_gzip_file_is_a_torn_member(behind: bytes) -> None:
    assert "not a whole gzip file" in refused_whole(read("a.csv.gz", gzip.compress(CSV) + behind))


def test_a_gzip_file_that_is_large_when_packed_is_read_piece_by_piece() -> None:
    rows = "".join(f"s{row * 7919 % 10**9},paper,SPY,buy,{row + 1}\n" for row in range(20_000))
    file = read("a.csv.gz", gzip.compress(f"{HEADER}\n{rows}".encode()))
    assert values(file, "qty") == [row + 1.0 for row in range(20_000)]


def test_a_gzip_file_of_countless_members_is_refused() -> None:
    packed = gzip.compress(CSV) + gzip.compress(b"") * 100_000
    assert "more than 100000 members" in refused_whole(read("a.csv.gz", packed))


# 2. Text


def lines_of(**columns: str) -> str:
    """Return a CSV file of one row with more columns."""
    return f"{HEADER},{','.join(columns)}\n{ROW},{','.join(columns.values())}\n"


@pytest.mark.parametrize(
    ("name", "content", "limits", "said"),
    [
        ("a.csv", CSV, IntakeLimits(max_file_bytes=len(CSV) - 1), "bytes. Split it into smaller files, or"),
        ("a.csv", CSV, IntakeLimits(max_unpacked_bytes=len(CSV) - 1), "EXEC_INBOX_MAX_UNPACKED_BYTES"),
        ("a.csv", CSV + b"\n" * 999, IntakeLimits(max_unpacked_bytes=8_000), "laid out as 1009 cells"),
        ("a.csv", CSV + f"{ROW}\n".encode() * 2, IntakeLimits(max_rows=2), "more than 2 rows"),
        ("a.csv", lines_of(a="1", b="2"), IntakeLimits(max_columns=6), "more than 6 columns"),
        ("a.csv", lines_of(**{"n" * 2_000_000: "1"}), DEFAULT_INTAKE, "no header (field larger"),
        (
            "a.csv",
            lines_of(**{f"{'n' * 99_999}{i}": "1" for i in range(11)}),
            DEFAULT_INTAKE,
            "the header is la",
        ),
        ("a.csv", lines_of(note="x" * 20_000_000), DEFAULT_INTAKE, "a row is larger than 4 MiB"),
        (
            "a.csv",
            f"{HEADER}\n" + "1,2\n" * 4,
            IntakeLimits(max_refused_rows=3),
            "(the first has 2 fields where",
        ),
        (
            "a.json",
            "[" + "[]," * 999 + "[]]",
            IntakeLimits(max_unpacked_bytes=60_000),
            "laid out as 2001 values",
        ),
        ("a.json", [order(), order()], IntakeLimits(max_rows=1), "more than 1 rows"),
        (
            "a.json",
            [order(a=1, b={"c": [{"d": 1}]})],
            IntakeLimits(max_keys=8),
            "more than 8 keys in one row",
        ),
        ("a.json", [order(note="x" * 5_000_000)], DEFAULT_INTAKE, "row 1 is larger than 4 MiB"),
        (
            "a.json",
            [order(a=1), order(b=1)],
            IntakeLimits(max_columns=6),
            "more than 6 columns (different keys)",
        ),
        ("a.json", [order(a=1, b=1)], IntakeLimits(max_columns=6), "more than 6 columns (different keys)"),
        (
            "a.json",
            [order(a=[1])] * 99,
            IntakeLimits(max_unpacked_bytes=20_000),
            "EXEC_INBOX_MAX_UNPACKED_BYTES",
        ),
        ("a.json", [1, 2, 3], IntakeLimits(max_refused_rows=2), "more than 2 refused rows"),
        ("a.json", "[" * 100_000, DEFAULT_INTAKE, "nested too deeply"),
        ("a.json", '{"a":' * 900 + "1" + "}" * 900, DEFAULT_INTAKE, "nested too deeply"),
        ("a.jsonl", "\n" * 5 + json.dumps(order()), IntakeLimits(max_rows=5), "more than 5 rows (lines)"),
        ("a.jsonl", json.dumps(order(note="x" * 5_000_000)), DEFAULT_INTAKE, "line 1 is larger than 4 MiB"),
        ("a.jsonl", json.dumps(order(a={"b": 1})), IntakeLimits(max_keys=6), "more than 6 keys in one row"),
    ],
)
def test_a_text_file_beyond_a_limit_is_refused_whole_with_the_limit_named(
    name: str, content: bytes | str | list[object], limits: IntakeLimits, said: str
) -> None:
    written = json.dumps(content) if isinstance(content, list) else content
    assert said in refused_whole(read(name, written, limits=limits))


@pytest.mark.parametrize(
    ("name", "content", "limits"),
    [
        ("a.csv", CSV + f"{ROW}\n".encode(), IntakeLimits(max_rows=2)),
        ("a.csv", lines_of(a="1", b="2"), IntakeLimits(max_columns=7)),
        ("a.json", [order(a=1, b={"c": [{"d": 1}]})], IntakeLimits(max_keys=9)),
        ("a.json", [order(a=1), order(b=1)], IntakeLimits(max_columns=7)),
        ("a.jsonl", "\n" * 4 + json.dumps(order()) + "\n", IntakeLimits(max_rows=5)),
    ],
)
def test_a_file_at_a_limit_is_read(
    name: str, content: bytes | str | list[object], limits: IntakeLimits
) -> None:
    file = read(name, json.dumps(content) if isinstance(content, list) else content, limits=limits)
    assert file.refused == []
    assert file.table.num_rows > 0


@pytest.mark.parametrize("ending", [".csv", ".json", ".jsonl", ".parquet"])
def test_one_refused_row_too_many_refuses_the_file_and_says_what_is_wrong_with_the_first(ending: str) -> None:
    rows = [order(), order(side="long"), order(qty=-1), order(symbol="QQQ")]
    content = written(ending, rows)
    assert values(read(f"a{ending}", content, limits=IntakeLimits(max_refused_rows=2)), "symbol") == [
        "SPY",
        "QQQ",
    ]
    message = refused_whole(read(f"a{ending}", content, limits=IntakeLimits(max_refused_rows=1)))
    assert "more than 1 refused rows (the first: row " in message
    assert "side is 'long'; expected buy or sell." in message


def test_keys_that_differ_from_row_to_row_are_put_under_each_other() -> None:
    rows = [order(**{f"k{i}": i, "last": i}) for i in range(40)]
    file = read_rows(".json", *rows)
    assert [json.loads(said) for said in values(file, "metadata")] == [
        {f"k{i}": i, "last": i} for i in range(40)
    ]


# 3. Parquet


def one_text(text: str, rows: int = 1_000) -> pa.Array:
    """Return a column that says the same in all rows, as a file keeps it: once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), [text])


LONG = "x" * 100_000


@pytest.mark.parametrize(
    "columns",
    [
        {"symbol": one_text(LONG)},
        {"client_intent_id": one_text(LONG)},
        {"note": one_text(LONG)},
        {"metadata": pa.StructArray.from_arrays([one_text(LONG)], ["note"])},
        {"tags": pa.ListArray.from_arrays(list(range(1_001)), one_text(LONG))},
        {LONG: one_text("x")},
        {"blob": pa.DictionaryArray.from_arrays(pa.array([0] * 1_000, pa.int32()), [LONG.encode()])},
    ],
    ids=["symbol", "id", "unknown", "struct", "list", "name", "bytes"],
)
def test_a_text_that_parquet_keeps_once_for_many_rows_counts_in_each(columns: dict[str, pa.Array]) -> None:
    content = orders_with(**columns)
    assert len(content) < 1_000_000
    limits = IntakeLimits(max_unpacked_bytes=99_000_000)
    assert "more than 99000000 bytes when laid out" in refused_whole(
        read("a.parquet", content, limits=limits)
    )


@pytest.mark.parametrize(
    ("columns", "limits", "said"),
    [
        ({"qty": pa.array([1.0] * 9)}, IntakeLimits(max_rows=8), "more than 8 rows"),
        ({"a": pa.array([1]), "b": pa.array([1])}, IntakeLimits(max_columns=6), "more than 6 columns"),
        ({"a": pa.array([{"b": 1, "c": 1}])}, IntakeLimits(max_columns=6), "more than 6 columns"),
        ({"a": pa.array([[1] * 9_000])}, IntakeLimits(max_unpacked_bytes=500_000), "laid out as 72005 cells"),
        (
            {"a": pa.array([b"x" * 9_000] * 9, pa.binary(9_000))},
            IntakeLimits(max_unpacked_bytes=80_000),
            "cells",
        ),
        ({"a": pa.array(["x" * 9_000])}, IntakeLimits(max_unpacked_bytes=9_000), "when unpacked"),
    ],
)
def test_a_parquet_file_beyond_a_limit_is_refused_by_its_footer(
    columns: dict[str, pa.Array], limits: IntakeLimits, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = orders_with(**columns)
    monkeypatch.setattr(pq.ParquetFile, "read", None)
    assert said in refused_whole(read("a.parquet", content, limits=limits))


def test_texts_that_share_their_beginnings_are_refused_where_they_may_be_of_any_size() -> None:
    sink = io.BytesIO()
    encoding = {"symbol": "DELTA_BYTE_ARRAY"}
    pq.write_table(pa.table({"symbol": [LONG] * 99}), sink, use_dictionary=False, column_encoding=encoding)
    limits = IntakeLimits(max_unpacked_bytes=9_000_000)
    assert "are written as DELTA_BYTE_ARRAY" in refused_whole(
        read("a.parquet", sink.getvalue(), limits=limits)
    )


# 4. What records keep of refused rows


def test_a_long_value_is_kept_short_in_the_record_of_its_row() -> None:
    file = read_rows(".json", order(side="x" * 1_000_000, note="n" * 1_000_000, tags=["t"] * 300_000))
    record = file.refused[0].record()
    assert record["value"] == "x" * 1_000 + "… (1000000 characters)"
    assert record["raw"]["note"] == "n" * 1_000 + "… (1000000 characters)"
    assert len(json.dumps(record)) < 200_000


def test_many_refused_rows_leave_less_room_for_each() -> None:
    rows = [order(side="x", **{f"note{i}": "n" * 900 for i in range(40)}) for _ in range(3)]
    (kept, *_) = read_rows(".json", *rows).refused
    assert kept.raw == rows[0]
    assert (room_for_each(3), room_for_each(50_000), room_for_each(10**9)) == (50_000, 1_342, 1_000)
    shortened = kept.shortened(2_000).record()["raw"]
    assert shortened.keys() == {*order(), "note0", "note1", "note2", "…"}
    assert shortened["…"] == "and 37 more"


def test_a_row_with_countless_problems_keeps_the_first_of_them() -> None:
    rows = [order(**{f"tif {i}": "day" for i in range(99)}) for _ in range(2)]
    for refused in read_rows(".csv", *rows).refused:
        assert len(refused.problems) == 20
        assert refused.record()["also"][-1] == "and 79 more"


@pytest.mark.parametrize("error", [MemoryError(), RecursionError("x" * 9_999), ZeroDivisionError()])
def test_whatever_goes_wrong_in_a_file_refuses_that_file(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_raw(name: str, content: bytes, limits: IntakeLimits) -> None:
        raise error

    monkeypatch.setattr(reading, "read_raw", read_raw)
    file = read_intent_file("a.csv", b"x", file_time_us=0, trading_date=SESSION)
    assert len(refused_whole(file)) < 250
