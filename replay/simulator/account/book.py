"""The account's money and shares. Only fills and splits change them.

At any time, to the last digit: cash plus the cost of the positions equals the opening cash plus the realised
gains. Only the part of the cost that a partial close removes is rounded; the remainder stays with the
position.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from replay.simulator.decimals import EXACT, SHARE_STEP, ZERO, minus, plus, ratio, times
from replay.simulator.market.surroundings import Asset
from replay.simulator.orders.ids import Ids
from replay.simulator.orders.order import Order, Side

_MONEY_STEP = Decimal("1e-13")
_AVERAGE_STEP = Decimal("1e-9")


@dataclass(slots=True)
class Fill:
    """One execution, never changed; ``cum_qty`` and ``leaves_qty`` are the order's just after it."""

    id: str
    order: Order
    t_ns: int
    qty: Decimal
    price: Decimal
    cum_qty: Decimal
    leaves_qty: Decimal
    complete: bool


@dataclass(slots=True)
class SplitPart:
    """One half of a split: the old shares removed (``qty`` below 0, of a long position), or the new ones.

    Both halves share the ``group_id``; ``kind`` is FSPLIT for a forward split, RSPLIT for a reverse split.
    """

    id: str
    group_id: str
    t_ns: int
    symbol: str
    qty: Decimal
    kind: str


@dataclass(slots=True)
class Position:
    """Shares of one symbol, negative when short; ``cost`` has the sign of ``qty``.

    ``opening_qty`` and ``opening_cost`` are those at the start of the trading day; ``held`` are the shares
    that open closing orders reserve.
    """

    asset: Asset
    qty: Decimal = ZERO
    cost: Decimal = ZERO
    opening_qty: Decimal = ZERO
    opening_cost: Decimal = ZERO
    held: Decimal = ZERO

    @property
    def available(self) -> Decimal:
        """The shares, long or short, that no open order reserves."""
        return max(abs(self.qty) - self.held, ZERO)

    def average_price(self) -> Decimal:
        """Return the average entry price of a share, to nine decimals."""
        return ratio(self.cost, self.qty, _AVERAGE_STEP)

    def exposure_today(self) -> Decimal:
        """Return the cost added during the trading day."""
        return max(abs(self.cost) - abs(self.opening_cost), ZERO)


class Book:
    """Cash, positions and fills of the account."""

    def __init__(self, cash: Decimal) -> None:
        self.opening_cash = cash
        self.cash = cash
        self.realised = ZERO
        self.reserved = ZERO
        self.exposure_today = ZERO
        self.positions: dict[str, Position] = {}
        self.fills: list[Fill] = []
        self.places: dict[str, int] = {}
        self.split_parts: list[SplitPart] = []
        self._held: dict[str, Decimal] = {}
        self._split_shares: dict[str, Decimal] = {}

    def position(self, symbol: str) -> Position | None:
        """Return the position in a symbol, ``None`` if there is none."""
        return self.positions.get(symbol)

    def record(self, fill: Fill) -> None:
        """Apply one fill to cash and position."""
        order, symbol = fill.order, fill.order.symbol
        signed = fill.qty if order.side == "buy" else -fill.qty
        self.places[fill.id] = len(self.fills)
        self.fills.append(fill)
        self.cash = minus(self.cash, times(signed, fill.price))
        position = self.positions.get(symbol)
        if position is None:
            held = self._held.get(symbol, ZERO)
            position = self.positions[symbol] = Position(order.asset, held=held)
        others = minus(self.exposure_today, position.exposure_today())
        self._move(position, signed, fill.price)
        if position.qty:
            self.exposure_today = plus(others, position.exposure_today())
        else:
            self.exposure_today = others
            del self.positions[symbol]

    def hold(self, order: Order, shares: Decimal, money: Decimal) -> None:
        """Set the shares and the buying power that an order reserves."""
        if money != order.reserving:
            self.reserved = plus(self.reserved, minus(money, order.reserving))
            order.reserving = money
        if shares != order.holding:
            held = self._held.get(order.symbol, ZERO) + shares - order.holding
            order.holding = shares
            if held:
                self._held[order.symbol] = held
            else:
                self._held.pop(order.symbol, None)
            position = self.positions.get(order.symbol)
            if position is not None:
                position.held = held

    def begin_day(self) -> None:
        """Start a trading day with the current positions."""
        self.exposure_today = ZERO
        for position in self.positions.values():
            position.opening_qty, position.opening_cost = position.qty, position.cost

    def split(self, symbol: str, multiple: Decimal, t_ns: int, ids: Ids) -> None:
        """Multiply the shares of a position, at the same cost, in whole billionths of a share."""
        position = self.positions.get(symbol)
        if position is None:
            return
        after = times(position.qty, multiple).quantize(SHARE_STEP, context=EXACT)
        kind, group_id = "FSPLIT" if multiple > 1 else "RSPLIT", ids.new()
        self.split_parts += [
            SplitPart(ids.new(), group_id, t_ns, symbol, qty, kind) for qty in (-position.qty, after) if qty
        ]
        self._split_shares[symbol] = self._split_shares.get(symbol, ZERO) + after - position.qty
        if not after:
            self.realised = minus(self.realised, position.cost)
            self.exposure_today = minus(self.exposure_today, position.exposure_today())
            del self.positions[symbol]
            return
        position.qty = after
        position.opening_qty = times(position.opening_qty, multiple).quantize(SHARE_STEP, context=EXACT)

    def check(self) -> None:
        """Compare cash and positions with all fills; raises ``AssertionError`` where they differ."""
        cash, shares = self.opening_cash, dict(self._split_shares)
        for fill in self.fills:
            signed = fill.qty if fill.order.side == "buy" else -fill.qty
            cash = minus(cash, times(signed, fill.price))
            shares[fill.order.symbol] = shares.get(fill.order.symbol, ZERO) + signed
        cost = ZERO
        for position in self.positions.values():
            cost = plus(cost, position.cost)
        _same("cash", self.cash, cash)
        _same("cash and cost", plus(self.cash, cost), plus(self.opening_cash, self.realised))
        expected = {symbol: qty for symbol, qty in shares.items() if qty}
        actual = {symbol: position.qty for symbol, position in self.positions.items()}
        if actual != expected:
            raise AssertionError(f"positions are {actual}; expected the sum of fills, {expected}.")

    def _move(self, position: Position, signed: Decimal, price: Decimal) -> None:
        before = position.qty
        if before == ZERO or (before > ZERO) == (signed > ZERO):
            position.qty = before + signed
            position.cost = plus(position.cost, times(signed, price))
            return
        closed = min(abs(signed), abs(before))
        closed_signed = closed if signed > ZERO else -closed
        gone = position.cost
        if closed != abs(before):
            gone = EXACT.divide(times(position.cost, closed), abs(before)).quantize(
                _MONEY_STEP, context=EXACT
            )
        position.cost = minus(position.cost, gone)
        position.qty = before + closed_signed
        self.realised = plus(self.realised, minus(times(-closed_signed, price), gone))
        rest = signed - closed_signed
        if rest:
            position.opening_qty = position.opening_cost = ZERO
            position.qty, position.cost = rest, times(rest, price)


def side_that_closes(position: Position) -> Side:
    """Return the side of the orders that reduce a position."""
    return "sell" if position.qty > ZERO else "buy"


def _same(name: str, actual: Decimal, expected: Decimal) -> None:
    if actual != expected:
        raise AssertionError(f"{name} is {actual}; expected {expected} from the fills.")
