from __future__ import annotations

import re
from datetime import date

from engine.risk.levels import LimitsFile
from engine.risk.limits_file.checks import check_acknowledged, check_dates, rules_off
from engine.risk.limits_file.parsing import parse_limits_file
from engine.risk.limits_file.template import template
from engine.risk.limits_file.writing import toml_value
from tests.engine.risk.limits_file.files import KNOWN, RULES

TODAY = date(2026, 11, 30)
BY_DEFAULT = {key for key, limit in KNOWN.items() if limit.default is not None}
OF_RULES = {name: tuple(KNOWN[key] for key in keys) for name, keys in RULES.items()}
OTHERS = [limit for key, limit in KNOWN.items() if not any(key in keys for keys in RULES.values())]
OFF = rules_off(None, RULES, set_elsewhere=BY_DEFAULT)
TEXT = template(OF_RULES, OTHERS, off=OFF, on=TODAY)


def parsed(text: str) -> LimitsFile:
    return parse_limits_file(text, path="limits.toml", known=KNOWN)


def test_the_template_passes_every_check_as_it_is_printed() -> None:
    file = parsed(TEXT)
    assert check_dates(file, TODAY) == ()
    check_acknowledged(file, RULES, set_elsewhere=BY_DEFAULT)


def test_the_template_keeps_the_defaults_and_sets_nothing_else() -> None:
    (section,) = parsed(TEXT).sections
    assert section.values == {"max_position_qty": 100.0, "max_daily_trades": 50}


def test_the_template_has_every_rule_and_every_key() -> None:
    assert [name for name in RULES if name not in TEXT] == []
    assert [key for key in KNOWN if not re.search(f"^(# )?{key} = ", TEXT, re.MULTILINE)] == []


def test_every_limit_of_the_template_holds_once_its_sign_is_taken_away() -> None:
    text = re.sub(r"(?m)^# (?=\[|\w+ = )", "", TEXT)
    file = parsed(re.sub(r"(?ms)^acknowledged_off = \[.*?^\]", 'acknowledged_off = ["*"]', text))
    assert {key for section in file.sections for key in section.values} == KNOWN.keys()
    assert file.warn_at == 0.8
    assert len(file.temporary) == 1
    check_dates(file, TODAY)


def test_a_line_of_the_template_says_what_its_limit_means_and_in_which_unit() -> None:
    line = next(line for line in TEXT.splitlines() if line.startswith("# max_order_notional_usd"))
    assert re.fullmatch("# max_order_notional_usd = 25_000 +# USD: worth of an order", line)


def test_values_are_written_as_they_are_read() -> None:
    for value, text in (
        (0.1, "0.1"),
        (100.0, "100"),
        (25_000, "25_000"),
        (1e-9, "0.000000001"),
        (123456789.123456, "123456789.123456"),
        (0.0, "0"),
        (True, "true"),
        (("A", 'b"\\'), '["A", "b\\"\\\\"]'),
        (date(2027, 3, 31), "2027-03-31"),
    ):
        assert toml_value(value) == text
