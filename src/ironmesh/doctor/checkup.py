"""All checks, in the order in which a person wants to read them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from ironmesh.doctor import files, identity, machine, messages, network
from ironmesh.doctor.finding import Finding, fail, warn
from ironmesh.doctor.identity import KnownPassphrase
from ironmesh.errors import ConfigError, IronMeshError
from ironmesh.settings.node import Passphrases, node_config
from ironmesh.settings.resolve import Settings
from ironmesh.types import Secret

_UNKNOWN: Final = Secret("not known, and never used")
"""Stands for a passphrase where only the paths of a configuration count."""


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined.

    Args:
        names: the nodes to look at.
        settings_of: the settings of a node; raises `ConfigError`.
        passphrase_of: its mesh passphrase, without asking anybody.
        keys_passphrase_of: what opens its key file, where it is another one; raises
            `PassphraseError`.
    """

    home: Path
    names: tuple[str, ...]
    environ: Mapping[str, str]
    known_variables: frozenset[str]
    settings_of: Callable[[str], Settings]
    passphrase_of: Callable[[Settings], KnownPassphrase]
    keys_passphrase_of: Callable[[Settings], Secret | None]


def examine(patient: Patient) -> Iterator[Finding]:
    """Yield every finding, each as soon as it is there."""
    home = patient.home
    yield machine.check_python()
    yield machine.check_libraries()
    yield machine.check_clock(time.time(), files.newest_file(home))
    yield machine.check_disk(home)
    yield from machine.check_variables(patient.environ, patient.known_variables)
    yield files.check_home(home)
    yield from files.check_modes(home)
    yield from files.check_configuration(home, list(patient.names))
    if not patient.names:
        yield warn("nodes", f"there is no node in {home}", "ironmesh setup")
    for name in patient.names:
        for finding in _examine_node(patient, name):
            yield msgspec.structs.replace(finding, node=name)


def _examine_node(patient: Patient, name: str) -> Iterator[Finding]:
    state, running = network.check_running(patient.home / "nodes" / name)
    yield from running
    try:
        settings = patient.settings_of(name)
        known = patient.passphrase_of(settings)
        config = node_config(settings, _secrets(patient, settings, known))
    except IronMeshError as error:
        # What a file says wrongly stands above; here it is what does not go together.
        if not isinstance(error, ConfigError) or "config.toml:" not in error.what:
            yield fail("settings", error.what, error.fix)
        return
    yield network.check_port(name, config.bind, config.port, state)
    yield machine.check_multicast(config.bind, is_mdns_on=config.mdns)
    yield from identity.check_passphrase(name, known)
    yield from identity.check_wires(config)
    has_passphrase = known.secret is not None or config.keys_passphrase is not None
    yield from identity.check_identity(config, has_passphrase=has_passphrase)
    yield messages.check_store(config)


def _secrets(patient: Patient, settings: Settings, known: KnownPassphrase) -> Passphrases:
    return Passphrases(known.secret or _UNKNOWN, patient.keys_passphrase_of(settings))
