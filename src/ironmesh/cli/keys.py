"""`ironmesh keys`."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any, Final

import click

from ironmesh.cli.keychain import open_keychain
from ironmesh.cli.nodes import only_node
from ironmesh.cli.options import HomePath, json_option
from ironmesh.cli.output import print_json, warn
from ironmesh.cli.passphrase import Sources, from_variable, mesh_passphrase, prompt_new
from ironmesh.cli.setting_flags import setting_flags, settings_of
from ironmesh.config import MODERATE_KDF, check_name
from ironmesh.crypto.passphrase import check_length, estimate_bits, weakness
from ironmesh.errors import ConfigError, KeyFileExistsError
from ironmesh.settings.resolve import Settings
from ironmesh.store import keyfiles
from ironmesh.trust.fingerprint import words_of
from ironmesh.types import Secret

DEFAULT_NAME: Final = "agent"
NEW_VARIABLE: Final = "IRONMESH_PASSPHRASE_NEW"


@click.group("keys")
def keys_group() -> None:
    """Make and show identities; keep passphrases in the system's keychain."""


@keys_group.command("generate")
@setting_flags("name", "passphrase_file", "home")
@click.option("--path", type=HomePath(), help="The key file; otherwise that of the node.")
@json_option
def generate_command(*, path: Path | None, as_json: bool, **flags: Any) -> None:
    """Make a new identity, in a key file that is always encrypted.

    An existing key file is never overwritten.
    """
    settings = settings_of(flags, lambda _: DEFAULT_NAME)
    target = path or keys_file(settings)
    _refuse_existing(target)
    resolved = mesh_passphrase(Sources.of(settings), os.environ)
    for warning in (*resolved.warnings, weakness(estimate_bits(resolved.passphrase))):
        if warning:
            warn(warning)
    info = keyfiles.generate(target, settings.name, resolved.passphrase, MODERATE_KDF, os.urandom)
    _show(info, as_json=as_json)


@keys_group.command("info")
@setting_flags("name", "home")
@click.option("--path", type=HomePath(), help="The key file; otherwise that of the node.")
@json_option
def info_command(*, path: Path | None, as_json: bool, **flags: Any) -> None:
    """Show the public part of an identity; needs no passphrase."""
    file = path or keys_file(settings_of(flags, only_node))
    _show(keyfiles.describe(file), as_json=as_json)


@keys_group.command("keychain-store")
@click.option("--name", required=True, envvar="IRONMESH_NAME")
@click.option("--passphrase-from-env", is_flag=True, help=f"Take it from {NEW_VARIABLE}.")
@json_option
def store_command(name: str, *, passphrase_from_env: bool, as_json: bool) -> None:
    """Keep the mesh passphrase of a node in the system's keychain."""
    check_name(name)
    keychain = open_keychain()
    passphrase = _from_environment() if passphrase_from_env else prompt_new("Mesh passphrase")
    keychain.store(name, passphrase)
    _tell(
        f"stored in {keychain.description}; use it with IRONMESH_PASSPHRASE_KEYCHAIN=1",
        {"stored": True, "keychain": keychain.description},
        as_json=as_json,
    )


@keys_group.command("keychain-clear")
@click.option("--name", required=True, envvar="IRONMESH_NAME")
@json_option
def clear_command(name: str, *, as_json: bool) -> None:
    """Remove the mesh passphrase of a node from the system's keychain."""
    is_removed = open_keychain().clear(name)
    text = "removed" if is_removed else f"the keychain has no passphrase for {name!r}"
    _tell(text, {"removed": is_removed}, as_json=as_json)


@keys_group.command("keychain-check")
@json_option
def check_command(*, as_json: bool) -> None:
    """Tell whether this system has a keychain that can be used."""
    description = open_keychain().description
    _tell(
        f"available: {description}",
        {"available": True, "keychain": description},
        as_json=as_json,
    )


def keys_file(settings: Settings) -> Path:
    """Return the key file of the node that the settings name."""
    path = settings["keys_path"] or settings.node_dir / "keys.json"
    assert isinstance(path, Path)
    return path


def _refuse_existing(path: Path) -> None:
    """Refuse before the passphrase is asked for; `generate` itself refuses again, for sure."""
    if keyfiles.find(path) is not None:
        raise KeyFileExistsError(
            f"there is a key file already at {path}", "move it away, or name another --path"
        )


def _from_environment() -> Secret:
    if not os.environ.get(NEW_VARIABLE):
        raise ConfigError(f"{NEW_VARIABLE} is not set", "set it, or leave out the option")
    passphrase = from_variable(os.environ, NEW_VARIABLE).passphrase
    check_length(passphrase)
    return passphrase


def _show(info: keyfiles.KeyFileInfo, *, as_json: bool) -> None:
    public = base64.b64encode(info.public).decode()
    if as_json:
        print_json(
            {
                "path": str(info.path),
                "name": info.agent_name,
                "node_id": info.node_id,
                "words": words_of(info.node_id),
                "public_key_b64": public,
                "is_encrypted": info.is_encrypted,
                "version": info.version,
            }
        )
        return
    click.echo(f"Key file:    {info.path}")
    click.echo(f"Name:        {info.agent_name}")
    click.echo(f"Fingerprint: {info.node_id}")
    click.echo(f"In words:    {words_of(info.node_id)}")
    click.echo(f"Public key:  {public}")
    click.echo(f"Encrypted:   {'yes' if info.is_encrypted else 'no'}")


def _tell(text: str, value: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(value)
    else:
        click.echo(text)
