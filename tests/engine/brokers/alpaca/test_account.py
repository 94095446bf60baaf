from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from freezegun import freeze_time

from engine.brokers.account import BrokerAccount, BrokerClock, why_it_cannot_trade
from engine.brokers.alpaca.account import parse_account, parse_clock
from engine.brokers.alpaca.broker import AlpacaBroker
from engine.brokers.alpaca.text import SNIPPET_LENGTH
from engine.errors import BrokerError, BrokerRejected
from tests.engine.brokers.loopback import (
    ACCOUNT,
    API_KEY,
    CLOCK,
    HTML_ERROR,
    ORDER,
    SECRET_KEY,
    Answer,
    Loopback,
    hangs_up,
    says,
    sends_half_a_body,
)

NUMBER = ACCOUNT["account_number"]
ASK: dict[str, Callable[[AlpacaBroker], object]] = {
    "account": lambda broker: broker.get_account(),
    "clock": lambda broker: broker.get_clock(),
}
each = pytest.mark.parametrize("what", ASK)


def without(reply: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {field: value for field, value in reply.items() if field not in fields}


# --- asking ---------------------------------------------------------------------------------------------


def test_an_account_comes_back_with_what_decides_whether_it_trades(broker: AlpacaBroker) -> None:
    account = broker.get_account()
    assert account == BrokerAccount(
        account_number=NUMBER,
        status="ACTIVE",
        trading_blocked=False,
        account_blocked=False,
        trade_suspended_by_user=False,
        currency="USD",
    )
    assert why_it_cannot_trade(account) == ""


def test_a_clock_comes_back_in_utc(broker: AlpacaBroker) -> None:
    assert broker.get_clock() == BrokerClock(
        timestamp=datetime(2019, 7, 7, 16, 55, 8, 427247, tzinfo=UTC),
        is_open=False,
        next_open=datetime(2019, 7, 8, 13, 30, tzinfo=UTC),
        next_close=datetime(2019, 7, 8, 20, 0, tzinfo=UTC),
    )


@each
def test_each_is_asked_for_once_and_with_keys(server: Loopback, broker: AlpacaBroker, what: str) -> None:
    ASK[what](broker)
    (seen,) = server.seen
    assert (seen.method, seen.path, seen.body) == ("GET", f"/v2/{what}", b"")
    assert (seen.headers["APCA-API-KEY-ID"], seen.headers["APCA-API-SECRET-KEY"]) == (API_KEY, SECRET_KEY)


# --- accounts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "number", "status", "currency"),
    [
        ({"account_number": None}, "", "ACTIVE", "USD"),
        ({"account_number": ""}, "", "ACTIVE", "USD"),
        ({"currency": None}, NUMBER, "ACTIVE", ""),
        ({"currency": "EUR"}, NUMBER, "ACTIVE", "EUR"),
        ({"status": "BRAND_NEW"}, NUMBER, "BRAND_NEW", "USD"),
        ({"cash": 12.5, "sma": math.nan, "invented": [{"status": 1}]}, NUMBER, "ACTIVE", "USD"),
    ],
)
def test_what_alpaca_may_leave_out_or_invent_is_no_error(
    changes: dict[str, Any], number: str, status: str, currency: str
) -> None:
    account = parse_account(json.dumps(ACCOUNT | changes).encode())
    assert (account.account_number, account.status, account.currency) == (number, status, currency)


def test_an_account_as_of_2019_had_no_number() -> None:
    account = parse_account(json.dumps(without(ACCOUNT, "account_number")).encode())
    assert account.account_number == ""
    assert why_it_cannot_trade(account) == ""


@pytest.mark.parametrize("flag", ["trading_blocked", "account_blocked", "trade_suspended_by_user"])
@pytest.mark.parametrize("value", [None, 0, 0.0, 1, "", "false", "true", [], {}])
def test_a_flag_that_is_neither_true_nor_false_blocks(flag: str, value: object) -> None:
    account = parse_account(json.dumps(ACCOUNT | {flag: value}).encode())
    assert getattr(account, flag) is True
    assert account.unclear == (flag,)
    assert f": {flag} is neither true nor false, which counts as true." in why_it_cannot_trade(account)


@pytest.mark.parametrize("flag", ["trading_blocked", "account_blocked", "trade_suspended_by_user"])
def test_a_flag_that_is_missing_blocks(flag: str) -> None:
    account = parse_account(json.dumps(without(ACCOUNT, flag)).encode())
    assert getattr(account, flag) is True
    assert f"{flag} is neither true nor false" in why_it_cannot_trade(account)


@pytest.mark.parametrize("flag", ["trading_blocked", "account_blocked", "trade_suspended_by_user"])
def test_a_flag_that_is_true_blocks(flag: str) -> None:
    account = parse_account(json.dumps(ACCOUNT | {flag: True}).encode())
    assert (getattr(account, flag), account.unclear) == (True, ())
    assert f": {flag} is true." in why_it_cannot_trade(account)


