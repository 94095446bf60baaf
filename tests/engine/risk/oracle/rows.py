"""The rules that look at one row, and those that ask whether it reduces a position."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

import pandas as pd

from tests.engine.risk.oracle.contract import has_come, is_valid
from tests.engine.risk.oracle.levels import (
    FAIL,
    OFF,
    PASS,
    UNAVAILABLE,
    Finding,
    Level,
    heaviest,
    judged,
    levels_of,
)
from tests.engine.risk.oracle.state import State, reduces, traded_qty
from tests.engine.risk.oracle.words import (
    Row,
    exact,
    given,
    has_null_key,
    instrument,
    is_missing,
    is_quantity,
    is_symbol,
    is_text,
    is_timestamp,
    key_of,
)


def kill_switch_enabled(row: Row, state: State) -> Finding:
    if state.known.kill_switch:
        return Finding(FAIL)
    halted = scopes_in(state, "HALTED", row)
    if halted is None:
        return Finding(UNAVAILABLE)
    return Finding(FAIL if halted else PASS)


def scopes_in(state: State, word: str, row: Row) -> list[tuple[str, str]] | None:
    """Return the scopes of a trading state that the row is in; None where states are unknown."""
    states = state.known.trading_states
    if states is None:
        return None
    of_row = {
        "all": "",
        "account": row.get("broker_account_id"),
        "symbol": instrument(row.get("symbol")),
        "strategy": row.get("strategy_id"),
    }
    return [
        (each["scope"], each["name"])
        for each in states
        if each["state"] == word
        if each["scope"] == "all" or each["name"] == of_row[each["scope"]]
    ]


def invalid_intent(row: Row, state: State) -> Finding:
    return Finding(PASS if is_valid(row) and has_come(row, state.known.as_of) else FAIL)


def account_not_configured(row: Row, state: State) -> Finding:
    if not state.config.accounts:
        return Finding(OFF)
    if row.get("broker_account_id") in state.config.accounts:
        return Finding(PASS)
    return Finding(FAIL, "accounts")


def duplicate_intent(row: Row, state: State) -> Finding:
    own = row.get("broker_account_id"), row.get("client_intent_id")
    before = {(each["broker_account_id"], each["client_intent_id"]) for each in state.allowed}
    return Finding(FAIL if own in before | state.known.allowed_ids else PASS)


def intent_expired(row: Row, state: State) -> Finding:
    as_of = state.known.as_of
    findings = [Finding(PASS)]
    if given(row, "valid_until"):
        if not is_timestamp(row["valid_until"]):
            findings.append(Finding(UNAVAILABLE))
        elif as_of > row["valid_until"]:
            findings.append(Finding(FAIL))

    def too_old(level: Level) -> str:
        if not given(row, "created_at") or not is_timestamp(row["created_at"]):
            return UNAVAILABLE
        return FAIL if as_of - row["created_at"] > pd.Timedelta(seconds=level.value) else PASS

    return heaviest(judged(levels_of(row, "intent_max_age_s", state.config), too_old), *findings)


def position_unreconciled(row: Row, state: State) -> Finding:
    """Let only those orders pass where a break is open that shrink the position whatever else fills."""
    breaks = state.known.unreconciled
    if not is_text(row.get("broker_account_id")) or not is_symbol(row.get("symbol")) or breaks is None:
        return Finding(UNAVAILABLE)
    if has_null_key(breaks, "broker_account_id"):
        return Finding(UNAVAILABLE)
    own = [each for each in breaks if each["broker_account_id"] == row["broker_account_id"]]
    found = [each for each in own if each.get("compared", True) is True]
    if not any(is_missing(each["symbol"]) or key_of(each) == key_of(row) for each in found):
        return Finding(PASS if len(found) == len(own) else UNAVAILABLE)
    return Finding({True: PASS, False: FAIL, None: UNAVAILABLE}[reduces(row, state)])


# Those of a limit


def max_order_qty_exceeded(row: Row, state: State) -> Finding:
    def check(level: Level) -> str:
        qty = traded_qty(row, state)
        if qty is None:
            return UNAVAILABLE
        return FAIL if qty > exact(level.value) else PASS

    found = judged(levels_of(row, "max_order_qty", state.config), check)
    return unless_reducing(found, row, state)


def unless_reducing(found: Finding, row: Row, state: State) -> Finding:
    """Let an order pass that reduces a position, also where the rule's own data is missing."""
    if found.verdict in (PASS, OFF):
        return found
    does = reduces(row, state)
    if does is None:
        return Finding(UNAVAILABLE, shown=found.shown)
    return Finding(PASS, shown=found.shown) if does else found


