"""The input frames that only some limits need, with missing, negative, odd and repeated rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from engine import RiskInputs
from tests.engine.risk.limits_drawn import STRATEGIES
from tests.engine.risk.strategies import (
    ACCOUNTS,
    AS_OF,
    LOTS,
    SECOND,
    SYMBOLS,
    Draw,
    Row,
    daily_trades,
    positions,
    spellings,
    symbols,
)

MICROSECOND = pd.Timedelta(1, "us")
MINUTE = pd.Timedelta(minutes=1)
QUANTITIES = (10, 40, 50, 60, 100)
PRICES = (9.0, 10.0, 10.000000001, 11.0)
MISSING = (None, np.nan, pd.NaT)


def seldom(draw: Draw, *, once_in: int = 12) -> bool:
    return draw(st.integers(1, once_in)) == once_in


@st.composite
def orders(draw: Draw) -> list[Row]:
    """Valid rows of two strategies, cancels among them, in orders that meet, repeat and reduce each other."""
    rows: list[Row] = []
    has_files = draw(st.booleans())
    for nth in range(draw(st.integers(1, 7))):
        row: Row = {
            "strategy_id": draw(st.sampled_from(STRATEGIES)),
            "broker_account_id": draw(st.sampled_from((*ACCOUNTS, "paper"))),
            "client_intent_id": f"intent-{nth}",
            "created_at": AS_OF - SECOND,
        }
        if has_files:
            row["source_file"] = draw(st.sampled_from(("a.csv", "b.csv")))
        if seldom(draw, once_in=9):
            rows.append(row | {"action": "cancel", "target_intent_id": "earlier"})
            continue
        row |= {
            "symbol": draw(symbols()),
            "side": draw(st.sampled_from(("buy", "sell"))),
            "qty": float(draw(st.sampled_from((*QUANTITIES, 0.5)))),
        }
        row |= draw(shapes())
        if seldom(draw):
            row |= {"qty": None, "notional": 1000.0}
        if seldom(draw, once_in=3):
            row["estimated_slippage"] = draw(st.sampled_from((0.01, -0.005, 0.010000001, 0.0)))
        if rows and seldom(draw, once_in=5):
            row = {**draw(st.sampled_from(rows)), "client_intent_id": f"intent-{nth}"}
        if seldom(draw):
            row["client_intent_id"] = "intent-0"
        rows.append(row)
    return rows


@st.composite
def shapes(draw: Draw) -> Row:
    """The type of an order with its prices, and when it may trade."""
    price = draw(st.sampled_from(PRICES))
    found: Row = draw(
        st.sampled_from(
            (
                {},
                {"order_type": "market"},
                {"order_type": "limit", "limit_price": price},
                {"order_type": "limit", "limit_price": price},
                {"order_type": "limit", "limit_price": price},
                {"order_type": "stop", "stop_price": price},
                {"order_type": "stop_limit", "stop_price": 9.5, "limit_price": price},
                {"order_type": "trailing_stop", "trail_percent": 6.0},
                {"order_type": "trailing_stop", "trail_price": 0.5},
                {"order_class": "bracket", "take_profit_limit_price": 9.0, "stop_loss_stop_price": 9.5},
                {"order_class": "oto", "stop_loss_stop_price": 9.5, "stop_loss_limit_price": 9.0},
            )
        )
    )
    if seldom(draw, once_in=4):
        found = found | {"reference_price": draw(st.sampled_from((1.0, 50.0)))}
    if seldom(draw, once_in=4):
        found = found | {"time_in_force": draw(st.sampled_from(("day", "opg", "cls", "gtc")))}
    if seldom(draw, once_in=4):
        found = found | {"extended_hours": draw(st.sampled_from((True, False)))}
    return found


EXPOSED = ("prices", "working_order_terms", "strategy_positions")
READ_BY: dict[str, tuple[str, ...]] = {
    "max_position_notional_exceeded": EXPOSED,
    "max_gross_exposure_exceeded": EXPOSED,
    "max_net_exposure_exceeded": EXPOSED,
    "max_daily_notional_exceeded": (*EXPOSED, "traded_notional"),
    "insufficient_buying_power": ("prices", "account_figures"),
    "reject_throttle": ("latches",),
    "strategy_repeats": ("latches",),
    "reconciliation_stale": ("reconciled",),
    "asset_not_tradable": ("assets",),
    "session_closed": ("session_hours",),
    "short_sale_not_allowed": ("strategy_positions", "working_order_terms"),
    "reduce_only": ("strategy_positions", "working_order_terms", "trading_states"),
    "max_daily_trades_exceeded": ("strategy_trades", "working_order_terms"),
    "max_position_size_exceeded": ("strategy_positions", "working_order_terms"),
    "max_working_orders_exceeded": ("working_order_terms",),
    "max_open_positions_exceeded": ("strategy_positions", "working_order_terms"),
    "duplicate_order": ("earlier_orders",),
    "potential_self_trade": ("working_order_terms",),
    "max_batch_orders_exceeded": ("earlier_batches",),
    "kill_switch_enabled": ("trading_states",),
    "unpriced": ("prices",),
    "max_order_notional_exceeded": ("prices",),
    "max_batch_notional_exceeded": ("prices", "earlier_batches"),
    "price_collar_breached": ("prices",),
    "daily_loss_limit_reached": ("latches", "account_figures", "prices"),
    "quantity_looks_like_notional": ("usual_quantities",),
    "max_pct_adv_exceeded": ("average_volumes",),
}
"""The frames that a rule reads besides positions, trades, working orders and breaks."""

EVERY_FRAME = tuple(sorted({name for names in READ_BY.values() for name in names}))


@st.composite
def inputs_with(draw: Draw, names: Collection[str] = EVERY_FRAME, rules: Collection[str] = ()) -> RiskInputs:
    """The input frames of every run and the named ones, each now and then unavailable.

    ``rules``: those that most overrides name.
    """
    working = draw(working_terms())
    found: dict[str, Any] = {
        "positions": draw(positions(LOTS)),
        "daily_trades": draw(daily_trades()),
        "working_orders": working[["broker_account_id", "symbol", "side", "remaining_qty"]],
        "overrides": draw(overrides(rules)),
    }
    for name in names:
        found[name] = working if name == "working_order_terms" else draw(DRAWN[name]())
    if seldom(draw, once_in=4):
        found[draw(st.sampled_from(sorted(found)))] = None
    return replace(
        RiskInputs(
            as_of=AS_OF, trading_date=AS_OF.date(), positions=None, daily_trades=None, working_orders=None
        ),
        **found,
    )


def _frame(rows: list[Row], *columns: str) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns))


@st.composite
def working_terms(draw: Draw) -> pd.DataFrame:
    rows = []
    for _ in range(draw(st.integers(0, 4))):
        price = draw(st.sampled_from(PRICES))
        row: Row = {
            "broker_account_id": draw(st.sampled_from((*ACCOUNTS, "elsewhere"))),
            "symbol": draw(symbols()),
            "strategy_id": draw(st.sampled_from((*STRATEGIES, *STRATEGIES, None))),
            "side": draw(st.sampled_from(("buy", "sell"))),
            "remaining_qty": float(draw(st.sampled_from(QUANTITIES))),
            **draw(
                st.sampled_from(
                    (
                        {"order_type": "market"},
                        {"order_type": "limit", "limit_price": price},
                        {"order_type": "limit", "limit_price": price},
                        {"order_type": "stop_limit", "limit_price": price, "stop_price": 9.5},
                        {"order_type": "stop", "stop_price": price},
                        {"order_type": "trailing_stop", "trail_price": 0.5},
                    )
                )
            ),
        }
        if seldom(draw):
            row |= {"remaining_qty": np.nan, "remaining_notional": 300.0}
        if seldom(draw):
            damage: Row = draw(
                st.sampled_from(
                    (
                        {"remaining_qty": np.nan},
                        {"remaining_qty": -1.0},
                        {"side": None},
                        {"order_type": None},
                        {"order_type": "limit", "limit_price": np.nan},
                        {"broker_account_id": None},
                        {"symbol": None},
                    )
                )
            )
            row |= damage
        rows.append(row)
    return _frame(
        rows,
        *("broker_account_id", "symbol", "strategy_id", "side", "remaining_qty"),
        *("order_type", "limit_price", "stop_price", "trail_price", "remaining_notional"),
    )


@st.composite
def traded_notional(draw: Draw) -> pd.DataFrame:
    rows: list[tuple[Any, ...]] = []
    for strategy, account, symbol in draw(_strategy_keys()):
        usd = draw(st.sampled_from((np.nan, -1.0, None) if seldom(draw) else (0.1, 100.0, 500.0)))
        rows.append((strategy, account, draw(spellings(symbol)), usd))
    if seldom(draw, once_in=4):
        rows.append((None, "paper", "SPY", 100.0))
    if seldom(draw, once_in=20):
        rows.append(draw(st.sampled_from((("momentum", None, "SPY", 1.0), ("momentum", "paper", None, 1.0)))))
    return pd.DataFrame(rows, columns=["strategy_id", "broker_account_id", "symbol", "notional"])


@st.composite
def _strategy_keys(draw: Draw) -> list[tuple[str, str, str]]:
    keys = [
        (strategy, account, symbol)
        for strategy in STRATEGIES
        for account in (*ACCOUNTS, "elsewhere")
        for symbol in SYMBOLS
    ]
    chosen = draw(st.lists(st.sampled_from(keys), unique=True, max_size=6))
    if chosen and seldom(draw):
        chosen.append(draw(st.sampled_from(chosen)))
    return chosen


@st.composite
def strategy_positions(draw: Draw) -> pd.DataFrame:
    rows: list[tuple[Any, ...]] = []
    for strategy, account, symbol in draw(_strategy_keys()):
        qty = draw(st.sampled_from((np.nan, np.inf, 1e9, None) if seldom(draw) else LOTS.positions))
        rows.append((strategy, account, draw(spellings(symbol)), qty))
    if seldom(draw):
        rows.append(draw(st.sampled_from(((None, "paper", None, None), ("momentum", "paper", None, 1.0)))))
    if seldom(draw, once_in=20):
        rows.append(("momentum", None, "SPY", 1.0))
    return pd.DataFrame(rows, columns=["strategy_id", "broker_account_id", "symbol", "qty"])


@st.composite
def strategy_trades(draw: Draw) -> pd.DataFrame:
    rows: list[tuple[Any, ...]] = []
    for strategy, account, symbol in draw(_strategy_keys()):
        trades = draw(st.sampled_from((np.nan, -1, 1.5, None) if seldom(draw) else (0, 1, 1, 2)))
        rows.append((strategy, account, draw(spellings(symbol)), trades))
    if seldom(draw, once_in=4):
        rows.append((None, "paper", "SPY", 1))
    if seldom(draw, once_in=20):
        rows.append(draw(st.sampled_from((("momentum", None, "SPY", 1), ("momentum", "paper", None, 1)))))
    return pd.DataFrame(rows, columns=["strategy_id", "broker_account_id", "symbol", "trades"])


@st.composite
def assets(draw: Draw) -> pd.DataFrame:
    rows: list[tuple[Any, ...]] = []
    for symbol in SYMBOLS:
        if seldom(draw, once_in=6):
            continue
        flags = [draw(st.sampled_from((True, True, True, False, None))) for _ in range(3)]
        rows.append((symbol, *flags))
    return pd.DataFrame(rows, columns=["symbol", "tradable", "fractionable", "shortable"]).astype(object)


@st.composite
def session_hours(draw: Draw) -> pd.DataFrame:
    def near(*minutes: float) -> Any:
        times = [AS_OF + minute * MINUTE + micro * MICROSECOND for minute in minutes for micro in (-1, 0, 1)]
        return draw(st.sampled_from((*times, pd.NaT) if seldom(draw) else tuple(times)))

    row = {
        "opens_at": near(-300, -300, 0, 2),
        "closes_at": near(60, 60, 0, 10),
        "extended_opens_at": near(-600, 0, -600),
        "extended_closes_at": near(240, 0, 240),
    }
    return pd.DataFrame([row])


@st.composite
def earlier_orders(draw: Draw) -> pd.DataFrame:
    rows = []
    for _ in range(draw(st.integers(0, 3))):
        shape = {
            key: cell
            for key, cell in draw(shapes()).items()
            if key in ("order_type", "limit_price", "stop_price")
        }
        row: Row = {
            "broker_account_id": draw(st.sampled_from(ACCOUNTS)),
            "strategy_id": draw(st.sampled_from(STRATEGIES)),
            "symbol": draw(symbols()),
            "side": draw(st.sampled_from(("buy", "sell"))),
            "qty": float(draw(st.sampled_from(QUANTITIES))),
            "order_type": "market",
            "sent_at": AS_OF
            - draw(st.sampled_from((60, 0.5, 61))) * SECOND
            - draw(st.sampled_from((0, 1))) * MICROSECOND,
        } | shape
        rows.append(row)
    return _frame(
        rows,
        *("broker_account_id", "strategy_id", "symbol", "side", "qty", "notional"),
        *("order_type", "limit_price", "stop_price", "sent_at"),
    )


@st.composite
def earlier_batches(draw: Draw) -> pd.DataFrame:
    rows = [
        (
            draw(st.sampled_from(STRATEGIES)),
            f"run-{nth}",
            draw(st.sampled_from((1.0, 2.0, 3.0, np.nan) if seldom(draw) else (1.0, 2.0, 4.0))),
            draw(st.sampled_from((np.nan, 606.0, 1000.000001, 5000.0))),
        )
        for nth in range(draw(st.integers(0, 4)))
    ]
    return pd.DataFrame(rows, columns=["strategy_id", "run_id", "orders", "notional"])


@st.composite
def latches(draw: Draw) -> pd.DataFrame:
    rows = [
        (
            *draw(
                st.sampled_from(
                    (
                        *((one, "reject_throttle", None) for one in STRATEGIES),
                        ("reversal", "strategy_repeats", None),
                        ("", "daily_loss_limit_reached", "paper"),
                    )
                )
            ),
            AS_OF,
            "three in a row",
        )
        for _ in range(draw(st.integers(0, 1)))
    ]
    return pd.DataFrame(rows, columns=["strategy_id", "rule", "broker_account_id", "since", "why"])


@st.composite
def prices(draw: Draw) -> pd.DataFrame:
    """Quotes around 10 USD, now and then one that may not be used, or the intents' own prices."""
    rows: list[Row] = []
    source = draw(st.sampled_from(("alpaca",) * 5 + ("intents",)))
    for symbol in SYMBOLS:
        row: Row = {"symbol": draw(spellings(symbol)), "bid": 9.9, "ask": 10.1, "quote_at": AS_OF - SECOND}
        row |= {"source": source, "verdict": "ok"}
        if seldom(draw, once_in=6):
            wrong: Row = draw(
                st.sampled_from(
                    (
                        {"bid": np.nan},
                        {"ask": 0.0},
                        {"bid": 10.2},
                        {"bid": 9.0},
                        {"quote_at": AS_OF - 61 * SECOND},
                        {"quote_at": AS_OF + 6 * SECOND},
                        {"verdict": "halted"},
                        {"bid": 9.85, "ask": 10.15},
                    )
                )
            )
            row |= wrong
        if not seldom(draw):
            rows.append(row)
    if rows and seldom(draw, once_in=20):
        rows.append(rows[0] | draw(st.sampled_from(({}, {"symbol": None}))))
    return _frame(rows, "symbol", "bid", "ask", "last", "quote_at", "source", "feed", "verdict")


