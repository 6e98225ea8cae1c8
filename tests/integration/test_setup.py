"""`ironmesh setup` as a person and as a script uses it; what it prints works as printed."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.ports import free_port
from tests.support.processes import OURS, Running, environment, run

PASSPHRASE = "correct horse battery staple lamp"
LIMIT_S = 30.0


class Dialogue:
    """A command on a terminal of its own: waits for questions, and answers them."""

    def __init__(self, *arguments: str, env: dict[str, str]) -> None:
        self._end, other = pty.openpty()
        self.process = subprocess.Popen(
            [*OURS, *arguments],
            stdin=other, stdout=other, stderr=other, env=env, start_new_session=True,
        )  # fmt: skip
        os.close(other)
        self.text = ""

    def wait_for(self, what: str) -> None:
        """Read until `what` was shown since the last answer."""
        end = time.monotonic() + LIMIT_S
        while what not in self.text:
            ready, _, _ = select.select([self._end], [], [], max(end - time.monotonic(), 0))
            assert ready, f"no {what!r} in {self.text!r}"
            self.text += self._read()

    def answer(self, question: str, text: str) -> None:
        """Wait for a question and answer it."""
        self.wait_for(question)
        self.text = ""
        os.write(self._end, text.encode() + b"\n")

    def finish(self) -> tuple[int, str]:
        """Return the exit code, and what was shown since the last answer."""
        with contextlib.suppress(OSError):
            while part := self._read():
                self.text += part
        return self.process.wait(LIMIT_S), self.text.replace("\r\n", "\n")

    def interrupt(self) -> None:
        """Press Ctrl-C, again where the first one came just before the command began to read."""
        while self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1.0)

    def close(self) -> None:
        """End the command and the terminal."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._end)

    def _read(self) -> str:
        return os.read(self._end, 65536).decode()


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "home"
    home.mkdir()
    return environment(home)


@pytest.fixture
def mesh(tmp_path: Path) -> Path:
    return tmp_path / "home" / ".ironmesh"


@pytest.fixture
def asked(env: dict[str, str]) -> Iterator[Dialogue]:
    dialogue = Dialogue("setup", env=env)
    yield dialogue
    dialogue.close()


def printed_command(text: str) -> str:
    """Return the command under `Start it:`."""
    match = re.search(r"^Start it:\n\n {4}(.+)$", text, re.MULTILINE)
    assert match is not None, text
    return match[1]


def test_the_printed_command_starts_the_node(env: dict[str, str], mesh: Path) -> None:
    setup = run(
        [*OURS, "setup", "--non-interactive", "--passphrase-from-env", "--name", "alice",
         "--port", str(free_port()), "--allowed-peers", "bob"],
        env=env | {"IRONMESH_SETUP_PASSPHRASE": PASSPHRASE}, timeout_s=LIMIT_S,
    )  # fmt: skip
    command = printed_command("\n".join(setup.out))
    assert command == "ironmesh run --name alice"
    assert (mesh / "passphrase").stat().st_mode & 0o777 == 0o600
    assert (mesh / "nodes" / "alice" / "keys.json").stat().st_mode & 0o777 == 0o600
    assert json.loads((mesh / "nodes" / "alice" / "keys.json").read_text())["encrypted"] is True
    with Running(["sh", "-c", f"exec {command}"], env=env) as node:
        port = re.search(r"^port = (\d+)", (mesh / "nodes/alice/config.toml").read_text(), re.M)
        assert port is not None
        node.wait_line(f"Listening on wss://0.0.0.0:{port[1]}", timeout_s=LIMIT_S)
        status = run([*OURS, "status", "--json"], env=env)
        assert json.loads(status.out[0])["is_running"] is True
        node.terminate()


