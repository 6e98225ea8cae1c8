"""Run the console examples of our pages and put what they really print into the page.

    python scripts/docs_examples.py [--write] [PAGE ...]

An example is a console block after a comment with its name:

    <!-- run: peers -->
    ```console
    $ ironmesh peers --name alice
    ...
    ```

The examples of a page are one session in one empty home, in their order. A command that ends in `&`
stays in the background: `until TEXT` in the comment says what its output has to reach before the
session goes on. Between `<!-- commands -->` and `<!-- end of commands -->` stands the help of every
command, between `<!-- settings -->` and `<!-- end of settings -->` the table of settings. What
differs from run to run (ids, keys, times, ports) is kept as the page has it.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from ironmesh.cli.app import cli
from ironmesh.settings.table import BUILT, Group, Place, Setting

ROOT: Final = Path(__file__).resolve().parent.parent
LIMIT_S: Final = 30.0
COLUMNS: Final = 80
SHOWN_PORTS: Final = ("8765", "8766")
"""Ports that pages show; free ones take their place."""

EXAMPLE: Final = re.compile(
    r"(?P<head><!-- run: (?P<name>[\w-]+)(?: until (?P<until>[^\n]+?))? -->\n```console\n)"
    r"(?P<body>.*?)(?=```)",
    re.DOTALL,
)
COMMANDS: Final = re.compile(
    r"(?P<head><!-- commands -->\n)(?P<body>.*?)(?=<!-- end of commands -->)", re.DOTALL
)
SETTINGS: Final = re.compile(
    r"(?P<head><!-- settings -->\n)(?P<body>.*?)(?=<!-- end of settings -->)", re.DOTALL
)
VOLATILE: Final = (
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\b(?:queued|sent|delivered)(?= UUID)"), "STATE"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "ID"),
    (re.compile(r"(?<=[Ww]ords:) +[a-z]+(?: [a-z]+){11}\b"), " WORDS"),
    (re.compile(r'(?<="words":")[a-z]+(?: [a-z]+){11}(?=")'), "WORDS"),
    (re.compile(r"[A-Za-z0-9+/]{43}="), "KEY"),
    (re.compile(r"\b[0-9a-f]{8}(?:\.\.\.|\b)"), "SHORT"),
    (re.compile(r"\b(alice|bob)-[0-9a-f]{6}\b"), r"\1-HEX"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?"), "TIME"),
    (re.compile(r"\b(in|out) +\d+ms\b"), r"\1"),
    (re.compile(r"\b\d+(?:\.\d+)?(?= ?ms\b)"), "N"),
    (re.compile(r"(?<=:)\d{5}\b"), "PORT"),
    (re.compile(r"(?<=[Ii]ron[Mm]esh )\d+\.\d+\.\d+\S*"), "VERSION"),
    (re.compile(r"[ \t]+"), " "),
)


class ExampleError(Exception):
    """An example did not come to its end."""


def masked(text: str) -> str:
    """Return a text without what differs from run to run."""
    for pattern, stands in VOLATILE:
        text = pattern.sub(stands, text)
    return text


# --- Sessions ------------------------------------------------------------------------------------


class Background:
    """A command that goes on while others run.

    Args:
        command: for the shell.
        env: its environment.
    """

    def __init__(self, command: str, env: dict[str, str]) -> None:
        self.command = command
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._is_over = False
        self._process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def reach(self, text: str) -> list[str]:
        """Return its output up to the first line that holds `text`.

        Raises:
            ExampleError: there is no such line.
        """
        end = time.monotonic() + LIMIT_S
        with self._changed:
            while True:
                for number, line in enumerate(self.lines, 1):
                    if text in line:
                        return self.lines[:number]
                if self._is_over or not self._changed.wait(end - time.monotonic()):
                    said = "\n".join(self.lines)
                    raise ExampleError(f"{self.command}: no {text!r} in its output:\n{said}")

    def finish(self) -> list[str]:
        """Return all its output once it ended by itself."""
        self._process.wait(LIMIT_S)
        self._reader.join(LIMIT_S)
        return self.lines

    def stop(self) -> None:
        """End it as a person would."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join(LIMIT_S)
        assert self._process.stdout is not None
        self._process.stdout.close()


