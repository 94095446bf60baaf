"""The recorded limits with some of them replaced.

A limit is named by its rule (``max_position_size_exceeded``), its setting (``EXEC_MAX_POSITION_QTY``) or
its field of ``RiskConfig`` (``max_position_qty``), and read as strictly as the setting is. A whole limits
file (``version = 1``, sections) stands in the place of the recorded one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from engine.errors import ConfigurationError
from engine.risk.book import LIMIT_BY_KEY, RULE_BOOK
from engine.risk.config import RiskConfig
from engine.risk.levels import LimitsFile
from engine.risk.limits_file.checks import check_dates
from engine.risk.limits_file.lines import toml_text
from engine.risk.limits_file.parsing import parse_limits_file
from engine.risk.limits_file.sections import HEAD, KINDS
from engine.risk.limits_of_book import KEYS
from engine.settings.values import as_count, as_flag, as_projection
from engine.text.masking import shown_word

Overrides = Mapping[str, Any]
"""Limits by any of their names; values as TOML types, or as text."""

FILE = "limits_file"
"""The name of a whole limits file among overrides."""

_LARGEST_FILE = 1_000_000
_KINDS = {"position_projection": "word", "fail_open": "flag"}
_NONE_WORDS = frozenset({"none", "off"})


@dataclass(frozen=True)
class Limit:
    """A limit's field of ``RiskConfig``, with its setting and, where it belongs to one, its rule."""

    field: str
    setting: str
    rule: str = ""

    @property
    def kind(self) -> str:
        """What its value is: a number, a flag, names or a word."""
        return LIMIT_BY_KEY[self.field].kind if self.field in LIMIT_BY_KEY else _KINDS[self.field]

    @property
    def may_be_none(self) -> bool:
        """Whether it can be switched off: it has no default."""
        return self.field in LIMIT_BY_KEY and LIMIT_BY_KEY[self.field].default is None


def _limits() -> Iterator[Limit]:
    """Return every limit that a replay may change, in the order of the rule book."""
    for rule in RULE_BOOK:
        if rule.limit is not None:
            setting = rule.limit.env or ("EXEC_BROKER_ACCOUNT_ID" if rule.limit.key == "accounts" else "")
            yield Limit(rule.limit.key, setting, rule.name)
        for further in rule.settings:
            yield Limit(further.key, further.env)
    yield Limit("position_projection", "EXEC_POSITION_PROJECTION")
    yield Limit("fail_open", "EXEC_RISK_FAIL_OPEN")


LIMITS = tuple(_limits())
_BY_NAME = {name: limit for limit in LIMITS for name in (limit.field, limit.setting, limit.rule) if name}
_PARSERS: dict[str, Callable[[str, str], Any]] = {
    **{key: limit.parse for key, limit in LIMIT_BY_KEY.items()},
    "position_projection": as_projection,
    "fail_open": as_flag,
}
_RULES = frozenset(rule.name for rule in RULE_BOOK)
_FIELDS = frozenset(one.name for one in fields(RiskConfig))


