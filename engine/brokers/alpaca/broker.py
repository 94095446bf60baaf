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

What changes something is sent once; what only asks is repeated, with ``patience``. A wait that Alpaca
asks for (429, or ``Retry-After`` of a 5xx) holds all requests back; where it is longer than ``broker_wait_s``
a request isn't sent, and raises ``RateLimited``. Recording belongs to the session, which is handed in. No
message and no ``repr`` shows a key, or more of an account number than its last four characters.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection
from copy import copy
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Any, Unpack
from urllib.parse import urlencode

import requests

from engine.brokers.account import BrokerAccount, BrokerClock
from engine.brokers.alpaca.account import parse_account, parse_clock
from engine.brokers.alpaca.activities import Activity, all_activities, parse_activities
from engine.brokers.alpaca.keys import Keys
from engine.brokers.alpaca.lists import (
    Query,
    at_or_after,
    every_fill,
    every_order,
    parse_fills,
    parse_orders,
    parse_positions,
)
from engine.brokers.alpaca.orders import order_path, order_payload, parse_order
from engine.brokers.alpaca.pacing import NO_REPLY
from engine.brokers.alpaca.patience import Patience, PatienceSettings
from engine.brokers.alpaca.recorded_answers import recorded_answer
from engine.brokers.alpaca.replies import is_duplicate_id, replied_at
from engine.brokers.alpaca.venue_rules import why_alpaca_would_refuse
from engine.brokers.alpaca.wire import ACCOUNT, Wire
from engine.brokers.in_time import always
from engine.brokers.interaction import Interaction
from engine.brokers.last_look import LastLook
from engine.brokers.order_differences import differences
from engine.brokers.trading import Activities, Recorder
from engine.errors import BrokerError, BrokerRejected, ConfigurationError, OutcomeUnknown
from engine.model.orders import BrokerFill, BrokerOrder, BrokerPosition, OrderIntent
from engine.settings.alpaca import checked_host, checked_key
from engine.settings.variables import PAPER_HOST

