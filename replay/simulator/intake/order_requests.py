"""Bodies of POST and PATCH: any JSON value in, a well-formed request out, or a refusal.

Checks that need no account, asset or market are made here; ``admission`` makes the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, cast, get_args

from replay.simulator.decimals import CENT, ZERO, number, places
from replay.simulator.intake import messages
from replay.simulator.orders.order import Intent, OrderClass, Side, TimeInForce, Type

SIDES = frozenset(get_args(Side))
TYPES = frozenset(get_args(Type))
TIMES_IN_FORCE = frozenset(get_args(TimeInForce))
INTENTS = frozenset(get_args(Intent))
CLASSES = frozenset({*get_args(OrderClass), "simple"})

LONGEST_CLIENT_ID = 128
MOST_PLACES = 9
SMALLEST_NOTIONAL = Decimal(1)
SMALLEST_TRAIL_PERCENT = Decimal("0.1")

_DAY_OR_GTC = frozenset({"day", "gtc"})
_AT_AN_AUCTION = frozenset({"market", "limit"})


@dataclass(slots=True)
class OrderRequest:
    """A well-formed request for an order; ``order_class`` is empty for a simple one.

    Never changed; it isn't frozen, as creating a frozen one takes longer than all other parsing of an order.
    """

    symbol: str
    side: Side
    type: Type
    time_in_force: TimeInForce
    qty: Decimal | None = None
    notional: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    extended_hours: bool = False
    client_order_id: str | None = None
    order_class: OrderClass = ""
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None
    stop_loss_limit: Decimal | None = None
    intent: Intent | None = None


@dataclass(frozen=True, slots=True)
class PatchRequest:
    """A well-formed request to replace an order; ``None`` leaves a value as it is."""

    qty: Decimal | None
    time_in_force: TimeInForce | None
    limit_price: Decimal | None
    stop_price: Decimal | None
    trail: Decimal | None
    client_order_id: str | None


def read_order(body: object) -> OrderRequest:
    """Return the request in the body of POST /v2/orders.

    Raises ``Refusal``: 400 for a value of the wrong type or not a number, 422 for one that isn't accepted.
    """
    values = _object(body)
    order_class, type_ = _class(values), cast(Type, _text(values, "type"))
    limit_price, exits = _number(values, "limit_price"), _exits(values)
    if not order_class:
        exits = _Exits(None, None, None)  # Alpaca accepts them without a word, and never sends them
    elif order_class == "oco" and type_ == "limit" and exits.take_profit is not None:
        limit_price = exits.take_profit
    request = OrderRequest(
        symbol=_text(values, "symbol") or "",
        side=cast(Side, _text(values, "side")),
        type=type_,
        time_in_force=cast(TimeInForce, _text(values, "time_in_force")),
        qty=_number(values, "qty"),
        notional=_number(values, "notional"),
        limit_price=limit_price,
        stop_price=_number(values, "stop_price"),
        trail_price=_number(values, "trail_price"),
        trail_percent=_number(values, "trail_percent"),
        extended_hours=_flag(values, "extended_hours"),
        client_order_id=_client_order_id(values),
        order_class=order_class,
        take_profit=exits.take_profit,
        stop_loss=exits.stop_loss,
        stop_loss_limit=exits.stop_loss_limit,
        intent=cast("Intent | None", _text(values, "position_intent") or None),
    )
    _check_words(request)
    _check_size(request)
    check_prices(request)
    _check_class(request)
    return request


def read_patch(body: object) -> PatchRequest:
    """Return the request in the body of PATCH /v2/orders/{id}; raises ``Refusal`` as ``read_order`` does."""
    values = _object(body)
    time_in_force = _text(values, "time_in_force") or None
    if time_in_force is not None and time_in_force not in TIMES_IN_FORCE:
        raise messages.BAD_TIME_IN_FORCE()
    if values.get("notional") is not None:
        raise messages.NOTIONAL_NOT_ACCEPTED()
    request = PatchRequest(
        qty=_number(values, "qty"),
        time_in_force=cast("TimeInForce | None", time_in_force),
        limit_price=_number(values, "limit_price"),
        stop_price=_number(values, "stop_price"),
        trail=_number(values, "trail"),
        client_order_id=_client_order_id(values),
    )
    if request.qty is not None and request.qty <= ZERO:
        raise messages.QTY_NOT_POSITIVE()
    if request.qty is not None and places(request.qty):
        raise messages.WHOLE_SHARES_ONLY()
    _check_positive(request.limit_price, request.stop_price)
    if request.trail is not None and request.trail <= ZERO:
        raise messages.TRAIL_NOT_POSITIVE()
    return request


def _check_words(request: OrderRequest) -> None:
    if not request.symbol:
        raise messages.SYMBOL_MISSING()
    if request.qty is None and request.notional is None:
        raise messages.QTY_OR_NOTIONAL()
    if request.side not in SIDES:
        raise messages.BAD_SIDE()
    if request.type not in TYPES:
        raise messages.BAD_TYPE()
    if request.time_in_force not in TIMES_IN_FORCE:
        raise messages.BAD_TIME_IN_FORCE()
    if request.intent is not None and request.intent not in INTENTS:
        raise messages.BAD_INTENT()


def _check_size(request: OrderRequest) -> None:
    qty, notional = request.qty, request.notional
    if qty is not None and notional is not None:
        raise messages.QTY_AND_NOTIONAL()
    if qty is not None and qty <= ZERO:
        raise messages.QTY_NOT_POSITIVE()
    if qty is not None and places(qty) > MOST_PLACES:
        raise messages.QTY_TOO_FINE()
    if notional is not None and notional < SMALLEST_NOTIONAL:
        raise messages.NOTIONAL_SMALL()
    if notional is not None and notional % CENT:
        raise messages.NOTIONAL_PLACES()


def check_prices(request: OrderRequest) -> None:
    """Raise ``Refusal`` for prices that are missing, don't belong to the order type, or aren't positive."""
    limit, stop = request.limit_price is not None, request.stop_price is not None
    trails = (request.trail_price is not None) + (request.trail_percent is not None)
    match request.type:
        case "market" if limit or stop or trails:
            raise messages.MARKET_ORDER_PRICES()
        case "limit" if not limit or stop or trails:
            raise messages.LIMIT_ORDER_PRICES()
        case "stop" if not stop or limit or trails:
            raise messages.STOP_ORDER_PRICES()
        case "stop_limit" if not (limit and stop) or trails:
            raise messages.STOP_LIMIT_PRICES()
        case "trailing_stop" if trails != 1 or limit or stop:
            raise messages.TRAIL_ONE_OF()
        case _:
            pass
    _check_positive(request.limit_price, request.stop_price)
    if request.trail_price is not None and request.trail_price <= ZERO:
        raise messages.TRAIL_NOT_POSITIVE()
    if request.trail_percent is not None and request.trail_percent < SMALLEST_TRAIL_PERCENT:
        raise messages.TRAIL_PERCENT_SMALL()
    if request.extended_hours and (request.type != "limit" or request.time_in_force not in _DAY_OR_GTC):
        raise messages.EXTENDED_HOURS()
    if request.type not in _AT_AN_AUCTION and request.time_in_force not in _DAY_OR_GTC:
        raise messages.BAD_TIME_IN_FORCE()


def _check_positive(limit_price: Decimal | None, stop_price: Decimal | None) -> None:
    if limit_price is not None and limit_price <= ZERO:
        raise messages.LIMIT_NOT_POSITIVE()
    if stop_price is not None and stop_price <= ZERO:
        raise messages.STOP_NOT_POSITIVE()


def _check_class(request: OrderRequest) -> None:
    profit, loss = request.take_profit is not None, request.stop_loss is not None
    match request.order_class:
        case "":
            return
        case "bracket" if request.type not in _AT_AN_AUCTION:
            raise messages.BRACKET_TYPES()
        case "oco" if request.type != "limit":
            raise messages.OCO_TYPE()
        case "bracket" | "oco" if not profit:
            raise messages.TAKE_PROFIT_MISSING(request.order_class)
        case "bracket" | "oco" if not loss:
            raise messages.STOP_LOSS_MISSING(request.order_class)
        case "oto" if profit == loss:
            raise messages.OTO_ONE_LEG()
        case _:
            pass
    for name, price in (
        ("take_profit.limit_price", request.take_profit),
        ("stop_loss.stop_price", request.stop_loss),
        ("stop_loss.limit_price", request.stop_loss_limit),
    ):
        if price is not None and price <= ZERO:
            raise messages.LEG_NOT_POSITIVE(name)
    if request.time_in_force not in _DAY_OR_GTC:
        raise messages.COMPLEX_TIME_IN_FORCE()
    if request.extended_hours:
        raise messages.COMPLEX_EXTENDED()


class _Exits(NamedTuple):
    take_profit: Decimal | None
    stop_loss: Decimal | None
    stop_loss_limit: Decimal | None


def _exits(values: Mapping[str, object]) -> _Exits:
    profit, loss = _part(values, "take_profit"), _part(values, "stop_loss")
    return _Exits(_number(profit, "limit_price"), _number(loss, "stop_price"), _number(loss, "limit_price"))


def _object(body: object) -> Mapping[str, object]:
    if not isinstance(body, dict):
        raise messages.BAD_BODY()
    return cast(Mapping[str, object], body)


def _part(values: Mapping[str, object], name: str) -> Mapping[str, object]:
    part = values.get(name)
    return {} if part is None else _object(part)


def _text(values: Mapping[str, object], name: str) -> str | None:
    value = values.get(name)
    if value is None or isinstance(value, str):
        return value
    raise messages.BAD_BODY()


def _number(values: Mapping[str, object], name: str) -> Decimal | None:
    value = values.get(name)
    if value is None or value == "":
        return None
    decimal = number(value)
    if decimal is None:
        raise messages.BAD_BODY()
    return decimal


def _flag(values: Mapping[str, object], name: str) -> bool:
    value = values.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise messages.BAD_BODY()


def _class(values: Mapping[str, object]) -> OrderClass:
    word = _text(values, "order_class") or ""
    if word == "mleg":
        raise messages.NO_MLEG()
    if word not in CLASSES:
        raise messages.BAD_CLASS()
    return "" if word == "simple" else cast(OrderClass, word)


def _client_order_id(values: Mapping[str, object]) -> str | None:
    text = _text(values, "client_order_id")
    if not text:
        return None
    if len(text) > LONGEST_CLIENT_ID:
        raise messages.ID_TOO_LONG()
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        raise messages.BAD_BODY() from None
    return text
