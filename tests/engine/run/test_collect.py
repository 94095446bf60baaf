from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigurationError, RecordError
from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from engine.run.stages import finish
from engine.run.starting import start
from engine.stores.inbox.files import name_with_hash
from engine.stores.inbox.inbox import Dropped, Found, Inbox, Left, Reading, drop_file, hash_of
from tests.desk import (
    NOON,
    SESSION,
    Desk,
    Row,
    content_of,
    off,
    on,
    order,
    reasons,
    rows_of,
    statuses,
    tampered,
)

REMEDY = "To mean it again, give it a client_intent_id or a created_at of its own."
TORN = b'{"strategy_id": "momentum", "broker_acc'


def places(folder: RunFolder) -> list[tuple[str, int]]:
    """Return file and row of each intent of the batch, in the sealed order."""
    batch = folder.table("intents.parquet", ["source_file", "source_row"]).to_pandas()
    return list(zip(batch["source_file"].astype(str), batch["source_row"].tolist(), strict=True))


def ids(folder: RunFolder) -> list[str]:
    found: list[str] = folder.table("intents.parquet")["client_intent_id"].to_pylist()
    return found


def set_aside(folder: RunFolder, what: str) -> list[tuple[str, int]]:
    """Return file and row of what ``collected.json`` lists as ``refused`` or ``duplicates``."""
    return [(entry["file"], entry["row"]) for entry in folder.json("collected.json")[what]]


def reasons_kept(desk: Desk) -> list[dict[str, Any]]:
    """Return every reason below quarantine/."""
    files = (content for name, content in desk.kept("quarantine").items() if ".reasons." in name)
    return [json.loads(line) for content in files for line in content.splitlines()]


# --- conservation


@dataclass
class Model:
    """What the contract says becomes of rows: batched, quarantined or duplicate, and nothing else.

    ``known`` holds content by id of the rows that were allowed so far on this day.
    """

    known: dict[object, object] = field(default_factory=dict)
    batched: list[tuple[str, int]] = field(default_factory=list)
    quarantined: list[tuple[str, int]] = field(default_factory=list)
    duplicate: list[tuple[str, int]] = field(default_factory=list)
    names: dict[tuple[str, int], tuple[object, object]] = field(default_factory=dict)

    def take(self, files: dict[str, list[Row] | None]) -> None:
        """Sort the rows of a run's files, which are given in the order of their age, oldest first."""
        self.batched, self.quarantined, self.duplicate, self.names = [], [], [], {}
        known = dict(self.known)
        for name, rows in files.items():
            if rows is None:
                self.quarantined.append((name, 0))
                continue
            for number, row in enumerate(rows, start=2 if name.endswith(".csv") else 1):
                place = (name, number)
                content = (row["symbol"], row["qty"])
                if row not in GOOD:
                    self.quarantined.append(place)
                    continue
                key: object = row.get("client_intent_id")
                if key is None:
                    key = content
                if key not in known:
                    known[key] = content
                    self.batched.append(place)
                    self.names[place] = (key, content)
                elif known[key] == content:
                    self.duplicate.append(place)
                else:
                    self.quarantined.append(place)

    def learn(self, allowed: Iterator[tuple[str, int]]) -> None:
        self.known.update(self.names[place] for place in allowed)


GOOD = [
    order(symbol=symbol, qty=qty, client_intent_id=intent_id)
    for symbol in ("SPY", "QQQ")
    for qty in (1, 60)
    for intent_id in (None, "x", "y")
]
BAD = [order(qty=0), order(qty="abc"), order(symbol="", qty=1), order(side="long"), order(qty=2e10)]
NAMES = ("a.jsonl", "b.csv", "c.json", "desk/a.jsonl")
FILES = st.dictionaries(
    st.sampled_from(NAMES), st.lists(st.sampled_from(GOOD * 2 + BAD), max_size=6) | st.none(), max_size=3
)


