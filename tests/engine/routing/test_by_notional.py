"""Orders by notional at the broker: lost replies, fills in parts, cancels, later runs, and the replay."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from requests import PreparedRequest, Response

import replay
from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from tests.desk import Row, order, outcomes
from tests.engine.reconciliation.test_account_books import found, judged, synced
from tests.engine.routing.trading import (
    BY_CLIENT_ID,
    Killed,
    Send,
    TradingDesk,
    after_orders,
    dropped,
    exit_code,
    identities,
    is_order,
    path_of,
    reply,
    results,
)

SKIPPED = RiskConfig(accounts=frozenset({"paper"}), fail_open=True)
"""Without a price the position rule is unavailable; here it is skipped."""
RESTING: Row = {"order_type": "limit", "limit_price": 50}


@pytest.fixture
def desk(tmp_path: Path) -> TradingDesk:
    return TradingDesk(tmp_path / "data")


def by_notional(client_intent_id: str = "one", notional: float = 100.0, **said: Any) -> Row:
    return order(client_intent_id=client_intent_id, qty=None, notional=notional, **said)


def ran(desk: TradingDesk, *rows: Row) -> RunFolder:
    desk.drop(f"{desk.now:%H%M%S}.json", *rows)
    return desk.live(SKIPPED)


def replays(run: RunFolder, desk: TradingDesk) -> bool:
    return replay.replay(desk.data / run.key).differences == 0


@pytest.mark.parametrize("reported", [{}, {"notional": None, "qty": "1.25"}, {"qty": "1.25"}])
def test_an_order_whose_reply_was_lost_is_adopted_by_its_notional_or_by_what_that_bought(
    desk: TradingDesk, reported: Row
) -> None:
    def middle(request: PreparedRequest, send: Send) -> Response:
        answer = send()
        if is_order(request):
            raise dropped(request)
        if reported and path_of(request) == BY_CLIENT_ID and answer.ok:
            told = answer.json() | reported
            return reply(request, 200, told | {"filled_qty": "1.25", "filled_avg_price": "79.9"})
        return answer

    desk.between = middle
    run = ran(desk, by_notional())
    (row,) = results(run)
    assert (row["status"], row["adopted"]) == ("placed", True)
    assert len(desk.posts()) == 1
    desk.disarm()
    assert found(desk) == []


def test_what_is_left_of_an_order_works_by_its_notional_until_it_has_filled(desk: TradingDesk) -> None:
    run = ran(desk, by_notional(**RESTING))
    assert [row["order_qty"] for row in results(run)] == [None]
    assert (exit_code(run), len(desk.left_open())) == (0, 1)
    desk.fill("one", 0.5)
    at_work = synced(desk)
    (row,) = at_work.working_order_terms.to_dict("records")
    spent = 0.5 * float(desk.at_broker("one")["filled_avg_price"])
    assert row["remaining_notional"] == pytest.approx(100 - spent, abs=1e-6)
    assert at_work.working_orders["remaining_qty"].isna().all()
    assert (at_work.counted_there, at_work.open_breaks) == (1, [])
    order_id = desk.at_broker("one")["id"]
    document = desk.store.ledger_document(order_id) or {}
    assert (document["filled_qty"], document["notional"], "qty" in document) == (0.5, 100.0, False)
    assert outcomes(judged(desk, order(symbol="SPY"))) == [("rejected", "risk_data_unavailable")]
    desk.fill("one")
    at_work = synced(desk)
    assert (len(at_work.working_orders), at_work.open_breaks, desk.left_open()) == (0, [], [])
    document = desk.store.ledger_document(order_id) or {}
    assert document["filled_qty"] == float(desk.at_broker("one")["filled_qty"]) > 1.9
    assert (desk.trades(), replays(run, desk)) == (1, True)


def test_an_order_that_filled_in_part_is_cancelled_and_keeps_what_filled(desk: TradingDesk) -> None:
    ran(desk, by_notional(**RESTING))
    desk.fill("one", 0.5)
    cancel = {"action": "cancel", "target_intent_id": "one", "symbol": None, "side": None, "qty": None}
    run = ran(desk, order(client_intent_id="two", **cancel))
    assert outcomes(run) == [("canceled", "ok")]
    assert (found(desk), desk.left_open(), desk.trades()) == ([], [], 1)
    assert replays(run, desk)


def test_an_order_that_a_killed_job_had_sent_is_found_by_the_next_one(desk: TradingDesk) -> None:
    def dies(_: str) -> None:
        raise desk.die()

    desk.between = after_orders(dies)
    with pytest.raises(Killed):
        ran(desk, by_notional(), by_notional("two", symbol="QQQ", **RESTING))
    desk.disarm()
    desk.live(SKIPPED)
    run = desk.runs()[0]
    assert [row["status"] for row in results(run)] == ["placed", "placed"]
    assert sorted(desk.posts()) == ["one", "two"]
    assert all(identities(run).values())
    assert replays(run, desk)


# --- judged by a quote

PRICED = RiskConfig(accounts=frozenset({"paper"}), max_position_qty=10)


def priced(desk: TradingDesk, *rows: Row, bid: float = 100.0, age_s: float = 1.0) -> RunFolder:
    """Run with a file of prices: SPY's quote, of so many seconds ago."""
    at = desk.now - timedelta(seconds=age_s)
    path = desk.data.parent / "prices.csv"
    path.write_text(f"symbol,bid,ask,last,quote_at\nSPY,{bid},{bid + 0.1},,{at:%Y-%m-%dT%H:%M:%SZ}\n")
    desk.drop(f"{desk.now:%H%M%S}.json", *rows)
    return desk.live(PRICED, EXEC_PRICES=str(path))


