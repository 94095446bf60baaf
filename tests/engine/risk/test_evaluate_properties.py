"""What holds for every batch: ``evaluate`` says what the oracle says, and keeps the design's promises."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import RiskConfig, RiskInputs, evaluate
from engine.risk import RULE_BOOK
from tests.engine.risk import oracle
from tests.engine.risk.strategies import (
    ACCOUNTS,
    AS_OF,
    LOTS,
    SYMBOLS,
    Case,
    Row,
    cases,
    frame_of,
    intent_rows,
    positions,
    risk_inputs,
    working_orders,
)

FIGURES = ("current_qty", "projected_qty", "position_limit_qty", "trades_today", "trades_limit")
CHECKS = tuple(f"check_{rule.name}" for rule in RULE_BOOK)
COLUMNS = ("client_intent_id", "allowed", "reason", *CHECKS, *FIGURES, "limit_source", "overridden")
INPUT_FRAMES = ("positions", "daily_trades", "working_orders", "unreconciled")
TEXT_COLUMNS = ("strategy_id", "broker_account_id", "client_intent_id", "symbol", "side", "action")
# A float holds every count of 1e-9 shares up to here; above, a figure may be next to the nearest float.
EXACT_IN_A_FLOAT = Decimal(2**53) * Decimal("1e-9")
TEXT_DTYPES = ("str", "object", "category", "string", pd.ArrowDtype(pa.string()))
GENEROUS = RiskConfig(max_position_qty=1e6, max_daily_trades=1000)

slow_machines_welcome = settings(deadline=None, max_examples=100)


def same_figure(found: float, expected: Decimal | None) -> bool:
    if expected is None:
        return math.isnan(found)
    if abs(expected) <= EXACT_IN_A_FLOAT:
        return found == float(expected)
    return math.isclose(found, float(expected), rel_tol=1e-15)


def differences(case: Case, decisions: pd.DataFrame) -> list[str]:
    """Say, cell by cell, where ``decisions`` differ from the oracle's."""
    rows = case.rows
    expected = oracle.expected_decisions(rows, case.inputs, case.config)
    found = decisions.to_dict("records")
    assert len(found) == len(rows)
    return [
        f"row {nth}: {name} is {found[nth][name]!r}, expected {cell!r}"
        for nth, cells in enumerate(expected)
        for name, cell in cells.items()
        if not (name in FIGURES and oracle.is_cancel(rows[nth]))
        if not (same_figure(found[nth][name], cell) if name in FIGURES else found[nth][name] == cell)
    ]


