"""Alpaca's quotes in live runs: recorded as an input and in the cassette, and beside each order's result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import replay
from engine.brokers.quotes import Quote
from engine.errors import BrokerError, DataUnavailable
from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from engine.routing.quotes_at_sending import QuotesAtSending
from engine.run import input_sources
from engine.run.price_checks import price_checks
from engine.run.risk_inputs import inputs_of
from engine.settings.variables import PriceSettings
from jobs import recorded, wording
from replay.simulator.wire.faults import from_json
from tests.desk import NOON, order
from tests.live_desk import LiveDesk, simulated

DATA_HOST = "https://data.alpaca.markets"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LiveDesk:
    monkeypatch.setattr(input_sources, "frames_needed", lambda _: frozenset({"prices"}))
    return LiveDesk(tmp_path / "data", simulator=simulated(data_plan="algo_trader_plus"))


def live(desk: LiveDesk, *symbols: str, timeout_s: float = 3.0, **env: str) -> RunFolder:
    rows = [order(symbol=symbol, client_intent_id=f"{desk.now:%H%M}-{symbol}") for symbol in symbols]
    desk.drop(f"{desk.now:%H%M}.jsonl", *rows)
    config = RiskConfig(accounts=frozenset({"paper"}))
    changes = {"risk_data_timeout_s": timeout_s}
    return desk.live(config, changes=changes, **{"EXEC_PRICES": "alpaca", **env})


def fault(desk: LiveDesk, name: str, **more: Any) -> None:
    desk.simulator.faults.add(from_json({"fault": name, "path": "/v2/stocks*", "times": None, **more}))


def quotes(folder: RunFolder) -> pd.DataFrame:
    frame = inputs_of(folder).prices
    assert frame is not None, folder.json("inputs.json")["unavailable"]
    return frame.set_index("symbol")


def traffic(folder: RunFolder) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = json.loads(folder.objects.read(folder.key + "cassette.json"))["interactions"]
    return [one for one in kept if one["request"]["uri"].startswith(DATA_HOST)]


def test_quotes_are_recorded_of_the_batch_and_of_what_is_held(desk: LiveDesk) -> None:
    live(desk, "KO")
    folder = live(desk, "SPY", "NOSUCH")
    frame = quotes(folder)
    assert frame["verdict"].to_dict() == {"KO": "ok", "NOSUCH": "absent", "SPY": "ok"}
    assert 0 < frame.loc["SPY", "bid"] <= frame.loc["SPY", "ask"]
    assert set(frame["source"]) == {"alpaca"}
    assert set(frame["feed"]) == {"sip"}
    assert all("feed=sip" in one["request"]["uri"] for one in traffic(folder))
    assert {one["account"] for one in traffic(folder)} == {"(market data)"}
    assert "dailyBar" not in str(traffic(folder))


def test_results_have_the_quote_of_the_decision_and_that_of_the_sending(desk: LiveDesk) -> None:
    folder = live(desk, "SPY", "KO")
    results = folder.table("results.parquet").to_pandas().set_index("client_intent_id")
    judged = quotes(folder)
    for row in results.itertuples():
        symbol = row.Index.partition("-")[2]
        assert (row.judged_bid, row.judged_ask) == (judged.loc[symbol, "bid"], judged.loc[symbol, "ask"])
        assert row.judged_quote_at == judged.loc[symbol, "quote_at"]
        assert row.sent_bid > 0
        assert row.sent_ask >= row.sent_bid
        assert row.sent_quote_at >= row.judged_quote_at
    numbers = [one["number"] for one in traffic(folder)]
    assert len(numbers) == 2
    assert len(set(numbers)) == 2
    found = recorded.rows(folder, [0])[0]
    judged_by, sent_at = wording.quotes(found)
    assert judged_by.startswith(f"The quote it was judged by: {wording.number(found['judged_bid'])} bid, ")
    assert sent_at.startswith("The quote when it was sent: ")
    assert wording.quotes({}) == []
    replayed = replay.replay(desk.data)
    assert replayed.differences == 0


def test_without_quotes_at_sending_the_orders_are_sent_all_the_same(
    desk: LiveDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LiveDesk, "market_data", lambda _: None)
    folder = live(desk, "SPY")
    results = folder.table("results.parquet").to_pandas()
    assert results["status"].tolist() == ["placed"]
    assert results[["judged_bid", "sent_bid", "sent_quote_at"]].isna().all(axis=None)
    assert "was not asked" in folder.json("inputs.json")["unavailable"]["prices"]


@pytest.mark.parametrize(
    ("name", "more", "why"),
    [
        ("error_before", {"status": 500}, "HTTP 500"),
        ("html_error", {"status": 502}, "HTTP 502"),
        ("truncated_body", {}, "no answer"),
        ("rate_limited", {"seconds": 600}, "rate limit"),
    ],
)
def test_where_alpaca_does_not_answer_prices_are_unavailable_and_the_run_ends(
    desk: LiveDesk, name: str, more: dict[str, Any], why: str
) -> None:
    fault(desk, name, **more)
    folder = live(desk, "SPY", timeout_s=1.0)
    assert why in folder.json("inputs.json")["unavailable"]["prices"]
    assert folder.table("results.parquet")["status"].to_pylist() == ["placed"]  # no limit needs a price here


def test_a_plan_without_the_feed_is_told_which_setting_to_change(tmp_path: Path, desk: LiveDesk) -> None:
    basic = LiveDesk(tmp_path / "basic", simulator=simulated())
    why = live(basic, "SPY").json("inputs.json")["unavailable"]["prices"]
    assert "Set EXEC_PRICE_FEED to one that it has, such as iex" in why
    assert set(quotes(live(basic, "KO", EXEC_PRICE_FEED="iex"))["feed"]) == {"iex"}


class _Failing:
    def snapshots(self, symbols: Any, *, deadline: Any) -> Any:
        raise BrokerError("down")


def test_quotes_at_sending_never_raise() -> None:
    sending = QuotesAtSending(_Failing())
    sending.ask({0: "SPY"})
    sending.ask({})
    found: dict[int, Quote] = sending.by_row(within_s=1.0)
    assert found == {}


def test_the_checks_of_doctor_ask_where_the_settings_say(tmp_path: Path, desk: LiveDesk) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("symbol,bid,ask,quote_at,shares,measured_on\n")
    bad.write_text("symbol\n")
    access = desk.market_data()
    assert access is not None

    def checks(**said: Any) -> dict[str, Any]:
        return price_checks(PriceSettings(**said), access, today=NOON.date, timeout_s=5.0)

    assert checks() == checks(source="intents") == {}
    assert checks(source="alpaca")["prices"]().startswith("SPY ")
    both = checks(source=str(good), volumes=str(good))
    assert {name: check() for name, check in both.items()} == {
        "prices": f"{good} can be read",
        "average volumes": f"{good} can be read",
    }
    for name, check in checks(source=str(bad), volumes=str(bad)).items():
        with pytest.raises(DataUnavailable, match="has no column"):
            check()
        assert name in both
    with pytest.raises(DataUnavailable, match="has no quote of SPY in its feed otc"):
        checks(source="alpaca", feed="otc")["prices"]()


def test_a_long_list_of_symbols_is_not_part_of_a_message(desk: LiveDesk) -> None:
    fault(desk, "error_before", status=500)
    names = [f"X{one}{other}" for one in "ABCDEFGHIJ" for other in "ABCDEFGHIJ"]
    assert len(live(desk, *names, timeout_s=0.5).json("inputs.json")["unavailable"]["prices"]) < 500
