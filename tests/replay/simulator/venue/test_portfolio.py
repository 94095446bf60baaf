"""The account's equity over time."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.replay.simulator.venue.desk import NEW_YORK, Desk, at, refused


def history(desk: Desk, **query: str) -> dict[str, Any]:
    return desk.venue.portfolio_history(query)


def when(body: dict[str, Any]) -> list[str]:
    stamps = [datetime.fromtimestamp(stamp, NEW_YORK) for stamp in body["timestamp"]]
    return [f"{stamp:%m-%d %H:%M}" for stamp in stamps]


@pytest.fixture
def desk() -> Desk:
    """Ten shares at 100.01 on Thursday; they are worth 110 at its close, and 120 on Friday at noon."""
    desk = Desk("2026-10-08 10:00", partial=0.0)
    desk.limit("100.01")
    desk.tick()
    assert desk.get(desk.venue.list_orders({"status": "all"})[0])["filled_avg_price"] == "100.01"
    desk.until("2026-10-08 11:00")
    desk.price("AAPL", "110")
    desk.market.closes["AAPL"] = Decimal(110)
    desk.until("2026-10-09 11:00")
    desk.price("AAPL", "120")
    desk.until("2026-10-09 12:00")
    return desk


def test_days_have_their_closing_equity_and_today_the_equity_now(desk: Desk) -> None:
    body = history(desk, period="7D", timeframe="1D")
    assert when(body) == ["10-05 20:00", "10-06 20:00", "10-07 20:00", "10-08 20:00", "10-09 12:00"]
    assert body["equity"] == [0, 0, 0, 100099.9, 100199.9]
    assert body["profit_loss"] == [0, 0, 0, 99.9, 100]
    assert body["profit_loss_pct"] == [None, None, None, 0.001, 0.001]
    assert (body["base_value"], body["timeframe"]) == (100000, "1D")
    assert "base_value_asof" not in body
    account = desk.venue.account()
    assert Decimal(account["equity"]) == Decimal(str(body["equity"][-1]))
    assert Decimal(account["last_equity"]) == Decimal(str(body["equity"][-2]))


def test_windows_have_the_equity_at_their_end(desk: Desk) -> None:
    body = history(desk, period="1D", timeframe="1H")
    assert when(body) == ["10-09 09:30", "10-09 10:30", "10-09 11:30"]
    assert body["equity"] == [100099.9, 100199.9, 100199.9]
    assert body["profit_loss"] == [0, 100, 100]
    assert (body["base_value"], body["base_value_asof"]) == (100099.9, "2026-10-08")


def test_gains_within_days_are_measured_from_the_day_before_or_from_the_base(desk: Desk) -> None:
    asked = {"start": "2026-10-08T15:00:00-04:00", "end": "2026-10-09T10:00:00-04:00", "timeframe": "1H"}
    assert history(desk, **asked)["profit_loss"] == [99.9, 99.9, 0]
    assert history(desk, **asked, pnl_reset="no_reset")["profit_loss"] == [99.9, 99.9, 99.9]


@pytest.mark.parametrize(
    ("query", "first", "last", "count"),
    [
        ({"period": "1D", "intraday_reporting": "extended_hours"}, "10-09 04:00", "10-09 12:00", 481),
        ({"period": "1D", "extended_hours": "true"}, "10-09 04:00", "10-09 12:00", 481),
        ({"period": "1D", "intraday_reporting": "continuous"}, "10-09 00:00", "10-09 12:00", 721),
        ({"period": "1W"}, "10-05 09:30", "10-09 12:00", 4 * 27 + 11),
        ({}, "09-10 20:00", "10-09 12:00", 22),
        ({"start": "1791475200", "end": "2026-10-08"}, "10-07 20:00", "10-07 20:00", 0),
        ({"date_start": "2026-10-07", "date_end": "2026-10-08"}, "10-07 09:30", "10-08 16:00", 782),
        ({"date_end": "2026-10-08", "period": "1D", "timeframe": "1D"}, "10-08 20:00", "10-08 20:00", 1),
        ({"start": "2026-10-12", "timeframe": "1D"}, "", "", 0),
        ({"start": "0001-01-02", "end": "0001-01-03"}, "", "", 0),
        ({"start": "9999-12-30", "period": "1D"}, "", "", 0),
    ],
)
def test_the_times_of_a_period(desk: Desk, query: dict[str, str], first: str, last: str, count: int) -> None:
    body = history(desk, **query)
    times = when(body)
    assert len(times) == len(body["equity"]) == len(body["profit_loss_pct"])
    assert (len(times), times[:1], times[-1:]) == (count, [first][:count], [last][:count])


def test_the_last_day_is_yesterday_until_the_market_opens() -> None:
    desk = Desk("2026-10-08 10:00")
    desk.until("2026-10-09 08:00")
    assert when(history(desk, period="1D", timeframe="1D")) == ["10-08 20:00"]
    extended = history(desk, period="1D", timeframe="1H", intraday_reporting="extended_hours")
    assert when(extended)[0] == "10-09 04:00"


def test_a_split_changes_no_equity(desk: Desk) -> None:
    before = history(desk, period="1W", timeframe="1H")
    desk.venue.split("AAPL", Decimal(4))
    assert history(desk, period="1W", timeframe="1H") == before


def test_a_short_position_lowers_the_equity_as_the_price_rises() -> None:
    desk = Desk("2026-10-08 10:00")
    desk.order(side="sell")
    desk.until("2026-10-08 11:00")
    desk.price("AAPL", "110")
    desk.tick()
    body = history(desk, period="1D", timeframe="1D")
    assert body["equity"][0] == float(desk.venue.account()["equity"]) < 100000
    assert at("2026-10-08 11:00") // 10**9 < body["timestamp"][0] + 1


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"period": "1X"}, "invalid period"),
        ({"period": "0D"}, "invalid period"),
        ({"period": "9999A"}, "invalid period"),
        ({"timeframe": "2Min"}, "invalid timeframe"),
        ({"start": "yesterday"}, "invalid start"),
        ({"period": "2M", "timeframe": "1H"}, "timeframe must be 1D"),
        ({"start": "2026-01-01", "end": "2026-10-08", "timeframe": "1H"}, "timeframe must be 1D"),
        ({"start": "2026-10-07", "end": "2026-10-08", "period": "1D"}, "only two of start, end and period"),
        ({"pnl_reset": "never"}, "invalid pnl_reset"),
        ({"intraday_reporting": "always"}, "invalid intraday_reporting"),
        ({"cashflow_types": "CSD,GIFT"}, "invalid cashflow_types"),
        ({"date_end": "tomorrow"}, "invalid date_end"),
    ],
)
def test_what_is_wrong_is_refused(query: dict[str, str], words: str) -> None:
    status, body = refused(Desk().venue.portfolio_history, query)
    assert status == 422
    assert words in body["message"]
