"""A sum by a checkpoint: that of all documents, whoever writes, whenever a job ends; and it reads few."""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import AccountsInDoubt, DataUnavailable
from engine.ledger.sums import Checkpoint, Summand, checkpoint_of
from engine.stores import ledger_checkpoints
from engine.stores.embedded.file import EmbeddedFile
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.embedded.sums import EmbeddedSums
from engine.stores.ledger_checkpoints import Kept, SummedLedger, net_units_of
from tests.engine.stores.trades import bought

UNIT = 1_000_000_000
FIRST = date(2026, 3, 2)
DAYS = [(FIRST + timedelta(days=day)).isoformat() for day in range(12)]
SYMBOLS = ["SPY", "QQQ", "BRK.B"]
STRATEGIES = ["momentum", "carry", ""]


class Killed(BaseException):
    """The job ends here."""


@dataclass
class Watched:
    """A ledger that counts what is read of it, and is disturbed at one of its steps."""

    ledger: SummedLedger
    at_step: int = -1
    disturb: Callable[[], object] = lambda: None
    steps: int = 0
    read: list[int] = field(default_factory=list)

    @property
    def place(self) -> str:
        return self.ledger.place

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self.at_step:
            self.disturb()

    def kept(self, account: str) -> Kept:
        self._step()
        return self.ledger.kept(account)

    def keep(self, checkpoint: Checkpoint, *, replacing: Kept) -> bool:
        self._step()
        done = self.ledger.keep(checkpoint, replacing=replacing)
        self._step()
        return done

    def page(self, account: str, *, through: str, after: tuple[str, ...], limit: int) -> list[Summand]:
        found = self.ledger.page(account, through=through, after=after, limit=limit)
        self.read.append(len(found))
        self._step()
        return found

    def newer(self, account: str, *, through: str) -> list[Summand]:
        found = self.ledger.newer(account, through=through)
        self.read.append(len(found))
        self._step()
        return found

    def count(self, account: str) -> int:
        self._step()
        return self.ledger.count(account)


