"""Runs the measured processes: starts one, asks it, ends it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, Self

from bench.contestants import Contestant

PROGRAM: Final = Path(__file__).with_name("program.py")
ANSWER_LIMIT_S: Final = 180.0
LOG_BYTES: Final = 4000


class BenchError(RuntimeError):
    """A measured process failed, so there is no figure."""


class CannotError(BenchError):
    """A contestant cannot do what was to be measured; there is no use in asking it again."""


class NodeProcess:
    """One node of a contestant, in a process and a home folder of its own.

    Args:
        home: its HOME; a second node in the same home is the same node, started again.
        is_tls: its listener speaks TLS; else plain `ws://`.
        is_discovering: it announces itself by mDNS, and browses.
        is_in_line: it is to hear of nodes that are two hops away, soon.
    """

    def __init__(
        self,
        contestant: Contestant,
        home: Path,
        *,
        is_tls: bool = False,
        is_discovering: bool = True,
        is_in_line: bool = False,
    ) -> None:
        self.contestant = contestant
        self._setting = {
            "is_tls": is_tls,
            "is_discovering": is_discovering,
            "is_in_line": is_in_line,
        }
        self.port = _free_port()
        self.started: dict[str, Any] = {}
        self._home = home
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `kill`
        self._process = subprocess.Popen(
            [str(contestant.python), "-P", str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "HOME": str(home)},
        )
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()

    def start(self) -> Self:
        """Start its agent; `started` then tells node id, CPU and time."""
        self.begin_start()
        return self.end_start()

    def begin_start(self) -> None:
        """Start its agent, without waiting for it."""
        files = self._home / ".ironmesh"
        files.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = self._home / "name"
        if not name.exists():
            name.write_text(f"bench-{secrets.token_hex(4)}")
        self.tell(
            "start",
            name=name.read_text(),
            port=self.port,
            passphrase="correct horse battery staple",
            kwargs=self.contestant.agent_kwargs(files, **self._setting),
            is_lifted=self.contestant.is_lifted,
        )

    def end_start(self) -> Self:
        """Wait until its agent runs."""
        self.started = self.answer()
        return self

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def node_id(self) -> str:
        """Its node id."""
        return str(self.started["node_id"])

    def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        """Give a command and return its answer.

        Raises:
            BenchError: it failed, or the process did.
        """
        self.tell(command, **fields)
        return self.answer()

    def tell(self, command: str, **fields: Any) -> None:
        """Give a command; `answer` waits for what comes of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **fields}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Return the next answer.

        Raises:
            BenchError: the command failed, or the process did.
        """
        try:
            line = self._answers.get(timeout=ANSWER_LIMIT_S)
        except queue.Empty:
            raise BenchError(f"{self.contestant.title}: no answer\n{self._tail()}") from None
        if not line:
            raise BenchError(f"{self.contestant.title}: it ended\n{self._tail()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchError(f"{self.contestant.title}: {answer['error']}\n{self._tail()}")
        return answer

    def connect_to(self, other: NodeProcess) -> None:
        """Dial the other node and wait until both show the session."""
        self.ask("connect", port=other.port, peer=other.node_id)
        other.ask("wait_peer", peer=self.node_id, is_online=True)

    def cpu_s(self) -> float:
        """Return its CPU seconds so far."""
        return float(self.ask("usage")["cpu_s"])

    def agent_cpu_s(self) -> float:
        """Return the CPU seconds so far of all threads but the one that obeys."""
        return float(self.ask("usage")["agent_cpu_s"])

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._log):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._answers.put(line)
        self._answers.put("")

    def _tail(self) -> str:
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - LOG_BYTES))
        return self._log.read().decode(errors="replace")


@contextlib.contextmanager
def nodes(
    contestant: Contestant,
    count: int,
    *,
    is_tls: bool = False,
    is_discovering: bool = True,
    is_in_line: bool = False,
) -> Iterator[list[NodeProcess]]:
    """Run `count` fresh nodes of a contestant."""
    running: list[NodeProcess] = []
    with tempfile.TemporaryDirectory(prefix="ironmesh-bench-") as folder:
        try:
            for number in range(count):
                home = Path(folder) / str(number)
                home.mkdir()
                node = NodeProcess(
                    contestant,
                    home,
                    is_tls=is_tls,
                    is_discovering=is_discovering,
                    is_in_line=is_in_line,
                )
                running.append(node)
            for node in running:
                node.begin_start()
            for node in running:
                node.end_start()
            yield running
        finally:
            for node in running:
                node.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
