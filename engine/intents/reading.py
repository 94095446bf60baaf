"""Reading of one intent file: rows are typed and checked, and good ones separated from bad ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from datetime import date
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import UnreadableFile
from engine.intents.formats import read_raw
from engine.intents.identity import IdentityRules, content_digests, content_hashes, derived_ids
from engine.intents.limits import check_laid_out
from engine.intents.local_times import InboxZone, with_remedies, with_zone
from engine.intents.metadata import Metadata, metadata_of
from engine.intents.naming import NamedColumns, named_columns
from engine.intents.previous import PreviousIdentity, previous_identity
from engine.intents.problems import WHOLE_FILE, Problem, RefusedRow, Said
from engine.intents.raw_table import RawTable
from engine.intents.refusals import Findings, refused_rows
from engine.intents.row_hashes import Words
from engine.intents.typed import trimmed_text, typed_column
from engine.model.columns import MISSING, Column, FlagColumn, JsonColumn, NumberColumn, TextColumn, TimeColumn
from engine.model.contract import ID_RULE, Violation, created_ahead, violations
from engine.model.keeping import Unkeepable
from engine.model.quantity import Mask
from engine.model.schema import FIELD_BY_NAME, ID_PATTERN, INTENT_FIELDS, intents_schema
from engine.settings.variables import DEFAULT_INTAKE, IntakeLimits
from engine.text.printable import shown

Moments = npt.NDArray[np.int64]
_TODAYS_RULES = IdentityRules()
_FEW = 16
"""Up to this many rows, arrays of omitted fields are kept for the next file."""
_TYPED = [field for field in INTENT_FIELDS if field.name not in {"client_intent_id", "metadata"}]


@dataclass(frozen=True)
class IntentFile:
    """The rows of a file: ``rows`` dropped are the table's rows plus the refused ones.

    ``table`` has ``schema.intents_schema()`` in the order of the file. A file that can't be parsed at all
    counts as one refused row and is ``unreadable``. ``notes`` are worth a line to the author of
    the file. ``previous``: the identity of the table's rows under other rules; ``with_own_id`` marks those
    whose id is not derived. ``says_created_at``: there is such a column. ``held_bytes``: what the table takes
    in memory.
    """

    name: str
    rows: int
    table: pa.Table
    refused: list[RefusedRow]
    unreadable: bool = False
    notes: list[str] = dataclass_field(default_factory=list)
    previous: Mapping[IdentityRules, PreviousIdentity] = dataclass_field(default_factory=dict)
    with_own_id: Mask = dataclass_field(default_factory=lambda: np.zeros(0, dtype=bool))
    says_created_at: bool = False
    held_bytes: int = 0


def read_intent_file(  # noqa: PLR0913 - what a row's identity depends on, by name
    name: str,
    content: bytes,
    *,
    file_time_us: int,
    trading_date: date,
    limits: IntakeLimits = DEFAULT_INTAKE,
    rules: IdentityRules = _TODAYS_RULES,
    previous: Collection[IdentityRules] = (),
    now_us: int | None = None,
    zone: InboxZone | None = None,
) -> IntentFile:
    """Read a file's content. ``file_time_us`` (microseconds since 1970 UTC) is the default ``created_at``.

    ``rules`` say what identifies a row; under the ``previous`` ones its identity is worked out as well.
    Where ``now_us`` is given, a ``created_at`` further ahead of it than clocks may differ is refused.
    ``zone``: the zone of times that name none, where that setting is read; without one they are refused.
    Never raises for a file's content: bad rows are returned as refused rows, each with its reasons.
    """
    try:
        raw = raw_rows(name, content, limits)
        context = Context(file_time_us, trading_date, limits, rules, previous, now_us, zone)
        return judged(name, raw, context)
    except UnreadableFile as error:
        return refused_whole(name, error)
    except Exception as error:  # one file must not stop the others from being read in every run
        what = f"the engine can't cope with it ({type(error).__name__}: {shown(error)})"
        return refused_whole(
            name, UnreadableFile(what, remedy="Write it in another format, and report this.")
        )


def raw_rows(name: str, content: bytes, limits: IntakeLimits) -> RawTable:
    """Return a file's content, within the limits. Raises ``UnreadableFile``."""
    raw = read_raw(name, content, limits)
    check_laid_out(name, raw.columns, limits)
    return raw


def refused_whole(name: str, error: UnreadableFile) -> IntentFile:
    """Return a file that is refused as a whole, which counts as one row."""
    rule = error.message.removeprefix(f"{name}: ")
    problem = Problem(name, WHOLE_FILE, "file", None, rule, error.remedy)
    return IntentFile(name, 1, intents_schema().empty_table(), [RefusedRow((problem,))], unreadable=True)


