"""What a node says of its own set-up at start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ironmesh.config import LegacyMode, NodeConfig
from ironmesh.node.posture import posture_notices
from ironmesh.types import Secret

STRONG_BITS = 99.0


def texts(bits: float = STRONG_BITS, **settings: Any) -> list[str]:
    config = NodeConfig(name="alice", passphrase=Secret("x" * 12), home=Path("unused"), **settings)
    return [notice.text for notice in posture_notices(config, bits) if notice.is_warning]


def test_each_weaker_flag_warns_once_with_the_word_insecure():
    assert not any("INSECURE" in text for text in texts())
    assert sum("INSECURE" in text for text in texts(open_discovery=True)) == 1
    assert sum("INSECURE" in text for text in texts(open_discovery=True, allow_plaintext=True)) == 2


def test_a_weak_passphrase_warns_at_every_start():
    assert any("weak" in text for text in texts(bits=20.0))
    assert not any("weak" in text for text in texts())


def test_sharing_the_passphrase_with_the_0_8_wire_warns():
    assert any("offline" in text for text in texts())
    assert not any("offline" in text for text in texts(legacy_passphrase=Secret("y" * 12)))
    assert not any("offline" in text for text in texts(legacy=LegacyMode.OFF))


def test_nobody_to_dial_is_said_but_is_no_warning():
    config = NodeConfig(name="alice", passphrase=Secret("x" * 12), home=Path("unused"))
    assert any(
        "default-deny" in notice.text and not notice.is_warning
        for notice in posture_notices(config, STRONG_BITS)
    )
