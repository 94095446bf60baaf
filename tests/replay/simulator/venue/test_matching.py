"""When orders fill, at what price, for how many shares, and when they no longer can."""

from __future__ import annotations

from decimal import Decimal

import pytest

from replay.simulator.timestamps import written
from tests.replay.simulator.venue.desk import SECOND, THURSDAY, Body, Desk, at, refused

NOON = "2026-10-08T16:00"


@pytest.mark.parametrize(("side", "low", "high"), [("buy", "100", "100.05"), ("sell", "99.95", "100")])
def test_a_market_order_fills_between_the_mid_price_and_the_opposite_quote(
    side: str, low: str, high: str
) -> None:
    prices = set()
    for seed in range(20):
        desk = Desk(seed=seed)
        desk.market.half_spread = Decimal("0.05")
        order = desk.order(side=side)
        desk.tick()
        prices.add(Decimal(desk.get(order)["filled_avg_price"]))
    assert Decimal(low) <= min(prices) < max(prices) <= Decimal(high)


CROSSED = [
    ("buy", {"type": "limit", "limit_price": "99"}, "98.5", "98.5"),
    ("buy", {"type": "limit", "limit_price": "99"}, "99", "99"),
    ("sell", {"type": "limit", "limit_price": "101"}, "101.5", "101.5"),
    ("buy", {"type": "stop", "stop_price": "101"}, "101.5", "101.51"),
    ("sell", {"type": "stop", "stop_price": "99"}, "98.5", "98.49"),
    ("buy", {"type": "stop_limit", "stop_price": "101", "limit_price": "101.51"}, "101.5", "101.51"),
    ("sell", {"type": "stop_limit", "stop_price": "99", "limit_price": "98.49"}, "98.5", "98.49"),
]


@pytest.mark.parametrize(("side", "more", "price", "paid"), CROSSED)
def test_a_waiting_order_fills_when_the_path_comes_to_it(
    side: str, more: Body, price: str, paid: str
) -> None:
    desk = Desk()
    order = desk.order(side=side, **more)
    desk.price("AAPL", price, after=7)
    desk.tick(6.9)
    assert desk.status(order) == "new"
    desk.tick(60)
    filled = desk.get(order)
    assert (filled["status"], filled["filled_at"]) == ("filled", f"{NOON}:07Z")
    assert abs(Decimal(filled["filled_avg_price"]) - Decimal(paid)) <= Decimal("0.02")
    if filled["limit_price"]:
        assert filled["filled_avg_price"] == paid


@pytest.mark.parametrize(("side", "limit", "best"), [("buy", "100.05", "100.01"), ("sell", "99.95", "99.99")])
def test_a_limit_that_the_quote_already_meets_fills_at_once_and_no_worse(
    side: str, limit: str, best: str
) -> None:
    desk = Desk()
    order = desk.limit(limit, side=side)
    desk.tick(0.012)
    paid = Decimal(desk.get(order)["filled_avg_price"])
    assert min(Decimal(limit), Decimal(best)) <= paid <= max(Decimal(limit), Decimal(best))


def test_a_stop_limit_whose_limit_is_passed_waits_at_the_limit() -> None:
    desk = Desk()
    order = desk.order(side="sell", type="stop_limit", stop_price="99", limit_price="98.5")
    desk.price("AAPL", "97", after=1)
    desk.price("AAPL", "98.6", after=3)
    desk.tick(2)
    assert desk.status(order) == "new"
    desk.tick(2)
    filled = desk.get(order)
    assert (filled["filled_at"], filled["filled_avg_price"]) == (f"{NOON}:03Z", "98.6")


def test_fills_come_in_the_order_of_time_across_orders_and_symbols() -> None:
    desk = Desk()
    for symbol, limit in (("AAPL", "98"), ("TSLA", "99"), ("KO", "97")):
        desk.limit(limit, symbol=symbol)
    desk.tick()
    for symbol, price, after in (("AAPL", "98", 30), ("TSLA", "99", 10), ("KO", "97", 20)):
        desk.price(symbol, price, after=after)
    desk.tick(3600)
    fills = desk.venue.activities("FILL", {"direction": "asc"})
    assert [fill["symbol"] for fill in fills] == ["TSLA", "KO", "AAPL"]


def test_orders_that_one_jump_of_the_path_meets_fill_by_age() -> None:
    desk = Desk()
    orders = [desk.limit(price, qty="1") for price in ("98", "99", "98")]
    desk.price("AAPL", "97.9", after=5)
    desk.tick(10)
    filled = [fill["order_id"] for fill in desk.venue.activities("FILL", {"direction": "asc"})]
    assert filled == [order["id"] for order in orders]


