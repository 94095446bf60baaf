"""Which files and folders of a data folder are open to more users than the settings say."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from pwd import getpwuid
from shlex import quote

from engine.record.modes import WITH_GROUP, Modes
from jobs.wording import counted

_LOOKED_AT = 100_000
_SHOWN = 3
_PERMISSIONS = 0o777


def who_can_reach(data_dir: Path, modes: Modes) -> list[str]:
    """Return a problem for each mode that is too wide, with the command that corrects it."""
    try:
        found = data_dir.stat()
    except OSError:
        return []  # another check reports it
    mode = stat.S_IMODE(found.st_mode)
    problems = [] if found.st_uid == os.geteuid() else [_of_another_user(data_dir, found.st_uid)]
    if mode & _PERMISSIONS & ~modes.folder:
        problems.append(_wide_itself(data_dir, mode, modes))
    if wider := list(modes.wider(data_dir, at_most=_LOOKED_AT)):
        problems.append(_wide_below(data_dir, wider, modes))
    return problems


def _of_another_user(data_dir: Path, owner: int) -> str:
    return (
        f"{data_dir} belongs to the user {_user(owner)}, and this command runs as {_user(os.geteuid())}: one "
        f"may not be able to resume the other's runs. Run as {_user(owner)}, or change its owner (chown -R)."
    )


def _wide_itself(data_dir: Path, mode: int, modes: Modes) -> str:
    harm = "replace records in it" if mode & 0o022 else "look into it"
    reach = " Strategies of other users need EXEC_GROUP_ACCESS=1 to reach the inbox."
    return (
        f"{data_dir} has the mode {mode:04o}: other users can {harm}. "
        f"Write chmod {_taken(modes)} {quote(str(data_dir))}.{'' if modes == WITH_GROUP else reach}"
    )


def _wide_below(data_dir: Path, wider: Sequence[tuple[Path, int]], modes: Modes) -> str:
    shown = ", ".join(f"{path.relative_to(data_dir)} {mode:04o}" for path, mode in wider[:_SHOWN])
    more = ", …" if len(wider) > _SHOWN else ""
    tops = dict.fromkeys(quote(str(data_dir / path.relative_to(data_dir).parts[0])) for path, _ in wider)
    return (
        f"{counted(len(wider), 'file or folder', 'files and folders')} below {data_dir} can be read or "
        f"written by other users: {shown}{more}. Write chmod -R {_taken(modes)} {' '.join(tops)}."
    )


def _taken(modes: Modes) -> str:
    """Return the modes that chmod should remove."""
    return "g-w,o=" if modes == WITH_GROUP else "go="


def _user(number: int) -> str:
    try:
        return getpwuid(number).pw_name
    except KeyError:
        return str(number)
