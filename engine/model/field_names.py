"""The field of an intent that a column name stands for.

Names are compared without case, blanks, ``_`` and ``-``: ``Limit_Price``, ``limitPrice`` and ``LIMIT PRICE``
are ``limit_price``. Only ASCII is folded: a Cyrillic letter doesn't equal a Latin one.
"""

from __future__ import annotations

import re
from functools import lru_cache

from engine.model.schema import FIELD_BY_NAME

_LONGEST = 64
"""The longest name that is compared; every field's is less than half as long."""

_NOT_COUNTED = re.compile(r"[\s_-]+")


def folded(name: str) -> str:
    """Return a name without case, blanks, ``_`` and ``-``."""
    return _NOT_COUNTED.sub("", name).casefold()


_FIELD_BY_FOLDED = {folded(name): name for name in FIELD_BY_NAME}


@lru_cache(maxsize=10_000)
def field_named(name: str) -> str | None:
    """Return the field that a column name stands for, or None."""
    if name in FIELD_BY_NAME:
        return name
    return _FIELD_BY_FOLDED.get(folded(name)) if name.isascii() and len(name) <= _LONGEST else None
