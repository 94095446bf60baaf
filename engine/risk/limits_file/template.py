"""A limits file to begin with: every rule with its keys, each commented out where it has no default."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from engine.risk.levels import ACCOUNT, ALL, STRATEGY, STRATEGY_SYMBOL, SYMBOL
from engine.risk.limits_file.difference import STRICTNESS
from engine.risk.limits_file.writing import toml_value
from engine.risk.rule import ALL_SCOPES, Limit

REVIEW_AFTER = timedelta(days=90)
_WIDTH, _COMMENTS_AT = 100, 44
_EXAMPLES: Mapping[str, Any] = {
    "shares": 100,
    "USD": 25_000,
    "s": 60,
    "seconds": 60,
    "%": 5,
    "fraction": 0.01,
}
_EXAMPLE = 20
_COUNTED = ("trades", "shares")
_EXAMPLE_LISTS = {"accounts": ("NAME",), "sides": ("buy", "sell"), "order_types": ("market", "limit")}
_EXAMPLE_BELOW = {
    ACCOUNT: ("[account.NAME]", "one account, as intents write broker_account_id"),
    SYMBOL: ("[symbol.NAME]", 'one symbol in every account; names with a dot in quotes: [symbol."BRK.B"]'),
    STRATEGY: ("[strategy.NAME]", "one strategy: its own trades and book"),
    STRATEGY_SYMBOL: ("[strategy.NAME.symbol.NAME]", "one symbol of a strategy's own book"),
}
_SCOPES = '"limits", "symbol.NAME", "strategy.NAME", "strategy.NAME.symbol.NAME"'


def template(
    rules: Mapping[str, Sequence[Limit]], others: Sequence[Limit], *, off: Sequence[str], on: date
) -> str:
    """Return the text of a limits file that keeps the defaults and acknowledges what is off.

    ``rules``: the limits of each rule, in the order of the book; none for a rule that is always on.
    ``others``: limits that belong to no rule. ``off``: the rules that nothing sets. ``on``: today.
    """
    return "".join(
        (*_head(off, on), *_limits(rules, others), *_narrower(rules, others), *_temporary(rules, on))
    )


def _head(off: Sequence[str], on: date) -> Iterator[str]:
    yield from _comment(
        "Limits: what orders may be sent. Write the numbers of your desk, take the # away before each limit "
        "that you set, and its rule out of acknowledged_off. `execution-engine limits check FILE` checks the "
        "file, EXEC_LIMITS_FILE names it to runs, `execution-engine limits show` prints what applies."
    )
    yield _with_comment("version = 1", "")
    yield _with_comment('owner = "OWNER"', "who answers for these limits")
    yield _with_comment(f"review_by = {on + REVIEW_AFTER}", "then runs warn, 30 days later they refuse")
    yield _with_comment(
        "acknowledged_off = [", 'rules that nothing sets; "*" for all, those of later versions too'
    )
    yield from (f'  "{name}",\n' for name in off)
    yield "]\n"


def _limits(rules: Mapping[str, Sequence[Limit]], others: Sequence[Limit]) -> Iterator[str]:
    yield "\n" + _with_comment("[limits]", "every account and symbol")
    yield _with_comment("# warn_at = 0.8", "utilisation from which reports warn; changes no verdict")
    for limit in others:
        if ALL in limit.scopes:
            yield from _key(limit)
    written: set[str] = set()
    for name, limits in rules.items():
        keys = [limit for limit in limits if ALL in limit.scopes]
        if keys:
            yield f"\n# {name}\n"
        for limit in keys:
            yield from _key(limit) if limit.key not in written else _named_above(limit)
            written.add(limit.key)
    always = [name for name, limits in rules.items() if not limits]
    if always:
        yield "\n"
        yield from _comment(f"Rules without a key here: {', '.join(always)}.")


def _narrower(rules: Mapping[str, Sequence[Limit]], others: Sequence[Limit]) -> Iterator[str]:
    """Yield the narrower sections, each with the limits that may stand only there."""
    every = [*others, *(limit for limits in rules.values() for limit in limits)]
    for kind, (section, about) in _EXAMPLE_BELOW.items():
        yield "\n" + _with_comment(f"# {section}", about)
        own = [limit for limit in every if kind in limit.scopes and ALL not in limit.scopes]
        for limit in own:
            yield from _key(limit, is_off=True)
        if not own:
            yield from (f"# {_line(limit)}\n" for limit in _first_number(rules))


def _temporary(rules: Mapping[str, Sequence[Limit]], on: date) -> Iterator[str]:
    yield "\n" + _with_comment(
        "# [temporary.NAME]", "stands in the place of its own and wider sections' limit"
    )
    yield _with_comment('# scope = "account.NAME"', f"or {_SCOPES}")
    yield _with_comment(
        f"# until = {on + timedelta(days=7)}", "through that session; afterwards the file is refused"
    )
    yield '# approved_by = "NAME"\n# why = "WHY"\n'
    yield from (f"# {_line(limit)}\n" for limit in _first_number(rules))


def _key(limit: Limit, *, is_off: bool = False) -> Iterator[str]:
    """Yield the line of a limit with its meaning, commented out where it has no default."""
    sign = "# " if is_off or limit.default is None else ""
    unit = f"{limit.unit}: " if limit.unit else ""
    yield _with_comment(sign + _line(limit), unit + limit.meaning)


def _named_above(limit: Limit) -> Iterator[str]:
    """Yield a line for a limit that another rule has above: TOML takes a key once."""
    yield f"# ({limit.key}: above)\n"


def _with_comment(line: str, comment: str) -> str:
    return f"{line:<{_COMMENTS_AT}} # {comment}\n" if comment else f"{line}\n"


def _line(limit: Limit) -> str:
    return f"{limit.key} = {toml_value(_example(limit))}"


def _example(limit: Limit) -> Any:
    if limit.default is not None and limit.default != limit.off:
        return limit.default
    if limit.kind == "names":
        return _EXAMPLE_LISTS.get(limit.key, ("SPY", "QQQ"))
    if limit.kind == "word":
        return STRICTNESS.get(limit.key, ("pro_rata",))[-1]
    if limit.kind == "flag":
        return limit.off is not True
    return _EXAMPLES.get(limit.unit, _EXAMPLE)


def _first_number(rules: Mapping[str, Sequence[Limit]]) -> list[Limit]:
    """Return a limit that may stand at every level: one with a default, and rather a count than a quality."""
    found = [limit for limits in rules.values() for limit in limits if set(limit.scopes) == set(ALL_SCOPES)]
    return sorted(found, key=lambda limit: (limit.default is None, limit.unit not in _COUNTED))[:1]


def _comment(text: str) -> Iterator[str]:
    yield from (f"# {line}\n" for line in textwrap.wrap(text, _WIDTH))
