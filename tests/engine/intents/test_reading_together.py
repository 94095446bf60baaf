"""Small files that are read in one pass: each says what it says alone, and fails alone."""

from __future__ import annotations

import io
from datetime import date
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from engine.intents.identity import IdentityRules
from engine.intents.local_times import InboxZone
from engine.intents.reading import Context, IntentFile, read_intent_file
from engine.intents.reading_together import SmallFile, read_together
from engine.record.formats import json_line
from engine.settings.variables import DEFAULT_INTAKE
from tests.desk import order

SESSION = date(2026, 3, 2)
NOW_US = 1_772_461_800_000_000
ZONE = InboxZone("America/New_York")


def _context(**changed: Any) -> Context:
    said = {"rules": IdentityRules(), "previous": (), "zone": ZONE, "limits": DEFAULT_INTAKE}
    return Context(file_time_us=0, trading_date=SESSION, now_us=None, **{**said, **changed})


def _files(contents: dict[str, bytes]) -> list[SmallFile]:
    return [
        SmallFile(name, content, NOW_US - 1_000 * place, NOW_US + place)
        for place, (name, content) in enumerate(contents.items())
    ]


def _together(contents: dict[str, bytes]) -> dict[str, IntentFile]:
    read = read_together(_files(contents), _context())
    return {file.name: file for file in read.values()}


def _alone(file: SmallFile) -> IntentFile:
    return read_intent_file(
        file.name, file.content, file_time_us=file.file_time_us, now_us=file.now_us,
        trading_date=SESSION, zone=ZONE,
    )  # fmt: skip


def _said(file: IntentFile) -> tuple[object, ...]:
    return (
        file.name, file.rows, file.table.schema, file.table.to_pydict(), file.refused, file.unreadable,
        file.notes, file.with_own_id.tolist(), file.says_created_at,
    )  # fmt: skip


def _written(kind: str, rows: list[dict[str, Any]]) -> bytes:
    if kind == "jsonl":
        return b"".join(map(json_line, rows))
    if kind == "json":
        return b"[%s]" % b",".join(map(json_line, rows))
    frame = pd.DataFrame(rows)
    if kind == "csv":
        return str(frame.to_csv(index=False)).encode()
    sink = io.BytesIO()
    frame.to_parquet(sink)
    return sink.getvalue()


def _varied(number: int) -> list[dict[str, Any]]:
    """Return the rows of a file: ids of their own, times with and without a zone, metadata, symbols."""
    of_kinds: list[dict[str, Any]] = [
        {},
        {"client_intent_id": f"own-{number}", "symbol": f"ab{number}.b"},
        {"created_at": f"2026-03-02T08:{number % 60:02}:00", "note": f"no {number}"},
        {"order_type": "limit", "limit_price": 10.5 + number, "signal": number},
    ]
    said = of_kinds[number % 4]
    return [order(qty=number + 1, **said), order(qty=number + 2, side="sell", **said)][: 1 + number % 3 % 2]


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "parquet"])
def test_files_read_together_say_what_each_says_alone(kind: str) -> None:
    contents = {f"{number}.{kind}": _written(kind, _varied(number)) for number in range(48)}
    contents["same.again"] = b""
    read = _together(contents)
    assert len(read) == 48
    for file in _files(contents)[:48]:
        assert _said(read[file.name]) == _said(_alone(file))


@pytest.mark.parametrize(
    "bad",
    [
        {"qty": -1},
        {"side": "long"},
        {"qty": "abc"},
        {"created_at": "2026-03-02T23:00:00Z"},
        {"type": "limit"},
        {"symbol": None},
    ],
)
def test_a_file_with_a_bad_row_is_left_to_be_read_alone_and_its_neighbours_are_not(bad: Any) -> None:
    contents = {f"{number}.json": _written("json", [order(qty=number + 1)]) for number in range(6)}
    contents["3.json"] = _written("json", [order(qty=1), order(**bad)])
    contents["torn.json"] = b'[{"strategy_id": "s'
    read = _together(contents)
    assert set(read) == {f"{number}.json" for number in range(6)} - {"3.json"}
    for file in _files(contents):
        if file.name in read:
            assert _said(read[file.name]) == _said(_alone(file))


def test_a_time_ahead_is_judged_by_the_time_at_which_its_own_file_was_read() -> None:
    ahead = "2026-03-02T14:31:00Z"
    late_us = int(pd.Timestamp(ahead).timestamp() * 1e6)
    content = _written("json", [order(created_at=ahead)])
    files = [
        SmallFile("early.json", content, NOW_US, NOW_US),
        SmallFile("late.json", content, late_us, late_us),
    ]
    read = read_together([*files, *files[1:]], _context())
    assert sorted(read) == [1, 2]


def test_two_names_for_one_field_cost_their_file_only() -> None:
    good = _written("csv", [order(qty=1)])
    twice = good.replace(b"qty", b"qty,QTY").replace(b"\n", b",1\n")
    assert set(_together({"a.csv": good, "b.csv": good, "c.csv": twice, "d.csv": twice})) == {
        "a.csv",
        "b.csv",
    }


def test_in_the_session_of_an_update_every_file_is_read_alone() -> None:
    content = _written("json", [order()])
    files = _files({"a.json": content, "b.json": content})
    assert read_together(files, _context(previous=(IdentityRules(1),))) == {}
    assert len(read_together(files, _context())) == 2


def test_what_a_file_takes_in_memory_is_its_share_of_the_pass() -> None:
    contents = {f"{number}.json": _written("json", [order(qty=number + 1)]) for number in range(200)}
    read = _together(contents)
    held = sum(file.held_bytes for file in read.values())
    assert 0 < held <= 2 * pa.concat_tables([file.table for file in read.values()]).nbytes + 200 * 2_000
