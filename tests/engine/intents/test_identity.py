"""What makes two rows the same order: ids that depend on what a row says, and on nothing else."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.schema import INTENT_FIELDS
from tests.engine.intents.files import (
    ENDINGS,
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


def test_a_moment_is_the_same_in_every_zone() -> None:
    assert the_id(order(created_at="2026-03-02T09:30:00-05:00")) == the_id(order(created_at=HALF_PAST_TWO))


def test_a_slippage_of_minus_zero_is_one_of_zero() -> None:
    assert the_id(order(estimated_slippage=-0.0)) == the_id(order(estimated_slippage=0))


# 3. Rows that are said more than once


def test_a_row_said_three_times_in_a_file_is_three_orders() -> None:
    assert len(set(ids(read_rows(".jsonl", order(), order(), order())))) == 3


def test_the_first_of_equal_rows_has_the_id_it_would_have_alone() -> None:
    assert ids(read_rows(".jsonl", order(), order()))[0] == the_id(order())


def test_equal_rows_share_their_content_hash() -> None:
    assert len(set(values(read_rows(".jsonl", order(), order()), "content_hash"))) == 1


def test_rows_with_an_id_of_their_own_are_not_counted_as_repetitions() -> None:
    assert ids(read_rows(".jsonl", order(client_intent_id="mine-1"), order())) == ["mine-1", the_id(order())]


def test_a_refused_row_is_not_counted_as_a_repetition() -> None:
    assert ids(read_rows(".jsonl", order(side="long"), order())) == [the_id(order())]


@given(st.lists(ROWS, min_size=1, max_size=8), st.lists(ROWS, max_size=4), st.sampled_from(ENDINGS))
@settings(deadline=None, max_examples=100)
def test_a_file_that_grows_keeps_the_ids_of_its_first_rows(
    rows: list[Row], more: list[Row], ending: str
) -> None:
    if ending == ".parquet":  # one type per column
        rows, more = (
            [{**row, "signal": str(row.get("signal", ""))} for row in some] for some in (rows, more)
        )
    before, after = ids(read_rows(ending, *rows)), ids(read_rows(ending, *rows, *more))
    assert after[: len(rows)] == before


@given(st.lists(ROWS, min_size=1, max_size=8))
@settings(deadline=None, max_examples=100)
def test_two_rows_share_an_id_only_where_they_were_given_it(rows: list[Row]) -> None:
    found = ids(read_rows(".jsonl", *rows))
    derived = [i for i, row in zip(found, rows, strict=True) if "client_intent_id" not in row]
    assert len(set(derived)) == len(derived)


@given(st.lists(ROWS, min_size=2, max_size=6), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=100)
def test_rows_in_another_order_have_the_same_ids_altogether(rows: list[Row], random: Any) -> None:
    shuffled = random.sample(rows, len(rows))
    assert sorted(ids(read_rows(".jsonl", *rows))) == sorted(ids(read_rows(".jsonl", *shuffled)))
