"""Every error of the market data API in one table, graded as in ``messages``. Its errors have no code.

The latest endpoints prefix the wording of a bad symbol, as several public repositories quote it; bars do not.
"""

from __future__ import annotations

from replay.simulator.intake.messages import Message

UNEXPECTED_PARAMETERS = Message("R", 400, None, "unexpected parameter(s): {}")
INVALID_SYMBOL_OF_LATEST = Message("O", 400, None, "code=400, message=invalid symbol: {}")
INVALID_SYMBOL = Message("O", 400, None, "invalid symbol: {}")
NO_RECENT_SIP = Message("O", 403, None, "subscription does not permit querying recent SIP data")
NO_SUCH_FEED_IN_PLAN = Message("U", 403, None, "subscription does not permit querying {} data")
PARAMETER_MISSING = Message("U", 400, None, "{} is required")
INVALID_PARAMETER = Message("U", 400, None, "invalid {}: {}")
END_BEFORE_START = Message("U", 400, None, "end should not be before start")
NOTHING_FOUND = Message("U", 404, None, "no {} found for {}")
ENDPOINT_NOT_FOUND = Message("U", 404, None, "endpoint not found.")
