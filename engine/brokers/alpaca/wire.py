"""HTTP requests to Alpaca: paced, retried where that is safe, with every failure as an engine error.

See ``engine.brokers.alpaca.broker`` for the outcome by reply. No message shows a key, or more of an account
number than its last four characters.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, TypeVar

import requests
import urllib3

from engine.brokers.alpaca.fields import NotJson
from engine.brokers.alpaca.keys import Keys
from engine.brokers.alpaca.pacing import NO_REPLY, HeldOff, Pace
from engine.brokers.alpaca.read_retries import AskedWaits, NoAnswer, ReadRetries
from engine.brokers.alpaca.redaction import AccountRedaction
from engine.brokers.alpaca.replies import cause, is_refusal, never_left, refusal, request_id, retry_after_s
from engine.brokers.alpaca.text import one_line, readable, without_account_numbers
from engine.brokers.alpaca.transport import BoundedAdapter, GuardedRequest, Recording, whole
from engine.brokers.in_time import always
from engine.brokers.trading import SENDERS, Recorder
from engine.errors import (
    BrokerError,
    BrokerRejected,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    RunStopped,
)
from engine.waiting.deadline import NO_DEADLINE, Deadline

ACCOUNT = "account"
QUOTES = "map of snapshots"
"""Content of which only numbers, times and known symbols are kept, so that it is not searched for keys: that
would take longer than all else for a thousand symbols."""
_LONGEST_PATH = 200
_DONE, _REDIRECTED = 200, 300  # the first status of each class

_Asked = TypeVar("_Asked")


@dataclass(frozen=True, kw_only=True)
class Wire:
    """One account's HTTP access to Alpaca: its host, its keys, and a session whose pace all requests share.

    ``timeout_s``: seconds to connect, and seconds to wait for the next byte. ``how``: proxies and
    certificates from the environment, read once. ``account`` redacts account numbers and ids.
    ``host_setting`` names the host in remedies.
    """

    host: str
    keys: Keys = field(repr=False)
    session: requests.Session
    timeout_s: tuple[float, float]
    retries: ReadRetries
    how: Mapping[str, Any]
    pace: Pace = field(default_factory=Pace)
    account: AccountRedaction = field(default_factory=AccountRedaction)
    reads_until: Deadline = NO_DEADLINE
    host_setting: str = "ALPACA_TRADING_HOST"

    @classmethod
    def to(
        cls,
        host: str,
        keys: Keys,
        session: requests.Session | None,
        timeout_s: tuple[float, float],
        retries: ReadRetries,
    ) -> Wire:
        """Return the access to a host; creates a session where none is given."""
        used = _own_session(host, *timeout_s) if session is None else session
        if host.startswith("http:"):
            # Plain HTTP is for loopback only: a proxy of the environment would receive the keys.
            used.trust_env = False
        how = used.merge_environment_settings(host + "/", {}, False, None, None)
        return cls(host=host, keys=keys, session=used, timeout_s=timeout_s, retries=retries, how=how)

    def waiting_together(self) -> Wire:
        """Return the same access; all its GETs together wait at most ``broker_wait_s`` for Alpaca."""
        together = AskedWaits(self.retries.retry_policy.longest_hold_s)
        return replace(self, retries=replace(self.retries, together=together))

    def reading_until(self, deadline: Deadline) -> Wire:
        """Return the same access, whose GETs begin no try, and wait no longer, after a deadline."""
        retries, stopping = self.retries, self.retries.stopping
        policy = replace(retries.retry_policy, read_s=min(retries.retry_policy.read_s, deadline.left_s()))
        late = replace(retries, retry_policy=policy, stopping=lambda: stopping() or deadline.is_over())
        return replace(self, retries=late, reads_until=deadline)

    def recorded(self, recorder: Recorder, account: str) -> Wire:
        """Return the same access, at the same pace; ``recorder`` records every request and reply."""
        session = requests.Session()
        session.mount(
            self.host + "/",
            Recording(
                self.session.get_adapter(self.host + "/"),
                recorder.keep,
                clean=self.keys.hidden_in_body,
                is_clean=self.keys.cannot_be_in,
                number=recorder.next_number,
                account=self.account,
                whose=account,
            ),
        )
        return replace(self, session=session)

    def wait_for_turn(self, *, urgent: bool, held_at_most_s: float | None = None) -> None:
        """Wait until the rate limit allows a request.

        Raises ``RunStopped`` where the job is to end, and ``RateLimited`` where Alpaca asks for a longer wait
        than ``held_at_most_s``, by default ``broker_wait_s``.
        """
        at_most_s = self.retries.retry_policy.longest_hold_s if held_at_most_s is None else held_at_most_s
        try:
            has_turn = self.pace.take(urgent=urgent, given_up=self.retries.stopping, held_at_most_s=at_most_s)
        except HeldOff as held:
            raise self._held_off(held.wait_s) from held
        if not has_turn:
            raise RunStopped("Stopped while a request waited for its turn; the next run goes on there.")

    def _held_off(self, wait_s: float) -> RateLimited:
        error = RateLimited(
            f"{self.host} asks for no requests for another {wait_s:.0f} s, longer than the limit "
            f"(EXEC_BROKER_WAIT_S, {self.retries.retry_policy.broker_wait_s:g} s in all). This request was "
            f"not sent; others are not affected",
            status=HTTPStatus.TOO_MANY_REQUESTS,
        )
        error.wait_s = wait_s
        return error

    def place(self, method: str, path: str) -> str:
        """Return a request's name for messages; the end of a long query is left out."""
        shown = path if len(path) <= _LONGEST_PATH else f"{path[: _LONGEST_PATH - 1]}…"
        return f"{method} {self.host}{shown}"

    def get(self, path: str, what: str, parse: Callable[[bytes], _Asked]) -> _Asked:
        """Return the parsed reply of a GET, with retries; ``what`` names its content in messages.

        Raises ``BrokerRejected``, ``RateLimited``, ``RunStopped`` and ``BrokerError``.
        """
        return self.asked(path, what, parse)[0]

    def asked(
        self,
        path: str,
        what: str,
        parse: Callable[[bytes], _Asked],
        *,
        recorded_as: Callable[[bytes], bytes] = whole,
    ) -> tuple[_Asked, requests.Response]:
        """Return what ``get`` does, and the reply itself; ``recorded_as``: as of ``GuardedRequest``."""

        def turn(held_at_most_s: float) -> None:
            if self.reads_until.is_over():
                raise RunStopped(f"{self.place('GET', path)} was not sent: its deadline had passed.")
            self.wait_for_turn(urgent=True, held_at_most_s=held_at_most_s)

        def ask_once(left_s: float) -> tuple[_Asked, requests.Response]:
            request = self.request("GET", path)
            request.recorded_as = recorded_as
            return self._ask_once(request, self.place("GET", path), what, parse, left_s)

        return self.retries.ask(ask_once, turn=turn)

    def _ask_once(
        self,
        request: GuardedRequest,
        place: str,
        what: str,
        parse: Callable[[bytes], _Asked],
        left_s: float,
    ) -> tuple[_Asked, requests.Response]:
        """Return the parsed reply of one GET; raises ``NoAnswer`` where a retry may help."""
        try:
            reply = self.send(request, place=place, within_s=left_s)
        except BrokerError as error:
            if isinstance(error, BrokerRejected) and not isinstance(error, RateLimited):
                raise
            raise NoAnswer(error, error.wait_s) from error
        try:
            return self.read(reply, "GET", place, what, parse), reply
        except BrokerError as error:
            if isinstance(error.__cause__, NotJson):
                raise NoAnswer(error) from error
            raise

    def send(self, request: GuardedRequest, *, place: str, within_s: float = math.inf) -> requests.Response:
        """Send a request once and return its 2xx reply; any other outcome is raised as an error."""
        method = str(request.method)
        connect_s, read_s = self.timeout_s
        status: int = NO_REPLY
        headers: Mapping[str, str] = {}
        try:
            reply = self.session.send(
                request,
                timeout=(min(connect_s, within_s), min(read_s, within_s)),
                allow_redirects=False,
                **self.how,
            )
        except (OSError, urllib3.exceptions.HTTPError) as error:  # what requests raises is an OSError
            why = cause(error, self.keys.hidden_in)
            if method != "GET" and never_left(error):
                raise NotSent(f"{place}: not sent, there was no connection ({why}).") from error
            raise self.unclear(method, place, f"no answer ({why})") from error
        else:
            status, headers = reply.status_code, reply.headers
        finally:
            self.pace.learn(status, headers)
        if is_refusal(method, reply.status_code, reply.content):
            raise refusal(
                reply.status_code,
                self._showable(reply),
                reply.headers,
                self.keys.hidden_in,
                host_setting=self.host_setting,
            )
        if not _DONE <= reply.status_code < _REDIRECTED:
            unclear = self.unclear(method, place, self.reply_text(reply))
            unclear.wait_s = retry_after_s(reply.headers)
            raise unclear
        return reply

    def request(
        self,
        method: str,
        path: str,
        payload: Mapping[str, Any] | None = None,
        *,
        may_leave: Callable[[], None] = always,
    ) -> GuardedRequest:
        """Return a prepared request with the keys; ``may_leave`` is called before it is sent."""
        headers = {**self.session.headers, "Accept": "application/json"}
        body = None
        if payload is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(payload).encode()
        request = GuardedRequest()
        request.may_leave = may_leave
        request.prepare(method=method, url=self.host + path, headers=headers, data=body, auth=self.keys)
        return request

    def read(
        self, reply: requests.Response, method: str, place: str, what: str, parse: Callable[[bytes], _Asked]
    ) -> _Asked:
        """Return a reply's parsed content. Raises the error of ``unclear`` where it is unreadable."""
        try:
            body = reply.content
            if what == QUOTES:
                return parse(body)
            body = self.keys.hidden_in_body(body)
            return parse(body if what == ACCOUNT else self.account.redacted(body))
        except ValueError as error:
            wrong = f"the reply is no {what} ({self.line(str(error))}): {self.reply_text(reply)}"
            raise self.unclear(method, place, wrong) from error

    def reply_text(self, reply: requests.Response) -> str:
        """Return a reply's status, request id and body in one line, without secrets."""
        named = request_id(reply.headers, self.keys.hidden_in)
        by_name = f" (request {named})" if named else ""
        return f"HTTP {reply.status_code}{by_name}: {readable(self._showable(reply), self.keys.hidden_in)}"

    def _showable(self, reply: requests.Response) -> bytes:
        return self.account.redacted(without_account_numbers(self.keys.hidden_in_body(reply.content)))

    def line(self, text: str) -> str:
        """Return a text as one line, without secrets."""
        return one_line(self.keys.hidden_in(text))

    def unclear(self, method: str, place: str, what: str) -> BrokerError:
        """Return the error of a request whose outcome is unknown, by its method."""
        text = self.keys.hidden_in(f"{place}: {what.rstrip('.')}")
        if method == "POST":
            return OutcomeUnknown(
                f"{text}. The order may have been accepted: look it up by its client_order_id "
                f"before sending it again."
            )
        if method == "DELETE":
            return OutcomeUnknown(f"{text}. The cancel may have been accepted: look the order up.")
        return BrokerError(f"{text}. Nothing was changed; retry.")


def _own_session(host: str, connect_s: float, read_s: float) -> requests.Session:
    """Return a session with a deadline for each request and pooled connections."""
    session = requests.Session()
    session.mount(host + "/", BoundedAdapter(connections=SENDERS, deadline_s=connect_s + read_s))
    return session
