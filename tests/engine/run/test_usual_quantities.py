"""The usual quantity of a strategy in a symbol: the median of its allowed orders in earlier runs."""

from __future__ import annotations

import pytest

from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from engine.run import input_sources, usual_quantities
from engine.run.risk_inputs import inputs_of
from tests.desk import Desk, Row, order


@pytest.fixture(autouse=True)
def needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_sources, "frames_needed", lambda _: frozenset({"usual_quantities"}))


def run(desk: Desk, *rows: Row) -> RunFolder:
    numbered = [{"client_intent_id": f"{desk.now:%d%H%M}-{nth}", **row} for nth, row in enumerate(rows)]
    desk.drop(f"{desk.now:%d%H%M}.jsonl", *numbered)
    return desk.run(RiskConfig(max_position_qty=1000))


def usual(folder: RunFolder) -> dict[tuple[str, str], float]:
    frame = inputs_of(folder).usual_quantities
    assert frame is not None, folder.json("inputs.json")["unavailable"]
    return {(row.strategy_id, row.symbol): row.qty for row in frame.itertuples()}


def test_it_is_the_median_of_the_orders_of_the_strategy_in_the_symbol(desk: Desk) -> None:
    first = run(desk, order(qty=10), order(qty=20), order(symbol="KO", qty=7), order(strategy_id="b", qty=99))
    assert usual(first) == {}
    run(desk, order(qty=60))
    assert usual(run(desk, order(), order(symbol="KO"), order(symbol="AMC"))) == {
        ("momentum", "SPY"): 20.0,
        ("momentum", "KO"): 7.0,
    }


def test_refused_orders_cancels_and_orders_by_notional_do_not_count(desk: Desk) -> None:
    gone = order(action="cancel", target_intent_id="x", qty=5)
    run(desk, order(qty=10), order(qty=5000), gone, order(qty=None, notional=50))
    for _ in range(3):
        run(desk, order(qty=5000))
    assert usual(run(desk, order())) == {("momentum", "SPY"): 10.0}


def test_the_last_runs_of_a_strategy_are_read_and_no_more(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usual_quantities, "RUNS", 2)
    for qty in (100, 2, 4):
        run(desk, order(qty=qty))
    assert usual(run(desk, order())) == {("momentum", "SPY"): 3.0}
