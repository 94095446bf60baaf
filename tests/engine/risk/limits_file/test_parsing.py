from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigurationError
from engine.risk.levels import EVERYTHING, Scope
from tests.engine.risk.limits_file.files import FIRST_LINE, HEAD, KNOWN, limits

PAGE = """
version = 1
owner = "risk desk"
review_by = 2027-03-31
acknowledged_off = ["max_pct_adv_exceeded"]

[limits]
max_position_qty = 100
max_order_notional_usd = 25_000
warn_at = 0.8

[account.paper-main]
max_gross_exposure_usd = 1_000_000
[symbol.TSLA]
max_position_qty = 50
[strategy.momentum_v2]
accounts = ["paper-main"]
max_daily_trades = 20
[strategy.momentum_v2.symbol.TSLA]
max_position_qty = 20

[temporary.index-rebalance]
scope = "account.paper-main"
max_order_notional_usd = 100_000
until = 2026-12-18
approved_by = "ann"
why = "index rebalance"
"""


def test_a_whole_file_is_read_into_its_levels() -> None:
    file = limits(PAGE, head="")
    assert (file.path, file.content, file.version) == ("limits.toml", PAGE, 1)
    assert (file.owner, file.review_by, file.warn_at) == ("risk desk", date(2027, 3, 31), 0.8)
    assert file.acknowledged_off == {"max_pct_adv_exceeded"}
    assert [(section.source, section.scope, section.values) for section in file.sections] == [
        ("[limits]", EVERYTHING, {"max_position_qty": 100.0, "max_order_notional_usd": 25_000.0}),
        ("[account.paper-main]", Scope(account="paper-main"), {"max_gross_exposure_usd": 1e6}),
        ("[symbol.TSLA]", Scope(symbol="TSLA"), {"max_position_qty": 50.0}),
        (
            "[strategy.momentum_v2]",
            Scope(strategy="momentum_v2"),
            {"accounts": frozenset({"paper-main"}), "max_daily_trades": 20},
        ),
        (
            "[strategy.momentum_v2.symbol.TSLA]",
            Scope(strategy="momentum_v2", symbol="TSLA"),
            {"max_position_qty": 20.0},
        ),
    ]
    (temporary,) = file.temporary
    assert (temporary.source, temporary.scope) == (
        "[temporary.index-rebalance]",
        Scope(account="paper-main"),
    )
    assert (temporary.until, temporary.approved_by, temporary.why) == (
        date(2026, 12, 18),
        "ann",
        "index rebalance",
    )
    assert temporary.values == {"max_order_notional_usd": 100_000.0}


def test_sections_come_in_the_order_of_levels_wherever_they_are_written() -> None:
    file = limits("[strategy.a.symbol.X]\n[strategy.a]\n[symbol.X]\n[account.b]\n[account.a]\n[limits]\n")
    assert [section.source for section in file.sections] == [
        "[limits]",
        "[account.b]",
        "[account.a]",
        "[symbol.X]",
        "[strategy.a]",
        "[strategy.a.symbol.X]",
    ]


def test_a_section_without_limits_stays_since_it_authorises_its_strategy() -> None:
    assert limits("[strategy.a]\n").sections[-1].scope == Scope(strategy="a")


def test_a_section_of_a_symbol_is_one_of_its_strategy_too() -> None:
    file = limits("[strategy.a.symbol.X]\n[strategy.a.symbol.Y]\n")
    assert [section.source for section in file.sections] == [
        "[limits]",
        "[strategy.a]",
        "[strategy.a.symbol.X]",
        "[strategy.a.symbol.Y]",
    ]


