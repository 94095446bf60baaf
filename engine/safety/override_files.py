"""The override files of the data folder: ``overrides/*.toml``, written by a command or by hand.

A run reads them when it begins and with its inputs. Files whose session is over are moved to
``overrides/expired/`` by the first run after it, which names them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from engine.errors import AlreadyWritten, ConfigurationError, SeveralFaults
from engine.model.calendar import NEW_YORK, trading_date
from engine.record.objects import Objects

if TYPE_CHECKING:  # most runs have no override, and are short
    import pandas as pd

    from engine.risk.override_file import Override, Terms

PLACE, EXPIRED = "overrides/", "overrides/expired/"
_ENDING = ".toml"
_COLUMNS = (
    *("rule", "client_intent_id", "strategy_id", "symbol"),
    *("approved_by", "why", "expires_on", "file"),
)


@dataclass(frozen=True)
class Overrides:
    """The overrides of the data folder by what they are now, each in the order of the files' names."""

    in_force: tuple[Override, ...] = ()
    upcoming: tuple[Override, ...] = ()
    expired: tuple[Override, ...] = ()

    def frame(self) -> pd.DataFrame:
        """Return the input frame ``overrides`` (``engine.risk.inputs``): those in force."""
        import pandas as pd

        return pd.DataFrame([one.row() for one in self.in_force], columns=list(_COLUMNS), dtype=object)


@dataclass(frozen=True)
class OverrideFiles:
    """The override files at ``objects``, as a session reads them."""

    objects: Objects
    today: date
    calendar: str
    _terms: list[Terms] = field(default_factory=list, repr=False, compare=False)

    @classmethod
    def at(cls, objects: Objects, now: datetime, calendar: str) -> OverrideFiles:
        """Return the files as of a timestamp."""
        return cls(objects, trading_date(now, calendar), calendar)

    @property
    def terms(self) -> Terms:
        """What an override is checked against in this session."""
        if not self._terms:
            from engine.risk.book import RULE_BOOK
            from engine.risk.override_file import Terms

            noon = datetime.combine(self.today + timedelta(days=1), time(12), NEW_YORK)
            self._terms.append(Terms(RULE_BOOK, self.today, trading_date(noon, self.calendar)))
        return self._terms[0]

    def read(self) -> Overrides:
        """Return the overrides. Raises ``ConfigurationError`` with the faults of all files.

        Raises ``RecordError`` where the folder or a file can't be read.
        """
        keys = self._keys()
        if not keys:
            return Overrides()
        from engine.risk.override_file import parse_override

        found: list[Override] = []
        faults: list[str] = []
        for key in keys:
            try:
                found.append(parse_override(self.objects.read(key), file=key, terms=self.terms))
            except ConfigurationError as error:
                faults += error.lines
        if faults:
            raise SeveralFaults(faults) if len(faults) > 1 else ConfigurationError(faults[0])
        return Overrides(
            in_force=tuple(one for one in found if one.expires_on == self.today),
            upcoming=tuple(one for one in found if one.expires_on > self.today),
            expired=tuple(one for one in found if one.expires_on < self.today),
        )

    def write(self, override: Override) -> bool:
        """Write an override to its file, whole; return False where there is one already, which stays."""
        from engine.risk.override_file import override_text

        try:
            self.objects.put(override.file, override_text(override).encode())
        except AlreadyWritten:
            return False
        return True

    def set_aside(self, expired: Iterable[Override]) -> None:
        """Move the files of expired overrides to ``overrides/expired/``; may be repeated."""
        for one in expired:
            content = self.objects.read(one.file)
            name = one.file.removeprefix(PLACE).removesuffix(_ENDING)
            digest = hashlib.sha256(content).hexdigest()[:16]
            with suppress(AlreadyWritten):  # by a job that was killed before it removed the file
                self.objects.put(f"{EXPIRED}{name}.{digest}{_ENDING}", content)
            self.objects.delete(one.file)

    def _keys(self) -> list[str]:
        keys = self.objects.list(PLACE)
        return [key for key in keys if key.endswith(_ENDING) and "/" not in key.removeprefix(PLACE)]


def file_of(rule: str, about: str, name: str, expires_on: date) -> str:
    """Return the key of the file of an override, one for each rule, session and what it is about."""
    digest = hashlib.sha256(f"{about}\0{name}".encode()).hexdigest()[:16]
    return f"{PLACE}{expires_on.isoformat()}-{rule}-{digest}{_ENDING}"
