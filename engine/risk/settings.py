"""Every setting there is: the general ones, and the variables of the rule book's limits.

A name that looks like a setting and is none is an error: a typing mistake must never loosen a limit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from engine.errors import ConfigurationError
from engine.risk.book import LIMITS
from engine.settings.near_names import is_wrong, unread_names, why_wrong
from engine.settings.variables import SETTINGS as GENERAL
from engine.settings.variables import Setting

OF_LIMITS = tuple(
    Setting(limit.env, limit.parse, None if limit.default is None else f"{limit.default:g}", limit.meaning)
    for limit in LIMITS
    if limit.env
)
_LAST_BEFORE_LIMITS = "EXEC_GROUP_ACCESS"
_AT = next(place for place, setting in enumerate(GENERAL, 1) if setting.name == _LAST_BEFORE_LIMITS)

SETTINGS = (*GENERAL[:_AT], *OF_LIMITS, *GENERAL[_AT:])
"""All settings, in the order in which pages and ``doctor`` list them."""

_NAMES = {setting.name: setting for setting in SETTINGS}


def check_names(env: Mapping[str, str]) -> None:
    """Check that no name looks like a setting without being one.

    Raises ``ConfigurationError``.
    """
    for error in wrong_names(env).values():
        raise error


def wrong_names(env: Mapping[str, str]) -> dict[str, ConfigurationError]:
    """Return the errors of names that look like settings and are not, by name."""
    wrong = [name for name in env if is_wrong(name, _NAMES)]
    return {name: ConfigurationError(why_wrong(name, _NAMES)) for name in wrong}


def not_read(env: Mapping[str, str], *, used: Collection[str] = ()) -> dict[str, str]:
    """Return variables that may be meant for a setting and are not read: the setting by name, "" for none.

    ``used``: variables that the accounts file names.
    """
    return unread_names(env, _NAMES, used=used)
