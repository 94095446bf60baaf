from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from engine.model.schema import results_schema
from engine.risk import evaluate
from engine.risk.config import RiskConfig
from engine.risk.inputs import RiskInputs
from engine.routing.dry_run import dry_run, lapsed
from engine.safety.kill_switch import KillSwitchState
from tests.desk import NOON, Row, off, on, order

Switch = Callable[[], KillSwitchState]


def cancel(target: str) -> Row:
    return order(action="cancel", target_intent_id=target, symbol=None, side=None, qty=None)


def routed(
    *rows: Row,
    switch: Switch = off,
    late: bool = False,
    lapsed_rows: tuple[int, ...] = (),
    max_daily_trades: int = 1000,
) -> list[tuple[str, str]]:
    """Judge rows and carry them out; gives status and reason of each."""
    results = table(
        *rows, switch=switch, late=late, lapsed_rows=lapsed_rows, max_daily_trades=max_daily_trades
    ).to_pydict()
    return list(zip(results["status"], results["reason"], strict=True))


def table(
    *rows: Row,
    switch: Switch = off,
    late: bool = False,
    lapsed_rows: tuple[int, ...] = (),
    max_daily_trades: int = 1000,
    prices: pd.DataFrame | None = None,
) -> pa.Table:
    intents = pd.DataFrame(
        [{"action": "new", "client_intent_id": f"id{i}", **row} for i, row in enumerate(rows)]
    )
    nothing = pd.DataFrame(columns=["broker_account_id", "symbol", "qty", "trades", "side", "remaining_qty"])
    inputs = RiskInputs(
        as_of=pd.Timestamp(NOON),
        trading_date=NOON.date(),
        positions=nothing,
        daily_trades=nothing,
        working_orders=nothing,
        prices=prices,
    )
    over = np.isin(np.arange(len(rows)), lapsed_rows)
    return dry_run(
        pa.table({"action": intents["action"].tolist()}),
        evaluate(
            intents,
            inputs,
            RiskConfig(
                max_daily_trades=max_daily_trades, max_order_notional_usd=None if prices is None else 1000
            ),
        ),
        lapsed=over,
        decision_expired=late,
        kill_switch=switch,
    )


def goes_on_after(reads: int) -> Switch:
    count = iter(range(1000))
    return lambda: off() if next(count) < reads else on()


def test_an_allowed_order_would_be_sent_and_a_refused_one_keeps_its_reason() -> None:
    assert routed(order(), order(qty=500)) == [
        ("dry_run", "ok"),
        ("rejected", "max_position_size_exceeded"),
    ]


def test_an_unpriced_order_has_what_is_wrong_with_its_quote_as_its_message() -> None:
    prices = pd.DataFrame(
        [
            ("SPY", 50.0, 51.0, "alpaca", "halted", pd.Timestamp(NOON)),
            ("QQQ", 50.0, 51.0, "alpaca", "ok", NOON),
        ],
        columns=["symbol", "bid", "ask", "source", "verdict", "quote_at"],
    )
    results = table(order(qty=1), order(symbol="QQQ", qty=1), prices=prices).to_pydict()
    assert results["reason"] == ["unpriced", "ok"]
    assert results["message"] == [
        "its quote is halted (trading in its symbol is halted)",
        "would be sent; this was a dry run",
    ]


def test_results_have_one_row_per_decision_in_its_order_and_the_columns_of_the_contract() -> None:
    results = table(order(), order(qty=500), order(symbol="QQQ"))
    assert results.schema.equals(results_schema())
    assert results["client_intent_id"].to_pylist() == ["id0", "id1", "id2"]
    assert results["filled_qty"].to_pylist() == [0.0, 0.0, 0.0]
    assert results["broker_order_id"].null_count == 3
    assert results["message"].to_pylist() == [
        "would be sent; this was a dry run",
        "",
        "would be sent; this was a dry run",
    ]


