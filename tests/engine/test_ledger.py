from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EngineError
from engine.ledger import FILL_FIELDS, merge_ledger_document

NAMES = st.sampled_from(["symbol", "note", "trading_date", "raw_fill", "metadata", "a", "b"])
LEAVES = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
VALUES = st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=8)
FILLED = st.floats(min_value=0, allow_infinity=False) | st.integers(min_value=0)
DOCUMENTS = st.builds(
    lambda fields, filled: fields | filled,
    st.dictionaries(NAMES, VALUES, max_size=5),
    st.just({}) | st.fixed_dictionaries({"filled_qty": FILLED}),
)


def fill(filled_qty: float, *, day: str = "2026-03-02") -> dict[str, Any]:
    """What a sync writes that saw the order filled so far."""
    return {
        "broker_order_id": "o-1",
        "broker_account_id": "paper",
        "symbol": "SPY",
        "trading_date": day,
        "filled_qty": filled_qty,
        "filled_avg_price": 500 + filled_qty / 100,
        "filled_at": f"2026-03-02T15:{filled_qty:02.0f}:00Z",
        "raw_broker_order": {"filled_qty": str(filled_qty)},
        "raw_fill": {"cum_qty": str(filled_qty)},
    }


def written(documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return reduce(merge_ledger_document, documents, None) or {}


def test_partial_fills_4_7_10_become_one_document_with_10_filled() -> None:
    assert written([fill(4), fill(7), fill(10)]) == fill(10)


@given(
    st.lists(st.sampled_from([fill(4), fill(7), fill(10)])).map(lambda syncs: [*syncs, fill(10)]),
    st.randoms(),
)
def test_any_order_and_repetition_of_the_same_syncs_gives_the_same_document(
    syncs: list[dict[str, Any]], random: Any
) -> None:
    random.shuffle(syncs)
    assert written(syncs) == fill(10)


@given(DOCUMENTS, DOCUMENTS)
def test_merging_twice_changes_nothing(old: dict[str, Any], new: dict[str, Any]) -> None:
    once = merge_ledger_document(old, new)
    assert merge_ledger_document(once, new) == once


@given(DOCUMENTS, DOCUMENTS)
def test_neither_document_is_changed_by_merging(old: dict[str, Any], new: dict[str, Any]) -> None:
    before = copy.deepcopy((old, new))
    merged = merge_ledger_document(old, new)
    merged.setdefault("metadata", {})
    if isinstance(merged["metadata"], dict):
        merged["metadata"]["added later"] = 1
    assert (old, new) == before


@given(DOCUMENTS, DOCUMENTS)
def test_filled_qty_never_falls(old: dict[str, Any], new: dict[str, Any]) -> None:
    merged = merge_ledger_document(old, new)
    assert merged.get("filled_qty", 0) == max(old.get("filled_qty", 0), new.get("filled_qty", 0))


def test_a_late_reply_leaves_price_moment_and_blobs_of_the_higher_fill() -> None:
    late = fill(4) | {"strategy_id": "momentum"}
    assert written([fill(10), late]) == fill(10) | {"strategy_id": "momentum"}


def test_a_late_reply_adds_no_fill_field_that_the_higher_fill_lacks() -> None:
    bare = {name: value for name, value in fill(10).items() if name not in FILL_FIELDS - {"filled_qty"}}
    assert written([bare, fill(4)]) == bare


def test_a_reply_without_filled_qty_replaces_nothing_that_is_known_of_the_fill() -> None:
    assert written([fill(7), {"filled_avg_price": 1.0, "raw_fill": {"cum_qty": "0"}}]) == fill(7)


def test_a_reply_that_fills_as_much_as_is_known_brings_the_newer_blob() -> None:
    canceled = fill(7) | {"raw_broker_order": {"status": "canceled"}}
    assert written([fill(7), canceled])["raw_broker_order"] == {"filled_qty": "7", "status": "canceled"}


def test_the_trading_date_of_the_first_fill_is_never_rewritten() -> None:
    assert written([fill(4), fill(10, day="2026-03-03")])["trading_date"] == "2026-03-02"


def test_a_trading_date_that_was_missing_is_written() -> None:
    assert written([fill(4) | {"trading_date": None}, fill(4)])["trading_date"] == "2026-03-02"


def test_maps_are_merged_at_every_depth() -> None:
    old = {"metadata": {"signal": {"name": "x", "z": 1}, "kept": True}}
    new = {"metadata": {"signal": {"z": 2}}}
    assert written([old, new]) == {"metadata": {"signal": {"name": "x", "z": 2}, "kept": True}}


@pytest.mark.parametrize("value", [{}, [], None, 0, "text"])
def test_anything_but_a_map_with_fields_replaces_what_was_there(value: object) -> None:
    assert written([{"metadata": {"a": 1}}, {"metadata": value}]) == {"metadata": value}


@pytest.mark.parametrize("qty", [math.nan, math.inf, -1, "4", True, None])
def test_a_filled_qty_that_is_no_quantity_is_refused(qty: object) -> None:
    with pytest.raises(EngineError, match=r"ledger document o-1: filled_qty is .*; expected a finite number"):
        merge_ledger_document(fill(4), fill(4) | {"filled_qty": qty})
