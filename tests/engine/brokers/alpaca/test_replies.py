from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import trustme
import urllib3
from freezegun import freeze_time

from engine.brokers.alpaca.replies import cause, never_left, refusal, replied_at, request_id, wait_asked_for
from engine.brokers.alpaca.text import SNIPPET_LENGTH, readable, without_account_numbers
from engine.errors import BrokerRejected, RateLimited
from tests.engine.brokers.loopback import HTML_ERROR


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            401,
            b'{"message": "unauthorized."}',
            "unauthorized. Check that ALPACA_API_KEY and ALPACA_SECRET_KEY",
        ),
        (
            401,
            b'{"code": 40110000, "message": "access key verification failed : verification failure"}',
            "access key verification failed : verification failure. Check that ALPACA_API_KEY",
        ),
        (
            401,
            b"<html>\r\n<head><title>401 Authorization Required</title></head>\r\n<hr>nginx/1.13.0</html>",
            "HTTP 401: 401 Authorization Required nginx/1.13.0. Check that ALPACA_API_KEY",
        ),
        (403, b'{"message": "forbidden."}', "forbidden. Check that ALPACA_API_KEY"),
        (
            403,
            b'{"code": "40310000", "message": "insufficient buying power"}',
            "insufficient buying power (code",
        ),
        (429, b'{"code": 42910000, "message": "rate limit exceeded"}', "rate limit exceeded. The rate limit"),
        (400, b"", "HTTP 400: an empty reply"),
        (400, b'{"code": 40010000, "mess', 'HTTP 400: {"code": 40010000, "mess'),
        (400, b'["no", "object"]', 'HTTP 400: ["no", "object"]'),
        (400, b'{"message": {"qty": "too many"}}', 'HTTP 400: {"message": {"qty": "too many"}}'),
        (400, b'{"message": "  ", "code": true}', 'HTTP 400: {"message": " ", "code": true}'),
        (422, b'{"message": "must be <= 1 and\\n>= 0"}', "must be <= 1 and >= 0"),
        (400, b"\xff\xfe\x00\x1b[31mred", "HTTP 400: \ufffd\ufffd [31mred"),
        (400, b"[" * 100_000, "HTTP 400: [[[["),
    ],
)
def test_a_refusal_of_any_shape_says_what_it_can(status: int, body: bytes, said: str) -> None:
    refused = refusal(status, body)
    assert refused.status == status
    assert str(refused).startswith(said)


def test_a_business_refusal_does_not_blame_the_keys() -> None:
    assert "ALPACA_API_KEY" not in str(refusal(403, b'{"code": 40310000, "message": "no"}'))


def test_a_page_is_shortened_to_a_line_of_its_text() -> None:
    assert readable(HTML_ERROR.encode()) == "502 Bad Gateway 502 Bad Gateway nginx/1.19.10 & friends"
    assert len(readable(b"word " * 5000)) == SNIPPET_LENGTH


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ('{"account_number": "PA2ABCDEFGHI", "cash": "1"}', '{"account_number": "…FGHI", "cash": "1"}'),
        ('{"ACCOUNT_NUMBER":"PALPACA_123"}', '{"ACCOUNT_NUMBER":"…_123"}'),
        ('{"account_number": 123456789}', '{"account_number": …6789}'),
        ('{"account_number": "PA2AB', '{"account_number": "…B'),
        ('{"account_number": ["PA2ABCDEFGHI"]}', '{"account_number": ["…FGHI"]}'),
        ('{"account_number": null}', '{"account_number": null}'),
        ('{"account_number": ""}', '{"account_number": ""}'),
        (r'"{\"account_number\": \"PA2ABCDEFGHI\"}"', r'"{\"account_number\": \"…FGHI\"}"'),
        ("account_number=PA2ABCDEFGHI", "account_number=…FGHI"),
        ("account_number&#34;: &#34;PA2ABCDEFGHI&#34;", "account_number&#34;: &#34;…FGHI&#34;"),
        ("no account_number", "no account_number"),
        ("no such thing: PA2ABCDEFGHI", "no such thing: PA2ABCDEFGHI"),
    ],
)
def test_an_account_number_is_shortened_wherever_it_is_named(body: str, shown: str) -> None:
    assert without_account_numbers(body.encode()).decode() == shown


