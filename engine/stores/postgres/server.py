"""One PostgreSQL server: transactions with a deadline, and its errors worded for an operator.

psycopg is loaded at first use, since a run is short. Its messages about an address are never passed on: they
repeat parts of it, and a part may be the password.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from engine.errors import ConfigurationError, DataUnavailable, EngineError
from engine.waiting.bounded import within

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

APPLICATION = "execution-engine"
HIDDEN = "****"
# The server times out before we do, so that its reason arrives and it doesn't continue abandoned work.
_STATEMENT_SHARE, _LOCK_SHARE = 0.8, 0.5
# row_security off: a policy that would hide rows, and make an account look flat, is an error instead.
# extra_float_digits 3: any version of the server returns a double precision column to its last digit.
_SETTINGS = """
SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true),
    set_config('row_security', 'off', true), set_config('extra_float_digits', '3', true)
"""


class Unusable(Exception):
    """The server's content can't be used: why, and in ``remedy`` what to do."""

    def __init__(self, why: str, *, remedy: str) -> None:
        super().__init__(why)
        self.remedy = remedy


@dataclass(frozen=True)
class Server:
    """The server and database at ``url``, which may hold a password; each call gets its own connection."""

    url: str = field(repr=False)
    timeout_s: float

    @property
    def place(self) -> str:
        """Where the server is, for people. Holds no secret and never raises."""
        try:
            known = self.parameters()
        except Exception:
            return "PostgreSQL (DATABASE_URL)"
        hosts = (known.get("host") or known.get("hostaddr") or "").split(",")
        ports = known.get("port", "5432").split(",")
        ports = ports * len(hosts) if len(ports) == 1 else ports
        where = ", ".join(_endpoint(*pair) for pair in zip(hosts, ports, strict=False))
        if "service" in known:
            where = f"{where} (service {known['service']})"
        return f"PostgreSQL database {known.get('dbname') or known.get('user', '')} at {where}"

    @property
    def address(self) -> str:
        """``url`` as key=value with every secret hidden; ``****`` where it is no address.

        libpq itself marks which of its parameters are secrets, and ``_is_secret`` adds those that it omits.
        """
        from psycopg import pq
        from psycopg.conninfo import make_conninfo

        try:
            self.parameters()
            options = pq.Conninfo.parse(self.url.encode())
        except Exception:
            return HIDDEN
        given = [option for option in options if option.val is not None]
        return make_conninfo(
            **{o.keyword.decode(): HIDDEN if _is_secret(o) else (o.val or b"").decode() for o in given}
        )

    def parameters(self) -> dict[str, str]:
        """Return the parameters of the connection, with libpq's own defaults and ``PG…`` variables.

        Raises ``ConfigurationError`` for an address that libpq can't read, or misreads: a password with an
        unescaped @ or / in it ends up as host, port or database.
        """
        import psycopg
        from psycopg.conninfo import conninfo_to_dict

        try:
            given = {name: str(value) for name, value in conninfo_to_dict(self.url).items()}
        except (psycopg.Error, UnicodeError):
            raise _no_address() from None
        ports = given.get("port", "").split(",")
        misread = "://" in self.url and "@" in given.get("host", "") + given.get("dbname", "")
        if not given or misread or not all(port.isdecimal() or not port for port in ports):
            raise _no_address()
        defaults = psycopg.pq.Conninfo.get_defaults()
        usual = {option.keyword.decode(): option.val.decode() for option in defaults if option.val}
        return usual | given

    def read(self, work: Callable[[psycopg.Cursor[Any]], T]) -> T:
        """Return the result of ``work`` in a read-only transaction.

        Raises ``DataUnavailable`` for any failure, within ``timeout_s``.
        """

        def attempt() -> T:
            try:
                with closing(self._connect()) as connection:
                    connection.read_only = True
                    value = work(self._cursor(connection))
                    connection.commit()
                    return value
            except EngineError:
                raise
            except Exception as error:
                remedy = self._remedy(error, "SELECT")
                text = f"{self.place}: can't be read ({self._why(error)}). {_sentence(remedy)}"
                raise DataUnavailable(text) from error

        return within(self.timeout_s, attempt, whose=self.place)

    def write(self, work: Callable[[psycopg.Cursor[Any]], T]) -> T:
        """Return the result of ``work`` in a transaction that is committed as a whole or not at all.

        Raises ``EngineError`` for any failure, within ``timeout_s``. It says whether nothing was kept or the
        outcome is unknown, which is so where the answer to the commit was lost.
        """
        commit = _Commit()

        def attempt() -> T:
            import psycopg

            try:
                with closing(self._connect()) as connection:
                    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
                    value = work(self._cursor(connection))
                    commit.begin()
                    try:
                        connection.commit()
                    except Exception as error:
                        # On an open connection the server refused; otherwise there was no answer.
                        refused = getattr(error, "sqlstate", None) is not None and not connection.closed
                        raise self._unwritten(
                            self._why(error), self._remedy(error), lost=not refused
                        ) from error
                    return value
            except EngineError:
                raise
            except Exception as error:
                raise self._unwritten(self._why(error), self._remedy(error), lost=False) from error

        try:
            return within(self.timeout_s, attempt, whose=self.place)
        except DataUnavailable as late:
            why = f"no answer within {self.timeout_s:g} s"
            remedy = (
                "see that it is up and can be reached; where it is only slow, raise EXEC_RISK_DATA_TIMEOUT_S."
            )
            raise self._unwritten(why, remedy, lost=commit.give_up()) from late

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        import psycopg

        given = self.parameters().get("connect_timeout")
        return psycopg.connect(
            self.url,
            # libpq's rules: whole seconds, at least 2. The exact bound is that of within().
            connect_timeout=None if given else max(2, math.ceil(self.timeout_s)),
            fallback_application_name=APPLICATION,
            client_encoding="UTF8",
        )

    def _cursor(self, connection: psycopg.Connection[tuple[Any, ...]]) -> psycopg.Cursor[tuple[Any, ...]]:
        cursor = connection.cursor()
        shares = (_STATEMENT_SHARE, _LOCK_SHARE)
        cursor.execute(_SETTINGS, [f"{max(1, int(1000 * self.timeout_s * share))}ms" for share in shares])
        return cursor

    def _unwritten(self, why: str, remedy: str, *, lost: bool) -> EngineError:
        if lost:
            return EngineError(
                f"{self.place}: the answer to a commit was lost ({why}). Whether this write was kept isn't "
                f"known; check it, or repeat it, which is safe: {remedy}"
            )
        return EngineError(
            f"{self.place}: can't be written ({why}). Nothing of this write was kept; {remedy}"
        )

    def _why(self, error: Exception) -> str:
        import psycopg

        text = str(error)
        if isinstance(error, psycopg.Error):
            parts = (error.diag.message_primary, error.diag.message_detail)
            text = ": ".join(part.rstrip(".") for part in parts if part) or _cause(text)
        elif not isinstance(error, Unusable):
            text = f"{type(error).__name__}: {text}"
        known = self.parameters()
        for option in psycopg.pq.Conninfo.get_defaults():
            if _is_secret(option) and known.get(option.keyword.decode()):
                text = text.replace(known[option.keyword.decode()], HIDDEN)
        return " ".join(text.split()).rstrip(".")

    def _remedy(self, error: Exception, privileges: str = "SELECT, INSERT, UPDATE, DELETE") -> str:
        if isinstance(error, Unusable):
            return error.remedy
        state, text = getattr(error, "sqlstate", None) or "", str(error)
        if state == "42501":
            return _missing_privilege(text, f'"{self.parameters().get("user", "")}"', privileges)
        for mark, remedy in _REMEDIES:
            if state == mark or (not state and mark in text):
                return remedy
        return _ANY_OTHER


class _Commit:
    """Decides which came first: the writer's commit, or the caller's abandoning of the write."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = self._given_up = False

    def begin(self) -> None:
        """Begin the commit. Raises ``EngineError`` where the write was abandoned."""
        with self._lock:
            if self._given_up:
                raise EngineError("abandoned before its commit")
            self._begun = True

    def give_up(self) -> bool:
        """Abandon the write; return whether its commit has already begun."""
        with self._lock:
            self._given_up = True
            return self._begun


