"""How much, how often and how long: the figures of a session on our own wire."""

from __future__ import annotations

from typing import Final

PACK_MESSAGES: Final = 256
"""Messages that are written together in one record, at most."""
PACK_BYTES: Final = 64 * 1024
"""A record is closed before it exceeds this, unless one message does."""
CHUNK_BYTES: Final = 128 * 1024
"""The data of one chunk at most: what is urgent waits for no more, and each costs a signature."""
MAX_PAYLOAD_BYTES: Final = 16 * 1024 * 1024

PING_INTERVAL_S: Final = 60.0
"""A peer of which nothing arrived for so long is pinged."""
LIVENESS_TIMEOUT_S: Final = 90.0
"""A session in which nothing at all arrived for so long is over."""
RADIO_PING_INTERVAL_S: Final = 600.0
RADIO_LIVENESS_TIMEOUT_S: Final = 1800.0
UNANSWERED_PINGS: Final = 16
PONGS_PER_SECOND: Final = 1.0
PONG_BURST: Final = 10

REKEY_INTERVAL_S: Final = 600.0
RADIO_REKEY_INTERVAL_S: Final = 12 * 3600.0
LATE_STARTER: Final = 1.1
"""The node with the larger id waits so much longer, so that two rarely start at once."""
REKEY_RECORDS: Final = 2**20
REKEY_BYTES: Final = 2**30
PATIENCE: Final = 2
"""The session ends when its keys are used for so many times what they are meant for."""
MIN_PATIENCE_S: Final = 60.0
"""How long a peer has at least to take part in a change of keys."""

MAX_REASON_BYTES: Final = 256
