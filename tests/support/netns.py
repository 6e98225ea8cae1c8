"""Hosts of a test: network namespaces with a cable between them.

The machine's own network is left alone.

Use the fixtures `two_hosts` and `one_host`; they skip, with the reason, where namespaces cannot be
made. Whoever runs something in a host passes its `name` to `Running(netns=...)`.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Host:
    """A network namespace: a name to run programs in, and its address (empty: loopback only)."""

    name: str
    address: str = ""
    device: str = ""

    def run(self, argv: Sequence[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program in it to the end."""
        return run(self.name, argv, check=check)

    def cut(self) -> None:
        """Take its cable out: it notices at once."""
        ip("-n", self.name, "link", "set", self.device, "down")

    def mend(self) -> None:
        """Put its cable back."""
        ip("-n", self.name, "link", "set", self.device, "up")

    def drop_incoming(self, *, percent: int = 100, port: int | None = None) -> None:
        """Lose what arrives over the cable, unnoticed by both sides; for one TCP port if given."""
        match = f"tcp dport {port} " if port else ""
        chance = "" if percent >= 100 else f"numgen random mod 100 < {percent} "
        rule = f'iifname != "lo" {match}{chance}counter drop;'
        table = f"table inet loss {{ chain in {{ type filter hook input priority 0; {rule} }}; }}"
        self.run(["nft", table])

    def vanish(self) -> None:
        """Lose all that comes and goes over its cables, as if it had no power any more."""
        hook = 'type filter hook {} priority 0; {} != "lo" drop;'
        chains = [("i", "input", "iifname"), ("o", "output", "oifname")]
        rules = " ".join(f"chain {c} {{ {hook.format(way, name)} }};" for c, way, name in chains)
        self.run(["nft", f"table inet vanished {{ {rules} }}"])

    def keep_incoming(self) -> None:
        """End `drop_incoming`."""
        self.run(["nft", "delete table inet loss"])


def why_not() -> str | None:
    """Tell why namespaces cannot be used here; None = they can."""
    if os.name != "posix" or os.geteuid() != 0:
        return "network namespaces need root"
    if missing := [tool for tool in ("ip", "nft") if shutil.which(tool) is None]:
        return f"network namespaces need {' and '.join(missing)} (make system)"
    name = f"probe-{secrets.token_hex(4)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"network namespaces are not permitted here: {made.stderr.strip()}"
    ip("netns", "delete", name)
    return None


def ip(*argv: str) -> None:
    """Run `ip` with these arguments."""
    subprocess.run(["ip", *argv], check=True, capture_output=True, text=True)


def run(name: str, argv: Sequence[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program to its end in the namespace `name`."""
    return subprocess.run(
        ["ip", "netns", "exec", name, *argv], check=check, capture_output=True, text=True
    )


@contextmanager
def namespace() -> Iterator[str]:
    """Make a namespace with a random name and its loopback up; delete it in the end."""
    name = f"im-{secrets.token_hex(4)}"
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        ip("netns", "delete", name)


@contextmanager
def cabled_hosts() -> Iterator[tuple[Host, Host]]:
    """Make two namespaces with a veth cable: 10.77.0.1 and 10.77.0.2, multicast over the cable."""
    with ExitStack() as stack:
        names = [stack.enter_context(namespace()) for _ in range(2)]
        tag = secrets.token_hex(3)
        ends = [f"v{tag}a", f"v{tag}b"]
        ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        hosts = []
        for number, (name, end) in enumerate(zip(names, ends, strict=True), 1):
            ip("link", "set", end, "netns", name)
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", end)
            ip("-n", name, "link", "set", end, "up")
            hosts.append(Host(name, f"10.77.0.{number}", end))
        yield hosts[0], hosts[1]


@contextmanager
def hosts_in_line(count: int) -> Iterator[list[Host]]:
    """Make so many namespaces, each with a cable to the next; none can see farther than that.

    `address` and `device` of a host are those of its cable to the next one, who dials it there.
    """
    with ExitStack() as stack:
        names = [stack.enter_context(namespace()) for _ in range(count)]
        tag = secrets.token_hex(3)
        hosts = []
        for number, (name, following) in enumerate(pairwise(names), 1):
            ends = [f"v{tag}{number}a", f"v{tag}{number}b"]
            ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
            for place, (owner, end) in enumerate(zip((name, following), ends, strict=True), 1):
                ip("link", "set", end, "netns", owner)
                ip("-n", owner, "addr", "add", f"10.77.{number}.{place}/24", "dev", end)
                ip("-n", owner, "link", "set", end, "up")
            hosts.append(Host(name, f"10.77.{number}.1", ends[0]))
        yield [*hosts, Host(names[-1])]
