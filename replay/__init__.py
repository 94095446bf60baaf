"""Replay of recorded days, and simulated days. Nothing in this package can reach a real broker.

::

    replay.days("data")                          the recorded days of a data folder, oldest first
    replay.replay(day, {"EXEC_MAX_POSITION_QTY": 50})   the decisions under other limits
    replay.replay_each(days, ...)                the same for any number of days, in batches of runs

    recorded      finds run folders, reads them and verifies the content hash of each file
    limits        the recorded limits with some of them replaced
    replaying     the steps of a replay: read, judge, carry out, compare
    judging       the rule book, applied to one run or to hundreds at a time
    comparison    the result as frames; ``comparing`` makes them, ``outcomes`` those of orders,
                  ``flip_frames`` those of flips, ``context`` the columns that identify an intent
    chaining      positions and counts that follow from counterfactual fills
    broker_side   AlpacaBroker, routing and settlement of ``engine`` again; ``stand_ins`` replaces the rest
    transport     a transport of ``requests`` that answers from recorded traffic only
    cassettes     recorded traffic: ours, vcrpy's or written by hand
    venue_book    the orders and fills in that traffic, for requests that were never recorded
    market        simulated fills, where nothing was recorded; always marked as simulated
    simulator     a simulated Alpaca on this machine

The names below are public; each is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from replay.comparison import Comparison
    from replay.recorded import Day, RecordedRun, Recording, days, read
    from replay.replaying import replay, replay_each

_HOMES = {
    "Comparison": "replay.comparison",
    "Day": "replay.recorded",
    "RecordedRun": "replay.recorded",
    "Recording": "replay.recorded",
    "days": "replay.recorded",
    "read": "replay.recorded",
    "replay": "replay.replaying",
    "replay_each": "replay.replaying",
}

__all__ = ["Comparison", "Day", "RecordedRun", "Recording", "days", "read", "replay", "replay_each"]


def __getattr__(name: str) -> object:
    """Load a public name from its module at first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'replay' has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value