@st.composite
def account_figures(draw: Draw) -> pd.DataFrame:
    rows = []
    for account in (*ACCOUNTS, "elsewhere"):
        if seldom(draw, once_in=6):
            continue
        cash = draw(st.sampled_from((1000.0, 0.0, -300.0)))
        lost = draw(st.sampled_from((0.0, 200.0, 500.0, 499.999999, -100.0, np.nan)))
        power = draw(st.sampled_from((1000.0, 1000.0, 1040.3, 2000.0, np.nan, -1.0)))
        row: Row = {"broker_account_id": account, "cash": cash, "equity": cash, "buying_power": power}
        rows.append(row | {"start_equity": cash + lost, "peak_equity": cash + 500.0})
    return _frame(rows, "broker_account_id", "buying_power", "cash", "equity", "start_equity", "peak_equity")


@st.composite
def trading_states(draw: Draw) -> pd.DataFrame:
    scopes = (
        ("all", ""),
        ("account", "paper"),
        ("symbol", "SPY"),
        ("symbol", "BTC/USD"),
        ("strategy", "momentum"),
    )
    rows = [
        (
            *draw(st.sampled_from(scopes)),
            draw(st.sampled_from(("HALTED", "REDUCING", "REDUCING"))),
            AS_OF,
            "ann",
            "a test",
        )
        for _ in range(draw(st.sampled_from((0, 0, 0, 1, 2))))
    ]
    return pd.DataFrame(rows, columns=["scope", "name", "state", "since", "set_by", "why"])


