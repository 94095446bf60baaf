"""The limits that a run was started with: in its ``run.json``, the text of its limits file included.

The text is in ``run.json``, so that a run that has begun always has it; ``limits.toml`` beside it is the
same text, for readers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Any

from engine.errors import RecordError
from engine.record.run_folder import LIMITS, RunFolder
from engine.risk.config import RiskConfig
from engine.risk.levels import LimitsFile

_FILES_KEPT = 64


def sealed_config(config: RiskConfig) -> dict[str, Any]:
    """Return the limits as ``run.json`` keeps them: ``config``, and ``limits_file`` with its hash."""
    file = config.limits_file
    if file is None:
        return {"config": config.record(), "limits_file": None}
    kept = {"path": file.path, "sha256": _hash(file.content), "content": file.content}
    return {"config": config.record(), "limits_file": kept}


def check_session(config: RiskConfig, session: date) -> None:
    """Check that limits may be used in a session.

    Raises ``ConfigurationError`` where a temporary limit or the file itself has expired.
    """
    if config.limits_file is not None:
        from engine.risk.limits_file.checks import check_dates

        check_dates(config.limits_file, session)


def config_of(folder: RunFolder) -> RiskConfig:
    """Return the limits that a run was started with."""
    recorded: dict[str, Any] = {
        name: frozenset(value) if isinstance(value, list) else value
        for name, value in folder.start["config"].items()
    }
    return RiskConfig(**recorded, limits_file=recorded_limits_file(folder.start))


def recorded_limits_file(start: Mapping[str, Any]) -> LimitsFile | None:
    """Return the limits file of a ``run.json``, None where the run had none.

    Its dates and rules are not compared: they were when the run began. Raises ``RecordError`` where its text
    is not the one that was hashed, and ``ConfigurationError`` where it has limits that this engine does not
    know.
    """
    kept = start.get("limits_file")
    if kept is None:
        return None
    if _hash(kept["content"]) != kept["sha256"]:
        raise RecordError(
            f"run.json of run {start['run_id']} has a limits file whose hash is not the recorded one. "
            f"Restore run.json from a copy."
        )
    return _parsed(kept["content"], kept["path"])


def keep_limits_file(folder: RunFolder) -> None:
    """Write ``limits.toml``, the copy of the run's limits file, where it is missing."""
    kept = folder.start.get("limits_file")
    if kept is not None and LIMITS not in folder.names():
        folder.objects.put(folder.key + LIMITS, kept["content"].encode())


@lru_cache(_FILES_KEPT)
def _parsed(content: str, path: str) -> LimitsFile:
    """Return a limits file, cached because many runs share it."""
    from engine.risk.limits_file.parsing import parse_limits_file
    from engine.risk.limits_of_book import KEYS

    return parse_limits_file(content, path=path, known=KEYS)


def _hash(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
