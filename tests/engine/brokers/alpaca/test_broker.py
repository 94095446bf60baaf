"""What AlpacaBroker sends, and what becomes of each request; see ``loopback`` for who answers."""

from __future__ import annotations

import json
import math
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st
from requests.adapters import BaseAdapter

from engine.brokers.alpaca.broker import AlpacaBroker
from engine.brokers.alpaca.orders import order_path
from engine.brokers.alpaca.text import SNIPPET_LENGTH
from engine.brokers.protocol import Broker
from engine.errors import (
    BrokerError,
    BrokerRejected,
    ConfigurationError,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    UsageError,
)
from engine.model.symbols import canonical_symbol
from engine.settings.hosts import checked_host
from tests.engine.brokers.loopback import (
    API_KEY,
    HTML_ERROR,
    INTENT,
    ORDER,
    ORDER_ID,
    SECRET_KEY,
    Answer,
    Loopback,
    Recorded,
    broker_at,
    hangs,
    hangs_in_the_body,
    hangs_up,
    resets_in_the_body,
    says,
    sends_half_a_body,
    talks_nonsense,
)

ASK: dict[str, Callable[[AlpacaBroker], object]] = {
    "POST": lambda broker: broker.place_order(intent=INTENT),
    "DELETE": lambda broker: broker.cancel_order(broker_order_id=ORDER_ID),
    "GET": lambda broker: broker.get_order_status(broker_order_id=ORDER_ID),
    "GET account": lambda broker: broker.get_account(),
    "GET clock": lambda broker: broker.get_clock(),
}
UNCLEAR = {"POST": OutcomeUnknown, "DELETE": OutcomeUnknown}
each_request = pytest.mark.parametrize("request_name", ASK)
each_method = pytest.mark.parametrize("method", ["POST", "DELETE", "GET"])


# --- what is sent ---------------------------------------------------------------------------------------


def test_alpaca_is_a_broker(broker: AlpacaBroker) -> None:
    as_protocol: Broker = broker  # mypy is what tests this
    assert as_protocol.get_order_status(broker_order_id=ORDER_ID).broker_order_id == ORDER_ID


def test_an_order_is_posted_once_with_keys_and_exact_json(server: Loopback, broker: AlpacaBroker) -> None:
    broker.place_order(intent=INTENT)
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/v2/orders")
    assert seen.headers["APCA-API-KEY-ID"] == API_KEY
    assert seen.headers["APCA-API-SECRET-KEY"] == SECRET_KEY
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.body == (
        b'{"client_order_id": "intent-1", "symbol": "TSLA", "side": "buy", "type": "market", '
        b'"time_in_force": "day", "extended_hours": false, "qty": "1"}'
    )


@settings(max_examples=60, deadline=None)
@given(digits=st.integers(1, 10**15 - 1), decimals=st.integers(0, 9))
@example(digits=1, decimals=9)
@example(digits=10**14, decimals=0)
def test_a_quantity_arrives_as_the_decimal_that_the_strategy_wrote(
    running_server: Loopback, digits: int, decimals: int
) -> None:
    qty = Decimal(digits).scaleb(-decimals)
    with requests.Session() as session:
        broker_at(running_server.url, session).place_order(intent=replace(INTENT, qty=float(qty)))
    sent = json.loads(running_server.seen[-1].body)["qty"]
    assert isinstance(sent, str)
    assert Decimal(sent) == qty


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "1", 10**400])
def test_what_is_no_number_is_not_sent(server: Loopback, broker: AlpacaBroker, value: Any) -> None:
    with pytest.raises(UsageError, match=r"intent intent-1: stop_loss_stop_price is "):
        broker.place_order(intent=replace(INTENT, stop_loss_stop_price=value))
    assert server.seen == []


def test_an_order_without_an_id_is_not_sent(server: Loopback, broker: AlpacaBroker) -> None:
    with pytest.raises(UsageError, match="has no client_intent_id"):
        broker.place_order(intent=replace(INTENT, client_intent_id=""))
    assert server.seen == []


def test_a_cancel_is_not_sent_as_an_order(server: Loopback, broker: AlpacaBroker) -> None:
    with pytest.raises(UsageError, match="Find the order of intent-0 and use cancel_order"):
        broker.place_order(intent=replace(INTENT, action="cancel", target_intent_id="intent-0"))
    assert server.seen == []


