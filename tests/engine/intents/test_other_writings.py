"""Files as other programs write them: read rightly, or refused with the remedy that helps."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from tests.engine.intents.files import HEADER, messages, order, read, values

ROWS = [order(qty=1.5), order(symbol="QQQ", qty=2)]
FRAME = pd.DataFrame(ROWS)
ROW = "momentum,paper,SPY,buy,1.5"
AS_UTF8 = 'Save it as UTF-8: "CSV UTF-8" in Excel, encoding="utf-8" in pandas.'
COMMAS = (
    "Separate them by commas and write 1.5 for one and a half: in pandas to_csv(path, index=False), without "
    "sep and decimal."
)
AS_RECORDS = 'Write it with orient="records", as in frame.to_json(path, orient="records").'


def only_message(name: str, content: bytes | str) -> str:
    file = read(name, content)
    assert (file.unreadable, file.table.num_rows) == (True, 0)
    (message,) = messages(file)
    return message.removeprefix(f"{name}: ")


@pytest.mark.parametrize("orient", ["columns", "index", "split", "table", "values"])
def test_a_frame_that_is_not_written_row_by_row_is_refused_with_the_orientation_to_use(orient: str) -> None:
    said = only_message("a.json", FRAME.to_json(orient=orient))
    assert said.endswith(f". {AS_RECORDS}")
    assert orient == "values" or f"(orient={orient!r})" in said


def test_a_frame_that_is_written_row_by_row_is_read() -> None:
    assert values(read("a.json", FRAME.to_json(orient="records")), "qty") == [1.5, 2.0]
    assert values(read("a.jsonl", FRAME.to_json(orient="records", lines=True)), "qty") == [1.5, 2.0]


@pytest.mark.parametrize("key", ["orders", "data", "Intents"])
def test_a_list_that_is_all_an_object_holds_is_read_row_by_row(key: str) -> None:
    file = read("a.json", json.dumps({key: ROWS}))
    assert (values(file, "symbol"), values(file, "source_row")) == (["SPY", "QQQ"], [1, 2])
    assert values(file, "client_intent_id") == values(read("b.json", json.dumps(ROWS)), "client_intent_id")
    assert read("a.json", json.dumps({key: []})).rows == 0


def test_a_list_with_more_beside_it_is_refused_since_that_would_be_lost() -> None:
    said = only_message("a.json", json.dumps({"account": "paper", "orders": ROWS}))
    assert said == (
        "an object with a list of objects under 'orders' and more beside it. Write the list alone, and into "
        "each row what holds for it."
    )


def test_an_order_with_a_list_of_objects_in_its_metadata_is_an_order() -> None:
    file = read("a.json", json.dumps(order(tags=[{"a": 1}], metadata={"b": [{"c": 1}]})))
    assert [json.loads(said) for said in values(file, "metadata")] == [{"b": [{"c": 1}], "tags": [{"a": 1}]}]


def test_json_under_the_other_kind_s_ending_is_refused_with_the_right_ending() -> None:
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    assert only_message("a.json", lines).endswith(
        "It looks like JSON Lines, an object a line: call it .jsonl."
    )
    assert only_message("a.jsonl", json.dumps(ROWS, indent=1)).endswith("one JSON document: call it .json.")


@pytest.mark.parametrize(("separator", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_other_separators_are_refused_since_their_numbers_may_be_written_otherwise(
    separator: str, word: str
) -> None:
    content = FRAME.to_csv(index=False, sep=separator, decimal=",")
    assert only_message("a.csv", content) == f"columns separated by {word}. {COMMAS}"
    quoted = separator.join(f'"{name}"' for name in FRAME.columns)
    assert only_message("a.csv", f"{quoted}\n") == f"columns separated by {word}. {COMMAS}"
    assert only_message("a.csv", FRAME.to_csv(sep=separator)) == f"columns separated by {word}. {COMMAS}"


def test_a_decimal_comma_among_commas_is_never_a_number() -> None:
    file = read("a.csv", f'{HEADER}\nmomentum,paper,SPY,buy,1,5\nmomentum,paper,SPY,buy,"1,5"\n')
    assert file.table.num_rows == 0
    assert [row.first.field for row in file.refused] == ["number of fields", "qty"]


@pytest.mark.parametrize("first", ["sep=;", "sep=,", "SEP=\t"])
def test_the_line_for_excel_is_refused(first: str) -> None:
    assert "Delete that line" in only_message("a.csv", f"{first}\n{HEADER}\n{ROW}\n")


def test_an_index_without_a_name_is_refused_with_the_way_to_leave_it_out() -> None:
    assert only_message("a.csv", FRAME.to_csv()) == (
        "the first column has no name, as the index that pandas writes. Write it with index=False."
    )


@pytest.mark.parametrize(("encoding", "said"), [("utf-16", "UTF-16"), ("utf-32", "UTF-32")])
@pytest.mark.parametrize("ending", [".csv", ".json", ".jsonl"])
def test_other_encodings_of_unicode_are_refused_by_name(encoding: str, said: str, ending: str) -> None:
    assert only_message(f"a{ending}", HEADER.encode(encoding)) == f"{said} text. {AS_UTF8}"


def test_nul_bytes_are_refused_with_their_line() -> None:
    assert only_message("a.csv", f"{HEADER}\n{ROW}\n".encode() + b"\0" * 99).startswith(
        "line 3 holds NUL bytes"
    )
    assert only_message("a.csv", HEADER.encode("utf-16-le")).startswith("line 1 holds NUL bytes")


def test_text_of_windows_is_refused_with_the_line_of_the_first_letter_that_is_not_utf8() -> None:
    content = f"{HEADER},note\n{ROW},a\n{ROW},für\n".encode("cp1252")
    assert only_message("a.csv", content) == f"line 3 is not UTF-8 text (byte 0xfc). {AS_UTF8}"
    assert only_message("a.csv", f"{HEADER},für\n".encode("cp1252")).startswith("line 1 is not UTF-8 text")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_is_read(end: str) -> None:
    file = read("a.csv", end.join([HEADER, ROW, "", ROW.replace("SPY", "QQQ")]) + end)
    assert (values(file, "symbol"), values(file, "source_row")) == (["SPY", "QQQ"], [2, 4])


def test_a_quotation_mark_that_is_left_open_swallows_no_rows() -> None:
    content = f'{HEADER},note\n{ROW},"a\nb"\n{ROW},"open\n{ROW},x\n'
    assert only_message("a.csv", content) == (
        "a quotation mark is left open, or stands alone, in the record that begins in line 4. Close it, or "
        'write "" for one that is part of a text.'
    )


def test_a_quotation_mark_within_plain_text_is_a_letter_like_others() -> None:
    file = read("a.csv", f'{HEADER},note\n{ROW},5" pipe\n')
    assert [json.loads(said) for said in values(file, "metadata")] == [{"note": '5" pipe'}]
