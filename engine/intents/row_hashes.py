"""Hashes of many rows at once: XXH3-128 as the ``xxhash`` library computes it, column by column.

A row is a fixed number of words of eight bytes. Called row by row, the library takes half a second for a
million of them, most of it to build the bytes of each row; here a word that all rows share is computed once.
The layout of the algorithm (inputs of 129 to 240 bytes, seed 0) and its constants are those of its
specification: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from xxhash import xxh3_64_intdigest

Words = npt.NDArray[np.uint64]
Word = Words | int
"""One word per row; an ``int`` where all rows share it."""

FEWEST_WORDS, MOST_WORDS = 17, 30
_ROWS_AT_ONCE = 16_384
_ALL_BITS = 2**64 - 1
_HALF, _LOW_HALF = 32, 2**32 - 1
_PRIME_1, _PRIME_2, _PRIME_4 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x85EBCA77C2B2AE63
_AVALANCHE = 0x165667919E3779F9
_SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)
_ROUND_WORDS, _FIRST_ROUNDS = 4, 4
_LATER_OFFSET, _LAST_OFFSET = 3, 136 - 17 - 16


def row_hashes(words: Sequence[Word], rows: int) -> Words:
    """Return the XXH3-128 of each row as two words, the bytes of its digest in their order: (rows, 2).

    A row's input are its ``words``, ``FEWEST_WORDS`` to ``MOST_WORDS`` of them, each little-endian.
    """
    if not FEWEST_WORDS <= len(words) <= MOST_WORDS:
        raise ValueError(f"{len(words)} words a row; expected {FEWEST_WORDS} to {MOST_WORDS}")
    found = np.empty((rows, 2), dtype=">u8")
    for start in range(0, rows, _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, rows)
        found[start:stop, 1], found[start:stop, 0] = _hashed(
            [word if isinstance(word, int) else word[start:stop] for word in words]
        )
    return found.view(np.uint64)


def text_words(column: pa.Array) -> Words:
    """Return a hash of each row's text, 0 where it is missing; each distinct text is hashed once."""
    coded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
    hashes = [xxh3_64_intdigest(text.encode(errors="surrogatepass")) for text in coded.dictionary.to_pylist()]
    codes = pc.fill_null(coded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    words: Words = np.array([*hashes, 0], dtype=np.uint64)[codes]
    return words


def _hashed(words: list[Word]) -> tuple[Word, Word]:
    """Return the low and the high half of the hash."""
    size = 8 * len(words)
    low: Word = size * _PRIME_1 & _ALL_BITS
    high: Word = 0
    for nth in range(size // 32):
        offset = 32 * nth if nth < _FIRST_ROUNDS else 32 * (nth - _FIRST_ROUNDS) + _LATER_OFFSET
        first = words[_ROUND_WORDS * nth : _ROUND_WORDS * nth + 2]
        second = words[_ROUND_WORDS * nth + 2 : _ROUND_WORDS * nth + 4]
        low, high = _mixed_in(low, high, first, second, offset)
        if nth == _FIRST_ROUNDS - 1:
            low, high = _avalanched(low), _avalanched(high)
    low, high = _mixed_in(low, high, words[-2:], words[-4:-2], _LAST_OFFSET)
    end = size * _PRIME_2 & _ALL_BITS
    whole = _sum(_sum(_product(low, _PRIME_1), _product(high, _PRIME_4)), end)
    return _avalanched(_sum(low, high)), _negated(_avalanched(whole))


def _mixed_in(low: Word, high: Word, first: list[Word], second: list[Word], offset: int) -> tuple[Word, Word]:
    low = _xor(_sum(low, _mixed(first, offset)), _sum(*second))
    high = _xor(_sum(high, _mixed(second, offset + 16)), _sum(*first))
    return low, high


def _mixed(pair: list[Word], offset: int) -> Word:
    return _folded_product(_xor(pair[0], _secret(offset)), _xor(pair[1], _secret(offset + 8)))


def _secret(offset: int) -> int:
    return int.from_bytes(_SECRET[offset : offset + 8], "little")


def _folded_product(one: Word, other: Word) -> Word:
    """Return the lower half of the product of 128 bits, XOR the upper one."""
    if isinstance(one, int) and isinstance(other, int):
        product = one * other
        return product & _ALL_BITS ^ product >> 64
    one_low, one_high, other_low, other_high = *_halves(one), *_halves(other)
    middle = one_high * other_low
    crossing = one_low * other_low
    crossing >>= np.uint64(_HALF)
    crossing += middle & np.uint64(_LOW_HALF)
    crossing += one_low * other_high
    crossing >>= np.uint64(_HALF)
    middle >>= np.uint64(_HALF)
    crossing += middle
    crossing += one_high * other_high
    crossing ^= one * other
    return crossing


def _halves(word: Word) -> tuple[Words, Words]:
    """Return the low and the high half of a word as words."""
    whole = np.asarray(word, dtype=np.uint64)
    return whole & np.uint64(_LOW_HALF), whole >> np.uint64(_HALF)


def _avalanched(word: Word) -> Word:
    word = _product(_shifted_into(word, 37), _AVALANCHE)
    return _shifted_into(word, 32)


def _shifted_into(word: Word, by: int) -> Word:
    return word ^ word >> by if isinstance(word, int) else word ^ word >> np.uint64(by)


def _xor(one: Word, other: Word) -> Word:
    if isinstance(one, int) and isinstance(other, int):
        return one ^ other
    return np.bitwise_xor(one, other, dtype=np.uint64)


def _sum(one: Word, other: Word) -> Word:
    if isinstance(one, int) and isinstance(other, int):
        return one + other & _ALL_BITS
    return np.add(one, other, dtype=np.uint64)


def _product(one: Word, other: int) -> Word:
    if isinstance(one, int):
        return one * other & _ALL_BITS
    return np.multiply(one, other, dtype=np.uint64)


def _negated(word: Word) -> Word:
    return -word & _ALL_BITS if isinstance(word, int) else ~word + np.uint64(1)
