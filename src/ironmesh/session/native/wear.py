"""When the keys of a session have been used enough."""

from __future__ import annotations

from ironmesh.errors import RemoteProtocolError
from ironmesh.session.native.limits import (
    LATE_STARTER,
    MIN_PATIENCE_S,
    PATIENCE,
    REKEY_BYTES,
    REKEY_RECORDS,
)
from ironmesh.session.native.sealing import RecordReader, RecordWriter
from ironmesh.types import Refusal


class Wear:
    """Tells when the keys of a phase are due for a change; pings alone do not use them.

    Args:
        interval_s: seconds after the first use; 0 = never by time.
        is_late: leave it to the peer to start first.
    """

    __slots__ = ("_asked", "_interval_s", "_late", "_since")

    def __init__(self, interval_s: float, *, is_late: bool) -> None:
        self._late = LATE_STARTER if is_late else 1.0
        self._interval_s = interval_s * self._late
        self._since: float | None = None
        self._asked: float | None = None
        """When a change was first due."""

    @property
    def next_timer(self) -> float | None:
        """When `is_due` has something new to say."""
        if self._since is None or not self._interval_s:
            return None
        return self._since + self._interval_s if self._asked is None else self._worn_out_at()

    def use(self, mono: float) -> None:
        """A message went, or came."""
        if self._since is None:
            self._since = mono

    def renew(self) -> None:
        """The keys are new."""
        self._since = self._asked = None

    def is_due(self, mono: float) -> bool:
        """Tell whether the keys have been in use for long enough.

        Raises:
            RemoteProtocolError: LIMIT: for too long, since the peer did not let them be changed.
        """
        if self._since is None or not self._interval_s or mono < self._since + self._interval_s:
            return False
        if self._asked is None:
            # A machine that slept asks as well, before it blames the peer.
            self._asked = mono
        elif mono >= self._worn_out_at():
            raise _worn_out()
        return True

    def _worn_out_at(self) -> float:
        return (self._asked or 0.0) + max(self._interval_s, MIN_PATIENCE_S)

    def is_worn(self, writer: RecordWriter, reader: RecordReader) -> bool:
        """Tell whether the keys have done enough.

        Raises:
            RemoteProtocolError: LIMIT: too much, since the peer did not let them be changed.
        """
        records = max(writer.records, reader.records)
        size_bytes = max(writer.size_bytes, reader.size_bytes)
        if records < REKEY_RECORDS and size_bytes < REKEY_BYTES:
            return False
        if records >= PATIENCE * REKEY_RECORDS or size_bytes >= PATIENCE * REKEY_BYTES:
            raise _worn_out()
        return records >= self._late * REKEY_RECORDS or size_bytes >= self._late * REKEY_BYTES


def _worn_out() -> RemoteProtocolError:
    return RemoteProtocolError(
        Refusal.LIMIT, "the peer does not change the keys", "the session starts anew"
    )
