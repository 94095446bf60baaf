"""``cancel-all`` and ``halt --cancel`` as an operator meets them."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest

from tests.desk import Row, order
from tests.jobs.command_line import jsonl, one_line_error
from tests.jobs.live_machine import API_KEY, SECRET_KEY, Live


def resting(name: str, **said: Any) -> Row:
    """Return an order that will not fill."""
    return order(**{"client_intent_id": name, "order_type": "limit", "limit_price": 1, **said})


@pytest.fixture
def busy(live: Live) -> Live:
    """A broker with three orders that rest: two of momentum, one of value."""
    rows = [
        resting("a"),
        resting("b", symbol="KO"),
        resting("c", symbol="KO", strategy_id="value", limit_price=1.5),
    ]
    live.cli("drop", stdin=jsonl(*rows))
    assert live("run", EXEC_SETTLE_S="0").code == 0
    return live


def statuses(live: Live) -> dict[str, str]:
    return {one["client_order_id"]: one["status"] for one in live.orders()}


def test_everything_that_is_open_is_withdrawn(busy: Live) -> None:
    done = busy("cancel-all")
    assert done.code == 0
    assert set(statuses(busy).values()) == {"canceled"}
    assert "All 3 orders are closed" in done.told


@pytest.mark.parametrize(
    ("options", "withdrawn"),
    [
        (["--symbol", "ko"], {"b", "c"}),
        (["--strategy", "value"], {"c"}),
        (["--symbol", "KO", "--strategy", "momentum"], {"b"}),
        (["--symbol", "IBM"], set()),
        (["--strategy", "nobody"], set()),
    ],
)
def test_only_what_is_asked_for_is_withdrawn(busy: Live, options: list[str], withdrawn: set[str]) -> None:
    assert busy("cancel-all", *options).code == 0
    assert {name for name, status in statuses(busy).items() if status == "canceled"} == withdrawn


def unfinished(live: Live) -> None:
    """Let the run be one that is not over: it has left nothing open yet."""
    (manifest,) = live.data.glob("runs/*/*/manifest.json")
    for path in (manifest, manifest.with_name("results.parquet"), *live.data.glob("open/*/*")):
        path.unlink()


def test_of_a_run_that_is_not_over_the_strategies_are_known_too(busy: Live) -> None:
    unfinished(busy)
    assert busy("cancel-all", "--strategy", "value").code == 0
    assert {name for name, status in statuses(busy).items() if status == "canceled"} == {"c"}


def by_hand(live: Live, name: str, symbol: str) -> None:
    """Place an order that no run has sent."""
    keys = {"APCA-API-KEY-ID": API_KEY, "APCA-API-SECRET-KEY": SECRET_KEY}
    order = {"symbol": symbol, "qty": "1", "side": "buy", "type": "limit", "limit_price": "1"}
    asked = {**order, "time_in_force": "day", "client_order_id": name}
    live.alpaca.session.post(f"{live.alpaca.url}/v2/orders", json=asked, headers=keys).raise_for_status()


def test_open_orders_of_unknown_strategy_are_reported_and_left(busy: Live) -> None:
    for name in ("mine-2", "mine-1"):
        by_hand(busy, name, "IBM")
    done = busy("cancel-all", "--strategy", "value")
    assert done.code == 4
    assert "2 STAYED OPEN, because their strategy is not in this data folder: mine-1, mine-2." in done.told
    assert {name for name, status in statuses(busy).items() if status == "canceled"} == {"c"}
    again = busy("cancel-all", "--strategy", "value", "--json")
    assert again.json == {
        "exit_code": 4,
        "orders": [],
        "still_open": [],
        "unsure": [],
        "strategy_unknown": ["mine-1", "mine-2"],
        "failed": {},
    }


def test_open_orders_of_other_symbols_may_be_anybodys(busy: Live) -> None:
    by_hand(busy, "mine", "IBM")
    assert busy("cancel-all", "--strategy", "value", "--symbol", "KO").code == 0
    assert busy("cancel-all").code == 0
    assert set(statuses(busy).values()) == {"canceled"}


def test_a_record_that_cannot_be_read_prevents_no_cancel(busy: Live) -> None:
    (marker,) = busy.data.glob("open/*/*")
    marker.write_text("{")
    done = busy("cancel-all", "--strategy", "value")
    assert done.code == 4
    assert "3 STAYED OPEN" in done.told
    assert [event["event"] for event in done.events if event["severity"] == "ERROR"] == [
        "record_unreadable"
    ] * 2
    assert busy("cancel-all").code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_with_what_is_known(busy: Live, number: int) -> None:
    busy.alpaca.fault({"fault": "stuck_pending_cancel"})

    def once_cancels_are_asked_for() -> None:
        while not any(seen.startswith("DELETE") for seen in busy.alpaca.seen):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=once_cancels_are_asked_for, daemon=True).start()
    done = busy("cancel-all", EXEC_SETTLE_S="60")
    assert done.code == 4
    assert "ARE STILL OPEN" in done.told
    assert "it was stopped before open orders were listed again" in done.told


def test_neither_switch_nor_gate_stands_in_its_way(busy: Live) -> None:
    busy("halt", "--why", "drill")
    assert busy("cancel-all", EXECUTION_HALTED="1", AGENT_MODE="").code == 0
    assert set(statuses(busy).values()) == {"canceled"}


def test_another_account_than_the_keys_is_refused_and_nothing_is_withdrawn(busy: Live) -> None:
    done = busy("cancel-all", "--account", "other", EXEC_BROKER_ACCOUNT_ID="paper")
    assert done.code == 2
    assert "--account is 'other'" in one_line_error(done)
    assert set(statuses(busy).values()) == {"new"}


@pytest.mark.parametrize("timestamp", ["before", "after"])
def test_what_fills_on_the_way_is_reported(busy: Live, timestamp: str) -> None:
    busy.alpaca.fault({"fault": "fill_races_cancel", "path": "/v2/orders/*", "moment": timestamp})
    done = busy("cancel-all", "--symbol", "SPY", "--json")
    (one,) = done.json["orders"]
    assert (done.code, one["order_status"], one["filled_meanwhile_qty"]) == (0, "filled", 1.0)


def test_a_cancel_that_is_not_answered_is_asked_again(busy: Live) -> None:
    busy.alpaca.fault({"fault": "accept_then_504", "method": "DELETE", "path": "/v2/orders/*", "times": 2})
    assert busy("cancel-all").code == 0
    assert set(statuses(busy).values()) == {"canceled"}


def test_an_order_that_stays_open_ends_with_4_and_is_reported(busy: Live) -> None:
    busy.alpaca.fault({"fault": "stuck_pending_cancel"})
    done = busy("cancel-all", EXEC_SETTLE_S="0.2")
    assert done.code == 4
    assert "ARE STILL OPEN" in done.told


def test_of_an_entry_that_has_filled_the_exits_are_withdrawn(live: Live) -> None:
    legs = {"take_profit_limit_price": 900, "stop_loss_stop_price": 1}
    live.cli("drop", stdin=jsonl(order(client_intent_id="group", order_class="bracket", **legs)))
    live("run", EXEC_SETTLE_S="1")
    assert live("cancel-all").code == 0
    assert [one["status"] for one in live.orders()] == ["filled", "canceled", "canceled"]


def test_with_nothing_open_it_says_so(live: Live) -> None:
    done = live("cancel-all")
    assert (done.code, done.told) == (0, "No such order is open at the broker.")


def test_a_halt_with_cancel_halts_first_and_withdraws_everything(busy: Live) -> None:
    done = busy("halt", "--why", "fat finger", "--cancel")
    assert done.code == 0
    assert "The agent is HALTED: fat finger" in done.told
    assert "All 3 orders are closed" in done.told
    assert busy("run").code == 3


def test_a_halt_with_cancel_stands_where_the_broker_cannot_be_asked(busy: Live) -> None:
    done = busy("halt", "--why", "fat finger", "--cancel", ALPACA_API_KEY="")
    assert done.code == 2
    assert "The agent is HALTED" in done.told
    assert busy("run").code == 3
