"""A live run's orders of one account against a written broker and journal: what is sent, and what is not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pytest

from engine.brokers.trading import TradingBroker
from engine.errors import DataUnavailable, LeaseLost, RunStopped
from engine.model.schema import CLOCK_SKEW_LIMIT_S
from engine.record.open_orders import LeftOpen, OpenOrder
from engine.record.run_folder import RunFolder
from engine.routing.live import ATTEMPTS_AT_ONCE, Failed, left_behind
from engine.routing.outcomes import OrderOutcome
from engine.routing.release_check import ApprovedOrder, OrderMismatch, allowed_intents
from engine.safety.kill_switch import KillSwitchState
from engine.safety.trading_states import TradingStates
from tests.engine.routing.written_run import (
    OFF,
    ON,
    READ_AT,
    REFUSED,
    SECOND,
    UNKNOWN,
    Answer,
    Desk,
    Row,
    at_broker,
    cancel,
    one,
)


@pytest.fixture(autouse=True)
def nothing_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.routing.live.left_open", lambda *_, **__: [])


# --- what is sent, and in which order it is written down


def test_each_order_is_noted_before_it_is_sent_and_the_lease_held_for_it() -> None:
    desk = Desk([one("a"), one("b", symbol="KO")])
    assert desk.statuses() == [("placed", None)] * 2
    assert desk.did == ["note 0 1", "hold", "place a", "hold", "place b"]
    assert desk.steps == [("sending orders", done, 2) for done in (0, 1, 2)]


def test_orders_are_noted_thirty_two_at_a_time() -> None:
    rows = [one(f"order-{number}") for number in range(ATTEMPTS_AT_ONCE + 2)]
    desk = Desk([*rows[:3], cancel("order-0"), *rows[3:]])
    desk.carry_out()
    notes = [what.split()[1:] for what in desk.did if what.startswith("note")]
    assert notes == [[str(row) for row in range(33) if row != 3], ["33", "34"]]
    assert desk.did.index("note 33 34") < desk.did.index("place order-32")


def test_what_the_venue_can_not_take_is_neither_noted_nor_sent() -> None:
    desk = Desk([one("a"), one("b"), one("c")], refuses={"b": "no fractions of KO"})
    found = desk.carry_out()
    assert found[1] == OrderOutcome(
        status="broker_rejected", reason="not_accepted_by_venue", message="no fractions of KO"
    )
    assert (desk.did[0], desk.placed()) == ("note 0 2", ["a", "c"])


def test_orders_of_other_accounts_are_left_to_their_connections() -> None:
    desk = Desk([one("a"), one("b", broker_account_id="live")])
    assert list(desk.carry_out()) == [0]
    assert desk.placed() == ["a"]


def test_an_order_of_this_batch_is_cancelled_by_the_id_that_the_broker_gave_it() -> None:
    desk = Desk([one("a"), cancel("a"), cancel("never")])
    assert desk.statuses() == [
        ("placed", None),
        ("canceled", None),
        ("broker_rejected", "target_unknown"),
    ]
    assert "cancel b-a" in desk.did


def test_a_cancel_waits_until_its_order_of_this_batch_was_answered() -> None:
    desk = Desk([one("a"), cancel("a")], at_once=2, answering=lambda: time.sleep(0.05))
    assert desk.statuses() == [("placed", None), ("canceled", None)]


def test_orders_of_different_symbols_are_sent_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=5)
    desk = Desk([one("a"), one("b", symbol="KO")], at_once=2, answering=meeting.wait)
    assert desk.statuses() == [("placed", None)] * 2


def test_an_order_that_an_earlier_run_left_open_at_this_account_is_cancelled_by_its_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def left(client_id: str, account_key: str) -> LeftOpen:
        intent = allowed_intents(Desk([one(client_id)]).folder)[0].intent
        order = OpenOrder(
            intent=intent, broker_order_id=f"b-{client_id}", status="placed", run_id="run-0", row=0
        )
        return LeftOpen(
            trading_date=date(2026, 2, 27), run_id="run-0", account="paper", account_key=account_key,
            host="https://paper", begun_at=READ_AT, noted_at=READ_AT, orders=(order,),
        )  # fmt: skip

    kept = [left("old", "key"), left("foreign", "another key")]
    monkeypatch.setattr("engine.routing.live.left_open", lambda *_, of_account: kept)
    desk = Desk([cancel("old"), cancel("foreign")])
    assert desk.statuses() == [("canceled", None), ("broker_rejected", "target_unknown")]
    assert [what for what in desk.did if what.startswith("cancel")] == ["cancel b-old"]


def test_an_order_of_this_batch_whose_outcome_is_unknown_can_be_cancelled_once_it_is_found() -> None:
    desk = Desk([one("a"), cancel("a")], answers={"a": UNKNOWN}, exists=[at_broker("a")], hidden=2)
    assert desk.statuses() == [("unresolved", "outcome_unknown"), ("canceled", None)]
    assert desk.did[-4:] == ["find a", "find a", "find a", "cancel b-a"]


@pytest.mark.parametrize("after", ["canceled", "pending_cancel"])
def test_only_what_was_neither_placed_nor_cancelled_is_logged_as_refused(after: str) -> None:
    desk = Desk([one("a"), cancel("a"), one("b")], refuses={"b": "no"}, after_cancel=after)
    desk.carry_out()
    assert [event["intent_id"] for event in desk.events("trade_refused")] == ["b"]


def test_the_order_of_a_cancel_is_looked_up_as_often_as_the_connections_policy_says() -> None:
    desk = Desk([one("a"), cancel("a")], lost=frozenset({"b-a"}))
    assert desk.statuses() == [("placed", None), ("broker_rejected", "target_unknown")]
    assert desk.did.count("look at b-a") == 2


def test_a_job_that_is_to_end_looks_no_further_for_the_order_of_a_cancel() -> None:
    desk = Desk([one("a"), cancel("a")], lost=frozenset({"b-a"}))
    desk.stopping = lambda: "look at b-a" in desk.did
    with pytest.raises(RunStopped, match="while orders were looked up"):
        desk.carry_out()


def test_where_fewer_orders_are_about_to_be_sent_than_were_allowed_none_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.routing.live.allowed_intents", lambda folder: allowed_intents(folder)[:1])
    desk = Desk([one("a"), one("b")])
    with pytest.raises(OrderMismatch, match="1 orders are about to be sent where 2 were allowed"):
        desk.carry_out()
    assert desk.did == []


def test_an_order_that_is_not_what_was_allowed_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def tampered(folder: RunFolder) -> list[ApprovedOrder]:
        orders = allowed_intents(folder)
        return [orders[0], replace(orders[1], intent=replace(orders[1].intent, qty=2.0))]

    monkeypatch.setattr("engine.routing.live.allowed_intents", tampered)
    desk = Desk([one("a"), one("b")])
    with pytest.raises(OrderMismatch, match="order b of paper is about to be sent as"):
        desk.carry_out()
    assert desk.placed() == ["a"]


def test_a_lost_lease_ends_the_sending() -> None:
    desk = Desk([one("a")], lease_lost=True)
    with pytest.raises(LeaseLost):
        desk.carry_out()
    assert desk.placed() == []


@pytest.mark.parametrize("stop_at", ["note 0 1", "place a"])
def test_a_job_that_is_to_end_sends_no_further_order(stop_at: str) -> None:
    desk = Desk([one("a"), one("b")])
    desk.stopping = lambda: stop_at in desk.did
    with pytest.raises(RunStopped, match="between two orders of run run-1"):
        desk.carry_out()
    assert desk.placed() == (["a"] if stop_at == "place a" else [])


@pytest.mark.parametrize("then", [[], [cancel("order-0")]], ids=["an order", "a cancel"])
def test_a_job_that_is_to_end_notes_no_further_orders_and_requests_no_cancel(then: list[Row]) -> None:
    rows = [one(f"order-{number}") for number in range(ATTEMPTS_AT_ONCE + 1)]
    desk = Desk([*rows[:ATTEMPTS_AT_ONCE], *then, *rows[ATTEMPTS_AT_ONCE:]])
    desk.stopping = lambda: "place order-31" in desk.did
    with pytest.raises(RunStopped, match="between two orders"):
        desk.carry_out()
    assert desk.did[-1] == "place order-31"


# --- what halts orders


CLOSED = ("agent_mode_not_live", "AGENT_MODE is DRY.")


@pytest.mark.parametrize(
    ("where", "closed"),
    [("closed_by", CLOSED), ("start", {"closed_by": list(CLOSED)})],
    ids=["now", "when the run began"],
)
def test_behind_a_closed_gate_cancels_are_carried_out_and_nothing_else(where: str, closed: Any) -> None:
    desk = Desk([one("a"), cancel("a")], **{where: closed})
    found = desk.carry_out()
    assert (found[0].status, found[0].reason) == ("halted", "agent_mode_not_live")
    remedy = "Once the gate is open, drop its file again from archive/2026-03-02/."
    assert found[0].message == f"not sent: AGENT_MODE is DRY. {remedy}"
    assert found[1].status != "halted"
    assert not any(what.startswith(("note", "place")) for what in desk.did)


def test_orders_of_an_account_that_was_down_when_they_were_decided_are_not_sent() -> None:
    desk = Desk([one("a")], inputs={"down": {"paper": "it was not reachable."}})
    (outcome,) = desk.carry_out().values()
    assert (outcome.status, outcome.reason) == ("halted", "account_down")
    assert outcome.message == (
        "not sent: positions and working orders of paper are unknown. it was not reachable."
    )
    assert Desk([one("a")], inputs={"down": {"live": "?"}}).statuses() == [("placed", None)]


def unreadable() -> TradingStates:
    raise DataUnavailable("the store is down.")


@dataclass
class Once:
    """Halts at its first look after the first order was sent, and never again."""

    desk: Desk
    quiet: Callable[[], Any]
    halting: Callable[[], Any]
    was: bool = False

    def __call__(self) -> Any:
        if self.was or "place a" not in self.desk.did:
            return self.quiet()
        self.was = True
        return self.halting()


@pytest.mark.parametrize(
    ("halting", "reason", "why"),
    [
        ({"switch": lambda: ON}, "kill_switch_enabled", "the file kill says 1."),
        ({"halted": lambda: "a drill."}, "agent_state_not_ready:HALTED", "a drill."),
        (
            {"states": unreadable},
            "trading_state_unknown",
            "the trading states can't be read: the store is down.",
        ),
    ],
    ids=["the switch", "an operator", "trading states that can't be read"],
)
def test_what_halts_the_sending_is_read_before_each_order_and_holds_for_the_rest(
    halting: Row, reason: str, why: str
) -> None:
    desk = Desk([one("a"), one("b"), one("c"), cancel("a")])
    for name, act in halting.items():
        setattr(desk, name, Once(desk, getattr(desk, name), act))
    found = desk.carry_out()
    assert [found[row].status for row in range(4)] == ["placed", "halted", "halted", "canceled"]
    assert {(found[row].reason, found[row].message) for row in (1, 2)} == {(reason, f"not sent: {why}")}
    assert desk.placed() == ["a"]
    (event,) = desk.events("trading_halted")
    assert (event["severity"], event["reason"], event["message"]) == ("WARNING", reason, why)
    refused = desk.events("trade_refused")
    assert [(row["intent_id"], row["reason"]) for row in refused] == [("b", reason), ("c", reason)]
    assert refused[0]["severity"] == "WARNING"


# --- what is too late to be sent


@pytest.mark.parametrize(
    ("after", "status"),
    [
        (timedelta(seconds=900), "placed"),
        (timedelta(seconds=900.001), "expired"),
        (timedelta(seconds=-CLOCK_SKEW_LIMIT_S), "placed"),
        (timedelta(seconds=-CLOCK_SKEW_LIMIT_S - 0.001), "expired"),
        (timedelta(days=1), "expired"),
    ],
)
def test_a_decision_that_is_too_old_or_from_the_future_sends_nothing(after: timedelta, status: str) -> None:
    desk = Desk([one("a")], now=READ_AT + after)
    (outcome,) = desk.carry_out().values()
    assert outcome.status == status
    assert outcome.reason == (None if status == "placed" else "decision_expired")
    assert desk.did == (["note 0", "hold", "place a"] if status == "placed" else [])


def test_a_session_that_has_ended_sends_nothing_however_young_the_decision() -> None:
    rolled = datetime(2026, 3, 3, 1, tzinfo=UTC)
    inputs = {"read_at": (rolled - SECOND).isoformat()}
    (outcome,) = Desk([one("a")], now=rolled, inputs=inputs).carry_out().values()
    assert (outcome.reason, outcome.message) == (
        "decision_expired",
        "not sent: the session 2026-03-02 is over",
    )


def test_where_another_folder_held_the_lease_since_nothing_is_sent() -> None:
    (outcome,) = Desk([one("a")], lease_epoch="another").carry_out().values()
    assert outcome == OrderOutcome(
        status="expired",
        reason="decision_expired",
        message="not sent: another data folder, or machine, traded the account since",
    )


@pytest.mark.parametrize(
    ("said", "max_age_s", "is_sent"),
    [
        ({"valid_until": READ_AT}, None, True),
        ({"valid_until": READ_AT - timedelta(microseconds=1)}, None, False),
        ({"created_at": READ_AT - 60 * SECOND}, 60.0, True),
        ({"created_at": READ_AT - 60.001 * SECOND}, 60.0, False),
        ({"created_at": READ_AT - 61 * SECOND}, None, True),
        ({"created_at": None}, 60.0, False),
    ],
)
def test_an_intent_is_sent_until_its_last_instant(said: Row, max_age_s: float | None, is_sent: bool) -> None:
    (outcome,) = Desk([one("a", **said)], max_age_s=max_age_s).carry_out().values()
    assert (outcome.status, outcome.reason) == (
        ("placed", None) if is_sent else ("expired", "intent_expired")
    )


def test_an_order_that_expires_while_it_waits_for_its_turn_is_not_sent() -> None:
    desk = Desk([one("a"), one("b")])
    desk.switch = lambda: OFF if not desk.placed() else _later(desk)
    assert desk.statuses() == [("placed", None), ("expired", "decision_expired")]
    assert desk.placed() == ["a"]


def _later(desk: Desk) -> KillSwitchState:
    desk.now = READ_AT + timedelta(seconds=901)
    return OFF


# --- what an earlier job of the run did


def test_an_order_that_an_earlier_job_may_have_sent_is_sought_and_adopted() -> None:
    desk = Desk([one("a"), one("b")], attempted={0}, exists=[at_broker("a"), at_broker("b")])
    found = desk.carry_out()
    assert (found[0].status, found[0].adopted) == ("placed", True)
    assert desk.did == ["list since 16:59:59", "note 1", "hold", "place b"]


@pytest.mark.parametrize(
    ("earlier_s", "status"), [(1.0, ("placed", None)), (1.001, ("broker_rejected", "id_used_before"))]
)
def test_an_order_accepted_up_to_a_second_before_the_inputs_were_read_is_this_runs(
    earlier_s: float, status: tuple[str, str | None]
) -> None:
    """The broker's clock and the time in its replies are not cut to the same digit."""
    made = at_broker("a", created_at=READ_AT - timedelta(seconds=earlier_s))
    assert Desk([one("a")], attempted={0}, exists=[made]).statuses() == [status]