def test_blocked_transfers_do_not_stop_trading() -> None:
    account = parse_account(json.dumps(ACCOUNT | {"transfers_blocked": True}).encode())
    assert why_it_cannot_trade(account) == ""


def test_another_object_with_id_and_status_is_no_account_that_trades() -> None:
    account = parse_account(json.dumps(ORDER | {"status": "ACTIVE"}).encode())
    assert "trading_blocked is neither" in why_it_cannot_trade(account)


# --- clocks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "timestamp"),
    [
        ("2025-06-24T14:15:22-04:00", datetime(2025, 6, 24, 18, 15, 22, tzinfo=UTC)),
        ("2025-12-24T14:15:22.5-05:00", datetime(2025, 12, 24, 19, 15, 22, 500_000, tzinfo=UTC)),
        ("2019-07-07T12:55:08.427247519-04:00", datetime(2019, 7, 7, 16, 55, 8, 427_247, tzinfo=UTC)),
        ("2019-07-07T12:55:08.999999999-04:00", datetime(2019, 7, 7, 16, 55, 8, 999_999, tzinfo=UTC)),
        ("2020-06-09T02:38:49.04Z", datetime(2020, 6, 9, 2, 38, 49, 40_000, tzinfo=UTC)),
        ("2020-06-09T02:38:49+05:30", datetime(2020, 6, 8, 21, 8, 49, tzinfo=UTC)),
    ],
)
def test_nanoseconds_and_offsets_become_utc(text: str, timestamp: datetime) -> None:
    clock = parse_clock(json.dumps(CLOCK | {"timestamp": text, "is_open": True, "next_open": text}).encode())
    assert (clock.timestamp, clock.next_open, clock.is_open) == (timestamp, timestamp, True)
    assert clock.timestamp.tzinfo is UTC


@pytest.mark.parametrize("field", ["timestamp", "next_open", "next_close"])
@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        1562518508,
        "1562518508",
        "2019-07-07T12:55:08",
        "2019-07-07 12:55:08Z",
        "2019-07-07",
        "2019-07-07T12:55Z",
        "2019-13-07T12:55:08Z",
        "2019-07-07T12:55:60Z",
        "2019-07-07T12:55:08.Z",
        "2019-07-07T12:55:08+99:00",
        "\uff12019-07-07T12:55:08Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        " 2019-07-07T12:55:08Z",
        "now",
    ],
)
def test_a_timestamp_without_an_exact_instant_is_not_guessed_at(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^its {field} is "):
        parse_clock(json.dumps(CLOCK | {field: value}).encode())


@pytest.mark.parametrize("value", [None, "true", 1, 0, 1.0, []])
def test_a_market_is_open_or_not(value: object) -> None:
    with pytest.raises(ValueError, match=r"^its is_open is "):
        parse_clock(json.dumps(CLOCK | {"is_open": value}).encode())


@freeze_time("1999-12-31")
def test_a_clock_is_the_broker_s_and_not_ours(broker: AlpacaBroker) -> None:
    assert broker.get_clock().timestamp.year == 2019


# --- replies that are neither ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "body", "said"),
    [
        *((what, b"", "it is not JSON): HTTP 200: an empty reply") for what in ASK),
        *((what, b"OK", "it is not JSON): HTTP 200: OK") for what in ASK),
        *((what, HTML_ERROR.encode(), "it is not JSON): HTTP 200: 502 Bad Gateway") for what in ASK),
        *((what, b"null", "it is not a JSON object)") for what in ASK),
        *((what, b"[]", "it is not a JSON object)") for what in ASK),
        *((what, b"[" * 100_000, "it is not JSON)") for what in ASK),
        ("account", json.dumps(ACCOUNT).encode()[:-40], "it is not JSON)"),
        ("account", json.dumps([ACCOUNT]).encode(), "it is not a JSON object)"),
        ("account", b"{}", "its id is None)"),
        ("account", json.dumps(CLOCK).encode(), "its id is None)"),
        ("account", json.dumps(without(ACCOUNT, "status")).encode(), "its status is None)"),
        ("account", json.dumps(ACCOUNT | {"status": ""}).encode(), "its status is '')"),
        ("account", json.dumps(ACCOUNT | {"status": True}).encode(), "its status is True)"),
        ("account", json.dumps(ACCOUNT | {"id": 17}).encode(), "its id is 17)"),
        ("account", json.dumps(ACCOUNT | {"account_number": 17}).encode(), "its account_number is not text)"),
        ("account", json.dumps(ACCOUNT | {"currency": ["USD"]}).encode(), "its currency is ['USD'])"),
        ("clock", json.dumps(CLOCK).encode()[:-40], "it is not JSON)"),
        ("clock", b"{}", "its is_open is None)"),
        ("clock", json.dumps(ACCOUNT).encode(), "its is_open is None)"),
        ("clock", json.dumps(without(CLOCK, "timestamp")).encode(), "its timestamp is None)"),
        ("clock", json.dumps(without(CLOCK, "next_close")).encode(), "its next_close is None)"),
    ],
)
def test_a_200_without_what_was_asked_for_is_a_broker_error(
    server: Loopback, broker: AlpacaBroker, what: str, body: bytes, said: str
) -> None:
    server.answers = [says(200, body)]
    with pytest.raises(BrokerError) as caught:
        ASK[what](broker)
    assert type(caught.value) is BrokerError
    text = str(caught.value)
    assert text.startswith(f"GET {server.url}/v2/{what}: the reply is no {what} ({said}")
    assert text.endswith(". Nothing was changed; retry.")
    assert len(server.seen) == 1


