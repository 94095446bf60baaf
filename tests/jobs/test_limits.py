from __future__ import annotations

import json
import subprocess
from datetime import date, timedelta
from pathlib import Path

import pytest
from freezegun import freeze_time

from tests.jobs.command_line import SCRIPT, Command

HEAD = 'version = 1\nowner = "risk desk"\nreview_by = 2027-03-31\nacknowledged_off = ["*"]\n'
SESSION = "2026-11-30T15:00:00Z"
TEMPORARY = """
[temporary.index-rebalance]
scope = "account.paper-main"
max_daily_trades = 200
until = 2026-12-18
approved_by = "ann"
why = "index rebalance"
"""
PAGE = f"""{HEAD}
[limits]
max_position_qty = 100
max_daily_trades = 60
[account.paper-main]
max_daily_trades = 40
[symbol."brk/b"]
max_position_qty = 20.5
[strategy.momentum_v2.symbol.TSLA]
max_position_qty = 20
{TEMPORARY}"""


@pytest.fixture(autouse=True)
def _in_a_session() -> object:
    with freeze_time(SESSION):
        yield


@pytest.fixture
def file(data: Path) -> Path:
    path = data.parent / "limits.toml"
    path.write_text(PAGE)
    return path


def changed(file: Path, old: str, new: str) -> Path:
    other = file.with_name("other.toml")
    assert old in PAGE
    other.write_text(PAGE.replace(old, new))
    return other


def test_a_file_that_can_be_used_is_summed_up(cli: Command, file: Path) -> None:
    done = cli("limits", "check", file)
    assert done.code == 0
    assert (
        "can be used: 6 limits in 6 sections, 1 of them temporary; owner risk desk, to be reviewed by"
        in done.told
    )
    found = cli("limits", "check", file, "--json").json
    assert (found["exit_code"], found["owner"], found["review_by"]) == (0, "risk desk", "2027-03-31")
    assert found["temporary"] == [
        {"section": "[temporary.index-rebalance]", "until": "2026-12-18", "approved_by": "ann"}
    ]
    assert found["warnings"] == []


def test_every_fault_of_a_file_is_one_line_with_its_place(cli: Command, file: Path) -> None:
    other = changed(file, "max_position_qty = 100", 'max_positon_qty = 100\nmax_position_qty = "5"')
    done = cli("limits", "check", other)
    assert done.code == 2
    first, second = done.err.splitlines()
    assert first == (
        f"error: {other}:7: 'max_positon_qty' in [limits] is no limit. Did you mean max_position_qty?"
    )
    assert second.startswith(f"{other}:8: max_position_qty in [limits] is '5'; expected a number.")
    found = cli("limits", "check", other, "--json")
    assert (found.code, found.json["exit_code"]) == (2, 2)
    assert f"{other}:7: " in found.json["error"]


def test_a_file_that_has_expired_is_refused_and_one_to_be_reviewed_warns(cli: Command, file: Path) -> None:
    with freeze_time("2026-12-21T15:00:00Z"):
        done = cli("limits", "check", file)
    assert done.code == 2
    assert f"{file}:16: [temporary.index-rebalance] ended with the session of 2026-12-18" in done.err
    file.write_text(HEAD)
    with freeze_time("2027-04-01T15:00:00Z"):
        assert "Warning: " in cli("limits", "check", file).told
        assert len(cli("limits", "check", file, "--json").json["warnings"]) == 1
    with freeze_time("2027-05-03T15:00:00Z"):
        assert cli("limits", "check", file).code == 2


def test_the_session_is_that_of_new_york(cli: Command, file: Path) -> None:
    for timestamp, code in {"2026-12-19T00:59:00Z": 0, "2026-12-19T01:01:00Z": 2}.items():
        with freeze_time(timestamp):  # 20:00 New York: the day rolls
            assert cli("limits", "check", file).code == code


def test_a_rule_that_nothing_sets_has_to_be_named(cli: Command, file: Path) -> None:
    other = changed(file, '["*"]', "[]")
    done = cli("limits", "check", other)
    off = cli("limits", "check", file, "--json").json["off"]
    assert (done.code == 2) == bool(off)
    assert all(rule in done.err for rule in off)


