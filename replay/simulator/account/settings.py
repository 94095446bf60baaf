"""The account's configurations, which the user may set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from replay.simulator.intake import messages

_FLAGS = (
    "disable_overnight_trading",
    "fractional_trading",
    "no_shorting",
    "ptp_no_exception_entry",
    "suspend_trade",
)
_WORDS = {
    "max_margin_multiplier": frozenset({"1", "2", "4"}),
    "trade_confirm_email": frozenset({"all", "none"}),
}
_OPTIONS_LEVELS = frozenset({0, 1, 2, 3})


@dataclass(frozen=True, slots=True)
class Configurations:
    """The body of ``GET /v2/account/configurations``, without the day-trading checks removed in 2026."""

    disable_overnight_trading: bool = False
    fractional_trading: bool = True
    max_margin_multiplier: str = "4"
    max_options_trading_level: int | None = None
    no_shorting: bool = False
    ptp_no_exception_entry: bool = False
    suspend_trade: bool = False
    trade_confirm_email: str = "all"

    def body(self) -> dict[str, Any]:
        """Return Alpaca's JSON object."""
        level = self.max_options_trading_level
        options = {} if level is None else {"max_options_trading_level": level}
        return {
            **options,
            "disable_overnight_trading": self.disable_overnight_trading,
            "fractional_trading": self.fractional_trading,
            "max_margin_multiplier": self.max_margin_multiplier,
            "no_shorting": self.no_shorting,
            "ptp_no_exception_entry": self.ptp_no_exception_entry,
            "suspend_trade": self.suspend_trade,
            "trade_confirm_email": self.trade_confirm_email,
        }


def configured(before: Configurations, body: object) -> Configurations:
    """Return configurations changed by the body of PATCH /v2/account/configurations; ignore unknown names."""
    if not isinstance(body, dict):
        raise messages.BAD_BODY()
    values = cast(Mapping[str, object], body)
    changes: dict[str, Any] = {}
    for name in _FLAGS:
        if (flag := values.get(name)) is not None:
            if not isinstance(flag, bool):
                raise messages.BAD_BODY()
            changes[name] = flag
    for name, allowed in _WORDS.items():
        if (word := values.get(name)) is not None:
            if not isinstance(word, str):
                raise messages.BAD_BODY()
            if word not in allowed:
                raise messages.BAD_CONFIGURATION(name)
            changes[name] = word
    level = values.get("max_options_trading_level")
    if level is not None:
        if not isinstance(level, int) or isinstance(level, bool):
            raise messages.BAD_BODY()
        if level not in _OPTIONS_LEVELS:
            raise messages.BAD_CONFIGURATION("max_options_trading_level")
        changes["max_options_trading_level"] = level
    return replace(before, **changes)
