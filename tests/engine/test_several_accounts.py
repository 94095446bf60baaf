"""One run, several accounts: each at a broker of its own, each for itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests

from engine.accounts.connection import Connections, Names
from engine.brokers.access import Access
from engine.brokers.alpaca.broker import AlpacaBroker
from engine.errors import BrokerError, ConfigurationError
from engine.record.open_orders import left_open
from engine.record.run_folder import CASSETTE, INPUTS, RESULTS, RunFolder
from engine.risk.config import RiskConfig
from engine.run.stages import finish
from engine.run.starting import start
from replay.simulator import Simulator
from tests.desk import Row, order
from tests.engine.routing.trading import (
    Between,
    Killed,
    Send,
    TradingDesk,
    at_a_rate_that_never_matters,
    client_id_of,
    path_of,
    reply,
)

ALPHA, BETA = "alpha", "beta"
RESTING = {"order_type": "limit", "limit_price": 50.0}
BOTH = RiskConfig(max_position_qty=1e6, max_daily_trades=1000, accounts=frozenset({ALPHA, BETA}))


@dataclass
class TwoDesks(TradingDesk):
    """A desk with the accounts alpha and beta; ``beta`` is how the second is reached, and by whom watched."""

    second: Simulator = field(default_factory=lambda: at_a_rate_that_never_matters(seed=1))
    at_second: Between | None = None
    numbers: dict[str, str | None] = field(default_factory=dict)
    named: tuple[str, ...] = (ALPHA, BETA)
    at_once: int = 16

    def accesses(self) -> list[Access]:
        first = Access(account=ALPHA, broker=self.broker(), account_number=self.numbers.get(ALPHA))
        second = Access(account=BETA, broker=self.other_broker(), account_number=self.numbers.get(BETA))
        return [access for access in (first, second) if access.account in self.named]

    def other_broker(self) -> AlpacaBroker:
        beside = TradingDesk(self.data, simulator=self.second, between=self.at_second or self.between)
        beside.stopping, beside.effects, beside.dead = self.stopping, self.effects, self.dead
        return beside.broker()

    @contextmanager
    def connections(self) -> Iterator[Connections]:
        with super().connections() as connections:
            at_work = tuple(replace(venue, orders_at_once=self.at_once) for venue in connections.at_work)
            yield replace(connections, at_work=at_work)

    def live(self, config: RiskConfig | None = None, **said: Any) -> RunFolder:
        return super().live(config or BOTH, **said)

    def drop_both(self, *rows: Row) -> None:
        """Drop the same rows for each account."""
        said = [{**row, "broker_account_id": account} for account in (ALPHA, BETA) for row in rows]
        self.drop(f"both-{self.now:%H%M%S}.json", *said)

    def at_beta(self) -> list[str]:
        return [one["client_order_id"] for one in self.second.simulation.state()["orders"]]

    def trades_of(self, account: str) -> float:
        """Return what the ledger counts in the session."""
        counts = self.store.trade_counts([account], date(2026, 3, 2))
        return float(counts["trades"].sum())

    @contextmanager
    def without(self, account: str) -> Iterator[None]:
        """Leave an account out of the settings."""
        before, self.named = self.named, tuple(name for name in self.named if name != account)
        yield
        self.named = before


@pytest.fixture
def desk(tmp_path: Path) -> TwoDesks:
    return TwoDesks(tmp_path / "data")


def of_account(run: RunFolder, account: str) -> list[tuple[str, str]]:
    """Return status and reason of an account's rows, in batch order."""
    accounts = run.table("intents.parquet")["broker_account_id"].to_pylist()
    rows = run.table(RESULTS).to_pylist()
    pairs = zip(accounts, rows, strict=True)
    return [(row["status"], row["reason"]) for name, row in pairs if name == account]


def exit_code(run: RunFolder) -> int:
    return int(run.json("manifest.json")["exit_code"])


def revoked(request: requests.PreparedRequest, send: Send) -> requests.Response:
    return reply(request, 401, {"message": "unauthorized."})


def revoked_after(orders: int) -> Between:
    """Revoke the keys once so many orders were taken in."""
    taken = 0

    def middle(request: requests.PreparedRequest, send: Send) -> requests.Response:
        nonlocal taken
        if taken >= orders:
            return revoked(request, send)
        if request.method == "POST":
            taken += 1
        return send()

    return middle


