"""Both records: what is announced, and what is believed of what others announce."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironmesh.config import check_name
from ironmesh.discovery.record import (
    MAX_LABEL_BYTES,
    MAX_TXT_BYTES,
    FoundPeer,
    Heard,
    build_native_txt,
    build_txt,
    instance_label,
    parse_native_record,
    parse_record,
    random_label,
)
from ironmesh.errors import ConfigError, RemoteProtocolError
from ironmesh.types import Endpoint, Refusal, WireKind

ADDRESS = ["192.168.1.7"]
GOOD = {"agent": "alice", "port": "8765", "proto": "ironmesh/0.6"}


def txt(members: dict[str, str] | list[tuple[str, bytes]]) -> bytes:
    pairs = [(k, v.encode()) for k, v in members.items()] if isinstance(members, dict) else members
    entries = [key.encode() + b"=" + value for key, value in pairs]
    return b"".join(bytes([len(entry)]) + entry for entry in entries)


def parse(members: dict[str, str], addresses: list[str] | None = None) -> FoundPeer:
    return parse_record(txt(members), ADDRESS if addresses is None else addresses, [])


def refusal(data: bytes, addresses: list[str] | None = None) -> str:
    with pytest.raises(RemoteProtocolError) as error:
        parse_record(data, ADDRESS if addresses is None else addresses, [])
    assert error.value.reason is Refusal.PROTOCOL
    return error.value.what


def test_a_record_gives_name_endpoint_and_version() -> None:
    assert parse(GOOD) == FoundPeer("alice", (Endpoint("192.168.1.7", 8765),), "ironmesh/0.6")


def test_what_we_announce_holds_neither_key_nor_hash() -> None:
    assert build_txt("alice", 8765) == GOOD


@given(
    st.text(st.characters(categories=["L", "Nd"]) | st.sampled_from("-_."), min_size=1, max_size=64)
)
def test_every_name_of_ours_survives_its_own_record(name: str) -> None:
    try:
        check_name(name)
    except ConfigError:
        return
    assert parse(build_txt(name, 1)).name == name


def test_published_members_and_unknown_ones_are_tolerated() -> None:
    more = {"idhash": "ab" * 8, "pubkey": "AAAA", "later": "\x00\x01"}
    assert parse({**GOOD, **more}) == parse(GOOD)
    assert parse_record(txt(GOOD) + b"\x04flag\x00\x03=xy", ADDRESS, []) == parse(GOOD)


def test_keys_ignore_case_and_the_first_of_two_counts() -> None:
    data = txt([("Agent", b"alice"), ("agent", b"mallory"), ("PORT", b"8765")])
    assert parse_record(data, ADDRESS, []).name == "alice"


def test_a_record_without_or_with_an_odd_version_is_accepted() -> None:
    for proto in ("", "telnet/1", "ironmesh/0.6\n", "ironmesh/" + "9" * 50):
        assert parse({**GOOD, "proto": proto}).protocol_version == ""


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a/b", "../x", "a\n", "<script>", "a\u202eb", "a\u0000", "\U0001f600"],
)
def test_a_name_that_could_mislead_is_refused(name: str) -> None:
    assert "name" in refusal(txt({"agent": name, "port": "1"}))


@pytest.mark.parametrize("name", ["Zoë", "节点-1", "узел", "a", "x" * 240])
def test_names_of_any_script_are_accepted(name: str) -> None:
    assert parse({**GOOD, "agent": name}).name == name


@pytest.mark.parametrize("port", ["", "0", "65536", "-1", "+1", " 1", "1.0", "0x1", "٣", "9" * 40])
def test_a_port_out_of_range_or_form_is_refused(port: str) -> None:
    assert "port" in refusal(txt({**GOOD, "port": port}))


def test_text_that_is_not_utf8_is_refused() -> None:
    assert "UTF-8" in refusal(txt([("agent", b"\xff\xfe"), ("port", b"1")]))


def test_text_over_the_limit_is_refused_and_at_the_limit_accepted() -> None:
    size = sum(len(k) + len(v) for k, v in GOOD.items())
    filler = []
    while size + 1 < MAX_TXT_BYTES:
        length = min(250, MAX_TXT_BYTES - size - 1)
        filler.append(("x", b"y" * length))
        size += 1 + length
    full = txt(GOOD) + txt(filler)
    assert parse_record(full, ADDRESS, []).name == "alice"
    assert "1024" in refusal(full + txt([("z", b"")]))


def test_text_that_is_cut_off_is_refused() -> None:
    assert "cut off" in refusal(txt(GOOD)[:-1])


# --- Addresses ---------------------------------------------------------------------------------

OWN = [
    ipaddress.ip_interface(text)
    for text in ("127.0.0.1/8", "192.168.1.2/24", "172.17.0.1/16", "2001:db8:1::2/64")
]


def hosts(addresses: list[str]) -> list[str]:
    return [e.host for e in parse_record(txt(GOOD), addresses, OWN).endpoints]


def test_ipv4_comes_first_and_a_network_of_ours_before_others() -> None:
    given_ = ["2001:db8:1::7", "10.9.9.9", "fd00::7", "192.168.1.7"]
    assert hosts(given_) == ["192.168.1.7", "10.9.9.9", "2001:db8:1::7", "fd00::7"]


def test_an_address_that_we_have_too_is_skipped_unless_it_is_the_only_kind() -> None:
    assert hosts(["172.17.0.1", "192.168.1.7"]) == ["192.168.1.7"]
    assert hosts(["172.17.0.1", "192.168.1.2"]) == ["172.17.0.1", "192.168.1.2"]
    assert hosts(["127.0.0.1"]) == ["127.0.0.1"]


def test_link_local_ipv6_needs_its_zone() -> None:
    assert hosts(["fe80::1%3", "192.168.1.7"]) == ["192.168.1.7", "fe80::1%3"]
    assert "no usable address" in refusal(txt(GOOD), ["fe80::1"])


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0", "::", "224.0.0.251", "ff02::fb", "255.255.255.255", "8.8.8.8", "::ffff:8.8.8.8"],
)
def test_nobody_on_the_link_can_send_us_elsewhere(address: str) -> None:
    assert "no usable address" in refusal(txt(GOOD), [address])


def test_a_public_address_in_a_network_of_ours_is_dialled() -> None:
    own = [ipaddress.ip_interface("8.8.4.4/16")]
    assert parse_record(txt(GOOD), ["8.8.8.8"], own).endpoints[0].host == "8.8.8.8"


def test_garbage_and_repeats_among_addresses_are_passed_over() -> None:
    assert hosts(["nonsense", "192.168.1.7", "192.168.1.7"]) == ["192.168.1.7"]


@given(st.binary(max_size=1500), st.lists(st.ip_addresses().map(str) | st.text(), max_size=20))
def test_any_bytes_give_a_valid_peer_or_a_refusal(data: bytes, addresses: list[str]) -> None:
    try:
        peer = parse_record(data, addresses, OWN)
    except RemoteProtocolError:
        return
    assert 1 <= len(peer.name) <= 256
    assert peer.endpoints
    assert all(0 < endpoint.port < 65536 for endpoint in peer.endpoints)


@given(
    agent=st.text(max_size=80),
    port=st.one_of(st.integers(-5, 70_000).map(str), st.text(max_size=6)),
    extra=st.dictionaries(st.text(st.characters(codec="ascii"), max_size=9), st.text(max_size=20)),
)
def test_near_misses_give_a_valid_peer_or_a_refusal(
    agent: str, port: str, extra: dict[str, str]
) -> None:
    data = txt({"agent": agent, "port": port}) + txt(extra)
    try:
        peer = parse_record(data, ADDRESS, [])
    except RemoteProtocolError:
        return
    assert peer.name == agent
    assert peer.endpoints[0].port == int(port)


# --- The label ---------------------------------------------------------------------------------


@given(st.text(min_size=1, max_size=64), st.integers(1, 99))
def test_a_label_fits_dns_and_begins_like_the_name(name: str, attempt: int) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    label = instance_label(name, attempt)
    assert len(label.encode()) <= MAX_LABEL_BYTES
    stem = label.removesuffix(f"-{attempt}") if attempt > 1 else label
    assert name.startswith(stem)


def test_labels_of_different_attempts_differ() -> None:
    assert len({instance_label("é" * 40, attempt) for attempt in range(1, 9)}) == 8


# --- The native record ---------------------------------------------------------------------------

LABEL = "0123456789abcdef01234567"


def heard(label: str = LABEL, port: int = 8765, **members: str) -> Heard:
    return Heard(label, txt(members), port, tuple(ADDRESS))


def test_a_native_record_gives_label_mesh_and_endpoint() -> None:
    found = parse_native_record(heard(mesh="home", later="x"), [])
    assert found == FoundPeer("", (Endpoint("192.168.1.7", 8765),), "", LABEL, "home")
    assert (found.wire, found.key) == (WireKind.NATIVE, f"v5:{LABEL}")


def test_no_name_is_the_key_of_a_native_peer() -> None:
    found = parse_native_record(heard(mesh="home"), [])
    with pytest.raises(RemoteProtocolError):
        parse({**GOOD, "agent": found.key})


@given(st.binary(min_size=12, max_size=12), st.from_regex(r"(?!\.)[\w.\-]{1,20}", fullmatch=True))
def test_every_label_and_mesh_of_ours_survives_its_own_record(raw: bytes, mesh: str) -> None:
    label = random_label(lambda size: raw[:size])
    try:
        check_name(mesh)
    except ConfigError:
        return
    found = parse_native_record(heard(label, **build_native_txt(mesh)), [])
    assert (found.label, found.mesh) == (label, mesh)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (heard("short", mesh="home"), "label"),
        (heard("a" * 64, mesh="home"), "label"),
        (heard("with-a-name", mesh="home"), "label"),
        (heard(), "mesh"),
        (heard(mesh="../etc"), "mesh"),
        (heard(mesh="m" * 65), "mesh"),
        (heard(port=0, mesh="home"), "port"),
        (heard(port=65536, mesh="home"), "port"),
        (Heard(LABEL, txt({"mesh": "home"}), 7, ("8.8.8.8",)), "address"),
        (Heard(LABEL, b"\xffcut", 7, tuple(ADDRESS)), "cut off"),
    ],
)
def test_a_native_record_that_breaks_a_rule_is_refused(record: Heard, said: str) -> None:
    with pytest.raises(RemoteProtocolError, match=said):
        parse_native_record(record, [])


@given(
    st.text(max_size=70),
    st.binary(max_size=300),
    st.integers(-1, 70_000),
    st.lists(st.text(max_size=40)),
)
def test_no_native_record_makes_trouble(
    label: str, data: bytes, port: int, addresses: list[str]
) -> None:
    try:
        found = parse_native_record(Heard(label, data, port, tuple(addresses)), [])
    except RemoteProtocolError:
        return
    assert found.endpoints
