"""A clone is whole: it needs nothing beside it, and names no package that a stranger could own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("engine", "jobs", "replay", "tests", "notebooks", "fixtures", ".ci")
INSTALLED = re.compile(
    r"(pip3?|pipx|uv|poetry|pdm|conda)[^\n]{0,40} (install|add|run)\b[^\n]{0,80}execution[-_.]engine",
    re.IGNORECASE,
)


def texts() -> Iterator[tuple[Path, str]]:
    """Yield the text files of the project, but for lock files and this one."""
    for path in [*ROOT.glob("*"), *(path for part in PARTS for path in (ROOT / part).rglob("*"))]:
        if path.is_file() and path.suffix not in {".lock", ".pyc"} and path != Path(__file__):
            try:
                yield path, path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # a table in Parquet, a picture


def test_nothing_says_to_install_this_project_from_a_registry_where_its_name_is_not_taken() -> None:
    found = [(path.name, match[0]) for path, text in texts() for match in INSTALLED.finditer(text)]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "pip install 'execution-engine[simulator]'",
        "Run python -m pip install execution_engine.",
        "uv add execution-engine",
        "pipx install execution-engine",
    ],
)
def test_such_a_text_is_found(text: str) -> None:
    assert INSTALLED.search(text)


def test_the_texts_that_are_looked_through_are_those_of_the_project() -> None:
    names = {str(path.relative_to(ROOT)) for path, _ in texts()}
    assert {"README.md", "Makefile", "replay/plots.py", "notebooks/01_a_day.ipynb"} <= names
