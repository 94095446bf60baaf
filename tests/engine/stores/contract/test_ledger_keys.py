"""Documents that a count would pass over: the accounts that they may belong to are in doubt, and say so."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from google.cloud.firestore import Client

from engine.errors import AccountsInDoubt
from engine.ledger.keys import MOST_IN_DOUBT, ranges_without_sessions
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.firestore.store import FirestoreStore
from engine.stores.protocols import LedgerStore
from tests.engine.stores.trades import SESSION, bought, counted, trade

Written = tuple[LedgerStore, Callable[[dict[str, Any]], None]]
UNIT = 1_000_000_000

WRITTEN_OTHERWISE = [
    "20260302",
    "2026-03-02T14:30:00+00:00",
    "2026-03-02 14:30",
    "2026-03-02 ",
    "2026-03-02\n",
    " 2026-03-02",
    "\u200b2026-03-02",
    "2026-02-27T23:30:00-05:00",
    "2026-3-2",
    "2026-03-2",
    "2026/03/02",
    "2026.03.02",
    "2026 03 02",
    "2026-W10-1",
    "2026-03",
    "2026",
    "03/02/2026",
    "3/2/2026",
    "2/3/2026",
    "02.03.2026",
    "Mon Mar 2 2026",
    "",
    "today",
]


@pytest.fixture(params=["embedded", "firestore"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Written]:
    """Return a store, and what writes a document into it as another program would."""
    if request.param == "embedded":
        path = tmp_path / "engine.db"
        yield EmbeddedStore(path), lambda document: _inserted(path, document)
        return
    project = request.getfixturevalue("firestore_project")
    client: Any = Client(project=project)
    ledger = client.collection("ledger_trades")
    yield FirestoreStore(project, timeout_s=60), lambda one: ledger.document(one["broker_order_id"]).set(one)
    client.close()


def _inserted(path: Path, document: dict[str, Any]) -> None:
    keys = [document[name] for name in ("broker_order_id", "broker_account_id", "trading_date")]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO ledger_trades VALUES (?, ?, ?, ?)", (*keys, json.dumps(document)))


def in_doubt(store: LedgerStore, *accounts: str, day: date = SESSION) -> AccountsInDoubt:
    with pytest.raises(AccountsInDoubt) as caught:
        store.trade_counts(accounts, day)
    assert str(caught.value).startswith(store.place)
    return caught.value


@pytest.mark.parametrize("text", WRITTEN_OTHERWISE)
def test_a_document_of_today_whose_session_is_written_otherwise_leaves_its_account_in_doubt(
    written: Written, text: str
) -> None:
    store, write = written
    store.write_ledger([trade("o-1"), trade("o-2", account="b")])
    write(trade("o-9", day=text))
    error = in_doubt(store, "paper", "b")
    assert error.accounts == ("paper",)
    for part in ("'o-9'", "trading_date is ", "expected an ISO date as text", "correct them there"):
        assert part in str(error)
    assert counted(store, "b") == {"b": 1}


@pytest.mark.parametrize(
    "account",
    [
        " paper",
        "paper\u00a0",
        "Paper",
        "PAPER",
        "pa\u200bper",
        "\uff50aper",
        "paper\ufeff",
        "paper\n",
        "",
        " ",
    ],
)
def test_a_document_of_an_account_that_looks_like_the_one_counted_leaves_it_in_doubt(
    written: Written, account: str
) -> None:
    store, write = written
    store.write_ledger([trade("o-1"), trade("o-2", account="b")])
    write(trade("o-9", account=account))
    error = in_doubt(store, "paper")
    assert error.accounts == ("paper",)
    assert "'o-9' can't be counted: broker_account_id is " in str(error)
    assert "expected paper exactly" in str(error) or "expected 'paper' exactly" in str(error)


def test_two_accounts_that_are_both_counted_are_two_whatever_their_case(written: Written) -> None:
    store, _ = written
    store.write_ledger([trade("o-1", account="a"), trade("o-2", account="A"), trade("o-3", account="A")])
    assert counted(store, "a", "A") == {"a": 1, "A": 2}
    assert in_doubt(store, "a").accounts == ("a",)


def test_documents_of_other_sessions_and_accounts_leave_a_count_alone(written: Written) -> None:
    store, write = written
    days = ["2026-02-27", "2026-03-01", "2026-03-03", "2027-01-04", "1999-12-31"]
    store.write_ledger([trade(f"o-{day}", day=day) for day in days])
    store.write_ledger(
        [trade("o-1"), trade("o-2", account="other"), trade("o-3", account="Other", day=days[0])]
    )
    write(trade("o-4", account="other", day="20260302"))
    write(trade("o-5", day="2025-06-30T14:00:00"))  # no reader takes it for today
    assert counted(store, "paper") == {"paper": 1}


@pytest.mark.parametrize("day", ["20260302", "2019-01-02T14:30:00Z", "", "2026-02-30", "2026-3-2"])
def test_a_document_of_any_time_without_a_session_makes_the_sum_of_its_account_unavailable(
    written: Written, day: str
) -> None:
    store, write = written
    store.write_ledger([bought("o-1", "SPY", 1), bought("o-2", "SPY", 2, account="b")])
    write(bought("o-9", "SPY", 1) | {"trading_date": day})
    with pytest.raises(AccountsInDoubt, match="'o-9' can't be counted: trading_date is "):
        store.net_positions("paper")
    assert store.net_positions("b") == {"SPY": 2 * UNIT}


FIRESTORE_ONLY = [
    datetime(2026, 3, 2, 14, 30, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC), 20260302, 20260302.0, True,
    None, {"date": "2026-03-02"}, ["2026-03-02"], b"2026-03-02",
]  # fmt: skip


@pytest.mark.parametrize("value", FIRESTORE_ONLY, ids=repr)
@pytest.mark.parametrize("account", ["paper", "Paper"])
def test_a_session_of_another_type_leaves_its_account_in_doubt(
    firestore_project: str, value: object, account: str
) -> None:
    store, client = FirestoreStore(firestore_project, timeout_s=60), Client(project=firestore_project)
    store.write_ledger([trade("o-1"), trade("o-2", account="b")])
    client.document("ledger_trades/o-9").set(trade("o-9", account=account) | {"trading_date": value})
    assert in_doubt(store, "paper", "b").accounts == ("paper",)
    assert counted(store, "b") == {"b": 1}


def test_a_document_that_lacks_its_session_makes_the_sum_unavailable(firestore_project: str) -> None:
    store, client = FirestoreStore(firestore_project, timeout_s=60), Client(project=firestore_project)
    document = bought("o-9", "SPY", 1)
    del document["trading_date"]
    client.document("ledger_trades/o-9").set(document)
    with pytest.raises(AccountsInDoubt, match="'o-9' can't be counted: trading_date is missing"):
        store.net_positions("paper")


@pytest.mark.parametrize(
    ("account", "doubtful"),
    [("accounts/paper", ("paper",)), ("accounts/other", None), (None, ("b", "paper")), (7, None)],
)
def test_an_account_that_is_no_text_leaves_whom_it_may_mean_in_doubt(
    firestore_project: str, account: Any, doubtful: tuple[str, ...] | None
) -> None:
    store, client = FirestoreStore(firestore_project, timeout_s=60), Client(project=firestore_project)
    store.write_ledger([trade("o-1"), trade("o-2", account="b")])
    value = client.document(account) if isinstance(account, str) else account
    client.document("ledger_trades/o-9").set(trade("o-9") | {"broker_account_id": value})
    if doubtful is None:
        assert counted(store, "paper", "b") == {"paper": 1, "b": 1}
    else:
        assert in_doubt(store, "paper", "b").accounts == doubtful


def test_a_document_of_today_without_an_account_leaves_all_in_doubt(firestore_project: str) -> None:
    store, client = FirestoreStore(firestore_project, timeout_s=60), Client(project=firestore_project)
    document = trade("o-9")
    del document["broker_account_id"]
    client.document("ledger_trades/o-9").set(document)
    assert in_doubt(store, "paper", "b").accounts == ("b", "paper")


@pytest.mark.parametrize(("column", "value"), [("trading_date", "2026-03-03"), ("broker_account_id", "b")])
def test_a_document_that_differs_from_its_columns_makes_the_sum_unavailable(
    tmp_path: Path, column: str, value: str
) -> None:
    store = EmbeddedStore(tmp_path / "engine.db")
    store.write_ledger([bought("o-9", "SPY", 1)])
    with closing(sqlite3.connect(tmp_path / "engine.db")) as connection, connection:
        connection.execute(f"UPDATE ledger_trades SET {column} = ?", (value,))
    with pytest.raises(AccountsInDoubt, match="'o-9' can't be counted"):
        store.net_positions(value if column == "broker_account_id" else "paper")


def test_more_unusual_documents_than_are_read_leave_every_account_in_doubt(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "engine.db")
    store.write_ledger([trade("o-1")])
    for number in range(MOST_IN_DOUBT):
        if number == MOST_IN_DOUBT - 1:
            assert counted(store, "paper") == {"paper": 1}
        _inserted(tmp_path / "engine.db", trade(f"x-{number}", account="other", day="20260302"))
    assert in_doubt(store, "paper").accounts == ("paper",)


@pytest.mark.parametrize("session", [SESSION, date(2026, 11, 30), date(2026, 12, 31), date(2027, 1, 4)])
def test_no_iso_date_of_this_century_is_in_a_range_that_is_read_for_unusual_ones(session: date) -> None:
    days = [date.fromordinal(day).isoformat() for day in range(date(1900, 1, 1).toordinal(), 767010)]
    for first, end in ranges_without_sessions(session):
        within = [day for day in days if (first is None or day >= first) and (end is None or day < end)]
        assert within == [] or min(within) >= "2100"
