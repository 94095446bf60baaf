"""The moment of sending: what comes right before it, what never leaves, and the name of what did."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from engine.brokers import in_time, last_look
from engine.brokers.alpaca.broker import AlpacaBroker
from engine.brokers.alpaca.recorded_answers import recorded_answer
from engine.brokers.alpaca.transport import BoundedAdapter
from engine.brokers.interaction import Interaction
from engine.brokers.last_look import FRESH_FOR_S
from engine.errors import BrokerError, BrokerRejected, NotSent, OutcomeUnknown, RateLimited, UsageError
from engine.waiting.retry_policy import RetryPolicy
from tests.engine.brokers.loopback import (
    INTENT,
    ORDER_ID,
    Answer,
    Loopback,
    Recorded,
    broker_at,
    cuts_before_the_empty_line,
    cuts_headers,
    ends_with_the_connection,
    hangs_up,
    says,
    sends_half,
)
from tests.engine.brokers.simulated import intent

SEND: dict[str, Callable[[AlpacaBroker], object]] = {
    "POST": lambda broker: broker.place_order(intent=INTENT),
    "DELETE": lambda broker: broker.cancel_order(broker_order_id=ORDER_ID),
}
each_send = pytest.mark.parametrize("method", SEND)


# --- right before it ------------------------------------------------------------------------------------


def test_the_last_look_comes_before_the_order_leaves(server: Loopback, broker: AlpacaBroker) -> None:
    sent_by_then: list[int] = []
    broker.place_order(intent=INTENT, at_its_turn=lambda: sent_by_then.append(len(server.seen)))
    assert (sent_by_then, len(server.seen)) == ([0], 1)


def test_what_the_last_look_raises_passes_through_and_nothing_is_sent(
    server: Loopback, broker: AlpacaBroker
) -> None:
    def halted() -> None:
        raise KeyError("halted")

    with pytest.raises(KeyError, match="halted"):
        broker.place_order(intent=INTENT, at_its_turn=halted)
    assert server.seen == []


@pytest.fixture
def slowly_connected(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> Iterator[AlpacaBroker]:
    """Yield a broker to whose server it takes longer to connect than a look is fresh; clocks are moved."""
    passed = [0.0]
    connect = in_time._ConnectionInTime.connect

    def slowly(connection: Any) -> None:
        connect(connection)
        passed[0] += FRESH_FOR_S + 0.1

    monkeypatch.setattr(in_time._ConnectionInTime, "connect", slowly)
    clocks = SimpleNamespace(monotonic=lambda: passed[0], clock_gettime=lambda _: 0.0, time=lambda: 0.0)
    monkeypatch.setattr(last_look, "time", clocks)
    with requests.Session() as session:
        session.mount(server.url, BoundedAdapter(connections=1, deadline_s=5.0))
        yield broker_at(server.url, session)


def test_an_order_is_looked_at_again_where_connecting_took_longer_than_a_look_is_fresh(
    server: Loopback, slowly_connected: AlpacaBroker
) -> None:
    sent_by_then: list[int] = []
    slowly_connected.place_order(intent=INTENT, at_its_turn=lambda: sent_by_then.append(len(server.seen)))
    assert (sent_by_then, len(server.seen)) == ([0, 0], 1)


def test_an_order_that_was_halted_while_it_connected_is_not_sent_and_leaves_nothing_in_doubt(
    server: Loopback, slowly_connected: AlpacaBroker
) -> None:
    looks = []

    def halted_by_the_second_look() -> None:
        looks.append(1)
        if len(looks) == 2:
            raise BrokerError("halted meanwhile")

    recorder = Recorded([])
    with pytest.raises(BrokerError, match="halted meanwhile"):
        slowly_connected.recorded(recorder).place_order(intent=INTENT, at_its_turn=halted_by_the_second_look)
    assert server.seen == []
    (interaction,) = recorder.kept
    assert interaction.error == "NotSent: BrokerError: halted meanwhile"
    assert recorded_answer(interaction) is None


def test_there_is_no_last_look_at_what_cannot_be_sent(broker: AlpacaBroker) -> None:
    looked: list[bool] = []
    with pytest.raises(UsageError):
        broker.place_order(intent=intent(client_intent_id=""), at_its_turn=lambda: looked.append(True))
    assert looked == []


def test_the_broker_knows_what_alpaca_cannot_take(server: Loopback, broker: AlpacaBroker) -> None:
    assert broker.why_refused(INTENT) == ""
    assert "steps of 0.01" in broker.why_refused(intent(order_type="limit", limit_price=10.005))
    assert server.seen == []


# --- what never leaves ----------------------------------------------------------------------------------


@each_send
def test_without_a_connection_nothing_was_sent(method: str, port_nobody_listens_at: int) -> None:
    url = f"http://127.0.0.1:{port_nobody_listens_at}"
    with requests.Session() as session, pytest.raises(NotSent) as caught:
        SEND[method](broker_at(url, session))
    assert f"{method} {url}/v2/orders" in str(caught.value)
    assert (
        "not sent, there was no connection (Failed to establish a new connection: Connection refused)"
        in str(caught.value)
    )
    assert not isinstance(caught.value, OutcomeUnknown)


@each_send
def test_a_connection_that_breaks_may_have_carried_it(
    server: Loopback, broker: AlpacaBroker, method: str
) -> None:
    server.answers = [hangs_up]
    with pytest.raises(OutcomeUnknown):
        SEND[method](broker)


def test_a_question_that_never_left_is_no_answer(port_nobody_listens_at: int) -> None:
    with requests.Session() as session, pytest.raises(BrokerError) as caught:
        broker_at(f"http://127.0.0.1:{port_nobody_listens_at}", session).get_account()
    assert type(caught.value) is BrokerError


@contextmanager
def answering_nothing() -> Iterator[int]:
    """Yield the port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