@pytest.mark.parametrize(
    ("body", "scope", "source"),
    [
        ('[symbol."brk/b"]', Scope(symbol="BRK.B"), '[symbol."BRK.B"]'),
        ("[symbol.btcusd]", Scope(symbol="BTC/USD"), '[symbol."BTC/USD"]'),
        ('[account."main desk"]', Scope(account="main desk"), '[account."main desk"]'),
        ("[strategy.'a\"b']", Scope(strategy='a"b'), '[strategy."a\\"b"]'),
        ('["strategy" . x]', Scope(strategy="x"), "[strategy.x]"),
        ("account = { y = {} }", Scope(account="y"), "[account.y]"),
        ("strategy.x.symbol.tsla = {}", Scope(strategy="x", symbol="TSLA"), "[strategy.x.symbol.TSLA]"),
    ],
)
def test_names_of_sections_in_any_form_of_toml(body: str, scope: Scope, source: str) -> None:
    section = limits(body).sections[-1]
    assert (section.scope, section.source) == (scope, source)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0", 0.0),
        ("25_000", 25000.0),
        ("+5", 5.0),
        ("+5.5", 5.5),
        ("0.1", 0.1),
        ("1e3", 1000.0),
        ("0x10", 16.0),
        ("123456.123456789", 123456.123456789),
        ("1_0.2_5", 10.25),
    ],
)
def test_numbers_are_read_by_their_digits(written: str, value: float) -> None:
    assert limits(f"[limits]\nmax_position_qty = {written}").sections[0].values == {"max_position_qty": value}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("allow_short = false", False),
        ("reduce_only = true", True),
        ('allowed_symbols = ["spy", "BRK/B"]', {"SPY", "BRK.B"}),
        ("allowed_symbols = []", set()),
        ('accounts = ["a,b", "c"]', {"a,b", "c"}),
        ('sides = ["buy"]', {"buy"}),
        ('on_refusal = "file"', "file"),
    ],
)
def test_flags_lists_and_words_have_their_own_types(line: str, value: object) -> None:
    (found,) = limits(f"[strategy.x]\n{line}").sections[-1].values.values()
    assert found == value


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_mark_and_the_line_ends_of_windows_are_read_and_kept(mark: str, ends: str) -> None:
    text = mark + PAGE.replace("\n", ends)
    file = limits(text, head="")
    assert file.content == text
    assert file.sections == limits(PAGE, head="").sections


def test_all_rules_may_be_acknowledged_by_one_star() -> None:
    head = HEAD.replace('["*"]', '"*"')
    assert limits(head=head).acknowledged_off == {"*"}


HEADLESS = [
    ("version", "version = 1"),
    ("owner", 'owner = "risk desk", who answers'),
    ("review_by", "review_by = 2027-03-31"),
    ("acknowledged_off", "acknowledged_off = []"),
]


@pytest.mark.parametrize(("key", "expected"), HEADLESS)
def test_what_every_file_has_is_missed(key: str, expected: str) -> None:
    head = "".join(line for line in HEAD.splitlines(keepends=True) if not line.startswith(key))
    with pytest.raises(
        ConfigurationError, match=re.escape(f"limits.toml:1: {key} is missing; expected {expected}")
    ):
        limits(head=head)


WRONG_HEADS = [
    ("version", "2", "version is 2; expected 1"),
    ("version", '"1"', "version is '1'; expected 1"),
    ("version", "1.0", "version is 1.0; expected 1"),
    ("version", "true", "version is true; expected 1"),
    ("owner", '""', "owner is ''; expected 1 to 1000 characters"),
    ("owner", '" \\n "', "owner is "),
    ("owner", '"a\\u202eb"', "owner is 'a\\u202eb'; expected"),
    ("owner", "3", "owner is 3; expected"),
    ("review_by", '"2027-03-31"', "review_by is '2027-03-31'; expected a date. Write it without quotes"),
    ("review_by", "2027-03-31T10:00:00", "review_by is 2027-03-31T10:00:00; expected a date"),
    ("review_by", "10:00:00", "review_by is 10:00:00; expected a date"),
    ("acknowledged_off", '"x"', "acknowledged_off is 'x'; expected a list"),
    ("acknowledged_off", "[1]", "acknowledged_off is a list; expected a list of names"),
    ("acknowledged_off", "true", "acknowledged_off is true; expected a list"),
    ("acknowledged_off", '["a", "a"]', "acknowledged_off has 'a' twice"),
]


@pytest.mark.parametrize(("key", "value", "message"), WRONG_HEADS)
def test_a_wrong_head_is_refused_with_its_line(key: str, value: str, message: str) -> None:
    head = re.sub(f"(?m)^{key} = .*$", lambda _: f"{key} = {value}", HEAD)
    line = [name for name, _ in HEADLESS].index(key) + 1
    with pytest.raises(ConfigurationError, match=re.escape(f"limits.toml:{line}: {message}")):
        limits(head=head)