@st.composite
def overrides(draw: Draw, rules: Collection[str] = ()) -> pd.DataFrame:
    """Overrides, most of some rules, that hold in the session or don't."""
    from tests.engine.risk.oracle import JUDGES

    rows = []
    for _ in range(draw(st.sampled_from((0, 1, 2, 3)))):
        any_rule = not rules or seldom(draw, once_in=4)
        named: Row = draw(
            st.sampled_from(
                ({"client_intent_id": "intent-1"}, {"strategy_id": "momentum"}, {"symbol": "SPY"})
            )
        )
        row = dict.fromkeys(("client_intent_id", "strategy_id", "symbol"), "") | named
        row |= {
            "rule": draw(st.sampled_from(sorted(JUDGES if any_rule else rules))),
            "approved_by": "ann",
            "why": "a test",
            "expires_on": draw(st.sampled_from(("2026-03-16",) * 4 + ("2026-03-13", "2026-03-17"))),
            "file": "one.toml",
        }
        rows.append(row)
    names = ["rule", "client_intent_id", "strategy_id", "symbol", "approved_by", "why", "expires_on", "file"]
    return pd.DataFrame(rows, columns=names)


@st.composite
def reconciled(draw: Draw) -> pd.DataFrame:
    rows: list[tuple[Any, ...]] = []
    for account in ACCOUNTS:
        if seldom(draw, once_in=6):
            continue
        age = draw(st.sampled_from((0, 0.5, 60))) * SECOND + draw(st.sampled_from((0, 1))) * MICROSECOND
        rows.append((account, pd.NaT if seldom(draw) else AS_OF - age))
    return pd.DataFrame(rows, columns=["broker_account_id", "reconciled_at"])


