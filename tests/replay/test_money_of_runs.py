"""Limits in money in whole runs: prices from a file, what earlier runs were worth, and replays of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import replay
from engine.errors import ConfigurationError
from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from tests.desk import Desk, order
from tests.jobs.command_line import Command

QUOTES = {"SPY": (99.0, 101.0), "KO": (49.5, 50.5)}


def quotes(desk: Desk, tmp_path: Path, *, age_s: float = 1, **sides: tuple[float, float]) -> str:
    """Write the quotes of a file source, so old, and return its path."""
    at = pd.Timestamp(desk.now) - pd.Timedelta(seconds=age_s)
    rows = [(symbol, *two, two[1], at.isoformat()) for symbol, two in (QUOTES | sides).items()]
    path = tmp_path / "prices.csv"
    pd.DataFrame(rows, columns=["symbol", "bid", "ask", "last", "quote_at"]).to_csv(path, index=False)
    return str(path)


def run(desk: Desk, prices: str, config: RiskConfig, *orders: dict[str, Any]) -> RunFolder:
    rows = [order(client_intent_id=f"{desk.now:%H%M}-{nth}", **one) for nth, one in enumerate(orders)]
    desk.drop(f"{desk.now:%H%M}.jsonl", *rows)
    return desk.run(config, EXEC_PRICES=prices)


def reasons(folder: RunFolder) -> list[str]:
    return list(map(str, folder.table("decisions.parquet")["reason"].to_pylist()))


def explained(cli: Command, desk: Desk, folder: RunFolder, row: int) -> str:
    name = folder.table("intents.parquet")["client_intent_id"][row].as_py()
    return cli("explain", name, EXEC_DATA_DIR=str(desk.data)).told


RATIO = RiskConfig(max_batch_ratio_to_median=3, max_position_qty=1_000_000)


def test_a_file_is_compared_with_what_the_strategys_earlier_runs_were_worth(
    dry_desk: Desk, tmp_path: Path
) -> None:
    for qty in (9, 10, 11):
        folder = run(
            dry_desk, quotes(dry_desk, tmp_path), RATIO, {"qty": qty}, {"symbol": "KO", "qty": 2 * qty}
        )
        assert reasons(folder) == ["ok", "ok"]
    assert folder.json("manifest.json")["notional_by_strategy"] == {"momentum": 2222.0}
    swapped = run(dry_desk, quotes(dry_desk, tmp_path), RATIO, {"qty": 1010}, {"symbol": "KO", "qty": 1})
    assert reasons(swapped) == ["max_batch_notional_exceeded"] * 2
    times = swapped.table("decisions.parquet")["batch_times_usual"].to_pylist()
    assert times == [pytest.approx((1010 * 101 + 50.5) / 2020)] * 2


def test_a_run_with_an_unpriced_order_is_worth_nothing_that_is_known(dry_desk: Desk, tmp_path: Path) -> None:
    folder = run(dry_desk, quotes(dry_desk, tmp_path), RATIO, {"qty": 1}, {"qty": 1, "symbol": "XOM"})
    assert folder.json("manifest.json")["notional_by_strategy"] == {"momentum": None}
    assert reasons(folder) == ["ok", "ok"], "nothing is known to compare it with"


def test_without_prices_numbers_of_orders_alone_are_compared(dry_desk: Desk) -> None:
    for nth in range(2):
        dry_desk.drop(f"{nth}.jsonl", order(client_intent_id=f"a-{nth}", qty=1 + nth))
        folder = dry_desk.run(RATIO)
    assert reasons(folder) == ["ok"]
    assert folder.json("manifest.json")["notional_by_strategy"] is None
    assert "prices.parquet" not in folder.names()


def test_a_limit_that_needs_prices_is_refused_without_a_source_of_them(dry_desk: Desk) -> None:
    dry_desk.drop("a.jsonl", order())
    with pytest.raises(ConfigurationError, match="price_collar_pct needs prices, and EXEC_PRICES is not set"):
        dry_desk.run(RiskConfig(price_collar_pct=5))


def test_a_replay_judges_by_other_limits_on_quotes(dry_desk: Desk, tmp_path: Path) -> None:
    limits = RiskConfig(max_order_notional_usd=5000)
    prices = quotes(dry_desk, tmp_path, age_s=30, KO=(49.0, 51.0))
    run(dry_desk, prices, limits, {"qty": 1}, {"symbol": "KO", "qty": 1})
    assert len(replay.replay(dry_desk.data).flips) == 0
    older = replay.replay(dry_desk.data, {"max_quote_age_s": 29.5})
    assert older.flips["rule"].tolist() == ["unpriced"] * 2
    wider = replay.replay(dry_desk.data, {"max_spread_pct": 3})
    assert wider.flips["client_intent_id"].str[-1].tolist() == ["1"]
    dearer = replay.replay(dry_desk.data, {"max_order_notional_usd": 100})
    assert dearer.flips["rule"].tolist() == ["max_order_notional_exceeded"]


def test_a_fat_finger_file_is_refused_whole_and_explained_with_its_figures(
    dry_desk: Desk, cli: Command, tmp_path: Path
) -> None:
    """Amounts in dollars stand in the column of quantities, in all rows but one."""
    usual = RiskConfig(max_qty_ratio_to_usual=10, max_batch_notional_usd=25_000, max_position_qty=1e6)
    first = RiskConfig(max_batch_notional_usd=25_000)
    prices = quotes(dry_desk, tmp_path)
    assert reasons(run(dry_desk, prices, first, {"qty": 10}, {"symbol": "KO", "qty": 20})) == ["ok", "ok"]
    prices = quotes(dry_desk, tmp_path)
    rows = ({"qty": 1010}, {"symbol": "KO", "qty": 1010}, {"symbol": "KO", "qty": 1})
    folder = run(dry_desk, prices, usual, *rows)
    assert reasons(folder) == ["quantity_looks_like_notional"] * 2 + ["max_batch_notional_exceeded"]
    told = explained(cli, dry_desk, folder, 0)
    assert "the order is for 1,010 shares" in told
    assert "the strategy usually asks for 10: an amount may have been entered as a quantity" in told
    told = explained(cli, dry_desk, folder, 2)
    assert "the file's orders in one account are worth 153,065.50 USD, limit 25,000.00 USD" in told


def test_an_unpriced_order_says_in_its_result_what_is_wrong_with_its_quote(
    dry_desk: Desk, cli: Command, tmp_path: Path
) -> None:
    limits = RiskConfig(max_order_notional_usd=5000)
    folder = run(dry_desk, quotes(dry_desk, tmp_path, age_s=61), limits, {"qty": 1})
    said = "its quote is stale (it is older than max_quote_age_s)"
    assert folder.table("results.parquet")["message"].to_pylist() == [said]
    assert said in explained(cli, dry_desk, folder, 0)
