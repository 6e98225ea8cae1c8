"""The words that every room shares: names, ids, priorities, messages, and secrets.

This module sits below everything else and imports nothing of the project.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple, NewType, final

import msgspec

NodeId = NewType("NodeId", str)
"""First 32 hex digits of SHA-256 over the 32-byte Ed25519 public key, lowercase."""

MessageId = NewType("MessageId", bytes)
"""16 bytes: epoch (8, random for each outbox and destination) and number (8, counts up)."""

Unit = bytes | str
"""What one transport message carries: text during the 0.8 handshake, bytes otherwise."""

Random = Callable[[int], bytes]
"""A source of randomness: how many bytes are wanted, in; that many bytes, out."""

NO_ID: Final = MessageId(bytes(16))
"""Of what neighbours say to each other: nobody receipts it."""

_NODE_ID: Final = re.compile(r"[0-9a-f]{32}")


def is_node_id(text: str) -> bool:
    """Tell whether `text` has the shape of a node id (32 lowercase hex digits)."""
    return _NODE_ID.fullmatch(text) is not None


def message_id_text(message_id: MessageId) -> str:
    """Return the UUID text (36 characters) of a 16-byte id, as users and the 0.8 wire see it."""
    digits = message_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class Instant(msgspec.Struct, frozen=True, gc=False):
    """One moment on two clocks; the core is given it and never reads a clock of its own."""

    mono: float
    """Monotonic seconds: for timers and durations."""
    wall: float
    """Seconds since 1970: only where the wire or a person needs them."""


class MessagePriority(StrEnum):
    """How urgent a message is; a link drains the most urgent first."""

    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


PRIORITIES: Final = (
    MessagePriority.CRITICAL,
    MessagePriority.HIGH,
    MessagePriority.NORMAL,
    MessagePriority.LOW,
)
"""All priorities, the most urgent first: the order in which a link drains its queues."""


class MessageType(StrEnum):
    """Message types of the 0.8 surface; any other non-empty string is an application's own type."""

    HELLO = "HELLO"
    GOODBYE = "GOODBYE"
    MSG = "MSG"
    ACK = "ACK"
    PING = "PING"
    PONG = "PONG"
    ERROR = "ERROR"
    PASSPHRASE_CHALLENGE = "PASSPHRASE_CHALLENGE"
    PASSPHRASE_VERIFIED = "PASSPHRASE_VERIFIED"
    PASSPHRASE_REJECTED = "PASSPHRASE_REJECTED"
    KEY_ROTATE = "KEY_ROTATE"
    REKEY_REQUEST = "REKEY_REQUEST"
    REKEY_RESPONSE = "REKEY_RESPONSE"
    REVOCATION = "REVOCATION"
    REQ = "REQ"
    RESP = "RESP"
    HEARTBEAT = "HEARTBEAT"
    HEALTH = "HEALTH"
    DISCOVER = "DISCOVER"
    DISCOVER_RESP = "DISCOVER_RESP"
    SYS = "SYS"
    RATE_LIMITED = "RATE_LIMITED"
    PEER_INFO = "PEER_INFO"
    ROUTE_ANNOUNCE = "ROUTE_ANNOUNCE"
    ROUTE_UNREACHABLE = "ROUTE_UNREACHABLE"
    CAPABILITY_ANNOUNCE = "CAPABILITY_ANNOUNCE"
    CAPABILITY_QUERY = "CAPABILITY_QUERY"
    CONV = "CONV"


class MeshType(StrEnum):
    """What neighbours say to each other to make a mesh; only the native wire carries it."""

    NODE_RECORDS = "NODE_RECORDS"
    PARCEL = "PARCEL"
    ROUTES = "ROUTES"
    ROUTE_DIGEST = "ROUTE_DIGEST"
    ROUTE_REQUEST = "ROUTE_REQUEST"
    RECORD_REQUEST = "RECORD_REQUEST"
    UNREACHABLE = "UNREACHABLE"
    TRACE = "TRACE"
    TRACE_REPLY = "TRACE_REPLY"


