"""Prekeys: published once they are saved, renewed every day, destroyed after three."""

from __future__ import annotations

import pytest
from tests.support.legacy import seeded
from tests.support.parcels import START, later, prekeys

from ironmesh.session.parcels.prekeys import MAX_PREKEYS, Prekeys, PrekeyStateError
from ironmesh.types import Instant, Secret

HOUR = 3600.0
RANDOM = seeded("more prekeys")


def number_of(keys: Prekeys) -> int:
    assert keys.current is not None
    return keys.current.number


def test_keys_are_not_published_before_they_are_saved() -> None:
    keys = Prekeys()
    assert keys.next_renewal < START.mono
    assert keys.renew(START, RANDOM)
    assert keys.current is None
    keys.saved()
    assert keys.current is not None
    assert keys.find(number_of(keys)) is keys.current


def test_what_could_not_be_saved_is_to_be_saved_again() -> None:
    keys = Prekeys()
    assert keys.renew(START, RANDOM)
    assert keys.renew(later(1), RANDOM)
    keys.saved()
    assert not keys.renew(later(2), RANDOM)
    assert keys.current is not None


def test_keys_are_renewed_after_a_day_and_the_old_ones_still_open() -> None:
    keys = prekeys()
    first = number_of(keys)
    assert keys.next_renewal == START.mono + 24 * HOUR
    assert not keys.renew(later(24 * HOUR - 1), RANDOM)
    assert keys.renew(later(24 * HOUR), RANDOM)
    assert number_of(keys) == first
    keys.saved()
    assert number_of(keys) != first
    assert keys.find(first) is not None


def test_keys_are_destroyed_after_three_days() -> None:
    keys = prekeys()
    first = number_of(keys)
    for day in (1, 2):
        keys.renew(later(day * 24 * HOUR), RANDOM)
        assert keys.find(first) is not None
    assert keys.renew(later(72 * HOUR), RANDOM)
    assert keys.find(first) is None
    state = keys.state(later(72 * HOUR)).reveal()
    assert first.to_bytes(4, "big") not in state


def test_what_is_too_old_is_due_at_its_end_even_between_renewals() -> None:
    keys = prekeys()
    keys.renew(later(30 * HOUR), RANDOM)
    keys.renew(later(54 * HOUR), RANDOM)
    assert keys.next_renewal == START.mono + 72 * HOUR
    assert keys.renew(later(72 * HOUR), RANDOM)


def test_keys_survive_a_restart_and_age_while_the_node_is_off() -> None:
    keys = prekeys()
    first = number_of(keys)
    state = keys.state(later(10 * HOUR))
    # Another run: the monotonic clock begins anew.
    again = Prekeys.restore(state, Instant(5.0, START.wall + 71 * HOUR))
    assert number_of(again) == first
    kept, made = again.find(first), keys.find(first)
    assert kept is not None
    assert made is not None
    assert (kept.x25519, kept.kem, kept.kem_hash) == (made.x25519, made.kem, made.kem_hash)
    assert Prekeys.restore(state, Instant(5.0, START.wall + 72 * HOUR)).find(first) is None


def test_each_run_begins_with_keys_of_its_own() -> None:
    keys = prekeys()
    first = number_of(keys)
    assert keys.is_of_this_run(first)
    again = Prekeys.restore(keys.state(later(60)), later(120))
    assert not again.is_of_this_run(first)
    assert again.renew(later(120), RANDOM)
    again.saved()
    assert number_of(again) != first
    assert again.is_of_this_run(number_of(again))
    assert not again.is_of_this_run(first)
    assert again.find(first) is not None
    assert not again.renew(later(180), RANDOM)


def test_a_node_that_starts_again_and_again_keeps_a_bounded_number() -> None:
    state = prekeys().state(START)
    for second in range(3 * MAX_PREKEYS):
        keys = Prekeys.restore(state, later(second))
        keys.renew(later(second), RANDOM)
        state = keys.state(later(second))
    assert len(state) <= 10 + MAX_PREKEYS * 108


def test_a_clock_that_is_set_back_does_not_make_keys_younger() -> None:
    keys = prekeys()
    state = keys.state(later(71 * HOUR))
    first = number_of(keys)
    again = Prekeys.restore(state, Instant(0.0, START.wall - 1e6))
    assert again.find(first) is not None
    again.renew(Instant(HOUR, START.wall), RANDOM)
    assert again.find(first) is None


@pytest.mark.parametrize("damage", [b"", b"\x01", b"\x02" + bytes(9), b"\x01" + bytes(8) + b"\x02"])
def test_a_damaged_state_is_told(damage: bytes) -> None:
    with pytest.raises(PrekeyStateError):
        Prekeys.restore(Secret(damage), START)


def test_a_state_that_is_cut_off_is_told() -> None:
    state = prekeys().state(START).reveal()
    with pytest.raises(PrekeyStateError):
        Prekeys.restore(Secret(state[:-1]), START)


def test_numbers_are_never_zero_nor_used_twice() -> None:
    draws = iter(
        [bytes(4), b"\x00\x00\x00\x07", bytes(96), b"\x00\x00\x00\x07", b"\x00\x00\x00\x08"]
    )
    rest = seeded("rest")
    keys = Prekeys()
    keys.renew(START, lambda size: next(draws, rest(size)))
    keys.renew(later(24 * HOUR), lambda size: next(draws, rest(size)))
    assert keys.find(0) is None
    assert keys.find(7) is not None
    assert keys.find(8) is not None


def test_keys_do_not_show_their_secrets() -> None:
    keys = prekeys()
    assert "***" not in repr(keys.current)
    assert "_secrets" not in repr(keys.current)
