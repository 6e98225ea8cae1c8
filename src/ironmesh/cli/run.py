"""`ironmesh run`: a node in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from dataclasses import replace
from typing import Any

import click

from ironmesh.cli.lines import Line, line_of, notice_line
from ironmesh.cli.options import json_option
from ironmesh.cli.output import warn
from ironmesh.cli.run_config import RunConfig, run_config
from ironmesh.cli.setting_flags import named_settings_of, setting_flags, settings_of
from ironmesh.settings.published import import_published
from ironmesh.version import __version__


@click.command("run")
@setting_flags()
@json_option
def run_command(*, as_json: bool, **flags: Any) -> None:
    """Run a node until SIGINT or SIGTERM.

    Each flag has an environment variable (IRONMESH_PORT for --port) and a key in
    ~/.ironmesh/config.toml or nodes/NAME/config.toml there (port = 8765), which count in this
    order. See what is in force, and why: ironmesh config show.

    The mesh passphrase comes from --passphrase-file, else IRONMESH_PASSPHRASE_FILE, else the
    system's keychain with IRONMESH_PASSPHRASE_KEYCHAIN=1, else IRONMESH_PASSPHRASE, else
    passphrase_file in config.toml, else ~/.ironmesh/passphrase, else a prompt.
    """
    from ironmesh.control.host import run_until_signal
    from ironmesh.observe.logs import LogFormat, logging_to

    notice = import_published(settings_of(flags).home)
    settings = named_settings_of(flags)
    config = run_config(settings, os.environ)
    if notice is not None:
        config = replace(config, warnings=(notice, *config.warnings))
    printer = Printer(as_json=as_json)
    with logging_to(
        settings["log_file"], level=settings["log_level"], form=LogFormat(settings["log_format"])
    ):
        run_until_signal(lambda stopped: _serve(config, printer, stopped))


class Printer:
    """Prints the lines of a running node as they come."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def print(self, line: Line) -> None:
        """Print one line: warnings to standard error, all else to standard output."""
        if self._as_json:
            print(json.dumps(line.facts), flush=True)
        elif line.is_warning:
            warn(line.text)
        else:
            print(line.text, flush=True)


async def _serve(config: RunConfig, printer: Printer, stopped: asyncio.Event) -> None:
    from ironmesh.control.host import Host
    from ironmesh.node.events import NodeEvent, NodeListening

    name, port = config.node.name, config.node.port
    facts = {"event": "starting", "name": name, "version": __version__}
    printer.print(Line(f"IronMesh {__version__} -- agent {name}, port {port}", facts))
    for text in config.warnings:
        printer.print(notice_line(text, is_warning=True))
    host = Host(config.node)

    def show(event: NodeEvent) -> None:
        if isinstance(event, NodeListening):
            node_id = host.node.node_id
            printer.print(Line(f"Node id: {node_id}", {"event": "identity", "node_id": node_id}))
        line = line_of(event)
        if line is not None:
            printer.print(line)

    host.node.subscribe(show)
    await host.start()
    try:
        await _first_of(stopped, host.stop_wanted)
    finally:
        await host.stop()


async def _first_of(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*waiting)
