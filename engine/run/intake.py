"""Reading the inbox: files fail one by one, and the total of a run is bounded.

A file that is read is copied to the archive, or to the quarantine where it can't be parsed, before the batch
is sealed. A file that is left stays in the inbox, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engine.errors import AlreadyWritten, ConfigurationError, EngineError, RecordError, UnusablePlace
from engine.intents.identity import IdentityRules
from engine.intents.limits import beyond
from engine.intents.local_times import InboxZone
from engine.intents.reading import Context, IntentFile, read_intent_file, refused_whole
from engine.intents.reading_together import MOST_FILES, SMALL_BYTES, SmallFile, read_together
from engine.model.calendar import trading_date
from engine.record.objects import Objects, many_puts
from engine.record.run_folder import RunFolder
from engine.record.system_errors import fault_of
from engine.run.put_away import Remover, taken_before
from engine.settings.values import has_zone
from engine.settings.variables import IntakeLimits
from engine.stores.inbox.files import UPLOAD_RESTS_S, Dropped, Left, hash_of, name_with_hash, why_not_kept
from engine.stores.inbox.inbox import Inbox
from engine.stores.inbox.reading import Reading
from engine.text.printable import shown

CLOCK_SKEW_S = 5.0
"""How far another machine's clock may be ahead of ours."""
_CARRIES_A_HASH = re.compile(r"\.[0-9a-f]{16}(\.|$)")
_NEXT_SESSION = "the session of this run is over, and the file belongs to the next one"
_FULL = "this run has read as much as it may ({}); the next run takes it"


@dataclass
class Intake:
    """The intake of a run: files read, their entries of ``collected.json``, and files left in the inbox.

    ``held_bytes``, ``rows`` and ``refused`` are totals of all files so far.
    """

    files: list[IntentFile] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    held_bytes: int = 0
    rows: int = 0
    refused: int = 0

    def add(self, file: IntentFile, entry: dict[str, Any]) -> None:
        """Add a file."""
        self.files.append(file)
        self.entries.append(entry)
        self.held_bytes += max(entry["size"] if not entry["by_moving"] else 0, file.held_bytes)
        self.rows += file.rows
        self.refused += len(file.refused)

    def why_full(self, dropped: Dropped, limits: IntakeLimits) -> str | None:
        """Return the limit that keeps another file out of this run, None where there is room."""
        if not self.files:
            return None
        full = {
            "max_total_bytes": self.held_bytes + min(dropped.size, limits.max_file_bytes)
            > limits.max_total_bytes,
            "max_files": len(self.files) >= limits.max_files,
            "max_rows": self.rows >= limits.max_rows,
            "max_refused_rows": self.refused >= max(limits.max_refused_rows, 1),
        }
        return next((IntakeLimits.setting_of(limit) for limit, is_full in full.items() if is_full), None)


def take_in(
    folder: RunFolder,
    remover: Remover,
    *,
    clock: Callable[[], datetime],
    progress: Callable[[str, int, int], None],
    previous: Callable[[], Collection[IdentityRules]] = tuple,
) -> Intake:
    """Read the inbox within the limits, oldest files first, and copy each file to archive or quarantine.

    The identity of rows is computed under the run's rules, and under the ``previous`` ones, which are called
    only where there is a file.
    """
    limits = IntakeLimits.of_record(folder.start["settings"])
    inbox = remover.inbox
    inbox.recover(max_depth=limits.max_depth)
    found = inbox.find(max_depth=limits.max_depth)
    files, known = taken_before(found, remover)
    intake = Intake(left=[*found.left, *known])
    with many_puts(remover.objects) as objects:
        rules = previous() if files else ()
        reader = _Reader(
            folder=folder,
            inbox=inbox,
            objects=objects,
            clock=clock,
            limits=limits,
            previous=rules,
            zone=_zone(folder),
        )
        done = 0
        for several in _several(sorted(files, key=lambda file: (file.mtime_ns, file.name))):
            progress("reading files", done, len(files))
            reader.take(several, intake)
            done += len(several)
    progress("reading files", len(files), len(files))
    return intake


