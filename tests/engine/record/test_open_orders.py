from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import RecordError
from engine.model.orders import intent_of
from engine.record.formats import read_table
from engine.record.objects import Content, LocalObjects
from engine.record.open_orders import OpenOrder, Place, forget, left_open, note
from engine.record.run_folder import RunFolder
from tests.desk import NOON, order
from tests.engine.routing.test_fills import document
from tests.engine.routing.trading import Killed, TradingDesk, Watched, results


@pytest.fixture
def desk(tmp_path: Path) -> TradingDesk:
    return TradingDesk(tmp_path / "data")


def place_of(run: RunFolder) -> Place:
    (venue,) = run.start["venues"]
    return Place(venue["account"], venue["account_key"], venue["host"])


def open_order(run: RunFolder, row: int) -> OpenOrder:
    intent = intent_of(run.table("intents.parquet").slice(row, 1).to_pylist()[0])
    return OpenOrder(intent, results(run)[row]["broker_order_id"], "placed", run.run_id, row)


def archive_runs(desk: TradingDesk) -> None:
    """Move all finished runs elsewhere, as the docs permit."""
    (desk.data / "runs").rename(desk.data / "archived-runs")


def as_rows_alone(desk: TradingDesk) -> None:
    """Turn the marker into one of the engine's first versions, which kept the rows alone."""
    (marker,) = (desk.data / "open").rglob("*.json")
    kept = json.loads(marker.read_text())
    marker.write_text(json.dumps({name: kept[name] for name in kept.keys() - {"orders", "begun_at"}}))


def test_an_order_that_is_terminal_is_not_noted(desk: TradingDesk) -> None:
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
    orders = [open_order(run, row) for row in range(4)]
    note(run, place_of(run), orders[:3], at=NOON)
    note(run, place_of(run), orders[3:], at=NOON)
    (left,) = left_open(run.objects)
    assert [one.intent.client_intent_id for one in left.orders] == ["order-3"]
    note(run, place_of(run), [], at=NOON)
    assert left_open(run.objects) == []


def test_an_order_whose_run_was_archived_is_looked_after_like_any_other(desk: TradingDesk) -> None:
    desk.one(client_intent_id="rests", order_type="limit", limit_price=50, time_in_force="gtc", qty=3)
    before = left_open(LocalObjects(desk.data))
    archive_runs(desk)
    (left,), (kept,) = before, left_open(LocalObjects(desk.data))
    assert [vars(one) for one in kept.orders] == [vars(one) for one in left.orders]
    desk.fill("rests")
    desk.live()
    assert (desk.trades(), document(desk, "rests")["filled_qty"], desk.left_open()) == (1, 3.0, [])
    assert not list((desk.data / "syncs").rglob("proposal.csv"))


def test_a_marker_keeps_the_whole_intent(desk: TradingDesk) -> None:
    said = {
        "client_intent_id": "rests", "order_type": "stop_limit", "limit_price": 1000, "stop_price": 999.5,
        "qty": 2, "valid_until": "2026-03-09T15:00:00.123456-04:00", "created_at": "2026-03-02T14:29:59Z",
        "metadata": {"desk": "A", "levels": [1, {"b": None}], "ü": "→"}, "reference_price": 7.25,
    }  # fmt: skip
    desk.drop("a.json", order(**said))
    run = desk.live()
    archive_runs(desk)
    (left,) = left_open(LocalObjects(desk.data))
    moved = RunFolder(LocalObjects(desk.data / "archived-runs"), run.trading_date, run.run_id)
    batch = moved.objects.read(f"{run.trading_date}/{run.run_id}/intents.parquet")
    assert left.orders[0].intent == intent_of(read_table("intents.parquet", batch).to_pylist()[0])


def test_a_marker_of_rows_alone_is_read_from_its_run(desk: TradingDesk) -> None:
    desk.one(client_intent_id="rests", order_type="limit", limit_price=50)
    before = left_open(LocalObjects(desk.data))
    as_rows_alone(desk)
    (left,), (again,) = before, left_open(LocalObjects(desk.data))
    assert [vars(one) for one in again.orders] == [vars(one) for one in left.orders]
    assert (again.begun_at, again.noted_at) == (left.begun_at, left.noted_at)


def test_a_marker_of_rows_alone_without_its_run_is_an_error_and_never_nothing(desk: TradingDesk) -> None:
    desk.one(client_intent_id="rests", order_type="limit", limit_price=50)
    as_rows_alone(desk)
    archive_runs(desk)
    with pytest.raises(RecordError, match=r"orders of run .* are still open.* Put that folder back"):
        left_open(LocalObjects(desk.data))


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
