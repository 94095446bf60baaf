"""Commands without their start: one process has imported everything and is forked for each of them.

A page of the documents runs many commands, and most of the time of each would be its imports.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[2]
READY = "ready"
COMMAND = """#!{python} -IS
import json, os, socket, sys

with socket.socket(socket.AF_UNIX) as connection:
    connection.connect({address!r})
    asked = json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(connection, [asked], [0, 1, 2])
    connection.shutdown(socket.SHUT_WR)
    sys.exit(connection.recv(1)[0])
"""


@contextmanager
def forked_commands(folder: Path) -> Iterator[Path]:
    """Put an ``execution-engine`` that needs no start into a folder, and yield its folder."""
    address, command = folder / "socket", folder / "bin" / "execution-engine"
    command.parent.mkdir()
    command.write_text(COMMAND.format(python=sys.executable, address=str(address)))
    command.chmod(0o755)
    with subprocess.Popen(
        [sys.executable, "-m", __name__, str(address)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline().strip() == READY
            yield command.parent
        finally:
            server.terminate()


def serve(address: str) -> NoReturn:
    """Import what commands need, and answer each connection in a process of its own, until ended."""
    for package in ("engine", "jobs"):
        for module in pkgutil.walk_packages([str(ROOT / package)], f"{package}."):
            importlib.import_module(module.name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        print(READY, flush=True)
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                answer(connection)
            connection.close()


def answer(connection: socket.socket) -> NoReturn:
    """Run the command that is asked for, with the asker's streams, and send its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    asked, streams, _, _ = socket.recv_fds(connection, 1 << 16, 3)
    while more := connection.recv(1 << 16):
        asked += more
    argv, folder, environment = json.loads(asked)
    command = os.fork()
    if command == 0:
        connection.close()
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        become(argv)
    _, status = os.waitpid(command, 0)
    connection.send(bytes([os.waitstatus_to_exitcode(status) & 0xFF]))
    os._exit(0)


def become(argv: list[str]) -> NoReturn:
    """Be the installed command."""
    from jobs.cli import main

    sys.argv = argv
    vars(sys.modules["__main__"])["__package__"] = None  # a script is in none
    main()


if __name__ == "__main__":
    serve(sys.argv[1])