@given(runs=st.lists(FILES, min_size=1, max_size=4))
@settings(deadline=None, max_examples=40)
def test_every_dropped_row_is_batched_or_quarantined_or_a_duplicate_and_never_two_of_them(
    runs: list[dict[str, list[Row] | None]],
) -> None:
    with TemporaryDirectory() as folder:
        desk, model = Desk(Path(folder) / "data"), Model()
        for files in runs:
            contents = {
                name: TORN if rows is None else content_of(name, rows) for name, rows in files.items()
            }
            for age_s, name in zip(range(90, 0, -1), files, strict=False):
                desk.drop(name, content=contents[name], age_s=age_s)
            run = desk.run()
            model.take(files)
            assert places(run) == model.batched
            assert sorted(set_aside(run, "refused")) == sorted(model.quarantined)
            assert sorted(set_aside(run, "duplicates")) == sorted(model.duplicate)
            assert rows_of(run) == {
                "dropped": len(model.batched) + len(model.quarantined) + len(model.duplicate),
                "batched": len(model.batched),
                "quarantined": len(model.quarantined),
                "duplicate": len(model.duplicate),
            }
            assert all(identity["holds"] for identity in run.json("manifest.json")["identities"])
            kept = set(desk.kept("archive").values()) | set(desk.kept("quarantine").values())
            assert set(contents.values()) <= kept
            told = reasons_kept(desk)
            assert all(record in told for record in run.json("collected.json")["refused"])
            assert desk.left() == []
            allowed = (
                place for place, status in zip(places(run), statuses(run), strict=True) if status == "dry_run"
            )
            model.learn(allowed)


# --- what is kept of files


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"\xef\xbb\xbf" + content_of("a.csv", [order()])),
        ("desk/us/a.json", content_of("a.json", [order()]) + b"\n\n  "),
        ("a.jsonl.gz", gzip.compress(content_of("a.jsonl", [order()]))),
        ("a.jsonl", content_of("a.jsonl", [order(qty=0), order()])),
        ("empty.csv", b""),
    ],
)
def test_a_consumed_file_is_kept_byte_for_byte_under_a_name_with_its_hash(
    desk: Desk, name: str, content: bytes
) -> None:
    desk.drop(name, content=content)
    desk.run()
    assert desk.kept("archive") == {name_with_hash(name, hash_of(content)): content}
    assert desk.left() == []


