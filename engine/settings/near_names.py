"""Names of environment variables that look like a setting and are not one.

A misspelt limit has no effect. A name that can only be meant for this engine is an error. One that other
programs use as well, such as ``APCA_API_KEY_ID``, is a remark, and part of the error where the setting that
was meant is missing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache

_OWN = ("EXEC_", "EXECUTION_")
_BROKERS = ("ALPACA_", "APCA_")
_CLOSE, _VERY_CLOSE = 0.85, 0.9
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)$|_PORT(_\d+_(TCP|UDP)(_\w+)?)?$")
"""Names that Kubernetes sets for every service, such as one called execution-engine."""

_KEY, _SECRET, _HOST = "ALPACA_API_KEY", "ALPACA_SECRET_KEY", "ALPACA_TRADING_HOST"
_OF_OTHERS = {
    "KEYID": _KEY, "APIKEYID": _KEY, "APIKEY": _KEY, "KEY": _KEY, "ACCESSKEY": _KEY, "CLIENTID": _KEY,
    "APISECRETKEY": _SECRET, "APISECRET": _SECRET, "SECRET": _SECRET, "SECRETKEY": _SECRET,
    "KEYSECRET": _SECRET, "APIKEYSECRET": _SECRET, "CLIENTSECRET": _SECRET,
    "BASEURL": _HOST, "APIBASEURL": _HOST, "URL": _HOST, "APIURL": _HOST, "HOST": _HOST, "APIHOST": _HOST,
    "ENDPOINT": _HOST, "TRADINGURL": _HOST, "PAPER": _HOST, "ENV": _HOST,
}  # fmt: skip
"""Other programs' names of Alpaca's key, secret and host, without ``ALPACA_`` or ``APCA_``."""


def is_wrong(name: str, known: Collection[str]) -> bool:
    """Return whether a name can only be meant for a setting of this engine, and is not one."""
    if name in known or _SERVICE_LINK.search(name):
        return False
    if name.upper().startswith(_OWN):
        return True
    meant = _meant(name, known, cutoff=_VERY_CLOSE)
    return meant is not None and meant.startswith(_OWN)  # EXCE_DRY_RUN


def why_wrong(name: str, known: Collection[str]) -> str:
    """Return what is wrong with such a name, and the remedy."""
    meant = _meant(name, known, cutoff=_CLOSE)
    return f"{name} is no setting of the engine. {f'Did you mean {meant}?' if meant else 'Unset it.'}"


def unread_names(
    env: Mapping[str, str], known: Collection[str], *, used: Collection[str] = ()
) -> dict[str, str]:
    """Return the variables that may be meant for a setting and are not read, with the setting that is meant.

    The setting is "" where none is near. Names that are errors are left out. ``used``: variables that the
    accounts file names.
    """
    found = {}
    for name, text in env.items():
        if not text or name in known or name in used or is_wrong(name, known):
            continue
        meant = meant_by(name, known)
        is_of_broker = name.upper().startswith(_BROKERS) and not _SERVICE_LINK.search(name)
        if meant or is_of_broker:
            found[name] = meant or ""
    return dict(sorted(found.items()))


def meant_by(name: str, known: Collection[str]) -> str | None:
    """Return the setting that a name may be meant for, None where none is near."""
    upper = name.upper()
    for prefix in _BROKERS:
        if upper.startswith(prefix) and (setting := _OF_OTHERS.get(_folded(upper.removeprefix(prefix)))):
            return setting
    return _meant(name, known, cutoff=_CLOSE if upper.startswith(_BROKERS) else _VERY_CLOSE)


def _meant(name: str, known: Collection[str], *, cutoff: float) -> str | None:
    """Return the setting with the nearest name."""
    return _nearest(name, tuple(known), cutoff)


@lru_cache(maxsize=4096)
def _nearest(name: str, known: tuple[str, ...], cutoff: float) -> str | None:
    """Return the nearest known name of similar length; cached, since names are looked up several times."""
    by_fold = _by_fold(known)
    fold = _folded(name)
    if fold in by_fold:
        return by_fold[fold]
    longest_difference = 1 if cutoff == _VERY_CLOSE else 5
    near = [one for one in by_fold if abs(len(one) - len(fold)) <= longest_difference]
    close = get_close_matches(fold, near, n=1, cutoff=cutoff)
    return by_fold[close[0]] if close else None


@lru_cache(maxsize=8)
def _by_fold(known: tuple[str, ...]) -> Mapping[str, str]:
    return {_folded(one): one for one in known}


def _folded(name: str) -> str:
    return re.sub("[^A-Z0-9]", "", name.upper())


def sentences(unread: Mapping[str, str]) -> Iterable[str]:
    """Return a remark on each variable of ``unread_names``."""
    for name, meant in unread.items():
        hint = f"did you mean {meant}?" if meant else "unset it, unless another program reads it."
        yield f"{name} is set, and the engine doesn't read it; {hint}"
