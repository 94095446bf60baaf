"""The exit code is the truth: jobs under load end with the code that they said, all of them.

The libraries' threads at the interpreter's end took one process in a hundred down by SIGABRT.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.desk import content_of, order

SCRIPT = Path(sys.executable).with_name("execution-engine")
AT_ONCE = 4
ROWS = 100


def code_of_a_job(folder: Path) -> str:
    """Do a dry run of a hundred intents; gives its exit code, and the one that it said."""
    (folder / "inbox").mkdir(parents=True)
    rows = [order(client_intent_id=f"{folder.name}-{n}") for n in range(ROWS)]
    (folder / "inbox" / "rows.jsonl").write_bytes(content_of("rows.jsonl", rows))
    env = {**os.environ, "EXEC_DATA_DIR": str(folder), "EXEC_INBOX_SETTLE_S": "0"}
    done = subprocess.run([SCRIPT, "run", "--json"], env=env, capture_output=True, check=False, timeout=300)
    said = json.loads(done.stdout)
    assert said["rows"]["batched"] == ROWS
    return f"said {said['exit_code']}, ended with {done.returncode}"


def codes(folder: Path, jobs: int) -> Counter[str]:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return Counter(threads.map(lambda n: code_of_a_job(folder / f"job-{n}"), range(jobs)))


def test_jobs_under_load_end_with_their_own_code(tmp_path: Path) -> None:
    assert codes(tmp_path, 4) == {"said 0, ended with 0": 4}


@pytest.mark.soak
def test_two_thousand_jobs_under_load_end_with_their_own_code(tmp_path: Path) -> None:
    assert codes(tmp_path, 2_000) == {"said 0, ended with 0": 2_000}
