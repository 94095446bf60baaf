"""Sending an alarm: log, throttle, webhook, e-mail; and the heartbeat."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigurationError
from engine.log import EventLog, wall_clock
from engine.settings.alarm_addresses import MailServer
from engine.settings.alarms import AlarmSettings, alarm_settings
from engine.waiting.deadline import Deadline
from engine.waiting.pause import waited
from jobs.alarms.alarm import Alarm
from jobs.alarms.throttle import Throttle

if TYPE_CHECKING:
    import requests

LONGEST_S = 15.0
"""The longest time that a command goes on for its alarms, and half of it for its heartbeat."""

_ONE_TRY_S = 5.0
_WAITS_S = (0.5, 1.0, 2.0)
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_GOOD, _BAD = 200, 300


@dataclass(frozen=True)
class Sent:
    """Whether something could be sent, and else why not, without the address that it was sent to."""

    to: str
    error: str = ""


def raise_alarm(alarm: Alarm, *, env: Mapping[str, str] | None = None) -> bool:
    """Log an alarm and send it where the settings say; return whether it was sent wherever it should be."""
    log_alarm(alarm)
    return send_alarm(alarm, env=env)


def log_alarm(alarm: Alarm) -> None:
    """Log an alarm; not on a terminal, whose reader sees what the command says of it."""
    if sys.stderr is None or not sys.stderr.isatty():
        about = {"kind": alarm.kind, "exit_code": alarm.exit_code, "run_id": alarm.run_id}
        EventLog().event("alarm", alarm.message, severity="ALERT", **about)


def send_alarm(alarm: Alarm, *, env: Mapping[str, str] | None = None) -> bool:
    """Send an alarm where the settings say; return whether it was sent wherever it should be.

    Never raises: an alarm of a fault in the settings must not end in another one.
    """
    log = EventLog()
    alarm = replace(alarm, message=log.hide(alarm.message))
    try:
        settings = alarm_settings(os.environ if env is None else env)
        throttle = Throttle(alarm.data_dir, settings.every_s)
        held_back = throttle.asked(alarm.kind, wall_clock()) if settings.sends else None
        if held_back is None:
            return True
        sent = send_now(replace(alarm, held_back=held_back), settings)
        if all(one.error for one in sent):
            throttle.not_sent(alarm.kind)
    except Exception as error:
        why = str(error) if isinstance(error, ConfigurationError) else type(error).__name__
        sent = [Sent("where the settings say", why)]
    for one in sent:
        if one.error:
            message = f"The alarm was not sent to {one.to}: {one.error}"
            log.event("alarm_not_sent", message, severity="ERROR")
    return not any(one.error for one in sent)


def send_now(alarm: Alarm, settings: AlarmSettings) -> list[Sent]:
    """Send an alarm to all places at once, within ``LONGEST_S``; return what became of each."""
    senders = _senders(settings)
    if not senders:
        return []
    deadline = Deadline.after(LONGEST_S)
    with ThreadPoolExecutor(len(senders), thread_name_prefix="alarm") as threads:
        return list(threads.map(lambda send: send(alarm, deadline), senders))


def beat(env: Mapping[str, str] | None = None) -> None:
    """Call the heartbeat's URL after a good run; where that fails it is logged. Never raises."""
    log = EventLog()
    try:
        url = alarm_settings(os.environ if env is None else env).heartbeat_url
        if url is None:
            return
        sent = _called("the heartbeat", lambda session, left: session.get(url, timeout=left), LONGEST_S / 2)
    except Exception as error:
        sent = Sent("the heartbeat", type(error).__name__)
    if sent.error:
        log.event("heartbeat_not_sent", f"{sent.to} was not reached: {sent.error}", severity="WARNING")


def _senders(settings: AlarmSettings) -> list[Callable[[Alarm, Deadline], Sent]]:
    senders: list[Callable[[Alarm, Deadline], Sent]] = []
    if (webhook := settings.webhook) is not None:

        def post(alarm: Alarm, deadline: Deadline) -> Sent:
            body = alarm.as_slack() if settings.form == "slack" else alarm.as_json()
            return _called(
                "the webhook",
                lambda session, left: session.post(webhook, json=body, timeout=left, allow_redirects=False),
                deadline.left_s(),
            )

        senders.append(post)
    if (server := settings.mail_server) is not None:
        senders.append(lambda alarm, deadline: _mailed(alarm, server, settings.emails, deadline))
    return senders


def _called(to: str, call: Callable[[requests.Session, float], requests.Response], longest_s: float) -> Sent:
    """Make a request, up to four times; errors never show its URL, which may hold a token."""
    import requests

    deadline = Deadline.after(longest_s)
    error = ""
    with requests.Session() as session:
        session.trust_env = False
        for wait_s in (0.0, *_WAITS_S):
            if wait_s >= deadline.left_s():
                break
            waited(wait_s)
            try:
                reply = call(session, min(_ONE_TRY_S, deadline.left_s()))
            except requests.RequestException as failure:
                error = f"{type(failure).__name__}"
                continue
            if _GOOD <= reply.status_code < _BAD:
                return Sent(to)
            error = f"it answered {reply.status_code}"
            if reply.status_code not in _AGAIN:
                break
    return Sent(to, error)


def _mailed(alarm: Alarm, server: MailServer, addresses: tuple[str, ...], deadline: Deadline) -> Sent:
    import smtplib
    import ssl
    from email.message import EmailMessage

    message = EmailMessage()
    message["Subject"] = " ".join(alarm.title.split())
    message["From"] = server.user if server.user and "@" in server.user else addresses[0]
    message["To"] = ", ".join(addresses)
    message.set_content(alarm.text)
    try:
        context = ssl.create_default_context()
        timeout = min(_ONE_TRY_S, deadline.left_s())
        with _connected(server, context, timeout) as connection:
            if server.user is not None:
                connection.login(server.user, server.password or "")
            connection.send_message(message)
    except (OSError, smtplib.SMTPException) as failure:
        return Sent("the mail server", type(failure).__name__)
    return Sent("the mail server")


def _connected(server: MailServer, context: Any, timeout: float) -> Any:
    """Return a connection to a mail server, with TLS except on this machine."""
    import smtplib

    from engine.settings.hosts import is_loopback

    if server.is_tls:
        return smtplib.SMTP_SSL(server.host, server.port, timeout=timeout, context=context)
    connection = smtplib.SMTP(server.host, server.port, timeout=timeout)
    if not is_loopback(server.host):
        connection.starttls(context=context)
    return connection
