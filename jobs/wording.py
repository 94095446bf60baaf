"""Orders, outcomes and verdicts in words, with their figures."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from fractions import Fraction
from string import Formatter
from typing import Any

from pandas import NaT

from engine.model.money import LARGEST_AMOUNT, MONEY_UNITS
from engine.model.orders import FINAL_STATUSES
from engine.model.quantity import UNITS
from engine.risk.book import RULE_BY_NAME
from engine.risk.rule import Rule
from engine.text.printable import is_printable
from jobs.quote_words import tightest, unusable, what_is_unvalued
from jobs.stops_and_overrides import why_halted, why_reducing

Row = Mapping[str, Any]
"""One intent's columns: those of the batch, of the decisions and of the results; None where missing."""


def number(value: float | None) -> str:
    """Return a number as a person would write it, exactly."""
    if value is None:
        return "unknown"
    text = f"{value:,.9f}".rstrip("0").rstrip(".")
    return text if text not in {"-0", ""} else "0"


def amount(qty: float | None, notional: float | None) -> str:
    """Return how much an order is for: ``60``, or ``150 USD of``."""
    return f"{number(notional)} USD of" if qty is None and notional is not None else number(qty)


def counted(count: int, one: str, many: str = "") -> str:
    """Return a count with its words: ``1 order is``, ``2 orders are``."""
    return f"{count:,} {one}" if count == 1 else f"{count:,} {many or one + 's'}"


def order(row: Row) -> str:
    """Return an order in a few words: ``buy 60 SPY, limit 412.5``."""
    if row["action"] == "cancel":
        return f"cancel {row['target_intent_id']}"
    prices = [
        f"{name} {number(row[column])}"
        for name, column in (("limit", "limit_price"), ("stop", "stop_price"), ("trail", "trail_price"))
        if row[column] is not None
    ]
    if row["trail_percent"] is not None:
        prices.append(f"trail {number(row['trail_percent'])} %")
    what = f"{row['side']} {amount(row['qty'], row['notional'])} {row['symbol']}"
    return ", ".join([what, *(prices or [str(row["order_type"])])])


def outcome(row: Row) -> str:
    """Return the outcome of an allowed intent: filled, open, cancelled, or why it was not sent."""
    status, message = row["status"], str(row["message"] or "").rstrip(".")
    if status == "placed":
        text = _order_now(row)
        return f"{text} ({message})" if message else text
    if status in {"dry_run", "canceled", "cancel_requested", "too_late"}:
        return message
    return f"{status}, {row['outcome_reason']}: {message}"


def _order_now(row: Row) -> str:
    """Return an order's state: ``filled 60 at 659.05``, ``open at the broker (new)``."""
    filled, status = row["filled_qty"] or 0.0, row["order_status"]
    price = "" if row["filled_avg_price"] is None else f" at {number(row['filled_avg_price'])}"
    if status == "filled":
        return f"filled {number(filled)}{price}"
    much = "" if row["order_qty"] is None else f" of {number(row['order_qty'])}"
    part = f", {number(filled)}{much} filled{price}" if filled else ""
    return f"{status}{part}" if status in FINAL_STATUSES else f"open at the broker ({status}){part}"


def verdict(rule: str, row: Row, context: Mapping[str, Any]) -> str:
    """Return a rule's verdict as a sentence, with its figures.

    ``context``: ``as_of``, ``config``, ``kill_switch_why``, ``unavailable`` (why, by source) of the run.
    """
    answer = row[f"check_{rule}"]
    if answer == "off":
        return "does not apply to cancels" if row["action"] == "cancel" else "not configured"
    if answer == "unavailable":
        return _unavailable(rule, row, context)
    if rule == "kill_switch_enabled":
        return _why_stopped(row, context) if answer == "fail" else "no kill switch was on"
    if rule == "reduce_only" and answer == "fail":
        return why_reducing(row, context["trading_states"]) or "the order does not reduce a position"
    if rule == "invalid_intent":
        return (
            "the row breaks the intent contract" if answer == "fail" else "the row keeps the intent contract"
        )
    if rule == "account_not_configured":
        names = ", ".join(context["config"]["accounts"])
        return f"{row['broker_account_id']} is {'not ' if answer == 'fail' else ''}among {names}"
    if rule == "duplicate_intent":
        return "an intent before it has this id" if answer == "fail" else "no intent before it has this id"
    if rule == "intent_expired":
        return _expiry(row, context)
    if rule == "position_unreconciled":
        return _unreconciled(row)
    if rule == "unpriced":
        failed = f"a limit needs its price, and {unusable(row, context)}"
        is_usable = row.get("quote") in (None, "ok")
        passed = (
            "its quote can be used" if is_usable else f"the order passes, though {unusable(row, context)}"
        )
        return passed if answer == "pass" else failed
    if rule == "max_daily_trades_exceeded":
        limit = number(row["trades_limit"])
        words = f"{number(row['trades_today'])} trades counted before it, limit {limit} a session"
        return words + _set_by(rule, row)
    if rule == "max_position_size_exceeded":
        return _position(row, context) + _set_by(rule, row)
    return _by_the_book(rule, row)


