"""The rules for accepting a well-formed order that need the account, the asset, the market or the time.

``Placing`` applies them in a fixed order, and the first broken rule is the reply. Nothing is changed.
"""

from __future__ import annotations

import re
from decimal import Decimal

from engine.model.symbols import is_currency_pair
from replay.simulator.account.book import Book
from replay.simulator.account.settings import Configurations
from replay.simulator.account.standing import Standing
from replay.simulator.decimals import CENT, ONE, ZERO, is_whole, plain, plus, shares_for, tick, times
from replay.simulator.intake import messages
from replay.simulator.intake.order_requests import OrderRequest
from replay.simulator.intake.refusal import Refusal
from replay.simulator.market.sessions import number_begun, session_number
from replay.simulator.market.surroundings import Asset, Assets
from replay.simulator.market.tape import Tape
from replay.simulator.orders.index import WASH_EXEMPT_CLASSES, OrderIndex
from replay.simulator.orders.order import Intent, Side
from replay.simulator.timestamps import SECOND

SHORT_SALE_MARGIN = Decimal(
    "1.03"
)  # S: a short sale is valued at 3 % above the ask, or at its limit price if higher
LEAST_COST = ONE

_OPTION = re.compile(r"[A-Z]{1,6}\d{6}[CP]\d{8}", re.ASCII)
_MINUTE = 60 * SECOND
_OPG_ENDS_BEFORE_OPEN = 2 * _MINUTE
_CLS_ENDS_BEFORE_CLOSE = 10 * _MINUTE
_FROM_PRE_TO_SEVEN_PM = 15 * 60 * _MINUTE  # on half days too, when extended hours have long ended
_AUCTIONS = frozenset({"opg", "cls"})
_FRACTIONAL_TYPES = frozenset({"market", "limit", "stop", "stop_limit"})


