"""Every error of the venue in one table: evidence, HTTP status, code and wording.

Those of the market data are in ``data_messages``.

Evidence: ``R`` recorded from real traffic, word for word; ``S`` Alpaca's specification or documentation;
``O`` wording quoted by several public repositories; ``U`` unproven: the rule is documented or obvious, the
wording is ours. The requests that each ``R`` answered are listed in ``conformance/test_errors.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from replay.simulator.intake.refusal import Refusal

_MALFORMED = 40010001
_UNPROCESSABLE = 42210000
_FORBIDDEN = 40310000
_NOT_FOUND = 40410000
_NOT_SIMULATED = "not simulated; the simulator trades US shares and funds only"


@dataclass(frozen=True, slots=True)
class Message:
    """One error's wording; ``{}`` is replaced by the values of the call."""

    grade: Literal["R", "S", "O", "U"]
    status: int
    code: int | None
    text: str

    def __call__(self, *values: object, **more: Any) -> Refusal:
        """Return the refusal; ``more`` are the fields that Alpaca adds to code and message."""
        return Refusal(self.status, self.code, self.text.format(*values), **more)


BAD_BODY = Message("O", 400, 40010000, "request body format is invalid")

# 422 40010001: the request is not well-formed
NOT_UNIQUE = Message("R", 422, _MALFORMED, "client_order_id must be unique")
ORDER_ID_MISSING = Message("R", 422, _MALFORMED, "order_id is missing")
ASSET_NOT_FOUND_FOR_ORDER = Message("R", 422, _MALFORMED, 'could not find asset "{}"')
LIMIT_ORDER_PRICES = Message("R", 422, _MALFORMED, "limit orders require only limit price")
NOT_SENT_YET = Message("R", 422, _MALFORMED, "unable to replace order, order isn't sent to exchange yet")
ONLY_OPEN_REPLACED = Message("R", 422, _MALFORMED, "only open orders can be replaced")
BAD_ACTIVITY_TYPE = Message("R", 422, _MALFORMED, "invalid activity type: {}")
QTY_OR_NOTIONAL = Message("S", 422, _MALFORMED, "qty or notional is required")
ID_TOO_LONG = Message("O", 422, _MALFORMED, "client_order_id must be no more than 128 characters")
QTY_AND_NOTIONAL = Message("O", 422, _MALFORMED, "only one of qty or notional is accepted")
QTY_NOT_POSITIVE = Message("O", 422, _MALFORMED, "qty must be > 0")
STOP_ORDER_PRICES = Message("O", 422, _MALFORMED, "stop orders require a stop price")
STOP_LIMIT_PRICES = Message("O", 422, _MALFORMED, "stop limit orders require both stop and limit price")
TRAIL_ONE_OF = Message(
    "O", 422, _MALFORMED, "trailing stop orders must specify one of trail_price or trail_percent"
)
TRAIL_PERCENT_SMALL = Message("O", 422, _MALFORMED, "trail_percent must be greater than or equal to 0.1")
MARKET_ORDER_PRICES = Message("O", 422, _MALFORMED, "market orders require no stop or limit price")
LIMIT_NOT_POSITIVE = Message("O", 422, _MALFORMED, "limit price must be > 0")
BAD_TYPE = Message("O", 422, _MALFORMED, "invalid order type")
BAD_SIDE = Message("O", 422, _MALFORMED, "invalid side")
BAD_TIME_IN_FORCE = Message("O", 422, _MALFORMED, "invalid time_in_force")
NOTIONAL_SMALL = Message("O", 422, _MALFORMED, "notional must be >= 1.00")
TAKE_PROFIT_MISSING = Message("O", 422, _MALFORMED, "{} orders require take_profit.limit_price")
BRACKET_TYPES = Message("O", 422, _MALFORMED, "bracket orders must be market or limit orders")
OTO_ONE_LEG = Message("O", 422, _MALFORMED, "oto orders require either take_profit or stop_loss")
NOT_ACTIVE = Message("O", 422, _MALFORMED, "asset {} is not active")
STOP_LOSS_MISSING = Message("U", 422, _MALFORMED, "{} orders require stop_loss.stop_price")
STOP_NOT_POSITIVE = Message("U", 422, _MALFORMED, "stop price must be > 0")
TRAIL_NOT_POSITIVE = Message("U", 422, _MALFORMED, "trail price must be > 0")
LEG_NOT_POSITIVE = Message("U", 422, _MALFORMED, "{} must be > 0")
QTY_TOO_FINE = Message("U", 422, _MALFORMED, "qty must be limited to 9 decimal places")
BAD_CLASS = Message("U", 422, _MALFORMED, "invalid order_class")
BAD_INTENT = Message("U", 422, _MALFORMED, "invalid position_intent")
SYMBOL_MISSING = Message("U", 422, _MALFORMED, "symbol is required")
NO_MLEG = Message("U", 422, _MALFORMED, f"option orders (order_class mleg) are {_NOT_SIMULATED}")
NO_CRYPTO = Message("U", 422, _MALFORMED, f"crypto orders ({{}}) are {_NOT_SIMULATED}")
NO_OPTIONS = Message("U", 422, _MALFORMED, f"option orders ({{}}) are {_NOT_SIMULATED}")
NAME_MISSING = Message("U", 422, _MALFORMED, "watchlist name is required")
NAME_TOO_LONG = Message("U", 422, _MALFORMED, "watchlist name must be at most 64 characters")
NAME_NOT_UNIQUE = Message("U", 422, _MALFORMED, "watchlist name must be unique")
SYMBOL_TWICE = Message("U", 422, _MALFORMED, "{} is already in the watchlist")
PARAMETER_MISSING = Message("U", 422, _MALFORMED, "{} is required")
START_END_PERIOD = Message("U", 422, _MALFORMED, "only two of start, end and period are accepted")
LONG_PERIODS_DAILY = Message("U", 422, _MALFORMED, "timeframe must be 1D for periods longer than 30 days")
LONG_RANGE = Message("U", 422, _MALFORMED, "the range from since to until is limited to 90 days")
MARKET_NOT_SIMULATED = Message("U", 400, 40010001, "market {} is not simulated; there are {}")
OCO_TYPE = Message("U", 422, _MALFORMED, "oco orders must be limit orders")
BAD_PARAMETER = Message("U", 422, _MALFORMED, "invalid {}")
CLIENT_ID_MISSING = Message("U", 422, _MALFORMED, "client_order_id is missing")
BOTH_ORDER_IDS = Message("U", 422, _MALFORMED, "before_order_id and after_order_id are mutually exclusive")
ORDER_ID_AND_TIME = Message(
    "U", 422, _MALFORMED, "before_order_id and after_order_id cannot be combined with after or until"
)
QTY_AND_PERCENTAGE = Message("U", 422, _MALFORMED, "only one of qty or percentage is accepted")
PERCENTAGE_TOO_FINE = Message("U", 422, _MALFORMED, "percentage must be limited to 9 decimal places")
BAD_PERCENTAGE = Message("U", 422, _MALFORMED, "percentage must be between 0 and 100")
TYPES_AND_CATEGORY = Message("U", 422, _MALFORMED, "only one of activity_types or category is accepted")
NO_TRAIL = Message("U", 422, _MALFORMED, "trail is only accepted for trailing stop orders")
WHOLE_SHARES_ONLY = Message("U", 422, _MALFORMED, "qty must be a whole number of shares")
BAD_CONFIGURATION = Message("U", 422, _MALFORMED, "invalid {}")

