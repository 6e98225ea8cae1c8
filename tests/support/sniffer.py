"""A process that prints every packet of a network namespace: `udp 10.0.0.1:53 > 10.0.0.2:53`.

Usage: python -m tests.support.sniffer. Prints `sniffing`, then a line for each packet on any
interface, the loopback too; ends when its standard input does.
"""

from __future__ import annotations

import ipaddress
import select
import socket
import struct
import sys

EVERY_PROTOCOL = 3
IPV4, IPV6 = 0x0800, 0x86DD
TRANSPORTS = {6: "tcp", 17: "udp"}


def described(ethertype: int, packet: bytes) -> str:
    """Return what a packet is, from whom and to whom."""
    if ethertype == IPV4:
        number, start = packet[9], (packet[0] & 0x0F) * 4
        source, destination = packet[12:16], packet[16:20]
    elif ethertype == IPV6:
        number, start = packet[6], 40
        source, destination = packet[8:24], packet[24:40]
    else:
        return f"ethertype-{ethertype:04x}"
    ends = [str(ipaddress.ip_address(address)) for address in (source, destination)]
    if number in TRANSPORTS:
        ports = struct.unpack_from(">HH", packet, start)
        ends = [f"{end}:{port}" for end, port in zip(ends, ports, strict=True)]
    return f"{TRANSPORTS.get(number, f'ip-{number}')} {ends[0]} > {ends[1]}"


def main() -> None:
    """Print packets until the standard input ends."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(EVERY_PROTOCOL))
    with tap:
        print("sniffing", flush=True)
        while True:
            ready, _, _ = select.select([tap, sys.stdin], [], [])
            if tap in ready:
                packet, address = tap.recvfrom(65_535)
                print(described(address[1], packet), flush=True)
            elif sys.stdin in ready:
                return


if __name__ == "__main__":
    main()
