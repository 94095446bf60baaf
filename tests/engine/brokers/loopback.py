"""A server on loopback that replies what each test says, and brokers that talk to it.

Orders, accounts, clocks, 403, 404 and 422 replies are worded as in recorded traffic of 2019 to 2026, other
errors as documented or quoted, and some as nobody should.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Unpack

import requests

from engine.brokers.alpaca.broker import AlpacaBroker
from engine.brokers.alpaca.read_retries import ReadSettings
from engine.brokers.interaction import Interaction
from engine.model.orders import OrderIntent
from engine.waiting.retry_policy import RetryPolicy

API_KEY = "PKTEST0123456789ABCD"
SECRET_KEY = "s3cr3t/NeverShownAnywhere+0123456789"
ORDER_ID = "49aa1811-be1e-400a-9375-f14b5ac28ddf"
INTENT = OrderIntent(
    strategy_id="delta_momentum_v1",
    broker_account_id="paper",
    symbol="TSLA",
    side="buy",
    qty=1.0,
    client_intent_id="intent-1",
)
ORDER: dict[str, Any] = {
    "id": ORDER_ID,
    "client_order_id": "intent-1",
    "created_at": "2020-05-24T22:25:12.233451Z",
    "updated_at": "2020-05-24T22:25:12.233451Z",
    "submitted_at": "2020-05-24T22:25:12.221954Z",
    "filled_at": None,
    "replaced_by": None,
    "asset_id": "8ccae427-5dd0-45b3-b5fe-7ba5e422c766",
    "symbol": "TSLA",
    "asset_class": "us_equity",
    "notional": None,
    "qty": "1",
    "filled_qty": "0",
    "filled_avg_price": None,
    "order_class": "",
    "order_type": "market",
    "type": "market",
    "side": "buy",
    "time_in_force": "day",
    "limit_price": None,
    "stop_price": None,
    "status": "accepted",
    "extended_hours": False,
    "legs": None,
}
ACCOUNT: dict[str, Any] = {
    "id": "1d9eed04-be39-4e01-9b84-a48ac5bbafcf",
    "account_number": "PA2ABCDEFGHI",
    "status": "ACTIVE",
    "crypto_status": "ACTIVE",
    "crypto_tier": 1,
    "currency": "USD",
    "buying_power": "245432.61",
    "cash": "122086.5",
    "portfolio_value": "123346.11",
    "trading_blocked": False,
    "transfers_blocked": False,
    "account_blocked": False,
    "created_at": "2023-01-01T18:20:20.272275Z",
    "trade_suspended_by_user": False,
    "multiplier": "2",
    "shorting_enabled": True,
    "equity": "123346.11",
    "admin_configurations": {},
    "user_configurations": None,
}
CLOCK: dict[str, Any] = {
    "timestamp": "2019-07-07T12:55:08.427247519-04:00",
    "is_open": False,
    "next_open": "2019-07-08T09:30:00-04:00",
    "next_close": "2019-07-08T16:00:00-04:00",
}
HTML_ERROR = """<!DOCTYPE html><html><head><title>502 Bad Gateway</title><style>h1 {color: red}</style></head>
<body><center><h1>502 Bad Gateway</h1></center><hr>nginx/1.19.10 &amp; friends</body></html>"""


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Loopback(ThreadingHTTPServer):
    """Records requests; replies what is next in ``answers``, and as an obliging Alpaca where nothing is."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), LoopbackHandler)
        self.seen: list[Seen] = []
        self.answers: list[Answer] = []
        self.let_go = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: clients that give up are what these tests are about."""


class LoopbackHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Loopback

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(Seen(self.command, self.path, dict(self.headers), body))
        (self.server.answers.pop(0) if self.server.answers else oblige)(self)

    def do_GET(self) -> None:
        self.do_POST()

    def do_DELETE(self) -> None:
        self.do_POST()

    def log_message(self, *args: Any, **more: Any) -> None:
        """Print nothing."""


Answer = Callable[[LoopbackHandler], None]


def oblige(handler: LoopbackHandler) -> None:
    if handler.command == "DELETE":
        says(204)(handler)
    elif handler.command == "GET":
        says(200, {"/v2/account": ACCOUNT, "/v2/clock": CLOCK}.get(handler.path, ORDER))(handler)
    else:
        asked = json.loads(handler.server.seen[-1].body)
        names = ("client_order_id", "symbol", "side", "qty", "notional", "type")
        says(200, ORDER | {name: asked.get(name) for name in names})(handler)


def says(status: int, body: object = b"", **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()

    def answer(handler: LoopbackHandler) -> None:
        handler.send_response_only(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        if status != 204:
            handler.send_header("Content-Length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)

    return answer


def sends_half_a_body(handler: LoopbackHandler) -> None:
    sends_half(200, json.dumps(ORDER)[:40])(handler)


def sends_half(status: int, body: str) -> Answer:
    def answer(handler: LoopbackHandler) -> None:
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Length: 1000\r\n\r\n"
        handler.wfile.write((head + body).encode())
        handler.close_connection = True

    return answer


def cuts_headers(status: int) -> Answer:
    """Answer with a status line and half a header, then end the connection."""

    def answer(handler: LoopbackHandler) -> None:
        head = f"HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\nX-Requ"
        handler.wfile.write(head.encode())
        handler.close_connection = True

    return answer


def cuts_before_the_empty_line(status: int) -> Answer:
    """Answer with whole headers, without the empty line that ends them."""

    def answer(handler: LoopbackHandler) -> None:
        handler.wfile.write(f"HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n".encode())
        handler.close_connection = True

    return answer


def ends_with_the_connection(status: int, body: bytes) -> Answer:
    """Answer without a length: the end of the connection is the end of the body."""

    def answer(handler: LoopbackHandler) -> None:
        handler.wfile.write(f"HTTP/1.1 {status} Whatever\r\nConnection: close\r\n\r\n".encode() + body)
        handler.close_connection = True

    return answer


def hangs(handler: LoopbackHandler) -> None:
    handler.server.let_go.wait(5)
    handler.close_connection = True


def hangs_in_the_body(handler: LoopbackHandler) -> None:
    sends_half_a_body(handler)
    hangs(handler)


def resets_in_the_body(handler: LoopbackHandler) -> None:
    sends_half_a_body(handler)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.rfile.close()
    handler.connection.close()  # with unsent data to discard, which makes it a reset and not an end


def hangs_up(handler: LoopbackHandler) -> None:
    handler.close_connection = True


def talks_nonsense(handler: LoopbackHandler) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    handler.close_connection = True


def broker_at(
    url: str,
    session: requests.Session | None = None,
    timeout_s: tuple[float, float] = (5.0, 5.0),
    **reading: Unpack[ReadSettings],
) -> AlpacaBroker:
    """Return a broker that, unless told otherwise, asks once."""
    reading.setdefault("retry_policy", RetryPolicy(read_s=0))
    return AlpacaBroker(
        api_key=API_KEY,
        secret_key=SECRET_KEY,
        trading_host=url,
        session=session,
        timeout_s=timeout_s,
        **reading,
    )


@dataclass
class Recorded:
    """A recorder that keeps everything in a list."""

    kept: list[Interaction]

    def next_number(self) -> int:
        return len(self.kept) + 1

    def keep(self, interaction: Interaction) -> None:
        self.kept.append(interaction)
