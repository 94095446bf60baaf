"""CSV to raw columns: every value stays text.

Arrow reads the records. Faults that Arrow accepts without an error are checked first: a quotation mark that
is left open swallows the rest of a file, and a header of forty thousand names costs more than all rows below
it.
"""

from __future__ import annotations

import codecs
import io
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.errors import UnreadableFile
from engine.intents.characters import count_of
from engine.intents.column_names import shown_name
from engine.intents.limits import LARGEST_RECORD_BYTES, beyond, check_cells, record_too_large
from engine.intents.problems import Problem, RefusedRow
from engine.intents.raw_table import RawTable, one_array
from engine.intents.repeated_header import without_repeated_headers
from engine.model.field_names import field_named
from engine.settings.variables import IntakeLimits
from engine.text.printable import shown

if TYPE_CHECKING:
    from pyarrow import csv

_HEADER_BYTES = 1 << 20
_HEADER = "strategy_id,broker_account_id,symbol,side,qty"
_SEPARATORS = ((";", "semicolons"), ("\t", "tabs"), ("|", "bars"))
_CODED = pa.dictionary(pa.int32(), pa.string())
_EACH_ITS_OWN = frozenset({"client_intent_id", "metadata"})
_LINE_ENDS = (b"\n", b"\r")
_SAVE_AS_UTF8 = "Save it as UTF-8, with commas."


def read_csv(name: str, content: bytes, limits: IntakeLimits) -> RawTable:
    """Read records below a header; rows are numbered by the lines on which they begin.

    Raises ``UnreadableFile`` where it can't be read, or is beyond a limit.
    """
    header = _header(name, content, limits)
    lines = count_of(b"\n", content)
    if b"\r" in content:
        lines += count_of(b"\r", content) - content.count(b"\r\n")
    check_cells(name, lines + count_of(b",", content), limits)
    if b'"' in content and count_of(b'"', content) % 2:
        _check_quotes(name, content)
    if not content.endswith(_LINE_ENDS):
        content += b"\n"  # without it Arrow refuses a header without rows
        lines += 1
    table, ragged = _table(name, content, header, limits)
    if table.column_names != header:
        raise UnreadableFile(f"{name}: no plain header", remedy="Write column names with commas first.")
    if table.num_rows + len(ragged) > limits.max_rows:
        raise beyond(name, limits, "max_rows")
    begins = _record_lines(content, 1 + table.num_rows + len(ragged), lines)
    columns = {column.strip(): one_array(table.column(i)) for i, column in enumerate(table.column_names)}
    numbers = np.delete(begins, [0, *(row.number - 1 for row in ragged)])
    refused = [_ragged_row(name, int(begins[row.number - 1]), row) for row in ragged]
    return without_repeated_headers(name, RawTable(table.num_rows, columns, numbers, refused))


def _table(
    name: str, content: bytes, header: list[str], limits: IntakeLimits
) -> tuple[pa.Table, list[csv.InvalidRow]]:
    """Return the records with as many fields as the header, and the other records."""
    from pyarrow import csv

    ragged: list[csv.InvalidRow] = []

    def note(row: csv.InvalidRow) -> str:
        ragged.append(row)
        return "skip" if len(ragged) <= limits.max_refused_rows else "error"

    try:
        table = csv.read_csv(
            pa.BufferReader(content),
            read_options=csv.ReadOptions(use_threads=False, block_size=LARGEST_RECORD_BYTES),
            parse_options=csv.ParseOptions(newlines_in_values=b'"' in content, invalid_row_handler=note),
            convert_options=csv.ConvertOptions(
                column_types={column: _type_of(column) for column in header},
                strings_can_be_null=True,
                null_values=[""],
            ),
        ).unify_dictionaries()
    except pa.ArrowException as error:
        if len(ragged) > limits.max_refused_rows:
            raise _too_ragged(name, ragged[0], limits) from None
        raise _not_csv(name, content, str(error)) from None
    return table, ragged