def test_a_parquet_file_is_kept_byte_for_byte(desk: Desk, tmp_path: Path) -> None:
    pd.DataFrame([order(qty=2.0)]).to_parquet(tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    desk.drop("a.parquet", content=content)
    assert rows_of(desk.run())["batched"] == 1
    assert list(desk.kept("archive").values()) == [content]


def test_a_name_that_is_used_again_does_not_replace_what_was_kept_under_it(desk: Desk) -> None:
    first, second = content_of("a.json", [order()]), content_of("a.json", [order(qty=2)])
    for content in (first, second):
        desk.drop("a.json", content=content)
        desk.run()
    assert sorted(desk.kept("archive").values()) == sorted([first, second])


def test_a_file_that_cannot_be_parsed_is_quarantined_whole_and_counts_as_one_row(desk: Desk) -> None:
    desk.drop("torn.jsonl", content=content_of("a.jsonl", [order()]) + TORN)
    run = desk.run()
    assert rows_of(run) == {"dropped": 1, "batched": 0, "quarantined": 1, "duplicate": 0}
    assert desk.kept("archive") == {}
    assert content_of("a.jsonl", [order()]) + TORN in desk.kept("quarantine").values()
    (reason,) = reasons_kept(desk)
    assert reason["file"] == "torn.jsonl"
    assert "line 2 is not JSON" in reason["message"]


def test_a_refused_row_is_quarantined_with_place_value_rule_and_remedy(desk: Desk) -> None:
    desk.drop("a.csv", order(), order(qty="1,5"), order(symbol="QQQ"))
    run = desk.run()
    assert rows_of(run) == {"dropped": 3, "batched": 2, "quarantined": 1, "duplicate": 0}
    (reason,) = reasons_kept(desk)
    assert (reason["file"], reason["row"], reason["field"], reason["value"]) == ("a.csv", 3, "qty", "1,5")
    assert reason["message"].startswith("a.csv:3: qty is '1,5'; expected a positive decimal number. Write")
    assert reason["raw"] == {**order(), "qty": "1,5"}


def test_everything_that_is_wrong_with_a_row_is_reported(desk: Desk) -> None:
    desk.drop("a.json", order(qty=-1, side="long", symbol=""))
    desk.run()
    (reason,) = reasons_kept(desk)
    told = " ".join([reason["message"], *reason["also"]])
    assert all(f"a.json:1: {name}" in told for name in ("qty", "side", "symbol"))


def test_other_reasons_against_the_same_file_are_kept_beside_the_first_ones(desk: Desk) -> None:
    desk.hold(SPY=100)
    rows = [order(client_intent_id="x"), order(qty=0)]
    desk.drop("a.json", *rows)
    desk.run()  # x is refused: the position is full
    desk.drop("b.json", order(client_intent_id="x", side="sell"))
    desk.run()
    desk.drop("a.json", *rows)
    desk.run()
    told = sorted(
        (reason["row"], reason["field"]) for reason in reasons_kept(desk) if reason["file"] == "a.json"
    )
    assert told == [(1, "client_intent_id"), (2, "qty"), (2, "qty")]


@pytest.mark.parametrize("content", [b"", b"\n", b"strategy_id,symbol,side,qty\n"])
def test_a_file_without_rows_is_zero_rows(desk: Desk, content: bytes) -> None:
    desk.drop("a.csv", content=content)
    run = desk.run()
    assert rows_of(run) == {"dropped": 0, "batched": 0, "quarantined": 0, "duplicate": 0}
    assert run.json("manifest.json")["exit_code"] == 0
    assert desk.left() == []


def test_an_empty_inbox_is_a_run_of_no_rows(desk: Desk) -> None:
    run = desk.run()
    assert rows_of(run) == {"dropped": 0, "batched": 0, "quarantined": 0, "duplicate": 0}
    assert run.json("manifest.json")["exit_code"] == 0


# --- the sealed order


def test_the_batch_is_sealed_by_creation_then_file_then_row(desk: Desk) -> None:
    early = (NOON.replace(hour=14)).isoformat()
    desk.drop("b.jsonl", order(qty=1), order(qty=2, created_at=early), age_s=30)
    desk.drop("c.jsonl", order(qty=3), age_s=50)
    desk.drop("a.jsonl", order(qty=4), order(qty=5), age_s=30)
    expected = [("b.jsonl", 2), ("c.jsonl", 1), ("a.jsonl", 1), ("a.jsonl", 2), ("b.jsonl", 1)]
    assert places(desk.run()) == expected


def test_the_batch_does_not_depend_on_the_order_in_which_files_are_listed(tmp_path: Path) -> None:
    def listed_backwards(inbox: Inbox, *, max_depth: int) -> Found:
        found = Inbox(inbox.root).find(max_depth=max_depth)
        return replace(found, files=found.files[::-1])

    sealed = []
    for backwards in (False, True):
        desk = Desk(tmp_path / str(backwards))
        for name in ("a.json", "b.json", "c.json"):
            desk.drop(name, order(symbol=name[0].upper()), order(client_intent_id="x", qty=2))
        context = tampered(desk.context(), find=listed_backwards) if backwards else desk.context()
        run = desk.run(context=context)
        sealed.append((places(run), ids(run), set_aside(run, "duplicates")))
    assert sealed[0] == sealed[1]


# --- the same again


def test_the_same_file_dropped_again_is_recognised_row_by_row_and_reported_with_the_remedy(
    desk: Desk,
) -> None:
    desk.drop("a.json", order(), order(qty=2))
    first = desk.run()
    desk.drop("a.json", order(), order(qty=2))
    again = desk.run()
    assert rows_of(again) == {"dropped": 2, "batched": 0, "quarantined": 0, "duplicate": 2}
    told = [entry["message"] for entry in again.json("collected.json")["duplicates"]]
    assert told == [
        f"a.json:{row}: the same order as a.json:{row} of run {first.run_id}. {REMEDY}" for row in (1, 2)
    ]


def test_the_same_rows_under_another_name_and_form_are_recognised(desk: Desk) -> None:
    desk.drop("a.json", order(), order(qty=2.5))
    desk.run()
    desk.drop("renamed.csv", order(), order(qty="2.50", symbol=" spy "))
    assert rows_of(desk.run())["duplicate"] == 2


def test_of_a_file_that_grew_only_the_new_rows_are_taken(desk: Desk) -> None:
    desk.drop("a.jsonl", order(), order(qty=4))
    desk.run()
    desk.drop("a.jsonl", order(), order(qty=4), order(qty=3), order(qty=2))
    again = desk.run()
    assert set_aside(again, "duplicates") == [("a.jsonl", 1), ("a.jsonl", 2)]
    assert places(again) == [("a.jsonl", 3), ("a.jsonl", 4)]


def test_the_same_rows_in_two_files_of_one_batch_are_taken_once(desk: Desk) -> None:
    desk.drop("a.json", order(), age_s=50)
    desk.drop("b.json", order(), age_s=40)
    run = desk.run()
    assert places(run) == [("a.json", 1)]
    (told,) = run.json("collected.json")["duplicates"]
    assert told["message"] == f"b.json:1: the same order as a.json:1. {REMEDY}"


def test_duplicates_are_logged_one_by_one(desk: Desk) -> None:
    desk.drop("a.json", order())
    desk.run()
    desk.drop("a.json", order())
    again = desk.run()
    (event,) = desk.events("intent_duplicate")
    assert (event["run_id"], event["severity"]) == (again.run_id, "NOTICE")
    assert REMEDY in event["message"]


def test_equal_rows_of_a_file_are_one_order_and_the_second_is_reported_with_the_remedy(desk: Desk) -> None:
    desk.drop("a.csv", order(), order(qty=2), order())
    run = desk.run()
    assert rows_of(run) == {"dropped": 3, "batched": 2, "quarantined": 0, "duplicate": 1}
    (told,) = run.json("collected.json")["duplicates"]
    assert told["message"] == f"a.csv:4: the same order as a.csv:2. {REMEDY}"
    assert all(identity["holds"] for identity in run.json("manifest.json")["identities"])


def test_a_file_of_which_every_row_stands_twice_is_counted_in_full(desk: Desk) -> None:
    rows = [order(qty=i / 1000) for i in range(1, 10_502)]
    desk.drop("a.csv", *rows, *rows)
    run = desk.run()
    assert rows_of(run) == {"dropped": 21_002, "batched": 10_501, "quarantined": 0, "duplicate": 10_501}
    assert len(run.json("collected.json")["duplicates"]) == 10_000
    everything = run.table("duplicates.parquet").to_pylist()
    assert [again["row"] for again in everything] == list(range(10_503, 21_004))
    assert everything[-1]["said_in"] == "a.csv:10502"
    assert "duplicates.parquet" in json.dumps(run.json("manifest.json"))
    assert [event["count"] for event in desk.events("intent_duplicate")] == [10_501]


@pytest.mark.parametrize("said", [{"client_intent_id": "second"}, {"created_at": "2026-03-02T15:00:00Z"}])
def test_the_remedy_for_a_duplicate_works(desk: Desk, said: Row) -> None:
    desk.drop("a.json", order())
    desk.run()
    desk.drop("a.json", order(**said))
    assert statuses(desk.run()) == ["dry_run"]


def test_the_same_file_on_the_next_day_means_new_orders(desk: Desk) -> None:
    desk.drop("a.json", order(), order(qty=2))
    first = desk.run()
    desk.later(days=1)
    desk.drop("a.json", order(), order(qty=2))
    second = desk.run()
    assert rows_of(second) == {"dropped": 2, "batched": 2, "quarantined": 0, "duplicate": 0}
    assert statuses(second) == ["dry_run", "dry_run"]
    assert len({*ids(first), *ids(second)}) == 4


def test_the_day_rolls_at_eight_in_the_evening_of_new_york(desk: Desk) -> None:
    desk.now = datetime(2026, 3, 3, 0, 59, tzinfo=UTC)  # 19:59 in New York
    desk.drop("a.json", order())
    evening = desk.run()
    desk.drop("a.json", order())
    night = desk.run()
    days = [run.trading_date.isoformat() for run in (evening, night)]
    assert days == [SESSION, "2026-03-03"]
    assert rows_of(night)["batched"] == 1


def test_an_id_that_was_refused_may_be_dropped_again(desk: Desk) -> None:
    desk.hold(SPY=100)
    desk.drop("a.json", order(client_intent_id="x"))
    assert reasons(desk.run()) == ["max_position_size_exceeded"]
    desk.hold(SPY=0)
    desk.drop("a.json", order(client_intent_id="x"))
    assert statuses(desk.run()) == ["dry_run"]


def test_a_derived_id_that_was_refused_may_be_dropped_again(desk: Desk) -> None:
    desk.drop("a.json", order())
    first = desk.run(context=desk.context(kill_switch=on))
    desk.drop("a.json", order())
    second = desk.run()
    assert (reasons(first), statuses(second)) == (["kill_switch_enabled"], ["dry_run"])
    assert ids(first) == ids(second)


def test_an_id_that_was_halted_may_be_dropped_again(desk: Desk) -> None:
    answers = iter([off(), on()])
    desk.drop("a.json", order(client_intent_id="x"))
    assert statuses(desk.run(context=desk.context(kill_switch=lambda: next(answers)))) == ["halted"]
    desk.drop("a.json", order(client_intent_id="x"))
    assert statuses(desk.run()) == ["dry_run"]


def test_an_id_that_expired_may_be_dropped_again(desk: Desk) -> None:
    desk.drop("a.json", order(client_intent_id="x"))
    folder = desk.begin()
    finish(folder, desk.context(), until="decisions.parquet")
    desk.later(seconds=901)
    finish(folder, desk.context())
    assert statuses(folder) == ["expired"]
    desk.drop("a.json", order(client_intent_id="x"))
    assert statuses(desk.run()) == ["dry_run"]


def test_an_id_with_other_content_than_an_earlier_run_sent_is_quarantined_as_a_conflict(desk: Desk) -> None:
    desk.drop("a.json", order(client_intent_id="x"))
    first = desk.run()
    desk.drop("b.json", order(client_intent_id="x", qty=2), order(client_intent_id="y"))
    second = desk.run()
    assert rows_of(second) == {"dropped": 2, "batched": 1, "quarantined": 1, "duplicate": 0}
    (reason,) = reasons_kept(desk)
    assert (reason["file"], reason["row"], reason["value"]) == ("b.json", 1, "x")
    assert f"a.json:1 of run {first.run_id} used it for another one" in reason["message"]
    assert reason["remedy"] == "Give this order an id of its own, or leave the id out."


def test_of_two_rows_of_a_batch_that_share_an_id_the_first_stands(desk: Desk) -> None:
    desk.drop("a.json", order(client_intent_id="x"), order(client_intent_id="x", qty=2))
    run = desk.run()
    assert places(run) == [("a.json", 1)]
    assert set_aside(run, "refused") == [("a.json", 2)]


def test_an_id_belongs_to_its_account(desk: Desk) -> None:
    desk.drop("a.json", order(client_intent_id="x"))
    desk.run()
    desk.drop("a.json", order(client_intent_id="x", broker_account_id="other", qty=2))
    assert statuses(desk.run()) == ["dry_run"]


def test_ids_of_a_live_run_do_not_meet_those_of_a_dry_one(desk: Desk) -> None:
    desk.drop("a.json", order(client_intent_id="x"))
    earlier = desk.run()
    manifest = desk.data / earlier.key / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"mode": "dry"', '"mode": "live"'))
    desk.drop("a.json", order(client_intent_id="x", qty=2))
    assert statuses(desk.run()) == ["dry_run"]


# --- what identifies a row


def test_a_name_that_does_not_identify_a_row_can_be_set(desk: Desk) -> None:
    desk.drop("a.json", order(generated_at="14:30", signal="x"))
    first = desk.run(EXEC_IDENTITY_IGNORES="generated_at")
    assert first.json("run.json")["identity"] == {"version": 2, "ignores": ["generatedat"]}
    desk.drop("a.json", order(generated_at="14:31", signal="x"), order(generated_at="14:31", signal="y"))
    again = desk.run(EXEC_IDENTITY_IGNORES="generated_at")
    assert (places(again), set_aside(again, "duplicates")) == ([("a.json", 2)], [("a.json", 1)])


def test_without_the_setting_a_generated_time_makes_a_row_new(desk: Desk) -> None:
    for generated_at in ("14:30", "14:31"):
        desk.drop("a.json", order(generated_at=generated_at))
        assert statuses(desk.run()) == ["dry_run"]


def test_rows_that_differ_from_sent_ones_in_metadata_only_are_named_with_the_remedy(desk: Desk) -> None:
    desk.drop("a.json", order(generated_at="14:30", signal="x"), order(qty=2, signal="x"))
    first = desk.run()
    desk.drop("a.json", order(generated_at="14:31", signal="x"), order(qty=3, signal="y"))
    notes = desk.run().json("collected.json")["notes"]
    (note,) = [note for note in notes if "in metadata only" in note["message"]]
    assert note["file"] == "a.json"
    assert note["message"].startswith(
        "new orders that differ from ones sent before in metadata only: 1 "
        f"(such as row 1 from a.json:1 of run {first.run_id} in generated_at). "
    )
    assert "EXEC_IDENTITY_IGNORES" in note["message"]


@pytest.mark.parametrize(
    "said",
    [
        {"qty": 2},
        {"side": "sell"},
        {"order_type": "limit", "limit_price": 5},
        {"extended_hours": True},
        {"client_intent_id": "mine-1"},
        {"created_at": "2026-03-02T15:00:00Z"},
        {"valid_until": "2026-03-02T21:00:00Z"},
    ],
)
def test_rows_that_differ_in_a_field_or_say_that_they_are_new_are_not_named(desk: Desk, said: Row) -> None:
    desk.drop("a.json", order(signal="x"))
    desk.run()
    desk.drop("a.json", order(signal="y", **said))
    notes = desk.run().json("collected.json")["notes"]
    assert [note for note in notes if "in metadata only" in note["message"]] == []


def test_rows_that_were_sent_before_the_setting_are_recognised(desk: Desk) -> None:
    desk.drop("a.json", order(seed=1))
    desk.run()
    desk.drop("a.json", order(seed=1), order(seed=2), order(qty=2))
    again = desk.run(EXEC_IDENTITY_IGNORES="seed")
    assert (places(again), set_aside(again, "duplicates")) == (
        [("a.json", 3)],
        [("a.json", 1), ("a.json", 2)],
    )


def test_rows_that_were_sent_before_an_update_of_the_engine_are_recognised(desk: Desk) -> None:
    desk.drop("a.csv", {"Unnamed: 0": 7, **order()}, order(qty=2))
    first = desk.run()
    as_of_version_1(desk, first, ["cf28584ef4af301f6dd2116c06a5618e", "6e5e1e8fd3a9f4dd0a8fb1c1b29d7f6e"])
    desk.drop("a.csv", {"Unnamed: 0": 7, **order()})
    again = desk.run()
    assert (places(again), set_aside(again, "duplicates")) == ([], [("a.csv", 2)])


def as_of_version_1(desk: Desk, run: RunFolder, ids: list[str]) -> None:
    """Make a run's record what the engine wrote before rows were identified as they are today."""
    hashes = [int.from_bytes(bytes.fromhex(one)[:8], "little", signed=True) for one in ids]
    folder = desk.data / run.key
    start = json.loads((folder / "run.json").read_text())
    del start["identity"]
    (folder / "run.json").write_text(json.dumps(start))
    table = pq.read_table(folder / "intents.parquet")
    for name, values in (("client_intent_id", ids), ("content_hash", hashes)):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(place), pa.array(values))
    pq.write_table(table, folder / "intents.parquet")