@dataclass(frozen=True)
class Limits:
    """The limits of a replay: the recorded ones with ``changes``, or ``instead`` of all of them."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    instead: RiskConfig | None = None

    def of(self, recorded: RiskConfig) -> RiskConfig:
        """Return the limits for a run that was recorded with ``recorded``."""
        if self.instead is not None:
            return self.instead
        file = self.changes.get(FILE)
        beside = {} if file is None else _beside(file, recorded)
        return recorded.changed(**{**beside, **self.changes})

    def check(self, session: date) -> None:
        """Raise ``ConfigurationError`` where their limits file may not be used in a session."""
        if FILE in self.changes:
            check_dates(self.changes[FILE], session)


def _beside(file: LimitsFile, recorded: RiskConfig) -> dict[str, Any]:
    """Return the recorded limits with a default as they are beside another limits file.

    A default holds only where ``[limits]`` sets nothing; a recorded value that is the default counts as one.
    """
    found = {}
    for key, limit in LIMIT_BY_KEY.items():
        value = getattr(recorded, key)
        if limit.scopes and limit.default is not None and value in {None, limit.default}:
            found[key] = None if file.sets_for_all(key) else limit.default
    return found


def limits(config: RiskConfig | Overrides | None) -> Limits:
    """Return the limits of a replay; None keeps the recorded ones.

    Raises ``ConfigurationError`` for an unknown name, with the nearest known one, and for a bad value.
    """
    if isinstance(config, RiskConfig):
        return Limits(instead=config)
    given = dict(config or {})
    file = given.pop(FILE, None) if isinstance(given.get(FILE), LimitsFile) else None
    changes = _changes(given.items(), "the limits")
    return Limits(changes=changes if file is None else {FILE: file, **changes})


def limits_file(path: str | Path) -> dict[str, Any]:
    """Read a limits file as overrides: a whole one, or limits by name (``max_position_size_exceeded = 50``).

    Raises ``ConfigurationError`` where it can't be read or holds an unknown name or a bad value.
    """
    place = Path(path)
    try:
        content = place.read_bytes()
        if len(content) > _LARGEST_FILE:
            raise ConfigurationError(
                f"{place} has {len(content)} bytes; expected at most {_LARGEST_FILE}. Name a limits file."
            )
        text = content.decode()
        values = tomllib.loads(toml_text(text))
    except OSError as error:
        raise ConfigurationError(
            f"{place} can't be read ({error.strerror}). Correct the path or its permissions."
        ) from None
    except ValueError as error:
        raise ConfigurationError(
            f"{place} is not TOML ({error}). Write lines such as max_position_size_exceeded = 50."
        ) from None
    if values.keys() & {*HEAD, *KINDS}:
        return {FILE: parse_limits_file(text, path=str(place), known=KEYS)}
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


def recorded_config(
    recorded: Mapping[str, Any], file: LimitsFile | None = None
) -> tuple[RiskConfig, list[str]]:
    """Return the limits of ``run.json``, and the names of those that today's code doesn't know.

    ``file``: the run's limits file.
    """
    known = {name: _hashable(value) for name, value in recorded.items() if name in _FIELDS - {FILE}}
    return _config(tuple(known.items()), file), sorted(recorded.keys() - _FIELDS)


def _hashable(value: Any) -> Any:
    return frozenset(value) if isinstance(value, list) else value


@cache
def _config(fields_: tuple[tuple[str, Any], ...], file: LimitsFile | None) -> RiskConfig:
    """Return limits, cached because many runs share them."""
    return RiskConfig(**dict(fields_), limits_file=file)


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
    if limit.kind == "names":
        return _names(limit, name, value, place)
    if limit.may_be_none and str(value).strip().lower() in _NONE_WORDS:
        return None
    if isinstance(value, bool) != (limit.kind == "flag") and not isinstance(value, str):
        raise ConfigurationError(f"{place}: {name} is {shown_word(value)}; expected {_expected(limit)}.")
    if not isinstance(value, bool | int | float | str):
        raise ConfigurationError(f"{place}: {name} is {shown_word(value)}; expected {_expected(limit)}.")
    try:
        read: object = _PARSERS[limit.field](limit.setting or limit.field, str(value))
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{place}: {str(error).replace(limit.setting or limit.field, name, 1)}"
        ) from None
    return read


def _expected(limit: Limit) -> str:
    if limit.field == "position_projection":
        return "worst_case or net"
    if limit.field in LIMIT_BY_KEY and LIMIT_BY_KEY[limit.field].parse is as_count:
        return "a whole number"
    return {"flag": "true or false", "word": "one word"}.get(limit.kind, "a number")


def _names(limit: Limit, name: str, value: object, place: str) -> frozenset[str]:
    if isinstance(value, str):
        value = [one.strip() for one in value.split(",")]
    if isinstance(value, list | tuple | frozenset | set) and all(isinstance(one, str) for one in value):
        given = [str(one) for one in value if one]
        try:
            names: frozenset[str] = LIMIT_BY_KEY[limit.field].parse(name, given)
        except ConfigurationError as error:
            raise ConfigurationError(f"{place}: {error}") from None
        return names
    what = "names of accounts" if limit.field == "accounts" else "a list of names"
    raise ConfigurationError(f"{place}: {name} is {shown_word(value)}; expected {what}.")
