"""Time of metadata in every shape, a megabyte of each and a quarter of one: linear in its size."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.engine.intents.files import order, read

SIZES = [250_000, pytest.param(1_000_000, marks=pytest.mark.soak)]
LONGEST_S_PER_MEGABYTE = 30.0
"""Processor time; each takes a second or two. What doubles with each level, or each row, takes hours."""


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def in_lists(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value, {"b": "\\"}]
    return value


SHAPES: dict[str, Callable[[], Any]] = {
    "as deep as is kept": lambda: nested(18),
    "deeper": lambda: nested(200),
    "lists and objects": lambda: in_lists(9),
    "deep, as text in text": lambda: json.dumps(json.dumps(nested(17))),
    "wide": lambda: {f"key{number}": number for number in range(900)},
    "wider": lambda: {f"key{number}": number for number in range(9_000)},
    "long": lambda: "x" * 60_000,
    "longer": lambda: "x" * 1_000_000,
    "quotes and backslashes": lambda: {"a": '\\"' * 20_000},
    "quotes that are left open": lambda: "{'a" * 20_000 + ":=",
    "pairs": lambda: "a=b;" * 15_000 + "=",
    "blanks before an equals sign": lambda: "{'a'" + " " * 60_000 + "=" + " " * 60_000,
    "a long name": lambda: {"lim" * 20_000: 1},
    "many lists": lambda: [[["a"]]] * 5_000,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["signal", "metadata"])
@pytest.mark.parametrize("size", SIZES)
def test_rows_of_many_bytes_are_read_in_time_that_is_linear_in_them(shape: str, name: str, size: int) -> None:
    value = SHAPES[shape]()
    row = json.dumps(order(**{name: value}))
    rows = max(1, size // len(row))
    content = "\n".join([row] * rows)
    begun = time.process_time()
    file = read("a.jsonl", content)
    assert time.process_time() - begun < LONGEST_S_PER_MEGABYTE * max(size, len(content)) / 1_000_000
    assert file.rows == rows