# --- what a refusal adds --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said", "details"),
    [
        (
            {
                "available": "0.557436865",
                "code": 40310000,
                "existing_qty": "0.557436865",
                "held_for_orders": "0",
                "message": "insufficient qty available for order (requested: 1, available: 0.557436865)",
                "related_orders": ["7e800a17-643a-4f3d-9295-27329062d49b"],
            },
            "(code 40310000, available 0.557436865, existing_qty 0.557436865, held_for_orders 0)",
            {
                "available": "0.557436865",
                "existing_qty": "0.557436865",
                "held_for_orders": "0",
                "related_orders": ["7e800a17-643a-4f3d-9295-27329062d49b"],
            },
        ),
        (
            {"buying_power": 400000, "code": 40310000, "cost_basis": 8177.5, "message": "insufficient"},
            "(code 40310000, buying_power 400000, cost_basis 8177.5)",
            {"buying_power": 400000, "cost_basis": "8177.5"},
        ),
        (
            {"code": 1, "existing_order_id": "x", "reject_reason": "opposite side", "message": "wash"},
            "(code 1, existing_order_id x, reject_reason opposite side)",
            {"existing_order_id": "x", "reject_reason": "opposite side"},
        ),
        ({"message": "forbidden", "odd": None, "map": {"a": 1}}, "", {"odd": None, "map": {"a": 1}}),
        ({"message": "bad", "more": "a\n\x1b[31mb"}, "(more a [31mb)", {"more": "a [31mb"}),
    ],
)
def test_a_refusal_keeps_all_that_was_said_and_shows_what_is_plain(
    body: dict[str, Any], said: str, details: dict[str, Any]
) -> None:
    refused = refusal(422, json.dumps(body).encode())
    assert refused.details == details
    assert str(refused) == (f"{body['message']} {said}" if said else body["message"])
    assert refused.message == body["message"]


def test_a_refusal_with_a_hundred_details_stays_readable() -> None:
    body = {"message": "no"} | {f"field {number}": "x" * 1000 for number in range(100)}
    assert len(str(refusal(422, json.dumps(body).encode()))) < 3000


def test_a_refusal_names_the_request_as_the_broker_does() -> None:
    headers = requests.structures.CaseInsensitiveDict({"x-request-id": "5f0c"})
    refused = refusal(422, b'{"code": 40010001, "message": "qty must be > 0"}', headers)
    assert (refused.request_id, str(refused)) == ("5f0c", "qty must be > 0 (code 40010001, request 5f0c)")


def test_a_name_of_any_length_and_shape_stays_short_and_printable() -> None:
    named = request_id({"X-Request-ID": "\x1b[31m" + "x" * 1000})
    assert named.isprintable()
    assert len(named) <= 64


# --- being turned away ----------------------------------------------------------------------------------

DATE = "Thu, 08 Oct 2026 16:00:00 GMT"
DATE_S = datetime(2026, 10, 8, 16, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, 0.0),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 0 "}, 0.0),
        ({"Retry-After": "Thu, 08 Oct 2026 16:00:30 GMT"}, 30.0),
        ({"Retry-After": "Thu, 08 Oct 2026 15:00:30 GMT"}, 0.0),
        ({"Retry-After": "soon"}, 0.0),
        ({"Retry-After": "-5"}, 0.0),
        ({"Retry-After": "1e9"}, 0.0),
        ({"X-RateLimit-Reset": f"{DATE_S + 20:.0f}"}, 21.0),
        ({"X-RateLimit-Reset": f"{DATE_S - 20:.0f}"}, 0.0),
        ({"X-RateLimit-Reset": "nan"}, 0.0),
        ({"X-RateLimit-Reset": f"{DATE_S + 20:.0f}000"}, 21.0),
        ({"X-RateLimit-Reset": f"{DATE_S + 20:.0f}000000"}, 0.0),
        ({"Retry-After": "nan"}, 0.0),
        ({"Retry-After": "inf"}, 0.0),
        ({"Retry-After": "1000000000"}, 1e9),
        ({"Retry-After": "3.5"}, 0.0),
        ({"X-RateLimit-Reset": f"{DATE_S + 20:.0f}", "Retry-After": "40"}, 40.0),
        ({"X-RateLimit-Reset": f"{DATE_S + 20:.0f}", "Retry-After": "4"}, 21.0),
    ],
)
def test_the_wait_is_the_longest_that_was_asked_for_by_the_reply_s_own_clock(
    headers: dict[str, str], wait_s: float
) -> None:
    with freeze_time("1999-12-31"):
        refused = refusal(429, b"", {"Date": DATE, **headers})
    assert isinstance(refused, RateLimited)
    assert refused.wait_s == wait_s


@freeze_time("2026-10-08T16:00:00Z")
def test_without_a_clock_of_its_own_a_reset_is_by_ours() -> None:
    assert wait_asked_for({"X-RateLimit-Reset": f"{DATE_S + 20:.0f}"}) == 21.0


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_another_refusal_is_no_rate_limit(status: int) -> None:
    assert type(refusal(status, b"", {"Retry-After": "7"})) is BrokerRejected


