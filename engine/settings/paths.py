"""Paths of files and folders in settings and options.

A shell expands ``~`` and variables and removes quotes; systemd, cron, ``docker --env-file`` and Cloud Run
don't. Used as it is, such a text would name a new, empty folder instead of the intended one. So ``~`` is
expanded here, and every other sign of unexpanded text is refused.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from engine.errors import ConfigurationError
from engine.text.masking import shown_text
from engine.text.plain_text import VISIBLE, is_visible

_QUOTES = "\"'`\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[/\\]")
_VARIABLE = re.compile(r"\$[A-Za-z_{(]|%[A-Za-z_][A-Za-z0-9_]*%|\{\{|`")
_ASSIGNMENT = re.compile(r"(export\s+)?[A-Z][A-Z0-9_]*=|=")
_PLACEHOLDER = re.compile(r"<[^/]*>|@[A-Z_]+@|none|null|nil|undefined", re.IGNORECASE)
_COMMENT = re.compile(r"\s#")


def as_path(name: str, text: str) -> str:
    """Return the path of a file or folder of this machine, with ``~`` expanded.

    Raises ``ConfigurationError`` for text that is probably not the intended path.
    """
    why = why_no_path(text)
    if why:
        raise ConfigurationError(f"{name} is {shown_text(text)}; {why}")
    return expanded(text)


def expanded(text: str) -> str:
    """Return a path with the home folder in place of a leading ``~`` or ``~user``."""
    return str(Path(os.path.expanduser(text)))  # noqa: PTH111 - an unknown user is no exception here


def why_no_path(text: str) -> str | None:
    """Return what was expected and the remedy, None where the text may be a path."""
    if not text.strip():
        return "expected a path. Write one, or unset it."
    if not is_visible(text):
        return f"expected a path of {VISIBLE}. Type it anew: a file with Windows line ends leaves \\r there."
    if text != text.strip():
        return "expected a path without blanks at its ends. Take them away."
    if _VARIABLE.search(text):
        return "expected a path without variables: no shell has expanded them. Write the path in full."
    if text[0] in _QUOTES or text[-1] in _QUOTES or '"' in text:
        return "expected a path without quotes: no shell has taken them away. Write it without them."
    if _SCHEME.match(text) or text.startswith("//"):
        return (
            "expected a path of this machine, no address and no drive. Mount the place and name the folder."
        )
    if "\\" in text:
        return "expected a path without backslashes: no shell has taken them away. Write it without them."
    if _ASSIGNMENT.match(text):
        return "expected a path without a name before it. Write what stands behind the = only."
    if _PLACEHOLDER.fullmatch(text):
        return "expected a path, and this holds the place of one. Write the path, or unset it."
    if _COMMENT.search(text):
        return "expected a path without a comment behind it. Put the comment on a line of its own."
    if text.startswith("~") and expanded(text).startswith("~"):
        return "expected a path, and there is no such user's home folder. Write the path in full."
    return None
