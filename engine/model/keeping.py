"""What can be kept: one set of rules for files, the rule book, ``execute_intent``, the ledger and all stores.

Pure. A document may move from one store to another, so it may hold only what all of them keep: JSON,
PostgreSQL's text and ``jsonb``, and Firestore, whose limits are the narrowest (https://cloud.google.com/firestore/quotas)::

    field names       not empty, not __of this form__, valid UTF-8
    field path        at most 1,500 bytes (``PATH_BYTES`` leaves room for quoting)
    depth             20 maps and lists within each other; a list in a list is kept in a map: two
    document          1 MiB, its name and the names of its fields counted
    index entries     40,000 a document, up to four a value: every field is indexed by itself
    numbers           integers of 64 bits; NaN and infinity aren't JSON
    text              valid Unicode; a NUL character is none to PostgreSQL

Google's emulator accepts most of what production refuses, so these rules apply to every store. A document
also has the intent's fields and the broker's reports of order and fill, so metadata may use only a part of
it: ``METADATA``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

LEVELS = 20
"""Maps and lists within each other in a field; a list in a list counts twice."""
PATH_BYTES = 1000
"""Bytes of a field's name, with those of the maps around it."""
INNER_LIST = "[]"
"""The only field of a map that stands for a list in a list, which Firestore doesn't have."""

_INT64 = range(-(2**63), 2**63)
_RESERVED = re.compile(r"__.*__", re.DOTALL)
_ESCAPED = re.compile(r"[`\\]")
_FIXED_BYTES = 16  # at most, of a number, a timestamp, true or nothing
_MAP_BYTES = 32
_WRAPPED_BYTES = _MAP_BYTES + 3  # a list in a list is kept in a map with the one field []
_SHOWN = 80
_METADATA = "metadata"
_LEFT_OUT = object()


@dataclass(frozen=True)
class Limits:
    """Limits of content: ``size`` in bytes as Firestore counts them, ``values`` in all its maps and lists."""

    size: int
    values: int


DOCUMENT = Limits(size=2**20 - 2_000, values=10_000)
"""The rest of 1 MiB is for the document's name."""
METADATA = Limits(size=2**16, values=1_000)
SURELY_WITHIN_METADATA = 2_000
"""Characters of JSON that are always within ``METADATA``: each counts for at most 32 bytes."""

KEY_RULE = (
    f"a key that is text, not empty nor __of this form__, at most {PATH_BYTES} bytes with those around it"
)


@dataclass(frozen=True)
class Unkeepable:
    """A part of some content that can't be kept.

    ``path``: its keys, joined by dots; "" is the whole content. ``value``: its value, shortened.
    ``rule`` ends the sentence "expected …", ``remedy`` is one.
    """

    path: str
    value: str
    rule: str
    remedy: str

    def record(self) -> dict[str, str]:
        """Return the record of the part."""
        return {"path": self.path, "value": self.value, "rule": self.rule, "remedy": self.remedy}


def keepable(
    content: Mapping[Any, Any], *, path: str = "", others_as_text: bool = False
) -> tuple[dict[str, Any], list[Unkeepable]]:
    """Return a plain copy of what can be kept of ``content``, and each part that can't.

    A part is a key with its value; a list with an item that can't be kept is left out whole. ``path`` are the
    keys around the content. ``others_as_text``: values that JSON doesn't hold, such as a date, count as their
    text, which is how they are written into a file. The size is not checked: see ``too_large``.
    """
    faults: list[Unkeepable] = []
    copy = _kept_map(content, _Place(path, int(bool(path))), others_as_text, faults)
    return copy, faults


def too_large(content: Mapping[str, Any], limits: Limits, *, path: str = "") -> Unkeepable | None:
    """Return why content with keepable parts exceeds ``limits``, None where it doesn't."""
    size = stored_size(content)
    if size > limits.size:
        shorten = "Shorten it, or keep it in a file and name that."
        return Unkeepable(path, f"{size} bytes", f"at most {limits.size} bytes as Firestore counts", shorten)
    values = values_in(content)
    if values > limits.values:
        rule = f"at most {limits.values} values in all of its maps and lists"
        return Unkeepable(path, f"{values} values", rule, "Shorten it, or write a list as one text.")
    return None


