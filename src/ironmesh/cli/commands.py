"""Which commands there are. Imports nothing: the list is shown without loading any of them."""

from __future__ import annotations

from typing import Final, NamedTuple


class Command(NamedTuple):
    """Where a command lives, and what it does."""

    module: str
    attribute: str
    summary: str


COMMANDS: Final = {
    "setup": Command("setup", "setup_command", "Set a node up, by questions or by flags."),
    "run": Command("run", "run_command", "Run a node until it is stopped."),
    "demo": Command("demo", "demo_command", "Let two nodes on this machine exchange a message."),
    "send": Command("send", "send_command", "Send one message to a peer."),
    "listen": Command("listen", "listen_command", "Print, or hand to a command, what arrives."),
    "status": Command("status", "status_command", "Show how a running node is."),
    "peers": Command("peers", "peers_command", "Show the peers of a running node."),
    "ping": Command("ping", "ping_command", "Measure the way to a peer and back."),
    "routes": Command("routes", "routes_command", "Show how the nodes of the mesh are reached."),
    "trace": Command("trace", "trace_command", "Show who is on the way to a node."),
    "caps": Command("caps", "caps_command", "Show what the nodes of the mesh can do."),
    "map": Command("map", "map_command", "Draw the mesh as a running node sees it."),
    "simulate": Command(
        "simulate", "simulate_command", "Try out a mesh of many nodes, by simulation."
    ),
    "stop": Command("stop", "stop_command", "Stop a running node."),
    "doctor": Command(
        "doctor", "doctor_command", "Look for what is wrong, and say how to mend it."
    ),
    "outbox": Command("outbox", "outbox_group", "See and change what waits to be delivered."),
    "history": Command("history", "history_command", "Show what was sent and what arrived."),
    "trust": Command("trust", "trust_group", "See and change who is trusted."),
    "keys": Command("keys", "keys_group", "Make and show identities; keep passphrases."),
    "config": Command("config", "config_group", "See what is set, and where that came from."),
    "completion": Command("completion", "completion_command", "Print a shell completion script."),
}


def overview() -> str:
    """Return the short usage list."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "Usage: ironmesh COMMAND [OPTIONS]",
            "",
            *lines,
            "",
            "More: ironmesh COMMAND --help, ironmesh --version",
        ]
    )
