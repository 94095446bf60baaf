"""A batch, one intent after the other: each against the state left by the allowed ones before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

from engine import RiskConfig, RiskInputs
from tests.engine.risk.oracle import counts, money, rows, sizes, totals
from tests.engine.risk.oracle.known import Known
from tests.engine.risk.oracle.levels import FAIL, OFF, PASS, UNAVAILABLE, Finding, levels_of
from tests.engine.risk.oracle.state import State, reduces
from tests.engine.risk.oracle.words import Row, instrument, is_cancel

Judge = Callable[[Row, State], Finding]

FIRST_RULES = (
    "kill_switch_enabled",
    "invalid_intent",
    "account_not_configured",
    "duplicate_intent",
    "intent_expired",
    "position_unreconciled",
    "max_daily_trades_exceeded",
    "max_position_size_exceeded",
)
"""The rules of the first book, which are on whatever is set."""

FACED_BY_CANCELS = {"invalid_intent", "account_not_configured", "duplicate_intent"}
SKIPPED_BY_FAIL_OPEN = {"position_unreconciled", "max_daily_trades_exceeded", "max_position_size_exceeded"}
NEVER_OVERRIDDEN = {
    "kill_switch_enabled",
    "invalid_intent",
    "account_not_configured",
    "duplicate_intent",
    "batch_refused",
}
ROW_RULES = (
    "kill_switch_enabled",
    "invalid_intent",
    "account_not_configured",
    "intent_expired",
    "strategy_not_authorised",
    "reject_throttle",
    "strategy_repeats",
    "restricted_symbol",
    "session_closed",
    "price_collar_breached",
    "max_slippage_exceeded",
)
"""Those that let a row into its file's count, besides the ones that reducing orders may pass."""


def expected_decisions(
    batch: list[Row], inputs: RiskInputs, config: RiskConfig, rules: Sequence[str] = FIRST_RULES
) -> list[Row]:
    """Judge a batch in its order by the named rules, given in the order of the book."""
    refused: set[Group] = set()
    while True:
        state = State(Known.of(inputs), config, refused_groups=refused)
        state.orders_of_batch = [row for row in batch if not is_cancel(row)]
        state.let_in = [row for row in state.orders_of_batch if is_let_in(row, state, rules)]
        decisions = [_decide(row, state, rules) for row in batch]
        more = {
            group
            for row, decision in zip(batch, decisions, strict=True)
            if not decision["allowed"] and (group := group_of(row, config)) is not None
        }
        if "batch_refused" not in rules or more <= refused:
            return decisions
        refused = refused | more


Group = tuple[str, str | None]


def group_of(row: Row, config: RiskConfig) -> Group | None:
    """Return the orders that a refused one takes with it: its strategy's, all or those of its file."""
    words = [level.value for level in levels_of(row, "on_refusal", config)]
    if is_cancel(row) or not words or words[0] == "row":
        return None
    return row["strategy_id"], row.get("source_file") if words[0] == "file" else None


def batch_refused(row: Row, state: State) -> Finding:
    group = group_of(row, state.config)
    if group is None:
        return Finding(OFF)
    if group not in state.refused_groups:
        return Finding(PASS)
    return Finding(FAIL, levels_of(row, "on_refusal", state.config)[0].source)


def is_let_in(row: Row, state: State, rules: Sequence[str]) -> bool:
    """Return whether row rules let an order in, as far as they don't ask whether it reduces a position."""
    found = [JUDGES[rule](row, state) for rule in ROW_RULES if rule in rules]
    if "asset_not_tradable" in rules:
        found.append(rows.asset_not_tradable(row, state, asks_short=False))
    return all(one.verdict not in (FAIL, UNAVAILABLE) for one in found)


def _decide(row: Row, state: State, rules: Sequence[str]) -> Row:
    findings = {rule: JUDGES[rule](row, state) for rule in rules}
    figures: dict[str, Decimal | None] = {}
    if "max_position_size_exceeded" in findings:
        figures |= counts.position_figures(row, state, findings["max_position_size_exceeded"])
    if "max_daily_trades_exceeded" in findings:
        figures |= counts.trades_figures(row, state, findings["max_daily_trades_exceeded"])
    if is_cancel(row):
        findings = {
            rule: found if rule in FACED_BY_CANCELS else Finding(OFF) for rule, found in findings.items()
        }
    for rule, found in findings.items():
        may_be_waived = is_waived(rule, row, state) and not is_skipped(rule, state.config)
        if found.verdict == FAIL and found.lacks_data and may_be_waived:  # missing data never is
            findings[rule] = replace(found, verdict=UNAVAILABLE)
    waived = [rule for rule in rules if findings[rule].verdict == FAIL and is_waived(rule, row, state)]
    reason = first_reason(findings, state.config, waived)
    if reason == "ok":
        if not reduces(row, state):
            state.opened.append(row)
        state.allowed.append(row)
    return {
        "allowed": reason == "ok",
        "reason": reason,
        **{f"check_{rule}": findings[rule].verdict for rule in rules},
        **figures,
        "limit_source": findings[reason].source if reason in findings else "none",
        "overridden": waived[0] if waived else "",
    }