def down_after(orders: int) -> Between:
    """Let every request fail once so many orders were taken in."""
    taken = 0

    def middle(request: requests.PreparedRequest, send: Send) -> requests.Response:
        nonlocal taken
        if taken >= orders:
            return reply(request, 503, {"message": "down"})
        if request.method == "POST":
            taken += 1
        return send()

    return middle


# --- trading


def test_each_account_gets_its_own_orders_and_its_own_book(desk: TwoDesks) -> None:
    desk.drop(
        "a.json",
        order(client_intent_id="a-1", broker_account_id=ALPHA, qty=3),
        order(client_intent_id="b-1", broker_account_id=BETA, qty=5),
        order(client_intent_id="b-2", broker_account_id=BETA, qty=7, symbol="QQQ"),
    )
    run = desk.live()
    assert (desk.placed_ids(), sorted(desk.at_beta())) == (["a-1"], ["b-1", "b-2"])
    assert run.json("manifest.json")["results"]["by_status"] == {"placed": 3}
    assert exit_code(run) == 0
    desk.live()
    book = desk.store.all_positions()
    held = {(row.broker_account_id, row.symbol): row.qty for row in book.itertuples()}
    assert held == {(ALPHA, "SPY"): 3.0, (BETA, "SPY"): 5.0, (BETA, "QQQ"): 7.0}


def test_the_same_client_id_at_two_accounts_is_two_orders(desk: TwoDesks) -> None:
    desk.drop_both(order(client_intent_id="same"))
    run = desk.live()
    assert (desk.placed_ids(), desk.at_beta()) == (["same"], ["same"])
    assert of_account(run, ALPHA) == of_account(run, BETA) == [("placed", "ok")]
    ids = run.table(RESULTS)["broker_order_id"].to_pylist()
    assert len(set(ids)) == 2
    assert run.json("manifest.json")["exit_code"] == 0


def test_a_killed_run_takes_each_accounts_answers_for_its_own(desk: TwoDesks) -> None:
    desk.drop_both(order(client_intent_id="same"), order(client_intent_id="next", symbol="QQQ"))

    def dies(request: requests.PreparedRequest, send: Send) -> requests.Response:
        answer = send()
        if request.method == "POST" and client_id_of(request) == "next":
            raise desk.die()
        return answer

    desk.between = dies
    with pytest.raises(Killed):
        desk.live()
    desk.disarm()
    desk.live()
    (first, *_) = desk.runs()
    assert sorted(desk.placed_ids()) == sorted(desk.at_beta()) == ["next", "same"]
    assert of_account(first, ALPHA) == of_account(first, BETA) == [("placed", "ok")] * 2


def test_the_limits_of_one_account_leave_the_other_alone(desk: TwoDesks) -> None:
    desk.drop_both(*[order(client_intent_id=f"{number}") for number in range(3)])
    run = desk.live(BOTH.changed(max_daily_trades=2))
    for account in (ALPHA, BETA):
        assert [status for status, _ in of_account(run, account)] == ["placed", "placed", "rejected"]


def test_an_account_that_is_not_configured_is_refused(desk: TwoDesks) -> None:
    desk.drop("a.json", order(broker_account_id="gamma"))
    run = desk.live()
    assert of_account(run, "gamma") == [("rejected", "account_not_configured")]
    assert exit_code(run) == 0


def test_traffic_and_run_say_whose_it_is(desk: TwoDesks) -> None:
    desk.drop_both(order(client_intent_id="same"))
    run = desk.live()
    asked = [one for one in run.json(CASSETTE)["interactions"] if one["request"]["method"] == "POST"]
    assert sorted(one["account"] for one in asked) == [ALPHA, BETA]
    assert sorted(one["account"] for one in run.start["venues"]) == [ALPHA, BETA]
    assert len({one["account_key"] for one in run.start["venues"]}) == 2


# --- one account fails


def test_an_account_whose_keys_are_revoked_before_the_run_is_left_out_and_the_others_trade(
    desk: TwoDesks,
) -> None:
    desk.at_second = revoked
    desk.drop_both(order(client_intent_id="same"))
    run = desk.live()
    assert of_account(run, ALPHA) == [("placed", "ok")]
    assert of_account(run, BETA) == [("rejected", "risk_data_unavailable")]
    assert "unauthorized" in run.json(INPUTS)["down"][BETA]
    decided = run.table("decisions.parquet")["check_position_unreconciled"].to_pylist()
    accounts = run.table("intents.parquet")["broker_account_id"].to_pylist()
    assert dict(zip(accounts, decided, strict=True)) == {ALPHA: "pass", BETA: "unavailable"}
    assert exit_code(run) == 3


