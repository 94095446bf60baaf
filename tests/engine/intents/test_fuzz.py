"""Whatever is dropped: nothing is raised, every row is accounted for, and what is taken passes the gate."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine import RiskConfig, RiskInputs, evaluate
from engine.intents.problems import WHOLE_FILE
from engine.intents.reading import IntentFile
from engine.model.schema import INTENT_FIELDS
from engine.record.formats import json_line
from tests.engine.intents.files import ENDINGS, HALF_PAST_TWO, SESSION, order, parquet, read, written

ALL_ENDINGS = (*ENDINGS, *(f"{ending}.gz" for ending in ENDINGS))
NOTHING_KNOWN = RiskInputs(
    as_of=None, trading_date=SESSION, positions=None, daily_trades=None, working_orders=None
)
FIELDS = [field.name for field in INTENT_FIELDS]
NAMES = st.sampled_from([*FIELDS, "signal", "z", "", " qty ", "\u00e9"])
VALID = [
    order(client_intent_id="mine-1", metadata={"z": 1.5, "why": ["x"]}, created_at=HALF_PAST_TWO),
    order(order_type="limit", limit_price=10.25, signal='a,b"c\nd'),
    order(qty=None, notional=100, extended_hours=True),
    order(symbol=None, side=None, qty=None, action="cancel", target_intent_id="x-1"),
]
WORDS = [
    "buy",
    "SELL",
    "market",
    "limit",
    "1",
    "0",
    "-1",
    "1.5",
    "1e9",
    "nan",
    "inf",
    "true",
    "x",
    "é",
    "null",
    " ",
]
WORDS += [
    "1e-400",
    "1e999",
    "{}",
    '{"a": 1}',
    "[1]",
    "\x00",
    "\x00true",
    "\ufeff",
    "\u2028",
    HALF_PAST_TWO,
    "x" * 130,
]

fuzzed = settings(deadline=None, max_examples=80)


def check(file: IntentFile) -> None:
    """See that the file's rows are accounted for (``read`` has counted them) and told fit for an operator."""
    for refused in file.refused:
        for problem in refused.problems:
            assert problem.file == file.name
            assert problem.row >= 1 or (problem.row == WHOLE_FILE and file.unreadable)
            assert problem.rule
            assert problem.remedy.endswith(".")
            assert problem.message.startswith(f"{file.name}:")
        assert json.loads(json_line(refused.record()))["message"]
    rows = [*file.table["source_row"].to_pylist(), *(refused.first.row for refused in file.refused)]
    assert len(set(rows)) == len(rows), "each row is told once"
    decisions = evaluate(file.table.to_pandas(), NOTHING_KNOWN, RiskConfig())
    assert set(decisions["check_invalid_intent"]) <= {"pass"}
    for text in file.table["metadata"].to_pylist():
        assert isinstance(json.loads(text), dict)


# 1. Any bytes


MARKS = b'" , \n \r \r\n { } [ ] : \\ \x00 \xff \xef\xbb\xbf "qty" "qty": qty symbol buy 1 NaN null true PAR1'
PIECES = st.sampled_from([*MARKS.split(b" "), b" ", b"\\ud800"])


@given(st.binary(max_size=200), st.sampled_from(ALL_ENDINGS))
@fuzzed
def test_any_bytes_are_rows_or_one_unreadable_file(content: bytes, ending: str) -> None:
    check(read(f"a{ending}", content))


@given(
    st.lists(PIECES, max_size=40).map(b"".join), st.sampled_from([".csv", ".json", ".jsonl"]), st.booleans()
)
@example(b"qty\n\r1\r", ".csv", False)
@settings(deadline=None, max_examples=200)
def test_any_pieces_of_a_format_are_rows_or_one_unreadable_file(
    content: bytes, ending: str, packed: bool
) -> None:
    check(read(f"a{ending}.gz", gzip.compress(content)) if packed else read(f"a{ending}", content))


# 2. Valid files, damaged


def valid(ending: str) -> bytes:
    if ending.startswith(".parquet"):
        rows = [{**row, "metadata": json.dumps(row.get("metadata"))} for row in VALID]
        return written(ending, rows)
    return written(ending, VALID)


@st.composite
def damaged(draw: st.DrawFn, ending: str) -> bytes:
    content = valid(ending.removesuffix(".gz"))
    if packed := ending.endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        stop = draw(st.integers(start, min(len(content), start + 40)))
        piece = draw(st.binary(max_size=8) | PIECES | st.just(content[start:stop] * 2))
        content = content[:start] + piece + content[stop:]
    if packed and draw(st.booleans()):
        return gzip.compress(content)
    return content


@pytest.mark.parametrize("ending", ENDINGS)
@given(data=st.data())
@fuzzed
def test_a_damaged_file_is_rows_or_unreadable(ending: str, data: st.DataObject) -> None:
    packed = data.draw(st.sampled_from(["", "", ".gz"]))
    check(read(f"a{ending}{packed}", data.draw(damaged(ending + packed))))


