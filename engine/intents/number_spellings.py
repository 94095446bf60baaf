"""Numbers as people and spreadsheets write them (``1,000``, ``1.000,50``, ``$40``): refused, with the digits.

They are not read, since ``1.000`` may be a thousand or one.
"""

from __future__ import annotations

import re
import unicodedata

_GROUPED = re.compile(r"\d{1,3}(?:([,'\u2019_ \u00a0\u202f])\d{3})(?:\1\d{3})*(?:\.\d+)?")
_GROUPED_BY_DOTS = re.compile(r"\d{1,3}(?:\.\d{3})+,\d+")
_DECIMAL_COMMA = re.compile(r"\d+,\d+")
_BARE = re.compile(r"\d+(?:\.\d+)?")
_AROUND = re.compile(r"([+-]?)\s*(?:USD|US\$|[$€£¥])?\s*([+-]?)(.*?)\s*(?:USD|shares|[$€£¥])?", re.IGNORECASE)
_LONGEST = 40


def digits_of(text: str) -> str | None:
    """Return the digits, with a decimal point, that a text most likely means; None where that isn't clear."""
    if len(text) > _LONGEST:
        return None
    around = _AROUND.fullmatch("".join(map(_in_ascii, text.strip())))
    if around is None or (around[1] and around[2]):
        return None
    number = around[3]
    if _GROUPED.fullmatch(number):
        digits = re.sub(r"[^\d.]", "", number)
    elif _GROUPED_BY_DOTS.fullmatch(number):
        digits = number.replace(".", "").replace(",", ".")
    elif _DECIMAL_COMMA.fullmatch(number):
        digits = number.replace(",", ".")
    elif _BARE.fullmatch(number):
        digits = number
    else:
        return None
    return ("-" if "-" in around[1] + around[2] else "") + digits


def _in_ascii(character: str) -> str:
    """Return a digit of any script (full-width, Arabic) as one of ASCII, all else as it is."""
    digit = unicodedata.decimal(character, None)
    return character if digit is None else str(digit)
