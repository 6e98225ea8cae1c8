"""A node as a process of its own: how it starts, how it stops, and what it leaves on the disk."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.pace import assert_takes_less_than
from tests.support.ports import free_port
from tests.support.processes import OURS, Running, environment, run

PASSPHRASE = "correct horse battery staple lamp"
ONLINE = r"Peer {} \([0-9a-f]{{8}}\.\.\.\) online"
START_LIMIT_S = 1.0
STOP_LIMIT_S = 1.0

Start = Callable[..., Running]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path, IRONMESH_PASSPHRASE=PASSPHRASE)


@pytest.fixture
def start(env: dict[str, str]) -> Iterator[Start]:
    """Start a node on loopback without mDNS, and wait until it listens."""
    with ExitStack() as stack:

        def started(name: str, *arguments: str, umask: str = "022") -> Running:
            command = [*OURS, "run", "--name", name, "--bind", "127.0.0.1", "--no-mdns", *arguments]
            shell = ["sh", "-c", f'umask {umask}; exec "$@"', "sh"]
            node = stack.enter_context(Running([*shell, *command], env=env))
            node.wait_line("Listening")
            return node

        yield started


@pytest.mark.timed
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_node_with_peers_within_a_second_and_frees_its_port(
    start: Start, number: signal.Signals
) -> None:
    port = free_port()
    bob = start("bob", "--port", "0", "--peer", f"127.0.0.1:{port}")

    def end_once() -> float:
        alice = start("alice", "--port", str(port))
        alice.wait_line(ONLINE.format("bob"))
        asked = time.monotonic()
        alice.send_signal(number)
        alice.expect(0)
        taken = time.monotonic() - asked
        assert alice.err == [line for line in alice.err if line.startswith("warning: ")]
        with socket.socket() as taker:
            taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taker.bind(("127.0.0.1", port))
        return taken

    assert_takes_less_than(STOP_LIMIT_S, end_once)
    bob.wait_line("offline")
    assert bob.terminate() < 10


def test_a_second_signal_does_not_hurt(start: Start) -> None:
    node = start("alice", "--port", "0")
    node.send_signal(signal.SIGINT)
    node.send_signal(signal.SIGTERM)
    node.expect(0)
    assert "Traceback" not in node.text


@pytest.mark.timed
def test_a_node_with_an_identity_is_up_within_a_second(start: Start) -> None:
    start("alice", "--port", "0").terminate()

    def once() -> float:
        began = time.monotonic()
        node = start("alice", "--port", "0")
        taken = time.monotonic() - began
        node.terminate()
        return taken

    assert_takes_less_than(START_LIMIT_S, once)


@pytest.mark.parametrize("umask", ["000", "022"])
def test_everything_that_a_node_writes_is_private_whatever_the_umask(
    start: Start, tmp_path: Path, umask: str
) -> None:
    port = str(free_port())
    log = tmp_path / "logs" / "alice.log"
    log.parent.mkdir(mode=0o755)
    alice = start("alice", "--port", port, "--log-file", str(log), umask=umask)
    bob = start("bob", "--port", "0", "--peer", f"127.0.0.1:{port}", umask=umask)
    alice.wait_line(ONLINE.format("bob"))
    bob.wait_line(ONLINE.format("alice"))
    assert readable_by_others(tmp_path / ".ironmesh") == []
    alice.terminate()
    bob.terminate()
    written = [path for path in (tmp_path / ".ironmesh").rglob("*") if path.is_file()]
    assert {"keys.json", "known_peers.json", "audit.log", "tls-key.pem"} <= {
        path.name for path in written
    }
    assert readable_by_others(tmp_path / ".ironmesh") == []
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def readable_by_others(home: Path) -> list[str]:
    """Return what is not 0600, or 0700 for a folder."""
    found = []
    for path in (home, *home.rglob("*")):
        mode = path.lstat().st_mode
        wanted = 0o700 if stat.S_ISDIR(mode) else 0o600
        if stat.S_IMODE(mode) != wanted:
            found.append(f"{stat.filemode(mode)} {path.relative_to(home)}")
    return found


def test_the_first_start_encrypts_the_key_file_and_never_shows_the_seed(
    start: Start, tmp_path: Path
) -> None:
    node = start("alice", "--port", "0")
    keys = (tmp_path / ".ironmesh/nodes/alice/keys.json").read_text()
    assert re.search(r'"encrypted"\s*:\s*true', keys)
    assert PASSPHRASE not in keys + node.text
    node.terminate()


@pytest.mark.parametrize(
    ("passphrase", "said"),
    [(None, "there is no passphrase"), ("eleven-char", "12"), ("", "there is no passphrase")],
)
def test_without_a_usable_passphrase_nothing_starts_and_nothing_is_written(
    tmp_path: Path, passphrase: str | None, said: str
) -> None:
    given = {} if passphrase is None else {"IRONMESH_PASSPHRASE": passphrase}
    done = run(
        [*OURS, "run", "--name", "alice", "--port", "0"],
        env=environment(tmp_path, **given),
        code=1,
    )
    assert done.out == []
    [line] = done.err
    assert line.startswith("error: ")
    assert said in line
    assert "eleven-char" not in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["/dev/zero", "too large", "empty", "binary", "folder"])
def test_a_hostile_passphrase_file_is_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "passphrase"
    if kind.startswith("/"):
        path = Path(kind)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes({"too large": b"x" * 5000, "empty": b"", "binary": os.urandom(64)}[kind])
    done = run(
        [*OURS, "run", "--name", "alice", "--port", "0", "--passphrase-file", str(path)],
        env=environment(tmp_path),
        code=1,
    )
    assert done.out == []
    assert len(done.err) == 1
    assert done.err[0].startswith("error: ")


def test_insecure_flags_are_warned_of_once_each(start: Start) -> None:
    node = start("alice", "--port", "0", "--open-discovery", "--allow-plaintext-ws")
    node.terminate()
    loud = [line for line in node.err if "INSECURE" in line]
    assert len(loud) == 2
    assert sum("--open-discovery" in line for line in loud) == 1
    assert sum("--allow-plaintext-ws" in line for line in loud) == 1
    safe = start("bob", "--port", "0")
    safe.terminate()
    assert "INSECURE" not in safe.text
    assert "default-deny" in safe.text