_NO_SUCH_THING = 40410000
_UNNOTICED_S = 0.5  # what a request may take beside its own time without having waited


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
        keys = Keys(checked_key("ALPACA_API_KEY", api_key), checked_key("ALPACA_SECRET_KEY", secret_key))
        if trading_host is None:
            trading_host = os.environ.get("ALPACA_TRADING_HOST") or PAPER_HOST
        self.trading_host = checked_host(trading_host)
        if not all(0 < seconds < math.inf for seconds in timeout_s):
            raise ConfigurationError(
                f"timeout_s is {timeout_s}; expected two numbers of seconds above 0, to connect and to read."
            )
        self.wire = Wire.to(self.trading_host, keys, session, timeout_s, Patience(**patience))

    def __repr__(self) -> str:
        return f"AlpacaBroker(trading_host={self.trading_host!r})"

    def why_refused(self, intent: OrderIntent) -> str:
        """Say why Alpaca can't take an order ("" where it can), without asking it."""
        return why_alpaca_would_refuse(intent) or ""

    def order_payload(self, intent: OrderIntent) -> dict[str, Any]:
        """Return the body of ``POST /v2/orders``; raises ``UsageError`` where no order comes of it."""
        return order_payload(intent)

    def is_duplicate_id(self, error: BrokerRejected) -> bool:
        """Return whether an order was refused because another one has its client id."""
        return is_duplicate_id(error)

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
        place = f"{self.wire.place('POST', '/v2/orders')} (client_order_id {payload['client_order_id']})"
        self.wire.wait_for_turn(urgent=False)
        look = LastLook(always if at_its_turn is None else at_its_turn)
        try:
            look.take()
        except BaseException:
            self.wire.pace.learn(NO_REPLY, {})  # nothing leaves, and the turn is over
            raise
        request = self.wire.request("POST", "/v2/orders", payload, may_leave=look.be_fresh)
        reply = self.wire.send(request, place=place)
        order = self.wire.read(reply, "POST", place, "order", parse_order)
        wrong = differences(intent, order)
        if wrong:
            raise self.wire.unclear(
                "POST", place, f"the reply describes another order: {self.wire.line(wrong)}"
            )
        return order

    def cancel_order(self, *, broker_order_id: str) -> BrokerOrder:
        """Ask for an order to be cancelled, then look it up: it may still be working, or have filled.

        Raises ``BrokerRejected`` (unknown order, or past cancelling), ``RateLimited``, ``NotSent``,
        ``OutcomeUnknown`` (also where the cancel was taken and the look failed), and ``UsageError`` for an
        id that is none.
        """
        path = order_path(broker_order_id)
        place = self.wire.place("DELETE", path)
        self.wire.wait_for_turn(urgent=True)
        reply = self.wire.send(self.wire.request("DELETE", path), place=place)
        if reply.status_code != HTTPStatus.NO_CONTENT:
            raise self.wire.unclear("DELETE", place, f"{self.wire.said(reply)}; 204 was to be expected")
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
            place = self.wire.place("GET", path)
            raise self.wire.unclear("GET", place, f"the reply describes order {order.broker_order_id}")
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
            raise self.wire.unclear("GET", self.wire.place("GET", path), said)
        return order

    def open_orders(self) -> list[BrokerOrder]:
        """Give all open orders, oldest first, groups under the order that heads them; raises as ``fills``."""
        return every_order(self._page_of_orders, status="open")

    def orders_since(self, timestamp: datetime, *, sought: Collection[str] = ()) -> list[BrokerOrder]:
        """Return all orders submitted at or after a moment, whatever became of them; raises as ``fills``.

        With ``sought``: no more pages than it takes to find these, see ``TradingBroker``.
        """
        after = at_or_after(timestamp)
        return every_order(self._page_of_orders, sought=frozenset(sought), status="all", after=after)

    def positions(self) -> list[BrokerPosition]:
        """Give all positions of the account; raises as ``fills``, also where any of them can't be read."""
        return self.wire.get("/v2/positions", "list of positions", parse_positions)

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
            self.wire.account.redacted(body, of_account=True)  # which remembers what must not be recorded
            return parse_account(body)

        return self.wire.get("/v2/account", ACCOUNT, parse)

    def get_clock(self) -> BrokerClock:
        """Give the US market's time and its next opening and closing, and when Alpaca said so.

        Raises as ``get_account``.
        """
        begun_s = self.wire.patience.monotonic()
        clock, reply = self.wire.asked("/v2/clock", "clock", parse_clock)
        own_s = reply.elapsed.total_seconds()
        has_waited = self.wire.patience.monotonic() - begun_s > own_s + _UNNOTICED_S
        return replace(clock, replied_at=replied_at(reply.headers), took_s=own_s if has_waited else None)

    @property
    def longest_request_s(self) -> float:
        """The seconds after which a request is over: connecting, and waiting for its reply."""
        return sum(self.wire.timeout_s)

    def waiting_together(self) -> AlpacaBroker:
        """Return the same broker, whose questions wait together for as long as one does for itself.

        For what has to be over within a bound: a broker that asks for a wait each time it is asked would
        hold it back for ever.
        """
        other = copy(self)
        other.wire = self.wire.waiting_together()
        return other

    def recorded(self, recorder: Recorder, account: str = "") -> AlpacaBroker:
        """Give the same broker, at the same pace, with every request and reply kept by ``recorder``.

        ``account`` is what intents call its account, which is kept with them.
        """
        other = copy(self)
        other.wire = self.wire.recorded(recorder, account)
        return other

    def answer_of(self, interaction: Interaction) -> tuple[str, BrokerOrder | BrokerRejected | None] | None:
        """Read a recorded request to place an order: its client id, and what settled it, if anything did.

        None where it was another request.
        """
        return recorded_answer(interaction)

    def _order_at(self, path: str) -> BrokerOrder:
        """Return the order at a path; a 404 is raised as ``BrokerRejected`` only for Alpaca's own word."""
        try:
            return self.wire.get(path, "order", parse_order)
        except BrokerRejected as error:
            is_its_word = error.code == _NO_SUCH_THING and "endpoint" not in error.message
            if error.status != HTTPStatus.NOT_FOUND or is_its_word:
                raise
            reported = f"HTTP {error.status} that is not Alpaca's word on an order: {error}"
            raise self.wire.unclear("GET", self.wire.place("GET", path), reported) from error

    def _page_of_orders(self, query: Query) -> list[BrokerOrder]:
        return self.wire.get(f"/v2/orders?{urlencode(query)}", "list of orders", parse_orders)

    def _page_of_fills(self, query: Query) -> list[BrokerFill]:
        return self.wire.get(f"/v2/account/activities/FILL?{urlencode(query)}", "list of fills", parse_fills)

    def _page_of_activities(self, query: Query) -> list[Activity]:
        return self.wire.get(
            f"/v2/account/activities?{urlencode(query)}", "list of activities", parse_activities
        )
