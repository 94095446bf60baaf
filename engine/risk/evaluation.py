"""The decision function: every rule of the book on every intent of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import union_categoricals

from engine.model.quantity import Floats, Mask
from engine.model.schema import FIGURES, VERDICTS
from engine.risk.answers import Found, counter_answer, crossing_answer, group_answer, row_answer
from engine.risk.batch import Batch
from engine.risk.book import RULE_BOOK
from engine.risk.config import RiskConfig
from engine.risk.groups import Groups
from engine.risk.in_force import InForce
from engine.risk.inputs import RiskInputs
from engine.risk.overrides import waived_rows
from engine.risk.reducing import Reducible
from engine.risk.row_rules import Judged, judge_rows
from engine.risk.rule import Rule
from engine.risk.sequence import Answer, Prepared, Question, judge_in_sequence, prepared, with_shares
from engine.risk.valuing import Valuation
from engine.risk.verdicts import FAIL, OFF, PASS, UNAVAILABLE, Verdicts, any_refusing, everywhere
from engine.risk.working_quantities import with_quantities

OK = "ok"
RISK_DATA_UNAVAILABLE = "risk_data_unavailable"
NO_SOURCE = "none"
REASONS = (OK, *(rule.name for rule in RULE_BOOK), RISK_DATA_UNAVAILABLE)
_PLACE = {name: place for place, name in enumerate(FIGURES)}
"""The figures of the first rule book come first, in their own order."""

_VERDICT_DTYPE = pd.CategoricalDtype(VERDICTS)


def evaluate(
    intents: pd.DataFrame,
    inputs: RiskInputs,
    config: RiskConfig,
    *,
    rule_book: tuple[Rule, ...] = RULE_BOOK,
) -> pd.DataFrame:
    """Return the decision on every intent of a batch. Pure: no clock, no I/O, inputs unchanged.

    ``intents``: one row per intent with the columns of ``schema.INTENT_FIELDS``, optional ones may be
    absent; a column ``source_file`` names the file of each row. ``rule_book``: any rules, in the order of
    their reasons.

    Returns one row per intent, same index and order: ``client_intent_id``, ``allowed`` (bool), ``reason``
    (category: ``ok``, the first failing rule, or ``risk_data_unavailable``), ``check_<rule>`` (category:
    pass, fail, off, unavailable) per rule, the figures of the rules that are set (float64, NaN where the
    data is unavailable), ``limit_source`` (category: the first failing level of the rule in ``reason``,
    such as ``[symbol.TSLA]``, or ``none``), and ``overridden`` (category: the rules that an override
    waived, or ``""``).

    A rule that raises refuses all rows, ``fail_open`` or not; ``decisions.attrs["raised"]`` has the errors.
    """
    return judged(intents, inputs, config, rule_book)[0]


def judged(
    intents: pd.DataFrame, inputs: RiskInputs, config: RiskConfig, rule_book: tuple[Rule, ...] = RULE_BOOK
) -> tuple[pd.DataFrame, Evaluation]:
    """Return what ``evaluate`` does, and the judged batch that utilisation is worked out from."""
    inputs = with_quantities(inputs, config.quote_levels)
    evaluation = Evaluation.of(intents, inputs, config, rule_book)
    groups = evaluation.groups
    if groups is None:
        return evaluation.decisions(), evaluation
    decided: list[tuple[Mask, pd.DataFrame]] = []
    settled = np.zeros(len(intents), dtype=bool)
    while (refused := groups.refused(evaluation.answer.allowed) & ~settled).any():
        decided.append((refused, evaluation.decisions(refused)))
        settled |= refused
        evaluation = evaluation.without(settled)
    return _in_order([*decided, (~settled, evaluation.decisions())], intents.index), evaluation


def _in_order(parts: Sequence[tuple[Mask, pd.DataFrame]], index: pd.Index) -> pd.DataFrame:
    """Return the rows of some frames, each in its place; the frames have the same columns."""
    rows = np.concatenate([np.flatnonzero(mask) for mask, _ in parts])
    columns: dict[str, object] = {}
    for name in parts[0][1].columns:
        pieces = [frame[name].iloc[np.flatnonzero(mask)] for mask, frame in parts]
        if isinstance(pieces[0].dtype, pd.CategoricalDtype):
            joined = union_categoricals([piece.array for piece in pieces])
            columns[name] = joined.take(np.argsort(rows, kind="stable"))
        else:
            columns[name] = pd.concat(pieces).array[np.argsort(rows, kind="stable")]
    decisions = pd.DataFrame(columns, index=index, copy=False)
    decisions.attrs.update({key: value for _, frame in parts for key, value in frame.attrs.items()})
    return decisions


@dataclass(frozen=True)
class Evaluation:
    """A batch, judged: what each rule answers, and which rows are allowed."""

    intents: pd.DataFrame
    inputs: RiskInputs
    batch: Batch
    valuation: Valuation
    in_force: InForce
    rule_book: tuple[Rule, ...]
    row_rules: Mapping[str, Judged]
    sequence: Prepared
    question: Question
    answer: Answer
    raised: Mapping[str, str]
    groups: Groups | None = None
    scan_failed: bool = False

    @classmethod
    def of(
        cls,
        intents: pd.DataFrame,
        inputs: RiskInputs,
        config: RiskConfig,
        rule_book: tuple[Rule, ...] = RULE_BOOK,
    ) -> Evaluation:
        """Judge a batch."""
        valuation = _valued(Batch.of(intents, by_strategy=config.names_strategies), inputs, config)
        batch = valuation.batch
        in_force = InForce(config, batch.buckets)
        raised: dict[str, str] = {}
        row_rules = _row_rules(rule_book, valuation, in_force, raised)
        sequence = prepared([rule for rule in rule_book if rule.is_sequential], valuation, in_force)
        raised.update(sequence.raised)
        waived = waived_rows(rule_book, batch, inputs)
        question = _question(rule_book, row_rules, valuation, sequence, config, waived, raised)
        sequence = sequence.without(raised)
        if config.shares_pro_rata:
            sequence = with_shares(sequence, batch, question.open_row)
        rule = next((rule for rule in rule_book if rule.refuses_groups), None)
        groups = None if rule is None else Groups.of(rule, batch, in_force)
        answer, why = _answer(sequence, batch, question)
        if why is not None:
            raised.update(dict.fromkeys((rule.name for rule in rule_book if rule.is_sequential), why))
        return cls(
            intents,
            inputs,
            batch,
            valuation,
            in_force,
            rule_book,
            row_rules,
            sequence,
            question,
            answer,
            raised,
            groups,
            scan_failed=why is not None,
        )

    def without(self, rows: Mask) -> Evaluation:
        """Judge the batch from the start without some rows, which are refused."""
        question = replace(self.question, open_row=self.question.open_row & ~rows, judged=~rows)
        answer, _ = _answer(self.sequence, self.batch, question)
        return replace(self, question=question, answer=answer)

    def decisions(self, refused_together: Mask | None = None) -> pd.DataFrame:
        """Return the decisions as a frame. ``refused_together``: rows refused with others of their group."""
        batch, allowed = self.batch, self.answer.allowed
        if refused_together is not None:
            allowed = allowed & ~refused_together
        reason = np.zeros(batch.rows, dtype=np.int16)
        source = np.zeros(batch.rows, dtype=np.int16)
        overridden = np.zeros(batch.rows, dtype=np.int16)
        reasons = [OK, *(rule.name for rule in self.rule_book), RISK_DATA_UNAVAILABLE]
        sources, waived_names = {NO_SOURCE: 0}, {"": 0}
        checks: dict[str, Verdicts] = {}
        figures: dict[str, Floats] = {}
        for place in range(len(self.rule_book) - 1, -1, -1):
            rule = self.rule_book[place]
            found = self._found(rule, refused_together)
            checks[rule.name] = found.verdicts
            figures = {**found.figures, **figures}
            waived = self.question.waived.get(rule.name)
            if waived is None and not any_refusing(found.verdicts):
                continue
            fails, unknown = found.verdicts == FAIL, found.verdicts == UNAVAILABLE
            if waived is not None:
                held = waived & fails
                overridden[held] = waived_names.setdefault(rule.name, len(waived_names))
                fails &= ~waived
            if rule.name in self.question.skip:
                unknown = np.zeros(batch.rows, dtype=bool)
            if not (fails.any() or unknown.any()):
                continue
            reason[fails] = place + 1
            reason[unknown] = len(reasons) - 1
            source[fails | unknown] = 0
            if found.source is not None:
                for number, held_level in enumerate(found.levels):
                    at = fails & (found.source == number)
                    source[at] = sources.setdefault(held_level.level.source, len(sources))
        judged = self.question.judged
        if ((allowed != (reason == 0)) & judged).any():
            raise AssertionError("the scan and the rule book disagree on what is allowed")
        columns: dict[str, object] = {
            "client_intent_id": _ids(self.intents),
            "allowed": allowed,
            "reason": pd.Categorical.from_codes(reason, categories=reasons),
        }
        for rule in self.rule_book:
            columns[f"check_{rule.name}"] = pd.Categorical.from_codes(
                checks[rule.name], dtype=_VERDICT_DTYPE, validate=False
            )
        columns.update(sorted(figures.items(), key=lambda figure: _PLACE.get(figure[0], len(_PLACE))))
        for judged_rule in self.row_rules.values():
            if judged_rule.words is not None:
                codes, words = judged_rule.words
                columns[judged_rule.rule.word] = pd.Categorical.from_codes(codes, categories=list(words))
        columns["limit_source"] = pd.Categorical.from_codes(source, categories=list(sources))
        columns["overridden"] = pd.Categorical.from_codes(overridden, categories=list(waived_names))
        decisions = pd.DataFrame(columns, index=self.intents.index, copy=False)
        if self.raised:
            decisions.attrs["raised"] = dict(self.raised)
        return decisions

    def _found(self, rule: Rule, refused_together: Mask | None) -> Found:
        """Return what a rule answers."""
        batch = self.batch
        if rule.refuses_groups:
            return group_answer(self.groups, refused_together, batch)
        if rule.name in self.raised:
            verdicts = everywhere(UNAVAILABLE, batch.rows)
            if not rule.faces_cancels and not self.scan_failed:
                verdicts[batch.is_cancel] = OFF
            return Found(verdicts, figures={figure.name: _unknown(batch) for figure in rule.figures})
        if rule.name in self.row_rules:
            return row_answer(self.row_rules[rule.name], batch, self.question, self.answer.allowed)
        if rule.counter is not None:
            return counter_answer(rule, self.sequence, batch, self.question, self.answer.allowed)
        crossing = self.sequence.crossings.get(rule.name)
        if crossing is None:
            return Found(everywhere(OFF, batch.rows))
        return crossing_answer(crossing, batch, self.answer.crosses)


def _valued(batch: Batch, inputs: RiskInputs, config: RiskConfig) -> Valuation:
    """Return a batch with the values of its orders; those by notional have a quantity where it is known.

    Quotes that can't be read leave them without one; the rules that read them raise, each in its place.
    """
    valuation = Valuation(batch, inputs, config.quote_levels)
    if inputs.prices is None or not batch.has_notionals:
        return valuation
    try:
        quantities = valuation.quantity_by_notional
    except Exception:
        return valuation
    return replace(valuation, batch=replace(batch, by_notional=quantities))


def _answer(sequence: Prepared, batch: Batch, question: Question) -> tuple[Answer, str | None]:
    """Return the allowed rows; where the scan raises none is, and why."""
    try:
        return judge_in_sequence(sequence, batch, question), None
    except Exception as error:
        nothing = Answer(np.zeros(batch.rows, dtype=bool), everywhere(PASS, batch.rows))
        return nothing, f"{type(error).__name__}: {error}"


def _row_rules(
    rule_book: tuple[Rule, ...], valuation: Valuation, in_force: InForce, raised: dict[str, str]
) -> dict[str, Judged]:
    """Return the verdicts of the rules that aren't sequential; whole files are judged last."""
    found: dict[str, Judged] = {}
    passing = valuation.batch.is_order.copy()
    for rule in sorted(
        (rule for rule in rule_book if not rule.is_sequential), key=lambda rule: rule.is_of_files
    ):
        try:
            found[rule.name] = judge_rows(rule, valuation, in_force, passing)
        except Exception as error:
            raised[rule.name] = f"{type(error).__name__}: {error}"
            continue
        for part in found[rule.name].parts:
            if not rule.is_of_files and part.reducing == "judged" and any_refusing(part.verdicts):
                passing &= (part.verdicts != FAIL) & (part.verdicts != UNAVAILABLE)
    return found


