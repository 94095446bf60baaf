"""Secrets, found again in texts that were never meant to hold them, and blotted out.

A page may repeat a key in another case, in base64 (whole, or within ``user:password``), in hexadecimal or cut
in two; a secret may have been pasted into the wrong setting. Pure: who knows the secrets hands them in.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from engine.text.printable import shown

BLOT = "[key]"

# In small letters, and with the letters of URL-safe base64: bytes for bytes, so that places stay the same.
_FOLD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ-_", b"abcdefghijklmnopqrstuvwxyz+/")
_WORD = 4  # bytes: any part of seven or more holds one that is aligned
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
    """How a secret may be written, folded; a part of ``shortest`` bytes or more is taken for it.

    Each such part contains one of ``anchors``, which are what is searched for: place in the form, and bytes.
    """

    text: bytes
    shortest: int

    @property
    def anchors(self) -> list[tuple[int, bytes]]:
        length = (self.shortest + 1) // 2
        places = range(0, len(self.text) - length + 1, self.shortest - length + 1)
        return [(place, self.text[place : place + length]) for place in places]


class Echoes:
    r"""Blots secrets out of texts: whole or in parts, in any case, and as encoded.

    A part is at least half of a secret, and of a long one at least 12 characters; at least 8 in any case.
    Spellings with escapes (``\u0041``, ``%41``) are another's business but for those of a ``/`` or ``+``.
    """

    def __init__(self, secrets: Iterable[str], *, blot: str = BLOT) -> None:
        forms = dict.fromkeys(form for secret in secrets if secret for form in _forms(secret.encode()))
        self._anchored = [(form.text, form.shortest, *anchor) for form in forms for anchor in form.anchors]
        self._anchors = tuple(dict.fromkeys(anchor for *_, anchor in self._anchored))
        self._words = frozenset(word for form in forms for word in _words_anywhere(form.text))
        self._has_short_ones = any(form.shortest < 2 * _WORD - 1 for form in forms)
        self._blot = blot.encode()

    def may_be_in(self, text: bytes) -> bool:
        """Return False, at little cost, where no secret is in a text."""
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
        """Return where parts of secrets are: from, and to."""
        for form, shortest, place, anchor in self._anchored:
            at = folded.find(anchor)
            while at >= 0:
                start, stop = _extended(folded, at, form, place, len(anchor))
                if stop - start >= shortest:
                    yield start, stop
                at = folded.find(anchor, max(at + 1, stop - len(anchor)))


def shown_word(value: object) -> str:
    """Return what should be a word or a number as an error shows it: of a text only a short one."""
    if isinstance(value, str) and len(value.strip()) > _LONGEST_WORD and not _NUMBER.fullmatch(value):
        return _not_shown(value)
    return shown(value)


def shown_text(text: str) -> str:
    """Return a setting's text as an error shows it: not at all where it looks like a secret."""
    return _not_shown(text) if looks_secret(text) else shown(text, at_most=_LONGEST_TEXT)


def looks_secret(text: str) -> bool:
    """Return whether a text may be a key, a token, or an address with a password in it."""
    word = text.strip()
    if word.startswith(_PATHS) or _UUID.fullmatch(word):
        return False
    bare = re.sub("^https?://", "", word).rstrip("/")
    patterns = (_API_KEY, _TOKEN, _SMALL_LETTERS)
    return any(pattern.fullmatch(bare) for pattern in patterns) or bool(_IN_URL.search(word))


def is_key(text: str) -> bool:
    """Return whether a text is written as Alpaca's keys and secrets are; a path is none.

    No form of base64 has both ``/`` and ``-`` or ``_``.
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
    """Return a text as a URL and as some JSON has it, where that is another one."""
    for escaped in (quote(text, safe="").encode(), text.replace(b"/", b"\\/")):
        if escaped != text and len(escaped) >= part:
            yield _Form(escaped.translate(_FOLD), part)


def _at_least(encoded: bytes, shortest: int) -> Iterator[_Form]:
    """Return a form whose parts are so long that they are found in nothing else; none of a short secret."""
    if len(encoded) >= _SHORTEST_ENCODED:
        yield _Form(encoded.translate(_FOLD), max(_SHORTEST_ENCODED, shortest))


def _in_base64(secret: bytes) -> Iterator[bytes]:
    """Return what is certain of a secret in base64, wherever it begins among three bytes."""
    for before in range(3):
        encoded = b64encode(bytes(before) + secret)
        yield encoded[(8 * before + 5) // 6 : 8 * (before + len(secret)) // 6]


def _words_anywhere(text: bytes) -> Iterator[int]:
    """Return the words that begin anywhere in a text."""
    for start in range(_WORD):
        yield from _aligned_words(text[start:])


def _aligned_words(text: bytes) -> memoryview:
    return memoryview(text)[: len(text) // _WORD * _WORD].cast("I")


def _extended(text: bytes, at: int, form: bytes, place: int, length: int) -> tuple[int, int]:
    """Return the part of a text around ``at`` that is a part of a form around ``place``."""
    start = at
    while place > 0 and start > 0 and text[start - 1] == form[place - 1]:
        start, place = start - 1, place - 1
    stop, behind = at + length, place + (at - start) + length
    while behind < len(form) and stop < len(text) and text[stop] == form[behind]:
        stop, behind = stop + 1, behind + 1
    return start, stop
