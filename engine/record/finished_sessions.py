"""Which sessions have finished runs alone, kept beside the runs, so that old sessions need not be looked at.

``finished/<hash>.txt`` has a line for each such session: its date and the stamp of its folder, which changes
when a run is added to it, moved or put back. It is derived and may be removed at any time. A run that was
finished stays so: that its manifest is removed later is for ``verify`` to see.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from xxhash import xxh3_128_hexdigest

from engine.errors import EngineError, RecordError
from engine.record.objects import Objects

_PLACE = "finished/"


def finished_sessions(objects: Objects) -> frozenset[str]:
    """Return the lines that are kept; none where what is kept is damaged, or can't be read."""
    found: frozenset[str] = frozenset()
    for key in _keys(objects):
        with suppress(RecordError):  # it may be replaced just now
            content = objects.read(key)
            if _key(content) == key:
                found |= frozenset(content.decode().split("\n"))
    return found


def keep_finished_sessions(objects: Objects, lines: Collection[str]) -> None:
    """Keep these lines in place of what was kept; where that can't be, leave it."""
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
