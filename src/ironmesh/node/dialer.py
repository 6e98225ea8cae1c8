"""Keeps dialling the peers that this node wants, until each is online and whenever one is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from ironmesh.discovery.policy import NATIVE_WAIT_FOR_CALL_S, DialPolicy
from ironmesh.discovery.record import FoundPeer
from ironmesh.errors import ConnectError, ConnectFailure, HandshakeError
from ironmesh.node.backoff import CONNECT_BASE_S, REFUSED_BASE_S, pause_s
from ironmesh.node.clock import Clock
from ironmesh.node.dial_guesses import DialGuess, DialGuesses
from ironmesh.node.entrance import AlreadyConnectedError, Dialled
from ironmesh.node.events import EventBus, Notice, PeerDiscovered
from ironmesh.node.handshaking import refused_by
from ironmesh.node.link import Link
from ironmesh.node.linktable import LinkTable
from ironmesh.node.ports import SUBPROTOCOLS, Transport
from ironmesh.node.sessions import Sessions
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.node.target import Target
from ironmesh.session.interface import ClaimRefusedError
from ironmesh.transport.interface import Connection
from ironmesh.types import Endpoint, NodeId, Random, Refusal

_log = logging.getLogger("ironmesh.node")

MAX_FOUND_TARGETS: Final = 256
"""Announcements that are followed at a time; more are not."""

_MAY_BE_PLAIN: Final = frozenset(
    {ConnectFailure.NOT_TLS, ConnectFailure.NOT_WEBSOCKET, ConnectFailure.TIMED_OUT}
)
"""Somebody is there, who may speak the other of wss and ws."""
_SOMEBODY_ELSE: Final = frozenset({Refusal.IDENTITY_CHANGED, Refusal.UNEXPECTED_IDENTITY})
"""Whom we wanted may be at another address: announcements are not authenticated."""


class Dialer:
    """Owns the targets of a node.

    Args:
        allow_plaintext: where TLS fails, dial without it, and remember what worked.
        may_begin_plain: begin so with addresses that are new, once it worked with another one. Not
            where listeners may speak both, as those of the 0.8 wire do: TLS would be given away.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        sessions: Sessions,
        links: LinkTable,
        policy: DialPolicy,
        events: EventBus,
        tasks: TaskSupervisor,
        clock: Clock,
        random: Random,
        allow_plaintext: bool,
        may_begin_plain: bool,
    ) -> None:
        self._transport = transport
        self._sessions = sessions
        self._links = links
        self._policy = policy
        self._events = events
        self._tasks = tasks
        self._clock = clock
        self._random = random
        self._allow_plaintext = allow_plaintext
        self._may_begin_plain = may_begin_plain
        self._begins_with_tls = True
        """How addresses that are new are dialled first."""
        self._found: dict[str, Target] = {}
        self._by_endpoint: dict[Endpoint, Target] = {}
        self._guesses = DialGuesses()
        self._pursuits: set[asyncio.Task[None]] = set()

    # --- Whom to dial ------------------------------------------------------------------------

    def add_address(self, endpoint: Endpoint) -> None:
        """Keep a session with whoever answers at an address that the operator gave."""
        if endpoint not in self._by_endpoint:
            target = Target(str(endpoint), (endpoint,), uses_tls=self._begins_with_tls)
            self._by_endpoint[endpoint] = target
            self._start(target)

    async def connect(self, endpoint: Endpoint) -> Link:
        """Dial an address now, and keep the session from then on.

        Returns:
            The link, once the peer has accepted us.

        Raises:
            ConnectError: nobody answers.
            HandshakeError: the handshake failed, or the peer hung up after it.
        """
        known = self._by_endpoint.get(endpoint)
        uses_tls = self._begins_with_tls if known is None else known.uses_tls
        target = Target(str(endpoint), (endpoint,), uses_tls=uses_tls)
        link = await self._dial_once(target)
        known = self._by_endpoint.setdefault(endpoint, target)
        if known is target:
            self._start(target, link)
        elif known.node_id != link.peer:
            known.node_id = link.peer
            known.poked.set()
        return link

    async def _dial_once(self, target: Target) -> Link:
        try:
            link = await self._dial(target)
        except AlreadyConnectedError as error:
            other = self._links.get(error.node_id)
            if other is None:
                raise
            return other
        is_accepted = await link.wait_confirmed()
        # Another session with this peer may stay instead of this one.
        other = self._links.get(link.peer)
        if other is not None:
            return other
        if is_accepted:
            return link
        raise refused_by(link)

    def follow(self, peer: FoundPeer, *, waits_for_call: bool) -> None:
        """Keep a session with a node that discovery found.

        A peer that is online is followed as well: it may be lost without being announced anew.

        Args:
            waits_for_call: give it a moment to dial us.
        """
        target = self._found.get(peer.key)
        if target is None:
            if len(self._found) >= MAX_FOUND_TARGETS:
                return
            target = Target(
                str(peer.endpoints[0]),
                peer.endpoints,
                found=peer,
                key=peer.key,
                uses_tls=self._begins_with_tls,
                wait_for_call_s=NATIVE_WAIT_FOR_CALL_S if waits_for_call else 0.0,
            )
            self._found[peer.key] = target
            self._start(target)
        elif target.learn(peer.endpoints):
            target.failures = 0
            target.poked.set()
        else:
            return
        self._events.publish(PeerDiscovered(peer.name, str(peer.endpoints[0])))

    def is_following(self, endpoints: Iterable[Endpoint]) -> bool:
        """Tell whether a node that was found is looked for at one of these."""
        followed = {endpoint for target in self._found.values() for endpoint in target.endpoints}
        return not followed.isdisjoint(endpoints)

    def lost(self, key: str) -> None:
        """Discovery no longer sees a node; a session with it goes on.

        Without one it is not dialled any more: a label lives as long as its node runs, and a node
        that comes back is found again.
        """
        for target in self._found.values():
            if target.found is not None and target.found.key == key:
                _log.debug("%s is no longer announced", target.label)
                target.is_announced = False
                target.poked.set()

    def forget(self, node_id: NodeId) -> None:
        """This peer is no longer known: whoever answers where it did may be a new one."""
        for target in self._targets():
            if target.node_id == node_id:
                target.node_id = None
                target.poked.set()

    def _tell_refused(self, target: Target, link: Link) -> None:
        """Tell people why a peer does not want us, once until it says something else."""
        refusal = str(refused_by(link))
        if refusal != target.refusal:
            target.refusal = refusal
            self._events.publish(Notice(refusal, is_warning=True))

    def stop(self) -> None:
        """Dial nobody any more; what was dialled goes on."""
        for task in self._pursuits:
            task.cancel()

    # --- Dialling ----------------------------------------------------------------------------

    def _start(self, target: Target, link: Link | None = None) -> None:
        task = self._tasks.spawn(self._pursue(target, link), name=f"dial-{target.label}")
        self._pursuits.add(task)
        task.add_done_callback(self._pursuits.discard)

    async def _pursue(self, target: Target, link: Link | None = None) -> None:
        if link is not None:
            await self._keep(target, link)
        if target.wait_for_call_s:
            await self._pause(target, target.wait_for_call_s)
        while target.is_announced or self._online_link(target):
            other = self._online_link(target)
            if other is not None:
                await self._keep(target, other)
            elif not await self._try(target):
                break
        self._found.pop(target.key, None)

    async def _try(self, target: Target) -> bool:
        """Dial, and stay while the session lasts; False if this peer is not wanted."""
        try:
            link = await self._dial(target)
        except ConnectError as error:
            _log.debug("%s: %s", target.label, error)
            await self._pause_after_failure(target, CONNECT_BASE_S)
        except AlreadyConnectedError as error:
            target.node_id = error.node_id
        except HandshakeError as error:
            if self._is_unwanted(target, error):
                return False
            target.first += 1
            await self._pause_after_failure(target, REFUSED_BASE_S)
        else:
            await self._keep(target, link)
        return True

    def _is_unwanted(self, target: Target, error: HandshakeError) -> bool:
        """Tell whether an announcement led to somebody whom we do not want a session with."""
        if target.found is None or error.reason not in (Refusal.NOT_ALLOWED, Refusal.SELF):
            return False
        if target.node_id is not None:
            # Of its label more is known: that an address leads elsewhere, says nothing of it.
            return error.reason is Refusal.NOT_ALLOWED
        self._policy.unlisted(target.found.label)
        return True

    async def _keep(self, target: Target, link: Link) -> None:
        """Wait while the session lasts, then a little, so that two ends do not chase each other."""
        known, target.node_id = target.node_id, link.peer
        await link.wait_ended()
        if not link.was_confirmed:
            if not self._links.is_online(link.peer):
                target.node_id = known  # it never was a session
            self._tell_refused(target, link)
            await self._pause_after_failure(target, REFUSED_BASE_S)
            return
        target.failures, target.refusal = 0, ""
        rest = target.wait_for_call_s or 0.2
        await self._pause(target, rest * (1.0 + self._jitter()))

    async def _pause_after_failure(self, target: Target, base_s: float) -> None:
        target.failures += 1
        pause = pause_s(target.failures, base_s, self._jitter())
        _log.info("dialling %s again in %.1f s", target.label, pause)
        await self._pause(target, pause)

    async def _pause(self, target: Target, pause: float) -> None:
        try:
            async with asyncio.timeout(pause):
                await target.poked.wait()
        except TimeoutError:
            return
        target.poked.clear()

    def _online_link(self, target: Target) -> Link | None:
        return self._links.get(target.node_id) if target.node_id is not None else None

    async def _dial(self, target: Target) -> Link:
        error: ConnectError | HandshakeError | None = None
        for endpoint in target.in_turn():
            try:
                link = await self._dial_endpoint(target, endpoint)
            except ConnectError as failure:
                error = error or failure
            except HandshakeError as refusal:
                is_own = refusal.reason is Refusal.SELF and target.node_id is not None
                if refusal.reason not in _SOMEBODY_ELSE and not is_own:
                    raise
                self._note_where(target, endpoint, refusal)
                error = refusal
            else:
                target.answered(endpoint)
                return link
        raise error or ConnectError(f"no address of {target.label} is known")

    def _note_where(self, target: Target, endpoint: Endpoint, refusal: HandshakeError) -> None:
        """Addresses move: who answered in another's place may be whom another target is about."""
        if refusal.reason is not Refusal.UNEXPECTED_IDENTITY:
            return
        if not isinstance(refusal, ClaimRefusedError):
            return
        peer = refusal.claim.node_id
        other = next((each for each in self._targets() if each.node_id == peer), None)
        if other is not None:
            if not self._links.is_online(peer):
                other.seen_at(endpoint)
        elif target.found is not None and endpoint != target.answered_at:
            self._part(target.found, endpoint, peer)

    def _part(self, found: FoundPeer, endpoint: Endpoint, peer: NodeId) -> None:
        """Two nodes answer under one label: look for this one as well, at its address."""
        key = f"{found.key} {peer}"
        if len(self._found) < MAX_FOUND_TARGETS and key not in self._found:
            target = Target(str(endpoint), (endpoint,), found=found, node_id=peer, key=key)
            self._found[key] = target
            self._start(target)

    def _targets(self) -> list[Target]:
        return [*self._by_endpoint.values(), *self._found.values()]

    async def _dial_endpoint(self, target: Target, endpoint: Endpoint) -> Link:
        address = str(endpoint)
        rest_s = self._guesses.wait_s(
            address, self._clock.now().mono, is_announced=not target.is_given
        )
        if rest_s:
            raise ConnectError(
                f"{target.label} is dialled again in {rest_s:.0f} s",
                "its last answer did not prove the passphrase: check whom the address leads to",
            )
        error: ConnectError | None = None
        for use_tls in self._schemes(target):
            try:
                connection = await self._transport.dial(
                    endpoint, use_tls=use_tls, subprotocols=SUBPROTOCOLS
                )
            except ConnectError as failure:
                error = error or failure
                if failure.failure not in _MAY_BE_PLAIN:
                    break
                continue
            link = await self._open(target, connection, address)
            target.uses_tls = use_tls
            self._begins_with_tls = use_tls or not self._may_begin_plain
            return link
        raise error or ConnectError(f"{target.label} cannot be dialled")

    async def _open(self, target: Target, connection: Connection, address: str) -> Link:
        guess = DialGuess(self._guesses, address, self._clock, is_announced=not target.is_given)
        dialled = Dialled(target.node_id, guess, target.is_given)
        link = await self._sessions.open(connection, dialled)
        guess.was_right()
        return link

    def _schemes(self, target: Target) -> tuple[bool, ...]:
        if not self._allow_plaintext:
            return (True,)
        return (target.uses_tls, not target.uses_tls)

    def _jitter(self) -> float:
        return int.from_bytes(self._random(4), "big") / 2.0**32