def test_what_can_not_be_read_is_named(cli: Command, file: Path) -> None:
    done = cli("limits", "check", file.with_name("none.toml"))
    assert done.code == 2
    assert "FILE is '" in done.err
    assert "No such file or directory" in done.err


def test_the_template_passes_the_check_as_it_is_printed(cli: Command, file: Path) -> None:
    printed = cli("limits", "template")
    assert printed.code == 0
    file.write_text(printed.out)
    assert cli("limits", "check", file).code == 0
    assert cli("limits", "template", "--json").json["template"].splitlines() == printed.out.splitlines()
    assert json.loads(cli("limits", "diff", file, file, "--json").out)["lines"] == []


def test_the_template_changes_no_limit(cli: Command, file: Path) -> None:
    before = cli("limits", "show", "--json").json["limits"]
    file.write_text(cli("limits", "template").out)
    after = cli("limits", "show", "--json", EXEC_LIMITS_FILE=str(file)).json["limits"]
    assert [(one["limit"], one["value"]) for one in after] == [(one["limit"], one["value"]) for one in before]


def test_a_looser_line_wants_a_name(cli: Command, file: Path) -> None:
    other = changed(file, "max_daily_trades = 40", "max_daily_trades = 41")
    done = cli("limits", "diff", file, other)
    assert done.code == 2
    assert "LOOSER [account.paper-main] max_daily_trades 40 41 " in done.told
    assert (
        "1 line lets orders through that were refused before. Run again with --approved-by NAME" in done.err
    )
    approved = cli("limits", "diff", file, other, "--approved-by", "ann")
    assert approved.code == 0
    assert "Approved by ann." in approved.told
    found = cli("limits", "diff", file, other, "--json")
    assert found.code == 2
    assert (found.json["looser"], found.json["wants_approval"], found.json["approved_by"]) == (1, True, None)
    assert found.json["lines"] == [
        {
            "mark": "LOOSER",
            "section": "[account.paper-main]",
            "key": "max_daily_trades",
            "before": "40",
            "after": "41",
            "place": f"{other}:10:",
        }
    ]


@pytest.mark.parametrize("name", ["", " "])
def test_a_blank_name_approves_nothing(cli: Command, file: Path, name: str) -> None:
    other = changed(file, "max_daily_trades = 40", "max_daily_trades = 41")
    assert cli("limits", "diff", file, other, "--approved-by", name).code == 2


def test_a_tighter_line_needs_no_name(cli: Command, file: Path) -> None:
    other = changed(file, "max_daily_trades = 40", "max_daily_trades = 39")
    done = cli("limits", "diff", file, other)
    assert done.code == 0
    assert "TIGHTER [account.paper-main] max_daily_trades 40 39" in done.told
    assert "LOOSER" in cli("limits", "diff", other, file).told


def test_files_that_mean_the_same_differ_in_nothing(cli: Command, file: Path) -> None:
    other = changed(file, "max_position_qty = 20.5", "max_position_qty = 2.05e1 # the same")
    done = cli("limits", "diff", file, other)
    assert (done.code, done.told) == (0, "No limit differs.")


def test_a_file_that_can_not_be_used_is_not_compared(cli: Command, file: Path) -> None:
    done = cli("limits", "diff", file, changed(file, "max_daily_trades = 40", "max_daily_trades = nan"))
    assert done.code == 2
    assert "other.toml:10: max_daily_trades in [account.paper-main] is 'nan'" in done.err


def test_a_pipe_may_be_compared(file: Path) -> None:
    words = f"'{SCRIPT}' limits diff <(sed 's/= 40/= 41/' '{file}') '{file}'"
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "TIGHTER" in done.stdout


def test_what_applies_is_shown_with_where_it_is_set(cli: Command, file: Path) -> None:
    done = cli("limits", "show", EXEC_LIMITS_FILE=str(file))
    assert done.code == 0
    for row in (
        "max_daily_trades 60 trades [limits] not in account.paper-main, where a temporary limit holds",
        "max_daily_trades 200 trades [temporary.index-rebalance] account.paper-main until 2026-12-18,",
        "approved by ann: index rebalance",
        "max_position_qty 100 shares [limits]",
        'max_position_qty 20.5 shares [symbol."BRK.B"]',
        "max_position_qty 20 shares [strategy.momentum_v2.symbol.TSLA]",
    ):
        assert row in done.told
    assert "max_daily_trades 40" not in done.told
    assert done.told.count("default") == len(OF_QUOTES)


