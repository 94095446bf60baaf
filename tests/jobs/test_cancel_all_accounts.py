"""``cancel-all`` and ``sync`` of several accounts, one of which can't be asked, as an operator meets them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from replay.simulator import Simulator
from tests.desk import Row, order
from tests.jobs.command_line import Command, Done, jsonl
from tests.jobs.live_machine import API_KEY, SECRET_KEY, Alpaca, Env

ACCOUNTS = ("alpha", "beta", "gamma")


@dataclass
class Accounts:
    """A machine with three accounts: called, it runs a command; ``at`` has each one's Alpaca."""

    cli: Command
    at: dict[str, Alpaca]
    env: Env

    def __call__(self, *args: object, stdin: bytes = b"", **env: str) -> Done:
        return self.cli(*args, stdin=stdin, **self.env | env)

    def statuses(self, account: str) -> list[str]:
        """Return how the orders of an account in KO and SPY stand."""
        return [self.order(account, symbol)["status"] for symbol in ("KO", "SPY")]

    def order(self, account: str, symbol: str) -> Row:
        """Return an account's order in a symbol."""
        orders: list[Row] = self.at[account].simulator.simulation.state()["orders"]
        (found,) = [one for one in orders if one["symbol"] == symbol]
        return found


@pytest.fixture
def at() -> Iterator[dict[str, Alpaca]]:
    with ExitStack() as held:
        servers = {}
        for seed, account in enumerate(ACCOUNTS):
            server = held.enter_context(Alpaca())
            simulator = Simulator(key=API_KEY, secret=SECRET_KEY, partial_fill_probability=0.0, seed=seed)
            server.simulator = simulator  # whose orders have ids of their own
            server.session.mount("http://", simulator.adapter())
            server.account = {"account_number": f"PA3{account.upper()}"}
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            held.callback(server.shutdown)
            held.callback(server.let_go.set)
            servers[account] = server
        yield servers


@pytest.fixture
def accounts(cli: Command, at: dict[str, Alpaca], tmp_path: Path) -> Accounts:
    """Three accounts, with two orders of each that rest: one of momentum in SPY, one of value in KO."""
    file = tmp_path / "accounts.toml"
    file.write_text(
        "".join(
            f'[accounts.{account}]\npaper = true\nhost = "{server.url}"\n'
            f'api_key_env = "A_KEY"\nsecret_key_env = "A_SECRET"\n'
            for account, server in at.items()
        )
    )
    env = {
        "EXEC_DRY_RUN": "0",
        "EXEC_STORE": "embedded",
        "AGENT_MODE": "LIVE",
        "EXEC_ACCOUNTS_FILE": str(file),
        "A_KEY": API_KEY,
        "A_SECRET": SECRET_KEY,
        "EXEC_SETTLE_S": "0",
    }
    machine = Accounts(cli, at, env)
    resting = {"order_type": "limit", "limit_price": 1, "time_in_force": "gtc"}
    rows = [
        order(
            client_intent_id=f"{account}-{symbol}",
            broker_account_id=account,
            symbol=symbol,
            strategy_id=strategy,
            **resting,
        )
        for account in ACCOUNTS
        for symbol, strategy in (("SPY", "momentum"), ("KO", "value"))
    ]
    machine("drop", stdin=jsonl(*rows))
    assert machine("run").code == 0
    machine.env["EXEC_SETTLE_S"] = "5"
    return machine


def revoke(accounts: Accounts, account: str) -> None:
    accounts.at[account].status = 401


def restore(accounts: Accounts, account: str) -> None:
    accounts.at[account].status = 200


# --- cancel-all


def test_the_open_orders_of_all_accounts_are_withdrawn(accounts: Accounts) -> None:
    done = accounts("cancel-all")
    assert (done.code, "All 6 orders are closed" in done.told) == (0, True)
    assert {account: accounts.statuses(account) for account in ACCOUNTS} == dict.fromkeys(
        ACCOUNTS, ["canceled"] * 2
    )


@pytest.mark.parametrize("failing", ACCOUNTS)
def test_an_account_that_fails_is_reported_and_the_others_are_withdrawn(
    accounts: Accounts, failing: str
) -> None:
    revoke(accounts, failing)
    done = accounts("cancel-all")
    assert done.code == 1
    assert "All 4 orders are closed" in done.told
    assert f"Account {failing} WAS NOT ASKED TO THE END" in done.told
    assert "not now" in done.told
    assert "Run `execution-engine cancel-all` again." in done.told
    for account in ACCOUNTS:
        assert accounts.statuses(account) == ["new" if account == failing else "canceled"] * 2
    restore(accounts, failing)
    again = accounts("cancel-all")
    assert (again.code, "All 2 orders are closed" in again.told) == (0, True)
    assert accounts.statuses(failing) == ["canceled"] * 2


