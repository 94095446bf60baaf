"""A simulator to start: on a loopback port, or inside a process without a socket.

::

    simulator = Simulator(seed=7)
    with simulator.serving() as address:                             # a thread, a free port
        TradingClient("test-key", "test-secret", url_override=address)

    session.mount("https://paper-api.alpaca.markets", simulator.adapter())    # no socket at all
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from engine.errors import EngineError
from replay.simulator.wire.adapter import InProcessAdapter
from replay.simulator.wire.app import build_app
from replay.simulator.wire.armed import Faults
from replay.simulator.wire.simulation import Keys, Simulation

if TYPE_CHECKING:
    from replay.simulator.market.clock import SimulatedClock
    from replay.simulator.market.surroundings import Market
    from replay.simulator.venue.venue import Venue


class SimulatorFailed(EngineError):
    """The simulator itself broke while it served; what was tested against it proves nothing."""


@dataclass(kw_only=True, eq=False)
class Simulator:
    """One account at one venue, with what is needed to reach it.

    ``rate_limit``: requests a minute, None is no limit. ``prices``: a CSV or Parquet file of bars, None is a
    random walk from ``seed``. ``clock``: ``running`` at ``speed`` times real time, ``manual`` or ``wall``;
    the first two begin at ``start_ns``, by default with the first bar or in mid-session. Ids of orders come
    from the seed where the clock is ``manual``; otherwise they never come again, as at Alpaca: two simulators
    of one seed, or one that begins anew, would give an order of yours another one's id. ``begin``: gives a
    new venue and its clock, in place of all these but keys, limit and seed. ``wall``: the clock of the rate
    limit, in seconds since 1970; None is the machine's. ``save_dir``: the folder below
    which ``/simulator/save`` writes, None for nowhere. ``host_names``: names by which it is asked beside
    loopback's and the host that it is served on. ``control_token``: lets control requests of others in.
    """

    key: str = "test-key"
    secret: str = "test-secret"
    rate_limit: int | None = None
    cash: Decimal = Decimal(100_000)
    seed: int = 0
    partial_fill_probability: float = 0.1
    prices: Path | None = None
    clock: Literal["running", "wall", "manual"] = "running"
    speed: float = 1.0
    start_ns: int | None = None
    begin: Callable[[], tuple[Venue, SimulatedClock]] | None = field(default=None, repr=False)
    wall: Callable[[], float] | None = field(default=None, repr=False)
    save_dir: Path | None = None
    host_names: tuple[str, ...] = ()
    control_token: str = field(default_factory=lambda: token_urlsafe(16), repr=False)

    def __post_init__(self) -> None:
        self.simulation = Simulation(
            self.begin or self._begin,
            keys=Keys(self.key, self.secret),
            rate_limit=self.rate_limit,
            seed=self.seed,
            wall=self.wall,
        )
        self.simulation.control_token, self.simulation.save_dir = self.control_token, self.save_dir
        self.app = build_app(self.simulation)

    @property
    def venue(self) -> Venue:
        """The venue of the moment; a reset makes another."""
        return self.simulation.venue

    @property
    def faults(self) -> Faults:
        """The faults of the moment; a reset takes them all away."""
        return self.simulation.faults

    def adapter(self) -> InProcessAdapter:
        """Give a transport adapter for ``requests``, to mount in a session in place of a host."""
        return InProcessAdapter(self.app)

    def check(self) -> None:
        """Raise SimulatorFailed if the simulator met an exception that it did not expect."""
        if self.simulation.failures:
            raise SimulatorFailed("The simulator failed: " + "; ".join(self.simulation.failures))

    @contextmanager
    def serving(self, port: int = 0, host: str = "127.0.0.1") -> Iterator[str]:
        """Serve on a port, by default a free one, until the block ends; gives the address.

        Raises UsageError if the port can't be had, and SimulatorFailed at the end if the simulator met an
        exception that it did not expect.
        """
        from replay.simulator.wire.hosts import only_known_hosts
        from replay.simulator.wire.http_server import served

        with served(only_known_hosts(self.app, host, self.host_names), host, port) as address:
            yield address
        self.check()

    def _begin(self) -> tuple[Venue, SimulatedClock]:
        # pandas and numba come with these; whoever brings a venue of their own does without.
        from replay.simulator.market.assets import Assets
        from replay.simulator.market.clock import SimulatedClock
        from replay.simulator.market.prices import Bars, RandomWalk
        from replay.simulator.venue.venue import Venue

        clock = SimulatedClock(self.clock, start_ns=self.start_ns, speed=self.speed)
        walk = RandomWalk(self.seed, clock.now_ns())
        market: Market = walk
        extra_symbols: frozenset[str] = frozenset()
        if self.prices is not None:
            market = bars = Bars.read(self.prices, fallback=walk)
            extra_symbols = bars.symbols
            if self.start_ns is None and self.clock != "wall":
                first_ns = min(bars.path(symbol, 0).start_ns for symbol in bars.symbols)
                clock = SimulatedClock(self.clock, start_ns=first_ns, speed=self.speed)
        venue = Venue(
            market=market,
            clock=clock,
            assets=Assets.load(extra_symbols),
            cash=self.cash,
            seed=self.seed,
            series="" if self.clock == "manual" else f" {uuid4()}",
            partial_fill_probability=self.partial_fill_probability,
        )
        return venue, clock
