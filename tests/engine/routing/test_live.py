"""A batch, live: who goes when, what stops it, and what a run that was stopped leaves to the next."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from requests import PreparedRequest, Response

from engine.errors import BrokerError, ConfigurationError, LeaseLost, RunStopped
from engine.model.orders import OrderIntent
from engine.model.schema import CLOCK_SKEW_LIMIT_S
from engine.record.run_folder import CASSETTE, MANIFEST, RESULTS, RunFolder
from engine.risk.config import RiskConfig
from engine.routing import live
from engine.routing import release_check as approved
from engine.routing.release_check import Allowance, ApprovedOrder, OrderMismatch
from engine.run.stages import finish
from tests.desk import NOON, Row, off, on, order, outcomes, reasons, statuses
from tests.engine.risk.limits_file.files import of_book
from tests.engine.routing.trading import (
    BY_CLIENT_ID,
    GENEROUS,
    Between,
    Killed,
    Send,
    TradingDesk,
    after_orders,
    client_id_of,
    doing,
    exit_code,
    identities,
    is_order,
    path_of,
    reply,
    results,
    with_orders_answered,
)

FAR = {"order_type": "limit", "limit_price": 50}
"""A buy that the market never comes to."""


def named(count: int, *symbols: str, **said: Any) -> list[Row]:
    """Return orders, their symbols in turn."""
    symbols = symbols or ("SPY",)
    return [
        order(client_intent_id=f"order-{number}", symbol=symbols[number % len(symbols)], **said)
        for number in range(count)
    ]


def cancel(target: str, **said: Any) -> Row:
    return order(
        action="cancel", target_intent_id=target, **{"symbol": None, "side": None, "qty": None, **said}
    )


def ids(rows: list[Row]) -> list[str]:
    return [row["client_intent_id"] for row in rows]


def test_an_allowed_order_is_placed_once_filled_and_in_the_ledger(desk: TradingDesk) -> None:
    desk.drop("a.json", order(qty=3, client_intent_id="one"))
    run = desk.live()
    assert statuses(run) == ["placed"]
    assert desk.placed_ids() == ["one"]
    (row,) = results(run)
    assert (row["order_status"], row["filled_qty"]) == ("filled", 3.0)
    assert exit_code(run) == 0
    fills = run.table("fills.parquet").to_pylist()
    assert [(fill["client_intent_id"], fill["qty"]) for fill in fills] == [("one", 3.0)]
    document = desk.store.ledger_document(row["broker_order_id"])
    assert document is not None
    assert (document["filled_qty"], document["trading_date"]) == (3.0, "2026-03-02")


@pytest.mark.parametrize(
    ("header", "values", "sent"),
    [
        ("type,price", "LIMIT,40", []),
        ("ordType,px", "limit,40", []),
        ("Order_Type,Limit_Price", "LIMIT,40", [("limit", "40")]),
        ("orderType,limitPrice", "limit,40", [("limit", "40")]),
        ("odrer_type,limit_prise", "limit,40", []),
        ("order.type,order.limit_price", "limit,40", []),
        ("stop_loss,take_profit", "40,60", []),
    ],
)
def test_order_terms_under_another_name_never_become_a_market_order(
    desk: TradingDesk, header: str, values: str, sent: list[tuple[str, str]]
) -> None:
    fields = "strategy_id,broker_account_id,symbol,side,qty"
    desk.drop("a.csv", content=f"{fields},{header}\nmomentum,paper,SPY,buy,1,{values}\n".encode())
    desk.live()
    assert [(placed["type"], placed["limit_price"]) for placed in desk.orders()] == sent


def test_what_the_gate_refuses_is_no_request(desk: TradingDesk) -> None:
    desk.drop("a.json", order(qty=101), order(qty=1, client_intent_id="one"), order(symbol="QQQ", qty=500))
    run = desk.live(RiskConfig())
    assert outcomes(run) == [
        ("rejected", "max_position_size_exceeded"),
        ("placed", "ok"),
        ("rejected", "max_position_size_exceeded"),
    ]
    assert desk.posts() == ["one"]
    assert [row["attempted"] for row in results(run)] == [False, True, False]


# --- who goes when


def test_the_orders_of_a_symbol_leave_in_the_order_of_the_batch(desk: TradingDesk) -> None:
    rows = named(24, "SPY", "QQQ", "IWM")
    desk.drop("a.json", *rows)
    assert statuses(desk.live()) == ["placed"] * 24
    for symbol in ("SPY", "QQQ", "IWM"):
        sent = [row["body"] for row in desk.requests("POST") if row["body"]["symbol"] == symbol]
        expected = ids([row for row in rows if row["symbol"] == symbol])
        assert [body["client_order_id"] for body in sent] == expected


def test_an_order_waits_for_the_answer_to_the_one_of_its_symbol_before_it(desk: TradingDesk) -> None:
    under_way: list[str] = []
    most: list[int] = []

    def middle(request: PreparedRequest, send: Send) -> Response:
        if not is_order(request):
            return send()
        under_way.append(client_id_of(request))
        most.append(len(under_way))
        threading.Event().wait(0.002)
        answer = send()
        under_way.remove(client_id_of(request))
        return answer

    desk.between = middle
    desk.drop("a.json", *named(8, "SPY"))
    desk.live()
    assert most == [1] * 8


def test_orders_of_different_symbols_are_under_way_at_the_same_time(desk: TradingDesk) -> None:
    meeting = threading.Barrier(4, timeout=10)

    def middle(request: PreparedRequest, send: Send) -> Response:
        if is_order(request):
            meeting.wait()
        return send()

    desk.between = middle
    desk.drop("a.json", *named(4, "SPY", "QQQ", "IWM", "DIA"))
    assert statuses(desk.live()) == ["placed"] * 4


# --- what stops a batch between two orders


@pytest.mark.parametrize("sent", [0, 1, 3])
def test_a_kill_switch_that_goes_on_between_two_orders_halts_the_rest(desk: TradingDesk, sent: int) -> None:
    desk.drop("a.json", *named(5))

    def switch() -> Any:
        is_decided = any("decisions.parquet" in effect for effect in desk.effects)
        return on() if is_decided and len(desk.posts()) >= sent else off()

    run = desk.live(changes={"kill_switch": switch})
    halted = ("halted", "kill_switch_enabled")
    assert outcomes(run) == [("placed", "ok")] * sent + [halted] * (5 - sent)
    assert len(desk.posts()) == sent
    assert exit_code(run) == 3
    assert "a test says so" in results(run)[-1]["message"]


def test_the_rest_stays_halted_where_the_switch_goes_off_again(desk: TradingDesk) -> None:
    states = iter([off(), off(), on()])
    desk.drop("a.json", *named(4))
    run = desk.live(changes={"kill_switch": lambda: next(states, off())})
    assert statuses(run) == ["placed", "halted", "halted", "halted"]


def test_cancels_pass_a_kill_switch_that_went_on_between_two_orders(desk: TradingDesk) -> None:
    desk.drop("a.json", order(client_intent_id="rests", **FAR))
    desk.live()
    desk.drop("b.json", *named(2, "QQQ"), cancel("rests"))
    run = desk.live(changes={"kill_switch": lambda: on() if len(desk.posts()) == 2 else off()})
    assert statuses(run) == ["placed", "halted", "canceled"]
    assert desk.at_broker("rests")["status"] == "canceled"
    assert exit_code(run) == 3


def test_an_agent_that_a_person_halts_in_mid_run_sends_no_more(desk: TradingDesk) -> None:
    desk.between = after_orders(lambda _: desk.agent().halt(why="flash crash"))
    desk.drop("a.json", *named(3))
    run = desk.live()
    assert outcomes(run) == [("placed", "ok"), *[("halted", "agent_state_not_ready:HALTED")] * 2]
    assert "flash crash" in results(run)[1]["message"]
    assert exit_code(run) == 3


def test_halted_orders_may_be_dropped_again(desk: TradingDesk) -> None:
    desk.drop("a.json", *named(2))
    desk.live(changes={"kill_switch": lambda: on() if desk.posts() else off()})
    desk.drop("b.json", *named(2))
    again = desk.live()
    assert ids(results(again)) == ["order-1"]
    assert desk.placed_ids() == ["order-0", "order-1"]


@pytest.mark.parametrize("sent", [1, 2, 4])
def test_being_asked_to_stop_between_two_orders_seals_nothing_and_the_next_run_finishes(
    desk: TradingDesk, sent: int
) -> None:
    rows = named(5)
    desk.drop("a.json", *rows)
    desk.stopping = lambda: len(desk.posts()) >= sent
    with pytest.raises(RunStopped) as error:
        desk.live()
    assert error.value.exit_code == 1
    (stopped,) = desk.runs()
    assert not {RESULTS, CASSETTE, MANIFEST} & stopped.names()
    assert desk.placed_ids() == ids(rows)[:sent]
    desk.stopping = lambda: False
    desk.live()
    assert statuses(stopped) == ["placed"] * 5
    assert desk.placed_ids() == ids(rows)
    assert desk.trades() == 5


def test_an_order_in_flight_is_answered_before_the_job_stops(desk: TradingDesk) -> None:
    asked: list[PreparedRequest] = []
    desk.between = with_orders_answered(doing(asked.append))
    desk.stopping = lambda: bool(asked)
    desk.drop("a.json", *named(2))
    with pytest.raises(RunStopped):
        desk.live()
    desk.between, desk.stopping = (lambda request, send: send()), (lambda: False)
    desk.live()
    assert [row["adopted"] for row in results(desk.runs()[0])] == [False, False]
    assert (len(desk.posts()), desk.lookups()) == (2, 1)  # for the second, which was noted and had not left


def test_an_order_is_not_sent_without_the_right_to_send_it(desk: TradingDesk) -> None:
    def takes_it_away(_: str) -> None:
        desk.later(seconds=30)  # so that it is to be renewed
        (name,) = desk.leases()
        before = desk.store.agent_document(name)
        assert before is not None
        assert desk.store.replace_agent_document(name, {**before, "nonce": "another's"}, replacing=before)

    desk.between = after_orders(takes_it_away)
    desk.drop("a.json", *named(3))
    with pytest.raises(LeaseLost):
        desk.live()
    assert desk.posts() == ["order-0"]
    assert RESULTS not in desk.runs()[0].names()


# --- what is on disk before an order leaves


def test_before_an_order_leaves_it_is_on_disk_that_it_may_in_chunks_of_a_few_dozen(
    desk: TradingDesk,
) -> None:
    desk.drop("a.json", *named(70, "SPY", "QQQ", "IWM"))
    run = desk.live()
    noted: set[str] = set()
    sizes = []
    for effect in desk.effects:
        if "/attempts/" in effect:
            key = effect.removeprefix("put ").removeprefix(run.key)
            new = {row["client_order_id"] for row in run.json(key)["orders"]}
            sizes.append(len(new))
            noted |= new
        if effect.startswith("POST "):
            assert effect.rpartition(" ")[2] in noted
    assert sorted(sizes) == [6, 32, 32]
    assert len(desk.posts()) == 70


def test_the_decisions_are_sealed_before_the_first_order_leaves(desk: TradingDesk) -> None:
    desk.one()
    order_of = [effect.rpartition("/")[2].partition(" ")[0] for effect in desk.effects]
    assert order_of.index("decisions.parquet") < order_of.index("orders", order_of.index("inputs.json"))


def test_an_attempt_says_what_leaves(desk: TradingDesk) -> None:
    desk.one(qty=2.5)
    (run,) = desk.runs()
    (noted,) = run.json("attempts/000001.json")["orders"]
    (sent,) = [row["body"] for row in desk.requests("POST")]
    assert noted == {"row": 0, **sent}


def test_a_reply_is_on_disk_before_the_next_order_of_its_symbol_leaves(desk: TradingDesk) -> None:
    desk.drop("a.json", *named(3))
    desk.live()
    posts = [place for place, effect in enumerate(desk.effects) if effect.startswith("POST ")]
    for first, then in pairwise(posts):
        assert any("/traffic/" in effect for effect in desk.effects[first:then])


# --- what leaves is compared with what was allowed


def tampered(**changes: Any) -> Callable[[list[ApprovedOrder]], list[ApprovedOrder]]:
    def tamper(orders: list[ApprovedOrder]) -> list[ApprovedOrder]:
        first, *rest = orders
        return [ApprovedOrder(first.row, replace(first.intent, **changes)), *rest]

    return tamper


def test_an_order_by_notional_is_compared_with_the_amount_that_was_allowed() -> None:
    intent = OrderIntent(
        strategy_id="s",
        broker_account_id="paper",
        symbol="SPY",
        side="buy",
        notional=100.0,
        client_intent_id="a",
    )
    allowance = Allowance({("paper", "a"): ("SPY", "buy", -1, 100_000_000_000)})
    allowance.check(ApprovedOrder(0, intent))
    with pytest.raises(OrderMismatch):
        allowance.check(ApprovedOrder(0, replace(intent, notional=100.01)))


@pytest.mark.parametrize(
    "tamper",
    [
        tampered(qty=100.0),
        tampered(qty=1.000000001),
        tampered(side="sell"),
        tampered(symbol="QQQ"),
        tampered(client_intent_id="never-allowed"),
        tampered(broker_account_id="other"),
        tampered(qty=None, notional=100.0),
    ],
)
def test_an_order_that_is_not_what_was_allowed_is_not_sent(
    desk: TradingDesk,
    monkeypatch: pytest.MonkeyPatch,
    tamper: Callable[[list[ApprovedOrder]], list[ApprovedOrder]],
) -> None:
    honest = approved.allowed_intents
    monkeypatch.setattr(live, "allowed_intents", lambda folder: tamper(honest(folder)))
    desk.drop("a.json", *named(3))
    with pytest.raises(OrderMismatch, match="Nothing more is sent"):
        desk.live()
    assert not {"order-0", "never-allowed"} & set(desk.posts())
    assert RESULTS not in desk.runs()[0].names()


def test_a_refused_row_that_is_planned_all_the_same_is_not_sent(
    desk: TradingDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = approved.allowed_intents

    def tamper(folder: RunFolder) -> list[ApprovedOrder]:
        said = folder.table("intents.parquet").to_pylist()[1]
        names = ("strategy_id", "broker_account_id", "symbol", "side", "qty", "client_intent_id")
        return [*honest(folder), ApprovedOrder(1, OrderIntent(**{name: said[name] for name in names}))]

    monkeypatch.setattr(live, "allowed_intents", tamper)
    desk.drop("a.json", order(client_intent_id="fine"), order(client_intent_id="huge", qty=500))
    with pytest.raises(OrderMismatch, match="huge"):
        desk.live(RiskConfig())
    assert desk.posts() == []


def test_an_allowance_lets_an_order_be_sent_again_under_its_own_id() -> None:
    intent = OrderIntent(
        strategy_id="s", broker_account_id="paper", symbol="SPY", side="buy", qty=0.3, client_intent_id="a"
    )
    allowance = Allowance({("paper", "a"): ("SPY", "buy", 300_000_000, -1)})
    for _ in range(3):
        allowance.check(ApprovedOrder(0, intent))
    with pytest.raises(OrderMismatch):
        allowance.check(ApprovedOrder(0, replace(intent, qty=0.1 + 0.2 + 1e-9)))


def test_what_the_broker_took_is_compared_with_what_was_allowed_of_it(desk: TradingDesk) -> None:
    def middle(request: PreparedRequest, send: Send) -> Response:
        answer = send()
        if request.method == "GET" and path_of(request).startswith("/v2/orders/"):
            return reply(request, 200, answer.json() | {"qty": "2"})
        return answer

    desk.between = middle
    desk.drop("a.json", order(client_intent_id="one", qty=1))
    run = desk.live()
    assert identities(run)["quantity placed = quantity allowed of it"] is False
    assert exit_code(run) == 4
    assert [event["severity"] for event in desk.events("identity_failed")] == ["CRITICAL"]


def test_the_identities_hold_and_are_reported(desk: TradingDesk) -> None:
    desk.drop("a.json", *named(3, "SPY", "QQQ", qty=0.1), order(qty=1e6))
    held = identities(desk.live(RiskConfig()))
    assert set(held.values()) == {True}
    assert {"quantity placed = quantity allowed of it", "quantity filled = sum of executions"} <= set(held)


# --- too late


def later_after_the_first(desk: TradingDesk, **by: float) -> Between:
    return after_orders(lambda client_id: desk.later(**by) if client_id == "order-0" else None)


ABOUT = {"created_at": (NOON - timedelta(seconds=60)).isoformat()}
LAPSES: list[tuple[str, Row, dict[str, float], float | None, str | None]] = [
    ("valid_until", {"valid_until": (NOON + timedelta(seconds=9)).isoformat()}, {"seconds": 9.1}, None,
     "intent_expired"),
    ("valid_until, to the moment", {"valid_until": (NOON + timedelta(seconds=9)).isoformat()}, {"seconds": 9},
     None, None),
    ("EXEC_INTENT_MAX_AGE_S", ABOUT, {"seconds": 61}, 120.0, "intent_expired"),
    ("EXEC_INTENT_MAX_AGE_S, to the moment", ABOUT, {"seconds": 60}, 120.0, None),
    ("EXEC_DECISION_MAX_AGE_S", {}, {"seconds": 901}, None, "decision_expired"),
    ("EXEC_DECISION_MAX_AGE_S, to the moment", {}, {"seconds": 900}, None, None),
    ("the session", {}, {"hours": 8.1}, None, "decision_expired"),
    ("a clock that went back", {}, {"seconds": -CLOCK_SKEW_LIMIT_S - 0.1}, None, "decision_expired"),
    ("a clock that went back by what clocks may differ", {}, {"seconds": -CLOCK_SKEW_LIMIT_S}, None, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "by", "max_age_s", "reason"), [case[1:] for case in LAPSES], ids=[case[0] for case in LAPSES]
)
def test_what_is_too_old_by_its_turn_is_not_sent(
    desk: TradingDesk, said: Row, by: dict[str, float], max_age_s: float | None, reason: str | None
) -> None:
    desk.between = later_after_the_first(desk, **by)
    desk.drop("a.json", *named(3, **said))
    config = GENEROUS.changed(intent_max_age_s=max_age_s)
    settings: dict[str, Any] = {"EXEC_DECISION_MAX_AGE_S": "36000"} if "hours" in by else {}
    run = desk.live(config, **settings)
    rest = ("placed", "ok") if reason is None else ("expired", reason)
    assert outcomes(run) == [("placed", "ok"), rest, rest]
    assert len(desk.posts()) == (3 if reason is None else 1)
    assert exit_code(run) == 0


AGES = [
    ("[limits]\nintent_max_age_s = 120", "[limits]", True),
    ("[account.paper]\nintent_max_age_s = 120\n[limits]\nintent_max_age_s = 130", "[account.paper]", True),
    ("[symbol.SPY]\nintent_max_age_s = 120", "[symbol.SPY]", True),
    ("[strategy.momentum.symbol.SPY]\nintent_max_age_s = 120", "[strategy.momentum.symbol.SPY]", True),
    ("[symbol.QQQ]\nintent_max_age_s = 1", "", False),
    ("[account.other]\nintent_max_age_s = 1", "", False),
]


@pytest.mark.parametrize(("body", "source", "is_over"), AGES)
def test_what_is_older_by_its_turn_than_any_section_of_its_own_allows_is_not_sent(
    desk: TradingDesk, body: str, source: str, is_over: bool
) -> None:
    desk.between = later_after_the_first(desk, seconds=61)
    desk.drop("a.json", *named(2, **ABOUT))
    run = desk.live(GENEROUS.changed(limits_file=of_book(body)))
    assert outcomes(run) == [("placed", "ok"), ("expired", "intent_expired") if is_over else ("placed", "ok")]
    if is_over:
        assert f"120 s ({source})" in run.table("results.parquet")["message"].to_pylist()[1]


def test_an_order_that_waited_for_its_turn_under_the_rate_limit_may_lapse_meanwhile(
    desk: TradingDesk,
) -> None:
    """The moment of sending is after that wait, not before it."""
    desk.control(
        "POST", "faults", {"fault": "rate_limited", "method": "POST", "path": "/v2/orders", "seconds": 0.1}
    )
    desk.between = with_orders_answered(doing(lambda _: desk.later(seconds=9)))
    desk.drop("a.json", *named(1, valid_until=(NOON + timedelta(seconds=5)).isoformat()))
    assert outcomes(desk.live()) == [("expired", "intent_expired")]
    assert desk.placed_ids() == []


# --- a run that was left unfinished


def stopped_after(desk: TradingDesk, sent: int, rows: list[Row]) -> RunFolder:
    desk.drop("a.json", *rows)
    desk.stopping = lambda: len(desk.posts()) >= sent
    with pytest.raises(RunStopped):
        desk.live()
    desk.stopping = lambda: False
    (folder,) = desk.runs()
    return folder


def test_a_resumed_run_looks_up_what_was_attempted_before_it_sends_anything(desk: TradingDesk) -> None:
    stopped = stopped_after(desk, 1, named(4, "SPY"))
    before = len(desk.requests())
    desk.live()
    asked = [
        (row["method"], row["query"] if row["method"] == "GET" else row["body"]["client_order_id"])
        for row in desk.requests()[before:]
        if row["path"] in {BY_CLIENT_ID, "/v2/orders"} and ("client_order_id" in row["query"] or row["body"])
    ]
    for name in ("order-1", "order-2", "order-3"):
        assert asked.index(("GET", f"client_order_id={name}")) < asked.index(("POST", name))
    assert statuses(stopped) == ["placed"] * 4


@pytest.mark.parametrize("by", [{"seconds": 901}, {"days": 1}], ids=["an old decision", "another session"])
def test_a_resumed_run_sends_nothing_of_what_had_not_been_attempted_once_it_is_too_old(
    desk: TradingDesk, by: dict[str, float]
) -> None:
    stopped = stopped_after(desk, 2, named(40, "SPY"))
    desk.later(**by)
    desk.retry_policy = replace(desk.retry_policy, lookups_s=())
    desk.live()
    assert outcomes(stopped) == [("placed", "ok")] * 2 + [("expired", "decision_expired")] * 38
    assert desk.placed_ids() == ["order-0", "order-1"]
    assert desk.lookups() == 60  # of the 32 noted two were answered; the run after it looks once more
    assert exit_code(stopped) == 0


def killed_in_flight(desk: TradingDesk) -> RunFolder:
    """Die after an order was taken in, before its reply is seen."""

    def middle(request: PreparedRequest, send: Send) -> Response:
        answer = send()
        if is_order(request):
            raise desk.die()
        return answer

    desk.between = middle
    desk.drop("a.json", order(client_intent_id="one", qty=3))
    with pytest.raises(Killed):
        desk.live()
    desk.disarm()
    (folder,) = desk.runs()
    return folder


@pytest.mark.parametrize("by", [{"seconds": 1}, {"seconds": 901}, {"days": 1}])
def test_an_order_that_was_taken_in_before_the_kill_is_adopted_however_late_the_next_run_is(
    desk: TradingDesk, by: dict[str, float]
) -> None:
    killed = killed_in_flight(desk)
    desk.later(**by)
    desk.live()
    (row,) = results(killed)
    assert (row["status"], row["adopted"], row["filled_qty"]) == ("placed", True, 3.0)
    assert desk.posts() == ["one"]
    assert (desk.trades("2026-03-02"), desk.trades("2026-03-03")) == (1, 0)


def test_a_run_killed_and_resumed_many_times_sends_each_order_once(desk: TradingDesk) -> None:
    rows = named(6, "SPY", "QQQ")
    desk.drop("a.json", *rows)
    left = [1]

    def middle(request: PreparedRequest, send: Send) -> Response:
        if is_order(request):
            left[0] -= 1
            if left[0] < 0:
                send()
                raise desk.die()
        return send()

    desk.between = middle
    for _ in range(10):
        left[0] = 1
        with suppress(Killed):
            desk.live()
            break
    desk.between = lambda request, send: send()
    desk.live()
    assert statuses(desk.runs()[0]) == ["placed"] * 6
    assert sorted(desk.placed_ids()) == sorted(ids(rows))
    assert desk.trades() == 6


def test_an_answer_that_was_kept_before_the_kill_settles_its_order_without_asking(desk: TradingDesk) -> None:
    stopped = stopped_after(desk, 2, [*named(2), order(client_intent_id="last")])
    desk.between = lambda request, send: send()
    before = desk.lookups()
    desk.live()
    assert desk.lookups() - before == 1  # for the last alone, which was noted and not sent
    assert [row["adopted"] for row in results(stopped)] == [False, False, False]


def test_a_refusal_that_was_kept_before_the_kill_stays_one(desk: TradingDesk) -> None:
    stopped = stopped_after(
        desk, 1, [order(client_intent_id="dear", qty=900_000), order(client_intent_id="fine")]
    )
    desk.live()
    refused, placed = results(stopped)
    assert (refused["status"], refused["reason"]) == ("broker_rejected", "refused_by_broker")
    assert "insufficient buying power" in refused["message"]
    assert placed["status"] == "placed"
    assert desk.posts() == ["dear", "fine"]


def test_a_refusal_kept_by_a_job_that_was_killed_says_nothing_of_the_job_before_it(
    desk: TradingDesk,
) -> None:
    killed = killed_in_flight(desk)
    refused: list[str] = []

    def hidden_and_refused(request: PreparedRequest, send: Send) -> Response:
        if refused:
            raise desk.die()
        if is_order(request):
            refused.append(client_id_of(request))
            return reply(request, 403, {"code": 40310000, "message": "insufficient buying power"})
        if path_of(request) == BY_CLIENT_ID:
            return reply(request, 404, {"code": 40410000, "message": "order not found"})
        return send()

    desk.between = listing_nothing(hidden_and_refused)
    with pytest.raises(Killed):
        desk.live()
    assert refused == ["one"]
    desk.between = lambda request, send: send()
    desk.live()
    (row,) = results(killed)
    assert (row["status"], row["adopted"], row["filled_qty"]) == ("placed", True, 3.0)
    assert (desk.posts(), desk.trades()) == (["one"], 1)


def test_what_was_turned_away_for_its_keys_is_sent_once_by_the_next_run_with_keys_that_are_taken(
    desk: TradingDesk,
) -> None:
    def revoked(request: PreparedRequest, send: Send) -> Response:
        if is_order(request) or asked:
            asked.append(request)
            return reply(request, 401, {"message": "unauthorized."})
        return send()

    asked: list[PreparedRequest] = []
    desk.between = revoked
    desk.drop("a.json", *named(2))
    with pytest.raises(BrokerError, match="unauthorized"):
        desk.live()
    assert desk.posts() == []
    (begun,) = desk.runs()
    desk.between = lambda request, send: send()
    desk.live()
    assert statuses(begun) == ["placed", "placed"]
    assert sorted(desk.posts()) == ["order-0", "order-1"]


def listing_nothing(then: Between) -> Between:
    """Return an empty list of orders: what was just taken in isn't in it yet."""

    def middle(request: PreparedRequest, send: Send) -> Response:
        listed = request.method == "GET" and path_of(request) == "/v2/orders"
        return reply(request, 200, []) if listed else then(request, send)

    return middle


