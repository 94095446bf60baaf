"""The rule book: every rule, in the order that decides which reason is given.

One name per rule: its file, its reason, its column ``check_<name>``, its fixture and its test.
"""

from __future__ import annotations

from engine.risk.policies import POLICIES
from engine.risk.rule import Limit, Rule
from engine.risk.rules import (
    account_not_configured,
    asset_not_tradable,
    batch_refused,
    daily_loss_limit_reached,
    duplicate_intent,
    duplicate_order,
    insufficient_buying_power,
    intent_expired,
    invalid_intent,
    kill_switch_enabled,
    max_batch_notional_exceeded,
    max_batch_orders_exceeded,
    max_daily_notional_exceeded,
    max_daily_trades_exceeded,
    max_gross_exposure_exceeded,
    max_net_exposure_exceeded,
    max_open_positions_exceeded,
    max_order_notional_exceeded,
    max_order_qty_exceeded,
    max_orders_per_run_exceeded,
    max_pct_adv_exceeded,
    max_position_notional_exceeded,
    max_position_size_exceeded,
    max_slippage_exceeded,
    max_working_orders_exceeded,
    position_unreconciled,
    potential_self_trade,
    price_collar_breached,
    quantity_looks_like_notional,
    reconciliation_stale,
    reduce_only,
    reject_throttle,
    restricted_symbol,
    session_closed,
    short_sale_not_allowed,
    strategy_not_authorised,
    strategy_repeats,
    unpriced,
)

RULE_BOOK: tuple[Rule, ...] = (
    kill_switch_enabled.RULE,
    invalid_intent.RULE,
    account_not_configured.RULE,
    duplicate_intent.RULE,
    intent_expired.RULE,
    strategy_not_authorised.RULE,
    reject_throttle.RULE,
    strategy_repeats.RULE,
    daily_loss_limit_reached.RULE,
    reconciliation_stale.RULE,
    position_unreconciled.RULE,
    restricted_symbol.RULE,
    asset_not_tradable.RULE,
    session_closed.RULE,
    unpriced.RULE,
    max_order_qty_exceeded.RULE,
    max_order_notional_exceeded.RULE,
    price_collar_breached.RULE,
    max_slippage_exceeded.RULE,
    quantity_looks_like_notional.RULE,
    max_pct_adv_exceeded.RULE,
    max_batch_notional_exceeded.RULE,
    max_batch_orders_exceeded.RULE,
    short_sale_not_allowed.RULE,
    reduce_only.RULE,
    max_daily_trades_exceeded.RULE,
    max_position_size_exceeded.RULE,
    max_position_notional_exceeded.RULE,
    max_daily_notional_exceeded.RULE,
    insufficient_buying_power.RULE,
    max_orders_per_run_exceeded.RULE,
    max_working_orders_exceeded.RULE,
    max_open_positions_exceeded.RULE,
    duplicate_order.RULE,
    max_gross_exposure_exceeded.RULE,
    max_net_exposure_exceeded.RULE,
    potential_self_trade.RULE,
    batch_refused.RULE,
)

LIMITS: tuple[Limit, ...] = tuple(
    {limit.key: limit for limit in (*(one for rule in RULE_BOOK for one in rule.limits), *POLICIES)}.values()
)
"""Every limit of the book, each once, in its order, and the policies."""

LIMIT_BY_KEY = {limit.key: limit for limit in LIMITS}
RULE_BY_NAME = {rule.name: rule for rule in RULE_BOOK}
