"""Disks that can't be trusted, made for a test: of their own namespace of mounts, so that nothing is left."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NO_DISK = "this machine has no second disk, or lets no test mount one"
"""Why a test of disks is left out; but for this and a missing emulator no test may skip itself."""
_APART = (("unshare", "--mount", "--map-root-user"), ("unshare", "--mount"))
_CANDIDATES = ("/dev/shm", "/tmp", "/var/tmp", str(Path.cwd()))


@contextmanager
def folder_on_another_disk(than: Path) -> Iterator[Path]:
    """Make a folder on another file system than ``than``; the test is skipped where there is none."""
    disk = than.stat().st_dev
    for place in map(Path, (*_CANDIDATES, tempfile.gettempdir())):
        if place.is_dir() and place.stat().st_dev != disk and os.access(place, os.W_OK):
            folder = Path(tempfile.mkdtemp(dir=place, prefix="another-disk-"))
            try:
                yield folder
            finally:
                shutil.rmtree(folder)
            return
    pytest.skip(NO_DISK)


def on_a_mounted_disk(job: str, disk: Path, *words: str) -> dict[str, Any]:
    """Run ``python -m job disk words`` where it may mount, and return the JSON that it prints.

    The test is skipped where the system lets no program mount.
    """
    trial = ["mount", "-t", "tmpfs", "none", str(disk)]
    able = (
        apart
        for apart in _APART
        if not subprocess.run([*apart, *trial], capture_output=True, check=False).returncode
    )
    apart = next(able, None)
    if apart is None:
        pytest.skip(NO_DISK)
    done = subprocess.run(
        [*apart, sys.executable, "-m", job, str(disk), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
