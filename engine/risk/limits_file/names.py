"""Names in a limits file: sections as messages write them, and the nearest known name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable
from difflib import get_close_matches

from engine.risk.levels import Scope

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NEAR = 0.6
_FROM_ENVIRONMENT = "exec_"


def section_name(*parts: str) -> str:
    """Return a section as TOML writes it: ``[symbol."BRK.B"]``."""
    return f"[{'.'.join(map(quoted_key, parts))}]"


def quoted_key(name: str) -> str:
    """Return a name as a TOML key, in quotes where it needs them."""
    if _BARE.fullmatch(name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def names_of(scope: Scope) -> tuple[str, ...]:
    """Return the parts of the name of a scope's section."""
    parts = (("account", scope.account), ("strategy", scope.strategy), ("symbol", scope.symbol))
    return tuple(part for kind, name in parts if name is not None for part in (kind, name)) or ("limits",)


def scope_text(scope: Scope) -> str:
    """Return a scope as a temporary limit names it: ``strategy.momentum.symbol.TSLA``."""
    return section_name(*names_of(scope))[1:-1]


def parts_of_scope(text: str) -> tuple[str, ...] | None:
    """Return the parts of a temporary limit's scope, None where it has no such form.

    ``limits``, or two or four parts. Dots may stand in names: ``symbol.BRK.B``; a strategy's name that has
    ``.symbol.`` in it needs quotes.
    """
    word = text.strip()
    if word == "limits":
        return ("limits",)
    if '"' in word or "'" in word:
        return _parts_with_quotes(word)
    kind, _, rest = word.partition(".")
    if kind not in {"account", "symbol", "strategy"} or not rest:
        return None
    strategy, within, symbol = rest.rpartition(".symbol.")
    if kind == "strategy" and within and strategy and symbol:
        return (kind, strategy, "symbol", symbol)
    return (kind, rest)


def parts_of_section(source: str) -> tuple[str, ...]:
    """Return the parts of a section's name, the inverse of ``section_name``. Raises ``ValueError``."""
    document, parts = tomllib.loads(source), []
    while document:
        ((part, document),) = document.items()
        parts.append(part)
    return tuple(parts)


def _parts_with_quotes(word: str) -> tuple[str, ...] | None:
    try:
        parts = parts_of_section(f"[{word}]")
    except ValueError:
        return None
    has_form = parts[0] in {"account", "symbol", "strategy"} and len(parts) == 2
    is_of_both = parts[0] == "strategy" and len(parts) == 4 and parts[2] == "symbol"
    return parts if has_form or is_of_both else None


def nearest(name: str, known: Collection[str]) -> str | None:
    """Return the known name that was probably meant: without case, signs, and an environment's prefix."""
    by_fold = {_folded(one): one for one in known}
    fold = _folded(name.lower().removeprefix(_FROM_ENVIRONMENT))
    if fold in by_fold:
        return by_fold[fold]
    close = get_close_matches(fold, by_fold, n=1, cutoff=_NEAR)
    return by_fold[close[0]] if close else None


def did_you_mean(name: str, known: Collection[str], *, otherwise: str) -> str:
    """Return the remedy for an unknown name."""
    meant = nearest(name, known)
    return f"Did you mean {meant}?" if meant else otherwise


def listed(names: Iterable[str]) -> str:
    """Return names as a sentence lists them."""
    return ", ".join(names)


def _folded(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())
