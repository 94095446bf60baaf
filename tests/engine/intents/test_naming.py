"""Columns of files by their names: fields in any spelling, order terms refused, indexes left out."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from tests.engine.intents.files import (
    ENDINGS,
    HEADER,
    Row,
    ids,
    messages,
    order,
    orders_with,
    parquet,
    places,
    read,
    read_rows,
    values,
)

LIMIT = order(order_type="limit", limit_price=40, valid_until="2026-03-02T21:00:00Z")
REFUSED = "expected every order term under the name of its field."
ONCE = "limit_price and Limit_Price and limitPrice are one field: write it once."
RENAME = "Rename it, or keep it in a metadata object if it is for information only."


def spelt(row: Row, **names: str) -> Row:
    return {names.get(name, name): value for name, value in row.items()}


# 1. A field in another spelling is the field


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "names",
    [
        {"order_type": "Order_Type", "limit_price": "Limit_Price", "valid_until": "Valid_Until"},
        {"order_type": "orderType", "limit_price": "limitPrice", "strategy_id": "strategyId"},
        {"order_type": "ORDER TYPE", "limit_price": "LIMIT-PRICE", "symbol": "Symbol", "qty": "QTY"},
    ],
)
def test_a_file_with_its_columns_in_another_spelling_says_the_same(
    ending: str, names: dict[str, str]
) -> None:
    file = read_rows(ending, spelt(LIMIT, **names))
    assert messages(file) == []
    assert (values(file, "order_type"), values(file, "limit_price")) == (["limit"], [40.0])
    assert (values(file, "metadata"), file.notes) == (["{}"], [])
    assert ids(file) == ids(read_rows(ending, LIMIT))


def test_a_csv_whose_header_is_spelt_in_capitals_throughout_is_read() -> None:
    file = read("a.csv", "Strategy_ID,Broker Account ID,SYMBOL,Side,Qty\nmomentum,paper,SPY,buy,1\n")
    assert ids(file) == ids(read_rows(".csv", order()))


def test_numbers_of_several_types_under_another_spelling_are_read_as_under_the_field() -> None:
    rows = [order(qty=1), order(qty=2.5), order(qty="3"), order(qty="x"), order(qty=True)]
    one = read_rows(".jsonl", *rows)
    other = read_rows(".jsonl", *(spelt(row, qty="Qty") for row in rows))
    assert values(other, "qty") == values(one, "qty") == [1.0, 2.5, 3.0]
    assert messages(other) == messages(one)


def test_rows_of_json_may_spell_a_field_differently() -> None:
    rows = [
        LIMIT,
        spelt(LIMIT, limit_price="limitPrice"),
        {**spelt(LIMIT, limit_price="Limit_Price"), "qty": 2},
    ]
    rows[2]["Limit_Price"] = "41.5"
    assert values(read_rows(".jsonl", *rows), "limit_price") == [40.0, 40.0, 41.5]


def test_a_row_of_json_that_says_a_field_under_two_names_is_refused_and_the_others_are_taken() -> None:
    file = read_rows(".jsonl", {**LIMIT, "Limit_Price": 41}, LIMIT, {**LIMIT, "limitPrice": None, "qty": 2})
    assert places(file) == ([2, 3], [1])
    assert messages(file) == [f"intents.jsonl:1: limit_price is [40, 41]; expected one value. {ONCE}"]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_two_columns_that_are_one_field_refuse_the_file(ending: str) -> None:
    file = read_rows(ending, {**LIMIT, "Limit_Price": None}, LIMIT)
    assert (file.unreadable, file.rows) == (True, 1)
    assert messages(file) == [
        f"intents{ending}: limit_price and Limit_Price are one column. Name limit_price once."
    ]


# 2. An order term under another name is refused


def test_a_limit_order_with_type_and_price_is_no_market_order() -> None:
    file = read(
        "a.csv", f"{HEADER},type,price\nmomentum,paper,SPY,buy,1,LIMIT,40\nmomentum,paper,SPY,buy,2,,\n"
    )
    assert (file.rows, file.table.num_rows, file.unreadable) == (2, 0, False)
    assert messages(file) == [
        f"a.csv:2: type is 'LIMIT'; {REFUSED} Did you mean order_type? {RENAME}",
        f"a.csv:3: type is ''; {REFUSED} Did you mean order_type? {RENAME}",
    ]
    assert "Did you mean limit_price, or reference_price" in file.refused[0].problems[1].message
    assert file.refused[0].record()["raw"] == {
        **order(qty="1"),
        "type": "LIMIT",
        "price": "40",
    }


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_in_a_file_of_columns_it_refuses_every_row(ending: str) -> None:
    assert places(read_rows(ending, order(type="limit"), order(qty=2)))[0] == []


@pytest.mark.parametrize("ending", [".json", ".jsonl"])
@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_in_json_it_refuses_the_rows_that_have_a_value(ending: str, nothing: float | None) -> None:
    rows = [
        order(),
        {**order(qty=2), "type": nothing},
        order(qty=3, type="limit"),
        order(qty=4, type={"a": 1}),
    ]
    file = read_rows(ending, *rows)
    assert places(file) == ([1, 2], [3, 4])
    assert [json.loads(text) for text in values(file, "metadata")] == [{}, {}]


def test_nested_order_terms_of_a_broker_are_refused() -> None:
    file = read_rows(".jsonl", order(take_profit={"limit_price": 45}), order(stop_loss={"stop_price": 35}))
    assert file.table.num_rows == 0
    assert "Did you mean take_profit_limit_price?" in messages(file)[0]
    assert "Did you mean stop_loss_stop_price?" in messages(file)[1]


def test_keys_inside_a_metadata_object_are_free() -> None:
    held = {"type": "LIMIT", "price": 40, "Limit_Price": 41, "qty": 7}
    for ending in ENDINGS:
        file = read_rows(ending, order(metadata=held))
        assert messages(file) == []
        assert json.loads(values(file, "metadata")[0]) == held


def test_an_order_term_is_refused_in_every_spelling() -> None:
    rows = [order(**{name: 1}) for name in ("Price", "PRICE", "price ", "pri_ce", "p-r-i-c-e")]
    assert read_rows(".jsonl", *rows).table.num_rows == 0


# 3. Other columns are metadata, named once


def test_unknown_columns_are_named_once_a_file() -> None:
    file = read_rows(".csv", order(signal="x", z_score=1.5), order(signal="y", z_score=2))
    assert file.notes == ["kept as metadata, since no fields of an intent: signal, z_score"]


def test_no_more_than_twenty_are_named() -> None:
    (note,) = read_rows(".jsonl", order(**{f"signal_{i}": i for i in range(100)})).notes
    assert note.endswith("signal_19 and 80 more")


def test_names_are_shown_short_and_printable() -> None:
    (note,) = read_rows(".jsonl", order(**{"x" * 300: 1, "a\nb\x1b[2J": 2})).notes
    assert len(note) < 300
    assert note.isprintable()


def test_a_file_of_which_nothing_is_taken_has_no_notes() -> None:
    assert read_rows(".jsonl", order(signal=1, qty=0)).notes == []


# 4. The index of a frame says nothing


def frame(**columns: list[Any]) -> pd.DataFrame:
    return pd.DataFrame(
        {**{name: [value, value] for name, value in order().items()}, "qty": [1.0, 2.0], **columns}
    )


def parquet_of(rows: pd.DataFrame) -> bytes:
    content: bytes = rows.to_parquet()
    return content


def test_the_index_of_a_filtered_frame_is_neither_metadata_nor_identity() -> None:
    kept = read("a.parquet", parquet_of(frame().set_axis([7, 7])))
    assert values(kept, "metadata") == ["{}", "{}"]
    assert ids(kept) == ids(read_rows(".jsonl", order(), order(qty=2)))
    assert "__index_level_0__" in kept.notes[0]


@pytest.mark.parametrize("name", ["date", "signal", "Unnamed: 0"])
def test_a_named_index_is_left_out_and_named(name: str) -> None:
    rows = frame(**{name: ["2026-03-01", "2026-03-02"]}).set_index(name)
    file = read("a.parquet", parquet_of(rows))
    assert values(file, "metadata") == ["{}", "{}"]
    assert file.notes == [
        f"the index of a frame, which is left out of orders: {name}; write the frame with index=False"
    ]


@pytest.mark.parametrize("keys", ["symbol", ["symbol", "date"], ["Symbol", "date"]])
def test_an_index_that_is_named_as_a_field_is_the_field(keys: str | list[str]) -> None:
    rows = frame(date=[1, 2]).rename(columns={"symbol": "Symbol"} if "Symbol" in keys else {})
    file = read("a.parquet", parquet_of(rows.set_index(keys)))
    assert (messages(file), values(file, "symbol")) == ([], ["SPY", "SPY"])
    assert values(file, "metadata") == (['{"date":1}', '{"date":2}'] if keys == "symbol" else ["{}", "{}"])


def test_an_index_that_is_named_as_an_order_term_is_refused() -> None:
    rows = frame(ticker=["SPY", "QQQ"]).set_index("ticker")
    assert "Did you mean symbol?" in messages(read("a.parquet", parquet_of(rows)))[0]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", ["Unnamed: 0", "__index_level_0__"])
def test_an_index_column_is_recognised_by_its_name_in_every_format(ending: str, name: str) -> None:
    file = read_rows(ending, {name: 7, **order()})
    assert values(file, "metadata") == ["{}"]
    assert ids(file) == ids(read_rows(ending, order()))


@pytest.mark.parametrize(
    "said", [b"{", b"[]", b'{"index_columns": 5}', b'{"index_columns": [{}, null]}', b"[" * 9999]
)
def test_what_pandas_says_of_a_frame_may_be_nonsense(said: bytes) -> None:
    table = pa.table({name: pa.array([value]) for name, value in order(signal=1).items()})
    file = read("a.parquet", parquet(table.replace_schema_metadata({b"pandas": said})))
    assert values(file, "metadata") == ['{"signal":1}']


def test_an_index_may_be_of_a_type_that_nothing_else_knows() -> None:
    index = pa.array([{"a": 1}])
    file = read("a.parquet", orders_with(__index_level_0__=index))
    assert values(file, "metadata") == ["{}"]
