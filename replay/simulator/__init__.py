"""A wire-faithful Alpaca on this machine: one account, a market that moves, faults on demand.

::

    server              a simulator to start: on a loopback port, or inside a process without a socket
    wire                HTTP: the endpoints, keys and rate limit, delivery, faults
    venue               Alpaca's behaviour without a wire: plain values in, bodies out, or a ``Refusal``
    exchange            what time does to orders: matching, fills, what becomes of them
    account             money and shares: the book, buying power, positions, configurations
    intake              what a request says, and every error with its evidence
    orders              an order, and all of them
    market              prices, hours, the clock, assets
    decimals, moments   exact numbers and times, as Alpaca writes them

Each imports only from those below it; import-linter holds them to it. Each has a map of its own.

Nothing below the wire asks the wall clock, but for the clock itself, or draws from another source of chance
than the seed: the same requests at the same simulated times get the same answers. ``intake.messages`` grades
the evidence for every error: R (recorded), S (specified), O (observed by others), U (ours).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from replay.simulator.server import Simulator

__all__ = ["Simulator"]


def __getattr__(name: str) -> object:
    """Load the public name when it is first used: its web framework is an extra."""
    if name != "Simulator":
        raise AttributeError(f"module 'replay.simulator' has no attribute {name!r}")
    from replay.simulator.server import Simulator

    return Simulator
