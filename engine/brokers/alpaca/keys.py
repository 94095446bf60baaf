"""The API keys: added to requests, and masked in everything else.

An error page may repeat a request's headers, in any spelling and cut off anywhere. So every text from a
broker is searched for the keys, as received and again as decoded, before it is shortened and shown: here for
escaped spellings, in ``masking`` for encodings, another case and parts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from html.entities import html5

import requests

from engine.text.masking import BLOT, Echoes

HIDDEN = BLOT

_SHORTEST_BEGINNING = 4
_BROKEN_ESCAPE = re.compile(r"\\+[ux]?[0-9a-f]{0,3}|%(?:25)*[0-9a-f]?|&(?:amp;)*#?x?\w{0,7}", re.IGNORECASE)
_LONGEST_SPELLING = 40  # characters that one character may be spelled with


class Keys(requests.auth.AuthBase):
    """Adds the keys to a request; an explicit ``auth``, so that a ``.netrc`` file is ignored."""

    def __init__(self, api_key: str, secret_key: str) -> None:
        self._api_key = api_key
        self._secret_key = secret_key
        self._spelled = [Spelled(secret_key), Spelled(api_key)]
        self._echoes = Echoes([secret_key, api_key], blot=HIDDEN)

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the keys to a request that is about to be sent."""
        r.headers["APCA-API-KEY-ID"] = self._api_key
        r.headers["APCA-API-SECRET-KEY"] = self._secret_key
        return r

    def hidden_in(self, text: str) -> str:
        """Return a text with the keys masked, in any spelling, and their beginning at its end."""
        for key in self._spelled:
            text = key.hidden_in(text)
        return self._echoes.hidden_in(text)

    def hidden_in_body(self, body: bytes) -> bytes:
        """Return a body with the keys masked; another encoding becomes UTF-8 where they may be in it."""
        for key in self._spelled:
            body = key.hidden_in_body(body)
        return self._echoes.hidden_in_bytes(body) if self._echoes.may_be_in(body) else body

    def cannot_be_in(self, texts: bytes) -> bool:
        """Return True where certainly no key, nor its beginning, is in any of the joined texts; cheap."""
        if _has_escapes(texts) or any(key.begins_in(texts) for key in self._spelled):
            return False
        return not self._echoes.may_be_in(texts)


class Spelled:
    """Masks an ASCII secret, in any mixture of spellings of its characters, with ``blot``.

    At the end of a text, which may be cut off, ``shortest`` of its first characters count as the secret.
    """

    def __init__(self, secret: str, *, blot: str = HIDDEN, shortest: int = _SHORTEST_BEGINNING) -> None:
        self._key, self._shortest = secret.encode(), shortest
        self._beginnings = tuple(self._key[:end] for end in range(shortest, len(self._key)))
        self._shortest_beginning = self._key[:shortest]
        self._blot = blot
        letters = [_spellings(letter) for letter in secret]
        self._whole = re.compile("".join(letters))
        self._letters = [re.compile(letter) for letter in letters]

    def hidden_in_body(self, body: bytes) -> bytes:
        """Return a body with the secret masked; another encoding becomes UTF-8 where it may be in it."""
        if not self._may_be_in(body):
            return body
        encoding = json.detect_encoding(body)
        errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
        return self.hidden_in(body.decode(encoding, errors)).encode("utf-8", "surrogateescape")

    def _may_be_in(self, body: bytes) -> bool:
        """Return False where the secret, or its beginning at the end, is certainly not in a body; cheap."""
        return self._key in body or _has_escapes(body) or body.endswith(self._beginnings)

    def cannot_be_in(self, texts: bytes) -> bool:
        """Return True where certainly neither the secret nor its beginning is in the joined texts; cheap."""
        return not self.begins_in(texts) and not _has_escapes(texts)

    def begins_in(self, texts: bytes) -> bool:
        """Return whether the secret's beginning, unescaped, is in any of the joined texts."""
        return self._shortest_beginning in texts

    def hidden_in(self, text: str) -> str:
        """Return a text with the secret masked, and its beginning at the text's end."""
        text = self._whole.sub(self._blot, text)
        for start in range(max(0, len(text) - len(self._letters) * _LONGEST_SPELLING), len(text)):
            if self._letters[0].match(text, start) and self._ends_in_key(text, start):
                return text[:start] + self._blot
        return text

    def _ends_in_key(self, text: str, start: int) -> bool:
        """Return whether the text from ``start`` on is a beginning of the key, perhaps with a cut escape."""
        places = {start}  # a backslash may be a letter, or begin the escape of the next one
        for count, letter in enumerate(self._letters):
            if count >= self._shortest and any(_is_cut_off(text, place) for place in places):
                return True
            places = {end for place in places for end in _ends(letter, text, place)}
            if not places:
                return False
        return False


def _has_escapes(text: bytes) -> bool:
    """Return whether a text may contain escaped characters, or an encoding other than ASCII."""
    return b"\\" in text or b"%" in text or b"&" in text or b"\0" in text


def _is_cut_off(text: str, place: int) -> bool:
    return place == len(text) or _BROKEN_ESCAPE.fullmatch(text, place) is not None


def _ends(letter: re.Pattern[str], text: str, place: int) -> Iterable[int]:
    """Return where the spelling of a letter that begins at ``place`` may end."""
    match = letter.match(text, place)
    if match is None:
        return ()
    only_backslashes = not match[0].strip("\\")
    return range(place + 1, match.end() + 1) if only_backslashes else (match.end(),)


@cache
def _spellings(letter: str) -> str:
    """Return a pattern for one ASCII character, plain or escaped (JSON, URL, HTML), also repeatedly."""
    number = f"{ord(letter):x}"
    entities = "|".join(_entities(letter))
    names = f"|{entities}" if entities else ""
    return (
        rf"(?:\\{{1,8}}(?i:u0{{0,2}}{number}|x{number})"
        rf"|(?i:%(?:25){{0,4}}{number})"
        rf"|&(?:amp;){{0,4}}(?:(?i:\#0{{0,6}}{ord(letter)}|\#x0{{0,6}}{number}){names});?"
        rf"|\\{{0,8}}{re.escape(letter)})"
    )


def _entities(letter: str) -> Iterable[str]:
    return sorted({re.escape(name.rstrip(";")) for name, text in html5.items() if text == letter})
