"""The rules of trust on first use, without I/O: a book of pins, and what it says of a claim.

A key is pinned when it is first seen, and the name it gave is bound to it: no other key may use
that name until the operator forgets or revokes the pin. A pinned key may take another name that
nobody holds. What counts as one name, `names` says. A revoked key holds no name and may not return.
A key that was once seen on the native wire may not come back on the 0.8 one.

A book is a value: every operation returns another book, or the same one when nothing changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ironmesh.crypto import sodium
from ironmesh.crypto.identity import node_id_of
from ironmesh.errors import LocalProtocolError, TrustError, UnknownPeerError
from ironmesh.trust.names import clean_name, name_key
from ironmesh.trust.pins import MAX_REASON_CHARS, Pin, Revocation, TrustState
from ironmesh.types import Instant, NodeId, Refusal, WireKind, is_node_id

if TYPE_CHECKING:
    from ironmesh.session.interface import PeerClaim

MAX_PINS: Final = 10_000
"""A holder of the passphrase can make any number of keys; the book does not grow with them."""

_SUGGESTIONS: Final = 3


class Standing(StrEnum):
    """What the book says of a peer that proved its key."""

    NEW = "new"
    """Neither the key nor the name is known: it may be pinned."""
    KNOWN = "known"
    RENAMED = "renamed"
    """A pinned key with another name than before, which nobody else holds."""
    IDENTITY_CHANGED = "identity_changed"
    """Another key holds this name."""
    DOWNGRADED = "downgraded"
    """A key that spoke the native wire comes on the 0.8 one."""
    BLOCKED = "blocked"
    REVOKED = "revoked"
    FULL = "full"
    """An unknown key, and no room for another pin."""


_REFUSALS: Final = {
    Standing.IDENTITY_CHANGED: Refusal.IDENTITY_CHANGED,
    Standing.DOWNGRADED: Refusal.DOWNGRADED,
    Standing.BLOCKED: Refusal.BLOCKED,
    Standing.REVOKED: Refusal.REVOKED,
    Standing.FULL: Refusal.LIMIT,
}


class Verdict(msgspec.Struct, frozen=True):
    """May this peer come in, and if not, why."""

    standing: Standing
    node_id: NodeId
    name: str
    pin: Pin | None = None
    """The pin of this key, as it is in the book (after `admit`: as admitted)."""
    holder: NodeId | None = None
    """Who holds the name, if the standing is `IDENTITY_CHANGED`."""
    previous_name: str = ""
    """The name before, if the standing is `RENAMED`."""

    @property
    def refusal(self) -> Refusal | None:
        """Why the peer is turned away; None = it may come in."""
        return _REFUSALS.get(self.standing)

    def explain(self) -> str:
        """Return one line for the log and the operator: what is the matter, and what to do."""
        match self.standing:
            case Standing.IDENTITY_CHANGED:
                return (
                    f"{self.name!r} is pinned to {self.holder}, and {self.node_id} claims it: if "
                    f"that peer has a new key, run `ironmesh trust forget {self.holder}`"
                )
            case Standing.DOWNGRADED:
                return (
                    f"{self.name!r} spoke the native wire before and now comes on the 0.8 one: "
                    "somebody may be in the middle; if it was downgraded on purpose, run "
                    f"`ironmesh trust forget {self.node_id}`"
                )
            case Standing.BLOCKED:
                return f"{self.node_id} is blocked: `ironmesh trust set-state` lets it in again"
            case Standing.REVOKED:
                return f"the key {self.node_id} was revoked: the peer needs a new one"
            case Standing.FULL:
                return f"{MAX_PINS} peers are pinned: `ironmesh trust forget` makes room"
            case Standing.RENAMED:
                return f"{self.node_id}, so far {self.previous_name!r}, is now {self.name!r}"
            case _:
                return f"{self.node_id} ({self.name!r}) is {self.standing}"


class TrustBook(msgspec.Struct, frozen=True):
    """All pins and revocations."""

    pins: Mapping[NodeId, Pin] = msgspec.field(default_factory=dict)
    revoked: Mapping[NodeId, Revocation] = msgspec.field(default_factory=dict)
    _holders: Mapping[str, NodeId] = msgspec.field(default_factory=dict)
    """Who has which name; follows from the pins."""

    def __post_init__(self) -> None:
        holders: dict[str, NodeId] = {}
        for pin in sorted(self.pins.values(), key=lambda pin: (pin.first_seen, pin.node_id)):
            holders.setdefault(name_key(pin.name), pin.node_id)
        holders.pop("", None)
        msgspec.structs.force_setattr(self, "_holders", MappingProxyType(holders))

    # --- Questions ---------------------------------------------------------------------------

    def judge(self, claim: PeerClaim) -> Verdict:
        """Say whether the peer of a verified handshake may come in; changes nothing."""
        node_id, name = claim.node_id, clean_name(claim.name)
        pin, holder = self.pins.get(node_id), self.holder(name)
        if node_id in self.revoked:
            return Verdict(Standing.REVOKED, node_id, name, pin)
        if pin is not None and pin.state is TrustState.BLOCKED:
            return Verdict(Standing.BLOCKED, node_id, name, pin)
        if pin is not None and pin.seen_native and claim.wire is WireKind.LEGACY:
            return Verdict(Standing.DOWNGRADED, node_id, name, pin)
        if holder not in (None, node_id):
            return Verdict(Standing.IDENTITY_CHANGED, node_id, name, pin, holder)
        if pin is None:
            standing = Standing.NEW if len(self.pins) < MAX_PINS else Standing.FULL
            return Verdict(standing, node_id, name)
        if pin.name and name_key(name) and pin.name != name:
            return Verdict(Standing.RENAMED, node_id, name, pin, previous_name=pin.name)
        return Verdict(Standing.KNOWN, node_id, name, pin)

    def holder(self, name: str) -> NodeId | None:
        """Return whose name it is; a name that reads like a node id belongs to that node."""
        key = name_key(name)
        return NodeId(key) if is_node_id(key) else self._holders.get(key)

    def find(self, name_or_id: str) -> Pin:
        """Return the pin of a node id or a name.

        Raises:
            UnknownPeerError: nobody is pinned by it; the text lists names that come near.
        """
        node_id = self.holder(name_or_id)
        pin = self.pins.get(node_id) if node_id else None
        if pin is not None:
            return pin
        import difflib  # a mistake is worth the time

        near = difflib.get_close_matches(name_key(name_or_id), self._holders, _SUGGESTIONS, 0.6)
        names = ", ".join(self.pins[self._holders[key]].name for key in near)
        fix = f"did you mean {names}?" if names else "`ironmesh trust list` shows all pins"
        raise UnknownPeerError(f"no peer is pinned as {name_or_id!r}", fix)

    # --- Changes -----------------------------------------------------------------------------

    def admit(
        self, claim: PeerClaim, now: Instant, *, state: TrustState = TrustState.TRUSTED
    ) -> TrustBook:
        """Pin a new peer, in `state`, or note that and under which name a known one was seen.

        Raises:
            LocalProtocolError: `judge` refuses the claim.
        """
        verdict = self.judge(claim)
        if verdict.refusal is not None:
            raise LocalProtocolError(f"a refused peer was admitted: {verdict.explain()}")
        return self._with(admitted_pin(verdict, claim, now, state))

    def pin(
        self,
        public: bytes,
        name: str,
        now: Instant,
        *,
        state: TrustState = TrustState.TRUSTED,
        verified: bool = True,
    ) -> TrustBook:
        """Pin a key (Ed25519, 32 bytes) that the operator got by another way.

        Raises:
            TrustError: not a key, the key is revoked, or the name is another key's.
        """
        if len(public) != 32:
            raise TrustError(
                "a public key has 32 bytes", "give the key as `ironmesh keys` shows it"
            )
        node_id, holder = node_id_of(public), self.holder(name)
        if node_id in self.revoked:
            raise TrustError(f"{node_id} is revoked", "take the revocation back first")
        if holder not in (None, node_id):
            raise TrustError(
                f"{name!r} is the name of {holder}", f"`ironmesh trust forget {holder}` frees it"
            )
        known = self.pins.get(node_id)
        if known is None:
            known = _new_pin(public, clean_name(name), now, state)
            return self._with(msgspec.structs.replace(known, verified=verified))
        return self._change(
            known, name=clean_name(name) or known.name, state=state, verified=verified
        )

    def forget(self, name_or_id: str) -> TrustBook:
        """Remove a pin, so that its name is free and its key is new again.

        Raises:
            UnknownPeerError: there is none.
        """
        gone = self.find(name_or_id).node_id
        return msgspec.structs.replace(
            self, pins={k: pin for k, pin in self.pins.items() if k != gone}
        )

    def revoke(self, name_or_id: str, revoker: NodeId, now: Instant, reason: str = "") -> TrustBook:
        """Refuse a key from now on, and remove its pin, which frees its name.

        Raises:
            UnknownPeerError: neither a node id, nor a name that somebody is pinned by.
        """
        is_id = is_node_id(name_or_id)
        node_id = NodeId(name_or_id) if is_id else self.find(name_or_id).node_id
        if node_id in self.revoked:
            return self
        record = Revocation(
            node_id=node_id, revoker=revoker, timestamp=now.wall, reason=reason[:MAX_REASON_CHARS]
        )
        return TrustBook(
            {k: pin for k, pin in self.pins.items() if k != node_id},
            {**self.revoked, node_id: record},
        )

    def unrevoke(self, node_id: NodeId) -> TrustBook:
        """Take a revocation back; the key is then an unknown one.

        Raises:
            UnknownPeerError: it is not revoked.
        """
        if node_id not in self.revoked:
            raise UnknownPeerError(f"{node_id} is not revoked", "give the node id of a revoked key")
        return msgspec.structs.replace(
            self, revoked={k: r for k, r in self.revoked.items() if k != node_id}
        )

    def set_state(self, name_or_id: str, state: TrustState) -> TrustBook:
        """Let a pinned peer do more or less.

        Raises:
            UnknownPeerError: nobody is pinned by this name or id.
        """
        return self._change(self.find(name_or_id), state=state)

    def set_verified(self, name_or_id: str, verified: bool) -> TrustBook:
        """Note that the operator compared (or no longer vouches for) the fingerprint.

        Raises:
            UnknownPeerError: nobody is pinned by this name or id.
        """
        return self._change(self.find(name_or_id), verified=verified)

    def confirm(self, name_or_id: str, fingerprint: NodeId) -> TrustBook:
        """Note that the operator got this fingerprint from the peer's own by another way.

        A pin that was pending for want of that is trusted from then on.

        Raises:
            UnknownPeerError: nobody is pinned by this name or id.
            TrustError: the pinned key has another fingerprint.
        """
        pin = self.find(name_or_id)
        if not sodium.same(pin.node_id.encode(), fingerprint.encode()):
            raise TrustError(
                f"{pin.name!r} is pinned with the fingerprint {pin.node_id}, not {fingerprint}",
                "compare with its owner again; if they differ, somebody is in the middle: "
                f"`ironmesh trust forget {pin.node_id}`",
            )
        is_pending = pin.state is TrustState.PENDING
        return self._change(
            pin, verified=True, state=TrustState.TRUSTED if is_pending else pin.state
        )

    def remember_tls(self, node_id: NodeId, fingerprint: str | None) -> TrustBook:
        """Note the SHA-256 (64 hex digits) of the certificate seen with this key.

        Raises:
            UnknownPeerError: the key is not pinned.
        """
        return self._change(self.find(node_id), tls_fingerprint=fingerprint)

    def merge(self, other: TrustBook) -> TrustBook:
        """Add what `other` knows and this book does not: keys, revocations, and free names."""
        revoked = {**other.revoked, **self.revoked}
        pins = {node_id: pin for node_id, pin in self.pins.items() if node_id not in revoked}
        taken = {name_key(pin.name) for pin in pins.values()}
        for node_id, pin in other.pins.items():
            if node_id in pins or node_id in revoked:
                continue
            key = name_key(pin.name)
            is_free = key not in taken and (key == node_id or not is_node_id(key))
            pins[node_id] = pin if is_free else msgspec.structs.replace(pin, name="")
            taken.add(key)
        merged = TrustBook(pins, revoked)
        return self if merged == self else merged

    def _with(self, pin: Pin) -> TrustBook:
        if self.pins.get(pin.node_id) == pin:
            return self
        return msgspec.structs.replace(self, pins={**self.pins, pin.node_id: pin})

    def _change(self, pin: Pin, **changes: Any) -> TrustBook:
        return self._with(msgspec.structs.replace(pin, **changes))


def first_state(claim: PeerClaim) -> TrustState:
    """Return what a new peer may do at first.

    The 0.8 handshake does not keep out who sits in the middle: a peer that comes on that wire waits
    until its fingerprint is confirmed.
    """
    return TrustState.PENDING if claim.wire is WireKind.LEGACY else TrustState.TRUSTED


def admitted_pin(
    verdict: Verdict, claim: PeerClaim, now: Instant, state: TrustState = TrustState.TRUSTED
) -> Pin:
    """Return the pin of a peer that is not refused, as it is once the peer is admitted."""
    pin = verdict.pin or _new_pin(claim.identity_public, verdict.name, now, state)
    return msgspec.structs.replace(
        pin,
        name=verdict.name if name_key(verdict.name) else pin.name,
        last_seen=max(now.wall, pin.last_seen),
        is_ours=claim.is_ours,
        seen_native=pin.seen_native or claim.wire is WireKind.NATIVE,
    )


def _new_pin(public: bytes, name: str, now: Instant, state: TrustState) -> Pin:
    return Pin(
        node_id=node_id_of(public),
        public=public,
        name=name,
        first_seen=now.wall,
        last_seen=now.wall,
        state=state,
    )
