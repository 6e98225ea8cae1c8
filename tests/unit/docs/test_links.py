"""Every link between our own pages leads somewhere."""

from __future__ import annotations

import urllib.parse
from pathlib import Path

import pytest
from tests.support import markdown
from tests.support.readme import ROOT

FOREIGN = ("http://", "https://", "mailto:")


@pytest.mark.parametrize("page", markdown.pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    broken = []
    for link in markdown.links(page):
        if link.startswith(FOREIGN):
            continue
        name, _, anchor = urllib.parse.unquote(link).partition("#")
        target = (page.parent / name).resolve() if name else page
        is_inside = target.is_relative_to(ROOT)
        has_anchor = not anchor or (target.suffix == ".md" and anchor in markdown.anchors(target))
        if not (is_inside and target.exists() and has_anchor):
            broken.append(link)
    assert broken == []


def test_the_reader_finds_links_pictures_and_headings(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# The `one` heading\n## Twice\n## Twice\n"
        "[a](b.md#c) ![p](d.svg) [`x`](y.md) `[no](no.md)`\n"
        "```md\n[no](no.md)\n# no\n```\n"
        "| a | b |\n| --- | --- |\n| x \\| y | `z` |\n"
    )
    assert markdown.links(page) == ["b.md#c", "d.svg", "y.md"]
    assert markdown.anchors(page) == {"the-one-heading", "twice", "twice-1"}
    assert markdown.tables(page) == [[["x | y", "`z`"]]]
