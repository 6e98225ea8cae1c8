"""A node speaks to its peers and to mDNS, and to nobody else."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.netns import Host, ip
from tests.support.processes import OURS, Running, environment, run

pytestmark = pytest.mark.netns

ROOT = Path(__file__).parents[2]
QUIET_S = 4.0
PORTS = (8765, 8766)
PEERS = {"10.77.0.1", "10.77.0.2"}
MDNS_GROUPS = {"224.0.0.251:5353", "ff02::fb:5353"}
KERNEL = re.compile(r"ethertype-|ip-(?:0|2|58) ")
"""ARP, and what joins multicast groups and configures IPv6: hop-by-hop options, IGMP, ICMPv6."""


@contextmanager
def sniffing(host: Host) -> Iterator[Running]:
    argv = [sys.executable, "-m", "tests.support.sniffer"]
    with Running(argv, netns=host.name, cwd=ROOT) as sniffer:
        sniffer.wait_line("^sniffing$")
        yield sniffer


def strangers(lines: list[str]) -> set[str]:
    """Return the packets that are neither mDNS nor between two peers."""
    found = set()
    for line in lines:
        if line == "sniffing" or KERNEL.match(line):
            continue
        kind, source, _, destination = line.split()
        if kind not in {"tcp", "udp"}:
            found.add(line)
            continue
        addresses = {source.rpartition(":")[0], destination.rpartition(":")[0]}
        ports = {int(end.rpartition(":")[2]) for end in (source, destination)}
        is_mdns = kind == "udp" and (
            destination in MDNS_GROUPS or (ports == {5353} and addresses <= PEERS)
        )
        is_peer = kind == "tcp" and addresses == PEERS and ports & set(PORTS)
        if not is_mdns and not is_peer:
            found.add(line)
    return found


def test_nothing_leaves_a_node_but_mdns_and_what_its_peers_get(
    two_hosts: tuple[Host, Host], tmp_path: Path
) -> None:
    one, two = two_hosts
    for host, other in ((one, two), (two, one)):
        # With a way out, whatever is sent to the internet or to a resolver is seen on the cable.
        ip("-n", host.name, "route", "add", "default", "via", other.address)
    envs = []
    for name in ("alice", "bob"):
        (tmp_path / name).mkdir()
        envs.append(environment(tmp_path / name, IRONMESH_PASSPHRASE="correct horse battery"))
    command = [*OURS, "run", "--allowed-peers", "alice,bob"]
    with (
        sniffing(one) as sniffer,
        Running(
            [*command, "--name", "alice", "--port", "8765"], env=envs[0], netns=one.name
        ) as alice,
        Running([*command, "--name", "bob", "--port", "8766"], env=envs[1], netns=two.name) as bob,
    ):
        alice.wait_line("Peer bob .* online", timeout_s=20)
        bob.wait_line("Peer alice .* online", timeout_s=20)
        run([*OURS, "send", "bob", "hello"], env=envs[0])
        time.sleep(QUIET_S)
        alice.terminate()
        bob.terminate()
        assert strangers(sniffer.lines) == set()
        assert any(line.startswith("tcp ") for line in sniffer.lines)
        assert any(line.endswith(" > 224.0.0.251:5353") for line in sniffer.lines)


def test_the_sniffer_sees_what_a_node_must_not_do(two_hosts: tuple[Host, Host]) -> None:
    one, two = two_hosts
    ip("-n", one.name, "route", "add", "default", "via", two.address)
    query = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        "s.sendto(b'x', ('198.51.100.7', 53)); s.sendto(b'x', ('127.0.0.53', 53))"
    )
    with sniffing(one) as sniffer:
        one.run([sys.executable, "-c", query])
        seen = {
            sniffer.wait_line(r"^udp 10\.77\.0\.1:\d+ > 198\.51\.100\.7:53$")[0],
            sniffer.wait_line(r"^udp 127\.0\.0\.1:\d+ > 127\.0\.0\.53:53$")[0],
        }
        assert seen <= strangers(sniffer.lines)
