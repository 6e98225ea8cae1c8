"""Ways to destinations over other nodes: messages in, sealed parcels out.

A path keeps the order of messages by a stream, as a link does; what it loses is its tail. Whatever
may have been lost on the way, we start over: a new path with a new stream takes the place of the
old one, and the outbox gives it all that is not confirmed, the oldest first.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from ironmesh.crypto.identity import Identity
from ironmesh.crypto.sodium import CryptoError
from ironmesh.node.clock import Clock
from ironmesh.node.sendqueue import SendQueue
from ironmesh.observe.counters import Counters
from ironmesh.session.native.limits import MAX_PAYLOAD_BYTES
from ironmesh.session.parcels.sealing import DestinationKeys, seal_parcel
from ironmesh.session.parcels.writer import ParcelWriter, WrittenParcel
from ironmesh.types import Message, MessagePriority, MessageType, NodeId, Random
from ironmesh.wire.native.parcels import MAX_CONTENT_BYTES, Reset
from ironmesh.wire.native.relaying import MAX_HOPS, Obstacle
from ironmesh.wire.receipts import is_live, split_id

_log = logging.getLogger("ironmesh.node")

PIECE_BYTES: Final = MAX_CONTENT_BYTES - 512
"""Larger payloads go in pieces, so that what is more urgent passes them."""
RECEIPTS_DELAY_S: Final = 0.02
"""How long receipts wait for messages that go the same way: a relay pays by the record."""
LOOK_AGAIN_S: Final = 5.0
"""After messages could not be sealed, since keys lack."""
BATCH_MESSAGES: Final = 64
MIN_PAUSE_S: Final = 0.1
MAX_PAUSE_S: Final = 30.0
"""Between two times that we start over, while nothing is confirmed."""
DISTRUST_S: Final = 1.5
"""Between two changes of the way because receipts seem to get lost."""
STREAM_EPOCH_S: Final = 1_764_028_800
"""2025-11-25; stream numbers have 32 bits, and are used up in 2034."""
STREAMS_PER_S: Final = 16
MAX_WRITERS: Final = 4096
"""Destinations whose last stream is remembered."""


def first_stream(wall: float) -> int:
    """Return the number of the first stream of a run, larger than all of the run before.

    A stream that came twice with other parcels would be read as one. So streams are numbered by
    sixteenths of a second: no run starts over as often as that.

    Args:
        wall: seconds since 1970.
    """
    return max(1, int((wall - STREAM_EPOCH_S) * STREAMS_PER_S))


class Sender(Protocol):
    """Puts sealed parcels on their way."""

    @property
    def has_own_room(self) -> bool:
        """This node may seal more."""
        ...

    def send(
        self,
        destination: NodeId,
        hops_left: int,
        parcel: bytes,
        priority: MessagePriority,
        next_hop: NodeId,
    ) -> None:
        """Send a parcel of this node by a neighbour."""
        ...


class Guide(Protocol):
    """Knows where destinations are, and how to seal to them."""

    def next_hop(self, destination: NodeId, avoid: NodeId | None) -> NodeId | None:
        """Return the neighbour to hand a parcel to; `avoid` only if there is no other."""
        ...

    def hops(self, destination: NodeId) -> int:
        """Return the distance in hops, as far as it is known."""
        ...

    def keys(self, destination: NodeId) -> DestinationKeys | None:
        """Return what to seal to; None = it is not known yet, and was asked for."""
        ...


class Wake(Protocol):
    """Is told that a path has something to seal."""

    def __call__(self, path: Path, *, is_soon: bool) -> None:
        """Seal it at once, or within a moment."""
        ...


class Path:
    """A way to one destination over a neighbour; implements `Way`."""

    def __init__(self, destination: NodeId, wake: Wake) -> None:
        self.destination = destination
        self.queue = SendQueue(PIECE_BYTES)
        self.is_usable = True
        self.can_confirm = True
        self.max_payload_bytes = MAX_PAYLOAD_BYTES
        self.has_repeated = False
        """A message came a second time: it may be that nothing arrives by this way."""
        self.last_hop: NodeId | None = None
        """The neighbour that was handed something last."""
        self._wake = wake
        self._newest: dict[tuple[bytes, MessagePriority], int] = {}

    @property
    def is_full(self) -> bool:
        """Whoever has more to send that is not kept waits for room."""
        return self.queue.is_full

    async def wait_for_room(self) -> None:
        """Return once there is room, or the path is over."""
        await self.queue.wait_for_room()

    def enqueue(
        self,
        messages: Sequence[Message],
        *,
        can_wait: bool = False,  # noqa: ARG002 - nothing waits here
    ) -> None:
        """Queue messages; they are sealed when a link has room for them."""
        if not self.is_usable:
            return
        if self.queue.is_full:  # nobody waits for receipts: their source says it all again
            messages = [message for message in messages if message.type != MessageType.ACK]
        for message in messages:
            if not is_live(message.id):
                self._note(message)
        self.queue.put(messages)
        self._wake(self, is_soon=any(message.type != MessageType.ACK for message in messages))

    def _note(self, message: Message) -> None:
        epoch, number = split_id(message.id)
        key = (epoch, message.priority)
        if number <= self._newest.get(key, 0):
            self.has_repeated = True
        else:
            self._newest[key] = number


class _Patience:
    """How often we may start over toward one destination."""

    __slots__ = ("avoid", "distrust_at", "not_before", "pause_s", "timer")

    def __init__(self) -> None:
        self.pause_s = MIN_PAUSE_S
        self.not_before = self.distrust_at = 0.0
        self.avoid: NodeId | None = None
        """A neighbour by which something got lost."""
        self.timer: asyncio.TimerHandle | None = None


class Paths:
    """All paths of a node.

    Args:
        stream: larger than in any run before; see `first_stream`.
        written: is told what was put on its way.
        way_changed: is told that another way, or none, leads to a destination.
        is_sending: tells whether anything waits for a destination, or goes by a way to it; whoever
            sends something for the first time looks for a way by itself.
        doubt: is told of a neighbour by which nothing seems to arrive.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        guide: Guide,
        sender: Sender,
        stream: int,
        clock: Clock,
        random: Random,
        counters: Counters,
        written: Callable[[Sequence[Message]], None],
        way_changed: Callable[[NodeId], None],
        is_sending: Callable[[NodeId], bool],
        doubt: Callable[[NodeId], None],
    ) -> None:
        self._identity = identity
        self._guide = guide
        self._sender = sender
        self._stream = stream
        self._clock = clock
        self._random = random
        self._counters = counters
        self._written = written
        self._way_changed = way_changed
        self._is_sending = is_sending
        self._doubt = doubt
        self._paths: dict[NodeId, Path] = {}
        self._writers: OrderedDict[NodeId, ParcelWriter] = OrderedDict()
        self._patience: dict[NodeId, _Patience] = {}
        self._busy: OrderedDict[NodeId, Path] = OrderedDict()
        """Paths that have something to seal."""
        self._unsealable: set[NodeId] = set()
        """Destinations whose keys cannot be used, until something is known of them anew."""
        self._later: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._pumping: asyncio.Handle | None = None
        self._is_closed = False

    # --- Finding a way -----------------------------------------------------------------------

    def find(self, destination: NodeId) -> Path | None:
        """Return the path to a destination; None = no route."""
        path = self._paths.get(destination)
        if path is not None:
            return path
        if self._is_closed or destination in self._unsealable:
            return None
        if self._guide.next_hop(destination, None) is None:
            return None
        self._guide.keys(destination)  # what lacks is asked for, and messages wait in the path
        path = self._paths[destination] = Path(destination, self._wake)
        self._writer(destination)
        return path

    def refresh(self, destination: NodeId) -> None:
        """A route or a record changed: let messages wait, or go."""
        self._unsealable.discard(destination)
        path = self._paths.get(destination)
        if path is not None and self._guide.next_hop(destination, None) is None:
            self.forget(destination)
        elif path is not None and len(path.queue):
            self._busy[destination] = path
            self.wake()
        if self._is_sending(destination):
            self._way_changed(destination)

    def forget(self, destination: NodeId) -> None:
        """The path is not used any more: what was not sealed is the outbox's to send again."""
        path = self._paths.pop(destination, None)
        self._busy.pop(destination, None)
        if path is not None:
            path.is_usable = False
            path.queue.take_all()
            path.queue.release()
            self._writers[destination].restart()

    def close(self) -> None:
        """Seal nothing any more."""
        self._is_closed = True
        for destination in tuple(self._paths):
            self.forget(destination)
        for patience in self._patience.values():
            if patience.timer is not None:
                patience.timer.cancel()
        for handle in (self._pumping, self._later, self._looking):
            if handle is not None:
                handle.cancel()

    # --- What went wrong, or well ------------------------------------------------------------

    def came_back(self, destination: NodeId, first_hop: NodeId, obstacle: Obstacle) -> None:
        """A parcel came no further."""
        if destination in self._paths:
            if obstacle is not Obstacle.BUSY:
                self._patient(destination).avoid = first_hop
            self.start_over(destination, is_urgent=obstacle is Obstacle.LINK_LOST)

    def reset(self, destination: NodeId, reset: Reset) -> None:
        """A destination cannot go on with the present stream."""
        writer = self._writers.get(destination)
        if writer is not None and writer.reset(reset):
            self._counters.add("mesh.streams_reset")
            self._replace(destination)

    def lost_hop(self, hop: NodeId) -> None:
        """What was handed to a neighbour may be lost: start over at once."""
        for destination, path in tuple(self._paths.items()):
            if path.last_hop == hop:
                self._patient(destination).avoid = hop
                self.start_over(destination, is_urgent=True)

    def confirmed(self, destination: NodeId) -> None:
        """A destination receipted something: the way works."""
        patience = self._patience.get(destination)
        if patience is not None:
            patience.pause_s = MIN_PAUSE_S

    def repeated(self, source: NodeId) -> None:
        """A source sends again what was receipted: receipts may get lost, so they go another way.

        What belongs to one repetition comes in a burst, so once in a while is enough.
        """
        path, now = self._paths.get(source), self._clock.now().mono
        patience = self._patient(source)
        if path is not None and path.last_hop is not None and now >= patience.distrust_at:
            patience.distrust_at = now + DISTRUST_S
            patience.avoid = path.last_hop

    @property
    def destinations(self) -> tuple[NodeId, ...]:
        """Where paths lead."""
        return tuple(self._paths)

    def start_over(self, destination: NodeId, *, is_urgent: bool = False) -> None:
        """Send again all that is not confirmed; unless urgent, not too soon after the last time."""
        patience = self._patient(destination)
        if patience.timer is not None or self._is_closed:
            return
        now = self._clock.now().mono
        delay_s = 0.0 if is_urgent else max(patience.pause_s, patience.not_before - now)
        patience.timer = asyncio.get_running_loop().call_later(
            delay_s, self._start_over, destination
        )

    def _start_over(self, destination: NodeId) -> None:
        patience = self._patient(destination)
        patience.timer = None
        patience.pause_s = min(patience.pause_s * 2, MAX_PAUSE_S)
        patience.not_before = self._clock.now().mono + patience.pause_s
        if destination in self._paths:
            self._counters.add("mesh.started_over")
            self._replace(destination)

    def _replace(self, destination: NodeId) -> None:
        self.forget(destination)
        self._way_changed(destination)

    def _patient(self, destination: NodeId) -> _Patience:
        patience = self._patience.get(destination)
        if patience is None:
            if len(self._patience) >= MAX_WRITERS:
                self._patience = {
                    one: kept
                    for one, kept in self._patience.items()
                    if one in self._paths or kept.timer is not None
                }
            patience = self._patience[destination] = _Patience()
        return patience

    def _writer(self, destination: NodeId) -> ParcelWriter:
        writer = self._writers.get(destination)
        if writer is None:
            while len(self._writers) >= MAX_WRITERS and self._drop_writer():
                pass
            writer = ParcelWriter(self._identity.node_id, destination, self._stream)
            self._writers[destination] = writer
        self._writers.move_to_end(destination)
        return writer

    def _drop_writer(self) -> bool:
        """Forget the writer that was not used for longest; later streams are numbered above it."""
        oldest = next((one for one in self._writers if one not in self._paths), None)
        if oldest is None:
            return False
        self._stream = max(self._stream, self._writers.pop(oldest).stream + 1)
        return True

    # --- Sealing -----------------------------------------------------------------------------

    def wake(self) -> None:
        """A link has room again, or there is something to seal."""
        if not self._busy or self._is_closed:
            return
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._pumping is None:
            self._pumping = asyncio.get_running_loop().call_soon(self._pump)

    def _wake_later(self) -> None:
        """Receipts alone wait a moment for what goes the same way."""
        if self._pumping is None and self._later is None and not self._is_closed:
            self._later = asyncio.get_running_loop().call_later(RECEIPTS_DELAY_S, self.wake)

    def _wake(self, path: Path, *, is_soon: bool) -> None:
        self._busy.setdefault(path.destination, path)
        if path.has_repeated:
            path.has_repeated = False
            self._suspect(path.destination)
        if is_soon:
            self.wake()
        else:
            self._wake_later()

    def _suspect(self, destination: NodeId) -> None:
        hop = self._next_hop(destination)
        if hop is not None:
            self._doubt(hop)
            self._patient(destination).avoid = hop
        self.start_over(destination)

    def _next_hop(self, destination: NodeId) -> NodeId | None:
        patience = self._patience.get(destination)
        return self._guide.next_hop(destination, patience.avoid if patience else None)

    def _pump(self) -> None:
        self._pumping = None
        while self._busy and self._sender.has_own_room:
            destination, path = self._busy.popitem(last=False)
            has_written = self._write_some(path)
            if not len(path.queue) or not path.is_usable:
                continue
            if has_written:
                self._busy[destination] = path
            elif self._looking is None:
                loop = asyncio.get_running_loop()
                self._looking = loop.call_later(LOOK_AGAIN_S, self._look_again)

    def _look_again(self) -> None:
        """Ask again for keys that messages wait for: who was asked may have given up."""
        self._looking = None
        for destination, path in self._paths.items():
            if len(path.queue):
                self._busy[destination] = path
        self.wake()

    def _write_some(self, path: Path) -> bool:
        """Seal what fits one batch; False if the path waits until something is known anew."""
        destination = path.destination
        keys, hop = self._guide.keys(destination), self._next_hop(destination)
        if keys is None or hop is None:
            return False
        path.last_hop = hop
        piece = path.queue.take_piece()
        batch = [] if piece is not None else path.queue.take_batch(BATCH_MESSAGES)
        written = self._writers[destination].write(batch, piece)
        if not all(self._seal(destination, one, keys, hop) for one in written):
            self._unsealable.add(destination)
            self.forget(destination)
            self._way_changed(destination)
            return False
        if piece is not None and piece.is_last:
            batch = [piece.message]
        if batch:
            self._written(batch)
        return True

    def send_content(self, destination: NodeId, content: bytes) -> None:
        """Send the content of one parcel that belongs to no stream, if there is a way."""
        keys, hop = self._guide.keys(destination), self._next_hop(destination)
        if keys is not None and hop is not None and self._sender.has_own_room:
            written = WrittenParcel(MessagePriority.CRITICAL, content)
            self._seal(destination, written, keys, hop)

    def _seal(
        self, destination: NodeId, written: WrittenParcel, keys: DestinationKeys, hop: NodeId
    ) -> bool:
        try:
            parcel = seal_parcel(self._identity, keys, written.content, self._random)
        except CryptoError as error:
            _log.warning("nothing can be sealed to %s: %s", destination[:8], error)
            self._counters.add("mesh.bad_prekeys")
            return False
        spare = 2 + self._random(1)[0] % 5
        hops_left = min(MAX_HOPS, self._guide.hops(destination) - 1 + spare)
        self._sender.send(destination, hops_left, parcel, written.priority, hop)
        return True