def restricted_symbol(row: Row, state: State) -> Finding:
    symbol = instrument(row.get("symbol"))

    def named(level: Level) -> str:
        return FAIL if symbol in level.value else PASS

    def not_named(level: Level) -> str:
        return FAIL if symbol not in level.value else PASS

    restricted = [(level, named) for level in levels_of(row, "restricted_symbols", state.config)]
    allowed = [(level, not_named) for level in levels_of(row, "allowed_symbols", state.config)]
    both = sorted([*restricted, *allowed], key=lambda one: one[0].order)
    findings = [judged([level], check) for level, check in both]
    return heaviest(*findings) if findings else Finding(OFF)


def asset_not_tradable(row: Row, state: State, *, asks_short: bool = True) -> Finding:
    needed = ["tradable"]
    if given(row, "notional") or (is_quantity(row.get("qty")) and exact(row["qty"]) % 1 != 0):
        needed.append("fractionable")
    if asks_short and row.get("side") == "sell":
        needed.append("shortable")
    levels = levels_of(row, "check_assets", state.config)
    found = {name: judged(levels, partial(asset_says, name, row, state)) for name in needed}
    if "shortable" in found:
        found["shortable"] = unless_reducing(found["shortable"], row, state)
    return heaviest(*found.values())


def asset_says(name: str, row: Row, state: State, _: Level) -> str:
    assets = state.known.assets
    if assets is None or has_null_key(assets, "symbol"):
        return UNAVAILABLE
    records = [each for each in assets if instrument(each["symbol"]) == instrument(row.get("symbol"))]
    return flag_verdict(records[0][name]) if len(records) == 1 else UNAVAILABLE


def flag_verdict(flag: Any) -> str:
    if is_missing(flag):
        return UNAVAILABLE
    return PASS if flag is True else FAIL if flag is False else UNAVAILABLE


def session_closed(row: Row, state: State) -> Finding:
    def check(_: Level) -> str:
        hours = state.known.session_hours
        if hours is None or len(hours) != 1:
            return UNAVAILABLE
        if row.get("time_in_force") in ("opg", "cls"):
            return taken_for_the_auction(row["time_in_force"], hours[0], state)
        prefix = "extended_" if row.get("extended_hours") is True else ""
        opens, closes = hours[0][f"{prefix}opens_at"], hours[0][f"{prefix}closes_at"]
        if not is_timestamp(opens) or not is_timestamp(closes):
            return UNAVAILABLE
        return PASS if opens <= state.known.as_of < closes else FAIL

    return judged(levels_of(row, "require_open_session", state.config), check)


def taken_for_the_auction(which: str, hours: Row, state: State) -> str:
    """Take opg orders until 9:28 and cls orders until 15:50 of a full day, and both again from 19:00."""
    now = state.known.as_of
    auction = hours["opens_at"] - pd.Timedelta(minutes=2)
    if which == "cls":
        auction = hours["closes_at"] - pd.Timedelta(minutes=10)
    evening = hours["extended_closes_at"] - pd.Timedelta(hours=1)
    if (is_timestamp(auction) and now < auction) or (is_timestamp(evening) and now >= evening):
        return PASS
    return FAIL if is_timestamp(auction) and is_timestamp(evening) else UNAVAILABLE


def short_sale_not_allowed(row: Row, state: State) -> Finding:
    def check(level: Level) -> str:
        if row.get("side") == "buy":
            return PASS
        does = reduces(row, state, level.strategy)
        return UNAVAILABLE if does is None else PASS if does else FAIL

    return judged(levels_of(row, "allow_short", state.config), check)