def _cause(text: str) -> str:
    """Return the cause in libpq's message, without the address that it repeats.

    libpq writes ``connection to server at …, port … failed: `` and the cause, for each address of a name.
    """
    causes = re.findall(r"^.*connection to server .* failed: (.*)$", text, re.MULTILINE)
    return "; ".join(dict.fromkeys(causes)) or text


def _is_secret(option: Any) -> bool:
    """Return whether a parameter is secret; libpq itself does not mark the keys that SCRAM passes on."""
    return b"*" in option.dispchar or option.keyword.endswith((b"password", b"_key", b"secret"))


def _no_address() -> ConfigurationError:
    return ConfigurationError(
        "DATABASE_URL is no address that PostgreSQL's own library reads; expected "
        "postgresql://user:password@host:5432/database?sslmode=verify-full, without a driver such as "
        "+psycopg in it. Correct it; write @ / ? # % : in user and password as %40 %2F %3F %23 %25 %3A."
    )


def _endpoint(host: str, port: str) -> str:
    port = port or "5432"
    if not host:
        return f"the local socket, port {port}"
    if host.startswith(("/", "@")):
        return f"{host}, port {port}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


_INIT = "run `execution-engine init-db`, which makes what is missing."
_SLOW = "see what keeps the server busy; where it is only slow, raise EXEC_RISK_DATA_TIMEOUT_S."
_LOCKED = (
    "end the session that holds a lock on public.broker_positions, or on broker_position_syncs, or wait for "
    "it, and run again."
)
_TLS = "see that sslmode, sslrootcert and the host in DATABASE_URL fit the server's certificate."
_TOO_MANY = (
    "let other sessions end, or raise the limit that it names (max_connections of the server, CONNECTION "
    "LIMIT of role or database, max_client_conn of a pooler), and run again."
)
_POOLER = (
    "a pooler stands before the server: leave `options=` out of DATABASE_URL, and let it pool by session or "
    "transaction (pool_mode in pgbouncer.ini), not by statement."
)
_STANDBY = "name the primary in DATABASE_URL, or add target_session_attrs=read-write to it."
# By SQLSTATE, or by text where there is none, as for a connection that libpq could not make.
_REMEDIES = (
    ("42P01", _INIT),
    ("42703", _INIT),
    ("42P10", _INIT),
    ("57014", _SLOW),
    ("55P03", _LOCKED),
    ("53300", _TOO_MANY),
    ("40P01", "run again: two writers were deadlocked."),
    ("25006", _STANDBY),
    ("too many", _TOO_MANY),
    ("remaining connection slots", _TOO_MANY),
    ("max_client_conn", _TOO_MANY),
    ("unsupported startup parameter", _POOLER),
    ("prepared statement", _POOLER),
    ("authentication failed", "correct user and password in DATABASE_URL."),
    ("no password supplied", "write the password into DATABASE_URL, or keep it in a passfile."),
    (
        "pg_hba.conf",
        "let the server's pg_hba.conf admit this user, host and database, with the TLS that it requires.",
    ),
    ("the database system is", "the server is starting, stopping or recovering: wait, and run again."),
    ('database "', "name a database in DATABASE_URL that exists, or create this one."),
    ('role "', "name a role in DATABASE_URL that exists and may log in."),
    ("SSL", _TLS),
    ("certificate", _TLS),
    ("resolve host", "correct the host in DATABASE_URL, or see that its name can be resolved."),
)
_ANY_OTHER = "see that the server is up, whole and can be reached with what DATABASE_URL says, and run again."


def _missing_privilege(text: str, role: str, privileges: str) -> str:
    if "row-level security" in text:
        return (
            f"rows that a policy hides would pass for none: ALTER ROLE {role} BYPASSRLS, or drop the policy."
        )
    if "owner" in text or "schema public" in text:
        return (
            f"run `execution-engine init-db` as the tables' owner; to use them, GRANT USAGE ON SCHEMA public "
            f"TO {role} (to make them, CREATE too)."
        )
    if "temporary" in text:
        return f"GRANT TEMPORARY ON DATABASE to {role}: positions are loaded by way of a temporary table."
    if "broker_accounts" in text:
        return f"GRANT SELECT ON public.broker_accounts TO {role}."
    others = ("broker_position_syncs", "execution_engine_documents")
    table = next((other for other in others if other in text), "broker_positions")
    return f"GRANT {privileges} ON public.{table} TO {role}."
