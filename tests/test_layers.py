"""The layers of pyproject.toml are those of the code, and nothing that breaks them passes unnoticed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS_AT_MOST = 20
FAULTS = {
    "engine/utils.py": "",
    "engine/stores/helpers.py": "",
    "jobs/helpers.py": "",
    "replay/helpers.py": "",
    "engine/brokers/helpers.py": "",
    "engine/routing/helpers.py": "",
    "engine/risk/helpers.py": "",
    "engine/model/only_for_types.py": (
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from engine.run.stages import finish\n"
    ),
    "engine/ledger/inside_a_function.py": "def f():\n    from engine.safety import lease\n",
    "engine/record/one.py": "def f():\n    import engine.record.two\n",
    "engine/record/two.py": "import engine.record.one\n",
    "engine/accounts/of_one_venue.py": "from engine.brokers.alpaca.orders import order_payload\n",
    "engine/intents/with_a_clock.py": "import time\n",
}
"""Files that must not be, and what is in them."""
NAMED = [
    "- engine.utils",
    "- engine.stores.helpers",
    "- jobs.helpers",
    "- replay.helpers",
    "- engine.brokers.helpers",
    "- engine.routing.helpers",
    "- engine.risk.helpers",
    "engine.model.only_for_types -> engine.run.stages",
    "engine.ledger.inside_a_function -> engine.safety.lease",
    "- .two -> .one (1 import)",
    "engine.accounts.of_one_venue -> engine.brokers.alpaca.orders",
    "engine.intents.with_a_clock -> time",
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the check says of a copy of the code with every fault in it."""
    copy = tmp_path_factory.mktemp("copy")
    for package in ("engine", "jobs", "replay"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for name, content in FAULTS.items():
        (copy / name).write_text(content)
    found = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(copy), "COLUMNS": "200"},
    )
    assert found.returncode == 1, found.stdout + found.stderr
    return found.stdout


@pytest.mark.parametrize("named", NAMED)
def test_what_breaks_a_layer_is_found(report: str, named: str) -> None:
    assert named in report


def test_the_engine_has_no_more_rooms_than_a_reader_can_keep_in_mind() -> None:
    rooms = [
        path
        for path in (ROOT / "engine").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    ]
    assert len(rooms) <= ROOMS_AT_MOST
