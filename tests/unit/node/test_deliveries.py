"""What a handler takes by itself is noted before and after, whatever the disk says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from tests.support.stores import ALICE, BOB, message_id

from ironmesh.errors import StoreError
from ironmesh.node.deliveries import STRETCH_S, Deliveries
from ironmesh.node.events import MessageReceived
from ironmesh.types import Instant, Message


@dataclass
class Notes:
    """A store that keeps notes, and a clock."""

    notes: list[tuple[str, int]] = field(default_factory=list)
    refused: set[tuple[str, int]] = field(default_factory=set)
    mono: float = 0.0

    def now(self) -> Instant:
        return Instant(self.mono, 0.0)

    def note_started(self, sequence: int, *, after: int | None = None) -> None:
        ended = [] if after is None else [("ended", after)]
        self._note(*ended, ("began", sequence))

    def note_completed(self, sequence: int) -> None:
        self._note(("ended", sequence))

    def _note(self, *notes: tuple[str, int]) -> None:
        if self.refused.intersection(notes):
            raise StoreError("the disk is full")
        self.notes += notes


def event(number: int) -> MessageReceived:
    return MessageReceived(Message(message_id(number), "MSG", b"x", BOB, ALICE), "bob", BOB)


@pytest.fixture
def notes() -> Notes:
    return Notes()


def made(
    notes: Notes, *sequences: int | None, is_over: Callable[[], bool] = lambda: False
) -> Deliveries:
    ready = [(event(sequence or 99), sequence) for sequence in sequences]
    deliveries = Deliveries(ready, notes, notes, is_over)  # type: ignore[arg-type]
    deliveries.resume()
    return deliveries


def test_the_end_of_one_is_noted_before_the_next_one_begins(notes: Notes) -> None:
    deliveries = made(notes, 1, None, 2)
    assert [deliveries.next() for _ in range(4)] == [event(1), event(99), event(2), None]
    assert notes.notes == [("began", 1), ("ended", 1), ("began", 2), ("ended", 2)]
    assert deliveries.take_ended() == [1, 2]
    assert deliveries.take_ended() == []
    assert not deliveries.has_more


def test_after_a_while_the_node_looks_at_what_was_done(notes: Notes) -> None:
    deliveries = made(notes, 1, 2)
    deliveries.next()
    notes.mono += STRETCH_S
    assert deliveries.next() is None
    assert (deliveries.take_ended(), deliveries.has_more) == ([1], True)
    deliveries.resume()
    assert deliveries.next() == event(2)


def test_when_it_is_over_none_begins_and_the_end_of_the_last_is_noted(notes: Notes) -> None:
    over: list[bool] = []
    deliveries = made(notes, 1, 2, is_over=lambda: bool(over))
    deliveries.next()
    over.append(True)
    assert deliveries.next() is None
    assert notes.notes == [("began", 1), ("ended", 1)]


@pytest.mark.parametrize("what", ["began", "ended"])
def test_what_cannot_be_noted_is_tried_again_and_nothing_goes_past_it(
    notes: Notes, what: str
) -> None:
    notes.refused.add((what, 1))
    deliveries = made(notes, 1, 2)
    taken = [deliveries.next(), deliveries.next()]
    assert taken == ([None, None] if what == "began" else [event(1), None])
    assert isinstance(deliveries.error, StoreError)
    assert deliveries.has_more
    notes.refused.clear()
    assert deliveries.next() is None
    deliveries.resume()
    rest = [deliveries.next() for _ in range(3)]
    assert rest == ([event(1), event(2), None] if what == "began" else [event(2), None, None])
    assert notes.notes == [("began", 1), ("ended", 1), ("began", 2), ("ended", 2)]
