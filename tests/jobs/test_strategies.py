"""``positions show --by-strategy`` and ``positions assign``: by the ledger, and never changing its sum."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.ledger.strategies import IDENTITY, StrategyBook
from engine.safety.lock import exclusive
from engine.stores.embedded.store import EmbeddedStore
from jobs import ledger
from tests.engine.stores.trades import bought
from tests.jobs.command_line import Command

UNIT = 1_000_000_000


@pytest.fixture
def store(data: Path) -> EmbeddedStore:
    data.mkdir()
    store = EmbeddedStore(data / "engine.db")
    store.write_ledger(
        [
            bought("o-1", "SPY", 10, strategy_id="momentum"),
            bought("o-2", "SPY", -2.5, strategy_id="carry"),
            bought("o-3", "QQQ", 0.1),
            bought("o-4", "SPY", 100),
            bought("o-5", "SPY", 7, strategy_id="momentum", account="second"),
        ]
    )
    return store


def shown(cli: Command, *args: str) -> Any:
    return cli("positions", "show", "--by-strategy", *args)


def assigned(cli: Command, *args: str, **options: str) -> Any:
    said = {"account": "paper", "symbol": "SPY", "qty": "30", "to": "carry", "by": "ann", "why": "by phone"}
    given = [part for name, value in (said | options).items() if value for part in (f"--{name}", value)]
    return cli("positions", "assign", *given, *args)


def books(store: EmbeddedStore) -> dict[tuple[str, str], float]:
    return {key: units / UNIT for key, units in store.strategy_book("paper").by_strategy.items()}


# --- show


def test_each_strategy_and_the_rest_is_shown_and_that_it_adds_up(cli: Command, store: EmbeddedStore) -> None:
    done = shown(cli, "--account", "paper")
    assert done.code == 0
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert [line for line in lines if " paper " in line] == [
        "carry paper SPY -2.5",
        "momentum paper SPY 10",
        "the account's rest paper QQQ 0.1",
        "the account's rest paper SPY 100",
    ]
    assert lines[-1] == f"S{IDENTITY[1:]}: it holds (1 account)."


def test_a_machine_gets_the_same(cli: Command, store: EmbeddedStore) -> None:
    said = shown(cli, "--account", "second", "--json").json
    assert said == {
        "exit_code": 0,
        "strategies": [
            {"strategy_id": "momentum", "broker_account_id": "second", "symbol": "SPY", "qty": 7.0}
        ],
        "identities": [{"name": IDENTITY, "left": 7 * UNIT, "right": 7 * UNIT, "holds": True}],
    }


def test_without_an_account_those_with_positions_and_of_the_settings_are_shown(
    cli: Command, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert shown(cli, "--json").json["strategies"] == []
    (tmp_path / "book.csv").write_text("broker_account_id,symbol,qty\nsecond,SPY,7\n")
    cli("positions", "load", str(tmp_path / "book.csv"))
    monkeypatch.setenv("EXEC_BROKER_ACCOUNT_ID", "paper")
    found = {row["broker_account_id"] for row in shown(cli, "--json").json["strategies"]}
    assert found == {"paper", "second"}


def test_an_account_of_which_the_ledger_has_nothing_is_named(cli: Command, store: EmbeddedStore) -> None:
    done = shown(cli, "--account", "idle")
    assert done.code == 0
    assert f"The ledger in {store.place} holds no position of idle." in done.out


@pytest.mark.parametrize("args", [(), ("--json",)])
def test_what_does_not_add_up_is_named_and_ends_with_4(
    cli: Command, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    wrong = StrategyBook({("momentum", "SPY"): 10 * UNIT}, {"SPY": 11 * UNIT})
    monkeypatch.setattr(EmbeddedStore, "strategy_book", lambda *_, **__: wrong)
    done = shown(cli, "--account", "paper", *args)
    assert done.code == 4
    if args:
        assert done.json["identities"] == [
            {"name": IDENTITY, "left": 10 * UNIT, "right": 11 * UNIT, "holds": False}
        ]
    else:
        assert f"DOES NOT ADD UP: {IDENTITY}: paper SPY: 10 and 11" in done.out
        assert "it holds" not in done.out


def test_a_document_that_cant_be_summed_is_named(cli: Command, store: EmbeddedStore) -> None:
    store.write_ledger([bought("o-9", "SPY", 1) | {"side": "BUY"}])
    done = shown(cli, "--account", "paper")
    assert done.code == 1
    assert "ledger document o-9 can't be summed" in done.err


# --- assign


def test_a_part_of_the_rest_is_given_to_a_strategy_and_the_sum_stays(
    cli: Command, store: EmbeddedStore
) -> None:
    before = store.net_positions("paper")
    done = assigned(cli)
    assert done.code == 0
    assert "Assigned: 30 SPY of paper from the account's rest to carry." in done.out
    assert books(store) == {
        ("momentum", "SPY"): 10, ("carry", "SPY"): 27.5, ("", "SPY"): 70, ("", "QQQ"): 0.1
    }  # fmt: skip
    assert store.net_positions("paper") == before
    assert "until now" not in done.out


def test_it_is_logged_with_who_and_why_and_kept_with_them(cli: Command, store: EmbeddedStore) -> None:
    done = assigned(cli, "--json")
    assert {name: done.json[name] for name in ("exit_code", "symbol", "qty", "from", "to")} == {
        "exit_code": 0, "symbol": "SPY", "qty": 30.0, "from": None, "to": "carry"
    }  # fmt: skip
    ids = done.json["ledger_documents"]
    for order_id in ids:
        document = store.ledger_document(order_id)
        assert document is not None
        assert (document["by"], document["why"], document["adjustment"]) == ("ann", "by phone", "assignment")
    (event,) = [json.loads(line) for line in done.err.splitlines() if "position_assigned" in line]
    assert event["ledger_documents"] == ids
    assert event["message"].startswith(
        "ann assigned 30 SPY of paper from the account's rest to carry: by phone"
    )


def test_the_same_again_is_another_assignment_and_one_given_back_may_be_given_again(
    cli: Command, store: EmbeddedStore
) -> None:
    for expected in (27.5, 57.5):
        assert assigned(cli).code == 0
        assert books(store)["carry", "SPY"] == expected
    back: dict[str, str] = {"from": "carry", "to": "", "qty": "60"}
    assert assigned(cli, **(back | {"qty": "57.500000001"})).code == 2
    assert assigned(cli, **(back | {"qty": "57.5"})).code == 0
    assert ("carry", "SPY") not in books(store)
    for _ in range(2):  # each time the books are as they were before
        assert assigned(cli, qty="1").code == 0
        assert books(store)["carry", "SPY"] == 1
        assert assigned(cli, **(back | {"qty": "1"})).code == 0
    assert books(store) == {("momentum", "SPY"): 10, ("", "SPY"): 97.5, ("", "QQQ"): 0.1}


def test_a_short_position_is_assigned_by_a_negative_quantity(cli: Command, store: EmbeddedStore) -> None:
    assert assigned(cli, **{"from": "carry", "to": "momentum", "qty": "-2.5"}).code == 0
    assert books(store) == {("momentum", "SPY"): 7.5, ("", "SPY"): 100, ("", "QQQ"): 0.1}


def test_a_strategy_that_held_nothing_before_is_pointed_out(cli: Command, store: EmbeddedStore) -> None:
    done = assigned(cli, to="momentun")
    assert done.code == 0
    text = " ".join(done.out.split())
    assert "Strategy momentun held nothing in account paper until now." in text
    assert "give it back with --from momentun." in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"qty": "100.000000001"}, "expected a part of the 100 SPY"),
        ({"qty": "nan"}, "--qty is 'nan'; expected shares below 1e9"),
        ({"qty": "1e3"}, "--qty is '1e3'; expected shares below 1e9"),
        ({"qty": "1.0000000001"}, "expected shares below 1e9 with at most 9 decimals"),
        ({"to": "Carry"}, "whose name only looks like it, among 'carry', 'momentum'"),
        ({"to": "car\u200bry"}, "--to is "),
        ({"to": ""}, "--from and --to are both the account's rest"),
        ({"account": "Paper"}, "expected a part of the 0 SPY"),
        ({"by": " "}, "--by is ' '"),
        ({"why": " "}, "--why is ' '"),
    ],
)
def test_what_cannot_be_assigned_changes_nothing(
    cli: Command, store: EmbeddedStore, options: dict[str, str], said: str
) -> None:
    before = books(store)
    done = assigned(cli, **options)
    assert done.code == 2
    assert said in done.err
    assert books(store) == before


def test_nothing_is_assigned_while_another_job_is_at_work(
    cli: Command, store: EmbeddedStore, data: Path
) -> None:
    with exclusive(data, since="just now"):
        assert assigned(cli).code == 1
    assert books(store)["", "SPY"] == 100


def test_a_ledger_that_was_lost_is_rebuilt_with_what_was_assigned(
    cli: Command, store: EmbeddedStore, data: Path
) -> None:
    assert assigned(cli).code == 0
    store.path.unlink()
    assert ledger.rebuild(by="ann", why="the disk", as_json=True) == 0
    assert books(EmbeddedStore(store.path)) == {("", "SPY"): -30, ("carry", "SPY"): 30}