OF_QUOTES = [("max_quote_age_s", "60", "default"), ("max_spread_pct", "5", "default")]
"""What applies to the quotes that limits in money use."""


def shown(cli: Command, file: Path, *options: str, **env: str) -> list[tuple[str, str, str]]:
    found = cli("limits", "show", "--json", *options, EXEC_LIMITS_FILE=str(file), **env).json
    return [(one["limit"], one["value"], one["set_by"]) for one in found["limits"]]


def test_only_what_may_judge_the_asked_scope_is_shown(cli: Command, file: Path) -> None:
    other_account = shown(cli, file, "--account", "other", "--symbol", "SPY", "--strategy", "x")
    assert other_account == [
        *OF_QUOTES,
        ("max_daily_trades", "60", "[limits]"),
        ("max_position_qty", "100", "[limits]"),
    ]
    own = shown(cli, file, "--account", "paper-main", "--symbol", "tsla", "--strategy", "momentum_v2")
    assert own == [
        *OF_QUOTES,
        ("max_daily_trades", "200", "[temporary.index-rebalance]"),
        ("max_position_qty", "100", "[limits]"),
        ("max_position_qty", "20", "[strategy.momentum_v2.symbol.TSLA]"),
    ]
    assert ("max_position_qty", "20.5", '[symbol."BRK.B"]') in shown(cli, file, "--symbol", "BRK-B")


def test_a_name_that_nearly_is_one_of_the_file_is_asked_about(cli: Command, file: Path) -> None:
    def warned(name: str) -> list[str]:
        done = cli("limits", "show", "--json", "--strategy", name, EXEC_LIMITS_FILE=str(file))
        return list(done.json["warnings"])

    (warning,) = warned("Momentum_V2")
    assert warning == (
        "no section of the limits file is about the strategy Momentum_V2. Did you mean momentum_v2? Names "
        "count exactly as they are written."
    )
    assert warned("momentum_v2") == warned("value") == []


def test_a_variable_and_the_file_are_both_enforced(cli: Command, file: Path) -> None:
    done = cli("limits", "show", EXEC_LIMITS_FILE=str(file), EXEC_MAX_POSITION_QTY="70")
    assert (
        "max_position_qty 70 shares EXEC_MAX_POSITION_QTY both enforced: the tighter one decides" in done.told
    )
    assert "max_position_qty 100 shares [limits] both enforced: the tighter one decides" in done.told


def test_without_a_file_defaults_apply(cli: Command) -> None:
    done = cli("limits", "show")
    assert "EXEC_LIMITS_FILE is unset" in done.told
    assert "max_position_qty 100 shares default" in done.told
    assert "max_daily_trades 50 trades default" in done.told


def test_a_default_holds_beside_narrower_sections(cli: Command, file: Path) -> None:
    file.write_text(f"{HEAD}[account.x]\nmax_position_qty = 500\n")
    assert shown(cli, file) == [
        *OF_QUOTES,
        ("max_daily_trades", "50", "default"),
        ("max_position_qty", "100", "default"),
        ("max_position_qty", "500", "[account.x]"),
    ]


def test_the_accounts_that_may_trade_are_shown_with_their_settings(cli: Command) -> None:
    row = 'accounts ["paper"] EXEC_BROKER_ACCOUNT_ID or EXEC_ACCOUNTS_FILE'
    assert row in cli("limits", "show", EXEC_BROKER_ACCOUNT_ID="paper").told


def test_a_file_that_has_expired_shows_nothing(cli: Command, file: Path) -> None:
    with freeze_time(SESSION, tz_offset=0) as clock:
        clock.move_to(date(2026, 12, 18) + timedelta(days=3))
        done = cli("limits", "show", EXEC_LIMITS_FILE=str(file))
    assert done.code == 2
    assert "ended with the session of 2026-12-18" in done.err
