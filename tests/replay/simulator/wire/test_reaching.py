"""Who reaches the simulator, by which name, and where it writes."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from replay.simulator.server import Simulator
from replay.simulator.wire.control import _has_token
from replay.simulator.wire.hosts import only_known_hosts
from tests.replay.simulator.wire.reach import Reach

KEYS = {"APCA-API-KEY-ID": "test-key", "APCA-API-SECRET-KEY": "test-secret"}


def asked(simulator: Simulator, host: str, name: str, path: str = "/simulator/state") -> int:
    with simulator.serving(host=host) as address:
        port = urlsplit(address).port
        headers = KEYS | {"Host": name.replace("PORT", str(port))}
        return requests.get(address + path, headers=headers, timeout=10).status_code


@pytest.mark.parametrize("path", ["/simulator/state", "/v2/account", "/nothing"])
@pytest.mark.parametrize(
    "name", ["evil.example", "evil.example:PORT", "127.0.0.1.evil.example", "10.0.0.1", "[", ""]
)
def test_a_page_whose_name_came_to_mean_this_machine_reads_nothing(name: str, path: str) -> None:
    assert asked(Simulator(), "127.0.0.1", name, path) == 421


@pytest.mark.parametrize(
    "name", ["127.0.0.1:PORT", "localhost:PORT", "LOCALHOST", "127.3.2.1", "[::1]:PORT", "localhost."]
)
def test_names_of_loopback_are_answered(name: str) -> None:
    assert asked(Simulator(), "127.0.0.1", name) == 200


@pytest.mark.parametrize(
    ("name", "status"), [("10.0.0.7:PORT", 200), ("evil.example", 421), ("alpaca:PORT", 200)]
)
def test_on_every_address_any_address_and_named_hosts_are_answered(name: str, status: int) -> None:
    assert asked(Simulator(host_names=("Alpaca",)), "0.0.0.0", name) == status


def test_the_host_that_it_was_started_with_is_answered() -> None:
    assert asked(Simulator(), "localhost", "localhost") == 200
    app = only_known_hosts(Simulator().app, "trading.internal")
    assert app is not None


def test_control_from_elsewhere_needs_the_token_that_was_printed(quick: Reach) -> None:
    token = quick.simulator.control_token
    assert len(token) >= 16
    assert token != Simulator().control_token
    page = {"Origin": "https://evil.example"}
    for said, status in ((token, 200), ("", 403), (token[:-1], 403), ("x", 403)):
        headers = {**page, "X-Simulator-Token": said}
        assert quick.ask("GET", "/simulator/state", headers=headers).status_code == status
    assert quick.ask("GET", "/simulator/state").status_code == 200


def test_without_a_token_of_its_own_no_token_is_right() -> None:
    assert not _has_token({"headers": [(b"x-simulator-token", b"")]}, "")


OUTSIDE = ["/etc/x.json", "../x.json", "a/../x.json", "./x.json", "a//x.json", "a/", "/x.json"]


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_is_written_outside_the_folder(quick: Reach, tmp_path: Path, path: str) -> None:
    folder = tmp_path / "folder"
    (folder / "a").mkdir(parents=True)
    quick.simulator.simulation.save_dir = folder
    refused = quick.ask("POST", "/simulator/save", json={"path": path})
    assert refused.status_code == 422
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["a", "folder"]


def test_no_link_is_followed(quick: Reach, tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "kept.json").write_text("mine")
    (folder / "link.json").symlink_to(outside / "kept.json")
    (folder / "dangling.json").symlink_to(outside / "new.json")
    (folder / "sub").symlink_to(outside)
    quick.simulator.simulation.save_dir = folder
    for path in (
        "link.json",
        "dangling.json",
        "sub/new.json",
        "nowhere/x.json",
        "\0.json",
        "x" * 300 + ".json",
    ):
        refused = quick.ask("POST", "/simulator/save", json={"path": path})
        assert refused.status_code == 422
        assert "expected a file that can be written" in refused.json()["message"]
    assert [one.name for one in outside.iterdir()] == ["kept.json"]
    assert (outside / "kept.json").read_text() == "mine"


def test_without_a_folder_nothing_is_saved(quick: Reach) -> None:
    refused = quick.ask("POST", "/simulator/save", json={"path": "x.json"})
    assert (refused.status_code, "--save-dir" in refused.json()["message"]) == (422, True)
