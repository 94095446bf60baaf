"""The decision function once more, slow and plain: one intent after the other, in exact decimals.

Written from the words of the design and from nothing else, to be read rather than to be fast. It takes the
batch as a list of dicts and gives what ``evaluate`` must answer, row by row; None is NaN there.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from engine import RiskConfig, RiskInputs

Row = dict[str, Any]
Key = tuple[str, str]

RULES = (
    "kill_switch_enabled",
    "invalid_intent",
    "account_not_configured",
    "duplicate_intent",
    "intent_expired",
    "position_unreconciled",
    "max_daily_trades_exceeded",
    "max_position_size_exceeded",
)
FACED_BY_CANCELS = {"invalid_intent", "account_not_configured", "duplicate_intent"}
SKIPPED_BY_FAIL_OPEN = {"position_unreconciled", "max_daily_trades_exceeded", "max_position_size_exceeded"}

QUANTITY_BOUND = Decimal(10**9)
LARGEST_SUM = Decimal(4 * 10**9)
DECIMALS = 9
DIGITS = 15

ORDER_TYPES = {"market", "limit", "stop", "stop_limit", "trailing_stop"}
TIMES_IN_FORCE = {"day", "gtc", "opg", "cls", "ioc", "fok"}
ORDER_CLASSES = {"simple", "bracket", "oto", "oco"}
PRICES = (
    "limit_price",
    "stop_price",
    "trail_price",
    "trail_percent",
    "take_profit_limit_price",
    "stop_loss_stop_price",
    "stop_loss_limit_price",
    "reference_price",
)


def expected_decisions(rows: list[Row], inputs: RiskInputs, config: RiskConfig) -> list[Row]:
    """Judge ``rows`` in their order, each against the state left by the allowed rows before it."""
    state, known = State(), Known.of(inputs)
    return [_decide(row, state, known, config) for row in rows]


@dataclass(frozen=True)
class Known:
    """What is known of the accounts: the risk inputs, with each frame as its rows, or None."""

    as_of: datetime
    kill_switch: bool
    positions: list[Row] | None
    daily_trades: list[Row] | None
    working_orders: list[Row] | None
    unreconciled: list[Row] | None

    @classmethod
    def of(cls, inputs: RiskInputs) -> Known:
        return cls(
            as_of=inputs.as_of,
            kill_switch=inputs.kill_switch,
            positions=records(inputs.positions),
            daily_trades=records(inputs.daily_trades),
            working_orders=records(inputs.working_orders),
            unreconciled=records(inputs.unreconciled),
        )


@dataclass
class State:
    """What the allowed intents of this batch have left behind."""

    trades: Counter[str] = field(default_factory=Counter)
    buys: dict[Key, Decimal] = field(default_factory=dict)
    sells: dict[Key, Decimal] = field(default_factory=dict)
    unknown_quantity: set[Key] = field(default_factory=set)
    ids: set[tuple[str, str]] = field(default_factory=set)

    def keep(self, row: Row) -> None:
        """Remember an allowed row; it is valid, so that every field can be relied on."""
        account = row["broker_account_id"]
        self.ids.add((account, row["client_intent_id"]))
        if is_cancel(row):
            return
        self.trades[account] += 1
        key = key_of(row)
        if given(row, "notional"):
            self.unknown_quantity.add(key)
            return
        side = self.buys if row["side"] == "buy" else self.sells
        side[key] = side.get(key, Decimal(0)) + exact(row["qty"])


def _decide(row: Row, state: State, known: Known, config: RiskConfig) -> Row:
    trades_today = count_trades(row, state, known)
    current_qty = position_held(row, known)
    projected_qty = project(row, state, known, config)
    checks = {
        "kill_switch_enabled": "fail" if known.kill_switch else "pass",
        "invalid_intent": "pass" if is_valid(row) and has_come(row, known) else "fail",
        "account_not_configured": check_account(row, config),
        "duplicate_intent": check_duplicate(row, state),
        "intent_expired": check_expiry(row, known, config),
        "position_unreconciled": check_breaks(row, state, known),
        "max_daily_trades_exceeded": check_trades(trades_today, config),
        "max_position_size_exceeded": check_position(row, projected_qty, config),
    }
    if is_cancel(row):
        checks = {rule: check if rule in FACED_BY_CANCELS else "off" for rule, check in checks.items()}
    reason = first_reason(checks, config)
    if reason == "ok":
        state.keep(row)
    return {
        "allowed": reason == "ok",
        "reason": reason,
        **{f"check_{rule}": checks[rule] for rule in RULES},
        "current_qty": current_qty,
        "projected_qty": projected_qty,
        "position_limit_qty": exact(config.max_position_qty),
        "trades_today": trades_today,
        "trades_limit": exact(config.max_daily_trades),
    }


def first_reason(checks: dict[str, str], config: RiskConfig) -> str:
    """Give the first rule, in the order of the book, that stands in the way, or ``ok``."""
    for rule in RULES:
        if checks[rule] == "fail":
            return rule
        if checks[rule] == "unavailable" and not (config.fail_open and rule in SKIPPED_BY_FAIL_OPEN):
            return "risk_data_unavailable"
    return "ok"


# The rules


def check_account(row: Row, config: RiskConfig) -> str:
    if not config.accounts:
        return "off"
    return "pass" if row.get("broker_account_id") in config.accounts else "fail"


def check_duplicate(row: Row, state: State) -> str:
    return "fail" if (row.get("broker_account_id"), row.get("client_intent_id")) in state.ids else "pass"


def check_expiry(row: Row, known: Known, config: RiskConfig) -> str:
    unknown = False
    if given(row, "valid_until"):
        if not is_timestamp(row["valid_until"]):
            unknown = True
        elif known.as_of > row["valid_until"]:
            return "fail"
    if config.intent_max_age_s is not None:
        if not given(row, "created_at") or not is_timestamp(row["created_at"]):
            unknown = True
        elif known.as_of - row["created_at"] > pd.Timedelta(seconds=config.intent_max_age_s):
            return "fail"
    return "unavailable" if unknown else "pass"


def check_breaks(row: Row, state: State, known: Known) -> str:
    """Let only those orders pass where a break is open that shrink the position whatever else fills."""
    if not is_text(row.get("broker_account_id")) or not is_symbol(row.get("symbol")):
        return "unavailable"
    if known.unreconciled is None:
        return "unavailable"
    breaks = known.unreconciled
    if has_null_key(breaks, "broker_account_id"):
        return "unavailable"
    own = [each for each in breaks if each["broker_account_id"] == row["broker_account_id"]]
    found = [each for each in own if each.get("compared", True) is True]
    if not any(is_missing(each["symbol"]) or key_of(each) == key_of(row) for each in found):
        return "pass" if len(found) == len(own) else "unavailable"
    held, working = position_held(row, known), working_quantities(row, known)
    if held is None or working is None or key_of(row) in state.unknown_quantity:
        return "unavailable"
    if row.get("side") not in ("buy", "sell") or not is_quantity(row.get("qty")):
        return "unavailable"
    if row["side"] == "sell":
        left = held - working[1] - state.sells.get(key_of(row), Decimal(0))
    else:
        left = -held - working[0] - state.buys.get(key_of(row), Decimal(0))
    return "pass" if exact(row["qty"]) <= left else "fail"


def check_trades(trades_today: Decimal | None, config: RiskConfig) -> str:
    if trades_today is None:
        return "unavailable"
    return "fail" if trades_today >= config.max_daily_trades else "pass"


def check_position(row: Row, projected_qty: Decimal | None, config: RiskConfig) -> str:
    if projected_qty is None:
        return "unavailable"
    limit = exact(config.max_position_qty)
    if config.position_projection == "worst_case":
        beyond = projected_qty > limit if row["side"] == "buy" else projected_qty < -limit
        return "fail" if beyond else "pass"
    now = projected_qty - signed_qty(row)
    shrinks = abs(projected_qty) < abs(now)
    crosses_zero = now * projected_qty < 0
    if shrinks and not crosses_zero:
        return "pass"
    return "fail" if abs(projected_qty) > limit else "pass"


# The figures behind them


def count_trades(row: Row, state: State, known: Known) -> Decimal | None:
    """Count today's trades, the working orders and the intents allowed so far of the row's account."""
    account = row.get("broker_account_id")
    if known.daily_trades is None or known.working_orders is None:
        return None
    if not isinstance(account, str) or not is_text(account):
        return None
    filled, working = known.daily_trades, known.working_orders
    if has_null_key(filled, "broker_account_id") or has_null_key(working, "broker_account_id", "symbol"):
        return None
    counts = [number(each["trades"]) for each in filled if each["broker_account_id"] == account]
    if len(counts) > 1:
        return None
    counted = counts[0] if counts else Decimal(0)
    if counted is None or not counted.is_finite() or counted < 0 or counted != counted.to_integral_value():
        return None
    open_orders = len([each for each in working if each["broker_account_id"] == account])
    return counted + open_orders + state.trades[account]


def position_held(row: Row, known: Known) -> Decimal | None:
    """Give the position that the account holds in the symbol, in shares, or None where nobody can say."""
    if not is_text(row.get("broker_account_id")) or not is_symbol(row.get("symbol")):
        return None
    if known.positions is None:
        return None
    positions = known.positions
    if has_null_key(positions, "broker_account_id"):
        return None
    own = [each for each in positions if each["broker_account_id"] == row["broker_account_id"]]
    if has_null_key(own, "symbol"):
        return None
    held = [number(each["qty"]) for each in positions if key_of(each) == key_of(row)]
    if len(held) > 1:
        return None
    qty = held[0] if held else Decimal(0)
    if qty is None or not qty.is_finite() or abs(qty) >= QUANTITY_BOUND:
        return None
    return in_units(qty)


def project(row: Row, state: State, known: Known, config: RiskConfig) -> Decimal | None:
    """Give the position that the rule compares with the limit, or None where it can't be had."""
    held = position_held(row, known)
    working = working_quantities(row, known)
    if held is None or working is None or key_of(row) in state.unknown_quantity:
        return None
    if row.get("side") not in ("buy", "sell") or not is_quantity(row.get("qty")):
        return None
    buys = working[0] + state.buys.get(key_of(row), Decimal(0))
    sells = working[1] + state.sells.get(key_of(row), Decimal(0))
    if config.position_projection == "net":
        projected = held + buys - sells + signed_qty(row)
    elif row["side"] == "buy":
        projected = held + buys + signed_qty(row)
    else:
        projected = held - sells + signed_qty(row)
    return projected