def test_an_order_that_an_earlier_job_noted_and_that_is_not_found_is_sent_without_a_second_note() -> None:
    desk = Desk([one("a")], attempted={0})
    assert desk.statuses() == [("placed", None)]
    assert desk.did[-3:] == ["find a", "hold", "place a"]


@pytest.mark.parametrize(
    "halting", [{"switch": lambda: ON}, {"closed_by": ("agent_mode_not_live", "DRY.")}, {"lease_epoch": "x"}]
)
def test_an_order_that_an_earlier_job_noted_is_in_doubt_where_it_may_not_be_sent_now(halting: Row) -> None:
    desk = Desk([one("a")], attempted={0}, **halting)
    (outcome,) = desk.carry_out().values()
    assert outcome.in_doubt
    assert desk.placed() == []


def test_an_order_in_a_recorded_reply_is_placed_and_nothing_is_asked() -> None:
    recorded: list[tuple[str, Answer, str]] = [("a", None, "paper"), ("a", at_broker("a"), "paper")]
    desk = Desk([one("a")], attempted={0}, recorded=[*recorded, ("a", REFUSED, "paper")])
    assert desk.carry_out() == {0: OrderOutcome(status="placed", order=at_broker("a"), attempted=True)}
    assert desk.did == []


def test_an_order_in_a_recorded_reply_that_differs_is_not_this_intents() -> None:
    other = at_broker("a", qty=2.0)
    desk = Desk([one("a")], attempted={0}, recorded=[("a", other, "paper")], exists=[other])
    assert desk.statuses() == [("unresolved", "outcome_unknown")]
    assert desk.placed() == []


