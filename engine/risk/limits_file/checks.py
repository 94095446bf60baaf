"""A limits file compared with the date of a run, and with the rule book."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, timedelta

from engine.errors import ConfigurationError, SeveralFaults
from engine.risk.levels import LimitsFile
from engine.risk.limits_file.lines import FileLines
from engine.risk.limits_file.names import did_you_mean, listed
from engine.risk.limits_file.parsing import ALL_RULES
from engine.text.masking import shown_text

GRACE = timedelta(days=30)
"""How long after ``review_by`` a file is still used, with a warning."""


def check_dates(file: LimitsFile, on: date) -> tuple[str, ...]:
    """Return a warning where the file is to be reviewed. ``on``: the session of the run's ``as_of``.

    Raises ``ConfigurationError`` where a temporary section has ended, and once ``review_by`` is more than 30
    days ago.
    """
    if on <= file.review_by and not any(section.until < on for section in file.temporary):
        return ()
    lines = FileLines(file)
    faults = [
        f"{lines.place(section.source)} {section.source} ended with the session of {section.until}, "
        f"and this one is {on}; expected sections that still hold. Take the section out; where its limits "
        f"are still needed, have them approved anew and correct until."
        for section in file.temporary
        if section.until < on
    ]
    if on > file.review_by + GRACE:
        faults.append(
            f"{lines.place('review_by')} review_by is {file.review_by}, more than {GRACE.days} days before "
            f"{on}; expected limits that {file.owner} has reviewed. Review them, and write the date of the "
            f"next review."
        )
    _raise(faults)
    warning = (
        f"{lines.place('review_by')} the limits were to be reviewed by {file.review_by}, by {file.owner}. "
        f"From {file.review_by + GRACE + timedelta(days=1)} on nothing runs with this file."
    )
    return (warning,)


def check_acknowledged(
    file: LimitsFile, rules: Mapping[str, tuple[str, ...]], *, set_elsewhere: Collection[str]
) -> None:
    """Check that ``acknowledged_off`` names the rules that nothing sets, and no others.

    ``rules``: by name, in the order of the book, the keys of which one has to be set for the rule to be on;
    none for a rule that is always on. ``set_elsewhere``: keys that a variable sets, or that have a default:
    their rules may be named, and stay on. Not asked of a replay: a recorded file lacks the rules of later
    versions. Raises ``ConfigurationError``.
    """
    lines = FileLines(file)
    named = file.acknowledged_off - {ALL_RULES}
    faults = [
        f"{lines.place_of_acknowledged(name)} {fault}"
        for name in sorted(named)
        if (fault := _wrong_name(file, rules, name, lines))
    ]
    if ALL_RULES not in file.acknowledged_off:
        off = rules_off(file, rules, set_elsewhere=set_elsewhere)
        missing = [name for name in off if name not in named]
        if missing:
            whole = ", ".join(f'"{name}"' for name in (*(one for one in rules if one in named), *missing))
            faults.append(
                f"{lines.place('acknowledged_off')} nothing sets {_a_limit_of(missing)}, and "
                f"acknowledged_off does not say that this is meant. Set a limit, or write "
                f"acknowledged_off = [{whole}]"
            )
    _raise(faults)


def rules_off(
    file: LimitsFile | None, rules: Mapping[str, tuple[str, ...]], *, set_elsewhere: Collection[str]
) -> tuple[str, ...]:
    """Return the rules that have keys and of which nothing sets one, in the order of the book."""
    return tuple(
        name
        for name, keys in rules.items()
        if keys and not any(key in set_elsewhere or (file is not None and file.sets(key)) for key in keys)
    )


def _wrong_name(file: LimitsFile, rules: Mapping[str, tuple[str, ...]], name: str, lines: FileLines) -> str:
    """Return why a name may not stand in ``acknowledged_off``, empty where it may."""
    if name not in rules:
        by_key = next((rule for rule, keys in rules.items() if name in keys), None)
        hint = f"Write {by_key}." if by_key else did_you_mean(name, rules, otherwise="Take it out.")
        return f"acknowledged_off has {shown_text(name)}, which is no rule. {hint}"
    keys = rules[name]
    if not keys:
        return f"acknowledged_off has {name}, which has no key in a limits file. Take it out."
    found = [
        (lines.line(section.source, key), f"{key} in {section.source}")
        for section in (*file.sections, *file.temporary)
        for key in keys
        if key in section.values
    ]
    if not found:
        return ""
    line, what = min(found)
    return (
        f"acknowledged_off has {name}, which is on: line {line} sets {what}. Take the name out of the list."
    )


def _a_limit_of(rules: list[str]) -> str:
    return f"a limit of {rules[0]}" if len(rules) == 1 else f"a limit of these rules: {listed(rules)}"


def _raise(faults: list[str]) -> None:
    if len(faults) == 1:
        raise ConfigurationError(faults[0])
    if faults:
        raise SeveralFaults(faults)