def unkeepable_metadata(metadata: object) -> Unkeepable | None:
    """Return why an intent's metadata, an object or its JSON, can't be kept; None where it can, or is absent.

    Paths begin with ``metadata``.
    """
    content = _object_of(metadata)
    if content is None:
        remedy = 'Write it as {"key": "value"}, or leave it out.'
        return Unkeepable(_METADATA, in_short(metadata), "a JSON object", remedy)
    if is_simple(content):
        return None
    copy, faults = keepable(content, path=_METADATA, others_as_text=not isinstance(metadata, str))
    return faults[0] if faults else too_large(copy, METADATA, path=_METADATA)


def unkeepable_value(name: Any, value: object) -> Unkeepable | None:
    """Return why one member of an intent's metadata can't be kept, whatever its size."""
    if is_simple({name: value}):
        return None
    _, faults = keepable({name: value}, path=_METADATA, others_as_text=True)
    return faults[0] if faults else None


def is_simple(metadata: Mapping[Any, Any]) -> bool:
    """Return True for a small flat object that can surely be kept; False means unknown."""
    if len(metadata) > 50:
        return False
    for name, value in metadata.items():
        if type(name) is not str or not _is_simple_name(name):
            return False
        kind = type(value)
        if not (
            value is None
            or kind is bool
            or (kind is str and len(value) <= 200 and value.isascii() and "\0" not in value)
            or (kind is int and value in _INT64)
            or (kind is float and math.isfinite(value))
        ):
            return False
    return True


@lru_cache(maxsize=4_096)
def _is_simple_name(name: str) -> bool:
    return len(name) <= 200 and name.isascii() and name.isidentifier() and name[0] != "_"


def are_plain(values: Sequence[object]) -> bool:
    """Return True for values of one type that can surely be kept, NaN as missing; False means unknown."""
    kinds = set(map(type, values))
    if kinds == {float}:
        return math.inf not in values and -math.inf not in values
    if kinds == {int}:
        numbers = cast("Sequence[int]", values)
        return min(numbers) in _INT64 and max(numbers) in _INT64
    if kinds == {str}:
        text = "".join(cast("Sequence[str]", values))
        return is_unicode(text) and "\0" not in text
    return kinds <= {bool}


def stored_size(value: Any) -> int:
    """Return the bytes that Firestore counts for a value, or a few more."""
    if isinstance(value, str):
        return len(value.encode()) + 1
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, Mapping):
        return _MAP_BYTES + sum(len(name.encode()) + 1 + stored_size(inner) for name, inner in value.items())
    if isinstance(value, list):
        return sum(_WRAPPED_BYTES * is_kept_within_a_map(item) + stored_size(item) for item in value)
    return _FIXED_BYTES


def values_in(value: Any) -> int:
    """Return the number of values of a map or list, with those of all maps and lists in it."""
    if not isinstance(value, Mapping | list):
        return 0
    inner: Iterable[Any] = value.values() if isinstance(value, Mapping) else value
    return sum(1 + values_in(one) for one in inner)


def is_kept_within_a_map(item: object) -> bool:
    """Return whether an item of a list is wrapped in a map: a list, or a map that looks like a wrapper."""
    return isinstance(item, list | tuple) or (isinstance(item, Mapping) and list(item) == [INNER_LIST])