def test_a_recorded_refusal_stands_in_doubt_where_the_broker_has_no_such_order() -> None:
    desk = Desk([one("a")], attempted={0}, recorded=[("a", REFUSED, "paper")])
    (outcome,) = desk.carry_out().values()
    assert (outcome.status, outcome.reason, outcome.in_doubt) == (
        "broker_rejected",
        "refused_by_broker",
        True,
    )
    assert len(desk.did) == 1
    assert desk.did[0].startswith("list since")


def test_a_recorded_refusal_does_not_stand_where_the_broker_has_the_order() -> None:
    desk = Desk([one("a")], attempted={0}, recorded=[("a", REFUSED, "paper")], exists=[at_broker("a")])
    (outcome,) = desk.carry_out().values()
    assert (outcome.status, outcome.adopted) == ("placed", True)


@pytest.mark.parametrize(
    ("recorded", "is_sought"),
    [
        ([("a", None, "paper"), ("a", REFUSED, "paper")], True),
        ([("a", REFUSED, "paper"), ("a", None, "paper")], True),
        ([("a", at_broker("a"), "live")], True),
        ([("", at_broker("a"), "paper")], True),
        ([("a", at_broker("a"), "")], False),
    ],
    ids=[
        "unknown, refused",
        "refused, unknown",
        "of another account",
        "no order at all",
        "of one without a name",
    ],
)
def test_a_recorded_reply_is_decisive_where_it_is_this_accounts_and_no_request_is_open(
    recorded: list[tuple[str, Answer, str]], is_sought: bool
) -> None:
    desk = Desk([one("a")], attempted={0}, recorded=recorded)
    assert desk.statuses() == [("placed", None)]
    assert (desk.did != []) == is_sought
    assert ("find a" in desk.did) == is_sought


