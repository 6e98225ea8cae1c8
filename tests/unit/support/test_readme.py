from __future__ import annotations

from pathlib import Path

import pytest
from tests.support import readme

PAGE = """\
# Title

```python
print("unmarked")
```

<!-- test: two-machines -->
```sh title="A"
# a comment
$ ironmesh run \\
    --name alice
ironmesh peers
```

<!-- test: lost -->
Some text between takes the mark away.

  ~~~
  indented
  ~~~
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "PAGE.md"
    path.write_text(PAGE, encoding="utf-8")
    return path


def test_blocks_come_with_their_language_mark_and_line(page: Path) -> None:
    found = [(b.language, b.mark, b.line) for b in readme.blocks(page)]
    assert found == [("python", "", 3), ("sh", "two-machines", 8), ("", "", 18)]


def test_commands_are_joined_and_stripped_of_comments_and_prompts(page: Path) -> None:
    commands = readme.block("two-machines", page).commands()
    assert commands == ["ironmesh run --name alice", "ironmesh peers"]


def test_an_indented_block_loses_its_indent(page: Path) -> None:
    assert readme.blocks(page)[2].text == "indented\n"


def test_a_missing_mark_is_an_error(page: Path) -> None:
    with pytest.raises(LookupError, match="'lost'"):
        readme.block("lost", page)


def test_an_unclosed_block_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "BAD.md"
    path.write_text("```sh\nls\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"BAD\.md:1"):
        readme.blocks(path)


@pytest.mark.parametrize("path", readme.pages(), ids=lambda p: p.name)
def test_our_own_pages_can_be_read(path: Path) -> None:
    readme.blocks(path)
