from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EngineError
from engine.ledger.documents import (
    FILL_FIELDS,
    SESSION_IS_ESTIMATED,
    Adjustment,
    adjustment_document,
    bookable,
    checked_document,
    checked_ledger_document,
    document_name,
    essential,
    ledger_document,
    ledger_keys,
    merge_ledger_document,
    net_units,
)
from engine.model.keeping import LEVELS, is_name
from engine.model.orders import BrokerOrder, OrderIntent

NAMES = st.sampled_from(["symbol", "note", "trading_date", "raw_fill", "metadata", "a", "b"])
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3)
LEAVES = st.none() | st.integers() | TEXTS | st.lists(st.integers(), max_size=2)
VALUES = st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=8)
FILLED = st.floats(min_value=0, allow_infinity=False) | st.integers(min_value=0)
DOCUMENTS = st.builds(
    lambda fields, filled: fields | filled,
    st.dictionaries(NAMES, VALUES, max_size=5),
    st.just({}) | st.fixed_dictionaries({"filled_qty": FILLED}),
)


def fill(filled_qty: float, *, day: str = "2026-03-02") -> dict[str, Any]:
    """What a sync writes that saw the order filled so far."""
    return {
        "broker_order_id": "o-1",
        "broker_account_id": "paper",
        "symbol": "SPY",
        "trading_date": day,
        "filled_qty": filled_qty,
        "filled_avg_price": 500 + filled_qty / 100,
        "filled_at": f"2026-03-02T15:{filled_qty:02.0f}:00Z",
        "raw_broker_order": {"filled_qty": str(filled_qty)},
        "raw_fill": {"cum_qty": str(filled_qty)},
    }


