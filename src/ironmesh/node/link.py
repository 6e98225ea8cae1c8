"""One live session over one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from enum import Enum
from typing import Final, Protocol

import msgspec

from ironmesh.errors import ConnectionClosed, RemoteProtocolError
from ironmesh.node.clock import Clock
from ironmesh.node.linkreader import DEAF_S, LinkReader
from ironmesh.node.linkwriter import LinkWriter
from ironmesh.session.interface import (
    Channel,
    ChannelEvent,
    Opened,
    PeerAlive,
    PeerClosing,
    UnitRefused,
)
from ironmesh.transport.interface import Connection, ConnectionInfo
from ironmesh.types import NO_ID, Instant, LinkInfo, Message, NodeId, Refusal, Unit

PROBE_S: Final = 3.0
"""How long a peer has to answer when there is doubt that it still lives."""
CONFIRM_S: Final = 10.0
"""How long a peer that we accepted has to show that it accepted us."""
SPARE_S: Final = 4.0
"""How long a link that another one replaced is still read; longer than `PROBE_S`."""
FAREWELL_S: Final = 1.0
"""How long a peer has to answer our goodbye with its own."""

FRESH_S: Final = 1.0
"""A ping that has been on its way for less than this answers whoever asks now as well."""


class LinkState(Enum):
    """What has happened to a link."""

    ACCEPTED = "accepted"
    """We accepted the peer; whether it accepted us shows with its first frame."""
    ONLINE = "online"
    SPARE = "spare"
    """Another link carries our messages; what the peer sends over this one is still taken."""
    CLOSING = "closing"
    """We write no more messages, and read what the peer sent before it learns of it."""
    CLOSED = "closed"


class LinkTraffic(msgspec.Struct):
    """What went over a link."""

    messages_sent: int = 0
    """Without what neighbours say to each other."""
    messages_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


class LinkOwner(Protocol):
    """Who is told what happens on a link; every call is quick."""

    def link_confirmed(self, link: Link) -> None:
        """The peer accepted us, which was in doubt."""
        ...

    def link_heard(self, link: Link) -> None:
        """The peer's first frame opened: it has the session up as well."""
        ...

    def link_event(self, link: Link, event: ChannelEvent) -> None:
        """Something happened in the channel."""
        ...

    def link_written(self, messages: Sequence[Message]) -> None:
        """The transport has these messages."""
        ...

    def deliver(self, link: Link, messages: list[Message]) -> Awaitable[None] | None:
        """Take messages.

        While what is returned, if anything, is awaited, nothing more is read, which slows the peer
        down.
        """
        ...


