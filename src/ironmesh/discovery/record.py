"""mDNS records: what a node says about itself, and what it believes of others.

They are not authenticated and hold no key and nothing derived from one. That of the 0.8 wire has a
name, a port and a protocol version, as the published nodes expect them. The native one has a label
that is random at each start, and the public name of the mesh.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ironmesh.config import check_mesh
from ironmesh.errors import ConfigError, RemoteProtocolError
from ironmesh.types import Endpoint, Random, Refusal, WireKind

SERVICE_TYPE: Final = "_ironmesh._tcp.local."
NATIVE_SERVICE_TYPE: Final = "_ironmesh-v5._tcp.local."
ANNOUNCED_PROTOCOL: Final = "ironmesh/0.6"
MAX_TXT_BYTES: Final = 1024
"""Keys and values together."""
MAX_NAME_CHARS: Final = 256
MAX_ADDRESSES: Final = 16
MAX_LABEL_BYTES: Final = 63
"""RFC 1035, section 2.3.4."""

_LABEL_BYTES: Final = 12
_LABEL: Final = re.compile(r"[0-9a-z]{8,63}")
_NATIVE_KEY: Final = "v5:"
"""No name has a colon."""
_NAME: Final = re.compile(rf"[\w.\-]{{1,{MAX_NAME_CHARS}}}")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_PROTOCOL: Final = re.compile(r"ironmesh/[0-9.]{1,24}")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


class FoundPeer(msgspec.Struct, frozen=True):
    """A node that announces itself. Nothing here is proved."""

    name: str
    """Empty on the native wire."""
    endpoints: tuple[Endpoint, ...]
    """At least one; the most promising first."""
    protocol_version: str
    """As announced; empty if it is not one, and on the native wire."""
    label: str = ""
    """On the native wire: random at each start of the peer."""
    mesh: str = ""
    """On the native wire: the public name of the peer's mesh."""

    @property
    def wire(self) -> WireKind:
        """The wire that it announces."""
        return WireKind.NATIVE if self.label else WireKind.LEGACY

    @property
    def key(self) -> str:
        """What it is told apart from other found peers by: its name, or its label."""
        return _NATIVE_KEY + self.label if self.label else self.name


class Heard(msgspec.Struct, frozen=True):
    """A record as it came from the network."""

    label: str
    """The instance without its type."""
    txt: bytes
    """Strings with a length byte each (RFC 6763, section 6.1)."""
    port: int
    addresses: tuple[str, ...]
    """Link-local IPv6 ones with their zone."""


def build_txt(name: str, port: int) -> dict[str, str]:
    """Return the TXT members that announce this node."""
    return {"agent": name, "port": str(port), "proto": ANNOUNCED_PROTOCOL}


def instance_label(name: str, attempt: int = 1) -> str:
    """Return the DNS label for a node's name: cut to 63 bytes, numbered from the second attempt on.

    The label need not be the name: others take the name from the TXT record.
    """
    suffix = f"-{attempt}" if attempt > 1 else ""
    room = MAX_LABEL_BYTES - len(suffix)
    return name.encode()[:room].decode(errors="ignore") + suffix


def random_label(random: Random) -> str:
    """Return a label for one run of a node."""
    return random(_LABEL_BYTES).hex()


def build_native_txt(mesh: str) -> dict[str, str]:
    """Return the TXT members that announce this node on the native wire."""
    return {"mesh": mesh}


def parse_native_record(heard: Heard, own: Sequence[Interface]) -> FoundPeer:
    """Check a native record that somebody announced.

    Args:
        own: this machine's addresses with their networks, to sort by.

    Raises:
        RemoteProtocolError: the record breaks a rule of the wire, or has no usable address.
    """
    label = heard.label.lower()
    if not _LABEL.fullmatch(label):
        raise _refuse("its label is not one of random letters and digits")
    try:
        mesh = check_mesh(_text(_members(heard.txt), "mesh"))
    except ConfigError as error:
        raise _refuse("its mesh has no usable name") from error
    if not 0 < heard.port < 65536:
        raise _refuse("its port is missing or out of range")
    hosts = _usable(heard.addresses, own)
    if not hosts:
        raise _refuse("it has no usable address")
    endpoints = tuple(Endpoint(host, heard.port) for host in hosts)
    return FoundPeer("", endpoints, "", label, mesh)


def parse_record(txt: bytes, addresses: Sequence[str], own: Sequence[Interface]) -> FoundPeer:
    """Check a record that somebody announced.

    Args:
        txt: the TXT record's data: strings with a length byte each (RFC 6763, section 6.1).
        addresses: the addresses announced with it; link-local IPv6 ones with their zone.
        own: this machine's addresses with their networks, to sort by.

    Raises:
        RemoteProtocolError: the record breaks a rule of the wire, or has no usable address.
    """
    members = _members(txt)
    name = _text(members, "agent")
    if not _NAME.fullmatch(name):
        raise _refuse("its name is missing or has other characters than letters, digits, '-_.'")
    port = _text(members, "port")
    if not _PORT.fullmatch(port) or not 0 < int(port) < 65536:
        raise _refuse("its port is missing or out of range")
    protocol = _text(members, "proto")
    hosts = _usable(addresses, own)
    if not hosts:
        raise _refuse("it has no usable address")
    return FoundPeer(
        name,
        tuple(Endpoint(host, int(port)) for host in hosts),
        protocol if _PROTOCOL.fullmatch(protocol) else "",
    )


def _members(txt: bytes) -> dict[str, bytes]:
    """Return keys in lower case with their values; of several equal keys the first counts."""
    members: dict[str, bytes] = {}
    size = 0
    for entry in _strings(txt):
        key, _, value = entry.partition(b"=")
        size += len(key) + len(value)
        if size > MAX_TXT_BYTES:
            raise _refuse(f"its text is over {MAX_TXT_BYTES} bytes")
        members.setdefault(key.decode("ascii", errors="replace").lower(), value)
    return members


def _strings(txt: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(txt):
        end = position + 1 + txt[position]
        if end > len(txt):
            raise _refuse("its text is cut off")
        yield txt[position + 1 : end]
        position = end


def _text(members: dict[str, bytes], key: str) -> str:
    try:
        return members.get(key, b"").decode()
    except UnicodeDecodeError:
        raise _refuse(f"its {key!r} is not UTF-8") from None


def _usable(addresses: Sequence[str], own: Sequence[Interface]) -> list[str]:
    """Return addresses worth dialling: IPv4 first, and those in a network of ours before others.

    An address that is our own means this machine, unless the peer has others too: then it is one
    that many machines have (a container bridge), and dialling it would reach ourselves.
    """
    hosts: dict[_Address, str] = {}
    for text in addresses[:MAX_ADDRESSES]:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        if _is_dialable(address, own):
            hosts.setdefault(address, text)
    ours = {interface.ip for interface in own}
    chosen = [address for address in hosts if address not in ours] or list(hosts)
    chosen.sort(key=lambda address: (address.version != 4, not _is_near(address, own)))
    return [hosts[address] for address in chosen]


def _is_dialable(address: _Address, own: Sequence[Interface]) -> bool:
    if address.is_loopback:
        return True
    if address.is_unspecified or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.is_link_local:
        # Without its zone it does not say which network it means.
        return address.scope_id is not None
    # Who answers multicast is on this link: nobody here may send us out to the internet.
    return not address.is_global or _is_near(address, own)


def _is_near(address: _Address, own: Sequence[Interface]) -> bool:
    return any(address in interface.network for interface in own)


def _refuse(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(Refusal.PROTOCOL, f"an announcement was ignored: {why}")
