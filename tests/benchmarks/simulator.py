"""Orders a second over a socket, against a bare hello of the same framework on the same server settings."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from statistics import median

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from replay.simulator.server import Simulator
from replay.simulator.wire.http_server import served
from tests.benchmarks import socket_client
from tests.benchmarks.timing import Figure, Timing, ratio_of

ORDERS = 100 * socket_client.EACH


def orders_over_a_socket() -> Iterator[Figure]:
    """Place a hundred thousand market orders, by a client of its own process with four connections."""
    # Hello before and after, and medians throughout: what else this machine does flatters neither.
    hello = _hello_spans()
    simulator = Simulator(cash=Decimal(10) ** 12)
    with simulator.serving() as address:
        spans = _spans(address, "orders", ORDERS)
    hello += _hello_spans()
    name, against = "orders over a socket", "a bare hello of Starlette on the same uvicorn"
    bare = Timing(median(hello))
    more = {"against": against, "hello_rate": round(socket_client.EACH / bare.seconds)}
    yield ratio_of(name, socket_client.EACH, Timing(median(spans)), bare, at_most=3.0, **more)
    first, last = (Timing(median(some)) for some in (spans[:10], spans[-10:]))
    name, against = "orders over a socket, the last of a hundred thousand", "the first ten thousand"
    yield ratio_of(name, socket_client.EACH, last, first, at_most=1.25, against=against)


def _hello_spans() -> list[float]:
    app = Starlette(routes=[Route("/hello", _hello)])
    with served(app, "127.0.0.1", 0) as address:
        return _spans(address, "hello", 20 * socket_client.EACH)


async def _hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def _spans(address: str, kind: str, total: int) -> list[float]:
    command = [sys.executable, socket_client.__file__, address, kind, str(total)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    spans: list[float] = json.loads(done.stdout)
    return spans
