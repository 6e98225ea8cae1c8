"""Node processes in one home, and commands that talk to them."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.support.ports import free_port
from tests.support.processes import OURS, Running, environment, run

from ironmesh.config import MINIMAL_KDF
from ironmesh.store import keyfiles
from ironmesh.types import Secret

PASSPHRASE = "correct horse battery staple lamp"
ONLINE = r"Peer {} \([0-9a-f]{{8}}\.\.\.\) online -- ephemeral ECDH complete"


class Mesh:
    """Node processes in one home, without mDNS, and commands that talk to them."""

    def __init__(self, home: Path, stack: ExitStack) -> None:
        self.folder = home / ".ironmesh"
        passphrase = home / "passphrase"
        passphrase.write_text(PASSPHRASE)
        passphrase.chmod(0o600)
        self.env = environment(home, IRONMESH_PASSPHRASE_FILE=str(passphrase))
        self._stack = stack

    def begin(self, *arguments: str) -> Running:
        """Start a command."""
        return self._stack.enter_context(Running([*OURS, *arguments], env=self.env))

    def start(self, name: str, *arguments: str) -> Running:
        """Start a node, with a key file that opens at once, and wait until it listens."""
        keys = self.folder / "nodes" / name / "keys.json"
        if not keys.exists():
            keyfiles.generate(keys, name, Secret(PASSPHRASE), MINIMAL_KDF, os.urandom)
        node = self.begin("run", "--name", name, "--bind", "127.0.0.1", "--no-mdns", *arguments)
        node.wait_line("istening")
        return node

    def pair(self) -> tuple[Running, Running]:
        """Start alice, and bob who dials her; wait until both have a session."""
        port = str(free_port())
        alice = self.start("alice", "--port", port)
        bob = self.start("bob", "--port", "0", "--peer", f"127.0.0.1:{port}")
        alice.wait_line(ONLINE.format("bob"))
        bob.wait_line(ONLINE.format("alice"))
        return alice, bob

    def run(self, *arguments: str, code: int = 0, stdin: str = "") -> str:
        """Run a command to its end and return what it printed on standard output."""
        done = run([*OURS, *arguments], env=self.env, code=code, stdin=stdin)
        assert "Traceback" not in done.text
        return "\n".join(done.out)

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Run a command with `--json` and return the document that it printed."""
        return json.loads(self.run(*arguments, "--json", code=code))
