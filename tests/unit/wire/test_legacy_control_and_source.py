"""Control payloads, and the bytes that originators sign."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import vectors
from tests.support.legacy import refusal_of

from ironmesh.crypto import sodium
from ironmesh.types import Refusal
from ironmesh.wire.legacy import control, source

_TEXT = st.text(max_size=60)


@given(
    st.builds(
        control.Control,
        type=_TEXT,
        from_id=_TEXT,
        new_ephemeral_public=_TEXT,
        rekey_id=_TEXT,
        reason=_TEXT,
    )
)
def test_control_payloads_survive_the_wire(said: control.Control) -> None:
    assert control.decode(control.encode(said)) == said


def test_a_ping_is_written_as_the_vector_has_it() -> None:
    vector = vectors.load("frame")["vectors"][3]
    said = control.Control(type="PING", from_id="72a54b11ac53dacb99effe505edc5bba")
    assert control.encode(said).hex() == vector["payload_hex"]


@given(st.binary(max_size=200))
def test_other_payloads_are_refused_by_name(payload: bytes) -> None:
    assert refusal_of(control.decode, payload) in (None, Refusal.BAD_BODY)


def test_source_signature_v2_is_the_published_one() -> None:
    data = vectors.load("v095_additions")
    row: dict[str, Any] = data["inner_source_v2"]
    fields = (row["source"], row["destination"], row["msg_id"], bytes.fromhex(row["payload_hex"]))
    assert source.SOURCE_CONTEXT.hex() == row["context_hex"]
    assert source.canonical_v2(*fields).hex() == row["canonical_hex"]
    assert sodium.verify(
        bytes.fromhex(data["alice_public_hex"]),
        source.signed_v2(*fields),
        bytes.fromhex(row["signature_hex"]),
    )


@pytest.mark.parametrize("vector", vectors.load("frame")["vectors"], ids=lambda v: v["name"])
def test_source_signature_v1_is_over_the_payload_alone(vector: dict[str, Any]) -> None:
    by_name = {row["node_id"]: row for row in vectors.load("identity")["vectors"]}
    signer = by_name[
        "40ffaa437204b653ff0b7fe5ca1c4158"
        if vector["name"] != "PING control frame"
        else "72a54b11ac53dacb99effe505edc5bba"
    ]
    assert sodium.verify(
        bytes.fromhex(signer["public_hex"]),
        source.signed_v1(bytes.fromhex(vector["payload_hex"])),
        bytes.fromhex(vector["source_signature_hex"]),
    )


@given(
    st.tuples(_TEXT, _TEXT, _TEXT, st.binary(max_size=60)),
    st.tuples(_TEXT, _TEXT, _TEXT, st.binary(max_size=60)),
)
def test_different_fields_never_sign_the_same_bytes(one: Any, other: Any) -> None:
    assert (source.signed_v2(*one) == source.signed_v2(*other)) is (one == other)