@pytest.mark.parametrize(
    ("order_id", "path"),
    [
        (f" {ORDER_ID}\n", f"/v2/orders/{ORDER_ID}"),
        ("a/../b?x=1#y", "/v2/orders/a%2F..%2Fb%3Fx%3D1%23y"),
        ("%2e%2e", "/v2/orders/%252e%252e"),
        ("é", "/v2/orders/%C3%A9"),
    ],
)
def test_an_order_id_stays_one_part_of_the_path(
    server: Loopback, broker: AlpacaBroker, order_id: str, path: str
) -> None:
    server.answers = [says(200, ORDER | {"id": order_id.strip()})]
    broker.get_order_status(broker_order_id=order_id)
    assert (server.seen[0].path, order_path(order_id)) == (f"{path}?nested=true", path)


@pytest.mark.parametrize("order_id", ["", "  ", ".", ".."])
def test_a_cancel_without_an_order_id_never_becomes_a_cancel_of_all_orders(
    server: Loopback, broker: AlpacaBroker, order_id: str
) -> None:
    with pytest.raises(UsageError, match="expected an order id that the broker assigned"):
        broker.cancel_order(broker_order_id=order_id)
    with pytest.raises(UsageError):
        broker.get_order_status(broker_order_id=order_id)
    assert server.seen == []


# --- what an order in a reply becomes -------------------------------------------------------------------


def test_the_broker_s_order_comes_back_with_its_figures(server: Loopback, broker: AlpacaBroker) -> None:
    filled = ORDER | {"status": "partially_filled", "filled_qty": "0.557436865", "filled_avg_price": "46.95"}
    server.answers = [says(200, filled)]
    order = broker.place_order(intent=INTENT)
    assert (order.broker_order_id, order.client_order_id) == (ORDER_ID, "intent-1")
    assert (order.order_status, order.symbol, order.side) == ("partially_filled", "TSLA", "buy")
    assert (order.filled_qty, order.filled_avg_price) == (0.557436865, 46.95)
    assert order.raw == filled


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("TSLA", "tsla"),
        ("BTCUSD", "BTC/USD"),
        ("BTC/USD", "BTC/USD"),
        ("BTC/USD", "BTCUSD"),
        ("BRK.B", "BRK.B"),
        ("BRK/B", "BRK.B"),
        ("BRK.B", "BRK-B"),
    ],
)
def test_two_forms_of_one_symbol_are_one_order(
    server: Loopback, broker: AlpacaBroker, ours: str, theirs: str
) -> None:
    server.answers = [says(200, ORDER | {"symbol": theirs})]
    order = broker.place_order(intent=replace(INTENT, symbol=ours))
    sent = json.loads(server.seen[0].body)["symbol"]
    assert order.symbol == sent == canonical_symbol(ours) == canonical_symbol(theirs)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"client_order_id": "intent-2"}, "client_order_id 'intent-2' instead of 'intent-1'"),
        ({"client_order_id": "INTENT-1"}, "client_order_id 'INTENT-1' instead of 'intent-1'"),
        ({"symbol": "TSLL"}, "symbol 'TSLL' instead of 'TSLA'"),
        ({"symbol": None}, "symbol 'absent' instead of 'TSLA'"),
        ({"side": "sell"}, "side 'sell' instead of 'buy'"),
    ],
)
def test_a_reply_about_another_order_leaves_the_outcome_unknown(
    server: Loopback, broker: AlpacaBroker, wrong: dict[str, str | None], said: str
) -> None:
    server.answers = [says(200, ORDER | wrong)]
    with pytest.raises(OutcomeUnknown, match="the reply describes another order") as caught:
        broker.place_order(intent=INTENT)
    assert said in str(caught.value)


def test_a_status_of_another_order_is_an_error(server: Loopback, broker: AlpacaBroker) -> None:
    server.answers = [says(200, ORDER | {"id": "1df53539-385c-4a5d-9c02-565352ac60b0"})]
    with pytest.raises(BrokerError, match="describes order 1df53539"):
        broker.get_order_status(broker_order_id=ORDER_ID)


def test_an_order_id_in_capitals_is_the_same_order(broker: AlpacaBroker) -> None:
    assert broker.get_order_status(broker_order_id=ORDER_ID.upper()).broker_order_id == ORDER_ID


# --- cancelling -----------------------------------------------------------------------------------------


