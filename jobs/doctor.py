"""``doctor``: every setting and its source, every dependency and whether it answers, and what to do."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import EngineError, RunInProgress, SeveralFaults, UnusablePlace
from engine.risk.settings import SETTINGS, wrong_names
from engine.safety.lock import holder
from engine.safety.place_trial import inbox_remarks, try_place, try_places
from engine.safety.preflight import Check, Finding, examine
from engine.settings.variables import Setting, read_setting
from engine.stores.postgres.server import HIDDEN, Server
from engine.text.masking import looks_secret, shown_word
from engine.text.printable import shown
from jobs.reach import who_can_reach
from jobs.setup import Setup, read_setup
from jobs.tables import print_json, print_table, say

KEY_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
_FOR_LIBRARIES = (KEY_FILE, "FIRESTORE_EMULATOR_HOST")
_DATA_FOLDER = "data folder"


@dataclass(frozen=True)
class Shown:
    """A setting as it is shown; ``wrong`` is the error in its value, "" without one."""

    name: str
    value: str
    source: str
    default: str
    meaning: str
    wrong: str = ""


@dataclass
class Examination:
    """What was found; ``fatal`` are the problems that prevent a run."""

    settings: list[Shown]
    findings: list[Finding] = field(default_factory=list)
    fatal: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def doctor(*, as_json: bool) -> int:
    """Examine everything and print it; return the exit code: 2 where a run could not start."""
    found = _examine(dict(os.environ))
    found.fatal = list(
        dict.fromkeys(found.fatal)
    )  # a missing key is reported by the start and by the account
    exit_code = 2 if found.fatal else 0
    if as_json:
        body: dict[str, Any] = {"exit_code": exit_code, "settings": [asdict(s) for s in found.settings]}
        body |= {"dependencies": [_as_json(f) for f in found.findings]}
        print_json({**body, "fatal": found.fatal, "problems": found.others})
    else:
        _print(found)
    return exit_code


def _as_json(finding: Finding) -> dict[str, Any]:
    return {
        "name": finding.name,
        "passed": finding.passed,
        "said": finding.text,
        "took_s": finding.took_s,
    }


def _examine(env: dict[str, str]) -> Examination:
    """Examine everything; a wrong setting is reported and then treated as unset."""
    shown = [_shown(setting, env) for setting in SETTINGS]
    found = Examination(shown + [_as_is(name, env) for name in _FOR_LIBRARIES if env.get(name)])
    wrong = {each.name: each.wrong for each in shown if each.wrong}
    wrong |= {name: str(error) for name, error in wrong_names(env).items()}
    found.fatal += wrong.values()
    try:
        setup = read_setup({name: text for name, text in env.items() if name not in wrong})
    except EngineError as error:
        found.fatal += _faults(error)
        return found
    try:
        setup.check_start()
        found.others += setup.limits_remarks
    except EngineError as error:
        found.fatal += _faults(error)
    _try_dependencies(setup, env, found)
    return found


def _try_dependencies(setup: Setup, env: Mapping[str, str], found: Examination) -> None:
    live = not setup.settings.dry_run
    checks: dict[str, Check] = {_DATA_FOLDER: lambda: _data_folder(setup)}
    brokers: dict[str, Check] = {}
    try:
        checks |= setup.preflight(with_broker=False)
        if live or setup.settings.accounts_file or env.get("ALPACA_API_KEY"):
            brokers = setup.broker_checks()
    except EngineError as error:
        (found.fatal if live else found.others).extend(_faults(error))
    prices = setup.price_checks()
    checks |= brokers | prices | {"kill switch": lambda: _kill_switch(setup)}
    found.findings = examine(checks, setup.settings.stores.timeout_s)
    spared: Collection[str] = ()
    if any(each.passed for each in found.findings if each.name in brokers) and len(setup.accounts) > 1:
        spared = brokers.keys()  # a run trades the other accounts
    spared = {*spared, *prices}  # without prices a run refuses the orders that need one
    found.others += who_can_reach(setup.data_dir, setup.modes)
    found.others += inbox_remarks(setup.data_dir)
    for finding in found.findings:
        if not finding.passed:
            is_fatal = finding.name == _DATA_FOLDER or (live and finding.name not in spared)
            (found.fatal if is_fatal else found.others).append(f"{finding.name}: {finding.text}")
    found.others += setup.remarks
    if read_setting("EXEC_RISK_FAIL_OPEN", setup.env):
        found.others.append(
            "EXEC_RISK_FAIL_OPEN is on: a rule whose data is unavailable lets everything pass. Unset it "
            "unless you want that."
        )
    if not live:
        return
    try:
        found.fatal += setup.generations.faults()
    except EngineError as error:
        found.fatal.append(str(error))
    gate = setup.gate(checks={})
    refusals = gate.standing(setup.kill_switch.read(), gate.kept())
    found.fatal += [each.why for each in refusals if each.reason != "kill_switch_enabled"]


def _faults(error: EngineError) -> Collection[str]:
    return error.faults if isinstance(error, SeveralFaults) else [str(error)]


def _kill_switch(setup: Setup) -> str:
    switch = setup.kill_switch.read()
    if switch.on:
        raise EngineError(switch.why)
    return "off"


def _data_folder(setup: Setup) -> str:
    """Return the state of the data folder; whatever is created to test it is removed.

    Raises ``EngineError`` where a run can't work in it.
    """
    folder = setup.data_dir.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if at_work := holder(folder) if folder.exists() else None:
        raise RunInProgress(f"{folder} is in use by {at_work}. Wait for its end.")
    if unkept := (try_places if existing == folder else try_place)(existing):
        raise UnusablePlace(" ".join(map(str, unkept)))
    if existing != folder:
        return f"{folder} does not exist yet; the first run makes it"
    waiting = len(setup.inbox.find(max_depth=setup.settings.intake.max_depth).files)
    return (
        f"{folder} can be written to; {waiting} {'file waits' if waiting == 1 else 'files wait'} in the inbox"
    )


def _shown(setting: Setting, env: Mapping[str, str]) -> Shown:
    text = env.get(setting.name, "")
    wrong = ""
    if text and not setting.name.startswith(("EXECUTION_HALTED", "EXEC_KILL_SWITCH")):
        try:
            setting.parse(setting.name, text)
        except EngineError as error:
            wrong = str(error)
    value = _masked(setting, text, wrong)
    source = "environment" if text else "default" if setting.default is not None else "not set"
    return Shown(
        setting.name, value or setting.default or "", source, setting.default or "", setting.meaning, wrong
    )


def _as_is(name: str, env: Mapping[str, str]) -> Shown:
    is_shown = name != KEY_FILE or Path(env[name]).is_file()  # else it may hold the key itself
    value = env[name] if is_shown else f"{HIDDEN} (no such file)"
    return Shown(name, value, "environment", "", "read by Google's library")


def _masked(setting: Setting, text: str, wrong: str) -> str:
    """Return the value with secrets hidden, and whatever may be one; of a database's address the password."""
    if not setting.secret or not text:
        is_shown = shown_word(text) == shown(text) if wrong else not looks_secret(text)
        return text if is_shown else HIDDEN  # it may be in the wrong setting
    return Server(text, 1).address if setting.name == "DATABASE_URL" else HIDDEN


def _print(found: Examination) -> None:
    rows = [
        (
            each.name,
            each.value or "-",
            "WRONG" if each.wrong else each.source,
            each.default if each.source == "environment" else "",
            each.meaning,
        )
        for each in found.settings
        if each.source != "not set" or not each.meaning.startswith("deprecated")
    ]
    print_table("Settings", ("setting", "value", "from", "default", "meaning"), rows)
    answers = [
        (
            finding.name,
            "ok" if finding.passed else "FAILED",
            f"{finding.took_s * 1e3:,.0f}",
            finding.text if finding.passed else "see the problems below",
        )
        for finding in found.findings
    ]
    if answers:
        print_table("Dependencies", ("what", "", "ms", "found"), answers, right=("ms",))
    say()
    problems = found.fatal + found.others
    if not problems:
        say("No problems: a run can start.")
        return
    say(f"Problems: {len(problems)}", bold=True)
    for number, problem in enumerate(problems, 1):
        say(f"  {number}. {problem}", color="red" if number <= len(found.fatal) else None)
    say()
    say("A run could not start." if found.fatal else "A run can start; what is unavailable refuses its rows.")
