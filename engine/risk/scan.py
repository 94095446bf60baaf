"""The sequential rules, in one function: the definition of what the rule book allows.

Intents are judged one after the other, each against the state left by the *allowed* intents before it; a
refused one changes nothing. Rules that depend on one row only were judged before and come in as ``open_row``.
The function runs as plain Python over lists and, unchanged, compiled by numba over numpy arrays; so it calls
no other function and uses only features that behave the same in both.
"""

from __future__ import annotations

from typing import Any


def scan(
    open_row: Any,
    is_order: Any,
    first_row: Any,
    watched: Any,
    break_state: Any,
    break_buys: Any,
    break_sells: Any,
    skip_unreconciled: Any,
    account: Any,
    trades: Any,
    trades_limit: Any,
    skip_trades: Any,
    key: Any,
    side: Any,
    qty: Any,
    position: Any,
    buys: Any,
    sells: Any,
    known: Any,
    limit: Any,
    worst_case: Any,
    skip_position: Any,
    id_taken: Any,
    repeated_out: Any,
    unreconciled_out: Any,
    trades_out: Any,
    trades_before_out: Any,
    position_out: Any,
    projected_out: Any,
    allowed_out: Any,
) -> None:
    """Judge every row in order and fill the columns whose names end in ``_out``.

    Per row: ``open_row`` (no other rule refuses it), ``is_order`` (False for a cancel), ``first_row`` (the
    first row with the same id), ``account`` and ``key`` (codes, -1 for none), ``side`` (+1, -1, 0), ``qty``
    (units, negative for unknown). Per account: ``trades`` counted so far, -1 for unknown. Per key:
    ``position``, ``buys``, ``sells`` (units; under the net projection ``buys`` holds buys less sells) and
    whether they are ``known``. Where any break is open (``watched``), per key also ``break_state`` (0 none,
    1 open, 3 unknown), and ``break_buys``, ``break_sells`` (units, under either projection). Verdicts: 0
    pass, 1 fail, 2 off, 3 unavailable; those of ``unreconciled_out`` come in as 0. Figures that are
    unavailable keep their initial value. The state (``trades, buys, sells, break_buys,
    break_sells, known, id_taken``) is changed in place.
    """
    for row in range(len(open_row)):
        repeated = id_taken[first_row[row]]
        repeated_out[row] = 1 if repeated else 0
        passes = open_row[row] and not repeated
        if not is_order[row]:
            unreconciled_out[row] = 2
            trades_out[row] = 2
            position_out[row] = 2
            allowed_out[row] = passes
            if passes:
                id_taken[first_row[row]] = True
            continue

        k = key[row]
        q = qty[row]
        s = side[row]
        measured = k >= 0 and q > 0 and s != 0 and known[k]
        if watched or k < 0:
            state = break_state[k] if k >= 0 else 3
            if state == 1 and measured:
                room = position[k] - break_sells[k] if s < 0 else -position[k] - break_buys[k]
                state = 0 if q <= room else 1
            elif state == 1:
                state = 3
            unreconciled_out[row] = state
            passes = passes and (state == 0 or (state == 3 and skip_unreconciled))

        a = account[row]
        counted = a >= 0 and trades[a] >= 0
        if counted:
            trades_before_out[row] = trades[a]
            trades_out[row] = 1 if trades[a] >= trades_limit else 0
            passes = passes and trades[a] < trades_limit
        else:
            trades_out[row] = 3
            passes = passes and skip_trades

        if not measured:
            position_out[row] = 3
            passes = passes and skip_position
        else:
            if not worst_case:
                now = position[k] + buys[k]
                projected = now + s * q
                shrinks = (s < 0 and now >= q) or (s > 0 and -now >= q)
                within = shrinks or (projected <= limit and projected >= -limit)
            elif s > 0:
                projected = position[k] + buys[k] + q
                within = projected <= limit
            else:
                projected = position[k] - sells[k] - q
                within = projected >= -limit
            projected_out[row] = projected
            position_out[row] = 0 if within else 1
            passes = passes and within

        allowed_out[row] = passes
        if passes:
            id_taken[first_row[row]] = True
            if counted:
                trades[a] += 1
            if measured:
                if watched and break_state[k] == 1:
                    if s > 0:
                        break_buys[k] += q
                    else:
                        break_sells[k] += q
                if not worst_case:
                    buys[k] += s * q
                elif s > 0:
                    buys[k] += q
                else:
                    sells[k] += q
            elif k >= 0:
                known[k] = False
