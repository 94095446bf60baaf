"""Columns, types, units and keys of every frame that the engine reads or writes.

``INTENT_FIELDS`` is the contract's list of fields of an intent, in the order in which problems are
reported and in which the sealed batch keeps its columns. The rules between fields are in ``contract``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["text", "upper", "symbol", "enum", "quantity", "number", "flag", "time", "json"]

SIDES = ("buy", "sell")
ACTIONS = ("new", "cancel")
ORDER_TYPES = ("market", "limit", "stop", "stop_limit", "trailing_stop")
TIMES_IN_FORCE = ("day", "gtc", "opg", "cls", "ioc", "fok")
ORDER_CLASSES = ("simple", "bracket", "oto", "oco")

ID_PATTERN = r"[A-Za-z0-9_-]{1,48}"
SYMBOL_PATTERN = r"[A-Z0-9./-]{1,32}"
TEXT_LENGTH = 128

CLOCK_SKEW_LIMIT_S = 5.0
"""The largest difference of two clocks: far below any age limit, far above a synchronized clock's drift."""

FILE_ENDINGS = (".json", ".jsonl", ".ndjson", ".csv", ".parquet")
"""Suffixes of intent files; each may be followed by ``.gz``."""


@dataclass(frozen=True)
class Field:
    """One field of an intent.

    ``kind``: ``text`` (trimmed), ``upper`` (text in capitals), ``symbol`` (in its canonical form,
    ``engine.model.symbols``), ``enum`` (one of ``choices``, lower-case), ``quantity`` (a positive float64
    below 1e9 with at most 9 decimals and 15 significant digits, prices included), ``number`` (any finite
    float64), ``flag``, ``time`` (with a zone) or ``json`` (an object).
    """

    name: str
    kind: Kind
    required: bool = False
    default: str | None = None
    choices: tuple[str, ...] = ()


INTENT_FIELDS = (
    Field("client_intent_id", "text"),
    Field("strategy_id", "text", required=True),
    Field("broker_account_id", "text", required=True),
    Field("symbol", "symbol", required=True),
    Field("side", "enum", required=True, choices=SIDES),
    Field("qty", "quantity", required=True),
    Field("notional", "quantity"),
    Field("asset_class", "upper", default="EQUITY"),
    Field("order_type", "enum", default="market", choices=ORDER_TYPES),
    Field("time_in_force", "enum", default="day", choices=TIMES_IN_FORCE),
    Field("limit_price", "quantity"),
    Field("stop_price", "quantity"),
    Field("trail_price", "quantity"),
    Field("trail_percent", "quantity"),
    Field("extended_hours", "flag", default="false"),
    Field("order_class", "enum", default="simple", choices=ORDER_CLASSES),
    Field("take_profit_limit_price", "quantity"),
    Field("stop_loss_stop_price", "quantity"),
    Field("stop_loss_limit_price", "quantity"),
    Field("estimated_slippage", "number"),
    Field("reference_price", "quantity"),
    Field("created_at", "time"),
    Field("valid_until", "time"),
    Field("action", "enum", default="new", choices=ACTIONS),
    Field("target_intent_id", "text"),
    Field("metadata", "json"),
)
FIELD_BY_NAME = {field.name: field for field in INTENT_FIELDS}

DECISION_FIELDS = tuple(field.name for field in INTENT_FIELDS)
"""The fields that the decision function reads; metadata only for whether it can be kept."""

DECISION_COLUMNS = (*DECISION_FIELDS, "source_file")
"""The columns of a batch that the decision function reads."""

SOURCE_COLUMNS = ("source_file", "source_row", "content_hash")
"""Where a row came from: file name in the archive, 1-based row (line) in it, int64 hash of its content."""

FIGURES = ("current_qty", "projected_qty", "position_limit_qty", "trades_today", "trades_limit")
VERDICTS = ("pass", "fail", "off", "unavailable")
RESULT_STATUSES = (
    "rejected",
    "dry_run",
    "placed",
    "broker_rejected",
    "halted",
    "expired",
    "unresolved",
    "cancel_requested",
    "canceled",
    "too_late",
)
"""The last three are for cancels."""

