"""What a column's name says: a field, an order term under another name, an index, or metadata."""

from __future__ import annotations

import time

import pytest

from engine.intents.column_names import is_index_name, order_term, shown_name
from engine.intents.order_terms import FREE, SYNONYMS, WITHOUT_FIELD
from engine.intents.translated_terms import TRANSLATED
from engine.model.field_names import field_named, folded
from engine.model.schema import FIELD_BY_NAME

FOLDED = {
    "Order_Type": "order_type",
    "orderType": "order_type",
    "ORDER TYPE": "order_type",
    "order-type": "order_type",
    " limit__price ": "limit_price",
    "LIMIT PRICE": "limit_price",
    "Valid_Until": "valid_until",
    "timeInForce": "time_in_force",
    "Take-Profit Limit_Price": "take_profit_limit_price",
    "Qty": "qty",
    "SIDE": "side",
    "Meta_Data": "metadata",
    "clientIntentID": "client_intent_id",
}

MEANT = {
    # as people and brokers write
    "type": "order_type",
    "tif": "time_in_force",
    "lmt": "limit_price",
    "stop": "stop_price",
    "trail": "trail_price",
    "expires": "valid_until",
    "account": "broker_account_id",
    "ticker": "symbol",
    "shares": "qty",
    "quantity": "qty",
    "OrdType": "order_type",
    "OrderQty": "qty",
    "StopPx": "stop_price",
    "ClOrdID": "client_intent_id",
    "OrigClOrdID": "target_intent_id",
    "CashOrderQty": "notional",
    "TransactTime": "created_at",
    "ExpireTime": "valid_until",
    "lmtPrice": "limit_price",
    "auxPrice": "stop_price",
    "totalQuantity": "qty",
    "secType": "asset_class",
    "goodTillDate": "valid_until",
    "outsideRth": "extended_hours",
    "client_order_id": "client_intent_id",
    "order_id": "client_intent_id",
    "id": "client_intent_id",
    "strategy": "strategy_id",
    "buy_sell": "side",
    "Direction": "side",
    "size": "qty",
    "units": "qty",
    "limit": "limit_price",
    "expiry": "valid_until",
    "good_till": "valid_until",
    "ext_hours": "extended_hours",
    "trail_pct": "trail_percent",
    "take_profit": "take_profit_limit_price",
    "stop_loss": "stop_loss_stop_price",
    "tp": "take_profit_limit_price",
    "sl": "stop_loss_stop_price",
    "slippage": "estimated_slippage",
    "cancel": "action",
    # around a field
    "order.qty": "qty",
    "order_symbol": "symbol",
    "take_profit.limit_price": "take_profit_limit_price",
    "limit_price_usd": "limit_price",
    "notional_usd": "notional",
    "Limit Price ($)": "limit_price",
    "order_type_x": "order_type",
    "qty.1": "qty",
    "qty_2": "qty",
    # misspelt
    "limit_prise": "limit_price",
    "limt_prce": "limit_price",
    "stop_prize": "stop_price",
    "qtty": "qty",
    "symbl": "symbol",
    "odrer_type": "order_type",
    "time_in_froce": "time_in_force",
    "notionl": "notional",
    "quantitiy": "qty",
    "instrumnt": "symbol",
    # with words around it
    "tif_code": "time_in_force",
    "px_lmt": "limit_price",
    "final_limit_price": "limit_price",
    "params__limit_price": "limit_price",
    "('order', 'limit_price')": "limit_price",
    "isGTC": "time_in_force",
    "stopPrice1": "stop_price",
    "desired_price_usd": "limit_price, or reference_price where it is for comparing",
    "limit_price_" + "which_we_would_like_to_pay_" * 3: "limit_price",
    # what sets a bound without the words of a field
    "limit_sell": "limit_price",
    "cap_price": "limit_price",
    "buy_below": "limit_price",
    "max_entry_price": "limit_price",
    "worstAcceptablePrice": "limit_price",
    "max_slippage_bps": "limit_price",
    "hard_stop": "stop_price",
    "stop_out_price": "stop_price",
    "limit_type": "order_type",
    "live_until": "valid_until",
    "expires_at_utc": "valid_until",
    # short, as a desk writes
    "best_price": "limit_price",
    "lp": "limit_price",
    "lpx": "limit_price",
    "px": "limit_price, or reference_price where it is for comparing",
    "upper_limit": "limit_price",
    "pt": "take_profit_limit_price",
    "pt1": "take_profit_limit_price",
    "PT_2": "take_profit_limit_price",
    "tgt_px": "take_profit_limit_price",
    "tp_pips": "take_profit_limit_price",
    "sl_pips": "stop_loss_stop_price",
    "hard_sl": "stop_loss_stop_price",
    "max_loss": "stop_loss_stop_price",
    "stop_bps": "stop_price",
    "invalidation_price": "stop_price",
    "trail_sl": "trail_price",
    "done_by": "valid_until",
    "valid": "valid_until",
    "at_open": "time_in_force",
    "opg": "time_in_force",
    "sz": "qty",
    "usd": "notional",
    "dir": "side",
    # in other languages
    "Preis": "limit_price, or reference_price where it is for comparing",
    "prix limite": "limit_price",
    "Stückzahl": "qty",
    "Größe": "qty",
    "Gültig_bis": "valid_until",
    "tipo": "order_type",
    # another name of the instrument or the session
    "isin": "symbol",
    "conid": "symbol",
    "session": "extended_hours",
    # what looks the same
    "\uff4c\uff49\uff4d\uff49\uff54_price": "limit_price",
    "limit_\u0440rice": "limit_price",
    "limit_price\u200b": "limit_price",
    "limit\u00a0price": "limit_price",
    "l\u00edmit_price": "limit_price",
    "\u0455\u0456\u0501\u0435": "side",
    "\u03bfrder_type": "order_type",
    "t\u0443pe": "order_type",
}

