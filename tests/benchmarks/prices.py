"""Quotes of a thousand symbols against one bare GET of the same body.

The server is a process of its own behind a loopback socket, which answers after the time that Alpaca takes.
Its body is shaped as Alpaca's, with invented prices. Both sides alternate.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from statistics import median
from typing import Any
from urllib.parse import quote

import requests

from engine.brokers.chosen import AlpacaMarketData
from engine.brokers.quotes import prices_frame
from engine.waiting.deadline import Deadline
from tests.benchmarks.timing import Figure, Timing, ratio_of

_SYMBOLS = ["X" + "".join(letters) for letters in product("ABCDEFGHIJ", repeat=3)]
_LATENCY_S = 0.05
_KEY, _SECRET = "PKQ7RWTZ4XLV9MHBNCYE", "h8Kd0sZqLmWvXtR3yPbN6fJgUe2aCo7iTxYw4kQv"
_ROUNDS = 15


def figures() -> Iterator[Figure]:
    """Yield the ratio of asking for a thousand quotes, and of that without the time that Alpaca takes."""
    with _serving() as address:
        data = AlpacaMarketData(feed="sip", api_key=_KEY, secret_key=_SECRET, data_host=address)
        session = requests.Session()
        session.trust_env = False
        url = f"{address}/v2/stocks/snapshots?symbols={quote(','.join(_SYMBOLS), safe=',')}&feed=sip"

        def ours() -> None:
            found = data.snapshots(_SYMBOLS, deadline=Deadline.after(10))
            frame = prices_frame(_SYMBOLS, found, source="alpaca", feed="sip")
            assert (frame["verdict"] == "ok").all()

        def bare() -> None:
            assert session.get(url, timeout=10).content

        rounds = [(_seconds(ours), _seconds(bare)) for _ in range(_ROUNDS)][1:]
    mine, theirs = (median(side) for side in zip(*rounds, strict=True))
    more = {
        "against": "a bare GET by a requests.Session",
        "latency_s": _LATENCY_S,
        "ratio_without_latency": round((mine - _LATENCY_S) / (theirs - _LATENCY_S), 2),
    }
    yield ratio_of(
        "prices of 1,000 symbols", len(_SYMBOLS), Timing(mine), Timing(theirs), at_most=1.5, **more
    )


def _seconds(work: Any) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


@contextmanager
def _serving() -> Iterator[str]:
    """Serve the body in a process of its own; yields its address."""
    context = multiprocessing.get_context("spawn")
    ports = context.Queue()
    process = context.Process(target=_serve, args=(ports,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ports.get(timeout=30)}"
    finally:
        process.terminate()
        process.join()


def _serve(ports: Any) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    ports.put(server.server_port)
    server.serve_forever()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        time.sleep(_LATENCY_S)
        self.send_response_only(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(_BODY)))
        self.end_headers()
        self.wfile.write(_BODY)

    def log_message(self, *args: Any) -> None:
        """Print nothing."""


def _snapshot(number: int) -> dict[str, Any]:
    price, at = 100 + number / 7, "2026-03-02T15:00:00.052763263Z"
    bar = {
        "c": price, "h": price + 1.71, "l": price - 1.66, "n": 515139, "o": price + 0.62, "t": at,
        "v": 56457696, "vw": price + 0.743391,
    }  # fmt: skip
    return {
        **dict.fromkeys(("dailyBar", "minuteBar", "prevDailyBar"), bar),
        "latestQuote": {
            "ap": round(price + 0.1, 2), "as": 5, "ax": "Q", "bp": round(price, 2), "bs": 2, "bx": "Q",
            "c": ["R"], "t": at, "z": "C",
        },
        "latestTrade": {"c": ["@"], "i": 1011, "p": round(price, 2), "s": 160, "t": at, "x": "Q", "z": "C"},
    }  # fmt: skip


_BODY = json.dumps({symbol: _snapshot(number) for number, symbol in enumerate(_SYMBOLS)}).encode()
