"""Checks of Alpaca's keys, before any request is sent; keys are never shown."""

from __future__ import annotations

import os
import re

from engine.errors import ConfigurationError


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
