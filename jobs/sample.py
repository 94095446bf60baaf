"""``make run``: the sample intents as a dry run on the embedded store, whatever the environment says.

It uses ./data (EXEC_DATA_DIR), or ./data/sample where that holds other work. All other settings are ignored:
the sample must be safe to run where the settings of live trading are exported.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from engine.record.objects import LocalObjects
from engine.record.run_folder import RunFolders
from engine.risk.settings import SETTINGS
from engine.stores.inbox.inbox import Inbox
from jobs.drop import drop
from jobs.ending import as_a_process
from jobs.positions import load
from jobs.run import run
from jobs.tables import say

_FIXTURES = Path(__file__).parent.parent / "fixtures"
_SLOT = "sample"
_OURS = (
    "AGENT_", "ALPACA_", "APCA_", "DATABASE_URL", "EXEC_", "EXECUTION_", "FIREBASE_", "FIRESTORE_", "GOOGLE_",
    "MARKETDATA_", "PG",
)  # fmt: skip


def main() -> None:
    """Load the sample positions, drop the sample files, run the job. Raises ``SystemExit`` with its code."""
    wanted = Path(os.environ.get("EXEC_DATA_DIR") or "./data")
    ignored = sorted(_settings_in(os.environ) - {"EXEC_DATA_DIR"})
    for name in ignored:
        del os.environ[name]
    data_dir = next(folder for folder in _folders(wanted) if not _is_used(folder))
    os.environ |= {"EXEC_DATA_DIR": str(data_dir), "EXEC_DRY_RUN": "1"}
    say("The sample is always a dry run on the embedded store: nothing is sent.")
    if ignored:
        say(f"Ignored from the environment: {', '.join(ignored)}.")
    if data_dir != wanted:
        say(f"{wanted} holds work of yours; the sample goes to {data_dir} instead.")
    load(str(_FIXTURES / "positions.csv"), as_json=False)
    drop(sorted(str(path) for path in (_FIXTURES / "intents").iterdir()), kind="jsonl", as_json=False)
    sys.exit(run(slot=_SLOT, as_json=False))


def _settings_in(names: Iterable[str]) -> set[str]:
    """Return the names that are settings of the engine, or look like one."""
    own = {setting.name for setting in SETTINGS}
    return {name for name in names if name in own or name.upper().startswith(_OURS)}


def _folders(wanted: Path) -> Iterable[Path]:
    yield wanted
    yield wanted / _SLOT
    yield from (wanted / f"{_SLOT}-{number}" for number in itertools.count(2))


def _is_used(data_dir: Path) -> bool:
    """Return whether a data folder holds more than dry runs of the sample."""
    if Inbox(data_dir / "inbox").find().files:
        return True
    runs = RunFolders(LocalObjects(data_dir)).all()
    has_book = (data_dir / "engine.db").exists()
    is_others = any(run.start["slot"] != _SLOT or run.start["mode"] != "dry" for run in runs)
    return is_others or has_book != bool(runs)


if __name__ == "__main__":
    as_a_process(main)
