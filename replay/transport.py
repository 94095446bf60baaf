"""A transport of ``requests`` that answers from recorded traffic only.

Nothing in here opens a connection. A request is matched by account, method, path and query, and one that
places an order by the client id in its body. A repeated request gets its replies in recorded order. A
request that was never recorded is answered from ``venue_book``, and marked so.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import urllib3
from requests import PreparedRequest, Response, Session
from requests.adapters import BaseAdapter
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import ReadTimeout
from requests.structures import CaseInsensitiveDict

from engine.brokers.interaction import NEVER_LEFT
from engine.brokers.whole_reply import with_content
from engine.errors import RunStopped
from engine.model.symbols import canonical_symbol
from replay.cassettes import Interaction
from replay.market import Outcome
from replay.venue_book import DERIVED, LOST, ORDERS, RECORDED, Reply, VenueBook, looked_up

_NEVER_LEFT = (NEVER_LEFT, "NewConnectionError", "ConnectTimeoutError", "ProxyError", "NameResolutionError")
_SAME_FIELDS = ("symbol", "side", "type")
_AMOUNTS = ("qty", "notional", "limit_price", "stop_price")
_MUST_BE_UNIQUE = {"code": 40010001, "message": "client_order_id must be unique"}
_UNPROCESSABLE, _TOO_MANY_REQUESTS = 422, 429

Key = tuple[str, str, str]
"""Method, path with query, and a client id or body: what distinguishes requests."""


@dataclass(frozen=True)
class Answer:
    """A request that was made, and how it was answered."""

    method: str
    target: str
    client_id: str
    how: str


@dataclass
class _Recorded:
    """The interactions of one request in order, the job that made each, and how many are used up.

    ``was_sought``: the first recorded request to place the order came after a lookup by the same job, so an
    earlier job may have sent the order and stopped before its reply was recorded.
    """

    interactions: list[Interaction] = field(default_factory=list)
    jobs: list[int] = field(default_factory=list)
    used: int = 0
    was_sought: bool = False

    def next_of(self, job: int) -> Interaction | None:
        """Return the next interaction: the first, or a later one not made by a later job than ``job``.

        Unused interactions of earlier jobs are skipped where this job made the request too.
        """
        jobs = self.jobs
        while self.used + 1 < len(jobs) and jobs[self.used] < job and jobs[self.used + 1] <= job:
            self.used += 1
        if self.used == len(jobs) or (self.used and jobs[self.used] > job):
            return None
        self.used += 1
        return self.interactions[self.used - 1]

    @property
    def last(self) -> Interaction:
        """The interaction that was used last."""
        return self.interactions[max(self.used, 1) - 1]


class CassetteSession(Session):
    """A session with one transport for every address, and without keys, cookies or proxies."""

    def __init__(self, adapter: BaseAdapter) -> None:
        super().__init__()
        self.trust_env = False
        self.adapters.clear()
        self.mount("", adapter)


class CassetteAdapter(BaseAdapter):
    """Answers requests from interactions; thread-safe.

    ``book`` is called at the first request that was never recorded. ``account``: the account of the
    requests; interactions that name another account are ignored. ``jobs``: the numbers of the jobs that
    worked on the run; ``job`` is the one being replayed, which doesn't get the replies of later jobs to a
    repeated request. ``answers``: the requests made so far, in order.
    """

    def __init__(
        self,
        interactions: Iterable[Interaction],
        book: Callable[[], VenueBook],
        *,
        account: str = "",
    ) -> None:
        super().__init__()
        self._make_book = book
        self._book: VenueBook | None = None
        self.answers: list[Answer] = []
        self._lock = threading.Lock()
        self._recorded: dict[Key, _Recorded] = {}
        own = [one for one in interactions if one.account in {"", account}]
        self.jobs = sorted({one.job for one in own}) or [1]
        self.job = first = self.jobs[0]
        sought = set[tuple[int, str]]()
        for one in own:
            key = _key_of(one)
            recorded = self._recorded.setdefault(key, _Recorded())
            was_sought = one.job > first and (one.job, key[2]) in sought
            recorded.was_sought |= was_sought and not recorded.interactions
            recorded.interactions.append(one)
            recorded.jobs.append(one.job)
            if one.method == "GET":
                sought.add((one.job, looked_up(one.target)))

    @property
    def book(self) -> VenueBook:
        """The orders, fills and positions in the record."""
        if self._book is None:
            self._book = self._make_book()
        return self._book

    @property
    def simulated(self) -> Mapping[str, Outcome]:
        """The outcomes of orders that were never sent, by their simulated order id."""
        return {} if self._book is None else self._book.simulated

    def knows(self, client_id: str) -> bool:
        """Return whether an order of this client id was requested or reported in the record."""
        return ("POST", ORDERS, client_id) in self._recorded or client_id in self.book.id_of

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:
        """Return a request's reply; raises the recorded error where it had none.

        Raises ``RunStopped`` where the recorded job appears to have ended at this request.
        """
        parts = urlsplit(request.url or "")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        method, body = str(request.method).upper(), _as_bytes(request.body)
        key = _key(method, target, body)
        with self._lock:
            found, how = self._found(key, body, self.job)
            if found is None:
                reply = self.book.answer(method, parts.path, parts.query, body)
                how = reply.how
            self.answers.append(Answer(method, target, key[2] if target == ORDERS else "", how))
            if found is None:
                return self._unrecorded(request, reply)
            content = found.content
            if self.simulated and found.status == 200 and method == "GET":
                content = self.book.with_simulated_fills(parts.path, parts.query, content) or content
        if found.error:
            raise _lost(found.error, request)
        return _response(request, found.status, found.reason, found.headers, content)

    def close(self) -> None:
        """Close nothing: there is no connection."""

    def _found(self, key: Key, body: bytes, job: int) -> tuple[Interaction | None, str]:
        """Return a request's next recorded reply; once all are used, its last or one derived from it."""
        recorded = self._recorded.get(key)
        if recorded is None:
            return None, ""
        if key[:2] == ("POST", ORDERS) and not _same_order(body, recorded.interactions[0].body):
            self.book.forget(key[2])  # the new order would exist under this id, not the recorded one
            return None, ""
        if recorded.was_sought and not recorded.used and recorded.interactions[0].job > job:
            raise RunStopped(f"The recorded job ended at order {key[2]}; the next job resumed there.")
        found = recorded.next_of(job)
        if found is not None:
            return found, RECORDED
        last = recorded.last
        was_answered = 200 <= last.status < 300
        if key[0] == "GET" and self.book.knows_better(key[1], answered=was_answered):
            return None, ""
        if key[0] == "GET" and not was_answered and last.job < job:
            return None, ""  # that job stopped without a reply, and later jobs did not repeat it
        all_used = recorded.used == len(recorded.interactions)
        was_sent = not last.error.startswith(_NEVER_LEFT)
        may_be_there = 200 <= last.status < 300 or key[2] in self.book.id_of
        if key[0] == "POST" and last.status == _TOO_MANY_REQUESTS:
            if recorded.used < len(recorded.interactions):
                raise RunStopped(f"The recorded job ended after {key[2]} was rate limited; the next resumed.")
            return None, ""  # a rate-limited request is retried
        if key[:2] == ("POST", ORDERS) and all_used and was_sent and may_be_there:
            content = json.dumps(_MUST_BE_UNIQUE).encode()
            return _like(last, _UNPROCESSABLE, content), DERIVED
        return last, DERIVED

    def _unrecorded(self, request: PreparedRequest, reply: Reply) -> Response:
        if reply.how == LOST:
            raise NoConnection("the reply to this request was not recorded", request=request)
        content = b"" if reply.body is None else json.dumps(reply.body).encode()
        return _response(request, reply.status, "", {"Content-Type": "application/json"}, content)


