"""Alpaca's quotes: what is asked, what each reply means, and that a bad symbol costs only itself.

Replies are shaped as in Alpaca's document of its market data, with invented prices.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from engine.brokers.alpaca.market_data import SYMBOLS_AT_ONCE, AlpacaMarketData
from engine.brokers.alpaca.snapshots import parse_snapshots
from engine.brokers.quotes import Quote, Snapshots
from engine.errors import BrokerError, ConfigurationError, DataUnavailable, EngineError
from engine.waiting.deadline import Deadline
from engine.waiting.retry_policy import RetryPolicy
from tests.engine.brokers.loopback import (
    API_KEY,
    HTML_ERROR,
    SECRET_KEY,
    Loopback,
    LoopbackHandler,
    Recorded,
    says,
    sends_half,
)

AT = "2026-03-02T15:00:00.123456789Z"
QUOTE = {"ap": 172.7, "as": 5, "ax": "Q", "bp": 172.6, "bs": 2, "bx": "Q", "c": ["R"], "t": AT, "z": "C"}
TRADE = {"c": ["@"], "i": 1011, "p": 172.61, "s": 160, "t": AT, "x": "Q", "z": "C"}
BAR = {"c": 173.03, "h": 173.71, "l": 171.66, "n": 5, "o": 172.62, "t": AT, "v": 56, "vw": 172.7}
BARS = dict.fromkeys(("dailyBar", "minuteBar", "prevDailyBar"), BAR)
SNAPSHOT = {"latestQuote": QUOTE, "latestTrade": TRADE, **BARS}
OK = Quote("SPY", 172.6, 172.7, 172.61, datetime(2026, 3, 2, 15, 0, 0, 123456, tzinfo=UTC))


@pytest.fixture
def data(server: Loopback) -> Iterator[AlpacaMarketData]:
    with requests.Session() as session:
        yield at(server.url, session)


def at(url: str, session: requests.Session | None = None, *, read_s: float = 0) -> AlpacaMarketData:
    return AlpacaMarketData(
        feed="iex",
        api_key=API_KEY,
        secret_key=SECRET_KEY,
        data_host=url,
        session=session,
        retry_policy=RetryPolicy(read_s=read_s),
    )


def ask(data: AlpacaMarketData, *symbols: str, within_s: float = 5.0) -> Snapshots:
    return data.snapshots(symbols, deadline=Deadline.after(within_s))


def asked(server: Loopback) -> list[list[str]]:
    """Return the symbols of each request so far."""
    return [parse_qs(urlsplit(one.path).query)["symbols"][0].split(",") for one in server.seen]


def answers(server: Loopback, *bad: str, message: str = "invalid symbol: {}", name: bool = False) -> None:
    """Answer all requests: 400 for those with a bad symbol, else a snapshot of each symbol."""

    def answer(handler: LoopbackHandler) -> None:
        server.answers.append(answer)
        symbols = parse_qs(urlsplit(handler.path).query)["symbols"][0].split(",")
        wrong = [symbol for symbol in symbols if symbol in bad]
        said = message.format(wrong[0]) if wrong and name else message
        body: Any = {"message": said} if wrong else dict.fromkeys(symbols, SNAPSHOT)
        says(400 if wrong else 200, body)(handler)

    server.answers.append(answer)


# --- what a reply means


def test_quotes_are_asked_for_with_feed_and_keys_and_read(server: Loopback, data: AlpacaMarketData) -> None:
    server.answers.append(says(200, {"SPY": SNAPSHOT, "BRK.B": None, "QQQ": {}}))
    found = ask(data, "SPY", "BRK.B", "QQQ", "KO")
    assert repr(dict(found.quotes)) == repr(
        {"SPY": OK, "BRK.B": Quote("BRK.B", verdict="absent"), "QQQ": Quote("QQQ", verdict="absent")}
    )
    assert found.failed == {}
    (request,) = server.seen
    assert request.path == "/v2/stocks/snapshots?symbols=BRK.B,KO,QQQ,SPY&feed=iex"
    assert (request.headers["APCA-API-KEY-ID"], request.headers["APCA-API-SECRET-KEY"]) == (
        API_KEY,
        SECRET_KEY,
    )


def snapshot(quote: Any = QUOTE, trade: Any = TRADE) -> bytes:
    return json.dumps({"SPY": {"latestQuote": quote, "latestTrade": trade}}).encode()


@pytest.mark.parametrize(
    ("quote", "verdict"),
    [
        (None, "absent"),
        ([], "unreadable"),
        ({}, "unreadable"),
        *(
            (QUOTE | {side: value}, "unreadable")
            for side in ("bp", "ap")
            for value in (None, "1", True, -1, 1e9)
        ),
        *((QUOTE | {"t": value}, "unreadable") for value in (None, 5, "", "2026-03-02T15:00:00", "soon")),
        (QUOTE | {"bp": 0, "ap": 199_999.99}, "ok"),
        (QUOTE | {"bp": 5, "ap": 4}, "ok"),
    ],
)
def test_a_quote_that_cannot_be_read_is_no_quote_and_others_are_judged_by_the_rules(
    quote: Any, verdict: str
) -> None:
    read = parse_snapshots(snapshot(quote), ["SPY"])["SPY"]
    assert (read.verdict, read.last) == (verdict, 172.61)
    if verdict != "ok":
        assert math.isnan(read.bid)
        assert math.isnan(read.ask)
    else:
        assert (read.bid, read.ask) == (quote["bp"], quote["ap"])


@pytest.mark.parametrize(
    "trade",
    [
        None,
        {},
        [],
        TRADE | {"p": 0},
        TRADE | {"u": "canceled"},
        TRADE | {"u": "incorrect"},
        TRADE | {"p": []},
    ],
)
def test_a_trade_that_is_none_is_no_last_price(trade: Any) -> None:
    read = parse_snapshots(snapshot(trade=trade), ["SPY"])["SPY"]
    assert math.isnan(read.last)
    assert read.verdict == "ok"
    assert parse_snapshots(snapshot(trade=TRADE | {"u": "corrected"}), ["SPY"])["SPY"] == OK


def test_an_empty_answer_has_no_quote_and_one_about_other_things_is_an_error() -> None:
    assert parse_snapshots(b"{}", ["SPY"]) == {}
    for body in (b'{"snapshots": {"SPY": {}}}', b'{"message": "hello"}', b"[]", b"null"):
        with pytest.raises(ValueError, match=r"it has none of the symbols|it is not a JSON object"):
            parse_snapshots(body, ["SPY"])


def test_two_spellings_of_one_symbol_are_no_quote() -> None:
    body = json.dumps({"BRK.B": SNAPSHOT, "BRK/B": SNAPSHOT}).encode()
    assert parse_snapshots(body, ["BRK.B"])["BRK.B"].verdict == "unreadable"


# --- chunks, and a bad symbol in one


def names(count: int) -> list[str]:
    letters = "ABCDEFGHIJ"
    return ["X" + "".join(letters[int(digit)] for digit in f"{number:04}") for number in range(count)]


def test_symbols_are_asked_for_in_chunks_and_currency_pairs_are_not(
    server: Loopback, data: AlpacaMarketData
) -> None:
    answers(server)
    symbols = names(2 * SYMBOLS_AT_ONCE + 1)
    found = ask(data, *symbols, "BTC/USD")
    assert found.quotes.keys() == set(symbols)
    assert sorted(map(len, asked(server))) == [1, SYMBOLS_AT_ONCE, SYMBOLS_AT_ONCE]
    assert ask(data, "BTC/USD") == Snapshots({})


@pytest.mark.parametrize("name", [True, False])
def test_a_bad_symbol_costs_only_itself(server: Loopback, data: AlpacaMarketData, name: bool) -> None:
    symbols = names(64)
    bad = [symbols[7], symbols[40]]
    answers(server, *bad, message="invalid symbol: {}" if name else "bad request", name=name)
    found = ask(data, *symbols)
    assert found.quotes.keys() == set(symbols) - set(bad)
    assert found.failed.keys() == set(bad)
    assert len(server.seen) <= (3 if name else 25)


def test_a_400_for_everything_ends_after_a_few_requests(server: Loopback, data: AlpacaMarketData) -> None:
    answers(server, *names(SYMBOLS_AT_ONCE), message="invalid feed")
    with pytest.raises(EngineError, match="invalid feed"):
        ask(data, *names(SYMBOLS_AT_ONCE))
    assert len(server.seen) < 20


def test_of_a_chunk_that_fails_the_others_are_kept(server: Loopback, data: AlpacaMarketData) -> None:
    symbols = names(SYMBOLS_AT_ONCE + 2)

    def answer(handler: LoopbackHandler) -> None:
        server.answers.append(answer)
        own = parse_qs(urlsplit(handler.path).query)["symbols"][0].split(",")
        says(500 if len(own) > 2 else 200, dict.fromkeys(own, SNAPSHOT))(handler)

    server.answers.append(answer)
    found = ask(data, *symbols)
    assert found.quotes.keys() == set(symbols[-2:])
    assert found.failed.keys() == set(symbols[:-2])


# --- refusals, errors, no answer


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (403, {"message": "subscription does not permit querying recent SIP data"}, "Set EXEC_PRICE_FEED to"),
        (
            422,
            {"code": 42210000, "message": "Subscription does not permit querying"},
            "Set EXEC_PRICE_FEED to",
        ),
        (401, {"message": "unauthorized"}, "belong to ALPACA_DATA_HOST"),
        (403, "forbidden", "belong to ALPACA_DATA_HOST"),
        (302, "", "Check ALPACA_DATA_HOST"),
        (404, {"message": "endpoint not found."}, "endpoint not found"),
    ],
)
def test_a_refusal_is_no_answer_and_names_the_remedy(
    server: Loopback, data: AlpacaMarketData, status: int, body: Any, why: str
) -> None:
    server.answers.append(says(status, body))
    with pytest.raises(DataUnavailable, match=re.escape(why)) as error:
        ask(data, "SPY")
    assert SECRET_KEY not in str(error.value)
    assert ("ALPACA_API_KEY" in str(error.value)) == (why == "belong to ALPACA_DATA_HOST")
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "answer",
    [
        says(500, {"message": "internal"}),
        says(502, HTML_ERROR),
        says(200, HTML_ERROR),
        says(200, json.dumps({"SPY": SNAPSHOT})[:60]),
        sends_half(200, '{"SPY": {'),
        says(429, {"message": "too many requests."}),
        says(429, "<html>slow down</html>"),
    ],
)
def test_without_a_whole_answer_there_is_none_and_it_is_retried(server: Loopback, answer: Any) -> None:
    server.answers.append(answer)
    with pytest.raises(BrokerError):
        ask(at(server.url), "SPY")
    server.answers += [answer, says(200, {"SPY": SNAPSHOT})]
    assert ask(at(server.url, read_s=5), "SPY", within_s=8).quotes == {"SPY": OK}


def test_no_request_is_made_after_the_deadline_and_a_limit_is_not_waited_for(server: Loopback) -> None:
    data = at(server.url, read_s=20)
    server.answers += [says(500)] * 50
    begun = time.monotonic()
    with pytest.raises(EngineError):
        ask(data, "SPY", within_s=0.5)
    reset = {
        "X-RateLimit-Limit": "200",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(int(time.time()) + 50),
    }
    server.answers[:] = [says(200, {"SPY": SNAPSHOT}, **reset)]
    ask(data, "SPY", within_s=5)
    with pytest.raises(EngineError):
        ask(data, "SPY", within_s=0.5)
    assert time.monotonic() - begun < 5


def test_what_is_recorded_has_neither_keys_nor_bars(server: Loopback, data: AlpacaMarketData) -> None:
    recorder = Recorded([])
    server.answers.append(says(200, {"SPY": SNAPSHOT, "QQQ": None}))
    ask(data.recorded(recorder), "SPY", "QQQ")
    (kept,) = recorder.kept
    assert kept.response is not None
    body = json.loads(kept.response["body"]["string"])
    assert body == {"SPY": {"latestQuote": QUOTE, "latestTrade": TRADE}, "QQQ": None}
    assert kept.account == "(market data)"
    assert SECRET_KEY not in str(kept)


@pytest.mark.parametrize("host", ["http://data.alpaca.markets", "data.alpaca.markets", "https://u:p@data.x"])
def test_a_host_that_would_show_the_keys_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^ALPACA_DATA_HOST is "):
        at(host)
