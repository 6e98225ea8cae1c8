"""One live session over one connection: a reader, a writer, and a queue for each priority."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from ironmesh.errors import ConnectionClosed, RemoteProtocolError
from ironmesh.node.clock import Clock
from ironmesh.node.pacing import Pacer
from ironmesh.session.interface import (
    Channel,
    ChannelEvent,
    Opened,
    PeerAlive,
    PeerClosing,
    UnitRefused,
)
from ironmesh.transport.interface import Connection, ConnectionInfo
from ironmesh.types import PRIORITIES, LinkInfo, Message, NodeId

MAX_BATCH_MESSAGES: Final = 64
MAX_BATCH_BYTES: Final = 64 * 1024
HIGH_WATER_MESSAGES: Final = 1024
HIGH_WATER_BYTES: Final = 8 * 1024 * 1024
PROBE_S: Final = 3.0
"""How long a peer has to answer when there is doubt that it still lives."""


class LinkState(Enum):
    """What has happened to a link."""

    ACCEPTED = "accepted"
    """We accepted the peer; whether it accepted us shows with its first frame."""
    ONLINE = "online"
    CLOSING = "closing"
    CLOSED = "closed"


@dataclass(slots=True)
class LinkTraffic:
    """What went over a link."""

    messages_sent: int = 0
    messages_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


class LinkOwner(Protocol):
    """Who is told what happens on a link; every call is quick, `deliver` may hold the reader up."""

    def link_confirmed(self, link: Link) -> None:
        """The peer's first frame opened: it accepted us."""
        ...

    def link_event(self, link: Link, event: ChannelEvent) -> None:
        """Something happened in the channel."""
        ...

    async def deliver(self, link: Link, messages: list[Message]) -> None:
        """Take messages; the reader waits meanwhile, which slows the peer down."""
        ...


