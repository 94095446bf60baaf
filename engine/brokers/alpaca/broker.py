"""Alpaca's Trading API v2, as far as the engine needs it: orders, lists, account and clock.

The outcome of a request by its reply; POST and DELETE change something at the broker, GET does not::

    the broker's reply                       POST, DELETE      GET
    2xx as expected (DELETE: 204)            the order         the object or list
    429                                      RateLimited       retried, then RateLimited
    3xx (never followed)                     BrokerRejected    BrokerRejected
    another 4xx with Alpaca's own message    BrokerRejected    BrokerRejected
    4xx as a page (GET: except 401, 403)     OutcomeUnknown    retried, then BrokerError
    408, 409, 425, 499, 5xx                  OutcomeUnknown    retried, then BrokerError
    a partial reply, no reply                OutcomeUnknown    retried, then BrokerError
    no connection, so it was not sent        NotSent           retried, then BrokerError
    another 2xx, or an unexpected body       OutcomeUnknown    BrokerError

POST and DELETE are sent once; GET is retried (``engine.brokers.alpaca.read_retries``). A wait that Alpaca
asks for (429, or ``Retry-After`` of a 5xx) delays all requests; where it is longer than ``broker_wait_s`` a
request is not sent and raises ``RateLimited``. The session that is passed in does the recording. No message
and no ``repr`` shows a key, or more of an account number than its last four characters.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection
from copy import copy
from dataclasses import replace
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar, Unpack
from urllib.parse import urlencode

import requests

from engine.brokers.account import BrokerAccount, BrokerClock
from engine.brokers.alpaca.account import parse_account, parse_clock
from engine.brokers.alpaca.activities import Activity, all_activities, parse_activities
from engine.brokers.alpaca.assets import ACTIVE_ASSETS, asset_path, only_of, parse_asset, parse_assets
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
from engine.brokers.alpaca.read_retries import ReadRetries, ReadSettings
from engine.brokers.alpaca.recorded_answers import recorded_answer
from engine.brokers.alpaca.replies import is_duplicate_id, replied_at
from engine.brokers.alpaca.venue_rules import why_alpaca_would_refuse
from engine.brokers.alpaca.wire import ACCOUNT, Wire
from engine.brokers.assets import Asset
from engine.brokers.in_time import always
from engine.brokers.interaction import Interaction
from engine.brokers.last_look import LastLook
from engine.brokers.order_differences import differences
from engine.brokers.trading import Activities, Recorder
from engine.errors import BrokerError, BrokerRejected, ConfigurationError, OutcomeUnknown
from engine.model.orders import BrokerFill, BrokerOrder, BrokerPosition, OrderIntent
from engine.model.symbols import canonical_symbol
from engine.settings.alpaca import checked_key
from engine.settings.hosts import PAPER_HOST, checked_host
from engine.waiting.deadline import Deadline

_NO_SUCH_THING = 40410000
_Thing = TypeVar("_Thing")
_UNNOTICED_S = 0.5  # overhead of a request that does not count as a wait


class AlpacaBroker:
    """Places, cancels, looks up and lists orders at Alpaca, and reads account and clock.

    ``api_key``, ``secret_key`` and ``trading_host`` default to ``ALPACA_API_KEY``, ``ALPACA_SECRET_KEY`` and
    ``ALPACA_TRADING_HOST``; without the last, the paper host is used. ``timeout_s``: seconds to connect, and
    seconds to wait for the next byte of the reply. ``reading``: how a GET is retried, as in ``ReadRetries``.
    Raises ``ConfigurationError``.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        secret_key: str | None = None,
        trading_host: str | None = None,
        session: requests.Session | None = None,
        timeout_s: tuple[float, float] = (5.0, 15.0),
        **reading: Unpack[ReadSettings],
    ) -> None:
        keys = Keys(checked_key("ALPACA_API_KEY", api_key), checked_key("ALPACA_SECRET_KEY", secret_key))
        if trading_host is None:
            trading_host = os.environ.get("ALPACA_TRADING_HOST") or PAPER_HOST
        self.trading_host = checked_host(trading_host)
        if not all(0 < seconds < math.inf for seconds in timeout_s):
            raise ConfigurationError(
                f"timeout_s is {timeout_s}; expected two numbers of seconds above 0, to connect and to read."
            )
        self.wire = Wire.to(self.trading_host, keys, session, timeout_s, ReadRetries(**reading))

    def __repr__(self) -> str:
        return f"AlpacaBroker(trading_host={self.trading_host!r})"

    def why_refused(self, intent: OrderIntent) -> str:
        """Return why Alpaca can't take an order, "" where it can; sends no request."""
        return why_alpaca_would_refuse(intent) or ""

    def order_payload(self, intent: OrderIntent) -> dict[str, Any]:
        """Return the body of ``POST /v2/orders``; raises ``UsageError`` where it can't become an order."""
        return order_payload(intent)

    def is_duplicate_id(self, error: BrokerRejected) -> bool:
        """Return whether an order was refused because another order has its client id."""
        return is_duplicate_id(error)

    def place_order(
        self, *, intent: OrderIntent, at_its_turn: Callable[[], None] | None = None
    ) -> BrokerOrder:
        """Place one order under ``intent.client_intent_id`` and return it; the reply must match the intent.

        ``at_its_turn`` is called before the order is sent, and again where connecting took longer than
        ``FRESH_FOR_S``; what it raises is raised, and nothing is sent. Raises ``BrokerRejected``,
        ``RateLimited``, ``NotSent``, ``OutcomeUnknown`` (also where the reply describes another order), and
        ``UsageError``, with nothing sent, for a cancel, a missing id or an invalid number.
        """
        payload = order_payload(intent)
        place = f"{self.wire.place('POST', '/v2/orders')} (client_order_id {payload['client_order_id']})"
        self.wire.wait_for_turn(urgent=False)
        look = LastLook(always if at_its_turn is None else at_its_turn)
        try:
            look.take()
        except BaseException:
            self.wire.pace.learn(NO_REPLY, {})  # nothing is sent: give the turn back
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
        """Request a cancellation, then look the order up and return it; it may still be working, or filled.

        Raises ``BrokerRejected`` (unknown or terminal order), ``RateLimited``, ``NotSent``,
        ``OutcomeUnknown`` (also where the cancel was accepted and the lookup failed), and ``UsageError`` for
        an invalid id.
        """
        path = order_path(broker_order_id)
        place = self.wire.place("DELETE", path)
        self.wire.wait_for_turn(urgent=True)
        reply = self.wire.send(self.wire.request("DELETE", path), place=place)
        if reply.status_code != HTTPStatus.NO_CONTENT:
            raise self.wire.unclear("DELETE", place, f"{self.wire.reply_text(reply)}; expected 204")
        try:
            return self.get_order_status(broker_order_id=broker_order_id)
        except BrokerError as error:
            raise OutcomeUnknown(
                f"{place}: the cancel was accepted, but the order could not be looked up afterwards. {error}"
            ) from error

    def get_order_status(self, *, broker_order_id: str) -> BrokerOrder:
        """Return an order's current state.

        Raises ``BrokerRejected`` (404: Alpaca itself reports that there is no such order), ``BrokerError``
        where there is no readable reply (nothing was changed; retry), ``UsageError`` for an invalid id.
        """
        path = order_path(broker_order_id)
        order = self._order_at(f"{path}?nested=true")
        if order.broker_order_id.lower() != broker_order_id.strip().lower():
            place = self.wire.place("GET", path)
            raise self.wire.unclear("GET", place, f"the reply describes order {order.broker_order_id}")
        return order

    def find_order(self, *, client_order_id: str) -> BrokerOrder | None:
        """Return the order with this client id; None only where Alpaca itself reports that there is none.

        A gateway's 404 page does not count. Raises ``BrokerRejected`` and ``BrokerError``.
        """
        path = f"/v2/orders:by_client_order_id?{urlencode({'client_order_id': client_order_id})}"
        try:
            order = self._order_at(path)
        except BrokerRejected as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None
        if order.client_order_id != client_order_id:
            wrong = f"the reply describes order {order.client_order_id}"
            raise self.wire.unclear("GET", self.wire.place("GET", path), wrong)
        return order

    def open_orders(self) -> list[BrokerOrder]:
        """Return all open orders, oldest first, groups under their first order; raises as ``fills``."""
        return every_order(self._page_of_orders, status="open")

    def orders_since(self, timestamp: datetime, *, sought: Collection[str] = ()) -> list[BrokerOrder]:
        """Return all orders submitted at or after a timestamp, of any status; raises as ``fills``.

        With ``sought``, reads no more pages than needed to find these, see ``TradingBroker``.
        """
        after = at_or_after(timestamp)
        return every_order(self._page_of_orders, sought=frozenset(sought), status="all", after=after)

    def positions(self) -> list[BrokerPosition]:
        """Return all positions of the account; raises as ``fills``, also where any of them is unreadable."""
        return self.wire.get("/v2/positions", "list of positions", parse_positions)

    def fills(self, *, after: datetime | None) -> list[BrokerFill]:
        """Return all executions after a timestamp (None: all), oldest first; a few may be slightly earlier.

        Raises ``BrokerRejected``, ``BrokerError`` where there is no readable reply, and ``UsageError`` for a
        timestamp without a timezone. The retry time applies to each page.
        """
        return every_fill(self._page_of_fills, after=after)

    def activities(self, *, after: datetime | None) -> Activities:
        """Return what changed positions after a timestamp (None: all): executions and corporate actions.

        Raises as ``fills``.
        """
        return all_activities(self._page_of_activities, after=after)

    def get_account(self) -> BrokerAccount:
        """Return the account that the keys belong to.

        Raises ``BrokerRejected`` (401, 403: the keys are not for this host), and ``BrokerError`` where there
        is no readable reply.
        """

        def parse(body: bytes) -> BrokerAccount:
            self.wire.account.redacted(body, of_account=True)  # remembers the values to redact from now on
            return parse_account(body)

        return self.wire.get("/v2/account", ACCOUNT, parse)

    def get_clock(self) -> BrokerClock:
        """Return the US market's time, its next opening and closing, and the time of Alpaca's reply.

        Raises as ``get_account``.
        """
        begun_s = self.wire.retries.timer.monotonic()
        clock, reply = self.wire.asked("/v2/clock", "clock", parse_clock)
        own_s = reply.elapsed.total_seconds()
        has_waited = self.wire.retries.timer.monotonic() - begun_s > own_s + _UNNOTICED_S
        return replace(clock, replied_at=replied_at(reply.headers), took_s=own_s if has_waited else None)

    def asset(self, symbol: str) -> Asset | None:
        """Return an asset's record; None only where Alpaca itself reports that there is none.

        Raises as ``find_order``.
        """
        path = asset_path(symbol)
        try:
            found = self._own_word_on(path, "asset", parse_asset)
        except BrokerRejected as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None
        if found.symbol != canonical_symbol(symbol):
            wrong = f"the reply describes asset {found.symbol}"
            raise self.wire.unclear("GET", self.wire.place("GET", path), wrong)
        return found

    def active_assets(self, *, asked_for: Collection[str]) -> list[Asset]:
        """Return the records of all active shares, in one reply of some 10 MB; raises as ``fills``."""
        shorten = partial(only_of, frozenset(asked_for))
        return self.wire.asked(ACTIVE_ASSETS, "list of assets", parse_assets, recorded_as=shorten)[0]

    @property
    def longest_request_s(self) -> float:
        """The seconds after which a request has ended: connecting, and waiting for its reply."""
        return sum(self.wire.timeout_s)

    def waiting_together(self) -> AlpacaBroker:
        """Return the same broker; all its GETs together wait at most ``broker_wait_s`` for Alpaca.

        For work with a deadline: a broker that asks for a wait at every request would delay it without bound.
        """
        other = copy(self)
        other.wire = self.wire.waiting_together()
        return other

    def reading_until(self, deadline: Deadline) -> AlpacaBroker:
        """Return the same broker, whose GETs begin no try after a deadline, see ``TradingBroker``."""
        other = copy(self)
        other.wire = self.wire.reading_until(deadline)
        return other

    def recorded(self, recorder: Recorder, account: str = "") -> AlpacaBroker:
        """Return the same broker, at the same pace; ``recorder`` records every request and reply.

        ``account``: the account's name in intents, which is recorded with them.
        """
        other = copy(self)
        other.wire = self.wire.recorded(recorder, account)
        return other

    def answer_of(self, interaction: Interaction) -> tuple[str, BrokerOrder | BrokerRejected | None] | None:
        """Return client id and decisive reply of a recorded request, see ``recorded_answer``."""
        return recorded_answer(interaction)

    def _order_at(self, path: str) -> BrokerOrder:
        """Return the order at a path; raises as ``_own_word_on``."""
        return self._own_word_on(path, "order", parse_order)

    def _own_word_on(self, path: str, what: str, parse: Callable[[bytes], _Thing]) -> _Thing:
        """Return the thing at a path; a 404 is ``BrokerRejected`` only where Alpaca itself sent it."""
        try:
            return self.wire.get(path, what, parse)
        except BrokerRejected as error:
            is_from_alpaca = error.code == _NO_SUCH_THING and "endpoint" not in error.message
            if error.status != HTTPStatus.NOT_FOUND or is_from_alpaca:
                raise
            reported = f"HTTP {error.status} that is not Alpaca's word on an {what}: {error}"
            raise self.wire.unclear("GET", self.wire.place("GET", path), reported) from error

    def _page_of_orders(self, query: Query) -> list[BrokerOrder]:
        return self.wire.get(f"/v2/orders?{urlencode(query)}", "list of orders", parse_orders)

    def _page_of_fills(self, query: Query) -> list[BrokerFill]:
        return self.wire.get(f"/v2/account/activities/FILL?{urlencode(query)}", "list of fills", parse_fills)

    def _page_of_activities(self, query: Query) -> list[Activity]:
        return self.wire.get(
            f"/v2/account/activities?{urlencode(query)}", "list of activities", parse_activities
        )
