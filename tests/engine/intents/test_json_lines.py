"""Which JSON Lines are read in bulk, and which never are."""

from __future__ import annotations

import numpy as np
import pytest

from engine.intents.json_lines import Bulk, read_in_bulk

GOOD = '{"symbol": "SPY", "qty": 1, "limit_price": 2.5, "extended_hours": true}'


def bulk(*lines: str) -> Bulk | None:
    return read_in_bulk("\n".join(lines).encode())


def plain(*lines: str) -> list[int] | None:
    """Return the places of the lines that were read in bulk, None where none was."""
    found = bulk(*lines)
    return None if found is None else found.plain.tolist()


def test_lines_of_fields_of_their_types_are_read_whole() -> None:
    found = bulk(GOOD, '{"symbol": null, "qty": 2}')
    assert found is not None
    assert found.odd.tolist() == []
    columns = {name: column.to_pylist() for name, column in found.columns.items()}
    assert columns == {
        "symbol": ["SPY", None],
        "qty": [1.0, 2.0],
        "limit_price": [2.5, None],
        "extended_hours": [True, None],
    }


@pytest.mark.parametrize(
    "odd",
    [
        '{"symbol": "SPY", "qty": "1"}',
        '{"symbol": 5, "qty": 1}',
        '{"symbol": "SPY", "qty": NaN}',
        '{"symbol": "SPY", "extended_hours": 1}',
        "",
        '["SPY"]',
        '{"symbol": "SPY", "qty": 1}\r',
        '{"symbol": "SPY", "qty": 1} ',
    ],
)
def test_an_odd_line_is_left_to_the_other_reader(odd: str) -> None:
    lines = [GOOD] * 9
    assert plain(*lines, odd, GOOD) == [*range(9), 10]
    assert plain(odd, *lines) == list(range(1, 10))


@pytest.mark.parametrize(
    "line",
    [
        '{"symbol": "SPY", "qty": 1} {"symbol": "SPY", "qty": 2}',
        '{"symbol": "SPY", "qty": 1, "qty": 2}',
        '{"symbol": "SPY", "qty": 9223372036854775808}',
        '{"symbol": "SPY", "qty": 1, "signal": 3}',
        '{"symbol": "SPY", "qty": 1, "time_in_force": "day"}',
        '{"symbol": "SPY", "qty": {"a": 1}}',
        '{"symbol": "SPY", "qty": -Infinity}',
        '{"symbol": "SPY", "qty": 1}}',
    ],
)
def test_a_file_with_a_line_that_may_be_misread_is_left_to_the_other_reader_whole(line: str) -> None:
    rest = [GOOD] * 200
    found = bulk(*rest, line)
    assert found is None or found.odd.tolist() == [200]
    assert found is None or len(found.plain) == 200


def test_of_two_objects_in_one_line_and_none_in_another_nothing_is_read() -> None:
    assert plain(GOOD + GOOD, "", *[GOOD] * 9) in (None, list(range(2, 11)))
    assert plain(GOOD + GOOD, *[GOOD] * 9) is None


def test_a_line_that_is_no_unicode_ends_the_bulk_reading() -> None:
    assert read_in_bulk(GOOD.encode() + b'\n{"symbol": "\xff"}\n') is None


def test_lines_without_a_last_newline_are_read_too() -> None:
    found = read_in_bulk(GOOD.encode())
    assert found is not None
    assert np.array_equal(found.plain, [0])
