"""Limits files for the property tests: values that bind, at every level that may set them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Any

from hypothesis import strategies as st

from engine.risk.book import LIMIT_BY_KEY
from engine.risk.levels import (
    ACCOUNT,
    ALL,
    STRATEGY,
    STRATEGY_SYMBOL,
    SYMBOL,
    LimitsFile,
    Scope,
    Section,
    TemporarySection,
)
from tests.engine.risk.strategies import ACCOUNTS, Draw

STRATEGIES = ("momentum", "reversal")
TRADING_DATE = date(2026, 3, 16)

VALUES: dict[str, tuple[Any, ...]] = {
    "max_position_qty": (100.0, 150.0, 50.0, 0.0, 1000.0),
    "max_daily_trades": (1, 2, 3, 4, 0, 50),
    "max_order_qty": (50.0, 59.999999999, 100.0, 0.0),
    "restricted_symbols": (frozenset({"SPY"}), frozenset({"BRK.B", "BTC/USD"}), frozenset()),
    "allowed_symbols": (frozenset({"SPY"}), frozenset({"SPY", "BRK.B"}), frozenset()),
    "check_assets": (True, True, False),
    "require_open_session": (True, True, False),
    "allow_short": (False, False, True),
    "reduce_only": (True, True, False),
    "require_authorised_strategies": (True,),
    "accounts": (frozenset({"paper"}), frozenset({"paper", "second"})),
    "symbols": (frozenset({"SPY"}), frozenset({"BTC/USD", "BRK.B"})),
    "sides": (frozenset({"buy"}), frozenset({"sell", "buy"})),
    "order_types": (frozenset({"limit"}), frozenset({"market", "stop"})),
    "max_broker_rejects_in_a_row": (1, 3),
    "max_refusals_in_a_row": (1, 3),
    "max_reconciliation_age_s": (60.0, 0.5),
    "max_batch_orders": (1, 2, 3, 0),
    "max_batch_ratio_to_median": (1.0, 1.5, 0.5),
    "max_orders_per_run": (1, 2, 0, 3),
    "max_working_orders": (1, 2, 3, 0),
    "max_open_positions": (1, 2, 3, 0),
    "max_equal_orders": (1, 2, 0),
    "equal_orders_window_s": (60.0, 0.5),
    "block_self_trades": (True, True, False),
    "max_slippage": (0.01, 0.005, 0.0),
    "max_qty_ratio_to_usual": (1.0, 2.5, 10.0),
    "max_pct_adv": (1.0, 0.5, 0.0),
    "max_position_notional_usd": (500.0, 1000.0, 999.999999, 0.0, 2000.0),
    "max_daily_notional_usd": (500.0, 1000.0, 1000.000001, 3000.0),
    "buying_power_buffer_pct": (0.0, 0.0, 10.0, 100.0),
    "max_gross_exposure_usd": (500.0, 1000.0, 2000.0, 0.0),
    "max_net_exposure_usd": (500.0, 1000.0, 2000.0, 0.0),
    "max_quote_age_s": (60.0, 60.0, 0.5),
    "max_spread_pct": (5.0, 5.0, 2.0),
    "max_order_notional_usd": (1000.0, 606.0, 0.0, 100_000.0),
    "max_batch_notional_usd": (1000.0, 1212.0, 0.0, 100_000.0),
    "price_collar_pct": (5.0, 8.0, 0.0, 100.0),
    "stop_collar_pct": (5.0, 10.0),
    "max_daily_loss_usd": (500.0, 200.0, 0.0),
    "max_drawdown_usd": (500.0, 499.999999),
    "on_refusal": ("strategy", "file", "file", "row"),
}
"""What each limit is set to; all of the book's limits but those with a meaning of their own are here."""

SOURCES = {
    ALL: "[limits]",
    ACCOUNT: "[account.{0.account}]",
    SYMBOL: "[symbol.{symbol}]",
    STRATEGY: "[strategy.{0.strategy}]",
    STRATEGY_SYMBOL: "[strategy.{0.strategy}.symbol.{symbol}]",
}

