"""What a node is told at start: one frozen, validated object.

Only the command line reads the environment; everything below gets a `NodeConfig`.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from ironmesh.errors import ConfigError
from ironmesh.types import MeshMode, NodeId, Secret, is_node_id

DEFAULT_PORT: Final = 8765
MIN_PASSPHRASE_CHARS: Final = 12
DEFAULT_MESH: Final = "ironmesh"
MAX_LEGACY_HOPS: Final = 15
"""A distance of 16 means unreachable on the 0.8 wire."""
MAX_NAME_BYTES: Final = 64
"""Our own names; names of others may be longer (256 characters on the 0.8 wire)."""

_NAME: Final = re.compile(r"(?!\.)[\w.\-]+")
_VERSION: Final = re.compile(r"ironmesh/(\d{1,6})\.(\d{1,6})(?:\.\d{1,6})*")


def check_name(name: str) -> str:
    """Return `name` if a node of ours may have it.

    Raises:
        ConfigError: empty, over 64 bytes of UTF-8, or other characters than letters, digits, `-_.`.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"the name {name!r} is not usable", "use letters, digits, '-', '_' and '.'"
        )
    if len(name.encode()) > MAX_NAME_BYTES:
        raise ConfigError(
            f"the name is longer than {MAX_NAME_BYTES} bytes", "choose a shorter --name"
        )
    return name


def check_node_id(node_id: str) -> NodeId:
    """Return a node id.

    Raises:
        ConfigError: it is none.
    """
    if not is_node_id(node_id):
        raise ConfigError(f"{node_id!r} is not a node id", "write its 32 hex digits")
    return NodeId(node_id)


def check_mesh(mesh: str) -> str:
    """Return `mesh` if a mesh may be called so; what holds for the name of a node holds here.

    Raises:
        ConfigError: it may not.
    """
    if not _NAME.fullmatch(mesh) or len(mesh.encode()) > MAX_NAME_BYTES:
        raise ConfigError(
            f"the mesh cannot be called {mesh!r}",
            f"use letters, digits, '-', '_' and '.', at most {MAX_NAME_BYTES} bytes",
        )
    return mesh


def parse_moment(text: str) -> float:
    """Return the seconds since 1970 of a date or a date with a time (ISO 8601).

    Without an offset it is the local time of this machine; a date alone is its midnight.

    Raises:
        ConfigError: it is none.
    """
    try:
        return datetime.fromisoformat(text.strip()).astimezone().timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise ConfigError(
            f"{text!r} is not a date", "write it as in 2027-01-31 or 2027-01-31T18:00"
        ) from error


