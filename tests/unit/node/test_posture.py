"""What a node says of its own set-up at start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ironmesh.config import LegacyMode, NodeConfig
from ironmesh.errors import ConfigError
from ironmesh.node.posture import check_legacy_passphrase, posture_notices
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
    shared = {"legacy": LegacyMode.ALL}
    assert any("offline" in text for text in texts(**shared))
    assert any("offline" in text for text in texts(legacy_passphrase=Secret("x" * 12), **shared))
    assert not any(
        "offline" in text for text in texts(legacy_passphrase=Secret("y" * 12), **shared)
    )
    assert not any("offline" in text for text in texts(legacy=LegacyMode.OFF))


def test_a_shared_passphrase_that_somebody_chose_is_called_insecure():
    said = texts(legacy=LegacyMode.ALL, legacy_same_passphrase=True)
    [text] = [text for text in said if "offline" in text]
    assert text.startswith("INSECURE: --legacy-same-passphrase")


def test_the_0_8_wire_is_insecure():
    own = {"legacy_passphrase": Secret("y" * 12)}
    assert sum("--allow-legacy" in text for text in texts(legacy=LegacyMode.ALL, **own)) == 1
    assert not texts(legacy=LegacyMode.OFF, **own)


def legacy_config(**settings: Any) -> NodeConfig:
    wanted: dict[str, Any] = {"legacy": LegacyMode.ALL, **settings}
    return NodeConfig(name="alice", passphrase=Secret("x" * 12), **wanted)


@pytest.mark.parametrize("settings", [{}, {"legacy_passphrase": Secret("x" * 12)}])
def test_a_weak_mesh_passphrase_does_not_serve_on_the_0_8_wire(settings: dict[str, Any]):
    config = legacy_config(**settings)
    for bits in (0.0, 79.9):
        with pytest.raises(ConfigError, match="--legacy-passphrase-file"):
            check_legacy_passphrase(config, bits)
    check_legacy_passphrase(config, 80.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"legacy": LegacyMode.OFF},
        {"legacy_passphrase": Secret("y" * 12)},
        {"legacy_same_passphrase": True},
    ],
)
def test_a_weak_mesh_passphrase_may_stay_where_it_does_not_serve(settings: dict[str, Any]):
    check_legacy_passphrase(legacy_config(**settings), 0.0)


def test_nobody_to_dial_is_said_but_is_no_warning():
    config = NodeConfig(name="alice", passphrase=Secret("x" * 12), home=Path("unused"))
    assert any(
        "default-deny" in notice.text and not notice.is_warning
        for notice in posture_notices(config, STRONG_BITS)
    )
