from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from engine.errors import UnusablePlace
from engine.record.system_errors import fault_of, is_of_a_place, naming, unusable

WORDS = {
    errno.ENOSPC: ("its disk is full", "Make room"),
    errno.EDQUOT: ("quota of its disk is used up", "Make room"),
    errno.EROFS: ("mounted read-only", "Mount it for reading and writing"),
    errno.EACCES: ("no right", "Run as the user"),
    errno.EPERM: ("no right", "Run as the user"),
    errno.EFBIG: ("may not become that large", "ulimit -f"),
    errno.EMFILE: ("too many files are open", "ulimit -n"),
    errno.EIO: ("reports a fault", "have the disk repaired"),
    errno.ESTALE: ("is gone", "Mount it again"),
    errno.ENOTCONN: ("is gone", "Mount it again"),
    errno.ENOLCK: ("has no locks", "Put the data folder on a disk"),
    errno.ENAMETOOLONG: ("longer than its file system takes", "Give it a shorter one"),
}


@pytest.mark.parametrize("number", WORDS, ids=errno.errorcode.get)
def test_what_the_system_refuses_names_the_place_the_cause_and_the_remedy(number: int) -> None:
    error = OSError(number, os.strerror(number), "/srv/data/runs")
    cause, remedy = WORDS[number]
    failure = unusable(error)
    said = str(failure)
    assert said.startswith("/srv/data/runs can't be used: ")
    assert cause in said
    assert remedy in said
    assert "run the command again" in said
    assert not re.search(rf"Errno|OSError|{re.escape(os.strerror(number))}", said)
    assert (failure.exit_code, is_of_a_place(error)) == (2, True)
    assert cause in fault_of(error)
    assert remedy.lower() in fault_of(error).lower()


def test_an_error_that_has_no_words_here_is_shown_with_the_systems_and_a_remedy() -> None:
    error = OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC), "/srv/data")
    assert "the system refuses it ('Exec format error'). See that it is there" in str(unusable(error))
    assert not is_of_a_place(error)


def test_an_error_without_a_number_or_a_place_is_a_sentence_too() -> None:
    said = str(unusable(OSError("odd")))
    assert said.startswith("a file of this command can't be used: the system refuses it ('odd'). See that")


def test_a_file_that_is_gone_is_no_fault_of_its_place() -> None:
    error = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/srv/data/runs/run.json")
    assert fault_of(error) == "it does not exist; put it back, or correct its name"
    assert not is_of_a_place(error)


def test_an_error_of_the_engine_keeps_its_own_text() -> None:
    assert fault_of(UnusablePlace("it can't be used.")) == "it can't be used"


def test_a_block_names_the_place_that_its_errors_are_about(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as raised, naming(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert raised.value.filename == str(tmp_path)
