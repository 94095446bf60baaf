"""Numba for large batches: functions that run as plain Python for small ones.

Loading numba takes a quarter of a second, more than a small batch takes uncompiled. So it is loaded for the
first large batch; once loaded, it is used for medium ones too. Both forms are the same function, and tests
compare their results.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

COMPILE_FROM_ROWS = 100_000
USE_COMPILED_FROM_ROWS = 2_000


def use_compiled(rows: int) -> bool:
    """Return whether to use compiled code for a batch of this many rows."""
    return rows >= (USE_COMPILED_FROM_ROWS if compiled.cache_info().currsize else COMPILE_FROM_ROWS)


@cache
def compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Return the compiled form of a function over numpy arrays, cached on disk where possible.

    The function must not call our code: the copy on disk is renewed only when its own file changes.
    """
    import numba

    try:
        return _jit(numba, function, cache_on_disk=True)
    except RuntimeError:  # no folder to keep the compiled code in
        return _jit(numba, function, cache_on_disk=False)


def _jit(numba: Any, function: Callable[..., None], *, cache_on_disk: bool) -> Callable[..., None]:
    form: Callable[..., None] = numba.njit(cache=cache_on_disk, nogil=True)(function)
    return form