def refused_file(name: str, part: Unkeepable) -> IntentFile:
    """Return a file whose only row is refused, for a part of its metadata that can't be kept."""
    problem = Problem(name, 1, part.path, Said(part.value), part.rule, part.remedy)
    return IntentFile(name, 1, intents_schema().empty_table(), [RefusedRow((problem,))])


@dataclass(frozen=True)
class Context:
    """The context of a row's identity and times; times are one for all rows, or one each."""

    file_time_us: int | Moments
    trading_date: date
    limits: IntakeLimits
    rules: IdentityRules
    previous: Collection[IdentityRules]
    now_us: int | Moments | None
    zone: InboxZone | None


def judged(name: str, raw: RawTable, context: Context) -> IntentFile:
    """Return a file's rows typed and checked, the good ones apart from the refused ones.

    Raises ``UnreadableFile`` where the file is refused whole.
    """
    named = named_columns(name, raw)
    named = replace(named, fields=with_zone(named.fields, context.zone))
    columns = {
        field.name: typed_column(field.kind, named.fields[field.name])
        for field in _TYPED
        if field.name in named.fields
    }
    ids = _explicit_ids(named, raw.rows)
    metadata = _metadata(named, raw.rows, context.rules.ignores)
    checked = _with_limit_of_take_profit(columns)
    found = [*named.violations(), *_violations(checked, ids, metadata, raw.rows)]
    found += [] if context.now_us is None else created_ahead(columns, context.now_us)
    found = list(with_remedies(found, named.fields, context.zone))
    findings = Findings(name, raw, named, found, {} if metadata is None else metadata.unkeepable)
    bad = findings.bad()
    good = ~bad
    refused = refused_rows(findings, bad, context.limits)
    if not good.all():
        columns = {field: _taken(column, good) for field, column in columns.items()}
        ids = ids.filter(pa.array(good))
        metadata = None if metadata is None else metadata.of(good)
    kept = int(good.sum())
    words = None if metadata is None else metadata.words
    digests = content_digests(columns, words, kept, context.trading_date)
    default_array = _left_out(kept)
    sealed = _with_limit_of_take_profit(columns)
    arrays = {
        field.name: _arrow(field.name, sealed[field.name])
        if field.name in sealed
        else default_array(field.name)
        for field in _TYPED
    }
    arrays["client_intent_id"] = _ids(ids, digests)
    arrays["created_at"] = _created_at(columns.get("created_at"), _of_rows(context.file_time_us, good))
    arrays["metadata"] = (
        pa.repeat("{}", kept) if metadata is None else pa.array(metadata.texts, type=pa.string())
    )
    arrays["source_file"] = pa.DictionaryArray.from_arrays(np.zeros(kept, dtype=np.int32), [name])
    arrays["source_row"] = pa.array(raw.row_numbers[good])
    arrays["content_hash"] = pa.array(content_hashes(digests))
    schema = intents_schema()
    table = pa.Table.from_arrays([arrays[field] for field in schema.names], schema=schema)
    return IntentFile(
        name,
        kept + len(refused),
        table,
        refused,
        notes=named.notes() if kept else [],
        previous={
            rules: previous_identity(raw.of(good), rules, context.trading_date, zone=context.zone)
            for rules in context.previous
        },
        says_created_at="created_at" in named.fields,
        with_own_id=ids.is_valid().to_numpy(zero_copy_only=False),
        held_bytes=table.get_total_buffer_size(),
    )


def _with_limit_of_take_profit(columns: dict[str, Column]) -> dict[str, Column]:
    """Return columns with the limit price of each oco that names none: it is its take profit.

    What identifies the row is what was written.
    """
    order_class, profit = columns.get("order_class"), columns.get("take_profit_limit_price")
    limit, order_type = columns.get("limit_price"), columns.get("order_type")
    if not isinstance(order_class, TextColumn) or not isinstance(order_type, TextColumn):
        return columns
    if not isinstance(profit, NumberColumn):
        return columns
    own = limit if isinstance(limit, NumberColumn) else NumberColumn(np.full(len(profit.numbers), np.nan))
    implied = order_class.where("oco".__eq__) & order_type.where("limit".__eq__) & ~own.given()
    if not implied.any():
        return columns
    numbers = np.where(implied, profit.numbers, own.numbers)
    return columns | {"limit_price": NumberColumn(numbers, own.bad)}


