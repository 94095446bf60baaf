"""A sum by a checkpoint: that of all documents, whoever writes, whenever a job ends; and it reads few."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import AccountsInDoubt, DataUnavailable
from engine.ledger.sums import Checkpoint, Summand, checkpoint_of
from engine.stores import ledger_checkpoints
from engine.stores.ledger_checkpoints import net_units_of
from tests.engine.stores.contract.ledgers import (
    UNIT,
    Book,
    EmbeddedBook,
    FirestoreBook,
    Watched,
    plain_sum,
)
from tests.engine.stores.trades import bought

FIRST = date(2026, 3, 2)
DAYS = [(FIRST + timedelta(days=day)).isoformat() for day in range(12)]
SYMBOLS = ["SPY", "QQQ", "BRK.B"]
STRATEGIES = ["momentum", "carry", ""]


class Killed(BaseException):
    """The job ends here."""


def checkpoint(book: Book) -> Checkpoint:
    found = checkpoint_of(book.ledger(FIRST).kept("paper").text or "", "paper")
    assert found is not None
    return found


@pytest.fixture(params=["embedded", "firestore"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Book:
    if request.param == "embedded":
        return EmbeddedBook(tmp_path / "engine.db")
    return FirestoreBook(request.getfixturevalue("firestore_project"))


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_checkpoints, "PAGE_OF_A_WALK", 2)
    monkeypatch.setattr(ledger_checkpoints, "PAGE_OF_A_BUILD", 3)
    monkeypatch.setattr("engine.ledger.sums.NEWER_AT_MOST", 4)


@pytest.fixture
def usual_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all tenth of what they are, so that a tenth of the documents will do."""
    monkeypatch.setattr(ledger_checkpoints, "PAGE_OF_A_WALK", 50)
    monkeypatch.setattr(ledger_checkpoints, "PAGE_OF_A_BUILD", 200)
    monkeypatch.setattr("engine.ledger.sums.NEWER_AT_MOST", 100)


def document(choose: random.Random) -> dict[str, Any]:
    """Return any document of one of two accounts; its id may be that of one before."""
    return bought(
        f"o-{choose.randrange(16)}",
        choose.choice(SYMBOLS),
        choose.choice([-1, 1]) * choose.randrange(1, 10**12) / 10**9,
        account=choose.choice(["paper", "paper", "b"]),
        trading_date=choose.choice(DAYS),
        strategy_id=choose.choice(STRATEGIES),
        session_is_estimated=choose.choice([True, False]),
    )


def agrees(book: Book, today: date) -> None:
    for account in ("paper", "b"):
        assert book.store.net_positions(account, today=today) == plain_sum(book, account)


def disturbed_sum(book: Book, choose: random.Random, today: date, disturb: Callable[[], object]) -> None:
    """Sum, and do something else, or end, at any step of it."""
    with suppress(Killed):
        net_units_of(Watched(book.ledger(today), choose.randrange(1, 12), disturb), "paper", today=today)


def kill() -> None:
    raise Killed


def own_step(book: Book, choose: random.Random, today: date) -> None:
    """Write, or sum until the job is killed or something is written meanwhile; by this engine alone."""

    def write() -> None:
        book.store.write_ledger([document(choose) for _ in range(choose.randrange(1, 4))])

    def summed() -> None:
        disturbed_sum(book, choose, today, choose.choice([write, kill]))

    choose.choice([write, summed])()


def others_step(book: Book, choose: random.Random) -> None:
    """Put, move or delete a document, or damage a checkpoint, as another program would."""
    order_id = f"o-{choose.randrange(16)}"
    steps: list[Callable[[], object]] = [
        lambda: book.others_put(document(choose)),
        lambda: book.others_move(order_id, choose.choice(DAYS)),
        lambda: book.others_delete(order_id),
        lambda: book.damage_checkpoint("paper", lambda text: text[: choose.randrange(len(text) + 1)]),
    ]
    choose.choice(steps)()


def fresh(book: Book) -> Book:
    """Return another, empty ledger of the same kind."""
    number = next(NUMBERS)
    if isinstance(book, EmbeddedBook):
        return EmbeddedBook(book.path.with_name(f"{number}.db"))
    assert isinstance(book, FirestoreBook)
    return FirestoreBook(book.project, f"tenant-{number}")


NUMBERS = itertools.count()
CHOICES = given(st.randoms(use_true_random=False), st.integers(1, 20))


