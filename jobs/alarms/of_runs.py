"""What an operator must hear of a run that ended with another exit code than 0."""

from __future__ import annotations

from engine.record.run_folder import MANIFEST, RunFolder
from jobs.run_exceptions import ACT, found_at_the_end, found_at_the_start, how_it_ended


def faults_of(folder: RunFolder) -> list[str]:
    """Return how a finished run ended and what calls for action; empty where its exit code is 0."""
    manifest = folder.json(MANIFEST)
    if not manifest["exit_code"]:
        return []
    found = [*found_at_the_start(folder, manifest), *found_at_the_end(manifest)]
    ended = f"Run {folder.run_id}: {how_it_ended(folder, manifest)}; `execution-engine status` has more."
    return list(dict.fromkeys([ended, *(one.text for one in found if one.weight == ACT)]))
