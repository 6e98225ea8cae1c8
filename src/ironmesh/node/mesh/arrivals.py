"""Parcels for this node: opened, their source judged as if it had a session, put in order.

The source key proves who sealed a parcel, not that this node trusts it. A source of which nothing
is known yet is heard when its record comes, at most ten minutes later.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from ironmesh.audit.events import AuditEvent
from ironmesh.crypto.identity import Identity
from ironmesh.errors import RemoteProtocolError, TrustFileError
from ironmesh.mesh.fairness import Held, RelayLimits, RelayQueues
from ironmesh.node.books import Books
from ironmesh.node.clock import Clock
from ironmesh.node.refusals import RefusedPeer
from ironmesh.observe.counters import Counters
from ironmesh.session.interface import PeerClaim
from ironmesh.session.parcels.inbox import ParcelInbox
from ironmesh.session.parcels.prekeys import Prekeys
from ironmesh.session.parcels.reader import Taken
from ironmesh.session.parcels.sealing import OpenedParcel, open_parcel
from ironmesh.trust.book import Standing
from ironmesh.trust.store import TrustStore
from ironmesh.types import Message, MessagePriority, MessageType, NodeId, Refusal, WireKind
from ironmesh.wire.native.constants import PROTOCOL_VERSION
from ironmesh.wire.native.parcels import Reset
from ironmesh.wire.receipts import is_live, split_id

MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
"""Parcels that nobody has opened yet."""
MAX_WAITING_OF_ONE: Final = 8 * 1024 * 1024
"""Of one neighbour; neighbours take turns."""
HOLD_S: Final = 600.0
MAX_HELD_BYTES: Final = 4 * 1024 * 1024
"""Opened parcels of sources of which nothing is known yet."""
MAX_HELD_OF_SOURCE: Final = 64
MAX_NEWEST: Final = 4096
"""Sources, by epoch and priority, whose newest message is remembered."""
AT_ONCE: Final = 16
"""Parcels that are opened before others get their turn."""


class Reader(Protocol):
    """Takes messages that came by parcels."""

    async def routed(self, source: NodeId, via: NodeId, messages: Sequence[Message]) -> None:
        """Take messages of a source that this node trusts."""
        ...


class _Held(NamedTuple):
    opened: OpenedParcel
    via: NodeId
    at: float


class _Repeats:
    """The newest number of each source, to see when one begins again with an older one."""

    def __init__(self) -> None:
        self._newest: OrderedDict[tuple[NodeId, bytes, MessagePriority], int] = OrderedDict()

    def has_any(self, source: NodeId, messages: Sequence[Message]) -> bool:
        """Note messages; tell whether one of them is not newer than what came before."""
        found = False
        for message in messages:
            if message.type != MessageType.ACK and not is_live(message.id):
                epoch, number = split_id(message.id)
                key = (source, epoch, message.priority)
                if number <= self._newest.get(key, 0):
                    found = True
                    continue
                self._newest[key] = number
                self._newest.move_to_end(key)
        while len(self._newest) > MAX_NEWEST:
            self._newest.popitem(last=False)
        return found


class Arrivals:
    """Opens parcels and hands over what they hold.

    Args:
        name_of: the name that a node gives itself; None = nothing is known of it yet.
        is_revoked: tells of identities that ended.
        answer: seals a content for a source.
        reset: is told that a destination cannot go on with our stream.
        repeated: is told that a source sends again what came before.
    """

    def __init__(
        self,
        identity: Identity,
        prekeys: Callable[[], Prekeys],
        *,
        trust: TrustStore,
        books: Books,
        clock: Clock,
        counters: Counters,
        reader: Reader,
        name_of: Callable[[NodeId], str | None],
        is_revoked: Callable[[NodeId], bool],
        answer: Callable[[NodeId, bytes], None],
        reset: Callable[[NodeId, Reset], None],
        repeated: Callable[[NodeId], None],
    ) -> None:
        self._identity = identity
        self._own_id = identity.node_id
        self._prekeys = prekeys
        self._trust = trust
        self._books = books
        self._clock = clock
        self._counters = counters
        self._reader = reader
        self._name_of = name_of
        self._is_revoked = is_revoked
        self._answer = answer
        self._reset = reset
        self._repeated = repeated
        self._repeats = _Repeats()
        self._inbox = ParcelInbox(identity.node_id)
        self._waiting = RelayQueues[bytes](RelayLimits(MAX_WAITING_OF_ONE, MAX_WAITING_BYTES))
        self._has_work = asyncio.Event()
        self._vias: OrderedDict[NodeId, NodeId] = OrderedDict()
        self._held: OrderedDict[NodeId, list[_Held]] = OrderedDict()
        self._held_bytes = 0
        self._known: deque[NodeId] = deque()
        """Sources of which parcels are held, and something is known now."""

    # --- What comes in -----------------------------------------------------------------------

    def arrive(self, via: NodeId, parcel: bytes) -> bool:
        """Take a parcel that a neighbour handed over; False if too many of its wait already."""
        if not self._waiting.has_room(via, len(parcel)):
            self._counters.add("mesh.arrivals_dropped")
            return False
        self._waiting.put(self._own_id, Held(parcel, len(parcel), via, 0))
        self._has_work.set()
        return True

    def learned(self, source: NodeId) -> None:
        """Something is known of a node now."""
        if source in self._held:
            self._known.append(source)
            self._has_work.set()

    async def run(self) -> None:
        """Open parcels until cancelled."""
        while True:
            await self._wait()
            self._has_work.clear()
            for source, taken in self._inbox.timer(self._clock.now().mono):
                await self._use(source, taken)
            while self._known:
                await self._take_held(self._known.popleft())
            for _ in range(AT_ONCE):
                held = self._waiting.take(self._own_id)
                if held is None:
                    break
                await self._open(held.came_from, held.item)
            if self._waiting.count(self._own_id):
                self._has_work.set()
                await asyncio.sleep(0)

    async def _wait(self) -> None:
        at = self._inbox.next_timer
        if at is None:
            await self._has_work.wait()
            return
        try:
            async with asyncio.timeout(max(0.0, at - self._clock.now().mono)):
                await self._has_work.wait()
        except TimeoutError:
            return

    # --- Opening -----------------------------------------------------------------------------

    async def _open(self, via: NodeId, parcel: bytes) -> None:
        try:
            opened = open_parcel(parcel, self._prekeys(), self._identity)
        except RemoteProtocolError as error:
            self._books.refusals.frame(error.reason, via, "", f"a parcel: {error}")
            return
        source = opened.source
        if self._name_of(source) is None:
            self._hold(source, _Held(opened, via, self._clock.now().mono))
        else:
            await self._accept(source, opened, via)

    async def _accept(self, source: NodeId, opened: OpenedParcel, via: NodeId) -> None:
        if not self._is_welcome(source, opened.source_public, via):
            self._inbox.forget(source)
            return
        self._vias[source] = via
        self._vias.move_to_end(source)
        if len(self._vias) > 4096:
            self._vias.popitem(last=False)
        now = self._clock.now().mono
        try:
            taken = self._inbox.take(source, opened.content, now, is_fresh=opened.is_fresh)
        except RemoteProtocolError as error:
            self._books.refusals.frame(error.reason, source, "", f"a parcel: {error}")
            return
        await self._use(source, taken)

    async def _use(self, source: NodeId, taken: Taken) -> None:
        if taken.refused is not None:
            self._counters.add(f"mesh.parcels_refused.{taken.refused.value}")
        if taken.peer_reset is not None:
            self._reset(source, taken.peer_reset)
        if taken.reset is not None:
            self._answer(source, taken.reset)
        if taken.messages:
            if self._repeats.has_any(source, taken.messages):
                self._repeated(source)
            self._counters.add("mesh.messages_arrived", len(taken.messages))
            await self._reader.routed(source, self._vias.get(source, source), taken.messages)

    # --- Who it is from ----------------------------------------------------------------------

    def _is_welcome(self, source: NodeId, public: bytes, via: NodeId) -> bool:
        """Judge a source as a peer of a session is judged; the first contact pins it."""
        name = self._name_of(source) or ""
        claim = PeerClaim(source, public, name, PROTOCOL_VERSION, WireKind.NATIVE)
        who = RefusedPeer(f"the mesh, by {via[:8]}", is_outgoing=False, claim=claim)
        if self._is_revoked(source):
            self._books.refusals.peer(Refusal.REVOKED, who, f"the key {source} was revoked")
            return False
        try:
            verdict = self._trust.admit(claim, self._clock.now())
        except TrustFileError as error:
            self._books.refusals.peer(Refusal.TRUST_FILE, who, str(error))
            return False
        if verdict.refusal is not None:
            self._books.refusals.peer(verdict.refusal, who, verdict.explain())
            return False
        if verdict.standing is Standing.NEW:
            self._books.journal.record(
                AuditEvent.PEER_PINNED, node_id=source, name=verdict.name, via=via
            )
        return True

    # --- Sources of which nothing is known ---------------------------------------------------

    def _hold(self, source: NodeId, held: _Held) -> None:
        self._drop_old(held.at)
        mine = self._held.setdefault(source, [])
        size = len(held.opened.content)
        if len(mine) >= MAX_HELD_OF_SOURCE or self._held_bytes + size > MAX_HELD_BYTES:
            self._counters.add("mesh.held_dropped")
            if not mine:
                del self._held[source]
            return
        mine.append(held)
        self._held_bytes += size
        self._counters.add("mesh.parcels_held")

    def _drop_old(self, now: float) -> None:
        while self._held:
            source, mine = next(iter(self._held.items()))
            if now - mine[0].at < HOLD_S:
                return
            self._counters.add("mesh.held_dropped", len(self._release(source)))

    def _release(self, source: NodeId) -> list[_Held]:
        mine = self._held.pop(source, [])
        self._held_bytes -= sum(len(held.opened.content) for held in mine)
        return mine

    async def _take_held(self, source: NodeId) -> None:
        for held in self._release(source):
            await self._accept(source, held.opened, held.via)
