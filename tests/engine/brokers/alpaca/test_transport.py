"""The transports, against the simulator and against a socket that says what each test wants."""

from __future__ import annotations

import gzip
import html
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import requests
from requests.adapters import BaseAdapter
from requests.exceptions import ChunkedEncodingError, ConnectTimeout, ReadTimeout, RequestException
from requests.exceptions import ConnectionError as NoConnection
from urllib3.util.connection import create_connection

from engine.brokers.alpaca.keys import Keys
from engine.brokers.alpaca.pacing import Pace
from engine.brokers.alpaca.redaction import AccountRedaction
from engine.brokers.alpaca.transport import BoundedAdapter, Recording, ReplyTooLong
from engine.brokers.interaction import Interaction
from replay.simulator import server as simulator

KEY, SECRET = "PKTEST0123456789ABCD", "s3cr3t/Never&Shown+0123456789"
ACCOUNT_ID, ACCOUNT_NUMBER = "1d9eed04-be39-4e01-9b84-a48ac5bbafcf", "PA2ABCDEFGHI"
ORDER_ID = "49aa1811-be1e-400a-9375-f14b5ac28ddf"
NOON = datetime(2026, 11, 2, 17, 0, 0, 123456, tzinfo=UTC)

Says = Callable[[socket.socket], object]


@contextmanager
def answering(*answers: Says) -> Iterator[str]:
    """Yield the address of a server that answers each request, on one connection or many, with the next."""
    left = list(answers)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve(connection: socket.socket) -> None:
            with connection:
                while left and connection.recv(65_536):
                    answer = left.pop(0)
                    try:
                        if answer(connection) == "close":
                            return
                    except OSError:
                        return

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def says(body: bytes | str | dict[str, Any], status: str = "200 OK", **headers: str) -> Says:
    raw = json.dumps(body) if isinstance(body, dict) else body
    raw = raw.encode() if isinstance(raw, str) else raw
    named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(raw)}\r\n{named}\r\n"
    return lambda connection: connection.sendall(head.encode() + raw)


def drips(head: bytes, drop: bytes) -> Says:
    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(500):
            time.sleep(0.01)
            connection.sendall(drop)

    return answer


def breaks_off(raw: bytes) -> Says:
    def answer(connection: socket.socket) -> str:
        connection.sendall(raw)
        return "close"

    return answer


def session_over(adapter: BaseAdapter) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", adapter)
    session.headers.update({"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET})
    return session


def bounded(*, deadline_s: float = 5.0, longest_body: int = 1_000_000) -> BoundedAdapter:
    return BoundedAdapter(connections=4, deadline_s=deadline_s, longest_body=longest_body)


def recording(inner: BaseAdapter, keep: Callable[[Interaction], object]) -> Recording:
    keys = Keys(KEY, SECRET)
    return Recording(
        inner,
        keep,
        clean=keys.hidden_in_body,
        is_clean=keys.cannot_be_in,
        number=count(1).__next__,
        clock=lambda: NOON,
    )


@contextmanager
def recorded(*answers: Says) -> Iterator[tuple[requests.Session, str, list[Interaction]]]:
    kept: list[Interaction] = []
    with answering(*answers) as url, session_over(recording(bounded(), kept.append)) as session:
        yield session, url, kept


def only_pool(adapter: BoundedAdapter) -> Any:
    (key,) = adapter.poolmanager.pools.keys()
    return adapter.poolmanager.pools[key]


# --- bounded --------------------------------------------------------------------------------------------


def test_a_reply_is_read_whole_and_its_connection_used_again() -> None:
    with answering(says("one"), says("two")) as url, session_over(bounded()) as session:
        assert session.get(url, timeout=5).text == "one"
        adapter = session.get_adapter(url)
        assert isinstance(adapter, BoundedAdapter)
        assert session.get(url, timeout=5).content == b"two"
        assert only_pool(adapter).num_connections == 1


def test_requests_leave_without_waiting_for_more() -> None:
    with answering(says("")) as url, session_over(bounded()) as session:
        session.get(url, timeout=5)
        adapter = session.get_adapter(url)
        assert isinstance(adapter, BoundedAdapter)
        connection = only_pool(adapter).pool.get_nowait()
        assert connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        connection.close()


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
        (b"HTTP/1.1 ", b" "),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "chunks", "length of a chunk", "header", "status line", "continue"],
)
def test_a_reply_that_drips_is_given_up_at_the_deadline(head: bytes, drop: bytes) -> None:
    with answering(drips(head, drop)) as url, session_over(bounded(deadline_s=0.2)) as session:
        begin = time.monotonic()
        with pytest.raises(ReadTimeout):
            session.get(url, timeout=(5, 5))
        assert 0.15 < time.monotonic() - begin < 1


