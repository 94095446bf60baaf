"""The transport that answers from recorded traffic, and from nothing else."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from engine.errors import RunStopped
from replay.cassettes import Interaction
from replay.transport import CassetteAdapter, CassetteSession
from replay.venue_book import VenueBook
from tests.replay.listening import Listening

HOST = "https://paper-api.alpaca.markets"
AT = datetime(2026, 3, 2, 17, tzinfo=UTC)
PRICES = {"SPY": 100.0}


def order_body(client_id: str, **said: Any) -> bytes:
    body = {"client_order_id": client_id, "symbol": "SPY", "side": "buy", "type": "market", "qty": "1"}
    return json.dumps({**body, "time_in_force": "day", **said}).encode()


def order(client_id: str, **said: Any) -> dict[str, Any]:
    return {
        **json.loads(order_body(client_id)),
        "id": f"id-{client_id}",
        "status": "accepted",
        "filled_qty": "0",
        "submitted_at": "2026-03-02T17:00:00Z",
        **said,
    }


def said(target: str, answer: object, *, method: str = "GET", status: int = 200, **more: Any) -> Interaction:
    content = b"" if answer is None else json.dumps(answer).encode()
    fields = {"number": 1, "body": b"", **more}
    return Interaction(method=method, target=target, status=status, content=content, **fields)


def posted(client_id: str, **more: Any) -> Interaction:
    answer = more.pop("answer", order(client_id))
    return said("/v2/orders", answer, method="POST", body=order_body(client_id), **more)


def over(*interactions: Interaction, account: str = "") -> tuple[requests.Session, CassetteAdapter]:
    def book() -> VenueBook:
        return VenueBook.of(interactions, at=AT, reference_price=lambda _: None, last_price=PRICES)

    adapter = CassetteAdapter(interactions, book, account=account)
    return CassetteSession(adapter), adapter


def how(adapter: CassetteAdapter) -> list[str]:
    return [answer.how for answer in adapter.answers]


def test_a_request_gets_the_reply_that_was_recorded() -> None:
    session, adapter = over(said("/v2/clock", {"a": 1}, headers={"X-RateLimit-Limit": "200"}, reason="OK"))
    reply = session.get(HOST + "/v2/clock")
    assert (reply.status_code, reply.reason, reply.json()) == (200, "OK", {"a": 1})
    assert reply.headers["x-ratelimit-limit"] == "200"
    assert how(adapter) == ["recorded"]


def test_a_request_that_repeats_gets_its_replies_in_the_order_in_which_they_were_recorded() -> None:
    session, _ = over(*(said("/v2/positions", [{"symbol": name}]) for name in ("A", "B", "C")))
    told = [session.get(HOST + "/v2/positions").json()[0]["symbol"] for _ in range(3)]
    assert told == ["A", "B", "C"]


def test_beyond_what_was_recorded_the_last_reply_stays() -> None:
    session, adapter = over(said("/v2/watch", {"a": 1}), said("/v2/watch", {"a": 2}))
    assert [session.get(HOST + "/v2/watch").json()["a"] for _ in range(3)] == [1, 2, 2]
    assert how(adapter) == ["recorded", "recorded", "derived"]


def test_orders_are_distinguished_by_the_client_id_in_their_bodies_however_they_come() -> None:
    names = [f"order-{number}" for number in range(50)]
    session, adapter = over(*(posted(name) for name in names))
    for name in reversed(names):
        assert session.post(HOST + "/v2/orders", data=order_body(name)).json()["id"] == f"id-{name}"
    assert set(how(adapter)) == {"recorded"}


def test_the_order_of_a_query_does_not_matter_and_its_content_does() -> None:
    session, adapter = over(said("/v2/list?a=1&b=2", {"is": "it"}))
    assert session.get(HOST + "/v2/list?b=2&a=1").json() == {"is": "it"}
    assert session.get(HOST + "/v2/list?a=1&b=3").status_code == 404
    assert how(adapter) == ["recorded", "simulated"]


def test_an_order_that_is_another_under_the_same_id_does_not_get_its_reply() -> None:
    session, adapter = over(posted("a"), account="")
    placed = session.post(HOST + "/v2/orders", data=order_body("a", qty="2")).json()
    assert (placed["id"], placed["qty"]) == ("simulated-a", "2")
    assert how(adapter) == ["simulated"]


def test_an_order_sent_again_under_a_recorded_id_is_refused_as_the_broker_would() -> None:
    session, _ = over(posted("a"))
    session.post(HOST + "/v2/orders", data=order_body("a"))
    again = session.post(HOST + "/v2/orders", data=order_body("a"))
    assert (again.status_code, again.json()["message"]) == (422, "client_order_id must be unique")


def test_a_body_written_otherwise_asks_for_the_same_order() -> None:
    session, adapter = over(posted("a"))
    session.post(HOST + "/v2/orders", data=order_body("a", qty="1.0", extended_hours=False))
    assert how(adapter) == ["recorded"]


def lost(error: str, **more: Any) -> Interaction:
    return Interaction(number=1, method="GET", target="/v2/clock", body=b"", error=error, **more)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        ("ReadTimeout: it took long", requests.exceptions.ReadTimeout),
        ("ReadTimeoutError: it took long", requests.exceptions.ReadTimeout),
        ("ProtocolError: closed", requests.exceptions.ConnectionError),
        ("NewConnectionError: refused", requests.exceptions.ConnectionError),
    ],
)
def test_what_had_no_reply_then_has_none_now(error: str, raised: type[Exception]) -> None:
    session, _ = over(lost(error), said("/v2/clock", {"a": 1}))
    with pytest.raises(raised):
        session.get(HOST + "/v2/clock")
    assert session.get(HOST + "/v2/clock").json() == {"a": 1}


def test_accounts_with_the_same_ids_get_each_its_own_replies() -> None:
    traffic = [posted("a", account=name, answer=order("a", id=f"id-{name}")) for name in ("one", "two")]
    for name in ("two", "one"):
        session, _ = over(*traffic, account=name)
        assert session.post(HOST + "/v2/orders", data=order_body("a")).json()["id"] == f"id-{name}"


def test_an_order_that_was_never_sent_is_filled_at_the_last_price_and_marked() -> None:
    session, adapter = over(said("/v2/orders?status=open", []))
    placed = session.post(HOST + "/v2/orders", data=order_body("new", qty="2")).json()
    assert (placed["status"], placed["filled_qty"], placed["filled_avg_price"]) == ("filled", "2", "100")
    by_id = session.get(f"{HOST}/v2/orders/{placed['id']}").json()
    by_client_id = session.get(HOST + "/v2/orders:by_client_order_id?client_order_id=new").json()
    assert by_id == by_client_id == placed
    (fill,) = session.get(HOST + "/v2/account/activities/FILL?page_size=100").json()
    assert (fill["order_id"], fill["qty"], fill["price"]) == (placed["id"], "2", "100")
    assert how(adapter) == ["simulated", "simulated", "simulated", "derived"]
    assert list(adapter.simulated) == [placed["id"]]


def test_simulated_fills_stand_beside_recorded_ones_on_the_last_page() -> None:
    target = "/v2/account/activities/FILL?page_size=2"
    full = [
        {"id": f"{number}", "order_id": "x", "transaction_time": "2026-03-02T17:00:00Z"} for number in "12"
    ]
    session, _ = over(said(target, full), said(target + "&page_token=2", full[:1]))
    session.post(HOST + "/v2/orders", data=order_body("new"))
    assert len(session.get(HOST + target).json()) == 2
    assert [fill["order_id"] for fill in session.get(HOST + target + "&page_token=2").json()] == [
        "x",
        "simulated-new",
    ]


def test_lists_that_were_never_asked_for_are_made_of_what_any_reply_reported() -> None:
    later = order("b", submitted_at="2026-03-02T17:05:00Z", status="filled")
    session, adapter = over(posted("a"), said("/v2/orders/id-b", later))

    def ids(query: str) -> list[str]:
        return [row["id"] for row in session.get(f"{HOST}/v2/orders?{query}").json()]

    assert ids("status=all") == ["id-a", "id-b"]
    assert ids("status=open") == ["id-a"]
    assert ids("status=all&after=2026-03-02T17:00:00Z") == ["id-b"]
    assert ids("status=all&after_order_id=id-a") == ["id-b"]
    assert ids("status=all&limit=1") == ["id-a"]
    assert set(how(adapter)) == {"derived"}


def test_an_order_that_only_a_list_reported_has_lost_its_reply_and_is_found() -> None:
    session, _ = over(said("/v2/orders?status=all", [order("a")]))
    with pytest.raises(requests.exceptions.ConnectionError, match="was not recorded"):
        session.post(HOST + "/v2/orders", data=order_body("a"))
    found = session.get(HOST + "/v2/orders:by_client_order_id?client_order_id=a")
    assert found.json()["id"] == "id-a"


def test_an_order_that_nobody_reported_is_not_found_in_the_brokers_words() -> None:
    session, _ = over(posted("a"))
    reply = session.get(HOST + "/v2/orders:by_client_order_id?client_order_id=b")
    assert (reply.status_code, reply.json()["code"]) == (404, 40410000)


def test_a_cancel_that_was_never_asked_for_withdraws_what_is_open_and_nothing_else() -> None:
    done = order("done", status="filled")
    session, adapter = over(posted("a"), posted("done", answer=done))
    assert session.delete(HOST + "/v2/orders/id-a").status_code == 204
    assert session.get(HOST + "/v2/orders/id-a").json()["status"] == "canceled"
    assert session.delete(HOST + "/v2/orders/id-done").status_code == 422
    assert session.delete(HOST + "/v2/orders/nobody").status_code == 404
    assert how(adapter) == ["simulated", "derived", "simulated", "simulated"]


def test_what_a_later_job_asked_again_is_not_answered_before_that_job_begins() -> None:
    lookup = "/v2/watch"
    session, adapter = over(*(said(lookup, {"job": job}, job=job) for job in (2, 3)))
    assert [session.get(HOST + lookup).json()["job"] for _ in range(2)] == [2, 2]
    assert adapter.jobs == [2, 3]
    adapter.job = 3
    assert session.get(HOST + lookup).json()["job"] == 3


def test_what_an_earlier_job_read_is_passed_over_where_a_later_one_read_more() -> None:
    broken = posted("a", answer={"message": "oops"}, status=500)
    refused = posted("a", answer={"message": "no"}, status=403, job=2)
    session, adapter = over(broken, posted("b"), refused)
    adapter.job = 2
    told = {name: session.post(HOST + "/v2/orders", data=order_body(name)).status_code for name in "ab"}
    assert told == {"a": 403, "b": 200}


def test_an_order_that_a_later_job_looked_for_before_it_sent_it_ends_the_job_before() -> None:
    found = said("/v2/orders:by_client_order_id?client_order_id=a", {"message": "no"}, status=404)
    session, adapter = over(posted("b"), replace(found, job=2), posted("a", job=2))
    with pytest.raises(RunStopped, match="The recorded job ended at order a"):
        session.post(HOST + "/v2/orders", data=order_body("a"))
    adapter.job = 2
    assert session.post(HOST + "/v2/orders", data=order_body("a")).json()["id"] == "id-a"


def test_what_a_job_died_of_asking_is_answered_from_the_rest_of_the_record_once_a_later_job_asks() -> None:
    lookup = "/v2/orders:by_client_order_id?client_order_id=a"
    broken = said(lookup, None, status=0, error="ChunkedEncodingError: half", job=2)
    session, adapter = over(posted("b"), broken, posted("c", job=2))
    adapter.job = 2
    for _ in range(2):  # as often as it asks: nobody knows of another answer in its time
        with pytest.raises(requests.ConnectionError):
            session.get(HOST + lookup)
    session.post(HOST + "/v2/orders", data=order_body("c"))
    adapter.job = 3
    assert session.get(HOST + lookup).status_code == 404


def test_an_order_that_was_turned_away_and_sent_again_by_a_later_job_ends_the_job_before() -> None:
    turned_away = posted("a", answer={"message": "too many requests."}, status=429)
    session, adapter = over(turned_away, posted("a", answer={"message": "no"}, status=403, job=2))
    assert session.post(HOST + "/v2/orders", data=order_body("a")).status_code == 429
    with pytest.raises(RunStopped, match="was rate limited"):
        session.post(HOST + "/v2/orders", data=order_body("a"))
    adapter.job = 2
    assert session.post(HOST + "/v2/orders", data=order_body("a")).status_code == 403


def test_an_order_whose_last_recorded_reply_was_a_429_is_taken_in_when_it_is_sent_again() -> None:
    session, adapter = over(posted("a", answer={"message": "too many requests."}, status=429))
    again = [session.post(HOST + "/v2/orders", data=order_body("a")).status_code for _ in range(2)]
    assert again == [429, 200]
    assert how(adapter) == ["recorded", "simulated"]


def test_market_data_has_no_way_out_of_a_replay() -> None:
    target = "/v2/stocks/snapshots?symbols=SPY&feed=iex"
    recorded = said(target, {"SPY": {"latestQuote": {"bp": 1, "ap": 2}}}, account="(market data)")
    session, adapter = over(posted("a"), recorded, account="one")
    for host in ("https://data.alpaca.markets", HOST):
        reply = session.get(host + target)
        assert (reply.status_code, reply.json()["message"]) == (
            404, "GET /v2/stocks/snapshots was never recorded",
        )  # fmt: skip
    assert how(adapter) == ["simulated", "simulated"]
    assert session.get(HOST + "/v2/orders/id-a").status_code == 200


def test_whatever_is_asked_by_many_threads_nothing_reaches_the_recorded_address() -> None:
    """64 threads, 6,400 requests: recorded, repeated, lost and never recorded ones."""
    with Listening() as server:
        names = [f"order-{number}" for number in range(800)]
        traffic = [posted(name) for name in names]
        traffic += [
            Interaction(number=1, method="POST", target="/v2/orders", body=order_body("lost"), error="x")
        ]
        traffic += [said("/v2/clock", {"a": 1})] * 100
        session, adapter = over(*traffic)
        begin = threading.Barrier(64)

        def ask(worker: int) -> int:
            begin.wait()
            right = 0
            for number in range(worker, 800 * 8, 64):
                name = names[number % 800]
                kind = number // 800
                if kind == 0:
                    reply = session.post(server.url + "/v2/orders", data=order_body(name))
                    right += reply.json()["id"] == f"id-{name}"
                elif kind == 1:
                    reply = session.get(f"{server.url}/v2/orders/id-{name}")
                    right += reply.json()["client_order_id"] == name
                elif kind == 2:
                    reply = session.post(server.url + "/v2/orders", data=order_body(f"new-{name}"))
                    right += reply.json()["id"] == f"simulated-new-{name}"
                elif kind == 3:
                    try:
                        session.post(server.url + "/v2/orders", data=order_body("lost"))
                    except requests.exceptions.ConnectionError:
                        right += 1
                else:
                    right += session.get(f"{server.url}/v2/{('clock', 'never')[kind % 2]}").status_code in {
                        200,
                        404,
                    }
            return right

        with ThreadPoolExecutor(64) as threads:
            assert sum(threads.map(ask, range(64))) == 6_400
        assert len(adapter.answers) == 6_400
        assert (server.connections, server.seen) == (0, [])
        requests.get(server.url, timeout=5)  # somebody was at home
        assert server.connections == 1
