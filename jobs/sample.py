"""``make run``: the sample intents as a dry run, in ./data or, beside other work, in ./data/sample."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from engine.stores.inbox import Inbox
from engine.stores.objects import LocalObjects
from engine.stores.runs import RunFolders
from jobs.drop import drop
from jobs.positions import load
from jobs.run import run
from jobs.tables import say

_FIXTURES = Path(__file__).parent.parent / "fixtures"


def main() -> None:
    """Load the sample positions, drop the sample files, run the job."""
    os.environ.setdefault("EXEC_DATA_DIR", "./data")
    data_dir = Path(os.environ["EXEC_DATA_DIR"])
    if _is_used(data_dir):
        os.environ["EXEC_DATA_DIR"] = str(data_dir / "sample")
        say(f"{data_dir} holds work of yours; the sample goes to {data_dir / 'sample'} instead.")
    load(str(_FIXTURES / "positions.csv"), as_json=False)
    drop(sorted(str(path) for path in (_FIXTURES / "intents").iterdir()), kind="jsonl", as_json=False)
    sys.exit(run(slot="sample", as_json=False))


def _is_used(data_dir: Path) -> bool:
    """Tell whether there is more in a data folder than runs of the sample."""
    if Inbox(data_dir / "inbox").waiting():
        return True
    runs = RunFolders(LocalObjects(data_dir)).all()
    has_book = (data_dir / "engine.db").exists()
    return any(run.start["slot"] != "sample" for run in runs) or has_book != bool(runs)


if __name__ == "__main__":
    main()
