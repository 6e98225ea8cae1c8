"""One live session over one connection: a reader, a writer, and a queue for each priority."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from enum import Enum
from typing import Final, Protocol

import msgspec

from ironmesh.errors import ConnectionClosed, RemoteProtocolError
from ironmesh.node.clock import Clock
from ironmesh.node.pacing import Pacer
from ironmesh.node.sendqueue import SendQueue
from ironmesh.session.interface import (
    Channel,
    ChannelEvent,
    Opened,
    PeerAlive,
    PeerClosing,
    Piece,
    UnitRefused,
)
from ironmesh.transport.interface import Connection, ConnectionInfo
from ironmesh.types import NO_ID, LinkInfo, Message, NodeId, Refusal, Unit

PROBE_S: Final = 3.0
"""How long a peer has to answer when there is doubt that it still lives."""
CONFIRM_S: Final = 10.0
"""How long a peer that we accepted has to show that it accepted us."""
SPARE_S: Final = 4.0
"""How long a link that another one replaced is still read; longer than `PROBE_S`."""
FAREWELL_S: Final = 1.0
"""How long a peer has to answer our goodbye with its own."""

COMPANY_S: Final = 0.001
"""How long what can wait waits for something to go with: a record of its own costs more than it."""
MAX_WAITING: Final = 16
"""With so many messages nothing waits any more."""
FRESH_S: Final = 1.0
"""A ping that has been on its way for less than this answers whoever asks now as well."""
DEAF_S: Final = 1.0
"""A handler that holds the reader up for longer is slow."""


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
    """Who is told what happens on a link; every call is quick, `deliver` may hold the reader up."""

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

    async def deliver(self, link: Link, messages: list[Message]) -> None:
        """Take messages; the reader waits meanwhile, which slows the peer down."""
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
        self._queue = SendQueue(channel.link.piece_bytes)
        self._pacer = Pacer(channel.link.frames_per_second, channel.link.frame_burst, now.mono)
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._company: asyncio.TimerHandle | None = None
        self._opening = opening
        self._delivering_since: float | None = None
        self._deaf_until = now.mono
        self._probe_deadline: float | None = None if is_confirmed else now.mono + CONFIRM_S
        self._spare_until: float | None = None
        self._close_by: float | None = None
        self._has_peer_left = False
        self._is_listening = True
        self._confirmed = asyncio.Event()
        self._ended = asyncio.Event()
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
    def is_listening(self) -> bool:
        """What the peer sends is still taken."""
        return self._is_listening

    @property
    def is_full(self) -> bool:
        """Whoever has more to send waits for room."""
        return self._queue.is_full

    @property
    def queued(self) -> int:
        """Messages that wait to be written."""
        return len(self._queue)

    # --- What others do ----------------------------------------------------------------------

    def enqueue(self, messages: Sequence[Message], *, can_wait: bool = False) -> None:
        """Queue messages; the writer takes the most urgent first.

        Args:
            can_wait: for `COMPANY_S`, so that others go in the same record.
        """
        self._queue.put(messages)
        if not can_wait or len(self._queue) > MAX_WAITING:
            self._wake.set()
        elif self._company is None and not self._wake.is_set():
            loop = asyncio.get_running_loop()
            self._company = loop.call_later(COMPANY_S, self._wake.set)

    async def wait_for_room(self) -> None:
        """Return once the queue is below its high-water mark, or the link is over."""
        await self._queue.wait_for_room()

    def ping(self) -> None:
        """Ask the peer for a sign of life; `rtt_s` changes when it comes."""
        now = self._clock.now()
        self._pinged_at = now.mono
        self._channel.ping(now)
        self._wake.set()

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

    def set_aside(self) -> None:
        """Another link took over: read on for a while, and send nothing more."""
        if self.state in (LinkState.ACCEPTED, LinkState.ONLINE):
            self.state = LinkState.SPARE
            self._spare_until = self._clock.now().mono + SPARE_S
            self._wake.set()

    def reinstate(self) -> None:
        """The link that took over is gone: carry messages again."""
        if self.state is LinkState.SPARE:
            self.state = LinkState.ONLINE
            self._spare_until = None
            self._wake.set()

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
            self._queue.release()
        self._wake.set()

    def abort(self) -> None:
        """End the session at once, without a goodbye."""
        self._connection.abort()

    def drop_queued(self) -> None:
        """Forget the messages that are not being written yet: another link takes over."""
        self._queue.take_all()

    # --- Its life ----------------------------------------------------------------------------

    async def run(self) -> str:
        """Serve the session until it ends; return why it ended, for people."""
        writer = asyncio.create_task(self._write(), name=f"link-writer-{self.peer[:8]}")
        self._wake.set()
        try:
            return await self._read()
        finally:
            self.state = LinkState.CLOSED
            self._queue.release()
            self._confirmed.set()
            self._ended.set()
            self._measured(None)
            writer.cancel()
            try:
                await self._connection.close()
                with contextlib.suppress(asyncio.CancelledError):
                    await writer
            finally:
                self._stop_waiting()
                if self._timer is not None:
                    self._timer.cancel()
                self._channel.close(self._reason, self._clock.now())

    async def _read(self) -> str:
        try:
            while True:
                units = await self._connection.receive_many()
                self.traffic.bytes_received += sum(map(len, units))
                await self._take(units)
        except ConnectionClosed as error:
            return self._reason or self._how_it_broke(error)
        except RemoteProtocolError as error:
            self._owner.link_event(self, UnitRefused(error.reason, str(error)))
            return self._reason or f"{error.reason}: {error}"

    def _how_it_broke(self, error: ConnectionClosed) -> str:
        return f"{Refusal.TRUNCATED}: {error.what}" if self._channel.is_truncated else error.what

    async def _take(self, units: list[Unit]) -> None:
        """Open what arrived, and hand over in one go the messages that follow one another."""
        messages: list[Message] = []
        now = self._clock.now()
        for unit in units:
            if not self._is_listening:
                return
            try:
                opened = self._channel.open(unit, now)
            except RemoteProtocolError:
                await self._deliver(messages)
                raise
            if opened.events or not opened.messages:
                await self._deliver(messages)
                messages = []
                now = self._clock.now()
                self._take_control(opened, now.mono)
            messages += opened.messages
        await self._deliver(messages)

    def _take_control(self, opened: Opened, now: float) -> None:
        """Whatever is not a message may give the writer something to do."""
        if self._counts_as_heard(opened):
            self._hear(now)
        for event in opened.events:
            if isinstance(event, PeerAlive):
                self.rtt_s = event.rtt_s
                self._pinged_at = None
                self._measured(event.rtt_s)
            elif isinstance(event, PeerClosing):
                self._has_peer_left = True
                self.close_soon(event.reason or "the peer said goodbye")
            self._owner.link_event(self, event)
        self._wake.set()

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
            self._wake.set()

    async def _deliver(self, messages: list[Message]) -> None:
        if not messages:
            return
        began = self._delivering_since = self._clock.now().mono
        self._hear(began)
        self.traffic.messages_received += _count(messages)
        try:
            await self._owner.deliver(self, messages)
        finally:
            self._delivering_since = None
            now = self._clock.now().mono
            if now - began > DEAF_S:
                # What arrived meanwhile is read first, then the peer's silence is judged.
                self._deaf_until = now + DEAF_S

    def _is_deaf(self, now: float) -> bool:
        """Tell whether the peer's silence is ours: a slow handler keeps us from reading."""
        since = self._delivering_since
        return now < self._deaf_until or (since is not None and now - since > DEAF_S)

    async def _write(self) -> None:
        try:
            await self._connection.send(self._opening)
            while not self._is_over():
                await self._wake.wait()
                self._wake.clear()
                self._stop_waiting()
                self._run_timers()
                await self._drain()
                self._arm_timer()
        except ConnectionClosed:
            pass  # the reader sees it too, and says why
        except RemoteProtocolError as error:
            self._reason = self._reason or str(error)
        finally:
            await self._connection.close()

    def _stop_waiting(self) -> None:
        if self._company is not None:
            self._company.cancel()
            self._company = None

    def _is_over(self) -> bool:
        """Tell whether nothing is left to be written and nothing more is awaited."""
        if self.state is not LinkState.CLOSING or self._wake.is_set():
            return False
        is_awaited = self._is_listening and self.info.is_ours and not self._has_peer_left
        is_late = self._close_by is not None and self._close_by <= self._clock.now().mono
        return is_late or not is_awaited

    async def _drain(self) -> None:
        """Write what may go now: waiting control traffic, then the most urgent messages."""
        while self.state is not LinkState.CLOSING:
            now = self._clock.now()
            batch, piece = self._next_batch(now.mono)
            if not batch and piece is None and not self._channel.wants_write:
                return
            units = self._channel.seal(batch, now, piece)
            self._pacer.spend(len(units), now.mono)
            await self._connection.send(units)
            if piece is not None and piece.is_last:
                batch = [piece.message]
            if batch:
                self._owner.link_written(batch)
            self.traffic.messages_sent += _count(batch)
            self.traffic.bytes_sent += sum(map(len, units))
        await self._connection.send(self._channel.goodbye(self._reason, self._clock.now()))

    def _next_batch(self, now: float) -> tuple[list[Message], Piece | None]:
        """Return messages to write, or the next piece of a large one."""
        if not len(self._queue) or self._channel.is_holding or not self.is_usable:
            return [], None
        piece = self._queue.take_piece()
        if piece is not None:
            return [], piece
        return self._queue.take_batch(self._pacer.available(now)), None

    def _run_timers(self) -> None:
        now = self._clock.now()
        if self._spare_until is not None and self._spare_until <= now.mono:
            self._spare_until = None
            self.close_soon("duplicate")
        if self._is_deaf(now.mono):
            return
        due = self._channel.next_timer
        if due is not None and due <= now.mono:
            self._channel.on_timer(now)
        if self._probe_deadline is not None and self._probe_deadline <= now.mono:
            raise RemoteProtocolError(Refusal.TIMEOUT, "the peer does not answer")

    def _arm_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock.now().mono
        wanted = [self._channel.next_timer, self._probe_deadline]
        if self._is_deaf(now):
            wanted = [max(at, now + DEAF_S) for at in wanted if at is not None]
        wanted += [self._spare_until, self._close_by]
        if len(self._queue) and self.is_usable and not self._channel.is_holding:
            wanted.append(self._pacer.next_at(now))
        times = [at for at in wanted if at is not None]
        if times:
            delay = max(min(times) - now, 0.0)
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake.set)


def _count(messages: Sequence[Message]) -> int:
    """Return how many messages are not just between neighbours."""
    return sum([message.id is not NO_ID for message in messages])
