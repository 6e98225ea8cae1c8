"""Asks the running node; where it does not run, its files."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

from ironmesh.cli.nodes import only_node, running_node
from ironmesh.cli.options import json_option
from ironmesh.cli.output import warn
from ironmesh.cli.passphrase import node_passphrases
from ironmesh.cli.setting_flags import asked_name, setting_flags, settings_of
from ironmesh.control.client import ControlClient
from ironmesh.errors import NotBuiltError, NotRunningError
from ironmesh.settings.node import node_config
from ironmesh.settings.resolve import Settings

Function = TypeVar("Function", bound=Callable[..., Any])

_node_flags: Final = setting_flags(
    "name", "home", "passphrase_file", "keys_passphrase_file", "keys_path", "trust_path"
)


def message_options(function: Function) -> Function:
    """Add what says whose messages, and opens the files of a node that is stopped; `--json` too."""
    return _node_flags(json_option(function))


def ask_running(options: dict[str, Any], call: str, /, **params: Any) -> Any:
    """Ask the running node.

    Raises:
        NotRunningError: it does not run, or none does.
    """
    settings = settings_of(options)
    running = running_node(settings.home, asked_name(settings))
    with ControlClient.connect(running.path) as client:
        return client.call(call, **params)


def ask(options: dict[str, Any], call: str, /, **params: Any) -> Any:
    """Ask the running node; if it does not run, look into its files."""
    try:
        return ask_running(options, call, **params)
    except (NotRunningError, NotBuiltError):
        return _ask_files(settings_of(options, only_node), call, params)


def _ask_files(settings: Settings, call: str, params: dict[str, Any]) -> Any:
    from ironmesh.control.offline import OfflineMessages

    found = node_passphrases(settings, os.environ)
    with OfflineMessages(node_config(settings, found.secrets)) as messages:
        result = getattr(messages, call)(**params)
        for notice in (*found.warnings, *messages.take_notices()):
            warn(notice)
    return result