TRAILING: list[tuple[str, Body, list[str], str, str]] = [
    ("sell", {"trail_price": "2"}, ["103", "101.5", "101"], "103", "101"),
    ("sell", {"trail_percent": "1"}, ["110", "109", "108.9"], "110", "108.9"),
    ("buy", {"trail_price": "2"}, ["97", "98.5", "99"], "97", "99"),
    ("buy", {"trail_percent": "2"}, ["101", "102"], "100", "102"),
]


@pytest.mark.parametrize(("side", "trail", "path", "hwm", "stop"), TRAILING)
def test_a_trailing_stop_follows_the_best_price(
    side: str, trail: Body, path: list[str], hwm: str, stop: str
) -> None:
    desk = Desk()
    if side == "sell":
        desk.bought("10")
    order = desk.order(side=side, type="trailing_stop", **trail)
    assert order["hwm"] == "100"
    fires = len(path)  # at the last of these prices, a second after the one before
    start = desk.clock.t_ns
    for place, price in enumerate(path):
        desk.price("AAPL", price, after=place + 1)
    desk.tick(fires - 0.1)
    assert (desk.status(order), desk.get(order)["stop_price"]) == ("new", stop)
    desk.tick(1)
    filled = desk.get(order)
    assert (filled["status"], filled["hwm"]) == ("filled", hwm)
    assert desk.venue.activities("FILL", {})[0]["transaction_time"] == written(start + fires * SECOND)


def test_partial_fills_add_up() -> None:
    desk = Desk(partial=1.0)
    order = desk.order(qty="10")
    desk.tick(0.02)
    part = desk.get(order)
    assert part["status"] == "partially_filled"
    assert 0 < int(part["filled_qty"]) < 10
    desk.tick(60)
    fills = desk.venue.activities("FILL", {"direction": "asc"})
    assert desk.status(order) == "filled"
    assert len(fills) > 1
    assert sum(int(fill["qty"]) for fill in fills) == 10
    assert [fill["type"] for fill in fills] == ["partial_fill"] * (len(fills) - 1) + ["fill"]
    assert [int(fill["cum_qty"]) + int(fill["leaves_qty"]) for fill in fills] == [10] * len(fills)


def test_one_market_order_in_ten_is_filled_in_parts() -> None:
    desk = Desk(partial=0.1, cash="100000000")
    for _ in range(500):
        desk.order(qty="2")
        desk.tick(2)
    parts = [fill for fill in desk.venue.state()["fills"] if fill["type"] == "partial_fill"]
    assert 25 < len(parts) < 80


@pytest.mark.parametrize("time_in_force", ["ioc", "fok"])
def test_what_must_fill_at_once_and_cannot_is_cancelled(time_in_force: str) -> None:
    desk = Desk()
    order = desk.limit("99", time_in_force=time_in_force)
    desk.price("AAPL", "98", after=1)
    desk.tick(2)
    assert (desk.status(order), desk.get(order)["filled_qty"]) == ("canceled", "0")


def test_ioc_keeps_the_part_that_filled_and_fok_fills_whole() -> None:
    desk = Desk(partial=1.0)
    ioc, fok = desk.order(time_in_force="ioc"), desk.order(time_in_force="fok")
    desk.tick(5)
    assert desk.status(ioc) == "canceled"
    assert 0 < int(desk.get(ioc)["filled_qty"]) < 10
    assert desk.get(fok)["filled_qty"] == "10"


def test_auction_orders_fill_at_the_auction_prices() -> None:
    desk = Desk(f"{THURSDAY} 08:00")
    desk.market.opens["AAPL"], desk.market.closes["AAPL"] = Decimal("101.5"), Decimal("102.25")
    opg, cls = desk.order(time_in_force="opg"), desk.order(time_in_force="cls")
    missed = [desk.limit("101", time_in_force="opg"), desk.limit("102", time_in_force="cls")]
    assert opg["status"] == cls["status"] == "accepted"
    desk.until(f"{THURSDAY} 12:00")
    assert desk.get(opg)["filled_avg_price"] == "101.5"
    assert desk.get(opg)["filled_at"] == "2026-10-08T13:30:00Z"
    assert desk.status(missed[0]) == "canceled"
    assert (desk.status(cls), desk.status(missed[1])) == ("new", "new")
    desk.until(f"{THURSDAY} 16:00:01")
    assert desk.get(cls)["filled_avg_price"] == "102.25"
    assert desk.get(cls)["filled_at"] == "2026-10-08T20:00:00Z"
    assert desk.status(missed[1]) == "canceled"


