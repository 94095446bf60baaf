"""File content to raw columns by the ending of the file's name.

Nothing is interpreted here. CSV values stay text; JSON and Parquet values keep their types.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.errors import UnreadableFile
from engine.intents.csv_rows import read_csv
from engine.intents.gzipped import unpacked
from engine.intents.json_records import read_json, read_json_lines
from engine.intents.limits import beyond
from engine.intents.mistaken_formats import is_gzip, mistaken_format
from engine.intents.parquet_rows import read_parquet
from engine.intents.raw_table import RawTable
from engine.model.schema import FILE_ENDINGS
from engine.settings.variables import DEFAULT_INTAKE, IntakeLimits

_BOM = b"\xef\xbb\xbf"
_OTHER_BOMS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_NOT_PACKED = "Take .gz off its name, or pack it: gzip FILE."
_ONE_FORMAT = "Give the file one of the endings .json .jsonl .csv .parquet, each may be followed by .gz."
_AS_UTF8 = 'Save it as UTF-8: "CSV UTF-8" in Excel, encoding="utf-8" in pandas.'


def read_raw(name: str, content: bytes, limits: IntakeLimits = DEFAULT_INTAKE) -> RawTable:
    """Read a file's content by the ending of its name.

    Raises ``UnreadableFile`` where it can't be parsed as a whole, or is beyond a limit.
    """
    if len(content) > limits.max_file_bytes:
        raise beyond(name, limits, "max_file_bytes")
    ending = name.lower()
    if ending.endswith(".gz"):
        ending = ending.removesuffix(".gz")
        if len(content) > 1 and not is_gzip(content):
            raise UnreadableFile(f"{name}: its content is not gzip", remedy=_NOT_PACKED)
        content = unpacked(name, content, limits)
        if is_gzip(content):
            raise UnreadableFile(f"{name}: packed twice with gzip", remedy="Unpack it once.")
    elif len(content) > limits.max_unpacked_bytes:
        raise beyond(name, limits, "max_unpacked_bytes")
    kind = next((known for known in FILE_ENDINGS if ending.endswith(known)), None)
    if kind is None:
        raise UnreadableFile(f"{name}: unknown kind of file", remedy=_ONE_FORMAT)
    if mistaken := mistaken_format(content, read_as=kind):
        what, remedy = mistaken
        raise UnreadableFile(f"{name}: its content is {what}", remedy=remedy)
    content = content.removeprefix(_BOM)
    if kind != ".parquet":
        _check_text(name, content)
    if not content[:1024].strip() and not content.strip():
        return RawTable(0, {}, np.zeros(0, dtype=np.int64))
    return _READERS[kind](name, content, limits)


def _check_text(name: str, content: bytes) -> None:
    """Raise ``UnreadableFile`` for text whose first bytes show that it is not UTF-8."""
    for mark, encoding in _OTHER_BOMS.items():
        if content.startswith(mark):
            raise UnreadableFile(f"{name}: {encoding} text", remedy=_AS_UTF8)
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        what = f"line {line} holds NUL bytes, as UTF-16 text does and a file that was not written to its end"
        raise UnreadableFile(f"{name}: {what}", remedy="Write it again, whole, as UTF-8.")


_READERS: dict[str, Callable[[str, bytes, IntakeLimits], RawTable]] = {
    ".json": read_json,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".csv": read_csv,
    ".parquet": read_parquet,
}
