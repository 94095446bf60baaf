"""Hashes of many rows at once are those that the xxhash library gives row by row."""

from __future__ import annotations

import numpy as np
import pytest
from xxhash import xxh3_128_digest

from engine.intents.row_hashes import FEWEST_WORDS, MOST_WORDS, Word, row_hashes

ROWS = 40_000  # more than are worked on at once
EDGES = np.array([0, 1, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1], dtype=np.uint64)


def of_library(words: list[Word]) -> bytes:
    layout = np.empty((ROWS, len(words)), dtype=np.uint64)
    for place, word in enumerate(words):
        layout[:, place] = word
    return b"".join(map(xxh3_128_digest, layout.view(f"V{8 * len(words)}").ravel().tolist()))


def some_words(count: int, seed: int) -> list[Word]:
    """Return words that differ by row, edges among them, and words that all rows share."""
    random = np.random.default_rng(seed)
    words: list[Word] = []
    for place in range(count):
        if (place + seed) % 3 == 0:
            words.append(int(random.choice(EDGES)))
        else:
            word = random.integers(0, 2**64, ROWS, dtype=np.uint64)
            word[: len(EDGES)] = random.permutation(EDGES)
            words.append(word)
    return words


@pytest.mark.parametrize("count", range(FEWEST_WORDS, MOST_WORDS + 1))
def test_rows_of_any_length_have_the_hash_of_the_library(count: int) -> None:
    words = some_words(count, seed=count)
    assert row_hashes(words, ROWS).tobytes() == of_library(words)


def test_rows_that_share_every_word_have_the_hash_of_the_library() -> None:
    words: list[Word] = list(range(26))
    assert row_hashes(words, ROWS).tobytes() == of_library(words)


def test_no_rows_have_no_hashes() -> None:
    assert row_hashes([0] * FEWEST_WORDS, 0).shape == (0, 2)


@pytest.mark.parametrize("count", [FEWEST_WORDS - 1, MOST_WORDS + 1])
def test_rows_of_a_length_that_the_library_treats_otherwise_are_an_error(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} words a row; expected 17 to 30"):
        row_hashes([0] * count, 1)