WITHOUT = [
    "position_intent",
    "PositionEffect",
    "reduce_only",
    "post_only",
    "iceberg_qty",
    "MinQty",
    "all_or_none",
    "parentId",
    "ocaGroup",
    "goodAfterTime",
    "scheduled_at",
    "strike",
    "putCall",
    "dry_run",
    "paper",
    "enabled",
    "order",
    "legs",
    "exit_by",
    "close_at",
    "flat_by",
    "send_time",
    "urgency",
]

IN_ANOTHER_SCRIPT = [
    "价格",
    "限价",
    "цена",
    "备注",
    "가격",
    "価格",
    "السعر",
    "מחיר",
    "τιμή",
    "कीमत",
    "note_中",
]

METADATA = [
    "\u03c3_20d",
    "\u0394p",
    "\u03b2",
    "value",
    "session_id",
    "signal_value",
    "limit_price_note",
    "metadata.limit_price",
    "training",
    "quantile",
    "mid_price",
    "signal",
    "signal_time",
    "signal_hash",
    "signal_strength",
    "score",
    "z_score",
    "zscore_5d",
    "rank",
    "alpha",
    "beta",
    "weight",
    "confidence",
    "probability",
    "horizon",
    "regime",
    "features",
    "note",
    "notes",
    "comment",
    "comments",
    "reason",
    "why",
    "tag",
    "tags",
    "source",
    "source_file",
    "source_row",
    "content_hash",
    "timestamp",
    "ts",
    "date",
    "time",
    "datetime",
    "bar_time",
    "generated_at",
    "asof",
    "as_of",
    "run_id",
    "run_time",
    "model",
    "model_version",
    "version",
    "batch",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "vwap_20d",
    "vwap",
    "vwap_20",
    "ex_date",
    "shares_float",
    "trade_count",
    "last_price",
    "mid",
    "bid",
    "ask",
    "spread",
    "atr",
    "volatility",
    "sector",
    "industry",
    "country",
    "exchange",
    "name",
    "description",
    "portfolio",
    "book",
    "desk",
    "trader",
    "user",
    "pnl",
    "expected_return",
    "position",
    "current_qty",
    "filled_qty",
    "market_cap",
    "entry_reason",
    "exit_reason",
    "stop_reason",
    "limit_price_source",
    "order_time",
    "created_by",
    "trade_price",
    "spot_price",
    "strategy_v2",
    "strategy_return",
    "symbol_count",
    "status",
    "state",
    "fee",
    "commission",
    "tax",
    "cash",
    "index",
    "level_0",
    "raw",
    "deep",
    "fundamentals",
    "momentum_12_1",
    "dollar_volume",
    "adv",
    "hash",
    "seed",
    "node",
    "host",
    "market",
    "buy",
    "sell",
    "day",
    # alike in letters, and no order terms
    *(
        "fair_value",
        "score_2",
        "fv",
        "lp_norm",
        "lp_score",
        "pt_score",
        "lps",
        "ptile",
        "npt",
        "slope",
        "spx",
    ),
    *("best_bid", "best_ask", "best_model", "best_score", "bid_price", "ask_px", "bid_size", "fill_price"),
    *("exit_time", "exit_date", "exit_signal", "entry_signal", "entry_atr", "stop_hit", "max_drawdown"),
    *("direction_score", "direct", "usd_return", "usdjpy", "validation_score", "validated", "size_factor"),
    *(
        "expected_return_bps",
        "edge_bps",
        "atr_pct",
        "target_weight",
        "offset",
        "cap",
        "risk_budget",
        "test_score",
    ),
    *(
        "theo",
        "mark_price",
        "prev_close",
        "high_52w",
        "price_change_pct",
        "price_zscore",
        "momentum",
        "kelly",
    ),
]


