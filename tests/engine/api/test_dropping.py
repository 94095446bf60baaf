from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from engine import OrderIntent, drop_intents
from engine.errors import UsageError
from engine.intents.reading import IntentFile, read_intent_file
from engine.stores.inbox.inbox import Dropped, Inbox, hash_of
from tests.desk import order


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    (tmp_path / "inbox").mkdir()
    return Inbox(tmp_path / "inbox")


def read_back(path: Path) -> IntentFile:
    return read_intent_file(path.name, path.read_bytes(), file_time_us=0, trading_date=date(2026, 3, 2))


def rows_of(path: Path, *columns: str) -> list[tuple[Any, ...]]:
    """Return columns of what a run reads of a file, none of whose rows it refuses."""
    read = read_back(path)
    assert read.refused == []
    return [tuple(row.values()) for row in read.table.select(list(columns)).to_pylist()]


# --- lists


def test_a_dropped_frame_is_read_back_as_its_rows(inbox: Inbox) -> None:
    frame = pd.DataFrame([order(qty=1.5), order(symbol="QQQ", qty=2)])
    path = drop_intents(frame, inbox.root)
    assert path.suffix == ".parquet"
    assert read_back(path).table.select(["symbol", "qty"]).to_pydict() == {
        "symbol": ["SPY", "QQQ"],
        "qty": [1.5, 2.0],
    }


def test_dropped_mappings_are_read_back_as_their_rows(inbox: Inbox) -> None:
    path = drop_intents([order(qty=1.5), order(symbol="QQQ")], str(inbox.root))
    assert path.suffix == ".jsonl"
    assert read_back(path).table["symbol"].to_pylist() == ["SPY", "QQQ"]


def test_dropped_order_intents_are_read_back_as_what_they_say(inbox: Inbox) -> None:
    created = datetime(2026, 3, 2, 15, tzinfo=UTC)
    intent = OrderIntent(**order(created_at=created, metadata={"signal": 0.5}))
    read = read_back(drop_intents([intent], inbox.root))
    row = read.table.to_pylist()[0]
    assert (row["created_at"], row["metadata"], row["limit_price"]) == (created, '{"signal":0.5}', None)


def test_an_order_intent_that_is_dropped_again_is_the_same_row_however_often_it_is_made(inbox: Inbox) -> None:
    created = datetime(2026, 3, 2, 15, tzinfo=UTC)
    ids = [
        read_back(drop_intents([OrderIntent(**order(created_at=created))], inbox.root)).table[
            "client_intent_id"
        ]
        for _ in range(2)
    ]
    assert ids[0] == ids[1]


def test_an_id_that_an_order_intent_is_given_is_dropped_with_it(inbox: Inbox) -> None:
    read = read_back(drop_intents([OrderIntent(**order(client_intent_id="mine"))], inbox.root))
    assert read.table["client_intent_id"].to_pylist() == ["mine"]


def test_numbers_and_timestamps_of_other_libraries_are_read_back(inbox: Inbox) -> None:
    created = pd.Timestamp("2026-03-02T15:00Z")
    rows = [
        order(qty=number, created_at=created) for number in (np.float64(1.5), np.int64(2), Decimal("0.1"))
    ]
    read = read_back(drop_intents(rows, inbox.root))
    assert read.table["qty"].to_pylist() == [1.5, 2.0, 0.1]
    assert read.table["created_at"].to_pylist() == [created] * 3


@pytest.mark.parametrize(
    "said", [{"qty": 10**30}, {"qty": float("nan")}, {"symbol": "\ud800"}, {"qty": True}]
)
def test_a_value_that_no_intent_may_have_is_dropped_all_the_same_and_refused_by_the_run(
    inbox: Inbox, said: dict[str, object]
) -> None:
    read = read_back(drop_intents([order(**said), order()], inbox.root))
    assert (read.table.num_rows, [refused.first.row for refused in read.refused]) == (1, [1])


def test_a_dropped_file_carries_the_hash_of_its_content_in_its_name(inbox: Inbox) -> None:
    path = drop_intents([order()], inbox.root, name="momentum")
    assert path.name == f"momentum.{hash_of(path.read_bytes())}.jsonl"


def test_the_same_content_makes_one_file(inbox: Inbox) -> None:
    first, second = (drop_intents([order()], inbox.root) for _ in range(2))
    assert first == second
    assert len(inbox.find().files) == 1


def test_other_content_makes_another_file(inbox: Inbox) -> None:
    drop_intents([order()], inbox.root)
    drop_intents([order(qty=2)], inbox.root)
    assert len(inbox.find().files) == 2