def test_of_another_version_nothing_else_is_judged() -> None:
    with pytest.raises(ConfigurationError) as caught:
        limits("[limits]\nmax_lots = 3", head=HEAD.replace("version = 1", "version = 2"))
    assert len(caught.value.lines) == 1


WRONG = [
    # body, line of the fault within it, message
    ("[limits]\nmax_positon_qty = 1", 2, "is no limit. Did you mean max_position_qty?"),
    ("[limits]\nEXEC_MAX_POSITION_QTY = 1", 2, "Did you mean max_position_qty?"),
    ("[limits]\nmax_order_notional_eur = 1", 2, "Did you mean max_order_notional_usd?"),
    ("[limits]\nmaxPositionQty = 1", 2, "Did you mean max_position_qty?"),
    ("[limits]\nzzz = 1", 2, "'zzz' in [limits] is no limit. `execution-engine limits template` prints"),
    ("[limit]\nmax_position_qty = 1", 1, "[limit] is no section of a limits file. Did you mean limits?"),
    ("[strategies.x]", 1, "[strategies] is no section of a limits file. Did you mean strategy?"),
    ("[zzz]", 1, "[zzz] is no section of a limits file. Sections begin with limits, account,"),
    ("onwer = 1", 1, "'onwer' is no key of a limits file. Did you mean owner?"),
    ("zzz = 1", 1, "'zzz' is no key of a limits file. Expected one of version,"),
    ("max_position_qty = 1", 1, "max_position_qty stands above the first section; expected it in one."),
    ("warn_at = 1", 1, "warn_at stands above the first section"),
    ("[limits]\nowner = 'x'", 2, "owner stands in [limits]; expected it above the first section."),
    ("[account.a]\nwarn_at = 0.5", 2, "warn_at stands in [account.a]; expected it in [limits] only."),
    ("limits = 3", 1, "limits is 3; expected a section [limits]."),
    ("[[limits]]", 1, "limits is a list; expected a section [limits]."),
    ("account = 'x'", 1, "account is 'x'; expected sections [account.NAME]."),
    ("[account]\nmax_position_qty = 1", 2, "'max_position_qty' stands right below [account];"),
    ("[strategy.x.symbol]\n\nTSLA = 1", 3, "'TSLA' stands right below [strategy.x.symbol]; expected"),
    ("[symbol.BRK.B]", 1, "[symbol.BRK] has a table 'B', which is no limit. Where it is a part of a name"),
    ("[account.a.symbol.X]", 1, "[account.a] has a table 'symbol', which is no limit."),
    ("[temporary]\nuntil = 2026-01-01", 2, "'until' stands right below [temporary]"),
    ('[account." a"]', 1, "account ' a' is no name; expected 1 to 128 characters without blanks at the ends"),
    ('[strategy."a\\u200bb"]', 1, "strategy 'a\\u200bb' is no name"),
    ('[symbol."T SLA"]', 1, "symbol 'T SLA' is no name; expected a symbol of 1 to 32 letters"),
    ('[symbol." TSLA"]', 1, "symbol ' TSLA' is no name"),
    ('[symbol.""]', 1, "symbol '' is no name"),
    ('[strategy.x.symbol."?"]', 1, "symbol '?' is no name"),
    ('[symbol."BRK.B"]\n[symbol."brk/b"]', 2, f"with its symbol in another spelling: line {FIRST_LINE}."),
    ("[strategy.x.symbol.TSLA]\n[strategy.x.symbol.tsla]", 2, "is a section already"),
    ("[strategy.x]\nrequire_authorised_strategies = true", 2, "expected it in [limits] only. Move it there."),
    ("[limits]\naccounts = []", 2, "accounts stands in [limits]; expected it in [strategy.NAME] only."),
    ("[strategy.x.symbol.TSLA]\naccounts = []", 2, "accounts stands in [strategy.x.symbol.TSLA];"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "line", "message"), WRONG)