@dataclass
class Book:
    """A ledger in a file, with others who write into it, and what is in it, read by other means."""

    path: Path

    @property
    def store(self) -> EmbeddedStore:
        return EmbeddedStore(self.path)

    @property
    def ledger(self) -> SummedLedger:
        return EmbeddedSums(EmbeddedFile(self.path))

    def others_put(self, document: dict[str, Any]) -> None:
        keys = [document[name] for name in ("broker_order_id", "broker_account_id", "trading_date")]
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(
                "INSERT OR REPLACE INTO ledger_trades VALUES (?, ?, ?, ?)", (*keys, json.dumps(document))
            )

    def others_move(self, order_id: str, day: str) -> None:
        """Change the session of a document in place."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(
                "UPDATE ledger_trades SET trading_date = ?1, "
                "document = json_set(document, '$.trading_date', ?1) WHERE broker_order_id = ?2",
                (day, order_id),
            )

    def others_delete(self, order_id: str) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute("DELETE FROM ledger_trades WHERE broker_order_id = ?", (order_id,))

    def damage_checkpoint(self, change: Callable[[str], str]) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            for account, text in connection.execute(
                "SELECT broker_account_id, checkpoint FROM ledger_checkpoints"
            ).fetchall():
                connection.execute(
                    "UPDATE ledger_checkpoints SET checkpoint = ? WHERE broker_account_id = ?",
                    (change(text), account),
                )

    def documents(self, account: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.path)) as connection:
            rows = connection.execute("SELECT document FROM ledger_trades").fetchall()
        return [one for (text,) in rows if (one := json.loads(text))["broker_account_id"] == account]

    def plain_sum(self, account: str) -> dict[str, int]:
        net: Counter[str] = Counter()
        for one in self.documents(account):
            sign = {"buy": 1, "sell": -1}[one["side"]]
            net[one["symbol"]] += sign * round(Fraction(one["filled_qty"]) * UNIT)
        return {symbol: units for symbol, units in net.items() if units}

    def checkpoint(self, account: str) -> Checkpoint:
        found = checkpoint_of(self.ledger.kept(account).text or "", account, "")
        assert found is not None
        return found


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "engine.db")


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_checkpoints, "PAGE_OF_A_WALK", 2)
    monkeypatch.setattr(ledger_checkpoints, "PAGE_OF_A_BUILD", 3)
    monkeypatch.setattr("engine.ledger.sums.NEWER_AT_MOST", 4)


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
        assert book.store.net_positions(account, today=today) == book.plain_sum(account)


@pytest.mark.usefixtures("small_pages")
def test_whatever_is_written_and_whenever_a_job_ends_the_sum_is_that_of_all_documents(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    @settings(max_examples=60, deadline=None)
    @given(st.randoms(use_true_random=False), st.integers(5, 40))
    def check(choose: random.Random, steps: int) -> None:
        book, day = Book(tmp_path_factory.mktemp("ledger") / "engine.db"), choose.randrange(14)
        book.store.write_ledger([document(choose)])

        def write() -> None:
            book.store.write_ledger([document(choose) for _ in range(choose.randrange(1, 4))])

        def kill() -> None:
            raise Killed

        def sum_disturbed(disturb: Callable[[], None]) -> None:
            ledger = Watched(book.ledger, choose.randrange(1, 12), disturb)
            with suppress(Killed):
                net_units_of(ledger, "paper", today=FIRST + timedelta(days=day))

        for _ in range(steps):
            step = choose.choice(
                ["write", "write", "put", "move", "delete", "killed", "raced", "damage", "sum"]
            )
            if step == "write":
                write()
            elif step == "put":
                book.others_put(document(choose))
            elif step == "move":
                book.others_move(f"o-{choose.randrange(16)}", choose.choice(DAYS))
            elif step == "delete":
                book.others_delete(f"o-{choose.randrange(16)}")
            elif step == "killed":
                sum_disturbed(kill)
            elif step == "raced":
                sum_disturbed(choose.choice([write, lambda: book.others_put(document(choose))]))
            elif step == "damage":
                book.damage_checkpoint(lambda text: text[: choose.randrange(len(text) + 1)])
            else:
                day = choose.choice([day, day, min(day + 1, 14)])
                agrees(book, FIRST + timedelta(days=day))
        agrees(book, FIRST + timedelta(days=day))

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
    ledger = Watched(book.ledger)
    return net_units_of(ledger, "paper", today=today, counting=counting), ledger.read


@pytest.mark.parametrize("number", [1_000, 6_000])
def test_a_sum_reads_a_page_and_what_is_newer_however_many_documents_there_are(
    book: Book, number: int
) -> None:
    book.store.write_ledger(several(number, days=number // 100))
    today = FIRST + timedelta(days=number // 100 - 1)
    assert sum(watched_sum(book, today)[1]) >= number
    for _ in range(3):
        net, read = watched_sum(book, today)
        assert sum(net.values()) == number * UNIT
        assert read[0] == 200
        assert 200 <= read[1] <= ledger_checkpoints.PAGE_OF_A_WALK


def test_a_day_with_more_documents_than_are_read_twice_is_in_the_checkpoint(book: Book) -> None:
    book.store.write_ledger(several(3_000, days=1))
    watched_sum(book, FIRST)
    assert watched_sum(book, FIRST) == (book.plain_sum("paper"), [0, 500])
    book.store.write_ledger([bought("later", "SPY", 5, trading_date=FIRST.isoformat())])
    assert watched_sum(book, FIRST) == (book.plain_sum("paper"), [0, 500])


def test_a_late_fill_of_an_old_session_changes_the_checkpoint_by_the_difference(book: Book) -> None:
    documents = several(3_000, days=30)
    book.store.write_ledger(documents)
    today = FIRST + timedelta(days=29)
    watched_sum(book, today)
    book.store.write_ledger([{**documents[0], "filled_qty": 7.0}, bought("late", "QQQ", 2)])
    net, read = watched_sum(book, today)
    assert net == book.plain_sum("paper") == {"SPY": 1006 * UNIT, "QQQ": 1002 * UNIT, "BRK.B": 1000 * UNIT}
    assert sum(read) <= 700


def test_the_documents_of_an_account_without_trades_of_late_are_not_read_again(book: Book) -> None:
    book.store.write_ledger(several(2_000, days=4))
    for days in (0, 40, 41):
        net, read = watched_sum(book, FIRST + timedelta(days=days))
    assert (sum(net.values()), read) == (2_000 * UNIT, [0, 500])


# --- a sum that is stopped


@pytest.mark.usefixtures("small_pages")
def test_a_first_sum_that_takes_too_long_says_how_far_it_is_and_the_next_goes_on_there(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_checkpoints, "BUILD_S", 0.0)
    book.store.write_ledger(several(10, days=2))
    today = FIRST + timedelta(days=30)
    for done in (3, 6, 9):
        ledger = Watched(book.ledger)
        with pytest.raises(
            DataUnavailable, match=f"paper are being summed up anew: {done} of about 10"
        ) as caught:
            net_units_of(ledger, "paper", today=today)
        assert "nothing is known of its positions" in str(caught.value)
        assert ledger.read == [3]
    assert watched_sum(book, today) == (book.plain_sum("paper"), [1, 0, 2])


@pytest.mark.usefixtures("small_pages")
def test_a_page_that_cant_be_read_says_how_far_the_sum_is(book: Book) -> None:
    book.store.write_ledger(several(10, days=2))

    def fail() -> None:
        raise DataUnavailable("no answer within 10 s.")

    today = FIRST + timedelta(days=30)
    ledger = Watched(book.ledger, 10, fail)
    with pytest.raises(DataUnavailable, match=r"no answer within 10 s\. .* 3 of about 10 are done"):
        net_units_of(ledger, "paper", today=today)
    assert watched_sum(book, today)[1] == [3, 3, 1, 0, 2]


def test_a_ledger_that_is_written_all_the_time_is_unavailable_in_the_end(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_checkpoints, "_PAUSE_S", 0.0)
    book.store.write_ledger(several(3))
    book.store.net_positions("paper", today=FIRST)

    class Busy(Watched):
        def newer(self, account: str, *, through: str) -> list[Summand]:
            self.steps += 1
            book.others_put(bought(f"more-{self.steps}", "SPY", 1))
            return self.ledger.newer(account, through=through)

    with pytest.raises(DataUnavailable, match="was written 20 times while it was summed up"):
        net_units_of(Busy(book.ledger), "paper", today=FIRST)
    assert book.store.net_positions("paper", today=FIRST) == book.plain_sum("paper")


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
            book.store.net_positions("paper", today=today)
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
            book.store.net_positions("paper", today=today)
        assert str(caught.value).startswith(book.store.place)
    book.others_put(bought("o-9", "SPY", 1))
    agrees(book, today)


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
    kept = json.loads(book.ledger.kept("paper").text or "")["checkpoint"]
    assert kept["through"] == "2026-03-31"
    assert kept["total"]["count"] == 4
    assert kept["total"]["units"] == {
        "SPY": {"momentum": 10 * UNIT, "carry": -4 * UNIT, "": UNIT},
        "QQQ": {"": 2 * UNIT},
    }
    book.store.write_ledger([bought("o-2", "SPY", -10, strategy_id="carry")])
    total = book.checkpoint("paper").total
    assert total is not None
    assert total.units["SPY", "carry"] == -10 * UNIT


def forged(text: str) -> str:
    """Return a checkpoint that says other units, with a hash that is right."""
    checkpoint = checkpoint_of(text, "paper", "")
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
    book.damage_checkpoint(change)
    agrees(book, today)


@pytest.mark.usefixtures("small_pages")
def test_a_forged_checkpoint_is_found_once_the_walk_has_met_every_document(book: Book) -> None:
    book.store.write_ledger(several(10, days=2))
    today = FIRST + timedelta(days=30)
    agrees(book, today)
    book.damage_checkpoint(forged)
    for _ in range(6):
        book.store.net_positions("paper", today=today)
    agrees(book, today)


def test_a_checkpoint_of_a_newer_engine_asks_for_an_update(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.store.write_ledger(several(3))
    with monkeypatch.context() as patched:
        patched.setattr("engine.ledger.sums.VERSION", 2)
        book.store.net_positions("paper", today=FIRST)
    with pytest.raises(DataUnavailable, match="update the engine"):
        book.store.net_positions("paper", today=FIRST)


def test_a_checkpoint_of_another_account_is_none(book: Book) -> None:
    book.store.write_ledger([*several(3), *several(2, account="b")])
    agrees(book, FIRST)
    text = book.ledger.kept("b").text or ""
    assert checkpoint_of(text, "b", "") is not None
    assert checkpoint_of(text, "paper", "") is None


def test_an_account_without_documents_sums_to_nothing_and_leaves_nothing(book: Book) -> None:
    book.store.write_ledger(several(1))
    assert book.store.net_positions("idle", today=FIRST) == {}
    assert book.ledger.kept("idle").text is None
