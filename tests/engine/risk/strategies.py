"""Batches, books and limits for the property tests: few accounts and symbols, so that rows interact.

Quantities come in three scales, each with limits that sums of them meet exactly: tenths of a share (where
0.1 + 0.2 is not 0.3 in floats), round lots, and numbers so large that a float can't hold one unit more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from engine import RiskConfig, RiskInputs
from tests.engine.risk.oracle import is_missing

Row = dict[str, Any]
Draw = st.DrawFn

AS_OF = pd.Timestamp("2026-03-16T19:55:00Z")
SECOND = pd.Timedelta(seconds=1)
ACCOUNTS = ("paper", "second")
SYMBOLS = ("SPY", "BRK.B", "BTC/USD")
SPELLINGS = {"BRK.B": ("BRK.B", "BRK/B", "BRK-B"), "BTC/USD": ("BTC/USD", "BTCUSD", "BTC-USD")}
REQUIRED = ("strategy_id", "broker_account_id", "client_intent_id", "symbol", "side", "qty")


@dataclass(frozen=True)
class Scale:
    """Quantities and limits of one order of magnitude; no sum of a batch leaves 4e9 shares."""

    quantities: tuple[float, ...]
    positions: tuple[float, ...]
    limits: tuple[float, ...]
    most_rows: int
    most_working: int


TENTHS = Scale(
    quantities=(0.1, 0.2, 0.3, 1e-9, 2e-9, 0.299999999, 0.100000001, 0.6),
    positions=(0.0, 0.1, -0.2, 0.3, -0.3, 0.1 + 0.2, 0.300000001, -0.45),
    limits=(0.3, 0.3, 0.6, 0.0),
    most_rows=8,
    most_working=4,
)
LOTS = Scale(
    quantities=(1, 10, 40, 50, 60, 100, 250, 251),
    positions=(0, 10, -40, 100, -100, 150, -150, 60),
    limits=(100, 100, 150, 0),
    most_rows=8,
    most_working=4,
)
LARGE = Scale(
    quantities=(999_999_999.123456, 499_999_999.123456, 5e8, 1e-6, 2e-6, 1e-9, 1.0),
    positions=(0.0, 999_999_999.123456, -999_999_999.123456, 999_999_999.123455, 5e8, -0.000001),
    limits=(999_999_999.123456, 999_999_999.123456, 5e8),
    most_rows=2,
    most_working=1,
)
SCALES = (TENTHS, LOTS, LOTS, LARGE)

VALID_SHAPES: tuple[Row, ...] = (
    {"order_type": "market", "time_in_force": "gtc", "action": "new"},
    {"order_type": "limit", "limit_price": 10.5, "time_in_force": "ioc"},
    {"order_type": "stop", "stop_price": 9, "reference_price": 10.0},
    {"order_type": "stop_limit", "stop_price": 9.25, "limit_price": 9.0},
    {"order_type": "trailing_stop", "trail_price": 0.5},
    {"order_type": "trailing_stop", "trail_percent": 1.5},
    {"order_class": "bracket", "take_profit_limit_price": 12.0, "stop_loss_stop_price": 8.0},
    {
        "order_class": "oco",
        "order_type": "limit",
        "limit_price": 12.5,
        "take_profit_limit_price": 12.0,
        "stop_loss_stop_price": 8.0,
        "stop_loss_limit_price": 7.9,
    },
    {"order_class": "oto", "take_profit_limit_price": 12.0},
    {"order_class": "oto", "stop_loss_stop_price": 8.0, "order_type": None, "limit_price": np.nan},
)
INVALID_SHAPES: tuple[Row, ...] = (
    {"order_type": "limit"},
    {"order_type": "market", "limit_price": 10.5},
    {"limit_price": 10.5},
    {"order_type": "stop"},
    {"order_type": "limit", "limit_price": 10.5, "stop_price": 9.0},
    {"order_type": "stop_limit", "limit_price": 9.0},
    {"order_type": "trailing_stop"},
    {"order_type": "trailing_stop", "trail_price": 0.5, "trail_percent": 1.5},
    {"order_type": "market", "trail_price": 0.5},
    {"order_class": "bracket", "take_profit_limit_price": 12.0},
    {"order_class": "oco", "stop_loss_stop_price": 8.0},
    {"order_class": "oto"},
    {"order_class": "oto", "take_profit_limit_price": 12.0, "stop_loss_stop_price": 8.0},
    {"take_profit_limit_price": 12.0},
    {"order_class": "oto", "take_profit_limit_price": 12.0, "stop_loss_limit_price": 8.0},
    {"target_intent_id": "intent-0"},
    {"notional": 1000.0},
)
BAD_AMOUNTS: tuple[Any, ...] = (
    0,
    -1.0,
    -1e-9,
    np.nan,
    np.inf,
    -np.inf,
    1e9,
    2e10,
    1e-10,
    0.1 + 0.2,
    0.1234567891,
    123_456_789.1234567,
    "abc",
    "1",
    "",
    True,
    None,
)
BAD_CELLS: dict[str, tuple[Any, ...]] = {
    "strategy_id": ("", None, "x" * 129, " padded", 7, "a\u202eb", "\ufb01nance"),
    "broker_account_id": ("", None, "x" * 129, "paper ", np.nan, "paper\u200b", "\uff50aper"),
    "client_intent_id": ("", None, "x" * 49, "white space", "id\n", "ünïcode", "\u0661"),
    "symbol": ("", None, "spy", "X" * 33, "S PY", "SPY\n", " SPY", "SPY\u200b", np.nan),
    "side": ("", None, "long", "BUY", "buy ", "short"),
    "qty": BAD_AMOUNTS,
    "order_type": ("", "LIMIT", "iceberg"),
    "time_in_force": ("", "Day", "forever"),
    "order_class": ("", "Simple", "ladder"),
    "action": ("", "New", "replace"),
    "reference_price": (0.0, -1.0, np.inf, "12", True, 1e-10),
    "created_at": (AS_OF.tz_localize(None),),
    "valid_until": (AS_OF.tz_localize(None), (AS_OF - SECOND).tz_localize(None)),
}
BAD_CELLS_OF_A_CANCEL: dict[str, tuple[Any, ...]] = {
    "strategy_id": ("", None),
    "broker_account_id": ("", None),
    "client_intent_id": ("", None, "white space"),
    "target_intent_id": ("", None, "white space"),
    "symbol": ("", "spy"),
    "side": ("long",),
    "qty": (0, -1.0, np.inf, 2e10),
}


@st.composite
def symbols(draw: Draw) -> str:
    """A symbol, in any form that it is written in."""
    return draw(spellings(draw(st.sampled_from(SYMBOLS))))


def spellings(symbol: str) -> st.SearchStrategy[str]:
    """The forms in which a symbol is written."""
    return st.sampled_from(SPELLINGS.get(symbol, (symbol,)))


def _valid_order(draw: Draw, nth: int, scale: Scale) -> Row:
    row: Row = {
        "strategy_id": "momentum",
        "broker_account_id": draw(st.sampled_from(ACCOUNTS)),
        "client_intent_id": f"intent-{nth}",
        "symbol": draw(symbols()),
        "side": draw(st.sampled_from(("buy", "sell"))),
        "qty": draw(st.sampled_from(scale.quantities)),
    }
    if draw(st.integers(0, 3)) == 3:
        row.update(draw(st.sampled_from(VALID_SHAPES)))
    if draw(st.integers(0, 9)) == 9:
        row.update(qty=None, notional=draw(st.sampled_from((1000.0, 0.01))))
    return row


def _valid_cancel(draw: Draw, nth: int) -> Row:
    row: Row = {
        "strategy_id": "momentum",
        "broker_account_id": draw(st.sampled_from(ACCOUNTS)),
        "client_intent_id": f"intent-{nth}",
        "action": "cancel",
        "target_intent_id": f"intent-{draw(st.integers(0, 9))}",
    }
    if draw(st.booleans()):
        row.update(symbol=draw(symbols()), side="buy", qty=1.0)
    return row


@st.composite
def intent_rows(draw: Draw, scale: Scale, *, valid: bool = False) -> list[Row]:
    """Rows of a batch: mostly orders that could be placed, and unless ``valid`` some that could not."""
    rows = []
    for nth in range(draw(st.integers(0, scale.most_rows))):
        is_cancel = draw(st.integers(0, 7)) == 7
        row = _valid_cancel(draw, nth) if is_cancel else _valid_order(draw, nth, scale)
        if draw(st.integers(0, 5)) == 5:
            row["client_intent_id"] = draw(st.sampled_from(("intent-0", "again")))
        if draw(st.integers(0, 5)) == 5:
            row["valid_until"] = AS_OF + draw(st.sampled_from((-1, 0, 1))) * pd.Timedelta(1, "us")
        if draw(st.integers(0, 2)) > 0:
            age_s = draw(st.sampled_from((0, 0.5, 0.500001, 60, 60.000001, -5, -5.000001)))
            row["created_at"] = AS_OF - pd.Timedelta(seconds=age_s)
        if not valid and draw(st.integers(0, 6)) == 6:
            row.update(draw(corruptions(is_cancel=is_cancel)))
        rows.append(row)
    return rows


@st.composite
def corruptions(draw: Draw, *, is_cancel: bool) -> Row:
    """Cells that make a valid row break the intent contract."""
    if not is_cancel and draw(st.integers(0, 2)) == 2:
        blank = dict.fromkeys(key for shape in VALID_SHAPES for key in shape)
        return blank | draw(st.sampled_from(INVALID_SHAPES))
    bad_cells = BAD_CELLS_OF_A_CANCEL if is_cancel else BAD_CELLS
    name = draw(st.sampled_from(sorted(bad_cells)))
    return {name: draw(st.sampled_from(bad_cells[name]))}


def frame_of(rows: list[Row]) -> pd.DataFrame:
    """Make the batch frame of ``rows``; a column exists where some row has the field."""
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(REQUIRED))


@st.composite
def odd_indexes(draw: Draw, length: int) -> pd.Index:
    """Indexes that nobody should depend on."""
    labels: tuple[list[Any], ...] = (
        list(range(length)),
        list(range(length))[::-1],
        [7] * length,
        [f"row {n}" for n in range(length)],
        [None] * length,
        [np.nan if n % 2 else n for n in range(length)],
    )
    kind = draw(st.integers(0, len(labels) + 1))
    if kind < len(labels):
        return pd.Index(labels[kind], name=draw(st.sampled_from((None, "row", "qty"))))
    if kind == len(labels):
        return pd.DatetimeIndex([AS_OF] * length)
    return pd.MultiIndex.from_arrays([[1] * length, list(range(length))], names=["a", "a"])


@st.composite
def positions(draw: Draw, scale: Scale) -> pd.DataFrame:
    """Positions of some keys; now and then a bad quantity, a second row for a key, or a null key."""
    keys = [(account, symbol) for account in (*ACCOUNTS, "elsewhere") for symbol in SYMBOLS]
    chosen = draw(st.lists(st.sampled_from(keys), unique=True, max_size=len(keys)))
    chosen += draw(st.lists(st.sampled_from(keys), max_size=1)) if draw(st.integers(0, 5)) == 5 else []
    bad = (np.nan, np.inf, 1e9, -1e9, 2e10, None)
    rows: list[tuple[Any, ...]] = [
        (account, draw(spellings(symbol)), draw(st.sampled_from(bad if is_bad else scale.positions)))
        for account, symbol in chosen
        for is_bad in [draw(st.integers(0, 11)) == 11]
    ]
    if draw(st.integers(0, 15)) == 15:
        rows.append(draw(st.sampled_from(((None, "SPY", 1.0), ("paper", None, 1.0), ("paper", np.nan, 0.0)))))
    return pd.DataFrame(rows, columns=["broker_account_id", "symbol", "qty"])


@st.composite
def daily_trades(draw: Draw) -> pd.DataFrame:
    """Today's trades of some accounts; now and then a count that is none, or an account counted twice."""
    chosen = draw(st.lists(st.sampled_from((*ACCOUNTS, "elsewhere")), unique=True))
    chosen += draw(st.lists(st.sampled_from(ACCOUNTS), max_size=1)) if draw(st.integers(0, 7)) == 7 else []
    bad = (np.nan, -1, 1.5, np.inf, None)
    rows: list[tuple[str | None, Any]] = [
        (account, draw(st.sampled_from(bad if draw(st.integers(0, 11)) == 11 else (0, 0, 1, 2, 3))))
        for account in chosen
    ]
    if draw(st.integers(0, 15)) == 15:
        rows.append((None, 1))
    return pd.DataFrame(rows, columns=["broker_account_id", "trades"])