class Admission:
    """The rules for accepting an order."""

    def __init__(self, assets: Assets, tape: Tape, book: Book, index: OrderIndex, standing: Standing) -> None:
        self.assets = assets
        self._tape = tape
        self._book = book
        self._index = index
        self._standing = standing

    def asset(self, symbol: str) -> Asset:
        """Return the asset of an order; raises ``Refusal`` if it is unknown or doesn't trade."""
        asset = self.assets.get(symbol)
        if asset is None or not self._tape.knows(asset.symbol):
            raise _unknown(symbol)
        if asset.status != "active":
            raise messages.NOT_ACTIVE(asset.symbol)
        if not asset.tradable:
            raise messages.NOT_TRADABLE(asset.symbol)
        return asset

    def check_client_order_id(self, client_order_id: str | None) -> None:
        """Refuse a client id that any order of the account has had."""
        if client_order_id is not None and client_order_id in self._index.by_client_order_id:
            raise messages.NOT_UNIQUE()

    def check_rules(self, request: OrderRequest, asset: Asset, t_ns: int) -> None:
        """Refuse an order that the asset, the price increments or the time of day rule out."""
        _check_fractions(request, asset)
        _check_increments(request)
        _check_window(request, t_ns)

    def check_wash_trade(self, request: OrderRequest, symbol: str) -> None:
        """Refuse an order that could trade with an open order of the account (S, user-protection)."""
        if request.order_class in WASH_EXEMPT_CLASSES or request.type == "trailing_stop":
            return
        existing = self._index.opposite_at_any_price(symbol, request.side)
        reason = messages.WASH_MARKET_OR_STOP
        if existing is None and request.type in {"market", "stop"}:
            existing = self._index.opposite_limit(symbol, request.side, None)
            reason = messages.WASH_LIMIT
        if existing is None and request.limit_price is not None:
            existing = self._index.opposite_limit(symbol, request.side, request.limit_price)
            reason = messages.WASH_LIMIT
        if existing is not None:
            raise messages.WASH_TRADE(existing_order_id=existing.id, reject_reason=reason)

    def intent(self, request: OrderRequest, symbol: str) -> Intent:
        """Return the inferred intent of an order; raises ``Refusal`` if the request states another."""
        position = self._book.position(symbol)
        inferred: Intent
        if request.side == "buy":
            inferred = "buy_to_close" if position is not None and position.qty < ZERO else "buy_to_open"
        else:
            inferred = "sell_to_close" if position is not None and position.qty > ZERO else "sell_to_open"
        if request.intent is not None and request.intent != inferred:
            raise messages.INTENT_MISMATCH(inferred, request.intent)
        return inferred

    def check_class(self, request: OrderRequest, intent: Intent, symbol: str, t_ns: int) -> None:
        """Refuse a closing bracket, an opening oco, and legs on the wrong side of the price."""
        closes = intent.endswith("close")
        if request.order_class == "":
            return
        if request.order_class == "oco":
            if not closes:
                raise messages.OCO_EXIT()
            base, exit_side = request.limit_price or ZERO, request.side
            if request.stop_loss is not None:
                _check_beyond("stop_loss.stop_price", request.stop_loss, base, below=exit_side == "sell")
            return
        if closes:
            raise messages.BRACKET_ENTRY()
        base = request.limit_price or request.stop_price or self._tape.price(symbol, t_ns)
        sells = request.side == "buy"
        if request.take_profit is not None:
            _check_beyond("take_profit.limit_price", request.take_profit, base, below=not sells)
        if request.stop_loss is not None:
            _check_beyond("stop_loss.stop_price", request.stop_loss, base, below=sells)

    def shares_to_close(
        self, request: OrderRequest, symbol: str, t_ns: int, released: Decimal = ZERO
    ) -> Decimal:
        """Return the shares that a closing order needs; raises ``Refusal`` if fewer are available.

        ``released``: the shares reserved by the order that this one replaces.
        """
        requested = request.qty
        if requested is None:
            price = request.limit_price or self._taking_price(request.side, symbol, t_ns)
            requested = shares_for(request.notional or ZERO, price)
        position = self._book.position(symbol)
        available = ZERO if position is None else position.available + released
        if requested > available:
            raise self.too_few(symbol, requested, available)
        return requested

    def too_few(self, symbol: str, requested: Decimal, available: Decimal) -> Refusal:
        """Return the refusal of an order for more shares than the position has available."""
        position = self._book.position(symbol)
        existing, held = (ZERO, ZERO) if position is None else (position.qty, position.held)
        related = [order.id for order in self._index.open_orders(symbol) if order.holding]
        more = {"related_orders": related} if related else {}
        return messages.NO_QTY(
            plain(requested),
            plain(available),
            available=plain(available),
            existing_qty=plain(existing),
            held_for_orders=plain(held),
            symbol=symbol,
            **more,
        )

    def check_opening(self, request: OrderRequest, asset: Asset, configurations: Configurations) -> None:
        """Refuse a short sale that isn't allowed, and opening orders on both sides of a symbol."""
        opposite = self._opening_order_against(request.side, asset.symbol)
        if request.side == "buy":
            if opposite:
                raise messages.BUY_WHILE_SHORTING()
            return
        if request.qty is None or not is_whole(request.qty):
            raise messages.FRACTIONAL_SHORT()
        if not self._standing.may_short(configurations):
            raise messages.NO_SHORTING()
        if not asset.shortable:
            raise messages.NOT_SHORTABLE(asset.symbol)
        if opposite:
            raise messages.SHORT_WHILE_BUYING()

    def _cost_of_a_share(self, request: OrderRequest, symbol: str, t_ns: int) -> Decimal:
        if request.side == "sell":
            short = self._tape.ask(symbol, t_ns) * SHORT_SALE_MARGIN
            return max(short, request.limit_price or ZERO)
        if request.limit_price is not None:
            return request.limit_price
        return max(self._tape.ask(symbol, t_ns), request.stop_price or ZERO)

    def cost_of_a_share_within_means(
        self,
        request: OrderRequest,
        asset: Asset,
        configurations: Configurations,
        t_ns: int,
        released: Decimal = ZERO,
    ) -> Decimal:
        """Return the price per share at which an opening order is valued.

        Raises ``Refusal`` if the order costs more than the buying power, or less than a dollar.
        """
        unit_cost = self._cost_of_a_share(request, asset.symbol, t_ns)
        cost = times(unit_cost, request.qty) if request.qty is not None else request.notional or ZERO
        if cost < LEAST_COST and request.qty is not None and not is_whole(request.qty):
            raise messages.COST_BASIS_SMALL()
        standing = self._standing
        buying_power = standing.buying_power(configurations, t_ns)
        if not asset.marginable:
            buying_power = min(buying_power, standing.uninvested_cash())
        buying_power = plus(buying_power, released)
        if cost > buying_power:
            raise messages.NO_BUYING_POWER(buying_power=plain(buying_power), cost_basis=plain(cost))
        return unit_cost

    def _opening_order_against(self, side: Side, symbol: str) -> bool:
        if self._book.position(symbol) is not None:
            return False
        return any(order.side != side and not order.closing for order in self._index.open_orders(symbol))

    def _taking_price(self, side: Side, symbol: str, t_ns: int) -> Decimal:
        return self._tape.ask(symbol, t_ns) if side == "buy" else self._tape.bid(symbol, t_ns)

    def check_stop(self, request: OrderRequest, symbol: str, t_ns: int) -> None:
        """Refuse a stop price that the market has already reached."""
        if request.stop_price is None:
            return
        price = self._tape.price(symbol, t_ns)
        more = {"market_price": plain(price), "stop_price": plain(request.stop_price)}
        if request.side == "sell" and request.stop_price >= price:
            raise messages.STOP_NOT_BELOW(**more)
        if request.side == "buy" and request.stop_price <= price:
            raise messages.STOP_NOT_ABOVE(**more)


