"""The brokers' figures of accounts: read in live runs, recorded, with the peak, and unknown in part."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import replay
from engine.brokers.alpaca.account import parse_account
from engine.brokers.chosen import AlpacaBroker
from engine.errors import BrokerError
from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from engine.run import input_sources
from engine.run.risk_inputs import inputs_of
from tests.desk import Desk, order
from tests.live_desk import LiveDesk, simulated

FIGURES = ["buying_power", "cash", "equity", "start_equity", "peak_equity"]


@pytest.fixture(autouse=True)
def needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_sources, "frames_needed", lambda _: frozenset({"account_figures"}))


@pytest.fixture
def desk(tmp_path: Path) -> LiveDesk:
    return LiveDesk(tmp_path / "data", simulator=simulated(clock="manual"), settle_s=0.0)


def live(desk: LiveDesk) -> RunFolder:
    desk.drop(f"{desk.now:%H%M}.jsonl", order(client_intent_id=f"{desk.now:%H%M}"))
    return desk.live(RiskConfig(max_position_qty=0, accounts=frozenset({"paper"})))


def figures(folder: RunFolder) -> dict[str, dict[str, float]]:
    frame = inputs_of(folder).account_figures
    assert frame is not None, folder.json("inputs.json")["unavailable"]
    assert list(frame.columns) == ["broker_account_id", *FIGURES]
    found: dict[str, dict[str, float]] = frame.set_index("broker_account_id").to_dict("index")
    return found


def test_the_brokers_figures_are_recorded_with_the_run(desk: LiveDesk) -> None:
    account: dict[str, Any] = desk.simulator.venue.account()
    folder = live(desk)
    assert figures(folder) == {
        "paper": {
            "buying_power": float(account["buying_power"]),
            "cash": float(account["cash"]),
            "equity": float(account["equity"]),
            "start_equity": float(account["last_equity"]),
            "peak_equity": float(account["equity"]),
        }
    }
    assert "account_figures.parquet" in folder.json("manifest.json")["content"]
    assert replay.replay(desk.data).differences == 0


def test_the_peak_is_the_highest_equity_that_a_run_of_the_session_has_read(
    desk: LiveDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    import engine.brokers.alpaca.broker as alpaca

    equities = iter([100.0, 300.0, None, 200.0, 50.0])

    def parsed(body: bytes) -> Any:
        return replace(parse_account(body), equity=now)

    peaks = []
    for now in equities:
        monkeypatch.setattr(alpaca, "parse_account", parsed)
        own = figures(live(desk))["paper"]
        assert own["equity"] == now or (now is None and math.isnan(own["equity"]))
        peaks.append(own["peak_equity"])
    assert peaks == [100.0, 300.0, 300.0, 300.0, 300.0]
    desk.later(days=1)
    desk.simulator.simulation.clock.advance(86_400)
    now = 10.0
    assert figures(live(desk))["paper"]["peak_equity"] == 10.0


def test_a_figure_that_the_broker_does_not_give_readably_is_unknown() -> None:
    body = b'{"id": "x", "status": "ACTIVE", "buying_power": "", "cash": "-5.25", "equity": "NaN", "x": 1}'
    account = parse_account(body)
    assert (account.buying_power, account.cash, account.equity, account.last_equity) == (
        None,
        -5.25,
        None,
        None,
    )


def test_in_a_dry_run_they_are_unavailable(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "data")
    desk.drop("a.jsonl", order())
    assert "a dry run has no connection" in desk.run().json("inputs.json")["unavailable"]["account_figures"]


def test_where_the_broker_does_not_answer_they_are_unavailable_and_the_run_ends(
    desk: LiveDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = AlpacaBroker.get_account

    def once(self: AlpacaBroker) -> Any:  # before the run begins, and no more
        monkeypatch.setattr(AlpacaBroker, "get_account", down)
        return answered(self)

    def down(_: AlpacaBroker) -> Any:
        raise BrokerError("the broker is down")

    monkeypatch.setattr(AlpacaBroker, "get_account", once)
    folder = live(desk)
    assert folder.json("inputs.json")["unavailable"] == {"account_figures": "the broker is down"}
    assert inputs_of(folder).account_figures is None