def test_a_dropped_file_appears_whole(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[Dropped]] = []
    monkeypatch.setattr("os.fsync", lambda _: seen.append(inbox.find().files))
    drop_intents([order()], inbox.root)
    assert seen == [[]]
    assert len(inbox.find().files) == 1


def test_no_intents_make_a_file_without_rows(inbox: Inbox) -> None:
    assert read_back(drop_intents([], inbox.root)).rows == 0


def test_what_is_no_intent_is_a_usage_error_that_says_what_to_give(inbox: Inbox) -> None:
    with pytest.raises(UsageError, match="'SPY' is no intent; give a mapping or an OrderIntent"):
        drop_intents(["SPY"], inbox.root)
    assert inbox.find().files == []


def test_records_of_dropped_intents_are_plain_json_lines(inbox: Inbox) -> None:
    path = drop_intents([order(), order(qty=2)], inbox.root)
    assert [json.loads(line) for line in path.read_bytes().splitlines()] == [order(), order(qty=2)]


# --- values


@dataclass(frozen=True)
class Signal:
    strategy_id: str
    broker_account_id: str
    symbol: str
    side: str
    qty: Decimal
    limit_price: float | None = None


class Side(Enum):
    BUY = "buy"


def test_one_mapping_alone_is_one_intent(inbox: Inbox) -> None:
    assert rows_of(drop_intents(order(qty=2), inbox.root), "symbol", "qty") == [("SPY", 2.0)]


def test_one_order_intent_alone_is_one_intent(inbox: Inbox) -> None:
    assert rows_of(drop_intents(OrderIntent(**order()), inbox.root), "symbol") == [("SPY",)]


def test_dataclasses_of_others_are_intents(inbox: Inbox) -> None:
    signal = Signal("momentum", "paper", "SPY", "buy", Decimal("0.3"))
    assert rows_of(drop_intents([signal], inbox.root), "qty", "limit_price") == [(0.3, None)]


def test_a_generator_is_a_list_of_intents(inbox: Inbox) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield from (order(qty=qty) for qty in (1, 2))

    assert rows_of(drop_intents(rows(), inbox.root), "qty") == [(1.0,), (2.0,)]


@pytest.mark.parametrize("missing", [float("nan"), np.float32("nan"), pd.NA, pd.NaT, None, Decimal("NaN")])
def test_a_missing_value_of_a_row_is_a_field_that_is_left_out(inbox: Inbox, missing: object) -> None:
    row = {**order(), "limit_price": missing, "note": missing}
    assert rows_of(drop_intents([row], inbox.root), "limit_price", "metadata") == [(None, "{}")]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.array([1, 2]), [1, 2]),
        ((1, 2), [1, 2]),
        (Decimal("1.10"), "1.10"),
        (date(2026, 3, 2), "2026-03-02"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Side.BUY, "buy"),
        (10**30, 10**30),
        ({"a": {"b": np.int8(1)}}, {"a": {"b": 1}}),
    ],
)
def test_values_of_metadata_arrive_as_what_json_has_for_them(
    inbox: Inbox, value: object, kept: object
) -> None:
    path = drop_intents([order(metadata={"x": value})], inbox.root)
    assert json.loads(path.read_bytes())["metadata"] == {"x": kept}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"qty": float("inf")}, "intent 1: qty is inf; expected a finite number"),
        ({"metadata": {"x": float("nan")}}, "intent 1: metadata.x is nan; expected a finite number"),
        ({"metadata": {"x": [pd.NaT]}}, r"intent 1: metadata.x\[0\] is NaT"),
        ({"metadata": {1: 2}}, "intent 1: metadata has the key 1; expected text"),
        ({"note": b"x"}, "intent 1: note is of type bytes"),
        ({"note": {1}}, "intent 1: note is of type set"),
        ({"note": object()}, "intent 1: note is of type object"),
        ({"note": timedelta(1)}, "intent 1: note is of type datetime.timedelta"),
        ({"note": np.longdouble(1)}, "intent 1: note is of type numpy.longdouble"),
    ],
)
def test_a_value_that_json_cannot_hold_is_refused_with_its_place(
    inbox: Inbox, said: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        drop_intents([order(**said)], inbox.root)
    assert inbox.find().files == []


def test_metadata_without_end_is_refused(inbox: Inbox) -> None:
    endless: dict[str, Any] = {}
    endless["x"] = endless
    with pytest.raises(UsageError, match="more than 100 levels"):
        drop_intents([order(metadata=endless)], inbox.root)


@pytest.mark.parametrize("intents", ["SPY", b"SPY", None, 5, pl.DataFrame([order()]).lazy()])
def test_what_is_neither_frame_nor_list_is_refused(inbox: Inbox, intents: object) -> None:
    with pytest.raises(UsageError, match="expected a frame of pandas, polars or Arrow, or a list"):
        drop_intents(intents, inbox.root)


# --- frames

CREATED = datetime(2026, 3, 2, 15, tzinfo=UTC)
ROWS = [order(qty=1.5), order(symbol="QQQ", qty=2.0)]


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame(ROWS),
        pl.DataFrame(ROWS).with_columns(pl.col("symbol").cast(pl.Categorical)),
        pl.DataFrame(ROWS).with_columns(pl.col("side").cast(pl.Enum(["buy", "sell"]))),
        pa.Table.from_pylist(ROWS),
        pa.Table.from_pylist(ROWS).to_batches()[0],
        pa.Table.from_pylist(ROWS).to_reader(),
        pd.DataFrame(ROWS).astype({"symbol": "category"}),
        pd.DataFrame(ROWS).convert_dtypes(dtype_backend="pyarrow"),
    ],
)
def test_frames_of_every_library_are_read_back_as_their_rows(inbox: Inbox, frame: Any) -> None:
    path = drop_intents(frame, inbox.root)
    assert path.suffix == ".parquet"
    assert rows_of(path, "symbol", "side", "qty") == [("SPY", "buy", 1.5), ("QQQ", "buy", 2.0)]