def test_what_may_not_stand_there_is_refused_with_line_rule_and_remedy(
    body: str, line: int, message: str
) -> None:
    with pytest.raises(
        ConfigurationError, match=re.escape(f"limits.toml:{FIRST_LINE + line - 1}: ")
    ) as caught:
        limits(body)
    assert message in str(caught.value)
    assert len(caught.value.lines) == 1


WRONG_VALUES = [
    ("max_position_qty", "nan"), ("max_position_qty", "inf"), ("max_position_qty", "-inf"),
    ("max_position_qty", "-1"), ("max_position_qty", "-0.5"), ("max_position_qty", "1e9"),
    ("max_position_qty", "1_000_000_000"), ("max_position_qty", "0.0000000001"),
    ("max_position_qty", "1234567.123456789"), ("max_position_qty", "1e400"), ("max_position_qty", "1e-400"),
    ("max_position_qty", '"100"'), ("max_position_qty", "true"), ("max_position_qty", "[100]"),
    ("max_position_qty", "2026-01-01"), ("max_position_qty", "{ a = 1 }"),
    ("max_daily_trades", "1.5"), ("max_daily_trades", "50.0"), ("max_daily_trades", "-1"),
    ("max_daily_trades", "false"), ("max_daily_trades", "1000000000"),
    ("allow_short", "1"), ("allow_short", '"false"'), ("allow_short", "0.0"), ("allow_short", "[]"),
    ("allowed_symbols", '"SPY"'), ("allowed_symbols", "[1]"), ("allowed_symbols", '["SPY", ["A"]]'),
    ("allowed_symbols", '["SPY", "spy"]'), ("allowed_symbols", '["BTC/USD", "BTCUSD"]'),
    ("allowed_symbols", '["no symbol"]'), ("allowed_symbols", '[""]'), ("allowed_symbols", "[1.5]"),
    ("accounts", '["a", "a"]'), ("accounts", '["a", " a "]'), ("accounts", '["a\\u200b"]'),
    ("accounts", "true"),
    ("sides", '["long"]'), ("on_refusal", '"rows"'), ("on_refusal", "1"), ("on_refusal", '["row"]'),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), WRONG_VALUES)
