"""From settings to what a node is told."""

from __future__ import annotations

from dataclasses import dataclass

from ironmesh.config import LegacyMode, NodeConfig, PeerAddress, parse_moment
from ironmesh.settings.resolve import Settings
from ironmesh.types import MeshMode, Secret


@dataclass(frozen=True, slots=True)
class Passphrases:
    """The secrets of a node; files and variables that hold them are read elsewhere."""

    mesh: Secret
    keys: Secret | None = None
    """Opens the key file, where it is not the mesh passphrase."""
    legacy: Secret | None = None
    """Of the 0.8 wire alone."""
    previous: Secret | None = None
    """Of the mesh before its last change."""


def node_config(settings: Settings, secrets: Passphrases) -> NodeConfig:
    """Return the configuration of the node that the settings describe.

    Raises:
        ConfigError: it has no name, or values do not go together.
    """
    allowed = settings["allowed_peers"]
    until = settings["previous_passphrase_until"]
    return NodeConfig(
        name=settings.name,
        passphrase=secrets.mesh,
        mesh=settings["mesh"],
        passphrase_generation=settings["passphrase_generation"],
        previous_passphrase=secrets.previous,
        previous_passphrase_until=None if until is None else parse_moment(until),
        home=settings.home,
        port=settings["port"],
        bind=settings["bind"],
        mdns=settings["mdns"],
        allowed_peers=None if allowed is None else frozenset(allowed),
        open_discovery=settings["open_discovery"],
        peers=tuple(PeerAddress.parse(peer) for peer in settings["peers"]),
        allow_plaintext=settings["allow_plaintext_ws"],
        tls_cert=settings["tls_cert"],
        tls_key=settings["tls_key"],
        capabilities=settings["capabilities"],
        legacy=LegacyMode(settings["legacy"]),
        legacy_names=frozenset(settings["legacy_names"]),
        legacy_passphrase=secrets.legacy,
        legacy_same_passphrase=settings["legacy_same_passphrase"],
        mesh_routing=MeshMode(settings["mesh_routing"]),
        max_hops=settings["max_hops"],
        revocation_authorities=frozenset(settings["revocation_authorities"]),
        route_announce_interval_s=settings["route_announce_interval"],
        route_ttl_s=settings["route_ttl"],
        allow_plain_relay=settings["allow_plain_relay"],
        require_pq=settings["require_pq"],
        keys_passphrase=secrets.keys,
        keys_path=settings["keys_path"],
        trust_path=settings["trust_path"],
        audit_path=settings["audit_path"],
        min_protocol_version=settings["min_protocol_version"],
        rekey_interval_s=settings["rekey_interval"],
    )
