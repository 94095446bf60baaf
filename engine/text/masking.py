"""Finds secrets in texts that should not contain them, and masks them.

A page may repeat a key in another case, in base64 (whole, or within ``user:password``), in hexadecimal or cut
in two; a secret may have been pasted into the wrong setting. Pure: the caller passes the secrets.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from engine.text.printable import shown

BLOT = "[key]"

# Lower case, and standard instead of URL-safe base64; a byte becomes a byte, so that offsets stay valid.
_FOLD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ-_", b"abcdefghijklmnopqrstuvwxyz+/")
_WORD = 4  # bytes: any part of seven or more contains an aligned one
_SHORTEST_PART, _LONGEST_PART = 8, 12
_SHORTEST_ENCODED = 8

_LONGEST_WORD, _LONGEST_TEXT = 12, 1_000
_PATHS = ("/", "./", "../", "~/")
_NUMBER = re.compile(r"[0-9eE.,+_ -]*")
_API_KEY = re.compile(r"[PAC]K[A-Z0-9]{16,}")
_TOKEN = re.compile(r"(?=.*[A-Z])(?=.*[a-z])(?=.*[0-9])[A-Za-z0-9+/_=-]{24,}")
_SMALL_LETTERS = re.compile(r"(?=.*[0-9])(?=.*[a-z])[a-z0-9+_=-]{32,}", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_IN_URL = re.compile(r"://[^/\s]*@|://\S*[?#]\S")  # a password, or what a query may carry


@dataclass(frozen=True)
class _Form:
    """One folded spelling of a secret; any part of ``shortest`` bytes or more counts as the secret.

    Each such part contains one of ``anchors``, which are searched for: offset in the form, and bytes.
    """

    text: bytes
    shortest: int

    @property
    def anchors(self) -> list[tuple[int, bytes]]:
        length = (self.shortest + 1) // 2
        places = range(0, len(self.text) - length + 1, self.shortest - length + 1)
        return [(place, self.text[place : place + length]) for place in places]


class Echoes:
    r"""Masks secrets in texts: whole or in parts, in any case, and encoded.

    A part is at least half of a secret, of a long one at least 12 characters, and never less than 8.
    Escapes (``\u0041``, ``%41``) are covered only for ``/`` and ``+``; ``keys.Spelled`` covers the others.
    """

    def __init__(self, secrets: Iterable[str], *, blot: str = BLOT) -> None:
        forms = dict.fromkeys(form for secret in secrets if secret for form in _forms(secret.encode()))
        self._anchored = [(form.text, form.shortest, *anchor) for form in forms for anchor in form.anchors]
        self._anchors = tuple(dict.fromkeys(anchor for *_, anchor in self._anchored))
        self._words = frozenset(word for form in forms for word in _words_anywhere(form.text))
        self._has_short_ones = any(form.shortest < 2 * _WORD - 1 for form in forms)
        self._blot = blot.encode()

    def may_be_in(self, text: bytes) -> bool:
        """Return False where a text certainly contains no secret; cheap."""
        folded = text.translate(_FOLD)
        if not self._has_short_ones and self._words.isdisjoint(_aligned_words(folded)):
            return False
        return any(anchor in folded for anchor in self._anchors)

    def hidden_in(self, text: str) -> str:
        """Return a text without the secrets."""
        raw = text.encode("utf-8", "surrogatepass")
        return self.hidden_in_bytes(raw).decode("utf-8", "surrogatepass") if self.may_be_in(raw) else text

    def hidden_in_bytes(self, text: bytes) -> bytes:
        """Return a text in ASCII or UTF-8 without the secrets; all other bytes stay as they are."""
        end, pieces = 0, []
        for start, stop in sorted(self._found(text.translate(_FOLD))):
            if start >= end:
                pieces += [text[end:start], self._blot]
            end = max(end, stop)
        return b"".join([*pieces, text[end:]]) if pieces else text

    def _found(self, folded: bytes) -> Iterator[tuple[int, int]]:
        """Yield start and end of each part of a secret."""
        for form, shortest, place, anchor in self._anchored:
            at = folded.find(anchor)
            while at >= 0:
                start, stop = _extended(folded, at, form, place, len(anchor))
                if stop - start >= shortest:
                    yield start, stop
                at = folded.find(anchor, max(at + 1, stop - len(anchor)))


def shown_word(value: object) -> str:
    """Return a value that should be a word or a number, as an error shows it; a longer text is not shown."""
    if isinstance(value, str) and len(value.strip()) > _LONGEST_WORD and not _NUMBER.fullmatch(value):
        return _not_shown(value)
    return shown(value)


def shown_text(text: str) -> str:
    """Return a setting's text as an error shows it; a text that looks like a secret is not shown."""
    return _not_shown(text) if looks_secret(text) else shown(text, at_most=_LONGEST_TEXT)


