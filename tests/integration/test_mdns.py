"""Discovery with real multicast: on this machine's loopback, and between two hosts."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from tests.support.leftovers import Leftovers
from tests.support.netns import Host
from tests.support.processes import Running
from zeroconf import ServiceInfo
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from ironmesh.discovery import mdns
from ironmesh.discovery.interfaces import Surroundings
from ironmesh.discovery.mdns import MdnsDiscovery, NativeIdentity
from ironmesh.discovery.record import FoundPeer, random_label
from ironmesh.errors import ConfigError
from ironmesh.types import Endpoint, WireKind

ROOT = Path(__file__).parents[2]
STOP_LIMIT_S = 0.5


@pytest.fixture
def service_type() -> str:
    """A type of its own: the loopback is shared by all that runs on this machine."""
    return f"_im{secrets.token_hex(4)}._tcp.local."


class Node:
    """What one node's discovery tells."""

    def __init__(
        self,
        name: str,
        port: int,
        service_type: str | None,
        native: NativeIdentity | None = None,
    ) -> None:
        self.name = name
        self.port = port
        self.found: asyncio.Queue[FoundPeer] = asyncio.Queue()
        self.lost: asyncio.Queue[str] = asyncio.Queue()
        self.notices: asyncio.Queue[str] = asyncio.Queue()
        self._discovery = MdnsDiscovery(service_type, native=native)

    def start(self, bind: str = "127.0.0.1") -> None:
        self._discovery.start(
            self.name,
            self.port,
            bind,
            self.found.put_nowait,
            self.lost.put_nowait,
            self.notices.put_nowait,
        )

    async def stop(self) -> None:
        await self._discovery.stop()


@asynccontextmanager
async def nodes(service_type: str, *names: str) -> AsyncIterator[list[Node]]:
    """Run a discovery for each name on loopback, with ports 1001, 1002, ..."""
    async with AsyncExitStack() as stack:
        made = [Node(name, 1001 + index, service_type) for index, name in enumerate(names)]
        for node in made:
            node.start()
            stack.push_async_callback(node.stop)
        yield made


@asynccontextmanager
async def announcing(*infos: ServiceInfo) -> AsyncIterator[AsyncZeroconf]:
    """Announce records of the test's own making on loopback."""
    zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"])
    try:
        for info in infos:
            await zeroconf.async_register_service(info, cooperating_responders=True)
        yield zeroconf
    finally:
        await zeroconf.async_close()


def record(
    service_type: str, label: str, *, host: str = "127.0.0.1", **members: str
) -> AsyncServiceInfo:
    return AsyncServiceInfo(
        service_type,
        f"{label}.{service_type}",
        port=1,
        properties={"agent": label, "port": "7", "proto": "ironmesh/0.6", **members},
        server=f"{secrets.token_hex(4)}.local.",
        parsed_addresses=[host],
    )


async def test_two_nodes_on_one_machine_find_each_other_at_once(service_type: str) -> None:
    started = time.monotonic()
    async with nodes(service_type, "alice", "bøb.x") as (alice, bob):
        assert await bob.found.get() == FoundPeer(
            "alice", (Endpoint("127.0.0.1", 1001),), "ironmesh/0.6"
        )
        assert (await alice.found.get()).name == "bøb.x"
        assert time.monotonic() - started < 3.0


async def test_a_node_that_leaves_is_lost_at_once(service_type: str) -> None:
    async with nodes(service_type, "alice", "bob") as (alice, bob):
        await bob.found.get()
        await alice.stop()
        assert await bob.lost.get() == "alice"


async def test_a_node_that_comes_later_finds_who_is_there(service_type: str) -> None:
    async with nodes(service_type, "alice", "bob") as (alice, bob):
        await alice.found.get()
        await bob.found.get()
        async with nodes(service_type, "carol") as (carol,):
            assert {(await carol.found.get()).name for _ in range(2)} == {"alice", "bob"}
            assert (await bob.found.get()).name == "carol"


