"""Order terms inside objects that are not the field ``metadata``: refused, however deep they stand."""

from __future__ import annotations

import json
import time
from typing import Any

import pyarrow as pa
import pytest

from engine.intents.object_texts import object_in
from tests.engine.intents.files import messages, order, orders_with, parquet, read, read_rows, values

NESTED: list[Any] = [
    {"params": {"limit_price": 4}},
    {"options": {"price": 4}},
    {"details": json.dumps({"limit_price": 4})},
    {"info": json.dumps(json.dumps({"limit_price": 4}))},
    {"info": [{"x": 1}, {"deep": {"Order_Type": "limit"}}]},
    {"info": {"tif": "gtc"}},
    {"info": {"note": json.dumps([{"stop": 4}])}},
    {"params": str({"limit_price": 4.0, "tif": "day"})},
    {"params": "{'limit_price': np.float64(40.0)}"},
    {"params": '{"limit_price": 4,'},
    {"params": "limit_price=4; tif=day"},
    {"message": "35=D|54=1|40=2|44=40"},
    {"params": [["limit_price", 4]]},
    {"params": [{"name": "limit_price", "value": 4}]},
]


@pytest.mark.parametrize("extra", NESTED[:3] + NESTED[4:])
@pytest.mark.parametrize("ending", [".json", ".jsonl"])
def test_an_order_term_inside_an_object_is_refused(ending: str, extra: dict[str, Any]) -> None:
    (column,) = extra
    file = read_rows(ending, order(**extra), order(note="fine"))
    assert file.table.num_rows == 1
    (said,) = messages(file)
    assert f"{column} is" in said
    assert "Did you mean" in said


def test_an_order_term_inside_an_object_in_a_csv_or_a_struct_is_refused() -> None:
    header = "strategy_id,broker_account_id,symbol,side,qty,params"
    file = read("a.csv", header + '\ns,paper,SPY,buy,1,"{""limit_price"": 4}"\ns,paper,QQQ,buy,1,\n')
    assert (values(file, "symbol"), len(file.refused)) == (["QQQ"], 1)
    rows = [order(params={"limit_price": 4.0, "type": "limit"}), order(params=None)]
    frame = parquet(pa.Table.from_pylist(rows))
    file = read("a.parquet", frame)
    assert (file.table.num_rows, len(file.refused)) == (1, 1)


@pytest.mark.parametrize(
    "text",
    ["{limit_price: 40}", "{tif: gtc, score: 1}", "{a: {limit_price: 40}}",
     "Params(limit_price=40.5, why='a b')",
     "order.Params(score=1, tif='gtc')", "<Params limit_price=40 score=1>"],
)  # fmt: skip
def test_an_order_term_in_an_object_without_quotes_is_refused(text: str) -> None:
    assert len(messages(read_rows(".json", order(params=text)))) == 1


@pytest.mark.parametrize(
    "text",
    [
        # YAML, and what people write like it
        "limit_price: 40", "limit: 40, tif: day", "limit:40|tif:day", "- stop: 38",
        "Limit Price: 40; note: x",
        "type: limit\nprice: 40", "---\n- type: limit\n  score: 40 # usd\n", "# orders\nlimit_price: 40",
        "order:\n  limit_price: 40\n  note: buy when it is cheap", "note: a b\ntype: limit, score: 40",
        "symbols:\n  - SPY\n  - QQQ\nlimit_price: 40", "score: 1\nlimit: !!float 40", "tif: 'gtc'\nscore: 1",
        # TOML and INI
        "limit_price = 40\nnote = buy it now", '[order]\ntype = "limit"\nscore = 40',
        # XML
        "<limit_price>40</limit_price>", "<order><type>limit</type></order>", '<order limit="40"/>',
        "<?xml version='1.0'?>\n<fix:Order>\n <fix:Limit>40</fix:Limit>\n</fix:Order>", '<Order Px="40"/>',
        "<limit><![CDATA[40]]></limit>",
    ],
)  # fmt: skip
def test_an_order_term_in_yaml_toml_or_xml_is_refused(text: str) -> None:
    (said,) = messages(read_rows(".json", order(note=text), order(note="fine")))
    assert "note." in said
    assert "Did you mean" in said


