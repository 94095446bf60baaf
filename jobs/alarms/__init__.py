"""Alarms: what an operator must hear of at once, and the heartbeat of good runs.

An alarm is an event of severity ``ALERT`` in the log, always. It is posted to a webhook and mailed too where
these are set, at most once per kind and ``EXEC_ALERT_EVERY_S``. All of this happens when a command's
work is recorded and its locks are released, within ``LONGEST_S``; that an alarm can't be sent is logged, and
changes neither the record nor the exit code.
"""

from __future__ import annotations

from jobs.alarms.alarm import Alarm, kind_of
from jobs.alarms.sending import beat, raise_alarm, send_alarm

__all__ = ["Alarm", "beat", "kind_of", "raise_alarm", "send_alarm"]
