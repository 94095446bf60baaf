"""Whatever is sent: no 5xx that was not asked for, nothing changed by what is refused, every error in shape.

The clock stands still unless it is told to move, so that prices and fills are no excuse for a difference.
Bodies are drawn as text and paths as they go over the wire: much of what is tried can't be written as JSON
or as a URL by a library that is well-behaved.
"""

from __future__ import annotations

import json
import logging
import re
import socket
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from replay.simulator import Simulator

HOST = "https://paper-api.alpaca.markets"
KEYS = {"APCA-API-KEY-ID": "test-key", "APCA-API-SECRET-KEY": "test-secret"}
NOON_NS = 1_791_475_200 * 10**9  # Thursday, 8 October 2026, noon in New York
MARKET = {"symbol": "AAPL", "qty": "4", "side": "buy", "type": "market", "time_in_force": "day"}
LIMIT = MARKET | {"symbol": "MSFT", "type": "limit", "limit_price": "1.5", "time_in_force": "gtc"}
ORDER = json.dumps(MARKET)

BILLIONTH_OF_A_SHARE = Decimal("1e-9")

# What stands for the ids of the desk's orders in a path, a query or a body.
WORKING, FILLED = "WORKING-ORDER", "FILLED-ORDER"

fuzzed = settings(deadline=None, derandomize=True, max_examples=80)
fuzzed_less = settings(deadline=None, derandomize=True, max_examples=40)


# Requests, and the desk that sends them.


@dataclass(frozen=True)
class Asked:
    """A request: its target as it goes over the wire, and what a reply that accepts it holds."""

    method: str
    target: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: KEYS)
    holds: type[object] = object


def post(path: str, body: str) -> Asked:
    return Asked("POST", path, body.encode())


class Desk:
    """A client without a socket, of an account with four AAPL, a filled order and one that works."""

    def __init__(self, simulator: Simulator, session: requests.Session) -> None:
        self._session = session
        self.simulator = simulator
        self._ids: dict[str, str] = {}
        for name, order in ((FILLED, MARKET), (WORKING, LIMIT)):
            self._ids[name] = self.answer(post("/v2/orders", json.dumps(order)))["id"]
        self.answer(post("/simulator/clock", '{"advance_s": 5}'))

    def send(self, asked: Asked) -> requests.Response:
        """Send a request as it is: what ``requests`` would put right is put in after it has prepared one."""
        prepared = requests.Request(asked.method, HOST).prepare()
        target, body = asked.target, asked.body
        for name, order_id in self._ids.items():
            target, body = target.replace(name, order_id), body.replace(name.encode(), order_id.encode())
        prepared.url, prepared.body = HOST + target, body
        prepared.headers.update(asked.headers)
        return self._session.send(prepared, timeout=5)

    def answer(self, asked: Asked) -> Any:
        reply = self.send(asked)
        assert reply.status_code == 200, (asked, reply.text)
        return reply.json()

    def state(self) -> dict[str, Any]:
        """Read all that a request could have changed; the requests themselves are left out."""
        state: dict[str, Any] = self.answer(Asked("GET", "/simulator/state"))
        del state["requests"]
        assert state["failures"] == []
        return state

    def check_that_it_still_works(self) -> None:
        """See that every reading is answered, today and tomorrow, and that money and shares are all there."""
        for _ in range(2):
            for path in ("account", "positions", "orders?status=all&nested=true", "account/activities"):
                self.answer(Asked("GET", f"/v2/{path}"))
            assert self.send(post("/v2/orders", ORDER)).status_code < 500
            self.answer(post("/simulator/clock", '{"advance_s": 86400}'))
        self.simulator.venue.check_conservation()
        fills = self.state()["fills"]
        assert [fill for fill in fills if Decimal(fill["qty"]) % BILLIONTH_OF_A_SHARE] == []