class _Number(float):
    """A figure in a sentence: without a format of its own, as a person would write it, exactly.

    An amount that is larger than any that rules count is known as at least so much.
    """

    def __format__(self, spec: str) -> str:
        text = super().__format__(spec) if spec else number(float(self))
        return f"at least {text}" if spec == _CENTS and self >= LARGEST_AMOUNT / MONEY_UNITS else text


_CENTS = ",.2f"


def _by_the_book(rule: str, row: Row) -> str:
    """Return the sentence that a rule's own file gives, or, where it passes, its figures."""
    known = RULE_BY_NAME[rule]
    numbers = {figure.name: row.get(figure.name) for figure in known.figures}
    figures = {name: _Number(value) for name, value in numbers.items() if value is not None}
    if row[f"check_{rule}"] == "fail":
        return _sentence(known.explain, {**figures, "limit_source": _source(rule, row) or "its limit"})
    shown = [_named(name, value) for name, value in figures.items()]
    return ", ".join(shown) or "nothing stands against it"


def _named(name: str, value: _Number) -> str:
    """Return a figure with its name: ``order notional 6,005.00 USD``, ``usual qty 5``."""
    words = name.removesuffix("_usd").removesuffix("_pct").replace("_", " ")
    if name.endswith("_usd"):
        return f"{words} {value:,.2f} USD"
    return f"{words} {value} %" if name.endswith("_pct") else f"{words} {value}"


def _sentence(explain: str, figures: Mapping[str, Any]) -> str:
    """Return the clauses of a sentence whose figures are known, and those that stand for the others."""
    clauses, is_left_out = [], False
    for clause in explain.split("; "):
        words = clause.removeprefix("else ")
        if words == clause or is_left_out:
            is_left_out = not {name for _, name, _, _ in Formatter().parse(words) if name} <= figures.keys()
            clauses += [] if is_left_out else [words.format_map(figures)]
    return "; ".join(clauses)


def _source(rule: str, row: Row) -> str:
    """Return the level by which a rule refused a row, "" where another rule refused it first."""
    source = str(row.get("limit_source") or "none")
    return source if row["reason"] == rule and source != "none" else ""


def _set_by(rule: str, row: Row) -> str:
    """Return the words that name a level of the limits file, "" for the limit that a variable sets."""
    source, limit = _source(rule, row), RULE_BY_NAME[rule].limit
    words = "" if not source or (limit is not None and source == limit.env) else f", set by {source}"
    total = row["projected_qty"] if rule == "max_position_size_exceeded" else row["trades_today"] + 1
    most = row["position_limit_qty"] if rule == "max_position_size_exceeded" else row["trades_limit"]
    if row[f"check_{rule}"] == "fail" and source and abs(total) <= most:
        words += ", and more than its strategy's share of what is left"
    return words


def _why_stopped(row: Row, context: Mapping[str, Any]) -> str:
    """Return what stopped an intent: a halt of its scope, or else the kill switch."""
    switch = str(context["kill_switch_why"])
    return switch if context["kill_switch"] else why_halted(row, context["trading_states"]) or switch


def why_refused(row: Row, context: Mapping[str, Any]) -> str:
    """Return why an intent was refused, with the figures."""
    reason = str(row["reason"])
    if reason != "risk_data_unavailable":
        return verdict(reason, row, context)
    checks = [name.removeprefix("check_") for name in row if name.startswith("check_")]
    verdicts = [verdict(rule, row, context) for rule in checks if row[f"check_{rule}"] == "unavailable"]
    return "; ".join(dict.fromkeys(verdicts))


def _unreconciled(row: Row) -> str:
    whose = f"{row['symbol']} in {row['broker_account_id']}"
    if row["check_position_unreconciled"] == "pass":
        return f"broker and ledger agree about {whose}, or the order only shrinks what is held"
    return (
        f"broker and ledger disagree about {whose}, and the difference is not accepted: until then only "
        f"orders pass that shrink what is held ({number(row['current_qty'])}), whatever else fills; "
        f"`execution-engine sync` shows the break and what to do"
    )