def test_a_cancel_is_followed_by_a_look_at_the_order(server: Loopback, broker: AlpacaBroker) -> None:
    server.answers = [says(204), says(200, ORDER | {"status": "pending_cancel"})]
    assert broker.cancel_order(broker_order_id=ORDER_ID).order_status == "pending_cancel"
    path = f"/v2/orders/{ORDER_ID}"
    assert [(seen.method, seen.path) for seen in server.seen] == [
        ("DELETE", path),
        ("GET", f"{path}?nested=true"),
    ]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"code": 40410000, "message": f"order not found for {ORDER_ID}"}),
        (422, {"code": 42210000, "message": 'order is already in "filled" state'}),  # quoted, not recorded
    ],
)
def test_a_cancel_that_comes_too_late_is_refused_in_the_broker_s_words(
    server: Loopback, broker: AlpacaBroker, status: int, body: dict[str, Any]
) -> None:
    server.answers = [says(status, body)]
    with pytest.raises(BrokerRejected) as caught:
        broker.cancel_order(broker_order_id=ORDER_ID)
    assert (caught.value.status, caught.value.code, caught.value.message) == (
        status,
        body["code"],
        body["message"],
    )
    assert len(server.seen) == 1


@pytest.mark.parametrize("look", [says(404, {"message": "order not found"}), says(500), says(429), hangs_up])
def test_a_cancel_that_was_taken_but_not_seen_is_an_unknown_outcome(
    server: Loopback, broker: AlpacaBroker, look: Answer
) -> None:
    server.answers = [says(204), look]
    with pytest.raises(OutcomeUnknown, match="the cancel was accepted, but the order could not be looked up"):
        broker.cancel_order(broker_order_id=ORDER_ID)


def test_a_cancel_answered_with_a_page_is_an_unknown_outcome(server: Loopback, broker: AlpacaBroker) -> None:
    server.answers = [says(200, "<html>Please log in to the hotel's network</html>")]
    with pytest.raises(OutcomeUnknown, match="HTTP 200: Please log in to the hotel's network; expected 204"):
        broker.cancel_order(broker_order_id=ORDER_ID)
    assert len(server.seen) == 1


# --- refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (422, {"code": 40010001, "message": "client_order_id must be unique"}),
        (422, {"code": 40010001, "message": "limit orders require only limit price"}),
        (422, {"code": 40010001, "message": 'could not find asset "FACEBOOK"'}),
        (403, {"code": 40310000, "message": "insufficient buying power"}),
        (
            403,
            {
                "buying_power": "400000",
                "code": 40310000,
                "cost_basis": "8177000000",
                "message": "insufficient buying power",
            },
        ),
        (403, {"code": 40310000, "message": 'asset "OCGN" is not fractionable'}),
        (
            403,
            {
                "available": "0.557436865",
                "code": 40310000,
                "existing_qty": "0.557436865",
                "held_for_orders": "0",
                "message": "insufficient qty available for order "
                "(requested: 1.057436865, available: 0.557436865)",
                "symbol": "KO",
            },
        ),
    ],
)
def test_a_refused_order_is_refused_in_the_broker_s_words(
    server: Loopback, broker: AlpacaBroker, status: int, body: dict[str, Any]
) -> None:
    server.answers = [says(status, body)]
    with pytest.raises(BrokerRejected) as caught:
        broker.place_order(intent=INTENT)
    refused = caught.value
    assert (refused.status, refused.code, refused.message) == (status, body["code"], body["message"])
    assert len(server.seen) == 1


def test_an_unknown_order_is_refused(server: Loopback, broker: AlpacaBroker) -> None:
    server.answers = [says(422, {"code": 40010001, "message": "order_id is missing"})]
    with pytest.raises(BrokerRejected, match=r"^order_id is missing \(code 40010001\)$"):
        broker.get_order_status(broker_order_id="fake_id")


def test_a_rate_limited_order_is_refused_and_not_sent_again(server: Loopback, broker: AlpacaBroker) -> None:
    server.answers = [says(429, {"code": 42910000, "message": "rate limit exceeded"}, **{"Retry-After": "0"})]
    with pytest.raises(
        RateLimited, match=r"rate limit exceeded\. The rate limit turned this request away"
    ) as caught:
        broker.place_order(intent=INTENT)
    assert (caught.value.status, len(server.seen)) == (429, 1)


@each_request
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_the_keys_go_nowhere_else(
    server: Loopback, broker: AlpacaBroker, request_name: str, status: int
) -> None:
    server.answers = [says(status, Location=f"{server.url}/elsewhere")]
    with pytest.raises(BrokerRejected, match="Redirects are not followed") as caught:
        ASK[request_name](broker)
    assert caught.value.status == status
    assert len(server.seen) == 1