def written(documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return reduce(merge_ledger_document, documents, None) or {}


def test_partial_fills_4_7_10_become_one_document_with_10_filled() -> None:
    assert written([fill(4), fill(7), fill(10)]) == fill(10)


@given(
    st.lists(st.sampled_from([fill(4), fill(7), fill(10)])).map(lambda syncs: [*syncs, fill(10)]),
    st.randoms(),
)
def test_any_order_and_repetition_of_the_same_syncs_gives_the_same_document(
    syncs: list[dict[str, Any]], random: Any
) -> None:
    random.shuffle(syncs)
    assert written(syncs) == fill(10)


@given(DOCUMENTS, DOCUMENTS)
def test_merging_twice_changes_nothing(old: dict[str, Any], new: dict[str, Any]) -> None:
    once = merge_ledger_document(old, new)
    assert merge_ledger_document(once, new) == once


@given(DOCUMENTS, DOCUMENTS)
def test_neither_document_is_changed_by_merging(old: dict[str, Any], new: dict[str, Any]) -> None:
    before = copy.deepcopy((old, new))
    merged = merge_ledger_document(old, new)
    merged.setdefault("metadata", {})
    if isinstance(merged["metadata"], dict):
        merged["metadata"]["added later"] = 1
    assert (old, new) == before


@given(DOCUMENTS, DOCUMENTS)
def test_filled_qty_never_falls(old: dict[str, Any], new: dict[str, Any]) -> None:
    merged = merge_ledger_document(old, new)
    assert merged.get("filled_qty", 0) == max(old.get("filled_qty", 0), new.get("filled_qty", 0))


def test_a_late_reply_leaves_price_timestamp_and_blobs_of_the_higher_fill() -> None:
    late = fill(4) | {"strategy_id": "momentum"}
    assert written([fill(10), late]) == fill(10) | {"strategy_id": "momentum"}


def test_a_late_reply_adds_no_fill_field_that_the_higher_fill_lacks() -> None:
    bare = {name: value for name, value in fill(10).items() if name not in FILL_FIELDS - {"filled_qty"}}
    assert written([bare, fill(4)]) == bare


def test_a_reply_without_filled_qty_replaces_nothing_that_is_known_of_the_fill() -> None:
    assert written([fill(7), {"filled_avg_price": 1.0, "raw_fill": {"cum_qty": "0"}}]) == fill(7)


def test_a_reply_that_fills_as_much_as_is_known_brings_the_newer_blob() -> None:
    canceled = fill(7) | {"raw_broker_order": {"status": "canceled"}}
    assert written([fill(7), canceled])["raw_broker_order"] == {"filled_qty": "7", "status": "canceled"}


def test_the_trading_date_of_the_first_fill_is_never_rewritten() -> None:
    assert written([fill(4), fill(10, day="2026-03-03")])["trading_date"] == "2026-03-02"


def test_a_session_that_was_estimated_is_that_of_the_execution_once_it_is_known() -> None:
    guessed = fill(4, day="2026-03-03") | {SESSION_IS_ESTIMATED: True}
    known = written([guessed, fill(4)])
    assert (known["trading_date"], known[SESSION_IS_ESTIMATED]) == ("2026-03-02", False)
    assert written([guessed, fill(4), guessed, fill(10, day="2026-03-04")]) == written(
        [guessed, fill(4), fill(10, day="2026-03-04")]
    )
    assert (
        written([guessed, fill(10, day="2026-03-04") | {SESSION_IS_ESTIMATED: True}])["trading_date"]
        == "2026-03-03"
    )


def test_what_says_nothing_of_the_session_leaves_an_estimate_one() -> None:
    guessed = fill(4, day="2026-03-03") | {SESSION_IS_ESTIMATED: True}
    assert written([guessed, {"strategy_id": "momentum"}])[SESSION_IS_ESTIMATED] is True


def test_an_estimate_never_replaces_the_session_of_an_execution() -> None:
    both = written([fill(4), fill(10, day="2026-03-03") | {SESSION_IS_ESTIMATED: True}])
    assert both["trading_date"] == "2026-03-02"
    assert both.get(SESSION_IS_ESTIMATED) is not True


def test_a_trading_date_that_was_missing_is_written() -> None:
    assert written([fill(4) | {"trading_date": None}, fill(4)])["trading_date"] == "2026-03-02"


def test_maps_are_merged_at_every_depth() -> None:
    old = {"metadata": {"signal": {"name": "x", "z": 1}, "kept": True}}
    new = {"metadata": {"signal": {"z": 2}}}
    assert written([old, new]) == {"metadata": {"signal": {"name": "x", "z": 2}, "kept": True}}


@pytest.mark.parametrize("value", [{}, [], None, 0, "text"])
def test_anything_but_a_map_with_fields_replaces_what_was_there(value: object) -> None:
    assert written([{"metadata": {"a": 1}}, {"metadata": value}]) == {"metadata": value}


@pytest.mark.parametrize("qty", [math.nan, math.inf, -1, "4", True, None])
def test_a_filled_qty_that_is_no_quantity_is_refused(qty: object) -> None:
    with pytest.raises(EngineError, match=r"ledger document o-1: filled_qty is .*; expected a finite number"):
        merge_ledger_document(fill(4), fill(4) | {"filled_qty": qty})


# --- an order with fills becomes a document

FILLED_AT = datetime(2026, 3, 2, 10, 30, 5, 123456, tzinfo=timezone(timedelta(hours=-5)))
RAW_FILL = {"price": "500.10", "cum_qty": "4"}
RAW_ORDER = {"id": "o-1", "filled_qty": "4", "legs": None}


def intent(**said: Any) -> OrderIntent:
    row = {
        "strategy_id": "momentum",
        "broker_account_id": "paper",
        "symbol": "SPY",
        "side": "buy",
        "qty": 10.0,
    }
    return OrderIntent(**{**row, "client_intent_id": "i-1", **said})


def order(**said: Any) -> BrokerOrder:
    known = {"broker_order_id": "o-1", "client_order_id": "i-1", "order_status": "partially_filled"}
    return BrokerOrder(**{**known, "filled_qty": 4.0, "filled_avg_price": 500.1, "raw": RAW_ORDER, **said})


def document_of(wanted: OrderIntent, placed: BrokerOrder, **said: Any) -> dict[str, Any] | None:
    fills = {"trading_date": date(2026, 3, 2), "filled_at": FILLED_AT, "raw_fill": RAW_FILL}
    return ledger_document(wanted, placed, **{**fills, **said})


PLAIN = {
    "client_intent_id": "i-1",
    "strategy_id": "momentum",
    "broker_account_id": "paper",
    "symbol": "SPY",
    "side": "buy",
    "qty": 10.0,
    "asset_class": "EQUITY",
    "order_type": "market",
    "time_in_force": "day",
    "extended_hours": False,
    "order_class": "simple",
    "action": "new",
    "broker_order_id": "o-1",
    "trading_date": "2026-03-02",
    "filled_qty": 4.0,
    "filled_avg_price": 500.1,
    "filled_at": "2026-03-02T15:30:05.123456+00:00",
    "raw_broker_order": RAW_ORDER,
    "raw_fill": RAW_FILL,
}


@pytest.mark.parametrize(
    ("wanted", "placed", "differs"),
    [
        ({}, {}, {}),
        ({"limit_price": 501.5, "order_type": "limit"}, {}, {"limit_price": 501.5, "order_type": "limit"}),
        ({"qty": None, "notional": 5000.0}, {}, {"qty": None, "notional": 5000.0}),
        ({"limit_price": math.nan}, {}, {}),
        ({"metadata": {"signal": "x"}}, {}, {"metadata": {"signal": "x"}}),
        ({"created_at": FILLED_AT}, {}, {"created_at": "2026-03-02T15:30:05.123456+00:00"}),
        ({"client_intent_id": ""}, {"client_order_id": "sent"}, {"client_intent_id": "sent"}),
        ({}, {"client_order_id": "replaced-by-hand"}, {}),
        ({}, {"symbol": "spy", "side": "sell"}, {}),
        ({}, {"filled_qty": 10}, {"filled_qty": 10.0}),
        ({}, {"filled_avg_price": None}, {"filled_avg_price": None}),
        ({}, {"raw": {}}, {"raw_broker_order": None}),
    ],
)
def test_the_document_of_an_order_with_fills(
    wanted: dict[str, Any], placed: dict[str, Any], differs: dict[str, Any]
) -> None:
    document = document_of(intent(**wanted), order(**placed))
    assert document == {name: value for name, value in (PLAIN | differs).items() if value is not None}
    assert checked_ledger_document(document) == document
    assert ledger_keys(document) == ("o-1", "paper", "2026-03-02")


def test_its_numbers_are_numbers_and_those_of_the_raw_blobs_stay_text() -> None:
    document = document_of(intent(), order(filled_qty=4)) or {}
    assert [type(document[name]) for name in ("qty", "filled_qty", "filled_avg_price")] == [float] * 3
    assert document["raw_fill"]["price"] == "500.10"


@pytest.mark.parametrize("filled_qty", [0, 0.0, math.nan, -1])
def test_an_order_without_fills_has_no_document(filled_qty: float) -> None:
    assert document_of(intent(), order(filled_qty=filled_qty)) is None


def test_the_smallest_fill_has_a_document() -> None:
    document = document_of(intent(), order(filled_qty=1e-9)) or {}
    assert document["filled_qty"] == 1e-9


# --- what is kept of a document that no store would keep whole


def test_what_is_essential_of_a_document_is_what_it_is_counted_and_summed_by() -> None:
    marks = {"counts_as_trade": False, "exit_of": "o-0", SESSION_IS_ESTIMATED: True}
    spare = {"metadata": {"signal": "x"}, "limit_price": 501.5}
    by = (
        "client_intent_id", "strategy_id", "broker_account_id", "symbol", "side", "broker_order_id",
        "trading_date", "filled_qty", "filled_avg_price", "filled_at",
    )  # fmt: skip
    assert essential(PLAIN | marks | spare) == {name: PLAIN[name] for name in by} | marks


@pytest.mark.parametrize("largest", ["metadata", "raw_broker_order", "raw_fill"])
def test_of_a_document_that_is_too_large_the_largest_of_what_is_spare_is_left_out(largest: str) -> None:
    spare = {name: {"said": "x" * 300_000} for name in ("metadata", "raw_broker_order", "raw_fill")}
    document = PLAIN | spare | {largest: {"said": "x" * 600_000}}
    kept, left_out = bookable(document)
    assert kept == {name: value for name, value in document.items() if name != largest}
    assert [fault.path for fault in left_out] == [largest]


def test_a_document_that_is_not_too_large_is_kept_whole() -> None:
    assert bookable(PLAIN) == (PLAIN, [])


def test_a_timestamp_without_a_zone_is_refused() -> None:
    with pytest.raises(EngineError, match=r"ledger document o-1: filled_at is .*, without a zone"):
        document_of(intent(), order(), filled_at=FILLED_AT.replace(tzinfo=None))


def test_the_same_timestamp_in_another_zone_is_the_same_document() -> None:
    assert document_of(intent(), order()) == document_of(
        intent(), order(), filled_at=FILLED_AT.astimezone(UTC)
    )


# --- what a document may hold


class Word(StrEnum):
    BUY = "buy"


class Shown(str):
    def __str__(self) -> str:
        return "as it is shown"


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ((1, (2,)), [1, [2]]),
        (OrderedDict(a=OrderedDict()), {"a": {}}),
        (Word.BUY, "buy"),
        (Shown("sell"), "sell"),
        (True, True),
        (2**63 - 1, 2**63 - 1),
        (None, None),
    ],
)
def test_what_a_document_holds_is_copied_into_plain_values(value: object, kept: object) -> None:
    (copied,) = checked_document({"field": value}, "it").values()
    assert copied == kept
    assert type(copied) is type(kept)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"a": {"b": math.nan}}, "it can't be kept: a.b is nan; expected a finite number"),
        ({"a": [1, {"b": -math.inf}]}, "a.b is -inf; expected a finite number"),
        ({"a": 2**63}, "a is 9223372036854775808; expected a whole number of 64 bits, or text"),
        ({"a": Decimal(1)}, "a is Decimal('1'); expected what JSON holds: decimals and timestamps as text"),
        ({"a": FILLED_AT}, "expected what JSON holds: decimals and timestamps as text"),
        ({"a": b"x"}, "a is b'x'; expected what JSON holds"),
        ({"a": {1}}, "a is {1}; expected what JSON holds"),
        ({"a": "\ud800"}, "expected text that is Unicode"),
        ({"a": {"": 1}}, "a.'' is 1; expected a key that is text, not empty"),
        ({"a": {"\ud800": 1}}, "a.'\\ud800' is 1; expected a key that is text"),
        ({"__a__": 1}, "'__a__' is 1; expected a key that is text, not empty nor __of this form__"),
        ({1: 1}, "1 is 1; expected a key that is text"),
        ({"a": {"b" * 1000: 1}}, "at most 1000 bytes with those around it"),
    ],
)
def test_what_no_store_can_keep_is_refused_with_field_value_and_rule(
    document: dict[Any, Any], message: str
) -> None:
    with pytest.raises(EngineError) as raised:
        checked_document(document, "it")
    assert message in str(raised.value)
    assert "Nothing of this write was kept." in str(raised.value)
    assert str(raised.value).endswith("leave it out.")


