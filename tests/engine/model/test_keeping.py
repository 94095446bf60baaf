"""What can be kept: one answer, asked by every way in and by both stores of the ledger."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.model.keeping import (
    DOCUMENT,
    METADATA,
    SURELY_WITHIN_METADATA,
    are_plain,
    is_simple,
    keepable,
    stored_size,
    too_large,
    unkeepable_metadata,
    unkeepable_value,
    values_in,
)
from engine.model.metadata_rows import unkeepable_rows
from engine.risk import evaluate
from engine.risk.config import RiskConfig
from engine.risk.inputs import RiskInputs
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.firestore.store import FirestoreStore
from engine.stores.protocols import LedgerStore
from tests.desk import NOON, order
from tests.engine.hostile import KEEPABLE, UNKEEPABLE
from tests.engine.stores.trades import SESSION, trade


@pytest.mark.parametrize("metadata", UNKEEPABLE.values(), ids=UNKEEPABLE)
def test_what_can_not_be_kept_is_named_with_rule_and_remedy(metadata: dict[str, Any]) -> None:
    part = unkeepable_metadata(metadata)
    assert part is not None
    assert part.path.startswith("metadata")
    assert part.value
    assert part.rule
    assert part.remedy.endswith(".")


@pytest.mark.parametrize("metadata", KEEPABLE.values(), ids=KEEPABLE)
def test_what_can_be_kept_is_not_refused(metadata: dict[str, Any]) -> None:
    assert unkeepable_metadata(metadata) is None
    assert unkeepable_metadata(json.dumps(metadata)) is None


@pytest.mark.parametrize(
    ("metadata", "path", "value", "rule"),
    [
        ({"h": 2**64 - 1}, "metadata.h", "18446744073709551615", "a whole number of 64 bits, or text"),
        ({"h": 10**5000}, "metadata.h", "an integer of 16610 bits", "a whole number of 64 bits, or text"),
        (
            {"a": {"__v__": 1}},
            "metadata.a.'__v__'",
            "1",
            "a key that is text, not empty nor __of this form__",
        ),
        ({1: 2}, "metadata.1", "2", "a key that is text"),
        ({"a": [0, {"b": math.inf}]}, "metadata.a.b", "inf", "a finite number, or none at all"),
        ({"a": "\ud800"}, "metadata.a", r"'\ud800'", "text that is Unicode"),
        ({"a": "x" * 70_000}, "metadata", "70035 bytes", "at most 65536 bytes as Firestore counts"),
        ([1], "metadata", "a list of 1", "a JSON object"),
        ("text", "metadata", "'text'", "a JSON object"),
        (5.0, "metadata", "5.0", "a JSON object"),
    ],
)
def test_the_part_is_named_by_place_value_and_rule(metadata: Any, path: str, value: str, rule: str) -> None:
    part = unkeepable_metadata(metadata)
    assert part is not None
    assert (part.path, part.value) == (path, value)
    assert part.rule.startswith(rule)


def test_what_holds_itself_is_refused() -> None:
    metadata: dict[str, Any] = {}
    metadata["a"] = metadata
    assert unkeepable_metadata(metadata) is not None


def test_values_that_a_file_has_as_text_are_no_fault_of_an_intent() -> None:
    said = {"fee": Decimal("1.5"), "at": datetime(2026, 3, 2, tzinfo=UTC), "n": np.int64(4), "raw": b"\xff"}
    assert unkeepable_metadata(said) is None


def test_what_is_left_out_is_as_little_as_can_be() -> None:
    copy, parts = keepable({"a": {"__x__": 1, "y": 2}, "b": [1, 2**63], "c": [[1]], "d": "\ud800"})
    assert copy == {"a": {"y": 2}, "c": [[1]]}
    assert [part.path for part in parts] == ["a.'__x__'", "b", "d"]


TEXTS = st.text(st.characters(codec=None))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.text(st.characters(codec=None), max_size=8), json_values, max_size=5)


@given(objects)
def test_a_quick_look_never_passes_what_a_close_one_refuses(metadata: dict[str, Any]) -> None:
    copy, parts = keepable(metadata, path="metadata")
    if is_simple(metadata):
        assert not parts
        assert too_large(copy, METADATA) is None
        assert copy == metadata


@given(st.lists(st.integers()) | st.lists(st.floats()) | st.lists(st.booleans()) | st.lists(TEXTS))
def test_a_quick_look_at_many_values_never_passes_what_a_close_one_refuses(values: list[Any]) -> None:
    told = [None if isinstance(one, float) and math.isnan(one) else one for one in values]
    assert not are_plain(values) or all(unkeepable_value("name", one) is None for one in told)
    assert are_plain(values) == all(unkeepable_value("name", one) is None for one in told)


@given(objects)
def test_short_json_is_within_the_size_whatever_it_says(metadata: dict[str, Any]) -> None:
    copy, _ = keepable(metadata)
    characters = len(json.dumps(copy, ensure_ascii=False, separators=(",", ":")))
    assert stored_size(copy) <= 32 + METADATA.size / SURELY_WITHIN_METADATA * characters * 1.1
    assert values_in(copy) <= characters / 2


@given(st.lists(objects.map(json.dumps) | st.just("{}") | st.text(max_size=8), min_size=1, max_size=8))
def test_a_column_is_judged_as_each_of_its_rows_is(texts: list[str]) -> None:
    expected = [unkeepable_metadata(text) is not None for text in texts]
    columns = [pd.Series(texts, dtype=object), pd.Series(texts, dtype="category")]
    if all(letter < "\ud800" or letter > "\udfff" for text in texts for letter in text):
        columns += [pd.Series(texts, dtype="str"), pd.Series(texts * 400, dtype="str")]
    for column in columns:
        assert unkeepable_rows(column).tolist() == expected * (len(column) // len(texts))


@pytest.mark.parametrize(
    "flat", ['{"a":01}', '{"a":1e999}', '{"a":1}x', '{"a":1,}', '{"a":"\\ud800"}', '{"a"']
)
def test_a_column_of_distinct_texts_is_not_taken_for_flat_json_where_it_is_none(flat: str) -> None:
    texts = [*(f'{{"z":{n}}}' for n in range(2_000)), flat]
    assert np.flatnonzero(unkeepable_rows(pd.Series(texts, dtype="str"))).tolist() == [2_000]


def judged(frame: pd.DataFrame) -> list[str]:
    inputs = RiskInputs(
        as_of=pd.Timestamp(NOON),
        trading_date=SESSION,
        positions=pd.DataFrame(columns=["broker_account_id", "symbol", "qty"]),
        daily_trades=pd.DataFrame(columns=["broker_account_id", "trades"]),
        working_orders=pd.DataFrame(columns=["broker_account_id", "symbol", "side", "remaining_qty"]),
    )
    reasons: list[str] = evaluate(frame, inputs, RiskConfig())["reason"].astype(str).tolist()
    return reasons


@pytest.mark.parametrize("metadata", UNKEEPABLE.values(), ids=UNKEEPABLE)
def test_the_gate_refuses_metadata_that_can_not_be_kept_and_nothing_beside_it(metadata: Any) -> None:
    rows = [order(client_intent_id=f"id-{n}") for n in range(3)]
    for given_as in (metadata, json.dumps(metadata)):
        frame = pd.DataFrame(rows).assign(metadata=[{}, given_as, None])
        assert judged(frame) == ["ok", "invalid_intent", "ok"]
    for kind in ("str", "category"):
        texts = pd.Series(["{}", json.dumps(metadata), '{"z":1}'], dtype=kind)
        assert judged(pd.DataFrame(rows).assign(metadata=texts)) == ["ok", "invalid_intent", "ok"]


@pytest.mark.parametrize("metadata", KEEPABLE.values(), ids=KEEPABLE)
def test_the_gate_passes_metadata_that_can_be_kept(metadata: Any) -> None:
    frame = pd.DataFrame([order(client_intent_id="id-1")])
    assert judged(frame.assign(metadata=[metadata])) == ["ok"]
    assert judged(frame.assign(metadata=[json.dumps(metadata)])) == ["ok"]


@pytest.fixture(params=["embedded", "firestore"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> LedgerStore:
    if request.param == "embedded":
        return EmbeddedStore(tmp_path / "engine.db")
    return FirestoreStore(request.getfixturevalue("firestore_project"), timeout_s=60)


@pytest.mark.parametrize("metadata", KEEPABLE.values(), ids=KEEPABLE)
def test_what_can_be_kept_is_read_back_equal(ledger: LedgerStore, metadata: dict[str, Any]) -> None:
    ledger.write_ledger([trade("o-1") | {"metadata": metadata}])
    assert (ledger.ledger_document("o-1") or {})["metadata"] == metadata


@pytest.fixture
def numbers() -> Iterator[int]:
    return iter(range(1_000_000))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadata=objects)
def test_whatever_passes_is_kept_and_read_back_equal(
    ledger: LedgerStore, numbers: Iterator[int], metadata: dict[str, Any]
) -> None:
    passing = metadata if unkeepable_metadata(metadata) is None else keepable(metadata, path="metadata")[0]
    assert unkeepable_metadata(passing) is None
    name = f"o-{next(numbers)}"
    ledger.write_ledger([trade(name) | {"metadata": passing}])
    kept = (ledger.ledger_document(name) or {})["metadata"]
    assert kept == passing
    assert json.dumps(kept, sort_keys=True) == json.dumps(passing, sort_keys=True)


def test_a_document_that_is_full_is_within_firestores_index() -> None:
    assert 4 * DOCUMENT.values <= 40_000


def test_metadata_at_its_limit_leaves_most_of_a_document_to_the_brokers_words() -> None:
    assert METADATA.size * 10 < DOCUMENT.size
    assert METADATA.values * 5 < DOCUMENT.values


def test_a_column_of_a_million_rows_costs_little() -> None:
    """A guard against parsing each row: distinct flat objects are told by Arrow at once."""
    import time

    columns = [
        pa.array([f'{{"signal":"breakout","z":{n}.5}}' for n in range(200_000)]),
        pa.array(["{}"] * 200_000),
    ]
    for texts in columns:
        column = pa.table({"metadata": texts}).to_pandas()["metadata"]
        unkeepable_rows(column)
        begun = time.process_time()
        assert not unkeepable_rows(column).any()
        assert time.process_time() - begun < 0.5
