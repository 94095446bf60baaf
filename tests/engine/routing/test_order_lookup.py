"""Waiting between lookups."""

from __future__ import annotations

import time

import pytest

from engine.errors import RunStopped
from engine.routing.order_lookup import pause


def test_a_job_that_is_to_end_does_not_wait_for_the_rest_of_a_pause() -> None:
    begun = time.monotonic()
    with pytest.raises(RunStopped, match="Stopped while orders were looked up; the next run goes on there"):
        pause(60, lambda: time.monotonic() - begun > 0.05, during="orders were looked up")
    assert time.monotonic() - begun < 1


def test_a_pause_lasts_as_long_as_it_is_to() -> None:
    begun = time.monotonic()
    pause(0.15, lambda: False, during="orders were looked up")
    assert 0.15 <= time.monotonic() - begun < 1