@pytest.mark.usefixtures("small_pages")
def test_whatever_this_engine_writes_and_whenever_it_ends_the_sum_is_that_of_all_documents(
    book: Book,
) -> None:
    examples = 30 if isinstance(book, EmbeddedBook) else 4

    @settings(max_examples=examples, deadline=None)
    @CHOICES
    def check(choose: random.Random, steps: int) -> None:
        ledger, day = fresh(book), choose.randrange(14)
        ledger.store.write_ledger([document(choose)])
        for _ in range(steps):
            own_step(ledger, choose, FIRST + timedelta(days=day))
            if choose.random() < 0.3:
                day = min(day + choose.randrange(3), 14)
                agrees(ledger, FIRST + timedelta(days=day))
        agrees(ledger, FIRST + timedelta(days=day))

    check()


@pytest.mark.usefixtures("small_pages")
def test_whatever_others_write_into_a_file_the_sum_is_that_of_all_documents(tmp_path: Path) -> None:
    @settings(max_examples=20, deadline=None)
    @CHOICES
    def check(choose: random.Random, steps: int) -> None:
        ledger, day = fresh(EmbeddedBook(tmp_path / "engine.db")), choose.randrange(14)
        ledger.store.write_ledger([document(choose)])
        for _ in range(steps):
            today = FIRST + timedelta(days=day)
            others_step(ledger, choose)
            own_step(ledger, choose, today)
            disturbed_sum(ledger, choose, today, lambda: others_step(ledger, choose))
            if choose.random() < 0.3:
                day = min(day + choose.randrange(3), 14)
                agrees(ledger, FIRST + timedelta(days=day))
        agrees(ledger, FIRST + timedelta(days=day))

    check()


