"""The page of a run or a day: what it says, that nothing in it runs or asks, and how large it is."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from jobs.report_page import explanations
from jobs.report_page.cells import Cell, Table, at, figure, figures, plain, text
from jobs.report_page.exceptions import Shown, few_of_each
from jobs.report_page.rendering import IN_THE_HTML, packed
from jobs.report_page.trading import why_it_cost
from tests.desk import SESSION, Desk, order
from tests.engine.routing.trading import TradingDesk
from tests.jobs.command_line import Command, jsonl
from tests.jobs.live_machine import Live

VOID = {"meta", "br", "input", "link", "img", "hr"}
HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)>{{ 7 * 7 }}\u202e-->"""


class Page(HTMLParser):
    """A page as a browser parses it: elements, texts by section, cells of tables, links."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = source
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.ids: list[str] = []
        self._open: list[str] = []
        self._section = self._table = ""
        self._in_cell = False
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append((tag, named))
        if found := named.get("id"):
            self.ids.append(found)
        if tag == "section":
            self._section = str(named["id"])
        if tag == "div" and named.get("class") == "table":
            self._table = str(named["id"])
            self.tables[self._table] = []
        if tag == "figure":  # the picture's own table stands alone
            self._table = ""
        if tag == "tr" and self._table:
            self.tables[self._table].append([])
        if tag in {"td", "th"} and self._table:
            self.tables[self._table][-1].append("")
            self._in_cell = True
        if tag == "script":
            self.scripts.append((named, ""))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th"}:
            self._in_cell = False
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
            return
        if self._in_cell:
            self.tables[self._table][-1][-1] += data.strip()
        words = " ".join(data.split())
        if words:
            self.texts[self._section] = f"{self.texts.get(self._section, '')} {words}".strip()

    @property
    def explanations(self) -> list[list[str]]:
        """What the page has of each intent."""
        (content,) = [content for named, content in self.scripts if named.get("id") == "explanations"]
        found = unpacked(content)
        return [[found["lines"][place] for place in lines] for lines in found["intents"]]

    def rows(self, table: str) -> list[dict[str, str]]:
        """The rows of a table in the HTML, by heading."""
        heads, *rows = self.tables[table]
        return [dict(zip(heads, row, strict=True)) for row in rows]


def unpacked(content: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(content)))


Report = Callable[..., Page]


@pytest.fixture
def report(cli: Command, tmp_path: Path) -> Report:
    """Return a function that writes the page of something and gives it as parsed."""

    def write(what: str, command: Callable[..., Any] = cli) -> Page:
        place = tmp_path / "page.html"
        done = command("report", what, "--html", place, "--json")
        assert done.code == 0, done.err
        assert done.json["bytes"] == place.stat().st_size
        return Page(place.read_text("utf-8"))

    return write


@pytest.fixture
def desk(data: Path) -> Desk:
    return Desk(data)


# --- nothing in it runs, and nothing asks


def test_no_script_but_its_own_can_run_and_nothing_is_requested(desk: Desk, report: Report) -> None:
    desk.drop("a.json", order(strategy_id=HOSTILE.replace("\u202e", ""), metadata={"note": HOSTILE}))
    desk.run()
    page = report(SESSION)
    (policy,) = [named["content"] for tag, named in page.tags if named.get("http-equiv")]
    assert policy is not None
    (own,) = [content for named, content in page.scripts if not named]
    (style,) = re.findall(r"<style>(.*?)</style>", page.source, re.DOTALL)
    for kind, content in (("script", own), ("style", style)):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert {named.get("type") for named, _ in page.scripts} == {None, "text/plain"}
    names = {name for _, attributes in page.tags for name in attributes}
    assert not {name for name in names if name.startswith("on")} | (
        names & {"src", "style", "srcset", "action"}
    )
    assert all(str(named["href"]).startswith("#") for _, named in page.tags if "href" in named)
    assert not {tag for tag, _ in page.tags} & {"img", "iframe", "object", "form", "base", "link"}


def test_hostile_names_are_shown_as_they_are_and_turn_no_text_around(desk: Desk, report: Report) -> None:
    name = HOSTILE.replace("\u202e", "")
    desk.drop("a.json", order(strategy_id=name), order(client_intent_id="x", strategy_id=HOSTILE, qty=2))
    desk.run()
    page = report(SESSION)
    assert page.rows("intents")[0]["strategy"] == name
    assert "{{ 7 * 7 }}" in page.texts["all-intents"]
    assert "\u202e" not in page.source
    assert "\\u202e" in page.texts["quarantined"]  # the name with it is quarantined, and shown escaped
    assert any(name in line for line in page.explanations[0])


def test_secrets_of_the_environment_are_masked(
    desk: Desk, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "s3cr3t/NeverShown+Anywhere=="
    desk.drop("a.json", order(strategy_id=secret))
    desk.run()
    monkeypatch.setenv("ALPACA_SECRET_KEY", secret)
    page = report(SESSION)
    assert secret not in page.source
    assert not any(secret in line for lines in page.explanations for line in lines)


# --- what it says


def test_a_good_day_says_so_first_and_accounts_for_every_row(live: Live, report: Report) -> None:
    live.env["EXEC_BROKER_ACCOUNT_ID"] = "paper"
    live.cli("drop", stdin=jsonl(order(client_intent_id="one", qty=2), order(qty=500), order(qty=0)))
    ran = live("run", "--json")
    page = report(ran.json["trading_date"], live)
    assert "Nothing is wrong" in page.texts[""]
    (run,) = page.rows("runs")
    assert [run[name] for name in ("how it ended", "droppedrows", "sentorders")] == ["done", "3", "1"]
    counts = {row["rows that are"]: row["rows"] for row in page.rows("outcomes")}
    assert counts == {
        "quarantined": "1",
        "placed": "1",
        "refused by a rule": "1",
        "all that were dropped": "3",
    }
    assert {row["holds"] for row in page.rows("identities")} == {"holds"}
    (refused,) = page.rows("refused")
    assert refused["rule"] == "max_position_size_exceeded"
    assert "limit 100 either way" in refused["why"]
    (quarantined,) = page.rows("quarantine")
    assert quarantined["field"] == "qty"
    (fill,) = page.rows("fills")
    assert (fill["intent"], fill["order"]) == ("one", "buy 2 SPY")
    (held,) = page.rows("by_strategy")
    assert (held["strategy"], held["symbol"], held["heldshares"]) == ("momentum", "SPY", "2")


def test_every_intent_links_to_what_explain_says_of_it(desk: Desk, report: Report, cli: Command) -> None:
    desk.drop("a.json", order(client_intent_id="one"), order(client_intent_id="big", qty=500))
    desk.run()
    page = report(SESSION)
    links = [str(named["href"]) for _, named in page.tags if re.fullmatch(r"#i\d+", str(named.get("href")))]
    assert set(links) == {"#i0", "#i1"}
    for row, told in zip(page.rows("intents"), page.explanations, strict=True):
        said = " ".join(cli("explain", row["intent"]).out.split())
        assert told[0] == f"#Intent {row['intent']}"
        for line in told:
            words = re.sub(r"^(pass|fail|off|unavailable) · (\w+) · ", r"\1 \2 ", line.removeprefix("#"))
            assert words in said, line


def test_a_day_without_a_run_is_a_page_that_says_so(report: Report) -> None:
    page = report(SESSION)
    assert "There was no run" in page.texts[""]
    assert not page.explanations


def test_what_is_wrong_comes_first_with_what_to_do(data: Path, report: Report) -> None:
    desk = TradingDesk(data)
    desk.arm("accept_then_drop")
    desk.arm("lookup_lag", lookups=1000)
    desk.drop("a.json", order(client_intent_id="lost", qty=3))
    desk.live()
    desk.disarm()
    desk.drop("b.json", order(client_intent_id="rests", order_type="limit", limit_price=50))
    page = report(SESSION)
    assert page.texts[""].split(": ")[1].startswith("Action needed")
    said = page.texts["exceptions"]
    assert said.startswith("Exceptions Act · unresolved UNRESOLVED: the outcome of lost is unknown")
    assert "The next live run looks it up" in said
    (row,) = page.rows("orders")
    assert (row["filledshares"], row["shortfallUSD"]) == ("unknown", "unknown")


def test_a_file_that_was_changed_is_named_in_the_verdict(desk: Desk, report: Report) -> None:
    desk.drop("a.json", order())
    run = desk.run()
    path = desk.data / run.key / "collected.json"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b" ")
    page = report(run.run_id)
    assert "Action needed" in page.texts[""]
    assert f"changed: {run.key}collected.json has changed since it was recorded." in page.texts["verdict"]


def test_a_run_whose_files_cannot_be_read_is_named_and_hides_no_other(desk: Desk, report: Report) -> None:
    desk.drop("a.json", order(client_intent_id="a"))
    run = desk.run()
    desk.drop("b.json", order(client_intent_id="b"))
    desk.run()
    path = desk.data / run.key / "decisions.parquet"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])
    page = report(SESSION)
    assert f"Exceptions Act · damaged {run.key}decisions.parquet is damaged" in page.texts["exceptions"]
    assert [row["intent"] for row in page.rows("intents")] == ["b"]


def test_a_run_can_be_named_by_its_beginning_and_a_range_has_all_its_sessions(
    desk: Desk, report: Report, cli: Command
) -> None:
    for name in ("a", "b"):
        desk.drop(f"{name}.json", order(client_intent_id=name))
        run = desk.run()
    desk.later(days=1)
    desk.drop("c.json", order(client_intent_id="c"))
    desk.run()
    assert len(report(SESSION).rows("runs")) == 2
    assert len(report("2026-03-01..2026-03-31").rows("intents")) == 3
    assert [row["run"] for row in report(run.run_id).rows("runs")] == [run.run_id]
    for what, why in (
        ("20260302", "is the beginning of 2 runs"),
        ("nosuch", "is no session, range or run"),
        ("2026-03-05..2026-03-02", "ends before it begins"),
    ):
        done = cli("report", what, "--html", "x.html")
        assert (done.code, why in done.err) == (2, True)


def test_of_a_kind_with_many_exceptions_the_first_are_shown_and_all_are_counted() -> None:
    many = [Shown("act", "break", f"break {n}") for n in range(25)]
    shown = list(few_of_each([*many, Shown("look", "override", "one")]))
    assert [one.text for one in shown[:20]] == [one.text for one in many[:20]]
    assert shown[20].text.startswith("… and 5 more of this kind")
    assert sum(one.stands_for for one in shown) == 26


@pytest.mark.parametrize(
    ("side", "cost", "said"),
    [
        (
            "buy",
            0.7,
            "No more than half the spread, which was 1.40 USD (2.0 bp): it was filled at the ask or better.",
        ),
        (
            "sell",
            5.0,
            "Half the spread is 1.40 USD of it; 3.60 USD are beyond the bid: the price moved before",
        ),
    ],
)
def test_the_largest_cost_says_what_it_is_made_of(side: str, cost: float, said: str) -> None:
    order = pd.Series({"side": side, "arrival_cost_usd": cost, "half_spread_usd": 1.4, "spread_bps": 4.0})
    assert why_it_cost(order).startswith(said)


# --- beside each run


def test_each_run_writes_its_page_where_that_is_asked_for(cli: Command, data: Path) -> None:
    cli("drop", stdin=jsonl(order()))
    ran = cli("run", EXEC_REPORT="1")
    (page,) = data.glob("reports/*/*.html")
    assert ran.out.splitlines()[-1] == f"Page: {page}"
    assert page.read_text().startswith("<!doctype html>")
    assert (page.stat().st_mode & 0o777, page.stem in ran.out) == (0o600, True)
    cli("drop", stdin=jsonl(order(qty=2)))
    assert cli("run", "--json", EXEC_REPORT="1").json["exit_code"] == 0
    cli("run")
    assert len(list(data.glob("reports/*/*.html"))) == 2


def test_a_page_that_cannot_be_written_is_logged_and_changes_no_exit_code(cli: Command, data: Path) -> None:
    data.mkdir(parents=True)
    (data / "reports").write_text("a file")
    cli("drop", stdin=jsonl(order()))
    ran = cli("run", "--json", EXEC_REPORT="1")
    assert ran.code == 0
    assert "report_not_written" in [event["event"] for event in ran.events]


# --- large days


def test_a_day_of_a_thousand_intents_has_all_of_them_in_half_a_megabyte(desk: Desk, report: Report) -> None:
    rows = [
        order(
            strategy_id=f"s{n % 7}",
            symbol=f"SYM{n % 40}",
            qty=1 + n % 60,
            client_intent_id=f"intent-{n:06}-{n * 7919 % 9973}",
        )
        for n in range(1000)
    ]
    desk.drop("a.json", *rows)
    desk.run()
    page = report(SESSION)
    assert len(page.source.encode()) <= 500_000
    assert len(page.explanations) == 1000
    assert len(page.rows("intents")) == IN_THE_HTML
    all_rows = [unpacked(content) for named, content in page.scripts if named.get("class") == "rows"]
    assert 1000 in map(len, all_rows)


def test_intents_beyond_the_pages_room_are_counted_and_refused_ones_come_first(
    desk: Desk, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explanations, "MOST_INTENTS", 2)
    desk.drop(
        "a.json",
        *(order(client_intent_id=f"i{n}", qty=1) for n in range(3)),
        order(client_intent_id="big", qty=500),
    )
    desk.run()
    page = report(SESSION)
    assert {row["intent"] for row in page.rows("intents")} == {"i0", "big"}
    assert "2 more intents are not in this page" in page.texts["all-intents"]


# --- cells


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(None, "", "unknown"), (float("nan"), "USD", "unknown"), (0.0, "USD", "0"), (-0.001, "USD", "0"),
     (1234.567, "USD", "1,234.57"), (-2.25, "bp", "-2.2"), (0.5, "", "0.5")],
)  # fmt: skip
def test_figures_are_rounded_by_their_unit_and_what_is_missing_is_unknown(
    value: float | None, unit: str, shown: str
) -> None:
    assert figure(value, unit).text == shown


def test_the_same_content_is_packed_to_the_same_bytes() -> None:
    assert packed(["é", 1]) == packed(["é", 1])
    assert unpacked(packed({"a": ["é", None]})) == {"a": ["é", None]}
    assert Cell("x").packed() == "x"
    assert Cell("x", href="#i1").packed() == ["x", None, "#i1"]
    assert at(None).text == "unknown"
    assert Table("t", "T", [text("a"), figures("b", "USD")], [[plain("x"), figure(1)]]).empty == "None."