@st.composite
def usual_quantities(draw: Draw) -> pd.DataFrame:
    rows = [
        (
            draw(st.sampled_from(STRATEGIES)),
            draw(symbols()),
            draw(st.sampled_from((40.0, 20.0, 100.0, 40.0, np.nan, 0.0) if seldom(draw) else (40.0, 10.0))),
        )
        for _ in range(draw(st.integers(0, 5)))
    ]
    return pd.DataFrame(rows, columns=["strategy_id", "symbol", "qty"])


@st.composite
def average_volumes(draw: Draw) -> pd.DataFrame:
    rows: list[tuple[Any, ...]] = []
    for symbol in SYMBOLS:
        shares = draw(st.sampled_from((np.nan, 0.0, np.inf) if seldom(draw) else (5000.0, 4000.0, 1e10)))
        age = draw(st.sampled_from((10, 11, -1) if seldom(draw) else (0, 10)))
        rows.append((symbol, shares, (AS_OF - pd.Timedelta(days=age)).date().isoformat()))
    return pd.DataFrame(rows[draw(st.integers(0, 1)) :], columns=["symbol", "shares", "measured_on"])


DRAWN = {
    "traded_notional": traded_notional,
    "strategy_positions": strategy_positions,
    "strategy_trades": strategy_trades,
    "assets": assets,
    "session_hours": session_hours,
    "earlier_orders": earlier_orders,
    "earlier_batches": earlier_batches,
    "latches": latches,
    "trading_states": trading_states,
    "reconciled": reconciled,
    "prices": prices,
    "account_figures": account_figures,
    "usual_quantities": usual_quantities,
    "average_volumes": average_volumes,
}
