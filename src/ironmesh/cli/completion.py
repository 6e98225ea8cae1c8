"""`ironmesh completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ironmesh.cli import COMPLETION_VARIABLE
from ironmesh.cli.options import json_option
from ironmesh.cli.output import print_json
from ironmesh.errors import ConfigError


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
def completion_command(shell: str, *, as_json: bool) -> None:
    """Print the completion script of SHELL.

    For bash: eval "$(ironmesh completion bash)"
    """
    from ironmesh.cli.app import cli

    found = get_completion_class(shell)
    if found is None:
        raise ConfigError(f"there is no completion for {shell}", "use bash, zsh or fish")
    script = found(cli, {}, "ironmesh", COMPLETION_VARIABLE).source()
    if as_json:
        print_json({"shell": shell, "script": script})
    else:
        click.echo(script)
