"""Detection and masking of secrets in the environment.

All printed and logged text passes ``hider``: no key or password of the environment is ever shown, even one
that was set under another name than the engine's, or as another setting's value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from engine.settings.variables import SETTINGS
from engine.text.masking import Echoes, is_key

_OF_SECRETS = frozenset(setting.name for setting in SETTINGS if setting.secret) - {"DATABASE_URL"}
_SETTINGS = frozenset(setting.name for setting in SETTINGS)
_SOUNDS_SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSW(OR)?D|CREDENTIAL|APCA_|ALPACA_")
_OURS = re.compile(r"EXEC_|EXECUTION_|ALPACA_|APCA_|AGENT_")
_IN_CONNECTION_STRING = re.compile(r"password\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(\S+))")
_SHORTEST = 12
_SHORTEST_PASSWORD = 8


def hider(env: Mapping[str, str]) -> Callable[[str], str]:
    """Return a function that masks the secrets of an environment in a text."""
    return _hider_of(tuple(dict.fromkeys(secrets_in(env))))


def secrets_in(env: Mapping[str, str]) -> Iterator[str]:
    """Return the secrets in an environment; values too short for a key, and paths, are not secrets."""
    for name, given in env.items():
        text = given.strip()
        if name == "DATABASE_URL":
            yield from _passwords(text)
        elif len(text) >= _SHORTEST and _is_secret(name, text):
            yield text
            escaped = json.dumps(text)[1:-1]
            if escaped != text:
                yield escaped


def _is_secret(name: str, text: str) -> bool:
    if name in _OF_SECRETS:
        return True
    if name in _SETTINGS or _OURS.match(name):
        return is_key(text) or (name not in _SETTINGS and _is_one_word(text))
    return bool(_SOUNDS_SECRET.search(name)) and _is_one_word(text)


def _is_one_word(text: str) -> bool:
    """Return whether a text may be a key: no list, path or address, and more than a number."""
    return not re.search(r"[\s,]|^[./~]|://|^[0-9.]+$", text)


def _passwords(url: str) -> Iterator[str]:
    """Return the password of a database's address, as written and decoded.

    A password that is also in the rest of the address, such as the user's name, can't be hidden.
    """
    try:
        found = {urlsplit(url).password or ""}
    except ValueError:
        found = set()
    found |= {quoted or plain for quoted, plain in _IN_CONNECTION_STRING.findall(url)}
    for password in found:
        for spelled in dict.fromkeys((password, unquote(password))):
            if len(spelled) >= _SHORTEST_PASSWORD and spelled not in url.replace(password, "", 1):
                yield spelled


@lru_cache(maxsize=8)
def _hider_of(secrets: tuple[str, ...]) -> Callable[[str], str]:
    return Echoes(secrets).hidden_in if secrets else str
