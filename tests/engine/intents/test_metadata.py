"""Unknown columns and metadata: kept as they were given, and counted by what they say."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from engine.intents.metadata import _said
from tests.engine.intents.files import (
    ENDINGS,
    HEADER,
    ids,
    messages,
    order,
    orders_with,
    read,
    read_rows,
    values,
)


def kept(content: bytes | str, name: str = "a.jsonl") -> list[Any]:
    """Return the metadata of the rows that were taken."""
    return [json.loads(text) for text in values(read(name, content), "metadata")]


def hash_of(**said: Any) -> int:
    (content_hash,) = values(read_rows(".jsonl", order(**said)), "content_hash")
    return int(content_hash)


# 1. What is kept


def test_without_metadata_there_is_an_empty_object() -> None:
    assert kept(json.dumps(order())) == [{}]


def test_unknown_columns_are_kept_beside_each_other() -> None:
    assert kept(json.dumps(order(z=2, signal="breakout"))) == [{"signal": "breakout", "z": 2}]


def test_unknown_columns_and_metadata_are_kept_together() -> None:
    assert kept(json.dumps(order(signal="x", metadata={"z": 2}))) == [{"signal": "x", "z": 2}]


@pytest.mark.parametrize(
    "value", [{"a": [1, {"b": None}]}, [1, "x", None], True, 0, 1.5, "", "text", " padded "]
)
def test_values_of_unknown_columns_are_kept_as_they_were_given(value: Any) -> None:
    assert kept(json.dumps(order(note=value))) == [{"note": value}]
    assert kept(json.dumps(order(metadata={"note": value}))) == [{"note": value}]


def test_values_are_kept_as_they_were_given_whatever_the_other_rows_say() -> None:
    notes = [1, 2.5, "x", True, {"a": 1}, [2], "\u00e9"]
    content = "\n".join(json.dumps(order(note=note)) for note in notes)
    assert kept(content) == [{"note": note} for note in notes]


def test_a_row_that_says_nothing_under_an_unknown_name_has_no_such_key() -> None:
    assert kept("\n".join(json.dumps(row) for row in (order(note=1), order()))) == [{"note": 1}, {}]
    assert kept(f"{HEADER},note\nmomentum,paper,SPY,buy,1,\n", "a.csv") == [{}]


def test_nan_is_kept_as_null_since_metadata_is_json() -> None:
    assert kept(f'{json.dumps(order())[:-1]}, "z": NaN}}') == [{"z": None}]


def test_keys_are_sorted() -> None:
    (text,) = values(read_rows(".jsonl", order(metadata={"b": 1, "a": 2}, aa=3)), "metadata")
    assert text == '{"a":2,"aa":3,"b":1}'


def test_metadata_in_csv_is_json_text() -> None:
    content = f'{HEADER},metadata\nmomentum,paper,SPY,buy,1,"{{""z"": 2, ""why"": ""x""}}"\n'
    assert kept(content, "a.csv") == [{"z": 2, "why": "x"}]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([{"z": 1, "b": None}, None]), [{"z": 1, "b": None}, {}]),
        (pa.array([[("z", 1)], []], pa.map_(pa.string(), pa.int64())), [{"z": 1}, {}]),
        (pa.array([[(1, 1)], None], pa.map_(pa.int64(), pa.int64())), [{"1": 1}, {}]),
        (pa.array(['{"z": 1}', " "]), [{"z": 1}, {}]),
        (pa.array(['{"z": 1}', None]).dictionary_encode(), [{"z": 1}, {}]),
        (pa.nulls(2), [{}, {}]),
    ],
    ids=lambda given: str(getattr(given, "type", "")),
)
def test_metadata_in_parquet_may_be_a_struct_a_map_or_text(array: pa.Array, expected: list[Any]) -> None:
    assert kept(orders_with(metadata=array), "a.parquet") == expected


def test_values_that_json_does_not_know_are_kept_as_text() -> None:
    columns = {
        "fee": pa.array([Decimal("1.50")]),
        "raw": pa.array([b"\xff"]),
        "when": pa.array([0], pa.timestamp("us", tz="UTC")),
    }
    assert kept(orders_with(**columns), "a.parquet") == [
        {"fee": "1.50", "raw": "b'\\xff'", "when": "1970-01-01T00:00:00+00:00"}
    ]


# 2. What is refused


@pytest.mark.parametrize("value", [5, "text", True, [], [1], '{"z": 1', '{"z": 1, "z": 2}', "5", "[]"])
def test_metadata_that_is_no_object_is_refused(value: Any) -> None:
    (message,) = messages(read_rows(".jsonl", order(metadata=value)))
    assert message.startswith("intents.jsonl:1: metadata is ")
    assert message.endswith(
        '; expected a JSON object. Write it as {"key": "value"}, each key once, or leave it out.'
    )


def test_a_map_in_which_a_key_stands_twice_is_refused() -> None:
    twice = pa.array([[("z", 1), ("z", 2)]], pa.map_(pa.string(), pa.int64()))
    assert len(read("a.parquet", orders_with(metadata=twice)).refused) == 1


def test_a_key_that_is_also_a_column_is_refused_since_one_would_be_lost() -> None:
    file = read_rows(
        ".jsonl", order(z=1, metadata={"z": 2}), order(z=1, metadata={"y": 2}), order(metadata={"z": 3})
    )
    assert [json.loads(text) for text in values(file, "metadata")] == [{"y": 2, "z": 1}, {"z": 3}]
    assert "expected no key that is also a column. Rename one of the two" in messages(file)[0]


# 3. What it says, for identity


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, "1"),
        (2.5, "2.50"),
        (1e21, "1e21"),
        (True, "True"),
        (False, "false"),
        ("x", " x "),
        ({"a": 1, "b": None}, {"a": 1.0}),
        ([1, {"a": True}], ["1", {"a": "true"}]),
    ],
)
def test_values_that_say_the_same_count_as_the_same(one: Any, other: Any) -> None:
    assert hash_of(note=one) == hash_of(note=other) == hash_of(metadata={"note": one})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, -1),
        (1, True),
        (1, "01"),
        ("a", "b"),
        ("a", "A"),
        (9007199254740993, 9007199254740992),
        ("9007199254740993", "9007199254740992"),
        (0.1, 0.1 + 1e-17 + 1e-16),
        ([1, 2], [2, 1]),
        ([1], 1),
        ({"a": 1}, {"b": 1}),
        ("x", None),
        (False, None),
    ],
)
def test_values_that_say_something_else_count_as_something_else(one: Any, other: Any) -> None:
    assert hash_of(note=one) != hash_of(note=other)


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_what_says_nothing_does_not_count(nothing: Any) -> None:
    rows = [order(note="x"), {**order(), "note": nothing}, order()]
    hashes = values(read_rows(".jsonl", *rows), "content_hash")
    assert hashes[1] == hashes[2] != hashes[0]


def test_the_name_of_a_column_counts() -> None:
    assert hash_of(a="x", b="y") != hash_of(a="y", b="x")
    assert hash_of(a="x") != hash_of(b="x")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_row_with_metadata_has_the_same_id_in_every_format(ending: str) -> None:
    row = order(signal="breakout", z=2.5, metadata={"why": ["a", "1"], "deep": {"x": 1.0}})
    assert ids(read_rows(ending, row)) == ids(read_rows(".jsonl", row))


def test_a_row_keeps_its_id_when_its_column_of_integers_becomes_one_of_floats() -> None:
    first = order(z=2, rank=1)
    for ending in ENDINGS:
        alone, grown = read_rows(ending, first), read_rows(ending, first, order(z=-2.4))
        assert ids(alone)[0] == ids(grown)[0]
    rewritten = f"{HEADER},z,rank\nmomentum,paper,SPY,buy,1,2.0,1.0\nmomentum,paper,SPY,buy,1,-2.4,\n"
    assert ids(read("a.csv", rewritten)) == ids(read_rows(".csv", first, order(z=-2.4)))


def test_a_row_keeps_its_id_when_the_struct_it_stands_in_gets_another_member() -> None:
    alone = read("a.parquet", orders_with(metadata=pa.array([{"z": 1}])))
    grown = read("a.parquet", orders_with(metadata=pa.array([{"z": 1}, {"z": 2, "why": "x"}])))
    assert ids(alone)[0] == ids(grown)[0]


def nested(levels: int, innermost: object = 1) -> object:
    for _ in range(levels):
        innermost = {"a": innermost}
    return innermost


@pytest.mark.parametrize("levels", [5, 19, 90])
def test_deeply_nested_metadata_costs_what_it_is_long(levels: int) -> None:
    assert len(_said(nested(levels)) or "") < 1_000
    assert _said(nested(levels)) == _said(nested(levels, 1.0)) != _said(nested(levels, 2))


def test_what_flat_metadata_says_is_written_out() -> None:
    assert _said(nested(2)) == json.dumps({"a": json.dumps({"a": "1"})})