def first_reason(findings: dict[str, Finding], config: RiskConfig, waived: Sequence[str]) -> str:
    """Return the first rule, in the order of the book, that stands in the way, or ``ok``."""
    for rule, found in findings.items():
        if found.verdict == FAIL and rule not in waived:
            return rule
        if found.verdict == UNAVAILABLE and not is_skipped(rule, config):
            return "risk_data_unavailable"
    return "ok"


def is_skipped(rule: str, config: RiskConfig) -> bool:
    return config.fail_open and rule in SKIPPED_BY_FAIL_OPEN


def is_waived(rule: str, row: Row, state: State) -> bool:
    """Return whether an override of this session lets the row pass a rule."""
    if rule in NEVER_OVERRIDDEN:
        return False
    return any(
        each["rule"] == rule
        and each["expires_on"] == state.known.trading_date.isoformat()
        and names_row(each, row)
        for each in state.known.overrides or ()
    )


def names_row(override: Row, row: Row) -> bool:
    named = {name: override[name] for name in ("client_intent_id", "strategy_id", "symbol") if override[name]}
    if len(named) != 1:
        return False
    ((name, value),) = named.items()
    return bool(
        instrument(value) == instrument(row.get("symbol")) if name == "symbol" else value == row.get(name)
    )


JUDGES: dict[str, Judge] = {
    "kill_switch_enabled": rows.kill_switch_enabled,
    "invalid_intent": rows.invalid_intent,
    "account_not_configured": rows.account_not_configured,
    "duplicate_intent": rows.duplicate_intent,
    "intent_expired": rows.intent_expired,
    "strategy_not_authorised": rows.strategy_not_authorised,
    "reject_throttle": rows.latched("reject_throttle", "max_broker_rejects_in_a_row"),
    "strategy_repeats": rows.latched("strategy_repeats", "max_refusals_in_a_row"),
    "daily_loss_limit_reached": money.daily_loss_limit_reached,
    "reconciliation_stale": rows.reconciliation_stale,
    "position_unreconciled": rows.position_unreconciled,
    "restricted_symbol": rows.restricted_symbol,
    "asset_not_tradable": rows.asset_not_tradable,
    "session_closed": rows.session_closed,
    "unpriced": money.unpriced,
    "max_order_qty_exceeded": rows.max_order_qty_exceeded,
    "max_order_notional_exceeded": money.max_order_notional_exceeded,
    "price_collar_breached": money.price_collar_breached,
    "max_slippage_exceeded": sizes.max_slippage_exceeded,
    "quantity_looks_like_notional": sizes.quantity_looks_like_notional,
    "max_pct_adv_exceeded": sizes.max_pct_adv_exceeded,
    "max_batch_notional_exceeded": money.max_batch_notional_exceeded,
    "max_batch_orders_exceeded": counts.max_batch_orders_exceeded,
    "short_sale_not_allowed": rows.short_sale_not_allowed,
    "reduce_only": rows.reduce_only,
    "max_daily_trades_exceeded": counts.max_daily_trades_exceeded,
    "max_position_size_exceeded": counts.max_position_size_exceeded,
    "max_position_notional_exceeded": totals.max_position_notional_exceeded,
    "max_daily_notional_exceeded": totals.max_daily_notional_exceeded,
    "insufficient_buying_power": totals.insufficient_buying_power,
    "max_orders_per_run_exceeded": counts.max_orders_per_run_exceeded,
    "max_working_orders_exceeded": counts.max_working_orders_exceeded,
    "max_open_positions_exceeded": counts.max_open_positions_exceeded,
    "duplicate_order": counts.duplicate_order,
    "max_gross_exposure_exceeded": totals.max_gross_exposure_exceeded,
    "max_net_exposure_exceeded": totals.max_net_exposure_exceeded,
    "potential_self_trade": rows.potential_self_trade,
    "batch_refused": batch_refused,
}
"""Every rule, in the order of the book: that of RULES, whose other rules follow as in its table."""
