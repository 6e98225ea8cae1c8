"""The published wire's test vectors."""

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parents[2] / "spec" / "vectors"


def load(name: str) -> dict[str, Any]:
    """Return `spec/vectors/NAME.json`."""
    return json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
