"""Which levels of a limit hold for a row: the variable, and the sections of the limits file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from engine import RiskConfig
from engine.risk.levels import Scope, Section
from tests.engine.risk.oracle.words import Row, instrument

PASS, FAIL, OFF, UNAVAILABLE = "pass", "fail", "off", "unavailable"

IS_NO_LIMIT: dict[str, tuple[Any, ...]] = {
    "allow_short": (True,),
    "reduce_only": (False,),
    "check_assets": (False,),
    "require_open_session": (False,),
    "require_authorised_strategies": (False,),
    "block_self_trades": (False,),
    "restricted_symbols": (frozenset(),),
    "accounts": (frozenset(),),
}
"""Values that refuse nothing."""


@dataclass(frozen=True)
class Level:
    """A value that a row must keep, and where it was set."""

    source: str
    scope: Scope
    value: Any

    @property
    def strategy(self) -> str | None:
        """Whose own book and trades are meant; None for the account's."""
        return self.scope.strategy

    @property
    def order(self) -> int:
        """Variable, ``[limits]``, account, symbol, strategy, strategy.symbol."""
        if not self.source.startswith("["):
            return 0
        account, symbol, strategy = (
            self.scope.account is not None,
            self.scope.symbol is not None,
            self.scope.strategy is not None,
        )
        return 1 + [
            (False, False, False),
            (True, False, False),
            (False, True, False),
            (False, False, True),
            (False, True, True),
        ].index((account, symbol, strategy))


@dataclass(frozen=True)
class Finding:
    """What a rule finds: its verdict, the first failing level, and the level whose figures are shown.

    ``lacks_data``: some level can't judge the row, whether or not another one fails it.
    """

    verdict: str
    source: str = "none"
    shown: Level | None = None
    lacks_data: bool = False


def levels_of(row: Row, key: str, config: RiskConfig) -> list[Level]:
    """Return the levels of a limit that hold for a row, in order."""
    found = []
    value = getattr(config, key, None)
    if value is not None and is_limit(key, value):
        found.append(Level(f"EXEC_{key.upper()}", Scope(), value))
    if config.limits_file is None:
        return found
    mine = [one for one in config.limits_file.sections if key in one.values and concerns(one.scope, row)]
    temporary = [
        one for one in config.limits_file.temporary if key in one.values and concerns(one.scope, row)
    ]
    for section in (*mine, *temporary):
        if any(stands_for(other, section) for other in temporary):
            continue
        if is_limit(key, section.values[key]):
            found.append(Level(section.source, section.scope, section.values[key]))
    return sorted(found, key=lambda level: level.order)


def stands_for(temporary: Section, section: Section) -> bool:
    """Return whether a temporary section replaces another: one of its own scope, or of a wider one."""
    if temporary is section:
        return False
    wide, narrow = section.scope, temporary.scope
    return all(
        getattr(wide, name) in (None, getattr(narrow, name)) for name in ("account", "symbol", "strategy")
    )


def concerns(scope: Scope, row: Row) -> bool:
    return (
        scope.account in (None, row.get("broker_account_id"))
        and scope.symbol in (None, instrument(row.get("symbol")))
        and scope.strategy in (None, row.get("strategy_id"))
    )


def is_limit(key: str, value: Any) -> bool:
    return not any(value == none for none in IS_NO_LIMIT.get(key, ()))


def judged(levels: list[Level], check: Callable[[Level], str]) -> Finding:
    """Judge a row at every level: it fails where one fails, and else is unknown where one is."""
    verdicts = [(level, check(level)) for level in levels]
    lacks_data = any(each == UNAVAILABLE for _, each in verdicts)
    for level, verdict in verdicts:
        if verdict == FAIL:
            return Finding(FAIL, level.source, level, lacks_data)
    shown = levels[0] if levels else None
    for verdict in (UNAVAILABLE, PASS):
        if any(each == verdict for _, each in verdicts):
            return Finding(verdict, shown=shown)
    return Finding(OFF)


def heaviest(*findings: Finding) -> Finding:
    """Return what a rule finds in all: of fail, unavailable, pass and off the first that is found."""
    found = min(findings, key=lambda one: [FAIL, UNAVAILABLE, PASS, OFF].index(one.verdict))
    return replace(found, lacks_data=any(one.lacks_data or one.verdict == UNAVAILABLE for one in findings))


def strictest(row: Row, key: str, config: RiskConfig) -> Any:
    """Return the smallest value of a limit that holds for a row, None where there is none."""
    return min((level.value for level in levels_of(row, key, config)), default=None)