def test_a_list_in_a_list_counts_as_two_levels() -> None:
    value: list[Any] = []
    for _ in range(LEVELS // 2 - 1):
        value = [value]
    checked_document({"a": value}, "it")
    with pytest.raises(EngineError, match=f"at most {LEVELS} maps and lists within each other"):
        checked_document({"a": [[value]]}, "it")


def test_a_document_that_holds_itself_is_refused() -> None:
    document: dict[str, Any] = {}
    document["a"] = document
    with pytest.raises(EngineError, match="maps and lists within each other"):
        checked_document(document, "it")


@pytest.mark.parametrize("order_id", ["", " ", None, 1])
def test_what_is_no_order_id_is_refused(order_id: object) -> None:
    with pytest.raises(EngineError, match=r"ledger document .*: broker_order_id is "):
        checked_ledger_document(fill(4) | {"broker_order_id": order_id})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("broker_account_id", " "),
        ("broker_account_id", None),
        ("trading_date", "20260302"),
        ("trading_date", "2026-03-02T15:00:00Z"),
        ("trading_date", 20260302),
        ("filled_qty", -1),
        ("filled_qty", "4"),
    ],
)
def test_what_a_document_is_counted_by_is_good_where_it_is_there(field: str, value: object) -> None:
    with pytest.raises(EngineError, match=f"ledger document o-1: {field} is "):
        checked_ledger_document(fill(4) | {field: value})


