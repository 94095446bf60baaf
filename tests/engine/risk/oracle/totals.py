"""The rules that add up money: position and daily notional, buying power, gross and net exposure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

from tests.engine.risk.oracle.levels import (
    FAIL,
    PASS,
    UNAVAILABLE,
    Finding,
    Level,
    judged,
    levels_of,
)
from tests.engine.risk.oracle.quotes import order_notional, order_price, quote_of, rounded_up
from tests.engine.risk.oracle.state import State, reduces
from tests.engine.risk.oracle.words import (
    QUANTITY_BOUND,
    Row,
    exact,
    given,
    has_null_key,
    in_units,
    is_missing,
    is_quantity,
    is_symbol,
    is_text,
    key_of,
    number,
)

Verdict = Callable[[Level], str]


@dataclass
class Worth:
    """What is held of a symbol, and what its open orders are worth."""

    long: Decimal = Decimal(0)
    short: Decimal = Decimal(0)
    buys: Decimal = Decimal(0)
    sells: Decimal = Decimal(0)

    @property
    def worst(self) -> Decimal:
        """The worse of all that could be long, and all that could be short."""
        return max(self.long + self.buys, self.short + self.sells, Decimal(0))


Book = dict[str, Worth]


def reducing_passes(row: Row, state: State, check: Verdict) -> Verdict:
    """Let a row pass that reduces the account's position, or at a level of a strategy that one's own."""

    def found(level: Level) -> str:
        verdict, does = check(level), reduces(row, state, level.strategy)
        if verdict == PASS or does:
            return PASS
        return UNAVAILABLE if does is None else verdict

    return found


def key_for(level: Level, row: Row, strategy: str | None) -> Row:
    """Return the account and symbol of a row as they are valued, with the strategy in its own book."""
    return {
        "broker_account_id": row["broker_account_id"],
        "symbol": row["symbol"],
        "strategy_id": strategy,
    }


def held_and_working(row: Row, state: State, level: Level, *, one_symbol: bool) -> Book | None:
    """Return what positions and working orders are worth by symbol; None where one can't be valued."""
    positions = positions_of(row, state, level.strategy, one_symbol=one_symbol)
    orders = orders_of(row, state, level.strategy, one_symbol=one_symbol)
    if positions is None or orders is None:
        return None
    book: Book = {}
    for position in positions:
        if key_of(position)[1] in book:
            return None
        mine = book.setdefault(key_of(position)[1], Worth())
        qty = number(position["qty"])
        if qty is None or not qty.is_finite() or abs(qty) >= QUANTITY_BOUND:
            return None
        qty = in_units(qty)
        if qty == 0:
            continue
        quote = quote_of(key_for(level, position, level.strategy), state)
        if quote is None or quote.ask is None:
            return None
        mine.long, mine.short = in_money(qty * quote.ask), in_money(-qty * quote.ask)
    for order in orders:
        amount = working_value(order, state, level)
        if amount is None:
            return None
        mine = book.setdefault(key_of(order)[1], Worth())
        if order["side"] == "buy":
            mine.buys += amount
        else:
            mine.sells += amount
    return book


def positions_of(row: Row, state: State, strategy: str | None, *, one_symbol: bool) -> list[Row] | None:
    positions = state.known.positions if strategy is None else state.known.strategy_positions
    if positions is None or has_null_key(positions, "broker_account_id"):
        return None
    own = [each for each in positions if each["broker_account_id"] == row["broker_account_id"]]
    if has_null_key(own, "symbol"):
        return None
    if strategy is not None:
        named = [each for each in positions if not is_missing(each["symbol"])]
        if has_null_key(named, "strategy_id"):
            return None
        own = [each for each in own if each["strategy_id"] == strategy]
    return [each for each in own if not one_symbol or key_of(each) == key_of(row)]


