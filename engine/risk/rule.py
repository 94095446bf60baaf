"""What a rule consists of: its limit, its figures, and one function that judges.

A rule is one file of ``engine.risk.rules`` and one value, ``RULE``. It judges in one of these forms:

- ``judge``: a verdict per row from that row alone, for one value of its limit (None where it has no limit);
- ``amount``: a number per row that may be at most the limit;
- ``whole_file``: a verdict per row from all orders of its file that the row rules let through;
- ``counter``: what is used of a limit, added up over the allowed rows before.

``priced_judge``, ``priced_amount`` and ``priced_file`` are the same with the values of the orders.

A rule never compares with an unknown number: amounts come with a mask, and a row outside it is *unavailable*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from engine.model.quantity import Floats, Ints, Mask
from engine.risk.batch import Batch
from engine.risk.cells import BY_ACCOUNT, BY_STRATEGY, BY_STRATEGY_AND_SYMBOL, BY_SYMBOL, Basis, Cells
from engine.risk.inputs import RiskInputs
from engine.risk.levels import ACCOUNT, ALL, STRATEGY, STRATEGY_SYMBOL, SYMBOL, VARIABLE
from engine.risk.valuing import Valuation
from engine.risk.verdicts import Amounts, Verdicts

ALL_SCOPES = (ALL, ACCOUNT, SYMBOL, STRATEGY, STRATEGY_SYMBOL)
"""Every section of a limits file."""

EVERYWHERE_ONLY = (ALL,)
"""``[limits]`` alone."""

EVERY_LEVEL = tuple(range(6))
NOT_OF_ACCOUNTS = (SYMBOL, STRATEGY, STRATEGY_SYMBOL)
OF_STRATEGIES = (STRATEGY, STRATEGY_SYMBOL)
"""Kinds of levels, for the frames that only some levels of a limit need."""

USD = "USD"
"""The unit of limits in money, which are compared in units of 1e-6; others, but counts, in units of 1e-9."""

Parse = Callable[[str, Any], Any]
Kind = Literal["number", "flag", "names", "word"]


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A limit that a person sets: a key of the limits file and an environment variable.

    ``parse``: ``(name, text) -> value``, as in ``engine.settings.values``; of a ``names`` limit also
    ``(name, list) -> value``. Raises ``ConfigurationError``. ``kind``: what a limits file has: a number,
    true or false, a list of names, or one word. ``unit``: as pages and messages print it (shares, orders,
    seconds; "" for none). ``scopes``: the kinds of sections that may set it. ``env``: its variable, ""
    where only a limits file sets it. ``default``: its value where neither the variable nor ``[limits]``
    sets it; None for no limit. ``meaning``: one line for pages. ``off``: a value that switches nothing on,
    such as False for a flag. ``looser``: the direction in which fewer orders are refused: ``higher``,
    ``lower``, ``fewer`` or ``more`` names; "" where neither is.
    """

    key: str
    unit: str
    parse: Parse
    meaning: str
    kind: Kind = "number"
    env: str = ""
    scopes: tuple[int, ...] = ALL_SCOPES
    default: Any = None
    off: Any = None
    looser: Literal["higher", "lower", "fewer", "more", ""] = "higher"

    def strictest(self, values: Sequence[Any]) -> Any:
        """Return the value of a list of numbers that refuses most."""
        return max(values) if self.looser == "lower" else min(values)


@dataclass(frozen=True)
class Figure:
    """A number that explains a verdict: a column of the decisions (float64, NaN where unavailable).

    ``of``: which number of the rule's counter or amount: ``held`` before the batch, ``used`` before this row,
    ``total`` with it, or the ``limit`` (of a further key, that of ``key``); or a ``fact`` of the row
    (``Rule.facts``).
    """

    name: str
    unit: str
    of: Literal["held", "used", "total", "limit", "fact"]
    key: str = ""


@dataclass(frozen=True)
class Used:
    """What is used of each cell before the batch, and whether it is known.

    ``held``: a figure per cell without side that is known apart from the rest (a position without its
    working orders).
    """

    units: Ints
    known: Mask
    held: Ints | None = None
    held_known: Mask | None = None


UsedOf = Callable[[Cells, RiskInputs, Mapping[str, Any]], Used]
"""``(cells, inputs, the rule's other limits by key) -> Used``."""


@dataclass(frozen=True)
class Sides:
    """Per cell without side, in units of money: what is held if all that is long, or short, should fill."""

    long: Ints
    short: Ints


@dataclass(frozen=True, kw_only=True)
class Money:
    """A counter of money: a row adds what it is worth.

    ``amount``: per row. ``used``: per cell. ``limit``: per cell, the limit that a level's value stands for,
    where that is not the value itself. ``only_opening``: orders that reduce a position add nothing.
    ``worst_by``: a row adds only what makes its cell of this basis worse than it is, of long and short
    (``sides``), instead of its whole amount.

    Orders that reduce a position pass, also where data is missing; at the levels of a strategy it is the
    strategy's own position that they have to reduce.
    """

    amount: Callable[[Valuation], Amounts]
    used: Callable[[Cells, Valuation], Used]
    limit: Callable[[Cells, Valuation, Any], Ints] | None = None
    only_opening: bool = False
    worst_by: Mapping[int, Basis] | None = None
    sides: Callable[[Cells, Valuation], Sides] | None = None