# --- when a file is taken


@pytest.mark.parametrize(("age_s", "taken"), [(0.0, 0), (1.9, 0), (2.1, 1), (3600.0, 1)])
def test_a_file_is_taken_once_it_has_settled(desk: Desk, age_s: float, taken: int) -> None:
    desk.drop("a.json", order(), age_s=age_s)
    run = desk.run()
    assert (rows_of(run)["batched"], len(desk.left())) == (taken, 1 - taken)


def test_a_file_that_is_left_is_reported_and_taken_by_a_later_run(desk: Desk) -> None:
    desk.drop("a.json", order(), age_s=1)
    (left,) = desk.run().json("collected.json")["left"]
    assert left == {
        "name": "a.json",
        "why": "it is younger than 2 s (EXEC_INBOX_SETTLE_S)",
        "kind": "waiting",
    }
    assert rows_of(desk.run())["batched"] == 1


def test_the_time_to_settle_is_a_setting(desk: Desk) -> None:
    desk.drop("a.json", order(), age_s=30)
    assert rows_of(desk.run(EXEC_INBOX_SETTLE_S="31"))["dropped"] == 0
    desk.drop("b.json", order(qty=2), age_s=0)
    assert rows_of(desk.run(EXEC_INBOX_SETTLE_S="0"))["dropped"] == 2


