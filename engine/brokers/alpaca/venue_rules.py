"""Orders that Alpaca never accepts, whatever the account and market: refused before sending, with a remedy.

``RULES`` is the complete list; which kinds of orders there are is in ``supported``. Sources: Alpaca's pages
"Orders at Alpaca" and "Fractional Trading", its OpenAPI document, and its replies where a rule is broken.
Rules that depend on position, price or time of day are left to Alpaca.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal

from engine.brokers.alpaca.orders import decimal_text
from engine.brokers.alpaca.supported import ASSET_CLASSES, Kind, kinds_of
from engine.model.orders import OrderIntent
from engine.model.symbols import is_currency_pair

Rule = Callable[[OrderIntent], str]

_PRICES = (
    "limit_price",
    "stop_price",
    "take_profit_limit_price",
    "stop_loss_stop_price",
    "stop_loss_limit_price",
    "trail_price",
)
_NUMBERS = ("qty", "notional", "trail_percent", *_PRICES)
_CENT, _HUNDREDTH_OF_A_CENT = Decimal("0.01"), Decimal("0.0001")
_BILLIONTH = Decimal("1e-9")
_UNSUPPORTED = {"CRYPTO": "crypto", "OPTION": "option", "OPTIONS": "option"}
_OPTION = re.compile(r"[A-Z]{1,6}\d{6}[CP]\d{8}", re.ASCII)


def why_alpaca_would_refuse(intent: OrderIntent) -> str | None:
    """Return which rule an order breaks, with the remedy; None where it breaks none, and for a cancel.

    ``intent`` must be well-formed by the contract of intents.
    """
    if intent.action == "cancel":
        return None
    return next((why for rule in RULES if (why := rule(intent))), None)


def asset_class_not_supported(intent: OrderIntent) -> str:
    """US shares and funds only: crypto pairs and options have other rules, which are not implemented."""
    supported = f"Supported are shares and funds of US exchanges, asset_class {' or '.join(ASSET_CLASSES)}"
    if intent.asset_class not in ASSET_CLASSES:
        kind = _UNSUPPORTED.get(intent.asset_class.removeprefix("US_"), "such")
        return (
            f"asset_class is {intent.asset_class!r}; {kind} orders are not supported. {supported}. Place it "
            f"elsewhere, or correct asset_class."
        )
    what, kind = ("an option contract", "option") if _OPTION.fullmatch(intent.symbol) else ("", "")
    if is_currency_pair(intent.symbol):
        what, kind = "a currency pair", "crypto"
    if not kind:
        return ""
    return (
        f"symbol is {intent.symbol!r}, {what}; {kind} orders are not supported. {supported}. Place it "
        f"elsewhere, or correct the symbol."
    )


def number_not_finite(intent: OrderIntent) -> str:
    """Finite numbers only: a decimal can't express NaN and infinity."""
    for name in _NUMBERS:
        value = getattr(intent, name)
        if value is not None and not math.isfinite(value):
            return f"{name} is {value}; expected a finite number. Correct it, or leave it out."
    return ""


def qty_too_fine(intent: OrderIntent) -> str:
    """At most nine decimals. Source: Fractional Trading; ``qty`` in the OpenAPI document."""
    if intent.qty is None or not _decimal(intent.qty) % _BILLIONTH:
        return ""
    return f"qty is {decimal_text(intent.qty)}; Alpaca takes at most 9 decimals. Round it."


def notional_not_in_cents(intent: OrderIntent) -> str:
    """At least one dollar, whole cents. Source: Fractional Trading; 422 "notional must be >= 1.00"."""
    if intent.notional is None:
        return ""
    notional = _decimal(intent.notional)
    if notional >= 1 and not notional % _CENT:
        return ""
    return (
        f"notional is {decimal_text(intent.notional)}; Alpaca takes whole cents from 1 USD on. "
        f"Round it, or give a qty."
    )