@pytest.mark.usefixtures("small_pages")
def test_whatever_others_write_into_firestore_is_found_by_the_walk(firestore_project: str) -> None:
    book = FirestoreBook(firestore_project)

    @settings(max_examples=3, deadline=None)
    @CHOICES
    def check(choose: random.Random, steps: int) -> None:
        ledger, today = fresh(book), FIRST + timedelta(days=choose.randrange(14))
        ledger.store.write_ledger([document(choose)])
        for _ in range(steps):
            others_step(ledger, choose)
            own_step(ledger, choose, today)
        for _ in range(2 * (16 // 2 + 1)):  # two walks of two documents each time
            for account in ("paper", "b"):
                ledger.store.net_positions(account, today=today)
        agrees(ledger, today)

    check()


# --- how much is read


def several(
    number: int, *, first: date = FIRST, days: int = 1, account: str = "paper"
) -> list[dict[str, Any]]:
    """Return documents of so many sessions in turn, one share each."""
    sessions = [(first + timedelta(days=day)).isoformat() for day in range(days)]
    return [
        bought(
            f"{account}-{n:05}", SYMBOLS[n % 3], 1, account=account, trading_date=sessions[n * days // number]
        )
        for n in range(number)
    ]


def watched_sum(book: Book, today: date, *, counting: bool = False) -> tuple[dict[str, int], list[int]]:
    """Return the sum of the account paper and how many documents each query has read."""
    ledger = Watched(book.ledger(today))
    return net_units_of(ledger, "paper", today=today, counting=counting), ledger.read


@pytest.mark.usefixtures("usual_pages")
@pytest.mark.parametrize("number", [100, 600])
def test_a_sum_reads_a_page_and_what_is_newer_however_many_documents_there_are(
    book: Book, number: int
) -> None:
    book.store.write_ledger(several(number, days=number // 10))
    today = FIRST + timedelta(days=number // 10 - 1)
    assert sum(watched_sum(book, today)[1]) >= number
    for _ in range(3):
        net, read = watched_sum(book, today)
        assert sum(net.values()) == number * UNIT
        assert read[0] == 20
        assert read[1] <= 50


@pytest.mark.usefixtures("usual_pages")
def test_a_day_with_more_documents_than_are_read_twice_is_in_the_checkpoint(book: Book) -> None:
    book.store.write_ledger(several(300, days=1))
    watched_sum(book, FIRST)
    assert watched_sum(book, FIRST) == (plain_sum(book), [0, 50])
    book.store.write_ledger([bought("later", "SPY", 5, trading_date=FIRST.isoformat())])
    assert watched_sum(book, FIRST) == (plain_sum(book), [0, 50])


@pytest.mark.usefixtures("usual_pages")
def test_a_late_fill_of_an_old_session_changes_the_checkpoint_by_the_difference(book: Book) -> None:
    documents = several(300, days=30)
    book.store.write_ledger(documents)
    today = FIRST + timedelta(days=29)
    watched_sum(book, today)
    book.store.write_ledger([{**documents[0], "filled_qty": 7.0}, bought("late", "QQQ", 2)])
    net, read = watched_sum(book, today)
    assert net == plain_sum(book) == {"SPY": 106 * UNIT, "QQQ": 102 * UNIT, "BRK.B": 100 * UNIT}
    assert sum(read) <= 70


@pytest.mark.usefixtures("usual_pages")
def test_the_documents_of_an_account_without_trades_of_late_are_not_read_again(book: Book) -> None:
    book.store.write_ledger(several(200, days=4))
    for days in (0, 40, 41):
        net, read = watched_sum(book, FIRST + timedelta(days=days))
    assert sum(net.values()) == 200 * UNIT
    assert (read[0], len(read)) == (0, 2)


# --- a sum that is stopped


@pytest.mark.usefixtures("small_pages")
def test_a_first_sum_that_takes_too_long_says_how_far_it_is_and_the_next_goes_on_there(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_checkpoints, "BUILD_S", 0.0)
    book.store.write_ledger(several(10, days=2))
    today = FIRST + timedelta(days=30)
    for done in (3, 6, 9):
        ledger = Watched(book.ledger(today))
        with pytest.raises(
            DataUnavailable, match=f"paper are being summed up anew: {done} of about 10"
        ) as caught:
            net_units_of(ledger, "paper", today=today)
        assert "nothing is known of its positions" in str(caught.value)
        assert ledger.read == [3]
    assert watched_sum(book, today) == (plain_sum(book), [1, 0, 2])


@pytest.mark.usefixtures("small_pages")
def test_a_page_that_cant_be_read_says_how_far_the_sum_is(book: Book) -> None:
    book.store.write_ledger(several(10, days=2))

    def fail() -> None:
        raise DataUnavailable("no answer within 10 s.")

    today = FIRST + timedelta(days=30)
    ledger = Watched(book.ledger(today), 10, fail)
    with pytest.raises(DataUnavailable, match=r"no answer within 10 s\. .* 3 of about 10 are done"):
        net_units_of(ledger, "paper", today=today)
    assert watched_sum(book, today)[1] == [3, 3, 1, 0, 2]


def test_a_ledger_that_is_written_all_the_time_is_unavailable_in_the_end(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_checkpoints, "_LONGEST_WAIT_S", 0.0)
    book.store.write_ledger(several(3))
    book.store.net_positions("paper", today=FIRST)

    class Busy(Watched):
        def newer(self, known: Checkpoint) -> list[Summand]:
            self.steps += 1
            book.store.write_ledger([bought(f"more-{self.steps}", "SPY", 1)])
            return self.ledger.newer(known)

    with pytest.raises(DataUnavailable, match="was written 20 times while it was summed up"):
        net_units_of(Busy(book.ledger(FIRST)), "paper", today=FIRST)
    assert book.store.net_positions("paper", today=FIRST) == plain_sum(book)


# --- others


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("day", ["20260302", "2019-01-02T14:30:00Z", "", "2026-3-2", "9999-12-32"])
def test_a_document_without_a_session_is_named_wherever_it_is_and_until_it_is_corrected(
    book: Book, day: str
) -> None:
    book.store.write_ledger(several(10, days=2))
    today = FIRST + timedelta(days=30)
    agrees(book, today)
    book.others_put(bought("o-9", "SPY", 1) | {"trading_date": day})
    for _ in range(2):
        with pytest.raises(AccountsInDoubt, match="'o-9' can't be counted: trading_date is "):
            book.store.net_positions("paper", today=today, counting=True)
    book.others_put(bought("o-9", "SPY", 1))
    agrees(book, today)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize(
    ("fault", "is_own"),
    [
        ({"symbol": " "}, True),
        ({"side": "BUY"}, True),
        ({"side": "BUY"}, False),
        ({"filled_qty": "1"}, False),
    ],
)
def test_a_document_that_cant_be_summed_is_named_until_it_is_corrected(
    book: Book, fault: dict[str, Any], is_own: bool
) -> None:
    book.store.write_ledger(several(10, days=2))
    today = FIRST + timedelta(days=30)
    agrees(book, today)
    faulty = bought("o-9", "SPY", 1) | fault
    if is_own:
        book.store.write_ledger([faulty])
    else:
        book.others_put(faulty)
    for _ in range(2):
        with pytest.raises(DataUnavailable, match="ledger document o-9 can't be summed") as caught:
            book.store.net_positions("paper", today=today, counting=True)
        assert str(caught.value).startswith(book.store.place)
    book.others_put(bought("o-9", "SPY", 1))
    agrees(book, today)


@pytest.mark.parametrize("has_grown", [True, False])
def test_documents_that_others_put_or_delete_in_old_sessions_are_found_once_a_session_and_when_counting(
    firestore_project: str, has_grown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_checkpoints, "PAGE_OF_A_WALK", 2)
    book, today = FirestoreBook(firestore_project), FIRST + timedelta(days=30)
    book.store.write_ledger([*several(20), *several(3, account="b")])
    agrees(book, today)

    def change(order_id: str) -> dict[str, int]:
        before = plain_sum(book)
        if has_grown:
            book.others_put(bought(f"z-{order_id}", "SPY", 1))
        else:
            book.others_delete(order_id)
        return before

    before = change("paper-00017")
    assert book.store.net_positions("paper", today=today) == before
    assert book.store.net_positions("paper", today=today, counting=True) == plain_sum(book) != before
    before = change("paper-00018")
    assert book.store.net_positions("paper", today=today) == before
    agrees(book, today + timedelta(days=1))


# --- the checkpoint itself


def test_a_checkpoint_has_units_by_symbol_and_strategy_a_count_and_a_hash(book: Book) -> None:
    book.store.write_ledger(
        [
            bought("o-1", "SPY", 10, strategy_id="momentum"),
            bought("o-2", "SPY", -4, strategy_id="carry"),
            bought("o-3", "spy", 1),
            bought("o-4", "QQQ", 2, strategy_id=""),
            bought("o-5", "QQQ", 3, trading_date="2026-04-02"),
        ]
    )
    today = date(2026, 4, 2)
    assert book.store.net_positions("paper", today=today) == {"SPY": 7 * UNIT, "QQQ": 5 * UNIT}
    kept = json.loads(book.ledger(FIRST).kept("paper").text or "")["checkpoint"]
    assert kept["through"] == "2026-03-31"
    assert kept["total"]["count"] == 4
    assert kept["total"]["units"] == {
        "SPY": {"momentum": 10 * UNIT, "carry": -4 * UNIT, "": UNIT},
        "QQQ": {"": 2 * UNIT},
    }
    book.store.write_ledger([bought("o-2", "SPY", -10, strategy_id="carry")])
    total = checkpoint(book).total
    assert total is not None
    assert total.units["SPY", "carry"] == -10 * UNIT


def forged(text: str) -> str:
    """Return a checkpoint that says other units, with a hash that is right."""
    checkpoint = checkpoint_of(text, "paper")
    assert checkpoint is not None
    assert checkpoint.total is not None
    total = replace(checkpoint.total, units={("SPY", ""): 1})
    return replace(checkpoint, total=total).text()


def changed_by_hand(text: str) -> str:
    kept = json.loads(text)
    kept["checkpoint"]["total"]["units"] = {"SPY": {"": 1}}
    return json.dumps(kept)


@pytest.mark.parametrize(
    "change", [forged, changed_by_hand, lambda text: "", lambda text: "[]", lambda text: text[1:]]
)
def test_a_checkpoint_that_is_wrong_is_made_again(book: Book, change: Callable[[str], str]) -> None:
    book.store.write_ledger(several(10, days=2))
    today = FIRST + timedelta(days=30)
    agrees(book, today)
    book.damage_checkpoint("paper", change)
    agrees(book, today)


@pytest.mark.usefixtures("small_pages")
def test_a_forged_checkpoint_is_found_once_the_walk_has_met_every_document(book: Book) -> None:
    book.store.write_ledger(several(10, days=2))
    today = FIRST + timedelta(days=30)
    agrees(book, today)
    book.damage_checkpoint("paper", forged)
    for _ in range(6):
        book.store.net_positions("paper", today=today)
    agrees(book, today)


def test_a_checkpoint_of_a_newer_engine_asks_for_an_update(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.store.write_ledger(several(3))
    with monkeypatch.context() as patched:
        patched.setattr("engine.ledger.sums.VERSION", 2)
        patched.setattr(ledger_checkpoints, "VERSION", 2)
        book.store.net_positions("paper", today=FIRST)
    with pytest.raises(DataUnavailable, match="update the engine"):
        book.store.net_positions("paper", today=FIRST)


def test_a_checkpoint_of_another_account_is_none(book: Book) -> None:
    book.store.write_ledger([*several(3), *several(2, account="b")])
    agrees(book, FIRST)
    text = book.ledger(FIRST).kept("b").text or ""
    assert checkpoint_of(text, "b") is not None
    assert checkpoint_of(text, "paper") is None


def test_an_account_without_documents_sums_to_nothing_and_leaves_nothing(book: Book) -> None:
    book.store.write_ledger(several(1))
    assert book.store.net_positions("idle", today=FIRST) == {}
    assert book.ledger(FIRST).kept("idle").text is None