def reduce_only(row: Row, state: State) -> Finding:
    def check(strategy: str | None) -> str:
        does = reduces(row, state, strategy)
        return UNAVAILABLE if does is None else PASS if does else FAIL

    by_limit = judged(levels_of(row, "reduce_only", state.config), lambda level: check(level.strategy))
    reducing = scopes_in(state, "REDUCING", row)
    if reducing is None:  # what reduces passes under any state
        return heaviest(by_limit, Finding(PASS if reduces(row, state) else UNAVAILABLE))
    by_state = [Finding(check(None)) for _ in reducing]
    return heaviest(by_limit, *by_state)


def strategy_not_authorised(row: Row, state: State) -> Finding:
    strategy, file = row.get("strategy_id"), state.config.limits_file
    findings = [Finding(OFF)]
    if levels_of(row, "require_authorised_strategies", state.config):
        sections = () if file is None else (*file.sections, *file.temporary)
        has_one = any(one.scope.strategy == strategy for one in sections)
        findings.append(
            judged(
                levels_of(row, "require_authorised_strategies", state.config),
                lambda _: OFF if has_one else FAIL,
            )
        )
    columns = {
        "symbols": instrument(row.get("symbol")),
        "sides": row.get("side"),
        "order_types": row["order_type"] if given(row, "order_type") else "market",
    }
    for key, value in columns.items():
        findings += [
            Finding(PASS if value in level.value else FAIL, level.source, level)
            for level in levels_of(row, key, state.config)
        ]
    for level in levels_of(row, "accounts", state.config):
        if level.strategy is not None:
            named = row.get("broker_account_id") in level.value
            findings.append(Finding(PASS if named else FAIL, level.source, level))
    return heaviest(*findings)


def latched(rule: str, key: str) -> Any:
    def check_row(row: Row, state: State) -> Finding:
        def check(_: Level) -> str:
            latches = state.known.latches
            if latches is None or has_null_key(latches, "rule"):
                return UNAVAILABLE
            mine = [(each["strategy_id"], each["rule"]) for each in latches]
            return FAIL if (row.get("strategy_id"), rule) in mine else PASS

        return judged(levels_of(row, key, state.config), check)

    return check_row


def reconciliation_stale(row: Row, state: State) -> Finding:
    def check(level: Level) -> str:
        times = state.known.reconciled
        if times is None or has_null_key(times, "broker_account_id"):
            return UNAVAILABLE
        mine = [
            each["reconciled_at"]
            for each in times
            if each["broker_account_id"] == row.get("broker_account_id")
        ]
        if not mine:
            return FAIL
        if len(mine) > 1 or not is_timestamp(mine[0]):
            return UNAVAILABLE
        return FAIL if state.known.as_of - mine[0] > pd.Timedelta(seconds=level.value) else PASS

    found = judged(levels_of(row, "max_reconciliation_age_s", state.config), check)
    return unless_reducing(found, row, state)


def potential_self_trade(row: Row, state: State) -> Finding:
    def check(_: Level) -> str:
        working = state.known.working_order_terms
        if working is None or has_null_key(working, "broker_account_id", "symbol"):
            return UNAVAILABLE
        theirs = [
            *(each for each in working if key_of(each) == key_of(row)),
            *state.orders(row, symbol=True),
        ]
        meets = [could_trade(row, each) for each in theirs]
        return FAIL if True in meets else UNAVAILABLE if None in meets else PASS

    return judged(levels_of(row, "block_self_trades", state.config), check)


AT_ANY_PRICE = ("market", "stop", "trailing_stop")


def could_trade(one: Row, other: Row) -> bool | None:
    """Return whether two orders of one symbol could trade with each other; None where that is unknown."""
    sides = (one.get("side"), other.get("side"))
    if other.get("side") not in ("buy", "sell"):
        return None
    if sides[0] == sides[1]:
        return False
    prices = {}
    for order in (one, other):
        order_type = order["order_type"] if given(order, "order_type") else "market"
        if order_type in AT_ANY_PRICE:
            prices[order["side"]] = Decimal("Infinity") if order["side"] == "buy" else Decimal(0)
        elif not is_quantity(order.get("limit_price")):
            return None
        else:
            prices[order["side"]] = exact(order["limit_price"])
    return prices["buy"] >= prices["sell"]