# --- nobody knows ---------------------------------------------------------------------------------------


@each_request
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (says(500, {"code": 50010000, "message": "internal server error occurred"}), "internal server error"),
        (says(502, HTML_ERROR), "HTTP 502: 502 Bad Gateway"),
        (says(503), "HTTP 503: an empty reply"),
        (says(504, "upstream timed out"), "HTTP 504: upstream timed out"),
        (says(299, {"message": "odd"}), "HTTP 299"),
        (sends_half_a_body, "no answer (Connection broken|no answer (("),
        (resets_in_the_body, "Connection reset by peer"),
        (hangs_up, "Remote end closed connection"),
        (talks_nonsense, "no answer ("),
    ],
)
def test_a_reply_that_settles_nothing_is_never_taken_for_a_refusal(
    server: Loopback, broker: AlpacaBroker, request_name: str, answer: Answer, said: str
) -> None:
    server.answers = [answer]
    with pytest.raises(BrokerError) as caught:
        ASK[request_name](broker)
    assert type(caught.value) is UNCLEAR.get(request_name, BrokerError)
    assert any(words in str(caught.value) for words in said.split("|"))
    assert len(server.seen) == 1, "sent once, never again"


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"null",
        b"[]",
        b"{}",
        b"<html>Please log in to the hotel's network</html>",
        json.dumps(ORDER).encode()[:-40],
        json.dumps(ORDER | {"id": ""}).encode(),
        json.dumps(ORDER | {"id": 17}).encode(),
        json.dumps(ORDER | {"status": None}).encode(),
        json.dumps(ORDER | {"client_order_id": None}).encode(),
        json.dumps(ORDER | {"filled_qty": math.nan}).encode(),
        json.dumps(ORDER | {"legs": [{"id": "1"}]}).encode(),
        b"[" * 100_000,
    ],
)
def test_a_200_without_an_order_in_it_settles_nothing(
    server: Loopback, broker: AlpacaBroker, method: str, body: bytes
) -> None:
    server.answers = [says(200, body)]
    with pytest.raises(BrokerError, match=r"the reply is no order \(it.*\): HTTP 200: ") as caught:
        ASK[method](broker)
    assert type(caught.value) is UNCLEAR.get(method, BrokerError)
    assert len(server.seen) == 1


@each_request
@pytest.mark.parametrize("answer", [hangs, hangs_in_the_body])
def test_a_hanging_broker_is_waited_for_no_longer_than_the_timeout(
    server: Loopback, request_name: str, answer: Answer
) -> None:
    server.answers = [answer]
    with requests.Session() as session:
        broker = broker_at(server.url, session, timeout_s=(0.15, 0.15))
        started = time.monotonic()
        with pytest.raises(BrokerError, match=r"Read timed out") as caught:
            ASK[request_name](broker)
    assert 0.1 < time.monotonic() - started < 2
    assert type(caught.value) is UNCLEAR.get(request_name, BrokerError)
    assert len(server.seen) == 1


@each_request
def test_a_broker_that_is_not_there_gets_nothing(request_name: str, port_nobody_listens_at: int) -> None:
    with requests.Session() as session, pytest.raises(BrokerError, match="Connection refused") as caught:
        ASK[request_name](broker_at(f"http://127.0.0.1:{port_nobody_listens_at}", session))
    assert type(caught.value) is (NotSent if request_name in UNCLEAR else BrokerError)
    assert "retries" not in str(caught.value), "as there are none"


def test_an_unknown_outcome_names_the_order_and_what_to_do(server: Loopback, broker: AlpacaBroker) -> None:
    server.answers = [says(504, "upstream timed out.")]
    with pytest.raises(OutcomeUnknown) as caught:
        broker.place_order(intent=INTENT)
    assert str(caught.value) == (
        f"POST {server.url}/v2/orders (client_order_id intent-1): HTTP 504: upstream timed out. The order "
        f"may have been accepted: look it up by its client_order_id before sending it again."
    )


# --- the session ----------------------------------------------------------------------------------------


