"""The challenges that a node issued or answered lately.

The 0.8 proofs do not name who proves to whom: the client's is an HMAC of the nonce, the server's
one of the reversed nonce. Somebody without the passphrase who is dialled by a node, or dials it,
could hand one of its own challenges back to it, or a reversed one, and pass the answer on. So a
node answers no challenge that it issued, and none twice, in either byte order.
"""

from __future__ import annotations

from typing import Final

from ironmesh.errors import HandshakeError
from ironmesh.types import Refusal

REMEMBERED_S: Final = 120.0
"""Longer than any handshake may take."""
MAX_NONCES: Final = 16_384


class NonceLedger:
    """Remembers nonces for `REMEMBERED_S`, at most `MAX_NONCES` of them."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[bytes, tuple[float, Refusal]] = {}

    def issue(self, nonce: bytes, mono: float) -> None:
        """Remember a nonce that we issue."""
        self._remember(nonce, mono, Refusal.SELF)

    def answer(self, nonce: bytes, mono: float) -> None:
        """Remember a nonce that we are about to answer.

        Raises:
            HandshakeError: SELF: this node issued it; REFLECTED: this node answered it already.
        """
        seen = self._seen.get(nonce) or self._seen.get(nonce[::-1])
        if seen is None:
            self._remember(nonce, mono, Refusal.REFLECTED)
        elif seen[1] is Refusal.SELF:
            raise HandshakeError(
                Refusal.SELF,
                "the peer's challenge is this node's own",
                "the address leads to this node: remove it",
            )
        else:
            raise HandshakeError(
                Refusal.REFLECTED, "the peer's challenge is one that this node answered before"
            )

    def __len__(self) -> int:
        return len(self._seen)

    def _remember(self, nonce: bytes, mono: float, reason: Refusal) -> None:
        while self._seen:
            oldest = next(iter(self._seen))
            if len(self._seen) < MAX_NONCES and mono - self._seen[oldest][0] < REMEMBERED_S:
                break
            del self._seen[oldest]
        self._seen[nonce] = (mono, reason)
