"""Cassettes, opened by vcrpy itself, and the exchanges that they are made of."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests
import vcr
from hypothesis import given
from hypothesis import strategies as st

from engine.brokers.alpaca.transport import BoundedAdapter, Recording
from engine.brokers.cassette import cassette_bytes
from engine.brokers.interaction import Interaction
from replay.simulator.server import Simulator

HOST = "https://paper-api.alpaca.markets"


def an_interaction(
    number: int, path: str = "/v2/clock", body: str | None = None, *, reply: str = "{}", error: str = ""
) -> Interaction:
    response = {
        "status": {"code": 200, "message": "OK"},
        "headers": {"Content-Type": ["application/json"]},
        "body": {"string": reply},
    }
    return Interaction(
        number=number,
        started_at="2026-11-02T17:00:00+00:00",
        took_s=0.05,
        request={"method": "POST" if body else "GET", "uri": HOST + path, "body": body, "headers": {}},
        response=None if error else response,
        error=error,
    )


def read(cassette: bytes) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(cassette)
    return content


def test_interactions_stand_in_the_order_in_which_requests_started_one_a_line() -> None:
    cassette = cassette_bytes([an_interaction(number) for number in (3, 1, 2)])
    assert [interaction["number"] for interaction in read(cassette)["interactions"]] == [1, 2, 3]
    assert sum(b'"method":"GET"' in line for line in cassette.splitlines()) == 3
    assert read(cassette)["version"] == 1


def test_requests_without_an_answer_stand_apart() -> None:
    content = read(cassette_bytes([an_interaction(1, error="ReadTimeout: ..."), an_interaction(2)]))
    assert [interaction["number"] for interaction in content["interactions"]] == [2]
    (unanswered,) = content["unanswered"]
    assert (unanswered["number"], unanswered["error"]) == (1, "ReadTimeout: ...")
    assert "response" not in unanswered


def test_no_exchanges_make_an_empty_cassette(tmp_path: Path) -> None:
    assert read(cassette_bytes([])) == {"version": 1, "interactions": [], "unanswered": []}
    (tmp_path / "cassette.json").write_bytes(cassette_bytes([]))
    with vcr.use_cassette(str(tmp_path / "cassette.json"), record_mode="none", serializer="json") as tape:
        assert len(tape) == 0


def test_a_cassette_is_ascii_whatever_was_said() -> None:
    cassette = cassette_bytes(
        [an_interaction(1, reply="M\N{LATIN SMALL LETTER U WITH DIAERESIS}ller \N{PILE OF POO}")]
    )
    assert cassette.isascii()
    (interaction,) = read(cassette)["interactions"]
    assert interaction["response"]["body"]["string"] == "Müller 💩"


@given(st.text(), st.text(min_size=1), st.integers(0, 2**53))
def test_what_is_written_is_read_back(reply: str, error: str, number: int) -> None:
    said = reply.encode("utf-8", "replace").decode()
    why = error.encode("utf-8", "replace").decode()
    for one in (
        an_interaction(number, reply=said),
        an_interaction(number, error=why),
        an_interaction(number, body=said),
    ):
        line = one.as_json()
        assert b"\n" not in line
        assert Interaction.from_json(line) == one


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[1]", b'{"number": 1', b"\xff", an_interaction(1).as_json()[:-20]]
)
def test_what_is_no_exchange_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Interaction.from_json(line)


def test_vcr_plays_a_cassette_back_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "cassette.json"
    written = cassette_bytes([
        an_interaction(1, reply='{"is_open": true}'),
        an_interaction(2, "/v2/orders", '{"symbol": "TSLA"}', reply='{"id": "ü"}'),
        an_interaction(3, "/v2/orders", error="ReadTimeout: ..."),
        an_interaction(4, "/v2/orders?status=closed&limit=500", reply="[]"),
    ])  # fmt: skip
    path.write_bytes(written)
    with vcr.use_cassette(str(path), record_mode="none", serializer="json") as tape:
        assert requests.get(f"{HOST}/v2/clock", timeout=5).json() == {"is_open": True}
        reply = requests.post(f"{HOST}/v2/orders", json={"symbol": "TSLA"}, timeout=5)
        assert (reply.status_code, reply.json()) == (200, {"id": "ü"})
        assert requests.get(f"{HOST}/v2/orders?limit=500&status=closed", timeout=5).json() == []
        assert tape.all_played
        with pytest.raises(vcr.errors.CannotOverwriteExistingCassetteException):
            requests.get(f"{HOST}/v2/clock", timeout=5)
    assert path.read_bytes() == written


def test_a_session_at_the_simulator_is_played_back_without_it(tmp_path: Path) -> None:
    kept: list[Interaction] = []
    order = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}

    def trade(session: requests.Session, url: str) -> list[tuple[int, str]]:
        session.headers.update({"APCA-API-KEY-ID": "test-key", "APCA-API-SECRET-KEY": "test-secret"})
        replies = [
            session.get(f"{url}/v2/clock", timeout=5),
            session.post(f"{url}/v2/orders", json=order | {"client_order_id": "i-1"}, timeout=5),
            session.get(f"{url}/v2/orders:by_client_order_id?client_order_id=i-1", timeout=5),
            session.get(f"{url}/v2/orders/no-such-order", timeout=5),
        ]
        replies.append(session.delete(f"{url}/v2/orders/{replies[1].json()['id']}", timeout=5))
        return [(reply.status_code, reply.text) for reply in replies]

    with Simulator().serving() as url, requests.Session() as session:
        inner = BoundedAdapter(connections=1, deadline_s=5)
        session.mount(url, Recording(inner, kept.append, clean=lambda text: text, number=count(1).__next__))
        happened = trade(session, url)
    path = tmp_path / "cassette.json"
    path.write_bytes(cassette_bytes(kept))
    with (
        vcr.use_cassette(str(path), record_mode="none", serializer="json"),
        requests.Session() as session,
    ):
        assert trade(session, url) == happened


def test_ten_thousand_exchanges_are_written_well_below_a_second() -> None:
    interactions = [an_interaction(number, "/v2/orders", "{}", reply="x" * 900) for number in range(10_000)]
    begin = time.process_time()
    cassette_bytes(interactions)
    assert time.process_time() - begin < 0.5


def test_timestamps_are_in_utc() -> None:
    kept: list[Interaction] = []
    with Simulator().serving() as url, requests.Session() as session:
        inner = BoundedAdapter(connections=1, deadline_s=5)
        session.mount(url, Recording(inner, kept.append, clean=bytes, number=count(1).__next__))
        session.get(f"{url}/v2/clock", timeout=5)
    began = datetime.fromisoformat(kept[0].started_at)
    assert began.utcoffset() == datetime.now(UTC).utcoffset()
    assert abs((datetime.now(UTC) - began).total_seconds()) < 10
