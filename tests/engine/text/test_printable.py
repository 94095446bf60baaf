"""What others wrote can't act on a terminal, a log or a spreadsheet."""

import csv
import io
import json
import unicodedata
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.log import EventLog
from engine.record.formats import json_bytes, json_line
from engine.text.printable import csv_cell, csv_value, is_printable, printable, printable_json, shown

ANY_TEXT = st.text(st.characters(exclude_categories=[]))
NASTY = st.text(
    st.sampled_from("=+-@;' \t\r\n\\x5cun1\x1b\x85\u202e\u2028\u200b\ud800\uff1d\ufe62\ufeff\x00ab")
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("intents.csv", "intents.csv"),
        ("Zürich 東京 ✓", "Zürich 東京 ✓"),
        ("C:\\new\\x41", "C:\\new\\x41"),
        ("\x1b[2Jgone\x1b]0;title\x07", r"\x1b[2Jgone\x1b]0;title\x07"),
        ("a\nerror: halted", r"a\nerror: halted"),
        ("a\rb\tc\x00\x7f", r"a\rb\tc\x00\x7f"),
        ("\x85\x9b31m", r"\x85\x9b31m"),
        ("abc\u202egpj.exe\u2066", r"abc\u202egpj.exe\u2066"),
        ("p\u200b\u200d\ufeff\u2060\u00ad", r"p\u200b\u200d\ufeff\u2060\xad"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("\udcff\ud800", r"\udcff\ud800"),
        ("\u3164\u2800\u034f\ufe0f", r"\u3164\u2800\u034f\ufe0f"),
        ("\U000e0041\U000e0101\ue000", r"\U000e0041\U000e0101\ue000"),
        ("a\u00a0b", r"a\xa0b"),
    ],
)
def test_what_is_not_printable_is_escaped_visibly(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert is_printable(text) == (text == shown)


@given(ANY_TEXT)
def test_a_printable_text_is_one_line_of_visible_characters_and_stays_as_it_is(text: str) -> None:
    shown = printable(text)
    assert not {unicodedata.category(letter) for letter in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert len(shown.splitlines()) <= 1
    assert printable(shown) == shown


@given(st.dictionaries(ANY_TEXT, ANY_TEXT))
def test_printable_json_has_the_same_values(value: dict[str, str]) -> None:
    text = printable_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(text) == value
    assert all(map(is_printable, text.split("\n")))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("it's", '"it\'s"'),
        ("a\u3164", r"'a\u3164'"),
        ("x" * 100, "'" + "x" * 78 + "…"),
        (["\x1b"], r"['\x1b']"),
        (b"\x1b", r"b'\x1b'"),
        ([10**5000], "a value of type list that can't be shown"),
        (1.5, "1.5"),
    ],
)
def test_a_value_is_shown_short_and_printable(value: object, said: str) -> None:
    assert shown(value) == said


@given(ANY_TEXT)
def test_an_event_of_the_log_is_one_printable_line_with_the_same_values(text: str) -> None:
    stream = io.StringIO()
    EventLog(stream).with_fields(about=text).event("fill", text, file=text)
    (line,) = stream.getvalue().splitlines()
    assert is_printable(line)
    told = json.loads(line)
    assert (told["about"], told["message"], told["file"]) == (text, text, text)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_an_error_on_a_terminal_is_one_printable_line() -> None:
    stream = Terminal()
    EventLog(stream).event("run_failed", "a\x1b[2J\nb", severity="ERROR")
    assert stream.getvalue() == "error: a\\x1b[2J\\nb\n"


@pytest.mark.parametrize("written", [json_bytes, json_line])
@given(text=ANY_TEXT)
def test_json_that_is_kept_is_printable_and_has_the_same_values(
    written: Callable[[dict[str, str]], bytes], text: str
) -> None:
    content = written({"name": text, "other": "é"})
    assert json.loads(content) == {"name": text, "other": "é"}
    assert all(map(is_printable, content.decode().split("\n")))


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("@SUM(1+1)", "'@SUM(1+1)"),
        ("+1+1", "'+1+1"),
        ("-1+1", "'-1+1"),
        ("-5", "'-5"),
        ("  =1+1", "'  =1+1"),
        ("\t=1+1", r"\t=1+1"),
        ("\r=1+1", r"\r=1+1"),
        ("\n=1+1", r"\n=1+1"),
        ("\uff1d1", "'\uff1d1"),
        ("\uff0b1", "'\uff0b1"),
        ("\uff0d1", "'\uff0d1"),
        ("\uff201", "'\uff201"),
        ("\xa0=1", r"\xa0=1"),
        ("a;=1+1", "a;'=1+1"),
        ("'=1", "''=1"),
        ("it's = 3", "it's = 3"),
        ("'quoted'", "'quoted'"),
        ("a-b+c@d", "a-b+c@d"),
        ("\x1b[2J", r"\x1b[2J"),
        (r"\x1b", r"\x5cx1b"),
        (r"C:\data", r"C:\data"),
        (-5, "-5"),
        (-0.25, "-0.25"),
        (Decimal("-0.000000001"), "-0.000000001"),
        (float("nan"), ""),
        (None, ""),
        (True, "True"),
    ],
)
def test_a_cell_is_no_formula_and_a_number_stays_one(value: object, cell: str) -> None:
    assert csv_cell(value) == cell
    if isinstance(value, str):
        assert csv_value(cell) == value


@given(ANY_TEXT | NASTY)
def test_a_cell_is_read_back_as_it_was_through_a_file(text: str) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="\n").writerow(["first", csv_cell(text)])
    line = written.getvalue()
    assert is_printable(line.removesuffix("\n"))
    ((_, cell),) = csv.reader([line])
    assert csv_value(cell) == text


@given(ANY_TEXT | NASTY)
def test_no_cell_begins_as_a_formula_in_any_spreadsheet(text: str) -> None:
    for cell in (csv_cell(text), *csv_cell(text).split(";")):
        assert not unicodedata.normalize("NFKC", cell).strip().startswith(("=", "+", "-", "@"))
