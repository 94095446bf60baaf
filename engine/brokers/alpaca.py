"""Alpaca's Trading API v2, as far as a single order goes, and the account and clock around it.

What becomes of a request, where POST and DELETE change something at the broker and GET does not::

    the broker's reply                       POST, DELETE      GET
    2xx with what was asked (DELETE: 204)    the order         the order, account or clock
    3xx (never followed), 4xx (429 too)      BrokerRejected    BrokerRejected
    5xx, another 2xx, half a reply, none     OutcomeUnknown    BrokerError: nothing was changed, ask again

Every request is sent once. Repeating, pacing and recording belong to the session, which is handed in. No
message and no ``repr`` shows a key, or more of an account number than its last four characters.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from ipaddress import IPv4Network, ip_address
from typing import Any, TypeVar

import requests
import urllib3

from engine.brokers.account import BrokerAccount, BrokerClock
from engine.brokers.alpaca_account import parse_account, parse_clock
from engine.brokers.alpaca_orders import differences, order_path, order_payload, parse_order
from engine.brokers.alpaca_replies import cause, one_line, readable, refusal, without_account_numbers
from engine.config import PAPER_HOST
from engine.errors import BrokerError, ConfigurationError, OutcomeUnknown
from engine.orders import BrokerOrder, OrderIntent

_HOST = re.compile(
    r"(?P<scheme>https?)://(?P<name>[a-z0-9-]+(\.[a-z0-9-]+)*|\[::1\])(:(?P<port>\d{1,5}))?/?",
    re.ASCII | re.IGNORECASE,
)
_HIGHEST_PORT = 65535
_DONE, _REDIRECTED, _FAILED = 200, 300, 500  # where the families of HTTP statuses begin

_Asked = TypeVar("_Asked")


class AlpacaBroker:
    """Places, cancels and looks up orders at Alpaca, and asks for its account and clock.

    ``api_key``, ``secret_key`` and ``trading_host`` come from ``ALPACA_API_KEY``, ``ALPACA_SECRET_KEY`` and
    ``ALPACA_TRADING_HOST`` where not given; the host is the paper host unless another is named.
    ``timeout_s``: seconds to connect, and seconds to wait for the next byte of the reply.
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
    ) -> None:
        self._keys = _Keys(_key("ALPACA_API_KEY", api_key), _key("ALPACA_SECRET_KEY", secret_key))
        if trading_host is None:
            trading_host = os.environ.get("ALPACA_TRADING_HOST") or PAPER_HOST
        self.trading_host = checked_host(trading_host)
        if not all(0 < seconds < math.inf for seconds in timeout_s):
            raise ConfigurationError(
                f"timeout_s is {timeout_s}; expected two numbers of seconds above 0, to connect and to read."
            )
        self._session = requests.Session() if session is None else session
        # Plain http stays on loopback: a proxy named in the environment would carry the keys elsewhere.
        self._proxies = {"no_proxy": "*"} if self.trading_host.startswith("http:") else None
        self._timeout_s = timeout_s

    def __repr__(self) -> str:
        return f"AlpacaBroker(trading_host={self.trading_host!r})"

    def place_order(self, *, intent: OrderIntent) -> BrokerOrder:
        """Place one order under ``intent.client_intent_id``; the reply is compared with what was sent.

        Raises ``BrokerRejected``, ``OutcomeUnknown`` (also where the reply describes another order), and
        ``UsageError``, with nothing sent, for a cancel, a missing id or a number that is none.
        """
        payload = order_payload(intent)
        place = f"{self._place('POST', '/v2/orders')} (client_order_id {payload['client_order_id']})"
        reply = self._send("POST", "/v2/orders", place=place, payload=payload)
        order = self._read(reply, "POST", place, "order", parse_order)
        wrong = differences(intent, order)
        if wrong:
            raise self._unclear("POST", place, f"the reply describes another order: {one_line(wrong)}")
        return order

    def cancel_order(self, *, broker_order_id: str) -> BrokerOrder:
        """Ask for an order to be cancelled, then look it up: it may still be working, or have filled.

        Raises ``BrokerRejected`` (unknown order, or past cancelling), ``OutcomeUnknown`` (also where the
        cancel was taken and the look failed), and ``UsageError`` for an id that is none.
        """
        path = order_path(broker_order_id)
        place = self._place("DELETE", path)
        reply = self._send("DELETE", path, place=place)
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

        Raises ``BrokerRejected`` (404: no such order), ``BrokerError`` where there is no readable answer
        (nothing was changed; ask again), and ``UsageError`` for an id that is none.
        """
        path = order_path(broker_order_id)
        order = self._get(path, "order", parse_order)
        if order.broker_order_id.lower() != broker_order_id.strip().lower():
            place = self._place("GET", path)
            raise self._unclear("GET", place, f"the reply describes order {order.broker_order_id}")
        return order

    def get_account(self) -> BrokerAccount:
        """Give the account that the keys belong to.

        Raises ``BrokerRejected`` (401, 403: the keys are not for this host), and ``BrokerError`` where there
        is no readable answer.
        """
        return self._get("/v2/account", "account", lambda body: parse_account(self._keys.removed_from(body)))

    def get_clock(self) -> BrokerClock:
        """Give Alpaca's time and the next opening and closing of the US market; raises as ``get_account``."""
        return self._get("/v2/clock", "clock", lambda body: parse_clock(self._keys.removed_from(body)))

    def _place(self, method: str, path: str) -> str:
        return f"{method} {self.trading_host}{path}"

    def _send(
        self, method: str, path: str, *, place: str, payload: Mapping[str, Any] | None = None
    ) -> requests.Response:
        headers = {"Accept": "application/json"}
        if payload is not None:
            headers["Content-Type"] = "application/json"
        try:
            reply = self._session.request(
                method,
                self.trading_host + path,
                data=None if payload is None else json.dumps(payload).encode(),
                headers=headers,
                auth=self._keys,
                timeout=self._timeout_s,
                allow_redirects=False,
                proxies=self._proxies,
            )
        except (OSError, urllib3.exceptions.HTTPError) as error:  # what requests raises is an OSError
            raise self._unclear(method, place, f"no answer ({cause(error)})") from error
        if _REDIRECTED <= reply.status_code < _FAILED:
            raise refusal(reply.status_code, self._showable(reply))
        if not _DONE <= reply.status_code < _REDIRECTED:
            raise self._unclear(method, place, self._said(reply))
        return reply

    def _get(self, path: str, what: str, parse: Callable[[bytes], _Asked]) -> _Asked:
        place = self._place("GET", path)
        return self._read(self._send("GET", path, place=place), "GET", place, what, parse)

    def _read(
        self, reply: requests.Response, method: str, place: str, what: str, parse: Callable[[bytes], _Asked]
    ) -> _Asked:
        try:
            return parse(reply.content)
        except ValueError as error:
            wrong = f"the reply is no {what} ({error}): {self._said(reply)}"
            raise self._unclear(method, place, wrong) from error

    def _said(self, reply: requests.Response) -> str:
        return f"HTTP {reply.status_code}: {readable(self._showable(reply))}"

    def _showable(self, reply: requests.Response) -> bytes:
        return without_account_numbers(self._keys.removed_from(reply.content))

    def _unclear(self, method: str, place: str, what: str) -> BrokerError:
        text = self._keys.removed_from(f"{place}: {what.rstrip('.')}".encode()).decode()
        if method == "POST":
            return OutcomeUnknown(
                f"{text}. The order may have been accepted: look it up by its client_order_id, "
                f"and do not send it again before."
            )
        if method == "DELETE":
            return OutcomeUnknown(f"{text}. The cancel may have been accepted: look the order up.")
        return BrokerError(f"{text}. Nothing was changed by asking; ask again.")


