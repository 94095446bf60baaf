"""Recorded days and simulated ones: nothing in here can reach a real broker.

::

    replay.days("data")                          the recorded days of a data folder, oldest first
    replay.replay(day, {"EXEC_MAX_POSITION_QTY": 50})   what other limits would have decided
    replay.replay_each(days, ...)                the same for any number of days, piece by piece

    recorded      finding run folders, reading them, and holding each file to its content hash
    limits        the recorded limits with others in their place
    replaying     the way through: read, judge, carry out, compare
    judging       the gate itself, for one run or for hundreds at a time
    comparison    what comes of it, as frames; ``comparing`` makes them, ``outcomes`` those of orders,
                  ``flip_frames`` those of flips, ``context`` the columns that say what an intent is about
    chaining      positions and counts that follow from counterfactual fills
    broker_side   AlpacaBroker, routing and settlement of ``engine`` once more; ``stand_ins`` is their world
    transport     a transport of ``requests`` that answers from recorded traffic, and has no other way to
    cassettes     that traffic: ours, vcrpy's or anybody's
    venue_book    what it knows of orders and fills, for questions that were never asked
    market        what a fill would have been, where nothing was recorded; always marked
    simulator     an Alpaca on this machine

The names below are the public ones; each is loaded when it is first used.
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
    """Load a public name from its home at first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'replay' has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value