@each_send
def test_without_a_secured_connection_in_time_nothing_was_sent(method: str) -> None:
    with answering_nothing() as port, pytest.raises(NotSent):
        SEND[method](broker_at(f"https://localhost:{port}", timeout_s=(0.2, 30.0)))


@each_send
def test_with_a_resolver_that_hangs_nothing_was_sent(
    method: str, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hanging(*_: object) -> list[object]:
        server.let_go.wait(30)
        return []

    monkeypatch.setattr("socket.getaddrinfo", hanging)
    with pytest.raises(NotSent):
        SEND[method](broker_at(server.url, timeout_s=(0.2, 30.0)))
    assert server.seen == []


# --- refusals that are none -----------------------------------------------------------------------------

REFUSED = {"code": 40310000, "message": "insufficient buying power"}
NOT_FOUND = {"code": 40410000, "message": "order not found for intent-1"}
PAGE = "<html><title>404 Not Found</title><hr>nginx</html>"


@each_send
@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 410, 413, 422, 425, 429, 499, 500, 503])
def test_half_a_reply_leaves_the_outcome_open(server: Loopback, method: str, status: int) -> None:
    server.answers = [sends_half(status, '{"code": 40310000, "mess')]
    with pytest.raises(OutcomeUnknown):
        SEND[method](broker_at(server.url))


@each_send
@pytest.mark.parametrize("status", [200, 204, 400, 403, 404, 422, 429, 500])
@pytest.mark.parametrize("cut", [cuts_headers, cuts_before_the_empty_line])
def test_a_reply_cut_inside_its_headers_leaves_the_outcome_open(
    server: Loopback, method: str, status: int, cut: Callable[[int], Answer]
) -> None:
    server.answers = [cut(status)]
    with pytest.raises(OutcomeUnknown, match="ends inside its headers"):
        SEND[method](broker_at(server.url))


@each_send
@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422, 451])
@pytest.mark.parametrize(
    "body", [b"", PAGE, [REFUSED], {"error": "no"}, {"code": 40310000}, {"message": " "}]
)
def test_a_refusal_that_is_not_in_alpacas_words_leaves_the_outcome_open(
    server: Loopback, broker: AlpacaBroker, method: str, status: int, body: object
) -> None:
    server.answers = [says(status, body)]
    with pytest.raises(OutcomeUnknown, match=f"HTTP {status}"):
        SEND[method](broker)


@each_send
@pytest.mark.parametrize("status", [408, 409, 425, 499])
def test_a_status_that_decides_nothing_leaves_the_outcome_open_whatever_it_says(
    server: Loopback, broker: AlpacaBroker, method: str, status: int
) -> None:
    server.answers = [says(status, REFUSED)]
    with pytest.raises(OutcomeUnknown, match=f"HTTP {status}"):
        SEND[method](broker)


@each_send
@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_alpacas_own_words_refuse(server: Loopback, broker: AlpacaBroker, method: str, status: int) -> None:
    server.answers = [says(status, REFUSED)]
    with pytest.raises(BrokerRejected, match="insufficient buying power") as caught:
        SEND[method](broker)
    assert caught.value.status == status


