import json
from pathlib import Path

from ironmesh.config import LegacyMode, NodeConfig, PeerAddress
from ironmesh.control.configured import config_view
from ironmesh.types import Secret


def test_everything_but_secrets_is_shown_in_json_types():
    config = NodeConfig(
        name="alice",
        passphrase=Secret("hunter2 hunter2"),
        previous_passphrase=Secret("hunter2 hunter2 hunter2"),
        previous_passphrase_until=1.0,
        keys_passphrase=Secret("hunter2 hunter2"),
        legacy_passphrase=Secret("hunter2 hunter2"),
        home=Path("/home"),
        allowed_peers=frozenset({"bob"}),
        peers=(PeerAddress("10.0.0.1", 9),),
        legacy=LegacyMode.OFF,
    )
    text = json.dumps(config_view(config))
    shown = json.loads(text)
    assert "hunter2" not in text
    assert "Secret" not in text
    assert shown["home"] == "/home"
    assert shown["allowed_peers"] == ["bob"]
    assert shown["peers"] == [{"host": "10.0.0.1", "port": 9}]
    assert shown["legacy"] == "off"
    assert set(shown) == set(NodeConfig.__slots__) - {
        "passphrase",
        "previous_passphrase",
        "keys_passphrase",
        "legacy_passphrase",
        "kdf",
    }