def test_a_session_that_is_handed_in_carries_every_request(server: Loopback) -> None:
    class CountingSession(requests.Session):
        count = 0

        def send(self, *args: Any, **kwargs: Any) -> requests.Response:
            self.count += 1
            return super().send(*args, **kwargs)

    with CountingSession() as session:
        broker = broker_at(server.url, session)
        broker.place_order(intent=INTENT)
        broker.cancel_order(broker_order_id=ORDER_ID)
    assert session.count == len(server.seen) == 3


def test_without_a_session_the_broker_brings_its_own_which_sends_once(server: Loopback) -> None:
    server.answers = [hangs_up]
    broker = broker_at(server.url)
    with pytest.raises(OutcomeUnknown):
        broker.place_order(intent=INTENT)
    assert broker.get_order_status(broker_order_id=ORDER_ID).order_status == "accepted"
    assert [seen.method for seen in server.seen] == ["POST", "GET"]


def test_plain_http_does_not_leave_the_machine_by_a_proxy(
    monkeypatch: pytest.MonkeyPatch, broker: AlpacaBroker, port_nobody_listens_at: int
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port_nobody_listens_at}")
    assert broker.place_order(intent=INTENT).broker_order_id == ORDER_ID


def test_a_proxy_and_certificates_that_the_environment_names_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Noting(BaseAdapter):
        def send(self, request: requests.PreparedRequest, *_: Any, **how: Any) -> requests.Response:
            seen.append((how["proxies"].get("https"), how["verify"]))
            raise requests.ConnectionError("enough")

        def close(self) -> None:
            """Nothing is open."""

    seen: list[tuple[str, str]] = []
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/a-bundle.pem")
    host = "https://broker.example"
    with requests.Session() as session:
        session.mount(host, Noting())
        for broker in (broker_at(host, session), broker_at(host, session).recorded(Recorded([]))):
            with pytest.raises(BrokerError):
                broker.get_clock()
    assert seen == [("http://proxy.example:3128", "/etc/a-bundle.pem")] * 2


def test_a_netrc_file_adds_no_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: Loopback, broker: AlpacaBroker
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    broker.place_order(intent=INTENT)
    assert "Authorization" not in server.seen[0].headers


# --- keys -----------------------------------------------------------------------------------------------


def test_the_keys_do_not_show_in_a_repr(broker: AlpacaBroker, server: Loopback) -> None:
    assert repr(broker) == f"AlpacaBroker(trading_host='{server.url}')"
    assert SECRET_KEY not in repr(vars(broker))
    assert API_KEY not in repr(vars(broker))


