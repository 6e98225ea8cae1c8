"""The first half of a start: keys, certificate, mesh secrets, and how strong the passphrase is."""

from __future__ import annotations

import asyncio

import msgspec

from ironmesh.config import NodeConfig
from ironmesh.crypto import meshkey
from ironmesh.files import write_private
from ironmesh.node.certificate import CERTIFICATE_FILE, KEY_FILE, needs_certificate
from ironmesh.node.first_start import Made, Maker, Wanted
from ironmesh.store import mesh_secret, strength
from ironmesh.store.keyfiles import LoadedKeys, load_or_create
from ironmesh.types import Random, Secret


class OpenedFiles(msgspec.Struct, frozen=True):
    """What a node finds, or makes, in its folder."""

    keys: LoadedKeys
    strength_bits: float
    """Of the mesh passphrase."""
    mesh_secrets: dict[int, Secret]
    """What each accepted passphrase became, by its number."""


async def open_files(config: NodeConfig, random: Random, make: Maker) -> OpenedFiles:
    """Open the keys; meanwhile make what a first start lacks.

    Raises:
        KeyFileError: see `load_or_create`.
        OSError: a file cannot be written.
    """
    has_note = (config.node_dir / strength.FILE_NAME).exists()
    wanted = Wanted(needs_certificate(config), None if has_note else config.passphrase.reveal())
    has_secret = (config.node_dir / mesh_secret.FILE_NAME).exists()
    keys, made, secret = await asyncio.gather(
        asyncio.to_thread(load_or_create, config, random),
        _make(make, wanted),
        _nothing() if has_secret else asyncio.to_thread(_stretch, config, config.passphrase),
    )
    if made.certificate_pem is not None and made.key_pem is not None:
        write_private(config.node_dir / KEY_FILE, made.key_pem)
        write_private(config.node_dir / CERTIFICATE_FILE, made.certificate_pem)
    data_key = keys.keys.data_key
    bits = await _strength(config, data_key, made.strength_bits, random, make)
    secrets = await asyncio.to_thread(_mesh_secrets, config, data_key, secret, random)
    return OpenedFiles(keys, bits, secrets)


async def _nothing() -> None:
    return None


async def _strength(
    config: NodeConfig, data_key: Secret, made: float | None, random: Random, make: Maker
) -> float:
    note = config.node_dir / strength.FILE_NAME
    if made is None:
        known = strength.load_strength(note, data_key, config.passphrase)
        if known is not None:
            return known
        # Another passphrase than the one that was rated.
        made = (await _make(make, Wanted(passphrase=config.passphrase.reveal()))).strength_bits
    bits = made or 0.0
    strength.save_strength(note, data_key, config.passphrase, bits, random)
    return bits


def _mesh_secrets(
    config: NodeConfig, data_key: Secret, made: Secret | None, random: Random
) -> dict[int, Secret]:
    """Return the mesh secret of each accepted passphrase by its number; stretches what is new."""
    current = config.passphrase_generation
    wanted = [(current, config.passphrase, mesh_secret.FILE_NAME, made)]
    if config.previous_passphrase is not None:
        before = (current - 1) % meshkey.GENERATIONS
        wanted.append((before, config.previous_passphrase, mesh_secret.PREVIOUS_FILE_NAME, None))
    secrets: dict[int, Secret] = {}
    for number, passphrase, name, known in wanted:
        path = config.node_dir / name
        secret = known or mesh_secret.load_mesh_secret(path, data_key, passphrase, config.mesh)
        if secret is None or known is not None:
            secret = known or _stretch(config, passphrase)
            mesh_secret.save_mesh_secret(path, data_key, passphrase, config.mesh, secret, random)
        secrets[number] = secret
    return secrets


def _stretch(config: NodeConfig, passphrase: Secret) -> Secret:
    return meshkey.mesh_secret(passphrase, config.mesh, config.kdf)


async def _make(make: Maker, wanted: Wanted) -> Made:
    return await asyncio.to_thread(make, wanted) if wanted else Made()
