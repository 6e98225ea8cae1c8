"""The commands and programs that our own pages show, so that tests run what users read.

A fenced block is found by the comment before it:

    <!-- test: two-machines -->
    ```sh
    ironmesh run --name alice
    ```
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>[^`]*)$")
_MARK = re.compile(r"^\s*<!--\s*test:\s*(?P<mark>[\w.-]+)\s*-->\s*$")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    path: Path
    line: int
    """Line of the fence, counted from 1."""
    language: str
    """First word of the info string: `sh`, `python`, `console`, ..."""
    info: str
    mark: str
    """The name in the comment right before the block; empty without one."""
    text: str

    def commands(self) -> list[str]:
        """Return the shell commands: without comments, prompts and blank lines, `\\` joined."""
        joined = re.sub(r"\\\n\s*", "", self.text)
        lines = [line.removeprefix("$ ").strip() for line in joined.splitlines()]
        return [line for line in lines if line and not line.startswith("#")]


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order.

    Raises:
        ValueError: a fence is never closed.
    """
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    mark, number = "", 0
    while number < len(lines):
        line = lines[number]
        if fence := _FENCE.match(line):
            end = _closing(lines, number, fence["fence"], page)
            body = [text.removeprefix(fence["indent"]) for text in lines[number + 1 : end]]
            info = fence["info"].strip()
            language = info.split(maxsplit=1)[0] if info else ""
            found.append(Block(page, number + 1, language, info, mark, "\n".join(body) + "\n"))
            mark, number = "", end
        elif match := _MARK.match(line):
            mark = match["mark"]
        elif line.strip():
            mark = ""
        number += 1
    return found


def _closing(lines: list[str], start: int, fence: str, page: Path) -> int:
    for number in range(start + 1, len(lines)):
        stripped = lines[number].strip()
        if stripped.startswith(fence) and not stripped.strip(fence[0]):
            return number
    raise ValueError(f"{page.name}:{start + 1}: the block is never closed")


def pages() -> list[Path]:
    """Return the pages that users read: the README and everything in docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def block(mark: str, page: Path = ROOT / "README.md") -> Block:
    """Return the one block of a page that is marked `<!-- test: MARK -->`.

    Raises:
        LookupError: there is none, or more than one.
    """
    found = [each for each in blocks(page) if each.mark == mark]
    if len(found) != 1:
        raise LookupError(f"{page.name} has {len(found)} blocks marked {mark!r}, not one")
    return found[0]
