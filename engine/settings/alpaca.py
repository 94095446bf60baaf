"""Checks of Alpaca's keys and host, before any request is sent; keys are never shown."""

from __future__ import annotations

import os
import re
from ipaddress import IPv4Network, ip_address

from engine.errors import ConfigurationError
from engine.settings.variables import PAPER_HOST
from engine.text.masking import looks_secret, shown_text

_HOST = re.compile(
    r"(?P<scheme>https?)://(?P<name>[a-z0-9-]+(\.[a-z0-9-]+)*|\[::1\])(:(?P<port>\d{1,5}))?/?",
    re.ASCII | re.IGNORECASE,
)
_HIGHEST_PORT = 65535
_LONGEST_SHOWN = 16  # of a text without a dot, which no host's name is


def checked_key(variable: str, given: str | None) -> str:
    """Return a key; None for ``given`` reads the environment variable. Raises ``ConfigurationError``."""
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
    """Return a trading host as ``scheme://name[:port]``, with https, or http on loopback.

    Raises ``ConfigurationError``.
    """
    match = _HOST.fullmatch(text.strip())
    if match is None or looks_secret(match["name"]) or not 0 < int(match["port"] or 1) <= _HIGHEST_PORT:
        raise ConfigurationError(
            f"ALPACA_TRADING_HOST is {_shown_host(text)}; expected scheme and name, without user, path or "
            f"query. Write {PAPER_HOST}, or unset it."
        )
    scheme = match["scheme"].lower()
    if scheme == "http" and not _is_loopback(match["name"].lower()):
        raise ConfigurationError(
            f"ALPACA_TRADING_HOST is {_shown_host(text)}; plain http would show the keys to everyone on the "
            f"way. Write https; http is for 127.0.0.1, [::1] and localhost."
        )
    return f"{scheme}://{match['name'].lower()}" + (f":{match['port']}" if match["port"] else "")


def _shown_host(text: str) -> str:
    """Return a host for an error message, without anything that may be a secret."""
    has_more = re.search("[@?#]", text) is not None
    is_named = "." in text or len(text.strip()) <= _LONGEST_SHOWN
    return shown_text(text) if is_named and not has_more else "not a host"


def _is_loopback(name: str) -> bool:
    if name in {"localhost", "[::1]"}:
        return True
    try:
        return ip_address(name) in IPv4Network("127.0.0.0/8")
    except ValueError:
        return False
