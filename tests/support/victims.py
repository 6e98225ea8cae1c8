"""Nodes in processes of their own that a test kills at any moment; homes and logs survive."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.support import kill_script
from tests.support.agents import PASSPHRASE
from tests.support.ports import free_port
from tests.support.processes import Running, environment

PER_LIFE = 200
"""Messages that a process sends after each start, unless it is killed before."""
WIDTH = 16
"""Sends under way at once."""
START_S = WAIT_S = 60.0


@dataclass(eq=False)
class Victim:
    """A node in a process of its own, whose home and log survive it."""

    name: str
    folder: Path
    port: int = field(default_factory=free_port)
    peer_port: int = 0
    target: str = ""
    first: int = 0
    process: Running | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def words(self, kind: str) -> list[list[str]]:
        """Return the lines of a kind, as words; the last line may be half written."""
        text = self.log.read_text() if self.log.exists() else ""
        return [line.split() for line in text.splitlines() if line.startswith(kind)]

    @property
    def accepted(self) -> list[int]:
        return [int(words[1]) for words in self.words("A")]

    @property
    def handled(self) -> list[tuple[int, bool]]:
        """Numbers in the order of their handlers, and whether they were marked."""
        return [(int(words[1]), words[2] == "1") for words in self.words("H")]

    @property
    def is_done(self) -> bool:
        """Its present process has sent all it wanted to."""
        return ["E", str(self.first)] in self.words("E")

    def start(self) -> None:
        """Start the process; it sends once it is up and knows whom to."""
        options = {
            "name": self.name,
            "port": self.port,
            "passphrase": PASSPHRASE,
            "peers": [f"127.0.0.1:{self.peer_port}"] if self.peer_port else [],
            "log": str(self.log),
            "first": self.first,
            "last": self.first + PER_LIFE,
            "width": WIDTH,
        }
        script = str(Path(kill_script.__file__))
        argv = [sys.executable, "-P", script, json.dumps(options)]
        self.process = Running(argv, env=environment(Path.home()))
        self.first += PER_LIFE
        if self.target:
            self.process.write(self.target + "\n")

    def wait_up(self) -> str:
        """Wait until it runs; return its node id."""
        assert self.process is not None
        return self.process.wait_line("^[0-9a-f]{32}$", timeout_s=START_S)[0]

    def kill(self, *, stopped_s: float) -> None:
        """Kill it, in the middle of whatever it does; before that stop it for a while."""
        assert self.process is not None
        if stopped_s:
            self.process.send_signal(signal.SIGSTOP)
            time.sleep(stopped_s)
        self.process.send_signal(signal.SIGKILL)
        self.process.kill()


def until(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.02)


def missing(source: Victim, destination: Victim) -> set[int]:
    return set(source.accepted) - {number for number, _ in destination.handled}


def check(handled: list[tuple[int, bool]]) -> int:
    """Insist that numbers ascend, and only the last one came again, marked; return how many did."""
    again = 0
    for (before, _), (number, is_marked) in pairwise(handled):
        assert number > before or (number == before and is_marked), (before, number, is_marked)
        again += number == before
    return again
