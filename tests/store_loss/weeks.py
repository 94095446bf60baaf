"""What happens in a week, by its seed: two to five commands a session, and losses between them."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Collection
from random import Random
from uuid import NAMESPACE_OID, uuid5

from tests.desk import Row, order
from tests.exactly_once.batches import FAR
from tests.exactly_once.command import Command
from tests.exactly_once.stage import Lived, Stage
from tests.store_loss import losses
from tests.store_loss.week import MOST_TRADES, Loss, Week

SESSIONS = 5
_SYMBOLS = ("SPY", "QQQ", "IWM")
_LOSSES_AT_MOST = 3
_A_LOSS = 0.25


def played(seed: int, kind: str, only: Collection[str] = ()) -> Callable[[Stage, str], Lived]:
    """Return the week of a seed, to be played with stores of a kind; ``only`` names its losses, if given."""

    def play(stage: Stage, name: str) -> Lived:
        chance = Random(seed)
        week = Week(
            name,
            stage.folder / name,
            stage.market,
            stage.places,
            kind,
            starts=stage.starts,
            second=stage.second,
            limit=100,
            only=frozenset(only),
        )
        stage.cases.append(week)
        _live(week, chance)
        orders = sum(len(account.orders) for account in week.accounts())
        return Lived(
            list(dict.fromkeys(week.wrong)), Counter(), orders=orders, jobs=len(week.jobs), notes=week.notes
        )

    return play


def _live(week: Week, chance: Random) -> None:
    happened = 0
    trade(week, chance)
    week.keep_a_copy()
    for session in range(SESSIONS):
        if session:
            week.next_day()
        for _ in range(chance.randint(2, 5)):
            chance.choice(_ACTIONS)(week, chance)
            if chance.random() < 0.4:
                week.keep_a_copy()
            if happened < _LOSSES_AT_MOST and (chance.random() < _A_LOSS or session == SESSIONS - 1):
                happened += 1
                _lose(week, chance)
    if week.halted:
        recover(week, chance)
    week.later()
    week.lead_back(Loss("the end of the week"), chance)


def _lose(week: Week, chance: Random) -> None:
    if chance.random() < 0.2 and not week.halted:
        halt(week, chance)
    loss = losses.happened(week, chance)
    if chance.random() < 0.7:
        _put(week, chance)  # there is something to decide, or to leave alone
    week.lead_back(loss, chance)
    if week.halted and chance.random() < 0.7:
        recover(week, chance)
        week.lead_back(loss, chance)


# --- what an operator and strategies do


def trade(week: Week, chance: Random) -> None:
    _put(week, chance)
    week.do("run", "--json")


def run(week: Week, _: Random) -> None:
    week.do("run", "--json")


def sync(week: Week, _: Random) -> None:
    week.do("sync", "--json")


def halt(week: Week, _: Random) -> None:
    week.do("halt", "--why", "a test")


def recover(week: Week, _: Random) -> None:
    week.do("recover", "--why", "a test")


def halt_for_a_while(week: Week, chance: Random) -> None:
    halt(week, chance)
    trade(week, chance)
    if chance.random() < 0.5:
        recover(week, chance)


def rebuild(week: Week, _: Random) -> None:
    week.do("ledger", "rebuild", "--by", "ann", "--why", "a test")


def trade_by_hand(week: Week, chance: Random) -> None:
    """Let a person buy at the broker, beside the engine; mostly that is accepted at once."""
    market = chance.choice([*week.markets.values()])
    body = {"symbol": "GLD", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
    # A UUID, as the broker gives to an order without an id: it is no intent's.
    body["client_order_id"] = str(uuid5(NAMESPACE_OID, f"{week.name} {len(week.by_hand)}"))
    week.by_hand.add(market.by_hand("POST", "/v2/orders", body)["id"])
    if chance.random() < 0.7:
        week.accept_what_was_traded_by_hand()


def fill_late(week: Week, chance: Random) -> None:
    """Let one of the orders that rest fill."""
    for market in week.markets.values():
        resting = [one["id"] for one in market.state()["orders"] if one["status"] == "new"]
        if resting:
            market.control("POST", "fill", {"order_id": chance.choice(resting)})
    if chance.random() < 0.5:
        sync(week, chance)


def run_that_is_killed(week: Week, chance: Random) -> None:
    _put(week, chance)
    point = chance.choice(("answered POST", "answered POST", ""))
    week.do("run", "--json", dies_at=chance.randint(1, 4 if point else 60), only=point)


def copy_while_a_run_sends(week: Week, chance: Random) -> None:
    """Keep a copy while a run has sent some of its orders and booked none; the run then ends."""
    _put(week, chance)

    def copy(job: Command) -> None:
        if job.stopped_itself():
            week.keep_a_copy()
            week.notes.append("copied midway")
            job.go_on()

    at = {"dies_at": chance.randint(1, 2), "dies_of": signal.SIGSTOP, "only": "answered POST"}
    week.do("run", "--json", meanwhile=copy, **at)


def _put(week: Week, chance: Random) -> None:
    """Drop a file for both accounts, more than one in four of whose orders rests, some of them overnight."""
    rows: list[Row] = []
    name = f"file-{len(week.jobs)}-{len(week.intents)}"
    for account in week.markets:
        for number in range(chance.randint(0, MOST_TRADES - 2)):
            row: Row = {"symbol": chance.choice(_SYMBOLS), "broker_account_id": account, "qty": 1}
            if chance.random() < 0.3:
                force = chance.choice(("gtc", "day"))
                row |= {"order_type": "limit", "limit_price": FAR, "time_in_force": force}
            rows.append(order(client_intent_id=f"{name}-{account[-2:]}-{number}", **row))
    if rows:
        week.put(f"{name}.json", rows)


_ACTIONS = (
    trade,
    trade,
    trade,
    run,
    sync,
    halt_for_a_while,
    recover,
    rebuild,
    trade_by_hand,
    fill_late,
    fill_late,
    run_that_is_killed,
    copy_while_a_run_sends,
)
