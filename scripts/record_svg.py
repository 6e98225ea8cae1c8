"""Run commands in a terminal and draw what it shows as one animated, self-contained SVG.

    python scripts/record_svg.py --output docs/demo.svg --title "Two agents" "ironmesh demo"

Every command really runs; a failing one fails the recording. The picture needs no font, script or
link, has its own background, and shows the whole text where nothing moves (a still renderer, or a
reader who asked for less motion). Waits are rounded and bounded, so that a new recording differs
from the last one only where the output does.
"""

from __future__ import annotations

import argparse
import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

ROOT = Path(__file__).resolve().parent.parent
ROWS = 50
LIMIT_S = 60.0

# --- The terminal ------------------------------------------------------------------------------

ESCAPE = re.compile(
    r"\x1b\[([\d;?]*)([A-Za-z])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][0-9A-Za-z]"
)
PALETTE = {
    30: "#6e7681", 31: "#ff7b72", 32: "#7ee787", 33: "#e3b341",
    34: "#79c0ff", 35: "#d2a8ff", 36: "#76e3ea", 37: "#e6edf3",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Style:
    """How a character looks; an empty colour is the usual one."""

    colour: str = ""
    is_bold: bool = False
    is_dim: bool = False

    def changed(self, codes: str) -> Style:
        """Return the style after an SGR sequence with these codes."""
        style = self
        for code in (int(part or 0) for part in codes.split(";")):
            if code == 0:
                style = Style()
            elif code in (38, 48):  # one of 256 colours, or any: drawn in the usual one
                break
            elif code in (1, 2, 22):
                style = replace(style, is_bold=code == 1, is_dim=code == 2)
            elif code == 39:
                style = replace(style, colour="")
            elif code % 60 in PALETTE:  # 90 to 97 are the bright ones
                style = replace(style, colour=PALETTE[code % 60])
        return style


@dataclass(slots=True)
class Line:
    """A line of the screen and when it was last written to."""

    cells: dict[int, tuple[str, Style]] = field(default_factory=dict)
    changed_s: float = 0.0
    typed: int = 0
    """Characters that are typed one after the other, from the left; 0 = output."""


class Screen:
    """As much of a terminal as command line programs use; it never scrolls.

    Args:
        columns: width in characters.
    """

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.lines = [Line()]
        self._row = 0
        self._column = 0
        self._style = Style()

    def feed(self, text: str, now_s: float) -> None:
        """Show output that arrived at this time."""
        position = 0
        for match in ESCAPE.finditer(text):
            self._write(text[position : match.start()], now_s)
            self._control(match[1] or "", match[2] or "")
            position = match.end()
        self._write(text[position:], now_s)

    def start_line(self) -> None:
        """Go to a fresh line unless the cursor is on one."""
        if self._column:
            self._write("\r\n", 0.0)

    def mark_typed(self, count: int) -> None:
        """Say that the current line's characters are typed."""
        self.lines[self._row].typed = count

    def _line(self) -> Line:
        while len(self.lines) <= self._row:
            self.lines.append(Line())
        return self.lines[self._row]

    def _write(self, text: str, now_s: float) -> None:
        for char in text:
            if char == "\n":
                self._row, self._column = self._row + 1, 0
            elif char == "\r":
                self._column = 0
            elif char == "\b":
                self._column = max(0, self._column - 1)
            elif char == "\t":
                self._column = (self._column // 8 + 1) * 8
            elif char >= " ":
                self._put(char, now_s)

    def _put(self, char: str, now_s: float) -> None:
        width = char_width(char)
        if not width:
            return
        if self._column + width > self.columns:
            self._row, self._column = self._row + 1, 0
        line = self._line()
        line.cells[self._column] = (char, self._style)
        line.changed_s = now_s
        self._column += width

    def _control(self, codes: str, kind: str) -> None:
        count = int(codes) if codes.isdigit() else 0
        if kind == "m":
            self._style = self._style.changed(codes)
        elif kind == "A":
            self._row = max(0, self._row - max(1, count))
        elif kind == "B":
            self._row += max(1, count)
        elif kind == "C":
            self._column += max(1, count)
        elif kind == "G":
            self._column = max(1, count) - 1
        elif kind == "K":
            kept = (
                {} if count else {c: v for c, v in self._line().cells.items() if c < self._column}
            )
            self._line().cells = kept
        elif kind == "J" and count == 0:
            del self.lines[self._row + 1 :]


def char_width(char: str) -> int:
    """Return the columns that a character takes: 0, 1 or 2."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def text_width(text: str) -> int:
    """Return the columns that a text takes."""
    return sum(map(char_width, text))


# --- Running commands --------------------------------------------------------------------------


def environment(home: str, columns: int) -> dict[str, str]:
    """Return what a command sees: this Python's programs first, an empty home, a terminal."""
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {
        "PATH": programs,
        "HOME": home,
        "TERM": "xterm-256color",
        "COLUMNS": str(columns),
        "LINES": str(ROWS),
        "LANG": "C.UTF-8",
        "TMPDIR": tempfile.gettempdir(),
    }


def output(command: str, home: str, columns: int) -> Iterator[str]:
    """Run a command in a pseudo-terminal and yield its output as it comes.

    Raises:
        RuntimeError: it failed, or took more than a minute.
    """
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    process = subprocess.Popen(
        ["sh", "-c", command],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment(home, columns),
        cwd=ROOT,
        start_new_session=True,
    )
    os.close(terminal)
    end = time.monotonic() + LIMIT_S
    try:
        yield from decoded(controller, end)
        code = process.wait(max(0.1, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{command!r} took more than {LIMIT_S:.0f} s") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(controller)
    if code:
        raise RuntimeError(f"{command!r} ended with exit code {code}")


def decoded(controller: int, end: float) -> Iterator[str]:
    """Yield what a terminal shows, whole characters at a time, until it closes or time is up."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while select.select([controller], [], [], max(0.0, end - time.monotonic()))[0]:
        try:
            chunk = os.read(controller, 65_536)
        except OSError:  # Linux's way of saying that the other end is closed
            return
        if not chunk:
            return
        yield decoder.decode(chunk)


def scrub(text: str, home: str) -> str:
    """Take the machine's own paths out of the output."""
    text = text.replace(home, "~")
    for own in sorted({str(ROOT), str(Path.home())}, key=len, reverse=True):
        if len(own) > 1:
            text = text.replace(own, "~")
    return text


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the recording plays, in seconds."""

    per_key: float = 0.045
    before_typing: float = 0.6
    after_typing: float = 0.3
    shortest_wait: float = 0.05
    longest_wait: float = 1.2
    hold: float = 6.0
    """How long the finished picture stays before it starts over."""

    def wait(self, seconds: float) -> float:
        """Return a real wait as it is played: bounded and rounded."""
        bounded = min(max(seconds, self.shortest_wait), self.longest_wait)
        return round(bounded / 0.05) * 0.05


def record(commands: list[str], columns: int, pace: Pace) -> tuple[Screen, float]:
    """Run the commands; return the final screen and the length of the recording in seconds."""
    screen, now_s = Screen(columns), 0.0
    with tempfile.TemporaryDirectory() as home:
        for command in commands:
            now_s += pace.before_typing
            screen.start_line()
            screen.feed(f"\x1b[32m$\x1b[0m \x1b[1m{command}\x1b[0m", now_s)
            screen.mark_typed(len(command))
            screen.feed("\r\n", now_s)
            now_s += len(command) * pace.per_key + pace.after_typing
            last = time.monotonic()
            for text in output(command, home, columns):
                now_s += pace.wait(time.monotonic() - last)
                last = time.monotonic()
                screen.feed(scrub(text, home), now_s)
    return screen, now_s + pace.hold


# --- Drawing -----------------------------------------------------------------------------------

FONT_PX = 14
CELL_PX = 8.43
LINE_PX = 20
MARGIN_PX = 18
BAR_PX = 34
STYLE = """\
text{{font:{font}px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;\
fill:#e6edf3;white-space:pre}}
.b{{font-weight:600}}.d{{opacity:.62}}
.l,.t{{animation:{length:.2f}s step-end infinite}}
{keyframes}
@media (prefers-reduced-motion:reduce){{.l,.t{{animation:none}}}}"""


def draw(screen: Screen, length_s: float, title: str, pace: Pace) -> str:
    """Return the SVG."""
    lines = list(screen.lines)
    while lines and not lines[-1].cells:
        lines.pop()
    width = round(screen.columns * CELL_PX + 2 * MARGIN_PX)
    height = BAR_PX + len(lines) * LINE_PX + MARGIN_PX
    plain = "\n".join("".join(char for char, _ in cells_of(line)) for line in lines)
    drawn = [draw_line(line, number) for number, line in enumerate(lines)]
    keyframes = [
        frame
        for number, line in enumerate(lines)
        for frame in line_keyframes(line, number, length_s, pace)
    ]
    style = STYLE.format(font=FONT_PX, length=length_s, keyframes="\n".join(keyframes))
    dots = "".join(
        f'<circle cx="{MARGIN_PX + 6 + 20 * n}" cy="18" r="6" fill="{colour}"/>'
        for n, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    label = f'role="img" aria-label={quoteattr(title)}'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {label}>',
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(plain)}</desc>",
            f"<style>{style}</style>",
            f'<rect width="{width}" height="{height}" rx="10" fill="#0d1117" stroke="#30363d"/>',
            dots,
            f'<text x="{width / 2:g}" y="23" text-anchor="middle" class="d">{escape(title)}</text>',
            *(line for line in drawn if line),
            "</svg>\n",
        ]
    )


def cells_of(line: Line) -> list[tuple[str, Style]]:
    """Return a line's cells from column 0, gaps filled with spaces; a wide one covers two."""
    cells: list[tuple[str, Style]] = []
    column = 0
    for start in sorted(line.cells):
        cells += [(" ", Style())] * (start - column)
        cells.append(line.cells[start])
        column = start + char_width(line.cells[start][0])
    return cells


def draw_line(line: Line, number: int) -> str:
    """Return the SVG of one line: a run of equally styled characters each at its own column."""
    if not line.cells:
        return ""
    y = BAR_PX + (number + 1) * LINE_PX - 6
    runs, column = [], 0
    for style, group in groupby(cells_of(line), key=lambda cell: cell[1]):
        text = "".join(char for char, _ in group)
        if shown := text.strip(" "):
            indent = len(text) - len(text.lstrip(" "))
            runs.append(draw_run(shown, style, column + indent, y))
        column += text_width(text)
    cover = ""
    if line.typed:
        top = BAR_PX + number * LINE_PX
        cover = (
            f'<rect class="t" style="animation-name:t{number}" x="{MARGIN_PX + 2 * CELL_PX:.1f}" '
            f'y="{top}" width="{line.typed * CELL_PX:.1f}" height="{LINE_PX}" fill="#0d1117" '
            'opacity="0"/>'
        )
    name = f' style="animation-name:l{number}"'
    return f'<g class="l"{name}>{"".join(runs)}{cover}</g>'


def draw_run(text: str, style: Style, column: int, y: int) -> str:
    """Return the SVG of some characters of one style."""
    width = text_width(text) * CELL_PX
    classes = " ".join(["b"] * style.is_bold + ["d"] * style.is_dim)
    colour = f' style="fill:{style.colour}"' if style.colour else ""
    kind = f' class="{classes}"' if classes else ""
    return (
        f'<text x="{MARGIN_PX + column * CELL_PX:.1f}" y="{y}" '
        f'textLength="{width:.1f}"{kind}{colour}>{escape(text)}</text>'
    )


def line_keyframes(line: Line, number: int, length_s: float, pace: Pace) -> Iterator[str]:
    """Yield how a line appears and, if it is typed, how what covers it moves away."""
    if not line.cells:
        return
    shown = 100 * line.changed_s / length_s
    yield f"@keyframes l{number}{{0%{{opacity:0}}{shown:.2f}%{{opacity:1}}}}"
    if line.typed:
        steps = []
        for key in range(line.typed + 1):
            at = 100 * (line.changed_s + key * pace.per_key) / length_s
            steps.append(f"{at:.2f}%{{opacity:1;transform:translateX({key * CELL_PX:.1f}px)}}")
        steps[-1] = steps[-1].replace("opacity:1", "opacity:0")
        yield f"@keyframes t{number}{{{''.join(steps)}}}"


def main() -> int:
    """Record, draw, write."""
    parser = argparse.ArgumentParser(description="record commands as an animated SVG")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--title", default="ironmesh")
    parser.add_argument("--columns", type=int, default=80)
    parser.add_argument("commands", nargs="+", metavar="COMMAND")
    args = parser.parse_args()
    if too_long := [each for each in args.commands if len(each) > args.columns - 2]:
        parser.error(f"{too_long[0]!r} does not fit on one line")
    pace = Pace()
    try:
        screen, length_s = record(args.commands, args.columns, pace)
    except RuntimeError as error:
        sys.exit(f"error: {error}: nothing written")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(draw(screen, length_s, args.title, pace), encoding="utf-8")
    print(f"{args.output}: {len(screen.lines)} lines, {length_s:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
