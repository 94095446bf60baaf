"""What every store of the ledger must do, asked of each of them."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineError
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.firestore.store import FirestoreStore
from engine.stores.protocols import LedgerStore
from tests.engine.stores.trades import SESSION, counted, trade
from tests.processes import exit_codes


@pytest.fixture(params=["embedded", "firestore"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> LedgerStore:
    if request.param == "embedded":
        return EmbeddedStore(tmp_path / "engine.db")
    return FirestoreStore(request.getfixturevalue("firestore_project"), timeout_s=60)


def test_partial_fills_4_7_10_are_one_document_and_one_trade(store: LedgerStore) -> None:
    for filled in (4, 7, 10):
        store.write_ledger([trade("o-1", filled=filled)])
    assert store.ledger_document("o-1") == trade("o-1", filled=10)
    assert counted(store, "paper") == {"paper": 1}


def test_partial_fills_in_one_write_are_one_document(store: LedgerStore) -> None:
    assert store.write_ledger([trade("o-1", filled=filled) for filled in (4, 10, 7)]) == 1
    assert store.ledger_document("o-1") == trade("o-1", filled=10)


def test_documents_of_one_write_are_merged_in_their_order(store: LedgerStore) -> None:
    store.write_ledger([trade("o-1") | {"metadata": {"a": 1}}])
    store.write_ledger(
        [{"broker_order_id": "o-1", "metadata": {}}, {"broker_order_id": "o-1", "metadata": {"b": 2}}]
    )
    assert (store.ledger_document("o-1") or {})["metadata"] == {"b": 2}


def test_a_late_reply_never_lowers_what_is_filled(store: LedgerStore) -> None:
    store.write_ledger([trade("o-1", filled=10)])
    assert store.write_ledger([trade("o-1", filled=4) | {"raw_fill": {"price": "1"}}]) == 0
    assert store.ledger_document("o-1") == trade("o-1", filled=10)


def test_syncing_again_the_next_day_changes_nothing(store: LedgerStore) -> None:
    store.write_ledger([trade("o-1")])
    assert store.write_ledger([trade("o-1", day="2026-03-03")]) == 0
    assert counted(store, "paper", day=date(2026, 3, 3)) == {}
    assert counted(store, "paper") == {"paper": 1}


def test_trades_are_counted_per_account_and_session(store: LedgerStore) -> None:
    store.write_ledger(
        [
            trade("o-1"),
            trade("o-2"),
            trade("o-3", account="b"),
            trade("o-4", account="c"),
            trade("o-5", day="2026-02-27"),
        ]
    )
    assert counted(store, "paper", "b", "idle") == {"paper": 2, "b": 1}


def no_trade(order: str, **said: Any) -> dict[str, Any]:
    """Return the document of an exit whose group is a trade by its entry's document."""
    return trade(order, **said) | {"exit_of": "o-1", "counts_as_trade": False}


def test_documents_that_are_no_trades_of_their_own_are_not_counted(store: LedgerStore) -> None:
    store.write_ledger(
        [
            trade("o-1"),
            no_trade("o-2"),
            no_trade("o-3"),
            trade("o-4", account="b"),
            trade("o-5", account="b"),
            no_trade("o-6", account="b", day="2026-03-03"),
            no_trade("o-7", account="c"),
        ]
    )
    assert counted(store, "paper", "b", "c") == {"paper": 1, "b": 2}
    assert counted(store, "paper", "b", "c", day=date(2026, 3, 3)) == {}


@pytest.mark.parametrize("said", [None, True, 0, 0.0, "false", "", [False], {"counts_as_trade": False}])
def test_whatever_else_a_document_says_it_counts(store: LedgerStore, said: object) -> None:
    store.write_ledger([trade("o-1") | {"counts_as_trade": said}, no_trade("o-2")])
    assert counted(store, "paper") == {"paper": 1}


def test_what_a_map_within_a_document_says_does_not_matter(store: LedgerStore) -> None:
    store.write_ledger([trade("o-1") | {"metadata": {"counts_as_trade": False}}])
    assert counted(store, "paper") == {"paper": 1}


def test_a_document_that_a_later_write_makes_no_trade_is_counted_no_more(store: LedgerStore) -> None:
    store.write_ledger([trade("o-1"), trade("o-2")])
    assert store.write_ledger([no_trade("o-2")]) == 1
    assert counted(store, "paper") == {"paper": 1}
    assert store.write_ledger([trade("o-2")]) == 0
    assert counted(store, "paper") == {"paper": 1}


def test_many_accounts_are_counted(store: LedgerStore) -> None:
    accounts = [f"account-{number}" for number in range(40)]
    store.write_ledger([trade(f"o-{account}", account=account) for account in accounts[::2]])
    assert counted(store, *accounts) == dict.fromkeys(accounts[::2], 1)


