from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import RecordError
from engine.record.formats import (
    content_hash,
    file_hash,
    json_bytes,
    json_line,
    read_json,
    read_table,
    table_bytes,
)

TIMESTAMP = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
Columns = dict[str, list[Any]]

TYPES = {
    "text": pa.string(),
    "number": pa.float64(),
    "count": pa.int64(),
    "flag": pa.bool_(),
    "moment": pa.timestamp("us", tz="UTC"),
    "nothing": pa.null(),
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.sampled_from(["", "SPY", "a", "aa"]),
    "number": st.floats(allow_nan=False) | st.just(np.nan),
    "count": st.integers(-(2**63), 2**63 - 1),
    "flag": st.booleans(),
    "moment": st.datetimes(timezones=st.just(UTC)),
    "nothing": st.none(),
}


@st.composite
def columns(draw: st.DrawFn, *, at_least: int = 0) -> Columns:
    kinds = draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=4, unique=True))
    rows = draw(st.integers(at_least, 6))
    return {kind: draw(st.lists(st.none() | VALUES[kind], min_size=rows, max_size=rows)) for kind in kinds}


def table_of(values: Columns) -> pa.Table:
    return pa.table({kind: pa.array(column, TYPES[kind]) for kind, column in values.items()})


def through_parquet(table: pa.Table, **options: Any) -> pa.Table:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return pq.read_table(pa.BufferReader(sink.getvalue()))


