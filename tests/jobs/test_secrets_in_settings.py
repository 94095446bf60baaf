"""A secret that was pasted into the wrong setting, or under another name, is not printed by any command."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.risk.settings import SETTINGS
from engine.settings.variables import RunSettings
from tests.desk import order
from tests.jobs.command_line import Command, jsonl

SECRETS = {
    "key": "PKTEST0123456789ABCD",
    "secret": "abcdefghijABCDEFGHIJ01234567890123456789",
    "small letters": "s3cr3t-only-in-small-letters-and-digits-0123",
    "url": "https://PKTEST0123456789ABCD:abcdefghij@paper-api.alpaca.markets",
    "host": "https://abcdefghijABCDEFGHIJ0123456789",
}
OTHER_NAMES = (
    "APCA_API_KEY_ID",
    "APCA_API_SECRET_KEY",
    "ALPACA_API_SECRET",
    "EXEC_SECRET",
    "EXEC_ALPACA_API_KEY",
)
# Whatever stands there is a name that anybody may choose.
NAMES = (
    "EXEC_DATA_DIR",
    "EXEC_ACCOUNTS_FILE",
    "EXEC_BROKER_ACCOUNT_ID",
    "FIREBASE_PROJECT_ID",
    "GOOGLE_CLOUD_PROJECT",
    "EXEC_TENANT_ID",
    "EXEC_IDENTITY_IGNORES",
)


def pasted(*names: str) -> list[tuple[str, str]]:
    """Return where each kind of secret may have been pasted: where a name stands, only what is no name."""
    pairs = [(name, kind) for name in names for kind in SECRETS]
    return [pair for pair in pairs if pair[0] not in NAMES or pair[1] in {"key", "secret"}]


LIVE = {"EXEC_DRY_RUN": "0", "AGENT_MODE": "LIVE", "EXEC_STORE": "embedded"}
COMMANDS = "doctor, doctor --json, status, run, run --json, sync, halt --why x"


def parts(secret: str) -> list[str]:
    """Return what must not be seen of a secret: each stretch of ten characters, in any case."""
    bare = secret.removeprefix("https://").removesuffix("@paper-api.alpaca.markets").lower()
    return [bare[start : start + 10] for start in range(len(bare) - 9)]


@pytest.mark.parametrize(("name", "kind"), pasted(*(setting.name for setting in SETTINGS), *OTHER_NAMES))
def test_no_command_prints_a_secret(cli: Command, data: Path, name: str, kind: str) -> None:
    env = (LIVE if name.startswith("ALPACA") else {}) | {name: SECRETS[kind]}
    said = []
    for command in COMMANDS.split(", "):
        done = cli(*command.split(), **env)
        assert "Traceback" not in done.err
        said += [done.out, done.err]
    seen = "".join(said).lower()
    assert [part for part in parts(SECRETS[kind]) if part in seen] == []


@pytest.mark.parametrize(("name", "kind"), pasted(*(setting.name for setting in SETTINGS)))
def test_no_error_of_a_setting_holds_a_secret(name: str, kind: str) -> None:
    said = ""
    try:
        RunSettings.from_env({name: SECRETS[kind]})
    except EngineError as error:
        said = str(error).lower()
    assert [part for part in parts(SECRETS[kind]) if part in said] == []


def test_the_record_of_a_run_holds_no_secret(cli: Command, data: Path) -> None:
    env = {
        "ALPACA_API_KEY": SECRETS["key"],
        "ALPACA_SECRET_KEY": SECRETS["secret"],
        "APCA_API_KEY_ID": SECRETS["small letters"],
    }
    cli("drop", stdin=jsonl(order()), **env)
    assert cli("run", **env).code == 0
    recorded = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    assert [secret for secret in SECRETS.values() if secret.encode() in recorded] == []
