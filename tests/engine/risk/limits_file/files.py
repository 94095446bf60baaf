"""Limits files of the tests, and limits that they may set."""

from __future__ import annotations

from engine.risk.levels import STRATEGY, LimitsFile
from engine.risk.limits_file.parsing import parse_limits_file
from engine.risk.rule import ALL_SCOPES, EVERYWHERE_ONLY, Limit
from engine.settings.values import Choice, ListOf, as_count, as_flag, as_names, as_quantity, as_symbols

KNOWN = {
    limit.key: limit
    for limit in (
        Limit(key="max_position_qty", unit="shares", parse=as_quantity, meaning="position", default=100.0),
        Limit(key="max_daily_trades", unit="trades", parse=as_count, meaning="trades", default=50),
        Limit(key="max_order_notional_usd", unit="USD", parse=as_quantity, meaning="worth of an order"),
        Limit(key="max_gross_exposure_usd", unit="USD", parse=as_quantity, meaning="exposure"),
        Limit(key="buying_power_buffer_pct", unit="%", parse=as_quantity, meaning="buffer", tighter="more"),
        Limit(key="allow_short", unit="", parse=as_flag, meaning="short sales", tighter="less"),
        Limit(key="reduce_only", unit="", parse=as_flag, meaning="reducing orders only"),
        Limit(key="allowed_symbols", unit="", parse=as_symbols, meaning="no others"),
        Limit(key="restricted_symbols", unit="", parse=as_symbols, meaning="not these", tighter="more"),
        Limit(
            key="require_authorised_strategies",
            unit="",
            parse=as_flag,
            meaning="sections needed",
            scopes=EVERYWHERE_ONLY,
        ),
        Limit(key="accounts", unit="", parse=as_names, meaning="its accounts", scopes=(STRATEGY,)),
        Limit(
            key="sides",
            unit="",
            parse=ListOf(Choice(("buy", "sell"))),
            meaning="its sides",
            scopes=(STRATEGY,),
        ),
        Limit(
            key="on_refusal",
            unit="",
            parse=Choice(("row", "strategy", "file")),
            meaning="what a refusal refuses",
            scopes=(STRATEGY,),
        ),
        Limit(
            key="share",
            unit="",
            parse=Choice(("first_come", "pro_rata")),
            meaning="headroom",
            scopes=(STRATEGY,),
            tighter="neither",
        ),
    )
}
EVERY_SCOPE_BUT_ALL = tuple(kind for kind in ALL_SCOPES if kind not in EVERYWHERE_ONLY)
RULES = {
    "kill_switch_enabled": (),
    "max_position_size_exceeded": ("max_position_qty",),
    "max_daily_trades_exceeded": ("max_daily_trades",),
    "max_order_notional_exceeded": ("max_order_notional_usd",),
    "restricted_symbol": ("restricted_symbols", "allowed_symbols"),
    "short_sale_not_allowed": ("allow_short",),
}
HEAD = """\
version = 1
owner = "risk desk"
review_by = 2027-03-31
acknowledged_off = ["*"]
"""
FIRST_LINE = HEAD.count("\n") + 1
"""The line of what is written below the head."""


def limits(body: str = "", *, head: str = HEAD) -> LimitsFile:
    return parse_limits_file(head + body, path="limits.toml", known=KNOWN)
