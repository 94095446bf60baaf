"""Quotes that may be used, and what orders are worth by them."""

from __future__ import annotations

from decimal import Decimal
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import RiskConfig, RiskInputs
from engine.model.quantity import UNITS
from engine.risk.batch import Batch
from engine.risk.book import LIMIT_BY_KEY
from engine.risk.limits_file.parsing import parse_limits_file
from engine.risk.valuing import Valuation
from tests.engine.risk.tables import AS_OF, HEAD

SECOND = pd.Timedelta(seconds=1)
MICROSECOND = pd.Timedelta(1, "us")
GOOD: dict[str, Any] = {
    "symbol": "SPY",
    "bid": 99.0,
    "ask": 101.0,
    "last": 100.0,
    "quote_at": AS_OF - SECOND,
    "source": "alpaca",
    "feed": "iex",
    "verdict": "ok",
}
ORDER: dict[str, Any] = {
    "strategy_id": "momentum",
    "broker_account_id": "paper",
    "symbol": "SPY",
    "side": "buy",
    "qty": 3.0,
}


def quotes(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame([GOOD | row for row in rows])


def valuation(
    *orders: dict[str, Any],
    prices: pd.DataFrame | None = None,
    config: RiskConfig | None = None,
    **known: Any,
) -> Valuation:
    config = RiskConfig() if config is None else config
    batch = Batch.of(pd.DataFrame([ORDER | order for order in orders]), by_strategy=config.names_strategies)
    inputs = RiskInputs(
        as_of=AS_OF,
        trading_date=AS_OF.date(),
        positions=None,
        daily_trades=None,
        working_orders=None,
        prices=prices,
        **known,
    )
    return Valuation(batch, inputs, config.quote_levels)


def verdict(*rows: dict[str, Any], **known: Any) -> str:
    """Return what is wrong with the quote of an order in SPY; bid and ask are known only if nothing is."""
    found = valuation({}, prices=quotes(*rows) if rows else pd.DataFrame(columns=list(GOOD)), **known)
    word: str = found.quotes.words[found.quote_verdicts[0]]
    assert found.bid.known[0] == found.ask.known[0] == found.order_notional.known[0] == (word == "ok")
    return word


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ({}, "ok"),
        ({"symbol": " spy "}, "ok"),
        ({"symbol": "QQQ"}, "absent"),
        ({"bid": np.nan, "ask": np.nan}, "absent"),
        ({"bid": 0.0, "ask": 0.0}, "zero"),
        ({"bid": 0.0}, "one_sided"),
        ({"bid": np.nan}, "one_sided"),
        ({"ask": 0.0}, "one_sided"),
        ({"bid": 101.000000001}, "crossed"),
        ({"bid": 101.0}, "ok"),
        ({"bid": -1.0}, "not_a_price"),
        ({"ask": np.inf}, "not_a_price"),
        ({"ask": 1e9}, "not_a_price"),
        ({"bid": 97.5, "ask": 102.5}, "ok"),  # 5 percent of 100
        ({"bid": 97.5, "ask": 102.500000001}, "wide"),
        ({"bid": 9.73, "ask": 199_999.99}, "wide"),
        ({"quote_at": AS_OF - 60 * SECOND}, "ok"),
        ({"quote_at": AS_OF - 60 * SECOND - MICROSECOND}, "stale"),
        ({"quote_at": pd.NaT}, "stale"),
        ({"quote_at": AS_OF + 5 * SECOND}, "ok"),
        ({"quote_at": AS_OF + 5 * SECOND + MICROSECOND}, "future"),
        ({"verdict": "halted"}, "halted"),
        ({"verdict": "absent"}, "absent"),
        ({"verdict": "limit_state"}, "limit_state"),
        ({"verdict": None}, "unavailable"),
        ({"symbol": None}, "unavailable"),
        ({"symbol": ""}, "unavailable"),
    ],
)
def test_a_quote_is_used_only_where_nothing_is_wrong_with_it(row: dict[str, Any], word: str) -> None:
    assert verdict(row) == word


