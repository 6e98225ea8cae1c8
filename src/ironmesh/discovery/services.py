"""The two records of a node: that of the 0.8 wire, with its name, and the native one, without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ironmesh.discovery import record
from ironmesh.discovery.record import FoundPeer, Heard, Interface

MAX_LABELS: Final = 8


class LegacyService(msgspec.Struct, frozen=True):
    """The record that published nodes read and write."""

    service_type: str
    name: str
    port: int

    @property
    def conflict(self) -> str:
        """What to tell people where another node uses our name."""
        return (
            f"another node on this network calls itself {self.name!r}: "
            "give one of them another --name"
        )

    def labels(self) -> Sequence[str]:
        """Return the name, and numbered forms of it."""
        return [record.instance_label(self.name, attempt) for attempt in range(1, MAX_LABELS + 1)]

    def txt(self) -> dict[str, str]:
        """Return the members of the TXT record."""
        return record.build_txt(self.name, self.port)

    def parse(self, heard: Heard, own: Sequence[Interface]) -> FoundPeer:
        """Check a record; see `record.parse_record`."""
        return record.parse_record(heard.txt, heard.addresses, own)


class NativeService(msgspec.Struct, frozen=True):
    """The record of the native wire: who listens, nobody learns from it."""

    service_type: str
    label: str
    mesh: str
    port: int

    @property
    def conflict(self) -> str:
        """Two random labels do not meet."""
        return "another node on this network uses our label"

    def labels(self) -> Sequence[str]:
        """Return the label."""
        return [self.label]

    def txt(self) -> dict[str, str]:
        """Return the members of the TXT record."""
        return record.build_native_txt(self.mesh)

    def parse(self, heard: Heard, own: Sequence[Interface]) -> FoundPeer:
        """Check a record; see `record.parse_native_record`."""
        return record.parse_native_record(heard, own)
