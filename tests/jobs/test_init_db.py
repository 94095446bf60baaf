from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import ConfigurationError
from jobs.init_db import init_db


@pytest.fixture(autouse=True)
def _data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXEC_DATA_DIR", str(tmp_path / "data"))


def test_it_says_what_it_did_and_the_second_time_that_there_is_nothing_to_do(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert init_db(as_json=False) == 0
    assert capsys.readouterr().out.startswith(
        "Created the table public.broker_positions.\nCreated the table public.broker_position_syncs.\n"
        "Created the table public.execution_engine_documents.\nDone: "
    )
    assert init_db(as_json=False) == 0
    said = capsys.readouterr().out
    assert said.startswith("Nothing to do: PostgreSQL database test_")
    assert said.endswith(" has what the engine needs.\n")


def test_machines_get_json(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    for done in (
        [
            f"Created the table public.{table}."
            for table in ("broker_positions", "broker_position_syncs", "execution_engine_documents")
        ],
        [],
    ):
        assert init_db(as_json=True) == 0
        said = json.loads(capsys.readouterr().out)
        assert said == {"exit_code": 0, "done": done, "place": said["place"]}


def test_without_a_database_it_says_that_the_embedded_store_needs_none() -> None:
    with pytest.raises(ConfigurationError, match=r"DATABASE_URL is not set; .*The embedded store needs none"):
        init_db(as_json=False)