def _type_of(column: str) -> pa.DataType:
    """Return the type to read a column as: fields as codes and distinct texts, each checked once."""
    field = field_named(column)
    return _CODED if field is not None and field not in _EACH_ITS_OWN else pa.string()


def _not_csv(name: str, content: bytes, said: str) -> UnreadableFile:
    if "straddl" in said:
        return record_too_large(name, "a row")
    if "invalid UTF8" in said:
        return not_utf8(name, content)
    return UnreadableFile(f"{name}: not CSV ({shown(said)})", remedy=_SAVE_AS_UTF8)


def _too_ragged(name: str, row: csv.InvalidRow, limits: IntakeLimits) -> UnreadableFile:
    fields = f"{row.actual_columns} fields where the header has {row.expected_columns}"
    return beyond(name, limits, "max_refused_rows", f"(the first has {fields})")


def _ragged_row(name: str, line: int, row: csv.InvalidRow) -> RefusedRow:
    rule = f"{row.expected_columns}, as the header has"
    remedy = "Put quotes around text with commas, write numbers without, or leave the row out."
    problem = Problem(name, line, "number of fields", row.actual_columns, rule, remedy)
    return RefusedRow((problem,), {"text": row.text})


def not_utf8(name: str, content: bytes) -> UnreadableFile:
    """Return the error of text that is not UTF-8, with the place of the first byte that isn't."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    for start in range(0, len(content), _HEADER_BYTES):
        piece = content[start : start + _HEADER_BYTES]
        try:
            decoder.decode(piece)
        except UnicodeDecodeError as error:
            before = piece[: max(0, error.start)]
            place, byte = line + before.count(b"\n"), error.object[error.start]
            what = f"line {place} is not UTF-8 text (byte 0x{byte:02x})"
            remedy = 'Save it as UTF-8: "CSV UTF-8" in Excel, encoding="utf-8" in pandas.'
            return UnreadableFile(f"{name}: {what}", remedy=remedy)
        line += piece.count(b"\n")
    return UnreadableFile(f"{name}: not UTF-8 text", remedy=_SAVE_AS_UTF8)


def _check_quotes(name: str, content: bytes) -> None:
    """Raise ``UnreadableFile`` where a quotation mark is left open, which swallows all records behind it."""
    *_, (line, error) = _records(content, strict=True)
    if error:
        what = f"a quotation mark is left open, or stands alone, in the record that begins in line {line}"
        raise UnreadableFile(
            f"{name}: {what}", remedy='Close it, or write "" for one that is part of a text.'
        )


def _record_lines(content: bytes, records: int, lines: int) -> npt.NDArray[np.int64]:
    """Return the line on which each record begins, the header being the first record.

    Where there are blank lines, or line breaks within quotes, the lines are followed one by one.
    """
    if lines == records:
        return np.arange(1, records + 1, dtype=np.int64)
    begins = _line_starts(content)
    if len(begins) == records:
        return begins
    begins = _followed_lines(content)
    return begins if len(begins) == records else np.arange(1, records + 1, dtype=np.int64)


def _line_starts(content: bytes) -> npt.NDArray[np.int64]:
    """Return the lines on which records begin, by counting the quotation marks before each line's end."""
    characters = np.frombuffer(content, dtype=np.uint8)
    is_end = characters == ord("\n")
    if b"\r" in content:
        is_return = characters == ord("\r")
        is_return[:-1] &= ~is_end[1:]
        is_end |= is_return
    ends = np.flatnonzero(is_end)
    quotes = np.flatnonzero(characters == ord('"'))
    starts = np.concatenate([[0], ends + 1])
    starts = starts[starts < len(content)]
    stops = np.append(ends, len(content))[: len(starts)]
    is_first = np.searchsorted(quotes, starts) % 2 == 0
    is_blank = (stops - starts) - (characters[starts] == ord("\r")) <= 0
    found: npt.NDArray[np.int64] = np.flatnonzero(is_first & ~is_blank) + 1
    return found