@contextmanager
def compiled_from(rows: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.risk.compiled.COMPILE_FROM_ROWS", rows)
        patch.setattr("engine.risk.compiled.USE_COMPILED_FROM_ROWS", rows)
        yield


# 1. The oracle


@given(cases())
@settings(deadline=None, max_examples=600)
def test_every_cell_is_what_the_oracle_says(case: Case) -> None:
    wrong = differences(case, evaluate(case.intents, case.inputs, case.config))
    assert not wrong, "\n".join([*wrong, repr(case)])


@given(cases(valid=True))
@settings(deadline=None, max_examples=300)
def test_every_cell_is_what_the_oracle_says_where_all_rows_keep_the_contract(case: Case) -> None:
    inputs = replace(case.inputs, kill_switch=False)
    config = case.config.changed(accounts=frozenset(), intent_max_age_s=None)
    case = Case(case.intents, inputs, config)
    wrong = differences(case, evaluate(case.intents, case.inputs, case.config))
    assert not wrong, "\n".join([*wrong, repr(case)])


# 2. Fail closed


@st.composite
def allowed_batches(draw: st.DrawFn) -> list[Row]:
    """Small orders, every one of which is allowed under generous limits."""
    return [
        {
            "strategy_id": "momentum",
            "broker_account_id": draw(st.sampled_from(ACCOUNTS)),
            "client_intent_id": f"intent-{nth}",
            "symbol": draw(st.sampled_from(SYMBOLS)),
            "side": draw(st.sampled_from(("buy", "sell"))),
            "qty": draw(st.sampled_from((1.0, 0.5, 3.0))),
            "created_at": AS_OF,
        }
        for nth in range(draw(st.integers(1, 6)))
    ]


def flat_book(**changes: Any) -> RiskInputs:
    book = RiskInputs(
        as_of=AS_OF,
        trading_date=AS_OF.date(),
        positions=pd.DataFrame(
            [(account, symbol, 1.0) for account in ACCOUNTS for symbol in SYMBOLS],
            columns=["broker_account_id", "symbol", "qty"],
        ),
        daily_trades=pd.DataFrame({"broker_account_id": ACCOUNTS, "trades": 1.0}),
        working_orders=pd.DataFrame(
            [(account, symbol, "buy", 1.0) for account in ACCOUNTS for symbol in SYMBOLS],
            columns=["broker_account_id", "symbol", "side", "remaining_qty"],
        ),
        unreconciled=pd.DataFrame({"broker_account_id": ["elsewhere"], "symbol": ["SPY"]}),
    )
    return replace(book, **changes)


@given(allowed_batches())
@settings(deadline=None, max_examples=20)
def test_small_orders_under_generous_limits_are_all_allowed(rows: list[Row]) -> None:
    assert evaluate(frame_of(rows), flat_book(), GENEROUS)["allowed"].all()


@given(allowed_batches(), st.data())
@slow_machines_welcome
def test_a_row_with_a_missing_cell_is_refused_and_leaves_no_trace(
    rows: list[Row], data: st.DataObject
) -> None:
    nth = data.draw(st.integers(0, len(rows) - 1))
    name = data.draw(st.sampled_from(sorted(set(rows[0]) - {"created_at"})))
    missing = data.draw(st.sampled_from((None, np.nan, pd.NA, pd.NaT, "")))
    broken = [*rows[:nth], rows[nth] | {name: missing}, *rows[nth + 1 :]]

    decisions = evaluate(frame_of(broken), flat_book(), GENEROUS)

    assert not decisions["allowed"].iloc[nth]
    assert decisions["reason"].iloc[nth] == "invalid_intent"
    others = [*range(nth), *range(nth + 1, len(rows))]
    without_it = evaluate(frame_of(rows).drop(index=nth), flat_book(), GENEROUS)
    pd.testing.assert_frame_equal(decisions.iloc[others], without_it, check_dtype=False)


@given(allowed_batches(), st.sampled_from(INPUT_FRAMES))
@settings(deadline=None, max_examples=30)
def test_no_order_is_allowed_while_a_frame_is_unavailable(rows: list[Row], name: str) -> None:
    decisions = evaluate(frame_of(rows), flat_book(**{name: None}), GENEROUS)
    assert set(decisions["reason"]) == {"risk_data_unavailable"}


@given(allowed_batches(), st.data())
@slow_machines_welcome
def test_no_order_is_allowed_where_an_input_is_missing(rows: list[Row], data: st.DataObject) -> None:
    book = flat_book()
    name = data.draw(st.sampled_from(INPUT_FRAMES))
    frame = getattr(book, name).astype(object)
    nth = data.draw(st.integers(0, len(frame) - 1))
    column = data.draw(st.sampled_from(list(frame.columns)))
    damaged = frame.copy()
    damaged.iloc[nth, damaged.columns.get_loc(column)] = data.draw(st.sampled_from((None, np.nan, pd.NA)))

    intents = frame_of(rows)
    decisions = evaluate(intents, replace(book, **{name: damaged}), GENEROUS)

    hit = pd.Series(True, index=intents.index)
    if name == "unreconciled" and column == "symbol":  # it is all of another account
        hit[:] = False
    elif name == "positions" and column == "symbol":  # it could be any of this account
        hit = intents["broker_account_id"] == frame.iloc[nth]["broker_account_id"]
    elif column not in ("broker_account_id", "symbol"):  # a missing key could be anybody's
        for key in ("broker_account_id", "symbol") if name != "daily_trades" else ("broker_account_id",):
            hit &= intents[key] == frame.iloc[nth][key]
    assert (decisions["reason"] == "risk_data_unavailable").tolist() == hit.tolist()


@given(cases())
@slow_machines_welcome
def test_a_row_is_allowed_only_if_every_check_passed_or_was_skipped(case: Case) -> None:
    decisions = evaluate(case.intents, case.inputs, case.config)
    checks = decisions[list(CHECKS)]
    harmless = checks.isin(["pass", "off"])
    if case.config.fail_open:
        for rule in oracle.SKIPPED_BY_FAIL_OPEN:
            harmless[f"check_{rule}"] |= checks[f"check_{rule}"] == "unavailable"
    assert decisions["allowed"].tolist() == harmless.all(axis=1).tolist()
    assert decisions["allowed"].tolist() == (decisions["reason"] == "ok").tolist()


# 3. No subset of fills can breach a position limit


@st.composite
def worst_case_cases(draw: st.DrawFn) -> Case:
    case: Case = draw(cases(valid=True))
    config = case.config.changed(position_projection="worst_case", fail_open=False, accounts=frozenset())
    return Case(case.intents, replace(case.inputs, kill_switch=False), config)


@given(worst_case_cases())
@settings(deadline=None, max_examples=300)
def test_no_subset_of_fills_takes_a_position_beyond_its_limit(case: Case) -> None:
    """The highest position of all subsets is where all buys fill and no sells; the lowest, conversely.

    So these two stand for every subset, partial fills included. Where the working orders alone can already
    take a position beyond its limit, or it starts there, the allowed intents must not take it any further.
    """
    decisions = evaluate(case.intents, case.inputs, case.config)
    allowed = [
        row
        for row, passed in zip(case.rows, decisions["allowed"], strict=True)
        if passed and not oracle.is_cancel(row)
    ]
    limit, known = oracle.exact(case.config.max_position_qty), oracle.Known.of(case.inputs)
    for key in {oracle.key_of(row) for row in allowed}:
        probe = {"broker_account_id": key[0], "symbol": key[1]}
        start = oracle.position_held(probe, known)
        working = oracle.working_quantities(probe, known)
        assert start is not None, "allowed although the position is unknown"
        assert working is not None, "allowed although the working orders are unknown"
        buys, sells = (
            sum(
                oracle.exact(row["qty"])
                for row in allowed
                if oracle.key_of(row) == key and row["side"] == side
            )
            for side in ("buy", "sell")
        )
        assert start + working[0] + buys <= max(limit, start + working[0])
        assert start - working[1] - sells >= min(-limit, start - working[1])


@given(cases(valid=True))
@settings(deadline=None, max_examples=300)
def test_no_subset_of_fills_takes_a_position_with_an_open_break_anywhere_but_towards_zero(case: Case) -> None:
    """What is allowed there shrinks the position, all of it together and beside whatever works already."""
    config = case.config.changed(fail_open=False, accounts=frozenset())
    everywhere = pd.DataFrame({"broker_account_id": ACCOUNTS, "symbol": None})
    inputs = replace(case.inputs, kill_switch=False, unreconciled=everywhere)

    allowed = evaluate(case.intents, inputs, config)["allowed"]

    passed = [row for row, ok in zip(case.rows, allowed, strict=True) if ok and not oracle.is_cancel(row)]
    known = oracle.Known.of(inputs)
    for key in {oracle.key_of(row) for row in passed}:
        probe = {"broker_account_id": key[0], "symbol": key[1]}
        start, working = oracle.position_held(probe, known), oracle.working_quantities(probe, known)
        assert start is not None, "allowed although the position is unknown"
        assert working is not None, "allowed although the working orders are unknown"
        (side,) = {row["side"] for row in passed if oracle.key_of(row) == key}
        much = sum(oracle.exact(row["qty"]) for row in passed if oracle.key_of(row) == key)
        assert much <= (start - working[1] if side == "sell" else -start - working[0])


huge_orders = st.tuples(st.sampled_from(("buy", "buy", "sell")), st.sampled_from((9e8, 999_999_999.0, 1.0)))


@given(
    st.lists(huge_orders, max_size=30),
    st.lists(huge_orders, min_size=1, max_size=8),
    st.sampled_from((0.0, 9e8, -9e8)),
    st.sampled_from(("worst_case", "net")),
    st.sampled_from((0, 100_000)),
)
@slow_machines_welcome
def test_huge_sums_neither_wrap_an_int64_nor_lose_count(
    working: list[tuple[str, float]],
    wanted: list[tuple[str, float]],
    held: float,
    projection: Any,
    compile_from_rows: int,
) -> None:
    key = {"broker_account_id": "paper", "symbol": "SPY"}
    intents = pd.DataFrame(
        [
            key | {"strategy_id": "momentum", "client_intent_id": f"intent-{nth}", "side": side, "qty": qty}
            for nth, (side, qty) in enumerate(wanted)
        ]
    )
    inputs = flat_book(
        positions=pd.DataFrame([key | {"qty": held}]),
        working_orders=pd.DataFrame(
            [(*key.values(), *order) for order in working],
            columns=["broker_account_id", "symbol", "side", "remaining_qty"],
        ),
    )
    config = RiskConfig(max_position_qty=999_999_999, position_projection=projection)
    case = Case(intents, inputs, config)
    with compiled_from(compile_from_rows):
        wrong = differences(case, evaluate(case.intents, case.inputs, case.config))
    assert not wrong, "\n".join([*wrong, repr(case)])


@st.composite
def quantities(draw: st.DrawFn) -> float:
    """Every number that the contract takes for a quantity can come out of here."""
    decimals = draw(st.integers(0, 9))
    digits = draw(st.integers(1, min(15, 9 + decimals)))
    return float(Decimal(draw(st.integers(1, 10**digits - 1))).scaleb(-decimals))


@given(quantities(), st.sampled_from((1, -1)))
@slow_machines_welcome
def test_every_quantity_fits_a_limit_of_its_size_and_not_one_unit_more(qty: float, sign: int) -> None:
    order = {
        "strategy_id": "momentum",
        "broker_account_id": "paper",
        "symbol": "SPY",
        "side": "buy" if sign > 0 else "sell",
    }
    intents = pd.DataFrame(
        [order | {"client_intent_id": "one", "qty": qty}, order | {"client_intent_id": "two", "qty": 1e-9}]
    )
    inputs = flat_book(
        positions=pd.DataFrame(columns=["broker_account_id", "symbol", "qty"]),
        working_orders=pd.DataFrame(columns=["broker_account_id", "symbol", "side", "remaining_qty"]),
    )
    decisions = evaluate(intents, inputs, RiskConfig(max_position_qty=qty))
    assert decisions["reason"].tolist() == ["ok", "max_position_size_exceeded"]
    assert decisions["projected_qty"].iloc[0] == sign * qty


# 4. The shape of the answer


@given(cases())
@slow_machines_welcome
def test_no_cell_of_the_answer_is_empty(case: Case) -> None:
    decisions = evaluate(case.intents, case.inputs, case.config)

    assert list(decisions.columns) == list(COLUMNS)
    assert decisions["allowed"].dtype == np.dtype(bool)
    words = decisions[["client_intent_id", "reason", *CHECKS]]
    assert not words.isna().to_numpy().any()
    assert set(decisions["reason"]) <= {"ok", "risk_data_unavailable", *oracle.RULES}
    assert set(words[list(CHECKS)].to_numpy().ravel()) <= {"pass", "fail", "off", "unavailable"}
    assert all(decisions[figure].dtype == np.dtype("float64") for figure in FIGURES)
    assert (decisions["position_limit_qty"] == case.config.max_position_qty).all()
    assert (decisions["trades_limit"] == case.config.max_daily_trades).all()


@given(cases())
@slow_machines_welcome
def test_the_answer_has_the_index_and_the_ids_of_the_batch_in_its_order(case: Case) -> None:
    decisions = evaluate(case.intents, case.inputs, case.config)
    pd.testing.assert_index_equal(decisions.index, case.intents.index)
    for found, row in zip(decisions["client_intent_id"], case.rows, strict=True):
        assert found == row["client_intent_id"] or not oracle.is_intent_id(row["client_intent_id"])


# 5. Pure


@given(cases())
@settings(deadline=None, max_examples=50)
def test_the_same_question_gets_the_same_answer_and_nothing_is_changed_by_asking(case: Case) -> None:
    before = deepcopy(case)

    first = evaluate(case.intents, case.inputs, case.config)
    second = evaluate(case.intents, case.inputs, case.config)

    pd.testing.assert_frame_equal(first, second)
    pd.testing.assert_frame_equal(case.intents, before.intents)
    for name in INPUT_FRAMES:
        now, then = getattr(case.inputs, name), getattr(before.inputs, name)
        assert (now is None) == (then is None)
        if then is not None:
            pd.testing.assert_frame_equal(now, then)


# 6. The same content in other clothes


def with_text_as(frame: pd.DataFrame | None, dtype: Any) -> pd.DataFrame | None:
    if frame is None:
        return None
    return frame.astype({name: dtype for name in frame.columns if name in TEXT_COLUMNS})


def assert_same_answer(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found.astype(object), expected.astype(object), check_column_type=False)


@given(cases(valid=True), st.sampled_from(TEXT_DTYPES))
@slow_machines_welcome
def test_text_may_be_of_any_dtype(case: Case, dtype: Any) -> None:
    recast: dict[str, Any] = {name: with_text_as(getattr(case.inputs, name), dtype) for name in INPUT_FRAMES}
    intents = with_text_as(case.intents, dtype)
    assert_same_answer(
        evaluate(intents, replace(case.inputs, **recast), case.config),
        evaluate(case.intents, case.inputs, case.config),
    )


@given(
    intent_rows(LOTS, valid=True),
    positions(LOTS),
    working_orders(LOTS),
    st.sampled_from(("float64", "Float64", "object", "double[pyarrow]")),
)
@slow_machines_welcome
def test_numbers_may_be_of_any_dtype(
    rows: list[Row], held: pd.DataFrame, working: pd.DataFrame, dtype: str
) -> None:
    intents, counts = frame_of(rows), pd.DataFrame({"broker_account_id": ["paper"], "trades": [2]})
    if "qty" not in intents.columns:
        intents["qty"] = np.nan
    plain = flat_book(positions=held, working_orders=working, daily_trades=counts)
    recast = flat_book(
        positions=held.astype({"qty": "float64"}).astype({"qty": dtype}),
        working_orders=working.astype({"remaining_qty": "float64"}).astype({"remaining_qty": dtype}),
        daily_trades=counts.astype({"trades": dtype}),
    )
    recast_intents = intents.astype({"qty": "float64"}).astype({"qty": dtype})
    config = RiskConfig(max_daily_trades=6)
    assert_same_answer(evaluate(recast_intents, recast, config), evaluate(intents, plain, config))


@given(cases(valid=True), st.randoms(use_true_random=False))
@slow_machines_welcome
def test_rows_index_and_columns_of_the_inputs_may_come_in_any_order(case: Case, random: Any) -> None:
    def shuffled(frame: pd.DataFrame | None) -> pd.DataFrame | None:
        if frame is None:
            return None
        order = list(range(len(frame)))
        random.shuffle(order)
        moved = frame.iloc[order, ::-1].assign(note="not ours")
        return moved.set_axis([5] * len(moved))

    moved: dict[str, Any] = {name: shuffled(getattr(case.inputs, name)) for name in INPUT_FRAMES}
    intents = case.intents.iloc[:, ::-1].assign(note="not ours")
    assert_same_answer(
        evaluate(intents, replace(case.inputs, **moved), case.config),
        evaluate(case.intents, case.inputs, case.config),
    )


@pytest.mark.parametrize("dtype", ["object", "str", "category", "float64", "string"])
@given(rows=intent_rows(LOTS), filled=st.sampled_from(INPUT_FRAMES))
@settings(deadline=None, max_examples=15)
def test_empty_frames_of_any_dtype_mean_flat_and_idle(dtype: str, rows: list[Row], filled: str) -> None:
    book = flat_book()
    elsewhere = {
        name: getattr(book, name).iloc[:1].assign(broker_account_id="elsewhere") for name in INPUT_FRAMES
    }
    empty = {name: getattr(book, name).iloc[:0].astype(dtype) for name in INPUT_FRAMES if name != filled}
    assert_same_answer(
        evaluate(frame_of(rows), flat_book(**(elsewhere | empty)), GENEROUS),
        evaluate(frame_of(rows), flat_book(**elsewhere), GENEROUS),
    )


@pytest.mark.parametrize("dtype", ["object", "str", "category", "float64", "string"])
def test_an_empty_batch_of_any_dtype_gives_an_empty_answer_with_every_column(dtype: str) -> None:
    intents = frame_of([]).astype(dtype)
    decisions = evaluate(intents, flat_book(), GENEROUS)
    assert list(decisions.columns) == list(COLUMNS)
    assert len(decisions) == 0


@given(cases(valid=True), st.booleans())
@slow_machines_welcome
def test_an_absent_optional_column_means_its_default(case: Case, is_spelled_out: bool) -> None:
    defaults: Row = {"action": "new", "order_type": "market", "time_in_force": "day", "order_class": "simple"}
    optional = [*defaults, "notional", "target_intent_id", "created_at", "valid_until", *oracle.PRICES]
    intents = case.intents.copy()
    for name in optional:
        if name not in intents.columns:
            intents[name] = defaults.get(name) if is_spelled_out else None
    assert_same_answer(
        evaluate(intents, case.inputs, case.config), evaluate(case.intents, case.inputs, case.config)
    )


@given(intent_rows(LOTS, valid=True), risk_inputs(LOTS), st.data())
@settings(deadline=None, max_examples=50)
def test_no_order_is_allowed_while_a_required_column_is_absent(
    rows: list[Row], inputs: RiskInputs, data: st.DataObject
) -> None:
    orders = [row | {"notional": None} for row in rows if not oracle.is_cancel(row)]
    name = data.draw(
        st.sampled_from(("strategy_id", "broker_account_id", "client_intent_id", "symbol", "side", "qty"))
    )
    intents = frame_of(orders).drop(columns=name)
    decisions = evaluate(intents, inputs, GENEROUS)
    assert len(decisions) == len(orders)
    assert not decisions["allowed"].any()
    assert (decisions["check_invalid_intent"] == "fail").all()


# 7. The compiled form, which large batches get


@given(cases(), st.sampled_from(("str", "category", "object")))
@settings(deadline=None, max_examples=150)
def test_compiled_code_says_what_the_oracle_says(case: Case, dtype: str) -> None:
    texts = {name: dtype for name in ("side", "symbol", "action") if name in case.intents.columns}
    case = Case(case.intents.astype(texts), case.inputs, case.config)
    with compiled_from(0):
        wrong = differences(case, evaluate(case.intents, case.inputs, case.config))
    assert not wrong, "\n".join([*wrong, repr(case)])


@pytest.mark.parametrize("projection", ["worst_case", "net"])
def test_a_large_batch_gets_the_answers_that_its_rows_would_get_uncompiled(projection: Any) -> None:
    rows, random = 100_000, np.random.default_rng(7)
    numbers = random.integers(0, rows, rows)
    ids = np.array([f"intent-{number:0{number % 40 + 1}d}" for number in numbers], dtype=object)
    ids[random.integers(0, rows, 500)] = None
    ids[random.integers(0, rows, 500)] = "two words"
    intents = pd.DataFrame(
        {
            "strategy_id": "momentum",
            "broker_account_id": random.choice(ACCOUNTS, rows),
            "client_intent_id": pd.Series(ids, dtype="str"),
            "symbol": random.choice([f"S{nth}" for nth in range(2000)], rows),
            "side": random.choice(["buy", "sell"], rows),
            "qty": random.choice([0.1, 0.2, 0.3, 1e-9, 50.0, 99.9, np.nan], rows),
        }
    )
    config = RiskConfig(max_daily_trades=100_000, position_projection=projection)
    book = flat_book(
        positions=pd.DataFrame({"broker_account_id": "paper", "symbol": ["S1", "S2"], "qty": [30.0, -80.0]}),
        unreconciled=pd.DataFrame({"broker_account_id": "paper", "symbol": [f"S{nth}" for nth in range(9)]}),
    )
    compiled = evaluate(intents, book, config)
    with compiled_from(rows + 1):
        assert_same_answer(compiled, evaluate(intents, book, config))
    reasons = {
        "ok",
        "invalid_intent",
        "duplicate_intent",
        "position_unreconciled",
        "max_position_size_exceeded",
    }
    assert reasons <= set(compiled["reason"])


@pytest.mark.parametrize("compile_from_rows", [0, 100_000])
@pytest.mark.parametrize("odd", [["", "x" * 49, None], ["", "x" * 49, None, "two words", "id\n", "ü"]])
def test_compiled_code_holds_ids_to_the_same_contract(odd: list[str | None], compile_from_rows: int) -> None:
    ids = ["one", "x" * 48, *odd, "one", "x" * 48]
    order = {"strategy_id": "m", "broker_account_id": "paper", "symbol": "SPY", "side": "buy", "qty": 1.0}
    intents = pd.DataFrame([order] * len(ids)).assign(client_intent_id=pd.Series(ids, dtype="str"))
    with compiled_from(compile_from_rows):
        decisions = evaluate(intents, flat_book(), GENEROUS)
    assert decisions["reason"].tolist() == [
        *["ok"] * 2,
        *["invalid_intent"] * len(odd),
        *["duplicate_intent"] * 2,
    ]


@pytest.mark.parametrize("compile_from_rows", [0, 100_000])
def test_a_null_id_is_no_id_whatever_arrow_keeps_in_its_place(compile_from_rows: int) -> None:
    text = pa.array(["one", "two", "three"], pa.large_string())
    second_is_null = pa.py_buffer(bytes([0b101]))
    ids = pa.Array.from_buffers(pa.large_string(), 3, [second_is_null, *text.buffers()[1:]])
    order = {"strategy_id": "m", "broker_account_id": "paper", "symbol": "SPY", "side": "buy", "qty": 1.0}
    intents = pd.DataFrame([order] * 3).assign(
        client_intent_id=pd.array(pa.chunked_array([ids]), pd.StringDtype("pyarrow", na_value=np.nan))
    )
    with compiled_from(compile_from_rows):
        decisions = evaluate(intents, flat_book(), GENEROUS)
    assert decisions["reason"].tolist() == ["ok", "invalid_intent", "ok"]


# 8. Later rows have no say in earlier ones


@given(cases(), st.data())
@slow_machines_welcome
def test_decisions_do_not_depend_on_later_rows(case: Case, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(case.intents)))
    of_all = evaluate(case.intents, case.inputs, case.config)
    of_the_first = evaluate(case.intents.iloc[:length], case.inputs, case.config)
    assert_same_answer(of_the_first, of_all.iloc[:length])
