"""A file to rows: good ones in the form of the sealed batch, bad ones with place, value, rule and remedy."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from engine import RiskConfig, RiskInputs, evaluate
from engine.intents import reading
from engine.intents.problems import Problem, RefusedRow
from engine.intents.reading import read_intent_file
from engine.model.schema import INTENT_FIELDS
from engine.settings.variables import IntakeLimits
from engine.text.printable import shown
from tests.engine.intents.files import (
    ENDINGS,
    FILE_TIME_US,
    HALF_PAST_TWO,
    HALF_PAST_TWO_US,
    HEADER,
    SESSION,
    ids,
    messages,
    order,
    orders_with,
    places,
    read,
    read_rows,
    values,
)

DEFAULTS = {field.name: field.default for field in INTENT_FIELDS if field.default and field.kind != "flag"}


def sealed(ending: str = ".jsonl", **said: Any) -> dict[str, Any]:
    """Return one row as it stands in the batch."""
    (row,) = read_rows(ending, order(**said)).table.to_pylist()
    return dict(row)


def message(**said: Any) -> str:
    (text,) = messages(read_rows(".jsonl", order(**said)))
    return text


# 1. Good rows


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_row_is_sealed_the_same_from_every_format(ending: str) -> None:
    row = order(qty=2.5, order_type="limit", limit_price=10, created_at=HALF_PAST_TWO, extended_hours=True)
    places = ["source_file", "source_row"]
    found = read_rows(ending, row).table.drop_columns(places)
    assert found.equals(read_rows(".jsonl", row).table.drop_columns(places))


def test_what_a_row_leaves_out_is_its_default_or_nothing() -> None:
    row = sealed()
    assert {name: row[name] for name in DEFAULTS} == DEFAULTS
    assert row["extended_hours"] is False
    others = {"limit_price", "notional", "valid_until", "target_intent_id", "estimated_slippage"}
    assert {row[name] for name in others} == {None}


def test_text_is_trimmed_symbols_are_upper_case_and_words_lower_case() -> None:
    row = sealed(symbol=" spy ", side="BUY", strategy_id=" Mom ", order_type="Market", asset_class="crypto")
    found = tuple(row[name] for name in ("symbol", "side", "strategy_id", "order_type", "asset_class"))
    assert found == ("SPY", "buy", "Mom", "market", "CRYPTO")


def test_a_row_without_a_timestamp_was_created_when_its_file_was_written() -> None:
    file = read_rows(".jsonl", order(), order(created_at=HALF_PAST_TWO))
    assert file.table["created_at"].cast(pa.int64()).to_pylist() == [FILE_TIME_US, HALF_PAST_TWO_US]


def test_a_row_knows_its_file_and_line() -> None:
    file = read(
        "sub/a.jsonl", "\n" + '{"strategy_id":"s","broker_account_id":"p","symbol":"A","side":"buy","qty":1}'
    )
    assert (values(file, "source_file"), values(file, "source_row")) == (["sub/a.jsonl"], [2])


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_id_of_ones_own_is_kept(ending: str) -> None:
    file = read_rows(ending, order(client_intent_id=" mine-1 "), order(client_intent_id=""), order(qty=2))
    found = ids(file)
    assert found[0] == "mine-1"
    assert len(set(found)) == 3


def test_a_cancel_needs_no_symbol_side_or_quantity() -> None:
    row = sealed(symbol=None, side=None, qty=None, action="cancel", target_intent_id="x-1")
    assert (row["action"], row["target_intent_id"], row["symbol"], row["qty"]) == (
        "cancel",
        "x-1",
        None,
        None,
    )


OCO: dict[str, Any] = {
    "order_class": "oco",
    "order_type": "limit",
    "side": "sell",
    "take_profit_limit_price": 12.0,
}
EXITS: dict[str, Any] = OCO | {"stop_loss_stop_price": 8.0}


@pytest.mark.parametrize(
    ("said", "limit_price"),
    [({}, 12.0), ({"limit_price": None}, 12.0), ({"limit_price": 11.5}, 11.5), ({"qty": 3}, 12.0)],
)
def test_an_oco_takes_its_limit_from_its_take_profit(said: dict[str, Any], limit_price: float) -> None:
    assert sealed(**EXITS, **said)["limit_price"] == limit_price


def test_the_rows_beside_an_oco_take_no_limit_from_anything() -> None:
    bracket: dict[str, Any] = EXITS | {"order_class": "bracket", "order_type": "market", "side": "buy"}
    rows = read_rows(".jsonl", order(**EXITS), order(**bracket), order(order_type="limit", limit_price=9))
    assert values(rows, "limit_price") == [12.0, None, 9.0]
    assert "limit_price is missing" in message(**bracket | {"order_type": "limit"})


def test_an_order_by_notional_needs_no_quantity() -> None:
    assert sealed(qty=None, notional=2500)["notional"] == 2500


@pytest.mark.parametrize(
    "column", ["valid_until", "created_at", "limit_price", "order_type", "client_intent_id", "metadata"]
)
@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_an_optional_column_may_be_empty_in_every_row(column: str, ending: str) -> None:
    empty = [{**order(), column: None}, {**order(symbol="QQQ"), column: None}]
    assert ids(read_rows(ending, *empty)) == ids(read_rows(ending, order(), order(symbol="QQQ")))


@pytest.mark.parametrize(
    ("column", "array", "expected"),
    [
        ("broker_account_id", pa.array([7, 8]), ["7", "8"]),
        ("broker_account_id", pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
        ("broker_account_id", pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
        ("broker_account_id", pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (
            "broker_account_id",
            pa.array([b"0123456789abcdef"] * 2, pa.uuid()),
            ["30313233-3435-3637-3839-616263646566"] * 2,
        ),
        (
            "symbol",
            pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.uint8()), ["spy", "SPY"]),
            ["SPY", "SPY"],
        ),
        ("qty", pa.array([1, 2], pa.uint8()), [1.0, 2.0]),
        ("qty", pa.array([1, 2]).cast(pa.decimal128(30, 9)), [1.0, 2.0]),
        ("qty", pa.array([Decimal("0.1"), Decimal("12.345678")], pa.decimal128(8, 6)), [0.1, 12.345678]),
        ("qty", pa.array(["1", "2.5"]), [1.0, 2.5]),
        ("qty", pa.array([1.5, 2.5], pa.float32()), [1.5, 2.5]),
        ("client_intent_id", pa.array([1, 2]), ["1", "2"]),
        ("client_intent_id", pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
        ("extended_hours", pa.array([True, None]), [True, False]),
        ("extended_hours", pa.array([1, 0], pa.int8()), [True, False]),
    ],
    ids=str,
)
def test_parquet_of_odd_types_says_what_it_means(column: str, array: pa.Array, expected: list[Any]) -> None:
    assert values(read("a.parquet", orders_with(**{column: array})), column) == expected


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Mars/Phobos"])
def test_timestamps_with_a_zone_are_accepted_and_those_without_are_refused(unit: str, zone: str) -> None:
    factor = {"s": 1_000_000, "ms": 1000, "us": 1}
    count = HALF_PAST_TWO_US * 1000 if unit == "ns" else HALF_PAST_TWO_US // factor[unit]
    with_zone = read("a.parquet", orders_with(created_at=pa.array([count], pa.timestamp(unit, tz=zone))))
    assert with_zone.table["created_at"].cast(pa.int64()).to_pylist() == [HALF_PAST_TWO_US]
    without = read("a.parquet", orders_with(created_at=pa.array([count], pa.timestamp(unit))))
    (text,) = messages(without)
    assert text.startswith(
        "a.parquet:1: created_at is 2026-03-02 14:30:00; expected a date and time with a zone."
    )


# 2. Bad rows


def test_a_bad_row_is_refused_and_the_others_go_on() -> None:
    file = read_rows(".jsonl", order(), order(side="long"), order(qty=0), order())
    assert places(file) == ([1, 4], [2, 3])


def test_row_17_of_a_file_is_its_line_17() -> None:
    rows = ["momentum,paper,SPY,buy,1"] * 15 + ['momentum,paper,SPY,buy,"1,5"']
    (text,) = messages(read("intents.csv", "\n".join([HEADER, *rows])))
    assert text == (
        "intents.csv:17: qty is '1,5'; expected a positive decimal number. Write 1.5, and send the row again."
    )


@pytest.mark.parametrize(
    ("said", "digits"),
    [
        *(("1,000", "1000"), ("12,345,678", "12345678"), ("1,000.50", "1000.50"), ("1.000,50", "1000.50")),
        *(("1'000", "1000"), ("1_000", "1000"), ("1 000", "1000"), ("1\u202f000", "1000"), ("0,25", "0.25")),
        *(
            ("$40", "40"),
            ("$1,000", "1000"),
            ("40 USD", "40"),
            ("10 shares", "10"),
            ("\uff11\uff10", "10"),
            ("\u0663", "3"),
        ),
        *(
            (text, None)
            for text in ("ten", "1,00,0", "-1,000", "10%", "0x10", "1.2.3", "1/2", "--1", "9" * 60 + ",1")
        ),
    ],
)
def test_a_number_as_people_write_it_is_refused_with_its_digits(said: str, digits: str | None) -> None:
    (text,) = messages(read_rows(".jsonl", order(qty=said)))
    if digits is None:
        assert "Write digits with a decimal point, such as 1.5" in text
    else:
        assert f"Write {digits}, and send the row again." in text


def test_refused_rows_come_in_the_order_of_the_file_ragged_ones_included() -> None:
    content = f"{HEADER}\na,b,SPY,long,1\na,b\na,b,SPY,buy,0\na,b,SPY,buy,1,2\na,b,SPY,buy,1\n"
    assert places(read("a.csv", content)) == ([6], [2, 3, 4, 5])


def test_all_that_is_wrong_with_a_row_is_reported() -> None:
    (refused,) = read_rows(".jsonl", order(side="long", qty=-1, client_intent_id="a b")).refused
    assert [problem.field for problem in refused.problems] == ["client_intent_id", "side", "qty"]
    assert refused.record()["also"] == [problem.message for problem in refused.problems[1:]]


def test_a_refused_row_is_recorded_with_all_that_it_held() -> None:
    (refused,) = read_rows(".jsonl", order(side="long", note={"z": 1})).refused
    record = refused.record()
    assert record["raw"] == order(side="long", note={"z": 1})
    assert (record["file"], record["row"], record["field"], record["value"]) == (
        "intents.jsonl",
        1,
        "side",
        "long",
    )
    assert (record["rule"], record["remedy"]) == ("buy or sell", "Write one of these words.")
    assert record["message"] == refused.first.message
    assert "also" not in record


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_value_is_shown_as_it_stood_in_the_file(ending: str) -> None:
    (text,) = messages(read_rows(ending, order(symbol="spy!")))
    assert text.startswith(
        f"intents{ending}:{2 if ending == '.csv' else 1}: symbol is 'spy!'; expected a symbol"
    )


@pytest.mark.parametrize("nothing", [None, "", "   "])
def test_a_blank_value_is_missing(nothing: str | None) -> None:
    assert message(side=nothing).startswith(
        "intents.jsonl:1: side is missing; expected buy or sell. Add side."
    )


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ({"qty": True}, "qty is True; expected a positive decimal number"),
        ({"qty": float("nan")}, "qty is nan; expected a positive number"),
        ({"qty": float("inf")}, "qty is inf; expected a number above 0 and below 1e9"),
        ({"qty": [5]}, "qty is [5]; expected a positive decimal number"),
        ({"side": {"a": 1}}, "side is {'a': 1}; expected buy or sell"),
        ({"side": 1}, "side is 1; expected buy or sell"),
        ({"broker_account_id": 1.5}, "broker_account_id is 1.5; expected one line of text"),
        ({"client_intent_id": 1.5}, "client_intent_id is 1.5; expected an id of 1 to 48 characters"),
        ({"strategy_id": "x" * 200}, "strategy_id is 'xxxxxxx"),
        ({"limit_price": 10}, "limit_price is 10; expected none unless order_type is limit or stop_limit"),
        ({"valid_until": 5}, "valid_until is 5; expected a date and time with a zone"),
        ({"extended_hours": "maybe"}, "extended_hours is 'maybe'; expected true or false"),
    ],
)
def test_the_first_problem_is_reported_in_one_sentence_and_a_remedy(said: dict[str, Any], part: str) -> None:
    text = message(**said)
    assert text.startswith(f"intents.jsonl:1: {part}")
    assert len(text) < 320


def test_a_long_value_is_cut_where_it_is_shown_but_not_where_it_is_kept() -> None:
    (refused,) = read_rows(".jsonl", order(strategy_id="x" * 200)).refused
    assert "…" in refused.first.message
    assert refused.record()["value"] == "x" * 200
    assert len(shown("x" * 200)) == 80


def test_a_file_that_cannot_be_parsed_counts_as_one_row() -> None:
    file = read("late.jsonl", '{"strategy_id": "late"}\n{"strategy_id": "la')
    assert (file.rows, file.unreadable, file.table.num_rows) == (1, True, 0)
    (refused,) = file.refused
    assert refused.first.message == (
        "late.jsonl: line 2 is not JSON (Unterminated string starting at character 17). "
        "Write one object a line; was the file still being written? Drop it whole."
    )
    assert refused.first.row == 0


def test_a_file_that_can_be_parsed_is_not_unreadable_whatever_its_rows_say() -> None:
    assert not read_rows(".jsonl", order(side="long")).unreadable


def test_a_file_that_is_too_much_for_the_engine_is_refused_whole_and_stops_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read_raw(name: str, content: bytes, limits: IntakeLimits) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(reading, "read_raw", read_raw)
    file = read_intent_file("a.csv", b"x", file_time_us=0, trading_date=SESSION)
    assert (file.rows, file.unreadable) == (1, True)
    (text,) = messages(file)
    assert text.startswith("a.csv: the engine can't cope with it (ZeroDivisionError: a fault of ours). Write")


def test_what_refused_rows_said_is_nowhere_in_the_batch() -> None:
    file = read_rows(".jsonl", order(side="long"), order(side=[]), order(side=True), order(side="sell"))
    assert file.table["side"].combine_chunks().dictionary.to_pylist() == ["sell"]


# 3. What the gate says to it


def test_the_gate_finds_nothing_to_say_against_rows_that_were_taken() -> None:
    file = read_rows(
        ".jsonl",
        order(),
        order(order_type="limit", limit_price=1, client_intent_id="mine-1"),
        order(symbol=None, side=None, qty=None, action="cancel", target_intent_id="x"),
        order(qty=None, notional=5),
    )
    inputs = RiskInputs(
        as_of=None, trading_date=date(2026, 3, 2), positions=None, daily_trades=None, working_orders=None
    )
    decisions = evaluate(file.table.to_pandas(), inputs, RiskConfig())
    assert decisions["check_invalid_intent"].tolist() == ["pass"] * 4


# 4. Problems in words


@pytest.mark.parametrize(
    ("row", "value", "expected"),
    [
        (17, "1,5", "a.csv:17: qty is '1,5'; expected a number. Mend it."),
        (17, None, "a.csv:17: qty is missing; expected a number. Mend it."),
        (17, 5, "a.csv:17: qty is 5; expected a number. Mend it."),
        (17, date(2026, 3, 2), "a.csv:17: qty is 2026-03-02; expected a number. Mend it."),
        (0, None, "a.csv: a number. Mend it."),
    ],
)
def test_a_problem_says_place_value_rule_and_remedy(row: int, value: object, expected: str) -> None:
    problem = Problem("a.csv", row, "qty", value, "a number", "Mend it.")
    assert problem.message == expected
    assert RefusedRow((problem,)).record()["value"] == (None if value is None else str(value))
