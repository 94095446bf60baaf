"""The real servers that tests talk to, and a proxy that gets in between to make trouble.

A server started here is gone when the tests are, however they end: on leaving the ``with`` block, and, should
the test process be killed, by a guard that waits for the other end of a pipe to close.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

LOOPBACK = "127.0.0.1"
_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 1 << 30  # several times what the servers of a test run keep
_STOPS_WITHIN_S = 10.0
_TRIES = 3

# A line on the pipe: all is well, leave. The end of the pipe: whoever held the other end is dead.
_GUARD = """
read -r _ && exit 0
kill -s INT -- "-$1"
for _ in 1 2 3 4 5 6 7 8 9 10; do
    kill -s 0 -- "-$1" || break
    sleep 0.2
done
kill -s KILL -- "-$1"
rm -rf -- "$2"
"""

_AS_ANOTHER = """
import os, sys
user, group, *command = sys.argv[1:]
os.setgroups([])
os.setgid(int(group))
os.setuid(int(user))
os.execv(command[0], command)
"""

Running = TypeVar("Running")


class ServerMissing(Exception):
    """A server is not installed here; the message says how to get it."""


class ServerDidNotStart(Exception):
    """A server ended, or kept silent for too long, while it was started; the message has what it printed."""


@dataclass(frozen=True)
class Account:
    """The user that servers run as: whoever runs the tests, but ``nobody`` where that is root."""

    uid: int
    gid: int

    @classmethod
    def unprivileged(cls) -> Account:
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid())
        nobody = pwd.getpwnam("nobody")
        return cls(nobody.pw_uid, nobody.pw_gid)

    def running(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs ``command`` as this account.

        Where subprocess itself changes the user, it first copies this process and the locks of its threads,
        such as those of gRPC; without that it copies nothing (vfork).
        """
        if self._is_ours:
            return list(command)
        return [sys.executable, "-ISc", _AS_ANOTHER, str(self.uid), str(self.gid), *command]

    @contextlib.contextmanager
    def folder(self, prefix: str) -> Iterator[Path]:
        """Make a temporary folder that this account, and nobody else but root, can look into."""
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=self._temporary_folder()))
        try:
            self.own(folder)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def own(self, path: Path) -> None:
        """Hand a file or a folder to this account, and hide it from all others."""
        path.chmod(0o700 if path.is_dir() else 0o600)
        if not self._is_ours:
            os.chown(path, self.uid, self.gid)

    def can_run(self, program: Path) -> bool:
        """Whether the program, and every folder above it, lets this account through."""
        way = [program.resolve(), *program.resolve().parents]
        return self._is_ours or all(step.stat().st_mode & stat.S_IXOTH for step in way)

    @property
    def _is_ours(self) -> bool:
        return self.uid == os.geteuid()

    def _temporary_folder(self) -> Path:
        candidates = [temporary_root(), Path(tempfile.gettempdir()), Path("/tmp")]
        for folder in candidates:
            if folder.is_dir() and self.can_run(folder):
                return folder
        raise ServerDidNotStart(
            f"user {self.uid}, for whom a server is started, can enter none of"
            f" {', '.join(map(str, candidates))}. Set TMPDIR to a folder that all can enter."
        )


def temporary_root() -> Path:
    """Return where tests keep files: in memory, unless there is little of it or TMPDIR names a folder.

    A database made for each test is hundreds of files, and every transaction of an embedded store waits for
    the disk several times, which takes longer than the test itself.
    """
    if "TMPDIR" in os.environ or not _has_room(_MEMORY):
        return Path(tempfile.gettempdir())
    return _MEMORY


def _has_room(folder: Path) -> bool:
    """Whether tests' files fit there, and a server's programs, which may be copied too, can be run there."""
    if not os.access(folder, os.W_OK):
        return False
    there = os.statvfs(folder)
    return there.f_bavail * there.f_frsize > _ROOM_BYTES and not there.f_flag & os.ST_NOEXEC


@dataclass(frozen=True)
class ServerProcess:
    """A server as a child of ours, leading a process group of its own."""

    child: subprocess.Popen[bytes]
    output_file: Path

    @classmethod
    @contextlib.contextmanager
    def running(
        cls, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> Iterator[ServerProcess]:
        """Run ``command`` in ``folder``, which keeps what it prints, and end it afterwards.

        Should we be killed, a guard ends it in our place, and removes ``folder``.
        """
        output_file = folder / "output.txt"
        with output_file.open("wb") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        try:
            with _guarded(child.pid, folder):
                yield cls(child, output_file)
        finally:
            _end(child)

    def wait_until(self, answers: Callable[[], bool], *, at_most_s: float) -> None:
        """Wait for ``answers`` to hold.

        Raises:
            ServerDidNotStart: the process ended, or ``at_most_s`` seconds went by.
        """
        deadline = time.monotonic() + at_most_s
        while not answers():
            ended = self.child.poll()
            if ended is not None or time.monotonic() > deadline:
                what = f"gave no answer for {at_most_s:g} s" if ended is None else f"ended with {ended}"
                printed = self.output_file.read_text(errors="replace")
                raise ServerDidNotStart(f"{self.child.args!r} {what}; it printed:\n{printed}")
            time.sleep(0.02)


@contextlib.contextmanager
def on_a_free_port(start: Callable[[int], AbstractContextManager[Running]]) -> Iterator[Running]:
    """Start a server on a port that is free, and on another one if somebody was quicker to take it."""
    with ExitStack() as started:
        yield _first_that_starts(start, started)


def _first_that_starts(
    start: Callable[[int], AbstractContextManager[Running]], started: ExitStack
) -> Running:
    for _ in range(_TRIES - 1):
        try:
            return started.enter_context(start(_free_port()))
        except ServerDidNotStart as failure:
            if "Address already in use" not in str(failure):
                raise
    return started.enter_context(start(_free_port()))


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        port: int = taken.getsockname()[1]
        return port


@contextlib.contextmanager
def _guarded(group: int, folder: Path) -> Iterator[None]:
    """Have a process group ended, and its folder removed, if we die within the block."""
    guard = subprocess.Popen(
        ["sh", "-c", _GUARD, "guard", str(group), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        guard.communicate(b"all is well\n")


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the whole group: with the interrupt that both servers take for "stop at once", or by force."""
    _signal_group(child.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_STOPS_WITHIN_S)
    _signal_group(child.pid, signal.SIGKILL)
    child.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
