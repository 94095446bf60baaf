"""Intents that withdraw an order of before: whose it may be, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest
from requests import PreparedRequest, Response

from engine.errors import BrokerError, BrokerRejected
from engine.model.orders import BrokerOrder
from engine.risk.config import RiskConfig
from engine.routing.cancels import withdrawn
from engine.waiting.retry_policy import RetryPolicy
from tests.desk import Row, on, order
from tests.engine.routing.trading import (
    Send,
    TradingDesk,
    doing,
    dropped,
    exit_code,
    forgetful,
    reply,
    results,
)

STRICT = RiskConfig(accounts=frozenset({"paper"}))
DELETES = {"method": "DELETE", "path": "/v2/orders/*"}


def resting(name: str = "target", **said: Any) -> Row:
    """Return a buy that the market never comes to."""
    return order(client_intent_id=name, order_type="limit", limit_price=50, **{"qty": 10, **said})


def cancel(target: str = "target", **said: Any) -> Row:
    plain = {"symbol": None, "side": None, "qty": None, "client_intent_id": f"cancel-{target}"}
    return order(action="cancel", target_intent_id=target, **{**plain, **said})


def rest(desk: TradingDesk, *rows: Row) -> None:
    desk.drop("targets.json", *(rows or [resting()]))
    assert [row["status"] for row in results(desk.live())] == ["placed"] * max(len(rows), 1)


def withdraw(desk: TradingDesk, *rows: Row, **changes: Any) -> Row:
    """Return the row of the last of these."""
    desk.drop("cancels.json", *(rows or [cancel()]))
    return results(desk.live(changes=changes))[-1]


def deletes(desk: TradingDesk) -> list[int]:
    return [row["status"] for row in desk.requests("DELETE")]


def test_an_order_of_this_batch_is_withdrawn(desk: TradingDesk) -> None:
    desk.drop("a.json", resting(), cancel(), order(client_intent_id="other", symbol="QQQ"))
    run = desk.live()
    placed, withdrawn, other = results(run)
    assert (placed["status"], placed["order_status"]) == ("placed", "canceled")
    assert withdrawn["status"] == "canceled"
    assert other["status"] == "placed"
    assert (sorted(desk.placed_ids()), deletes(desk), exit_code(run)) == (["other", "target"], [204], 0)


def test_an_order_of_an_earlier_run_is_withdrawn(desk: TradingDesk) -> None:
    rest(desk)
    row = withdraw(desk)
    assert (row["status"], row["reason"], row["order_status"]) == ("canceled", "ok", "canceled")
    assert row["broker_order_id"] == desk.orders()[0]["id"]
    assert desk.at_broker("target")["status"] == "canceled"


def test_an_order_of_an_earlier_day_is_withdrawn(desk: TradingDesk) -> None:
    rest(desk, resting(time_in_force="gtc"))
    desk.tick(86_400)
    assert withdraw(desk)["status"] == "canceled"


def test_a_cancel_is_sent_even_with_a_kill_switch_on_from_the_start(desk: TradingDesk) -> None:
    rest(desk)
    desk.drop("b.json", cancel(), order(client_intent_id="new"))
    run = desk.live(changes={"kill_switch": on})
    assert [row["status"] for row in results(run)] == ["canceled", "rejected"]
    assert (desk.posts(), exit_code(run)) == (["target"], 3)


def test_a_cancel_is_sent_even_where_a_person_has_halted_the_agent(desk: TradingDesk) -> None:
    rest(desk)
    desk.agent().halt(why="drill")
    desk.drop("b.json", cancel(), order(client_intent_id="new"))
    assert [row["status"] for row in results(desk.live())] == ["canceled", "halted"]


def test_a_cancel_whose_decision_is_old_by_its_turn_is_sent_all_the_same(desk: TradingDesk) -> None:
    rest(desk)
    desk.between = doing(lambda _: desk.later(seconds=5000))
    assert withdraw(desk)["status"] == "canceled"


# --- what is not withdrawn


def test_an_order_of_another_strategy_is_not_withdrawn(desk: TradingDesk) -> None:
    rest(desk)
    row = withdraw(desk, cancel(strategy_id="another"))
    assert (row["status"], row["reason"]) == ("broker_rejected", "target_of_another_strategy")
    assert (deletes(desk), desk.at_broker("target")["status"]) == ([], "new")


def test_an_order_of_another_strategy_in_the_same_batch_is_not_withdrawn(desk: TradingDesk) -> None:
    row = withdraw(desk, resting(), cancel(strategy_id="another"))
    assert (row["status"], row["reason"]) == ("broker_rejected", "target_of_another_strategy")
    assert deletes(desk) == []


def test_an_unknown_order_is_not_cancelled(desk: TradingDesk) -> None:
    row = withdraw(desk)
    assert (row["status"], row["reason"]) == ("broker_rejected", "target_unknown")
    assert "Nothing was cancelled" in row["message"]
    assert deletes(desk) == []


def test_an_order_that_no_run_has_sent_is_not_withdrawn(desk: TradingDesk) -> None:
    desk.place_by_hand(client_order_id="target", type="limit", limit_price="50")
    row = withdraw(desk)
    assert (row["status"], row["reason"]) == ("broker_rejected", "target_unknown")
    assert (deletes(desk), desk.at_broker("target")["status"]) == ([], "new")


def test_an_order_that_was_refused_has_nothing_to_withdraw(desk: TradingDesk) -> None:
    row = withdraw(desk, order(client_intent_id="target", qty=900_000), cancel())
    assert (row["status"], row["reason"]) == ("broker_rejected", "target_unknown")


def test_for_an_order_that_has_filled_it_is_too_late(desk: TradingDesk) -> None:
    desk.one(client_intent_id="target", qty=3)
    row = withdraw(desk)
    assert (row["status"], row["order_status"], row["filled_qty"]) == ("too_late", "filled", 3.0)
    assert deletes(desk) == []


@pytest.mark.parametrize("timestamp", ["before", "after"])
def test_for_an_order_that_fills_during_its_cancel_it_is_too_late(desk: TradingDesk, timestamp: str) -> None:
    rest(desk)
    desk.arm("fill_races_cancel", moment=timestamp)
    row = withdraw(desk)
    assert (row["status"], row["order_status"]) == ("too_late", "filled")
    desk.live()
    assert desk.trades() == 1


@pytest.mark.parametrize("timestamp", ["before", "after"])
def test_an_order_that_fills_in_part_around_its_cancel_keeps_what_it_has(
    desk: TradingDesk, timestamp: str
) -> None:
    rest(desk)
    desk.arm("fill_races_cancel", qty="4", moment=timestamp)
    row = withdraw(desk)
    assert (row["status"], row["filled_qty"]) == ("canceled", 4.0)
    assert "4 filled" in row["message"]
    desk.live()
    document = desk.store.ledger_document(row["broker_order_id"])
    assert document is not None
    assert (document["filled_qty"], document["client_intent_id"]) == (4.0, "target")


def test_to_withdraw_an_order_twice_does_no_harm(desk: TradingDesk) -> None:
    rest(desk)
    assert withdraw(desk)["status"] == "canceled"
    assert withdraw(desk, cancel(client_intent_id="again"))["status"] == "canceled"
    assert deletes(desk) == [204]


# --- asked for, and not confirmed


def test_a_cancel_that_stays_pending_is_requested_and_the_order_counts_as_working(desk: TradingDesk) -> None:
    rest(desk, resting(qty=60))
    desk.arm("stuck_pending_cancel")
    row = withdraw(desk)
    assert (row["status"], row["order_status"]) == ("cancel_requested", "pending_cancel")
    desk.drop("more.json", order(client_intent_id="more", qty=60))
    (more,) = results(desk.live(STRICT))
    assert (more["status"], more["reason"]) == ("rejected", "max_position_size_exceeded")


def test_headroom_is_free_once_the_cancel_is_confirmed(desk: TradingDesk) -> None:
    rest(desk, resting(qty=60))
    withdraw(desk)
    desk.drop("more.json", order(client_intent_id="more", qty=60))
    assert results(desk.live(STRICT))[0]["status"] == "placed"


def test_headroom_is_not_free_within_the_batch_that_cancels(desk: TradingDesk) -> None:
    rest(desk, resting(qty=60))
    desk.drop("more.json", cancel(), order(client_intent_id="more", qty=60))
    rows = results(desk.live(STRICT))
    assert [row["status"] for row in rows] == ["canceled", "rejected"]


# --- replies to a cancel


@pytest.mark.parametrize(
    ("fault", "asked"),
    [
        ({"fault": "accept_then_504", **DELETES}, 1),
        ({"fault": "accept_then_drop", **DELETES}, 1),
        ({"fault": "error_before", "status": 500, **DELETES}, 2),
        ({"fault": "html_error", "status": 503, "times": 2, **DELETES}, 3),
    ],
)
def test_a_cancel_with_an_unknown_outcome_is_looked_at_and_asked_for_again_where_it_must(
    desk: TradingDesk, fault: Row, asked: int
) -> None:
    rest(desk)
    desk.control("POST", "faults", fault)
    row = withdraw(desk)
    assert row["status"] == "canceled"
    assert desk.at_broker("target")["status"] == "canceled"
    assert 1 <= len(deletes(desk)) <= asked


def test_a_cancel_answered_in_a_shape_never_seen_is_looked_at(desk: TradingDesk) -> None:
    def middle(request: PreparedRequest, send: Send) -> Response:
        answer = send()
        return reply(request, 200, b"<html>") if request.method == "DELETE" else answer

    rest(desk)
    desk.between = middle
    assert withdraw(desk)["status"] == "canceled"


def test_a_broker_that_never_takes_the_cancel_ends_the_run_unsealed(desk: TradingDesk) -> None:
    def middle(request: PreparedRequest, send: Send) -> Response:
        if request.method == "DELETE":
            raise dropped(request)
        return send()

    rest(desk)
    desk.between = middle
    with pytest.raises(BrokerError):
        withdraw(desk)
    desk.disarm()
    desk.live()
    assert results(desk.runs()[1])[0]["status"] == "canceled"


def test_a_refused_cancel_is_reported_in_the_brokers_words(desk: TradingDesk) -> None:
    rest(desk)
    desk.between = lambda request, send: (
        reply(request, 403, {"code": 40310000, "message": "not your order"})
        if request.method == "DELETE"
        else send()
    )
    row = withdraw(desk)
    assert (row["status"], row["reason"]) == ("broker_rejected", "refused_by_broker")
    assert "not your order" in row["message"]


def test_to_withdraw_the_entry_of_a_group_withdraws_the_group(desk: TradingDesk) -> None:
    group: Row = {"order_class": "bracket", "take_profit_limit_price": 60, "stop_loss_stop_price": 40}
    rest(desk, resting(**group))
    assert withdraw(desk)["status"] == "canceled"
    assert [one["status"] for one in desk.orders()] == ["canceled"] * 3


def test_a_cancel_of_an_order_that_comes_after_it_in_the_batch_finds_none(desk: TradingDesk) -> None:
    desk.drop("a.json", cancel(), resting())
    first, then = results(desk.live())
    assert (first["status"], first["reason"]) == ("broker_rejected", "target_unknown")
    assert then["status"] == "placed"


def test_a_cancel_is_reported_by_the_log(desk: TradingDesk) -> None:
    rest(desk)
    withdraw(desk)
    (asked,), (answered,) = desk.events("cancel_requested"), desk.events("cancel_response")
    assert asked["intent_id"] == answered["intent_id"] == "cancel-target"


# --- a broker that doesn't know yet what it has told of

QUICK = RetryPolicy(lookups_s=(0.01, 0.01))


def test_a_target_that_the_broker_does_not_know_at_first_is_asked_for_again(desk: TradingDesk) -> None:
    rest(desk)
    desk.between = forgetful(2)
    assert withdraw(desk)["status"] == "canceled"
    assert desk.at_broker("target")["status"] == "canceled"


def resting_at(desk: TradingDesk) -> str:
    rest(desk)
    return str(desk.at_broker("target")["id"])


def test_a_cancel_of_an_order_that_the_broker_does_not_know_at_first_is_asked_for_again(
    desk: TradingDesk,
) -> None:
    order_id = resting_at(desk)
    desk.between = forgetful(2, "DELETE")
    assert withdrawn(order_id, desk.broker(), retry_policy=QUICK).order_status == "canceled"
    assert deletes(desk) == [204]


def test_an_order_that_the_broker_never_knows_is_no_order_to_withdraw(desk: TradingDesk) -> None:
    order_id = resting_at(desk)
    desk.between = lambda request, send: forgetful(1)(request, lambda: forgetful(1, "DELETE")(request, send))
    with pytest.raises(BrokerRejected, match="order not found"):
        withdrawn(order_id, desk.broker(), retry_policy=QUICK)
    assert deletes(desk) == []


def test_an_order_that_is_terminal_is_not_asked_to_be_withdrawn_again(desk: TradingDesk) -> None:
    order_id = resting_at(desk)
    desk.fill("target")
    desk.between = forgetful(5, "DELETE")
    after: BrokerOrder = withdrawn(order_id, desk.broker(), retry_policy=QUICK)
    assert after.order_status == "filled"
    assert len([effect for effect in desk.effects if effect.startswith("DELETE")]) == 1
