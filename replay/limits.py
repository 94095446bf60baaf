"""The recorded limits with some of them replaced.

A limit is named by its rule (``max_position_size_exceeded``), its setting (``EXEC_MAX_POSITION_QTY``) or
its field of ``RiskConfig`` (``max_position_qty``), and read as strictly as the setting is.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from engine.errors import ConfigurationError
from engine.risk import RULE_BOOK
from engine.settings.variables import RiskConfig, read_setting
from engine.text.masking import shown_word

Overrides = Mapping[str, Any]
"""Limits by any of their names; values as TOML types, or as text."""

_LARGEST_FILE = 1_000_000
_NONE_WORDS = frozenset({"none", "off"})


@dataclass(frozen=True)
class Limit:
    """A limit's field of ``RiskConfig``, with its setting and, where it belongs to one, its rule."""

    field: str
    setting: str
    rule: str = ""


LIMITS = (
    Limit("max_position_qty", "EXEC_MAX_POSITION_QTY", "max_position_size_exceeded"),
    Limit("max_daily_trades", "EXEC_MAX_DAILY_TRADES", "max_daily_trades_exceeded"),
    Limit("intent_max_age_s", "EXEC_INTENT_MAX_AGE_S", "intent_expired"),
    Limit("position_projection", "EXEC_POSITION_PROJECTION"),
    Limit("fail_open", "EXEC_RISK_FAIL_OPEN"),
    Limit("accounts", "EXEC_BROKER_ACCOUNT_ID", "account_not_configured"),
)
_BY_NAME = {name: limit for limit in LIMITS for name in (limit.field, limit.setting, limit.rule) if name}
_RULES = frozenset(rule.name for rule in RULE_BOOK)
_FIELDS = frozenset(one.name for one in fields(RiskConfig))


@dataclass(frozen=True)
class Limits:
    """The limits of a replay: the recorded ones with ``changes``, or ``instead`` of all of them."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    instead: RiskConfig | None = None

    def of(self, recorded: RiskConfig) -> RiskConfig:
        """Return the limits for a run that was recorded with ``recorded``."""
        return self.instead or replace(recorded, **self.changes)


def limits(config: RiskConfig | Overrides | None) -> Limits:
    """Return the limits of a replay; None keeps the recorded ones.

    Raises ``ConfigurationError`` for an unknown name, with the nearest known one, and for a bad value.
    """
    if isinstance(config, RiskConfig):
        return Limits(instead=config)
    return Limits(changes=_changes((config or {}).items(), "the limits"))


def limits_file(path: str | Path) -> dict[str, Any]:
    """Read a limits file (TOML: ``max_position_size_exceeded = 50``) as overrides.

    Raises ``ConfigurationError`` where it can't be read or holds an unknown name or a bad value.
    """
    place = Path(path)
    try:
        content = place.read_bytes()
        if len(content) > _LARGEST_FILE:
            raise ConfigurationError(
                f"{place} has {len(content)} bytes; expected at most {_LARGEST_FILE}. Name a limits file."
            )
        values = tomllib.loads(content.decode())
    except OSError as error:
        raise ConfigurationError(
            f"{place} can't be read ({error.strerror}). Correct the path or its permissions."
        ) from None
    except ValueError as error:
        raise ConfigurationError(
            f"{place} is not TOML ({error}). Write lines such as max_position_size_exceeded = 50."
        ) from None
    return _changes(values.items(), str(place))


def set_on_the_command_line(words: Iterable[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` words as overrides. Raises ``ConfigurationError``."""
    pairs = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not value.strip():
            raise ConfigurationError(
                f"--set is {word.strip() if name.strip() in _BY_NAME else shown_word(word)}; expected "
                f"NAME=VALUE, as EXEC_MAX_POSITION_QTY=50."
            )
        pairs.append((name.strip(), value.strip()))
    return _changes(pairs, "--set")


def recorded_config(recorded: Mapping[str, Any]) -> tuple[RiskConfig, list[str]]:
    """Return the limits of ``run.json``, and the names of those that today's code doesn't know."""
    known = {name: value for name, value in recorded.items() if name in _FIELDS and name != "accounts"}
    accounts = frozenset(recorded.get("accounts", ()))
    return _config(tuple(known.items()), accounts), sorted(recorded.keys() - _FIELDS)


@cache
def _config(fields_: tuple[tuple[str, Any], ...], accounts: frozenset[str]) -> RiskConfig:
    """Return limits, cached because many runs share them."""
    return RiskConfig(**dict(fields_), accounts=accounts)


def _changes(pairs: Iterable[tuple[str, Any]], place: str) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    named: dict[str, str] = {}
    for name, value in pairs:
        limit = _BY_NAME.get(name)
        if limit is None:
            raise ConfigurationError(f"{place}: {_no_limit(name)}")
        if limit.field in changes:
            raise ConfigurationError(
                f"{place}: {name} is the same limit as {named[limit.field]}, and both are given. Keep one."
            )
        changes[limit.field], named[limit.field] = _value(limit, name, value, place), name
    return changes


def _no_limit(name: str) -> str:
    if name in _RULES:
        return f"rule {name} has no limit; it depends on the recorded inputs alone. Leave it out."
    close = get_close_matches(name, _BY_NAME, n=1, cutoff=0.6)
    return f"{name} is no limit. " + (
        f"Did you mean {close[0]}?" if close else f"Limits are {', '.join(one.setting for one in LIMITS)}."
    )


def _value(limit: Limit, name: str, value: object, place: str) -> object:
    if limit.field == "accounts":
        return _accounts(name, value, place)
    if limit.field == "intent_max_age_s" and str(value).strip().lower() in _NONE_WORDS:
        return None
    if isinstance(value, bool) != (limit.field == "fail_open") and not isinstance(value, str):
        raise ConfigurationError(f"{place}: {name} is {shown_word(value)}; expected {_expected(limit)}.")
    if not isinstance(value, bool | int | float | str):
        raise ConfigurationError(f"{place}: {name} is {shown_word(value)}; expected {_expected(limit)}.")
    try:
        read: object = read_setting(limit.setting, {limit.setting: str(value)})
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {str(error).replace(limit.setting, name, 1)}") from None
    return read


def _expected(limit: Limit) -> str:
    return {
        "fail_open": "true or false",
        "position_projection": "worst_case or net",
        "max_daily_trades": "a whole number",
    }.get(limit.field, "a number")


def _accounts(name: str, value: object, place: str) -> frozenset[str]:
    if isinstance(value, str):
        value = [account.strip() for account in value.split(",")]
    if isinstance(value, list | tuple | frozenset | set) and all(isinstance(one, str) for one in value):
        return frozenset(str(account) for account in value if account)
    raise ConfigurationError(f"{place}: {name} is {shown_word(value)}; expected names of accounts.")
