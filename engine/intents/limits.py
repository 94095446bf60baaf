"""What is said of a file that is beyond a limit of intake."""

from __future__ import annotations

from engine.config import IntakeLimits
from engine.errors import UnreadableFile

_UNITS = {
    "max_file_bytes": "bytes",
    "max_unpacked_bytes": "bytes",
    "max_rows": "rows",
    "max_columns": "columns",
    "max_keys": "keys in one row",
    "max_refused_rows": "refused rows",
    "max_depth": "folders below each other",
}


def beyond(name: str, limits: IntakeLimits, limit: str, what: str = "") -> UnreadableFile:
    """Return the error of a file that is beyond the limit of this name, with the setting that moves it."""
    more_than = f"more than {getattr(limits, limit)} {_UNITS[limit]}"
    remedy = f"Split it into smaller files, or raise {limits.setting_of(limit)}."
    return UnreadableFile(f"{name}: {more_than}{what and f' {what}'}", remedy=remedy)