def fraction_not_plain(intent: OrderIntent) -> str:
    """Fractions and notional: day only, simple only, no trailing stop. Source: Fractional Trading."""
    if intent.notional is None and (intent.qty is None or not _decimal(intent.qty) % 1):
        return ""
    what = "a notional" if intent.notional is not None else "a fraction of a share"
    whole = "give a qty in whole shares"
    if intent.time_in_force != "day":
        return f"time_in_force is {intent.time_in_force} with {what}; Alpaca takes day. Set day, or {whole}."
    if intent.order_class != "simple":
        return (
            f"order_class is {intent.order_class} with {what}; Alpaca takes simple only. "
            f"Set simple, or {whole}."
        )
    kind = _kind_of(intent)
    if kind is not None and not kind.fractions:
        types = " or ".join(name for name, one in kinds_of(intent.order_class).items() if one.fractions)
        wrong = f"order_type is {intent.order_type} with {what}"
        return f"{wrong}; Alpaca takes {types}. Set one of them, or {whole}."
    return ""


def price_too_fine(intent: OrderIntent) -> str:
    """Two decimals from 1 USD up, four below. Source: Orders at Alpaca, "Sub-penny increments"; Rule 612."""
    for name in _PRICES:
        value = getattr(intent, name)
        if value is None:
            continue
        price = _decimal(value)
        step = _CENT if price >= 1 else _HUNDREDTH_OF_A_CENT
        if price % step:
            return (
                f"{name} is {decimal_text(value)}; Alpaca takes steps of {step} "
                f"{'from 1 USD on' if price >= 1 else 'below 1 USD'}. Round it."
            )
    return ""


def trail_too_small(intent: OrderIntent) -> str:
    """At least 0.1 percent. Source: 422 "trail_percent must be greater than or equal to 0.1"."""
    if intent.trail_percent is None or _decimal(intent.trail_percent) >= Decimal("0.1"):
        return ""
    return f"trail_percent is {decimal_text(intent.trail_percent)}; Alpaca takes 0.1 and more. Raise it."


def time_in_force_not_for_type(intent: OrderIntent) -> str:
    """Stop orders: day or gtc only. Source: Orders at Alpaca, "Order Types vs Supported Time in Force"."""
    kind = kinds_of("simple").get(intent.order_type)
    if kind is None or intent.time_in_force in kind.times_in_force:
        return ""
    return (
        f"time_in_force is {intent.time_in_force} with order_type {intent.order_type}; Alpaca takes "
        f"{' or '.join(kind.times_in_force)}. Set one of them, or order_type to market or limit."
    )


def extended_hours_not_for_order(intent: OrderIntent) -> str:
    """Simple limit orders only, day or gtc. Source: ``extended_hours`` in the OpenAPI document.

    No groups: "Bracket Orders" in "Orders at Alpaca".
    """
    kind = _kind_of(intent)
    taken = kind is not None and kind.extended_hours and intent.time_in_force in {"day", "gtc"}
    if not intent.extended_hours or taken:
        return ""
    return (
        f"extended_hours is true with order_type {intent.order_type}, time_in_force {intent.time_in_force} "
        f"and order_class {intent.order_class}; Alpaca takes it for limit, day or gtc, and simple. Set "
        f"these, or leave it out."
    )


def group_time_in_force(intent: OrderIntent) -> str:
    """Groups: day or gtc only. Source: Orders at Alpaca, "Bracket Orders", "OTO Orders" (the same)."""
    kinds = kinds_of(intent.order_class).values()
    taken = list(dict.fromkeys(time for kind in kinds for time in kind.times_in_force))
    if intent.order_class == "simple" or intent.time_in_force in taken:
        return ""
    return (
        f"time_in_force is {intent.time_in_force} with order_class {intent.order_class}; Alpaca takes "
        f"{' or '.join(taken)}. Set one of them."
    )


