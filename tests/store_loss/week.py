"""One week of two live accounts: its clock, its commands, and what an operator does on reading a refusal."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from engine.record.objects import LocalObjects
from engine.record.run_folder import BATCH, RESULTS, RunFolders
from tests.crash_job import in_a_fork
from tests.desk import NOON, Row
from tests.exactly_once.case import was_too_slow
from tests.exactly_once.command import Command
from tests.exactly_once.life import LEASE_S, Life
from tests.exactly_once.stores import SERVERS
from tests.store_loss.copies import Copy, Servers
from tests.store_loss.judgement import AtBroker, of_breaks, of_decisions, symbols_of, while_finishing

DAY_S = 86_400
MOST_TRADES = 5
_COMMAND = re.compile(r"`execution-engine ((?:ledger rebuild|stores adopt|recover|init-db)[^`]*)`")
_ACCEPT = re.compile(r"execution-engine (positions accept (?!FILE)\S+ --by NAME --why (?:TEXT|\"…\"))")
_RECOVER = "`execution-engine recover`"
_MOVE_AWAY = re.compile(r"\bmove (?:it|that file|the file) away", re.IGNORECASE)
_PUT_BACK = ("back to what they were", "Put that one back", "Use that copy", "Restore its latest state")
_COMMANDS_AT_MOST = 2
_STORES_CHANGED = "stores_changed"


@dataclass
class Loss:
    """What was lost, and how that is undone; None where it can't be."""

    name: str
    undo: Callable[[], None] | None = None


