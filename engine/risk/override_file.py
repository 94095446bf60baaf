"""The text of an override file -> ``Override``, or every fault with its line.

An override lets one intent, strategy or symbol pass one rule in one session::

    rule = "max_position_size_exceeded"
    strategy_id = "momentum"              # or symbol, or client_intent_id
    expires_on = 2026-03-02               # the only session in which it holds
    approved_by = "ann"
    why = "index rebalance"

It waives a refusal, never data that is unavailable, and never a rule that is not ``overridable``: the kill
switch, and what keeps every row one order at most.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from engine.errors import ConfigurationError
from engine.model.contract import is_well_formed
from engine.model.symbols import canonical_symbol
from engine.risk.limits_file.faults import Faults, place
from engine.risk.limits_file.names import did_you_mean
from engine.risk.limits_file.values import shown_value
from engine.risk.rule import Rule
from engine.settings.toml_lines import key_lines
from engine.text.masking import looks_secret, shown_text
from engine.text.plain_text import trimmed

ABOUT = ("client_intent_id", "strategy_id", "symbol")
"""What an override may be about: exactly one of them."""
KEYS = ("rule", *ABOUT, "expires_on", "approved_by", "why")
UNAVAILABLE = "risk_data_unavailable"
LONGEST = 64 * 1024
"""Bytes of a file."""
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")
_LONGEST_WORDS = 500


@dataclass(frozen=True)
class Override:
    """One rule that one intent, strategy or symbol passes in the session ``expires_on``.

    ``about`` is one of ``ABOUT``, ``name`` its value, ``file`` the key of the file in the data folder.
    """

    rule: str
    about: str
    name: str
    expires_on: date
    approved_by: str
    why: str
    file: str

    def __str__(self) -> str:
        what = {"client_intent_id": "intent", "strategy_id": "strategy"}.get(self.about, self.about)
        return (
            f"{what} {self.name} passes {self.rule} in the session {self.expires_on}: {self.why} "
            f"({self.approved_by}, {self.file})"
        )

    def row(self) -> dict[str, str | None]:
        """Return its row of the input frame ``overrides``."""
        about = {name: self.name if name == self.about else None for name in ABOUT}
        who = {"approved_by": self.approved_by, "why": self.why}
        return {
            "rule": self.rule,
            **about,
            **who,
            "expires_on": self.expires_on.isoformat(),
            "file": self.file,
        }


@dataclass(frozen=True)
class Terms:
    """What an override is checked against: the rule book, the present session and the one after it."""

    rule_book: tuple[Rule, ...]
    today: date
    following: date

    @property
    def rules(self) -> list[str]:
        """The rules that an override may name."""
        return [rule.name for rule in self.rule_book if rule.overridable]


def parse_override(content: bytes, *, file: str, terms: Terms) -> Override:
    """Return the override in a file. One that has expired is not checked any further.

    Raises ``ConfigurationError`` with all faults, each with its line.
    """
    text = _text(content, file)
    document, faults = _document(text, file), Faults(file, key_lines(text))
    expires_on = _expires_on(document, terms, faults)
    if expires_on is not None and expires_on < terms.today:
        return _expired(document, expires_on, file)
    _check_keys(document, faults)
    rule = _rule(document, terms, faults)
    about, name = _about(document, faults)
    approved_by, why = (_words(document, key, faults) for key in ("approved_by", "why"))
    faults.raise_if_any()
    assert expires_on is not None
    return Override(rule, about, name, expires_on, approved_by, why, file)


def override_text(override: Override) -> str:
    """Return an override as a file."""
    lines = {"rule": override.rule, override.about: override.name}
    who = {"approved_by": override.approved_by, "why": override.why}
    texts = [f"{key} = {_quoted(value)}" for key, value in lines.items()]
    texts += [f"expires_on = {override.expires_on.isoformat()}"]
    texts += [f"{key} = {_quoted(value)}" for key, value in who.items()]
    return "\n".join(texts) + "\n"


def why_never(rule: str, terms: Terms) -> str:
    """Return why a rule can't be overridden, and the remedy; "" where it can."""
    if rule in terms.rules:
        return ""
    if rule == UNAVAILABLE:
        return (
            f"{UNAVAILABLE} is no rule: data that is unavailable can't be overridden. See what is "
            f"unavailable (`execution-engine doctor`), and drop the intents again once it is back."
        )
    if rule in {one.name for one in terms.rule_book}:
        return (
            f"{rule} can't be overridden; expected one of {', '.join(terms.rules)}. Remove the cause instead."
        )
    hint = did_you_mean(rule, terms.rules, otherwise=f"Expected one of {', '.join(terms.rules)}.")
    return f"{shown_text(rule)} is no rule. {hint}"


