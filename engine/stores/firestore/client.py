"""Firestore's client library under our rules: loaded late, bounded by deadlines, with worded errors.

By default the library retries for a minute and more, also where the connection is refused, and looks for
credentials on the network. Here every request gets ``never()`` as its retry and the seconds that are left;
``asked`` retries it for a short while where the fault is transient.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from engine.errors import DataUnavailable, EngineError
from engine.stores.firestore.channel import close_channel
from engine.waiting.backoff import backoff
from engine.waiting.bounded import at_once, within
from engine.waiting.deadline import Deadline

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.auth.credentials import Credentials
    from google.cloud.firestore import Client

EMULATOR = "FIRESTORE_EMULATOR_HOST"
KEY_FILE = "GOOGLE_APPLICATION_CREDENTIALS"

T = TypeVar("T")

_RETRY_SHARE = 0.3  # of the time that is left: to retry transient faults, such as a reset connection
_CREDENTIALS_SHARE = 0.6  # of the time that is left: to find credentials, so that their absence is reported
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.05, 1.0
_CAUSE_LENGTH = 200
_CREDENTIALS_REMEDY = (
    "Set GOOGLE_APPLICATION_CREDENTIALS to a key file, run `gcloud auth application-default login`, or give "
    "the job a service account (workload identity)."
)
# The same text as in ``deadlines``: either of the two may come first.
_SLOW_REMEDY = "See that it is up and can be reached; where it is only slow, raise EXEC_RISK_DATA_TIMEOUT_S."
_REPEAT = "Some of this write may have been kept; repeating it is safe."
_WHAT_GRPC_MEANS = {
    "Connection refused": "connection refused",
    "Connection reset": "the connection was reset",
    "Broken pipe": "the connection was reset",
    "Socket closed": "the connection was closed",
    "parsing HTTP/2": "the answer is no HTTP/2",
    "Trying to connect an http1.x server": "the answer is no HTTP/2",
    "address lookup failed": "no such host",
    "No route to host": "no route to the host",
    "Network is unreachable": "the network is unreachable",
}


class NoCredentials(Exception):
    """No credentials were found."""


@dataclass
class _Connection:
    client: Client
    users: int = 1
    has_failed: bool = False


_Key = tuple[str, str | None]  # project and emulator
_connections: dict[_Key, _Connection] = {}
_making = threading.Lock()  # held for as long as it takes to find credentials
_counting = threading.Lock()


def load_library() -> None:
    """Import the library, which takes a quarter of a second, before any deadline begins."""
    # Otherwise gRPC's C code would write about lost connections to stderr, past our log.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("GLOG_minloglevel", "3")
    import_module("google.cloud.firestore")


def emulator_host() -> str | None:
    """Return the address of the emulator to use, None for the real Firestore."""
    return os.environ.get(EMULATOR, "").strip() or None


@contextmanager
def connected(project: str, deadline: Deadline) -> Iterator[Client]:
    """Yield this process's client for a project, which is shared by all threads.

    A client that failed is dropped, and closed once it is unused, so that the next call connects again: gRPC
    would wait 20 s for a connection that hangs. Raises ``NoCredentials``, and the library's errors.
    """
    key = (project, emulator_host())
    connection = _joined(key) or _connection_made(key, deadline)
    try:
        yield connection.client
    except EngineError:
        raise
    except Exception:
        connection.has_failed = True
        raise
    finally:
        _leave(key, connection)


def _joined(key: _Key) -> _Connection | None:
    with _counting:
        connection = _connections.get(key)
        if connection is not None:
            connection.users += 1
        return connection


def _connection_made(key: _Key, deadline: Deadline) -> _Connection:
    if not _making.acquire(timeout=deadline.left_s()):
        raise TimeoutError
    try:
        connection = _joined(key)  # another thread was faster
        if connection is None:
            connection = _Connection(_new_client(*key, deadline))
            with _counting:
                _connections[key] = connection
        return connection
    finally:
        _making.release()


def _leave(key: _Key, connection: _Connection) -> None:
    with _counting:
        connection.users -= 1
        if connection.has_failed and _connections.get(key) is connection:
            del _connections[key]
        is_done_with = connection.has_failed and connection.users == 0
    if is_done_with:
        close_channel(connection.client)


def never() -> Retry:
    """Return the ``retry=`` of every request, which never retries; None would cause errors in the library."""
    from google.api_core.retry import Retry

    return Retry(predicate=lambda _: False)


def asked(ask: Callable[[float], T], deadline: Deadline) -> T:
    """Return the result of ``ask``, which gets the seconds that are left; retry it on transient faults.

    Only for idempotent requests: reads.
    """
    return retried(lambda: ask(deadline.left_s()), may_pass, deadline)


def retried(work: Callable[[], T], may_retry: Callable[[Exception], bool], deadline: Deadline) -> T:
    """Return the result of ``work``, retried for a share of the time that is left; raises its last error."""
    from google.api_core.retry import retry_target

    result: T = retry_target(
        work,
        may_retry,
        waits_s(),
        timeout=_RETRY_SHARE * deadline.left_s(),
        exception_factory=lambda errors, *_: (errors[-1], errors[-1].__cause__),
    )
    return result


def waits_s() -> Iterator[float]:
    """Yield the waits between attempts, each longer than the one before, with jitter."""
    return backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S, jitter=0.5)


def may_pass(error: Exception) -> bool:
    """Return whether a fault is transient; a write with such a fault has an unknown outcome."""
    from google.api_core import exceptions as api

    passing = (
        api.Aborted,
        api.ServiceUnavailable,
        api.InternalServerError,
        api.Unknown,
        api.TooManyRequests,
        api.Cancelled,
    )
    return isinstance(error, passing)


def is_refusal(error: Exception) -> bool:
    """Return whether a write was refused for its content, and would be again."""
    from google.api_core import exceptions as api

    return isinstance(error, api.InvalidArgument)


def is_contention(error: Exception) -> bool:
    """Return whether a write failed because another writer came first."""
    from google.api_core import exceptions as api

    return isinstance(error, api.AlreadyExists | api.FailedPrecondition | api.NotFound | api.Aborted)


def in_threads(works: Sequence[Callable[[], T]], threads: int, deadline: Deadline) -> list[T]:
    """Return the results of ``works``, done by up to ``threads`` threads; raises the first error."""
    if len(works) <= 1:
        return [work() for work in works]
    shares = {f"part {start + 1}": works[start::threads] for start in range(min(threads, len(works)))}
    works_of = {name: partial(_one_by_one, share) for name, share in shares.items()}
    answers = at_once(works_of, 2 * deadline.left_s())  # each request has a deadline and a better message
    results: list[Any] = [None] * len(works)
    for start, answer in enumerate(answers[name] for name in shares):
        results[start::threads] = answer.get()
    return results


def _one_by_one(works: Sequence[Callable[[], T]]) -> list[T]:
    return [work() for work in works]


def read_within(timeout_s: float, place: str, read: Callable[[Deadline], T]) -> T:
    """Return the result of ``read``. Raises ``DataUnavailable`` for any failure, within ``timeout_s``."""
    load_library()
    deadline = _own_deadline(timeout_s)
    try:
        return within(timeout_s, lambda: read(deadline), whose=place)
    except EngineError:
        raise
    except Exception as error:
        raise DataUnavailable(f"{place}: {in_words(error, 'read', timeout_s)}") from error


def write_within(timeout_s: float, place: str, write: Callable[[Deadline], T], *, times: int = 1) -> T:
    """Return the result of ``write``. Raises ``EngineError`` for any failure, within ``timeout_s``.

    A long write may take ``times`` as long; each of its requests may not.
    """
    load_library()
    deadline = _own_deadline(times * timeout_s)
    try:
        return within(times * timeout_s, lambda: write(deadline), whose=place)
    except DataUnavailable as error:
        raise EngineError(f"{error} {_REPEAT}") from error
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(f"{place}: {in_words(error, 'written', timeout_s)} {_REPEAT}") from error


def in_words(error: Exception, what: str, timeout_s: float) -> str:
    """Return a fault and its remedy in words; ``what`` is what failed: ``read`` or ``written``."""
    from google.api_core import exceptions as api

    if isinstance(error, api.DeadlineExceeded | TimeoutError):
        return f"no answer within {timeout_s:g} s. {_SLOW_REMEDY}"
    return f"can't be {what} ({_cause(error)}). {_remedy(error)}"


def _remedy(error: Exception) -> str:
    from google.api_core import exceptions as api
    from google.auth.exceptions import GoogleAuthError

    about_credentials = (NoCredentials, GoogleAuthError, api.Unauthenticated)
    if isinstance(error, about_credentials) or "metadata from plugin" in str(error):
        return _CREDENTIALS_REMEDY
    if isinstance(error, api.PermissionDenied):
        return "Grant the job's account the role roles/datastore.user on the project."
    if isinstance(error, api.NotFound):
        return "See that the project is the right one and has a Firestore database (default)."
    if isinstance(error, api.FailedPrecondition):
        return "See that the database is in native mode and has the index that the message asks for."
    if isinstance(error, api.TooManyRequests):
        return "Wait, or raise the project's quota."
    if may_pass(error):
        return "See that it is up and can be reached from here (network, proxy, firewall), and run again."
    return "See that it is a Firestore in native mode, and that nothing on the way alters its answers."


def _cause(error: Exception) -> str:
    """Return the cause of an error, without gRPC's details for its own developers."""
    text = " ".join(str(getattr(error, "message", "") or error).split())
    for sign, words in _WHAT_GRPC_MEANS.items():
        if sign in text:
            return words
    return text[:_CAUSE_LENGTH].rstrip(". ") or type(error).__name__


