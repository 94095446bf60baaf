"""Exactness, held against ``decimal`` and ``fractions``: what is a quantity, and to which unit."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.model.breaks import units_of as rounded_alone
from engine.model.quantity import BOUND, NOT_A_QUANTITY, UNITS, round_to_units, to_shares, to_units

many = settings(deadline=None, max_examples=250)


def is_quantity(number: Decimal) -> bool:
    """The rule as the contract words it: below 1e9, at most 9 decimals and 15 significant digits."""
    _, digits, exponent = number.normalize().as_tuple()
    assert isinstance(exponent, int)
    return abs(number) < Decimal("1e9") and -exponent <= 9 and len(digits) <= 15


def units_of(*numbers: float) -> list[int]:
    return [int(unit) for unit in to_units(np.array(numbers, dtype=np.float64))]


def rounded(*numbers: float) -> list[int]:
    return [int(unit) for unit in round_to_units(np.array(numbers, dtype=np.float64))]


@st.composite
def decimals(draw: st.DrawFn) -> Decimal:
    """Numbers that keep the rule, of every number of decimals and digits, up to the bounds of both."""
    places = draw(st.integers(0, 9))
    most = min(10**15, 10 ** (9 + places)) - 1
    return Decimal(draw(st.integers(-most, most))).scaleb(-places)


@st.composite
def near_decimals(draw: st.DrawFn) -> float:
    """The float of such a number, or one a few steps away, which is of no such number."""
    number = float(draw(decimals()))
    for _ in range(draw(st.integers(0, 3))):
        number = math.nextafter(number, draw(st.sampled_from([-math.inf, math.inf])))
    return number


# 1. To units


@given(st.lists(decimals(), min_size=1, max_size=20))
@many
def test_a_number_within_the_rule_becomes_exactly_its_units(numbers: list[Decimal]) -> None:
    assert units_of(*map(float, numbers)) == [int(number * UNITS) for number in numbers]


@given(st.floats())
@example(5e-324)
@example(0.1 + 0.2)
@example(1e22)
@many
def test_any_float_is_a_quantity_exactly_if_its_shortest_decimal_keeps_the_rule(number: float) -> None:
    expected = NOT_A_QUANTITY
    if math.isfinite(number) and is_quantity(Decimal(repr(number))):
        expected = int(Decimal(repr(number)) * UNITS)
    assert units_of(number) == [expected]


@given(near_decimals())
@many
def test_a_float_next_to_a_quantity_is_none(number: float) -> None:
    shortest = Decimal(repr(number))
    assert units_of(number) == [int(shortest * UNITS) if is_quantity(shortest) else NOT_A_QUANTITY]


@given(st.lists(st.one_of(near_decimals(), st.floats()), max_size=20))
@many
def test_each_number_is_converted_as_if_it_stood_alone(numbers: list[float]) -> None:
    assert units_of(*numbers) == [unit for number in numbers for unit in units_of(number)]
    assert rounded(*numbers) == [unit for number in numbers for unit in rounded(number)]


@pytest.mark.parametrize(
    ("number", "units"),
    [
        (0.0, 0),
        (-0.0, 0),
        (1e-9, 1),
        (-1e-9, -1),
        (999_999.999999999, 999_999_999_999_999),
        (1e6, 10**15),
        (1_000_000.00000001, 10**15 + 10),
        (9_999_999.99999999, 10**16 - 10),
        (1e7, 10**16),
        (10_000_000.0000001, 10**16 + 100),
        (99_999_999.9999999, 10**17 - 100),
        (1e8, 10**17),
        (100_000_000.000001, 10**17 + 1000),
        (999_999_999.999999, 10**18 - 1000),
        (-999_999_999.999999, 1000 - 10**18),
    ],
)
def test_up_to_each_boundary_all_digits_count(number: float, units: int) -> None:
    assert units_of(number) == [units]


@pytest.mark.parametrize(
    "number",
    [
        1e-10,
        1.5e-9,
        0.1 + 0.2,
        1 / 3,
        999_999.9999999991,
        1_000_000.000000001,
        10_000_000.00000001,
        100_000_000.0000001,
        999_999_999.9999999,
        1e9,
        -1e9,
        1_000_000_001.0,
        2e10,
        1e300,
    ],
)
def test_one_decimal_or_one_digit_too_many_makes_no_quantity(number: float) -> None:
    assert units_of(number, -number) == [NOT_A_QUANTITY] * 2


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_no_quantity_whichever_way_it_is_converted(number: float) -> None:
    assert units_of(number) == rounded(number) == [NOT_A_QUANTITY]


def test_sums_in_units_are_exact_where_sums_of_floats_are_not() -> None:
    assert sum(units_of(0.1, 0.2)) == units_of(0.3)[0]
    assert 0.1 + 0.2 != 0.3


def test_no_numbers_give_no_units() -> None:
    assert units_of() == rounded() == []


def test_the_numbers_themselves_are_left_as_they_were() -> None:
    numbers = np.array([1.5, math.nan, 2e10])
    to_units(numbers)
    round_to_units(numbers)
    assert numbers.tolist()[::2] == [1.5, 2e10]


# 2. To the nearest unit


@given(st.lists(st.floats(-1e9, 1e9, exclude_min=True, exclude_max=True), min_size=1, max_size=10))
@many
def test_rounding_goes_to_the_nearest_number_of_9_decimals_and_15_digits(numbers: list[float]) -> None:
    for number, units in zip(numbers, rounded(*numbers), strict=True):
        step = 10 ** sum(abs(number) >= bound for bound in (1e6, 1e7, 1e8))
        if units == NOT_A_QUANTITY:
            assert abs(number) > 999_999_999.999999
        else:
            off = abs(Fraction(units) - Fraction(number) * UNITS)
            assert off <= Fraction(63, 100) * step  # half a step, and what the product of floats is off
            assert units % step == 0


@given(decimals())
@many
def test_rounding_changes_nothing_where_the_number_is_a_quantity(number: Decimal) -> None:
    assert rounded(float(number)) == units_of(float(number))


def test_rounding_takes_the_noise_off_sums() -> None:
    assert rounded(0.1 + 0.2, 1e-10, 1 - 1e-12) == [300_000_000, 0, 1_000_000_000]


@pytest.mark.parametrize("number", [BOUND, -BOUND, math.nextafter(BOUND, 0), 1e18, 1e300])
def test_nothing_is_rounded_to_the_bound_or_beyond(number: float) -> None:
    assert rounded(number) == [NOT_A_QUANTITY]


# 3. Back to shares


@given(st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=1, max_size=20))
@many
def test_units_become_the_float_nearest_to_them(units: list[int]) -> None:
    shares = to_shares(np.array(units, dtype=np.int64)).tolist()
    assert shares == [float(Fraction(unit, UNITS)) for unit in units]


@given(st.lists(decimals(), min_size=1, max_size=20))
@many
def test_a_quantity_survives_the_way_to_units_and_back(numbers: list[Decimal]) -> None:
    floats = np.array([float(number) for number in numbers])
    assert to_shares(to_units(floats)).tolist() == floats.tolist()


@pytest.mark.parametrize(
    ("number", "units"),
    [(5e-10, 1), (-5e-10, -1), (1.5e-9, 1), (2.5e-9, 3), (math.nextafter(5e-10, 0), 0), (0.5, UNITS // 2)],
)
def test_half_a_unit_is_rounded_by_the_exact_value_of_its_float_wherever_it_is_rounded(
    number: float, units: int
) -> None:
    assert round(Fraction(number) * UNITS) == units
    assert rounded(number, 1.0) == [units, UNITS]
    assert rounded_alone(number) == units
