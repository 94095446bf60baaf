"""What rules found, in words."""

from __future__ import annotations

import subprocess
from typing import Any

import pandas as pd
import pytest

from engine import RiskConfig
from engine.risk.book import LIMIT_BY_KEY
from engine.risk.limits_file.parsing import parse_limits_file
from engine.text.printable import is_printable
from jobs.wording import shell_word, verdict, why_refused
from tests.engine.risk.tables import HEAD

CONTEXT: dict[str, Any] = {"down": {}, "unavailable": {}}


def row(check: str, **said: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"action": "new", "symbol": "SPY", "broker_account_id": "paper", "side": "buy"}
    told |= {"qty": 1.0, "limit_source": "none", "current_qty": 10.0, "reason": "position_unreconciled"}
    return {**told, "check_position_unreconciled": check, **said}


AGREED = "broker and ledger agree about SPY in paper, or the order only shrinks what is held"
DISAGREED = (
    "broker and ledger disagree about SPY in paper, and the difference is not accepted: until then only "
    "orders pass that shrink what is held (10), whatever else fills; `execution-engine sync` shows the "
    "break and what to do"
)


@pytest.mark.parametrize(("check", "expected"), [("pass", AGREED), ("fail", DISAGREED)])
def test_an_unreconciled_position_is_explained(check: str, expected: str) -> None:
    assert verdict("position_unreconciled", row(check), CONTEXT) == expected


def test_a_cancel_learns_that_breaks_do_not_concern_it() -> None:
    said = verdict("position_unreconciled", row("off", action="cancel"), CONTEXT)
    assert said == "does not apply to cancels"


def test_why_breaks_are_unknown_is_reported() -> None:
    context = {**CONTEXT, "unavailable": {"unreconciled": "the sync failed."}}
    refused = row("unavailable", reason="risk_data_unavailable")
    assert why_refused(refused, context) == "could not be judged (unreconciled: the sync failed)"


def test_an_unreconciled_order_by_notional_has_no_known_quantity() -> None:
    refused = row("unavailable", reason="risk_data_unavailable", qty=None)
    said = why_refused(refused, CONTEXT)
    assert "an order by notional has no known quantity without a valid quote of SPY" in said
    context = {**CONTEXT, "unavailable": {"prices": "the file is gone."}}
    assert why_refused(refused, context) == "could not be judged (prices: the file is gone)"


@pytest.mark.parametrize(("side", "projected"), [("buy", 4.5), ("sell", -2.5)])
def test_the_position_of_an_order_by_notional_is_told_by_its_projection(side: str, projected: float) -> None:
    figures = {"current_qty": 1.0, "projected_qty": projected, "position_limit_qty": 2.0}
    said = verdict(
        "max_position_size_exceeded",
        row("pass", check_max_position_size_exceeded="fail", side=side, qty=None, **figures),
        CONTEXT,
    )
    assert f"1 held, {projected:g} with it and what was allowed and working before it, limit 2" in said


BEYOND_USUAL = "the order is for 25,000 shares, and [limits] allows 10 times the usual quantity"


@pytest.mark.parametrize(
    ("usual", "clause"),
    [
        (50.0, "the strategy usually asks for 50: an amount may have been entered as a quantity"),
        (None, "the strategy has no earlier order in the symbol to be compared with"),
    ],
)
def test_a_clause_whose_figure_is_unknown_is_left_out_or_replaced(usual: float | None, clause: str) -> None:
    rule = "quantity_looks_like_notional"
    figures = {"asked_qty": 25_000.0, "usual_qty": usual, "usual_ratio_limit": 10.0}
    refused = row("off", reason=rule, limit_source="[limits]", **{f"check_{rule}": "fail"}, **figures)
    assert verdict(rule, refused, CONTEXT) == f"{BEYOND_USUAL}; {clause}"


def test_what_is_wrong_with_a_quote_is_explained() -> None:
    refused = row("off", reason="unpriced", check_unpriced="fail", quote="wide")
    said = "a limit needs its price, and its quote is wide (its spread is above max_spread_pct)"
    assert why_refused(refused, CONTEXT) == said
    passed = verdict("unpriced", row("off", check_unpriced="pass", quote="wide"), CONTEXT)
    assert passed == "the order passes, though its quote is wide (its spread is above max_spread_pct)"
    unknown = row(
        "off", reason="risk_data_unavailable", quote="stale", check_price_collar_breached="unavailable"
    )
    said = "could not be judged (its quote is stale (it is older than max_quote_age_s))"
    assert why_refused(unknown, CONTEXT) == said


