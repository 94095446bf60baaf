from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine.risk import RULE_BOOK
from tests.mutation.book import is_noticed, mutants_of_book
from tests.mutation.exchanging import exchanged
from tests.mutation.mutating import mutants_of, replaced
from tests.mutation.sample import SAMPLE, Sampled


@pytest.mark.parametrize("one", SAMPLE, ids=lambda one: f"{one.path}: {one.after.strip() or 'nothing'}")
def test_each_place_of_the_sample_is_in_its_module_once_and_stays_python(one: Sampled) -> None:
    compile(one.mutant().source, one.path, "exec")
    assert Path(one.selection[0]).is_file()


def test_a_text_that_is_not_in_its_module_is_an_error_that_names_both() -> None:
    with pytest.raises(LookupError, match=r"engine/ledger/documents.py has 'no such text' 0 times"):
        replaced("engine/ledger/documents.py", "no such text", "")


def test_the_book_has_mutants_of_every_rule_that_has_a_limit_and_its_table_notices_them() -> None:
    mutants = mutants_of_book()
    assert {mutant.rule.name for mutant in mutants} == {
        rule.name for rule in RULE_BOOK if any(limit.scopes or limit.env for limit in rule.limits)
    }
    dropped = next(one for one in mutants if str(one).endswith("max_position_qty of [account] dropped"))
    assert is_noticed(dropped)
    assert not is_noticed(replace(dropped, make=lambda _: None))


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


EXCHANGES = [
    ("def f(a):\n    return a < 1", "def f(a):\n    return a < 2", ["f"]),
    ("class A:\n    def f(self):\n        return 1", "class A:\n    def f(self):\n        return 2", ["A.f"]),
    ("def f():\n    return lambda: 1", "def f():\n    return lambda: 2", ["f"]),
    ("def f():\n    return 1", "def f():\n    return 1", []),
    ("x = 1", "x = 2", None),
    ("x = [a + 1 for a in (1, 2)]", "x = [a + 2 for a in (1, 2)]", None),
    ("class A:\n    x = 1", "class A:\n    x = 2", None),
    ("def f(a=1):\n    return a", "def f(a=2):\n    return a", None),
]


@pytest.mark.parametrize(("before", "after", "expected"), EXCHANGES, ids=[after for _, after, _ in EXCHANGES])
def test_functions_alone_are_exchanged(before: str, after: str, expected: list[str] | None) -> None:
    found = exchanged(compile(before, "a.py", "exec"), compile(after, "a.py", "exec"))
    assert (None if found is None else [new.co_qualname for _, new in found]) == expected


MODULE = """
LIMIT = 5
UNTRIED = 7

def allowed(qty):
    return qty <= LIMIT

def positive(qty):
    return qty > 0

def forgotten(qty):
    return -qty
"""
TESTS = """
from amount import allowed, positive

def test_limit():
    assert allowed(5) and not allowed(6)

def test_sign():
    assert positive(2) and not positive(-1)
"""


def mutation_of(folder: Path, tests: str) -> subprocess.CompletedProcess[str]:
    (folder / "amount.py").write_text(MODULE)
    (folder / "test_amount.py").write_text(tests)
    return subprocess.run(
        [sys.executable, "-m", "tests.mutation", "amount.py", "--tests", "test_amount.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_run_names_the_mutants_that_no_test_notices(tmp_path: Path) -> None:
    done = mutation_of(tmp_path, TESTS)
    *lines, counts = done.stdout.splitlines()
    assert lines == [
        "9 of 9 mutants, 2 of them outside of functions",
        "survived: amount.py:3: 7  ->  8",
        "survived: amount.py:9: qty > 0  ->  qty >= 0",
        "survived: amount.py:9: 0  ->  1",
        "reached by no test: amount.py:12: return -qty  ->  return None",
        "reached by no test: amount.py:12: -qty  ->  qty",
    ], done.stderr
    assert counts.startswith("4 killed, 3 survived, 2 reached by no test in ")
    assert done.returncode == 1


def test_tests_that_fail_without_a_mutant_are_reported_to(tmp_path: Path) -> None:
    done = mutation_of(tmp_path, TESTS + "    assert False\n")
    assert done.stdout == "these tests fail without any mutant, or there are none: test_amount.py\n"
    assert done.returncode == 1