def _question(
    rule_book: tuple[Rule, ...],
    row_rules: Mapping[str, Judged],
    valuation: Valuation,
    sequence: Prepared,
    config: RiskConfig,
    waived: Mapping[str, Mask],
    raised: dict[str, str],
) -> Question:
    """Return which rows are open to the sequential rules, and which of them must reduce a position.

    Rules that ask for a position which can't be read are added to ``raised``.
    """
    batch, inputs = valuation.batch, valuation.inputs
    open_row = np.ones(batch.rows, dtype=bool)
    must_reduce: dict[int, npt.NDArray[np.int8]] = {}
    needs_position: dict[int, list[Mask]] = {}
    asking: dict[int, list[Rule]] = {}
    skip = frozenset(
        rule.name for rule in rule_book if rule.needs_data and config.fail_open and rule.name not in raised
    )
    for rule in rule_book:
        if rule.name in raised:
            open_row &= batch.is_cancel if not rule.faces_cancels else False
        for one in sequence.counters.get(rule.name, ()):
            if one.money is not None:
                asking.setdefault(one.money.book, []).append(rule)
                must_reduce.setdefault(one.money.book, np.zeros(batch.rows, dtype=np.int8))
        if rule.name not in row_rules:
            continue
        for part in row_rules[rule.name].parts:
            if not any_refusing(part.verdicts):
                continue
            held, book = waived.get(rule.name), part.book
            verdicts = part.overridden(None if rule.name in skip else held)
            refuses, unknown = verdicts == FAIL, verdicts == UNAVAILABLE
            if held is not None:
                if part.reducing != "judged" and rule.name not in skip:
                    asking.setdefault(book, []).append(rule)
                    needs_position.setdefault(book, []).append(refuses & held)
                refuses &= ~held
            if rule.name in skip:
                unknown = np.zeros(batch.rows, dtype=bool)
            if part.reducing == "judged":
                open_row &= ~(refuses | unknown)
                continue
            if part.reducing == "pass":
                refuses, unknown = refuses | unknown, np.zeros(batch.rows, dtype=bool)
            open_row &= ~unknown
            if refuses.any():
                asking.setdefault(book, []).append(rule)
                needs = must_reduce.setdefault(book, np.zeros(batch.rows, dtype=np.int8))
                kind = 2 if rule.name in skip else 1
                needs[refuses] = np.where(needs[refuses] == 1, 1, kind)
    books: dict[int, Reducible] = {}
    for book, rules in asking.items():
        try:
            books[book] = Reducible.of(book, batch, inputs)
        except Exception as error:
            raised.update(dict.fromkeys((rule.name for rule in rules), f"{type(error).__name__}: {error}"))
            open_row &= batch.is_cancel
            must_reduce.pop(book, None)
            continue
        for rows in needs_position.get(book, ()):  # overridden, but without it the verdict is unavailable
            open_row &= ~rows | books[book].known_rows(batch)
    return Question(open_row, must_reduce, books, waived, skip, judged=np.ones(batch.rows, dtype=bool))


def _unknown(batch: Batch) -> Floats:
    return np.full(batch.rows, np.nan)


def _ids(intents: pd.DataFrame) -> object:
    """Return the ids unchanged; a missing one is empty text, since no cell of a decision is missing."""
    if "client_intent_id" not in intents.columns:
        return np.full(len(intents), "", dtype=object)
    ids = intents["client_intent_id"]
    missing = ids.isna().to_numpy()
    if not missing.any():
        return ids
    filled = ids.astype(object).to_numpy(copy=True)
    filled[missing] = ""
    return filled
