"""The `config.json` of the published package, taken over once into a `config.toml`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from ironmesh.errors import ConfigError, FileRefusedError
from ironmesh.files import create_private, is_writable_by_others, make_private_dir, read_bounded
from ironmesh.settings.kinds import FilePath, Value
from ironmesh.settings.sources import FILE_NAME, MAX_FILE_BYTES
from ironmesh.settings.table import BY_NAME, SECRETS, Stage
from ironmesh.settings.writing import as_toml

PUBLISHED_NAME: Final = "config.json"

_RENAMED: Final = {"agent_name": "name", "rns_enabled": "reticulum"}
_DEFAULTS: Final[dict[str, Any]] = {
    "agent_name": "agent",
    "port": 8765,
    "keys_path": "~/.ironmesh/keys.json",
    "trust_path": "~/.ironmesh/known_peers.json",
    "db_path": "~/.ironmesh/data.db",
    "routes_path": "~/.ironmesh/routes.json",
    "capabilities_path": "~/.ironmesh/capabilities.json",
    "rns_configdir": "~/.reticulum",
    "max_message_size": 1048576,
    "msg_rate_sustained": 20.0,
    "msg_rate_burst": 100,
    "conn_rate_per_minute": 10,
    "log_level": "INFO",
    "log_format": "text",
    "replay_max_age": 30.0,
    "replay_window_size": 1024,
    "heartbeat_interval": 30,
    "cleanup_interval": 3600,
    "reconnect_interval": 15,
    "queue_flush_interval": 5,
    "prune_days": 30,
    "mesh_routing": "relay",
    "max_hops": 5,
    "route_announce_interval": 30.0,
    "route_ttl": 90.0,
    "dedup_sources_max": 128,
    "dedup_per_source_max": 1024,
    "dedup_cache_ttl": 300.0,
    "capabilities": [],
    "capability_announce_interval": 60.0,
    "audit_log_max_bytes": 10485760,
    "metrics_format": "prometheus",
    "rns_enabled": False,
    "rns_announce_interval": 300.0,
    "require_message_promotion": False,
    "pending_trust_queue_cap": 100,
}
"""What the published package writes for what nobody changed."""


@dataclass(frozen=True, slots=True)
class Translation:
    """What a published file says, in our words."""

    values: dict[str, Value]
    """By the names of our settings."""
    left_out: tuple[str, ...]
    """Keys that were set and mean nothing here, or nothing yet."""
    secrets: tuple[str, ...]
    """Keys of secrets: they do not belong in a configuration file."""


def is_import_due(home: Path) -> bool:
    """Tell whether there is a published file and no `config.toml` yet."""
    return (home / PUBLISHED_NAME).exists() and not (home / FILE_NAME).exists()


def import_published(home: Path) -> str | None:
    """Take over the published file of `home`, unless there is a `config.toml`; it stays as it is.

    Returns:
        What people should know; None if there was nothing to do.

    Raises:
        ConfigError: the file cannot be used. Nothing was written.
    """
    if not is_import_due(home):
        return None
    source, target = home / PUBLISHED_NAME, home / FILE_NAME
    done = translate(_read(source), home)
    data = as_toml(done.values, f"Taken over from {PUBLISHED_NAME}, which is no longer read.")
    try:
        make_private_dir(home)
        create_private(target, data)
    except FileExistsError:
        return None  # another process was faster
    except FileRefusedError as error:
        raise ConfigError(error.what, error.fix) from error
    except OSError as error:
        raise ConfigError(
            f"{target} cannot be written ({error.strerror})", "check the folder and the disk"
        ) from error
    return _notice(source, target, done)


def translate(document: dict[str, Any], home: Path) -> Translation:
    """Return what a published configuration means here; what it left at its default is left out."""
    values: dict[str, Value] = {}
    left_out: list[str] = []
    secrets: list[str] = []
    for key, value in document.items():
        if value is None or (key in _DEFAULTS and value == _DEFAULTS[key]):
            continue
        name = _RENAMED.get(key, key)
        setting = BY_NAME.get(name)
        if name in SECRETS:
            secrets.append(key)
        elif setting is None or setting.stage is not Stage.BUILT:
            left_out.append(key)
        else:
            try:
                values[name] = setting.kind.from_toml(value, home)
            except ConfigError:
                left_out.append(key)
            else:
                if isinstance(setting.kind, FilePath):
                    values[name] = str(value)
    return Translation(values, tuple(left_out), tuple(secrets))


def _read(path: Path) -> dict[str, Any]:
    fix = f"repair it, or move it away and write {FILE_NAME} instead"
    try:
        data = read_bounded(path, MAX_FILE_BYTES)
        if is_writable_by_others(path):
            raise ConfigError(f"{path} can be changed by others", f"run chmod 600 {path}")
        return msgspec.json.decode(data, type=dict[str, Any])
    except FileRefusedError as error:
        raise ConfigError(error.what, fix) from error
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror})", "check its permissions"
        ) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is no JSON object ({error})", fix) from error


def _notice(source: Path, target: Path, done: Translation) -> str:
    parts = [f"{source} was taken over into {target}, which counts from now on"]
    if done.values:
        parts.append(f"taken over: {', '.join(done.values)}")
    if done.left_out:
        parts.append(f"not in this version and left out: {', '.join(done.left_out)}")
    if done.secrets:
        parts.append(
            f"secrets do not go there: write {', '.join(done.secrets)} in a file of its own"
        )
    return "; ".join(parts)
