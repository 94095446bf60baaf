"""Placing an order: admit the request, add the order with its legs, send it to the exchange."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from replay.simulator.account.settings import Configurations
from replay.simulator.decimals import ZERO
from replay.simulator.exchange.lifecycle import Lifecycle
from replay.simulator.exchange.matching import Matching
from replay.simulator.intake import messages
from replay.simulator.intake.order_requests import OrderRequest, PatchRequest, check_prices
from replay.simulator.market.sessions import LAST_NS, Session, ending_after
from replay.simulator.market.surroundings import Asset
from replay.simulator.market.tape import Tape
from replay.simulator.orders.ids import Ids
from replay.simulator.orders.index import OrderIndex
from replay.simulator.orders.order import TERMINAL, Group, Intent, Order, Role, Side
from replay.simulator.timestamps import DAY
from replay.simulator.venue.admission import Admission

GOOD_FOR_NS = 90 * DAY


@dataclass(frozen=True, slots=True)
class Placing:
    """Places orders and replacements."""

    admission: Admission
    matching: Matching
    lifecycle: Lifecycle
    index: OrderIndex
    tape: Tape
    ids: Ids

    def place(self, request: OrderRequest, configurations: Configurations, t_ns: int) -> Order:
        """Place an order and return it; raises ``Refusal`` with nothing changed."""
        admission = self.admission
        if configurations.suspend_trade:
            raise messages.SUSPENDED()
        admission.check_client_order_id(request.client_order_id)
        asset = admission.asset(request.symbol)
        if not configurations.fractional_trading and _in_parts(request):
            raise messages.NO_FRACTIONAL()
        admission.check_rules(request, asset, t_ns)
        admission.check_stop(request, asset.symbol, t_ns)
        intent = admission.intent(request, asset.symbol)
        admission.check_class(request, intent, asset.symbol, t_ns)
        admission.check_wash_trade(request, asset.symbol)
        unit = self._check_account(request, asset, intent, configurations, t_ns)
        order = self._order(request, asset, intent, unit, t_ns)
        if request.order_class:
            order.group = Group(self.ids.new(), request.order_class)
            order.role = "take_profit" if request.order_class == "oco" else "entry"
        self.lifecycle.enter(order)
        self.matching.submit(order, t_ns)
        if order.group is not None:
            self._add_legs(order.group, order, request, t_ns)
        return order

    def replace(self, old: Order, patch: PatchRequest, configurations: Configurations, t_ns: int) -> Order:
        """Place an order that replaces another and return it; raises ``Refusal`` with nothing changed."""
        _check_replaceable(old)
        request = _patched(old, patch)
        check_prices(request)
        if request.order_class and request.time_in_force not in {"day", "gtc"}:
            raise messages.COMPLEX_TIME_IN_FORCE()
        if configurations.suspend_trade:
            raise messages.SUSPENDED()
        admission = self.admission
        admission.check_client_order_id(patch.client_order_id)
        admission.check_rules(request, old.asset, t_ns)
        if request.stop_price != old.stop_price:
            admission.check_stop(request, old.symbol, t_ns)
        if old.group is not None and request.qty != old.qty:
            raise messages.COMPLEX_QTY_FIXED()
        unsent = old.status == "held" and not old.active  # a leg that hasn't been sent to the exchange
        if not unsent:
            admission.check_wash_trade(request, old.symbol)
        unit = old.unit_cost
        if old.closing and old.active:
            if request.qty != old.remaining:
                admission.shares_to_close(request, old.symbol, t_ns, released=old.holding)
        elif not old.closing:
            unit = admission.cost_of_a_share_within_means(
                request, old.asset, configurations, t_ns, released=old.reserving
            )
        new = self._order(request, old.asset, old.intent, unit, t_ns)
        new.replaces = old.id
        new.group, new.role = old.group, old.role
        new.hwm = old.hwm
        new.triggered = old.triggered and new.stop_price == old.stop_price
        if unsent:
            self.lifecycle.hold(new, t_ns)
        self.lifecycle.enter_replacement(new, old)
        if unsent:
            self.lifecycle.replace(old, new, t_ns)
        else:
            self.matching.submit_replacement(old, new, t_ns)
        return new

    def _check_account(
        self, request: OrderRequest, asset: Asset, intent: Intent, configurations: Configurations, t_ns: int
    ) -> Decimal:
        """Return ``Order.unit_cost``; raises ``Refusal`` where position or buying power don't suffice."""
        if intent.endswith("close"):
            shares = self.admission.shares_to_close(request, asset.symbol, t_ns)
            return shares if request.qty is None else ZERO
        self.admission.check_opening(request, asset, configurations)
        return self.admission.cost_of_a_share_within_means(request, asset, configurations, t_ns)

    def _order(
        self,
        request: OrderRequest,
        asset: Asset,
        intent: Intent,
        unit_cost: Decimal,
        t_ns: int,
    ) -> Order:
        order = Order(
            id=self.ids.new(),
            client_order_id=request.client_order_id or self.ids.new(),
            sequence=len(self.index.everything),
            asset=asset,
            side=request.side,
            type=request.type,
            time_in_force=request.time_in_force,
            order_class=request.order_class,
            intent=intent,
            notional=request.notional,
            limit_price=request.limit_price,
            stop_price=request.stop_price,
            trail_price=request.trail_price,
            trail_percent=request.trail_percent,
            extended_hours=request.extended_hours,
            created_ns=t_ns,
            expires_ns=_expiry(request, self.matching.day, t_ns),
            unit_cost=unit_cost,
            qty=request.qty,
            updated_ns=t_ns,
            submitted_ns=t_ns,
        )
        if request.type == "trailing_stop":
            order.hwm = self.tape.price(asset.symbol, t_ns)
        return order

    def _add_legs(self, group: Group, parent: Order, request: OrderRequest, t_ns: int) -> None:
        group.members[parent.role or "entry"] = parent
        oco = request.order_class == "oco"
        exit_ = replace(request, side=parent.side if oco else _opposite(parent.side), client_order_id=None)
        if request.take_profit is not None and not oco:
            profit = replace(exit_, type="limit", limit_price=request.take_profit, stop_price=None)
            self._add_leg(group, "take_profit", profit, parent, t_ns)
        if request.stop_loss is not None:
            loss = replace(
                exit_,
                type="stop" if request.stop_loss_limit is None else "stop_limit",
                limit_price=request.stop_loss_limit,
                stop_price=request.stop_loss,
            )
            self._add_leg(group, "stop_loss", loss, parent, t_ns)

    def _add_leg(self, group: Group, role: Role, request: OrderRequest, parent: Order, t_ns: int) -> None:
        intent: Intent = "sell_to_close" if request.side == "sell" else "buy_to_close"
        leg = self._order(request, parent.asset, intent, ZERO, t_ns)
        leg.group, leg.role = group, role
        self.lifecycle.hold(leg, t_ns)
        leg.active = False
        group.members[role] = leg
        self.lifecycle.enter(leg)


