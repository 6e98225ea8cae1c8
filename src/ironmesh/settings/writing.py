"""Settings as the text of a `config.toml`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ironmesh.settings.kinds import Value


def as_toml(values: Mapping[str, Value], heading: str) -> bytes:
    """Return the text of a configuration file.

    Args:
        values: by the names of the settings, in the order of the file.
        heading: one line that says where the file came from.
    """
    lines = [f"# {heading}", "# All settings: ironmesh config show", ""]
    lines += [f"{name} = {_literal(value)}" for name, value in values.items()]
    return ("\n".join(lines) + "\n").encode("utf-8")


def _literal(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case tuple():
            return f"[{', '.join(map(_text, value))}]"
        case str() | Path():
            return _text(str(value))
        case None:
            raise ValueError("what is not set is not written")


def _text(text: str) -> str:
    # A JSON string is a TOML string, but for DEL, and for pairs of surrogates.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
