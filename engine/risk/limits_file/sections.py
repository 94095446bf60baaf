"""The sections of a limits file: which level each is about, and the limits that it sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.errors import ConfigurationError
from engine.model.contract import is_well_formed
from engine.model.symbols import canonical_symbol
from engine.risk.levels import ACCOUNT, ALL, STRATEGY, STRATEGY_SYMBOL, SYMBOL, Scope, Section
from engine.risk.limits_file.faults import Faults
from engine.risk.limits_file.names import did_you_mean, names_of, quoted_key, section_name
from engine.risk.limits_file.values import number_text, parsed_value, shown_value, wrong_element
from engine.risk.rule import Limit
from engine.settings.toml_lines import Path
from engine.settings.values import as_quantity
from engine.text.masking import shown_text
from engine.text.plain_text import NORMAL, VISIBLE

HEAD = ("version", "owner", "review_by", "acknowledged_off")
"""The keys above the sections."""

KINDS = ("limits", "account", "symbol", "strategy", "temporary")
"""The first words of sections."""

WARN_AT = "warn_at"
NO_LIMIT = "`execution-engine limits template` prints all limits."

SECTIONS_OF_KIND = {
    ALL: "[limits]",
    ACCOUNT: "[account.NAME]",
    SYMBOL: "[symbol.NAME]",
    STRATEGY: "[strategy.NAME]",
    STRATEGY_SYMBOL: "[strategy.NAME.symbol.NAME]",
}
_FIELDS = {"account": "broker_account_id", "symbol": "symbol", "strategy": "strategy_id"}


@dataclass(frozen=True)
class Reading:
    """What is needed to read a section: the limits by key, and where its faults go."""

    known: Mapping[str, Limit]
    faults: Faults
    _seen: dict[Scope, Path] = field(default_factory=dict)

    def sections(self, document: Mapping[str, Any], limits: Mapping[str, Any]) -> tuple[Section, ...]:
        """Return the permanent sections, ``[limits]`` first, then in the order of the kinds of levels."""
        found = [self._section({key: limits[key] for key in limits if key != WARN_AT}, Scope(), ("limits",))]
        for kind in ("account", "symbol", "strategy"):
            for name, table, where in self.named_tables(document, (kind,)):
                found += self._sections_of(kind, name, table, where)
        return tuple(sorted(found, key=lambda section: section.scope.kind))

    def warn_at(self, limits: Mapping[str, Any]) -> float | None:
        """Return the utilisation from which reports warn, None where it is not set."""
        value = limits.get(WARN_AT)
        if value is None:
            return None
        try:
            share = as_quantity(WARN_AT, number_text(value) or "")
        except ConfigurationError:
            share = 2.0
        if share > 1:
            self.faults.add(
                ("limits", WARN_AT),
                f"{WARN_AT} in [limits] is {shown_value(value)}; expected a number from 0 to 1, a share of "
                f"the limit. Write it as, say, 0.8.",
            )
        return share

    def values(self, table: Mapping[str, Any], scope: Scope, where: Path, source: str) -> dict[str, Any]:
        """Return the parsed limits of a section; what is none, or may not stand there, is a fault."""
        found = {}
        for key, value in table.items():
            limit = self.known.get(key)
            if limit is None:
                self.faults.add((*where, key), self._unknown(key, value, source))
            elif scope.kind not in limit.scopes:
                expected = " or ".join(SECTIONS_OF_KIND[kind] for kind in limit.scopes)
                self.faults.add(
                    (*where, key), f"{key} stands in {source}; expected it in {expected} only. Move it there."
                )
            else:
                try:
                    found[key] = parsed_value(limit, f"{key} in {source}", value)
                except ConfigurationError as error:
                    element = wrong_element(limit, value)
                    place = (*where, key) if element is None else (*where, key, element)
                    self.faults.add(place, str(error))
        return found

    def table(self, document: Mapping[str, Any], where: Path) -> Mapping[str, Any]:
        """Return a table at the end of a path, empty where there is none; anything else is a fault."""
        value = document.get(str(where[-1]), {})
        if isinstance(value, dict):
            return value
        words = ".".join(quoted_key(str(word)) for word in where)
        wanted = f"a section [{words}]" if where == ("limits",) else f"sections [{words}.NAME]"
        self.faults.add(where, f"{words} is {shown_value(value)}; expected {wanted}. Write it as one.")
        return {}

    def named_tables(
        self, document: Mapping[str, Any], where: Path
    ) -> Iterator[tuple[str, Mapping[str, Any], Path]]:
        """Yield name, content and path of each section below a word; anything else is a fault."""
        for name, value in self.table(document, where).items():
            if isinstance(value, dict):
                yield name, value, (*where, name)
                continue
            words = ".".join(quoted_key(str(word)) for word in where)
            self.faults.add(
                (*where, name),
                f"{shown_text(name)} stands right below [{words}]; expected a section [{words}.NAME] with "
                f"its own limits. Name it in the section, or move the line to [limits].",
            )

    def scope_of(self, parts: tuple[str, ...], where: Path) -> Scope | None:
        """Return the scope of a section's names, symbols in canonical form; a wrong name is a fault."""
        pairs = dict(zip(parts[::2], parts[1::2], strict=False))
        named = [self._is_name(kind, name, where) for kind, name in pairs.items()]
        if not all(named):
            return None
        if "symbol" in pairs:
            pairs["symbol"] = canonical_symbol(pairs["symbol"])
        return Scope(**pairs)

    def _is_name(self, kind: str, name: str, where: Path) -> bool:
        meant_by = _FIELDS[kind]
        if is_well_formed(meant_by, name.upper() if kind == "symbol" else name):
            return True
        expected = (
            "a symbol of 1 to 32 letters A-Z, digits and . / -"
            if kind == "symbol"
            else f"1 to 128 characters without blanks at the ends, {VISIBLE}, {NORMAL}"
        )
        self.faults.add(
            where,
            f"{kind} {shown_text(name)} is no name; expected {expected}, as intents "
            f"write {meant_by}. Type it anew.",
        )
        return False

    def _sections_of(self, kind: str, name: str, table: Mapping[str, Any], where: Path) -> Iterator[Section]:
        """Yield a section, and of a strategy those of its symbols."""
        within = table if kind == "strategy" else {}
        own = {key: value for key, value in table.items() if not (within and key == "symbol")}
        scope = self.scope_of((kind, name), where)
        if scope is None:
            return
        yield self._section(own, scope, where)
        for symbol, limits, place in self.named_tables(within, (*where, "symbol")):
            both = self.scope_of((kind, name, "symbol", symbol), place)
            if both is not None:
                yield self._section(limits, both, place)

    def _section(self, table: Mapping[str, Any], scope: Scope, where: Path) -> Section:
        source = section_name(*names_of(scope))
        if scope in self._seen:
            first = self.faults.lines.line(self._seen[scope])
            self.faults.add(
                where,
                f"{source} is a section already, with its symbol in another spelling: line {first}. "
                f"Write one section for each symbol.",
            )
        self._seen.setdefault(scope, where)
        return Section(source=source, scope=scope, values=self.values(table, scope, where, source))

    def _unknown(self, key: str, value: object, source: str) -> str:
        """Return what is wrong with a key that is no limit, and the remedy."""
        if key in HEAD:
            return f"{key} stands in {source}; expected it above the first section. Move it up."
        if key == WARN_AT:
            return f"{key} stands in {source}; expected it in [limits] only. Move it there."
        if isinstance(value, dict):
            return (
                f"{source} has a table {shown_text(key)}, which is no limit. Where it is a part of a name "
                f'with a dot in it, write the whole name in quotes, as in [symbol."BRK.B"]; else take it out.'
            )
        hint = did_you_mean(key, self.known, otherwise=NO_LIMIT)
        return f"{shown_text(key)} in {source} is no limit. {hint}"
