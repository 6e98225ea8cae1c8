"""Key files that the published package wrote are ours to read, and our plaintext is its own."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from tests.support.published import published_python

from ironmesh.config import MINIMAL_KDF, NodeConfig
from ironmesh.keys import generate_keypair, save_keys
from ironmesh.store.keyfiles import load_or_create
from ironmesh.types import Secret

pytestmark = pytest.mark.interop

PASSPHRASE = "orbit velvet canyon plum"

SAVE = """
import sys
from ironmesh.keys import generate_keypair, save_keys
keys = generate_keypair("alice")
passphrase = sys.argv[2] or None
save_keys(keys, sys.argv[1], passphrase, allow_plaintext=not passphrase)
print(keys.get_fingerprint())
"""
LOAD = """
import sys
from ironmesh.keys import load_keys
print(load_keys(sys.argv[1]).get_fingerprint())
"""


async def published(code: str, *arguments: str) -> str:
    """What the published package prints."""
    process = await asyncio.create_subprocess_exec(
        str(published_python()), "-P", "-c", code, *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode().strip()


@pytest.mark.parametrize("passphrase", [PASSPHRASE, ""], ids=["encrypted", "plaintext"])
async def test_a_file_that_the_published_package_wrote_is_adopted(
    tmp_path: Path, passphrase: str
) -> None:
    path = tmp_path / "keys.json"
    node_id = await published(SAVE, str(path), passphrase)
    original = path.read_bytes()
    assert json.loads(original)["encrypted"] is bool(passphrase)
    config = NodeConfig(name="alice", passphrase=Secret(PASSPHRASE), home=tmp_path, kdf=MINIMAL_KDF)
    loaded = load_or_create(config, os.urandom)
    assert loaded.keys.identity.node_id == node_id
    assert path.read_bytes() == original


async def test_the_published_package_reads_our_plaintext(tmp_path: Path) -> None:
    keys = generate_keypair("alice")
    with pytest.warns(UserWarning, match="encryption"):
        save_keys(keys, tmp_path / "keys.json", allow_plaintext=True)
    assert await published(LOAD, str(tmp_path / "keys.json")) == keys.get_fingerprint()
