"""The limits that a run was started with, as its ``run.json`` has them."""

from __future__ import annotations

from typing import Any

from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig


def config_of(folder: RunFolder) -> RiskConfig:
    """Return the limits that a run was started with."""
    recorded: dict[str, Any] = dict(folder.start["config"])
    return RiskConfig(**{**recorded, "accounts": frozenset(recorded["accounts"])})
