from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from engine.errors import ConfigurationError
from replay.simulator.wire.armed import Faults
from replay.simulator.wire.faults import KINDS, AcceptThenDrop, ErrorBefore, from_json, to_json
from replay.simulator.wire.when import When
from tests.replay.simulator.wire.reach import ORDER, Reach, real

# Each fault, as a client sees it.


def test_accept_then_drop_takes_the_order_and_answers_nothing(alpaca: Reach) -> None:
    alpaca.arm("accept_then_drop")
    with pytest.raises(requests.ConnectionError, match="closed connection without response"):
        alpaca.place(client_order_id="mine")
    assert [order["client_order_id"] for order in alpaca.orders] == ["mine"]
    assert alpaca.place(client_order_id="mine").status_code == 422
    dropped, _ = alpaca.simulator.simulation.state()["requests"]
    assert (dropped["status"], dropped["answered"]) == (200, False)


@pytest.mark.parametrize("fault", ["accept_then_drop", "accept_then_504"])
def test_what_comes_after_acceptance_strikes_no_order_that_is_refused(alpaca: Reach, fault: str) -> None:
    alpaca.place(client_order_id="mine")
    alpaca.arm(fault, times=1)
    assert alpaca.place(client_order_id="mine").status_code == 422
    armed = alpaca.simulator.faults.as_json()[0]
    assert (armed["left"], armed["struck"]) == (1, 0)
    alpaca.arm("error_before")
    assert alpaca.place(client_order_id="yours").status_code == 500
    if fault == "accept_then_504":
        assert alpaca.place(client_order_id="yours").status_code == 504
    else:
        with pytest.raises(requests.ConnectionError):
            alpaca.place(client_order_id="yours")
    armed = alpaca.simulator.faults.as_json()[0]
    assert (armed["left"], armed["struck"]) == (0, 1)
    assert alpaca.place().status_code == 200


def test_accept_then_504_takes_the_order_and_shows_a_gateways_page(alpaca: Reach) -> None:
    alpaca.arm("accept_then_504")
    answer = alpaca.place()
    assert (answer.status_code, answer.headers["Content-Type"]) == (504, "text/html")
    assert "504 Gateway Time-out" in answer.text
    assert len(alpaca.orders) == 1


@pytest.mark.parametrize("status", [404, 409, 499])
def test_accept_then_error_takes_the_order_and_denies_it(alpaca: Reach, status: int) -> None:
    alpaca.arm("accept_then_error", status=status)
    page = alpaca.place()
    alpaca.arm("accept_then_error", status=status, body="json")
    words = alpaca.place()
    assert (page.status_code, page.headers["Content-Type"]) == (status, "text/html")
    assert (words.status_code, set(words.json())) == (status, {"message"})
    assert len(alpaca.orders) == 2


def test_cut_headers_takes_the_order_and_ends_inside_the_answers_headers(alpaca: Reach) -> None:
    alpaca.arm("cut_headers", status=404, method="POST")
    answer = alpaca.place()  # requests takes it for a whole answer, and so does urllib3
    assert (answer.status_code, answer.content) == (404, b"")
    assert answer.headers == {"Content-Type": "application/json"}
    assert len(alpaca.orders) == 1


def test_no_length_takes_the_order_and_ends_its_answer_with_the_connection(alpaca: Reach) -> None:
    alpaca.arm("no_length", lacks_bytes=0, method="POST")
    whole = alpaca.place()
    alpaca.arm("no_length", lacks_bytes=30, method="POST")
    half = alpaca.place()
    assert [one.headers.get("Content-Length") for one in (whole, half)] == [None, None]
    assert whole.json()["id"] == alpaca.orders[0]["id"]
    assert half.text.startswith('{"id":')
    assert not half.text.endswith("}")
    assert len(alpaca.orders) == 2


@pytest.mark.parametrize("status", [500, 503])
def test_error_before_takes_nothing(alpaca: Reach, status: int) -> None:
    alpaca.arm("error_before", status=status)
    answer = alpaca.place()
    assert (answer.status_code, set(answer.json()) >= {"message"}) == (status, True)
    assert alpaca.orders == []
    assert alpaca.place().status_code == 200
    alpaca.simulator.check()


