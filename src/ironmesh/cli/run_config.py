"""From the flags of `ironmesh run` to a `NodeConfig`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from ironmesh.cli.passphrase import KEYS_VARIABLE, mesh_passphrase, other_passphrase
from ironmesh.cli.run_flags import ALL_NAMES
from ironmesh.config import LegacyMode, NodeConfig, PeerAddress, check_name
from ironmesh.crypto.passphrase import check_length
from ironmesh.errors import ConfigError, NotBuiltError
from ironmesh.types import Secret

LEGACY_VARIABLE: Final = "IRONMESH_LEGACY_PASSPHRASE"

_NOT_BUILT: Final = {
    "gui": "--gui",
    "reticulum": "--reticulum",
    "require_message_promotion": "--require-message-promotion",
    "rotate_keys": "--rotate-keys",
}
_INSECURE: Final = {
    "open_discovery": "--open-discovery",
    "allow_plaintext_ws": "--allow-plaintext-ws",
}
_DEV: Final = {"open_discovery": True, "allow_plaintext_ws": True, "bind": "127.0.0.1"}


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What `run` starts, and what people should know before."""

    node: NodeConfig
    warnings: tuple[str, ...]


def run_config(flags: Mapping[str, Any], explicit: AbstractSet[str]) -> RunConfig:
    """Return the configuration that the flags, the profile and the environment ask for.

    Args:
        flags: the values by parameter name, as `run_flags` declares them.
        explicit: names of those that the user gave.

    Raises:
        NotBuiltError: a switch turns on a feature that this version does not have.
        ConfigError: a value, or values together, make no sense.
        PassphraseError: there is no usable passphrase.
    """
    check_name(flags["name"])
    _refuse_not_built(flags)
    values, warnings = _with_profile(flags, explicit)
    mesh = mesh_passphrase(values["name"], values["passphrase_file"], os.environ)
    keys = other_passphrase(values["keys_passphrase_file"], os.environ, KEYS_VARIABLE)
    legacy = other_passphrase(values["legacy_passphrase_file"], os.environ, LEGACY_VARIABLE)
    if legacy is not None:
        check_length(legacy.passphrase)
    for found in (mesh, keys, legacy):
        warnings += found.warnings if found is not None else ()
    config = _node_config(
        values,
        mesh.passphrase,
        keys.passphrase if keys else None,
        legacy.passphrase if legacy else None,
    )
    return RunConfig(config, tuple(warnings))


def _refuse_not_built(flags: Mapping[str, Any]) -> None:
    for name, flag in _NOT_BUILT.items():
        if flags[name]:
            raise NotBuiltError(f"{flag} is not in this version yet", f"leave out {flag}")
    if flags["profile"] == "offline":
        raise NotBuiltError(
            "--profile offline needs a radio, which is not in this version yet",
            "use --profile secure, or --no-mdns with --peer",
        )


def _with_profile(
    flags: Mapping[str, Any], explicit: AbstractSet[str]
) -> tuple[dict[str, Any], list[str]]:
    """Apply the profile to flags that were not given; flags that were given win, with a warning."""
    values, warnings = dict(flags), []
    if flags["profile"] == "dev":
        for name, value in _DEV.items():
            if name not in explicit:
                values[name] = value
            elif flags[name] != value:
                warnings.append(f"--{name.replace('_', '-')} overrides --profile dev")
    if flags["profile"] == "secure":
        given = [flag for name, flag in _INSECURE.items() if flags[name]]
        if given and not flags["force"]:
            raise ConfigError(
                f"--profile secure does not go with {' and '.join(given)}",
                "leave out one of them, or add --force",
            )
        warnings += [f"{flag} overrides --profile secure" for flag in given]
        warnings.append("--profile secure: new peers are trusted at first contact; no gate yet")
    return values, warnings


def _node_config(
    values: Mapping[str, Any], mesh: Secret, keys: Secret | None, legacy: Secret | None
) -> NodeConfig:
    mode, names = _legacy(values["allow_legacy"])
    return NodeConfig(
        name=values["name"],
        passphrase=mesh,
        home=values["home"],
        port=values["port"],
        bind=values["bind"],
        mdns=not values["no_mdns"],
        allowed_peers=_names(values["allowed_peers"]),
        open_discovery=values["open_discovery"],
        peers=tuple(PeerAddress.parse(peer) for peer in values["peers"]),
        allow_plaintext=values["allow_plaintext_ws"],
        tls_cert=values["tls_cert"],
        tls_key=values["tls_key"],
        capabilities=tuple(values["capabilities"]),
        legacy=mode,
        legacy_names=names,
        legacy_passphrase=legacy,
        legacy_same_passphrase=values["legacy_same_passphrase"],
        keys_passphrase=keys,
        keys_path=values["keys_path"],
        trust_path=values["trust_path"],
        min_protocol_version=values["min_protocol_version"],
        rekey_interval_s=values["rekey_interval"],
    )


def _legacy(allow: str | None) -> tuple[LegacyMode, frozenset[str]]:
    # Without the flag, too, all may speak it: it is the only wire that there is yet.
    if allow in {None, ALL_NAMES}:
        return LegacyMode.ALL, frozenset()
    return LegacyMode.NAMED, _names(allow) or frozenset()


def _names(listed: str | None) -> frozenset[str] | None:
    if listed is None:
        return None
    return frozenset(name for part in listed.split(",") if (name := part.strip()))
