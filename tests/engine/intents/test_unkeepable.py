"""Metadata and unknown columns that the ledger can't keep: refused at intake, in every format."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.intents.long_integers import may_have_long_integers
from tests.engine.hostile import KEEPABLE, UNKEEPABLE
from tests.engine.intents.files import HEADER, messages, order, orders_with, parquet, read, read_rows, values

WITH_METADATA = (".json", ".jsonl", ".csv", ".parquet", ".jsonl.gz")
TEXTS = {"half surrogate", "half surrogate as a key"}
"""What neither a column's name nor a text in Parquet can hold."""


def whole(ending: str, metadata: dict[str, Any]) -> Any:
    """Return metadata as its column has it: an object in JSON, its text elsewhere."""
    return metadata if "json" in ending else json.dumps(metadata)


@pytest.mark.parametrize("ending", WITH_METADATA)
@pytest.mark.parametrize("metadata", UNKEEPABLE.values(), ids=UNKEEPABLE)
def test_a_row_whose_metadata_can_not_be_kept_is_refused_and_the_one_beside_it_taken(
    metadata: dict[str, Any], ending: str
) -> None:
    file = read_rows(ending, order(metadata=whole(ending, metadata)), order(symbol="QQQ"))
    (refused,) = file.refused
    assert refused.first.row == 1 + ending.endswith(".csv")
    assert refused.first.field.lstrip("'").startswith("metadata")
    assert ("; expected " in refused.first.message) == (refused.first.value is not None)
    assert values(file, "symbol") == ["QQQ"]
    json.dumps(refused.record(), default=str)


@pytest.mark.parametrize("ending", [".json", ".jsonl"])
@pytest.mark.parametrize("metadata", UNKEEPABLE.values(), ids=UNKEEPABLE)
def test_a_row_with_a_column_that_can_not_be_kept_is_refused_and_the_one_beside_it_taken(
    metadata: dict[str, Any], ending: str
) -> None:
    file = read_rows(ending, {**order(), **metadata}, order(symbol="QQQ"))
    assert len(file.refused) == 1
    assert values(file, "symbol") == ["QQQ"]


@pytest.mark.parametrize("name", ["__run__", "k" * 1_600, "x" + "y" * 1_000])
@pytest.mark.parametrize("ending", [".json", ".jsonl", ".csv", ".parquet"])
def test_a_column_whose_name_is_no_key_is_refused_in_each_row_that_has_a_value(
    name: str, ending: str
) -> None:
    file = read_rows(ending, order(**{name: "a"}), order(symbol="QQQ"))
    (message,) = messages(file)
    assert "; expected a key that is text, not empty nor __of this form__, at most 1000 bytes" in message
    assert message.endswith("or leave it out.")
    assert values(file, "symbol") == ["QQQ"]


@pytest.mark.parametrize(
    ("array", "field", "value"),
    [
        (pa.array([2**64 - 1, None], pa.uint64()), "hash", "18446744073709551615"),
        (pa.array([math.inf, None]), "hash", "inf"),
        (pa.array([[2**63], None], pa.list_(pa.uint64())), "hash", "9223372036854775808"),
        (pa.array([{"__v__": 1}, None]), "hash.'__v__'", "1"),
        (pa.array(["a\0b", None]), "hash", r"'a\x00b'"),
        (pa.array([["x" * 70_000], None]), "metadata", "70038 bytes"),
    ],
    ids=lambda given: str(getattr(given, "type", "")),
)
def test_a_parquet_column_of_any_type_is_held_to_the_same_rule(
    array: pa.Array, field: str, value: str
) -> None:
    file = read("a.parquet", orders_with(hash=array))
    (refused,) = file.refused
    assert (refused.first.field, str(refused.first.value)) == (field, value)
    assert file.table.num_rows == 1