@each
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (says(401, {"message": "unauthorized."}), "unauthorized"),
        (
            says(401, {"code": 40110000, "message": "access key verification failed : verification failure"}),
            "access key verification failed : verification failure",
        ),
        (
            says(401, "<html><title>401 Authorization Required</title></html>"),
            "HTTP 401: 401 Authorization Req",
        ),
        (says(403, {"message": "forbidden."}), "forbidden"),
    ],
)
def test_keys_that_are_not_for_this_host_are_refused_with_a_remedy(
    server: Loopback, broker: AlpacaBroker, what: str, answer: Answer, said: str
) -> None:
    server.answers = [answer]
    with pytest.raises(BrokerRejected, match=r"\. Check that ALPACA_API_KEY and ALPACA_SECRET") as caught:
        ASK[what](broker)
    assert str(caught.value).startswith(said)
    assert len(server.seen) == 1


@each
def test_a_rate_limit_is_a_refusal(server: Loopback, broker: AlpacaBroker, what: str) -> None:
    server.answers = [says(429, {"code": 42910000, "message": "rate limit exceeded"})]
    with pytest.raises(BrokerRejected, match="rate limit exceeded"):
        ASK[what](broker)
    assert len(server.seen) == 1


# --- what is not shown ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        says(200, json.dumps(ACCOUNT).encode()[:-40]),
        says(200, without(ACCOUNT, "status")),
        says(200, [ACCOUNT]),
        says(200, ACCOUNT | {"account_number": [NUMBER]}),
        says(200, json.dumps(json.dumps(ACCOUNT))),
        says(500, ACCOUNT),
        says(403, ACCOUNT),
        says(502, f"<html><pre>{json.dumps(ACCOUNT)}</pre></html>"),
        says(502, f"<html><pre>{json.dumps(ACCOUNT)}</pre></html>".replace('"', "&quot;")),
    ],
)
def test_an_account_number_in_an_unreadable_reply_is_shown_by_its_end(
    server: Loopback, broker: AlpacaBroker, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server.answers = [answer]
    with pytest.raises(BrokerError, match="account_number") as caught:
        broker.get_account()
    shown = str(caught.value) + repr(caught.value) + caplog.text
    assert NUMBER[-5:] not in shown
    assert NUMBER[:-4] not in shown


@each
@pytest.mark.parametrize(
    "answer",
    [
        says(403, {"message": f"key {API_KEY} with {SECRET_KEY} may not"}),
        says(500, f"<pre>APCA-API-SECRET-KEY: {SECRET_KEY} {API_KEY}</pre>"),
        says(200, f"<pre>APCA-API-SECRET-KEY: {SECRET_KEY} {API_KEY}</pre>"),
        says(200, {"id": ["." * (SNIPPET_LENGTH - 14) + SECRET_KEY]}),
        says(200, CLOCK | {"id": "1", "timestamp": "." * (SNIPPET_LENGTH - 12) + SECRET_KEY}),
        sends_half_a_body,
        hangs_up,
    ],
)
def test_no_key_is_shown_even_when_the_broker_repeats_it(
    server: Loopback, broker: AlpacaBroker, what: str, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server.answers = [answer]
    with pytest.raises(BrokerError) as caught:
        ASK[what](broker)
    shown = str(caught.value) + repr(caught.value) + caplog.text
    assert SECRET_KEY[:10] not in shown
    assert API_KEY[:10] not in shown


def test_no_key_enters_an_account(server: Loopback, broker: AlpacaBroker) -> None:
    server.answers = [says(200, ACCOUNT | {"status": SECRET_KEY, "currency": API_KEY})]
    account = broker.get_account()
    shown = repr(account) + why_it_cannot_trade(account)
    assert "its status is '[key]' instead of 'ACTIVE'" in shown
    assert SECRET_KEY[:10] not in shown
    assert API_KEY[:10] not in shown