def _followed_lines(content: bytes) -> npt.NDArray[np.int64]:
    """Return the lines on which records begin by the standard library's reader; none where it can't read."""
    begins = list(_records(content, strict=False))
    return np.array([] if begins and begins[-1][1] else [line for line, _ in begins], dtype=np.int64)


def _records(content: bytes, *, strict: bool) -> Iterator[tuple[int, str]]:
    """Yield the line on which each record begins; the last one with what is wrong with it, "" for nothing."""
    import csv as standard_csv

    text = io.TextIOWrapper(io.BytesIO(content), encoding="latin-1", newline="")
    reader = standard_csv.reader(text, strict=strict)
    line = 1
    try:
        for record in reader:
            if record:
                yield line, ""
            line = reader.line_num + 1
    except standard_csv.Error as error:
        yield line, str(error)


def _header(name: str, content: bytes, limits: IntakeLimits) -> list[str]:
    """Return the names of the columns as written in the file. Raises ``UnreadableFile``."""
    header, is_whole = _first_record(name, content)
    names = [column.strip() for column in header]
    if len(names) > limits.max_columns:
        raise beyond(name, limits, "max_columns")
    if not is_whole:
        raise record_too_large(name, "the header")
    _check_separator(name, names)
    if not any(map(field_named, names)):  # it is a row, which would be lost
        raise UnreadableFile(
            f"{name}: the first line names no field of an intent, but {shown(', '.join(names))}",
            remedy=f"Begin with a header: {_HEADER}.",
        )
    if not names[0]:
        raise UnreadableFile(
            f"{name}: the first column has no name, as the index that pandas writes",
            remedy="Write it with index=False.",
        )
    twice = sorted(column for column, times in Counter(names).items() if times > 1)
    if twice or "" in names:
        what = f"column {shown_name(twice[0])} stands twice" if twice and twice[0] else "a column has no name"
        raise UnreadableFile(f"{name}: {what} in the header", remedy="Name each column once.")
    return header


def _first_record(name: str, content: bytes) -> tuple[list[str], bool]:
    """Return the first record, and whether it ends within the examined part."""
    import csv as standard_csv

    beginning = content[:_HEADER_BYTES]
    is_cut = len(content) > len(beginning)
    errors = "ignore" if is_cut else "strict"  # the cut may go through a character
    text = io.TextIOWrapper(io.BytesIO(beginning), encoding="utf-8", newline="", errors=errors)
    reader = standard_csv.reader(text)
    try:
        header = next(record for record in reader if record)
    except UnicodeDecodeError:
        raise not_utf8(name, content) from None
    except (StopIteration, standard_csv.Error) as error:
        raise UnreadableFile(f"{name}: no header ({error})", remedy="Write column names first.") from None
    return header, not is_cut or any(end in beginning.lstrip(b"\r\n") for end in _LINE_ENDS)


def _check_separator(name: str, names: list[str]) -> None:
    """Raise ``UnreadableFile`` where columns aren't separated by commas.

    Files with other separators come from places where commas and points in numbers have another meaning:
    1.000 is a thousand there. The reader never guesses.
    """
    if names[0].lower().startswith("sep="):
        remedy = "Delete that line, and separate columns by commas."
        raise UnreadableFile(f"{name}: the first line is Excel's {shown(names[0])}", remedy=remedy)
    for separator, word in _SEPARATORS:
        split = [part.strip().strip('"') for part in ",".join(names).split(separator)]
        if len(split) > 1 and (len(names) == 1 or any(map(field_named, split))):
            raise UnreadableFile(
                f"{name}: columns separated by {word}",
                remedy="Separate them by commas and write 1.5 for one and a half: in pandas "
                "to_csv(path, index=False), without sep and decimal.",
            )
