"""The sending half of the promise: what was accepted is on disk, and ends in an end that is told.

The shell commits what `accept` returns and reports it. Every other input returns actions, which
the shell carries out in their order:

    accepted = outbox.accept(drafts, now)           # commit accepted.ops, then:
    actions = outbox.committed(accepted.ids, now)   # or commit_failed
    actions = outbox.link_up(peer, ...)             # and link_down
    actions = outbox.written(ids, now)              # the transport has them
    actions = outbox.receipt(peer, receipt, now)
    actions = outbox.timer(now)                     # at outbox.next_timer
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

from ironmesh.delivery.actions import (
    MAX_LIFETIME_S,
    Accepted,
    Commit,
    Draft,
    ForgedReceipt,
    OutboxAction,
    Settled,
)
from ironmesh.delivery.entry import Entry, Stage
from ironmesh.delivery.lane import Lane, LaneLink, OutboxLimits
from ironmesh.delivery.records import (
    OutboxState,
    PutOutbox,
    Snapshot,
    StoreOp,
    UpdateOutbox,
)
from ironmesh.delivery.sender import Sender
from ironmesh.delivery.shelf import STORE_PAUSE_S, Shelf, tell_settled
from ironmesh.errors import DeliveryError, MessageTooLargeError
from ironmesh.types import Instant, MessageId, NodeId, Random
from ironmesh.wire.receipts import Receipt, Verdict

_ENDED: Final = Stage.ENDED
_ACCEPTED: Final = Stage.ACCEPTED
_YIELDING: Final = Stage.YIELDING


class Outbox:
    """Messages of ours on their way to all destinations.

    Args:
        own_id: the source of every message.
        random: where epochs and the jitter of retries come from.
    """

    def __init__(self, own_id: NodeId, random: Random, limits: OutboxLimits | None = None) -> None:
        self._limits = limits or OutboxLimits()
        self._shelf = Shelf(random, self._limits)
        self._sender = Sender(own_id, random, self._shelf)

    # --- What others ask ---------------------------------------------------------------------

    @property
    def next_timer(self) -> float | None:
        """When to call `timer`, in monotonic seconds; None = no need."""
        moments = (
            self._shelf.expiries.next,
            self._shelf.retries.next,
            self._shelf.unsaved.next,
            self._sender.resumes.next,
            self._sender.floors.next,
        )
        return min((at for at in moments if at is not None), default=None)

    def state(self, message_id: MessageId) -> OutboxState | None:
        """Return the state of a message that has not ended; None = it has, or never was.

        A cancelled one has ended once that is on disk.
        """
        entry = self._shelf.get(message_id)
        if entry is None or (entry.stage is Stage.ENDED and not entry.is_being_cancelled):
            return None
        return OutboxState.HELD if entry.stage is Stage.HELD else OutboxState.QUEUED

    def count(self, peer: NodeId) -> int:
        """Return how many messages for a peer have not ended."""
        lane = self._shelf.known_lane(peer)
        return lane.count if lane is not None else 0

    def size_bytes(self, peer: NodeId) -> int:
        """Return the size of their payloads."""
        lane = self._shelf.known_lane(peer)
        return lane.size_bytes if lane is not None else 0

    # --- Accepting ---------------------------------------------------------------------------

    def restore(self, snapshot: Snapshot, now: Instant) -> list[OutboxAction]:
        """Go on where the last run ended; call it once, first."""
        actions: list[OutboxAction] = []
        expired = self._shelf.restore(snapshot, now)
        self._shelf.end(expired, OutboxState.EXPIRED, "", now, actions)
        return actions

    def accept(self, drafts: Sequence[Draft], now: Instant) -> Accepted:
        """Take messages in: all of them, or none.

        Raises:
            MessageTooLargeError: a payload does not fit the link of its destination.
            QueueFullError: too much that is at least as urgent waits for a destination.
            DeliveryError: a lifetime out of range.
        """
        self._check(drafts)
        entries: list[Entry] = []
        try:
            self._shelf.admit(drafts, now, entries)
        except DeliveryError:
            for entry in reversed(entries):
                self._shelf.undo(entry)
            raise
        rows = [(one.row, draft.payload) for one, draft in zip(entries, drafts, strict=True)]
        victims = chain.from_iterable([entry.victims for entry in entries if entry.victims])
        ops: list[StoreOp] = [*_evictions(victims, now), PutOutbox(tuple(rows))]
        return Accepted(tuple([row.id for row, _payload in rows]), tuple(ops))

    def _check(self, drafts: Sequence[Draft]) -> None:
        limits = {one: self._limit(one) for one in {draft.destination for draft in drafts}}
        for draft in drafts:
            limit = limits[draft.destination]
            if len(draft.payload) > limit:
                raise MessageTooLargeError(
                    f"the payload has {len(draft.payload)} bytes, the wire carries {limit}",
                    "send it in smaller parts",
                )
            if not 0 < draft.lifetime_s <= MAX_LIFETIME_S:
                raise DeliveryError(
                    f"a lifetime of {draft.lifetime_s:g} seconds is not possible",
                    f"use more than 0 and at most {MAX_LIFETIME_S:.0f} seconds (14 days)",
                )

    def _limit(self, destination: NodeId) -> int:
        lane = self._shelf.known_lane(destination)
        if lane is None or lane.link is None:
            return self._limits.unknown_wire_bytes
        return lane.link.max_payload_bytes

    def committed(self, ids: Sequence[MessageId], now: Instant) -> list[OutboxAction]:
        """What was accepted, or the end of what was on its way, is on disk."""
        actions: list[OutboxAction] = []
        entries = self._shelf.find(ids)
        ended = [entry for entry in entries if entry.is_saved]
        self._shelf.saved([entry for entry in entries if not entry.is_saved], actions)
        cancelled = self._shelf.ends_saved(ended)
        if cancelled:
            tell_settled(cancelled, OutboxState.CANCELLED, "", actions)
        for lane in self._shelf.lanes_of(entries):
            self._sender.pump(lane, now, actions)
            self._sender.offer_floor(lane, now, actions)
        return actions

    def commit_failed(self, ids: Sequence[MessageId], now: Instant) -> list[OutboxAction]:
        """A commit failed: accepted messages never were; ends are written later."""
        actions: list[OutboxAction] = []
        entries = self._shelf.find(ids)
        for entry in reversed(entries):
            if not entry.is_saved:
                self._shelf.undo(entry)
            elif entry.end is not None:
                self._shelf.unsaved.put(entry, now.mono + STORE_PAUSE_S)
        self._pump_all(entries, now, actions)
        return actions

    # --- Links -------------------------------------------------------------------------------

    def link_up(
        self, peer: NodeId, can_confirm: bool, max_payload_bytes: int, now: Instant
    ) -> list[OutboxAction]:
        """A link to a peer is ready, or took the place of another one.

        Args:
            can_confirm: the peer sends receipts (it runs this implementation).
            max_payload_bytes: what does not fit ends as refused.
        """
        actions: list[OutboxAction] = []
        link = LaneLink(can_confirm, max_payload_bytes)
        self._sender.link_up(self._shelf.lane(peer), link, now, actions)
        return actions

    def link_down(self, peer: NodeId) -> None:
        """The link to a peer is gone: what the peer did not confirm waits for the next one."""
        lane = self._shelf.known_lane(peer)
        if lane is not None:
            self._sender.link_down(lane)

    def loaded(
        self,
        peer: NodeId,
        ids: Sequence[MessageId],
        payloads: Sequence[bytes | None],
        now: Instant,
    ) -> list[OutboxAction]:
        """The payloads that a `Load` asked for; None where the store has none."""
        actions: list[OutboxAction] = []
        found = dict(zip(ids, payloads, strict=True))
        self._sender.loaded(self._shelf.lane(peer), found, now, actions)
        return actions

    def load_failed(self, peer: NodeId, ids: Sequence[MessageId], now: Instant) -> None:
        """A `Load` failed: it is asked for again a little later."""
        self._sender.load_failed(self._shelf.lane(peer), ids, now)

    def written(self, ids: Sequence[MessageId], now: Instant) -> list[OutboxAction]:
        """The transport has these; to a peer that cannot confirm, that is their end."""
        actions: list[OutboxAction] = []
        self._sender.written(self._shelf.find(ids), now, actions)
        return actions

    # --- What destinations say ---------------------------------------------------------------

    def receipt(self, peer: NodeId, receipt: Receipt, now: Instant) -> list[OutboxAction]:
        """A peer says what became of messages; only the destination of a message may."""
        lane = self._shelf.lane(peer)
        actions: list[OutboxAction] = []
        # It cannot concern one that never went, or that is over.
        entries = [
            one
            for one in self._shelf.find(receipt.ids)
            if not (one.stage is _ENDED or one.stage is _ACCEPTED or one.stage is _YIELDING)
        ]
        mine = [entry for entry in entries if entry.row.destination == peer]
        if len(mine) < len(entries):
            forged = tuple(entry.row.id for entry in entries if entry.row.destination != peer)
            actions.append(ForgedReceipt(peer, forged))
        lane.answered(mine, now.mono)
        match receipt.verdict:
            case Verdict.ACCEPTED:
                lane.halts = 0
                self._shelf.end(mine, OutboxState.DELIVERED, "", now, actions)
            case Verdict.REFUSED:
                self._shelf.end(mine, OutboxState.REFUSED, receipt.reason, now, actions)
            case Verdict.HELD:
                self._hold(lane, mine, receipt.reason, actions)
            case Verdict.BUSY:
                self._sender.busy(lane, mine, now)
        self._sender.pump(lane, now, actions)
        return actions

    def _hold(
        self, lane: Lane, entries: list[Entry], reason: str, actions: list[OutboxAction]
    ) -> None:
        held = [entry for entry in entries if entry.stage is not Stage.HELD]
        for entry in held:
            self._shelf.retries.drop(entry)
            lane.hold(entry)
        if held:
            ids = tuple(entry.row.id for entry in held)
            state = OutboxState.HELD
            ops = tuple(UpdateOutbox(one, lane.peer, state, reason=reason) for one in ids)
            actions += [Commit(ops), Settled(lane.peer, ids, state, reason)]

    # --- What people do ----------------------------------------------------------------------

    def cancel(self, ids: Sequence[MessageId], now: Instant) -> list[OutboxAction]:
        """Take messages back; what is on the wire may arrive. Unknown ones are passed over."""
        actions: list[OutboxAction] = []
        entries = [
            entry
            for entry in self._shelf.find(ids)
            if entry.stage not in (Stage.ENDED, Stage.YIELDING)
        ]
        self._shelf.end(entries, OutboxState.CANCELLED, "", now, actions)
        self._pump_all(entries, now, actions)
        return actions

    def retry(self, ids: Sequence[MessageId], now: Instant) -> list[OutboxAction]:
        """Let messages go again now, whatever they wait for. Unknown ones are passed over."""
        actions: list[OutboxAction] = []
        entries = self._shelf.find(ids)
        for entry in entries:
            is_written = entry.stage is Stage.ON_WIRE and entry.written_at is not None
            if entry.stage is Stage.HELD or is_written:
                self._shelf.retries.drop(entry)
                self._shelf.lane(entry.row.destination).wait(entry)
            entry.tries = 0
        for lane in self._shelf.lanes_of(entries):
            if lane in self._sender.resumes:
                self._sender.halt(lane, 0.0, now)
        self._sender.resume_due(now, actions)
        self._pump_all(entries, now, actions)
        return actions

    # --- Time --------------------------------------------------------------------------------

    def timer(self, now: Instant) -> list[OutboxAction]:
        """Do what is due."""
        actions: list[OutboxAction] = []
        expired = self._shelf.expiries.take_due(now.mono)
        self._shelf.end(expired, OutboxState.EXPIRED, "", now, actions)
        self._pump_all(expired, now, actions)
        self._sender.retry_due(now, actions)
        self._sender.resume_due(now, actions)
        self._sender.floors_due(now, actions)
        self._shelf.save_ends(now, actions)
        return actions

    def _pump_all(
        self, entries: Sequence[Entry], now: Instant, actions: list[OutboxAction]
    ) -> None:
        for lane in self._shelf.lanes_of(entries):
            self._sender.pump(lane, now, actions)


def _evictions(victims: Iterable[Entry], now: Instant) -> Iterator[UpdateOutbox]:
    for victim in victims:
        row = victim.row
        yield UpdateOutbox(row.id, row.destination, OutboxState.EVICTED, ended_wall=now.wall)