def test_an_account_named_twice_is_counted_once(store: LedgerStore) -> None:
    store.write_ledger([trade("o-1")])
    assert len(store.trade_counts(["paper", "paper"], SESSION)) == 1


def test_account_ids_are_compared_as_they_are(store: LedgerStore) -> None:
    store.write_ledger([trade("o-1", account="a' OR '1'='1"), trade("o-2", account="ü/b.c`")])
    assert counted(store, "a", "1", "'1'='1", "b.c`") == {}
    assert counted(store, "a' OR '1'='1", "ü/b.c`") == {"a' OR '1'='1": 1, "ü/b.c`": 1}


@pytest.mark.parametrize("accounts", [[], ["idle"], ["paper"]])
def test_counts_have_the_same_types_filled_or_empty(store: LedgerStore, accounts: list[str]) -> None:
    store.write_ledger([trade("o-1")])
    assert store.trade_counts(accounts, SESSION).dtypes.astype(str).to_dict() == {
        "broker_account_id": "str",
        "trades": "int64",
    }


def test_an_order_without_fills_has_no_document(store: LedgerStore) -> None:
    store.write_ledger([trade("o-1")])
    assert store.ledger_document("o-2") is None
    assert store.ledger_document("o/2") is None


def test_fields_of_an_earlier_write_stay(store: LedgerStore) -> None:
    store.write_ledger([trade("o-1") | {"strategy_id": "momentum", "metadata": {"a": 1}}])
    store.write_ledger([{"broker_order_id": "o-1", "metadata": {"b": "ü"}}])
    assert store.ledger_document("o-1") == trade("o-1") | {
        "strategy_id": "momentum",
        "metadata": {"a": 1, "b": "ü"},
    }


def test_new_changed_and_unchanged_documents_in_one_write(store: LedgerStore) -> None:
    store.write_ledger([trade("o-1"), trade("o-2")])
    assert store.write_ledger([trade("o-1"), trade("o-2", filled=2), trade("o-3")]) == 2
    assert counted(store, "paper") == {"paper": 3}


def test_nothing_to_write_changes_nothing(store: LedgerStore) -> None:
    assert store.write_ledger([]) == 0


@pytest.mark.parametrize(
    "fault",
    [
        {"broker_order_id": ""},
        {"broker_order_id": None},
        {"broker_account_id": None},
        {"trading_date": None},
        {"trading_date": "20260302"},
        {"trading_date": "2026-03-02T10:00"},
        {"trading_date": "yesterday"},
        {"filled_qty": math.nan},
        {"filled_qty": -1},
        {"limit_price": math.nan},
        {"limit_price": -math.inf},
        {"qty": 2**63},
        {"filled_at": datetime(2026, 3, 2, tzinfo=UTC)},
        {"raw_fill": {"a": [{"b": math.nan}]}},
        {"raw_fill": {"": 1}},
        {"raw_fill": {"__type__": 1}},
        {"raw_fill": {1: 1}},
        {"raw_fill": {"n" * 1001: 1}},
        {"raw_fill": {"half a character": "\ud800"}},
        {"raw_fill": {"bytes": b"1"}},
        {"raw_fill": {"set": {1}}},
    ],
)
def test_a_document_that_cant_be_kept_is_refused_and_none_of_its_batch_is_kept(
    store: LedgerStore, fault: dict[str, Any]
) -> None:
    with pytest.raises(EngineError, match=r"ledger document .* Nothing of (it|this write) was"):
        store.write_ledger([trade("o-1"), trade("o-2") | fault])
    assert store.ledger_document("o-1") is None


@pytest.mark.parametrize("lacking", ["broker_account_id", "trading_date"])
def test_a_new_document_without_a_key_is_refused_and_none_of_its_batch_is_kept(
    store: LedgerStore, lacking: str
) -> None:
    document = trade("o-2")
    del document[lacking]
    with pytest.raises(EngineError, match=f"ledger document o-2: {lacking} is None"):
        store.write_ledger([trade("o-1"), document])
    assert store.ledger_document("o-1") is None


def nested(levels: int) -> Any:
    value: Any = {}
    for level in range(levels - 1):
        value = [value] if level % 2 else {"a": value}
    return value


def test_maps_and_lists_within_each_other_are_kept_up_to_a_depth(store: LedgerStore) -> None:
    store.write_ledger([trade("o-1") | {"metadata": nested(20)}])
    assert (store.ledger_document("o-1") or {})["metadata"] == nested(20)
    with pytest.raises(EngineError, match="at most 20 maps and lists within each other"):
        store.write_ledger([trade("o-1") | {"metadata": nested(21)}])


