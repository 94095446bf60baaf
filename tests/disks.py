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

_APART = ("unshare", "--mount", "--map-root-user")
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
    pytest.skip("this machine has one file system only")


def on_a_mounted_disk(job: str, disk: Path, *words: str) -> dict[str, Any]:
    """Run ``python -m job disk words`` where it may mount, and return the JSON that it prints.

    The test is skipped where the system lets nobody mount.
    """
    tried = [*_APART, "mount", "-t", "tmpfs", "none", str(disk)]
    if subprocess.run(tried, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a disk")
    done = subprocess.run(
        [*_APART, sys.executable, "-m", job, str(disk), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
