"""Every file of ``fixtures/bad_intents`` is refused in the words that stand beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.intents.files import read

FOLDER = Path(__file__).parents[3] / "fixtures" / "bad_intents"
BESIDE = ".expected.txt"
FILES = sorted(path for path in FOLDER.iterdir() if not path.name.endswith(BESIDE))
MESSAGES = sorted({line for path in FOLDER.glob(f"*{BESIDE}") for line in path.read_text().splitlines()})

# The first line of the design's table of probes, and the one about 2e10.
PROBES = {
    "qty_zero.jsonl": "qty is 0;",
    "qty_negative.jsonl": "qty is -5;",
    "qty_nan.jsonl": "qty is nan;",
    "qty_nan_text.csv": "qty is 'NaN';",
    "qty_infinite.jsonl": "qty is inf;",
    "qty_infinite_text.csv": "qty is 'inf';",
    "qty_text.jsonl": "qty is 'abc';",
    "qty_too_large.jsonl": "qty is 20000000000.0;",
    "side_long.jsonl": "side is 'long';",
    "side_empty.jsonl": "side is missing;",
    "side_null.jsonl": "side is missing;",
    "symbol_empty.jsonl": "symbol is missing;",
    "order_type_unknown.jsonl": "order_type is 'iceberg';",
    "limit_without_price.jsonl": "limit_price is missing;",
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_bad_file_is_refused_in_the_words_beside_it(path: Path) -> None:
    file = read(path.name, path.read_bytes())
    said = [problem.message for refused in file.refused for problem in refused.problems]
    assert said == path.with_name(path.name + BESIDE).read_text().splitlines()
    assert said, "there is nothing wrong with it"


def test_words_stand_beside_a_file() -> None:
    assert {path.name.removesuffix(BESIDE) for path in FOLDER.glob(f"*{BESIDE}")} == {
        path.name for path in FILES
    }


@pytest.mark.parametrize(("name", "part"), PROBES.items(), ids=PROBES)
def test_each_probe_of_the_design_has_its_file(name: str, part: str) -> None:
    assert f": {part}" in (FOLDER / f"{name}{BESIDE}").read_text()


@pytest.mark.parametrize("message", MESSAGES)
def test_each_message_is_fit_for_a_tired_operator(message: str) -> None:
    place, said = message.split(": ", 1)
    assert place.partition(":")[0] in {path.name for path in FILES}
    assert len(said) <= 260, "short enough to be read"
    assert said.endswith("."), "it ends with a remedy"
    assert said.count(". ") >= 1, "a finding, then a remedy"
    assert not any(
        word in said for word in ("datetime.", "<class", "Traceback", "codec", "None", "object at")
    )


def test_good_rows_of_a_file_with_a_bad_one_go_on() -> None:
    file = read("thousands_comma.csv", (FOLDER / "thousands_comma.csv").read_bytes())
    assert (file.table["symbol"].to_pylist(), file.table["qty"].to_pylist()) == (["QQQ"], [1.0])
