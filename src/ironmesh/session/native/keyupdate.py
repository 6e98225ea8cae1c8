"""Fresh keys within a session (docs/protocol-records.md, "Key update").

    starter  -> answerer   KEY_UPDATE    its fresh public keys
    answerer -> starter    KEY_ANSWER    its own and the ciphertext; last record of the old phase
    starter  -> answerer   KEY_UPDATED   its last record of the old phase

Neither side ever holds messages back: each goes on in the old phase until its own last record.
"""

from __future__ import annotations

from enum import Enum
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

from ironmesh.crypto import hybrid
from ironmesh.crypto.sodium import CryptoError
from ironmesh.errors import LocalProtocolError, RemoteProtocolError
from ironmesh.session.native.keys import SessionKeys
from ironmesh.types import NodeId, Random, Refusal, Secret
from ironmesh.wire.native.records import Direction
from ironmesh.wire.native.registry import ControlType

_LABEL: Final = b"ironmesh v5 key update"


class UpdateState(Enum):
    """Where a key change stands."""

    SETTLED = "settled"
    OFFERED = "offered"
    """We started one; the peer has not answered."""
    ANSWERED = "answered"
    """The peer started one and has our answer, or will; its last old record is still to come."""
    AGREED = "agreed"
    """The peer answered; our last old record is still to be written."""


class Outgoing(NamedTuple):
    """A control message to be written; with `chain`, the last one of the old phase."""

    kind: ControlType
    body: bytes
    chain: Secret | None


class _Offer(msgspec.Struct, frozen=True):
    body: bytes
    x25519: hybrid.X25519Pair
    kem: hybrid.KemPair | None


class _Chains(NamedTuple):
    """Where the record keys of the next phase begin."""

    own: Secret
    peer: Secret


