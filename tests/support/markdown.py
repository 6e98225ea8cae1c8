"""Our own pages as data: their tables, links and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.readme import ROOT

_FENCE = re.compile(r"^ *(`{3,}|~{3,})")
_LINK = re.compile(r"(?<!!)\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^()\s]+)\)|!\[[^\]]*\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$")
_SKIPPED = {"node_modules", "build", "dist"}


def pages() -> list[Path]:
    """Return every page of the project, wherever it is."""
    return sorted(
        path
        for path in ROOT.rglob("*.md")
        if not any(
            part.startswith(".") or part in _SKIPPED for part in path.relative_to(ROOT).parts
        )
    )


def prose(page: Path) -> Iterator[str]:
    """Yield the lines outside of fenced blocks."""
    fence = ""
    for line in page.read_text(encoding="utf-8").splitlines():
        if match := _FENCE.match(line):
            if not fence:
                fence = match[1]
            elif match[1].startswith(fence):
                fence = ""
        elif not fence:
            yield line


def links(page: Path) -> list[str]:
    """Return where the links and pictures of a page lead."""
    text = re.sub(r"`[^`]*`", "", "\n".join(prose(page)))
    return [target or picture for target, picture in _LINK.findall(text)]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as code hosts make them."""
    found: set[str] = set()
    for line in prose(page):
        if match := _HEADING.match(line):
            text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", match[1])
            anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            number = 0
            while (each := f"{anchor}-{number}" if number else anchor) in found:
                number += 1
            found.add(each)
    return found


def tables(page: Path) -> list[list[list[str]]]:
    """Return the tables of a page: rows of cells, without the heading and the line below it."""
    found: list[list[list[str]]] = []
    rows: list[list[str]] = []
    for line in [*prose(page), ""]:
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            rows.append([cell.strip().replace("\\|", "|") for cell in cells])
        elif rows:
            found.append(rows[2:])
            rows = []
    return found