@each_send
def test_alpacas_own_words_refuse_without_a_length_where_they_are_whole(
    server: Loopback, broker: AlpacaBroker, method: str
) -> None:
    whole = json.dumps(REFUSED).encode()
    server.answers = [ends_with_the_connection(403, whole), ends_with_the_connection(403, whole[:-1])]
    with pytest.raises(BrokerRejected, match="insufficient buying power"):
        SEND[method](broker)
    with pytest.raises(OutcomeUnknown):
        SEND[method](broker)


def test_what_refuses_in_a_record_is_what_refuses_at_the_broker(server: Loopback) -> None:
    kept: list[Interaction] = []
    answers: list[tuple[Answer, bool]] = [
        (says(403, REFUSED), True),
        (says(403, PAGE), False),
        (says(404, b""), False),
        *((says(status, REFUSED), False) for status in (408, 409, 425, 499)),
    ]
    for answer, refuses in answers:
        server.answers = [answer]
        with pytest.raises(BrokerRejected if refuses else OutcomeUnknown):
            SEND["POST"](broker_at(server.url).recorded(Recorded(kept)))
        client_id, settled = recorded_answer(kept[-1]) or ("", None)
        assert (client_id, isinstance(settled, BrokerRejected)) == ("intent-1", refuses)


@pytest.mark.parametrize(
    "answer",
    [
        says(404, PAGE),
        says(404, b""),
        says(404, {"code": 40410000, "message": "endpoint not found."}),
        says(404, {"message": "order not found"}),
        cuts_headers(404),
        cuts_before_the_empty_line(404),
        ends_with_the_connection(404, json.dumps(NOT_FOUND).encode()[:-2]),
        *(says(status, NOT_FOUND) for status in (408, 409, 425, 499)),
    ],
)
def test_only_alpaca_itself_says_that_there_is_no_such_order(server: Loopback, answer: Answer) -> None:
    lookups: list[Callable[[AlpacaBroker], object]] = [
        lambda broker: broker.get_order_status(broker_order_id=ORDER_ID),
        lambda broker: broker.find_order(client_order_id="intent-1"),
    ]
    for ask in lookups:
        server.answers = [answer]
        with pytest.raises(BrokerError) as caught:
            ask(broker_at(server.url))
        assert type(caught.value) is BrokerError


def test_a_page_instead_of_an_order_is_asked_for_again(server: Loopback) -> None:
    server.answers = [says(404, PAGE), cuts_headers(404)]
    found = broker_at(server.url, retry_policy=RetryPolicy(read_s=5.0)).find_order(client_order_id="intent-1")
    assert (found is not None, len(server.seen)) == (True, 3)


# --- its name -------------------------------------------------------------------------------------------


@each_send
@pytest.mark.parametrize(("status", "body"), [(503, b""), (200, b"<html>"), (201, b"{}")])
def test_an_unknown_outcome_names_the_request_as_the_broker_does(
    server: Loopback, broker: AlpacaBroker, method: str, status: int, body: bytes
) -> None:
    server.answers = [says(status, body, **{"X-Request-ID": "5f0c2a9b"})]
    with pytest.raises(OutcomeUnknown, match=rf"HTTP {status} \(request 5f0c2a9b\): "):
        SEND[method](broker)


def test_a_question_without_an_answer_names_the_request_too(server: Loopback, broker: AlpacaBroker) -> None:
    server.answers = [says(502, "<h1>Bad Gateway</h1>", **{"x-request-id": "5f0c2a9b"})]
    with pytest.raises(BrokerError, match=r"HTTP 502 \(request 5f0c2a9b\): Bad Gateway"):
        broker.get_account()


@each_send
def test_a_refusal_names_the_request_too(server: Loopback, broker: AlpacaBroker, method: str) -> None:
    body = {"code": 40310000, "message": "insufficient buying power", "buying_power": "1", "cost_basis": "2"}
    server.answers = [says(403, body, **{"X-Request-ID": "5f0c2a9b"})]
    with pytest.raises(BrokerRejected) as caught:
        SEND[method](broker)
    assert str(caught.value) == (
        "insufficient buying power (code 40310000, buying_power 1, cost_basis 2, request 5f0c2a9b)"
    )
    assert (caught.value.request_id, caught.value.details["cost_basis"]) == ("5f0c2a9b", "2")


@each_send
def test_being_turned_away_is_a_refusal_of_its_own(
    server: Loopback, broker: AlpacaBroker, method: str
) -> None:
    server.answers = [says(429, {"code": 42910000, "message": "rate limit exceeded"}, **{"Retry-After": "3"})]
    with pytest.raises(RateLimited) as caught:
        SEND[method](broker)
    assert (caught.value.status, caught.value.wait_s, len(server.seen)) == (429, 3.0, 1)