def is_unicode(text: str) -> bool:
    """Return whether a text has no halves of surrogate pairs in it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_name(text: str) -> bool:
    """Return whether Firestore accepts a text as the name of a field or document, apart from its length."""
    return bool(text) and not _RESERVED.fullmatch(text) and is_unicode(text) and "\0" not in text


def in_short(value: object) -> str:
    """Return a value for a message; for a map or list only its kind and length."""
    if isinstance(value, Mapping):
        return f"a map of {len(value)}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, int) and value.bit_length() > _SHOWN:
        return f"an integer of {value.bit_length()} bits"
    try:
        text = repr(value)
    except Exception:  # a strategy may pass any object
        text = type(value).__name__
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


@dataclass(frozen=True)
class _Place:
    path: str
    level: int

    def inside(self, name: str) -> _Place:
        return _Place(f"{self.path}.{name}" if self.path else name, self.level)


def _kept_map(
    values: Mapping[Any, Any], place: _Place, others_as_text: bool, faults: list[Unkeepable]
) -> dict[str, Any]:
    result = {}
    for name, value in values.items():
        if not isinstance(name, str) or not is_name(name):
            shown = place.inside(repr(name)[:_SHOWN]).path
            faults.append(Unkeepable(shown, in_short(value), KEY_RULE, "Rename it, or leave it out."))
            continue
        inner = place.inside(name)
        if len(inner.path.encode()) + len(_ESCAPED.findall(inner.path)) > PATH_BYTES:
            shown = f"{inner.path[:_SHOWN]}…"
            faults.append(Unkeepable(shown, in_short(value), KEY_RULE, "Shorten its name, or leave it out."))
            continue
        kept = _kept(value, inner, others_as_text, faults)
        if kept is not _LEFT_OUT:
            result[name] = kept
    return result


def _kept(value: Any, place: _Place, others_as_text: bool, faults: list[Unkeepable]) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and value in _INT64:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, Mapping | list | tuple) and place.level < LEVELS:
        return _kept_container(value, _Place(place.path, place.level + 1), others_as_text, faults)
    is_other = not isinstance(value, str | int | float | Mapping | list | tuple)
    text = str(value) if is_other and others_as_text else value
    if isinstance(text, str) and is_unicode(text) and "\0" not in text:
        return str.__str__(text)  # for an enum's member, its value
    rule, remedy = _why_not(text)
    faults.append(Unkeepable(place.path, in_short(text), rule, remedy))
    return _LEFT_OUT


def _kept_container(
    value: Mapping[Any, Any] | list[Any] | tuple[Any, ...],
    place: _Place,
    others_as_text: bool,
    faults: list[Unkeepable],
) -> Any:
    if isinstance(value, Mapping):
        return _kept_map(value, place, others_as_text, faults)
    before, items = len(faults), []
    for item in value:
        inner = _Place(place.path, place.level + is_kept_within_a_map(item))
        items.append(_kept(item, inner, others_as_text, faults))
        if len(faults) > before:
            return _LEFT_OUT
    return items


def _why_not(value: object) -> tuple[str, str]:
    """Return the rule that a value breaks, and the remedy."""
    if isinstance(value, str):
        rule = "text that is Unicode, without halves of characters and NUL characters"
        return rule, "Write it as plain text, or leave it out."
    if isinstance(value, int):
        return "a whole number of 64 bits, or text", "Write it as text, or leave it out."
    if isinstance(value, float):
        return "a finite number, or none at all", "Write null or text, or leave it out."
    if isinstance(value, Mapping | list | tuple):
        return f"at most {LEVELS} maps and lists within each other", "Write the inner ones as one text."
    return "what JSON holds: decimals and timestamps as text", "Write it as text, or leave it out."


def _object_of(metadata: object) -> Mapping[Any, Any] | None:
    """Return metadata as a mapping, None where it is not an object."""
    if isinstance(metadata, str):
        if not metadata.strip():
            return {}
        try:
            metadata = json.loads(metadata)
        except (ValueError, RecursionError):
            return None
        return metadata if isinstance(metadata, dict) else None
    if metadata is None or isinstance(metadata, float):
        return {} if metadata is None or math.isnan(metadata) else None
    return metadata if isinstance(metadata, Mapping) else None