class _Keys(requests.auth.AuthBase):
    """Puts the keys on a request, and keeps them out of everything else.

    As an ``auth`` of our own it also stops requests from adding what a ``.netrc`` file says.
    """

    def __init__(self, api_key: str, secret_key: str) -> None:
        self._api_key = api_key
        self._secret_key = secret_key

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers["APCA-API-KEY-ID"] = self._api_key
        r.headers["APCA-API-SECRET-KEY"] = self._secret_key
        return r

    def removed_from(self, text: bytes) -> bytes:
        """Blot the keys out of a text: a page that describes an error may repeat the request's headers."""
        for key in (self._secret_key, self._api_key):
            for spelled in (key, key.replace("/", r"\/")):
                text = text.replace(spelled.encode(), b"[key]")
        return text


def _key(variable: str, given: str | None) -> str:
    key = (os.environ.get(variable, "") if given is None else given).strip()
    if not key:
        raise ConfigurationError(
            f"{variable} is not set; Alpaca takes no request without it. Set it to the key that Alpaca's "
            f"dashboard shows for this account (paper and live accounts have their own)."
        )
    if not re.fullmatch(r"[!-~]+", key):  # its value would be part of the error that requests raises
        raise ConfigurationError(
            f"{variable} contains a blank, a line break or a character outside ASCII, which no key does. "
            f"Copy it from Alpaca's dashboard again."
        )
    return key


def checked_host(text: str) -> str:
    """Give a trading host as ``scheme://name[:port]``: https, or http on loopback, and nothing beside it.

    Raises ``ConfigurationError``.
    """
    match = _HOST.fullmatch(text.strip())
    if match is None or not 0 < int(match["port"] or 1) <= _HIGHEST_PORT:
        shown = "not a host" if re.search("[@?#]", text) else repr(text)  # those may hold a secret
        raise ConfigurationError(
            f"ALPACA_TRADING_HOST is {shown}; expected scheme and name, without user, path or query. "
            f"Write {PAPER_HOST}, or unset it."
        )
    scheme = match["scheme"].lower()
    if scheme == "http" and not _is_loopback(match["name"].lower()):
        raise ConfigurationError(
            f"ALPACA_TRADING_HOST is {text!r}; plain http would show the keys to everyone on the way. "
            f"Write https; http is for 127.0.0.1, [::1] and localhost."
        )
    return f"{scheme}://{match['name'].lower()}" + (f":{match['port']}" if match["port"] else "")


def _is_loopback(name: str) -> bool:
    if name in {"localhost", "[::1]"}:
        return True
    try:
        return ip_address(name) in IPv4Network("127.0.0.0/8")
    except ValueError:
        return False
