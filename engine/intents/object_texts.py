"""Objects written as text: JSON, what Python prints of dicts and objects, and pairs (``limit=40;tif=day``).

Of JavaScript's and YAML's objects, keys need no quotes: ``{limit: 40}``. A dataclass prints itself as
``Params(limit=40, tif='day')``.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAY_BE_AN_OBJECT = r"""^\x00?\s*["\[{(]|["']\s*:|="""
"""Matches every text that ``object_in`` finds an object in, and others; an expression of Arrow's."""

_NOTHING = r"(?:None|null|nan|NaN|NaT|<NA>)\b"
_QUOTED_KEY = re.compile(rf"""["']([^"'\\]{{1,200}})\\*["']\s*+:\s*+(?!{_NOTHING})""")
_BARE_KEY = re.compile(rf"[{{,]\s*+([^\W\d]\w{{0,200}})\s*+:\s*+(?!{_NOTHING})")
_CALL = re.compile(r"\s*[\w.]*[(<\[].*[)>\]]\s*", re.DOTALL)
_ARGUMENT = re.compile(rf"[(<\[,\s]([^\W\d]\w{{0,200}})=(?!=|{_NOTHING})")
_AROUND_EQUALS = re.compile(r"[ \t]*=[ \t]*")
_BETWEEN_PAIRS = re.compile(r"[;,&|\s\x01]+")
_PAIR = re.compile(r"([^\W=]{1,200}(?:[.-][^\W=]{1,200})?)=(?!$)[^=]*")


def object_in(text: str) -> Any:
    """Return what a text says as an object, or a list with objects; None where it is text that says none.

    Of text that is nearly JSON, as Python prints a dict, the keys that have a value are found.
    """
    if text.lstrip()[:1] in {"{", "[", '"'}:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass
    keys = _QUOTED_KEY.findall(text) + _keys_without_quotes(text) or _keys_of_pairs(text)
    return dict.fromkeys(keys, True) if keys else None


def _keys_without_quotes(text: str) -> list[str]:
    """Return the keys of a text in braces, or of what Python prints of an object."""
    if text.lstrip().startswith("{"):
        return _BARE_KEY.findall(text)
    return _ARGUMENT.findall(text) if _CALL.fullmatch(text) else []


def _keys_of_pairs(text: str) -> list[str]:
    """Return the keys of a text that is pairs and nothing else."""
    if "=" not in text:
        return []
    parts = filter(None, _BETWEEN_PAIRS.split(_AROUND_EQUALS.sub("=", text)))
    pairs = [_PAIR.fullmatch(part) for part in parts]
    return [pair[1] for pair in pairs if pair is not None] if all(pairs) else []