class Link:
    """A session with one peer.

    Args:
        is_outgoing: we dialled.
        is_confirmed: the peer is known to have accepted us.
    """

    def __init__(
        self,
        connection: Connection,
        channel: Channel,
        owner: LinkOwner,
        clock: Clock,
        *,
        is_outgoing: bool,
        is_confirmed: bool,
    ) -> None:
        now = clock.now()
        self._connection = connection
        self._channel = channel
        self._owner = owner
        self._clock = clock
        self._queues: tuple[deque[Message], ...] = tuple(deque() for _ in PRIORITIES)
        self._queue_of = dict(zip(PRIORITIES, self._queues, strict=True))
        self._queued_messages = 0
        self._queued_bytes = 0
        self._in_flight: list[Message] = []
        self._pacer = Pacer(channel.link.frames_per_second, channel.link.frame_burst, now.mono)
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_delivering = False
        self._probe_deadline: float | None = None
        self._confirmed = asyncio.Event()
        self._ended = asyncio.Event()
        self._reason = ""
        self.state = LinkState.ONLINE if is_confirmed else LinkState.ACCEPTED
        self.was_confirmed = is_confirmed
        if is_confirmed:
            self._confirmed.set()
        self.is_outgoing = is_outgoing
        self.established = now
        self.last_heard_mono = now.mono
        self.rtt_s: float | None = None
        self.traffic = LinkTraffic()

    # --- What others ask ---------------------------------------------------------------------

    @property
    def info(self) -> LinkInfo:
        """How the session works."""
        return self._channel.link

    @property
    def peer(self) -> NodeId:
        """Whom it leads to."""
        return self._channel.link.peer

    @property
    def connection_info(self) -> ConnectionInfo:
        """Where it leads and how."""
        return self._connection.info

    @property
    def rekey_count(self) -> int:
        """Key changes so far."""
        return self._channel.rekey_count

    @property
    def is_usable(self) -> bool:
        """Messages may be queued on it."""
        return self.state is LinkState.ONLINE

    # --- What others do ----------------------------------------------------------------------

    def enqueue(self, messages: Sequence[Message]) -> None:
        """Queue messages; the writer takes the most urgent first."""
        for message in messages:
            self._queue_of[message.priority].append(message)
            self._queued_bytes += len(message.payload)
        self._queued_messages += len(messages)
        if self._queued_messages >= HIGH_WATER_MESSAGES or self._queued_bytes >= HIGH_WATER_BYTES:
            self._room.clear()
        self._wake.set()

    async def wait_for_room(self) -> None:
        """Return once the queue is below its high-water mark, or the link is over."""
        await self._room.wait()

    def ping(self) -> None:
        """Ask the peer for a sign of life; `rtt_s` changes when it comes."""
        self._channel.ping(self._clock.now())
        self._wake.set()

    def probe(self) -> None:
        """End the session unless the peer gives a sign of life soon."""
        if self._probe_deadline is None:
            self._probe_deadline = self._clock.now().mono + PROBE_S
            self.ping()

    def rekey(self) -> bool:
        """Start a key change; False when one is under way or the peer cannot."""
        has_started = self._channel.rekey(self._clock.now())
        self._wake.set()
        return has_started

    async def wait_confirmed(self) -> bool:
        """Return True once the peer has accepted us, False if the session ends before."""
        await self._confirmed.wait()
        return self.was_confirmed

    async def wait_ended(self) -> None:
        """Return when the session is over."""
        await self._ended.wait()

    def close_soon(self, reason: str) -> None:
        """End the session: what is being written is written, then the goodbye."""
        if self.state in (LinkState.ACCEPTED, LinkState.ONLINE):
            self.state = LinkState.CLOSING
            self._reason = reason
            self._wake.set()
            self._room.set()

    def take_unsent(self) -> list[Message]:
        """Return the messages that were never handed to the connection, the most urgent first."""
        unsent = [*self._in_flight, *(message for queue in self._queues for message in queue)]
        self._in_flight = []
        for queue in self._queues:
            queue.clear()
        self._queued_messages = self._queued_bytes = 0
        return unsent

    # --- Its life ----------------------------------------------------------------------------

    async def run(self) -> str:
        """Serve the session until it ends; return why it ended, for people."""
        writer = asyncio.create_task(self._write(), name=f"link-writer-{self.peer[:8]}")
        self._wake.set()
        try:
            return await self._read()
        finally:
            self.state = LinkState.CLOSED
            self._room.set()
            self._confirmed.set()
            self._ended.set()
            if self._timer is not None:
                self._timer.cancel()
            writer.cancel()
            await self._connection.close()
            with contextlib.suppress(asyncio.CancelledError):
                await writer

    async def _read(self) -> str:
        try:
            while True:
                unit = await self._connection.receive()
                self.traffic.bytes_received += len(unit)
                opened = self._channel.open(unit, self._clock.now())
                await self._take(opened)
        except ConnectionClosed as error:
            return self._reason or error.what
        except RemoteProtocolError as error:
            return self._reason or str(error)

    async def _take(self, opened: Opened) -> None:
        is_authentic = bool(opened.messages)
        for event in opened.events:
            is_authentic = is_authentic or not isinstance(event, UnitRefused)
            if isinstance(event, PeerAlive):
                self.rtt_s = event.rtt_s
            elif isinstance(event, PeerClosing):
                self._reason = self._reason or event.reason
        if is_authentic:
            self.last_heard_mono = self._clock.now().mono
            self._probe_deadline = None
            self.was_confirmed = True
            self._confirmed.set()
            if self.state is LinkState.ACCEPTED:
                self.state = LinkState.ONLINE
                self._owner.link_confirmed(self)
        for event in opened.events:
            self._owner.link_event(self, event)
        self._wake.set()
        if opened.messages:
            self.traffic.messages_received += len(opened.messages)
            self._is_delivering = True
            await self._owner.deliver(self, opened.messages)
            self._is_delivering = False

    async def _write(self) -> None:
        try:
            while self.state is not LinkState.CLOSING:
                await self._wake.wait()
                self._wake.clear()
                self._run_timers()
                await self._drain()
                self._arm_timer()
            await self._connection.send(self._channel.close(self._reason, self._clock.now()))
        except ConnectionClosed:
            pass  # the reader sees it too, and says why
        except RemoteProtocolError as error:
            self._reason = self._reason or str(error)
        finally:
            await self._connection.close()

    async def _drain(self) -> None:
        """Write what may go now: waiting control traffic, then the most urgent messages."""
        while self.state is not LinkState.CLOSING:
            now = self._clock.now()
            batch = self._next_batch(now.mono)
            if not batch and not self._channel.wants_write:
                return
            self._in_flight = batch
            units = self._channel.seal(batch, now)
            self._pacer.spend(len(units), now.mono)
            await self._connection.send(units)
            self._in_flight = []
            self.traffic.messages_sent += len(batch)
            self.traffic.bytes_sent += sum(map(len, units))
            self._relieve()

    def _relieve(self) -> None:
        has_few = self._queued_messages <= HIGH_WATER_MESSAGES // 2
        if has_few and self._queued_bytes <= HIGH_WATER_BYTES // 2:
            self._room.set()

    def _next_batch(self, now: float) -> list[Message]:
        if not self._queued_messages or self._channel.is_holding or not self.is_usable:
            return []
        room = min(MAX_BATCH_MESSAGES, self._pacer.available(now))
        batch: list[Message] = []
        size_bytes = 0
        for queue in self._queues:
            while queue and len(batch) < room and size_bytes < MAX_BATCH_BYTES:
                message = queue.popleft()
                size_bytes += len(message.payload)
                batch.append(message)
        self._queued_messages -= len(batch)
        self._queued_bytes -= size_bytes
        return batch

    def _run_timers(self) -> None:
        due = self._channel.next_timer
        now = self._clock.now()
        if self._is_delivering:
            # While we do not read, the peer's silence is ours.
            return
        if due is not None and due <= now.mono:
            self._channel.on_timer(now)
        if self._probe_deadline is not None and self._probe_deadline <= now.mono:
            self.close_soon("the peer does not answer")

    def _arm_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock.now().mono
        wanted = [self._channel.next_timer, self._probe_deadline]
        if self._queued_messages and self.is_usable and not self._channel.is_holding:
            wanted.append(self._pacer.next_at(now))
        times = [at for at in wanted if at is not None]
        if times:
            delay = max(min(times) - now, 0.05 if self._is_delivering else 0.0)
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake.set)
