r"""Makes external text safe to display in terminals, logs, JSON that people read, and spreadsheets.

File names, ids and texts of strategies and brokers may contain characters that move a cursor, hide or reverse
text, or start a line that imitates ours; and cells that a spreadsheet reads as a formula.
All output passes one of these functions, at the place where it is written.

Characters are escaped as Python and JSON write them: ``\x1b``, ``\u202e``, ``\U000e0041``.
"""

from __future__ import annotations

import re
from decimal import Decimal
from numbers import Number

LONGEST_SHOWN = 80
"""The most characters of a value in a message."""

_BLANK_THOUGH_PRINTABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Characters that ``str.isprintable`` accepts although Unicode ignores them or shows them as blank."""
_OF_LAYOUT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}

_READ_AS_ESCAPE = re.compile(r"\\(?=[tnr]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
_ESCAPE = re.compile(r"\\(?:([tnr])|x([0-9a-f]{2})|u([0-9a-f]{4})|U(0010[0-9a-f]{4}|000[0-9a-f]{5}))")
_SIGNS = "=+@-\uff1d\uff0b\uff20\uff0d\ufe66\ufe62\ufe6b\ufe63\u207c\u207a\u207b\u208c\u208a\u208b\u2212"
# A German Excel splits at semicolons even inside quotes: a cell may begin after each of them.
_FORMULA = re.compile(f"(^|;)(?='* *[{re.escape(_SIGNS)}])")
_NEUTRALISED = re.compile(f"(^|;)'(?='* *[{re.escape(_SIGNS)}])")


def is_printable(text: str) -> bool:
    """Return whether a text is shown unchanged, on one line and in reading order.

    Not printable are control and format characters (escape sequences, zero width, changes of direction), line
    and paragraph separators, blanks other than the space, lone surrogates, private and unassigned characters.
    """
    return text.isprintable() and (text.isascii() or not _BLANK_THOUGH_PRINTABLE.search(text))


def printable(text: str) -> str:
    r"""Return a text as one line for a terminal, a log or a message; idempotent.

    Every character that is not printable is escaped, including tabs and line breaks.
    """
    return text if is_printable(text) else "".join(map(_escaped, text))


def shown(value: object, *, at_most: int = LONGEST_SHOWN) -> str:
    """Return a value as shown in a message: printable, shortened to ``at_most``, text in quotes."""
    try:
        text = repr(value[: at_most + 1]) if isinstance(value, str) else str(value)
    except (RecursionError, ValueError):  # too deeply nested; an integer of thousands of digits
        text = f"a value of type {type(value).__name__} that can't be shown"
    text = printable(text)
    return text if len(text) <= at_most else text[: at_most - 1] + "…"


def printable_json(text: str) -> str:
    r"""Return JSON text with the same values, every unprintable character but line breaks escaped.

    In valid JSON such characters occur in strings only, where ``\u2028`` means the character itself.
    """
    if text.isascii() and "\x7f" not in text:
        return text
    return "\n".join(
        line if is_printable(line) else "".join(map(_escaped_in_json, line)) for line in text.split("\n")
    )


def csv_cell(value: object) -> str:
    r"""Return a value as a CSV cell that a spreadsheet reads as text or number, never as a formula.

    Text that begins, after blanks or after a semicolon, with ``= + - @`` or their full-width forms gets an
    apostrophe before it. Unprintable characters are escaped. ``csv_value`` is the exact inverse for text.
    Numbers stay numbers, also negative ones; ``None`` and NaN are empty cells.
    """
    if value is None:
        return ""
    if isinstance(value, Number):
        return _number(value)
    escaped = printable(_READ_AS_ESCAPE.sub(r"\\x5c", str(value)))
    return _FORMULA.sub(r"\1'", escaped)


def csv_value(cell: str) -> str:
    """Return the text that ``csv_cell`` wrote as this cell."""
    return _ESCAPE.sub(_unescaped, _NEUTRALISED.sub(r"\1", cell))


def _number(value: Number) -> str:
    if value != value:  # noqa: PLR0124 - NaN
        return ""
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _escaped(letter: str) -> str:
    if is_printable(letter):
        return letter
    code = ord(letter)
    if code <= 0xFF:
        return _OF_LAYOUT.get(letter) or f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _escaped_in_json(letter: str) -> str:
    if is_printable(letter):
        return letter
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _unescaped(match: re.Match[str]) -> str:
    layout, *codes = match.groups()
    if layout:
        return {"t": "\t", "n": "\n", "r": "\r"}[layout]
    return chr(int(next(code for code in codes if code), 16))
