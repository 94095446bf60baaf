"""Redaction of account numbers and ids in recorded traffic; ``keys`` masks the keys."""

from __future__ import annotations

import re
from threading import Lock

from engine.brokers.alpaca.keys import Spelled

BLOT = b"REDACTED"

# The shortest account number or id, or beginning of one in a cut text, that is redacted everywhere; shorter
# ones would also match parts of other ids, which are hexadecimal too.
_FEWEST_LETTERS = 8
_QUOTED = rb"""(?:\\*["']|%22|&quot;|&\#0*3[49];|&\#x0*2[27];|%3A|[\s:=\[])++"""  # also in JSON within JSON
_VALUE = rb"(?!(?:null|true|false)\b)([\w.+-]+)"
_ACCOUNT = rb"account[_-]?(?:number|id)"
_ACCOUNT_FIELD = re.compile(rb"(%b%b)%b" % (_ACCOUNT, _QUOTED, _VALUE), re.IGNORECASE)
_OWN_FIELD = re.compile(rb"((?<![\w-])(?:id|%b)%b)%b" % (_ACCOUNT, _QUOTED, _VALUE), re.IGNORECASE)


class AccountRedaction:
    """Redacts an account's number and id in texts: by field name, and anywhere once a field had them."""

    def __init__(self) -> None:
        self._seen: frozenset[bytes] = frozenset()
        self._spelled: tuple[Spelled, ...] = ()
        self._lock = Lock()

    def redacted(self, text: bytes, *, of_account: bool = False) -> bytes:
        """Return a text without them; in one ``of_account``, a field ``id`` is the account's.

        JSON stays JSON. Other ids (of orders, assets, clients) are kept.
        """
        if of_account:
            text = _OWN_FIELD.sub(self._blotted, text)
        elif b"account" in text.lower():
            text = _ACCOUNT_FIELD.sub(self._blotted, text)
        for spelled in self._spelled:
            text = spelled.hidden_in_body(text)
        return text

    def nothing_in(self, texts: bytes) -> bool:
        """Return True where the joined texts certainly contain nothing to redact; cheap."""
        return b"account" not in texts.lower() and all(
            spelled.cannot_be_in(texts) for spelled in self._spelled
        )

    def _blotted(self, match: re.Match[bytes]) -> bytes:
        field, value = match[1], match[2]
        if value != BLOT and len(value) >= _FEWEST_LETTERS and re.search(rb"\d", value):
            self._remember(value)
        bare_number = field.endswith((b":", b" ")) and re.fullmatch(rb"[\d.+-]+", value)
        return field + (b"0" if bare_number else BLOT)

    def _remember(self, value: bytes) -> None:
        with self._lock:
            if value not in self._seen:
                self._seen |= {value}
                self._spelled += (Spelled(value.decode(), blot=BLOT.decode(), shortest=_FEWEST_LETTERS),)
