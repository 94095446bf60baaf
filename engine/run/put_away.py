"""Removal of consumed files from the inbox, and the record of those that can't be removed.

A consumed file that can't be removed is noted in ``unremoved/<run id>~<hash of its name>.json``: later runs,
of any day, retry its removal and never read it again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from engine.context import RunContext
from engine.errors import AlreadyWritten, EngineError
from engine.log import EventLog, Severity
from engine.record.formats import json_bytes, json_line, read_json
from engine.record.objects import LocalObjects, Objects
from engine.record.run_folder import COLLECTED, RunFolder
from engine.record.system_errors import fault_of
from engine.stores.inbox.files import Dropped, Kind, Left, hash_of
from engine.stores.inbox.finding import Found
from engine.stores.inbox.inbox import Inbox

_PLACE = "unremoved/"
_MOST_NAMED = 1000


@dataclass(frozen=True)
class _Unremoved:
    """A consumed file that is still in the inbox, and why; ``place``: the key to move it to."""

    file: Dropped
    place: str | None
    left: Left


@dataclass(frozen=True)
class Remover:
    """Takes consumed files out of ``inbox``; what was too large to be read is moved to ``objects``."""

    inbox: Inbox
    objects: Objects
    log: EventLog

    def take_away(self, file: Dropped, place: str | None) -> Left | None:
        """Remove a file, or move one that was too large to be read; return why that failed."""
        if place is None:
            return self.inbox.remove(file)
        if not isinstance(self.objects, LocalObjects):
            return file.is_blocked(f"it can't be moved to {place}, which is not on this disk; move it there")
        try:
            moved_to = self.objects.place_for(place)
            left = self.inbox.move(file, moved_to)
            if left is None and moved_to.exists() and not self.objects.modes.take_over(moved_to):
                self._log_mode(place)
        except (EngineError, OSError) as error:
            return file.is_blocked(f"it can't be moved to {place}: {fault_of(error)}")
        return left

    def _log_mode(self, place: str) -> None:
        message = (
            f"{place} keeps the mode that it had in the inbox: it is another user's. Restrict it as root"
        )
        self.log.event("file_mode_kept", message, severity="WARNING", file=place)


def put_away(folder: RunFolder, context: RunContext) -> None:
    """Write the quarantine and remove the consumed files from the inbox; idempotent.

    One file never fails the run: a file that can't be removed is noted.
    """
    collected = folder.json(COLLECTED)
    by_file: dict[str, list[dict[str, Any]]] = {}
    for record in collected["refused"]:
        by_file.setdefault(record["file"], []).append(record)
    files = [_file(entry) for entry in collected["files"]]
    remover = Remover(context.inbox, context.objects, context.log)
    for file, entry in zip(files, collected["files"], strict=True):
        refused = by_file.get(entry["name"])
        place = _quarantined(folder, entry["kept_as"]) if entry.get("by_moving") else None
        unkept = _keep_reasons(folder, file, entry, refused) if refused else None
        for left in filter(None, (unkept, remover.take_away(file, place))):
            _note(folder, _Unremoved(file, place, left))
            log_left(context.log, left)
    context.inbox.flush(files)


def taken_before(found: Found, remover: Remover) -> tuple[list[Dropped], list[Left]]:
    """Return the files that no earlier run has consumed, and why consumed ones are still in the inbox."""
    objects = remover.objects
    noted = {key: _noted(objects, key) for key in objects.list(_PLACE)}
    if not noted:
        return found.files, []
    lying, left = {file.name: file for file in found.files}, []
    for key, one in noted.items():
        file = one.file
        if lying.get(file.name) == file:
            del lying[file.name]
            still = remover.take_away(file, one.place)
            remover.inbox.flush([file])
            if still is not None:
                left.append(still)
                continue
        elif not found.is_complete or file.name in {one.name for one in found.left}:
            continue  # it may be in a folder that can't be listed
        objects.delete(key)
    return list(lying.values()), left


def left_by(folder: RunFolder) -> list[dict[str, str]]:
    """Return all files that a run left in the inbox, ``{"name", "why", "kind"}`` each."""
    keys = (key for key in folder.objects.list(_PLACE) if key.startswith(f"{_PLACE}{folder.run_id}~"))
    noted = [_noted(folder.objects, key).left.record() for key in keys]
    return [*folder.json(COLLECTED)["left"], *noted]


def left_before(objects: Objects) -> list[Left]:
    """Return the files that earlier runs have consumed and could not remove."""
    return [_noted(objects, key).left for key in objects.list(_PLACE)]


def shortened(left: list[Left]) -> list[Left]:
    """Return at most a thousand entries of a kind, sorted, and one more that counts the rest."""
    kinds: dict[Kind, list[Left]] = {"blocked": [], "waiting": []}
    for one in left:
        kinds[one.kind].append(one)
    shown = []
    for kind, ones in kinds.items():
        shown += sorted(ones, key=lambda one: one.name)[:_MOST_NAMED]
        if len(ones) > _MOST_NAMED:
            shown.append(Left("…", f"{len(ones) - _MOST_NAMED} more are left", kind))
    return shown


def log_left(log: EventLog, left: Left) -> None:
    """Log a file that is left; as an error where an operator has to act."""
    severity: Severity = "ERROR" if left.kind == "blocked" else "INFO"
    log.event("file_left", f"{left.name} is left in the inbox: {left.why}", severity=severity, file=left.name)


def _keep_reasons(
    folder: RunFolder, file: Dropped, entry: dict[str, Any], refused: list[dict[str, Any]]
) -> Left | None:
    reasons = b"".join(json_line(record) for record in refused)
    key = _quarantined(folder, f"{entry['kept_as']}.reasons.{hash_of(reasons)}.jsonl")
    try:
        with suppress(AlreadyWritten):
            folder.objects.put(key, reasons)
    except (EngineError, OSError) as error:
        where = f"{folder.key}{COLLECTED}"
        why = f"the reasons of its refused rows can't be written: {fault_of(error)}; {where} has them"
        return file.is_blocked(why)
    return None


def _quarantined(folder: RunFolder, name: str) -> str:
    return f"quarantine/{folder.trading_date.isoformat()}/{name}"


def _file(record: dict[str, Any]) -> Dropped:
    return Dropped(record["name"], record["size"], record["mtime_ns"], record["inode"])


def _note(folder: RunFolder, one: _Unremoved) -> None:
    """Record that a consumed file is still in the inbox."""
    key = f"{_PLACE}{folder.run_id}~{hash_of(f'{one.file.name} {one.left.why}'.encode())}.json"
    with suppress(AlreadyWritten):
        folder.objects.put(key, json_bytes(asdict(one)))


def _noted(objects: Objects, key: str) -> _Unremoved:
    noted = read_json(key, objects.read(key))
    return _Unremoved(Dropped(**noted["file"]), noted["place"], Left(**noted["left"]))
