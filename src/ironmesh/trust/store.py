"""What the node asks about peers and tells of them: the book of pins, kept in its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ironmesh.crypto.identity import node_id_of
from ironmesh.errors import FileRefusedError, TrustFileError
from ironmesh.files import read_bounded
from ironmesh.trust.book import TrustBook, Verdict, admitted_pin
from ironmesh.trust.file import MAX_FILE_BYTES, TrustFile
from ironmesh.trust.pins import Pin, Revocation, TrustState
from ironmesh.types import Instant, NodeId, Secret

if TYPE_CHECKING:
    from ironmesh.session.interface import PeerClaim

FLUSH_S: Final = 60.0
"""How long a mere `last_seen` may wait before it is written."""


class TrustStore:
    """All pins of one node. Every call is quick and synchronous; use it from one thread.

    Other processes may change the file meanwhile: every call sees it as it is now. While the file
    is damaged every call raises `TrustFileError`, so nobody is admitted, and nothing is written.

    Args:
        path: the pin file; its folder exists and is private.
        data_key: the node's data key, 32 bytes.
        identity_seed: the node's Ed25519 seed; opens a file of the published package.
    """

    def __init__(self, path: Path, data_key: Secret, identity_seed: Secret | None = None) -> None:
        self._file = TrustFile(path, data_key, identity_seed)
        self._seed = identity_seed
        self._seen: dict[NodeId, float] = {}
        """When peers were last seen (wall clock), as far as it is not yet written."""
        self._flush_at = 0.0

    def check(self) -> None:
        """Read the file now; call it at start.

        Raises:
            TrustFileError: the file is damaged or was edited.
        """
        self._file.read()

    def take_notices(self) -> list[str]:
        """Return, once, what the operator should know about the file, each one line."""
        notices, self._file.notices = self._file.notices, []
        return notices

    # --- Questions ---------------------------------------------------------------------------

    def judge(self, claim: PeerClaim) -> Verdict:
        """Say whether the peer of a verified handshake may come in; changes nothing."""
        return self._file.read().judge(claim)

    def list_pins(self) -> list[Pin]:
        """Return all pins, by name."""
        pins = _with_seen(self._file.read(), self._seen).pins.values()
        return sorted(pins, key=lambda pin: (pin.name, pin.node_id))

    def list_revoked(self) -> list[Revocation]:
        """Return all revocations, the oldest first."""
        return sorted(self._file.read().revoked.values(), key=lambda record: record.timestamp)

    def get(self, name_or_id: str) -> Pin:
        """Return the pin of a node id or a name.

        Raises:
            UnknownPeerError: nobody is pinned by it; the text lists names that come near.
        """
        pin = self._file.read().find(name_or_id)
        last_seen = max(pin.last_seen, self._seen.get(pin.node_id, 0.0))
        return msgspec.structs.replace(pin, last_seen=last_seen)

    def public_key(self, node_id: NodeId) -> bytes | None:
        """Return the Ed25519 public key (32 bytes) pinned for a node id."""
        pin = self._file.read().pins.get(node_id)
        return pin.public if pin else None

    def is_revoked(self, node_id: NodeId) -> bool:
        """Tell whether this key must not come back."""
        return node_id in self._file.read().revoked

    # --- The node's changes ------------------------------------------------------------------

    def admit(
        self, claim: PeerClaim, now: Instant, *, state: TrustState = TrustState.TRUSTED
    ) -> Verdict:
        """Judge the peer of a verified handshake and, unless it is refused, pin it or note it.

        Judging and pinning are one step between processes: of two keys that give the same new name
        one is admitted.

        Args:
            claim: what the peer proved and said.
            now: the present.
            state: what a new peer may do.

        Returns:
            The verdict; `verdict.refusal` is None if the peer was admitted.
        """
        verdict = self._file.read().judge(claim)
        if verdict.refusal is not None:
            return verdict
        if not _is_mere_sight(verdict, claim, now):
            return self._admit_in_file(claim, now, state)
        if not self._seen:
            self._flush_at = now.mono + FLUSH_S
        self._seen[claim.node_id] = now.wall
        if now.mono >= self._flush_at:
            self.flush()
        return verdict

    def _admit_in_file(self, claim: PeerClaim, now: Instant, state: TrustState) -> Verdict:
        verdicts: list[Verdict] = []

        def change(book: TrustBook) -> TrustBook:
            verdict = book.judge(claim)
            verdicts.append(verdict)
            return book if verdict.refusal else book.admit(claim, now, state=state)

        book = self._file.update(change)
        return msgspec.structs.replace(verdicts[0], pin=book.pins.get(claim.node_id))

    def remember_tls(self, node_id: NodeId, fingerprint: str | None) -> bool:
        """Note the SHA-256 (64 hex digits) of the certificate seen with this key; True if new.

        Raises:
            UnknownPeerError: the key is not pinned.
        """
        pin = self._file.read().pins.get(node_id)
        if pin is not None and pin.tls_fingerprint == fingerprint:
            return False
        return self._change(lambda book: book.remember_tls(node_id, fingerprint))

    # --- The operator's changes --------------------------------------------------------------

    def pin(
        self,
        public: bytes,
        name: str,
        now: Instant,
        *,
        state: TrustState = TrustState.TRUSTED,
        verified: bool = True,
    ) -> Pin:
        """Pin a key (Ed25519, 32 bytes) that the operator got by another way.

        Raises:
            TrustError: not a key, the key is revoked, or the name is another key's.
        """
        self._change(lambda book: book.pin(public, name, now, state=state, verified=verified))
        return self._file.read().pins[node_id_of(public)]

    def forget(self, name_or_id: str) -> Pin:
        """Remove a pin and return it: its name is free, its key is new again.

        Raises:
            UnknownPeerError: there is none.
        """
        pin = self.get(name_or_id)
        self._change(lambda book: book.forget(pin.node_id))
        return pin

    def revoke(self, name_or_id: str, revoker: NodeId, now: Instant, reason: str = "") -> bool:
        """Refuse a key from now on, and remove its pin; False if it was revoked already.

        Raises:
            UnknownPeerError: neither a node id, nor a name that somebody is pinned by.
        """
        return self._change(lambda book: book.revoke(name_or_id, revoker, now, reason))

    def unrevoke(self, node_id: NodeId) -> None:
        """Take a revocation back; the key is then an unknown one.

        Raises:
            UnknownPeerError: it is not revoked.
        """
        self._change(lambda book: book.unrevoke(node_id))

    def set_state(self, name_or_id: str, state: TrustState) -> bool:
        """Let a pinned peer do more or less; of several callers one gets True, the one who did it.

        Raises:
            UnknownPeerError: nobody is pinned by this name or id.
        """
        return self._change(lambda book: book.set_state(name_or_id, state))

    def set_verified(self, name_or_id: str, *, verified: bool = True) -> bool:
        """Note that the operator compared the fingerprint; True if that is news.

        Raises:
            UnknownPeerError: nobody is pinned by this name or id.
        """
        return self._change(lambda book: book.set_verified(name_or_id, verified))

    def confirm(self, name_or_id: str, fingerprint: NodeId) -> Pin:
        """Note that the operator got this fingerprint from the peer's own by another way.

        Returns:
            The pin, verified, and no longer pending.

        Raises:
            UnknownPeerError: nobody is pinned by this name or id.
            TrustError: the pinned key has another fingerprint.
        """
        self._change(lambda book: book.confirm(name_or_id, fingerprint))
        return self._file.read().pins[fingerprint]

    def adopt(self, path: Path) -> list[str]:
        """Take over the pins of a published file elsewhere, which stays as it is.

        Returns:
            What the operator should know, each one line.

        Raises:
            TrustFileError: that file is damaged, was edited, or belongs to another identity.
        """
        from ironmesh.trust.published import read_published

        try:
            published = read_published(read_bounded(path, MAX_FILE_BYTES), self._seed)
        except FileRefusedError as error:
            raise TrustFileError(error.what, error.fix) from error
        except OSError as error:
            raise TrustFileError(f"{path} cannot be read ({error.strerror})") from error
        self._change(lambda book: book.merge(published.book))
        return list(published.notices)

    # --- Writing -----------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what was put off."""
        if self._seen:
            self._change(lambda book: book)

    def close(self) -> None:
        """Write what was put off; the store may be used again."""
        self.flush()

    def _change(self, change: Callable[[TrustBook], TrustBook]) -> bool:
        """Apply `change`; tell whether it changed anything."""
        is_changed = False

        def change_and_note(book: TrustBook) -> TrustBook:
            nonlocal is_changed
            changed = change(book)
            is_changed = changed is not book
            return _with_seen(changed, self._seen)

        self._file.update(change_and_note)
        self._seen.clear()
        return is_changed


def _is_mere_sight(verdict: Verdict, claim: PeerClaim, now: Instant) -> bool:
    """Tell whether admitting this peer changes nothing but when it was last seen."""
    if verdict.pin is None:
        return False
    admitted = admitted_pin(verdict, claim, now)
    return msgspec.structs.replace(verdict.pin, last_seen=admitted.last_seen) == admitted


def _with_seen(book: TrustBook, seen: Mapping[NodeId, float]) -> TrustBook:
    newer = {
        node_id: msgspec.structs.replace(book.pins[node_id], last_seen=wall)
        for node_id, wall in seen.items()
        if node_id in book.pins and book.pins[node_id].last_seen < wall
    }
    return msgspec.structs.replace(book, pins={**book.pins, **newer}) if newer else book
