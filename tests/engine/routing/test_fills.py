"""After the last order has left: fills, ledger, and what is still open."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from requests import PreparedRequest, Response

from engine.accounts.connection import SEND_S
from engine.brokers.trading import TradingBroker
from engine.errors import EngineError, RunStopped
from engine.model.orders import BrokerFill, BrokerOrder, OrderIntent
from engine.model.schema import CLOCK_SKEW_LIMIT_S
from engine.record.fills import is_over, ledger_documents
from engine.record.run_folder import MANIFEST, RESULTS, RunFolder
from engine.routing.fills import executions
from engine.safety.lease import TTL_S
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.firestore.store import FirestoreStore
from tests.desk import Row, order
from tests.engine.routing.trading import (
    FILLS,
    Send,
    TradingDesk,
    after_orders,
    at_a_rate_that_never_matters,
    exit_code,
    forgetful,
    identities,
    path_of,
    reply,
    results,
)

DAY_S = 86_400
RESTING: Row = {"order_type": "limit", "limit_price": 50}
"""A buy that the market never comes to."""


@pytest.fixture
def desk(tmp_path: Path) -> TradingDesk:
    return TradingDesk(tmp_path / "data")


def fills_of(run: RunFolder) -> list[Row]:
    rows: list[Row] = run.table("fills.parquet").to_pylist()
    return rows


def document(desk: TradingDesk, client_order_id: str = "one") -> dict[str, Any]:
    found = desk.store.ledger_document(desk.at_broker(client_order_id)["id"])
    assert found is not None
    return found


# --- partial fills


def while_it_waits(desk: TradingDesk, *qty: float) -> None:
    """Fill the order in parts, one each time the run asks for the open orders after it was sent."""
    parts = list(qty)

    def middle(request: PreparedRequest, send: Send) -> Response:
        if path_of(request) == "/v2/orders" and request.method == "GET" and desk.posts() and parts:
            desk.fill("one", parts.pop(0))
        return send()

    desk.between = middle


def test_partial_fills_of_4_7_and_10_are_one_document_one_trade_and_three_executions(
    desk: TradingDesk,
) -> None:
    desk.settle_s = 5
    while_it_waits(desk, 4, 3, 3)
    desk.drop("a.json", order(client_intent_id="one", qty=10, **RESTING))
    run = desk.live()
    assert [(fill["qty"], fill["cum_qty"], fill["leaves_qty"]) for fill in fills_of(run)] == [
        (4.0, 4.0, 6.0),
        (3.0, 7.0, 3.0),
        (3.0, 10.0, 0.0),
    ]
    assert (document(desk)["filled_qty"], desk.trades()) == (10.0, 1)
    assert (results(run)[0]["filled_qty"], desk.left_open(), exit_code(run)) == (10.0, [], 0)


def test_partial_fills_that_come_between_runs_are_one_document_and_one_trade(desk: TradingDesk) -> None:
    assert desk.one(qty=10, **RESTING)["filled_qty"] == 0.0
    for qty, so_far in ((4, 4.0), (3, 7.0), (3, 10.0)):
        assert len(desk.left_open()) == 1
        desk.fill("one", qty)
        desk.live()
        assert (document(desk)["filled_qty"], desk.trades()) == (so_far, 1)
    assert desk.left_open() == []


def test_an_order_partly_filled_at_the_end_is_placed_and_open_with_what_it_has(desk: TradingDesk) -> None:
    while_it_waits(desk, 4)
    desk.drop("a.json", order(client_intent_id="one", qty=10, **RESTING))
    run = desk.live()
    (row,) = results(run)
    assert (row["status"], row["order_status"], row["filled_qty"]) == ("placed", "partially_filled", 4.0)
    assert (exit_code(run), len(desk.left_open())) == (0, 1)
    assert (document(desk)["filled_qty"], desk.trades()) == (4.0, 1)


@pytest.mark.parametrize("seed", range(20))
def test_an_order_of_a_thousand_fractional_executions_is_terminal_with_the_last_of_them(seed: int) -> None:
    parts = [Random(seed * 1_000 + number).randint(1, 10**9) for number in range(1_000)]
    whole: Any = SimpleNamespace(broker_order_id="a", is_final=True, filled_qty=sum(parts) / 1e9, legs=())
    fills: list[Any] = [SimpleNamespace(qty=part / 1e9) for part in parts]
    assert is_over(whole, {"a": fills})
    assert not is_over(whole, {"a": fills[:-1]})


def test_syncing_again_changes_nothing_in_the_ledger(desk: TradingDesk) -> None:
    desk.one(qty=10, **RESTING)
    desk.fill("one", 4)
    desk.live()
    before = document(desk)
    for _ in range(2):
        desk.live()
    assert (document(desk), desk.trades()) == (before, 1)


# --- still open, and filled later


def test_what_is_still_open_at_the_deadline_is_placed_and_noted_and_no_failure(desk: TradingDesk) -> None:
    desk.settle_s = 0.3
    desk.drop("a.json", order(client_intent_id="one", **RESTING), order(client_intent_id="two"))
    run = desk.live()
    assert [row["order_status"] for row in results(run)] == ["new", "filled"]
    assert [row["status"] for row in results(run)] == ["placed", "placed"]
    assert exit_code(run) == 0
    (left,) = desk.left_open()
    assert left.startswith(f"open/2026-03-02/{run.run_id}~")
    assert desk.trades() == 1


def test_a_fill_that_comes_later_counts_on_the_session_in_which_it_came(desk: TradingDesk) -> None:
    desk.one(time_in_force="gtc", **RESTING)
    desk.tick(3600)
    desk.fill("one")
    desk.tick(86_400)
    desk.live()
    assert (desk.trades("2026-03-02"), desk.trades("2026-03-03")) == (1, 0)
    assert document(desk)["filled_at"].startswith("2026-03-02T18:0")
    assert desk.left_open() == []


def test_a_trade_counts_on_the_session_of_its_first_fill_whenever_the_rest_comes(desk: TradingDesk) -> None:
    desk.one(qty=10, time_in_force="gtc", **RESTING)
    desk.fill("one", 4)
    desk.tick(86_400)
    desk.fill("one", 6)
    desk.live()
    assert (desk.trades("2026-03-02"), desk.trades("2026-03-03")) == (1, 0)
    assert (document(desk)["filled_qty"], document(desk)["trading_date"]) == (10.0, "2026-03-02")


def test_an_order_that_expires_unfilled_is_no_trade_and_forgotten(desk: TradingDesk) -> None:
    desk.one(**RESTING)
    desk.tick(86_400)
    desk.live()
    assert (desk.trades("2026-03-02"), desk.trades("2026-03-03"), desk.left_open()) == (0, 0, [])
    assert desk.at_broker("one")["status"] == "expired"


def test_being_asked_to_stop_while_fills_are_waited_for_leaves_the_rest_to_the_next_run(
    desk: TradingDesk,
) -> None:
    desk.settle_s = 60
    asked = threading.Event()
    desk.between = after_orders(lambda _: asked.set())
    seen: list[int] = []

    def stopping() -> bool:
        if asked.is_set():
            seen.append(1)
        return len(seen) > 3

    desk.stopping = stopping
    with pytest.raises(RunStopped):
        desk.one(qty=3, **RESTING)
    (stopped,) = desk.runs()
    assert RESULTS not in stopped.names()
    desk.stopping, desk.settle_s = (lambda: False), 0.1
    desk.fill("one")
    desk.live()
    assert [row["filled_qty"] for row in results(stopped)] == [3.0]
    assert (desk.posts(), desk.trades()) == (["one"], 1)


# --- a broker that doesn't know yet what it has told of


def test_an_order_that_the_broker_does_not_know_at_first_is_asked_for_again(desk: TradingDesk) -> None:
    desk.between = forgetful(2)
    desk.drop("a.json", order(client_intent_id="one", qty=3))
    run = desk.live()
    assert [(row["order_status"], row["filled_qty"]) for row in results(run)] == [("filled", 3.0)]
    assert (exit_code(run), desk.left_open()) == (0, [])


def test_an_order_that_the_broker_does_not_know_any_more_stays_open_until_a_later_sync_finds_it(
    desk: TradingDesk,
) -> None:
    desk.between = forgetful(1_000)
    row = desk.one(qty=3)
    assert (row["status"], row["broker_order_id"]) == ("placed", desk.orders()[0]["id"])
    (event,) = desk.events("order_missing")
    assert (event["severity"], event["intent_id"]) == ("CRITICAL", "one")
    assert len(desk.left_open()) == 1
    desk.disarm()
    desk.live()
    assert (desk.trades(), desk.left_open()) == (1, [])


def test_orders_that_the_broker_does_not_know_are_waited_for_all_at_once(desk: TradingDesk) -> None:
    desk.between = forgetful(1_000)
    names = [f"order-{number}" for number in range(4)]
    desk.drop("a.json", *[order(client_intent_id=name) for name in names])
    lists = desk.between

    def middle(request: PreparedRequest, send: Send) -> Response:
        if "status=all" in (request.url or ""):
            return reply(request, 200, [])
        return lists(request, send)

    desk.between = middle
    desk.live()
    asked = [effect for effect in desk.effects if effect.startswith("GET /v2/orders/")]
    assert asked == [asked[0], asked[1], asked[2], asked[3]] * 4  # at once, and after each of three waits


# --- the right to send


def test_while_fills_are_waited_for_the_right_to_send_is_renewed(desk: TradingDesk) -> None:
    """Nobody else may trade on what this run has read of the book, until the last fill is in."""
    said: list[str] = []

    def middle(request: PreparedRequest, send: Send) -> Response:
        if desk.posts() and request.method == "GET" and path_of(request) == "/v2/orders":
            (name,) = desk.leases()
            said.append((desk.store.agent_document(name) or {})["expires_at"])
            desk.later(seconds=TTL_S - CLOCK_SKEW_LIMIT_S - SEND_S)
        return send()

    desk.between = middle
    desk.settle_s = 1.0
    desk.one(**RESTING)
    assert len(said) > 2
    assert all(earlier < later for earlier, later in pairwise(said[:3]))


# --- few requests


def test_a_thousand_orders_with_one_fill_each_are_settled_with_thirty_requests_at_most(
    tmp_path: Path,
) -> None:
    rich = at_a_rate_that_never_matters(cash=Decimal(100_000_000))
    desk = TradingDesk(tmp_path / "data", simulator=rich, settle_s=20)
    symbols = ("SPY", "QQQ", "IWM", "DIA", "AAPL", "MSFT", "NVDA", "AMD", "BA", "BAC")
    desk.drop("a.json", *[order(client_intent_id=f"o-{n}", symbol=symbols[n % 10]) for n in range(1000)])
    run = desk.live()
    asked = [row["method"] for row in desk.requests()]
    last_post = len(asked) - asked[::-1].index("POST")
    assert asked.count("POST") == 1000
    assert len(asked[last_post:]) <= 30
    assert len(fills_of(run)) == 1000
    assert desk.trades() == 1000
    assert (exit_code(run), desk.left_open()) == (0, [])


# --- a list of fills that lags


def lagging(desk: TradingDesk, times: int) -> None:
    left = [times]

    def middle(request: PreparedRequest, send: Send) -> Response:
        if path_of(request) == FILLS and left[0] > 0:
            left[0] -= 1
            return reply(request, 200, [])
        return send()

    desk.between = middle


def test_fills_that_are_reported_late_are_waited_for(desk: TradingDesk) -> None:
    lagging(desk, 2)
    desk.drop("a.json", order(client_intent_id="one", qty=3))
    run = desk.live()
    assert [fill["qty"] for fill in fills_of(run)] == [3.0]
    assert exit_code(run) == 0


def test_fills_that_are_not_reported_at_all_are_a_trade_and_an_identity_that_fails_until_they_are(
    desk: TradingDesk,
) -> None:
    lagging(desk, 1_000_000)
    desk.drop("a.json", order(client_intent_id="one", qty=3))
    run = desk.live()
    assert fills_of(run) == []
    assert identities(run)["quantity filled = sum of executions"] is False
    assert exit_code(run) == 4
    assert (desk.trades(), document(desk)["filled_qty"], len(desk.left_open())) == (1, 3.0, 1)
    desk.disarm()
    desk.live()
    assert (desk.trades(), document(desk)["filled_qty"], desk.left_open()) == (1, 3.0, [])
    assert document(desk)["raw_fill"]["qty"] == "3"


@pytest.mark.parametrize("earlier_ms", [0, 500])
def test_an_execution_that_is_no_later_than_its_order_is_found(earlier_ms: int) -> None:
    submitted = datetime(2026, 3, 2, 15, 0, 0, 600_000, tzinfo=UTC)
    at = submitted - timedelta(milliseconds=earlier_ms)
    fill = BrokerFill(
        fill_id="f", broker_order_id="o", symbol="SPY", side="buy", qty=3.0, price=10.0, filled_at=at
    )

    def fills(*, after: datetime) -> list[BrokerFill]:
        return [fill] if fill.filled_at > after else []

    sent = BrokerOrder(
        broker_order_id="o",
        client_order_id="one",
        order_status="filled",
        submitted_at=submitted,
        filled_qty=3.0,
    )
    assert executions([sent], cast(TradingBroker, SimpleNamespace(fills=fills))) == {"o": [fill]}


def test_a_fill_that_is_reported_twice_is_one_execution(desk: TradingDesk) -> None:
    def middle(request: PreparedRequest, send: Send) -> Response:
        answer = send()
        if path_of(request) == FILLS:
            return reply(request, 200, answer.json() * 2)
        return answer

    desk.between = middle
    desk.drop("a.json", order(client_intent_id="one", qty=3))
    run = desk.live()
    assert [fill["qty"] for fill in fills_of(run)] == [3.0]
    assert exit_code(run) == 0


def test_fills_of_orders_that_no_run_has_sent_stay_out(desk: TradingDesk) -> None:
    def by_hand(client_id: str) -> None:
        desk.place_by_hand(client_order_id="by-hand", symbol="QQQ")

    desk.between = after_orders(by_hand)
    desk.drop("a.json", order(client_intent_id="one", qty=3))
    run = desk.live()
    assert {fill["client_intent_id"] for fill in fills_of(run)} == {"one"}
    assert desk.trades() == 1


# --- groups


GROUP: Row = {"order_class": "bracket", "take_profit_limit_price": 150, "stop_loss_stop_price": 40}


def exit_is_filled(desk: TradingDesk) -> str:
    """Fill the take profit of the one group; gives its id."""
    (leg,) = [one for one in desk.orders() if one["type"] == "limit" and one["side"] == "sell"]
    desk.control("POST", "fill", {"order_id": leg["id"]})
    leg_id: str = leg["id"]
    return leg_id


def test_the_fills_of_a_groups_exits_are_executions_of_its_intent_and_in_the_ledger(
    desk: TradingDesk,
) -> None:
    filled: list[str] = []

    def middle(request: PreparedRequest, send: Send) -> Response:
        answer = send()
        entry_is_filled = any(one["status"] == "filled" for one in desk.orders())
        if request.method == "GET" and entry_is_filled and not filled:
            desk.control("POST", "clock", {"advance_s": 1})
            filled.append(exit_is_filled(desk))
        return answer

    desk.between = middle
    desk.settle_s = 5
    desk.drop("a.json", order(client_intent_id="one", qty=3, **GROUP))
    run = desk.live()
    told = [(fill["client_intent_id"], fill["side"], fill["qty"]) for fill in fills_of(run)]
    assert told == [("one", "buy", 3.0), ("one", "sell", 3.0)]
    found = desk.store.ledger_document(filled[0])
    assert found is not None
    assert (found["side"], found["strategy_id"], found["filled_qty"]) == ("sell", "momentum", 3.0)
    assert exit_code(run) == 0
    assert desk.left_open() == []


def test_the_exit_of_a_group_that_fills_later_reaches_the_ledger_by_the_next_run(desk: TradingDesk) -> None:
    desk.one(qty=3, **GROUP)
    desk.tick(5)
    desk.live()
    assert len(desk.left_open()) == 1
    leg_id = exit_is_filled(desk)
    desk.live()
    assert desk.store.ledger_document(leg_id) is not None
    assert desk.left_open() == []


def test_a_group_is_one_trade(desk: TradingDesk) -> None:
    """DESIGN, "An intent": of entry and exits, "a group is one trade"."""
    desk.one(qty=3, **GROUP)
    desk.tick(5)
    leg_id = exit_is_filled(desk)
    desk.live()
    assert desk.trades() == 1
    leg = desk.store.ledger_document(leg_id) or {}
    assert (leg["exit_of"], leg["counts_as_trade"]) == (desk.at_broker("one")["id"], False)
    assert not {"exit_of", "counts_as_trade"} & document(desk).keys()


def test_an_exit_that_fills_on_a_later_day_is_no_trade_of_that_day(desk: TradingDesk) -> None:
    desk.one(qty=3, time_in_force="gtc", **GROUP)
    desk.tick(86_400)
    leg_id = exit_is_filled(desk)
    desk.live()
    assert (desk.store.ledger_document(leg_id) or {})["trading_date"] == "2026-03-03"
    assert (desk.trades("2026-03-02"), desk.trades("2026-03-03")) == (1, 0)


def exit_pair(desk: TradingDesk) -> tuple[str, str]:
    """Hold 3 shares by hand and send a take profit and a stop loss for them; gives the ids of the two."""
    desk.place_by_hand(symbol="SPY", qty="3")
    desk.tick(5)
    exits: Row = {**GROUP, "order_class": "oco", "order_type": "limit", "limit_price": 150}
    desk.one(qty=3, side="sell", **exits)
    kinds = {one["type"]: str(one["id"]) for one in desk.orders() if one["side"] == "sell"}
    return kinds["limit"], kinds["stop"]


def test_an_exit_pair_whose_first_order_fills_is_one_trade(desk: TradingDesk) -> None:
    head, _ = exit_pair(desk)
    desk.control("POST", "fill", {"order_id": head})
    desk.live()
    assert desk.trades() == 1


def test_an_exit_pair_whose_other_order_fills_is_one_trade(desk: TradingDesk) -> None:
    head, leg = exit_pair(desk)
    desk.control("POST", "fill", {"order_id": leg})
    desk.live()
    assert desk.store.ledger_document(head) is None
    assert (desk.store.ledger_document(leg) or {})["exit_of"] == head
    assert desk.trades() == 1


def pair_that_filled(head_qty: float, leg_qty: float) -> list[dict[str, Any]]:
    """Return the documents of two exits of which so much has filled."""
    intent = OrderIntent(
        client_intent_id="one",
        strategy_id="momentum",
        broker_account_id="paper",
        symbol="SPY",
        side="sell",
        qty=3,
    )
    leg, head = (
        BrokerOrder(
            broker_order_id=name, client_order_id=name, order_status="canceled", side="sell", filled_qty=qty
        )
        for name, qty in (("leg", leg_qty), ("head", head_qty))
    )
    orders = [(intent, replace(head, legs=(leg,)))]
    noon = datetime(2026, 3, 2, 17, tzinfo=UTC)
    return list(ledger_documents(orders, {}, calendar="XNYS", now=noon))


@pytest.mark.parametrize("filled", [(0, 2), (1, 0), (1, 2)])
def test_of_a_group_exactly_one_document_counts_whichever_of_its_orders_filled(
    filled: tuple[float, float],
) -> None:
    counts = [document.get("counts_as_trade", True) for document in pair_that_filled(*filled)]
    assert counts.count(True) == 1


def test_a_group_stays_one_trade_when_its_first_order_fills_after_the_other(desk: TradingDesk) -> None:
    for filled in ((0, 2), (1, 2)):
        desk.store.write_ledger(pair_that_filled(*filled))
        assert desk.trades() == 1


# --- the ledger


class DownAtFirst(EmbeddedStore):
    """A ledger whose first writes fail."""

    def __init__(self, desk: TradingDesk, times: int) -> None:
        super().__init__(desk.data / "engine.db")
        self.left = times

    def write_ledger(self, documents: Any) -> int:
        self.left -= 1
        if self.left >= 0:
            raise EngineError("the ledger is down")
        return super().write_ledger(documents)


def test_a_ledger_that_is_down_leaves_the_run_unfinished_and_the_next_one_writes_it_once(
    desk: TradingDesk,
) -> None:
    ledger = DownAtFirst(desk, 2)
    desk.drop("a.json", order(client_intent_id="one", qty=3))
    with pytest.raises(EngineError, match="the ledger is down") as error:
        desk.live(changes={"ledger": ledger})
    assert error.value.exit_code == 1
    (broken,) = desk.runs()
    assert not {RESULTS, MANIFEST} & broken.names()
    assert [event["severity"] for event in desk.events("ledger_write_failed")] == ["ERROR"]
    with pytest.raises(EngineError, match="the ledger is down"):
        desk.live(changes={"ledger": ledger})
    desk.live(changes={"ledger": ledger})
    assert (desk.posts(), desk.placed_ids(), desk.trades()) == (["one"], ["one"], 1)
    assert [fill["qty"] for fill in fills_of(broken)] == [3.0]
    assert exit_code(broken) == 0


def test_the_ledger_is_written_before_the_results_are_sealed(desk: TradingDesk) -> None:
    seen: list[bool] = []

    class Looks(EmbeddedStore):
        def write_ledger(self, documents: Any) -> int:
            seen.append(RESULTS in desk.runs()[-1].names())
            return super().write_ledger(documents)

    desk.data.mkdir()
    desk.drop("a.json", order(client_intent_id="one"))
    desk.live(changes={"ledger": Looks(desk.data / "engine.db")})
    assert seen == [False]


def test_an_order_that_the_broker_rejected_after_taking_it_in_says_so_and_is_no_trade(
    desk: TradingDesk,
) -> None:
    desk.arm("reject_after_acceptance")
    desk.drop("a.json", order(client_intent_id="one", qty=3), order(client_intent_id="two"))
    run = desk.live()
    one, two = results(run)
    assert (one["status"], one["reason"]) == ("broker_rejected", "rejected_after_acceptance")
    assert (one["order_status"], one["filled_qty"], one["attempted"]) == ("rejected", 0.0, True)
    assert one["broker_order_id"] in one["message"]
    assert (two["status"], two["order_status"]) == ("placed", "filled")
    assert (desk.trades(), desk.left_open()) == (1, [])
    manifest = run.json("manifest.json")
    assert manifest["results"] == {
        "by_status": {"broker_rejected": 1, "placed": 1},
        "by_order_status": {"rejected": 1, "filled": 1},
    }
    assert all(identity["holds"] for identity in manifest["identities"])
    said = {event["intent_id"]: event["order_status"] for event in desk.events("order_status")}
    assert said == {"one": "rejected", "two": "filled"}


def test_an_order_that_was_rejected_once_some_of_it_had_filled_is_placed_and_a_trade(
    desk: TradingDesk,
) -> None:
    def middle(request: PreparedRequest, send: Send) -> Response:
        answer = send()
        if request.method == "GET" and path_of(request).startswith("/v2/orders/"):
            return reply(request, 200, answer.json() | {"status": "rejected"})
        return answer

    desk.between = middle
    row = desk.one(qty=3)
    assert (row["status"], row["order_status"], row["filled_qty"]) == ("placed", "rejected", 3.0)
    assert desk.trades() == 1


def test_an_order_that_was_rejected_after_its_acceptance_and_is_dropped_again_is_recognised(
    desk: TradingDesk,
) -> None:
    desk.arm("reject_after_acceptance")
    desk.one(qty=3)
    desk.drop("again.json", order(client_intent_id="one", qty=3))
    run = desk.live()
    assert (run.json("collected.json")["rows"]["duplicate"], desk.posts()) == (1, ["one"])


def test_every_execution_is_reported_by_the_log(desk: TradingDesk) -> None:
    desk.one(qty=3)
    (event,) = desk.events("fill")
    assert (event["intent_id"], event["broker_order_id"]) == ("one", desk.orders()[0]["id"])
    assert event["message"].startswith("one: buy 3 SPY at ")


# --- the session of a fill


def partly_filled_and_not_listed(desk: TradingDesk) -> None:
    """Let an order be filled in part on Monday, and the list of executions lag until it is disarmed."""
    desk.one(client_intent_id="one", qty=10, time_in_force="gtc", order_type="limit", limit_price=50)
    desk.fill("one", 4)
    lagging(desk, 1_000_000)


def test_a_partial_fill_that_is_listed_late_counts_on_the_session_in_which_it_was_executed(
    desk: TradingDesk,
) -> None:
    partly_filled_and_not_listed(desk)
    desk.tick(DAY_S)
    desk.live()
    assert (desk.trades("2026-03-02"), desk.trades("2026-03-03")) == (1, 0)
    desk.disarm()
    desk.live()
    assert (document(desk)["trading_date"], document(desk)["filled_qty"]) == ("2026-03-02", 4.0)


def test_a_session_that_was_estimated_is_corrected_once_the_executions_are_listed(desk: TradingDesk) -> None:
    partly_filled_and_not_listed(desk)
    in_order = desk.between

    def without_times(request: PreparedRequest, send: Send) -> Response:
        answer = in_order(request, send)
        answer._content = answer.content.replace(b'"updated_at"', b'"was_updated_at"')
        return answer

    desk.between = without_times
    desk.tick(DAY_S)
    desk.live()
    assert document(desk)["trading_date"] == "2026-03-03"  # the best that is known
    desk.disarm()
    desk.live()
    assert document(desk)["trading_date"] == "2026-03-02"
    assert (desk.trades("2026-03-02"), desk.trades("2026-03-03")) == (1, 0)


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2046-01-02T15:00:00Z", "9999-12-31T00:00:00Z"]
)
def test_an_execution_at_a_time_that_no_calendar_covers_is_booked_and_named_and_stops_no_run(
    desk: TradingDesk, time: str
) -> None:
    def middle(request: PreparedRequest, send: Send) -> Response:
        answer = send()
        if path_of(request) == FILLS:
            rows = [{**row, "transaction_time": time} for row in answer.json()]
            answer._content = json.dumps(rows).encode()
        return answer

    desk.between = middle
    desk.drop("a.json", order(client_intent_id="one", qty=3))
    run = desk.live()
    assert exit_code(run) == 4
    assert [(fill["qty"], fill["trading_date"]) for fill in fills_of(run)] == [(3.0, "2026-03-02")]
    assert (document(desk)["filled_qty"], document(desk)["trading_date"], desk.trades()) == (
        3.0,
        "2026-03-02",
        1,
    )
    (file,) = (desk.data / "unkept").rglob("*.json")
    message = json.loads(file.read_bytes())["message"]
    assert time[:10] in message
    assert "expected a time from 2010 to 2045" in message
    assert exit_code(desk.live()) == 0


def test_an_order_whose_id_can_not_name_a_document_is_booked_and_over(
    tmp_path: Path, firestore_project: Any
) -> None:
    for number, ledger in enumerate((None, FirestoreStore(firestore_project, timeout_s=60))):
        desk = TradingDesk(tmp_path / str(number))

        def slashed(request: PreparedRequest, send: Send) -> Response:
            request.url = str(request.url).replace("%2F", "-")
            answer = send()
            answer._content = re.sub(
                rb'("(?:order_)?id": ?")([0-9a-f]{8})-([0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")',
                rb"\1\2/\3",
                answer.content,
            )
            return answer

        desk.between = slashed
        desk.drop("a.json", order(client_intent_id="one", qty=3))
        changes = {} if ledger is None else {"ledger": ledger}
        run = desk.live(changes=changes)
        assert exit_code(run) == 0
        (placed,) = run.table("results.parquet")["broker_order_id"].to_pylist()
        assert "/" in placed
        store = ledger or desk.store
        found = store.ledger_document(placed)
        assert found is not None
        assert (found["broker_order_id"], found["filled_qty"]) == (placed, 3.0)
        assert desk.left_open() == []
        assert exit_code(desk.live(changes=changes)) == 0