@pytest.mark.parametrize(
    "kind", [pa.uint64(), pa.int64(), pa.float64(), pa.string(), pa.binary(), pa.bool_()]
)
def test_columns_of_plain_values_are_taken(kind: pa.DataType) -> None:
    array = pa.array([1, None], pa.int64()).cast(pa.string() if kind == pa.binary() else kind).cast(kind)
    assert not read("a.parquet", orders_with(hash=array)).refused


def test_a_missing_number_of_pandas_is_no_fault() -> None:
    assert not read("a.parquet", orders_with(z=pa.array([math.nan, 1.5]))).refused
    assert not read("a.jsonl", f'{json.dumps(order())[:-1]}, "z": NaN}}').refused


def test_many_columns_that_are_too_much_together_are_refused_by_row() -> None:
    notes = {f"note_{n}": pa.array(["x" * 1_000, "x"]) for n in range(70)}
    file = read("a.parquet", orders_with(**notes))
    assert [(one.first.row, one.first.field) for one in file.refused] == [(1, "metadata")]
    assert file.table.num_rows == 1


@pytest.mark.parametrize("ending", WITH_METADATA)
@pytest.mark.parametrize("metadata", KEEPABLE.values(), ids=KEEPABLE)
def test_what_can_be_kept_is_taken_as_it_was_given(metadata: dict[str, Any], ending: str) -> None:
    file = read_rows(ending, order(metadata=whole(ending, metadata)))
    assert messages(file) == []
    assert [json.loads(text) for text in values(file, "metadata")] == [metadata]


def test_the_problem_says_place_value_rule_and_remedy() -> None:
    (message,) = messages(read_rows(".jsonl", order(signal_hash=2**64 - 1)))
    assert message == (
        "intents.jsonl:1: signal_hash is 18446744073709551615; expected a whole number of 64 bits, or text. "
        "Write it as text, or leave it out."
    )


def test_a_header_without_a_name_is_refused_where_it_has_a_value() -> None:
    file = read("a.csv", f"{HEADER},\nmomentum,paper,SPY,buy,1,x\nmomentum,paper,QQQ,buy,1,\n")
    assert len(file.refused) == 1


def test_a_table_of_a_filtered_frame_is_read_or_refused_row_by_row_and_never_in_part() -> None:
    columns = {name: pa.array([value]) for name, value in order().items()}
    file = read("a.parquet", parquet(pa.table({**columns, "__index_level_0__": pa.array([7])})))
    assert file.rows == 1


@pytest.mark.parametrize("number", [2**64, 2**64 + 1, 2**70, -(2**63) - 1, -(10**30), 10**500])
@pytest.mark.parametrize("ending", [".json", ".jsonl"])
@pytest.mark.parametrize("rows_beside", [1, 20_000])
def test_an_integer_of_more_than_64_bits_is_never_rounded(number: int, ending: str, rows_beside: int) -> None:
    beside = [order(client_intent_id=f"i{n}", symbol="QQQ") for n in range(rows_beside)]
    for said in ({"hash": number}, {"hash": [1, {"a": number}]}, {"metadata": {"hash": number}}):
        rows = [*beside[: rows_beside // 2], order(**said), *beside[rows_beside // 2 :]]
        texts = list(map(json.dumps, rows))
        content = "\n".join(texts) if ending == ".jsonl" else f"[{','.join(texts)}]"
        file = read(f"a{ending}", content)
        assert [one.first.row for one in file.refused] == [rows_beside // 2 + 1]
        assert file.table.num_rows == rows_beside


@given(
    st.text('0123456789-aZ.,:"{', max_size=3_000),
    st.integers(15, 25),
    st.integers(0, 3_000),
    st.booleans(),
    st.booleans(),
)
def test_a_run_of_twenty_digits_is_found_wherever_it_stands(
    around: str, digits: int, place: int, below_0: bool, long: bool
) -> None:
    text = around[:place] + "-" * below_0 + "7" * digits + around[place:]
    content = (("x" * 2_500 if long else "") + text).encode()
    assert may_have_long_integers(content) == (re.search(rb"[0-9]{20}|-[0-9]{19}", content) is not None)