def test_a_run_begun_at_another_host_is_not_finished_here(desk: TradingDesk) -> None:
    stopped_after(desk, 1, named(2))
    asked = len(desk.requests("POST"))
    desk.host = "https://api.alpaca.markets"
    with pytest.raises(
        ConfigurationError, match=r"paper is the name of another broker account, or of this one at another"
    ) as error:
        desk.live()
    assert error.value.exit_code == 2
    assert len(desk.requests("POST")) == asked
    desk.host = "https://paper-api.alpaca.markets"
    desk.live()
    assert desk.placed_ids() == ["order-0", "order-1"]


def test_what_a_dry_run_left_unfinished_is_never_sent_when_live_is_switched_on(desk: TradingDesk) -> None:
    desk.drop("a.json", *named(2))
    dry = desk.begin()
    finish(dry, desk.context(), until="decisions.parquet")
    desk.later(seconds=5)
    desk.live()
    assert statuses(dry) == ["dry_run", "dry_run"]
    assert desk.posts() == []


def test_the_next_run_knows_the_rows_of_the_one_that_it_resumed(desk: TradingDesk) -> None:
    stopped_after(desk, 1, named(2))
    desk.drop("b.json", *named(2))
    run = desk.live()
    assert run.json(MANIFEST)["rows"] == {"dropped": 2, "batched": 0, "quarantined": 0, "duplicate": 2}
    assert desk.placed_ids() == ["order-0", "order-1"]


def test_every_refusal_is_reported_by_the_log(desk: TradingDesk) -> None:
    desk.drop("a.json", order(client_intent_id="dear", qty=900_000), *named(1))
    desk.live(changes={"kill_switch": lambda: on() if desk.posts() else off()})
    told = {event["intent_id"]: event["reason"] for event in desk.events("trade_refused")}
    assert told == {"dear": "refused_by_broker", "order-0": "kill_switch_enabled"}


def test_a_batch_with_a_switch_that_is_on_from_the_start_asks_for_nothing_to_be_placed(
    desk: TradingDesk,
) -> None:
    desk.drop("a.json", *named(2))
    run = desk.live(changes={"kill_switch": on})
    assert reasons(run) == ["kill_switch_enabled"] * 2
    assert (desk.posts(), exit_code(run)) == ([], 3)
    assert json.loads(json.dumps(results(run)[0]))["attempted"] is False
