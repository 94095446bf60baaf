from __future__ import annotations

from pathlib import Path

import pytest

from engine.open_orders import Place, forget, left_open, note
from engine.stores.objects import Content, LocalObjects
from engine.stores.runs import RunFolder
from tests.desk import NOON, order
from tests.engine.routing.trading import Killed, TradingDesk, Watched, results


@pytest.fixture
def desk(tmp_path: Path) -> TradingDesk:
    return TradingDesk(tmp_path / "data")


def place_of(run: RunFolder) -> Place:
    (venue,) = run.start["venues"]
    return Place(venue["account"], venue["account_key"], venue["host"])


def test_an_order_that_is_over_is_not_noted(desk: TradingDesk) -> None:
    desk.one()
    assert desk.left_open() == []


def test_an_order_that_is_not_over_is_found_with_its_intent_and_the_brokers_id(desk: TradingDesk) -> None:
    desk.drop(
        "a.json",
        order(client_intent_id="done"),
        order(client_intent_id="rests", order_type="limit", limit_price=50, qty=3, metadata={"desk": "A"}),
    )
    run = desk.live()
    (left,) = left_open(LocalObjects(desk.data))
    assert (left.trading_date, left.run_id) == (run.trading_date, run.run_id)
    (one,) = left.orders
    assert (one.intent.client_intent_id, one.intent.qty, one.intent.limit_price) == ("rests", 3.0, 50.0)
    assert one.intent.metadata == {"desk": "A"}
    assert (one.broker_order_id, one.status) == (results(run)[1]["broker_order_id"], "placed")


def test_what_is_noted_again_replaces_what_was_noted_before(desk: TradingDesk) -> None:
    desk.drop("a.json", *[order(client_intent_id=f"order-{number}") for number in range(4)])
    run = desk.live()
    note(run, place_of(run), [0, 1, 3], at=NOON)
    note(run, place_of(run), [3], at=NOON)
    (left,) = left_open(run.objects)
    assert [one.intent.client_intent_id for one in left.orders] == ["order-3"]
    note(run, place_of(run), [], at=NOON)
    assert left_open(run.objects) == []


def test_a_run_that_is_forgotten_is_not_found_again_and_the_others_are(desk: TradingDesk) -> None:
    for name in ("first", "second"):
        desk.one(client_intent_id=name, order_type="limit", limit_price=50)
    first, second = left_open(LocalObjects(desk.data))
    forget(LocalObjects(desk.data), first)
    assert [left.run_id for left in left_open(LocalObjects(desk.data))] == [second.run_id]


def test_a_job_that_dies_after_noting_and_before_its_results_are_sealed_is_finished_by_the_next(
    desk: TradingDesk,
) -> None:
    class DiesAtItsResults(Watched):
        def put(self, key: str, content: Content) -> None:
            if key.endswith("results.parquet"):
                raise desk.die()
            super().put(key, content)

    desk.drop("a.json", order(client_intent_id="rests", order_type="limit", limit_price=50))
    with pytest.raises(Killed):
        desk.live(changes={"objects": DiesAtItsResults(desk)})
    assert len(desk.left_open()) == 1
    desk.live()
    assert [row["status"] for row in results(desk.runs()[0])] == ["placed"]
    assert desk.posts() == ["rests"]
