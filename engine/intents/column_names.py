"""Meaning of a column's name: a field, an order term under another name, an index, or metadata.

An order term must never become metadata: a ``type`` of LIMIT that nothing reads is a market order. So a name
that isn't a field's, but means something that would change the order, is refused with the field that was
probably meant. Such are the names in ``order_terms``; a field in characters that look like its own
(full-width, accented, Cyrillic); a field with something around it (``order.qty``, ``limit_price_usd``,
``qty_x`` of a merge); and a misspelt field, one letter off from six letters on, two from ten.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache

from engine.intents.name_words import in_another_script, plain, words
from engine.intents.order_terms import (
    ABOUT_A_TERM,
    BEHIND,
    CURRENCY,
    DOLLARS,
    FREE,
    IN_FRONT,
    PHRASES,
    SAME_WORD,
    SYNONYMS,
    WITHOUT_FIELD,
)
from engine.intents.translated_terms import TRANSLATED
from engine.model.field_names import field_named, folded
from engine.model.schema import FIELD_BY_NAME
from engine.text.printable import shown

_LONGEST = 64
"""Characters of the longest name that may be a term; longer ones are searched for terms."""
_LOOKED_AT = 1_500
"""Characters of a name that are examined; the ledger keeps no longer ones."""

_INDEX = re.compile(r"unnamed: ?\d+([_.].*)?|__index_level_\d+__|index_level_\d+", re.IGNORECASE)
_ONE_LETTER_OFF, _TWO_LETTERS_OFF = 6, 10
_SYNONYM_ONE_LETTER_OFF = 7
_OTHER_SCRIPT = "Latin letters"


@dataclass(frozen=True)
class OrderTerm:
    """An order term under a name that is not a field's. ``meant``: a field, a choice of fields, or "".

    ``usual``: values that change nothing, in lower case; a row with one of them is accepted.
    """

    name: str
    meant: str
    usual: frozenset[str] = frozenset()

    def is_said_by(self, value: object) -> bool:
        """Return whether a value changes the order."""
        return not self.usual or str(value).strip().lower() not in self.usual

    @property
    def rule(self) -> str:
        """Return what was expected, as the end of a sentence."""
        if self.meant == _OTHER_SCRIPT:
            return "names in Latin letters, since an order term in other ones would not be recognised"
        return "every order term under the name of its field"

    @property
    def remedy(self) -> str:
        """Return the remedy, as sentences."""
        free = "keep it in a metadata object if it is for information only"
        if self.meant == _OTHER_SCRIPT:
            return f"Rename it, or {free}."
        if not self.meant:
            return f"The engine has no such order term: leave it out, or {free}."
        return f"Did you mean {self.meant}? Rename it, or {free}."


def is_index_name(name: str) -> bool:
    """Return whether a column is the index of a pandas frame that was written without the index's name."""
    return _INDEX.fullmatch(name.strip()) is not None


@lru_cache(maxsize=10_000)
def order_term(name: str) -> OrderTerm | None:
    """Return the order term that a column without a field means, None where it is metadata."""
    if field_named(name) or is_index_name(name):
        return None
    meant = _meant(name[:_LOOKED_AT])
    if meant is None and plain(name) in _CURRENCY:
        return OrderTerm(shown_name(name), "", _DOLLARS)
    return None if meant is None else OrderTerm(shown_name(name), meant)


def _meant(name: str) -> str | None:
    """Return the field, or the text for it, that a name means; "" for a term without a field."""
    spelt = plain(name)
    if spelt in _FREE:
        return None
    is_within_metadata = "." in name and plain(name.partition(".")[0]) == "metadata"
    meant = None if len(name) > _LONGEST else _MEANT.get(spelt)
    if meant is None and "." in name and not is_within_metadata:
        inner = name.rpartition(".")[2]  # the form of json_normalize for values of an object
        meant = field_named(inner) or _MEANT.get(plain(inner))
    if meant is None and len(name) <= _LONGEST:
        meant = next((said for said in map(_MEANT.get, _without_decoration(name)) if said is not None), None)
    if meant is None and not is_within_metadata:
        meant = _phrase_in(name)
    if meant is None and len(name) <= _LONGEST:
        meant = _misspelt(spelt)
    if meant is None and in_another_script(name):
        meant = _OTHER_SCRIPT
    return meant