# 422 42210000: well-formed, but not possible
SUB_PENNY = Message(
    "S",
    422,
    _UNPROCESSABLE,
    "invalid {} {}. sub-penny increment does not fulfill minimum pricing criteria",
)
NOT_TRADABLE = Message("O", 422, _UNPROCESSABLE, 'asset "{}" is not tradable')
NOT_SHORTABLE = Message("O", 422, _UNPROCESSABLE, 'asset "{}" cannot be sold short')
FRACTIONAL_DAY = Message("O", 422, _UNPROCESSABLE, "fractional orders must be DAY orders")
FRACTIONAL_SIMPLE = Message("O", 422, _UNPROCESSABLE, "fractional orders must be simple orders")
FRACTIONAL_TYPES = Message(
    "O", 422, _UNPROCESSABLE, "fractional orders must be market, limit, stop, or stop_limit orders"
)
FRACTIONAL_SHORT = Message("O", 422, _UNPROCESSABLE, "fractional orders cannot be sold short")
NOTIONAL_PLACES = Message("O", 422, _UNPROCESSABLE, "notional value must be limited to 2 decimal places")
EXTENDED_HOURS = Message("O", 422, _UNPROCESSABLE, "extended hours order must be DAY or GTC limit orders")
BRACKET_ENTRY = Message("O", 422, _UNPROCESSABLE, "bracket orders must be entry orders")
OCO_EXIT = Message("O", 422, _UNPROCESSABLE, "oco orders must be exit orders")
CANNOT_REPLACE = Message("O", 422, _UNPROCESSABLE, "cannot replace order in {} status")
NOT_CHANGED = Message("O", 422, _UNPROCESSABLE, "order parameters are not changed")
ALREADY_REPLACED = Message("O", 422, _UNPROCESSABLE, "order already replaced")
QTY_FILLED = Message("O", 422, _UNPROCESSABLE, "qty must be > filled_qty")
ALREADY_IN_STATE = Message("O", 422, _UNPROCESSABLE, 'order is already in "{}" state')
INTENT_MISMATCH = Message("O", 422, _UNPROCESSABLE, "position intent mismatch, inferred: {}, specified: {}")
LEG_BELOW_BASE = Message("O", 422, _UNPROCESSABLE, "{} must be <= base_price - 0.01")
LEG_ABOVE_BASE = Message("O", 422, _UNPROCESSABLE, "{} must be >= base_price + 0.01")
STOP_NOT_BELOW = Message("O", 422, _UNPROCESSABLE, "stop price must be less than current price")
STOP_NOT_ABOVE = Message("O", 422, _UNPROCESSABLE, "stop price must be greater than current price")
COMPLEX_TIME_IN_FORCE = Message("U", 422, _UNPROCESSABLE, "complex orders must be DAY or GTC orders")
COMPLEX_EXTENDED = Message("U", 422, _UNPROCESSABLE, "complex orders cannot be submitted for extended hours")
NOTIONAL_REPLACED = Message("U", 422, _UNPROCESSABLE, "notional orders cannot be replaced")
NOTIONAL_NOT_ACCEPTED = Message("U", 422, _UNPROCESSABLE, "notional cannot be replaced for us_equity")
FRACTIONAL_QTY_FIXED = Message("U", 422, _UNPROCESSABLE, "qty of fractional orders cannot be replaced")
COMPLEX_QTY_FIXED = Message("U", 422, _UNPROCESSABLE, "qty of complex orders cannot be replaced")

