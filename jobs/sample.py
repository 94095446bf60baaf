"""``make run``: the sample intents as a dry run on the embedded store, whatever the environment says.

It goes to ./data (EXEC_DATA_DIR), or beside other work to ./data/sample. No other setting counts: an operator
who has exported what trades live must be able to look at the sample.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from engine.record.objects import LocalObjects
from engine.record.run_folder import RunFolders
from engine.settings.variables import SETTINGS
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
    left_aside = sorted(_settings_in(os.environ) - {"EXEC_DATA_DIR"})
    for name in left_aside:
        del os.environ[name]
    data_dir = next(folder for folder in _folders(wanted) if not _is_used(folder))
    os.environ |= {"EXEC_DATA_DIR": str(data_dir), "EXEC_DRY_RUN": "1"}
    say("The sample is always a dry run on the embedded store: nothing is sent.")
    if left_aside:
        say(f"Left aside from the environment: {', '.join(left_aside)}.")
    if data_dir != wanted:
        say(f"{wanted} holds work of yours; the sample goes to {data_dir} instead.")
    load(str(_FIXTURES / "positions.csv"), as_json=False)
    drop(sorted(str(path) for path in (_FIXTURES / "intents").iterdir()), kind="jsonl", as_json=False)
    sys.exit(run(slot=_SLOT, as_json=False))


def _settings_in(names: Iterable[str]) -> set[str]:
    """Return the names that are settings of ours, or are near enough to be meant for one."""
    own = {setting.name for setting in SETTINGS}
    return {name for name in names if name in own or name.upper().startswith(_OURS)}


def _folders(wanted: Path) -> Iterable[Path]:
    yield wanted
    yield wanted / _SLOT
    yield from (wanted / f"{_SLOT}-{number}" for number in itertools.count(2))


def _is_used(data_dir: Path) -> bool:
    """Tell whether there is more in a data folder than dry runs of the sample."""
    if Inbox(data_dir / "inbox").find().files:
        return True
    runs = RunFolders(LocalObjects(data_dir)).all()
    has_book = (data_dir / "engine.db").exists()
    is_others = any(run.start["slot"] != _SLOT or run.start["mode"] != "dry" for run in runs)
    return is_others or has_book != bool(runs)


if __name__ == "__main__":
    as_a_process(main)
