"""Where values come from: flags, the environment, configuration files."""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, NamedTuple

from ironmesh.errors import ConfigError, FileRefusedError
from ironmesh.files import is_writable_by_others, read_bounded
from ironmesh.settings.kinds import Listing, Value
from ironmesh.settings.table import BY_NAME, SECRETS, SETTINGS, Place, Setting, nearest

FILE_NAME: Final = "config.toml"
MAX_FILE_BYTES: Final = 64 * 1024

_AT_LINE: Final = re.compile(r" \(at line (\d+), column \d+\)$")


class Level(Enum):
    """Kinds of sources; the first one that has a value wins."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    NODE_FILE = "node file"
    HOME_FILE = "home file"
    PROFILE = "profile"
    DEFAULT = "default"


class Origin(NamedTuple):
    """Where a value came from."""

    level: Level
    where: str
    """The flag, the variable, `path:line`, or the profile's name; empty for a default."""

    def __str__(self) -> str:
        """Say it to a person."""
        match self.level:
            case Level.DEFAULT:
                return "default"
            case Level.PROFILE:
                return f"profile {self.where}"
            case _:
                return self.where


@dataclass(frozen=True, slots=True)
class Found:
    """A value and its origin."""

    value: Value
    origin: Origin


Source = dict[str, Found]
"""What one source says, by the names of the settings."""


def from_environment(environ: Mapping[str, str]) -> Source:
    """Return what the environment says; an empty variable counts as unset.

    An empty list of peers is a list all the same: whoever may nobody admit, says so.

    Raises:
        ConfigError: a variable holds no such value; the text names it.
    """
    found: Source = {}
    for setting in SETTINGS:
        variable = setting.variable_name
        text = environ.get(variable)
        if text or (text is not None and isinstance(setting.kind, Listing)):
            with _about(variable):
                value = setting.kind.from_text(text)
            found[setting.name] = Found(value, Origin(Level.ENVIRONMENT, variable))
    return found


def from_file(path: Path, level: Level) -> Source:
    """Return what a configuration file says; nothing if there is none.

    Raises:
        ConfigError: it cannot be read or may be changed by others, is no TOML, or has an unknown
            key or a bad value; the text names file, line, key and fix.
    """
    text = _read(path)
    if text is None:
        return {}
    found: Source = {}
    for key, value in _parse(path, text).items():
        where = f"{path}:{_line_of(key, text)}"
        setting = _setting(key, where, level)
        with _about(f"{where}: {key}"):
            found[key] = Found(setting.kind.from_toml(value, path.parent), Origin(level, where))
    return found


def _read(path: Path) -> str | None:
    try:
        data = read_bounded(path, MAX_FILE_BYTES)
        is_open = is_writable_by_others(path)
    except FileNotFoundError:
        return None
    except FileRefusedError as error:
        raise ConfigError(error.what, error.fix) from error
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror})", "check its permissions"
        ) from error
    if is_open:
        raise ConfigError(f"{path} can be changed by others", f"run chmod 600 {path}, and check it")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text", "save it as UTF-8") from error


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        what = str(error)
        line = _AT_LINE.search(what)
        where = f"{path}:{line[1]}" if line else f"{path}"
        raise ConfigError(
            f"{where} is no TOML ({_AT_LINE.sub('', what)})", 'write lines such as name = "alice"'
        ) from error


def _setting(key: str, where: str, level: Level) -> Setting:
    if key in SECRETS:
        raise ConfigError(
            f"{where}: {key} does not belong in this file",
            f"write it in a file of its own, and name that one: {key}_file = FILE",
        )
    setting = BY_NAME.get(key)
    if setting is None:
        near = nearest(key, BY_NAME)
        raise ConfigError(
            f"{where}: there is no setting {key!r}",
            f"did you mean {near}?" if near else "see ironmesh config show for the names",
        )
    if setting.place is Place.NONE:
        raise ConfigError(
            f"{where}: {key} cannot be set in a file",
            f"use {setting.flag_name} or {setting.variable_name}",
        )
    if setting.place is Place.HOME and level is Level.NODE_FILE:
        raise ConfigError(
            f"{where}: {key} is not for the file of one node", f"write it in HOME/{FILE_NAME}"
        )
    return setting


def _line_of(key: str, text: str) -> int:
    """Return the line on which a key stands, or its table begins; 1 where it cannot be found."""
    name = re.escape(key)
    pattern = re.compile(rf"^\s*\[*\s*(?:{name}|\"{name}\"|'{name}')\s*[.=\]]", re.MULTILINE)
    match = pattern.search(text)
    return 1 if match is None else text.count("\n", 0, match.end()) + 1


@contextlib.contextmanager
def _about(source: str) -> Iterator[None]:
    """Let an error about a value name where the value stands."""
    try:
        yield
    except ConfigError as error:
        raise type(error)(f"{source}: {error.what}", error.fix) from error


def config_paths(home: Path, name: str | None) -> dict[Level, Path]:
    """Return where the configuration files are: of all nodes, and of one if it is named."""
    paths = {Level.HOME_FILE: home / FILE_NAME}
    if name is not None:
        paths[Level.NODE_FILE] = home / "nodes" / name / FILE_NAME
    return paths


def unknown_variables(environ: Mapping[str, str], also_known: set[str]) -> dict[str, str | None]:
    """Return the variables that look like ours and mean nothing, each with what may be meant."""
    known = {setting.variable_name for setting in SETTINGS} | also_known
    ours = [name for name in environ if name.startswith("IRONMESH_") and name not in known]
    return {name: nearest(name, sorted(known)) for name in sorted(ours)}


def default_home() -> Path:
    """Return the folder for nodes where nobody names another one."""
    return Path(os.path.expanduser("~")) / ".ironmesh"  # noqa: PTH111 - never raises