async def test_two_nodes_of_one_name_both_start_and_are_told(service_type: str) -> None:
    async with nodes(service_type, "alice", "bob") as (_, bob):
        await bob.found.get()
        twin = Node("alice", 2000, service_type)
        twin.start()
        assert "calls itself 'alice'" in await twin.notices.get()
        while (peer := await bob.found.get()).endpoints[0].port != 2000:
            pass
        assert peer.name == "alice"
        await twin.stop()


async def test_what_is_announced_holds_no_key_and_no_id(service_type: str) -> None:
    async with nodes(service_type, "alice", "bob") as (_, bob):
        await bob.found.get()
        async with announcing() as zeroconf:
            info = AsyncServiceInfo(service_type, f"alice.{service_type}")
            assert await info.async_request(zeroconf.zeroconf, 3000)
            assert info.decoded_properties == {
                "agent": "alice",
                "port": "1001",
                "proto": "ironmesh/0.6",
            }


async def test_a_published_record_is_understood(service_type: str) -> None:
    async with (
        nodes(service_type, "alice") as (alice,),
        announcing(record(service_type, "old", idhash="ab" * 8, port="8765")),
    ):
        assert await alice.found.get() == FoundPeer(
            "old", (Endpoint("127.0.0.1", 8765),), "ironmesh/0.6"
        )


async def test_hostile_records_are_ignored_and_the_honest_one_among_them_is_found(
    service_type: str,
) -> None:
    hostile = [
        record(service_type, "h1", agent="../../etc"),
        record(service_type, "h2", port="99999"),
        record(service_type, "h3", **{f"k{n}": "y" * 200 for n in range(6)}),
        record(service_type, "h4", host="8.8.8.8"),
    ]
    async with (
        nodes(service_type, "alice") as (alice,),
        announcing(*hostile, record(service_type, "honest")),
    ):
        assert (await alice.found.get()).name == "honest"
        assert len({await alice.notices.get() for _ in hostile}) == len(hostile)
        assert alice.found.empty()


async def test_fifty_announcements_at_once_are_looked_at_ten_a_second(service_type: str) -> None:
    loop = asyncio.get_running_loop()
    flood = [record(service_type, f"n{number}") for number in range(50)]
    async with nodes(service_type, "alice") as (alice,), announcing(*flood):
        seen: dict[str, float] = {}
        while len(seen) < 30:
            name = (await alice.found.get()).name
            seen.setdefault(name, loop.time())
        # Ten at once, and the other twenty took two seconds.
        assert max(seen.values()) - min(seen.values()) > 1.5


async def test_starting_and_stopping_leaves_nothing(service_type: str) -> None:
    loop = asyncio.get_running_loop()
    node = Node("alice", 1001, service_type)
    node.start()
    await node.stop()
    before = await Leftovers.now()
    async with nodes(service_type, "other") as (other,):
        for _ in range(3):
            node.start()
            await node.found.get()
            stopping = loop.time()
            await node.stop()
            assert loop.time() - stopping < STOP_LIMIT_S
        for _ in range(5):
            node.start()
            await asyncio.sleep(0)
            await node.stop()
        await other.found.get()
    await node.stop()
    assert await Leftovers.now() == before


