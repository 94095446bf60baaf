"""Hostile limits, batches and frames: no sum wraps, no rule fails open, nothing escapes ``evaluate``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.model.schema import inputs_schemas
from engine.risk import evaluate
from engine.risk.config import RiskConfig
from engine.risk.inputs import RiskInputs
from engine.risk.limits_file.parsing import parse_limits_file
from engine.risk.limits_of_book import KEYS
from tests.desk import NOON, SESSION, order

HEAD = 'version = 1\nowner = "risk"\nreview_by = 2099-01-01\nacknowledged_off = ["*"]\n[limits]\n'
HUGE = 999_999_999.0
POSITION = "max_position_size_exceeded"


def limits(text: str, **variables: Any) -> RiskConfig:
    file = parse_limits_file(HEAD + text, path="limits.toml", known=KEYS)
    return RiskConfig(limits_file=file, **variables)


def batch(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame([{"client_intent_id": f"i-{nth}", **order(**row)} for nth, row in enumerate(rows)])


def known(**frames: Any) -> RiskInputs:
    empty: dict[str, Any] = {name: form.empty_table().to_pandas() for name, form in inputs_schemas().items()}
    return RiskInputs(as_of=pd.Timestamp(NOON), trading_date=NOON.date(), **{**empty, **frames})


def frame(name: str, *rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=inputs_schemas()[name].names)


def override(rule: str, expires_on: str = SESSION) -> dict[str, Any]:
    return {"rule": rule, "strategy_id": "momentum", "expires_on": expires_on, "approved_by": "ann"}


# 1. Sums


@pytest.mark.parametrize("compile_from", [0, 1_000_000], ids=["compiled", "plain"])
@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize("projection", ["worst_case", "net"])
def test_overridden_orders_beyond_an_int64_leave_no_room_for_others(
    side: str, projection: Any, compile_from: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.risk.compiled.COMPILE_FROM_ROWS", compile_from)
    monkeypatch.setattr("engine.risk.compiled.USE_COMPILED_FROM_ROWS", compile_from)
    overridden = [{"side": side, "qty": HUGE}] * 14
    decisions = evaluate(
        batch(*overridden, {"side": side, "strategy_id": "other"}),
        known(overrides=frame("overrides", override(POSITION))),
        limits("max_position_qty = 100\n", position_projection=projection),
    )
    assert list(decisions["reason"]) == ["ok"] * 14 + [POSITION]
    assert set(decisions["overridden"][:14]) == {POSITION}


def test_overridden_sells_beyond_an_int64_reduce_nothing_for_others() -> None:
    both = frame("overrides", override(POSITION), override("reduce_only"))
    decisions = evaluate(
        batch(*[{"side": "sell", "qty": HUGE}] * 14, {"side": "sell", "strategy_id": "other"}),
        known(
            overrides=both,
            positions=frame("positions", {"broker_account_id": "paper", "symbol": "SPY", "qty": 5.0}),
        ),
        limits("reduce_only = true\n"),
    )
    assert list(decisions["reason"]) == ["ok"] * 14 + ["reduce_only"]


# 2. Self-trades


FOR_ONE = "[strategy.momentum]\nblock_self_trades = true\n"
NOT_FOR_THE_OTHER = """block_self_trades = true
[temporary.quiet]
scope = "strategy.other"
block_self_trades = false
until = 2099-01-01
approved_by = "ann"
why = "test"
"""


@pytest.mark.parametrize("text", [FOR_ONE, NOT_FOR_THE_OTHER], ids=["set for one", "off for the other"])
@pytest.mark.parametrize(
    "terms", [{"order_type": "market"}, {"order_type": "limit", "limit_price": 10.0}], ids=["market", "limit"]
)
def test_an_order_meets_those_of_strategies_that_no_level_watches(text: str, terms: dict[str, Any]) -> None:
    sell = {"strategy_id": "other", "side": "sell", "order_type": "limit", "limit_price": 10.0}
    decisions = evaluate(batch(sell, terms), known(), limits(text))
    assert list(decisions["reason"]) == ["ok", "potential_self_trade"]
    assert list(decisions["check_potential_self_trade"]) == ["off", "fail"]


def test_an_order_without_a_type_may_take_any_price() -> None:
    sell = {"strategy_id": "other", "side": "sell", "order_type": None}
    buy = {"order_type": "limit", "limit_price": 10.0}
    decisions = evaluate(batch(sell, buy), known(), limits(FOR_ONE))
    assert list(decisions["reason"]) == ["ok", "potential_self_trade"]


def test_an_order_that_no_level_watches_may_meet_others() -> None:
    buy = {"order_type": "limit", "limit_price": 10.0}
    sell = {"strategy_id": "other", "side": "sell", "order_type": "limit", "limit_price": 10.0}
    assert list(evaluate(batch(buy, sell), known(), limits(FOR_ONE))["reason"]) == ["ok", "ok"]


# 3. Overrides


@pytest.mark.parametrize("expires_on", ["2026-03-01", "2026-03-03", "2099-01-01", "soon", "", None, np.nan])
def test_an_override_holds_in_its_own_session_only(expires_on: Any) -> None:
    overrides = frame("overrides", override(POSITION, expires_on))
    decisions = evaluate(batch({}), known(overrides=overrides), limits("max_position_qty = 0\n"))
    assert list(decisions["reason"]) == [POSITION]


REDUCES = {
    "max_order_qty_exceeded": "max_order_qty = 4\n",
    "reduce_only": "reduce_only = true\n",
    "short_sale_not_allowed": "allow_short = false\n",
    "reconciliation_stale": "max_reconciliation_age_s = 60\n",
    "position_unreconciled": "",
    "asset_not_tradable": "check_assets = true\n",
}
"""Rules that an order passes by reducing a position, and what makes each refuse the one below."""


def overridden(rule: str, *, fail_open: bool = False, **frames: Any) -> pd.Series:
    """Return the decision on a sell of 5, refused by one rule that an override names."""
    asset = {"symbol": "SPY", "tradable": True, "fractionable": True, "shortable": False}
    found: dict[str, Any] = {
        "overrides": frame("overrides", override(rule)),
        "assets": pd.DataFrame([asset]),
        "unreconciled": frame(
            "unreconciled", {"broker_account_id": "paper", "symbol": "SPY", "compared": True}
        ),
    }
    if rule != "position_unreconciled":
        del found["unreconciled"]
    config = limits(REDUCES[rule], fail_open=fail_open)
    return evaluate(batch({"side": "sell", "qty": 5}), known(**{**found, **frames}), config).iloc[0]


@pytest.mark.parametrize("rule", REDUCES)
def test_an_override_lets_an_order_pass_that_does_not_reduce(rule: str) -> None:
    decision = overridden(rule)
    assert (decision["allowed"], decision["overridden"], decision[f"check_{rule}"]) == (True, rule, "fail")


@pytest.mark.parametrize("rule", [rule for rule in REDUCES if rule != "position_unreconciled"])
def test_an_override_does_not_answer_whether_an_order_reduces_where_that_is_unknown(rule: str) -> None:
    decision = overridden(rule, fail_open=True, positions=None)
    assert (decision["reason"], decision["overridden"]) == ("risk_data_unavailable", "")
    assert decision[f"check_{rule}"] == "unavailable"


@pytest.mark.parametrize(
    ("rule", "text", "missing"),
    [
        (POSITION, "max_position_qty = 0\n[strategy.momentum]\nmax_position_qty = 9\n", "strategy_positions"),
        (
            "reduce_only",
            "reduce_only = true\n[strategy.momentum]\nreduce_only = true\n",
            "strategy_positions",
        ),
        (
            "max_batch_orders_exceeded",
            "max_batch_orders = 0\nmax_batch_ratio_to_median = 2\n",
            "earlier_batches",
        ),
    ],
)
def test_an_override_waives_no_level_that_lacks_its_data(rule: str, text: str, missing: str) -> None:
    overrides = frame("overrides", override(rule))
    decisions = evaluate(batch({}), known(overrides=overrides, **{missing: None}), limits(text))
    assert list(decisions["reason"]) == ["risk_data_unavailable"]
    assert list(decisions[f"check_{rule}"]) == ["unavailable"]


# 4. What raises


@pytest.mark.parametrize(
    "positions",
    [pd.DataFrame({"x": [1]}), pd.DataFrame({"broker_account_id": ["paper"], "symbol": ["SPY"]})],
    ids=["no columns", "no quantity"],
)
def test_a_position_that_raises_refuses_what_must_reduce_it(positions: pd.DataFrame) -> None:
    cancel = {"action": "cancel", "target_intent_id": "i-9"}
    decisions = evaluate(batch({}, cancel), known(positions=positions), limits("reduce_only = true\n"))
    assert list(decisions["reason"]) == ["risk_data_unavailable", "ok"]
    assert "KeyError" in decisions.attrs["raised"]["reduce_only"]


# 5. A rule that is skipped


def test_skipping_a_rule_does_not_refuse_rows_by_limits_that_they_do_not_have() -> None:
    text = "max_position_qty = 2\n[strategy.other]\nmax_equal_orders = 1\nmax_working_orders = 1\n"
    decisions = evaluate(
        batch({}, {}, {}),
        known(earlier_orders=None, working_order_terms=None),
        limits(text, fail_open=True),
    )
    assert list(decisions["reason"]) == ["ok", "ok", POSITION]


def test_figures_are_of_a_level_that_limits_the_row() -> None:
    text = (
        '[temporary.a]\nscope = "symbol.SPY"\nmax_daily_trades = 9\nuntil = 2026-03-02\n'
        'approved_by = "ann"\nwhy = "a test"\n'
    )
    trades = frame("daily_trades", {"broker_account_id": "paper", "trades": 2})
    decisions = evaluate(
        batch({}, {"symbol": "QQQ"}), known(daily_trades=trades), limits("max_daily_trades = 5\n" + text)
    )
    assert list(decisions["trades_limit"]) == [9, 5]
    assert list(decisions["trades_today"]) == [0, 3]


# 6. Shares


def test_a_share_is_counted_by_its_own_cells() -> None:
    text = 'share = "pro_rata"\nmax_position_qty = 100\n'
    rows = [
        {"symbol": symbol, "strategy_id": name, "qty": qty}
        for symbol in ("QQQ", "SPY", "TSLA")
        for name, qty in (("momentum", 60), ("other", 40), ("momentum", 60), ("other", 40), ("other", 1))
    ]
    reasons = list(evaluate(batch(*rows), known(), limits(text))["reason"])
    assert reasons == expected_shares(rows)


def expected_shares(rows: list[dict[str, Any]]) -> list[str]:
    """The share of 100 shares by what each strategy asks for in a symbol, first come within it."""
    used: dict[tuple[str, str], float] = {}
    found = []
    for row in rows:
        alike = [one for one in rows if one["symbol"] == row["symbol"]]
        own = [one["qty"] for one in alike if one["strategy_id"] == row["strategy_id"]]
        share = 100 * sum(own) / sum(one["qty"] for one in alike)
        key = row["symbol"], row["strategy_id"]
        if used.get(key, 0) + row["qty"] <= share:
            used[key] = used.get(key, 0) + row["qty"]
            found.append("ok")
        else:
            found.append(POSITION)
    return found
