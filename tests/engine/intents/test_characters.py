"""Characters are counted and found as ``bytes`` would, also where a piece of the content ends."""

from __future__ import annotations

import pytest

from engine.intents.characters import count_of, places_of

PIECE = 1 << 18
CONTENTS = [b"", b"\n", b"a", b"a\nb\n", b"\n" * 10, b"x" * (PIECE - 1) + b"\n\n" + b"y" * PIECE + b"\n"]


@pytest.mark.parametrize("content", CONTENTS, ids=len)
def test_as_many_are_counted_as_there_are(content: bytes) -> None:
    assert count_of(b"\n", content) == content.count(b"\n")


@pytest.mark.parametrize("content", CONTENTS, ids=len)
def test_each_is_found_where_it_stands(content: bytes) -> None:
    assert places_of(b"\n", content).tolist() == [i for i, letter in enumerate(content) if letter == 10]
