"""Positions, closing them, and what the account is worth."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.replay.simulator.venue.desk import THURSDAY, Body, Desk, at, refused


def holding(qty: str = "10", price: str = "100", symbol: str = "AAPL") -> Desk:
    """A desk that holds shares (negative: short) bought at exactly a price."""
    desk = Desk()
    side = "sell" if qty.startswith("-") else "buy"
    order = desk.limit("99" if side == "buy" else "101", symbol=symbol, qty=qty.lstrip("-"), side=side)
    desk.tick()
    desk.price(symbol, "99" if side == "buy" else "101", after=1)
    desk.tick(2)
    assert desk.status(order) == "filled"
    desk.price(symbol, price)
    return desk


@pytest.mark.parametrize(
    ("qty", "expected"),
    [
        ("10", {
            "qty": "10", "qty_available": "10", "side": "long", "avg_entry_price": "99",
            "market_value": "1035",
            "cost_basis": "990", "unrealized_pl": "45", "unrealized_plpc": "0.0454545454545455",
            "unrealized_intraday_pl": "45", "unrealized_intraday_plpc": "0.0454545454545455",
        }),
        ("-10", {
            "qty": "-10", "qty_available": "-10", "side": "short", "avg_entry_price": "101",
            "market_value": "-1035",
            "cost_basis": "-1010", "unrealized_pl": "-25", "unrealized_plpc": "-0.0247524752475248",
            "unrealized_intraday_pl": "-25", "unrealized_intraday_plpc": "-0.0247524752475248",
        }),
    ],
)  # fmt: skip
def test_body_of_a_position(qty: str, expected: Body) -> None:
    desk = holding(qty, "103.5")
    asset = desk.venue.get_asset("AAPL")
    position = desk.venue.get_position("AAPL")
    assert position == {
        "asset_id": asset["id"], "symbol": "AAPL", "exchange": "NASDAQ", "asset_class": "us_equity",
        "asset_marginable": True, "current_price": "103.5", "lastday_price": "100", "change_today": "0.035",
        **expected,
    }  # fmt: skip
    assert desk.venue.list_positions() == [position] == [desk.venue.get_position(asset["id"])]


def test_the_gain_of_the_day_counts_from_the_last_close_for_what_was_held_then() -> None:
    desk = holding("10", "100")
    desk.until("2026-10-09 12:00")
    desk.price("AAPL", "102")
    position = desk.venue.get_position("AAPL")
    assert (position["unrealized_pl"], position["unrealized_intraday_pl"]) == ("30", "20")


def test_cost_goes_with_the_shares_that_go() -> None:
    desk = holding("10")
    desk.venue.close_position("AAPL", {"qty": "4"})
    desk.tick()
    position = desk.venue.get_position("AAPL")
    assert (position["qty"], position["avg_entry_price"], position["cost_basis"]) == ("6", "99", "594")


@pytest.mark.parametrize(
    ("held", "query", "sold"),
    [
        ("10", {}, "10"), ("10", {"qty": "3"}, "3"), ("10", {"qty": "0.5"}, "0.5"), ("10",
        {"percentage": "50"}, "5"),
        ("10", {"percentage": "33.333333333"}, "3"), ("10.5", {"percentage": "33.333333333"}, "3.499999999"),
        ("10", {"percentage": "100"}, "10"), ("-10", {"percentage": "50"}, "5"), ("-10", {}, "10"),
    ],
)  # fmt: skip
def test_a_position_is_closed_in_whole_or_in_part(held: str, query: dict[str, str], sold: str) -> None:
    desk = holding(held)
    order = desk.venue.close_position("AAPL", query)
    side = "buy" if held.startswith("-") else "sell"
    assert [order[name] for name in ("qty", "side", "type", "time_in_force", "status")] == [
        sold, side, "market", "day", "pending_new",
    ]  # fmt: skip
    assert order["position_intent"] == f"{side}_to_close"
    desk.tick(5)
    left = abs(Decimal(held)) - Decimal(sold)
    assert [abs(Decimal(row["qty"])) for row in desk.venue.list_positions()] == ([left] if left else [])


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ({"qty": "1", "percentage": "5"}, 422, "only one of qty or percentage is accepted"),
        ({"qty": "0"}, 422, "qty must be > 0"),
        ({"qty": "-2"}, 422, "qty must be > 0"),
        ({"qty": "all"}, 422, "invalid qty"),
        ({"qty": "0.0000000001"}, 422, "qty must be limited to 9 decimal places"),
        ({"percentage": "101"}, 422, "percentage must be between 0 and 100"),
        ({"percentage": "1"}, 422, "qty must be > 0"),
        ({"percentage": "50.0000000001"}, 422, "percentage must be limited to 9 decimal places"),
        ({"qty": "11"}, 403, "insufficient qty available for order (requested: 11, available: 10)"),
    ],
)
def test_closing_what_cannot_be_closed_is_refused(query: dict[str, str], status: int, message: str) -> None:
    got, body = refused(holding("10").venue.close_position, "AAPL", query)
    assert (got, body["message"]) == (status, message)


def test_close_all_mixes_rows_that_are_done_and_refused() -> None:
    desk = Desk()
    desk.bought("5", symbol="TSLA")
    desk.bought("2", symbol="AAPL")
    held = desk.limit("110", qty="2", side="sell")
    rows = desk.venue.close_all_positions({})
    assert [(row["symbol"], row["status"]) for row in rows] == [("TSLA", 200), ("AAPL", 403)]
    assert rows[0]["body"]["side"] == "sell"
    assert rows[1]["body"]["related_orders"] == [held["id"]]


def test_close_all_can_cancel_orders_first_and_tells_them_first() -> None:
    desk = Desk()
    desk.bought("2")
    orders = [desk.limit("110", qty="2", side="sell"), desk.limit("90", symbol="KO")]
    rows = desk.venue.close_all_positions({"cancel_orders": "true"})
    assert [(row["symbol"], row["status"]) for row in rows] == [
        (orders[0]["id"], 200), (orders[1]["id"], 200), ("AAPL", 200),
    ]  # fmt: skip
    desk.tick()
    assert (desk.venue.list_positions(), desk.venue.list_orders({})) == ([], [])


def test_close_all_without_positions_is_an_empty_list() -> None:
    assert Desk().venue.close_all_positions({}) == []


def test_shorts_are_bought_back_and_not_beyond() -> None:
    desk = holding("-10")
    assert refused(desk.order, qty="11")[1]["message"] == (
        "insufficient qty available for order (requested: 11, available: 10)"
    )
    desk.order(qty="10")
    desk.tick()
    assert desk.venue.list_positions() == []


# the account

KEYS = {
    "id", "account_number", "status", "crypto_status", "currency", "buying_power", "regt_buying_power",
    "effective_buying_power", "non_marginable_buying_power", "options_buying_power", "cash", "accrued_fees",
    "portfolio_value", "trading_blocked", "transfers_blocked", "account_blocked", "created_at",
    "trade_suspended_by_user", "multiplier", "shorting_enabled", "equity", "last_equity", "long_market_value",
    "short_market_value", "position_market_value", "initial_margin", "maintenance_margin",
    "last_maintenance_margin", "sma", "balance_asof", "crypto_tier", "intraday_adjustments",
    "pending_reg_taf_fees", "pending_transfer_in", "pending_transfer_out", "options_approved_level",
    "options_trading_level", "admin_configurations", "user_configurations",
}  # fmt: skip


def test_an_untouched_account() -> None:
    account = Desk().venue.account()
    assert account.keys() == KEYS
    figures = ("cash", "equity", "buying_power", "regt_buying_power", "multiplier")
    assert [account[name] for name in figures] == [
        "100000", "100000", "400000", "200000", "4",
    ]  # fmt: skip


def test_the_account_follows_long_and_short_positions() -> None:
    desk = holding("10", "110")
    desk.limit("100", symbol="TSLA", side="sell", qty="5")
    desk.tick()
    desk.price("TSLA", "100", after=1)
    desk.tick(2)
    account = desk.venue.account()
    short_at = Decimal(desk.venue.get_position("TSLA")["avg_entry_price"])
    assert Decimal(account["cash"]) == 100000 - 990 + 5 * short_at
    assert (account["long_market_value"], account["short_market_value"]) == ("1100", "-500")
    assert (account["initial_margin"], account["maintenance_margin"]) == ("800", "480")
    assert Decimal(account["equity"]) == Decimal(account["cash"]) + 600
    assert Decimal(account["buying_power"]) == 400000 - 990 - 5 * short_at


@pytest.mark.parametrize(
    ("multiplier", "cash", "power"),
    [("4", "100000", "400000"), ("2", "100000", "200000"), ("1", "100000", "100000"), ("4", "1999", "1999")],
)
def test_buying_power_goes_by_the_multiplier(multiplier: str, cash: str, power: str) -> None:
    desk = Desk(cash=cash)
    desk.venue.configure({"max_margin_multiplier": multiplier})
    assert desk.venue.account()["buying_power"] == power


def test_buying_power_of_a_new_day_counts_from_the_last_close() -> None:
    desk = holding("1000", "100")
    assert desk.venue.account()["buying_power"] == "301000"
    desk.until("2026-10-09 03:59")
    assert desk.venue.account()["last_equity"] == "100000"
    desk.until("2026-10-09 09:00")
    account = desk.venue.account()
    assert (account["last_equity"], account["last_maintenance_margin"], account["balance_asof"]) == (
        "101000", "30000", THURSDAY,
    )  # fmt: skip
    assert account["buying_power"] == "284000"


def test_a_short_sale_is_valued_three_per_cent_above_the_ask() -> None:
    desk = Desk()
    desk.order(side="sell", qty="100")
    assert Decimal(desk.venue.account()["buying_power"]) == 400000 - Decimal("103.0103") * 100


def test_configurations_are_changed_one_by_one() -> None:
    venue = Desk().venue
    before = venue.configurations()
    assert venue.configure({"trade_confirm_email": "none", "unheard_of": 1}) == {
        **before, "trade_confirm_email": "none",
    }  # fmt: skip
    assert venue.configurations()["trade_confirm_email"] == "none"


CONFIGURATIONS: list[tuple[object, int]] = [
    ([], 400), ({"no_shorting": "yes"}, 400), ({"trade_confirm_email": "some"}, 422),
    ({"max_margin_multiplier": "3"}, 422), ({"max_margin_multiplier": 4}, 400),
    ({"max_options_trading_level": 7}, 422), ({"max_options_trading_level": True}, 400),
    ({"suspend_trade": True, "no_shorting": 1}, 400),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status"), CONFIGURATIONS)
def test_configurations_that_cannot_be_are_refused_as_a_whole(body: object, status: int) -> None:
    venue = Desk().venue
    before = venue.configurations()
    assert refused(venue.configure, body)[0] == status
    assert venue.configurations() == before


def test_clock_and_calendar_are_those_of_the_session() -> None:
    desk = Desk()
    assert desk.venue.clock_body() == {
        "timestamp": "2026-10-08T12:00:00-04:00", "is_open": True, "next_open": "2026-10-09T09:30:00-04:00",
        "next_close": "2026-10-08T16:00:00-04:00",
    }  # fmt: skip
    rows = desk.venue.calendar({"start": "2026-10-08", "end": "2026-10-11"})
    assert [row["date"] for row in rows] == ["2026-10-08", "2026-10-09"]
    assert refused(desk.venue.calendar, {"start": "soon"})[0] == 422
    assert at("2026-10-08 12:00") == desk.clock.t_ns


def test_the_figures_of_the_last_close_are_at_closing_prices_for_account_and_positions_alike() -> None:
    desk = holding("1000", "102")
    desk.market.closes["AAPL"] = Decimal("102.25")
    before = desk.venue.account()
    assert (before["last_equity"], before["balance_asof"]) == ("100000", "2026-10-07")
    for time in ("2026-10-08 21:00", "2026-10-09 03:59", "2026-10-09 12:00"):
        desk.until(time)
        account, position = desk.venue.account(), desk.venue.get_position("AAPL")
        moved = Decimal(account["equity"]) - Decimal(account["last_equity"])
        assert moved == Decimal(position["unrealized_intraday_pl"])
    assert (account["last_equity"], position["lastday_price"]) == ("103250", "102.25")


def test_working_orders_take_what_they_may_cost_from_the_buying_power() -> None:
    desk = Desk()
    desk.limit("90", qty="100")
    desk.order(qty="10", symbol="TSLA", type="stop", stop_price="105")
    desk.order(qty="5", symbol="KO", side="sell", type="limit", limit_price="120")
    account = desk.venue.account()
    reserved = 9000 + 1050 + 5 * 120
    assert Decimal(account["buying_power"]) == 400000 - reserved
    assert Decimal(account["regt_buying_power"]) == 200000 - reserved
    assert (account["cash"], account["equity"]) == ("100000", "100000")
