from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from engine.errors import UnreadableFile
from engine.stores.positions_file import read_positions_file
from engine.text.printable import printable

ROW = {"broker_account_id": "paper", "symbol": "SPY", "qty": "10"}
HEADER = "broker_account_id,symbol,qty\n"
DIGITS = st.integers(1, 10**15 - 1)


def written(folder: Path, name: str, contents: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(contents.encode() if isinstance(contents, str) else contents)
    return path


def rows(frame: pd.DataFrame) -> list[tuple[str, str, float]]:
    return list(frame[["broker_account_id", "symbol", "qty"]].itertuples(index=False, name=None))


def refusal(path: Path) -> str:
    with pytest.raises(UnreadableFile) as caught:
        read_positions_file(path)
    return str(caught.value)


def in_format(folder: Path, extension: str, records: list[dict[str, Any]]) -> Path:
    path = folder / f"positions{extension}"
    if extension == ".csv":
        pd.DataFrame(records).to_csv(path, index=False)
    elif extension == ".parquet":
        parquet.write_table(pa.Table.from_pylist(records), path)
    elif extension == ".json":
        path.write_text(json.dumps(records))
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize("extension", [".csv", ".json", ".jsonl", ".ndjson", ".parquet"])
def test_every_format_gives_the_same_frame(tmp_path: Path, extension: str) -> None:
    records = [
        {"broker_account_id": " paper ", "symbol": "brk.b ", "qty": -10.5, "avg_price": 400.25},
        {"broker_account_id": "b", "symbol": "BTC/USD", "qty": 0.0, "avg_price": 1e5 + 1 / 3},
    ]
    frame = read_positions_file(in_format(tmp_path, extension, records))
    pd.testing.assert_frame_equal(
        frame,
        pd.DataFrame(
            {
                "broker_account_id": pd.Series(["paper", "b"], dtype="str"),
                "symbol": pd.Series(["BRK.B", "BTC/USD"], dtype="str"),
                "qty": [-10.5, 0.0],
                "avg_price": [400.25, 1e5 + 1 / 3],
                "market_value": [math.nan, math.nan],
            }
        ),
    )


def test_one_json_object_is_one_position(tmp_path: Path) -> None:
    assert rows(read_positions_file(written(tmp_path, "p.json", json.dumps(ROW)))) == [("paper", "SPY", 10.0)]


def test_a_byte_order_mark_blank_lines_and_capitals_in_names_do_no_harm(tmp_path: Path) -> None:
    path = written(tmp_path, "p.CSV", "\ufeffBroker_Account_Id, Symbol ,QTY\r\n\r\npaper,SPY,10\r\n,,\r\n")
    assert rows(read_positions_file(path)) == [("paper", "SPY", 10.0)]


def test_the_columns_of_the_table_that_loading_decides_are_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, "p.json", json.dumps(ROW | {"updated_at": "2020-01-01", "raw": {"a": 1}}))
    assert rows(read_positions_file(path)) == [("paper", "SPY", 10.0)]


@given(DIGITS, st.integers(0, 9), st.sampled_from(["", "-", "+"]))
def test_quantities_with_15_digits_and_9_decimals_are_exact(
    tmp_path_factory: pytest.TempPathFactory, digits: int, decimals: int, sign: str
) -> None:
    number = Decimal(digits).scaleb(-decimals)
    path = written(tmp_path_factory.getbasetemp(), "exact.csv", f"{HEADER}a,SPY,{sign}{number:f}\n")
    if number < 10**9:
        assert Decimal(repr(rows(read_positions_file(path))[0][2])) == (-number if sign == "-" else number)
    else:
        assert "expected a number below 1e9" in refusal(path)


BAD_QUANTITIES = [
    "",
    " ",
    "abc",
    "1,5",
    "1_000",
    "0x10",
    "\uff11",
    "nan",
    "inf",
    "-Infinity",
    "1e9",
    "-1000000000",
    "20000000000",
    "1e999999999999",
    "0.0000000001",
    "0.30000000000000004",
    "1234567.123456789",
    "1.0000000000000000000000000000000001",
    "True",
]


@pytest.mark.parametrize("qty", BAD_QUANTITIES)
@pytest.mark.parametrize("extension", [".csv", ".json", ".parquet"])
def test_a_quantity_that_is_none_is_refused_with_its_place_value_rule_and_remedy(
    tmp_path: Path, qty: str, extension: str
) -> None:
    path = in_format(tmp_path, extension, [ROW, ROW | {"symbol": "QQQ", "qty": qty}])
    row = 3 if extension == ".csv" else 2
    assert refusal(path) == (
        f"positions{extension}: 1 problem:\n"
        f"  positions{extension}:{row}: qty is {qty!r}; expected a number below 1e9 in size with at most 9 "
        f"decimals and 15 significant digits. Write digits with a decimal point, such as 1.5, or -1.5 for a "
        f"short position. Nothing was loaded; correct the file and load it again."
    )