def test_a_file_that_carries_its_hash_needs_no_settling(desk: Desk) -> None:
    path = drop_file("a.json", content_of("a.json", [order()]), desk.inbox)
    os.utime(path, (desk.now.timestamp(), desk.now.timestamp()))
    assert rows_of(desk.run())["batched"] == 1


def test_a_file_that_carries_another_hash_has_to_settle(desk: Desk) -> None:
    desk.drop(f"a.{hash_of(b'')}.json", order(), age_s=0)
    assert rows_of(desk.run())["batched"] == 0


def test_a_file_that_changes_while_it_is_read_is_left(desk: Desk) -> None:
    desk.drop("a.jsonl", order())

    def read_while_it_grows(inbox: Inbox, file: Dropped, *, max_bytes: int) -> Reading | Left:
        with (inbox.root / file.name).open("ab") as opened:
            opened.write(content_of("a.jsonl", [order(qty=2)]))
        return Inbox(inbox.root).read(file, max_bytes=max_bytes)

    run = desk.run(context=tampered(desk.context(), read=read_while_it_grows))
    assert run.json("collected.json")["left"] == [
        {"name": "a.jsonl", "why": "it changed while it was read", "kind": "waiting"}
    ]
    assert desk.left() == ["a.jsonl"]


def test_a_file_that_was_replaced_after_it_was_read_is_taken_by_the_next_run(desk: Desk) -> None:
    desk.drop("a.json", order(symbol="OLD"))

    def read_before_it_is_replaced(inbox: Inbox, file: Dropped, *, max_bytes: int) -> Reading | Left:
        reading = Inbox(inbox.root).read(file, max_bytes=max_bytes)
        new = desk.drop("new.tmp", content=content_of("a.json", [order(symbol="NEW")]))
        new.replace(desk.inbox / "a.json")
        return reading

    first = desk.run(context=tampered(desk.context(), read=read_before_it_is_replaced))
    second = desk.run()
    symbols = [run.table("intents.parquet")["symbol"].to_pylist() for run in (first, second)]
    assert symbols == [["OLD"], ["NEW"]]
    assert desk.left() == []