@each_method
@pytest.mark.parametrize(
    "answer",
    [
        says(403, {"message": f"key {API_KEY} with {SECRET_KEY} may not"}),
        says(401, f'{{"message": "no {API_KEY} {SECRET_KEY}"}}'.replace("/", "\\/")),
        says(500, f"<pre>APCA-API-SECRET-KEY: {SECRET_KEY} {API_KEY}</pre>"),
        says(500, "." * (SNIPPET_LENGTH - 12) + f" {SECRET_KEY}"),
        says(200, "." * (SNIPPET_LENGTH - 12) + f" {SECRET_KEY}"),
        says(200, ORDER | {"id": f"{SECRET_KEY} {API_KEY}", "symbol": API_KEY}),
        hangs_up,
        talks_nonsense,
    ],
)
def test_the_keys_do_not_show_in_an_error_even_when_the_broker_repeats_them(
    server: Loopback, broker: AlpacaBroker, method: str, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server.answers = [answer]
    with pytest.raises(BrokerError) as caught:
        ASK[method](broker)
    assert server.seen[0].headers["APCA-API-SECRET-KEY"] == SECRET_KEY
    shown = str(caught.value) + repr(caught.value) + caplog.text
    assert SECRET_KEY[:10] not in shown.replace("\\/", "/")
    assert API_KEY[:10] not in shown


def test_the_keys_do_not_show_in_a_traceback(port_nobody_listens_at: int) -> None:
    with requests.Session() as session, pytest.raises(NotSent) as caught:
        broker_at(f"http://127.0.0.1:{port_nobody_listens_at}", session).place_order(intent=INTENT)
    shown = "".join(traceback.format_exception(caught.value))
    assert "Connection refused" in shown
    assert SECRET_KEY not in shown
    assert API_KEY not in shown


# --- settings -------------------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("ALPACA_API_KEY", API_KEY)
    monkeypatch.setenv("ALPACA_SECRET_KEY", SECRET_KEY)
    monkeypatch.delenv("ALPACA_TRADING_HOST", raising=False)
    return monkeypatch


def test_keys_and_host_come_from_the_environment(environment: pytest.MonkeyPatch, server: Loopback) -> None:
    environment.setenv("ALPACA_SECRET_KEY", f"{SECRET_KEY}\n")  # as mounted secrets end
    environment.setenv("ALPACA_TRADING_HOST", server.url)
    with requests.Session() as session:
        AlpacaBroker(session=session).place_order(intent=INTENT)
    assert server.seen[0].headers["APCA-API-KEY-ID"] == API_KEY
    assert server.seen[0].headers["APCA-API-SECRET-KEY"] == SECRET_KEY


def test_what_is_given_goes_before_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ALPACA_TRADING_HOST", "https://api.alpaca.markets")
    given_host = AlpacaBroker(trading_host="https://paper-api.alpaca.markets").trading_host
    assert given_host == "https://paper-api.alpaca.markets"


@pytest.mark.parametrize("unset", [None, ""])
def test_the_host_is_the_paper_host_unless_another_is_named(
    environment: pytest.MonkeyPatch, unset: str | None
) -> None:
    if unset is not None:
        environment.setenv("ALPACA_TRADING_HOST", unset)
    assert AlpacaBroker().trading_host == "https://paper-api.alpaca.markets"


@pytest.mark.parametrize("variable", ["ALPACA_API_KEY", "ALPACA_SECRET_KEY"])
@pytest.mark.parametrize("missing", [None, "", "  \n"])
def test_a_missing_key_is_named_with_its_remedy(
    environment: pytest.MonkeyPatch, variable: str, missing: str | None
) -> None:
    environment.delenv(variable)
    if missing is not None:
        environment.setenv(variable, missing)
    with pytest.raises(ConfigurationError, match=rf"^{variable} is not set; .* Set it to the key"):
        AlpacaBroker()


@pytest.mark.parametrize("damage", ["two words", "line\nbreak", "smart\u2019quote", "nul\x00"])
def test_a_damaged_key_is_refused_without_being_shown(environment: pytest.MonkeyPatch, damage: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^ALPACA_SECRET_KEY contains a blank") as caught:
        AlpacaBroker(secret_key=damage)
    assert damage not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("https://api.alpaca.markets", "https://api.alpaca.markets"),
        (" https://API.alpaca.markets/\n", "https://api.alpaca.markets"),
        ("HTTPS://broker.example:8443", "https://broker.example:8443"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://127.1.2.3", "http://127.1.2.3"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_a_host_is_https_or_http_on_loopback(text: str, host: str) -> None:
    assert checked_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "http://paper-api.alpaca.markets",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://128.0.0.1",
        "http://127.1",
        "http://2130706433",
        "http://0.0.0.0",
        "http://10.0.0.1:8080",
    ],
)
def test_plain_http_beyond_loopback_is_a_configuration_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match="plain http would show the keys"):
        checked_host(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "paper-api.alpaca.markets",
        "//paper-api.alpaca.markets",
        "ftp://paper-api.alpaca.markets",
        "https://",
        "https:///v2",
        "https://paper-api.alpaca.markets/v2",
        "https://paper-api.alpaca.markets//",
        "https://paper-api.alpaca.markets?x=1",
        "https://paper-api.alpaca.markets#x",
        "https://paper-api.alpaca.markets\\@evil.example",
        "https://user:password@paper-api.alpaca.markets",
        "https://paper-api.alpaca.markets:0",
        "https://paper-api.alpaca.markets:65536",
        "https://paper-api.alpaca.markets:port",
        "https://paper-api..alpaca.markets",
        "https://paper api.alpaca.markets",
        "https://paper-api.alpaca.markets\r\nX-Header: 1",
        "https://paper-ap\u0456.alpaca.markets",
        "https://[::2]",
    ],
)
def test_anything_but_scheme_and_name_is_a_configuration_error(text: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"expected scheme and name, without user, path or query"
    ) as caught:
        checked_host(text)
    assert "password" not in str(caught.value)


@pytest.mark.parametrize("timeout_s", [(0.0, 1.0), (1.0, -1.0), (1.0, math.inf), (math.nan, 1.0)])
def test_waiting_for_ever_is_a_configuration_error(
    environment: pytest.MonkeyPatch, timeout_s: tuple[float, float]
) -> None:
    with pytest.raises(ConfigurationError, match="expected two numbers of seconds above 0"):
        AlpacaBroker(timeout_s=timeout_s)
