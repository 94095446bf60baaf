"""``verify``: compare the record with its hashes, and walk the chain of manifests up to the head."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Literal

from engine.errors import RecordError
from engine.record.formats import file_hash, read_json
from engine.record.links import NO_ACCOUNT, Link, links_of, run_name
from engine.record.objects import Objects
from engine.record.run_folder import MANIFEST, RunFolder, RunFolders
from engine.run.manifest import EXIT_DONE, EXIT_UNRESOLVED
from engine.safety.chain import Chain, Head
from jobs.progress import progress_bar
from jobs.setup import read_setup
from jobs.tables import print_json, say
from jobs.wording import counted

Kind = Literal["changed", "missing", "added", "rewritten", "cut_off", "forked", "begins_anew"]
_SHOWN, _WALKS_AT_MOST = 20, 5


@dataclass(frozen=True)
class Finding:
    """What is wrong with one run, by its kind.

    - ``changed``, ``missing``, ``added``: a file of the run, or its folder, against its own manifest or the
      links of others;
    - ``rewritten``: the manifest is not the one that the next run, or the store, has seen;
    - ``cut_off``: the store knows a later run than the record has;
    - ``forked``: two runs follow the same one; ``begins_anew``: a run follows none, and there are older ones.
    """

    kind: Kind
    run: str
    message: str


@dataclass
class Walked:
    """What a walk over the record has found.

    ``unlinked``: runs of versions without a chain. Runs that ended while the store could not be reached are
    in no chain either; they are among the ``notes``.
    """

    runs: int = 0
    unfinished: list[str] = field(default_factory=list)
    unlinked: int = 0
    accounts: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(*, as_json: bool) -> int:
    """Verify the record of the data folder and print what is wrong; return the exit code.

    Raises ``DataUnavailable`` where the store that has the heads can't be read.
    """
    setup = read_setup()
    chain = Chain(setup.stores.agent, setup.objects)
    with progress_bar() as progress:
        for _ in range(_WALKS_AT_MOST):
            heads = chain.heads()
            walked = walk(setup.objects, heads, progress)
            if chain.heads() == heads:  # else a run has ended meanwhile
                break
    exit_code = EXIT_UNRESOLVED if walked.findings else EXIT_DONE
    if as_json:
        print_json({**asdict(walked), "exit_code": exit_code})
    else:
        _print(walked, setup.stores.agent.place)
    return exit_code


def walk(objects: Objects, heads: Mapping[str, Head], progress: Any = lambda *_: None) -> Walked:
    """Return what is wrong with the runs of a data folder. Damaged manifests are findings."""
    found = Walked()
    runs = RunFolders(objects).all()
    names = {run_name(run) for run in runs}
    manifests: dict[str, bytes] = {}
    links: dict[str, dict[str, Link | None]] = {}
    for number, run in enumerate(runs):
        progress("verifying runs", number, len(runs))
        name = run_name(run)
        if MANIFEST not in run.names():
            found.unfinished.append(name)
            continue
        found.runs += 1
        content = objects.read(run.key + MANIFEST)
        manifests[name] = content
        try:
            manifest = read_json(run.key + MANIFEST, content)
            linked = links_of(manifest)
        except (RecordError, ValueError) as error:
            found.findings.append(Finding("changed", name, f"{run.key}{MANIFEST} is damaged ({error})"))
            continue
        found.findings += compared_files(run, manifest)
        if linked is not None:
            links[name] = linked
        elif "bytes" in manifest:
            found.notes.append(f"run {name} is in no chain: the store could not be reached when it ended.")
        else:
            found.unlinked += 1
    record = _Record(names, manifests, links)
    found.accounts = sorted({account for linked in links.values() for account in linked} | heads.keys())
    for account in found.accounts:
        found.findings += record.walked(account, heads.get(account))
        found.notes += record.notes(account, heads.get(account))
    return found


def compared_files(run: RunFolder, manifest: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what differs between the files of a run and the hashes in its manifest."""
    name, held = run_name(run), run.names() - {MANIFEST}
    content, of_bytes = manifest.get("content", {}), manifest.get("bytes", {})
    for file in sorted(content.keys() | of_bytes.keys()):
        if file not in held:
            yield Finding("missing", name, f"{run.key}{file} is missing")
            continue
        whole = run.objects.read(run.key + file)
        if file in of_bytes:
            same = sha256(whole).hexdigest() == of_bytes[file]
        else:
            same = _hash(run.key + file, whole) == content[file]
        if not same:
            yield Finding("changed", name, f"{run.key}{file} has changed since it was recorded")
    for file in sorted(held - content.keys() - of_bytes.keys()):
        yield Finding("added", name, f"{run.key}{file} was not there when the run was finished")


def _hash(key: str, content: bytes) -> str:
    try:
        return file_hash(key, content)
    except RecordError:
        return ""


