"""Alpaca's refusals and reply headers, and the causes of missing replies."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import urllib3

from engine.brokers.alpaca.fields import json_object
from engine.brokers.alpaca.text import one_line, readable
from engine.errors import BrokerRejected, RateLimited
from engine.waiting.retry_policy import AFTER_RESET_S

Headers = Mapping[str, str]

_NO_CONNECTION = (
    urllib3.exceptions.NewConnectionError,  # refused, unreachable, no such name
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProxyError,  # raised only before the connection through the proxy is established
)
_OF_A_CONNECTION = re.compile(r"^(?:<[^>]*>|\w+\(host=[^()]*\)): ")
_NUMBER = re.compile(r"\[Errno -?\d+\] ")
_WORD = re.compile(r"([A-Z][a-z]+)")
_REQUEST_ID_LENGTH = 64
_SECONDS = re.compile(r"\d{1,10}", re.ASCII)
_MILLISECONDS = re.compile(r"\d{13}", re.ASCII)
"""Since 1970; until the year 2286, seconds have three digits fewer."""


_UNDECIDED = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, 499})
"""Statuses 4xx after which the request may still be processed (499: the client closed the connection to a
gateway). Source: RFC 9110 and RFC 8470; 499 is nginx's."""

NOT_IN_PLAN = "subscription does not permit"
"""What Alpaca says of data that the plan of the keys lacks; the keys themselves are valid."""

_KEYS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


def is_refusal(method: str, status: int, body: bytes) -> bool:
    """Return whether a reply proves that the request was refused and changed nothing.

    Redirects are never followed, and a 429 is sent before the request is processed. Any other 4xx counts only
    with Alpaca's own body, a JSON object with a ``message``: behind a gateway's page or a partial reply, the
    request may have been processed. For a GET, the statuses of refused keys are enough.
    """
    if status < HTTPStatus.BAD_REQUEST or status == HTTPStatus.TOO_MANY_REQUESTS:
        return status >= HTTPStatus.MULTIPLE_CHOICES
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _UNDECIDED:
        return False
    return (method == "GET" and status in _KEYS) or _own_message(body) is not None


def is_duplicate_id(error: BrokerRejected) -> bool:
    """Return whether an order was refused because another order has its ``client_order_id``.

    Source: Alpaca answers 422 with "client_order_id must be unique".
    """
    return error.status == HTTPStatus.UNPROCESSABLE_ENTITY and "must be unique" in error.message


def _own_message(body: bytes) -> str | None:
    try:
        message = json_object(body).get("message")
    except ValueError:
        return None
    return message if isinstance(message, str) and message.strip() else None


def refusal(
    status: int,
    body: bytes,
    headers: Headers | None = None,
    hide: Callable[[str], str] = str,
    *,
    host_setting: str = "ALPACA_TRADING_HOST",
) -> BrokerRejected:
    """Return the error of a 3xx or 4xx reply: the broker's message and code, and a remedy where one is known.

    ``hide`` masks every text before it is shortened and shown. ``host_setting`` names the host in remedies.
    """
    try:
        reply = json_object(body)
    except ValueError:
        reply = {}
    message, code = reply.get("message"), str(reply.get("code"))
    if isinstance(message, str) and message.strip():
        message = one_line(hide(message))
    else:
        message = f"HTTP {status}: {readable(body, hide)}"
    number = int(code) if re.fullmatch(r"\d{1,9}", code, re.ASCII) else None
    remedy = "" if NOT_IN_PLAN in message.lower() else _remedy(status, number, host_setting)
    kind = RateLimited if status == HTTPStatus.TOO_MANY_REQUESTS else BrokerRejected
    refused = kind(
        f"{message.rstrip('.')}. {remedy}" if remedy else message,
        status=status,
        code=number,
        details=_details(reply, hide),
        request_id=request_id(headers or {}, hide),
    )
    if isinstance(refused, RateLimited):
        refused.wait_s = wait_asked_for(headers or {})
    return refused


def _details(reply: Mapping[str, Any], hide: Callable[[str], str]) -> dict[str, Any]:
    return {
        one_line(hide(name)): one_line(hide(value)) if isinstance(value, str) else value
        for name, value in reply.items()
        if name not in {"code", "message"}
    }