QUOTED = {"judged_bid": 87.6, "judged_ask": 107.07, "judged_quote_at": pd.Timestamp("2026-03-02T13:29:00Z")}


@pytest.mark.parametrize(
    ("quote", "said"),
    [
        ("stale", "of 2026-03-02 13:29:00 UTC; at most 30 s by [limits]"),
        ("wide", "87.6 bid, 107.07 ask; at most 4 % of the mid by [limits]"),
    ],
)
def test_the_quote_and_its_limit_are_told(quote: str, said: str) -> None:
    content = f"{HEAD}[limits]\nmax_quote_age_s = 30\nmax_spread_pct = 4\n"
    limits = parse_limits_file(content, path="limits.toml", known=LIMIT_BY_KEY)
    refused = row("off", reason="unpriced", check_unpriced="fail", quote=quote, strategy_id="mom", **QUOTED)
    assert why_refused(refused, CONTEXT | {"limits": RiskConfig(limits_file=limits)}).endswith(said)


def test_a_source_that_several_rules_lack_is_told_once() -> None:
    missing = dict.fromkeys(("check_price_collar_breached", "check_unpriced"), "unavailable")
    refused = row("pass", reason="risk_data_unavailable", **missing)
    context = CONTEXT | {"unavailable": {"prices": "the file is gone."}}
    assert why_refused(refused, context) == "could not be judged (prices: the file is gone)"


def test_what_is_held_without_a_quote_is_named_where_it_makes_an_exposure_unknown() -> None:
    refused = row("pass", reason="risk_data_unavailable", check_max_gross_exposure_exceeded="unavailable")
    context = CONTEXT | {"unvalued": lambda: {"paper": {"XOM": "stale", "KO": "intents"}}}
    assert why_refused(refused, context) == (
        "could not be judged (what paper holds or has working can't be valued: "
        "KO (EXEC_PRICES=intents has no quotes), XOM (its quote is stale (it is older than max_quote_age_s)))"
    )


def test_dollars_are_explained_with_two_decimals() -> None:
    figures = {"order_notional_usd": 1234567.891, "order_notional_limit_usd": 25_000.0}
    rule = "max_order_notional_exceeded"
    refused = row("off", reason=rule, limit_source="[limits]", **{f"check_{rule}": "fail"}, **figures)
    said = "the order is worth 1,234,567.89 USD, limit 25,000.00 USD set by [limits]"
    assert verdict(rule, refused, CONTEXT) == said
    beyond = {**refused, "order_notional_usd": 4e12}
    assert "the order is worth at least 4,000,000,000,000.00 USD, limit 25,000.00" in verdict(
        rule, beyond, CONTEXT
    )
    passed = {**refused, f"check_{rule}": "pass", "order_notional_usd": 6005.0}
    assert verdict(rule, passed, CONTEXT) == "order notional 6,005.00 USD, order notional limit 25,000.00 USD"


def test_its_quantity_is_told_where_the_bid_is_on_record() -> None:
    figures = {"current_qty": 1.0, "projected_qty": 7.0, "position_limit_qty": 5.0, "judged_bid": 33.0}
    refused = row("pass", check_max_position_size_exceeded="fail", qty=None, notional=99.0, **figures)
    context = CONTEXT | {"config": {"position_projection": "net"}}
    assert verdict("max_position_size_exceeded", refused, context) == (
        "1 held, +3 pending before it, +3 with it (99 USD at the bid of 33): 7, limit 5 either way"
    )


@pytest.mark.parametrize(
    "text",
    ["a.csv", "a b", "it's", 'say "x"', "$HOME `id`", "a\nb", "it's\n\\n", "\u202eabc", "\u00fc\u200b",
     "\udce4\t", ""],
)  # fmt: skip
def test_a_word_of_a_command_is_what_bash_reads_and_printable(text: str) -> None:
    word = shell_word(text)
    read = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True).stdout
    assert read.decode(errors="surrogateescape") == text
    assert is_printable(word)
