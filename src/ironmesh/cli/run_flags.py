"""The flags of `ironmesh run`, in the order in which `--help` shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from ironmesh.cli.options import HomePath, home_option, json_option
from ironmesh.config import DEFAULT_PORT

Function = TypeVar("Function", bound=Callable[..., Any])

ALL_NAMES: Final = "*"
"""Value of `--allow-legacy` when no names follow it."""

_SECONDS: Final = click.FloatRange(min=1)

_IDENTITY: Final = (
    click.option("--name", required=True, envvar="IRONMESH_NAME", help="Name of this node."),
    click.option("--passphrase-file", type=HomePath(), help="File with the mesh passphrase."),
    click.option("--keys-path", type=HomePath(), envvar="IRONMESH_KEYS_PATH", help="Key file."),
    click.option(
        "--keys-passphrase-file",
        type=HomePath(),
        help="Opens the key file, where it is not the mesh passphrase.",
    ),
    click.option("--rotate-keys", is_flag=True, envvar="IRONMESH_ROTATE_KEYS", hidden=True),
    click.option("--trust-path", type=HomePath(), envvar="IRONMESH_TRUST_PATH", help="Pin file."),
    click.option("--db-path", type=HomePath(), envvar="IRONMESH_DB_PATH", help="Message store."),
)
_NETWORK: Final = (
    click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=DEFAULT_PORT,
        show_default=True,
        envvar="IRONMESH_PORT",
        help="TCP port to listen on; 0 = any free one.",
    ),
    click.option("--bind", default="0.0.0.0", show_default=True, help="Address to listen on."),  # noqa: S104
    click.option("--peer", "peers", multiple=True, metavar="HOST:PORT", help="Dial this address."),
    click.option("--allowed-peers", metavar="NAMES", help="Only these names, comma separated."),
    click.option("--open-discovery", is_flag=True, help="Dial every node found. INSECURE."),
    click.option("--no-mdns", is_flag=True, help="Neither announce this node nor look for others."),
    click.option("--tls-cert", type=HomePath(), envvar="IRONMESH_TLS_CERT", help="Certificate."),
    click.option("--tls-key", type=HomePath(), envvar="IRONMESH_TLS_KEY", help="Its key."),
    click.option("--allow-plaintext-ws", is_flag=True, help="Do without TLS. INSECURE."),
    click.option(
        "--profile", type=click.Choice(["secure", "dev", "offline"]), help="A set of flags at once."
    ),
    click.option("--force", is_flag=True, help="With --profile secure: accept INSECURE flags."),
)
_WIRES: Final = (
    click.option(
        "--allow-legacy",
        is_flag=False,
        flag_value=ALL_NAMES,
        metavar="[=NAMES]",
        help="Speak the published 0.8 wire, with all or with these names.",
    ),
    click.option(
        "--legacy-passphrase-file", type=HomePath(), help="Passphrase of the 0.8 wire alone."
    ),
    click.option(
        "--legacy-same-passphrase",
        is_flag=True,
        help="Use the mesh passphrase on the 0.8 wire, however weak.",
    ),
    click.option(
        "--min-protocol-version",
        default="ironmesh/0.3",
        show_default=True,
        help="Refuse older peers.",
    ),
    click.option(
        "--rekey-interval",
        type=click.FloatRange(min=0),
        default=1800.0,
        show_default=True,
        help="Seconds between key changes; 0 = never.",
    ),
)
_MESH: Final = (
    click.option("--capability", "capabilities", multiple=True, help="What this node can do."),
    click.option("--capability-announce-interval", type=_SECONDS, default=60.0, hidden=True),
    click.option("--capabilities-path", type=HomePath(), hidden=True),
    click.option(
        "--mesh-routing",
        type=click.Choice(["off", "passive", "relay"]),
        default="relay",
        hidden=True,
    ),
    click.option("--max-hops", type=click.IntRange(min=1), default=5, hidden=True),
    click.option("--route-announce-interval", type=_SECONDS, default=30.0, hidden=True),
    click.option("--route-ttl", type=_SECONDS, default=90.0, hidden=True),
    click.option("--routes-path", type=HomePath(), hidden=True),
)
_LATER: Final = (
    click.option("--gui", is_flag=True, hidden=True),
    click.option("--no-gui", is_flag=True, hidden=True),
    click.option("--gui-bind", default="127.0.0.1", hidden=True),
    click.option("--reticulum", is_flag=True, envvar="IRONMESH_RNS_ENABLED", hidden=True),
    click.option("--rns-configdir", type=HomePath(), envvar="IRONMESH_RNS_CONFIGDIR", hidden=True),
    click.option("--rns-announce-interval", type=_SECONDS, default=300.0, hidden=True),
    click.option("--rns-connect", hidden=True),
    click.option("--lora-max-payload", type=click.IntRange(min=0), default=128, hidden=True),
    click.option(
        "--metrics-format",
        type=click.Choice(["prometheus", "json"]),
        default="prometheus",
        hidden=True,
    ),
    click.option(
        "--require-message-promotion",
        is_flag=True,
        envvar="IRONMESH_REQUIRE_MSG_PROMOTION",
        hidden=True,
    ),
    click.option(
        "--pending-trust-queue-cap",
        type=click.IntRange(min=1),
        default=100,
        envvar="IRONMESH_PENDING_QUEUE_CAP",
        hidden=True,
    ),
)
_LOGS: Final = (
    click.option(
        "--log-level",
        type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
        default="INFO",
        show_default=True,
        envvar="IRONMESH_LOG_LEVEL",
    ),
    click.option("--log-file", type=HomePath(), envvar="IRONMESH_LOG_FILE", help="Append to it."),
    click.option(
        "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True
    ),
)


def run_flags(function: Function) -> Function:
    """Add every flag of `run`; those of features that do not exist yet are hidden."""
    function = home_option(json_option(function))
    for option in reversed((*_IDENTITY, *_NETWORK, *_WIRES, *_MESH, *_LATER, *_LOGS)):
        function = option(function)
    return function
