"""Pages of bars: intervals, time frames, order, and what a plan shows of the last minutes."""

from __future__ import annotations

from typing import Any

import pytest

from replay.simulator.timestamps import SECOND
from tests.replay.simulator.conformance.desk import NOON_NS, Desk, Query, opened

DAYS = {"timeframe": "1Day", "start": "2026-09-28", "end": "2026-10-08"}


def stamps(desk: Desk, **query: str) -> list[str]:
    answer = desk.get("/v2/stocks/AAPL/bars", **query)
    assert answer["next_page_token"] is None
    return [bar["t"] for bar in answer["bars"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (DAYS | {"start": "2026-10-07"}, ["2026-10-07T04:00:00Z", "2026-10-08T04:00:00Z"]),
        (DAYS | {"start": "2026-10-03", "end": "2026-10-05T03:59:59Z"}, []),
        (DAYS | {"start": "2026-10-05T04:00:00Z", "end": "2026-10-05T04:00:00Z"}, ["2026-10-05T04:00:00Z"]),
        (DAYS | {"timeframe": "1W"}, ["2026-09-28T04:00:00Z", "2026-10-05T04:00:00Z"]),
        (DAYS | {"timeframe": "1M", "start": "2026-09-02"}, ["2026-10-01T04:00:00Z"]),
        (DAYS | {"timeframe": "6Month", "start": "2026-01-01", "sort": "desc"},
         ["2026-07-01T04:00:00Z", "2026-01-01T05:00:00Z"]),
        ({"timeframe": "12H", "start": "2026-10-07"},
         ["2026-10-07T04:00:00Z", "2026-10-07T16:00:00Z", "2026-10-08T04:00:00Z", "2026-10-08T16:00:00Z"]),
        ({"timeframe": "59T", "start": "2026-10-08T14:00:00Z"}, ["2026-10-08T14:49:00Z"]),
        ({"timeframe": "1Hour", "start": "2026-10-08T11:00:00-04:00"},
         ["2026-10-08T15:00:00Z", "2026-10-08T16:00:00Z"]),
        ({"timeframe": "1Min", "start": "2026-10-08T15:58:00Z"},
         ["2026-10-08T15:58:00Z", "2026-10-08T15:59:00Z"]),
        ({"timeframe": "1Day"}, ["2026-10-08T04:00:00Z"]),
        ({"timeframe": "1Day", "start": "2027-01-01"}, []),
    ],
)  # fmt: skip
def test_bars_are_stamped_with_their_start(desk: Desk, query: Query, expected: list[str]) -> None:
    assert stamps(desk, **query) == expected


def test_early_closes_have_fewer_minutes(desk: Desk) -> None:
    desk.simulator.simulation.clock.set(NOON_NS + 60 * 86_400 * SECOND)
    minutes = stamps(desk, timeframe="1Min", start="2026-11-27", end="2026-11-27")
    assert (len(minutes), minutes[-1]) == (13 * 60, "2026-11-27T21:59:00Z")


@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_pages_hold_so_many_bars_of_all_symbols_together(desk: Desk, sort: str) -> None:
    query = {"symbols": "MSFT,AAPL,ZZZZ", "sort": sort, **DAYS}
    whole = desk.get("/v2/stocks/bars", **query)
    assert list(whole["bars"]) == ["AAPL", "MSFT"]
    assert [len(bars) for bars in whole["bars"].values()] == [9, 9]
    pages: list[list[tuple[str, Any]]] = []
    token: str | None = None
    while token is not None or not pages:
        more = {} if token is None else {"page_token": token}
        page = desk.get("/v2/stocks/bars", limit="6", **query, **more)
        pages.append([(symbol, bar) for symbol, bars in page["bars"].items() for bar in bars])
        token = page["next_page_token"]
    assert [len(page) for page in pages] == [6, 6, 6]
    together = [row for page in pages for row in page]
    assert together == [(symbol, bar) for symbol, bars in whole["bars"].items() for bar in bars]
    times = [bar["t"] for bar in whole["bars"]["AAPL"]]
    assert times == sorted(times, reverse=sort == "desc")


def test_a_plan_without_sip_shows_none_of_its_last_fifteen_minutes() -> None:
    with opened() as desk:
        day = desk.get("/v2/stocks/AAPL/bars", timeframe="1Day")["bars"]
        minutes = stamps(desk, timeframe="1Min", start="2026-10-08T15:00:00Z")
        now = stamps(desk, timeframe="1Min", start="2026-10-08T15:00:00Z", feed="iex")
        old = {"timeframe": "1Min", "start": "2026-10-08T15:44:00Z", "end": "2026-10-08T15:45:00Z"}
        assert stamps(desk, **old) == ["2026-10-08T15:44:00Z"]
        assert desk.ask("GET", "/v2/stocks/AAPL/bars", **old | {"end": "2026-10-08T15:45:01Z"}).status == 403
    assert (minutes[-1], now[-1]) == ("2026-10-08T15:44:00Z", "2026-10-08T15:59:00Z")
    with opened(data_plan="algo_trader_plus") as desk:
        desk_day = desk.get("/v2/stocks/AAPL/bars", timeframe="1Day")["bars"]
    assert day[0]["v"] < desk_day[0]["v"]