def _remedy(status: int, code: int | None, host_setting: str) -> str:
    if status < HTTPStatus.BAD_REQUEST:
        return f"Redirects are not followed, they would carry the keys elsewhere. Check {host_setting}."
    if status == HTTPStatus.UNAUTHORIZED or (status == HTTPStatus.FORBIDDEN and code is None):
        return f"Check that ALPACA_API_KEY and ALPACA_SECRET_KEY are valid and belong to {host_setting}."
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "The rate limit turned this request away before it was processed; others are not affected."
    return ""


def request_id(headers: Headers, hide: Callable[[str], str] = str) -> str:
    """Return Alpaca's id of the request, for its support; "" where there is none."""
    return one_line(hide(headers.get("X-Request-ID", "")))[:_REQUEST_ID_LENGTH]


def replied_at(headers: Headers) -> datetime | None:
    """Return the date of a reply, UTC, whole seconds; None where there is none."""
    try:
        timestamp = parsedate_to_datetime(headers.get("Date", ""))
        return None if timestamp.utcoffset() is None else timestamp.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def wait_asked_for(headers: Headers) -> float:
    """Return the seconds that a 429 asks to wait, 0 where it doesn't say.

    The longer of ``Retry-After`` (seconds or a date) and one second more than ``X-RateLimit-Reset`` (since
    1970), by the reply's own date. Source: Alpaca's support article on the usage limit of API calls.
    """
    reset_s = rate_limit_reset_s(headers)
    until_reset_s = 0.0 if reset_s is None else reset_s - _now_s(headers) + AFTER_RESET_S
    return max(retry_after_s(headers), until_reset_s)


def retry_after_s(headers: Headers) -> float:
    """Return the seconds that ``Retry-After`` asks for, as a number or a date; 0 where it asks for none."""
    after = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(after):
        return float(after)
    until = replied_at({"Date": after})
    return 0.0 if until is None else max(0.0, until.timestamp() - _now_s(headers))


def rate_limit_reset_s(headers: Headers) -> int | None:
    """Return when the window of a rate limit ends, in whole seconds since 1970; None where it isn't given.

    Some gateways send milliseconds, which are recognised by their length.
    """
    reset = headers.get("X-RateLimit-Reset", "").strip()
    if _MILLISECONDS.fullmatch(reset):
        return int(reset) // 1000
    return int(reset) if _SECONDS.fullmatch(reset) else None


def _now_s(headers: Headers) -> float:
    """Return the date of a reply, or else the time by our clock."""
    now = replied_at(headers)
    return time.time() if now is None else now.timestamp()


def cause(error: Exception, hide: Callable[[str], str] = str) -> str:
    """Return in one line why there was no reply, without class names and urllib3's prefixes."""
    return one_line(hide(_in_words(_reason(error))))


def _in_words(reason: BaseException) -> str:
    first, second = (*reason.args, None, None)[:2]
    text = str(second if isinstance(second, str) and not isinstance(first, int | str) else reason)
    if isinstance(second, BaseException):  # a summary and its cause
        summary, caused_by = str(first).rstrip("."), _in_words(second)
        text = summary if caused_by in summary else f"{summary}: {caused_by}"
    text = _NUMBER.sub("", _OF_A_CONNECTION.sub("", text)).rstrip(". ")
    return text or _WORD.sub(r" \1", type(reason).__name__).strip().lower()


def never_left(error: Exception) -> bool:
    """Return whether a request was certainly not sent, because there was no connection.

    A TLS connection may break after the request was sent; of TLS errors, only an untrusted certificate
    certainly comes before.
    """
    reason = _reason(error)
    if isinstance(reason, urllib3.exceptions.SSLError) and reason.args:
        return isinstance(reason.args[0], ssl.SSLCertVerificationError)
    return isinstance(reason, _NO_CONNECTION)


def _reason(error: Exception) -> BaseException:
    wrapped = error.args[0] if error.args else None
    reason = getattr(wrapped, "reason", None)
    if isinstance(reason, BaseException):
        return reason
    return wrapped if isinstance(wrapped, urllib3.exceptions.HTTPError) else error
