"""Faults of the simulator by what an operator would call them."""

from __future__ import annotations

from typing import Any

Fault = dict[str, Any]

_POSTS = {"method": "POST", "path": "/v2/orders"}
_DENIALS = ((404, "page"), (403, "page"), (408, "json"), (409, "json"), (425, "page"), (499, "page"))

TROUBLE: dict[str, tuple[Fault, ...]] = {
    "lag": ({"fault": "lookup_lag", "lookups": 2, "times": None},),
    "drop": ({"fault": "accept_then_drop", "times": 4},),
    "gateway": ({"fault": "accept_then_504", "times": 4},),
    "drop and lag": (
        {"fault": "accept_then_drop", "probability": 0.3},
        {"fault": "lookup_lag", "lookups": 3, "times": None},
    ),
    "down": ({"fault": "error_before", "status": 500, "times": 2, **_POSTS},),
    "down for questions": ({"fault": "error_before", "status": 503, "method": "GET", "times": 4},),
    "half a reply": ({"fault": "truncated_body", "probability": 0.15},),
    "half an order": ({"fault": "truncated_body", "times": 3, **_POSTS},),
    "turned away": ({"fault": "rate_limited", "seconds": 0.0, "times": 1, **_POSTS},),
    "slow": ({"fault": "latency", "seconds": 0.02, "probability": 0.3},),
    "page": ({"fault": "html_error", "status": 502, "times": 2},),
    "denied by a gateway": tuple(
        {"fault": "accept_then_error", "status": status, "body": body, "probability": 0.1}
        for status, body in _DENIALS
    ),
    "not found by a gateway": (
        {"fault": "accept_then_drop", "times": 3},
        {"fault": "html_error", "status": 404, "method": "GET", "times": 4},
    ),
    "headers cut": ({"fault": "cut_headers", "status": 404, "probability": 0.15},),
    "headers of an order cut": ({"fault": "cut_headers", "status": 422, "times": 3, **_POSTS},),
    "races": ({"fault": "fill_races_cancel", "qty": "1", "times": None},),
}

_LOOKUPS = {"method": "GET"}
_CANCELS = {"method": "DELETE", "path": "/v2/orders/*"}

OF_GATEWAYS: dict[str, tuple[Fault, ...]] = {
    "not found, to lookups": ({"fault": "html_error", "status": 404, "times": 4, **_LOOKUPS},),
    "bad gateway, to lookups": ({"fault": "html_error", "status": 502, "times": 4, **_LOOKUPS},),
    "unavailable, to lookups": ({"fault": "html_error", "status": 503, "times": 4, **_LOOKUPS},),
    "pages now and then": tuple(
        {"fault": "html_error", "status": status, "probability": 0.08} for status in (404, 502, 503)
    ),
    "not found, to cancels": ({"fault": "html_error", "status": 404, "times": 2, **_CANCELS},),
    "headers cut": TROUBLE["headers cut"],
    "headers of a lookup cut": ({"fault": "cut_headers", "status": 404, "times": 3, **_LOOKUPS},),
    "bodies cut": ({"fault": "truncated_body", "missing_bytes": 40, "probability": 0.15},),
    "lookups cut": ({"fault": "truncated_body", "missing_bytes": 2, "times": 4, **_LOOKUPS},),
    "no length": ({"fault": "no_length", "lacks_bytes": 30, "probability": 0.15},),
    "no length, nothing missing": ({"fault": "no_length", "lacks_bytes": 0, "probability": 0.2},),
    "no length, to orders": ({"fault": "no_length", "lacks_bytes": 5, "times": 3, **_POSTS},),
    "no length, no body": ({"fault": "no_length", "lacks_bytes": 100_000, "times": 3},),
    "denied, and placed": tuple(
        {"fault": "accept_then_error", "status": status, "body": body, "probability": 0.15}
        for status, body in _DENIALS
    ),
    "denied, and not placed": tuple(
        {"fault": kind, "status": status, "probability": 0.15, **_POSTS}
        for status in (408, 409, 425, 499)
        for kind in ("error_before", "html_error")
    ),
    "placed and gone": ({"fault": "accept_then_drop", "probability": 0.3},),
    "placed and late": ({"fault": "lookup_lag", "lookups": 2, "times": None},),
}

OF_ORDERS = (
    "denied, and placed",
    "denied, and placed",
    "denied, and not placed",
    "placed and gone",
    "headers cut",
    "no length, to orders",
    "bodies cut",
)
"""Those of gateways that strike requests to place an order."""
