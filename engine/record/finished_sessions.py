"""The sessions that have only finished runs, kept beside the runs, so that old sessions need not be read.

``finished/<hash>.txt`` has a line for each such session: its date and the stamp of its folder, which
changes when a run is added, moved or put back. The file is derived and may be removed at any time. A
finished run stays finished: ``verify`` finds a manifest that is removed later.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from xxhash import xxh3_128_hexdigest

from engine.errors import EngineError, RecordError
from engine.record.objects import Objects

_PLACE = "finished/"


def finished_sessions(objects: Objects) -> frozenset[str]:
    """Return the kept lines; none where the file is damaged or can't be read."""
    found: frozenset[str] = frozenset()
    for key in _keys(objects):
        with suppress(RecordError):  # another job may be replacing it
            content = objects.read(key)
            if _key(content) == key:
                found |= frozenset(content.decode().split("\n"))
    return found


def keep_finished_sessions(objects: Objects, lines: Collection[str]) -> None:
    """Keep these lines in place of the old ones; do nothing where the write fails."""
    content = "\n".join(sorted(lines)).encode()
    with suppress(EngineError, OSError):
        stale = _keys(objects)
        if _key(content) not in stale:
            objects.put(_key(content), content)
        for key in stale:
            if key != _key(content):
                objects.delete(key)


def _keys(objects: Objects) -> list[str]:
    try:
        return objects.list(_PLACE)
    except RecordError:
        return []


def _key(content: bytes) -> str:
    return f"{_PLACE}{xxh3_128_hexdigest(content)}.txt"
