"""The levels at which a limit may be set, and the values set there.

A level is a scope (every account, one account, one symbol, one strategy, one symbol of a strategy) and its
source: the variable or the section that a person wrote. Every level that applies to an intent must hold; they
are asked in the order variable, ``[limits]``, account, symbol, strategy, strategy.symbol.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

VARIABLE, ALL, ACCOUNT, SYMBOL, STRATEGY, STRATEGY_SYMBOL = range(6)
"""The kinds of levels, in the order in which they are asked."""


REQUIRE_AUTHORISED = "require_authorised_strategies"
"""The limit from which a strategy is excepted by having a section of its own."""


@dataclass(frozen=True)
class Scope:
    """What a section is about: every field that is None is any."""

    account: str | None = None
    symbol: str | None = None
    strategy: str | None = None

    @property
    def kind(self) -> int:
        """The kind of level of a section with this scope."""
        if self.strategy is not None:
            return STRATEGY if self.symbol is None else STRATEGY_SYMBOL
        if self.account is not None:
            return ACCOUNT
        return ALL if self.symbol is None else SYMBOL

    @property
    def is_everything(self) -> bool:
        """Whether the scope is every intent."""
        return self.account is None and self.symbol is None and self.strategy is None

    def contains(self, other: Scope) -> bool:
        """Return whether every intent of ``other`` is in this scope, its own included."""
        return all(
            mine is None or mine == theirs
            for mine, theirs in (
                (self.account, other.account),
                (self.symbol, other.symbol),
                (self.strategy, other.strategy),
            )
        )


EVERYTHING = Scope()


@dataclass(frozen=True)
class Level:
    """One value of a limit, where it holds and where it was set.

    ``kind``: its place in the order. ``source``: as messages name it, ``EXEC_MAX_POSITION_QTY`` or
    ``[symbol.TSLA]``. ``except_in``: scopes in which a temporary limit stands in its place.
    """

    kind: int
    source: str
    scope: Scope
    value: Any
    except_in: tuple[Scope, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of a limits file: parsed values by key."""

    source: str
    scope: Scope
    values: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class TemporarySection(Section):
    """Limits that stand in the place of others through the session ``until``."""

    until: date
    approved_by: str
    why: str


@dataclass(frozen=True, kw_only=True, eq=False)
class LimitsFile:
    """A limits file, parsed and checked; equal to another of the same content.

    ``content`` is its text, which a run's record keeps. ``sections``: ``[limits]`` first, then in the
    order of the kinds of levels. ``path``: as messages name it.
    """

    path: str
    content: str
    version: int
    owner: str
    review_by: date
    acknowledged_off: frozenset[str]
    warn_at: float | None = None
    sections: tuple[Section, ...] = ()
    temporary: tuple[TemporarySection, ...] = field(default_factory=tuple)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LimitsFile) and self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)

    def levels(self, key: str) -> tuple[Level, ...]:
        """Return the levels of a limit, in order, temporary ones in the place of those they replace."""
        authorised = self._strategies if key == REQUIRE_AUTHORISED else ()
        held = [section for section in self.temporary if key in section.values]
        found = [
            Level(
                section.scope.kind,
                section.source,
                section.scope,
                section.values[key],
                (*(one.scope for one in held if section.scope.contains(one.scope)), *authorised),
            )
            for section in self.sections
            if key in section.values
        ]
        found += [
            Level(
                section.scope.kind,
                section.source,
                section.scope,
                section.values[key],
                (
                    *(
                        one.scope
                        for one in held
                        if one.scope != section.scope and section.scope.contains(one.scope)
                    ),
                    *authorised,
                ),
            )
            for section in held
        ]
        return tuple(sorted(found, key=lambda level: level.kind))

    @property
    def _strategies(self) -> tuple[Scope, ...]:
        """The scopes of the strategies that have a section of their own."""
        names = (section.scope.strategy for section in (*self.sections, *self.temporary))
        return tuple(Scope(strategy=name) for name in dict.fromkeys(names) if name is not None)

    def sets(self, key: str) -> bool:
        """Return whether any section sets a limit."""
        return any(key in section.values for section in (*self.sections, *self.temporary))

    def sets_for_all(self, key: str) -> bool:
        """Return whether ``[limits]`` sets a limit."""
        return any(section.scope == EVERYTHING and key in section.values for section in self.sections)


def judging(levels: Iterable[Level], scope: Scope) -> tuple[Level, ...]:
    """Return the levels that judge every intent of a scope."""
    return tuple(
        level
        for level in levels
        if level.scope.contains(scope) and not any(part.contains(scope) for part in level.except_in)
    )
