"""Who is meant by a name that any node of the mesh can claim. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ironmesh.errors import AmbiguousNameError, UnknownPeerError
from ironmesh.types import NodeId


class Meant(NamedTuple):
    """The node that a name leads to."""

    node_id: NodeId
    is_pending: bool
    """Nothing but the node itself says that it is called so."""


def meant(name: str, pinned: NodeId | None, claimants: Sequence[NodeId]) -> Meant:
    """Return the node that a name leads to.

    Args:
        pinned: the node whose key is pinned under that name: nobody else is meant.
        claimants: the nodes whose records claim it.

    Raises:
        AmbiguousNameError: several claim it.
        UnknownPeerError: nobody does.

    Source: docs/protocol-mesh.md, "Names".
    """
    if pinned is not None:
        return Meant(pinned, is_pending=False)
    if not claimants:
        raise UnknownPeerError(f"no node called {name!r} is known", "check the name, or wait")
    if len(claimants) > 1:
        raise AmbiguousNameError(
            f"{len(claimants)} nodes claim the name {name!r}: {', '.join(claimants)}",
            "use the node id of the one you mean",
        )
    return Meant(claimants[0], is_pending=True)
