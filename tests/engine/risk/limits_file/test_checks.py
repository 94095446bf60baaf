from __future__ import annotations

import re
from datetime import date, timedelta

import pytest

from engine.errors import ConfigurationError
from engine.risk.limits_file.checks import check_acknowledged, check_dates, rules_off
from tests.engine.risk.limits_file.files import FIRST_LINE, HEAD, RULES, limits

REVIEW = date(2027, 3, 31)
BY_DEFAULT = {"max_position_qty", "max_daily_trades"}


def temporary(name: str, scope: str, until: str) -> str:
    return (
        f'[temporary.{name}]\nscope = "{scope}"\nuntil = {until}\napproved_by = "ann"\nwhy = "x"\n'
        f"max_position_qty = 1\n"
    )


@pytest.mark.parametrize("day", [date(2026, 1, 1), REVIEW])
def test_a_file_warns_of_nothing_until_the_day_of_its_review(day: date) -> None:
    assert check_dates(limits(), day) == ()


@pytest.mark.parametrize("days", [1, 30])
def test_for_30_days_after_its_review_a_file_warns(days: int) -> None:
    (warning,) = check_dates(limits(), REVIEW + timedelta(days=days))
    assert warning == (
        "limits.toml:3: the limits were to be reviewed by 2027-03-31, by risk desk. From 2027-05-01 on "
        "nothing runs with this file."
    )


def test_from_the_31st_day_after_its_review_a_file_is_refused() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"^limits\.toml:3: review_by is 2027-03-31, more than 30 days before 2027-05-01;",
    ):
        check_dates(limits(), REVIEW + timedelta(days=31))


def test_a_temporary_limit_holds_through_its_last_session_and_is_refused_after_it() -> None:
    file = limits(temporary("index-rebalance", "limits", "2026-12-18"))
    assert check_dates(file, date(2026, 12, 18)) == ()
    with pytest.raises(ConfigurationError) as caught:
        check_dates(file, date(2026, 12, 19))
    assert str(caught.value).startswith(
        f"limits.toml:{FIRST_LINE}: [temporary.index-rebalance] ended with the session of 2026-12-18, and "
        f"this one is 2026-12-19; expected sections that still hold. Take the section out;"
    )


def test_every_date_that_has_passed_is_named() -> None:
    file = limits(temporary("a", "limits", "2026-12-18") + temporary('"b c"', "symbol.X", "2026-12-18"))
    with pytest.raises(ConfigurationError) as caught:
        check_dates(file, REVIEW + timedelta(days=31))
    assert [line.split(" ")[0] for line in caught.value.lines] == [
        f"limits.toml:{FIRST_LINE}:",
        f"limits.toml:{FIRST_LINE + 6}:",
        "limits.toml:3:",
    ]


def acknowledging(*names: str, body: str = "") -> None:
    listed = ", ".join(f'"{name}"' for name in names)
    check_acknowledged(
        limits(body, head=HEAD.replace('["*"]', f"[{listed}]")), RULES, set_elsewhere=BY_DEFAULT
    )


OFF = ("max_order_notional_exceeded", "restricted_symbol", "short_sale_not_allowed")


def test_every_rule_that_nothing_sets_is_named_or_the_line_to_write_is() -> None:
    acknowledging(*OFF)
    with pytest.raises(ConfigurationError) as caught:
        acknowledging(OFF[2])
    assert str(caught.value) == (
        "limits.toml:4: nothing sets a limit of these rules: max_order_notional_exceeded, restricted_symbol, "
        "and acknowledged_off does not say that this is meant. Set a limit, or write acknowledged_off = "
        '["short_sale_not_allowed", "max_order_notional_exceeded", "restricted_symbol"]'
    )


def test_the_line_that_is_proposed_is_accepted() -> None:
    with pytest.raises(ConfigurationError) as caught:
        acknowledging()
    line = str(caught.value).rpartition("write ")[2]
    head = re.sub("(?m)^acknowledged_off.*$", line, HEAD)
    check_acknowledged(limits(head=head), RULES, set_elsewhere=BY_DEFAULT)


def test_a_rule_is_on_by_any_of_its_keys_at_any_level_or_elsewhere() -> None:
    acknowledging(*OFF[::2], body="[limits]\nallowed_symbols = []")
    acknowledging(*OFF[::2], body="[strategy.x.symbol.Y]\nrestricted_symbols = []")
    acknowledging(
        *OFF[::2],
        body=temporary("t", "limits", "2026-12-18") + "allowed_symbols = []",
    )
    file = limits(head=HEAD.replace('["*"]', f'["{OFF[0]}", "{OFF[2]}"]'))
    check_acknowledged(file, RULES, set_elsewhere={*BY_DEFAULT, "restricted_symbols"})


def test_a_star_names_every_rule_of_today_and_tomorrow() -> None:
    acknowledging("*")
    acknowledging("*", OFF[0])
    acknowledging("*", body="[limits]\nallow_short = false")


def test_a_rule_that_a_variable_or_a_default_sets_may_be_named() -> None:
    acknowledging(*OFF, "max_position_size_exceeded", "max_daily_trades_exceeded")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("restricted_symbols", "'restricted_symbols', which is no rule. Write restricted_symbol."),
        ("max_order_notional_exceded", "no rule. Did you mean max_order_notional_exceeded?"),
        ("zzz", "acknowledged_off has 'zzz', which is no rule. Take it out."),
        (
            "kill_switch_enabled",
            "kill_switch_enabled, which has no key in a limits file. Take it out.",
        ),
    ],
)
def test_what_is_no_rule_or_has_no_limit_is_not_acknowledged(name: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)) as caught:
        acknowledging(*OFF, name)
    assert str(caught.value).startswith("limits.toml:4: acknowledged_off has ")


def test_a_rule_that_the_file_sets_is_not_acknowledged_as_off() -> None:
    body = "[limits]\n[symbol.tsla]\nallow_short = false"
    with pytest.raises(ConfigurationError) as caught:
        acknowledging(*OFF, body=body)
    assert str(caught.value) == (
        f"limits.toml:4: acknowledged_off has short_sale_not_allowed, which is on: line {FIRST_LINE + 2} "
        f"sets allow_short in [symbol.TSLA]. Take the name out of the list."
    )


def test_a_wrong_name_in_a_list_of_lines_has_its_own() -> None:
    head = HEAD.replace('["*"]', '[\n  "*",\n  "zzz",\n]')
    with pytest.raises(ConfigurationError, match=r"^limits\.toml:6: acknowledged_off has 'zzz'"):
        check_acknowledged(limits(head=head), RULES, set_elsewhere=())


def test_rules_that_are_off_are_those_with_keys_that_nothing_sets() -> None:
    assert rules_off(None, RULES, set_elsewhere=BY_DEFAULT) == OFF
    assert rules_off(limits("[account.x]\nallow_short = true"), RULES, set_elsewhere=BY_DEFAULT) == OFF[:2]
