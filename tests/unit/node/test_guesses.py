"""The ration of guesses at the passphrase: who is dialled gives few away, and so does who dials."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from ironmesh.node.dial_guesses import DialGuesses
from ironmesh.node.door import (
    GuessRation,
    Hall,
    HandshakePlaces,
    PlaceLimits,
    Rate,
    RationLimits,
    reticulum_source,
)
from ironmesh.types import NodeId, Refusal

STRANGER = "192.0.2.1"
HOME = "198.51.100.7"
RADIO = reticulum_source("lora0")
BOB = NodeId("b" * 32)


def answered(ration: GuessRation, source: str, now: float, tries: int) -> int:
    """Return how many of so many first messages are answered."""
    return sum(ration.answer(source, now) is None for _ in range(tries))


# --- Being dialled -------------------------------------------------------------------------------


@given(st.floats(0, 1e7))
def test_a_source_has_five_guesses_and_one_more_each_30_s(start: float) -> None:
    ration = GuessRation()
    assert answered(ration, STRANGER, start, 50) == 5
    assert ration.answer(STRANGER, start) is Refusal.BUSY
    assert answered(ration, STRANGER, start + 29.9, 5) == 0
    assert answered(ration, STRANGER, start + 30.0, 5) == 1
    assert answered(ration, STRANGER, start + 1000.0, 50) == 5


def test_where_a_pinned_peer_last_succeeded_there_are_twenty() -> None:
    ration = GuessRation()
    ration.succeeded(BOB, HOME)
    for source in (HOME, RADIO):
        assert answered(ration, source, 0.0, 50) == 20
        assert answered(ration, source, 5.0, 5) == 1
    ration.succeeded(BOB, "203.0.113.9")
    assert answered(ration, HOME, 10_000.0, 50) == 5
    ration.forget(BOB)
    assert answered(ration, "203.0.113.9", 10_000.0, 50) == 5


def test_all_unknown_sources_together_have_a_hundred_and_one_each_second() -> None:
    ration = GuessRation()
    ration.succeeded(BOB, HOME)
    assert sum(answered(ration, f"192.0.2.{n}", 0.0, 1) for n in range(200)) == 100
    assert sum(answered(ration, f"192.0.3.{n}", 7.0, 1) for n in range(200)) == 7
    assert (ration.answer(HOME, 7.0), ration.answer(RADIO, 7.0)) == (None, None)


def test_a_proof_gives_back_its_own_token_and_no_other() -> None:
    ration = GuessRation()
    for _ in range(1000):
        assert ration.answer(STRANGER, 0.0) is None
        ration.proved(STRANGER, 0.0)
    assert answered(ration, STRANGER, 0.0, 50) == 5
    ration.proved(STRANGER, 0.0)
    assert answered(ration, STRANGER, 0.0, 50) == 1
    ration.proved("192.0.2.200", 0.0)  # never answered: nothing comes of it
    assert answered(ration, "192.0.2.200", 0.0, 50) == 5


def test_a_source_that_becomes_known_keeps_what_it_spent() -> None:
    ration = GuessRation()
    assert answered(ration, HOME, 0.0, 50) == 5
    ration.succeeded(BOB, HOME)
    assert answered(ration, HOME, 0.0, 50) == 15
    ration.forget(BOB)
    assert answered(ration, HOME, 0.0, 50) == 0
    assert answered(ration, HOME, 479.0, 50) == 0
    assert answered(ration, HOME, 480.0, 50) == 1


def test_forgetting_sources_refills_none() -> None:
    limits = RationLimits(all_unknown=Rate(10_000, 1.0), remembered_sources=10)
    ration = GuessRation(limits)
    assert answered(ration, STRANGER, 0.0, 50) == 5
    many = [f"10.0.{n // 256}.{n % 256}" for n in range(1000)]
    assert sum(answered(ration, source, 0.0, 1) for source in many) == 9
    assert len(ration._buckets) == 10
    assert answered(ration, STRANGER, 0.0, 5) == 0
    assert sum(answered(ration, source, 30.0, 1) for source in many) == 9
    assert answered(ration, STRANGER, 30.0, 5) == 1


def test_homes_of_peers_take_bounded_memory() -> None:
    ration = GuessRation(RationLimits(remembered_peers=10))
    for number in range(1000):
        ration.succeeded(NodeId(f"{number:032x}"), f"10.0.{number // 256}.{number % 256}")
    assert len(ration._homes) == len(ration._known) == 10


class Model:
    """Tokens, counted one by one."""

    def __init__(self, limits: RationLimits) -> None:
        self.limits = limits
        self.tokens: dict[str, Fraction] = {}
        self.last = 0

    def rate(self, name: str) -> Rate:
        kinds = {"": self.limits.all_unknown, HOME: self.limits.known, RADIO: self.limits.known}
        return kinds.get(name, self.limits.unknown)

    def advance(self, now: int) -> None:
        for name in self.tokens:
            rate = self.rate(name)
            more = Fraction(now - self.last) / Fraction(rate.period_s)
            self.tokens[name] = min(Fraction(rate.tokens), self.tokens[name] + more)
        self.last = now

    def spent_from(self, source: str) -> list[str]:
        names = [source] if source in (HOME, RADIO) else [source, ""]
        for name in names:
            self.tokens.setdefault(name, Fraction(self.rate(name).tokens))
        return names

    def answer(self, source: str) -> bool:
        names = self.spent_from(source)
        if min(self.tokens[name] for name in names) < 1:
            return False
        for name in names:
            self.tokens[name] -= 1
        return True

    def prove(self, source: str) -> None:
        for name in self.spent_from(source):
            self.tokens[name] = min(Fraction(self.rate(name).tokens), self.tokens[name] + 1)


SOURCES = ("192.0.2.1", "192.0.2.2", "192.0.2.3", HOME, RADIO)
LIMITS = RationLimits(unknown=Rate(3, 16.0), known=Rate(5, 4.0), all_unknown=Rate(6, 2.0))


@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.sampled_from(SOURCES), st.integers(0, 3)), max_size=120
    )
)
def test_the_ration_is_that_of_counted_tokens(steps: list[tuple[int, str, int]]) -> None:
    """Each step: time passes, a first message comes, and some earlier ones prove themselves."""
    ration, model, now = GuessRation(LIMITS), Model(LIMITS), 0
    ration.succeeded(BOB, HOME)
    for passed, source, proofs in steps:
        now += passed
        model.advance(now)
        unproved = 0
        for _ in range(proofs + 1):
            expected = model.answer(source)
            assert ration.answer(source, float(now)) is (None if expected else Refusal.BUSY)
            assert (ration.wait_s(source, float(now)) == 0.0) == (
                min(model.tokens[name] for name in model.spent_from(source)) >= 1
            )
            unproved += expected
        for _ in range(min(proofs, unproved)):
            model.prove(source)
            ration.proved(source, float(now))


# --- Places --------------------------------------------------------------------------------------


def test_a_flood_of_strangers_takes_no_place_of_those_that_are_known() -> None:
    places = HandshakePlaces()
    for number in range(256):
        assert places.enter(f"10.0.0.{number}", Hall.UNKNOWN) is None
    assert places.enter("192.0.2.1", Hall.UNKNOWN) is Refusal.BUSY
    assert places.enter("192.0.2.1", Hall.KNOWN) is None
    places.leave("10.0.0.7", Hall.UNKNOWN)
    assert places.enter("192.0.2.1", Hall.UNKNOWN) is None


def test_a_source_has_eight_places() -> None:
    places = HandshakePlaces()
    assert [places.enter(HOME, Hall.UNKNOWN) for _ in range(9)] == [None] * 8 + [Refusal.LIMIT]
    assert places.enter(STRANGER, Hall.UNKNOWN) is None
    places.leave(HOME, Hall.UNKNOWN)
    assert places.enter(HOME, Hall.UNKNOWN) is None


MOVES = st.tuples(
    st.sampled_from(["enter", "leave"]), st.sampled_from(["a", "b", "c"]), st.sampled_from(Hall)
)


@given(st.lists(MOVES, max_size=200))
def test_places_are_those_of_a_list(steps: list[tuple[str, str, Hall]]) -> None:
    places, model = HandshakePlaces(PlaceLimits(4, 2)), list[tuple[str, Hall]]()

    def has_room(source: str, hall: Hall) -> bool:
        full = sum(other is hall for _, other in model) >= 4
        return not full and model.count((source, hall)) < 2

    for kind, source, hall in steps:
        if kind == "enter":
            expected = has_room(source, hall)
            assert (places.enter(source, hall) is None) == expected
            model += [(source, hall)] * expected
        elif (source, hall) in model:
            places.leave(source, hall)
            model.remove((source, hall))
    for hall in Hall:
        assert places.total(hall) == sum(other is hall for _, other in model)


# --- Dialling ------------------------------------------------------------------------------------


def test_an_address_rests_twice_as_long_after_each_wrong_answer() -> None:
    guesses = DialGuesses()
    now, pauses = 0.0, []
    for _ in range(12):
        pauses.append(guesses.failed("a:1", now, is_announced=False))
        assert guesses.wait_s("b:1", now, is_announced=False) == 0.0
        now += guesses.wait_s("a:1", now, is_announced=False)
    assert pauses[:4] == [5.0, 10.0, 20.0, 40.0]
    assert pauses[-2:] == [3600.0, 3600.0]
    guesses.proved("a:1")
    assert guesses.failed("a:1", now, is_announced=False) == 5.0


def test_announced_addresses_share_one_wrong_answer_a_minute() -> None:
    guesses = DialGuesses()
    assert guesses.failed("a:1", 0.0, is_announced=True) == 60.0
    assert guesses.wait_s("b:1", 20.0, is_announced=True) == 40.0
    assert guesses.wait_s("b:1", 20.0, is_announced=False) == 0.0
    assert guesses.wait_s("b:1", 60.0, is_announced=True) == 0.0


def test_announced_addresses_push_no_other_out_of_the_memory() -> None:
    guesses = DialGuesses(max_addresses=10)
    guesses.failed("given:1", 0.0, is_announced=False)
    for number in range(1000):
        guesses.failed(f"announced:{number}", 0.0, is_announced=True)
    assert guesses.failed("given:1", 0.0, is_announced=False) == 10.0
    assert len(guesses._failures) == 10


@given(
    st.lists(
        st.tuples(
            st.integers(0, 100), st.sampled_from(["a", "b", "c", "d"]), st.booleans(), st.booleans()
        ),
        max_size=150,
    )
)
def test_wrong_answers_are_no_more_than_the_pauses_allow(
    steps: list[tuple[int, str, bool, bool]],
) -> None:
    """Whatever is tried: dials that obey fail no more often than once in each pause."""
    guesses, now = DialGuesses(), 0
    last_announced = -1000
    last: dict[str, tuple[int, int]] = {}
    for passed, address, is_announced, is_right in steps:
        now += passed
        at, count = last.get(address, (-10_000, 0))
        may = now >= at + min(3600, 5 * 2 ** (count - 1)) if count else True
        if is_announced:
            may = may and now >= last_announced + 60
        assert (guesses.wait_s(address, float(now), is_announced=is_announced) == 0.0) == may
        if not may:
            continue
        if is_right:
            guesses.proved(address)
            last.pop(address, None)
        else:
            guesses.failed(address, float(now), is_announced=is_announced)
            last[address] = (now, count + 1)
            last_announced = now if is_announced else last_announced