def test_a_status_without_a_name_can_be_asked_for(alpaca: Reach) -> None:
    alpaca.arm("error_before", status=599)
    alpaca.arm("html_error", status=420)
    alpaca.arm("html_error", status=420, times=2)
    assert [alpaca.place().status_code for _ in range(2)] == [599, 420]
    alpaca.simulator.check()


def test_rate_limited_says_when_to_come_again(alpaca: Reach) -> None:
    alpaca.simulator.simulation.wall = lambda: 1_000_000_000.25
    alpaca.arm("rate_limited", seconds=2)
    answer = alpaca.place()
    assert answer.status_code == 429
    assert answer.json() == {"code": 42910000, "message": "rate limit exceeded"}
    assert (answer.headers["X-RateLimit-Remaining"], answer.headers["X-RateLimit-Reset"]) == (
        "0",
        "1000000003",
    )
    assert alpaca.orders == []


def test_slow_body_trickles_in(alpaca: Reach) -> None:
    alpaca.arm("slow_body", seconds=0.3, pieces=3)
    begin = time.monotonic()
    with alpaca.ask("POST", "/v2/orders", json=ORDER, stream=True) as answer:
        headers_after = time.monotonic() - begin
        assert answer.json()["symbol"] == "AAPL"
    assert headers_after < 0.2
    assert time.monotonic() - begin >= 0.3


def test_a_pause_longer_than_the_read_timeout_breaks_a_slow_body(alpaca: Reach) -> None:
    alpaca.arm("slow_body", seconds=2, pieces=2)
    with pytest.raises(requests.ConnectionError, match="Read timed out"):
        alpaca.place_within(0.2)
    assert len(alpaca.orders) == 1


def test_truncated_body_ends_before_its_content_length(alpaca: Reach) -> None:
    alpaca.arm("truncated_body", missing_bytes=20)
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="20 more expected"):
        alpaca.place()
    assert len(alpaca.orders) == 1


def test_html_error_is_a_page_and_takes_nothing(alpaca: Reach) -> None:
    alpaca.arm("html_error", status=401)
    answer = alpaca.ask("GET", "/v2/clock")
    assert (answer.status_code, answer.headers["Content-Type"]) == (401, "text/html")
    assert "<center>nginx</center>" in answer.text


def test_lookup_lag_hides_an_accepted_order_for_so_many_lookups(alpaca: Reach) -> None:
    alpaca.arm("lookup_lag", lookups=2)
    order = alpaca.place(client_order_id="mine").json()
    by_client_id = {"client_order_id": "mine"}
    late = alpaca.ask("GET", "/v2/orders:by_client_order_id", params=by_client_id)
    assert (late.status_code, late.json()["message"]) == (404, "order not found for mine")
    assert alpaca.ask("GET", f"/v2/orders/{order['id']}").status_code == 404
    assert alpaca.ask("GET", "/v2/orders:by_client_order_id", params=by_client_id).json() == order
    assert alpaca.ask("GET", f"/v2/orders/{order['id']}").json() == order


def test_lookup_lag_hides_an_accepted_order_for_so_many_simulated_seconds(quick: Reach) -> None:
    quick.arm("lookup_lag", seconds=30)
    order_id = quick.place().json()["id"]
    quick.simulator.simulation.clock.advance(29.9)
    assert quick.ask("GET", f"/v2/orders/{order_id}").status_code == 404
    quick.simulator.simulation.clock.advance(0.1)
    assert quick.ask("GET", f"/v2/orders/{order_id}").status_code == 200


def test_lookup_lag_leaves_a_refusal_and_other_orders_alone(quick: Reach) -> None:
    quick.place(client_order_id="first")
    quick.arm("lookup_lag", lookups=9)
    assert quick.place(client_order_id="first").status_code == 422
    found = quick.ask("GET", "/v2/orders:by_client_order_id", params={"client_order_id": "first"})
    assert found.status_code == 200


def test_stuck_pending_cancel_answers_204_and_leaves_the_order_pending(alpaca: Reach) -> None:
    alpaca.arm("stuck_pending_cancel")
    order_id = alpaca.place().json()["id"]
    assert alpaca.ask("DELETE", f"/v2/orders/{order_id}").status_code == 204
    assert alpaca.ask("GET", f"/v2/orders/{order_id}").json()["status"] == "pending_cancel"


