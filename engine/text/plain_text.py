"""Names: every character is visible, and each name has exactly one spelling.

Limits, ids and positions are looked up by name. Two names that differ only in invisible characters, or in how
Unicode encodes the same letters, would have separate limits.
"""

from __future__ import annotations

import unicodedata

from engine.text.printable import is_printable

VISIBLE = "visible text without control, zero-width or direction-changing characters"
NORMAL = "text in Unicode's normal form NFKC"
BLANKS = " \t\n\r\v\f"
"""The blanks that are trimmed off a name; any other blank in it counts as an invisible character."""


def trimmed(text: str) -> str:
    """Return a text without the blanks at its ends."""
    return text.strip(BLANKS)


def is_visible(text: str) -> bool:
    """Return whether every character of a text is visible, by itself or combined with the one before it.

    Invisible are control and format characters, blanks other than the space, characters that Unicode ignores
    by default, and a combining mark or variation selector at the beginning.
    """
    if text.isascii():
        return text.isprintable()
    return is_printable(text) and unicodedata.category(text[0])[0] != "M"


def is_normal(text: str) -> bool:
    """Return whether a text is in normal form NFKC: no ligatures, full-width or decomposed letters."""
    return text.isascii() or unicodedata.is_normalized("NFKC", text)


def is_plain(text: str) -> bool:
    """Return whether a text is ``VISIBLE`` and ``NORMAL``; spaces at its ends are allowed."""
    return is_visible(text) and is_normal(text)


def folded(text: str) -> str:
    """Return a name without case, invisible characters and blanks at its ends; idempotent.

    Two names with the same result look alike, or are spellings of one name.
    """
    if not (text.isascii() and text.isprintable()):
        letters = unicodedata.normalize("NFKC", text)
        seen = (" " if letter.isspace() else letter for letter in letters)
        text = "".join(letter for letter in seen if is_printable(letter))
    return " ".join(unicodedata.normalize("NFKC", text.casefold()).split())
