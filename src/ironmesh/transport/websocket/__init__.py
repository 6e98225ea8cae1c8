"""WebSocket connections (RFC 6455). The library behind them is imported when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ironmesh.transport.websocket.dialer import dial
    from ironmesh.transport.websocket.limits import Timing
    from ironmesh.transport.websocket.listener import listen

__all__ = ["Timing", "dial", "listen"]


def __getattr__(name: str) -> object:
    if name == "dial":
        from ironmesh.transport.websocket.dialer import dial

        return dial
    if name == "listen":
        from ironmesh.transport.websocket.listener import listen

        return listen
    if name == "Timing":
        from ironmesh.transport.websocket.limits import Timing

        return Timing
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
