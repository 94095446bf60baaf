"""Several files to one batch: one order whatever the listing, duplicates and conflicts told apart."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.intents.assembling import KNOWN_SCHEMA, MOST_CONFLICTS, Assembled, assemble
from engine.intents.identity import IdentityRules
from engine.intents.reading import IntentFile, read_intent_file
from engine.model.schema import intents_schema
from tests.engine.intents.files import (
    FILE_TIME_US,
    HALF_PAST_TWO,
    SESSION,
    Row,
    ids,
    order,
    read,
    read_rows,
    written,
)

REMEDY = "To mean it again, give it a client_intent_id or a created_at of its own."
EARLIER, LATER = "2026-03-02T14:00:00Z", "2026-03-02T15:00:00Z"
NOTHING_KNOWN = KNOWN_SCHEMA.empty_table()


def file(name: str, *rows: Row) -> IntentFile:
    return read(name, written("." + name.rpartition(".")[2], list(rows)))


def sent(*files: IntentFile) -> pa.Table:
    """Return rows of an earlier run of the day that were sent."""
    parts = [
        pa.table(
            [
                one.table["broker_account_id"].cast(pa.string()),
                one.table["client_intent_id"],
                one.table["content_hash"],
                pa.array(
                    [f"{one.name}:{row} of run 1" for row in one.table["source_row"].to_pylist()], pa.string()
                ),
            ],
            schema=KNOWN_SCHEMA,
        )
        for one in files
    ]
    return pa.concat_tables(parts).combine_chunks()


def places(batch: Assembled) -> list[tuple[str, int]]:
    table = batch.table
    return list(zip(table["source_file"].to_pylist(), table["source_row"].to_pylist(), strict=True))


def duplicates(batch: Assembled) -> list[tuple[str, int, str]]:
    return [(again.file, again.row, again.said_in) for again in batch.listed_duplicates()]


def conflicts(batch: Assembled) -> list[tuple[str, int]]:
    return [(refused.first.file, refused.first.row) for refused in batch.conflicts]


# 1. Order


def test_rows_are_sealed_by_the_timestamp_they_were_created_then_by_file_then_by_row() -> None:
    one = file("b.jsonl", order(symbol="A", created_at=LATER), order(symbol="B", created_at=HALF_PAST_TWO))
    other = file(
        "a.jsonl", order(symbol="C", created_at=HALF_PAST_TWO), order(symbol="D", created_at=EARLIER)
    )
    assert places(assemble([one, other], NOTHING_KNOWN)) == [
        ("a.jsonl", 2),
        ("a.jsonl", 1),
        ("b.jsonl", 2),
        ("b.jsonl", 1),
    ]


def test_rows_of_one_timestamp_keep_the_order_of_their_file_even_from_10_on() -> None:
    rows = [order(symbol=f"S{i}") for i in range(12)]
    assert places(assemble([file("a.jsonl", *rows)], NOTHING_KNOWN)) == [("a.jsonl", i) for i in range(1, 13)]


def test_a_batch_of_no_files_or_of_empty_files_has_the_schema_of_a_batch() -> None:
    for files in ([], [read("a.csv", "")], [read_rows(".jsonl", order(side="long"))]):
        batch = assemble(files, NOTHING_KNOWN)
        assert (batch.table.num_rows, batch.table.schema) == (0, intents_schema())
        assert (batch.listed_duplicates(), batch.conflicts) == ([], [])


def test_a_batch_of_several_files_has_the_schema_of_a_batch() -> None:
    batch = assemble([file("a.jsonl", order()), file("b.csv", order(symbol="QQQ"))], NOTHING_KNOWN)
    assert batch.table.schema == intents_schema()
    batch.table.validate(full=True)


# 2. Duplicates


def test_the_same_row_in_another_file_is_a_duplicate_of_the_first() -> None:
    batch = assemble([file("b.jsonl", order()), file("a.csv", order())], NOTHING_KNOWN)
    assert places(batch) == [("a.csv", 2)]
    assert duplicates(batch) == [("b.jsonl", 1, "a.csv:2")]


def test_a_duplicate_is_reported_with_its_place_the_other_place_and_the_remedy() -> None:
    (again,) = assemble(
        [file("a.jsonl", order()), file("b.jsonl", order())], NOTHING_KNOWN
    ).listed_duplicates()
    assert again.message == f"b.jsonl:1: the same order as a.jsonl:1. {REMEDY}"
    assert again.record() == {
        "file": "b.jsonl",
        "row": 1,
        "broker_account_id": "paper",
        "client_intent_id": ids(file("a.jsonl", order()))[0],
        "said_in": "a.jsonl:1",
        "message": again.message,
    }


def test_the_remedies_work() -> None:
    first = file("a.jsonl", order())
    for said in ({"client_intent_id": "mine-1"}, {"created_at": HALF_PAST_TWO}):
        assert duplicates(assemble([first, file("b.jsonl", order(**said))], NOTHING_KNOWN)) == []


def test_a_file_that_grew_is_dropped_again_with_its_new_rows_only() -> None:
    before = file("a.jsonl", order(), order(qty=2))
    after = file("b.jsonl", order(), order(qty=2), order(qty=3), order(symbol="QQQ"))
    batch = assemble([before, after], NOTHING_KNOWN)
    assert places(batch) == [("a.jsonl", 1), ("a.jsonl", 2), ("b.jsonl", 3), ("b.jsonl", 4)]
    assert duplicates(batch) == [("b.jsonl", 1, "a.jsonl:1"), ("b.jsonl", 2, "a.jsonl:2")]


def test_equal_rows_of_one_file_are_one_order() -> None:
    batch = assemble([file("a.jsonl", order(), order(qty=2), order(), order())], NOTHING_KNOWN)
    assert places(batch) == [("a.jsonl", 1), ("a.jsonl", 2)]
    assert duplicates(batch) == [("a.jsonl", 3, "a.jsonl:1"), ("a.jsonl", 4, "a.jsonl:1")]
    assert batch.listed_duplicates()[0].message == f"a.jsonl:3: the same order as a.jsonl:1. {REMEDY}"


@pytest.mark.parametrize("said", [{"client_intent_id": "again"}, {"created_at": EARLIER}])
def test_the_remedy_for_equal_rows_works(said: Row) -> None:
    batch = assemble([file("a.jsonl", order(), order(**said))], NOTHING_KNOWN)
    assert (len(places(batch)), duplicates(batch)) == (2, [])


def test_the_first_duplicates_can_be_had_alone() -> None:
    batch = assemble([file("a.jsonl", *[order()] * 5)], NOTHING_KNOWN)
    assert [again.row for again in batch.listed_duplicates(2)] == [2, 3]
    assert batch.duplicates.num_rows == 4


def test_an_id_and_its_content_sent_again_in_one_file_is_a_duplicate() -> None:
    batch = assemble([file("a.jsonl", *[order(client_intent_id="mine-1")] * 3)], NOTHING_KNOWN)
    assert places(batch) == [("a.jsonl", 1)]
    assert duplicates(batch) == [("a.jsonl", 2, "a.jsonl:1"), ("a.jsonl", 3, "a.jsonl:1")]


def test_the_row_that_was_created_first_stands_not_the_one_that_is_listed_first() -> None:
    one = file("a.jsonl", order(client_intent_id="mine-1", symbol="A", created_at=LATER))
    other = file("b.jsonl", order(client_intent_id="mine-1", symbol="B", created_at=EARLIER))
    batch = assemble([one, other], NOTHING_KNOWN)
    assert places(batch) == [("b.jsonl", 1)]
    assert conflicts(batch) == [("a.jsonl", 1)]


# 3. Conflicts


def test_an_id_used_for_another_order_is_a_conflict_and_the_first_one_stands() -> None:
    rows = [order(client_intent_id="mine-1"), order(client_intent_id="mine-1", qty=2), order()]
    batch = assemble([file("a.jsonl", *rows)], NOTHING_KNOWN)
    assert places(batch) == [("a.jsonl", 1), ("a.jsonl", 3)]
    assert conflicts(batch) == [("a.jsonl", 2)]
    assert duplicates(batch) == []


def test_a_conflict_is_reported_with_its_place_the_other_place_and_the_remedy() -> None:
    one = file("a.jsonl", order(client_intent_id="mine-1"))
    other = file("b.jsonl", order(client_intent_id="mine-1", qty=2, note="x"))
    (refused,) = assemble([one, other], NOTHING_KNOWN).conflicts
    assert refused.first.message == (
        "b.jsonl:1: client_intent_id is 'mine-1'; expected an id that no other order has; "
        "a.jsonl:1 used it for another one. Give this order an id of its own, or leave the id out."
    )
    assert (refused.raw["qty"], refused.raw["metadata"]) == (2.0, '{"note":"x"}')
    assert "limit_price" not in refused.raw


def test_duplicates_and_conflicts_are_both_held_against_the_row_that_stands() -> None:
    rows = [order(client_intent_id="m"), order(client_intent_id="m", qty=2), order(client_intent_id="m")]
    batch = assemble([file("a.jsonl", *rows, rows[1])], NOTHING_KNOWN)
    assert (places(batch), duplicates(batch)) == ([("a.jsonl", 1)], [("a.jsonl", 3, "a.jsonl:1")])
    assert conflicts(batch) == [("a.jsonl", 2), ("a.jsonl", 4)]


def test_one_id_for_two_accounts_is_two_orders() -> None:
    rows = [order(client_intent_id="m", broker_account_id=account) for account in ("paper", "second")]
    batch = assemble([file("a.jsonl", *rows)], NOTHING_KNOWN)
    assert (len(places(batch)), batch.listed_duplicates(), batch.conflicts) == (2, [], [])


def test_account_and_id_are_two_things_and_not_one_text() -> None:
    rows = [
        order(broker_account_id="a", client_intent_id="b-c"),
        order(broker_account_id="a b", client_intent_id="c"),
        order(broker_account_id="a-b", client_intent_id="c"),
    ]
    assert len(places(assemble([file("a.jsonl", *rows)], NOTHING_KNOWN))) == 3


# 4. Rows of earlier runs


def test_a_row_that_was_sent_before_is_a_duplicate_of_it() -> None:
    known = sent(file("old.csv", order(symbol="QQQ"), order()))
    batch = assemble([file("a.jsonl", order(), order(), order(symbol="IWM"))], known)
    assert places(batch) == [("a.jsonl", 3)]
    assert duplicates(batch) == [("a.jsonl", 1, "old.csv:3 of run 1"), ("a.jsonl", 2, "old.csv:3 of run 1")]


def test_an_id_that_was_sent_for_another_order_is_a_conflict() -> None:
    known = sent(file("old.jsonl", order(client_intent_id="mine-1")))
    (refused,) = assemble([file("a.jsonl", order(client_intent_id="mine-1", qty=2))], known).conflicts
    assert "old.jsonl:1 of run 1 used it for another one" in refused.first.message


def test_what_was_sent_before_stands_even_if_it_was_created_later() -> None:
    known = sent(file("old.jsonl", order(client_intent_id="mine-1", created_at=LATER)))
    batch = assemble([file("a.jsonl", order(client_intent_id="mine-1", created_at=EARLIER))], known)
    assert (places(batch), conflicts(batch)) == ([], [("a.jsonl", 1)])


def test_an_order_of_another_account_is_not_known() -> None:
    known = sent(file("old.jsonl", order(client_intent_id="mine-1", broker_account_id="second")))
    assert places(assemble([file("a.jsonl", order(client_intent_id="mine-1"))], known)) == [("a.jsonl", 1)]


def test_a_single_file_of_derived_ids_is_held_against_what_is_known_too() -> None:
    one = file("a.jsonl", order())
    assert duplicates(assemble([one], sent(file("old.jsonl", order())))) == [
        ("a.jsonl", 1, "old.jsonl:1 of run 1")
    ]


# 5. Rows that are known under other rules

FIRST = IdentityRules(version=1)
FIRST_ID = {
    "brk/b": "a21de434b05ef25d5aa010c10d7b38ba",
    "unnamed 7": "cf28584ef4af301f6dd2116c06a5618e",
    "twice": "b5077099e32ed94907779c31c0b0aaaa",
}
"""Ids of rows as they were derived under version 1."""
FIRST_SYMBOL_IDS = {
    "BTCUSD": "2e455c8b1935dd3e925edc778e404baf",
    "BRK/B": "a21de434b05ef25d5aa010c10d7b38ba",
}
"""The same of rows with two shares, by a symbol that is spelt otherwise since."""


def file_before(name: str, *rows: Row, rules: IdentityRules = FIRST) -> IntentFile:
    content = written("." + name.rpartition(".")[2], list(rows))
    return read_intent_file(name, content, file_time_us=FILE_TIME_US, trading_date=SESSION, previous=[rules])


def sent_before(*said: tuple[str, int], account: str = "paper") -> dict[IdentityRules, pa.Table]:
    """Return rows that a run under version 1 has sent, by id and content hash."""
    rows = [
        {
            "broker_account_id": account,
            "client_intent_id": intent_id,
            "content_hash": content_hash,
            "said_in": f"old.csv:{row} of run 1",
        }
        for row, (intent_id, content_hash) in enumerate(said, start=2)
    ]
    return {FIRST: pa.Table.from_pylist(rows, schema=KNOWN_SCHEMA)}


def derived_before(*ids: str) -> dict[IdentityRules, pa.Table]:
    return sent_before(*((one, int.from_bytes(bytes.fromhex(one)[:8], "little", signed=True)) for one in ids))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (order(symbol="BRK.B", qty=2), "brk/b"),
        ({"Unnamed: 0": 7, **order()}, "unnamed 7"),
        (order(), "twice"),
    ],
)
def test_a_row_that_was_sent_under_its_previous_id_is_a_duplicate(row: Row, said: str) -> None:
    row = {**row, "symbol": "brk/b"} if said == "brk/b" else row
    known = derived_before(FIRST_ID[said])
    batch = assemble([file_before("a.jsonl", row, order(symbol="IWM"))], NOTHING_KNOWN, known)
    assert places(batch) == [("a.jsonl", 2)]
    assert duplicates(batch) == [("a.jsonl", 1, "old.csv:2 of run 1")]


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("BTCUSD", "BTC/USD"),
        ("BTCUSD", "BTC-USD"),
        ("BTCUSD", "BTCUSD"),
        ("BRK/B", "BRK.B"),
        ("BRK/B", "BRK-B"),
        ("BRK/B", "brk.b"),
    ],
)
def test_a_row_sent_under_its_previous_id_is_recognised_however_its_symbol_is_spelt_today(
    then: str, now: str
) -> None:
    rows = [order(symbol=now, qty=2), order(symbol="IWM")]
    batch = assemble([file_before("a.jsonl", *rows)], NOTHING_KNOWN, derived_before(FIRST_SYMBOL_IDS[then]))
    assert places(batch) == [("a.jsonl", 2)]
    assert duplicates(batch) == [("a.jsonl", 1, "old.csv:2 of run 1")]


@pytest.mark.parametrize("now", ["BRK.C", "BRKB", "BTC/USDT", "BTC.USD"])
def test_another_symbol_is_not_taken_for_a_spelling_of_one_that_was_sent(now: str) -> None:
    known = derived_before(*FIRST_SYMBOL_IDS.values())
    batch = assemble([file_before("a.jsonl", order(symbol=now, qty=2))], NOTHING_KNOWN, known)
    assert places(batch) == [("a.jsonl", 1)]


def test_files_whose_symbols_have_different_numbers_of_spellings_are_recognised_together() -> None:
    files = [
        file_before("a.jsonl", order(symbol="BTC/USD", qty=2)),
        file_before("b.jsonl", order(symbol="BAC/PR/L"), order(symbol="BRK.B", qty=2)),
        file_before("c.jsonl", order(symbol="IWM")),
    ]
    batch = assemble(files, NOTHING_KNOWN, derived_before(*FIRST_SYMBOL_IDS.values()))
    assert places(batch) == [("b.jsonl", 1), ("c.jsonl", 1)]


def test_an_explicit_id_with_another_spelling_of_its_symbol_is_the_same_order() -> None:
    then = file_before("a.jsonl", order(client_intent_id="mine-1", symbol="BTCUSD"))
    known = sent_before(("mine-1", then.previous[FIRST].content_hashes.tolist()[0]))
    for symbol, qty, expected in (("BTC/USD", 1, (1, 0)), ("BTC/USD", 2, (0, 1)), ("ETH/USD", 1, (0, 1))):
        row = order(client_intent_id="mine-1", symbol=symbol, qty=qty)
        batch = assemble([file_before("a.jsonl", row)], NOTHING_KNOWN, known)
        assert (batch.duplicates.num_rows, len(batch.conflicts)) == expected


def test_of_equal_rows_it_is_enough_that_one_was_sent_under_its_previous_id() -> None:
    rows = [{"Unnamed: 0": 6, **order()}, {"Unnamed: 0": 7, **order()}]
    batch = assemble([file_before("a.jsonl", *rows)], NOTHING_KNOWN, derived_before(FIRST_ID["unnamed 7"]))
    assert duplicates(batch) == [("a.jsonl", row, "old.csv:2 of run 1") for row in (1, 2)]


def test_what_was_sent_under_another_account_is_not_recognised() -> None:
    (known,) = derived_before(FIRST_ID["twice"]).values()
    other = known.set_column(0, "broker_account_id", pa.array(["other"]))
    batch = assemble([file_before("a.jsonl", order())], NOTHING_KNOWN, {FIRST: other})
    assert places(batch) == [("a.jsonl", 1)]


def test_an_explicit_id_is_compared_by_what_its_row_said_under_the_rules_of_then() -> None:
    row = {"Unnamed: 0": 7, **order(client_intent_id="mine-1")}
    then = file_before("a.jsonl", row).previous[FIRST].content_hashes.tolist()[0]
    for content_hash, expected in ((then, (1, 0)), (then + 1, (0, 1))):
        known = sent_before(("mine-1", content_hash))
        batch = assemble([file_before("a.jsonl", row)], NOTHING_KNOWN, known)
        assert (batch.duplicates.num_rows, len(batch.conflicts)) == expected


def test_a_row_with_an_id_of_its_own_is_not_recognised_by_the_id_that_it_would_have_had() -> None:
    batch = assemble(
        [file_before("a.jsonl", order(client_intent_id="mine-1"))],
        NOTHING_KNOWN,
        derived_before(FIRST_ID["twice"]),
    )
    assert places(batch) == [("a.jsonl", 1)]


def test_rows_that_are_known_under_todays_rules_and_under_others_are_all_recognised() -> None:
    rows = [order(symbol="QQQ"), order(), order(symbol="IWM")]
    batch = assemble(
        [file_before("a.jsonl", *rows)], sent(file("new.csv", rows[0])), derived_before(FIRST_ID["twice"])
    )
    assert places(batch) == [("a.jsonl", 3)]
    assert [said for _, _, said in duplicates(batch)] == ["new.csv:2 of run 1", "old.csv:2 of run 1"]


# 6. For all batches


ROWS = st.builds(
    order,
    symbol=st.sampled_from(["SPY", "QQQ"]),
    broker_account_id=st.sampled_from(["paper", "second"]),
    client_intent_id=st.sampled_from([None, None, "mine-1", "mine-2"]),
    created_at=st.sampled_from([None, EARLIER, LATER]),
    side=st.sampled_from(["buy", "buy", "buy", "long"]),
)
FILES = st.lists(st.lists(ROWS, max_size=5), min_size=1, max_size=4).map(
    lambda contents: [file(f"{'cab'[i % 3]}{i}.jsonl", *rows) for i, rows in enumerate(contents)]
)


def summary(batch: Assembled) -> tuple[Any, ...]:
    return (
        batch.table.to_pylist(),
        [again.record() for again in batch.listed_duplicates()],
        [refused.record() for refused in batch.conflicts],
    )


@given(FILES, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=100)
def test_the_batch_does_not_depend_on_the_order_in_which_files_are_listed(
    files: list[IntentFile], random: Any
) -> None:
    shuffled = random.sample(files, len(files))
    assert summary(assemble(shuffled, NOTHING_KNOWN)) == summary(assemble(files, NOTHING_KNOWN))


@given(FILES, st.integers(0, 3))
@settings(deadline=None, max_examples=100)
def test_every_row_is_in_the_batch_or_a_duplicate_or_a_conflict(files: list[IntentFile], old: int) -> None:
    known = sent(*files[:old]) if old else NOTHING_KNOWN
    batch = assemble(files[old:], known)
    found = [*places(batch), *[(file, row) for file, row, _ in duplicates(batch)], *conflicts(batch)]
    rows = [(one.name, row) for one in files[old:] for row in one.table["source_row"].to_pylist()]
    assert sorted(found) == sorted(rows)


@given(FILES)
@settings(deadline=None, max_examples=100)
def test_no_two_rows_of_a_batch_share_account_and_id(files: list[IntentFile]) -> None:
    table = assemble(files, NOTHING_KNOWN).table
    keys = list(
        zip(table["broker_account_id"].to_pylist(), table["client_intent_id"].to_pylist(), strict=True)
    )
    assert len(set(keys)) == len(keys)


@given(FILES)
@settings(deadline=None, max_examples=50)
def test_dropping_everything_again_gives_no_new_row(files: list[IntentFile]) -> None:
    if not any(one.table.num_rows for one in files):
        return
    batch = assemble(files, NOTHING_KNOWN)
    seen = IntentFile("batch", batch.table.num_rows, batch.table, [])
    again = assemble(files, sent(seen))
    assert again.table.num_rows == 0
    assert again.duplicates.num_rows == batch.table.num_rows + batch.duplicates.num_rows


def test_coded_columns_keep_their_type() -> None:
    batch = assemble([file(f"{i}.jsonl", order(symbol=f"S{i}")) for i in range(3)], NOTHING_KNOWN)
    assert batch.table["symbol"].type == pa.dictionary(pa.int32(), pa.string())
    assert batch.table["symbol"].to_pylist() == ["S0", "S1", "S2"]


def test_of_very_many_conflicts_the_first_are_refused_one_by_one_and_the_others_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.intents.assembling.MOST_CONFLICTS", 2)
    rows = [order(client_intent_id="mine-1", qty=qty) for qty in range(1, 7)]
    batch = assemble([file_before("a.jsonl", *rows)], NOTHING_KNOWN)
    assert batch.conflicts_by_file == {"a.jsonl": 5}
    assert [row.first.row for row in batch.conflicts] == [2, 3, 0]
    assert batch.conflicts[-1].first.message == (
        "a.jsonl: 3 more rows have ids under which other orders were dropped. "
        "Give this order an id of its own, or leave the id out."
    )


def test_very_many_conflicts_take_seconds() -> None:
    file = file_before("a.jsonl", order(client_intent_id="mine-1"))
    rows = 300_000
    many = file.table.take(pa.array(np.zeros(rows, dtype=np.int64)))
    many = many.set_column(many.schema.get_field_index("content_hash"), "content_hash", pa.array(range(rows)))
    begun = time.process_time()
    batch = assemble([replace(file, table=many, rows=rows)], NOTHING_KNOWN)
    assert time.process_time() - begun < 20
    assert (batch.table.num_rows, batch.conflicts_by_file) == (1, {"a.jsonl": rows - 1})
    assert len(batch.conflicts) == MOST_CONFLICTS + 1


@pytest.mark.parametrize("symbol", ["BTCUSD", "BRK/B"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet"])
def test_a_row_whose_symbol_had_another_spelling_before_is_recognised(symbol: str, name: str) -> None:
    row = order(symbol=symbol, qty=2)
    batch = assemble([file_before(name, row)], NOTHING_KNOWN, derived_before(FIRST_SYMBOL_IDS[symbol]))
    assert (batch.table.num_rows, batch.duplicates.num_rows) == (0, 1)
