"""Configuration by environment and files, seen at a running node."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.support.ports import free_port
from tests.support.processes import OURS, Running, environment, run

from ironmesh.config import MINIMAL_KDF
from ironmesh.store import keyfiles
from ironmesh.types import Secret

PASSPHRASE = "correct horse battery staple lamp"


class Home:
    """A home with the keys of alice, and no flags but what a test gives."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder / ".ironmesh"
        self.env = environment(folder)
        self._stack = stack
        keys = self.folder / "nodes" / "alice" / "keys.json"
        keyfiles.generate(keys, "alice", Secret(PASSPHRASE), MINIMAL_KDF, os.urandom)
        self.write("passphrase", PASSPHRASE)

    def write(self, name: str, text: str) -> None:
        """Write a private file."""
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)

    def start(self, *arguments: str, **variables: str) -> Running:
        """Start a node and wait until it listens."""
        node = self._stack.enter_context(
            Running([*OURS, "run", *arguments], env=self.env | variables)
        )
        node.wait_line("istening")
        return node

    def state(self) -> dict[str, Any]:
        """Return what the running node says of itself."""
        found: dict[str, Any] = json.loads(run([*OURS, "status", "--json"], env=self.env).out[0])
        return found["state"]  # type: ignore[no-any-return]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with ExitStack() as stack:
        yield Home(tmp_path, stack)


def test_the_environment_changes_the_daemon(home: Home) -> None:
    port = free_port()
    node = home.start(
        IRONMESH_NAME="alice",
        IRONMESH_PORT=str(port),
        IRONMESH_BIND="127.0.0.1",
        IRONMESH_MDNS="no",
        IRONMESH_LOG_LEVEL="DEBUG",
        IRONMESH_LOG_FORMAT="json",
        IRONMESH_LOG_FILE=str(home.folder / "log"),
        IRONMESH_ALLOW_PLAINTEXT_WS="1",
    )
    state = home.state()
    assert (state["name"], state["listening"]) == ("alice", [f"127.0.0.1:{port}"])
    assert (state["is_tls"], state["is_mdns_on"]) == (False, False)
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"no websocket\r\n\r\n")
        stranger.recv(1000)
    node.terminate()
    logged = [json.loads(line) for line in (home.folder / "log").read_text().splitlines()]
    assert "DEBUG" in {record["level"] for record in logged}


def test_a_file_is_enough_and_the_environment_wins_over_it(home: Home) -> None:
    file_port, port = free_port(), free_port()
    home.write("config.toml", f'name = "alice"\nbind = "127.0.0.1"\nmdns = false\nport = {port}')
    home.write("nodes/alice/config.toml", f"port = {file_port}\n")
    node = home.start()
    assert home.state()["listening"] == [f"127.0.0.1:{file_port}"]
    node.terminate()
    node = home.start(IRONMESH_PORT=str(port))
    assert home.state()["listening"] == [f"127.0.0.1:{port}"]
    node.terminate()
    node = home.start("--port", str(file_port), IRONMESH_PORT=str(port))
    assert home.state()["listening"] == [f"127.0.0.1:{file_port}"]
    node.terminate()


def test_a_published_configuration_is_taken_over_at_the_first_start(home: Home) -> None:
    port = free_port()
    home.write("config.json", json.dumps({"agent_name": "alice", "port": port, "prune_days": 3}))
    flags = ("--bind", "127.0.0.1", "--no-mdns")
    node = home.start(*flags)
    node.wait_line(
        "config.json was taken over into .*; not in this version and left out: prune_days"
    )
    assert home.state()["listening"] == [f"127.0.0.1:{port}"]
    node.terminate()
    again = home.start(*flags)
    assert not [line for line in again.lines if "taken over" in line]
    again.terminate()


def test_a_mistake_in_a_file_stops_the_start_in_one_line(home: Home) -> None:
    home.write("config.toml", 'name = "alice"\n\nprot = 9000\n')
    failed = run([*OURS, "run"], env=home.env, code=1)
    assert failed.err == [
        f"error: {home.folder}/config.toml:3: there is no setting 'prot': did you mean port?"
    ]