@st.composite
def working_orders(draw: Draw, scale: Scale) -> pd.DataFrame:
    """Working orders, several per key; now and then a bad quantity, an unknown side or a null key."""
    rows: list[tuple[Any, ...]] = []
    for _ in range(draw(st.integers(0, scale.most_working))):
        account = draw(st.sampled_from((*ACCOUNTS, "elsewhere")))
        symbol = draw(symbols())
        side = draw(st.sampled_from(("buy", "sell")))
        qty: Any = draw(st.sampled_from((*scale.quantities, 0.0)))
        if draw(st.integers(0, 11)) == 11:
            side, qty = draw(st.sampled_from((("long", qty), (None, qty), ("", qty))))
        elif draw(st.integers(0, 11)) == 11:
            qty = draw(st.sampled_from((np.nan, -1.0, np.inf, 1e9, 2e10, None)))
        rows.append((account, symbol, side, qty))
    if draw(st.integers(0, 15)) == 15:
        rows.append(draw(st.sampled_from(((None, "SPY", "buy", 1.0), ("paper", None, "buy", 1.0)))))
    return pd.DataFrame(rows, columns=["broker_account_id", "symbol", "side", "remaining_qty"])


@st.composite
def breaks(draw: Draw) -> pd.DataFrame:
    """Open breaks, mostly none; now and then of a whole account, or of nobody knows which."""
    rows: list[tuple[Any, ...]] = []
    if draw(st.integers(0, 2)) == 2:
        keys = [(account, symbol) for account in (*ACCOUNTS, "elsewhere") for symbol in SYMBOLS]
        chosen = draw(st.lists(st.sampled_from(keys), max_size=3))
        rows += [(account, draw(spellings(symbol))) for account, symbol in chosen]
    if draw(st.integers(0, 11)) == 11:
        rows.append((draw(st.sampled_from(ACCOUNTS)), draw(st.sampled_from((None, np.nan)))))
    if draw(st.integers(0, 23)) == 23:
        rows.append((None, draw(st.sampled_from(("SPY", None)))))
    found = pd.DataFrame(rows, columns=["broker_account_id", "symbol"])
    if draw(st.integers(0, 3)) < 3:
        return found
    compared = [draw(st.sampled_from((True, True, False, None))) for _ in rows]
    return found.assign(compared=pd.Series(compared, dtype=object))


