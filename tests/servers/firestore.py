"""Google's Firestore emulator for tests. Each project id is an empty database of its own in it."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.servers import LOOPBACK, Account, ServerMissing, ServerProcess, on_a_free_port

HOW_TO_GET_IT = (
    "no Firestore emulator here. Get it with: gcloud components install cloud-firestore-emulator,"
    " or: apt-get install google-cloud-cli-firestore-emulator; and java: apt-get install default-jre-headless"
)
_DEBIAN_SDK = Path("/usr/lib/google-cloud-sdk")
_JAR = Path("platform/cloud-firestore-emulator/cloud-firestore-emulator.jar")
_MAIN = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
# A short life: compile little, collect simply.
_JAVA_FLAGS = ("-Duser.language=en", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx1g")
_STARTS_WITHIN_S = 600.0  # on a machine that does ten other things


@dataclass(frozen=True)
class FirestoreEmulator:
    """A running emulator."""

    host: str
    port: int
    process: ServerProcess

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[FirestoreEmulator]:
        """Run an emulator, and end it afterwards.

        Raises:
            ServerMissing: the emulator, or java, is not installed here.
            ServerDidNotStart: they are, but would not start.
        """
        with on_a_free_port(cls._running_on) as emulator:
            yield emulator

    @classmethod
    @contextlib.contextmanager
    def _running_on(cls, port: int) -> Iterator[FirestoreEmulator]:
        command = find_command(LOOPBACK, port)
        ourselves = Account(os.geteuid(), os.getegid())
        with (
            ourselves.folder("tests-firestore-") as folder,
            ServerProcess.running(command, folder, os.environ) as process,
        ):
            emulator = cls(LOOPBACK, port, process)
            process.wait_until(emulator.answers, at_most_s=_STARTS_WITHIN_S)
            yield emulator

    @property
    def address(self) -> str:
        """What ``FIRESTORE_EMULATOR_HOST`` wants to be told."""
        return f"{self.host}:{self.port}"

    def answers(self) -> bool:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read().strip() == b"Ok"
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def find_command(host: str, port: int) -> list[str]:
    """The emulator's own program, which starts faster, or gcloud's where it cannot be found.

    Raises:
        ServerMissing: there is neither, or no java.
    """
    java, gcloud = shutil.which("java"), shutil.which("gcloud")
    if java is None:
        raise ServerMissing(HOW_TO_GET_IT)
    sdks = [Path(gcloud).resolve().parent.parent, _DEBIAN_SDK] if gcloud else [_DEBIAN_SDK]
    for sdk in sdks:
        if (sdk / _JAR).is_file():
            where = [f"--host={host}", f"--port={port}", "--database-mode=firestore-native"]
            return [java, *_JAVA_FLAGS, "-cp", str(sdk / _JAR), _MAIN, "start", *where]
    if gcloud is None:
        raise ServerMissing(HOW_TO_GET_IT)
    return [gcloud, "emulators", "firestore", "start", "--quiet", f"--host-port={host}:{port}"]
