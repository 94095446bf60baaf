"""Every file of ``fixtures/bad_intents`` is refused in the words that stand beside it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from engine.intents.reading import read_intent_file

FOLDER = Path(__file__).parents[3] / "fixtures" / "bad_intents"
FILES = sorted(path for path in FOLDER.iterdir() if not path.name.endswith(".expected.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_bad_file_is_refused_in_the_words_beside_it(path: Path) -> None:
    read = read_intent_file(path.name, path.read_bytes(), file_time_us=0, trading_date=date(2026, 3, 2))
    said = [problem.message for row in read.refused for problem in row.problems]
    assert said == path.with_name(f"{path.name}.expected.txt").read_text().splitlines()


def test_there_are_bad_files_at_all() -> None:
    assert len(FILES) > 30