def _own_deadline(timeout_s: float) -> Deadline:
    """Return a deadline a little before the thread is abandoned: the library's own error says more."""
    return Deadline.after(0.95 * timeout_s)


def _new_client(project: str, emulator: str | None, deadline: Deadline) -> Client:
    from google.cloud.firestore import Client

    if emulator is not None:
        return Client(project=project)
    os.environ.pop(EMULATOR, None)  # the library takes an empty value for an address without a host
    timeout_s = _CREDENTIALS_SHARE * deadline.left_s()
    try:
        credentials = within(timeout_s, _credentials, whose="credentials")
    except DataUnavailable:
        raise NoCredentials(f"no credentials were found within {timeout_s:.2g} s") from None
    return Client(project=project, credentials=credentials)


def _credentials() -> Credentials:
    """Return credentials, found as the library does; the last place is a server of Google's own machines."""
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        found: tuple[Any, Any] = google.auth.default(scopes=list(_scopes()))
    except DefaultCredentialsError:  # its message may hold the key, where that was pasted in place of a path
        named = os.environ.get(KEY_FILE)
        why = f"{KEY_FILE} names no key file that can be read" if named else "no credentials were found"
        raise NoCredentials(why) from None
    credentials: Credentials = found[0]
    return credentials


def _scopes() -> tuple[str, ...]:
    from google.cloud.firestore import Client

    return tuple(Client.SCOPE)
