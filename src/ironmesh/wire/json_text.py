"""Bounded JSON objects, as 0.8 payloads carry them.

The 0.8 wire writes compact JSON with every non-ASCII character escaped (wire specification,
conventions), which is what the standard library writes.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

MAX_DEPTH: Final = 64
MAX_BYTES: Final = 1_048_576


def compact(value: dict[str, Any]) -> bytes:
    """Return `value` as compact ASCII JSON, members in the order of the dict.

    Raises:
        ValueError: a number is not finite, or nothing that JSON knows.
    """
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (TypeError, RecursionError) as error:
        raise ValueError("not representable in JSON") from error


def parse_object(data: bytes, *, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Return the JSON object that `data` holds: UTF-8, bounded size and depth, finite numbers.

    Raises:
        ValueError: anything else.
    """
    if len(data) > max_bytes:
        raise ValueError(f"longer than {max_bytes} bytes")
    try:
        value = json.loads(
            data.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite_float
        )
    except RecursionError as error:
        raise ValueError(f"nested deeper than {MAX_DEPTH}") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - bad input, not misuse
    _check(value)
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number


def _check(value: Any) -> None:
    """Refuse what is nested too deep, and strings that are no text (lone surrogates)."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, str) and not item.isascii():
                item.encode("utf-8")
        if not below:
            return
        level = below
    raise ValueError(f"nested deeper than {MAX_DEPTH}")
