"""Replies of any kind as a line for a message: of plain text, and short."""

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
    """Write a value as a line for a message."""
    return one_line(repr(value)[:_LONGEST_READ])


def readable(body: bytes, hide: Callable[[str], str] = str) -> str:
    """Shorten a reply of any kind to one line of plain text; ``hide`` sees all that may be shown of it."""
    text = body[:_LONGEST_READ].decode("utf-8", "replace")
    if text.lstrip().startswith("<"):
        text = html.unescape(_MARKUP.sub(" ", text))
    return one_line(hide(text)) or "an empty reply"


def one_line(text: str) -> str:
    """Shorten a text to one line without control characters."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= SNIPPET_LENGTH else text[: SNIPPET_LENGTH - 1] + "…"


def without_account_numbers(body: bytes) -> bytes:
    """Shorten the account numbers in a reply of any kind, before any of it is shown."""

    def shortened(match: re.Match[bytes]) -> bytes:
        return match[1] + shown_number(match[2].decode("ascii", "replace")).encode()

    return _ACCOUNT_NUMBER.sub(shortened, body)