def test_each_wait_is_bounded_as_well() -> None:
    stays_silent = drips(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", b"")
    with answering(stays_silent) as url, session_over(bounded()) as session:
        begin = time.monotonic()
        with pytest.raises(ReadTimeout):
            session.get(url, timeout=(5, 0.1))
        assert time.monotonic() - begin < 1


def test_the_deadline_is_each_replys_own() -> None:
    def slowly(connection: socket.socket) -> None:
        time.sleep(0.15)
        says("ok")(connection)

    with answering(*[slowly] * 3) as url, session_over(bounded(deadline_s=0.3)) as session:
        for _ in range(3):
            assert session.get(url, timeout=5).text == "ok"


def test_the_time_until_there_is_a_connection_counts_towards_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def resolves_slowly(*asked: Any) -> Any:
        time.sleep(0.2)
        return look_up(*asked)

    def answers_slowly(connection: socket.socket) -> None:
        time.sleep(0.2)
        says("ok")(connection)

    look_up = socket.getaddrinfo
    with answering(answers_slowly) as url, session_over(bounded(deadline_s=0.3)) as session:
        monkeypatch.setattr("socket.getaddrinfo", resolves_slowly)
        with pytest.raises(ReadTimeout):
            session.get(url, timeout=5)


def named(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> list[float]:
    """Let the name many.test have these addresses; at those of 192.0.2.0/24 nobody answers.

    Gives the seconds that were waited for each of these, as it goes on.
    """
    look_up = socket.getaddrinfo
    waited: list[float] = []

    def resolve(host: str, port: int, *asked: Any) -> list[Any]:
        hosts = addresses if host == "many.test" else [host]
        return [found for one in hosts for found in look_up(one, port, *asked)]

    def connect_to(address: tuple[str, int], timeout: float, *how: Any) -> socket.socket:
        if address[0].startswith("192.0.2."):
            waited.append(timeout)
            time.sleep(timeout)
            raise TimeoutError("timed out")
        return create_connection(address, timeout, *how)

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    monkeypatch.setattr("engine.brokers.in_time.create_connection", connect_to)
    return waited


DEAD = [f"192.0.2.{number}" for number in range(1, 7)]


def test_behind_addresses_without_an_answer_the_one_that_answers_is_found_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with answering(says("ok")) as url, session_over(bounded()) as session:
        named(monkeypatch, [*DEAD, "127.0.0.1"])
        many = url.replace("127.0.0.1", "many.test")
        assert session.get(many, timeout=(0.5, 5)).text == "ok"


def test_all_addresses_of_a_host_share_one_time_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = named(monkeypatch, DEAD)
    with session_over(bounded()) as session, pytest.raises(ConnectTimeout):
        session.get("http://many.test:1", timeout=(0.3, 5))
    assert sum(waited) <= 0.3
    assert len(waited) == 6


def test_an_unknown_name_is_reported_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    with session_over(bounded()) as session, pytest.raises(NoConnection, match="NameResolutionError"):
        session.get("http://many.test", timeout=5)


@pytest.mark.parametrize(
    "raw",
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"id": "4',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"id": "4\r\n',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n99\r\n{"id": "4',
    ],
)
def test_half_a_reply_is_never_taken_for_whole(raw: bytes) -> None:
    with (
        answering(breaks_off(raw)) as url,
        session_over(bounded()) as session,
        pytest.raises(ChunkedEncodingError),
    ):
        session.get(url, timeout=5)


def test_a_reply_may_be_as_long_as_the_longest_and_no_longer() -> None:
    with answering(says("x" * 1_000_000), says("x" * 1_000_001)) as url, session_over(bounded()) as session:
        assert len(session.get(url, timeout=5).content) == 1_000_000
        with pytest.raises(ReplyTooLong):
            session.get(url, timeout=5)
    assert issubclass(ReplyTooLong, RequestException)


def test_a_small_reply_that_unpacks_to_a_long_one_is_too_long() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with (
        answering(says(bomb, Content_Encoding="gzip")) as url,
        session_over(bounded()) as session,
        pytest.raises(ReplyTooLong),
    ):
        session.get(url, timeout=5)


def test_nothing_is_sent_twice() -> None:
    with (
        answering(breaks_off(b""), says("again")) as url,
        session_over(bounded()) as session,
        pytest.raises(NoConnection),
    ):
        session.post(url, data=b"{}", timeout=5)


# --- recording ------------------------------------------------------------------------------------------


def test_an_exchange_is_recorded_as_vcr_writes_it() -> None:
    reply = says({"id": ORDER_ID}, x_ratelimit_limit="200", X_Request_ID="abc", Server="nginx")
    with recorded(reply) as (session, url, kept):
        session.post(f"{url}/v2/orders", json={"symbol": "TSLA"}, timeout=5)
        (interaction,) = kept
    assert 0 < interaction.took_s < 5
    assert (interaction.number, interaction.started_at, interaction.error) == (
        1,
        "2026-11-02T17:00:00.123456+00:00",
        "",
    )
    assert interaction.request == {
        "method": "POST",
        "uri": f"{url}/v2/orders",
        "body": '{"symbol": "TSLA"}',
        "headers": {"Accept": ["*/*"], "Content-Type": ["application/json"]},
    }
    assert interaction.response == {
        "status": {"code": 200, "message": "OK"},
        "headers": {"x-ratelimit-limit": ["200"], "X-Request-ID": ["abc"], "Server": ["nginx"]},
        "body": {"string": json.dumps({"id": ORDER_ID})},
    }


def test_nothing_is_returned_before_it_is_kept() -> None:
    def refuse(_: Interaction) -> None:
        raise OSError("disk full")

    with answering(says("ok"), breaks_off(b"")) as url:
        session = session_over(recording(bounded(), refuse))
        for _ in range(2):
            with pytest.raises(OSError, match="disk full"):
                session.get(url, timeout=5)


def test_a_request_without_an_answer_is_kept_with_the_reason_and_raised() -> None:
    with recorded(breaks_off(b""), breaks_off(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")) as (
        session,
        url,
        kept,
    ):
        for _ in range(2):
            with pytest.raises(RequestException):
                session.get(url, timeout=5)
    assert [interaction.response for interaction in kept] == [None, None]
    assert "RemoteDisconnected" in kept[0].error
    assert "IncompleteRead" in kept[1].error


def test_a_stop_in_the_middle_of_a_request_is_kept_and_passed_on() -> None:
    class Stopped(BaseAdapter):
        def send(self, *_: Any, **__: Any) -> requests.Response:
            raise KeyboardInterrupt

    kept: list[Interaction] = []
    with pytest.raises(KeyboardInterrupt):
        session_over(recording(Stopped(), kept.append)).get("http://127.0.0.1:1/")
    assert [interaction.error for interaction in kept] == ["KeyboardInterrupt:"]


def test_requests_are_numbered_as_they_start() -> None:
    gate = threading.Event()

    def first_waits(connection: socket.socket) -> None:
        gate.wait(5)
        says("first")(connection)

    def second(connection: socket.socket) -> None:
        says("second")(connection)

    with recorded(first_waits, second) as (session, url, kept):
        slow = threading.Thread(target=lambda: session.get(url, timeout=5))
        slow.start()
        time.sleep(0.05)
        session.get(url, timeout=5)
        gate.set()
        slow.join()
    assert [(e.number, (e.response or {})["body"]["string"]) for e in kept] == [(2, "second"), (1, "first")]


def test_what_was_packed_is_recorded_unpacked_and_what_is_no_text_as_text() -> None:
    packed = says(gzip.compress(b"plain \xff"), Content_Encoding="gzip")
    with recorded(packed) as (session, url, kept):
        assert session.get(url, timeout=5).content == b"plain \xff"
    assert kept[0].response is not None
    assert kept[0].response["body"] == {"string": "plain \N{REPLACEMENT CHARACTER}"}
    assert kept[0].response["headers"] == {}


def test_only_harmless_headers_are_recorded() -> None:
    reply = says("", Set_Cookie=f"a={SECRET}", Location="/x", X_Request_ID="r", Date="now", Retry_After="1")
    with recorded(reply) as (session, url, kept):
        session.get(
            url, headers={"Cookie": "c", "Authorization": "Basic x"}, timeout=5, allow_redirects=False
        )
    assert set(kept[0].request["headers"]) == {"Accept"}
    assert kept[0].response is not None
    assert set(kept[0].response["headers"]) == {"X-Request-ID", "Date", "Retry-After"}


def spellings(secret: str) -> list[str]:
    return [
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret)[1:-1].replace("/", r"\/"),
        json.dumps(json.dumps(secret)[1:-1])[1:-1],
        "".join(f"\\u{ord(letter):04x}" if not letter.isalnum() else letter for letter in secret),
        "".join(f"\\u{ord(letter):04X}" if not letter.isalnum() else letter for letter in secret),
        html.escape(secret),
        "".join(f"&#{ord(letter)};" if not letter.isalnum() else letter for letter in secret),
        "".join(f"&#x{ord(letter):X};" if not letter.isalnum() else letter for letter in secret),
        html.escape(html.escape(secret)),
        quote(secret, safe=""),
        quote(quote(secret, safe=""), safe=""),
        repr(secret)[1:-1],
    ]


@pytest.mark.parametrize("spelled", spellings(SECRET))
def test_keys_are_blotted_out_of_all_that_is_recorded_however_they_are_spelled(spelled: str) -> None:
    pages = says(f"<p>{spelled} {KEY}</p>", X_Request_ID=spelled), breaks_off(spelled.encode() + b"\r\n\r\n")
    with recorded(*pages) as (session, url, kept):
        session.post(f"{url}/{quote(SECRET)}", data=spelled.encode(), timeout=5)
        with pytest.raises(RequestException):
            session.get(url, timeout=5)
    everything = b"\n".join(interaction.as_json() for interaction in kept)
    assert b"Never" not in everything
    assert KEY.encode() not in everything
    assert everything.count(b"[key]") >= 5


ACCOUNT_BODY = {
    "id": ACCOUNT_ID,
    "account_number": ACCOUNT_NUMBER,
    "status": "ACTIVE",
    "cash": "122086.50",
    "admin_configurations": {},
}


def test_an_account_loses_its_id_and_number_and_nothing_else() -> None:
    with recorded(says(ACCOUNT_BODY)) as (session, url, kept):
        assert session.get(f"{url}/v2/account", timeout=5).json() == ACCOUNT_BODY
    assert kept[0].response is not None
    assert json.loads(kept[0].response["body"]["string"]) == ACCOUNT_BODY | {
        "id": "REDACTED",
        "account_number": "REDACTED",
    }


def test_an_account_once_seen_is_blotted_out_of_everything_after() -> None:
    page = f"<h1>502</h1> {ACCOUNT_NUMBER} {ACCOUNT_ID} at {ORDER_ID}"
    with recorded(says(ACCOUNT_BODY), says(page), breaks_off(page.encode() + b"\r\n\r\n")) as (
        session,
        url,
        kept,
    ):
        session.get(f"{url}/v2/account", timeout=5)
        session.get(f"{url}/v2/orders/{ACCOUNT_ID}", timeout=5)
        with pytest.raises(RequestException):
            session.get(url, timeout=5)
    everything = b"\n".join(interaction.as_json() for interaction in kept)
    assert ACCOUNT_ID.encode() not in everything
    assert ACCOUNT_NUMBER.encode() not in everything
    assert everything.count(ORDER_ID.encode()) == 2


@pytest.mark.parametrize(
    ("body", "kept_as"),
    [
        ('{"account_number":"PA2ABCDEFGHI"}', '{"account_number":"REDACTED"}'),
        ('{"account_id": "1d9eed04-be39"}', '{"account_id": "REDACTED"}'),
        ('{"accountId":"1d9eed04-be39"}', '{"accountId":"REDACTED"}'),
        ('{"account_number": 123456789}', '{"account_number": 0}'),
        ('{"account_number":null,"a":1}', '{"account_number":null,"a":1}'),
        (r'{"m":"{\"account_number\":\"PA2\"}"}', r'{"m":"{\"account_number\":\"REDACTED\"}"}'),
        ("{&quot;account_id&quot;:&quot;PA2&quot;}", "{&quot;account_id&quot;:&quot;REDACTED&quot;}"),
        ("account_number=PA2ABC&x=1", "account_number=REDACTED&x=1"),
        ('{"account_numbers": 2, "account": "x"}', '{"account_numbers": 2, "account": "x"}'),
        (f'{{"id": "{ORDER_ID}", "client_order_id": "i-1", "asset_id": "8ccae427"}}', None),
    ],
)
def test_account_fields_are_blotted_out_anywhere_and_other_ids_stay(body: str, kept_as: str | None) -> None:
    kept = AccountRedaction().redacted(body.encode())
    assert kept.decode() == (kept_as or body)
    if body.startswith('{"'):
        json.loads(kept)


def test_an_order_id_that_ends_as_the_account_id_begins_stays_and_a_cut_off_account_id_does_not() -> None:
    account = AccountRedaction()
    account.redacted(f'{{"account_id": "{ACCOUNT_ID}"}}'.encode())
    order = f"/v2/orders/{ORDER_ID[:-4]}{ACCOUNT_ID[:4]}".encode()
    assert account.redacted(order) == order
    assert account.redacted(f"unknown: {ACCOUNT_ID[:12]}".encode()) == b"unknown: REDACTED"


def test_a_word_is_not_taken_for_an_account_number() -> None:
    account = AccountRedaction()
    account.redacted(b'{"account_id": "unknown-account"}')
    assert account.redacted(b"an unknown-account, sorry") == b"an unknown-account, sorry"


def test_a_reply_that_cannot_be_taken_down_is_kept_as_none_so_that_nobody_waits_for_it() -> None:
    def clean(text: bytes) -> bytes:
        if b"poison" in text:
            raise ValueError("it can't be cleaned")
        return text

    kept: list[Interaction] = []
    with answering(says("poison")) as url:
        transport = Recording(bounded(), kept.append, clean=clean, number=count(1).__next__)
        with session_over(transport) as session, pytest.raises(ValueError, match="can't be cleaned"):
            session.get(url, timeout=5)
    assert [(interaction.number, interaction.response) for interaction in kept] == [(1, None)]
    assert "can't be cleaned" in kept[0].error


def test_a_body_that_is_no_text_is_refused_before_it_is_sent() -> None:
    with recorded(says("never")) as (session, url, kept), pytest.raises(TypeError, match="can't be recorded"):
        session.post(url, data=iter([b"a"]), timeout=5)
    assert kept == []


# --- together, against the simulator ----------------------------------------------------------------------


def test_orders_at_the_simulator_are_placed_paced_and_recorded() -> None:
    kept: list[Interaction] = []
    pace = Pace()
    alpaca = simulator.Simulator(key=KEY, secret=SECRET, rate_limit=6_000)
    with (
        alpaca.serving() as url,
        session_over(recording(bounded(), kept.append)) as session,
    ):
        session.get(f"{url}/v2/account", timeout=5).raise_for_status()
        order = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
        for number in range(40):
            assert pace.take()
            placed = session.post(
                f"{url}/v2/orders", json=order | {"client_order_id": f"i-{number}"}, timeout=5
            )
            pace.learn(placed.status_code, placed.headers)
            placed.raise_for_status()
    assert [interaction.number for interaction in kept] == list(range(1, 42))
    last = kept[-1].response
    assert last is not None
    assert last["headers"]["x-ratelimit-remaining"] == [str(6_000 - 41)]
    assert orjson.loads(last["body"]["string"])["id"] == placed.json()["id"]
    assert SECRET not in str(kept)
