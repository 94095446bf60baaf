from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.risk.limits_file.difference import Change, compare, differences
from tests.engine.risk.limits_file.files import FIRST_LINE, HEAD, KNOWN, limits

TODAY = date(2026, 11, 30)


def changes(before: str, after: str, **heads: str) -> list[Change]:
    files = limits(before), limits(after, **heads)
    return list(differences(*files, KNOWN, on=TODAY))


def marks(before: str, after: str) -> list[str]:
    return [change.mark for change in changes(before, after)]


def test_a_line_says_where_it_stands_and_what_it_was_and_is() -> None:
    assert changes("[symbol.tsla]\nmax_position_qty = 50", "\n[symbol.TSLA]\nmax_position_qty = 60.5") == [
        Change("LOOSER", "[symbol.TSLA]", "max_position_qty", "50", "60.5", f"limits.toml:{FIRST_LINE + 2}:")
    ]
    assert changes("[symbol.tsla]\nmax_position_qty = 50_000", "") == [
        Change("LOOSER", "[symbol.TSLA]", "max_position_qty", "50_000", "", f"limits.toml:{FIRST_LINE + 1}:")
    ]


def test_what_means_the_same_is_no_difference() -> None:
    before = '[limits]\nmax_order_notional_usd = 25_000\nallowed_symbols = ["spy", "QQQ"]\n'
    after = '[limits]\nallowed_symbols = ["QQQ", "SPY"] # x\nmax_order_notional_usd = 25000.0\n'
    before, after = (
        f'{before}[symbol."BRK/B"]\nmax_position_qty=1',
        f'{after}[symbol."brk.b"]\nmax_position_qty=1.0',
    )
    assert changes(before, after) == []


ONE_LINE = [
    # before, after in [account.x] or for strategies in [strategy.x], mark
    ("max_order_notional_usd = 5", "max_order_notional_usd = 6", "LOOSER"),
    ("max_order_notional_usd = 6", "max_order_notional_usd = 5", "TIGHTER"),
    ("max_order_notional_usd = 5", "", "LOOSER"),
    ("", "max_order_notional_usd = 5", "TIGHTER"),
    ("max_order_notional_usd = 0", "", "LOOSER"),
    ("buying_power_buffer_pct = 5", "buying_power_buffer_pct = 6", "TIGHTER"),
    ("buying_power_buffer_pct = 6", "buying_power_buffer_pct = 5", "LOOSER"),
    ("buying_power_buffer_pct = 0", "", "LOOSER"),
    ("", "buying_power_buffer_pct = 0", "TIGHTER"),
    ("allow_short = true", "allow_short = false", "TIGHTER"),
    ("allow_short = false", "allow_short = true", "LOOSER"),
    ("allow_short = false", "", "LOOSER"),
    ("", "allow_short = false", "TIGHTER"),
    ("", "allow_short = true", "CHANGED"),
    ("reduce_only = false", "reduce_only = true", "TIGHTER"),
    ("reduce_only = true", "", "LOOSER"),
    ("reduce_only = false", "", "CHANGED"),
    ('allowed_symbols = ["A"]', 'allowed_symbols = ["A", "B"]', "LOOSER"),
    ('allowed_symbols = ["A", "B"]', 'allowed_symbols = ["A"]', "TIGHTER"),
    ('allowed_symbols = ["A"]', 'allowed_symbols = ["B"]', "LOOSER"),
    ('allowed_symbols = ["A"]', "", "LOOSER"),
    ("allowed_symbols = []", "", "LOOSER"),
    ("", "allowed_symbols = []", "TIGHTER"),
    ('restricted_symbols = ["A"]', 'restricted_symbols = ["A", "B"]', "TIGHTER"),
    ('restricted_symbols = ["A", "B"]', 'restricted_symbols = ["A"]', "LOOSER"),
    ('restricted_symbols = ["A"]', 'restricted_symbols = ["B"]', "LOOSER"),
    ('restricted_symbols = ["A"]', "", "LOOSER"),
    ("", "restricted_symbols = []", "CHANGED"),
    ('accounts = ["a"]', "", "LOOSER"),
    ("", 'accounts = ["a"]', "TIGHTER"),
    ('sides = ["buy"]', 'sides = ["buy", "sell"]', "LOOSER"),
    ('on_refusal = "row"', 'on_refusal = "file"', "TIGHTER"),
    ('on_refusal = "file"', 'on_refusal = "strategy"', "LOOSER"),
    ('on_refusal = "strategy"', "", "LOOSER"),
    ('on_refusal = "row"', "", "CHANGED"),
    ("", 'share = "pro_rata"', "CHANGED"),
    ('share = "pro_rata"', 'share = "first_come"', "CHANGED"),
]


