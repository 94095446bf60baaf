"""Gzip, unpacked piece by piece, so that a small file can't take all memory."""

from __future__ import annotations

import zlib

from engine.errors import UnreadableFile
from engine.intents.limits import beyond
from engine.settings.variables import IntakeLimits

_GZIP = 31  # zlib's code for a gzip header and the largest window
_PIECE_BYTES = 1 << 14  # what is copied again for each member
_MOST_MEMBERS = 100_000


def unpacked(name: str, content: bytes, limits: IntakeLimits) -> bytes:
    """Return the unpacked content of a gzip file, of all its members.

    Raises ``UnreadableFile`` where it is no whole gzip file, or is beyond ``limits.max_unpacked_bytes``.
    """
    parts: list[bytes] = []
    room, members, member = limits.max_unpacked_bytes, 0, zlib.decompressobj(_GZIP)
    for start in range(0, len(content), _PIECE_BYTES):
        rest = content[start : start + _PIECE_BYTES]
        while rest:
            if member.eof:
                rest = rest.lstrip(b"\0")  # some writers pad the last block with them
                if not rest:
                    break
                member = zlib.decompressobj(_GZIP)
            try:
                part = member.decompress(rest, room + 1)
            except zlib.error as error:
                raise _broken(name, str(error).rpartition(": ")[2]) from None
            room -= len(part)
            members += member.eof
            if room < 0:
                raise beyond(name, limits, "max_unpacked_bytes", "when unpacked")
            if members > _MOST_MEMBERS:
                raise _broken(name, f"more than {_MOST_MEMBERS} members")
            parts.append(part)
            rest = member.unused_data if member.eof else b""
    if not member.eof:
        raise _broken(name, "it ends too early")
    return b"".join(parts)


def _broken(name: str, why: str) -> UnreadableFile:
    return UnreadableFile(f"{name}: not a whole gzip file ({why})", remedy="Pack it again.")
