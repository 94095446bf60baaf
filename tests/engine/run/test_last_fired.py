"""When each limit last refused an order, as runs record it."""

from __future__ import annotations

import pytest

from engine import RiskConfig
from engine.record.run_folder import UTILISATION, RunFolder
from tests.desk import Desk, order, reasons

CONFIG = RiskConfig(max_order_qty=10)


def fired(run: RunFolder) -> dict[str, object]:
    frame = run.table(UTILISATION).to_pandas()
    return {
        row.rule: None if row.last_fired != row.last_fired else row.last_fired for row in frame.itertuples()
    }


def test_a_limit_that_refused_an_order_fired_in_this_session(desk: Desk) -> None:
    desk.drop("a.json", order(qty=11), order(qty=1))
    run = desk.run(CONFIG)
    assert fired(run)["max_order_qty_exceeded"] == run.trading_date.isoformat()
    assert fired(run)["max_daily_trades_exceeded"] is None


def test_a_later_run_knows_when_a_limit_last_fired(desk: Desk) -> None:
    desk.drop("a.json", order(qty=11))
    first = desk.run(CONFIG)
    for number in range(3):
        desk.later(days=1)
        desk.drop(f"{number}.json", order(qty=1))
        last = desk.run(CONFIG)
    assert last.trading_date > first.trading_date
    assert fired(last)["max_order_qty_exceeded"] == first.trading_date.isoformat()


def test_a_damaged_run_before_it_stops_no_run(desk: Desk) -> None:
    desk.drop("a.json", order(qty=11))
    first = desk.run(CONFIG)
    (desk.data / first.key / UTILISATION).write_bytes(b"damaged")
    desk.later(days=1)
    desk.drop("b.json", order(qty=1))
    assert fired(desk.run(CONFIG))["max_order_qty_exceeded"] is None


def test_a_fault_in_the_figures_of_utilisation_stops_no_run(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(*_: object) -> None:
        raise ZeroDivisionError("a mistake in a figure")

    monkeypatch.setattr("engine.run.decide.utilisation", raises)
    desk.drop("a.json", order(qty=1))
    run = desk.run(CONFIG)
    assert reasons(run) == ["ok"]
    assert UTILISATION not in run.names()
    assert [event["severity"] for event in desk.events("utilisation_failed")] == ["ERROR"]
