"""Objects written as text: JSON, YAML, XML, what Python prints of dicts and objects, and pairs.

Of JavaScript's and YAML's objects, keys need no quotes: ``{limit: 40}``. A dataclass prints itself as
``Params(limit=40, tif='day')``. Pairs are text that is nothing else: ``limit=40;tif=day``,
``limit: 40, tif: day``. Prose that mentions a term (``limit 40``, ``Stop: below the low``) is no object.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAY_BE_AN_OBJECT = (
    r"""^\x00?\s*(?:["\[{(<#%]|---|-\s|[\pL_][\pL\pN_.-]*(?: [\pL\pN_.-]+){0,3}\s*:)|["']\s*:|="""
)
"""Matches every text that ``object_in`` finds an object in, and others; an expression of Arrow's."""

_NOTHING = r"(?:None|null|nan|NaN|NaT|<NA>)\b"
_QUOTED_KEY = re.compile(rf"""["']([^"'\\]{{1,200}})\\*["']\s*+:\s*+(?!{_NOTHING})""")
_BARE_KEY = re.compile(rf"[{{,]\s*+([^\W\d]\w{{0,200}})\s*+:\s*+(?!{_NOTHING})")
_CALL = re.compile(r"\s*[\w.]*[(<\[].*[)>\]]\s*", re.DOTALL)
_ARGUMENT = re.compile(rf"[(<\[,\s]([^\W\d]\w{{0,200}})=(?!=|{_NOTHING})")
_ELEMENT = re.compile(
    rf"<(?:[\w.-]{{1,100}}:)?([^\W\d][\w.-]{{0,200}})(?:\s[^<>]*+)?>\s*+(?:<!\[CDATA\[\s*+)?(?!{_NOTHING})[^<>\s\]]"
)
_KEY = r"[^\W\d][\w.-]*(?: [\w.-]+){0,3}"
_LINE = re.compile(rf"(?:-[ \t]+)*+(?:({_KEY})[ \t]*(?:=|:(?=[ \t]|$))|(?<=[ \t]))[ \t]*(.*)")
_WORD = re.compile(
    rf"(?:[&!]\S*\s+)*+(?!(?:{_NOTHING}|~)?,?$)(?:[^\s\"'#&*!|>:]\S*|\"[^\"]+\"|'[^']+')(?:\s+#.*)?"
)
_NO_LINE = re.compile(r"[#%;].*|-{3}.*|\.{3}|\[[^\]]*\]|")
_AROUND_PAIRS = re.compile(r"^(?:-[ \t]+)+|[ \t]#.*$")
_BETWEEN_WORD_PAIRS = re.compile(r"[;,&|]")
_WORD_PAIR = re.compile(
    rf"\s*({_KEY})\s*:\s*((?!(?:{_NOTHING}|~)\s*$)(?:[^\s:/][^\s:]*|\"[^\"]+\"|'[^']+'))\s*"
)
_AROUND_EQUALS = re.compile(r"[ \t]*=[ \t]*")
_BETWEEN_PAIRS = re.compile(r"[;,&|\s\x01]+")
_PAIR = re.compile(r"([^\W=]{1,200}(?:[.-][^\W=]{1,200})?)=(?!$)[^=]*")


def object_in(text: str) -> Any:
    """Return the object, or the list with objects, that a text holds; None where it holds none.

    Of text that is nearly JSON, as Python prints a dict, the keys that have a value are found.
    """
    if text.lstrip()[:1] in {"{", "[", '"'}:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass
    quoted = _QUOTED_KEY.findall(text) if '"' in text or "'" in text else []
    keys = quoted + _keys_without_quotes(text)
    keys = keys or _keys_of_pairs(text) or _keys_of_lines(text)
    return dict.fromkeys(keys, True) if keys else None


def _keys_without_quotes(text: str) -> list[str]:
    """Return the keys of a text in braces, or of what Python prints of an object."""
    if text.lstrip().startswith("{"):
        return _BARE_KEY.findall(text)
    if text.lstrip().startswith("<") and (elements := _ELEMENT.findall(text)):
        return elements
    if "=" not in text:
        return []
    return _ARGUMENT.findall(text) if _CALL.fullmatch(text) else []


def _keys_of_pairs(text: str) -> list[str]:
    """Return the keys of a text that is pairs and nothing else."""
    if "=" not in text:
        return []
    parts = filter(None, _BETWEEN_PAIRS.split(_AROUND_EQUALS.sub("=", text)))
    pairs = [_PAIR.fullmatch(part) for part in parts]
    return [pair[1] for pair in pairs if pair is not None] if all(pairs) else []


def _keys_of_lines(text: str) -> list[str]:
    """Return the keys with a value of one word in a text whose lines are all ``key: value``, as YAML's are.

    A line may also hold several such pairs, or an item of a list. Comments and headings are passed over.
    """
    if ":" not in text and "=" not in text:
        return []
    lines = [line for line in map(str.strip, text.splitlines()) if not _NO_LINE.fullmatch(line)]
    keys: list[str] = []
    for line in lines:
        found = _keys_of_word_pairs(line)
        pair = None if found or len(lines) == 1 else _LINE.fullmatch(line)
        if not found and pair is None:
            return []
        keys += found
        keys += [pair[1]] if pair is not None and pair[1] and _WORD.fullmatch(pair[2]) else []
    return keys


def _keys_of_word_pairs(line: str) -> list[str]:
    """Return the keys of a line that is ``key: word`` and nothing else, with commas between them."""
    bare = _AROUND_PAIRS.sub("", line) if line[0] == "-" or "#" in line else line
    pairs = [_WORD_PAIR.fullmatch(part) for part in _BETWEEN_WORD_PAIRS.split(bare) if part.strip()]
    return [pair[1] for pair in pairs if pair is not None] if all(pairs) else []
