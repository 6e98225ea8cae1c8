"""The secret of a mesh, and how a node keeps it between starts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.legacy import seeded

from ironmesh.config import MINIMAL_KDF
from ironmesh.crypto.meshkey import mesh_secret, open_mesh_secret, seal_mesh_secret
from ironmesh.errors import PassphraseError
from ironmesh.types import Secret

PASSPHRASE = Secret("correct horse battery staple")
DATA_KEY = Secret(b"d" * 32)
PRS = mesh_secret(PASSPHRASE, "ironmesh", MINIMAL_KDF)
SEALED = seal_mesh_secret(DATA_KEY, PASSPHRASE, "ironmesh", PRS, seeded("box"))


def test_passphrase_and_mesh_both_matter() -> None:
    others = [
        mesh_secret(Secret("correct horse battery stable"), "ironmesh", MINIMAL_KDF),
        mesh_secret(PASSPHRASE, "another", MINIMAL_KDF),
    ]
    assert len(PRS) == 32
    assert PRS not in others


def test_the_form_in_which_letters_were_typed_does_not_matter() -> None:
    composed, decomposed = (
        "caf\u00e9 au lait, s'il vous pla\u00eet",
        "cafe\u0301 au lait, s'il vous plai\u0302t",
    )
    assert mesh_secret(Secret(composed), "m\u00e9sh", MINIMAL_KDF) == mesh_secret(
        Secret(decomposed), "me\u0301sh", MINIMAL_KDF
    )


def test_a_passphrase_that_is_no_text_is_refused() -> None:
    with pytest.raises(PassphraseError) as refused:
        mesh_secret(Secret(b"\xff" * 20), "ironmesh", MINIMAL_KDF)
    assert refused.value.__cause__ is None


def test_a_sealed_secret_opens_for_its_node_passphrase_and_mesh() -> None:
    assert open_mesh_secret(DATA_KEY, PASSPHRASE, "ironmesh", SEALED) == PRS
    assert open_mesh_secret(DATA_KEY, Secret("another passphrase"), "ironmesh", SEALED) is None
    assert open_mesh_secret(DATA_KEY, PASSPHRASE, "another", SEALED) is None
    assert open_mesh_secret(Secret(b"e" * 32), PASSPHRASE, "ironmesh", SEALED) is None


def test_mesh_and_passphrase_cannot_be_shifted_into_each_other() -> None:
    sealed = seal_mesh_secret(DATA_KEY, Secret("bc"), "a", PRS, seeded("box"))
    assert open_mesh_secret(DATA_KEY, Secret("c"), "ab", sealed) is None


@given(at=st.integers(0, len(SEALED) - 1), flip=st.integers(1, 255))
def test_a_damaged_secret_counts_as_none(at: int, flip: int) -> None:
    damaged = SEALED[:at] + bytes([SEALED[at] ^ flip]) + SEALED[at + 1 :]
    assert open_mesh_secret(DATA_KEY, PASSPHRASE, "ironmesh", damaged) is None


@given(data=st.binary(max_size=100))
def test_any_other_bytes_count_as_none(data: bytes) -> None:
    assert open_mesh_secret(DATA_KEY, PASSPHRASE, "ironmesh", data) is None


def test_what_lies_on_disk_shows_nothing() -> None:
    assert PRS.reveal() not in SEALED
    assert PASSPHRASE.reveal() not in SEALED
