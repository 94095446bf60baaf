"""A simulator to start: on a loopback port, or in process without a socket.

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
from replay.simulator.data.plans import ClockName, PlanName
from replay.simulator.wire.adapter import InProcessAdapter
from replay.simulator.wire.app import build_app
from replay.simulator.wire.armed import Faults
from replay.simulator.wire.simulation import Keys, Simulation, Terms

if TYPE_CHECKING:
    from replay.simulator.market.clock import SimulatedClock
    from replay.simulator.market.surroundings import Market
    from replay.simulator.venue.venue import Venue


class SimulatorFailed(EngineError):
    """The simulator failed while it served; results obtained against it are invalid."""


@dataclass(kw_only=True, eq=False)
class Simulator:
    """One account at one simulated venue, and access to it.

    ``rate_limit``: requests a minute, None for no limit. ``data_plan``: the plan of market data, ``basic`` or
    ``algo_trader_plus``, which permits more feeds; ``data_rate_limit``: its requests a minute, None for the
    plan's 200 or 10,000. ``data_clock``: latest quotes and trades are stamped with the ``simulated`` time or
    with this machine's (``wall``), by which a client judges their age. ``prices``: a CSV or Parquet file of
    bars, None for a random walk from ``seed``. ``clock``: ``running`` at ``speed`` times real time,
    ``manual`` or ``wall``; the first two start at ``start_ns``, by default at the first bar or mid-session.
    Order ids come from the seed where the clock is ``manual``; otherwise they are never reused, as at Alpaca,
    so that a second simulator of the same seed, or a reset, doesn't repeat the id of an earlier order.
    ``begin``: returns a new venue and its clock; it replaces all of these but keys, limit and seed. ``wall``:
    the clock of the rate limit, seconds since 1970; None for the machine's. ``save_dir``: the folder below
    which ``/simulator/save`` writes, None to disable it. ``host_names``: accepted host names beside
    loopback's and the host that it is served on. ``control_token``: admits control requests from other
    machines.
    """

    key: str = "test-key"
    secret: str = "test-secret"
    rate_limit: int | None = None
    data_plan: PlanName = "basic"
    data_rate_limit: int | None = None
    data_clock: ClockName = "simulated"
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
            terms=Terms(self.rate_limit, self.data_plan, self.data_rate_limit, self.data_clock),
            seed=self.seed,
            wall=self.wall,
        )
        self.simulation.control_token, self.simulation.save_dir = self.control_token, self.save_dir
        self.app = build_app(self.simulation)

    @property
    def venue(self) -> Venue:
        """The current venue; a reset makes a new one."""
        return self.simulation.venue

    @property
    def faults(self) -> Faults:
        """The current faults; a reset removes them all."""
        return self.simulation.faults

    def adapter(self) -> InProcessAdapter:
        """Return a transport adapter for ``requests``, to mount in a session for a host."""
        return InProcessAdapter(self.app)

    def check(self) -> None:
        """Raise SimulatorFailed if an unexpected exception occurred in the simulator."""
        if self.simulation.failures:
            raise SimulatorFailed("The simulator failed: " + "; ".join(self.simulation.failures))

    @contextmanager
    def serving(self, port: int = 0, host: str = "127.0.0.1") -> Iterator[str]:
        """Serve on a port, by default a free one, until the block ends; yield the address.

        Raises UsageError if the port can't be bound, and SimulatorFailed at the end if an unexpected
        exception occurred in the simulator.
        """
        from replay.simulator.wire.hosts import only_known_hosts
        from replay.simulator.wire.http_server import served

        with served(only_known_hosts(self.app, host, self.host_names), host, port) as address:
            yield address
        self.check()

    def _begin(self) -> tuple[Venue, SimulatedClock]:
        # Imported here, as these need pandas and numba, and a ``begin`` of one's own doesn't.
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
