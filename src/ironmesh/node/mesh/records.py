"""What this node says about itself in the mesh, and what it knows of others: records and keys."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final, Protocol

from ironmesh.audit.events import AuditEvent
from ironmesh.crypto.identity import Identity
from ironmesh.errors import StoreError
from ironmesh.mesh.beacons import RECORD_LIFE_S, make_beacon
from ironmesh.mesh.clock import RecordClock
from ironmesh.mesh.known_nodes import KnownNode
from ironmesh.mesh.pulls import Pull
from ironmesh.mesh.records import Answer, Cloned, Learned, RecordAction, RecordBook
from ironmesh.mesh.sequence import OwnSequence
from ironmesh.node.clock import Clock
from ironmesh.node.journal import Journal
from ironmesh.node.mesh.neighbours import Tell
from ironmesh.node.threads import in_thread
from ironmesh.observe.counters import Counters
from ironmesh.session.parcels.prekeys import Prekeys, PrekeyStateError
from ironmesh.session.parcels.sealing import DestinationKeys
from ironmesh.store.mesh_state import MeshState
from ironmesh.trust.names import name_key
from ironmesh.types import MeshType, NodeId, Random
from ironmesh.wire.native.beacons import Beacon
from ironmesh.wire.native.constants import VERSION
from ironmesh.wire.native.noderecords import (
    NodeRecord,
    decode_blobs,
    decode_hashes,
    encode_hashes,
    encode_node_record,
    fitting,
    share_out_blobs,
)

_log = logging.getLogger("ironmesh.node")

RENEW_RECORD_S: Final = 24 * 3600.0
STORE_PAUSE_S: Final = 10.0
"""Before a store that did not take something is asked again."""
SETTLE_S: Final = 0.2
"""Capabilities that change shortly after one another are told together."""


class Listener(Protocol):
    """Who is told of beacons and records."""

    def own_beacon(self, beacon: Beacon) -> None:
        """This node says something new about itself: spread it."""
        ...

    def record_learned(self, node_id: NodeId) -> None:
        """What is needed to seal to a node, or its name, is known, or is known anew."""
        ...


class Records:
    """The record of this node and the book of those of others, with their timers.

    Args:
        capabilities: what this node can do now.
        tell: sends a message of the mesh to a neighbour.
        may_answer: a neighbour reads what it is sent.
        next_hops: the neighbours that lead to a node.
        is_pinned: nodes whose records are never pushed out.
    """

    def __init__(
        self,
        identity: Identity,
        name: str,
        *,
        state: MeshState,
        capabilities: Callable[[], Sequence[str]],
        tell: Tell,
        may_answer: Callable[[NodeId], bool],
        listener: Listener,
        next_hops: Callable[[NodeId], tuple[NodeId, ...]],
        is_pinned: Callable[[NodeId], bool],
        clock: Clock,
        random: Random,
        counters: Counters,
        journal: Journal,
    ) -> None:
        self._identity = identity
        self._name = name
        self._state = state
        self._capabilities = capabilities
        self._tell = tell
        self._may_answer = may_answer
        self._listener = listener
        self._clock = clock
        self._random = random
        self._counters = counters
        self._journal = journal
        self._record_clock = RecordClock()
        self._has_warned = False
        self._book = RecordBook(
            identity.node_id,
            self._record_clock,
            is_pinned=is_pinned,
            next_hops=next_hops,
            name_key=name_key,
            count=lambda reason: counters.add(f"mesh.records_{reason}"),
        )
        self.prekeys = Prekeys()
        self._sequence = OwnSequence(0)
        self._body = b""
        self._has_changed = True
        self._above = 0
        self._published = 0.0
        self._news = asyncio.Event()
        self._asks: list[Pull] = []
        """What to ask for, unless it comes in what is being read."""
        self._asking: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._is_closed = False

    # --- Life --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Say who this node is, again whenever that changes, until cancelled."""
        await self._load()
        while True:
            try:
                await self._say()
            except StoreError as error:
                _log.warning("what this node says about itself waits: %s", error)
                self._has_changed = True
                await asyncio.sleep(STORE_PAUSE_S)
                continue
            await self._wait()

    async def _load(self) -> None:
        try:
            last = await in_thread(self._state.load_sequence)
            self._sequence = OwnSequence(last)
            kept = await in_thread(self._state.load_prekeys)
            if kept is not None:
                self.prekeys = Prekeys.restore(kept, self._clock.now())
        except (StoreError, PrekeyStateError) as error:
            _log.warning("keys of the last run are made anew: %s", error)

    async def _wait(self) -> None:
        now = self._clock.now().mono
        due = min(self._published + RENEW_RECORD_S, self.prekeys.next_renewal)
        try:
            async with asyncio.timeout(max(1.0, due - now)):
                await self._news.wait()
        except TimeoutError:
            self._has_changed = True
            return
        if self._has_changed:
            await asyncio.sleep(SETTLE_S)

    def close(self) -> None:
        """Say nothing any more."""
        self._is_closed = True
        if self._asking is not None:
            self._asking.cancel()
        self._arm()

    # --- This node ---------------------------------------------------------------------------

    def capabilities_changed(self) -> None:
        """Say soon what this node can do now."""
        self._has_changed = True
        self._news.set()

    def bump(self, above: int) -> None:
        """Say the same soon with a newer sequence, larger than `above`."""
        self._above = max(self._above, above)
        self._news.set()

    async def _say(self) -> None:
        self._news.clear()
        if self._has_changed:
            self._has_changed = False
            await self._renew()
        above, self._above = self._above, 0
        if above and self._sequence.met(above):
            self._journal.record(AuditEvent.IDENTITY_CLONED, node_id=self._identity.node_id)
        record_time = self._record_clock.time(self._clock.now())
        sequence, to_save = self._sequence.next(record_time)
        if to_save is not None:
            await in_thread(self._state.save_sequence, to_save)
            self._sequence.saved(to_save)
        expiry_s = int(record_time + RECORD_LIFE_S)
        record_hash = sha256(self._body).digest()
        self._listener.own_beacon(make_beacon(self._identity, sequence, expiry_s, record_hash))

    async def _renew(self) -> None:
        """Make the record anew, with keys that are not too old."""
        now = self._clock.now()
        if self.prekeys.renew(now, self._random):
            await in_thread(self._state.save_prekeys, self.prekeys.state(now))
            self.prekeys.saved()
        current = self.prekeys.current
        assert current is not None
        wanted = self._capabilities()
        listed = fitting(wanted)
        if len(listed) < len(set(wanted)):
            left_out = len(set(wanted)) - len(listed)
            _log.warning("%d capabilities are too many or too long to be announced", left_out)
        record = NodeRecord(
            self._name,
            listed,
            current.number,
            current.x25519,
            current.kem_hash,
            (VERSION,),
        )
        self._body = encode_node_record(record)
        self._book.publish(self._body, current.kem)
        self._published = now.mono

    # --- Neighbours --------------------------------------------------------------------------

    def link_up(self, peer: NodeId, clock_ms: int) -> None:
        """A session with a neighbour began.

        Args:
            clock_ms: what its clock showed, milliseconds since 1970; 0 = it did not say.
        """
        now = self._clock.now()
        self._record_clock.heard(peer, clock_ms, now)
        if self._record_clock.is_wrong(now) and not self._has_warned:
            self._has_warned = True
            _log.warning("the clock of this machine is wrong: neighbours agree on another time")
        self._run(self._book.link_up(peer, now))

    def introduce(self, peer: NodeId) -> None:
        """Give a neighbour that was just told of the beacon the record that it would ask for."""
        if self._body:
            self._give(peer, (self._body,))

    def link_down(self, peer: NodeId) -> None:
        """The session with a neighbour ended."""
        self._record_clock.gone(peer)
        self._run(self._book.link_down(peer, self._clock.now()))

    def heard(self, beacon: Beacon, peer: NodeId) -> None:
        """A neighbour told of a node's beacon, whose signature is good."""
        self._run(self._book.heard(beacon, peer, self._clock.now()))

    def lost(self, node_id: NodeId) -> None:
        """A node cannot be reached any more."""
        self._book.lost(node_id)

    def received(self, peer: NodeId, kind: str, body: bytes) -> None:
        """Take records that a neighbour sends, or asks for.

        Raises:
            RemoteProtocolError: malformed.
        """
        now = self._clock.now()
        if kind == MeshType.NODE_RECORDS:
            self._run(self._book.blobs(peer, decode_blobs(body), now))
        else:
            self._run(self._book.requested(peer, decode_hashes(body), now))

    # --- Questions ---------------------------------------------------------------------------

    def get(self, node_id: NodeId) -> KnownNode | None:
        """Return what is known of a node."""
        return self._book.get(node_id)

    def name_of(self, node_id: NodeId) -> str | None:
        """Return the name that a node gives itself; None = nothing is known of it."""
        known = self._book.get(node_id)
        return None if known is None else known.name

    def claimants(self, name: str) -> list[NodeId]:
        """Return the nodes that give themselves this name."""
        return list(self._book.claimants(name, self._clock.now()))

    def find(self, pattern: str) -> list[tuple[NodeId, str]]:
        """Return node and capability for all that match a shell-style pattern."""
        return list(self._book.find(pattern, self._clock.now()))

    def keys(self, node_id: NodeId) -> DestinationKeys | None:
        """Return what to seal to; what lacks is asked for."""
        known = self._book.get(node_id)
        now = self._clock.now()
        if known is None or known.is_expired(self._record_clock.time(now)):
            return None
        if known.kem_hash and known.kem is None:
            self._run(self._book.want(node_id, now))
            return None
        return DestinationKeys(known.identity_public, known.prekey_number, known.x25519, known.kem)

    # --- Doing what the book says ------------------------------------------------------------

    def _run(self, actions: Iterable[RecordAction]) -> None:
        for action in actions:
            match action:
                case Pull():
                    self._ask_soon(action)
                case Answer(peer, _) if not self._may_answer(peer):
                    self._counters.add("mesh.records_withheld")
                case Answer(peer, blobs):
                    self._give(peer, blobs)
                case Learned(node_id):
                    self._counters.add("mesh.records_learned")
                    self._listener.record_learned(node_id)
                case Cloned(node_id):
                    self._counters.add("mesh.cloned")
                    self._journal.record(AuditEvent.IDENTITY_CLONED, node_id=node_id)
        self._arm()

    def _give(self, peer: NodeId, blobs: Sequence[bytes]) -> None:
        for body in share_out_blobs(blobs):
            self._tell(peer, MeshType.NODE_RECORDS, body)

    def _ask_soon(self, pull: Pull) -> None:
        self._asks.append(pull)
        if self._asking is None:
            self._asking = asyncio.get_running_loop().call_soon(self.ask)

    def ask(self) -> None:
        """Ask neighbours now for what is wanted still."""
        if self._asking is None:
            return
        self._asking.cancel()
        self._asking = None
        pulls, self._asks = self._asks, []
        for peer, hashes in pulls:
            missing = [wanted for wanted in hashes if self._book.is_wanted(wanted)]
            if missing:
                self._tell(peer, MeshType.RECORD_REQUEST, encode_hashes(missing))

    def _arm(self) -> None:
        at = None if self._is_closed else self._book.next_timer
        if at == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = at
        if at is not None:
            delay = max(0.0, at - self._clock.now().mono)
            self._timer = asyncio.get_running_loop().call_later(delay, self._fire)

    def _fire(self) -> None:
        self._timer = self._timer_at = None
        self._run(self._book.timer(self._clock.now()))