@st.composite
def risk_inputs(draw: Draw, scale: Scale) -> RiskInputs:
    """What is known of the accounts, with each frame now and then unavailable."""

    def available() -> bool:
        return draw(st.integers(0, 11)) < 11

    return RiskInputs(
        as_of=AS_OF,
        trading_date=date(2026, 3, 16),
        positions=draw(positions(scale)) if available() else None,
        daily_trades=draw(daily_trades()) if available() else None,
        working_orders=draw(working_orders(scale)) if available() else None,
        kill_switch=draw(st.integers(0, 11)) == 11,
        unreconciled=draw(breaks()) if available() else None,
    )


@st.composite
def risk_configs(draw: Draw, scale: Scale) -> RiskConfig:
    """Limits that bind: positions of the scale, few trades, and each switch either way."""
    return RiskConfig(
        max_position_qty=draw(st.sampled_from(scale.limits)),
        max_daily_trades=draw(st.sampled_from((50, 50, 6, 3, 1, 0))),
        fail_open=draw(st.integers(0, 4)) == 4,
        position_projection=draw(st.sampled_from(("worst_case", "net"))),
        intent_max_age_s=draw(st.sampled_from((None, None, 60, 0.5))),
        accounts=draw(st.sampled_from((frozenset[str](), frozenset[str](), frozenset({"paper"})))),
    )


