"""The identity of a data folder, kept inside it, so that it survives a move or a new name."""

from __future__ import annotations

import re
import secrets

from engine.errors import AlreadyWritten, RecordError
from engine.record.formats import json_bytes, read_json
from engine.record.objects import Objects

_PLACE = "folder/"
IDENTITY = f"{_PLACE}identity.json"
_FORM = re.compile(r"[0-9a-f]{32}", re.ASCII)


def folder_identity(objects: Objects) -> str:
    """Return the identity of the data folder at ``objects``, 32 hexadecimal digits; make it at first use.

    Raises ``RecordError`` where the file that keeps it can't be read.
    """
    return known_identity(objects) or make_identity(objects, secrets.token_hex(16))


def known_identity(objects: Objects) -> str | None:
    """Return the identity of the data folder at ``objects``, None where it has none yet; make none.

    Raises ``RecordError`` as ``folder_identity`` does.
    """
    return _read(objects) if IDENTITY in objects.list(_PLACE) else None


def make_identity(objects: Objects, identity: str) -> str:
    """Write the identity of a data folder where it has none yet; return the one that it has afterwards."""
    try:
        objects.put(IDENTITY, json_bytes({"folder": identity}))
    except AlreadyWritten:
        return _read(objects)
    return identity


def _read(objects: Objects) -> str:
    kept = read_json(IDENTITY, objects.read(IDENTITY)).get("folder")
    if not isinstance(kept, str) or not _FORM.fullmatch(kept):
        raise RecordError(
            f"{IDENTITY} is damaged: it holds no identity of a data folder. Restore it from a backup; "
            f"without it the orders of this folder's runs can't be distinguished from those of another one."
        )
    return kept