@pytest.mark.parametrize(("before", "after", "mark"), ONE_LINE)
def test_a_line_is_looser_where_an_order_may_pass_that_did_not(before: str, after: str, mark: str) -> None:
    section = "[strategy.x]\nmax_daily_trades = 1\n"
    assert marks(section + before, section + after) == [mark]


def test_where_limits_sets_nothing_the_default_holds() -> None:
    assert marks("[limits]\nmax_position_qty = 500", "") == ["TIGHTER"]
    assert marks("[limits]\nmax_position_qty = 80", "") == ["LOOSER"]
    assert marks("[limits]\nmax_position_qty = 100", "") == ["CHANGED"]
    assert marks("", "[limits]\nmax_position_qty = 101") == ["LOOSER"]
    assert marks("", "[limits]\nmax_position_qty = 99") == ["TIGHTER"]
    assert marks("[account.x]\nmax_position_qty = 500", "") == ["LOOSER"]


def test_a_whole_section_that_goes_is_a_line_for_each_of_its_limits() -> None:
    before = "[account.x]\nmax_position_qty = 1\nmax_daily_trades = 2\n"
    assert [(change.key, change.mark) for change in changes(before, "")] == [
        ("max_position_qty", "LOOSER"),
        ("max_daily_trades", "LOOSER"),
    ]


def test_a_section_authorises_its_strategy_where_sections_are_required() -> None:
    required = "[limits]\nrequire_authorised_strategies = true\n"
    assert [(one.mark, one.section, one.key) for one in changes(required, required + "[strategy.x]")] == [
        ("LOOSER", "[strategy.x]", "")
    ]
    assert marks(required + "[strategy.x]", required) == ["TIGHTER"]
    assert marks("", "[strategy.x]") == ["CHANGED"]
    assert marks("", required + "[strategy.x]") == ["TIGHTER", "CHANGED"]
    assert marks(required, required + "[strategy.x]\nmax_daily_trades = 1") == ["LOOSER", "TIGHTER"]


NO_SHORT = "[limits]\nallow_short = false\n"
OF_ACCOUNT, OF_SYMBOL = (
    f"[{section}]\nmax_order_notional_usd = 9\n" for section in ("account.x", "symbol.S")
)


def temporary(
    value: str = "max_order_notional_usd = 100",
    *,
    scope: str = "account.x",
    until: str = "2026-12-18",
    by: str = "ann",
    name: str = "t",
) -> str:
    head = f'[temporary.{name}]\nscope = "{scope}"\nuntil = {until}'
    return f'\n{head}\napproved_by = "{by}"\nwhy = "w"\n{value}\n'


