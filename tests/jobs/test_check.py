from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.desk import content_of, order
from tests.jobs.command_line import Command, Done, jsonl
from tests.jobs.live_machine import Live


def tree(data: Path) -> dict[str, tuple[str, int]]:
    """Return every path below a folder, with the hash of its content and its time."""
    found = {}
    for path in [data, *data.rglob("*")] if data.exists() else []:
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (hashlib.sha256(content).hexdigest(), path.stat().st_mtime_ns)
    return found


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """A file of five rows: two good ones, one wrong in two ways, a known and a conflicting id."""
    rows = [
        order(client_intent_id="first"),
        order(client_intent_id="second", symbol="QQQ", qty=2, note="x"),
        order(client_intent_id="third", qty=-1, side="up"),
        order(client_intent_id="first"),
        order(client_intent_id="second", symbol="QQQ", qty=3),
    ]
    path = tmp_path / "signals.jsonl"
    path.write_bytes(jsonl(*rows))
    return path


def test_a_good_file_is_checked_with_0_and_the_ids_that_it_would_get(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content_of("a.csv", [order(), order(symbol="QQQ", qty=2)]))
    done = cli("check", tmp_path / "a.csv")
    assert (done.code, done.err) == (0, "")
    checked = cli("check", tmp_path / "a.csv", "--json").json["intents"]
    cli("drop", tmp_path / "a.csv")
    cli("run")
    taken = cli("explain", "momentum", "--json").json["matches"]
    assert [one["client_intent_id"] for one in checked] == [one["client_intent_id"] for one in taken]
    assert all(one["client_intent_id"][:12] in done.out for one in checked)
    assert "a.csv:3" in done.out
    assert "buy 2 QQQ, market" in done.told


def test_every_row_is_reported_once(cli: Command, bad: Path) -> None:
    done = cli("check", bad, "--json")
    said = done.json
    assert (done.code, said["exit_code"]) == (4, 4)
    assert said["files"] == [
        {"file": str(bad), "name": "signals.jsonl", "rows": 5, "batched": 2, "quarantined": 2, "duplicate": 1}
    ]
    assert [(one["row"], one["client_intent_id"]) for one in said["intents"]] == [(1, "first"), (2, "second")]
    assert [(one["row"], one["field"]) for one in said["refused"]] == [(3, "side"), (5, "client_intent_id")]
    assert len(said["refused"][0]["also"]) == 1
    assert [(one["row"], one["said_in"]) for one in said["duplicates"]] == [(4, "signals.jsonl:1")]
    assert said["failed"] == []


def test_people_read_all_that_is_wrong_with_each_row(cli: Command, bad: Path) -> None:
    done = cli("check", bad)
    assert done.code == 4
    for record in cli("check", bad, "--json").json["refused"]:
        for message in (record["message"], *record.get("also", [])):
            assert message in done.out
    assert "signals.jsonl:4: the same order as signals.jsonl:1" in done.out
    assert "2 of 5 rows would be quarantined." in done.out
    assert "note" in done.out.partition("To note")[2]


@pytest.mark.parametrize("args", [(), ("--against-limits",)])
def test_nothing_is_written(cli: Command, data: Path, bad: Path, args: tuple[str, ...]) -> None:
    assert cli("check", bad, *args).code == 4
    assert not data.exists()
    cli("drop", stdin=jsonl(order(client_intent_id="known")))
    cli("run")
    cli("drop", stdin=jsonl(order(client_intent_id="waits")))
    before = tree(data)
    assert cli("check", bad, *args).code == 4
    assert tree(data) == before


def test_a_data_folder_that_cannot_be_written_is_no_hindrance(
    cli: Command, data: Path, bad: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, *args: Any, **kwargs: Any) -> None:
        assert data not in [path, *path.parents]
        made(path, *args, **kwargs)

    made = Path.mkdir
    monkeypatch.setattr(Path, "mkdir", refused)
    assert cli("check", bad, "--against-limits").code == 4


def test_rows_that_runs_of_the_day_have_taken_are_recognised(cli: Command, bad: Path) -> None:
    cli("drop", stdin=jsonl(order(client_intent_id="first")))
    cli("run")
    said = cli("check", bad, "--json").json
    assert [one["client_intent_id"] for one in said["intents"]] == ["second"]
    assert [one["row"] for one in said["duplicates"]] == [1, 4]
    assert "of run " in said["duplicates"][0]["said_in"]