def test_a_day_order_expires_with_the_session_and_a_gtc_order_after_ninety_days() -> None:
    desk = Desk()
    day, gtc = desk.limit("90"), desk.limit("91", time_in_force="gtc")
    desk.until(f"{THURSDAY} 15:59:59")
    assert desk.status(day) == "new"
    desk.until(f"{THURSDAY} 16:00:01")
    assert (desk.status(day), desk.get(day)["expired_at"]) == ("expired", "2026-10-08T20:00:00Z")
    desk.until("2027-01-06 15:59")
    assert desk.status(gtc) == "new"
    desk.until("2027-01-06 16:01")
    assert desk.status(gtc) == "canceled"


def test_a_half_day_ends_at_one() -> None:
    desk = Desk("2026-11-27 12:00")
    order = desk.limit("90")
    assert order["expires_at"] == "2026-11-27T18:00:00Z"
    desk.until("2026-11-27 13:00")
    assert desk.status(order) == "expired"


def test_orders_rest_overnight_and_see_the_first_price_of_the_morning() -> None:
    desk = Desk()
    order = desk.limit("95", time_in_force="gtc")
    desk.market.tell("AAPL", at(f"{THURSDAY} 18:00"), "94")
    desk.market.tell("AAPL", at("2026-10-09 09:30"), "94.5")
    desk.until("2026-10-09 09:29:59")
    assert desk.status(order) == "new"
    desk.until("2026-10-09 09:30")
    filled = desk.get(order)
    assert (filled["filled_avg_price"], filled["filled_at"]) == ("94.5", "2026-10-09T13:30:00Z")


@pytest.mark.parametrize(
    ("when", "fills_at"),
    [("05:00", "05:00:01"), ("17:00", "17:00:01"), ("19:59", "19:59:01"), ("03:00", "04:00:01")],
)
def test_extended_hours_orders_trade_from_four_to_eight(when: str, fills_at: str) -> None:
    desk = Desk(f"{THURSDAY} {when}")
    plain, extended = desk.limit("101"), desk.limit("101", extended_hours=True)
    desk.until(f"{THURSDAY} {fills_at}")
    assert (desk.status(plain), desk.status(extended)) == ("accepted", "filled")


def test_an_extended_day_order_that_waits_lives_until_eight() -> None:
    desk = Desk()
    order = desk.limit("95", extended_hours=True)
    desk.until(f"{THURSDAY} 19:59")
    assert desk.status(order) == "new"
    desk.price("AAPL", "94", after=5)
    desk.tick(10)
    assert desk.get(order)["filled_avg_price"] == "94"
    other = desk.limit("90", extended_hours=True)
    desk.until(f"{THURSDAY} 20:00:01")
    assert desk.status(other) == "expired"


def test_an_order_on_its_way_when_the_session_ends_waits_for_the_next() -> None:
    desk = Desk(f"{THURSDAY} 15:59:59.999")
    order = desk.limit("101", time_in_force="gtc")
    assert order["status"] == "pending_new"
    desk.until("2026-10-09 09:29")
    assert desk.status(order) == "accepted"
    desk.until("2026-10-09 09:31")
    assert desk.status(order) == "filled"


def test_nothing_is_looked_at_while_nothing_waits() -> None:
    desk = Desk()
    desk.bought("1")
    looks = desk.market.looks
    for _ in range(100):
        desk.tick()
    assert desk.market.looks == looks


def test_one_look_a_symbol_however_many_orders_wait() -> None:
    desk = Desk(cash="1e9")
    for place in range(200):
        desk.limit(str(50 + place / 100), qty="1", symbol=("AAPL", "TSLA")[place % 2])
    desk.tick()
    looks = desk.market.looks
    desk.tick()
    assert desk.market.looks == looks + 2


def test_sell_orders_keep_their_shares_until_they_end() -> None:
    desk = Desk()
    desk.bought("10")
    first = desk.limit("110", qty="6", side="sell")
    assert desk.venue.get_position("AAPL")["qty_available"] == "4"
    assert refused(desk.limit, "110", qty="5", side="sell")[0] == 403
    desk.limit("110", qty="4", side="sell")
    desk.venue.cancel_order(first["id"])
    assert desk.venue.get_position("AAPL")["qty_available"] == "0"
    desk.tick()
    assert desk.venue.get_position("AAPL")["qty_available"] == "6"


def test_buy_orders_keep_their_cost_until_they_end() -> None:
    desk = Desk()
    order = desk.limit("90", qty="4000")
    assert desk.venue.account()["buying_power"] == "40000"
    assert refused(desk.limit, "90", qty="445")[1]["buying_power"] == "40000"
    desk.venue.cancel_order(order["id"])
    desk.tick()
    assert desk.venue.account()["buying_power"] == "400000"
