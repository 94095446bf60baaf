"""Ten sessions of three accounts that trade every day, while every kind of break is planted at each of them.

What each one has to be called is written here from what was done to it; at every sync all that is found is
compared with all that was planted and not yet taken in, account by account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from engine.model.breaks import Break, breaks_in, units_of
from engine.reconciliation.adjustments import adjustments, check_against_ledger, read_proposal
from engine.reconciliation.break_files import latest_proposal
from engine.record.run_folder import RECONCILIATION
from tests.desk import Row, order
from tests.engine.accounts_desk import ACCOUNTS, AccountsDesk, accounts_desk, by_intent
from tests.engine.routing.trading import exit_code, identities

DAYS = (
    "2026-03-02", "2026-03-03", "2026-03-04", "2026-03-05", "2026-03-06",
    "2026-03-09", "2026-03-10", "2026-03-11", "2026-03-12", "2026-03-13",
)  # fmt: skip
"""Clocks change between the fifth and the sixth."""
SYMBOLS = ("SPY", "QQQ", "IWM", "KO", "AAPL", "MSFT", "JPM", "XOM", "BAC", "AMD", "AMZN", "BA", "AXP")
LOW = 20.0
"""A limit that no price comes near, not even after a split."""

_SOLD: Row = {"side": "sell", "order_type": "limit", "limit_price": LOW + 1}

Found = tuple[str, str, str, float]
"""Account, kind, symbol and the shares that lie between the books."""


@dataclass(frozen=True)
class Open:
    """A break that nobody has taken in yet, and whether a sale may change what it looks like."""

    found: Found
    may_sell: bool = True

    @property
    def key(self) -> tuple[str, str]:
        """Its account and symbol."""
        return self.found[0], self.found[2]


@dataclass
class TenDays:
    """The desk, what is to be planted where, and what every sync has to find."""

    desk: AccountsDesk
    random: Random
    day: str = ""
    open: list[Open] = field(default_factory=list)
    late: list[Found] = field(default_factory=list)
    waiting: set[tuple[str, str]] = field(default_factory=set)

    # what is looked at

    def at(self, clock: str) -> None:
        self.desk.go_to_new_york(self.day, clock)

    def syncs(self) -> None:
        """Sync; what is found is what was planted, and nothing else."""
        self._compare([found for answer in self.desk.synced() for found in answer.breaks])

    def _compare(self, breaks: Iterable[Break]) -> None:
        found = [(one.broker_account_id, one.kind, one.symbol, one.difference_qty / 1e9) for one in breaks]
        expected = [*(one.found for one in self.open), *self.late]
        assert sorted(found) == sorted(expected), self.day
        self.late = []

    def runs(self, *rows: Row) -> dict[str, tuple[str, str]]:
        """Run; its sync finds what was planted, and the exit code tells whether any of it is open."""
        self.desk.drop(f"intents-{self.desk.now:%d-%H%M}.json", *rows)
        run = self.desk.live()
        self._compare(breaks_in(run.table(RECONCILIATION)))
        assert exit_code(run) == (4 if self.open else 0)
        assert all(identities(run).values())
        return by_intent(run)

    # a day

    def trades(self, account: str, symbols: Iterable[str], shares: tuple[int, int]) -> list[Row]:
        """Buy, or sell, so many shares of symbols; what is sold has a limit, since buys rest in some."""
        least, most = min(map(abs, shares)), max(map(abs, shares))
        return [
            order(
                broker_account_id=account,
                symbol=symbol,
                qty=self.random.randint(least, most),
                client_intent_id=f"{account}-{symbol}-{self.desk.now:%d-%H%M}",
                **(_SOLD if self.random.uniform(*shares) < 0 else {}),
            )
            for symbol in symbols
        ]

    def is_broken(self, account: str, symbol: str) -> bool:
        return (account, symbol) in {one.key for one in self.open}

    def is_waiting(self, account: str, symbol: str) -> bool:
        """Return whether nothing may be traded, since a split without a word is to be told by its ratio."""
        return (account, symbol) in self.waiting

    def begins(self) -> None:
        """Buy some of everything at every account."""
        self.at("09:45")
        told = self.runs(*(row for account in ACCOUNTS for row in self.trades(account, SYMBOLS, (20, 30))))
        assert set(told.values()) == {("placed", "ok")}

    def morning(self, plants: Iterable[Plant]) -> None:
        """Trade a little, and leave the orders to rest that the day's plants need."""
        self.at("10:00")
        rows = []
        for account in ACCOUNTS:
            free = [
                symbol
                for symbol in SYMBOLS
                if not self.is_broken(account, symbol) and not self.is_waiting(account, symbol)
            ]
            rows += self.trades(account, self.random.sample(free, 2), (-3, 3))
        rows += [
            order(
                broker_account_id=plant.account,
                symbol=plant.symbol,
                qty=10,
                order_type="limit",
                limit_price=LOW,
                time_in_force="gtc",
                client_intent_id=f"rests-{plant.account}-{plant.symbol}",
            )
            for plant in plants
            if plant.needs_order
        ]
        assert set(self.runs(*rows).values()) == {("placed", "ok")}
        self.at("11:00")
        for plant in plants:
            if plant.needs_fill:
                self.fills_late(plant.account, plant.symbol, 4.0)

    def gate(self) -> None:
        """Buy what is broken anywhere at every account, and sell a share of it where it is broken."""
        symbols = sorted({one.key[1] for one in self.open})
        buys = [
            row
            for account in ACCOUNTS
            for row in self.trades(
                account, [one for one in symbols if not self.is_waiting(account, one)], (1, 3)
            )
        ]
        sales = [
            order(
                broker_account_id=account,
                symbol=symbol,
                client_intent_id=f"sale-{account}-{symbol}-{self.desk.now:%d}",
                **_SOLD,
            )
            for account, symbol in dict.fromkeys(one.key for one in self.open if one.may_sell)
        ]
        told = self.runs(*buys, *sales)
        for row in buys:
            is_refused = self.is_broken(row["broker_account_id"], row["symbol"])
            expected = ("rejected", "position_unreconciled") if is_refused else ("placed", "ok")
            assert told[row["client_intent_id"]] == expected, row
        assert {told[row["client_intent_id"]] for row in sales} <= {("placed", "ok")}

    def passes(self, day: str, plants: list[Plant]) -> None:
        """Let a day pass; some of what is open in the evening is taken in, the rest stays to another day."""
        self.day = day
        if day == DAYS[0]:
            self.begins()
        self.morning(plants)
        if self.late:
            self.at("12:00")
            self.syncs()
        self.at("13:00")
        for plant in plants:
            plant.plant(self, plant.account, plant.symbol)
            self.waiting.discard((plant.account, plant.symbol))
        self.at("14:00")
        self.syncs()
        self.at("14:30")
        self.gate()
        self.at("15:30")
        self.syncs()
        self.accepts([one for one in self.open if self.random.random() < 0.6])

    def ends(self) -> None:
        """Take in what is left; then nothing is found any more."""
        self.at("15:40")
        self.accepts(list(self.open))
        self.syncs()
        assert self.open == []

    def accepts(self, accepted: list[Open]) -> None:
        """Take in the lines of the latest proposal that are of these breaks."""
        if not accepted:
            return
        objects = self.desk.context().objects
        key = latest_proposal(objects)
        assert key is not None
        keys = {one.key for one in accepted}
        rows = [row for row in read_proposal(objects.read(key).decode(), key) if row.key in keys]
        assert len(rows) == len(accepted)
        ledger = {
            (account, symbol): units
            for account in ACCOUNTS
            for symbol, units in self.desk.store.net_positions(account).items()
        }
        check_against_ledger(rows, ledger, [], key)
        taken = adjustments(
            rows,
            by="a test",
            why="it was planted",
            at=self.desk.now,
            trading_date=self.desk.session.trading_date,
        )
        self.desk.store.write_ledger(taken)
        self.open = [one for one in self.open if one not in accepted]

    # what goes wrong

    def note(self, account: str, kind: str, symbol: str, shares: float, *, may_sell: bool = True) -> None:
        self.open.append(Open((account, kind, symbol, shares), may_sell))

    def resting(self, account: str, symbol: str) -> str:
        """Return the broker's id of the order that the morning's run has left in a symbol."""
        found: str = self.desk.at[account].at_broker(f"rests-{account}-{symbol}")["id"]
        return found

    def fills_late(self, account: str, symbol: str, shares: float) -> None:
        self.desk.at[account].fill(f"rests-{account}-{symbol}", shares)
        self.late.append((account, "late_fill", symbol, shares))

    def late_fill(self, account: str, symbol: str) -> None:
        self.fills_late(account, symbol, self.random.choice([3.0, 10.0]))

    def manual_trade(self, account: str, symbol: str) -> None:
        shares = self.random.choice([-4, 2, 7])
        side = "buy" if shares > 0 else "sell"
        self.desk.at[account].place_by_hand(symbol=symbol, qty=str(abs(shares)), side=side)
        self.desk.let_pass(account, 5)
        self.note(account, "manual_trade", symbol, float(shares))

    def split(self, account: str, symbol: str) -> None:
        held = self.desk.held_at(account)[symbol]
        ratio = self.random.choice([2, 3])
        self.desk.at[account].control("POST", "split", {"symbol": symbol, "ratio": str(ratio)})
        self.note(account, "corporate_action", symbol, held * (ratio - 1))

    def split_that_nobody_tells_of(self, account: str, symbol: str) -> None:
        self.desk.lies[account].silent_on.add(symbol)
        self.split(account, symbol)
        self.open[-1] = Open(self.open[-1].found, may_sell=False)

    def spin_off(self, account: str, symbol: str) -> None:
        self.desk.lies[account].shares[symbol] = 3.0
        self.desk.lies[account].activities.append(
            {
                "id": f"{account}-spin-off",
                "activity_type": "SPIN",
                "date": self.day,
                "symbol": symbol,
                "qty": "3",
                "net_amount": "0",
                "status": "executed",
            }
        )
        self.note(account, "corporate_action", symbol, 3.0)

    def unknown_order(self, account: str, symbol: str) -> None:
        asked = {"type": "limit", "limit_price": str(LOW), "time_in_force": "gtc"}
        self.desk.at[account].place_by_hand(symbol=symbol, qty="6", **asked)
        self.note(account, "unknown_order", symbol, 0.0)

    def missing_order(self, account: str, symbol: str) -> None:
        self.desk.lies[account].unknown.add(self.resting(account, symbol))
        self.note(account, "missing_order", symbol, 0.0)

    def size_differs(self, account: str, symbol: str) -> None:
        self.desk.lies[account].orders[self.resting(account, symbol)] = {"qty": "12"}
        self.note(account, "quantity_differs", symbol, 0.0)

    def filled_quantity_differs(self, account: str, symbol: str) -> None:
        changed = {"broker_order_id": self.resting(account, symbol), "filled_qty": 7.0}
        self.desk.store.write_ledger([changed])
        self.note(account, "quantity_differs", symbol, -3.0)

    def execution_is_taken_back(self, account: str, symbol: str) -> None:
        self.desk.lies[account].orders[self.resting(account, symbol)] = {"filled_qty": "2"}
        self.desk.lies[account].shares[symbol] = -2.0
        self.note(account, "quantity_differs", symbol, -2.0)

    def price_differs(self, account: str, symbol: str) -> None:
        self.desk.lies[account].orders[self.resting(account, symbol)] = {"filled_avg_price": "19.5"}
        self.note(account, "price_differs", symbol, 0.0)

    def position_differs(self, account: str, symbol: str) -> None:
        self.desk.lies[account].shares[symbol] = self.random.choice([0.37, -1.25])
        self.note(account, "position_unexplained", symbol, self.desk.lies[account].shares[symbol])


