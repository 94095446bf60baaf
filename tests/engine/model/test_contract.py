"""The contract of an intent as a table: what a row says, and which rule it breaks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from math import inf, nan
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.columns import Column, flag_column, number_column, text_column, time_column
from engine.model.contract import is_well_formed, violations
from engine.model.schema import FIELD_BY_NAME, INTENT_FIELDS

Row = dict[str, Any]

READERS: dict[str, Callable[[pd.Series], Column]] = {
    "text": text_column,
    "upper": text_column,
    "symbol": text_column,
    "enum": text_column,
    "quantity": number_column,
    "number": number_column,
    "time": time_column,
    "flag": flag_column,
}
MARKET: Row = {"strategy_id": "s", "broker_account_id": "a", "symbol": "SPY", "side": "buy", "qty": 1.0}
CANCEL: Row = {"strategy_id": "s", "broker_account_id": "a", "action": "cancel", "target_intent_id": "x-1"}
LIMIT: Row = {**MARKET, "order_type": "limit", "limit_price": 10.0}
STOP: Row = {**MARKET, "order_type": "stop", "stop_price": 9.0}
TRAILING: Row = {**MARKET, "order_type": "trailing_stop", "trail_price": 1.0}
BRACKET: Row = {
    **MARKET,
    "order_class": "bracket",
    "take_profit_limit_price": 12.0,
    "stop_loss_stop_price": 8.0,
}
QUANTITIES = [field.name for field in INTENT_FIELDS if field.kind == "quantity"]
ENUMS = [field.name for field in INTENT_FIELDS if field.kind == "enum"]
TEXTS = [field.name for field in INTENT_FIELDS if field.kind in {"text", "upper", "symbol"}]

WORDS = {
    "side": "buy or sell",
    "order_type": "market, limit, stop, stop_limit or trailing_stop",
    "time_in_force": "day, gtc, opg, cls, ioc or fok",
    "order_class": "simple, bracket, oto or oco",
    "action": "new or cancel",
}
POSITIVE = "a number above 0 and below 1e9"
NO_NUMBER = "a positive number"
DIGITS = "a number of at most 9 decimals and 15 significant digits"
DECIMAL = "a positive decimal number"
PLAIN = "one line of text, 1 to 128 characters without blanks around them"
UNSEEN = "visible text without control, zero-width or direction-changing characters"
NORMAL = "text in Unicode's normal form NFKC"
SYMBOL = "a symbol of 1 to 32 characters, each a letter of A-Z, a digit, a dot, a slash or a hyphen"
ID = "an id of 1 to 48 characters, each a letter of A-Z or a-z, a digit, _ or -"
TIMESTAMP = "a date and time with a zone"
A_LIMIT = "a price, since order_type is limit or stop_limit"
NO_LIMIT = "none unless order_type is limit or stop_limit"
A_STOP = "a price, since order_type is stop or stop_limit"
NO_STOP = "none unless order_type is stop or stop_limit"
EITHER_TRAIL = "either trail_price or trail_percent, since order_type is trailing_stop"
NO_TRAIL = "none unless order_type is trailing_stop"
EITHER_EXIT = "either take_profit_limit_price or stop_loss_stop_price beside it"
BOTH_EXITS = "a price, since order_class is bracket or oco"
NO_EXIT = "none, since order_class is simple"


def columns_of(rows: list[Row]) -> dict[str, Column]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        name: READERS[FIELD_BY_NAME[name].kind](pd.Series([row.get(name) for row in rows], dtype=object))
        for name in names
    }


def broken(row: Row) -> list[tuple[str, str]]:
    """Return the rules that a row breaks: field and what was expected."""
    return [(violation.field, violation.rule) for violation in violations(columns_of([row]), 1)]


# 1. What is an intent


@pytest.mark.parametrize(
    "row",
    [
        MARKET,
        LIMIT,
        STOP,
        TRAILING,
        BRACKET,
        CANCEL,
        {**MARKET, "side": "sell", "time_in_force": "gtc", "action": "new", "asset_class": "US_OPTION"},
        {**MARKET, "qty": nan, "notional": 100.0},
        {**STOP, "order_type": "stop_limit", "limit_price": 9.0},
        {**MARKET, "order_type": "trailing_stop", "trail_percent": 1.5},
        {**BRACKET, "stop_loss_limit_price": 7.9},
        {**BRACKET, "order_class": "oco", "order_type": "limit", "limit_price": 10.0},
        {**MARKET, "order_class": "oto", "take_profit_limit_price": 12.0},
        {**MARKET, "order_class": "oto", "stop_loss_stop_price": 8.0, "stop_loss_limit_price": 7.9},
        {**MARKET, "reference_price": 10.0, "estimated_slippage": -0.25},
        {**MARKET, "estimated_slippage": 0.0},
        {**MARKET, "created_at": datetime(2026, 3, 2, tzinfo=UTC), "valid_until": pd.NaT},
        {**MARKET, "extended_hours": True},
        {**MARKET, **dict.fromkeys(["order_type", "limit_price", "valid_until", "extended_hours"])},
        {**CANCEL, "symbol": "SPY", "side": "buy", "qty": 1.0},
    ],
    ids=repr,
)
def test_a_row_that_keeps_the_contract_breaks_no_rule(row: Row) -> None:
    assert broken(row) == []


@pytest.mark.parametrize("qty", [1e-9, 0.1, 999_999.999999999, 999_999_999.999999])
def test_the_smallest_and_largest_quantities_are_quantities(qty: float) -> None:
    assert broken({**MARKET, "qty": qty}) == []


@pytest.mark.parametrize("symbol", ["A", "BRK.B", "BTC/USD", "ES-H6", "7203", "X" * 32])
def test_symbols_of_all_markets_are_symbols(symbol: str) -> None:
    assert broken({**MARKET, "symbol": symbol}) == []


@pytest.mark.parametrize("text", ["momentum v2", "日本株", "a" * 128, "x=1;y"])
def test_a_strategy_may_be_called_anything_that_is_one_line_of_text(text: str) -> None:
    assert broken({**MARKET, "strategy_id": text}) == []


# 2. What is not


@pytest.mark.parametrize("field", ["strategy_id", "broker_account_id", "symbol", "side"])
@pytest.mark.parametrize("missing", [None, nan, pd.NA])
def test_a_required_field_that_is_missing_is_named_with_what_belongs_there(
    field: str, missing: object
) -> None:
    assert [name for name, _ in broken({**MARKET, field: missing})] == [field]
    assert [name for name, _ in broken({k: v for k, v in MARKET.items() if k != field})] == [field]


@pytest.mark.parametrize("field", ["strategy_id", "broker_account_id"])
def test_a_cancel_needs_a_strategy_and_an_account_too(field: str) -> None:
    assert broken({**CANCEL, field: None}) == [(field, PLAIN)]


@pytest.mark.parametrize("field", QUANTITIES)
@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (0.0, POSITIVE),
        (-0.0, POSITIVE),
        (-1.0, POSITIVE),
        (inf, POSITIVE),
        (-inf, POSITIVE),
        (1e9, POSITIVE),
        (2e10, POSITIVE),
        (10**400, POSITIVE),
        (1e-10, DIGITS),
        (1.5e-9, DIGITS),
        (0.1 + 0.2, DIGITS),
        (1_000_000.000000001, DIGITS),
        (np.float32(0.1), DIGITS),
        ("1", DECIMAL),
        ("abc", DECIMAL),
        (True, DECIMAL),
        ([1], DECIMAL),
    ],
    ids=str,
)
def test_a_price_or_quantity_must_be_a_positive_decimal_number(field: str, value: object, rule: str) -> None:
    assert (field, rule) in broken({**MARKET, field: value})


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (inf, "a finite number"),
        (-inf, "a finite number"),
        ("1", "a decimal number"),
        (True, "a decimal number"),
    ],
)
def test_an_estimate_may_be_any_finite_number(value: object, rule: str) -> None:
    assert broken({**MARKET, "estimated_slippage": value}) == [("estimated_slippage", rule)]


@pytest.mark.parametrize("field", ENUMS)
@pytest.mark.parametrize("value", ["long", "", "BUY", " buy", "new\n", 1, True])
def test_a_word_must_be_one_of_its_fields_own_as_it_stands(field: str, value: object) -> None:
    assert (field, WORDS[field]) in broken({**MARKET, field: value})


@pytest.mark.parametrize("field", ENUMS)
def test_every_word_of_a_field_is_one(field: str) -> None:
    for word in FIELD_BY_NAME[field].choices:
        assert is_well_formed(field, word)
        assert (field, WORDS[field]) not in broken({**MARKET, field: word})


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("symbol", "", SYMBOL),
        ("symbol", "spy", SYMBOL),
        ("symbol", "SPY ", SYMBOL),
        ("symbol", "S P", SYMBOL),
        ("symbol", "X" * 33, SYMBOL),
        ("symbol", "\uff33PY", SYMBOL),
        ("symbol", "SPY\n", SYMBOL),
        ("symbol", 7203, SYMBOL),
        ("client_intent_id", "", ID),
        ("client_intent_id", "x" * 49, ID),
        ("client_intent_id", "x y", ID),
        ("client_intent_id", "é", ID),
        ("target_intent_id", "x.1", ID),
        ("strategy_id", "", PLAIN),
        ("strategy_id", "x" * 129, PLAIN),
        ("strategy_id", "two\nlines", PLAIN),
        ("strategy_id", "a\x00b", PLAIN),
        ("strategy_id", " s", PLAIN),
        ("strategy_id", "s\u00a0", PLAIN),
        ("broker_account_id", "a\tb", PLAIN),
        ("strategy_id", "p\u200b", UNSEEN),
        ("strategy_id", "a\u202eb", UNSEEN),
        ("broker_account_id", "a\x85b", UNSEEN),
        ("broker_account_id", "a\u2028b", UNSEEN),
        ("broker_account_id", "\u0301a", UNSEEN),
        ("broker_account_id", "a\ufe0f", UNSEEN),
        ("broker_account_id", "\uff50aper", NORMAL),
        ("strategy_id", "ko\u0308ln", NORMAL),
        ("symbol", "SPY\u200b", SYMBOL),
        ("client_intent_id", "id\u200b", ID),
        ("target_intent_id", "id\u200b", ID),
        ("broker_account_id", 5, PLAIN),
        ("broker_account_id", b"a", PLAIN),
        ("asset_class", "equity", "a word of A-Z and _"),
        ("asset_class", "", "a word of A-Z and _"),
    ],
    ids=repr,
)
def test_text_must_have_its_fields_form(field: str, value: object, rule: str) -> None:
    base = CANCEL if field == "target_intent_id" else MARKET
    assert broken({**base, field: value}) == [(field, rule)]


@pytest.mark.parametrize("field", ["created_at", "valid_until"])
@pytest.mark.parametrize(
    "value",
    ["2026-03-02T14:30:00Z", "soon", datetime.fromisoformat("2026-03-02"), 1_772_461_800],
)
def test_a_timestamp_must_have_a_zone(field: str, value: object) -> None:
    assert broken({**MARKET, field: value}) == [(field, TIMESTAMP)]


@pytest.mark.parametrize("value", [1, "true", "", 0.0])
def test_a_flag_must_be_a_flag(value: object) -> None:
    assert broken({**MARKET, "extended_hours": value}) == [("extended_hours", "true or false")]


# 3. What belongs together


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({**MARKET, "qty": None}, [("qty", NO_NUMBER)]),
        ({**MARKET, "qty": nan}, [("qty", NO_NUMBER)]),
        ({**MARKET, "notional": 100.0}, [("notional", "none, since there is a qty")]),
        ({**MARKET, "order_type": "limit"}, [("limit_price", A_LIMIT)]),
        ({**LIMIT, "limit_price": nan}, [("limit_price", A_LIMIT)]),
        ({**MARKET, "limit_price": 10.0}, [("limit_price", NO_LIMIT)]),
        ({**MARKET, "order_type": "stop"}, [("stop_price", A_STOP)]),
        ({**LIMIT, "stop_price": 9.0}, [("stop_price", NO_STOP)]),
        (
            {**MARKET, "order_type": "stop_limit"},
            [
                ("limit_price", A_LIMIT),
                ("stop_price", A_STOP),
            ],
        ),
        ({**MARKET, "order_type": "trailing_stop"}, [("trail_price", EITHER_TRAIL)]),
        ({**TRAILING, "trail_percent": 1.0}, [("trail_price", EITHER_TRAIL)]),
        ({**MARKET, "trail_price": 1.0}, [("trail_price", NO_TRAIL)]),
        ({**MARKET, "trail_percent": 1.0}, [("trail_percent", NO_TRAIL)]),
        ({**BRACKET, "take_profit_limit_price": None}, [("take_profit_limit_price", BOTH_EXITS)]),
        (
            {**BRACKET, "order_class": "oco", "stop_loss_stop_price": None},
            [("stop_loss_stop_price", BOTH_EXITS)],
        ),
        ({**BRACKET, "order_class": "oto"}, [("order_class", EITHER_EXIT)]),
        ({**MARKET, "order_class": "oto"}, [("order_class", EITHER_EXIT)]),
        ({**MARKET, "take_profit_limit_price": 12.0}, [("take_profit_limit_price", NO_EXIT)]),
        (
            {**BRACKET, "order_class": "simple"},
            [("take_profit_limit_price", NO_EXIT), ("stop_loss_stop_price", NO_EXIT)],
        ),
        (
            {**MARKET, "order_class": "oto", "take_profit_limit_price": 12.0, "stop_loss_limit_price": 7.9},
            [("stop_loss_limit_price", "none without stop_loss_stop_price")],
        ),
        ({**CANCEL, "target_intent_id": None}, [("target_intent_id", "the id of the intent to cancel")]),
        ({**MARKET, "target_intent_id": "x-1"}, [("target_intent_id", "none, since action is new")]),
    ],
    ids=repr,
)
def test_fields_must_agree_with_each_other(row: Row, expected: list[tuple[str, str]]) -> None:
    assert broken(row) == expected


def test_an_unknown_order_type_is_not_also_blamed_for_its_prices() -> None:
    fields = [field for field, _ in broken({**LIMIT, "order_type": "iceberg", "trail_price": 1.0})]
    assert fields == ["order_type"]


def test_all_that_is_wrong_with_a_row_is_reported_in_the_order_of_the_fields() -> None:
    row = {"symbol": "s p", "side": "long", "qty": -1.0, "valid_until": "soon"}
    fields = [field for field, _ in broken(row)]
    assert fields == ["strategy_id", "broker_account_id", "symbol", "side", "qty", "valid_until"]


# 4. Many rows


SAMPLES = [
    MARKET,
    LIMIT,
    STOP,
    TRAILING,
    BRACKET,
    CANCEL,
    {**MARKET, "qty": -1.0},
    {**MARKET, "side": "long"},
    {**LIMIT, "limit_price": None},
    {**CANCEL, "target_intent_id": None},
    {**MARKET, "trail_percent": 1.0},
    {**BRACKET, "order_class": None},
    {**MARKET, "qty": None, "notional": 5.0},
    {},
]


@given(st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=8))
@settings(deadline=None, max_examples=50)
def test_each_row_is_judged_as_if_it_stood_alone(rows: list[Row]) -> None:
    together: list[list[tuple[str, str]]] = [[] for _ in rows]
    for violation in violations(columns_of(rows), len(rows)):
        for row in np.flatnonzero(violation.rows).tolist():
            together[row].append((violation.field, violation.rule))
    assert together == [broken(row) for row in rows]


def test_only_rules_that_are_broken_are_reported() -> None:
    assert all(violation.rows.any() for violation in violations(columns_of(SAMPLES), len(SAMPLES)))


def test_no_rows_break_no_rule() -> None:
    assert list(violations({}, 0)) == []


# 5. The words


def sentences() -> list[tuple[str, str, str]]:
    odd: tuple[Any, ...] = (None, "", "long", -1.0, 1e-10, inf, True, [])
    rows = [
        {**MARKET, field: value}
        for field in FIELD_BY_NAME
        if FIELD_BY_NAME[field].kind != "json"
        for value in odd
    ]
    rows += [{**BRACKET, "order_class": word} for word in ("oto", "simple", "oco")]
    rows += [{**MARKET, "order_type": word} for word in FIELD_BY_NAME["order_type"].choices]
    rows += [{**MARKET, "order_class": word} for word in FIELD_BY_NAME["order_class"].choices]
    rows += [{**CANCEL, "target_intent_id": None}, {**MARKET, "target_intent_id": "x"}, {}]
    told = {(v.field, v.rule, v.remedy) for row in rows for v in violations(columns_of([row]), 1)}
    return sorted(told)


@pytest.mark.parametrize(("field", "rule", "remedy"), sentences())
def test_each_rule_ends_a_sentence_and_each_remedy_is_one(field: str, rule: str, remedy: str) -> None:
    assert field in FIELD_BY_NAME
    assert rule == rule.strip()
    assert not rule.endswith(".")
    assert remedy[0].isupper()
    assert remedy.endswith(".")
    assert not remedy.endswith("..")
    assert rule not in remedy, "the remedy says what the rule has said already"


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("symbol", "SPY", True),
        ("symbol", "spy", False),
        ("side", "buy", True),
        ("side", "long", False),
        ("strategy_id", "s", True),
        ("strategy_id", "", False),
        ("broker_account_id", 5, False),
        ("symbol", None, False),
    ],
)
def test_one_value_can_be_asked_about(field: str, value: object, expected: bool) -> None:
    assert is_well_formed(field, value) is expected
