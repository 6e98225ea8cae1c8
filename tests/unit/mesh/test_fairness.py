"""What a relay holds: bounded for each neighbour, and each neighbour gets its turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ironmesh.mesh.fairness import ITEM_BYTES, Held, RelayLimits, RelayQueues
from ironmesh.types import PRIORITIES, NodeId

ALICE, BOB, CAROL, DAVE = (NodeId(letter * 32) for letter in "abcd")
NORMAL = 2


def held(item: str, came_from: NodeId = ALICE, size: int = 100, rank: int = NORMAL) -> Held[str]:
    return Held(item, size, came_from, rank)


def drain(queues: RelayQueues[str], hop: NodeId = DAVE) -> list[str]:
    return [one.item for one in queues.take_all(hop)]


def test_what_one_neighbour_hands_over_keeps_its_order() -> None:
    queues = RelayQueues[str]()
    for number in range(5):
        queues.put(DAVE, held(str(number)))
    assert queues.count(DAVE) == 5
    assert drain(queues) == ["0", "1", "2", "3", "4"]
    assert (queues.count(DAVE), queues.size_bytes) == (0, 0)


def test_the_more_urgent_goes_first() -> None:
    queues = RelayQueues[str]()
    for rank in reversed(range(len(PRIORITIES))):
        queues.put(DAVE, held(str(rank), rank=rank))
    assert drain(queues) == ["0", "1", "2", "3"]


def test_a_flood_of_one_neighbour_does_not_delay_the_first_of_another() -> None:
    queues = RelayQueues[str]()
    for number in range(1000):
        queues.put(DAVE, held(f"flood {number}", BOB, 60_000))
    queues.put(DAVE, held("urgent to me", ALICE, 100))
    assert "urgent to me" in [one.item for one in (queues.take(DAVE) for _ in range(3)) if one]


def test_turns_go_by_bytes_and_not_by_number() -> None:
    queues = RelayQueues[str]()
    for _ in range(64):
        queues.put(DAVE, held("large", BOB, 64 * 1024))
    for _ in range(4096):
        queues.put(DAVE, held("small", ALICE, 1024))
    sent = {"large": 0, "small": 0}
    for _ in range(1040):
        one = queues.take(DAVE)
        assert one is not None
        sent[one.item] += one.size_bytes
    assert 0.9 < sent["large"] / sent["small"] < 1.15


def test_each_next_hop_has_its_own_line() -> None:
    queues = RelayQueues[str]()
    queues.put(DAVE, held("to dave"))
    queues.put(CAROL, held("to carol"))
    assert drain(queues, CAROL) == ["to carol"]
    assert drain(queues, DAVE) == ["to dave"]
    assert queues.take(DAVE) is None


def test_a_neighbour_has_its_own_room_and_no_more() -> None:
    limits = RelayLimits(neighbour_bytes=4 * (100 + ITEM_BYTES), total_bytes=10**6)
    queues = RelayQueues[str](limits)
    for number in range(4):
        assert queues.has_room(BOB, 100)
        queues.put(DAVE, held(str(number), BOB))
    assert not queues.has_room(BOB, 100)
    assert queues.has_room(ALICE, 100)
    queues.take(DAVE)
    assert queues.has_room(BOB, 100)


def test_all_neighbours_together_have_a_bound_too() -> None:
    queues = RelayQueues[str](RelayLimits(neighbour_bytes=10**6, total_bytes=1000))
    queues.put(DAVE, held("x", BOB, 700))
    assert not queues.has_room(ALICE, 700)


sizes = st.lists(st.tuples(st.sampled_from([ALICE, BOB, CAROL]), st.integers(1, 70_000)))


@given(sizes)
def test_nothing_gets_lost_and_nothing_stays_accounted(puts: list[tuple[NodeId, int]]) -> None:
    queues = RelayQueues[str]()
    for number, (came_from, size) in enumerate(puts):
        queues.put(DAVE, held(str(number), came_from, size, number % 4))
    assert sorted(drain(queues), key=int) == [str(number) for number in range(len(puts))]
    assert queues.size_bytes == 0
    assert queues.has_room(ALICE, 8 * 1024 * 1024 - ITEM_BYTES)