BY_SCOPE: Mapping[int, Basis] = {
    VARIABLE: BY_ACCOUNT,
    ALL: BY_ACCOUNT,
    ACCOUNT: BY_ACCOUNT,
    SYMBOL: BY_SYMBOL,
    STRATEGY: BY_STRATEGY,
    STRATEGY_SYMBOL: BY_STRATEGY_AND_SYMBOL,
}
"""A count: of the account, of a symbol in it, of a strategy in it, of a strategy's symbol in it."""


def directed(bases: Mapping[int, Basis]) -> Mapping[int, Basis]:
    """Return the same bases with buys and sells apart."""
    return {kind: replace(basis, side=True) for kind, basis in bases.items()}


def books(*, side: bool) -> Mapping[int, Basis]:
    """Return the bases of a position: the account's in each symbol, or the strategy's own."""
    own = Basis(strategy=True, symbol=True, side=side)
    account = Basis(symbol=True, side=side)
    return {
        VARIABLE: account,
        ALL: account,
        ACCOUNT: account,
        SYMBOL: account,
        STRATEGY: own,
        STRATEGY_SYMBOL: own,
    }


@dataclass(frozen=True)
class RowCells:
    """Cells that follow from a row itself: ``cell`` per row (``NO_CELL`` where the rule does not concern it).

    ``used`` and ``known`` per cell.
    """

    cell: Ints
    used: Ints
    known: Mask


@dataclass(frozen=True)
class Entered:
    """Cells that a row enters once: which were entered before the batch, and whether that is known."""

    entered: Mask
    known: Mask


@dataclass(frozen=True, kw_only=True)
class Counter:
    """A row fails where what is used of its cell and its own amount exceed the limit.

    ``of``: ``order`` counts one for each row, ``qty`` its shares, a ``Money`` what it is worth. ``bases``:
    the basis of the cells by the kind of level; with ``by_row`` the cells follow from the rows instead.
    ``signed``: sells subtract, and the limit holds on both sides of zero (SEED's net projection).
    ``once_per``: a row counts only as the first one of its cell of this basis, nothing before the batch
    included (``entered``).
    """

    of: Literal["order", "qty"] | Money
    used: UsedOf | None = None
    bases: Mapping[int, Basis] = field(default_factory=lambda: BY_SCOPE)
    by_row: Callable[[Batch, RiskInputs, Mapping[str, Any]], RowCells] | None = None
    signed: bool = False
    once_per: Mapping[int, Basis] | None = None
    entered: Callable[[Cells, RiskInputs], Entered] | None = None

    @property
    def money(self) -> Money | None:
        """What it counts in money, None where it counts something else."""
        return self.of if isinstance(self.of, Money) else None


