"""The keyword arguments of `BridgeDaemon` and `Agent`, and the `NodeConfig` that they mean.

The published names are all accepted and checked. A path, limit or interval of a feature that this
version does not have is unused; a switch that turns such a feature on is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypedDict

from ironmesh.config import MODERATE_KDF, KdfCost, LegacyMode, NodeConfig, PeerAddress
from ironmesh.crypto.passphrase import check_length
from ironmesh.errors import ConfigError, NotBuiltError, PassphraseError
from ironmesh.types import Secret

AnyPath = str | Path


class DaemonSettings(TypedDict, total=False):
    """Settings beside name, port and passphrase; see `docs/python.md` for their meaning."""

    keys_path: AnyPath | None
    keys_passphrase: str | None
    tls_cert: AnyPath | None
    tls_key: AnyPath | None
    bind_address: str
    allowed_peers: Iterable[str] | None
    open_discovery: bool
    allow_plaintext_ws: bool
    capabilities: Iterable[str] | None
    rekey_interval: float
    min_protocol_version: str
    trust_path: AnyPath | None
    # Ours, beside the published ones:
    home: AnyPath | None
    peers: Iterable[str]
    mdns: bool
    allow_legacy: bool | Iterable[str]
    legacy_passphrase: str | None
    legacy_same_passphrase: bool
    kdf: KdfCost
    # Switches of features to come:
    gui: bool
    rns_enabled: bool
    require_message_promotion: bool
    # Paths, limits and intervals of features to come:
    db_path: AnyPath | None
    routes_path: AnyPath | None
    capabilities_path: AnyPath | None
    max_message_size: int
    log_level: str
    log_format: str
    mesh_routing: str
    max_hops: int
    route_announce_interval: float
    route_ttl: float
    capability_announce_interval: float
    metrics_format: str
    audit_log_max_bytes: int
    rns_configdir: AnyPath | None
    rns_announce_interval: float
    rns_connect: Iterable[str] | None
    lora_max_payload: int
    pending_trust_queue_cap: int
    gui_bind: str


_UNBUILT_SWITCHES: Final = ("gui", "rns_enabled", "require_message_promotion")
_CHOICES: Final = {
    "mesh_routing": ("off", "passive", "relay"),
    "metrics_format": ("prometheus", "json"),
    "log_format": ("text", "json"),
}
_POSITIVE: Final = (
    "max_message_size",
    "max_hops",
    "route_announce_interval",
    "route_ttl",
    "capability_announce_interval",
    "audit_log_max_bytes",
    "rns_announce_interval",
    "pending_trust_queue_cap",
)


def to_config(name: str, port: int, passphrase: str | None, settings: DaemonSettings) -> NodeConfig:
    """Return the configuration that these arguments mean.

    Raises:
        PassphraseError: no passphrase, or one of fewer than 12 characters (a `ValueError`).
        NotBuiltError: a switch turns a feature on that this version does not have.
        ConfigError: an unknown setting, or a bad value (a `ValueError`).
    """
    given: Mapping[str, Any] = settings
    _check(given)
    legacy, legacy_names = _legacy(given.get("allow_legacy", True))
    legacy_passphrase = given.get("legacy_passphrase")
    allowed_peers = given.get("allowed_peers")
    return NodeConfig(
        name=name,
        port=port,
        passphrase=_passphrase(passphrase),
        home=_path(given.get("home")) or Path.home() / ".ironmesh",
        bind=given.get("bind_address", "0.0.0.0"),  # noqa: S104 - a mesh listens on the network
        mdns=given.get("mdns", True),
        allowed_peers=None if allowed_peers is None else frozenset(allowed_peers),
        open_discovery=given.get("open_discovery", False),
        peers=tuple(PeerAddress.parse(text) for text in given.get("peers", ())),
        allow_plaintext=given.get("allow_plaintext_ws", False),
        tls_cert=_path(given.get("tls_cert")),
        tls_key=_path(given.get("tls_key")),
        capabilities=tuple(given.get("capabilities") or ()),
        legacy=legacy,
        legacy_names=legacy_names,
        legacy_passphrase=_optional(legacy_passphrase, _passphrase),
        legacy_same_passphrase=given.get("legacy_same_passphrase", False),
        keys_passphrase=_optional(given.get("keys_passphrase"), Secret),
        keys_path=_path(given.get("keys_path")),
        trust_path=_path(given.get("trust_path")),
        min_protocol_version=given.get("min_protocol_version", "ironmesh/0.3"),
        rekey_interval_s=float(given.get("rekey_interval", 1800.0)),
        kdf=given.get("kdf", MODERATE_KDF),
    )


def _check(given: Mapping[str, Any]) -> None:
    for name in given:
        if name not in DaemonSettings.__annotations__:
            raise ConfigError(f"unknown setting {name!r}", "see docs/python.md for the names")
    for name in _UNBUILT_SWITCHES:
        if given.get(name):
            raise NotBuiltError(f"{name}=True asks for a feature that is not built yet")
    for name, choices in _CHOICES.items():
        if given.get(name, choices[0]) not in choices:
            raise ConfigError(f"{name}={given[name]!r} is unknown", f"use {', '.join(choices)}")
    for name in _POSITIVE:
        if given.get(name, 1) <= 0:
            raise ConfigError(f"{name} must be above zero")


def _legacy(choice: bool | Iterable[str]) -> tuple[LegacyMode, frozenset[str]]:
    if choice is True:
        return LegacyMode.ALL, frozenset()
    if choice is False:
        return LegacyMode.OFF, frozenset()
    return LegacyMode.NAMED, frozenset([choice] if isinstance(choice, str) else choice)


def _path(path: AnyPath | None) -> Path | None:
    return None if path is None else Path(path).expanduser()


def _passphrase(text: str | None) -> Secret:
    if text is None:
        raise PassphraseError(
            "there is no passphrase", "give passphrase=..., or set IRONMESH_PASSPHRASE"
        )
    passphrase = Secret(text)
    check_length(passphrase)
    return passphrase


def _optional(text: str | None, make: Callable[[str], Secret]) -> Secret | None:
    return None if text is None else make(text)
