"""A column's name as Latin letters and as words.

``limitPrice``, ``LIMIT_PRICE`` and ``limit_price`` with a Cyrillic letter are the words limit and price.
"""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_MARKS = frozenset({"Mn", "Mc", "Me"})
_GREEK_WORD = re.compile("[\u0370-\u03ff\u1f00-\u1fff]{3,}")
_LOOK_ALIKES = str.maketrans(
    {
        **dict(
            zip(
                "авсԁеғһіјкӏмоԛрѕтуѵԝхзαβϲεηικνορτυχωɑıɡøłđ",
                "abcdefhijklmoqpstyvwxzabcenikvoptuxwaigold",
                strict=True,
            )
        ),
        "ß": "ss",
        "æ": "ae",
        "œ": "oe",
    }
)
"""Letters that look like a Latin one in lower case: Cyrillic, Greek, and others."""


def plain(name: str) -> str:
    """Return the letters and digits of a name in lower case, those that look like Latin letters as these."""
    return "".join(character for character in latin(name).lower() if character.isalnum())


def words(name: str) -> list[str]:
    """Return the words and the numbers of a name in lower case, divided by separators or by capitals."""
    return [word.lower() for word in _WORD.findall(latin(name))]


def latin(name: str) -> str:
    """Return a name in ASCII: look-alikes and compatible forms replaced, other characters left out."""
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(filter(str.isascii, map(_as_latin, decomposed)))


def in_another_script(name: str) -> bool:
    """Return whether a name has letters in which no order term is recognised.

    These are all but Latin ones and those that look like them; one or two Greek letters are a symbol.
    """
    letters = [
        character
        for character in unicodedata.normalize("NFKD", name)
        if unicodedata.category(character) not in _MARKS and character.isalpha()
    ]
    other = [one for one in letters if not unicodedata.name(one, "").startswith("LATIN")]
    if all(_as_latin(one).isascii() for one in other):
        return False
    greek = [one for one in other if _is_greek(one)]
    return len(greek) < len(other) or _GREEK_WORD.search(name) is not None


def _is_greek(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith("GREEK")


def _as_latin(character: str) -> str:
    if character.isascii():
        return character
    small = character.lower().translate(_LOOK_ALIKES)
    return small.upper() if character.isupper() else small
