"""A header in the middle of a CSV: refused as one row, or the file where its columns are others."""

from __future__ import annotations

import pandas as pd

from tests.engine.intents.files import HEADER, Row, ids, messages, order, places, read


def appended(*frames: list[Row]) -> str:
    return "".join(pd.DataFrame(rows).to_csv(index=False) for rows in frames)


def test_a_repeated_header_is_one_refused_row_with_its_remedy() -> None:
    file = read("a.csv", appended([order()], [order(qty=2)], [order(qty=3)]))
    assert places(file) == ([2, 4, 6], [3, 5])
    assert messages(file)[0] == (
        "a.csv:3: row is 'the header again'; expected one header, at the top. "
        'Append without it: to_csv(…, mode="a", header=False).'
    )
    assert len(file.refused[0].problems) == 1


def test_it_is_recognised_in_the_spelling_of_the_file() -> None:
    header = "Strategy_ID,Broker_Account_ID, SYMBOL ,Side,Qty,signal"
    file = read("a.csv", f"{header}\nm,paper,SPY,buy,1,x\n{header}\nm,paper,SPY,buy,2,y\n")
    assert places(file) == ([2, 4], [3])


def test_a_header_with_other_columns_refuses_the_file_whose_rows_would_be_misread() -> None:
    first = [order(order_type="stop_limit", limit_price=40, stop_price=41)]
    other = [order(qty=2, order_type="stop_limit", stop_price=41, limit_price=40)]
    file = read("a.csv", appended(first, other))
    assert file.unreadable
    (message,) = messages(file)
    assert message == (
        "a.csv: line 3 is a header with other columns than the first one. "
        "Write rows with other columns to a file of their own."
    )


def test_a_symbol_that_is_called_as_a_column_is_a_symbol() -> None:
    file = read(
        "a.csv", f"{HEADER},signal\nm,paper,SYMBOL,buy,1,x\nm,paper,symbol,buy,2,x\nm,paper,signal,buy,3,x\n"
    )
    assert (messages(file), len(set(ids(file)))) == ([], 3)


def test_many_repetitions_take_no_time() -> None:
    file = read("a.csv", (HEADER + "\nm,paper,SPY,buy,1\n") * 20_000)
    assert (file.table.num_rows, len(file.refused)) == (20_000, 19_999)
