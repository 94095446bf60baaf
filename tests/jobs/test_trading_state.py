"""``halt``, ``recover`` and ``state`` of one strategy, symbol or account, as an operator meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.safety.state_marks import PLACE
from tests.desk import Row, order
from tests.jobs.command_line import Command, Done, jsonl, one_line_error
from tests.jobs.live_machine import Live

MOMENTUM = ("--strategy", "momentum")


def resting(name: str, **said: Any) -> Row:
    """Return an order that will not fill."""
    return order(**{"client_intent_id": name, "order_type": "limit", "limit_price": 1, **said})


@pytest.fixture
def busy(live: Live) -> Live:
    """A broker with three orders that rest: two of momentum, one of value."""
    live.env |= {"EXEC_BROKER_ACCOUNT_ID": "paper"}
    rows = [
        resting("a"),
        resting("b", symbol="KO"),
        resting("c", symbol="KO", strategy_id="value", limit_price=1.5),
    ]
    live.cli("drop", stdin=jsonl(*rows))
    assert live("run", EXEC_SETTLE_S="0").code == 0
    return live


def states(cli: Command | Live) -> list[tuple[str, str, str]]:
    found = cli("state", "--json").json["states"]
    return [(one["scope"], one["name"], one["state"]) for one in found]


def marks(data: Path) -> list[Path]:
    return sorted((data / PLACE).glob("*"))


# --- halting and recovering


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (["--strategy", " momentum "], ("strategy", "momentum")),
        (["--symbol", "brk-b"], ("symbol", "BRK.B")),
        (["--account", "Paper Main"], ("account", "Paper Main")),
    ],
)
def test_a_scope_is_halted_until_it_recovers(
    cli: Command, data: Path, options: list[str], kept: tuple[str, str]
) -> None:
    done = cli("halt", *options, "--why", "fat finger", "--by", "ann")
    assert done.code == 0
    assert f"{kept[0].capitalize()} {kept[1]} is HALTED: fat finger (ann, " in done.told
    assert f"Kept in {data}/engine.db" in done.told
    assert "The data folder is marked as well" in done.told
    assert states(cli) == [(*kept, "HALTED")]
    done = cli("recover", *options, "--by", "bob")
    assert (done.code, states(cli), marks(data)) == (0, [], [])
    assert "is ACTIVE: HALTED is cleared in" in done.told
    assert "and in the data folder" in done.told


def test_a_scoped_halt_leaves_the_agent_as_it_is_and_a_halt_leaves_the_scopes(cli: Command) -> None:
    cli("halt", *MOMENTUM, "--why", "so")
    assert cli("status", "--json").json["agent"]["state"] == "INIT"
    cli("halt", "--why", "all")
    cli("recover")
    assert states(cli) == [("strategy", "momentum", "HALTED")]
    cli("halt", "--why", "all")
    cli("recover", *MOMENTUM)
    assert cli("state", "--json").json["trading_state"] == "HALTED"


def test_the_first_of_two_halts_stays(cli: Command) -> None:
    cli("halt", *MOMENTUM, "--why", "first", "--by", "ann")
    done = cli("halt", *MOMENTUM, "--why", "second", "--by", "bob")
    assert done.code == 0
    assert (
        "It was so before, and the first reason stays: strategy momentum is HALTED: first (ann" in done.told
    )


def test_a_halt_that_is_repeated_after_the_store_was_lost_is_kept_in_the_new_one(
    cli: Command, data: Path
) -> None:
    cli("halt", *MOMENTUM, "--why", "first", "--by", "ann")
    (data / "engine.db").unlink()
    assert states(cli) == [("strategy", "momentum", "HALTED")]
    assert "It was so before" in cli("halt", *MOMENTUM, "--why", "second", "--by", "bob").told
    assert (data / "engine.db").exists()


def test_to_recover_what_is_not_halted_changes_nothing(cli: Command, data: Path) -> None:
    done = cli("recover", *MOMENTUM)
    assert (done.code, done.told) == (0, "Strategy momentum is ACTIVE, not HALTED: nothing to recover.")
    assert not (data / "engine.db").exists()


def test_machines_get_what_is_kept_where_and_what_has_ended(cli: Command, data: Path) -> None:
    halted = cli("halt", *MOMENTUM, "--why", "so", "--by", "ann", "--json").json
    entry = halted["trading_state"]
    assert (entry["scope"], entry["name"], entry["state"]) == ("strategy", "momentum", "HALTED")
    assert (entry["set_by"], entry["why"], halted["exit_code"]) == ("ann", "so", 0)
    assert (halted["kept_in"], halted["is_marked"], halted["remark"]) == (f"{data}/engine.db", True, "")
    recovered = cli("recover", *MOMENTUM, "--json").json
    assert recovered == {
        "exit_code": 0,
        "scope": "strategy",
        "name": "momentum",
        "state": "ACTIVE",
        "has_ended": True,
        "states": [],
        "kept_in": f"{data}/engine.db",
    }
    assert cli("recover", *MOMENTUM, "--json").json["has_ended"] is False


@pytest.mark.parametrize("command", ["halt", "recover", "state reducing"])
@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--strategy", "a", "--symbol", "b"], "--strategy and --symbol are both given; expected one"),
        (["--symbol", "a b"], "--symbol is 'a b'; expected a name as intents write it in symbol"),
        (["--strategy", ""], "--strategy is ''; expected a name as intents write it in strategy_id"),
        (["--account", "x" * 300], "expected a name as intents write it in broker_account_id"),
    ],
)
def test_a_scope_that_no_intent_can_be_in_is_refused_and_nothing_is_kept(
    cli: Command, data: Path, command: str, options: list[str], why: str
) -> None:
    done = cli(*command.split(), *options, "--why", "so")
    assert done.code == 2
    assert why in one_line_error(done)
    assert not data.exists()


def test_a_blank_reason_is_refused(cli: Command, data: Path) -> None:
    done = cli("halt", *MOMENTUM, "--why", "  ")
    assert (done.code, data.exists()) == (2, False)
    assert "--why is blank" in one_line_error(done)


@pytest.mark.parametrize(
    ("options", "remark"),
    [
        (["--strategy", "momentun"], "names strategy momentun. Did you mean momentum?"),
        (["--strategy", "MOMENTUM"], "names strategy MOMENTUM. Did you mean momentum?"),
        (["--symbol", "SPYY"], "names symbol SPYY. Did you mean SPY?"),
        (["--account", "zzz"], "names account zzz. They have paper."),
        (["--strategy", "momentum"], ""),
        (["--symbol", "spy"], ""),
        (["--account", "paper"], ""),
    ],
)
def test_a_name_that_no_intent_had_is_halted_with_a_warning(
    cli: Command, options: list[str], remark: str
) -> None:
    cli("drop", stdin=jsonl(order()))
    cli("run")
    done = cli("halt", *options, "--why", "so")
    assert (done.code, len(states(cli))) == (0, 1)
    assert (remark in done.told) if remark else ("To note" not in done.told)


def test_other_settings_that_are_wrong_prevent_no_scoped_halt(cli: Command) -> None:
    assert cli("halt", *MOMENTUM, "--why", "so", EXEC_MAX_POSITION_QTY="many").code == 0
    assert states(cli) == [("strategy", "momentum", "HALTED")]


def test_a_halt_that_the_store_can_not_keep_says_so_and_counts_for_the_folder(
    cli: Command, data: Path
) -> None:
    (data / "engine.db").mkdir(parents=True)
    done = cli("halt", *MOMENTUM, "--why", "so", "--json")
    assert done.code == 1
    assert done.json["error"].startswith(f"HALTED FOR {data} ALONE: its live runs stop")
    (data / "engine.db").rmdir()
    assert states(cli) == [("strategy", "momentum", "HALTED")]


# --- reducing


def test_all_trading_is_set_to_reducing_and_back(cli: Command, data: Path) -> None:
    done = cli("state", "reducing", "--why", "wind down", "--by", "ann")
    assert done.code == 0
    assert "All trading is REDUCING: wind down (ann, " in done.told
    assert "Trading is REDUCING." in cli("state").told
    assert cli("state", "--json").json["trading_state"] == "REDUCING"
    (data / "engine.db").unlink()
    assert cli("state", "--json").json["trading_state"] == "REDUCING"
    assert cli("state", "active", "--why", "goes on").code == 0
    assert cli("state", "--json").json["trading_state"] == "ACTIVE"
    done = cli("state", "active", "--why", "goes on")
    assert done.told == "All trading is ACTIVE, not REDUCING: nothing to end."


def test_states_are_shown_with_what_who_when_why_and_how_they_end(cli: Command) -> None:
    cli("state", "reducing", "--account", "paper", "--why", "wind down", "--by", "ann")
    for command in ("state", "status"):
        told = cli(command).told
        assert "account paper REDUCING" in told
        assert "ann wind down; `execution-engine state active --account paper --why …` ends that" in told


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["reducing"], "state reducing needs --why"),
        (["halted", "--why", "so", *MOMENTUM], "`execution-engine halt --strategy momentum --why …` halts"),
        (["--why", "so"], "shows the states; name one of the two to change it"),
        ([*MOMENTUM], "shows the states; name one of the two to change it"),
    ],
)
def test_a_state_command_that_lacks_a_part_is_refused(
    cli: Command, data: Path, args: list[str], why: str
) -> None:
    done = cli("state", *args)
    assert (done.code, data.exists()) == (2, False)
    assert why in one_line_error(done)


def test_only_recover_ends_a_halt(cli: Command) -> None:
    cli("halt", *MOMENTUM, "--why", "so", "--by", "ann")
    done = cli("state", "active", *MOMENTUM, "--why", "so")
    assert done.code == 2
    assert "`execution-engine recover --strategy momentum` ends that, not `state active`" in one_line_error(
        done
    )
    cli("halt", "--why", "all")
    assert cli("state", "active", "--why", "so").code == 2
    assert states(cli) == [("strategy", "momentum", "HALTED")]


def test_what_is_reducing_stays_so_after_its_halt_has_ended(cli: Command) -> None:
    cli("state", "reducing", *MOMENTUM, "--why", "so")
    cli("halt", *MOMENTUM, "--why", "so")
    assert states(cli) == [("strategy", "momentum", "HALTED")]
    done = cli("recover", *MOMENTUM)
    assert "Strategy momentum is REDUCING: HALTED is cleared" in done.told
    assert states(cli) == [("strategy", "momentum", "REDUCING")]


def test_states_that_can_not_be_read_are_unknown_in_status_and_an_error_of_state(
    cli: Command, data: Path
) -> None:
    cli("halt", *MOMENTUM, "--why", "so")
    (mark,) = marks(data)
    mark.write_text("{")
    found = cli("status", "--json").json
    assert found["trading_states"] is None
    assert mark.name in found["stops_unknown"]["trading_states"]
    assert "Trading states: unknown. The mark folder/trading_states/" in cli("status").told
    assert cli("state").code == 1


def test_status_has_the_states_for_machines(cli: Command) -> None:
    assert cli("status", "--json").json["trading_states"] == []
    cli("halt", "--symbol", "SPY", "--why", "so", "--by", "ann")
    (entry,) = cli("status", "--json").json["trading_states"]
    assert (entry["scope"], entry["name"], entry["state"], entry["set_by"]) == (
        "symbol",
        "SPY",
        "HALTED",
        "ann",
    )


def test_every_change_is_logged(cli: Command) -> None:
    done = cli("halt", *MOMENTUM, "--why", "so", "--by", "ann")
    (event,) = map(json.loads, done.err.splitlines())
    assert (event["event"], event["before"], event["after"]) == ("state_transition", "ACTIVE", "HALTED")


# --- cancelling


def canceled(live: Live) -> set[str]:
    return {one["client_order_id"] for one in live.orders() if one["status"] == "canceled"}


@pytest.mark.parametrize(
    ("options", "withdrawn"),
    [
        (["--strategy", "momentum"], {"a", "b"}),
        (["--symbol", "ko"], {"b", "c"}),
        (["--account", "paper"], {"a", "b", "c"}),
        (["--symbol", "IBM"], set()),
    ],
)
def test_a_halt_with_cancel_cancels_the_orders_of_its_scope(
    busy: Live, options: list[str], withdrawn: set[str]
) -> None:
    done = busy("halt", *options, "--why", "fat finger", "--cancel")
    assert (done.code, canceled(busy)) == (0, withdrawn)
    assert done.told.index("is HALTED: fat finger") < done.told.index("order")


def test_without_cancel_no_order_is_touched(busy: Live) -> None:
    busy("halt", *MOMENTUM, "--why", "so")
    assert canceled(busy) == set()


def test_what_is_still_open_afterwards_is_listed_and_ends_with_4(busy: Live) -> None:
    busy.alpaca.fault({"fault": "stuck_pending_cancel", "times": 1})
    done = busy("halt", *MOMENTUM, "--why", "so", "--cancel", EXEC_SETTLE_S="0.3")
    assert done.code == 4
    told = done.told[done.told.index("Still open") :]
    assert sum(f"{name} buy 1 " in told for name in ("a", "b")) == 1
    assert "1 of 2 ARE STILL OPEN" in told
    found = busy("halt", *MOMENTUM, "--why", "so", "--cancel", "--json", EXEC_SETTLE_S="0.3").json
    assert (found["exit_code"], len(found["still_open"])) == (4, 1)
    assert (found["trading_state"]["state"], found["trading_state"]["name"]) == ("HALTED", "momentum")


def test_a_halt_with_cancel_stands_where_the_broker_cannot_be_asked(busy: Live) -> None:
    done = busy("halt", *MOMENTUM, "--why", "so", "--cancel", ALPACA_API_KEY="")
    assert done.code == 2
    assert "Strategy momentum is HALTED" in done.told
    assert states(busy) == [("strategy", "momentum", "HALTED")]


# --- runs


def run(live: Live, *rows: Row) -> Done:
    live.cli("drop", stdin=jsonl(*rows))
    return live("run", "--json")


def test_a_live_run_sends_no_order_of_a_halted_scope_and_all_others(live: Live) -> None:
    live("halt", *MOMENTUM, "--why", "fat finger", "--by", "ann")
    rows = [order(client_intent_id="a"), order(client_intent_id="b", strategy_id="value")]
    done = run(live, *rows)
    assert done.code == 3
    assert [one["client_order_id"] for one in live.orders()] == ["b"]
    live("recover", *MOMENTUM)
    assert run(live, *rows).code == 0
    assert [one["client_order_id"] for one in live.orders()] == ["b", "a"]


def test_a_dry_run_refuses_the_orders_of_a_halted_scope_and_says_which_and_how_it_ends(cli: Command) -> None:
    cli("halt", "--symbol", "SPY", "--why", "fat finger", "--by", "ann")
    rows = [order(client_intent_id="spy-order"), order(client_intent_id="qqq-order", symbol="QQQ")]
    cli("drop", stdin=jsonl(*rows))
    done = cli("run", "--json")
    assert (done.code, done.json["decisions"]["by_reason"]) == (3, {"kill_switch_enabled": 1})
    assert done.json["decisions"]["allowed"] == 1
    told = cli("explain", "spy-order").told
    assert "Refused by kill_switch_enabled: symbol SPY is HALTED: fat finger (ann, " in told
    assert "`execution-engine recover --symbol SPY` ends that" in told
    assert "Symbol SPY is HALTED: fat finger" in cli("run").told
    cli("recover", "--symbol", "SPY")
    cli("drop", stdin=jsonl(*rows))
    done = cli("run", "--json")
    assert (done.code, done.json["decisions"]["allowed"]) == (0, 1)


def test_a_halted_scope_without_orders_in_the_batch_is_no_halt_of_the_run(cli: Command) -> None:
    cli("halt", "--symbol", "SPY", "--why", "so")
    cli("drop", stdin=jsonl(order(symbol="QQQ")))
    assert cli("run").code == 0


def test_what_reduces_a_position_passes_a_scope_that_is_reducing_and_nothing_else(
    cli: Command, tmp_path: Path
) -> None:
    book = tmp_path / "book.csv"
    book.write_text("broker_account_id,symbol,qty\npaper,SPY,10\n")
    cli("positions", "load", book)
    cli("state", "reducing", *MOMENTUM, "--why", "wind down", "--by", "ann")
    rows = [
        order(client_intent_id="reduces", side="sell", qty=10),
        order(client_intent_id="opens-more", side="sell", qty=1),
        order(client_intent_id="buys", side="buy", qty=1),
        order(client_intent_id="of-another", strategy_id="value", symbol="QQQ", side="buy", qty=1),
    ]
    cli("drop", stdin=jsonl(*rows))
    done = cli("run", "--json")
    assert (done.code, done.json["decisions"]["by_reason"]) == (0, {"reduce_only": 2})
    told = cli("explain", "buys").told
    assert "Refused by reduce_only: strategy momentum is REDUCING: wind down (ann, " in told
    assert "Allowed" in cli("explain", "reduces").told


def test_where_the_states_can_not_be_read_every_order_is_refused(cli: Command, data: Path) -> None:
    cli("halt", "--symbol", "IBM", "--why", "so")
    (mark,) = marks(data)
    mark.write_text("{")
    cli("drop", stdin=jsonl(order()))
    done = cli("run", "--json")
    assert done.json["decisions"]["by_reason"] == {"risk_data_unavailable": 1}