def test_an_account_that_is_left_out_and_has_no_intents_is_no_reason_for_another_exit_code(
    desk: TwoDesks,
) -> None:
    desk.at_second = revoked
    desk.drop("a.json", order(broker_account_id=ALPHA))
    assert exit_code(desk.live()) == 0


def test_where_every_account_is_down_nothing_begins(desk: TwoDesks) -> None:
    desk.between = revoked
    desk.drop_both(order())
    with pytest.raises(BrokerError, match="unauthorized"):
        desk.live()
    assert desk.runs() == []


@pytest.mark.parametrize("fault", [down_after, revoked_after])
def test_an_account_that_fails_in_mid_run_leaves_the_other_untouched(desk: TwoDesks, fault: Any) -> None:
    desk.at_second = fault(1)
    desk.drop_both(
        *[order(client_intent_id=f"{number}", symbol=symbol) for number, symbol in enumerate(("SPY", "QQQ"))]
    )
    desk.at_once = 1
    run = desk.live()
    assert of_account(run, ALPHA) == [("placed", "ok")] * 2
    assert set(of_account(run, BETA)) <= {
        ("placed", "account_down"),
        ("unresolved", "account_down"),
        ("halted", "account_down"),
        ("broker_rejected", "account_down"),
        ("broker_rejected", "refused_by_broker"),
    }
    assert exit_code(run) in {3, 4}
    desk.at_second = None
    desk.later(minutes=5)
    desk.live()
    desk.later(hours=2)
    desk.live()
    assert [one for one in left_open(desk.context().objects) if one.account == ALPHA] == []
    taken = desk.at_beta()
    assert len(taken) == len(set(taken))
    assert desk.trades_of(BETA) == len(taken)


def test_what_a_killed_job_may_have_sent_is_never_called_unsent_where_its_account_fails(
    desk: TwoDesks,
) -> None:
    """Its order was taken in, and the record has no reply: it is only noted that it may have left."""

    def dies(request: requests.PreparedRequest, send: Send) -> requests.Response:
        if request.method != "POST":
            return send()
        send()
        raise desk.die()

    def without_orders(request: requests.PreparedRequest, send: Send) -> requests.Response:
        return reply(request, 503, {"message": "down"}) if path_of(request) == "/v2/orders" else send()

    desk.drop_both(order(client_intent_id="same"))
    desk.at_second = dies
    with pytest.raises(Killed):
        desk.live()
    (killed,) = desk.runs()
    desk.at_second = without_orders
    desk.live()
    assert of_account(killed, ALPHA) == [("placed", "ok")]
    assert of_account(killed, BETA) == [("unresolved", "account_down")]
    message = killed.table(RESULTS)["message"].to_pylist()[-1]
    assert message.startswith("it may have been sent; the next sync looks for it.")
    assert exit_code(killed) == 4
    desk.at_second = None
    desk.live()
    assert (desk.at_beta(), desk.trades_of(BETA)) == (["same"], 1)


def test_a_run_of_an_account_that_is_down_waits_and_keeps_nobody_from_trading(desk: TwoDesks) -> None:
    desk.drop("a.json", order(client_intent_id="of-beta", broker_account_id=BETA))

    def dies(request: requests.PreparedRequest, send: Send) -> requests.Response:
        if request.method == "POST":
            raise desk.die()
        return send()

    desk.at_second = dies
    with pytest.raises(Killed):
        desk.live()
    desk.at_second = revoked
    desk.drop("b.json", order(client_intent_id="of-alpha", broker_account_id=ALPHA))
    run = desk.live()
    assert of_account(run, ALPHA) == [("placed", "ok")]
    desk.at_second = None
    desk.later(seconds=30)
    desk.live()
    assert desk.at_beta() == ["of-beta"]


