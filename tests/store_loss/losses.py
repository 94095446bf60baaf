"""What is done to stores and folders between two commands, and how an operator can undo it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.desk import order
from tests.exactly_once.stores import SERVERS
from tests.store_loss.copies import DOCUMENTS, TABLES, Content, Part, put_folder
from tests.store_loss.week import Loss, Week

if TYPE_CHECKING:
    from tests.store_loss.copies import Servers

Lose = Callable[[Week, Random], Loss]
_SYMBOLS = ("SPY", "QQQ", "IWM")


def happened(week: Week, chance: Random) -> Loss:
    """Let one loss of those that are possible happen."""
    kinds: list[Lose] = [FOLDER_LOSSES[name] for name in sorted(week.only)]
    if not kinds:
        kinds = [*OF_FOLDERS, *(OF_SERVERS if week.kind == SERVERS else OF_ENGINE_DB)]
    loss = chance.choice(kinds)(week, chance)
    week.notes.append(loss.name)
    return loss


# --- engine.db


def removed(week: Week, _: Random) -> Loss:
    _store(week).unlink()
    return Loss("engine.db removed")


def renamed(week: Week, _: Random) -> Loss:
    other = week.folder / f"renamed-{len(week.jobs)}.db"
    _store(week).rename(other)
    return Loss("engine.db renamed", partial(_put_file, other, _store(week)))


def truncated(week: Week, chance: Random) -> Loss:
    size = chance.choice((0, _store(week).stat().st_size // 2))
    os.truncate(_store(week), size)
    return Loss(f"engine.db cut to {size} bytes")


def restored(week: Week, chance: Random) -> Loss:
    copy = chance.choice(week.copies).folder / "engine.db"
    now = week.folder / f"before-{len(week.jobs)}.db"
    shutil.copy(_store(week), now)
    shutil.copy(copy, _store(week))
    return Loss(f"engine.db of {copy.parent.name} restored", partial(_put_file, now, _store(week)))


def of_another_folder(week: Week, _: Random) -> Loss:
    """Let a second folder, which has just synced, and this one swap their stores."""
    other = week.folder / f"other-{len(week.jobs)}"
    week.start("sync", folder=other).ended()
    now = week.folder / f"before-{len(week.jobs)}.db"
    _store(week).rename(now)
    (other / "engine.db").rename(_store(week))
    return Loss("engine.db of another folder", partial(_put_file, now, _store(week)))


# --- servers


def tables_dropped(week: Week, _: Random) -> Loss:
    servers = _servers(week)
    tables = servers.tables()
    servers.drop_tables()

    def undo() -> None:
        week.start("init-db").ended()
        servers.put_tables(tables)

    return Loss("tables dropped", undo)


def emptied(part: Part[Content], week: Week, _: Random) -> Loss:
    return _replaced(week, part, part.empty, f"{part.name} emptied")


def restored_at_one(part: Part[Content], week: Week, chance: Random) -> Loss:
    copy = chance.choice(week.copies)
    return _replaced(
        week, part, part.of_copy(copy) or part.empty, f"{part.name} of {copy.folder.name} restored"
    )


def both_restored(week: Week, chance: Random) -> Loss:
    copy, servers = chance.choice(week.copies), _servers(week)
    servers.put_documents(copy.documents or {})
    servers.put_tables(copy.tables or {})
    return Loss(f"both servers of {copy.folder.name} restored")


def setting_changed(week: Week, chance: Random) -> Loss:
    name, value = chance.choice(
        (("EXEC_TENANT_ID", f"{week.name}-x"), ("FIREBASE_PROJECT_ID", "exactly-twice"))
    )
    week.settings[name] = value

    def undo() -> None:
        del week.settings[name]

    return Loss(f"{name} changed", undo)


def setting_unset(week: Week, chance: Random) -> Loss:
    name = chance.choice(("EXEC_TENANT_ID", "FIREBASE_PROJECT_ID", "DATABASE_URL"))
    week.unset |= {name, "EXEC_TENANT_ID"} if name == "FIREBASE_PROJECT_ID" else {name}
    week.settings["EXEC_STORE"] = "embedded"

    def undo() -> None:
        week.unset.clear()
        del week.settings["EXEC_STORE"]

    return Loss(f"{name} unset", undo)


# --- folders


def what_it_knows_removed(week: Week, _: Random) -> Loss:
    """Remove ``folder/``: its identity, its generations, the mark of a halt."""
    shutil.rmtree(week.place / "folder")
    return Loss("folder/ removed")


def copy_used(week: Week, _: Random) -> Loss:
    """Go on with a copy of the data folder from here on."""
    new = week.folder / f"data-{len(week.jobs)}"
    shutil.copytree(week.place, new)
    week.place = new
    return Loss("a copy of the folder used")


def folder_restored(week: Week, chance: Random) -> Loss:
    copy = chance.choice(week.copies).folder
    now = week.folder / f"before-{len(week.jobs)}"
    shutil.copytree(week.place, now)
    put_folder(copy, week.place, with_store=False)
    undo = partial(put_folder, now, week.place, with_store=False)
    return Loss(f"folder of {copy.name} restored", undo)


# --- folder and stores


def all_restored(week: Week, chance: Random) -> Loss:
    """Restore a data folder and its stores together: they agree, and only the brokers know what came since.

    Trades by hand that were accepted since are to be accepted again, and a halt since is gone.
    """
    copy = chance.choice(week.copies)
    put_folder(copy.folder, week.place, with_store=True)
    if week.servers is not None:
        week.servers.put_documents(copy.documents or {})
        week.servers.put_tables(copy.tables or {})
    week.may_lack_orders = True
    week.halted, week.accepted = copy.halted, copy.accepted
    return Loss(f"folder and stores of {copy.folder.name} restored")


def copy_trades_beside(week: Week, chance: Random) -> Loss:
    """Let a copy of the data folder, with its ``engine.db``, trade once beside the original."""
    copy = week.folder / f"beside-{len(week.jobs)}"
    shutil.copytree(week.place, copy)
    for account in week.markets:
        name = f"beside-{len(week.jobs)}-{account[-2:]}"
        row = order(client_intent_id=name, symbol=chance.choice(_SYMBOLS), broker_account_id=account, qty=1)
        week.put(f"{name}.json", [row], folder=copy)
    week.may_lack_orders = True
    week.do("run", "--json", folder=copy)
    return Loss("a copy of the folder trades beside it")


OF_ENGINE_DB: tuple[Lose, ...] = (
    removed,
    renamed,
    truncated,
    restored,
    restored,
    of_another_folder,
)
OF_SERVERS: tuple[Lose, ...] = (
    tables_dropped,
    partial(emptied, TABLES),
    partial(restored_at_one, TABLES),
    partial(emptied, DOCUMENTS),
    partial(restored_at_one, DOCUMENTS),
    both_restored,
    setting_changed,
    setting_unset,
)
OF_FOLDERS = (
    what_it_knows_removed,
    copy_used,
    folder_restored,
    all_restored,
    copy_trades_beside,
)
FOLDER_LOSSES = {loss.__name__: loss for loss in OF_FOLDERS}


def _store(week: Week) -> Path:
    return week.place / "engine.db"


def _servers(week: Week) -> Servers:
    assert week.servers is not None
    return week.servers


def _replaced(week: Week, part: Part[Content], content: Content, name: str) -> Loss:
    """Make a content that of one server; the loss is undone by what the server had."""
    servers = _servers(week)
    had = part.read(servers)
    part.put(servers, content)
    return Loss(name, partial(part.put, servers, had))


def _put_file(source: Path, target: Path) -> None:
    shutil.copy(source, target)
