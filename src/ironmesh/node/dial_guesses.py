"""Rations the guesses at the passphrase that this node gives away when it dials.

Whoever is dialled on the native wire learns from our last message whether one guess was right. So
an address whose answer did not open rests, twice as long each time, and all addresses that nobody
but an announcement vouches for share one such failure a minute.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ironmesh.node.clock import Clock
from ironmesh.types import Refusal

FIRST_PAUSE_S: Final = 5.0
MAX_PAUSE_S: Final = 3600.0
ANNOUNCED_PAUSE_S: Final = 60.0
MAX_ADDRESSES: Final = 4096

_MAX_DOUBLINGS: Final = 16
"""More of them make no difference."""


class _Failures(msgspec.Struct, frozen=True):
    count: int
    until: float
    """When the address may be dialled again."""
    is_announced: bool


class DialGuesses:
    """Remembers the addresses whose answer did not open; `now` is monotonic seconds.

    Ask `wait_s` before dialling; a `DialGuess` asks again right before the peer's answer is opened,
    for of several dials under way at once one may fail meanwhile.

    Source: docs/protocol.md, "The door".

    Args:
        max_addresses: how many are remembered; beyond, the one with the fewest failures is
            forgotten, announced ones first.
    """

    def __init__(self, max_addresses: int = MAX_ADDRESSES) -> None:
        self._max_addresses = max_addresses
        self._failures: dict[str, _Failures] = {}
        self._announced_until = 0.0

    def wait_s(self, address: str, now: float, *, is_announced: bool) -> float:
        """Return after how many seconds an address may be dialled on the native wire.

        Args:
            address: as it is dialled, such as `192.0.2.1:8765`.
            is_announced: only an announcement gave it, not the operator.
        """
        failures = self._failures.get(address)
        until = now if failures is None else failures.until
        if is_announced:
            until = max(until, self._announced_until)
        return max(0.0, until - now)

    def failed(self, address: str, now: float, *, is_announced: bool) -> float:
        """The answer of this address did not open.

        Returns:
            How many seconds the address rests.
        """
        known = self._failures.pop(address, None)
        count = 1 if known is None else known.count + 1
        pause = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(count - 1, _MAX_DOUBLINGS))
        if len(self._failures) >= self._max_addresses:
            del self._failures[min(self._failures, key=self._weight)]
        self._failures[address] = _Failures(count, now + pause, is_announced)
        if is_announced:
            self._announced_until = now + ANNOUNCED_PAUSE_S
        return self.wait_s(address, now, is_announced=is_announced)

    def proved(self, address: str) -> None:
        """Who answers at this address knows the passphrase: forget its failures."""
        self._failures.pop(address, None)

    def _weight(self, address: str) -> tuple[bool, int]:
        failures = self._failures[address]
        return not failures.is_announced, failures.count


class DialGuess:
    """What one dial may give away, while it shakes hands; implements `Guess`.

    Args:
        address: as it is dialled.
        is_announced: only an announcement gave it, not the operator.
    """

    def __init__(
        self, guesses: DialGuesses, address: str, clock: Clock, *, is_announced: bool
    ) -> None:
        self._guesses = guesses
        self._address = address
        self._clock = clock
        self._is_announced = is_announced

    def may_be_given(self) -> Refusal | None:
        """Return BUSY while the address rests."""
        now = self._clock.now().mono
        rest_s = self._guesses.wait_s(self._address, now, is_announced=self._is_announced)
        return Refusal.BUSY if rest_s else None

    def was_wrong(self) -> None:
        """The answer did not open: the address rests."""
        now = self._clock.now().mono
        self._guesses.failed(self._address, now, is_announced=self._is_announced)

    def was_right(self) -> None:
        """Who answers at this address knows the passphrase."""
        self._guesses.proved(self._address)
