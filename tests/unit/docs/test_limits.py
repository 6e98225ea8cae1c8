"""The limits that SECURITY.md states are those of the code."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest
from tests.support import markdown
from tests.support.readme import ROOT

UNITS = {"": 1, "s": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
HEADING_CELLS = 3


def limits() -> list[list[str]]:
    """Return the rows of the table of limits."""
    [table] = [
        rows
        for rows in markdown.tables(ROOT / "SECURITY.md")
        if len(rows[0]) == HEADING_CELLS and re.fullmatch(r"`[\w.]+`", rows[0][2])
    ]
    return table


def value_of(path: str) -> float:
    """Return the constant `room.module.NAME`, or the default `room.module.Class.field`."""
    owner, _, name = path.rpartition(".")
    try:
        return float(getattr(importlib.import_module(f"ironmesh.{owner}"), name))
    except ModuleNotFoundError:
        module, _, class_name = owner.rpartition(".")
        kind = getattr(importlib.import_module(f"ironmesh.{module}"), class_name)
        return float(inspect.signature(kind).parameters[name].default)


@pytest.mark.parametrize(("what", "limit", "constant"), limits(), ids=lambda cell: cell[:40])
def test_a_limit_is_that_of_the_code(what: str, limit: str, constant: str) -> None:
    number, _, unit = limit.partition(" ")
    assert value_of(constant.strip("`")) == int(number) * UNITS[unit], what


def test_no_limit_is_told_twice() -> None:
    constants = [constant for _, _, constant in limits()]
    assert len(constants) == len(set(constants)) > 30
