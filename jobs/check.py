"""``check``: how `drop` and the next run would read files, row by row; nothing is written or sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from engine.api.rehearsal import basis, rehearse_collecting, rehearse_deciding
from engine.errors import UsageError
from engine.model.schema import FIGURES, INTENT_FIELDS
from engine.record.run_folder import BATCH, COLLECTED, DECISIONS, INPUTS, RunFolder
from engine.risk import RULE_BOOK
from jobs import recorded
from jobs.given import Given, read_given
from jobs.setup import Setup, read_setup
from jobs.tables import print_json, print_list, print_table, say
from jobs.wording import counted, order, timestamp, why_refused

EXIT_USAGE, EXIT_REFUSED = 2, 4
_ROWS_SHOWN, _MESSAGES_SHOWN, _ID_SHOWN = 50, 20, 12
_COUNTS = ("rows", "batched", "quarantined", "duplicate")
_FIELDS = tuple(field.name for field in INTENT_FIELDS)


@dataclass(frozen=True)
class Checked:
    """The result of a rehearsal: its folder, and the files that are not in it, each with the reason.

    ``shown_as``: a file's name on the command line, by its name in the record. ``basis``: what the verdicts
    rest on; empty without verdicts.
    """

    folder: RunFolder
    shown_as: Mapping[str, str]
    failed: list[dict[str, str]]
    basis: list[str]

    @property
    def exit_code(self) -> int:
        """2 where a file could not be read, 4 where a row would be refused, else 0."""
        if self.failed:
            return EXIT_USAGE
        is_refused = self.folder.json(COLLECTED)["rows"]["quarantined"] > 0
        if self.basis:
            is_refused = is_refused or not all(
                self.folder.table(DECISIONS, ["allowed"])["allowed"].to_pylist()
            )
        return EXIT_REFUSED if is_refused else 0


def check(files: Sequence[str], *, kind: str, against_limits: bool, as_json: bool) -> int:
    """Print what a run would do with each row; return the exit code."""
    setup = read_setup()
    checked = _checked(setup, files, kind=kind, against_limits=against_limits)
    if as_json:
        print_json(_record(checked))
        return checked.exit_code
    _print(checked)
    for failure in checked.failed:
        say(f"error: {failure['file']}: can't be checked: {failure['why']}", err=True)
    return checked.exit_code


def _checked(setup: Setup, files: Sequence[str], *, kind: str, against_limits: bool) -> Checked:
    given, failed = _read(setup, files, kind=kind)
    context = setup.context(progress=lambda *_: None, stopping=lambda: False)
    contents = [(one.name, one.content) for one in given]
    folder, names = rehearse_collecting(contents, setup.settings, setup.config, context)
    shown_as = dict(zip(names, (one.shown_as for one in given), strict=True))
    failed += [
        {"file": shown_as.get(left["name"], left["name"]), "why": left["why"]}
        for left in folder.json(COLLECTED)["left"]
    ]
    if against_limits:
        rehearse_deciding(folder, context)
    rests_on = basis(folder, setup.stores.positions) if against_limits else []
    return Checked(folder, shown_as, failed, rests_on)


def _read(setup: Setup, files: Sequence[str], *, kind: str) -> tuple[list[Given], list[dict[str, str]]]:
    given, failed = [], []
    for file in files:
        try:
            given.append(read_given(file, kind=kind, limits=setup.settings.intake))
        except UsageError as error:
            failed.append({"file": file, "why": str(error)})
    return given, failed


def _record(checked: Checked) -> dict[str, Any]:
    folder, collected = checked.folder, checked.folder.json(COLLECTED)
    body = {
        "exit_code": checked.exit_code,
        "trading_date": folder.trading_date.isoformat(),
        "files": [
            {"file": checked.shown_as[file["name"]], "name": file["name"], **{n: file[n] for n in _COUNTS}}
            for file in collected["files"]
        ],
        "rows": collected["rows"],
        "intents": [_intent(row) for row in _rows(folder, at_most=None)],
        "refused": collected["refused"],
        "duplicates": collected["duplicates"],
        "notes": collected.get("notes", []),
        "failed": checked.failed,
    }
    return {**body, "limits": _limits(checked)} if checked.basis else body


def _rows(folder: RunFolder, *, at_most: int | None) -> list[dict[str, Any]]:
    """Return the intents that would be batched, in order, with any verdicts."""
    places = range(folder.table(BATCH, ["source_row"]).num_rows)
    return recorded.rows_so_far(folder, places[:at_most])


def _intent(row: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: row[name] for name in _FIELDS if row[name] is not None}
    return {"file": row["source_file"], "row": row["source_row"], **fields}


def _limits(checked: Checked) -> dict[str, Any]:
    """Return the verdicts, in the order of the intents, and what they rest on."""
    context, inputs = recorded.context(checked.folder), checked.folder.json(INPUTS)
    verdicts = [
        {
            "client_intent_id": row["client_intent_id"],
            "allowed": row["allowed"],
            "reason": row["reason"],
            "why": "" if row["allowed"] else why_refused(row, context),
            "checks": {rule.name: row[f"check_{rule.name}"] for rule in RULE_BOOK},
            **{name: row[name] for name in FIGURES},
        }
        for row in _rows(checked.folder, at_most=None)
    ]
    return {
        "as_of": context["as_of"].isoformat(),
        "basis": checked.basis,
        "kill_switch": inputs["kill_switch"],
        "unavailable": inputs["unavailable"],
        "verdicts": verdicts,
    }


def _print(checked: Checked) -> None:
    folder, collected = checked.folder, checked.folder.json(COLLECTED)
    say()
    say(f"Check · session {folder.trading_date} · nothing is written, nothing is sent", bold=True)
    if collected["files"]:
        rows = [(checked.shown_as[file["name"]], *(file[n] for n in _COUNTS)) for file in collected["files"]]
        print_table("What would come in", ("file", *_COUNTS), rows, right=_COUNTS)
    if collected["rows"]["batched"]:
        _print_intents(checked)
    refused = [
        line for record in collected["refused"] for line in (record["message"], *record.get("also", []))
    ]
    shown = partial(print_list, at_most=_MESSAGES_SHOWN, more="; --json has all")
    rows = collected["rows"]["quarantined"]
    of_rows = f", {counted(rows, 'row')} with all that is wrong" if len(refused) != rows else ""
    shown(f"Would be quarantined{of_rows}", refused)
    again = [record["message"] for record in collected["duplicates"]]
    shown("Would be recognised as known, and not taken twice", again)
    shown("To note", [f"{note['file']}: {note['message']}" for note in collected.get("notes", [])])
    _print_end(checked, collected["rows"])


def _print_intents(checked: Checked) -> None:
    rows = _rows(checked.folder, at_most=_ROWS_SHOWN)
    count = checked.folder.json(COLLECTED)["rows"]["batched"]
    first = f" (the first {len(rows)} of {count})" if count > len(rows) else ""
    columns = ("row", "intent", "strategy", "account", "order")
    cells = [
        (
            f"{row['source_file']}:{row['source_row']}",
            row["client_intent_id"][:_ID_SHOWN],
            row["strategy_id"],
            row["broker_account_id"],
            order(row),
        )
        for row in rows
    ]
    if not checked.basis:
        print_table(f"Would be batched, in this order{first}", columns, cells)
        return
    context = recorded.context(checked.folder)
    verdicts = [
        "allowed" if row["allowed"] else f"{row['reason']}: {why_refused(row, context)}" for row in rows
    ]
    with_verdicts = [(*cell, verdict) for cell, verdict in zip(cells, verdicts, strict=True)]
    print_table(f"Would be judged, in this order{first}", (*columns, "verdict"), with_verdicts)


def _print_end(checked: Checked, rows: Mapping[str, int]) -> None:
    say()
    if checked.basis:
        inputs = checked.folder.json(INPUTS)
        as_of = recorded.context(checked.folder)["as_of"]
        say(f"The verdicts are as of {timestamp(as_of)}; the next run may decide otherwise.")
        for line in checked.basis:
            say(line)
        if inputs["kill_switch"]:
            say(inputs["kill_switch_why"], color="red")
        for name, why in inputs["unavailable"].items():
            say(f"Unavailable: {name}: {why}", color="red")
        if (
            "positions" not in inputs["unavailable"]
            and not checked.folder.table("positions.parquet").num_rows
        ):
            say("No positions are on record for these accounts: every one counts as flat.")
        allowed = sum(checked.folder.table(DECISIONS, ["allowed"])["allowed"].to_pylist())
        say(f"{allowed} of {counted(rows['batched'], 'intent')} would be allowed.")
    if not checked.folder.json(COLLECTED)["files"]:
        say("No file was checked.", color="red")
    elif rows["quarantined"]:
        say(f"{rows['quarantined']} of {counted(rows['dropped'], 'row')} would be quarantined.", color="red")
    else:
        say(f"No row would be quarantined ({counted(rows['dropped'], 'row')}).")
