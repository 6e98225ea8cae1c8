"""Frames that go over relays: as their source wrote them, whoever passes them on.

A relay may change `ttl`, `hops` and what each session numbers anew; everything else is the
source's, and much of it is signed (wire specification, sections 9.1 and 10.4).
"""

from __future__ import annotations

from typing import Final

import msgspec

from ironmesh.types import Message
from ironmesh.wire.legacy import frame, inner
from ironmesh.wire.legacy.constants import MAX_SEQUENCE, MAX_UNIT_BYTES
from ironmesh.wire.legacy.inner import Inner

WRITTEN_LATER: Final = 0.0
"""The timestamp of a frame that gets its time when it is written."""


class Transit(Message, frozen=True, gc=False, kw_only=True):
    """A message whose frame is given whole: somebody else's, or one of ours that is sealed."""

    said: Inner


def fits(said: Inner) -> bool:
    """Tell whether a frame stays within what every published node takes (1 MiB)."""
    sealed = b"" if said.e2e_payload is msgspec.UNSET else said.e2e_payload
    empty = msgspec.structs.replace(
        said,
        payload=b"",
        e2e_payload=b"" if sealed else msgspec.UNSET,
        timestamp=1767225600.1234567,
        sequence=MAX_SEQUENCE,
    )
    texts = (4 * ((len(part) + 2) // 3) for part in (said.payload, sealed))
    size_bytes = frame.OVERHEAD_BYTES + len(inner.encode(empty)) + sum(texts)
    return size_bytes <= MAX_UNIT_BYTES
