"""What others wrote can do nothing to the terminal, the log or the spreadsheet that shows it."""

from __future__ import annotations

import ast
import csv
import json
import os
import pty
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pandas as pd
import pytest

import jobs
from engine.text.printable import is_printable
from jobs.cli import cli as command_line
from tests.desk import order
from tests.jobs.command_line import SCRIPT, Command, jsonl
from tests.jobs.live_machine import Live

CRUEL = "a\x1b[35m\x1b]0;b\x07\x9b\x7f\u202ec\u200b\u2028\ud800\nerror: d\r\u3164;=1+1"
UNICODE = CRUEL.replace("\ud800", "")
IN_FILE_NAMES = CRUEL.replace("\ud800", "\udcff")
OURS = re.compile(r"\x1b\[(0|1|31|33)m")


def assert_clean(*texts: str) -> None:
    for text in texts:
        assert [line for line in text.split("\n") if not is_printable(line)] == []
        assert not text.startswith("error: d")
        assert "\nerror: d" not in text


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


ALL = dict(commands(command_line))


@pytest.fixture
def cruel_file(tmp_path: Path) -> Path:
    path = tmp_path / f"=cmd|{UNICODE}.jsonl"
    rows = [
        order(client_intent_id="good", metadata={UNICODE: UNICODE}),
        *(order(**{name: CRUEL}) for name in ("strategy_id", "symbol", "client_intent_id", "side", CRUEL)),
        order(qty=CRUEL),
    ]
    path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    return path


def put_by_hand(data: Path, cruel_file: Path) -> None:
    """Put files into the inbox past ``drop``, as a strategy can."""
    (data / "inbox").mkdir(parents=True)
    (data / "inbox" / f"{IN_FILE_NAMES}.csv").write_bytes(b"not utf-8, left")
    folder = data / "inbox" / UNICODE
    folder.mkdir()
    for name in (cruel_file.name, f"no{UNICODE}.csv", f"{UNICODE}.unknown", f"x{UNICODE}.parquet"):
        (folder / name).write_bytes(cruel_file.read_bytes())


@pytest.mark.parametrize("path", ALL, ids=" ".join)
@pytest.mark.parametrize("as_json", [False, True])
def test_no_command_hands_its_arguments_on(
    path: tuple[str, ...], *, as_json: bool, cli: Command, tmp_path: Path
) -> None:
    existing = tmp_path / f"{IN_FILE_NAMES}.csv"
    existing.write_bytes(b"broker_account_id,symbol,qty\n\x1b[35m\x07,\xe2\x80\xae,x\n")
    args: list[str] = []
    for parameter in ALL[path].params:
        is_path = isinstance(parameter.type, click.Path) and parameter.type.exists
        said = str(existing) if is_path else IN_FILE_NAMES
        if isinstance(parameter, click.Argument):
            args.append(said)
        elif parameter.required or (
            isinstance(parameter.type, click.types.StringParamType) and parameter.name != "host"
        ):
            args += [parameter.opts[0], said]
    can_json = any(parameter.name == "as_json" for parameter in ALL[path].params)
    done = cli(*path, *args, *(["--json"] if as_json and can_json else []))
    assert_clean(done.out, done.err)
    assert "Traceback" not in done.err
    if as_json and can_json:
        assert_clean(json.dumps(done.json))
    wrong = cli(*path, f"--{IN_FILE_NAMES}")
    assert wrong.code == 2
    assert_clean(wrong.out, wrong.err)
    missing = cli(*path, *(["--file", existing.with_name(f"{IN_FILE_NAMES}-gone")] * 2))
    assert_clean(missing.out, missing.err)


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_no_command_hands_names_ids_and_values_of_files_on(
    as_json: list[str], cli: Command, data: Path, cruel_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cruel_data = data / "=1+1;@SUM ü"  # one with control characters is refused as a setting
    monkeypatch.setenv("EXEC_DATA_DIR", str(cruel_data))
    put_by_hand(cruel_data, cruel_file)
    commands = (
        ["drop", cruel_file], ["status"], ["collect"], ["run"], ["status"], ["explain", "good"],
        ["halt", "--why", CRUEL, "--by", CRUEL], ["status"], ["doctor"], ["recover", "--why", CRUEL],
        ["replay", "2000-01-01..2099-01-01"], ["positions", "show"],
    )  # fmt: skip
    done = [cli(*args, *as_json, EXEC_INBOX_SETTLE_S="0") for args in commands]
    assert_clean(*(text for one in done for text in (one.out, one.err)))
    assert any("batched" in one.out for one in done)


def test_records_that_people_read_are_printable(cli: Command, data: Path, cruel_file: Path) -> None:
    put_by_hand(data, cruel_file)
    assert cli("run", EXEC_INBOX_SETTLE_S="0").code == 4  # of the name that is no UTF-8
    records = [*data.glob("runs/*/*/*.json"), *data.glob("quarantine/*/*.json*")]
    assert records
    assert_clean(*(path.read_text() for path in records))


def on_a_terminal(*args: object, **env: str) -> str:
    """Run the installed command on a pseudo-terminal and give all that appears on it, less our own styles."""
    process, terminal = pty.fork()
    if process == 0:  # pragma: no cover
        os.execve(SCRIPT, [str(SCRIPT), *map(str, args)], {**os.environ, "TERM": "xterm-256color", **env})
    said = b""
    with suppress(OSError):  # which is how a terminal ends
        while more := os.read(terminal, 1 << 16):
            said += more
    os.waitpid(process, 0)
    os.close(terminal)
    return OURS.sub("", said.decode().replace("\r\n", "\n"))


def test_a_terminal_gets_no_escape_sequences_but_our_own(data: Path, cruel_file: Path) -> None:
    put_by_hand(data, cruel_file)
    ran = on_a_terminal("run", EXEC_INBOX_SETTLE_S="0", EXECUTION_HALTED=UNICODE)
    assert "What came in" in ran
    assert_clean(ran, on_a_terminal("status"), on_a_terminal("explain", IN_FILE_NAMES))
    log = on_a_terminal("run", "--slot", IN_FILE_NAMES)
    assert "error: " in log
    assert_clean(log)


def test_blotter_and_summary_are_no_formulas_to_a_spreadsheet(live: Live, data: Path) -> None:
    account, strategy = "@SUM(1+1)", "=cmd|' /C calc'!A0"
    row = order(
        client_intent_id="-1-1", strategy_id=strategy, broker_account_id=account, reference_price=100_000
    )
    live.cli("drop", stdin=jsonl(row))
    ran = live("run", "--json", EXEC_BROKER_ACCOUNT_ID=account)
    assert ran.json["fills"] == 1
    live("day", ran.json["trading_date"])
    for name in ("blotter.csv", "summary.csv"):
        (path,) = data.glob(f"days/*/{name}")
        header, cells = csv.reader(path.read_text().splitlines())
        told = dict(zip(header, cells, strict=True))
        assert told["broker_account_id"] == f"'{account}"
        assert told["strategy_id"] == f"'{strategy}"
        assert float(told["slippage_bps"]) < 0
        assert not [cell for cell in cells if cell[:1] in "=+@" and cell]
    kept = pd.read_parquet(next(data.glob("days/*/blotter.parquet")))
    assert kept["strategy_id"].tolist() == [strategy]


def test_one_module_alone_prints() -> None:
    """A command that prints by itself would print what others wrote as it is."""
    folder = Path(jobs.__file__).parent
    for path in folder.glob("*.py"):
        if path.name == "tables.py":
            continue
        called = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        names = {ast.unparse(name) for name in called}
        assert not names & {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"}, (
            path
        )
