"""The keys: put on requests, and kept out of everything else.

A page that describes an error may repeat a request's headers, in any spelling and cut off anywhere. So every
text that a broker sent is searched for the keys, as it came and again as it was decoded, before it is
shortened and shown: here for what escapes make of them, by ``masking`` for what encodings, another case and
cuts do.
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
_LONGEST_SPELLING = 40  # characters for one


class Keys(requests.auth.AuthBase):
    """Puts the keys on a request, and as an ``auth`` of our own keeps away what a ``.netrc`` file says."""

    def __init__(self, api_key: str, secret_key: str) -> None:
        self._api_key = api_key
        self._secret_key = secret_key
        self._spelled = [Spelled(secret_key), Spelled(api_key)]
        self._echoes = Echoes([secret_key, api_key], blot=HIDDEN)

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the keys on a request that is about to leave."""
        r.headers["APCA-API-KEY-ID"] = self._api_key
        r.headers["APCA-API-SECRET-KEY"] = self._secret_key
        return r

    def hidden_in(self, text: str) -> str:
        """Blot the keys out of a text, however they are spelled, and their beginning at its end."""
        for key in self._spelled:
            text = key.hidden_in(text)
        return self._echoes.hidden_in(text)

    def hidden_in_body(self, body: bytes) -> bytes:
        """Blot the keys out of a body; what is not UTF-8 comes back as UTF-8 where they may be in it."""
        for key in self._spelled:
            body = key.hidden_in_body(body)
        return self._echoes.hidden_in_bytes(body) if self._echoes.may_be_in(body) else body

    def cannot_be_in(self, texts: bytes) -> bool:
        """Tell at little cost whether neither a key nor its beginning can be in any of texts joined."""
        if _has_escapes(texts) or any(key.begins_in(texts) for key in self._spelled):
            return False
        return not self._echoes.may_be_in(texts)


class Spelled:
    """A secret in ASCII, in any mixture of the spellings of its characters; ``blot`` stands in its place.

    So many of its first characters as ``shortest`` are taken for it at the end of a text that may be cut off.
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
        """Blot the secret out of a body; what is not UTF-8 comes back as UTF-8 where it may be in it."""
        if not self._may_be_in(body):
            return body
        encoding = json.detect_encoding(body)
        errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
        return self.hidden_in(body.decode(encoding, errors)).encode("utf-8", "surrogateescape")

    def _may_be_in(self, body: bytes) -> bool:
        """Tell at little cost whether the secret, or its beginning at the end, can be in a body."""
        return self._key in body or _has_escapes(body) or body.endswith(self._beginnings)

    def cannot_be_in(self, texts: bytes) -> bool:
        """Tell at little cost whether neither the secret nor its beginning can be in any of texts joined."""
        return not self.begins_in(texts) and not _has_escapes(texts)

    def begins_in(self, texts: bytes) -> bool:
        """Tell whether the secret's beginning, as it is written, is in any of texts joined."""
        return self._shortest_beginning in texts

    def hidden_in(self, text: str) -> str:
        """Blot the secret out of a text, and its beginning at the text's end."""
        text = self._whole.sub(self._blot, text)
        for start in range(max(0, len(text) - len(self._letters) * _LONGEST_SPELLING), len(text)):
            if self._letters[0].match(text, start) and self._ends_in_key(text, start):
                return text[:start] + self._blot
        return text

    def _ends_in_key(self, text: str, start: int) -> bool:
        """Tell whether the text from ``start`` on is a beginning of the key, perhaps with half an escape."""
        places = {start}  # a backslash may be a letter, or begin the escape of the next one
        for count, letter in enumerate(self._letters):
            if count >= self._shortest and any(_is_cut_off(text, place) for place in places):
                return True
            places = {end for place in places for end in _ends(letter, text, place)}
            if not places:
                return False
        return False


def _has_escapes(text: bytes) -> bool:
    """Tell whether letters may be spelled otherwise in a text, or in other bytes than ASCII's."""
    return b"\\" in text or b"%" in text or b"&" in text or b"\0" in text


def _is_cut_off(text: str, place: int) -> bool:
    return place == len(text) or _BROKEN_ESCAPE.fullmatch(text, place) is not None


def _ends(letter: re.Pattern[str], text: str, place: int) -> Iterable[int]:
    """Give where a letter that is spelled from ``place`` on may end."""
    match = letter.match(text, place)
    if match is None:
        return ()
    only_backslashes = not match[0].strip("\\")
    return range(place + 1, match.end() + 1) if only_backslashes else (match.end(),)


@cache
def _spellings(letter: str) -> str:
    """Give a pattern for one ASCII character: plain, and as escaped in JSON, in a URL and in HTML.

    Each also where it was escaped more than once.
    """
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
