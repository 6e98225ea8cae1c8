"""The first half of a start: the keys, the certificate, and how strong the passphrase is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ironmesh.config import NodeConfig
from ironmesh.files import write_private
from ironmesh.node.certificate import CERTIFICATE_FILE, KEY_FILE, needs_certificate
from ironmesh.node.first_start import Made, Maker, Wanted
from ironmesh.store.keyfiles import LoadedKeys, load_or_create
from ironmesh.store.strength import FILE_NAME, load_strength, save_strength
from ironmesh.types import Random


@dataclass(frozen=True, slots=True)
class OpenedFiles:
    """What a node finds, or makes, in its folder."""

    keys: LoadedKeys
    strength_bits: float
    """Of the mesh passphrase."""


async def open_files(config: NodeConfig, random: Random, make: Maker) -> OpenedFiles:
    """Open the keys; meanwhile make what a first start lacks.

    Raises:
        KeyFileError: see `load_or_create`.
        OSError: a file cannot be written.
    """
    note = config.node_dir / FILE_NAME
    wanted = Wanted(
        needs_certificate(config), None if note.exists() else config.passphrase.reveal()
    )
    keys, made = await asyncio.gather(
        asyncio.to_thread(load_or_create, config, random), _make(make, wanted)
    )
    if made.certificate_pem is not None and made.key_pem is not None:
        write_private(config.node_dir / KEY_FILE, made.key_pem)
        write_private(config.node_dir / CERTIFICATE_FILE, made.certificate_pem)
    data_key = keys.keys.data_key
    bits = made.strength_bits
    if bits is None:
        known = load_strength(note, data_key, config.passphrase)
        if known is not None:
            return OpenedFiles(keys, known)
        # Another passphrase than the one that was rated.
        bits = (await _make(make, Wanted(passphrase=config.passphrase.reveal()))).strength_bits
    bits = bits or 0.0
    save_strength(note, data_key, config.passphrase, bits, random)
    return OpenedFiles(keys, bits)


async def _make(make: Maker, wanted: Wanted) -> Made:
    return await asyncio.to_thread(make, wanted) if wanted else Made()
