"""JSON and JSON Lines: torn files, repeated keys, odd values, rows that don't depend on each other."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UnreadableFile
from engine.intents import json_records
from engine.intents.formats import read_raw
from engine.intents.raw_table import RawTable
from engine.intents.reading import IntentFile
from tests.engine.intents.files import HALF_PAST_TWO, Row, order, read, written

GOOD = json.dumps(order())
ONCE = "Write each key once in an object."


def table(name: str, content: str | bytes) -> RawTable:
    return read_raw(name, content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)


def raw(name: str, content: str | bytes) -> list[dict[str, Any]]:
    found = table(name, content)
    return found.raw(list(range(found.rows)))


def refusals(name: str, content: str | bytes) -> list[str]:
    return [problem.message for refused in table(name, content).refused for problem in refused.problems]


def complaint(name: str, content: str | bytes) -> str:
    with pytest.raises(UnreadableFile) as caught:
        table(name, content)
    return str(caught.value)


def nested(levels: int) -> str:
    return '{"note":' + '{"a":' * (levels - 1) + "1" + "}" * levels


# 1. Rows


@pytest.mark.parametrize("content", [GOOD, f"[{GOOD}]", f"\n [ {GOOD} \n]\n"])
def test_one_object_is_a_list_of_one(content: str) -> None:
    assert raw("a.json", content) == [order()]


def test_rows_of_a_list_are_numbered_by_their_place() -> None:
    found = table("a.json", f"[{GOOD},\n\n5,{GOOD}]")
    assert (found.row_numbers.tolist(), [row.first.row for row in found.refused]) == ([1, 3], [2])


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (f"{GOOD}\n{GOOD}", [1, 2]),
        (f"{GOOD}\n{GOOD}\n", [1, 2]),
        (f"{GOOD}\r\n{GOOD}\r\n", [1, 2]),
        (f"\n\n{GOOD}\n \t\n{GOOD}\n\n\n", [3, 5]),
        (f"  {GOOD}  \n", [1]),
    ],
)
def test_rows_of_json_lines_are_numbered_by_their_lines(content: str, lines: list[int]) -> None:
    assert table("a.jsonl", content).row_numbers.tolist() == lines


def test_fields_may_come_in_any_order_and_be_left_out() -> None:
    assert raw("a.jsonl", '{"a":1,"b":"x"}\n{"b":"y","a":2}\n{"c":3}\n{}\n') == [
        {"a": 1, "b": "x"},
        {"a": 2, "b": "y"},
        {"c": 3},
        {},
    ]


@pytest.mark.parametrize(
    ("value", "shown"), [("5", "5"), ('"x"', "'x'"), ("null", "'null'"), ("[1]", "[1]"), ("true", "True")]
)
def test_a_row_that_is_no_object_is_refused_and_the_others_go_on(value: str, shown: str) -> None:
    message = f'row is {shown}; expected an object. Write it as {{"strategy_id": …, …}}.'
    assert refusals("a.json", f"[{GOOD},{value},{GOOD}]") == [f"a.json:2: {message}"]
    assert refusals("a.jsonl", f"{GOOD}\n{value}\n{GOOD}") == [f"a.jsonl:2: {message}"]


# 2. What is no JSON


@pytest.mark.parametrize(
    ("torn", "place"),
    [
        (GOOD[:-5], "line 2 is not JSON (Unterminated string starting at character 91)"),
        ("{", "line 2 is not JSON (Expecting property name enclosed in double quotes at character 2)"),
        (GOOD + GOOD, "line 2 is not JSON (Extra data at character"),
        ("{'a': 1}", "line 2 is not JSON (Expecting property name"),
        ('{"a": 01}', "line 2 is not JSON"),
        ("nonsense", "line 2 is not JSON (Expecting value at character 1)"),
    ],
)
def test_json_lines_with_a_torn_line_are_unreadable_as_a_whole(torn: str, place: str) -> None:
    said = complaint("a.jsonl", f"{GOOD}\n{torn}")
    assert said.startswith(f"a.jsonl: {place}")
    assert said.endswith("Write one object a line; was the file still being written? Drop it whole.")


def test_bytes_that_are_no_text_make_the_file_unreadable() -> None:
    assert "line 1 is not JSON (no UTF-8 text)" in complaint("a.jsonl", b'{"a":"\xff"}')
    assert "not JSON (no UTF-8 text)" in complaint("a.json", b'{"a": "\xe4"}')
    assert "UTF-16 text" in complaint("a.json", '{"a": 1}'.encode("utf-16"))


@pytest.mark.parametrize("content", [f"[{GOOD}", f"[{GOOD},]", f"{GOOD}\n{GOOD}", "[1,", "", " "])
def test_json_that_is_not_whole_is_unreadable_with_the_place(content: str) -> None:
    if not content.strip():
        assert raw("a.json", content) == []
        return
    assert " at " in complaint("a.json", content)


def test_the_place_is_reported_by_line_and_character() -> None:
    assert "at line 3, character 1)" in complaint("a.json", '[\n{"a": 1}\n{"b": 2}]')


@pytest.mark.parametrize("content", ["[" * 100_000, nested(5000)])
def test_what_is_nested_beyond_all_measure_is_unreadable(content: str) -> None:
    assert "nested too deeply" in complaint("a.json", content)
    assert "nested too deeply" in complaint("a.jsonl", content)


@pytest.mark.parametrize("levels", [260, 700, 900, 1000])
def test_a_row_that_is_nested_too_deeply_to_be_kept_is_refused_alone(levels: int) -> None:
    message = "row is 'nested too deeply'; expected an object with few levels. Write it flatter."
    assert refusals("a.jsonl", f"{GOOD}\n{nested(levels)}\n{GOOD}") == [f"a.jsonl:2: {message}"]


def test_a_file_with_another_key_in_each_row_is_unreadable_and_not_a_table_that_fills_the_memory() -> None:
    rows = [json.dumps(order(**{f"k{i}": 1})) for i in range(1_100)]
    assert "more than 1000 columns (different keys)" in complaint("a.jsonl", "\n".join(rows))
    assert "more than 1000 columns (different keys)" in complaint("a.json", "[" + ",".join(rows) + "]")
    assert len(raw("a.jsonl", "\n".join(rows[:900]))) == 900


def test_a_row_that_is_nested_reasonably_is_kept() -> None:
    assert raw("a.jsonl", nested(100)) == [json.loads(nested(100))]


# 3. Keys that stand twice


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ('{"qty":1,"qty":100}', ["qty is [1, 100]; expected one value"]),
        ('{"qty":1,"qty":1}', ["qty is [1, 1]; expected one value"]),
        ('{"qty" : 1, "qty" : 100}', ["qty is [1, 100]; expected one value"]),
        ('{"qty"\t:1,"qty"\t:100}', ["qty is [1, 100]; expected one value"]),
        ('{"qty" :1,"note":"\\":","qty":100}', ["qty is [1, 100]; expected one value"]),
        ('{"qty":1,"q\\u0074y":100}', ["qty is [1, 100]; expected one value"]),
        ('{"qty":null,"qty":100}', ["qty is [None, 100]; expected one value"]),
        (
            '{"side":"buy","qty":1,"side":"sell","qty":2,"qty":3}',
            ["side is ['buy', 'sell']; expected one value", "qty is [1, 2, 3]; expected one value"],
        ),
        ('{"metadata":{"z":1,"z":2}}', ["metadata.z is [1, 2]; expected one value"]),
        ('{"note":[{"a":1},{"b":{"c":1,"c":2}}]}', ["note.b.c is [1, 2]; expected one value"]),
        ('{"a":1,"a":NaN}', ["a is [1, nan]; expected one value"]),
    ],
)
def test_an_object_in_which_a_key_stands_twice_is_refused(row: str, expected: list[str]) -> None:
    assert refusals("a.jsonl", f"{GOOD}\n{row}\n") == [f"a.jsonl:2: {said}. {ONCE}" for said in expected]
    assert refusals("a.json", f"[{GOOD},{row}]") == [f"a.json:2: {said}. {ONCE}" for said in expected]


@pytest.mark.parametrize(
    "row",
    [
        '{"note":"\\"qty\\":1,\\"qty\\":2"}',
        '{"note":"a : b","qty" : 1}',
        '{"qty":1,"metadata":{"qty":2,"more":{"qty":3}}}',
        '{"note":"qty\\":","qty":1}',
        '{"":"","a":{"":""}}',
    ],
)
def test_an_object_in_which_each_key_stands_once_is_not_refused(row: str) -> None:
    assert raw("a.jsonl", row) == raw("a.json", row) == [json.loads(row)]


def test_other_rows_of_the_file_are_not_touched_by_a_key_that_stands_twice() -> None:
    file = read("a.jsonl", f'{GOOD}\n{GOOD[:-1]}, "qty": 100}}\n{json.dumps(order(qty=7))}\n')
    assert file.table["qty"].to_pylist() == [1, 7]


KEYS = st.sampled_from(["qty", "side", "a", 'quo"te', ":", "metadata"])
SCALARS = st.none() | st.booleans() | st.integers(0, 9) | st.text('":{}, a\\', max_size=4)
PAIRS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.lists(st.tuples(KEYS, inner), max_size=3).map(tuple),
    max_leaves=6,
)


def as_json(value: Any, colon: str) -> tuple[str, bool]:
    """Write a value, objects being tuples of pairs; also tell whether a key stands twice in an object."""
    if isinstance(value, tuple):
        members = [(json.dumps(key), *as_json(held, colon)) for key, held in value]
        twice = len({key for key, _, _ in members}) < len(members) or any(again for _, _, again in members)
        return "{" + ",".join(key + colon + text for key, text, _ in members) + "}", twice
    if isinstance(value, list):
        items = [as_json(held, colon) for held in value]
        return "[" + ",".join(text for text, _ in items) + "]", any(again for _, again in items)
    return json.dumps(value), False


@given(
    st.lists(st.lists(st.tuples(KEYS, PAIRS), max_size=4).map(tuple), min_size=1, max_size=4),
    st.sampled_from([":", " :", ": ", "\t: "]),
)
@settings(deadline=None, max_examples=200)
def test_exactly_the_rows_in_which_a_key_stands_twice_are_refused(rows: list[Any], colon: str) -> None:
    lines = [as_json(row, colon) for row in rows]
    expected = [number for number, (_, twice) in enumerate(lines, start=1) if twice]
    for name, content in (
        ("a.jsonl", "\n".join(text for text, _ in lines)),
        ("a.json", "[" + ",".join(text for text, _ in lines) + "]"),
    ):
        assert [refused.first.row for refused in table(name, content).refused] == expected


# 4. Odd values


def test_nan_and_infinity_are_read_as_what_they_are() -> None:
    row = raw("a.jsonl", '{"qty": NaN, "limit_price": -Infinity, "note": Infinity}')[0]
    assert math.isnan(row["qty"])
    assert (row["limit_price"], row["note"]) == (-math.inf, math.inf)


@pytest.mark.parametrize("digits", [20, 400, 5000])
def test_an_integer_of_any_length_is_a_number_too_large(digits: int) -> None:
    file = read(
        "a.jsonl", f'{{"qty": NaN, "limit_price": 1}}\n{GOOD.replace(": 1}", ": " + "9" * digits + "}")}'
    )
    assert "expected a number above 0 and below 1e9" in file.refused[1].first.message


def test_half_a_surrogate_pair_makes_no_text() -> None:
    file = read("a.jsonl", json.dumps(order(strategy_id="\ud800")))
    assert "strategy_id is '\\ud800'; expected one line of text" in file.refused[0].first.message


def test_half_a_surrogate_pair_in_an_unknown_column_is_refused_and_the_row_beside_it_taken() -> None:
    file = read("a.jsonl", "\n".join(json.dumps(row) for row in (order(note="\ud800"), order())))
    assert [refused.first.field for refused in file.refused] == ["note"]
    assert file.table.num_rows == 1


def test_true_is_no_number_and_no_text() -> None:
    file = read(
        "a.jsonl", "\n".join(json.dumps(row) for row in (order(qty=True), order(symbol=True), order()))
    )
    assert [refused.first.field for refused in file.refused] == ["qty", "symbol"]


def test_integers_may_stand_for_text_and_text_for_numbers() -> None:
    file = read("a.jsonl", json.dumps(order(broker_account_id=7, qty=" 1.5 ", client_intent_id=5)))
    row = file.table.to_pylist()[0]
    assert (row["broker_account_id"], row["qty"], row["client_intent_id"]) == ("7", 1.5, "5")


# 5. A row among others


ODD_NUMBERS = [0, 1, 7, -1, 1.0, 1.5, 0.1, 1e-10, 2e10, math.nan, math.inf, 2**53 + 1, 2**64, 10**30]
ODD_TEXTS = ["", " ", "1", "1.5", "1.0", "nan", "true", "buy", "SELL ", "spy", "long", "\ud800", "\ufb01"]
ODD_TEXTS += ["\x00", "\x00true", "\x005", HALF_PAST_TWO, HALF_PAST_TWO.removesuffix("Z")]
ODD_OBJECTS = [None, True, False, [], {}, [1], {"a": 1}, {"a": None}, {"a": [{"b": 2.5}]}]
ODD_VALUES = st.sampled_from([*ODD_NUMBERS, *ODD_TEXTS, *ODD_OBJECTS])
FIELDS = st.sampled_from(
    [
        "qty",
        "limit_price",
        "order_type",
        "symbol",
        "strategy_id",
        "client_intent_id",
        "side",
        "extended_hours",
        "created_at",
        "metadata",
        "estimated_slippage",
        "signal",
        "z_score",
    ]
)
ROWS = st.builds(lambda said: {**order(), **said}, st.dictionaries(FIELDS, ODD_VALUES, max_size=3))


def outcome(row: Row, number: int, file: IntentFile) -> Any:
    """Return what became of a row: its sealed form, or the fields that are wrong with it."""
    for sealed in file.table.to_pylist():
        if sealed["source_row"] == number:
            if row.get("client_intent_id") in [None, "", " "]:
                sealed["client_intent_id"] = None  # depends on how often the row was said before
            return {**sealed, "source_row": None}
    return wrong_fields(file)[number]


def wrong_fields(file: IntentFile) -> dict[int, list[str]]:
    return {refused.first.row: [problem.field for problem in refused.problems] for refused in file.refused}


@given(
    st.lists(ROWS, min_size=2, max_size=5), st.sampled_from([".jsonl", ".json"]), st.sampled_from([1, 2, 50])
)
@settings(deadline=None, max_examples=100)
def test_what_becomes_of_a_row_does_not_depend_on_its_neighbours(
    rows: list[Row], ending: str, at_once: int
) -> None:
    name = f"a{ending}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_records, "_LINES_AT_ONCE", at_once)
        together = read(name, written(ending, rows))
    for number, row in enumerate(rows, start=1):
        alone = read(name, written(ending, [row]))
        assert outcome(row, number, together) == outcome(row, 1, alone)


PLAIN = st.fixed_dictionaries(
    {
        "strategy_id": st.just("s"),
        "broker_account_id": st.just("a"),
        "symbol": st.sampled_from(["SPY", "brk.b "]),
        "side": st.sampled_from(["buy", "sell", "BUY"]),
        "qty": st.sampled_from([1, 2.5, 0.1, -1, 1e-9, 123456.789]),
    },
    optional={
        "order_type": st.sampled_from(["limit", "market", None]),
        "limit_price": st.sampled_from([None, 10, 10.01]),
        "created_at": st.just(HALF_PAST_TWO),
        "extended_hours": st.booleans(),
    },
)


ODD_CELLS = st.lists(st.tuples(st.integers(0, 11), FIELDS, ODD_VALUES), max_size=2)


@given(
    st.lists(PLAIN, min_size=1, max_size=12),
    ODD_CELLS,
    st.booleans(),
)
@settings(deadline=None, max_examples=100)
def test_reading_in_bulk_gives_what_reading_line_by_line_gives(
    rows: list[Row], odd: list[tuple[int, str, Any]], ends_with_newline: bool
) -> None:
    rows = [dict(row) for row in rows]
    for place, field, value in odd:
        rows[place % len(rows)][field] = value
    content = written(".jsonl", rows).rstrip(b"\n") + b"\n" * ends_with_newline
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_records, "_BULK_BYTES", 0)
        bulk = read("a.jsonl", content)
    slow = read("a.jsonl", content)
    assert bulk.table.to_pylist() == slow.table.to_pylist()
    assert wrong_fields(bulk) == wrong_fields(slow)
