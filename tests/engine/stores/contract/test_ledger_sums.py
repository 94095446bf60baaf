"""What every store of the ledger must say of an account: what its documents sum to, and the recent ones."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.errors import DataUnavailable
from engine.ledger.documents import adjustment_document
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.firestore.store import FirestoreStore
from engine.stores.protocols import LedgerStore
from tests.engine.stores.trades import SESSION, bought, counted, trade

NOON = datetime(2026, 3, 2, 17, tzinfo=UTC)
UNIT = 1_000_000_000


@pytest.fixture(params=["embedded", "firestore"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> LedgerStore:
    if request.param == "embedded":
        return EmbeddedStore(tmp_path / "engine.db")
    return FirestoreStore(request.getfixturevalue("firestore_project"), timeout_s=60)


def balanced(symbol: str, qty: float, **said: Any) -> dict[str, Any]:
    """Return an adjustment of the account ``paper``."""
    return adjustment_document(
        account="paper",
        symbol=symbol,
        qty=qty,
        kind="manual_trade",
        by="ada",
        why="bought by hand",
        at=NOON,
        trading_date=SESSION,
        evidence=said,
    )


def test_buys_count_up_and_sells_count_down(store: LedgerStore) -> None:
    store.write_ledger(
        [
            bought("o-1", "SPY", 10),
            bought("o-2", "SPY", -4),
            bought("o-3", "QQQ", -2.5),
            bought("o-4", "IWM", 3),
            bought("o-5", "IWM", -3),
        ]
    )
    assert store.net_positions("paper") == {"SPY": 6 * UNIT, "QQQ": -25 * UNIT // 10}


def test_an_account_without_documents_has_no_positions(store: LedgerStore) -> None:
    store.write_ledger([bought("o-1", "SPY", 10)])
    assert store.net_positions("idle") == {}
    assert store.account_documents("idle", since=date(2000, 1, 1)) == []


def test_accounts_are_summed_apart_and_compared_as_they_are(store: LedgerStore) -> None:
    accounts = ["paper", "Paper", "a' OR '1'='1", "ü/b.c`"]
    store.write_ledger([bought(f"o-{n}", "SPY", n + 1, account=name) for n, name in enumerate(accounts)])
    assert [store.net_positions(name) for name in accounts] == [{"SPY": n * UNIT} for n in (1, 2, 3, 4)]


def test_tenths_sum_exactly(store: LedgerStore) -> None:
    store.write_ledger([*(bought(f"o-{n}", "SPY", 0.1) for n in range(10)), bought("o-10", "QQQ", 1e-9)])
    assert store.net_positions("paper") == {"SPY": UNIT, "QQQ": 1}


def test_an_orders_later_fills_count_once(store: LedgerStore) -> None:
    for filled in (4.0, 7.0, 10.0):
        store.write_ledger([bought("o-1", "SPY", filled)])
    assert store.net_positions("paper") == {"SPY": 10 * UNIT}


def test_every_session_and_every_exit_of_a_group_is_summed(store: LedgerStore) -> None:
    store.write_ledger(
        [
            bought("o-1", "SPY", 10, trading_date="2020-01-02"),
            bought("o-2", "SPY", -3, exit_of="o-1", counts_as_trade=False),
        ]
    )
    assert store.net_positions("paper") == {"SPY": 7 * UNIT}


def test_more_documents_than_a_request_writes_are_all_summed(store: LedgerStore) -> None:
    store.write_ledger([bought(f"o-{n}", f"S{n % 7}", 1) for n in range(1500)])
    assert sum(store.net_positions("paper").values()) == 1500 * UNIT
    assert len(store.account_documents("paper", since=SESSION)) == 1500


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"symbol": None}, "symbol is None"),
        ({"symbol": " "}, "symbol is ' '"),
        ({"symbol": 1}, "symbol is 1"),
        ({"side": None}, "side None"),
        ({"side": ""}, "side ''"),
        ({"side": "BUY"}, "side 'BUY'"),
        ({"side": ["buy"]}, r"side \['buy'\]"),
        ({"filled_qty": 1e9}, "filled_qty 1000000000"),
        ({"filled_qty": 2**62}, f"filled_qty {2**62}"),
    ],
)
def test_a_document_that_cant_be_summed_makes_all_of_its_account_unavailable(
    store: LedgerStore, fault: dict[str, Any], said: str
) -> None:
    store.write_ledger(
        [bought("o-1", "SPY", 1), bought("o-2", "QQQ", 1) | fault, bought("o-3", "SPY", 1, account="b")]
    )
    with pytest.raises(DataUnavailable, match=rf"ledger document o-2 can't be summed: .*{said}") as caught:
        store.net_positions("paper")
    assert str(caught.value).startswith(store.place)
    assert str(caught.value).endswith("Correct that document, and sync again.")
    assert store.net_positions("b") == {"SPY": UNIT}


@pytest.mark.parametrize(
    ("lacking", "said"),
    [("symbol", "symbol is None"), ("side", "side None"), ("filled_qty", "filled_qty None")],
)
def test_a_document_that_lacks_what_is_summed_makes_all_of_its_account_unavailable(
    store: LedgerStore, lacking: str, said: str
) -> None:
    document = bought("o-2", "SPY", 1)
    del document[lacking]
    store.write_ledger([bought("o-1", "SPY", 1), document])
    with pytest.raises(DataUnavailable, match=rf"ledger document o-2 can't be summed: .*{said}"):
        store.net_positions("paper")


FILLS = st.tuples(
    st.sampled_from(["SPY", "QQQ", "BRK.B", "spy", "BTC/USD"]),
    st.sampled_from([1, -1]),
    st.decimals(min_value=0, max_value=999_999, places=9, allow_nan=False)
    | st.integers(0, 10**9 - 1)
    | st.floats(0, 1000),
)


def test_any_documents_sum_to_what_fractions_sum_to(store: LedgerStore) -> None:
    fresh = itertools.count()

    @settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(FILLS, max_size=12))
    @example(fills=[("SPY", 1, 5e-10)])  # whose float is a little more than half a unit
    @example(fills=[("SPY", 1, 1.5e-9), ("SPY", -1, 2.5e-9)])
    def check(fills: list[tuple[str, int, Any]]) -> None:
        account = f"account-{next(fresh)}"
        documents = [
            bought(f"{account}-{n}", symbol, float(qty), account=account)
            | {"side": "buy" if sign > 0 else "sell"}
            for n, (symbol, sign, qty) in enumerate(fills)
        ]
        store.write_ledger(documents)
        net: Counter[str] = Counter()
        for symbol, sign, qty in fills:
            net[symbol.upper()] += sign * round(Fraction(float(qty)) * UNIT)
        assert store.net_positions(account) == {symbol: units for symbol, units in net.items() if units}

    check()


# --- adjustments


def test_an_adjustment_balances_and_is_no_trade(store: LedgerStore) -> None:
    store.write_ledger([bought("o-1", "SPY", 10), balanced("SPY", -4.5), balanced("QQQ", 2)])
    assert store.net_positions("paper") == {"SPY": 55 * UNIT // 10, "QQQ": 2 * UNIT}
    assert counted(store, "paper") == {"paper": 1}


def test_an_adjustment_of_nothing_changes_nothing(store: LedgerStore) -> None:
    store.write_ledger([balanced("SPY", 0, broker_order_id="o-9")])
    assert store.net_positions("paper") == {}
    assert counted(store, "paper") == {}
    (kept,) = store.account_documents("paper", since=SESSION)
    assert kept["evidence"] == {"broker_order_id": "o-9"}


def test_an_adjustment_is_kept_once_and_as_it_was_first_accepted(store: LedgerStore) -> None:
    first = balanced("SPY", 4, activities=["a-1", ["a-2"]])
    assert store.write_ledger([first]) == 1
    later = first | {"by": "bob", "why": "again", "accepted_at": "2027-01-01T00:00:00+00:00", "note": "?"}
    assert store.write_ledger([first]) == 0
    assert store.write_ledger([later]) == 0
    assert store.ledger_document(first["broker_order_id"]) == first
    assert store.net_positions("paper") == {"SPY": 4 * UNIT}


def test_adjustments_come_without_the_documents_of_orders_and_of_other_accounts(store: LedgerStore) -> None:
    late, early, old = (
        balanced("SPY", 1) | {"trading_date": "2026-03-03"},
        balanced("QQQ", 2),
        balanced("IWM", 3) | {"trading_date": "2026-02-27"},
    )
    of_another = {"broker_order_id": "adjustment-0", "broker_account_id": "b", "trading_date": "2026-03-03"}
    named_alike = trade("adjustment"), trade("adjustments-1"), trade("b-adjustment-1")
    store.write_ledger([late, early, old, of_another, *named_alike, trade("o-1")])
    assert store.adjustments("paper", since=SESSION) == [early, late]
    assert store.adjustments("paper", since=date(2026, 2, 27)) == [old, early, late]
    assert store.adjustments("nobody", since=SESSION) == []


# --- documents


def test_documents_of_many_orders_are_read_at_once_and_those_without_one_are_left_out(
    store: LedgerStore,
) -> None:
    documents = {f"o-{n}": trade(f"o-{n}", filled=n + 1) for n in range(501)}
    store.write_ledger(documents.values())
    assert store.ledger_documents([*documents, "o-1", "none", "o/1", "__x__", ""]) == documents
    assert store.ledger_documents(["none"]) == {}
    assert store.ledger_documents([]) == {}


def test_whether_an_account_has_documents(store: LedgerStore) -> None:
    assert not store.has_documents("paper")
    store.write_ledger([trade("o-1")])
    assert store.has_documents("paper")
    assert not store.has_documents("b")


def test_documents_come_from_their_session_on_whole_and_by_session_and_id(store: LedgerStore) -> None:
    days = {"o-3": "2026-02-27", "o-1": "2026-03-03", "o-2": "2026-03-02", "o-0": "2026-03-03"}
    documents = {
        order: trade(order, day=day) | {"raw_broker_order": {"legs": [[order]], "qty": "1"}}
        for order, day in days.items()
    }
    store.write_ledger([*documents.values(), trade("o-4", account="b", day="2026-03-03")])
    found = store.account_documents("paper", since=date(2026, 3, 2))
    assert found == [documents[order] for order in ("o-2", "o-0", "o-1")]
    assert len(store.account_documents("paper", since=date(2026, 2, 27))) == 4
    assert store.account_documents("paper", since=date(2026, 3, 4)) == []
    assert [one["broker_order_id"] for one in store.account_documents("b", since=SESSION)] == ["o-4"]


def test_a_quantity_that_is_no_number_was_never_kept(store: LedgerStore) -> None:
    with pytest.raises(Exception, match="filled_qty is nan"):
        store.write_ledger([bought("o-1", "SPY", 1) | {"filled_qty": math.nan}])
    assert store.net_positions("paper") == {}
