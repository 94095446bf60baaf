"""Alpaca's SDK for Node trades at the simulator and listens to its updates.

Left to ``make soak``: it needs Node.js, and a registry of npm beside the index of Python packages. The lock
file has the hash of every package and no host; ``npm install`` in this folder writes it anew.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from replay.simulator.server import Simulator

HERE = Path(__file__).parent


@pytest.mark.soak
def test_the_sdk_for_node_buys_listens_and_reads(tmp_path: Path) -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.fail(
            "node and npm are not on the PATH; expected Node.js 20 or newer. Install it.", pytrace=False
        )
    for name in ("package.json", "package-lock.json", "client.mjs"):
        shutil.copy(HERE / name, tmp_path)
    run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], tmp_path)
    with Simulator(seed=7, partial_fill_probability=0).serving() as address:
        said = json.loads(run(["node", "client.mjs", address], tmp_path))
    assert said == {
        "streams": ["trade_updates"],
        "updates": [
            ["pending_new", "mine", None, None],
            ["new", "mine", None, None],
            ["fill", "mine", "2", "2"],
        ],
        "orders": ["mine"],
        "watchlist": ["AAPL", "KO"],
        "history": "1H",
        "clocks": [["NYSE", "core"], ["NASDAQ", "core"]],
        "sessions": True,
    }


def run(command: list[str], folder: Path) -> str:
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
