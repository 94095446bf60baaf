"""Alpaca's hosts, and the check of one before any request is sent."""

from __future__ import annotations

import re

from engine.errors import ConfigurationError
from engine.text.masking import looks_secret, shown_text

PAPER_HOST = "https://paper-api.alpaca.markets"
DATA_HOST = "https://data.alpaca.markets"
"""The host of Alpaca's market data, for paper and live accounts alike."""

_HOST = re.compile(
    r"(?P<scheme>https?)://(?P<name>[a-z0-9-]+(\.[a-z0-9-]+)*|\[::1\])(:(?P<port>\d{1,5}))?/?",
    re.ASCII | re.IGNORECASE,
)
_EXAMPLES = {"ALPACA_TRADING_HOST": PAPER_HOST, "ALPACA_DATA_HOST": DATA_HOST}
_HIGHEST_PORT = 65535
_LONGEST_SHOWN = 16  # of a text without a dot, which no host's name is


def as_data_host(name: str, text: str) -> str:
    """Return the host of market data in a setting."""
    return checked_host(text, setting=name)


def checked_host(text: str, *, setting: str = "ALPACA_TRADING_HOST") -> str:
    """Return a host of Alpaca's as ``scheme://name[:port]``, with https, or http on loopback.

    ``setting`` names it in messages. Raises ``ConfigurationError``.
    """
    match = _HOST.fullmatch(text.strip())
    if match is None or looks_secret(match["name"]) or not 0 < int(match["port"] or 1) <= _HIGHEST_PORT:
        raise ConfigurationError(
            f"{setting} is {_shown_host(text)}; expected scheme and name, without user, path or "
            f"query. Write {_EXAMPLES[setting]}, or unset it."
        )
    scheme = match["scheme"].lower()
    if scheme == "http" and not is_loopback(match["name"].lower()):
        raise ConfigurationError(
            f"{setting} is {_shown_host(text)}; plain http would show the keys to everyone on the "
            f"way. Write https; http is for 127.0.0.1, [::1] and localhost."
        )
    return f"{scheme}://{match['name'].lower()}" + (f":{match['port']}" if match["port"] else "")


def _shown_host(text: str) -> str:
    """Return a host for an error message, without anything that may be a secret."""
    has_more = re.search("[@?#]", text) is not None
    is_named = "." in text or len(text.strip()) <= _LONGEST_SHOWN
    return shown_text(text) if is_named and not has_more else "not a host"


def is_loopback(name: str) -> bool:
    """Return whether a host's name is of this machine alone."""
    if name in {"localhost", "[::1]", "::1"}:
        return True
    from ipaddress import IPv4Network, ip_address

    try:
        return ip_address(name) in IPv4Network("127.0.0.0/8")
    except ValueError:
        return False
