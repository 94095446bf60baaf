"""Where the files of a run are, and which of them are worth dropping again."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from engine.record.run_folder import BATCH, COLLECTED, INPUTS, RESULTS, RunFolder
from engine.risk import RISK_DATA_UNAVAILABLE


def to_drop_again(folder: RunFolder) -> list[str]:
    """Return the archived files with intents that were halted, or refused for lack of data."""
    is_halted = pc.equal(folder.table(RESULTS, ["status"])["status"].cast(pa.string()), "halted")
    sources = folder.table(BATCH, ["source_file"])["source_file"].cast(pa.string())
    names = set(sources.filter(pc.or_(is_halted, lacks_data(folder))).to_pylist())
    root = Path(getattr(folder.objects, "root", "")).absolute()
    kept = [entry["kept_as"] for entry in folder.json(COLLECTED)["files"] if entry["name"] in names]
    return [str(root / "archive" / folder.trading_date.isoformat() / name) for name in kept]


def lacks_data(folder: RunFolder) -> pa.ChunkedArray:
    """Return for each intent whether it was refused for lack of data that may be available later.

    An order by notional is not where the run has no source of prices: it would be refused every time.
    """
    reasons = folder.table(RESULTS, ["reason"])["reason"].cast(pa.string())
    lacking = pc.equal(reasons, RISK_DATA_UNAVAILABLE)
    if "prices" in folder.json(INPUTS).get("frames", ()):
        return lacking
    return pc.and_(lacking, pc.is_null(folder.table(BATCH, ["notional"])["notional"]))


def folder_path(folder: RunFolder) -> str:
    """Return a run folder's path as an operator would type it."""
    root = getattr(folder.objects, "root", None)
    return str(root.absolute() / folder.key) if root is not None else folder.key