def test_rows_that_were_appended_after_the_file_was_read_are_taken_by_the_next_run(desk: Desk) -> None:
    desk.drop("a.jsonl", order())

    def read_before_it_grows(inbox: Inbox, file: Dropped, *, max_bytes: int) -> Reading | Left:
        reading = Inbox(inbox.root).read(file, max_bytes=max_bytes)
        desk.drop("a.jsonl", order(), order(qty=2))
        return reading

    first = desk.run(context=tampered(desk.context(), read=read_before_it_grows))
    second = desk.run()
    assert (rows_of(first)["batched"], rows_of(second)["batched"], rows_of(second)["duplicate"]) == (1, 1, 1)
    assert desk.left() == []


def test_a_file_that_took_a_sealed_ones_place_while_the_job_was_dead_is_taken_by_the_next_run(
    desk: Desk,
) -> None:
    def dies(*_: object) -> bool:
        raise OSError("the machine went away")

    desk.drop("a.json", order(symbol="OLD"))
    first = desk.begin()
    with pytest.raises(OSError, match="went away"):
        finish(first, tampered(desk.context(), remove=dies))
    desk.drop("a.json", order(symbol="NEW"), age_s=30)
    finish(first, desk.context())
    second = desk.run()
    symbols = [run.table("intents.parquet")["symbol"].to_pylist() for run in (first, second)]
    assert symbols == [["OLD"], ["NEW"]]
    assert desk.left() == []


