from __future__ import annotations

import sys

import pytest

if sys.platform == "win32":
    pytest.skip("the examples are written for a POSIX shell", allow_module_level=True)

from scripts.docs_examples import (
    ExampleError,
    commands_of,
    help_of_all_commands,
    masked,
    renewed,
)


def page(body: str, until: str = "") -> str:
    return f"Text\n\n<!-- run: x{until} -->\n```console\n{body}```\n\nMore.\n"


def test_commands_run_in_one_session_and_their_output_takes_the_place_of_the_old() -> None:
    text = page("$ echo one > ~/f; echo $?\nold\n") + page("$ export A=~/f\n$ cat $A\n")
    assert renewed(text) == page("$ echo one > ~/f; echo $?\n0\n") + page(
        "$ export A=~/f\n$ cat $A\none\n"
    )


def test_what_only_differs_from_run_to_run_stays() -> None:
    text = page(f"$ head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \\n'\n{'ab' * 16}\n")
    assert renewed(text) == text


def test_a_command_in_the_background_prints_its_rest_at_the_end() -> None:
    body = "$ sh -c 'echo begun; cat ~/pipe' &\nbegun\n$ echo later > ~/pipe\nlater\n"
    with_pipe = page("$ mkfifo ~/pipe\n") + page(body, " until begun")
    assert renewed(with_pipe) == with_pipe


def test_a_background_command_that_does_not_get_there_fails_with_its_output() -> None:
    with pytest.raises(ExampleError, match="something else"):
        renewed(page("$ echo something else &\n", " until begun"))


def test_a_traceback_is_never_an_example() -> None:
    with pytest.raises(ExampleError, match="Traceback"):
        renewed(page("$ echo Traceback\n"))


def test_the_home_of_the_session_does_not_show() -> None:
    assert renewed(page("$ echo $HOME/x\n")) == page("$ echo $HOME/x\n~/x\n")


def test_pages_without_examples_stay_as_they_are() -> None:
    text = "# Page\n\n```console\n$ false\n```\n"
    assert renewed(text) == text


def test_commands_go_on_in_the_next_line() -> None:
    assert commands_of("$ one\n> two\nout\n> not\n$ three\n") == [["one", "two"], ["three"]]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("id " + "0a" * 16, "id " + "f3" * 16, True),
        ("bob (8f3c2a1b...)", "bob (00000000...)", True),
        ("at 127.0.0.1:43211", "at 127.0.0.1:50000", True),
        ("at 127.0.0.1:8765", "at 127.0.0.1:8766", False),
        ("took 6.8 ms", "took 70.1 ms", True),
        ("LINK  in 3ms", "LINK in", True),
        ("2026-01-02 03:04:05", "2027-11-12 13:14:15", True),
        ("exit code 1", "exit code 2", False),
        ("online", "offline", False),
    ],
)
def test_only_ids_times_and_ports_may_differ(one: str, other: str, is_same: bool) -> None:
    assert (masked(one) == masked(other)) is is_same


def test_the_help_of_every_command_is_there() -> None:
    from ironmesh.cli.commands import COMMANDS

    text = help_of_all_commands()
    for name in COMMANDS:
        assert f"\n### `ironmesh {name}`\n" in text
    assert "\n#### `ironmesh trust list`\n" in text
    assert max(map(len, text.splitlines())) <= 80
