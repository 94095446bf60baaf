"""What every store of the ledger must say of strategies: what each holds, the rest, and their trades."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import AccountsInDoubt, DataUnavailable
from engine.ledger.documents import adjustment_document
from engine.ledger.strategies import ANY_STRATEGY, NO_STRATEGY, StrategyBook
from engine.reconciliation.assignments import Assignment, Decision, assignment_documents
from engine.stores import ledger_checkpoints
from engine.stores.ledger_checkpoints import strategy_book_of
from engine.stores.protocols import LedgerStore
from tests.engine.stores.contract.ledgers import UNIT, Book, EmbeddedBook, FirestoreBook, Watched
from tests.engine.stores.trades import SESSION, bought, counted, trade

NOON = datetime(2026, 3, 2, 17, tzinfo=UTC)
NUMBERS = itertools.count()


@pytest.fixture(params=["embedded", "firestore"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Book:
    if request.param == "embedded":
        return EmbeddedBook(tmp_path / "engine.db")
    return FirestoreBook(request.getfixturevalue("firestore_project"))


@pytest.fixture
def store(book: Book) -> LedgerStore:
    return book.store


def of(strategy: str, order: str, symbol: str, qty: float, **said: Any) -> dict[str, Any]:
    """Return the document of a strategy's filled order."""
    return bought(order, symbol, qty, strategy_id=strategy, **said)


def balanced(symbol: str, qty: float, *, account: str = "paper", **said: Any) -> dict[str, Any]:
    return adjustment_document(
        account=account,
        symbol=symbol,
        qty=qty,
        kind="opening_balance",
        by="engine",
        why="the account was new",
        at=NOON,
        trading_date=SESSION,
        evidence=said,
    )


def trades(store: LedgerStore, *accounts: str, day: date = SESSION) -> dict[tuple[str, str, str], int]:
    """Return the trades that a ledger counts, by strategy, account and symbol."""
    frame = store.strategy_trade_counts(accounts, day)
    assert list(frame.columns) == ["strategy_id", "broker_account_id", "symbol", "trades"]
    assert frame["trades"].dtype == "int64"
    keys = zip(frame["strategy_id"], frame["broker_account_id"], frame["symbol"], strict=True)
    found = dict(zip(keys, frame["trades"], strict=True))
    assert len(found) == len(frame)
    return found


# --- what they hold


