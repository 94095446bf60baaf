"""Content of another format than its file's suffix: what it is, and the remedy."""

from __future__ import annotations

import re

_GZIP = b"\x1f\x8b"
_BINARY = {
    _GZIP: ("gzip", "Put .gz behind its ending."),
    b"PK\x03\x04": ("a ZIP archive, as an Excel workbook is", 'Save it as "CSV UTF-8", or unpack it.'),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", 'Save it as "CSV UTF-8".'),
    b"PAR1": ("Parquet", "Give it the ending .parquet."),
    b"ARROW1\0": ("an Arrow file (Feather)", "Write it as Parquet: frame.to_parquet(path)."),
    b"\x28\xb5\x2f\xfd": ("packed with zstd", "Pack it with gzip, or not at all."),
    b"\xfd7zXZ\0": ("packed with xz", "Pack it with gzip, or not at all."),
    b"BZh": ("packed with bzip2", "Pack it with gzip, or not at all."),
    b"SQLite format 3\0": ("an SQLite database", "Write its rows as CSV or Parquet."),
    b"%PDF-": ("a PDF", "Write its rows as CSV."),
}
"""Formats by their first bytes; bytes that may begin a text count only before a byte that no text has."""
_MAY_BE_TEXT = frozenset({b"PAR1", b"BZh", b"%PDF-"})
_LFS = re.compile(rb"version https://git-lfs\.github\.com/spec/")
_MARKUP = re.compile(rb"\s*<(!doctype|!--|html|head|body|\?xml|error|soap)", re.IGNORECASE)
_NO_TEXT = re.compile(rb"[\0-\x08\x0e-\x1f]")
_SOON = 64


def mistaken_format(content: bytes, *, read_as: str) -> tuple[str, str] | None:
    """Return the format of content and the remedy, None where it may be the format of its suffix.

    ``read_as``: the ending that says what it should be, such as ``.csv`` or ``.parquet``.
    """
    for beginning, found in _BINARY.items():
        if not content.startswith(beginning) or (beginning == b"PAR1" and read_as == ".parquet"):
            continue
        if beginning not in _MAY_BE_TEXT or _NO_TEXT.search(content[:_SOON]):
            return found
    if _LFS.match(content):
        return "a pointer of Git LFS and not the file", "Fetch the file: git lfs pull."
    if _MARKUP.match(content):
        return "a page of HTML or XML", "Look at it: it may be the error of a download."
    return None


def is_gzip(content: bytes) -> bool:
    """Return whether content begins as gzip does."""
    return content.startswith(_GZIP)
