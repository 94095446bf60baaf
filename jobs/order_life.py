"""An order's whole life as its run recorded it: noted, sent, answered, looked up, executed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from engine.stores.runs import ATTEMPTS, CASSETTE, FILLS, RunFolder
from jobs.wording import Row, number

_LONGEST = 160


def life_of(folder: RunFolder, row: Row) -> list[str]:
    """Give a sentence for each thing that happened to an intent's order, oldest first; none in a dry run."""
    names = folder.names()
    if CASSETTE not in names:
        return []
    told = [*_noted(folder, names, row), *_asked(folder, row), *_executed(folder, names, row)]
    on_one_day = len({moment.date() for moment, _ in told}) < 2
    shown = "%H:%M:%S.%f" if on_one_day else "%Y-%m-%d %H:%M:%S.%f"
    return [f"{moment.strftime(shown)[:-3]} UTC  {said}" for moment, said in sorted(told)]


def _noted(folder: RunFolder, names: set[str], row: Row) -> Iterator[tuple[datetime, str]]:
    for name in sorted(names):
        if not name.startswith(ATTEMPTS):
            continue
        chunk = folder.json(name)
        if any(order["client_order_id"] == row["client_intent_id"] for order in chunk["orders"]):
            yield datetime.fromisoformat(chunk["at"]), f"noted as about to be sent ({name})"


def _asked(folder: RunFolder, row: Row) -> Iterator[tuple[datetime, str]]:
    """Tell of the requests that named the order, by its own id or by the broker's."""
    cassette = folder.json(CASSETTE)
    for one in sorted([*cassette["interactions"], *cassette["unanswered"]], key=lambda one: one["number"]):
        request = one["request"]
        if _is_about(request, row):
            path = urlsplit(request["uri"]).path
            told = f"{request['method']} {path}: {_answer(one)}"
            yield datetime.fromisoformat(one["started_at"]), told


def _is_about(request: Mapping[str, Any], row: Row) -> bool:
    url, ids = urlsplit(request["uri"]), {row["client_intent_id"], row["target_intent_id"]}
    if url.path.rsplit("/", 1)[-1] == row["broker_order_id"]:
        return True
    if parse_qs(url.query).get("client_order_id", [""])[0] in ids:
        return True
    named = _body(request).get("client_order_id")
    return request["method"] == "POST" and bool(named == row["client_intent_id"])


def _answer(one: Mapping[str, Any]) -> str:
    if "response" not in one:
        return f"no answer: {one['error'][:_LONGEST]}"
    response = one["response"]
    status = f"{response['status']['code']} {response['status']['message']}".strip()
    try:
        body = json.loads(response["body"]["string"])
    except ValueError:
        return status
    if not isinstance(body, dict):
        return status
    said = body.get("message") or body.get("status") or ""
    return f"{status}, {said}" if said else status


def _body(request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        body = json.loads(request["body"] or "")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _executed(folder: RunFolder, names: set[str], row: Row) -> Iterator[tuple[datetime, str]]:
    if FILLS not in names:
        return
    for fill in folder.table(FILLS).to_pylist():
        if fill["client_intent_id"] == row["client_intent_id"]:
            left = "" if not fill["leaves_qty"] else f", {number(fill['leaves_qty'])} left"
            told = f"{fill['side']} {number(fill['qty'])} {fill['symbol']} at {number(fill['price'])}{left}"
            yield fill["filled_at"], f"executed: {told}"
