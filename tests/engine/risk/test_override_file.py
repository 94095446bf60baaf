"""Override files: what they may say, and every fault with its line, value, rule and remedy."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigurationError
from engine.risk.book import RULE_BOOK
from engine.risk.override_file import ABOUT, Override, Terms, override_text, parse_override, why_never
from engine.risk.rule import Rule

TODAY, FOLLOWING = date(2026, 3, 6), date(2026, 3, 9)
TERMS = Terms(RULE_BOOK, TODAY, FOLLOWING)
FILE = "overrides/one.toml"
GOOD = """\
rule = "max_position_size_exceeded"
strategy_id = "momentum"
expires_on = 2026-03-06
approved_by = "ann"
why = "index rebalance"
"""
PARSED = Override(
    "max_position_size_exceeded", "strategy_id", "momentum", TODAY, "ann", "index rebalance", FILE
)


def of(rule: str) -> str:
    return GOOD.replace("max_position_size_exceeded", rule)


def parsed(text: str) -> Override:
    return parse_override(text.encode(), file=FILE, terms=TERMS)


def refused(text: str | bytes) -> tuple[str, ...]:
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(ConfigurationError) as error:
        parse_override(content, file=FILE, terms=TERMS)
    assert error.value.exit_code == 2
    return error.value.lines


def test_an_override_is_read_with_its_rule_what_it_is_about_session_who_and_why() -> None:
    assert parsed(GOOD) == PARSED
    assert str(PARSED) == (
        "strategy momentum passes max_position_size_exceeded in the session 2026-03-06: index rebalance "
        "(ann, overrides/one.toml)"
    )


@pytest.mark.parametrize(
    ("line", "about", "name"),
    [
        ('client_intent_id = "a-1"', "client_intent_id", "a-1"),
        ('symbol = "brk/b"', "symbol", "BRK.B"),
        ('strategy_id = " momentum "', "strategy_id", "momentum"),
    ],
)
def test_it_is_about_one_intent_symbol_or_strategy(line: str, about: str, name: str) -> None:
    found = parsed(GOOD.replace('strategy_id = "momentum"', line))
    assert (found.about, found.name) == (about, name)
    row = found.row()
    assert [row[field] for field in ABOUT] == [name if field == about else None for field in ABOUT]


@pytest.mark.parametrize("written", ["2026-03-06", '"2026-03-06"', "2026-03-09"])
def test_it_is_written_for_this_session_or_the_next(written: str) -> None:
    assert parsed(GOOD.replace("= 2026-03-06", f"= {written}")).expires_on in {TODAY, FOLLOWING}


def test_a_byte_order_mark_and_comments_are_taken() -> None:
    assert parse_override(b"\xef\xbb\xbf# so\r\n" + GOOD.encode(), file=FILE, terms=TERMS) == PARSED


@pytest.mark.parametrize(
    ("text", "line", "said", "remedy"),
    [
        (GOOD.replace("03-06", "03-10"), 3, "expires_on is 2026-03-10; expected 2026-03-06 (this", "anew"),
        (
            GOOD.replace("03-06", "03-07"),
            3,
            "expires_on is 2026-03-07; expected",
            "2026-03-09 (the next one)",
        ),
        (GOOD.replace("2026-03-06", "7"), 3, "expires_on is 7; expected", "Write expires_on = 2026-03-06"),
        (GOOD.replace("2026-03-06", "2026-03-06T10:00:00"), 3, "expires_on is 2026-03-06T10:00:00", "Write"),
        (GOOD.replace("2026-03-06", '"soon"'), 3, "expires_on is 'soon'; expected", "Write"),
        (GOOD.replace("expires_on = 2026-03-06\n", ""), 1, "expires_on is missing; expected", "Write"),
        (GOOD.replace("max_position", "max_positon"), 1, "is no rule.", "Did you mean max_position_size_exc"),
        (
            GOOD.replace("max_position_size_exceeded", "kill_switch_enabled"),
            1,
            "kill_switch_enabled can't be",
            "R",
        ),
        (
            GOOD.replace("max_position_size_exceeded", "duplicate_intent"),
            1,
            "duplicate_intent can't be over",
            "R",
        ),
        (
            GOOD.replace("max_position_size_exceeded", "invalid_intent"),
            1,
            "invalid_intent can't be",
            "Remove",
        ),
        (
            GOOD.replace("max_position_size_exceeded", "risk_data_unavailable"),
            1,
            "data that is unav",
            "drop the",
        ),
        (GOOD.replace('"max_position_size_exceeded"', "7"), 1, "rule is 7; expected", "in quotes"),
        (GOOD.replace('rule = "max_position_size_exceeded"\n', ""), 1, "rule is missing", "Add it"),
        (GOOD + 'symbol = "SPY"\n', 6, "strategy_id and symbol are both given", "Keep one"),
        (GOOD.replace('strategy_id = "momentum"\n', ""), 1, "what it is about is missing", "expected one of"),
        (GOOD.replace('"momentum"', '""'), 2, "strategy_id is ''; expected it as an intent has it", "Write"),
        (GOOD.replace('"momentum"', "7"), 2, "strategy_id is 7; expected", "in quotes"),
        (GOOD.replace('strategy_id = "momentum"', 'symbol = "A B"'), 2, "symbol is 'A B'; expected", "Write"),
        (
            GOOD.replace("strategy_id", "stratgy_id"),
            2,
            "'stratgy_id' is no key of an override.",
            "strategy_id?",
        ),
        (GOOD.replace('"ann"', '" "'), 4, "approved_by is ' '; expected who approved it", "Write"),
        (GOOD.replace('approved_by = "ann"\n', ""), 1, "approved_by is missing; expected", "Add it"),
        (GOOD.replace('"index rebalance"', "true"), 5, "why is true; expected the reason", "Write"),
        (GOOD.replace('"ann"', "ann"), 4, "this is no TOML: Invalid value", "Write one key = value"),
        (GOOD + 'why = "again"\n', 6, "this is no TOML: Cannot overwrite a value", "Write one key = value"),
        (GOOD + "[more]\n", 6, "'more' is no key of an override.", "Expected one of"),
        ("", 1, "expires_on is missing", "Write"),
    ],
)
def test_a_fault_is_named_with_line_value_rule_and_remedy(
    text: str, line: int, said: str, remedy: str
) -> None:
    found = [one for one in refused(text) if said in one]
    assert len(found) == 1, refused(text)
    assert found[0].startswith(f"{FILE}:{line}: ")
    assert remedy in found[0][found[0].index(said) :]


def test_all_faults_are_named_at_once_in_the_order_of_their_lines() -> None:
    faults = refused(
        GOOD.replace("max_position", "max_positon").replace('"ann"', "1").replace("03-06", "03-20")
    )
    assert [fault.split(": ")[0] for fault in faults] == [f"{FILE}:{line}" for line in (1, 3, 4)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (GOOD.encode() + b"# \xff\n", f"{FILE}:6: the text is not UTF-8"),
        (b"#" * 65_537, f"{FILE}:1: the file has 65537 bytes"),
        (b"\x00", f"{FILE}:1: this is no TOML"),
        (b"a = " + b"[" * 5_000, f"{FILE}:1: this is no TOML"),
    ],
)
def test_what_is_no_text_of_an_override_is_refused(content: bytes, said: str) -> None:
    (fault,) = refused(content)
    assert fault.startswith(said)


def test_what_has_expired_is_not_checked_any_further() -> None:
    expired = parsed(GOOD.replace("03-06", "03-05").replace("max_position", "an_old_rule"))
    assert (expired.expires_on, expired.name) == (date(2026, 3, 5), "momentum")
    assert parsed("expires_on = 2026-03-05").rule == "unknown"


@pytest.mark.parametrize("rule", RULE_BOOK, ids=lambda rule: rule.name)
def test_a_rule_may_be_overridden_as_its_file_says(rule: Rule) -> None:
    name, overridable = rule.name, rule.overridable
    assert (why_never(name, TERMS) == "") is overridable


def test_the_kill_switch_and_what_keeps_a_row_one_order_are_never_overridden() -> None:
    never = {"kill_switch_enabled", "invalid_intent", "duplicate_intent", "account_not_configured"}
    assert never.isdisjoint(TERMS.rules)


TEXT = st.text(min_size=1, max_size=40).map(lambda text: " ".join(text.split())).filter(bool)


@given(by=TEXT, why=TEXT)
def test_what_the_command_writes_is_read_back(by: str, why: str) -> None:
    written = replace(PARSED, approved_by=by, why=why)
    try:
        content = override_text(written).encode()
        found = parse_override(content, file=FILE, terms=TERMS)
    except (ConfigurationError, UnicodeEncodeError):  # a text that looks like a key, or half a character
        return
    assert found == written
