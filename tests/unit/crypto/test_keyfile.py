"""The key file: published versions are read, ours round-trips, and damage has a name."""

from __future__ import annotations

import base64
import json
import os
import traceback

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.key_files import b64, encrypted_published
from tests.support.vectors import load

from ironmesh.config import MINIMAL_KDF, KdfCost
from ironmesh.crypto import keyfile_published, sodium
from ironmesh.crypto.identity import Identity
from ironmesh.crypto.keyfile import MAX_FILE_BYTES, NodeKeys, parse, seal_new
from ironmesh.errors import KeyFileError, PassphraseError, WrongPassphraseError
from ironmesh.types import Secret

PASSPHRASE = Secret("orbit velvet canyon plum")
WRONG = Secret("orbit velvet canyon plumb")
SEED = bytes(range(32))
KEYS = NodeKeys(Identity.from_seed(SEED), Secret(b"\xda" * 32), "alice")
NAMES = st.text(max_size=64).filter(str.isprintable)


def as_file(members: dict[str, object]) -> bytes:
    return json.dumps(members).encode()


def sealed_v4(keys: NodeKeys = KEYS, cost: KdfCost = MINIMAL_KDF) -> bytes:
    return seal_new(keys, PASSPHRASE, cost, os.urandom)


@pytest.fixture
def cheap_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfile_published, "PUBLISHED_COST", MINIMAL_KDF)


# --- Published files ------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", load("key_file")["vectors"], ids=lambda v: v["kind"])
def test_a_published_version_2_file_opens(vector: dict) -> None:
    stored = parse(as_file(vector["file"]))
    assert (stored.version, stored.agent_name, stored.is_published) == (2, "alice", True)
    assert stored.is_encrypted is (vector["kind"] == "encrypted")
    opened = stored.open(Secret(vector["passphrase"]) if stored.is_encrypted else None)
    assert opened.identity.seed == Secret(bytes.fromhex(vector["seed_hex"]))
    assert opened.identity.node_id == stored.node_id
    assert opened.data_key is None


@pytest.mark.parametrize("vector", load("key_file")["negative"], ids=lambda v: v["note"])
def test_a_bad_published_file_is_refused(vector: dict) -> None:
    passphrase = Secret(vector["passphrase"]) if "passphrase" in vector else None
    expected = KeyFileError if passphrase is None else WrongPassphraseError
    with pytest.raises(expected) as caught:
        parse(as_file(vector["file"])).open(passphrase)
    assert type(caught.value) is expected
    assert caught.value.fix


def test_a_published_version_3_file_opens_and_keeps_the_node_id() -> None:
    vectors = load("v095_additions")
    stored = parse(as_file(vectors["key_file_v3_plaintext"]))
    assert (stored.version, stored.is_encrypted) == (3, False)
    identity = stored.open(None).identity
    assert identity.seed == Secret(bytes.fromhex(vectors["alice_seed_hex"]))
    assert identity.public.hex() == vectors["alice_public_hex"]


@pytest.mark.usefixtures("cheap_published")
@pytest.mark.parametrize("version", [2, 3])
def test_an_encrypted_published_file_opens_with_its_passphrase_only(version: int) -> None:
    stored = parse(as_file(encrypted_published(version, SEED, PASSPHRASE, MINIMAL_KDF)))
    assert stored.is_encrypted
    assert stored.open(PASSPHRASE).identity == KEYS.identity
    with pytest.raises(WrongPassphraseError):
        stored.open(WRONG)
    with pytest.raises(PassphraseError):
        stored.open(None)


@pytest.mark.parametrize(
    "change",
    [
        {"x25519_public": b64(bytes(32))},
        {"x25519_binding_signature": b64(bytes(64))},
        {"x25519_seed": b64(b"\x01" * 32)},
        {"ed25519_secret": b64(bytes(32))},
        {"ed25519_secret": b64(bytes(31))},
        {"ed25519_secret": "not base64!"},
        {"ed25519_secret": 7},
        {"format": "other"},
        {"encrypted": True},
        {"agent_name": "bell\x07"},
        {"agent_name": None},
    ],
    ids=str,
)
def test_an_edited_version_3_file_is_refused(change: dict) -> None:
    members = load("v095_additions")["key_file_v3_plaintext"] | change
    with pytest.raises(KeyFileError):
        parse(as_file(members)).open(None)


def test_a_file_with_a_plain_seed_beside_the_encrypted_one_is_refused() -> None:
    plain, encrypted = (v["file"] for v in load("key_file")["vectors"])
    with pytest.raises(KeyFileError, match="damaged"):
        parse(as_file(encrypted | {"ed25519_secret": plain["ed25519_secret"]}))


def test_members_that_a_later_published_version_adds_are_ignored() -> None:
    plain = load("key_file")["vectors"][0]["file"]
    assert parse(as_file(plain | {"comment": "x"})).open(None).identity


# --- Our format -----------------------------------------------------------------------------------


@given(
    name=NAMES, seed=st.binary(min_size=32, max_size=32), key=st.binary(min_size=32, max_size=32)
)
def test_keys_round_trip(name: str, seed: bytes, key: bytes) -> None:
    keys = NodeKeys(Identity.from_seed(seed), Secret(key), name)
    data = sealed_v4(keys)
    stored = parse(data)
    assert (stored.version, stored.is_encrypted, stored.is_published) == (4, True, False)
    assert (stored.agent_name, stored.node_id) == (name, keys.identity.node_id)
    assert stored.open(PASSPHRASE).complete(os.urandom) == keys