def test_each_strategy_holds_what_its_own_fills_come_to_and_the_rest_is_the_accounts(
    store: LedgerStore,
) -> None:
    store.write_ledger(
        [
            of("momentum", "o-1", "SPY", 10),
            of("momentum", "o-2", "SPY", -4),
            of("carry", "o-3", "SPY", -2.5),
            of("carry", "o-4", "QQQ", 0.1),
            bought("o-5", "QQQ", 0.2),
            balanced("SPY", 100),
        ]
    )
    found = store.strategy_book("paper")
    assert found.held_by("momentum") == {"SPY": 6 * UNIT}
    assert found.held_by("carry") == {"SPY": -25 * UNIT // 10, "QQQ": UNIT // 10}
    assert found.held_by(NO_STRATEGY) == {"SPY": 100 * UNIT, "QQQ": 2 * UNIT // 10}
    assert found.strategies == ["carry", "momentum"]
    assert (
        found.of_account == store.net_positions("paper") == {"SPY": 1035 * UNIT // 10, "QQQ": 3 * UNIT // 10}
    )
    assert found.differing() == {}


def test_what_is_flat_is_left_out(store: LedgerStore) -> None:
    store.write_ledger([of("momentum", "o-1", "SPY", 10), of("momentum", "o-2", "SPY", -10)])
    assert store.strategy_book("paper") == StrategyBook()


def test_two_strategies_may_hold_the_opposite_of_each_other(store: LedgerStore) -> None:
    store.write_ledger([of("momentum", "o-1", "SPY", 10), of("carry", "o-2", "SPY", -10)])
    found = store.strategy_book("paper")
    assert found.by_strategy == {("momentum", "SPY"): 10 * UNIT, ("carry", "SPY"): -10 * UNIT}
    assert found.of_account == {}
    assert found.differing() == {}


def test_accounts_and_names_are_compared_as_they_are(store: LedgerStore) -> None:
    store.write_ledger(
        [
            of("Momentum", "o-1", "SPY", 1),
            of("momentum", "o-2", "SPY", 2),
            of("a' OR '1'='1", "o-3", "SPY", 4),
            of("momentum", "o-4", "SPY", 8, account="b"),
        ]
    )
    assert store.strategy_book("paper").by_strategy == {
        ("Momentum", "SPY"): UNIT,
        ("momentum", "SPY"): 2 * UNIT,
        ("a' OR '1'='1", "SPY"): 4 * UNIT,
    }
    assert store.strategy_book("b").by_strategy == {("momentum", "SPY"): 8 * UNIT}
    assert store.strategy_book("idle") == StrategyBook()


def test_spellings_of_one_instrument_are_one_position(store: LedgerStore) -> None:
    store.write_ledger([of("carry", "o-1", "BTC/USD", 1), of("carry", "o-2", "BTCUSD", 2)])
    assert store.strategy_book("paper").by_strategy == {("carry", "BTC/USD"): 3 * UNIT}


@pytest.mark.parametrize("value", [7, True, ["momentum"], {"name": "momentum"}], ids=repr)
def test_a_strategy_that_is_no_text_may_be_any(book: Book, value: object) -> None:
    book.store.write_ledger([of("momentum", "o-1", "SPY", 1)])
    book.others_put(bought("o-9", "SPY", 2) | {"strategy_id": value})
    book.others_put(bought("o-8", "QQQ", 4) | {"strategy_id": None})
    found = book.store.strategy_book("paper")
    assert found.by_strategy == {
        ("momentum", "SPY"): UNIT,
        (ANY_STRATEGY, "SPY"): 2 * UNIT,
        (NO_STRATEGY, "QQQ"): 4 * UNIT,
    }
    assert found.of_account == {"SPY": 3 * UNIT, "QQQ": 4 * UNIT}
    assert trades(book.store, "paper") == {
        ("momentum", "paper", "SPY"): 1,
        (ANY_STRATEGY, "paper", "SPY"): 1,
        (NO_STRATEGY, "paper", "QQQ"): 1,
    }


def test_a_document_that_cant_be_summed_leaves_no_strategy_known(store: LedgerStore) -> None:
    store.write_ledger([of("momentum", "o-1", "SPY", 1), of("carry", "o-2", "SPY", 1) | {"side": "BUY"}])
    with pytest.raises(DataUnavailable, match=r"ledger document o-2 can't be summed: .*side 'BUY'") as caught:
        store.strategy_book("paper")
    assert str(caught.value).startswith(store.place)


def test_a_document_without_a_session_is_named(book: Book) -> None:
    book.store.write_ledger([of("momentum", "o-1", "SPY", 1)])
    book.others_put(of("momentum", "o-9", "SPY", 1) | {"trading_date": "20260302"})
    for read in (book.store.strategy_book, lambda one: book.store.strategy_trade_counts([one], SESSION)):
        with pytest.raises(AccountsInDoubt, match="'o-9' can't be counted: trading_date is "):
            read("paper")


# --- what is read, and that nothing is written


def several(number: int, *, days: int) -> list[dict[str, Any]]:
    sessions = [(SESSION + timedelta(days=day)).isoformat() for day in range(days)]
    return [
        of(f"s{n % 3}", f"o-{n:05}", "SPY", 1, trading_date=sessions[n * days // number])
        for n in range(number)
    ]


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_checkpoints, "PAGE_OF_A_WALK", 2)
    monkeypatch.setattr(ledger_checkpoints, "PAGE_OF_A_BUILD", 3)


@pytest.mark.parametrize("number", [40, 160])
def test_a_book_reads_what_is_newer_than_the_checkpoint_however_many_documents_there_are(
    book: Book, number: int
) -> None:
    book.store.write_ledger(several(number, days=number // 4))
    today = SESSION + timedelta(days=number // 4 - 1)
    book.store.net_positions("paper", today=today)
    book.store.net_positions("paper", today=today)
    ledger = Watched(book.ledger(today))
    found = strategy_book_of(ledger, "paper", today=today)
    assert found.of_account == {"SPY": number * UNIT}
    assert ledger.read == [8]  # of two sessions, four in each


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("has_checkpoint", [False, True])
def test_nothing_is_written(book: Book, has_checkpoint: bool) -> None:
    book.store.write_ledger(several(10, days=5))
    today = SESSION + timedelta(days=9)
    if has_checkpoint:
        book.store.net_positions("paper", today=SESSION)
    before = book.ledger(today).kept("paper")
    found = book.store.strategy_book("paper", today=today)
    assert found.by_strategy == {("s0", "SPY"): 4 * UNIT, ("s1", "SPY"): 3 * UNIT, ("s2", "SPY"): 3 * UNIT}
    assert book.ledger(today).kept("paper") == before


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("at_step", range(1, 9))
def test_a_book_is_that_of_before_a_write_or_of_after_it_wherever_it_is_written(
    book: Book, at_step: int
) -> None:
    book.store.write_ledger(several(10, days=5))
    book.store.net_positions("paper", today=SESSION)
    today = SESSION + timedelta(days=9)

    def write() -> None:
        late = [of("s0", "o-00000", "SPY", 7), of("s1", "late", "QQQ", 1)]
        book.store.write_ledger(late)

    ledger = Watched(book.ledger(today), at_step, write)
    found = strategy_book_of(ledger, "paper", today=today)
    assert found.differing() == {}
    before = {("s0", "SPY"): 4 * UNIT, ("s1", "SPY"): 3 * UNIT, ("s2", "SPY"): 3 * UNIT}
    after = before | {("s0", "SPY"): 10 * UNIT, ("s1", "QQQ"): UNIT}
    assert found.by_strategy in (before, after)


@pytest.mark.usefixtures("small_pages")
def test_a_document_added_while_a_first_sum_is_made_in_memory_is_in_it(book: Book) -> None:
    book.store.write_ledger(several(10, days=5))
    put: list[str] = []

    def others_put() -> None:
        put.append(f"a-{len(put)}")
        book.others_put(of("s3", put[-1], "IWM", 1))

    for at_step in range(1, 16):
        before = len(put)
        found = strategy_book_of(Watched(book.ledger(SESSION), at_step, others_put), "paper", today=SESSION)
        assert found.held_by("s3").get("IWM", 0) in {before * UNIT, len(put) * UNIT}
        assert found.differing() == {}
    assert len(put) > 6


@pytest.mark.usefixtures("small_pages")
def test_documents_that_others_put_into_old_sessions_are_found_by_counting(book: Book) -> None:
    book.store.write_ledger(several(10, days=5))
    today = SESSION + timedelta(days=20)
    book.store.net_positions("paper", today=today - timedelta(days=1))
    book.others_put(of("s0", "a-1", "SPY", 1))
    assert book.store.strategy_book("paper", today=today).held_by("s0") == {"SPY": 5 * UNIT}


@pytest.mark.usefixtures("small_pages")
def test_a_first_sum_that_takes_too_long_says_how_to_have_it_kept(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_checkpoints, "BUILD_S", -1.0)
    book.store.write_ledger(several(10, days=5))
    with pytest.raises(DataUnavailable, match="being summed up anew: 3 of about 10 are done") as caught:
        book.store.strategy_book("paper", today=SESSION + timedelta(days=9))
    assert "Run execution-engine sync with live settings: it keeps" in str(caught.value)


# --- their trades


def test_trades_are_counted_by_strategy_account_and_symbol_and_are_those_of_the_account(
    store: LedgerStore,
) -> None:
    store.write_ledger(
        [
            of("momentum", "o-1", "SPY", 1),
            of("momentum", "o-2", "SPY", -1),
            of("momentum", "o-3", "BTC/USD", 1),
            of("momentum", "o-4", "BTCUSD", 1),
            of("carry", "o-5", "SPY", 1),
            of("carry", "o-6", "SPY", 1, account="b"),
            of("carry", "o-7", "SPY", 1, trading_date="2026-02-27"),
            of("carry", "o-8", "SPY", -1, exit_of="o-5", counts_as_trade=False),
            of("carry", "o-9", "SPY", -1, counts_as_trade=None),
            bought("o-10", "QQQ", 1),
            balanced("IWM", 7),
            of("carry", "o-11", "SPY", 1, account="other"),
        ]
    )
    assert trades(store, "paper", "b", "paper") == {
        ("momentum", "paper", "SPY"): 2,
        ("momentum", "paper", "BTC/USD"): 2,
        ("carry", "paper", "SPY"): 2,
        (NO_STRATEGY, "paper", "QQQ"): 1,
        ("carry", "b", "SPY"): 1,
    }
    assert counted(store, "paper", "b") == {"paper": 7, "b": 1}


@pytest.mark.parametrize("accounts", [[], ["idle"]])
def test_no_trades_are_no_rows(store: LedgerStore, accounts: list[str]) -> None:
    store.write_ledger([of("momentum", "o-1", "SPY", 1)])
    assert trades(store, *accounts) == {}


@pytest.mark.parametrize("symbol", [None, " ", 7])
def test_a_trade_without_a_symbol_leaves_its_account_in_doubt(store: LedgerStore, symbol: Any) -> None:
    store.write_ledger(
        [
            of("momentum", "o-1", "SPY", 1),
            of("momentum", "o-2", "SPY", 1) | {"symbol": symbol},
            of("carry", "o-3", "SPY", 1, account="b"),
        ]
    )
    with pytest.raises(AccountsInDoubt, match="Ledger document 'o-2' can't be counted by symbol") as caught:
        store.strategy_trade_counts(["paper", "b"], SESSION)
    assert caught.value.accounts == ("paper",)
    assert str(caught.value).startswith(store.place)
    assert trades(store, "b") == {("carry", "b", "SPY"): 1}


@pytest.mark.parametrize("account", ["Paper", "paper ", "pa\u200bper", " "])
def test_a_trade_of_an_account_that_looks_alike_leaves_it_in_doubt(book: Book, account: str) -> None:
    book.store.write_ledger([of("momentum", "o-1", "SPY", 1), of("carry", "o-2", "SPY", 1, account="b")])
    book.others_put(of("momentum", "o-9", "SPY", 1, account=account))
    with pytest.raises(AccountsInDoubt, match="'o-9' can't be counted: broker_account_id is "):
        book.store.strategy_trade_counts(["paper", "b"], SESSION)


def test_many_accounts_are_counted(store: LedgerStore) -> None:
    store.write_ledger([of("s", f"o-{n}", "SPY", 1, account=f"a-{n}") for n in range(600)])
    accounts = [f"a-{n}" for n in range(600)]
    assert trades(store, *accounts) == {("s", account, "SPY"): 1 for account in accounts}


def test_a_document_of_a_trade_with_no_strategy_and_no_symbol_is_no_trade_where_it_says_so(
    store: LedgerStore,
) -> None:
    store.write_ledger([trade("o-1") | {"counts_as_trade": False}, of("momentum", "o-2", "SPY", 1)])
    assert trades(store, "paper") == {("momentum", "paper", "SPY"): 1}


# --- assignments


def test_an_assignment_moves_shares_between_books_and_nothing_else(store: LedgerStore) -> None:
    store.write_ledger([of("momentum", "o-1", "SPY", 10), balanced("SPY", 100)])
    before = store.net_positions("paper")
    counts = counted(store, "paper")
    wanted = Assignment(account="paper", symbol="SPY", units=30 * UNIT, source=NO_STRATEGY, target="carry")
    decided = Decision(by="ada", why="carry traded by phone", at=NOON, trading_date=SESSION)
    documents = assignment_documents(wanted, store.strategy_book("paper"), decided)
    assert store.write_ledger(documents) == 2
    assert store.write_ledger(documents) == 0
    assert store.strategy_book("paper").by_strategy == {
        ("momentum", "SPY"): 10 * UNIT,
        (NO_STRATEGY, "SPY"): 70 * UNIT,
        ("carry", "SPY"): 30 * UNIT,
    }
    assert store.net_positions("paper") == before
    assert counted(store, "paper") == counts
    assert trades(store, "paper") == {("momentum", "paper", "SPY"): 1}


# --- whatever happens to the books


def happening(choose: random.Random, number: int, orders: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the document of a fill, a later fill, a late one, a correction, a bust or an adjustment."""
    symbol = choose.choice(["SPY", "QQQ", "BTC/USD", "BTCUSD"])
    day = (SESSION + timedelta(days=choose.randrange(8))).isoformat()
    qty = choose.choice([-1, 1]) * choose.randrange(1, 10**12) / 10**9
    kind = choose.choice(["fill", "fill", "more", "correction", "bust", "adjustment", "manual"])
    if kind == "fill" or not orders:
        new = of(choose.choice(["momentum", "carry", "x"]), f"o-{number}", symbol, qty, trading_date=day)
        orders[new["broker_order_id"]] = new
        return new
    old = choose.choice(list(orders.values()))
    if kind == "more":
        old["filled_qty"] = round(old["filled_qty"] + abs(qty), 9)
        return dict(old)
    if kind == "manual":
        return bought(f"m-{number}", symbol, qty, trading_date=day)
    sign = -1 if old["side"] == "buy" else 1
    of_order = {"bust": sign * old["filled_qty"], "correction": sign * 0.5}.get(kind, qty)
    named = symbol if kind == "adjustment" else old["symbol"]
    return balanced(named, of_order, number=number) | {"trading_date": day}


@pytest.mark.usefixtures("small_pages")
def test_whatever_is_booked_the_strategies_and_the_rest_add_up_to_the_account(book: Book) -> None:
    examples = 40 if isinstance(book, EmbeddedBook) else 4

    @settings(max_examples=examples, deadline=None)
    @given(st.randoms(use_true_random=False), st.integers(1, 25))
    def check(choose: random.Random, steps: int) -> None:
        ledger = fresh(book)
        orders: dict[str, dict[str, Any]] = {}
        kept: dict[str, dict[str, Any]] = {}
        day = 0
        for number in range(steps):
            new = happening(choose, number, orders)
            kept[new["broker_order_id"]] = new
            ledger.store.write_ledger([new])
            day += choose.randrange(3)
            if choose.random() < 0.4:
                ledger.store.net_positions("paper", today=SESSION + timedelta(days=day))
            if choose.random() < 0.4:
                check_book(ledger, kept.values(), SESSION + timedelta(days=day))
        check_book(ledger, kept.values(), SESSION + timedelta(days=day))

    check()


def check_book(ledger: Book, documents: Any, today: date) -> None:
    found = ledger.store.strategy_book("paper", today=today)
    expected: Counter[tuple[str, str]] = Counter()
    for one in documents:
        units = round(Fraction(one["filled_qty"]) * UNIT)
        symbol = one["symbol"].replace("BTCUSD", "BTC/USD")
        expected[one.get("strategy_id", ""), symbol] += units if one["side"] == "buy" else -units
    assert found.by_strategy == {key: units for key, units in expected.items() if units}
    assert found.differing() == {}
    assert found.of_account == ledger.store.net_positions("paper", today=today)


def fresh(book: Book) -> Book:
    number = next(NUMBERS)
    if isinstance(book, EmbeddedBook):
        return EmbeddedBook(book.path.with_name(f"{number}.db"))
    assert isinstance(book, FirestoreBook)
    return FirestoreBook(book.project, f"tenant-{number}")
