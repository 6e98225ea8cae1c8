"""What `import ironmesh` offers, and what it costs."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from typing import Any

import pytest

import ironmesh

EXPORTS = [
    "Agent",
    "AgentKeys",
    "BridgeDaemon",
    "Budget",
    "ConvEnvelope",
    "IronMeshError",
    "MessageBus",
    "MessagePriority",
    "MessageType",
    "PeerState",
    "__version__",
    "decrypt_message",
    "ecdh_exchange",
    "encrypt_message",
    "generate_ephemeral",
    "generate_ephemeral_keypair",
    "generate_keypair",
    "is_terminal",
    "make_reply",
    "seal_to_destination",
    "sign_message",
    "unseal_from_source",
    "verify_signature",
]
HOMES = {
    "ironmesh.agent": ["Agent"],
    "ironmesh.bridge": ["BridgeDaemon", "MAX_MESSAGE_SIZE", "MIN_MESH_VERSION", "PROTOCOL_VERSION"],
    "ironmesh.bus": ["MessageBus"],
    "ironmesh.config": ["NodeConfig"],
    "ironmesh.conversation": ["Budget", "ConvEnvelope", "is_terminal", "make_reply"],
    "ironmesh.errors": ["IronMeshError"],
    "ironmesh.keys": ["AgentKeys", "generate_keypair", "load_keys", "save_keys"],
    "ironmesh.mesh_crypto": ["can_seal_to", "seal_to_destination", "unseal_from_source"],
    "ironmesh.protocol": ["ErrorCode", "MessageBus", "MessagePriority", "MessageType", "PeerState"],
}
"""The module names that programs may import, and the names that they import from them."""
HEAVY = {"asyncio", "click", "cryptography", "msgspec", "nacl", "rich", "websockets", "zeroconf"}


def python(text: str) -> Any:
    """Run a program in a fresh interpreter and return the JSON that it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", text], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_the_exports_are_these() -> None:
    assert sorted(ironmesh.__all__) == EXPORTS
    assert dir(ironmesh) == EXPORTS


@pytest.mark.parametrize("name", EXPORTS)
def test_every_export_is_there(name: str) -> None:
    assert getattr(ironmesh, name) is getattr(ironmesh, name)


def test_a_star_import_gives_them_all() -> None:
    names: dict[str, Any] = {}
    exec("from ironmesh import *", names)
    assert set(EXPORTS) <= set(names)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'FederationGateway'"):
        ironmesh.FederationGateway  # noqa: B018


@pytest.mark.parametrize("module", sorted(HOMES))
def test_modules_that_programs_import_have_their_names(module: str) -> None:
    found = importlib.import_module(module)
    assert [name for name in HOMES[module] if not hasattr(found, name)] == []


def test_the_same_object_has_one_identity_wherever_it_is_imported_from() -> None:
    from ironmesh import bridge, bus, conversation, keys, protocol, types

    assert ironmesh.PeerState is protocol.PeerState is bridge.PeerState  # type: ignore[attr-defined]
    assert ironmesh.MessageBus is protocol.MessageBus is bus.MessageBus
    assert ironmesh.MessageType is protocol.MessageType is types.MessageType
    assert ironmesh.AgentKeys is keys.AgentKeys
    assert ironmesh.ConvEnvelope is conversation.ConvEnvelope


def test_importing_the_package_loads_nothing_and_costs_nothing() -> None:
    heavy, cpu_s = python(
        "import json, sys, time\n"
        "before, start = set(sys.modules), time.process_time()\n"
        "import ironmesh\n"
        "cpu = time.process_time() - start\n"
        "new = set(sys.modules) - before\n"
        f"print(json.dumps([sorted(new & {HEAVY!r}), cpu]))"
    )
    assert heavy == []
    assert cpu_s < 0.1


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("ironmesh.agent", {"click", "rich", "websockets", "zeroconf", "zxcvbn_rs_py"}),
        ("ironmesh.protocol", {"asyncio", "nacl", "websockets", "zeroconf"}),
        ("ironmesh.keys", {"asyncio", "websockets", "zeroconf"}),
    ],
)
def test_a_module_loads_only_what_it_needs(module: str, unwanted: set[str]) -> None:
    loaded = python(
        f"import json, sys, {module}\nprint(json.dumps(sorted({unwanted!r} & set(sys.modules))))"
    )
    assert loaded == []