def _key_of(one: Interaction) -> Key:
    return _key(one.method, one.target, one.body)


def _key(method: str, target: str, body: bytes) -> Key:
    if method == "POST" and target == ORDERS:
        try:
            return method, target, str(json.loads(body)["client_order_id"])
        except (ValueError, TypeError, KeyError):
            pass
    path, mark, query = target.partition("?")
    ordered = "&".join(sorted(query.split("&"))) if mark else ""
    return method, path + mark + ordered, body.decode("utf-8", "replace")


def _same_order(sent: bytes, recorded: bytes) -> bool:
    """Return whether two bodies ask for the same order; only then does the recorded reply apply."""
    try:
        ours, theirs = json.loads(sent), json.loads(recorded)
        return all(_field(ours, name) == _field(theirs, name) for name in _SAME_FIELDS) and all(
            _amount(ours.get(name)) == _amount(theirs.get(name)) for name in _AMOUNTS
        )
    except (ValueError, TypeError, AttributeError):
        return sent == recorded


def _field(order: Mapping[str, object], name: str) -> object:
    value = order.get(name)
    return canonical_symbol(value) if name == "symbol" and isinstance(value, str) else value


def _amount(value: object) -> float | None:
    return None if value is None else float(str(value))


def _as_bytes(body: object) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else b""


def _like(last: Interaction, status: int, content: bytes) -> Interaction:
    return Interaction(
        number=last.number,
        method=last.method,
        target=last.target,
        body=last.body,
        status=status,
        content=content,
    )


def _lost(error: str, request: PreparedRequest) -> Exception:
    """Return the exception that ``requests`` would raise for a request without a reply."""
    if error.startswith(_NEVER_LEFT) or "certificate verify failed" in error.lower():
        cause = urllib3.exceptions.ConnectTimeoutError(f"recorded: {error}")
        return NoConnection(
            urllib3.exceptions.MaxRetryError(_NO_POOL, request.url or "", cause), request=request
        )
    if "Timeout" in error.partition(":")[0]:
        return ReadTimeout(f"recorded: {error}", request=request)
    return NoConnection(f"recorded: {error}", request=request)


_NO_POOL: Any = None


def _response(
    request: PreparedRequest, status: int, reason: str, headers: Mapping[str, str], content: bytes
) -> Response:
    response = Response()
    response.status_code, response.reason = status, reason
    response.headers = CaseInsensitiveDict(headers)
    response.url, response.request, response.encoding = request.url or "", request, "utf-8"
    return with_content(response, content)
