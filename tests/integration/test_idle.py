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
    "ironmesh.delivery.inbox",
    "ironmesh.delivery.outbox",
    "ironmesh.mesh.legacy",
    "ironmesh.node.dialer",
    "ironmesh.node.gate",
    "ironmesh.node.link",
    "ironmesh.node.mesh",
    "ironmesh.node.postoffice",
    "ironmesh.node.sessions",
    "ironmesh.node.traffic",
    "ironmesh.session",
    "ironmesh.trust.published",
    "ironmesh.wire.legacy",
    "ironmesh.wire.receipts",
)
EXCEPT = frozenset({"ironmesh.node.linktable", "ironmesh.node.traffic_entry"})


def test_a_node_without_peers_loads_only_what_it_needs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    loaded = json.loads(done.stdout)
    found = {name for name in loaded if name.startswith(NOT_FOR_AN_IDLE_NODE)}
    assert found == EXCEPT
