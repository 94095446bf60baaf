"""Dropping intents from Python: frames of any library and lists of intents, to a file in the inbox."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import UsageError
from engine.intents.column_names import order_term
from engine.intents.plain_values import plain_intent
from engine.model.field_names import field_named
from engine.record.formats import json_line
from engine.record.modes import Modes
from engine.settings.paths import expanded
from engine.settings.variables import read_setting
from engine.stores.inbox.inbox import drop_file

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_INBOX = "inbox"
_OF_A_DATA_FOLDER = ("runs", "archive", "quarantine", "engine.db", _INBOX)
_STREAM, _ARRAY = "__arrow_c_stream__", "__arrow_c_array__"


def drop_intents(intents: Any, inbox: str | os.PathLike[str] | None = None, *, name: str = "intents") -> Path:
    """Drop order intents for the next run and return the file's path.

    ``intents``: a frame of pandas, polars or Arrow (whatever has Arrow's C stream interface) with the columns
    of an intent, written as Parquet; or mappings, ``OrderIntent`` or other dataclasses, one or any iterable
    of them, written as JSON Lines. Of a pandas frame's index only levels that are named like a field are
    written. A missing value (NaN, NA, NaT, null) is a field that is left out. Values that can't be written
    exactly are refused, and nothing is dropped then; the run checks the orders themselves.

    ``inbox``: the folder ``inbox`` of a data folder, or a folder below it; default: that of ``EXEC_DATA_DIR``
    (``./data`` where it is unset), which is created where it is missing. The file's name begins with
    ``name``.

    The file appears atomically; dropping the same content under the same name again is idempotent. Raises
    ``UsageError`` for intents that can't be written and for a folder that no run reads.
    """
    folder = inbox_folder(inbox)
    ending, content = file_content(intents)
    modes = Modes.of(group_access=read_setting("EXEC_GROUP_ACCESS", os.environ))
    return drop_file(f"{name}{ending}", content, folder, modes=modes)


def file_content(intents: Any) -> tuple[str, bytes]:
    """Return the suffix and the content of a file of intents. Raises ``UsageError``."""
    pandas = sys.modules.get("pandas")  # not imported: no frame is of pandas
    if pandas is not None and isinstance(intents, pandas.DataFrame):
        return _of_pandas(intents)
    if hasattr(intents, _STREAM) or hasattr(intents, _ARRAY):
        import pyarrow as pa

        try:
            return ".parquet", _parquet(pa.table(intents))
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise _unwritable(error) from None
    return ".jsonl", intent_lines(intents)


def intent_lines(intents: Any) -> bytes:
    """Return intents, one or several, as JSON Lines. Raises ``UsageError``."""
    if isinstance(intents, Mapping) or (is_dataclass(intents) and not isinstance(intents, type)):
        return json_line(plain_intent(intents, "the intent"))
    if isinstance(intents, str | bytes) or not isinstance(intents, Iterable):
        hint = " Call its collect() first." if hasattr(intents, "collect") else ""
        raise UsageError(
            f"the intents are of type {type(intents).__qualname__}; expected a frame of pandas, polars or "
            f"Arrow, or a list of mappings or OrderIntent.{hint}"
        )
    return b"".join(json_line(plain_intent(one, f"intent {i}")) for i, one in enumerate(intents, start=1))


def inbox_folder(inbox: str | os.PathLike[str] | None) -> Path:
    """Return the folder to drop a file into; see ``drop_intents``.

    Raises ``UsageError`` for a folder that no run reads, and for one whose data folder doesn't exist.
    """
    configured = Path(read_setting("EXEC_DATA_DIR", os.environ)) / _INBOX
    if inbox is None:
        _check_folder(configured, configured)
        return configured
    folder = Path(expanded(os.fspath(inbox)))
    _check_folder(folder, configured)
    return folder


def _check_folder(folder: Path, configured: Path) -> None:
    place = folder.absolute()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"the inbox {str(folder)!r} is no folder; expected a data folder's inbox.")
    own = configured.absolute()
    if place == own or own in place.parents or place.resolve() == own.resolve():
        _check_is_looked_at(place.relative_to(own).parts if own in place.parents else ())
        return
    parts = place.parts
    if _INBOX not in parts:
        raise UsageError(f"{str(folder)!r} is no inbox: no run looks there. {_meant(folder, configured)}")
    nearest = len(parts) - 1 - parts[::-1].index(_INBOX)
    _check_is_looked_at(parts[nearest + 1 :])
    data_dir = Path(*parts[:nearest])
    if not data_dir.is_dir():
        raise UsageError(
            f"the inbox {str(folder)!r} is of the data folder {str(data_dir)!r}, which doesn't exist. "
            f"{_meant(folder, configured)}"
        )


def _check_is_looked_at(below: tuple[str, ...]) -> None:
    """Refuse subfolders of an inbox that runs skip."""
    for part in below:
        if part.startswith((".", "_")):
            raise UsageError(f"the folder {part!r} begins with {part[0]}: runs skip such folders. Rename it.")


def _meant(folder: Path, configured: Path) -> str:
    if any((folder / name).exists() for name in _OF_A_DATA_FOLDER):
        return f"It is a data folder; did you mean {str(folder / _INBOX)!r}?"
    return (
        f"Name the folder {_INBOX} of the data folder of the runs, or leave it out for "
        f"{str(configured)!r} (EXEC_DATA_DIR)."
    )


def _of_pandas(frame: pd.DataFrame) -> tuple[str, bytes]:
    """Return a pandas frame as Parquet, or as JSON Lines where a column holds values of several types."""
    import pyarrow as pa

    frame = _with_index_fields(frame)
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        if not frame.columns.is_unique or frame.columns.nlevels > 1:
            raise _unwritable(error) from None
        return ".jsonl", intent_lines(frame.to_dict("records"))  # row by row, so that an error names its row
    try:
        return ".parquet", _parquet(table)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise _unwritable(error) from None


def _with_index_fields(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with those index levels as columns that are named like a field."""
    levels = [name for name in frame.index.names if isinstance(name, str)]
    for term in filter(None, map(order_term, levels)):
        meant = f" Did you mean {term.meant}?" if term.meant else ""
        raise UsageError(
            f"{term.name} is a level of the frame's index and an order term, no field.{meant} Rename it, "
            f"or call reset_index(drop=True) where it says nothing of the orders."
        )
    fields = [name for name in levels if field_named(name)]
    columns = {field_named(name) for name in frame.columns if isinstance(name, str)}
    twice = [name for name in fields if field_named(name) in columns]
    if twice:
        raise UsageError(
            f"{twice[0]} is a column of the frame and a level of its index; expected one of them. "
            f"Call reset_index(drop=True), or drop the column."
        )
    return frame.reset_index(level=fields) if fields else frame


def _parquet(table: pa.Table) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    twice = [name for name in table.schema.names if table.schema.names.count(name) > 1]
    if twice:
        raise UsageError(f"column {twice[0]} stands twice in the frame; expected each name once. Rename one.")
    for field in table.schema:
        if not _is_said_exactly(field.type):
            raise UsageError(
                f"column {field.name} is of type {field.type}; expected text, numbers or times. "
                f"Convert it, or leave it out."
            )
    sink = pa.BufferOutputStream()
    pq.write_table(_of_common_types(table).replace_schema_metadata(None), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _is_said_exactly(kind: pa.DataType) -> bool:
    """Return whether Parquet keeps values of a type exactly, not as a description of them."""
    import pyarrow as pa

    if isinstance(kind, pa.UuidType):
        return True
    are_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    are_bytes = are_bytes or pa.types.is_fixed_size_binary(kind)
    return not (are_bytes or pa.types.is_duration(kind) or isinstance(kind, pa.BaseExtensionType))


def _of_common_types(table: pa.Table) -> pa.Table:
    """Return the table with its texts in types that all Parquet readers and writers support."""
    import pyarrow as pa

    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            parts = [
                chunk.dictionary.cast(_common(field.type.value_type)) for chunk in table.column(i).chunks
            ]
            chunks = zip(parts, table.column(i).chunks, strict=True)
            decoded = [dictionary.take(chunk.indices) for dictionary, chunk in chunks]
            column = pa.chunked_array(decoded, type=_common(field.type.value_type))
        else:
            column = table.column(i).cast(_common(field.type))
        table = table.set_column(i, field.name, column)
    return table


def _common(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    return pa.string() if pa.types.is_string_view(kind) or pa.types.is_large_string(kind) else kind


def _unwritable(error: Exception) -> UsageError:
    return UsageError(f"the frame can't be written as Parquet ({error}). Give its columns one type each.")