def working_quantities(row: Row, known: Known) -> tuple[Decimal, Decimal] | None:
    """Sum the working buys and the working sells of the row's account and symbol.

    None where one of them can't be read, or where a sum is beyond what the engine's integers are meant for.
    """
    if known.working_orders is None:
        return None
    orders = known.working_orders
    if has_null_key(orders, "broker_account_id", "symbol"):
        return None
    sums = {"buy": Decimal(0), "sell": Decimal(0)}
    for order in orders:
        if key_of(order) != key_of(row):
            continue
        qty = number(order["remaining_qty"])
        if order["side"] not in ("buy", "sell") or qty is None or not 0 <= qty < QUANTITY_BOUND:
            return None
        sums[order["side"]] += in_units(qty)
    if max(sums.values()) > LARGEST_SUM:
        return None
    return sums["buy"], sums["sell"]


# The contract of an intent


def is_valid(row: Row) -> bool:
    """Say whether the row keeps the intent contract."""
    return (
        is_text(row.get("strategy_id"))
        and is_text(row.get("broker_account_id"))
        and is_intent_id(row.get("client_intent_id"))
        and one_of(row, "action", {"new", "cancel"}, default="new")
        and one_of(row, "order_type", ORDER_TYPES, default="market")
        and one_of(row, "time_in_force", TIMES_IN_FORCE, default="day")
        and one_of(row, "order_class", ORDER_CLASSES, default="simple")
        and all(is_quantity(row[price]) for price in PRICES if given(row, price))
        and all(is_timestamp(row[when]) for when in ("created_at", "valid_until") if given(row, when))
        and (is_valid_cancel(row) if is_cancel(row) else is_valid_order(row))
    )


