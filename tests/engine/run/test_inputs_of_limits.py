"""Limits whose rules read more than every run does: set, judged by what is read, and replayed."""

from __future__ import annotations

from pathlib import Path

import pytest

import replay
from engine.risk.config import RiskConfig
from replay.simulator.wire.faults import from_json
from tests.desk import Desk, order, reasons
from tests.live_desk import LiveDesk, simulated

PAPER = frozenset({"paper"})


@pytest.fixture
def live(tmp_path: Path) -> LiveDesk:
    return LiveDesk(tmp_path / "live", simulator=simulated(), settle_s=0.0)


def test_an_order_that_an_earlier_run_allowed_is_a_duplicate(desk: Desk) -> None:
    limited = RiskConfig(max_equal_orders=1)
    found = []
    for nth, qty in enumerate((1, 1, 2)):
        desk.drop(f"{nth}.jsonl", order(client_intent_id=f"i{nth}", qty=qty))
        found += reasons(desk.run(limited))
    assert found == ["ok", "duplicate_order", "ok"]
    desk.later(days=1)
    desk.drop("next.jsonl", order(client_intent_id="next"))
    assert reasons(desk.run(limited)) == ["ok"]
    assert replay.replay(desk.data).differences == 0


def test_a_window_reaches_into_the_session_before(desk: Desk) -> None:
    limited = RiskConfig(max_equal_orders=1, equal_orders_window_s=90_000)
    for nth in range(2):
        desk.drop(f"{nth}.jsonl", order(client_intent_id=f"i{nth}"))
        folder = desk.run(limited)
        desk.later(days=1)
    assert reasons(folder) == ["duplicate_order"]
    assert replay.replay(desk.data).differences == 0


def test_a_session_that_is_over_takes_no_orders(desk: Desk) -> None:
    limited = RiskConfig(require_open_session=True)
    later = order(client_intent_id="b", order_type="limit", limit_price=1, extended_hours=True)
    found = []
    for hours in (0, 6):
        desk.later(hours=hours)
        desk.drop(
            f"{hours}.jsonl", order(client_intent_id=f"a{hours}"), later | {"client_intent_id": f"b{hours}"}
        )
        found.append(reasons(desk.run(limited)))
    assert found == [["ok", "ok"], ["session_closed", "ok"]]
    assert replay.replay(desk.data).differences == 0


def test_a_halted_asset_is_refused_before_the_broker_is_asked(live: LiveDesk) -> None:
    live.simulator.venue.change_asset("SPY", tradable=False)
    live.drop("a.jsonl", order(client_intent_id="a"), order(client_intent_id="b", symbol="KO"))
    folder = live.live(RiskConfig(check_assets=True, accounts=PAPER))
    assert reasons(folder) == ["asset_not_tradable", "ok"]
    assert live.placed_ids() == ["b"]
    assert replay.replay(live.data).differences == 0


def test_without_asset_records_nothing_is_sent(live: LiveDesk) -> None:
    live.simulator.faults.add(from_json({"fault": "html_error", "path": "/v2/assets*", "times": None}))
    live.drop("a.jsonl", order(client_intent_id="a"))
    folder = live.live(RiskConfig(check_assets=True, accounts=PAPER), changes={"risk_data_timeout_s": 1.0})
    assert (reasons(folder), live.placed_ids()) == (["risk_data_unavailable"], [])
    live.drop("b.jsonl", order(client_intent_id="b"))
    assert reasons(live.run(RiskConfig(check_assets=True))) == ["risk_data_unavailable"]
    assert replay.replay(live.data).differences == 0


def test_books_that_were_compared_long_ago_refuse_and_a_live_run_compares_them(live: LiveDesk) -> None:
    limited = RiskConfig(max_reconciliation_age_s=3600, accounts=PAPER)
    found: list[str] = []
    for hours in (0, 0, 2):
        live.later(hours=hours)
        live.drop(f"{live.now:%H%M}.jsonl", order(client_intent_id=f"i{live.now:%H%M}"))
        found += reasons(live.live(limited) if not found else live.run(limited))
    assert found == ["ok", "ok", "reconciliation_stale"]
    assert replay.replay(live.data).differences == 0


def test_a_batch_far_larger_than_usual_is_refused_whole(desk: Desk) -> None:
    limited = RiskConfig(max_batch_ratio_to_median=3)
    found = []
    for run, count in enumerate((2, 2, 6, 7)):
        rows = [order(client_intent_id=f"i{run}-{nth}", qty=0.001) for nth in range(count)]
        desk.drop(f"{run}.jsonl", *rows)
        found.append(set(reasons(desk.run(limited))))
    assert found == [{"ok"}, {"ok"}, {"ok"}, {"max_batch_orders_exceeded"}]
    assert replay.replay(desk.data).differences == 0