def test_long_texts_of_all_kinds_are_looked_at_in_no_time() -> None:
    begun = time.process_time()
    for part in ("a b c ", "a: b ", "a: b, ", "<a ", "<a>", "- ", "a = b\n", "a: b c\n", "&x ", "'", "a.b-"):
        object_in((part * 60_000)[:60_000])
    assert time.process_time() - begun < 2


def test_an_order_term_in_a_map_or_in_bytes_is_refused() -> None:
    maps = pa.array([[("limit_price", 4.0)], [("score", 1.0)]], type=pa.map_(pa.string(), pa.float64()))
    file = read("a.parquet", orders_with(params=maps))
    assert [refused.first.field for refused in file.refused] == ["params"]
    for kind in (pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.binary())):
        held = pa.array([b'{"limit_price": 4}', None], pa.binary()).cast(kind)
        assert len(read("a.parquet", orders_with(params=held)).refused) == 1


@pytest.mark.parametrize("ending", [".json", ".csv", ".parquet"])
def test_another_currency_is_refused_and_dollars_are_metadata(ending: str) -> None:
    file = read_rows(ending, order(currency="EUR"), order(currency="USD"), order(currency=None))
    assert [refused.first.row for refused in file.refused] == [2 if ending == ".csv" else 1]
    assert json.loads(values(file, "metadata")[0]) == {"currency": "USD"}
    assert "currency" in messages(file)[0]


def test_a_currency_inside_an_object_counts_as_well() -> None:
    file = read_rows(".json", order(info={"currency": "EUR"}), order(info={"currency": "usd"}))
    assert [refused.first.row for refused in file.refused] == [1]


def test_keys_inside_metadata_are_free() -> None:
    file = read_rows(".json", order(metadata={"limit_price": 4, "params": {"type": "limit"}}))
    assert messages(file) == []


@pytest.mark.parametrize(
    "extra",
    [
        {"signal": {"score": 0.5, "created_at": "x", "reference_price": 4}},
        {"signal": {"limit_price": None}},
        {"note": "{not json"},
        {"params": "Params(score=1, limit_price=None)"},
        {"params": "{score: 1, limit_price: null}"},
        {"note": "f(x, limit_price==40)"},
        {"levels": [1, 2, 3]},
        {"note": "limit 40"},
        {"note": "sell if the limit 40 is reached, then stop"},
        {"note": "Stop: below the low"},
        {"note": "Entry: breakout; Stop: none yet"},
        {"note": "Entry: breakout above the high\nStop: below the low"},
        {"note": "- buy at limit\n- sell at stop"},
        {"note": "score: 1\nlimit_price: ~\ntif:\nstop: null"},
        {"note": "limit_price: null, score: 1"},
        {"note": "<limit_price/><tif></tif><stop>null</stop><score>1</score>"},
        {"note": "spread < 4 and limit > 40"},
        {"note": "limit: https://example.org/40"},
        {"hours_seen": "10:30, NYSE:SPY"},
        {"note": "sent when limit=40 was gone"},
        {"url": "https://example.org/?type=limit&price=40"},
        {"features": ["price", "volume"]},
        {"params": "{'limit_price': None}"},
        {"levels": [["support", "40"]]},
    ],
)
def test_objects_without_order_terms_stay_metadata(extra: dict[str, Any]) -> None:
    assert messages(read_rows(".json", order(**extra))) == []


@pytest.mark.parametrize(
    "name",
    ["params.limit_price", "order.params.type", "Limitpreis", "prix_limite", "px_limit", "price_cap",
     "buy_limit", "limit_price_cents", "lmtPriceOffset", "44", "Tag40", "gtc", "on_open", "qty_shares"],
)  # fmt: skip
def test_these_names_are_order_terms(name: str) -> None:
    (said,) = messages(read_rows(".json", order(**{name: 4})))
    assert "Did you mean" in said


def test_a_flattened_key_of_metadata_is_free() -> None:
    assert messages(read_rows(".json", order(**{"metadata.limit_price": 4}))) == []