@contextmanager
def opened() -> Iterator[Desk]:
    simulator = Simulator(seed=7, clock="manual", start_ns=NOON_NS, partial_fill_probability=0)
    with requests.Session() as session, tempfile.TemporaryDirectory() as folder, chdir(folder):
        session.mount(HOST, simulator.adapter())
        yield Desk(simulator, session)


def check_shape(asked: Asked, reply: requests.Response) -> None:
    """See that a reply of the trading API has the body that its status promises."""
    assert reply.headers["Content-Type"] == "application/json; charset=UTF-8"
    if reply.status_code == 204 or asked.method == "HEAD":
        assert reply.content == b""
        return
    body: Any = reply.json()
    if reply.status_code >= 400:
        assert isinstance(body, dict)
        assert isinstance(body["message"], str)
        assert body["message"]
        assert isinstance(body.get("code"), int) or reply.status_code == 401
    elif reply.status_code == 207:
        assert all(isinstance(row["status"], int) and isinstance(row["body"], dict) for row in body)
    else:
        assert asked.holds in {type(body), object}
        assert isinstance(body, dict) or all(isinstance(row, dict) for row in body)


# Odd values, as JSON text and as text.


def split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TEXT = st.text(st.characters(), max_size=12)  # lone surrogates and control characters included
NUMBERS = split(
    "0 -0 1 -1 4 1.5 0.00001 1e-9 1e-10 1e15 1e16 1e308 1e400 -1e400 1e-400 1e999999999 9223372036854775808 "
    "18446744073709551616 NaN Infinity -Infinity 01 1. .5 +1 0x10 1_000"
)
WORDS = (
    *NUMBERS,
    *split(
        "null true TRUE AAPL aapl MSFT TWTR TCEHY OCGN AMC NONE BTC/USD {} {0} %s AAPL,MSFT buy sell market"
    ),
    *split(
        "limit stop stop_limit trailing_stop day gtc opg cls ioc fok gtx bracket oco oto mleg simple mine"
    ),
    *split("sell_to_close buy_to_open open closed all asc desc FILL DIV active us_equity SETTLEMENT none"),
    *split("1970-01-01 0001-01-01 9999-12-31 2026-02-30 2026-10-08 2026-W41 0001-01-01T00:00:00+23:59"),
    *split("9999-12-31T23:59:59.999999999-23:59 2026-10-08T12:00:00Z 2026-10-08T12:00:00.1.2Z"),
    *split("1e999999 1e-999999 1e-30 1e300 00000000-0000-0000-0000-000000000000 \u0661 \U0001f4a5 \ufffd"),
    *("", " ", "\x00", "\ud800", "a" * 129, "9" * 5000, WORKING, FILLED),
)
ODD_TEXT = st.one_of(st.sampled_from(WORDS), TEXT)
LEAVES = st.one_of(
    st.sampled_from([*NUMBERS, "null", "true", "false", "[]", "{}", '""', '"\ud800"']),
    ODD_TEXT.map(json.dumps),
    st.floats().map(json.dumps),
    st.integers().map(str),
)
NESTED = st.sampled_from([2, 300, 1000, 1100, 2000]).flatmap(
    lambda depth: st.sampled_from(["[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth])
)
VALUES = st.one_of(
    LEAVES,
    LEAVES,
    st.lists(LEAVES, max_size=3).map(lambda values: f"[{','.join(values)}]"),
    st.dictionaries(st.sampled_from(["limit_price", "stop_price", "x"]), LEAVES, max_size=2).map(
        lambda fields: object_of(list(fields.items()))
    ),
    NESTED,
)


def object_of(fields: list[tuple[str, str]]) -> str:
    """Write a JSON object from texts; a name may come twice."""
    return "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in fields) + "}"


@st.composite
def objects(draw: st.DrawFn, bases: tuple[dict[str, Any], ...], names: tuple[str, ...]) -> bytes:
    """Draw an object that is right but for a few fields, or by chance altogether."""
    fields = [(name, json.dumps(value)) for name, value in draw(st.sampled_from(bases)).items()]
    odd = draw(st.lists(st.tuples(st.sampled_from(names), VALUES), max_size=3))
    if draw(st.booleans()):  # a name that comes twice, the odd one last
        fields = [(name, value) for name, value in fields if name not in dict(odd)]
    return object_of(fields + odd).encode("utf-8", "surrogatepass")


ANY_BODY = st.one_of(
    st.sampled_from(split('{ {} [] null " 0 {}{} \ufeff{} \x00')).map(str.encode),
    st.sampled_from([b"", b"\xff\xfe"]),
    VALUES.map(lambda value: value.encode("utf-8", "surrogatepass")),
    st.binary(max_size=30),
)
TOKENS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabc-_!", min_size=1, max_size=8)
METHODS = st.one_of(st.sampled_from(split("GET POST PATCH DELETE PUT HEAD OPTIONS get")), TOKENS)
PIECES = st.one_of(
    st.sampled_from(["", *split(f"% %zz %ff %00 %2F %ED%A0%80 %C3%28 .. . ;a=b // * {WORKING}")]),
    ODD_TEXT.map(lambda text: quote(text.encode("utf-8", "surrogatepass"), safe="")),
)
HEADERS = st.one_of(
    *[st.just(KEYS)] * 8,
    st.fixed_dictionaries(
        {},
        optional={
            "APCA-API-KEY-ID": st.sampled_from(["test-key", "wrong", "", "t\u00ebst"]),
            "APCA-API-SECRET-KEY": st.sampled_from(["test-secret", "wrong", ""]),
            "Authorization": st.sampled_from(["Basic", "Basic !", "Basic /w==", "Bearer x", ""]),
        },
    ),
    st.dictionaries(
        st.sampled_from(["Content-Type", "Content-Length", "Transfer-Encoding", "Host", "Accept", "X"]),
        st.sampled_from(["", "text/html", "application/json; charset=utf-16", "-1", "chunked", "[", "\xff"]),
    ).map(lambda odd: KEYS | odd),
)  # fmt: skip


def queries(names: tuple[str, ...]) -> SearchStrategy[str]:
    """Return query strings: none, parameters that may come twice, and what is no list of parameters."""
    pair = st.tuples(st.sampled_from((*names, "x", "")), PIECES).map("=".join)
    odd = st.sampled_from(["?", "?&&&", "?==", "?;", "?%", "?" + "a=1&" * 500])
    return st.one_of(st.just(""), st.lists(pair, max_size=4).map(lambda pairs: "?" + "&".join(pairs)), odd)


# The trading API.

BASES: tuple[dict[str, Any], ...] = (
    MARKET,
    LIMIT,
    MARKET | {"side": "sell", "qty": "2", "client_order_id": "mine"},
    MARKET | {"symbol": "MSFT", "type": "trailing_stop", "trail_percent": "1"},
    {key: value for key, value in MARKET.items() if key != "qty"} | {"notional": "10"},
    LIMIT | {"order_class": "bracket", "take_profit": {"limit_price": 2}, "stop_loss": {"stop_price": 1}},
    LIMIT | {"symbol": "AAPL", "side": "sell", "limit_price": "900", "order_class": "oco",
             "take_profit": {"limit_price": "900"}, "stop_loss": {"stop_price": "1", "limit_price": "0.9"}},
    {"qty": "2"}, {"limit_price": "1.6", "client_order_id": "other"},
    {"suspend_trade": True}, {"max_margin_multiplier": "1"},
)  # fmt: skip
FIELDS = (
    "",
    *split(
        "symbol qty notional side type time_in_force limit_price stop_price trail_price trail_percent trail"
    ),
    *split("extended_hours client_order_id order_class take_profit stop_loss position_intent legs unknown"),
    *split("suspend_trade no_shorting trade_confirm_email fractional_trading max_margin_multiplier"),
    *split("max_options_trading_level ptp_no_exception_entry"),
)
LISTED = split(
    "status limit after until direction nested symbols side asset_class before_order_id after_order_id"
)
PAGED = split("activity_types category date after until direction page_size page_token order_id")
ROUTES: tuple[tuple[str, str, type[object], tuple[str, ...]], ...] = (
    ("POST", "/v2/orders", dict, ()),
    ("GET", "/v2/orders", list, LISTED),
    ("DELETE", "/v2/orders", list, ()),
    ("GET", "/v2/orders:by_client_order_id", dict, ("client_order_id", "nested")),
    ("GET", "/v2/orders/{}", dict, ("nested",)),
    ("PATCH", "/v2/orders/{}", dict, ()),
    ("DELETE", "/v2/orders/{}", object, ()),
    ("GET", "/v2/positions", list, ()),
    ("DELETE", "/v2/positions", list, ("cancel_orders",)),
    ("GET", "/v2/positions/{}", dict, ()),
    ("DELETE", "/v2/positions/{}", dict, ("qty", "percentage")),
    ("GET", "/v2/account", dict, ()),
    ("GET", "/v2/account/configurations", dict, ()),
    ("PATCH", "/v2/account/configurations", dict, ()),
    ("GET", "/v2/account/activities", list, PAGED),
    ("GET", "/v2/account/activities/{}", list, PAGED),
    ("GET", "/v2/clock", dict, ()),
    ("GET", "/v2/calendar", list, ("start", "end", "date_type")),
    ("GET", "/v2/assets", list, ("status", "asset_class", "exchange", "attributes")),
    ("GET", "/v2/assets/{}", dict, ()),
)
LIKELY = st.sampled_from([WORKING, FILLED, "AAPL", "FILL"])


@st.composite
def requests_to_trade(draw: st.DrawFn) -> Asked:
    """Draw a request to an endpoint that there is, right but for a few things."""
    method, template, holds, names = draw(st.sampled_from(ROUTES))
    target = template.replace("{}", draw(st.one_of(LIKELY, PIECES)))
    target += draw(queries(names or ("x",)))
    body = b""
    if method in {"POST", "PATCH"} or draw(st.integers(0, 9)) == 9:
        body = draw(st.one_of(*[objects(BASES, FIELDS)] * 4, ANY_BODY))
    return Asked(method, target, body, draw(HEADERS), holds)


@st.composite
def requests_to_nowhere(draw: st.DrawFn) -> Asked:
    """Draw a request with a method or a path that there may not be."""
    beginnings = ("", *split("/v2 /v2/orders /v2/orders:by /v1/orders /v2/account /simulator /SIMULATOR/"))
    pieces = draw(st.lists(PIECES, max_size=3))
    path = draw(st.one_of(st.sampled_from([route[1] for route in ROUTES]), st.sampled_from(beginnings)))
    target = "/".join([path, *pieces]) + draw(queries(("x",)))
    target = target if target.startswith("/") else "/" + target
    return Asked(draw(METHODS), target, draw(ANY_BODY), draw(HEADERS))


@fuzzed
@given(
    st.lists(
        st.one_of(requests_to_trade(), requests_to_trade(), requests_to_nowhere()), min_size=1, max_size=3
    )
)
@example([post("/v2/orders", '{"a": ' + "[" * 300 + "]" * 300 + "}")])  # the state can't be read afterwards
@example([Asked("HEAD", "/v2/account")])  # a body without a socket, where HTTP has none
@example([post("/v2/orders", json.dumps(MARKET | {"qty": "1e999999999"}))])
@example([post("/v2/orders", '{"symbol": "\\ud800"}')])
def test_no_request_gives_a_5xx_or_changes_anything_when_it_is_refused(asked: list[Asked]) -> None:
    with opened() as desk:
        before = desk.state()
        for each in asked:
            reply = desk.send(each)
            assert reply.status_code < 500
            if not each.target.startswith("/simulator/"):
                check_shape(each, reply)
            after = desk.state()
            if reply.status_code >= 400 or each.method == "GET":
                assert after == before
            before = after
        desk.check_that_it_still_works()


# The control endpoints. Numbers that would let years pass, or the clock run, are not tried.

MOMENTS = split(
    "0001-01-01T00:00:00+23:59 0001-01-01T00:00:00Z 9999-12-31T23:59:59-23:59 2026-10-08T12:00:00-04:00 "
    "2026-10-09T12:00:00-04:00 2026-10-08T16:00:06 2026-10-12T09:30:00.999999-04:00 2046-01-01T00:00:00Z"
)
SPEEDS = split('0 5e-324 -1 1e9 1e400 NaN "1" null true []')
SECONDS = (*SPEEDS, *split("0 0.001 1e-9 999999999"))
PATHS = (
    *split("state.json none/state.json \x00.json .json state.txt"),
    "",
    "\ud800.json",
    "a" * 300 + ".json",
)
FAULTS = split(
    "accept_then_drop accept_then_504 accept_then_error cut_headers error_before rate_limited slow_body "
    "truncated_body no_length html_error lookup_lag stuck_pending_cancel fill_races_cancel "
    "fill_races_replace reject_after_acceptance latency"
)
LASTING = {"rate_limited", "slow_body", "latency", "lookup_lag"}
FAULT_FIELDS = split(
    "method path times probability status pieces missing_bytes lacks_bytes qty lookups on moment body"
)
BRIEFLY = split('0 0.001 1e-9 -1 86401 1e400 null "1" true []')
QUANTITIES = ("", *split("1 0.5 1e-9 1e-10 1e-30 1e300 1e999999 1e-999999 NaN 0 -1"))


def fault_of(name: str, odd: list[tuple[str, str]], seconds: str | None = None) -> bytes:
    own = [("seconds", seconds)] if name in LASTING and seconds is not None else []
    return object_of([("fault", json.dumps(name)), *own, *odd]).encode("utf-8", "surrogatepass")


FAULT_VALUES = st.one_of(
    st.sampled_from(split('"*" "POST" "/v2/*" "/v2/orders/*" "*[z-a]*" "[" "request" "before" 2 599 1.0')),
    st.sampled_from(QUANTITIES).map(json.dumps),
    VALUES,
)
FAULT_BODIES = st.builds(
    fault_of,
    st.sampled_from(FAULTS),
    st.lists(st.tuples(st.sampled_from(FAULT_FIELDS), FAULT_VALUES), max_size=3),
    st.sampled_from(BRIEFLY),
)


def control(method: str, path: str, bodies: SearchStrategy[bytes]) -> SearchStrategy[Asked]:
    headers = st.sampled_from([{}] * 6 + [{"Origin": "x"}, {"Content-Type": "text/html"}, {"Host": "["}])
    return st.builds(Asked, st.just(method), st.just(f"/simulator/{path}"), bodies, headers)


def fields(**values: SearchStrategy[str]) -> SearchStrategy[bytes]:
    drawn = st.fixed_dictionaries({}, optional=values)
    return drawn.map(lambda given: object_of(list(given.items())).encode("utf-8", "surrogatepass"))


NOT_A_NUMBER = VALUES.filter(lambda value: re.match(r"\s*[\d-]", value) is None)
AMOUNTS = st.one_of(st.sampled_from(QUANTITIES).map(json.dumps), VALUES)
NUMBERS_IN_PATHS = st.sampled_from(["", "9" * 25, "9" * 5000, *split("0 1 -1 1.5 x %00 %D9%A1")])
CONTROL = st.one_of(
    control("GET", "state", ANY_BODY),
    control("POST", "reset", ANY_BODY),
    control("POST", "clock", fields(advance_s=st.one_of(st.sampled_from(SECONDS), NOT_A_NUMBER))),
    control("POST", "clock", fields(speed=st.one_of(st.sampled_from(SPEEDS), NOT_A_NUMBER))),
    control("POST", "clock", fields(set=st.one_of(st.sampled_from(MOMENTS).map(json.dumps), NOT_A_NUMBER))),
    control("POST", "save", fields(path=st.one_of(st.sampled_from(PATHS).map(json.dumps), NESTED))),
    control("POST", "faults", st.one_of(FAULT_BODIES, fields(fault=VALUES))),
    control("POST", "fill", fields(order_id=st.one_of(LIKELY.map(json.dumps), VALUES), qty=AMOUNTS)),
    control("POST", "split", fields(symbol=st.one_of(LIKELY.map(json.dumps), VALUES), ratio=AMOUNTS)),
    st.sampled_from(["", *split("reset clock save faults fill split nothing")]).flatmap(
        lambda path: control("POST", path, ANY_BODY)
    ),
    NUMBERS_IN_PATHS.flatmap(lambda number: control("DELETE", f"faults/{number}", ANY_BODY)),
    st.builds(
        Asked, METHODS, st.sampled_from(["/simulator/state", "/simulator/", "/simulator/faults/1"]), ANY_BODY
    ),
)


@fuzzed
@given(st.lists(CONTROL, min_size=1, max_size=3))
@example([post("/simulator/reset", "[" * 1000 + "]" * 1000)])
@example([post("/simulator/clock", '{"set": "0001-01-01T00:00:00+23:59"}')])
@example([post("/simulator/save", '{"path": "\\u0000.json"}')])
@example([Asked("DELETE", "/simulator/faults/" + "9" * 5000)])
@example([post("/simulator/split", '{"symbol": "AAPL", "ratio": "1e300"}')])
@example([post("/simulator/split", '{"symbol": "AAPL", "ratio": "1e-30"}')])  # the order after it
@example([post("/simulator/fill", f'{{"order_id": "{WORKING}", "qty": "1e-999999"}}')])  # is taken for shares
def test_no_control_request_gives_a_5xx_or_changes_anything_when_it_is_refused(asked: list[Asked]) -> None:
    with opened() as desk:
        before = desk.state()
        for each in asked:
            reply = desk.send(each)
            assert reply.status_code < 500
            after = desk.state()
            if reply.status_code >= 400:
                assert each.method == "HEAD" or isinstance(reply.json()["message"], str)
                assert after == before
            before = after
        desk.answer(Asked("DELETE", "/simulator/faults"))
        desk.check_that_it_still_works()


STRUCK = (
    Asked("POST", "/v2/orders", ORDER.encode()),
    Asked("GET", "/v2/positions"),
    Asked("GET", f"/v2/orders/{WORKING}"),
    Asked("GET", "/v2/clock"),
    Asked("PATCH", f"/v2/orders/{WORKING}", b'{"limit_price": "1.6"}'),
    Asked("DELETE", f"/v2/orders/{WORKING}"),
    Asked("DELETE", "/v2/orders"),
    Asked("POST", "/v2/orders", b"["),
)
FIVE_HUNDREDS = {"accept_then_504", "accept_then_error", "cut_headers", "error_before", "html_error"}


@fuzzed_less
@given(FAULT_BODIES, st.sampled_from(STRUCK))
@example(fault_of("lookup_lag", [("lookups", "1"), ("method", '"*"'), ("path", '"*"')]), STRUCK[1])
@example(fault_of("reject_after_acceptance", [("method", '"*"'), ("path", '"*"')]), STRUCK[3])
def test_an_armed_fault_gives_no_other_5xx_than_it_was_armed_for(fault: bytes, asked: Asked) -> None:
    with opened() as desk:
        armed = desk.send(Asked("POST", "/simulator/faults", fault))
        assert armed.status_code in {200, 400, 422}
        with suppress(requests.RequestException):
            reply = desk.send(asked)
            assert reply.status_code < 500 or armed.json()["fault"] in FIVE_HUNDREDS
        desk.answer(Asked("DELETE", "/simulator/faults"))
        desk.check_that_it_still_works()


# Bytes over a socket.


class Errors(logging.Handler):
    """What the server logs as an error: an exception that left the app is told nowhere else."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(f"{record.getMessage()} {record.exc_info}")


class Line:
    """A server, and a connection to it for every stream of bytes."""

    def __init__(self, simulator: Simulator, address: str, session: requests.Session) -> None:
        self._simulator = simulator
        self._address = address
        self._session = session
        self._port = int(address.rpartition(":")[2])

    def begin(self) -> None:
        self._session.post(f"{self._address}/simulator/reset", timeout=5).raise_for_status()
        self._simulator.simulation.failures.clear()

    def send(self, stream: bytes, *, end: bool = True) -> bytes:
        """Send bytes, and nothing more unless ``end`` is False; gives all that comes back."""
        back = b""
        # A server that has had enough closes or resets the connection.
        with socket.create_connection(("127.0.0.1", self._port), 5) as connection, suppress(ConnectionError):
            connection.sendall(stream)
            if end:
                connection.shutdown(socket.SHUT_WR)
            while received := connection.recv(65536):
                back += received
        return back

    def orders(self) -> list[str]:
        """Read the client ids of all orders, over a connection of its own: the server is alive."""
        reply = self._session.get(f"{self._address}/simulator/state", timeout=5)
        assert reply.status_code == 200
        assert reply.json()["failures"] == []
        return [order["client_order_id"] for order in reply.json()["orders"]]


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    simulator = Simulator(seed=7, clock="manual", start_ns=NOON_NS)
    with simulator.serving() as address, requests.Session() as session:
        session.trust_env = False
        yield Line(simulator, address, session)


@contextmanager
def nothing_logged() -> Iterator[None]:
    errors, logger = Errors(), logging.getLogger("uvicorn.error")
    logger.addHandler(errors)
    try:
        yield
    finally:
        logger.removeHandler(errors)
    assert errors.messages == []


def statuses(back: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", back)]


HEAD = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "localhost", **KEYS}.items()).encode()
BODY = json.dumps(MARKET | {"client_order_id": "c"}).encode() + b"    "  # still JSON when its end is missing


def raw(
    body: bytes = BODY,
    *,
    line: bytes = b"POST /v2/orders HTTP/1.1",
    length: bytes | None = None,
    more: bytes = b"",
) -> bytes:
    """Write an order as it goes over the wire, with parts of it replaced."""
    size = b"%d" % len(body) if length is None else length
    framing = b"Content-Length: " + size + b"\r\n" if size else b""
    return line + b"\r\n" + HEAD + more + framing + b"\r\n" + body


def chunked(*chunks: bytes) -> bytes:
    return raw(b"".join(chunks), length=b"", more=b"Transfer-Encoding: chunked\r\n")


WHOLE_CHUNK = b"%x\r\n%b\r\n" % (len(BODY), BODY)
CHUNKS = st.sampled_from([
    WHOLE_CHUNK, b"0\r\n\r\n", b"zz\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n", b"5\r\nab", b"\r\n", b"0",
    b"0\r\nX: y\r\n\r\n", b"1;a=b\r\n \r\n", b"\x00",
])  # fmt: skip
LINES = st.sampled_from([
    b"POST /v2/orders HTTP/1.0", b"POST /v2/orders HTTP/9.9", b"POST /v2/orders http/1.1", b"POST /v2/orders",
    b"post /v2/orders HTTP/1.1", b"POST  /v2/orders HTTP/1.1", b" POST /v2/orders HTTP/1.1",
    b"POST http://x/v2/orders HTTP/1.1", b"POST http://x HTTP/1.1", b"POST //v2/orders HTTP/1.1",
    b"POST /v2/orders?\xff HTTP/1.1", b"POST /v2/\xff HTTP/1.1", b"POST /v2/ord\x00ers HTTP/1.1",
    b"POST /v2/orders#x HTTP/1.1", b"POST /v2/orders HTTP/1.1\r", b"POST /v2/%00%zz%ff HTTP/1.1",
    b"POST ?a=b HTTP/1.1", b"POST * HTTP/1.1", b"OPTIONS * HTTP/1.1", b"CONNECT x:1 HTTP/1.1",
    b"PRI * HTTP/2.0", b"HEAD /v2/orders HTTP/1.1", b"DELETE /v2/orders HTTP/1.1",
    b"POST /simulator/reset HTTP/1.1", b"",
    b"POST /" + b"a" * 5000 + b" HTTP/1.1", b"DELETE /simulator/faults/" + b"9" * 5000 + b" HTTP/1.1",
])  # fmt: skip
LENGTHS = st.sampled_from([
    b"0", b"1", b"-1", b"+9", b"0x9", b"9, 9", b"9 9", b" ", b"x", b"99999", b"9" * 30,
    b"9\r\nContent-Length: 8", b"9\r\nTransfer-Encoding: chunked", b"",
    b"%d\r\nContent-Length: %d" % (len(BODY), len(BODY)),
])  # fmt: skip
MORE = st.sampled_from([
    b"no colon\r\n", b": no name\r\n", b"X : y\r\n", b"X: \x00\r\n", b"X: y\rZ: a\r\n", b"X: y\n",
    b" folded: y\r\n", b"\xff: y\r\n", b"X: \xff\r\n", b"X: " + b"y" * 5000 + b"\r\n", b"X: y\r\n" * 300,
    b"Expect: 100-continue\r\n", b"Expect: x\r\n", b"Connection: close\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n",
    b"Transfer-Encoding: gzip\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n",
    b"APCA-API-KEY-ID: wrong\r\n", b"APCA-API-SECRET-KEY: \xff\r\n", b"Host: [\r\n", b"",
])  # fmt: skip
STREAMS = st.one_of(
    st.builds(lambda request, kept: request[:kept], st.just(raw()), st.integers(1, len(raw()) - 1)),
    st.lists(CHUNKS, max_size=4).map(lambda chunks: chunked(*chunks)),
    st.builds(lambda line: raw(line=line), LINES),
    st.builds(lambda length: raw(length=length), LENGTHS),
    st.builds(lambda more: raw(more=more), MORE),
    st.builds(lambda line, length, more: raw(line=line, length=length, more=more), LINES, LENGTHS, MORE),
    st.binary(max_size=20).map(raw),
    st.builds(
        lambda at, odd: raw()[:at] + odd + raw()[at:],
        st.integers(0, len(raw())),
        st.binary(min_size=1, max_size=3),
    ),
    st.binary(max_size=60),
)


@fuzzed
@given(STREAMS)
@example(raw()[:-1])  # carried out though it never came whole
@example(chunked(WHOLE_CHUNK, b"zz\r\n"))  # carried out though it is answered with 400
@example(
    raw(b"{}", line=b"POST /simulator/reset HTTP/1.1", length=b"9")
)  # an exception leaves the control app
@example(raw(line=b"DELETE /simulator/faults/" + b"9" * 5000 + b" HTTP/1.1"))
def test_no_bytes_give_a_5xx_or_an_order_that_is_not_answered_with_200(line: Line, stream: bytes) -> None:
    line.begin()
    with nothing_logged():
        answered = statuses(line.send(stream))
        orders = line.orders()
    assert all(status < 500 for status in answered)
    assert len(orders) <= answered.count(200)


@fuzzed_less
@given(st.lists(STREAMS, min_size=2, max_size=4))
def test_a_server_outlives_whatever_comes_in_one_go(line: Line, streams: list[bytes]) -> None:
    line.begin()
    with nothing_logged():
        answered = statuses(line.send(b"".join(streams)))
        line.orders()
    assert all(status < 500 for status in answered)


@pytest.mark.parametrize("garbage", [b"garbage\r\n\r\n", b"\x00", raw(length=b"-1")])
def test_an_order_is_answered_whatever_follows_it_on_the_connection(line: Line, garbage: bytes) -> None:
    line.begin()
    answered = statuses(line.send(raw() + garbage, end=False))
    assert line.orders() == ["c"]
    assert answered[0] == 200
