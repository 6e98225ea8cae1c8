"""Frames of a tunnel: units go in and come out, and nothing is missing in between."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.legacy import refusal_of

from ironmesh.types import Refusal
from ironmesh.wire.legacy.tunnel import (
    FLAG_CLOSE,
    FLAG_DIALLER,
    FLAG_MORE,
    HEAD_BYTES,
    MAX_DATA_BYTES,
    MAX_UNIT_BYTES,
    TunnelFrame,
    TunnelReader,
    TunnelWriter,
    decode,
    encode,
    unknown,
)

TUNNEL = b"tunnel no"[:8]


def frames_of(*units: bytes, is_dialler: bool = True) -> list[TunnelFrame]:
    writer = TunnelWriter(TUNNEL, is_dialler=is_dialler)
    return [decode(payload) for unit in units for payload in writer.frames(unit)]


@given(st.lists(st.binary(min_size=1, max_size=3 * MAX_DATA_BYTES), max_size=4), st.booleans())
def test_units_come_out_as_they_went_in(units: list[bytes], is_dialler: bool) -> None:
    reader = TunnelReader()
    frames = frames_of(*units, is_dialler=is_dialler)
    assert [unit for unit in map(reader.take, frames) if unit is not None] == units
    assert all(frame.is_of_dialler is is_dialler for frame in frames)


def test_what_a_relay_repeats_is_passed_over() -> None:
    reader = TunnelReader()
    one, two = frames_of(b"one", b"two")
    assert [reader.take(frame) for frame in (one, one, two, one)] == [b"one", None, b"two", None]


def test_what_a_relay_loses_or_swaps_is_noticed() -> None:
    _one, two = frames_of(b"one", b"two")
    assert refusal_of(TunnelReader().take, two) is Refusal.ORDER


def test_nothing_follows_the_end() -> None:
    writer, reader = TunnelWriter(TUNNEL, is_dialler=True), TunnelReader()
    assert reader.take(decode(writer.close())) is None
    assert reader.is_closed
    (late,) = writer.frames(b"late")
    assert refusal_of(reader.take, decode(late)) is Refusal.ORDER


def test_the_end_counts_whatever_its_number_and_so_does_that_of_an_unknown_tunnel() -> None:
    for number in (0, 7):
        reader = TunnelReader()
        assert reader.take(frames_of(b"one")[0]) == b"one"
        reader.take(TunnelFrame(TUNNEL, number, FLAG_CLOSE, b""))
        assert reader.is_closed
    answer = decode(unknown(frames_of(b"one")[0]))
    assert (answer.tunnel, answer.flags) == (TUNNEL, FLAG_CLOSE)


def test_a_unit_that_never_ends_is_refused() -> None:
    reader = TunnelReader()
    endless = (
        TunnelFrame(TUNNEL, number, FLAG_MORE, bytes(MAX_DATA_BYTES)) for number in range(1000)
    )
    taken = 0
    reasons = []
    for frame in endless:
        reason = refusal_of(reader.take, frame)
        if reason is not None:
            reasons.append(reason)
            break
        taken += len(frame.data)
    assert reasons == [Refusal.TOO_LARGE]
    assert taken <= MAX_UNIT_BYTES


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", Refusal.BAD_BODY),
        (bytes(HEAD_BYTES), Refusal.BAD_BODY),
        (b"\2" + bytes(HEAD_BYTES), Refusal.BAD_BODY),
        (b"\1\x80" + bytes(HEAD_BYTES), Refusal.BAD_BODY),
        (encode(TunnelFrame(TUNNEL, 0, 0, b"")), Refusal.BAD_BODY),
        (encode(TunnelFrame(TUNNEL, 0, FLAG_CLOSE, b"x")), Refusal.BAD_BODY),
        (encode(TunnelFrame(TUNNEL, 0, FLAG_CLOSE | FLAG_MORE, b"")), Refusal.BAD_BODY),
        (
            encode(TunnelFrame(TUNNEL, 0, FLAG_DIALLER, bytes(MAX_DATA_BYTES + 1))),
            Refusal.TOO_LARGE,
        ),
    ],
)
def test_what_is_no_frame_of_a_tunnel_is_refused(payload: bytes, reason: Refusal) -> None:
    assert refusal_of(decode, payload) is reason
