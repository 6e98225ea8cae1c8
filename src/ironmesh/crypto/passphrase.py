"""How good a passphrase is: long enough at all, and roughly how many guesses it takes."""

from __future__ import annotations

import math
import re
from typing import Final

from ironmesh.config import MIN_PASSPHRASE_CHARS
from ironmesh.errors import PassphraseError
from ironmesh.types import Secret

WEAK_BITS: Final = 50.0
"""Below this a passphrase draws a warning: four random words or fewer."""
LEGACY_SAME_MIN_BITS: Final = 80.0
"""The 0.8 handshake can be guessed offline: what a passphrase must be worth to serve there too."""

_MAX_CHARS: Final = 100
_BITS_PER_DIGIT: Final = math.log2(10)
_SATURATED_BITS: Final = 63.9
"""The estimator counts guesses in 64 bits."""
_GAPS: Final = re.compile(r"[\s_.,:;/-]+")


def check_length(passphrase: Secret) -> None:
    """Refuse a passphrase that is too short to be one.

    Raises:
        PassphraseError: fewer than 12 characters, or not UTF-8.
    """
    if len(_text(passphrase)) < MIN_PASSPHRASE_CHARS:
        raise PassphraseError(
            f"the passphrase is shorter than {MIN_PASSPHRASE_CHARS} characters",
            "choose a longer one, such as five random words",
        )


def estimate_bits(passphrase: Secret) -> float:
    """Estimate the strength in bits: log2 of the guesses that a good guesser needs (zxcvbn).

    Only the first 100 characters count.

    Raises:
        PassphraseError: not UTF-8.
    """
    return _estimate(_text(passphrase)[:_MAX_CHARS])


def weakness(bits: float) -> str | None:
    """Return a warning for people if a passphrase of so many bits is easy to guess, else None."""
    if bits >= WEAK_BITS:
        return None
    return (
        f"the passphrase is weak (about {bits:.0f} bits; {WEAK_BITS:.0f} or more are good): "
        "five random words are easy to remember and hard to guess"
    )


def _text(passphrase: Secret) -> str:
    try:
        return passphrase.reveal().decode()
    except UnicodeDecodeError:
        # Not chained: the codec's error carries the passphrase.
        raise PassphraseError("the passphrase is not UTF-8 text", "use another one") from None


def _estimate(text: str) -> float:
    """Take a guesser for granted who tries lists of words; the estimator overrates phrases."""
    words = [word for word in _GAPS.split(text) if word]
    if len(words) < 2:
        return _estimate_word(text)
    by_words = sum(map(_estimate_word, words))
    whole = _guesses_bits(text)
    return by_words if whole is None else min(by_words, whole)


def _estimate_word(word: str) -> float:
    half = len(word) // 2
    bits = _guesses_bits(word)
    if bits is None:
        return _estimate_word(word[:half]) + _estimate_word(word[half:])
    return bits


def _guesses_bits(text: str) -> float | None:
    """What the estimator says; None where its counter of 64 bits has run over."""
    from zxcvbn_rs_py import zxcvbn

    bits = max(0.0, float(zxcvbn(text).guesses_log10) * _BITS_PER_DIGIT)
    return bits if bits < _SATURATED_BITS else None
