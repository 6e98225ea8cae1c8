"""Flags of commands, made from the table of settings; and back to what the flags say."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from ironmesh.config import LegacyMode
from ironmesh.errors import ConfigError
from ironmesh.settings.kinds import Kind, Listing, Text, Value
from ironmesh.settings.resolve import Fallback, Settings, missing_name, resolve
from ironmesh.settings.sources import Found, Level, Origin, Source
from ironmesh.settings.table import BY_NAME, SETTINGS, Setting, Stage

Function = TypeVar("Function", bound=Callable[..., Any])

ALLOW_LEGACY: Final = "--allow-legacy"
_ALL_NAMES: Final = "*"
"""Value of `--allow-legacy` when no names follow it."""


class SettingType(click.ParamType):  # type: ignore[type-arg]  # generic in new versions only
    """Reads a flag as the table says."""

    def __init__(self, kind: Kind, *, is_item: bool = False) -> None:
        self.name = kind.metavar.lower()
        self._kind = kind
        self._is_item = is_item

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Value:
        """Return the value, or fail with what it should be."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]  # click hands a converted value back
        try:
            if self._is_item and isinstance(self._kind, Listing):
                return self._kind.checked([value])[0]
            return self._kind.from_text(value)
        except ConfigError as error:
            if isinstance(self._kind, Text | Listing):
                # Text it is; that no node may have it is not a matter of usage.
                raise
            self.fail(f"{error.what}: {error.fix}", param, ctx)


def setting_flags(*names: str) -> Callable[[Function], Function]:
    """Add the flags of these settings; all of them without names, and those of later hidden."""
    chosen = [BY_NAME[name] for name in names] if names else SETTINGS

    def decorate(function: Function) -> Function:
        for setting in reversed(chosen):
            function = _option(setting)(function)
            if setting.name == "legacy" and not names:
                function = _allow_legacy(function)
        return function

    return decorate


def settings_of(flags: dict[str, Any], fallback: Fallback | None = None) -> Settings:
    """Return the settings that flags, environment and files give together.

    Args:
        flags: by parameter name, as `setting_flags` declares them; others are ignored.
        fallback: names the node where no source does.

    Raises:
        ConfigError: see `resolve`.
    """
    return resolve(from_flags(flags), os.environ, fallback)


def named_settings_of(flags: dict[str, Any]) -> Settings:
    """Return the settings; that no source names the node is wrong usage.

    Raises:
        click.UsageError: there is no name.
        ConfigError: see `resolve`.
    """
    settings = settings_of(flags)
    if settings["name"] is None:
        raise click.UsageError(f"the node has no name: {missing_name(settings.home)}")
    return settings


def asked_name(settings: Settings) -> str | None:
    """Return the node's name if a flag or the environment gives it, else None."""
    is_asked = settings.origin("name").level in {Level.FLAG, Level.ENVIRONMENT}
    return settings.name if is_asked else None


def from_flags(flags: dict[str, Any]) -> Source:
    """Return what the flags say, by the names of the settings."""
    source = {
        name: _found(setting, flags[name])
        for name, setting in BY_NAME.items()
        if flags.get(name) is not None and not (setting.is_repeated and not flags[name])
    }
    return _allowed_legacy(flags.get("allow_legacy")) | source


def _found(setting: Setting, value: Value) -> Found:
    flag = setting.flag_name
    if value is False:
        flag = flag.replace("--", "--no-", 1)
    return Found(value, Origin(Level.FLAG, flag))


def _allowed_legacy(names: str | None) -> Source:
    origin = Origin(Level.FLAG, ALLOW_LEGACY)
    if names is None:
        return {}
    if names == _ALL_NAMES:
        return {"legacy": Found(LegacyMode.ALL.value, origin)}
    listed = Listing().from_text(names)
    return {
        "legacy": Found(LegacyMode.NAMED.value, origin),
        "legacy_names": Found(listed, origin),
    }


def _option(setting: Setting) -> Callable[[Function], Function]:
    flag, is_hidden = setting.flag_name, setting.stage is not Stage.BUILT
    default = setting.shown_default
    text = f"{setting.help} [{default}]" if default else setting.help
    if setting.is_switch:
        twin = flag.replace("--", "--no-", 1)
        return click.option(
            f"{flag}/{twin}", setting.name, default=None, help=text, hidden=is_hidden
        )
    return click.option(
        flag,
        setting.name,
        type=SettingType(setting.kind, is_item=setting.is_repeated),
        multiple=setting.is_repeated,
        metavar=setting.kind.metavar,
        help=text,
        hidden=is_hidden,
    )


def _allow_legacy(function: Function) -> Function:
    return click.option(
        ALLOW_LEGACY,
        is_flag=False,
        flag_value=_ALL_NAMES,
        metavar="[=NAMES]",
        help="The same as --legacy all, or as --legacy named with these names.",
    )(function)
