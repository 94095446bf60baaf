"""Ids of orders and executions, drawn from the seed."""

from __future__ import annotations

import re
from random import Random

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_ALL_BUT_VERSION_AND_VARIANT = ~((0xF << 76) | (0x3 << 62))
_FOUR = (0x4 << 76) | (0x2 << 62)


class Ids:
    """A series of UUIDs (version 4) determined by a seed."""

    def __init__(self, seed: str) -> None:
        self._chance = Random(seed)

    def new(self) -> str:
        """Return the next UUID."""
        drawn = self._chance.getrandbits(128) & _ALL_BUT_VERSION_AND_VARIANT | _FOUR
        digits = drawn.to_bytes(16, "big").hex()
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def is_id(text: str) -> bool:
    """Return whether a text has the form of an id."""
    return _UUID.fullmatch(text) is not None
