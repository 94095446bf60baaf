"""An order's whole life, in sentences, from what its run recorded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from requests import PreparedRequest, Response

from engine.record.run_folder import RunFolder
from engine.run.stages import finish
from jobs import recorded
from jobs.order_life import Lives
from tests.desk import order
from tests.engine.routing.trading import Killed, Send, TradingDesk, is_order


@pytest.fixture
def desk(tmp_path: Path) -> TradingDesk:
    return TradingDesk(tmp_path / "data")


def told(run: RunFolder, place: int = 0) -> set[str]:
    """Return the sentences about the intent in a row, without their times."""
    (row,) = recorded.rows(run, [place])
    lines = Lives(run).of(row)
    timestamp = r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d\.\d{3} UTC  \S"
    assert all(re.match(timestamp, line) for line in lines)
    return {line.partition("  ")[2] for line in lines}


def beginnings(run: RunFolder, place: int = 0) -> list[str]:
    """Return the first words of each, in alphabetical order: clocks differ in these tests."""
    return sorted(re.sub(r"[0-9a-f-]{36}", "…", line) for line in told(run, place))


NOTED = "noted as about to be sent (attempts/000001.json)"


def test_of_a_placed_order_it_is_reported_that_it_was_noted_sent_answered_and_executed(
    desk: TradingDesk,
) -> None:
    desk.drop("a.json", order(qty=3, client_intent_id="one"), order(symbol="QQQ", client_intent_id="two"))
    run = desk.live()
    lines = told(run)
    assert NOTED in lines
    assert any(re.fullmatch(r"POST /v2/orders: 200 OK, (pending_new|new|accepted)", line) for line in lines)
    (executed,) = [line for line in lines if line.startswith("executed")]
    assert re.fullmatch(r"executed: buy 3 SPY at [\d.]+", executed)
    assert not any("QQQ" in line for line in lines)


def test_of_an_adopted_order_it_is_reported_that_its_reply_was_lost_and_that_it_was_looked_up(
    desk: TradingDesk,
) -> None:
    desk.arm("accept_then_drop")
    desk.arm("lookup_lag", lookups=1)
    desk.drop("a.json", order(client_intent_id="one"))
    lines = beginnings(desk.live())
    assert any(line.startswith("POST /v2/orders: no answer: ") for line in lines)
    assert "GET /v2/orders:by_client_order_id: 404 Not Found, order not found for one" in lines
    assert any(line.startswith("GET /v2/orders:by_client_order_id: 200 OK, ") for line in lines)


def test_of_a_refused_order_the_brokers_words_are_reported(desk: TradingDesk) -> None:
    desk.drop("a.json", order(client_intent_id="one", qty=900_000))
    assert "POST /v2/orders: 403 Forbidden, insufficient buying power" in told(desk.live())


def test_of_a_cancel_it_is_reported_how_its_target_was_found_and_withdrawn(desk: TradingDesk) -> None:
    desk.drop("a.json", order(client_intent_id="one", order_type="limit", limit_price=50))
    desk.live()
    cancel = order(action="cancel", target_intent_id="one", symbol=None, side=None, qty=None)
    desk.drop("b.json", cancel)
    lines = beginnings(desk.live())
    assert "GET /v2/orders/…: 200 OK, new" in lines
    assert "DELETE /v2/orders/…: 204 No Content" in lines
    assert any(line.startswith("GET /v2/orders/…: 200 OK, ") for line in lines)
    assert not any(line.startswith("noted") for line in lines)


def test_of_an_order_that_a_person_withdrew_in_the_same_batch_the_cancel_is_part_of_its_life(
    desk: TradingDesk,
) -> None:
    cancel = order(action="cancel", target_intent_id="one", symbol=None, side=None, qty=None)
    desk.drop("a.json", order(client_intent_id="one", order_type="limit", limit_price=50), cancel)
    lines = beginnings(desk.live())
    assert NOTED in lines
    assert "DELETE /v2/orders/…: 204 No Content" in lines


def test_partial_executions_say_what_was_left(desk: TradingDesk) -> None:
    done: list[str] = []

    def middle(request: PreparedRequest, send: Send) -> Response:
        if not is_order(request) and desk.posts() and not done:
            done.append("4 of 10")
            desk.fill("one", 4)
        return send()

    desk.between = middle
    desk.drop("a.json", order(client_intent_id="one", qty=10, order_type="limit", limit_price=50))
    assert "executed: buy 4 SPY at 50, 6 left" in told(desk.live())


def test_the_life_of_an_order_that_outlived_a_kill_has_what_both_jobs_did(desk: TradingDesk) -> None:
    def middle(request: PreparedRequest, send: Send) -> Response:
        answer = send()
        if is_order(request):
            raise desk.die()
        return answer

    desk.between = middle
    desk.drop("a.json", order(client_intent_id="one"))
    with pytest.raises(Killed):
        desk.live()
    desk.disarm()
    desk.live()
    lines = beginnings(desk.runs()[0])
    assert NOTED in lines
    assert not any(line.startswith("POST") for line in lines)  # the reply died with the job
    assert any(line.startswith("executed: buy 1 SPY at ") for line in lines)


def test_an_order_that_was_never_sent_has_no_life(desk: TradingDesk) -> None:
    desk.drop("a.json", order(client_intent_id="fine"), order(client_intent_id="huge", qty=1e8))
    assert told(desk.live(), place=1) == set()


def test_in_a_dry_run_nothing_lives(desk: TradingDesk) -> None:
    desk.drop("a.json", order(client_intent_id="one"))
    run = desk.begin()
    finish(run, desk.context())
    assert told(run) == set()
