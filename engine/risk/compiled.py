"""Numba, where it pays: functions that run as they are for small batches and compiled for large ones.

Loading numba costs a quarter of a second, more than a small batch takes uncompiled, so it is loaded at
the first large one; once it is there, it serves medium ones too. Both forms are the same function and tests
hold them to the same answers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

COMPILE_FROM_ROWS = 100_000
USE_COMPILED_FROM_ROWS = 2_000


def use_compiled(rows: int) -> bool:
    """Tell whether a batch of this many rows is worth compiled code."""
    return rows >= (USE_COMPILED_FROM_ROWS if compiled.cache_info().currsize else COMPILE_FROM_ROWS)


@cache
def compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Give the compiled form of a function over numpy arrays; kept on disk where that is possible.

    The function may call nothing of ours: the copy on disk is renewed when its own file changes only.
    """
    import numba

    try:
        return _jit(numba, function, cache_on_disk=True)
    except RuntimeError:  # no folder to keep the compiled code in
        return _jit(numba, function, cache_on_disk=False)


def _jit(numba: Any, function: Callable[..., None], *, cache_on_disk: bool) -> Callable[..., None]:
    form: Callable[..., None] = numba.njit(cache=cache_on_disk, nogil=True)(function)
    return form
