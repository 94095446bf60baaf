"""The limits file of a desk, with limits in shares, trades and dollars at every kind of level."""

from __future__ import annotations

import pytest

from engine.errors import ConfigurationError
from engine.risk.config import RiskConfig
from engine.risk.limits_of_book import check_rules
from tests.engine.risk.limits_file.files import of_book

FILE = """
[limits]
max_position_qty = 100
max_order_notional_usd = 25_000
warn_at = 0.8
[account.paper-main]
max_gross_exposure_usd = 1_000_000
[symbol.TSLA]
max_position_qty = 50
[strategy.momentum_v2]
accounts = ["paper-main"]
symbols = ["SPY", "QQQ", "TSLA"]
max_daily_trades = 20
[strategy.momentum_v2.symbol.TSLA]
max_position_qty = 20
[temporary.index-rebalance]
scope = "account.paper-main"
max_order_notional_usd = 100_000
until = 2026-12-18
approved_by = "ann"
why = "index rebalance"
"""


def test_it_is_read_and_its_limits_in_dollars_hold_where_they_stand() -> None:
    config = RiskConfig(limits_file=of_book(FILE))
    found = [(level.source, level.value) for level in config.levels("max_order_notional_usd")]
    assert found == [("[limits]", 25_000.0), ("[temporary.index-rebalance]", 100_000.0)]
    assert [level.source for level in config.levels("max_gross_exposure_usd")] == ["[account.paper-main]"]
    assert config.limits_needing()["prices"] == ("max_order_notional_usd", "max_gross_exposure_usd")


def test_rules_that_nothing_sets_have_to_be_named() -> None:
    file = of_book(FILE)
    check_rules(file, {})
    object.__setattr__(file, "acknowledged_off", frozenset({"max_pct_adv_exceeded"}))
    with pytest.raises(ConfigurationError, match="price_collar_breached"):
        check_rules(file, {})
