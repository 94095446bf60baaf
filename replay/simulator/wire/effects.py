"""The effect of each fault on a request: before it is carried out, after it, and on the delivery."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from http.client import responses

import orjson

from replay.simulator.intake.refusal import Refusal
from replay.simulator.wire import faults as f
from replay.simulator.wire.delivery import HTML, PROMPT, Delivery, Reply
from replay.simulator.wire.faults import Fault
from replay.simulator.wire.simulation import RateLimit, Simulation

_INTERNAL_ERROR = {"code": 50010000, "message": "internal server error occurred"}
_OF_ALL_ORDERS = frozenset({"/v2/orders", "/v2/positions"})


def instead(fault: Fault, limit: RateLimit, now_s: float) -> Reply | None:
    """Return the reply of a fault that prevents a request from being carried out; None for other faults."""
    match fault:
        case f.ErrorBefore(status=500):
            return internal_error()
        case f.ErrorBefore(status=status):
            return _json_error(status)
        case f.RateLimited(seconds=seconds):
            return rate_limited(limit, limit.headers(remaining=0, reset=math.ceil(now_s + seconds)))
        case f.HtmlError(status=status):
            return html_page(status)
    return None


def before(fault: Fault, method: str, path: str, simulation: Simulation) -> None:
    """Apply a fault just before a request is carried out."""
    match fault:
        case f.StuckPendingCancel() if method == "DELETE":
            if path in _OF_ALL_ORDERS:
                simulation.venue.hold_cancels()
            elif path.startswith("/v2/orders/"):
                simulation.venue.hold_cancels(_order_id(path))
        case f.FillRacesCancel(qty, "before") | f.FillRacesReplace(qty, "before"):
            _fill(_order_id(path), qty, simulation)


def after(fault: Fault, path: str, reply: Reply, simulation: Simulation) -> Reply | None:
    """Apply a fault just after a request; return the reply that replaces its own, None to keep it."""
    match fault:
        case f.AcceptThen504():
            return html_page(504)
        case f.AcceptThenError(status=status, body="json"):
            return _json_error(status)
        case f.AcceptThenError(status=status):
            return html_page(status)
        case f.LookupLag() if reply.status == 200 and _is_order(reply):
            simulation.hidden.hide(orjson.loads(reply.body), fault, simulation.clock.now_ns())
        case f.RejectAfterAcceptance() if reply.status == 200 and _is_order(reply):
            # An order that is already terminal has been filled first.
            with suppress(Refusal):
                simulation.venue.reject_after_acceptance(orjson.loads(reply.body)["id"])
        case f.FillRacesCancel(qty, "after") | f.FillRacesReplace(qty, "after") if reply.status == 207:
            # The newest first: inactive legs before the entry whose fill activates them.
            for row in reversed(orjson.loads(reply.body)):
                if row["status"] == 200 and "id" in row:
                    _fill(row["id"], qty, simulation)
        case f.FillRacesCancel(qty, "after") | f.FillRacesReplace(qty, "after"):
            _fill(_order_id(path), qty, simulation)
    return None


def _json_error(status: int) -> Reply:
    return Reply.of(status, {"message": _phrase(status).lower()})


def _order_id(path: str) -> str:
    return path.rpartition("/")[2]


def _fill(order_id: str, qty: str | None, simulation: Simulation) -> None:
    # For an unknown or terminal order, the reply to the request itself is the error.
    with suppress(Refusal):
        simulation.venue.fill_now(order_id, None if qty is None else Decimal(qty))


def _is_order(reply: Reply) -> bool:
    """Return whether the body of a reply is an order."""
    body = orjson.loads(reply.body)
    return isinstance(body, dict) and "client_order_id" in body


def wait_before_s(fault: Fault) -> float:
    """Return the seconds by which a fault delays the arrival of a request."""
    return fault.seconds if isinstance(fault, f.Latency) and fault.on == "request" else 0


def delivery(faults: Sequence[Fault]) -> Delivery:
    """Return how the reply to a request is delivered."""
    how = PROMPT
    for fault in faults:
        match fault:
            case f.AcceptThenDrop():
                how = replace(how, lost=True)
            case f.Latency(seconds=seconds, on="answer"):
                how = replace(how, wait_s=how.wait_s + seconds)
            case f.SlowBody(seconds=seconds, pieces=pieces):
                how = replace(how, pieces=pieces, pause_s=seconds / pieces)
            case f.TruncatedBody(missing_bytes=missing):
                how = replace(how, missing_bytes=missing)
            case f.NoLength(lacks_bytes=missing):
                how = replace(how, missing_bytes=missing, has_length=False)
            case f.CutHeaders(status=status):
                how = replace(how, cut_after_status=status)
    return how


def html_page(status: int) -> Reply:
    """Return nginx's HTML page for a status, as from a gateway in front of Alpaca."""
    title = f"{status} {_phrase(status)}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return Reply(status, page.encode(), HTML)


def internal_error() -> Reply:
    """Return Alpaca's 500."""
    return Reply.of(500, _INTERNAL_ERROR)


def rate_limited(limit: RateLimit, headers: list[tuple[bytes, bytes]]) -> Reply:
    """Return Alpaca's 429, with the headers that say when to retry."""
    return Reply(429, orjson.dumps(limit.refusal), headers=headers)


def _phrase(status: int) -> str:
    # nginx's words where they are not Python's.
    own = {503: "Service Temporarily Unavailable", 504: "Gateway Time-out"}
    return own.get(status) or responses.get(status, "Unknown")