def test_no_decisions_give_no_results() -> None:
    empty = evaluate(
        pd.DataFrame([order()]).assign(client_intent_id="x").iloc[:0],
        RiskInputs(
            as_of=pd.Timestamp(NOON),
            trading_date=NOON.date(),
            positions=None,
            daily_trades=None,
            working_orders=None,
        ),
        RiskConfig(),
    )
    results = dry_run(
        pa.table({"action": pa.array([], pa.string())}),
        empty,
        lapsed=np.zeros(0, dtype=bool),
        decision_expired=False,
        kill_switch=off,
    )
    assert (results.num_rows, results.schema.equals(results_schema())) == (0, True)


def test_a_switch_that_goes_on_halts_the_orders_that_have_not_had_their_turn() -> None:
    rows = [order(qty=0.5, symbol=f"S{i}") for i in range(130)]
    results = routed(*rows, switch=goes_on_after(1))
    assert results == [("dry_run", "ok")] * 64 + [("halted", "kill_switch_enabled")] * 66


def test_a_switch_that_is_on_halts_every_order() -> None:
    assert routed(order(), order(symbol="QQQ"), switch=on) == [("halted", "kill_switch_enabled")] * 2


def test_cancels_pass_a_switch_that_is_on() -> None:
    assert routed(cancel("a"), order(), switch=on) == [("dry_run", "ok"), ("halted", "kill_switch_enabled")]


def test_a_switch_does_not_rename_what_was_refused() -> None:
    assert routed(order(qty=500), switch=on) == [("rejected", "max_position_size_exceeded")]


def test_the_switch_is_not_asked_where_there_is_nothing_to_send() -> None:
    def nobody_asks() -> KillSwitchState:
        raise AssertionError("asked")

    assert routed(order(qty=500), switch=nobody_asks) == [("rejected", "max_position_size_exceeded")]


def test_the_switch_is_read_at_most_a_hundred_times_and_not_much_less_often() -> None:
    """A switch that is a document costs a request each time."""
    reads: list[int] = []

    def counted() -> KillSwitchState:
        reads.append(1)
        return off()

    rows = [order(qty=0.001, symbol=f"S{i % 50}") for i in range(64 * 101)]
    results = routed(*rows, switch=counted, max_daily_trades=10_000)
    assert set(results) == {("dry_run", "ok")}
    assert len(reads) == 100


def test_late_decisions_are_not_acted_on() -> None:
    assert routed(order(), order(qty=500), late=True) == [
        ("expired", "decision_expired"),
        ("rejected", "max_position_size_exceeded"),
    ]


def test_an_order_past_its_time_is_not_acted_on() -> None:
    assert routed(order(), order(symbol="QQQ"), lapsed_rows=(1,)) == [
        ("dry_run", "ok"),
        ("expired", "intent_expired"),
    ]


def test_a_cancel_has_no_time_to_pass() -> None:
    assert routed(cancel("a"), lapsed_rows=(0,)) == [("dry_run", "ok")]


def test_an_expired_order_stays_expired_where_the_switch_is_on() -> None:
    assert routed(order(), lapsed_rows=(0,), switch=on) == [("expired", "intent_expired")]


# --- whose time is over


def over(*, valid_until_s: float | None = None, created_s: float = 0, max_age_s: float | None = None) -> bool:
    """Tell of an intent with moments in seconds from now."""
    timestamps: dict[str, Any] = {
        "created_at": NOON + timedelta(seconds=created_s),
        "valid_until": None if valid_until_s is None else NOON + timedelta(seconds=valid_until_s),
    }
    kind = pa.timestamp("us", tz="UTC")
    intents = pa.table({name: pa.array([timestamp], kind) for name, timestamp in timestamps.items()})
    return bool(lapsed(intents, NOON, max_age_s)[0])


def test_valid_until_holds_to_the_microsecond_that_it_names() -> None:
    assert (over(valid_until_s=0), over(valid_until_s=-1e-6)) == (False, True)


def test_an_intent_without_valid_until_does_not_lapse() -> None:
    assert not over(created_s=-1e6)


def test_an_intent_lapses_at_the_oldest_allowed_age() -> None:
    assert (over(created_s=-60, max_age_s=60), over(created_s=-60.000001, max_age_s=60)) == (False, True)
