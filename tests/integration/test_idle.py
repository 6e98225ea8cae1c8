"""What a node without peers keeps in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import json, sys
from ironmesh import Agent

agent = Agent("idle", port=0, passphrase="correct horse battery staple", bind="127.0.0.1",
              home=sys.argv[1], allow_plaintext=True, mdns=False)
agent.run(foreground=False)
loaded = sorted({name.partition(".")[0] for name in sys.modules})
sessions = ("session.native.channel", "session.legacy.channel")
wires = [name for name in sys.modules if name.endswith(sessions)]
agent.stop()
print(json.dumps([loaded, wires]))
"""


def test_a_node_without_peers_loads_no_library_that_only_sessions_need(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    loaded, wires = json.loads(done.stdout)
    assert not {"cryptography", "websockets", "zeroconf"} & set(loaded)
    assert not wires
