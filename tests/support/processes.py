"""Real processes in tests: start one, wait for what it prints, end it, look at its exit code."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

TIMEOUT_S = 10.0
OURS = (sys.executable, "-m", "ironmesh")


class ProcessFailed(AssertionError):  # noqa: N818 - a test failure, with the output in it
    """The process did not do what the test waits for; the text holds its output."""


def environment(home: Path, **variables: str) -> dict[str, str]:
    """Return this environment with another HOME, unbuffered output, and no passphrase."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("IRONMESH_")}
    kept["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    return {**kept, "HOME": str(home), "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **variables}


class Running:
    """A process whose output is read as it comes.

    Args:
        argv: the program and its arguments; a shell command as `["sh", "-c", text]`.
        env: its whole environment, see `environment`.
        netns: the network namespace to run in.
        cwd: its working folder.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        netns: str | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.argv = [*(["ip", "netns", "exec", netns] if netns else []), *argv]
        self.lines: list[str] = []
        """What it printed, stdout and stderr in the order of arrival."""
        self.out: list[str] = []
        self.err: list[str] = []
        self._changed = threading.Condition()
        self._open_streams = 2
        self._process = subprocess.Popen(
            self.argv,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(stream, sink), daemon=True)
            for stream, sink in (
                (self._process.stdout, self.out),
                (self._process.stderr, self.err),
            )
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str], sink: list[str]) -> None:
        with stream:
            for line in stream:
                with self._changed:
                    self.lines.append(line.rstrip("\n"))
                    sink.append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._open_streams -= 1
            self._changed.notify_all()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def text(self) -> str:
        """All that it printed so far."""
        return "\n".join(self.lines)

    def wait_line(self, pattern: str, *, timeout_s: float = TIMEOUT_S) -> re.Match[str]:
        """Wait until a line matches (anywhere in it), now or already; return the match."""
        regex = re.compile(pattern)
        end = time.monotonic() + timeout_s
        seen = 0
        with self._changed:
            while True:
                for line in self.lines[seen:]:
                    if match := regex.search(line):
                        return match
                seen = len(self.lines)
                if not self._open_streams:
                    raise ProcessFailed(self._report(f"ended without printing {pattern!r}"))
                if not self._changed.wait(end - time.monotonic()):
                    raise ProcessFailed(self._report(f"no {pattern!r} within {timeout_s} s"))

    def write(self, text: str) -> None:
        """Write to its stdin."""
        assert self._process.stdin is not None
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def close_stdin(self) -> None:
        """Let it read the end of its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def wait(self, *, timeout_s: float = TIMEOUT_S) -> int:
        """Wait until it ends and its output is read; return its exit code (-N: by signal N)."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ProcessFailed(self._report(f"still running after {timeout_s} s")) from None
        for reader in self._readers:
            reader.join(timeout_s)
        return code

    def expect(self, code: int = 0, *, timeout_s: float = TIMEOUT_S) -> Self:
        """Wait for the end and insist on the exit code."""
        if (found := self.wait(timeout_s=timeout_s)) != code:
            raise ProcessFailed(self._report(f"exit code {found}, not {code}"))
        return self

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to this process alone, not to its children."""
        self._process.send_signal(number)

    def terminate(self, *, code: int = 0, timeout_s: float = TIMEOUT_S) -> float:
        """Send SIGTERM, insist on the exit code; return the seconds that it took to end."""
        start = time.monotonic()
        self.send_signal(signal.SIGTERM)
        self.expect(code, timeout_s=timeout_s)
        return time.monotonic() - start

    def kill(self) -> None:
        """End it and all that it started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for reader in self._readers:
            reader.join()
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            self._process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        if error is not None and not isinstance(error, ProcessFailed):
            error.add_note(self._report("output"))

    def _report(self, what: str) -> str:
        return f"{' '.join(self.argv)}: {what}\n{self.text}"


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    netns: str | None = None,
    cwd: Path | None = None,
    stdin: str = "",
    code: int = 0,
    timeout_s: float = TIMEOUT_S,
) -> Running:
    """Run to the end, insist on the exit code, return the finished process with its output."""
    with Running(argv, env=env, netns=netns, cwd=cwd) as process:
        if stdin:
            process.write(stdin)
        process.close_stdin()
        return process.expect(code, timeout_s=timeout_s)
