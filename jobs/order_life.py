"""An order's whole life as its run recorded it: noted, sent, answered, looked up, executed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from engine.brokers.chosen import recorded_answer
from engine.brokers.interaction import Interaction
from engine.errors import BrokerRejected
from engine.model.orders import BrokerOrder
from engine.record.journal import Journal
from engine.record.run_folder import ATTEMPTS, CASSETTE, DECISIONS, FILLS, RESULTS, TRAFFIC, RunFolder
from jobs.wording import Row, number, outcome

TimedEvent = tuple[datetime, str]
"""A timestamp, and what happened then."""

_LONGEST = 160
_GOES_ON = "the next live run looks it up before anything is sent again"


class Lives:
    """The lives of the orders of a run, finished or not, each file of it read once."""

    def __init__(self, folder: RunFolder) -> None:
        names = folder.names()
        self._noted: dict[str, list[TimedEvent]] = defaultdict(list)
        for name in sorted(name for name in names if name.startswith(ATTEMPTS)):
            chunk = folder.json(name)
            event = (datetime.fromisoformat(chunk["at"]), f"noted as about to be sent ({name})")
            for client_id in {order["client_order_id"] for order in chunk["orders"]}:
                self._noted[client_id].append(event)
        self._about: dict[str, list[Interaction]] = defaultdict(list)
        self._orders: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for one in _recorded_interactions(folder, names):
            for client_or_order_id in _ids_named(one.request):
                self._about[client_or_order_id].append(one)
            answer = recorded_answer(one)
            if answer and isinstance(answer[1], BrokerOrder):
                self._orders[answer[0]].append((one.account, answer[1].broker_order_id))
        self._executed: dict[tuple[str, str], list[TimedEvent]] = defaultdict(list)
        for fill in folder.table(FILLS).to_pylist() if FILLS in names else ():
            self._executed[_key(fill)].append((fill["filled_at"], execution(fill)))

    def of(self, row: Row) -> list[str]:
        """Return a line for each event of an intent's order, oldest first; none in a dry run."""
        noted = self._noted[row["client_intent_id"]]
        return lines([*noted, *self._asked(row), *self._executed[_key(row)]])

    def _asked(self, row: Row) -> Iterator[TimedEvent]:
        """Yield the requests that named the order, by its own id or by the broker's."""
        client_id = row["client_intent_id"]
        at_broker = {
            order_id for account, order_id in self._orders[client_id] if _is_its_own(account, row)
        } | {row.get("broker_order_id")}
        ids = {client_id, row["target_intent_id"], *at_broker} - {None}
        found = {
            one.number: one for known in ids for one in self._about[known] if _is_its_own(one.account, row)
        }
        for one in found.values():
            if _is_about(one.request, row, at_broker):
                path = urlsplit(one.request["uri"]).path
                yield (
                    datetime.fromisoformat(one.started_at),
                    f"{one.request['method']} {path}: {_answer(one)}",
                )


def lines(events: Iterable[TimedEvent]) -> list[str]:
    """Return events as lines, oldest first; with dates where there are several."""
    events = sorted(events)
    on_one_day = len({timestamp.date() for timestamp, _ in events}) < 2
    shown = "%H:%M:%S.%f" if on_one_day else "%Y-%m-%d %H:%M:%S.%f"
    return [f"{timestamp.strftime(shown)[:-3]} UTC  {text}" for timestamp, text in events]


def state_of(folder: RunFolder, row: Row) -> str:
    """Return the state of an intent of an unfinished run."""
    names = folder.names()
    if DECISIONS not in names:
        return "it is not decided yet"
    if not row["allowed"]:
        return "it is refused, and is not sent"
    if RESULTS in names:
        return outcome(row)
    if folder.start["mode"] == "dry":
        return "it is allowed; in a dry run nothing is sent"
    if row["action"] == "cancel":
        return "it is allowed, and its cancel is sent in its turn"
    posts = [answer for answer in map(recorded_answer, _of_account(folder, names, row)) if answer]
    answers = [answer for client_id, answer in posts if client_id == row["client_intent_id"]]
    if not answers:
        if _is_noted(folder, names, row):
            return f"it was about to be sent, and no answer is on record: {_GOES_ON}"
        return "it is allowed, and was not sent yet"
    return _answered(answers)