def _violations(
    columns: Mapping[str, Column], ids: pa.Array, metadata: Metadata | None, rows: int
) -> Iterator[Violation]:
    """Yield each broken rule with its rows."""
    misspelt = np.zeros(rows, dtype=bool)
    if ids.null_count < rows:
        well_formed = pc.match_substring_regex(ids, f"^{ID_PATTERN}$")
        misspelt = ~pc.fill_null(well_formed, True).to_numpy(zero_copy_only=False)
    remedy = "Correct the id, or leave it out to have one derived."
    yield Violation("client_intent_id", ID_RULE, remedy, misspelt)
    yield from violations(columns, rows)
    if metadata is not None:
        remedy = 'Write it as {"key": "value"}, each key once, or leave it out.'
        yield Violation("metadata", "a JSON object", remedy, metadata.bad)
        remedy = "Rename one of the two: both are kept in metadata."
        yield Violation("metadata", "no key that is also a column", remedy, metadata.clashing)


def _explicit_ids(named: NamedColumns, rows: int) -> pa.Array:
    column = named.fields.get("client_intent_id")
    return pa.nulls(rows, pa.string()) if column is None else trimmed_text(column)


def _ids(explicit: pa.Array, digests: Words) -> pa.Array:
    if explicit.null_count == 0:
        return explicit
    if explicit.null_count == len(explicit):
        return derived_ids(digests)
    return pc.coalesce(explicit, derived_ids(digests))


def _metadata(named: NamedColumns, rows: int, ignored: frozenset[str]) -> Metadata | None:
    given = named.fields.get("metadata")
    return None if given is None and not named.extra else metadata_of(given, named.extra, rows, ignored)


def _arrow(name: str, column: Column) -> pa.Array:
    """Return a typed column as the Arrow array of the sealed batch, defaults filled in."""
    default = FIELD_BY_NAME[name].default
    if isinstance(column, TextColumn):
        codes, values = np.asarray(column.codes, dtype=np.int32), [str(value) for value in column.values]
        if default is not None and (codes < 0).any():
            values = values if default in values else [*values, default]
            codes = np.where(codes < 0, np.int32(values.index(default)), codes)
        indices = pa.array(codes, mask=codes < 0) if (codes < 0).any() else pa.array(codes)
        return pa.DictionaryArray.from_arrays(indices, pa.array(values, type=pa.string()))
    if isinstance(column, NumberColumn):
        return pa.array(column.numbers, from_pandas=True)
    if isinstance(column, TimeColumn):
        return pa.array(column.us, mask=~column.given).cast(intents_schema().field(name).type)
    if isinstance(column, FlagColumn):
        return pa.array(column.flags)
    raise AssertionError(f"{name} is a column of no kind")


def _left_out(rows: int) -> Callable[[str], pa.Array]:
    """Return a function that returns a field which no row has as the Arrow array of its default.

    Fields of one type and default share the array; of many small files that takes a fifth of the time.
    """
    default_array = _default_of_few if rows <= _FEW else cache(_default_array)
    return lambda name: default_array(intents_schema().field(name).type, FIELD_BY_NAME[name].default, rows)


def _default_array(kind: pa.DataType, default: str | None, rows: int) -> pa.Array:
    if default is None:
        return pa.nulls(rows, kind)
    if pa.types.is_boolean(kind):
        return pa.array(np.zeros(rows, dtype=bool))
    return pa.DictionaryArray.from_arrays(np.zeros(rows, dtype=np.int32), [default])


_default_of_few = lru_cache(maxsize=1024)(_default_array)


def _of_rows(us: int | Moments, rows: Mask) -> Moments:
    return np.full(int(rows.sum()), us, dtype=np.int64) if isinstance(us, int) else us[rows]


def _created_at(column: Column | None, file_time_us: Moments) -> pa.Array:
    us = file_time_us
    if isinstance(column, TimeColumn):
        us = np.where(column.given, column.us, us)
    return pa.array(us).cast(pa.timestamp("us", tz="UTC"))


def _taken(column: Column, rows: Mask) -> Column:
    if isinstance(column, TextColumn):
        codes = column.codes[rows]
        used = np.bincount(codes[codes >= 0], minlength=len(column.values)) > 0
        renumbered = np.append(np.cumsum(used) - 1, MISSING)
        return TextColumn(renumbered[codes], [column.values[code] for code in np.flatnonzero(used).tolist()])
    if isinstance(column, NumberColumn):
        return NumberColumn(column.numbers[rows])
    if isinstance(column, TimeColumn):
        return TimeColumn(column.us[rows], column.given[rows], column.bad[rows])
    if isinstance(column, JsonColumn):
        return JsonColumn(column.wrong[rows])
    return FlagColumn(column.flags[rows], column.bad[rows])