def test_opening_needs_the_right_passphrase() -> None:
    stored = parse(sealed_v4())
    with pytest.raises(WrongPassphraseError) as caught:
        stored.open(WRONG)
    assert caught.value.fix
    with pytest.raises(PassphraseError):
        stored.open(None)


FILE = sealed_v4()


@given(at=st.integers(0, len(FILE) - 1), flip=st.integers(1, 255))
def test_any_flipped_byte_is_a_named_error(at: int, flip: int) -> None:
    damaged = FILE[:at] + bytes([FILE[at] ^ flip]) + FILE[at + 1 :]
    with pytest.raises(KeyFileError) as caught:
        parse(damaged)
    assert not isinstance(caught.value, WrongPassphraseError)


@given(length=st.integers(0, len(FILE) - 1))
def test_any_truncation_is_a_named_error(length: int) -> None:
    with pytest.raises(KeyFileError):
        parse(FILE[:length])


@given(st.binary(max_size=512) | st.recursive(st.integers(), st.lists).map(msgspec.json.encode))
def test_garbage_is_a_named_error(data: bytes) -> None:
    with pytest.raises(KeyFileError):
        parse(data)


def test_deep_nesting_is_a_named_error() -> None:
    with pytest.raises(KeyFileError):
        parse(b'{"version":4,"x":' + b"[" * 60_000)


def test_a_file_of_more_than_64_kib_is_not_even_decoded() -> None:
    with pytest.raises(KeyFileError, match="64 KiB"):
        parse(FILE + b" " * MAX_FILE_BYTES)


def test_a_later_version_is_named() -> None:
    with pytest.raises(KeyFileError, match="version 5"):
        parse(b'{"version": 5}')


@pytest.mark.parametrize(
    "change",
    [{"agent_name": "mallory"}, {"ed25519_public": b64(Identity.from_seed(b"m" * 32).public)}],
)
def test_a_changed_clear_part_does_not_open_even_with_a_fresh_checksum(change: dict) -> None:
    members = json.loads(FILE) | change
    clear = {k: v for k, v in members.items() if k not in ("sealed", "checksum")}
    sealed = base64.b64decode(members["sealed"])
    members["checksum"] = b64(sodium.sha256(msgspec.json.encode(clear) + sealed)[:16])
    forged = msgspec.json.format(msgspec.json.encode(members), indent=2) + b"\n"
    with pytest.raises(WrongPassphraseError):
        parse(forged).open(PASSPHRASE)


@pytest.mark.parametrize(
    "change",
    [
        {"passes": 0},
        {"passes": 11},
        {"memory_bytes": 1 << 31},
        {"memory_bytes": 8191},
        {"name": "x"},
    ],
    ids=str,
)
def test_a_hostile_cost_is_refused_before_any_memory_is_taken(change: dict) -> None:
    members = json.loads(FILE)
    members["kdf"] |= change
    with pytest.raises(KeyFileError, match="damaged"):
        parse(as_file(members))


@pytest.mark.parametrize("cost", [KdfCost(0, 8192), KdfCost(11, 8192), KdfCost(1, (1 << 30) + 1)])
def test_no_file_is_written_that_could_not_be_read(cost: KdfCost) -> None:
    with pytest.raises(KeyFileError, match="refused"):
        sealed_v4(cost=cost)


@pytest.mark.parametrize("name", ["new\nline", "x" * 257])
def test_no_file_is_written_under_a_name_that_could_not_be_read(name: str) -> None:
    with pytest.raises(KeyFileError, match="name"):
        sealed_v4(msgspec.structs.replace(KEYS, agent_name=name))


def test_two_files_of_the_same_keys_share_no_salt_and_no_box() -> None:
    one, two = json.loads(sealed_v4()), json.loads(sealed_v4())
    assert one["kdf"]["salt"] != two["kdf"]["salt"]
    assert one["sealed"] != two["sealed"]


def test_memory_that_is_not_to_be_had_is_a_named_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_kwargs: object) -> bytes:
        raise sodium.CryptoError("Argon2id failed")

    monkeypatch.setattr(sodium, "argon2id", fail)
    with pytest.raises(KeyFileError, match="memory"):
        parse(FILE).open(PASSPHRASE)


def test_secrets_stay_out_of_reprs_tracebacks_and_pickles() -> None:
    import pickle

    plain = parse(as_file(load("key_file")["vectors"][0]["file"]))
    opened = parse(FILE).open(PASSPHRASE)
    hidden = [SEED.hex(), repr(SEED), b64(SEED), repr(b"\xda" * 32), PASSPHRASE.reveal().decode()]
    hidden.append(load("key_file")["vectors"][0]["file"]["ed25519_secret"])
    shown = [repr(plain), repr(plain._file), repr(opened), repr(opened.complete(os.urandom))]
    try:
        parse(FILE).open(WRONG)
    except WrongPassphraseError as error:
        shown.append("".join(traceback.format_exception(error)))
    try:
        parse(as_file(load("key_file")["negative"][1]["file"])).open(None)
    except KeyFileError as error:
        shown.append("".join(traceback.format_exception(error)))
    for text in shown:
        assert not [secret for secret in hidden if secret in text]
    for value in (plain, opened, opened.complete(os.urandom)):
        with pytest.raises(TypeError):
            pickle.dumps(value)