SCOPES = (
    Scope(),
    *(Scope(account=account) for account in ACCOUNTS),
    *(Scope(symbol=symbol) for symbol in ("SPY", "BTC/USD", "BRK.B")),
    *(Scope(strategy=strategy) for strategy in STRATEGIES),
    Scope(strategy="momentum", symbol="SPY"),
    Scope(strategy="reversal", symbol="BRK.B"),
)


def source_of(scope: Scope) -> str:
    symbol = scope.symbol
    if symbol is not None and not symbol.isalnum():
        symbol = f'"{symbol}"'
    return SOURCES[scope.kind].format(scope, symbol=symbol)


def may_be_set(keys: Collection[str], scope: Scope) -> list[str]:
    """Return those of some limits that a section may set."""
    return [key for key in keys if key in LIMIT_BY_KEY and scope.kind in LIMIT_BY_KEY[key].scopes]


@st.composite
def values_of(draw: Draw, keys: Collection[str], *, at_least: int = 0) -> dict[str, Any]:
    """Some of the limits, with values that bind."""
    chosen = draw(
        st.lists(st.sampled_from(sorted(keys)), unique=True, min_size=min(at_least, len(keys)), max_size=4)
    )
    return {key: draw(st.sampled_from(VALUES[key])) for key in chosen}


@st.composite
def limits_files(draw: Draw, keys: Collection[str]) -> LimitsFile:
    """A limits file that sets some of the limits, at one to three levels, now and then for a time."""
    sections = []
    chosen = draw(st.lists(st.sampled_from(SCOPES), unique=True, min_size=1, max_size=3))
    for scope in sorted(chosen, key=lambda one: one.kind):
        if may := may_be_set(keys, scope):
            values = draw(values_of(may, at_least=1))
            sections.append(Section(source=source_of(scope), scope=scope, values=values))
    temporary = []
    if draw(st.integers(0, 2)) == 2:
        written: set[tuple[Scope, str]] = set()
        for nth, scope in enumerate(draw(st.lists(st.sampled_from(SCOPES), min_size=1, max_size=2))):
            may = [key for key in may_be_set(keys, scope) if (scope, key) not in written]
            if not may:
                continue
            values = draw(values_of(may, at_least=1))
            written |= {(scope, key) for key in values}
            temporary.append(
                TemporarySection(
                    source=f"[temporary.reason-{nth}]",
                    scope=scope,
                    values=values,
                    until=TRADING_DATE,
                    approved_by="ann",
                    why="a test",
                )
            )
    return of_sections(tuple(sections), tuple(temporary))


def of_sections(sections: tuple[Section, ...], temporary: tuple[TemporarySection, ...] = ()) -> LimitsFile:
    file = LimitsFile(
        path="limits.toml",
        content="",
        version=1,
        owner="risk desk",
        review_by=date(2027, 3, 31),
        acknowledged_off=frozenset({"*"}),
        sections=sections,
        temporary=temporary,
    )
    object.__setattr__(file, "content", toml_of(file))
    return file


def toml_of(file: LimitsFile) -> str:
    """Return a limits file as a person would write it."""
    lines = [
        f"version = {file.version}",
        f'owner = "{file.owner}"',
        f"review_by = {file.review_by}",
        'acknowledged_off = ["*"]',
    ]
    for section in file.sections:
        lines += ["", section.source, *(f"{key} = {_word(value)}" for key, value in section.values.items())]
    for section in file.temporary:
        scope = source_of(section.scope).strip("[]").replace('"', '\\"')
        lines += ["", section.source, f'scope = "{scope}"', f"until = {section.until}"]
        lines += [f'approved_by = "{section.approved_by}"', f'why = "{section.why}"']
        lines += [f"{key} = {_word(value)}" for key, value in section.values.items()]
    return "\n".join([*lines, ""])


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, frozenset):
        return "[" + ", ".join(f'"{name}"' for name in sorted(value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)
