"""Market data is that of the market in which the simulator's orders fill."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from replay.simulator.market.sessions import FIRST_NS
from replay.simulator.timestamps import SECOND, read
from tests.replay.simulator.conformance.desk import NOON_NS, Desk, opened

TO_FILL_S = 0.012
MINUTE_NS = 60 * SECOND


def number(value: float) -> Decimal:
    return Decimal(repr(value))


def snapshot(desk: Desk, symbol: str = "AAPL") -> dict[str, Any]:
    found: dict[str, Any] = desk.get("/v2/stocks/snapshots", symbols=symbol)[symbol]
    return found


def advance_to(desk: Desk, time: str) -> None:
    t_ns = read(time)
    assert t_ns is not None
    desk.simulator.simulation.clock.set(t_ns)
    desk.simulator.venue.advance()


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_market_order_fills_within_the_quote_of_its_time(desk: Desk, side: str) -> None:
    for symbol in ("AAPL", "MSFT", "KO", "F"):
        desk.place(symbol=symbol, side=side, qty="200")
        desk.wait(TO_FILL_S)
        fill = desk.get("/v2/account/activities/FILL")[0]
        quote = desk.get(f"/v2/stocks/{symbol}/quotes/latest")["quote"]
        assert (fill["symbol"], fill["transaction_time"]) == (symbol, quote["t"])
        assert number(quote["bp"]) <= Decimal(fill["price"]) <= number(quote["ap"])
        desk.wait(7.7)


def test_bars_contain_every_fill(desk: Desk) -> None:
    orders = (("buy", None), ("sell", None), ("buy", "0.9999"), ("sell", "1.0001"))
    for step, (side, limit) in enumerate(orders):
        price = None if limit is None else desk.price(limit)
        desk.place(side=side, qty=str(150 - step), type="limit" if limit else "market", limit_price=price)
        desk.wait(3000)
    fills = desk.get("/v2/account/activities/FILL")
    assert len(fills) == 4
    day = snapshot(desk)["dailyBar"]
    for fill in fills:
        t_ns = read(fill["transaction_time"]) or 0
        stamp = desk.get(
            "/v2/stocks/AAPL/bars", timeframe="1Min", start="2026-10-08", end="2026-10-08", limit="10000"
        )["bars"]
        (minute,) = [bar for bar in stamp if read(bar["t"]) == t_ns - t_ns % MINUTE_NS]
        for bar in (minute, day):
            assert number(bar["l"]) <= Decimal(fill["price"]) <= number(bar["h"])
            assert bar["l"] <= bar["vw"] <= bar["h"]
            assert bar["v"] >= Decimal(fill["qty"])


def test_the_account_is_worth_its_positions_at_the_latest_trades(desk: Desk) -> None:
    for symbol, side in (("AAPL", "buy"), ("KO", "sell")):
        desk.place(symbol=symbol, side=side, qty="30")
    for seconds in (5, 777.7, 86_400):
        desk.wait(seconds)
        account, trades = desk.get("/v2/account"), desk.get("/v2/stocks/trades/latest", symbols="AAPL,KO")
        prices = {symbol: number(trade["p"]) for symbol, trade in trades["trades"].items()}
        assert Decimal(account["equity"]) == Decimal(account["cash"]) + 30 * (prices["AAPL"] - prices["KO"])
    closes = {symbol: snapshot(desk, symbol)["prevDailyBar"]["c"] for symbol in ("AAPL", "KO")}
    held = 30 * (number(closes["AAPL"]) - number(closes["KO"]))
    assert Decimal(account["last_equity"]) == Decimal(account["cash"]) + held


def test_the_minutes_of_a_day_make_up_its_bar(desk: Desk) -> None:
    day = snapshot(desk)["prevDailyBar"]
    query = {"timeframe": "1Min", "start": "2026-10-07", "end": "2026-10-07", "limit": "10000"}
    minutes = desk.get("/v2/stocks/AAPL/bars", **query)["bars"]
    assert len(minutes) == 16 * 60
    assert sum(bar["v"] for bar in minutes) == day["v"]
    regular = [bar for bar in minutes if "2026-10-07T13:30" <= bar["t"] < "2026-10-07T20:00"]
    assert max(bar["h"] for bar in regular) == pytest.approx(day["h"], abs=0.011)
    assert min(bar["l"] for bar in regular) == pytest.approx(day["l"], abs=0.011)
    hours = desk.get("/v2/stocks/AAPL/bars", **query | {"timeframe": "1Hour"})["bars"]
    assert (len(hours), sum(bar["v"] for bar in hours)) == (16, day["v"])
    assert (hours[0]["o"], hours[-1]["c"]) == (minutes[0]["o"], minutes[-1]["c"])


def test_the_minute_bar_is_that_of_the_last_whole_minute(desk: Desk) -> None:
    desk.wait(90)
    bar = snapshot(desk)["minuteBar"]
    assert bar["t"] == "2026-10-08T16:00:00Z"
    query = {"timeframe": "1Min", "sort": "desc", "limit": "1"}
    assert desk.get("/v2/stocks/AAPL/bars", **query)["bars"] == [bar]
    assert desk.get("/v2/stocks/bars/latest", symbols="AAPL")["bars"] == {"AAPL": bar}


def test_before_the_open_the_daily_bar_is_that_of_the_session_before(desk: Desk) -> None:
    today = snapshot(desk)["dailyBar"]["t"]
    advance_to(desk, "2026-10-09T13:29:59Z")
    early = snapshot(desk)
    assert (today, early["dailyBar"]["t"]) == ("2026-10-08T04:00:00Z", "2026-10-08T04:00:00Z")
    assert early["prevDailyBar"]["t"] == "2026-10-07T04:00:00Z"
    assert early["latestTrade"]["c"] == ["@", "T"]
    advance_to(desk, "2026-10-09T13:30:00Z")
    then = snapshot(desk)
    assert (then["dailyBar"]["t"], then["prevDailyBar"]) == ("2026-10-09T04:00:00Z", early["dailyBar"])
    assert then["latestTrade"]["c"] == ["@"]


def test_at_the_begin_of_the_calendar_both_daily_bars_are_of_its_first_session() -> None:
    with opened(start_ns=FIRST_NS) as desk:
        parts = snapshot(desk)
    assert parts["dailyBar"] == parts["prevDailyBar"]
    assert parts["dailyBar"]["t"] == "2010-01-04T05:00:00Z"


def test_bars_of_a_file_are_answered_as_they_are_in_it(tmp_path: Path) -> None:
    rows = [
        "A,2026-10-08T09:30:00-04:00,100,103.25,99,102",
        "A,2026-10-08T09:31:00-04:00,101,101.5,98,98.5",
        "A,2026-10-08T09:32:00-04:00,0.5,0.75,0.25,0.3333",
    ]
    (tmp_path / "bars.csv").write_text("\n".join(["symbol,timestamp,open,high,low,close", *rows]))
    with opened(prices=tmp_path / "bars.csv", data_plan="algo_trader_plus") as desk:
        bars = desk.get("/v2/stocks/A/bars", timeframe="1Min", start="2026-10-08T13:30:00Z", limit="3")[
            "bars"
        ]
        day = snapshot(desk, "A")["dailyBar"]
    assert [[str(bar[name]) for name in "ohlc"] for bar in bars] == [
        ["100.0", "103.25", "99.0", "102.0"],
        ["101.0", "101.5", "98.0", "98.5"],
        ["0.5", "0.75", "0.25", "0.3333"],
    ]
    assert [day[name] for name in "ohlc"] == [100, 103.25, 0.25, 0.3333]


def test_between_sessions_quote_and_trade_are_as_old_as_the_last_session(desk: Desk) -> None:
    advance_to(desk, "2026-10-10T16:00:00Z")  # a Saturday
    parts = snapshot(desk)
    end = "2026-10-10T00:00:00Z"  # 20:00 in New York
    assert (parts["latestQuote"]["t"], parts["latestTrade"]["t"]) == (end, end)
    assert parts["minuteBar"]["t"] == "2026-10-09T23:59:00Z"


def test_the_delayed_feed_is_the_tape_of_fifteen_minutes_ago(desk: Desk) -> None:
    before = snapshot(desk)
    desk.wait(900)
    after = desk.get("/v2/stocks/snapshots", symbols="AAPL", feed="delayed_sip")["AAPL"]
    assert after == before
    assert snapshot(desk) != before


def test_the_iex_feed_has_its_own_exchange_and_a_part_of_the_volume(desk: Desk) -> None:
    sip = snapshot(desk)
    iex = desk.get("/v2/stocks/snapshots", symbols="AAPL", feed="iex")["AAPL"]
    assert (iex["latestQuote"]["bx"], sip["latestQuote"]["bx"]) == ("V", "Q")
    assert iex["dailyBar"]["v"] == sip["dailyBar"]["v"] // 40
    assert iex["latestTrade"]["p"] == sip["latestTrade"]["p"]


def test_the_best_feed_that_the_plan_permits_is_the_default() -> None:
    places = {}
    for plan in ("basic", "algo_trader_plus"):
        with opened(data_plan=plan) as desk:
            places[plan] = snapshot(desk)["latestQuote"]["bx"]
    assert places == {"basic": "V", "algo_trader_plus": "Q"}


def test_feeds_have_the_symbols_that_trade_there(desk: Desk) -> None:
    for feed, expected in (("otc", "TCEHY"), ("sip", "AAPL"), ("overnight", None), ("boats", None)):
        found = desk.get("/v2/stocks/snapshots", symbols="AAPL,TCEHY", feed=feed)
        assert [symbol for symbol, parts in found.items() if parts] == ([expected] if expected else [])


def test_prices_before_a_split_are_in_the_shares_of_their_time_unless_adjusted(desk: Desk) -> None:
    before = snapshot(desk)
    desk.place(qty="150")
    desk.wait()
    paid = number(float(desk.get("/v2/account/activities/FILL")[0]["price"]))
    desk.simulator.venue.split("AAPL", Decimal(4))
    after = snapshot(desk)
    assert after["prevDailyBar"] == before["prevDailyBar"]
    assert after["latestQuote"]["bp"] == pytest.approx(before["latestQuote"]["bp"] / 4, abs=0.1)
    assert number(after["dailyBar"]["l"]) <= paid / 4 <= number(after["dailyBar"]["h"])
    query = {"timeframe": "1Day", "start": "2026-10-07"}
    raw = desk.get("/v2/stocks/AAPL/bars", **query)["bars"]
    adjusted = desk.get("/v2/stocks/AAPL/bars", **query, adjustment="dividend,split")["bars"]
    assert raw[0] == before["prevDailyBar"]
    assert adjusted[0]["c"] == pytest.approx(raw[0]["c"] / 4, abs=0.01)
    assert raw[1] == adjusted[1] == after["dailyBar"]


def test_the_same_seed_and_time_give_the_same_answers(desk: Desk) -> None:
    with opened(data_plan="algo_trader_plus") as other:
        other.get("/v2/stocks/bars/latest", symbols="MSFT")  # whatever was asked before
        assert snapshot(other) == snapshot(desk)
    assert read(snapshot(desk)["latestQuote"]["t"]) == NOON_NS
