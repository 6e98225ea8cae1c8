"""The two halves of a record channel: one numbers, signs and seals, the other checks and opens."""

from __future__ import annotations

from typing import Final, NamedTuple

from ironmesh.crypto import hybrid, prehash
from ironmesh.crypto.identity import Identity
from ironmesh.crypto.sodium import CryptoError
from ironmesh.errors import RemoteProtocolError
from ironmesh.session.native.ratchet import Chain
from ironmesh.types import Refusal, Secret
from ironmesh.wire.native.records import (
    HEADER_BYTES,
    SIGNATURE_BYTES,
    Direction,
    Header,
    decode_header,
    encode_header,
    signed_text,
)

_PHASES: Final = 256
_NONCE_START: Final = bytes(8)
_COUNTER_AT: Final = 2


class RecordWriter:
    """Seals records; the order of calls is the order on the wire.

    Args:
        session_id: 32 bytes.
        direction: who writes.
        chain: where the record keys of phase 0 begin, 32 bytes.
    """

    __slots__ = ("_chain", "_direction", "_identity", "_phase", "_session_id", "size_bytes")

    def __init__(
        self, identity: Identity, session_id: bytes, direction: Direction, chain: Secret
    ) -> None:
        self._identity = identity
        self._session_id = session_id
        self._direction = direction
        self._phase = 0
        self._chain = Chain(chain)
        self.size_bytes = 0
        """Of the records of this phase."""

    @property
    def records(self) -> int:
        """Records of this phase."""
        return self._chain.count

    def seal(self, *messages: bytes | memoryview, is_signed: bool) -> bytes:
        """Return the record that holds messages, which are given in one part or several."""
        header = encode_header(Header(is_signed, self._phase % _PHASES, self._chain.count))
        if is_signed:
            text = signed_text(self._session_id, self._direction, header, *messages)
            messages = (*messages, self._identity.sign_prehashed(text))
        nonce = _NONCE_START + header[_COUNTER_AT:]
        plaintext = messages[0] if len(messages) == 1 else b"".join(messages)
        record = header + hybrid.seal(self._chain.take(), nonce, plaintext, header)
        self.size_bytes += len(record)
        return record

    def next_phase(self, chain: Secret) -> None:
        """Begin the next phase with the next record."""
        self._phase += 1
        self._chain = Chain(chain)
        self.size_bytes = 0


class OpenedRecord(NamedTuple):
    """What a record held."""

    messages: bytes
    is_signed: bool


class RecordReader:
    """Opens records, each exactly once and in the order in which they were sealed.

    Args:
        public: the peer's Ed25519 key, 32 bytes.
        session_id: 32 bytes.
        direction: who writes them: the peer.
        chain: where the record keys of phase 0 begin, 32 bytes.
        max_bytes: the largest record that is looked at.
    """

    __slots__ = (
        "_chain",
        "_direction",
        "_max_bytes",
        "_phase",
        "_public",
        "_session_id",
        "size_bytes",
    )

    def __init__(
        self,
        public: bytes,
        session_id: bytes,
        direction: Direction,
        chain: Secret,
        max_bytes: int,
    ) -> None:
        self._public = public
        self._session_id = session_id
        self._direction = direction
        self._max_bytes = max_bytes
        self._phase = 0
        self._chain = Chain(chain)
        self.size_bytes = 0
        """Of the records of this phase."""

    @property
    def records(self) -> int:
        """Records of this phase."""
        return self._chain.count

    def open(self, record: bytes) -> OpenedRecord:
        """Check and decrypt the next record.

        Raises:
            RemoteProtocolError: it is not the next record of the peer in this session; nothing
                can be opened after it.
        """
        header = decode_header(record, self._max_bytes)
        self._check_place(header)
        clear = record[:HEADER_BYTES]
        nonce = _NONCE_START + clear[_COUNTER_AT:]
        try:
            sealed = memoryview(record)[HEADER_BYTES:]
            opened = hybrid.open_sealed(self._chain.take(), nonce, sealed, clear)
        except CryptoError as error:
            raise RemoteProtocolError(
                Refusal.UNDECRYPTABLE, "a record that does not open"
            ) from error
        self.size_bytes += len(record)
        if not header.is_signed:
            return OpenedRecord(opened, is_signed=False)
        messages = opened[:-SIGNATURE_BYTES]
        text = signed_text(self._session_id, self._direction, clear, messages)
        if not prehash.verify(self._public, text, opened[-SIGNATURE_BYTES:]):
            raise RemoteProtocolError(
                Refusal.BAD_SIGNATURE, "a record that the peer's identity did not sign"
            )
        return OpenedRecord(messages, is_signed=True)

    def next_phase(self, chain: Secret) -> None:
        """Expect the next phase from the next record on."""
        self._phase += 1
        self._chain = Chain(chain)
        self.size_bytes = 0

    def _check_place(self, header: Header) -> None:
        """Accept the next record only: transports keep the order, so another one is foul play."""
        phase, counter = self._phase % _PHASES, self._chain.count
        if (header.phase, header.counter) == (phase, counter):
            return
        is_past = header.phase == phase and header.counter < counter
        if is_past or header.phase == (phase - 1) % _PHASES:
            raise RemoteProtocolError(Refusal.REPLAY, "a record that came before, or too late")
        raise RemoteProtocolError(
            Refusal.ORDER,
            f"record {header.phase}/{header.counter} where {phase}/{counter} comes next",
        )