def orders_of(row: Row, state: State, strategy: str | None, *, one_symbol: bool) -> list[Row] | None:
    orders = state.known.working_order_terms
    if orders is not None and strategy is not None:
        orders = [each for each in orders if not is_missing(each["strategy_id"])]
    if orders is None or has_null_key(orders, "broker_account_id"):
        return None
    if one_symbol and has_null_key(orders, "symbol"):
        return None
    return [
        each
        for each in orders
        if each["broker_account_id"] == row["broker_account_id"]
        and (strategy is None or each["strategy_id"] == strategy)
        and (not one_symbol or key_of(each) == key_of(row))
    ]


def working_value(order: Row, state: State, level: Level) -> Decimal | None:
    """Return what a working order is worth: nothing where nothing of it remains."""
    qty = number(order["remaining_qty"])
    if order["side"] not in ("buy", "sell") or is_missing(order["order_type"]):
        return Decimal(0) if qty == 0 and order["side"] in ("buy", "sell") else None
    if qty is not None and in_units(qty) == 0:
        return Decimal(0)
    terms = {**order, **key_for(level, order, level.strategy)}
    terms |= {"qty": order["remaining_qty"], "notional": order["remaining_notional"]}
    return order_notional(terms, state) if has_its_prices(terms) else None


def has_its_prices(order: Row) -> bool:
    """Return whether an order has the prices that its type needs to be valued."""
    needs = {"limit": ("limit_price",), "stop_limit": ("limit_price", "stop_price"), "stop": ("stop_price",)}
    wanted = needs.get(order["order_type"], ())
    if order["side"] == "sell":
        wanted = tuple(name for name in wanted if name != "stop_price")
    if order["order_type"] == "trailing_stop" and order["side"] == "buy":
        return given(order, "trail_price") or given(order, "trail_percent")
    return all(is_quantity(order[name]) for name in wanted)


def in_money(amount: Decimal) -> Decimal:
    return rounded_up(amount, "1e-6")


def after(row: Row, state: State, level: Level, *, one_symbol: bool, one_side: bool) -> Book | None:
    """Return the book with the row in it, None where anything of it is unknown."""
    if not is_text(row.get("broker_account_id")) or not is_symbol(row.get("symbol")):
        return None
    book = held_and_working(row, state, level, one_symbol=one_symbol)
    if book is None:
        return None
    side = row["side"] if one_side else None
    for order in (*state.orders(row, strategy=level.strategy, symbol=one_symbol, side=side), row):
        amount = order_notional(order, state)
        if amount is None:
            return None
        mine = book.setdefault(key_of(order)[1], Worth())
        if order["side"] == "buy":
            mine.buys += amount
        else:
            mine.sells += amount
    return book


def side_of(row: Row, book: Book) -> Decimal:
    """Return what is held in the row's direction if all that makes it larger fills."""
    if row["side"] == "buy":
        return sum((each.long + each.buys for each in book.values()), Decimal(0))
    return sum((each.short + each.sells for each in book.values()), Decimal(0))


def max_position_notional_exceeded(row: Row, state: State) -> Finding:
    def check(level: Level) -> str:
        book = after(row, state, level, one_symbol=True, one_side=True)
        if book is None:
            return UNAVAILABLE
        return FAIL if side_of(row, book) > exact(level.value) else PASS

    levels = levels_of(row, "max_position_notional_usd", state.config)
    return judged(levels, reducing_passes(row, state, check))


def max_net_exposure_exceeded(row: Row, state: State) -> Finding:
    def check(level: Level) -> str:
        book = after(row, state, level, one_symbol=level.scope.symbol is not None, one_side=True)
        if book is None:
            return UNAVAILABLE
        return FAIL if side_of(row, book) > exact(level.value) else PASS

    levels = levels_of(row, "max_net_exposure_usd", state.config)
    return judged(levels, reducing_passes(row, state, check))