def test_while_the_run_of_one_account_is_not_finished_the_books_of_another_are_compared(
    desk: TwoDesks,
) -> None:
    desk.drop_both(order(client_intent_id="first", symbol="QQQ"))
    desk.live()
    desk.place_by_hand(symbol="SPY", qty="4")  # at alpha
    desk.drop("a.json", order(client_intent_id="of-beta", broker_account_id=BETA))

    def dies(request: requests.PreparedRequest, send: Send) -> requests.Response:
        if request.method == "POST":
            raise desk.die()
        return send()

    desk.at_second = dies
    with pytest.raises(Killed):
        desk.live()
    desk.at_second = revoked
    desk.later(minutes=1)
    desk.drop("b.json", order(client_intent_id="of-alpha", broker_account_id=ALPHA))
    run = desk.live()
    assert of_account(run, ALPHA) == [("rejected", "position_unreconciled")]
    assert run.json(INPUTS)["not_compared"] == {}


# --- names, numbers, keys


def test_an_account_number_that_is_not_the_one_expected_leaves_the_account_out(desk: TwoDesks) -> None:
    desk.numbers = {BETA: "PA0000000000"}
    desk.drop_both(order(client_intent_id="same"))
    run = desk.live()
    assert "another number is expected" in run.json(INPUTS)["down"][BETA]
    assert desk.at_beta() == []


def test_an_account_under_two_names_is_refused(tmp_path: Path) -> None:
    desk = TradingDesk(tmp_path / "data", account="first")
    desk.data.mkdir()
    with desk.venue():
        pass
    desk.account = "second"
    with pytest.raises(ConfigurationError, match="has been traded as first"), desk.venue():
        pass
    desk.account = "first"
    with desk.venue() as venue:
        assert venue.account == "first"


def test_a_name_of_two_accounts_is_refused_and_leaves_nothing_behind(tmp_path: Path) -> None:
    desk = TradingDesk(tmp_path / "data", account="mine")
    desk.data.mkdir()
    with desk.venue():
        pass
    desk.simulator = at_a_rate_that_never_matters(seed=1)
    with pytest.raises(ConfigurationError, match="mine is the name of another broker account"), desk.venue():
        pass
    desk.account = "other"
    with desk.venue() as venue:
        assert venue.account == "other"


def test_an_account_that_nobody_named_keeps_the_name_that_its_first_batch_gave_it(tmp_path: Path) -> None:
    desk = TradingDesk(tmp_path / "data", account=None)
    config = RiskConfig()
    desk.drop("a.json", order(client_intent_id="one", broker_account_id="mine"))
    desk.live(config)
    desk.drop("b.json", order(client_intent_id="two", broker_account_id="another"))
    run = desk.live(config)
    assert [row["reason"] for row in run.table(RESULTS).to_pylist()] == ["risk_data_unavailable"]
    assert desk.posts() == ["one"]


def test_names_belong_to_accounts_for_ever(desk: TwoDesks) -> None:
    desk.data.mkdir()
    names = Names(desk.store)
    names.claim("a", "key-1")
    names.claim("a", "key-1")
    for name, key in (("a", "key-2"), ("b", "key-1")):
        with pytest.raises(ConfigurationError):
            names.claim(name, key)
    names.claim("b", "key-2")
    assert (names.of("key-1"), names.of("key-2"), names.of("key-3")) == ("a", "b", "")


# --- what was left elsewhere


def test_orders_left_open_at_an_account_that_is_not_configured_any_more_are_reported_and_left(
    desk: TwoDesks,
) -> None:
    desk.drop_both(order(client_intent_id="rests", **RESTING))
    desk.live()
    with desk.without(BETA):
        desk.drop("a.json", order(client_intent_id="new", broker_account_id=ALPHA, symbol="QQQ"))
        run = desk.live()
    assert of_account(run, ALPHA) == [("placed", "ok")]
    assert "orders_left_elsewhere" in desk.logged.getvalue()
    assert sorted(left.account for left in left_open(run.objects)) == [ALPHA, BETA]


def test_an_unfinished_run_of_an_account_that_is_not_configured_any_more_is_a_setting_to_correct(
    desk: TwoDesks,
) -> None:
    desk.data.mkdir()
    settings = desk.settings(EXEC_DRY_RUN="0", EXEC_STORE="embedded")
    with desk.connections() as connections:
        begun = start(settings, BOTH, replace(desk.context(), connections=connections), slot="test")
    with desk.without(BETA), desk.connections() as connections:
        context = replace(desk.context(), connections=connections)
        with pytest.raises(ConfigurationError, match=f"was begun for {BETA} at .* and is not finished"):
            finish(begun, context)
