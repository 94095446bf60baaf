"""How much of its limits a run used, and which rules are off: lines for operators, and the same as JSON."""

from __future__ import annotations

from typing import Any

from engine.record.run_folder import UTILISATION, RunFolder
from engine.record.sealed_limits import config_of
from jobs.tables import print_table, say
from jobs.wording import number

_SHOWN = 10
_ABOUT = ("broker_account_id", "strategy_id", "symbol", "side")


def limits_used(folder: RunFolder) -> dict[str, Any]:
    """Return the limits of a run that are used to ``warn_at`` and more, and the rules that are off.

    ``near``: rows of ``utilisation.parquet``, the most used first; empty without ``warn_at``.
    """
    config = config_of(folder)
    warn_at = config.limits_file.warn_at if config.limits_file is not None else None
    near: list[dict[str, Any]] = []
    if warn_at is not None and UTILISATION in folder.names():
        rows = folder.table(UTILISATION).to_pylist()
        near = [row for row in rows if row["utilisation"] is not None and row["utilisation"] >= warn_at]
        near.sort(key=lambda row: -row["utilisation"])
    return {"warn_at": warn_at, "near": near, "rules_off": config.rules_off()}


def print_limits_used(folder: RunFolder) -> None:
    """Print which limits are nearly used, and how many rules are off."""
    used = limits_used(folder)
    near = used["near"]
    if near:
        rows = [
            (
                row["rule"],
                " ".join(row[name] for name in _ABOUT if row[name]),
                f"{number(row['used'])} of {number(row['limit'])} {row['unit']}",
                f"{row['utilisation']:.0%}",
                row["level"],
            )
            for row in near[:_SHOWN]
        ]
        title = f"Limits used to {used['warn_at']:.0%} and more"
        if len(near) > len(rows):
            title += f" (the first {len(rows)} of {len(near)})"
        print_table(title, ("rule", "of", "used", "share", "set by"), rows, right=("share",))
    off = used["rules_off"]
    if off:
        say(f"Rules that are off, since no limit sets them: {len(off)} (`execution-engine limits show`).")