def max_gross_exposure_exceeded(row: Row, state: State) -> Finding:
    def check(level: Level) -> str:
        book = after(row, state, level, one_symbol=level.scope.symbol is not None, one_side=False)
        if book is None:
            return UNAVAILABLE
        total = sum((each.worst for each in book.values()), Decimal(0))
        return FAIL if total > exact(level.value) else PASS

    levels = levels_of(row, "max_gross_exposure_usd", state.config)
    return judged(levels, reducing_passes(row, state, check))


def max_daily_notional_exceeded(row: Row, state: State) -> Finding:
    def check(level: Level) -> str:
        in_symbol = level.scope.symbol is not None
        traded = traded_today(row, state, level, one_symbol=in_symbol)
        orders = orders_of(row, state, level.strategy, one_symbol=in_symbol)
        before = state.orders(row, strategy=level.strategy, symbol=in_symbol)
        if traded is None or orders is None:
            return UNAVAILABLE
        amounts = [*(working_value(each, state, level) for each in orders)]
        amounts += [order_notional(each, state) for each in (*before, row)]
        known = [each for each in amounts if each is not None]
        if len(known) < len(amounts):
            return UNAVAILABLE
        return FAIL if traded + sum(known, Decimal(0)) > exact(level.value) else PASS

    levels = levels_of(row, "max_daily_notional_usd", state.config)
    return judged(levels, reducing_passes(row, state, check))


def traded_today(row: Row, state: State, level: Level, *, one_symbol: bool) -> Decimal | None:
    """Return what today's fills cost, of the account, a strategy, a symbol."""
    fills = state.known.traded_notional
    if fills is not None and level.strategy is not None:
        fills = [each for each in fills if not is_missing(each["strategy_id"])]
    if fills is None or has_null_key(fills, "broker_account_id"):
        return None
    if one_symbol and has_null_key(fills, "symbol"):
        return None
    mine = [
        number(each["notional"])
        for each in fills
        if each["broker_account_id"] == row["broker_account_id"]
        and (level.strategy is None or each["strategy_id"] == level.strategy)
        and (not one_symbol or key_of(each) == key_of(row))
    ]
    if any(each is None or not each.is_finite() or each < 0 for each in mine):
        return None
    return sum((each.quantize(Decimal("1e-6")) for each in mine if each is not None), Decimal(0))


def insufficient_buying_power(row: Row, state: State) -> Finding:
    def check(level: Level) -> str:
        figures = state.known.account_figures
        if figures is None or has_null_key(figures, "broker_account_id"):
            return UNAVAILABLE
        mine = [each for each in figures if each["broker_account_id"] == row["broker_account_id"]]
        power = number(mine[0]["buying_power"]) if len(mine) == 1 else None
        before = [
            each
            for each in state.opened
            if each["broker_account_id"] == row["broker_account_id"] and each.get("action") != "cancel"
        ]
        costs = [cost(each, state) for each in (*before, row)]
        known = [each for each in costs if each is not None]
        if power is None or not power.is_finite() or len(known) < len(costs):
            return UNAVAILABLE
        kept = power * (100 - exact(level.value)) / 100
        most = kept.quantize(Decimal("1e-6"), ROUND_FLOOR)
        return FAIL if sum(known, Decimal(0)) > most else PASS

    levels = levels_of(row, "buying_power_buffer_pct", state.config)
    return judged(levels, reducing_passes(row, state, check))


def cost(order: Row, state: State) -> Decimal | None:
    """Return what an opening order costs: a short sale the higher of its price and 1.03 times the ask."""
    amount, quote, price = order_notional(order, state), quote_of(order, state), order_price(order, state)
    if amount is None or quote is None or price is None:
        return None
    if order["side"] == "buy":
        return amount
    if given(order, "notional"):
        return in_money(amount * Decimal("1.03"))
    if quote.ask is None:
        return amount
    return in_money(exact(order["qty"]) * max(price, rounded_up(quote.ask * Decimal("1.03"), "1e-9")))
