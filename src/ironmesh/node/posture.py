"""What an operator should know of how safely a node is set up, said once at its start."""

from __future__ import annotations

from ironmesh.config import LegacyMode, NodeConfig
from ironmesh.crypto.passphrase import LEGACY_SAME_MIN_BITS, weakness
from ironmesh.errors import ConfigError
from ironmesh.node.events import Notice


def check_legacy_passphrase(config: NodeConfig, strength_bits: float) -> None:
    """Refuse to let the mesh passphrase serve on the 0.8 wire, unless it is very strong.

    Whoever is dialled there obtains an HMAC of it, and can test guesses at leisure.

    Args:
        strength_bits: how hard the mesh passphrase is to guess.

    Raises:
        ConfigError: it is too weak, and nobody said that it may serve all the same.
    """
    if config.legacy is LegacyMode.OFF:
        return
    if not config.is_legacy_passphrase_shared or config.legacy_same_passphrase:
        return
    if strength_bits < LEGACY_SAME_MIN_BITS:
        raise ConfigError(
            "the 0.8 wire has no passphrase of its own, and the mesh passphrase (about"
            f" {strength_bits:.0f} bits) is too easy to guess to serve there, where guesses can be"
            f" tested offline: {LEGACY_SAME_MIN_BITS:.0f} bits would do",
            "give it another one by --legacy-passphrase-file FILE, or leave out --allow-legacy;"
            " --legacy-same-passphrase takes the risk",
        )


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
    if config.allow_plain_relay:
        texts.append(
            "INSECURE: --allow-plain-relay lets relays of the 0.8 wire read what cannot be sealed"
            " for its node; leave it out, and such a message is refused"
        )
    if config.legacy is not LegacyMode.OFF:
        texts += _of_the_legacy_wire(config)
    return texts


def _of_the_legacy_wire(config: NodeConfig) -> list[str]:
    said = (
        "INSECURE: --allow-legacy speaks the published 0.8 wire, which shows names and lets who"
        " sits in the middle at first contact be taken for the peer until `ironmesh trust"
        " verify`; leave it out once no published node is left"
    )
    texts = [said]
    if config.is_legacy_passphrase_shared:
        mark = "INSECURE: --legacy-same-passphrase: " if config.legacy_same_passphrase else ""
        texts.append(
            f"{mark}the 0.8 wire uses the mesh passphrase: whoever records a handshake can test"
            " guesses offline; choose a long random one, or set --legacy-passphrase-file"
        )
    return texts
