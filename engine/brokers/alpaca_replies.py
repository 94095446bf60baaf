"""What can be said of any reply of Alpaca's: its fields, its refusals, and a line of it for a message."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from engine.brokers.account import shown_number
from engine.errors import BrokerRejected

SNIPPET_LENGTH = 300

_MARKUP = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->|</?[a-z!][^>]*>", re.IGNORECASE | re.DOTALL)
_ACCOUNT_NUMBER = re.compile(  # in JSON, in JSON within JSON, and in a page that shows either
    rb"""(account_number(?:\\?["']|&quot;|&\#34;|[\s:=\[])*+)(?!null\b)([\w-]+)""", re.IGNORECASE | re.VERBOSE
)


def json_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object, its decimals as text, be they sent as JSON strings or as JSON numbers.

    Raises ``ValueError``, saying what is wrong.
    """
    try:
        reply = json.loads(body, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not JSON") from error
    if type(reply) is not dict:
        raise ValueError("it is not a JSON object")
    return reply


def text_in(reply: Mapping[str, Any], field: str, *, default: str | None = None) -> str:
    """Give a text in a reply; ``default`` where it is absent or null, and may be empty only with one.

    Raises ``ValueError``, saying what is there instead.
    """
    value = reply.get(field)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or (not value and default is None):
        raise ValueError(f"its {field} is {shown(value)}")
    return value


def shown(value: object) -> str:
    """Write a value as a line for a message."""
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
        message = one_line(message)
    else:
        message = f"HTTP {status}: {readable(body)}"
    number = int(code) if re.fullmatch(r"\d{1,9}", code, re.ASCII) else None
    remedy = _remedy(status, number)
    return BrokerRejected(
        f"{message.rstrip('.')}. {remedy}" if remedy else message, status=status, code=number
    )


def _remedy(status: int, code: int | None) -> str:
    if status < HTTPStatus.BAD_REQUEST:
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
    return one_line(text) or "an empty reply"


def one_line(text: str) -> str:
    """Shorten a text to one line without control characters."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= SNIPPET_LENGTH else text[: SNIPPET_LENGTH - 1] + "…"


def cause(error: Exception) -> str:
    """Say in one line why there was no answer, without what urllib3 wraps around it."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    reason = error if reason is None else reason
    return one_line(f"{type(reason).__name__}: {reason}")


def without_account_numbers(body: bytes) -> bytes:
    """Shorten the account numbers in a reply of any kind, before any of it is shown."""

    def shortened(match: re.Match[bytes]) -> bytes:
        return match[1] + shown_number(match[2].decode("ascii", "replace")).encode()

    return _ACCOUNT_NUMBER.sub(shortened, body)