WIDER = "[limits]\nmax_order_notional_usd = 50\n"
TEMPORARY = [
    (WIDER, WIDER + temporary(), ["LOOSER"]),
    (WIDER + temporary(), WIDER, ["TIGHTER"]),
    (WIDER, WIDER + temporary("max_order_notional_usd = 40"), ["TIGHTER"]),
    (WIDER + temporary("max_order_notional_usd = 40"), WIDER, ["LOOSER"]),
    (WIDER, WIDER + temporary("max_order_notional_usd = 50"), ["CHANGED"]),
    ("", temporary(), ["TIGHTER"]),
    (temporary(), "", ["LOOSER"]),
    (WIDER + temporary(), WIDER + temporary("max_order_notional_usd = 101"), ["LOOSER"]),
    (WIDER + temporary(), WIDER + temporary("max_order_notional_usd = 99"), ["TIGHTER"]),
    (WIDER + temporary(), WIDER + temporary(until="2026-12-19"), ["LOOSER"]),
    (WIDER + temporary(), WIDER + temporary(until="2026-12-17"), ["TIGHTER"]),
    (
        WIDER + temporary("max_order_notional_usd = 40"),
        WIDER + temporary("max_order_notional_usd = 40", until="2026-12-17"),
        ["LOOSER"],
    ),
    (WIDER + temporary(), WIDER + temporary("max_order_notional_usd = 99", until="2027-12-17"), ["LOOSER"]),
    (WIDER + temporary(), WIDER + temporary(by="bob"), ["CHANGED"]),
    (WIDER + temporary(), WIDER + temporary(name="u"), ["CHANGED"]),
    (WIDER + temporary(), WIDER + temporary(scope="account.y"), ["LOOSER", "TIGHTER"]),
    (WIDER + temporary(until="2026-11-29"), WIDER, []),
    (WIDER + temporary(until="2026-11-30"), WIDER, ["TIGHTER"]),
    # Where [limits] sets nothing the default of 100 holds.
    ("", temporary("max_position_qty = 101"), ["LOOSER"]),
    ("", temporary("max_position_qty = 99"), ["TIGHTER"]),
    # Replaced are its own and wider sections, and the wider of two temporary limits; not the narrower.
    (OF_ACCOUNT, OF_ACCOUNT + temporary(), ["LOOSER"]),
    (OF_SYMBOL, OF_SYMBOL + temporary(), ["TIGHTER"]),
    (
        temporary("max_order_notional_usd = 9", scope="limits", name="u"),
        temporary("max_order_notional_usd = 9", scope="limits", name="u") + temporary(),
        ["LOOSER"],
    ),
    (WIDER, WIDER + temporary("allow_short = true"), ["CHANGED"]),
    (NO_SHORT, NO_SHORT + temporary("allow_short = true"), ["LOOSER"]),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "expected"), TEMPORARY)
def test_a_temporary_limit_is_compared_with_what_it_replaces(
    before: str, after: str, expected: list[str]
) -> None:
    assert marks(before, after) == expected


def test_a_temporary_section_authorises_its_strategy_too() -> None:
    required = "[limits]\nrequire_authorised_strategies = true\n"
    section = temporary("max_daily_trades = 1", scope="strategy.x")
    assert marks(required, required + section) == ["LOOSER"]
    assert marks(required + "[strategy.x]", required + "[strategy.x]" + section) == ["TIGHTER"]
    assert marks("", section) == ["TIGHTER"]


def test_a_temporary_line_says_until_when_and_who_approved_it() -> None:
    (change,) = changes(WIDER, WIDER + temporary())
    assert (change.section, change.key, change.before, change.after) == (
        "[temporary.t]",
        "max_order_notional_usd",
        "",
        "100 until 2026-12-18, approved by ann",
    )


def test_what_judges_nothing_is_changed_only() -> None:
    head = (
        HEAD.replace("risk desk", "desk 2").replace("2027-03-31", "2027-06-30").replace('["*"]', '["b", "a"]')
    )
    found = changes("[limits]\nwarn_at = 0.8", "[limits]\nwarn_at = 0.9", head=head)
    assert [(one.mark, one.section, one.key, one.before, one.after) for one in found] == [
        ("CHANGED", "", "owner", '"risk desk"', '"desk 2"'),
        ("CHANGED", "", "review_by", "2027-03-31", "2027-06-30"),
        ("CHANGED", "", "acknowledged_off", '["*"]', '["a", "b"]'),
        ("CHANGED", "[limits]", "warn_at", "0.8", "0.9"),
    ]


words = st.sets(st.sampled_from("ABC")).map(frozenset)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "max_position_qty": st.floats(0, 10),
    "buying_power_buffer_pct": st.floats(0, 10),
    "allow_short": st.booleans(),
    "reduce_only": st.booleans(),
    "allowed_symbols": words,
    "restricted_symbols": words,
    "on_refusal": st.sampled_from(["row", "strategy", "file"]),
}


@given(st.data(), st.sampled_from(sorted(VALUES)))
def test_two_changes_in_the_same_direction_are_one_and_back_is_the_opposite(data: Any, key: str) -> None:
    limit = KNOWN[key]
    value = st.none() | VALUES[key]
    one, two, three = data.draw(value), data.draw(value), data.draw(value)
    there, back = compare(limit, one, two), compare(limit, two, one)
    assert (there == "") == (back == "")
    if there == "TIGHTER":
        assert back == "LOOSER"
        assert compare(limit, two, three) != "TIGHTER" or compare(limit, one, three) == "TIGHTER"
    elif there == "LOOSER" and limit.kind != "names":
        assert back == "TIGHTER"