Planting = Callable[[TenDays, str, str], None]


@dataclass(frozen=True)
class Plant:
    """What goes wrong on a day: at which account, in which symbol."""

    plant: Planting
    account: str
    symbol: str

    @property
    def needs_order(self) -> bool:
        """Whether it takes an order of the engine's own that rests."""
        return self.plant in _ON_ORDERS

    @property
    def needs_fill(self) -> bool:
        """Whether that order has to be filled in part, and known so."""
        return self.plant in _ON_FILLED_ORDERS

    @property
    def may_trade(self) -> bool:
        """Whether trades of its symbol leave it what it is."""
        return self.plant is not TenDays.split_that_nobody_tells_of


_ON_FILLED_ORDERS = (
    TenDays.filled_quantity_differs,
    TenDays.execution_is_taken_back,
    TenDays.price_differs,
)
_ON_ORDERS = (TenDays.late_fill, TenDays.missing_order, TenDays.size_differs, *_ON_FILLED_ORDERS)
PLANTINGS: tuple[Planting, ...] = (
    *_ON_ORDERS,
    TenDays.manual_trade,
    TenDays.split,
    TenDays.split_that_nobody_tells_of,
    TenDays.spin_off,
    TenDays.unknown_order,
    TenDays.position_differs,
)


def plan(random: Random) -> list[list[Plant]]:
    """Let every kind of break happen once at each account, on some day, in some symbol."""
    days: list[list[Plant]] = [[] for _ in DAYS]
    for account in ACCOUNTS:
        symbols = random.sample(SYMBOLS, len(PLANTINGS))
        for place, (planting, symbol) in enumerate(
            zip(random.sample(PLANTINGS, len(PLANTINGS)), symbols, strict=True)
        ):
            days[place % len(days)].append(Plant(planting, account, symbol))
    return days


@pytest.mark.parametrize("seed", [1])
def test_in_ten_days_of_three_accounts_every_break_is_found_and_named_and_nothing_else_is(
    tmp_path: Path, seed: int
) -> None:
    desk, random = accounts_desk(tmp_path / "data", DAYS[0], "09:40"), Random(seed)
    days = plan(random)
    silent = [one for day in days for one in day if one.plant is TenDays.split_that_nobody_tells_of]
    story = TenDays(desk, random, waiting={(one.account, one.symbol) for one in silent})
    for day, plants in zip(DAYS, days, strict=True):
        story.passes(day, plants)
    story.ends()
    for account in ACCOUNTS:
        held = {symbol: units_of(qty) for symbol, qty in desk.held_at(account).items()}
        assert desk.store.net_positions(account) == held
        desk.at[account].simulator.venue.check_conservation()