def test_orders_count_with_what_their_notional_buys_at_the_bid_and_are_sent(desk: TradingDesk) -> None:
    run = priced(
        desk,
        by_notional("six", 600, **RESTING),
        by_notional("more", 400.01),
        by_notional("rest", 400),
        order(client_intent_id="share"),
    )
    refused = ("rejected", "max_position_size_exceeded")
    assert outcomes(run) == [("placed", "ok"), refused, ("placed", "ok"), refused]
    decided = run.table("decisions.parquet").to_pylist()
    assert [row["projected_qty"] for row in decided] == [6.0, 10.0001, 10.0, 11.0]
    assert [seen["body"]["notional"] for seen in desk.requests("POST")] == ["600", "400"]
    assert (exit_code(run), replays(run, desk)) == (0, True)


def test_what_is_left_of_an_order_at_work_counts_at_the_bid_in_the_next_run(desk: TradingDesk) -> None:
    priced(desk, by_notional(notional=900, **RESTING))
    desk.tick(60)
    run = priced(desk, order(qty=1, client_intent_id="fits"), order(qty=1, client_intent_id="not"))
    assert outcomes(run) == [("placed", "ok"), ("rejected", "max_position_size_exceeded")]
    assert run.table("working_orders.parquet")["remaining_notional"].to_pylist() == [900.0]
    assert replays(run, desk)
    desk.tick(60)
    stale = priced(desk, order(qty=1, client_intent_id="stale", side="sell"), age_s=61)
    assert outcomes(stale) == [("rejected", "risk_data_unavailable")]


def test_a_chained_replay_withdraws_an_order_by_notional_that_it_refuses(
    desk: TradingDesk,
) -> None:
    priced(desk, by_notional(notional=900, **RESTING))
    desk.tick(60)
    priced(desk, order(qty=5, client_intent_id="later"))
    found = replay.replay(desk.data, {"max_position_size_exceeded": 8}, chained=True)
    allowed = dict(zip(found.decisions["client_intent_id"], found.decisions["allowed"], strict=True))
    assert allowed == {"one": False, "later": True}
