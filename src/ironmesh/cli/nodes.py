"""Which node a command is about: the one that is named, or the only one."""

from __future__ import annotations

from pathlib import Path

from ironmesh.control.client import RunningNode, choose
from ironmesh.errors import ConfigError, NotRunningError
from ironmesh.settings.sources import Level, config_paths, from_file


def node_names(home: Path) -> list[str]:
    """Return the names of the nodes that have files under `home`."""
    nodes = home / "nodes"
    if not nodes.is_dir():
        return []
    return sorted(entry.name for entry in nodes.iterdir() if entry.is_dir())


def only_node(home: Path) -> str:
    """Return the name of the only node that has files under `home`.

    Raises:
        ConfigError: there is none, or there are several.
    """
    names = node_names(home)
    if len(names) == 1:
        return names[0]
    if not names:
        raise ConfigError(
            f"there is no node in {home}",
            "make one with: ironmesh setup, or ironmesh keys generate --name NAME",
        )
    raise ConfigError(f"there are several nodes: {', '.join(names)}", "choose one with --name")


def running_node(home: Path, name: str | None) -> RunningNode:
    """Return the running node of this name; without one the only one, or the configured one.

    Raises:
        NotRunningError: it does not run, or none does.
        ConfigError: several run, and nothing says which.
    """
    try:
        return choose(home, name)
    except ConfigError:
        preferred = configured_name(home) if name is None else None
        if preferred is None:
            raise
        try:
            return choose(home, preferred)
        except NotRunningError:
            pass
        raise


def configured_name(home: Path) -> str | None:
    """Return the name of a node in the configuration file for all nodes, if it has one.

    Raises:
        ConfigError: the file cannot be used.
    """
    found = from_file(config_paths(home, None)[Level.HOME_FILE], Level.HOME_FILE).get("name")
    return None if found is None else str(found.value)