def has_come(row: Row, known: Known) -> bool:
    """Say whether the row was created by now, as far as clocks agree."""
    return not given(row, "created_at") or row["created_at"] - known.as_of <= pd.Timedelta(seconds=5)


def is_valid_cancel(row: Row) -> bool:
    return (
        is_intent_id(row.get("target_intent_id"))
        and (not given(row, "symbol") or is_symbol(row["symbol"]))
        and (not given(row, "side") or row["side"] in ("buy", "sell"))
        and all(is_quantity(row[amount]) for amount in ("qty", "notional") if given(row, amount))
    )


def is_valid_order(row: Row) -> bool:
    amounts = [row[amount] for amount in ("qty", "notional") if given(row, amount)]
    return (
        not given(row, "target_intent_id")
        and is_symbol(row.get("symbol"))
        and row.get("side") in ("buy", "sell")
        and len(amounts) == 1
        and is_quantity(amounts[0])
        and has_the_prices_of_its_type(row)
        and has_the_legs_of_its_class(row)
    )


def has_the_prices_of_its_type(row: Row) -> bool:
    order_type = row["order_type"] if given(row, "order_type") else "market"
    trails = given(row, "trail_price") + given(row, "trail_percent")
    return (
        given(row, "limit_price") == (order_type in ("limit", "stop_limit"))
        and given(row, "stop_price") == (order_type in ("stop", "stop_limit"))
        and trails == (1 if order_type == "trailing_stop" else 0)
    )