def test_stuck_pending_cancel_holds_the_orders_that_it_strikes_and_no_others(quick: Reach) -> None:
    quick.arm("stuck_pending_cancel", times=1)
    first, second = (quick.place().json()["id"] for _ in range(2))
    for order_id in (first, second):
        assert quick.ask("DELETE", f"/v2/orders/{order_id}").status_code == 204
    assert [order["status"] for order in quick.orders] == ["pending_cancel", "canceled"]


def test_stuck_pending_cancel_holds_all_orders_that_one_request_cancels_and_none_that_come_later() -> None:
    with real() as alpaca:
        alpaca.arm("stuck_pending_cancel", times=1)
        statuses = []
        for price in ("50", "51"):
            alpaca.place(type="limit", limit_price=price)
            alpaca.place(type="limit", limit_price=price)
            alpaca.pass_by(1)
            assert alpaca.ask("DELETE", "/v2/orders").status_code == 207
            alpaca.pass_by(1)
            statuses = [order["status"] for order in alpaca.orders]
        assert statuses == ["pending_cancel"] * 2 + ["canceled"] * 2
        alpaca.ask("DELETE", "/simulator/faults")
        alpaca.pass_by(1)
        assert {order["status"] for order in alpaca.orders} == {"canceled"}


def test_a_cancel_that_another_fault_turns_away_is_not_stuck(quick: Reach) -> None:
    quick.arm("stuck_pending_cancel")
    quick.arm("html_error", method="DELETE")
    order_id = quick.place().json()["id"]
    assert quick.ask("DELETE", f"/v2/orders/{order_id}").status_code == 502
    venue: Any = quick.simulator.venue
    assert venue.held == set()
    assert quick.ask("DELETE", f"/v2/orders/{order_id}").status_code == 204
    assert venue.held == {order_id}


@pytest.mark.parametrize(("qty", "status", "cancelled"), [(None, "filled", 422), ("1", "canceled", 204)])
def test_fill_races_cancel_fills_first(alpaca: Reach, qty: str | None, status: str, cancelled: int) -> None:
    alpaca.arm("fill_races_cancel", qty=qty, moment="before")
    order_id = alpaca.place().json()["id"]
    assert alpaca.ask("DELETE", f"/v2/orders/{order_id}").status_code == cancelled
    order = alpaca.ask("GET", f"/v2/orders/{order_id}").json()
    assert (order["status"], order["filled_qty"]) == (status, qty or "3")


