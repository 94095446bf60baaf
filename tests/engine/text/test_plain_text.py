"""Names hold what is seen of them and nothing else, written in one way."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.text.plain_text import folded, is_normal, is_plain, is_visible, trimmed

PLAIN = [
    *("paper", "Konto 7", "S&P_500/mean-rev.2", "k\u00f6ln", "\u03b1lpha", "\u6771\u4eac"),
    *("\u0928\u092e\u0938\u094d\u0924\u0947", "a\u0332b"),
]
UNSEEN = {
    "zero width space": "p\u200b",
    "zero width joiner": "p\u200dq",
    "byte order mark": "\ufeffp",
    "word joiner": "p\u2060",
    "soft hyphen": "p\u00adq",
    "right-to-left override": "p\u202eq",
    "left-to-right isolate": "\u2066p\u2069",
    "arabic letter mark": "p\u061c",
    "C0": "p\x1b[0m",
    "DEL": "p\x7f",
    "C1": "p\x85q",
    "C1 string terminator": "p\x9c",
    "line separator": "p\u2028q",
    "paragraph separator": "p\u2029",
    "no-break space": "p\u00a0q",
    "ideographic space": "p\u3000q",
    "narrow no-break space": "p\u202fq",
    "lone surrogate": "p\ud800",
    "private use": "p\ue000",
    "unassigned": "p\u0378",
    "noncharacter": "p\uffff",
    "tag": "p\U000e0061",
    "combining grapheme joiner": "p\u034f",
    "hangul fillers": "\u115f\u1160",
    "hangul filler": "p\u3164",
    "halfwidth hangul filler": "p\uffa0",
    "mongolian variation selector": "p\u180b",
    "variation selector": "p\ufe0f",
    "variation selector supplement": "p\U000e0100",
    "braille blank": "p\u2800",
    "khmer inherent vowel": "p\u17b4",
    "combining mark at the start": "\u0301p",
}
NOT_NORMAL = {
    "full width": "\uff50\uff41\uff50\uff45\uff52",
    "decomposed": "k\u006f\u0308ln",
    "ligature": "\ufb01nance",
    "superscript": "alpha\u00b2",
    "roman numeral": "book\u2163",
    "kelvin sign": "\u212a1",
    "mathematical letters": "\U0001d4ee",
}


@pytest.mark.parametrize("text", PLAIN)
def test_letters_of_any_script_are_plain(text: str) -> None:
    assert is_plain(text)


@pytest.mark.parametrize("text", UNSEEN.values(), ids=UNSEEN)
def test_what_is_not_seen_is_not_plain(text: str) -> None:
    assert not is_visible(text)
    assert not is_plain(text)


@pytest.mark.parametrize("text", NOT_NORMAL.values(), ids=NOT_NORMAL)
def test_another_way_to_write_the_same_letters_is_not_plain(text: str) -> None:
    assert is_visible(text)
    assert not is_normal(text)
    assert not is_plain(text)
    assert is_plain(unicodedata.normalize("NFKC", text))


@given(st.text(min_size=1))
@example("p\u200b")
def test_plain_text_has_no_character_of_a_category_that_is_not_seen(text: str) -> None:
    unseen = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    if is_plain(text):
        assert not {unicodedata.category(letter) for letter in text} & unseen
        assert all(letter == " " for letter in text if unicodedata.category(letter) == "Zs")
        assert unicodedata.normalize("NFKC", text) == text


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_plain_texts_that_are_one_in_normal_form_are_equal(one: str, other: str) -> None:
    normal = [unicodedata.normalize("NFKC", text) for text in (one, other)]
    if is_plain(one) and is_plain(other) and normal[0] == normal[1]:
        assert one == other


@given(st.from_regex(r"[ -~]+", fullmatch=True))
def test_all_of_printable_ascii_is_plain(text: str) -> None:
    assert is_plain(text)


def test_only_the_blanks_of_ascii_are_trimmed() -> None:
    assert trimmed(" \t\r\n\v\fpaper \n") == "paper"
    assert trimmed("\u00a0paper\u2028") == "\u00a0paper\u2028"


@pytest.mark.parametrize(
    "name", ["paper", "Paper", " paper\t", "pa\u200bper", "\uff30aper", "paper\u00a0", "\ufeffPAPER"]
)
def test_names_that_look_alike_fold_to_the_same(name: str) -> None:
    assert folded(name) == "paper"


@pytest.mark.parametrize("name", ["papers", "pa per", "paper-2", "p\u00e4per", "", "\u0440\u0430per"])
def test_names_that_look_different_fold_to_different_ones(name: str) -> None:
    assert folded(name) != "paper"


@given(st.text())
@example("\u3164 \u017fS\u00df")
def test_a_folded_name_folds_to_itself(name: str) -> None:
    assert folded(folded(name)) == folded(name)
