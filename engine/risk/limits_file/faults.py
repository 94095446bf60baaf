"""The faults of a limits file: each with its line, what stands there, the rule and the remedy."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.errors import ConfigurationError, SeveralFaults
from engine.settings.toml_lines import KeyLines, Path
from engine.text.printable import printable

_MOST_SHOWN = 20


@dataclass
class Faults:
    """Faults as they are found; ``path`` is the file as messages name it."""

    path: str
    lines: KeyLines
    _found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, where: Path, text: str) -> None:
        """Add a fault of what stands at a path of the document."""
        self.add_at(self.lines.line(where), text)

    def add_at(self, line: int, text: str) -> None:
        """Add a fault of a line."""
        self._found.append((line, text))

    def __bool__(self) -> bool:
        return bool(self._found)

    def raise_if_any(self) -> None:
        """Raise ``ConfigurationError`` with all faults, in the order of their lines."""
        texts = [f"{place(self.path, line)} {text}" for line, text in sorted(self._found)]
        if len(texts) > _MOST_SHOWN:
            more = len(texts) - _MOST_SHOWN
            texts[_MOST_SHOWN:] = [f"{printable(self.path)}: {more} more faults. Correct these first."]
        if len(texts) == 1:
            raise ConfigurationError(texts[0])
        if texts:
            raise SeveralFaults(texts)


def place(path: str, line: int) -> str:
    """Return a place in the file as messages begin with it."""
    return f"{printable(path)}:{line}:"