UNUSABLE = [
    "a/b",
    "/",
    ".",
    "..",
    "__a__",
    "____",
    "a" * 1501,
    "ü" * 751,
    "%a",
    "%",
    "%sha256-a",
    "a%2Fb/",
    "a\0b",
    " ",
    "\ud800",
    "\ud800" * 600,
]


@pytest.mark.parametrize("order_id", UNUSABLE)
def test_an_order_id_that_names_no_document_is_escaped_in_the_name_and_kept_whole_inside(
    order_id: str,
) -> None:
    name = document_name(order_id)
    assert name != order_id
    assert is_name(name)
    assert "/" not in name
    assert name not in {".", ".."}
    assert len(name.encode()) <= 1500
    assert document_name(name) != name  # no other id has that name


@pytest.mark.parametrize(("order_id", "is_readable"), [("/" + "a" * 1496, True), ("/" + "a" * 1497, False)])
def test_an_escaped_name_is_readable_where_a_store_takes_its_length(order_id: str, is_readable: bool) -> None:
    name = document_name(order_id)
    assert is_name(name)
    assert (name == "%%2F" + order_id[1:]) is is_readable


def test_no_two_order_ids_have_one_name() -> None:
    ids = [*UNUSABLE, "a%2Fb", "%a%2Fb", "%2F", "%%2F", "a", "sha256-a", "a" * 1502]
    assert len({document_name(one) for one in ids}) == len(ids)


