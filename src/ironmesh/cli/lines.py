"""What a running node prints: one line for each event that a person cares about."""

from __future__ import annotations

from typing import Any, NamedTuple

from ironmesh.cli.output import clean, who
from ironmesh.node.events import (
    NodeEvent,
    NodeListening,
    Notice,
    PeerDiscovered,
    PeerOffline,
    PeerOnline,
    RouteFound,
)


class Line(NamedTuple):
    """One event, for people and for programs."""

    text: str
    facts: dict[str, Any]
    """For `--json`."""
    is_warning: bool = False


def line_of(event: NodeEvent) -> Line | None:
    """Return the line of an event; None where the log or `ironmesh listen` tells of it."""
    match event:
        case NodeListening(endpoints, is_tls):
            scheme = "wss" if is_tls else "ws"
            text = "Listening on " + ", ".join(f"{scheme}://{endpoint}" for endpoint in endpoints)
            return Line(text, {"event": "listening", "endpoints": endpoints, "is_tls": is_tls})
        case PeerDiscovered(name, address):
            # A native announcement has no name: it shows in the handshake.
            who_is_there = f"agent: {clean(name)}" if name else "a node of this mesh"
            text = f"Discovered {who_is_there} @ {address}"
            return Line(text, {"event": "discovered", "name": name, "address": address})
        case PeerOnline():
            return _online(event)
        case PeerOffline(node_id, name, reason):
            text = f"Peer {who(name, node_id)} offline -- {clean(reason)}"
            facts = {"event": "offline", "node_id": node_id, "name": name, "reason": reason}
            return Line(text, facts)
        case RouteFound(_, _, hops) if hops > 1:
            return _reachable(event)
        case Notice(text, is_warning):
            return notice_line(text, is_warning=is_warning)
        case _:
            return None


def notice_line(text: str, *, is_warning: bool) -> Line:
    """Return the line of something that a person should read."""
    facts = {"event": "notice", "text": text, "is_warning": is_warning}
    return Line(clean(text), facts, is_warning)


def _online(event: PeerOnline) -> Line:
    facts: dict[str, Any] = {
        "event": "online",
        "node_id": event.node_id,
        "name": event.name,
        "address": event.address,
        "is_new": event.is_new,
    }
    text = f"Peer {who(event.name, event.node_id)} online -- ephemeral ECDH complete"
    return Line(text, facts)


def _reachable(event: RouteFound) -> Line:
    facts: dict[str, Any] = {
        "event": "reachable",
        "node_id": event.node_id,
        "name": event.name,
        "hops": event.hops,
    }
    text = f"Node {who(event.name, event.node_id)} can be reached, {event.hops} hops away"
    return Line(text, facts)