def test_a_value_of_the_wrong_kind_is_refused_with_line_value_rule_and_remedy(key: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        limits(f"[strategy.x]\n\n{key} = {value}")
    assert re.fullmatch(
        rf"limits\.toml:{FIRST_LINE + 2}: {key} in \[strategy\.x\] (is|has) .*(expected|the same).*\.",
        str(caught.value),
    )


@pytest.mark.parametrize("value", ["-0.1", "1.01", "nan", '"0.8"', "true", "1e9"])
def test_a_share_to_warn_at_is_from_0_to_1(value: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"limits\.toml:{FIRST_LINE + 1}: warn_at .* from 0 to 1"):
        limits(f"[limits]\nwarn_at = {value}")


@pytest.mark.parametrize(("value", "share"), [("0", 0.0), ("1", 1.0), ("0.8", 0.8)])
def test_a_share_to_warn_at_may_be_at_both_ends(value: str, share: float) -> None:
    assert limits(f"[limits]\nwarn_at = {value}").warn_at == share


def test_a_wrong_element_has_its_own_line() -> None:
    with pytest.raises(ConfigurationError, match=f"limits.toml:{FIRST_LINE + 5}: .*'(?i:no symbol)'"):
        limits('[limits]\nallowed_symbols = [\n  "SPY", # 1\n\n  "QQQ",\n  "no symbol",\n  "also none",\n]')


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("[limits]\nmax_position_qty 1", 2, "'max_position_qty 1' is not TOML (Expected '=' after a key"),
        ("[limits]\nmax_position_qty = 25,000", 2, "Write one key = value on a line; numbers without commas"),
        ("[limits]\nmax_position_qty = None", 2, "(Invalid value). Write numbers in digits,"),
        ("[limits]\nallow_short = False", 2, "true or false in small letters"),
        ("[account.main desk]", 1, "Write names with blanks or dots in quotes"),
        ("[temporary.x]\nuntil = 2026-02-30", 2, "2026-02-30"),
        ("[limits]\nallowed_symbols = ['A',\n\n", 2, "The file ends too early: close the list"),
        ("[limits]\n[limits]", 2, f"'limits' is written a second time; the first is in line {FIRST_LINE}."),
        ("[limits]\nallow_short = true\n\nallow_short = true", 4, "'limits.allow_short' is written a"),
        ("[limits]\nallowed_symbols = []\nallowed_symbols = [\n\n\n]", 3, "is written a second time"),
        ("symbol.X = {}\n[symbol]\nX = {}", 2, "'[symbol]' is not TOML (Cannot declare ('symbol',) twice)"),
        ("[limits]\nmax_position_qty = 1\rmax_daily_trades = 1", 2, "is not TOML"),
        ("a\0b = 1", 1, "is not TOML"),
        (f"[limits]\nmax_position_qty = {'9' * 5000}", 2, "a number has thousands of digits"),
        ("a" + 40 * ".a" + " = 1", 1, "names or arrays are nested deeper than 32"),
        ("a = " + 5000 * "[", 1, "names or arrays are nested deeper than 32"),
        ("[limits]\nx = 'a", 2, "is not TOML"),
    ],
)  # fmt: skip
def test_what_is_not_toml_is_refused_with_its_line(body: str, line: int, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        limits(body)
    assert str(caught.value).startswith(f"limits.toml:{FIRST_LINE + line - 1}: ")
    assert message in str(caught.value)


TEMPORARY = {
    "scope": '"limits"',
    "until": "2026-12-18",
    "approved_by": '"ann"',
    "why": '"index rebalance"',
    "max_position_qty": "5",
}


def temporary(name: str = "x", changes: Mapping[str, str | None] | None = None) -> str:
    lines = {**TEMPORARY, **(changes or {})}
    return f"[temporary.{name}]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items() if value)


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ('"limits"', EVERYTHING),
        ('" limits "', EVERYTHING),
        ('"account.paper-main"', Scope(account="paper-main")),
        ('"account.a.b c"', Scope(account="a.b c")),
        ('"symbol.brk/b"', Scope(symbol="BRK.B")),
        ('"symbol.BRK.B"', Scope(symbol="BRK.B")),
        ('"strategy.m.v2"', Scope(strategy="m.v2")),
        ('"strategy.m.v2.symbol.BRK.B"', Scope(strategy="m.v2", symbol="BRK.B")),
        ("'strategy.\"m.symbol.x\"'", Scope(strategy="m.symbol.x")),
        ('\'strategy."m.symbol.x".symbol."BRK.B"\'', Scope(strategy="m.symbol.x", symbol="BRK.B")),
    ],
)
def test_the_scope_of_a_temporary_limit_is_the_name_of_a_section(text: str, scope: Scope) -> None:
    assert limits(temporary(changes={"scope": text})).temporary[0].scope == scope


WRONG_TEMPORARY: list[tuple[dict[str, str | None], int, str]] = [
    ({"scope": None}, 1, '[temporary.x] has no scope; expected scope = "limits", "account.NAME"'),
    ({"until": None}, 1, "[temporary.x] has no until; expected until = 2026-12-18, the last session"),
    ({"approved_by": None}, 1, "[temporary.x] has no approved_by"),
    ({"why": None}, 1, "[temporary.x] has no why"),
    ({"max_position_qty": None}, 1, "[temporary.x] sets no limit; expected at least one."),
    ({"scope": '"accounts.x"'}, 2, "scope in [temporary.x] is 'accounts.x'; expected \"limits\""),
    ({"scope": '"[limits]"'}, 2, "scope in [temporary.x] is '[limits]'; expected"),
    ({"scope": '"account."'}, 2, "scope in [temporary.x] is 'account.'; expected"),
    ({"scope": '"temporary.y"'}, 2, "expected"),
    ({"scope": "3"}, 2, "scope in [temporary.x] is 3; expected"),
    ({"scope": "'account.\"a\".\"b\"'"}, 2, "expected"),
    ({"scope": "'account.\"a'"}, 2, "expected"),
    ({"scope": '"symbol.T SLA"'}, 2, "symbol 'T SLA' is no name"),
    ({"scope": '"account. x"'}, 2, "account ' x' is no name"),
    ({"until": '"2026-12-18"'}, 3, "until in [temporary.x] is '2026-12-18'; expected a date."),
    ({"until": "2026-12-18T00:00:00Z"}, 3, "expected a date"),
    ({"approved_by": '" "'}, 4, "approved_by in [temporary.x] is ' '; expected 1 to 1000 characters"),
    ({"why": '"""a\nb"""'}, 5, "why in [temporary.x] is 'a\\nb'; expected 1 to 1000 characters on one line"),
    ({"max_position_qty": "nan"}, 6, "max_position_qty in [temporary.x] is 'nan'; expected a number"),
    ({"max_positon_qty": "1"}, 7, "in [temporary.x] is no limit. Did you mean max_position_qty?"),
    ({"untill": "1"}, 7, "'untill' in [temporary.x] is no limit. Did you mean until?"),
    ({"owner": "1"}, 7, "'owner' in [temporary.x] is no limit."),
    ({"accounts": "[]"}, 7, "accounts stands in [temporary.x]; expected it in [strategy.NAME] only."),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "line", "message"), WRONG_TEMPORARY)
