"""An order: its terms, its state, and its JSON body."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from replay.simulator.decimals import EXACT, ZERO, is_whole, plain, plain_or_none, ratio, times
from replay.simulator.market.surroundings import Asset
from replay.simulator.timestamps import written, written_or_none

Side = Literal["buy", "sell"]
Type = Literal["market", "limit", "stop", "stop_limit", "trailing_stop"]
TimeInForce = Literal["day", "gtc", "opg", "cls", "ioc", "fok"]
OrderClass = Literal["", "bracket", "oco", "oto"]
Intent = Literal["buy_to_open", "buy_to_close", "sell_to_open", "sell_to_close"]
Role = Literal["entry", "take_profit", "stop_loss"]
Status = Literal[
    "pending_new",
    "accepted",
    "new",
    "held",
    "partially_filled",
    "pending_cancel",
    "pending_replace",
    "filled",
    "canceled",
    "expired",
    "rejected",
    "replaced",
]
TERMINAL = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})

_AVERAGE_STEP = Decimal("1e-9")
_PERCENT = Decimal(100)


@dataclass(slots=True)
class Order:
    """One order; the first block of fields never changes, the second is its state.

    ``sequence``: its number among all orders of the account. ``holding``: the shares of the position that it
    reserves; ``reserving``: the buying power that it reserves. ``unit_cost``: the valuation of one share of
    an opening order, or the expected shares of a closing order by notional. ``active``: neither a leg that is
    not activated yet nor a pending replacement. ``watch`` is incremented whenever the awaited price or event
    changes, so that earlier entries are known to be stale.
    """

    id: str
    client_order_id: str
    sequence: int
    asset: Asset
    side: Side
    type: Type
    time_in_force: TimeInForce
    order_class: OrderClass
    intent: Intent
    notional: Decimal | None
    limit_price: Decimal | None
    stop_price: Decimal | None
    trail_price: Decimal | None
    trail_percent: Decimal | None
    extended_hours: bool
    created_ns: int
    expires_ns: int
    unit_cost: Decimal
    replaces: str | None = None

    qty: Decimal | None = None
    status: Status = "pending_new"
    updated_ns: int = 0
    submitted_ns: int = 0
    filled_qty: Decimal = ZERO
    filled_value: Decimal = ZERO
    hwm: Decimal | None = None
    filled_ns: int | None = None
    expired_ns: int | None = None
    canceled_ns: int | None = None
    failed_ns: int | None = None
    replaced_ns: int | None = None
    replaced_by: str | None = None
    group: Group | None = None
    role: Role | None = None
    triggered: bool = False
    routed: bool = False
    active: bool = True
    watch: int = 0
    holding: Decimal = ZERO
    reserving: Decimal = ZERO

    @property
    def symbol(self) -> str:
        """The symbol of its asset."""
        return self.asset.symbol

    @property
    def open(self) -> bool:
        """Whether it is not terminal."""
        return self.status not in TERMINAL

    @property
    def closing(self) -> bool:
        """Whether it reduces a position."""
        return self.intent.endswith("close")

    @property
    def remaining(self) -> Decimal:
        """The unfilled shares; zero for an order by notional."""
        return ZERO if self.qty is None else max(ZERO, self.qty - self.filled_qty)

    @property
    def remaining_notional(self) -> Decimal:
        """The USD of an order by notional that have not traded; zero for any other."""
        return ZERO if self.notional is None else max(ZERO, self.notional - self.filled_value)

    @property
    def fractional(self) -> bool:
        """Whether it is for a fraction of a share."""
        return self.qty is None or not is_whole(self.qty)

    def trailing_stop(self) -> Decimal | None:
        """Return the stop price that follows from the high-water mark, unrounded."""
        if self.hwm is None:
            return None
        distance = self.trail_price
        if distance is None:
            distance = EXACT.divide(times(self.hwm, self.trail_percent or ZERO), _PERCENT)
        return self.hwm - distance if self.side == "sell" else self.hwm + distance

    def average_price(self) -> Decimal | None:
        """Return the average price of its fills to nine decimals, None without fills."""
        return ratio(self.filled_value, self.filled_qty, _AVERAGE_STEP) if self.filled_qty else None

    def body(self, *, legs: bool = False) -> dict[str, Any]:
        """Return Alpaca's JSON object; ``legs``: include the legs of a complex order."""
        stop = self.stop_price if self.type != "trailing_stop" else self.trailing_stop()
        body: dict[str, Any] = {
            "id": self.id,
            "client_order_id": self.client_order_id,
            "created_at": written(self.created_ns),
            "updated_at": written(self.updated_ns),
            "submitted_at": written(self.submitted_ns),
            "filled_at": written_or_none(self.filled_ns),
            "expired_at": written_or_none(self.expired_ns),
            "expires_at": written(self.expires_ns),
            "canceled_at": written_or_none(self.canceled_ns),
            "failed_at": written_or_none(self.failed_ns),
            "replaced_at": written_or_none(self.replaced_ns),
            "replaced_by": self.replaced_by,
            "replaces": self.replaces,
            "asset_id": self.asset.id,
            "symbol": self.asset.symbol,
            "asset_class": "us_equity",
            "notional": plain_or_none(self.notional),
            "qty": plain_or_none(self.qty),
            "filled_qty": plain(self.filled_qty),
            "filled_avg_price": plain_or_none(self.average_price()),
            "order_class": self.order_class,
            "order_type": self.type,
            "type": self.type,
            "side": self.side,
            "position_intent": self.intent,
            "time_in_force": self.time_in_force,
            "limit_price": plain_or_none(self.limit_price),
            "stop_price": plain_or_none(stop),
            "status": self.status,
            "extended_hours": self.extended_hours,
            "legs": None,
            "trail_percent": plain_or_none(self.trail_percent),
            "trail_price": plain_or_none(self.trail_price),
            "hwm": plain_or_none(self.hwm),
            "ratio_qty": None,
            "subtag": None,
            "source": None,
        }
        if self.group is not None:
            body["group_id"] = self.group.id
            body["group_role"] = self.role
            if legs and (under := list(self.group.legs_of(self))):
                body["legs"] = [leg.body() for leg in under]
        return body


@dataclass(slots=True)
class Group:
    """The orders of one bracket, oco or oto; a replacement takes the place of the order it replaced."""

    id: str
    order_class: OrderClass
    members: dict[Role, Order] = field(default_factory=dict)

    @property
    def parent(self) -> Order:
        """The order whose legs the others are: the entry, or the take-profit of an oco."""
        return self.members["take_profit" if self.order_class == "oco" else "entry"]

    def legs_of(self, order: Order) -> Iterator[Order]:
        """Yield the legs of an order, none if it is a leg itself."""
        if order is self.parent:
            yield from (member for member in self.members.values() if member is not order)

    def has_leg(self, order: Order) -> bool:
        """Return whether an order is a current leg: neither replaced nor a pending replacement."""
        return order is not self.parent and any(member is order for member in self.members.values())

    def exits(self) -> Iterator[Order]:
        """Yield the orders that close the position the entry opened."""
        yield from (member for role, member in self.members.items() if role != "entry")

    def other_exit(self, order: Order) -> Order | None:
        """Return the exit that a fill of this exit cancels."""
        return next((exit_ for exit_ in self.exits() if exit_ is not order), None)
