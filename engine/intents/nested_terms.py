"""Order terms inside the objects of columns that are no fields, such as ``{"params": {"limit_price": 4}}``.

They are not read there, so a limit order would be sent as a market order. Only the keys of the field
``metadata`` are free. Objects are found in structs, maps, lists and text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.intents.column_names import OrderTerm, order_term, shown_name
from engine.intents.object_texts import MAY_BE_AN_OBJECT, object_in
from engine.intents.raw_table import plain, python_values
from engine.model.columns import MISSING
from engine.model.field_names import field_named
from engine.model.quantity import Mask

_MOST_TEXTS_IN_TEXTS = 3
_PAIR = 2
_SAYS_THE_NAME = ("key", "name", "field", "param", "parameter", "tag", "k")
_SAYS_THE_VALUE = ("value", "val", "v")
_ABOUT_THE_ROW = {"client_intent_id", "strategy_id", "estimated_slippage", "reference_price", "created_at"}
"""Fields that any object may have: ignoring them doesn't change the order."""


@dataclass(frozen=True)
class NestedTerms:
    """The first order term that a column holds in an object, and the rows that hold any."""

    term: OrderTerm
    rows: Mask


def nested_terms(column: str, array: pa.Array) -> NestedTerms | None:
    """Return the order terms inside a raw column's objects, also objects written as text; None for none."""
    codes, values = _objects(array)
    found = [next(_terms(value), None) for value in values]
    first = next(filter(None, found), None)
    if first is None:
        return None
    holds = np.array([*(term is not None for term in found), False])
    return NestedTerms(OrderTerm(shown_name(f"{column}.{first.name}"), first.meant), holds[codes])


def _objects(array: pa.Array) -> tuple[np.ndarray, list[Any]]:
    """Return the distinct values that may be objects, and by row the place of its value, -1 for none."""
    if pa.types.is_nested(array.type):
        return np.arange(len(array)), python_values(array)
    encoded = _encoded_texts(array)
    if encoded is None:
        return np.full(len(array), MISSING), []
    may_be = pc.match_substring_regex(encoded.dictionary, MAY_BE_AN_OBJECT)
    places = np.flatnonzero(pc.fill_null(may_be, False).to_numpy(zero_copy_only=False))
    if not len(places):
        return np.full(len(array), MISSING), []
    renumbered = np.full(len(encoded.dictionary) + 1, MISSING)
    renumbered[places] = np.arange(len(places))
    codes = pc.fill_null(encoded.indices.cast(pa.int64()), MISSING).to_numpy(zero_copy_only=False)
    chosen = encoded.dictionary.take(pa.array(places)).to_pylist()
    return renumbered[codes], [plain(text) for text in chosen]


def _encoded_texts(array: pa.Array) -> pa.DictionaryArray | None:
    """Return a column's texts by code; of bytes, what they are in UTF-8. None for other kinds of columns."""
    encoded = array if pa.types.is_dictionary(array.type) else None
    texts = array.type.value_type if encoded is not None else array.type
    if pa.types.is_string(texts) or pa.types.is_large_string(texts):
        encoded = encoded if encoded is not None else pc.dictionary_encode(array)
        return pa.DictionaryArray.from_arrays(encoded.indices, encoded.dictionary.cast(pa.string()))
    if pa.types.is_binary(texts) or pa.types.is_large_binary(texts) or pa.types.is_fixed_size_binary(texts):
        encoded = encoded if encoded is not None else pc.dictionary_encode(array)
        read = [_text_of(held) for held in encoded.dictionary.to_pylist()]
        return pa.DictionaryArray.from_arrays(encoded.indices, pa.array(read, pa.string()))
    return None


def _text_of(held: bytes | None) -> str | None:
    return None if held is None else held.decode(errors="replace")


def _terms(value: Any) -> Iterator[OrderTerm]:
    """Yield the order terms of an object that have a value, at any depth."""
    waiting = [(value, 0)]
    while waiting:
        held, texts = waiting.pop()
        if isinstance(held, bytes):
            held = _text_of(held)
        if isinstance(held, str):
            if texts < _MOST_TEXTS_IN_TEXTS:
                waiting.append((object_in(held), texts + 1))
        elif isinstance(held, dict):
            for key, inside in _members(held):
                if inside is not None and (term := _term(str(key))) is not None and term.is_said_by(inside):
                    yield term
                waiting.append((inside, texts))
        elif isinstance(held, list | tuple):
            waiting.extend((_pair(inside), texts) for inside in held)


def _members(held: dict[Any, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield an object's keys with their values; {"name": "tif", "value": "gtc"} has the key tif as well."""
    yield from held.items()
    key = next((held[name] for name in _SAYS_THE_NAME if isinstance(held.get(name), str)), None)
    if key is not None:
        yield from ((key, held[name]) for name in _SAYS_THE_VALUE if name in held)


def _pair(inside: Any) -> Any:
    """Return a pair of a name and a value, as a map has them, as an object; all else as it is."""
    if not isinstance(inside, list | tuple) or len(inside) != _PAIR or not isinstance(inside[0], str):
        return inside
    is_of_a_map = isinstance(inside, tuple) or not isinstance(inside[1], str)
    return {inside[0]: inside[1]} if is_of_a_map else inside


@lru_cache(maxsize=10_000)
def _term(key: str) -> OrderTerm | None:
    """Return the order term that a key means; inside an object a field's own name is one as well."""
    field = field_named(key)
    term = order_term(key) if field in {None, "metadata"} else OrderTerm(shown_name(key), str(field))
    return None if term is None or term.meant in _ABOUT_THE_ROW else term