BREAK_KINDS = (
    "late_fill",
    "manual_trade",
    "corporate_action",
    "unknown_order",
    "missing_order",
    "unbooked_order",
    "quantity_differs",
    "overfilled",
    "price_differs",
    "position_unexplained",
)
"""The kinds of breaks between broker and ledger (``engine.reconciliation.breaks_found``)."""


@cache
def intents_schema() -> pa.Schema:
    """Return the Arrow schema of ``intents.parquet``, the sealed batch."""
    import pyarrow as pa

    text = pa.dictionary(pa.int32(), pa.string())
    types = {
        "text": text,
        "upper": text,
        "symbol": text,
        "enum": text,
        "quantity": pa.float64(),
        "number": pa.float64(),
        "flag": pa.bool_(),
        "time": pa.timestamp("us", tz="UTC"),
        "json": pa.string(),
    }
    columns = [(field.name, types[field.kind]) for field in INTENT_FIELDS]
    columns[0] = ("client_intent_id", pa.string())
    return pa.schema(
        [*columns, ("source_file", text), ("source_row", pa.int64()), ("content_hash", pa.int64())]
    )


def inputs_schemas() -> dict[str, pa.Schema]:
    """Return the Arrow schemas of the recorded risk inputs, by file stem.

    ``engine.risk.inputs`` has their meaning. A record has a frame only where its run read it.
    """
    import pyarrow as pa

    text, number, flag = pa.string(), pa.float64(), pa.bool_()
    time = pa.timestamp("us", tz="UTC")
    account, symbol, strategy = ("broker_account_id", text), ("symbol", text), ("strategy_id", text)
    return {
        "positions": pa.schema([account, symbol, ("qty", number)]),
        "daily_trades": pa.schema([account, ("trades", number)]),
        "working_orders": pa.schema(
            [account, symbol, ("side", text), ("remaining_qty", number), ("remaining_notional", number)]
        ),
        "unreconciled": pa.schema([account, symbol, ("compared", flag)]),
        "strategy_positions": pa.schema([strategy, account, symbol, ("qty", number)]),
        "strategy_trades": pa.schema([strategy, account, symbol, ("trades", number)]),
        "working_order_terms": pa.schema(
            [
                *(account, symbol, strategy, ("side", text), ("remaining_qty", number)),
                *(("order_type", text), ("limit_price", number), ("stop_price", number)),
                *(("trail_price", number), ("trail_percent", number), ("remaining_notional", number)),
            ]
        ),
        "assets": pa.schema([symbol, ("tradable", flag), ("fractionable", flag), ("shortable", flag)]),
        "session_hours": pa.schema(
            [
                *(("opens_at", time), ("closes_at", time)),
                *(("extended_opens_at", time), ("extended_closes_at", time)),
            ]
        ),
        "earlier_orders": pa.schema(
            [
                *(account, strategy, symbol, ("side", text), ("qty", number), ("notional", number)),
                *(("order_type", text), ("limit_price", number), ("stop_price", number), ("sent_at", time)),
            ]
        ),
        "earlier_batches": pa.schema([strategy, ("run_id", text), ("orders", number), ("notional", number)]),
        "latches": pa.schema([strategy, ("rule", text), ("since", time), ("why", text), account]),
        "trading_states": pa.schema(
            [
                ("scope", text),
                ("name", text),
                ("state", text),
                ("since", time),
                ("set_by", text),
                ("why", text),
            ]
        ),
        "overrides": pa.schema(
            [
                *(("rule", text), ("client_intent_id", text), strategy, symbol),
                *(("approved_by", text), ("why", text), ("expires_on", text), ("file", text)),
            ]
        ),
        "reconciled": pa.schema([account, ("reconciled_at", time)]),
        "prices": pa.schema(
            [
                *(symbol, ("bid", number), ("ask", number), ("last", number), ("quote_at", time)),
                *(("source", text), ("feed", text), ("verdict", text)),
            ]
        ),
        "account_figures": pa.schema(
            [
                *(account, ("buying_power", number), ("cash", number), ("equity", number)),
                *(("start_equity", number), ("peak_equity", number)),
            ]
        ),
        "traded_notional": pa.schema([strategy, account, symbol, ("notional", number)]),
        "usual_quantities": pa.schema([strategy, symbol, ("qty", number)]),
        "average_volumes": pa.schema([symbol, ("shares", number), ("measured_on", text)]),
    }