def test_a_file_that_cannot_be_read_is_left_and_the_others_are_taken(desk: Desk) -> None:
    desk.drop("good.json", order())
    (desk.inbox / "loop.json").symlink_to("loop.json")
    run = desk.run()
    (left,) = run.json("collected.json")["left"]
    assert (left["name"], left["kind"]) == ("loop.json", "blocked")
    assert (rows_of(run)["batched"], desk.left()) == (1, ["loop.json"])
    assert [event["severity"] for event in desk.events("file_left")] == ["ERROR"]


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9.json"), "a" * 200 + ".json", "ü" * 100 + ".json"])
def test_a_file_whose_name_cannot_be_kept_is_left_and_the_others_are_taken(desk: Desk, name: str) -> None:
    desk.drop("good.json", order())
    desk.drop(name, order(qty=2))
    run = desk.run()
    (left,) = run.json("collected.json")["left"]
    assert "give it another one" in left["why"]
    assert (rows_of(run)["batched"], desk.left()) == (1, [name])


@pytest.mark.parametrize(
    "name", ["b\nb.json", "ümlaut.json", "with space.json", "a'b.json", "a" * 175 + ".json"]
)
def test_an_odd_name_is_no_obstacle(desk: Desk, name: str) -> None:
    desk.drop(name, order(), order(qty=0))
    run = desk.run()
    assert (places(run), set_aside(run, "refused")) == ([(name, 1)], [(name, 2)])
    assert desk.left() == []