def _text(content: bytes, file: str) -> str:
    if len(content) > LONGEST:
        raise ConfigurationError(
            f"{place(file, 1)} the file has {len(content)} bytes; expected an override, of at most "
            f"{LONGEST}. Move it out of overrides/."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"{place(file, line)} the text is not UTF-8; expected TOML in UTF-8. Save it anew as UTF-8."
        ) from None


def _document(text: str, file: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = _AT_LINE.search(str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        why = _AT_LINE.sub("", str(error))
        raise ConfigurationError(
            f"{place(file, line)} this is no TOML: {why}. Write one key = value on a line, text in quotes "
            f"and the date as 2027-03-31; or let `execution-engine override` write the file."
        ) from None


def _expires_on(document: Mapping[str, Any], terms: Terms, faults: Faults) -> date | None:
    value = document.get("expires_on")
    found = value if isinstance(value, date) and not isinstance(value, datetime) else None
    if isinstance(value, str):
        try:
            found = date.fromisoformat(value.strip())
        except ValueError:
            found = None
    if found is not None and (found <= terms.today or found == terms.following):
        return found
    sessions = f"{terms.today.isoformat()} (this session) or {terms.following.isoformat()} (the next one)"
    remedy = f"Write expires_on = {terms.today.isoformat()}, and the file anew for each session."
    if value is None and "expires_on" not in document:
        faults.add_at(1, f"expires_on is missing; expected {sessions}. {remedy}")
    else:
        faults.add(
            ("expires_on",),
            f"expires_on is {shown_value(value)}; expected {sessions}, since an override lasts one session. "
            f"{remedy}",
        )
    return None


def _check_keys(document: Mapping[str, Any], faults: Faults) -> None:
    for key in document:
        if key not in KEYS:
            hint = did_you_mean(key, KEYS, otherwise=f"Expected one of {', '.join(KEYS)}.")
            faults.add((key,), f"{shown_text(key)} is no key of an override. {hint}")


def _rule(document: Mapping[str, Any], terms: Terms, faults: Faults) -> str:
    value = document.get("rule")
    if "rule" not in document:
        faults.add_at(1, f"rule is missing; expected one of {', '.join(terms.rules)}. Add it.")
    elif not isinstance(value, str):
        faults.add(
            ("rule",), f"rule is {shown_value(value)}; expected the name of a rule. Write it in quotes."
        )
    elif why := why_never(trimmed(value), terms):
        faults.add(("rule",), f"rule is {shown_text(value)}: {why}")
    return trimmed(value) if isinstance(value, str) else ""


def _about(document: Mapping[str, Any], faults: Faults) -> tuple[str, str]:
    given = [key for key in ABOUT if key in document]
    if len(given) != 1:
        found = f"{' and '.join(given)} are both given" if given else "what it is about is missing"
        faults.add((given[-1],) if given else (), f"{found}; expected one of {', '.join(ABOUT)}. Keep one.")
        return "", ""
    (key,) = given
    value = document[key]
    name = trimmed(value) if isinstance(value, str) else ""
    name = canonical_symbol(name) if key == "symbol" else name
    if not is_well_formed(key, name):
        faults.add(
            (key,), f"{key} is {shown_value(value)}; expected it as an intent has it. Write it so, in quotes."
        )
    return key, name


def _words(document: Mapping[str, Any], key: str, faults: Faults) -> str:
    value = document.get(key)
    text = " ".join(value.split()) if isinstance(value, str) else ""
    who = "who approved it" if key == "approved_by" else "the reason, in a few words"
    if key not in document:
        faults.add_at(1, f"{key} is missing; expected {who}. Add it.")
    elif not 0 < len(text) <= _LONGEST_WORDS or looks_secret(text):
        shown = shown_value(value)
        faults.add(
            (key,), f"{key} is {shown}; expected {who}, at most {_LONGEST_WORDS} characters. Write it."
        )
    return text


def _expired(document: Mapping[str, Any], expires_on: date, file: str) -> Override:
    """Return an override that counts no more, as far as its file says what it was."""
    texts = {key: document[key] if isinstance(document.get(key), str) else "unknown" for key in KEYS}
    about = next((key for key in ABOUT if key in document), "strategy_id")
    who = texts["approved_by"], texts["why"]
    return Override(texts["rule"], about, texts[about], expires_on, *who, file)


def _quoted(text: str) -> str:
    """Return a text as a basic string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(one if one.isprintable() else f"\\U{ord(one):08X}" for one in escaped) + '"'
