"""Assignment of a file's columns to fields of an intent, order terms, metadata and index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import UnreadableFile
from engine.intents.column_names import OrderTerm, is_index_name, order_term, shown_name
from engine.intents.json_columns import joined
from engine.intents.nested_terms import nested_terms
from engine.intents.raw_table import ODD, RawTable, python_values
from engine.model.columns import MISSING
from engine.model.contract import Violation
from engine.model.field_names import field_named
from engine.model.quantity import Mask

_NAMES_SHOWN = 20


@dataclass(frozen=True)
class NamedColumns:
    """A file's columns by their meaning.

    ``fields``: by field, under ``names`` in the file. ``terms``: order terms under other names, with the rows
    that have them. ``clashes``: rows with a field under two names. ``extra``: columns that are metadata.
    ``index``: names of columns that were the index of a frame, which are ignored.
    """

    fields: Mapping[str, pa.Array]
    names: Mapping[str, Sequence[str]]
    terms: Mapping[str, tuple[OrderTerm, Mask]]
    clashes: Mapping[str, Mask]
    extra: Mapping[str, pa.Array]
    index: Sequence[str]

    def violations(self) -> Iterator[Violation]:
        """Yield what is wrong with the names of each row's columns."""
        for name, (term, rows) in self.terms.items():
            rule = term.rule if term.name == shown_name(name) else f"{term.rule}, and {term.name} is none"
            yield Violation(name, rule, term.remedy, rows)
        for field, rows in self.clashes.items():
            spelt = " and ".join(map(shown_name, self.names[field]))
            yield Violation(field, "one value", f"{spelt} are one field: write it once.", rows)

    def value(self, row: Mapping[str, Any], name: str) -> Any:
        """Return a raw row's value of a field or another name; None where it is missing or blank.

        An order term whose cell is empty is empty text: it is the column that is refused.
        """
        found = [row[spelt] for spelt in self.names.get(name, [name]) if spelt in row]
        if name in self.terms:
            return found[0] if found else ""
        value = found[0] if len(found) == 1 else found or None
        return None if isinstance(value, str) and not value.strip() else value

    def notes(self) -> list[str]:
        """Return the notes about the file's columns."""
        found = []
        if self.extra:
            found.append(f"kept as metadata, since no fields of an intent: {_listed(self.extra)}")
        if self.index:
            remedy = "write the frame with index=False"
            found.append(
                f"the index of a frame, which is left out of orders: {_listed(self.index)}; {remedy}"
            )
        return found


def named_columns(name: str, raw: RawTable) -> NamedColumns:
    """Return the columns of a file by the meaning of their names.

    Raises ``UnreadableFile`` where two columns are one field; in JSON that concerns the rows that have both.
    """
    names: dict[str, list[str]] = {}
    index, extra, terms = [], {}, {}
    for column, array in raw.columns.items():
        field = field_named(column)
        if field is not None:
            names.setdefault(field, []).append(column)
        elif is_index_name(column):
            index.append(column)
        elif (term := order_term(column)) is not None:
            has_it = _has_it(term, array, raw)
            if has_it.any() or not (raw.names_differ_by_row or term.usual):
                terms[column] = (term, has_it)
            if term.usual:
                extra[column] = array
        elif column in raw.index_names:
            index.append(column)
        elif (nested := nested_terms(column, array)) is not None:
            terms[column] = (nested.term, nested.rows)
            extra[column] = array
        else:
            extra[column] = array
    clashes = {}
    for field, spelt in names.items():
        if len(spelt) == 1:
            continue
        if not raw.names_differ_by_row:
            both = " and ".join(map(shown_name, spelt))
            raise UnreadableFile(f"{name}: {both} are one column", remedy=f"Name {field} once.")
        clashes[field] = np.sum([_given(raw.columns[column]) for column in spelt], axis=0) > 1
    fields = {
        field: _one_of(field, [raw.columns[column] for column in spelt]) for field, spelt in names.items()
    }
    return NamedColumns(fields, names, terms, clashes, extra, index)


def _one_of(field: str, arrays: Sequence[pa.Array]) -> pa.Array:
    """Return one array for a field that different rows spell differently."""
    if len(arrays) == 1:
        return arrays[0]
    rows = len(arrays[0])
    both = joined(field, arrays)
    return pc.coalesce(*(both.slice(i * rows, rows) for i in range(len(arrays))))


def _has_it(term: OrderTerm, array: pa.Array, raw: RawTable) -> Mask:
    """Return the rows with an order term: all rows of a file of columns, except those with usual values."""
    if not term.usual:
        return _given(array) if raw.names_differ_by_row else np.ones(raw.rows, dtype=bool)
    if pa.types.is_nested(array.type):
        return _given(array)
    encoded = array if pa.types.is_dictionary(array.type) else pc.dictionary_encode(array)
    says = [term.is_said_by(value) for value in python_values(encoded.dictionary)]
    codes = pc.fill_null(encoded.indices.cast(pa.int64()), MISSING).to_numpy(zero_copy_only=False)
    has_it: Mask = np.array([*says, False])[codes]
    return has_it


def _given(array: pa.Array) -> Mask:
    """Return the rows that have a value; NaN is none."""
    given = ~pc.is_null(array, nan_is_null=True).to_numpy(zero_copy_only=False)
    if pa.types.is_string(array.type):
        given &= ~pc.fill_null(pc.equal(array, f"{ODD}NaN"), False).to_numpy(zero_copy_only=False)
    mask: Mask = given
    return mask


def _listed(names: Mapping[str, Any] | Sequence[str]) -> str:
    shown = [shown_name(name) for name in list(names)[:_NAMES_SHOWN]]
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(shown) + more