def _position(row: Row, context: Mapping[str, Any]) -> str:
    limit = number(row["position_limit_qty"])
    parts = f"{number(row['current_qty'])} held"
    qty, bought = row["qty"], ""
    if qty is None:
        bid = row.get("judged_bid")
        if bid is None:
            with_it = f"{number(row['projected_qty'])} with it and what was allowed and working before it"
            return f"{parts}, {with_it}, limit {limit} either way; its quantity is its notional at the bid"
        qty = _shares_for(row["notional"], bid)
        bought = f" ({number(row['notional'])} USD at the bid of {number(bid)})"
    asked = qty if row["side"] == "buy" else -qty
    pending = row["projected_qty"] - row["current_qty"] - asked
    if abs(pending) >= 5e-10:
        kind = "buys" if row["side"] == "buy" else "sells"
        what = (
            f"allowed and working {kind}" if context["config"]["position_projection"] != "net" else "pending"
        )
        parts += f", {_signed(pending)} {what} before it"
    return (
        f"{parts}, {_signed(asked)} with it{bought}: {number(row['projected_qty'])}, limit {limit} either way"
    )


def _shares_for(notional: float, bid: float) -> float:
    """Return the shares that a notional buys at the bid, rounded up as the rules round them."""
    return math.ceil(Fraction(repr(notional)) / Fraction(repr(bid)) * UNITS) / UNITS


def _signed(value: float) -> str:
    return ("+" if value >= 0 else "") + number(value)


def _expiry(row: Row, context: Mapping[str, Any]) -> str:
    valid_until, oldest = row["valid_until"], tightest("intent_max_age_s", row, context["limits"])
    limits = [] if valid_until is None else [f"valid until {timestamp(valid_until)}"]
    if oldest is not None:
        allowed = f"{number(oldest.value)} s by {oldest.source}"
        limits.append(f"created {timestamp(row['created_at'])}, oldest allowed {allowed}")
    if not limits:
        return "it has no valid_until, and no age limit is set"
    return f"{'; '.join(limits)}; judged at {timestamp(context['as_of'])}"


def _frames_of(rule: Rule) -> tuple[str, ...]:
    """Return the input frames that a rule reads."""
    of_a_key = [frame for frames in rule.reads_by_key.values() for frame in frames]
    position = ("positions", "working_orders") if rule.reducing != "judged" or rule.counter else ()
    return (*rule.reads, *rule.reads_by_level, *of_a_key, *position, "trading_states")


def _unavailable(rule: str, row: Row, context: Mapping[str, Any]) -> str:
    sources = {
        "position_unreconciled": ("unreconciled", "positions", "working_orders"),
        "max_daily_trades_exceeded": ("daily_trades", "working_orders"),
        "max_position_size_exceeded": ("positions", "working_orders"),
    }.get(rule, _frames_of(RULE_BY_NAME[rule]))
    account = row["broker_account_id"]
    if account in context["down"]:
        return f"account {account} could not be traded: {context['down'][account]}"
    by_notional = rule in {"position_unreconciled", "max_position_size_exceeded"} and row["qty"] is None
    if by_notional:
        sources = (*sources, "prices")
    why = [f"{name}: {context['unavailable'][name]}" for name in sources if name in context["unavailable"]]
    if not why and by_notional:
        symbol = row["symbol"]
        text = f"an order by notional has no known quantity without a valid quote of {symbol}"
        why = [f"{text}; EXEC_PRICES names the source of quotes"]
    if not why and "prices" in sources and row.get("quote") not in (None, "ok"):
        why = [unusable(row, context)]
    if not why and _values_what_is_held(rule):
        why = [text for text in (what_is_unvalued(account, context),) if text]
    if not why:
        why = ["the figures for this account or symbol are missing, stale or contradictory"]
    return f"could not be judged ({'; '.join(dict.fromkeys(reason.rstrip('.') for reason in why))})"


def _values_what_is_held(rule: str) -> bool:
    return {"prices", "working_order_terms"} <= {*RULE_BY_NAME[rule].reads}


def quotes(row: Row) -> list[str]:
    """Return the quotes by which an order was judged, and at which it was sent, as sentences.

    Without those that are unknown; results of an earlier version have none.
    """
    sentences = []
    for what, prefix in (("The quote it was judged by", "judged"), ("The quote when it was sent", "sent")):
        bid, ask, quote_at = (row.get(f"{prefix}_{name}") for name in ("bid", "ask", "quote_at"))
        if quote_at is not None and not (bid is None and ask is None):
            sentences.append(f"{what}: {number(bid)} bid, {number(ask)} ask, of {timestamp(quote_at)}.")
    return sentences


def timestamp(value: Any) -> str:
    """Return a timestamp to the second, in UTC; NaT is "unknown"."""
    if isinstance(value, type(NaT)):
        return "unknown"
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"


def shell_word(text: str) -> str:
    """Return a text as one word of a command for bash, printable whatever the text holds."""
    if is_printable(text):
        return shlex.quote(text)
    return f"$'{''.join(map(_in_ansi_quotes, text))}'"


def _in_ansi_quotes(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if is_printable(character):
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogateescape"))