class Session:
    """Runs examples one after the other in one home.

    Args:
        home: an empty folder.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._ports = dict(zip(SHOWN_PORTS, free_ports(len(SHOWN_PORTS)), strict=True))
        self._background: list[Background] = []
        programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        kept = {"SYSTEMROOT", "PYTHONPATH", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"}
        self._env = {name: os.environ[name] for name in kept & set(os.environ)} | {
            "PATH": programs,
            "HOME": str(home),
            "TMPDIR": tempfile.gettempdir(),
            "COLUMNS": str(COLUMNS),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def run(self, body: str, until: str | None) -> str:
        """Run the commands of an example and return it with their output."""
        out: list[str] = []
        begun: list[tuple[Background, int]] = []
        for command in commands_of(body):
            out += [f"{'>' if number else '$'} {line}" for number, line in enumerate(command)]
            text = self._with_ports("\n".join(command))
            if text.startswith("export "):
                name, _, value = text.removeprefix("export ").partition("=")
                self._env[name] = value.replace("~", str(self._home))
            elif text.endswith(" &"):
                background = Background(text.removesuffix(" &"), self._env)
                self._background.append(background)
                reached = background.reach(until or "")
                out += reached
                if not text.startswith("ironmesh run "):
                    begun.append((background, len(reached)))
            else:
                out += self._output(text)
        for background, shown in begun:
            out += background.finish()[shown:]
        return self._as_shown("\n".join(out)) + "\n"

    def close(self) -> None:
        """End what still runs."""
        for background in reversed(self._background):
            background.stop()

    def _output(self, command: str) -> list[str]:
        done = subprocess.run(
            ["sh", "-c", command],
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if "Traceback" in done.stdout:
            raise ExampleError(f"{command}:\n{done.stdout}")
        return done.stdout.splitlines()

    def _with_ports(self, text: str) -> str:
        for shown, real in self._ports.items():
            text = text.replace(shown, real)
        return text

    def _as_shown(self, text: str) -> str:
        for shown, real in self._ports.items():
            text = re.sub(rf"\b{real}\b", shown, text)
        return text.replace(str(self._home), "~")


def commands_of(body: str) -> list[list[str]]:
    """Return the commands of an example: the line after `$ `, and those after `> ` below it."""
    commands: list[list[str]] = []
    is_command = False
    for line in body.splitlines():
        if line.startswith("$ "):
            commands.append([line.removeprefix("$ ")])
        elif line.startswith("> ") and is_command:
            commands[-1].append(line.removeprefix("> "))
        is_command = line.startswith("$ ") or (is_command and line.startswith("> "))
    return commands


def free_ports(count: int) -> list[str]:
    """Return ports that nobody uses now."""
    with_sockets = [socket.socket() for _ in range(count)]
    try:
        for each in with_sockets:
            each.bind(("127.0.0.1", 0))
        return [str(each.getsockname()[1]) for each in with_sockets]
    finally:
        for each in with_sockets:
            each.close()


@contextmanager
def session() -> Iterator[Session]:
    """Give a session in a home of its own; its name is short, as sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="d-") as home:
        made = Session(Path(home))
        try:
            yield made
        finally:
            made.close()


# --- Pages ---------------------------------------------------------------------------------------


def help_of_all_commands() -> str:
    """Return a heading and the help for every command and its subcommands."""
    parts: list[str] = []

    def add(command: click.Command, path: str, parent: click.Context | None) -> None:
        if command.hidden:
            return
        context = click.Context(
            command, info_name=path if parent is None else path.rpartition(" ")[2], parent=parent
        )
        context.max_content_width = context.terminal_width = COLUMNS
        if parent is not None:
            title = f"{'#' * (path.count(' ') + 2)} `{path}`"
            parts.append(f"{title}\n\n```text\n{command.get_help(context)}\n```\n")
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                add(found, f"{path} {name}", context)

    add(cli, "ironmesh", None)
    return "\n" + "\n".join(parts) + "\n"


def settings_table() -> str:
    """Return a heading and a table for each group of settings that act."""
    parts = []
    for group in Group:
        rows = [_row(setting) for setting in BUILT if setting.group is group]
        head = "| in a file | flag | environment | value | default | what it does |\n"
        parts.append(f"### {group}\n\n{head}{'| --- ' * 6}|\n" + "\n".join(rows))
    return "\n" + "\n\n".join(parts) + "\n\n"


def _row(setting: Setting) -> str:
    key = f"`{setting.name}`"
    if setting.place is Place.HOME:
        key += " (home file only)"
    elif setting.place is Place.NONE:
        key = "-"
    flag = f"`{setting.flag_name}`"
    if setting.is_switch:
        flag += f", `{setting.flag_name.replace('--', '--no-', 1)}`"
    if setting.is_repeated:
        flag += ", repeatable"
    cells = [
        key,
        flag,
        f"`{setting.variable_name}`",
        setting.kind.toml_type,
        setting.shown_default or "-",
        setting.help,
    ]
    return f"| {' | '.join(cells)} |"


def renewed(text: str) -> str:
    """Return a page with what its examples print now; where only volatile parts differ, as it was.

    Raises:
        ExampleError: an example fails.
    """

    def kept(match: re.Match[str], fresh: str) -> str:
        is_same = masked(fresh) == masked(match["body"])
        return match["head"] + (match["body"] if is_same else fresh)

    text = COMMANDS.sub(lambda match: kept(match, help_of_all_commands()), text)
    text = SETTINGS.sub(lambda match: kept(match, settings_table()), text)
    if not EXAMPLE.search(text):
        return text
    with session() as running:
        return EXAMPLE.sub(
            lambda match: kept(match, running.run(match["body"], match["until"])), text
        )


def pages() -> list[Path]:
    """Return the pages that have examples, the help of the commands, or the settings."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    made = (EXAMPLE, COMMANDS, SETTINGS)
    return [
        page
        for page in found
        if any(pattern.search(page.read_text(encoding="utf-8")) for pattern in made)
    ]


def main() -> int:
    """Compare the pages with what their examples print, or write it; 1 if a page differs."""
    parser = argparse.ArgumentParser(description="run the examples of the pages")
    parser.add_argument("--write", action="store_true", help="put the output into the pages")
    parser.add_argument("pages", nargs="*", type=Path)
    args = parser.parse_args()
    differs = False
    for page in args.pages or pages():
        before = page.read_text(encoding="utf-8")
        after = renewed(before)
        if after == before:
            continue
        differs = True
        if args.write:
            page.write_text(after, encoding="utf-8")
            print(f"{page.name}: written")
        else:
            lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1)
            print("\n".join(lines))
    return 1 if differs and not args.write else 0


if __name__ == "__main__":
    sys.exit(main())
