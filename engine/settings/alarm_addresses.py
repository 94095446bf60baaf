"""The addresses that alarms go to, as settings write them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, urlsplit

from engine.errors import ConfigurationError
from engine.settings.hosts import is_loopback
from engine.text.masking import shown_word

Form = Literal["json", "slack"]
FORMS: tuple[Form, ...] = ("json", "slack")
_ADDRESS = re.compile(r"[^@\s,<>\"]{1,64}@[A-Za-z0-9.-]{1,255}", re.ASCII)
_PORTS = {"smtp": 587, "smtps": 465}
_HIGHEST_PORT = 65535


@dataclass(frozen=True)
class MailServer:
    """An SMTP server: ``smtp`` upgrades the connection to TLS, ``smtps`` begins with it."""

    host: str
    port: int
    is_tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)


def as_alarm_url(name: str, text: str) -> str:
    """Return a URL that is called; messages never show it, since it may hold a token."""
    url = text.strip()
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    if not host or not is_safe or port == 0 or not url.isascii() or re.search(r"\s", url):
        raise ConfigurationError(
            f"{name} is no URL that can be called; expected https://host/path, or http on 127.0.0.1, [::1] "
            f"or localhost. Correct it, or unset it."
        )
    return url


def as_form(name: str, text: str) -> Form:
    """Return the form of a webhook's messages."""
    word = text.strip().lower()
    if word not in FORMS:
        raise ConfigurationError(f"{name} is {shown_word(text)}; expected json or slack.")
    return word


def as_emails(name: str, text: str) -> tuple[str, ...]:
    """Return the addresses in a list, a@b.com,c@d.com."""
    addresses = tuple(one.strip() for one in text.split(","))
    wrong = next((one for one in addresses if not _ADDRESS.fullmatch(one)), None)
    if wrong is not None:
        raise ConfigurationError(
            f"{name} has {shown_word(wrong)}; expected addresses with commas between them, such as "
            f"desk@example.com,ops@example.com."
        )
    return addresses


def as_mail_server(name: str, text: str) -> MailServer:
    """Return an SMTP server; messages never show it, since it may hold a password."""
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if parts.scheme not in _PORTS or not host or parts.path.strip("/") or port == 0:
        raise ConfigurationError(
            f"{name} is no address of a mail server; expected smtp://user:password@host:587, or "
            f"smtps:// where the connection begins with TLS. In user and password @ is written %40, / is %2F."
        )
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    return MailServer(host, port or _PORTS[parts.scheme], parts.scheme == "smtps", user, password)
