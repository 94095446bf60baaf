"""``override``: let one intent, strategy or symbol pass one rule for a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from engine.errors import UsageError
from engine.log import EventLog, wall_clock
from engine.model.symbols import canonical_symbol
from engine.risk.override_file import Override, Terms, override_text, parse_override, why_never
from engine.safety.override_files import OverrideFiles, file_of
from engine.safety.trading_states import Scope, Scoped
from engine.text.masking import shown_text
from engine.text.plain_text import trimmed
from jobs.control import reason_of
from jobs.known_names import remark_on
from jobs.setup import read_setup
from jobs.tables import print_json, say

_OPTIONS = {"client_intent_id": "--intent", "strategy_id": "--strategy", "symbol": "--symbol"}
_SCOPES = {"strategy_id": Scope.STRATEGY, "symbol": Scope.SYMBOL}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says; ``about`` has the options by field, of which exactly one is given."""

    rule: str
    about: Mapping[str, str | None]
    why: str
    by: str
    until: str | None


def override(options: Options, *, as_json: bool) -> int:
    """Write an override file; return the exit code.

    Raises ``UsageError`` for what may not be overridden, and ``ConfigurationError``.
    """
    setup = read_setup()
    files = OverrideFiles.at(setup.objects, wall_clock(), setup.settings.calendar)
    field, name = _about(options.about)
    session = _session(options.until, files.terms)
    rule = trimmed(options.rule)
    if refused := why_never(rule, files.terms):
        raise UsageError(f"--rule is {shown_text(rule)}: {refused}")
    meant = Override(
        rule=rule,
        about=field,
        name=name,
        expires_on=session,
        approved_by=" ".join(options.by.split()),
        why=reason_of(options.why),
        file=file_of(rule, field, name, session),
    )
    parse_override(override_text(meant).encode(), file="the override", terms=files.terms)
    is_new = files.write(meant)
    kept = parse_override(setup.objects.read(meant.file), file=meant.file, terms=files.terms)
    if is_new:
        EventLog().event("override_written", str(kept), severity="WARNING", **kept.row())
    remark = remark_on(Scoped(_SCOPES[field], name), setup.objects) if field in _SCOPES else ""
    if as_json:
        print_json({"exit_code": 0, "override": kept.row(), "is_new": is_new, "remark": remark})
        return 0
    text = str(kept)
    if is_new:
        say(f"{text[:1].upper()}{text[1:]}.")
    else:
        say(f"It was so before, and the first reason stays: {text}.")
    say("It holds in that session only; to end it earlier, remove the file.")
    if remark:
        say(f"To note: {remark}", color="red")
    return 0


def _about(about: Mapping[str, str | None]) -> tuple[str, str]:
    given: dict[str, Any] = {field: name for field, name in about.items() if name is not None}
    if len(given) != 1:
        found = " and ".join(_OPTIONS[field] for field in given) if given else "none of them"
        raise UsageError(f"{found} is given; expected one of {', '.join(_OPTIONS.values())}.")
    ((field, text),) = given.items()
    name = trimmed(text)
    return field, canonical_symbol(name) if field == "symbol" else name


def _session(until: str | None, terms: Terms) -> date:
    if until is None:
        return terms.today
    try:
        session = date.fromisoformat(trimmed(until))
    except ValueError:
        session = None
    if session not in {terms.today, terms.following}:
        raise UsageError(
            f"--until is {shown_text(until)}; expected {terms.today} (this session) or {terms.following} "
            f"(the next one): an override lasts one session. Write another one for each session after that."
        )
    return session
