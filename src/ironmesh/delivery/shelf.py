"""Every message of ours that has not ended: how it comes in, and how it ends. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ironmesh.delivery.actions import Commit, Draft, OutboxAction, Settled
from ironmesh.delivery.agenda import Agenda
from ironmesh.delivery.entry import RANKS, End, Entry, Stage
from ironmesh.delivery.lane import Lane, OutboxLimits
from ironmesh.delivery.records import EndOutbox, OutboxRow, OutboxState, Snapshot
from ironmesh.types import Instant, MessageId, NodeId, Random
from ironmesh.wire.receipts import EPOCH_BYTES, split_id

STORE_PAUSE_S: Final = 5.0
"""When a read or write that the store refused is tried again."""


class Shelf:
    """Entries by id, and a lane for each destination."""

    def __init__(self, random: Random, limits: OutboxLimits) -> None:
        self._random = random
        self._limits = limits
        self._lanes: dict[NodeId, Lane] = {}
        self._entries: dict[MessageId, Entry] = {}
        self._orders = 0
        self.expiries: Agenda[Entry] = Agenda()
        self.retries: Agenda[Entry] = Agenda()
        """Entries that the transport has, by when they may have to go again."""
        self.unsaved: Agenda[Entry] = Agenda()
        """Ended entries whose end the store would not take, by when to try again."""

    # --- Looking up --------------------------------------------------------------------------

    def lane(self, peer: NodeId) -> Lane:
        """Return the lane of a destination; a new one if there is none."""
        lane = self._lanes.get(peer)
        if lane is None:
            lane = self._lanes[peer] = Lane(peer, self._limits)
        return lane

    def known_lane(self, peer: NodeId) -> Lane | None:
        """Return the lane of a destination, if there is one."""
        return self._lanes.get(peer)

    def lanes_of(self, entries: Iterable[Entry]) -> list[Lane]:
        """Return the lanes of some entries, each once."""
        return list(dict.fromkeys(self._lanes[entry.row.destination] for entry in entries))

    def get(self, message_id: MessageId) -> Entry | None:
        """Return an entry; None = its end is on disk, or it never was."""
        return self._entries.get(message_id)

    def find(self, ids: Iterable[MessageId]) -> list[Entry]:
        """Return the entries of those ids that have one, each once."""
        return [entry for entry in map(self._entries.get, dict.fromkeys(ids)) if entry is not None]

    # --- Coming in ---------------------------------------------------------------------------

    def restore(self, snapshot: Snapshot, now: Instant) -> list[Entry]:
        """Take over what a run before left; return what expired since."""
        for record in snapshot.epochs:
            lane = self.lane(record.destination)
            lane.epoch = record.epoch
            lane.next_number = lane.saved_next = record.next_number
        expired: list[Entry] = []
        for row in sorted(snapshot.outbox, key=self._age):
            left_s = row.lifetime_s - max(0.0, now.wall - row.as_of_wall)
            lane = self.lane(row.destination)
            _epoch, number = split_id(row.id)
            entry = self._enter(lane, row, number, now.mono + max(0.0, left_s), None)
            self.expiries.put(entry, entry.expires_at)
            entry.is_saved = True
            if row.state is OutboxState.HELD:
                lane.hold(entry)
            else:
                lane.wait(entry)
            if left_s <= 0:
                expired.append(entry)
        return expired

    def _age(self, row: OutboxRow) -> tuple[bool, int]:
        epoch, number = split_id(row.id)
        return self.lane(row.destination).epoch == epoch, number

    def admit(self, drafts: Iterable[Draft], now: Instant, entries: list[Entry]) -> None:
        """Take new messages in, and add to `entries` those that are in.

        Raises:
            QueueFullError: too much that is at least as urgent waits for a destination.
        """
        expiring: dict[float, list[Entry]] = {}
        try:
            for draft in drafts:
                entry = self._admit(draft, now)
                entries.append(entry)
                expiring.setdefault(entry.expires_at, []).append(entry)
        finally:
            for at, some in expiring.items():
                self.expiries.put_all(some, at)

    def _admit(self, draft: Draft, now: Instant) -> Entry:
        payload, priority, wall = draft.payload, draft.priority, now.wall
        size_bytes, rank = len(payload), RANKS[priority]
        lane = self._lanes.get(draft.destination) or self.lane(draft.destination)
        victims = () if lane.has_room(size_bytes) else lane.make_room(rank, size_bytes)
        if not lane.epoch:
            lane.epoch = self._random(EPOCH_BYTES)
        message_id, number = lane.next_id()
        row = OutboxRow(
            id=message_id,
            destination=lane.peer,
            type=draft.type,
            priority=priority,
            size_bytes=size_bytes,
            accepted_wall=wall,
            lifetime_s=draft.lifetime_s,
            as_of_wall=wall,
        )
        entry = self._enter(lane, row, number, now.mono + draft.lifetime_s, payload)
        if victims:
            entry.victims = victims
            self.expiries.drop_all(victims)
        return entry

    def _enter(
        self, lane: Lane, row: OutboxRow, number: int, expires_at: float, payload: bytes | None
    ) -> Entry:
        self._orders += 1
        entry = Entry(row, self._orders, number, RANKS[row.priority], expires_at, payload)
        self._entries[row.id] = entry
        lane.add(entry)
        return entry

    def undo(self, entry: Entry) -> None:
        """Nothing of an accepted message became lasting: it never was."""
        lane = self._lanes[entry.row.destination]
        if entry.stage is not Stage.ENDED:
            lane.leave(entry)
        lane.gone(entry)
        lane.take_back(entry.victims)
        for victim in entry.victims:
            self.expiries.put(victim, victim.expires_at)
        self._forget(entry)

    def saved(self, entries: Iterable[Entry], actions: list[OutboxAction]) -> None:
        """Accepted messages are on disk, and so is the end of those that made room for them."""
        lanes = self._lanes
        for entry in entries:
            lane = lanes[entry.row.destination]
            lane.saved(entry)
            if entry.victims:
                self._evict(lane, entry.victims, actions)
                entry.victims = ()
            if entry.end is not None:
                actions.append(_commit_ends([entry]))

    def _evict(self, lane: Lane, victims: Sequence[Entry], actions: list[OutboxAction]) -> None:
        for victim in victims:
            victim.stage = Stage.ENDED
            lane.gone(victim)
            self._forget(victim)
        tell_settled(victims, OutboxState.EVICTED, "made room for more urgent ones", actions)

    # --- Ending ------------------------------------------------------------------------------

    def end(
        self,
        entries: Sequence[Entry],
        state: OutboxState,
        reason: str,
        now: Instant,
        actions: list[OutboxAction],
    ) -> None:
        """End entries. What is a fact is told at once, what we decide once it is on disk.

        The end of one whose first commit is under way is committed after that.
        """
        if not entries:
            return
        end, lanes = End(state, now.wall, reason), self._lanes
        for entry in entries:
            lanes[entry.row.destination].leave(entry)
            entry.end = end
        self.expiries.drop_all(entries)
        self.retries.drop_all(entries)
        saved = [entry for entry in entries if entry.is_saved]
        if saved:
            # A receipt that we forget comes again when we send the message again.
            actions.append(_commit_ends(saved, can_wait=state is OutboxState.DELIVERED))
        if state is not OutboxState.CANCELLED:
            tell_settled(entries, state, reason, actions)

    def ends_saved(self, entries: Iterable[Entry]) -> list[Entry]:
        """The ends of entries are on disk; return those whose end is to be told now."""
        ended = [entry for entry in entries if entry.end is not None]
        lanes, known = self._lanes, self._entries
        for entry in ended:
            row = entry.row
            lanes[row.destination].gone(entry)
            del known[row.id]
        if self.unsaved:
            self.unsaved.drop_all(ended)
        cancelled = OutboxState.CANCELLED
        return [one for one in ended if one.end is not None and one.end.state is cancelled]

    def save_ends(self, now: Instant, actions: list[OutboxAction]) -> None:
        """Try again what the store would not take."""
        late = [entry for entry in self.unsaved.take_due(now.mono) if entry.end is not None]
        if late:
            actions.append(_commit_ends(late))

    def _forget(self, entry: Entry) -> None:
        self._entries.pop(entry.row.id, None)
        self.expiries.drop(entry)


def _commit_ends(entries: Sequence[Entry], *, can_wait: bool = False) -> Commit:
    alike: dict[tuple[NodeId, int, End], list[MessageId]] = {}
    last: tuple[NodeId, int, End] | None = None
    ids: list[MessageId] = []
    for entry in entries:
        row, end = entry.row, entry.end
        if end is None:
            continue
        attempts = row.attempts + entry.attempts
        if last is None or (last[0], last[1]) != (row.destination, attempts) or last[2] is not end:
            last = (row.destination, attempts, end)
            ids = alike.setdefault(last, [])
        ids.append(row.id)
    ops = tuple(
        EndOutbox(tuple(ids), destination, end.state, end.wall, end.reason, attempts)
        for (destination, attempts, end), ids in alike.items()
    )
    return Commit(ops, tuple([message_id for op in ops for message_id in op.ids]), can_wait)


def tell_settled(
    entries: Sequence[Entry], state: OutboxState, reason: str, actions: list[OutboxAction]
) -> None:
    """Tell of a new state, peer by peer."""
    by_peer: dict[NodeId, list[MessageId]] = {}
    for entry in entries:
        by_peer.setdefault(entry.row.destination, []).append(entry.row.id)
    actions.extend(Settled(peer, tuple(ids), state, reason) for peer, ids in by_peer.items())
