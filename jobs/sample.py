"""``make run``: the main job on the sample intents, as a dry run in ./data."""

from __future__ import annotations

import sys
from pathlib import Path

from jobs.drop import drop
from jobs.positions import load
from jobs.run import run

_FIXTURES = Path(__file__).parent.parent / "fixtures"


def main() -> None:
    """Load the sample positions, drop the sample files, run the job."""
    load(str(_FIXTURES / "positions.csv"), as_json=False)
    drop(sorted(str(path) for path in (_FIXTURES / "intents").iterdir()), kind="jsonl", as_json=False)
    sys.exit(run(slot="sample", as_json=False))


if __name__ == "__main__":
    main()
