"""Who may begin a handshake with us, and how often: all that is counted by where they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ironmesh.node.clock import Clock
from ironmesh.node.door import GuessRation, Hall, HandshakePlaces, Lockouts, source_of
from ironmesh.types import NodeId, Refusal


class Gate:
    """The door of the listener, and the ration of the guesses that answering gives away.

    Args:
        on_refused: told of a connection that may not begin: why, and from which host.
    """

    def __init__(self, on_refused: Callable[[Refusal, str], None], clock: Clock) -> None:
        self._on_refused = on_refused
        self._clock = clock
        self._places = HandshakePlaces()
        self._ration = GuessRation()
        self._lockouts = Lockouts()
        self._inside: Counter[tuple[str, Hall]] = Counter()

    @property
    def half_open(self) -> int:
        """Connections that have not finished their handshake."""
        return sum(self._places.total(hall) for hall in Hall)

    # --- What the transport asks (Door) ------------------------------------------------------

    def admit(self, remote_host: str) -> bool:
        """Tell whether a new connection may stay."""
        source = source_of(remote_host)
        # Where a pinned peer came from last, a flood of strangers takes no place away.
        hall = Hall.KNOWN if self._ration.is_known(source) else Hall.UNKNOWN
        reason = self._places.enter(source, hall)
        if reason is not None:
            self._on_refused(reason, remote_host)
            return False
        self._inside[source, hall] += 1
        return True

    def settle(self, remote_host: str) -> None:
        """A connection is no longer half open."""
        source = source_of(remote_host)
        for hall in Hall:
            inside = self._inside[source, hall]
            if inside:
                self._places.leave(source, hall)
                if inside > 1:
                    self._inside[source, hall] = inside - 1
                else:
                    del self._inside[source, hall]
                return

    # --- Handshakes --------------------------------------------------------------------------

    def visit(self, remote_host: str) -> Visit:
        """Return what one incoming connection may do."""
        return Visit(source_of(remote_host), self._ration, self._clock)

    def forget(self, peer: NodeId) -> None:
        """A peer is no longer pinned: where it came from is as any other place."""
        self._ration.forget(peer)

    def is_locked_out(self, remote_host: str) -> bool:
        """Tell whether too many proofs on the 0.8 wire failed from there."""
        return self._lockouts.is_locked_out(remote_host, self._clock.now().mono)

    def failed(self, remote_host: str) -> bool:
        """Count a failed proof on the 0.8 wire; True if it locks the source out."""
        return self._lockouts.failed(remote_host, self._clock.now().mono)

    def succeeded(self, remote_host: str) -> None:
        """A peer proved the passphrase on the 0.8 wire: forget the failures from there."""
        self._lockouts.succeeded(remote_host)


class Visit:
    """One incoming connection, while it shakes hands."""

    def __init__(self, source: str, ration: GuessRation, clock: Clock) -> None:
        self._source = source
        self._ration = ration
        self._clock = clock
        self._has_paid = False

    def may_answer(self) -> Refusal | None:
        """Spend a token to answer a first message; a refusal if there is none."""
        refusal = self._ration.answer(self._source, self._clock.now().mono)
        self._has_paid = self._has_paid or refusal is None
        return refusal

    def proved(self) -> None:
        """The peer proved passphrase and identity: what it paid comes back."""
        if self._has_paid:
            self._ration.proved(self._source, self._clock.now().mono)
            self._has_paid = False

    def welcomed(self, peer: NodeId) -> None:
        """The peer is pinned and may stay: from now on this source is known."""
        self._ration.succeeded(peer, self._source)
