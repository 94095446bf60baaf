"""Alpaca's Trading API v2, as far as a single order goes.

What becomes of a request, where POST and DELETE change something at the broker and GET does not::

    the broker's reply                       POST, DELETE      GET
    2xx with an order (DELETE: 204)          the order         the order
    3xx (never followed), 4xx (429 too)      BrokerRejected    BrokerRejected
    5xx, another 2xx, half a reply, none     OutcomeUnknown    BrokerError: nothing was changed, ask again

Every request is sent once. Repeating, pacing and recording belong to the session, which is handed in.
"""

from __future__ import annotations

import html
import json
import math
import os
import re
from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from ipaddress import IPv4Network, ip_address
from typing import Any
from urllib.parse import quote

import requests
import urllib3

from engine.errors import BrokerError, BrokerRejected, ConfigurationError, OutcomeUnknown, UsageError
from engine.orders import BrokerOrder, OrderIntent

PAPER_HOST = "https://paper-api.alpaca.markets"
SNIPPET_LENGTH = 300

_NUMBERS = ("qty", "notional", "limit_price", "stop_price", "trail_price", "trail_percent")
_DECIMAL = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_HOST = re.compile(
    r"(?P<scheme>https?)://(?P<name>[a-z0-9-]+(\.[a-z0-9-]+)*|\[::1\])(:(?P<port>\d{1,5}))?/?",
    re.ASCII | re.IGNORECASE,
)
_HIGHEST_PORT = 65535
_MARKUP = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->|</?[a-z!][^>]*>", re.IGNORECASE | re.DOTALL)

_DONE, _REDIRECTED, _REFUSED, _FAILED = 200, 300, 400, 500  # where the families of HTTP statuses begin