def _answered(answers: list[BrokerOrder | BrokerRejected | None]) -> str:
    """Return the broker's answer on an order; a refusal counts only where no outcome is unknown."""
    orders = [answer for answer in answers if isinstance(answer, BrokerOrder)]
    if orders:
        return f"it was sent, and is at the broker as {orders[-1].broker_order_id}"
    if None in answers:
        return f"it was sent, and its outcome is unknown: {_GOES_ON}"
    return f"it was sent, and the broker refused it: {answers[-1]}"


def _is_noted(folder: RunFolder, names: set[str], row: Row) -> bool:
    """Return whether an order is on disk as about to be sent."""
    chunks = (folder.json(name) for name in names if name.startswith(ATTEMPTS))
    return any(
        order["client_order_id"] == row["client_intent_id"] for chunk in chunks for order in chunk["orders"]
    )


def _recorded_interactions(folder: RunFolder, names: set[str]) -> list[Interaction]:
    """Return the interactions of a run: of its cassette, or of its journal until it has one."""
    if CASSETTE in names:
        cassette = folder.json(CASSETTE)
        recorded = sorted([*cassette["interactions"], *cassette["unanswered"]], key=lambda one: one["number"])
        return [_interaction(one) for one in recorded]
    if not any(name.startswith(TRAFFIC) for name in names):
        return []
    return list(Journal(folder).interactions())


def _ids_named(request: Mapping[str, Any]) -> set[str]:
    """Return the ids of orders, the broker's and ours, that a request may name."""
    url = urlsplit(request["uri"])
    named = {url.path.rsplit("/", 1)[-1], *parse_qs(url.query).get("client_order_id", [])}
    in_body = _body(request).get("client_order_id")
    return named | ({in_body} if isinstance(in_body, str) else set())


def _of_account(folder: RunFolder, names: set[str], row: Row) -> list[Interaction]:
    """Return the interactions of an account so far, of a run whose traffic isn't in a cassette yet."""
    if not any(name.startswith(TRAFFIC) for name in names):
        return []
    return [one for one in Journal(folder).interactions() if _is_its_own(one.account, row)]


def _interaction(one: Mapping[str, Any]) -> Interaction:
    return Interaction(
        number=one["number"],
        started_at=one["started_at"],
        took_s=one["took_s"],
        request=one["request"],
        response=one.get("response"),
        error=one.get("error", ""),
        account=one.get("account", ""),
    )


def _is_its_own(account: str, row: Row) -> bool:
    """Return whether a request was made for the row's account: others may use the same ids."""
    return account in {"", row["broker_account_id"]}


def _is_about(request: Mapping[str, Any], row: Row, broker_ids: set[str | None]) -> bool:
    url, ids = urlsplit(request["uri"]), {row["client_intent_id"], row["target_intent_id"]}
    if url.path.rsplit("/", 1)[-1] in broker_ids:
        return True
    if parse_qs(url.query).get("client_order_id", [""])[0] in ids:
        return True
    named = _body(request).get("client_order_id")
    return request["method"] == "POST" and bool(named == row["client_intent_id"])


def _answer(one: Interaction) -> str:
    response = one.response
    if response is None:
        return f"no answer: {one.error[:_LONGEST]}"
    status = f"{response['status']['code']} {response['status']['message']}".strip()
    try:
        body = json.loads(response["body"]["string"])
    except ValueError:
        return status
    if not isinstance(body, dict):
        return status
    text = body.get("message") or body.get("status") or ""
    return f"{status}, {text}" if text else status


def _body(request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        body = json.loads(request["body"] or "")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _key(row: Row) -> tuple[str, str]:
    return row["client_intent_id"], row["broker_account_id"]


def execution(fill: Row) -> str:
    """Return an execution in a few words."""
    left = "" if not fill["leaves_qty"] else f", {number(fill['leaves_qty'])} left"
    return f"executed: {fill['side']} {number(fill['qty'])} {fill['symbol']} at {number(fill['price'])}{left}"