@dataclass(frozen=True)
class Case:
    """Everything that ``evaluate`` is asked; printed row by row, so that a counterexample can be read."""

    intents: pd.DataFrame
    inputs: RiskInputs
    config: RiskConfig

    def __repr__(self) -> str:
        known = (
            self.inputs.positions,
            self.inputs.daily_trades,
            self.inputs.working_orders,
            self.inputs.unreconciled,
        )
        rows = [None if frame is None else frame.to_numpy().tolist() for frame in known]
        return "\n".join(
            [
                "Case:",
                *(
                    f"  row {nth}: { {name: cell for name, cell in row.items() if not is_missing(cell)} }"
                    for nth, row in enumerate(self.rows)
                ),
                f"  positions {rows[0]}, trades {rows[1]}, working {rows[2]}",
                f"  breaks {rows[3]}",
                f"  kill switch {self.inputs.kill_switch}, {self.config}",
            ]
        )

    @property
    def rows(self) -> list[Row]:
        return [dict(row) for row in self.intents.to_dict("records")]


@st.composite
def cases(draw: Draw, *, valid: bool = False) -> Case:
    """A batch, what is known and the limits, all of one scale."""
    scale = draw(st.sampled_from(SCALES))
    intents = frame_of(draw(intent_rows(scale, valid=valid)))
    intents.index = draw(odd_indexes(len(intents)))
    return Case(intents, draw(risk_inputs(scale)), draw(risk_configs(scale)))