@pytest.mark.parametrize("order_id", ["a", "...", "__", "__a", "a" * 1500, "ü b", "904837e3-3b76"])
def test_an_order_id_that_names_a_document_is_taken(order_id: str) -> None:
    assert checked_ledger_document({"broker_order_id": order_id}) == {"broker_order_id": order_id}
    assert document_name(order_id) == order_id


def test_a_document_lacking_a_key_may_be_merged_but_not_kept() -> None:
    document = checked_ledger_document({"broker_order_id": "o-1", "trading_date": "2026-03-02"})
    with pytest.raises(EngineError, match="ledger document o-1: broker_account_id is None; expected text"):
        ledger_keys(document)


@given(DOCUMENTS)
def test_checking_changes_nothing_in_a_plain_document(document: dict[str, Any]) -> None:
    document = {name: value for name, value in document.items() if name != "trading_date"}
    whole = document | {"broker_order_id": "o-1"}
    if all(-(2**63) <= n < 2**63 for n in integers_in(whole)):
        assert checked_ledger_document(whole) == whole


def integers_in(value: object) -> Iterable[int]:
    if isinstance(value, int):
        yield value
    if isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from integers_in(inner)


# --- adjustments


NOON = datetime(2026, 3, 2, 12, 0, tzinfo=timezone(timedelta(hours=-5)))


def difference(**said: Any) -> Adjustment:
    """Return a manual trade of 4.5 shares sold, with whatever is said otherwise."""
    usual: Any = {
        "account": "paper",
        "symbol": "SPY",
        "qty": -4.5,
        "kind": "manual_trade",
        "by": "ada",
        "why": "sold by hand",
        "at": NOON,
        "trading_date": date(2026, 3, 2),
        "evidence": {"activities": ["a-1"], "broker_qty": "5.5"},
    }
    balance: Adjustment = usual | said
    return balance


def test_an_adjustment_is_a_document_that_balances_and_says_who_why_and_when() -> None:
    document = adjustment_document(**difference())
    order_id = document.pop("broker_order_id")
    assert order_id.startswith("adjustment-")
    assert len(order_id) == len("adjustment-") + 16
    assert set(order_id.removeprefix("adjustment-")) <= set("0123456789abcdef")
    assert document == {
        "broker_account_id": "paper",
        "trading_date": "2026-03-02",
        "strategy_id": "",
        "symbol": "SPY",
        "side": "sell",
        "filled_qty": 4.5,
        "counts_as_trade": False,
        "adjustment": "manual_trade",
        "by": "ada",
        "why": "sold by hand",
        "accepted_at": "2026-03-02T17:00:00+00:00",
        "evidence": {"activities": ["a-1"], "broker_qty": "5.5"},
    }


def test_an_adjustment_is_what_the_ledger_keeps() -> None:
    document = adjustment_document(**difference())
    assert checked_ledger_document(document) == document
    assert ledger_keys(document) == (document["broker_order_id"], "paper", "2026-03-02")


@pytest.mark.parametrize(
    ("qty", "side", "filled"),
    [(2, "buy", 2.0), (-2, "sell", 2.0), (0, "buy", 0.0), (-0.0, "buy", 0.0), (0.1 + 0.2, "buy", 0.3)],
)
def test_an_adjustments_side_is_its_sign_and_its_quantity_a_whole_number_of_units(
    qty: float, side: str, filled: float
) -> None:
    document = adjustment_document(**difference(qty=qty))
    assert (document["side"], document["filled_qty"]) == (side, filled)
    assert math.copysign(1, document["filled_qty"]) == 1


@pytest.mark.parametrize(
    "same",
    [
        {"by": "bob"},
        {"why": "once more"},
        {"at": NOON + timedelta(days=1)},
        {"trading_date": date(2026, 3, 3)},
        {"qty": -4.5 - 1e-12},
        {"evidence": {"broker_qty": "5.5", "activities": ["a-1"]}},
    ],
)
def test_the_same_difference_has_the_same_id_whoever_accepts_it_and_when(same: dict[str, Any]) -> None:
    first, again = adjustment_document(**difference()), adjustment_document(**difference(**same))
    assert first["broker_order_id"] == again["broker_order_id"]