def test_a_run_whose_session_has_ended_before_it_collected_leaves_the_inbox_to_the_next(desk: Desk) -> None:
    unfinished = desk.begin()
    desk.later(days=1)
    desk.drop("a.json", order())
    finish(unfinished, desk.context())
    assert rows_of(unfinished)["dropped"] == 0
    assert desk.left() == ["a.json"]
    assert statuses(desk.run()) == ["dry_run"]


def test_rows_say_where_they_came_from(desk: Desk) -> None:
    desk.drop("desk/us/a.csv", order(), order(qty=2))
    assert places(desk.run()) == [("desk/us/a.csv", 2), ("desk/us/a.csv", 3)]


def test_a_limit_that_is_raised_later_finds_refused_rows_undecided(desk: Desk) -> None:
    desk.drop("a.json", order(qty=150))
    assert reasons(desk.run()) == ["max_position_size_exceeded"]
    desk.drop("a.json", order(qty=150))
    assert statuses(desk.run(RiskConfig(max_position_qty=200))) == ["dry_run"]


# --- a record that can't be listed


def test_a_record_that_cannot_be_listed_stops_the_run_and_nothing_is_taken_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.drop("a.json", order())
    desk.run()
    desk.drop("a.json", order())
    scandir = os.scandir

    def fails(place: Any) -> Any:
        if not isinstance(place, int) and Path(place) == desk.data / "runs" / SESSION:
            raise OSError(5, "Input/output error")
        return scandir(place)

    with monkeypatch.context() as patch:
        patch.setattr("os.scandir", fails)
        with pytest.raises(RecordError, match=r"can't be listed, .*: its disk reports a fault"):
            desk.run()
    assert desk.left() == ["a.json"]
    for unfinished in desk.context().runs.unfinished():
        finish(unfinished, desk.context())
    assert [rows_of(run)["batched"] for run in desk.context().runs.all()] == [1, 0]


def test_times_without_a_zone_are_read_in_the_zone_that_the_run_began_with(desk: Desk) -> None:
    naive = order(created_at="2026-03-02T11:59:00")
    desk.drop("a.json", naive, age_s=10)
    refused = desk.run().json("collected.json")
    assert (refused["rows"]["batched"], refused["rows"]["quarantined"]) == (0, 1)
    desk.drop("b.json", naive, age_s=10)
    run = desk.run(EXEC_INBOX_TZ="America/New_York")
    assert run.json("run.json")["settings"]["inbox_tz"] == "America/New_York"
    (taken,) = run.table("intents.parquet")["created_at"].to_pylist()
    assert taken.isoformat() == "2026-03-02T16:59:00+00:00"


def test_a_row_whose_times_name_no_zone_is_recognised_under_its_previous_identity(desk: Desk) -> None:
    row = order(seed=1, valid_until="2026-03-02T15:59:00")
    desk.drop("a.json", row, age_s=10)
    assert rows_of(desk.run(EXEC_INBOX_TZ="America/New_York"))["batched"] == 1
    desk.drop("b.json", row, age_s=10)
    again = desk.run(EXEC_INBOX_TZ="America/New_York", EXEC_IDENTITY_IGNORES="seed")
    assert (rows_of(again)["batched"], rows_of(again)["duplicate"]) == (0, 1)


def test_a_run_that_began_with_a_zone_which_this_machine_lacks_says_what_to_install(desk: Desk) -> None:
    path = desk.drop("a.json", order(created_at="2026-03-02T11:59:00"))
    run = start(replace(desk.settings(), inbox_tz="Mars/Phobos"), RiskConfig(), desk.context(), slot="test")
    with pytest.raises(ConfigurationError, match="Install the package tzdata"):
        finish(run, desk.context())
    assert path.exists()