JUDGED_QUOTE = ("judged_bid", "judged_ask", "judged_quote_at")
SENT_QUOTE = ("sent_bid", "sent_ask", "sent_quote_at")


def results_schema() -> pa.Schema:
    """Return the Arrow schema of ``results.parquet``: the outcome of each intent.

    ``JUDGED_QUOTE`` is the quote by which it was judged, ``SENT_QUOTE`` the one when its order was sent (USD
    per share, and its time): null where unknown. Records of earlier versions lack them.
    """
    import pyarrow as pa

    text = pa.dictionary(pa.int8(), pa.string())
    quote = (pa.float64(), pa.float64(), pa.timestamp("us", tz="UTC"))
    return pa.schema(
        [
            ("client_intent_id", pa.string()),
            ("status", text),
            ("reason", text),
            ("broker_order_id", pa.string()),
            ("order_status", text),
            ("order_qty", pa.float64()),
            ("filled_qty", pa.float64()),
            ("filled_avg_price", pa.float64()),
            ("attempted", pa.bool_()),
            ("adopted", pa.bool_()),
            ("message", pa.dictionary(pa.int32(), pa.string())),
            *zip(JUDGED_QUOTE, quote, strict=True),
            *zip(SENT_QUOTE, quote, strict=True),
        ]
    )


def fills_schema() -> pa.Schema:
    """Return the Arrow schema of ``fills.parquet``: one row per execution, as the broker reported it.

    ``qty`` (shares) and ``price`` are of this execution, ``cum_qty`` and ``leaves_qty`` of its order after
    it. ``client_intent_id`` is the intent's whose order, or exit leg, was executed, ``reference_price`` the
    price that it named.
    """
    import pyarrow as pa

    text = pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        [
            ("fill_id", pa.string()),
            ("client_intent_id", pa.string()),
            ("broker_order_id", pa.string()),
            ("broker_account_id", text),
            ("strategy_id", text),
            ("symbol", text),
            ("side", text),
            ("qty", pa.float64()),
            ("price", pa.float64()),
            ("reference_price", pa.float64()),
            ("filled_at", pa.timestamp("us", tz="UTC")),
            ("cum_qty", pa.float64()),
            ("leaves_qty", pa.float64()),
            ("trading_date", text),
        ]
    )


def reconciliation_schema() -> pa.Schema:
    """Return the Arrow schema of ``reconciliation.parquet``: one row per break between broker and ledger.

    ``broker_qty`` and ``ledger_qty`` (shares) are the symbol's positions, ``difference_qty`` the part of
    their difference that the row explains; prices are averages in USD per share, null where there is none.
    """
    import pyarrow as pa

    text = pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        [
            ("kind", text),
            ("broker_account_id", text),
            ("symbol", text),
            ("broker_qty", pa.float64()),
            ("ledger_qty", pa.float64()),
            ("difference_qty", pa.float64()),
            ("broker_order_id", pa.string()),
            ("client_intent_id", pa.string()),
            ("activity_id", pa.string()),
            ("broker_price", pa.float64()),
            ("ledger_price", pa.float64()),
            ("is_repaired", pa.bool_()),
            ("found_at", pa.timestamp("us", tz="UTC")),
            ("said", pa.string()),
            ("remedy", pa.string()),
        ]
    )