def _several(files: list[Dropped]) -> Iterator[list[Dropped]]:
    """Yield the files in order, consecutive small ones together."""
    together: list[Dropped] = []
    for dropped in files:
        if together and (dropped.size > SMALL_BYTES or len(together) == MOST_FILES):
            yield together
            together = []
        together.append(dropped)
        if dropped.size > SMALL_BYTES:
            yield together
            together = []
    if together:
        yield together


def _zone(folder: RunFolder) -> InboxZone:
    """Return the time zone that a run began with. Raises ``ConfigurationError`` where it is not installed."""
    zone = folder.start["settings"].get("inbox_tz")
    if zone is not None and not has_zone(zone):
        raise ConfigurationError(
            f"Run {folder.run_id} reads times without a zone as {shown(zone)} (EXEC_INBOX_TZ when it began), "
            f"which this machine's time zone database lacks. Install the package tzdata, and run again."
        )
    return InboxZone(zone)


@dataclass(frozen=True)
class _Contents:
    """The content of a file (None where it is too large), the name of its copy, and the time of reading."""

    content: bytes | None
    kept_as: str
    now_us: int


_Taken = tuple[IntentFile, dict[str, Any]]


@dataclass(frozen=True)
class _Reader:
    """Reads the files of one run: contents one by one, the rows of small files together."""

    folder: RunFolder
    inbox: Inbox
    objects: Objects
    clock: Callable[[], datetime]
    limits: IntakeLimits
    previous: Collection[IdentityRules]
    zone: InboxZone

    def take(self, files: list[Dropped], intake: Intake) -> None:
        """Add files to the intake and copy each, or record why it is left."""
        found = [self._found(dropped, intake) for dropped in files]
        read = self._read_together(files, found)
        for place, (dropped, contents) in enumerate(zip(files, found, strict=True)):
            outcome: _Taken | Left
            if isinstance(contents, Left):
                outcome = contents
            elif limit := intake.why_full(dropped, self.limits):
                outcome = dropped.waits(_FULL.format(limit))
            else:
                outcome = self._taken(dropped, contents, read.get(place))
            if isinstance(outcome, Left):
                intake.left.append(outcome)
            else:
                intake.add(*outcome)

    def _found(self, dropped: Dropped, intake: Intake) -> _Contents | Left:
        """Return a file's contents, or why it is left."""
        if trading_date(self.clock(), self.folder.start["settings"]["calendar"]) != self.folder.trading_date:
            return dropped.waits(_NEXT_SESSION)
        if limit := intake.why_full(dropped, self.limits):
            return dropped.waits(_FULL.format(limit))
        try:
            return self._contents(dropped)
        except Exception as error:
            return _blocked_by(error, dropped)

    def _contents(self, dropped: Dropped) -> _Contents | Left:
        if why := why_not_kept(dropped.name):
            return dropped.is_blocked(why)
        if not _CARRIES_A_HASH.search(dropped.last_name) and (left := self._unsettled(dropped)):
            return left
        reading = self.inbox.read(dropped, max_bytes=self.limits.max_file_bytes)
        if isinstance(reading, Left):
            return reading
        content = reading.content
        digest = dropped.identity if content is None else hash_of(content)
        kept_as = name_with_hash(dropped.name, digest)
        if (content is None or kept_as != dropped.name) and (left := self._unsettled(dropped, reading)):
            return left
        return _Contents(content, kept_as, int(self.clock().timestamp() * 1e6))

    def _read_together(self, files: list[Dropped], found: list[_Contents | Left]) -> dict[int, IntentFile]:
        """Return the small files that could be read together, by position in ``files``."""
        small = {
            place: SmallFile(
                dropped.name, contents.content, min(dropped.mtime_us, contents.now_us), contents.now_us
            )
            for place, (dropped, contents) in enumerate(zip(files, found, strict=True))
            if isinstance(contents, _Contents) and contents.content is not None
        }
        if len(small) <= 1:
            return {}
        read = read_together(list(small.values()), self._context())
        places = list(small)
        return {places[place]: file for place, file in read.items()}

    def _context(self) -> Context:
        """Return the context that all files share; their times are set per file."""
        return Context(0, self.folder.trading_date, self.limits, self._rules, self.previous, None, self.zone)

    @property
    def _rules(self) -> IdentityRules:
        return IdentityRules.of_record(self.folder.start)

    def _taken(self, dropped: Dropped, contents: _Contents, read: IntentFile | None) -> _Taken | Left:
        """Copy a file and return it with its entry, or return why it is left."""
        try:
            return self._kept(dropped, contents, read)
        except Exception as error:
            return _blocked_by(error, dropped)

    def _kept(self, dropped: Dropped, contents: _Contents, read: IntentFile | None) -> _Taken:
        content, now_us = contents.content, contents.now_us
        if content is None:  # refused unread; moved to the quarantine later
            file = refused_whole(dropped.name, beyond(dropped.name, self.limits, "max_file_bytes"))
            return file, _entry(dropped, file, contents.kept_as, by_moving=True)
        file = read or read_intent_file(
            dropped.name,
            content,
            file_time_us=min(dropped.mtime_us, now_us),
            now_us=now_us,
            trading_date=self.folder.trading_date,
            limits=self.limits,
            rules=self._rules,
            previous=self.previous,
            zone=self.zone,
        )
        place = "quarantine" if file.unreadable else "archive"
        key = f"{place}/{self.folder.trading_date.isoformat()}/{contents.kept_as}"
        _keep(self.objects, key, content)
        return file, _entry(dropped, file, contents.kept_as, by_moving=False)

    def _unsettled(self, dropped: Dropped, reading: Reading | None = None) -> Left | None:
        """Return why a file may still be being written, by its modification time; None where it has settled.

        Where that time is ahead of the clock, the system's time of the last change counts; where that is
        ahead too, the file has settled if no program has it open for writing.
        """
        settle_s, now_s = self.folder.start["settings"]["inbox_settle_s"], self.clock().timestamp()
        age_s = now_s - dropped.mtime_ns / 1e9
        if age_s < -CLOCK_SKEW_S:
            if reading is None:
                return None  # checked again once it is open
            age_s = now_s - reading.ctime_ns / 1e9
            if age_s < -CLOCK_SKEW_S:
                ahead = "its time is ahead of this machine's clock; set the clocks right, or touch the file"
                return None if reading.has_no_writer else dropped.is_blocked(ahead)
        if age_s < UPLOAD_RESTS_S and dropped.is_perhaps_an_upload:
            return dropped.waits_as_an_upload()
        if age_s < settle_s:
            return dropped.waits(f"it is younger than {settle_s:g} s (EXEC_INBOX_SETTLE_S)")
        return None


