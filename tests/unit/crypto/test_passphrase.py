"""Passphrases: the minimum length, and an estimate that warns."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ironmesh.crypto.passphrase import (
    LEGACY_SAME_MIN_BITS,
    WEAK_BITS,
    check_length,
    estimate_bits,
    weakness,
)
from ironmesh.errors import PassphraseError
from ironmesh.types import Secret


@pytest.mark.parametrize("text", ["", "tiny", "elevenchars", "ääääääääää"])
def test_fewer_than_twelve_characters_are_refused(text: str) -> None:
    with pytest.raises(PassphraseError, match="12 characters") as caught:
        check_length(Secret(text))
    assert caught.value.fix
    assert not text or text not in str(caught.value)


def test_characters_are_counted_and_not_bytes() -> None:
    check_length(Secret("twelve chars"))
    check_length(Secret("ä" * 12))
    with pytest.raises(PassphraseError):
        check_length(Secret("ä" * 11))


def test_bytes_that_are_not_text_are_refused_without_showing_them() -> None:
    with pytest.raises(PassphraseError, match="UTF-8") as caught:
        check_length(Secret(b"\xff" * 20))
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("text", ["password1234", "aaaaaaaaaaaa", "qwertyuiop[]", "123456789012"])
def test_what_everybody_guesses_is_weak(text: str) -> None:
    assert estimate_bits(Secret(text)) < 30
    warning = weakness(estimate_bits(Secret(text)))
    assert warning is not None
    assert "weak" in warning
    assert text not in warning


def test_words_count_for_what_a_list_of_words_costs_a_guesser() -> None:
    four = estimate_bits(Secret("correct horse battery staple"))
    assert 35 < four < WEAK_BITS
    assert four == pytest.approx(estimate_bits(Secret("correct-horse-battery-staple")))
    seven = estimate_bits(Secret("alpha lunar cobalt prism venom gizmo tulip"))
    assert LEGACY_SAME_MIN_BITS < seven < 95
    assert estimate_bits(Secret("monkey " * 14)) < 30


def test_five_random_words_draw_no_warning() -> None:
    assert weakness(estimate_bits(Secret("cobalt prism venom gizmo tulip"))) is None


def test_the_estimate_goes_beyond_what_the_estimator_counts() -> None:
    token = Secret("jZ7Qm2Xw9Lk4Vt8Rb3Nc6Hs5Yd1Fg0Pa")
    assert estimate_bits(token) > LEGACY_SAME_MIN_BITS


def test_a_repeated_word_does_not_become_strong() -> None:
    assert estimate_bits(Secret("monkey" * 16)) < WEAK_BITS


@given(st.text(max_size=400))
@settings(max_examples=50, deadline=None)
def test_every_text_has_an_estimate_and_only_100_characters_count(text: str) -> None:
    bits = estimate_bits(Secret(text))
    assert 0 <= bits < 1000
    assert bits == estimate_bits(Secret(text[:100]))


def test_the_estimator_is_loaded_only_when_it_is_used() -> None:
    import subprocess

    code = "import sys, ironmesh.crypto.passphrase; sys.exit('zxcvbn_rs_py' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
