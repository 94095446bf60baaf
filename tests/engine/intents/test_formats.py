"""File text to raw columns: every format, every way in which lines and headers go wrong, and row numbers."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from engine.errors import UnreadableFile
from engine.intents.formats import read_raw
from engine.model.schema import FILE_ENDINGS
from tests.engine.intents.files import ENDINGS, HEADER, order, orders_with, parquet, written

BOM = b"\xef\xbb\xbf"
ROW = "momentum,paper,SPY,buy,1"


def raw(name: str, content: bytes | str) -> list[dict[str, Any]]:
    """Return the rows that have columns, as they stood in the file."""
    table = read_raw(name, content.encode() if isinstance(content, str) else content)
    return table.raw(list(range(table.rows)))


def numbers(name: str, content: bytes | str) -> tuple[list[int], list[int]]:
    """Return the row numbers of the rows that have columns, and of those that have none."""
    table = read_raw(name, content.encode() if isinstance(content, str) else content)
    assert len(table.row_numbers) == table.rows
    return table.row_numbers.tolist(), [refused.first.row for refused in table.refused]


def complaint(name: str, content: bytes | str) -> str:
    with pytest.raises(UnreadableFile) as caught:
        read_raw(name, content.encode() if isinstance(content, str) else content)
    assert caught.value.message.startswith(f"{name}: ")
    assert caught.value.remedy.endswith(".")
    return str(caught.value)


# 1. Every format


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("packed", ["", ".gz", ".GZ"])
def test_the_ending_of_the_name_says_the_format(ending: str, packed: str) -> None:
    content = written(ending + packed.lower(), [order(qty=1.5), order(symbol="QQQ", qty=2.5)])
    rows = raw(f"some.intents{ending.upper()}{packed}", content)
    assert [(row["symbol"], float(row["qty"])) for row in rows] == [("SPY", 1.5), ("QQQ", 2.5)]


def test_the_endings_are_the_ones_that_are_documented() -> None:
    assert FILE_ENDINGS == ENDINGS


@pytest.mark.parametrize("name", ["intents.txt", "intents", "intents.csv.zip", "a.xlsx", "csv"])
def test_a_file_of_an_unknown_kind_is_unreadable_with_the_endings_as_remedy(name: str) -> None:
    assert ".json .jsonl .csv .parquet" in complaint(name, HEADER)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\t\n", BOM, BOM + b"\n"])
def test_an_empty_file_is_no_rows(ending: str, content: bytes) -> None:
    assert raw(f"intents{ending}", content) == []
    assert raw(f"intents{ending}.gz", gzip.compress(content)) == []


@pytest.mark.parametrize("content", [HEADER, HEADER + "\n", HEADER + "\r\n", "\n" + HEADER + "\n\n"])
def test_a_header_alone_is_no_rows(content: str) -> None:
    assert raw("intents.csv", content) == []


def test_an_empty_list_or_table_is_no_rows() -> None:
    assert raw("intents.json", "[]") == []
    assert raw("intents.parquet", parquet(pa.table({"qty": pa.array([], pa.float64())}))) == []


@pytest.mark.parametrize("ending", [".json", ".jsonl", ".csv"])
def test_a_byte_order_mark_is_no_part_of_the_first_name(ending: str) -> None:
    content = BOM + written(ending, [order()])
    assert raw(f"intents{ending}", content)[0]["strategy_id"] == "momentum"
    assert raw(f"intents{ending}.gz", gzip.compress(content))[0]["strategy_id"] == "momentum"


@pytest.mark.parametrize("cut", [1, 10, -1, -8])
def test_a_gzip_file_that_is_not_whole_is_unreadable(cut: int) -> None:
    assert "not a whole gzip file" in complaint("intents.csv.gz", gzip.compress(ROW.encode())[:cut])


def test_what_is_no_gzip_file_at_all_is_unreadable() -> None:
    assert "its content is not gzip" in complaint("intents.csv.gz", HEADER)


PACKED_ROWS = gzip.compress(b"strategy_id,qty\ns,1\n")
MISTAKEN = {
    "gzip without its ending": ("a.csv", PACKED_ROWS, "gzip. Put .gz behind its ending."),
    "no gzip": ("a.csv.gz", b"strategy_id,qty\n", "is not gzip. Take .gz off its name, or pack it"),
    "packed twice": ("a.csv.gz", gzip.compress(PACKED_ROWS), "packed twice with gzip. Unpack it once."),
    "a workbook": (
        "a.csv",
        b"PK\x03\x04\x14\0",
        'a ZIP archive, as an Excel workbook is. Save it as "CSV UTF-8"',
    ),
    "an old workbook": ("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1", "an Excel workbook"),
    "parquet": ("a.json", parquet(pa.table({"a": [1]})), "Parquet. Give it the ending .parquet."),
    "feather": ("a.parquet", b"ARROW1\0\0\xff", "an Arrow file (Feather). Write it as Parquet"),
    "zstd": ("a.jsonl", b"\x28\xb5\x2f\xfd\x24", "packed with zstd. Pack it with gzip"),
    "bzip2": ("a.csv", bz2.compress(b"strategy_id"), "packed with bzip2"),
    "xz": ("a.csv", lzma.compress(b"strategy_id"), "packed with xz"),
    "git lfs": ("a.parquet", b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS"),
    "an error page": ("a.json", b"<!DOCTYPE html><html></html>", "a page of HTML or XML. Look at it"),
    "an error of a store": ("a.csv", b"<?xml version='1.0'?><Error/>", "a page of HTML or XML"),
}


@pytest.mark.parametrize(("name", "content", "said"), MISTAKEN.values(), ids=MISTAKEN)
def test_content_of_another_format_is_named_with_the_way_to_send_it(
    name: str, content: bytes, said: str
) -> None:
    assert said in complaint(name, content)


@pytest.mark.parametrize("name", ["PAR1", "BZh9", "%PDF-1", "PK"])
def test_a_header_that_begins_as_another_format_does_is_a_header(name: str) -> None:
    assert list(read_raw("a.csv", f"{name},qty\nx,1\n".encode()).columns) == [name, "qty"]


# 2. CSV


def test_values_of_csv_stay_text() -> None:
    row = raw("a.csv", "client_intent_id,qty,flag,when\n007,1e2,true,2026-03-02\n")[0]
    assert row == {"client_intent_id": "007", "qty": "1e2", "flag": "true", "when": "2026-03-02"}


@pytest.mark.parametrize("before", ["\n", "\r\n", "\n\n\n"])
def test_blank_lines_before_the_header_do_not_turn_accounts_into_numbers(before: str) -> None:
    rows = raw("a.csv", f"{before}broker_account_id,symbol\n007,true\n")
    assert rows == [{"broker_account_id": "007", "symbol": "true"}]


def test_a_header_over_several_lines_is_one_header() -> None:
    assert raw("a.csv", '"symbol","no\nte",qty\nSPY,x,5\n') == [{"symbol": "SPY", "no\nte": "x", "qty": "5"}]


def test_an_empty_cell_has_no_value() -> None:
    assert raw("a.csv", 'symbol,qty,note\nSPY,,""\n') == [{"symbol": "SPY"}]


def test_names_are_trimmed() -> None:
    assert raw("a.csv", "symbol , qty\nSPY,1\n") == [{"symbol": "SPY", "qty": "1"}]


def test_quotes_keep_commas_quotes_and_line_breaks() -> None:
    assert raw("a.csv", 'symbol,note\nSPY,"a, ""b""\nc"\n') == [{"symbol": "SPY", "note": 'a, "b"\nc'}]


def test_a_quote_within_a_value_is_a_character_like_others() -> None:
    rows = raw("a.csv", 'symbol,note\nSPY,5" pipe\nQQQ,x\n')
    assert rows == [{"symbol": "SPY", "note": '5" pipe'}, {"symbol": "QQQ", "note": "x"}]


@pytest.mark.parametrize(
    ("content", "taken", "ragged"),
    [
        ("qty,b\n1,2\n3,4", [2, 3], []),
        ("qty,b\n1,2\n3,4\n", [2, 3], []),
        ("qty,b\r\n1,2\r\n3,4\r\n", [2, 3], []),
        ("qty,b\r1,2\r3,4\r", [2, 3], []),
        ("qty,b\n1,2\r3,4\r\n5,6\n", [2, 3, 4], []),
        ("\n\nqty,b\n1,2\n", [4], []),
        ("qty,b\n\n1,2\n\n\n3,4\n\n", [3, 6], []),
        ("qty,b\r\n\r\n1,2\r\n\r\n3,4\r\n", [3, 5], []),
        ('qty,b\n1,"2"\n3,4\n', [2, 3], []),
        ('qty,b\n1,"2\n2\n2"\n3,4\n', [2, 5], []),
        ('qty,b\n1,"2\r\n2"\r\n3,4\n', [2, 4], []),
        ('qty,b\n\n1,"2\n2"\n\n3,4\n', [3, 6], []),
        ('"qty","b\nb"\n1,2\n', [3], []),
        ("qty,b\n1\n3,4\n5,6,7\n8,9\n", [3, 5], [2, 4]),
        ("qty,b\n\n1\n\n3,4\n", [5], [3]),
        ('qty,b\n1,"2\n2"\n3\n\n5,6\n', [2, 6], [4]),
        ('qty,b\n1,5"\n\n3,4\n', [2, 4], []),
        ("qty,b\n1,2\n \n3,4\n", [2, 4], [3]),
    ],
)
def test_the_number_of_a_row_is_the_line_on_which_it_begins(
    content: str, taken: list[int], ragged: list[int]
) -> None:
    assert numbers("a.csv", content) == (taken, ragged)


def test_lines_are_numbered_across_the_blocks_in_which_a_file_is_read() -> None:
    lines = [HEADER, *([ROW + "0" * 120] * 40_000)]
    lines[30_000] = "momentum,paper"
    lines[39_999] = ""
    taken, ragged = numbers("a.csv", "\n".join(lines))
    assert (len(taken), taken[-1], ragged) == (39_998, 40_001, [30_001])


def test_a_row_with_a_field_too_many_or_too_few_is_shown_with_both_numbers() -> None:
    table = read_raw("a.csv", f"{HEADER}\n{ROW},9\nmomentum,paper\n".encode())
    remedy = "Put quotes around text with commas, write numbers without, or leave the row out."
    assert [row.first.message for row in table.refused] == [
        f"a.csv:2: number of fields is 6; expected 5, as the header has. {remedy}",
        f"a.csv:3: number of fields is 2; expected 5, as the header has. {remedy}",
    ]
    assert [row.raw for row in table.refused] == [{"text": f"{ROW},9"}, {"text": "momentum,paper"}]


def test_a_very_long_value_is_read_like_any_other() -> None:
    note = "x" * 3_000_000
    assert raw("a.csv", f'symbol,note\nSPY,"{note}"\n')[0]["note"] == note


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("symbol,qty,symbol\nSPY,1,QQQ\n", "column symbol stands twice in the header"),
        ("symbol,qty, symbol\nSPY,1,QQQ\n", "column symbol stands twice in the header"),
        ("symbol,,qty\nSPY,1,2\n", "a column has no name in the header"),
        ("symbol,qty,\nSPY,1,\n", "a column has no name in the header"),
        ("symbol;side;qty\nSPY;buy;1,5\n", "columns separated by semicolons"),
        ("symbol\tside\tqty\nSPY\tbuy\t1\n", "columns separated by tabs"),
        ("symbol|side|qty\nSPY|buy|1\n", "columns separated by bars"),
        (f"{ROW}\n{ROW}\n", "the first line names no field of an intent, but 'momentum, paper, SPY, buy, 1'"),
        (f"{ROW}\n", "the first line names no field of an intent"),
    ],
)
def test_a_header_that_names_no_columns_makes_the_file_unreadable(content: str, expected: str) -> None:
    assert expected in complaint("a.csv", content)


@pytest.mark.parametrize(
    "content",
    [
        "symbol,qty\nSPY,1\n".encode("utf-16"),
        b"symbol,\xff\nSPY,1\n",
        b"symbol,qty\nSP\xe9,1\n",
        b"symbol,qty\nSPY,1\nSPY,\xff\xfe,3\n",
    ],
)
def test_csv_that_is_not_utf8_is_unreadable_as_a_whole(content: bytes) -> None:
    assert complaint("a.csv", content)


# 3. Parquet


def test_values_of_parquet_keep_their_types() -> None:
    columns = {
        "qty": pa.array([Decimal("1.50")], pa.decimal128(9, 2)),
        "broker_account_id": pa.array([7], pa.int16()),
        "metadata": pa.array([{"z": 1}]),
    }
    row = raw("a.parquet", orders_with(**columns))[0]
    assert (row["qty"], row["broker_account_id"], row["metadata"]) == (Decimal("1.50"), 7, {"z": 1})


def test_rows_of_parquet_are_numbered_from_1() -> None:
    assert numbers("a.parquet", written(".parquet", [order(), order(), order()])) == ([1, 2, 3], [])


def test_rows_of_many_row_groups_are_one_table() -> None:
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    with pq.ParquetWriter(sink, pa.schema([("symbol", pa.string()), ("qty", pa.int64())])) as writer:
        for symbol in ("SPY", "QQQ", "SPY"):
            writer.write_table(pa.table({"symbol": [symbol], "qty": [1]}))
    assert [row["symbol"] for row in raw("a.parquet", sink.getvalue())] == ["SPY", "QQQ", "SPY"]


def test_two_columns_of_one_name_make_parquet_unreadable() -> None:
    table = pa.table([pa.array([1]), pa.array([100])], names=["qty", "qty"])
    assert "column qty stands twice" in complaint("a.parquet", parquet(table))


@pytest.mark.parametrize("cut", [4, 100, -1, -8])
def test_parquet_that_is_not_whole_is_unreadable(cut: int) -> None:
    assert "not Parquet" in complaint("a.parquet", written(".parquet", [order()])[:cut])


def test_another_format_under_the_name_of_parquet_is_unreadable() -> None:
    assert "not Parquet" in complaint("a.parquet", written(".csv", [order()]))


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["x"], pa.large_string()),
        pa.array(["x"], pa.string_view()),
        pa.array([b"x"], pa.binary_view()),
        pa.DictionaryArray.from_arrays(pa.array([0], pa.uint8()), ["x"]),
        pa.DictionaryArray.from_arrays(pa.array([0], pa.int64()), pa.array(["x"], pa.large_string())),
        pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), [7]),
        pa.array([1], pa.timestamp("us", tz="Mars/Phobos")),
        pa.array([2**62], pa.timestamp("us", tz="UTC")),
        pa.array([2**62], pa.timestamp("us")),
        pa.array([2**31 - 1], pa.date32()),
        pa.array([2**62], pa.duration("s")),
        pa.array([1], pa.time64("ns")),
        pa.array([[1]], pa.list_(pa.int8())),
        pa.array([[("a", 1)]], pa.map_(pa.binary(), pa.int64())),
        pa.array([{"a": {"b": [1]}}]),
        pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]),
        pa.array([b"0123456789abcdef"], pa.uuid()),
        pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1], pa.int8())),
        pa.ExtensionArray.from_storage(pa.json_(pa.string()), pa.array(['{"a": 1}'])),
        pa.array([1.5], pa.float16()),
        pa.nulls(1),
    ],
    ids=lambda array: str(array.type),
)
def test_a_column_of_any_type_can_be_taken_and_shown(array: pa.Array) -> None:
    row = raw("a.parquet", orders_with(note=array))[0]
    assert row["symbol"] == "SPY"
    assert ("note" in row) is (array.null_count == 0)
