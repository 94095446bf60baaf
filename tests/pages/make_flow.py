"""The picture on the first page, for light and dark readers; made by ``python -m tests.pages.make_flow``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "jobs" / "docs"
WIDTH, HEIGHT = 900, 330
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Colors:
    text: str
    muted: str
    line: str
    box: str
    ours: str
    edge: str


THEMES = {
    "light": Colors("#1f2328", "#59636e", "#818b98", "#f6f8fa", "#ddf4ff", "#0969da"),
    "dark": Colors("#f0f6fc", "#b1bac4", "#7d8590", "#161b22", "#0c2d6b", "#4493f8"),
}


def picture(colors: Colors) -> str:
    """Return the picture as SVG."""

    def box(x: int, y: int, width: int, height: int, *lines: str, ours: bool = False) -> str:
        fill, edge = (colors.ours, colors.edge) if ours else (colors.box, colors.line)
        first = y + height / 2 - 8.5 * (len(lines) - 1) + 5
        return (
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{fill}" stroke="{edge}"/>'
            + "".join(
                words(x + width // 2, first + 17 * at, line, title=at == 0) for at, line in enumerate(lines)
            )
        )

    def words(x: float, y: float, text: str, *, title: bool = False) -> str:
        look = (
            f'font-size="15" font-weight="600" fill="{colors.text}"'
            if title
            else f'font-size="12" fill="{colors.muted}"'
        )
        return f'<text x="{x:g}" y="{y:g}" text-anchor="middle" {look}>{text}</text>'

    def arrow(path: str) -> str:
        look = f'fill="none" stroke="{colors.line}" stroke-width="1.5" marker-end="url(#head)"'
        return f'<path d="{path}" {look}/>'

    parts = [
        box(10, 36, 126, 66, "Strategies", "order intents,", "as files"),
        box(166, 36, 110, 66, "Inbox", "CSV, JSON,", "Parquet"),
        box(312, 36, 120, 66, "Collect", "checked rows,", "a sealed batch", ours=True),
        box(468, 36, 120, 66, "Decide", "every rule", "for every row", ours=True),
        box(624, 36, 120, 66, "Send", "allowed orders,", "exactly once", ours=True),
        box(780, 36, 110, 66, "Broker", "Alpaca, or the", "simulated one"),
        *(arrow(f"M{x} 69 H{to}") for x, to in ((136, 164), (276, 310), (432, 466), (588, 622), (744, 778))),
        box(156, 150, 130, 50, "Quarantine", "row, rule, remedy"),
        arrow("M340 102 V175 H288"),
        box(664, 150, 226, 50, "Positions and ledger", "PostgreSQL, Firestore or embedded"),
        arrow("M835 102 V148"),
        words(862, 130, "fills"),
        arrow("M664 175 H550 V104"),
        words(597, 168, "what is held"),
        words(436, 137, "limits"),
        arrow("M456 133 H500 V104"),
        box(
            312, 244, 432, 62, "Run folder",
            "intents, inputs, every decision, requests and replies, fills, results",
        ),
        arrow("M380 102 V242"),
        arrow("M528 102 V242"),
        arrow("M648 102 V242"),
        box(156, 244, 130, 62, "explain", "one intent&#8217;s", "whole story", ours=True),
        arrow("M312 275 H288"),
        box(780, 244, 110, 62, "replay", "other limits,", "recorded days", ours=True),
        arrow("M744 275 H778"),
    ]  # fmt: skip
    head = (
        f'<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
        f'orient="auto-start-reverse"><path d="M0 1 L9 5 L0 9 z" fill="{colors.line}"/></marker></defs>'
    )
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" font-family="{FONT}" role="img">'
    )
    return "\n".join([opening, "<title>The flow of a run</title>", head, *parts, "</svg>", ""])


def main() -> None:
    for theme, colors in THEMES.items():
        (FOLDER / f"flow-{theme}.svg").write_text(picture(colors), encoding="utf-8")


if __name__ == "__main__":
    main()
