"""The command group, and the one place where errors become exit codes."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from ironmesh.cli.commands import COMMANDS, overview
from ironmesh.errors import ControlError, IronMeshError
from ironmesh.version import __version__

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130

_SECRET_OPTIONS: Final = frozenset(
    {"--passphrase", "--previous-passphrase", "--keys-passphrase", "--legacy-passphrase"}
)


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        command = COMMANDS.get(cmd_name)
        if command is None:
            return None
        module = importlib.import_module(f"ironmesh.cli.{command.module}")
        found = getattr(module, command.attribute)
        assert isinstance(found, click.Command)
        return found

    def format_help(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        formatter.write(overview() + "\n")


@click.group(cls=LazyGroup)
@click.version_option(__version__, prog_name="ironmesh", message="%(prog)s %(version)s")
def cli() -> None:
    """IronMesh."""


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; errors are told in one line."""
    wants_json = _wants_json(arguments)
    try:
        code = cli.main(list(_as_run(arguments)), prog_name="ironmesh", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        _tell("usage", _one_line(error.format_message()), _usage_fix(error), wants_json=wants_json)
        return EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except IronMeshError as error:
        code = error.remote_code if isinstance(error, ControlError) else error.code
        _tell(code, error.what, error.fix, wants_json=wants_json)
        return EXIT_FAILED
    except BrokenPipeError:
        # The reader of our output went away, as `| head` does; nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:
        what = f"{error.strerror or error}"
        _tell(
            "system",
            f"{error.filename}: {what}" if error.filename else what,
            "",
            wants_json=wants_json,
        )
        return EXIT_FAILED
    return code if isinstance(code, int) else 0


def _as_run(arguments: Sequence[str]) -> Sequence[str]:
    """Let options without a command mean `run`, as published."""
    first = arguments[0] if arguments else ""
    is_bare = first.startswith("-") and first not in {"--help", "--version"}
    return ["run", *arguments] if is_bare else arguments


def _wants_json(arguments: Sequence[str]) -> bool:
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return "--json" in arguments[:end]


def _usage_fix(error: click.UsageError) -> str:
    if isinstance(error, click.NoSuchOption) and error.option_name in _SECRET_OPTIONS:
        return f"secrets do not go on a command line; use {error.option_name}-file FILE"
    path = error.ctx.command_path if error.ctx is not None else "ironmesh"
    return f"see {path} --help"


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


def _tell(code: str, what: str, fix: str, *, wants_json: bool) -> None:
    if wants_json:
        print(json.dumps({"error": {"code": code, "message": what, "fix": fix}}), flush=True)
    else:
        line = f"error: {what}: {fix}" if fix else f"error: {what}"
        print(_one_line(line), file=sys.stderr, flush=True)
