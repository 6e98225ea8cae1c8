"""Options that several commands share, and the connection to the running node."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ironmesh.cli.nodes import running_node
from ironmesh.control.client import ControlClient

DEFAULT_HOME: Final = "~/.ironmesh"

Function = TypeVar("Function", bound=Callable[..., Any])


class HomePath(click.Path):
    """A path in which `~` is the user's home."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        try:
            return path.expanduser()
        except RuntimeError:
            self.fail(f"{str(path)!r} names a home directory that does not exist", param, ctx)


class NumberRange(click.FloatRange):
    """A number between bounds; `nan` is none, although no bound excludes it."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number that it could be", param, ctx)
        return number


def home_option(function: Function) -> Function:
    """Add `--home`."""
    return click.option(
        "--home",
        type=HomePath(),
        default=DEFAULT_HOME,
        show_default=True,
        envvar="IRONMESH_HOME",
        help="Folder with the nodes' files.",
    )(function)


def name_option(function: Function) -> Function:
    """Add `--name`, which chooses among several nodes."""
    return click.option(
        "--name", envvar="IRONMESH_NAME", help="Which node, where there are several."
    )(function)


def json_option(function: Function) -> Function:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def node_options(function: Function) -> Function:
    """Add what a command needs that talks to a running node: `--name`, `--home`, `--json`."""
    return name_option(home_option(json_option(function)))


def connect(home: Path, name: str | None) -> ControlClient:
    """Connect to the running node of this name; see `running_node`.

    Raises:
        NotRunningError: it does not run, or none does.
        ConfigError: several run, and nothing says which.
    """
    return ControlClient.connect(running_node(home, name).path)