def test_two_nodes_that_were_set_up_meet(env: dict[str, str]) -> None:
    secret = env | {"IRONMESH_SETUP_PASSPHRASE": PASSPHRASE}
    port = free_port()
    for name, peer, where in (("alice", "bob", port), ("bob", "alice", 0)):
        run(
            [*OURS, "setup", "--non-interactive", "--name", name, "--allowed-peers", peer,
             "--port", str(where)], env=secret, timeout_s=LIMIT_S,
        )  # fmt: skip
    quiet = ["--bind", "127.0.0.1", "--no-mdns"]
    with (
        Running([*OURS, "run", "--name", "alice", *quiet], env=env) as alice,
        Running(
            [*OURS, "run", "--name", "bob", *quiet, "--peer", f"127.0.0.1:{port}"], env=env
        ) as bob,
    ):
        alice.wait_line("Peer bob .* online", timeout_s=LIMIT_S)
        bob.wait_line("Peer alice .* online", timeout_s=LIMIT_S)
        pinged = run([*OURS, "ping", "alice", "--name", "bob", "--count", "2", "--json"], env=env)
        answer = json.loads(pinged.out[0])
        assert (answer["sent"], answer["answered"]) == (2, 2)
        assert 0 < answer["min_ms"] <= answer["max_ms"]
        checked = run([*OURS, "doctor", "--json"], env=env, timeout_s=LIMIT_S)
        assert json.loads(checked.out[0])["ok"] is True
        run([*OURS, "stop", "--name", "bob"], env=env)
        bob.expect(0)
        shown = run([*OURS, "config", "show", "--name", "alice"], env=env)
        assert PASSPHRASE not in shown.text
        alice.terminate()


def test_a_person_is_asked_for_what_no_flag_gives(
    asked: Dialogue, env: dict[str, str], mesh: Path
) -> None:
    asked.answer("Name of this node", "a/b")
    asked.answer("Name of this node", "alice")
    asked.answer("TCP port", "http")
    asked.answer("TCP port", "0")
    asked.answer("Peers", "bob, zoe")
    asked.answer("Make a random mesh passphrase?", "n")
    asked.answer("Mesh passphrase", "short")
    asked.answer("Once more", "short")
    asked.answer("Mesh passphrase", PASSPHRASE)
    asked.answer("Once more", PASSPHRASE)
    code, text = asked.finish()
    assert code == 0, text
    assert PASSPHRASE not in text
    assert "bits)" in text
    assert (mesh / "passphrase").read_text().strip() == PASSPHRASE
    command = printed_command(text)
    with Running(["sh", "-c", f"exec {command}"], env=env) as node:
        node.wait_line("Listening on", timeout_s=LIMIT_S)
        node.terminate()


def test_a_random_passphrase_is_shown_once(asked: Dialogue, mesh: Path) -> None:
    for question in ("Name of this node", "TCP port", "Peers", "Make a random"):
        asked.answer(question, "alice" if question.startswith("Name") else "")
    code, text = asked.finish()
    assert code == 0, text
    assert text.count((mesh / "passphrase").read_text().strip()) == 1


@pytest.mark.parametrize("question", ["Name of this node", "Peers", "Mesh passphrase", "Once more"])
def test_ctrl_c_at_a_question_leaves_nothing(asked: Dialogue, mesh: Path, question: str) -> None:
    for each, text in (
        ("Name of this node", "alice"),
        ("TCP port", "0"),
        ("Peers", ""),
        ("Make a random", "n"),
        ("Mesh passphrase", PASSPHRASE),
        ("Once more", PASSPHRASE),
    ):
        asked.wait_for(each)
        if each == question:
            asked.interrupt()
            break
        asked.answer(each, text)
    code, text = asked.finish()
    assert code == 130, text
    assert not mesh.exists()


def test_ctrl_c_at_any_moment_leaves_all_or_nothing(env: dict[str, str], mesh: Path) -> None:
    arguments = [*OURS, "setup", "--non-interactive", "--name", "alice"]
    secret = env | {"IRONMESH_SETUP_PASSPHRASE": PASSPHRASE}
    for delay_ms in range(100, 1600, 150):
        with Running(arguments, env=secret) as setup:
            time.sleep(delay_ms / 1000)  # the moment is the point
            setup.send_signal(signal.SIGINT)
            code = setup.wait(timeout_s=LIMIT_S)
        if code == 0:
            run([*OURS, "doctor"], env=env, timeout_s=LIMIT_S)
        else:
            assert not mesh.exists(), list(mesh.rglob("*"))
        shutil.rmtree(mesh, ignore_errors=True)
