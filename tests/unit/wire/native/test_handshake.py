"""The handshake's messages as bytes: one encoding of each, and everything else refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironmesh.errors import HandshakeError
from ironmesh.types import Refusal
from ironmesh.wire.native.constants import CloseCode, close_code_of, refusal_of
from ironmesh.wire.native.handshake import (
    Answer,
    Initiation,
    Resumption,
    ResumptionAnswer,
    Statement,
    decode_answer,
    decode_first,
    decode_proof,
    decode_resumption_answer,
    decode_statement,
)


def exactly(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


key = exactly(32)
initiations = st.one_of(
    st.builds(Initiation, st.just(1), st.integers(0, 255), key, key, key, exactly(1184)),
    st.builds(Initiation, st.just(2), st.integers(0, 255), key, key, key, st.just(b"")),
)
sealed = st.one_of(exactly(144), exactly(208))
names = st.from_regex(r"\A[a-z0-9_-][a-z0-9._-]{0,62}\Z")
statements = st.builds(
    Statement,
    identity_public=key,
    features=st.integers(0, 2**32 - 1),
    record_sequence=st.integers(0, 2**64 - 1),
    clock_ms=st.integers(0, 2**48 - 1),
    name=names,
)


@given(said=initiations)
def test_a_first_message_comes_back_as_it_was(said: Initiation) -> None:
    assert decode_first(said.encoded) == said


@given(said=st.builds(Resumption, exactly(16), key, key, key))
def test_a_resumption_comes_back_as_it_was(said: Resumption) -> None:
    assert len(said.encoded) == 114
    assert decode_first(said.encoded) == said


@given(said=st.builds(Answer, key, key, key, exactly(1088), sealed))
def test_a_hybrid_answer_comes_back_as_it_was(said: Answer) -> None:
    assert decode_answer(said.encoded, 1) == said
    with pytest.raises(HandshakeError):
        decode_answer(said.encoded, 2)


@given(said=st.builds(Answer, key, key, key, st.just(b""), sealed))
def test_a_radio_answer_comes_back_as_it_was(said: Answer) -> None:
    assert decode_answer(said.encoded, 2) == said
    with pytest.raises(HandshakeError):
        decode_answer(said.encoded, 1)


@given(said=st.builds(ResumptionAnswer, key, key, exactly(16)))
def test_the_answer_to_a_resumption_comes_back_as_it_was(said: ResumptionAnswer) -> None:
    assert decode_resumption_answer(said.encoded) == said


@given(said=statements)
def test_a_statement_comes_back_as_it_was(said: Statement) -> None:
    assert len(said.encoded) == (64 if len(said.name) <= 13 else 128)
    assert decode_statement(said.encoded) == said


@given(data=st.binary(max_size=1500))
def test_whatever_is_taken_is_the_only_encoding_of_it(data: bytes) -> None:
    for decode in (decode_first, decode_resumption_answer, decode_statement):
        try:
            said = decode(data)
        except HandshakeError:
            continue
        assert said.encoded == data


@given(said=statements, at=st.integers(0, 127), flip=st.integers(1, 255))
def test_no_two_encodings_mean_the_same_statement(said: Statement, at: int, flip: int) -> None:
    data = bytearray(said.encoded)
    data[at % len(data)] ^= flip
    try:
        other = decode_statement(bytes(data))
    except HandshakeError:
        return
    assert other != said


@pytest.mark.parametrize(
    "name",
    [b"", b"\xff", b".hidden", b"a b", b"a/b", b"a\n", b"a\x00", "a\u202eb".encode()],
)
def test_a_name_that_no_node_may_have_is_refused(name: bytes) -> None:
    said = bytes(50) + bytes([len(name)]) + name
    with pytest.raises(HandshakeError, match="name"):
        decode_statement(said + bytes(-len(said) % 64))


@pytest.mark.parametrize(
    "tail",
    [
        b"\x01a" + bytes(11) + b"\x01",
        b"\x01a" + bytes(76),
        b"\x0e" + b"a" * 13,
        b"\x41" + b"a" * 65 + bytes(12),
        b"\xff" + b"a" * 77,
    ],
)
def test_a_statement_that_is_filled_otherwise_is_refused(tail: bytes) -> None:
    with pytest.raises(HandshakeError, match=r"zeros|length"):
        decode_statement(bytes(50) + tail)


@pytest.mark.parametrize("size", [0, 63, 65, 127, 129, 192])
def test_a_statement_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(HandshakeError, match="length"):
        decode_statement(bytes(size))


@pytest.mark.parametrize("size", [0, 143, 145, 207, 209, 1328])
def test_a_proof_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(HandshakeError, match=f"{size} bytes"):
        decode_proof(bytes(size))


def test_text_is_no_handshake() -> None:
    for decode in (decode_first, decode_proof, decode_resumption_answer):
        with pytest.raises(HandshakeError, match="text"):
            decode("{}")
    with pytest.raises(HandshakeError, match="text"):
        decode_answer("{}", 1)


@pytest.mark.parametrize("version", [0, 1, 4])
def test_an_older_version_is_named(version: int) -> None:
    with pytest.raises(HandshakeError, match="upgrade the peer") as refused:
        decode_first(bytes([version]) + bytes(98))
    assert refused.value.reason is Refusal.VERSION_TOO_OLD


@pytest.mark.parametrize("version", [6, 0x50, 255])
def test_a_later_version_is_named(version: int) -> None:
    with pytest.raises(HandshakeError, match="upgrade this node") as refused:
        decode_first(bytes([version]) + bytes(98))
    assert refused.value.reason is Refusal.PROTOCOL


# --- Close codes ----------------------------------------------------------------------------------


def test_each_close_code_has_one_meaning() -> None:
    assert [int(code) for code in CloseCode] == [4000, 4001, 4002, 4003, 4004]
    for code in CloseCode:
        reason = refusal_of(code)
        assert reason is not None
        assert close_code_of(reason) is code
        assert reason.name == code.name


def test_a_stranger_is_told_no_other_reason() -> None:
    said = {close_code_of(reason) for reason in Refusal if reason.name not in CloseCode.__members__}
    assert said == {CloseCode.AUTH_FAILED}


@given(code=st.integers(0, 5000))
def test_a_close_code_that_is_not_ours_means_nothing(code: int) -> None:
    assert (refusal_of(code) is None) == (not 4000 <= code <= 4004)