RowJudge = Callable[[Batch, RiskInputs, Any], Verdicts]
FactsOf = Callable[[Valuation, Mask], Mapping[str, Floats]]
"""Returns figures by name, a number per row, NaN where unknown; the mask: what row rules let through."""
WordsOf = Callable[[Valuation], tuple[Ints, Sequence[str]]]
"""Returns a word per row, as codes of the words."""
PricedJudge = Callable[[Valuation, Any], Verdicts]
PricedAmount = Callable[[Valuation], Amounts]
FileJudge = Callable[[Batch, RiskInputs, Any, Mask], Verdicts]
PricedFileJudge = Callable[[Valuation, Any, Mask], Verdicts]
Reducing = Literal["judged", "pass_if_known", "pass"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One way in which a rule judges rows: by one limit, or without one.

    ``judge``: a verdict per row by one value of the limit. ``amount``: a number per row that may be at
    most the limit. ``whole_file``: a verdict per row from all orders of its file, of which ``passing`` are
    judged; where fewer are, no more may be refused. ``priced_judge``, ``priced_amount``, ``priced_file``:
    the same from the values of the orders. ``kinds``: the kinds of levels of the limit that concern it.
    ``judges_unset``: ``judge`` is asked, with None, for rows where no level sets the limit. ``where_priced``:
    so it is, of a part without a limit, for rows for which another limit needs a price. ``reducing``:
    orders that reduce a position pass where it fails (``pass_if_known``), also where its data is missing
    (``pass``), or have no privilege (``judged``). ``own_book``: at the levels of a strategy, the
    strategy's own position is the one to reduce.
    """

    limit: Limit | None = None
    judge: RowJudge | None = None
    amount: Callable[[Batch, RiskInputs], Amounts] | None = None
    whole_file: FileJudge | None = None
    priced_judge: PricedJudge | None = None
    priced_amount: PricedAmount | None = None
    priced_file: PricedFileJudge | None = None
    kinds: tuple[int, ...] = EVERY_LEVEL
    judges_unset: bool = False
    where_priced: bool = False
    reducing: Reducing = "judged"
    own_book: bool = False
    units: Callable[[Any], int] = int

    @property
    def has_amount(self) -> bool:
        """Whether it compares a number per row with the limit."""
        return self.amount is not None or self.priced_amount is not None

    @property
    def is_of_files(self) -> bool:
        """Whether it judges the orders of a file together."""
        return self.whole_file is not None or self.priced_file is not None

    def verdicts(self, valuation: Valuation, value: Any) -> Verdicts:
        """Return the verdict on each row by one value of the limit."""
        if self.priced_judge is not None:
            return self.priced_judge(valuation, value)
        assert self.judge is not None
        return self.judge(valuation.batch, valuation.inputs, value)

    def verdicts_of_files(self, valuation: Valuation, value: Any, passing: Mask) -> Verdicts:
        """Return the verdict on each row by one value of the limit, from the orders of its file."""
        if self.priced_file is not None:
            return self.priced_file(valuation, value, passing)
        assert self.whole_file is not None
        return self.whole_file(valuation.batch, valuation.inputs, value, passing)

    def amounts(self, valuation: Valuation) -> Amounts:
        """Return the number per row that is compared with the limit."""
        if self.priced_amount is not None:
            return self.priced_amount(valuation)
        assert self.amount is not None
        return self.amount(valuation.batch, valuation.inputs)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule of the book; ``name`` is its file, reason, column ``check_<name>``, fixture and test.

    ``source``: the law, standard or incident that asks for it; SEED is this product's first specification,
    DESIGN its design. ``explain``: a sentence with the names of
    figures in braces, and ``{limit_source}``. ``limit`` switches it on; a rule without one always judges.
    ``at_most``: what a counter without a limit may reach. ``settings``: further limits that it reads.
    ``judges_unset``: ``judge`` is asked, with None, where no level sets the limit. ``reads``: the input
    frames that it needs besides those of every run; ``reads_by_key``: those of a further limit;
    ``reads_by_level``: those that only some kinds of levels need. ``units``: its limit as an exact
    integer.

    ``word``: a column of the decisions with a word per row (``words``), where the rule judges any.
    ``facts``: the figures of a row rule that follow from the row. A clause of ``explain``, up to a semicolon,
    is left out where a figure in it is unknown; one that begins with ``else`` then stands in its place.

    ``faces_cancels``: it holds for cancels too. ``needs_data``: ``fail_open`` skips it where its data is
    unavailable. ``overridable``: an override may name it. ``more``: further ways in which it judges rows; the
    others are those of ``Part``.
    """

    name: str
    source: str
    explain: str
    limit: Limit | None = None
    at_most: int | None = None
    settings: tuple[Limit, ...] = ()
    reads: tuple[str, ...] = ()
    reads_by_level: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    reads_by_key: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    figures: tuple[Figure, ...] = ()
    facts: FactsOf | None = None
    word: str = ""
    words: WordsOf | None = None
    judges_unset: bool = False
    where_priced: bool = False
    faces_cancels: bool = False
    needs_data: bool = False
    overridable: bool = True
    reducing: Reducing = "judged"
    own_book: bool = False
    judge: RowJudge | None = None
    amount: Callable[[Batch, RiskInputs], Amounts] | None = None
    whole_file: FileJudge | None = None
    priced_judge: PricedJudge | None = None
    priced_amount: PricedAmount | None = None
    priced_file: PricedFileJudge | None = None
    more: tuple[Part, ...] = ()
    kinds: tuple[int, ...] = EVERY_LEVEL
    counter: Counter | None = None
    net_counter: Counter | None = None
    blocks_self_trades: bool = False
    refuses_groups: bool = False
    units: Callable[[Any], int] = int

    @property
    def parts(self) -> tuple[Part, ...]:
        """The ways in which it judges rows; none of a sequential rule."""
        if self.is_sequential or self.refuses_groups:
            return ()
        first = Part(
            limit=self.limit,
            judge=self.judge,
            amount=self.amount,
            whole_file=self.whole_file,
            priced_judge=self.priced_judge,
            priced_amount=self.priced_amount,
            priced_file=self.priced_file,
            kinds=self.kinds,
            judges_unset=self.judges_unset,
            where_priced=self.where_priced,
            reducing=self.reducing,
            own_book=self.own_book,
            units=self.units,
        )
        return (first, *self.more)

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Every limit that it reads, each once."""
        found = (self.limit, *(part.limit for part in self.more), *self.settings)
        return tuple({limit.key: limit for limit in found if limit is not None}.values())

    @property
    def is_sequential(self) -> bool:
        """Whether it depends on which rows before were allowed."""
        return self.counter is not None or self.blocks_self_trades

    @property
    def is_of_files(self) -> bool:
        """Whether it judges the orders of a file together."""
        return self.whole_file is not None or self.priced_file is not None
