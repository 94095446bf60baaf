"""A simulated Alpaca on this machine, faithful on the wire: one account, a moving market, faults on demand.

::

    server                 a simulator to start: on a loopback port, or in process without a socket
    wire                   HTTP: the endpoints, keys and rate limits, delivery, faults
    data                   Alpaca's market data without HTTP: quotes, trades, bars
    venue                  Alpaca's behaviour without HTTP: values in, bodies out, or a ``Refusal``
    exchange               matching, fills, and the life cycle of orders over time
    account                money and shares: the book, buying power, positions, configurations
    intake                 parsing of requests, and every error with its evidence
    orders                 an order, and the index of all orders
    market                 prices, hours, the clock, assets
    decimals, timestamps   exact numbers and times, as Alpaca writes them

Each imports only from those below it, which import-linter checks. Each lists its own modules.

Below ``wire`` only the clock reads the wall clock, and all randomness comes from the seed: the same requests
at the same simulated times get the same replies. ``intake.messages`` and ``data_messages`` grade the evidence
for every error: R (recorded), S (specified), O (observed by others), U (ours).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from replay.simulator.server import Simulator

__all__ = ["Simulator"]


def __getattr__(name: str) -> object:
    """Load the public name at first use: its web framework is an extra."""
    if name != "Simulator":
        raise AttributeError(f"module 'replay.simulator' has no attribute {name!r}")
    from replay.simulator.server import Simulator

    return Simulator
