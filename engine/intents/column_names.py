"""What a column's name says: a field, an order term under another name, an index, or metadata.

An order term must never become metadata: a ``type`` of LIMIT that nothing reads is a market order. So a name
that isn't a field's, but would change the order were it honoured, is refused with the field that was probably
meant. Such are the names in ``order_terms``; a field in characters that look like its own (full-width,
accented, Cyrillic); a field with something around it (``order.qty``, ``limit_price_usd``, ``qty_x`` of a
merge); and a misspelt field, one letter off from six letters on, two from ten.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from engine.field_names import field_named, folded
from engine.intents.order_terms import FREE, SYNONYMS, WITHOUT_FIELD
from engine.printable import shown
from engine.schema import FIELD_BY_NAME

_LONGEST = 64
"""Characters of the longest name that is looked at; longer ones are no order terms."""

_INDEX = re.compile(r"unnamed: ?\d+([_.].*)?|__index_level_\d+__|index_level_\d+", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_IN_FRONT = frozenset({"order", "ord", "intent", "my"})
_BEHIND = frozenset({"usd", "eur", "gbp", "dollars", "x", "y", "left", "right", "old", "new"})
_ONE_LETTER_OFF, _TWO_LETTERS_OFF = 6, 10

_LOOK_ALIKES = str.maketrans(
    "авсԁеғһіјкӏмоԛрѕтуѵԝхзαβϲεηικνορτυχωɑıɡø",
    "abcdefhijklmoqpstyvwxzabcenikvoptuxwaigo",
)
"""Letters that look like a Latin one in lower case: Cyrillic, Greek, and others."""


@dataclass(frozen=True)
class OrderTerm:
    """An order term under a name that is no field's. ``meant`` is a field, a choice of fields, or nothing."""

    name: str
    meant: str

    @property
    def rule(self) -> str:
        """What was expected, as the end of a sentence."""
        return "every order term under the name of its field"

    @property
    def remedy(self) -> str:
        """What to do, in sentences."""
        free = "keep it in a metadata object if it is for information only"
        if not self.meant:
            return f"The engine has no such order term: leave it out, or {free}."
        return f"Did you mean {self.meant}? Rename it, or {free}."


def is_index_name(name: str) -> bool:
    """Return whether a column is the index of a pandas frame that was written without the index's name."""
    return _INDEX.fullmatch(name.strip()) is not None


@lru_cache(maxsize=10_000)
def order_term(name: str) -> OrderTerm | None:
    """Return what a column that is no field would say of the order, None where it is metadata."""
    if len(name) > _LONGEST or field_named(name) or is_index_name(name):
        return None
    plain = _plain(name)
    if plain in _FREE:
        return None
    meant = _MEANT.get(plain)
    if meant is None and "." in name and _plain(name.partition(".")[0]) != "metadata":
        inner = name.rpartition(".")[2]  # as json_normalize names what stood in an object
        meant = field_named(inner) or _MEANT.get(_plain(inner))
    if meant is None:
        meant = next((said for words in _without_decoration(name) if (said := _MEANT.get(words))), None)
    if meant is None:
        meant = _misspelt(plain)
    return None if meant is None else OrderTerm(shown_name(name), meant)


def shown_name(name: str) -> str:
    """Return a column's name as messages show it: in quotes, and shortened, unless it is plain."""
    return name if re.fullmatch(r"[!-~]([ -~]{0,62}[!-~])?", name) else shown(name)


def _plain(name: str) -> str:
    """Return the letters and digits of a name, those that look like Latin letters as these."""
    decomposed = unicodedata.normalize("NFKD", name).lower().translate(_LOOK_ALIKES)
    return "".join(character for character in decomposed if character.isascii() and character.isalnum())


def _table() -> dict[str, str]:
    meant = dict(_SPELT)
    for field, names in SYNONYMS.items():
        meant.update({_plain(name): field for name in names.split()})
    meant.update({_plain(name): "" for name in WITHOUT_FIELD.split()})
    return meant


_SPELT = {folded(field): field for field in FIELD_BY_NAME if field != "metadata"}
_MEANT = _table()
_FREE = frozenset(map(_plain, FREE.split()))


def _without_decoration(name: str) -> list[str]:
    """Return a name less the words around it that change nothing, and less a number behind it."""
    words = [word.lower() for word in _WORD.findall(name)]
    found = []
    if len(words) > 1 and words[0] in _IN_FRONT:
        found.append("".join(words[1:]))
    if len(words) > 1 and (words[-1] in _BEHIND or words[-1].isdigit()):
        found.append("".join(words[:-1]))
    return found


def _misspelt(plain: str) -> str | None:
    """Return the field that a name of letters alone is one or two of them away from."""
    if not plain.isalpha():
        return None
    for spelt, field in _SPELT.items():
        allowed = (len(spelt) >= _ONE_LETTER_OFF) + (len(spelt) >= _TWO_LETTERS_OFF)
        near = abs(len(spelt) - len(plain)) <= allowed and plain[:1] == spelt[0]
        if allowed and near and _distance(plain, spelt) <= allowed:
            return field
    return None


def _distance(one: str, other: str) -> int:
    """Return how many letters have to be changed, put in, left out or exchanged with their neighbour."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        two_before, before, row = before, row, [i]
        for j, wanted in enumerate(other, start=1):
            steps = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                steps = min(steps, two_before[j - 2] + 1)
            row.append(steps)
    return row[-1]
