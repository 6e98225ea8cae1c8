import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.fake_operator import FakeOperator, message

from ironmesh.control import protocol
from ironmesh.control.api import MissedEvent, NodeState
from ironmesh.errors import ControlError, UnknownPeerError
from ironmesh.types import MessagePriority


def request(**members):
    return json.dumps({"v": 1, "id": 7, "call": "state"} | members).encode() + b"\n"


def refusal(line):
    with pytest.raises(protocol.RequestError) as caught:
        protocol.decode_request(line)
    return caught.value


def test_a_request_is_read_with_its_defaults():
    line = request(call="send", params={"target": "bob", "payload_b64": "aGk="})
    request_id, params = protocol.decode_request(line)
    assert request_id == 7
    assert params == protocol.SendParams("bob", b"hi", "MSG", MessagePriority.NORMAL)


@pytest.mark.parametrize(
    ("line", "code", "request_id"),
    [
        (b"\n", "malformed", 0),
        (b"GET / HTTP/1.1\r\n", "malformed", 0),
        (b"[]\n", "malformed", 0),
        (b"[" * 100_000 + b"\n", "malformed", 0),
        (b'{"v":1,"id":1,"call":"state","params":' + b"[" * 100_000, "malformed", 0),
        (request(id=-1), "malformed", 0),
        (request(id="7"), "malformed", 0),
        (request(extra=1), "malformed", 0),
        (request(v=2), "version", 7),
        (request(call="shutdown"), "unknown_call", 7),
        (request(params={"x": 1}), "bad_params", 7),
        (request(params=[]), "bad_params", 7),
        (request(call="send", params={"target": "bob"}), "bad_params", 7),
        (request(call="send", params={"target": "bob", "payload_b64": "%"}), "bad_params", 7),
        (request(call="trust_show", params={"who": 5}), "bad_params", 7),
    ],
)
def test_what_is_no_request_is_refused_by_name(line, code, request_id):
    error = refusal(line)
    assert (error.remote_code, error.request_id) == (code, request_id)
    assert error.fix


def test_a_line_over_the_limit_is_refused():
    error = refusal(b" " * (protocol.MAX_LINE_BYTES + 1))
    assert error.remote_code == "malformed"


def test_an_error_travels_with_code_text_and_fix():
    answer = protocol.decode_answer(
        protocol.encode_error(3, UnknownPeerError("no peer is named 'x'", "known: bob"))
    )
    assert answer.error == protocol.ErrorBody("unknown_peer", "no peer is named 'x'", "known: bob")


def test_a_result_travels_as_it_is_declared():
    state = FakeOperator().state()
    answer = protocol.decode_answer(protocol.encode_result(3, state))
    assert msgspec.json.decode(answer.result, type=NodeState) == state


@pytest.mark.parametrize("event", [message(b"\xff\x00"), MissedEvent(count=4)])
def test_an_event_travels_whole(event):
    assert protocol.decode_answer(protocol.encode_event(9, event)).event == event


def test_a_payload_is_base64_on_the_line_and_text_only_if_it_is_text():
    line = json.loads(protocol.encode_event(9, message(b"hi")))
    assert line["event"]["payload_b64"] == "aGk="
    assert message("grüß".encode()).text == "grüß"
    assert message(b"\xff").text is None


@pytest.mark.parametrize("line", [b"", b"{}", b"nonsense", b'{"id":1,"event":{"kind":"new"}}'])
def test_what_is_no_answer_is_a_named_error(line):
    with pytest.raises(ControlError, match="not understood"):
        protocol.decode_answer(line)


@given(
    st.integers(0, protocol.MAX_REQUEST_ID),
    st.text(st.characters(codec="utf-8")),
    st.binary(max_size=100),
    st.sampled_from(MessagePriority),
)
def test_requests_survive_the_line(request_id, target, payload, priority):
    params = protocol.SendParams(target, payload, "REQ", priority)
    line = protocol.encode_request(request_id, "send", params)
    assert line.count(b"\n") == 1
    assert protocol.decode_request(line) == (request_id, params)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
requests = st.fixed_dictionaries(
    {"v": st.just(1) | values, "id": st.integers(0, 9) | values},
    optional={
        "call": st.sampled_from(list(protocol.CALLS)) | values,
        "params": st.dictionaries(
            st.sampled_from(["who", "target", "payload_b64", "host", "port", "name"]), values
        )
        | values,
    },
)


@given(st.binary(max_size=200) | requests.map(lambda value: json.dumps(value).encode()))
def test_any_line_is_read_or_refused_by_name(line):
    try:
        request_id, params = protocol.decode_request(line)
    except protocol.RequestError as error:
        assert error.fix  # noqa: PT017
    else:
        assert request_id >= 0
        assert isinstance(params, protocol.Params)
