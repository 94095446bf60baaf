"""One account under two names, and the way to another name, as an operator meets them."""

from __future__ import annotations

from pathlib import Path

from tests.desk import order
from tests.jobs.command_line import jsonl, waiting
from tests.jobs.live_machine import Live

WHY = ("--by", "ann", "--why", "desks merged")


def run_as(live: Live, name: str, *rows: object) -> int:
    live.env["EXEC_BROKER_ACCOUNT_ID"] = name
    return live("run").code


def test_two_names_of_one_account_in_the_accounts_file_are_refused(live: Live, tmp_path: Path) -> None:
    file = tmp_path / "accounts.toml"
    file.write_text(
        "".join(
            f'[accounts.{name}]\npaper = true\nhost = "{live.alpaca.url}"\n'
            f'api_key_env = "ALPACA_API_KEY"\nsecret_key_env = "ALPACA_SECRET_KEY"\n'
            for name in ("main", "copy")
        )
    )
    live.cli("drop", stdin=jsonl(order(broker_account_id="main"), order(broker_account_id="copy")))
    files = waiting(live.data)
    done = live("run", EXEC_ACCOUNTS_FILE=str(file))
    assert done.code == 2
    assert "copy and main are one broker account (…FGHI)" in done.err
    assert (waiting(live.data), live.orders()) == (files, [])


def test_a_second_name_is_refused_with_the_command_that_renames(live: Live) -> None:
    assert run_as(live, "main") == 0
    assert run_as(live, "fund") == 2
    done = live("stores", "rename-account", "main", "fund", *WHY, "--json")
    assert (done.code, done.json["from"], done.json["to"]) == (0, "main", "fund")
    live.cli("drop", stdin=jsonl(order(broker_account_id="fund", client_intent_id="one")))
    assert run_as(live, "fund") == 0
    assert [one["client_order_id"] for one in live.orders()] == ["one"]
    assert run_as(live, "main") == 2


def test_an_account_with_trades_of_the_session_or_open_orders_is_not_renamed(live: Live) -> None:
    rests = {"order_type": "limit", "limit_price": 1, "time_in_force": "gtc", "symbol": "QQQ"}
    live.cli("drop", stdin=jsonl(order(broker_account_id="main"), order(broker_account_id="main", **rests)))
    live.env["EXEC_SETTLE_S"] = "1"
    assert run_as(live, "main") == 0
    done = live("stores", "rename-account", "main", "fund", *WHY)
    assert done.code == 2
    assert "1 of its orders are open" in done.err
    assert "it has 1 trades in the session" in done.err
    assert run_as(live, "main") == 0


def test_a_name_that_nothing_was_traded_under_is_reported(live: Live) -> None:
    done = live("stores", "rename-account", "main", "fund", *WHY)
    assert done.code == 2
    assert "main is not the name of an account" in done.err
