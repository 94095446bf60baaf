"""Metadata that can't be kept, and metadata that just can: what every way in is tried with."""

from __future__ import annotations

from typing import Any


def nested(levels: int, inner: Any = 1) -> Any:
    """Return maps within each other, so many of them."""
    for _ in range(levels):
        inner = {"a": inner}
    return inner


def listed(levels: int) -> Any:
    """Return lists within each other, so many of them."""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


UNKEEPABLE: dict[str, dict[str, Any]] = {
    "uint64": {"signal_hash": 2**64 - 1},
    "just above int64": {"signal_hash": 2**63},
    "reserved": {"__run__": 1},
    "reserved below": {"a": {"__v__": 1}},
    "reserved in a list": {"a": [{"__v__": 1}]},
    "empty key": {"": "x"},
    "empty key below": {"a": {"": "x"}},
    "25 levels": {"deep": nested(25)},
    "20 levels within": {"deep": nested(20)},
    "lists in lists": {"deep": listed(11)},
    "long key": {"k" * 1_600: 1},
    "long path": {"k" * 500: {"k" * 500: 1}},
    "half surrogate": {"note": "\ud800"},
    "half surrogate as a key": {"\udc00": 1},
    "NUL": {"note": "a\0b"},
    "infinity": {"z": float("inf")},
    "infinity below": {"a": [float("-inf")]},
    "NaN below": {"a": {"z": float("nan")}},
    "1.2 MiB": {"note": "x" * 1_200_000},
    "64 KiB": {"note": "x" * 2**16},
    "many values": {"list": list(range(1_001))},
    "many maps": {"list": [{}] * 1_001},
}
"""Each as an object; its members may stand in columns of their own instead."""

KEEPABLE: dict[str, dict[str, Any]] = {
    "nothing": {},
    "flat": {"signal": "breakout", "z": -2.5, "n": 7, "flag": True, "none": None},
    "int64": {"low": -(2**63), "high": 2**63 - 1},
    "19 levels within": {"deep": nested(19)},
    "ten lists": {"deep": listed(10)},
    "odd keys": {"a.b": 1, "a`b": 2, "a\\b": 3, " ": 4, "é": 5, "__a": 6, "a__": 7, "[]": 8},
    "lists in lists": {"grid": [[1, 2], [], [[3]], {"[]": [4]}]},
    "long key": {"k" * 980: 1},
    "text": {"note": "naïve 😀\n\u2028 \x7f"},
    "60 KiB": {"note": "x" * 60_000},
    "many values": {"list": list(range(990))},
    "floats": {"tiny": 5e-324, "huge": 1.7e308, "zero": -0.0, "tenth": 0.1},
}
