"""Order terms inside the objects of columns that are no fields, such as ``{"params": {"limit_price": 4}}``.

Nothing reads them there, so the limit order that was meant would leave as a market order. Only the keys of
the field ``metadata`` are free.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.columns import MISSING
from engine.field_names import field_named
from engine.intents.column_names import OrderTerm, order_term, shown_name
from engine.intents.raw_table import ODD, plain, python_values
from engine.quantity import Mask

_BEGINS_AN_OBJECT = rf"^(?:{ODD})?\s*[\[{{]"
_MOST_TEXTS_IN_TEXTS = 3
_ABOUT_THE_ROW = {"client_intent_id", "strategy_id", "estimated_slippage", "reference_price", "created_at"}
"""Fields that may stand in any object: not honoured, they leave the order as it is."""


@dataclass(frozen=True)
class NestedTerms:
    """The first order term that a column holds in an object, and the rows that hold any."""

    term: OrderTerm
    rows: Mask


def nested_terms(column: str, array: pa.Array) -> NestedTerms | None:
    """Return what a raw column holds of order terms inside objects, also those written as text; else None."""
    codes, values = _objects(array)
    found = [next(_terms(value), None) for value in values]
    first = next(filter(None, found), None)
    if first is None:
        return None
    holds = np.array([*(term is not None for term in found), False])
    return NestedTerms(OrderTerm(shown_name(f"{column}.{first.name}"), first.meant), holds[codes])


def _objects(array: pa.Array) -> tuple[np.ndarray, list[Any]]:
    """Return the distinct values that may be objects, and by row the place of its value, -1 for none."""
    kind = array.type
    if pa.types.is_nested(kind):
        return np.arange(len(array)), python_values(array)
    texts = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(texts) or pa.types.is_large_string(texts)):
        return np.full(len(array), MISSING), []
    encoded = array if pa.types.is_dictionary(kind) else pc.dictionary_encode(array)
    begins = pc.match_substring_regex(encoded.dictionary.cast(pa.string()), _BEGINS_AN_OBJECT)
    places = np.flatnonzero(pc.fill_null(begins, False).to_numpy(zero_copy_only=False))
    if not len(places):
        return np.full(len(array), MISSING), []
    renumbered = np.full(len(encoded.dictionary) + 1, MISSING)
    renumbered[places] = np.arange(len(places))
    codes = pc.fill_null(encoded.indices.cast(pa.int64()), MISSING).to_numpy(zero_copy_only=False)
    chosen = encoded.dictionary.take(pa.array(places)).to_pylist()
    return renumbered[codes], [plain(text) for text in chosen]


def _terms(value: Any) -> Iterator[OrderTerm]:
    """Yield the order terms of an object that have a value, at any depth."""
    waiting = [(value, 0)]
    while waiting:
        held, texts = waiting.pop()
        if isinstance(held, str) and texts < _MOST_TEXTS_IN_TEXTS:
            waiting.append((_parsed(held), texts + 1))
        elif isinstance(held, dict):
            for key, inside in held.items():
                if inside is not None and (term := _term(str(key))) is not None:
                    yield term
                waiting.append((inside, texts))
        elif isinstance(held, list | tuple):
            waiting.extend((inside, texts) for inside in held)


def _parsed(text: str) -> Any:
    if text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


@lru_cache(maxsize=10_000)
def _term(key: str) -> OrderTerm | None:
    """Return what a key would say of the order; a field's own name is an order term in an object as well."""
    field = field_named(key)
    term = order_term(key) if field in {None, "metadata"} else OrderTerm(shown_name(key), str(field))
    return None if term is None or term.meant in _ABOUT_THE_ROW else term
