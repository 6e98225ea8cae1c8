"""`ironmesh config`: what is set, and where that came from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from ironmesh.cli.nodes import node_names
from ironmesh.cli.options import json_option
from ironmesh.cli.output import Column, clean, print_json, print_table, warn
from ironmesh.cli.passphrase import (
    KEYS_VARIABLE,
    LEGACY_VARIABLE,
    PREVIOUS_VARIABLE,
    Sources,
    first_source,
)
from ironmesh.cli.setting_flags import setting_flags, settings_of
from ironmesh.settings.kinds import Value
from ironmesh.settings.published import PUBLISHED_NAME, import_published, is_import_due
from ironmesh.settings.resolve import Settings
from ironmesh.settings.sources import Level, config_paths
from ironmesh.settings.table import BY_NAME, SETTINGS, Stage

HIDDEN: Final = "(set, not shown)"

_COLUMNS: Final = (
    Column("SETTING"),
    Column("VALUE", is_flexible=True),
    Column("FROM"),
)


class SettingView(msgspec.Struct, frozen=True, kw_only=True):
    """One setting, for people and programs."""

    name: str
    value: str | int | float | bool | list[str] | None
    level: str
    """`flag`, `environment`, `node file`, `home file`, `profile` or `default`."""
    where: str
    """The flag, the variable, `path:line`, or the profile's name; empty for a default."""


@click.group("config")
def config_group() -> None:
    """See what is set, and where; the manual is docs/configuration.md."""


@config_group.command("show")
@setting_flags()
@json_option
def show_command(*, as_json: bool, **flags: Any) -> None:
    """Show each setting, its value, and where that came from, as `ironmesh run` would see it.

    Takes the flags of `run`, to try them. Passphrases are not shown.
    """
    settings = settings_of(flags, _only_or_none)
    views = [*_views(settings), *_secrets(settings)]
    for warning in settings.warnings:
        warn(warning)
    if is_import_due(settings.home):
        warn(f"{settings.home / PUBLISHED_NAME} is not taken over yet: run ironmesh config import")
    if as_json:
        print_json(views)
        return
    print_table(_COLUMNS, [(view.name, _text(view), _source(view)) for view in views])


@config_group.command("path")
@setting_flags("name", "home")
@json_option
def path_command(*, as_json: bool, **flags: Any) -> None:
    """Show where the configuration files are, those that do not exist too."""
    settings = settings_of(flags, _only_or_none)
    paths = config_paths(settings.home, settings["name"])
    if as_json:
        print_json(
            [
                {"level": level.value, "path": str(path), "exists": path.exists()}
                for level, path in paths.items()
            ]
        )
        return
    for path in paths.values():
        click.echo(f"{path}{'' if path.exists() else '  (does not exist)'}")


@config_group.command("import")
@setting_flags("home")
@json_option
def import_command(*, as_json: bool, **flags: Any) -> None:
    """Take over the config.json of the published package, if there is no config.toml yet.

    `ironmesh run` does the same by itself. The original stays as it is.
    """
    notice = import_published(settings_of(flags).home)
    if as_json:
        print_json({"imported": notice is not None, "notice": notice or ""})
    else:
        click.echo(clean(notice) if notice else "there is nothing to take over")


def _only_or_none(home: Path) -> str | None:
    names = node_names(home)
    return names[0] if len(names) == 1 else None


def _views(settings: Settings) -> list[SettingView]:
    views = []
    for setting in SETTINGS:
        found = settings.found[setting.name]
        if setting.stage is Stage.BUILT or found.origin.level is not Level.DEFAULT:
            views.append(
                SettingView(
                    name=setting.name,
                    value=_plain(found.value),
                    level=found.origin.level.value,
                    where=found.origin.where,
                )
            )
    return views


def _plain(value: Value) -> str | int | float | bool | list[str] | None:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _secrets(settings: Settings) -> list[SettingView]:
    """Tell of each passphrase only whether there is one, and where."""
    views = []
    if settings["name"] is not None:
        source = first_source(Sources.of(settings), os.environ)
        views.append(_secret("passphrase", "" if source is None else source.where))
    for name, variable in (
        ("previous", PREVIOUS_VARIABLE),
        ("keys", KEYS_VARIABLE),
        ("legacy", LEGACY_VARIABLE),
    ):
        file = settings[f"{name}_passphrase_file"]
        where = str(file) if file else variable if os.environ.get(variable) else ""
        views.append(_secret(f"{name}_passphrase", where))
    return views


def _secret(name: str, where: str) -> SettingView:
    return SettingView(
        name=name, value=HIDDEN if where else None, level="secret" if where else "default",
        where=where,
    )  # fmt: skip


def _source(view: SettingView) -> str:
    if view.level == Level.PROFILE.value:
        return f"profile {view.where}"
    home = str(Path.home())
    return (
        view.where.replace(home, "~", 1) if view.where.startswith(home) else view.where or "default"
    )


def _text(view: SettingView) -> str:
    match view.value:
        case None:
            setting = BY_NAME.get(view.name)
            return f"({setting.default_text})" if setting and setting.default_text else "-"
        case bool():
            return "on" if view.value else "off"
        case float():
            return f"{view.value:g}"
        case list():
            return ", ".join(view.value) or "(none)"
        case _:
            return str(view.value)