def test_any_frame_with_arrows_stream_will_do(inbox: Inbox) -> None:
    class Frame:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return pa.Table.from_pylist(ROWS).__arrow_c_stream__(requested_schema)

    assert rows_of(drop_intents(Frame(), inbox.root), "qty") == [(1.5,), (2.0,)]


def test_decimals_and_times_of_frames_arrive_exactly(inbox: Inbox) -> None:
    said: dict[str, list[Any]] = {
        "qty": [Decimal("0.1"), Decimal("12.345678")],
        "created_at": [CREATED, CREATED],
    }
    for frame in (pl.DataFrame(ROWS).with_columns(**{k: pl.Series(v) for k, v in said.items()}),
                  pd.DataFrame(ROWS).assign(**said)):  # fmt: skip
        assert rows_of(drop_intents(frame, inbox.root), "qty", "created_at") == [
            (0.1, CREATED),
            (12.345678, CREATED),
        ]


def test_the_index_of_a_frame_is_no_content(inbox: Inbox) -> None:
    frame = pd.DataFrame(ROWS)
    whole, filtered = drop_intents(frame, inbox.root), drop_intents(frame[frame["qty"] > 0], inbox.root)
    assert whole == filtered
    assert rows_of(whole, "metadata") == [("{}",), ("{}",)]


def test_a_level_of_the_index_that_is_named_like_a_field_is_a_column(inbox: Inbox) -> None:
    frame = pd.DataFrame(ROWS).set_index(["symbol", pd.Index([7, 8], name="bar")])
    assert rows_of(drop_intents(frame, inbox.root), "symbol", "metadata") == [("SPY", "{}"), ("QQQ", "{}")]


def test_a_field_that_is_a_column_and_a_level_of_the_index_is_refused(inbox: Inbox) -> None:
    frame = pd.DataFrame(ROWS).set_index("symbol", drop=False)
    with pytest.raises(UsageError, match="symbol is a column of the frame and a level of its index"):
        drop_intents(frame, inbox.root)


def test_a_level_that_is_a_field_under_another_spelling_is_a_column_too(inbox: Inbox) -> None:
    frame = pd.DataFrame(ROWS).rename(columns={"symbol": "Symbol"}).set_index("Symbol")
    assert rows_of(drop_intents(frame, inbox.root), "symbol") == [("SPY",), ("QQQ",)]


@pytest.mark.parametrize(("level", "meant"), [("ticker", "symbol"), ("price", "limit_price")])
def test_a_level_that_is_an_order_term_is_not_dropped_in_silence(
    inbox: Inbox, level: str, meant: str
) -> None:
    frame = pd.DataFrame(ROWS).set_index(pd.Index([1, 2], name=level))
    with pytest.raises(UsageError, match=f"{level} is a level of the frame's index.* Did you mean {meant}"):
        drop_intents(frame, inbox.root)