def test_known_rows_alone_are_no_fault(cli: Command) -> None:
    cli("drop", stdin=jsonl(order()))
    cli("run")
    done = cli("check", "--json", stdin=jsonl(order()))
    assert (done.code, len(done.json["duplicates"])) == (0, 1)


@pytest.mark.parametrize("args", [(), ("-",), ("-", "--format", "jsonl")])
def test_standard_input_can_be_checked(cli: Command, args: tuple[str, ...]) -> None:
    done = cli("check", *args, "--json", stdin=jsonl(order()))
    assert done.code == 0
    assert done.json["files"][0]["file"] == "standard input"
    assert done.json["files"][0]["batched"] == 1


def test_standard_input_may_be_of_another_format(cli: Command) -> None:
    content = content_of("a.csv", [order(), order(qty=2)])
    assert cli("check", "-", "--format", "csv", "--json", stdin=content).json["rows"]["batched"] == 2


def test_several_files_are_checked_as_one_batch_in_the_order_given(cli: Command, tmp_path: Path) -> None:
    paths = [tmp_path / "b" / "x.jsonl", tmp_path / "a" / "x.jsonl", tmp_path / "a.jsonl"]
    for path, qty in zip(paths, (1, 2, 1), strict=True):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(jsonl(order(qty=qty)))
    said = cli("check", *paths, "--json").json
    assert [file["rows"] for file in said["files"]] == [1, 1, 1]
    assert sorted(file["file"] for file in said["files"]) == sorted(map(str, paths))
    assert [one["qty"] for one in said["intents"]] == [1, 2]
    assert [(one["file"], one["said_in"]) for one in said["duplicates"]] == [("a.jsonl", "x.jsonl:1")]


def test_a_file_that_cannot_be_checked_is_named_and_ends_with_2(
    cli: Command, bad: Path, tmp_path: Path
) -> None:
    (tmp_path / "_draft.csv").write_bytes(b"")
    done = cli("check", bad, tmp_path / "missing.csv", tmp_path / "_draft.csv")
    assert done.code == 2
    assert [line.partition(": can't be checked: ")[2] for line in done.err.splitlines()] == [
        "there is no such file.",
        "'_draft.csv' is a name that the inbox leaves alone; give the file another one.",
    ]
    assert "signals.jsonl:3: side is 'up'" in done.out


def test_a_file_that_cannot_be_parsed_is_refused_whole(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "torn.json").write_bytes(b"[{")
    done = cli("check", tmp_path / "torn.json", "--json")
    assert (done.code, done.json["rows"]["quarantined"]) == (4, 1)


def test_many_rows_are_bounded_for_people_and_complete_for_machines(cli: Command) -> None:
    rows = [order(symbol="QQQ", client_intent_id=f"id-{i}", qty=1 if i % 2 else 0) for i in range(400)]
    done = cli("check", stdin=jsonl(*rows))
    assert len(done.out.splitlines()) < 100
    assert "(the first 50 of 200)" in done.out
    assert "… and 180 more; --json has all" in done.out
    said = cli("check", "--json", stdin=jsonl(*rows)).json
    assert (len(said["intents"]), len(said["refused"])) == (200, 200)


def test_a_setting_that_is_wrong_ends_with_2(cli: Command) -> None:
    assert cli("check", stdin=jsonl(order()), EXEC_MAX_POSITION_QTY="many").code == 2


# --- against the limits


def verdicts(done: Done) -> list[tuple[bool, str]]:
    return [(one["allowed"], one["reason"]) for one in done.json["limits"]["verdicts"]]


ROWS = [order(qty=60), order(qty=30, symbol="QQQ"), order(qty=41)]


def test_the_verdicts_are_those_of_the_next_run(cli: Command, data: Path, tmp_path: Path) -> None:
    book = tmp_path / "book.csv"
    book.write_text("broker_account_id,symbol,qty\npaper,QQQ,90\n")
    cli("positions", "load", book)
    done = cli("check", "--against-limits", "--json", stdin=jsonl(*ROWS))
    assert done.code == 4
    assert verdicts(done) == [
        (True, "ok"),
        (False, "max_position_size_exceeded"),
        (False, "max_position_size_exceeded"),
    ]
    (_, held, _) = done.json["limits"]["verdicts"]
    assert (held["current_qty"], held["projected_qty"]) == (90, 120)
    cli("drop", stdin=jsonl(*ROWS))
    cli("run")
    stories = [
        cli("explain", one["client_intent_id"], "--json").json["stories"][0]
        for one in done.json["limits"]["verdicts"]
    ]
    assert [(story["allowed"], story["reason"]) for story in stories] == verdicts(done)