def _unknown(symbol: str) -> Refusal:
    if _OPTION.fullmatch(symbol.upper()):
        return messages.NO_OPTIONS(symbol)
    if is_currency_pair(symbol):
        return messages.NO_CRYPTO(symbol)
    return messages.ASSET_NOT_FOUND_FOR_ORDER(symbol)


def _check_fractions(request: OrderRequest, asset: Asset) -> None:
    if request.qty is not None and is_whole(request.qty):
        return
    if request.time_in_force != "day":
        raise messages.FRACTIONAL_DAY()
    if request.order_class:
        raise messages.FRACTIONAL_SIMPLE()
    if request.type not in _FRACTIONAL_TYPES:
        raise messages.FRACTIONAL_TYPES()
    if not asset.fractionable:
        raise messages.NOT_FRACTIONABLE(asset.symbol)


def _check_increments(request: OrderRequest) -> None:
    if request.type == "market" and not request.order_class:
        return
    for name, price in (
        ("limit_price", request.limit_price),
        ("stop_price", request.stop_price),
        ("take_profit.limit_price", request.take_profit),
        ("stop_loss.stop_price", request.stop_loss),
        ("stop_loss.limit_price", request.stop_loss_limit),
    ):
        if price is not None and price % tick(price):
            raise messages.SUB_PENNY(name, plain(price))


def _check_window(request: OrderRequest, t_ns: int) -> None:
    if request.time_in_force not in _AUCTIONS:
        return
    day = session_number(number_begun(t_ns))
    if t_ns >= day.pre_ns + _FROM_PRE_TO_SEVEN_PM:
        return
    if request.time_in_force == "opg" and t_ns >= day.open_ns - _OPG_ENDS_BEFORE_OPEN:
        raise messages.OPG_WINDOW()
    if request.time_in_force == "cls" and t_ns >= day.close_ns - _CLS_ENDS_BEFORE_CLOSE:
        raise messages.CLS_WINDOW()


def _check_beyond(name: str, price: Decimal, base: Decimal, *, below: bool) -> None:
    if below and price > base - CENT:
        raise messages.LEG_BELOW_BASE(name, base_price=plain(base))
    if not below and price < base + CENT:
        raise messages.LEG_ABOVE_BASE(name, base_price=plain(base))