# 403: not permitted for the account
NO_BUYING_POWER = Message("R", 403, _FORBIDDEN, "insufficient buying power")
NO_QTY = Message("R", 403, _FORBIDDEN, "insufficient qty available for order (requested: {}, available: {})")
NOT_FRACTIONABLE = Message("R", 403, _FORBIDDEN, 'asset "{}" is not fractionable')
WASH_TRADE = Message("O", 403, _FORBIDDEN, "potential wash trade detected. use complex orders")
SHORT_WHILE_BUYING = Message("O", 403, _FORBIDDEN, "cannot open a short sell while a long buy order is open")
BUY_WHILE_SHORTING = Message("O", 403, _FORBIDDEN, "cannot open a long buy while a short sell order is open")
NO_SHORTING = Message("O", 403, _FORBIDDEN, "account is not allowed to short")
COST_BASIS_SMALL = Message("O", 403, _FORBIDDEN, "cost basis must be >= minimal amount of order 1")
OPG_WINDOW = Message("O", 403, _FORBIDDEN, "opg orders must be submitted after 7:00pm and before 9:28am")
CLS_WINDOW = Message(  # public code quotes 3:55pm; the documentation's time is 3:50pm
    "O", 403, _FORBIDDEN, "cls orders must be submitted after 7:00pm and before 3:50pm"
)
SUSPENDED = Message("O", 403, _FORBIDDEN, "new orders are rejected by user request")
NO_FRACTIONAL = Message("O", 403, _FORBIDDEN, "fractional trading is disabled for this account")

# 404
ORDER_NOT_FOUND = Message("R", 404, _NOT_FOUND, "order not found for {}")
NO_POSITION = Message("R", 404, _NOT_FOUND, "position does not exist")
ASSET_NOT_FOUND = Message("R", 404, _NOT_FOUND, "asset not found for {}")
SYMBOL_NOT_FOUND = Message("O", 404, _NOT_FOUND, "symbol not found: {}")
WATCHLIST_NOT_FOUND = Message("U", 404, _NOT_FOUND, "watchlist not found for {}")
ANNOUNCEMENT_NOT_FOUND = Message("U", 404, _NOT_FOUND, "announcement not found for {}")

# The ``reject_reason`` of a wash trade: which of its two rules was broken (O).
WASH_MARKET_OR_STOP = "opposite side market/stop order exists"
WASH_LIMIT = "opposite side limit order exists. use complex/limit/stop_limit orders"