def test_a_machine_reads_which_account_failed(accounts: Accounts) -> None:
    revoke(accounts, "beta")
    body = accounts("cancel-all", "--json").json
    assert (body["exit_code"], list(body["failed"])) == (1, ["beta"])
    assert sorted(one["client_intent_id"] for one in body["orders"]) == [
        "alpha-KO",
        "alpha-SPY",
        "gamma-KO",
        "gamma-SPY",
    ]


def test_where_nothing_was_open_elsewhere_the_account_that_failed_is_reported_all_the_same(
    accounts: Accounts,
) -> None:
    accounts("cancel-all")
    revoke(accounts, "beta")
    done = accounts("cancel-all")
    assert (done.code, "Account beta WAS NOT ASKED" in done.told) == (1, True)
    assert "No such order is open" not in done.told


def test_an_account_that_fails_is_no_concern_where_only_another_one_is_meant(accounts: Accounts) -> None:
    revoke(accounts, "alpha")
    assert accounts("cancel-all", "--account", "gamma").code == 0
    assert [accounts.statuses(account) for account in ACCOUNTS] == [["new"] * 2] * 2 + [["canceled"] * 2]


def test_the_only_account_that_is_meant_and_fails_ends_with_1(accounts: Accounts) -> None:
    revoke(accounts, "alpha")
    assert accounts("cancel-all", "--account", "alpha").code == 1
    assert [accounts.statuses(account) for account in ACCOUNTS] == [["new"] * 2] * 3


def test_where_all_fail_each_is_reported(accounts: Accounts) -> None:
    for account in ACCOUNTS:
        revoke(accounts, account)
    done = accounts("cancel-all")
    assert done.code == 1
    assert all(f"Account {account} WAS NOT ASKED" in done.told for account in ACCOUNTS)


@pytest.mark.parametrize(
    ("options", "withdrawn"), [(["--symbol", "KO"], [0]), (["--strategy", "momentum"], [1])]
)
def test_of_each_account_only_what_is_asked_for_is_withdrawn(
    accounts: Accounts, options: list[str], withdrawn: list[int]
) -> None:
    revoke(accounts, "beta")
    assert accounts("cancel-all", *options).code == 1
    expected = ["canceled" if place in withdrawn else "new" for place in range(2)]
    assert accounts.statuses("alpha") == accounts.statuses("gamma") == expected
    assert accounts.statuses("beta") == ["new"] * 2


def test_cancels_that_an_account_refuses_are_reported_and_the_others_are_withdrawn(
    accounts: Accounts,
) -> None:
    refusal = {
        "fault": "html_error",
        "status": 403,
        "method": "DELETE",
        "path": "/v2/orders/*",
        "times": None,
    }
    accounts.at["alpha"].fault(refusal)
    done = accounts("cancel-all", EXEC_SETTLE_S="0.2")
    assert done.code == 4
    assert "2 of 6 ARE STILL OPEN" in done.told
    assert [accounts.statuses(account) for account in ACCOUNTS] == [["new"] * 2] + [["canceled"] * 2] * 2


def test_a_halt_with_cancel_halts_and_withdraws_what_it_can(accounts: Accounts) -> None:
    revoke(accounts, "alpha")
    done = accounts("halt", "--why", "drill", "--cancel")
    assert (done.code, "The agent is HALTED: drill" in done.told) == (1, True)
    assert [accounts.statuses(account) for account in ACCOUNTS] == [["new"] * 2] + [["canceled"] * 2] * 2


# --- sync


def test_a_sync_tells_of_an_account_that_fails_and_brings_the_others(accounts: Accounts) -> None:
    for account in ACCOUNTS:
        accounts.at[account].simulator.venue.fill_now(accounts.order(account, "SPY")["id"], None)
    revoke(accounts, "beta")
    done = accounts("sync")
    assert done.code == 4
    assert "beta: NOT SYNCED" in done.told
    assert "alpha: 1 position read from the broker" in done.told
    assert "gamma: 1 position read from the broker" in done.told
    restore(accounts, "beta")
    after = accounts("sync", "--json")
    assert (after.code, [one["account"] for one in after.json["accounts"]]) == (0, list(ACCOUNTS))
    assert [one["broker_account_id"] for one in after.json["breaks"]] == ["beta"]
    assert [one["kind"] for one in after.json["breaks"]] == ["late_fill"]


def test_with_nothing_new_each_of_three_accounts_is_asked_at_most_five_times(accounts: Accounts) -> None:
    accounts("sync")
    for server in accounts.at.values():
        server.seen.clear()
    assert accounts("sync").code == 0
    for server in accounts.at.values():
        assert len(server.seen) <= 5
        assert {request.split()[0] for request in server.seen} == {"GET"}
