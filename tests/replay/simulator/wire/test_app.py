from __future__ import annotations

import logging
import re
from typing import Any

import pytest
import requests

from replay.simulator.server import SimulatorFailed
from tests.replay.simulator.wire.reach import ORDER, Reach, reach

JSON = "application/json; charset=UTF-8"


def test_an_order_is_placed_and_found_again(alpaca: Reach) -> None:
    placed = alpaca.place(client_order_id="mine")
    assert (placed.status_code, placed.json()["symbol"]) == (200, "AAPL")
    order = placed.json()
    assert alpaca.ask("GET", f"/v2/orders/{order['id']}").json() == order
    found = alpaca.ask("GET", "/v2/orders:by_client_order_id", params={"client_order_id": "mine"})
    assert found.json() == order
    assert alpaca.ask("GET", "/v2/orders", params={"status": "new"}).json() == [order]
    assert alpaca.ask("GET", "/v2/orders", params={"status": "closed"}).json() == []


def test_a_refusal_carries_its_status_code_and_message(alpaca: Reach) -> None:
    alpaca.place(client_order_id="mine")
    refused = alpaca.place(client_order_id="mine")
    assert refused.status_code == 422
    assert refused.json() == {"code": 40010001, "message": "client_order_id must be unique"}
    assert refused.headers["Content-Type"] == JSON


def test_a_cancel_is_answered_with_204_and_no_body(alpaca: Reach) -> None:
    order_id = alpaca.place().json()["id"]
    cancelled = alpaca.ask("DELETE", f"/v2/orders/{order_id}")
    assert (cancelled.status_code, cancelled.content) == (204, b"")
    assert cancelled.headers["Content-Type"] == JSON  # as recorded in 2019 and 2020
    assert "Content-Length" not in cancelled.headers


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/v2/positions", 200, []),
        ("GET", "/v2/positions/AAPL", 404, {"code": 40410000, "message": "position does not exist"}),
        ("DELETE", "/v2/positions/AAPL?qty=2", 403,
         {"code": 40310000, "message": "insufficient qty available", "symbol": "AAPL", "qty": "2"}),
        ("DELETE", "/v2/positions?cancel_orders=true", 207,
         [{"symbol": "AAPL", "status": 200, "body": {"cancel_orders": "true"}}]),
        ("DELETE", "/v2/orders", 207, []),
        ("GET", "/v2/account", 200, {"cash": "100000"}),
        ("GET", "/v2/account/configurations", 200, {"suspend_trade": False}),
        ("GET", "/v2/account/activities?page_size=2", 200, [{"kind": None, "page_size": "2"}]),
        ("GET", "/v2/account/activities/FILL?direction=asc", 200, [{"kind": "FILL", "direction": "asc"}]),
        ("GET", "/v2/clock", 200, {"is_open": True}),
        ("GET", "/v2/calendar?start=2026-03-02&end=", 200, [{"start": "2026-03-02", "end": ""}]),
        ("GET", "/v2/assets?status=active", 200, [{"status": "active"}]),
        ("GET", "/v2/assets/AAPL", 200, {"symbol": "AAPL"}),
        ("GET", "/v2/assets/BTC%2FUSD", 200, {"symbol": "BTC/USD"}),
    ],
)  # fmt: skip
def test_every_endpoint_reaches_the_venue_with_its_parameters(
    alpaca: Reach, method: str, path: str, status: int, body: Any
) -> None:
    answered = alpaca.ask(method, path)
    assert (answered.status_code, answered.json()) == (status, body)


def test_a_replacement_and_a_configuration_send_their_body(quick: Reach) -> None:
    order_id = quick.place().json()["id"]
    assert quick.ask("PATCH", f"/v2/orders/{order_id}", json={"qty": "5"}).json()["qty"] == "5"
    configured = quick.ask("PATCH", "/v2/account/configurations", json={"suspend_trade": True})
    assert configured.json() == {"suspend_trade": True}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"text"', b'{"qty": NaN}', b"\xff\xfe", b"[" * 2000]
)
def test_a_body_that_is_no_json_object_is_refused_with_400(quick: Reach, body: bytes) -> None:
    refused = quick.ask("POST", "/v2/orders", data=body)
    assert refused.status_code == 400
    assert refused.json() == {"code": 40010000, "message": "request body format is invalid"}
    assert quick.orders == []


def test_a_body_is_read_whatever_its_content_type(alpaca: Reach) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert alpaca.ask("POST", "/v2/orders", data=b'{"symbol": "AAPL"}', headers=headers).status_code == 200


def test_a_large_body_that_comes_in_many_parts_is_read_whole(alpaca: Reach) -> None:
    assert alpaca.place(note="x" * 300_000).json()["asked"]["note"] == "x" * 300_000