class AlpacaBroker:
    """Places, cancels and looks up orders at Alpaca.

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
        order = self._order_in(reply, "POST", place=place)
        differences = _differences(intent, order)
        if differences:
            raise self._unclear("POST", place, f"the reply describes another order: {_one_line(differences)}")
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
        place = self._place("GET", path)
        order = self._order_in(self._send("GET", path, place=place), "GET", place=place)
        if order.broker_order_id.lower() != broker_order_id.strip().lower():
            raise self._unclear("GET", place, f"the reply describes order {order.broker_order_id}")
        return order

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
            raise self._unclear(method, place, f"no answer ({_cause(error)})") from error
        if _REDIRECTED <= reply.status_code < _FAILED:
            raise refusal(reply.status_code, self._keys.removed_from(reply.content))
        if not _DONE <= reply.status_code < _REDIRECTED:
            raise self._unclear(method, place, self._said(reply))
        return reply

    def _order_in(self, reply: requests.Response, method: str, *, place: str) -> BrokerOrder:
        try:
            return parse_order(reply.content)
        except ValueError as error:
            what = f"the reply is no order ({error}): {self._said(reply)}"
            raise self._unclear(method, place, what) from error

    def _said(self, reply: requests.Response) -> str:
        return f"HTTP {reply.status_code}: {readable(self._keys.removed_from(reply.content))}"

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


def order_path(broker_order_id: str) -> str:
    """Give the path of an order, quoted.

    Raises ``UsageError`` for a blank id, and for one of dots: ``DELETE /v2/orders/.`` is ``DELETE
    /v2/orders/`` once the path is normalised, and that cancels every order.
    """
    name = broker_order_id.strip()
    if not name.strip("."):
        raise UsageError(
            f"broker_order_id is {broker_order_id!r}; expected the id that the broker gave an order."
        )
    return f"/v2/orders/{quote(name, safe='')}"


def decimal_text(value: float) -> str:
    """Write a number as the shortest decimal that means it, without exponent: 1e-9 is ``0.000000001``.

    Raises ``ValueError`` where it is not finite or not a number.
    """
    if isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return format(Decimal(repr(float(value))).normalize(), "f")


def order_payload(intent: OrderIntent) -> dict[str, Any]:
    """Give the body of ``POST /v2/orders``: numbers as decimal text, what is None left out.

    Raises ``UsageError`` for a cancel, a missing ``client_intent_id`` and a number that is none.
    """
    if intent.action != "new":
        raise UsageError(
            f"intent {intent.client_intent_id} has the action {intent.action!r}: no order comes of it. "
            f"Find the order of {intent.target_intent_id} and use cancel_order."
        )
    if not intent.client_intent_id:
        raise UsageError(
            f"an intent of {intent.strategy_id} for {intent.symbol} has no client_intent_id, and an order "
            f"without one could not be found again. Give it one."
        )
    payload: dict[str, Any] = {
        "client_order_id": intent.client_intent_id,
        "symbol": intent.symbol,
        "side": intent.side,
        "type": intent.order_type,
        "time_in_force": intent.time_in_force,
        "extended_hours": bool(intent.extended_hours),
        **_decimals(intent, {name: name for name in _NUMBERS}),
    }
    if intent.order_class != "simple":
        payload["order_class"] = intent.order_class
    legs = {
        "take_profit": _decimals(intent, {"limit_price": "take_profit_limit_price"}),
        "stop_loss": _decimals(
            intent, {"stop_price": "stop_loss_stop_price", "limit_price": "stop_loss_limit_price"}
        ),
    }
    return payload | {name: leg for name, leg in legs.items() if leg}


def _decimals(intent: OrderIntent, fields: Mapping[str, str]) -> dict[str, str]:
    texts = {}
    for key, name in fields.items():
        value = getattr(intent, name)
        if value is None:
            continue
        try:
            texts[key] = decimal_text(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise UsageError(
                f"intent {intent.client_intent_id}: {name} is {value!r}; expected a finite number, or None."
            ) from error
    return texts


def _differences(intent: OrderIntent, order: BrokerOrder) -> str:
    """Say where a reply describes another order than the one sent ("" where it does not).

    ``BTCUSD`` and ``BTC/USD`` are one symbol: Alpaca takes both and answers the latter.
    """
    pairs = {
        "client_order_id": (intent.client_intent_id, order.client_order_id),
        "symbol": (intent.symbol.upper().replace("/", ""), order.symbol.upper().replace("/", "")),
        "side": (intent.side.lower(), order.side.lower()),
    }
    return ", ".join(
        f"{name} {theirs or 'absent'!r} instead of {ours!r}"
        for name, (ours, theirs) in pairs.items()
        if ours != theirs
    )


def parse_order(body: bytes) -> BrokerOrder:
    """Read an order; fields and statuses that are not known here are kept as they are.

    Raises ``ValueError``, saying what is wrong, where the body is not an order.
    """
    try:
        # Decimals stay text, be they sent as JSON strings or as JSON numbers.
        reply = json.loads(body, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not JSON") from error
    if type(reply) is not dict:
        raise ValueError("it is not a JSON object")
    return BrokerOrder(
        broker_order_id=_text(reply, "id"),
        client_order_id=_text(reply, "client_order_id"),
        order_status=_text(reply, "status"),
        symbol=_text(reply, "symbol", default=""),
        side=_text(reply, "side", default=""),
        filled_qty=_figure(reply, "filled_qty") or 0.0,
        filled_avg_price=_figure(reply, "filled_avg_price"),
        raw=reply,
    )


def _text(reply: Mapping[str, Any], field: str, *, default: str | None = None) -> str:
    value = reply.get(field)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or (not value and default is None):
        raise ValueError(f"its {field} is {_shown(value)}")
    return value


def _figure(reply: Mapping[str, Any], field: str) -> float | None:
    value = reply.get(field)
    if value is None:
        return None
    if not _DECIMAL.fullmatch(str(value)) or not math.isfinite(float(str(value))):
        raise ValueError(f"its {field} is {_shown(value)}")
    return float(value)


def _shown(value: object) -> str:
    return readable(repr(value).encode())


def refusal(status: int, body: bytes) -> BrokerRejected:
    """Read a 3xx or 4xx reply: the broker's words and code where there are any, and a known remedy."""
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        reply = None
    reply = reply if isinstance(reply, dict) else {}
    message, code = reply.get("message"), str(reply.get("code"))
    if isinstance(message, str) and message.strip():
        message = _one_line(message)
    else:
        message = f"HTTP {status}: {readable(body)}"
    number = int(code) if re.fullmatch(r"\d{1,9}", code, re.ASCII) else None
    remedy = _remedy(status, number)
    return BrokerRejected(
        f"{message.rstrip('.')}. {remedy}" if remedy else message, status=status, code=number
    )


def _remedy(status: int, code: int | None) -> str:
    if status < _REFUSED:
        return "Redirects are not followed, they would carry the keys elsewhere. Check ALPACA_TRADING_HOST."
    if status == HTTPStatus.UNAUTHORIZED or (status == HTTPStatus.FORBIDDEN and code is None):
        return "Check that ALPACA_API_KEY and ALPACA_SECRET_KEY are valid and belong to ALPACA_TRADING_HOST."
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "The request was turned away before it was looked at, so nothing came of it."
    return ""


def readable(body: bytes) -> str:
    """Shorten a reply of any kind to one line of plain text."""
    text = body[:8_000].decode("utf-8", "replace")
    if text.lstrip().startswith("<"):
        text = html.unescape(_MARKUP.sub(" ", text))
    return _one_line(text) or "an empty reply"


def _one_line(text: str) -> str:
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= SNIPPET_LENGTH else text[: SNIPPET_LENGTH - 1] + "…"


def _cause(error: Exception) -> str:
    reason = getattr(error.args[0], "reason", None) if error.args else None
    reason = error if reason is None else reason
    return _one_line(f"{type(reason).__name__}: {reason}")
