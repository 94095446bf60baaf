from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutation.mutating import mutants_of, replaced
from tests.mutation.sample import SAMPLE, Sampled


@pytest.mark.parametrize("one", SAMPLE, ids=lambda one: f"{one.path}: {one.after.strip() or 'nothing'}")
def test_each_place_of_the_sample_is_in_its_module_once_and_stays_python(one: Sampled) -> None:
    compile(one.mutant().source, one.path, "exec")
    assert Path(one.selection[0]).is_file()


def test_a_text_that_is_not_in_its_module_is_an_error_that_names_both() -> None:
    with pytest.raises(LookupError, match=r"engine/ledger/documents.py has 'no such text' 0 times"):
        replaced("engine/ledger/documents.py", "no such text", "")


CHANGES = [
    ("if a < b: f()", {"a <= b", "pass"}),
    ("x = a and b", {"a or b", "b", "a"}),
    ("x = not a", {"a"}),
    ("if a: f()", {"not a", "pass"}),
    ("x = 1", {"2"}),
    ("x = True", {"False"}),
    ("x += 1", {"x -= 1", "x += 2", "pass"}),
    ("f(a, key=b)", {"f(a)", "pass"}),
    ("x = [a for a in b if c]", {"[a for a in b]"}),
    ("x = 'buy'", {"'buy_'"}),
    ("x = max(a, b)", {"min(a, b)"}),
    ("def f():\n    return a", {"return None"}),
    ('"""Words."""\nlog.event("name", "words")', {"pass"}),
]


@pytest.mark.parametrize(("source", "expected"), CHANGES, ids=[source for source, _ in CHANGES])
def test_what_a_mutant_changes(source: str, expected: set[str]) -> None:
    mutants = mutants_of("a.py", source)
    for now in expected:
        assert any(now in mutant.source for mutant in mutants)
    assert len(mutants) == len(expected)
    assert all(mutant.source.strip() != source for mutant in mutants)
