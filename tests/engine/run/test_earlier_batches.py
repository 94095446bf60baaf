"""How many orders strategies asked for in their last runs: which runs, how many, and what is read for it."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from engine.model.schema import intents_schema
from engine.record.objects import LocalObjects
from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from engine.run import earlier_batches, input_sources
from engine.run.earlier_batches import NOTIONAL_BY_STRATEGY, RUNS, orders_by_strategy
from engine.run.risk_inputs import inputs_of
from engine.run.stages import finish
from tests.desk import Desk, order


@pytest.fixture(autouse=True)
def needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_sources, "frames_needed", lambda _: frozenset({"earlier_batches"}))


def run(desk: Desk, **orders: int) -> RunFolder:
    """Do a run in which each strategy asks for so many orders."""
    rows = [
        order(strategy_id=strategy, client_intent_id=f"{desk.now:%d%H%M}-{strategy}-{nth}", qty=0.001)
        for strategy, count in orders.items()
        for nth in range(count)
    ]
    desk.drop(f"{desk.now:%d%H%M}.jsonl", *rows)
    return desk.run(RiskConfig(max_daily_trades=3))


def seen(folder: RunFolder) -> list[tuple[Any, ...]]:
    frame = inputs_of(folder).earlier_batches
    assert frame is not None, folder.json("inputs.json")["unavailable"]
    return list(frame.drop(columns="notional").itertuples(index=False, name=None))


def test_the_first_run_has_none(desk: Desk) -> None:
    assert seen(run(desk, momentum=2)) == []


def test_each_strategy_of_the_batch_has_its_earlier_runs_newest_first(desk: Desk) -> None:
    first, second = run(desk, momentum=2, carry=5), run(desk, momentum=3)
    third = run(desk, carry=1)
    assert seen(run(desk, momentum=1, carry=1)) == [
        ("carry", third.run_id, 1.0),
        ("momentum", second.run_id, 3.0),
        ("carry", first.run_id, 5.0),
        ("momentum", first.run_id, 2.0),
    ]
    assert [row[0] for row in seen(run(desk, momentum=1))] == ["momentum"] * 3


def test_what_was_refused_was_asked_for_and_a_cancel_was_not(desk: Desk) -> None:
    desk.drop(
        "a.jsonl",
        *[order(client_intent_id=f"refused-{nth}", qty=1000 + nth) for nth in range(4)],
        order(client_intent_id="gone", action="cancel", target_intent_id="refused-0", qty=None),
    )
    desk.run()
    assert [row[2] for row in seen(run(desk, momentum=1))] == [4.0]


def test_a_run_of_cancels_alone_is_none_of_the_strategys_batches(desk: Desk) -> None:
    desk.drop("a.jsonl", order(client_intent_id="gone", action="cancel", target_intent_id="x", qty=None))
    desk.run()
    assert seen(run(desk, momentum=1)) == []


def test_the_last_runs_are_seen_and_no_more(desk: Desk) -> None:
    folders = [run(desk, momentum=1) for _ in range(RUNS + 2)]
    assert [row[1] for row in seen(folders[-1])] == [folder.run_id for folder in folders[-2 : -RUNS - 2 : -1]]


def test_runs_of_other_sessions_are_seen_up_to_a_bound(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earlier_batches, "SESSIONS", 3)
    for orders in (1, 2, 3):
        run(desk, momentum=orders)
        desk.later(days=1)
    assert [row[2] for row in seen(run(desk, momentum=1))] == [3.0, 2.0]


def test_no_more_runs_are_looked_at_than_the_bound(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    run(desk, seldom=1)
    for _ in range(5):
        run(desk, often=1)
    monkeypatch.setattr(earlier_batches, "RUNS_LOOKED_AT", 5)
    assert seen(run(desk, seldom=1)) == []
    monkeypatch.setattr(earlier_batches, "RUNS_LOOKED_AT", 50)
    assert [row[0] for row in seen(run(desk, seldom=1))] == ["seldom"] * 2


def test_a_run_that_is_not_finished_and_one_of_another_mode_are_left_out(desk: Desk) -> None:
    unfinished, finished = run(desk, momentum=2), run(desk, momentum=1)
    unfinished.remove("manifest.json")
    (desk.data / finished.key / "run.json").write_bytes(
        (desk.data / finished.key / "run.json").read_bytes().replace(b'"dry"', b'"live"')
    )
    desk.drop("b.jsonl", order(client_intent_id="b"))
    folder = desk.begin()
    finish(folder, desk.context())
    assert seen(folder) == []


def test_manifests_list_the_orders_so_that_no_batch_is_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(desk, momentum=2, carry=1)
    assert first.json("manifest.json")["orders_by_strategy"] == {"carry": 1, "momentum": 2}
    read: list[str] = []
    inner = LocalObjects.read

    def reading(self: LocalObjects, key: str) -> bytes:
        read.append(key)
        return inner(self, key)

    desk.drop("b.jsonl", order(client_intent_id="b"))
    folder = desk.begin()
    finish(folder, desk.context(), until="intents.parquet")
    monkeypatch.setattr(LocalObjects, "read", reading)
    finish(folder, desk.context(), until="inputs.json")
    assert [key.rpartition("/")[2] for key in read if first.run_id in key] == ["run.json", "manifest.json"]
    assert [row[2] for row in seen(folder)] == [2.0]


def test_a_manifest_of_an_earlier_version_and_one_of_too_many_strategies_send_to_the_batch(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(earlier_batches, "STRATEGIES_LISTED", 1)
    assert run(desk, momentum=2, carry=1).json("manifest.json")["orders_by_strategy"] is None
    assert [row[2] for row in seen(run(desk, momentum=1))] == [2.0]


def test_orders_are_counted_by_strategy() -> None:
    rows = [
        {"strategy_id": "b", "action": "new"},
        {"strategy_id": "a", "action": "new"},
        {"strategy_id": "b", "action": "cancel"},
        {"strategy_id": "b", "action": "new"},
    ]
    batch = pa.Table.from_pylist(rows, schema=intents_schema()).select(["strategy_id", "action"])
    assert orders_by_strategy(batch) == {"a": 1, "b": 2}
    assert orders_by_strategy(batch.slice(0, 0)) == {}


def test_the_value_of_a_run_is_what_its_manifest_has_and_unknown_without(desk: Desk) -> None:
    first, second = run(desk, momentum=2, carry=1), run(desk, momentum=3)
    for folder, values in ((first, {"momentum": 800.25, "carry": None}), (second, None)):
        manifest = folder.json("manifest.json") | {NOTIONAL_BY_STRATEGY: values}
        (desk.data / folder.key / "manifest.json").write_text(json.dumps(manifest))
    frame = inputs_of(run(desk, momentum=1, carry=1)).earlier_batches
    assert frame is not None
    values = frame.set_index(["strategy_id", "run_id"])["notional"]
    assert values["momentum", first.run_id] == 800.25
    assert values.isna().sum() == 2
