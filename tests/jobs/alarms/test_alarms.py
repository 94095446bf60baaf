"""Alarms reach the log, a webhook and a mailbox; a fault in any of them changes no run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet  # noqa: F401 - it is not imported by halves while the clock is frozen
import pytest
from freezegun import freeze_time

from engine.errors import ConfigurationError
from engine.settings.alarm_addresses import MailServer
from engine.settings.alarms import alarm_settings
from jobs.alarms import Alarm
from jobs.alarms import sending as alarm_sending
from jobs.alarms.sending import raise_alarm
from tests.desk import order
from tests.jobs.alarms.receivers import Mailbox, Webhook, mailbox, webhook
from tests.jobs.command_line import Command, Done, jsonl

ON = {"EXECUTION_HALTED": "1"}


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as received:
        yield received


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mailbox() as received:
        yield received


@pytest.fixture
def env(hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setattr(alarm_sending, "_WAITS_S", (0.01, 0.01, 0.01))
    return {"EXEC_ALERT_WEBHOOK": hook.url}


def events(done: Done, name: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


def test_a_run_that_is_halted_is_posted_with_what_to_do(
    cli: Command, hook: Webhook, env: dict[str, str], data: Path
) -> None:
    cli("drop", stdin=jsonl(order()))
    done = cli("run", "--json", **env, **ON)
    assert done.code == 3
    (posted,) = hook.posted
    assert (posted["kind"], posted["command"], posted["exit_code"]) == ("halted", "run", 3)
    assert (posted["run_id"], posted["data_dir"]) == (done.json["run_id"], str(data))
    assert "EXECUTION_HALTED" in posted["message"]
    (logged,) = events(done, "alarm")
    assert (logged["severity"], logged["message"]) == ("ALERT", posted["message"])


def test_a_good_run_raises_none_and_its_heartbeat_is_heard(
    cli: Command, hook: Webhook, env: dict[str, str]
) -> None:
    cli("drop", stdin=jsonl(order()))
    done = cli("run", "--json", **env, EXEC_HEARTBEAT_URL=hook.url)
    assert (done.code, hook.posted, hook.got) == (0, [], ["/hook/token-of-the-desk"])
    assert cli("run", "--json", EXEC_HEARTBEAT_URL=hook.url, **ON).code == 3
    assert len(hook.got) == 1


def test_a_slot_that_is_missed_is_an_alarm_and_one_that_is_not_due_is_none(
    cli: Command, hook: Webhook, env: dict[str, str]
) -> None:
    slot = ("--slot", "open", "--when", "open")
    for now, code in (("2026-03-02T14:00:00Z", 0), ("2026-03-02T15:00:00Z", 3)):
        with freeze_time(now, tick=True):
            assert cli("run", *slot, "--json", **env).code == code
    assert [(one["kind"], one["run_id"]) for one in hook.posted] == [("slot_missed", None)]


def test_a_run_that_can_not_start_is_an_alarm(cli: Command, hook: Webhook, env: dict[str, str]) -> None:
    done = cli("run", **env, EXEC_MAX_POSITION_QTY="abc")
    assert (done.code, [one["kind"] for one in hook.posted]) == (2, ["configuration"])
    assert "EXEC_MAX_POSITION_QTY" in hook.posted[0]["message"]
    assert [event["severity"] for event in events(done, "run_failed")] == ["ALERT"]
    assert cli("status", **env, EXEC_MAX_POSITION_QTY="abc").code == 2  # its end is seen by who typed it
    assert len(hook.posted) == 1


def test_alarms_of_a_kind_are_held_back_and_counted(cli: Command, hook: Webhook, env: dict[str, str]) -> None:
    for now in ("15:00", "15:05", "15:10", "15:16"):
        with freeze_time(f"2026-03-02T{now}:00Z", tick=True):
            assert cli("run", **env, **ON).code == 3
    with freeze_time("2026-03-02T15:17:00Z", tick=True):
        assert cli("run", **env, EXEC_MAX_POSITION_QTY="abc").code == 2  # of another kind
    assert [(one["kind"], one["held_back"]) for one in hook.posted] == [
        ("halted", 0),
        ("halted", 2),
        ("configuration", 0),
    ]


def test_what_could_not_be_sent_is_tried_by_the_next_alarm(
    cli: Command, hook: Webhook, env: dict[str, str]
) -> None:
    hook.answers = [400]
    done = cli("run", **env, **ON)
    assert done.code == 3
    (event,) = events(done, "alarm_not_sent")
    assert event["message"] == "The alarm was not sent to the webhook: it answered 400"
    assert cli("run", **env, **ON).code == 3
    assert len(hook.posted) == 2


@pytest.mark.parametrize(("answers", "tries"), [([503, 429], 3), ([503] * 9, 4), ([404], 1), ([302], 1)])
def test_a_webhook_is_tried_again_only_where_that_may_help(
    hook: Webhook, env: dict[str, str], answers: list[int], tries: int, tmp_path: Path
) -> None:
    hook.answers = answers.copy()
    sent = raise_alarm(Alarm("halted", "run", "halted", 3, tmp_path), env=env)
    assert len(hook.posted) == tries
    assert sent == (tries == 3)


def test_nothing_of_a_webhooks_address_is_shown(
    cli: Command, monkeypatch: pytest.MonkeyPatch, env: dict[str, str]
) -> None:
    done = cli("run", **ON, EXEC_ALERT_WEBHOOK="http://127.0.0.1:1/token-of-the-desk")
    assert done.code == 3
    assert "token-of-the-desk" not in done.err + done.out
    assert "The alarm was not sent to the webhook: ConnectionError" in done.err


def test_slack_has_its_own_form_and_no_markup_of_ours(
    hook: Webhook, env: dict[str, str], tmp_path: Path
) -> None:
    alarm = Alarm("halted", "run", "strategy <!channel> & more", 3, tmp_path)
    raise_alarm(alarm, env={**env, "EXEC_ALERT_WEBHOOK_FORM": "slack"})
    ((name, text),) = hook.posted[0].items()
    assert name == "text"
    assert "strategy &lt;!channel&gt; &amp; more" in text
    assert alarm_settings({"EXEC_ALERT_WEBHOOK": "https://hooks.slack.com/services/x"}).form == "slack"


def test_an_alarm_is_mailed(box: Mailbox, tmp_path: Path) -> None:
    env = {"EXEC_ALERT_EMAIL": "desk@example.com, ops@example.com", "EXEC_SMTP_URL": box.url}
    assert raise_alarm(Alarm("unresolved", "run", "2 orders are\nunresolved", 4, tmp_path), env=env)
    (mail,) = box.mails
    assert "To: desk@example.com, ops@example.com" in mail
    assert "something is unresolved (run, exit code 4)" in mail.replace("\r\n ", " ")
    assert "2 orders are\r\nunresolved" in mail


def test_the_test_of_an_alarm_says_what_was_reached(cli: Command, hook: Webhook, box: Mailbox) -> None:
    env = {"EXEC_ALERT_WEBHOOK": hook.url, "EXEC_ALERT_EMAIL": "a@b.com", "EXEC_SMTP_URL": box.url}
    both = cli("test-alarm", **env)
    assert (both.code, both.out) == (0, "the webhook: reached\nthe mail server: reached\n")
    assert cli("test-alarm", "--json", **{**env, "EXEC_SMTP_URL": "smtp://127.0.0.1:1"}).json["failed"] == {
        "the mail server": "ConnectionRefusedError"
    }
    assert "No alarm is sent" in cli("test-alarm").out
    assert [one["kind"] for one in hook.posted] == ["test", "test"]


def test_a_data_folder_that_can_not_be_written_holds_no_alarm_back(
    hook: Webhook, env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "alarms").write_text("in the way")
    for _ in range(2):
        assert raise_alarm(Alarm("failed", "run", "the disk is full", 1, tmp_path), env=env)
    assert len(hook.posted) == 2


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"EXEC_ALERT_WEBHOOK": "http://example.com/x"}, "EXEC_ALERT_WEBHOOK is no URL"),
        ({"EXEC_ALERT_WEBHOOK": "example.com"}, "EXEC_ALERT_WEBHOOK is no URL"),
        ({"EXEC_HEARTBEAT_URL": "https://"}, "EXEC_HEARTBEAT_URL is no URL"),
        ({"EXEC_ALERT_EMAIL": "a@b.com"}, "EXEC_ALERT_EMAIL is set and EXEC_SMTP_URL is not"),
        ({"EXEC_SMTP_URL": "smtp://h"}, "EXEC_SMTP_URL is set and EXEC_ALERT_EMAIL is not"),
        ({"EXEC_ALERT_EMAIL": "a@b.com,c", "EXEC_SMTP_URL": "smtp://h"}, "EXEC_ALERT_EMAIL has 'c'"),
        ({"EXEC_ALERT_EMAIL": "a@b.com", "EXEC_SMTP_URL": "http://h"}, "EXEC_SMTP_URL is no address"),
        ({"EXEC_ALERT_WEBHOOK_FORM": "teams"}, "EXEC_ALERT_WEBHOOK_FORM is 'teams'; expected json or slack"),
    ],
)
def test_what_can_not_be_used_is_refused(env: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        alarm_settings(env)


def test_no_run_begins_whose_alarms_could_not_be_sent(cli: Command, data: Path) -> None:
    assert cli("run", EXEC_ALERT_EMAIL="a@b.com").code == 2
    assert not (data / "runs").exists()


def test_a_mail_server_may_have_a_user_and_a_password() -> None:
    env = {"EXEC_ALERT_EMAIL": "a@b.com", "EXEC_SMTP_URL": "smtps://ops%40desk.com:p%2Fw@mail.desk.com"}
    server = alarm_settings(env).mail_server
    assert server == MailServer("mail.desk.com", 465, True, "ops@desk.com", "p/w")
    assert "p/w" not in repr(server)