# --- an account that failed during the run


def test_the_record_of_a_failed_account_says_which_orders_may_be_at_the_broker() -> None:
    rows = [one(name) for name in ("placed", "refused", "unknown", "noted", "never", "differs", "mixed")]
    recorded: list[tuple[str, Answer, str]] = [
        ("placed", at_broker("placed"), "paper"),
        ("refused", REFUSED, "paper"),
        ("unknown", None, "paper"),
        ("differs", at_broker("differs", qty=9.0), "paper"),
        ("mixed", None, "paper"),
        ("mixed", REFUSED, "paper"),
        ("never", at_broker("never"), "live"),
    ]
    desk = Desk([*rows, cancel("placed")], recorded=recorded)
    failed = Failed(account="paper", why="the broker is down.", earlier={3, 7})
    found = left_behind(failed, allowed_intents(desk.folder), desk.journal, cast(TradingBroker, desk))
    assert [found[row].status for row in range(8)] == [
        "placed", "broker_rejected", "unresolved", "unresolved", "halted", "unresolved", "unresolved",
        "halted",
    ]  # fmt: skip
    assert {outcome.reason for outcome in found.values()} == {"account_down"}
    assert found[0].order == at_broker("placed")
    assert found[2] == OrderOutcome(
        status="unresolved",
        reason="account_down",
        message="it may have been sent; the next sync looks for it. the broker is down.",
        attempted=True,
    )
    assert found[4] == OrderOutcome(
        status="halted", reason="account_down", message="nothing was sent: the broker is down."
    )
