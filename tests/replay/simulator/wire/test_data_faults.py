"""Every fault of market data, and the other faults as they strike market data."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import requests

from replay.simulator.wire.data_faults import PARTS
from replay.simulator.wire.distortions import STUB_PRICE
from tests.replay.simulator.wire.reach import Reach, real

SNAPSHOTS = "/v2/stocks/snapshots?symbols=AAPL,MSFT"
HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


@pytest.fixture
def data() -> Iterator[Reach]:
    with real() as reached:
        yield reached


def snapshots(data: Reach) -> dict[str, Any]:
    found: dict[str, Any] = data.ask("GET", SNAPSHOTS).json()
    return found


def quotes(data: Reach) -> dict[str, Any]:
    return {symbol: parts["latestQuote"] for symbol, parts in snapshots(data).items()}


@pytest.mark.parametrize(
    ("fault", "more", "part"),
    [
        ("crossed_quote", {}, lambda quote: {"ap": quote["bp"], "bp": quote["ap"]}),
        ("one_sided_quote", {}, lambda _: {"ap": 0, "as": 0}),
        ("one_sided_quote", {"lacks": "bid"}, lambda _: {"bp": 0, "bs": 0}),
        ("stub_quote", {}, lambda _: {"ap": STUB_PRICE, "as": 1}),
    ],
)
def test_a_fault_of_the_quote_changes_it_for_its_symbols_only(
    data: Reach, fault: str, more: dict[str, Any], part: Any
) -> None:
    before = quotes(data)
    data.arm(fault, symbols="AAPL", **more)
    assert quotes(data) == before | {"AAPL": before["AAPL"] | part(before["AAPL"])}
    single = data.ask("GET", "/v2/stocks/AAPL/quotes/latest").json()["quote"]
    assert single == before["AAPL"] | part(before["AAPL"])
    data.ask("DELETE", "/simulator/faults")
    assert quotes(data) == before


def test_a_wide_quote_has_a_spread_of_so_many_per_cent(data: Reach) -> None:
    data.arm("wide_quote", percent=10)
    for quote in quotes(data).values():
        bid, ask = (Decimal(repr(quote[side])) for side in ("bp", "ap"))
        assert Decimal("0.1") <= (ask - bid) / ((ask + bid) / 2) < Decimal("0.101")


def test_a_stale_quote_is_that_of_some_time_ago(data: Reach) -> None:
    old = snapshots(data)
    data.pass_by(120)
    data.arm("stale_quote", seconds=120, symbols="MSFT")
    new = snapshots(data)
    assert new["MSFT"]["latestQuote"] == old["MSFT"]["latestQuote"]
    assert new["AAPL"]["latestQuote"]["t"] > old["AAPL"]["latestQuote"]["t"]
    assert new["MSFT"]["latestTrade"] != old["MSFT"]["latestTrade"]


def test_nothing_of_a_halted_symbol_is_newer_than_the_halt(data: Reach) -> None:
    old = snapshots(data)["AAPL"]
    data.pass_by(300)
    data.arm("halted_symbol", symbols="AAPL")
    new = snapshots(data)["AAPL"]
    nothing = {"ap": 0, "as": 0, "bp": 0, "bs": 0, "c": ["N"]}
    assert new == old | {"latestQuote": old["latestQuote"] | nothing}


def test_a_missing_symbol_is_absent_everywhere(data: Reach) -> None:
    data.arm("missing_symbol", symbols="AAPL")
    assert list(snapshots(data)) == ["MSFT"]
    for what in ("quotes/latest", "trades/latest", "bars/latest", "bars"):
        query = "&timeframe=1Day&feed=iex" if what == "bars" else ""
        answer = data.ask("GET", f"/v2/stocks/{what}?symbols=AAPL,MSFT{query}").json()
        assert list(answer[what.partition("/")[0]]) == ["MSFT"]
    assert data.ask("GET", "/v2/stocks/AAPL/snapshot").status_code == 404


@pytest.mark.parametrize("part", PARTS)
def test_one_part_of_a_snapshot_can_be_null(data: Reach, part: str) -> None:
    before = snapshots(data)
    data.arm("null_parts", part=part, symbols="AAPL")
    assert snapshots(data) == before | {"AAPL": before["AAPL"] | {part: None}}


def test_a_whole_snapshot_can_be_null_and_so_can_the_latest_quote(data: Reach) -> None:
    data.arm("null_parts", symbols="AAPL")
    assert snapshots(data)["AAPL"] is None
    answer = data.ask("GET", "/v2/stocks/quotes/latest?symbols=AAPL,MSFT").json()
    assert (answer["quotes"]["AAPL"], bool(answer["quotes"]["MSFT"])) == (None, True)


def test_only_requests_for_its_symbols_count_as_strikes_of_a_fault(data: Reach) -> None:
    data.arm("stub_quote", symbols="AAPL", times=1)
    data.ask("GET", "/v2/stocks/MSFT/quotes/latest")
    data.ask("GET", "/v2/stocks/snapshots?symbols=AAPL,a-b")
    data.ask("GET", "/v2/clock")
    assert data.simulator.faults.as_json()[0]["struck"] == 0
    assert quotes(data)["AAPL"]["ap"] == STUB_PRICE
    assert quotes(data)["AAPL"]["ap"] != STUB_PRICE


def test_other_faults_strike_market_data_by_its_path(data: Reach) -> None:
    data.arm("html_error", path="/v2/stocks/*")
    assert data.ask("GET", "/v2/clock").status_code == 200
    page = data.ask("GET", SNAPSHOTS)
    assert (page.status_code, page.headers["Content-Type"]) == (502, "text/html")
    data.arm("truncated_body", path="/v2/stocks/snapshots", missing_bytes=100)
    with pytest.raises(requests.exceptions.RequestException):
        snapshots(data)
    data.arm("slow_body", path="/v2/stocks/*", seconds=0.2)
    with pytest.raises(requests.exceptions.RequestException):
        data.ask("GET", SNAPSHOTS, timeout=(5, 0.01))


def test_market_data_has_a_rate_limit_of_its_own() -> None:
    with real(rate_limit=3, data_rate_limit=2, wall=lambda: 61.0) as reached:
        path = "/v2/stocks/snapshots?symbols=a-b"
        replies = [reached.ask("GET", path) for _ in range(3)]
        assert [reply.status_code for reply in replies] == [400, 400, 429]
        assert replies[2].json() == {"message": "too many requests."}
        assert [reply.headers["X-RateLimit-Remaining"] for reply in replies[:2]] == ["1", "0"]
        trading = reached.ask("GET", "/v2/clock")
        assert (trading.status_code, trading.headers["X-RateLimit-Remaining"]) == (200, "2")


def test_a_rate_limited_request_for_data_gets_the_words_and_headers_of_its_own_limit(data: Reach) -> None:
    data.arm("rate_limited", path="/v2/stocks/*", seconds=7)
    reply = data.ask("GET", SNAPSHOTS)
    assert (reply.status_code, reply.json()) == (429, {"message": "too many requests."})
    assert (reply.headers["X-RateLimit-Limit"], reply.headers["X-RateLimit-Remaining"]) == ("200", "0")


@pytest.mark.parametrize(("plan", "limit"), [("basic", "200"), ("algo_trader_plus", "10000")])
def test_the_rate_limit_of_market_data_is_that_of_the_plan(plan: Any, limit: str) -> None:
    with real(data_plan=plan) as reached:
        reply = reached.ask("GET", "/v2/stocks/snapshots?symbols=a-b")
        assert reply.headers["X-RateLimit-Limit"] == limit
        assert len(reply.headers["X-Request-ID"]) == 32


def test_a_reply_without_right_keys_or_plan_has_no_rate_limit_headers(data: Reach) -> None:
    wrong = data.ask("GET", SNAPSHOTS, headers={"APCA-API-SECRET-KEY": "wrong"})
    forbidden = data.ask("GET", SNAPSHOTS + "&feed=sip")
    assert (wrong.status_code, forbidden.status_code) == (401, 403)
    for reply in (wrong, forbidden):
        assert not any(name in reply.headers for name in HEADERS)
        assert "X-Request-ID" in reply.headers


def test_quotes_and_trades_may_be_stamped_with_the_machines_time() -> None:
    with real(data_clock="wall", wall=lambda: 1_800_000_000.5) as data:
        now = "2027-01-15T08:00:00.5Z"
        parts = snapshots(data)["AAPL"]
        assert (parts["latestQuote"]["t"], parts["latestTrade"]["t"]) == (now, now)
        assert parts["dailyBar"]["t"] < parts["minuteBar"]["t"] < now[:10]
        data.pass_by(60)
        data.arm("stale_quote", seconds=30)
        assert snapshots(data)["AAPL"]["latestQuote"]["t"] == "2027-01-15T07:59:30.5Z"


def test_a_wrong_method_is_refused(data: Reach) -> None:
    assert data.ask("POST", SNAPSHOTS).status_code == 405
