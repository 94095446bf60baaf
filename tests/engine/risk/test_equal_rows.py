"""Rows that are equal in several columns: the compiled form, the plain one, and the definition."""

from __future__ import annotations

import numpy as np
import pytest

from engine.risk.equal_rows import combined, first_equal


@pytest.mark.parametrize("compile_from", [0, 1_000_000], ids=["compiled", "plain"])
@pytest.mark.parametrize("columns", [1, 2, 4])
def test_the_first_equal_row_is_found(
    monkeypatch: pytest.MonkeyPatch, columns: int, compile_from: int
) -> None:
    monkeypatch.setattr("engine.risk.compiled.COMPILE_FROM_ROWS", compile_from)
    monkeypatch.setattr("engine.risk.compiled.USE_COMPILED_FROM_ROWS", compile_from)
    random = np.random.default_rng(columns)
    numbers = [random.choice([-(2**63), -1, 0, 7, 2**62], 500) for _ in range(columns)]
    rows = [tuple(row) for row in zip(*(column.tolist() for column in numbers), strict=True)]
    assert first_equal(numbers).tolist() == [rows.index(row) for row in rows]


def test_rows_that_are_all_alike_are_those_of_the_first() -> None:
    assert first_equal([np.full(3, 5), np.zeros(3, dtype=np.int64)]).tolist() == [0, 0, 0]


def test_codes_are_combined_while_there_is_room() -> None:
    codes = [np.array([0, 1, 1]), np.array([2, 0, 2]), np.array([1, 1, 0])]
    assert [column.tolist() for column in combined(codes, [2, 3, 2])] == [[5, 7, 10]]
    assert len(combined(codes, [2**40, 2**20, 2**3])) == 2
    assert len({tuple(row) for row in zip(*combined(codes, [2**40, 2**20, 2**3]), strict=True)}) == 3