def test_fill_races_replace_fills_first(alpaca: Reach) -> None:
    alpaca.arm("fill_races_replace", moment="before")
    order_id = alpaca.place().json()["id"]
    refused = alpaca.ask("PATCH", f"/v2/orders/{order_id}", json={"qty": "5"})
    assert (refused.status_code, refused.json()["code"]) == (422, 42210000)
    assert [order["status"] for order in alpaca.orders] == ["filled"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_race_for_an_order_that_is_not_there_leaves_the_answer_to_the_cancel(
    quick: Reach, moment: str
) -> None:
    quick.arm("fill_races_cancel", moment=moment)
    assert quick.ask("DELETE", "/v2/orders/nothing").status_code == 404


@pytest.mark.parametrize(
    ("qty", "ends"), [(None, [("filled", "3"), ("rejected", "0")]), ("1", [("replaced", "1"), ("new", "0")])]
)
def test_a_fill_comes_after_the_answer_to_a_replacement(qty: str | None, ends: list[tuple[str, str]]) -> None:
    with real() as alpaca:
        alpaca.arm("fill_races_replace", qty=qty)
        order_id = alpaca.place(type="limit", limit_price="50").json()["id"]
        alpaca.pass_by(1)
        replaced = alpaca.ask("PATCH", f"/v2/orders/{order_id}", json={"limit_price": "51"})
        assert (replaced.status_code, replaced.json()["status"]) == (200, "pending_new")
        alpaca.pass_by(0.01)
        assert [(order["status"], order["filled_qty"]) for order in alpaca.orders] == ends


@pytest.mark.parametrize(("qty", "end"), [(None, ("filled", "3")), ("1", ("canceled", "1"))])
def test_a_fill_comes_after_the_answer_to_a_cancel(qty: str | None, end: tuple[str, str]) -> None:
    with real() as alpaca:
        alpaca.arm("fill_races_cancel", qty=qty)
        order_id = alpaca.place(type="limit", limit_price="50").json()["id"]
        alpaca.pass_by(1)
        assert alpaca.ask("DELETE", f"/v2/orders/{order_id}").status_code == 204
        alpaca.pass_by(1)
        assert [(order["status"], order["filled_qty"]) for order in alpaca.orders] == [end]


def test_a_fill_comes_after_the_answer_to_a_cancel_of_all_orders() -> None:
    legs = {"take_profit": {"limit_price": "900"}, "stop_loss": {"stop_price": "10"}}
    with real() as alpaca:
        alpaca.arm("fill_races_cancel", path="/v2/orders")
        alpaca.place(type="limit", limit_price="50")
        alpaca.place(type="limit", limit_price="50", symbol="KO", order_class="bracket", **legs)
        alpaca.pass_by(1)
        rows = alpaca.ask("DELETE", "/v2/orders").json()
        assert {row["body"]["status"] for row in rows} == {"pending_cancel"}
        alpaca.pass_by(1)
        assert [order["status"] for order in alpaca.orders] == ["filled", "filled", "canceled", "canceled"]


def test_a_race_after_the_answer_is_run_whatever_becomes_of_the_answer() -> None:
    with real() as alpaca:
        alpaca.arm("accept_then_504", method="DELETE", path="/v2/orders/*")
        alpaca.arm("fill_races_cancel")
        order_id = alpaca.place(type="limit", limit_price="50").json()["id"]
        alpaca.pass_by(1)
        assert alpaca.ask("DELETE", f"/v2/orders/{order_id}").status_code == 504
        assert alpaca.orders[0]["status"] == "filled"


def test_reject_after_acceptance_answers_first(alpaca: Reach) -> None:
    alpaca.arm("reject_after_acceptance")
    order = alpaca.place().json()
    assert order["status"] == "new"
    assert alpaca.ask("GET", f"/v2/orders/{order['id']}").json()["status"] == "rejected"


@pytest.mark.parametrize("on", ["request", "answer"])
def test_latency_makes_an_answer_late(alpaca: Reach, on: str) -> None:
    alpaca.arm("latency", seconds=0.2, on=on)
    begin = time.monotonic()
    assert alpaca.place().status_code == 200
    assert time.monotonic() - begin >= 0.2


@pytest.mark.parametrize("on", ["request", "answer"])
def test_latency_above_the_timeout_leaves_the_client_in_the_dark(alpaca: Reach, on: str) -> None:
    alpaca.arm("latency", seconds=0.4, on=on)
    with pytest.raises(requests.ReadTimeout):
        alpaca.place_within(0.1)
    for _ in range(100):
        if alpaca.orders:
            break
        time.sleep(0.02)
    assert len(alpaca.orders) == 1


# Which requests are struck.


def test_a_counted_fault_strikes_so_many_requests_of_its_kind(quick: Reach) -> None:
    quick.arm("error_before", method="POST", path="/v2/orders", times=3)
    statuses = []
    for _ in range(5):
        statuses.append(quick.place().status_code)
        assert quick.ask("GET", "/v2/orders").status_code == 200
    assert statuses == [500, 500, 500, 200, 200]


def test_a_fault_without_an_end_strikes_every_request(quick: Reach) -> None:
    quick.arm("error_before", times=None)
    assert {quick.place().status_code for _ in range(20)} == {500}


def test_a_probable_fault_strikes_the_same_requests_for_the_same_seed() -> None:
    def struck(seed: int) -> list[bool]:
        faults = Faults(seed=seed)
        faults.add(ErrorBefore(when=When(times=None, probability=0.3)))
        return [bool(faults.drawn("GET", "/v2/clock")) for _ in range(1000)]

    assert struck(1) == struck(1) != struck(2)
    assert 240 < sum(struck(1)) < 360


def test_a_probable_fault_can_be_counted_too() -> None:
    faults = Faults([ErrorBefore(when=When(times=2, probability=0.5))])
    assert sum(bool(faults.drawn("GET", "/v2/clock")) for _ in range(100)) == 2


def test_the_first_of_two_faults_that_answer_wins_and_both_count(quick: Reach) -> None:
    quick.arm("error_before", status=503)
    quick.arm("html_error", status=502)
    assert [quick.place().status_code for _ in range(2)] == [503, 200]


def test_faults_add_up(alpaca: Reach) -> None:
    alpaca.arm("latency", seconds=0.2)
    alpaca.arm("accept_then_drop")
    begin = time.monotonic()
    with pytest.raises(requests.ConnectionError):
        alpaca.place()
    assert time.monotonic() - begin >= 0.2


def test_a_request_with_wrong_keys_meets_no_fault(quick: Reach) -> None:
    quick.arm("error_before")
    assert quick.ask("GET", "/v2/clock", headers={"APCA-API-KEY-ID": "wrong"}).status_code == 401
    assert quick.ask("GET", "/v2/clock").status_code == 500


# As JSON.


@pytest.mark.parametrize("name", KINDS)
def test_every_fault_is_the_same_after_its_json(name: str) -> None:
    needed = {"lookups": 1} if name == "lookup_lag" else {}
    fault = from_json({"fault": name, **needed, "method": "GET", "times": 4, "probability": 0.5})
    assert type(fault) is KINDS[name]
    assert from_json(to_json(fault)) == fault


def test_a_fault_is_made_for_the_requests_it_is_for() -> None:
    assert from_json({"fault": "accept_then_drop"}) == AcceptThenDrop(When("POST", "/v2/orders", times=1))
    assert from_json({"fault": "fill_races_replace"}).when == When("PATCH", "/v2/orders/*")
    assert from_json({"fault": "error_before", "probability": 0.2}).when == When(times=None, probability=0.2)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "fault: fault is []; expected a JSON object"),
        ({}, "fault is None; expected the name of a fault. Write one of accept_then_drop, accept"),
        ({"fault": ["x"]}, "expected the name of a fault"),
        ({"fault": "latency", "second": 1}, "second is 1; expected one of latency's keys. They are method"),
        ({"fault": "latency", "seconds": "1"}, "fault: seconds is '1'; expected seconds from 0 to a day"),
        ({"fault": "latency", "seconds": None}, "fault: seconds is None; expected a number"),
        ({"fault": "latency", "seconds": float("nan")}, "fault: seconds is nan"),
        ({"fault": "latency", "on": []}, "fault: on is []; expected request or answer"),
        ({"fault": "latency", "times": 0}, "fault: times is 0; expected a whole number of requests, or null"),
        ({"fault": "latency", "times": True}, "fault: times is True"),
        ({"fault": "latency", "probability": 1.5}, "probability is 1.5; expected a number from 0 to 1"),
        ({"fault": "latency", "method": "post"}, "method is 'post'; expected an HTTP method in capitals"),
        ({"fault": "latency", "path": 3}, "fault: path is 3; expected a path pattern"),
        ({"fault": "error_before", "status": 200}, "status is 200; expected an HTTP status from 400 to 599"),
        ({"fault": "slow_body", "pieces": 0}, "fault: pieces is 0"),
        ({"fault": "truncated_body", "missing_bytes": 0}, "fault: missing_bytes is 0"),
        ({"fault": "fill_races_cancel", "qty": "-1"}, "qty is '-1'; expected shares as a positive decimal"),
        ({"fault": "fill_races_cancel", "qty": "x"}, "fault: qty is 'x'"),
        ({"fault": "fill_races_cancel", "qty": "NaN"}, "fault: qty is 'NaN'"),
        ({"fault": "fill_races_cancel", "moment": "during"}, "moment is 'during'; expected before or after"),
        ({"fault": "lookup_lag"}, "fault: seconds is None; expected either seconds or lookups"),
        ({"fault": "lookup_lag", "seconds": 1, "lookups": 1}, "expected either seconds or lookups"),
    ],
)  # fmt: skip
def test_a_wrong_fault_is_refused_with_what_to_write(document: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        from_json(document)
    assert message in str(refused.value)