@pytest.mark.parametrize("qty", ["true", "null", "NaN", "Infinity", "1e400", "[1]", "0.1234567891", "2e10"])
def test_a_json_value_that_is_no_quantity_is_refused(tmp_path: Path, qty: str) -> None:
    path = written(tmp_path, "p.json", f'{{"broker_account_id": "a", "symbol": "SPY", "qty": {qty}}}')
    assert "p.json:1: qty is " in refusal(path)


@pytest.mark.parametrize("qty", [True, None, math.nan, math.inf, 0.1 + 0.2, 10**10])
def test_a_parquet_value_that_is_no_quantity_is_refused(tmp_path: Path, qty: object) -> None:
    path = tmp_path / "p.parquet"
    parquet.write_table(pa.table({"broker_account_id": ["a"], "symbol": ["SPY"], "qty": [qty]}), path)
    assert "p.parquet:1: qty is " in refusal(path)


@pytest.mark.parametrize("qty", [5, -2.5, Decimal("0.000000001"), "7"])
def test_a_parquet_column_of_any_kind_of_number_is_read(tmp_path: Path, qty: Any) -> None:
    path = tmp_path / "p.parquet"
    accounts = pa.array(["a"]).dictionary_encode()
    parquet.write_table(pa.table({"broker_account_id": accounts, "symbol": ["SPY"], "qty": [qty]}), path)
    assert rows(read_positions_file(path)) == [("a", "SPY", float(qty))]


def test_a_zero_is_positive(tmp_path: Path) -> None:
    frame = read_positions_file(written(tmp_path, "p.csv", HEADER + "a,SPY,-0.0\n"))
    assert math.copysign(1, frame["qty"][0]) == 1


@pytest.mark.parametrize("symbol", ["", "BRK B", "ß", "SPY;", "A" * 33, "SPÝ"])
def test_a_symbol_that_no_intent_could_name_is_refused(tmp_path: Path, symbol: str) -> None:
    path = written(tmp_path, "p.csv", f"{HEADER}a,{symbol},1\n")
    assert f"p.csv:2: symbol is {symbol!r}; expected 1 to 32 characters of A-Z 0-9 . / -" in refusal(path)


@pytest.mark.parametrize("account", ['""', '"  "', "null", "7", '"a\\u0007b"', f'"{"a" * 129}"', '"\\ud800"'])
def test_an_account_that_is_no_plain_text_is_refused(tmp_path: Path, account: str) -> None:
    path = written(tmp_path, "p.json", f'{{"broker_account_id": {account}, "symbol": "SPY", "qty": 1}}')
    assert "p.json:1: broker_account_id is" in refusal(path)


@pytest.mark.parametrize("price", ["abc", "nan", "inf", "1e999"])
@pytest.mark.parametrize("field", ["avg_price", "market_value"])
def test_a_price_may_be_left_out_but_not_be_something_else(tmp_path: Path, price: str, field: str) -> None:
    header = f"broker_account_id,symbol,qty,{field}\n"
    left_out = read_positions_file(written(tmp_path, "p.csv", f"{header}a,SPY,1, \n"))
    assert math.isnan(left_out[field][0])
    assert f"p.csv:2: {field} is '{price}'; expected a finite" in refusal(
        written(tmp_path, "p.csv", f"{header}a,SPY,1,{price}\n")
    )


@pytest.mark.parametrize(
    ("one", "other", "symbol"), [("BRK.B", "BRK/B", "BRK.B"), ("BTCUSD", "BTC/USD", "BTC/USD")]
)
def test_one_instrument_in_two_forms_is_refused(tmp_path: Path, one: str, other: str, symbol: str) -> None:
    path = written(tmp_path, "p.csv", HEADER + f"a,{one},1\na,{other},1\n")
    assert f"p.csv:3: symbol is '{other}'; expected each symbol once per account, and row 2 has {symbol}" in (
        refusal(path)
    )
    alone = written(tmp_path, "q.csv", HEADER + f"a,{one},1\n")
    assert read_positions_file(alone)["symbol"].tolist() == [symbol]