def test_a_quote_is_unavailable_without_any_and_absent_in_an_empty_frame() -> None:
    missing = valuation({}, prices=None)
    assert missing.quotes.words[missing.quote_verdicts[0]] == "unavailable"
    assert verdict() == "absent"


def test_two_quotes_of_one_symbol_are_none() -> None:
    assert verdict({}, {}) == "ambiguous"
    assert verdict({}, {"symbol": "QQQ"}) == "ok"


def test_a_quote_is_as_old_as_when_the_inputs_were_read() -> None:
    assert verdict({"quote_at": AS_OF - 60 * SECOND}, read_at=AS_OF + SECOND) == "stale"
    assert verdict({"quote_at": AS_OF + 20 * SECOND}, read_at=AS_OF + 20 * SECOND) == "ok"


def test_every_level_that_applies_limits_age_and_spread() -> None:
    text = (
        f"{HEAD}[symbol.SPY]\nmax_quote_age_s = 10\n"
        "[account.paper]\nmax_spread_pct = 1.5\n"
        "[strategy.other]\nmax_quote_age_s = 1\n[strategy.other.symbol.QQQ]\nmax_spread_pct = 1\n"
    )
    config = RiskConfig(limits_file=parse_limits_file(text, path="limits.toml", known=LIMIT_BY_KEY))
    prices = quotes({"quote_at": AS_OF - 5 * SECOND}, {"symbol": "QQQ", "bid": 100.0})
    found = valuation(
        {},
        {"broker_account_id": "second"},
        {"broker_account_id": "second", "strategy_id": "other"},
        {"symbol": "QQQ"},
        {"symbol": "QQQ", "strategy_id": "other"},
        prices=prices,
        config=config,
    )
    words = [found.quotes.words[code] for code in found.quote_verdicts]
    assert words == ["wide", "ok", "stale", "ok", "ok"]
    assert found.levels.at(scope("paper", "spy")) == (10_000_000, 1_500_000_000)
    assert found.levels.at(scope("paper", "QQQ", "other")) == (1_000_000, 1_000_000_000)


def scope(*names: str) -> Any:
    from engine.risk.quotes import scope_of

    return scope_of(*names)


LIMIT = {"order_type": "limit"}


@pytest.mark.parametrize(
    ("order", "price"),
    [
        ({}, "101"),
        ({"side": "sell"}, "101"),
        (LIMIT | {"limit_price": 100.5}, "101"),
        (LIMIT | {"limit_price": 101.5}, "101.5"),
        (LIMIT | {"limit_price": 90.0, "side": "sell"}, "101"),
        (LIMIT | {"limit_price": 120.0, "side": "sell"}, "120"),
        ({"order_type": "stop", "stop_price": 105.0}, "105"),
        ({"order_type": "stop", "stop_price": 105.0, "side": "sell"}, "101"),
        ({"order_type": "stop_limit", "stop_price": 105.0, "limit_price": 104.0}, "105"),
        ({"order_type": "trailing_stop", "trail_price": 2.0}, "103"),
        ({"order_type": "trailing_stop", "trail_percent": 1.0}, "102.01"),
        ({"order_type": "trailing_stop", "trail_percent": 1e-9}, "101.000000002"),
        ({"order_type": "trailing_stop", "trail_price": 2.0, "side": "sell"}, "101"),
        ({"reference_price": 1000.0}, "101"),
        ({"order_type": "trailing_stop"}, None),
        ({"order_type": "limit"}, None),
        ({"order_type": "iceberg"}, None),
        ({"side": "long"}, None),
    ],
)
def test_an_order_is_valued_at_the_worst_of_the_quote_and_its_own_prices(
    order: dict[str, Any], price: str | None
) -> None:
    found = valuation(order, prices=quotes({}))
    assert found.order_price.known[0] == (price is not None)
    if price is not None:
        assert found.order_price.units[0] == Decimal(price) * UNITS
        assert found.order_notional.units[0] == ceil(Decimal(price) * 3 * 10**6)
    assert not valuation(order, prices=quotes({"verdict": "halted"})).order_price.known[0]


