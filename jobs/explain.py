"""``explain``: one intent's whole story, in sentences."""

from __future__ import annotations

from datetime import date
from itertools import groupby
from typing import Any

from engine.errors import UsageError
from engine.log import wall_clock
from engine.model.calendar import trading_date
from engine.model.schema import FILE_ENDINGS
from engine.model.symbols import canonical_symbol
from engine.record.run_folder import RunFolders
from engine.risk import RULE_BOOK
from jobs.finding import SHORTEST, find, is_named
from jobs.listing import print_list
from jobs.sessions import session_named
from jobs.set_aside import aside_record, print_aside
from jobs.setup import Setup, read_setup
from jobs.story import Story, asked, became, origin, overridden, stories, verdicts
from jobs.tables import print_json, say
from jobs.wording import timestamp, verdict

_CANDIDATES_SHOWN = 20


def explain(what: str, *, day: str | None, as_json: bool) -> int:
    """Print the story of an id, or of a row of a file; list the intents of a strategy or a symbol.

    Returns the exit code. Raises ``UsageError`` where no run has it, or several ids begin with it.
    """
    setup = read_setup()
    only = None if day is None else session_named(day)
    newest = trading_date(wall_clock(), setup.settings.calendar)
    found = find(what, RunFolders(setup.objects), newest=newest, symbol=canonical_symbol(what), only=only)
    if not found:
        raise _unknown(what, found.missed, setup, only)
    if found.is_list:
        return print_list(what, found, as_json=as_json)
    told = [
        story
        for folder, group in groupby(found.intents, key=lambda one: one[0])
        for story in stories(folder, [place for _, place in group], setup.stores.ledger)
    ]
    ids = sorted({story.row["client_intent_id"] for story in told})
    if len(ids) > 1 and all(one.startswith(what) for one in ids):
        more = "" if len(ids) <= _CANDIDATES_SHOWN else " …"
        raise UsageError(
            f"{what!r} is the beginning of {len(ids)} ids: {', '.join(ids[:_CANDIDATES_SHOWN])}{more}. "
            f"Write more characters."
        )
    if as_json:
        records = [_record(story) for story in told]
        print_json({"exit_code": 0, "stories": records, "set_aside": [aside_record(a) for a in found.aside]})
        return 0
    for story in told:
        _print(story)
    for aside in found.aside:
        print_aside(aside)
    return 0


def _unknown(what: str, missed: str, setup: Setup, only: date | None) -> UsageError:
    file_name = what if what.lower().removesuffix(".gz").endswith(FILE_ENDINGS) else what.rpartition(":")[0]
    waiting = [file.name for file in setup.inbox.find().files if is_named(file_name, file.name)]
    if waiting:
        return UsageError(f"{waiting[0]} still waits in the inbox: no run has collected it yet.")
    if missed:
        return UsageError(f"{what!r}: {missed}.")
    if file_name == what:
        return UsageError(f"{what!r} is a file's name; name one of its rows, too, as in {what}:6.")
    where = "no run" if only is None else f"no run of session {only}"
    return UsageError(
        f"{where} has an intent {what!r} (the first {SHORTEST} characters of an id are enough), nor a row of "
        f"a file (momentum.csv:6), a strategy or a symbol of that name. `execution-engine status` shows the "
        f"runs; ids are in their results.parquet, and refused rows below quarantine/."
    )


def _print(story: Story) -> None:
    say()
    say(f"Intent {story.row['client_intent_id']}", bold=True)
    say(asked(story))
    say()
    say("Where it came from", bold=True)
    for line in origin(story):
        say(f"  {line}")
    if story.is_decided:
        _print_verdicts(story)
    say()
    say("What became of it", bold=True)
    for line in became(story):
        say(f"  {line}")


def _print_verdicts(story: Story) -> None:
    say()
    say(f"What each rule found, as of {timestamp(story.context['as_of'])}", bold=True)
    shown, off = verdicts(story)
    width = max(len(rule) for _, rule, _ in shown)
    for answer, rule, sentence in shown:
        color = {"fail": "red", "unavailable": "yellow"}.get(answer)
        say(f"  {answer:<11} {rule:<{width}}  {sentence}", color=color)
    if off:
        say(f"  {off} rules are off (`execution-engine limits show` lists them).")
    for text in overridden(story):
        say(f"  {text}", color="red")


def _record(story: Story) -> dict[str, Any]:
    row = dict(story.row)
    checks, sentences = {}, {}
    for rule in RULE_BOOK if story.is_decided else ():
        if f"check_{rule.name}" not in row:  # recorded by a version before it
            continue
        checks[rule.name] = row.pop(f"check_{rule.name}")
        sentences[rule.name] = verdict(rule.name, story.row, story.context)
    return {
        "run_id": story.folder.run_id,
        **row,
        "checks": checks,
        "sentences": sentences,
        "overridden_by": overridden(story),
        "state": story.state,
        "life": story.life,
        "later": story.later,
    }
