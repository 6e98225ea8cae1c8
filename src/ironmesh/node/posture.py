"""What an operator should know of how safely a node is set up, said once at its start."""

from __future__ import annotations

from ironmesh.config import LegacyMode, NodeConfig
from ironmesh.crypto.passphrase import weakness
from ironmesh.node.events import Notice


def posture_notices(config: NodeConfig, strength_bits: float) -> list[Notice]:
    """Return a line for every setting that weakens the node, and for every default that denies.

    Args:
        strength_bits: how hard the mesh passphrase is to guess.
    """
    notices = [Notice(text, is_warning=True) for text in _weaker_choices(config)]
    weak = weakness(strength_bits)
    if weak is not None:
        notices.append(Notice(weak, is_warning=True))
    if config.allowed_peers is None and not config.open_discovery and not config.peers:
        notices.append(
            Notice(
                "default-deny: nobody is dialled; add --allowed-peers, --peer or --open-discovery"
            )
        )
    return notices


def _weaker_choices(config: NodeConfig) -> list[str]:
    texts = []
    if config.open_discovery:
        texts.append(
            "INSECURE: --open-discovery dials every node that announces itself here;"
            " use --allowed-peers to name them"
        )
    if config.allow_plaintext and config.tls_cert is None:
        texts.append(
            "INSECURE: --allow-plaintext-ws sends without TLS; sessions stay encrypted, but names"
            " and handshakes show. Leave it out to use TLS"
        )
    if config.legacy is not LegacyMode.OFF and config.legacy_passphrase is None:
        texts.append(
            "the 0.8 wire uses the mesh passphrase: whoever records a handshake can test guesses"
            " offline; choose a long random one, or set --legacy-passphrase-file"
        )
    return texts
