"""No decoder of foreign bytes answers with anything but its value or a named refusal."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.targets import TARGETS, corpus, seeds

SEEDS = seeds()
each_target = pytest.mark.parametrize("name", TARGETS)


@each_target
def test_the_whole_corpus_is_decoded_or_refused(name: str) -> None:
    for data in [*SEEDS, *corpus(name)]:
        TARGETS[name](data)


@each_target
def test_every_truncation_is_decoded_or_refused(name: str) -> None:
    for data in SEEDS:
        for end in {0, 1, len(data) // 2, len(data) - 1}:
            TARGETS[name](data[: max(0, end)])


@each_target
@settings(max_examples=100)
@given(data=st.binary(max_size=2048))
def test_any_bytes_are_decoded_or_refused(name: str, data: bytes) -> None:
    TARGETS[name](data)


@each_target
@settings(max_examples=200)
@given(
    seed=st.sampled_from(SEEDS),
    at=st.integers(0, 4096),
    cut=st.integers(0, 8),
    put=st.binary(max_size=8),
)
def test_any_damage_to_a_good_input_is_decoded_or_refused(
    name: str, seed: bytes, at: int, cut: int, put: bytes
) -> None:
    at %= len(seed) + 1
    TARGETS[name](seed[:at] + put + seed[at + cut :])


@each_target
@pytest.mark.parametrize("data", [b"[" * 5000, b'{"a":' * 5000, b"9" * 5000, b'"\\ud800"'])
def test_nested_and_endless_input_is_refused(name: str, data: bytes) -> None:
    TARGETS[name](data)