BRIDGED: Final = "BRIDGED"
"""The type of messages in which a bridge hands over what somebody wrote for the 0.8 wire."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message between two nodes, whatever wire carries it."""

    id: MessageId
    type: str
    payload: bytes
    source: NodeId
    """Who wrote it: not always the peer that handed it over."""
    destination: NodeId
    priority: MessagePriority = MessagePriority.NORMAL
    timestamp_ms: int = 0
    """When the source wrote it, by the source's clock; for people only."""


class Endpoint(NamedTuple):
    """An address to listen on or to dial."""

    host: str
    """A name or an address without brackets; a link-local IPv6 address keeps its zone (`%eth0`)."""
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class WireKind(StrEnum):
    """Which of our two wires a link speaks."""

    LEGACY = "legacy"
    """The published 0.8 wire."""
    NATIVE = "native"
    """Wire version 5."""


class LinkInfo(msgspec.Struct, frozen=True):
    """All that anything above `session` may know of how a link works."""

    peer: NodeId
    peer_name: str
    wire: WireKind
    protocol_version: str
    """As the peer stated it, for people: `ironmesh/0.6`."""
    max_payload_bytes: int
    """The largest payload that one message may have on this link."""
    frames_per_second: float = 0.0
    """Frames that the peer takes without dropping any; 0 = no limit."""
    frame_burst: int = 0
    """Frames that the peer takes at once above that rate."""
    piece_bytes: int = 0
    """Larger payloads are written in pieces of at most so much; 0 = every message as a whole."""
    peer_clock_ms: int = 0
    """What the peer's clock showed in the handshake, ms since 1970, for records; 0 = untold."""

    @property
    def is_ours(self) -> bool:
        """The peer runs this implementation: none other speaks the native wire."""
        return self.wire is WireKind.NATIVE


class MeshMode(StrEnum):
    """What a node does for others."""

    OFF = "off"
    """It knows its direct peers only."""
    PASSIVE = "passive"
    """It uses routes, and is none."""
    RELAY = "relay"
    """It hands on what is for others."""


class Refusal(StrEnum):
    """Why a peer or one of its messages was turned away. The value is the name of its counter."""

    # A connection or a handshake, and with it the peer:
    AUTH_FAILED = "auth_failed"
    BLOCKED = "blocked"
    BUSY = "busy"
    CERTIFICATE_CHANGED = "certificate_changed"
    DOWNGRADED = "downgraded"
    DUPLICATE = "duplicate"
    IDENTITY_CHANGED = "identity_changed"
    LEGACY_REFUSED = "legacy_refused"
    LIMIT = "limit"
    LOCKED_OUT = "locked_out"
    NOT_ALLOWED = "not_allowed"
    NOT_WEBSOCKET = "not_websocket"
    PROTOCOL = "protocol"
    REFLECTED = "reflected"
    REVOKED = "revoked"
    SELF = "self"
    SHUTTING_DOWN = "shutting_down"
    TIMEOUT = "timeout"
    TRUST_FILE = "trust_file"
    """The pin file is damaged, so nobody can be judged."""
    UNEXPECTED_IDENTITY = "unexpected_identity"
    VERSION_TOO_OLD = "version_too_old"
    # One unit or message of an established session:
    BAD_BODY = "bad_body"
    BAD_SIGNATURE = "bad_signature"
    CLOCK_SKEW = "clock_skew"
    HEADER_MISMATCH = "header_mismatch"
    NOT_FOR_US = "not_for_us"
    ORDER = "order"
    PREKEY_UNKNOWN = "prekey_unknown"
    REPLAY = "replay"
    SOURCE_FORGED = "source_forged"
    SOURCE_UNKNOWN = "source_unknown"
    TOO_LARGE = "too_large"
    TRUNCATED = "truncated"
    UNDECRYPTABLE = "undecryptable"
    UNSIGNED = "unsigned"


@final
class Secret:
    """Bytes that must not show: not in a log, not in a traceback, not in a repr.

    Args:
        value: the secret bytes, or text, which becomes UTF-8.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes | str) -> None:
        self._value = value.encode() if isinstance(value, str) else bytes(value)

    def reveal(self) -> bytes:
        """Return the bytes; call it only where they are used."""
        return self._value

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        import hmac  # hardly ever needed, and OpenSSL's hashes come with it

        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        raise TypeError("a Secret is not hashable")

    def __len__(self) -> int:
        return len(self._value)

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not written to disk or sent to another process")
