"""Orders by notional at the broker: lost replies, fills in parts, cancels, later runs, and the replay."""

from __future__ import annotations

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
