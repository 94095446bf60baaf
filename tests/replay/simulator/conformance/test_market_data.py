"""Every endpoint of market data against Alpaca's OpenAPI document; additional properties are allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from replay.simulator.wire.app import DATA_ENDPOINTS
from tests.replay.simulator.conformance.api_document import ApiDocument
from tests.replay.simulator.conformance.desk import Desk, Exchange, Query, opened
from tests.replay.simulator.conformance.documents import market_data_api

ASKED: tuple[tuple[str, Query], ...] = (
    ("/v2/stocks/snapshots", {"symbols": "AAPL,BRK.B,ZZZZ"}),
    ("/v2/stocks/quotes/latest", {"symbols": "AAPL,BRK.B,ZZZZ", "feed": "iex", "currency": "USD"}),
    ("/v2/stocks/trades/latest", {"symbols": "AAPL,TCEHY", "feed": "delayed_sip"}),
    ("/v2/stocks/bars/latest", {"symbols": "AAPL,MSFT", "currency": "USD"}),
    ("/v2/stocks/AAPL/snapshot", {"currency": "USD"}),
    ("/v2/stocks/BRK.B/quotes/latest", {"feed": "delayed_sip", "currency": "USD"}),
    ("/v2/stocks/AAPL/trades/latest", {}),
    ("/v2/stocks/AAPL/bars/latest", {"feed": "iex"}),
    (
        "/v2/stocks/bars",
        {
            "symbols": "AAPL,MSFT,ZZZZ",
            "timeframe": "1Day",
            "start": "2026-10-01T00:00:00Z",
            "end": "2026-10-07T00:00:00Z",
            "limit": "5",
            "adjustment": "split,spin-off",
            "asof": "-",
            "feed": "sip",
            "currency": "USD",
            "sort": "desc",
        },
    ),
    ("/v2/stocks/AAPL/bars", {"timeframe": "5Min", "feed": "iex", "asof": "2026-10-08"}),
    ("/v2/stocks/ZZZZ/bars", {"timeframe": "1Hour"}),
)

# (path, query, status, message). The first one is recorded; public clients quote those of symbols and SIP.
REFUSED: tuple[tuple[str, Query, int, str], ...] = (
    ("/v2/stocks/snapshots", {"symbols": "AAPL", "start": "2026-10-08", "limit": "3"}, 400,
     "unexpected parameter(s): start, limit"),
    ("/v2/stocks/AAPL/quotes/latest", {"symbols": "AAPL"}, 400, "unexpected parameter(s): symbols"),
    ("/v2/stocks/snapshots", {"symbols": "AAPL,BRK-B,A1"}, 400, "code=400, message=invalid symbol: BRK-B"),
    ("/v2/stocks/quotes/latest", {"symbols": "GME1"}, 400, "code=400, message=invalid symbol: GME1"),
    ("/v2/stocks/trades/latest", {"symbols": "AAPL,"}, 400, "code=400, message=invalid symbol: "),
    ("/v2/stocks/BTC-USD/bars/latest", {}, 400, "code=400, message=invalid symbol: BTC-USD"),
    ("/v2/stocks/snapshots", {}, 400, "symbols is required"),
    ("/v2/stocks/snapshots", {"symbols": "AAPL", "feed": "nasdaq"}, 400, "invalid feed: nasdaq"),
    ("/v2/stocks/snapshots", {"symbols": "AAPL", "currency": "EUR"}, 400, "invalid currency: EUR"),
    ("/v2/stocks/snapshots", {"symbols": "AAPL", "feed": "sip"}, 403,
     "subscription does not permit querying recent SIP data"),
    ("/v2/stocks/AAPL/snapshot", {"feed": "otc"}, 403, "subscription does not permit querying OTC data"),
    ("/v2/stocks/ZZZZ/snapshot", {}, 404, "no snapshot found for ZZZZ"),
    ("/v2/stocks/TCEHY/quotes/latest", {}, 404, "no quote found for TCEHY"),
    ("/v2/stocks/bars", {"symbols": "AAPL,CSP1", "timeframe": "1Day"}, 400, "invalid symbol: CSP1"),
    ("/v2/stocks/bars", {"symbols": "AAPL"}, 400, "timeframe is required"),
    *(("/v2/stocks/AAPL/bars", {"timeframe": "1Day", name: value}, 400, f"invalid {name}: {value}")
      for name, value in (
          ("timeframe", "60Min"), ("timeframe", "1day"), ("timeframe", "5Month"), ("limit", "0"),
          ("limit", "10001"), ("start", "soon"), ("end", "2026-13-01"), ("adjustment", "raw,none"),
          ("sort", "up"), ("asof", "now"), ("page_token", "x"), ("page_token", "QUFQTHxN"),
          ("feed", "delayed_sip"))),
    ("/v2/stocks/AAPL/bars", {"timeframe": "1D", "start": "2026-10-02", "end": "2026-10-01"}, 400,
     "end should not be before start"),
    ("/v2/stocks/AAPL/bars", {"timeframe": "1D", "end": "2026-10-08T16:00:00Z"}, 403,
     "subscription does not permit querying recent SIP data"),
    ("/v2/stocks/AAPL/bars", {"timeframe": "1D", "feed": "boats"}, 403,
     "subscription does not permit querying BOATS data"),
    ("/v2/stocks/AAPL/quotes/newest", {}, 404, "endpoint not found."),
)  # fmt: skip


@pytest.fixture(scope="module")
def api() -> ApiDocument:
    return ApiDocument(market_data_api())


@pytest.fixture(scope="module")
def shared() -> Iterator[Desk]:
    with opened() as desk:
        yield desk


def template(path: str) -> str:
    return re.sub(r"/[A-Z.]+/", "/{symbol}/", path)


def test_every_endpoint_is_asked() -> None:
    assert {template(path) for path, _ in ASKED} == {path for _, path, _, _ in DATA_ENDPOINTS}


@pytest.mark.parametrize(("path", "query"), ASKED, ids=[path for path, _ in ASKED])
def test_requests_and_answers_are_as_the_document_has_them(
    shared: Desk, api: ApiDocument, path: str, query: Query
) -> None:
    exchange = shared.ask("GET", path, **query)
    assert (exchange.status, api.faults_of_request(exchange), api.faults_of_answer(exchange)) == (200, [], [])


@pytest.mark.parametrize(("path", "query", "status", "message"), REFUSED)
def test_a_refusal_has_a_message_and_no_code(
    shared: Desk, path: str, query: Query, status: int, message: str
) -> None:
    exchange = shared.ask("GET", path, **query)
    assert (exchange.status, exchange.answer) == (status, {"message": message})


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ({"AAPL": {"latestQuote": {"ap": "1"}}}, "AAPL.latestQuote.ap: '1' is not of type 'number'"),
        ({"AAPL": {"latestTrade": {}}}, "AAPL.latestTrade: 't' is a required property"),
    ],
)
def test_a_wrong_answer_is_found(api: ApiDocument, answer: Any, fault: str) -> None:
    assert fault in api.faults_of_answer(Exchange("GET", "/v2/stocks/snapshots", {}, None, 200, answer))


def test_snapshots_have_no_envelope_and_null_for_an_asset_without_data(shared: Desk) -> None:
    found = shared.get("/v2/stocks/snapshots", symbols="TCEHY,ZZZZ,AAPL,AAPL")
    assert list(found) == ["TCEHY", "AAPL"]
    assert found["TCEHY"] is None  # an over-the-counter share, as recorded of another
    parts = ["latestTrade", "latestQuote", "minuteBar", "dailyBar", "prevDailyBar"]
    assert sorted(found["AAPL"]) == sorted(parts)


def test_symbols_without_data_are_absent_from_the_other_maps(shared: Desk) -> None:
    for what in ("quotes", "trades", "bars"):
        found = shared.get(f"/v2/stocks/{what}/latest", symbols="TCEHY,ZZZZ,AAPL")
        assert list(found[what]) == ["AAPL"]
