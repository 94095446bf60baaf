"""The decision function by example; the limits are 100 shares and 50 trades unless said otherwise."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine import RiskConfig, RiskInputs, evaluate
from engine.errors import ConfigurationError
from engine.model.schema import CLOCK_SKEW_LIMIT_S
from engine.risk import RULE_BOOK, Rule

AS_OF = pd.Timestamp("2026-03-16T19:55:00Z")
Row = dict[str, Any]


def order(side: Any = "buy", qty: Any = 1, **fields: Any) -> Row:
    row = {
        "strategy_id": "momentum",
        "broker_account_id": "paper",
        "client_intent_id": None,
        "symbol": "SPY",
        "side": side,
        "qty": qty,
    }
    return row | fields


def cancel(target: str | None = "earlier", **fields: Any) -> Row:
    row = {
        "strategy_id": "momentum",
        "broker_account_id": "paper",
        "client_intent_id": None,
        "action": "cancel",
        "target_intent_id": target,
    }
    return row | fields


def batch(*rows: Row) -> pd.DataFrame:
    """Make a batch of ``rows``; those without an id are called intent-0, intent-1, …"""
    return pd.DataFrame(
        [
            row | {"client_intent_id": f"intent-{nth}"} if row["client_intent_id"] is None else row
            for nth, row in enumerate(rows)
        ]
    )


def held(*positions: tuple[Any, Any, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(positions), columns=["broker_account_id", "symbol", "qty"])


def working(*orders: tuple[Any, Any, Any, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(orders), columns=["broker_account_id", "symbol", "side", "remaining_qty"])


def traded(*counts: tuple[Any, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(counts), columns=["broker_account_id", "trades"])


def broken_in(*keys: tuple[Any, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(keys), columns=["broker_account_id", "symbol"])


def book(
    positions: pd.DataFrame | None = None,
    daily_trades: pd.DataFrame | None = None,
    working_orders: pd.DataFrame | None = None,
    *,
    kill_switch: bool = False,
    **others: Any,
) -> RiskInputs:
    """Say what is known; frames not given are empty, those named in ``unavailable`` are None."""
    unavailable: tuple[str, ...] = others.get("unavailable", ())
    unreconciled: pd.DataFrame | None = others.get("unreconciled")
    frames = {
        "positions": held() if positions is None else positions,
        "daily_trades": traded() if daily_trades is None else daily_trades,
        "working_orders": working() if working_orders is None else working_orders,
        "unreconciled": broken_in() if unreconciled is None else unreconciled,
    }
    frames |= dict.fromkeys(unavailable)
    return RiskInputs(as_of=AS_OF, trading_date=AS_OF.date(), kill_switch=kill_switch, **frames)


def decide(*rows: Row, inputs: RiskInputs | None = None, **limits: Any) -> pd.DataFrame:
    return evaluate(batch(*rows), book() if inputs is None else inputs, RiskConfig(**limits))


def reasons(*rows: Row, inputs: RiskInputs | None = None, **limits: Any) -> list[str]:
    return list(decide(*rows, inputs=inputs, **limits)["reason"])


def reason(row: Row, inputs: RiskInputs | None = None, **limits: Any) -> str:
    return reasons(row, inputs=inputs, **limits)[0]


# A plain order, and what the answer says of it


def test_a_small_order_of_a_flat_account_is_allowed() -> None:
    decision = decide(order("buy", 10)).iloc[0]
    assert decision["allowed"]
    assert decision["reason"] == "ok"


def test_a_decision_shows_the_figures_behind_it() -> None:
    inputs = book(
        held(("paper", "SPY", 20)),
        traded(("paper", 3)),
        working(("paper", "SPY", "buy", 5), ("paper", "SPY", "sell", 7)),
    )
    decision = decide(order("buy", 10), order("sell", 4), inputs=inputs)
    assert decision["current_qty"].tolist() == [20, 20]
    assert decision["projected_qty"].tolist() == [35, 9]
    assert decision["position_limit_qty"].tolist() == [100, 100]
    assert decision["trades_today"].tolist() == [5, 6]
    assert decision["trades_limit"].tolist() == [50, 50]


def set_checks(checks: dict[str, str]) -> dict[str, str]:
    """Return the verdicts of the rules that are not off; those that no limit sets are."""
    return {name: verdict for name, verdict in checks.items() if verdict != "off"}


def test_every_rule_is_answered_even_where_an_earlier_one_refused() -> None:
    inputs = book(
        daily_trades=traded(("paper", 50)), unreconciled=broken_in(("paper", "SPY")), kill_switch=True
    )
    row = order("buy", 101, valid_until=AS_OF - pd.Timedelta(seconds=1), reference_price=-1.0)
    decision = decide(row, inputs=inputs, accounts=frozenset({"other"})).iloc[0]
    assert decision["reason"] == "kill_switch_enabled"
    checks = decision.filter(like="check_")
    assert set_checks(checks.to_dict()) == {
        "check_kill_switch_enabled": "fail",
        "check_invalid_intent": "fail",
        "check_account_not_configured": "fail",
        "check_duplicate_intent": "pass",
        "check_intent_expired": "fail",
        "check_position_unreconciled": "fail",
        "check_max_daily_trades_exceeded": "fail",
        "check_max_position_size_exceeded": "fail",
    }


@pytest.mark.parametrize(
    ("mended", "next_reason"),
    [
        (0, "kill_switch_enabled"),
        (1, "invalid_intent"),
        (2, "account_not_configured"),
        (3, "intent_expired"),
        (4, "position_unreconciled"),
        (5, "max_daily_trades_exceeded"),
        (6, "max_position_size_exceeded"),
        (7, "ok"),
    ],
)
def test_the_reason_is_the_first_failing_rule_in_the_order_of_the_book(mended: int, next_reason: str) -> None:
    inputs = book(
        daily_trades=traded(("paper", 49 if mended > 5 else 50)),
        unreconciled=broken_in(("paper", "SPY" if mended < 5 else "QQQ")),
        kill_switch=mended < 1,
    )
    row = order(
        "buy",
        101 if mended < 7 else 100,
        reference_price=-1.0 if mended < 2 else 1.0,
        valid_until=AS_OF - pd.Timedelta(seconds=1 if mended < 4 else 0),
    )
    assert reason(row, inputs, accounts=frozenset({"other" if mended < 3 else "paper"})) == next_reason


def test_a_duplicate_comes_before_an_expiry() -> None:
    late = {"valid_until": AS_OF - pd.Timedelta(seconds=1)}
    assert reasons(order(client_intent_id="a"), order(client_intent_id="a", **late)) == [
        "ok",
        "duplicate_intent",
    ]


def test_unavailable_data_refuses_in_the_place_of_its_rule() -> None:
    without_counts = book(unavailable=("daily_trades",))
    assert reason(order("buy", 101), without_counts) == "risk_data_unavailable"
    without_positions = book(daily_trades=traded(("paper", 50)), unavailable=("positions",))
    assert reason(order("buy", 1), without_positions) == "max_daily_trades_exceeded"


# The contract of a row


@pytest.mark.parametrize(
    "qty",
    [
        0,
        -1,
        -0.5,
        np.nan,
        None,
        np.inf,
        -np.inf,
        "abc",
        "1",
        "",
        True,
        1e9,
        2e10,
        1e-10,
        0.1 + 0.2,
        123456789.1234567,
    ],
)
def test_an_order_whose_quantity_is_none_is_invalid(qty: Any) -> None:
    decision = decide(order("sell", qty)).iloc[0]
    assert decision["reason"] == "invalid_intent"
    assert decision["check_max_position_size_exceeded"] == "unavailable"
    assert np.isnan(decision["projected_qty"])
    assert decision["current_qty"] == 0


@pytest.mark.parametrize(
    "qty",
    [
        1e-9,
        0.1,
        4.1,
        0.123456789,
        8834364.03574182,
        55518835.3822552,
        555374904.747271,
        100,
        999_999_999.123456,
        np.float64(2),
        np.int64(3),
    ],
)
def test_an_order_whose_quantity_has_at_most_nine_decimals_and_fifteen_digits_is_valid(qty: Any) -> None:
    assert decide(order("buy", qty))["check_invalid_intent"].tolist() == ["pass"]


@pytest.mark.parametrize("side", ["long", "short", "", None, np.nan, "BUY", " buy", 1])
def test_an_order_whose_side_is_neither_buy_nor_sell_is_invalid(side: Any) -> None:
    decision = decide(order(side, 1)).iloc[0]
    assert decision["reason"] == "invalid_intent"
    assert decision["check_max_position_size_exceeded"] == "unavailable"


@pytest.mark.parametrize("symbol", ["", None, np.nan, "spy", " SPY", "SPY\n", "S PY", "X" * 33, "ÄPFEL", 7])
def test_an_order_whose_symbol_is_none_is_invalid(symbol: Any) -> None:
    decision = decide(order(symbol=symbol)).iloc[0]
    assert decision["reason"] == "invalid_intent"
    assert np.isnan(decision["current_qty"])


@pytest.mark.parametrize("symbol", ["A", "BRK.B", "BTC/USD", "X" * 32, "600519", "BF-B"])
def test_an_order_may_name_any_symbol_of_the_allowed_letters(symbol: str) -> None:
    assert reason(order(symbol=symbol)) == "ok"


@pytest.mark.parametrize("name", ["strategy_id", "broker_account_id"])
@pytest.mark.parametrize("text", ["", None, np.nan, " padded", "padded ", "x" * 129, 7])
def test_an_order_without_an_owner_is_invalid(name: str, text: Any) -> None:
    assert reason(order(**{name: text})) == "invalid_intent"


def test_a_padded_account_does_not_hide_its_position() -> None:
    inputs = book(held(("paper", "SPY", 100)))
    assert not decide(order("buy", 1, broker_account_id="paper "), inputs=inputs)["allowed"].any()


def test_a_row_without_an_id_gets_an_answer_without_an_empty_cell() -> None:
    intents = pd.DataFrame([order(client_intent_id=None), order(client_intent_id=np.nan)])
    for answer in (
        evaluate(intents, book(), RiskConfig()),
        evaluate(intents.drop(columns="client_intent_id"), book(), RiskConfig()),
    ):
        assert not answer.isna().to_numpy().any()
        assert answer["reason"].tolist() == ["invalid_intent"] * 2


def test_without_an_account_there_is_no_count_and_no_position() -> None:
    decision = decide(order(broker_account_id="")).iloc[0]
    assert decision["check_max_daily_trades_exceeded"] == "unavailable"
    assert decision["check_max_position_size_exceeded"] == "unavailable"
    assert np.isnan(decision[["current_qty", "projected_qty", "trades_today"]].astype(float)).all()


@pytest.mark.parametrize(
    "intent_id", ["", np.nan, "x" * 49, "two words", "id\n", "ünique", "\u0661\u0662", 7]
)
def test_an_order_whose_id_the_broker_would_not_take_is_invalid(intent_id: Any) -> None:
    assert reason(order(client_intent_id=intent_id)) == "invalid_intent"


def test_an_order_id_may_have_forty_eight_characters() -> None:
    assert reason(order(client_intent_id="aB3_-" * 9 + "xyz")) == "ok"


@pytest.mark.parametrize(
    "fields",
    [
        {"order_type": "iceberg"},
        {"order_type": "LIMIT", "limit_price": 1.0},
        {"order_type": ""},
        {"order_type": "limit"},
        {"order_type": "limit", "limit_price": np.nan},
        {"order_type": "limit", "limit_price": 0},
        {"order_type": "limit", "limit_price": "1"},
        {"limit_price": 1.0},
        {"order_type": "stop"},
        {"order_type": "stop_limit", "stop_price": 1.0},
        {"order_type": "limit", "limit_price": 1.0, "stop_price": 1.0},
        {"order_type": "trailing_stop"},
        {"order_type": "trailing_stop", "trail_price": 1.0, "trail_percent": 1.0},
        {"trail_percent": 1.0},
        {"time_in_force": "forever"},
        {"order_class": "ladder"},
        {"order_class": "bracket", "take_profit_limit_price": 1.0},
        {"order_class": "oco", "stop_loss_stop_price": 1.0},
        {"order_class": "oto"},
        {"order_class": "oto", "take_profit_limit_price": 1.0, "stop_loss_stop_price": 1.0},
        {"stop_loss_stop_price": 1.0},
        {"stop_loss_limit_price": 1.0},
        {"reference_price": -1.0},
        {"reference_price": np.inf},
        {"action": "replace"},
        {"target_intent_id": "earlier"},
        {"notional": 100.0},
        {"created_at": AS_OF.tz_localize(None)},
        {"valid_until": AS_OF.tz_localize(None)},
    ],
    ids=str,
)
def test_an_order_that_contradicts_itself_is_invalid(fields: Row) -> None:
    assert reason(order(**fields)) == "invalid_intent"


@pytest.mark.parametrize(
    "fields",
    [
        {"order_type": None, "time_in_force": None, "order_class": None, "action": None},
        {"order_type": "limit", "limit_price": 1.0, "time_in_force": "gtc"},
        {"order_type": "stop", "stop_price": 1.0},
        {"order_type": "stop_limit", "stop_price": 1.0, "limit_price": 1.0},
        {"order_type": "trailing_stop", "trail_percent": 1.0},
        {"order_class": "bracket", "take_profit_limit_price": 2.0, "stop_loss_stop_price": 1.0},
        {"order_class": "oco", "take_profit_limit_price": 2.0, "stop_loss_stop_price": 1.0},
        {"order_class": "oto", "stop_loss_stop_price": 1.0, "stop_loss_limit_price": 0.9},
        {"created_at": AS_OF, "valid_until": AS_OF.tz_convert("America/New_York")},
    ],
    ids=str,
)
def test_an_order_of_a_known_form_is_allowed(fields: Row) -> None:
    assert reason(order(**fields)) == "ok"


def test_a_batch_without_a_required_column_is_invalid_as_a_whole() -> None:
    intents = batch(order(), order()).drop(columns="side")
    assert evaluate(intents, book(), RiskConfig())["reason"].tolist() == ["invalid_intent"] * 2


def test_an_invalid_row_leaves_no_trace() -> None:
    assert reasons(order("buy", 60, strategy_id=""), order("buy", 60), max_daily_trades=1) == [
        "invalid_intent",
        "ok",
    ]


# Kill switch, accounts, duplicates, expiry


def test_the_kill_switch_refuses_every_order() -> None:
    inputs = book(held(("paper", "SPY", 50)), kill_switch=True)
    assert reasons(order("buy", 1), order("sell", 1), inputs=inputs) == ["kill_switch_enabled"] * 2


def test_an_account_that_is_not_configured_is_refused() -> None:
    rows = order(), order(broker_account_id="other")
    assert reasons(*rows, accounts=frozenset({"paper"})) == ["ok", "account_not_configured"]


def test_where_no_accounts_are_configured_the_account_rule_is_off() -> None:
    assert decide(order())["check_account_not_configured"].tolist() == ["off"]


def test_an_id_already_allowed_in_this_batch_is_a_duplicate() -> None:
    rows = [order(client_intent_id="a") for _ in range(3)]
    assert reasons(*rows) == ["ok", "duplicate_intent", "duplicate_intent"]


def test_an_id_that_was_allowed_before_this_batch_is_a_duplicate() -> None:
    known = replace(book(), allowed_ids=frozenset({("paper", "a"), ("other", "b")}))
    rows = [order(client_intent_id="a"), order(client_intent_id="b"), cancel(client_intent_id="a")]
    assert reasons(*rows, inputs=known) == ["duplicate_intent", "ok", "duplicate_intent"]


def test_an_id_allowed_before_is_no_duplicate_in_another_account_and_leaves_no_trace() -> None:
    known = replace(book(), allowed_ids=frozenset({("paper", "a")}))
    rows = [
        order("buy", 100, client_intent_id="a", broker_account_id="other"),
        order("buy", 100, client_intent_id="a"),
        order("buy", 100, client_intent_id="c"),
    ]
    assert reasons(*rows, inputs=known) == ["ok", "duplicate_intent", "ok"]


def test_an_id_whose_first_row_was_refused_may_be_used_by_a_later_row() -> None:
    assert reasons(order("buy", 101, client_intent_id="a"), order("buy", 100, client_intent_id="a")) == [
        "max_position_size_exceeded",
        "ok",
    ]


def test_the_same_id_in_another_account_is_no_duplicate() -> None:
    assert reasons(order(client_intent_id="a"), order(client_intent_id="a", broker_account_id="other")) == [
        "ok",
        "ok",
    ]


def test_an_order_is_valid_until_its_last_instant_and_not_after() -> None:
    after = AS_OF - pd.Timedelta(1, "us")
    assert reasons(order(valid_until=AS_OF), order(valid_until=after)) == ["ok", "intent_expired"]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_timestamps_may_be_of_any_unit_and_zone(unit: str, zone: str) -> None:
    timestamps = [AS_OF, AS_OF - pd.Timedelta(seconds=1), AS_OF - pd.Timedelta(seconds=2), pd.NaT]
    intents = batch(*[order(valid_until=timestamp, created_at=timestamp) for timestamp in timestamps])
    recast = intents.astype(dict.fromkeys(("valid_until", "created_at"), f"datetime64[{unit}, {zone}]"))
    inputs = replace(book(), as_of=AS_OF.tz_convert(zone).as_unit(unit) - pd.Timedelta(seconds=1))
    assert evaluate(recast, inputs, RiskConfig())["reason"].tolist() == ["ok", "ok", "intent_expired", "ok"]
    later = replace(book(), as_of=AS_OF.tz_convert(zone).as_unit(unit))
    no_deadline = recast.drop(columns="valid_until")
    assert evaluate(no_deadline, later, RiskConfig(intent_max_age_s=1))["reason"].tolist() == [
        "ok",
        "ok",
        "intent_expired",
        "risk_data_unavailable",
    ]


def test_a_naive_timestamp_in_one_row_does_not_blur_the_timestamps_of_the_others() -> None:
    naive, late = AS_OF.tz_localize(None), AS_OF - pd.Timedelta(seconds=1)
    rows = order(valid_until=naive), order(valid_until=AS_OF), order(valid_until=late)
    assert reasons(*rows) == ["invalid_intent", "ok", "intent_expired"]


def test_an_order_may_be_valid_for_ever() -> None:
    for_ever = pd.Timestamp("9999-12-31T23:59:59Z")
    assert reason(order(valid_until=for_ever)) == "ok"
    beside_a_naive_one = order(valid_until=AS_OF.tz_localize(None)), order(valid_until=for_ever)
    assert reasons(*beside_a_naive_one) == ["invalid_intent", "ok"]


def test_without_a_time_of_judgement_it_is_unknown_what_has_expired() -> None:
    inputs = replace(book(), as_of=pd.NaT)
    assert reason(order(valid_until=AS_OF), inputs) == "risk_data_unavailable"
    assert reason(order(created_at=AS_OF), inputs, intent_max_age_s=60) == "risk_data_unavailable"


def test_an_order_older_than_the_longest_age_is_expired() -> None:
    rows = [order(created_at=AS_OF - pd.Timedelta(seconds=age_s)) for age_s in (60, 60.000001, -5)]
    assert reasons(*rows, intent_max_age_s=60) == ["ok", "intent_expired", "ok"]


def test_an_order_of_unknown_age_is_refused_where_age_is_limited() -> None:
    assert reason(order()) == "ok"
    assert reason(order(), intent_max_age_s=60) == "risk_data_unavailable"
    assert reason(order(created_at=pd.NaT), intent_max_age_s=60) == "risk_data_unavailable"


def test_fail_open_does_not_let_an_order_of_unknown_age_through() -> None:
    assert reason(order(), intent_max_age_s=60, fail_open=True) == "risk_data_unavailable"


# Cancels


def test_a_cancel_is_allowed_whatever_the_risk_rules_and_the_kill_switch_say() -> None:
    inputs = book(kill_switch=True, unavailable=("positions", "daily_trades", "working_orders"))
    decision = decide(
        cancel(valid_until=AS_OF - pd.Timedelta(seconds=1)),
        inputs=inputs,
        max_daily_trades=0,
        max_position_qty=0,
    ).iloc[0]
    assert decision["reason"] == "ok"
    assert set_checks(decision.filter(like="check_").to_dict()) == {
        "check_invalid_intent": "pass",
        "check_duplicate_intent": "pass",
    }


def test_a_cancel_without_its_target_is_invalid() -> None:
    assert reasons(cancel(None), cancel(""), cancel("two words")) == ["invalid_intent"] * 3


def test_a_cancel_may_name_symbol_side_and_quantity_but_not_wrongly() -> None:
    right, wrong = cancel(symbol="SPY", side="buy", qty=1), cancel(symbol="spy", side="buy", qty=1)
    assert reasons(right, wrong, cancel(side="long"), cancel(qty=-1)) == ["ok", *["invalid_intent"] * 3]


def test_a_cancel_is_neither_a_trade_nor_a_change_of_position() -> None:
    rows = cancel(symbol="SPY", side="buy", qty=60), order("buy", 100)
    decisions = decide(*rows, max_daily_trades=1)
    assert decisions["reason"].tolist() == ["ok", "ok"]
    assert decisions["trades_today"].iloc[1] == 0


def test_a_cancel_frees_no_headroom_before_it_is_confirmed() -> None:
    rows = order("buy", 60, client_intent_id="first"), cancel("first"), order("buy", 60)
    assert reasons(*rows) == ["ok", "ok", "max_position_size_exceeded"]


def test_a_cancel_of_an_account_that_is_not_configured_is_refused() -> None:
    assert reason(cancel(), accounts=frozenset({"other"})) == "account_not_configured"


# Daily trades


def test_of_six_unfilled_orders_only_two_pass_a_daily_limit_of_two() -> None:
    decisions = decide(*[order("buy", 1) for _ in range(6)], max_daily_trades=2)
    assert decisions["reason"].tolist() == ["ok"] * 2 + ["max_daily_trades_exceeded"] * 4
    assert decisions["trades_today"].tolist() == [0, 1, 2, 2, 2, 2]


def test_filled_trades_and_working_orders_count_together() -> None:
    inputs = book(daily_trades=traded(("paper", 2)), working_orders=working(("paper", "QQQ", "sell", 1)))
    assert reasons(order(), order(), inputs=inputs, max_daily_trades=4) == ["ok", "max_daily_trades_exceeded"]


def test_trades_of_another_account_do_not_count() -> None:
    inputs = book(daily_trades=traded(("other", 50)), working_orders=working(("other", "SPY", "buy", 100)))
    assert reason(order(), inputs) == "ok"


def test_a_daily_limit_of_zero_refuses_every_order() -> None:
    assert reason(order(), max_daily_trades=0) == "max_daily_trades_exceeded"


@pytest.mark.parametrize("trades", [np.nan, None, -1, 1.5, np.inf, 2.0**53])
def test_a_count_that_is_no_count_is_unavailable_for_that_account_only(trades: Any) -> None:
    inputs = book(daily_trades=traded(("paper", trades), ("other", 1)))
    decisions = decide(order(), order(broker_account_id="other"), inputs=inputs)
    assert decisions["reason"].tolist() == ["risk_data_unavailable", "ok"]
    assert np.isnan(decisions["trades_today"].iloc[0])


def test_an_account_counted_twice_is_unavailable() -> None:
    inputs = book(daily_trades=traded(("paper", 1), ("paper", 1)))
    assert reason(order(), inputs) == "risk_data_unavailable"


def test_a_count_without_an_account_makes_every_count_unavailable() -> None:
    assert reason(order(), book(daily_trades=traded(("other", 1), (None, 1)))) == "risk_data_unavailable"


def test_a_working_order_of_unknown_size_still_counts_as_one_trade() -> None:
    inputs = book(working_orders=working(("paper", "QQQ", "buy", np.nan)))
    decision = decide(order(), inputs=inputs).iloc[0]
    assert decision["reason"] == "ok"
    assert decision["trades_today"] == 1


# Position size, worst case


def test_order_exactly_at_the_position_limit_is_allowed() -> None:
    assert reason(order("buy", 100)) == "ok"
    assert reason(order("sell", 100)) == "ok"


def test_order_one_unit_above_the_position_limit_is_refused() -> None:
    assert reason(order("buy", 100.000000001)) == "max_position_size_exceeded"
    assert reason(order("sell", 100.000000001)) == "max_position_size_exceeded"


def test_a_tenth_and_two_tenths_are_at_a_limit_of_three_tenths() -> None:
    assert reasons(order("buy", 0.1), order("buy", 0.2), max_position_qty=0.3) == ["ok", "ok"]


def test_a_tenth_and_two_tenths_and_one_unit_are_above_a_limit_of_three_tenths() -> None:
    rows = order("buy", 0.1), order("buy", 0.2), order("buy", 1e-9)
    assert reasons(*rows, max_position_qty=0.3) == ["ok", "ok", "max_position_size_exceeded"]


def test_a_position_that_was_summed_in_floats_is_read_to_the_nearest_unit() -> None:
    inputs = book(held(("paper", "SPY", 0.1 + 0.2)))
    assert reason(order("buy", 0.7), inputs, max_position_qty=1) == "ok"


def test_one_unit_counts_even_where_a_float_could_not_hold_the_sum() -> None:
    inputs = book(held(("paper", "SPY", 999_999_999.123455)))
    limit = 999_999_999.123456
    assert reason(order("buy", 0.000001), inputs, max_position_qty=limit) == "ok"
    assert reason(order("buy", 0.000001001), inputs, max_position_qty=limit) == "max_position_size_exceeded"


@pytest.mark.parametrize(
    ("qty", "expected"),
    [(10, "ok"), (50, "ok"), (250, "ok"), (251, "max_position_size_exceeded")],
)
def test_a_position_over_its_limit_can_be_reduced_and_turned_but_not_beyond_the_other_limit(
    qty: float, expected: str
) -> None:
    assert reason(order("sell", qty), book(held(("paper", "SPY", 150)))) == expected


@pytest.mark.parametrize(
    ("qty", "expected"),
    [(10, "ok"), (50, "ok"), (250, "ok"), (251, "max_position_size_exceeded")],
)
def test_a_short_position_over_its_limit_can_be_bought_back_likewise(qty: float, expected: str) -> None:
    assert reason(order("buy", qty), book(held(("paper", "SPY", -150)))) == expected


def test_a_position_over_its_limit_can_not_grow() -> None:
    assert reason(order("buy", 1), book(held(("paper", "SPY", 150)))) == "max_position_size_exceeded"


def test_of_five_unfilled_buys_of_sixty_only_the_first_passes_a_limit_of_a_hundred() -> None:
    decisions = decide(*[order("buy", 60) for _ in range(5)])
    assert decisions["reason"].tolist() == ["ok"] + ["max_position_size_exceeded"] * 4
    assert decisions["projected_qty"].tolist() == [60, 120, 120, 120, 120]


def test_of_two_unfilled_sells_of_sixty_only_the_first_passes_a_limit_of_a_hundred() -> None:
    decisions = decide(order("sell", 60), order("sell", 60), order("sell", 40))
    assert decisions["reason"].tolist() == ["ok", "max_position_size_exceeded", "ok"]
    assert decisions["projected_qty"].tolist() == [-60, -120, -100]


def test_a_refused_order_leaves_no_trace() -> None:
    assert reasons(order("buy", 60), order("buy", 60), order("buy", 40)) == [
        "ok",
        "max_position_size_exceeded",
        "ok",
    ]


def test_an_unfilled_sell_makes_no_room_for_a_buy() -> None:
    inputs = book(held(("paper", "SPY", 100)), working_orders=working(("paper", "SPY", "sell", 100)))
    assert reasons(order("sell", 50), order("buy", 1), inputs=inputs) == ["ok", "max_position_size_exceeded"]


def test_working_orders_use_up_the_limit() -> None:
    inputs = book(working_orders=working(("paper", "SPY", "buy", 40), ("paper", "SPY", "buy", 30.5)))
    assert reason(order("buy", 29.5), inputs) == "ok"
    assert reason(order("buy", 29.6), inputs) == "max_position_size_exceeded"


def test_each_account_is_judged_by_its_own_position() -> None:
    inputs = book(held(("paper", "SPY", 90), ("other", "SPY", -90)))
    decisions = decide(order("buy", 20), order("buy", 20, broker_account_id="other"), inputs=inputs)
    assert decisions["reason"].tolist() == ["max_position_size_exceeded", "ok"]
    assert decisions["current_qty"].tolist() == [90, -90]


def test_each_symbol_is_judged_by_its_own_position() -> None:
    inputs = book(held(("paper", "SPY", 100)))
    assert reasons(order("buy", 1), order("buy", 1, symbol="QQQ"), inputs=inputs) == [
        "max_position_size_exceeded",
        "ok",
    ]


@pytest.mark.parametrize("qty", [np.nan, None, np.inf, -np.inf, 1e9, -1e9, 2e10])
def test_a_position_that_nobody_can_hold_is_unavailable_for_that_symbol_only(qty: Any) -> None:
    inputs = book(held(("paper", "SPY", qty), ("paper", "QQQ", 1)))
    decisions = decide(order("sell"), order("sell", symbol="QQQ"), inputs=inputs)
    assert decisions["reason"].tolist() == ["risk_data_unavailable", "ok"]
    assert np.isnan(decisions["current_qty"].iloc[0])
    assert np.isnan(decisions["projected_qty"].iloc[0])


def test_two_position_rows_for_one_key_make_that_key_unavailable() -> None:
    inputs = book(held(("paper", "SPY", 1), ("paper", "SPY", 1), ("paper", "QQQ", 1)))
    assert reasons(order(), order(symbol="QQQ"), inputs=inputs) == ["risk_data_unavailable", "ok"]


@pytest.mark.parametrize("key", [(None, "SPY"), ("paper", None), (np.nan, "QQQ")])
def test_a_position_without_a_key_makes_every_position_unavailable(key: tuple[Any, Any]) -> None:
    inputs = book(held(("other", "IWM", 1), (*key, 1)))
    assert reason(order(), inputs) == "risk_data_unavailable"


@pytest.mark.parametrize(
    ("side", "qty"),
    [
        ("buy", np.nan),
        ("sell", np.nan),
        ("buy", -1),
        ("buy", -1e-9),
        ("buy", 2e10),
        ("buy", np.inf),
        ("long", 1),
        (None, 1),
    ],
)
def test_a_working_order_of_unknown_size_or_side_makes_its_symbol_unavailable(side: Any, qty: float) -> None:
    inputs = book(working_orders=working(("paper", "SPY", side, qty), ("paper", "QQQ", "buy", 1)))
    decisions = decide(order(), order(symbol="QQQ"), inputs=inputs)
    assert decisions["reason"].tolist() == ["risk_data_unavailable", "ok"]
    assert decisions["current_qty"].iloc[0] == 0
    assert np.isnan(decisions["projected_qty"].iloc[0])


def test_a_working_order_without_a_key_makes_all_of_them_unavailable() -> None:
    inputs = book(working_orders=working(("other", "SPY", "buy", 1), (None, "SPY", "buy", 1)))
    decision = decide(order(), inputs=inputs).iloc[0]
    assert decision["check_max_daily_trades_exceeded"] == "unavailable"
    assert decision["check_max_position_size_exceeded"] == "unavailable"


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize("orders", [5, 10, 19, 20, 37, 40])
def test_working_orders_whose_sum_would_wrap_an_int64_allow_nothing(side: str, orders: int) -> None:
    huge = working(*[("paper", "SPY", side, 999_999_999)] * orders)
    rows = order(side, 1), order("sell" if side == "buy" else "buy", 1)
    decisions = decide(*rows, inputs=book(working_orders=huge), max_position_qty=999_999_999)
    assert decisions["reason"].tolist() == ["risk_data_unavailable"] * 2
    assert decisions["projected_qty"].isna().all()


def test_a_notional_order_is_refused_for_want_of_a_price() -> None:
    decision = decide(order(qty=None, notional=100.0, reference_price=10.0)).iloc[0]
    assert decision["reason"] == "risk_data_unavailable"
    assert decision["check_invalid_intent"] == "pass"
    assert decision["check_max_position_size_exceeded"] == "unavailable"
    assert np.isnan(decision["projected_qty"])
    assert decision["current_qty"] == 0


# Position size, net


@pytest.mark.parametrize(("side", "position"), [("sell", 150), ("buy", -150)])
@pytest.mark.parametrize(
    ("qty", "expected"),
    [(10, "ok"), (49, "ok"), (150, "ok"), (151, "ok"), (250, "ok"), (251, "max_position_size_exceeded")],
)
def test_net_lets_a_position_over_its_limit_shrink(
    side: str, position: float, qty: float, expected: str
) -> None:
    inputs = book(held(("paper", "SPY", position)))
    assert reason(order(side, qty), inputs, position_projection="net") == expected


def test_net_gives_no_exemption_to_an_order_that_crosses_zero() -> None:
    inputs = book(held(("paper", "SPY", 500)))
    assert reason(order("sell", 399), inputs, position_projection="net") == "ok"
    assert reason(order("sell", 601), inputs, position_projection="net") == "max_position_size_exceeded"


def test_net_lets_no_position_over_its_limit_grow() -> None:
    inputs = book(held(("paper", "SPY", 150)))
    assert reason(order("buy", 1), inputs, position_projection="net") == "max_position_size_exceeded"


def test_net_lets_an_allowed_sell_make_room_for_a_buy() -> None:
    inputs = book(held(("paper", "SPY", 100)))
    rows = order("sell", 50), order("buy", 50), order("buy", 1)
    assert reasons(*rows, inputs=inputs, position_projection="net") == [
        "ok",
        "ok",
        "max_position_size_exceeded",
    ]


def test_net_takes_working_orders_at_their_sum() -> None:
    inputs = book(working_orders=working(("paper", "SPY", "buy", 80), ("paper", "SPY", "sell", 30)))
    decision = decide(order("buy", 50), inputs=inputs, position_projection="net").iloc[0]
    assert decision["reason"] == "ok"
    assert decision["projected_qty"] == 100


def test_net_does_not_lose_count_of_working_orders_that_hardly_fit_an_int64() -> None:
    huge = working(*[("paper", "SPY", "buy", 999_999_999)] * 8)
    rows = *[order("sell", 900_000_000) for _ in range(4)], order("buy", 1)
    decisions = decide(
        *rows, inputs=book(working_orders=huge), position_projection="net", max_position_qty=999_999_999
    )
    assert not decisions["allowed"].iloc[-1]


def test_net_may_turn_over_more_than_an_int64_holds() -> None:
    rows = [order("sell" if nth % 2 else "buy", 900_000_000) for nth in range(50)]
    assert set(reasons(*rows, position_projection="net", max_position_qty=999_999_999)) == {"ok"}


# Open breaks


def unreconciled(qty: float, *orders: tuple[Any, Any, Any, Any]) -> RiskInputs:
    """Say that SPY of the account paper has an open break, what the account holds and what works."""
    return book(
        held(("paper", "SPY", qty)), working_orders=working(*orders), unreconciled=broken_in(("paper", "SPY"))
    )


def test_who_names_no_breaks_has_none() -> None:
    frames = {"positions": held(), "daily_trades": traded(), "working_orders": working()}
    inputs = RiskInputs(as_of=AS_OF, trading_date=AS_OF.date(), **frames)
    assert reason(order("buy", 1), inputs) == "ok"


def not_compared(*accounts: Any, breaks: tuple[tuple[Any, Any], ...] = ()) -> pd.DataFrame:
    rows = [(account, None, False) for account in accounts] + [(*key, True) for key in breaks]
    return pd.DataFrame(rows, columns=["broker_account_id", "symbol", "compared"])


def test_an_account_whose_books_were_not_compared_is_unavailable_and_no_other() -> None:
    rows = (order(broker_account_id="paper"), order(broker_account_id="other"))
    found = decide(*rows, inputs=book(unreconciled=not_compared("paper")))
    assert list(found["check_position_unreconciled"]) == ["unavailable", "pass"]
    assert list(found["reason"]) == ["risk_data_unavailable", "ok"]


def test_known_breaks_of_an_account_that_was_not_compared_still_refuse_even_where_failing_open() -> None:
    rows = (order(symbol="SPY"), order(symbol="QQQ"))
    inputs = book(unreconciled=not_compared("paper", breaks=(("paper", "SPY"),)))
    assert reasons(*rows, inputs=inputs, fail_open=True) == ["position_unreconciled", "ok"]
    assert reasons(*rows, inputs=inputs) == ["position_unreconciled", "risk_data_unavailable"]


@pytest.mark.parametrize("cell", [None, np.nan, 0, "true", 1])
def test_whatever_is_not_plainly_compared_is_not(cell: Any) -> None:
    frame = pd.DataFrame({"broker_account_id": ["paper"], "symbol": [None], "compared": [cell]}, dtype=object)
    assert reason(order(), book(unreconciled=frame)) == "risk_data_unavailable"


def test_without_an_account_no_books_were_compared() -> None:
    assert reason(order(), book(unreconciled=not_compared(None))) == "risk_data_unavailable"


@pytest.mark.parametrize("projection", ["worst_case", "net"])
@pytest.mark.parametrize("shape", [("sell", "buy", 1), ("buy", "sell", -1)])
def test_an_unreconciled_position_may_shrink_to_zero_and_no_further(
    projection: str, shape: tuple[str, str, int]
) -> None:
    shrinks, grows, sign = shape
    inputs = unreconciled(10 * sign)
    rows = order(shrinks, 4), order(grows, 1), order(shrinks, 6), order(shrinks, 1e-9)
    assert reasons(*rows, inputs=inputs, position_projection=projection) == [
        "ok",
        "position_unreconciled",
        "ok",
        "position_unreconciled",
    ]


def test_a_flat_unreconciled_symbol_takes_no_order() -> None:
    inputs = book(unreconciled=broken_in(("paper", "SPY")))
    assert reasons(order("buy", 1), order("sell", 1), inputs=inputs) == ["position_unreconciled"] * 2


def test_an_order_that_would_turn_an_unreconciled_position_is_refused_whole() -> None:
    assert reason(order("sell", 11), unreconciled(10)) == "position_unreconciled"


@pytest.mark.parametrize("projection", ["worst_case", "net"])
def test_what_works_already_may_shrink_an_unreconciled_position_first(projection: str) -> None:
    inputs = unreconciled(10, ("paper", "SPY", "sell", 7), ("paper", "SPY", "buy", 50))
    rows = order("sell", 4), order("sell", 3), order("sell", 1)
    assert reasons(*rows, inputs=inputs, position_projection=projection) == [
        "position_unreconciled",
        "ok",
        "position_unreconciled",
    ]


def test_a_refused_sell_of_an_unreconciled_position_leaves_the_next_its_room() -> None:
    rows = order("sell", 10, strategy_id=""), order("sell", 10)
    assert reasons(*rows, inputs=unreconciled(10)) == ["invalid_intent", "ok"]


def test_an_unreconciled_tenth_and_two_tenths_are_three_tenths() -> None:
    rows = order("sell", 0.1), order("sell", 0.2), order("sell", 1e-9)
    assert reasons(*rows, inputs=unreconciled(0.3)) == ["ok", "ok", "position_unreconciled"]


def test_a_break_concerns_its_own_symbol_and_account_only() -> None:
    rows = order("buy", 1, symbol="QQQ"), order("buy", 1, broker_account_id="second")
    assert reasons(*rows, inputs=unreconciled(10)) == ["ok", "ok"]


@pytest.mark.parametrize("symbol", [None, np.nan, "", "  "])
def test_a_break_without_a_symbol_concerns_the_whole_account(symbol: Any) -> None:
    inputs = book(held(("paper", "SPY", 10)), unreconciled=broken_in(("paper", symbol)))
    rows = (
        order("buy", 1),
        order("sell", 10),
        order("buy", 1, symbol="QQQ"),
        order("buy", 1, broker_account_id="second"),
    )
    assert reasons(*rows, inputs=inputs) == ["position_unreconciled", "ok", "position_unreconciled", "ok"]


def test_a_break_without_an_account_could_be_anybodys() -> None:
    inputs = book(unreconciled=broken_in((None, "QQQ")))
    assert reason(order("buy", 1), inputs) == "risk_data_unavailable"


def test_the_symbols_of_breaks_are_compared_in_capitals() -> None:
    inputs = book(unreconciled=broken_in(("paper", " spy ")))
    assert reason(order("buy", 1), inputs) == "position_unreconciled"


def test_without_knowing_of_breaks_no_order_passes_but_cancels_do() -> None:
    inputs = book(unavailable=("unreconciled",))
    decisions = decide(order("sell", 1), cancel(), inputs=inputs)
    assert decisions["reason"].tolist() == ["risk_data_unavailable", "ok"]
    assert decisions["check_position_unreconciled"].tolist() == ["unavailable", "off"]


def test_a_cancel_passes_whatever_is_unreconciled() -> None:
    assert reason(cancel(symbol="SPY", side="buy", qty=1), unreconciled(10)) == "ok"


def test_an_unreconciled_symbol_whose_position_is_unknown_is_unavailable() -> None:
    inputs = book(unavailable=("positions",), unreconciled=broken_in(("paper", "SPY")))
    decision = decide(order("sell", 1), order("sell", 1, symbol="QQQ"), inputs=inputs)
    assert decision["check_position_unreconciled"].tolist() == ["unavailable", "pass"]


def test_an_unreconciled_order_by_notional_is_unavailable() -> None:
    row = order("sell", None, notional=100.0)
    assert decide(row, inputs=unreconciled(10))["check_position_unreconciled"].tolist() == ["unavailable"]


def test_fail_open_skips_an_unknown_break_and_no_known_one() -> None:
    unknown = book(unavailable=("unreconciled",))
    assert reason(order("buy", 1), unknown, fail_open=True) == "ok"
    assert reason(order("buy", 1), unreconciled(10), fail_open=True) == "position_unreconciled"


# Fail open


def test_fail_open_skips_only_the_rule_whose_data_is_unavailable_and_says_so() -> None:
    without_positions = book(unavailable=("positions",))
    decision = decide(order("buy", 500), inputs=without_positions, fail_open=True).iloc[0]
    assert decision["reason"] == "ok"
    assert decision["check_max_position_size_exceeded"] == "unavailable"
    assert decision["check_max_daily_trades_exceeded"] == "pass"


def test_fail_open_still_applies_the_rule_whose_data_is_there() -> None:
    without_counts = book(unavailable=("daily_trades",))
    assert reason(order("buy", 101), without_counts, fail_open=True) == "max_position_size_exceeded"
    without_positions = book(daily_trades=traded(("paper", 50)), unavailable=("positions",))
    assert reason(order("buy", 1), without_positions, fail_open=True) == "max_daily_trades_exceeded"


def test_fail_open_does_not_excuse_an_invalid_row() -> None:
    inputs = book(unavailable=("positions", "daily_trades", "working_orders"))
    assert reason(order("buy", np.nan), inputs, fail_open=True) == "invalid_intent"


def test_after_a_notional_order_went_through_fail_open_its_position_is_unknown() -> None:
    rows = order(qty=None, notional=100.0), order("buy", 1), order("buy", 101, symbol="QQQ")
    decisions = decide(*rows, fail_open=True)
    assert decisions["reason"].tolist() == ["ok", "ok", "max_position_size_exceeded"]
    assert decisions["check_max_position_size_exceeded"].tolist() == ["unavailable", "unavailable", "fail"]
    assert decisions["current_qty"].tolist() == [0, 0, 0]


def test_orders_let_through_by_fail_open_count_as_trades() -> None:
    inputs = book(unavailable=("positions",))
    assert reasons(order(), order(), inputs=inputs, fail_open=True, max_daily_trades=1) == [
        "ok",
        "max_daily_trades_exceeded",
    ]


# A rule that raises


def broken(name: str) -> tuple[Rule, ...]:
    """Return the rule book with one rule that raises."""

    def raises(*_: object) -> Any:
        raise ZeroDivisionError("a mistake in a rule")

    return tuple(replace(rule, judge=raises) if rule.name == name else rule for rule in RULE_BOOK)


@pytest.mark.parametrize("fail_open", [False, True])
def test_a_rule_that_raises_refuses_the_rows_that_face_it_and_the_others_still_answer(
    fail_open: bool,
) -> None:
    intents = batch(order("buy", 1), order("buy", 101), cancel())
    config = RiskConfig(fail_open=fail_open)
    decisions = evaluate(intents, book(), config, rule_book=broken("intent_expired"))
    assert decisions["reason"].tolist() == ["risk_data_unavailable", "risk_data_unavailable", "ok"]
    assert decisions["check_intent_expired"].tolist() == ["unavailable", "unavailable", "off"]
    assert decisions["check_max_position_size_exceeded"].tolist() == ["pass", "fail", "off"]


def test_a_rule_that_raises_takes_its_own_place_in_the_order_of_reasons() -> None:
    decisions = evaluate(
        batch(order(strategy_id="")), book(), RiskConfig(), rule_book=broken("account_not_configured")
    )
    assert decisions["reason"].tolist() == ["invalid_intent"]


# Limits


@pytest.mark.parametrize("limit", [np.nan, np.inf, -1.0, 2e10, "abc", 1e-10, True])
def test_a_position_limit_that_is_none_is_a_configuration_error(limit: Any) -> None:
    with pytest.raises(ConfigurationError):
        RiskConfig(max_position_qty=limit)


@pytest.mark.parametrize("limit", [np.nan, -1, 1.5, "abc", True])
def test_a_trades_limit_that_is_none_is_a_configuration_error(limit: Any) -> None:
    with pytest.raises(ConfigurationError):
        RiskConfig(max_daily_trades=limit)


# One instrument, one key, however it is written

SPELLINGS = [("BRK.B", "BRK/B", "BRK-B"), ("BTC/USD", "BTCUSD", "BTC-USD")]
TWO_SPELLINGS = [pair for forms in SPELLINGS for pair in itertools.permutations(forms, 2)]


@pytest.mark.parametrize("forms", SPELLINGS)
def test_all_forms_of_a_symbol_share_one_limit(forms: tuple[str, ...]) -> None:
    rows = [order("buy", 40, symbol=form) for form in forms]
    assert reasons(*rows) == ["ok", "ok", "max_position_size_exceeded"]


@pytest.mark.parametrize(("ours", "theirs"), TWO_SPELLINGS)
def test_a_position_in_any_form_counts_for_an_intent_in_any_other(ours: str, theirs: str) -> None:
    inputs = book(held(("paper", f" {theirs.lower()}", 60)))
    rows = [order("buy", 41, symbol=ours), order("buy", 40, symbol=theirs)]
    decision = decide(*rows, inputs=inputs)
    assert decision["reason"].tolist() == ["max_position_size_exceeded", "ok"]
    assert decision["current_qty"].tolist() == [60, 60]


@pytest.mark.parametrize(("ours", "theirs"), TWO_SPELLINGS)
def test_a_working_order_in_any_form_counts_for_an_intent_in_any_other(ours: str, theirs: str) -> None:
    inputs = book(working_orders=working(("paper", theirs, "buy", 60)))
    assert reason(order("buy", 41, symbol=ours), inputs) == "max_position_size_exceeded"


@pytest.mark.parametrize(("ours", "theirs"), TWO_SPELLINGS)
def test_a_break_in_any_form_holds_for_an_intent_in_any_other(ours: str, theirs: str) -> None:
    inputs = book(unreconciled=broken_in(("paper", theirs)))
    assert reason(order("buy", 1, symbol=ours), inputs) == "position_unreconciled"


@pytest.mark.parametrize(("one", "other"), TWO_SPELLINGS)
def test_two_position_rows_of_one_instrument_make_it_unavailable(one: str, other: str) -> None:
    inputs = book(held(("paper", one, 1), ("paper", other, 1), ("paper", "SPY", 1)))
    rows = [order(symbol=one), order(symbol="SPY")]
    assert reasons(*rows, inputs=inputs) == ["risk_data_unavailable", "ok"]


@pytest.mark.parametrize(("one", "other"), [("BRK.B", "BRKB"), ("BTC.USD", "BTCUSD"), ("AB/USD", "ABUSD")])
def test_two_instruments_have_a_limit_each(one: str, other: str) -> None:
    inputs = book(held(("paper", one, 60), ("paper", other, 60)))
    assert reasons(order("buy", 40, symbol=one), order("buy", 40, symbol=other), inputs=inputs) == ["ok"] * 2
    assert reason(order("buy", 41, symbol=one), inputs) == "max_position_size_exceeded"


# Names that look like others

LOOKALIKES = [
    "paper\u200b",
    "p\u202aaper",
    "paper\u2028",
    "paper\u00a0",
    "\uff50aper",
    "paper\ufe0f",
    "paper\x85",
]


@pytest.mark.parametrize("account", LOOKALIKES)
def test_an_intent_of_an_account_that_looks_like_another_is_invalid(account: str) -> None:
    assert reason(order(broker_account_id=account)) == "invalid_intent"
    assert reason(order(strategy_id=account)) == "invalid_intent"


@pytest.mark.parametrize("account", LOOKALIKES)
@pytest.mark.parametrize("frame", ["positions", "daily_trades", "working_orders", "unreconciled"])
def test_an_account_that_looks_like_another_leaves_nothing_known_of_any(account: str, frame: str) -> None:
    frames = {
        "positions": held((account, "SPY", 60)),
        "daily_trades": traded((account, 1)),
        "working_orders": working((account, "SPY", "buy", 60)),
        "unreconciled": broken_in((account, "SPY")),
    }
    assert reason(order(), book(**{frame: frames[frame]})) == "risk_data_unavailable"
    assert reason(order(broker_account_id="other"), book(**{frame: frames[frame]})) == "risk_data_unavailable"


@pytest.mark.parametrize("symbol", ["SPY\u200b", "\uff33\uff30\uff39", "S\u00adPY"])
def test_a_position_whose_symbol_looks_like_another_makes_its_account_unavailable(symbol: str) -> None:
    inputs = book(held(("paper", symbol, 60)))
    rows = [order(), order(broker_account_id="other")]
    assert reasons(*rows, inputs=inputs) == ["risk_data_unavailable", "ok"]


def test_blanks_around_a_key_are_nothing() -> None:
    inputs = book(held((" paper\n", "\tspy ", 60)))
    assert reasons(order("buy", 41), order("buy", 40), inputs=inputs) == ["max_position_size_exceeded", "ok"]


# created_at ahead of the clock

SKEW = pd.Timedelta(seconds=CLOCK_SKEW_LIMIT_S)
MICROSECOND = pd.Timedelta(1, "us")


@pytest.mark.parametrize("max_age_s", [None, 60.0])
@pytest.mark.parametrize(
    ("ahead", "expected"),
    [
        (pd.Timedelta(0), "ok"),
        (SKEW, "ok"),
        (SKEW + MICROSECOND, "invalid_intent"),
        (pd.Timedelta(days=3650), "invalid_intent"),
    ],
)
def test_an_intent_created_further_ahead_than_clocks_may_differ_is_invalid(
    ahead: pd.Timedelta, expected: str, max_age_s: float | None
) -> None:
    assert reason(order(created_at=AS_OF + ahead), intent_max_age_s=max_age_s) == expected
    assert reason(cancel(created_at=AS_OF + ahead), intent_max_age_s=max_age_s) == expected


def test_what_came_before_a_resumed_run_read_its_inputs_was_not_ahead_of_it() -> None:
    late = AS_OF + pd.Timedelta(hours=1)
    rows = [order(created_at=late + SKEW), order(created_at=late + SKEW + MICROSECOND)]
    assert reasons(*rows, inputs=replace(book(), read_at=late)) == ["ok", "invalid_intent"]
    assert reasons(*rows) == ["invalid_intent", "invalid_intent"]


def test_a_time_of_reading_before_as_of_changes_nothing() -> None:
    inputs = replace(book(), read_at=AS_OF - pd.Timedelta(hours=1))
    assert reason(order(created_at=AS_OF), inputs) == "ok"
