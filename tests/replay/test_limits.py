"""Limits by any of their names, read as strictly as the settings are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigurationError
from engine.risk.config import RiskConfig
from replay.limits import limits, limits_file, recorded_config, set_on_the_command_line

RECORDED = RiskConfig(max_position_qty=100.0, max_daily_trades=7, accounts=frozenset({"paper"}))


@pytest.mark.parametrize(
    ("said", "changed"),
    [
        ({"EXEC_MAX_POSITION_QTY": "50"}, {"max_position_qty": 50.0}),
        ({"max_position_size_exceeded": 50}, {"max_position_qty": 50.0}),
        ({"max_position_qty": 0.5}, {"max_position_qty": 0.5}),
        ({"max_daily_trades_exceeded": 0}, {"max_daily_trades": 0}),
        ({"EXEC_RISK_FAIL_OPEN": True}, {"fail_open": True}),
        ({"EXEC_RISK_FAIL_OPEN": "yes"}, {"fail_open": True}),
        ({"EXEC_POSITION_PROJECTION": "net"}, {"position_projection": "net"}),
        ({"intent_expired": 60}, {"intent_max_age_s": 60.0}),
        ({"EXEC_INTENT_MAX_AGE_S": "none"}, {"intent_max_age_s": None}),
        ({"account_not_configured": ["a", "b"]}, {"accounts": frozenset({"a", "b"})}),
        ({"EXEC_BROKER_ACCOUNT_ID": "a"}, {"accounts": frozenset({"a"})}),
        ({"accounts": []}, {"accounts": frozenset()}),
        ({}, {}),
    ],
)
def test_a_limit_may_be_called_by_rule_setting_or_field(
    said: dict[str, Any], changed: dict[str, Any]
) -> None:
    config = limits(said).of(RECORDED)
    assert config == RiskConfig(**{**vars(RECORDED), **changed})


def test_a_whole_configuration_takes_the_place_of_the_recorded_one() -> None:
    assert limits(RiskConfig(max_daily_trades=1)).of(RECORDED) == RiskConfig(max_daily_trades=1)


def test_without_any_the_recorded_limits_hold() -> None:
    assert limits(None).of(RECORDED) == RECORDED


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (
            {"EXEC_MAX_POSITON_QTY": 50},
            "EXEC_MAX_POSITON_QTY is no limit. Did you mean EXEC_MAX_POSITION_QTY?",
        ),
        ({"max_position_size_exeeded": 1}, "Did you mean max_position_size_exceeded?"),
        ({"EXEC_DATA_DIR": "x"}, "EXEC_DATA_DIR is no limit"),
        ({"kill_switch_enabled": True}, "rule kill_switch_enabled has no limit"),
        ({"EXEC_MAX_POSITION_QTY": "abc"}, "EXEC_MAX_POSITION_QTY is 'abc'; expected a number"),
        ({"max_position_size_exceeded": "nan"}, "max_position_size_exceeded is 'nan'; expected a number"),
        ({"max_position_qty": -1}, "max_position_qty is '-1'; expected a number"),
        ({"max_position_qty": True}, "max_position_qty is True; expected a number"),
        ({"max_position_qty": [1]}, r"max_position_qty is \[1\]; expected a number"),
        ({"max_daily_trades": 1.5}, "max_daily_trades is '1.5'; expected a whole number"),
        ({"fail_open": 1}, "fail_open is 1; expected true or false"),
        ({"fail_open": "perhaps"}, "fail_open is 'perhaps'; expected 1, true"),
        ({"position_projection": "none"}, "position_projection is 'none'; expected worst_case or net"),
        ({"accounts": [1]}, r"accounts is \[1\]; expected names of accounts"),
        ({"max_position_qty": 1, "EXEC_MAX_POSITION_QTY": 2}, "is the same limit as max_position_qty"),
    ],
)
def test_what_is_no_limit_or_no_value_of_one_is_refused(said: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigurationError, match=error):
        limits(said)


def test_a_limits_file_is_toml(tmp_path: Path) -> None:
    file = tmp_path / "limits.toml"
    file.write_text("max_position_size_exceeded = 50\nEXEC_MAX_DAILY_TRADES = 3\n")
    assert limits_file(file) == {"max_position_qty": 50.0, "max_daily_trades": 3}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("max_position_size_exceeded: 50", "is not TOML"),
        ("[limits]\nmax_position_qty = 1", r":1: version is missing; expected version = 1"),
        ("max_position_siz_exceeded = 50", "Did you mean max_position_size_exceeded?"),
        ("# " + "x" * 1_000_001, "expected at most 1000000"),
    ],
)
def test_a_limits_file_that_is_none_is_named(tmp_path: Path, content: str, error: str) -> None:
    file = tmp_path / "limits.toml"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=error) as raised:
        limits_file(file)
    assert str(raised.value).startswith(str(file))


def test_the_command_line_says_name_and_value() -> None:
    assert set_on_the_command_line(["EXEC_MAX_POSITION_QTY=50"]) == {"max_position_qty": 50.0}
    for word in ("EXEC_MAX_POSITION_QTY", "EXEC_MAX_POSITION_QTY=", "=5"):
        with pytest.raises(ConfigurationError, match="--set"):
            set_on_the_command_line([word])


def test_a_recorded_limit_that_is_not_known_any_more_is_named() -> None:
    said = {**vars(RECORDED), "accounts": ["paper"], "max_of_old": 3}
    assert recorded_config(said) == (RECORDED, ["max_of_old"])
