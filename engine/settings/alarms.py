"""Where alarms go: a webhook, e-mail, and a URL that is called after every good run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from engine.errors import ConfigurationError
from engine.settings.alarm_addresses import Form, MailServer
from engine.settings.variables import read_setting

_SLACK = "hooks.slack.com"


@dataclass(frozen=True, kw_only=True)
class AlarmSettings:
    """Where alarms are sent to; None or empty: nowhere. ``every_s``: alarms of a kind are that far apart."""

    webhook: str | None = field(default=None, repr=False)
    form: Form = "json"
    emails: tuple[str, ...] = ()
    mail_server: MailServer | None = None
    heartbeat_url: str | None = field(default=None, repr=False)
    every_s: float = 900.0

    @property
    def sends(self) -> bool:
        """Whether alarms go anywhere besides the log."""
        return self.webhook is not None or self.mail_server is not None


def form_of(webhook: str | None, form: Form | None) -> Form:
    """Return the form of a webhook's messages: Slack's for its own host, where none is set."""
    if form is not None:
        return form
    return "slack" if webhook and urlsplit(webhook).hostname == _SLACK else "json"


def alarm_settings(env: Mapping[str, str]) -> AlarmSettings:
    """Read them from environment variables. Raises ``ConfigurationError``."""
    webhook = read_setting("EXEC_ALERT_WEBHOOK", env)
    emails, server = read_setting("EXEC_ALERT_EMAIL", env) or (), read_setting("EXEC_SMTP_URL", env)
    if bool(emails) != (server is not None):
        given, missing = "EXEC_ALERT_EMAIL", "EXEC_SMTP_URL"
        if server is not None:
            given, missing = missing, given
        raise ConfigurationError(
            f"{given} is set and {missing} is not; e-mail needs both. Set it, or unset {given}."
        )
    return AlarmSettings(
        webhook=webhook,
        form=form_of(webhook, read_setting("EXEC_ALERT_WEBHOOK_FORM", env)),
        emails=emails,
        mail_server=server,
        heartbeat_url=read_setting("EXEC_HEARTBEAT_URL", env),
        every_s=read_setting("EXEC_ALERT_EVERY_S", env),
    )
