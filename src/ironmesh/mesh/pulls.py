"""Asks for what is known by its hash only: once, and elsewhere if nobody answers. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from ironmesh.types import NodeId
from ironmesh.wire.native.noderecords import MAX_HASHES

ANSWER_S: Final = 5.0
"""After the first request; each further one gets twice the time."""
MAX_ANSWER_S: Final = 10.0
MAX_TRIES: Final = 8
MAX_ASKED: Final = 512
"""Asked of one peer and not answered."""
MAX_WAITERS: Final = 16


class Pull(NamedTuple):
    """Ask a peer for what has these hashes."""

    peer: NodeId
    hashes: tuple[bytes, ...]


class _Wanted:
    __slots__ = ("asked", "due", "is_ours", "origin", "tried", "tries", "waiters")

    def __init__(self, origin: NodeId) -> None:
        self.origin = origin
        self.is_ours = False
        """We need it ourselves."""
        self.asked: NodeId | None = None
        self.due = 0.0
        self.tries = 0
        self.tried: set[NodeId] = set()
        self.waiters: set[NodeId] = set()
        """Peers that asked us for it."""


class Pulls:
    """What is wanted, and from whom.

    Args:
        next_hops: the neighbours on the way to a node, the best first: they are asked first.
    """

    def __init__(self, next_hops: Callable[[NodeId], Sequence[NodeId]]) -> None:
        self._next_hops = next_hops
        self._peers: dict[NodeId, int] = {}
        """Neighbours, and how much each was asked for."""
        self._wanted: dict[bytes, _Wanted] = {}
        self._idle: dict[bytes, None] = {}
        """Wanted, and asked of nobody, in the order in which it will be."""
        self._due: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self._wanted)

    def __contains__(self, wanted: bytes) -> bool:
        return wanted in self._wanted

    @property
    def next_timer(self) -> float | None:
        """When to call `timer`, in monotonic seconds; None = no need."""
        self._drop_settled()
        return self._due[0][0] if self._due else None

    def link_up(self, peer: NodeId, now: float) -> list[Pull]:
        """A neighbour can be asked from now on."""
        self._peers.setdefault(peer, 0)
        return self.ask(now)

    def link_down(self, peer: NodeId, now: float) -> list[Pull]:
        """A neighbour is gone: what it was asked for is asked of others."""
        self._peers.pop(peer, None)
        for wanted, each in self._wanted.items():
            each.waiters.discard(peer)
            if each.asked == peer:
                each.asked = None
                self._idle[wanted] = None
        return self.ask(now)

    def want(self, wanted: bytes, origin: NodeId, waiter: NodeId | None = None) -> None:
        """Something is wanted that `origin` made; `ask` then says whom to ask.

        Args:
            waiter: the peer that asked us; None = we need it ourselves.
        """
        each = self._wanted.get(wanted)
        if each is None:
            each = self._wanted[wanted] = _Wanted(origin)
            self._idle[wanted] = None
        if waiter is None:
            each.is_ours = True
        elif len(each.waiters) < MAX_WAITERS:
            each.waiters.add(waiter)

    def again(self, origin: NodeId) -> None:
        """A route leads to `origin` again: who could not answer before may now."""
        for wanted, each in self._wanted.items():
            if each.origin == origin and each.asked is not None:
                self._answered(each)
                each.tries = 0
                each.tried.clear()
                self._idle[wanted] = None

    def settle(self, wanted: bytes) -> Iterable[NodeId]:
        """Something came, or is not wanted any more; return which peers wait for it."""
        each = self._wanted.pop(wanted, None)
        if each is None:
            return ()
        self._idle.pop(wanted, None)
        self._answered(each)
        return sorted(each.waiters)

    def timer(self, now: float) -> list[Pull]:
        """Ask others for what was not answered in time."""
        self._drop_settled()
        while self._due and self._due[0][0] <= now:
            _, wanted = heapq.heappop(self._due)
            each = self._wanted[wanted]
            self._answered(each)
            if each.tries < MAX_TRIES:
                self._idle[wanted] = None
            else:
                del self._wanted[wanted]
            self._drop_settled()
        return self.ask(now)

    def ask(self, now: float) -> list[Pull]:
        """Return what to ask, of whom."""
        asks: dict[NodeId, list[bytes]] = {}
        while self._idle:
            wanted = next(iter(self._idle))
            each = self._wanted[wanted]
            able = self._able(each)
            if not able and self._peers and not each.is_ours:
                self.settle(wanted)
                continue
            peer = self._whom(each, able)
            if peer is None:
                break
            del self._idle[wanted]
            each.asked = peer
            each.tried.add(peer)
            each.due = now + min(ANSWER_S * 2.0**each.tries, MAX_ANSWER_S)
            each.tries += 1
            self._peers[peer] += 1
            heapq.heappush(self._due, (each.due, wanted))
            asks.setdefault(peer, []).append(wanted)
        return [
            Pull(peer, tuple(hashes[at : at + MAX_HASHES]))
            for peer, hashes in asks.items()
            for at in range(0, len(hashes), MAX_HASHES)
        ]

    def _able(self, each: _Wanted) -> list[NodeId]:
        """Return who may have something, the likeliest first; last, if we need it, who asks for it.

        Who asked may have it by now: it may have given up asking us, and is perhaps the only way.
        """
        likely = [peer for peer in self._next_hops(each.origin) if peer in self._peers]
        peers = [*likely, *[peer for peer in self._peers if peer not in likely]]
        able = [peer for peer in peers if peer not in each.waiters]
        return [*able, *[peer for peer in peers if peer in each.waiters]] if each.is_ours else able

    def _whom(self, each: _Wanted, able: Sequence[NodeId]) -> NodeId | None:
        """Return the best that was not asked yet, or begin again with the best."""
        free = [peer for peer in able if self._peers[peer] < MAX_ASKED]
        new = next((peer for peer in free if peer not in each.tried), None)
        if new is None and free:
            each.tried.clear()
            new = free[0]
        return new

    def _answered(self, each: _Wanted) -> None:
        if each.asked in self._peers:
            self._peers[each.asked] -= 1
        each.asked = None

    def _drop_settled(self) -> None:
        """Take out of the agenda what is not waited for any more."""
        while self._due:
            due, wanted = self._due[0]
            each = self._wanted.get(wanted)
            if each is not None and each.asked is not None and each.due == due:
                return
            heapq.heappop(self._due)