@pytest.mark.parametrize("name", FOLDED)
def test_a_field_is_matched_without_case_blanks_underscores_and_hyphens(name: str) -> None:
    assert field_named(name) == FOLDED[name]
    assert order_term(name) is None


@pytest.mark.parametrize("field", FIELD_BY_NAME)
def test_each_field_is_itself_in_every_usual_spelling(field: str) -> None:
    words = field.split("_")
    camel = words[0] + "".join(word.capitalize() for word in words[1:])
    for name in (field, field.upper(), camel, " ".join(words).title(), "-".join(words), "".join(words)):
        assert field_named(name) == field


@pytest.mark.parametrize("name", MEANT)
def test_an_order_term_under_another_name_is_refused_with_the_field_that_is_meant(name: str) -> None:
    term = order_term(name)
    assert field_named(name) is None
    assert term is not None
    assert term.meant == MEANT[name]
    assert f"Did you mean {MEANT[name]}?" in term.remedy


@pytest.mark.parametrize(
    ("name", "choice"), [("price", "reference_price"), ("Px", "limit_price"), ("amount", "notional")]
)
def test_where_two_fields_may_be_meant_both_are_named(name: str, choice: str) -> None:
    term = order_term(name)
    assert term is not None
    assert choice in term.remedy


@pytest.mark.parametrize("name", WITHOUT)
def test_an_order_term_that_no_field_says_is_refused_too(name: str) -> None:
    term = order_term(name)
    assert term is not None
    assert term.remedy.startswith("The engine has no such order term: leave it out")


@pytest.mark.parametrize("name", IN_ANOTHER_SCRIPT)
def test_a_name_in_another_script_is_refused_since_it_may_be_an_order_term(name: str) -> None:
    term = order_term(name)
    assert term is not None
    assert "Latin letters" in term.rule
    assert term.remedy == "Rename it, or keep it in a metadata object if it is for information only."


def test_a_currency_is_refused_unless_it_is_the_one_that_prices_are_in() -> None:
    term = order_term("Currency")
    assert term is not None
    assert (term.is_said_by("EUR"), term.is_said_by(" usd ")) == (True, False)


@pytest.mark.parametrize("name", METADATA)
def test_other_names_are_metadata(name: str) -> None:
    assert (field_named(name), order_term(name), is_index_name(name)) == (None, None, False)


@pytest.mark.parametrize(
    "name", ["Unnamed: 0", "Unnamed: 12", "Unnamed: 0.1", "__index_level_0__", "__index_level_3__"]
)
def test_an_index_without_a_name_is_recognised(name: str) -> None:
    assert is_index_name(name)
    assert order_term(name) is None


@pytest.mark.parametrize("name", ["Unnamed", "unnamed_signal", "index", "__index__", "x__index_level_0__"])
def test_other_names_are_no_index(name: str) -> None:
    assert not is_index_name(name)


def test_a_synonym_is_no_field_stands_once_and_means_fields_that_exist() -> None:
    names = [name for listed in (*SYNONYMS.values(), WITHOUT_FIELD, FREE) for name in listed.split()]
    assert len({folded(name) for name in names}) == len(names)
    assert [name for name in names if field_named(name)] == []
    assert all(
        FIELD_BY_NAME.keys() & set(meant.replace(",", "").split()) for meant in {**SYNONYMS, **TRANSLATED}
    )


@pytest.mark.parametrize("listed", [*SYNONYMS.values(), *TRANSLATED.values(), WITHOUT_FIELD])
def test_each_name_of_the_table_is_refused_in_other_spellings_too(listed: str) -> None:
    for name in listed.split():
        for spelt in (
            name,
            name.upper(),
            name.replace("_", " "),
            name.replace("_", "-"),
            name.replace("_", ""),
        ):
            assert order_term(spelt) is not None, spelt


def test_a_long_or_hostile_name_is_metadata_and_shown_short() -> None:
    for name in ("limitprice" * 1000, "\u202e" * 200, "", "\x00", "a" * 65):
        assert order_term(name) is None
        assert len(shown_name(name)) <= 80
        assert shown_name(name).isprintable()


def test_a_thousand_names_are_looked_at_in_no_time() -> None:
    begun = time.process_time()
    for number in range(1000):
        order_term(
            f"limit_prce_{chr(97 + number % 26)}{chr(97 + number // 26 % 26)}{chr(97 + number // 676)}"
        )
    assert time.process_time() - begun < 1.0
