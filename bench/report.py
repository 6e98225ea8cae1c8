"""Turns results into the Markdown table and the plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from bench.results import BURSTS, ROWS, Results, Row
from bench.stages import KINDS, Stages

BASE: Final = "ours"
MISSING: Final = "–"


def markdown(results: Results) -> str:
    """Return the table: a column for each contestant, and how many times better ours is."""
    others = [key for key in results.titles if key != BASE]
    heads = [results.titles[BASE]]
    for other in others:
        heads += [results.titles[other], "ours is better by"]
    lines = [f"| median | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(heads)}"]
    for row in ROWS:
        base = results.median(BASE, row.key)
        values = [(other, results.median(other, row.key)) for other in others]
        if base is None and all(value is None for _, value in values):
            continue
        cells = [_number(base, row)]
        for other, value in values:
            cells += [_number(value, row), _ratio(results.ratio(BASE, other, row), row)]
        lines.append(f"| {row.title} ({row.unit}) | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_remarks(results)]) + "\n"


def _remarks(results: Results) -> list[str]:
    facts = ", ".join(f"{name}: {fact}" for name, fact in results.machine.items())
    settings = ", ".join(f"{name}: {value}" for name, value in results.settings.items())
    remarks = [f"Machine: {facts}.", f"Run: {settings}."]
    if results.load:
        remarks.append(
            f"Load average over one minute: {min(results.load):.1f} to {max(results.load):.1f}."
        )
    if results.million_ms:
        least, most = min(results.million_ms), max(results.million_ms)
        remarks.append(f"A million additions took {least:.0f} to {most:.0f} ms.")
    if results.left_out:
        remarks.append("Left out: " + "; ".join(results.left_out) + ".")
    return [line for remark in remarks for line in (remark, "")][:-1]


def _number(value: float | None, row: Row) -> str:
    return MISSING if value is None else f"{value:,.{row.digits}f}"


def _ratio(ratio: float | None, row: Row) -> str:
    return "" if ratio is None or row.unit == "%" else f"{ratio:.1f}×"


def stage_table(stages: Stages) -> str:
    """Return the table of where the CPU of a message goes."""
    columns = [f"{kind} {end}" for kind in KINDS for end in ("sender", "receiver")]
    heads = [column.replace(" ", ", ") for column in columns]
    lines = [f"| 64 B, us | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(columns)}"]
    sums = {column: sum(row.get(column, 0.0) for row in stages.values()) for column in columns}
    for stage, row in (*stages.items(), ("**together**", sums)):
        cells = [f"{row.get(column, 0.0):,.1f}" for column in columns]
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


# --- The plot ------------------------------------------------------------------------------------

WIDTH: Final = 760
LABEL_X: Final = 230
BAR_HEIGHT: Final = 18
GROUP_GAP: Final = 18
TOP: Final = 64
COLOURS: Final = {"sender": "#2f81f7", "receiver": "#8957e5"}


def plot(results: Results) -> str:
    """Return an SVG: CPU per message by size, sender and receiver, each size to its own scale."""
    parts: list[str] = []
    y = TOP
    for prefix, title, _ in BURSTS:
        bars = _bars(results, prefix)
        if not bars:
            continue
        parts.append(_text(12, y + 14, title, "h"))
        longest = max(sum(figures) for _, figures in bars)
        for name, figures in bars:
            parts += _bar(y, name, figures, longest)
            y += BAR_HEIGHT + 4
        y += GROUP_GAP
    frame = f'viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img"'
    caption = "CPU per message in µs: sender and receiver (median; each group has its own scale)"
    legend = [
        f'<rect x="{LABEL_X + number * 110}" y="38" width="12" height="12" fill="{colour}"/>'
        + _text(LABEL_X + number * 110 + 18, 48, name, "")
        for number, (name, colour) in enumerate(COLOURS.items())
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {frame} aria-label={quoteattr(caption)}>',
            "<style>text{font:13px sans-serif;fill:#1f2328}.h{font-weight:bold}</style>",
            f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>',
            _text(12, 24, caption, "h"),
            *legend,
            *parts,
            "</svg>",
            "",
        ]
    )


def _bars(results: Results, prefix: str) -> list[tuple[str, tuple[float, float]]]:
    bars = []
    for contestant, title in results.titles.items():
        send = results.median(contestant, f"{prefix}.send_us")
        receive = results.median(contestant, f"{prefix}.receive_us")
        if send is not None and receive is not None:
            bars.append((title, (send, receive)))
    return bars


def _bar(y: int, name: str, figures: Sequence[float], longest: float) -> list[str]:
    room = WIDTH - LABEL_X - 90
    parts = [_text(70, y + 14, name, "")]
    x = float(LABEL_X)
    for figure, colour in zip(figures, COLOURS.values(), strict=True):
        width = room * figure / longest
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR_HEIGHT}" fill="{colour}"/>'
        )
        x += width
    parts.append(_text(x + 6, y + 14, f"{sum(figures):,.0f}", ""))
    return parts


def _text(x: float, y: float, text: str, style: str) -> str:
    kind = f' class="{style}"' if style else ""
    return f'<text x="{x:.0f}" y="{y:.0f}"{kind}>{escape(text)}</text>'


# --- The page ------------------------------------------------------------------------------------

RESULTS: Final = "results"
STAGES: Final = "stages"


def put_into_page(page: str, name: str, table: str) -> str:
    """Return a page with a table between the marks of its name.

    Raises:
        ValueError: it has no such marks.
    """
    opening, closing = f"<!-- {name}: written by `make bench` -->", f"<!-- end of {name} -->"
    before, begin, rest = page.partition(opening)
    _, end, after = rest.partition(closing)
    if not begin or not end:
        raise ValueError(f"the page has no {opening} and {closing}")
    return f"{before}{begin}\n\n{table}\n{end}{after}"
