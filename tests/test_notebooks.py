"""The notebooks run from top to bottom on recorded days, and are kept without what they print."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.desk import Desk, order

HERE = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(HERE.glob("*.ipynb"))
DAYS = Path(__file__).parent.parent / "fixtures" / "days"


def cells(path: Path, kind: str = "code") -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_clean_of_output_and_defines_nothing(path: Path) -> None:
    for cell in cells(path):
        source = "".join(cell["source"])
        assert (cell["outputs"], cell["execution_count"]) == ([], None)
        assert not any(line.lstrip().startswith(("def ", "class ", "!", "%")) for line in source.splitlines())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom_and_shows_pictures(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(path, os.environ.get("DAYS", str(DAYS)), monkeypatch)


@pytest.mark.parametrize("rows", [0, 2])
def test_the_notebook_of_a_day_runs_on_a_folder_without_fills(
    rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path / "data")
    if rows:
        desk.drop("a.json", *(order(qty=qty) for qty in range(1, rows + 1)))
    desk.run()
    run(HERE / "01_a_day.ipynb", str(desk.data), monkeypatch)


def run(path: Path, days: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a notebook on a folder of days; it has to show its pictures and tables."""
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("DAYS", days)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(HERE)}}).execute()
    shown = [
        output["data"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type in {"display_data", "execute_result"}
    ]
    assert sum("image/png" in data for data in shown) >= 2
    assert sum("text/html" in data for data in shown) >= 3
