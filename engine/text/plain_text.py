"""Text that names something: what is seen of it is all of it, and it is written in one way only.

Limits, ids and positions go by names. A name that differs from another one only by what isn't seen, or by how
Unicode encodes the same letters, would have limits of its own.
"""

from __future__ import annotations

import unicodedata

from engine.text.printable import is_printable

VISIBLE = "visible text without control, zero-width or direction-changing characters"
NORMAL = "text in Unicode's normal form NFKC"
BLANKS = " \t\n\r\v\f"
"""What is trimmed off a name; any other blank in one is a character that isn't seen."""


def trimmed(text: str) -> str:
    """Return a text without the blanks at its ends."""
    return text.strip(BLANKS)


def is_visible(text: str) -> bool:
    """Return whether every character of a text is seen, as a character of its own or with the one before it.

    Not so: control and format characters, blanks other than the space, what Unicode ignores by default, and
    a combining mark or variation selector with nothing before it.
    """
    if text.isascii():
        return text.isprintable()
    return is_printable(text) and unicodedata.category(text[0])[0] != "M"


def is_normal(text: str) -> bool:
    """Return whether a text is written as NFKC writes it: no ligatures, full-width or decomposed letters."""
    return text.isascii() or unicodedata.is_normalized("NFKC", text)


def is_plain(text: str) -> bool:
    """Return whether a text is ``VISIBLE`` and ``NORMAL``; blanks at its ends are not looked at."""
    return is_visible(text) and is_normal(text)


def folded(text: str) -> str:
    """Return what is left of a name without case, without what isn't seen and without blanks at its ends.

    Two names with the same result look alike, or are spellings of one name. Idempotent.
    """
    if not (text.isascii() and text.isprintable()):
        letters = unicodedata.normalize("NFKC", text)
        seen = (" " if letter.isspace() else letter for letter in letters)
        text = "".join(letter for letter in seen if is_printable(letter))
    return " ".join(unicodedata.normalize("NFKC", text.casefold()).split())
