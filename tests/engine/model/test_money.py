"""Products, sums and conversions of money, held to ``decimal.Decimal``."""

from __future__ import annotations

from decimal import ROUND_CEILING, Context, Decimal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.model.money import (
    LARGEST_AMOUNT,
    NOT_AN_AMOUNT,
    added_prices,
    in_money,
    part_of_price,
    quantity_for,
    to_money,
    to_usd,
    usd_to_units,
    value_of,
)
from engine.model.quantity import Ints

EXACT = Context(prec=60)
UNIT = Decimal(10) ** -9
UNITS = st.one_of(
    st.integers(0, 10**18),
    st.integers(0, 10**12),
    st.sampled_from((0, 1, 999_999_999, 10**9, 10**9 + 1, 10**18, 10**18 - 1)),
)


def units(*numbers: int) -> Ints:
    return np.array(numbers, dtype=np.int64)


def rounded_up(exact: Decimal, unit: str) -> int:
    return int(EXACT.divide(exact, Decimal(unit)).to_integral_value(ROUND_CEILING))


@given(UNITS, UNITS)
@example(10**18, 4 * 10**6)
@example(10**18, 4 * 10**6 + 1)
def test_a_value_is_the_exact_product_rounded_up_to_a_millionth(qty: int, price: int) -> None:
    exact = EXACT.multiply(qty * UNIT, price * UNIT)
    expected = rounded_up(exact, "1e-6")
    expected = expected if expected <= LARGEST_AMOUNT else NOT_AN_AMOUNT
    assert value_of(units(qty), units(price)).tolist() == [expected]


@given(UNITS, UNITS)
def test_a_percentage_of_a_price_is_exact_and_rounded_up(price: int, percent: int) -> None:
    exact = EXACT.divide(EXACT.multiply(price * UNIT, percent * UNIT), Decimal(100))
    expected = rounded_up(exact, "1e-9")
    expected = expected if expected <= LARGEST_AMOUNT else NOT_AN_AMOUNT
    assert part_of_price(units(price), units(percent)).tolist() == [expected]


@given(UNITS, UNITS)
def test_the_quantity_of_a_notional_is_exact_and_rounded_up_to_the_increment(
    notional: int, price: int
) -> None:
    expected = -(-notional * 10**9 // price) if notional and price else 10**18
    expected = expected if expected < 10**18 else NOT_AN_AMOUNT
    assert quantity_for(units(notional), units(price)).tolist() == [expected]


def test_an_unknown_number_has_no_value() -> None:
    unknown = np.iinfo(np.int64).min
    assert value_of(units(unknown, 5, -1), units(5, unknown, 5)).tolist() == [NOT_AN_AMOUNT] * 3
    assert quantity_for(units(unknown, 5), units(5, unknown)).tolist() == [NOT_AN_AMOUNT] * 2
    assert added_prices(units(unknown, 5, 2 * 10**18), units(5, unknown, 1)).tolist() == [NOT_AN_AMOUNT] * 3
    assert added_prices(units(5), units(7)).tolist() == [12]


@given(st.decimals("-3999999999999", "3999999999999", places=6))
def test_dollars_become_units_and_dollars_again(usd: Decimal) -> None:
    number = float(usd)
    expected = round(Decimal(repr(number)) * 10**6)
    assert usd_to_units(number) == expected
    assert to_usd(units(expected)).tolist() == [expected / 10**6]


@pytest.mark.parametrize("usd", [float("nan"), float("inf"), 4e12, -4e12, 1e300])
def test_what_is_no_amount_is_none(usd: float) -> None:
    assert to_money(np.array([usd])).tolist() == [NOT_AN_AMOUNT]


def test_a_notional_is_rounded_up_to_a_unit_of_money() -> None:
    assert in_money(units(0, 1, 1000, 1001)).tolist() == [0, 1, 1, 2]
