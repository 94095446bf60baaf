"""What `explain` finds by other names than an id: rows of files, strategies, symbols, beginnings of ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from engine.record.run_folder import RunFolder
from tests.desk import content_of, order
from tests.jobs.command_line import Command, one_line_error

ROWS = [
    order(symbol="SPY"),
    order(symbol="QQQ", qty="1,5", note="x"),
    order(symbol="SPY"),
    order(symbol="AAPL", strategy_id="value", qty=500),
]


@pytest.fixture
def name(cli: Command, data: Path, tmp_path: Path) -> str:
    """The name in the inbox of a file that a run has taken: allowed, quarantined, equal, refused."""
    (tmp_path / "momentum.csv").write_bytes(content_of("momentum.csv", ROWS))
    path = cli("drop", "--json", tmp_path / "momentum.csv").json["dropped"][0]
    cli("drop", "--json", tmp_path / "momentum.csv")
    assert cli("run").code == 0
    return Path(path).name


def ids(cli: Command, what: str, *args: str) -> list[str]:
    done = cli("explain", what, "--json", *args)
    return [story["client_intent_id"] for story in done.json["stories"]]


def drop(cli: Command, *rows: dict[str, Any], as_file: str = "") -> None:
    args = [as_file] if as_file else []
    cli("drop", *args, stdin=b"" if args else content_of("a.jsonl", list(rows)))


def test_a_row_is_found_by_file_and_row_as_tables_print_it(cli: Command, name: str) -> None:
    done = cli("explain", f"{name}:2")
    assert (done.code, done.err) == (0, "")
    assert "momentum asked for paper: buy 1 SPY, market, day." in done.told


@pytest.mark.parametrize("asked", ["momentum.csv:2", "inbox/momentum.csv:2"])
def test_a_row_is_found_by_the_files_own_name(cli: Command, name: str, asked: str) -> None:
    if "/" in asked:
        assert "no run has" in one_line_error(cli("explain", asked))
    else:
        assert ids(cli, asked) == ids(cli, f"{name}:2") != []


def test_a_quarantined_row_is_shown_with_what_it_held_and_all_that_is_wrong(
    cli: Command, name: str, data: Path
) -> None:
    done = cli("explain", "momentum.csv:3")
    assert (done.code, done.err) == (0, "")
    for told in (
        f"{name}:3: quarantined",
        "symbol 'QQQ'",
        f"{name}:3: qty is '1,5'; expected a positive decimal number.",
        f"The file is kept as {data}/archive/",
        f"All that is wrong with the file's rows: {data}/quarantine/",
    ):
        assert told in done.told
    (record,) = cli("explain", "momentum.csv:3", "--json").json["set_aside"]
    assert (record["what"], record["row"], record["raw"]["symbol"]) == ("quarantined", 3, "QQQ")
    assert Path(record["kept_at"]).exists()
    assert all(Path(path).exists() for path in record["reasons_at"])
    assert record["reasons_at"] != []


def test_all_problems_of_a_quarantined_row_are_shown(cli: Command) -> None:
    drop(cli, order(client_intent_id="bad", qty=-1, side="up"))
    cli("run")
    (record,) = cli("explain", "bad", "--json").json["set_aside"]
    assert len(record["problems"]) == 2
    assert all(problem in cli("explain", "bad").told for problem in record["problems"])


def test_a_duplicate_is_explained_by_the_order_that_it_repeats(cli: Command) -> None:
    drop(cli, order(client_intent_id="once"))
    cli("run")
    drop(cli, order(client_intent_id="once"), order(client_intent_id="third"))
    cli("run")
    (record,) = cli("explain", "third", "--json").json["stories"]
    place = f"{record['source_file']}:1"
    done = cli("explain", place)
    assert f"{place}: duplicate" in done.told
    assert "Its order: execution-engine explain once" in done.told


def test_a_file_that_could_not_be_read_is_explained_by_any_of_its_rows(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "torn.json").write_bytes(b'[{"symbol": ')
    cli("drop", tmp_path / "torn.json")
    cli("run")
    done = cli("explain", "torn.json:5")
    assert done.code == 0
    assert "the whole file: quarantined" in done.told
    assert "/quarantine/" in done.told


def test_a_row_of_a_file_that_was_left_is_explained_by_why(cli: Command, data: Path) -> None:
    (data / "inbox").mkdir(parents=True)
    (data / "inbox" / "young.json").write_bytes(content_of("young.json", [order()]))
    cli("run")
    done = cli("explain", "young.json:1")
    assert done.code == 0
    assert "young.json: left" in done.told
    assert "EXEC_INBOX_SETTLE_S" in done.told


def test_a_file_that_no_run_has_taken_yet_is_reported_to_wait(cli: Command) -> None:
    drop(cli, order())
    done = cli("explain", "stdin.jsonl:1")
    assert done.code == 2
    assert "still waits in the inbox" in one_line_error(done)


def test_a_row_that_a_file_lacks_is_distinguished_from_a_file_that_no_run_knows(
    cli: Command, name: str
) -> None:
    done = cli("explain", "momentum.csv:99")
    assert done.code == 2
    assert f"took {name}, 4 rows, and none of them is at row 99" in one_line_error(done)
    assert "no run has" in one_line_error(cli("explain", "reversal.csv:2"))


def test_of_two_files_of_one_name_the_newest_run_has_it(cli: Command, tmp_path: Path, name: str) -> None:
    (tmp_path / "momentum.csv").write_bytes(content_of("momentum.csv", [order(symbol="MSFT")]))
    cli("drop", tmp_path / "momentum.csv")
    cli("run")
    (story,) = cli("explain", "momentum.csv:2", "--json").json["stories"]
    assert story["symbol"] == "MSFT"
    (older,) = cli("explain", f"{name}:2", "--json").json["stories"]
    assert older["symbol"] == "SPY"


def test_a_strategy_is_listed_with_the_id_and_row_to_explain(cli: Command, name: str) -> None:
    done = cli("explain", "value")
    assert (done.code, done.err) == (0, "")
    (match,) = cli("explain", "value", "--json").json["matches"]
    assert (match["symbol"], match["status"], match["reason"]) == (
        "AAPL",
        "rejected",
        "max_position_size_exceeded",
    )
    assert match["client_intent_id"][:12] in done.told
    assert f"{name}:5" in done.told
    assert "refused: max_position_size_exceeded" in done.told
    assert ids(cli, match["client_intent_id"][:12]) == [match["client_intent_id"]]


@pytest.mark.parametrize("asked", ["SPY", "spy"])
def test_a_symbol_is_listed_in_any_case(cli: Command, name: str, asked: str) -> None:
    assert {match["symbol"] for match in cli("explain", asked, "--json").json["matches"]} == {"SPY"}


def test_a_list_has_the_rows_that_are_in_no_batch(cli: Command, name: str) -> None:
    said = cli("explain", "QQQ", "--json").json
    assert (said["matches"], [row["row"] for row in said["set_aside"]]) == ([], [3])
    assert f"quarantined: {name}:3: qty is '1,5'" in cli("explain", "QQQ").told


def test_a_strategy_of_a_run_that_is_not_over_is_listed(cli: Command) -> None:
    drop(cli, order(strategy_id="soon"))
    cli("collect")
    assert "its run is not finished: it is not decided yet" in cli("explain", "soon").told


def test_a_list_is_of_the_newest_session_or_of_the_one_that_is_asked_for(cli: Command) -> None:
    for day, symbol in (("2026-03-02T15:00Z", "SPY"), ("2026-03-03T15:00Z", "QQQ")):
        with freeze_time(day):
            drop(cli, order(symbol=symbol))
            cli("run")
    listed = [match["symbol"] for match in cli("explain", "momentum", "--json").json["matches"]]
    assert listed == ["QQQ"]
    older = cli("explain", "momentum", "--json", "--day", "2026-03-02").json["matches"]
    assert [match["symbol"] for match in older] == ["SPY"]
    assert cli("explain", "momentum", "--day", "2026-03-04").code == 2
    assert "expected a session" in one_line_error(cli("explain", "momentum", "--day", "today"))


def test_twelve_characters_of_an_id_are_looked_for_in_the_newest_session_that_has_them(
    cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in ("02", "03", "04"):
        with freeze_time(f"2026-03-{day}T15:00Z"):
            drop(cli, order())
            cli("run")
    (newest,) = cli("explain", "momentum", "--json").json["matches"]
    read: list[str] = []
    table = RunFolder.table

    def noted(folder: RunFolder, *args: Any) -> Any:
        read.append(folder.trading_date.isoformat())
        return table(folder, *args)

    monkeypatch.setattr(RunFolder, "table", noted)
    for asked in (newest["client_intent_id"], newest["client_intent_id"][:12], f"{newest['source_file']}:1"):
        with freeze_time("2026-03-04T16:00Z"):
            assert cli("explain", asked).code == 0
        assert set(read) == {"2026-03-04"}
        read.clear()


def test_an_id_of_an_older_session_is_meant_where_newer_ones_begin_with_it(cli: Command) -> None:
    for day, intent_id in (("02", "order-1"), ("03", "order-10")):
        with freeze_time(f"2026-03-{day}T15:00Z"):
            drop(cli, order(client_intent_id=intent_id))
            cli("run")
    assert ids(cli, "order-1") == ["order-1"]


def test_several_ids_with_one_beginning_are_named(cli: Command) -> None:
    drop(cli, *(order(client_intent_id=f"order-of-the-morning-{i}") for i in range(3)))
    cli("run")
    error = one_line_error(cli("explain", "order-of-the"))
    assert "is the beginning of 3 ids: order-of-the-morning-0, order-of-the-morning-1" in error


def test_a_quarantined_row_is_found_by_the_beginning_of_its_id(cli: Command) -> None:
    drop(cli, order(client_intent_id="quarantined-row-1", qty=0))
    cli("run")
    assert "quarantined" in cli("explain", "quarantined-").out
