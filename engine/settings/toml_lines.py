"""The lines at which the keys of a TOML document stand, which ``tomllib`` doesn't return.

``key_lines`` reads the structure only: names, and where values begin and end. What is valid is decided by
``tomllib``; a document that it refuses is read up to the first place that makes no sense here.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from dataclasses import dataclass, field

Path = tuple[str | int, ...]
"""Names of tables and keys from the outside in; numbers, from 0, are places in an array."""

_BLANK = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_PART = re.compile(r"""([A-Za-z0-9_-]+)|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?""""{0,2}|' + r"'''.*?''''{0,2}|" + r'"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*'",
    re.DOTALL,
)
_PLAIN = re.compile(r"""[^\[\]{},#\n"']+""")
DEEPEST = 32
"""Parts of a name, and arrays in each other, that are read."""


class _MakesNoSense(Exception):
    """The document can't be read further."""


class _TooDeep(Exception):
    """Names or values are nested deeper than ``DEEPEST``."""


@dataclass
class KeyLines:
    """The line of each key, table and element, from 1, by its path.

    ``repeated``: keys and tables that are written twice: their path, first and second line.
    ``too_deep``: the line at which reading stopped because of ``DEEPEST``.
    """

    lines: dict[Path, int] = field(default_factory=dict)
    repeated: list[tuple[Path, int, int]] = field(default_factory=list)
    too_deep: int | None = None

    def line(self, path: Path) -> int:
        """Return the line of a path, or else of what it is in."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def key_lines(text: str) -> KeyLines:
    """Return where the keys of a TOML document stand."""
    reader = _Reader(text)
    try:
        reader.read()
    except _MakesNoSense:
        pass
    except _TooDeep:
        reader.found.too_deep = reader.line()
    return reader.found


class _Reader:
    """Reads a document once, from its first character on."""

    def __init__(self, text: str) -> None:
        self.found = KeyLines()
        self._text = text
        self._at = 0
        self._line_ends = [match.start() for match in re.finditer("\n", text)]
        self._written: dict[Path, int] = {}
        self._elements: dict[Path, int] = {}

    def read(self) -> None:
        table: Path = ()
        while self._next_is_not_the_end():
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._key_with_value(table, depth=0)

    def _next_is_not_the_end(self) -> bool:
        self._skip(_BETWEEN)
        return self._at < len(self._text)

    def _header(self) -> Path:
        """Read ``[a.b]`` or ``[[a.b]]``, and return its path."""
        line, is_array = self.line(), self._text.startswith("[[", self._at)
        self._take("[[" if is_array else "[")
        path = self._in_arrays(self._name(), is_array=is_array)
        self._take("]]" if is_array else "]")
        self._record(path, line)
        return path

    def _in_arrays(self, names: Path, *, is_array: bool) -> Path:
        """Return a table's path, with the number of the element where it is in an array of tables."""
        path: Path = ()
        for name in names[:-1]:
            path = (*path, name)
            if path in self._elements:
                path = (*path, self._elements[path])
        path = (*path, names[-1])
        if is_array:
            self._elements[path] = self._elements.get(path, -1) + 1
            path = (*path, self._elements[path])
        return path

    def _key_with_value(self, table: Path, *, depth: int) -> None:
        line = self.line()
        path = (*table, *self._name())
        self._take("=")
        self._record(path, line)
        self._value(path, depth)

    def _name(self) -> Path:
        """Read a key with dots between its parts."""
        parts: list[str] = []
        while True:
            self._skip(_BLANK)
            match = _PART.match(self._text, self._at)
            if match is None:
                raise _MakesNoSense
            if len(parts) == DEEPEST:
                raise _TooDeep
            self._at = match.end()
            parts.append(match[1] or _unquoted(match[0]))
            self._skip(_BLANK)
            if not self._text.startswith(".", self._at):
                return tuple(parts)
            self._at += 1

    def _value(self, path: Path, depth: int) -> None:
        if depth > DEEPEST:
            raise _TooDeep
        self._skip(_BLANK)
        if self._text.startswith("[", self._at):
            self._array(path, depth)
        elif self._text.startswith("{", self._at):
            self._inline_table(path, depth)
        else:
            match = _STRING.match(self._text, self._at) or _PLAIN.match(self._text, self._at)
            if match is None:
                raise _MakesNoSense
            self._at = match.end()

    def _array(self, path: Path, depth: int) -> None:
        self._take("[")
        number = 0
        while self._goes_on("]"):
            self.found.lines[(*path, number)] = self.line()
            self._value((*path, number), depth + 1)
            number += 1

    def _inline_table(self, path: Path, depth: int) -> None:
        self._take("{")
        while self._goes_on("}"):
            self._key_with_value(path, depth=depth + 1)

    def _goes_on(self, closing: str) -> bool:
        """Return whether another element follows; the comma, or else the closing bracket, is read."""
        self._skip(_BETWEEN)
        if self._text.startswith(",", self._at):
            self._at += 1
            self._skip(_BETWEEN)
        if self._text.startswith(closing, self._at):
            self._at += 1
            return False
        if self._at >= len(self._text):
            raise _MakesNoSense
        return True

    def _record(self, path: Path, line: int) -> None:
        """Keep the line of a path, and of the tables around it where none is kept yet."""
        if path in self._written:
            self.found.repeated.append((path, self._written[path], line))
        else:
            self._written[path] = self.found.lines[path] = line
        for length in range(1, len(path)):
            self.found.lines.setdefault(path[:length], line)

    def _take(self, expected: str) -> None:
        self._skip(_BLANK)
        if not self._text.startswith(expected, self._at):
            raise _MakesNoSense
        self._at += len(expected)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._at)
        assert match is not None  # it matches nothing, too
        self._at = match.end()

    def line(self) -> int:
        """Return the line of the next character."""
        return bisect_right(self._line_ends, self._at - 1) + 1


def _unquoted(part: str) -> str:
    """Return the name that a quoted part of a key means."""
    try:
        (name,) = tomllib.loads(f"{part} = 0")
    except ValueError:
        raise _MakesNoSense from None
    return name
