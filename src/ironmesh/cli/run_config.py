"""From settings to what `ironmesh run` starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ironmesh.cli.passphrase import node_passphrases
from ironmesh.config import NodeConfig
from ironmesh.settings.node import node_config
from ironmesh.settings.resolve import Settings


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What `run` starts, and what people should know before."""

    node: NodeConfig
    warnings: tuple[str, ...]


def run_config(settings: Settings, environ: Mapping[str, str]) -> RunConfig:
    """Return the configuration of the node, with its passphrases.

    Raises:
        ConfigError: the node has no name, or values do not go together.
        PassphraseError: there is no usable passphrase.
    """
    found = node_passphrases(settings, environ)
    return RunConfig(node_config(settings, found.secrets), (*settings.warnings, *found.warnings))
