import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.vectors import load

import ironmesh.conversation as published
from ironmesh.dialogue.envelope import (
    END_REASONS,
    KINDS,
    MAX_ENVELOPE_BYTES,
    Budget,
    ConvEnvelope,
    is_terminal,
    make_reply,
)
from ironmesh.errors import EnvelopeError

VECTORS = load("conv_envelope")
ENCODED = [vector for vector in VECTORS["vectors"] if "encoded_hex" in vector]
REWRITTEN = [vector for vector in VECTORS["vectors"] if "input_utf8" in vector]

text = st.text(st.characters(codec="utf-8"), max_size=20)
counts = st.integers(0, 2**40)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
budgets = st.builds(
    Budget,
    max_seconds=st.none() | counts | st.floats(0, 1e9),
    max_tokens=st.none() | counts,
    max_bytes=st.none() | counts,
)
envelopes = st.builds(
    ConvEnvelope,
    conv_id=text.filter(bool),
    turn=counts,
    max_turns=counts,
    kind=st.sampled_from(KINDS),
    body=text,
    reply_to=text,
    from_role=text,
    to_role=text,
    budget=st.none() | budgets.filter(lambda budget: bool(budget.to_dict())),
    end_reason=st.sampled_from(["", *END_REASONS]),
    extra=st.dictionaries(text.map(lambda name: "x-" + name), json_values, max_size=3),
)


@pytest.mark.parametrize("vector", ENCODED, ids=lambda vector: vector["encoded_utf8"][:30])
def test_published_encodings_are_decoded_and_written_again_byte_for_byte(vector):
    data = bytes.fromhex(vector["encoded_hex"])
    envelope = ConvEnvelope.decode(data)
    assert envelope.encode() == data == vector["encoded_utf8"].encode()
    assert is_terminal(envelope) is vector["terminal"]


@pytest.mark.parametrize("vector", REWRITTEN, ids=lambda vector: vector["note"][:30])
def test_foreign_input_is_written_as_published(vector):
    envelope = ConvEnvelope.decode(vector["input_utf8"].encode())
    assert envelope.encode() == vector["reencoded_utf8"].encode()


@pytest.mark.parametrize("vector", VECTORS["negative"], ids=lambda vector: vector["note"])
def test_malformed_input_is_a_value_error(vector):
    with pytest.raises(ValueError) as caught:
        ConvEnvelope.decode(bytes.fromhex(vector["raw_hex"]))
    assert isinstance(caught.value, EnvelopeError)


@pytest.mark.parametrize(
    "members",
    [
        {"turn": True},
        {"max_turns": None},
        {"reply_to": 7},
        {"from_role": []},
        {"budget": {"max_seconds": "60"}},
        {"budget": {"max_bytes": -1}},
        {"budget": {"max_tokens": 1.5}},
        {"budget": {"max_seconds": True}},
    ],
    ids=str,
)
def test_members_of_the_wrong_type_are_refused(members):
    with pytest.raises(EnvelopeError):
        ConvEnvelope.decode(json.dumps({"conv_id": "c", **members}).encode())


@pytest.mark.parametrize(
    "data",
    [
        b'{"conv_id":"c","x":NaN}',
        b'{"conv_id":"c","x":1e999}',
        b'{"conv_id":"c","x":' + b"9" * 10_000 + b"}",
        b'{"conv_id":"c","body":"\\ud800"}',
        b'{"conv_id":"c","x":' + b"[" * 64 + b"]" * 64 + b"}",
        b'{"conv_id":"c","x":' + b"[" * 200_000,
        b'{"conv_id":"c","body":"' + b"x" * MAX_ENVELOPE_BYTES + b'"}',
    ],
    ids=["nan", "huge float", "huge int", "surrogate", "deep", "very deep", "long"],
)
def test_input_that_json_allows_too_much_of_is_refused(data):
    with pytest.raises(EnvelopeError):
        ConvEnvelope.decode(data)


def test_null_labels_count_as_absent():
    envelope = ConvEnvelope.decode(b'{"conv_id":"c","reply_to":null,"budget":null}')
    assert envelope == ConvEnvelope("c")


def test_an_envelope_that_would_be_too_large_is_not_encoded():
    with pytest.raises(EnvelopeError, match="shorter"):
        ConvEnvelope("c", body="x" * MAX_ENVELOPE_BYTES).encode()


@pytest.mark.parametrize("extra", [{"x": object()}, {"x": float("inf")}, {"x": b"bytes"}])
def test_extra_members_that_json_cannot_hold_are_refused(extra):
    with pytest.raises(EnvelopeError):
        ConvEnvelope("c", extra=extra).encode()


def test_extra_may_not_repeat_a_member():
    with pytest.raises(EnvelopeError):
        ConvEnvelope("c", extra={"kind": "end"})


def test_a_reply_goes_on_with_the_conversation_and_swaps_the_roles():
    parent = ConvEnvelope(
        "c-1", 0, 5, body="hi", from_role="asker", to_role="alice", budget=Budget(60, None, 16384)
    )
    reply = make_reply(parent, "answer", reply_to="msg-9")
    assert reply == ConvEnvelope(
        "c-1", 1, 5, "response", "answer", "msg-9", "alice", "asker", Budget(60, None, 16384)
    )


def test_a_reply_may_state_role_kind_and_reason():
    parent = ConvEnvelope("c", from_role="a", to_role="b", extra={"q": 1}, end_reason="error")
    reply = make_reply(parent, "z", kind="end", from_role="q", end_reason="turn-limit")
    assert (reply.from_role, reply.to_role, reply.end_reason) == ("q", "a", "turn-limit")
    assert is_terminal(reply)
    assert reply.extra == {}


def test_a_budget_leaves_out_what_is_not_limited():
    assert Budget(max_seconds=1).to_dict() == {"max_seconds": 1}
    assert Budget.from_dict(3) is None
    assert Budget.from_dict({"max_bytes": 5, "other": 1}) == Budget(max_bytes=5)


def test_the_published_module_offers_the_same_names():
    assert published.ConvEnvelope is ConvEnvelope
    assert published.__all__ == ["Budget", "ConvEnvelope", "is_terminal", "make_reply"]


@given(envelopes)
def test_encode_and_decode_are_inverse(envelope):
    assert ConvEnvelope.decode(envelope.encode()) == envelope


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_decoded_or_refused_by_name(data):
    try:
        envelope = ConvEnvelope.decode(data)
    except EnvelopeError:
        return
    assert ConvEnvelope.decode(envelope.encode()) == envelope
