"""The lines of a limits file by section and key, for messages about a file that was read before."""

from __future__ import annotations

import tomllib

from engine.model.symbols import canonical_symbol
from engine.risk.levels import LimitsFile
from engine.risk.limits_file.faults import place
from engine.risk.limits_file.names import parts_of_section
from engine.settings.toml_lines import Path, key_lines

_MARK = "\ufeff"


def toml_text(content: str) -> str:
    """Return the text of a limits file without a mark at its start, and with the line ends of TOML."""
    return content.removeprefix(_MARK).replace("\r\n", "\n")


class FileLines:
    """Where the sections and keys of a limits file stand."""

    def __init__(self, file: LimitsFile) -> None:
        self._path, self._text = file.path, toml_text(file.content)
        self._lines = key_lines(self._text)
        canonical = {_canonical(path): line for path, line in self._lines.lines.items()}
        self._lines.lines.update(canonical)

    def line(self, source: str, key: str = "") -> int:
        """Return the line of a section, or of a key in it. ``source``: as ``Section`` has it, or a key."""
        parts = parts_of_section(source) if source.startswith("[") else (source,)
        return self._lines.line((*parts, key) if key else parts)

    def place(self, source: str, key: str = "") -> str:
        """Return the place of a section or key as messages begin with it."""
        return place(self._path, self.line(source, key))

    def place_of_acknowledged(self, name: str) -> str:
        """Return the place of a name in ``acknowledged_off``."""
        names = tomllib.loads(self._text)["acknowledged_off"]
        return place(self._path, self._lines.line(("acknowledged_off", names.index(name))))


def _canonical(path: Path) -> Path:
    """Return a path with its symbol in the form that a scope has."""
    match path:
        case ("symbol", str(symbol), *rest):
            return ("symbol", canonical_symbol(symbol), *rest)
        case ("strategy", name, "symbol", str(symbol), *rest):
            return ("strategy", name, "symbol", canonical_symbol(symbol), *rest)
    return path
