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
loaded = sorted(sys.modules)
agent.stop()
print(json.dumps(loaded))
"""

NOT_FOR_AN_IDLE_NODE = (
    "_hashlib",
    "cryptography",
    "dataclasses",
    "hmac",
    "unicodedata",
    "websockets",
    "zeroconf",
    "ironmesh.audit.verify",
    "ironmesh.control.messages",
    "ironmesh.control.protocol",
    "ironmesh.session.native.channel",
    "ironmesh.session.legacy",
    "ironmesh.mesh.legacy.table",
    "ironmesh.node.mesh.bridge",
    "ironmesh.node.mesh.legacy_side",
    "ironmesh.node.mesh.service",
    "ironmesh.node.mesh.tunnel",
    "ironmesh.trust.published",
    "ironmesh.wire.legacy.mesh",
    "ironmesh.wire.native.relaying",
)


def test_a_node_without_peers_loads_only_what_it_needs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    loaded = json.loads(done.stdout)
    assert [name for name in loaded if name.startswith(NOT_FOR_AN_IDLE_NODE)] == []