class KeyUpdate:
    """The key changes of one session.

    Args:
        is_hybrid: both ends add an ML-KEM-768 secret to each change.
    """

    __slots__ = (
        "_chains",
        "_has_won",
        "_is_hybrid",
        "_is_initiator",
        "_offer",
        "_random",
        "_root",
        "_session_id",
        "_waiting",
        "_wins_ties",
        "count",
        "state",
    )

    def __init__(
        self,
        keys: SessionKeys,
        own_id: NodeId,
        peer_id: NodeId,
        random: Random,
        *,
        is_hybrid: bool,
    ) -> None:
        self._root = keys.root
        self._session_id = keys.session_id
        self._is_initiator = keys.is_initiator
        self._is_hybrid = is_hybrid
        self._wins_ties = own_id < peer_id
        self._random = random
        self._offer: _Offer | None = None
        self._has_won = False
        self._chains: _Chains | None = None
        self._waiting: Outgoing | None = None
        self.state = UpdateState.SETTLED
        self.count = 0
        """Changes that both sides agreed on."""

    @property
    def has_control(self) -> bool:
        """`take_control` has something to write."""
        return self._waiting is not None

    def start(self) -> bool:
        """Queue a KEY_UPDATE; False if a change is under way."""
        if self.state is not UpdateState.SETTLED:
            return False
        x25519 = hybrid.X25519Pair.generate(self._random)
        kem = hybrid.KemPair.generate(self._random) if self._is_hybrid else None
        body = x25519.public + (kem.public if kem else b"")
        self._offer = _Offer(body, x25519, kem)
        self._waiting = Outgoing(ControlType.KEY_UPDATE, body, None)
        self._has_won = False
        self.state = UpdateState.OFFERED
        return True

    def take_control(self) -> Outgoing:
        """Return what is to be written now."""
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            raise LocalProtocolError("no key change is waiting")
        if waiting.kind is ControlType.KEY_UPDATED:
            self.state = UpdateState.SETTLED
        return waiting

    def on_offer(self, body: bytes) -> None:
        """Take the peer's KEY_UPDATE; of two that cross, that of the smaller node id stands.

        Raises:
            RemoteProtocolError: malformed, or out of turn.
        """
        is_crossing = self.state is UpdateState.OFFERED and not self._has_won
        if is_crossing and self._wins_ties:
            self._has_won = True
            return
        if self.state is not UpdateState.SETTLED and not is_crossing:
            raise _out_of_turn(ControlType.KEY_UPDATE)
        x25519_public, kem_public = self._split(body, hybrid.KEM_PUBLIC_BYTES)
        own = hybrid.X25519Pair.generate(self._random)
        try:
            secrets = own.agree(x25519_public)
            answer = own.public
            if self._is_hybrid:
                kem = hybrid.encapsulate(kem_public)
                secrets += kem.secret
                answer += kem.ciphertext
        except CryptoError as error:
            raise RemoteProtocolError(Refusal.PROTOCOL, error.what) from error
        self._chains = self._derive(secrets, body, answer, is_ours=False)
        self._waiting = Outgoing(ControlType.KEY_ANSWER, answer, self._chains.own)
        self._offer = None
        self.state = UpdateState.ANSWERED

    def on_answer(self, body: bytes) -> Secret:
        """Take the peer's KEY_ANSWER; return where its next record keys begin.

        Raises:
            RemoteProtocolError: malformed, or it answers nothing.
        """
        offer = self._offer
        if self.state is not UpdateState.OFFERED or offer is None or self._waiting is not None:
            raise _out_of_turn(ControlType.KEY_ANSWER)
        x25519_public, ciphertext = self._split(body, hybrid.KEM_CIPHERTEXT_BYTES)
        try:
            secrets = offer.x25519.agree(x25519_public)
            if offer.kem is not None:
                secrets += offer.kem.open(ciphertext)
        except CryptoError as error:
            raise RemoteProtocolError(Refusal.PROTOCOL, error.what) from error
        chains = self._derive(secrets, offer.body, body, is_ours=True)
        self._waiting = Outgoing(ControlType.KEY_UPDATED, b"", chains.own)
        self._offer = None
        self.state = UpdateState.AGREED
        return chains.peer

    def on_updated(self, body: bytes) -> Secret:
        """Take the peer's KEY_UPDATED; return where its next record keys begin.

        Raises:
            RemoteProtocolError: malformed, or out of turn.
        """
        if self.state is not UpdateState.ANSWERED or self._waiting is not None or body:
            raise _out_of_turn(ControlType.KEY_UPDATED)
        chains, self._chains = self._chains, None
        if chains is None:
            raise LocalProtocolError("a key change without keys")
        self.state = UpdateState.SETTLED
        return chains.peer

    def forget(self) -> None:
        """Drop every key."""
        self._root = Secret(b"")
        self._offer = self._chains = self._waiting = None

    def _split(self, body: bytes, kem_bytes: int) -> tuple[bytes, bytes]:
        size = hybrid.X25519_BYTES + (kem_bytes if self._is_hybrid else 0)
        if len(body) != size:
            raise RemoteProtocolError(
                Refusal.BAD_BODY, f"a key change of {len(body)} bytes, where {size} were agreed"
            )
        return body[: hybrid.X25519_BYTES], body[hybrid.X25519_BYTES :]

    def _derive(self, secrets: bytes, offer: bytes, answer: bytes, *, is_ours: bool) -> _Chains:
        """Replace the root; both messages and who started are part of what follows from it."""
        is_by_initiator = is_ours == self._is_initiator
        starter = Direction.FROM_INITIATOR if is_by_initiator else Direction.FROM_RESPONDER
        said = b"".join((_LABEL, self._session_id, bytes((starter,)), offer, answer))
        digest = sha256(said).digest()
        key = hybrid.extract(self._root.reveal(), secrets)
        self._root = Secret(hybrid.expand(key, b"root" + digest))
        initiator = Secret(hybrid.expand(key, b"i2r" + digest))
        responder = Secret(hybrid.expand(key, b"r2i" + digest))
        self.count += 1
        return (
            _Chains(initiator, responder) if self._is_initiator else _Chains(responder, initiator)
        )


def _out_of_turn(kind: ControlType) -> RemoteProtocolError:
    return RemoteProtocolError(Refusal.PROTOCOL, f"a {kind.name} out of turn")
