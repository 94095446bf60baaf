"""The limits that intents are judged by: from variables, from a limits file, or given in Python."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, make_dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigurationError
from engine.risk.book import LIMIT_BY_KEY, LIMITS, RULE_BOOK
from engine.risk.levels import EVERYTHING, VARIABLE, Level, LimitsFile
from engine.risk.policies import PRO_RATA, SHARE
from engine.risk.quote_limits import QUOTE_LIMITS
from engine.risk.quotes import QuoteLevels
from engine.risk.rule import Limit
from engine.risk.settings import check_names
from engine.settings.limits_text import FILE
from engine.settings.values import PROJECTIONS, Projection
from engine.settings.variables import account_names, read, read_setting
from engine.text.masking import shown_word

_UNSET = object()

if TYPE_CHECKING:

    class _OfTheBook:
        """The limits of the rule book as attributes."""

        def __getattr__(self, key: str) -> Any: ...

else:
    _OfTheBook = make_dataclass(
        "_OfTheBook",
        [(limit.key, Any, field(default=_UNSET)) for limit in LIMITS],
        frozen=True,
        kw_only=True,
    )


@dataclass(frozen=True, kw_only=True)
class RiskConfig(_OfTheBook):
    """The limits that intents are judged by.

    Every limit of the rule book is a keyword and a field, such as ``max_position_qty`` (shares, 0 to below
    1e9; 100 by default), ``max_daily_trades`` (50 by default) or ``max_order_qty`` (None: no limit).
    ``accounts``: the accounts that may trade, empty for any. ``fail_open``: skip a rule whose data is
    unavailable. ``position_projection``: ``worst_case`` or ``net``. ``limits_file``: limits at further
    levels; all of them must hold. Raises ``ConfigurationError`` for anything that is not a limit.
    """

    fail_open: bool = False
    position_projection: Projection = "worst_case"
    limits_file: LimitsFile | None = None

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            fail_open: bool = False,
            position_projection: Projection = "worst_case",
            limits_file: LimitsFile | None = None,
            **limits: Any,
        ) -> None: ...

    def __post_init__(self) -> None:
        if self.position_projection not in PROJECTIONS:
            raise ConfigurationError(
                f"position_projection is {shown_word(self.position_projection)}; expected worst_case or net."
            )
        if not isinstance(self.fail_open, bool):
            raise ConfigurationError(f"fail_open is {self.fail_open!r}; expected True or False.")
        for limit in LIMITS:
            value = getattr(self, limit.key)
            set_by_file = self.limits_file is not None and self.limits_file.sets_for_all(limit.key)
            if value is _UNSET:
                value = None if set_by_file else limit.default
            elif value is not None or not (set_by_file or limit.default is None):
                value = _checked(limit, value)
            object.__setattr__(self, limit.key, value)
        if self.shares_pro_rata and self.position_projection == "net":
            raise ConfigurationError(
                "share is pro_rata and EXEC_POSITION_PROJECTION is net, which has no headroom to divide. "
                "Set it to worst_case, or share to first_come."
            )

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> RiskConfig:
        """Return the limits from environment variables (``os.environ`` by default) and their limits file.

        Raises ``ConfigurationError``, also for names that look like a setting and are none.
        """
        env = os.environ if env is None else env
        file = None
        if read_setting(FILE, env):
            from engine.risk.limits_of_book import limits_file_of

            file = limits_file_of(env)
        return cls.of_variables(env, limits_file=file)

    @classmethod
    def of_variables(cls, env: Mapping[str, str], *, limits_file: LimitsFile | None = None) -> RiskConfig:
        """Return the limits from environment variables, and those of a limits file that was read.

        Raises ``ConfigurationError`` as above.
        """
        check_names(env)
        given = {limit.key: read(limit.env, limit.parse, env) for limit in LIMITS if limit.env}
        return cls(
            limits_file=limits_file,
            fail_open=read_setting("EXEC_RISK_FAIL_OPEN", env),
            position_projection=read_setting("EXEC_POSITION_PROJECTION", env),
            accounts=account_names(env),
            **{key: value for key, value in given.items() if value is not None},
        )

    def levels(self, key: str) -> tuple[Level, ...]:
        """Return the levels at which a limit is set, in the order in which they are asked."""
        limit, value = LIMIT_BY_KEY[key], getattr(self, key)
        own = (Level(VARIABLE, limit.env or key, EVERYTHING, value),) if _is_set(limit, value) else ()
        if self.limits_file is None:
            return own
        return own + tuple(level for level in self.limits_file.levels(key) if _is_set(limit, level.value))

    @property
    def judges_together(self) -> bool:
        """Whether any limit judges the orders of a file, or of a strategy, together."""
        return any(
            self.levels(limit.key)
            for rule in RULE_BOOK
            for limit in (
                rule.limits
                if rule.refuses_groups
                else [part.limit for part in rule.parts if part.is_of_files]
            )
            if limit is not None
        )

    @property
    def names_strategies(self) -> bool:
        """Whether any limit tells strategies apart."""
        if self.shares_pro_rata:
            return True
        file = self.limits_file
        sections = (*file.sections, *file.temporary) if file else ()
        return any(section.scope.strategy is not None for section in sections)

    @property
    def shares_pro_rata(self) -> bool:
        """Whether strategies that compete for a limit share it by what they ask for."""
        return any(level.value == PRO_RATA for level in self.levels(SHARE.key))

    def rules_off(self) -> list[str]:
        """Return the rules that have a limit of their own which no level sets."""
        return [
            rule.name
            for rule in RULE_BOOK
            if rule.limit is not None
            and not rule.judges_unset
            and not any(self.levels(limit.key) for limit in rule.limits if limit not in rule.settings)
        ]

    def frames_needed(self) -> frozenset[str]:
        """Return the input frames that the limits in force need besides those of every run."""
        return frozenset(frame for frame, _, _ in self._needs())

    def limits_needing(self) -> dict[str, tuple[str, ...]]:
        """Return those frames, each with the keys of the limits that need it."""
        needing: dict[str, dict[str, None]] = {}
        for frame, key, _ in self._needs():
            needing.setdefault(frame, {})[key] = None
        return {frame: tuple(keys) for frame, keys in needing.items()}

    def levels_needing(self, frame: str) -> tuple[Level, ...]:
        """Return the levels of limits whose rules need an input frame."""
        return tuple(level for needed, _, level in self._needs() if needed == frame)

    def _needs(self) -> Iterator[tuple[str, str, Level]]:
        """Yield each input frame with the keys and levels of limits that need it."""
        for rule in RULE_BOOK:
            own = rule.limit.key if rule.limit else ""
            for level in self.levels(own) if own else ():
                frames = [frame for frame, kinds in rule.reads_by_level.items() if level.kind in kinds]
                frames += rule.reads if level.kind in rule.kinds else ()
                yield from ((frame, own, level) for frame in frames)
            for key, of_key in rule.reads_by_key.items():
                yield from ((frame, key, level) for level in self.levels(key) for frame in of_key)

    @property
    def quote_levels(self) -> QuoteLevels:
        """The levels that say how old and how wide a quote may be."""
        return QuoteLevels.of(*(self.levels(limit.key) for limit in QUOTE_LIMITS))

    def changed(self, **changes: Any) -> RiskConfig:
        """Return the same limits with some of them replaced, as ``dataclasses.replace`` does."""
        return replace(self, **changes)

    def record(self) -> dict[str, Any]:
        """Return the limits as JSON values, without the file: what ``run.json`` keeps."""
        values = {limit.key: getattr(self, limit.key) for limit in LIMITS}
        kept = {key: _as_json(value) for key, value in values.items() if _is_kept(key, value)}
        return kept | {"fail_open": self.fail_open, "position_projection": self.position_projection}


def _checked(limit: Limit, value: Any) -> Any:
    """Return a value given in Python, read as strictly as a variable."""
    if limit.kind == "number":
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ConfigurationError(f"{limit.key} is {shown_word(value)}; expected a number.")
        return limit.parse(limit.key, str(value))
    if limit.kind == "flag":
        if not isinstance(value, bool):
            raise ConfigurationError(f"{limit.key} is {shown_word(value)}; expected True or False.")
        return value
    if limit.kind == "names" and not (
        isinstance(value, frozenset) and all(isinstance(one, str) for one in value)
    ):
        raise ConfigurationError(f"{limit.key} is {value!r}; expected a frozenset of text.")
    return limit.parse(limit.key, value)


def _is_set(limit: Limit, value: Any) -> bool:
    return value is not None and value != limit.off


def _is_kept(key: str, value: Any) -> bool:
    """Return whether a record names a limit: those of the first rule book always, others where set."""
    return value != LIMIT_BY_KEY[key].default or key in FIRST_BOOK


FIRST_BOOK = frozenset({"max_position_qty", "max_daily_trades", "intent_max_age_s", "accounts"})


def _as_json(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset) else value
