"""Recorded runs, changed by hand: what tests of replay forge, and how."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.record.formats import file_hash, read_table, table_bytes
from engine.record.run_folder import MANIFEST, RunFolder
from tests.desk import Desk


def place_of(desk: Desk, run: RunFolder) -> Path:
    return desk.data / run.key


def rewritten(place: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change a file of a run, and its manifest with it, as if it had been recorded like that."""
    path = place / name
    content = path.read_bytes()
    if name.endswith(".parquet"):
        changed = table_bytes(change(read_table(name, content))).to_pybytes()
    else:
        changed = json.dumps(change(json.loads(content))).encode()
    path.write_bytes(changed)
    resealed(place, lambda manifest: manifest["content"].update({name: file_hash(name, changed)}))


def resealed(place: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a run's manifest."""
    manifest = json.loads((place / MANIFEST).read_text())
    change(manifest)
    (place / MANIFEST).write_text(json.dumps(manifest))


def of_other_code(place: Path) -> None:
    """Make a run one that other code has recorded."""
    rewritten(place, "run.json", lambda start: {**start, "code_version": "0.0.9+123456789abc"})
    resealed(place, lambda manifest: manifest.update(code_version="0.0.9+123456789abc"))


def with_column(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    """Return a table with other values in one column, of the type that it had."""
    place = table.schema.get_field_index(name)
    return table.set_column(place, name, pa.array(values, pa.string()) if _is_text(table, name) else [values])


def _is_text(table: pa.Table, name: str) -> bool:
    kind = table.schema.field(name).type
    return bool(pa.types.is_dictionary(kind) or pa.types.is_string(kind))
