"""The difference of two limits files: which lines let more orders through, and which fewer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

from engine.risk.levels import EVERYTHING, STRATEGY, LimitsFile, Scope, Section, TemporarySection
from engine.risk.limits_file.lines import FileLines
from engine.risk.limits_file.writing import toml_value
from engine.risk.rule import Limit

LOOSER, TIGHTER, CHANGED = "LOOSER", "TIGHTER", "CHANGED"
_OPPOSITE = {LOOSER: TIGHTER, TIGHTER: LOOSER, CHANGED: CHANGED, "": ""}
S = TypeVar("S", bound=Section)
STRICTNESS = {"on_refusal": ("row", "strategy", "file")}
"""Words that are values of a limit, the strictest last."""

AUTHORISATION = "require_authorised_strategies"


@dataclass(frozen=True)
class Change:
    """A line that differs. ``mark``: LOOSER where some order passes that did not before.

    ``section``: "" above the first one. ``key``: "" for the section itself. ``before`` and ``after``: as TOML
    writes them, "" where it is not set. ``place``: where it stands in the second file, or stood in the first.
    """

    mark: str
    section: str
    key: str
    before: str
    after: str
    place: str


def differences(
    before: LimitsFile, after: LimitsFile, known: Mapping[str, Limit], *, on: date
) -> tuple[Change, ...]:
    """Return what differs between two files, in the order of a file.

    Of a limit where nothing is set, its default holds. Temporary limits that ended before ``on`` are none.
    What is written in another way and means the same is no difference.
    """
    compared = _Compared(before, after, known, on)
    return (*compared.head(), *compared.sections(), *compared.temporary())


def compare(limit: Limit, before: Any, after: Any) -> str:
    """Return whether one value of a limit lets more orders through than another; None is no limit.

    "" where nothing changes, CHANGED where the values differ and no order is judged otherwise, or where
    neither lets more through.
    """
    if before == after:
        return ""
    was, now = (limit.off if value is None else value for value in (before, after))
    if was == now or not (limit.looser or limit.key in STRICTNESS):
        return CHANGED
    return TIGHTER if _holds_more(limit, now, was) else LOOSER


def _holds_more(limit: Limit, one: Any, other: Any) -> bool:
    """Return whether ``one`` lets through no order that ``other`` refuses; what is off lets everything."""
    if limit.off in (one, other):
        return bool(other == limit.off)
    if limit.kind == "word":
        strictness = STRICTNESS.get(limit.key, ())
        return one in strictness and other in strictness and strictness.index(one) >= strictness.index(other)
    return bool(one >= other) if limit.looser in {"lower", "fewer"} else bool(one <= other)


def _combined(marks: set[str]) -> str:
    return next((mark for mark in (LOOSER, TIGHTER, CHANGED) if mark in marks), "")


class _Compared:
    """Two files."""

    def __init__(self, before: LimitsFile, after: LimitsFile, known: Mapping[str, Limit], on: date) -> None:
        self._before, self._after, self._known, self._on = before, after, known, on
        self._lines = (FileLines(before), FileLines(after))

    def head(self) -> Iterator[Change]:
        """Yield what differs above the sections, and the share to warn at: no verdict depends on it."""
        for key in ("owner", "review_by", "acknowledged_off"):
            was, now = (self._of_head(file, key) for file in (self._before, self._after))
            if was != now:
                yield Change(CHANGED, "", key, was, now, self._lines[1].place(key))
        if self._before.warn_at != self._after.warn_at:
            was, now = (
                "" if file.warn_at is None else toml_value(file.warn_at)
                for file in (self._before, self._after)
            )
            yield Change(CHANGED, "[limits]", "warn_at", was, now, self._place("[limits]", "warn_at", now))

    def sections(self) -> Iterator[Change]:
        """Yield what differs in the permanent sections."""
        was, now = (_by_scope(file.sections) for file in (self._before, self._after))
        for scope in sorted({**now, **was}, key=lambda scope: scope.kind):
            old, new = was.get(scope), now.get(scope)
            yield from self._authorisation(scope, old, new)
            for key in _keys(old, new):
                limit = self._known[key]
                default = limit.default if scope == EVERYTHING else None
                values = [section.values.get(key) if section else None for section in (old, new)]
                mark = compare(limit, *(default if value is None else value for value in values))
                if values[0] != values[1] and (mark or None in values):
                    yield self._change(mark or CHANGED, _either(new, old), key, *map(_shown, values))

    def temporary(self) -> Iterator[Change]:
        """Yield what differs in the temporary sections: a limit is the same one by scope and key."""
        was, now = (_temporary(file, self._on) for file in (self._before, self._after))
        for scope, key in {**now, **was}:
            old, new = was.get((scope, key)), now.get((scope, key))
            mark = _combined({self._mark_of_temporary(key, old, new), self._mark_of_strategy(scope, new)})
            if mark:
                before, after = (_shown_until(section, key) for section in (old, new))
                yield self._change(mark, _either(new, old), key, before, after)

    def _mark_of_temporary(self, key: str, old: TemporarySection | None, new: TemporarySection | None) -> str:
        if old is None:
            return self._against_replaced(self._after, _either(new, old), key)
        if new is None:
            return _OPPOSITE[self._against_replaced(self._before, old, key)]
        marks = {compare(self._known[key], old.values[key], new.values[key])}
        if new.until != old.until:
            longer = self._against_replaced(self._after, new, key)
            marks.add(longer if new.until > old.until else _OPPOSITE[longer])
        if (new.source, new.approved_by, new.why) != (old.source, old.approved_by, old.why):
            marks.add(CHANGED)
        return _combined(marks)

    def _mark_of_strategy(self, scope: Scope, new: TemporarySection | None) -> str:
        """Return LOOSER where a temporary section is what authorises its strategy."""
        asked = all(_requires_sections(file) for file in (self._before, self._after))
        known = {section.scope.strategy for section in (*self._before.sections, *self._before.temporary)}
        return LOOSER if asked and new is not None and scope.strategy not in known | {None} else ""

    def _against_replaced(self, file: LimitsFile, section: TemporarySection, key: str) -> str:
        """Return what a temporary limit is compared with the limits that it replaces."""
        limit, value = self._known[key], section.values[key]
        others = [one for one in file.temporary if one.scope != section.scope and one.until >= self._on]
        replaced = [
            one.values[key]
            for one in (*file.sections, *others)
            if key in one.values and one.scope.contains(section.scope)
        ]
        if limit.default is not None and not file.sets_for_all(key):
            replaced.append(limit.default)
        return _combined({compare(limit, one, value) for one in replaced or [None]}) or CHANGED

    def _authorisation(self, scope: Scope, old: Section | None, new: Section | None) -> Iterator[Change]:
        """Yield a strategy's section that comes or goes: it may be what authorises the strategy."""
        if scope.kind != STRATEGY or (old is None) == (new is None):
            return
        asked = all(_requires_sections(file) for file in (self._before, self._after))
        mark = CHANGED if not asked else LOOSER if old is None else TIGHTER
        section = _either(new, old)
        if asked or not section.values:
            was, now = ("" if one is None else "section" for one in (old, new))
            yield self._change(mark, section, "", was, now)

    def _change(self, mark: str, section: Section, key: str, before: str, after: str) -> Change:
        return Change(mark, section.source, key, before, after, self._place(section.source, key, after))

    def _place(self, source: str, key: str, after: str) -> str:
        """Return where a line stands: in the second file, or where it is gone, in the first."""
        return self._lines[1 if after else 0].place(source, key)

    def _of_head(self, file: LimitsFile, key: str) -> str:
        value = getattr(file, key)
        return toml_value(value)


def _either(first: S | None, second: S | None) -> S:
    """Return the section that there is."""
    found = first or second
    assert found is not None
    return found


def _by_scope(sections: tuple[Section, ...]) -> dict[Scope, Section]:
    return {section.scope: section for section in sections}


def _keys(old: Section | None, new: Section | None) -> dict[str, None]:
    return dict.fromkeys(key for section in (new, old) if section is not None for key in section.values)


def _temporary(file: LimitsFile, on: date) -> dict[tuple[Scope, str], TemporarySection]:
    return {
        (section.scope, key): section
        for section in file.temporary
        if section.until >= on
        for key in section.values
    }


def _requires_sections(file: LimitsFile) -> bool:
    return any(section.values.get(AUTHORISATION, False) for section in (*file.sections, *file.temporary))


def _shown(value: Any) -> str:
    return "" if value is None else toml_value(value)


def _shown_until(section: TemporarySection | None, key: str) -> str:
    if section is None:
        return ""
    return f"{toml_value(section.values[key])} until {section.until}, approved by {section.approved_by}"