def test_a_wrong_temporary_section_is_refused(
    changes: dict[str, str | None], line: int, message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        limits(temporary(changes=changes))
    assert str(caught.value).startswith(f"limits.toml:{FIRST_LINE + line - 1}: ")
    assert message in str(caught.value)
    assert len(caught.value.lines) == 1


def test_two_temporary_limits_of_one_key_and_scope_are_refused() -> None:
    first = temporary("a", {"scope": '"symbol.BRK.B"'})
    second = temporary("b", {"scope": '"symbol.brk/b"'})
    lines = (first + second).count("\n") + FIRST_LINE - 1
    with pytest.raises(ConfigurationError) as caught:
        limits(first + second)
    assert str(caught.value) == (
        f"limits.toml:{lines}: max_position_qty in [temporary.b] has a temporary limit of the same scope "
        f"already: line {FIRST_LINE + 5}. Keep one of them."
    )


@pytest.mark.parametrize(
    "other", [{"scope": '"symbol.X"'}, {"max_position_qty": None, "max_daily_trades": "1"}]
)
def test_temporary_limits_of_other_keys_or_scopes_stand_beside_each_other(
    other: dict[str, str | None],
) -> None:
    assert len(limits(temporary("a") + temporary("b", other)).temporary) == 2


def test_all_faults_are_named_at_once_in_the_order_of_their_lines() -> None:
    with pytest.raises(ConfigurationError) as caught:
        limits(
            "[limits]\nx = 1\nmax_position_qty = -1\n[symbol.X]\ny = 1", head=HEAD.replace("owner", "ownr")
        )
    places = [line.split(" ")[0] for line in caught.value.lines]
    assert places == [f"limits.toml:{line}:" for line in (1, 2, 6, 7, 9)]


def test_of_many_faults_the_first_twenty_are_named() -> None:
    with pytest.raises(ConfigurationError) as caught:
        limits("[limits]\n" + "".join(f"x{number} = 1\n" for number in range(50)))
    assert len(caught.value.lines) == 21
    assert caught.value.lines[-1] == "limits.toml: 30 more faults. Correct these first."


def test_a_secret_that_stands_there_is_not_shown() -> None:
    secret = "PKABCDEFGHIJKLMNOPQR"
    for body in (f'[limits]\nmax_position_qty = "{secret}"', f'owner = "{secret}"', f"[limits]\nx {secret}"):
        with pytest.raises(ConfigurationError) as caught:
            limits(body)
        assert secret not in str(caught.value)


def test_a_path_is_shown_printable() -> None:
    from engine.risk.limits_file.parsing import parse_limits_file

    with pytest.raises(ConfigurationError, match=re.escape(r"a\x1b[31m.toml:1: ")):
        parse_limits_file("x", path="a\x1b[31m.toml", known=KNOWN)


@given(st.text("[]{}=.#\"'\\\n\r abe1-_:,\ufeff\0é", max_size=40))
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^limits\.toml:\d+: "):
        limits(text + "\nx")


def test_a_file_of_many_sections_is_read_in_seconds() -> None:
    body = "".join(f"[symbol.A{number}]\nmax_position_qty = {number}\n" for number in range(20_000))
    assert len(limits(body).sections) == 20_001
