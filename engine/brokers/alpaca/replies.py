"""What a reply of Alpaca's says beside its content, why it refuses, and what a missing reply leaves open."""

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
from engine.brokers.trading import AFTER_RESET_S
from engine.errors import BrokerRejected, RateLimited

Headers = Mapping[str, str]

_NO_CONNECTION = (
    urllib3.exceptions.NewConnectionError,  # refused, unreachable, no such name
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProxyError,  # raised only while there is no connection through the proxy yet
)
_OF_A_CONNECTION = re.compile(r"^(?:<[^>]*>|\w+\(host=[^()]*\)): ")
_NUMBER = re.compile(r"\[Errno -?\d+\] ")
_WORD = re.compile(r"([A-Z][a-z]+)")
_REQUEST_ID_LENGTH = 64
_SECONDS = re.compile(r"\d{1,10}", re.ASCII)
_MILLISECONDS = re.compile(r"\d{13}", re.ASCII)
"""Since 1970: the seconds have three digits less until the year 2286."""


_UNDECIDED = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, 499})
"""Statuses of the 4xx family that leave open whether the request is being worked on (499: a gateway whose
client went away). Source: RFC 9110 and RFC 8470; 499 is nginx's."""

_KEYS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


def is_refusal(method: str, status: int, body: bytes) -> bool:
    """Return whether a reply says for certain that the request was refused and changed nothing.

    Redirects are never followed, and a 429 was turned away unseen. Any other 4xx counts only as Alpaca's own
    word, a JSON object with a ``message``: a gateway's page or half a reply may hide a request that was
    carried out. Of keys that are refused a GET believes the status alone.
    """
    if status < HTTPStatus.BAD_REQUEST or status == HTTPStatus.TOO_MANY_REQUESTS:
        return status >= HTTPStatus.MULTIPLE_CHOICES
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _UNDECIDED:
        return False
    return (method == "GET" and status in _KEYS) or _own_message(body) is not None


def is_duplicate_id(error: BrokerRejected) -> bool:
    """Return whether an order was refused because another one has its ``client_order_id``.

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
    status: int, body: bytes, headers: Headers | None = None, hide: Callable[[str], str] = str
) -> BrokerRejected:
    """Read a 3xx or 4xx reply: the broker's words and code where there are any, and a known remedy.

    ``hide`` sees every text before it is shortened and shown.
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
    remedy = _remedy(status, number)
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


def _remedy(status: int, code: int | None) -> str:
    if status < HTTPStatus.BAD_REQUEST:
        return "Redirects are not followed, they would carry the keys elsewhere. Check ALPACA_TRADING_HOST."
    if status == HTTPStatus.UNAUTHORIZED or (status == HTTPStatus.FORBIDDEN and code is None):
        return "Check that ALPACA_API_KEY and ALPACA_SECRET_KEY are valid and belong to ALPACA_TRADING_HOST."
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "The rate limit turned this one request away before it was looked at; others stand."
    return ""


def request_id(headers: Headers, hide: Callable[[str], str] = str) -> str:
    """Give what Alpaca calls the request, for its support to find it again; "" where it doesn't say."""
    return one_line(hide(headers.get("X-Request-ID", "")))[:_REQUEST_ID_LENGTH]


def replied_at(headers: Headers) -> datetime | None:
    """Give the moment at which a reply was made, UTC, whole seconds; None where it doesn't say."""
    try:
        timestamp = parsedate_to_datetime(headers.get("Date", ""))
        return None if timestamp.utcoffset() is None else timestamp.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def wait_asked_for(headers: Headers) -> float:
    """Return the seconds for which a 429 asks to be left alone, 0 where it doesn't say.

    ``Retry-After`` (seconds or a date) and one second more than ``X-RateLimit-Reset`` (since 1970),
    by the clock that the reply itself shows. Source: Alpaca's support article on
    the usage limit of API calls.
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

    Some gateways give milliseconds, which no time in seconds can be confused with.
    """
    reset = headers.get("X-RateLimit-Reset", "").strip()
    if _MILLISECONDS.fullmatch(reset):
        return int(reset) // 1000
    return int(reset) if _SECONDS.fullmatch(reset) else None


def _now_s(headers: Headers) -> float:
    """Return the time by the clock that a reply shows, or else by ours."""
    now = replied_at(headers)
    return time.time() if now is None else now.timestamp()


def cause(error: Exception, hide: Callable[[str], str] = str) -> str:
    """Return in one line why there was no answer, without the names of classes and what urllib3 adds."""
    return one_line(hide(_in_words(_reason(error))))


def _in_words(reason: BaseException) -> str:
    first, second = (*reason.args, None, None)[:2]
    text = str(second if isinstance(second, str) and not isinstance(first, int | str) else reason)
    if isinstance(second, BaseException):  # a summary, and what caused it
        summary, caused_by = str(first).rstrip("."), _in_words(second)
        text = summary if caused_by in summary else f"{summary}: {caused_by}"
    text = _NUMBER.sub("", _OF_A_CONNECTION.sub("", text)).rstrip(". ")
    return text or _WORD.sub(r" \1", type(reason).__name__).strip().lower()


def never_left(error: Exception) -> bool:
    """Tell whether a request certainly never left, there being no connection to send it on.

    A broken TLS connection may break after the request went out; only a certificate that is not trusted
    is certain to have come before.
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
