from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from tests.support.processes import ProcessFailed, Running, environment, run

PYTHON = sys.executable


def test_a_line_is_waited_for_and_its_match_returned() -> None:
    script = "import sys,time; print('port 17', flush=True); sys.stdin.read()"
    with Running([PYTHON, "-c", script]) as process:
        assert process.wait_line(r"port (\d+)")[1] == "17"
        process.close_stdin()
        process.expect(0)


def test_a_process_that_ends_early_fails_with_its_output() -> None:
    with (
        Running([PYTHON, "-c", "import sys; sys.exit('no passphrase')"]) as process,
        pytest.raises(ProcessFailed, match="no passphrase"),
    ):
        process.wait_line("ready")


def test_a_silent_process_fails_in_time() -> None:
    with (
        Running([PYTHON, "-c", "import sys; sys.stdin.read()"]) as process,
        pytest.raises(ProcessFailed, match=r"within 0\.1 s"),
    ):
        process.wait_line("ready", timeout_s=0.1)


def test_an_end_by_signal_shows_in_the_exit_code() -> None:
    with Running([PYTHON, "-c", "print('up', flush=True); input()"]) as process:
        process.wait_line("up")
        process.terminate(code=-signal.SIGTERM)


def test_run_checks_the_exit_code_and_passes_stdin(tmp_path: Path) -> None:
    script = "import os,sys; print(sys.stdin.read(), os.environ['HOME'])"
    finished = run([PYTHON, "-c", script], env=environment(tmp_path), stdin="in")
    assert finished.out == [f"in {tmp_path}"]
    with pytest.raises(ProcessFailed, match="exit code 3, not 0"):
        run([PYTHON, "-c", "raise SystemExit(3)"])