@pytest.mark.parametrize(
    "frame", [pd.DataFrame(), pd.DataFrame(ROWS)[:0], pl.DataFrame(), pl.DataFrame(ROWS)[:0]]
)
def test_an_empty_frame_makes_a_file_without_rows(inbox: Inbox, frame: Any) -> None:
    assert read_back(drop_intents(frame, inbox.root)).rows == 0


def test_a_column_of_several_types_costs_only_the_rows_that_are_wrong(inbox: Inbox) -> None:
    frame = pd.DataFrame([order(qty=1.5), order(qty="many"), order(qty=Decimal("0.1"))])
    read = read_back(drop_intents(frame, inbox.root))
    assert (read.table["qty"].to_pylist(), [row.first.row for row in read.refused]) == ([1.5, 0.1], [2])


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame(ROWS).assign(note=[b"a", b"b"]), "column note is of type binary"),
        (pd.DataFrame(ROWS).assign(note=timedelta(1)), "column note is of type duration"),
        (
            pd.DataFrame(ROWS).assign(note=pd.period_range("2026", periods=2, freq="D")),
            "column note is of type",
        ),
        (pd.DataFrame(ROWS).assign(note=[1j, 2j]), "intent 1: note is of type complex"),
        (pd.DataFrame(ROWS).rename(columns={"qty": "side"}), "Duplicate column names"),
        (pa.table([pa.array([1]), pa.array([2])], names=["qty", "qty"]), "column qty stands twice"),
        (pa.chunked_array([[1]]), "can't be written as Parquet"),
    ],
)
def test_a_frame_that_cannot_be_written_exactly_is_refused(inbox: Inbox, frame: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        drop_intents(frame, inbox.root)
    assert inbox.find().files == []


def test_polars_is_not_needed_for_a_list(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("polars", "pandas"):
        monkeypatch.setitem(sys.modules, library, None)
    assert drop_intents([order()], inbox.root).exists()


# --- folders


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("EXEC_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def test_without_a_folder_the_inbox_is_that_of_exec_data_dir(data: Path) -> None:
    assert drop_intents([order()]).parent == data / "inbox"
    assert drop_intents([order(qty=2)]).parent == data / "inbox"


def test_without_a_setting_the_inbox_is_in_data(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXEC_DATA_DIR")
    assert drop_intents([order()]).absolute().parent == data.parent / "elsewhere" / "data" / "inbox"


def test_settings_that_are_none_of_its_business_do_not_keep_a_strategy_from_dropping(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXEC_MAX_POSITION_QTY", "many")
    assert drop_intents([order()]).exists()


@pytest.mark.parametrize("folder", ["data/inbox", "data/inbox/desk/us", "other/inbox", "other/inbox/desk"])
def test_an_inbox_of_the_configured_or_of_a_folder_that_is_there_is_made(data: Path, folder: str) -> None:
    (data.parent / "other").mkdir()
    assert drop_intents([order()], data.parent / folder).exists()


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("dta/inbox", "of the data folder '.*dta', which doesn't exist"),
        ("dta/inbox/desk", "of the data folder '.*dta', which doesn't exist"),
        ("other", "It is a data folder; did you mean '.*other/inbox'"),
        ("other/runs", "is no inbox: no run looks there"),
        ("other/inbx", "is no inbox: no run looks there"),
        ("elsewhere", "is no inbox: no run looks there"),
        ("file/inbox", "of the data folder '.*file', which doesn't exist"),
        ("third/inbox", "is no folder"),
        ("other/inbox/_drafts", "runs skip such folders"),
        ("other/inbox/.drafts/a", "runs skip such folders"),
    ],
)
def test_a_folder_in_which_no_run_looks_is_a_usage_error_and_nothing_is_made(
    data: Path, folder: str, message: str
) -> None:
    root = data.parent
    (root / "other" / "runs").mkdir(parents=True)
    (root / "third").mkdir()
    (root / "third" / "inbox").touch()
    (root / "file").touch()
    before = sorted(root.rglob("*"))
    with pytest.raises(UsageError, match=message):
        drop_intents([order()], root / folder)
    assert sorted(root.rglob("*")) == before


def test_the_data_folder_that_is_configured_is_no_inbox(data: Path) -> None:
    data.mkdir()
    with pytest.raises(UsageError, match="is no inbox"):
        drop_intents([order()], data)


def test_a_link_to_the_configured_inbox_is_that_inbox(data: Path) -> None:
    (data / "inbox").mkdir(parents=True)
    link = data.parent / "drop-here"
    link.symlink_to(data / "inbox")
    assert drop_intents([order()], link).exists()
