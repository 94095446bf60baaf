"""The commands of every page are run, against the simulator and the embedded store, and do what it says."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.model.schema import BREAK_KINDS
from engine.risk import REASONS
from engine.risk.settings import SETTINGS
from engine.settings.accounts_file import listed_accounts
from replay.simulator.server import Simulator
from replay.simulator.wire.app import ENDPOINTS
from replay.simulator.wire.faults import KINDS as FAULTS
from tests.pages.forked_commands import ROOT, forked_commands
from tests.pages.make_flow import THEMES, picture
from tests.pages.page import commands, environment_of_a_user, is_printed, run, shell

PAGES = {
    path: path.read_text(encoding="utf-8")
    for path in (
        ROOT / "README.md",
        *sorted((ROOT / "jobs" / "docs").glob("*.md")),
        ROOT / "replay" / "README.md",
        ROOT / "replay" / "simulator" / "README.md",
    )
}
# Blocks that a test can't run, each with its reason above it on the page.
LEFT_OUT = {
    "jobs/docs/going-live.md": 1,
    "jobs/docs/operating.md": 1,
    "jobs/docs/settings.md": 3,
    "replay/simulator/README.md": 1,
}
# What is read and not run: an example of another program's file, which has a test of its own.
READ_ONLY = {"cron", "text"}


@pytest.fixture(scope="module")
def tools() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pages-") as folder, forked_commands(Path(folder)) as commands:
        yield commands


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What of a clone the pages name: the fixtures, to write to, and the Makefile."""
    shutil.copytree(ROOT / "fixtures", tmp_path / "clone" / "fixtures")
    shutil.copy(ROOT / "Makefile", tmp_path / "clone")
    return tmp_path / "clone"


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_the_commands_of_a_page_do_what_it_says(
    path: Path, tools: Path, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone)
    with (
        Simulator(seed=7, partial_fill_probability=0).serving() as simulator,
        shell(clone, environment_of_a_user(tools)) as opened,
    ):
        ran = run(path, opened, simulator)
    assert ran.blocks > 0
    assert ran.left_out == LEFT_OUT.get(name_of(path), 0)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_block_of_a_page_says_what_it_is(path: Path) -> None:
    fences = re.findall(r"^```(.*)$", PAGES[path], re.MULTILINE)
    assert set(fences[::2]) <= {"console", "python", "toml"} | READ_ONLY
    assert set(fences[1::2]) == {""}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_a_block_that_is_not_run_has_its_reason_above_it(path: Path) -> None:
    comments = re.findall(r"<!--.*?-->", PAGES[path], re.DOTALL)
    assert [one for one in comments if not re.fullmatch(r'<!-- skip: next "[^"]{20,}" -->', one)] == []
    assert len(comments) == LEFT_OUT.get(name_of(path), 0)


def test_the_account_files_of_the_page_are_ones_that_the_engine_takes(tmp_path: Path) -> None:
    page = PAGES[ROOT / "jobs" / "docs" / "accounts.md"]
    names: list[str] = []
    for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL):
        (tmp_path / "accounts.toml").write_text(block)
        names += listed_accounts(str(tmp_path / "accounts.toml"))
    assert names == ["momentum", "rebalancing", "paper-main"]


DECISIONS = sorted(
    path for part in ("engine", "jobs", "replay", "tests") for path in (ROOT / part).rglob("DECISIONS.md")
)


@pytest.mark.parametrize("path", [*PAGES, *DECISIONS], ids=name_of)
def test_every_link_of_a_page_leads_to_a_file_and_to_a_heading(path: Path) -> None:
    for target in re.findall(r"(?:\]\(|srcset=\"|src=\")([^)\"]+)", path.read_text(encoding="utf-8")):
        name, _, heading = target.partition("#")
        leads_to = path.parent / name if name else path
        assert leads_to.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.*)$", leads_to.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


def test_commands_are_read_with_their_continuations_exit_codes_and_output() -> None:
    (first, second, third) = commands("$ one \\\n  two\nout\n$ cat <<END # exit 4\n> x\n> END\n$ three")
    assert (first.text, first.exit_code, first.output) == ("one \\\n  two", 0, "out")
    assert (second.text, second.exit_code, second.output) == ("cat <<END # exit 4\nx\nEND", 4, "")
    assert (third.text, third.exit_code) == ("three", 0)


@pytest.mark.parametrize(
    ("expected", "printed", "matches"),
    [
        ("a\nb", "x\na\nb\ny", True),
        ("a\nb", "a\nx\nb", False),
        ("a\n…\nb", "a\nx\ny\nb", True),
        ("a … c", "a b c", True),
        ("a  b", " a     b ", True),
        ("a … c", "a b d", False),
        ("", "anything", True),
        ("a", "", False),
    ],
)
def test_what_is_printed_is_held_to_what_the_page_has(expected: str, printed: str, matches: bool) -> None:
    assert is_printed(expected, printed) is matches


@pytest.mark.parametrize(
    ("block", "found"),
    [
        ("```console\n$ false\n```", "exits with 1, not with 0"),
        ("```console\n$ echo one\ntwo\n```", "and not:\ntwo"),
        ("```python\nraise ValueError(7)\n```", "7"),
        ("```console\n$ true # exit 3\n```", "exits with 0, not with 3"),
    ],
)
def test_a_page_that_is_wrong_is_found(tmp_path: Path, block: str, found: str) -> None:
    wrong = tmp_path / "page.md"
    wrong.write_text(block)
    with shell(tmp_path, {"PATH": "/usr/bin:/bin"}) as opened, pytest.raises(Exception, match=found):
        run(wrong, opened, "")


def test_the_pictures_are_those_of_the_script_that_makes_them() -> None:
    for theme, colors in THEMES.items():
        assert (ROOT / "jobs" / "docs" / f"flow-{theme}.svg").read_text(encoding="utf-8") == picture(colors)


def test_the_page_of_settings_has_every_setting() -> None:
    table = PAGES[ROOT / "jobs" / "docs" / "settings.md"].partition("| variable |")[2].partition("\n\n")[0]
    named = re.findall(r"`([A-Z_]{8,})`", "\n".join(row.split("|")[1] for row in table.splitlines()[2:]))
    deprecated = {setting.name for setting in SETTINGS if setting.meaning.startswith("deprecated")}
    assert len(deprecated) == 3
    assert sorted(named) == sorted({setting.name for setting in SETTINGS} - deprecated)


def test_the_page_of_limits_has_the_rule_book_in_its_order() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGES[ROOT / "jobs" / "docs" / "limits.md"], re.MULTILINE)
    assert rows == list(REASONS[1:])


def test_the_page_of_reconciliation_has_every_kind_of_break() -> None:
    page = PAGES[ROOT / "jobs" / "docs" / "reconciliation.md"]
    assert [kind for kind in BREAK_KINDS if f"`{kind}`" not in page] == []


def test_the_page_of_the_simulator_has_every_endpoint() -> None:
    page = re.sub(r"\{\w+\}", "{}", PAGES[ROOT / "replay" / "simulator" / "README.md"])
    paths = {re.sub(r"\{.*?\}", "{}", path) for _, path, _, _ in ENDPOINTS}
    assert [path for path in sorted(paths) if f"`{path}`" not in page] == []


def test_the_page_of_the_simulator_has_every_fault() -> None:
    page = PAGES[ROOT / "replay" / "simulator" / "README.md"]
    assert [fault for fault in FAULTS if f"`{fault}`" not in page] == []