@pytest.mark.parametrize("account", ["a\u200b", "\u202ea", "a\u00a0", "\uff41", "a\u3164"])
def test_an_account_that_looks_like_another_is_refused_and_shown_escaped(
    tmp_path: Path, account: str
) -> None:
    said = refusal(written(tmp_path, "p.csv", HEADER + f"{account},SPY,1\n"))
    assert f"p.csv:2: broker_account_id is {printable(repr(account))}; expected text of 1 to 128" in said
    assert "zero-width" in said


@pytest.mark.parametrize("symbol", ["SPY\u200b", "\uff33PY", "SPY\u00a0"])
def test_a_symbol_that_looks_like_another_is_refused(tmp_path: Path, symbol: str) -> None:
    assert "p.csv:2: symbol is " in refusal(written(tmp_path, "p.csv", HEADER + f"a,{symbol},1\n"))


def test_the_same_symbol_twice_for_an_account_is_refused_even_if_written_differently(tmp_path: Path) -> None:
    path = written(tmp_path, "p.csv", HEADER + "a,SPY,1\nb,SPY,1\n a , spy,1\n")
    assert (
        "p.csv:4: symbol is ' spy'; expected each symbol once per account, and row 2 has SPY for a already. "
        "Drop one of the two." in refusal(path)
    )


def test_the_first_ten_problems_are_listed_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "p.csv", HEADER + "".join(f"a,S{number},x\n,S,1\n" for number in range(6)))
    first, *listed, last = refusal(path).split("\n")
    assert first == "p.csv: 12 problems, of which the first 10:"
    places = [line.split(";")[0].strip() for line in [*listed, last]]
    expected = ["qty is 'x'", "broker_account_id is ''"] * 5
    assert places == [f"p.csv:{line}: {what}" for line, what in enumerate(expected, start=2)]


def test_a_row_after_a_cell_of_two_lines_is_named_by_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "p.csv", HEADER + '"a\nb",SPY,1\nc,SPY,x\n')
    assert "p.csv:3: broker_account_id is" in refusal(path)
    assert "p.csv:4: qty is 'x'" in refusal(path)


@pytest.mark.parametrize(
    ("name", "contents", "why"),
    [
        ("p.csv", HEADER + "a,SPY\n", "line 2 has 2 cells where the header has 3"),
        ("p.csv", HEADER + "a,SPY,1,2\n", "line 2 has 4 cells where the header has 3"),
        ("p.csv", HEADER + 'a,"SPY,1\n', "unexpected end of data"),
        ("p.csv", HEADER + 'a,SPY,"5"0\n', "expected after"),
        ("p.csv", HEADER + "a,SPY,1\x00\n", "it holds NUL bytes"),
        ("p.csv", b"\xff\xfea", "invalid start byte"),
        ("p.csv", "broker_account_id,symbol,qty,Qty\na,SPY,1,2\n", "it has two columns qty"),
        ("p.json", "", "Expecting value"),
        ("p.json", "[1]", "row 1 is '1'; expected an object"),
        ("p.json", '[{"qty": 1}', "delimiter"),
        ("p.json", "[" * 100_000, ""),
        ("p.json", '{"qty": 1, "qty": 2}', "an object names a field twice"),
        ("p.jsonl", json.dumps(ROW) + '\n{"broker_acc', "line 2: Unterminated string"),
        ("p.parquet", "PAR1", ""),
    ],
)
def test_a_file_that_isnt_what_its_name_says_is_refused(
    tmp_path: Path, name: str, contents: str | bytes, why: str
) -> None:
    text = refusal(written(tmp_path, name, contents))
    assert text.startswith(f"{name}: can't be read as {name[2:]} (")
    assert why in text
    assert text.endswith("). Nothing was loaded; correct the file and load it again.")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    for name in ("p.csv", "p.json", "p.parquet"):
        assert "No such file or directory" in refusal(tmp_path / name)


def test_an_unknown_extension_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    assert "extension is '.xlsx'; expected .csv, .json, .jsonl or .parquet" in refusal(tmp_path / "p.xlsx")


def test_missing_and_unknown_columns_are_named(tmp_path: Path) -> None:
    text = refusal(written(tmp_path, "p.csv", "account,symbol,qty,side\na,SPY,1,short\n"))
    assert "lacks broker_account_id, has an unknown column 'account', has an unknown column 'side'" in text


@pytest.mark.parametrize(
    ("name", "contents"), [("p.csv", ""), ("p.csv", HEADER), ("p.json", "[]"), ("p.jsonl", "\n")]
)
def test_a_file_without_positions_is_refused_with_the_way_to_say_flat(
    tmp_path: Path, name: str, contents: str
) -> None:
    text = refusal(written(tmp_path, name, contents))
    assert text.startswith(f"{name}: it holds no positions. If the account is flat, write a row")
