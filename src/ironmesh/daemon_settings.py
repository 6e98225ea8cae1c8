"""The keyword arguments of `BridgeDaemon` and `Agent`, and the `NodeConfig` that they mean.

The published names are all accepted and checked. A path, limit or interval of a feature that this
version does not have is unused; a switch that turns such a feature on is an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Final, TypedDict

from ironmesh.config import (
    DEFAULT_MESH,
    MODERATE_KDF,
    KdfCost,
    LegacyMode,
    NodeConfig,
    PeerAddress,
)
from ironmesh.crypto.passphrase import check_length
from ironmesh.errors import ConfigError, NotBuiltError, PassphraseError
from ironmesh.mesh.capabilities import check_capability
from ironmesh.types import MeshMode, MessagePriority, Secret

AnyPath = str | PathLike[str]
AnySecret = str | Secret

_PRIORITIES: Final = {priority.value: priority for priority in MessagePriority}


class DaemonSettings(TypedDict, total=False):
    """Settings beside name, port and passphrase; see `docs/python.md` for their meaning."""

    keys_path: AnyPath | None
    keys_passphrase: AnySecret | None
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
    mesh: str
    passphrase_generation: int
    previous_passphrase: AnySecret | None
    previous_passphrase_until: float | None
    allow_legacy: bool | Iterable[str]
    legacy_passphrase: AnySecret | None
    legacy_same_passphrase: bool
    require_pq: bool
    mesh_routing: str
    max_hops: int
    route_announce_interval: float
    route_ttl: float
    allow_plain_relay: bool
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
_FLAGS: Final = (
    *_UNBUILT_SWITCHES,
    "open_discovery",
    "allow_plaintext_ws",
    "mdns",
    "legacy_same_passphrase",
    "require_pq",
    "allow_plain_relay",
)
_PATHS: Final = (
    "keys_path",
    "tls_cert",
    "tls_key",
    "trust_path",
    "home",
    "db_path",
    "routes_path",
    "capabilities_path",
    "rns_configdir",
)
_TEXTS: Final = ("bind_address", "min_protocol_version", "gui_bind", "mesh")
_LISTS: Final = ("allowed_peers", "capabilities", "peers", "rns_connect")
_OTHER_SECRETS: Final = ("keys_passphrase", "legacy_passphrase", "previous_passphrase")
_MAY_BE_NONE: Final = (
    *_PATHS,
    "allowed_peers",
    "capabilities",
    "rns_connect",
    *_OTHER_SECRETS,
    "previous_passphrase_until",
)
_CHOICES: Final = {
    "mesh_routing": ("off", "passive", "relay"),
    "metrics_format": ("prometheus", "json"),
    "log_format": ("text", "json"),
    "log_level": ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
}
_KINDS: Final[dict[str, tuple[type, str]]] = {
    "kdf": (KdfCost, "a KdfCost"),
    "passphrase_generation": (int, "a whole number"),
    "max_hops": (int, "a whole number"),
}
_POSITIVE: Final = (
    "max_message_size",
    "route_announce_interval",
    "route_ttl",
    "capability_announce_interval",
    "audit_log_max_bytes",
    "rns_announce_interval",
    "lora_max_payload",
    "pending_trust_queue_cap",
    "previous_passphrase_until",
)


def hide_secrets(passphrase: AnySecret | None, settings: DaemonSettings) -> Secret | None:
    """Return the passphrase as a `Secret`, and put those among the settings into one, too.

    Raises:
        ConfigError: one of them is not text.
    """
    given: dict[str, Any] = settings  # type: ignore[assignment]  # names come from our own code
    for name in _OTHER_SECRETS:
        if given.get(name) is not None:
            given[name] = _secret(name, given[name])
    return None if passphrase is None else _secret("passphrase", passphrase)


def add_alias(settings: DaemonSettings, name: str, value: object, *, default: object) -> None:
    """Put the value of another parameter that means the setting `name` in.

    Raises:
        ConfigError: both are given, and differ.
    """
    given: dict[str, Any] = settings  # type: ignore[assignment]  # names come from our own code
    if value != default and given.get(name, value) != value:
        raise ConfigError(f"{name} is given twice, with two values", "give it once")
    given.setdefault(name, value)


def to_config(
    name: str, port: int, passphrase: Secret | None, settings: DaemonSettings
) -> NodeConfig:
    """Return the configuration that these arguments mean; its secrets are hidden already.

    Raises:
        PassphraseError: no passphrase, or one of fewer than 12 characters (a `ValueError`).
        NotBuiltError: a switch turns a feature on that this version does not have.
        ConfigError: an unknown setting, or a bad value (a `ValueError`).
    """
    _check(name, port, settings)
    given: Mapping[str, Any] = {key: value for key, value in settings.items() if value is not None}
    legacy, legacy_names = _legacy(given)
    if "previous_passphrase_until" in given and "previous_passphrase" not in given:
        raise ConfigError(
            "previous_passphrase_until ends a passphrase that is not given",
            "give previous_passphrase=..., or leave it out",
        )
    return NodeConfig(
        name=name,
        port=port,
        passphrase=_long_enough(passphrase),
        mesh=given.get("mesh", DEFAULT_MESH),
        passphrase_generation=given.get("passphrase_generation", 0),
        previous_passphrase=_optional(given.get("previous_passphrase"), _long_enough),
        previous_passphrase_until=given.get("previous_passphrase_until"),
        home=_path(given.get("home")) or Path.home() / ".ironmesh",
        bind=given.get("bind_address", "0.0.0.0"),  # noqa: S104 - a mesh listens on the network
        mdns=given.get("mdns", True),
        allowed_peers=_names("allowed_peers", given.get("allowed_peers")),
        open_discovery=given.get("open_discovery", False),
        peers=tuple(map(PeerAddress.parse, _texts("peers", given.get("peers", ())))),
        allow_plaintext=given.get("allow_plaintext_ws", False),
        tls_cert=_path(given.get("tls_cert")),
        tls_key=_path(given.get("tls_key")),
        capabilities=tuple(
            map(check_capability, _texts("capabilities", given.get("capabilities", ())))
        ),
        legacy=legacy,
        legacy_names=legacy_names,
        legacy_passphrase=_optional(given.get("legacy_passphrase"), _long_enough),
        legacy_same_passphrase=given.get("legacy_same_passphrase", False),
        mesh_routing=MeshMode(given.get("mesh_routing", MeshMode.RELAY)),
        max_hops=given.get("max_hops", 5),
        route_announce_interval_s=float(given.get("route_announce_interval", 30.0)),
        route_ttl_s=float(given.get("route_ttl", 90.0)),
        allow_plain_relay=given.get("allow_plain_relay", False),
        require_pq=given.get("require_pq", False),
        keys_passphrase=given.get("keys_passphrase"),
        keys_path=_path(given.get("keys_path")),
        trust_path=_path(given.get("trust_path")),
        min_protocol_version=given.get("min_protocol_version", "ironmesh/0.3"),
        rekey_interval_s=float(given.get("rekey_interval", 1800.0)),
        kdf=given.get("kdf", MODERATE_KDF),
    )


def to_priority(text: str) -> MessagePriority:
    """Return the priority of this name.

    Raises:
        ConfigError: there is none.
    """
    try:
        return _PRIORITIES[text.upper()]
    except (KeyError, AttributeError) as error:
        raise ConfigError(
            f"{text!r} is not a priority", f"use {', '.join(MessagePriority)}"
        ) from error


def _check(name: object, port: object, given: Mapping[str, Any]) -> None:
    _check_names(given)
    _check_kind("name", name, str, "text")
    if not isinstance(port, int) or isinstance(port, bool):
        raise ConfigError(f"port={port!r} is not a whole number", "use 1 to 65535, or 0 for any")
    for switch in _UNBUILT_SWITCHES:
        if given.get(switch):
            raise NotBuiltError(
                f"{switch}=True asks for a feature that this version does not have",
                "leave it out",
            )
    for key, value in given.items():
        if value is not None:
            _check_value(key, value)
        elif key not in _MAY_BE_NONE:
            raise ConfigError(f"{key}=None says nothing", "leave it out, or give a value")


def _check_names(given: Mapping[str, Any]) -> None:
    for name in given:
        if name not in DaemonSettings.__annotations__:
            import difflib  # a mistake is worth the time

            near = difflib.get_close_matches(name, DaemonSettings.__annotations__, 1)
            fix = f"did you mean {near[0]}?" if near else "see docs/python.md for the names"
            raise ConfigError(f"there is no setting {name!r}", fix)


def _check_value(name: str, value: object) -> None:
    if name in _FLAGS:
        _check_kind(name, value, bool, "True or False")
    elif name in _PATHS:
        _check_kind(name, value, str | PathLike, "a path")
        if not str(value):
            raise ConfigError(f"{name} is empty", "leave it out, or give a path")
    elif name in _TEXTS:
        _check_kind(name, value, str, "text")
    elif name in _LISTS:
        _check_list(name, value)
    elif name in _CHOICES:
        if value not in _CHOICES[name]:
            raise ConfigError(f"{name}={value!r} is unknown", f"use {', '.join(_CHOICES[name])}")
    elif name in _KINDS:
        _check_kind(name, value, *_KINDS[name])
    elif name in _POSITIVE or name == "rekey_interval":
        _check_number(name, value)


def _check_number(name: str, value: object) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):  # type: ignore[arg-type]  # it is a number
        raise ConfigError(f"{name}={value!r} is not a number", "use a number")
    if name in _POSITIVE and value <= 0:  # type: ignore[operator]  # it is a number
        raise ConfigError(f"{name}={value!r} is not above zero", "use a larger number")


def _check_kind(name: str, value: object, kind: Any, what: str) -> None:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"{name}={value!r} is not {what}", f"use {what}")


def _check_list(name: str, value: object) -> None:
    # One text would otherwise count as a list of its letters.
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigError(f"{name}={value!r} is not a list of texts", f"write {name}=[...]")


def _legacy(given: Mapping[str, Any]) -> tuple[LegacyMode, frozenset[str]]:
    choice = given.get("allow_legacy")
    if choice is None:
        return LegacyMode.OFF, frozenset()
    if isinstance(choice, bool):
        return (LegacyMode.ALL if choice else LegacyMode.OFF), frozenset()
    if not isinstance(choice, Iterable) or isinstance(choice, str):
        raise ConfigError(
            f"allow_legacy={choice!r} is unknown", "use True, False or a list of names"
        )
    return LegacyMode.NAMED, frozenset(_texts("allow_legacy", choice))


def _names(setting: str, names: Iterable[object] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(_texts(setting, names))


def _texts(setting: str, values: Iterable[object]) -> tuple[str, ...]:
    texts = []
    for value in values:
        if not isinstance(value, str):
            raise ConfigError(f"{setting} holds {value!r}, which is not text", "write it in quotes")
        texts.append(value)
    return tuple(texts)


def _path(path: AnyPath | None) -> Path | None:
    return None if path is None else Path(path).expanduser().absolute()


def _secret(name: str, text: object) -> Secret:
    if isinstance(text, Secret):
        return text
    if not isinstance(text, str):
        raise ConfigError(f"{name} is not text", "use text")
    return Secret(text)


def _long_enough(passphrase: Secret | None) -> Secret:
    if not passphrase:
        raise PassphraseError("there is no passphrase", "give passphrase=...")
    check_length(passphrase)
    return passphrase


def _optional(secret: Secret | None, check: Callable[[Secret], Secret]) -> Secret | None:
    return None if secret is None else check(secret)
