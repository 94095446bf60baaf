"""Templates to text: whatever comes from elsewhere is made printable, freed of secrets, and escaped."""

from __future__ import annotations

import gzip
import json
import os
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.settings.secrets import hider
from engine.text.printable import printable

if TYPE_CHECKING:
    from jobs.report_page.cells import Table

IN_THE_HTML = 100
"""Rows of a table that are in the HTML itself; a longer table also has all of its rows as packed data."""
_TEMPLATES = Path(__file__).with_name("templates")
_NO_TIME = 0


def rendered(content: Mapping[str, Any]) -> str:
    """Return the page as HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    hide = hider(os.environ)

    def clean(value: Any) -> Any:
        """Return a text without secrets, each unprintable character escaped; other values as they are."""
        if isinstance(value, Markup) or not isinstance(value, str):
            return value
        return printable(hide(value))

    def packed_rows(table: Table) -> str:
        rows = [[cell.packed() for cell in row] for row in table.rows]
        return packed(_cleaned(rows, clean))

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        finalize=clean,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (_TEMPLATES.joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    page: str = environment.get_template("page.html").render(
        content,
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
        packed_rows=packed_rows,
        explanations=packed(_cleaned(content["explanations"], clean)),
        in_the_html=IN_THE_HTML,
    )
    return page


def packed(value: Any) -> str:
    """Return a JSON value as base64 of gzip, the same for the same value."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return b64encode(gzip.compress(text.encode("utf-8", "replace"), mtime=_NO_TIME)).decode()


def _cleaned(value: Any, clean: Any) -> Any:
    """Return a JSON value with all of its texts clean."""
    if isinstance(value, list):
        return [_cleaned(one, clean) for one in value]
    if isinstance(value, dict):
        return {name: _cleaned(one, clean) for name, one in value.items()}
    return clean(value)


def _policy(style: str, script: str) -> str:
    """Return the page's Content-Security-Policy: no request, and no style or script but these."""
    hashes = [b64encode(sha256(text.encode()).digest()).decode() for text in (style, script)]
    return (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        f"base-uri 'none'; form-action 'none'"
    )
