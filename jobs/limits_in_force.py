"""``limits show``: which limits apply, and from where."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from engine.model.symbols import canonical_symbol
from engine.risk.book import LIMITS
from engine.risk.config import RiskConfig
from engine.risk.levels import VARIABLE, Level, LimitsFile, Scope, TemporarySection
from engine.risk.limits_file.checks import check_dates
from engine.risk.limits_file.names import nearest, scope_text
from engine.risk.limits_file.writing import toml_value
from engine.risk.limits_of_book import keys_of_variables, off
from jobs.limits import today
from jobs.tables import print_json, print_table, say

_ACCOUNTS = "EXEC_BROKER_ACCOUNT_ID or EXEC_ACCOUNTS_FILE"
_BOTH = "both enforced: the tighter one decides"


@dataclass(frozen=True)
class Shown:
    """A limit at one level. ``set_by``: a variable, a section, or ``default``. ``value``: as TOML writes it.

    ``both_enforced``: a variable and the limits file set it. ``not_in``: where temporary limits stand in its
    place.
    """

    limit: str
    value: str
    unit: str
    set_by: str
    scope: Mapping[str, str | None]
    until: str | None
    approved_by: str | None
    why: str | None
    both_enforced: bool
    not_in: tuple[str, ...]

    @property
    def notes(self) -> str:
        """What a reader has to know besides."""
        notes = [_BOTH] if self.both_enforced else []
        if self.until is not None:
            held = scope_text(Scope(**self.scope))
            notes.append(f"{held} until {self.until}, approved by {self.approved_by}: {self.why}")
        notes += [f"not in {scope}, where a temporary limit holds" for scope in self.not_in]
        return "; ".join(notes)


def show(*, account: str | None, strategy: str | None, symbol: str | None, as_json: bool) -> int:
    """Print the limits that apply to an account, a strategy and a symbol; return the exit code.

    What is not named may be any. Raises ``ConfigurationError`` where a run could not start with the limits.
    """
    asked = Scope(account, None if symbol is None else canonical_symbol(symbol), strategy)
    config = RiskConfig.from_env(os.environ)
    file = config.limits_file
    warnings = [*check_dates(file, today()), *_other_names(file, asked)] if file is not None else []
    shown = list(_shown(config, asked))
    rules = off(file, keys_of_variables(os.environ))
    if as_json:
        body = {"limits_file": file.path if file else None, "limits": [asdict(one) for one in shown]}
        print_json({"exit_code": 0, **body, "off": rules, "warnings": warnings})
        return 0
    say(_where_from(file))
    for warning in warnings:
        say(f"Warning: {warning}", color="yellow")
    rows = [(one.limit, one.value, one.unit, one.set_by, one.notes) for one in shown]
    print_table("Limits that apply", ("limit", "value", "unit", "set by", ""), rows, right=("value",))
    say()
    say(f"Off, since nothing sets them: {', '.join(rules)}." if rules else "Every rule is on.")
    return 0


def _other_names(file: LimitsFile, asked: Scope) -> Iterator[str]:
    """Yield a warning for each asked name that no section has, where one has nearly the same."""
    scopes = [section.scope for section in (*file.sections, *file.temporary)]
    for kind, name in asdict(asked).items():
        names = {value for scope in scopes if (value := asdict(scope)[kind]) is not None}
        if name is not None and name not in names and (meant := nearest(name, names)):
            yield (
                f"no section of the limits file is about the {kind} {name}. Did you mean {meant}? Names "
                f"count exactly as they are written."
            )


def _where_from(file: LimitsFile | None) -> str:
    if file is None:
        return "EXEC_LIMITS_FILE is unset: variables and defaults apply."
    return f"{file.path}: owner {file.owner}, to be reviewed by {file.review_by}."


def _shown(config: RiskConfig, asked: Scope) -> Iterator[Shown]:
    """Yield the levels of each limit that may judge an intent of this scope, in the order of the book."""
    by_variable = keys_of_variables(os.environ)
    temporary = {section.source: section for section in _temporary(config.limits_file)}
    for limit in LIMITS:
        levels = config.levels(limit.key)
        both = limit.key in by_variable and any(level.kind != VARIABLE for level in levels)
        for level in levels:
            if not _may_judge(level, asked) or level.value == limit.default == frozenset():
                continue
            section = temporary.get(level.source)
            is_variable = level.kind == VARIABLE
            is_default = is_variable and limit.key not in by_variable and level.value == limit.default
            source = _ACCOUNTS if is_variable and limit.key == "accounts" else level.source
            yield Shown(
                limit.key,
                toml_value(level.value),
                limit.unit,
                "default" if is_default else source,
                asdict(level.scope),
                section.until.isoformat() if section else None,
                section.approved_by if section else None,
                section.why if section else None,
                both and not is_default,
                tuple(map(scope_text, level.except_in)),
            )


def _temporary(file: LimitsFile | None) -> tuple[TemporarySection, ...]:
    return file.temporary if file is not None else ()


def _may_judge(level: Level, asked: Scope) -> bool:
    """Return whether a level holds for some intent of a scope."""
    own, wanted = asdict(level.scope), asdict(asked)
    if any(own[name] not in {None, value} for name, value in wanted.items() if value is not None):
        return False
    both = Scope(**{name: value or wanted[name] for name, value in own.items()})
    return not any(scope.contains(both) for scope in level.except_in)