@pytest.mark.parametrize("path", ["/", "/v2", "/v2/nothing", "/v2/orders/", "/v2/orders/a/b", "/v1/orders"])
def test_an_unknown_endpoint_is_answered_with_alpacas_404(quick: Reach, path: str) -> None:
    unknown = quick.ask("GET", path)
    assert unknown.status_code == 404
    assert unknown.json() == {"code": 40410000, "message": "endpoint not found."}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v2/orders", {"GET", "POST", "DELETE"}),
        ("POST", "/v2/clock", {"GET"}),
        ("PUT", "/v2/orders/x", {"GET", "PATCH", "DELETE"}),
    ],
)
def test_a_wrong_method_is_answered_with_405_and_the_right_ones(
    alpaca: Reach, method: str, path: str, allowed: set[str]
) -> None:
    wrong = alpaca.ask(method, path)
    assert (wrong.status_code, wrong.json()) == (405, {"code": 40510000, "message": "method not allowed."})
    assert set(wrong.headers["Allow"].split(", ")) == allowed
    assert wrong.headers["X-RateLimit-Limit"] == "200"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"APCA-API-KEY-ID": "test-key"},
        {"APCA-API-KEY-ID": "test-key", "APCA-API-SECRET-KEY": "wrong"},
        {"APCA-API-KEY-ID": "wrong", "APCA-API-SECRET-KEY": "test-secret"},
        {"APCA-API-KEY-ID": "", "APCA-API-SECRET-KEY": ""},
        {"APCA-API-KEY-ID": "t\u00ebst", "APCA-API-SECRET-KEY": "test-secret"},
        {"Authorization": "Bearer test-secret"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic dGVzdC1rZXk6d3Jvbmc="},
    ],
)
def test_wrong_keys_are_answered_with_401_and_change_nothing(quick: Reach, headers: dict[str, str]) -> None:
    quick.session.headers = requests.structures.CaseInsensitiveDict()
    for path in ("/v2/orders", "/v2/nothing"):
        encoded = {name: value.encode("latin-1") for name, value in headers.items()}
        refused = quick.ask("POST", path, json=ORDER, headers=encoded)
        assert (refused.status_code, refused.json()) == (401, {"message": "unauthorized."})
    assert quick.orders == []


def test_http_basic_is_as_good_as_alpacas_headers(alpaca: Reach) -> None:
    alpaca.session.headers = requests.structures.CaseInsensitiveDict()
    assert alpaca.ask("GET", "/v2/account", auth=("test-key", "test-secret")).status_code == 200


def test_keys_can_be_others() -> None:
    with reach("adapter", key="a", secret="b") as alpaca:
        assert alpaca.ask("GET", "/v2/account").status_code == 401
        alpaca.session.headers.update({"APCA-API-KEY-ID": "a", "APCA-API-SECRET-KEY": "b"})
        assert alpaca.ask("GET", "/v2/account").status_code == 200


def test_every_answer_has_a_request_id_of_its_own_and_the_rate_limit_headers(alpaca: Reach) -> None:
    answers = [alpaca.place(), alpaca.ask("GET", "/v2/nothing"), alpaca.ask("PUT", "/v2/orders")]
    answers.append(alpaca.ask("GET", "/v2/account", headers={"APCA-API-KEY-ID": "wrong"}))
    assert len({answer.headers["X-Request-ID"] for answer in answers}) == 4
    for answer in answers:
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])
        assert answer.headers["Content-Type"] == JSON
        assert (answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"]) == (
            "200",
            "199",
        )
        assert int(answer.headers["X-RateLimit-Reset"]) % 60 == 0


def test_the_rate_limit_counts_down_refuses_and_begins_anew_with_the_minute() -> None:
    with reach("adapter", rate_limit=2) as alpaca:
        simulation, now = alpaca.simulator.simulation, [1_000_000_000.0]
        simulation.wall = lambda: now[0]
        simulation.reset()
        remaining = [alpaca.ask("GET", "/v2/account").headers["X-RateLimit-Remaining"] for _ in range(2)]
        assert remaining == ["1", "0"]
        refused = alpaca.place()
        assert (refused.status_code, refused.headers["X-RateLimit-Remaining"]) == (429, "0")
        assert refused.json() == {"code": 42910000, "message": "rate limit exceeded"}
        assert refused.headers["X-RateLimit-Reset"] == "1000000020"
        assert alpaca.orders == []
        now[0] = 1_000_000_020.0
        assert alpaca.place().status_code == 200


def test_wrong_keys_take_nothing_from_the_rate_limit() -> None:
    with reach("adapter", rate_limit=1) as alpaca:
        alpaca.simulator.simulation.wall = lambda: 1e9
        alpaca.simulator.simulation.reset()
        assert alpaca.ask("GET", "/v2/account", headers={"APCA-API-KEY-ID": "wrong"}).status_code == 401
        assert alpaca.ask("GET", "/v2/account").status_code == 200


@pytest.mark.parametrize("way", ["socket", "adapter"])
def test_an_exception_in_the_venue_is_a_500_and_makes_the_test_fail(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    def use() -> None:
        with reach(way) as alpaca:
            monkey: Any = alpaca.simulator.venue
            monkey.breaks = True
            broken = alpaca.place()
            assert broken.status_code == 500
            assert broken.json() == {"code": 50010000, "message": "internal server error occurred"}
            alpaca.simulator.check()

    with caplog.at_level(logging.ERROR), pytest.raises(SimulatorFailed, match="POST /v2/orders: KeyError"):
        use()
    assert "a defect of the simulator" in caplog.text


def test_the_venue_is_brought_up_to_date_before_each_request(quick: Reach) -> None:
    for _ in range(3):
        quick.ask("GET", "/v2/clock")
    venue: Any = quick.simulator.venue
    assert venue.advanced == 3