def _in_parts(request: OrderRequest) -> bool:
    return request.qty is None or request.qty % 1 != 0


def _opposite(side: Side) -> Side:
    return "sell" if side == "buy" else "buy"


def _expiry(request: OrderRequest, day: Session, t_ns: int) -> int:
    """Return the time at which an unfilled order expires."""
    if request.time_in_force == "gtc":
        return ending_after(min(t_ns + GOOD_FOR_NS, LAST_NS)).close_ns
    if request.time_in_force == "opg":
        return day.open_ns if t_ns < day.open_ns else ending_after(day.post_ns).open_ns
    last_ns = day.post_ns if request.extended_hours else day.close_ns
    if t_ns < last_ns:
        return last_ns
    following = ending_after(day.post_ns)
    return following.post_ns if request.extended_hours else following.close_ns


def _check_replaceable(order: Order) -> None:
    if order.status == "replaced":
        raise messages.ALREADY_REPLACED()
    if order.status in TERMINAL:
        raise messages.ONLY_OPEN_REPLACED()
    if order.status == "accepted":
        raise messages.NOT_SENT_YET()
    if order.status in {"pending_new", "pending_cancel", "pending_replace"}:
        raise messages.CANNOT_REPLACE(order.status)
    if order.notional is not None:
        raise messages.NOTIONAL_REPLACED()


def _patched(old: Order, patch: PatchRequest) -> OrderRequest:
    """Return the old order's request with the changes applied; raises ``Refusal`` where one isn't allowed."""
    if patch.trail is not None and old.type != "trailing_stop":
        raise messages.NO_TRAIL()
    if patch.qty is not None and patch.qty != old.qty and old.fractional:
        raise messages.FRACTIONAL_QTY_FIXED()
    if patch.qty is not None and patch.qty <= old.filled_qty:
        raise messages.QTY_FILLED()
    request = OrderRequest(
        symbol=old.symbol,
        side=old.side,
        type=old.type,
        time_in_force=patch.time_in_force or old.time_in_force,
        qty=patch.qty or old.qty,
        limit_price=patch.limit_price or old.limit_price,
        stop_price=patch.stop_price or old.stop_price,
        trail_price=(patch.trail or old.trail_price) if old.trail_price is not None else None,
        trail_percent=(patch.trail or old.trail_percent) if old.trail_percent is not None else None,
        extended_hours=old.extended_hours,
        client_order_id=patch.client_order_id,
        order_class=old.order_class,
    )
    if (
        request.time_in_force == old.time_in_force
        and request.qty == old.qty
        and request.limit_price == old.limit_price
        and request.stop_price == old.stop_price
        and request.trail_price == old.trail_price
        and request.trail_percent == old.trail_percent
    ):
        raise messages.NOT_CHANGED()
    return request
