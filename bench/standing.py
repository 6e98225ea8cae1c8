"""What stands still: commands that answer at once, the start of a node, and an idle one."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from bench.contestants import Contestant
from bench.counts import Figures
from bench.process import BenchError, NodeProcess

SETTLE_S: Final = 2.0
COMMANDS: Final = ("--version", "--help")
MEASURES: Final = {"Rss": "rss", "Pss": "pss", "Private_Clean": "uss", "Private_Dirty": "uss"}


def commands(contestant: Contestant) -> Figures:
    """`ironmesh --version` and `--help`, from the start of the process to its end.

    The published program has no `--version`.
    """
    figures: Figures = {}
    for option in COMMANDS[contestant.is_published :]:
        cpu_s, took_s = _command(contestant, option)
        name = option.strip("-")
        figures |= {f"{name}.cpu": cpu_s, f"{name}.wall": took_s}
    return figures


def _command(contestant: Contestant, option: str) -> tuple[float, float]:
    with tempfile.TemporaryDirectory(prefix="ironmesh-bench-") as home:
        began = time.monotonic()
        process = subprocess.Popen(
            [str(contestant.program), option],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "HOME": home},
        )
        _, status, usage = os.wait4(process.pid, 0)
        took = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BenchError(f"{contestant.title}: {option} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, took


def start(contestant: Contestant) -> Figures:
    """From the start of the process until `run` returned, with keys that exist; then idle."""
    figures = _start(contestant, is_discovering=True)
    if not contestant.is_published:  # that one cannot be told to leave mDNS alone
        quiet = _start(contestant, is_discovering=False)
        figures |= {f"{key}.no_mdns": quiet[key] for key in quiet if key.startswith("idle.")}
    return figures


def _start(contestant: Contestant, *, is_discovering: bool) -> Figures:
    with tempfile.TemporaryDirectory(prefix="ironmesh-bench-") as folder:
        first = NodeProcess(contestant, Path(folder))
        try:
            first.start()
        finally:
            first.kill()
        second = NodeProcess(contestant, Path(folder), is_discovering=is_discovering)
        try:
            started = second.start().started
            time.sleep(SETTLE_S)
            idle = memory(second.pid)
        finally:
            second.kill()
    return {"start.cpu": started["cpu_s"], "start.wall": started["wall_s"], **idle}


def memory(pid: int) -> Figures:
    """Return resident, proportional and own memory of a process in MB; nothing where not told."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return {}
    figures: Figures = {}
    for name, _, value in (line.partition(":") for line in lines):
        if name in MEASURES:
            key = f"idle.{MEASURES[name]}"
            figures[key] = figures.get(key, 0.0) + int(value.split()[0]) * 1024 / 1e6
    return figures
