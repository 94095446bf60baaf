"""One broker account, one name: by the account's own id, whatever host or settings it is reached by."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.accounts.names import AccountKey, Names, check_one_name_each
from engine.brokers.alpaca.account import parse_account
from engine.errors import ConfigurationError, UsageError
from engine.stores.embedded.store import EmbeddedStore
from tests.engine.brokers.loopback import ACCOUNT

PAPER, ELSEWHERE = "https://paper-api.alpaca.markets", "https://gateway.example"
NOW = datetime(2026, 3, 2, 15, tzinfo=UTC)


@pytest.fixture
def names(tmp_path: Path) -> Names:
    return Names(EmbeddedStore(tmp_path / "engine.db"))


def at(host: str = PAPER, **changes: Any) -> AccountKey:
    return AccountKey.of(host, parse_account(json.dumps(ACCOUNT | changes).encode()))


def use(names: Names, name: str, account: AccountKey) -> None:
    """Do what opening a venue does."""
    names.check_identity(name, account)
    names.claim(name, account.key)


def rename(names: Names, old: str, new: str) -> None:
    names.rename(old, new, by="ann", why="desks merged", at=NOW)


def test_an_account_is_the_same_at_all_hosts_and_another_id_is_another_account() -> None:
    assert at().identity == at(ELSEWHERE).identity == at(account_number="PA000000009").identity
    assert at().identity != at(id="00000000-0000-4000-8000-000000000000").identity


def test_simulators_at_two_ports_are_two_accounts() -> None:
    first, second = at("http://127.0.0.1:8199"), at("http://127.0.0.1:8200")
    assert first.identity != second.identity
    assert first.identity == at("http://localhost:8199").identity


def test_nothing_of_the_account_s_number_or_id_is_kept(names: Names, tmp_path: Path) -> None:
    use(names, "main", at())
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert ACCOUNT["account_number"].encode() not in kept
    assert ACCOUNT["id"].encode() not in kept
    assert ACCOUNT["account_number"] not in repr(at())


@pytest.mark.parametrize("host", [PAPER, ELSEWHERE])
def test_a_second_name_is_refused_naming_both_and_the_remedy(names: Names, host: str) -> None:
    use(names, "main", at())
    with pytest.raises(ConfigurationError) as caught:
        use(names, "copy", at(host))
    said = str(caught.value)
    assert "is called copy here, and has been traded as main" in said
    assert "Call it main" in said
    assert "execution-engine stores rename-account main copy --by NAME --why TEXT" in said
    use(names, "main", at())


def test_the_remedy_quotes_names_for_a_shell(names: Names) -> None:
    use(names, "main book", at())
    with pytest.raises(ConfigurationError, match="rename-account 'main book' 'a; b' --by NAME"):
        use(names, "a; b", at())


def test_the_same_name_at_another_host_is_refused(names: Names) -> None:
    use(names, "main", at())
    with pytest.raises(ConfigurationError, match="or of this one at another host"):
        use(names, "main", at(ELSEWHERE))


def test_what_an_earlier_version_kept_is_taken_over_at_the_first_use(names: Names) -> None:
    account = at()
    names.claim("main", account.key)  # which kept no identity
    use(names, "main", account)
    with pytest.raises(ConfigurationError, match="has been traded as main"):
        use(names, "copy", at(ELSEWHERE))


def test_a_renamed_account_goes_on_under_its_new_name_only(names: Names) -> None:
    use(names, "main", at())
    rename(names, "main", "fund")
    use(names, "fund", at())
    with pytest.raises(ConfigurationError, match="is called main here, and has been traded as fund"):
        use(names, "main", at())
    (change,) = (names.documents.agent_document(f"account-{at().key}") or {})["renamed"]
    assert change == {"from": "main", "to": "fund", "by": "ann", "why": "desks merged", "at": NOW.isoformat()}
    rename(names, "fund", "main")
    use(names, "main", at())


def test_a_renamed_account_may_go_on_at_another_host_once(names: Names) -> None:
    use(names, "main", at())
    rename(names, "main", "fund")
    use(names, "fund", at(ELSEWHERE))
    with pytest.raises(ConfigurationError, match="another host"):
        use(names, "fund", at())


@pytest.mark.parametrize(
    ("old", "new", "said"), [("none", "fund", "no account"), ("main", "other", "Choose another")]
)
def test_what_cannot_be_renamed_is_reported_and_left(names: Names, old: str, new: str, said: str) -> None:
    use(names, "main", at())
    use(names, "other", at(id="00000000-0000-4000-8000-000000000000", account_number="PA000000009"))
    with pytest.raises(UsageError, match=said):
        rename(names, old, new)
    use(names, "main", at())


def test_two_names_in_the_settings_are_refused_naming_both() -> None:
    check_one_name_each({"main": at(), "other": at(id="00000000-0000-4000-8000-000000000000")})
    with pytest.raises(ConfigurationError, match="main and copy are one broker account \\(…"):
        check_one_name_each({"main": at(), "copy": at(ELSEWHERE)})
