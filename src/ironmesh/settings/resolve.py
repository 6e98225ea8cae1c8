"""Flags over environment over files over profile over defaults: one value for each setting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ironmesh.config import LegacyMode, check_name
from ironmesh.errors import ConfigError, NotBuiltError
from ironmesh.settings.kinds import Value
from ironmesh.settings.sources import (
    Found,
    Level,
    Origin,
    Source,
    config_paths,
    default_home,
    from_environment,
    from_file,
)
from ironmesh.settings.table import BY_NAME, SETTINGS, Stage

Fallback = Callable[[Path], str | None]
"""From the home folder to the name of a node; None where it does not know."""

_DEV: Final[dict[str, Value]] = {
    "open_discovery": True,
    "allow_plaintext_ws": True,
    "bind": "127.0.0.1",
}
_INSECURE: Final = ("open_discovery", "allow_plaintext_ws", "legacy", "legacy_same_passphrase")


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its value and its origin. Make it with `resolve`."""

    found: Mapping[str, Found]
    warnings: tuple[str, ...] = ()
    """What people should know, one line each."""

    def __getitem__(self, name: str) -> Any:
        return self.found[name].value

    def origin(self, name: str) -> Origin:
        """Return where the value of a setting came from."""
        return self.found[name].origin

    @property
    def home(self) -> Path:
        """The folder with the nodes' files."""
        home = self["home"]
        assert isinstance(home, Path)
        return home

    @property
    def name(self) -> str:
        """The node's name.

        Raises:
            ConfigError: nothing gives one.
        """
        name = self["name"]
        if name is None:
            raise ConfigError("the node has no name", missing_name(self.home))
        return str(name)

    @property
    def node_dir(self) -> Path:
        """The folder of the node."""
        return self.home / "nodes" / self.name


def resolve(
    flags: Source, environ: Mapping[str, str], fallback: Fallback | None = None
) -> Settings:
    """Return the settings that the sources give together, checked one by one.

    Args:
        flags: what the command line says, by the names of the settings.
        environ: the environment.
        fallback: names the node where no source does.

    Raises:
        NotBuiltError: a switch turns on a feature that this version does not have.
        ConfigError: a source is malformed, or the profile does not go with a setting.
    """
    given = from_environment(environ) | flags
    home = given["home"].value if "home" in given else default_home()
    assert isinstance(home, Path)
    home_file = from_file(config_paths(home, None)[Level.HOME_FILE], Level.HOME_FILE)
    found = home_file | given
    name = found["name"].value if "name" in found else fallback and fallback(home)
    if name is not None:
        given.setdefault("name", found.get("name", _default(name)))
        node_path = config_paths(home, check_name(str(name)))[Level.NODE_FILE]
        found = home_file | from_file(node_path, Level.NODE_FILE) | given
    _refuse_not_built(found)
    profile, warnings = _profile(found)
    defaults = {setting.name: _default(setting.default) for setting in SETTINGS}
    defaults["home"] = _default(home)
    return Settings({**defaults, **profile, **found}, tuple(warnings))


def missing_name(home: Path) -> str:
    """Return what to do where no node is named."""
    return f'give --name NAME, set IRONMESH_NAME, or write name = "NAME" in {home}/config.toml'


def _default(value: Value) -> Found:
    return Found(value, Origin(Level.DEFAULT, ""))


def _refuse_not_built(found: Source) -> None:
    for name, each in found.items():
        if BY_NAME[name].stage is Stage.LATER_SWITCH and each.value:
            where = each.origin.where
            flag = BY_NAME[name].flag_name
            what = flag if where == flag else f"{flag} ({where})"
            raise NotBuiltError(f"{what} is not in this version yet", "leave it out")
    if "profile" in found and found["profile"].value == "offline":
        raise NotBuiltError(
            "the profile offline needs a radio, which is not in this version yet",
            "use --profile secure, or --no-mdns with --peer",
        )


def _profile(found: Source) -> tuple[Source, list[str]]:
    """Return the defaults of the profile, and what it has to say."""
    profile = found["profile"].value if "profile" in found else None
    if profile == "dev":
        origin = Origin(Level.PROFILE, "dev")
        overrides = [
            f"{found[name].origin} overrides the profile dev"
            for name, value in _DEV.items()
            if name in found and found[name].value != value
        ]
        return {name: Found(value, origin) for name, value in _DEV.items()}, overrides
    if profile == "secure":
        return {}, _secure(found)
    return {}, []


def _secure(found: Source) -> list[str]:
    insecure = [
        found[name].origin
        for name in _INSECURE
        if name in found and found[name].value not in (False, LegacyMode.OFF.value)
    ]
    is_forced = "force" in found and bool(found["force"].value)
    if insecure and not is_forced:
        raise ConfigError(
            f"the profile secure does not go with {' and '.join(map(str, insecure))}",
            "leave out one of them, or add --force",
        )
    return [
        *(f"{origin} overrides the profile secure" for origin in insecure),
        "the profile secure: new peers are trusted at first contact; no gate yet",
    ]