@dataclass(frozen=True)
class _Record:
    """The runs that there are: names of all folders, manifests of the finished ones, and their links."""

    names: set[str]
    manifests: Mapping[str, bytes]
    links: Mapping[str, Mapping[str, Link | None]]

    def walked(self, account: str, head: Head | None) -> Iterator[Finding]:
        """Walk the chain of an account, and compare its end with the head."""
        followers: dict[str, list[str]] = defaultdict(list)
        runs = self._of(account)
        broken: list[Finding] = []
        for run in runs:
            if (before := self.links[run][account]) is not None:
                followers[before.run].append(run)
                broken += self._link(before, f"run {run}", account)
        for run in self._beginnings(account)[1:]:
            said = f"run {run} begins the chain{_of(account)} anew, though there are earlier runs"
            broken.append(Finding("begins_anew", run, said))
        for run, others in followers.items():
            if len(others) > 1:
                said = f"runs {', '.join(others)} all follow run {run}{_of(account)}, where one can"
                yield Finding("forked", run, said)
        yield from broken
        ends = [run for run in runs if run not in followers]
        yield from self._end(account, head, ends, is_broken=bool(broken))

    def notes(self, account: str, head: Head | None) -> Iterator[str]:
        """Yield a note where an account's chain begins, or is, in a session that is gone as a whole."""
        for run in self._beginnings(account)[:1]:
            if self.links[run][account] is not None:
                yield f"the record{_of(account)} begins with run {run}; earlier sessions were moved away."
        if head is not None and self._is_pruned(head.link):
            yield f"the newest run{_of(account)}, {head.link.run}, was moved away with its session."

    def _beginnings(self, account: str) -> list[str]:
        """Return the runs of an account that follow none, or one of a session before the whole record."""
        links = [(run, self.links[run][account]) for run in self._of(account)]
        return [run for run, link in links if link is None or self._is_pruned(link)]

    def _is_pruned(self, link: Link) -> bool:
        return link.run not in self.names and _session(link.run) < min(map(_session, self.names))

    def _of(self, account: str) -> list[str]:
        return [run for run, linked in self.links.items() if account in linked]

    def _link(self, link: Link, by: str, account: str) -> Iterator[Finding]:
        """Compare a link with the run that it names."""
        if link.run in self.manifests:
            if Link.of(link.run, self.manifests[link.run]) != link:
                said = f"runs/{link.run}/{MANIFEST} is not the one that {by} follows{_of(account)}"
                yield Finding("rewritten", link.run, said)
        elif link.run in self.names:
            said = f"runs/{link.run}/{MANIFEST} is missing, and {by} follows it{_of(account)}"
            yield Finding("missing", link.run, said)
        elif not self._is_pruned(link):
            said = f"run {link.run} is missing, and {by} follows it{_of(account)}"
            yield Finding("missing", link.run, said)

    def _end(
        self, account: str, head: Head | None, ends: Sequence[str], *, is_broken: bool
    ) -> Iterator[Finding]:
        """Compare the run that no other follows with the head in the store.

        Where the chain is broken, what was before the break is followed by nothing for that reason.
        """
        if head is None:
            said = f"the store has no head{_of(account)}, and the record ends with run {ends[-1]}"
            yield Finding("cut_off", ends[-1], said)
            return
        last = head.link
        if last.run in self.names and last.run not in self.manifests:  # it was killed before its manifest
            if head.before is None:
                return
            last = head.before
        if self._is_pruned(last) and not ends:
            return
        if last.run not in self.manifests:
            said = f"run {last.run} is missing, which the store has as the newest one{_of(account)}"
            yield Finding("cut_off", last.run, said)
        else:
            yield from self._link(last, "the head in the store", account)
            for run in ends:
                if run != last.run and not is_broken and last.run in self.links:
                    said = (
                        f"run {run} is not known to the store, whose newest one{_of(account)} is {last.run}"
                    )
                    yield Finding("added", run, said)


def _session(run: str) -> str:
    return run.partition("/")[0]


def _of(account: str) -> str:
    return f" of account {account}" if account != NO_ACCOUNT else " of runs without an order"


def _print(walked: Walked, store: str) -> None:
    finished = counted(walked.runs, "finished run")
    chains = counted(len(walked.accounts), "chain")
    say(f"{finished} verified, file by file, and {chains} up to the head in {store}.")
    for note in walked.notes:
        say(f"To note: {note}")
    if walked.unlinked:
        runs = counted(walked.unlinked, "run")
        say(f"To note: {runs} of an earlier version of the engine: files verified, in no chain.")
    if walked.unfinished:
        say(f"To note: unfinished and not verified: {', '.join(walked.unfinished)}.")
    for finding in walked.findings[:_SHOWN]:
        say(f"{finding.kind.upper()}: {finding.message}.", color="red")
    if (more := len(walked.findings) - _SHOWN) > 0:
        say(f"… and {more} more; --json has all.", color="red")
    if walked.findings:
        say(
            "Restore what is named from a backup, and find out who changed it: the record is no longer proof."
        )
    else:
        say("Nothing is changed, missing, added or cut off.")