def parse_protocol_version(text: str) -> tuple[int, int]:
    """Return (major, minor) of `ironmesh/X.Y[.Z]`; (0, 0) for anything else, as 0.8 nodes do."""
    match = _VERSION.fullmatch(text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


class LegacyMode(StrEnum):
    """Who may speak the published 0.8 wire with us."""

    OFF = "off"
    NAMED = "named"
    ALL = "all"


class KdfCost(msgspec.Struct, frozen=True):
    """Cost of one Argon2id derivation."""

    passes: int = 3
    memory_bytes: int = 128 * 1024 * 1024


MODERATE_KDF: Final = KdfCost()
"""A third of a second on a small server, a second on a small board: what key files use."""
MINIMAL_KDF: Final = KdfCost(passes=1, memory_bytes=8 * 1024)
"""For tests and for throw-away identities whose passphrase is random."""


class PeerAddress(msgspec.Struct, frozen=True):
    """An address of a peer that the operator gave."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> PeerAddress:
        """Parse `host:port`, `host` (port 8765), or `[ipv6]:port`.

        Raises:
            ConfigError: malformed.
        """
        match = re.fullmatch(r"(?:\[([0-9a-fA-F:.%\w]+)\]|([^:\[\]\s]+))(?::(\d{1,5}))?", text)
        port = int(match[3]) if match and match[3] else DEFAULT_PORT
        if not match or not 0 < port < 65536:
            raise ConfigError(
                f"{text!r} is not an address", "write host:port, or [address]:port for IPv6"
            )
        return cls(match[1] or match[2], port)


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a node needs to know before it starts."""

    name: str
    passphrase: Secret
    """The mesh passphrase, UTF-8, at least 12 characters."""
    mesh: str = DEFAULT_MESH
    """The public name of the mesh: nodes of other meshes are not dialled."""
    passphrase_generation: int = 0
    """Numbers the passphrase, modulo 256: one more at each change of it."""
    previous_passphrase: Secret | None = None
    """The passphrase of the generation before, while the mesh changes it."""
    previous_passphrase_until: float | None = None
    """Until when the previous passphrase is accepted, seconds since 1970."""
    home: Path = msgspec.field(default_factory=lambda: Path.home() / ".ironmesh")
    port: int = DEFAULT_PORT
    """TCP port of the listener; 0 = any free one."""
    bind: str = "0.0.0.0"  # noqa: S104 - a mesh node listens on the network
    mdns: bool = True
    allowed_peers: frozenset[str] | None = None
    """Names that may be dialled and accepted; None = no list."""
    open_discovery: bool = False
    """Dial every node of this mesh that announces itself."""
    peers: tuple[PeerAddress, ...] = ()
    """Addresses to dial, besides those that discovery finds."""
    allow_plaintext: bool = False
    """Without a certificate of the operator's: listen on ws, dial wss and then ws."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    capabilities: tuple[str, ...] = ()
    legacy: LegacyMode = LegacyMode.OFF
    legacy_names: frozenset[str] = frozenset()
    """With `LegacyMode.NAMED`: the names that may speak the 0.8 wire."""
    legacy_passphrase: Secret | None = None
    """The 0.8 wire's own passphrase; None = the mesh passphrase serves."""
    legacy_same_passphrase: bool = False
    """The mesh passphrase may serve on the 0.8 wire, however weak it is."""
    mesh_routing: MeshMode = MeshMode.RELAY
    max_hops: int = 5
    revocation_authorities: frozenset[NodeId] = frozenset()
    """Nodes that may end the identity of others, for the whole mesh."""
    """How far a message may go over nodes that speak the 0.8 wire; ours count for themselves."""
    route_announce_interval_s: float = 30.0
    """Between two announcements of routes to a neighbour on the 0.8 wire."""
    route_ttl_s: float = 90.0
    """How long a route lives that a neighbour on the 0.8 wire does not announce again."""
    allow_plain_relay: bool = False
    """Send the plain body over relays of the 0.8 wire, where nothing can be sealed for its node."""
    require_pq: bool = False
    """Refuse sessions that a quantum computer could open later: those of slow radio links."""
    keys_passphrase: Secret | None = None
    """Opens the key file, where it is not the mesh passphrase."""
    keys_path: Path | None = None
    trust_path: Path | None = None
    audit_path: Path | None = None
    min_protocol_version: str = "ironmesh/0.3"
    rekey_interval_s: float = 1800.0
    """Seconds between key changes of a session; 0 = never."""
    kdf: KdfCost = MODERATE_KDF
    """Cost of a new key file, and of the mesh secret: the same on all nodes of a mesh."""

    def __post_init__(self) -> None:
        check_name(self.name)
        check_mesh(self.mesh)
        self._check_generations()
        if not 0 <= self.port < 65536:
            raise ConfigError(f"port {self.port} is out of range", "use 1 to 65535")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError(
                "a certificate needs its key and a key its certificate",
                "give both --tls-cert and --tls-key",
            )
        if self.rekey_interval_s < 0:
            raise ConfigError("the rekey interval is negative", "use seconds, or 0 for never")
        self._check_mesh_settings()
        if parse_protocol_version(self.min_protocol_version) == (0, 0):
            raise ConfigError(
                f"{self.min_protocol_version!r} is not a protocol version", "write ironmesh/X.Y"
            )
        if self.legacy is LegacyMode.NAMED and not self.legacy_names:
            raise ConfigError(
                "no names for the 0.8 wire", "write --allow-legacy=name1,name2 or --allow-legacy"
            )

    def _check_mesh_settings(self) -> None:
        for authority in self.revocation_authorities:
            check_node_id(authority)
        if not 0 < self.max_hops <= MAX_LEGACY_HOPS:
            raise ConfigError(
                f"max_hops={self.max_hops} is out of range", f"use 1 to {MAX_LEGACY_HOPS}"
            )
        if min(self.route_announce_interval_s, self.route_ttl_s) < 1:
            raise ConfigError(
                "routes cannot be announced, or expire, that often", "use at least 1 second"
            )

    def _check_generations(self) -> None:
        if not 0 <= self.passphrase_generation < 256:
            raise ConfigError(
                f"the passphrase has no generation {self.passphrase_generation}",
                "use 0 to 255, one more than before the change; after 255 comes 0",
            )
        if self.previous_passphrase is None:
            return
        if self.previous_passphrase_until is None:
            raise ConfigError(
                "the previous passphrase has no end",
                "say until when it is accepted: --previous-passphrase-until 2027-01-31",
            )
        if _are_same(self.previous_passphrase, self.passphrase):
            raise ConfigError(
                "the previous passphrase is the present one", "leave it out, or change the other"
            )

    @property
    def is_legacy_passphrase_shared(self) -> bool:
        """The 0.8 wire, where it is on, uses the mesh passphrase."""
        own = self.legacy_passphrase
        return own is None or _are_same(own, self.passphrase)

    @property
    def node_dir(self) -> Path:
        """The folder of this node: keys, pins, audit log, certificate, socket."""
        return self.home / "nodes" / self.name

    @property
    def keys_file(self) -> Path:
        """The key file."""
        return self.keys_path or self.node_dir / "keys.json"

    @property
    def trust_file(self) -> Path:
        """The pin file."""
        return self.trust_path or self.node_dir / "known_peers.json"

    @property
    def store_dir(self) -> Path:
        """The folder of the message store."""
        return self.node_dir / "store"

    @property
    def audit_file(self) -> Path:
        """The audit log."""
        return self.audit_path or self.node_dir / "audit.log"


def _are_same(one: Secret, other: Secret) -> bool:
    return one == other
