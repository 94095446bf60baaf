"""A page of the documents as a program: its blocks are run, one after the other, in one folder.

In a ``console`` block a line that begins with ``$`` is a command, and one with ``>`` or after a backslash
goes on with it. It has to exit with 0, or with the number that its comment names (``# exit 4``). Other lines
are what it prints, where ``…`` stands for anything, and on a line of its own for any lines. A ``toml`` block
is the file that its first line names. A block below ``<!-- skip: next "why" -->`` is not run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import SkipTest

from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser, SkipParser

SIMULATOR = "http://127.0.0.1:8199"
_END = "end-of-the-command"
# The real recipes, in the folder where everything is set up already.
_MAKE = f'make() {{ command make -o .venv/run.stamp BIN={Path(sys.executable).parent} "$@"; }}\n'
_EXIT = re.compile(r"#.*\bexit (\d)")


@dataclass(frozen=True)
class Command:
    text: str
    exit_code: int
    output: str


def commands(block: str) -> list[Command]:
    """Return the commands of a console block, with what each should print and exit with."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif not found:
            raise ValueError(f"a console block begins with output: {line!r}")
        elif found[-1][0].endswith("\\") and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{line}", [])
        elif line.startswith("> ") and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{line[2:]}", [])
        else:
            found[-1][1].append(line)
    return [Command(text, _exit_code(text), "\n".join(output)) for text, output in found]


def _exit_code(text: str) -> int:
    said = _EXIT.search(text)
    return int(said[1]) if said else 0


def is_printed(expected: str, printed: str) -> bool:
    """Return whether the expected lines stand, together and in this order, in what was printed.

    Blanks count as one, since the width of a table's columns is that of its contents.
    """
    lines = [
        r"(.*\n)*" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n"
        for line in _evenly_spaced(expected.strip())
    ]
    return (
        re.search("^" + "".join(lines), "\n".join([*_evenly_spaced(printed), ""]), re.MULTILINE) is not None
    )


def _evenly_spaced(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


class Shell:
    """One shell for a whole page, so that what a block exports is there in the next."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, block: str) -> str:
        """Run the commands of a block, and return what is wrong with the first that fails."""
        for command in commands(block):
            code, printed = self._do(command.text)
            if code != command.exit_code:
                return f"$ {command.text}\nexits with {code}, not with {command.exit_code}:\n{printed}"
            if not is_printed(command.output, printed):
                return f"$ {command.text}\nprints:\n{printed}\nand not:\n{command.output}"
        return ""

    def _do(self, text: str) -> tuple[int, str]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{text}\ncode=$?; echo; echo {_END} $code\n")
        stdin.flush()
        printed = ""
        for line in stdout:
            if line.startswith(_END):
                return int(line.split()[1]), printed[:-1]
            printed += line
        raise AssertionError(f"the shell ended by {text!r}:\n{printed}")


@contextmanager
def shell(folder: Path, environment: dict[str, str]) -> Iterator[Shell]:
    with subprocess.Popen(
        ["bash", "--norc"],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(_MAKE)
            yield Shell(process)
        finally:
            process.kill()


@dataclass
class Ran:
    """How many blocks of a page were run, and how many left out with their reasons."""

    blocks: int = 0
    left_out: int = 0


def run(page: Path, shell: Shell, simulator: str) -> Ran:
    """Run every block of a page, Python in this process. Raises ``SybilFailure`` where one is wrong."""

    def source_of(example: Example) -> str:
        return str(example.parsed).replace(SIMULATOR, simulator)

    def console(example: Example) -> str:
        return shell.run(source_of(example))

    def python(example: Example) -> None:
        lines_above = "\n" * (example.line + example.parsed.line_offset)
        exec(compile(lines_above + source_of(example), page, "exec"), example.namespace)

    def toml(example: Example) -> None:
        source = source_of(example)
        Path(source.splitlines()[0].removeprefix("# ")).write_text(source, encoding="utf-8")

    skip = SkipParser()
    evaluators = {"console": console, "python": python, "toml": toml}
    blocks = [CodeBlockParser(language, evaluator) for language, evaluator in evaluators.items()]
    ran = Ran()
    for example in Document.parse(str(page), skip, *blocks):
        try:
            example.evaluate()
        except SkipTest:
            ran.left_out += 1
        else:
            ran.blocks += example.region.evaluator is not skip.skipper
    return ran


def environment_of_a_user(tools: Path) -> dict[str, str]:
    """Return an environment whose installed command is that of ``tools``; fills are waited for shortly."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "PATH": f"{tools}:{os.environ['PATH']}", "EXEC_SETTLE_S": "1"}
