"""Keeps the mesh secret, so that stretching the passphrase is not work of every start."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ironmesh.crypto.meshkey import open_mesh_secret, seal_mesh_secret
from ironmesh.errors import FileRefusedError
from ironmesh.files import read_bounded, write_private
from ironmesh.types import Random, Secret

FILE_NAME: Final = "mesh-secret"
PREVIOUS_FILE_NAME: Final = "mesh-secret-previous"
_MAX_BYTES: Final = 4096


def load_mesh_secret(
    path: Path, data_key: Secret, passphrase: Secret, mesh_name: str
) -> Secret | None:
    """Return the secret of this passphrase and mesh; None if there is none that can be read."""
    try:
        sealed = read_bounded(path, _MAX_BYTES)
    except (OSError, FileRefusedError):
        return None
    return open_mesh_secret(data_key, passphrase, mesh_name, sealed)


def save_mesh_secret(
    path: Path,
    data_key: Secret,
    passphrase: Secret,
    mesh_name: str,
    secret: Secret,
    random: Random,
) -> None:
    """Write the secret of a passphrase and mesh.

    Raises:
        OSError: it cannot be written.
    """
    write_private(path, seal_mesh_secret(data_key, passphrase, mesh_name, secret, random))
