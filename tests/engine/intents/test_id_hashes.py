"""Of rows that share account and id none is missed, whatever their ids look like."""

from __future__ import annotations

import pyarrow as pa
import pytest

from engine.intents.id_hashes import may_be_repeated

LONG = "x" * 48


def rows(*keys: tuple[str, str], coded: bool = True) -> pa.Table:
    accounts = pa.array([account for account, _ in keys], pa.string())
    return pa.table(
        {
            "broker_account_id": accounts.dictionary_encode() if coded else accounts,
            "client_intent_id": pa.array([one for _, one in keys], pa.string()),
        }
    )


def found(*tables: pa.Table) -> list[bool]:
    marked: list[bool] = may_be_repeated(list(tables)).tolist()
    return marked


@pytest.mark.parametrize(
    "one", ["a", "1234567", "12345678", "123456789", "f" * 32, LONG, "", "é", LONG + "beyond", "é" * 40]
)
def test_an_id_that_stands_twice_is_found_whatever_its_length(one: str) -> None:
    table = rows(("p", one), ("p", "b"), ("p", "c" * 20), ("p", one))
    assert found(table) == [True, False, False, True]
    assert found(rows(("p", one)), rows(("p", "other"), ("p", one))) == [True, False, True]


def test_one_id_in_two_accounts_is_no_repetition() -> None:
    assert found(rows(("p", "a"), ("q", "a"))) == [False, False]


def test_an_account_is_the_same_in_any_form() -> None:
    known = rows(("second", "x"), ("first", "a"), coded=False)
    table = rows(("first", "a"), ("second", "b"))
    assert found(known, table) == [False, True, True, False]


def test_an_id_is_the_same_beside_longer_ones() -> None:
    known, table = rows(("p", "a" * 32)), rows(("p", LONG), ("p", "a" * 32))
    assert found(known, table) == [True, False, True]


def test_rows_of_a_slice_are_those_of_the_slice() -> None:
    table = rows(("p", "a" * 32), ("p", "b" * 32), ("p", "c" * 32), ("p", "b" * 32))
    assert found(table.slice(1)) == [True, False, True]
    assert found(table.slice(2)) == [False, False]


def test_among_many_rows_few_are_asked_about_beside_those_that_stand_twice() -> None:
    ids = [f"{number:032x}" for number in range(50_000)]
    again = may_be_repeated([rows(*(("p", one) for one in [*ids, *ids[:100]]))])
    assert again[:100].all()
    assert again[-100:].all()
    assert again.sum() < 10_000


def test_no_rows_repeat_nothing() -> None:
    assert found(rows(), rows(("p", "a"))) == [False]
    assert found(rows()) == []
