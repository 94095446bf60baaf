"""What the rule book has to do with a limits file: its keys, and which of them switch a rule on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date

from engine.risk.book import LIMITS, RULE_BOOK
from engine.risk.levels import LimitsFile, TemporarySection
from engine.risk.limits_file.checks import check_acknowledged, check_dates, rules_off
from engine.risk.limits_file.names import did_you_mean, scope_text
from engine.risk.limits_file.parsing import parse_limits_file
from engine.risk.limits_file.writing import toml_value
from engine.risk.rule import Limit, Rule
from engine.settings.limits_text import FILE, limits_text
from engine.settings.variables import read_setting

KEYS: Mapping[str, Limit] = {limit.key: limit for limit in LIMITS if limit.scopes}
"""The limits that a limits file may set, by key."""


def limits_of(rule: Rule) -> tuple[Limit, ...]:
    """Return the limits of a rule that a limits file may set for it."""
    own = rule.limit
    only_by_variable = own is not None and not set(rule.kinds).intersection(own.scopes)
    return tuple(limit for limit in rule.limits if limit.scopes and not (only_by_variable and limit is own))


def _switches(rule: Rule) -> tuple[str, ...]:
    """Return the keys of which one has to be set for a rule to be on: all but those that only describe."""
    return tuple(limit.key for limit in limits_of(rule) if limit not in rule.settings)


SWITCHES: Mapping[str, tuple[str, ...]] = {rule.name: _switches(rule) for rule in RULE_BOOK}
"""By rule, in the order of the book, the keys of which one has to be set for the rule to be on."""

ALWAYS_ON = frozenset(
    limit.key
    for rule in RULE_BOOK
    for limit in limits_of(rule)
    if limit.default or limit.kind == "word" or (rule.judges_unset and limit is rule.limit)
)
"""The keys that have a default, of which one word always holds, or whose rule judges without them."""


def read_limits_file(path: str, *, named_by: str = FILE, may_be_pipe: bool = False) -> LimitsFile:
    """Return a limits file. ``named_by``: the setting or option that names it.

    Raises ``ConfigurationError`` where it can't be read or has a fault. Dates and rules are not compared.
    """
    content = limits_text(path, named_by=named_by, may_be_pipe=may_be_pipe)
    return parse_limits_file(content, path=path, known=KEYS)


def keys_of_variables(env: Mapping[str, str]) -> frozenset[str]:
    """Return the keys that environment variables set."""
    return frozenset(limit.key for limit in LIMITS if limit.env and env.get(limit.env))


def limits_file_of(env: Mapping[str, str]) -> LimitsFile | None:
    """Return the file that ``EXEC_LIMITS_FILE`` names, None where it is unset.

    Raises ``ConfigurationError`` where it can't be read, has a fault, or does not name the rules that
    are off. Dates are compared when a run begins.
    """
    path = read_setting(FILE, env)
    if path is None:
        return None
    file = read_limits_file(path)
    check_rules(file, env)
    return file


def check_rules(file: LimitsFile, env: Mapping[str, str]) -> None:
    """Check that the file names the rules that are off. Raises ``ConfigurationError``."""
    check_acknowledged(file, SWITCHES, set_elsewhere=ALWAYS_ON | keys_of_variables(env))


def off(file: LimitsFile | None, set_by_variables: Collection[str] = ()) -> tuple[str, ...]:
    """Return the rules that nothing sets, in the order of the book."""
    return rules_off(file, SWITCHES, set_elsewhere=ALWAYS_ON.union(set_by_variables))


def remarks_on(file: LimitsFile, on: date) -> list[str]:
    """Return what every run says about its limits file: that its review is due, and each temporary limit.

    ``on``: the session. Raises ``ConfigurationError`` where the file may not be used in it.
    """
    return [*check_dates(file, on), *map(_temporary, file.temporary)]


def accounts_without_use(file: LimitsFile, accounts: frozenset[str]) -> list[str]:
    """Return a remark on each account of the file that is none of those that may trade.

    ``accounts``: empty where any may trade. Such a section limits nothing here.
    """
    sections = (*file.sections, *file.temporary)
    named = dict.fromkeys(
        (one.scope.account, one.source) for one in sections if one.scope.account is not None
    )
    return [
        f"{source} of the limits file is about the account {account}, which is none of those that may trade. "
        + did_you_mean(str(account), accounts, otherwise="It limits nothing here.")
        for account, source in named
        if accounts and account not in accounts
    ]


def _temporary(section: TemporarySection) -> str:
    limits = ", ".join(f"{key} is {toml_value(value)}" for key, value in section.values.items())
    return (
        f"{section.source} of the limits file: {limits} in {scope_text(section.scope)} through "
        f"{section.until}, approved by {section.approved_by}: {section.why}."
    )
