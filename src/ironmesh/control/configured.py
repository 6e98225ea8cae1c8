"""What a node was told at its start, as operators see it."""

from __future__ import annotations

from typing import Final

import msgspec

from ironmesh.config import KdfCost, NodeConfig

_SECRETS: Final = frozenset(
    {"passphrase", "previous_passphrase", "keys_passphrase", "legacy_passphrase"}
)


def config_view(config: NodeConfig) -> dict[str, object]:
    """Return the fields of a configuration in JSON types, but for secrets and what guards them."""
    fields = msgspec.structs.asdict(config)
    shown = {
        name: value
        for name, value in fields.items()
        if name not in _SECRETS and not isinstance(value, KdfCost)
    }
    plain = msgspec.to_builtins(shown, enc_hook=str)
    assert isinstance(plain, dict)
    return plain