def _blocked_by(error: Exception, dropped: Dropped) -> Left:
    """Return why an error leaves a file in the inbox. Raises errors that concern all files."""
    if isinstance(error, UnusablePlace):
        raise error
    if isinstance(error, OSError | EngineError):
        return dropped.is_blocked(f"it can't be kept: {fault_of(error)}")
    # Out of memory, or a defect: one file never stops the others.
    return dropped.is_blocked(f"the engine can't cope with it ({type(error).__name__}: {error})")


def _entry(dropped: Dropped, file: IntentFile, kept_as: str, *, by_moving: bool) -> dict[str, Any]:
    """Return the record of a file; ``by_moving``: it is moved to the quarantine unread."""
    return {
        "name": dropped.name,
        "kept_as": kept_as,
        "unreadable": file.unreadable,
        "by_moving": by_moving,
        "rows": file.rows,
        "size": dropped.size,
        "mtime_ns": dropped.mtime_ns,
        "inode": dropped.inode,
    }


def _keep(objects: Objects, key: str, content: bytes) -> None:
    """Keep a copy; idempotent. Raises ``EngineError`` where another content has its key."""
    try:
        objects.put(key, content)
    except AlreadyWritten:
        if not _is_kept(objects, key, content):
            raise EngineError(f"its place {key} is taken by something else; move that away") from None


def _is_kept(objects: Objects, key: str, content: bytes) -> bool:
    try:
        return objects.read(key) == content
    except RecordError:
        return False