@pytest.mark.parametrize("ending", ALL_ENDINGS)
def test_the_files_that_are_damaged_here_were_good_ones(ending: str) -> None:
    file = read(f"a{ending}", valid(ending))
    check(file)
    assert (file.table.num_rows, file.refused) == (len(VALID), [])


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".parquet", ".csv.gz"])
def test_a_file_cut_at_any_byte_never_gives_more_rows_than_the_whole(ending: str) -> None:
    content = valid(ending)
    for size in range(0, len(content), max(1, len(content) // 60)):
        file = read(f"a{ending}", content[:size])
        check(file)
        assert file.table.num_rows <= len(VALID)


# 3. Odd values in well-formed files


@given(
    st.lists(NAMES, min_size=1, max_size=8),
    st.lists(st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=9), max_size=5),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
@fuzzed
def test_any_cells_of_csv_are_rows_or_refused(
    names: list[str], rows: list[list[str]], newline: str, bulky: bool
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=newline, quoting=csv.QUOTE_ALL if bulky else csv.QUOTE_MINIMAL)
    writer.writerows([names, *rows])
    content = text.getvalue().encode("utf-8", "replace")
    file = read("a.csv", content)
    check(file)
    if not file.unreadable:
        parsed = [record for record in csv.reader(io.StringIO(content.decode(), newline="")) if record]
        assert file.rows == max(0, len(parsed) - 1)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
JSON_ROWS = st.lists(
    st.dictionaries(NAMES, JSON_VALUES, max_size=6).map(lambda said: {**order(), **said}), max_size=5
)


@given(JSON_ROWS, st.sampled_from([".json", ".jsonl"]), st.booleans())
@fuzzed
def test_any_values_of_json_are_rows_or_refused(
    rows: list[dict[str, Any]], ending: str, ascii_only: bool
) -> None:
    texts = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
    text = "[" + ",".join(texts) + "]" if ending == ".json" else "\n".join(texts)
    file = read(f"a{ending}", text.encode("utf-8", "replace"))
    check(file)
    assert file.rows == len(rows)


ARRAYS = [
    pa.array([1, None], type=kind)
    for kind in (pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.date32(), pa.date64(), pa.time32("s"))
]
ARRAYS += [
    pa.array([count, None], pa.timestamp(u, tz=z))
    for u in ("ms", "us", "ns")
    for z in (None, "UTC", "Mars/X")
    for count in (1, 2**62)
]
ARRAYS += [pa.array([count, None], pa.duration(unit)) for unit in ("s", "ns") for count in (1, 2**62)]
ARRAYS += [
    pa.array(values)
    for values in ([1.5, math.nan], [math.inf, -0.0], [True, None], [b"x", b"\xff"], [[1], []])
]
ARRAYS += [
    pa.array(values)
    for values in ([{"a": 1}, None], [{"a": [b"\xff"]}, {}], [Decimal("1.5"), None], ["", "x"])
]
ARRAYS += [
    pa.array(["spy ", None], kind)
    for kind in (pa.large_string(), pa.string_view(), pa.binary(), pa.binary_view())
]
ARRAYS += [pa.array(["x", None]).dictionary_encode(), pa.array([7, 8]).dictionary_encode(), pa.nulls(2)]
ARRAYS += [
    pa.DictionaryArray.from_arrays(pa.array([0, None], pa.uint8()), pa.array(["buy"], pa.large_string()))
]
ARRAYS += [
    pa.array([[(1, "a")], []], pa.map_(pa.int64(), pa.string())),
    pa.array([b"0" * 16, None], pa.uuid()),
]
ARRAYS += [
    pa.array([["a"], None], pa.list_(pa.string(), 1)),
    pa.array([["a"], None], pa.large_list(pa.string())),
]
ARRAYS += [pa.StructArray.from_arrays([pa.array([1, 2]), pa.array([3, 4])], names=["a", "a"])]


@given(st.dictionaries(st.sampled_from([*FIELDS, "note"]), st.sampled_from(ARRAYS), max_size=3))
@fuzzed
def test_any_types_of_parquet_are_rows_or_refused(columns: dict[str, pa.Array]) -> None:
    plain = {name: pa.array([value] * 2) for name, value in order().items()}
    file = read("a.parquet", parquet(pa.table({**plain, **columns})))
    check(file)
    assert file.rows == 2


@pytest.mark.parametrize("field", [*FIELDS, "note"])
def test_every_field_copes_with_every_type_of_parquet(field: str) -> None:
    plain = {name: pa.array([value] * 2) for name, value in order().items()}
    for array in ARRAYS:
        assert read("a.parquet", parquet(pa.table({**plain, field: array}))).rows == 2, array.type