async def test_a_machine_without_multicast_is_a_notice(
    service_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = Surroundings(("192.0.2.1",), ("192.0.2.1",), ())
    monkeypatch.setattr(mdns, "survey", lambda bind: nowhere)
    node = Node("alice", 1001, service_type)
    node.start()
    assert "--peer" in await node.notices.get()
    await node.stop()


async def test_a_machine_without_network_is_a_notice(
    service_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mdns, "survey", lambda bind: Surroundings((), (), ()))
    node = Node("alice", 1001, service_type)
    node.start()
    assert "no network interface" in await node.notices.get()
    await node.stop()


async def test_a_name_is_no_address_to_bind_to(service_type: str) -> None:
    with pytest.raises(ConfigError, match="not an address"):
        Node("alice", 1001, service_type).start("localhost")


# --- The native record ---------------------------------------------------------------------------


def native_record(service_type: str, label: str, *, port: int = 7, **members: str) -> ServiceInfo:
    return AsyncServiceInfo(
        service_type,
        f"{label}.{service_type}",
        port=port,
        properties=members,
        server=f"{secrets.token_hex(4)}.local.",
        parsed_addresses=["127.0.0.1"],
    )


@asynccontextmanager
async def native_nodes(service_type: str, *meshes: str) -> AsyncIterator[list[Node]]:
    """Run a discovery on loopback for each mesh name, on the native wire alone."""
    async with AsyncExitStack() as stack:
        made = []
        for index, mesh in enumerate(meshes):
            label = f"{index:08d}{secrets.token_hex(4)}"
            native = NativeIdentity(label, mesh, service_type)
            node = Node(f"the-name-{index}", 1001 + index, None, native)
            node.start()
            stack.push_async_callback(node.stop)
            made.append(node)
        yield made


async def test_native_nodes_find_each_other_and_lose_each_other(service_type: str) -> None:
    started = time.monotonic()
    async with native_nodes(service_type, "home", "home") as (one, two):
        found = await two.found.get()
        assert (found.wire, found.name, found.mesh) == (WireKind.NATIVE, "", "home")
        assert found.endpoints == (Endpoint("127.0.0.1", 1001),)
        assert (await one.found.get()).endpoints == (Endpoint("127.0.0.1", 1002),)
        assert time.monotonic() - started < 3.0
        await one.stop()
        assert await two.lost.get() == found.key


async def test_a_native_announcement_tells_no_name_and_no_id(service_type: str) -> None:
    async with native_nodes(service_type, "home", "home") as (_, two):
        found = await two.found.get()
        async with announcing() as zeroconf:
            instance = f"{found.label}.{service_type}"
            info = AsyncServiceInfo(service_type, instance)
            assert await info.async_request(zeroconf.zeroconf, 3000)
            assert info.decoded_properties == {"mesh": "home"}
            assert info.server is not None
            assert "the-name" not in instance + info.server
    assert random_label(secrets.token_bytes) != random_label(secrets.token_bytes)


async def test_where_legacy_is_allowed_a_node_announces_both_records(service_type: str) -> None:
    native_type = f"_im{secrets.token_hex(4)}._tcp.local."
    identities = [
        NativeIdentity(random_label(secrets.token_bytes), "home", native_type) for _ in "12"
    ]
    async with AsyncExitStack() as stack:
        alice = Node("alice", 1001, service_type, identities[0])
        bob = Node("bob", 1002, service_type, identities[1])
        for node in (alice, bob):
            node.start()
            stack.push_async_callback(node.stop)
        found = {(await bob.found.get()).key for _ in range(2)}
        assert found == {"alice", f"v5:{identities[0].label}"}
        await alice.stop()
        assert {await bob.lost.get() for _ in range(2)} == found


async def test_hostile_native_records_are_ignored(service_type: str) -> None:
    hostile = [
        native_record(service_type, "a b", mesh="home"),
        native_record(service_type, "aaaaaaaa1", mesh="no mesh"),
        native_record(service_type, "aaaaaaaa2", agent="alice"),
        native_record(service_type, "aaaaaaaa3", mesh="home", port=0),
    ]
    honest = native_record(service_type, "bbbbbbbb", mesh="home", more="from a later version")
    async with (
        native_nodes(service_type, "home") as (node,),
        announcing(*hostile, honest),
    ):
        assert (await node.found.get()).label == "bbbbbbbb"
        for _ in range(3):
            assert "was ignored" in await node.notices.get()
        assert node.found.empty()


async def test_a_flood_of_one_record_does_not_hold_up_the_other(service_type: str) -> None:
    loop = asyncio.get_running_loop()
    native_type = f"_im{secrets.token_hex(4)}._tcp.local."
    flood = [record(service_type, f"n{number}") for number in range(50)]
    native = NativeIdentity(random_label(secrets.token_bytes), "home", native_type)
    node = Node("alice", 1001, service_type, native)
    node.start()
    try:
        async with announcing(*flood):
            assert (await node.found.get()).wire is WireKind.LEGACY
            came = loop.time()
            async with announcing(native_record(native_type, "bbbbbbbb", mesh="home")):
                while (await node.found.get()).wire is WireKind.LEGACY:
                    pass
                assert loop.time() - came < 3.0
    finally:
        await node.stop()


# --- Between hosts -----------------------------------------------------------------------------


@contextmanager
def discovery_in(host: Host, name: str, port: int, bind: str, service: str) -> Iterator[Running]:
    argv = [sys.executable, "-m", "tests.support.discovery_process"]
    with Running([*argv, name, str(port), bind, service], netns=host.name, cwd=ROOT) as process:
        process.wait_line("^started$")
        yield process


@pytest.mark.netns
@pytest.mark.parametrize("bind", ["0.0.0.0", "::"])
def test_two_hosts_find_each_other_by_their_addresses(
    two_hosts: tuple[Host, Host], service_type: str, bind: str
) -> None:
    one, two = two_hosts
    with (
        discovery_in(one, "alice", 1001, bind, service_type) as alice,
        discovery_in(two, "bob", 1002, bind, service_type) as bob,
    ):
        bob.wait_line(rf"^found alice {one.address}:1001")
        alice.wait_line(rf"^found bob {two.address}:1002")
        alice.close_stdin()
        bob.wait_line("^lost alice$")
        stopped = alice.wait_line(r"^stopped after (\S+)")
        assert float(stopped[1]) < STOP_LIMIT_S
        assert alice.expect(0).err == []


@pytest.mark.netns
def test_bound_to_loopback_nothing_is_heard_elsewhere(
    two_hosts: tuple[Host, Host], service_type: str
) -> None:
    one, two = two_hosts
    with (
        discovery_in(two, "bob", 1002, "0.0.0.0", service_type) as bob,
        discovery_in(one, "hidden", 1001, "127.0.0.1", service_type),
        discovery_in(one, "local", 1003, "0.0.0.0", service_type) as local,
    ):
        local.wait_line(r"^found hidden 127\.0\.0\.1:1001")
        bob.wait_line(r"^found local ")
        assert not any("hidden" in line for line in bob.lines)


@pytest.mark.netns
def test_a_cable_that_comes_back_brings_the_peers_back(
    two_hosts: tuple[Host, Host], service_type: str
) -> None:
    one, two = two_hosts
    with (
        discovery_in(one, "alice", 1001, "0.0.0.0", service_type) as alice,
        discovery_in(two, "bob", 1002, "0.0.0.0", service_type) as bob,
    ):
        bob.wait_line("^found alice")
        alice.wait_line("^found bob")
        two.cut()
        bob.wait_line("^lost alice$")
        bob.lines.clear()
        alice.lines.clear()
        two.mend()
        bob.wait_line(rf"^found alice {one.address}:1001")
        alice.wait_line(rf"^found bob {two.address}:1002")


@pytest.mark.netns
def test_with_nothing_but_a_loopback_nodes_find_each_other(
    one_host: Host, service_type: str
) -> None:
    with (
        discovery_in(one_host, "alice", 1001, "0.0.0.0", service_type) as alice,
        discovery_in(one_host, "bob", 1002, "0.0.0.0", service_type) as bob,
    ):
        bob.wait_line(r"^found alice 127\.0\.0\.1:1001")
        alice.wait_line(r"^found bob 127\.0\.0\.1:1002")