def has_the_legs_of_its_class(row: Row) -> bool:
    order_class = row["order_class"] if given(row, "order_class") else "simple"
    legs = given(row, "take_profit_limit_price") + given(row, "stop_loss_stop_price")
    if given(row, "stop_loss_limit_price") and not given(row, "stop_loss_stop_price"):
        return False
    return legs == {"simple": 0, "oto": 1, "bracket": 2, "oco": 2}[order_class]


# Words and numbers


def is_cancel(row: Row) -> bool:
    return bool(row.get("action") == "cancel")


def given(row: Row, name: str) -> bool:
    return not is_missing(row.get(name))


def is_missing(value: Any) -> bool:
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def is_text(value: Any, *, longest: int = 128) -> bool:
    if not isinstance(value, str) or not 1 <= len(value) <= longest or value != value.strip():
        return False
    return value.isprintable() and unicodedata.normalize("NFKC", value) == value


def is_symbol(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Z0-9./-]{1,32}", value) is not None


def is_intent_id(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,48}", value) is not None


def one_of(row: Row, name: str, words: set[str], *, default: str) -> bool:
    value = row[name] if given(row, name) else default
    return isinstance(value, str) and value in words


def is_timestamp(value: Any) -> bool:
    return isinstance(value, datetime) and value.tzinfo is not None


def is_quantity(value: Any) -> bool:
    """Say whether ``value`` is a number above 0, below 1e9, of at most 9 decimals and 15 digits."""
    amount = number(value)
    if amount is None or not amount.is_finite() or not 0 < amount < QUANTITY_BOUND:
        return False
    _, digits, exponent = amount.normalize().as_tuple()
    return isinstance(exponent, int) and -exponent <= DECIMALS and len(digits) <= DIGITS


def number(value: Any) -> Decimal | None:
    """Read a number as it would be printed: 0.1 is one tenth. What is missing or no number is None."""
    if is_missing(value) or isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, int | np.integer):
        return Decimal(int(value))
    if isinstance(value, float | np.floating):
        return Decimal(repr(float(value)))
    return None


def exact(value: float) -> Decimal:
    amount = number(value)
    assert amount is not None, value
    return amount


def in_units(qty: Decimal) -> Decimal:
    """Round to the unit that quantities are held in: 1e-9 of a share."""
    return qty.quantize(Decimal("1e-9"))


def signed_qty(row: Row) -> Decimal:
    return exact(row["qty"]) if row["side"] == "buy" else -exact(row["qty"])


def key_of(row: Row) -> tuple[Any, Any]:
    return row.get("broker_account_id"), instrument(row.get("symbol"))


def instrument(symbol: Any) -> Any:
    """Give the one name of an instrument that has several."""
    names = {"BRK/B": "BRK.B", "BRK-B": "BRK.B", "BTCUSD": "BTC/USD", "BTC-USD": "BTC/USD"}
    return names.get(symbol, symbol) if isinstance(symbol, str) else symbol


def records(frame: pd.DataFrame | None) -> list[Row] | None:
    return None if frame is None else [dict(row) for row in frame.to_dict("records")]


def has_null_key(rows: list[Row], *names: str) -> bool:
    return any(is_missing(row[name]) for row in rows for name in names)