@pytest.mark.parametrize(
    ("text", "timestamp"),
    [
        (DATE, datetime(2026, 10, 8, 16, tzinfo=UTC)),
        ("Thu, 08 Oct 2026 12:00:00 -0400", datetime(2026, 10, 8, 16, tzinfo=UTC)),
        ("Thu, 08 Oct 2026 16:00:00 -0000", None),  # which says that the zone is unknown
        ("Thu, 08 Oct 2026 16:00:00", None),
        ("Thu, 08 Oct 99999 16:00:00 GMT", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_the_timestamp_of_a_reply_is_its_date_or_none(text: str, timestamp: datetime | None) -> None:
    assert replied_at({"Date": text}) == timestamp


def test_a_reply_without_a_date_has_no_timestamp() -> None:
    assert replied_at({}) is None


# --- what never left ------------------------------------------------------------------------------------


POOL = urllib3.HTTPConnectionPool("127.0.0.1")


def error_of(url: str, **how: Any) -> Exception:
    with requests.Session() as session, pytest.raises(requests.RequestException) as caught:
        session.post(url, timeout=(0.2, 0.2), **how)
    return caught.value


def test_a_refused_connection_never_left(port_nobody_listens_at: int) -> None:
    error = error_of(f"http://127.0.0.1:{port_nobody_listens_at}/")
    assert never_left(error)
    assert "Connection refused" in cause(error)


def test_a_proxy_that_is_not_there_never_let_anything_through(port_nobody_listens_at: int) -> None:
    proxies = {"https": f"http://127.0.0.1:{port_nobody_listens_at}"}
    assert never_left(error_of("https://127.0.0.1/", proxies=proxies))


def test_a_connection_that_takes_too_long_never_left() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with socket.socket() as first, socket.socket() as second:
            first.setblocking(False)
            second.setblocking(False)
            first.connect_ex(("127.0.0.1", port))
            second.connect_ex(("127.0.0.1", port))
            error = error_of(f"http://127.0.0.1:{port}/")
    assert isinstance(error, requests.ConnectTimeout)
    assert never_left(error)


def test_a_name_that_is_not_known_never_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    error = error_of("https://paper-api.alpaca.markets/")
    assert never_left(error)
    assert "Name or service not known" in cause(error)


@pytest.mark.parametrize(
    "reason",
    [
        ssl.SSLError("decryption failed or bad record mac"),
        ssl.SSLEOFError("EOF occurred in violation of protocol"),
    ],
)
def test_a_tls_connection_that_broke_may_have_carried_it(reason: Exception) -> None:
    wrapped = urllib3.exceptions.MaxRetryError(POOL, "/", urllib3.exceptions.SSLError(reason))
    assert not never_left(requests.exceptions.SSLError(wrapped))


@pytest.mark.parametrize(
    "error",
    [
        requests.ReadTimeout(urllib3.exceptions.ReadTimeoutError(POOL, "/", "Read timed out.")),
        requests.ConnectionError(urllib3.exceptions.ProtocolError("Connection aborted.", OSError("reset"))),
        requests.exceptions.ChunkedEncodingError(),
        ConnectionResetError(104, "Connection reset by peer"),
        BrokenPipeError(32, "Broken pipe"),
    ],
)
def test_what_broke_on_the_way_may_have_arrived(error: Exception) -> None:
    assert not never_left(error)


def test_a_certificate_that_is_not_trusted_came_before_anything_was_sent() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        shake_hands = threading.Thread(target=_shake_hands, args=(listening, context))
        shake_hands.start()
        error = error_of(f"https://127.0.0.1:{listening.getsockname()[1]}/")
        shake_hands.join()
    assert never_left(error)
    assert "certificate verify failed" in cause(error)


def _shake_hands(listening: socket.socket, context: ssl.SSLContext) -> None:
    connection, _ = listening.accept()
    with connection, contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True):
        pass


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            requests.ConnectionError(
                urllib3.exceptions.MaxRetryError(
                    POOL,
                    "/",
                    urllib3.exceptions.NewConnectionError(
                        urllib3.connection.HTTPConnection("127.0.0.1"),
                        "Failed to establish a new connection: [Errno 111] Connection refused",
                    ),
                )
            ),
            "Failed to establish a new connection: Connection refused",
        ),
        (
            requests.ConnectionError(
                urllib3.exceptions.ProtocolError("Connection aborted.", ConnectionResetError(104, "reset"))
            ),
            "Connection aborted: reset",
        ),
        (requests.ReadTimeout(urllib3.exceptions.ReadTimeoutError(POOL, "/", "Timed out.")), "Timed out"),
        (
            urllib3.exceptions.ConnectTimeoutError(POOL, "Connection to api timed out."),
            "Connection to api timed out",
        ),
        (requests.exceptions.ChunkedEncodingError(), "chunked encoding error"),
    ],
)
def test_why_there_was_no_answer_is_reported_without_names_of_classes(error: Exception, said: str) -> None:
    assert cause(error) == said
