"""Orders by notional have quotes read for them where a source is set, whatever the limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.run.input_sources import frames_for_notionals
from engine.settings.variables import PriceSettings
from tests.desk import Desk, order

NONE, SOME = pd.Series([np.nan, np.nan]), pd.Series([np.nan, 100.0])
QUOTES = "symbol,bid,ask,last,quote_at\nSPY,100,100.1,,2026-03-02T16:59:58Z\n"


def working(remaining_notional: float) -> pd.DataFrame:
    return pd.DataFrame({"symbol": ["SPY"], "remaining_notional": [remaining_notional]})


@pytest.mark.parametrize(
    ("source", "notionals", "orders", "needed"),
    [
        ("alpaca", SOME, [], {"prices"}),
        ("alpaca", NONE, [working(np.nan), working(5.0)], {"prices"}),
        ("alpaca", NONE, [working(np.nan), pd.DataFrame({"symbol": ["SPY"]})], set()),
        (None, SOME, [working(5.0)], set()),
    ],
)
def test_quotes_are_needed_where_an_order_is_by_notional(
    source: str | None, notionals: pd.Series, orders: list[pd.DataFrame], needed: set[str]
) -> None:
    assert frames_for_notionals(PriceSettings(source=source), notionals, *orders) == needed


@pytest.mark.parametrize(
    ("said", "read"), [({"qty": None, "notional": 100}, ["SPY"]), ({}, None)], ids=["notional", "qty"]
)
def test_a_run_reads_them_for_its_batch(
    desk: Desk, tmp_path: Path, said: dict[str, Any], read: list[str] | None
) -> None:
    (tmp_path / "prices.csv").write_text(QUOTES)
    desk.drop("a.jsonl", order(**said))
    folder = desk.run(None, EXEC_PRICES=str(tmp_path / "prices.csv"))
    names = folder.names()
    found = folder.table("prices.parquet")["symbol"].to_pylist() if "prices.parquet" in names else None
    assert found == read
