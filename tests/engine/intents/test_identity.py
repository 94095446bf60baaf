"""What makes two rows the same order: ids that depend on what a row says, and on nothing else."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.intents.identity import IdentityRules
from engine.intents.reading import IntentFile, read_intent_file
from engine.model.schema import INTENT_FIELDS
from tests.engine.intents.files import (
    ENDINGS,
    FILE_TIME_US,
    HALF_PAST_TWO,
    SESSION,
    Row,
    ids,
    order,
    read,
    read_rows,
    values,
    written,
)

FULL = order(
    qty=2.5,
    asset_class="EQUITY",
    order_type="stop_limit",
    time_in_force="gtc",
    limit_price=10.25,
    stop_price=10,
    extended_hours=True,
    order_class="bracket",
    take_profit_limit_price=12,
    stop_loss_stop_price=8.5,
    stop_loss_limit_price=8,
    estimated_slippage=-0.01,
    reference_price=10.1,
    created_at=HALF_PAST_TWO,
    valid_until="2026-03-02T21:00:00Z",
    metadata={"z": 1},
)
NOTIONAL = order(qty=None, notional=100)
TRAILING = order(order_type="trailing_stop", trail_price=1)
CANCEL = order(symbol=None, side=None, qty=None, action="cancel", target_intent_id="x-1")

# Each field, in a row that has it and in one that differs in it alone.
PAIRS: dict[str, tuple[Row, Row]] = {
    "strategy_id": (FULL, {**FULL, "strategy_id": "Momentum"}),
    "broker_account_id": (FULL, {**FULL, "broker_account_id": "paper2"}),
    "symbol": (FULL, {**FULL, "symbol": "QQQ"}),
    "side": (FULL, {**FULL, "side": "sell"}),
    "qty": (FULL, {**FULL, "qty": 2.500000001}),
    "notional": (NOTIONAL, {**NOTIONAL, "notional": 100.01}),
    "asset_class": (FULL, {**FULL, "asset_class": "CRYPTO"}),
    "order_type": (order(), {**order(), "order_type": "limit", "limit_price": 1}),
    "time_in_force": (FULL, {**FULL, "time_in_force": "day"}),
    "limit_price": (FULL, {**FULL, "limit_price": 10.26}),
    "stop_price": (FULL, {**FULL, "stop_price": 10.01}),
    "trail_price": (TRAILING, {**TRAILING, "trail_price": 2}),
    "trail_percent": (TRAILING, {**order(), "order_type": "trailing_stop", "trail_percent": 1}),
    "extended_hours": (FULL, {**FULL, "extended_hours": False}),
    "order_class": (FULL, {**FULL, "order_class": "oco"}),
    "take_profit_limit_price": (FULL, {**FULL, "take_profit_limit_price": 12.5}),
    "stop_loss_stop_price": (FULL, {**FULL, "stop_loss_stop_price": 8.6}),
    "stop_loss_limit_price": (FULL, {**FULL, "stop_loss_limit_price": None}),
    "estimated_slippage": (order(estimated_slippage=0), order()),
    "reference_price": (FULL, {**FULL, "reference_price": 10.2}),
    "created_at": (FULL, {**FULL, "created_at": "2026-03-02T14:30:00.000001Z"}),
    "valid_until": (FULL, {**FULL, "valid_until": None}),
    "action": (order(), {**CANCEL}),
    "target_intent_id": (CANCEL, {**CANCEL, "target_intent_id": "x-2"}),
    "metadata": (FULL, {**FULL, "metadata": {"z": 2}}),
}

ROWS = st.builds(
    order,
    symbol=st.sampled_from(["SPY", "QQQ"]),
    side=st.sampled_from(["buy", "sell"]),
    qty=st.sampled_from([1, 1.0, 2.5]),
    signal=st.sampled_from([None, 1, 1.5, "x"]),
    client_intent_id=st.sampled_from([None, None, None, "mine-1", "mine-2"]),
)


def the_id(row: Row, *, ending: str = ".jsonl", on: date = SESSION) -> str:
    (client_intent_id,) = ids(read_rows(ending, row, on=on))
    return client_intent_id


def the_hash(row: Row, on: date = SESSION) -> int:
    (content_hash,) = values(read_rows(".jsonl", row, on=on), "content_hash")
    return int(content_hash)


# 1. What an id depends on


def test_an_id_is_32_hexadecimal_characters() -> None:
    assert len(the_id(order())) == len(f"{int(the_id(order()), 16):032x}") == 32


def test_each_field_has_its_pair() -> None:
    assert set(PAIRS) == {field.name for field in INTENT_FIELDS} - {"client_intent_id"}


@pytest.mark.parametrize("field", PAIRS)
def test_rows_that_differ_in_one_field_are_different_orders(field: str) -> None:
    one, other = PAIRS[field]
    assert the_id(one) != the_id(other)
    assert the_hash(one) != the_hash(other)


def test_a_value_counts_in_the_field_it_stands_in() -> None:
    one = {**FULL, "take_profit_limit_price": 12, "reference_price": 13}
    other = {**FULL, "take_profit_limit_price": 13, "reference_price": 12}
    assert the_id(one) != the_id(other)


def test_another_day_makes_another_order() -> None:
    assert the_id(order()) != the_id(order(), on=date(2026, 3, 3))
    assert the_hash(order()) != the_hash(order(), on=date(2026, 3, 3))


# 2. What it does not depend on


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "row", [order(), FULL, NOTIONAL, TRAILING, CANCEL], ids=["plain", "full", "usd", "trail", "cancel"]
)
def test_the_format_does_not_matter(ending: str, row: Row) -> None:
    assert the_id(row, ending=ending) == the_id(row, ending=f"{ending}.gz") == the_id(row)


def test_the_name_of_the_file_and_the_time_it_was_written_do_not_matter() -> None:
    content = written(".jsonl", [order(), order(symbol="QQQ")])
    assert ids(read("a.jsonl", content)) == ids(read("sub/b.ndjson", content))


def test_the_order_of_columns_does_not_matter() -> None:
    assert the_id(dict(reversed(FULL.items()))) == the_id(FULL)


@pytest.mark.parametrize(
    "said",
    [
        {"asset_class": "EQUITY"},
        {"order_type": "market"},
        {"time_in_force": "day"},
        {"extended_hours": False},
        {"order_class": "simple"},
        {"action": "new"},
        {"metadata": {}},
        {"limit_price": None, "valid_until": None},
    ],
)
def test_a_default_may_be_said_or_left_out(said: Row) -> None:
    assert the_id({**order(), **said}) == the_id(order())
    assert ids(read_rows(".jsonl", {**order(), **said}, order(symbol="QQQ")))[0] == the_id(order())


@pytest.mark.parametrize(
    "said",
    [
        {"symbol": " spy "},
        {"side": "BUY"},
        {"qty": 1.0},
        {"qty": "1.00"},
        {"strategy_id": "momentum "},
        {"asset_class": "equity"},
        {"extended_hours": "no"},
    ],
)
def test_the_spelling_of_a_value_does_not_matter(said: Row) -> None:
    assert the_id(order(**said)) == the_id(order())


def test_a_timestamp_is_the_same_in_every_zone() -> None:
    assert the_id(order(created_at="2026-03-02T09:30:00-05:00")) == the_id(order(created_at=HALF_PAST_TWO))


def test_a_slippage_of_minus_zero_is_one_of_zero() -> None:
    assert the_id(order(estimated_slippage=-0.0)) == the_id(order(estimated_slippage=0))


# 3. Equal rows are one order


def test_equal_rows_of_a_file_share_their_id_and_their_content_hash() -> None:
    file = read_rows(".jsonl", order(), order(symbol=" spy "), order(qty="1.0"))
    assert ids(file) == [the_id(order())] * 3
    assert len(set(values(file, "content_hash"))) == 1


def test_rows_with_an_id_of_their_own_keep_it() -> None:
    assert ids(read_rows(".jsonl", order(client_intent_id="mine-1"), order())) == ["mine-1", the_id(order())]


@given(st.lists(ROWS, min_size=1, max_size=8), st.lists(ROWS, max_size=4), st.sampled_from(ENDINGS))
@settings(deadline=None, max_examples=100)
def test_a_row_has_the_same_id_whatever_stands_before_and_after_it(
    rows: list[Row], more: list[Row], ending: str
) -> None:
    if ending == ".parquet":  # one type per column
        rows, more = (
            [{**row, "signal": str(row.get("signal", ""))} for row in some] for some in (rows, more)
        )
    alone = [ids(read_rows(ending, row))[0] for row in rows]
    assert ids(read_rows(ending, *more, *rows, *more))[len(more) : len(more) + len(rows)] == alone


# 4. What in metadata doesn't count


def under(rules: IdentityRules, ending: str, *rows: Row) -> IntentFile:
    content = written(ending, list(rows))
    return read_intent_file(
        f"intents{ending}", content, file_time_us=FILE_TIME_US, trading_date=SESSION, rules=rules
    )


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("named", ["generated_at", "Generated At", "GENERATED-AT"])
def test_a_name_that_is_ignored_does_not_count_and_is_kept(ending: str, named: str) -> None:
    rules = IdentityRules.of([named])
    one = under(rules, ending, order(signal="x", generated_at="2026-03-02T14:30:00Z"))
    other = under(rules, ending, order(signal="x", generated_at="2026-03-02T14:35:00Z"))
    assert ids(one) == ids(other) == ids(under(rules, ending, order(signal="x")))
    assert ids(one) != ids(under(rules, ending, order(signal="y")))
    assert "14:30" in values(one, "metadata")[0]


def test_a_key_of_a_metadata_object_is_ignored_as_a_column_is_at_its_top_level_only() -> None:
    rules = IdentityRules.of(["seed"])
    plain = ids(under(rules, ".jsonl", order(metadata={"z": 1})))
    assert ids(under(rules, ".jsonl", order(metadata={"z": 1, "seed": 7}))) == plain
    assert ids(under(rules, ".jsonl", order(z=1, metadata={"Seed": 8}))) == plain
    assert ids(under(rules, ".jsonl", order(metadata={"z": {"seed": 7}}))) != plain


def test_two_explicit_ids_differ_by_what_counts() -> None:
    rules = IdentityRules.of(["seed"])
    rows = [order(client_intent_id="mine-1", seed=1), order(client_intent_id="mine-1", seed=2)]
    assert len(set(values(under(rules, ".jsonl", *rows), "content_hash"))) == 1


def test_rules_are_recorded_and_read_back() -> None:
    rules = IdentityRules.of(["generated_at", "Seed"])
    assert rules.record() == {"version": 2, "ignores": ["generatedat", "seed"]}
    assert IdentityRules.of_record({"identity": rules.record()}) == rules
    assert IdentityRules.of_record({}) == IdentityRules(version=1)


# 5. The identity under other rules

FIRST = IdentityRules(version=1)

FIRST_IDS: list[tuple[Row, str]] = [
    (order(), "b5077099e32ed94907779c31c0b0aaaa"),
    (order(symbol="brk/b", qty=2), "a21de434b05ef25d5aa010c10d7b38ba"),
    ({**order(), "Order_Type": "LIMIT", "Limit_Price": 40}, "4574e7808189bc1cf9baf883929cf0b2"),
    (
        order(signal="x", generated_at="2026-03-02T14:30:00Z", metadata={"why": 1}),
        "acb2d5cefe0d3f8422a4697fbd1c24a1",
    ),
    ({"Unnamed: 0": 7, **order()}, "cf28584ef4af301f6dd2116c06a5618e"),
]
"""Rows, and the ids that the engine derived for them under version 1."""


def read_under(content: bytes, name: str, *previous: IdentityRules) -> IntentFile:
    return read_intent_file(name, content, file_time_us=FILE_TIME_US, trading_date=SESSION, previous=previous)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(("row", "expected"), FIRST_IDS)
def test_the_id_of_a_row_under_the_first_rules_can_be_had(ending: str, row: Row, expected: str) -> None:
    bad = {**row, "side": "long"}
    file = read_under(written(ending, [bad, row]), f"a{ending}", FIRST)
    identity = file.previous[FIRST]
    assert identity.ids.to_pylist() == [expected]
    assert identity.content_hashes.tolist() == [
        int.from_bytes(bytes.fromhex(expected)[:8], "little", signed=True)
    ]


def test_under_the_first_rules_the_index_of_a_frame_counts() -> None:
    frame = pd.DataFrame([order(qty=1.0), order(qty=2.0)]).set_axis([7, 3])
    file = read_under(frame.to_parquet(), "a.parquet", FIRST)
    assert file.previous[FIRST].ids.to_pylist() == [
        "715073a1da7ad2a3fa57f033569994aa",
        "1d575029838069ff672937f07fafc22d",
    ]


def test_the_id_of_a_row_with_other_names_ignored_can_be_had() -> None:
    other, content = IdentityRules.of(["seed"]), written(".jsonl", [order(seed=7, z=1)])
    file = read_under(content, "a.jsonl", other)
    assert file.previous[other].ids.to_pylist() == ids(under(other, ".jsonl", order(seed=7, z=1)))
    assert file.previous[other].ids.to_pylist() != ids(file)
