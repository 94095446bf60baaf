"""The outcome of an intent, and ``results.parquet``, which has one row for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from engine.model.orders import BrokerOrder
from engine.model.schema import JUDGED_QUOTE, SENT_QUOTE, results_schema
from engine.risk.quotes import meaning

TARGET_UNKNOWN = "target_unknown"
TARGET_OF_ANOTHER = "target_of_another_strategy"
ACCOUNT_DOWN = "account_down"
"""The reason where an account failed during the run and the others continued."""
REJECTED_AFTER_ACCEPTANCE = "rejected_after_acceptance"
"""The reason where the broker accepted an order and rejected it afterwards, before anything filled."""
NOT_WITHDRAWN = frozenset({TARGET_UNKNOWN, TARGET_OF_ANOTHER})
"""The reasons of cancels whose target the broker doesn't have, or that is another strategy's."""
CANCELS = frozenset({"canceled", "cancel_requested", "too_late"})
"""The statuses of cancels whose target order was found; ``order`` is the target."""


@dataclass(frozen=True, kw_only=True)
class OrderOutcome:
    """The outcome of one intent.

    ``status`` is one of ``schema.RESULT_STATUSES``; ``reason`` None keeps the decision's. ``order``: the
    latest state of the order at the broker, where there is one. ``attempted``: a request to place it was
    sent, or may have been; ``adopted``: the order was found at the broker after its reply was lost.
    ``in_doubt``: it was withheld or refused, but an earlier job may have sent it; the broker did not find it.
    """

    status: str
    reason: str | None = None
    message: str = ""
    order: BrokerOrder | None = None
    attempted: bool = False
    adopted: bool = False
    in_doubt: bool = False


REJECTED = OrderOutcome(status="rejected")


def live_results(decisions: pd.DataFrame, outcomes: Mapping[int, OrderOutcome]) -> pa.Table:
    """Return the results of a live run, one row per decision; ``outcomes`` has those of the allowed rows."""
    codes, texts = refusal_messages(decisions)
    refused = [replace(REJECTED, message=text) for text in texts]
    rows = [outcomes.get(row, refused[code]) for row, code in enumerate(codes.tolist())]
    reasons = [outcome.reason for outcome in rows]
    decided = decisions["reason"].astype(str).tolist()
    columns = {
        "client_intent_id": decisions["client_intent_id"].tolist(),
        "status": [outcome.status for outcome in rows],
        "reason": [own or kept for own, kept in zip(reasons, decided, strict=True)],
        "broker_order_id": [outcome.order.broker_order_id if outcome.order else None for outcome in rows],
        "order_status": [outcome.order.order_status if outcome.order else None for outcome in rows],
        "order_qty": [outcome.order.qty if outcome.order else None for outcome in rows],
        "filled_qty": [outcome.order.filled_qty if outcome.order else 0.0 for outcome in rows],
        "filled_avg_price": [outcome.order.filled_avg_price if outcome.order else None for outcome in rows],
        "attempted": [outcome.attempted for outcome in rows],
        "adopted": [outcome.adopted for outcome in rows],
        "message": [outcome.message for outcome in rows],
    }
    schema, unknown = results_schema(), no_quotes(len(rows))
    typed = {name: _typed(values, schema.field(name).type) for name, values in columns.items()}
    return pa.Table.from_arrays([(typed | unknown)[name] for name in schema.names], schema=schema)


def refusal_messages(decisions: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """Return what is to be said of each refusal besides its reason, as codes of texts; 0 is "".

    That is what was wrong with the quote of an unpriced order.
    """
    codes, texts = np.zeros(len(decisions), dtype=np.int64), [""]
    if "quote" not in decisions.columns:
        return codes, texts
    quote = decisions["quote"].astype("category")
    of_word = [0 if word == "ok" else len(texts) + place for place, word in enumerate(quote.cat.categories)]
    texts += [meaning(str(word)) for word in quote.cat.categories]
    is_unpriced = (decisions["reason"] == "unpriced").to_numpy(dtype=bool)
    codes[is_unpriced] = np.array(of_word, dtype=np.int64)[quote.cat.codes.to_numpy()[is_unpriced]]
    return codes, texts


def counted_outcomes(results: pa.Table) -> dict[str, int]:
    """Return how many rows of results have each status, the largest number first.

    Cancels without a target order (``NOT_WITHDRAWN``) are counted as ``not_withdrawn``.
    """
    status, reason = (results[name].cast(pa.string()) for name in ("status", "reason"))
    nothing_to_withdraw = pc.is_in(reason, pa.array(sorted(NOT_WITHDRAWN)))
    outcomes = pc.if_else(nothing_to_withdraw, "not_withdrawn", status)
    counts = {pair["values"]: int(pair["counts"]) for pair in outcomes.value_counts().to_pylist()}
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def nothing_sent(rows: int) -> dict[str, pa.Array]:
    """Return the order columns for the results of a run that placed none."""
    schema = results_schema()
    return {
        "broker_order_id": pa.nulls(rows, pa.string()),
        "order_status": pa.nulls(rows, schema.field("order_status").type),
        "order_qty": pa.nulls(rows, pa.float64()),
        "filled_qty": pa.array(np.zeros(rows)),
        "filled_avg_price": pa.nulls(rows, pa.float64()),
        "attempted": pa.array(np.zeros(rows, dtype=bool)),
        "adopted": pa.array(np.zeros(rows, dtype=bool)),
        **no_quotes(rows),
    }


def no_quotes(rows: int) -> dict[str, pa.Array]:
    """Return the columns of quotes for results of which none is known."""
    schema = results_schema()
    return {name: pa.nulls(rows, schema.field(name).type) for name in (*JUDGED_QUOTE, *SENT_QUOTE)}


def _typed(values: list[object], form: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(form):
        return pa.array(values, pa.string()).dictionary_encode().cast(form)
    return pa.array(values, form)