def looks_secret(text: str) -> bool:
    """Return whether a text may be a key, a token, or a URL with a password."""
    word = text.strip()
    if word.startswith(_PATHS) or _UUID.fullmatch(word):
        return False
    bare = re.sub("^https?://", "", word).rstrip("/")
    patterns = (_API_KEY, _TOKEN, _SMALL_LETTERS)
    return any(pattern.fullmatch(bare) for pattern in patterns) or bool(_IN_URL.search(word))


def is_key(text: str) -> bool:
    """Return whether a text has the form of Alpaca's keys and secrets; a path has not.

    No variant of base64 contains ``/`` together with ``-`` or ``_``.
    """
    if text.startswith(_PATHS) or ("/" in text and ("-" in text or "_" in text)):
        return False
    return bool(_API_KEY.fullmatch(text)) or (len(text) >= 32 and bool(_TOKEN.fullmatch(text)))


def _not_shown(text: str) -> str:
    return f"a text of {len(text.strip())} characters, which is not shown"


def _forms(secret: bytes) -> Iterator[_Form]:
    half = (len(secret) + 1) // 2
    part = max(min(len(secret), _SHORTEST_PART), min(_LONGEST_PART, half))
    yield _Form(secret.translate(_FOLD), part)
    yield _Form(secret[::-1].translate(_FOLD), part)
    yield from _escaped(secret, part)
    for encoded in _in_base64(secret):
        yield from _at_least(encoded, (8 * half - 4) // 6)
        yield from _escaped(encoded, max(_SHORTEST_ENCODED, (8 * half - 4) // 6))
    pairs = [b"%02x" % byte for byte in secret]
    for between in (b"", b" ", b":", b"-"):
        yield from _at_least(between.join(pairs), (2 + len(between)) * half - 2)


def _escaped(text: bytes, part: int) -> Iterator[_Form]:
    """Yield a text as escaped in URLs and in some JSON, where that differs from the text."""
    for escaped in (quote(text, safe="").encode(), text.replace(b"/", b"\\/")):
        if escaped != text and len(escaped) >= part:
            yield _Form(escaped.translate(_FOLD), part)


def _at_least(encoded: bytes, shortest: int) -> Iterator[_Form]:
    """Yield a form whose parts are too long to occur by chance; none for a short secret."""
    if len(encoded) >= _SHORTEST_ENCODED:
        yield _Form(encoded.translate(_FOLD), max(_SHORTEST_ENCODED, shortest))


def _in_base64(secret: bytes) -> Iterator[bytes]:
    """Yield the base64 characters that a secret fixes, for each of the three alignments."""
    for before in range(3):
        encoded = b64encode(bytes(before) + secret)
        yield encoded[(8 * before + 5) // 6 : 8 * (before + len(secret)) // 6]


def _words_anywhere(text: bytes) -> Iterator[int]:
    """Yield the words that begin at any offset of a text."""
    for start in range(_WORD):
        yield from _aligned_words(text[start:])


def _aligned_words(text: bytes) -> memoryview:
    return memoryview(text)[: len(text) // _WORD * _WORD].cast("I")


def _extended(text: bytes, at: int, form: bytes, place: int, length: int) -> tuple[int, int]:
    """Return start and end of the longest match around ``at`` in a text and ``place`` in a form."""
    start = at
    while place > 0 and start > 0 and text[start - 1] == form[place - 1]:
        start, place = start - 1, place - 1
    stop, behind = at + length, place + (at - start) + length
    while behind < len(form) and stop < len(text) and text[stop] == form[behind]:
        stop, behind = stop + 1, behind + 1
    return start, stop