def group_type(intent: OrderIntent) -> str:
    """Bracket: market or limit; oco: limit; oto: no trailing stop. Source: Orders at Alpaca.

    "OCO Orders" and "Trailing Stop Orders" there; 422 "bracket orders must be market or limit orders".
    """
    taken = kinds_of(intent.order_class)
    if intent.order_class == "simple" or intent.order_type in taken:
        return ""
    return (
        f"order_type is {intent.order_type} with order_class {intent.order_class}; Alpaca takes "
        f"{' or '.join(taken)} for it. Set {'that' if len(taken) == 1 else 'one of them'}."
    )


def exit_without_class(intent: OrderIntent) -> str:
    """Exits need an order class. Source: orders with take_profit and no order_class, which Alpaca accepted.

    It ignored the exit: what was meant to be a group was an order alone.
    """
    names = ("take_profit_limit_price", "stop_loss_stop_price", "stop_loss_limit_price")
    given = [name for name in names if getattr(intent, name) is not None]
    if intent.order_class != "simple" or not given:
        return ""
    return (
        f"{given[0]} is {decimal_text(getattr(intent, given[0]))} with order_class simple; Alpaca would "
        f"place the order and ignore the exit. Set order_class to bracket, oto or oco, or leave {given[0]} "
        f"out."
    )


def oco_with_two_limits(intent: OrderIntent) -> str:
    """The limit price of an oco is its take-profit price. Source: Orders at Alpaca, "OCO Orders"."""
    if intent.order_class != "oco" or intent.limit_price in {None, intent.take_profit_limit_price}:
        return ""
    return (
        f"limit_price is {intent.limit_price}, take_profit_limit_price {intent.take_profit_limit_price}; "
        f"in an oco they are the same price. Give both the same value."
    )


def leg_on_wrong_side(intent: OrderIntent) -> str:
    """Exit prices are at least a cent from the entry price, on the right side. Source: Orders at Alpaca.

    "Bracket Orders", and "Threshold on stop price of stop-loss orders": the base price is the take-profit of
    an oco, and else the limit of the entry, where it has one; 422 "stop_loss.stop_price must be <= base_price
    - 0.01".
    """
    profit, loss = intent.take_profit_limit_price, intent.stop_loss_stop_price
    if intent.order_class == "simple":
        return ""
    is_oco = intent.order_class == "oco"
    entry = None if is_oco else intent.limit_price or intent.stop_price
    entry_name = "limit_price" if intent.limit_price else "stop_price"
    buys = (intent.side == "buy") != is_oco  # an oco closes what the other side opened
    for upper, upper_name, lower, lower_name in (
        (profit, "take_profit_limit_price", entry, entry_name),
        (entry, entry_name, loss, "stop_loss_stop_price"),
        (profit, "take_profit_limit_price", loss, "stop_loss_stop_price"),
    ):
        if upper is None or lower is None:
            continue
        distance = _decimal(upper) - _decimal(lower)
        if (distance if buys else -distance) < _CENT:
            return (
                f"{upper_name} is {decimal_text(upper)} and {lower_name} {decimal_text(lower)}; to "
                f"{intent.side}, order_class {intent.order_class} needs the first 0.01 or more "
                f"{'above' if buys else 'below'} the second. Move one of them."
            )
    return ""


RULES: tuple[Rule, ...] = (
    asset_class_not_supported,
    number_not_finite,
    qty_too_fine,
    notional_not_in_cents,
    fraction_not_plain,
    price_too_fine,
    trail_too_small,
    time_in_force_not_for_type,
    extended_hours_not_for_order,
    group_time_in_force,
    group_type,
    exit_without_class,
    oco_with_two_limits,
    leg_on_wrong_side,
)
"""Checked in this order; the first broken rule is reported."""


def _decimal(value: float) -> Decimal:
    return Decimal(decimal_text(value))


def _kind_of(intent: OrderIntent) -> Kind | None:
    return kinds_of(intent.order_class).get(intent.order_type)
