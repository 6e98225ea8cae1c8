"""A node of ours and a published one, in the ways in which they can be connected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.support.agent_process import AgentProcess
from tests.support.certificates import CertificateFiles

Starter = Callable[..., Any]

WAYS: Final = (
    ("ours", "ws"),
    ("ours", "wss"),
    ("theirs", "ws"),
    ("theirs", "wss"),
)
"""Who dials, and over what."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two nodes; `dialler` is the one that dials `listener`."""

    ours: AgentProcess
    theirs: AgentProcess
    dialler: AgentProcess
    listener: AgentProcess

    async def connect(self) -> None:
        """Dial, and wait until both show the session."""
        await self.dialler.connect_to(self.listener)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Starts pairs.

    Args:
        start_ours, start_theirs: the fixtures `ours` and `published`.
        certificate: what a published server needs for wss.
    """

    start_ours: Starter
    start_theirs: Starter
    certificate: CertificateFiles

    async def start(
        self,
        dialler: str = "ours",
        scheme: str = "wss",
        *,
        ours: dict[str, Any] | None = None,
        theirs: dict[str, Any] | None = None,
    ) -> Pair:
        """Start both nodes, ours first; the extra arguments go to each one's starter.

        Over wss neither allows plaintext; our listener uses the certificate that it makes itself.
        """
        is_plain = scheme == "ws"
        tls = {} if is_plain else self.certificate.kwargs()
        our_node = await self.start_ours(**{"allow_plaintext": is_plain, **(ours or {})})
        their_node = await self.start_theirs(
            **{"allow_plaintext": is_plain, **tls, **(theirs or {})}
        )
        ends = (our_node, their_node) if dialler == "ours" else (their_node, our_node)
        return Pair(our_node, their_node, *ends)

    async def connected(self, *args: Any, **kwargs: Any) -> Pair:
        """Start both nodes and connect them."""
        pair = await self.start(*args, **kwargs)
        await pair.connect()
        return pair
