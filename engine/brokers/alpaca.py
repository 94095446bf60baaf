"""Alpaca's Trading API v2, as far as an execution engine needs it: orders, lists, account and clock.

What becomes of a request, where POST and DELETE change something at the broker and GET does not::

    the broker's reply                       POST, DELETE      GET
    2xx with what was asked (DELETE: 204)    the order         what was asked for
    429                                      RateLimited       waited for, then RateLimited
    3xx (never followed)                     BrokerRejected    BrokerRejected
    another 4xx with Alpaca's own message    BrokerRejected    BrokerRejected
    4xx as a page (GET: but 401, 403)        OutcomeUnknown    asked again, then BrokerError
    408, 409, 425, 499, 5xx                  OutcomeUnknown    asked again, then BrokerError
    half a reply, none                       OutcomeUnknown    asked again, then BrokerError
    no connection, so it never left          NotSent           asked again, then BrokerError
    another 2xx, or not what was asked       OutcomeUnknown    BrokerError

What changes something is sent once; what only asks is repeated, with ``alpaca_patience``. A wait that Alpaca
asks for (429, or ``Retry-After`` of a 5xx) holds all requests back; where it is longer than ``broker_wait_s``
a request isn't sent, and raises ``RateLimited``. Recording belongs to the session, which is handed in. No
message and no ``repr`` shows a key, or more of an account number than its last four characters.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Collection, Mapping
from copy import copy
from dataclasses import replace
from datetime import datetime
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any, TypeVar, Unpack
from urllib.parse import urlencode

import requests
import urllib3

from engine.brokers.account import BrokerAccount, BrokerClock
from engine.brokers.alpaca_account import parse_account, parse_clock
from engine.brokers.alpaca_activities import Activities, Activity, all_activities, parse_activities
from engine.brokers.alpaca_answers import recorded_answer
from engine.brokers.alpaca_fields import NotJson
from engine.brokers.alpaca_keys import Keys
from engine.brokers.alpaca_lists import (
    Query,
    at_or_after,
    every_fill,
    every_order,
    parse_fills,
    parse_orders,
    parse_positions,
)
from engine.brokers.alpaca_orders import differences, order_path, order_payload, parse_order
from engine.brokers.alpaca_patience import AskedWaits, NoAnswer, Patience, PatienceSettings
from engine.brokers.alpaca_replies import (
    cause,
    is_refusal,
    never_left,
    refusal,
    replied_at,
    request_id,
    retry_after_s,
)
from engine.brokers.alpaca_settings import checked_host, checked_key
from engine.brokers.alpaca_text import one_line, readable, without_account_numbers
from engine.brokers.exchange import Exchange
from engine.brokers.in_time import always
from engine.brokers.last_look import LastLook
from engine.brokers.pacing import NO_REPLY, HeldOff, Pace
from engine.brokers.redaction import AccountRedaction
from engine.brokers.trading import SENDERS, Recorder
from engine.brokers.transport import BoundedAdapter, GuardedRequest, Recording
from engine.brokers.venue_rules import why_alpaca_would_refuse
from engine.config import PAPER_HOST
from engine.errors import (
    BrokerError,
    BrokerRejected,
    ConfigurationError,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    RunStopped,
)
from engine.orders import BrokerFill, BrokerOrder, BrokerPosition, OrderIntent

_DONE, _REDIRECTED = 200, 300  # where the families of HTTP statuses begin
_NO_SUCH_THING = 40410000
_ACCOUNT = "account"
_UNNOTICED_S = 0.5  # what a request may take beside its own time without having waited

_Asked = TypeVar("_Asked")


class AlpacaBroker:
    """Places, cancels, looks up and lists orders at Alpaca, and asks for its account and clock.

    ``api_key``, ``secret_key`` and ``trading_host`` come from ``ALPACA_API_KEY``, ``ALPACA_SECRET_KEY`` and
    ``ALPACA_TRADING_HOST`` where not given; the host is the paper host unless another is named.
    ``timeout_s``: seconds to connect, and seconds to wait for the next byte of the reply. ``patience``:
    ``patience_s``, the seconds for which one thing is asked again and again (30 by default; 0: asked once),
    ``broker_wait_s``, those that are waited beyond that because Alpaca asks for it (60), and the other fields
    of ``Patience``. Raises ``ConfigurationError``.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        secret_key: str | None = None,
        trading_host: str | None = None,
        session: requests.Session | None = None,
        timeout_s: tuple[float, float] = (5.0, 15.0),
        **patience: Unpack[PatienceSettings],
    ) -> None:
        self._keys = Keys(
            checked_key("ALPACA_API_KEY", api_key), checked_key("ALPACA_SECRET_KEY", secret_key)
        )
        if trading_host is None:
            trading_host = os.environ.get("ALPACA_TRADING_HOST") or PAPER_HOST
        self.trading_host = checked_host(trading_host)
        if not all(0 < seconds < math.inf for seconds in timeout_s):
            raise ConfigurationError(
                f"timeout_s is {timeout_s}; expected two numbers of seconds above 0, to connect and to read."
            )
        self._session = _own_session(self.trading_host, *timeout_s) if session is None else session
        self._pace = Pace()
        self._account = AccountRedaction()
        if self.trading_host.startswith("http:"):
            # It stays on loopback: a proxy named in the environment would carry the keys elsewhere.
            self._session.trust_env = False
        # What the environment says of proxies and certificates is read once, not for every request.
        self._how = self._session.merge_environment_settings(self.trading_host + "/", {}, False, None, None)
        self._timeout_s = timeout_s
        self._patience = Patience(**patience)

    def __repr__(self) -> str:
        return f"AlpacaBroker(trading_host={self.trading_host!r})"

    def why_refused(self, intent: OrderIntent) -> str:
        """Say why Alpaca can't take an order ("" where it can), without asking it."""
        return why_alpaca_would_refuse(intent) or ""

    def place_order(
        self, *, intent: OrderIntent, at_its_turn: Callable[[], None] | None = None
    ) -> BrokerOrder:
        """Place one order under ``intent.client_intent_id``; the reply is compared with what was sent.

        ``at_its_turn`` is called before the order leaves, and again where connecting took longer than a look
        is fresh; what it raises passes through, and nothing is sent. Raises ``BrokerRejected``,
        ``RateLimited``, ``NotSent``, ``OutcomeUnknown`` (also where the reply describes another order), and
        ``UsageError``, with nothing sent, for a cancel, a missing id or a number that is none.
        """
        payload = order_payload(intent)
        place = f"{self._place('POST', '/v2/orders')} (client_order_id {payload['client_order_id']})"
        self._wait_for_turn(urgent=False)
        look = LastLook(always if at_its_turn is None else at_its_turn)
        try:
            look.take()
        except BaseException:
            self._pace.learn(NO_REPLY, {})  # nothing leaves, and the turn is over
            raise
        request = self._request("POST", "/v2/orders", payload, may_leave=look.be_fresh)
        reply = self._send(request, place=place)
        order = self._read(reply, "POST", place, "order", parse_order)
        wrong = differences(intent, order)
        if wrong:
            raise self._unclear("POST", place, f"the reply describes another order: {self._line(wrong)}")
        return order

    def cancel_order(self, *, broker_order_id: str) -> BrokerOrder:
        """Ask for an order to be cancelled, then look it up: it may still be working, or have filled.

        Raises ``BrokerRejected`` (unknown order, or past cancelling), ``RateLimited``, ``NotSent``,
        ``OutcomeUnknown`` (also where the cancel was taken and the look failed), and ``UsageError`` for an
        id that is none.
        """
        path = order_path(broker_order_id)
        place = self._place("DELETE", path)
        self._wait_for_turn(urgent=True)
        reply = self._send(self._request("DELETE", path), place=place)
        if reply.status_code != HTTPStatus.NO_CONTENT:
            raise self._unclear("DELETE", place, f"{self._said(reply)}; 204 was to be expected")
        try:
            return self.get_order_status(broker_order_id=broker_order_id)
        except BrokerError as error:
            raise OutcomeUnknown(
                f"{place}: the cancel was taken, but the order could not be looked up afterwards. {error}"
            ) from error

    def get_order_status(self, *, broker_order_id: str) -> BrokerOrder:
        """Look an order up.

        Raises ``BrokerRejected`` (404: Alpaca itself says that there is no such order), ``BrokerError`` where
        there is no readable answer (nothing was changed; ask again), ``UsageError`` for an id that is none.
        """
        path = order_path(broker_order_id)
        order = self._order_at(f"{path}?nested=true")
        if order.broker_order_id.lower() != broker_order_id.strip().lower():
            place = self._place("GET", path)
            raise self._unclear("GET", place, f"the reply describes order {order.broker_order_id}")
        return order

    def find_order(self, *, client_order_id: str) -> BrokerOrder | None:
        """Give the order with this client id; None only where Alpaca itself says that it knows none.

        A gateway's 404 page is no answer. Raises ``BrokerRejected`` and ``BrokerError``.
        """
        path = f"/v2/orders:by_client_order_id?{urlencode({'client_order_id': client_order_id})}"
        try:
            order = self._order_at(path)
        except BrokerRejected as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None
        if order.client_order_id != client_order_id:
            said = f"the reply describes order {order.client_order_id}"
            raise self._unclear("GET", self._place("GET", path), said)
        return order

    def open_orders(self) -> list[BrokerOrder]:
        """Give all open orders, oldest first, groups under the order that heads them; raises as ``fills``."""
        return every_order(self._page_of_orders, status="open")

    def orders_since(self, moment: datetime, *, sought: Collection[str] = ()) -> list[BrokerOrder]:
        """Give all orders submitted at or after a moment, whatever became of them; raises as ``fills``.

        With ``sought``: no more pages than it takes to find these, see ``TradingBroker``.
        """
        after = at_or_after(moment)
        return every_order(self._page_of_orders, sought=frozenset(sought), status="all", after=after)

    def positions(self) -> list[BrokerPosition]:
        """Give all positions of the account; raises as ``fills``, also where any of them can't be read."""
        return self._get("/v2/positions", "list of positions", parse_positions)

    def fills(self, *, after: datetime | None) -> list[BrokerFill]:
        """Give all executions after a moment (None: ever), oldest first; a few from just before may be in it.

        Raises ``BrokerRejected``, ``BrokerError`` where there is no readable answer, and ``UsageError`` for a
        moment without a timezone. Patience counts for each page.
        """
        return every_fill(self._page_of_fills, after=after)

    def activities(self, *, after: datetime | None) -> Activities:
        """Give what changed positions after a moment (None: ever): executions and corporate actions.

        Raises as ``fills``.
        """
        return all_activities(self._page_of_activities, after=after)

    def get_account(self) -> BrokerAccount:
        """Give the account that the keys belong to.

        Raises ``BrokerRejected`` (401, 403: the keys are not for this host), and ``BrokerError`` where there
        is no readable answer.
        """

        def parse(body: bytes) -> BrokerAccount:
            self._account.redacted(body, of_account=True)  # which remembers what must not be recorded
            return parse_account(body)

        return self._get("/v2/account", _ACCOUNT, parse)

    def get_clock(self) -> BrokerClock:
        """Give the US market's time and its next opening and closing, and when Alpaca said so.

        Raises as ``get_account``.
        """
        begun_s = self._patience.monotonic()
        clock, reply = self._asked("/v2/clock", "clock", parse_clock)
        own_s = reply.elapsed.total_seconds()
        has_waited = self._patience.monotonic() - begun_s > own_s + _UNNOTICED_S
        return replace(clock, replied_at=replied_at(reply.headers), took_s=own_s if has_waited else None)

    @property
    def longest_request_s(self) -> float:
        """The seconds after which a request is over: connecting, and waiting for its reply."""
        return sum(self._timeout_s)

    def waiting_together(self) -> AlpacaBroker:
        """Return the same broker, whose questions wait together for as long as one does for itself.

        For what has to be over within a bound: a broker that asks for a wait each time it is asked would
        hold it back for ever.
        """
        other = copy(self)
        other._patience = replace(self._patience, together=AskedWaits(self._patience.broker_wait_s))
        return other

    def recorded(self, recorder: Recorder, account: str = "") -> AlpacaBroker:
        """Give the same broker, at the same pace, with every request and reply kept by ``recorder``.

        ``account`` is what intents call its account, which is kept with them.
        """
        host = self.trading_host + "/"
        session = requests.Session()
        session.mount(
            host,
            Recording(
                self._session.get_adapter(host),
                recorder.keep,
                clean=self._keys.hidden_in_body,
                is_clean=self._keys.cannot_be_in,
                number=recorder.next_number,
                account=self._account,
                whose=account,
            ),
        )
        other = copy(self)
        other._session = session
        return other

    def answer_of(self, exchange: Exchange) -> tuple[str, BrokerOrder | BrokerRejected | None] | None:
        """Read a recorded request to place an order: its client id, and what settled it, if anything did.

        None where it was another request.
        """
        return recorded_answer(exchange)

    def _wait_for_turn(self, *, urgent: bool, held_at_most_s: float | None = None) -> None:
        """Wait until the rate limit lets a request leave.

        Raises ``RunStopped`` where the job is to end, and ``RateLimited`` where Alpaca asks for a longer wait
        than ``held_at_most_s``, or ``broker_wait_s``.
        """
        at_most_s = self._patience.held_at_most_s if held_at_most_s is None else held_at_most_s
        try:
            has_turn = self._pace.take(
                urgent=urgent, given_up=self._patience.stopping, held_at_most_s=at_most_s
            )
        except HeldOff as held:
            raise self._held_off(held.wait_s) from held
        if not has_turn:
            raise RunStopped("Stopped while a request waited for its turn; the next run goes on.")

    def _held_off(self, wait_s: float) -> RateLimited:
        error = RateLimited(
            f"{self.trading_host} asks for no requests for {wait_s:.0f} s more, longer than is waited "
            f"(EXEC_BROKER_WAIT_S, {self._patience.broker_wait_s:g} s in all). This request was not sent, "
            f"others stand",
            status=HTTPStatus.TOO_MANY_REQUESTS,
        )
        error.wait_s = wait_s
        return error

    def _order_at(self, path: str) -> BrokerOrder:
        """Return the order at a path; a 404 is raised as ``BrokerRejected`` only for Alpaca's own word."""
        try:
            return self._get(path, "order", parse_order)
        except BrokerRejected as error:
            is_its_word = error.code == _NO_SUCH_THING and "endpoint" not in error.message
            if error.status != HTTPStatus.NOT_FOUND or is_its_word:
                raise
            reported = f"HTTP {error.status} that is not Alpaca's word on an order: {error}"
            raise self._unclear("GET", self._place("GET", path), reported) from error

    def _page_of_orders(self, query: Query) -> list[BrokerOrder]:
        return self._get(f"/v2/orders?{urlencode(query)}", "list of orders", parse_orders)

    def _page_of_fills(self, query: Query) -> list[BrokerFill]:
        return self._get(f"/v2/account/activities/FILL?{urlencode(query)}", "list of fills", parse_fills)

    def _page_of_activities(self, query: Query) -> list[Activity]:
        return self._get(f"/v2/account/activities?{urlencode(query)}", "list of activities", parse_activities)

    def _place(self, method: str, path: str) -> str:
        return f"{method} {self.trading_host}{path}"

    def _get(self, path: str, what: str, parse: Callable[[bytes], _Asked]) -> _Asked:
        return self._asked(path, what, parse)[0]

    def _asked(
        self, path: str, what: str, parse: Callable[[bytes], _Asked]
    ) -> tuple[_Asked, requests.Response]:
        def turn(held_at_most_s: float) -> None:
            self._wait_for_turn(urgent=True, held_at_most_s=held_at_most_s)

        return self._patience.ask(partial(self._ask_once, path, what, parse), turn=turn)

    def _ask_once(
        self, path: str, what: str, parse: Callable[[bytes], _Asked], left_s: float
    ) -> tuple[_Asked, requests.Response]:
        """Ask; raises ``NoAnswer`` where asking again may help."""
        place = self._place("GET", path)
        try:
            reply = self._send(self._request("GET", path), place=place, within_s=left_s)
        except BrokerError as error:
            if isinstance(error, BrokerRejected) and not isinstance(error, RateLimited):
                raise
            raise NoAnswer(error, error.wait_s) from error
        try:
            return self._read(reply, "GET", place, what, parse), reply
        except BrokerError as error:
            if isinstance(error.__cause__, NotJson):
                raise NoAnswer(error) from error
            raise

    def _send(self, request: GuardedRequest, *, place: str, within_s: float = math.inf) -> requests.Response:
        method = str(request.method)
        connect_s, read_s = self._timeout_s
        status: int = NO_REPLY
        told: Mapping[str, str] = {}
        try:
            reply = self._session.send(
                request,
                timeout=(min(connect_s, within_s), min(read_s, within_s)),
                allow_redirects=False,
                **self._how,
            )
        except (OSError, urllib3.exceptions.HTTPError) as error:  # what requests raises is an OSError
            why = cause(error, self._keys.hidden_in)
            if method != "GET" and never_left(error):
                raise NotSent(f"{place}: never left, there was no connection ({why}).") from error
            raise self._unclear(method, place, f"no answer ({why})") from error
        else:
            status, told = reply.status_code, reply.headers
        finally:
            self._pace.learn(status, told)
        if is_refusal(method, reply.status_code, reply.content):
            raise refusal(reply.status_code, self._showable(reply), reply.headers, self._keys.hidden_in)
        if not _DONE <= reply.status_code < _REDIRECTED:
            unclear = self._unclear(method, place, self._said(reply))
            unclear.wait_s = retry_after_s(reply.headers)
            raise unclear
        return reply

    def _request(
        self,
        method: str,
        path: str,
        payload: Mapping[str, Any] | None = None,
        *,
        may_leave: Callable[[], None] = always,
    ) -> GuardedRequest:
        """Make a request ready; by ourselves, since it takes a session several times as long."""
        request = GuardedRequest()
        request.may_leave = may_leave
        request.method, request.url = method, _as_sent(self.trading_host + path)
        request.prepare_headers({**self._session.headers, "Accept": "application/json"})
        request.prepare_cookies({})
        if payload is not None:
            request.headers["Content-Type"] = "application/json"
        request.prepare_body(None if payload is None else json.dumps(payload).encode(), None)
        request.prepare_auth(self._keys)
        return request

    def _read(
        self, reply: requests.Response, method: str, place: str, what: str, parse: Callable[[bytes], _Asked]
    ) -> _Asked:
        try:
            body = self._keys.hidden_in_body(reply.content)
            return parse(body if what == _ACCOUNT else self._account.redacted(body))
        except ValueError as error:
            wrong = f"the reply is no {what} ({self._line(str(error))}): {self._said(reply)}"
            raise self._unclear(method, place, wrong) from error

    def _said(self, reply: requests.Response) -> str:
        named = request_id(reply.headers, self._keys.hidden_in)
        by_name = f" (request {named})" if named else ""
        return f"HTTP {reply.status_code}{by_name}: {readable(self._showable(reply), self._keys.hidden_in)}"

    def _showable(self, reply: requests.Response) -> bytes:
        return self._account.redacted(without_account_numbers(self._keys.hidden_in_body(reply.content)))

    def _line(self, text: str) -> str:
        return one_line(self._keys.hidden_in(text))

    def _unclear(self, method: str, place: str, what: str) -> BrokerError:
        text = self._keys.hidden_in(f"{place}: {what.rstrip('.')}")
        if method == "POST":
            return OutcomeUnknown(
                f"{text}. The order may have been accepted: look it up by its client_order_id, "
                f"and do not send it again before."
            )
        if method == "DELETE":
            return OutcomeUnknown(f"{text}. The cancel may have been accepted: look the order up.")
        return BrokerError(f"{text}. Nothing was changed by asking; ask again.")


@lru_cache(maxsize=64)
def _as_sent(url: str) -> str:
    """Write a URL as it goes over the wire."""
    request = requests.PreparedRequest()
    request.prepare_url(url, None)
    return str(request.url)


def _own_session(host: str, connect_s: float, read_s: float) -> requests.Session:
    """Give a session whose requests are bounded as a whole, and whose connections are kept."""
    session = requests.Session()
    session.mount(host + "/", BoundedAdapter(connections=SENDERS, deadline_s=connect_s + read_s))
    return session
