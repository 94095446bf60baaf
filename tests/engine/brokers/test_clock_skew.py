from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.brokers.account import BrokerClock
from engine.brokers.alpaca.broker import AlpacaBroker
from engine.brokers.clock_skew import ClockSkew, measure_clock_skew
from engine.errors import BrokerError, UsageError
from engine.model.schema import CLOCK_SKEW_LIMIT_S
from replay.simulator.server import Simulator
from tests.engine.brokers.loopback import CLOCK, Loopback, says

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class Sundial:
    """A broker whose clock says what it is given, and a ``now`` that goes on when the broker is asked."""

    def __init__(
        self, theirs: datetime, *, ours: datetime, takes_s: float, replied_at: datetime | None = None
    ) -> None:
        self.theirs = theirs
        self.replied_at = replied_at
        self.ours = ours
        self.takes_s = takes_s
        self.asked = 0

    def get_clock(self) -> BrokerClock:
        self.asked += 1
        self.ours += timedelta(seconds=self.takes_s)
        return BrokerClock(
            timestamp=self.theirs,
            is_open=True,
            next_open=NOON,
            next_close=NOON,
            replied_at=self.replied_at,
        )

    def now(self) -> datetime:
        return self.ours


@pytest.mark.parametrize(
    ("ours_s", "takes_s", "ahead_s", "within_s"),
    [
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 2.0, 1.0, 1.0),
        (-1.0, 2.0, 0.0, 1.0),
        (3.0, 0.5, 3.25, 0.25),
        (-3.0, 0.5, -2.75, 0.25),
        (86_400.0, 0.0, 86_400.0, 0.0),
    ],
)
def test_the_middle_of_the_request_is_compared_with_the_broker_s_time(
    ours_s: float, takes_s: float, ahead_s: float, within_s: float
) -> None:
    sundial = Sundial(NOON, ours=NOON + timedelta(seconds=ours_s), takes_s=takes_s)
    assert measure_clock_skew(sundial, sundial.now) == ClockSkew(ahead_s, within_s)
    assert sundial.asked == 1


@pytest.mark.parametrize(
    ("ours_s", "takes_s", "ahead_s", "within_s"),
    [
        (0.5, 0.0, 0.0, 0.5),  # our half second is the middle of their whole one
        (0.0, 0.0, -0.5, 0.5),
        (0.0, 2.0, 0.5, 1.5),
        (10.5, 1.0, 10.5, 1.0),
    ],
)
def test_the_timestamp_of_the_reply_goes_before_the_market_s_and_is_half_a_second_uncertain(
    ours_s: float, takes_s: float, ahead_s: float, within_s: float
) -> None:
    ours = NOON + timedelta(seconds=ours_s)
    sundial = Sundial(NOON - timedelta(days=30), ours=ours, takes_s=takes_s, replied_at=NOON)
    assert measure_clock_skew(sundial, sundial.now) == ClockSkew(ahead_s, within_s)


def test_the_zone_of_either_clock_does_not_matter() -> None:
    ours = (NOON + timedelta(seconds=7)).astimezone(ZoneInfo("America/New_York"))
    sundial = Sundial(NOON.astimezone(ZoneInfo("Asia/Tokyo")), ours=ours, takes_s=0.0)
    assert measure_clock_skew(sundial, sundial.now).ahead_s == 7.0


@pytest.mark.parametrize(
    ("ahead_s", "within_s", "worst_s"), [(3.0, 0.5, 3.5), (-3.0, 0.5, 3.5), (0.0, 4.0, 4.0)]
)
def test_the_worst_skew_counts_what_the_request_leaves_open(
    ahead_s: float, within_s: float, worst_s: float
) -> None:
    assert ClockSkew(ahead_s, within_s).worst_s == worst_s


def test_a_clock_that_goes_back_meanwhile_measures_nothing() -> None:
    sundial = Sundial(NOON, ours=NOON, takes_s=-0.5)
    skew = measure_clock_skew(sundial, sundial.now)
    assert skew.within_s == skew.worst_s == math.inf


def test_a_now_without_a_timezone_is_an_error_before_anything_is_asked() -> None:
    sundial = Sundial(NOON, ours=NOON.replace(tzinfo=None), takes_s=0.0)
    with pytest.raises(UsageError, match=r"now\(\) returned 2026-03-02T12:00:00; expected a time with a"):
        measure_clock_skew(sundial, sundial.now)
    assert sundial.asked == 0


@pytest.mark.parametrize(
    ("skew", "said"),
    [
        (ClockSkew(0.2104, 0.05), "0.210 s ahead of the broker's clock, give or take 0.050 s"),
        (ClockSkew(-7.0, 0.0), "7.000 s behind the broker's clock, give or take 0.000 s"),
    ],
)
def test_a_skew_reads_as_a_sentence(skew: ClockSkew, said: str) -> None:
    assert str(skew) == said


def test_alpaca_tells_the_time(broker: AlpacaBroker) -> None:
    before = datetime(2019, 7, 7, 16, 55, 9, 427_247, tzinfo=UTC)
    timestamps = iter([before, before + timedelta(seconds=2)])
    assert measure_clock_skew(broker, lambda: next(timestamps)) == ClockSkew(2.0, 1.0)


def test_alpaca_tells_when_it_replied(server: Loopback, broker: AlpacaBroker) -> None:
    server.answers = [says(200, CLOCK, Date="Mon, 02 Mar 2026 12:00:00 GMT")]
    assert broker.get_clock().replied_at == NOON
    server.answers = [says(200, CLOCK, Date="noon")]
    assert broker.get_clock().replied_at is None


def test_a_market_at_mid_session_is_no_wrong_clock_and_a_wrong_clock_is_one() -> None:
    simulator = Simulator(clock="manual", start_ns=1_760_000_000 * 10**9)
    with simulator.serving() as address:
        broker = AlpacaBroker(api_key="test-key", secret_key="test-secret", trading_host=address)
        right = measure_clock_skew(broker, lambda: datetime.now(UTC))
        wrong = measure_clock_skew(broker, lambda: datetime.now(UTC) + timedelta(seconds=60))
    assert right.worst_s <= CLOCK_SKEW_LIMIT_S
    assert wrong.worst_s > CLOCK_SKEW_LIMIT_S


def test_without_the_broker_s_time_there_is_no_skew(server: Loopback, broker: AlpacaBroker) -> None:
    server.answers = [says(200, CLOCK | {"timestamp": None})]
    with pytest.raises(BrokerError, match="the reply is no clock"):
        measure_clock_skew(broker, lambda: NOON)
