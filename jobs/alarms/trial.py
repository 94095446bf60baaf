"""``test-alarm``: send an alarm that says it is a test, wherever the settings say."""

from __future__ import annotations

import time

from engine.settings.alarms import alarm_settings
from jobs.alarms.alarm import Alarm
from jobs.alarms.sending import send_now
from jobs.setup import read_setup
from jobs.tables import print_json, say


def trial(*, as_json: bool) -> int:
    """Send a test alarm and print where it went; return the exit code. Raises ``ConfigurationError``."""
    setup = read_setup()
    settings = alarm_settings(setup.env)
    began = time.monotonic()
    sent = send_now(Alarm("test", "test-alarm", "A test: nothing has happened.", 0, setup.data_dir), settings)
    took_s = time.monotonic() - began
    failed = {one.to: one.error for one in sent if one.error}
    if as_json:
        reached = [one.to for one in sent if not one.error]
        print_json({"exit_code": int(bool(failed)), "reached": reached, "failed": failed, "took_s": took_s})
        return int(bool(failed))
    for one in sent:
        say(
            f"{one.to}: {'NOT REACHED, ' + one.error if one.error else 'reached'}",
            color="red" if one.error else None,
        )
    if not sent:
        say(
            "No alarm is sent: neither EXEC_ALERT_WEBHOOK nor EXEC_ALERT_EMAIL is set. Alarms are in the log."
        )
    return int(bool(failed))