def shown_name(name: str) -> str:
    """Return a column's name as messages show it: in quotes, and shortened, unless it is plain."""
    return name if re.fullmatch(r"[!-~]([ -~]{0,62}[!-~])?", name) else shown(name)


def _table() -> dict[str, str]:
    meant = dict(_SPELT)
    for names_by_field in (TRANSLATED, SYNONYMS):
        for field, names in names_by_field.items():
            meant.update({plain(name): field for name in names.split()})
    meant.update({plain(name): "" for name in WITHOUT_FIELD.split()})
    return meant


_SPELT = {folded(field): field for field in FIELD_BY_NAME if field != "metadata"}
_MEANT = _table()
_FREE = frozenset(map(plain, FREE.split()))
_IN_FRONT, _BEHIND = frozenset(IN_FRONT.split()), frozenset(BEHIND.split())
_CURRENCY, _DOLLARS = frozenset(map(plain, CURRENCY.split())), frozenset(DOLLARS.split())
_ABOUT_A_TERM = frozenset(ABOUT_A_TERM.split())
_SAME_WORD = {other: word for word, others in SAME_WORD.items() for other in others.split()}
_PHRASES = {
    f" {phrase.replace('_', ' ')} ": field for field, said in PHRASES.items() for phrase in said.split()
}


@cache
def _long_synonyms() -> dict[str, list[str]]:
    """Return the synonyms that may have a wrong letter, by their text without any one letter."""
    found: dict[str, list[str]] = {}
    for names in SYNONYMS.values():
        for spelt in set(map(plain, names.split())):
            if len(spelt) >= _SYNONYM_ONE_LETTER_OFF and spelt.isalpha():
                for shorter in _shorter(spelt):
                    found.setdefault(shorter, []).append(spelt)
    return found


def _shorter(spelt: str) -> set[str]:
    return {spelt, *(spelt[:i] + spelt[i + 1 :] for i in range(len(spelt)))}


def _without_decoration(name: str) -> list[str]:
    """Return a name without the words and numbers around it that change nothing, the longest rest first."""
    said = words(name)
    front = next((i for i, word in enumerate(said) if word not in _IN_FRONT), len(said))
    behind = next(
        (i for i, word in enumerate(reversed(said)) if word not in _BEHIND and not word.isdigit()), 0
    )
    rests = [said[start : len(said) - end] for start in range(front + 1) for end in range(behind + 1)]
    return ["".join(rest) for rest in sorted(rests, key=len, reverse=True) if rest]


def _phrase_in(name: str) -> str | None:
    """Return the field whose words are in a name, None where the name is only about that field."""
    said = [_SAME_WORD.get(word, word) for word in words(name)]
    if not said or said[-1] in _ABOUT_A_TERM:
        return None
    text = f" {' '.join(said)} "
    return next((field for phrase, field in _PHRASES.items() if phrase in text), None)


def _misspelt(spelt: str) -> str | None:
    """Return the field that a name of letters alone is one or two of them away from, or a synonym's."""
    if not spelt.isalpha():
        return None
    for field_spelt, field in _SPELT.items():
        allowed = (len(field_spelt) >= _ONE_LETTER_OFF) + (len(field_spelt) >= _TWO_LETTERS_OFF)
        if _is_near(spelt, field_spelt, allowed):
            return field
    near = {synonym for shorter in _shorter(spelt) for synonym in _long_synonyms().get(shorter, ())}
    return next((_MEANT[synonym] for synonym in sorted(near) if _is_near(spelt, synonym, 1)), None)


def _is_near(one: str, other: str, allowed: int) -> bool:
    near = allowed and abs(len(other) - len(one)) <= allowed and one[0] == other[0]
    return bool(near) and _distance(one, other) <= allowed


def _distance(one: str, other: str) -> int:
    """Return the edit distance: letters changed, inserted, deleted or swapped with their neighbour."""
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