@dataclass
class Week(Life):
    """A life of five sessions, in which an operator keeps copies, loses stores, and does as told.

    ``only`` names the losses that may happen; empty: all. ``may_lack_orders``: folder and stores were
    restored together, or a copy traded, so only the broker may have some orders. Such an order that is open
    is accepted; one that filled is booked by ``ledger rebuild``. ``by_hand``: the broker's ids of the orders
    of a person; ``accepted``: those of them that the ledger has taken over.
    """

    day: int = 0
    unset: set[str] = field(default_factory=set)
    copies: list[Copy] = field(default_factory=list)
    halted: bool = False
    copied_a_halt: bool = False
    by_hand: set[str] = field(default_factory=set)
    accepted: frozenset[str] = frozenset()
    may_lack_orders: bool = False
    only: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.settings["EXEC_MAX_DAILY_TRADES"] = str(MOST_TRADES)

    # what there is

    @property
    def env(self) -> dict[str, str]:
        return {name: value for name, value in super().env.items() if name not in self.unset}

    @property
    def servers(self) -> Servers | None:
        """PostgreSQL and Firestore; None with the embedded store."""
        return Servers(self.places, "exactly-once", self.name) if self.kind == SERVERS else None

    @property
    def session(self) -> str:
        return self.clock().date().isoformat()

    def at_brokers(self) -> dict[str, AtBroker]:
        return {
            name: AtBroker.of(market.state(), self._ours(name), self.session)
            for name, market in self.markets.items()
        }

    # what happens

    def next_day(self) -> None:
        """Let it be noon of the next session."""
        self.day += 1
        noon: datetime = NOON + timedelta(days=self.day)
        self.begun -= (noon - self.clock()).total_seconds()
        for market in self.markets.values():
            market.control("POST", "clock", {"set": noon.isoformat()})

    def keep_a_copy(self) -> None:
        if self.place.exists():
            kept_as = self.folder / f"copy-{len(self.copies) + 1}"
            self.copied_a_halt |= self.halted
            copy = Copy.of(self.place, kept_as, self.servers, halted=self.halted, accepted=self.accepted)
            self.copies.append(copy)

    def do(self, *said: str, meanwhile: Callable[[Command], None] | None = None, **how: Any) -> Command:
        """Let a command come to its end, and judge it; ``meanwhile`` is done once it has begun."""
        before, sent, files = self._before_a_command(), self.posted(), self._inbox()
        decided = self._decided()
        command = self.start(*said, **how)
        if meanwhile:
            meanwhile(command)
        command.ended()
        if command.was_killed:
            self.passes(LEASE_S)
            self.notes.append("killed")
        self._judge(command, before, decided)
        new = sorted((Counter(self.posted()) - Counter(sent)).elements())
        if self.halted and new:
            self.wrong.append(f"halt: {new} was sent by {self._name_of(command)}")
        is_refused = command.code == 2 or _STORES_CHANGED in command.text()
        if is_refused and (new or self._inbox() != files):
            self.wrong.append(f"inbox: {self._name_of(command)} sent {new}, changed {files}")
        self.notes.append(f"{' '.join(said)[:60]} -> {command.code}")
        if said[:1] == ("halt",):
            self.halted = True
        if said[:1] == ("recover",) and command.code == 0:
            self.halted = False
        return command

    def accept_what_was_traded_by_hand(self) -> None:
        """Take the trades by hand into the ledger, as ``sync`` proposes."""
        printed = self.do("sync", "--json").printed()
        if proposal := printed.get("proposal"):
            accepted = self.do("positions", "accept", proposal, "--by", "ann", "--why", "by hand")
            self._has_accepted(accepted, printed.get("breaks", []))

    def lead_back(self, loss: Loss, chance: Random) -> None:
        """Run, and do what refusals name until a run ends with 0, and no break is left.

        A halt that was ended is back where a copy was restored that was kept before: it is ended again.
        """
        named: list[str] = []
        may_be_halted_again = self.copied_a_halt
        while True:
            command = self.do("run", "--json")
            if was_too_slow(command.text()):
                continue
            is_halted_only = command.code == 3 and not self._remedy(command)
            if command.code == 0 or (is_halted_only and self.halted):
                return
            if is_halted_only and may_be_halted_again and _RECOVER in command.text():
                may_be_halted_again = False
                self.do("recover", "--why", "a test")
                continue
            if len(named) == _COMMANDS_AT_MOST:
                text = command.text()[-1500:]
                self.wrong.append(
                    f"way back: {loss.name}: after {named} a run ends with {command.code}: {text}"
                )
                return
            remedy = self._chosen(command, loss, chance)
            if not remedy:
                text = command.text()[-1500:]
                self.wrong.append(f"way back: {loss.name}: {command.code} without a remedy: {text}")
                return
            named.append(remedy)

    # how

    def _chosen(self, command: Command, loss: Loss, chance: Random) -> str:
        """Do one thing that a refusal names; return what, "" where it names nothing."""
        text = command.text()
        if command.code == 4:
            return self._settled()
        if loss.undo and any(said in text for said in _PUT_BACK) and chance.random() < 0.6:
            loss.undo()
            loss.undo = None
            return "put back"
        if _MOVE_AWAY.search(text):
            (self.place / "engine.db").rename(self.folder / f"damaged-{len(self.jobs)}.db")
            return "moved away"
        if not (remedy := self._remedy(command)):
            return ""
        done = self.do(*remedy)
        self.notes.append(" ".join(remedy[:2]))
        if done.code == 2 and (further := self._remedy(done)):
            remedy = further
            done = self.do(*further)
        if done.code != 0:
            self.wrong.append(f"way back: {loss.name}: {remedy} ended with {done.code}: {done.text()[-900:]}")
        return shlex.join(remedy)

    def _settled(self) -> str:
        """Do what ``sync`` says of breaks; return what, "" where it says nothing."""
        breaks = self.do("sync", "--json").printed().get("breaks", [])
        text = self.do("sync").out.read_text()
        found = _COMMAND.search(text) or _ACCEPT.search(text)
        if found is None:
            return ""
        remedy = _filled_in(found[1])
        accepts = "accept" in remedy
        if accepts and not all(self._is_to_be_accepted(one) for one in breaks):
            self.wrong.append(f"way back: breaks that only the loss has made are to be accepted: {text}")
        done = self.do(*remedy)
        if accepts:
            self._has_accepted(done, breaks)
        return shlex.join(remedy) if done.code == 0 else ""

    def _is_to_be_accepted(self, one: Row) -> bool:
        """Return whether a break is a trade by hand that the ledger lacks, or an order that a loss took."""
        if one["kind"] == "unbooked_order":
            return self.may_lack_orders
        return one["broker_order_id"] in self.by_hand - self.accepted

    def _has_accepted(self, command: Command, breaks: Iterable[Row]) -> None:
        if command.code == 0:
            self.accepted |= self.by_hand & {one["broker_order_id"] for one in breaks}

    def _remedy(self, command: Command) -> tuple[str, ...]:
        """Return the first command that a refusal names, but for ``recover``, which ends no loss."""
        found = [_filled_in(one) for one in _COMMAND.findall(command.text().replace('\\"', '"'))]
        return next((one for one in found if one[0] != "recover"), ())

    def _judge(self, command: Command, before: dict[str, AtBroker], decided: set[str]) -> None:
        name, printed = self._name_of(command), command.printed()
        new = sorted(self._decided() - decided)
        data = command.data

        def look() -> list[str]:
            runs = RunFolders(LocalObjects(data)).all() if new else []
            return [one for run in runs if run.run_id in new for one in of_decisions(run, before)]

        found = list(in_a_fork(look))
        for account, had in self.at_brokers().items():
            if len(had.counted) > MOST_TRADES:
                found.append(f"limit: {account} has {sorted(had.counted)}, the limit is {MOST_TRADES}")
        for account, market in self.markets.items():
            ours = self._ours(account)
            ids = {one["id"]: one["client_order_id"] for one in market.state()["orders"]}
            own = {id_: client for id_, client in ids.items() if client in ours}
            found += of_breaks(printed.get("breaks", []), own)
        self.wrong += [f"{one} ({name})" for one in found]

    def _before_a_command(self) -> dict[str, AtBroker]:
        """Return what the brokers have; where runs are unfinished, a command may finish them first."""
        unfinished = {
            path.parent.name
            for path in self.place.glob(f"runs/*/*/{BATCH}")
            if not (path.parent / RESULTS).exists()
        }
        if not unfinished:
            return self.at_brokers()

        def look() -> list[list[str]]:
            runs = RunFolders(LocalObjects(self.place)).all()
            return symbols_of(run for run in runs if run.run_id in unfinished)

        return while_finishing(self.at_brokers(), in_a_fork(look))

    def _ours(self, account: str) -> set[str]:
        return {id_ for name, id_ in self.intents if name == account}

    def _inbox(self) -> list[str]:
        inbox = self.place / "inbox"
        return sorted(path.name for path in inbox.rglob("*") if path.is_file()) if inbox.exists() else []

    def _decided(self) -> set[str]:
        return {path.parent.name for path in self.place.glob("runs/*/*/decisions.parquet")}


def _filled_in(command: str) -> tuple[str, ...]:
    said = command.replace("NAME", "ann").replace("TEXT", "lost").replace("…", "meant")
    return tuple(shlex.split(said))