class Link:
    """A session with one peer.

    A session ends with a goodbye of each side, which says that its messages end there: so none is
    lost when both live, whoever ends the session and for whatever reason.

    Args:
        opening: what is to be written first, before anything of the channel.
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
        opening: Sequence[Unit] = (),
        is_outgoing: bool,
        is_confirmed: bool,
    ) -> None:
        now = clock.now()
        self._connection = connection
        self._channel = channel
        self._owner = owner
        self._clock = clock
        self._writer = LinkWriter(connection, channel, self, clock, opening)
        self._reader = LinkReader(connection, channel, self, clock)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._probe_deadline: float | None = None if is_confirmed else now.mono + CONFIRM_S
        self._spare_until: float | None = None
        self._close_by: float | None = None
        self._has_peer_left = False
        self._is_listening = True
        self._confirmed = asyncio.Event()
        self._ended = asyncio.Event()
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reason = ""
        self.state = LinkState.ONLINE if is_confirmed else LinkState.ACCEPTED
        self.was_confirmed = is_confirmed
        if is_confirmed:
            self._confirmed.set()
        self.is_outgoing = is_outgoing
        self.has_heard = False
        """A frame of the peer opened: it has this session up as well."""
        self.established = now
        self.last_heard_mono = now.mono
        self.rtt_s: float | None = None
        self._measuring: set[asyncio.Future[float | None]] = set()
        self._pinged_at: float | None = None
        """When the peer was asked for a sign of life that has not come yet."""
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
    def can_confirm(self) -> bool:
        """The peer sends receipts."""
        return self.info.is_ours

    @property
    def max_payload_bytes(self) -> int:
        """The largest payload that one message may have."""
        return self.info.max_payload_bytes

    @property
    def connection_info(self) -> ConnectionInfo:
        """Where it leads and how."""
        return self._connection.info

    @property
    def rekey_count(self) -> int:
        """Key changes so far."""
        return self._channel.rekey_count

    @property
    def reason(self) -> str:
        """Why it ends or ended, as either side said; empty before."""
        return self._reason

    @property
    def is_usable(self) -> bool:
        """Messages may be queued on it."""
        return self.state is LinkState.ONLINE

    @property
    def is_spare(self) -> bool:
        """Another link carries our messages; this one is still read."""
        return self.state is LinkState.SPARE

    @property
    def is_listening(self) -> bool:
        """What the peer sends is still taken."""
        return self._is_listening

    @property
    def is_full(self) -> bool:
        """Whoever has more to send waits for room."""
        return self._writer.queue.is_full

    @property
    def queued(self) -> int:
        """Messages that wait to be written."""
        return len(self._writer.queue)

    # --- What others do ----------------------------------------------------------------------

    def enqueue(self, messages: Sequence[Message], *, can_wait: bool = False) -> None:
        """Queue messages; the writer takes the most urgent first.

        Args:
            can_wait: for a moment, so that others go in the same record.
        """
        self._writer.put(messages, can_wait=can_wait)

    def write(self, messages: Sequence[Message]) -> None:
        """Queue messages, and write now what may go: for a batch that nothing will join."""
        self._writer.put_now(messages)

    async def wait_for_room(self) -> None:
        """Return once the queue is below its high-water mark, or the link is over."""
        await self._writer.queue.wait_for_room()

    def ping(self) -> None:
        """Ask the peer for a sign of life; `rtt_s` changes when it comes."""
        now = self._clock.now()
        self._pinged_at = now.mono
        self._channel.ping(now)
        self._writer.schedule()

    async def measure(self, timeout_s: float) -> float | None:
        """Return the round trip of a ping in seconds, None if no answer comes.

        A ping that went out a moment ago will do: a new session sends one anyway.
        """
        answer: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
        self._measuring.add(answer)
        try:
            if self._pinged_at is None or self._clock.now().mono >= self._pinged_at + FRESH_S:
                self.ping()
            await asyncio.wait([answer], timeout=timeout_s)
        finally:
            self._measuring.discard(answer)
        return answer.result() if answer.done() else None

    def _measured(self, rtt_s: float | None) -> None:
        for answer in self._measuring:
            if not answer.done():
                answer.set_result(rtt_s)

    def probe(self) -> None:
        """End the session unless the peer gives a sign of life soon."""
        if self._probe_deadline is None:
            self._probe_deadline = self._clock.now().mono + PROBE_S
            self.ping()
            self._watch()

    def rekey(self) -> bool:
        """Start a key change; False when one is under way or the peer cannot."""
        has_started = self._channel.rekey(self._clock.now())
        self._writer.schedule()
        return has_started

    async def wait_confirmed(self) -> bool:
        """Return True once the peer has accepted us, False if the session ends before."""
        await self._confirmed.wait()
        return self.was_confirmed

    async def wait_ended(self) -> None:
        """Return when the session is over."""
        await self._ended.wait()

    def set_aside(self) -> None:
        """Another link took over: read on for a while, and send nothing more."""
        if self.state in (LinkState.ACCEPTED, LinkState.ONLINE):
            self.state = LinkState.SPARE
            self._spare_until = self._clock.now().mono + SPARE_S
            self._writer.schedule()

    def reinstate(self) -> None:
        """The link that took over is gone: carry messages again."""
        if self.state is LinkState.SPARE:
            self.state = LinkState.ONLINE
            self._spare_until = None
            self._writer.schedule()

    def close_soon(self, reason: str, *, is_listening: bool = True) -> None:
        """End the session: what is being written is written, then the goodbye.

        Args:
            is_listening: still take what the peer sent before it learns of it.
        """
        self._is_listening = self._is_listening and is_listening
        if self.state in (LinkState.ACCEPTED, LinkState.ONLINE, LinkState.SPARE):
            self.state = LinkState.CLOSING
            self._reason = self._reason or reason
            self._close_by = self._clock.now().mono + FAREWELL_S
            self._writer.part(self._reason)
        self._writer.schedule()

    def abort(self) -> None:
        """End the session at once, without a goodbye."""
        self._connection.abort()

    def drop_queued(self) -> None:
        """Forget the messages that are not being written yet: another link takes over."""
        self._writer.queue.take_all()

    # --- Its life ----------------------------------------------------------------------------

    async def run(self) -> str:
        """Serve the session until it ends; return why it ended, for people."""
        try:
            self._writer.start()
            self._reader.start()
            return await self._over
        finally:
            self.state = LinkState.CLOSED
            self._confirmed.set()
            self._ended.set()
            self._measured(None)
            await self._stop()

    async def _stop(self) -> None:
        self._stop_timer()
        try:
            await self._reader.stop()
            await self._writer.stop()
        finally:
            await self._connection.close()
            self._channel.close(self._reason, self._clock.now())

    def failed(self, error: BaseException) -> None:
        """Something went wrong that never should: `run` raises it."""
        if not self._over.done():
            self._over.set_exception(error)

    def _end(self, reason: str) -> None:
        if not self._over.done():
            self._over.set_result(self._reason or reason)

    def _end_if_over(self) -> None:
        """End once nothing is left to be written and nothing more is awaited."""
        if not self._writer.has_parted:
            return
        is_awaited = self._is_listening and self.info.is_ours and not self._has_peer_left
        is_late = self._close_by is not None and self._close_by <= self._clock.now().mono
        if is_late or not is_awaited:
            self._end("")

    # --- What arrives (ReaderOwner) ----------------------------------------------------------

    def arrived(self, size_bytes: int) -> None:
        """So many bytes came."""
        self.traffic.bytes_received += size_bytes

    def deliver(self, messages: list[Message]) -> Awaitable[None] | None:
        """Messages came: hand them over."""
        if not self._is_listening:
            return None
        self._hear(self._clock.now().mono)
        self.traffic.messages_received += _count(messages)
        return self._owner.deliver(self, messages)

    def take_control(self, opened: Opened) -> None:
        """Something else came, which may give the writer something to do."""
        if self._counts_as_heard(opened):
            self._hear(self._clock.now().mono)
        for event in opened.events:
            if isinstance(event, PeerAlive):
                self.rtt_s = event.rtt_s
                self._pinged_at = None
                self._measured(event.rtt_s)
            elif isinstance(event, PeerClosing):
                self._has_peer_left = True
                self.close_soon(event.reason or "the peer said goodbye")
            self._owner.link_event(self, event)
        self._writer.schedule()

    def refuse(self, error: RemoteProtocolError) -> None:
        """What came is wrong."""
        self._owner.link_event(self, UnitRefused(error.reason, str(error)))
        self._end(f"{error.reason}: {error}")

    def ended(self, error: ConnectionClosed) -> None:
        """The connection ended."""
        truncated = f"{Refusal.TRUNCATED}: " if self._channel.is_truncated else ""
        self._end(truncated + error.what)

    def _counts_as_heard(self, opened: Opened) -> bool:
        """Tell whether it shows that the peer has this session up."""
        if opened.messages:
            return True
        if any(isinstance(event, UnitRefused) for event in opened.events):
            return False
        # Whoever takes leave before anything else did not accept us.
        is_refusal = any(isinstance(event, PeerClosing) for event in opened.events)
        return self.has_heard or not is_refusal

    def _hear(self, now: float) -> None:
        self.last_heard_mono = now
        self._probe_deadline = None
        if not self.has_heard:
            self.has_heard = self.was_confirmed = True
            self._confirmed.set()
            if self.state is LinkState.ACCEPTED:
                self.state = LinkState.ONLINE
                self._owner.link_confirmed(self)
            self._owner.link_heard(self)
            self._writer.schedule()

    # --- What was written (WriterOwner) ------------------------------------------------------

    def written(self, messages: Sequence[Message], size_bytes: int) -> None:
        """The transport has these messages, or units without any."""
        self.traffic.bytes_sent += size_bytes
        if messages:
            self.traffic.messages_sent += _count(messages)
            self._owner.link_written(messages)

    def flushing(self) -> None:
        """What is due comes before anything else is written.

        Timers may be late: they stand still while the machine sleeps.
        """
        if self._timer is not None and self._timer_at <= self._clock.now().mono:
            self._do_what_is_due()

    def flushed(self) -> None:
        """All that may go now was written."""
        self._watch()
        self._end_if_over()

    def broke(self, error: RemoteProtocolError) -> None:
        """The session must end."""
        self._end(str(error))

    # --- Deadlines ---------------------------------------------------------------------------

    def _watch(self) -> None:
        """Wake up at the next deadline; one that moved on meanwhile is seen then."""
        due = self._channel.next_timer
        if self._probe_deadline is not None and (due is None or self._probe_deadline < due):
            due = self._probe_deadline
        now = self._clock.now().mono
        if due is not None and self._reader.is_deaf(now):
            due = max(due, now + DEAF_S)
        for other in (self._spare_until, self._close_by):
            if other is not None and (due is None or other < due):
                due = other
        if due is None or self._over.done() or (self._timer is not None and self._timer_at <= due):
            return
        self._stop_timer()
        self._timer_at = due
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, due - now), self._on_timer)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._do_what_is_due()
        self._writer.flush()
        self._watch()

    def _do_what_is_due(self) -> None:
        self._stop_timer()
        now = self._clock.now()
        if self._spare_until is not None and self._spare_until <= now.mono:
            self._spare_until = None
            self.close_soon("duplicate")
        if not self._reader.is_deaf(now.mono):
            self._judge_silence(now)

    def _judge_silence(self, now: Instant) -> None:
        due = self._channel.next_timer
        try:
            if due is not None and due <= now.mono:
                self._channel.on_timer(now)
        except RemoteProtocolError as error:
            self._end(str(error))
        if self._probe_deadline is not None and self._probe_deadline <= now.mono:
            self._end("the peer does not answer")


def _count(messages: Sequence[Message]) -> int:
    """Return how many messages are not just between neighbours."""
    return sum([message.id is not NO_ID for message in messages])
