"""Replies of any kind, shortened to one line of plain text for messages."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from engine.brokers.account import shown_number

SNIPPET_LENGTH = 300

_LONGEST_READ = 8_000
_MARKUP = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->|</?[a-z!][^>]*>", re.IGNORECASE | re.DOTALL)
_ACCOUNT_NUMBER = re.compile(  # in JSON, in JSON within JSON, and in a page that shows either
    rb"""(account_number(?:\\?["']|&quot;|&\#34;|[\s:=\[])*+)(?!null\b)([\w-]+)""", re.IGNORECASE | re.VERBOSE
)


def shown(value: object) -> str:
    """Return a value as one line for a message."""
    return one_line(repr(value)[:_LONGEST_READ])


def readable(body: bytes, hide: Callable[[str], str] = str) -> str:
    """Return a reply of any kind as one short line of plain text, masked by ``hide`` before it is cut."""
    text = body[:_LONGEST_READ].decode("utf-8", "replace")
    if text.lstrip().startswith("<"):
        text = html.unescape(_MARKUP.sub(" ", text))
    return one_line(hide(text)) or "an empty reply"


def one_line(text: str) -> str:
    """Return a text as one short line without control characters."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= SNIPPET_LENGTH else text[: SNIPPET_LENGTH - 1] + "…"


def without_account_numbers(body: bytes) -> bytes:
    """Return a reply of any kind with shortened account numbers."""

    def shortened(match: re.Match[bytes]) -> bytes:
        return match[1] + shown_number(match[2].decode("ascii", "replace")).encode()

    return _ACCOUNT_NUMBER.sub(shortened, body)