@pytest.mark.parametrize(
    ("order", "price"),
    [
        ({"reference_price": 100.0}, None),
        ({"order_type": "stop", "stop_price": 105.0, "reference_price": 100.0}, None),
        ({"order_type": "trailing_stop", "trail_price": 2.0, "reference_price": 100.0}, None),
        (LIMIT | {"limit_price": 100.5, "reference_price": 100.0}, "100.5"),
        (LIMIT | {"limit_price": 100.5, "reference_price": 102.0}, "102"),
        (LIMIT | {"limit_price": 100.5}, "100.5"),
        (LIMIT | {"limit_price": 100.5, "side": "sell", "reference_price": 102.0}, "102"),
        ({"order_type": "stop_limit", "limit_price": 100.5, "stop_price": 101.0}, "101"),
    ],
)
def test_where_the_intents_are_the_source_limit_orders_are_valued_at_limit_or_reference(
    order: dict[str, Any], price: str | None
) -> None:
    nothing = {"bid": np.nan, "ask": np.nan, "last": np.nan, "quote_at": pd.NaT}
    found = valuation(order, prices=quotes(nothing | {"source": "intents"}))
    assert not found.bid.known[0]
    assert found.order_price.known[0] == (price is not None)
    if price is not None:
        assert found.order_price.units[0] == Decimal(price) * UNITS
    no_symbol = valuation(order, prices=quotes({"source": "intents", "verdict": "absent"}))
    assert not no_symbol.order_price.known[0]


def test_an_order_by_notional_is_worth_its_notional_and_has_its_quantity_at_the_bid() -> None:
    by_notional = {"qty": np.nan, "notional": 1000.0}
    found = valuation(by_notional, {}, prices=quotes({}))
    assert found.order_notional.units.tolist() == [1_000_000_000, 303_000_000]
    assert found.quantity_by_notional.known.tolist() == [True, False]
    assert found.quantity_by_notional.units[0] == 10_101_010_102  # 1000 / 99, rounded up
    unpriced = valuation(by_notional, prices=quotes({"verdict": "halted"}))
    assert not unpriced.order_notional.known[0]
    assert not unpriced.quantity_by_notional.known[0]


def test_a_value_beyond_any_limit_is_unknown_rather_than_wrapped() -> None:
    found = valuation({"qty": 999_999_999.0}, prices=quotes({"bid": 999_999_990.0, "ask": 999_999_999.0}))
    assert found.order_price.known[0]
    assert not found.order_notional.known[0]


PRICES = st.sampled_from((0.01, 99.0, 100.5, 101.0, 101.000000001, 150.0, 1e6))
SHAPES = st.one_of(
    st.fixed_dictionaries({"order_type": st.just("limit"), "limit_price": PRICES}),
    st.fixed_dictionaries({"order_type": st.just("stop"), "stop_price": PRICES}),
    st.fixed_dictionaries({"order_type": st.just("trailing_stop"), "trail_price": PRICES}),
    st.fixed_dictionaries({"order_type": st.just("trailing_stop"), "trail_percent": PRICES}),
)


@given(SHAPES, st.sampled_from(("buy", "sell")), PRICES)
@settings(max_examples=30, deadline=None)
def test_a_price_of_the_strategy_never_makes_an_order_worth_less(
    shape: dict[str, Any], side: str, reference: float
) -> None:
    at_quote = valuation({"side": side}, prices=quotes({}))
    own = valuation(shape | {"side": side, "reference_price": reference}, prices=quotes({}))
    assert own.order_notional.units[0] >= at_quote.order_notional.units[0]