@pytest.mark.parametrize("order_id", ["a/b", "..", ".", "__o__", "%41", "o" * 1501, "ü" * 800])
def test_an_order_whose_id_could_name_no_document_is_kept_under_it(store: LedgerStore, order_id: str) -> None:
    kept = trade(order_id)
    assert store.write_ledger([kept]) == 1
    assert store.write_ledger([kept]) == 0
    assert store.ledger_document(order_id) == kept
    assert store.ledger_documents([order_id, "another"]) == {order_id: kept}


ODD_NAMES = ["a.b", "a`b", "a\\b", "a/b", " ", "1", "ü", "~*[]", "__a", "a\nb", "\x01", "`.\\", "n" * 900]


def test_documents_come_back_as_they_were_given(store: LedgerStore) -> None:
    odd = {
        "odd names": {key: {"x": dict.fromkeys(ODD_NAMES[:-1], 1)} for key in ODD_NAMES},
        "lists": [[], [[1, [2]], {"a": [[3]]}], {}, [{"[]": [4]}], {"[]": [5]}, {"[]": {"[]": 6}}, {"[]": 7}],
        "numbers": [0, -1, 2**63 - 1, -(2**63), 0.1, 1e300, 5e-324],
        "nothing": [None, "", {}, [], False],
        "text": "a\x01b\n\u2028😀",
    } | dict.fromkeys(ODD_NAMES, "top")
    store.write_ledger([trade("o-1") | odd])
    assert store.ledger_document("o-1") == trade("o-1") | odd
    assert store.write_ledger([trade("o-1") | odd]) == 0

    changed = {name: {"y": [[name]]} for name in ODD_NAMES}
    store.write_ledger([{"broker_order_id": "o-1"} | changed])
    assert store.ledger_document("o-1") == trade("o-1") | odd | changed


def test_booleans_and_whole_numbers_keep_their_kind(store: LedgerStore) -> None:
    store.write_ledger([trade("o-1") | {"metadata": {"flag": True, "whole": 1, "broken": 1.0}}])
    assert json.dumps((store.ledger_document("o-1") or {})["metadata"], sort_keys=True) == json.dumps(
        {"flag": True, "whole": 1, "broken": 1.0}, sort_keys=True
    )


def test_a_mapping_or_tuple_is_kept_as_map_or_list_and_is_no_change_the_next_time(store: LedgerStore) -> None:
    document = trade("o-1") | {"legs": ({"symbol": "SPY"},)}
    store.write_ledger([document])
    assert store.write_ledger([document]) == 0
    assert (store.ledger_document("o-1") or {})["legs"] == [{"symbol": "SPY"}]


def test_it_says_where_it_is_and_that_it_can_be_read(store: LedgerStore) -> None:
    assert store.place
    assert store.check()
    store.write_ledger([trade("o-1")])
    assert store.check()


# --- at the same time


def together(works: Iterable[Any]) -> None:
    """Do each in a thread of its own, starting at the same moment; raise what one raises."""
    works = list(works)
    gate, errors = threading.Barrier(len(works)), []

    def do(work: Any) -> None:
        gate.wait()
        try:
            work()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=do, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_threads_that_write_fields_of_the_same_documents_lose_none(store: LedgerStore) -> None:
    def fields_of(writer: int) -> list[dict[str, Any]]:
        return [trade(f"o-{n}", filled=writer + 1) | {"metadata": {f"w{writer}": True}} for n in range(5)]

    together([lambda writer=writer: store.write_ledger(fields_of(writer)) for writer in range(6)])
    for n in range(5):
        document = store.ledger_document(f"o-{n}") or {}
        assert document["metadata"] == {f"w{writer}": True for writer in range(6)}
        assert document["filled_qty"] == 6


def test_threads_that_write_the_same_documents_write_each_once(store: LedgerStore) -> None:
    changed = []
    documents = [trade(f"o-{n}") for n in range(20)]
    together([lambda: changed.append(store.write_ledger(documents))] * 5)
    assert sum(changed) == 20
    assert counted(store, "paper") == {"paper": 20}


def write_three_times(store: LedgerStore, writer: int) -> None:
    for turn in range(3):
        store.write_ledger([trade("o-1", filled=writer + 1) | {"metadata": {f"w{writer}-{turn}": 1}}])


def test_processes_that_write_one_document_lose_nothing(store: LedgerStore) -> None:
    writers = [(store, writer) for writer in range(3)]
    assert exit_codes(write_three_times, *writers) == [0, 0, 0]
    document = store.ledger_document("o-1") or {}
    assert document["metadata"] == {f"w{writer}-{turn}": 1 for writer in range(3) for turn in range(3)}
    assert document["filled_qty"] == 3