def test_people_read_the_figures_behind_a_verdict(cli: Command) -> None:
    done = cli("check", "--against-limits", stdin=jsonl(order(qty=500)))
    assert done.code == 4
    assert "max_position_size_exceeded: 0 held, +500 with it: 500, limit 100 either way" in done.told
    assert "every one counts as flat" in done.out
    assert "0 of 1 intent would be allowed." in done.out


def test_what_would_be_allowed_ends_with_0(cli: Command) -> None:
    done = cli("check", "--against-limits", stdin=jsonl(order()))
    assert done.code == 0
    assert "1 of 1 intent would be allowed." in done.out


def test_the_kill_switch_refuses_in_a_check_too(cli: Command) -> None:
    done = cli("check", "--against-limits", "--json", stdin=jsonl(order()), EXECUTION_HALTED="1")
    assert (done.code, verdicts(done)) == (4, [(False, "kill_switch_enabled")])


def test_a_store_that_cannot_be_read_is_unavailable_in_a_check_too(cli: Command, data: Path) -> None:
    data.mkdir()
    (data / "engine.db").write_bytes(b"garbage")
    done = cli("check", "--against-limits", "--json", stdin=jsonl(order()))
    assert (done.code, verdicts(done)) == (4, [(False, "risk_data_unavailable")])
    assert set(done.json["limits"]["unavailable"]) == {"daily_trades", "positions", "trading_states"}


# --- where live orders are asked for


def test_an_account_that_was_never_synced_is_unavailable_and_no_broker_is_asked(live: Live) -> None:
    done = live("check", "--against-limits", "--json", stdin=jsonl(order()))
    assert (done.code, verdicts(done)) == (4, [(False, "risk_data_unavailable")])
    assert any("never synced" in line for line in done.json["limits"]["basis"])
    assert live.orders() == []
    assert not live.data.exists()


def test_orders_that_earlier_runs_left_open_count_in_full(live: Live) -> None:
    resting = order(qty=60, order_type="limit", limit_price=1, client_intent_id="rests")
    live("drop", stdin=jsonl(resting))
    assert live("run", EXEC_SETTLE_S="0").code == 0
    before = tree(live.data)
    live.alpaca.status = 500
    done = live("check", "--against-limits", "--json", stdin=jsonl(order(qty=41), order(qty=40)))
    assert verdicts(done) == [(False, "max_position_size_exceeded"), (True, "ok")]
    assert any("The broker was not asked" in line for line in done.json["limits"]["basis"])
    assert tree(live.data) == before


def test_ids_of_dry_runs_are_not_known_to_a_live_check(live: Live) -> None:
    live("drop", stdin=jsonl(order(client_intent_id="same")))
    live("run", EXEC_DRY_RUN="1")
    said = live("check", "--json", stdin=jsonl(order(client_intent_id="same"))).json
    assert (len(said["intents"]), said["duplicates"]) == (1, [])


def test_a_symbol_with_an_open_break_stays_refused(live: Live) -> None:
    live("drop", stdin=jsonl(order(symbol="SPY")))
    live("run")
    by_hand = {"symbol": "QQQ", "qty": "3", "side": "buy", "type": "market", "time_in_force": "day"}
    live.alpaca.simulator.venue.place_order(by_hand)
    live("sync")
    done = live("check", "--against-limits", "--json", stdin=jsonl(order(symbol="QQQ"), order(symbol="IWM")))
    assert verdicts(done)[0] == (False, "position_unreconciled")


def test_a_file_of_the_day_is_checked_while_another_job_is_at_work(cli: Command, data: Path) -> None:
    from engine.safety.lock import exclusive

    with exclusive(data, since="a test"):
        assert cli("check", "--against-limits", stdin=jsonl(order())).code == 0


def test_what_is_checked_leaves_no_temporary_files(
    cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    cli("check", stdin=jsonl(order()))
    assert list(place.iterdir()) == []