def each_text(table: pa.Table, change: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> pa.Table:
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            table = table.set_column(place, field.name, change(table.column(place)))
    return table


def in_the_middle_of_more(table: pa.Table) -> pa.Table:
    """Return the same rows as a slice out of a longer table, so that its buffers begin elsewhere."""
    longer = pa.concat_tables([table.slice(0, 1), table, table.slice(0, 1)]).combine_chunks()
    return longer.slice(min(1, table.num_rows), table.num_rows)


def coded_one_by_one(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Code each value with a dictionary of its own."""
    values = column.combine_chunks()
    chunks = [values.slice(i, 1).dictionary_encode() for i in range(len(values))]
    return pa.chunked_array(chunks, pa.dictionary(pa.int32(), pa.string()))


SAME: dict[str, Callable[[pa.Table], pa.Table]] = {
    "written with one row per row group": lambda t: through_parquet(t, row_group_size=1),
    "not compressed": lambda t: through_parquet(t, compression="none"),
    "compressed": lambda t: through_parquet(t, compression="zstd"),
    "without dictionary pages": lambda t: through_parquet(t, use_dictionary=False),
    "as the engine writes it": lambda t: read_table("a", table_bytes(t).to_pybytes()),
    "through an IPC stream": lambda t: pa.ipc.open_stream(_ipc(t)).read_all(),
    "in chunks": lambda t: pa.concat_tables([t.slice(0, 2), t.slice(2, 1), t.slice(3)]),
    "out of the middle of a longer table": in_the_middle_of_more,
    "text coded": lambda t: each_text(t, lambda column: column.dictionary_encode()),
    "text coded, chunk by chunk": lambda t: each_text(t, coded_one_by_one),
    "text coded with short codes": lambda t: each_text(
        t, lambda column: column.cast(pa.dictionary(pa.int8(), pa.string()))
    ),
    "text with long offsets": lambda t: each_text(t, lambda column: column.cast(pa.large_string())),
    "with metadata": lambda t: t.replace_schema_metadata({"pandas": "{}"}),
}  # fmt: skip


def _ipc(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize("form", SAME)
@given(values=columns())
@settings(deadline=None, max_examples=40)
def test_the_hash_is_of_the_values_whatever_form_they_have(form: str, values: Columns) -> None:
    table = table_of(values)
    assert content_hash(SAME[form](table)) == content_hash(table)


def same(one: Any, other: Any) -> bool:
    """Return whether two values are one: NaN is itself, -0.0 isn't 0.0, null is no value."""
    return type(one) is type(other) and repr(one) == repr(other)


@given(values=columns(at_least=1), data=st.data())
@settings(deadline=None, max_examples=200)
def test_any_other_value_gives_another_hash(values: Columns, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(values)))
    row = data.draw(st.integers(0, len(values[kind]) - 1))
    other = data.draw(st.none() | VALUES[kind])
    changed = {**values, kind: [*values[kind][:row], other, *values[kind][row + 1 :]]}
    alike = same(values[kind][row], other)
    assert (content_hash(table_of(changed)) == content_hash(table_of(values))) == alike


@given(values=columns(at_least=2), data=st.data())
@settings(deadline=None, max_examples=100)
def test_rows_in_another_order_give_another_hash(values: Columns, data: st.DataObject) -> None:
    rows = len(next(iter(values.values())))
    order = data.draw(st.permutations(range(rows)))
    moved = {kind: [column[place] for place in order] for kind, column in values.items()}
    alike = all(
        same(one, other) for kind in values for one, other in zip(values[kind], moved[kind], strict=True)
    )
    assert (content_hash(table_of(moved)) == content_hash(table_of(values))) == alike


def one_column(values: list[Any], kind: pa.DataType, name: str = "a") -> pa.Table:
    return pa.table({name: pa.array(values, kind)})


TEXT, INT, FLOAT, FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
UTC_US, UTC_MS, NO_ZONE = pa.timestamp("us", tz="UTC"), pa.timestamp("ms", tz="UTC"), pa.timestamp("us")
DIFFERENT = {
    "null and empty text": (one_column([None], TEXT), one_column([""], TEXT)),
    "null and 0": (one_column([None], FLOAT), one_column([0.0], FLOAT)),
    "null and NaN": (one_column([None], FLOAT), one_column([np.nan], FLOAT)),
    "null and false": (one_column([None], FLAG), one_column([False], FLAG)),
    "1 and 1.0": (one_column([1], INT), one_column([1], FLOAT)),
    "int64 and int32": (one_column([1], INT), one_column([1], pa.int32())),
    "text and number": (one_column(["1"], TEXT), one_column([1], INT)),
    "units of time": (one_column([TIMESTAMP], UTC_US), one_column([TIMESTAMP], UTC_MS)),
    "with and without a zone": (one_column([TIMESTAMP], UTC_US), one_column([TIMESTAMP], NO_ZONE)),
    "where text ends": (one_column(["ab", "c"], TEXT), one_column(["a", "bc"], TEXT)),
    "no row and an empty row": (one_column([], TEXT), one_column([None], TEXT)),
    "names of columns": (one_column([1], INT), one_column([1], INT, "b")),
    "order of columns": (pa.table({"a": [1], "b": [2]}), pa.table({"b": [2], "a": [1]})),
    "a column more": (pa.table({"a": [1], "b": [2]}), pa.table({"a": [1]})),
    "types of empty columns": (one_column([], TEXT), one_column([], INT)),
}


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_what_differs_has_another_hash(one: pa.Table, other: pa.Table) -> None:
    assert content_hash(one) != content_hash(other)


def test_what_lies_below_a_null_does_not_count() -> None:
    second_is_null = pa.py_buffer(bytes([0b101]))
    hidden = pa.Array.from_buffers(
        pa.int64(), 3, [second_is_null, pa.py_buffer(np.array([1, 99, 3], dtype=np.int64))]
    )
    assert content_hash(pa.table({"a": hidden})) == content_hash(one_column([1, None, 3], pa.int64()))


def test_text_that_lies_below_a_null_does_not_count() -> None:
    second_is_null = pa.py_buffer(bytes([0b101]))
    offsets = pa.py_buffer(np.array([0, 1, 4, 5], dtype=np.int32))
    hidden = pa.Array.from_buffers(pa.string(), 3, [second_is_null, offsets, pa.py_buffer(b"axxxc")])
    assert content_hash(pa.table({"a": hidden})) == content_hash(one_column(["a", None, "c"], pa.string()))


def test_the_hash_of_a_table_file_is_of_its_values() -> None:
    table = one_column(["SPY", "QQQ"], pa.string())
    plain = pa.BufferOutputStream()
    pq.write_table(table, plain, compression="none")
    assert file_hash("a.parquet", plain.getvalue().to_pybytes()) == content_hash(table)
    assert plain.getvalue().to_pybytes() != table_bytes(table).to_pybytes()


def test_the_hash_of_any_other_file_is_of_its_bytes() -> None:
    assert file_hash("a.json", b"{}") != file_hash("a.json", b"{ }")


def test_the_hash_of_a_value_does_not_change_between_versions() -> None:
    table = pa.table({"symbol": ["SPY", None], "qty": [1.5, None], "allowed": [True, None]})
    assert content_hash(table) == "65e29bb64cd341a0308fa4dfe084131a591afc6752f86cb86d86f9e6b1665397"


# --- JSON


@pytest.mark.parametrize(
    "value", [{"a": 10**30}, {"a": "\ud800"}, {"a": Decimal("1.50")}, {"a": {"b": [None, 1.5]}}]
)
def test_whatever_a_strategy_wrote_can_be_kept_as_json(value: dict[str, Any]) -> None:
    kept = {"a": "1.50"} if isinstance(value["a"], Decimal) else value
    assert read_json("a.json", json_bytes(value)) == kept
    assert json_line(value).endswith(b"\n")
    assert json.loads(json_line(value)) == kept


def test_a_line_of_json_holds_no_line_break() -> None:
    assert json_line({"text": "two\nlines"}).count(b"\n") == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff"])
def test_damaged_json_is_named(content: bytes) -> None:
    with pytest.raises(RecordError, match=r"runs/x/inputs\.json is damaged"):
        read_json("runs/x/inputs.json", content)


def test_a_damaged_table_is_named() -> None:
    whole = table_bytes(one_column(["SPY"] * 100, pa.string())).to_pybytes()
    with pytest.raises(RecordError, match=r"runs/x/positions\.parquet is damaged"):
        read_table("runs/x/positions.parquet", whole[: len(whole) // 2])


def test_places_in_a_file_take_little_room_and_come_back_as_they_were() -> None:
    rows = pa.table(
        {"source_row": pa.array(np.arange(100_000)), "content_hash": pa.array(np.arange(100_000))}
    )
    content = table_bytes(rows)
    assert read_table("intents.parquet", content).equals(rows)
    assert len(content) < 100_000 * 8 + 20_000
