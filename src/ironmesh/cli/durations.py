"""Times as people write them: `90`, `30s`, `10m`, `1h`, `2d`."""

from __future__ import annotations

import re
from typing import Any, Final

import click

_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_FORM: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)", re.ASCII)


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in new versions only
    """Reads a time; the value is in seconds."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds, or fail with what it should be."""
        if isinstance(value, float):
            return value
        match = _FORM.fullmatch(str(value).strip().lower())
        if match is None:
            self.fail(f"{value!r} is no time: write 90, 30s, 10m, 1h or 2d", param, ctx)
        return float(match[1]) * _UNITS[match[2]]
