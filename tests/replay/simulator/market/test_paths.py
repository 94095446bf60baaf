from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from replay.simulator.market.paths import Path

START = 1_000
KNOTS = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 300)), min_size=1, max_size=8)
MOMENTS = st.lists(st.integers(START - 20, START + 420), min_size=1, max_size=30)


def expected(offsets: list[int], prices: list[int], offset: int) -> int:
    for (begin, at_begin), (end, at_end) in pairwise(zip(offsets, prices, strict=True)):
        if begin <= offset < end:
            return at_begin + (at_end - at_begin) * (offset - begin) // (end - begin)
    return prices[0] if offset < offsets[0] else prices[-1]


@given(KNOTS, MOMENTS, st.sampled_from([1, 100]))
def test_a_price_does_not_depend_on_what_was_asked_before(
    knots: list[tuple[int, int]], moments: list[int], unit: int
) -> None:
    offsets = np.cumsum([step for step, _ in knots], dtype=np.int64)
    values = np.array([value for _, value in knots], dtype=np.int32)
    path = Path(START, offsets, values, unit)
    prices = [int(value) * unit for value in values]
    for moment in moments:
        assert path.price(moment) == expected(offsets.tolist(), prices, moment - START)
