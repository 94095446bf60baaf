"""``enable-strategy``, and what ``status`` shows of strategies that a rule stopped."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.log import EventLog
from engine.record.objects import LocalObjects
from engine.safety.latches import KeptLatches
from engine.safety.state_marks import LATCHES, StateMarks
from engine.safety.trading_states import Scope, Scoped
from engine.stores.embedded.store import EmbeddedStore
from tests.desk import Row, order
from tests.jobs.command_line import Command, jsonl, one_line_error
from tests.jobs.live_machine import Live

BY = ("--by", "ann", "--why", "corrected")


@pytest.fixture
def stopped(cli: Command, data: Path) -> Command:
    """A data folder in which a live run and a dry run have stopped a strategy."""
    data.mkdir()
    store, marks = EmbeddedStore(data / "engine.db"), StateMarks(LocalObjects(data), LATCHES)
    for mode, rule in (("live", "reject_throttle"), ("dry", "strategy_repeats")):
        kept = KeptLatches(store, EventLog(), "a run", mode, marks=marks)
        began = datetime.now(UTC)
        kept.set(
            Scoped(Scope.STRATEGY, "momentum"), rule, why="3 in a row", run_id=f"run-{mode}", began_at=began
        )
    return cli


def test_status_shows_who_is_stopped_by_what_why_and_what_ends_it(stopped: Command) -> None:
    told = stopped("status").told
    assert "momentum reject_throttle live" in told
    assert (
        "3 in a row (run run-live); `execution-engine enable-strategy momentum --by NAME --why TEXT`" in told
    )
    found = stopped("status", "--json").json["latches"]
    shown = [(one["strategy_id"], one["rule"], one["mode"], one["run_id"]) for one in found]
    assert shown == [
        ("momentum", "reject_throttle", "live", "run-live"),
        ("momentum", "strategy_repeats", "dry", "run-dry"),
    ]


def test_where_no_strategy_is_stopped_status_shows_none(cli: Command) -> None:
    assert "Stopped by a rule" not in cli("status").told
    assert cli("status", "--json").json["latches"] == []


def test_a_strategy_is_enabled_for_live_and_dry_runs(stopped: Command) -> None:
    done = stopped("enable-strategy", "momentum", *BY)
    assert done.code == 0
    assert "Ended, in live runs: strategy momentum is stopped by reject_throttle: 3 in a row" in done.told
    assert "Ended, in dry runs: strategy momentum is stopped by strategy_repeats" in done.told
    assert (
        "Strategy momentum is enabled again. From now on its refusals in a row are counted anew." in done.told
    )
    assert stopped("status", "--json").json["latches"] == []


def test_to_enable_a_strategy_that_is_not_stopped_resets_its_counts(cli: Command, data: Path) -> None:
    done = cli("enable-strategy", "momentum", *BY)
    assert done.code == 0
    assert "No rule had stopped strategy momentum. From now on its refusals in a row are counted" in done.told
    document = EmbeddedStore(data / "engine.db").agent_document("latches")
    assert document is not None
    assert [one["strategy_id"] for one in document["enabled"]] == ["momentum"]


def test_machines_get_what_has_ended(stopped: Command, data: Path) -> None:
    found = stopped("enable-strategy", "momentum", *BY, "--json").json
    assert (found["exit_code"], found["strategy_id"], found["kept_in"]) == (
        0,
        "momentum",
        f"{data}/engine.db",
    )
    assert [(one["rule"], one["mode"]) for one in found["ended"]] == [
        ("reject_throttle", "live"),
        ("strategy_repeats", "dry"),
    ]


def test_an_account_is_enabled_by_its_own_command(stopped: Command, data: Path) -> None:
    kept = KeptLatches(EmbeddedStore(data / "engine.db"), EventLog(), "a run", "live")
    began = datetime.now(UTC)
    account = Scoped(Scope.ACCOUNT, "momentum")
    kept.set(account, "daily_loss_limit_reached", why="lost 5.00 USD", run_id="run", began_at=began)
    told = stopped("status").told
    assert "account momentum daily_loss_limit_reached live" in told
    assert "execution-engine enable-account momentum" in told
    done = stopped("enable-account", "momentum", *BY).told
    assert "Ended, in live runs: account momentum is stopped by daily_loss_limit_reached" in done
    assert "Account momentum is enabled again. A loss that is still at its limit stops it again." in done
    assert len(stopped("status", "--json").json["latches"]) == 2
    assert stopped("enable-account", "momentum", *BY, "--json").json["broker_account_id"] == "momentum"


def test_another_strategy_stays_stopped(stopped: Command) -> None:
    stopped("enable-strategy", "momentum_v2", *BY)
    assert len(stopped("status", "--json").json["latches"]) == 2


@pytest.mark.parametrize("args", [["momentum", "--by", "ann"], ["momentum", "--why", "so"], []])
def test_who_and_why_are_needed(cli: Command, args: list[str]) -> None:
    assert cli("enable-strategy", *args).code == 2


@pytest.mark.parametrize("args", [["", *BY], ["momentum", "--by", "ann", "--why", " "]])
def test_a_blank_name_or_reason_is_refused(cli: Command, data: Path, args: list[str]) -> None:
    done = cli("enable-strategy", *args)
    assert (done.code, data.exists()) == (2, False)
    one_line_error(done)


def test_latches_that_can_not_be_read_are_unknown_in_status(stopped: Command, data: Path) -> None:
    (mark, *_) = (data / LATCHES).glob("*")
    mark.write_text("{")
    found = stopped("status", "--json").json
    assert found["latches"] is None
    assert mark.name in found["stops_unknown"]["latches"]
    assert "Latches: unknown. The mark folder/latches/" in stopped("status").told
    assert stopped("enable-strategy", "momentum", *BY).code == 0
    assert stopped("status", "--json").json["latches"] == []


def test_a_strategy_that_is_refused_in_a_row_is_stopped_until_it_is_enabled(
    cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXEC_MAX_REFUSALS_IN_A_ROW", "2")

    def reasons(*rows: Row) -> dict[str, int]:
        cli("drop", stdin=jsonl(*rows))
        found: dict[str, int] = cli("run", "--json").json["decisions"]["by_reason"]
        return found

    large = [order(client_intent_id=f"large-{number}", qty=500) for number in range(2)]
    assert reasons(*large) == {"max_position_size_exceeded": 2}
    assert reasons(order(client_intent_id="a")) == {"strategy_repeats": 1}
    assert reasons(order(client_intent_id="b", strategy_id="value")) == {}
    (latch,) = cli("status", "--json").json["latches"]
    assert latch["why"] == "2 orders were refused by the rule book in a row in account paper, limit 2"
    cli("enable-strategy", "momentum", *BY)
    assert reasons(order(client_intent_id="a")) == {}
    assert reasons(order(client_intent_id="c", qty=500)) == {"max_position_size_exceeded": 1}
    assert cli("status", "--json").json["latches"] == []


def test_a_strategy_that_the_broker_refuses_in_a_row_is_stopped_live(live: Live) -> None:
    live.env |= {"EXEC_MAX_BROKER_REJECTS_IN_A_ROW": "2", "EXEC_BROKER_ACCOUNT_ID": "paper"}
    refused = {"order_type": "limit", "limit_price": 1.00001}
    for number in range(2):
        live.cli("drop", stdin=jsonl(order(client_intent_id=f"refused-{number}", **refused)))
        assert live("run", "--json").json["results"]["by_status"] == {"broker_rejected": 1}
    live.cli(
        "drop", stdin=jsonl(order(client_intent_id="good"), order(client_intent_id="v", strategy_id="v"))
    )
    done = live("run", "--json").json
    assert done["decisions"]["by_reason"] == {"reject_throttle": 1}
    assert [one["client_order_id"] for one in live.orders()] == ["v"]
    live("enable-strategy", "momentum", *BY)
    live.cli("drop", stdin=jsonl(order(client_intent_id="good")))
    assert live("run", "--json").json["orders"]["sent"] == 1
