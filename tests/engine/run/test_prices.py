"""Prices and volumes of runs: from files and from the intents, recorded, and unknown where they fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import replay
from engine.errors import ConfigurationError
from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from engine.run import input_sources
from engine.run.inputs_configured import check_inputs_configured
from engine.run.risk_inputs import inputs_of
from engine.run.stages import finish
from engine.settings.variables import PriceSettings
from tests.desk import Desk, order

HEADER = "symbol,bid,ask,last,quote_at\n"
AT = "2026-03-02T16:59:58Z"


@pytest.fixture
def needed(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = frozenset({"prices", "average_volumes"})
    monkeypatch.setattr(input_sources, "frames_needed", lambda _: frames)


pytestmark = pytest.mark.usefixtures("needed")


def run(desk: Desk, *symbols: str, **env: str) -> RunFolder:
    desk.drop("a.jsonl", *[order(symbol=symbol, client_intent_id=symbol) for symbol in symbols])
    return desk.run(None, context=None, **env)


def recorded(frame: pd.DataFrame | None) -> dict[str, tuple[Any, ...]]:
    """Return a frame's rows by symbol, without source and feed, None for what is unknown."""
    assert frame is not None
    known = frame.drop(columns=["source", "feed"], errors="ignore").astype("object")
    return {row[0]: row[1:] for row in known.where(known.notna(), None).itertuples(index=False, name=None)}


def file(tmp_path: Path, text: str, name: str = "prices.csv") -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_prices_are_read_for_the_batch_and_what_is_held_and_recorded_with_the_run(
    desk: Desk, tmp_path: Path
) -> None:
    desk.hold(KO=3, **{"BRK.B": 1})
    lines = f"SPY,400.1,400.2,400.15,{AT}\nKO,60,60.01,,{AT}\nBRK/B,0,500,,{AT}\nQQQ,1,2,,{AT}\n"
    folder = run(desk, "SPY", "AAPL", EXEC_PRICES=file(tmp_path, HEADER + lines))
    frame = inputs_of(folder).prices
    assert recorded(frame) == {
        "AAPL": (None, None, None, None, "absent"),
        "BRK.B": (0.0, 500.0, None, pd.Timestamp(AT), "ok"),
        "KO": (60.0, 60.01, None, pd.Timestamp(AT), "ok"),
        "SPY": (400.1, 400.2, 400.15, pd.Timestamp(AT), "ok"),
    }
    assert frame is not None
    assert set(frame["source"]) == {"file"}
    assert "prices.parquet" in folder.json("manifest.json")["content"]
    assert replay.replay(desk.data).differences == 0


def test_the_intents_own_prices_are_a_row_for_each_symbol_without_numbers(desk: Desk) -> None:
    desk.hold(KO=3)
    frame = inputs_of(run(desk, "SPY", "AAPL", EXEC_PRICES="intents")).prices
    assert recorded(frame) == dict.fromkeys(("AAPL", "SPY"), (None, None, None, None, "ok"))
    assert frame is not None
    assert set(frame["source"]) == {"intents"}


def test_a_run_keeps_the_prices_that_it_began_with(desk: Desk, tmp_path: Path) -> None:
    first = file(tmp_path, f"{HEADER}SPY,1,2,,{AT}\n", "first.csv")
    desk.drop("a.jsonl", order())
    folder = desk.begin(EXEC_PRICES=first, EXEC_PRICE_FEED="iex")
    assert folder.start["settings"]["prices"] == {
        "source": first,
        "feed": "iex",
        "data_host": "https://data.alpaca.markets",
        "volumes": None,
    }
    finish(folder, desk.context())  # the job that resumes it may have other settings
    assert recorded(inputs_of(folder).prices)["SPY"][:2] == (1.0, 2.0)


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ({}, "no prices are configured"),
        ({"EXEC_PRICES": "alpaca"}, "was not asked"),
        ({"EXEC_PRICES": "missing.csv"}, "missing.csv: it can't be read"),
    ],
)
def test_without_a_source_prices_are_unavailable_and_the_run_ends(
    desk: Desk, env: dict[str, str], why: str
) -> None:
    folder = run(desk, "SPY", **env)
    assert why in folder.json("inputs.json")["unavailable"]["prices"]
    assert inputs_of(folder).prices is None


def test_a_faulty_row_is_named_and_makes_its_symbol_unpriced(desk: Desk, tmp_path: Path) -> None:
    path = file(tmp_path, f'{HEADER}SPY,"400,1",400.2,,{AT}\nAAPL,200,201,,{AT}\n')
    assert recorded(inputs_of(run(desk, "SPY", "AAPL", EXEC_PRICES=path)).prices) == {
        "AAPL": (200.0, 201.0, None, pd.Timestamp(AT), "ok"),
        "SPY": (None, None, None, None, "unreadable"),
    }
    events = [event["message"] for event in desk.events("risk_data_unavailable")]
    (named,) = [message for message in events if message.startswith("prices are")]
    assert named.startswith("prices are unavailable of SPY: prices.csv:2: bid is '400,1'; expected a number")


def test_volumes_are_read_for_the_batch(desk: Desk, tmp_path: Path) -> None:
    desk.hold(KO=3)
    lines = "symbol,shares,measured_on\nSPY,70000000,2026-02-27\nAAPL,x,2026-02-27\nKO,1,2026-02-27\n"
    folder = run(desk, "SPY", "AAPL", "QQQ", EXEC_ADV=file(tmp_path, lines))
    assert recorded(inputs_of(folder).average_volumes) == {
        "AAPL": (None, None),
        "SPY": (70_000_000.0, "2026-02-27"),
    }


def test_a_limit_that_needs_an_unconfigured_input_is_a_configuration_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needs = {"prices": ("max_order_notional_usd", "price_collar_pct"), "average_volumes": ("max_pct_adv",)}
    monkeypatch.setattr(RiskConfig, "limits_needing", lambda _: needs)
    with pytest.raises(ConfigurationError) as error:
        check_inputs_configured(RiskConfig(), PriceSettings())
    several, one = error.value.lines
    assert several == (
        "max_order_notional_usd, price_collar_pct need prices, and EXEC_PRICES is not set. Set it to alpaca, "
        "intents, or the path of a CSV or Parquet file, or unset the limits."
    )
    assert one == (
        "max_pct_adv needs average daily volumes, and EXEC_ADV is not set. Set it to the path of a CSV or "
        "Parquet file, or unset the limit."
    )
    check_inputs_configured(RiskConfig(), PriceSettings(source="intents", volumes="adv.csv"))


def test_no_run_begins_with_a_limit_whose_input_is_not_configured(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RiskConfig, "limits_needing", lambda _: {"prices": ("max_order_notional_usd",)})
    with pytest.raises(ConfigurationError, match="max_order_notional_usd needs prices"):
        desk.begin()
    assert not (desk.data / "runs").exists()


def test_the_limits_that_need_a_frame_are_listed() -> None:
    config = RiskConfig(check_assets=True, max_equal_orders=3)
    assert config.limits_needing() == {"assets": ("check_assets",), "earlier_orders": ("max_equal_orders",)}
    assert config.frames_needed() == frozenset({"assets", "earlier_orders"})
