"""A file beyond a limit of intake is refused whole, with the limit and its setting named."""

from __future__ import annotations

import gzip

import pytest

from engine.config import IntakeLimits
from engine.intents.reading import IntentFile
from tests.engine.intents.files import HEADER, messages, read, values

ROW = "momentum,paper,SPY,buy,1"
CSV = f"{HEADER}\n{ROW}\n".encode()


def refused_whole(file: IntentFile) -> str:
    """Return why a file was refused as a whole."""
    (message,) = messages(file)
    assert (file.rows, file.table.num_rows, file.unreadable) == (1, 0, True)
    return message


# 1. Gzip


def test_a_gzip_file_is_unpacked_up_to_the_limit_and_no_further() -> None:
    packed = gzip.compress(CSV)
    assert values(read("a.csv.gz", packed, limits=IntakeLimits(max_unpacked_bytes=len(CSV))), "qty") == [1.0]
    assert refused_whole(read("a.csv.gz", packed, limits=IntakeLimits(max_unpacked_bytes=len(CSV) - 1))) == (
        f"a.csv.gz: more than {len(CSV) - 1} bytes when unpacked. Split it into smaller files, or raise "
        f"EXEC_INBOX_MAX_UNPACKED_BYTES."
    )


def test_all_members_of_a_gzip_file_are_one_file_and_count_together() -> None:
    packed = gzip.compress(CSV) + gzip.compress(b"") + b"\0" * 512 + gzip.compress(f"{ROW}\n".encode())
    assert values(read("a.csv.gz", packed), "source_row") == [2, 3]
    limits = IntakeLimits(max_unpacked_bytes=len(CSV) + len(ROW))
    assert "when unpacked" in refused_whole(read("a.csv.gz", packed, limits=limits))


def test_zeros_behind_a_gzip_file_are_no_part_of_it() -> None:
    assert values(read("a.csv.gz", gzip.compress(CSV) + b"\0" * 40_000), "source_row") == [2]


@pytest.mark.parametrize("behind", [b"x", b"\x1f\x8b", b"\0x"])
def test_anything_else_behind_a_gzip_file_is_a_torn_member(behind: bytes) -> None:
    assert "not a whole gzip file" in refused_whole(read("a.csv.gz", gzip.compress(CSV) + behind))


def test_a_gzip_file_that_is_large_when_packed_is_read_piece_by_piece() -> None:
    rows = "".join(f"s{row * 7919 % 10**9},paper,SPY,buy,{row + 1}\n" for row in range(20_000))
    file = read("a.csv.gz", gzip.compress(f"{HEADER}\n{rows}".encode()))
    assert values(file, "qty") == [row + 1.0 for row in range(20_000)]


def test_a_gzip_file_of_countless_members_is_refused() -> None:
    packed = gzip.compress(CSV) + gzip.compress(b"") * 100_000
    assert "more than 100000 members" in refused_whole(read("a.csv.gz", packed))