@pytest.mark.parametrize(
    "other",
    [
        {"account": "live"},
        {"symbol": "QQQ"},
        {"qty": 4.5},
        {"qty": -4.500000001},
        {"kind": "corporate_action"},
        {"evidence": {}},
        {"evidence": {"activities": ["a-2"], "broker_qty": "5.5"}},
    ],
)
def test_another_difference_has_another_id(other: dict[str, Any]) -> None:
    first, second = adjustment_document(**difference()), adjustment_document(**difference(**other))
    assert first["broker_order_id"] != second["broker_order_id"]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"by": ""}, "by is ''; expected text"),
        ({"why": " \n"}, "why is ' .n'; expected text"),
        ({"account": ""}, "account is ''"),
        ({"symbol": " "}, "symbol is ' '"),
        ({"kind": ""}, "kind is ''"),
        ({"qty": math.nan}, "qty is nan; expected shares"),
        ({"qty": -math.inf}, "qty is -inf"),
        ({"qty": 1e9}, "qty is 1000000000.0"),
        ({"qty": True}, "qty is True"),
        ({"evidence": {"price": Decimal(1)}}, "can't be kept: price is Decimal"),
        ({"evidence": {"price": math.nan}}, "can't be kept: price is nan"),
        ({"at": datetime.fromisoformat("2026-03-02T12:00")}, "without a zone"),
    ],
)
def test_an_adjustment_that_says_too_little_is_refused(fault: dict[str, Any], why: str) -> None:
    with pytest.raises(EngineError, match=f"the adjustment of .* in account .*{why}"):
        adjustment_document(**difference(**fault))


def test_an_adjustment_stays_as_it_was_first_written() -> None:
    first = adjustment_document(**difference())
    before = copy.deepcopy(first)
    later = adjustment_document(**difference(by="bob", at=NOON + timedelta(days=1))) | {"filled_qty": 9.0}
    merged = merge_ledger_document(first, later)
    assert merged == first == before
    merged["evidence"]["broker_qty"] = "0"
    assert first == before


def test_an_orders_document_goes_on_growing_whatever_fields_it_has() -> None:
    for order in (
        fill(4) | {"broker_order_id": "adjustment", "adjustment": "none"},
        fill(4) | {"broker_order_id": "adjustment-7"},
    ):
        assert merge_ledger_document(order, fill(10))["filled_qty"] == 10


# --- sums


def test_units_are_summed_by_symbol_in_capitals_and_what_comes_to_0_is_left_out() -> None:
    documents: list[tuple[str, Any, Any, Any]] = [
        ("o-1", "SPY", "buy", 0.1),
        ("o-2", " spy ", "buy", 0.2),
        ("o-3", "QQQ", "sell", 3),
        ("o-4", "IWM", "buy", 1.0),
        ("o-5", "IWM", "sell", 1.0),
        ("o-6", "DIA", "buy", 0),
    ]
    assert net_units(documents) == {"SPY": 300_000_000, "QQQ": -3_000_000_000}
    assert net_units([]) == {}


def test_sums_are_as_large_as_they_are() -> None:
    many = [(f"o-{n}", "SPY", "buy", 999_999_999.0) for n in range(100)]
    assert net_units(many) == {"SPY": 100 * 999_999_999 * 10**9}


@pytest.mark.parametrize(
    "fault",
    [
        (None, "buy", 1.0),
        ("", "buy", 1.0),
        (7, "buy", 1.0),
        ("SPY", None, 1.0),
        ("SPY", "", 0.0),
        ("SPY", "sell_short", 1.0),
        ("SPY", {}, 1.0),
        ("SPY", "buy", None),
        ("SPY", "buy", "1"),
        ("SPY", "buy", True),
        ("SPY", "buy", -1.0),
        ("SPY", "buy", math.nan),
        ("SPY", "buy", math.inf),
        ("SPY", "buy", 1e9),
        ("SPY", "buy", 10**400),
        (None, None, 0.0),
    ],
)
def test_a_document_that_cant_be_summed_is_named_and_nothing_is_left_out(fault: tuple[Any, Any, Any]) -> None:
    with pytest.raises(EngineError, match=r"ledger document o-2 can't be summed: .*Correct that document"):
        net_units([("o-1", "SPY", "buy", 1.0), ("o-2", *fault)])
